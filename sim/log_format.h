/* SPDX-License-Identifier: Apache-2.0
 *
 * log_format.h - httpd's LogFormat strings, and the lines that were written by them.
 *
 * Only what tells the time of arrival and the time of service is kept; the rest is
 * found out just as far as it takes to know where the next value begins.  One thread;
 * no allocation.
 */
#ifndef GREENSIM_LOG_FORMAT_H
#define GREENSIM_LOG_FORMAT_H

#include "log_time.h"

#define GS_LOG_ITEMS        64
#define GS_LOG_TIMES        8    /* directives of time in a format */
#define GS_LOG_FORMAT_BYTES 2048 /* of the string, without escapes */

typedef enum gs_log_item_e {
    GS_LOG_TEXT = 0, /* up to where the rest fits */
    GS_LOG_NUMBER,   /* digits, or - */
    GS_LOG_TIME,
    GS_LOG_TOOK /* a number that is the time of service */
} gs_log_item_e;

/* A directive and what stands behind it up to the next. */
typedef struct gs_log_item_t {
    gs_log_item_e kind;
    bool may_be_left_out;            /* %!200{...}i: then httpd writes - */
    uint32_t time;                   /* GS_LOG_TIME: which of the times */
    int64_t unit_us;                 /* GS_LOG_TOOK */
    uint32_t name_begin, name_bytes; /* the directive in `source` */
    uint32_t literal_begin, literal_bytes;
} gs_log_item_t;

typedef struct gs_log_format_t {
    char name[32];                    /* "combined"; "" when it has none */
    char source[GS_LOG_FORMAT_BYTES]; /* as it was given */
    char literals[GS_LOG_FORMAT_BYTES];
    uint32_t literal_bytes;
    uint32_t first_bytes; /* of the text before the first directive */
    uint32_t count;
    gs_log_item_t items[GS_LOG_ITEMS];
    uint32_t times;
    gs_log_time_t time[GS_LOG_TIMES];
    uint32_t took_item; /* the item that is used, or GS_LOG_ITEMS: none */
    bool is_end;        /* no arrival is written, but when the answer was complete */
    bool has_zone;
    gs_log_day_t day;
} gs_log_format_t;

/* What a line tells. */
typedef struct gs_log_entry_t {
    int64_t at_us;   /* Unix time of the arrival */
    int32_t zone_s;  /* local time is so much later than UTC */
    int64_t took_us; /* negative: not known */
} gs_log_entry_t;

/* Where a line stopped to fit, in the way that came furthest. */
typedef struct gs_log_miss_t {
    size_t at;     /* offset in the line */
    uint32_t item; /* what was expected: an item, or its literal, or the end */
    bool is_literal;
    bool is_date; /* it fits, but there is no such day */
} gs_log_miss_t;

/* Compiles a format: the string as in httpd.conf, with or without its \" escapes; the
 * whole line `LogFormat "..." name`; or one of the names common, combined,
 * vhost_combined, combinedio.  False, with the reason, when it is none or does not tell
 * the time of a request. */
bool gs_log_format_read(gs_log_format_t *format, const char *text, gs_error_t *error);

/* Reads one line without its end.  False when it does not fit; then `miss` says where.
 * Takes time in proportion to the line's length, whatever stands in it. */
bool gs_log_format_match(gs_log_format_t *format, const char *line, size_t bytes,
                         gs_log_entry_t *entry, gs_log_miss_t *miss);

/* What was expected there, in words. */
void gs_log_miss_text(const gs_log_format_t *format, const gs_log_miss_t *miss,
                      char *text, size_t bytes);

#endif /* GREENSIM_LOG_FORMAT_H */
