#define _GNU_SOURCE
#include "overround/sleep.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "overround/clock.h"

/* Looks at the clock once in this many spins: a clock read is as dear as many pauses. */
#define SPINS_PER_CLOCK 64

/* How long a store may take to be seen by every core where the kernel cannot be asked to wait for
 * it: it takes less than a microsecond. */
#define SETTLE_NS 1000000

/* The futexes are shared between processes, hence without FUTEX_PRIVATE_FLAG. */
static void futex_wake_all(_Atomic(uint32_t) *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Returns 0 when woken or when the word had changed already, else an errno. */
static int futex_wait(_Atomic(uint32_t) *word, uint32_t seen, uint64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / UINT64_C(1000000000)),
        .tv_nsec = (long)(timeout_ns % UINT64_C(1000000000)),
    };
    long status = syscall(SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0);
    return status == 0 || errno == EAGAIN ? 0 : errno;
}

static void barrier_join(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

void ovr_segment_spare_fence(struct ovr_segment *segment)
{
    static atomic_int forks_covered;
    uint32_t open = OVR_FENCE_OPEN;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) != 0) {
        atomic_store_explicit(&segment->fence, OVR_FENCE_ALWAYS, memory_order_relaxed);
        return;
    }
    if (!atomic_exchange_explicit(&forks_covered, 1, memory_order_relaxed)) {
        pthread_atfork(NULL, NULL, barrier_join); /* so that a child may write, too */
    }
    atomic_compare_exchange_strong_explicit(&segment->fence, &open, OVR_FENCE_SPARED,
                                            memory_order_relaxed, memory_order_relaxed);
}

/* Before a sleep: from here on the writer fences its records itself, and those it wrote without
 * are visible. */
static void take_fence_back(struct ovr_segment *segment)
{
    uint32_t open = OVR_FENCE_OPEN;
    /* SYNC(fence): acquire, who finds ALWAYS goes on behind the barrier of whoever set it. */
    if (atomic_load_explicit(&segment->fence, memory_order_acquire) == OVR_FENCE_ALWAYS ||
        atomic_compare_exchange_strong_explicit(&segment->fence, &open, OVR_FENCE_ALWAYS,
                                                memory_order_relaxed, memory_order_relaxed)) {
        return;
    }
    atomic_store_explicit(&segment->fence, OVR_FENCE_RETURNS, memory_order_relaxed);
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) != 0) {
        nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
    }
    /* SYNC(fence): release, see above. */
    atomic_store_explicit(&segment->fence, OVR_FENCE_ALWAYS, memory_order_release);
}

void ovr_segment_wake_sleepers(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(sleep): my record before my look at the flag; the waiter raises the flag before its
     * look at the record. One of the two must see the other. Without the full fences both looks
     * may run ahead of both stores (x86 does that, too) and the waiter sleeps on a record. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&segment->sleepers, memory_order_relaxed) == 0) {
        return;
    }
    ovr_segment_wake_all(base);
}

void ovr_segment_wake_all(void *base)
{
    struct ovr_segment *segment = base;
    atomic_exchange_explicit(&segment->sleepers, 0, memory_order_acq_rel);
    atomic_fetch_add_explicit(&segment->wake, 1, memory_order_release);
    futex_wake_all(&segment->wake);
}

static int spin(struct ovr_segment *segment, uint64_t position, ovr_ready_fn ready,
                uint64_t spin_ns)
{
    uint64_t end_ns = ovr_clock_ns() + spin_ns;
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (ready(segment, position)) {
                return 1;
            }
            ovr_pause();
        }
    } while (ovr_clock_ns() < end_ns);
    return 0;
}

int ovr_segment_wait(struct ovr_segment *segment, uint64_t position, ovr_ready_fn ready,
                     uint64_t spin_ns, uint64_t timeout_ns)
{
    if (ready(segment, position) || (spin_ns > 0 && spin(segment, position, ready, spin_ns))) {
        return 1;
    }
    if (timeout_ns > 0) {
        take_fence_back(segment);
    }
    uint64_t now_ns = timeout_ns > 0 ? ovr_clock_ns() : 0;
    uint64_t end_ns = now_ns + timeout_ns;
    while (now_ns < end_ns) {
        /* The count before the flag. The other way round, a writer that is late with its wake for
         * an old record can take the flag and bump the count between the two: the count seen is
         * then new, the flag gone, and the next record wakes nobody. */
        uint32_t seen = atomic_load_explicit(&segment->wake, memory_order_acquire);
        atomic_store_explicit(&segment->sleepers, 1, memory_order_relaxed);
        /* SYNC(sleep): see ovr_segment_wake. */
        atomic_thread_fence(memory_order_seq_cst);
        if (ready(segment, position)) {
            return 1;
        }
        if (futex_wait(&segment->wake, seen, end_ns - now_ns) != 0) {
            break;
        }
        if (ready(segment, position)) {
            return 1;
        }
        /* Woken for a record that was read before going to sleep, or for somebody else's. */
        now_ns = ovr_clock_ns();
    }
    return ready(segment, position);
}
