/* Broadcast ring: one writer, any number of readers, nobody waits for anybody.
 *
 * Who writes: the owner of the segment. Who reads: anybody, each with a private position.
 * What a reader may see: whole records in order, or that it was lapped; never a torn record.
 * Order: SYNC(record) brackets the payload with the record's sequence, 2n+1 while record n is
 * written and 2n+2 when it is whole; the reader looks at the sequence before and after its copy.
 * Lap: a sequence larger than the wanted one; the reader jumps to CAP - CAP/8 behind the tail and
 * adds the difference to `lost`. The eighth is its head start, else the writer laps it again at
 * once. Crash mid-write: an odd sequence, or a whole record that the cursor does not count yet;
 * repair adopts the second, the next publish overwrites the first. Capacity: a power of two, as
 * many records as a reader may be late (16,384 of 64 bytes are 1 MiB). Cost: measured about 120 ns
 * one way; the writer's cost does not depend on the number of readers. */
#ifndef OVERROUND_BROADCAST_H
#define OVERROUND_BROADCAST_H

#include <stdint.h>

/* Publishes a copy of `record` (first word ignored); returns the number of records before it. */
uint64_t ovr_broadcast_publish(void *base, const void *record);

/* Copies up to `max` records from *cursor on and moves *cursor behind them; returns how many.
 * Each begins with its sequence, 2n+2 for record n. A lap is reported by the poll that begins
 * with it: the jump is added to *lost, and the records of this poll all lie behind the gap. */
uint32_t ovr_broadcast_poll(void *base, uint64_t *cursor, void *ret, uint32_t max, uint64_t *lost);

/* Returns 1 once record `cursor` is published (or lapped), 0 after timeout_ns or a signal. */
int ovr_broadcast_wait(void *base, uint64_t cursor, uint64_t spin_ns, uint64_t timeout_ns);

/* Take-over: counts a record that is whole but was never counted; returns how many (0 or 1). */
uint64_t ovr_broadcast_repair(void *base);

#endif
