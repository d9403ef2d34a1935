/* Sleeping on a region: a futex that costs the writer a system call only if somebody sleeps.
 *
 * Who writes: waiters raise `sleepers` to 1; the writer takes it back to 0 and bumps `wake`. Who
 * reads: both. What a reader may see: a needless wake-up, never a missed one. Order: SYNC(sleep),
 * a store on one side and a load on the other both ways, so both sides need a full fence. As long
 * as all readers of a region spin, its writer is spared that fence: `fence` says so, and the first
 * sleeper changes it and has the kernel fence the writer once (membarrier), SYNC(fence). Lap:
 * `wake` may wrap after 2^32 wakes within one futex call; the timeout bounds even that. Crash: a
 * killed sleeper leaves the flag up, which costs the writer one wake, not one each record; that is
 * why it is a flag and not a count. A writer killed between taking the flag and waking leaves
 * sleepers without a flag; the next take-over wakes everybody. Capacity: any number of sleepers.
 * Cost: writer a load when nobody ever slept, a full fence (about 10 ns) and two loads when nobody
 * sleeps now, about 3 us when somebody does; the first sleeper of a region some microseconds, once.
 * tests/unit/test_shm_sleep_model.py walks through every interleaving of the steps,
 * native/tests/test_order_model.c through what weaker hardware makes of the code itself. */
#ifndef OVERROUND_SLEEP_H
#define OVERROUND_SLEEP_H

#include <stdint.h>

#include "overround/segment.h"

/* What `fence` in the header says. Without a take-over it is OPEN, and the writer fences. The first
 * take-over makes it SPARED if the kernel promises to fence the writer when a reader asks. The
 * first sleeper makes it RETURNS and then ALWAYS, for the rest of the region's life. */
enum ovr_fence { OVR_FENCE_OPEN, OVR_FENCE_SPARED, OVR_FENCE_RETURNS, OVR_FENCE_ALWAYS };

/* The part of ovr_segment_wake for a region whose readers may sleep. */
void ovr_segment_wake_sleepers(void *base);

/* Wakes every sleeper of the segment if there is one; call after publishing. */
static inline void ovr_segment_wake(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(fence): my record before this look, by the compiler's promise alone. Who takes the
     * spared fence back has every core fence before it looks for the record. */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&segment->fence, memory_order_relaxed) != OVR_FENCE_SPARED) {
        ovr_segment_wake_sleepers(base);
    }
}

/* Part of each take-over: spares this process the fence if nobody ever slept on the region. */
void ovr_segment_spare_fence(struct ovr_segment *segment);

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
