#include "overround/slots.h"

#include <errno.h>

#include "overround/segment.h"
#include "overround/sleep.h"

uint64_t ovr_slot_store(void *base, uint64_t index, const void *record)
{
    struct ovr_segment *segment = base;
    if (index >= segment->capacity) {
        return 0;
    }
    ovr_word *shared = ovr_segment_record(segment, index);
    /* The bit is already set if an owner died here and nobody repaired: then this store does. */
    uint64_t odd = atomic_load_explicit(&shared[0], memory_order_relaxed) | 1;
    atomic_store_explicit(&shared[0], odd, memory_order_relaxed);
    /* SYNC(slot): odd before payload, as in ovr_broadcast_publish. */
    atomic_thread_fence(memory_order_release);
    ovr_words_store(shared + 1, (const unsigned char *)record + 8, segment->record_size / 8 - 1);
    /* SYNC(slot): payload before even. */
    atomic_store_explicit(&shared[0], odd + 1, memory_order_release);
    if (index >= atomic_load_explicit(&segment->cursor, memory_order_relaxed)) {
        /* SYNC(cursor): who counts this slot finds it whole. */
        atomic_store_explicit(&segment->cursor, index + 1, memory_order_release);
        ovr_segment_wake(base);
    }
    return odd + 1;
}

uint64_t ovr_slot_update(void *base, uint64_t index, const void *record, uint32_t head_words,
                         uint64_t changed, uint64_t last)
{
    struct ovr_segment *segment = base;
    if (last == 0 || index >= segment->capacity) {
        return ovr_slot_store(base, index, record);
    }
    ovr_word *shared = ovr_segment_record(segment, index);
    uint64_t sequence = atomic_load_explicit(&shared[0], memory_order_relaxed);
    if (sequence != last) {
        return ovr_slot_store(base, index, record);
    }
    atomic_store_explicit(&shared[0], sequence + 1, memory_order_relaxed);
    /* SYNC(slot): odd before payload, as in ovr_slot_store. */
    atomic_thread_fence(memory_order_release);
    ovr_words_store(shared + 1, (const unsigned char *)record + 8, head_words - 1);
    for (uint64_t left = changed; left != 0; left &= left - 1) {
        unsigned word = (unsigned)__builtin_ctzll(left);
        ovr_words_store(shared + word, (const unsigned char *)record + 8 * (size_t)word, 1);
    }
    /* SYNC(slot): payload before even. */
    atomic_store_explicit(&shared[0], sequence + 2, memory_order_release);
    return sequence + 2;
}

int64_t ovr_slot_append(void *base, const void *record)
{
    struct ovr_segment *segment = base;
    uint64_t index = atomic_load_explicit(&segment->cursor, memory_order_relaxed);
    return ovr_slot_store(base, index, record) != 0 ? (int64_t)index : -ENOSPC;
}

int ovr_slot_load(void *base, uint64_t index, void *ret)
{
    struct ovr_segment *segment = base;
    if (index >= segment->capacity) {
        return -ERANGE;
    }
    ovr_word *shared = ovr_segment_record(segment, index);
    size_t payload_words = segment->record_size / 8 - 1;
    for (int attempt = 0; attempt < OVR_SLOT_RETRIES; attempt++) {
        /* SYNC(slot): acquire, the copy cannot start before this look. */
        uint64_t sequence = atomic_load_explicit(&shared[0], memory_order_acquire);
        if ((sequence & 1) == 0) {
            memcpy(ret, &sequence, 8);
            ovr_words_load(shared + 1, (unsigned char *)ret + 8, payload_words);
            /* SYNC(slot): a word from a later store makes this look differ. */
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&shared[0], memory_order_relaxed) == sequence) {
                return 0;
            }
        }
        ovr_pause();
    }
    return -EAGAIN;
}

uint64_t ovr_slot_load_many(void *base, uint64_t first, uint64_t count, void *ret, uint8_t *ok)
{
    struct ovr_segment *segment = base;
    if (first > segment->capacity || count > segment->capacity - first) {
        return 0;
    }
    unsigned char *out = ret;
    uint64_t whole = 0;
    for (uint64_t i = 0; i < count; i++, out += segment->record_size) {
        ok[i] = ovr_slot_load(base, first + i, out) == 0;
        whole += ok[i];
        if (!ok[i]) {
            memset(out, 0, segment->record_size);
        }
    }
    return whole;
}

uint64_t ovr_slot_repair(void *base)
{
    struct ovr_segment *segment = base;
    uint64_t repaired = 0;
    for (uint64_t index = 0; index < segment->capacity; index++) {
        ovr_word *shared = ovr_segment_record(segment, index);
        uint64_t sequence = atomic_load_explicit(&shared[0], memory_order_relaxed);
        if ((sequence & 1) != 0) {
            ovr_words_clear(shared + 1, segment->record_size / 8 - 1);
            /* SYNC(slot): the blank payload before the even sequence. */
            atomic_store_explicit(&shared[0], sequence + 1, memory_order_release);
            repaired++;
        }
    }
    return repaired;
}
