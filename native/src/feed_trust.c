/* Bursts, trust and hashes: when a book may be shown, and when it may be believed. */
#include <string.h>

#include "feed_internal.h"

/* --- trust --------------------------------------------------------------------------------- */

void ovr_trust_prove(struct ovr_feed *feed, struct market *market, uint32_t proof)
{
    market->view.proof = (uint16_t)proof;
    market->view.proved_sequence = market->view.event_sequence;
    market->view.proved_ns = feed->now_ns;
}

void ovr_trust_gain(struct ovr_feed *feed, struct market *market)
{
    struct ovr_feed_market *view = &market->view;
    if (view->trusted) {
        return;
    }
    view->trusted = 1;
    market->wants_resync = false;
    market->dirty = true;
    feed->trusted_count++;
    ovr_feed_count(feed, OVR_METER_TRUSTED, 1);
    ovr_publish_note(feed, market, OVR_TRADE_TRUST_GAINED, OVR_CAUSE_NONE, 0,
                     view->venue_epoch_ms);
}

static uint32_t meter_of(uint32_t cause)
{
    switch (cause) {
    case OVR_CAUSE_DISAGREE:
        return OVR_METER_UNTRUSTED_DISAGREE;
    case OVR_CAUSE_CROSSED:
        return OVR_METER_UNTRUSTED_CROSSED;
    case OVR_CAUSE_HASH:
        return OVR_METER_UNTRUSTED_HASH;
    case OVR_CAUSE_TICK:
        return OVR_METER_UNTRUSTED_TICK;
    case OVR_CAUSE_RECONNECT:
        return OVR_METER_UNTRUSTED_RECONNECT;
    case OVR_CAUSE_SILENCE:
    case OVR_CAUSE_SNAPSHOT_TIMEOUT:
        return OVR_METER_UNTRUSTED_SILENCE;
    case OVR_CAUSE_REST:
        return OVR_METER_UNTRUSTED_REST;
    default:
        return OVR_METER_UNTRUSTED_START;
    }
}

/* Does the cause end the stream itself, so that whoever reconnects subscribes anew? */
static bool ends_stream(uint32_t cause)
{
    return cause == OVR_CAUSE_START || cause == OVR_CAUSE_RECONNECT ||
           cause == OVR_CAUSE_WRITER_RESTART;
}

static void queue_resync(struct ovr_feed *feed, struct market *market)
{
    for (uint32_t i = 0; i < feed->resync_count && !market->wants_resync; i++) {
        /* Its place from an earlier request that a snapshot had answered is still there. */
        market->wants_resync = feed->resync[i] == market->view.index;
    }
    if (!market->wants_resync) {
        market->wants_resync = true;
        feed->resync[feed->resync_count++] = market->view.index;
    }
}

void ovr_trust_lose(struct ovr_feed *feed, struct market *market, uint32_t cause)
{
    struct ovr_feed_market *view = &market->view;
    bool was_trusted = view->trusted;
    if (ends_stream(cause)) {
        ovr_burst_abandon(feed, market);
        view->has_snapshot = 0;
        view->snapshot_epoch_ms = 0;
        market->changed_epoch_ms = 0;
    }
    if (was_trusted || ends_stream(cause)) {
        view->cause = (uint16_t)cause;
    }
    if (!was_trusted) {
        return;
    }
    view->trusted = 0;
    view->untrusted_ns = feed->now_ns;
    feed->trusted_count--;
    ovr_feed_count(feed, meter_of(cause), 1);
    ovr_publish_note(feed, market, OVR_TRADE_TRUST_LOST, (uint16_t)cause, 0,
                     view->venue_epoch_ms);
    if (!ends_stream(cause)) {
        queue_resync(feed, market);
    }
    ovr_publish_book(feed, market);
}

/* --- hashes -------------------------------------------------------------------------------- */

static void hash_passed(struct ovr_feed *feed, struct market *market, int outcome, uint32_t count,
                        uint64_t sequence)
{
    market->view.tokens[outcome].hash_passed += count;
    if (sequence > market->hash_sequence) {
        market->hash_sequence = sequence;
    }
    feed->result->hash_passed += count;
    ovr_feed_count(feed, OVR_METER_HASH_CHECKED, count);
    ovr_feed_count(feed, OVR_METER_BOOKS_VERIFIED, 1);
}

/* A mismatch that nothing explained. It speaks against our book only if all members of the recipe
 * are known, and the last price already was when the hash came: a print after it may have replaced
 * a price that we never saw. It costs trust only if neither a whole book nor a matching hash came
 * after it. */
static void hash_failed(struct ovr_feed *feed, const struct waiting_hash *waiting)
{
    struct market *market = &feed->markets[waiting->market];
    const struct ovr_recipe *recipe = &market->view.recipe;
    bool complete = recipe->proved || (recipe->min_size[0] != '\0' && recipe->tick_ticks != 0);
    if (!complete || !waiting->last_known) {
        market->view.tokens[waiting->outcome].hash_unchecked += waiting->count;
        return;
    }
    market->view.tokens[waiting->outcome].hash_failed += waiting->count;
    feed->result->hash_failed += waiting->count;
    ovr_feed_count(feed, OVR_METER_HASH_CHECKED, waiting->count);
    ovr_feed_count(feed, OVR_METER_HASH_FAILED, waiting->count);
    if (waiting->sequence > market->hash_sequence &&
        waiting->sequence >= market->snapshot_sequence) {
        ovr_trust_lose(feed, market, OVR_CAUSE_HASH);
    }
}

static void waiting_remove(struct ovr_feed *feed, uint32_t position)
{
    feed->waiting_count--;
    memmove(&feed->waiting[position], &feed->waiting[position + 1],
            (feed->waiting_count - position) * sizeof feed->waiting[0]);
}

static void wait_for_print(struct ovr_feed *feed, const struct market *market,
                           const struct pending_hash *pending, const struct ovr_sha1 *levels)
{
    if (feed->waiting_count == OVR_FEED_WAITING_MAX) {
        struct waiting_hash oldest = feed->waiting[0];
        waiting_remove(feed, 0);
        hash_failed(feed, &oldest);
    }
    struct waiting_hash *waiting = &feed->waiting[feed->waiting_count++];
    waiting->levels = *levels;
    waiting->venue_epoch_ms = pending->venue_epoch_ms;
    waiting->since_ns = feed->now_ns;
    waiting->sequence = market->view.event_sequence;
    waiting->market = market->view.index;
    waiting->count = pending->count;
    waiting->outcome = pending->outcome;
    waiting->last_known = pending->last_known;
    memcpy(waiting->hash, pending->hash, sizeof waiting->hash);
}

/* Compare one open hash with the book as it is; true if it matched. At burst end (`last`) one that
 * did not begins to wait. */
static bool hash_compare(struct ovr_feed *feed, struct market *market,
                         struct pending_hash *pending, bool last)
{
    struct ovr_feed_market *view = &market->view;
    struct ovr_sha1 levels;
    ovr_sha1_init(&levels);
    ovr_sha1_update(&levels, feed->text,
                    ovr_book_text(&market->ladder, view->condition_id,
                                  view->tokens[pending->outcome].token, pending->outcome,
                                  pending->venue_epoch_ms, feed->text));
    pending->matched = ovr_recipe_match(&view->recipe, &levels, pending->hash);
    if (pending->matched) {
        hash_passed(feed, market, pending->outcome, pending->count, view->event_sequence);
        ovr_trust_prove(feed, market, OVR_PROOF_HASH);
    } else if (last) {
        wait_for_print(feed, market, pending, &levels);
    }
    return pending->matched;
}

/* Make room by judging the oldest hash early. Frames of one burst declare the final hash, which is
 * one a token, or each its own, which a right book matched at once: only a wrong book gets here. */
static void hash_crowd_out(struct ovr_feed *feed, struct market *market)
{
    struct pending_hash *oldest = market->pending;
    if (!oldest->matched) {
        hash_compare(feed, market, oldest, true);
    }
    market->pending_count--;
    memmove(oldest, oldest + 1, market->pending_count * sizeof *oldest);
}

void ovr_hash_declare(struct ovr_feed *feed, struct market *market, int outcome,
                      uint64_t venue_epoch_ms, const uint8_t hash[20])
{
    if (!market->audited) {
        return;
    }
    if (!market->view.has_snapshot) {
        market->view.tokens[outcome].hash_unchecked++;
        return;
    }
    for (uint32_t i = 0; i < market->pending_count; i++) {
        struct pending_hash *known = &market->pending[i];
        if (known->outcome == outcome && known->venue_epoch_ms == venue_epoch_ms &&
            memcmp(known->hash, hash, sizeof known->hash) == 0) {
            known->count = known->matched ? 1 : known->count + 1;
            known->matched = false;
            return;
        }
    }
    if (market->pending_count == OVR_FEED_PENDING_MAX) {
        hash_crowd_out(feed, market);
    }
    struct pending_hash *pending = &market->pending[market->pending_count++];
    *pending = (struct pending_hash){.venue_epoch_ms = venue_epoch_ms,
                                     .count = 1,
                                     .outcome = (uint8_t)outcome,
                                     .last_known = market->view.recipe.last_known != 0};
    memcpy(pending->hash, hash, sizeof pending->hash);
}

/* Compare every open hash; returns how many are still open. */
static uint32_t hash_evaluate(struct ovr_feed *feed, struct market *market, bool last)
{
    uint32_t unmatched = 0;
    for (uint32_t i = 0; i < market->pending_count; i++) {
        struct pending_hash *pending = &market->pending[i];
        unmatched += !pending->matched && !hash_compare(feed, market, pending, last);
    }
    return unmatched;
}

/* The hash of a polled book: outside any burst, so judged at once. */
void ovr_hash_poll(struct ovr_feed *feed, struct market *market, int outcome,
                   uint64_t venue_epoch_ms, const uint8_t hash[20])
{
    market->audited = feed->config.audit_every != 0;
    market->pending_count = 0;
    ovr_hash_declare(feed, market, outcome, venue_epoch_ms, hash);
    hash_evaluate(feed, market, true);
    market->pending_count = 0;
}

/* A print of the market came: does its price explain a waiting mismatch? */
void ovr_hash_retry(struct ovr_feed *feed, struct market *market)
{
    for (uint32_t i = 0; i < feed->waiting_count;) {
        struct waiting_hash waiting = feed->waiting[i];
        if (waiting.market == market->view.index &&
            ovr_recipe_match(&market->view.recipe, &waiting.levels, waiting.hash)) {
            waiting_remove(feed, i);
            hash_passed(feed, market, waiting.outcome, waiting.count, waiting.sequence);
        } else {
            i++;
        }
    }
}

/* Decide the mismatches of a market that have waited long enough by the venue's own clock. */
void ovr_hash_expire(struct ovr_feed *feed, const struct market *market, uint64_t venue_epoch_ms)
{
    uint64_t limit_ms = feed->config.hash_pending_ns / 1000000;
    for (uint32_t i = 0; i < feed->waiting_count;) {
        struct waiting_hash waiting = feed->waiting[i];
        if (waiting.market == market->view.index &&
            venue_epoch_ms > waiting.venue_epoch_ms + limit_ms) {
            waiting_remove(feed, i);
            hash_failed(feed, &waiting);
        } else {
            i++;
        }
    }
}

/* --- bursts -------------------------------------------------------------------------------- */

/* The four declared prices and their bits, each in one word: [outcome][side]. */
_Static_assert(sizeof((struct market *)0)->declared == 8, "four of 16 bits");

static bool agrees(const struct market *market)
{
    uint16_t best[4] = {(uint16_t)ovr_top_bid(market), (uint16_t)ovr_top_ask(market)};
    uint64_t ours, declared, bits;
    best[2] = best[0];
    best[3] = best[1];
    memcpy(&ours, best, sizeof ours);
    memcpy(&declared, market->declared, sizeof declared);
    memcpy(&bits, market->declared_bits, sizeof bits);
    return ((ours ^ declared) & bits) == 0;
}

static bool declared_any(const struct market *market)
{
    uint64_t bits;
    memcpy(&bits, market->declared_bits, sizeof bits);
    return bits != 0;
}

static void burst_close(struct ovr_feed *feed, struct market *market)
{
    uint32_t last = feed->open[--feed->open_count];
    feed->open[market->open_position] = last;
    feed->markets[last].open_position = market->open_position;
    market->view.burst_open = 0;
    market->pending_count = 0;
    memset(market->declared_bits, 0, sizeof market->declared_bits);
}

/* Enter the burst of a timestamp, ending an earlier one. False: older than the snapshot. */
bool ovr_burst_begin(struct ovr_feed *feed, struct market *market, uint64_t venue_epoch_ms)
{
    if (market->view.burst_open && venue_epoch_ms > market->burst_epoch_ms) {
        ovr_burst_end(feed, market);
    }
    if (venue_epoch_ms < market->view.snapshot_epoch_ms) {
        feed->result->stale++;
        ovr_feed_count(feed, OVR_METER_STALE_DROPPED, 1);
        return false;
    }
    if (!market->view.burst_open) {
        if (venue_epoch_ms != market->burst_epoch_ms) {
            uint32_t every = feed->config.audit_every;
            market->burst_epoch_ms = venue_epoch_ms;
            market->audited = every != 0 && feed->bursts++ % every == 0;
            ovr_feed_count(feed, OVR_METER_BURSTS, 1);
        }
        market->view.burst_open = 1;
        market->open_position = feed->open_count;
        feed->open[feed->open_count++] = market->view.index;
    }
    market->burst_recv_ns = feed->now_ns;
    if (venue_epoch_ms > market->changed_epoch_ms) {
        market->changed_epoch_ms = venue_epoch_ms;
    }
    return true;
}

/* After an event: show the book if it is consistent, and end the burst if nothing is left open. */
void ovr_burst_settle(struct ovr_feed *feed, struct market *market)
{
    if (!market->view.burst_open || !agrees(market) || ovr_book_crossed(market)) {
        return;
    }
    if (declared_any(market)) {
        ovr_trust_prove(feed, market, OVR_PROOF_BBO);
    }
    if (market->dirty) {
        ovr_publish_book(feed, market);
    }
    if (market->pending_count == 0 || hash_evaluate(feed, market, false) == 0) {
        burst_close(feed, market);
    }
}

void ovr_burst_end(struct ovr_feed *feed, struct market *market)
{
    if (!market->view.burst_open) {
        return;
    }
    bool crossed = ovr_book_crossed(market);
    bool disagrees = !agrees(market);
    hash_evaluate(feed, market, true);
    burst_close(feed, market);
    if (crossed || disagrees) {
        ovr_trust_lose(feed, market, crossed ? OVR_CAUSE_CROSSED : OVR_CAUSE_DISAGREE);
    }
    if (market->dirty) {
        ovr_publish_book(feed, market);
    }
}

/* Forget a burst that can no longer be judged: its stream ended, or a poll overtook it. */
void ovr_burst_abandon(struct ovr_feed *feed, struct market *market)
{
    for (uint32_t i = 0; i < market->pending_count; i++) {
        const struct pending_hash *pending = &market->pending[i];
        if (!pending->matched) {
            market->view.tokens[pending->outcome].hash_unchecked += pending->count;
        }
    }
    if (market->view.burst_open) {
        burst_close(feed, market);
    }
    market->pending_count = 0;
    market->burst_epoch_ms = 0;
}

void ovr_feed_flush(struct ovr_feed *feed, uint64_t now_ns, struct ovr_feed_result *ret)
{
    memset(ret, 0, sizeof *ret);
    feed->result = ret;
    bool all = now_ns == UINT64_MAX;
    if (!all) {
        feed->now_ns = now_ns;
    }
    for (uint32_t i = feed->open_count; i-- > 0;) {
        struct market *market = &feed->markets[feed->open[i]];
        if (all || now_ns >= market->burst_recv_ns + feed->config.burst_ns) {
            ovr_feed_count(feed, OVR_METER_BURSTS_EXPIRED, 1);
            ovr_burst_end(feed, market);
        }
    }
    for (uint32_t i = 0; i < feed->waiting_count;) {
        struct waiting_hash waiting = feed->waiting[i];
        if (all || now_ns >= waiting.since_ns + feed->config.hash_pending_ns) {
            waiting_remove(feed, i);
            hash_failed(feed, &waiting);
        } else {
            i++;
        }
    }
    ret->resync = feed->resync_count;
}

uint64_t ovr_feed_next_deadline(const struct ovr_feed *feed)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; i < feed->open_count; i++) {
        uint64_t due = feed->markets[feed->open[i]].burst_recv_ns + feed->config.burst_ns;
        deadline = due < deadline ? due : deadline;
    }
    for (uint32_t i = 0; i < feed->waiting_count; i++) {
        uint64_t due = feed->waiting[i].since_ns + feed->config.hash_pending_ns;
        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}
