#include "overround/decode_polymarket.h"

#include <string.h>

#include "decode_speculative.h"
#include "json_scan.h"
#include "overround/decimal.h"

/* Members we know, of the message and of the entries inside it. */
enum key {
    KEY_EVENT_TYPE,
    KEY_MARKET,
    KEY_ASSET_ID,
    KEY_TIMESTAMP,
    KEY_HASH,
    KEY_PRICE,
    KEY_SIZE,
    KEY_SIDE,
    KEY_BEST_BID,
    KEY_BEST_ASK,
    KEY_TICK_SIZE,
    KEY_NEW_TICK_SIZE,
    KEY_LAST_TRADE_PRICE,
    KEY_MIN_ORDER_SIZE,
    KEY_NEG_RISK,
    KEY_WINNING_ASSET_ID,
    KEY_SCALARS,
    KEY_BIDS = KEY_SCALARS,
    KEY_ASKS,
    KEY_PRICE_CHANGES,
    KEY_CHANGES,
    KEY_COUNT,
    KEY_OTHER = KEY_COUNT
};

enum { ARRAYS = KEY_COUNT - KEY_SCALARS, PRICE_PLACES = 4, SIZE_PLACES = 6, GRID = 10000 };

/* One object while its members arrive: what it means is known only after the last of them. */
struct draft {
    struct ovr_json_value values[KEY_COUNT];
    uint32_t seen;
    uint32_t first[ARRAYS], count[ARRAYS];
    uint8_t reason[ARRAYS];
    uint8_t doubled;
};

static enum key key_of(const char *text, uint32_t length)
{
#define IS(word) (memcmp(text, word, sizeof(word) - 1) == 0)
    switch (length) {
    case 4:
        return IS("size") ? KEY_SIZE : IS("side") ? KEY_SIDE : IS("hash") ? KEY_HASH
             : IS("bids") ? KEY_BIDS : IS("asks") ? KEY_ASKS : KEY_OTHER;
    case 5:
        return IS("price") ? KEY_PRICE : KEY_OTHER;
    case 6:
        return IS("market") ? KEY_MARKET : KEY_OTHER;
    case 7:
        return IS("changes") ? KEY_CHANGES : KEY_OTHER;
    case 8:
        return IS("asset_id") ? KEY_ASSET_ID : IS("best_bid") ? KEY_BEST_BID
             : IS("best_ask") ? KEY_BEST_ASK : IS("neg_risk") ? KEY_NEG_RISK : KEY_OTHER;
    case 9:
        return IS("timestamp") ? KEY_TIMESTAMP : IS("tick_size") ? KEY_TICK_SIZE : KEY_OTHER;
    case 10:
        return IS("event_type") ? KEY_EVENT_TYPE : KEY_OTHER;
    case 13:
        return IS("price_changes") ? KEY_PRICE_CHANGES
             : IS("new_tick_size") ? KEY_NEW_TICK_SIZE : KEY_OTHER;
    case 14:
        return IS("min_order_size") ? KEY_MIN_ORDER_SIZE : KEY_OTHER;
    case 16:
        return IS("last_trade_price") ? KEY_LAST_TRADE_PRICE
             : IS("winning_asset_id") ? KEY_WINNING_ASSET_ID : KEY_OTHER;
    default:
        return KEY_OTHER;
    }
#undef IS
}

static enum key key_of_value(const struct ovr_json_value *name)
{
    if (!name->escaped) {
        return key_of(name->data, name->length);
    }
    char text[32];
    int length = ovr_json_unescape(name, text, sizeof text);
    return length < 0 ? KEY_OTHER : key_of(text, (uint32_t)length);
}

/* The graver of two reasons: a wrong type outranks a wrong value. */
static int worse(int a, int b)
{
    if (a == OVR_PM_OK || b == OVR_PM_OK) {
        return a | b;
    }
    return a < b ? a : b;
}

/* --- values of one object ---------------------------------------------------------------- */

static bool present(const struct draft *draft, enum key key)
{
    return (draft->seen >> key & 1) != 0 && draft->values[key].kind != OVR_JSON_NULL;
}

/* Text of a string or number; escapes are resolved into the arena. */
static int text_of(struct ovr_pm_batch *out, const struct ovr_json_value *value,
                   struct ovr_pm_slice *ret)
{
    if (value->kind != OVR_JSON_STRING && value->kind != OVR_JSON_NUMBER) {
        return OVR_PM_TYPE;
    }
    if (!value->escaped) {
        *ret = (struct ovr_pm_slice){value->data, value->length};
        return OVR_PM_OK;
    }
    size_t room = OVR_PM_ARENA_BYTES - out->arena_used;
    char *text = out->arena + out->arena_used;
    int length = ovr_json_unescape(value, text, room < OVR_PM_ID_MAX ? room : OVR_PM_ID_MAX);
    if (length < 0) {
        return room < OVR_PM_ID_MAX ? OVR_PM_TOO_LARGE : OVR_PM_VALUE;
    }
    out->arena_used += (uint32_t)length;
    *ret = (struct ovr_pm_slice){text, (uint32_t)length};
    return OVR_PM_OK;
}

/* A required identifier: a string of 1 to OVR_PM_ID_MAX printable ASCII characters, no blanks. */
static int read_id(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                   struct ovr_pm_slice *ret)
{
    if (!present(draft, key) || draft->values[key].kind != OVR_JSON_STRING) {
        return OVR_PM_TYPE;
    }
    int reason = text_of(out, &draft->values[key], ret);
    if (reason != OVR_PM_OK) {
        return reason;
    }
    if (ret->length == 0 || ret->length > OVR_PM_ID_MAX) {
        return OVR_PM_VALUE;
    }
    for (uint32_t i = 0; i < ret->length; i++) {
        if (ret->data[i] <= ' ' || ret->data[i] > '~') {
            return OVR_PM_VALUE;
        }
    }
    return OVR_PM_OK;
}

static int read_decimal(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                        unsigned places, int64_t *ret)
{
    struct ovr_pm_slice text;
    if (!present(draft, key)) {
        return OVR_PM_TYPE;
    }
    int reason = text_of(out, &draft->values[key], &text);
    if (reason == OVR_PM_OK && ovr_decimal_parse(text.data, text.length, places, ret) != 0) {
        reason = OVR_PM_VALUE;
    }
    return reason;
}

static int read_price(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                      int64_t lowest, int64_t highest, uint16_t *ret)
{
    int64_t ticks = 0;
    int reason = read_decimal(out, draft, key, PRICE_PLACES, &ticks);
    if (reason == OVR_PM_OK && (ticks < lowest || ticks > highest)) {
        reason = OVR_PM_VALUE;
    }
    *ret = (uint16_t)ticks;
    return reason;
}

/* A declared best price: absent, null and "" all mean that none was declared. */
static int read_best(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                     uint8_t flag, uint16_t *ret, uint8_t *flags)
{
    if (!present(draft, key) ||
        (draft->values[key].kind == OVR_JSON_STRING && draft->values[key].length == 0)) {
        return OVR_PM_OK;
    }
    *flags |= flag;
    return read_price(out, draft, key, 0, GRID, ret);
}

static int read_side(struct ovr_pm_batch *out, const struct draft *draft, uint8_t *ret)
{
    struct ovr_pm_slice text;
    if (!present(draft, KEY_SIDE) || draft->values[KEY_SIDE].kind != OVR_JSON_STRING) {
        return OVR_PM_TYPE;
    }
    int reason = text_of(out, &draft->values[KEY_SIDE], &text);
    if (reason != OVR_PM_OK) {
        return reason;
    }
    if (text.length == 3 && memcmp(text.data, "BUY", 3) == 0) {
        *ret = 0;
        return OVR_PM_OK;
    }
    *ret = 1;
    return text.length == 4 && memcmp(text.data, "SELL", 4) == 0 ? OVR_PM_OK : OVR_PM_VALUE;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The book hash; any string but 40 hex digits counts as none declared. */
static int read_hash(struct ovr_pm_batch *out, const struct draft *draft, uint8_t hash[20],
                     uint8_t *flags)
{
    struct ovr_pm_slice text;
    if (!present(draft, KEY_HASH)) {
        return OVR_PM_OK;
    }
    if (draft->values[KEY_HASH].kind != OVR_JSON_STRING) {
        return OVR_PM_TYPE;
    }
    int reason = text_of(out, &draft->values[KEY_HASH], &text);
    if (reason == OVR_PM_TOO_LARGE) {
        return reason;
    }
    if (reason != OVR_PM_OK || text.length != 40) {
        return OVR_PM_OK;
    }
    for (int i = 0; i < 20; i++) {
        int high = nibble(text.data[2 * i]);
        int low = nibble(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return OVR_PM_OK;
        }
        hash[i] = (uint8_t)(high << 4 | low);
    }
    *flags |= OVR_PM_HAS_HASH;
    return OVR_PM_OK;
}

/* --- structure ----------------------------------------------------------------------------- */

enum { STEP_BROKEN = -1, STEP_FULL = -2 };

static void note_doubled(struct draft *draft, enum key key)
{
    draft->doubled |= (uint8_t)(draft->seen >> key & 1);
    draft->seen |= UINT32_C(1) << key;
}

/* Members of a level or price-change entry whose brace was consumed. */
static int scan_entry(struct ovr_json *json, unsigned depth, struct draft *entry)
{
    entry->seen = 0;
    entry->doubled = 0;
    if (ovr_json_peek(json) == '}') {
        json->at++;
        return 0;
    }
    int more;
    do {
        struct ovr_json_value name, value;
        if (!ovr_json_key(json, &name) || !ovr_json_value(json, depth, &value)) {
            return STEP_BROKEN;
        }
        enum key key = key_of_value(&name);
        if (key != KEY_OTHER) {
            note_doubled(entry, key);
            entry->values[key] = value;
        }
        more = ovr_json_next(json, '}');
    } while (more > 0);
    return more < 0 ? STEP_BROKEN : 0;
}

/* Meaning of one entry; `array` says which list it stands in. */
static int read_entry(struct ovr_pm_batch *out, const struct draft *entry, enum key array,
                      struct ovr_pm_change *ret)
{
    memset(ret, 0, sizeof *ret);
    int reason = entry->doubled ? OVR_PM_TYPE : OVR_PM_OK;
    reason = worse(reason, read_price(out, entry, KEY_PRICE, 1, GRID - 1, &ret->price_ticks));
    reason = worse(reason, read_decimal(out, entry, KEY_SIZE, SIZE_PLACES, &ret->size_lots));
    if (array == KEY_BIDS || array == KEY_ASKS) {
        ret->side = array == KEY_ASKS;
        return reason;
    }
    reason = worse(reason, read_side(out, entry, &ret->side));
    reason = worse(reason, read_hash(out, entry, ret->hash, &ret->flags));
    reason = worse(reason, read_best(out, entry, KEY_BEST_BID, OVR_PM_HAS_BID, &ret->bid_ticks,
                                     &ret->flags));
    reason = worse(reason, read_best(out, entry, KEY_BEST_ASK, OVR_PM_HAS_ASK, &ret->ask_ticks,
                                     &ret->flags));
    if (present(entry, KEY_ASSET_ID)) {
        reason = worse(reason, read_id(out, entry, KEY_ASSET_ID, &ret->asset));
    }
    return reason;
}

/* One of the lists; a value of another kind than array is noted, not fatal. */
static int scan_list(struct ovr_json *json, unsigned depth, enum key array,
                     struct ovr_pm_batch *out, struct draft *draft)
{
    struct ovr_json_value *value = &draft->values[array];
    unsigned slot = array - KEY_SCALARS;
    struct draft entry;
    draft->first[slot] = out->changes_count;
    draft->count[slot] = 0;
    draft->reason[slot] = OVR_PM_OK;
    if (ovr_json_peek(json) != '[') {
        if (!ovr_json_value(json, depth, value)) {
            return STEP_BROKEN;
        }
        draft->reason[slot] = OVR_PM_TYPE;
        return 0;
    }
    json->at++;
    value->kind = OVR_JSON_ARRAY;
    if (ovr_json_peek(json) == ']') {
        json->at++;
        return 0;
    }
    int more;
    do {
        if (ovr_json_peek(json) == '{') {
            json->at++;
            if (scan_entry(json, depth + 2, &entry) != 0) {
                return STEP_BROKEN;
            }
            if (out->changes_count == out->changes_capacity) {
                return STEP_FULL;
            }
            int reason =
                read_entry(out, &entry, array, &out->changes[out->changes_count++]);
            if (reason == OVR_PM_TOO_LARGE) {
                return STEP_FULL;
            }
            draft->reason[slot] = (uint8_t)worse(draft->reason[slot], reason);
            draft->count[slot]++;
        } else {
            struct ovr_json_value ignored;
            if (!ovr_json_value(json, depth + 1, &ignored)) {
                return STEP_BROKEN;
            }
            draft->reason[slot] = OVR_PM_TYPE;
        }
        more = ovr_json_next(json, ']');
    } while (more > 0);
    return more < 0 ? STEP_BROKEN : 0;
}

/* Members of a message whose brace was consumed. */
static int scan_message(struct ovr_json *json, unsigned depth, struct ovr_pm_batch *out,
                        struct draft *draft)
{
    draft->seen = 0;
    draft->doubled = 0;
    if (ovr_json_peek(json) == '}') {
        json->at++;
        return 0;
    }
    int more;
    do {
        struct ovr_json_value name, ignored;
        if (!ovr_json_key(json, &name)) {
            return STEP_BROKEN;
        }
        enum key key = key_of_value(&name);
        int step = 0;
        if (key == KEY_OTHER) {
            step = ovr_json_value(json, depth, &ignored) ? 0 : STEP_BROKEN;
        } else {
            note_doubled(draft, key);
            step = key >= KEY_SCALARS ? scan_list(json, depth, key, out, draft)
                 : ovr_json_value(json, depth, &draft->values[key]) ? 0 : STEP_BROKEN;
        }
        if (step != 0) {
            return step;
        }
        more = ovr_json_next(json, '}');
    } while (more > 0);
    return more < 0 ? STEP_BROKEN : 0;
}

#include "decode_polymarket_events.h"

/* One message: scan, then interpret; a rejected one gives its changes back. */
static int decode_message(struct ovr_json *json, unsigned depth, struct ovr_pm_batch *out)
{
    struct draft draft;
    uint32_t changes_before = out->changes_count;
    int step = scan_message(json, depth, out, &draft);
    if (step != 0) {
        return step;
    }
    if (out->events_count == out->events_capacity) {
        return STEP_FULL;
    }
    struct ovr_pm_event *event = &out->events[out->events_count];
    int reason = read_event(out, &draft, event);
    if (reason == OVR_PM_TOO_LARGE) {
        return STEP_FULL;
    }
    if (reason == OVR_PM_OK && event->type != OVR_PM_NONE) {
        out->events_count++;
        return 0;
    }
    out->changes_count = changes_before;
    out->unknown += reason == OVR_PM_OK;
    out->rejected_type += reason == OVR_PM_TYPE;
    out->rejected_value += reason == OVR_PM_VALUE;
    return 0;
}

static int decode_array(struct ovr_json *json, struct ovr_pm_batch *out)
{
    if (ovr_json_peek(json) == ']') {
        json->at++;
        return 0;
    }
    int more;
    do {
        int step = 0;
        if (ovr_json_peek(json) == '{') {
            json->at++;
            step = decode_message(json, 2, out);
        } else {
            struct ovr_json_value ignored;
            step = ovr_json_value(json, 1, &ignored) ? 0 : STEP_BROKEN;
            out->rejected_type++;
        }
        if (step != 0) {
            return step;
        }
        more = ovr_json_next(json, ']');
    } while (more > 0);
    return more < 0 ? STEP_BROKEN : 0;
}

typedef bool speculate(const char *buf, size_t len, struct ovr_pm_batch *out);

static inline int decode(const char *buf, size_t len, struct ovr_pm_batch *out, speculate *first)
{
    struct ovr_json json = {buf, buf + len};
    out->events_count = out->changes_count = 0;
    out->rejected_type = out->rejected_value = out->unknown = 0;
    out->arena_used = 0;
    out->speculated = 0;
    if (len > UINT32_MAX) {
        return OVR_PM_TOO_LARGE;
    }
    if (out->default_type == OVR_PM_NONE && first(buf, len, out)) {
        out->speculated = 1;
        return OVR_PM_OK;
    }
    int step = 0;
    bool scalar = false;
    if (ovr_json_take(&json, '{')) {
        step = decode_message(&json, 1, out);
    } else if (ovr_json_take(&json, '[')) {
        step = decode_array(&json, out);
    } else {
        struct ovr_json_value ignored;
        scalar = true;
        step = ovr_json_value(&json, 0, &ignored) ? 0 : STEP_BROKEN;
    }
    if (step == 0) {
        ovr_json_space(&json);
        step = json.at == json.end ? 0 : STEP_BROKEN;
    }
    if (step == 0 && !scalar) {
        return OVR_PM_OK;
    }
    out->events_count = out->changes_count = 0;
    out->rejected_type = out->rejected_value = out->unknown = 0;
    return scalar && step == 0 ? OVR_PM_TYPE : step == STEP_FULL ? OVR_PM_TOO_LARGE : OVR_PM_JSON;
}

int ovr_pm_decode(const char *buf, size_t len, struct ovr_pm_batch *out)
{
    return decode(buf, len, out, ovr_pm_speculate);
}

int ovr_pm_decode_base(const char *buf, size_t len, struct ovr_pm_batch *out)
{
    return decode(buf, len, out, ovr_pm_speculate_base);
}
