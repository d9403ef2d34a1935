/* Feed engine: one call a frame decodes, applies, and at burst end publishes.
 *
 * Owned by one thread. It knows markets by index, keeps one YES-side ladder each (entries of the
 * NO token are mirrored onto it), and decides when a book may be shown and believed:
 *
 * - A burst is the run of `price_change` and `book` events of one market with one timestamp. Its
 *   book is published once every best price declared in it agrees with ours. It ends by a hash
 *   match, by a later timestamp, or by ovr_feed_flush burst_ns after its last frame.
 * - A disagreement or crossing that is still there at burst end costs the market its trust.
 * - Trust is gained by a whole book only (subscription snapshot or REST answer), and asked for by
 *   the resync queue.
 * - In every audit_every-th burst each declared hash is compared with our whole book. A mismatch
 *   waits up to hash_pending_ns for the print that may explain it before it counts.
 *
 * All memory is taken in ovr_feed_create; afterwards nothing allocates.
 */
#ifndef OVERROUND_FEED_H
#define OVERROUND_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "overround/book_hash.h"

struct ovr_tap;
struct ovr_feed;

struct ovr_feed_config {
    uint32_t markets_capacity;
    uint32_t audit_every;     /* 0 none, 1 every burst */
    uint32_t learn;           /* 1: unknown markets are added as they appear (replay) */
    uint32_t frame_bytes_max; /* a longer frame is counted and dropped */
    uint64_t burst_ns;
    uint64_t hash_pending_ns;
    void *board; /* regions; any may be NULL */
    void *changes;
    void *trades;
    void *meters;
    struct ovr_tap *tap;
};

/* What one call did; zeroed by it. */
struct ovr_feed_result {
    uint32_t events;
    uint32_t changes;   /* entries of price changes applied */
    uint32_t levels;    /* levels of whole books applied */
    uint32_t published; /* records on the changes ring */
    uint32_t malformed;
    uint32_t unknown_events;
    uint32_t unknown_assets;
    uint32_t stale;
    uint32_t resync;      /* markets waiting in the resync queue now */
    uint32_t hash_passed; /* entries decided in this call */
    uint32_t hash_failed;
    uint32_t prints;
    uint32_t new_markets; /* announcements; the catalog is to be asked */
    uint32_t resolved;
    uint32_t tap_full; /* 1: the frame is missing from the tap */
    uint32_t books;    /* whole books seen */
    uint64_t venue_epoch_ms; /* newest venue time in the frame, or 0 */
};

/* Audit of one token: entries, each counted once. */
struct ovr_feed_token {
    char token[80];
    uint64_t frames;
    uint64_t hash_passed;
    uint64_t hash_failed;
    uint64_t hash_unchecked; /* no snapshot yet, or members of the recipe unknown */
};

/* Read-only view of a market, as the engine keeps it. */
struct ovr_feed_market {
    char condition_id[72];
    struct ovr_feed_token tokens[2];
    uint64_t last_data_ns;        /* receive time of the latest frame that named it */
    uint64_t venue_epoch_ms;      /* newest event applied */
    uint64_t snapshot_epoch_ms;   /* newest whole book applied; 0: none on this connection */
    uint64_t event_sequence;
    uint64_t proved_sequence;
    uint64_t proved_ns;
    uint64_t untrusted_ns;        /* when trust was lost */
    uint64_t last_trade_epoch_ms;
    int64_t last_trade_lots;
    uint32_t index;
    uint16_t used;
    uint16_t status; /* 1 active, 3 resolved */
    uint16_t trusted;
    uint16_t cause;
    uint16_t proof;
    uint16_t last_trade_ticks; /* in YES terms */
    uint16_t last_trade_side;
    uint16_t has_snapshot;
    uint16_t burst_open;
    uint16_t spare;
    struct ovr_recipe recipe; /* the market's tick, minimum size, neg_risk and last price */
};

/* Returns NULL if memory cannot be had. */
struct ovr_feed *ovr_feed_create(const struct ovr_feed_config *config);
void ovr_feed_destroy(struct ovr_feed *feed);

/* Add a market under its global index. tick_ticks 0, min_size "", neg_risk -1 and last_price ""
 * mean unknown; while learning the tokens may be "" too. Returns 0, -EINVAL (text too long, bad
 * tick), -ENOSPC, -EEXIST. */
int ovr_feed_add_market(struct ovr_feed *feed, uint32_t index, const char *condition_id,
                        const char *token_yes, const char *token_no, uint32_t tick_ticks,
                        const char *min_size, int32_t neg_risk, const char *last_price);

/* Hand in one frame of the market channel. Never fails: what is wrong with it is counted. */
void ovr_feed_frame(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                    uint32_t connection, struct ovr_feed_result *ret);

/* Hand in a REST answer: one book or an array of books. An older book proves nothing; the same
 * proves ours; a newer different one replaces it and is counted as lost trust. */
void ovr_feed_rest_books(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                         uint32_t connection, struct ovr_feed_result *ret);

/* End bursts quiet for burst_ns and decide hashes that waited too long. UINT64_MAX ends all. */
void ovr_feed_flush(struct ovr_feed *feed, uint64_t now_ns, struct ovr_feed_result *ret);

/* When ovr_feed_flush has something to do next; UINT64_MAX for never. */
uint64_t ovr_feed_next_deadline(const struct ovr_feed *feed);

/* Withdraw trust, with an ovr_untrust_cause. Causes that break the stream (reconnect, writer
 * restart, start) also forget the snapshot's time, so that any next snapshot counts. */
void ovr_feed_untrust(struct ovr_feed *feed, uint32_t index, uint32_t cause, uint64_t now_ns);

/* Take indexes that need a snapshot; returns how many were written. */
uint32_t ovr_feed_take_resync(struct ovr_feed *feed, uint32_t *out, uint32_t capacity);

/* The market at `index`, or NULL. Valid until the feed is destroyed. */
const struct ovr_feed_market *ovr_feed_market_at(const struct ovr_feed *feed, uint32_t index);
/* Index of a token or condition id, or -1. */
int64_t ovr_feed_find(const struct ovr_feed *feed, const char *id, size_t length);
uint32_t ovr_feed_markets_count(const struct ovr_feed *feed);
uint32_t ovr_feed_trusted_count(const struct ovr_feed *feed);
uint64_t ovr_feed_counter(const struct ovr_feed *feed, uint32_t meter);

/* Levels of one side as an outcome sees it, best first; side 0 bids, 1 asks. */
uint32_t ovr_feed_levels(const struct ovr_feed *feed, uint32_t index, int outcome, int side,
                         uint16_t *price_ticks, int64_t *size_lots, uint32_t capacity);

/* The hashed text of a token's book at a venue time; length, or -ENOSPC or -ENOENT. */
int64_t ovr_feed_book_text(const struct ovr_feed *feed, uint32_t index, int outcome,
                           uint64_t venue_epoch_ms, char *out, size_t capacity);

#endif
