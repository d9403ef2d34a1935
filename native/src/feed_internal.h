/* The engine's own state, shared by feed.c (markets), feed_apply.c (events), feed_top.c (the levels
 * shown), feed_trust.c (bursts, trust, hashes) and feed_publish.c (regions). */
#ifndef OVERROUND_FEED_INTERNAL_H
#define OVERROUND_FEED_INTERNAL_H

#include <stdbool.h>

#include "overround/book_hash.h"
#include "overround/decode_polymarket.h"
#include "overround/feed.h"
#include "overround/ladder.h"
#include "overround/layout.h"
#include "overround/meters.h"

enum {
    /* A venue array holds one book an asset; 4,096 is eight sockets' worth. */
    OVR_FEED_EVENTS_MAX = 4096,
    /* Levels of a 4 MiB frame at 30 bytes each. */
    OVR_FEED_CHANGES_MAX = 131072,
    /* Distinct hashes of one burst that may be open; recordings show at most four. */
    OVR_FEED_PENDING_MAX = 16,
    /* Mismatches that wait for a print, over all markets. */
    OVR_FEED_WAITING_MAX = 256,
    OVR_FEED_COUNTERS = 70,
    OVR_FEED_STEP_DEFAULT = 100
};

#define OVR_FEED_NO_MARKET UINT32_MAX

/* A declared hash of an open burst, and how many entries declared it. */
struct pending_hash {
    uint64_t venue_epoch_ms;
    uint32_t count;
    uint8_t outcome;
    bool matched;
    bool last_known; /* the last price was, when the first entry declared it */
    uint8_t hash[20];
};

/* A mismatch that outlived its burst: our book then, up to its levels. */
struct waiting_hash {
    struct ovr_sha1 levels;
    uint64_t venue_epoch_ms;
    uint64_t since_ns;
    uint64_t sequence;
    uint32_t market;
    uint32_t count;
    uint8_t outcome;
    bool last_known;
    uint8_t hash[20];
};

struct market {
    struct ovr_feed_market view;
    struct ovr_ladder ladder;
    uint64_t burst_epoch_ms;
    uint64_t burst_recv_ns; /* of its latest frame */
    uint64_t changed_epoch_ms; /* newest book or price change applied */
    uint64_t snapshot_sequence;
    uint64_t hash_sequence; /* last event whose hash matched */
    uint64_t event_stamp;
    uint64_t frame_stamp[2];
    uint32_t open_position;
    uint32_t pending_count;
    uint16_t declared[2][2];      /* [outcome][side], in YES terms */
    uint16_t declared_bits[2][2]; /* all ones where one was declared */
    bool audited;
    bool dirty;       /* the ladder moved since the last publish */
    bool wants_resync;
    struct ovr_board board;  /* what its slot is to show; the levels are always the ladder's best */
    uint64_t stale_words;    /* bit n: word n of the image differs from the slot's */
    uint64_t slot_sequence;  /* of our latest store */
    struct pending_hash pending[OVR_FEED_PENDING_MAX];
};

struct id_entry {
    uint64_t hash;
    uint32_t market;
    uint16_t what; /* 0 free, 1 YES token, 2 NO token, 3 condition */
    uint16_t length;
};

struct ovr_feed {
    struct ovr_feed_config config;
    struct market *markets;
    struct id_entry *ids;
    uint64_t ids_mask;
    void *ladders; /* mapped lazily */
    size_t ladders_bytes;
    uint32_t markets_count, markets_end; /* used; highest index + 1 */
    uint32_t trusted_count;
    uint32_t *open; /* markets with an open burst */
    uint32_t open_count;
    uint32_t *resync; /* queue: every market at most once */
    uint32_t resync_count;
    uint32_t *touched; /* markets of the event at hand */
    uint32_t touched_count;
    uint32_t waiting_count;
    uint64_t frame_number;
    uint64_t event_sequence;
    uint64_t bursts;
    uint64_t now_ns; /* of the call at hand */
    struct ovr_feed_result *result;
    struct ovr_level *scratch;
    char *text;
    struct ovr_pm_batch *batch;
    struct waiting_hash waiting[OVR_FEED_WAITING_MAX];
    uint64_t counters[OVR_FEED_COUNTERS];
};

/* feed.c */
struct market *ovr_feed_lookup(struct ovr_feed *feed, const char *id, size_t length,
                               uint32_t *what);
struct market *ovr_feed_learn(struct ovr_feed *feed, const struct ovr_pm_slice *condition,
                              const struct ovr_pm_slice *token, int *outcome);
void ovr_feed_recipe_last(struct market *market, const char *text, size_t length);

static inline void ovr_feed_count(struct ovr_feed *feed, uint32_t meter, uint64_t amount)
{
    if (amount != 0) {
        feed->counters[meter] += amount;
        if (feed->config.meters != NULL) {
            ovr_meter_add(feed->config.meters, meter, (int64_t)amount);
        }
    }
}

/* feed_top.c */
void ovr_top_fill(struct market *market);
/* After a level of the ladder changed, in YES terms; size 0: it went. */
void ovr_top_set(struct market *market, int side, uint32_t price_ticks, int64_t size_lots);

/* Best prices, as ovr_ladder_best_bid and _ask tell them. */
static inline uint32_t ovr_top_bid(const struct market *market)
{
    return market->board.bid_ticks[0];
}

static inline uint32_t ovr_top_ask(const struct market *market)
{
    return market->board.ask_ticks[0];
}

static inline bool ovr_book_crossed(const struct market *market)
{
    return ovr_top_bid(market) >= ovr_top_ask(market);
}

/* feed_trust.c */
bool ovr_burst_begin(struct ovr_feed *feed, struct market *market, uint64_t venue_epoch_ms);
void ovr_burst_end(struct ovr_feed *feed, struct market *market);
void ovr_burst_abandon(struct ovr_feed *feed, struct market *market);
void ovr_burst_settle(struct ovr_feed *feed, struct market *market);
void ovr_hash_declare(struct ovr_feed *feed, struct market *market, int outcome,
                      uint64_t venue_epoch_ms, const uint8_t hash[20]);
void ovr_hash_poll(struct ovr_feed *feed, struct market *market, int outcome,
                   uint64_t venue_epoch_ms, const uint8_t hash[20]);
void ovr_hash_retry(struct ovr_feed *feed, struct market *market);
void ovr_hash_expire(struct ovr_feed *feed, const struct market *market, uint64_t venue_epoch_ms);
void ovr_trust_gain(struct ovr_feed *feed, struct market *market);
void ovr_trust_lose(struct ovr_feed *feed, struct market *market, uint32_t cause);
void ovr_trust_prove(struct ovr_feed *feed, struct market *market, uint32_t proof);

/* feed_publish.c */
void ovr_publish_book(struct ovr_feed *feed, struct market *market);
void ovr_publish_board(struct ovr_feed *feed, struct market *market);
void ovr_publish_trade(struct ovr_feed *feed, const struct ovr_trade *trade);
void ovr_publish_note(struct ovr_feed *feed, const struct market *market, uint16_t kind,
                      uint16_t cause, uint32_t value, uint64_t venue_epoch_ms);

#endif
