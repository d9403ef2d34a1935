/* WebSocket framing: the same bytes give the same events however they are cut. */
#include "check.h"

#include <stdbool.h>
#include <stdint.h>

#include "overround/ws_frame.h"

enum { LIMIT = 100000, TRACE_BYTES = 1 << 20 };

struct stream {
    uint8_t bytes[TRACE_BYTES];
    size_t used;
};

/* What a reader said, as text: kind, length and first byte of each event. */
struct trace {
    char text[4096];
    size_t used;
};

static struct stream stream;

static void begin(void)
{
    stream.used = 0;
}

static void add(const void *bytes, size_t length)
{
    CHECK(stream.used + length <= sizeof stream.bytes);
    memcpy(stream.bytes + stream.used, bytes, length);
    stream.used += length;
}

/* A server's frame: `first` is FIN, reserved bits and opcode. */
static void add_frame(unsigned first, const void *payload, size_t length)
{
    uint8_t head[10] = {(uint8_t)first};
    size_t used = 2;
    if (length < 126) {
        head[1] = (uint8_t)length;
    } else if (length <= UINT16_MAX) {
        head[1] = 126;
        head[2] = (uint8_t)(length >> 8);
        head[3] = (uint8_t)length;
        used = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++) {
            head[9 - i] = (uint8_t)(length >> 8 * i);
        }
        used = 10;
    }
    add(head, used);
    add(payload, length);
}

static void note(struct trace *trace, const struct ovr_ws_event *event)
{
    static const char names[] = "-TBDCPOX";
    int written = snprintf(trace->text + trace->used, sizeof trace->text - trace->used,
                           "%c%zu:%c/%u ", names[event->kind],
                           event->kind == OVR_WS_GOT_BROKEN ? (size_t)0 : event->length,
                           event->length != 0 && event->kind != OVR_WS_GOT_BROKEN &&
                                   event->kind != OVR_WS_GOT_DROPPED
                               ? event->payload[event->length - 1] : '-',
                           event->code);
    trace->used += (size_t)written;
    CHECK(trace->used < sizeof trace->text);
}

/* Reads the stream in chunks of `step` bytes, each in memory of exactly its size. */
static void read_in_steps(size_t step, struct trace *trace)
{
    struct ovr_ws_reader reader;
    ovr_ws_reader_init(&reader, LIMIT);
    *trace = (struct trace){0};
    for (size_t at = 0; at < stream.used; at += step) {
        size_t length = stream.used - at < step ? stream.used - at : step;
        uint8_t *chunk = malloc(length);
        const uint8_t *bytes = chunk;
        struct ovr_ws_event event;
        CHECK(chunk != NULL);
        memcpy(chunk, stream.bytes + at, length);
        while (ovr_ws_next(&reader, &bytes, &length, &event) != OVR_WS_GOT_NOTHING) {
            note(trace, &event);
        }
        CHECK(length == 0);
        free(chunk);
    }
    ovr_ws_reader_deinit(&reader);
}

static void expect(const char *wanted)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 125, 4096, 16384, 65535, TRACE_BYTES};
    struct trace trace;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_in_steps(steps[i], &trace);
        if (strcmp(trace.text, wanted) != 0) {
            fprintf(stderr, "in steps of %zu: %s\nwanted: %s\n", steps[i], trace.text, wanted);
            CHECK(!"the same events");
        }
    }
}

static void messages_are_whole_however_they_are_cut(void)
{
    static uint8_t big[90000];
    memset(big, 'x', sizeof big);
    begin();
    add_frame(0x81, "a", 1);
    add_frame(0x81, big, 125);
    add_frame(0x81, big, 126);
    add_frame(0x81, big, 65535);
    add_frame(0x82, big, 65536);
    add_frame(0x81, "", 0);
    add_frame(0x8a, "pong", 4);
    add_frame(0x81, big, sizeof big);
    expect("T1:a/0 T125:x/0 T126:x/0 T65535:x/0 B65536:x/0 T0:-/0 O4:g/0 T90000:x/0 ");
}

static void pieces_are_joined_and_an_overlong_message_is_dropped_once(void)
{
    static uint8_t big[40000];
    memset(big, 'x', sizeof big);
    begin();
    add_frame(0x01, "one ", 4);
    add_frame(0x89, "hello", 5);
    add_frame(0x00, "two ", 4);
    add_frame(0x80, "three", 5);
    add_frame(0x01, big, sizeof big);
    add_frame(0x00, big, sizeof big);
    add_frame(0x00, big, sizeof big);
    add_frame(0x00, big, sizeof big);
    add_frame(0x80, "", 0);
    add_frame(0x02, "\0", 1);
    add_frame(0x80, "b", 1);
    add_frame(0x01, "", 0);
    add_frame(0x80, "", 0);
    add_frame(0x81, "end", 3);
    expect("P5:o/0 T13:e/0 D40000:-/0 B2:b/0 T0:-/0 T3:d/0 ");
}

static void expect_broken(const void *bytes, size_t length, const char *wanted)
{
    begin();
    add_frame(0x81, "a", 1);
    add(bytes, length);
    add_frame(0x81, "never", 5); /* nothing after it is believed */
    char text[64];
    snprintf(text, sizeof text, "T1:a/0 %s", wanted);
    expect(text);
}

static void what_a_server_must_not_send_ends_the_stream(void)
{
    expect_broken("\xc1\x01x", 3, "X0:-/1002 ");                         /* reserved bit */
    expect_broken("\x83\x01x", 3, "X0:-/1002 ");                         /* reserved opcode */
    expect_broken("\x8b\x01x", 3, "X0:-/1002 ");                         /* reserved control */
    expect_broken("\x81\x81\0\0\0\0x", 7, "X0:-/1002 ");                 /* masked */
    expect_broken("\x81\x7e\0\x7dx", 5, "X0:-/1002 ");                   /* 125 in two bytes */
    expect_broken("\x81\x7f\0\0\0\0\0\0\xff\xff", 10, "X0:-/1002 ");     /* 65535 in eight */
    expect_broken("\x81\x7f\x80\0\0\0\0\0\0\0", 10, "X0:-/1002 ");       /* sign bit */
    expect_broken("\x81\x7f\0\0\0\0\0\1\x86\xa1", 10, "X0:-/1009 ");     /* LIMIT + 1 */
    expect_broken("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10, "X0:-/1009 ");
    expect_broken("\x09\x00", 2, "X0:-/1002 ");                          /* ping in pieces */
    expect_broken("\x89\x7e\0\x7e", 4, "X0:-/1002 ");                    /* control above 125 */
    expect_broken("\x80\x01x", 3, "X0:-/1002 ");                         /* nothing to go on with */
    expect_broken("\x01\x01x\x81\x01y", 6, "X0:-/1002 ");                /* a message in another */
    expect_broken("\x88\x01x", 3, "X0:-/1002 ");                         /* half a close code */
    expect_broken("\x88\x02\x03\xed", 4, "X0:-/1002 ");                  /* 1005 on the wire */
    expect_broken("\x88\x02\x03\xe7", 4, "X0:-/1002 ");                  /* 999 */
    expect_broken("\x88\x02\x13\x88", 4, "X0:-/1002 ");                  /* 5000 */
}

static void close_codes_are_told(void)
{
    begin();
    add_frame(0x88, "", 0);
    expect("C0:-/1005 ");
    begin();
    add_frame(0x88, "\x03\xe9 going", 8);
    expect("C8:g/1001 ");
}

static void what_we_write_unmasks_to_what_was_meant(void)
{
    static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 1000, 65535, 65536, 80001};
    static uint8_t payload[80001], frame[80001 + OVR_WS_HEADER_BYTES_MAX];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 31);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t length = lengths[i];
        size_t used = ovr_ws_encode(frame, OVR_WS_TEXT, payload, length, 0x81c3a55a);
        size_t head = length < 126 ? 2 : length <= UINT16_MAX ? 4 : 10;
        CHECK(used == head + 4 + length && frame[0] == 0x81 && (frame[1] & 0x80) != 0);
        CHECK((frame[1] & 0x7f) == (length < 126 ? length : length <= UINT16_MAX ? 126u : 127u));
        for (size_t at = 0; at < length; at++) {
            CHECK((frame[head + 4 + at] ^ frame[head + at % 4]) == payload[at]);
        }
    }
}

int main(void)
{
    RUN(messages_are_whole_however_they_are_cut);
    RUN(pieces_are_joined_and_an_overlong_message_is_dropped_once);
    RUN(what_a_server_must_not_send_ends_the_stream);
    RUN(close_codes_are_told);
    RUN(what_we_write_unmasks_to_what_was_meant);
    return 0;
}
