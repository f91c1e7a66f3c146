/* SPDX-License-Identifier: Apache-2.0
 *
 * log_time.h - the times that httpd writes to its access log: %t and %{FORMAT}t.
 *
 * A directive is compiled once and then read from every line.  Several directives of a
 * line may each tell a part of the time ("%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t"). Names
 * of days and months are English, as httpd writes them.  One thread; no allocation.
 */
#ifndef GREENSIM_LOG_TIME_H
#define GREENSIM_LOG_TIME_H

#include "greensim.h"

#define GS_LOG_PARTS 64 /* of a directive: conversions and characters between them */

typedef struct gs_log_part_t {
    char what;    /* a conversion of strftime(), or one of enum in log_time.c */
    char literal; /* of a character that is written as it stands */
} gs_log_part_t;

/* One directive. */
typedef struct gs_log_time_t {
    gs_log_part_t parts[GS_LOG_PARTS];
    uint32_t count;
    uint32_t tells; /* GS_TELLS_* */
    bool is_plain;  /* %t: [22/Nov/2026:08:30:20 +0100] */
    bool is_end;    /* %{end:...}t: when the answer was complete, not the arrival */
} gs_log_time_t;

enum {
    GS_TELLS_YEAR = 1,
    GS_TELLS_MONTH = 2,
    GS_TELLS_DAY = 4,
    GS_TELLS_YEAR_DAY = 8,
    GS_TELLS_HOUR = 16,
    GS_TELLS_HOUR_12 = 32,
    GS_TELLS_HALF = 64, /* AM or PM */
    GS_TELLS_MINUTE = 128,
    GS_TELLS_SECOND = 256,
    GS_TELLS_ZONE = 512,
    GS_TELLS_EPOCH = 1024
};

/* The latest day that was read, so that the next line of it costs no calendar. */
typedef struct gs_log_day_t {
    char text[11]; /* 22/Nov/2026 */
    char zone[5];  /* +0100 */
    bool is_known;
    int32_t zone_s;
    int64_t midnight_s; /* Unix time */
} gs_log_day_t;

/* What the directives of a line told so far. */
typedef struct gs_log_moment_t {
    int32_t year, month, day, year_day, hour, minute, second, zone_s, us;
    bool is_pm;
    int64_t epoch_s;
    uint32_t told; /* GS_TELLS_* */
} gs_log_moment_t;

/* Compiles what stands between the braces of %{...}t; "" is %t.  False, with the
 * reason, for a conversion that is not known. */
bool gs_log_time_compile(gs_log_time_t *time, const char *format, gs_error_t *error);

/* Do these tell a second of a day?  If not, `missing` is what is wanted. */
bool gs_log_time_suffices(uint32_t tells, const char **missing);

/* Reads the directive's text at `at`, before `end`.  Returns what follows it, or NULL
 * when it is no such text.  `day` is a cache, zeroed at first. */
const char *gs_log_time_read(const gs_log_time_t *time, gs_log_day_t *day,
                             const char *at, const char *end, gs_log_moment_t *moment);

/* Unix time in microseconds, 1970 to 2999.  Without a zone the clock is taken for UTC.
 * False when there is no such day since 1970. */
bool gs_log_moment_at(const gs_log_moment_t *moment, int64_t *at_us);

#endif /* GREENSIM_LOG_TIME_H */
