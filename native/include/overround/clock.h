/* CLOCK_MONOTONIC in nanoseconds: the stamp of everything shared between processes. */
#ifndef OVERROUND_CLOCK_H
#define OVERROUND_CLOCK_H

#include <stdint.h>

uint64_t ovr_clock_ns(void);

#endif
