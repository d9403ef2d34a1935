/* Counters, gauges and latency histograms of one process, read from outside.
 *
 * Who writes: the process that owns the segment, any of its threads. Who reads: screens and the
 * exporter. What a reader may see: each word whole, different words of slightly different moments;
 * nobody decides on them. Order: relaxed on purpose. Lap: none. Crash mid-write: nothing to mend.
 * Capacity: 128 values and 16 histograms, the table in observe/metrics.py. Cost: one relaxed add
 * a counter, four a histogram; ids out of range are ignored.
 *
 * A histogram has eight buckets an octave: values below 8 exactly, then bounds at most 12.5 % apart
 * up to 2^64. 496 of the 512 buckets are in use. */
#ifndef OVERROUND_METERS_H
#define OVERROUND_METERS_H

#include <stdint.h>

#include "overround/meter_ids.inc"

#define OVR_VALUES 128
#define OVR_HISTOGRAMS 16
#define OVR_HISTOGRAM_BUCKETS 512

void ovr_meter_add(void *base, uint32_t id, int64_t amount);
void ovr_meter_set(void *base, uint32_t id, int64_t value);
int64_t ovr_meter_get(void *base, uint32_t id);
void ovr_histogram_record(void *base, uint32_t id, uint64_t value_ns);

/* Returns the bucket of a value, and the smallest value of a bucket. */
uint32_t ovr_histogram_bucket(uint64_t value);
uint64_t ovr_histogram_floor(uint32_t bucket);

#endif
