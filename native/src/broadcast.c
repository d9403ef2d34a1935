#include "overround/broadcast.h"

#include "overround/segment.h"
#include "overround/sleep.h"

/* Words of a one-line record behind its sequence: the size worth unrolling. */
#define LINE_WORDS 7

static inline void payload_store(ovr_word *shared, const unsigned char *payload, size_t words)
{
    if (words == LINE_WORDS) {
        ovr_words_store(shared, payload, LINE_WORDS);
    } else {
        ovr_words_store(shared, payload, words);
    }
}

static inline void payload_load(ovr_word *shared, unsigned char *ret, size_t words)
{
    if (words == LINE_WORDS) {
        ovr_words_load(shared, ret, LINE_WORDS);
    } else {
        ovr_words_load(shared, ret, words);
    }
}

uint64_t ovr_broadcast_publish(void *base, const void *record)
{
    struct ovr_segment *segment = base;
    uint64_t number = atomic_load_explicit(&segment->cursor, memory_order_relaxed);
    ovr_word *shared = ovr_segment_record(segment, number & (segment->capacity - 1));
    size_t payload_words = segment->record_size / 8 - 1;
    atomic_store_explicit(&shared[0], 2 * number + 1, memory_order_relaxed);
    /* SYNC(record): odd before payload. Without it an ARM core may show new payload under the old
     * sequence, and a reader in the middle of the old record would keep a mixed copy. */
    atomic_thread_fence(memory_order_release);
    payload_store(shared + 1, (const unsigned char *)record + 8, payload_words);
    /* SYNC(record): payload before even; who sees the even sequence sees the payload. */
    atomic_store_explicit(&shared[0], 2 * number + 2, memory_order_release);
    /* SYNC(cursor): a late joiner starts here. */
    atomic_store_explicit(&segment->cursor, number + 1, memory_order_release);
    ovr_segment_wake(base);
    return number;
}

/* A sequence s was stored by the writer of record (s - 1) / 2; so many were whole before it. */
static uint64_t jump(struct ovr_segment *segment, uint64_t sequence_seen)
{
    uint64_t capacity = segment->capacity;
    uint64_t tail = ovr_segment_cursor(segment);
    uint64_t implied = (sequence_seen - 1) / 2;
    return (tail > implied ? tail : implied) - capacity + capacity / 8;
}

uint32_t ovr_broadcast_poll(void *base, uint64_t *cursor, void *ret, uint32_t max, uint64_t *lost)
{
    struct ovr_segment *segment = base;
    size_t payload_words = segment->record_size / 8 - 1;
    unsigned char *out = ret;
    uint64_t number = *cursor;
    uint32_t copied = 0;
    while (copied < max) {
        ovr_word *shared = ovr_segment_record(segment, number & (segment->capacity - 1));
        uint64_t wanted = 2 * number + 2;
        /* SYNC(record): acquire, the copy below cannot start before this look. */
        uint64_t sequence = atomic_load_explicit(&shared[0], memory_order_acquire);
        if (sequence < wanted) {
            break;
        }
        if (sequence == wanted) {
            memcpy(out, &sequence, 8);
            payload_load(shared + 1, out + 8, payload_words);
            /* SYNC(record): if any word above came from a later record, this look sees at least
             * that record's odd sequence, and the copy is dropped. */
            atomic_thread_fence(memory_order_acquire);
            sequence = atomic_load_explicit(&shared[0], memory_order_relaxed);
            if (sequence == wanted) {
                copied++;
                number++;
                out += segment->record_size;
                continue;
            }
        }
        if (copied > 0) {
            break; /* hand over what lies before the gap; the next poll reports it */
        }
        uint64_t resume = jump(segment, sequence);
        *lost += resume - number;
        number = resume;
    }
    *cursor = number;
    return copied;
}

static int record_there(struct ovr_segment *segment, uint64_t number)
{
    ovr_word *shared = ovr_segment_record(segment, number & (segment->capacity - 1));
    return atomic_load_explicit(&shared[0], memory_order_relaxed) >= 2 * number + 2;
}

int ovr_broadcast_wait(void *base, uint64_t cursor, uint64_t spin_ns, uint64_t timeout_ns)
{
    return ovr_segment_wait(base, cursor, record_there, spin_ns, timeout_ns);
}

uint64_t ovr_broadcast_repair(void *base)
{
    struct ovr_segment *segment = base;
    uint64_t number = atomic_load_explicit(&segment->cursor, memory_order_relaxed);
    if (!record_there(segment, number)) {
        return 0;
    }
    /* Readers go by sequences, so some may have read it: to reuse its number for another record
     * would show them a hole. Count it instead. */
    atomic_store_explicit(&segment->cursor, number + 1, memory_order_release);
    return 1;
}
