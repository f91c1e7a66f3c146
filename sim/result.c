/* SPDX-License-Identifier: Apache-2.0
 *
 * result.c - what runs gather: plots, response times, progress; and the ground of all
 * parts, errors and memory.
 */
#include "greensim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHORTEST_S    1e-3   /* the first bucket of response times */
#define LONGEST_S     8.64e5 /* the last one: ten days */
#define MIX_LOADS     128    /* cells for each number of servers */
#define FAINT         1e-9
#define PROGRESS_MS   200  /* between two lines of progress */
#define PROGRESS_FROM 1000 /* before it is shown at all */

bool gs_fail(gs_error_t *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

void *gs_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);

    if (!memory) {
        fprintf(stderr, "greensim: there is no memory for %zu x %zu bytes\n", count,
                bytes);
        exit(1);
    }
    return memory;
}

void *gs_realloc(void *memory, size_t bytes)
{
    void *more = realloc(memory, bytes);

    if (!more) {
        fprintf(stderr, "greensim: there is no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return more;
}

/* ---------------------------------------------------------------- plots */

void gs_result_begin(gs_result_t *result, gs_policy_e policy)
{
    *result = (gs_result_t){
        .policy = policy, .p99_ms = -1, .p50_ms = -1, .late_responses = -1};
}

void gs_series_begin(gs_series_t *series, gs_result_t *result, uint32_t seconds)
{
    *series = (gs_series_t){.step_s = (seconds + GS_POINTS - 1) / GS_POINTS,
                            .result = result};
    if (series->step_s < 1) {
        series->step_s = 1;
    }
    result->points = 0;
    result->step_s = series->step_s;
    result->series = gs_alloc(GS_POINTS, sizeof *result->series);
}

static void finish_point(gs_series_t *series)
{
    gs_result_t *result = series->result;
    gs_point_t *sum = &series->sum;

    if (series->filled && result->points < GS_POINTS) {
        float count = (float)series->filled;

        result->series[result->points++] = (gs_point_t){
            .rate = (float)(series->requests / (double)series->filled),
            .on = sum->on / count,
            .coming = sum->coming / count,
            .watts = sum->watts / count,
            .late_share =
                series->requests > 0 ? (float)(series->late / series->requests) : 0,
        };
    }
    *sum = (gs_point_t){0};
    series->filled = 0;
    series->late = series->requests = 0;
}

/* All are on when a run begins, whatever the load: how many of them the load needed
 * shows only from when the number first grows. */
static void note_peak(gs_series_t *series, double on)
{
    series->has_grown =
        series->has_grown || (series->last_on > 0 && on > series->last_on);
    series->peak_on = series->has_grown ? fmax(series->peak_on, on) : on;
    series->last_on = on;
}

void gs_series_add(gs_series_t *series, double arrived, double on, double coming,
                   double watts, double late)
{
    note_peak(series, on);
    series->requests += arrived;
    series->late += late;
    series->sum.on += (float)on;
    series->sum.coming += (float)coming;
    series->sum.watts += (float)watts;
    if (++series->filled >= series->step_s) {
        finish_point(series);
    }
}

void gs_series_end(gs_series_t *series)
{
    finish_point(series);
}

void gs_result_free(gs_result_t *result)
{
    free(result->series);
    result->series = NULL;
    result->points = 0;
}

/* ---------------------------------------------------------------- response times */

static double bucket_step(void)
{
    return log(LONGEST_S / SHORTEST_S) / (GS_WAITS_BUCKETS - 1);
}

static uint32_t bucket_of(double response_s)
{
    double at;

    if (!(response_s > SHORTEST_S)) {
        return 0;
    }
    at = log(response_s / SHORTEST_S) / bucket_step() + 1;
    return at < GS_WAITS_BUCKETS - 1 ? (uint32_t)at : GS_WAITS_BUCKETS - 1;
}

/* Where a bucket ends. */
static double bucket_end_s(uint32_t bucket)
{
    return SHORTEST_S * exp(bucket * bucket_step());
}

void gs_waits_add(gs_waits_t *waits, double response_s, double weight)
{
    if (weight > 0) {
        waits->weight[bucket_of(response_s)] += weight;
        waits->total += weight;
    }
}

/* Within its bucket as if all were spread evenly. */
double gs_waits_quantile_s(const gs_waits_t *waits, double share)
{
    double below = 0, wanted = share * waits->total;

    if (!(waits->total > 0)) {
        return -1;
    }
    for (uint32_t i = 0; i < GS_WAITS_BUCKETS; i++) {
        double weight = waits->weight[i];

        if (weight > 0 && below + weight >= wanted * (1 - 1e-12)) {
            double start_s = i ? bucket_end_s(i - 1) : 0;
            double part = fmin(fmax((wanted - below) / weight, 0), 1);

            return start_s + part * (bucket_end_s(i) - start_s);
        }
        below += weight;
    }
    return LONGEST_S;
}

void gs_mix_begin(gs_mix_t *mix, const gs_world_t *world)
{
    size_t rows = (size_t)world->fleet.count + 1;

    mix->world = world;
    mix->cells = gs_alloc(rows * MIX_LOADS * 2, sizeof *mix->cells);
}

void gs_mix_add(gs_mix_t *mix, uint32_t k, double rate, double weight)
{
    const gb_supply_t *supply = &mix->world->plant.supply;
    double load = rate * supply->service_s / supply->upto[k].slots;
    uint32_t at = load < 1 ? (uint32_t)(load * MIX_LOADS) : MIX_LOADS - 1;
    double *cell = &mix->cells[2 * ((size_t)k * MIX_LOADS + at)];

    cell[0] += weight;
    cell[1] += weight * rate;
}

/* A share waits, and the longer, the fewer: exponentially. */
static void spread(gs_waits_t *waits, double service_s, double share, double decay,
                   double weight)
{
    double left = share;
    uint32_t first = bucket_of(service_s);

    gs_waits_add(waits, service_s, weight * (1 - share));
    for (uint32_t i = first; left > FAINT && i < GS_WAITS_BUCKETS - 1; i++) {
        double still = share * exp(-decay * fmax(bucket_end_s(i) - service_s, 0));

        waits->weight[i] += weight * (left - still);
        waits->total += weight * (left - still);
        left = still;
    }
}

void gs_mix_end(gs_mix_t *mix, gs_waits_t *waits)
{
    const gb_supply_t *supply = &mix->world->plant.supply;

    for (uint32_t k = 1; k <= supply->servers; k++) {
        double slots = supply->upto[k].slots;

        for (uint32_t i = 0; i < MIX_LOADS; i++) {
            const double *cell = &mix->cells[2 * ((size_t)k * MIX_LOADS + i)];

            if (cell[0] > 0) {
                double rate =
                    fmin(cell[1] / cell[0], 0.9999 * slots / supply->service_s);

                spread(waits, supply->service_s,
                       gb_erlang_late(slots, rate, supply->service_s, 0),
                       slots / supply->service_s - rate, cell[0]);
            }
        }
    }
    free(mix->cells);
    mix->cells = NULL;
}

/* ---------------------------------------------------------------- progress */

static int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void gs_progress(const char *what, double share)
{
    static int64_t began_ms, shown_ms;
    static bool is_shown;
    int64_t now_ms;

    if (!isatty(STDERR_FILENO)) {
        return;
    }
    now_ms = clock_ms();
    began_ms = began_ms ? began_ms : now_ms;
    if (!what) {
        if (is_shown) {
            fputs("\r\033[K", stderr);
        }
        is_shown = false;
        return;
    }
    if (now_ms - began_ms >= PROGRESS_FROM && now_ms - shown_ms >= PROGRESS_MS) {
        int done = (int)(fmin(fmax(share, 0), 1) * 40);

        fprintf(stderr, "\r\033[K%-24.24s [%.*s%*s] %3.0f %%", what, done,
                "########################################", 40 - done, "", 100 * share);
        shown_ms = now_ms;
        is_shown = true;
    }
}
