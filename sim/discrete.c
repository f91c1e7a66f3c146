/* SPDX-License-Identifier: Apache-2.0
 *
 * discrete.c - a run of the discrete mode: arrivals, departures and ticks, in the order
 * of their instants.
 *
 * Within each second as many requests come as the trace says, at instants that are
 * independent and equally likely: with Poisson counts a Poisson process.  They are made
 * one after the other: of m that are still to come in the rest of the second the first
 * comes after a share of it that is 1 - U^(1/m) (order statistics of the uniform law).
 *
 * At equal instants: departures, then arrivals, then the tick.
 */
#include "discrete.h"
#include "watch.h"

#include "../core/gb_lateness.h"
#include "../core/gb_queue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S           INT64_C(1000000000)
#define STREAM_ARRIVALS    0xa771
#define STREAM_PHASE       0x9a5e
#define PROGRESS_STEP      600u /* seconds between two looks at the clock */
#define AFTER_S            86400u /* so long what is left is served after the trace's end */
#define DRAIN_S            600.0 /* GreenDrain */
#define FOLLOW_MARGIN_S    1u    /* between its end and the probes that see it */
#define P99_OF_EXPONENTIAL 4.605170185988092 /* ln 100, in means */

/* A run as it goes on. */
typedef struct run_t {
    const gs_world_t *world;
    const gs_discrete_conf_t *conf;
    const gs_decides_t *decides;
    gs_boxes_t boxes;
    gs_watch_t watch;
    gs_room_t room;
    gs_random_t arrivals;
    uint32_t second;  /* of the trace, or beyond it */
    uint32_t to_come; /* requests still to come in it */
    double place;     /* of the next one in the second, 0..1 */
    int64_t next_ns;  /* when it comes; INT64_MAX: none in this second */
    int64_t tick_ns;  /* of the next tick */
    gs_responses_t *responses;
    gs_discrete_counts_t counts;
    gs_discrete_counts_t told; /* as the counts were when the policy was told */
    int64_t told_ns;
    bool crowded; /* since then a server had more than its capacity */
    gb_lateness_t lateness;
    uint64_t arrived_seen, late_seen; /* at the end of the second before */
    double joules;                    /* up to the second before */
    double on_s;
} run_t;

void gs_discrete_defaults(gs_discrete_conf_t *conf, const gs_options_t *options)
{
    memset(conf, 0, sizeof *conf);
    conf->queue = options->queue_off   ? GS_QUEUE_OFF
                  : options->late_last ? GS_QUEUE_LATE_LAST
                                       : GS_QUEUE_FIFO;
    conf->service =
        options->constant_service ? GS_SERVICE_CONSTANT : GS_SERVICE_EXPONENTIAL;
    conf->awake_dwell_s = options->dwell_awake_s;
    conf->asleep_dwell_s = options->dwell_asleep_s;
    conf->cycles_per_day = options->cycles;
    conf->slow_start_s = options->slow_start_s;
    conf->min_on = options->min_on;
    conf->spare = options->spare;
    conf->drain_timeout_s = DRAIN_S;
}

/* ------------------------------------------------------------------ requests */

static void note_start(run_t *run, gs_begun_t begun, uint32_t server)
{
    if (begun.begun) {
        run->counts.wait_sum_s += (double)begun.waited_ns / (double)NS_PER_S;
        run->counts.late += begun.waited_ns > run->boxes.box[server].limit_ns;
    }
}

static void enter(run_t *run, uint32_t server, uint32_t request, int64_t now_ns)
{
    note_start(run, gs_boxes_enter(&run->boxes, server, request, now_ns), server);
    run->crowded = run->crowded || run->boxes.crowded;
}

/* Counts it in at a server, if there is one for it. */
static uint32_t pick(run_t *run)
{
    gb_pick_table_t *table = run->watch.table;
    uint32_t server;

    if (run->conf->queue != GS_QUEUE_OFF) {
        return gb_pick_take(table, NULL, 0);
    }
    server = gb_pick_find(table, NULL, 0);
    if (server != GB_NO_INDEX) {
        (void)gb_pick_enter(table, server);
    }
    return server;
}

static void arrive(run_t *run, int64_t now_ns)
{
    uint32_t request = gs_requests_begin(&run->boxes.requests, now_ns);
    /* While others wait, nobody overtakes them. */
    uint32_t server = gs_room_count(&run->room) ? GB_NO_INDEX : pick(run);

    run->counts.arrived++;
    if (server != GB_NO_INDEX) {
        enter(run, server, request, now_ns);
        return;
    }
    run->counts.waited++;
    gs_room_join(&run->room, &run->boxes.requests, request);
}

/* Those who wait, as far as there is room. */
static void admit(run_t *run, int64_t now_ns)
{
    while (gs_room_count(&run->room)) {
        uint32_t server = gb_pick_take(run->watch.table, NULL, 0);

        if (server == GB_NO_INDEX) {
            return;
        }
        enter(run, server, gs_room_take(&run->room, &run->boxes.requests, now_ns),
              now_ns);
    }
}

static void count_response(run_t *run, gs_departure_t left)
{
    const gs_request_t *request = &run->boxes.requests.at[left.request];
    int64_t took_ns = left.at_ns - request->arrived_ns;
    double late_ns = run->world->fleet.late_s * (double)NS_PER_S;

    run->counts.response_sum_s += (double)took_ns / (double)NS_PER_S;
    if ((double)took_ns > late_ns) {
        run->counts.late_responses++;
        run->counts.slow += (double)(left.at_ns - request->entered_ns) > late_ns;
    }
    gs_responses_add(run->responses, took_ns);
}

static void depart(run_t *run)
{
    gs_begun_t next;
    gs_departure_t left = gs_boxes_leave(&run->boxes, &next);

    count_response(run, left);
    gs_requests_end(&run->boxes.requests, left.request);
    run->counts.served++;
    note_start(run, next, left.server);
    gb_pick_leave(run->watch.table, left.server);
    admit(run, left.at_ns);
}

/* ------------------------------------------------------------------ arrivals */

static void next_arrival(run_t *run)
{
    double unit = 1.0 - gs_random_unit(&run->arrivals); /* never 0 */

    if (run->to_come == 0) {
        run->next_ns = INT64_MAX;
        return;
    }
    run->place += (1.0 - run->place) * -expm1(log(unit) / run->to_come);
    run->to_come--;
    run->next_ns = run->second * NS_PER_S + (int64_t)(run->place * (double)NS_PER_S);
}

static void second_begin(run_t *run)
{
    bool is_over = run->second >= run->world->trace.seconds;

    run->to_come = is_over ? 0 : run->world->trace.arrived[run->second];
    run->place = 0;
    next_arrival(run);
}

/* ------------------------------------------------------------------ decisions */

static uint64_t late_so_far(const run_t *run)
{
    return run->conf->late_by_response ? run->counts.late_responses : run->counts.late;
}

/* Since the last call: the responses that were late, less what is late by service
 * alone, as the module tells its policies. */
static double late_by_waiting(run_t *run, int64_t now_ns)
{
    const gs_discrete_counts_t *now = &run->counts, *then = &run->told;
    gb_answers_t seen = {.passed_s = (double)(now_ns - run->told_ns) / (double)NS_PER_S,
                         .late_s = run->world->fleet.late_s,
                         .answered = (double)(now->served - then->served),
                         .late = (double)(now->late_responses - then->late_responses),
                         .slow = (double)(now->slow - then->slow),
                         .crowded = run->crowded};

    run->told = run->counts;
    run->told_ns = now_ns;
    run->crowded = run->boxes.crowded != 0;
    return gb_lateness_waited(&run->lateness, &seen);
}

/* What came, and what is there, at the end of a part of a second. */
static void choose(run_t *run, int64_t now_ns)
{
    gs_watch_t *watch = &run->watch;
    gb_supply_t supply = run->world->plant.supply;
    uint32_t waiting = gs_room_count(&run->room);
    gb_demand_t demand = {
        .now_us = now_ns / 1000,
        .day_s = (run->world->trace.start_day_s + now_ns / NS_PER_S) % 86400,
        .arrived = (double)(run->counts.arrived - run->told.arrived),
        .in_system = run->boxes.requests.used,
        .backlog = (double)waiting + run->boxes.in_line,
    };

    demand.late = late_by_waiting(run, now_ns);
    supply.on = watch->on;
    supply.coming = watch->coming;
    supply.capacity_on = watch->capacity_on;
    supply.late_last = run->conf->queue == GS_QUEUE_LATE_LAST;
    if (run->decides->is_instant) {
        supply.setup_s = 0;
        supply.setup_watts = 0;
    }
    gs_watch_choose(watch, run->decides->choose(run->decides->baton, &supply, &demand));
}

static void tick(run_t *run)
{
    gs_watch_tick(&run->watch, gs_room_count(&run->room), run->tick_ns);
    admit(run, run->tick_ns);
}

/* All that happens up to and including `end_ns`, but for a tick at that instant. */
static void events_until(run_t *run, int64_t end_ns)
{
    for (;;) {
        int64_t departs_ns = gs_departures_next_ns(&run->boxes.departures);
        int64_t arrives_ns = run->next_ns;
        int64_t ticks_ns = run->tick_ns < end_ns ? run->tick_ns : INT64_MAX;

        if (departs_ns <= arrives_ns && departs_ns <= ticks_ns) {
            if (departs_ns > end_ns) {
                return;
            }
            depart(run);
        }
        else if (arrives_ns <= ticks_ns) {
            arrive(run, arrives_ns);
            next_arrival(run);
        }
        else {
            if (run->conf->every_tick || !run->watch.at_rest) {
                tick(run);
            }
            run->tick_ns += GS_TICK_NS;
        }
    }
}

static void series_add(run_t *run, gs_series_t *series, double joules)
{
    double arrived = (double)(run->counts.arrived - run->arrived_seen);
    double late = (double)(late_so_far(run) - run->late_seen);

    gs_series_add(series, arrived, run->watch.serving, run->watch.coming,
                  joules - run->joules, late);
    run->on_s += run->watch.serving;
}

/* One second: what happens in it, the policy's answers, and the tick at its end. */
static void second_run(run_t *run, gs_series_t *series)
{
    uint32_t asks = run->decides->asks ? run->decides->asks : 1;
    int64_t begin_ns = (int64_t)run->second * NS_PER_S;
    int64_t end_ns = begin_ns + NS_PER_S;
    double joules;

    second_begin(run);
    for (uint32_t i = 1; i < asks; i++) {
        int64_t part_ns = begin_ns + i * (NS_PER_S / asks);

        events_until(run, part_ns);
        choose(run, part_ns);
    }
    events_until(run, end_ns);
    joules = gs_boxes_joules(&run->boxes, end_ns);
    if (series) {
        series_add(run, series, joules);
    }
    run->joules = joules;
    run->arrived_seen = run->counts.arrived;
    run->late_seen = late_so_far(run);
    if (!run->decides->threshold) {
        choose(run, end_ns);
    }
    tick(run);
    run->tick_ns = end_ns + GS_TICK_NS;
    run->second++;
}

/* ------------------------------------------------------------------ a run */

static void run_open(run_t *run)
{
    const gs_world_t *world = run->world;
    uint64_t seed = world->options->seed;
    uint32_t on = run->decides->first;
    int64_t late_us = (int64_t)(world->fleet.late_s * (double)GB_US_PER_S);
    double p99_us = world->plant.supply.service_s * (double)GB_US_PER_S;
    int64_t patience_us;

    if (run->conf->service == GS_SERVICE_EXPONENTIAL) {
        p99_us *= P99_OF_EXPONENTIAL;
    }
    patience_us = gb_queue_patience_us(late_us, (int64_t)p99_us);
    on = on < 1 ? 1 : on;
    on = on < run->conf->min_on ? run->conf->min_on : on;
    on = on > world->fleet.count ? world->fleet.count : on;
    gs_boxes_open(&run->boxes, &world->fleet, on, seed,
                  run->conf->service == GS_SERVICE_CONSTANT);
    gs_watch_open(&run->watch, &run->boxes, &world->fleet, run->conf, on,
                  run->decides->packs);
    run->watch.is_instant = run->decides->is_instant;
    if (run->decides->threshold) {
        gs_watch_use_threshold(&run->watch, run->decides->threshold);
    }
    gs_room_open(&run->room,
                 run->conf->queue == GS_QUEUE_LATE_LAST ? patience_us * 1000 : 0);
    gs_random_seed(&run->arrivals, seed, STREAM_ARRIVALS);
    run->responses = gs_alloc(1, sizeof *run->responses);
    run->tick_ns = GS_TICK_NS;
}

static void run_close(run_t *run)
{
    free(run->responses);
    gs_watch_close(&run->watch);
    gs_boxes_close(&run->boxes);
}

static void result_fill(const run_t *run, gs_result_t *result)
{
    const gs_trace_t *trace = &run->world->trace;
    double days = (double)trace->seconds / 86400.0;

    result->is_run = true;
    result->requests = (double)run->counts.arrived;
    result->mean_on = run->on_s / (double)trace->seconds;
    result->joules = run->joules;
    result->cycles_per_server_day =
        (double)run->counts.starts / run->world->fleet.count / days;
}

/* `late` counts by the wait; what a response took as a whole is worth a word. */
static void responses_note(const run_t *run, gs_result_t *result)
{
    double share = (double)(run->counts.late_responses + run->counts.left) /
                   fmax((double)run->counts.arrived, 1);

    snprintf(result->note, sizeof result->note,
             "%.2f %% of the responses took longer than %g s, with their service",
             100 * share, run->world->fleet.late_s);
}

static double quantile_ms(const gs_responses_t *responses, double share)
{
    double quantile_s = gs_responses_quantile_s(responses, share);

    return quantile_s > 0 ? 1000 * quantile_s : quantile_s;
}

/* After the trace's end, without arrivals: the energy of it does not count. */
static void run_out(run_t *run)
{
    uint32_t end = run->second + AFTER_S;

    while (run->boxes.requests.used && run->second < end) {
        second_run(run, NULL);
    }
    run->counts.left = run->boxes.requests.used;
    run->counts.wronged = run->boxes.wronged;
}

bool gs_discrete_run_with(const gs_world_t *world, const gs_discrete_conf_t *conf,
                          const gs_decides_t *decides, gs_result_t *result,
                          gs_discrete_counts_t *counts, gs_error_t *error)
{
    run_t run = {.world = world, .conf = conf, .decides = decides};
    gs_series_t series;

    gs_result_begin(result, decides->policy);
    if (world->trace.seconds == 0 || world->fleet.count == 0) {
        return gs_fail(error, "the discrete mode needs a trace of at least a second "
                              "and a fleet of at least one server");
    }
    run_open(&run);
    gs_series_begin(&series, result, world->trace.seconds);
    while (run.second < world->trace.seconds) {
        if (run.second % PROGRESS_STEP == 0 && !world->options->quiet) {
            gs_progress(gs_policy_name(decides->policy),
                        (double)run.second / world->trace.seconds);
        }
        second_run(&run, &series);
    }
    gs_series_end(&series);
    result->peak_on = series.peak_on;
    run.counts.starts = run.watch.starts;
    run.counts.failures = run.watch.failures;
    result_fill(&run, result);
    run_out(&run);
    result->late = (double)(late_so_far(&run) + run.counts.left);
    result->p50_ms = quantile_ms(run.responses, 0.5);
    result->p99_ms = quantile_ms(run.responses, 0.99);
    result->late_responses = (double)(run.counts.late_responses + run.counts.left);
    responses_note(&run, result);
    if (counts) {
        *counts = run.counts;
    }
    run_close(&run);
    return true;
}

/* ------------------------------------------------------------------ who decides */

static gb_choice_t ask_chooser(void *baton, const gb_supply_t *supply,
                               const gb_demand_t *demand)
{
    return gs_chooser_choose(baton, supply, demand);
}

bool gs_discrete_run(const gs_world_t *world, gs_chooser_t *chooser,
                     gs_result_t *result, gs_error_t *error)
{
    gs_decides_t decides = {.policy = gs_chooser_policy(chooser),
                            .choose = ask_chooser,
                            .baton = chooser,
                            .first = gs_chooser_first(chooser),
                            .packs = gs_chooser_packs(chooser),
                            .is_instant = gs_chooser_is_instant(chooser),
                            .asks = gs_chooser_asks(chooser)};
    gs_discrete_conf_t conf;
    gs_random_t phase;

    gs_random_seed(&phase, world->options->seed, STREAM_PHASE);
    gs_chooser_phase(chooser,
                     (int64_t)(gs_random_unit(&phase) * (double)GB_AUTOSCALE_TICK_US));
    if (gs_chooser_policy(chooser) == (gs_policy_e)GB_POLICY_THRESHOLD) {
        decides.threshold = &world->options->conf;
        decides.asks = 1;
    }
    gs_discrete_defaults(&conf, world->options);
    return gs_discrete_run_with(world, &conf, &decides, result, NULL, error);
}

/* A schedule that is followed. */
typedef struct plan_t {
    const uint32_t *on;
    uint32_t count, step_s;
    uint32_t ahead_s; /* from the order to the first request */
} plan_t;

static gb_choice_t follow(void *baton, const gb_supply_t *supply,
                          const gb_demand_t *demand)
{
    const plan_t *plan = baton;
    uint64_t now_s = (uint64_t)(demand->now_us / GB_US_PER_S);
    uint32_t most = 1;

    /* Who is to be on a set-up from now is ordered now; who is wanted before that
     * stays. */
    for (uint64_t i = now_s / plan->step_s; i <= (now_s + plan->ahead_s) / plan->step_s;
         i++) {
        uint32_t on = plan->on[i < plan->count ? i : plan->count - 1];

        most = on > most ? on : most;
    }
    most = most < supply->servers ? most : supply->servers;
    return (gb_choice_t){.up = most, .keep = most};
}

bool gs_discrete_follow(const gs_world_t *world, const gs_discrete_conf_t *conf,
                        const uint32_t *on, uint32_t count, uint32_t step_s,
                        gs_result_t *result, gs_error_t *error)
{
    plan_t plan = {.on = on, .count = count, .step_s = step_s};
    gs_decides_t decides = {
        .policy = GS_PLAN, .choose = follow, .baton = &plan, .packs = true};

    if (count == 0 || step_s == 0) {
        return gs_fail(error,
                       "a schedule to follow needs at least one step of at least "
                       "a second");
    }
    plan.ahead_s = (uint32_t)ceil(world->setup_s) + FOLLOW_MARGIN_S;
    decides.first = on[0];
    return gs_discrete_run_with(world, conf, &decides, result, NULL, error);
}

bool gs_plan_run(const gs_world_t *world, gs_result_t *result, gs_error_t *error)
{
    gs_result_t optimum;
    uint32_t step_s = 0, count;
    gs_discrete_conf_t conf;
    uint32_t *on;
    bool good;

    if (world->fleet.types > 1) {
        return gs_fail(error,
                       "--policy plan: the servers are of %u types; a linear "
                       "program has no plan of whole servers",
                       world->fleet.types);
    }
    on = gs_optimum_plan(world, &step_s, &count, &optimum);
    gs_result_free(&optimum);
    gs_discrete_defaults(&conf, world->options);
    good = gs_discrete_follow(world, &conf, on, count, step_s, result, error);
    free(on);
    return good;
}
