/* SPDX-License-Identifier: Apache-2.0
 *
 * greensim.h - the parts of greensim: what goes in, what a policy is asked, what comes
 * out.
 *
 *   options -> trace (csv, generator, log) + fleet -> world
 *   world + chooser -> fluid or discrete run -> result
 *   world -> optimum, bound -> result
 *   results -> table, JSON, report
 *
 * One thread.  Functions that can fail for a reason that is the user's return false and
 * say why in a gs_error_t: what is wrong, and what is allowed.  Memory comes from
 * gs_alloc(), which ends the program when there is none.
 */
#ifndef GREENSIM_H
#define GREENSIM_H

#include "../core/gb_decide.h"
#include "../core/gb_energy.h"
#include "../core/gb_erlang.h"
#include "../core/gb_fluid.h"

#include <stdio.h>

#define GS_NAME_BYTES   128
#define GS_SERVERS_MOST 1000
#define GS_SECONDS_MOST (400u * 86400u) /* of a trace */
#define GS_RATE_MOST    1e6             /* requests/s, of a trace */
#define GS_POINTS       2000            /* of a result's plot, at most */

typedef struct gs_error_t {
    char text[640];
} gs_error_t;

/* Writes the text, printf-like, and returns false. */
bool gs_fail(gs_error_t *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Zeroed memory for count items; the caller's, for free(). */
void *gs_alloc(size_t count, size_t bytes) __attribute__((returns_nonnull));

/* The same memory with room for so many bytes, of which new ones are not cleared; the
 * old pointer is no longer valid. */
void *gs_realloc(void *memory, size_t bytes) __attribute__((returns_nonnull));

/* ---------------------------------------------------------------- random numbers */

/* xoshiro256++ (Blackman, Vigna 2019), its state filled by splitmix64 from the seed and
 * a stream number, so that the same seed gives the same numbers on every machine. */
typedef struct gs_random_t {
    uint64_t s[4];
} gs_random_t;

void gs_random_seed(gs_random_t *random, uint64_t seed, uint64_t stream);
uint64_t gs_random_next(gs_random_t *random);
double gs_random_unit(gs_random_t *random);   /* 0 <= u < 1 */
double gs_random_normal(gs_random_t *random); /* mean 0, deviation 1 */
uint32_t gs_random_poisson(gs_random_t *random, double mean);

/* ---------------------------------------------------------------- what is asked for */

/* The core's policies have the core's numbers (gb_policy_e). */
typedef enum gs_policy_e {
    GS_CORE_FIRST = 0,
    GS_ALWAYS_ON = GB_POLICY_COUNT,
    GS_REACTIVE,       /* every 20 s as many as the rate of these 20 s needs */
    GS_MOVING_AVERAGE, /* the same on the mean of a minute */
    GS_STRAIGHT_LINE,  /* the same on a line through it, carried one set-up ahead */
    GS_OPT_REACTIVE,   /* reactive, and a set-up takes no time: AutoScale's "Opt" */
    GS_AUTOSCALE_RATE, /* AutoScale--: up as reactive, down as AutoScale */
    GS_ORACLE,         /* knows the load up to one set-up and 20 s ahead */
    GS_HINDSIGHT,      /* AutoScale, tuned on this very trace */
    GS_PLAN,           /* does what the optimum's program says, with real requests */
    GS_OPTIMUM,        /* dynamic or linear program */
    GS_BOUND,          /* no policy with that share of late requests can need less */
    GS_POLICY_COUNT
} gs_policy_e;

const char *gs_policy_name(gs_policy_e policy);
gs_policy_e gs_policy_find(const char *name); /* GS_POLICY_COUNT: there is none */

typedef enum gs_shape_e {
    GS_SHAPE_NONE = 0,
    GS_SHAPE_DAY,
    GS_SHAPE_WEEK,
    GS_SHAPE_FLASH,
    GS_SHAPE_BURSTS,
    GS_SHAPE_WALK
} gs_shape_e;

/* A server of which the power curve is published. */
typedef struct gs_published_t {
    const char *name, *what, *source;
    double watts[11], off_watts, setup_watts;
} gs_published_t;
/* The first is taken where no other is named; NULL after the last. */
const gs_published_t *gs_published(uint32_t index);
/* By its name; NULL: there is none. */
const gs_published_t *gs_published_find(const char *name);

/* All options, parsed and checked; numbers that were not given are negative, counts 0,
 * texts NULL, unless a default is named here.  The texts are argv's. */
typedef struct gs_options_t {
    /* the load */
    const char *trace_file;
    gs_shape_e shape;
    char **logs; /* --access-log: log_count names */
    uint32_t log_count;
    const char *log_format; /* NULL: found out from the first lines */
    double length_s;    /* --length: of a generated trace, negative: the shape's own */
    double smooth_s;    /* 0: not smoothed */
    double scale_peak;  /* --scale peak=N, in servers; negative: as it is */
    double start_day_s; /* --start HH:MM, of the day at which a trace begins; 0 */
    uint64_t seed;      /* 1 */
    /* the fleet */
    const char *model_file;
    uint32_t servers;
    const gs_published_t *server; /* NULL: none was named */
    bool has_curve;
    double curve[11]; /* --curve, when has_curve */
    uint32_t capacity, cores;
    double service_s, rate, late_after_s;
    double setup_s, setup_p95_s, setup_watts, off_watts;
    double shutdown_s;      /* discrete mode only; 0 */
    double boot_fail_share; /* discrete mode only; 0 */
    /* discrete mode only, as GreenDwell and GreenSlowStart; 0 unless said */
    double dwell_awake_s, dwell_asleep_s, slow_start_s;
    uint32_t min_on, spare; /* 1, 0 */
    uint32_t cycles;        /* discrete mode only, a day; 0: as many as are wanted */
    /* what runs */
    bool wanted[GS_POLICY_COUNT];
    bool discrete;
    bool late_last;
    bool queue_off;        /* discrete mode only: full servers get more */
    bool constant_service; /* discrete mode only: each request takes the mean */
    double late_share;     /* of the bound: 0.01 */
    gb_policy_conf_t conf; /* settings of the core's policies; `policy` is not used */
    /* what comes out */
    bool as_json, quiet;
    const char *report_file;
} gs_options_t;

/* Reads the command line.  -1: go on; else the exit status with which the program ends,
 * after help or a message on standard error. */
int gs_options_read(int argc, char **argv, gs_options_t *options);

/* ---------------------------------------------------------------- the load */

/* What an access log told beside its requests. */
typedef struct gs_log_facts_t {
    uint64_t lines, unfit; /* of which so many did not fit and were left out */
    int64_t first_at_s;    /* Unix time of the trace's first second; 0: no log */
    int32_t zone_s;        /* local time there is so much later than UTC */
    int64_t gap_s;         /* longest time without a request */
    uint64_t timed;        /* requests of which the time of service is known */
    double service_s;      /* their mean ... */
    double service_p50_s, service_p95_s, service_p99_s; /* ... and quantiles */
    double service_unit_s; /* 1e-6, 1e-3, or 1: too coarse, then timed is 0 */
} gs_log_facts_t;

typedef struct gs_trace_t {
    char name[GS_NAME_BYTES];
    uint32_t seconds;
    float *rate; /* [seconds] requests/s that are expected; of a log: those that came */
    uint32_t *arrived;   /* [seconds] requests that come; Poisson, or the log's */
    double requests;     /* sum of arrived */
    int64_t start_day_s; /* second of the local day at which it begins, 0..86399 */
    bool is_counted;    /* arrived are real requests: not drawn, not to be drawn anew */
    gs_log_facts_t log; /* of an access log; else zeroed */
} gs_trace_t;

/* A whole file (or "-": standard input) of at most `most` bytes, with a NUL after it;
 * the caller's, for free().  NULL: it cannot be read, and why. */
char *gs_file_read(const char *path, size_t most, size_t *bytes, gs_error_t *error);

/* Each fills in a trace, up to `rate` (is_counted: `arrived` as well).  The csv is
 * smoothed by whole bins (0: it is not). */
bool gs_trace_read(gs_trace_t *trace, const char *path, double smooth_s,
                   gs_error_t *error);
bool gs_trace_parse(gs_trace_t *trace, const char *path, const char *text, size_t bytes,
                    double smooth_s, gs_error_t *error);
/* A shape with a peak of 1; 0 seconds: as long as it is by nature. */
void gs_generate(gs_trace_t *trace, gs_shape_e shape, uint32_t seconds, uint64_t seed);
const char *gs_shape_name(gs_shape_e shape);
bool gs_log_read(gs_trace_t *trace, const gs_options_t *options, gs_error_t *error);

/* --smooth: moving mean over a window, in seconds. */
void gs_trace_smooth(gs_trace_t *trace, double window_s);
/* The 99.9th percentile of the minutes' rates. */
double gs_trace_peak(const gs_trace_t *trace);
/* --scale: everything times a factor, but nothing above `most_rate`. */
void gs_trace_scale(gs_trace_t *trace, double factor, double most_rate);
/* Draws `arrived` from `rate`, unless it is counted; sums up the requests. */
void gs_trace_draw(gs_trace_t *trace, uint64_t seed);
/* Requests/s of the first minute. */
double gs_first_rate(const gs_trace_t *trace);
void gs_trace_free(gs_trace_t *trace);

/* ---------------------------------------------------------------- the fleet */

typedef struct gs_server_t {
    char name[GS_NAME_BYTES];
    gb_curve_t curve;   /* with off_watts */
    uint32_t capacity;  /* requests in flight up to which the balancer fills it */
    uint32_t cores;     /* requests that it serves at the same time at full speed */
    double service_s;   /* mean time that a request takes in a core */
    double rate;        /* requests/s that it carries within the goal */
    double setup_s;     /* median of the time from order to first request */
    double setup_p95_s; /* >= setup_s; the same: it always takes as long */
    double setup_watts; /* drawn meanwhile */
    double shutdown_s;  /* drawn idle meanwhile */
} gs_server_t;

/* Servers in the order in which they are filled: fewest watts for a request first.  Two
 * servers are of one type when curve, capacity and cores are the same. */
typedef struct gs_fleet_t {
    uint32_t count;
    gs_server_t *servers;
    uint32_t types;    /* of different servers */
    uint32_t *type_of; /* [count] 0..types-1 */
    double late_s;     /* a response that takes longer is late */
    double rate;       /* of all, within the goal */
    double boot_fail_share;
} gs_fleet_t;

/* The fleet that `greenctl model` prints: the caller's, for free(). */
bool gs_model_parse(const char *path, const char *text, size_t bytes,
                    gs_server_t **servers, uint32_t *count, gs_error_t *error);
bool gs_model_read(const char *path, gs_server_t **servers, uint32_t *count,
                   gs_error_t *error);

/* `service_s`: of a request, where no option says it; negative: not known either. */
bool gs_fleet_make(gs_fleet_t *fleet, const gs_options_t *options, double service_s,
                   gs_error_t *error);
void gs_fleet_free(gs_fleet_t *fleet);
/* Of how many the watts are assumed, as their model says. */
uint32_t gs_fleet_assumed(const gs_fleet_t *fleet);
/* A set-up's length: log-normal with the server's median and 95 % quantile. */
double gs_setup_draw(const gs_server_t *server, gs_random_t *random);

/* Everything that does not change from run to run. */
typedef struct gs_world_t {
    const gs_options_t *options;
    gs_trace_t trace;
    gs_fleet_t fleet;
    gb_plant_t plant; /* of the fleet, for the core; what it points to is below */
    gb_tail_t tail;
    gb_upto_t *upto;
    gb_curve_t *curves;
    double setup_s; /* longest p95 set-up: how far clairvoyants look ahead */
} gs_world_t;

bool gs_world_make(gs_world_t *world, const gs_options_t *options, gs_error_t *error);
void gs_world_free(gs_world_t *world);

/* A server that idles so long has drawn as much as a set-up. */
double gs_break_even_s(const gs_world_t *world);

/* ---------------------------------------------------------------- who decides */

/* An online policy, whichever: the core's, a simple one, a clairvoyant one.  The fluid
 * mode asks it once a second of simulated time (demand.now_us; the trace's first second
 * ends at 1 s), the discrete mode gs_chooser_asks() times. */
typedef struct gs_chooser_t gs_chooser_t;

/* `conf` may be NULL: the options'.  `world` has to outlive it. */
gs_chooser_t *gs_chooser_open(const gs_world_t *world, gs_policy_e policy,
                              const gb_policy_conf_t *conf);
gs_policy_e gs_chooser_policy(const gs_chooser_t *chooser);
/* Hindsight: a server counts as if it carried so much more or less. */
void gs_chooser_tune(gs_chooser_t *chooser, double rate_factor);
/* AutoScale's 20 s began that long before the run, as they do where httpd is older than
 * the load; less than 20 s.  Before the first choice. */
void gs_chooser_phase(gs_chooser_t *chooser, int64_t phase_us);
/* How many are on when the run begins. */
uint32_t gs_chooser_first(const gs_chooser_t *chooser);
/* False: it spreads requests over all that are on and does not fill one by one. */
bool gs_chooser_packs(const gs_chooser_t *chooser);
/* True: with it a set-up takes no time and no watts (opt-reactive). */
bool gs_chooser_is_instant(const gs_chooser_t *chooser);
/* How often a second it is asked where requests are single ones: the module's policies
 * twice, as in the module; what they are compared with counts seconds. */
uint32_t gs_chooser_asks(const gs_chooser_t *chooser);
gb_choice_t gs_chooser_choose(gs_chooser_t *chooser, const gb_supply_t *supply,
                              const gb_demand_t *demand);
void gs_chooser_close(gs_chooser_t *chooser);

/* ---------------------------------------------------------------- what comes out */

typedef struct gs_point_t { /* means over step_s seconds */
    float rate, on, coming, watts, late_share;
} gs_point_t;

typedef struct gs_result_t {
    gs_policy_e policy;
    char note[200]; /* parameters that were found, or how it was computed; may be "" */
    bool is_run;    /* false: optimum or bound, of which only energy is known and, of
                       the optimum, servers and starts */
    double joules;
    double over_optimum;   /* filled in when all are there; 0: no optimum is known */
    double requests, late; /* late: negative when not known */
    double p99_ms, p50_ms; /* negative: not known */
    double late_responses; /* whose response took too long with its service; negative:
                              not known */
    double cycles_per_server_day;
    /* Without those in set-up.  A run's peak leaves out the descent from all on, with
     * which it begins. */
    double peak_on, mean_on;
    uint32_t points;
    double step_s;
    gs_point_t *series; /* [points], free() */
} gs_result_t;

/* A result's plot while it is made: gs_series_add() once for each second. */
typedef struct gs_series_t {
    uint32_t step_s, filled;
    gs_point_t sum;
    double late, requests;
    double last_on, peak_on; /* since the number first grew */
    bool has_grown;
    gs_result_t *result;
} gs_series_t;
void gs_series_begin(gs_series_t *series, gs_result_t *result, uint32_t seconds);
void gs_series_add(gs_series_t *series, double arrived, double on, double coming,
                   double watts, double late);
void gs_series_end(gs_series_t *series);
void gs_result_free(gs_result_t *result);

/* Response times, weighted; for the 99th percentile. */
#define GS_WAITS_BUCKETS 512
typedef struct gs_waits_t {
    double weight[GS_WAITS_BUCKETS]; /* 1 ms .. 10 days, 5 % apart at most */
    double total;
} gs_waits_t;
void gs_waits_add(gs_waits_t *waits, double response_s, double weight);
/* -1: nothing there. */
double gs_waits_quantile_s(const gs_waits_t *waits, double share);

/* Requests that shared k servers without a line: how long they took follows from
 * Erlang's C, once for all that came at much the same load. */
typedef struct gs_mix_t {
    const gs_world_t *world;
    double *cells; /* weight, and weight x rate, by k and load */
} gs_mix_t;
void gs_mix_begin(gs_mix_t *mix, const gs_world_t *world);
void gs_mix_add(gs_mix_t *mix, uint32_t k, double rate, double weight);
void gs_mix_end(gs_mix_t *mix, gs_waits_t *waits); /* adds to waits, frees */

/* The first line of what a run fills in. */
void gs_result_begin(gs_result_t *result, gs_policy_e policy);

/* Runs; the result is zeroed first.  gs_discrete_run() fails with a reason. */
void gs_fluid_run(const gs_world_t *world, gs_chooser_t *chooser, gs_result_t *result);
bool gs_discrete_run(const gs_world_t *world, gs_chooser_t *chooser,
                     gs_result_t *result, gs_error_t *error);
/* What the optimum would have on is ordered a set-up ahead, for single requests: what
 * its program leaves out.  Servers that are alike. */
bool gs_plan_run(const gs_world_t *world, gs_result_t *result, gs_error_t *error);

/* Mean rates of slots; the last one may be shorter. */
typedef struct gs_slots_t {
    uint32_t step_s, count, seconds;
    double *rate; /* [count], free() */
} gs_slots_t;
/* As long as is asked for, unless there would be more than `cells_most` cells. */
void gs_slots_make(gs_slots_t *slots, const gs_trace_t *trace, uint32_t step_s,
                   size_t cells_each, size_t cells_most);
double gs_slot_s(const gs_slots_t *slots, uint32_t i);

/* With so many on, at least, at most GB_TAIL_GOAL are late, and min and spare are kept.
 */
uint32_t gs_least_on(const gs_world_t *world, double rate);

/* The least energy with at most GB_TAIL_GOAL late in every slot; and a lower bound for
 * whoever has at most a share late over all.  Servers that are alike: by dynamic
 * programs, step_s 0 being 10 s.  Others: linear programs, fails when GLPK does. */
void gs_optimum_run(const gs_world_t *world, uint32_t step_s, gs_result_t *result);
/* How many the optimum has on in each of `count` slots of `step_s`, for free(); the
 * result as gs_optimum_run() has it.  Servers that are alike. */
uint32_t *gs_optimum_plan(const gs_world_t *world, uint32_t *step_s, uint32_t *count,
                          gs_result_t *result);
void gs_bound_run(const gs_world_t *world, double late_most, uint32_t step_s,
                  gs_result_t *result);
bool gs_mixed_run(const gs_world_t *world, gs_policy_e which, double late_most,
                  uint32_t step_s, gs_result_t *result, gs_error_t *error);

/* Joules of a request above idling, at the load where they are fewest. */
double gs_joules_per_request(const double watts[11], double rate, double full_rate);

/* AutoScale with the rate and the t_wait that were cheapest on this trace of those with
 * at most `late_most` late; found in the fluid, run in the mode that is asked for. */
bool gs_hindsight_run(const gs_world_t *world, double late_most, gs_result_t *result,
                      gs_error_t *error);
/* In the mode that is asked for. */
bool gs_run(const gs_world_t *world, gs_chooser_t *chooser, gs_result_t *result,
            gs_error_t *error);

/* Shows on standard error how far it is, when that is a terminal and it takes long.
 * NULL: takes the line away. */
void gs_progress(const char *what, double share);

/* ---------------------------------------------------------------- the output */

/* fifo, late-last or off. */
const char *gs_queue_name(const gs_options_t *options);

void gs_table_write(const gs_world_t *world, const gs_result_t *results,
                    uint32_t count);
void gs_json_write(const gs_world_t *world, const gs_result_t *results, uint32_t count);
/* The report's file, to be opened before a long run: what it had before stays until
 * there is something new.  *file is NULL where there is no such file yet: it is made
 * when it is written.  false: it cannot be written, or the run reads it. */
bool gs_report_open(const gs_options_t *options, FILE **file, gs_error_t *error);
/* Of a run that failed.  NULL does nothing. */
void gs_report_close(FILE *file);
/* One HTML file with all that it needs.  Closes it. */
bool gs_report_write(FILE *file, const gs_world_t *world, const gs_result_t *results,
                     uint32_t count, gs_error_t *error);

#endif /* GREENSIM_H */
