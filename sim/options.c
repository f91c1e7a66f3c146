/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c - reads the command line; everything strictly, and every error says what is
 * allowed.
 */
#include "greensim.h"
#include "../core/gb_parse.h"
#include "../core/gb_state.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S            86400.0
#define POLICY_LIST_MOST 400

enum { EXIT_WELL = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage_text[] =
    "usage: greensim LOAD [FLEET] [POLICIES] [OUTPUT]\n"
    "\n"
    "Load, one of:\n"
    "  --trace FILE            lines SECONDS,REQUESTS_PER_SECOND; - is standard input\n"
    "  --access-log FILE...    access logs of httpd, also .gz\n"
    "  --shape NAME            day, week, flash, bursts or walk\n"
    "and how it is taken:\n"
    "  --log-format FORMAT     a LogFormat string (found out when it is not given)\n"
    "  --length D              of a shape, instead of its own\n"
    "  --smooth D              moving mean, before it is scaled\n"
    "  --scale peak=N          the 99.9th percentile of the minutes becomes N "
    "servers'\n"
    "                          worth (a shape: 0.7 of the servers)\n"
    "  --start HH:MM           time of day at which it begins\n"
    "  --seed N                of all that is random (1)\n"
    "\n"
    "Fleet:\n"
    "  --model FILE            what greenctl model prints; else:\n"
    "  --servers N             (20)\n"
    "  --server NAME|help      one of which the power is published (autoscale2012)\n"
    "  --curve W0,...,W100     11 watts at 0, 10 ... 100 % load, or IDLE:PEAK\n"
    "  --capacity N            requests in flight that a server is filled up to "
    "(cores)\n"
    "and for all of them:\n"
    "  --cores N               requests that it serves at once (capacity, else 8)\n"
    "  --service-time D        that one request takes, mean (120ms)\n"
    "  --late-after D          a response that takes longer is late (500ms)\n"
    "  --rate R                requests/s that one carries within the goal\n"
    "                          (as many as leave 1 % late)\n"
    "  --setup D               from the order to the first request (260s)\n"
    "  --setup-p95 D           its 95 % quantile (the same: it never varies)\n"
    "  --setup-watts W         drawn meanwhile (as published; else the peak)\n"
    "  --off-watts W           drawn switched off (as published; else 5)\n"
    "  --shutdown D            to go off (0s; --mode discrete)\n"
    "  --boot-fails P%         share of boots that fail (0%; --mode discrete)\n"
    "  --service exponential|constant   how long requests take (exponential; --mode "
    "discrete)\n"
    "  --min N, --spare N      GreenAwake min= (1) and spare= (0)\n"
    "\n"
    "Policies:\n"
    "  --policy all|NAME,...   threshold autoscale lcp kpa news reactive hindsight;\n"
    "                          moving-average straight-line opt-reactive "
    "autoscale--\n"
    "                          by name only;\n"
    "                          optimum bound oracle always-on are always there (all)\n"
    "  --mode fluid|discrete   (fluid)\n"
    "  --queue fifo|late-last  who is served first of those that wait (fifo)\n"
    "  --queue off             nobody waits in the balancer (--mode discrete)\n"
    "  --dwell-awake D, --dwell-asleep D, --cycles N, --slow-start D\n"
    "                          as GreenDwell and GreenSlowStart (none; --mode "
    "discrete)\n"
    "  --late P%               of the bound: share that may be late (1%)\n"
    "  --budget P%             of news and hindsight: the same (0.5%)\n"
    "  --autoscale-wait D      an idle server goes off (120s x setup / 260s)\n"
    "  --kpa-target P%         of what a server carries (70%)\n"
    "  --threshold wake=P%,sleep=P%   as GreenThreshold\n"
    "  --threshold-hold D      how long the load has to stay low, as GreenDwell "
    "awake=\n"
    "\n"
    "Output:\n"
    "  --json                  instead of the table\n"
    "  --report FILE.html      plots, in one file\n"
    "  --quiet                 no progress on a terminal\n"
    "  --help, --version\n"
    "\n"
    "D: a number with ms, s, m, h or d.  Exit status: 0 done, 1 failed, 2 wrong "
    "usage.\n";

static const struct {
    const char *name;
    bool in_all;
} policies[GS_POLICY_COUNT] = {
    [GB_POLICY_THRESHOLD] = {"threshold", true},
    [GB_POLICY_AUTOSCALE] = {"autoscale", true},
    [GB_POLICY_LCP] = {"lcp", true},
    [GB_POLICY_KPA] = {"kpa", true},
    [GB_POLICY_NEWS] = {"news", true},
    [GS_ALWAYS_ON] = {"always-on", true},
    [GS_REACTIVE] = {"reactive", true},
    [GS_MOVING_AVERAGE] = {"moving-average", false},
    [GS_STRAIGHT_LINE] = {"straight-line", false},
    [GS_OPT_REACTIVE] = {"opt-reactive", false},
    [GS_AUTOSCALE_RATE] = {"autoscale--", false},
    [GS_ORACLE] = {"oracle", true},
    [GS_HINDSIGHT] = {"hindsight", true},
    [GS_OPTIMUM] = {"optimum", true},
    [GS_BOUND] = {"bound", true},
};

const char *gs_policy_name(gs_policy_e policy)
{
    return policy < GS_POLICY_COUNT ? policies[policy].name : "invalid";
}

gs_policy_e gs_policy_find(const char *name)
{
    gs_policy_e policy = GS_CORE_FIRST;

    while (policy < GS_POLICY_COUNT && strcmp(policies[policy].name, name) != 0) {
        policy++;
    }
    return policy;
}

/* ---------------------------------------------------------------- kinds of values */

static bool wrong(const char *option, const char *value, const char *allowed)
{
    fprintf(stderr, "greensim: --%s %s: %s\n", option, value, allowed);
    return false;
}

static bool read_seconds(const char *option, const char *value, double least_s,
                         double most_s, double *seconds)
{
    char allowed[160];
    int64_t us;

    if (gb_parse_duration(value, &us) && (double)us >= least_s * GB_US_PER_S &&
        (double)us <= most_s * GB_US_PER_S) {
        *seconds = (double)us / GB_US_PER_S;
        return true;
    }
    snprintf(allowed, sizeof allowed,
             "a duration from %gs to %gs is allowed, as 500ms, 260s, 15m, 2h or 7d",
             least_s, most_s);
    return wrong(option, value, allowed);
}

static bool read_count(const char *option, const char *value, uint32_t least,
                       uint32_t most, uint32_t *count)
{
    char allowed[80];

    if (gb_parse_count(value, least, most, count)) {
        return true;
    }
    snprintf(allowed, sizeof allowed, "a whole number from %u to %u is allowed", least,
             most);
    return wrong(option, value, allowed);
}

static bool read_decimal(const char *option, const char *value, double most,
                         double *number)
{
    char allowed[96];

    if (gb_parse_decimal(value, most, number)) {
        return true;
    }
    snprintf(allowed, sizeof allowed,
             "a number from 0 to %.0f is allowed, with a point and up to 6 digits",
             most);
    return wrong(option, value, allowed);
}

static bool read_share(const char *option, const char *value, double most_percent,
                       double *share)
{
    char number[32], allowed[80];
    size_t bytes = strlen(value);
    double percent;

    if (bytes >= 2 && bytes < sizeof number && value[bytes - 1] == '%') {
        memcpy(number, value, bytes - 1);
        number[bytes - 1] = '\0';
        if (gb_parse_decimal(number, most_percent, &percent)) {
            *share = percent / 100;
            return true;
        }
    }
    snprintf(allowed, sizeof allowed, "a percentage up to %g%% is allowed, as 0.5%%",
             most_percent);
    return wrong(option, value, allowed);
}

static bool read_seed(const char *option, const char *value, uint64_t *seed)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno) {
        return wrong(option, value,
                     "a whole number from 0 to 18446744073709551615 is allowed");
    }
    *seed = number;
    return true;
}

static bool read_peak(const char *option, const char *value, double *servers)
{
    if (strncmp(value, "peak=", 5) == 0 &&
        gb_parse_decimal(value + 5, GS_SERVERS_MOST, servers) && *servers > 0) {
        return true;
    }
    return wrong(option, value, "peak=N is allowed, N servers above 0 up to 1000");
}

static bool read_start(const char *option, const char *value, double *second)
{
    unsigned hour = 0, minute = 0;
    int end = 0;

    if (strlen(value) == 5 && sscanf(value, "%2u:%2u%n", &hour, &minute, &end) == 2 &&
        end == 5 && hour < 24 && minute < 60 && strspn(value, "0123456789:") == 5) {
        *second = hour * 3600.0 + minute * 60.0;
        return true;
    }
    return wrong(option, value, "HH:MM is allowed, from 00:00 to 23:59");
}

/* wake=P%,sleep=P% */
static bool split_threshold(const char *value, gb_threshold_t *threshold)
{
    const char *comma = strchr(value, ',');
    char wake[16] = "";

    if (strncmp(value, "wake=", 5) != 0 || !comma || comma - value >= 16 ||
        strncmp(comma, ",sleep=", 7) != 0) {
        return false;
    }
    memcpy(wake, value + 5, (size_t)(comma - value) - 5);
    return gb_parse_percent(wake, &threshold->wake_permille) &&
           gb_parse_percent(comma + 7, &threshold->sleep_permille) &&
           threshold->sleep_permille >= 1 &&
           threshold->sleep_permille < threshold->wake_permille;
}

static bool read_threshold(const char *option, const char *value,
                           gb_threshold_t *threshold)
{
    gb_threshold_t read;

    if (split_threshold(value, &read)) {
        *threshold = read;
        return true;
    }
    return wrong(
        option, value,
        "wake=P%,sleep=P% is allowed, sleep below wake, as wake=80%,sleep=50%");
}

/* ---------------------------------------------------------------- words */

static bool read_shape(const char *option, const char *value, gs_shape_e *shape)
{
    for (gs_shape_e s = GS_SHAPE_DAY; s <= GS_SHAPE_WALK; s++) {
        if (strcmp(gs_shape_name(s), value) == 0) {
            *shape = s;
            return true;
        }
    }
    return wrong(option, value, "day, week, flash, bursts or walk is allowed");
}

/* One of two words: is it the second? */
static bool read_word(const char *option, const char *value, const char *no,
                      const char *yes, bool *is_yes)
{
    char allowed[80];

    *is_yes = strcmp(value, yes) == 0;
    if (*is_yes || strcmp(value, no) == 0) {
        return true;
    }
    snprintf(allowed, sizeof allowed, "%s or %s is allowed", no, yes);
    return wrong(option, value, allowed);
}

static bool want_policy(const char *option, const char *name, bool *wanted)
{
    char allowed[POLICY_LIST_MOST] = "all";
    gs_policy_e found = gs_policy_find(name);
    size_t used = strlen(allowed);

    if (strcmp(name, "all") == 0) {
        for (gs_policy_e i = GS_CORE_FIRST; i < GS_POLICY_COUNT; i++) {
            wanted[i] = wanted[i] || policies[i].in_all;
        }
        return true;
    }
    if (found < GS_POLICY_COUNT) {
        wanted[found] = true;
        return true;
    }
    for (gs_policy_e i = GS_CORE_FIRST; i < GS_POLICY_COUNT; i++) {
        int added =
            snprintf(allowed + used, sizeof allowed - used, ", %s", policies[i].name);

        used += added > 0 ? (size_t)added : 0;
    }
    snprintf(allowed + used, sizeof allowed - used,
             " are allowed, with commas between");
    return wrong(option, name, allowed);
}

static bool read_policies(const char *option, const char *value, bool *wanted)
{
    const char *at = value;

    for (;;) {
        char name[32];
        size_t bytes = strcspn(at, ",");

        snprintf(name, sizeof name, "%.*s", (int)(bytes < 31 ? bytes : 31), at);
        if (!want_policy(option, name, wanted)) {
            return false;
        }
        if (!at[bytes]) {
            return true;
        }
        at += bytes + 1;
    }
}

static bool read_curve(const char *option, const char *value, gs_options_t *options)
{
    options->has_curve = gb_parse_watts(value, options->curve);
    if (options->has_curve && options->curve[0] > options->curve[10]) {
        return wrong(option, value,
                     "it begins with the watts of an idle server, which "
                     "are not more than those of a busy one");
    }
    return options->has_curve ||
           wrong(
               option, value,
               "11 watts with commas between, at 0, 10 ... 100 % load, or IDLE:PEAK is "
               "allowed, each up to 100000");
}

static void list_servers(void)
{
    const gs_published_t *server;

    for (uint32_t i = 0; (server = gs_published(i)); i++) {
        printf("%-16s %s\n%16s idle %g W, peak %g W, off %g W, booting %g W\n%16s %s\n",
               server->name, server->what, "", server->watts[0], server->watts[10],
               server->off_watts, server->setup_watts, "", server->source);
    }
}

/* ---------------------------------------------------------------- the options */

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
        return read_shape(name, value, &options->shape);
    case O_FORMAT:
        options->log_format = value;
        return true;
    case O_LENGTH:
        return read_seconds(name, value, 60, GS_SECONDS_MOST, &options->length_s);
    case O_SMOOTH:
        return read_seconds(name, value, 0, 30 * DAY_S, &options->smooth_s);
    case O_SCALE:
        return read_peak(name, value, &options->scale_peak);
    case O_START:
        return read_start(name, value, &options->start_day_s);
    default:
        return read_seed(name, value, &options->seed);
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
        return read_count(name, value, 1, GS_SERVERS_MOST, &options->servers);
    case O_SERVER:
        options->server = value;
        return true;
    case O_CURVE:
        return read_curve(name, value, options);
    case O_CAPACITY:
        return read_count(name, value, 1, 100000, &options->capacity);
    case O_CORES:
        return read_count(name, value, 1, 100000, &options->cores);
    case O_SERVICE:
        return read_seconds(name, value, 0.001, 3600, &options->service_s);
    case O_LATE_AFTER:
        return read_seconds(name, value, 0.001, DAY_S, &options->late_after_s);
    default:
        return read_decimal(name, value, GS_RATE_MOST, &options->rate) &&
               (options->rate > 0 || wrong(name, value, "it has to be more than 0"));
    }
}

static bool read_power(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_SETUP:
        return read_seconds(name, value, 0, DAY_S, &options->setup_s);
    case O_SETUP_P95:
        return read_seconds(name, value, 0, DAY_S, &options->setup_p95_s);
    case O_SETUP_WATTS:
        return read_decimal(name, value, GB_WATTS_MOST, &options->setup_watts);
    case O_OFF_WATTS:
        return read_decimal(name, value, GB_WATTS_MOST, &options->off_watts);
    case O_MIN:
        return read_count(name, value, 1, GS_SERVERS_MOST, &options->min_on);
    default:
        return read_count(name, value, 0, GS_SERVERS_MOST, &options->spare);
    }
}

/* What only the discrete mode knows. */
static bool read_discrete(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);

    switch (code) {
    case O_SHUTDOWN:
        return read_seconds(name, value, 0, 3600, &options->shutdown_s);
    case O_FAILS:
        return read_share(name, value, 99, &options->boot_fail_share);
    case O_KIND:
        return read_word(name, value, "exponential", "constant",
                         &options->constant_service);
    case O_AWAKE:
        return read_seconds(name, value, 0, DAY_S, &options->dwell_awake_s);
    case O_ASLEEP:
        return read_seconds(name, value, 0, DAY_S, &options->dwell_asleep_s);
    case O_CYCLES:
        return read_count(name, value, 1, GB_CYCLES_KEPT, &options->cycles);
    default:
        return read_seconds(name, value, 0, 3600, &options->slow_start_s);
    }
}

static bool read_queue(const char *option, const char *value, gs_options_t *options)
{
    options->queue_off = strcmp(value, "off") == 0;
    options->late_last = strcmp(value, "late-last") == 0;
    return options->queue_off || options->late_last || strcmp(value, "fifo") == 0 ||
           wrong(option, value, "fifo, late-last or (--mode discrete) off is allowed");
}

static bool read_decisions(int code, const char *value, gs_options_t *options)
{
    const char *name = name_of(code);
    double seconds;

    switch (code) {
    case O_POLICY:
        return read_policies(name, value, options->wanted);
    case O_MODE:
        return read_word(name, value, "fluid", "discrete", &options->discrete);
    case O_QUEUE:
        return read_queue(name, value, options);
    case O_LATE:
        return read_share(name, value, 100, &options->late_share);
    case O_BUDGET:
        return read_share(name, value, 50, &options->conf.budget) &&
               (options->conf.budget > 0 ||
                wrong(name, value, "it has to be more than 0%"));
    case O_WAIT:
        return read_seconds(name, value, 1, 7 * DAY_S, &options->conf.wait_s);
    case O_TARGET:
        return read_share(name, value, 100, &options->conf.target) &&
               (options->conf.target >= 0.01 ||
                wrong(name, value, "it has to be at least 1%"));
    case O_THRESHOLD:
        return read_threshold(name, value, &options->conf.threshold);
    default:
        if (!read_seconds(name, value, 0, DAY_S, &seconds)) {
            return false;
        }
        options->conf.hold_us = (int64_t)(seconds * GB_US_PER_S);
        return true;
    }
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

/* ---------------------------------------------------------------- what fits together
 */

static bool clash(const char *option, const char *why)
{
    fprintf(stderr, "greensim: --%s %s\n", option, why);
    return false;
}

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
        want_policy("policy", "all", options->wanted);
    }
    options->wanted[GS_OPTIMUM] = options->wanted[GS_BOUND] = true;
    options->wanted[GS_ORACLE] = options->wanted[GS_ALWAYS_ON] = true;
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
        fputs(usage_text, stdout);
    }
    else if (code == O_VERSION) {
        puts("greensim " GB_VERSION);
    }
    else if (code == O_SERVER && strcmp(value, "help") == 0) {
        list_servers();
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
