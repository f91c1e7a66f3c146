/* SPDX-License-Identifier: Apache-2.0
 *
 * output.c - the table and the JSON.
 */
#include "greensim.h"
#include "../core/gb_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define JOULES_PER_KWH 3.6e6
#define JSON_FIRST     65536

static double percent_of(const gs_result_t *result, double count)
{
    return result->requests > 0 ? 100 * count / result->requests : 0;
}

static double late_percent(const gs_result_t *result)
{
    return percent_of(result, result->late);
}

const char *gs_queue_name(const gs_options_t *options)
{
    return options->queue_off ? "off" : options->late_last ? "late-last" : "fifo";
}

/* ---------------------------------------------------------------- the table */

static void cell(bool is_known, int width, int decimals, double value)
{
    if (is_known) {
        printf(" %*.*f", width, decimals, value);
    }
    else {
        printf(" %*s", width, "-");
    }
}

static void write_row(const gs_result_t *result, int decimals)
{
    bool has_way = result->policy != GS_BOUND && result->mean_on > 0;

    printf("%-14s", gs_policy_name(result->policy));
    cell(result->joules > 0, 10, decimals, result->joules / JOULES_PER_KWH);
    cell(result->over_optimum > 0, 9, 3, result->over_optimum);
    cell(result->late >= 0, 8, 3, late_percent(result));
    cell(result->p99_ms >= 0, 9, 0, result->p99_ms);
    cell(has_way, 10, 2, result->cycles_per_server_day);
    cell(has_way, 8, 2, result->mean_on);
    cell(has_way, 8, 0, result->peak_on);
    putchar('\n');
}

static void write_span(double seconds)
{
    if (seconds >= 2 * 86400) {
        printf("%.4g days", seconds / 86400);
    }
    else if (seconds >= 2 * 3600) {
        printf("%.4g hours", seconds / 3600);
    }
    else {
        printf("%.4g minutes", seconds / 60);
    }
}

static void write_heading(const gs_world_t *world)
{
    const gs_options_t *options = world->options;
    const gs_fleet_t *fleet = &world->fleet;
    const gs_server_t *server = &fleet->servers[0];

    printf("%s: %.0f requests in ", world->trace.name, world->trace.requests);
    write_span(world->trace.seconds);
    printf(", %.1f/s, peak %.1f/s (99.9th percentile of the minutes)\n",
           world->trace.requests / world->trace.seconds, gs_trace_peak(&world->trace));
    printf("%u servers%s, %.1f requests/s each within the goal (late after %g ms), "
           "%.4g-%.4g W, set-up %g s\n",
           fleet->count, fleet->types > 1 ? " of different types, on average" : "",
           fleet->rate / fleet->count, 1000 * fleet->late_s, server->curve.watts[0],
           server->curve.watts[10], world->setup_s);
    printf("%s, %s queue, seed %llu\n", options->discrete ? "discrete events" : "fluid",
           gs_queue_name(options), (unsigned long long)options->seed);
}

/* What decides about the savings, and no option said. */
static void write_guesses(const gs_world_t *world)
{
    const gs_options_t *options = world->options;
    const gs_server_t *server = &world->fleet.servers[0];
    const char *before = "assumed, since nothing says it: ";

    if (options->shape != GS_SHAPE_NONE) {
        return;
    }
    if (!options->servers && !options->model_file) {
        printf("%s--servers %u", before, world->fleet.count);
        before = ", ";
    }
    if (options->service_s < 0 && options->rate < 0 && !world->trace.log.timed) {
        printf("%s--service-time %gms", before, 1000 * server->service_s);
        before = ", ";
    }
    if (!options->server && !options->has_curve && !options->model_file) {
        printf("%s--curve %g:%g", before, server->curve.watts[0],
               server->curve.watts[10]);
        before = ", ";
    }
    if (options->setup_s < 0 && !options->model_file) {
        printf("%s--setup %gs", before, server->setup_s);
        before = ", ";
    }
    if (before[0] == ',') {
        putchar('\n');
    }
}

/* A model says it where the proxy's administrator has given no watts. */
static void write_assumed(const gs_world_t *world)
{
    uint32_t assumed = gs_fleet_assumed(&world->fleet);

    if (assumed > 0) {
        printf("assumed, says the model: watts of %u of %u servers; watts= at their "
               "BalancerMember gives them\n",
               assumed, world->fleet.count);
    }
}

void gs_table_write(const gs_world_t *world, const gs_result_t *results, uint32_t count)
{
    write_heading(world);
    write_guesses(world);
    write_assumed(world);
    putchar('\n');
    printf("%-14s %10s %9s %8s %9s %10s %8s %8s\n", "policy", "kWh", "x optimum",
           "% late", "p99 ms", "cycles/day", "mean on", "peak on");
    for (uint32_t i = 0; i < count; i++) {
        write_row(&results[i], results[0].joules < 1e9 ? 3 : 1);
    }
    putchar('\n');
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].note[0]) {
            printf("%s: %s\n", gs_policy_name(results[i].policy), results[i].note);
        }
    }
    puts("cycles/day: of one server, on average");
}

/* ---------------------------------------------------------------- JSON */

static void number_or_null(gb_json_t *json, const char *key, bool is_known,
                           double value, uint32_t decimals)
{
    gb_json_key(json, key);
    if (is_known) {
        gb_json_number(json, value, decimals);
    }
    else {
        gb_json_null(json);
    }
}

static void write_result(gb_json_t *json, const gs_result_t *result)
{
    bool has_way = result->policy != GS_BOUND && result->mean_on > 0;

    gb_json_open_object(json);
    gb_json_member_string(json, "policy", gs_policy_name(result->policy));
    number_or_null(json, "joules", result->joules > 0, result->joules, 1);
    number_or_null(json, "over_optimum", result->over_optimum > 0, result->over_optimum,
                   5);
    number_or_null(json, "late_percent", result->late >= 0, late_percent(result), 5);
    number_or_null(json, "late_response_percent", result->late_responses >= 0,
                   percent_of(result, result->late_responses), 5);
    number_or_null(json, "p50_ms", result->p50_ms >= 0, result->p50_ms, 1);
    number_or_null(json, "p99_ms", result->p99_ms >= 0, result->p99_ms, 1);
    number_or_null(json, "cycles_per_server_day", has_way,
                   result->cycles_per_server_day, 4);
    number_or_null(json, "peak_on", has_way, result->peak_on, 0);
    number_or_null(json, "mean_on", has_way, result->mean_on, 4);
    gb_json_member_string(json, "note", result->note);
    gb_json_close_object(json);
}

static void write_settings(gb_json_t *json, const gs_world_t *world)
{
    const gs_options_t *options = world->options;
    const gs_fleet_t *fleet = &world->fleet;

    gb_json_key(json, "options");
    gb_json_open_object(json);
    gb_json_member_string(json, "mode", options->discrete ? "discrete" : "fluid");
    gb_json_member_string(json, "queue", gs_queue_name(options));
    number_or_null(json, "servers", true, fleet->count, 0);
    number_or_null(json, "rate", true, fleet->rate / fleet->count, 6);
    number_or_null(json, "cores", true, fleet->servers[0].cores, 0);
    number_or_null(json, "capacity", true, fleet->servers[0].capacity, 0);
    number_or_null(json, "service_s", true, fleet->servers[0].service_s, 6);
    number_or_null(json, "late_after_s", true, fleet->late_s, 6);
    number_or_null(json, "setup_s", true, world->plant.setup_s, 6);
    number_or_null(json, "setup_p95_s", true, world->setup_s, 6);
    number_or_null(json, "setup_watts", true, fleet->servers[0].setup_watts, 3);
    number_or_null(json, "off_watts", true, fleet->servers[0].curve.off_watts, 3);
    number_or_null(json, "watts_assumed", true, gs_fleet_assumed(fleet), 0);
    number_or_null(json, "bound_late_percent", true, 100 * options->late_share, 6);
    number_or_null(json, "budget_percent", true, 100 * options->conf.budget, 6);
    number_or_null(json, "smooth_s", true, options->smooth_s, 3);
    number_or_null(json, "scale_peak", options->scale_peak > 0, options->scale_peak, 6);
    gb_json_close_object(json);
}

static void write_document(gb_json_t *json, const gs_world_t *world,
                           const gs_result_t *results, uint32_t count)
{
    gb_json_open_object(json);
    gb_json_member_string(json, "trace", world->trace.name);
    number_or_null(json, "seconds", true, world->trace.seconds, 0);
    number_or_null(json, "requests", true, world->trace.requests, 0);
    gb_json_member_unsigned(json, "seed", world->options->seed);
    write_settings(json, world);
    gb_json_key(json, "policies");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < count; i++) {
        write_result(json, &results[i]);
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

void gs_json_write(const gs_world_t *world, const gs_result_t *results, uint32_t count)
{
    char *text = gs_alloc(JSON_FIRST, 1);
    gb_json_t json;

    gb_json_start(&json, text, JSON_FIRST);
    write_document(&json, world, results, count);
    gb_json_finish(&json);
    puts(text);
    free(text);
}
