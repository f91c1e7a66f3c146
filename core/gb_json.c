/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_json.c - writes JSON into memory of a fixed size.
 */
#include "gb_json.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Beyond it a double has no decimals left, and %f would print hundreds of digits. */
#define PLAIN_MOST 1e15

void gb_json_start(gb_json_t *json, char *out, size_t room)
{
    memset(json, 0, sizeof(*json));
    json->out = out;
    json->room = room;
}

static void put(gb_json_t *json, const char *text, size_t bytes)
{
    size_t left;

    if (json->bytes < json->room) {
        left = json->room - json->bytes;
        memcpy(json->out + json->bytes, text, bytes < left ? bytes : left);
    }
    json->bytes += bytes;
}

static bool in_object(const gb_json_t *json)
{
    return json->depth && (json->is_object >> (json->depth - 1) & 1);
}

/* The comma before an item that is not the first within its bracket. */
static void separate(gb_json_t *json)
{
    uint32_t bit;

    if (!json->depth) {
        return;
    }
    bit = UINT32_C(1) << (json->depth - 1);
    if (json->has_items & bit) {
        put(json, ",", 1);
    }
    json->has_items |= bit;
}

/* Called before each value: may one stand here?  In an object its key took the comma.
 */
static void begin_value(gb_json_t *json)
{
    if (json->ended || (in_object(json) && !json->keyed)) {
        json->broken = true;
    }
    if (!json->keyed) {
        separate(json);
    }
    json->keyed = false;
}

static void end_value(gb_json_t *json)
{
    if (!json->depth) {
        json->ended = true;
    }
}

static void open_bracket(gb_json_t *json, const char *bracket, bool object)
{
    uint32_t bit;

    begin_value(json);
    if (json->depth == GB_JSON_DEPTH) {
        json->broken = true;
        return;
    }
    bit = UINT32_C(1) << json->depth++;
    json->is_object = object ? json->is_object | bit : json->is_object & ~bit;
    json->has_items &= ~bit;
    put(json, bracket, 1);
}

static void close_bracket(gb_json_t *json, const char *bracket, bool object)
{
    if (!json->depth || json->keyed || in_object(json) != object) {
        json->broken = true;
        return;
    }
    json->depth--;
    put(json, bracket, 1);
    end_value(json);
}

void gb_json_open_object(gb_json_t *json)
{
    open_bracket(json, "{", true);
}

void gb_json_close_object(gb_json_t *json)
{
    close_bracket(json, "}", true);
}

void gb_json_open_array(gb_json_t *json)
{
    open_bracket(json, "[", false);
}

void gb_json_close_array(gb_json_t *json)
{
    close_bracket(json, "]", false);
}

/* Is `byte` within what may follow `lead` as the second byte?  Here overlong forms,
 * surrogates and what lies above U+10FFFF are told apart (RFC 3629, section 4). */
static bool second_fits(unsigned char lead, unsigned char byte)
{
    switch (lead) {
    case 0xe0:
        return byte >= 0xa0 && byte <= 0xbf;
    case 0xed:
        return byte >= 0x80 && byte <= 0x9f;
    case 0xf0:
        return byte >= 0x90 && byte <= 0xbf;
    case 0xf4:
        return byte >= 0x80 && byte <= 0x8f;
    default:
        return byte >= 0x80 && byte <= 0xbf;
    }
}

size_t gb_json_utf8_bytes(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t needed, i;

    if (!bytes) {
        return 0;
    }
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] < 0xc2 || at[0] > 0xf4) {
        return 0;
    }
    needed = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (bytes < needed || !second_fits(at[0], at[1])) {
        return 0;
    }
    for (i = 2; i < needed; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf) {
            return 0;
        }
    }
    return needed;
}

/* The escape for an ASCII byte, written to `out`; its length, 0 when it needs none.
 * < > & are escaped too, so that the text may stand within HTML. */
static size_t escape(unsigned char byte, char out[8])
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letter[] = "\"\\bfnrt";
    const char *found;

    found = byte ? strchr(plain, byte) : NULL;
    if (found) {
        out[0] = '\\';
        out[1] = letter[found - plain];
        return 2;
    }
    if (byte < 0x20 || byte == 0x7f || byte == '<' || byte == '>' || byte == '&') {
        return (size_t)snprintf(out, 8, "\\u%04x", byte);
    }
    return 0;
}

static void put_text(gb_json_t *json, const char *text, size_t bytes)
{
    char escaped[8];
    size_t i = 0, length, escaped_bytes;

    put(json, "\"", 1);
    while (i < bytes) {
        length = gb_json_utf8_bytes(text + i, bytes - i);
        if (!length) {
            put(json, "\\ufffd", 6);
            i++;
            continue;
        }
        escaped_bytes = length == 1 ? escape((unsigned char)text[i], escaped) : 0;
        if (escaped_bytes) {
            put(json, escaped, escaped_bytes);
        }
        else {
            put(json, text + i, length);
        }
        i += length;
    }
    put(json, "\"", 1);
}

void gb_json_key(gb_json_t *json, const char *name)
{
    if (!in_object(json) || json->keyed) {
        json->broken = true;
        return;
    }
    separate(json);
    put_text(json, name, strlen(name));
    put(json, ":", 1);
    json->keyed = true;
}

void gb_json_string_most(gb_json_t *json, const char *text, size_t most_bytes)
{
    const char *end;

    if (!text) {
        gb_json_null(json);
        return;
    }
    end = memchr(text, '\0', most_bytes);
    begin_value(json);
    put_text(json, text, end ? (size_t)(end - text) : most_bytes);
    end_value(json);
}

void gb_json_string(gb_json_t *json, const char *text)
{
    gb_json_string_most(json, text, text ? strlen(text) : 0);
}

static void put_word(gb_json_t *json, const char *word, size_t bytes)
{
    begin_value(json);
    put(json, word, bytes);
    end_value(json);
}

void gb_json_unsigned(gb_json_t *json, uint64_t value)
{
    char text[24];
    int bytes = snprintf(text, sizeof(text), "%" PRIu64, value);

    put_word(json, text, (size_t)bytes);
}

/* Puts a point where the locale, which another module may have set, puts something
 * else (it may be of several bytes), and returns the new length. */
static size_t point_out(char *text)
{
    size_t from, to = 0;
    bool was_odd = false;

    for (from = 0; text[from]; from++) {
        if (strchr("0123456789+-e", text[from])) {
            text[to++] = text[from];
            was_odd = false;
        }
        else if (!was_odd) {
            text[to++] = '.';
            was_odd = true;
        }
    }
    text[to] = '\0';
    return to;
}

void gb_json_number(gb_json_t *json, double value, uint32_t decimals)
{
    char text[64];
    size_t bytes;

    if (!(value >= -DBL_MAX && value <= DBL_MAX)) { /* NaN fails both */
        gb_json_null(json);
        return;
    }
    if (value >= PLAIN_MOST || value <= -PLAIN_MOST) {
        snprintf(text, sizeof(text), "%.17g", value);
        bytes = point_out(text);
        put_word(json, text, bytes);
        return;
    }
    snprintf(text, sizeof(text), "%.*f", (int)(decimals > 9 ? 9 : decimals), value);
    bytes = point_out(text);
    if (strchr(text, '.')) {
        while (text[bytes - 1] == '0') {
            bytes--;
        }
        if (text[bytes - 1] == '.') {
            bytes--;
        }
    }
    if (bytes == 2 && text[0] == '-' && text[1] == '0') {
        put_word(json, "0", 1);
        return;
    }
    put_word(json, text, bytes);
}

void gb_json_bool(gb_json_t *json, bool value)
{
    if (value) {
        put_word(json, "true", 4);
    }
    else {
        put_word(json, "false", 5);
    }
}

void gb_json_null(gb_json_t *json)
{
    put_word(json, "null", 4);
}

void gb_json_member_string(gb_json_t *json, const char *name, const char *text)
{
    gb_json_key(json, name);
    gb_json_string(json, text);
}

void gb_json_member_unsigned(gb_json_t *json, const char *name, uint64_t value)
{
    gb_json_key(json, name);
    gb_json_unsigned(json, value);
}

void gb_json_member_number(gb_json_t *json, const char *name, double value,
                           uint32_t decimals)
{
    gb_json_key(json, name);
    gb_json_number(json, value, decimals);
}

void gb_json_member_bool(gb_json_t *json, const char *name, bool value)
{
    gb_json_key(json, name);
    gb_json_bool(json, value);
}

bool gb_json_finish(gb_json_t *json)
{
    if (json->room) {
        json->out[json->bytes < json->room ? json->bytes : json->room - 1] = '\0';
    }
    return json->ended && !json->broken && json->bytes < json->room;
}
