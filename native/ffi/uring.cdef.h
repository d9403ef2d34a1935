/* The io_uring transport as Python sees it: uring_probe.h, uring_links.h, tls_client.h. */
enum ovr_uring_shape { OVR_URING_LOOP = 0, OVR_URING_WAIT = 1, OVR_URING_SPIN = 2 };

enum ovr_uring_stage {
    OVR_URING_USABLE = 0,
    OVR_URING_NOT_BUILT = 1,
    OVR_URING_SETUP = 2,
    OVR_URING_OPERATION = 3,
    OVR_URING_BUFFERS = 4,
    OVR_URING_SELF_TEST = 5
};

struct ovr_uring_probe {
    int32_t stage;
    int32_t error;
    uint32_t features;
    uint32_t opcode_last;
};

const char *ovr_uring_library(void);
void ovr_uring_probe(uint32_t shape, struct ovr_uring_probe *ret);

#define OVR_TLS_WHY_BYTES ...
struct ovr_tls_context;
struct ovr_tls_context *ovr_tls_context_create(const char *ca_file, const char *ca_folder,
                                               char *why);
void ovr_tls_context_destroy(struct ovr_tls_context *context);
const char *ovr_tls_library(void);

#define OVR_URING_HEAD_BYTES_MAX ...
struct ovr_uring;

struct ovr_uring_config {
    struct ovr_feed *feed;
    void (*on_text)(void *, const char *, size_t, uint64_t, uint32_t);
    void *user;
    struct ovr_tap *tap;
    uint64_t frame_bytes_max;
    uint64_t burst_ns;
    uint32_t links_max;
    uint32_t shape;
    uint32_t buffers;
};

enum ovr_uring_news_bit {
    OVR_URING_NEWS_ANSWER = 1,
    OVR_URING_NEWS_PONG = 2,
    OVR_URING_NEWS_UNUSABLE = 4,
    OVR_URING_NEWS_ENDED = 8
};

struct ovr_uring_news {
    uint32_t number;
    uint32_t bits;
    uint32_t slot;
    uint32_t pongs;
    uint32_t wrong_type;
    uint32_t too_large;
    uint32_t code;
    uint32_t broken;
    uint64_t pong_ns;
    char why[224];
};

struct ovr_uring_summary {
    uint64_t messages;
    uint64_t recv_ns;
    uint64_t burst_ns;
    uint64_t venue_epoch_ms;
    uint32_t resync;
    uint32_t resolved;
    uint32_t news;
};

struct ovr_uring_counters {
    uint64_t enters;
    uint64_t receives;
    uint64_t starved;
    uint64_t rounds;
};

struct ovr_uring *ovr_uring_create(const struct ovr_uring_config *config, int *error);
void ovr_uring_destroy(struct ovr_uring *uring);
int ovr_uring_start(struct ovr_uring *uring);
int ovr_uring_run(struct ovr_uring *uring);
void ovr_uring_stop(struct ovr_uring *uring);
int ovr_uring_fd(const struct ovr_uring *uring);
void ovr_uring_step(struct ovr_uring *uring);
void ovr_uring_take(struct ovr_uring *uring, struct ovr_uring_summary *ret);
int ovr_uring_news(struct ovr_uring *uring, struct ovr_uring_news *ret);
void ovr_uring_counters(struct ovr_uring *uring, struct ovr_uring_counters *ret);
int64_t ovr_uring_open(struct ovr_uring *uring, uint32_t number, int fd,
                       struct ovr_tls_context *context, const char *host, const void *request,
                       size_t length);
int64_t ovr_uring_answer(struct ovr_uring *uring, uint32_t slot, void *out, size_t capacity);
int ovr_uring_accept(struct ovr_uring *uring, uint32_t slot);
int ovr_uring_send(struct ovr_uring *uring, uint32_t slot, const void *text, size_t length);
void ovr_uring_end(struct ovr_uring *uring, uint32_t slot, uint32_t code);
uint64_t ovr_uring_data_ns(struct ovr_uring *uring, uint32_t slot);
void ovr_uring_lock(struct ovr_uring *uring);
void ovr_uring_unlock(struct ovr_uring *uring);

extern "Python" void ovr_uring_on_text(void *, const char *, size_t, uint64_t, uint32_t);
