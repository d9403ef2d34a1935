/* The venue's three usual forms, checked to the last byte. Part of decode_speculative.c and
 * decode_avx2.c, which compile it for what the processor has: usual lengths are read by
 * decode_fast.h, the others, and whatever is wrong, byte by byte by this file. */
#ifndef OVERROUND_DECODE_FORMS_H
#define OVERROUND_DECODE_FORMS_H

#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "decode_speculative.h"
#include "overround/decimal.h"

enum { GRID = 10000, PRICE_DIGITS = 4, SIZE_DIGITS = 6, HASH_DIGITS = 40, WHOLE_DIGITS = 12 };

struct cursor {
    const char *at;
    const char *end;
};

/* --- pieces -------------------------------------------------------------------------------- */

static inline uint64_t load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Whether `size` bytes are equal; sizes are constants, so this becomes a few loads. */
static inline __attribute__((always_inline)) bool same(const char *a, const char *b, size_t size)
{
    if (size < 8) {
        return memcmp(a, b, size) == 0;
    }
    uint64_t differ = load8(a + size - 8) ^ load8(b + size - 8);
    for (size_t i = 0; i + 8 < size; i += 8) {
        differ |= load8(a + i) ^ load8(b + i);
    }
    return differ == 0;
}

/* Consume a literal. */
#define TAKE(cursor, text)                                                                         \
    ((size_t)((cursor)->end - (cursor)->at) >= sizeof(text) - 1 &&                                 \
     same((cursor)->at, text, sizeof(text) - 1) && ((cursor)->at += sizeof(text) - 1, true))

#if defined(__SSE2__)
#define OVR_FAST 1
#include "decode_fast.h"
#endif

static inline void clear_change(struct ovr_pm_change *change)
{
#if defined(OVR_FAST)
    fast_clear(change, sizeof *change);
#else
    memset(change, 0, sizeof *change);
#endif
}

static inline void clear_event(struct ovr_pm_event *event)
{
#if defined(OVR_FAST)
    fast_clear(event, sizeof *event);
#else
    memset(event, 0, sizeof *event);
#endif
}

/* First byte that no identifier holds: quote, backslash, blank, or none of printable ASCII. */
static inline const char *skip_id(const char *at, const char *end)
{
#if defined(OVR_FAST)
    at = fast_skip_id(at, end);
    if (end - at >= 16) {
        return at;
    }
#endif
    while (at < end && *at > ' ' && *at < 0x7f && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

/* An identifier up to its closing quote, which is consumed. */
static inline __attribute__((always_inline)) bool take_id(struct cursor *cursor,
                                                          struct ovr_pm_slice *ret)
{
    const char *at = cursor->at, *stop = skip_id(at, cursor->end);
    size_t length = (size_t)(stop - at);
    if (stop == cursor->end || *stop != '"' || length - 1 > OVR_PM_ID_MAX - 1) {
        return false;
    }
    *ret = (struct ovr_pm_slice){at, (uint32_t)length};
    cursor->at = stop + 1;
    return true;
}

/* The same, quicker for a token's decimal digits. */
static inline __attribute__((always_inline)) bool take_token(struct cursor *cursor,
                                                             struct ovr_pm_slice *ret)
{
#if defined(OVR_AVX2)
    unsigned length = fast_token(cursor->at, cursor->end);
    if (length != 0) {
        *ret = (struct ovr_pm_slice){cursor->at, length};
        cursor->at += length + 1;
        return true;
    }
#endif
    return take_id(cursor, ret);
}

/* digits[.digits] up to its closing quote, which is consumed, in units of 10^-places. */
static inline __attribute__((always_inline)) bool take_decimal(struct cursor *cursor,
                                                               unsigned places, int64_t *ret)
{
    static const int64_t power[SIZE_DIGITS + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    const char *at = cursor->at, *end = cursor->end;
    int64_t value = 0;
    unsigned digit;
    if (end - at > WHOLE_DIGITS) {
        end = at + WHOLE_DIGITS; /* longer ones are rare, and could overflow */
    }
    const char *first = at;
    while (at < end && (digit = (unsigned)(unsigned char)*at - '0') <= 9) {
        value = value * 10 + digit;
        at++;
    }
    unsigned missing = places;
    if (at == first || at == end) {
        return false;
    }
    if (*at == '.' && places != 0) {
        const char *point = at++;
        const char *last = (size_t)(cursor->end - at) > places ? at + places : cursor->end;
        while (at < last && (digit = (unsigned)(unsigned char)*at - '0') <= 9) {
            value = value * 10 + digit;
            at++;
        }
        missing = places - (unsigned)(at - point - 1);
        if (missing == places || at == cursor->end) {
            return false;
        }
    }
    if (*at != '"') {
        return false;
    }
    *ret = value * power[missing];
    cursor->at = at + 1;
    return true;
}

static inline bool take_price(struct cursor *cursor, int64_t lowest, int64_t highest,
                              uint16_t *ret)
{
    int64_t ticks;
    if (!take_decimal(cursor, PRICE_DIGITS, &ticks) || ticks < lowest || ticks > highest) {
        return false;
    }
    *ret = (uint16_t)ticks;
    return true;
}

/* Milliseconds have 13 digits until the year 2286: more than take_decimal takes at once. */
static inline bool take_time(struct cursor *cursor, uint64_t *ret)
{
#if defined(OVR_FAST)
    unsigned taken = fast_time(cursor->at, cursor->end, ret);
    if (taken != 0) {
        cursor->at += taken;
        return true;
    }
#endif
    const char *at = cursor->at;
    const char *end = cursor->end - at > 18 ? at + 18 : cursor->end;
    uint64_t value = 0;
    unsigned digit;
    while (at < end && (digit = (unsigned)(unsigned char)*at - '0') <= 9) {
        value = value * 10 + digit;
        at++;
    }
    if (at == cursor->at || at == end || *at != '"') {
        return false;
    }
    *ret = value;
    cursor->at = at + 1;
    return true;
}

#if !defined(OVR_FAST)
static inline bool hash_bytes(const char *at, uint8_t hash[20])
{
    unsigned bad = 0;
    for (int i = 0; i < HASH_DIGITS; i++) {
        unsigned digit = (unsigned)(unsigned char)at[i] - '0';
        unsigned letter = ((unsigned)(unsigned char)at[i] | 0x20) - 'a';
        unsigned value = digit <= 9 ? digit : letter + 10;
        bad |= digit > 9 && letter > 5;
        hash[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : hash[i / 2] | value);
    }
    return bad == 0;
}
#endif

static inline bool take_hash(struct cursor *cursor, uint8_t hash[20])
{
    if (cursor->end - cursor->at <= HASH_DIGITS || cursor->at[HASH_DIGITS] != '"' ||
        !hash_bytes(cursor->at, hash)) {
        return false;
    }
    cursor->at += HASH_DIGITS + 1;
    return true;
}

/* --- price changes ------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) bool take_entry(struct cursor *cursor,
                                                             struct ovr_pm_change *ret)
{
    clear_change(ret);
    if (!TAKE(cursor, "{\"asset_id\":\"") || !take_token(cursor, &ret->asset)) {
        return false;
    }
#if defined(OVR_FAST)
    if (fast_entry(cursor, ret)) {
        return true;
    }
#endif
    if (!TAKE(cursor, ", \"price\":\"") ||
        !take_price(cursor, 1, GRID - 1, &ret->price_ticks) || !TAKE(cursor, ", \"size\":\"") ||
        !take_decimal(cursor, SIZE_DIGITS, &ret->size_lots) || !TAKE(cursor, ", \"side\":\"")) {
        return false;
    }
    if (TAKE(cursor, "SELL\"")) {
        ret->side = 1;
    } else if (!TAKE(cursor, "BUY\"")) {
        return false;
    }
    ret->flags = OVR_PM_HAS_HASH | OVR_PM_HAS_BID | OVR_PM_HAS_ASK;
    return TAKE(cursor, ", \"hash\":\"") && take_hash(cursor, ret->hash) &&
           TAKE(cursor, ", \"best_bid\":\"") && take_price(cursor, 0, GRID, &ret->bid_ticks) &&
           TAKE(cursor, ", \"best_ask\":\"") && take_price(cursor, 0, GRID, &ret->ask_ticks) &&
           TAKE(cursor, "}");
}

/* Behind `{"market":"ID"`. */
static bool take_price_change(struct cursor *cursor, struct ovr_pm_batch *out,
                              struct ovr_pm_event *event)
{
    struct cursor here = *cursor;
    uint32_t count = 0;
    do {
        if (count == out->changes_capacity || !take_entry(&here, &out->changes[count])) {
            return false;
        }
        count++;
    } while (TAKE(&here, ", "));
    out->changes_count = count;
    event->type = OVR_PM_PRICE_CHANGE;
    event->count = count;
    *cursor = here;
    return TAKE(cursor, "], \"timestamp\":\"") && take_time(cursor, &event->venue_epoch_ms) &&
           TAKE(cursor, ", \"event_type\":\"price_change\"}");
}

/* --- books --------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) bool
take_level(struct cursor *cursor, bool blanks, uint8_t side, struct ovr_pm_change *ret)
{
    clear_change(ret);
#if defined(OVR_FAST)
    if (fast_level(cursor, blanks, side, ret)) {
        return true;
    }
#endif
    ret->side = side;
    return TAKE(cursor, "{\"price\":\"") && take_price(cursor, 1, GRID - 1, &ret->price_ticks) &&
           (blanks ? TAKE(cursor, ", \"size\":\"") : TAKE(cursor, ",\"size\":\"")) &&
           take_decimal(cursor, SIZE_DIGITS, &ret->size_lots) && TAKE(cursor, "}");
}

/* The levels of one side up to its bracket, which is consumed. The opening book is written without
 * blanks, the later ones with one behind each comma. */
static inline __attribute__((always_inline)) bool
take_levels(struct cursor *cursor, struct ovr_pm_batch *out, uint8_t side, bool blanks,
            uint32_t *ret_first, uint32_t *ret_count)
{
    uint32_t first = out->changes_count, count = first;
    struct cursor here = *cursor;
    *ret_first = first;
    *ret_count = 0;
    if (TAKE(cursor, "]")) {
        return true;
    }
    do {
        if (count == out->changes_capacity ||
            !take_level(&here, blanks, side, &out->changes[count])) {
            return false;
        }
        count++;
    } while (blanks ? TAKE(&here, ", ") : TAKE(&here, ","));
    out->changes_count = count;
    *ret_count = count - first;
    *cursor = here;
    return TAKE(cursor, "]");
}

/* Behind `{"market":"ID", "asset_id":"`: a book after a trade. */
static bool take_refresh(struct cursor *cursor, struct ovr_pm_batch *out,
                         struct ovr_pm_event *event)
{
    event->type = OVR_PM_BOOK;
    event->flags = OVR_PM_HAS_HASH;
    return take_token(cursor, &event->asset) && TAKE(cursor, ", \"bids\":[") &&
           take_levels(cursor, out, 0, true, &event->first, &event->count) &&
           TAKE(cursor, ", \"asks\":[") &&
           take_levels(cursor, out, 1, true, &event->asks_first, &event->asks_count) &&
           TAKE(cursor, ", \"hash\":\"") && take_hash(cursor, event->hash) &&
           TAKE(cursor, ", \"timestamp\":\"") && take_time(cursor, &event->venue_epoch_ms) &&
           TAKE(cursor, ", \"event_type\":\"book\"}");
}

/* Decimal text that the book's hash needs as it stands. */
static bool take_text(struct cursor *cursor, struct ovr_pm_slice *ret)
{
    int64_t ignored;
    return take_id(cursor, ret) && ret->length <= OVR_PM_TEXT_MAX &&
           ovr_decimal_parse(ret->data, ret->length, SIZE_DIGITS, &ignored) == 0;
}

/* One book of the opening array. */
static bool take_opening(struct cursor *cursor, struct ovr_pm_batch *out)
{
    if (out->events_count == out->events_capacity) {
        return false;
    }
    struct ovr_pm_event *event = &out->events[out->events_count];
    clear_event(event);
    event->type = OVR_PM_BOOK;
    event->flags = OVR_PM_HAS_HASH | OVR_PM_HAS_LAST;
    if (!TAKE(cursor, "{\"market\":\"") || !take_id(cursor, &event->market) ||
        !TAKE(cursor, ",\"asset_id\":\"") || !take_token(cursor, &event->asset) ||
        !TAKE(cursor, ",\"timestamp\":\"") || !take_time(cursor, &event->venue_epoch_ms) ||
        !TAKE(cursor, ",\"hash\":\"") || !take_hash(cursor, event->hash) ||
        !TAKE(cursor, ",\"bids\":[") ||
        !take_levels(cursor, out, 0, false, &event->first, &event->count) ||
        !TAKE(cursor, ",\"asks\":[") ||
        !take_levels(cursor, out, 1, false, &event->asks_first, &event->asks_count) ||
        !TAKE(cursor, ",\"tick_size\":\"") ||
        !take_price(cursor, 1, GRID / 2, &event->tick_ticks) || GRID % event->tick_ticks != 0 ||
        !TAKE(cursor, ",\"event_type\":\"book\",\"last_trade_price\":\"") ||
        !take_text(cursor, &event->last_trade) || !TAKE(cursor, "}")) {
        return false;
    }
    out->events_count++;
    return true;
}

/* --- frames -------------------------------------------------------------------------------- */

static bool at_end(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == '\n' || *cursor->at == ' ')) {
        cursor->at++;
    }
    return cursor->at == cursor->end;
}

static bool take_object(struct cursor *cursor, struct ovr_pm_batch *out)
{
    if (out->events_capacity == 0) {
        return false;
    }
    struct ovr_pm_event *event = &out->events[0];
    clear_event(event);
    if (!take_id(cursor, &event->market)) {
        return false;
    }
    bool taken = TAKE(cursor, ", \"price_changes\":[") ? take_price_change(cursor, out, event)
               : TAKE(cursor, ", \"asset_id\":\"")     ? take_refresh(cursor, out, event)
                                                        : false;
    out->events_count = taken;
    return taken;
}

static bool take_array(struct cursor *cursor, struct ovr_pm_batch *out)
{
    do {
        if (!take_opening(cursor, out)) {
            return false;
        }
    } while (TAKE(cursor, ","));
    return TAKE(cursor, "]");
}

static bool take_frame(const char *buf, size_t len, struct ovr_pm_batch *out)
{
    struct cursor cursor = {buf, buf + len};
    bool taken = TAKE(&cursor, "{\"market\":\"") ? take_object(&cursor, out)
               : TAKE(&cursor, "[")              ? take_array(&cursor, out)
                                                 : false;
    if (taken && at_end(&cursor)) {
        return true;
    }
    out->events_count = out->changes_count = 0;
    return false;
}

#endif
