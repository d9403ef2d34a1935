/* The order path's helpers: journal records, live slots, the bell. */
#include "overround/order_path.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "check.h"
#include "overround/crc32c.h"
#include "overround/sleep.h"
#include "overround/slots.h"
#include "overround/spsc.h"

static void a_record_is_whole_or_not_there(void)
{
    _Alignas(8) uint8_t segment[256];
    memset(segment, 0, sizeof segment);
    CHECK(ovr_journal_put(segment, sizeof segment, 64, 9, 77, 15, "hello", 5) == 64 + 40);
    uint32_t length, crc;
    uint16_t kind;
    memcpy(&length, segment + 64, 4);
    memcpy(&crc, segment + 68, 4);
    memcpy(&kind, segment + 64 + 24, 2);
    CHECK(length == 40 && kind == 15);
    CHECK(crc == ovr_crc32c(0, segment + 72, 32));
    CHECK(memcmp(segment + 96, "hello\0\0\0", 8) == 0);
    uint8_t before[sizeof segment];
    memcpy(before, segment, sizeof segment);
    CHECK(ovr_journal_put(segment, sizeof segment, 240, 10, 78, 15, "hello", 5) == 0);
    CHECK(ovr_journal_put(segment, sizeof segment, 1000, 10, 78, 15, "hello", 5) == 0);
    CHECK(memcmp(before, segment, sizeof segment) == 0);
    CHECK(ovr_journal_put(segment, sizeof segment, 216, 10, 78, 15, "12345678", 8) == 256);
}

static void a_slot_is_live_only_under_a_beating_owner(void)
{
    void *base = new_segment(OVR_REGION_BOARD, sizeof(struct ovr_board), 4);
    struct ovr_board book = {.market = 3}, found;
    uint64_t epoch;
    ovr_segment_takeover_begin(base, 1, 1, 1);
    CHECK(ovr_slot_load_live(base, 3, 1000, 100, &found, &epoch) == -EPROTO);
    ovr_segment_takeover_end(base);
    ovr_slot_store(base, 3, &book);
    CHECK(ovr_slot_load_live(base, 3, 1000, 100, &found, &epoch) == -EPROTO);
    ovr_segment_beat(base, 950);
    CHECK(ovr_slot_load_live(base, 3, 1000, 100, &found, &epoch) == 0);
    CHECK(found.market == 3 && epoch == ovr_segment_epoch(base));
    CHECK(ovr_slot_load_live(base, 4, 1000, 100, &found, &epoch) == -ERANGE);
    CHECK(ovr_slot_load_live(base, 3, 1051, 100, &found, &epoch) == -EPROTO);
}

struct bell {
    void *ring;
    int fd;
    uint32_t stop;
    int status;
};

static void *ring_bell(void *context)
{
    struct bell *bell = context;
    bell->status = ovr_spsc_ring_bell(bell->ring, 0, bell->fd, 0, &bell->stop);
    return NULL;
}

static void the_bell_rings_for_every_record_until_it_is_stopped(void)
{
    struct bell bell = {
        .ring = new_segment(OVR_REGION_INTENTS, sizeof(struct ovr_intent), 64),
        .fd = eventfd(0, 0),
    };
    pthread_t thread;
    struct ovr_intent intent = {.price_ticks = 1};
    CHECK(pthread_create(&thread, NULL, ring_bell, &bell) == 0);
    for (int i = 0; i < 50; i++) {
        uint64_t rung;
        CHECK(ovr_spsc_try_push(bell.ring, &intent) == 1);
        CHECK(read(bell.fd, &rung, sizeof rung) == sizeof rung && rung >= 1);
    }
    __atomic_store_n(&bell.stop, 1, __ATOMIC_RELEASE);
    ovr_segment_wake_all(bell.ring);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(bell.status == 0);
    close(bell.fd);
}

int main(void)
{
    RUN(a_record_is_whole_or_not_there);
    RUN(a_slot_is_live_only_under_a_beating_owner);
    RUN(the_bell_rings_for_every_record_until_it_is_stopped);
    return 0;
}
