/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_meter.h - counts and latencies of requests in fixed memory.
 *
 * The histogram is log-linear: 8 steps for each doubling, from 64 us to over 1 h, so a
 * quantile is off by at most 1/16 of itself.
 */
#ifndef GB_METER_H
#define GB_METER_H

#include "gb_types.h"

#define GB_LATENCY_BUCKETS 208

typedef enum gb_outcome_e {
    GB_OUT_OK = 0,   /* answered with a status below 400 */
    GB_OUT_CLIENT,   /* 4xx */
    GB_OUT_SERVER,   /* 5xx made by the backend */
    GB_OUT_GATEWAY,  /* 502, 503, 504 made here: the backend failed */
    GB_OUT_ABORTED,  /* the client went away */
    GB_OUT_FAILOVER, /* given up here, tried on another member */
    GB_OUT_TUNNEL,   /* an upgraded connection that has ended */
    GB_OUT_COUNT
} gb_outcome_e;

/* Shared counters of one member, on cache lines of their own; atomic adds only. */
typedef struct gb_cell_t {
    uint64_t arrivals;
    uint64_t outcomes[GB_OUT_COUNT];
    uint64_t latency_sum_us;
    int64_t session_at_us; /* the latest request of a sticky session; 0: none */
    uint64_t late;         /* took longer than its balancer's goal, waiting included */
    uint64_t slow;         /* of these: longer on this member alone */
    uint64_t follow_us;    /* spent on writes that another member has answered */
    uint64_t pad[3];
    uint32_t latency[GB_LATENCY_BUCKETS];
} gb_cell_t;
_Static_assert(sizeof(gb_cell_t) % 64 == 0, "cells share no cache line");

/* In flight at one member from one process. */
typedef struct gb_row_cell_t {
    uint32_t in_flight;
    uint32_t pad[15];
} gb_row_cell_t;
_Static_assert(sizeof(gb_row_cell_t) == 64, "one cache line each");

/* The bucket of a latency, and the latency at which the next bucket begins. */
uint32_t gb_meter_bucket(int64_t latency_us);
int64_t gb_meter_bucket_top_us(uint32_t bucket);

/* Counts one finished request.  Latency is noted for OK, CLIENT and SERVER only.  Any
 * thread of any process; a reader may see the counters of one request in part. */
void gb_meter_count(gb_cell_t *cell, gb_outcome_e outcome, int64_t latency_us);

/* The quantile (nearest rank) of a (difference of) histogram(s) of GB_LATENCY_BUCKETS
 * counters, in us: the middle of its bucket.  0 when it is empty. */
int64_t gb_meter_quantile_us(const uint32_t *latency, uint32_t permille);

/* One second or one minute of a balancer; a minute of a member. */
typedef struct gb_past_t {
    uint32_t arrivals, completions, errors;
    uint32_t in_flight_milli; /* mean */
    uint32_t p50_us, p99_us;
    uint32_t watts;
    uint16_t servers_on;
    uint16_t reserved;
    uint32_t at_s; /* wall clock, for display; 0: nothing noted */
} gb_past_t;
_Static_assert(sizeof(gb_past_t) == 36, "fixed");

/* Stands at the minute's number since the epoch modulo GB_PAST_MINUTES. */
typedef struct gb_member_past_t {
    uint32_t at_s; /* begin of the minute, wall clock; 0: nothing noted */
    uint32_t arrivals;
    uint16_t errors;
    uint16_t in_flight_tenths;
    uint16_t p99_ms;
    uint16_t watts;
} gb_member_past_t;
_Static_assert(sizeof(gb_member_past_t) == 16, "fixed");

#define GB_PAST_SECONDS 3600
#define GB_PAST_MINUTES 1440

#endif /* GB_METER_H */
