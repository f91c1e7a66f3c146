/* SPDX-License-Identifier: Apache-2.0
 *
 * log_tally.c - counts of an access log; see log_tally.h.
 */
#include "log_tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_S 3600
#define DAY_S  86400

/* Counts of an hour; `wide` is there from the first that exceeds 16 bits on. */
struct gs_log_hour_t {
    uint16_t narrow[HOUR_S];
    uint32_t *wide;
};

/* ------------------------------------------------------------------------- counting */

/* Below 64 the value itself, above it 32 steps for each doubling; up to 12 days. */
static uint32_t took_index(uint64_t us)
{
    uint32_t exponent = 0;

    if (us >= UINT64_C(1) << 40) {
        us = (UINT64_C(1) << 40) - 1;
    }
    while (us >> exponent >= 64) {
        exponent++;
    }
    return exponent * 32 + (uint32_t)(us >> exponent);
}

/* The middle of what has that index. */
static double took_of_index(uint32_t index)
{
    uint32_t exponent = index < 64 ? 0 : index / 32 - 1;
    double step = (double)(UINT64_C(1) << exponent);

    return (double)(index - exponent * 32) * step + (step - 1) / 2;
}

static void count_in(gs_log_hour_t *hour, uint32_t second)
{
    if (!hour->wide && hour->narrow[second] == UINT16_MAX) {
        hour->wide = gs_alloc(HOUR_S, sizeof *hour->wide);
        for (uint32_t i = 0; i < HOUR_S; i++) {
            hour->wide[i] = hour->narrow[i];
        }
    }
    if (!hour->wide) {
        hour->narrow[second]++;
    }
    else if (hour->wide[second] < UINT32_MAX) {
        hour->wide[second]++;
    }
}

/* Takes the instant into the span; false when that would be too long. */
static bool extend(gs_log_tally_t *tally, int64_t at_s, int32_t zone_s)
{
    if (!tally->is_begun) {
        tally->is_begun = true;
        tally->middle_hour = at_s / HOUR_S;
        tally->first_s = tally->last_s = at_s;
        tally->first_zone_s = zone_s;
        return true;
    }
    if (at_s - tally->first_s >= (int64_t)GS_LOG_DAYS_MOST * DAY_S ||
        tally->last_s - at_s >= (int64_t)GS_LOG_DAYS_MOST * DAY_S) {
        return false;
    }
    if (at_s < tally->first_s) {
        tally->first_s = at_s;
        tally->first_zone_s = zone_s;
    }
    if (at_s > tally->last_s) {
        tally->last_s = at_s;
    }
    return true;
}

bool gs_log_tally_add(gs_log_tally_t *tally, int64_t at_us, int32_t zone_s,
                      int64_t took_us)
{
    int64_t at_s = at_us / 1000000;
    gs_log_hour_t **hour;

    if (!extend(tally, at_s, zone_s)) {
        return false;
    }
    hour = &tally->hours[at_s / HOUR_S - tally->middle_hour + GS_LOG_HOURS_MOST];
    if (!*hour) {
        *hour = gs_alloc(1, sizeof **hour);
    }
    count_in(*hour, (uint32_t)(at_s % HOUR_S));
    tally->requests++;
    if (took_us >= 0) {
        tally->timed++;
        tally->took_sum_us += (double)took_us;
        tally->took[took_index((uint64_t)took_us)]++;
    }
    return true;
}

double gs_log_tally_took_s(const gs_log_tally_t *tally, double share)
{
    double wanted = share * (double)tally->timed - 0.5, sum = 0;
    uint32_t last = 0;

    for (uint32_t i = 0; i < GS_LOG_TOOK_COUNTS; i++) {
        if (tally->took[i] > 0) {
            sum += (double)tally->took[i];
            last = i;
            if (sum >= wanted) {
                break;
            }
        }
    }
    return took_of_index(last) / 1e6;
}

/* ------------------------------------------------------------------------ the trace */

static void free_hour(gs_log_hour_t **hour)
{
    if (*hour) {
        free((*hour)->wide);
        free(*hour);
        *hour = NULL;
    }
}

static uint32_t count_at(const gs_log_hour_t *hour, uint32_t second)
{
    return !hour ? 0 : hour->wide ? hour->wide[second] : hour->narrow[second];
}

static void set_facts(const gs_log_tally_t *tally, gs_log_facts_t *facts, int64_t gap_s)
{
    facts->first_at_s = tally->first_s;
    facts->zone_s = tally->first_zone_s;
    facts->gap_s = gap_s;
    facts->timed = tally->timed;
    if (tally->timed > 0) {
        facts->service_s = tally->took_sum_us / (double)tally->timed / 1e6;
        facts->service_p50_s = gs_log_tally_took_s(tally, 0.5);
        facts->service_p95_s = gs_log_tally_took_s(tally, 0.95);
        facts->service_p99_s = gs_log_tally_took_s(tally, 0.99);
    }
}

bool gs_log_tally_trace(gs_log_tally_t *tally, gs_trace_t *trace, gs_error_t *error)
{
    int64_t empty_s = 0, gap_s = 0, local_s;

    if (!tally->is_begun) {
        return gs_fail(error, "there is no request in it");
    }
    trace->seconds = (uint32_t)(tally->last_s - tally->first_s + 1);
    trace->rate = gs_alloc(trace->seconds, sizeof *trace->rate);
    trace->arrived = gs_alloc(trace->seconds, sizeof *trace->arrived);
    for (uint32_t i = 0; i < trace->seconds; i++) {
        int64_t at_s = tally->first_s + i;
        gs_log_hour_t **hour =
            &tally->hours[at_s / HOUR_S - tally->middle_hour + GS_LOG_HOURS_MOST];
        uint32_t count = count_at(*hour, (uint32_t)(at_s % HOUR_S));

        if (count > GS_RATE_MOST) {
            return gs_fail(error,
                           "%u requests in one second: at most %.0f are simulated",
                           count, GS_RATE_MOST);
        }
        trace->arrived[i] = count;
        trace->rate[i] = (float)count;
        empty_s = count ? 0 : empty_s + 1;
        gap_s = empty_s > gap_s ? empty_s : gap_s;
        if (at_s % HOUR_S == HOUR_S - 1) {
            free_hour(hour);
        }
    }
    trace->requests = (double)tally->requests;
    trace->is_counted = true;
    local_s = (tally->first_s + tally->first_zone_s) % DAY_S;
    trace->start_day_s = local_s < 0 ? local_s + DAY_S : local_s;
    set_facts(tally, &trace->log, gap_s);
    return true;
}

void gs_log_tally_free(gs_log_tally_t *tally)
{
    for (size_t i = 0; i < sizeof tally->hours / sizeof tally->hours[0]; i++) {
        free_hour(&tally->hours[i]);
    }
}
