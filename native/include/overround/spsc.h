/* Bounded ring from one producer to one consumer: nothing is lost, nothing is overwritten.
 *
 * Who writes: the producer writes records and cursor, the consumer writes head. Who reads: the
 * other; screens may look at both words. What a reader may see: records from head to cursor, all
 * whole. Order: SYNC(spsc_tail) hands records to the consumer, SYNC(spsc_head) hands room back.
 * Lap: impossible; a full ring refuses the push, and the producer drops and counts. Crash
 * mid-write: the producer's half record lies beyond the cursor and is invisible; a consumer that
 * dies before advancing reads its records again (its journal tells it which it already took).
 * Capacity: a power of two, above the largest burst of intents. Cost: about 120 ns one way; the
 * producer reads the consumer's line only when its last look says "full". */
#ifndef OVERROUND_SPSC_H
#define OVERROUND_SPSC_H

#include <stdint.h>

/* Appends a copy of `record`; its first word becomes 2n+2 for record n. Returns 1, or 0 if full. */
int ovr_spsc_try_push(void *base, const void *record);

/* Copies up to `max` records from number `from` on without consuming them; returns how many, or
 * -ERANGE if `from` was consumed already or is not produced yet. */
int64_t ovr_spsc_poll(void *base, uint64_t from, void *ret, uint32_t max);

/* Gives the room of all records below `to` back to the producer. Returns 0, or -ERANGE if `to`
 * would move backwards or beyond the produced records. */
int ovr_spsc_advance(void *base, uint64_t to);

/* Returns 1 once record `from` is there, 0 after timeout_ns or a signal. */
int ovr_spsc_wait(void *base, uint64_t from, uint64_t spin_ns, uint64_t timeout_ns);

#endif
