/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_erlang.c - Erlang's C, and a table of it for every number of servers.
 */
#include "gb_erlang.h"

#include <math.h>

#define LOG_LEAST   (-700.0) /* exp() of less is nothing */
#define LOGIT_MOST  40.0     /* beyond it a share is 1 in a double */
#define ROOT_TRIES  80
#define ROOT_EXACT  1e-6 /* relative error of a share at a mark */
#define SERIES_MOST 1e-3 /* below it x + log(1 - x) loses its digits */
#define FAINT_SHARE 1e-9 /* less than this is none */

/* Hostile values: what is no number is none. */
static double cleaned(double value)
{
    return isfinite(value) && value > 0 ? value : 0;
}

/* Erlang's B: the share that finds `slots` busy and goes away; the recursion
 * 1/B(c) = 1 + c/a * 1/B(c - 1), turned over. */
static double erlang_b(uint32_t slots, double load)
{
    double b = 1.0;

    for (uint32_t i = 1; i <= slots; i++) {
        b = load * b / (i + load * b);
    }
    return b;
}

/* C = B / (1 - load/slots * (1 - B)): the share that has to wait. */
static double c_of_b(double b, double slots, double load)
{
    return load < slots ? b / (1 - load / slots * (1 - b)) : 1.0;
}

/* Exact for whole slots, between them in proportion. */
static double exact_c(double slots, double load)
{
    uint32_t whole = (uint32_t)slots;
    double part = slots - whole;
    double below = erlang_b(whole, load);
    double c = whole > 0 ? c_of_b(below, whole, load) : 1.0;

    if (part > 0) {
        double above = load * below / (whole + 1 + load * below);

        c += part * (c_of_b(above, whole + 1, load) - c);
    }
    return c;
}

/* For many slots, load < slots.  With s slots, rho = load/s and
 * alpha = sqrt(-2 s (1 - rho + log rho)):
 *   1/C = rho + (1 - rho) (sqrt(s) Phi(alpha)/phi(alpha) (1 + 1/12s) + 2/3)
 * where 1 + 1/12s is Stirling's series.  Both sides are multiplied by phi, which may be
 * zero. */
static double limit_c(double slots, double load)
{
    const double pi = 3.14159265358979323846;
    double idle = (slots - load) / slots;
    double exponent = idle < SERIES_MOST
                          ? idle * idle * (0.5 + idle * (1.0 / 3 + idle / 4))
                          : -idle - log1p(-idle);
    double alpha = sqrt(2 * slots * exponent);
    double phi = exp(-slots * exponent) / sqrt(2 * pi);
    double Phi = 0.5 * erfc(-alpha / sqrt(2.0)) * (1 + 1 / (12 * slots));

    return phi / ((1 - idle) * phi + idle * (sqrt(slots) * Phi + phi * 2 / 3));
}

/* The logarithm of the share that is late; 0: all are. */
static double log_late(double slots, double load, double waits)
{
    double c, late;

    if (load >= slots) {
        return 0;
    }
    if (load <= 0) {
        return LOG_LEAST;
    }
    c = slots <= GB_ERLANG_EXACT ? exact_c(slots, load) : limit_c(slots, load);
    if (!(c > 0)) {
        return LOG_LEAST;
    }
    late = log(c) - (slots - load) * waits;
    if (!(late > LOG_LEAST)) {
        return LOG_LEAST;
    }
    return late < 0 ? late : 0;
}

double gb_erlang_late(double slots, double rate_per_s, double service_s, double wait_s)
{
    double waits;

    slots = cleaned(slots);
    service_s = cleaned(service_s);
    if (rate_per_s > 0 && isinf(rate_per_s)) {
        return 1;
    }
    waits = service_s > 0 ? cleaned(wait_s) / service_s : 0;
    return exp(log_late(slots, cleaned(rate_per_s) * service_s, waits));
}

/* log(p / (1 - p)) of log(p), less that of the mark: straight enough for a secant from
 * "hardly any" to "nearly all". */
static double above_mark(double slots, double load, double waits, double mark)
{
    double late = log_late(slots, load, waits);
    double logit = late < 0 ? late - log(-expm1(late)) : LOGIT_MOST;

    return (logit < LOGIT_MOST ? logit : LOGIT_MOST) - log(mark / (1 - mark));
}

/* The load at which the share passes the mark: regula falsi with the Illinois rule, in
 * low..slots. */
static double crossing(double slots, double waits, double mark, double low)
{
    double high = slots;
    double at_low = above_mark(slots, low, waits, mark);
    double at_high = LOGIT_MOST - log(mark / (1 - mark));

    if (at_low >= 0) {
        return low;
    }
    for (int i = 0; i < ROOT_TRIES && high - low > 1e-12 * slots; i++) {
        /* What halves the range now and then also ends where the curve is flat. */
        double load = i % 8 == 7 ? 0.5 * (low + high)
                                 : high - at_high * (high - low) / (at_high - at_low);
        double at = above_mark(slots, load, waits, mark);

        if (fabs(at) < ROOT_EXACT) {
            return load;
        }
        if (at < 0) {
            low = load;
            at_low = at;
            at_high *= 0.5;
        }
        else {
            high = load;
            at_high = at;
            at_low *= 0.5;
        }
    }
    return 0.5 * (low + high);
}

static double at_least(double value, double least)
{
    return value > least ? value : least;
}

static void fill_row(gb_tail_row_t *row, const gb_tail_row_t *before, double service_s,
                     double waits)
{
    /* Slots that are added carry at least nothing: never below the row before. */
    double low = before->none_rate * service_s;
    double none = crossing(row->slots, waits, GB_TAIL_NONE, low);
    double goal = crossing(row->slots, waits, GB_TAIL_GOAL, none);
    double all = crossing(row->slots, waits, GB_TAIL_ALL, goal);
    double highest = 0;

    /* Rounding must not let one more server carry less. */
    row->none_rate = at_least(none / service_s, before->none_rate);
    row->goal_rate =
        at_least(at_least(goal / service_s, before->goal_rate), row->none_rate);
    row->all_rate =
        at_least(at_least(all / service_s, before->all_rate), row->goal_rate);
    for (uint32_t i = 0; i < GB_TAIL_POINTS; i++) {
        double load = none + (all - none) * i / (GB_TAIL_POINTS - 1);

        highest = at_least(exp(log_late(row->slots, load, waits)), highest);
        row->share[i] = (float)highest;
    }
}

void gb_tail_build(gb_tail_t *tail, const double *slots_upto, uint32_t servers,
                   double service_s, double wait_s)
{
    const gb_tail_row_t none = {0};
    double waits;

    /* A load has to be a number: any time is better than none. */
    tail->service_s = cleaned(service_s) > 1e-9 ? cleaned(service_s) : 1e-9;
    tail->wait_s = cleaned(wait_s);
    tail->servers = servers < tail->room ? servers : tail->room;
    if (tail->rows == NULL) {
        tail->servers = 0;
        return;
    }
    waits = tail->wait_s / tail->service_s;
    tail->rows[0] = none;
    for (uint32_t k = 1; k <= tail->servers; k++) {
        gb_tail_row_t *row = &tail->rows[k];
        double slots = cleaned(slots_upto[k]);

        if (slots > tail->rows[k - 1].slots) {
            row->slots = slots < 1e9 ? slots : 1e9;
            fill_row(row, &tail->rows[k - 1], tail->service_s, waits);
        }
        else {
            *row = tail->rows[k - 1];
        }
    }
}

/* Below the marked range: the power of the rate by which the range begins. */
static double faint(const gb_tail_row_t *row, double rate_per_s)
{
    double step = (row->all_rate - row->none_rate) / (GB_TAIL_POINTS - 1);
    double power, share;

    if (!(step > 0) || !(rate_per_s > 0) || !(row->none_rate > 0)) {
        return 0;
    }
    power = log((double)row->share[1] / GB_TAIL_NONE) / log1p(step / row->none_rate);
    share = GB_TAIL_NONE * pow(rate_per_s / row->none_rate, at_least(power, 0));
    return share > FAINT_SHARE ? share : 0;
}

/* Between two points of the row: the line, bent by the mean of the second differences
 * (Bessel), but never so far that it turns back. */
static double between(const gb_tail_row_t *row, uint32_t i, double part)
{
    double here = (double)row->share[i];
    double rise = (double)row->share[i + 1] - here;
    double before = i > 0 ? here - (double)row->share[i - 1] : 0;
    double after = i + 2 < GB_TAIL_POINTS
                       ? (double)row->share[i + 2] - (double)row->share[i + 1]
                       : 2 * rise - before;
    double bend = after - (i > 0 ? before : 2 * rise - after);
    double most = 4 * rise;

    bend = bend < most ? bend : most;
    bend = bend > -most ? bend : -most;
    return here + part * (rise - (1 - part) * 0.25 * bend);
}

double gb_tail_late(const gb_tail_t *tail, uint32_t k, double rate_per_s)
{
    const gb_tail_row_t *row;
    double place;
    uint32_t i;

    if (tail->rows == NULL || tail->servers == 0 || k == 0) {
        return 1;
    }
    row = &tail->rows[k < tail->servers ? k : tail->servers];
    if (!(rate_per_s > row->none_rate)) {
        return row->slots > 0 ? faint(row, rate_per_s) : 1;
    }
    if (rate_per_s >= row->all_rate) {
        return 1;
    }
    place = (rate_per_s - row->none_rate) / (row->all_rate - row->none_rate) *
            (GB_TAIL_POINTS - 1);
    i = place < GB_TAIL_POINTS - 2 ? (uint32_t)place : GB_TAIL_POINTS - 2;
    return between(row, i, place - i);
}

uint32_t gb_tail_need(const gb_tail_t *tail, double rate_per_s)
{
    uint32_t low = 1, high = tail->rows == NULL ? 1 : tail->servers;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (tail->rows[middle].goal_rate >= rate_per_s) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return low;
}

void gb_tail_span(const gb_tail_t *tail, double rate_per_s, uint32_t *all_k,
                  uint32_t *none_k)
{
    uint32_t low = 0, high = tail->rows == NULL ? 0 : tail->servers;

    while (low < high) { /* the last whose all_rate is not above the rate */
        uint32_t middle = high - (high - low) / 2;

        if (tail->rows[middle].all_rate <= rate_per_s) {
            low = middle;
        }
        else {
            high = middle - 1;
        }
    }
    *all_k = low;
    high = (tail->rows == NULL ? 0 : tail->servers) + 1;
    for (low++; low < high;) { /* the first whose none_rate is not below it */
        uint32_t middle = low + (high - low) / 2;

        if (tail->rows[middle].none_rate >= rate_per_s) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    *none_k = low;
}
