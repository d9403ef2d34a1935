/* One shared region: a header page, then records.
 *
 *     0  identity     magic, versions, shape, geometry, run     written once, before the magic
 *   128  ownership    epoch, owner, generation, mode            the owner, at take-over
 *   192  liveness     heartbeat_ns, state                       the owner, about every millisecond
 *   256  tail         cursor, head_seen                         the writer, every record
 *   320  head         head                                      the consumer of a bounded ring
 *   384  sleep        wake, sleepers, fence                     both sides, rarely
 *   448  latch        reason, set_ns; stopped_ns, cancelled_ns  anybody; the executor's answers
 *  4096  records
 *
 * Who writes: one owner, which holds the flock lease of the segment; the head, sleep and latch
 * lines excepted, as marked. Who reads: anybody. What a reader may see: a segment without magic
 * (not ready: -EAGAIN), an odd epoch (being set up or repaired), an old heartbeat (owner dead or
 * stuck); none of these is usable. Order: SYNC(segment_magic) publishes identity, SYNC(epoch)
 * brackets repairs, SYNC(heartbeat) says that what was published before the beat is visible.
 * Lap: no counter here wraps (64 bits) and none is ever reset. Crash mid-write: the mechanisms
 * say; ovr_segment_repair mends it under an odd epoch. Capacity: fixed at creation, a bigger
 * region is a new run. Cost: a beat is one store; usable() is three loads from two lines. */
#ifndef OVERROUND_SEGMENT_H
#define OVERROUND_SEGMENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "overround/words.h"

#define OVR_SEGMENT_MAGIC UINT64_C(0x313047455352564f) /* "OVRSEG01" */
#define OVR_ABI_VERSION 2
#define OVR_HEADER_BYTES 4096

struct ovr_segment {
    _Alignas(64) ovr_word magic;
    uint32_t abi_version;
    uint32_t kind;
    uint32_t shape;
    uint32_t record_size;
    uint64_t layout_hash;
    uint64_t capacity;
    uint64_t data_offset;
    uint64_t total_size;
    uint64_t run_id;

    _Alignas(64) uint64_t reserved[8];

    _Alignas(64) ovr_word epoch;
    ovr_word owner_pid;
    ovr_word owner_start;
    ovr_word owner_boot;
    ovr_word generation;
    ovr_word mode;

    _Alignas(64) ovr_word heartbeat_ns;
    ovr_word state;

    _Alignas(64) ovr_word cursor;
    ovr_word head_seen; /* the producer's private copy of head; spares it the consumer's line */

    _Alignas(64) ovr_word head;

    _Alignas(64) _Atomic(uint32_t) wake;
    _Atomic(uint32_t) sleepers;
    _Atomic(uint32_t) fence; /* enum ovr_fence, see sleep.h */

    _Alignas(64) ovr_word latch;
    ovr_word latch_ns;
    ovr_word latch_stopped_ns;
    ovr_word latch_cancelled_ns;
};

_Static_assert(offsetof(struct ovr_segment, epoch) == 128, "part of the layout");
_Static_assert(offsetof(struct ovr_segment, heartbeat_ns) == 192, "part of the layout");
_Static_assert(offsetof(struct ovr_segment, cursor) == 256, "part of the layout");
_Static_assert(offsetof(struct ovr_segment, head) == 320, "part of the layout");
_Static_assert(offsetof(struct ovr_segment, wake) == 384, "part of the layout");
_Static_assert(offsetof(struct ovr_segment, latch) == 448, "part of the layout");
_Static_assert(sizeof(struct ovr_segment) <= OVR_HEADER_BYTES, "the header is one page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "shared words must be lock free: a lock would live in one process");

static inline ovr_word *ovr_segment_record(struct ovr_segment *segment, uint64_t index)
{
    unsigned char *data = (unsigned char *)segment + OVR_HEADER_BYTES;
    return (ovr_word *)(void *)(data + index * segment->record_size);
}

/* Returns the bytes a segment needs, 0 if the record size or capacity is out of range. */
uint64_t ovr_segment_size(uint32_t record_size, uint64_t capacity);

/* Writes the header of a fresh zeroed mapping; its epoch is odd until the first take-over.
 * Returns 0, -EINVAL (unknown kind, bad geometry, too small), -EEXIST (already set up). */
int ovr_segment_init(void *base, uint64_t size, uint32_t kind, uint32_t record_size,
                     uint64_t capacity, uint64_t layout_hash, uint64_t run_id, uint64_t mode);

/* Returns 0, -EAGAIN (not set up yet), -EPROTO (another ABI, kind, layout or geometry). */
int ovr_segment_check(const void *base, uint64_t size, uint32_t kind, uint64_t layout_hash);

/* Begins a take-over by the holder of the lease: readers see an odd epoch from here on. */
void ovr_segment_takeover_begin(void *base, uint64_t pid, uint64_t start_ticks, uint64_t boot);

/* Mends what a killed writer left (by shape); call between begin and end. Returns how many
 * records were half-written, or 1 for a whole ring record that was never counted. */
uint64_t ovr_segment_repair(void *base);

/* Ends a take-over: generation + 1, epoch even and new. The heartbeat restarts at zero, so the
 * region stays unusable until the owner has restored its content and beats. */
void ovr_segment_takeover_end(void *base);

void ovr_segment_beat(void *base, uint64_t now_ns);
void ovr_segment_set_state(void *base, uint64_t state);

/* Returns 1 if the epoch is even and the owner beat at most lease_ns before now_ns. */
int ovr_segment_usable(void *base, uint64_t now_ns, uint64_t lease_ns);

uint64_t ovr_segment_epoch(void *base);
uint64_t ovr_segment_heartbeat_ns(void *base);
uint64_t ovr_segment_state(void *base);
uint64_t ovr_segment_generation(void *base);
uint64_t ovr_segment_mode(void *base);
uint64_t ovr_segment_owner_pid(void *base);
uint64_t ovr_segment_owner_start(void *base);
uint64_t ovr_segment_owner_boot(void *base);
uint64_t ovr_segment_cursor(void *base);
uint64_t ovr_segment_head(void *base);
uint64_t ovr_segment_run_id(void *base);
uint64_t ovr_segment_capacity(void *base);
uint32_t ovr_segment_kind(void *base);
uint32_t ovr_segment_record_size(void *base);

/* The reason that leaves resting orders where they are (KillReason.HOLD). */
#define OVR_LATCH_HOLD 6
/* Sets the latch to `reason` (not 0) unless it is set; a hold gives way to any other reason,
 * because that one also cancels. Returns 1 if this call set it. */
int ovr_latch_set(void *base, uint64_t reason, uint64_t now_ns);
/* Returns the reason, 0 when the latch is open. */
uint64_t ovr_latch_reason(void *base);
uint64_t ovr_latch_set_ns(void *base);
/* Opens the latch and forgets the answers to it. */
void ovr_latch_clear(void *base);
/* The executor's answers to a set latch: when it stopped sending, when its cancel was confirmed. */
void ovr_latch_stopped(void *base, uint64_t now_ns);
void ovr_latch_cancelled(void *base, uint64_t now_ns);
/* Return these times, 0 as long as there is no answer. */
uint64_t ovr_latch_stopped_ns(void *base);
uint64_t ovr_latch_cancelled_ns(void *base);

/* Maps a file shared, writable and populated; from 2 MiB on at an address that huge pages can use.
 * Returns NULL on failure. Unmap with the same size. */
void *ovr_memory_map(int fd, uint64_t size);
void ovr_memory_unmap(void *base, uint64_t size);

/* Best effort on a mapping; 0 or -errno, never fatal. */
int ovr_memory_lock(void *base, uint64_t size);
int ovr_memory_collapse(void *base, uint64_t size);

#endif
