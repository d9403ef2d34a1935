/* Clients of echo_server as a library: the C floor that spins, and the runtime's io_uring links.
 *
 * Each call of a round connects anew, warms up, measures and closes, so that never more than two
 * threads spin: this one and the server. It returns 0, or the line that failed. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "overround/clock.h"
#include "overround/feed.h"
#include "overround/tls_client.h"
#include "overround/uring_links.h"

#define TRY(condition)                                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

enum { ECHO_BYTES = 512, WARM = 200, CHUNK = 262144, PATIENCE_MS = 20000 };

static const char request_form[] =
    "GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* --- floor --------------------------------------------------------------------------------- */

struct plain {
    int fd;
    SSL *tls;
};

static ssize_t take(struct plain *link, void *bytes, size_t size)
{
    return link->tls != NULL ? SSL_read(link->tls, bytes, (int)size)
                             : recv(link->fd, bytes, size, MSG_DONTWAIT);
}

static ssize_t give(struct plain *link, const void *bytes, size_t size)
{
    return link->tls != NULL ? SSL_write(link->tls, bytes, (int)size)
                             : send(link->fd, bytes, size, MSG_NOSIGNAL);
}

static int floor_open(int port, SSL_CTX *context, const char *path, struct plain *ret)
{
    char text[512], answer[4096];
    *ret = (struct plain){.fd = connect_to(port)};
    TRY(ret->fd >= 0);
    if (context != NULL) {
        ret->tls = SSL_new(context);
        TRY(SSL_set_fd(ret->tls, ret->fd) == 1 && SSL_connect(ret->tls) == 1);
    }
    int size = snprintf(text, sizeof text, request_form, path), held = 0;
    TRY(give(ret, text, (size_t)size) == size);
    while (held < 4 || memcmp(answer + held - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = take(ret, answer + held, 1);
        held += got > 0 ? (int)got : 0;
    }
    if (ret->tls != NULL) {
        TRY(fcntl(ret->fd, F_SETFL, O_NONBLOCK) == 0);
    }
    return 0;
}

static void floor_close(struct plain *link)
{
    if (link->tls != NULL) {
        SSL_free(link->tls);
    }
    close(link->fd);
}

static size_t mask_frame(uint8_t *frame, const uint8_t *text, size_t length, uint32_t key)
{
    frame[0] = 0x81;
    frame[1] = 0x80 | 126;
    frame[2] = (uint8_t)(length >> 8);
    frame[3] = (uint8_t)length;
    memcpy(frame + 4, &key, 4);
    for (size_t i = 0; i < length; i += 4) {
        uint32_t word;
        memcpy(&word, text + i, 4);
        word ^= key;
        memcpy(frame + 8 + i, &word, 4);
    }
    return 8 + length;
}

static SSL_CTX *floor_context(const char *ca)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1) {
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}

int floor_echo(int port, const char *ca, uint32_t count, uint64_t *samples)
{
    struct plain link;
    uint8_t text[ECHO_BYTES], frame[8 + ECHO_BYTES], in[4096];
    SSL_CTX *context = ca != NULL ? floor_context(ca) : NULL;
    memset(text, 'x', sizeof text);
    TRY(ca == NULL || context != NULL);
    int failed = floor_open(port, context, "echo", &link);
    if (failed != 0) {
        return failed;
    }
    for (uint32_t n = 0; n < count + WARM; n++) {
        uint64_t begun = bench_ns();
        size_t size = mask_frame(frame, text, sizeof text, 0x12345678 + n), held = 0;
        TRY(give(&link, frame, size) == (ssize_t)size);
        while (held < 4 + ECHO_BYTES) {
            ssize_t got = take(&link, in + held, sizeof in - held);
            held += got > 0 ? (size_t)got : 0;
        }
        TRY(in[0] == 0x81);
        if (n >= WARM) {
            samples[n - WARM] = bench_ns() - begun;
        }
    }
    floor_close(&link);
    SSL_CTX_free(context);
    return 0;
}

/* Receives `count` messages and looks at nothing but their lengths. */
int floor_receive(int port, uint32_t count, uint64_t *ret_ns)
{
    static uint8_t in[CHUNK];
    struct plain link;
    uint8_t frame[16];
    uint64_t skip = 0;
    size_t held = 0;
    int failed = floor_open(port, NULL, "blast", &link);
    if (failed != 0) {
        return failed;
    }
    TRY(give(&link, frame, mask_frame(frame, (const uint8_t *)"go!!", 4, 7)) > 0);
    uint64_t begun = bench_ns();
    while (count > 0) {
        ssize_t got = recv(link.fd, in + held, sizeof in - held, MSG_DONTWAIT);
        if (got <= 0) {
            continue;
        }
        held += (size_t)got;
        size_t at = 0;
        for (; count > 0;) {
            if (skip > 0) {
                size_t step = held - at < skip ? held - at : skip;
                at += step;
                skip -= step;
                count -= skip == 0;
                if (skip > 0) {
                    break;
                }
                continue;
            }
            if (held - at < 4) {
                break;
            }
            size_t length = in[at + 1];
            skip = length == 126 ? ((size_t)in[at + 2] << 8 | in[at + 3]) + 4 : length + 2;
        }
        held -= at;
        memmove(in, in + at, held);
    }
    *ret_ns = bench_ns() - begun;
    floor_close(&link);
    return 0;
}

/* --- the runtime's links ------------------------------------------------------------------- */

static struct {
    struct ovr_uring *uring;
    struct ovr_feed *feed;
    struct ovr_feed_result result;
    uint32_t slot, seen, wanted;
    uint64_t begun, ended, *samples;
    uint8_t text[ECHO_BYTES];
    uint64_t changes;
} ours;

static void on_echo(void *user, const char *text, size_t length, uint64_t recv_ns, uint32_t number)
{
    (void)user, (void)text, (void)recv_ns, (void)number;
    uint64_t now = bench_ns();
    NEED(length == ECHO_BYTES);
    if (ours.seen >= WARM) {
        ours.samples[ours.seen - WARM] = now - ours.begun;
    }
    if (++ours.seen == ours.wanted) {
        ovr_uring_stop(ours.uring);
        return;
    }
    ours.begun = bench_ns();
    NEED(ovr_uring_send(ours.uring, ours.slot, ours.text, sizeof ours.text) == 0);
}

static void on_book(void *user, const char *text, size_t length, uint64_t recv_ns, uint32_t number)
{
    (void)user;
    ovr_feed_frame(ours.feed, text, length, recv_ns, number, &ours.result);
    ours.changes += ours.result.changes;
    if (++ours.seen == ours.wanted) {
        ours.ended = bench_ns();
        ovr_uring_stop(ours.uring);
    }
}

/* The thread that spins has a lower priority than the one that only opens the connection. */
static void *drive(void *unused)
{
    (void)unused;
    struct sched_param param = {.sched_priority = 1};
    if (sched_getscheduler(0) == SCHED_FIFO) {
        NEED(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == 0);
    }
    NEED(ovr_uring_run(ours.uring) == 0);
    return NULL;
}

static int await_answer(void)
{
    struct ovr_uring_summary summary;
    struct ovr_uring_news news;
    struct pollfd wake = {.fd = ovr_uring_fd(ours.uring), .events = POLLIN};
    for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
        poll(&wake, 1, 10);
        ovr_uring_take(ours.uring, &summary);
        while (ovr_uring_news(ours.uring, &news)) {
            TRY((news.bits & OVR_URING_NEWS_ENDED) == 0);
            if ((news.bits & OVR_URING_NEWS_ANSWER) != 0) {
                return 0;
            }
        }
    }
    return __LINE__;
}

/* Open, hand over to `on_text`, send the first message, and wait for the end of the round. */
static int native_round(int port, const char *path, struct ovr_tls_context *context,
                        ovr_uring_text_fn on_text, uint32_t count, size_t first)
{
    struct ovr_uring_config config = {.on_text = on_text, .frame_bytes_max = 1 << 22,
                                      .links_max = 4, .shape = OVR_URING_SPIN};
    char text[512];
    int error, size = snprintf(text, sizeof text, request_form, path);
    pthread_t thread;
    ours.seen = 0;
    ours.wanted = count;
    ours.uring = ovr_uring_create(&config, &error);
    TRY(ours.uring != NULL);
    memset(ours.text, 'x', sizeof ours.text);
    int fd = connect_to(port);
    TRY(fd >= 0);
    TRY(pthread_create(&thread, NULL, drive, NULL) == 0);
    int64_t slot = ovr_uring_open(ours.uring, 1, fd, context, "127.0.0.1", text, (size_t)size);
    TRY(slot >= 0);
    ours.slot = (uint32_t)slot;
    int failed = await_answer();
    TRY(failed == 0 && ovr_uring_accept(ours.uring, ours.slot) == 0);
    ours.begun = bench_ns();
    TRY(ovr_uring_send(ours.uring, ours.slot, ours.text, first) == 0);
    TRY(pthread_join(thread, NULL) == 0);
    ovr_uring_destroy(ours.uring);
    return 0;
}

int native_echo(int port, const char *ca, uint32_t count, uint64_t *samples)
{
    char why[OVR_TLS_WHY_BYTES];
    struct ovr_tls_context *context = NULL;
    if (ca != NULL) {
        context = ovr_tls_context_create(ca, NULL, why);
        TRY(context != NULL);
    }
    ours.samples = samples;
    int failed = native_round(port, "echo", context, on_echo, count + WARM, ECHO_BYTES);
    if (context != NULL) {
        ovr_tls_context_destroy(context);
    }
    return failed;
}

/* Receives `count` messages into the books of a feed that knows their markets. */
int native_receive(int port, struct ovr_feed *feed, uint32_t count, uint64_t *ret_ns,
                   uint64_t *ret_changes)
{
    ours.feed = feed;
    ours.changes = 0;
    int failed = native_round(port, "blast", NULL, on_book, count, 4);
    *ret_ns = ours.ended - ours.begun;
    *ret_changes = ours.changes;
    return failed;
}
