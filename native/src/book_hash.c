#include "overround/book_hash.h"

/* The plain functions, not EVP: their state is a value that can be copied without an allocation,
 * which is what trying the members of a tail needs. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <string.h>

#include "overround/decimal.h"

_Static_assert(sizeof(SHA_CTX) <= sizeof(struct ovr_sha1), "struct ovr_sha1 holds a SHA_CTX");
_Static_assert(_Alignof(SHA_CTX) <= _Alignof(struct ovr_sha1), "and aligns it");

void ovr_sha1_init(struct ovr_sha1 *sha)
{
    SHA1_Init((SHA_CTX *)sha);
}

void ovr_sha1_update(struct ovr_sha1 *sha, const void *data, size_t length)
{
    SHA1_Update((SHA_CTX *)sha, data, length);
}

void ovr_sha1_final(struct ovr_sha1 *sha, uint8_t digest[20])
{
    SHA1_Final(digest, (SHA_CTX *)sha);
}

/* --- text ---------------------------------------------------------------------------------- */

static char *put(char *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

/* One list as an outcome sees it, worst level first: its own side, or the mirror of the other. */
static char *put_levels(char *at, const struct ovr_ladder *ladder, int side, int outcome)
{
    int held = outcome == 0 ? side : 1 - side;
    const struct ovr_ladder_side *s = &ladder->sides[held];
    const int64_t *lots = ladder->lots + (size_t)held * ladder->levels;
    uint32_t words = (ladder->levels + 63) / 64;
    const char *start = at;
    for (uint32_t n = 0; n < words; n++) {
        uint32_t word = held == OVR_BID ? n : words - 1 - n;
        uint64_t bits = s->words[word];
        while (bits != 0) {
            int bit = held == OVR_BID ? __builtin_ctzll(bits) : 63 - __builtin_clzll(bits);
            bits &= ~(UINT64_C(1) << bit);
            uint32_t level = word * 64 + (uint32_t)bit;
            uint32_t ticks = level * ladder->step;
            at = at == start ? PUT(at, "{\"price\":\"") : PUT(at, ",{\"price\":\"");
            at += ovr_decimal_format(outcome == 0 ? ticks : OVR_LADDER_GRID - ticks, 4, at);
            at = PUT(at, "\",\"size\":\"");
            at += ovr_decimal_format((uint64_t)lots[level], 6, at);
            at = PUT(at, "\"}");
        }
    }
    return at;
}

size_t ovr_book_text(const struct ovr_ladder *ladder, const char *market, const char *token,
                     int outcome, uint64_t venue_epoch_ms, char *out)
{
    char *at = PUT(out, "{\"market\":\"");
    at = put_text(at, market);
    at = PUT(at, "\",\"asset_id\":\"");
    at = put_text(at, token);
    at = PUT(at, "\",\"timestamp\":\"");
    at += ovr_decimal_format(venue_epoch_ms, 0, at);
    at = PUT(at, "\",\"hash\":\"\",\"bids\":[");
    at = put_levels(at, ladder, OVR_BID, outcome);
    at = PUT(at, "],\"asks\":[");
    at = put_levels(at, ladder, OVR_ASK, outcome);
    at = PUT(at, "]");
    return (size_t)(at - out);
}

size_t ovr_recipe_text(const struct ovr_recipe *recipe, char *out)
{
    char *at = PUT(out, ",\"min_order_size\":\"");
    at = put_text(at, recipe->min_size);
    at = PUT(at, "\",\"tick_size\":\"");
    at += ovr_decimal_format(recipe->tick_ticks, 4, at);
    at = PUT(at, "\",\"neg_risk\":");
    at = recipe->neg_risk == 1 ? PUT(at, "true") : PUT(at, "false");
    at = PUT(at, ",\"last_trade_price\":\"");
    at = put_text(at, recipe->last);
    at = PUT(at, "\"}");
    return (size_t)(at - out);
}

/* --- guesses ------------------------------------------------------------------------------- */

/* The same price with exactly `places` decimals if more are mere zeros or missing, else cut to the
 * shortest form: snapshots write "0.870" where prints write "0.87". */
static void reformat(const char *text, unsigned places, char out[16])
{
    size_t length = strlen(text);
    const char *dot = memchr(text, '.', length);
    size_t whole = dot == NULL ? length : (size_t)(dot - text);
    size_t wanted = places == 0 ? whole : whole + 1 + places;
    memset(out, 0, 16);
    memcpy(out, text, length);
    while (dot != NULL && length > wanted && (out[length - 1] == '0' || out[length - 1] == '.')) {
        out[--length] = '\0';
    }
    if (places != 0 && length == whole && length < 15) {
        out[length++] = '.';
    }
    while (length < wanted && length < 15) {
        out[length++] = '0';
    }
}

static int try_one(const struct ovr_recipe *recipe, const struct ovr_sha1 *levels,
                   const uint8_t hash[20])
{
    char text[160];
    uint8_t digest[20];
    struct ovr_sha1 sha = *levels;
    ovr_sha1_update(&sha, text, ovr_recipe_text(recipe, text));
    ovr_sha1_final(&sha, digest);
    return memcmp(digest, hash, sizeof digest) == 0;
}

enum { LAST_FORMS = 6 };

/* Distinct candidates for the last price, the likeliest first. */
static int last_forms(const struct ovr_recipe *recipe, char forms[LAST_FORMS][16])
{
    static const unsigned places[] = {0, 2, 3};
    int count = 0;
    memcpy(forms[count++], recipe->last, 16);
    if (recipe->last_known && recipe->last[0] != '\0') {
        for (int i = 0; i < 3; i++) {
            reformat(recipe->last, places[i], forms[count++]);
        }
    }
    if (recipe->last_before[0] != '\0') {
        memcpy(forms[count++], recipe->last_before, 16);
        reformat(recipe->last_before, 3, forms[count++]);
    }
    int kept = 0;
    for (int i = 0; i < count; i++) {
        int seen = 0;
        for (int j = 0; j < kept; j++) {
            seen |= memcmp(forms[i], forms[j], 16) == 0;
        }
        if (!seen) {
            memmove(forms[kept++], forms[i], 16);
        }
    }
    return kept;
}

/* Try every last price and both neg_risk values on one minimum size and tick. */
static int match_forms(struct ovr_recipe *guess, const struct ovr_sha1 *levels,
                       const uint8_t hash[20], char forms[LAST_FORMS][16], int count)
{
    int8_t likely = guess->neg_risk == 1;
    for (int i = 0; i < count; i++) {
        memcpy(guess->last, forms[i], 16);
        for (int8_t flip = 0; flip < 2; flip++) {
            guess->neg_risk = (int8_t)(likely ^ flip);
            if (try_one(guess, levels, hash)) {
                return 1;
            }
        }
    }
    return 0;
}

int ovr_recipe_match(struct ovr_recipe *recipe, const struct ovr_sha1 *levels,
                     const uint8_t hash[20])
{
    /* Minimum sizes and ticks the venue has used; only tried while the market's are unknown. */
    static const char sizes[][16] = {"5", "15", "1", "0", "10", "20", "50", "100"};
    static const uint16_t ticks[] = {100, 10, 1, 1000, 50, 25};
    char forms[LAST_FORMS][16];
    int count = last_forms(recipe, forms);
    struct ovr_recipe guess = *recipe;
    int sizes_count = recipe->min_size[0] != '\0' ? 1 : (int)(sizeof sizes / sizeof sizes[0]);
    int ticks_count = recipe->tick_ticks != 0 ? 1 : (int)(sizeof ticks / sizeof ticks[0]);
    for (int s = 0; s < sizes_count; s++) {
        for (int t = 0; t < ticks_count; t++) {
            if (recipe->min_size[0] == '\0') {
                memcpy(guess.min_size, sizes[s], 16);
            }
            if (recipe->tick_ticks == 0) {
                guess.tick_ticks = ticks[t];
            }
            guess.neg_risk = recipe->neg_risk;
            if (match_forms(&guess, levels, hash, forms, count)) {
                memcpy(recipe->min_size, guess.min_size, 16);
                recipe->tick_ticks = guess.tick_ticks;
                recipe->neg_risk = guess.neg_risk;
                recipe->proved = 1;
                return 1;
            }
        }
    }
    return 0;
}
