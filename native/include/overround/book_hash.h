/* The venue's book hash: SHA-1 over the compact JSON of one token's whole book.
 *
 * The members that a stream frame does not carry (minimum size, tick, neg_risk, last trade price)
 * all stand behind the levels. So the state of the hash after the levels is kept, and each guess
 * at those members costs two blocks instead of the whole book: a mismatch can wait for the print
 * that explains it in a hundred bytes. SHA-1 is the venue's choice and guards against loss, not
 * against an adversary.
 */
#ifndef OVERROUND_BOOK_HASH_H
#define OVERROUND_BOOK_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "overround/ladder.h"

/* SHA-1 by libcrypto, as a value: a copy of the struct is a state to go on from. */
struct ovr_sha1 {
    uint32_t words[24];
};

void ovr_sha1_init(struct ovr_sha1 *sha);
void ovr_sha1_update(struct ovr_sha1 *sha, const void *data, size_t length);
void ovr_sha1_final(struct ovr_sha1 *sha, uint8_t digest[20]);

/* What we know of the members behind the levels. */
struct ovr_recipe {
    char min_size[16];   /* "" if unknown */
    char last[16];       /* price of the market's latest print, as the venue formats it */
    char last_before[16];
    uint16_t tick_ticks; /* 0 if unknown */
    int8_t neg_risk;     /* -1 if unknown */
    uint8_t last_known;
    uint8_t proved; /* some hash of this market matched with these members */
    uint8_t pad[3];
};

/* Bytes that the levels of the fullest book need. */
enum { OVR_BOOK_TEXT_BYTES = 2 * OVR_LADDER_LEVELS_MAX * 52 + 1024 };

/* Write the text up to and including the asks, as outcome 0 (YES) or 1 (NO) sees the book; `out`
 * holds OVR_BOOK_TEXT_BYTES. Returns the length. */
size_t ovr_book_text(const struct ovr_ladder *ladder, const char *market, const char *token,
                     int outcome, uint64_t venue_epoch_ms, char *out);

/* Write the members behind the levels and the closing brace; at most 160 bytes. */
size_t ovr_recipe_text(const struct ovr_recipe *recipe, char *out);

/* Does some admissible reading of the recipe give this hash? Both values of neg_risk, the usual
 * formats of the last price and, where unknown, the usual minimum sizes and ticks are tried; what
 * matched is learned. Returns 1 or 0. */
int ovr_recipe_match(struct ovr_recipe *recipe, const struct ovr_sha1 *levels,
                     const uint8_t hash[20]);

#endif
