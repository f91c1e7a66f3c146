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
 * requests of mean length `service_s` that come at `rate_per_s`.  1 when there is more
 * load than slots.  Exact up to GB_ERLANG_EXACT slots (cost: linear), beyond it by Halfin
 * and Whitt's limit (1981).  Pure. */
#define GB_ERLANG_EXACT 256
double gb_erlang_late(double slots, double rate_per_s, double service_s, double wait_s);

#define GB_TAIL_POINTS 24   /* of a row, between the two marks */
#define GB_TAIL_ALL    0.999 /* from here on all are late */
#define GB_TAIL_NONE   0.001 /* up to here none is */
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
    uint32_t servers;     /* rows 0..servers */
    double service_s;     /* what it was made for */
    double wait_s;        /* a request that waits longer is late */
    gb_tail_row_t *rows;  /* [room + 1], the caller's */
    uint32_t room;
} gb_tail_t;

/* Makes the table for servers whose slots, summed up to and including the k-th, are
 * slots_upto[k] (slots_upto[0] = 0; ascending).  Fewer rows than servers when there is no
 * room.  Not for every tick: some 5 us a row. */
void gb_tail_build(gb_tail_t *tail, const double *slots_upto, uint32_t servers,
                   double service_s, double wait_s);

/* The share that is late with the first k servers (k <= tail->servers) at a rate. */
double gb_tail_late(const gb_tail_t *tail, uint32_t k, double rate_per_s);

/* The fewest servers, at least 1, with which no more than GB_TAIL_GOAL are late; all of
 * them when none suffices.  Cost: logarithmic. */
uint32_t gb_tail_need(const gb_tail_t *tail, double rate_per_s);

/* With up to *none_k servers (included) all are late, from *some_k on (included) none is. */
void gb_tail_span(const gb_tail_t *tail, double rate_per_s, uint32_t *all_k,
                  uint32_t *none_k);

#endif /* GB_ERLANG_H */
