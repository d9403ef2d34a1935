/* A server that is played by hand, for the tests of the io_uring transport. */
#ifndef OVERROUND_URING_RIG_H
#define OVERROUND_URING_RIG_H

#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "../src/uring_internal.h"
#include "overround/uring_links.h"
#include "overround/uring_probe.h"
#include "overround/ws_frame.h"

enum { LINKS = 128, LIMIT = 1 << 20, PATIENCE_MS = 30000 };

/* What the sink saw. */
static struct {
    atomic_uint messages;
    atomic_ulong bytes;
    char last[64];
    uint32_t number;
} seen;

static inline void on_text(void *user, const char *text, size_t length, uint64_t recv_ns,
                           uint32_t number)
{
    CHECK(user == &seen && recv_ns != 0);
    snprintf(seen.last, sizeof seen.last, "%.*s", (int)(length < 60 ? length : 60), text);
    seen.number = number;
    atomic_fetch_add(&seen.bytes, length);
    atomic_fetch_add(&seen.messages, 1);
}

static inline struct ovr_uring *make(uint32_t shape, uint32_t buffers)
{
    struct ovr_uring_config config = {.on_text = on_text, .user = &seen, .links_max = LINKS,
                                      .frame_bytes_max = LIMIT, .shape = shape,
                                      .buffers = buffers};
    int error;
    memset(&seen, 0, sizeof seen);
    struct ovr_uring *uring = ovr_uring_create(&config, &error);
    CHECK(uring != NULL && error == 0);
    if (shape == OVR_URING_LOOP) {
        CHECK(ovr_uring_start(uring) == 0);
    }
    return uring;
}

/* One turn: wait until there is something to do, do it. */
static inline void turn(struct ovr_uring *uring)
{
    struct pollfd wake = {.fd = ovr_uring_fd(uring), .events = POLLIN};
    struct ovr_uring_summary summary;
    poll(&wake, 1, 10);
    ovr_uring_step(uring);
    ovr_uring_take(uring, &summary);
}

/* Turns until a connection has this news; returns them. */
static inline struct ovr_uring_news await_news(struct ovr_uring *uring, unsigned bit)
{
    struct ovr_uring_news news;
    for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
        turn(uring);
        while (ovr_uring_news(uring, &news)) {
            if ((news.bits & bit) != 0) {
                return news;
            }
        }
    }
    CHECK(!"news in time");
    return news;
}

static inline void await_messages(struct ovr_uring *uring, unsigned count)
{
    for (int ms = 0; ms < PATIENCE_MS && atomic_load(&seen.messages) < count; ms += 10) {
        turn(uring);
    }
    CHECK(atomic_load(&seen.messages) == count);
}

static inline void tell(int server, const void *bytes, size_t length)
{
    CHECK(send(server, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

static inline void tell_text(int server, const char *text)
{
    uint8_t frame[128] = {0x81, (uint8_t)strlen(text)};
    memcpy(frame + 2, text, strlen(text));
    tell(server, frame, 2 + strlen(text));
}

/* Opens a connection and answers for the server; returns the server's end. */
static inline int connect_one(struct ovr_uring *uring, uint32_t number, uint32_t *slot)
{
    static const char answer[] = "HTTP/1.1 101 Yes\r\nA: b\r\n\r\n";
    int pair[2];
    char head[4096];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    int64_t opened = ovr_uring_open(uring, number, pair[0], NULL, "", "GET\r\n\r\n", 7);
    CHECK(opened >= 0);
    tell(pair[1], answer, sizeof answer - 1);
    struct ovr_uring_news news = await_news(uring, OVR_URING_NEWS_ANSWER);
    CHECK(news.number == number && news.slot == opened);
    CHECK(ovr_uring_answer(uring, news.slot, head, sizeof head) == sizeof answer - 1);
    CHECK(memcmp(head, answer, sizeof answer - 1) == 0);
    CHECK(ovr_uring_accept(uring, news.slot) == 0);
    struct pollfd asked = {.fd = pair[1], .events = POLLIN};
    CHECK(poll(&asked, 1, PATIENCE_MS) == 1);
    CHECK(recv(pair[1], head, sizeof head, 0) == 7);
    *slot = news.slot;
    return pair[1];
}

/* Returns the next frame that the client sent, unmasked. */
static inline size_t hear(int server, uint8_t *opcode, uint8_t *payload)
{
    struct pollfd wake = {.fd = server, .events = POLLIN};
    uint8_t head[6];
    CHECK(poll(&wake, 1, PATIENCE_MS) == 1);
    CHECK(recv(server, head, sizeof head, 0) == sizeof head);
    size_t length = head[1] & 0x7f;
    CHECK((head[1] & 0x80) != 0 && length <= 125);
    CHECK(length == 0 || recv(server, payload, length, 0) == (ssize_t)length);
    for (size_t i = 0; i < length; i++) {
        payload[i] ^= head[2 + i % 4];
    }
    *opcode = head[0] & 0x0f;
    return length;
}

static inline void *drive(void *uring)
{
    CHECK(ovr_uring_run(uring) == 0);
    return NULL;
}

/* Runs the tests, or says why not: then there is nothing to test. */
#define MAIN_WITH_URING(tests)                                                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        struct ovr_uring_probe probe;                                                              \
        ovr_uring_probe(OVR_URING_WAIT, &probe);                                                   \
        if (probe.stage != OVR_URING_USABLE) {                                                     \
            fprintf(stderr, "skipped: no io_uring here, stage %d, error %d\n", probe.stage,        \
                    probe.error);                                                                  \
            return 0;                                                                              \
        }                                                                                          \
        tests();                                                                                   \
        return 0;                                                                                  \
    }

#endif
