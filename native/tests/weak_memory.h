/* A machine with weaker memory than any we run on, for small programs of the real sources.
 *
 * Include it before the sources under test: it takes the place of their atomics. Each atomic
 * access is a step; between steps another thread may run, and a load may return any store that
 * the C11 rules still allow, however old. That is more than x86 does and all that AArch64 does
 * but one thing: a load here never returns a store made after it. For records that a second store
 * must not overtake, `weak_guard` closes that gap: it asks whether each read of a guarded word
 * happened before the word was written again.
 *
 * A store is a message with the view its reader may inherit (the timestamps that its writer had
 * seen). Release attaches the writer's view, acquire joins it; fences do both in two halves, as in
 * C11. Read-modify-writes meet the last message. Entries of a view behind LOCATIONS count the
 * threads' own steps: the order of happens-before.
 *
 * Every atomic access in the sources is a site. `weak_site` lists them; one marked `weak` runs as
 * relaxed, a fence not at all: what the model does not catch then, it would not catch in review. */
#ifndef OVERROUND_WEAK_MEMORY_H
#define OVERROUND_WEAK_MEMORY_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define WEAK_NEED(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

enum {
    ARENA_BYTES = 8192,
    LOCATIONS = 64,
    THREADS = 3,
    VIEW = LOCATIONS + THREADS,
    MESSAGES = 48,
    STACK_BYTES = 65536,
    STEPS_MAX = 20000
};

struct weak_site {
    const char *function;
    const char *what;
    int line, strong, weak, listed;
    struct weak_site *next;
};

struct message {
    uint64_t value;
    uint8_t view[VIEW];
};

struct location {
    uint32_t offset;
    unsigned count;
    uint8_t read_at[THREADS]; /* own step of each thread's last read */
    struct message messages[MESSAGES];
};

struct thread {
    ucontext_t context;
    void (*run)(void);
    uint8_t now[VIEW], acquired[VIEW], released[VIEW];
    uint32_t asleep_on; /* offset of the futex word, 0 when running */
    int done;
    _Alignas(64) unsigned char stack[STACK_BYTES];
};

static struct {
    _Alignas(64) unsigned char arena[ARENA_BYTES], before[ARENA_BYTES];
    struct location locations[LOCATIONS];
    uint8_t index[ARENA_BYTES / 4]; /* location + 1 */
    uint8_t total[VIEW];            /* the view of the one order of full fences */
    struct thread threads[THREADS];
    ucontext_t home;
    struct weak_site *sites;
    unsigned locations_used, threads_used, at, steps;
    uint32_t guard_from, guard_to;
    uint64_t random;
    int live; /* 0 while the program is set up: accesses go straight to memory */
    const char *broken;
} weak;

static uint64_t weak_random(uint64_t below)
{
    weak.random ^= weak.random << 13, weak.random ^= weak.random >> 7;
    weak.random ^= weak.random << 17;
    return (weak.random >> 11) % below;
}

static void weak_join(uint8_t *view, const uint8_t *other)
{
    for (int i = 0; i < VIEW; i++) {
        view[i] = view[i] > other[i] ? view[i] : other[i];
    }
}

/* The first thing found ends the run; threads are not resumed after it. */
static void weak_fail(const char *what)
{
    weak.broken = weak.broken != NULL ? weak.broken : what;
    if (weak.live) {
        swapcontext(&weak.threads[weak.at].context, &weak.home);
    }
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            weak_fail(#condition);                                                                 \
        }                                                                                          \
    } while (0)

static unsigned weak_runnable(unsigned *ret)
{
    unsigned count = 0;
    for (unsigned i = 0; i < weak.threads_used; i++) {
        if (!weak.threads[i].done && weak.threads[i].asleep_on == 0) {
            ret[count++] = i;
        }
    }
    return count;
}

/* Lets another thread run, or not. Returns in the same thread later. */
static void weak_yield(int must)
{
    unsigned others[THREADS], was = weak.at;
    if (!must && weak_random(3) != 0) {
        return;
    }
    unsigned count = weak_runnable(others);
    if (count == 0) {
        weak_fail("asleep for ever beside news");
        return;
    }
    weak.at = others[weak_random(count)];
    if (weak.at != was) {
        swapcontext(&weak.threads[was].context, &weak.threads[weak.at].context);
    }
}

static struct thread *weak_step(void)
{
    weak_yield(0);
    struct thread *thread = &weak.threads[weak.at];
    uint8_t *own = &thread->now[LOCATIONS + weak.at];
    *own += *own < UINT8_MAX;
    if (++weak.steps > STEPS_MAX) {
        weak_fail("does not end");
    }
    return thread;
}

static unsigned weak_location(const void *address, size_t size)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)weak.arena;
    WEAK_NEED(offset < ARENA_BYTES);
    uint8_t *index = &weak.index[offset / 4];
    if (*index == 0) {
        WEAK_NEED(weak.locations_used < LOCATIONS);
        struct location *fresh = &weak.locations[weak.locations_used++];
        fresh->offset = (uint32_t)offset;
        fresh->count = 1;
        memset(fresh->read_at, 0, sizeof fresh->read_at);
        memset(&fresh->messages[0], 0, sizeof fresh->messages[0]);
        memcpy(&fresh->messages[0].value, address, size);
        *index = (uint8_t)weak.locations_used;
    }
    return *index - 1u;
}

/* Returns whether an access goes to the model; a process's own statics do not. */
static int weak_modelled(const void *address)
{
    return weak.live && (uintptr_t)address - (uintptr_t)weak.arena < ARENA_BYTES;
}

static int weak_releases(memory_order order)
{
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

static int weak_acquires(memory_order order)
{
    return order == memory_order_acquire || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

static memory_order weak_order(struct weak_site *site, memory_order order)
{
    if (!site->listed) {
        site->listed = 1;
        site->strong = order != memory_order_relaxed;
        site->next = weak.sites;
        weak.sites = site;
    }
    return site->weak ? memory_order_relaxed : order;
}

static uint64_t weak_read(struct thread *thread, unsigned at, unsigned stamp, memory_order order)
{
    struct location *location = &weak.locations[at];
    struct message *message = &location->messages[stamp];
    thread->now[at] = (uint8_t)stamp;
    location->read_at[weak.at] = thread->now[LOCATIONS + weak.at];
    weak_join(thread->acquired, message->view);
    if (weak_acquires(order)) {
        weak_join(thread->now, message->view);
    }
    return message->value;
}

static void weak_write(struct thread *thread, unsigned at, uint64_t value, memory_order order,
                       int after_read)
{
    struct location *location = &weak.locations[at];
    WEAK_NEED(location->count < MESSAGES);
    for (unsigned other = 0; other < weak.threads_used; other++) {
        if (location->offset >= weak.guard_from && location->offset < weak.guard_to &&
            other != weak.at && location->read_at[other] > thread->now[LOCATIONS + other]) {
            weak_fail("written again before its reader was known to be done");
        }
    }
    struct message *message = &location->messages[location->count];
    message->value = value;
    memcpy(message->view, weak_releases(order) ? thread->now : thread->released, VIEW);
    if (after_read) {
        weak_join(message->view, location->messages[location->count - 1].view);
    }
    thread->now[at] = (uint8_t)location->count++;
    message->view[at] = thread->now[at];
}

static uint64_t weak_load(const void *address, size_t size, memory_order order,
                          struct weak_site *site)
{
    uint64_t value = 0;
    order = weak_order(site, order);
    if (!weak_modelled(address)) {
        memcpy(&value, address, size);
        return value;
    }
    struct thread *thread = weak_step();
    unsigned at = weak_location(address, size), last = weak.locations[at].count - 1;
    unsigned first = thread->now[at];
    unsigned any = first + (unsigned)weak_random(last - first + 1);
    return weak_read(thread, at, weak_random(2) ? last : any, order);
}

static void weak_store(void *address, size_t size, uint64_t value, memory_order order,
                       struct weak_site *site)
{
    order = weak_order(site, order);
    if (!weak_modelled(address)) {
        memcpy(address, &value, size);
        return;
    }
    struct thread *thread = weak_step();
    weak_write(thread, weak_location(address, size), value, order, 0);
}

/* Read, and write unless `compare` says that the value is another; returns the value read. */
static uint64_t weak_change(void *address, size_t size, uint64_t value, const uint64_t *compare,
                            int add, memory_order order, struct weak_site *site)
{
    uint64_t found = 0;
    order = weak_order(site, order);
    if (!weak_modelled(address)) {
        memcpy(&found, address, size);
        value += add ? found : 0;
        if (compare == NULL || *compare == found) {
            memcpy(address, &value, size);
        }
        return found;
    }
    struct thread *thread = weak_step();
    unsigned at = weak_location(address, size);
    found = weak_read(thread, at, weak.locations[at].count - 1, order);
    if (compare == NULL || *compare == found) {
        weak_write(thread, at, value + (add ? found : 0), order, 1);
    }
    return found;
}

static int weak_exchange(void *address, size_t size, uint64_t *expected, uint64_t value,
                         memory_order order, struct weak_site *site)
{
    uint64_t found = weak_change(address, size, value, expected, 0, order, site);
    int equal = found == *expected;
    *expected = found;
    return equal;
}

static void weak_fence(memory_order order, struct weak_site *site)
{
    order = weak_order(site, order);
    if (!weak.live || order == memory_order_relaxed) {
        return;
    }
    struct thread *thread = weak_step();
    if (weak_acquires(order)) {
        weak_join(thread->now, thread->acquired);
    }
    if (order == memory_order_seq_cst) {
        weak_join(thread->now, weak.total);
        weak_join(weak.total, thread->now);
    }
    if (weak_releases(order)) {
        weak_join(thread->released, thread->now);
    }
}

/* The kernel fences the writer, which asked for that (the first thread), with the caller. */
static void weak_barrier(void)
{
    uint8_t *ends[] = {weak.threads[0].now, weak.threads[weak.at].now};
    for (int i = 0; i < 4; i++) {
        weak_join(weak.total, ends[i & 1]);
        weak_join(ends[i & 1], weak.total);
    }
    weak_join(weak.threads[0].released, weak.total);
    weak_join(weak.threads[weak.at].released, weak.total);
}

static struct weak_site weak_kernel = {.function = "kernel", .what = "membarrier", .line = 1};

static long weak_syscall(long number, ...)
{
    va_list rest;
    if (!weak.live) {
        return 0;
    }
    struct thread *thread = weak_step();
    va_start(rest, number);
    if (number == SYS_membarrier) {
        weak_order(&weak_kernel, memory_order_seq_cst);
        int command = va_arg(rest, int);
        va_end(rest);
        if (command == MEMBARRIER_CMD_GLOBAL_EXPEDITED && !weak_kernel.weak) {
            weak_barrier();
        }
        return 0;
    }
    void *word = va_arg(rest, void *);
    int operation = va_arg(rest, int);
    uint32_t seen = va_arg(rest, uint32_t);
    va_end(rest);
    unsigned at = weak_location(word, 4);
    struct location *location = &weak.locations[at];
    if (operation == FUTEX_WAKE) {
        for (unsigned i = 0; i < weak.threads_used; i++) {
            weak.threads[i].asleep_on *= weak.threads[i].asleep_on != location->offset;
        }
    } else if (location->messages[location->count - 1].value == seen) {
        thread->asleep_on = location->offset;
        weak_yield(1);
    } else {
        errno = EAGAIN;
        return -1;
    }
    return 0;
}

static void weak_thread_main(void)
{
    weak.threads[weak.at].run();
    weak.threads[weak.at].done = 1;
    unsigned others[THREADS];
    if (weak_runnable(others) > 0) {
        weak_yield(1);
    }
    for (unsigned i = 0; i < weak.threads_used; i++) {
        if (!weak.threads[i].done) {
            weak_fail("asleep for ever beside news");
        }
    }
    setcontext(&weak.home);
}

/* Runs the threads once, from what `setup` left in the arena. Returns what broke, or NULL. */
static const char *weak_run(void (*const *threads)(void), uint64_t seed)
{
    memcpy(weak.before, weak.arena, ARENA_BYTES);
    memset(weak.index, 0, sizeof weak.index);
    memset(weak.total, 0, sizeof weak.total);
    weak.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    weak.locations_used = weak.steps = weak.threads_used = 0;
    weak.broken = NULL;
    for (; weak.threads_used < THREADS && threads[weak.threads_used] != NULL; weak.threads_used++) {
        struct thread *thread = &weak.threads[weak.threads_used];
        memset(thread->now, 0, 3 * (size_t)VIEW);
        thread->run = threads[weak.threads_used];
        thread->asleep_on = 0;
        thread->done = 0;
        WEAK_NEED(getcontext(&thread->context) == 0);
        thread->context.uc_stack.ss_sp = thread->stack;
        thread->context.uc_stack.ss_size = STACK_BYTES;
        thread->context.uc_link = NULL;
        makecontext(&thread->context, weak_thread_main, 0);
    }
    weak.live = 1;
    weak.at = (unsigned)weak_random(weak.threads_used);
    WEAK_NEED(swapcontext(&weak.home, &weak.threads[weak.at].context) == 0);
    weak.live = 0;
    memcpy(weak.arena, weak.before, ARENA_BYTES);
    return weak.broken;
}

#define WEAK_SITE(name)                                                                            \
    ({                                                                                             \
        static struct weak_site weak_here = {.function = __func__, .what = name, .line = __LINE__};\
        &weak_here;                                                                                \
    })

#undef atomic_thread_fence
#undef atomic_signal_fence
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_compare_exchange_strong_explicit
#define atomic_thread_fence(order) weak_fence(order, WEAK_SITE("fence " #order))
#define atomic_signal_fence(order) ((void)0) /* steps are in program order here */
#define atomic_load_explicit(word, order)                                                          \
    weak_load((void *)(uintptr_t)(word), sizeof *(word), order, WEAK_SITE("load " #order))
#define atomic_store_explicit(word, value, order)                                                  \
    weak_store((void *)(word), sizeof *(word), value, order, WEAK_SITE("store " #order))
#define atomic_exchange_explicit(word, value, order)                                               \
    weak_change((void *)(word), sizeof *(word), value, NULL, 0, order,                             \
                WEAK_SITE("exchange " #order))
#define atomic_fetch_add_explicit(word, value, order)                                              \
    weak_change((void *)(word), sizeof *(word), value, NULL, 1, order, WEAK_SITE("add " #order))
#define atomic_compare_exchange_strong_explicit(word, expected, value, order, otherwise)           \
    ({                                                                                             \
        uint64_t weak_expected = *(expected);                                                      \
        int weak_equal = weak_exchange((void *)(word), sizeof *(word), &weak_expected, value,      \
                                       order, WEAK_SITE("compare " #order));                       \
        *(expected) = (__typeof__(*(expected)))weak_expected;                                      \
        weak_equal;                                                                                \
    })
#define syscall weak_syscall
#define nanosleep(wait, rest) ((void)0)
#define pthread_atfork(before, after, child) ((void)(child))

#endif
