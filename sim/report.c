/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c - --report: one HTML file with all that it needs.
 *
 * The page (web/report.html, made part of the program by web/embed-report) makes its
 * words, tables and plots of the numbers that are written into it here as JSON.  Names
 * are whatever a file was called: the JSON has no '<', and the page makes text of text
 * only.
 */
#include "greensim.h"
#include "../core/gb_json.h"

#include "report_page.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ----------------------------------------------------------------------- the inputs */

/* A minute's mean rate at its highest. */
static double peak_rate(const gs_trace_t *trace)
{
    double most = 0, sum = 0;
    uint32_t filled = 0;

    for (uint32_t i = 0; i < trace->seconds; i++) {
        sum += trace->arrived[i];
        if (++filled == 60 || i + 1 == trace->seconds) {
            most = fmax(most, sum / filled);
            sum = 0;
            filled = 0;
        }
    }
    return most;
}

static void write_log(gb_json_t *json, const gs_log_facts_t *log)
{
    gb_json_key(json, "log");
    if (log->first_at_s == 0) {
        gb_json_null(json);
        return;
    }
    gb_json_open_object(json);
    gb_json_member_number(json, "first_at_s", (double)log->first_at_s, 0);
    gb_json_member_number(json, "zone_s", log->zone_s, 0);
    gb_json_member_number(json, "lines", (double)log->lines, 0);
    gb_json_member_number(json, "unfit", (double)log->unfit, 0);
    gb_json_member_number(json, "gap_s", (double)log->gap_s, 0);
    gb_json_member_number(json, "timed", (double)log->timed, 0);
    gb_json_member_number(json, "service_s", log->service_s, 6);
    gb_json_member_number(json, "service_p50_s", log->service_p50_s, 6);
    gb_json_member_number(json, "service_p99_s", log->service_p99_s, 6);
    gb_json_close_object(json);
}

static void write_load(gb_json_t *json, const gs_world_t *world)
{
    const gs_trace_t *trace = &world->trace;

    gb_json_key(json, "trace");
    gb_json_open_object(json);
    gb_json_key(json, "name");
    gb_json_string_most(json, trace->name, sizeof trace->name);
    gb_json_member_number(json, "seconds", trace->seconds, 0);
    gb_json_member_number(json, "requests", trace->requests, 0);
    gb_json_member_number(json, "peak_rate", peak_rate(trace), 3);
    gb_json_member_number(json, "start_day_s", (double)trace->start_day_s, 0);
    write_log(json, &trace->log);
    gb_json_close_object(json);
}

static void write_settings(gb_json_t *json, const gs_world_t *world)
{
    const gs_options_t *options = world->options;

    gb_json_key(json, "run");
    gb_json_open_object(json);
    gb_json_member_string(json, "mode", options->discrete ? "discrete" : "fluid");
    gb_json_member_string(json, "queue", gs_queue_name(options));
    gb_json_member_bool(json, "generated", options->shape != GS_SHAPE_NONE);
    gb_json_member_unsigned(json, "seed", options->seed);
    gb_json_member_number(json, "smooth_s", options->smooth_s, 3);
    gb_json_member_number(json, "scale_peak", options->scale_peak, 3);
    gb_json_member_number(json, "late_s", world->fleet.late_s, 6);
    gb_json_member_number(json, "late_share", options->late_share, 6);
    gb_json_member_number(json, "budget", options->conf.budget, 6);
    gb_json_member_bool(json, "service_given", options->service_s >= 0);
    gb_json_member_bool(json, "rate_given", options->rate > 0);
    gb_json_member_bool(json, "servers_given",
                        options->servers > 0 || options->model_file != NULL);
    gb_json_member_bool(json, "power_given",
                        options->server || options->has_curve || options->model_file);
    gb_json_member_bool(json, "setup_given",
                        options->setup_s >= 0 || options->model_file);
    gb_json_member_number(json, "min_on", options->min_on, 0);
    gb_json_member_number(json, "spare", options->spare, 0);
    gb_json_close_object(json);
}

/* Where the curve comes from, in words; of what server it is, or NULL. */
static const char *source_of(const gs_options_t *options, const char **what)
{
    const gs_published_t *kind = options->server ? options->server : gs_published(0);

    *what = NULL;
    if (options->model_file) {
        return "the model file";
    }
    if (options->has_curve) {
        return "given with --curve";
    }
    *what = kind->what;
    return kind->source;
}

static void write_type(gb_json_t *json, const gs_server_t *server, uint32_t count)
{
    gb_json_open_object(json);
    gb_json_key(json, "name");
    gb_json_string_most(json, server->name, sizeof server->name);
    gb_json_member_number(json, "count", count, 0);
    gb_json_key(json, "watts");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < 11; i++) {
        gb_json_number(json, server->curve.watts[i], 2);
    }
    gb_json_close_array(json);
    gb_json_member_number(json, "off_watts", server->curve.off_watts, 2);
    gb_json_member_number(json, "setup_watts", server->setup_watts, 2);
    gb_json_member_number(json, "setup_s", server->setup_s, 3);
    gb_json_member_number(json, "setup_p95_s", server->setup_p95_s, 3);
    gb_json_member_number(json, "shutdown_s", server->shutdown_s, 3);
    gb_json_member_number(json, "capacity", server->capacity, 0);
    gb_json_member_number(json, "cores", server->cores, 0);
    gb_json_member_number(json, "service_s", server->service_s, 6);
    gb_json_member_number(json, "rate", server->rate, 3);
    gb_json_close_object(json);
}

static void write_fleet(gb_json_t *json, const gs_world_t *world)
{
    const gs_fleet_t *fleet = &world->fleet;
    const char *what;

    gb_json_key(json, "fleet");
    gb_json_open_object(json);
    gb_json_member_number(json, "count", fleet->count, 0);
    gb_json_member_number(json, "rate", fleet->rate, 3);
    gb_json_member_number(json, "boot_fail_share", fleet->boot_fail_share, 6);
    gb_json_member_string(json, "source", source_of(world->options, &what));
    gb_json_member_string(json, "what", what);
    gb_json_member_number(json, "watts_assumed", gs_fleet_assumed(fleet), 0);
    gb_json_key(json, "types");
    gb_json_open_array(json);
    for (uint32_t type = 0; type < fleet->types; type++) {
        const gs_server_t *first = NULL;
        uint32_t count = 0;

        for (uint32_t i = 0; i < fleet->count; i++) {
            if (fleet->type_of[i] == type) {
                first = first ? first : &fleet->servers[i];
                count++;
            }
        }
        if (first) {
            write_type(json, first, count);
        }
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

/* ---------------------------------------------------------------------- the results */

enum { SERIES_RATE, SERIES_ON, SERIES_WATTS, SERIES_LATE };

static double value_of(const gs_point_t *point, int which)
{
    switch (which) {
    case SERIES_RATE:
        return point->rate;
    case SERIES_ON:
        return point->on;
    case SERIES_WATTS:
        return point->watts;
    default:
        return 100 * (double)point->late_share;
    }
}

static void write_series(gb_json_t *json, const gs_result_t *result, const char *name,
                         int which, uint32_t decimals)
{
    gb_json_key(json, name);
    gb_json_open_array(json);
    for (uint32_t i = 0; i < result->points && i < GS_POINTS; i++) {
        gb_json_number(json, value_of(&result->series[i], which), decimals);
    }
    gb_json_close_array(json);
}

static void write_result(gb_json_t *json, const gs_result_t *result)
{
    gb_json_open_object(json);
    gb_json_member_string(json, "policy", gs_policy_name(result->policy));
    gb_json_key(json, "note");
    gb_json_string_most(json, result->note, sizeof result->note);
    gb_json_member_bool(json, "is_run", result->is_run);
    gb_json_member_number(json, "joules", result->joules, 1);
    gb_json_member_number(json, "over_optimum", result->over_optimum, 5);
    gb_json_member_number(json, "requests", result->requests, 1);
    gb_json_member_number(json, "late", result->late, 3);
    gb_json_member_number(json, "p99_ms", result->p99_ms, 1);
    gb_json_member_number(json, "cycles", result->cycles_per_server_day, 3);
    gb_json_member_number(json, "peak_on", result->peak_on, 2);
    gb_json_member_number(json, "mean_on", result->mean_on, 3);
    gb_json_member_number(json, "step_s", result->step_s, 3);
    if (result->points > 0) {
        write_series(json, result, "rate", SERIES_RATE, 3);
        write_series(json, result, "on", SERIES_ON, 2);
        write_series(json, result, "watts", SERIES_WATTS, 1);
        if (result->is_run) {
            write_series(json, result, "late_percent", SERIES_LATE, 3);
        }
    }
    gb_json_close_object(json);
}

static void write_numbers(gb_json_t *json, const gs_world_t *world,
                          const gs_result_t *results, uint32_t count)
{
    gb_json_open_object(json);
    write_load(json, world);
    write_settings(json, world);
    write_fleet(json, world);
    gb_json_key(json, "results");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < count; i++) {
        write_result(json, &results[i]);
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

/* ------------------------------------------------------------------------- the file */

/* The JSON as a text; the caller's, for free().  NULL: it is none, which is a bug. */
static char *make_numbers(const gs_world_t *world, const gs_result_t *results,
                          uint32_t count)
{
    gb_json_t json;
    char *numbers;
    size_t room;

    gb_json_start(&json, NULL, 0);
    write_numbers(&json, world, results, count);
    room = json.bytes + 1;
    numbers = gs_alloc(room, 1);
    gb_json_start(&json, numbers, room);
    write_numbers(&json, world, results, count);
    if (!gb_json_finish(&json)) {
        free(numbers);
        return NULL;
    }
    return numbers;
}

/* In JSON a '<' stands only within strings, where it can be written like this: then no
 * name ends the element or begins a comment. */
static void put_numbers(FILE *file, const char *numbers)
{
    while (*numbers) {
        size_t length = strcspn(numbers, "<");

        fwrite(numbers, 1, length, file);
        numbers += length;
        if (*numbers) {
            fputs("\\u003c", file);
            numbers++;
        }
    }
    fputc('\n', file);
}

static bool is_same(const char *path, const struct stat *other)
{
    struct stat st;

    return (strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &st) : stat(path, &st)) == 0 &&
           S_ISREG(st.st_mode) && st.st_dev == other->st_dev &&
           st.st_ino == other->st_ino;
}

/* The name of what is read from the report's own file, or written to it by somebody
 * else; or NULL. */
static const char *other_use(const gs_options_t *options, const struct stat *report)
{
    const char *const named[] = {options->trace_file, options->model_file};
    struct stat out;

    for (uint32_t i = 0; i < options->log_count; i++) {
        if (is_same(options->logs[i], report)) {
            return "--access-log";
        }
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (named[i] && is_same(named[i], report)) {
            return i == 0 ? "--trace" : "--model";
        }
    }
    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == report->st_dev &&
                   out.st_ino == report->st_ino && S_ISREG(out.st_mode)
               ? "standard output"
               : NULL;
}

/* A run that fails or is broken off leaves no empty page. */
static bool try_new(const char *path, gs_error_t *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0) {
        return gs_fail(error, "--report %s: %s", path, strerror(errno));
    }
    (void)close(fd);
    (void)unlink(path);
    return true;
}

bool gs_report_open(const gs_options_t *options, FILE **file, gs_error_t *error)
{
    const char *path = options->report_file, *other;
    struct stat st;

    *file = NULL;
    if (lstat(path, &st) != 0 && errno == ENOENT) {
        return try_new(path, error);
    }
    *file = fopen(path, "ae");
    if (!*file || fstat(fileno(*file), &st) != 0) {
        return gs_fail(error, "--report %s: %s", path, strerror(errno));
    }
    other = other_use(options, &st);
    if (other) {
        (void)fclose(*file);
        return gs_fail(error, "--report %s is the file of %s too; it would be lost",
                       path, other);
    }
    return true;
}

/* What an earlier run left; a pipe or a device has nothing to be taken away. */
static bool empty(FILE *file)
{
    struct stat st;

    return fstat(fileno(file), &st) == 0 &&
           (!S_ISREG(st.st_mode) || ftruncate(fileno(file), 0) == 0);
}

static bool put_page(FILE *file, const char *numbers)
{
    bool good = empty(file);

    fwrite(report_before, 1, sizeof report_before - 1, file);
    put_numbers(file, numbers);
    fwrite(report_behind, 1, sizeof report_behind - 1, file);
    good = ferror(file) == 0 && good;
    return fclose(file) == 0 && good;
}

bool gs_report_write(FILE *file, const gs_world_t *world, const gs_result_t *results,
                     uint32_t count, gs_error_t *error)
{
    const char *path = world->options->report_file;
    char *numbers = make_numbers(world, results, count);
    bool is_new = !file, good = false;

    if (!numbers) {
        gs_report_close(file);
        return gs_fail(error, "--report: the results are no JSON");
    }
    file = file ? file : fopen(path, "we");
    if (file) {
        good = put_page(file, numbers);
    }
    if (!good) {
        gs_fail(error, "--report %s cannot be written: %s", path, strerror(errno));
    }
    if (!good && is_new && file) {
        (void)unlink(path); /* half a page */
    }
    free(numbers);
    return good;
}

void gs_report_close(FILE *file)
{
    if (file) {
        (void)fclose(file);
    }
}
