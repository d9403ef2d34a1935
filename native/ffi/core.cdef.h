/* The core as Python sees it. CMake puts layout.inc and meter_ids.inc in front. */
#define OVR_ABI_VERSION ...
#define OVR_HEADER_BYTES ...
#define OVR_SLOT_RETRIES ...
#define OVR_VALUES ...
#define OVR_HISTOGRAMS ...
#define OVR_HISTOGRAM_BUCKETS ...
#define OVR_TAP_HEADER_BYTES ...
#define OVR_TAP_RECORD_BYTES ...

uint64_t ovr_clock_ns(void);
uint32_t ovr_crc32c(uint32_t seed, const void *bytes, size_t size);
uint32_t ovr_crc32c_table(uint32_t seed, const void *bytes, size_t size);

uint32_t ovr_region_shape(uint32_t kind);
uint64_t ovr_segment_size(uint32_t record_size, uint64_t capacity);
int ovr_segment_init(void *base, uint64_t size, uint32_t kind, uint32_t record_size,
                     uint64_t capacity, uint64_t layout_hash, uint64_t run_id, uint64_t mode);
int ovr_segment_check(const void *base, uint64_t size, uint32_t kind, uint64_t layout_hash);
void ovr_segment_takeover_begin(void *base, uint64_t pid, uint64_t start_ticks, uint64_t boot);
uint64_t ovr_segment_repair(void *base);
void ovr_segment_takeover_end(void *base);
void ovr_segment_beat(void *base, uint64_t now_ns);
void ovr_segment_set_state(void *base, uint64_t state);
int ovr_segment_usable(void *base, uint64_t now_ns, uint64_t lease_ns);
uint64_t ovr_segment_epoch(void *base);
uint64_t ovr_segment_heartbeat_ns(void *base);
uint64_t ovr_segment_state(void *base);
uint64_t ovr_segment_generation(void *base);
uint64_t ovr_segment_mode(void *base);
uint64_t ovr_segment_owner_pid(void *base);
uint64_t ovr_segment_owner_start(void *base);
uint64_t ovr_segment_owner_boot(void *base);
uint64_t ovr_segment_cursor(void *base);
uint64_t ovr_segment_head(void *base);
uint64_t ovr_segment_run_id(void *base);
uint64_t ovr_segment_capacity(void *base);
uint32_t ovr_segment_kind(void *base);
uint32_t ovr_segment_record_size(void *base);
int ovr_latch_set(void *base, uint64_t reason, uint64_t now_ns);
uint64_t ovr_latch_reason(void *base);
uint64_t ovr_latch_set_ns(void *base);
void ovr_latch_clear(void *base);
void ovr_latch_stopped(void *base, uint64_t now_ns);
void ovr_latch_cancelled(void *base, uint64_t now_ns);
uint64_t ovr_latch_stopped_ns(void *base);
uint64_t ovr_latch_cancelled_ns(void *base);
void *ovr_memory_map(int fd, uint64_t size);
void ovr_memory_unmap(void *base, uint64_t size);
int ovr_memory_lock(void *base, uint64_t size);
int ovr_memory_collapse(void *base, uint64_t size);

uint64_t ovr_broadcast_publish(void *base, const void *record);
uint32_t ovr_broadcast_poll(void *base, uint64_t *cursor, void *ret, uint32_t max, uint64_t *lost);
int ovr_broadcast_wait(void *base, uint64_t cursor, uint64_t spin_ns, uint64_t timeout_ns);

uint64_t ovr_slot_store(void *base, uint64_t index, const void *record);
int64_t ovr_slot_append(void *base, const void *record);
int ovr_slot_load(void *base, uint64_t index, void *ret);
uint64_t ovr_slot_load_many(void *base, uint64_t first, uint64_t count, void *ret, uint8_t *ok);

int ovr_spsc_try_push(void *base, const void *record);
int64_t ovr_spsc_poll(void *base, uint64_t from, void *ret, uint32_t max);
int ovr_spsc_advance(void *base, uint64_t to);
int ovr_spsc_wait(void *base, uint64_t from, uint64_t spin_ns, uint64_t timeout_ns);

void ovr_meter_add(void *base, uint32_t id, int64_t amount);
void ovr_meter_set(void *base, uint32_t id, int64_t value);
int64_t ovr_meter_get(void *base, uint32_t id);
void ovr_histogram_record(void *base, uint32_t id, uint64_t value_ns);
uint32_t ovr_histogram_bucket(uint64_t value);
uint64_t ovr_histogram_floor(uint32_t bucket);

enum ovr_tap_kind {
    OVR_TAP_FRAME_IN = 1,
    OVR_TAP_FRAME_OUT = 2,
    OVR_TAP_CONNECT = 3,
    OVR_TAP_CLOSE = 4,
    OVR_TAP_REST = 5,
    OVR_TAP_TICK = 6,
    OVR_TAP_GAP = 7,
    OVR_TAP_MARKET = 8
};

struct ovr_tap {
    uint8_t *base;
    uint64_t size;
    uint64_t used;
    uint8_t *spare;
    uint64_t spare_size;
    uint64_t rolls;
    uint64_t bytes;
    uint64_t dropped;
    uint64_t gap;
};

int ovr_tap_format(uint8_t *base, uint64_t size, uint64_t run_id, uint64_t index,
                   uint64_t created_epoch_ns);
int ovr_tap_append(struct ovr_tap *tap, uint16_t kind, uint64_t recv_ns, uint32_t connection,
                   const void *payload, uint32_t length);
uint64_t ovr_tap_used(const uint8_t *base);
