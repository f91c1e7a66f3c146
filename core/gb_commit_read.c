/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_commit_read.c - readers of the fields of replicated writes: structured fields
 * (RFC 9651) strictly, Prefer (RFC 7240) leniently, as each asks for.
 *
 * Of structured fields every type is read, since a dictionary is malformed as a whole
 * or not at all; the values of numbers, words and strings alone are kept.
 */
#include "gb_commit.h"

#include "gb_ascii.h"
#include "gb_part.h"

#include <string.h>

#define INTEGER_DIGITS 15 /* of an integer; a decimal has 12 before the point */
#define DECIMAL_DIGITS 12
#define KEY_MOST       (GB_COMMIT_ID_BYTES - 1)

/* What is left of a text. */
typedef struct text_t {
    const char *at, *end;
} text_t;

typedef enum kind_e { KIND_OTHER = 0, KIND_INTEGER, KIND_STRING, KIND_TOKEN } kind_e;

typedef struct item_t {
    kind_e kind;
    int64_t integer;
    const char *at; /* of a string: as it is written, within its quotes */
    size_t bytes;
} item_t;

/* The next character; NUL, which no structured field has, at the end. */
static char peek(const text_t *text)
{
    return text->at < text->end ? *text->at : '\0';
}

static bool take(text_t *text, char c)
{
    if (peek(text) != c || text->at >= text->end) {
        return false;
    }
    text->at++;
    return true;
}

static void over(text_t *text, const char *spaces)
{
    while (peek(text) && strchr(spaces, peek(text))) {
        text->at++;
    }
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* A token of RFC 9651 may have more in it than one of RFC 9110. */
static bool is_token_char(char c)
{
    return gb_ascii_is_token(c) || c == ':' || c == '/';
}

/* ------------------------------------------------------------ bare items */

static uint32_t take_digits(text_t *text, int64_t *value)
{
    uint32_t count = 0;

    for (*value = 0; gb_ascii_is_digit(peek(text)) && count <= INTEGER_DIGITS;
         count++) {
        *value = *value * 10 + (peek(text) - '0');
        text->at++;
    }
    return count;
}

static bool take_number(text_t *text, item_t *item)
{
    bool minus = take(text, '-');
    uint32_t digits = take_digits(text, &item->integer);
    int64_t fraction;

    item->integer = minus ? -item->integer : item->integer;
    if (take(text, '.')) {
        uint32_t behind = take_digits(text, &fraction);

        return digits >= 1 && digits <= DECIMAL_DIGITS && behind >= 1 && behind <= 3;
    }
    item->kind = KIND_INTEGER;
    return digits >= 1 && digits <= INTEGER_DIGITS;
}

static bool take_string(text_t *text, item_t *item)
{
    item->kind = KIND_STRING;
    item->at = ++text->at;
    for (; peek(text) != '"'; text->at++) {
        if (peek(text) < ' ' || peek(text) > '~') {
            return false;
        }
        if (peek(text) == '\\') {
            text->at++;
            if (!is_one_of(peek(text), "\"\\")) {
                return false;
            }
        }
    }
    item->bytes = (size_t)(text->at++ - item->at);
    return true;
}

static bool take_token(text_t *text, item_t *item)
{
    item->kind = KIND_TOKEN;
    item->at = text->at;
    while (is_token_char(peek(text))) {
        text->at++;
    }
    item->bytes = (size_t)(text->at - item->at);
    return item->bytes > 0;
}

/* Base64 between colons; padding and its bits are not looked at. */
static bool take_bytes(text_t *text)
{
    text->at++;
    while (gb_ascii_is_letter(peek(text)) || gb_ascii_is_digit(peek(text)) ||
           is_one_of(peek(text), "+/=")) {
        text->at++;
    }
    return take(text, ':');
}

/* %"..." with %xx in lower case. */
static bool take_display(text_t *text)
{
    text->at++;
    if (!take(text, '"')) {
        return false;
    }
    for (; peek(text) != '"'; text->at++) {
        if (peek(text) < ' ' || peek(text) > '~') {
            return false;
        }
        for (int i = 0; peek(text) == '%' && i < 2; i++) {
            char c = text->end - text->at > i + 1 ? text->at[i + 1] : '\0';

            if (!gb_ascii_is_digit(c) && (c < 'a' || c > 'f')) {
                return false;
            }
        }
    }
    text->at++;
    return true;
}

/* Behind the "@": a whole number of seconds, which is no integer to us. */
static bool take_date(text_t *text, item_t *item)
{
    bool good = take_number(text, item) && item->kind == KIND_INTEGER;

    item->kind = KIND_OTHER;
    return good;
}

static bool take_bare(text_t *text, item_t *item)
{
    char c = peek(text);

    memset(item, 0, sizeof(*item));
    if (c == '-' || gb_ascii_is_digit(c)) {
        return take_number(text, item);
    }
    switch (c) {
    case '"':
        return take_string(text, item);
    case ':':
        return take_bytes(text);
    case '?':
        text->at++;
        return take(text, '0') || take(text, '1');
    case '@':
        text->at++;
        return take_date(text, item);
    case '%':
        return take_display(text);
    default:
        return (gb_ascii_is_letter(c) || c == '*') && take_token(text, item);
    }
}

/* ------------------------------------------------------------ what they stand in */

static bool take_key(text_t *text, item_t *key)
{
    key->at = text->at;
    if (!is_lower(peek(text)) && peek(text) != '*') {
        return false;
    }
    while (is_lower(peek(text)) || gb_ascii_is_digit(peek(text)) ||
           is_one_of(peek(text), "_-.*")) {
        text->at++;
    }
    key->bytes = (size_t)(text->at - key->at);
    return true;
}

static bool take_parameters(text_t *text)
{
    item_t ignored;

    while (take(text, ';')) {
        over(text, " ");
        if (!take_key(text, &ignored) ||
            (take(text, '=') && !take_bare(text, &ignored))) {
            return false;
        }
    }
    return true;
}

static bool take_list(text_t *text)
{
    item_t ignored;

    text->at++;
    for (;;) {
        over(text, " ");
        if (take(text, ')')) {
            return true;
        }
        if (!take_bare(text, &ignored) || !take_parameters(text) ||
            !is_one_of(peek(text), " )")) {
            return false;
        }
    }
}

/* KEY, KEY=ITEM or KEY=(LIST), each with parameters. */
static bool take_member(text_t *text, item_t *key, item_t *value)
{
    memset(value, 0, sizeof(*value));
    if (!take_key(text, key)) {
        return false;
    }
    if (take(text, '=') &&
        !(peek(text) == '(' ? take_list(text) : take_bare(text, value))) {
        return false;
    }
    return take_parameters(text);
}

/* Between members; false: neither the end nor one more. */
static bool take_comma(text_t *text)
{
    over(text, " \t");
    if (text->at >= text->end) {
        return true;
    }
    if (!take(text, ',')) {
        return false;
    }
    over(text, " \t");
    return text->at < text->end;
}

static bool is_text(const item_t *item, const char *word)
{
    return item->bytes == strlen(word) && memcmp(item->at, word, item->bytes) == 0;
}

/* ------------------------------------------------------------ Green-Commit-Policy */

static bool wish_member(const item_t *key, const item_t *value, gb_commit_wish_t *wish)
{
    if (is_text(key, "quorum")) {
        if (value->kind == KIND_TOKEN && is_text(value, "all")) {
            wish->quorum = GB_COMMIT_ALL;
            return true;
        }
        if (value->kind != KIND_INTEGER || value->integer < 1) {
            return false;
        }
        wish->quorum = value->integer < GB_COMMIT_ALL ? (uint32_t)value->integer
                                                      : GB_COMMIT_ALL - 1;
    }
    else if (is_text(key, "wait")) {
        if (value->kind != KIND_INTEGER || value->integer < 0) {
            return false;
        }
        wish->wait_us = value->integer * GB_US_PER_MS; /* 15 digits: no overflow */
    }
    return true;
}

bool gb_commit_read_policy(const char *text, size_t bytes, gb_commit_wish_t *wish)
{
    text_t left = {text, text + bytes};
    gb_commit_wish_t read = {.wait_us = -1};

    *wish = read;
    over(&left, " ");
    while (left.at < left.end) {
        item_t key, value;

        if (!take_member(&left, &key, &value) || !wish_member(&key, &value, &read) ||
            !take_comma(&left)) {
            return false;
        }
    }
    *wish = read;
    return true;
}

/* ------------------------------------------------------------ Prefer */

/* Whole seconds, as long as they may be; -1: none. */
static int64_t seconds_us(const char *at, size_t bytes)
{
    int64_t seconds = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (!gb_ascii_is_digit(at[i])) {
            return -1;
        }
        if (seconds < INT32_MAX) {
            seconds = seconds * 10 + (at[i] - '0');
        }
    }
    return bytes ? (seconds < INT32_MAX ? seconds : INT32_MAX) * GB_US_PER_S : -1;
}

void gb_commit_read_prefer(const char *text, size_t bytes, gb_commit_wish_t *wish)
{
    const char *at = text, *end = text + bytes;
    bool has_wait = false;

    *wish = (gb_commit_wish_t){.wait_us = -1};
    while (at < end) {
        gb_part_t part;

        at = gb_part_read(&part, at, end);
        if (!part.broken && gb_part_is(part.name, part.name_bytes, "respond-async") &&
            !part.value_bytes) {
            wish->async = true;
        }
        else if (!part.broken && gb_part_is(part.name, part.name_bytes, "wait") &&
                 part.value && !has_wait) {
            has_wait = true; /* the first one counts (RFC 7240, 2) */
            wish->wait_us = seconds_us(part.value, part.value_bytes);
        }
        while (part.ends == ';') { /* parameters of the preference */
            at = gb_part_read(&part, at, end);
        }
    }
}

/* ------------------------------------------------------------ Idempotency-Key */

bool gb_commit_read_key(const char *text, size_t bytes, char *id)
{
    text_t left = {text, text + bytes};
    item_t item = {0};
    size_t length = 0;
    char read[GB_COMMIT_ID_BYTES];

    over(&left, " ");
    if (!(peek(&left) == '"' ? take_string(&left, &item) : take_token(&left, &item)) ||
        !take_parameters(&left)) {
        return false;
    }
    over(&left, " ");
    for (size_t i = 0; i < item.bytes; i++, length++) {
        i += item.kind == KIND_STRING && item.at[i] == '\\';
        if (item.at[i] == ' ' || length >= KEY_MOST) {
            return false;
        }
        read[length] = item.at[i];
    }
    if (length < 1 || left.at < left.end) {
        return false;
    }
    memcpy(id, read, length);
    id[length] = '\0';
    return true;
}

/* ------------------------------------------------------------ tokens */

/* A number without needless zeros; goes on behind its last digit. */
static bool take_uint64(text_t *text, uint64_t *value)
{
    const char *start = text->at;

    for (*value = 0; gb_ascii_is_digit(peek(text)); text->at++) {
        uint64_t digit = (uint64_t)(peek(text) - '0');

        if (*value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *value = *value * 10 + digit;
    }
    return text->at > start && (*start != '0' || text->at - start == 1);
}

bool gb_commit_read_token(const char *text, size_t bytes, uint64_t *epoch,
                          uint64_t *seq)
{
    text_t left = {text, text + bytes};
    uint64_t first, second;

    if (!take_uint64(&left, &first) || !take(&left, '.') ||
        !take_uint64(&left, &second) || left.at < left.end) {
        return false;
    }
    *epoch = first;
    *seq = second;
    return true;
}
