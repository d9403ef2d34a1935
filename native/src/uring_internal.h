/* The ring's own state, shared by uring_probe.c, uring_ring.c (ring, driver) and uring_link.c (one
 * connection: what its bytes mean). */
#ifndef OVERROUND_URING_INTERNAL_H
#define OVERROUND_URING_INTERNAL_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "overround/tls_client.h"
#include "overround/uring_links.h"
#include "overround/ws_frame.h"

#define OVR_URING_NEVER_NS UINT64_MAX

enum {
    OVR_URING_GROUP = 1,
    OVR_URING_ENTRIES = 256,
    OVR_URING_COMPLETIONS = 4096,
    OVR_URING_BUFFERS_DEFAULT = 256,
    OVR_URING_BUFFER_BYTES = 16384, /* a TLS record, three snapshots */
    OVR_URING_PLAIN_BYTES = 16384,  /* most that one TLS record holds */
    OVR_URING_BATCH = 256,          /* completions worked on under one hold of the mutex */
    OVR_URING_RANDOM_BYTES = 256
};

/* The receive buffers, registered with the kernel. */
struct ovr_uring_buffers {
    struct io_uring_buf_ring *ring;
    uint8_t *pool;
    unsigned count, bytes_each;
    unsigned back; /* given back since the last advance */
};

unsigned ovr_uring_flags(uint32_t shape);
int ovr_uring_buffers_init(struct ovr_uring_buffers *buffers, struct io_uring *ring,
                           uint8_t *pool, unsigned count, unsigned bytes_each);
/* Once the ring that it was registered with is gone. */
void ovr_uring_buffers_deinit(struct ovr_uring_buffers *buffers);

enum link_state {
    LINK_FREE = 0,
    LINK_SECURING, /* TLS handshake */
    LINK_ASKED,    /* waiting for the HTTP answer */
    LINK_ANSWERED, /* waiting for accept */
    LINK_OPEN,
    LINK_ENDING, /* socket shut, operations in flight */
    LINK_ENDED   /* waiting to be told */
};

struct link {
    uint32_t number;
    uint32_t slot;
    int fd;
    enum link_state state;
    bool receiving, sending; /* in flight */
    struct ovr_tls *tls;
    struct ovr_ws_reader reader;
    struct ovr_ws_buffer request; /* until TLS is ready */
    struct ovr_ws_buffer head;    /* the HTTP answer and what came behind it */
    size_t head_length;           /* of the answer, once whole */
    struct ovr_ws_buffer queue;   /* to be sent next */
    struct ovr_ws_buffer flying;  /* in the kernel's hands while `sending` */
    size_t flown;                 /* sent of it */
    uint64_t data_ns;
    uint8_t ping[OVR_WS_CONTROL_BYTES_MAX];
    uint8_t ping_length;
    bool ping_due;
    struct ovr_uring_news news;
};

struct ovr_uring {
    struct ovr_uring_config config;
    pthread_mutex_t mutex;
    struct io_uring ring;
    struct ovr_uring_buffers buffers;
    uint8_t *plain;
    struct link *links;
    uint32_t links_end; /* highest slot in use + 1 */
    bool started;
    bool working;     /* the driver looks at completions: it will see to what is asked for */
    bool dirty;       /* a link wants to receive or send */
    bool any_news;
    bool signalled;   /* news_fd was written and not yet taken */
    int news_fd, kick_fd;
    uint64_t kick_word;
    uint64_t flush_due_ns;
    struct ovr_uring_summary total;
    struct ovr_uring_counters counters;
    uint64_t entered; /* enters not yet counted: the driver waits without the mutex */
    uint8_t random[OVR_URING_RANDOM_BYTES];
    unsigned random_used;
    atomic_bool stopping;
    atomic_bool kicked;
    atomic_uint wanted; /* threads that want the mutex */
};

/* uring_ring.c; with the mutex held */
void ovr_uring_kick(struct ovr_uring *uring);
void ovr_uring_signal(struct ovr_uring *uring);

/* uring_link.c; all with the mutex held */
void ovr_link_begin(struct ovr_uring *uring, struct link *link);
void ovr_link_received(struct ovr_uring *uring, struct link *link, const uint8_t *bytes,
                       size_t length, uint64_t now_ns);
void ovr_link_accept(struct ovr_uring *uring, struct link *link, uint64_t now_ns);
int ovr_link_send(struct ovr_uring *uring, struct link *link, unsigned opcode, const void *payload,
                  size_t length);
void ovr_link_end(struct ovr_uring *uring, struct link *link, unsigned code, const char *why);
void ovr_link_tell(struct ovr_uring *uring, struct link *link, unsigned bit);
/* Closes the socket once nothing is in flight. */
void ovr_link_settle(struct ovr_uring *uring, struct link *link);
void ovr_link_deinit(struct link *link);

static inline bool ovr_link_alive(const struct link *link)
{
    return link->state >= LINK_SECURING && link->state <= LINK_OPEN;
}

#endif
