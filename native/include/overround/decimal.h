/* Decimal text to fixed-point integers and back: prices in four places, sizes in six. */
#ifndef OVERROUND_DECIMAL_H
#define OVERROUND_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* Parse digits[.digits] with at most `decimals` places into units of 10^-decimals; 0, or -1 if it
 * is no such decimal or exceeds 63 bits. Zeros beyond the places are allowed. */
int ovr_decimal_parse(const char *text, size_t length, unsigned decimals, int64_t *ret);

/* Write the shortest text of value / 10^decimals, at most 21 bytes, no NUL; returns the length. */
size_t ovr_decimal_format(uint64_t value, unsigned decimals, char *out);

#endif
