/* One market's levels as two flat arrays with one bit a level: the floor of a book. */
#ifndef FLAT_BOOK_H
#define FLAT_BOOK_H

#include <stdint.h>

enum { FLAT_LEVELS = 1024, FLAT_WORDS = FLAT_LEVELS / 64 };

struct flat_book {
    int64_t lots[2][FLAT_LEVELS];
    uint64_t bits[2][FLAT_WORDS];
};

static inline void flat_set(struct flat_book *book, unsigned side, unsigned level, int64_t lots)
{
    uint64_t bit = UINT64_C(1) << (level % 64);
    uint64_t *word = &book->bits[side][level / 64];
    book->lots[side][level] = lots;
    *word = lots != 0 ? *word | bit : *word & ~bit;
}

/* Highest bid or lowest ask as a level; -1 for none. */
static inline int flat_best(const struct flat_book *book, unsigned side)
{
    const uint64_t *bits = book->bits[side];
    if (side == 0) {
        for (int word = FLAT_WORDS - 1; word >= 0; word--) {
            if (bits[word] != 0) {
                return word * 64 + 63 - __builtin_clzll(bits[word]);
            }
        }
        return -1;
    }
    for (int word = 0; word < FLAT_WORDS; word++) {
        if (bits[word] != 0) {
            return word * 64 + __builtin_ctzll(bits[word]);
        }
    }
    return -1;
}

#endif
