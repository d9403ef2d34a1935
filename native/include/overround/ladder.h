/* Integer ladder of one market: sizes by price level and hierarchical bitmaps over them.
 *
 * A level is a multiple of `step` on the 1/10,000 grid; prices 1 to 9,999. Setting a level and
 * reading the best price each touch three words a side, however deep the book is.
 *
 * Memory comes from the caller, OVR_LADDER_BYTES a market whatever the step: the arrays use only
 * the beginning that the step needs, so a lazily mapped block costs a page or two for the usual
 * 0.01 tick, and a regrid never allocates.
 */
#ifndef OVERROUND_LADDER_H
#define OVERROUND_LADDER_H

#include <stddef.h>
#include <stdint.h>

enum {
    OVR_LADDER_GRID = 10000,
    OVR_LADDER_LEVELS_MAX = OVR_LADDER_GRID + 1,
    OVR_LADDER_BYTES = 2 * OVR_LADDER_LEVELS_MAX * 8,
    OVR_LADDER_WORDS = (OVR_LADDER_LEVELS_MAX + 63) / 64,
    OVR_LADDER_TOPS = (OVR_LADDER_WORDS + 63) / 64
};

enum { OVR_BID = 0, OVR_ASK = 1 };

struct ovr_ladder_side {
    uint64_t words[OVR_LADDER_WORDS]; /* bit n: level n holds a size */
    uint64_t tops[OVR_LADDER_TOPS];   /* bit n: word n is not zero */
    uint32_t count;
};

struct ovr_ladder {
    int64_t *lots; /* levels of the bids, then of the asks */
    uint64_t inverse; /* 2^32 / step, rounded up */
    uint32_t step;
    uint32_t levels; /* a side: grid / step + 1 */
    struct ovr_ladder_side sides[2];
};

struct ovr_level {
    int64_t size_lots;
    uint16_t price_ticks;
    uint16_t side;
    uint32_t spare;
};

/* `memory`: OVR_LADDER_BYTES, zeroed. `step` divides the grid. */
void ovr_ladder_init(struct ovr_ladder *ladder, void *memory, uint32_t step);

/* Empty both sides; cost grows with the levels held. */
void ovr_ladder_clear(struct ovr_ladder *ladder);

/* Set a level's total size; 0 removes it. Returns 1 if it changed, 0 if it already was so, or
 * -1 if the price is no multiple of the step (regrid first). */
int ovr_ladder_set(struct ovr_ladder *ladder, int side, uint32_t price_ticks, int64_t size_lots);

int64_t ovr_ladder_get(const struct ovr_ladder *ladder, int side, uint32_t price_ticks);

/* Best bid in ticks, or 0; best ask, or OVR_LADDER_GRID. */
inline uint32_t ovr_ladder_best_bid(const struct ovr_ladder *ladder)
{
    const struct ovr_ladder_side *side = &ladder->sides[OVR_BID];
    for (int32_t top = OVR_LADDER_TOPS - 1; top >= 0; top--) {
        if (side->tops[top] != 0) {
            uint32_t word = (uint32_t)top * 64 + 63 - (uint32_t)__builtin_clzll(side->tops[top]);
            uint32_t level = word * 64 + 63 - (uint32_t)__builtin_clzll(side->words[word]);
            return level * ladder->step;
        }
    }
    return 0;
}

inline uint32_t ovr_ladder_best_ask(const struct ovr_ladder *ladder)
{
    const struct ovr_ladder_side *side = &ladder->sides[OVR_ASK];
    for (uint32_t top = 0; top < OVR_LADDER_TOPS; top++) {
        if (side->tops[top] != 0) {
            uint32_t word = top * 64 + (uint32_t)__builtin_ctzll(side->tops[top]);
            uint32_t level = word * 64 + (uint32_t)__builtin_ctzll(side->words[word]);
            return level * ladder->step;
        }
    }
    return OVR_LADDER_GRID;
}

/* Up to `max` levels of a side, best first; returns how many. */
uint32_t ovr_ladder_depth(const struct ovr_ladder *ladder, int side, struct ovr_level *out,
                          uint32_t max);

/* Change the step, keeping every level; `scratch` holds 2 * OVR_LADDER_LEVELS_MAX levels. A level
 * that does not fit the new step makes the step finer (their greatest common divisor). */
void ovr_ladder_regrid(struct ovr_ladder *ladder, uint32_t step, struct ovr_level *scratch);

/* Greatest common divisor: the step that fits both. */
uint32_t ovr_ladder_fit(uint32_t step, uint32_t price_ticks);

#endif
