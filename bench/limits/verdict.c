/* From the bytes of a price change to a changed book: the floor, and the runtime's entry points.
 *
 * Floor of a frame: the scanner of scan_floor.h, then for each of its entries one update and both
 * best prices of a flat book, and whether they cross. It is told which market a frame is about. */
#include "bench.h"
#include "flat_book.h"
#include "scan_floor.h"

#include "overround/broadcast.h"
#include "overround/feed.h"

enum { STEP = 10, MARKETS_MAX = 64 };

static struct flat_book books[MARKETS_MAX];

uint64_t verdict_floor(uint32_t count, const char *const *frames, const uint32_t *markets,
                       uint32_t *ret_crossed)
{
    static struct floor_frame frame;
    uint32_t crossed = 0;
    uint64_t begun = bench_ns();
    for (uint32_t i = 0; i < count; i++) {
        NEED(floor_price_change(frames[i], &frame));
        struct flat_book *book = &books[markets[i]];
        for (uint32_t n = 0; n < frame.count; n++) {
            const struct floor_change *c = &frame.changes[n];
            unsigned flip = n % 2; /* the entry of NO says the same in NO's terms */
            unsigned ticks = flip ? 10000 - c->ticks : c->ticks;
            flat_set(book, c->side ^ flip, ticks / STEP, c->lots);
            int bid = flat_best(book, 0), ask = flat_best(book, 1);
            crossed += ask >= 0 && bid >= ask;
        }
    }
    *ret_crossed = crossed;
    return bench_ns() - begun;
}

/* The runtime's calls under names of our own, with addresses as integers for Numba. */
int64_t verdict_frame(int64_t feed, int64_t frame, int64_t length, int64_t recv_ns);
int64_t verdict_frame(int64_t feed, int64_t frame, int64_t length, int64_t recv_ns)
{
    static struct ovr_feed_result result;
    ovr_feed_frame((struct ovr_feed *)(uintptr_t)feed, (const char *)(uintptr_t)frame,
                   (size_t)length, (uint64_t)recv_ns, 1, &result);
    return result.changes;
}

int64_t verdict_poll(int64_t ring, int64_t cursor, int64_t records, int64_t most);
int64_t verdict_poll(int64_t ring, int64_t cursor, int64_t records, int64_t most)
{
    uint64_t lost = 0;
    uint32_t count = ovr_broadcast_poll((void *)(uintptr_t)ring, (uint64_t *)(uintptr_t)cursor,
                                        (void *)(uintptr_t)records, (uint32_t)most, &lost);
    return lost != 0 ? -1 : (int64_t)count;
}
