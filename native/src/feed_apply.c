/* Events of a decoded frame, applied to the markets they name. */
#include <string.h>

#include "feed_internal.h"
#include "overround/clock.h"
#include "overround/tap.h"

static bool is_token(const struct market *market, int outcome, const struct ovr_pm_slice *token)
{
    const char *text = market->view.tokens[outcome].token;
    return token->length < sizeof market->view.tokens[outcome].token &&
           memcmp(text, token->data, token->length) == 0 && text[token->length] == '\0';
}

/* Find the market and outcome of a token, learning it where that is wanted; NULL is counted. The
 * entries of a change come in pairs, one a token: `other`, if not NULL, is the market of the entry
 * before, and *outcome that entry's. */
static struct market *market_of(struct ovr_feed *feed, const struct ovr_pm_slice *condition,
                                const struct ovr_pm_slice *token, struct market *other,
                                int *outcome)
{
    uint32_t what = 0;
    struct market *market = NULL;
    if (other != NULL && is_token(other, 1 - *outcome, token)) {
        market = other;
        what = (uint32_t)(1 - *outcome) + 1;
    } else {
        market = ovr_feed_lookup(feed, token->data, token->length, &what);
    }
    if (market != NULL && what < 3) {
        *outcome = (int)what - 1;
    } else if (market == NULL && feed->config.learn) {
        market = ovr_feed_learn(feed, condition, token, outcome);
    } else {
        market = NULL;
    }
    if (market == NULL) {
        feed->result->unknown_assets++;
        ovr_feed_count(feed, OVR_METER_UNKNOWN_ASSET, 1);
        return NULL;
    }
    market->view.last_data_ns = feed->now_ns;
    if (market->frame_stamp[*outcome] != feed->frame_number) {
        market->frame_stamp[*outcome] = feed->frame_number;
        market->view.tokens[*outcome].frames++;
    }
    return market;
}

/* The market is part of the event at hand: number the event once, settle it once at the end. */
static void touch(struct ovr_feed *feed, struct market *market, uint64_t venue_epoch_ms)
{
    if (venue_epoch_ms > market->view.venue_epoch_ms) {
        market->view.venue_epoch_ms = venue_epoch_ms;
    }
    market->view.event_sequence = feed->event_sequence;
    if (market->event_stamp != feed->event_sequence) {
        market->event_stamp = feed->event_sequence;
        feed->touched[feed->touched_count++] = market->view.index;
    }
}

/* A price and side of an outcome's own book, in terms of the YES book. */
static uint32_t yes_ticks(int outcome, uint32_t ticks)
{
    return outcome == 0 ? ticks : OVR_LADDER_GRID - ticks;
}

/* Returns whether that changed the ladder. */
static bool set_level(struct ovr_feed *feed, struct market *market, int held, uint32_t price,
                      int64_t size_lots)
{
    int changed = ovr_ladder_set(&market->ladder, held, price, size_lots);
    if (changed < 0) {
        uint32_t step = ovr_ladder_fit(market->ladder.step, price);
        ovr_ladder_regrid(&market->ladder, step, feed->scratch);
        changed = ovr_ladder_set(&market->ladder, held, price, size_lots);
    }
    return changed != 0;
}

/* --- whole books --------------------------------------------------------------------------- */

static bool same_side(const struct ovr_pm_batch *batch, const struct market *market, int outcome,
                      int side, uint32_t first, uint32_t count)
{
    int held = outcome == 0 ? side : 1 - side;
    if (market->ladder.sides[held].count != count) {
        return false;
    }
    for (uint32_t i = first; i < first + count; i++) {
        const struct ovr_pm_change *level = &batch->changes[i];
        uint32_t price = yes_ticks(outcome, level->price_ticks);
        if (ovr_ladder_get(&market->ladder, held, price) != level->size_lots) {
            return false;
        }
    }
    return true;
}

/* Does our book already hold exactly these levels? (Doubled prices or zero sizes: no.) */
static bool same_book(const struct ovr_pm_batch *batch, const struct market *market, int outcome,
                      const struct ovr_pm_event *event)
{
    return same_side(batch, market, outcome, OVR_BID, event->first, event->count) &&
           same_side(batch, market, outcome, OVR_ASK, event->asks_first, event->asks_count);
}

static void take_recipe(struct ovr_feed *feed, struct market *market,
                        const struct ovr_pm_event *event)
{
    struct ovr_recipe *recipe = &market->view.recipe;
    if (event->tick_ticks != 0 && event->tick_ticks != recipe->tick_ticks) {
        if (recipe->tick_ticks != 0) {
            ovr_publish_note(feed, market, OVR_TRADE_TICK, OVR_CAUSE_NONE, event->tick_ticks,
                             event->venue_epoch_ms);
        }
        recipe->tick_ticks = event->tick_ticks;
    }
    if (event->min_size.length != 0) {
        memset(recipe->min_size, 0, sizeof recipe->min_size);
        memcpy(recipe->min_size, event->min_size.data, event->min_size.length);
    }
    if (event->flags & OVR_PM_NEG_KNOWN) {
        recipe->neg_risk = (event->flags & OVR_PM_NEG_RISK) != 0;
    }
    if ((event->flags & OVR_PM_HAS_LAST) &&
        event->venue_epoch_ms >= market->view.last_trade_epoch_ms) {
        ovr_feed_recipe_last(market, event->last_trade.data, event->last_trade.length);
    }
}

static void load_side(struct ovr_feed *feed, struct market *market, int outcome, int side,
                      uint32_t first, uint32_t count)
{
    int held = outcome == 0 ? side : 1 - side;
    for (uint32_t i = first; i < first + count; i++) {
        const struct ovr_pm_change *level = &feed->batch->changes[i];
        set_level(feed, market, held, yes_ticks(outcome, level->price_ticks), level->size_lots);
    }
}

static void load_levels(struct ovr_feed *feed, struct market *market, int outcome,
                        const struct ovr_pm_event *event)
{
    uint32_t tick = market->view.recipe.tick_ticks;
    ovr_ladder_clear(&market->ladder);
    ovr_ladder_regrid(&market->ladder, tick != 0 ? tick : OVR_FEED_STEP_DEFAULT, feed->scratch);
    load_side(feed, market, outcome, OVR_BID, event->first, event->count);
    load_side(feed, market, outcome, OVR_ASK, event->asks_first, event->asks_count);
    ovr_top_fill(market);
}

/* Replace our book by a whole one; trust follows unless it is crossed. */
static void load_book(struct ovr_feed *feed, struct market *market, int outcome,
                      const struct ovr_pm_event *event, uint32_t proof)
{
    struct ovr_feed_market *view = &market->view;
    take_recipe(feed, market, event);
    if (!view->has_snapshot || !same_book(feed->batch, market, outcome, event)) {
        load_levels(feed, market, outcome, event);
        market->dirty = true;
    }
    view->has_snapshot = 1;
    view->snapshot_epoch_ms = event->venue_epoch_ms;
    if (event->venue_epoch_ms > market->changed_epoch_ms) {
        market->changed_epoch_ms = event->venue_epoch_ms;
    }
    market->snapshot_sequence = feed->event_sequence;
    memset(market->declared_bits, 0, sizeof market->declared_bits);
    feed->result->books++;
    feed->result->levels += event->count + event->asks_count;
    ovr_feed_count(feed, OVR_METER_SNAPSHOTS, 1);
    ovr_trust_prove(feed, market, proof);
    if (!ovr_book_crossed(market)) {
        ovr_trust_gain(feed, market);
    }
}

static void apply_book(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    int outcome;
    struct market *market = market_of(feed, &event->market, &event->asset, NULL, &outcome);
    if (market == NULL) {
        return;
    }
    /* While we trust our book, a whole book older than our newest change is a late duplicate. */
    if (market->view.trusted && event->venue_epoch_ms < market->changed_epoch_ms) {
        feed->result->stale++;
        ovr_feed_count(feed, OVR_METER_STALE_DROPPED, 1);
        return;
    }
    /* While we do not, it begins the stream anew: all that follows on its connection builds on it,
     * whatever stamp an answer of the REST side bore. */
    if (!market->view.trusted) {
        market->view.snapshot_epoch_ms = 0;
        market->changed_epoch_ms = 0;
    }
    if (!ovr_burst_begin(feed, market, event->venue_epoch_ms)) {
        return;
    }
    touch(feed, market, event->venue_epoch_ms);
    load_book(feed, market, outcome, event, OVR_PROOF_SNAPSHOT);
    if (event->flags & OVR_PM_HAS_HASH) {
        ovr_hash_declare(feed, market, outcome, event->venue_epoch_ms, event->hash);
    }
}

/* --- changes ------------------------------------------------------------------------------- */

static void declare(struct market *market, int outcome, const struct ovr_pm_change *change)
{
    int bid = outcome == 0 ? OVR_BID : OVR_ASK;
    if (change->flags & OVR_PM_HAS_BID) {
        market->declared_bits[outcome][bid] = UINT16_MAX;
        market->declared[outcome][bid] = (uint16_t)yes_ticks(outcome, change->bid_ticks);
    }
    if (change->flags & OVR_PM_HAS_ASK) {
        market->declared_bits[outcome][1 - bid] = UINT16_MAX;
        market->declared[outcome][1 - bid] = (uint16_t)yes_ticks(outcome, change->ask_ticks);
    }
}

static void apply_changes(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    uint32_t applied = 0;
    int outcome = 0;
    struct market *market = NULL;
    for (uint32_t i = 0; i < event->count; i++) {
        const struct ovr_pm_change *change = &feed->batch->changes[event->first + i];
        market = market_of(feed, &event->market, &change->asset, market, &outcome);
        if (market == NULL || !ovr_burst_begin(feed, market, event->venue_epoch_ms)) {
            continue;
        }
        touch(feed, market, event->venue_epoch_ms);
        int held = outcome == 0 ? change->side : 1 - change->side;
        uint32_t price = yes_ticks(outcome, change->price_ticks);
        if (set_level(feed, market, held, price, change->size_lots)) {
            market->dirty = true;
            ovr_top_set(market, held, price, change->size_lots);
        }
        declare(market, outcome, change);
        if (change->flags & OVR_PM_HAS_HASH) {
            ovr_hash_declare(feed, market, outcome, event->venue_epoch_ms, change->hash);
        }
        applied++;
    }
    feed->result->changes += applied;
    ovr_feed_count(feed, OVR_METER_CHANGES, applied);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void apply_trade(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    int outcome;
    struct market *market = market_of(feed, &event->market, &event->asset, NULL, &outcome);
    if (market == NULL) {
        return;
    }
    struct ovr_feed_market *view = &market->view;
    feed->result->prints++;
    ovr_feed_count(feed, OVR_METER_PRINTS, 1);
    if (event->venue_epoch_ms >= view->last_trade_epoch_ms) {
        view->last_trade_epoch_ms = event->venue_epoch_ms;
        view->last_trade_ticks = (uint16_t)yes_ticks(outcome, event->price_ticks);
        view->last_trade_side = (uint16_t)(event->side ^ outcome);
        view->last_trade_lots = event->size_lots;
        ovr_feed_recipe_last(market, event->last_trade.data, event->last_trade.length);
    }
    struct ovr_trade trade = {
        .recv_ns = feed->now_ns,
        .market = view->index,
        .kind = OVR_TRADE_PRINT,
        .venue_epoch_ms = event->venue_epoch_ms,
        .price_ticks = event->price_ticks,
        .side = event->side,
        .outcome = (uint8_t)outcome,
        .size_lots = event->size_lots,
        .event_sequence = feed->event_sequence,
    };
    ovr_publish_trade(feed, &trade);
    /* In the middle of a burst the ladder is not to be shown; its end takes the print along. */
    if (!market->dirty) {
        ovr_publish_board(feed, market);
    }
    ovr_hash_retry(feed, market);
    ovr_hash_expire(feed, market, event->venue_epoch_ms);
    if (market->pending_count != 0) {
        ovr_burst_settle(feed, market);
    }
}

static void apply_tick(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    uint32_t what;
    struct market *market =
        ovr_feed_lookup(feed, event->market.data, event->market.length, &what);
    if (market == NULL) {
        feed->result->unknown_assets++;
        ovr_feed_count(feed, OVR_METER_UNKNOWN_ASSET, 1);
        return;
    }
    market->view.last_data_ns = feed->now_ns;
    ovr_feed_count(feed, OVR_METER_MARKET_EVENTS, 1);
    /* Both tokens announce the same change; the second finds it done. */
    if (market->view.recipe.tick_ticks == event->tick_ticks) {
        return;
    }
    market->view.recipe.tick_ticks = event->tick_ticks;
    market->view.event_sequence = feed->event_sequence;
    ovr_ladder_regrid(&market->ladder, event->tick_ticks, feed->scratch);
    ovr_publish_note(feed, market, OVR_TRADE_TICK, OVR_CAUSE_NONE, event->tick_ticks,
                     event->venue_epoch_ms);
    ovr_trust_lose(feed, market, OVR_CAUSE_TICK);
}

static void apply_market_event(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    uint32_t what;
    bool resolved = event->type == OVR_PM_RESOLVED;
    struct market *market =
        ovr_feed_lookup(feed, event->market.data, event->market.length, &what);
    ovr_feed_count(feed, OVR_METER_MARKET_EVENTS, 1);
    feed->result->new_markets += !resolved;
    feed->result->resolved += resolved;
    /* These are sent to every subscriber, whatever it subscribed to: not knowing them is usual. */
    if (market == NULL || !resolved) {
        ovr_publish_note(feed, market, resolved ? OVR_TRADE_RESOLVED : OVR_TRADE_NEW,
                         OVR_CAUSE_NONE, UINT32_MAX, event->venue_epoch_ms);
        return;
    }
    uint32_t winner = 0;
    const struct market *won =
        ovr_feed_lookup(feed, event->asset.data, event->asset.length, &winner);
    market->view.status = 3;
    market->view.last_data_ns = feed->now_ns;
    market->view.event_sequence = feed->event_sequence;
    ovr_publish_note(feed, market, OVR_TRADE_RESOLVED, OVR_CAUSE_NONE,
                     won == market && winner < 3 ? winner - 1 : UINT32_MAX,
                     event->venue_epoch_ms);
    ovr_publish_book(feed, market);
}

static void apply_event(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    int outcome;
    feed->event_sequence++;
    feed->touched_count = 0;
    switch (event->type) {
    case OVR_PM_BOOK:
        apply_book(feed, event);
        break;
    case OVR_PM_PRICE_CHANGE:
        apply_changes(feed, event);
        break;
    case OVR_PM_LAST_TRADE:
        apply_trade(feed, event);
        break;
    case OVR_PM_TICK_SIZE:
        apply_tick(feed, event);
        break;
    case OVR_PM_BEST_BID_ASK:
        /* Arrives before the changes it sums up and may disagree with its book: news only. */
        market_of(feed, &event->market, &event->asset, NULL, &outcome);
        break;
    default:
        apply_market_event(feed, event);
    }
    for (uint32_t i = 0; i < feed->touched_count; i++) {
        struct market *market = &feed->markets[feed->touched[i]];
        ovr_burst_settle(feed, market);
        if (feed->waiting_count != 0) {
            ovr_hash_expire(feed, market, event->venue_epoch_ms);
        }
    }
    if (event->venue_epoch_ms > feed->result->venue_epoch_ms) {
        feed->result->venue_epoch_ms = event->venue_epoch_ms;
    }
}

/* --- entry points -------------------------------------------------------------------------- */

/* Tap, decode and count; false if there is nothing to apply. */
static bool take_bytes(struct ovr_feed *feed, uint16_t tap_kind, const char *buf, size_t len,
                       uint64_t recv_ns, uint32_t connection, struct ovr_feed_result *ret)
{
    static const uint32_t meters[] = {0, OVR_METER_MALFORMED_JSON, OVR_METER_MALFORMED_TYPE,
                                      OVR_METER_MALFORMED_VALUE, OVR_METER_MALFORMED_TOO_LARGE};
    struct ovr_pm_batch *batch = feed->batch;
    memset(ret, 0, sizeof *ret);
    feed->result = ret;
    feed->now_ns = recv_ns;
    feed->frame_number++;
    if (feed->config.tap != NULL) {
        if (len > UINT32_MAX || ovr_tap_append(feed->config.tap, tap_kind, recv_ns, connection,
                                               buf, (uint32_t)len) != 0) {
            ret->tap_full = 1;
            ovr_feed_count(feed, OVR_METER_TAP_DROPPED, 1);
        } else {
            ovr_feed_count(feed, OVR_METER_TAP_BYTES, len + OVR_TAP_RECORD_BYTES);
        }
    }
    batch->default_type = tap_kind == OVR_TAP_REST ? OVR_PM_BOOK : OVR_PM_NONE;
    int reason = len > feed->config.frame_bytes_max ? OVR_PM_TOO_LARGE
                                                    : ovr_pm_decode(buf, len, batch);
    if (reason != OVR_PM_OK) {
        ret->malformed = 1;
        ovr_feed_count(feed, meters[reason], 1);
        return false;
    }
    if (!batch->speculated) {
        ovr_feed_count(feed, OVR_METER_DECODED_GENERAL, 1);
    }
    ret->malformed = batch->rejected_type + batch->rejected_value;
    ret->unknown_events = batch->unknown;
    ret->events = batch->events_count;
    ovr_feed_count(feed, OVR_METER_MALFORMED_TYPE, batch->rejected_type);
    ovr_feed_count(feed, OVR_METER_MALFORMED_VALUE, batch->rejected_value);
    ovr_feed_count(feed, OVR_METER_UNKNOWN_EVENT, batch->unknown);
    ovr_feed_count(feed, OVR_METER_EVENTS, batch->events_count);
    return true;
}

void ovr_feed_frame(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                    uint32_t connection, struct ovr_feed_result *ret)
{
    uint64_t start_ns = feed->config.meters != NULL ? ovr_clock_ns() : 0;
    ovr_feed_count(feed, OVR_METER_FRAMES, 1);
    ovr_feed_count(feed, OVR_METER_FRAME_BYTES, len);
    if (take_bytes(feed, OVR_TAP_FRAME_IN, buf, len, recv_ns, connection, ret)) {
        for (uint32_t i = 0; i < feed->batch->events_count; i++) {
            apply_event(feed, &feed->batch->events[i]);
        }
    }
    ret->resync = feed->resync_count;
    if (feed->config.meters != NULL) {
        ovr_histogram_record(feed->config.meters, OVR_HISTOGRAM_FRAME, ovr_clock_ns() - start_ns);
    }
}

/* One polled book: only a book at least as new as our newest change says anything about it. */
static void apply_poll(struct ovr_feed *feed, const struct ovr_pm_event *event)
{
    int outcome;
    struct market *market = market_of(feed, &event->market, &event->asset, NULL, &outcome);
    if (market == NULL) {
        return;
    }
    ovr_feed_count(feed, OVR_METER_REST_BOOKS, 1);
    feed->event_sequence++;
    if (event->venue_epoch_ms < market->changed_epoch_ms) {
        feed->result->stale++;
        ovr_feed_count(feed, OVR_METER_REST_OLDER, 1);
        return;
    }
    struct ovr_feed_market *view = &market->view;
    bool same = view->has_snapshot && same_book(feed->batch, market, outcome, event);
    bool differs = view->has_snapshot && !same;
    ovr_feed_count(feed, OVR_METER_REST_SAME, same);
    ovr_feed_count(feed, OVR_METER_REST_DIFFERENT, differs);
    if (differs) {
        ovr_trust_lose(feed, market, OVR_CAUSE_REST);
    }
    view->event_sequence = feed->event_sequence;
    if (same && view->trusted) {
        /* Only a proof: the stream goes on as it was, its times untouched. */
        take_recipe(feed, market, event);
        ovr_trust_prove(feed, market, OVR_PROOF_POLLED);
        feed->result->books++;
    } else {
        ovr_burst_abandon(feed, market);
        if (event->venue_epoch_ms > view->venue_epoch_ms) {
            view->venue_epoch_ms = event->venue_epoch_ms;
        }
        load_book(feed, market, outcome, event, OVR_PROOF_POLLED);
    }
    if (event->flags & OVR_PM_HAS_HASH && !view->burst_open) {
        ovr_hash_poll(feed, market, outcome, event->venue_epoch_ms, event->hash);
    }
    ovr_publish_book(feed, market);
    ovr_hash_retry(feed, market);
}

void ovr_feed_rest_books(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                         uint32_t connection, struct ovr_feed_result *ret)
{
    if (take_bytes(feed, OVR_TAP_REST, buf, len, recv_ns, connection, ret)) {
        for (uint32_t i = 0; i < feed->batch->events_count; i++) {
            if (feed->batch->events[i].type == OVR_PM_BOOK) {
                apply_poll(feed, &feed->batch->events[i]);
            }
        }
    }
    ret->resync = feed->resync_count;
}
