#include "overround/decimal.h"

#include <stdbool.h>

/* Any length: every step is checked for overflow. */
static int decimal_parse_long(const char *text, size_t length, unsigned decimals, int64_t *ret)
{
    uint64_t value = 0;
    unsigned places = 0;
    bool fraction = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' && !fraction && i != 0 && i + 1 != length) {
            fraction = true;
            continue;
        }
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9) {
            return -1;
        }
        if (fraction && places == decimals) {
            if (digit != 0) {
                return -1;
            }
            continue;
        }
        places += fraction;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return -1;
        }
    }
    for (; places < decimals; places++) {
        if (__builtin_mul_overflow(value, 10, &value)) {
            return -1;
        }
    }
    if (length == 0 || value > INT64_MAX) {
        return -1;
    }
    *ret = (int64_t)value;
    return 0;
}

int ovr_decimal_parse(const char *text, size_t length, unsigned decimals, int64_t *ret)
{
    /* Up to here no overflow is possible: 12 digits and 6 places make less than 10^18. */
    enum { SHORT = 12, PLACES = 6 };
    static const int64_t power[PLACES + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    if (length > SHORT || decimals > PLACES) {
        return decimal_parse_long(text, length, decimals, ret);
    }
    int64_t value = 0;
    size_t i = 0;
    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        value = value * 10 + (text[i] - '0');
    }
    size_t places = 0;
    if (i < length && text[i] == '.' && i != 0) {
        size_t first = ++i;
        for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
            value = value * 10 + (text[i] - '0');
        }
        places = i - first;
        if (places == 0) {
            return -1;
        }
    }
    if (i != length || length == 0) {
        return -1;
    }
    for (; places > decimals; places--) {
        if (value % 10 != 0) {
            return -1;
        }
        value /= 10;
    }
    *ret = value * power[decimals - places];
    return 0;
}

size_t ovr_decimal_format(uint64_t value, unsigned decimals, char *out)
{
    char digits[24];
    unsigned places = decimals;
    while (places > 0 && value % 10 == 0) {
        value /= 10;
        places--;
    }
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 || count <= places);
    size_t length = 0;
    while (count > 0) {
        if (count-- == places) {
            out[length++] = '.';
        }
        out[length++] = digits[count];
    }
    return length;
}
