/* WebSocket framing of a client (RFC 6455), without I/O: bytes in, messages out, and back.
 *
 * A reader takes the stream in chunks of any size. A frame that lies whole in its chunk is shown
 * where it lies; only one that straddles chunks is copied, and only pieces of a message are joined.
 * What a server must not send (masked frames, reserved bits and opcodes, lengths not written the
 * shortest way, control frames in pieces or above 125 bytes, pieces out of order, close codes
 * that nobody may use) ends the stream: BROKEN is the last event it ever gives. Text is not
 * checked for UTF-8: the decoder behind accepts what it knows and counts the rest. */
#ifndef OVERROUND_WS_FRAME_H
#define OVERROUND_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVR_WS_HEADER_BYTES_MAX 14
#define OVR_WS_CONTROL_BYTES_MAX 125

enum ovr_ws_opcode {
    OVR_WS_CONTINUATION = 0,
    OVR_WS_TEXT = 1,
    OVR_WS_BINARY = 2,
    OVR_WS_CLOSE = 8,
    OVR_WS_PING = 9,
    OVR_WS_PONG = 10
};

/* Close codes that we send. */
enum ovr_ws_code {
    OVR_WS_NORMAL = 1000,
    OVR_WS_PROTOCOL_ERROR = 1002,
    OVR_WS_TOO_LARGE = 1009,
    OVR_WS_INTERNAL_ERROR = 1011
};

enum ovr_ws_kind {
    OVR_WS_GOT_NOTHING = 0, /* the chunk is used up */
    OVR_WS_GOT_TEXT = 1,
    OVR_WS_GOT_BINARY = 2,
    OVR_WS_GOT_DROPPED = 3, /* a message in pieces grew beyond the limit; said once, pieces eaten */
    OVR_WS_GOT_CLOSE = 4,   /* code is the peer's, 1005 if it gave none */
    OVR_WS_GOT_PING = 5,
    OVR_WS_GOT_PONG = 6,
    OVR_WS_GOT_BROKEN = 7   /* code is what to close with */
};

struct ovr_ws_event {
    const uint8_t *payload; /* valid until the next call */
    size_t length;
    uint16_t kind;
    uint16_t code;
};

struct ovr_ws_buffer {
    uint8_t *bytes;
    size_t used, capacity;
};

struct ovr_ws_reader {
    size_t bytes_max;             /* of a frame, and of a message in pieces */
    struct ovr_ws_buffer partial; /* a frame that has not arrived whole, header included */
    struct ovr_ws_buffer message; /* the pieces so far */
    uint8_t opcode;               /* of the message in pieces; 0 when there is none */
    bool dropping;                /* that message is beyond the limit */
    bool shown;                   /* partial or message was given out by the last call */
    bool broken;
};

/* Appends, growing as needed up to the limit; returns 0, -ENOBUFS or -ENOMEM. */
int ovr_ws_buffer_add(struct ovr_ws_buffer *buffer, const void *bytes, size_t length, size_t limit);
void ovr_ws_buffer_deinit(struct ovr_ws_buffer *buffer);

void ovr_ws_reader_init(struct ovr_ws_reader *reader, size_t bytes_max);
void ovr_ws_reader_deinit(struct ovr_ws_reader *reader);

/* Returns the kind of the next event and moves `*bytes` past what was used of the chunk. Call until
 * it returns GOT_NOTHING; the chunk is then used up. */
int ovr_ws_next(struct ovr_ws_reader *reader, const uint8_t **bytes, size_t *length,
                struct ovr_ws_event *ret);

/* Writes a masked client frame; `out` has room for length + OVR_WS_HEADER_BYTES_MAX. Returns the
 * bytes written. The mask must be unpredictable to the peer (RFC 6455, 5.3). */
size_t ovr_ws_encode(uint8_t *out, unsigned opcode, const void *payload, size_t length,
                     uint32_t mask);

#endif
