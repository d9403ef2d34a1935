/* The io_uring transport over real sockets, with a server that is played by hand.
 *
 * Where this machine refuses io_uring there is nothing to test, and it says so. */
#ifndef OVR_LIBURING

#include <stdio.h>

int main(void)
{
    fprintf(stderr, "skipped: built without liburing\n");
    return 0;
}

#else

#include "uring_rig.h"

#include "overround/clock.h"
#include "overround/feed.h"
#include "overround/meters.h"

static void messages_pass_both_ways_and_pings_are_answered(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    uint8_t opcode, payload[125];
    uint32_t slot;
    int server = connect_one(uring, 7, &slot);
    tell_text(server, "hello");
    await_messages(uring, 1);
    CHECK(strcmp(seen.last, "hello") == 0 && seen.number == 7);
    CHECK(ovr_uring_data_ns(uring, slot) != 0);
    CHECK(ovr_uring_send(uring, slot, "PING", 4) == 0);
    CHECK(hear(server, &opcode, payload) == 4 && opcode == OVR_WS_TEXT);
    CHECK(memcmp(payload, "PING", 4) == 0);
    tell_text(server, "PONG");
    CHECK(await_news(uring, OVR_URING_NEWS_PONG).pongs == 1);
    tell(server, "\x89\x02hi", 4);
    turn(uring);
    CHECK(hear(server, &opcode, payload) == 2 && opcode == OVR_WS_PONG && payload[1] == 'i');
    CHECK(atomic_load(&seen.messages) == 1);
    ovr_uring_end(uring, slot, OVR_WS_NORMAL);
    CHECK(hear(server, &opcode, payload) == 2 && opcode == OVR_WS_CLOSE);
    CHECK(payload[0] == 0x03 && payload[1] == 0xe8);
    CHECK(await_news(uring, OVR_URING_NEWS_ENDED).number == 7);
    CHECK(ovr_uring_send(uring, slot, "late", 4) == -ENOTCONN);
    ovr_uring_destroy(uring);
    close(server);
}

/* In one chunk with the answer, or a byte at a time. */
static void read_behind_the_answer(bool slowly)
{
    static const char answer[] = "HTTP/1.1 101 Yes\r\n\r\n\x81\x05" "first\x81\x06sec";
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(ovr_uring_open(uring, 1, pair[0], NULL, "", "GET", 3) == 0);
    for (size_t i = 0; slowly && i + 1 < sizeof answer; i++) {
        tell(pair[1], answer + i, 1);
        ovr_uring_step(uring);
    }
    if (!slowly) {
        tell(pair[1], answer, sizeof answer - 1);
    }
    CHECK(await_news(uring, OVR_URING_NEWS_ANSWER).number == 1);
    CHECK(atomic_load(&seen.messages) == 0);
    CHECK(ovr_uring_accept(uring, 0) == 0);
    await_messages(uring, 1);
    CHECK(strcmp(seen.last, "first") == 0);
    tell(pair[1], "ond", 3);
    await_messages(uring, 2);
    CHECK(strcmp(seen.last, "second") == 0);
    ovr_uring_destroy(uring);
    close(pair[1]);
}

static void what_comes_behind_the_answer_is_read_on_accept(void)
{
    read_behind_the_answer(true);
    read_behind_the_answer(false);
}

/* Receiving stops when the buffers are used up (-ENOBUFS, no MORE); nothing may be lost by it. */
static void starved_receives_are_armed_again(void)
{
    enum { MESSAGES = 400, BYTES = 4000 };
    struct ovr_uring *uring = make(OVR_URING_LOOP, 2);
    struct ovr_uring_counters counters;
    uint32_t slot;
    int server = connect_one(uring, 1, &slot);
    static uint8_t frame[4 + BYTES] = {0x81, 126, BYTES >> 8, BYTES & 0xff};
    memset(frame + 4, 'x', BYTES);
    for (unsigned sent = 0; sent < MESSAGES;) {
        while (sent < MESSAGES && send(server, frame, sizeof frame, MSG_DONTWAIT) > 0) {
            sent++;
        }
        turn(uring);
    }
    await_messages(uring, MESSAGES);
    CHECK(atomic_load(&seen.bytes) == (unsigned long)MESSAGES * BYTES);
    ovr_uring_counters(uring, &counters);
    CHECK(counters.starved > 0);
    ovr_uring_destroy(uring);
    close(server);
}

static void a_flood_of_pings_is_answered_without_growing(void)
{
    enum { PINGS = 100000, CHUNK = 2000 };
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    uint32_t slot;
    uint8_t pings[2 * CHUNK], drained[65536];
    int server = connect_one(uring, 1, &slot);
    for (size_t i = 0; i < CHUNK; i++) {
        pings[2 * i] = 0x89;
        pings[2 * i + 1] = 0;
    }
    for (unsigned sent = 0; sent < PINGS; sent += CHUNK) {
        tell(server, pings, sizeof pings);
        turn(uring);
    }
    tell_text(server, "alive");
    await_messages(uring, 1);
    CHECK(uring->links[slot].queue.capacity + uring->links[slot].flying.capacity <= 65536);
    ssize_t got = recv(server, drained, sizeof drained, MSG_DONTWAIT);
    CHECK(got >= 6 && got % 6 == 0 && got <= (ssize_t)(6 * PINGS));
    ovr_uring_destroy(uring);
    close(server);
}

/* A peer that does not read: what we queue for it is bounded, and so is waiting for it. */
static void a_peer_that_does_not_read_is_left(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    static char text[60000];
    uint32_t slot;
    int server = connect_one(uring, 1, &slot);
    memset(text, 't', sizeof text);
    int status = 0;
    for (int i = 0; i < 1000 && status == 0; i++) {
        status = ovr_uring_send(uring, slot, text, sizeof text);
    }
    CHECK(status == -ENOBUFS);
    struct ovr_uring_news news = await_news(uring, OVR_URING_NEWS_ENDED);
    CHECK(strstr(news.why, "does not take") != NULL);
    ovr_uring_destroy(uring);
    close(server);
}

static void broken_framing_and_a_cut_frame_end_the_connection(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    uint8_t opcode, payload[125];
    uint32_t slot;
    int server = connect_one(uring, 1, &slot);
    tell(server, "\x81\x81\0\0\0\0x", 7);
    struct ovr_uring_news news = await_news(uring, OVR_URING_NEWS_ENDED);
    CHECK(news.broken == 1 && news.code == OVR_WS_PROTOCOL_ERROR);
    CHECK(hear(server, &opcode, payload) == 2 && opcode == OVR_WS_CLOSE && payload[1] == 0xea);
    close(server);
    server = connect_one(uring, 2, &slot);
    tell(server, "\x81\x7f\0\0\0\0\1\0\0\0", 10); /* 16 MiB: refused by its header */
    news = await_news(uring, OVR_URING_NEWS_ENDED);
    CHECK(news.broken == 0 && news.too_large == 1 && news.code == OVR_WS_TOO_LARGE);
    close(server);
    server = connect_one(uring, 3, &slot);
    tell(server, "\x81\x05he", 4);
    close(server); /* in the middle of a frame */
    news = await_news(uring, OVR_URING_NEWS_ENDED);
    CHECK(news.broken == 0 && atomic_load(&seen.messages) == 0);
    ovr_uring_destroy(uring);
}

static void an_endless_answer_is_refused(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    static char head[OVR_URING_HEAD_BYTES_MAX + 1];
    int pair[2];
    memset(head, 'h', sizeof head);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(ovr_uring_open(uring, 1, pair[0], NULL, "", "GET", 3) == 0);
    tell(pair[1], head, sizeof head);
    CHECK(strstr(await_news(uring, OVR_URING_NEWS_ENDED).why, "too long") != NULL);
    ovr_uring_destroy(uring);
    close(pair[1]);
}

static void slots_are_bounded_and_used_again(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    int servers[LINKS], spare[2];
    uint32_t slot;
    for (uint32_t i = 0; i < LINKS; i++) {
        servers[i] = connect_one(uring, i + 1, &slot);
    }
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, spare) == 0);
    CHECK(ovr_uring_open(uring, 999, spare[0], NULL, "", "GET", 3) == -ENOSPC);
    for (uint32_t i = 0; i < LINKS; i++) { /* one wake-up, every connection */
        tell_text(servers[i], "x");
    }
    await_messages(uring, LINKS);
    close(servers[5]);
    CHECK(await_news(uring, OVR_URING_NEWS_ENDED).number == 6);
    servers[5] = connect_one(uring, 1000, &slot);
    CHECK(slot == 5);
    for (uint32_t i = 0; i < LINKS; i++) {
        close(servers[i]);
    }
    ovr_uring_destroy(uring);
    close(spare[0]);
    close(spare[1]);
}

static void await_threads_messages(unsigned count)
{
    for (int ms = 0; ms < PATIENCE_MS && atomic_load(&seen.messages) < count; ms++) {
        usleep(1000);
    }
    CHECK(atomic_load(&seen.messages) == count);
}

/* One entry moves at most 20 completions of a deferring ring; a round goes on until none is left.
 * The rounds are counted while the messages wait behind the mutex, all of them complete. */
static void a_thread_takes_a_hundred_completions_in_one_round(uint32_t shape)
{
    enum { COUNT = 100 };
    struct ovr_uring *uring = make(shape, 0);
    struct ovr_uring_counters before, after;
    pthread_t thread;
    int servers[COUNT];
    uint32_t slot;
    CHECK(pthread_create(&thread, NULL, drive, uring) == 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        servers[i] = connect_one(uring, i + 1, &slot); /* from a thread that may not submit */
    }
    tell_text(servers[0], "settle");
    await_threads_messages(1);
    ovr_uring_lock(uring);
    before = uring->counters;
    for (uint32_t i = 0; i < COUNT; i++) {
        tell_text(servers[i], "x");
    }
    ovr_uring_unlock(uring);
    await_threads_messages(1 + COUNT);
    ovr_uring_counters(uring, &after);
    CHECK(after.rounds - before.rounds <= 3);
    CHECK(ovr_uring_send(uring, slot, "back", 4) == 0);
    uint8_t opcode, payload[125];
    CHECK(hear(servers[COUNT - 1], &opcode, payload) == 4 && opcode == OVR_WS_TEXT);
    ovr_uring_stop(uring);
    CHECK(pthread_join(thread, NULL) == 0);
    ovr_uring_destroy(uring);
    for (uint32_t i = 0; i < COUNT; i++) {
        close(servers[i]);
    }
}

static void threads_take_a_hundred_completions_in_one_round(void)
{
    a_thread_takes_a_hundred_completions_in_one_round(OVR_URING_WAIT);
    a_thread_takes_a_hundred_completions_in_one_round(OVR_URING_SPIN);
}

/* One market's book, bid and ask of one size. */
#define SIDE(price, size) "[{\"price\":\"" price "\",\"size\":\"" size "\"}]"
#define HEAD "{\"market\":\"0x1\",\"asset_id\":\"1\",\"timestamp\":\"7\",\"hash\":\"\","
#define BOOK(bid, ask, size)                                                                 \
    HEAD "\"bids\":" SIDE(bid, size) ",\"asks\":" SIDE(ask, size) ",\"event_type\":\"book\"}"

static const char *const BOOKS[] = {BOOK("0.4", "0.6", "5"), BOOK("0.3", "0.7", "9")};

static void tell_book(int server, unsigned which)
{
    uint8_t frame[512] = {0x81, 126};
    size_t length = strlen(BOOKS[which]);
    frame[2] = (uint8_t)(length >> 8);
    frame[3] = (uint8_t)length;
    memcpy(frame + 4, BOOKS[which], length);
    while (send(server, frame, 4 + length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        usleep(100);
    }
}

/* What Python does to the engine meanwhile, a call at a time under the mutex; TSan looks on. */
static void an_engine_is_shared_under_the_mutex(void)
{
    enum { FRAMES = 3000 };
    struct ovr_feed_config books = {.markets_capacity = 4, .learn = 1, .burst_ns = 100000,
                                    .frame_bytes_max = LIMIT, .hash_pending_ns = 1000000};
    struct ovr_feed *feed = ovr_feed_create(&books);
    struct ovr_uring_config config = {.feed = feed, .links_max = LINKS, .frame_bytes_max = LIMIT,
                                      .shape = OVR_URING_WAIT, .burst_ns = books.burst_ns};
    int error;
    uint32_t slot, wanted[4];
    pthread_t thread;
    struct ovr_feed_result result;
    struct ovr_uring *uring = ovr_uring_create(&config, &error);
    CHECK(uring != NULL && pthread_create(&thread, NULL, drive, uring) == 0);
    int server = connect_one(uring, 1, &slot);
    for (unsigned i = 0; i < FRAMES; i++) {
        tell_book(server, i % 2);
        ovr_uring_lock(uring);
        ovr_feed_untrust(feed, 0, OVR_CAUSE_SILENCE, ovr_clock_ns());
        ovr_feed_take_resync(feed, wanted, 4);
        ovr_feed_flush(feed, ovr_clock_ns(), &result);
        ovr_uring_unlock(uring);
    }
    uint64_t frames = 0;
    for (int ms = 0; ms < PATIENCE_MS && frames < FRAMES; ms++) {
        usleep(1000);
        ovr_uring_lock(uring);
        frames = ovr_feed_counter(feed, OVR_METER_FRAMES);
        ovr_uring_unlock(uring);
    }
    CHECK(frames == FRAMES);
    ovr_uring_stop(uring);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(ovr_feed_counter(feed, OVR_METER_SNAPSHOTS) == FRAMES);
    CHECK(ovr_feed_market_at(feed, 0) != NULL && ovr_feed_trusted_count(feed) <= 1);
    ovr_uring_destroy(uring);
    ovr_feed_destroy(feed);
    close(server);
}

static void all(void)
{
    RUN(messages_pass_both_ways_and_pings_are_answered);
    RUN(what_comes_behind_the_answer_is_read_on_accept);
    RUN(starved_receives_are_armed_again);
    RUN(a_flood_of_pings_is_answered_without_growing);
    RUN(a_peer_that_does_not_read_is_left);
    RUN(broken_framing_and_a_cut_frame_end_the_connection);
    RUN(an_endless_answer_is_refused);
    RUN(slots_are_bounded_and_used_again);
    RUN(threads_take_a_hundred_completions_in_one_round);
    RUN(an_engine_is_shared_under_the_mutex);
}

MAIN_WITH_URING(all)

#endif
