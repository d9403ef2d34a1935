/* One connection: TLS, the HTTP answer, WebSocket messages; and how it ends. */
#define _GNU_SOURCE
#ifdef OVR_LIBURING

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overround/feed.h"
#include "uring_internal.h"

#define PONG_TEXT "PONG"

void ovr_link_tell(struct ovr_uring *uring, struct link *link, unsigned bit)
{
    link->news.bits |= bit;
    uring->any_news = true;
}

void ovr_link_deinit(struct link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    ovr_tls_destroy(link->tls);
    ovr_ws_reader_deinit(&link->reader);
    ovr_ws_buffer_deinit(&link->request);
    ovr_ws_buffer_deinit(&link->head);
    ovr_ws_buffer_deinit(&link->queue);
    ovr_ws_buffer_deinit(&link->flying);
    *link = (struct link){.fd = -1, .slot = link->slot};
}

/* --- going out ----------------------------------------------------------------------------- */

static uint32_t random_mask(struct ovr_uring *uring)
{
    uint32_t mask;
    if (uring->random_used + sizeof mask > sizeof uring->random) {
        ssize_t got = getrandom(uring->random, sizeof uring->random, 0);
        (void)got; /* never short for 256 bytes, and never fails once the machine is up */
        uring->random_used = 0;
    }
    memcpy(&mask, uring->random + uring->random_used, sizeof mask);
    uring->random_used += sizeof mask;
    return mask;
}

/* Queues bytes, through TLS if there is one. */
static int queue_bytes(struct link *link, const void *bytes, size_t length)
{
    if (link->tls != NULL) {
        return ovr_tls_write(link->tls, bytes, length, &link->queue, OVR_URING_OUT_BYTES_MAX);
    }
    return ovr_ws_buffer_add(&link->queue, bytes, length, OVR_URING_OUT_BYTES_MAX);
}

static int queue_frame(struct ovr_uring *uring, struct link *link, unsigned opcode,
                       const void *payload, size_t length)
{
    uint8_t small[OVR_WS_HEADER_BYTES_MAX + 1024];
    if (length > OVR_URING_OUT_BYTES_MAX) {
        return -ENOBUFS;
    }
    uint8_t *frame = length <= 1024 ? small : malloc(length + OVR_WS_HEADER_BYTES_MAX);
    if (frame == NULL) {
        return -ENOMEM;
    }
    size_t bytes = ovr_ws_encode(frame, opcode, payload, length, random_mask(uring));
    int status = queue_bytes(link, frame, bytes);
    if (frame != small) {
        free(frame);
    }
    return status;
}

/* Sends what is queued at once, from whatever thread this is: a socket nearly always takes it, and
 * one plain call costs less than an operation with its completion. The ring sends the rest. */
static void flush(struct ovr_uring *uring, struct link *link)
{
    struct ovr_ws_buffer *queue = &link->queue;
    if (link->sending || queue->used == 0 || !ovr_link_alive(link)) {
        return;
    }
    ssize_t sent = send(link->fd, queue->bytes, queue->used, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        ovr_link_end(uring, link, 0, strerror(errno));
    } else if (sent > 0) {
        queue->used -= (size_t)sent;
        memmove(queue->bytes, queue->bytes + sent, queue->used);
    }
    uring->dirty |= queue->used != 0;
}

int ovr_link_send(struct ovr_uring *uring, struct link *link, unsigned opcode, const void *payload,
                  size_t length)
{
    if (link->state != LINK_OPEN && link->state != LINK_ANSWERED) {
        return -ENOTCONN;
    }
    int status = queue_frame(uring, link, opcode, payload, length);
    if (status != 0) {
        ovr_link_end(uring, link, 0, "the peer does not take what we send");
    }
    flush(uring, link);
    return status;
}

/* --- the end ------------------------------------------------------------------------------- */

/* The last words, if the socket takes them at once: nobody waits for a peer that is left. */
static void say_goodbye(struct ovr_uring *uring, struct link *link, unsigned code)
{
    if (link->sending || link->state == LINK_SECURING) {
        return;
    }
    if (code != 0 && link->state == LINK_OPEN) {
        uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        (void)queue_frame(uring, link, OVR_WS_CLOSE, payload, sizeof payload);
    }
    if (link->tls != NULL) {
        ovr_tls_close(link->tls, &link->queue, OVR_URING_OUT_BYTES_MAX);
    }
}

void ovr_link_settle(struct ovr_uring *uring, struct link *link)
{
    if (link->state == LINK_ENDING && !link->receiving && !link->sending) {
        close(link->fd);
        link->fd = -1;
        link->state = LINK_ENDED;
        ovr_link_tell(uring, link, OVR_URING_NEWS_ENDED);
    }
}

void ovr_link_end(struct ovr_uring *uring, struct link *link, unsigned code, const char *why)
{
    if (!ovr_link_alive(link)) {
        return;
    }
    link->news.code = code;
    snprintf(link->news.why, sizeof link->news.why, "%s", why);
    say_goodbye(uring, link, code);
    if (!link->sending && link->queue.used != 0) {
        ssize_t sent = send(link->fd, link->queue.bytes, link->queue.used,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)sent; /* best effort */
    }
    /* Ends what is in flight: the receive with 0, the send with an error. */
    shutdown(link->fd, SHUT_RDWR);
    link->state = LINK_ENDING;
    ovr_link_settle(uring, link);
}

static void end_broken(struct ovr_uring *uring, struct link *link, unsigned code)
{
    if (code == OVR_WS_TOO_LARGE) {
        link->news.too_large++;
        ovr_link_tell(uring, link, OVR_URING_NEWS_UNUSABLE);
        ovr_link_end(uring, link, code, "a frame beyond the limit");
    } else if (code == OVR_WS_INTERNAL_ERROR) {
        ovr_link_end(uring, link, code, "no memory for a frame");
    } else {
        link->news.broken = 1;
        ovr_link_end(uring, link, code, "broken framing");
    }
}

/* --- coming in ----------------------------------------------------------------------------- */

static void deliver(struct ovr_uring *uring, struct link *link, const struct ovr_ws_event *event,
                    uint64_t now_ns)
{
    struct ovr_uring_summary *total = &uring->total;
    struct ovr_feed_result result;
    const char *text = (const char *)event->payload;
    if (event->length == sizeof PONG_TEXT - 1 && memcmp(text, PONG_TEXT, event->length) == 0) {
        link->news.pongs++;
        link->news.pong_ns = now_ns;
        ovr_link_tell(uring, link, OVR_URING_NEWS_PONG);
        return;
    }
    link->data_ns = now_ns;
    total->messages++;
    total->recv_ns = now_ns;
    if (uring->config.on_text != NULL) {
        uring->config.on_text(uring->config.user, text, event->length, now_ns, link->number);
        return;
    }
    ovr_feed_frame(uring->config.feed, text, event->length, now_ns, link->number, &result);
    if ((result.changes != 0 || result.books != 0) && total->burst_ns == 0) {
        total->burst_ns = now_ns;
    }
    total->venue_epoch_ms = result.venue_epoch_ms;
    total->resync = result.resync;
    total->resolved += result.resolved;
}

static void on_event(struct ovr_uring *uring, struct link *link, const struct ovr_ws_event *event,
                     uint64_t now_ns)
{
    switch (event->kind) {
    case OVR_WS_GOT_TEXT:
        deliver(uring, link, event, now_ns);
        break;
    case OVR_WS_GOT_BINARY:
        link->news.wrong_type++;
        ovr_link_tell(uring, link, OVR_URING_NEWS_UNUSABLE);
        break;
    case OVR_WS_GOT_DROPPED:
        link->news.too_large++;
        ovr_link_tell(uring, link, OVR_URING_NEWS_UNUSABLE);
        break;
    case OVR_WS_GOT_PING: /* only the newest is answered: RFC 6455, 5.5.3 */
        memcpy(link->ping, event->payload, event->length);
        link->ping_length = (uint8_t)event->length;
        link->ping_due = true;
        uring->dirty = true;
        break;
    case OVR_WS_GOT_CLOSE:
        ovr_link_end(uring, link, OVR_WS_NORMAL, "closed by the peer");
        link->news.code = event->code;
        break;
    case OVR_WS_GOT_BROKEN:
        end_broken(uring, link, event->code);
        break;
    default: /* an unasked pong */
        break;
    }
}

static void read_messages(struct ovr_uring *uring, struct link *link, const uint8_t *bytes,
                          size_t length, uint64_t now_ns)
{
    struct ovr_ws_event event;
    while (link->state == LINK_OPEN &&
           ovr_ws_next(&link->reader, &bytes, &length, &event) != OVR_WS_GOT_NOTHING) {
        on_event(uring, link, &event, now_ns);
    }
}

/* Keeps the HTTP answer, and what came in one chunk with its end until it is accepted. */
static void read_head(struct ovr_uring *uring, struct link *link, const uint8_t *bytes,
                      size_t length)
{
    static const char blank[] = "\r\n\r\n";
    size_t limit = OVR_URING_HEAD_BYTES_MAX + OVR_URING_BUFFER_BYTES;
    size_t seen = link->head.used < 3 ? 0 : link->head.used - 3;
    if (ovr_ws_buffer_add(&link->head, bytes, length, limit) != 0) {
        ovr_link_end(uring, link, 0, "no room for the HTTP answer");
        return;
    }
    const uint8_t *found = memmem(link->head.bytes + seen, link->head.used - seen, blank, 4);
    size_t head = found == NULL ? link->head.used : (size_t)(found - link->head.bytes) + 4;
    if (head > OVR_URING_HEAD_BYTES_MAX) {
        ovr_link_end(uring, link, 0, "the HTTP answer is too long");
    } else if (found != NULL) {
        link->head_length = head;
        link->state = LINK_ANSWERED;
        ovr_link_tell(uring, link, OVR_URING_NEWS_ANSWER);
    }
}

static void read_plain(struct ovr_uring *uring, struct link *link, const uint8_t *bytes,
                       size_t length, uint64_t now_ns)
{
    if (link->state == LINK_OPEN) {
        read_messages(uring, link, bytes, length, now_ns);
    } else if (ovr_link_alive(link)) {
        read_head(uring, link, bytes, length);
    }
}

/* --- TLS ----------------------------------------------------------------------------------- */

static void ask(struct ovr_uring *uring, struct link *link)
{
    link->state = LINK_ASKED;
    if (queue_bytes(link, link->request.bytes, link->request.used) != 0) {
        ovr_link_end(uring, link, 0, "the request cannot be sent");
        return;
    }
    ovr_ws_buffer_deinit(&link->request);
}

static void secure(struct ovr_uring *uring, struct link *link)
{
    int status = ovr_tls_handshake(link->tls, &link->queue, OVR_URING_OUT_BYTES_MAX);
    if (status < 0) {
        ovr_link_end(uring, link, 0, ovr_tls_why(link->tls));
    } else if (status == 1) {
        ask(uring, link);
    }
}

static void read_secured(struct ovr_uring *uring, struct link *link, uint64_t now_ns)
{
    int64_t length = 0;
    while (ovr_link_alive(link) && link->state != LINK_ANSWERED &&
           (length = ovr_tls_read(link->tls, uring->plain, OVR_URING_PLAIN_BYTES, &link->queue,
                                  OVR_URING_OUT_BYTES_MAX)) > 0) {
        read_plain(uring, link, uring->plain, (size_t)length, now_ns);
    }
    if (length < 0) {
        ovr_link_end(uring, link, 0, ovr_tls_why(link->tls));
    }
}

void ovr_link_accept(struct ovr_uring *uring, struct link *link, uint64_t now_ns)
{
    link->state = LINK_OPEN;
    uring->dirty = true; /* receiving paused on the answer */
    ovr_ws_reader_init(&link->reader, uring->config.frame_bytes_max);
    if (link->head.used > link->head_length) {
        read_messages(uring, link, link->head.bytes + link->head_length,
                      link->head.used - link->head_length, now_ns);
    }
    ovr_ws_buffer_deinit(&link->head);
    if (link->tls != NULL && ovr_link_alive(link)) {
        read_secured(uring, link, now_ns);
    }
}

void ovr_link_begin(struct ovr_uring *uring, struct link *link)
{
    if (link->tls != NULL) {
        link->state = LINK_SECURING;
        secure(uring, link);
    } else {
        ask(uring, link);
    }
    uring->dirty = true; /* to receive */
    flush(uring, link);
}

void ovr_link_received(struct ovr_uring *uring, struct link *link, const uint8_t *bytes,
                       size_t length, uint64_t now_ns)
{
    if (link->tls == NULL) {
        read_plain(uring, link, bytes, length, now_ns);
        return;
    }
    if (ovr_tls_take(link->tls, bytes, length) != 0) {
        ovr_link_end(uring, link, 0, "no memory for a TLS record");
        return;
    }
    if (link->state == LINK_SECURING) {
        secure(uring, link);
    }
    if (ovr_link_alive(link) && link->state != LINK_SECURING) {
        read_secured(uring, link, now_ns);
    }
    flush(uring, link); /* the handshake's next step, or the answer to a key update */
}

#else
typedef int ovr_uring_link_is_not_built;
#endif
