/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c - reads the command line; everything strictly, and every error says what is
 * allowed.
 */
#include "greensim.h"
#include "usage.h"
#include "values.h"
#include "../core/gb_parse.h"
#include "../core/gb_state.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400.0

enum { EXIT_WELL = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---------------------------------------------------------------- the options */

/* In groups: read_option() and check_fleet() go by ranges. */
enum {
    O_TRACE = 256,
    O_LOG,
    O_SHAPE,
    O_FORMAT,
    O_LENGTH,
    O_SMOOTH,
    O_SCALE,
    O_START,
    O_SEED,
    O_MODEL,
    O_SERVERS,
    O_SERVER,
    O_CURVE,
    O_CAPACITY,
    O_CORES,
    O_SERVICE,
    O_LATE_AFTER,
    O_RATE,
    O_SETUP,
    O_SETUP_P95,
    O_SETUP_WATTS,
    O_OFF_WATTS,
    O_SHUTDOWN,
    O_FAILS,
    O_KIND,
    O_AWAKE,
    O_ASLEEP,
    O_CYCLES,
    O_SLOW,
    O_MIN,
    O_SPARE,
    O_POLICY,
    O_MODE,
    O_QUEUE,
    O_LATE,
    O_BUDGET,
    O_WAIT,
    O_TARGET,
    O_THRESHOLD,
    O_HOLD,
    O_JSON,
    O_REPORT,
    O_QUIET,
    O_HELP,
    O_VERSION,
    O_END
};

static const struct option table[] = {
    {"trace", required_argument, NULL, O_TRACE},
    {"access-log", required_argument, NULL, O_LOG},
    {"shape", required_argument, NULL, O_SHAPE},
    {"log-format", required_argument, NULL, O_FORMAT},
    {"length", required_argument, NULL, O_LENGTH},
    {"smooth", required_argument, NULL, O_SMOOTH},
    {"scale", required_argument, NULL, O_SCALE},
    {"start", required_argument, NULL, O_START},
    {"seed", required_argument, NULL, O_SEED},
    {"model", required_argument, NULL, O_MODEL},
    {"servers", required_argument, NULL, O_SERVERS},
    {"server", required_argument, NULL, O_SERVER},
    {"curve", required_argument, NULL, O_CURVE},
    {"capacity", required_argument, NULL, O_CAPACITY},
    {"cores", required_argument, NULL, O_CORES},
    {"service-time", required_argument, NULL, O_SERVICE},
    {"late-after", required_argument, NULL, O_LATE_AFTER},
    {"rate", required_argument, NULL, O_RATE},
    {"setup", required_argument, NULL, O_SETUP},
    {"setup-p95", required_argument, NULL, O_SETUP_P95},
    {"setup-watts", required_argument, NULL, O_SETUP_WATTS},
    {"off-watts", required_argument, NULL, O_OFF_WATTS},
    {"shutdown", required_argument, NULL, O_SHUTDOWN},
    {"boot-fails", required_argument, NULL, O_FAILS},
    {"service", required_argument, NULL, O_KIND},
    {"dwell-awake", required_argument, NULL, O_AWAKE},
    {"dwell-asleep", required_argument, NULL, O_ASLEEP},
    {"cycles", required_argument, NULL, O_CYCLES},
    {"slow-start", required_argument, NULL, O_SLOW},
    {"min", required_argument, NULL, O_MIN},
    {"spare", required_argument, NULL, O_SPARE},
    {"policy", required_argument, NULL, O_POLICY},
    {"mode", required_argument, NULL, O_MODE},
    {"queue", required_argument, NULL, O_QUEUE},
    {"late", required_argument, NULL, O_LATE},
    {"budget", required_argument, NULL, O_BUDGET},
    {"autoscale-wait", required_argument, NULL, O_WAIT},
    {"kpa-target", required_argument, NULL, O_TARGET},
    {"threshold", required_argument, NULL, O_THRESHOLD},
    {"threshold-hold", required_argument, NULL, O_HOLD},
    {"json", no_argument, NULL, O_JSON},
    {"report", required_argument, NULL, O_REPORT},
    {"quiet", no_argument, NULL, O_QUIET},
    {"help", no_argument, NULL, O_HELP},
    {"version", no_argument, NULL, O_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *name_of(int code)
{
    for (const struct option *o = table; o->name; o++) {
        if (o->val == code) {
            return o->name;
        }
    }
    return "";
}

static bool read_load(int code, char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_TRACE:
        options->trace_file = value;
        return true;
    case O_LOG:
        options->logs[options->log_count++] = value;
        return true;
    case O_SHAPE:
        return gs_value_shape(name, value, &options->shape);
    case O_FORMAT:
        options->log_format = value;
        return true;
    case O_LENGTH:
        return gs_value_seconds(name, value, 60, GS_SECONDS_MOST, &options->length_s);
    case O_SMOOTH:
        return gs_value_seconds(name, value, 0, 30 * DAY_S, &options->smooth_s);
    case O_SCALE:
        return gs_value_peak(name, value, &options->scale_peak);
    case O_START:
        return gs_value_start(name, value, &options->start_day_s);
    default:
        return gs_value_seed(name, value, &options->seed);
    }
}

static bool read_fleet(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_MODEL:
        options->model_file = value;
        return true;
    case O_SERVERS:
        return gs_value_count(name, value, 1, GS_SERVERS_MOST, &options->servers);
    case O_SERVER:
        options->server = gs_published_find(value);
        return options->server ||
               gs_value_wrong(name, value,
                              "there is no such server; --server help lists them");
    case O_CURVE:
        return gs_value_curve(name, value, options);
    case O_CAPACITY:
        return gs_value_count(name, value, 1, 100000, &options->capacity);
    case O_CORES:
        return gs_value_count(name, value, 1, 100000, &options->cores);
    case O_SERVICE:
        return gs_value_seconds(name, value, 0.001, 3600, &options->service_s);
    case O_LATE_AFTER:
        return gs_value_seconds(name, value, 0.001, DAY_S, &options->late_after_s);
    default:
        return gs_value_decimal(name, value, GS_RATE_MOST, &options->rate) &&
               (options->rate > 0 ||
                gs_value_wrong(name, value, "it has to be more than 0"));
    }
}

static bool read_power(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_SETUP:
        return gs_value_seconds(name, value, 0, DAY_S, &options->setup_s);
    case O_SETUP_P95:
        return gs_value_seconds(name, value, 0, DAY_S, &options->setup_p95_s);
    case O_SETUP_WATTS:
        return gs_value_decimal(name, value, GB_WATTS_MOST, &options->setup_watts);
    case O_OFF_WATTS:
        return gs_value_decimal(name, value, GB_WATTS_MOST, &options->off_watts);
    case O_MIN:
        return gs_value_count(name, value, 1, GS_SERVERS_MOST, &options->min_on);
    default:
        return gs_value_count(name, value, 0, GS_SERVERS_MOST, &options->spare);
    }
}

/* What only the discrete mode knows. */
static bool read_discrete(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_SHUTDOWN:
        return gs_value_seconds(name, value, 0, 3600, &options->shutdown_s);
    case O_FAILS:
        return gs_value_share(name, value, 99, &options->boot_fail_share);
    case O_KIND:
        return gs_value_word(name, value, "exponential", "constant",
                             &options->constant_service);
    case O_AWAKE:
        return gs_value_seconds(name, value, 0, DAY_S, &options->dwell_awake_s);
    case O_ASLEEP:
        return gs_value_seconds(name, value, 0, DAY_S, &options->dwell_asleep_s);
    case O_CYCLES:
        return gs_value_count(name, value, 1, GB_CYCLES_KEPT, &options->cycles);
    default:
        return gs_value_seconds(name, value, 0, 3600, &options->slow_start_s);
    }
}

static bool read_queue(const char *option, const char *value, gs_options_t *options)
{
    options->queue_off = strcmp(value, "off") == 0;
    options->late_last = strcmp(value, "late-last") == 0;
    return options->queue_off || options->late_last || strcmp(value, "fifo") == 0 ||
           gs_value_wrong(option, value,
                          "fifo, late-last or (--mode discrete) off is allowed");
}

static bool read_decisions(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);
    double seconds;

    switch (code) {
    case O_POLICY:
        return gs_value_policies(name, value, options->wanted);
    case O_MODE:
        return gs_value_word(name, value, "fluid", "discrete", &options->discrete);
    case O_QUEUE:
        return read_queue(name, value, options);
    case O_LATE:
        return gs_value_share(name, value, 100, &options->late_share);
    case O_BUDGET:
        return gs_value_share(name, value, 50, &options->conf.budget) &&
               (options->conf.budget > 0 ||
                gs_value_wrong(name, value, "it has to be more than 0%"));
    case O_WAIT:
        return gs_value_seconds(name, value, 1, 7 * DAY_S, &options->conf.wait_s);
    case O_TARGET:
        return gs_value_share(name, value, 100, &options->conf.target) &&
               (options->conf.target >= 0.01 ||
                gs_value_wrong(name, value, "it has to be at least 1%"));
    case O_THRESHOLD:
        return gs_value_threshold(name, value, &options->conf.threshold);
    default:
        if (!gs_value_seconds(name, value, 0, DAY_S, &seconds)) {
            return false;
        }
        options->conf.hold_us = (int64_t)(seconds * GB_US_PER_S);
        return true;
    }
}

static bool clash(const char *option, const char *why)
{
    fprintf(stderr, "greensim: --%s %s\n", option, why);
    return false;
}

static bool read_option(int code, char *value, gs_options_t *options)
{
    if (code == O_JSON) {
        options->as_json = true;
    }
    else if (code == O_QUIET) {
        options->quiet = true;
    }
    else if (code == O_REPORT) {
        options->report_file = value;
        return strcmp(value, "-") != 0 ||
               clash("report -",
                     "would be a file of that name; the table is on standard "
                     "output");
    }
    else if (code <= O_SEED) {
        return read_load(code, value, options);
    }
    else if (code <= O_RATE) {
        return read_fleet(code, value, options);
    }
    else if (code >= O_SHUTDOWN && code <= O_SLOW) {
        return read_discrete(code, value, options);
    }
    else if (code <= O_SPARE) {
        return read_power(code, value, options);
    }
    else {
        return read_decisions(code, value, options);
    }
    return true;
}

/* --------------------------------------------------------------- what fits together */

static bool check_load(const bool *seen)
{
    int loads = seen[O_TRACE] + seen[O_LOG] + seen[O_SHAPE];

    if (loads != 1) {
        fprintf(stderr,
                "greensim: %s of --trace, --access-log and --shape is allowed; "
                "greensim --help\n",
                loads ? "only one" : "no load is given: one");
        return false;
    }
    if (seen[O_FORMAT] && !seen[O_LOG]) {
        return clash("log-format", "is for --access-log");
    }
    if (seen[O_LENGTH] && !seen[O_SHAPE]) {
        return clash("length", "is for --shape");
    }
    return true;
}

static bool check_fleet(const bool *seen, const gs_options_t *options)
{
    static const int in_model[] = {O_SERVERS, O_SERVER, O_CURVE, O_CAPACITY};

    for (size_t i = 0; seen[O_MODEL] && i < sizeof in_model / sizeof in_model[0]; i++) {
        if (seen[in_model[i]]) {
            return clash(name_of(in_model[i]), "contradicts --model, which says it");
        }
    }
    if (seen[O_SERVER] && seen[O_CURVE]) {
        return clash("curve", "contradicts --server, which has one");
    }
    for (int code = O_SHUTDOWN; code <= O_SLOW; code++) {
        if (!options->discrete && seen[code]) {
            return clash(name_of(code),
                         "needs --mode discrete: the fluid does not know it");
        }
    }
    if (!options->discrete && options->queue_off) {
        return clash("queue off", "needs --mode discrete: in the fluid all wait in one "
                                  "line");
    }
    return true;
}

/* A setting of a policy that does not run was meant for another. */
static bool check_policies(const bool *seen, gs_options_t *options)
{
    const bool *wanted = options->wanted;

    if (!seen[O_POLICY]) {
        gs_value_policies("policy", "all", options->wanted);
    }
    options->wanted[GS_OPTIMUM] = options->wanted[GS_BOUND] = true;
    options->wanted[GS_ORACLE] = options->wanted[GS_ALWAYS_ON] = true;
    if (wanted[GS_PLAN] && !options->discrete) {
        return clash("policy plan",
                     "needs --mode discrete: the optimum is the fluid's plan already");
    }
    if (seen[O_BUDGET] && !wanted[GB_POLICY_NEWS] && !wanted[GS_HINDSIGHT]) {
        return clash("budget", "is for news and hindsight, which --policy leaves out");
    }
    if (seen[O_WAIT] && !wanted[GB_POLICY_AUTOSCALE]) {
        return clash("autoscale-wait", "is for autoscale, which --policy leaves out");
    }
    if (seen[O_TARGET] && !wanted[GB_POLICY_KPA]) {
        return clash("kpa-target", "is for kpa, which --policy leaves out");
    }
    if ((seen[O_THRESHOLD] || seen[O_HOLD]) && !wanted[GB_POLICY_THRESHOLD]) {
        return clash(seen[O_HOLD] ? "threshold-hold" : "threshold",
                     "is for threshold, which --policy leaves out");
    }
    return true;
}

static void set_defaults(gs_options_t *options, int argc)
{
    *options = (gs_options_t){
        .length_s = -1,
        .scale_peak = -1,
        .start_day_s = -1,
        .seed = 1,
        .service_s = -1,
        .rate = -1,
        .late_after_s = -1,
        .setup_s = -1,
        .setup_p95_s = -1,
        .setup_watts = -1,
        .off_watts = -1,
        .min_on = 1,
        .late_share = 0.01,
    };
    gb_policy_defaults(&options->conf, GB_POLICY_NEWS);
    options->logs = gs_alloc((size_t)argc + 1, sizeof *options->logs);
}

/* Ends the program well: help, a list. */
static bool is_question(int code, const char *value)
{
    if (code == O_HELP) {
        gs_usage_print();
    }
    else if (code == O_VERSION) {
        puts("greensim " GB_VERSION);
    }
    else if (code == O_SERVER && strcmp(value, "help") == 0) {
        gs_usage_servers();
    }
    else {
        return false;
    }
    return true;
}

static int answered(void)
{
    if (fflush(stdout)) {
        fputs("greensim: standard output cannot be written\n", stderr);
        return EXIT_FAILED;
    }
    return EXIT_WELL;
}

int gs_options_read(int argc, char **argv, gs_options_t *options)
{
    bool seen[O_END] = {false};
    int code, before = 0;

    set_defaults(options, argc);
    /* In order: a word after --access-log is one more log. */
    while ((code = getopt_long(argc, argv, "-", table, NULL)) != -1) {
        if (code == '?' || code == ':') {
            return EXIT_USAGE; /* getopt has said why */
        }
        if (code == 1 && before != O_LOG) {
            fprintf(stderr, "greensim: %s: no option takes it; greensim --help\n",
                    optarg);
            return EXIT_USAGE;
        }
        code = code == 1 ? O_LOG : code;
        if (is_question(code, optarg)) {
            return answered();
        }
        if (seen[code] && code != O_LOG) {
            clash(name_of(code), "is given twice");
            return EXIT_USAGE;
        }
        if (!read_option(code, optarg, options)) {
            return EXIT_USAGE;
        }
        seen[code] = true;
        before = code;
    }
    if (optind < argc) {
        fprintf(stderr, "greensim: %s: no option takes it; greensim --help\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return check_load(seen) && check_fleet(seen, options) &&
                   check_policies(seen, options)
               ? -1
               : EXIT_USAGE;
}
