/* Decoder, ladder, book hash and feed engine as Python sees them; the headers explain them. */
#define OVR_PM_ID_MAX ...
#define OVR_PM_TEXT_MAX ...
#define OVR_PM_ARENA_BYTES ...

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
    OVR_PM_JSON = 1,
    OVR_PM_TYPE = 2,
    OVR_PM_VALUE = 3,
    OVR_PM_TOO_LARGE = 4
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

struct ovr_pm_slice {
    const char *data;
    uint32_t length;
};

struct ovr_pm_change {
    struct ovr_pm_slice asset;
    int64_t size_lots;
    uint16_t price_ticks;
    uint16_t bid_ticks;
    uint16_t ask_ticks;
    uint8_t side;
    uint8_t flags;
    uint8_t hash[20];
    uint32_t spare;
};

struct ovr_pm_event {
    struct ovr_pm_slice market;
    struct ovr_pm_slice asset;
    struct ovr_pm_slice last_trade;
    struct ovr_pm_slice min_size;
    uint64_t venue_epoch_ms;
    int64_t size_lots;
    uint32_t first, count;
    uint32_t asks_first, asks_count;
    uint16_t tick_ticks;
    uint16_t price_ticks;
    uint16_t bid_ticks;
    uint16_t ask_ticks;
    uint8_t type;
    uint8_t flags;
    uint8_t side;
    uint8_t hash[20];
};

struct ovr_pm_batch {

    struct ovr_pm_event *events;
    struct ovr_pm_change *changes;
    uint32_t events_capacity, changes_capacity;
    uint32_t default_type;

    uint32_t events_count, changes_count;
    uint32_t rejected_type, rejected_value;
    uint32_t unknown;
    uint32_t speculated;
    uint32_t arena_used;
    char arena[...];
};

int ovr_pm_decode(const char *buf, size_t len, struct ovr_pm_batch *out);

int ovr_pm_decode_base(const char *buf, size_t len, struct ovr_pm_batch *out);

int ovr_decimal_parse(const char *text, size_t length, unsigned decimals, int64_t *ret);

#define OVR_LADDER_GRID ...
#define OVR_LADDER_LEVELS_MAX ...
#define OVR_LADDER_BYTES ...

enum { OVR_BID = 0, OVR_ASK = 1 };

struct ovr_ladder_side {
    uint64_t words[...];
    uint64_t tops[...];
    uint32_t count;
};

struct ovr_ladder {
    int64_t *lots;
    uint64_t inverse;
    uint32_t step;
    uint32_t levels;
    struct ovr_ladder_side sides[2];
};

struct ovr_level {
    int64_t size_lots;
    uint16_t price_ticks;
    uint16_t side;
    uint32_t spare;
};

void ovr_ladder_init(struct ovr_ladder *ladder, void *memory, uint32_t step);

void ovr_ladder_clear(struct ovr_ladder *ladder);

int ovr_ladder_set(struct ovr_ladder *ladder, int side, uint32_t price_ticks, int64_t size_lots);

int64_t ovr_ladder_get(const struct ovr_ladder *ladder, int side, uint32_t price_ticks);

uint32_t ovr_ladder_best_bid(const struct ovr_ladder *ladder);
uint32_t ovr_ladder_best_ask(const struct ovr_ladder *ladder);

uint32_t ovr_ladder_depth(const struct ovr_ladder *ladder, int side, struct ovr_level *out,
                          uint32_t max);

void ovr_ladder_regrid(struct ovr_ladder *ladder, uint32_t step, struct ovr_level *scratch);

uint32_t ovr_ladder_fit(uint32_t step, uint32_t price_ticks);

struct ovr_sha1 {
    uint32_t words[24];
};

void ovr_sha1_init(struct ovr_sha1 *sha);
void ovr_sha1_update(struct ovr_sha1 *sha, const void *data, size_t length);
void ovr_sha1_final(struct ovr_sha1 *sha, uint8_t digest[20]);

struct ovr_recipe {
    char min_size[16];
    char last[16];
    char last_before[16];
    uint16_t tick_ticks;
    int8_t neg_risk;
    uint8_t last_known;
    uint8_t proved;
    uint8_t pad[3];
};

#define OVR_BOOK_TEXT_BYTES ...

size_t ovr_book_text(const struct ovr_ladder *ladder, const char *market, const char *token,
                     int outcome, uint64_t venue_epoch_ms, char *out);

size_t ovr_recipe_text(const struct ovr_recipe *recipe, char *out);

int ovr_recipe_match(struct ovr_recipe *recipe, const struct ovr_sha1 *levels,
                     const uint8_t hash[20]);

size_t ovr_decimal_format(uint64_t value, unsigned decimals, char *out);

struct ovr_tap;
struct ovr_feed;

struct ovr_feed_config {
    uint32_t markets_capacity;
    uint32_t audit_every;
    uint32_t learn;
    uint32_t frame_bytes_max;
    uint64_t burst_ns;
    uint64_t hash_pending_ns;
    void *board;
    void *changes;
    void *trades;
    void *meters;
    struct ovr_tap *tap;
};

struct ovr_feed_result {
    uint32_t events;
    uint32_t changes;
    uint32_t levels;
    uint32_t published;
    uint32_t malformed;
    uint32_t unknown_events;
    uint32_t unknown_assets;
    uint32_t stale;
    uint32_t resync;
    uint32_t hash_passed;
    uint32_t hash_failed;
    uint32_t prints;
    uint32_t new_markets;
    uint32_t resolved;
    uint32_t tap_full;
    uint32_t books;
    uint64_t venue_epoch_ms;
};

struct ovr_feed_token {
    char token[80];
    uint64_t frames;
    uint64_t hash_passed;
    uint64_t hash_failed;
    uint64_t hash_unchecked;
};

struct ovr_feed_market {
    char condition_id[72];
    struct ovr_feed_token tokens[2];
    uint64_t last_data_ns;
    uint64_t venue_epoch_ms;
    uint64_t snapshot_epoch_ms;
    uint64_t event_sequence;
    uint64_t proved_sequence;
    uint64_t proved_ns;
    uint64_t untrusted_ns;
    uint64_t last_trade_epoch_ms;
    int64_t last_trade_lots;
    uint32_t index;
    uint16_t used;
    uint16_t status;
    uint16_t trusted;
    uint16_t cause;
    uint16_t proof;
    uint16_t last_trade_ticks;
    uint16_t last_trade_side;
    uint16_t has_snapshot;
    uint16_t burst_open;
    uint16_t spare;
    struct ovr_recipe recipe;
};

struct ovr_feed *ovr_feed_create(const struct ovr_feed_config *config);
void ovr_feed_destroy(struct ovr_feed *feed);

int ovr_feed_add_market(struct ovr_feed *feed, uint32_t index, const char *condition_id,
                        const char *token_yes, const char *token_no, uint32_t tick_ticks,
                        const char *min_size, int32_t neg_risk, const char *last_price);

void ovr_feed_frame(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                    uint32_t connection, struct ovr_feed_result *ret);

void ovr_feed_rest_books(struct ovr_feed *feed, const char *buf, size_t len, uint64_t recv_ns,
                         uint32_t connection, struct ovr_feed_result *ret);

void ovr_feed_flush(struct ovr_feed *feed, uint64_t now_ns, struct ovr_feed_result *ret);

uint64_t ovr_feed_next_deadline(const struct ovr_feed *feed);

void ovr_feed_untrust(struct ovr_feed *feed, uint32_t index, uint32_t cause, uint64_t now_ns);

uint32_t ovr_feed_take_resync(struct ovr_feed *feed, uint32_t *out, uint32_t capacity);

const struct ovr_feed_market *ovr_feed_market_at(const struct ovr_feed *feed, uint32_t index);

int64_t ovr_feed_find(const struct ovr_feed *feed, const char *id, size_t length);
uint32_t ovr_feed_markets_count(const struct ovr_feed *feed);
uint32_t ovr_feed_trusted_count(const struct ovr_feed *feed);
uint64_t ovr_feed_counter(const struct ovr_feed *feed, uint32_t meter);

uint32_t ovr_feed_levels(const struct ovr_feed *feed, uint32_t index, int outcome, int side,
                         uint16_t *price_ticks, int64_t *size_lots, uint32_t capacity);

int64_t ovr_feed_book_text(const struct ovr_feed *feed, uint32_t index, int outcome,
                           uint64_t venue_epoch_ms, char *out, size_t capacity);
