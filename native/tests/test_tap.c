#include "check.h"

#include <errno.h>

#include "overround/tap.h"

#define FILE_BYTES 256

static _Alignas(64) uint8_t files[3][FILE_BYTES];

static struct ovr_tap fresh_tap(void)
{
    memset(files, 0, sizeof files);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK(ovr_tap_format(files[i], FILE_BYTES, 42, i, 1) == 0);
    }
    return (struct ovr_tap){.base = files[0], .size = FILE_BYTES, .used = OVR_TAP_HEADER_BYTES};
}

static void records_are_padded_and_published(void)
{
    struct ovr_tap tap = fresh_tap();
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 7, 1, "abc", 3) == 0);
    CHECK(tap.used == 64 + 24 + 8 && ovr_tap_used(files[0]) == tap.used);
    CHECK(memcmp(files[0] + 64 + 24, "abc\0\0\0\0\0", 8) == 0);
    CHECK(ovr_tap_append(&tap, OVR_TAP_CLOSE, 8, 1, NULL, 0) == 0);
    CHECK(ovr_tap_used(files[0]) == 64 + 32 + 24 && tap.bytes == 56 && tap.dropped == 0);
}

static void full_file_rolls_into_the_spare(void)
{
    struct ovr_tap tap = fresh_tap();
    static const char payload[100];
    tap.spare = files[1];
    tap.spare_size = FILE_BYTES;
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 1, 0, payload, 100) == 0);
    CHECK(tap.rolls == 0);
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 2, 0, payload, 100) == 0);
    CHECK(tap.rolls == 1 && tap.base == files[1] && tap.spare == NULL);
    CHECK(ovr_tap_used(files[0]) == 64 + 128 && ovr_tap_used(files[1]) == 64 + 128);
}

static void without_room_records_are_dropped_and_the_gap_is_marked(void)
{
    struct ovr_tap tap = fresh_tap();
    static const char payload[100];
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 1, 0, payload, 100) == 0);
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 2, 0, payload, 100) == -ENOSPC);
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 3, 0, payload, 100) == -ENOSPC);
    CHECK(tap.dropped == 2 && tap.gap == 2);
    tap.spare = files[1];
    tap.spare_size = FILE_BYTES;
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 4, 0, payload, 100) == 0);
    CHECK(tap.dropped == 2 && tap.gap == 0);
    uint16_t kind;
    uint64_t lost;
    memcpy(&kind, files[1] + 64 + 20, sizeof kind);
    memcpy(&lost, files[1] + 64 + 24, sizeof lost);
    CHECK(kind == OVR_TAP_GAP && lost == 2);
    memcpy(&kind, files[1] + 64 + 32 + 20, sizeof kind);
    CHECK(kind == OVR_TAP_FRAME_IN);
}

static void frame_larger_than_a_file_is_dropped_without_burning_the_spare(void)
{
    struct ovr_tap tap = fresh_tap();
    static const char payload[FILE_BYTES];
    tap.spare = files[1];
    tap.spare_size = FILE_BYTES;
    CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, 1, 0, payload, FILE_BYTES) == -ENOSPC);
    CHECK(tap.spare == files[1] && tap.rolls == 0 && tap.dropped == 1);
}

static void tap_without_a_file_drops(void)
{
    struct ovr_tap tap = {0};
    CHECK(ovr_tap_append(&tap, OVR_TAP_TICK, 1, 0, NULL, 0) == -ENOSPC && tap.dropped == 1);
    CHECK(ovr_tap_format(files[0], 80, 0, 0, 0) == -EINVAL);
}

int main(void)
{
    RUN(records_are_padded_and_published);
    RUN(full_file_rolls_into_the_spare);
    RUN(without_room_records_are_dropped_and_the_gap_is_marked);
    RUN(frame_larger_than_a_file_is_dropped_without_burning_the_spare);
    RUN(tap_without_a_file_drops);
    return 0;
}
