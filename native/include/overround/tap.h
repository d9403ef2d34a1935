/* Audit tap: everything that came in or went out, appended to memory-mapped files.
 *
 * Who writes: one thread of one process. Who reads: the recorder while it grows, replay after.
 * What a reader may see: whole records up to the first that fails its checksum. Order:
 * SYNC(tap_used) publishes the bytes; without a live reader the checksum alone is enough. Lap:
 * none, nothing is overwritten. Crash mid-write: a torn tail, cut by its checksum; pages of a
 * MAP_SHARED file survive the death of every process. Capacity: the file; when it is full the
 * writer goes on in a spare that Python prepared, and without a spare it drops, counts, and marks
 * the gap as soon as there is room. Cost: one checksum and one copy of the frame.
 *
 * File: 64-byte header, then records, each a multiple of 8 bytes:
 *   u32 length of payload, u32 crc32c of the 16 bytes after it and the payload,
 *   u64 recv_ns, u32 connection, u16 kind, u16 flags, payload, zero padding. */
#ifndef OVERROUND_TAP_H
#define OVERROUND_TAP_H

#include <stdint.h>

#define OVR_TAP_MAGIC UINT64_C(0x313050415452564f) /* "OVRTAP01" */
#define OVR_TAP_HEADER_BYTES 64
#define OVR_TAP_RECORD_BYTES 24

enum ovr_tap_kind {
    OVR_TAP_FRAME_IN = 1,
    OVR_TAP_FRAME_OUT = 2,
    OVR_TAP_CONNECT = 3,
    OVR_TAP_CLOSE = 4,
    OVR_TAP_REST = 5,
    OVR_TAP_TICK = 6,
    OVR_TAP_GAP = 7,
    OVR_TAP_MARKET = 8
};

/* A writer; private to its process. Python owns the mappings and hands them in. */
struct ovr_tap {
    uint8_t *base;      /* the file being written, NULL when there is none */
    uint64_t size;      /* bytes of it */
    uint64_t used;      /* bytes written, header included */
    uint8_t *spare;     /* the next file, header written; NULL when there is none */
    uint64_t spare_size;
    uint64_t rolls;     /* how often the spare became the base */
    uint64_t bytes;     /* appended in all, headers of records included */
    uint64_t dropped;   /* records dropped in all */
    uint64_t gap;       /* records dropped since the last one written */
};

/* Writes the header of a fresh zeroed file. Returns 0 or -EINVAL if it is too small. */
int ovr_tap_format(uint8_t *base, uint64_t size, uint64_t run_id, uint64_t index,
                   uint64_t created_epoch_ns);

/* Appends one record, rolling into the spare if need be. Returns 0, or -ENOSPC: dropped, counted;
 * a GAP record with the number of records lost precedes the next one that fits. */
int ovr_tap_append(struct ovr_tap *tap, uint16_t kind, uint64_t recv_ns, uint32_t connection,
                   const void *payload, uint32_t length);

/* Returns the bytes published in a file, for a reader that follows it. */
uint64_t ovr_tap_used(const uint8_t *base);

#endif
