/* The three messages that make up nearly all traffic, decoded in the exact form the venue writes
 * them. The form is guessed and checked to the last byte, never assumed: anything else is left to
 * the general decoder, which gives the same answer for these too. */
#ifndef OVERROUND_DECODE_SPECULATIVE_H
#define OVERROUND_DECODE_SPECULATIVE_H

#include <stdbool.h>

#include "overround/decode_polymarket.h"

/* Decode the whole frame into an empty batch; false leaves it empty. With what this processor has;
 * the others with what every processor of the architecture has, or with AVX2 and BMI2. */
bool ovr_pm_speculate(const char *buf, size_t len, struct ovr_pm_batch *out);
bool ovr_pm_speculate_base(const char *buf, size_t len, struct ovr_pm_batch *out);
#if defined(__x86_64__)
#define OVR_DECODE_AVX2 1
bool ovr_pm_speculate_avx2(const char *buf, size_t len, struct ovr_pm_batch *out);
#endif

#endif
