/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_wire_text.c - texts that go with frames: lines of headers, what may be in other
 * fields, the indicator as JSON, ids as parts of a path.
 */
#include "gb_ascii.h"
#include "gb_wire.h"

#include <string.h>

gb_span_text_t gb_wire_span(const char *text)
{
    return (gb_span_text_t){text ? text : "", text ? strlen(text) : 0};
}

/* ------------------------------------------------------------------ header lines */

static bool is_value_char(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

bool gb_wire_header(const char **at, size_t *bytes, gb_span_text_t *name,
                    gb_span_text_t *value)
{
    const char *text = *at, *end = memchr(text, '\n', *bytes), *colon;
    size_t line;

    if (!end || end == text || end[-1] != '\r') {
        return false;
    }
    line = (size_t)(end - text) - 1;
    colon = memchr(text, ':', line);
    if (!colon || colon == text) {
        return false;
    }
    *name = (gb_span_text_t){text, (size_t)(colon - text)};
    *value = (gb_span_text_t){colon + 1, line - name->bytes - 1};
    while (value->bytes && (*value->at == ' ' || *value->at == '\t')) {
        value->at++;
        value->bytes--;
    }
    for (size_t i = 0; i < name->bytes; i++) {
        if (!gb_ascii_is_token(name->at[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < value->bytes; i++) {
        if (!is_value_char((unsigned char)value->at[i])) {
            return false;
        }
    }
    *at = end + 1;
    *bytes -= line + 2;
    return true;
}

bool gb_wire_is_text(gb_span_text_t text, char least, size_t most)
{
    if (!text.at || text.bytes > most) {
        return false;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.at[i];

        if (c < (unsigned char)least || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ JSON */

/* The rest of a field: its text, and the room that is left. */
typedef struct json_t {
    const char *at, *end;
    char *to;
    size_t used, room;
} json_t;

static void put(json_t *json, char c)
{
    if (json->used < json->room) {
        json->to[json->used] = c;
    }
    json->used++;
}

static void put_text(json_t *json, const char *text)
{
    while (*text) {
        put(json, *text++);
    }
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

/* A string: what RFC 9651 escapes is what JSON escapes. */
static bool put_string(json_t *json)
{
    put(json, *json->at++);
    while (json->at < json->end) {
        char c = *json->at++;

        if (c < ' ' || c > '~') {
            return false;
        }
        put(json, c);
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            if (json->at == json->end || (*json->at != '"' && *json->at != '\\')) {
                return false;
            }
            put(json, *json->at++);
        }
    }
    return false;
}

static void put_digits(json_t *json)
{
    while (json->at < json->end && gb_ascii_is_digit(*json->at)) {
        put(json, *json->at++);
    }
}

/* As both grammars have it: 0, 12, 0.5; not 007, nor 1. */
static bool put_number(json_t *json)
{
    size_t left = (size_t)(json->end - json->at);

    if (*json->at == '0' && left > 1 && gb_ascii_is_digit(json->at[1])) {
        return false;
    }
    put_digits(json);
    if (json->at == json->end || *json->at != '.') {
        return true;
    }
    put(json, *json->at++);
    if (json->at == json->end || !gb_ascii_is_digit(*json->at)) {
        return false;
    }
    put_digits(json);
    return true;
}

static bool put_value(json_t *json)
{
    size_t left = (size_t)(json->end - json->at);

    if (left == 0) {
        return false;
    }
    if (*json->at == '"') {
        return put_string(json);
    }
    if (*json->at == '?') {
        if (left < 2 || (json->at[1] != '0' && json->at[1] != '1')) {
            return false;
        }
        put_text(json, json->at[1] == '1' ? "true" : "false");
        json->at += 2;
        return true;
    }
    if (gb_ascii_is_digit(*json->at)) {
        return put_number(json);
    }
    if (!is_plain(*json->at)) {
        return false;
    }
    put(json, '"');
    while (json->at < json->end && is_plain(*json->at)) {
        put(json, *json->at++);
    }
    put(json, '"');
    return true;
}

static bool put_member(json_t *json)
{
    put(json, '"');
    while (json->at < json->end && is_plain(*json->at)) {
        put(json, *json->at++);
    }
    put_text(json, "\":");
    if (json->at == json->end || *json->at++ != '=') {
        return false;
    }
    return put_value(json);
}

size_t gb_wire_json(char *to, size_t room, const char *field, size_t bytes)
{
    json_t json = {.at = field, .end = field + bytes, .to = to, .room = room};

    put(&json, '{');
    while (json.at < json.end) {
        if (!put_member(&json)) {
            return 0;
        }
        if (json.at == json.end) {
            break;
        }
        if (*json.at++ != ',') {
            return 0;
        }
        put(&json, ',');
        while (json.at < json.end && *json.at == ' ') {
            json.at++;
        }
        if (json.at == json.end) {
            return 0;
        }
    }
    put(&json, '}');
    if (json.used >= room) {
        return 0;
    }
    to[json.used] = '\0';
    return json.used;
}

/* ------------------------------------------------------------------ ids in paths */

static bool is_path_char(char c)
{
    return is_plain(c) || (c >= 'A' && c <= 'Z');
}

size_t gb_wire_path_of_id(char *to, size_t room, const char *id)
{
    static const char digits[] = "0123456789abcdef";
    size_t bytes = strlen(id), used = 0;
    bool plain = bytes > 0 && id[0] != '.';

    for (size_t i = 0; i < bytes; i++) {
        plain = plain && is_path_char(id[i]);
    }
    if (bytes == 0 || bytes >= GB_COMMIT_ID_BYTES ||
        room <= (plain ? bytes : 1 + 2 * bytes)) {
        return 0;
    }
    if (plain) {
        memcpy(to, id, bytes + 1);
        return bytes;
    }
    to[used++] = '~';
    for (size_t i = 0; i < bytes; i++) {
        to[used++] = digits[(unsigned char)id[i] >> 4];
        to[used++] = digits[(unsigned char)id[i] & 15];
    }
    to[used] = '\0';
    return used;
}

bool gb_wire_id_of_path(const char *text, size_t bytes, char *id)
{
    size_t used = 0;

    if (bytes == 0 || bytes > 2 * (GB_COMMIT_ID_BYTES - 1) + 1) {
        return false;
    }
    if (*text != '~') {
        for (; used < bytes && used < GB_COMMIT_ID_BYTES - 1; used++) {
            id[used] = text[used];
        }
        bytes -= used;
    }
    else {
        for (text++, bytes--; bytes >= 2 && used < GB_COMMIT_ID_BYTES - 1;
             text += 2, bytes -= 2) {
            int high = gb_ascii_hex(text[0]), low = gb_ascii_hex(text[1]);

            if (high < 0 || low < 0) {
                return false;
            }
            id[used++] = (char)(high << 4 | low);
        }
    }
    for (size_t i = 0; i < used; i++) {
        if (id[i] <= ' ' || id[i] > '~') {
            return false;
        }
    }
    id[used] = '\0';
    return bytes == 0 && used > 0;
}
