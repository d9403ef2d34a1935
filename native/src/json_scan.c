#include "json_scan.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* High bit set in every byte of `word` that is below `n` (n <= 128) when no byte above it
 * borrowed; exact for the lowest such byte, which is all a scanner needs. */
static inline uint64_t bytes_below(uint64_t word, uint8_t n)
{
    return (word - ONES * n) & ~word & HIGHS;
}

static inline uint64_t bytes_equal(uint64_t word, char c)
{
    return bytes_below(word ^ (ONES * (uint8_t)c), 1);
}

/* First byte at or after `at` that needs a decision: quote, backslash, control, non-ASCII. */
static inline const char *skip_plain(const char *at, const char *end)
{
#if defined(__SSE2__)
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        /* As signed bytes, controls and non-ASCII are all below the blank. */
        __m128i odd = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        int stop = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), odd));
        if (stop != 0) {
            return at + __builtin_ctz((unsigned)stop);
        }
        at += 16;
    }
#endif
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t stop = bytes_equal(word, '"') | bytes_equal(word, '\\') |
                        bytes_below(word, 0x20) | (word & HIGHS);
        if (stop != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + (__builtin_ctzll(stop) >> 3);
#else
            break;
#endif
        }
        at += 8;
    }
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80) {
            break;
        }
        at++;
    }
    return at;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the well-formed UTF-8 sequence at `at` (2 to 4), or 0. */
static int utf8_length(const unsigned char *at, const unsigned char *end)
{
    static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = *at;
    int length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || end - at < length) {
        return 0;
    }
    uint32_t code = lead & (0x7Fu >> length);
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3Fu);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code >= lowest[length] && code <= 0x10FFFF && !surrogate ? length : 0;
}

/* Length of the escape at `at` (the backslash), or 0 if it is none. */
static int escape_length(const char *at, const char *end)
{
    if (end - at < 2) {
        return 0;
    }
    if (at[1] != 'u') {
        return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL ? 2 : 0;
    }
    if (end - at < 6) {
        return 0;
    }
    for (int i = 2; i < 6; i++) {
        if (hex_digit(at[i]) < 0) {
            return 0;
        }
    }
    return 6;
}

bool ovr_json_string(struct ovr_json *json, struct ovr_json_value *ret)
{
    if (!ovr_json_take(json, '"')) {
        return false;
    }
    const char *start = json->at;
    const char *at = start;
    bool escaped = false;
    for (;;) {
        at = skip_plain(at, json->end);
        if (at >= json->end) {
            return false;
        }
        if (*at == '"') {
            break;
        }
        int step;
        if (*at == '\\') {
            escaped = true;
            step = escape_length(at, json->end);
        } else if ((unsigned char)*at >= 0x80) {
            step = utf8_length((const unsigned char *)at, (const unsigned char *)json->end);
        } else {
            step = 0;
        }
        if (step == 0) {
            return false;
        }
        at += step;
    }
    ret->data = start;
    ret->length = (uint32_t)(at - start);
    ret->kind = OVR_JSON_STRING;
    ret->escaped = escaped;
    json->at = at + 1;
    return true;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

static bool scan_number(struct ovr_json *json, struct ovr_json_value *ret)
{
    const char *start = json->at;
    const char *at = start + (*start == '-');
    const char *digits = at;
    at = skip_digits(at, json->end);
    if (at == digits || (*digits == '0' && at - digits > 1)) {
        return false;
    }
    if (at < json->end && *at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction, json->end);
        if (at == fraction) {
            return false;
        }
    }
    if (at < json->end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < json->end && (*at == '+' || *at == '-')) {
            at++;
        }
        const char *exponent = at;
        at = skip_digits(exponent, json->end);
        if (at == exponent) {
            return false;
        }
    }
    ret->data = start;
    ret->length = (uint32_t)(at - start);
    ret->kind = OVR_JSON_NUMBER;
    ret->escaped = false;
    json->at = at;
    return true;
}

static bool scan_word(struct ovr_json *json, const char *word, uint8_t kind,
                      struct ovr_json_value *ret)
{
    size_t length = strlen(word);
    if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0) {
        return false;
    }
    ret->data = json->at;
    ret->length = (uint32_t)length;
    ret->kind = kind;
    ret->escaped = false;
    json->at += length;
    return true;
}

bool ovr_json_key(struct ovr_json *json, struct ovr_json_value *ret)
{
    return ovr_json_string(json, ret) && ovr_json_take(json, ':');
}

int ovr_json_next(struct ovr_json *json, char close)
{
    char c = ovr_json_peek(json);
    if (c != ',' && c != close) {
        return -1;
    }
    json->at++;
    return c == ',';
}

/* Skip an object or array whose opening bracket was consumed. */
static bool skip_container(struct ovr_json *json, unsigned depth, char close)
{
    struct ovr_json_value ignored;
    if (ovr_json_peek(json) == close) {
        json->at++;
        return true;
    }
    int more;
    do {
        if (close == '}' && !ovr_json_key(json, &ignored)) {
            return false;
        }
        if (!ovr_json_value(json, depth, &ignored)) {
            return false;
        }
        more = ovr_json_next(json, close);
    } while (more > 0);
    return more == 0;
}

bool ovr_json_value(struct ovr_json *json, unsigned depth, struct ovr_json_value *ret)
{
    switch (ovr_json_peek(json)) {
    case '"':
        return ovr_json_string(json, ret);
    case 't':
        return scan_word(json, "true", OVR_JSON_TRUE, ret);
    case 'f':
        return scan_word(json, "false", OVR_JSON_FALSE, ret);
    case 'n':
        return scan_word(json, "null", OVR_JSON_NULL, ret);
    case '{':
    case '[': {
        bool object = *json->at++ == '{';
        *ret = (struct ovr_json_value){.kind = object ? OVR_JSON_OBJECT : OVR_JSON_ARRAY};
        return depth < OVR_JSON_DEPTH_MAX &&
               skip_container(json, depth + 1, object ? '}' : ']');
    }
    case '\0':
        return false;
    default:
        return scan_number(json, ret);
    }
}

int ovr_json_unescape(const struct ovr_json_value *value, char *out, size_t capacity)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *at = value->data;
    const char *end = at + value->length;
    size_t length = 0;
    while (at < end) {
        int c = (unsigned char)*at;
        int step = 1;
        if (c == '\\' && at[1] == 'u') {
            c = hex_digit(at[2]) << 12 | hex_digit(at[3]) << 8 | hex_digit(at[4]) << 4 |
                hex_digit(at[5]);
            step = 6;
        } else if (c == '\\') {
            c = meanings[strchr(letters, at[1]) - letters];
            step = 2;
        }
        if (c < 0x20 || c > 0x7E || length == capacity) {
            return -1;
        }
        out[length++] = (char)c;
        at += step;
    }
    return (int)length;
}
