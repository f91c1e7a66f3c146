/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_value.c - reads JSON in place; see gb_value.h.
 *
 * One scanner knows the grammar; it walks over one value and says where it ends.  It
 * keeps a bit for each open bracket instead of calling itself, so that no text can use
 * up the stack.  Look-ups use the same scanner: none relies on an earlier check.
 */
#include "gb_value.h"

#include "gb_ascii.h"
#include "gb_json.h"

#include <float.h>
#include <string.h>

#define EXPONENT_MOST 400 /* beyond, a double is 0 or infinite anyway */

static const char *white(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    return at;
}

static bool is_digit(const char *at, const char *end)
{
    return at < end && gb_ascii_is_digit(*at);
}

/* Four hex digits; -1: they are none. */
static long hex4(const char *at, const char *end)
{
    long value = 0;

    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = gb_ascii_hex(at[i]);

        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* One character of a text, at a backslash or not; NULL: none may stand here. */
static const char *scan_character(const char *at, const char *end)
{
    size_t bytes;

    if (*at == '\\') {
        if (end - at < 2) {
            return NULL;
        }
        if (at[1] == 'u') {
            return hex4(at + 2, end) < 0 ? NULL : at + 6;
        }
        return at[1] && strchr("\"\\/bfnrt", at[1]) ? at + 2 : NULL;
    }
    if ((unsigned char)*at < ' ') {
        return NULL;
    }
    bytes = gb_json_utf8_bytes(at, (size_t)(end - at));
    return bytes ? at + bytes : NULL;
}

/* The functions that scan take the first byte of something, and return the byte after
 * it, or NULL when it is not what it should be. */
static const char *scan_text(const char *at, const char *end)
{
    if (at == end || *at != '"') {
        return NULL;
    }
    at++;
    while (at && at < end) {
        if (*at == '"') {
            return at + 1;
        }
        at = scan_character(at, end);
    }
    return NULL;
}

static const char *scan_digits(const char *at, const char *end)
{
    const char *first = at;

    while (is_digit(at, end)) {
        at++;
    }
    return at == first ? NULL : at;
}

static const char *scan_number(const char *at, const char *end)
{
    if (at < end && *at == '-') {
        at++;
    }
    at = at < end && *at == '0' ? at + 1 : scan_digits(at, end);
    if (at && at < end && *at == '.') {
        at = scan_digits(at + 1, end);
    }
    if (at && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        at = scan_digits(at, end);
    }
    return at;
}

static const char *scan_word(const char *at, const char *end, const char *word)
{
    size_t length = strlen(word);

    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0 ? at + length
                                                                         : NULL;
}

static const char *scan_scalar(const char *at, const char *end)
{
    switch (*at) {
    case '"':
        return scan_text(at, end);
    case 't':
        return scan_word(at, end, "true");
    case 'f':
        return scan_word(at, end, "false");
    case 'n':
        return scan_word(at, end, "null");
    default:
        return scan_number(at, end);
    }
}

/* "key" : and the white space around; ends at the value. */
static const char *scan_key(const char *at, const char *end)
{
    at = scan_text(white(at, end), end);
    if (!at) {
        return NULL;
    }
    at = white(at, end);
    return at < end && *at == ':' ? white(at + 1, end) : NULL;
}

typedef struct nest_t {
    uint32_t objects; /* bit d: bracket d is { and not [ */
    uint32_t depth;
} nest_t;

/* At a bracket that opens: ends at the first value within, or after `{}`; *empty says
 * which. */
static const char *scan_open(nest_t *nest, const char *at, const char *end, bool *empty)
{
    bool object = *at == '{';

    *empty = false;
    if (nest->depth == GB_VALUE_DEPTH) {
        return NULL;
    }
    nest->objects &= ~(UINT32_C(1) << nest->depth);
    nest->objects |= (uint32_t)object << nest->depth;
    at = white(at + 1, end);
    if (at < end && *at == (object ? '}' : ']')) {
        *empty = true;
        return at + 1;
    }
    nest->depth++;
    return object ? scan_key(at, end) : at;
}

/* After a value within brackets: closes those that end here, and ends at the next
 * value, or, with no bracket open any more, after the last one. */
static const char *scan_close(nest_t *nest, const char *at, const char *end)
{
    while (nest->depth) {
        bool object = nest->objects >> (nest->depth - 1) & 1;

        at = white(at, end);
        if (at == end) {
            return NULL;
        }
        if (*at == ',') {
            return object ? scan_key(at + 1, end) : white(at + 1, end);
        }
        if (*at != (object ? '}' : ']')) {
            return NULL;
        }
        at++;
        nest->depth--;
    }
    return at;
}

static const char *scan_value(const char *at, const char *end)
{
    nest_t nest = {0, 0};

    do {
        bool ended = true;

        if (at == end) {
            return NULL;
        }
        at = *at == '{' || *at == '[' ? scan_open(&nest, at, end, &ended)
                                      : scan_scalar(at, end);
        if (at && ended) {
            at = scan_close(&nest, at, end);
        }
    } while (at && nest.depth);
    return at;
}

bool gb_value_read(const char *text, size_t bytes, gb_value_t *value)
{
    const char *end = text + bytes, *at = white(text, end), *after;

    value->at = NULL;
    value->end = NULL;
    after = scan_value(at, end);
    if (!after || white(after, end) != end) {
        return false;
    }
    value->at = at;
    value->end = end;
    return true;
}

gb_value_kind_e gb_value_kind(gb_value_t value)
{
    if (!value.at) {
        return GB_VALUE_NOTHING;
    }
    switch (*value.at) {
    case '{':
        return GB_VALUE_OBJECT;
    case '[':
        return GB_VALUE_ARRAY;
    case '"':
        return GB_VALUE_TEXT;
    case 't':
    case 'f':
        return GB_VALUE_BOOL;
    case 'n':
        return GB_VALUE_NULL;
    default:
        return GB_VALUE_NUMBER;
    }
}

/* ------------------------------------------------------------------ look-ups */

static const gb_value_t nothing = {NULL, NULL};

/* From the end of a value to the next one in the same brackets; NULL: there is none. */
static const char *next_in(const char *at, const char *end)
{
    at = white(at, end);
    return at < end && *at == ',' ? white(at + 1, end) : NULL;
}

static const char *first_in(gb_value_t value, char closing)
{
    const char *at = white(value.at + 1, value.end);

    return at < value.end && *at != closing ? at : NULL;
}

gb_value_t gb_value_member(gb_value_t object, const char *name)
{
    size_t length = strlen(name);
    const char *at =
        gb_value_kind(object) == GB_VALUE_OBJECT ? first_in(object, '}') : NULL;

    while (at) {
        const char *value = scan_key(at, object.end), *after;

        if (!value) {
            break;
        }
        if ((size_t)(value - at) > length + 2 && memcmp(at + 1, name, length) == 0 &&
            at[length + 1] == '"') {
            return (gb_value_t){value, object.end};
        }
        after = scan_value(value, object.end);
        at = after ? next_in(after, object.end) : NULL;
    }
    return nothing;
}

gb_value_t gb_value_next(gb_value_t element)
{
    const char *after = element.at ? scan_value(element.at, element.end) : NULL;
    const char *at = after ? next_in(after, element.end) : NULL;

    return at ? (gb_value_t){at, element.end} : nothing;
}

gb_value_t gb_value_element(gb_value_t array, uint32_t index)
{
    const char *at =
        gb_value_kind(array) == GB_VALUE_ARRAY ? first_in(array, ']') : NULL;
    gb_value_t element = at ? (gb_value_t){at, array.end} : nothing;

    while (element.at && index-- > 0) {
        element = gb_value_next(element);
    }
    return element;
}

uint32_t gb_value_count(gb_value_t array)
{
    uint32_t count = 0;

    for (gb_value_t element = gb_value_element(array, 0); element.at;
         element = gb_value_next(element)) {
        count++;
    }
    return count;
}

gb_value_t gb_value_within(gb_value_t object, const char *name, const char *inner)
{
    return gb_value_member(gb_value_member(object, name), inner);
}

/* ------------------------------------------------------------------ scalars */

static size_t write_utf8(char to[4], uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The character of a \u escape, of two when they are a surrogate pair; 0: none that a
 * text of C can hold. */
static uint32_t read_escaped(const char **at, const char *end)
{
    long code = hex4(*at + 2, end), low;

    *at += 6;
    if (code < 0xd800 || code > 0xdfff) {
        return code > 0 ? (uint32_t)code : 0;
    }
    if (code > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') {
        return 0;
    }
    low = hex4(*at + 2, end);
    *at += 6;
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    return 0x10000u + ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}

/* The bytes of the next character; 0: it cannot be copied. */
static size_t read_character(const char **at, const char *end, char to[4])
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t bytes;

    if (**at != '\\') {
        bytes = gb_json_utf8_bytes(*at, (size_t)(end - *at));
        memcpy(to, *at, bytes);
        *at += bytes;
        return bytes;
    }
    if ((*at)[1] == 'u') {
        uint32_t code = read_escaped(at, end);

        return code ? write_utf8(to, code) : 0;
    }
    to[0] = meanings[strchr(letters, (*at)[1]) - letters];
    *at += 2;
    return 1;
}

bool gb_value_text(gb_value_t value, char *to, size_t room)
{
    const char *at, *after;
    size_t length = 0;

    to[0] = '\0';
    if (gb_value_kind(value) != GB_VALUE_TEXT) {
        return false;
    }
    after = scan_text(value.at, value.end);
    for (at = value.at + 1; after && at < after - 1;) {
        char character[4];
        size_t bytes = read_character(&at, after - 1, character);

        if (!bytes || length + bytes >= room) {
            to[0] = '\0';
            return false;
        }
        memcpy(to + length, character, bytes);
        length += bytes;
    }
    to[length] = '\0';
    return after != NULL;
}

bool gb_value_says(gb_value_t value, const char *text)
{
    size_t length = strlen(text);

    return gb_value_kind(value) == GB_VALUE_TEXT &&
           (size_t)(value.end - value.at) >= length + 2 &&
           memcmp(value.at + 1, text, length) == 0 && value.at[length + 1] == '"';
}

/* Digits from *at to `end`, appended to a number; *places counts them. */
static double take_digits(const char **at, const char *end, double number, long *places)
{
    for (*places = 0; is_digit(*at, end); ++*at, ++*places) {
        number = number * 10 + (**at - '0');
    }
    return number;
}

/* number * 10 ^ power; the module does not need libm for it. */
static double scale(double number, long power)
{
    for (; power > 0 && number <= DBL_MAX; power--) {
        number *= 10;
    }
    for (; power < 0 && number > 0; power++) {
        number /= 10;
    }
    return number;
}

bool gb_value_number(gb_value_t value, double *number)
{
    const char *at = value.at, *end;
    double read, exponent = 0;
    long places = 0, ignored;
    bool is_negative, is_small = false;

    if (gb_value_kind(value) != GB_VALUE_NUMBER ||
        !(end = scan_number(at, value.end))) {
        return false;
    }
    is_negative = *at == '-';
    at += is_negative;
    read = take_digits(&at, end, 0, &ignored);
    if (at < end && *at == '.') {
        at++;
        read = take_digits(&at, end, read, &places);
    }
    if (at < end) {
        at++;
        is_small = *at == '-';
        at += *at == '-' || *at == '+';
        exponent = take_digits(&at, end, 0, &ignored);
    }
    if (exponent > EXPONENT_MOST || places > EXPONENT_MOST) {
        return false;
    }
    read = scale(read, (is_small ? -(long)exponent : (long)exponent) - places);
    if (!(read <= DBL_MAX)) {
        return false;
    }
    *number = is_negative ? -read : read;
    return true;
}
