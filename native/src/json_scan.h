/* A validating cursor over one JSON text: no allocation, no copy, nothing interpreted.
 *
 * Accepts exactly RFC 8259 in UTF-8, nested at most OVR_JSON_DEPTH_MAX deep. Every function
 * returns false once the text is broken; the cursor is then of no further use.
 */
#ifndef OVERROUND_JSON_SCAN_H
#define OVERROUND_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The venue nests four deep; the limit bounds recursion against hostile frames. */
enum { OVR_JSON_DEPTH_MAX = 32 };

enum ovr_json_kind {
    OVR_JSON_ABSENT,
    OVR_JSON_NULL,
    OVR_JSON_FALSE,
    OVR_JSON_TRUE,
    OVR_JSON_NUMBER,
    OVR_JSON_STRING,
    OVR_JSON_OBJECT,
    OVR_JSON_ARRAY
};

/* A value as it stands in the text. Strings exclude the quotes; `escaped` says that a backslash
 * occurs. Objects and arrays carry no slice: they are walked or skipped. */
struct ovr_json_value {
    const char *data;
    uint32_t length;
    uint8_t kind;
    bool escaped;
};

struct ovr_json {
    const char *at;
    const char *end;
};

static inline void ovr_json_space(struct ovr_json *json)
{
    while (json->at < json->end) {
        char c = *json->at;
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            return;
        }
        json->at++;
    }
}

/* Consume `wanted` after optional white space. */
static inline bool ovr_json_take(struct ovr_json *json, char wanted)
{
    ovr_json_space(json);
    if (json->at < json->end && *json->at == wanted) {
        json->at++;
        return true;
    }
    return false;
}

/* The next character after white space, or 0 at the end. */
static inline char ovr_json_peek(struct ovr_json *json)
{
    ovr_json_space(json);
    return json->at < json->end ? *json->at : '\0';
}

/* Scan a string whose opening quote is next. */
bool ovr_json_string(struct ovr_json *json, struct ovr_json_value *ret);

/* Scan any value; objects and arrays are skipped, but checked. `depth` counts the containers
 * that already surround the value. */
bool ovr_json_value(struct ovr_json *json, unsigned depth, struct ovr_json_value *ret);

/* Scan `"key":` of an object member; the cursor then stands before the value. */
bool ovr_json_key(struct ovr_json *json, struct ovr_json_value *ret);

/* After a member or element: 1 if a comma announces another, 0 if `close` ended the container,
 * -1 if the text is broken. */
int ovr_json_next(struct ovr_json *json, char close);

/* Resolve escapes of a string into `out`; returns its length, or -1 if it does not fit `capacity`
 * or holds anything but printable ASCII. */
int ovr_json_unescape(const struct ovr_json_value *value, char *out, size_t capacity);

#endif
