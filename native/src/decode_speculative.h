/* The three messages that make up nearly all traffic, decoded in the exact form the venue writes
 * them. The form is guessed and checked to the last byte, never assumed: anything else is left to
 * the general decoder, which gives the same answer for these too. */
#ifndef OVERROUND_DECODE_SPECULATIVE_H
#define OVERROUND_DECODE_SPECULATIVE_H

#include <stdbool.h>

#include "overround/decode_polymarket.h"

/* Decode the whole frame into an empty batch; false leaves it empty. */
bool ovr_pm_speculate(const char *buf, size_t len, struct ovr_pm_batch *out);

#endif
