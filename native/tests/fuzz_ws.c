/* Fuzz target: arbitrary bytes, cut anywhere, through the WebSocket scanner. scripts/fuzz drives it
 * with coverage; test_ws_seeds.c runs the committed seeds through it in every build.
 *
 * The first byte says how the rest is cut. Whatever the cuts, the events must be the same, no event
 * may point outside of what was sent or exceed the limit, and nothing may follow BROKEN. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "overround/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)  \
    do {                 \
        if (!(condition)) { \
            abort();     \
        }                \
    } while (0)

enum { LIMIT = 2000 };

/* A digest of everything a reader said. */
static uint64_t mix(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return digest ^ digest >> 29;
}

static uint64_t mix_event(uint64_t digest, const struct ovr_ws_event *event)
{
    digest = mix(digest, event->kind);
    if (event->kind == OVR_WS_GOT_BROKEN) {
        return mix(digest, event->code);
    }
    if (event->kind == OVR_WS_GOT_DROPPED) {
        return digest;
    }
    MUST(event->length <= LIMIT);
    MUST(event->kind < OVR_WS_GOT_CLOSE || event->length <= OVR_WS_CONTROL_BYTES_MAX);
    for (size_t i = 0; i < event->length; i++) {
        digest = mix(digest, event->payload[i]);
    }
    return mix(digest, event->kind == OVR_WS_GOT_CLOSE ? event->code : event->length);
}

/* Reads everything, `step` bytes at a time growing by `grow`, each in memory of its exact size. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t step, size_t grow)
{
    struct ovr_ws_reader reader;
    struct ovr_ws_event event;
    uint64_t digest = 1;
    bool over = false;
    ovr_ws_reader_init(&reader, LIMIT);
    for (size_t at = 0; at < size; step += grow) {
        size_t length = size - at < step ? size - at : step;
        uint8_t *chunk = malloc(length);
        const uint8_t *bytes = chunk;
        MUST(chunk != NULL);
        memcpy(chunk, data + at, length);
        at += length;
        while (ovr_ws_next(&reader, &bytes, &length, &event) != OVR_WS_GOT_NOTHING) {
            MUST(!over);
            over = event.kind == OVR_WS_GOT_BROKEN;
            digest = mix_event(digest, &event);
        }
        MUST(length == 0);
        MUST(reader.partial.used <= LIMIT + OVR_WS_HEADER_BYTES_MAX);
        MUST(reader.message.used <= LIMIT);
        free(chunk);
    }
    ovr_ws_reader_deinit(&reader);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    uint64_t whole = read_all(data + 1, size - 1, size, 0);
    MUST(read_all(data + 1, size - 1, 1, 0) == whole);
    MUST(read_all(data + 1, size - 1, 1u + data[0] % 16, data[0] / 16) == whole);
    return 0;
}
