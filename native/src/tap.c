#include "overround/tap.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "overround/crc32c.h"
#include "overround/words.h"

struct tap_file {
    uint64_t magic;
    uint32_t version;
    uint32_t header_bytes;
    uint64_t run_id;
    uint64_t index;
    uint64_t created_epoch_ns;
    uint64_t size;
    ovr_word used;
    uint64_t reserved;
};

struct tap_record {
    uint32_t length;
    uint32_t crc;
    uint64_t recv_ns;
    uint32_t connection;
    uint16_t kind;
    uint16_t flags;
};

_Static_assert(sizeof(struct tap_file) == OVR_TAP_HEADER_BYTES, "part of the file format");
_Static_assert(sizeof(struct tap_record) == OVR_TAP_RECORD_BYTES, "part of the file format");

#define CHECKED_HEADER_BYTES (sizeof(struct tap_record) - offsetof(struct tap_record, recv_ns))

int ovr_tap_format(uint8_t *base, uint64_t size, uint64_t run_id, uint64_t index,
                   uint64_t created_epoch_ns)
{
    if (size < OVR_TAP_HEADER_BYTES + OVR_TAP_RECORD_BYTES) {
        return -EINVAL;
    }
    struct tap_file *file = (struct tap_file *)(void *)base;
    file->version = 1;
    file->header_bytes = OVR_TAP_HEADER_BYTES;
    file->run_id = run_id;
    file->index = index;
    file->created_epoch_ns = created_epoch_ns;
    file->size = size;
    atomic_store_explicit(&file->used, OVR_TAP_HEADER_BYTES, memory_order_release);
    file->magic = OVR_TAP_MAGIC;
    return 0;
}

static uint64_t record_bytes(uint32_t length)
{
    return OVR_TAP_RECORD_BYTES + (((uint64_t)length + 7) & ~UINT64_C(7));
}

static void put(struct ovr_tap *tap, const struct tap_record *fields, const void *payload)
{
    uint8_t *at = tap->base + tap->used;
    struct tap_record record = *fields;
    record.crc = ovr_crc32c(0, &record.recv_ns, CHECKED_HEADER_BYTES);
    record.crc = ovr_crc32c(record.crc, payload, record.length);
    memcpy(at, &record, sizeof record);
    if (record.length > 0) {
        memcpy(at + sizeof record, payload, record.length);
    }
    tap->used += record_bytes(record.length);
    tap->bytes += record_bytes(record.length);
    struct tap_file *file = (struct tap_file *)(void *)tap->base;
    /* SYNC(tap_used): the record before the count; pairs with ovr_tap_used. */
    atomic_store_explicit(&file->used, tap->used, memory_order_release);
}

static int fits(const struct ovr_tap *tap, uint64_t bytes)
{
    return tap->base != NULL && tap->size - tap->used >= bytes;
}

static int make_room(struct ovr_tap *tap, uint64_t bytes)
{
    if (fits(tap, bytes)) {
        return 1;
    }
    if (tap->spare == NULL || tap->spare_size < OVR_TAP_HEADER_BYTES + bytes) {
        return 0;
    }
    tap->base = tap->spare;
    tap->size = tap->spare_size;
    tap->used = OVR_TAP_HEADER_BYTES;
    tap->spare = NULL;
    tap->spare_size = 0;
    tap->rolls++;
    return 1;
}

int ovr_tap_append(struct ovr_tap *tap, uint16_t kind, uint64_t recv_ns, uint32_t connection,
                   const void *payload, uint32_t length)
{
    uint64_t gap_bytes = tap->gap != 0 ? record_bytes(sizeof tap->gap) : 0;
    if (!make_room(tap, gap_bytes + record_bytes(length))) {
        tap->dropped++;
        tap->gap++;
        return -ENOSPC;
    }
    if (tap->gap != 0) {
        struct tap_record gap = {
            .length = sizeof tap->gap, .recv_ns = recv_ns, .kind = OVR_TAP_GAP};
        put(tap, &gap, &tap->gap);
        tap->gap = 0;
    }
    struct tap_record record = {
        .length = length, .recv_ns = recv_ns, .connection = connection, .kind = kind};
    put(tap, &record, payload);
    return 0;
}

uint64_t ovr_tap_used(const uint8_t *base)
{
    struct tap_file *file = (struct tap_file *)(uintptr_t)base;
    /* SYNC(tap_used): acquire, every byte below the count is there. */
    return atomic_load_explicit(&file->used, memory_order_acquire);
}
