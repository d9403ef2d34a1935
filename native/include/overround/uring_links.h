/* WebSocket connections on one io_uring: whole messages from the socket into the feed engine.
 *
 * Who owns: one process. Who drives: in shape LOOP the one thread that called ovr_uring_start; in
 * WAIT and SPIN the thread inside ovr_uring_run, while any other thread may open, accept, send,
 * end, and take news. One mutex covers every connection and the engine: the driver holds it while
 * it works on what has arrived and never while it waits; others hold it for one call. Whoever
 * touches the engine or the tap from another thread takes it by ovr_uring_lock.
 *
 * Receiving: one multishot receive a connection into a buffer ring that all share; a buffer goes
 * back as soon as its bytes were looked at. Out of buffers, receiving stops and is armed again:
 * nothing is lost, it is counted. Between an answer and its acceptance nothing is received.
 * Sending: at most one send in flight a connection; what is queued meanwhile goes with the next.
 * Limits: links_max connections, OUT bytes queued, HEAD bytes of an
 * HTTP answer, frame_bytes_max of a message; beyond each of them the connection ends.
 *
 * Life: open (TLS if asked, then the request) -> NEWS_ANSWER -> accept -> text -> NEWS_ENDED, told
 * once, after which the number and the slot mean nothing any more. A descriptor handed in belongs
 * to the ring. Nothing here reads a clock but ovr_clock_ns; a message's time is its receipt. */
#ifndef OVERROUND_URING_LINKS_H
#define OVERROUND_URING_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "overround/uring_probe.h"

#define OVR_URING_WHY_BYTES 224
#define OVR_URING_HEAD_BYTES_MAX 16384
#define OVR_URING_OUT_BYTES_MAX 1048576

struct ovr_feed;
struct ovr_tap;
struct ovr_tls_context;
struct ovr_uring;

/* Takes a whole text message, valid during the call only. */
typedef void (*ovr_uring_text_fn)(void *user, const char *text, size_t length, uint64_t recv_ns,
                                  uint32_t number);

struct ovr_uring_config {
    struct ovr_feed *feed;     /* takes the text, unless on_text is there */
    ovr_uring_text_fn on_text; /* called by the driver with the mutex held */
    void *user;
    struct ovr_tap *tap; /* WAIT and SPIN write their timer ticks there; may be NULL */
    uint64_t frame_bytes_max;
    uint64_t burst_ns; /* WAIT and SPIN flush the engine themselves */
    uint32_t links_max;
    uint32_t shape; /* enum ovr_uring_shape */
    uint32_t buffers; /* receive buffers, a power of two; 0 for the default */
};

enum ovr_uring_news_bit {
    OVR_URING_NEWS_ANSWER = 1,   /* the HTTP answer is whole */
    OVR_URING_NEWS_PONG = 2,     /* the text PONG came */
    OVR_URING_NEWS_UNUSABLE = 4, /* messages were dropped */
    OVR_URING_NEWS_ENDED = 8     /* the last news of this number */
};

struct ovr_uring_news {
    uint32_t number;
    uint32_t bits;
    uint32_t slot;
    uint32_t pongs;      /* since the last news */
    uint32_t wrong_type; /* binary messages dropped since */
    uint32_t too_large;  /* messages beyond the limit since */
    uint32_t code;       /* close code we ended with or were ended with; 0 none */
    uint32_t broken;     /* 1: ended because the peer broke the framing */
    uint64_t pong_ns;
    char why[OVR_URING_WHY_BYTES];
};

/* What came since it was last taken. */
struct ovr_uring_summary {
    uint64_t messages;       /* text */
    uint64_t recv_ns;        /* of the last one; 0 none */
    uint64_t burst_ns;       /* receipt of the first that changed a book; 0 none */
    uint64_t venue_epoch_ms; /* of the last one, or 0 */
    uint32_t resync;         /* markets waiting in the resync queue */
    uint32_t resolved;
    uint32_t news; /* 1: ovr_uring_news has something */
};

/* Counters since start. */
struct ovr_uring_counters {
    uint64_t enters;   /* io_uring_enter calls of ours */
    uint64_t receives; /* chunks received */
    uint64_t starved;  /* receives that stopped because no buffer was left */
    uint64_t rounds;   /* times the driver looked at completions */
};

/* Returns NULL and a negative errno; -ENOSYS when built without liburing. */
struct ovr_uring *ovr_uring_create(const struct ovr_uring_config *config, int *error);
/* Closes what is still open. No thread may be inside any other call. */
void ovr_uring_destroy(struct ovr_uring *uring);

/* LOOP: make the ring, in the thread that will drive it. Returns 0 or a negative errno. */
int ovr_uring_start(struct ovr_uring *uring);
/* WAIT and SPIN: make the ring and drive it until ovr_uring_stop. Returns 0 or a negative errno. */
int ovr_uring_run(struct ovr_uring *uring);
void ovr_uring_stop(struct ovr_uring *uring);
/* The descriptor that is readable when there is something to do: LOOP step, others take. */
int ovr_uring_fd(const struct ovr_uring *uring);

/* LOOP: work on everything that has arrived. */
void ovr_uring_step(struct ovr_uring *uring);
/* Take the summary. */
void ovr_uring_take(struct ovr_uring *uring, struct ovr_uring_summary *ret);
/* Returns 1 and the news of one connection, or 0. */
int ovr_uring_news(struct ovr_uring *uring, struct ovr_uring_news *ret);
void ovr_uring_counters(struct ovr_uring *uring, struct ovr_uring_counters *ret);

/* Take over a connected socket and send the HTTP request, inside TLS if there is a context.
 * Returns the slot, or -ENOSPC, -ENOMEM, -EINVAL; the socket then stays the caller's. */
int64_t ovr_uring_open(struct ovr_uring *uring, uint32_t number, int fd,
                       struct ovr_tls_context *context, const char *host, const void *request,
                       size_t length);
/* Copy the HTTP answer, blank line included; returns its length or -ENOENT. */
int64_t ovr_uring_answer(struct ovr_uring *uring, uint32_t slot, void *out, size_t capacity);
/* The answer is right: messages begin, with those that came behind it. Returns 0 or -ENOTCONN. */
int ovr_uring_accept(struct ovr_uring *uring, uint32_t slot);
/* Send a text message; from NEWS_ANSWER on. Returns 0, -ENOTCONN, or -ENOBUFS or -ENOMEM: then the
 * connection ends. */
int ovr_uring_send(struct ovr_uring *uring, uint32_t slot, const void *text, size_t length);
/* End a connection; NEWS_ENDED follows. `code` 0 sends no close frame. */
void ovr_uring_end(struct ovr_uring *uring, uint32_t slot, uint32_t code);
/* Returns when the last text other than PONG came on this connection, or 0. */
uint64_t ovr_uring_data_ns(struct ovr_uring *uring, uint32_t slot);

void ovr_uring_lock(struct ovr_uring *uring);
void ovr_uring_unlock(struct ovr_uring *uring);

#endif
