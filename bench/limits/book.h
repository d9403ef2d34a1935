/* The updates that both books see; book.c makes them, book_ours.c applies them to the ladders. */
#ifndef BENCH_BOOK_H
#define BENCH_BOOK_H

#include <stdint.h>

#include "overround/ladder.h"

enum { MARKETS = 64, UPDATES = 16384, STEP = 10, MIDDLE = 500, REACH = 40, GRID = OVR_LADDER_GRID };

struct update {
    uint16_t market, level;
    uint8_t side;
    int64_t lots;
};

/* Apply all of them; returns the sum of the bests read, which both sides must agree on. */
uint64_t pass_ours(struct ovr_ladder *ladders, const struct update *updates);

#endif
