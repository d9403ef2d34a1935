#include "overround/meters.h"

#include "overround/layout.h"
#include "overround/segment.h"

#define HISTOGRAM_WORDS (OVR_HISTOGRAM_BUCKETS + 4)

static ovr_word *value_word(void *base, uint32_t id)
{
    return ovr_segment_record(base, 0) + id;
}

static ovr_word *histogram_words(void *base, uint32_t id)
{
    return ovr_segment_record(base, 0) + OVR_VALUES + (size_t)id * HISTOGRAM_WORDS;
}

void ovr_meter_add(void *base, uint32_t id, int64_t amount)
{
    if (id < OVR_VALUES) {
        atomic_fetch_add_explicit(value_word(base, id), (uint64_t)amount, memory_order_relaxed);
    }
}

void ovr_meter_set(void *base, uint32_t id, int64_t value)
{
    if (id < OVR_VALUES) {
        atomic_store_explicit(value_word(base, id), (uint64_t)value, memory_order_relaxed);
    }
}

int64_t ovr_meter_get(void *base, uint32_t id)
{
    return id < OVR_VALUES
               ? (int64_t)atomic_load_explicit(value_word(base, id), memory_order_relaxed)
               : 0;
}

uint32_t ovr_histogram_bucket(uint64_t value)
{
    if (value < 8) {
        return (uint32_t)value;
    }
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(value);
    return (octave - 2) * 8 + (uint32_t)((value >> (octave - 3)) & 7);
}

uint64_t ovr_histogram_floor(uint32_t bucket)
{
    if (bucket < 8) {
        return bucket;
    }
    return (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

static void raise_to(ovr_word *word, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               word, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void ovr_histogram_record(void *base, uint32_t id, uint64_t value_ns)
{
    if (id >= OVR_HISTOGRAMS) {
        return;
    }
    ovr_word *words = histogram_words(base, id);
    ovr_word *summary = words + OVR_HISTOGRAM_BUCKETS;
    atomic_fetch_add_explicit(&words[ovr_histogram_bucket(value_ns)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&summary[0], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&summary[1], value_ns, memory_order_relaxed);
    raise_to(&summary[2], value_ns);
    raise_to(&summary[3], ~value_ns);
}
