/* The sixteen best levels of each side, kept in the image of the market's slot as the ladder moves:
 * publishing then copies words that changed instead of walking the ladder. */
#include <string.h>

#include "feed_internal.h"

enum { LEVELS = 16, WORD_BYTES = 8, TICKS_PER_WORD = 4 };

/* The words of the slot that hold levels `first` to the last, of one side. */
static uint64_t words_from(int side, uint32_t first)
{
    size_t lots = side == OVR_BID ? offsetof(struct ovr_board, bid_lots)
                                  : offsetof(struct ovr_board, ask_lots);
    size_t ticks = side == OVR_BID ? offsetof(struct ovr_board, bid_ticks)
                                   : offsetof(struct ovr_board, ask_ticks);
    uint64_t lots_words = ((UINT64_C(1) << (LEVELS - first)) - 1) << (lots / WORD_BYTES + first);
    uint32_t word = first / TICKS_PER_WORD, words = LEVELS / TICKS_PER_WORD - word;
    return lots_words | ((UINT64_C(1) << words) - 1) << (ticks / WORD_BYTES + word);
}

_Static_assert(sizeof(struct ovr_board) <= 64 * WORD_BYTES, "a bit of a mask for every word");
_Static_assert(offsetof(struct ovr_board, bid_ticks) % WORD_BYTES == 0 &&
                   offsetof(struct ovr_board, ask_ticks) % WORD_BYTES == 0,
               "ticks begin at a word");

static void fill_side(struct market *market, int side)
{
    struct ovr_level levels[LEVELS];
    struct ovr_board *board = &market->board;
    uint16_t *ticks = side == OVR_BID ? board->bid_ticks : board->ask_ticks;
    int64_t *lots = side == OVR_BID ? board->bid_lots : board->ask_lots;
    uint32_t count = ovr_ladder_depth(&market->ladder, side, levels, LEVELS);
    memset(ticks, 0, LEVELS * sizeof *ticks);
    memset(lots, 0, LEVELS * sizeof *lots);
    for (uint32_t i = 0; i < count; i++) {
        ticks[i] = levels[i].price_ticks;
        lots[i] = levels[i].size_lots;
    }
    if (count == 0 && side == OVR_ASK) {
        ticks[0] = OVR_LADDER_GRID;
    }
    *(side == OVR_BID ? &board->bid_levels : &board->ask_levels) = (uint16_t)count;
    market->stale_words |= words_from(side, 0);
}

void ovr_top_fill(struct market *market)
{
    fill_side(market, OVR_BID);
    fill_side(market, OVR_ASK);
}

/* How many of the `count` levels are better than a price. Without branches: which level changes is
 * as good as random. */
static uint32_t better(const uint16_t *ticks, uint32_t count, int side, uint32_t price_ticks)
{
    int16_t price = (int16_t)price_ticks;
    uint16_t above = 0, below = 0;
    for (uint32_t i = 0; i < LEVELS; i++) {
        above = (uint16_t)(above + ((int16_t)ticks[i] > price));
        below = (uint16_t)(below + ((int16_t)ticks[i] < price));
    }
    if (count == 0) {
        return 0; /* an empty ask side shows the grid's end */
    }
    /* What is not used is 0: no price, and below all. */
    return side == OVR_BID ? above : below - (LEVELS - count);
}

/* A level came or went: every one behind it moves. */
static void shift(struct market *market, int side, uint32_t at, bool came, uint32_t price_ticks,
                  int64_t size_lots)
{
    struct ovr_board *board = &market->board;
    uint16_t *ticks = side == OVR_BID ? board->bid_ticks : board->ask_ticks;
    int64_t *lots = side == OVR_BID ? board->bid_lots : board->ask_lots;
    uint16_t *count = side == OVR_BID ? &board->bid_levels : &board->ask_levels;
    uint32_t behind = LEVELS - 1 - at;
    if (came) {
        memmove(&ticks[at + 1], &ticks[at], behind * sizeof *ticks);
        memmove(&lots[at + 1], &lots[at], behind * sizeof *lots);
        ticks[at] = (uint16_t)price_ticks;
        lots[at] = size_lots;
        *count = (uint16_t)(*count + (*count < LEVELS));
        if (*count == 1) {
            ticks[1] = 0; /* an empty ask side had shown the grid's end, which moved here */
        }
        market->stale_words |= words_from(side, at);
        return;
    }
    if (*count == LEVELS || *count == 1) {
        fill_side(market, side); /* one from behind the sixteenth may show, or none at all */
        return;
    }
    memmove(&ticks[at], &ticks[at + 1], behind * sizeof *ticks);
    memmove(&lots[at], &lots[at + 1], behind * sizeof *lots);
    --*count; /* the last place was free, and what moved from it is nothing */
    market->stale_words |= words_from(side, at);
}

void ovr_top_set(struct market *market, int side, uint32_t price_ticks, int64_t size_lots)
{
    struct ovr_board *board = &market->board;
    const uint16_t *ticks = side == OVR_BID ? board->bid_ticks : board->ask_ticks;
    uint32_t count = side == OVR_BID ? board->bid_levels : board->ask_levels;
    uint32_t at = better(ticks, count, side, price_ticks);
    if (at == LEVELS) {
        return;
    }
    bool known = at < count && ticks[at] == price_ticks;
    if (!known || size_lots == 0) {
        shift(market, side, at, !known, price_ticks, size_lots);
        return;
    }
    size_t lots = side == OVR_BID ? offsetof(struct ovr_board, bid_lots)
                                  : offsetof(struct ovr_board, ask_lots);
    (side == OVR_BID ? board->bid_lots : board->ask_lots)[at] = size_lots;
    market->stale_words |= UINT64_C(1) << (lots / WORD_BYTES + at);
}
