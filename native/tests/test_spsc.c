#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "overround/sleep.h"
#include "overround/spsc.h"

#define RING 16
#define RECORDS 300000
#define BATCH 8
/* A missed wake-up shows as a hang of this long, and then as the runner's time limit. */
#define TIMEOUT_NS UINT64_C(1000000000000)

static void full_ring_refuses_until_room_is_given_back(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    uint64_t record[8] = {0};
    uint64_t out[RING][8];
    for (uint64_t number = 0; number < RING; number++) {
        fill(record, 8, number);
        CHECK(ovr_spsc_try_push(base, record) == 1);
    }
    CHECK(ovr_spsc_try_push(base, record) == 0);
    CHECK(ovr_spsc_poll(base, 0, out, RING) == RING);
    CHECK(ovr_spsc_try_push(base, record) == 0); /* polling consumes nothing */
    CHECK(ovr_spsc_poll(base, 4, out, 2) == 2 && out[0][0] == 10 && filled_from(out[0], 8, 4));
    CHECK(ovr_spsc_advance(base, RING + 1) == -ERANGE);
    CHECK(ovr_spsc_advance(base, 2) == 0);
    CHECK(ovr_spsc_advance(base, 1) == -ERANGE);
    CHECK(ovr_spsc_poll(base, 1, out, RING) == -ERANGE);
    CHECK(ovr_spsc_poll(base, RING + 1, out, RING) == -ERANGE);
    CHECK(ovr_spsc_try_push(base, record) == 1 && ovr_spsc_try_push(base, record) == 1);
    CHECK(ovr_spsc_try_push(base, record) == 0);
}

static void push_all(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t number = ovr_segment_cursor(base); number < RECORDS;) {
        fill(record, WIDE_WORDS, number);
        if (ovr_spsc_try_push(base, record)) {
            number++;
        } else {
            sched_yield(); /* full: let the consumer have the core, there may be only one */
        }
    }
}

static void *push_thread(void *base)
{
    push_all(base);
    return NULL;
}

static void consume(void *base, uint64_t until)
{
    uint64_t out[BATCH][WIDE_WORDS];
    uint64_t next = ovr_segment_head(base);
    while (next < until) {
        CHECK(ovr_spsc_wait(base, next, 500, TIMEOUT_NS) == 1);
        int64_t count = ovr_spsc_poll(base, next, out, BATCH);
        CHECK(count > 0);
        for (int64_t i = 0; i < count; i++, next++) {
            CHECK(out[i][0] == 2 * next + 2 && filled_from(out[i], WIDE_WORDS, next));
        }
        CHECK(ovr_spsc_advance(base, next) == 0);
    }
}

static void threads_lose_nothing(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, WIDE_BYTES, RING);
    pthread_t producer;
    CHECK(pthread_create(&producer, NULL, push_thread, base) == 0);
    consume(base, RECORDS);
    CHECK(pthread_join(producer, NULL) == 0);
    CHECK(ovr_segment_head(base) == RECORDS && ovr_segment_cursor(base) == RECORDS);
}

static void consume_all(void *base)
{
    consume(base, RECORDS);
}

/* Both ends die again and again; each new one goes on from the shared words alone. */
static void processes_lose_nothing_through_kills(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, WIDE_BYTES, RING);
    for (uint64_t part = 1; part <= 5; part++) {
        pid_t consumer = fork();
        CHECK(consumer >= 0);
        if (consumer == 0) {
            consume_all(base);
            _exit(0);
        }
        run_and_kill(push_all, base, part * RECORDS / 10);
        CHECK(kill(consumer, SIGKILL) == 0);
        CHECK(waitpid(consumer, NULL, 0) == consumer);
        CHECK(ovr_segment_repair(base) == 0);
    }
    pid_t producer = fork();
    CHECK(producer >= 0);
    if (producer == 0) {
        push_all(base);
        _exit(0);
    }
    consume_all(base);
    int status = 0;
    CHECK(waitpid(producer, &status, 0) == producer && status == 0);
}

static void wait_returns_at_once_with_news_and_after_the_timeout_without(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    uint64_t record[8] = {0};
    CHECK(ovr_spsc_wait(base, 0, 1000, 1000000) == 0);
    CHECK(ovr_spsc_try_push(base, record) == 1);
    CHECK(ovr_spsc_wait(base, 0, 0, TIMEOUT_NS) == 1);
}

static void dead_sleeper_costs_one_wake_up(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    struct ovr_segment *segment = base;
    uint64_t record[8] = {0};
    atomic_store(&segment->sleepers, 1); /* as left by a process killed in its sleep */
    ovr_spsc_try_push(base, record);
    CHECK(atomic_load(&segment->sleepers) == 0 && atomic_load(&segment->wake) == 1);
    ovr_spsc_try_push(base, record);
    CHECK(atomic_load(&segment->wake) == 1);
}

static void *wait_for_the_first(void *base)
{
    CHECK(ovr_spsc_wait(base, 0, 0, TIMEOUT_NS) == 1);
    return NULL;
}

/* As when a slow producer wakes for a record that the consumer has already taken. */
static void wake_up_without_news_does_not_end_the_wait(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    struct ovr_segment *segment = base;
    uint64_t record[8] = {0};
    pthread_t sleeper;
    CHECK(pthread_create(&sleeper, NULL, wait_for_the_first, base) == 0);
    for (int wake = 0; wake < 100; wake++) {
        while (atomic_load(&segment->sleepers) == 0) {
            ovr_pause();
        }
        ovr_segment_wake(base);
    }
    CHECK(ovr_spsc_try_push(base, record) == 1);
    CHECK(pthread_join(sleeper, NULL) == 0);
}

/* The owner died after it had taken the flag and before it had woken anybody. */
static void take_over_wakes_those_the_last_owner_did_not(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    struct ovr_segment *segment = base;
    uint64_t record[8] = {0};
    pthread_t sleeper;
    CHECK(pthread_create(&sleeper, NULL, wait_for_the_first, base) == 0);
    while (atomic_load(&segment->sleepers) == 0) {
        ovr_pause();
    }
    atomic_store(&segment->sleepers, 0);
    atomic_store(ovr_segment_record(base, 0), 2);
    atomic_store(&segment->cursor, 1);
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_takeover_end(base);
    CHECK(ovr_spsc_try_push(base, record) == 1);
    CHECK(pthread_join(sleeper, NULL) == 0);
}

struct pair {
    void *there;
    void *back;
};

#define ROUNDS 20000

static void *answer(void *argument)
{
    struct pair *pair = argument;
    uint64_t record[8] = {0};
    for (uint64_t round = 0; round < ROUNDS; round++) {
        CHECK(ovr_spsc_wait(pair->there, round, 0, TIMEOUT_NS) == 1);
        CHECK(ovr_spsc_advance(pair->there, round + 1) == 0);
        CHECK(ovr_spsc_try_push(pair->back, record) == 1);
    }
    return NULL;
}

static void no_wake_up_is_missed_in_ping_pong(void)
{
    struct pair pair = {new_segment(OVR_REGION_INTENTS, 64, RING),
                        new_segment(OVR_REGION_INTENTS, 64, RING)};
    uint64_t record[8] = {0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, answer, &pair) == 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        CHECK(ovr_spsc_try_push(pair.there, record) == 1);
        CHECK(ovr_spsc_wait(pair.back, round, 0, TIMEOUT_NS) == 1);
        CHECK(ovr_spsc_advance(pair.back, round + 1) == 0);
    }
    CHECK(pthread_join(thread, NULL) == 0);
}

static void take_over(void *base)
{
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_takeover_end(base);
}

static uint32_t fence_of(void *base)
{
    return atomic_load(&((struct ovr_segment *)base)->fence);
}

static void the_first_sleeper_takes_the_spared_fence_back(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    CHECK(fence_of(base) == OVR_FENCE_OPEN);
    take_over(base);
    CHECK(fence_of(base) == OVR_FENCE_SPARED);
    CHECK(ovr_spsc_wait(base, 0, 1000, 0) == 0); /* a spin is no sleep */
    CHECK(fence_of(base) == OVR_FENCE_SPARED);
    CHECK(ovr_spsc_wait(base, 0, 0, 1000) == 0);
    CHECK(fence_of(base) == OVR_FENCE_ALWAYS);
    take_over(base);
    CHECK(fence_of(base) == OVR_FENCE_ALWAYS);
}

static void who_slept_before_the_first_owner_came_keeps_the_fence(void)
{
    void *base = new_segment(OVR_REGION_INTENTS, 64, RING);
    CHECK(ovr_spsc_wait(base, 0, 0, 1000) == 0);
    take_over(base);
    CHECK(fence_of(base) == OVR_FENCE_ALWAYS);
}

/* From here on the kernel knows no membarrier in this process. */
static void forbid_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static void without_membarrier_writers_fence_and_readers_let_it_settle(void)
{
    void *written = new_segment(OVR_REGION_INTENTS, 64, RING);
    void *read = new_segment(OVR_REGION_INTENTS, 64, RING);
    take_over(read);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        forbid_membarrier();
        take_over(written);
        CHECK(fence_of(written) == OVR_FENCE_ALWAYS);
        CHECK(ovr_spsc_wait(read, 0, 0, 1000) == 0);
        CHECK(fence_of(read) == OVR_FENCE_ALWAYS);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* One record a round, at the moment of the first sleep: missed, it shows as a hang. */
static void *push_unfenced(void *argument)
{
    struct pair *pair = argument;
    uint64_t record[8] = {0};
    for (uint64_t round = 0; round < ROUNDS; round++) {
        while (ovr_segment_cursor(pair->back) <= round) {
            ovr_pause();
        }
        CHECK(ovr_spsc_try_push(pair->there, record) == 1);
    }
    return NULL;
}

static void no_wake_up_is_missed_in_the_first_sleep(void)
{
    struct pair pair = {new_segment(OVR_REGION_INTENTS, 64, RING),
                        new_segment(OVR_REGION_INTENTS, 64, RING)};
    struct ovr_segment *there = pair.there;
    uint64_t record[8] = {0};
    pthread_t thread;
    take_over(pair.there);
    CHECK(pthread_create(&thread, NULL, push_unfenced, &pair) == 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        atomic_store(&there->fence, OVR_FENCE_SPARED); /* as in a region's first life */
        CHECK(ovr_spsc_try_push(pair.back, record) == 1);
        CHECK(ovr_spsc_advance(pair.back, round + 1) == 0);
        CHECK(ovr_spsc_wait(pair.there, round, 0, TIMEOUT_NS) == 1);
        CHECK(ovr_spsc_advance(pair.there, round + 1) == 0);
    }
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    RUN(full_ring_refuses_until_room_is_given_back);
    RUN(wait_returns_at_once_with_news_and_after_the_timeout_without);
    RUN(dead_sleeper_costs_one_wake_up);
    RUN(wake_up_without_news_does_not_end_the_wait);
    RUN(take_over_wakes_those_the_last_owner_did_not);
    RUN(processes_lose_nothing_through_kills);
    RUN(threads_lose_nothing);
    RUN(no_wake_up_is_missed_in_ping_pong);
    RUN(the_first_sleeper_takes_the_spared_fence_back);
    RUN(who_slept_before_the_first_owner_came_keeps_the_fence);
    RUN(without_membarrier_writers_fence_and_readers_let_it_settle);
    RUN(no_wake_up_is_missed_in_the_first_sleep);
    return 0;
}
