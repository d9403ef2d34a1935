/* The least a scanner can do for the two shapes that matter: order, blanks and lengths are guessed,
 * every key literal is compared, decimals are read sixteen digits at a time.
 *
 * It hands on what the runtime's decoder hands on: where market and asset are, ticks, lots, side,
 * declared bests, the hash's bytes, the time. On any other shape it gives up; it checks no ranges
 * and reports no errors. With less than SSE4.1 it does not compile: then there is no floor. */
#ifndef SCAN_FLOOR_H
#define SCAN_FLOOR_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct floor_change {
    const char *asset;
    int64_t lots;
    uint32_t asset_bytes;
    uint16_t ticks, bid, ask;
    uint8_t side;
    uint8_t hash[24];
};

struct floor_frame {
    const char *market;
    uint64_t epoch_ms;
    uint32_t count;
    uint8_t hash[24];
    struct floor_change changes[512];
};

/* Frames are handed over with 64 readable bytes behind them, so that loads need no care. */
static inline bool floor_same(const char *at, const char *text, unsigned size)
{
    __m128i differ = _mm_xor_si128(_mm_loadu_si128((const void *)at),
                                   _mm_loadu_si128((const void *)text));
    __m128i care = _mm_cmplt_epi8(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                                15), _mm_set1_epi8((char)size));
    return _mm_testz_si128(differ, care);
}

#define FLOOR_LITERAL(at, text)                                                                    \
    ({                                                                                             \
        static const char literal[17] = text;                                                      \
        bool equal = floor_same(at, literal, sizeof(text) - 1);                                    \
        (at) += sizeof(text) - 1;                                                                  \
        equal;                                                                                     \
    })

/* An unsigned decimal up to a quote within 16 bytes, in units of 10^-places; `bad` collects. */
static inline __attribute__((always_inline)) uint64_t floor_decimal(const char **at, int places,
                                                                    unsigned *bad)
{
    __m128i text = _mm_loadu_si128((const void *)*at);
    unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')));
    unsigned points = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('.')));
    unsigned quote = (unsigned)__builtin_ctz(quotes | 0x10000);
    unsigned point = (unsigned)__builtin_ctz(points | 1u << quote);
    __m128i digits = _mm_sub_epi8(text, _mm_set1_epi8('0'));
    const __m128i lane = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int whole = 16 - places; /* lanes of the integer part, right aligned; then the fraction */
    __m128i from = _mm_add_epi8(lane, _mm_set1_epi8((char)((int)point - whole)));
    __m128i fraction = _mm_cmpgt_epi8(lane, _mm_set1_epi8((char)(whole - 1)));
    from = _mm_sub_epi8(from, fraction); /* one further: behind the point */
    __m128i past = _mm_cmpgt_epi8(from, _mm_set1_epi8((char)(quote - 1)));
    from = _mm_or_si128(from, _mm_and_si128(past, fraction));
    __m128i aligned = _mm_shuffle_epi8(digits, from);
    *bad |= quote > 15 || quote == 0 || quote > point + 1 + (unsigned)places ||
            _mm_movemask_epi8(_mm_cmpgt_epi8(_mm_max_epu8(aligned, _mm_set1_epi8(9)),
                                             _mm_set1_epi8(9)));
    __m128i pairs = _mm_maddubs_epi16(aligned, _mm_set1_epi16(0x010a));
    __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00010064));
    __m128i packed = _mm_packus_epi32(fours, fours);
    __m128i eights = _mm_madd_epi16(packed, _mm_set1_epi32(0x00012710));
    uint64_t two = (uint64_t)_mm_cvtsi128_si64(eights);
    *at += quote + 1;
    return (two & 0xffffffff) * 100000000 + (two >> 32);
}

static inline void floor_hash(const char **at, uint8_t *hash, unsigned *bad)
{
    for (int i = 0; i < 3; i++) {
        __m128i text = _mm_loadu_si128((const void *)(*at + (i == 2 ? 24 : 16 * i)));
        __m128i low = _mm_and_si128(text, _mm_set1_epi8(0x0f));
        __m128i letter = _mm_cmpgt_epi8(text, _mm_set1_epi8('9'));
        __m128i value = _mm_add_epi8(low, _mm_and_si128(letter, _mm_set1_epi8(9)));
        __m128i bytes = _mm_maddubs_epi16(value, _mm_set1_epi16(0x0110));
        uint64_t word = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(bytes, bytes));
        memcpy(hash + (i == 2 ? 12 : 8 * i), &word, 8);
    }
    *bad |= (*at)[40] != '"';
    *at += 41;
}

/* An identifier of 64 to 80 characters up to its quote. */
static inline uint32_t floor_id(const char **at, const char **ret, unsigned *bad)
{
    __m128i tail = _mm_loadu_si128((const void *)(*at + 65));
    unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(tail, _mm_set1_epi8('"')));
    uint32_t bytes = 65 + (uint32_t)__builtin_ctz(quotes | 0x10000);
    *bad |= quotes == 0;
    *ret = *at;
    *at += bytes + 1;
    return bytes;
}

static inline bool floor_price_change(const char *at, struct floor_frame *ret)
{
    unsigned bad = 0;
    bad |= !FLOOR_LITERAL(at, "{\"market\":\"");
    floor_id(&at, &ret->market, &bad);
    bad |= !FLOOR_LITERAL(at, ", \"price_chang");
    bad |= !FLOOR_LITERAL(at, "es\":[");
    ret->count = 0;
    for (;;) {
        struct floor_change *entry = &ret->changes[ret->count++];
        bad |= !FLOOR_LITERAL(at, "{\"asset_id\":\"");
        entry->asset_bytes = floor_id(&at, &entry->asset, &bad);
        bad |= !FLOOR_LITERAL(at, ", \"price\":\"");
        entry->ticks = (uint16_t)floor_decimal(&at, 4, &bad);
        bad |= !FLOOR_LITERAL(at, ", \"size\":\"");
        entry->lots = (int64_t)floor_decimal(&at, 6, &bad);
        bad |= !FLOOR_LITERAL(at, ", \"side\":\"");
        entry->side = *at == 'S';
        bad |= entry->side ? !floor_same(at, "SELL\"           ", 5)
                           : !floor_same(at, "BUY\"            ", 4);
        at += 4 + entry->side;
        bad |= !FLOOR_LITERAL(at, ", \"hash\":\"");
        floor_hash(&at, entry->hash, &bad);
        bad |= !FLOOR_LITERAL(at, ", \"best_bid\":\"");
        entry->bid = (uint16_t)floor_decimal(&at, 4, &bad);
        bad |= !FLOOR_LITERAL(at, ", \"best_ask\":\"");
        entry->ask = (uint16_t)floor_decimal(&at, 4, &bad);
        if (bad || at[0] != '}') {
            return false;
        }
        if (at[1] != ',') {
            break;
        }
        at += 3;
    }
    bad |= !FLOOR_LITERAL(at, "}], \"timestamp");
    bad |= !FLOOR_LITERAL(at, "\":\"");
    ret->epoch_ms = floor_decimal(&at, 0, &bad);
    bad |= !FLOOR_LITERAL(at, ", \"event_type\":");
    bad |= !FLOOR_LITERAL(at, "\"price_change\"}");
    return !bad;
}

static inline const char *floor_levels(const char *at, struct floor_frame *ret, uint8_t side,
                                       unsigned *bad)
{
    for (;;) {
        struct floor_change *level = &ret->changes[ret->count++];
        *bad |= !FLOOR_LITERAL(at, "{\"price\":\"");
        level->ticks = (uint16_t)floor_decimal(&at, 4, bad);
        *bad |= !FLOOR_LITERAL(at, ",\"size\":\"");
        level->lots = (int64_t)floor_decimal(&at, 6, bad);
        level->side = side;
        if (*bad || at[1] != ',') {
            *bad |= at[0] != '}' || at[1] != ']';
            return at + 2;
        }
        at += 2;
    }
}

/* An opening snapshot of one token with both sides. */
static inline bool floor_snapshot(const char *at, struct floor_frame *ret)
{
    unsigned bad = 0;
    const char *asset;
    ret->count = 0;
    bad |= !FLOOR_LITERAL(at, "[{\"market\":\"");
    floor_id(&at, &ret->market, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"asset_id\":\"");
    floor_id(&at, &asset, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"timestamp\":\"");
    ret->epoch_ms = floor_decimal(&at, 0, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"hash\":\"");
    floor_hash(&at, ret->hash, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"bids\":[");
    at = floor_levels(at, ret, 0, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"asks\":[");
    at = floor_levels(at, ret, 1, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"tick_size\":\"");
    floor_decimal(&at, 4, &bad);
    bad |= !FLOOR_LITERAL(at, ",\"event_type\":");
    bad |= !FLOOR_LITERAL(at, "\"book\",\"last_t");
    bad |= !FLOOR_LITERAL(at, "rade_price\":\"");
    floor_decimal(&at, 6, &bad);
    bad |= !FLOOR_LITERAL(at, "}]");
    return !bad;
}

#endif
