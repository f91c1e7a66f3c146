/* SPDX-License-Identifier: Apache-2.0
 *
 * greensim.c - what a load would cost under each policy, and what it would cost at
 * least.
 */
#include "greensim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_WELL = 0, EXIT_FAILED = 1 };

/* The limits first, then policies, then what nothing was switched off for. */
static const gs_policy_e order[] = {
    GS_OPTIMUM,
    GS_BOUND,
    GS_PLAN,
    GS_ORACLE,
    GS_HINDSIGHT,
    (gs_policy_e)GB_POLICY_NEWS,
    (gs_policy_e)GB_POLICY_AUTOSCALE,
    (gs_policy_e)GB_POLICY_LCP,
    (gs_policy_e)GB_POLICY_KPA,
    (gs_policy_e)GB_POLICY_THRESHOLD,
    GS_REACTIVE,
    GS_MOVING_AVERAGE,
    GS_STRAIGHT_LINE,
    GS_OPT_REACTIVE,
    GS_AUTOSCALE_RATE,
    GS_ALWAYS_ON,
};

static bool run_online(const gs_world_t *world, gs_policy_e policy, gs_result_t *result,
                       gs_error_t *error)
{
    gs_chooser_t *chooser = gs_chooser_open(world, policy, NULL);
    bool good = gs_run(world, chooser, result, error);

    gs_chooser_close(chooser);
    return good;
}

static bool run_policy(const gs_world_t *world, gs_policy_e policy, gs_result_t *result,
                       gs_error_t *error)
{
    bool is_mixed = world->fleet.types > 1;

    switch (policy) {
    case GS_OPTIMUM:
        if (is_mixed) {
            return gs_mixed_run(world, policy, 0, 0, result, error);
        }
        gs_optimum_run(world, 0, result);
        return true;
    case GS_BOUND:
        if (is_mixed) {
            return gs_mixed_run(world, policy, world->options->late_share, 0, result,
                                error);
        }
        gs_bound_run(world, world->options->late_share, 0, result);
        return true;
    case GS_PLAN:
        return gs_plan_run(world, result, error);
    case GS_HINDSIGHT:
        return gs_hindsight_run(world, world->options->conf.budget, result, error);
    default:
        return run_online(world, policy, result, error);
    }
}

static uint32_t run_all(const gs_world_t *world, gs_result_t *results,
                        gs_error_t *error)
{
    uint32_t count = 0;

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!world->options->wanted[order[i]]) {
            continue;
        }
        if (!run_policy(world, order[i], &results[count], error)) {
            return 0;
        }
        count++;
    }
    for (uint32_t i = 0; i < count && results[0].joules > 0; i++) {
        results[i].over_optimum = results[i].joules / results[0].joules;
    }
    return count;
}

/* More comes than all servers carry: nothing that is printed is about the policies.
 * Servers that share a line carry more than each by itself, and then all is well. */
static void warn_of_overload(const gs_world_t *world)
{
    double peak = gs_trace_peak(&world->trace);

    if (peak > world->fleet.rate &&
        gb_tail_late(&world->tail, world->fleet.count, peak) > GB_TAIL_GOAL) {
        fprintf(stderr,
                "greensim: %s: %.1f requests/s at its peak, and %u servers carry %.1f; "
                "--scale peak=N or --servers changes that\n",
                world->trace.name, peak, world->fleet.count, world->fleet.rate);
    }
}

/* Runs what is wanted and writes it; `report` as it was opened. */
static bool simulate(const gs_world_t *world, FILE *report, gs_error_t *error)
{
    gs_result_t results[GS_POLICY_COUNT];
    uint32_t count = run_all(world, results, error);
    bool good = count > 0;

    if (!world->options->quiet) {
        gs_progress(NULL, 1);
    }
    if (good && world->options->as_json) {
        gs_json_write(world, results, count);
    }
    else if (good) {
        gs_table_write(world, results, count);
    }
    if (good && world->options->report_file) {
        good = gs_report_write(report, world, results, count, error);
    }
    else {
        gs_report_close(report);
    }
    for (uint32_t i = 0; i < count; i++) {
        gs_result_free(&results[i]);
    }
    if (good && fflush(stdout)) {
        good = gs_fail(error, "standard output cannot be written");
    }
    return good;
}

/* What cannot be written is found out before a run of minutes, not after it.  A closed
 * standard output would be the next file that is opened, too. */
static bool open_outputs(const gs_options_t *options, FILE **report, gs_error_t *error)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    *report = NULL;
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        return gs_fail(error, "standard output cannot be written");
    }
    return !options->report_file || gs_report_open(options, report, error);
}

static bool make_and_simulate(const gs_options_t *options, gs_error_t *error)
{
    gs_world_t world;
    FILE *report;
    bool good;

    if (!open_outputs(options, &report, error)) {
        return false;
    }
    good = gs_world_make(&world, options, error);
    if (good) {
        warn_of_overload(&world);
        good = simulate(&world, report, error);
    }
    else {
        gs_report_close(report);
    }
    gs_world_free(&world);
    return good;
}

int main(int argc, char **argv)
{
    gs_options_t options;
    gs_error_t error = {""};
    int status = gs_options_read(argc, argv, &options);

    if (status >= 0) {
        return status;
    }
    status = make_and_simulate(&options, &error) ? EXIT_WELL : EXIT_FAILED;
    if (error.text[0]) {
        fprintf(stderr, "greensim: %s\n", error.text);
    }
    free(options.logs);
    return status;
}
