#include "overround/ladder.h"

#include <string.h>

static int64_t *level_at(const struct ovr_ladder *ladder, int side, uint32_t level)
{
    return ladder->lots + (size_t)side * ladder->levels + level;
}

static void set_step(struct ovr_ladder *ladder, uint32_t step)
{
    ladder->step = step;
    ladder->inverse = UINT32_MAX / step + UINT64_C(1);
    ladder->levels = OVR_LADDER_GRID / step + 1;
}

/* price / step without a division: times ceil(2^32 / step). That is too much by less than
 * price / 2^32, which reaches the next whole level only if price * step reaches 2^32; prices on the
 * grid and steps are below 2^14. Callers multiply back, so a price beyond the grid is refused. */
static inline uint32_t level_of(const struct ovr_ladder *ladder, uint32_t price_ticks)
{
    return (uint32_t)(price_ticks * ladder->inverse >> 32);
}

void ovr_ladder_init(struct ovr_ladder *ladder, void *memory, uint32_t step)
{
    memset(ladder, 0, sizeof *ladder);
    ladder->lots = memory;
    set_step(ladder, step);
}

static void clear_side(struct ovr_ladder *ladder, int side)
{
    struct ovr_ladder_side *s = &ladder->sides[side];
    for (uint32_t top = 0; top < OVR_LADDER_TOPS; top++) {
        for (uint64_t words = s->tops[top]; words != 0; words &= words - 1) {
            uint32_t word = top * 64 + (uint32_t)__builtin_ctzll(words);
            for (uint64_t bits = s->words[word]; bits != 0; bits &= bits - 1) {
                *level_at(ladder, side, word * 64 + (uint32_t)__builtin_ctzll(bits)) = 0;
            }
            s->words[word] = 0;
        }
        s->tops[top] = 0;
    }
    s->count = 0;
}

void ovr_ladder_clear(struct ovr_ladder *ladder)
{
    clear_side(ladder, OVR_BID);
    clear_side(ladder, OVR_ASK);
}

int ovr_ladder_set(struct ovr_ladder *ladder, int side, uint32_t price_ticks, int64_t size_lots)
{
    uint32_t level = level_of(ladder, price_ticks);
    if (level * ladder->step != price_ticks || price_ticks > OVR_LADDER_GRID) {
        return -1;
    }
    int64_t *lots = level_at(ladder, side, level);
    int64_t held = *lots;
    struct ovr_ladder_side *s = &ladder->sides[side];
    uint32_t word = level / 64;
    uint64_t *bits = &s->words[word], *top = &s->tops[word / 64];
    /* Without branches: whether a level comes, goes or stays is as good as random. */
    uint64_t held_bit = (uint64_t)(size_lots != 0) << (level % 64);
    *bits = (*bits & ~(UINT64_C(1) << (level % 64))) | held_bit;
    uint64_t held_word = (uint64_t)(*bits != 0) << (word % 64);
    *top = (*top & ~(UINT64_C(1) << (word % 64))) | held_word;
    s->count += (uint32_t)(size_lots != 0) - (uint32_t)(held != 0);
    *lots = size_lots;
    return held != size_lots;
}

int64_t ovr_ladder_get(const struct ovr_ladder *ladder, int side, uint32_t price_ticks)
{
    uint32_t level = level_of(ladder, price_ticks);
    if (level * ladder->step != price_ticks || price_ticks > OVR_LADDER_GRID) {
        return 0;
    }
    return *level_at(ladder, side, level);
}

/* Highest level at or below `from`, or -1. */
static int32_t level_below(const struct ovr_ladder_side *s, int32_t from)
{
    if (from < 0) {
        return -1;
    }
    int32_t word = from / 64;
    uint64_t bits = s->words[word] & (~UINT64_C(0) >> (63 - from % 64));
    if (bits != 0) {
        return word * 64 + 63 - __builtin_clzll(bits);
    }
    for (int32_t top = word / 64; top >= 0; top--) {
        uint64_t words = s->tops[top];
        if (top == word / 64) {
            words &= (UINT64_C(1) << (word % 64)) - 1;
        }
        if (words != 0) {
            int32_t found = top * 64 + 63 - __builtin_clzll(words);
            return found * 64 + 63 - __builtin_clzll(s->words[found]);
        }
    }
    return -1;
}

/* Lowest level at or above `from`, or -1. */
static int32_t level_above(const struct ovr_ladder_side *s, int32_t from)
{
    if (from >= OVR_LADDER_LEVELS_MAX) {
        return -1;
    }
    int32_t word = from / 64;
    uint64_t bits = s->words[word] & (~UINT64_C(0) << (from % 64));
    if (bits != 0) {
        return word * 64 + __builtin_ctzll(bits);
    }
    for (int32_t top = word / 64; top < OVR_LADDER_TOPS; top++) {
        uint64_t words = s->tops[top];
        if (top == word / 64) {
            words &= ~((UINT64_C(2) << (word % 64)) - 1);
        }
        if (words != 0) {
            int32_t found = top * 64 + __builtin_ctzll(words);
            return found * 64 + __builtin_ctzll(s->words[found]);
        }
    }
    return -1;
}

extern inline uint32_t ovr_ladder_best_bid(const struct ovr_ladder *ladder);
extern inline uint32_t ovr_ladder_best_ask(const struct ovr_ladder *ladder);

uint32_t ovr_ladder_depth(const struct ovr_ladder *ladder, int side, struct ovr_level *out,
                          uint32_t max)
{
    const struct ovr_ladder_side *s = &ladder->sides[side];
    int32_t level = side == OVR_BID ? level_below(s, (int32_t)ladder->levels - 1)
                                    : level_above(s, 0);
    uint32_t count = 0;
    while (level >= 0 && count < max) {
        out[count++] = (struct ovr_level){
            .size_lots = *level_at(ladder, side, (uint32_t)level),
            .price_ticks = (uint16_t)((uint32_t)level * ladder->step),
            .side = (uint16_t)side,
        };
        level = side == OVR_BID ? level_below(s, level - 1) : level_above(s, level + 1);
    }
    return count;
}

uint32_t ovr_ladder_fit(uint32_t step, uint32_t price_ticks)
{
    while (price_ticks != 0) {
        uint32_t rest = step % price_ticks;
        step = price_ticks;
        price_ticks = rest;
    }
    return step;
}

void ovr_ladder_regrid(struct ovr_ladder *ladder, uint32_t step, struct ovr_level *scratch)
{
    uint32_t count = ovr_ladder_depth(ladder, OVR_BID, scratch, OVR_LADDER_LEVELS_MAX);
    count += ovr_ladder_depth(ladder, OVR_ASK, scratch + count, OVR_LADDER_LEVELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        step = ovr_ladder_fit(step, scratch[i].price_ticks);
    }
    if (step == ladder->step) {
        return;
    }
    ovr_ladder_clear(ladder);
    set_step(ladder, step);
    for (uint32_t i = 0; i < count; i++) {
        ovr_ladder_set(ladder, scratch[i].side, scratch[i].price_ticks, scratch[i].size_lots);
    }
}
