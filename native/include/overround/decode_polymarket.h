/* Polymarket market channel: the bytes of one frame to integer level changes.
 *
 * Pure: no allocation, no clock, no state. The whole frame is checked before anything is
 * reported: broken JSON yields nothing. Inside a sound frame each object stands for itself: a bad
 * one is counted by reason, its neighbours are kept. Members may come in any order, values as
 * strings or numbers; unknown members are skipped. A member that occurs twice makes its object
 * ambiguous and so malformed.
 */
#ifndef OVERROUND_DECODE_POLYMARKET_H
#define OVERROUND_DECODE_POLYMARKET_H

#include <stddef.h>
#include <stdint.h>

enum {
    /* Longest identifier kept; the venue's are 66 and 78 characters. */
    OVR_PM_ID_MAX = 128,
    /* Longest decimal text kept for the book hash ("0.870"). */
    OVR_PM_TEXT_MAX = 15,
    OVR_PM_ARENA_BYTES = 16384
};

enum ovr_pm_type {
    OVR_PM_NONE = 0,
    OVR_PM_BOOK = 1,
    OVR_PM_PRICE_CHANGE = 2,
    OVR_PM_LAST_TRADE = 3,
    OVR_PM_TICK_SIZE = 4,
    OVR_PM_BEST_BID_ASK = 5,
    OVR_PM_NEW_MARKET = 6,
    OVR_PM_RESOLVED = 7
};

enum ovr_pm_reason {
    OVR_PM_OK = 0,
    OVR_PM_JSON = 1,      /* broken structure, or nested too deep */
    OVR_PM_TYPE = 2,      /* a member is missing, doubled or of the wrong type */
    OVR_PM_VALUE = 3,     /* a price off the grid, a size out of range, a bad identifier */
    OVR_PM_TOO_LARGE = 4  /* more events, levels or escaped text than the batch holds */
};

enum {
    OVR_PM_HAS_HASH = 1,
    OVR_PM_HAS_BID = 2,
    OVR_PM_HAS_ASK = 4,
    OVR_PM_NEG_KNOWN = 8,
    OVR_PM_NEG_RISK = 16,
    OVR_PM_HAS_SIDE = 32,
    OVR_PM_HAS_LAST = 64
};

/* Text inside the frame, or inside the batch's arena where an escape had to be resolved. */
struct ovr_pm_slice {
    const char *data;
    uint32_t length;
};

struct ovr_pm_change {
    struct ovr_pm_slice asset; /* empty for levels of a book */
    int64_t size_lots;         /* new total at the level, 0 removes it */
    uint16_t price_ticks;      /* 1 to 9,999 */
    uint16_t bid_ticks;        /* declared best bid, if OVR_PM_HAS_BID */
    uint16_t ask_ticks;        /* declared best ask, if OVR_PM_HAS_ASK */
    uint8_t side;              /* 0 bid, 1 ask, of the asset's own book */
    uint8_t flags;
    uint8_t hash[20];
    uint32_t spare;
};

struct ovr_pm_event {
    struct ovr_pm_slice market;
    struct ovr_pm_slice asset;      /* the winner for OVR_PM_RESOLVED */
    struct ovr_pm_slice last_trade; /* price text as the venue formats it */
    struct ovr_pm_slice min_size;
    uint64_t venue_epoch_ms;
    int64_t size_lots;     /* of a print */
    uint32_t first, count; /* changes: entries of a price change, or a book's bids */
    uint32_t asks_first, asks_count;
    uint16_t tick_ticks; /* 0 if not told */
    uint16_t price_ticks;
    uint16_t bid_ticks;
    uint16_t ask_ticks;
    uint8_t type;
    uint8_t flags;
    uint8_t side; /* of a print's taker: 0 buy, 1 sell, if OVR_PM_HAS_SIDE */
    uint8_t hash[20];
};

struct ovr_pm_batch {
    /* set by the caller */
    struct ovr_pm_event *events;
    struct ovr_pm_change *changes;
    uint32_t events_capacity, changes_capacity;
    uint32_t default_type; /* for objects without event_type: 0, or OVR_PM_BOOK for REST */
    /* results */
    uint32_t events_count, changes_count;
    uint32_t rejected_type, rejected_value;
    uint32_t unknown; /* objects of an event type we do not know */
    uint32_t speculated; /* 1: the frame had one of the forms that are tried first */
    uint32_t arena_used;
    char arena[OVR_PM_ARENA_BYTES];
};

/* Decode one frame; OVR_PM_OK, or OVR_PM_JSON, OVR_PM_TYPE (neither object nor array) or
 * OVR_PM_TOO_LARGE, and then the batch is empty. Slices live as long as `buf` and `out`. */
int ovr_pm_decode(const char *buf, size_t len, struct ovr_pm_batch *out);

/* The same without the instructions that this processor has beyond its architecture's base: what
 * older ones run, for tests to compare. */
int ovr_pm_decode_base(const char *buf, size_t len, struct ovr_pm_batch *out);

#endif
