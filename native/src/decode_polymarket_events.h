/* What a scanned message means, one function an event type. Part of decode_polymarket.c, apart
 * only so that each file keeps to one idea: that one knows structure, this one the venue. */
#ifndef OVERROUND_DECODE_POLYMARKET_EVENTS_H
#define OVERROUND_DECODE_POLYMARKET_EVENTS_H

/* A tick size: a divisor of the grid, at most half of it. */
static int read_tick(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                     uint16_t *ret)
{
    int reason = read_price(out, draft, key, 1, GRID / 2, ret);
    return reason == OVR_PM_OK && GRID % *ret != 0 ? OVR_PM_VALUE : reason;
}

static int read_time(struct ovr_pm_batch *out, const struct draft *draft, uint64_t *ret)
{
    int64_t value = 0;
    int reason = read_decimal(out, draft, KEY_TIMESTAMP, 0, &value);
    *ret = (uint64_t)value;
    return reason;
}

/* Optional text that enters the book hash as it stands. */
static int read_text(struct ovr_pm_batch *out, const struct draft *draft, enum key key,
                     struct ovr_pm_slice *ret)
{
    int64_t ignored;
    if (!present(draft, key)) {
        return OVR_PM_OK;
    }
    int reason = text_of(out, &draft->values[key], ret);
    if (reason == OVR_PM_OK && ret->length != 0 &&
        (ret->length > OVR_PM_TEXT_MAX ||
         ovr_decimal_parse(ret->data, ret->length, SIZE_PLACES, &ignored) != 0)) {
        reason = OVR_PM_VALUE;
    }
    return reason;
}

static int read_list(const struct draft *draft, enum key array, uint32_t *first, uint32_t *count)
{
    if ((draft->seen >> array & 1) == 0) {
        return OVR_PM_TYPE;
    }
    unsigned slot = array - KEY_SCALARS;
    /* null stands for an empty list: some encoders write a nil slice so. */
    bool empty = draft->values[array].kind == OVR_JSON_NULL;
    *first = draft->first[slot];
    *count = draft->count[slot];
    return empty ? OVR_PM_OK : draft->reason[slot];
}

static int read_book(struct ovr_pm_batch *out, const struct draft *draft,
                     struct ovr_pm_event *ret)
{
    int reason = read_id(out, draft, KEY_ASSET_ID, &ret->asset);
    reason = worse(reason, read_time(out, draft, &ret->venue_epoch_ms));
    reason = worse(reason, read_list(draft, KEY_BIDS, &ret->first, &ret->count));
    reason = worse(reason, read_list(draft, KEY_ASKS, &ret->asks_first, &ret->asks_count));
    reason = worse(reason, read_hash(out, draft, ret->hash, &ret->flags));
    if (present(draft, KEY_TICK_SIZE)) {
        reason = worse(reason, read_tick(out, draft, KEY_TICK_SIZE, &ret->tick_ticks));
    }
    reason = worse(reason, read_text(out, draft, KEY_MIN_ORDER_SIZE, &ret->min_size));
    if (present(draft, KEY_LAST_TRADE_PRICE)) {
        reason = worse(reason, read_text(out, draft, KEY_LAST_TRADE_PRICE, &ret->last_trade));
        ret->flags |= OVR_PM_HAS_LAST;
    }
    if (present(draft, KEY_NEG_RISK)) {
        uint8_t kind = draft->values[KEY_NEG_RISK].kind;
        bool boolean = kind == OVR_JSON_TRUE || kind == OVR_JSON_FALSE;
        reason = worse(reason, boolean ? OVR_PM_OK : OVR_PM_TYPE);
        ret->flags |= OVR_PM_NEG_KNOWN | (kind == OVR_JSON_TRUE ? OVR_PM_NEG_RISK : 0);
    }
    return reason;
}

/* The flat form of 2024: the message is its own single entry. */
static int read_flat_change(struct ovr_pm_batch *out, const struct draft *draft,
                            struct ovr_pm_event *ret)
{
    if (out->changes_count == out->changes_capacity) {
        return OVR_PM_TOO_LARGE;
    }
    ret->first = out->changes_count;
    ret->count = 1;
    struct ovr_pm_change *change = &out->changes[out->changes_count++];
    int reason = read_entry(out, draft, KEY_CHANGES, change);
    return present(draft, KEY_ASSET_ID) ? reason : worse(reason, OVR_PM_TYPE);
}

static int read_price_change(struct ovr_pm_batch *out, const struct draft *draft,
                             struct ovr_pm_event *ret)
{
    int reason = read_time(out, draft, &ret->venue_epoch_ms);
    bool nested = present(draft, KEY_PRICE_CHANGES);
    if (!nested && !present(draft, KEY_CHANGES)) {
        return worse(reason, read_flat_change(out, draft, ret));
    }
    enum key array = nested ? KEY_PRICE_CHANGES : KEY_CHANGES;
    reason = worse(reason, read_list(draft, array, &ret->first, &ret->count));
    /* Entries without their own asset (the batch form before 2025) take the message's. */
    bool inherits = present(draft, KEY_ASSET_ID);
    if (inherits) {
        reason = worse(reason, read_id(out, draft, KEY_ASSET_ID, &ret->asset));
    }
    for (uint32_t i = 0; i < ret->count && reason == OVR_PM_OK; i++) {
        struct ovr_pm_change *change = &out->changes[ret->first + i];
        if (change->asset.length == 0) {
            change->asset = ret->asset;
            reason = inherits ? OVR_PM_OK : OVR_PM_TYPE;
        }
    }
    return reason;
}

static int read_last_trade(struct ovr_pm_batch *out, const struct draft *draft,
                           struct ovr_pm_event *ret)
{
    int reason = read_id(out, draft, KEY_ASSET_ID, &ret->asset);
    reason = worse(reason, read_time(out, draft, &ret->venue_epoch_ms));
    reason = worse(reason, read_price(out, draft, KEY_PRICE, 0, GRID, &ret->price_ticks));
    reason = worse(reason, read_decimal(out, draft, KEY_SIZE, SIZE_PLACES, &ret->size_lots));
    if (present(draft, KEY_PRICE)) {
        reason = worse(reason, read_text(out, draft, KEY_PRICE, &ret->last_trade));
        ret->flags |= OVR_PM_HAS_LAST;
    }
    if (present(draft, KEY_SIDE)) {
        reason = worse(reason, read_side(out, draft, &ret->side));
        ret->flags |= OVR_PM_HAS_SIDE;
    }
    return reason;
}

static int read_best_bid_ask(struct ovr_pm_batch *out, const struct draft *draft,
                             struct ovr_pm_event *ret)
{
    int reason = read_id(out, draft, KEY_ASSET_ID, &ret->asset);
    reason = worse(reason, read_time(out, draft, &ret->venue_epoch_ms));
    reason = worse(reason, read_best(out, draft, KEY_BEST_BID, OVR_PM_HAS_BID, &ret->bid_ticks,
                                     &ret->flags));
    return worse(reason, read_best(out, draft, KEY_BEST_ASK, OVR_PM_HAS_ASK, &ret->ask_ticks,
                                   &ret->flags));
}

static int read_tick_change(struct ovr_pm_batch *out, const struct draft *draft,
                            struct ovr_pm_event *ret)
{
    int reason = read_tick(out, draft, KEY_NEW_TICK_SIZE, &ret->tick_ticks);
    reason = worse(reason, read_time(out, draft, &ret->venue_epoch_ms));
    if (present(draft, KEY_ASSET_ID)) {
        reason = worse(reason, read_id(out, draft, KEY_ASSET_ID, &ret->asset));
    }
    return reason;
}

/* New and resolved markets: only what names the market; the catalog asks for the rest. */
static int read_market_event(struct ovr_pm_batch *out, const struct draft *draft,
                             struct ovr_pm_event *ret)
{
    int reason = OVR_PM_OK;
    if (present(draft, KEY_TIMESTAMP)) {
        reason = read_time(out, draft, &ret->venue_epoch_ms);
    }
    if (present(draft, KEY_WINNING_ASSET_ID)) {
        reason = worse(reason, read_id(out, draft, KEY_WINNING_ASSET_ID, &ret->asset));
    }
    return reason;
}

static uint8_t type_of(const char *text, size_t length)
{
    static const struct {
        const char *name;
        uint8_t type;
    } types[] = {
        {"price_change", OVR_PM_PRICE_CHANGE},
        {"book", OVR_PM_BOOK},
        {"last_trade_price", OVR_PM_LAST_TRADE},
        {"best_bid_ask", OVR_PM_BEST_BID_ASK},
        {"tick_size_change", OVR_PM_TICK_SIZE},
        {"new_market", OVR_PM_NEW_MARKET},
        {"market_resolved", OVR_PM_RESOLVED},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i].name) == length && memcmp(types[i].name, text, length) == 0) {
            return types[i].type;
        }
    }
    return OVR_PM_NONE;
}

static int read_type(struct ovr_pm_batch *out, const struct draft *draft, uint8_t *ret)
{
    struct ovr_pm_slice text;
    *ret = OVR_PM_NONE;
    if ((draft->seen >> KEY_EVENT_TYPE & 1) == 0 && out->default_type != OVR_PM_NONE) {
        *ret = (uint8_t)out->default_type;
        return OVR_PM_OK;
    }
    if (!present(draft, KEY_EVENT_TYPE) ||
        draft->values[KEY_EVENT_TYPE].kind != OVR_JSON_STRING) {
        return OVR_PM_TYPE;
    }
    int reason = text_of(out, &draft->values[KEY_EVENT_TYPE], &text);
    if (reason == OVR_PM_OK) {
        *ret = type_of(text.data, text.length);
    }
    /* A name that is no ASCII is simply one we do not know. */
    return reason == OVR_PM_VALUE ? OVR_PM_OK : reason;
}

/* Interpret a message: OVR_PM_OK with type OVR_PM_NONE for an event we do not know. */
static int read_event(struct ovr_pm_batch *out, const struct draft *draft,
                      struct ovr_pm_event *ret)
{
    memset(ret, 0, sizeof *ret);
    int reason = read_type(out, draft, &ret->type);
    if (reason != OVR_PM_OK || ret->type == OVR_PM_NONE) {
        return reason;
    }
    reason = draft->doubled ? OVR_PM_TYPE : OVR_PM_OK;
    reason = worse(reason, read_id(out, draft, KEY_MARKET, &ret->market));
    switch (ret->type) {
    case OVR_PM_BOOK:
        return worse(reason, read_book(out, draft, ret));
    case OVR_PM_PRICE_CHANGE:
        return worse(reason, read_price_change(out, draft, ret));
    case OVR_PM_LAST_TRADE:
        return worse(reason, read_last_trade(out, draft, ret));
    case OVR_PM_TICK_SIZE:
        return worse(reason, read_tick_change(out, draft, ret));
    case OVR_PM_BEST_BID_ASK:
        return worse(reason, read_best_bid_ask(out, draft, ret));
    default:
        return worse(reason, read_market_event(out, draft, ret));
    }
}

#endif
