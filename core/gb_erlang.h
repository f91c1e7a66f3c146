/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_erlang.h - how many requests are late when k servers share a load: Erlang's C.
 *
 * A server is a number of slots, each of which serves one request at a time.  Requests
 * wait in one line.  The share that waits longer than t is
 * C(slots, load) * exp(-(slots - load) * t / service), Erlang 1917.
 */
#ifndef GB_ERLANG_H
#define GB_ERLANG_H

#include "gb_types.h"

/* The share of requests that wait longer than `wait_s`, in 0..1, when `slots` serve
 * requests of mean length `service_s` that come at `rate_per_s`.  1 when there is no
 * less load than slots.  Exact up to GB_ERLANG_EXACT slots (cost: linear); beyond it by
 * the corrected limit of Janssen, van Leeuwaarden and Zwart (Queueing Systems, 2008),
 * within 0.05 % of the exact.  Between two whole numbers of slots the share that has to
 * wait is interpolated.  An argument that is negative or no number counts as 0.  Pure.
 */
#define GB_ERLANG_EXACT 64
double gb_erlang_late(double slots, double rate_per_s, double service_s, double wait_s);

#define GB_TAIL_POINTS 24    /* of a row, from mark to mark */
#define GB_TAIL_ALL    0.999 /* from here on all are late */
#define GB_TAIL_NONE   0.001 /* up to here hardly any is */
#define GB_TAIL_GOAL   0.01  /* a number of servers suffices when no more are late */

/* The share that is late with the first k servers of an order, for every k: row k says
 * where it passes from none to all, and what it is between. */
typedef struct gb_tail_row_t {
    double slots;                /* of the first k servers */
    double none_rate, all_rate;  /* where it passes GB_TAIL_NONE and GB_TAIL_ALL */
    double goal_rate;            /* where it passes GB_TAIL_GOAL */
    float share[GB_TAIL_POINTS]; /* at equal steps from none_rate to all_rate */
} gb_tail_row_t;

typedef struct gb_tail_t {
    uint32_t servers;    /* rows 0..servers */
    double service_s;    /* what it was made for */
    double wait_s;       /* a request that waits longer is late */
    gb_tail_row_t *rows; /* [room + 1], the caller's */
    uint32_t room;
} gb_tail_t;

/* Makes the table in tail->rows for servers whose slots, summed up to and including the
 * k-th, are slots_upto[k] (slots_upto[0] = 0; ascending, else the k-th counts as none).
 * Fewer rows than servers when there is no room; no row at all without `rows`.  Not for
 * every tick: some 7 us a row, more up to GB_ERLANG_EXACT slots.  Rates in the rows are
 * finite and ascend with k, whatever comes in. */
void gb_tail_build(gb_tail_t *tail, const double *slots_upto, uint32_t servers,
                   double service_s, double wait_s);

/* The share that is late with the first k servers (more than tail->servers count as so
 * many) at a rate; 1 without servers.  Below none_rate it fades out from GB_TAIL_NONE
 * as it did above, from all_rate on it is 1; ascends with the rate. */
double gb_tail_late(const gb_tail_t *tail, uint32_t k, double rate_per_s);

/* The fewest servers, at least 1, with which no more than GB_TAIL_GOAL are late; all of
 * them when none suffices.  Cost: logarithmic. */
uint32_t gb_tail_need(const gb_tail_t *tail, double rate_per_s);

/* With up to *all_k servers (included, 0: with none) all are late, from *none_k on
 * (included; tail->servers + 1 when there are too few) no more than GB_TAIL_NONE. */
void gb_tail_span(const gb_tail_t *tail, double rate_per_s, uint32_t *all_k,
                  uint32_t *none_k);

#endif /* GB_ERLANG_H */
