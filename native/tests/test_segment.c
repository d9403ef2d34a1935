#include "check.h"

#include <errno.h>
#include <pthread.h>

#include "overround/clock.h"

static void geometry_is_refused_unless_it_fits_the_mechanism(void)
{
    static _Alignas(4096) unsigned char page[65536];
    CHECK(ovr_segment_size(64, 8) == 8192);
    CHECK(ovr_segment_size(65, 8) == 0);
    CHECK(ovr_segment_size(64, UINT64_MAX) == 0);
    CHECK(ovr_segment_init(page, sizeof page, 99, 64, 8, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 64, 12, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 64, 4, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 8, 8, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_METERS, 64, 1, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_KILL, 0, 1, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, 8192, OVR_REGION_BOARD, 448, 100, 0, 0, 0) == -EINVAL);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 64, 8, 0, 0, 0) == 0);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 64, 8, 0, 0, 0) == -EEXIST);
}

static void check_accepts_only_its_own_kind_and_layout(void)
{
    static _Alignas(4096) unsigned char page[8192];
    CHECK(ovr_segment_check(page, 100, OVR_REGION_CHANGES, 5) == -EAGAIN);
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_CHANGES, 5) == -EAGAIN);
    CHECK(ovr_segment_init(page, sizeof page, OVR_REGION_CHANGES, 64, 8, 5, 42, 3) == 0);
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_CHANGES, 5) == 0);
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_TRADES, 5) == -EPROTO);
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_CHANGES, 6) == -EPROTO);
    CHECK(ovr_segment_run_id(page) == 42 && ovr_segment_mode(page) == 3);

    struct ovr_segment *segment = (struct ovr_segment *)(void *)page;
    segment->capacity = 1024; /* a header that claims more than the file holds */
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_CHANGES, 5) == -EPROTO);
    segment->capacity = 8;
    segment->abi_version++;
    CHECK(ovr_segment_check(page, sizeof page, OVR_REGION_CHANGES, 5) == -EPROTO);
}

static void region_is_usable_only_between_take_over_and_silence(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, 8);
    const uint64_t lease = 100;
    CHECK(ovr_segment_epoch(base) == 1);
    ovr_segment_beat(base, 1000);
    CHECK(!ovr_segment_usable(base, 1000, lease)); /* never taken over */

    ovr_segment_takeover_begin(base, 11, 22, 33);
    CHECK(ovr_segment_epoch(base) == 1);
    ovr_segment_takeover_end(base);
    CHECK(ovr_segment_epoch(base) == 2 && ovr_segment_generation(base) == 1);
    CHECK(ovr_segment_owner_pid(base) == 11 && ovr_segment_owner_start(base) == 22);
    CHECK(ovr_segment_owner_boot(base) == 33);
    CHECK(!ovr_segment_usable(base, 1000, lease)); /* content not restored, no beat yet */

    ovr_segment_beat(base, 1000);
    CHECK(ovr_segment_usable(base, 1000, lease));
    CHECK(ovr_segment_usable(base, 1100, lease));
    CHECK(!ovr_segment_usable(base, 1101, lease));
    CHECK(ovr_segment_usable(base, 999, lease)); /* the beat came after now_ns was read */

    ovr_segment_takeover_begin(base, 12, 23, 33);
    CHECK(ovr_segment_epoch(base) == 3);
    CHECK(!ovr_segment_usable(base, 1000, lease));
    ovr_segment_takeover_begin(base, 13, 24, 33); /* the second owner died repairing */
    CHECK(ovr_segment_epoch(base) == 3);
    ovr_segment_takeover_end(base);
    CHECK(ovr_segment_epoch(base) == 4 && ovr_segment_generation(base) == 2);
}

struct latch_race {
    void *base;
    uint64_t reason;
    int won;
};

static void *set_latch(void *argument)
{
    struct latch_race *race = argument;
    race->won = ovr_latch_set(race->base, race->reason, race->reason * 10);
    return NULL;
}

static void first_reason_wins_the_latch(void)
{
    enum { RACERS = 4, ROUNDS = 200 };
    void *base = new_segment(OVR_REGION_KILL, 0, 0);
    CHECK(!ovr_latch_set(base, 0, 1) && ovr_latch_reason(base) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[RACERS];
        struct latch_race races[RACERS];
        for (int i = 0; i < RACERS; i++) {
            races[i] = (struct latch_race){base, (uint64_t)i + 1, 0};
            CHECK(pthread_create(&threads[i], NULL, set_latch, &races[i]) == 0);
        }
        int winners = 0;
        uint64_t reason = 0;
        for (int i = 0; i < RACERS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            winners += races[i].won;
            reason = races[i].won ? races[i].reason : reason;
        }
        CHECK(winners == 1);
        CHECK(ovr_latch_reason(base) == reason && ovr_latch_set_ns(base) == reason * 10);
        CHECK(ovr_latch_stopped_ns(base) == 0 && ovr_latch_cancelled_ns(base) == 0);
        ovr_latch_stopped(base, reason);
        ovr_latch_cancelled(base, reason + 1);
        CHECK(ovr_latch_stopped_ns(base) == reason && ovr_latch_cancelled_ns(base) == reason + 1);
        ovr_latch_clear(base);
        CHECK(ovr_latch_reason(base) == 0);
    }
}

static void clock_does_not_go_back(void)
{
    uint64_t last = ovr_clock_ns();
    CHECK(last > 0);
    for (int i = 0; i < 100000; i++) {
        uint64_t now = ovr_clock_ns();
        CHECK(now >= last);
        last = now;
    }
}

int main(void)
{
    RUN(geometry_is_refused_unless_it_fits_the_mechanism);
    RUN(check_accepts_only_its_own_kind_and_layout);
    RUN(region_is_usable_only_between_take_over_and_silence);
    RUN(first_reason_wins_the_latch);
    RUN(clock_does_not_go_back);
    return 0;
}
