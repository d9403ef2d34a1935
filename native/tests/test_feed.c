/* The feed engine on real regions: what it publishes, and that its steady state allocates nothing.
 *
 * The frames are written here, in the shape of recorded ones. */
#define _GNU_SOURCE
#include "check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdbool.h>
#include <stdio.h>

#include "overround/broadcast.h"
#include "overround/clock.h"
#include "overround/decode_polymarket.h"
#include "overround/feed.h"
#include "overround/meters.h"
#include "overround/slots.h"
#include "overround/tap.h"

/* Every allocation of the process passes here. Sanitizers bring their own allocator, so the count
 * is taken in the other builds only. */
static unsigned long allocations;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}
enum { COUNTED = 1 };
#else
enum { COUNTED = 0 };
#endif

#define MARKET "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define YES "71321045679252212594626385532706912750332728571942532289631379312455583992563"
#define NO "52114319501245915516055106046884209969926127482827954674443846427813813222426"

static const char opening[] =
    "[{\"market\":\"" MARKET "\",\"asset_id\":\"" YES "\",\"timestamp\":\"1000\",\"hash\":\"\","
    "\"bids\":[{\"price\":\"0.5\",\"size\":\"100\"},{\"price\":\"0.52\",\"size\":\"80\"}],"
    "\"asks\":[{\"price\":\"0.6\",\"size\":\"9\"},{\"price\":\"0.54\",\"size\":\"210.5\"}],"
    "\"tick_size\":\"0.01\",\"last_trade_price\":\"0.520\",\"event_type\":\"book\"}]\n";

struct rig {
    struct ovr_feed *feed;
    void *board, *changes, *trades, *meters;
    struct ovr_tap tap;
    struct ovr_feed_result result;
};

static struct rig rig;

static void build(uint32_t audit_every)
{
    enum { TAP_BYTES = 64 << 20 };
    rig.board = new_segment(OVR_REGION_BOARD, sizeof(struct ovr_board), 8);
    rig.changes = new_segment(OVR_REGION_CHANGES, sizeof(struct ovr_change), 1024);
    rig.trades = new_segment(OVR_REGION_TRADES, sizeof(struct ovr_trade), 1024);
    rig.meters = new_segment(OVR_REGION_METERS, sizeof(struct ovr_meters), 1);
    void *file = mmap(NULL, TAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(file != MAP_FAILED && ovr_tap_format(file, TAP_BYTES, 1, 0, 0) == 0);
    rig.tap = (struct ovr_tap){
        .base = file, .size = TAP_BYTES, .used = OVR_TAP_HEADER_BYTES};
    struct ovr_feed_config config = {
        .markets_capacity = 8, .audit_every = audit_every, .frame_bytes_max = 1 << 22,
        .burst_ns = 2000000, .hash_pending_ns = 250000000, .board = rig.board,
        .changes = rig.changes, .trades = rig.trades, .meters = rig.meters, .tap = &rig.tap};
    rig.feed = ovr_feed_create(&config);
    CHECK(rig.feed != NULL);
    CHECK(ovr_feed_add_market(rig.feed, 3, MARKET, YES, NO, 100, "5", 0, "") == 0);
}

static void frame(const char *text, size_t length)
{
    ovr_feed_frame(rig.feed, text, length, ovr_clock_ns(), 1, &rig.result);
}

/* One price change of two mirrored entries, its sizes and hashes made from `n`. */
static size_t write_change(char *text, size_t capacity, unsigned n)
{
    return (size_t)snprintf(
        text, capacity,
        "{\"market\":\"" MARKET "\", \"price_changes\":[{\"asset_id\":\"" YES "\", "
        "\"price\":\"0.5%u\", \"size\":\"%u.5\", \"side\":\"BUY\", \"hash\":\"%040x\", "
        "\"best_bid\":\"0.52\", \"best_ask\":\"0.54\"}, {\"asset_id\":\"" NO "\", "
        "\"price\":\"0.%u\", \"size\":\"%u.5\", \"side\":\"SELL\", \"hash\":\"%040x\", "
        "\"best_bid\":\"0.46\", \"best_ask\":\"0.48\"}], \"timestamp\":\"17904911%05u\", "
        "\"event_type\":\"price_change\"}",
        n % 3, n % 50 + 1, n, n % 3 == 0 ? 5 : 50 - n % 3, n % 50 + 1, n, n);
}

static void change(unsigned n)
{
    char text[1024];
    size_t length = write_change(text, sizeof text, n);
    frame(text, length);
    CHECK(rig.result.malformed == 0 && rig.result.changes == 2);
}

static void a_published_book_is_in_its_slot_before_its_record_is_in_the_ring(void)
{
    struct ovr_board board;
    struct ovr_change record;
    uint64_t cursor = 0, lost = 0;
    build(0);
    frame(opening, sizeof opening - 1);
    CHECK(rig.result.published == 1 && rig.result.malformed == 0 && rig.result.books == 1);
    CHECK(ovr_slot_load(rig.board, 3, &board) == 0);
    CHECK(ovr_broadcast_poll(rig.changes, &cursor, &record, 1, &lost) == 1);
    CHECK(record.market == 3 && record.version == board.sequence / 2);
    CHECK(record.bid_ticks == 5200 && record.ask_ticks == 5400);
    CHECK(record.bid_lots == 80000000 && record.ask_lots == 210500000);
    CHECK(record.flags == (OVR_BOOK_TRUSTED | OVR_BOOK_SNAPSHOT));
    CHECK(board.bid_levels == 2 && board.ask_ticks[1] == 6000 && board.tick_ticks == 100);
    CHECK(board.proof == OVR_PROOF_SNAPSHOT && board.truncated == 0);
    CHECK(record.event_sequence == board.event_sequence);
    struct ovr_trade note;
    cursor = 0;
    CHECK(ovr_broadcast_poll(rig.trades, &cursor, &note, 1, &lost) == 1);
    CHECK(note.kind == OVR_TRADE_TRUST_GAINED && note.market == 3);
    ovr_feed_untrust(rig.feed, 3, OVR_CAUSE_SILENCE, 5);
    CHECK(ovr_slot_load(rig.board, 3, &board) == 0);
    CHECK((board.flags & OVR_BOOK_TRUSTED) == 0 && board.cause == OVR_CAUSE_SILENCE);
    CHECK(ovr_broadcast_poll(rig.trades, &cursor, &note, 1, &lost) == 1);
    CHECK(note.kind == OVR_TRADE_TRUST_LOST && note.cause == OVR_CAUSE_SILENCE);
    CHECK(ovr_meter_get(rig.meters, OVR_METER_PUBLISHED) == 2);
    ovr_feed_destroy(rig.feed);
}

/* The slot of market 3 shows the best sixteen levels that the feed tells. */
static void check_slot(void)
{
    enum { SHOWN = 16, ALL = 128 };
    struct ovr_board slot;
    CHECK(ovr_slot_load(rig.board, 3, &slot) == 0);
    uint32_t counts[2];
    for (int side = 0; side < 2; side++) {
        uint16_t ticks[ALL];
        int64_t lots[ALL];
        const uint16_t *shown = side == 0 ? slot.bid_ticks : slot.ask_ticks;
        const int64_t *shown_lots = side == 0 ? slot.bid_lots : slot.ask_lots;
        uint32_t count = ovr_feed_levels(rig.feed, 3, 0, side, ticks, lots, ALL);
        counts[side] = count > SHOWN ? SHOWN : count;
        for (uint32_t i = 0; i < SHOWN; i++) {
            uint16_t end = side == 1 && i == 0 ? 10000 : 0;
            CHECK(shown[i] == (i < count ? ticks[i] : end));
            CHECK(shown_lots[i] == (i < count ? lots[i] : 0));
        }
        slot.truncated -= count - counts[side];
    }
    CHECK(slot.bid_levels == counts[0] && slot.ask_levels == counts[1] && slot.truncated == 0);
}

/* One level of YES, or of NO, anywhere on its side; a third of them go. */
static void random_change(unsigned n)
{
    char text[512];
    unsigned side = (unsigned)rand() % 2, cent = (unsigned)rand() % 45 + (side ? 53 : 2);
    unsigned size = rand() % 3 == 0 ? 0 : (unsigned)rand() % 1000 + 1, no = (unsigned)rand() % 2;
    snprintf(text, sizeof text,
             "{\"market\":\"" MARKET "\",\"price_changes\":[{\"asset_id\":\"%s\",\"price\":"
             "\"0.%02u\",\"size\":\"%u\",\"side\":\"%s\"}],\"timestamp\":\"%u\","
             "\"event_type\":\"price_change\"}",
             no ? NO : YES, no ? 100 - cent : cent, size, side ^ no ? "SELL" : "BUY", 2000 + n);
    frame(text, strlen(text));
    CHECK(rig.result.changes == 1 && rig.result.malformed == 0);
}

static void the_slot_shows_the_best_levels_whatever_changes(void)
{
    enum { CHANGES = 20000 };
    static const struct ovr_board blank;
    build(0);
    frame(opening, sizeof opening - 1);
    check_slot();
    srand(11);
    for (unsigned n = 0; n < CHANGES; n++) {
        if (n % 1000 == 500) { /* somebody else repaired it: the next store is a whole one */
            ovr_slot_store(rig.board, 3, &blank);
            do {
                random_change(n);
            } while (rig.result.published == 0);
        } else {
            random_change(n);
        }
        if (n % 5000 == 4999) {
            frame(opening, sizeof opening - 1); /* late, for a trusted book: nothing changes */
        }
        check_slot();
    }
    ovr_feed_destroy(rig.feed);
}

static void steady_frames_allocate_nothing(void)
{
    static const char trade[] =
        "{\"market\":\"" MARKET "\", \"asset_id\":\"" YES "\", \"price\":\"0.54\", \"size\":\"5\","
        " \"side\":\"BUY\", \"timestamp\":\"2000\", \"event_type\":\"last_trade_price\"}";
    static const char tick[] =
        "{\"market\":\"" MARKET "\", \"asset_id\":\"" YES "\", \"new_tick_size\":\"0.0001\","
        " \"timestamp\":\"2000\", \"event_type\":\"tick_size_change\"}";
    for (uint32_t audit = 0; audit < 2; audit++) {
        uint32_t wanted[8];
        build(audit);
        unsigned long before = allocations;
        frame(opening, sizeof opening - 1);
        for (unsigned n = 0; n < 3000; n++) {
            change(n);
            if (n % 100 == 0) {
                frame(trade, sizeof trade - 1);
                frame("{\"event_type\":\"ju\\u0062ilee\"", 27);
                ovr_feed_flush(rig.feed, ovr_clock_ns(), &rig.result);
            }
        }
        frame(tick, sizeof tick - 1);
        ovr_feed_rest_books(rig.feed, opening, sizeof opening - 1, 1, 0, &rig.result);
        ovr_feed_flush(rig.feed, UINT64_MAX, &rig.result);
        ovr_feed_take_resync(rig.feed, wanted, 8);
        if (COUNTED) {
            CHECK(before > 0); /* building did allocate: the counter counts */
            CHECK(allocations == before);
        }
        CHECK(ovr_feed_counter(rig.feed, OVR_METER_FRAMES) >= 3000);
        CHECK(ovr_feed_counter(rig.feed, OVR_METER_TAP_DROPPED) == 0);
        ovr_feed_destroy(rig.feed);
    }
}

#if defined(__x86_64__)
/* Whether this processor tells which parts of its vector registers are in use. */
static bool tells_use(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(13, 1, &a, &b, &c, &d) &&
           (a >> 2 & 1) != 0;
}

static bool upper_halves_used(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1) : "memory");
    return (low >> 2 & 1) != 0;
}

static void decoding_leaves_no_upper_halves_that_would_slow_what_follows(void)
{
    static struct ovr_pm_event events[4];
    static struct ovr_pm_change changes[16];
    static struct ovr_pm_batch batch = {
        .events = events, .changes = changes, .events_capacity = 4, .changes_capacity = 16};
    static char text[1024];
    size_t length = write_change(text, sizeof text, 1);
    if (!tells_use()) {
        return;
    }
    __asm__ volatile("vzeroupper" ::: "memory");
    CHECK(!upper_halves_used());
    int reason = ovr_pm_decode(text, length, &batch);
    bool used = upper_halves_used();
    CHECK(reason == 0 && batch.speculated && !used);
}
#endif

static void a_full_tap_is_told_and_the_books_go_on(void)
{
    build(0);
    rig.tap.size = 4096;
    frame(opening, sizeof opening - 1);
    for (unsigned n = 0; n < 50; n++) {
        change(n);
    }
    CHECK(rig.result.tap_full == 1 && rig.result.published == 1);
    CHECK(ovr_meter_get(rig.meters, OVR_METER_TAP_DROPPED) > 40);
    ovr_feed_destroy(rig.feed);
}

static void every_cut_of_a_frame_is_counted_and_survived(void)
{
    build(1);
    for (size_t length = 0; length < sizeof opening - 2; length++) {
        char *exact = malloc(length + 1); /* reading past the end is for the sanitizer to find */
        memcpy(exact, opening, length);
        frame(exact, length);
        CHECK(rig.result.malformed == 1 && rig.result.published == 0);
        free(exact);
    }
    ovr_feed_destroy(rig.feed);
}

int main(void)
{
    RUN(a_published_book_is_in_its_slot_before_its_record_is_in_the_ring);
    RUN(the_slot_shows_the_best_levels_whatever_changes);
    RUN(steady_frames_allocate_nothing);
#if defined(__x86_64__)
    RUN(decoding_leaves_no_upper_halves_that_would_slow_what_follows);
#endif
    RUN(a_full_tap_is_told_and_the_books_go_on);
    RUN(every_cut_of_a_frame_is_counted_and_survived);
    return 0;
}
