/* SPDX-License-Identifier: Apache-2.0
 *
 * log_tally.h - requests counted by the second of their arrival, in any order, and how
 * long they took.
 *
 * Counts are kept by the hour and only for hours with requests: 7 kB each, so that the
 * longest span takes 35 MB.  One thread.
 */
#ifndef GREENSIM_LOG_TALLY_H
#define GREENSIM_LOG_TALLY_H

#include "greensim.h"

#define GS_LOG_DAYS_MOST 200 /* so that a trace of it stays below 200 MB */

#define GS_LOG_HOURS_MOST  (GS_LOG_DAYS_MOST * 24)
#define GS_LOG_TOOK_COUNTS 1280

typedef struct gs_log_hour_t gs_log_hour_t;

typedef struct gs_log_tally_t {
    bool is_begun;
    int64_t first_s, last_s; /* Unix time of the earliest and the latest request */
    int32_t first_zone_s;    /* of the earliest */
    int64_t middle_hour;     /* hours[GS_LOG_HOURS_MOST] */
    gs_log_hour_t *hours[2 * GS_LOG_HOURS_MOST + 1];
    uint64_t requests;
    /* how long they took, in microseconds; 32 counts for each doubling */
    uint64_t timed;
    double took_sum_us;
    uint64_t took[GS_LOG_TOOK_COUNTS];
} gs_log_tally_t;

/* Counts a request; took_us negative: not known.  False: first_s to at_s is more than
 * GS_LOG_DAYS_MOST, and nothing is counted. */
bool gs_log_tally_add(gs_log_tally_t *tally, int64_t at_us, int32_t zone_s,
                      int64_t took_us);

/* Time of service below which that share of the requests stayed, to 2 %; 0 when none
 * was told. */
double gs_log_tally_took_s(const gs_log_tally_t *tally, double share);

/* Makes the trace of all seconds from the first to the last, and gives back the memory
 * of the hours as it goes.  False when a second has more requests than GS_RATE_MOST, or
 * there is none. */
bool gs_log_tally_trace(gs_log_tally_t *tally, gs_trace_t *trace, gs_error_t *error);

void gs_log_tally_free(gs_log_tally_t *tally);

#endif /* GREENSIM_LOG_TALLY_H */
