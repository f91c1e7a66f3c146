/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_part.c - one pass over a list from left to right, whatever comes.
 */
#include "gb_part.h"

#include "gb_ascii.h"

#include <string.h>

bool gb_part_is(const char *text, size_t bytes, const char *word)
{
    if (bytes != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (gb_ascii_lower(text[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

/* Over the characters of a token, and the slash of a media type. */
static const char *over_word(const char *at, const char *end)
{
    while (at < end && (gb_ascii_is_token(*at) || *at == '/')) {
        at++;
    }
    return at;
}

static const char *over_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    return at;
}

/* Over a quoted string, `at` behind its first quote; *bytes: what stands in it.  The
 * text's end, and false in *closed, when its second quote is missing. */
static const char *over_quoted(const char *at, const char *end, size_t *bytes,
                               bool *closed)
{
    const char *start = at;

    while (at < end && *at != '"') {
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    }
    *bytes = (size_t)(at - start);
    *closed = at < end;
    return *closed ? at + 1 : at;
}

static const char *value_read(gb_part_t *part, const char *at, const char *end)
{
    bool closed = true;

    at = over_space(at, end);
    if (at < end && *at == '"') {
        part->value = at + 1;
        at = over_quoted(at + 1, end, &part->value_bytes, &closed);
        part->broken = !closed;
        return at;
    }
    part->value = at;
    at = over_word(at, end);
    part->value_bytes = (size_t)(at - part->value);
    return at;
}

const char *gb_part_read(gb_part_t *part, const char *at, const char *end)
{
    size_t skipped;
    bool closed;

    memset(part, 0, sizeof(*part));
    part->name = over_space(at, end);
    at = over_word(part->name, end);
    part->name_bytes = (size_t)(at - part->name);
    at = over_space(at, end);
    if (at < end && *at == '=') {
        at = value_read(part, at + 1, end);
    }
    at = over_space(at, end);
    while (at < end && *at != ';' && *at != ',') { /* no token: the part says nothing */
        part->broken = true;
        at = *at == '"' ? over_quoted(at + 1, end, &skipped, &closed) : at + 1;
    }
    if (at >= end) {
        return end;
    }
    part->ends = *at;
    return at + 1;
}
