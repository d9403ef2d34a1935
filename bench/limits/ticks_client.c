/* From a tick on one socket to an order on another: the C floor, and the runtime's parts.
 *
 * Floor: spin on recv, the one-shape scanner, flat books, compare two asks, patch and send the
 * order. Ours: the io_uring links call back with the text, the feed engine takes it; the caller's
 * compiled loop polls the ring, runs the detector's kernels and calls ticks_order. */
#include "bench.h"
#include "flat_book.h"
#include "scan_floor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "overround/broadcast.h"
#include "overround/feed.h"
#include "overround/uring_links.h"

#define TRY(condition)                                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

enum { STEP = 10, GRID = 10000, CHUNK = 65536, PATIENCE_MS = 20000,
       REPORT = 160 };

static const char hello[] =
    "GET /ticks/100 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static struct {
    int orders;
    char *request;
    size_t request_bytes, price_at;
    struct ovr_uring *uring;
    struct ovr_feed *feed;
    struct ovr_feed_result result;
    uint32_t slot;
    char report[REPORT];
    int ended;
} my;

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    NEED(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    NEED(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    return fd;
}

/* Patch the price, as four decimals, and hand the bytes to the socket. */
int64_t ticks_order(int64_t price_ticks);
int64_t ticks_order(int64_t price_ticks)
{
    char *at = my.request + my.price_at;
    for (int i = 3; i >= 0; i--, price_ticks /= 10) {
        at[i] = (char)('0' + price_ticks % 10);
    }
    return send(my.orders, my.request, my.request_bytes, MSG_NOSIGNAL);
}

void ticks_begin(int port, const char *request, uint32_t bytes, uint32_t price_at)
{
    my.orders = connect_to(port);
    my.request = malloc(bytes);
    memcpy(my.request, request, bytes);
    my.request_bytes = bytes;
    my.price_at = price_at;
    my.ended = 0;
    memset(my.report, 0, sizeof my.report);
}

void ticks_end(char *ret_report)
{
    close(my.orders);
    free(my.request);
    memcpy(ret_report, my.report, sizeof my.report);
}

/* --- floor --------------------------------------------------------------------------------- */

static struct flat_book books[2];

static void floor_apply(const struct floor_frame *frame, int market, int whole)
{
    struct flat_book *book = &books[market];
    for (uint32_t n = 0; n < frame->count; n++) {
        const struct floor_change *c = &frame->changes[n];
        unsigned flip = whole ? 0 : n % 2;
        flat_set(book, c->side ^ flip, (flip ? GRID - c->ticks : c->ticks) / STEP, c->lots);
    }
}

static int floor_text(const char *text, size_t length, uint32_t number)
{
    static struct floor_frame frame;
    if (number < 2) { /* the opening books; the first of the two tokens is enough */
        NEED(floor_snapshot(text, &frame));
        floor_apply(&frame, (int)number, 1);
        return 0;
    }
    if (!floor_price_change(text, &frame)) {
        memcpy(my.report, text, length < REPORT - 1 ? length : REPORT - 1);
        return 1;
    }
    floor_apply(&frame, 0, 0);
    int first = flat_best(&books[0], 1), second = flat_best(&books[1], 1);
    if (first >= 0 && second >= 0 && (first + second) * STEP < GRID) {
        ticks_order(first * STEP);
    }
    return 0;
}

/* One session; stores the server's report. */
int ticks_floor(int port)
{
    static char in[CHUNK + 128];
    static const uint8_t go[] = {0x81, 0x82, 1, 2, 3, 4, 'g', 'o'};
    int fd = connect_to(port);
    size_t held = 0;
    uint32_t number = 0;
    memset(books, 0, sizeof books);
    TRY(send(fd, hello, sizeof hello - 1, 0) == sizeof hello - 1);
    while (held < 4 || memcmp(in + held - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = recv(fd, in + held, 1, 0);
        TRY(got > 0);
        held += (size_t)got;
    }
    held = 0;
    TRY(send(fd, go, sizeof go, 0) == sizeof go);
    for (int ended = 0; !ended;) {
        ssize_t got = recv(fd, in + held, CHUNK - held, MSG_DONTWAIT);
        if (got <= 0) {
            continue;
        }
        held += (size_t)got;
        for (size_t head, length; held >= 4 && !ended;) {
            head = in[1] == 126 ? 4 : 2;
            length = head == 4 ? (size_t)(uint8_t)in[2] << 8 | (uint8_t)in[3] : (size_t)in[1];
            if (held < head + length) {
                break;
            }
            ended = floor_text(in + head, length, number++);
            held -= head + length;
            if (held > 0) {
                memmove(in, in + head + length, held);
            }
        }
    }
    close(fd);
    return 0;
}

/* --- ours ---------------------------------------------------------------------------------- */

static void on_text(void *user, const char *text, size_t length, uint64_t recv_ns, uint32_t number)
{
    (void)user;
    if (length > 6 && memcmp(text, "{\"p50\"", 6) == 0) {
        memcpy(my.report, text, length < REPORT - 1 ? length : REPORT - 1);
        my.ended = 1;
        return;
    }
    ovr_feed_frame(my.feed, text, length, recv_ns, number, &my.result);
}

static int turn_until(unsigned bit)
{
    struct ovr_uring_summary summary;
    struct ovr_uring_news news;
    struct pollfd wake = {.fd = ovr_uring_fd(my.uring), .events = POLLIN};
    for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
        poll(&wake, 1, 10);
        ovr_uring_step(my.uring);
        ovr_uring_take(my.uring, &summary);
        while (ovr_uring_news(my.uring, &news)) {
            if ((news.bits & bit) != 0) {
                return 0;
            }
        }
    }
    return __LINE__;
}

/* Connect and ask for the ticks; the calling thread then owns the ring. */
int ticks_open(int port, struct ovr_feed *feed)
{
    struct ovr_uring_config config = {.on_text = on_text, .frame_bytes_max = 1 << 22,
                                      .links_max = 4, .shape = OVR_URING_LOOP};
    int error;
    my.feed = feed;
    my.uring = ovr_uring_create(&config, &error);
    TRY(my.uring != NULL && ovr_uring_start(my.uring) == 0);
    int64_t slot = ovr_uring_open(my.uring, 1, connect_to(port), NULL, "", hello, sizeof hello - 1);
    TRY(slot >= 0);
    my.slot = (uint32_t)slot;
    TRY(turn_until(OVR_URING_NEWS_ANSWER) == 0);
    TRY(ovr_uring_accept(my.uring, my.slot) == 0);
    TRY(ovr_uring_send(my.uring, my.slot, "go", 2) == 0);
    return 0;
}

void ticks_close(void)
{
    ovr_uring_destroy(my.uring);
}

/* Work on what has arrived; returns 1 when the server's report has come. */
int64_t ticks_step(void);
int64_t ticks_step(void)
{
    ovr_uring_step(my.uring);
    return my.ended;
}

int64_t ticks_poll(int64_t ring, int64_t cursor, int64_t records, int64_t most);
int64_t ticks_poll(int64_t ring, int64_t cursor, int64_t records, int64_t most)
{
    uint64_t lost = 0;
    return ovr_broadcast_poll((void *)(uintptr_t)ring, (uint64_t *)(uintptr_t)cursor,
                              (void *)(uintptr_t)records, (uint32_t)most, &lost);
}
