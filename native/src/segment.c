#define _GNU_SOURCE
#include "overround/segment.h"

#include <errno.h>
#include <sys/mman.h>

#include "overround/broadcast.h"
#include "overround/layout.h"
#include "overround/sleep.h"
#include "overround/slots.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define RECORD_BYTES_MAX 131072u
#define CAPACITY_MAX (UINT64_C(1) << 32)
/* A lapped reader resumes CAP/8 behind the oldest record: below eight that is no step at all. */
#define RING_CAPACITY_MIN 8u

uint32_t ovr_region_shape(uint32_t kind)
{
    switch (kind) {
    case OVR_REGION_ROSTER:
    case OVR_REGION_CATALOG:
    case OVR_REGION_BOARD:
    case OVR_REGION_ACCOUNT:
    case OVR_REGION_TARGETS:
        return OVR_SHAPE_SLOTS;
    case OVR_REGION_CHANGES:
    case OVR_REGION_TRADES:
    case OVR_REGION_REPORTS:
        return OVR_SHAPE_BROADCAST;
    case OVR_REGION_INTENTS:
        return OVR_SHAPE_SPSC;
    case OVR_REGION_METERS:
        return OVR_SHAPE_METERS;
    case OVR_REGION_KILL:
        return OVR_SHAPE_LATCH;
    default:
        return 0;
    }
}

uint64_t ovr_segment_size(uint32_t record_size, uint64_t capacity)
{
    if (record_size > RECORD_BYTES_MAX || record_size % 8 != 0 || capacity > CAPACITY_MAX) {
        return 0;
    }
    uint64_t bytes = OVR_HEADER_BYTES + record_size * capacity;
    return (bytes + OVR_HEADER_BYTES - 1) / OVR_HEADER_BYTES * OVR_HEADER_BYTES;
}

static int geometry_valid(uint32_t shape, uint32_t record_size, uint64_t capacity)
{
    switch (shape) {
    case OVR_SHAPE_SLOTS:
        return record_size >= 16 && capacity >= 1;
    case OVR_SHAPE_BROADCAST:
    case OVR_SHAPE_SPSC:
        return record_size >= 16 && capacity >= RING_CAPACITY_MIN &&
               (capacity & (capacity - 1)) == 0;
    case OVR_SHAPE_METERS:
        return record_size == sizeof(struct ovr_meters) && capacity == 1;
    case OVR_SHAPE_LATCH:
        return capacity == 0;
    default:
        return 0;
    }
}

int ovr_segment_init(void *base, uint64_t size, uint32_t kind, uint32_t record_size,
                     uint64_t capacity, uint64_t layout_hash, uint64_t run_id, uint64_t mode)
{
    struct ovr_segment *segment = base;
    uint32_t shape = ovr_region_shape(kind);
    uint64_t needed = ovr_segment_size(record_size, capacity);
    if (!geometry_valid(shape, record_size, capacity) || needed == 0 || size < needed) {
        return -EINVAL;
    }
    if (atomic_load_explicit(&segment->magic, memory_order_relaxed) != 0) {
        return -EEXIST;
    }
    segment->abi_version = OVR_ABI_VERSION;
    segment->kind = kind;
    segment->shape = shape;
    segment->record_size = record_size;
    segment->layout_hash = layout_hash;
    segment->capacity = capacity;
    segment->data_offset = OVR_HEADER_BYTES;
    segment->total_size = size;
    segment->run_id = run_id;
    atomic_store_explicit(&segment->epoch, 1, memory_order_relaxed);
    atomic_store_explicit(&segment->mode, mode, memory_order_relaxed);
    /* SYNC(segment_magic): pairs with the load in ovr_segment_check; who sees the magic sees the
     * whole identity line. Relaxed, a reader could take a zero record size for the real one. */
    atomic_store_explicit(&segment->magic, OVR_SEGMENT_MAGIC, memory_order_release);
    return 0;
}

int ovr_segment_check(const void *base, uint64_t size, uint32_t kind, uint64_t layout_hash)
{
    struct ovr_segment *segment = (struct ovr_segment *)(uintptr_t)base;
    if (size < OVR_HEADER_BYTES) {
        return -EAGAIN;
    }
    /* SYNC(segment_magic): see ovr_segment_init. */
    uint64_t magic = atomic_load_explicit(&segment->magic, memory_order_acquire);
    if (magic == 0) {
        return -EAGAIN;
    }
    /* Other processes wrote this: believe nothing before the geometry adds up. */
    if (magic != OVR_SEGMENT_MAGIC || segment->abi_version != OVR_ABI_VERSION ||
        segment->kind != kind || segment->layout_hash != layout_hash ||
        segment->shape != ovr_region_shape(kind) || segment->data_offset != OVR_HEADER_BYTES ||
        !geometry_valid(segment->shape, segment->record_size, segment->capacity)) {
        return -EPROTO;
    }
    uint64_t needed = ovr_segment_size(segment->record_size, segment->capacity);
    return needed != 0 && needed <= size ? 0 : -EPROTO;
}

void ovr_segment_takeover_begin(void *base, uint64_t pid, uint64_t start_ticks, uint64_t boot)
{
    struct ovr_segment *segment = base;
    uint64_t epoch = atomic_load_explicit(&segment->epoch, memory_order_relaxed);
    /* An odd epoch stays: its owner died setting up, and no reader has trusted it since. */
    atomic_store_explicit(&segment->epoch, epoch | 1, memory_order_relaxed);
    atomic_store_explicit(&segment->heartbeat_ns, 0, memory_order_relaxed);
    /* SYNC(epoch): the odd value goes before every repair, so that a reader which met a repaired
     * record finds the epoch changed when it looks again. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&segment->owner_pid, pid, memory_order_relaxed);
    atomic_store_explicit(&segment->owner_start, start_ticks, memory_order_relaxed);
    atomic_store_explicit(&segment->owner_boot, boot, memory_order_relaxed);
    ovr_segment_spare_fence(segment);
}

uint64_t ovr_segment_repair(void *base)
{
    struct ovr_segment *segment = base;
    switch (segment->shape) {
    case OVR_SHAPE_SLOTS:
        return ovr_slot_repair(base);
    case OVR_SHAPE_BROADCAST:
        return ovr_broadcast_repair(base);
    default:
        /* A bounded ring shows nothing beyond its cursor; meters and latch are single words. */
        return 0;
    }
}

void ovr_segment_takeover_end(void *base)
{
    struct ovr_segment *segment = base;
    uint64_t epoch = atomic_load_explicit(&segment->epoch, memory_order_relaxed) | 1;
    atomic_fetch_add_explicit(&segment->generation, 1, memory_order_relaxed);
    /* SYNC(epoch): the even value comes after every repair; pairs with the acquire load in
     * ovr_segment_epoch. */
    atomic_store_explicit(&segment->epoch, epoch + 1, memory_order_release);
    /* The last owner may have died between taking the sleepers flag and waking them. */
    ovr_segment_wake_all(base);
}

void ovr_segment_beat(void *base, uint64_t now_ns)
{
    struct ovr_segment *segment = base;
    /* SYNC(heartbeat): release, so that a reader which sees a fresh beat also sees what the owner
     * published before it (after a restart: "everything untrusted"). */
    atomic_store_explicit(&segment->heartbeat_ns, now_ns, memory_order_release);
}

uint64_t ovr_segment_heartbeat_ns(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(heartbeat): see ovr_segment_beat. */
    return atomic_load_explicit(&segment->heartbeat_ns, memory_order_acquire);
}

uint64_t ovr_segment_epoch(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(epoch): see ovr_segment_takeover_end. The fence makes the call usable both before and
     * after a batch of reads: payload loads cannot sink below the second look. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&segment->epoch, memory_order_acquire);
}

int ovr_segment_usable(void *base, uint64_t now_ns, uint64_t lease_ns)
{
    if ((ovr_segment_epoch(base) & 1) != 0) {
        return 0;
    }
    uint64_t beat = ovr_segment_heartbeat_ns(base);
    /* A beat may be younger than a now_ns read just before it: that is age zero, not 2^64. */
    return beat != 0 && (beat >= now_ns || now_ns - beat <= lease_ns);
}

void ovr_segment_set_state(void *base, uint64_t state)
{
    struct ovr_segment *segment = base;
    /* SYNC(state): see ovr_segment_state. */
    atomic_store_explicit(&segment->state, state, memory_order_release);
}

uint64_t ovr_segment_state(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(state): who reads a state sees what its owner did to reach it. */
    return atomic_load_explicit(&segment->state, memory_order_acquire);
}

uint64_t ovr_segment_cursor(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(cursor): pairs with the release stores of the tail in broadcast.c, slots.c, spsc.c. */
    return atomic_load_explicit(&segment->cursor, memory_order_acquire);
}

uint64_t ovr_segment_head(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(spsc_head): pairs with ovr_spsc_advance. */
    return atomic_load_explicit(&segment->head, memory_order_acquire);
}

#define WORD_GETTER(name)                                                                          \
    uint64_t ovr_segment_##name(void *base)                                                        \
    {                                                                                              \
        return atomic_load_explicit(&((struct ovr_segment *)base)->name, memory_order_relaxed);    \
    }

WORD_GETTER(generation)
WORD_GETTER(mode)
WORD_GETTER(owner_pid)
WORD_GETTER(owner_start)
WORD_GETTER(owner_boot)

uint64_t ovr_segment_run_id(void *base)
{
    return ((struct ovr_segment *)base)->run_id;
}

uint64_t ovr_segment_capacity(void *base)
{
    return ((struct ovr_segment *)base)->capacity;
}

uint32_t ovr_segment_kind(void *base)
{
    return ((struct ovr_segment *)base)->kind;
}

uint32_t ovr_segment_record_size(void *base)
{
    return ((struct ovr_segment *)base)->record_size;
}

int ovr_latch_set(void *base, uint64_t reason, uint64_t now_ns)
{
    struct ovr_segment *segment = base;
    uint64_t open = 0;
    /* SYNC(latch): the first reason wins; acq_rel orders it with what the setter saw and did. */
    int won = reason != 0 && atomic_compare_exchange_strong_explicit(
                                 &segment->latch, &open, reason, memory_order_acq_rel,
                                 memory_order_acquire);
    if (!won && open == OVR_LATCH_HOLD && reason != 0 && reason != OVR_LATCH_HOLD) {
        won = atomic_compare_exchange_strong_explicit(&segment->latch, &open, reason,
                                                      memory_order_acq_rel, memory_order_acquire);
    }
    if (won) {
        atomic_store_explicit(&segment->latch_ns, now_ns, memory_order_release);
    }
    return won;
}

uint64_t ovr_latch_reason(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(latch): see ovr_latch_set. One load on a line that is never written in good times. */
    return atomic_load_explicit(&segment->latch, memory_order_acquire);
}

uint64_t ovr_latch_set_ns(void *base)
{
    struct ovr_segment *segment = base;
    return atomic_load_explicit(&segment->latch_ns, memory_order_acquire);
}

void ovr_latch_clear(void *base)
{
    struct ovr_segment *segment = base;
    atomic_store_explicit(&segment->latch_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&segment->latch_stopped_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&segment->latch_cancelled_ns, 0, memory_order_relaxed);
    /* SYNC(latch): an armed resume; see ovr_latch_reason. */
    atomic_store_explicit(&segment->latch, 0, memory_order_release);
}

void ovr_latch_stopped(void *base, uint64_t now_ns)
{
    struct ovr_segment *segment = base;
    /* SYNC(latch_answer): whoever reads it sees what the executor did before. */
    atomic_store_explicit(&segment->latch_stopped_ns, now_ns, memory_order_release);
}

void ovr_latch_cancelled(void *base, uint64_t now_ns)
{
    struct ovr_segment *segment = base;
    /* SYNC(latch_answer): see ovr_latch_stopped. */
    atomic_store_explicit(&segment->latch_cancelled_ns, now_ns, memory_order_release);
}

uint64_t ovr_latch_stopped_ns(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(latch_answer): pairs with ovr_latch_stopped. */
    return atomic_load_explicit(&segment->latch_stopped_ns, memory_order_acquire);
}

uint64_t ovr_latch_cancelled_ns(void *base)
{
    struct ovr_segment *segment = base;
    /* SYNC(latch_answer): pairs with ovr_latch_cancelled. */
    return atomic_load_explicit(&segment->latch_cancelled_ns, memory_order_acquire);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

void *ovr_memory_map(int fd, uint64_t size)
{
    /* A huge page needs address and file offset to agree modulo its size, and mmap alone gives any
     * page: take room to spare, map at the first boundary inside it, give the rest back. */
    uint64_t bytes = round_up(size, OVR_HEADER_BYTES);
    uint64_t slack = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
    unsigned char *room = mmap(NULL, bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return NULL;
    }
    uint64_t before = slack != 0 ? round_up((uintptr_t)room, slack) - (uintptr_t)room : 0;
    unsigned char *base = room + before;
    if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | MAP_FIXED, fd, 0) ==
        MAP_FAILED) {
        munmap(room, bytes + slack);
        return NULL;
    }
    if (before > 0) {
        munmap(room, before);
    }
    if (slack > before) {
        munmap(base + bytes, slack - before);
    }
    return base;
}

void ovr_memory_unmap(void *base, uint64_t size)
{
    munmap(base, round_up(size, OVR_HEADER_BYTES));
}

int ovr_memory_lock(void *base, uint64_t size)
{
    return mlock(base, size) == 0 ? 0 : -errno;
}

int ovr_memory_collapse(void *base, uint64_t size)
{
    return madvise(base, size, MADV_COLLAPSE) == 0 ? 0 : -errno;
}
