#include "overround/spsc.h"

#include <errno.h>

#include "overround/segment.h"
#include "overround/sleep.h"

int ovr_spsc_try_push(void *base, const void *record)
{
    struct ovr_segment *segment = base;
    uint64_t number = atomic_load_explicit(&segment->cursor, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&segment->head_seen, memory_order_relaxed);
    if (number - head >= segment->capacity) {
        /* SYNC(spsc_head): acquire, the consumer's reads of this room are done. */
        head = atomic_load_explicit(&segment->head, memory_order_acquire);
        atomic_store_explicit(&segment->head_seen, head, memory_order_relaxed);
        if (number - head >= segment->capacity) {
            return 0;
        }
    }
    ovr_word *shared = ovr_segment_record(segment, number & (segment->capacity - 1));
    atomic_store_explicit(&shared[0], 2 * number + 2, memory_order_relaxed);
    ovr_words_store(shared + 1, (const unsigned char *)record + 8, segment->record_size / 8 - 1);
    /* SYNC(spsc_tail), SYNC(cursor): the record before the count that shows it. */
    atomic_store_explicit(&segment->cursor, number + 1, memory_order_release);
    ovr_segment_wake(base);
    return 1;
}

int64_t ovr_spsc_poll(void *base, uint64_t from, void *ret, uint32_t max)
{
    struct ovr_segment *segment = base;
    /* SYNC(spsc_tail): acquire, every record below the tail is whole. */
    uint64_t tail = atomic_load_explicit(&segment->cursor, memory_order_acquire);
    if (from < atomic_load_explicit(&segment->head, memory_order_relaxed) || from > tail) {
        return -ERANGE;
    }
    uint64_t count = tail - from < max ? tail - from : max;
    unsigned char *out = ret;
    for (uint64_t i = 0; i < count; i++, out += segment->record_size) {
        ovr_words_load(ovr_segment_record(segment, (from + i) & (segment->capacity - 1)), out,
                       segment->record_size / 8);
    }
    return (int64_t)count;
}

int ovr_spsc_advance(void *base, uint64_t to)
{
    struct ovr_segment *segment = base;
    if (to < atomic_load_explicit(&segment->head, memory_order_relaxed) ||
        to > ovr_segment_cursor(base)) {
        return -ERANGE;
    }
    /* SYNC(spsc_head): release, my reads are done before the producer writes there again. */
    atomic_store_explicit(&segment->head, to, memory_order_release);
    return 0;
}

static int record_there(struct ovr_segment *segment, uint64_t number)
{
    return atomic_load_explicit(&segment->cursor, memory_order_relaxed) > number;
}

int ovr_spsc_wait(void *base, uint64_t from, uint64_t spin_ns, uint64_t timeout_ns)
{
    return ovr_segment_wait(base, from, record_there, spin_ns, timeout_ns);
}
