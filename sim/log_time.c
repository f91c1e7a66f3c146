/* SPDX-License-Identifier: Apache-2.0
 *
 * log_time.c - the times of an access log; see log_time.h.
 *
 * strptime() looks at the locale, knows no end of a text, and takes longer than all the
 * rest of a line.
 */
#include "log_time.h"

#include "../core/gb_ascii.h"

#include <string.h>

/* What strftime() has no letter for. */
enum { PART_LITERAL = 1, PART_EPOCH_MS, PART_EPOCH_US, PART_MS, PART_US };

#define PLAIN       "[%d/%b/%Y:%H:%M:%S %z]"
#define PLAIN_BYTES 28 /* [22/Nov/2026:08:30:20 +0100] */
#define DAY_S       86400

/* ------------------------------------------------------------------------ compiling */

/* Conversions that stand for others. */
static const char *composite(char conversion)
{
    switch (conversion) {
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    default:
        return NULL;
    }
}

static uint32_t tells(char conversion)
{
    switch (conversion) {
    case 'Y':
    case 'y':
        return GS_TELLS_YEAR;
    case 'm':
    case 'b':
        return GS_TELLS_MONTH;
    case 'B':
        return GS_TELLS_MONTH;
    case 'd':
    case 'e':
        return GS_TELLS_DAY;
    case 'j':
        return GS_TELLS_YEAR_DAY;
    case 'H':
    case 'k':
        return GS_TELLS_HOUR;
    case 'I':
    case 'l':
        return GS_TELLS_HOUR_12;
    case 'p':
        return GS_TELLS_HALF;
    case 'M':
        return GS_TELLS_MINUTE;
    case 'S':
        return GS_TELLS_SECOND;
    case 'z':
        return GS_TELLS_ZONE;
    case 's':
    case PART_EPOCH_MS:
    case PART_EPOCH_US:
        return GS_TELLS_EPOCH;
    default:
        return 0;
    }
}

static bool add_part(gs_log_time_t *time, char what, char literal, gs_error_t *error)
{
    if (time->count == GS_LOG_PARTS) {
        return gs_fail(error, "--log-format: a time has more than %d parts",
                       GS_LOG_PARTS);
    }
    time->parts[time->count].what = what;
    time->parts[time->count].literal = literal;
    time->count++;
    time->tells |= tells(what);
    return true;
}

static bool compile_text(gs_log_time_t *time, const char *text, gs_error_t *error);

static bool compile_conversion(gs_log_time_t *time, char conversion, gs_error_t *error)
{
    const char *same = composite(conversion);

    if (same) {
        return compile_text(time, same, error);
    }
    switch (conversion) {
    case '%':
        return add_part(time, PART_LITERAL, '%', error);
    case 'n':
        return add_part(time, PART_LITERAL, '\n', error);
    case 't':
        return add_part(time, PART_LITERAL, '\t', error);
    case 'h':
        return add_part(time, 'b', 0, error);
    case '\0':
        return gs_fail(error, "--log-format: a time ends with %%");
    default:
        if (!strchr("aAbBdeHIjklmMpsSuwyYzZ", conversion)) {
            return gs_fail(
                error,
                "--log-format: %%%c in a time is not known here; known are %%a "
                "%%A %%b %%B %%c %%d %%D %%e %%F %%h %%H %%I %%j %%k %%l "
                "%%m %%M %%n %%p %%r %%R %%s %%S %%t %%T %%u %%w %%x %%X "
                "%%y %%Y %%z %%Z %%%%, and alone sec, msec, usec, "
                "msec_frac, usec_frac",
                conversion > ' ' && conversion <= '~' ? conversion : '?');
        }
        return add_part(time, conversion, 0, error);
    }
}

static bool compile_text(gs_log_time_t *time, const char *text, gs_error_t *error)
{
    for (; *text; text++) {
        bool done = *text == '%' ? compile_conversion(time, *++text, error)
                                 : add_part(time, PART_LITERAL, *text, error);

        if (!done) {
            return false;
        }
    }
    return true;
}

/* "begin", "begin:REST", "end", "end:REST": httpd takes them off in this way. */
static const char *skip_prefix(const char *format, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(format, prefix, length) != 0) {
        return NULL;
    }
    format += length;
    return *format == '\0' ? format : *format == ':' ? format + 1 : NULL;
}

bool gs_log_time_compile(gs_log_time_t *time, const char *format, gs_error_t *error)
{
    static const struct {
        const char *name;
        char what;
    } alone[] = {{"sec", 's'},
                 {"msec", PART_EPOCH_MS},
                 {"usec", PART_EPOCH_US},
                 {"msec_frac", PART_MS},
                 {"usec_frac", PART_US}};
    const char *rest;

    memset(time, 0, sizeof *time);
    rest = skip_prefix(format, "begin");
    if (!rest) {
        rest = skip_prefix(format, "end");
        time->is_end = rest != NULL;
    }
    format = rest ? rest : format;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        if (strcmp(format, alone[i].name) == 0) {
            return add_part(time, alone[i].what, 0, error);
        }
    }
    time->is_plain = *format == '\0' || strcmp(format, PLAIN) == 0;
    return compile_text(time, time->is_plain ? PLAIN : format, error);
}

bool gs_log_time_suffices(uint32_t told, const char **missing)
{
    bool has_day = (told & GS_TELLS_YEAR_DAY) ||
                   ((told & GS_TELLS_MONTH) && (told & GS_TELLS_DAY));
    bool has_hour =
        (told & GS_TELLS_HOUR) || ((told & GS_TELLS_HOUR_12) && (told & GS_TELLS_HALF));

    *missing = NULL;
    if (told & GS_TELLS_EPOCH) {
        return true;
    }
    *missing = !(told & GS_TELLS_YEAR)     ? "the year"
               : !has_day                  ? "the day"
               : !has_hour                 ? "the hour"
               : !(told & GS_TELLS_MINUTE) ? "the minute"
               : !(told & GS_TELLS_SECOND) ? "the second"
                                           : NULL;
    return *missing == NULL;
}

/* ------------------------------------------------------------------------- calendar */

/* Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's days_from_civil).
 */
static int64_t days_since_1970(int32_t year, int32_t month, int32_t day)
{
    int32_t y = month <= 2 ? year - 1 : year;
    int32_t era = y / 400, of_era = y % 400;
    int32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

static bool is_leap(int32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool is_day(int32_t year, int32_t month, int32_t day)
{
    static const int32_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return year >= 1970 && year <= 2999 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

bool gs_log_moment_at(const gs_log_moment_t *moment, int64_t *at_us)
{
    const gs_log_moment_t *m = moment;
    int32_t month = m->month, day = m->day, hour = m->hour;
    int64_t days, at_s = m->epoch_s;

    if (!(m->told & GS_TELLS_EPOCH)) {
        if (m->told & GS_TELLS_YEAR_DAY) {
            month = 1;
            day = 1;
        }
        if (!is_day(m->year, month, day)) {
            return false;
        }
        days = days_since_1970(m->year, month, day);
        if (m->told & GS_TELLS_YEAR_DAY) {
            if (m->year_day > (is_leap(m->year) ? 366 : 365)) {
                return false;
            }
            days += m->year_day - 1;
        }
        if (!(m->told & GS_TELLS_HOUR)) {
            hour = m->hour % 12 + (m->is_pm ? 12 : 0);
        }
        at_s = days * DAY_S + hour * 3600 + m->minute * 60 + m->second - m->zone_s;
    }
    *at_us = at_s * 1000000 + m->us;
    return at_s >= 0;
}

/* -------------------------------------------------------------------------- reading */

/* Exactly `digits` digits with a value within least..most. */
static const char *read_fixed(const char *at, const char *end, int digits,
                              int32_t least, int32_t most, int32_t *value)
{
    int32_t sum = 0;

    if (end - at < digits) {
        return NULL;
    }
    for (int i = 0; i < digits; i++) {
        if (!gb_ascii_is_digit(at[i])) {
            return NULL;
        }
        sum = sum * 10 + (at[i] - '0');
    }
    if (sum < least || sum > most) {
        return NULL;
    }
    *value = sum;
    return at + digits;
}

/* The same, where a blank stands for a leading zero. */
static const char *read_blank(const char *at, const char *end, int32_t least,
                              int32_t most, int32_t *value)
{
    if (at < end && *at == ' ') {
        return read_fixed(at + 1, end, 1, least, most, value);
    }
    return read_fixed(at, end, 2, least, most, value);
}

static bool starts_with(const char *at, const char *end, const char *lower)
{
    for (; *lower; at++, lower++) {
        if (at == end || gb_ascii_lower(*at) != *lower) {
            return false;
        }
    }
    return true;
}

static const char *const months[] = {"january",   "february", "march",    "april",
                                     "may",       "june",     "july",     "august",
                                     "september", "october",  "november", "december"};

static const char *read_month(const char *at, const char *end, bool is_short,
                              int32_t *month)
{
    for (int32_t i = 0; i < 12; i++) {
        char abbreviation[4] = {months[i][0], months[i][1], months[i][2], '\0'};
        const char *name = is_short ? abbreviation : months[i];

        if (starts_with(at, end, name)) {
            *month = i + 1;
            return at + strlen(name);
        }
    }
    return NULL;
}

/* "+0100"; strftime() writes "+0000" for what it does not know. */
static const char *read_zone(const char *at, const char *end, int32_t *zone_s)
{
    int32_t hours, minutes;
    bool is_west;

    if (end - at < 5 || (*at != '+' && *at != '-')) {
        return NULL;
    }
    is_west = *at == '-';
    if (!read_fixed(at + 1, end, 2, 0, 18, &hours) ||
        !read_fixed(at + 3, end, 2, 0, 59, &minutes)) {
        return NULL;
    }
    *zone_s = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return at + 5;
}

/* Seconds, milli- or microseconds since 1970, up to the year 2999. */
static const char *read_epoch(const char *at, const char *end, char what,
                              gs_log_moment_t *moment)
{
    const int64_t unit = what == PART_EPOCH_US   ? 1000000
                         : what == PART_EPOCH_MS ? 1000
                                                 : 1;
    const char *first = at;
    int64_t value = 0;

    for (; at < end && gb_ascii_is_digit(*at) && at - first < 17; at++) {
        value = value * 10 + (*at - '0');
    }
    if (at == first || value / unit > INT64_C(32503679999)) {
        return NULL;
    }
    moment->epoch_s = value / unit;
    if (unit > 1) {
        moment->us = (int32_t)(value % unit * (1000000 / unit));
    }
    return at;
}

static const char *skip_name(const char *at, const char *end, const char *more)
{
    const char *first = at;

    while (at < end && ((gb_ascii_lower(*at) >= 'a' && gb_ascii_lower(*at) <= 'z') ||
                        (*at && strchr(more, *at)))) {
        at++;
    }
    return at == first ? NULL : at;
}

static const char *read_clock(char what, const char *at, const char *end,
                              gs_log_moment_t *m)
{
    switch (what) {
    case 'H':
        return read_fixed(at, end, 2, 0, 23, &m->hour);
    case 'k':
        return read_blank(at, end, 0, 23, &m->hour);
    case 'I':
        return read_fixed(at, end, 2, 1, 12, &m->hour);
    case 'l':
        return read_blank(at, end, 1, 12, &m->hour);
    case 'M':
        return read_fixed(at, end, 2, 0, 59, &m->minute);
    case 'S':
        return read_fixed(at, end, 2, 0, 60, &m->second); /* 60: a leap second */
    case PART_MS:
        at = read_fixed(at, end, 3, 0, 999, &m->us);
        m->us *= at ? 1000 : 1;
        return at;
    case PART_US:
        return read_fixed(at, end, 6, 0, 999999, &m->us);
    case 'p':
        m->is_pm = starts_with(at, end, "pm");
        return m->is_pm || starts_with(at, end, "am") ? at + 2 : NULL;
    case 'z':
        return read_zone(at, end, &m->zone_s);
    case 'Z':
        return skip_name(at, end, "+-0123456789");
    default:
        return read_epoch(at, end, what, m);
    }
}

static const char *read_part(gs_log_part_t part, const char *at, const char *end,
                             gs_log_moment_t *m)
{
    int32_t number;

    switch (part.what) {
    case PART_LITERAL:
        return at < end && *at == part.literal ? at + 1 : NULL;
    case 'Y':
        return read_fixed(at, end, 4, 1970, 2999, &m->year);
    case 'y':
        at = read_fixed(at, end, 2, 0, 99, &number);
        if (at) {
            m->year = number + (number < 69 ? 2000 : 1900);
        }
        return at;
    case 'm':
        return read_fixed(at, end, 2, 1, 12, &m->month);
    case 'b':
    case 'B':
        return read_month(at, end, part.what == 'b', &m->month);
    case 'd':
        return read_fixed(at, end, 2, 1, 31, &m->day);
    case 'e':
        return read_blank(at, end, 1, 31, &m->day);
    case 'j':
        return read_fixed(at, end, 3, 1, 366, &m->year_day);
    case 'a':
    case 'A':
        return skip_name(at, end, "");
    case 'u':
    case 'w':
        return read_fixed(at, end, 1, 0, 7, &number);
    default:
        return read_clock(part.what, at, end, m);
    }
}

static const char *read_parts(const gs_log_time_t *time, const char *at,
                              const char *end, gs_log_moment_t *moment)
{
    for (uint32_t i = 0; i < time->count && at; i++) {
        at = read_part(time->parts[i], at, end, moment);
    }
    if (at) {
        moment->told |= time->tells;
    }
    return at;
}

/* Two digits that are less than `most`, or something above it. */
static inline uint32_t two_digits(const char *at, uint32_t most)
{
    uint32_t tens = (uint32_t)(unsigned char)at[0] - '0';
    uint32_t ones = (uint32_t)(unsigned char)at[1] - '0';

    return tens > 9 || ones > 9 ? most + 1 : tens * 10 + ones;
}

/* %t of a day and a zone that were there before: the most lines of a log. */
static const char *read_known_day(const gs_log_day_t *day, const char *at,
                                  const char *end, gs_log_moment_t *moment)
{
    uint32_t hour, minute, second;

    if (end - at < PLAIN_BYTES || !day->is_known || at[0] != '[' ||
        memcmp(at + 1, day->text, sizeof day->text) != 0 ||
        memcmp(at + 22, day->zone, sizeof day->zone) != 0 || at[12] != ':' ||
        at[15] != ':' || at[18] != ':' || at[21] != ' ' || at[27] != ']') {
        return NULL;
    }
    hour = two_digits(at + 13, 23);
    minute = two_digits(at + 16, 59);
    second = two_digits(at + 19, 60);
    if (hour > 23 || minute > 59 || second > 60) {
        return NULL;
    }
    moment->epoch_s = day->midnight_s + hour * 3600 + minute * 60 + second;
    moment->zone_s = day->zone_s;
    moment->told |= GS_TELLS_EPOCH | GS_TELLS_ZONE;
    return at + PLAIN_BYTES;
}

const char *gs_log_time_read(const gs_log_time_t *time, gs_log_day_t *day,
                             const char *at, const char *end, gs_log_moment_t *moment)
{
    const char *rest;

    if (!time->is_plain) {
        return read_parts(time, at, end, moment);
    }
    rest = read_known_day(day, at, end, moment);
    if (rest) {
        return rest;
    }
    rest = read_parts(time, at, end, moment);
    if (rest && is_day(moment->year, moment->month, moment->day)) {
        memcpy(day->text, at + 1, sizeof day->text);
        memcpy(day->zone, at + 22, sizeof day->zone);
        day->zone_s = moment->zone_s;
        day->midnight_s =
            days_since_1970(moment->year, moment->month, moment->day) * DAY_S -
            moment->zone_s;
        day->is_known = true;
    }
    return rest;
}
