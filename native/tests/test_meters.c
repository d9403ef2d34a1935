#include "check.h"

#include <pthread.h>

#include "overround/meters.h"

#define ADDS 100000

static void *new_meters(void)
{
    return new_segment(OVR_REGION_METERS, sizeof(struct ovr_meters), 1);
}

static const uint64_t *words_of(void *base, uint32_t histogram)
{
    const struct ovr_meters *meters = (const void *)ovr_segment_record(base, 0);
    return meters->histograms[histogram];
}

static void buckets_are_tight_and_in_order(void)
{
    for (uint32_t bucket = 0; bucket < 496; bucket++) {
        uint64_t low = ovr_histogram_floor(bucket);
        CHECK(ovr_histogram_bucket(low) == bucket);
        if (bucket + 1 < 496) {
            uint64_t next = ovr_histogram_floor(bucket + 1);
            CHECK(next > low && ovr_histogram_bucket(next - 1) == bucket);
            CHECK(bucket < 8 || (next - low) * 8 <= low);
        }
    }
    CHECK(ovr_histogram_bucket(UINT64_MAX) == 495);
}

static void histogram_keeps_count_sum_and_extremes(void)
{
    void *base = new_meters();
    ovr_histogram_record(base, 3, 1000);
    ovr_histogram_record(base, 3, 10);
    ovr_histogram_record(base, 3, 70);
    const uint64_t *summary = words_of(base, 3) + OVR_HISTOGRAM_BUCKETS;
    CHECK(summary[0] == 3 && summary[1] == 1080 && summary[2] == 1000 && ~summary[3] == 10);
    CHECK(words_of(base, 3)[ovr_histogram_bucket(70)] == 1);
}

static void ids_out_of_range_are_ignored(void)
{
    void *base = new_meters();
    ovr_meter_add(base, OVR_VALUES, 1);
    ovr_meter_set(base, UINT32_MAX, 1);
    ovr_histogram_record(base, OVR_HISTOGRAMS, 1);
    CHECK(ovr_meter_get(base, OVR_VALUES) == 0);
    const struct ovr_meters *meters = (const void *)ovr_segment_record(base, 0);
    CHECK(meters->histograms[0][0] == 0 && meters->histograms[0][1] == 0);
}

static void *add_many(void *base)
{
    for (int i = 0; i < ADDS; i++) {
        ovr_meter_add(base, 5, 2);
        ovr_histogram_record(base, 0, (uint64_t)i);
    }
    return NULL;
}

static void threads_of_one_process_lose_no_count(void)
{
    void *base = new_meters();
    pthread_t other;
    CHECK(pthread_create(&other, NULL, add_many, base) == 0);
    add_many(base);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(ovr_meter_get(base, 5) == 4 * ADDS);
    const uint64_t *summary = words_of(base, 0) + OVR_HISTOGRAM_BUCKETS;
    CHECK(summary[0] == 2 * ADDS && summary[2] == ADDS - 1 && ~summary[3] == 0);
    ovr_meter_add(base, 5, -4 * ADDS - 1);
    CHECK(ovr_meter_get(base, 5) == -1);
}

int main(void)
{
    RUN(buckets_are_tight_and_in_order);
    RUN(histogram_keeps_count_sum_and_extremes);
    RUN(ids_out_of_range_are_ignored);
    RUN(threads_of_one_process_lose_no_count);
    return 0;
}
