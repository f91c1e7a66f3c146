/* SPDX-License-Identifier: Apache-2.0
 *
 * log_format.c - httpd's LogFormat strings and their lines; see log_format.h.
 *
 * The grammar is that of mod_log_config: % modifiers letter, where modifiers are <, >,
 * !, status codes with commas, and {argument}, in any order; three-character directives
 * begin with ^.  httpd writes a quotation mark within a value as \", so one that stands
 * alone ends the value; a blank may well be part of one (%U, %u), which is why the end
 * of such a value is tried until the rest of the line fits.
 */
#include "log_format.h"

#include "../core/gb_ascii.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MOST 500 /* ends of values that are tried in one line */

/* ------------------------------------------------------------------------ compiling */

static const struct {
    const char *name, *format;
} known_formats[] = {
    {"common", "%h %l %u %t \"%r\" %>s %b"},
    {"combined", "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""},
    {"vhost_combined",
     "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""},
    {"combinedio",
     "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %I %O"},
};

static const char *known_format(const char *name)
{
    for (size_t i = 0; i < sizeof known_formats / sizeof known_formats[0]; i++) {
        if (strcmp(known_formats[i].name, name) == 0) {
            return known_formats[i].format;
        }
    }
    return NULL;
}

/* Copies a word of httpd's configuration: in quotation marks, where \" and \\ stand for
 * themselves.  False when it has no end or is too long. */
static bool copy_word(const char *text, char *word)
{
    size_t length = 0;

    for (text++; *text && *text != '"'; text++) {
        if (*text == '\\' && (text[1] == '"' || text[1] == '\\')) {
            text++;
        }
        if (length == GS_LOG_FORMAT_BYTES - 1) {
            return false;
        }
        word[length++] = *text;
    }
    word[length] = '\0';
    return *text == '"';
}

/* Is the string one word in quotation marks, with none but escaped ones inside? */
static bool is_quoted_word(const char *text)
{
    if (*text != '"') {
        return false;
    }
    for (text++; *text && *text != '"'; text++) {
        if (*text == '\\' && text[1]) {
            text++;
        }
    }
    return *text == '"' && text[1] == '\0';
}

/* The string that httpd would see, whichever way it was copied from its configuration.
 */
static bool unwrap(const char *text, char *source, gs_error_t *error)
{
    static const char directive[] = "logformat";
    size_t i = 0, length = 0;

    while (i < sizeof directive - 1 && gb_ascii_lower(text[i]) == directive[i]) {
        i++;
    }
    if (i == sizeof directive - 1 && (text[i] == ' ' || text[i] == '\t')) {
        text += i + strspn(text + i, " \t");
        if (*text != '"' || !copy_word(text, source)) {
            return gs_fail(error,
                           "--log-format: after LogFormat a string in quotation "
                           "marks is expected, of at most %d characters",
                           GS_LOG_FORMAT_BYTES - 1);
        }
        return true;
    }
    if (is_quoted_word(text)) {
        return copy_word(text, source) ||
               gs_fail(error, "--log-format: longer than %d characters",
                       GS_LOG_FORMAT_BYTES - 1);
    }
    for (; *text; text++) {
        if (*text == '\\' && text[1] == '"') {
            text++;
        }
        if (length == GS_LOG_FORMAT_BYTES - 1) {
            return gs_fail(error, "--log-format: longer than %d characters",
                           GS_LOG_FORMAT_BYTES - 1);
        }
        source[length++] = *text;
    }
    source[length] = '\0';
    return true;
}

/* Takes the text up to the next directive into the literals. */
static const char *take_literal(gs_log_format_t *format, const char *at)
{
    static const char escapes[] = "\\rnt", meant[] = "\\\r\n\t";

    while (*at && *at != '%') {
        char c = *at++;
        const char *escape = c == '\\' && *at ? strchr(escapes, *at) : NULL;

        if (escape) {
            c = meant[escape - escapes];
            at++;
        }
        format->literals[format->literal_bytes++] = c;
    }
    return at;
}

/* %% is a literal too. */
static const char *take_literals(gs_log_format_t *format, const char *at)
{
    at = take_literal(format, at);
    while (at[0] == '%' && at[1] == '%') {
        format->literals[format->literal_bytes++] = '%';
        at = take_literal(format, at + 2);
    }
    return at;
}

static int64_t unit_of(const char *argument)
{
    return strcmp(argument, "us") == 0   ? 1
           : strcmp(argument, "ms") == 0 ? 1000
           : strcmp(argument, "s") == 0  ? 1000000
           : *argument == '\0'           ? 1000000
                                         : 0;
}

static bool set_time(gs_log_format_t *format, gs_log_item_t *item, const char *argument,
                     gs_error_t *error)
{
    if (format->times == GS_LOG_TIMES) {
        return gs_fail(error, "--log-format has more than %d directives of time",
                       GS_LOG_TIMES);
    }
    item->kind = GS_LOG_TIME;
    item->time = format->times++;
    return gs_log_time_compile(&format->time[item->time], argument, error);
}

/* What a directive's letter means here. */
static bool set_kind(gs_log_format_t *format, gs_log_item_t *item, char letter,
                     const char *argument, gs_error_t *error)
{
    switch (letter) {
    case 't':
        return set_time(format, item, argument, error);
    case 'D':
        item->kind = GS_LOG_TOOK;
        item->unit_us = 1;
        return true;
    case 'T':
        item->kind = GS_LOG_TOOK;
        item->unit_us = unit_of(argument);
        return item->unit_us != 0 ||
               gs_fail(error, "--log-format: %%{...}T takes s, ms or us");
    case 'b':
    case 'B':
    case 'I':
    case 'k':
    case 'O':
    case 's':
    case 'S':
        item->kind = GS_LOG_NUMBER;
        return true;
    default:
        return true; /* modules may add letters of their own */
    }
}

static bool is_letter(char c)
{
    return gb_ascii_lower(c) >= 'a' && gb_ascii_lower(c) <= 'z';
}

/* Reads modifiers; returns where the letter is.  `argument` is what braces hold. */
static const char *read_modifiers(const char *at, gs_log_item_t *item,
                                  char argument[GS_LOG_FORMAT_BYTES])
{
    argument[0] = '\0';
    for (;; at++) {
        if (*at == '{') {
            size_t length = strcspn(at + 1, "}");

            memcpy(argument, at + 1, length);
            argument[length] = '\0';
            at += length + (at[1 + length] == '}');
        }
        else if (gb_ascii_is_digit(*at)) {
            item->may_be_left_out = true;
        }
        else if (*at == '\0' || !strchr("!<>,", *at)) {
            return at;
        }
    }
}

/* Reads the directive at `at` and the literal behind it. */
static const char *read_item(gs_log_format_t *format, const char *at, gs_error_t *error)
{
    char argument[GS_LOG_FORMAT_BYTES];
    const char *begin = at;
    gs_log_item_t *item;

    if (format->count == GS_LOG_ITEMS) {
        gs_fail(error, "--log-format has more than %d directives", GS_LOG_ITEMS);
        return NULL;
    }
    item = &format->items[format->count++];
    at = read_modifiers(at + 1, item, argument);
    if (at[0] == '^' && at[1] && at[2]) {
        at += 3; /* trailers, times of mod_logio: not needed */
    }
    else if (is_letter(*at)) {
        if (!set_kind(format, item, *at, argument, error)) {
            return NULL;
        }
        at++;
    }
    else {
        gs_fail(error,
                "--log-format: the directive that begins at character %u (%.20s) "
                "has no letter",
                (unsigned)(begin - format->source) + 1, begin);
        return NULL;
    }
    item->name_begin = (uint32_t)(begin - format->source);
    item->name_bytes = (uint32_t)(at - begin);
    item->literal_begin = format->literal_bytes;
    at = take_literals(format, at);
    item->literal_bytes = format->literal_bytes - item->literal_begin;
    return at;
}

/* A text that something else follows at once has no end that could be found. */
static bool check_ends(const gs_log_format_t *format, gs_error_t *error)
{
    for (uint32_t i = 0; i + 1 < format->count; i++) {
        const gs_log_item_t *item = &format->items[i];

        if (item->literal_bytes == 0 && item->kind != GS_LOG_TIME) {
            return gs_fail(error,
                           "--log-format: between %.*s and the next directive there is "
                           "nothing that tells where one ends",
                           (int)item->name_bytes, format->source + item->name_begin);
        }
    }
    return true;
}

/* Which of the times and of the times of service are used. */
static bool choose(gs_log_format_t *format, gs_error_t *error)
{
    uint32_t begin = 0, end = 0;
    const char *missing, *missing_end;

    format->took_item = GS_LOG_ITEMS;
    for (uint32_t i = 0; i < format->count; i++) {
        const gs_log_item_t *item = &format->items[i];

        if (item->kind == GS_LOG_TIME && !item->may_be_left_out) {
            *(format->time[item->time].is_end ? &end : &begin) |=
                format->time[item->time].tells;
        }
        if (item->kind == GS_LOG_TOOK &&
            (format->took_item == GS_LOG_ITEMS ||
             item->unit_us < format->items[format->took_item].unit_us)) {
            format->took_item = i;
        }
    }
    if (!gs_log_time_suffices(begin, &missing)) {
        format->is_end = gs_log_time_suffices(end, &missing_end);
        if (!format->is_end) {
            return gs_fail(
                error,
                "--log-format does not tell %s of a request; it needs %%t, or "
                "%%{...}t with all of a date and a time",
                begin ? missing : "the time");
        }
    }
    format->has_zone = ((format->is_end ? end : begin) & GS_TELLS_ZONE) != 0;
    return true;
}

bool gs_log_format_read(gs_log_format_t *format, const char *text, gs_error_t *error)
{
    const char *known = known_format(text);
    const char *at;

    memset(format, 0, sizeof *format);
    if (known) {
        snprintf(format->name, sizeof format->name, "%s", text);
    }
    else if (!strchr(text, '%')) {
        return gs_fail(error,
                       "--log-format \"%.60s\" has no directive; allowed are the "
                       "string of a LogFormat, and the names common, combined, "
                       "vhost_combined, combinedio",
                       text);
    }
    if (!unwrap(known ? known : text, format->source, error)) {
        return false;
    }
    at = take_literals(format, format->source);
    format->first_bytes = format->literal_bytes;
    while (*at) {
        at = read_item(format, at, error);
        if (!at) {
            return false;
        }
    }
    return check_ends(format, error) && choose(format, error);
}

/* ------------------------------------------------------------------------- matching */

typedef struct match_t {
    gs_log_format_t *format;
    const char *line, *end;
    gs_log_moment_t moments[2]; /* of the arrival, of the end */
    int64_t took_us;
    uint32_t tries;
    uint32_t reached; /* 1 + how far a way came; 0: none was tried */
    gs_log_miss_t miss;
} match_t;

/* Of all the ways that were tried, the first that came as far as any is reported. */
static bool fail_at(match_t *match, const char *at, uint32_t item, bool is_literal)
{
    uint32_t reached = 2 * item + is_literal;

    if (reached >= match->reached) {
        match->reached = reached + 1;
        match->miss = (gs_log_miss_t){
            .at = (size_t)(at - match->line), .item = item, .is_literal = is_literal};
    }
    return false;
}

/* "-", or digits, which a clock that was set back may have given a sign. */
static const char *read_number(const char *at, const char *end, int64_t *value)
{
    const char *first = at;
    bool is_negative = at < end && *at == '-';
    int64_t sum = 0;

    at += is_negative;
    for (; at < end && gb_ascii_is_digit(*at); at++) {
        sum = sum > INT64_MAX / 100 ? sum : sum * 10 + (*at - '0');
    }
    *value = is_negative ? -1 : sum;
    return at == first ? NULL : at;
}

/* Reads an item that ends by itself. */
static const char *read_value(match_t *match, uint32_t index, const char *at)
{
    const gs_log_item_t *item = &match->format->items[index];
    int64_t value;

    if (item->kind == GS_LOG_TIME) {
        const gs_log_time_t *time = &match->format->time[item->time];

        if (item->may_be_left_out && at < match->end && *at == '-') {
            return at + 1;
        }
        return gs_log_time_read(time, &match->format->day, at, match->end,
                                &match->moments[time->is_end]);
    }
    at = read_number(at, match->end, &value);
    if (at && index == match->format->took_item) {
        match->took_us = value < 0 || value > INT64_MAX / 2 / item->unit_us
                             ? -1
                             : value * item->unit_us;
    }
    return at;
}

/* The next place at or after `at` where a literal stands that ends a value which began
 * at `begin`: a quotation mark behind an odd number of backslashes does not. */
static const char *find_literal(const match_t *match, const char *begin, const char *at,
                                const char *literal, size_t bytes)
{
    for (; (size_t)(match->end - at) >= bytes; at++) {
        const char *slash;

        at = memchr(at, *literal, (size_t)(match->end - at) - bytes + 1);
        if (!at) {
            return NULL;
        }
        if (bytes > 1 && memcmp(at, literal, bytes) != 0) {
            continue;
        }
        slash = at;
        while (*literal == '"' && slash > begin && slash[-1] == '\\') {
            slash--;
        }
        if ((at - slash) % 2 == 0) {
            return at;
        }
    }
    return NULL;
}

static bool match_items(match_t *match, uint32_t index, const char *at);

/* A value without an end of its own: every place where its literal stands is tried. */
static bool match_text(match_t *match, uint32_t index, const char *at)
{
    const gs_log_item_t *item = &match->format->items[index];
    const char *literal = match->format->literals + item->literal_begin;
    const char *begin = at;

    if (item->literal_bytes == 0) {
        return true; /* the last one: all the rest */
    }
    while (match->tries < TRIES_MOST) {
        match->tries++;
        at = find_literal(match, begin, at, literal, item->literal_bytes);
        if (!at) {
            return fail_at(match, begin, index, true);
        }
        if (match_items(match, index + 1, at + item->literal_bytes)) {
            return true;
        }
        at++;
    }
    return false;
}

/* Do the items from `index` on make up the rest of the line? */
static bool match_items(match_t *match, uint32_t index, const char *at)
{
    const gs_log_format_t *format = match->format;

    for (; index < format->count; index++) {
        const gs_log_item_t *item = &format->items[index];
        const char *rest;

        if (item->kind == GS_LOG_TEXT) {
            return match_text(match, index, at);
        }
        rest = read_value(match, index, at);
        if (!rest) {
            return fail_at(match, at, index, false);
        }
        at = rest;
        if ((size_t)(match->end - at) < item->literal_bytes ||
            memcmp(at, format->literals + item->literal_begin, item->literal_bytes) !=
                0) {
            return fail_at(match, at, index, true);
        }
        at += item->literal_bytes;
    }
    return at == match->end || fail_at(match, at, format->count, false);
}

/* When the request came. False when that is no instant since 1970: a time of service is
 * whatever the line says, and carries the end back by that. */
static bool arrival_at(const match_t *match, const gs_log_moment_t *moment,
                       int64_t *at_us)
{
    if (!gs_log_moment_at(moment, at_us)) {
        return false;
    }
    if (match->format->is_end && match->took_us > 0) {
        *at_us -= match->took_us;
    }
    return *at_us >= 0;
}

bool gs_log_format_match(gs_log_format_t *format, const char *line, size_t bytes,
                         gs_log_entry_t *entry, gs_log_miss_t *miss)
{
    match_t match = {
        .format = format, .line = line, .end = line + bytes, .took_us = -1};
    const gs_log_moment_t *moment = &match.moments[format->is_end];
    bool fits = bytes >= format->first_bytes &&
                memcmp(line, format->literals, format->first_bytes) == 0;

    if (fits) {
        fits = match_items(&match, 0, line + format->first_bytes);
    }
    else {
        match.miss.is_literal = true;
        match.miss.item = format->count;
    }
    if (fits && !arrival_at(&match, moment, &entry->at_us)) {
        match.miss.is_date = true;
        fits = false;
    }
    if (!fits) {
        *miss = match.miss;
        return false;
    }
    entry->zone_s = moment->told & GS_TELLS_ZONE ? moment->zone_s : 0;
    entry->took_us = match.took_us;
    return true;
}

/* --------------------------------------------------------------------- explanations */

static const char *example(const gs_log_format_t *format, const gs_log_item_t *item)
{
    return item->kind != GS_LOG_TIME ? "a number"
           : format->time[item->time].is_plain
               ? "a time like [22/Nov/2026:08:30:20 +0100]"
               : "a time of that form";
}

void gs_log_miss_text(const gs_log_format_t *format, const gs_log_miss_t *miss,
                      char *text, size_t bytes)
{
    unsigned column = (unsigned)miss->at + 1;

    if (miss->is_date) {
        snprintf(text, bytes, "there is no such day since 1970");
    }
    else if (miss->is_literal && miss->item == format->count) {
        snprintf(text, bytes, "expected \"%.*s\" at its beginning",
                 (int)format->first_bytes, format->literals);
    }
    else if (miss->item == format->count) {
        snprintf(text, bytes, "expected its end at character %u", column);
    }
    else {
        const gs_log_item_t *item = &format->items[miss->item];
        int name_bytes = (int)item->name_bytes;
        const char *name = format->source + item->name_begin;

        if (!miss->is_literal) {
            snprintf(text, bytes, "expected %s for %.*s at character %u",
                     example(format, item), name_bytes, name, column);
        }
        else if (item->kind == GS_LOG_TEXT) {
            snprintf(text, bytes, "expected %.*s from character %u on, and then '%.*s'",
                     name_bytes, name, column, (int)item->literal_bytes,
                     format->literals + item->literal_begin);
        }
        else {
            snprintf(text, bytes, "expected '%.*s' after %.*s at character %u",
                     (int)item->literal_bytes, format->literals + item->literal_begin,
                     name_bytes, name, column);
        }
    }
}
