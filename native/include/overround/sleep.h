/* Sleeping on a region: a futex that costs the writer a system call only if somebody sleeps.
 *
 * Who writes: waiters raise `sleepers` to 1; the writer takes it back to 0 and bumps `wake`. Who
 * reads: both. What a reader may see: a needless wake-up, never a missed one. Order: SYNC(sleep),
 * a store on one side and a load on the other both ways, so both sides need a full fence. Lap:
 * `wake` may wrap after 2^32 wakes within one futex call; the timeout bounds even that. Crash: a
 * killed sleeper leaves the flag up, which costs the writer one wake, not one each record; that is
 * why it is a flag and not a count. A writer killed between taking the flag and waking leaves
 * sleepers without a flag; the next take-over wakes everybody. Capacity: any number of sleepers.
 * Cost: writer one full fence (about 10 ns) and a load when nobody sleeps, about 3 us when somebody
 * does. tests/unit/test_shm_sleep_model.py walks through every interleaving. */
#ifndef OVERROUND_SLEEP_H
#define OVERROUND_SLEEP_H

#include <stdint.h>

#include "overround/segment.h"

/* Wakes every sleeper of the segment if there is one; call after publishing. */
void ovr_segment_wake(void *base);

/* Wakes every sleeper whatever the flag says; part of each take-over. */
void ovr_segment_wake_all(void *base);

/* Returns nonzero when there is something to read at `position`. */
typedef int (*ovr_ready_fn)(struct ovr_segment *segment, uint64_t position);

/* Spins for spin_ns, then sleeps until ready, at most timeout_ns; returns ready's answer. A wake-up
 * for a record that the waiter has read already does not end it. Signals do: the caller's loop has
 * to look at its own business then. */
int ovr_segment_wait(struct ovr_segment *segment, uint64_t position, ovr_ready_fn ready,
                     uint64_t spin_ns, uint64_t timeout_ns);

#endif
