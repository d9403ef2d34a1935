/* Fuzz target: arbitrary bytes through decoder, books and hashes. scripts/fuzz drives it with
 * coverage; test_decode_seeds.c runs the committed seeds through it in every build. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../src/feed_internal.h"
#include "overround/decode_polymarket.h"
#include "overround/feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)  \
    do {                 \
        if (!(condition)) { \
            abort();     \
        }                \
    } while (0)

enum { EVENTS = 32, CHANGES = 128 };

static struct ovr_feed *feed;

static struct ovr_pm_event events[EVENTS];
static struct ovr_pm_change changes[CHANGES];
static struct ovr_pm_batch batch = {
    .events = events, .changes = changes, .events_capacity = EVENTS, .changes_capacity = CHANGES};

static void check_slice(const struct ovr_pm_slice *slice, const char *frame, size_t size)
{
    if (slice->length == 0) {
        return;
    }
    const char *end = slice->data + slice->length;
    MUST((slice->data >= frame && end <= frame + size) ||
         (slice->data >= batch.arena && end <= batch.arena + batch.arena_used));
}

static void check_changes(const char *frame, size_t size, uint32_t first, uint32_t count)
{
    MUST(count <= batch.changes_count && first <= batch.changes_count - count);
    for (uint32_t i = first; i < first + count; i++) {
        MUST(changes[i].price_ticks >= 1 && changes[i].price_ticks <= 9999);
        MUST(changes[i].size_lots >= 0 && changes[i].side <= 1);
        MUST(changes[i].bid_ticks <= 10000 && changes[i].ask_ticks <= 10000);
        check_slice(&changes[i].asset, frame, size);
    }
}

static void check_batch(const char *frame, size_t size)
{
    MUST(batch.events_count <= EVENTS && batch.changes_count <= CHANGES);
    MUST(batch.arena_used <= OVR_PM_ARENA_BYTES);
    for (uint32_t i = 0; i < batch.events_count; i++) {
        const struct ovr_pm_event *event = &events[i];
        MUST(event->type >= OVR_PM_BOOK && event->type <= OVR_PM_RESOLVED);
        MUST(event->market.length > 0 && event->market.length <= OVR_PM_ID_MAX);
        MUST(event->tick_ticks <= 5000 && event->price_ticks <= 10000);
        MUST(event->last_trade.length <= OVR_PM_TEXT_MAX);
        MUST(event->min_size.length <= OVR_PM_TEXT_MAX);
        check_slice(&event->market, frame, size);
        check_slice(&event->asset, frame, size);
        check_changes(frame, size, event->first, event->count);
        check_changes(frame, size, event->asks_first, event->asks_count);
    }
}

/* What the slot is to show is what the ladder holds. */
static void check_top(const struct ovr_board *board, int side, const uint16_t *ticks,
                      const int64_t *lots, uint32_t count)
{
    enum { SHOWN = 16 };
    const uint16_t *shown = side == 0 ? board->bid_ticks : board->ask_ticks;
    const int64_t *shown_lots = side == 0 ? board->bid_lots : board->ask_lots;
    MUST((side == 0 ? board->bid_levels : board->ask_levels) == (count < SHOWN ? count : SHOWN));
    for (uint32_t i = 0; i < SHOWN; i++) {
        MUST(shown[i] == (i < count ? ticks[i] : side == 1 && i == 0 ? OVR_LADDER_GRID : 0));
        MUST(shown_lots[i] == (i < count ? lots[i] : 0));
    }
}

/* Books must hold together whatever came: sides counted right, walked in order. */
static void check_books(void)
{
    static uint16_t ticks[OVR_LADDER_LEVELS_MAX];
    static int64_t lots[OVR_LADDER_LEVELS_MAX];
    for (uint32_t index = 0; index < ovr_feed_markets_count(feed); index++) {
        for (int side = 0; side < 2; side++) {
            uint32_t count =
                ovr_feed_levels(feed, index, 0, side, ticks, lots, OVR_LADDER_LEVELS_MAX);
            for (uint32_t i = 0; i < count; i++) {
                MUST(lots[i] > 0);
                MUST(i == 0 || (side == 0 ? ticks[i] < ticks[i - 1] : ticks[i] > ticks[i - 1]));
            }
            check_top(&feed->markets[index].board, side, ticks, lots, count);
        }
    }
}

/* What this processor has and what every one has must say the same. */
static void check_base(const char *frame, size_t size)
{
    static struct ovr_pm_event other_events[EVENTS];
    static struct ovr_pm_change other_changes[CHANGES];
    static struct ovr_pm_batch other = {.events = other_events, .changes = other_changes,
                                        .events_capacity = EVENTS, .changes_capacity = CHANGES};
    int reason = ovr_pm_decode_base(frame, size, &other);
    batch.default_type = OVR_PM_NONE;
    MUST(reason == ovr_pm_decode(frame, size, &batch));
    MUST(batch.speculated == other.speculated && batch.changes_count == other.changes_count);
    MUST(batch.events_count == other.events_count);
    if (batch.speculated) { /* otherwise texts may stand in either arena */
        MUST(memcmp(events, other_events, batch.events_count * sizeof events[0]) == 0);
        MUST(memcmp(changes, other_changes, batch.changes_count * sizeof changes[0]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    struct ovr_feed_result result;
    char *frame = malloc(size + 1); /* exactly sized: a read past the end is found */
    MUST(frame != NULL);
    frame = realloc(frame, size != 0 ? size : 1);
    MUST(frame != NULL);
    memcpy(frame, data, size);
    check_base(frame, size);
    for (uint32_t type = OVR_PM_NONE; type <= OVR_PM_BOOK; type++) {
        batch.default_type = type;
        int reason = ovr_pm_decode(frame, size, &batch);
        MUST(reason == OVR_PM_OK || batch.events_count == 0);
        check_batch(frame, size);
    }
    if (feed == NULL || ++inputs % 64 == 0) {
        struct ovr_feed_config config = {.markets_capacity = 8, .audit_every = 1, .learn = 1,
                                         .frame_bytes_max = 1 << 20, .burst_ns = 2000000,
                                         .hash_pending_ns = 250000000};
        ovr_feed_destroy(feed);
        feed = ovr_feed_create(&config);
        MUST(feed != NULL);
    }
    ovr_feed_frame(feed, frame, size, inputs, 1, &result);
    ovr_feed_rest_books(feed, frame, size, inputs, 1, &result);
    ovr_feed_flush(feed, inputs % 8 == 0 ? UINT64_MAX : inputs * UINT64_C(1000000), &result);
    check_books();
    free(frame);
    return 0;
}
