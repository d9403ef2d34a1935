#include "overround/ws_frame.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f, CONTROL = 0x08 };
enum { LENGTH_16 = 126, LENGTH_64 = 127, CODE_NONE = 1005, BUFFER_BYTES_MIN = 4096 };

struct header {
    uint64_t payload; /* bytes */
    unsigned bytes;   /* of the header itself */
    unsigned opcode;
    bool fin;
};

/* --- buffers ------------------------------------------------------------------------------- */

static int reserve(struct ovr_ws_buffer *buffer, size_t capacity)
{
    if (capacity <= buffer->capacity) {
        return 0;
    }
    size_t grown = buffer->capacity != 0 ? buffer->capacity : BUFFER_BYTES_MIN;
    while (grown < capacity) {
        grown *= 2;
    }
    uint8_t *bytes = realloc(buffer->bytes, grown);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    buffer->bytes = bytes;
    buffer->capacity = grown;
    return 0;
}

int ovr_ws_buffer_add(struct ovr_ws_buffer *buffer, const void *bytes, size_t length, size_t limit)
{
    if (length > limit || buffer->used > limit - length) {
        return -ENOBUFS;
    }
    if (reserve(buffer, buffer->used + length) != 0) {
        return -ENOMEM;
    }
    if (length != 0) {
        memcpy(buffer->bytes + buffer->used, bytes, length);
        buffer->used += length;
    }
    return 0;
}

void ovr_ws_buffer_deinit(struct ovr_ws_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct ovr_ws_buffer){0};
}

/* --- reading ------------------------------------------------------------------------------- */

void ovr_ws_reader_init(struct ovr_ws_reader *reader, size_t bytes_max)
{
    *reader = (struct ovr_ws_reader){.bytes_max = bytes_max};
}

void ovr_ws_reader_deinit(struct ovr_ws_reader *reader)
{
    ovr_ws_buffer_deinit(&reader->partial);
    ovr_ws_buffer_deinit(&reader->message);
}

static int broken(struct ovr_ws_reader *reader, struct ovr_ws_event *ret, uint16_t code)
{
    reader->broken = true;
    ret->code = code;
    return ret->kind = OVR_WS_GOT_BROKEN;
}

static bool known_opcode(unsigned opcode)
{
    return opcode <= OVR_WS_BINARY || (opcode >= OVR_WS_CLOSE && opcode <= OVR_WS_PONG);
}

/* Returns 0 with the header, a close code if it may not be, or -1 while bytes are missing. What is
 * wrong with the first two bytes is said before the rest of them is there. */
static int parse_header(const struct ovr_ws_reader *reader, const uint8_t *bytes, size_t length,
                        struct header *ret)
{
    if (length < 2) {
        return -1;
    }
    unsigned opcode = bytes[0] & OPCODE;
    unsigned word = bytes[1] & LENGTH;
    bool fin = (bytes[0] & FIN) != 0;
    bool control = (opcode & CONTROL) != 0;
    bool goes_on = opcode == OVR_WS_CONTINUATION;
    if ((bytes[0] & RESERVED) != 0 || !known_opcode(opcode) || (bytes[1] & MASKED) != 0 ||
        (control && (!fin || word > OVR_WS_CONTROL_BYTES_MAX)) ||
        (!control && goes_on != (reader->opcode != 0))) {
        return OVR_WS_PROTOCOL_ERROR;
    }
    *ret = (struct header){.payload = word, .bytes = 2, .opcode = opcode, .fin = fin};
    if (word == LENGTH_16) {
        uint16_t wide;
        if (length < 4) {
            return -1;
        }
        memcpy(&wide, bytes + 2, sizeof wide);
        ret->payload = be16toh(wide);
        ret->bytes = 4;
    } else if (word == LENGTH_64) {
        uint64_t wide;
        if (length < 10) {
            return -1;
        }
        memcpy(&wide, bytes + 2, sizeof wide);
        ret->payload = be64toh(wide);
        ret->bytes = 10;
    }
    if ((word == LENGTH_16 && ret->payload < LENGTH_16) ||
        (word == LENGTH_64 && (ret->payload <= UINT16_MAX || ret->payload > INT64_MAX))) {
        return OVR_WS_PROTOCOL_ERROR;
    }
    return ret->payload > reader->bytes_max ? OVR_WS_TOO_LARGE : 0;
}

static int close_code(const uint8_t *payload, size_t length)
{
    if (length == 0) {
        return CODE_NONE;
    }
    if (length == 1) {
        return -1;
    }
    int code = payload[0] << 8 | payload[1];
    bool usable = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                  (code >= 3000 && code <= 4999);
    return usable ? code : -1;
}

/* One piece of a message. Returns GOT_NOTHING when there is nothing to say yet. */
static int join(struct ovr_ws_reader *reader, const struct header *header, const uint8_t *payload,
                struct ovr_ws_event *ret)
{
    if (header->opcode != OVR_WS_CONTINUATION) {
        reader->opcode = (uint8_t)header->opcode;
        reader->message.used = 0;
    }
    unsigned opcode = reader->opcode;
    if (header->fin) {
        reader->opcode = 0;
    }
    bool dropping = reader->dropping;
    if (!dropping) {
        int status = ovr_ws_buffer_add(&reader->message, payload, header->payload,
                                       reader->bytes_max);
        if (status == -ENOMEM) {
            return broken(reader, ret, OVR_WS_INTERNAL_ERROR);
        }
        reader->dropping = status != 0;
    }
    bool too_large = reader->dropping && !dropping;
    if (header->fin) {
        dropping = reader->dropping;
        reader->dropping = false;
        if (!dropping) {
            ret->payload = reader->message.used != 0 ? reader->message.bytes : payload;
            ret->length = reader->message.used;
            return ret->kind = opcode == OVR_WS_TEXT ? OVR_WS_GOT_TEXT : OVR_WS_GOT_BINARY;
        }
    }
    return ret->kind = too_large ? OVR_WS_GOT_DROPPED : OVR_WS_GOT_NOTHING;
}

/* A whole frame. Returns GOT_NOTHING for a piece that completes no message. */
static int take(struct ovr_ws_reader *reader, const struct header *header, const uint8_t *payload,
                struct ovr_ws_event *ret)
{
    ret->payload = payload;
    ret->length = header->payload;
    switch (header->opcode) {
    case OVR_WS_TEXT:
        return header->fin ? (ret->kind = OVR_WS_GOT_TEXT) : join(reader, header, payload, ret);
    case OVR_WS_BINARY:
        return header->fin ? (ret->kind = OVR_WS_GOT_BINARY) : join(reader, header, payload, ret);
    case OVR_WS_CONTINUATION:
        return join(reader, header, payload, ret);
    case OVR_WS_PING:
        return ret->kind = OVR_WS_GOT_PING;
    case OVR_WS_PONG:
        return ret->kind = OVR_WS_GOT_PONG;
    default: {
        int code = close_code(payload, header->payload);
        if (code < 0) {
            return broken(reader, ret, OVR_WS_PROTOCOL_ERROR);
        }
        ret->code = (uint16_t)code;
        return ret->kind = OVR_WS_GOT_CLOSE;
    }
    }
}

static void advance(const uint8_t **bytes, size_t *length, size_t used)
{
    *bytes += used;
    *length -= used;
}

/* Adds to the straddling frame until it holds `wanted` bytes; returns whether it does, or -1. */
static int fill(struct ovr_ws_reader *reader, const uint8_t **bytes, size_t *length, size_t wanted)
{
    struct ovr_ws_buffer *partial = &reader->partial;
    size_t missing = wanted - partial->used;
    size_t count = *length < missing ? *length : missing;
    if (ovr_ws_buffer_add(partial, *bytes, count, wanted) != 0) {
        return -1;
    }
    advance(bytes, length, count);
    return count == missing;
}

/* Goes on with a frame whose beginning came in an earlier chunk. */
static int next_partial(struct ovr_ws_reader *reader, const uint8_t **bytes, size_t *length,
                        struct ovr_ws_event *ret)
{
    struct ovr_ws_buffer *partial = &reader->partial;
    struct header header;
    int status;
    while ((status = parse_header(reader, partial->bytes, partial->used, &header)) < 0) {
        if (*length == 0) {
            return ret->kind = OVR_WS_GOT_NOTHING;
        }
        if (fill(reader, bytes, length, partial->used + 1) < 0) {
            return broken(reader, ret, OVR_WS_INTERNAL_ERROR);
        }
    }
    if (status > 0) {
        return broken(reader, ret, (uint16_t)status);
    }
    status = fill(reader, bytes, length, header.bytes + header.payload);
    if (status < 0) {
        return broken(reader, ret, OVR_WS_INTERNAL_ERROR);
    }
    if (status == 0) {
        return ret->kind = OVR_WS_GOT_NOTHING;
    }
    reader->shown = true;
    return take(reader, &header, partial->bytes + header.bytes, ret);
}

int ovr_ws_next(struct ovr_ws_reader *reader, const uint8_t **bytes, size_t *length,
                struct ovr_ws_event *ret)
{
    struct header header;
    *ret = (struct ovr_ws_event){0};
    while (!reader->broken) {
        if (reader->shown) {
            reader->shown = false;
            reader->partial.used = 0;
        }
        if (reader->partial.used != 0) {
            int kind = next_partial(reader, bytes, length, ret);
            if (kind != OVR_WS_GOT_NOTHING || !reader->shown) {
                return kind;
            }
            continue; /* the straddling frame was a piece; the chunk goes on */
        }
        int status = parse_header(reader, *bytes, *length, &header);
        if (status > 0) {
            return broken(reader, ret, (uint16_t)status);
        }
        if (status < 0 || *length - header.bytes < header.payload) {
            if (*length != 0 && fill(reader, bytes, length, *length) < 0) {
                return broken(reader, ret, OVR_WS_INTERNAL_ERROR);
            }
            return ret->kind = OVR_WS_GOT_NOTHING;
        }
        const uint8_t *payload = *bytes + header.bytes;
        advance(bytes, length, header.bytes + header.payload);
        if (take(reader, &header, payload, ret) != OVR_WS_GOT_NOTHING) {
            return ret->kind;
        }
    }
    *length = 0;
    return ret->kind;
}

/* --- writing ------------------------------------------------------------------------------- */

size_t ovr_ws_encode(uint8_t *out, unsigned opcode, const void *payload, size_t length,
                     uint32_t mask)
{
    size_t at = 2;
    out[0] = (uint8_t)(FIN | opcode);
    if (length < LENGTH_16) {
        out[1] = (uint8_t)(MASKED | length);
    } else if (length <= UINT16_MAX) {
        uint16_t wide = htobe16((uint16_t)length);
        out[1] = MASKED | LENGTH_16;
        memcpy(out + at, &wide, sizeof wide);
        at += sizeof wide;
    } else {
        uint64_t wide = htobe64(length);
        out[1] = MASKED | LENGTH_64;
        memcpy(out + at, &wide, sizeof wide);
        at += sizeof wide;
    }
    memcpy(out + at, &mask, sizeof mask);
    at += sizeof mask;
    const uint8_t *bytes = payload;
    const uint8_t *key = out + at - sizeof mask;
    uint64_t wide_mask = (uint64_t)mask << 32 | mask;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        word ^= wide_mask;
        memcpy(out + at + i, &word, 8);
    }
    for (; i < length; i++) {
        out[at + i] = bytes[i] ^ key[i % 4];
    }
    return at + length;
}
