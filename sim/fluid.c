/* SPDX-License-Identifier: Apache-2.0
 *
 * fluid.c - runs a policy over a trace with the core's fluid.
 */
#include "greensim.h"

#include <math.h>
#include <stdlib.h>

#define DAY_S         86400
#define PROGRESS_STEP 65536u /* seconds between two looks at the clock */

/* With late-last the late ones wait for a server that nobody in time needs; first come,
 * first served among themselves. */
typedef struct pool_t {
    double *came;   /* [seconds] late ones, by when they came */
    uint32_t first; /* the oldest that may still wait */
    double waiting;
} pool_t;

typedef struct run_t {
    const gs_world_t *world;
    gb_plant_t plant;
    gb_fluid_t fluid;
    gs_waits_t waits;
    gs_mix_t mix;
    gs_series_t series;
    pool_t pool;
} run_t;

static void pool_note(run_t *run, uint32_t t)
{
    pool_t *pool = &run->pool;
    double served;

    pool->came[t] = run->fluid.late_now;
    pool->waiting += run->fluid.late_now;
    served = fmax(pool->waiting - run->fluid.backlog, 0);
    while (served > 0 && pool->first <= t) {
        double part = fmin(pool->came[pool->first], served);

        gs_waits_add(&run->waits, (t - pool->first) + run->plant.supply.late_s, part);
        pool->came[pool->first] -= part;
        pool->waiting -= part;
        served -= part;
        if (pool->came[pool->first] > 0) {
            break;
        }
        pool->first++;
    }
}

/* How long took those that came in this second? */
static void note_waits(run_t *run, uint32_t t, double backlog_before)
{
    const gb_supply_t *supply = &run->plant.supply;
    const gb_fluid_t *fluid = &run->fluid;
    double full_rate = supply->upto[fluid->on].slots / supply->service_s;
    double arrived = fluid->arrived_now;

    if (!(backlog_before > 0) && !(fluid->backlog > 0)) {
        gs_mix_add(&run->mix, fluid->on, fluid->smooth, arrived);
    }
    else if (supply->late_last) {
        gs_waits_add(&run->waits, supply->late_s, arrived - fluid->late_now);
    }
    else {
        double mean = (backlog_before + fluid->backlog) / 2;

        gs_waits_add(&run->waits, supply->service_s + mean / full_rate, arrived);
    }
    if (supply->late_last && (backlog_before > 0 || fluid->backlog > 0)) {
        pool_note(run, t);
    }
}

static void step(run_t *run, gs_chooser_t *chooser, uint32_t t)
{
    const gs_trace_t *trace = &run->world->trace;
    gb_fluid_t *fluid = &run->fluid;
    double backlog_before = fluid->backlog;
    gb_demand_t demand;
    gb_supply_t supply;

    gb_fluid_step(fluid, &run->plant, trace->arrived[t]);
    note_waits(run, t, backlog_before);
    gs_series_add(&run->series, fluid->arrived_now, fluid->on, fluid->coming,
                  fluid->watts, fluid->late_now);
    demand = gb_fluid_demand(fluid, &run->plant, (trace->start_day_s + t + 1) % DAY_S);
    supply = gb_fluid_supply(fluid, &run->plant);
    gb_fluid_order(fluid, &run->plant, gs_chooser_choose(chooser, &supply, &demand));
}

static void fill_in(const run_t *run, gs_result_t *result)
{
    const gb_fluid_t *fluid = &run->fluid;
    double seconds = run->world->trace.seconds;
    double p99_s = gs_waits_quantile_s(&run->waits, 0.99);

    result->is_run = true;
    result->joules = fluid->joules;
    result->requests = fluid->requests;
    result->late = fluid->late;
    result->p99_ms = p99_s < 0 ? -1 : 1000 * p99_s;
    result->cycles_per_server_day =
        (double)fluid->starts * DAY_S / seconds / run->world->fleet.count;
    result->peak_on = run->series.peak_on;
    result->mean_on = fluid->on_s / seconds;
}

void gs_fluid_run(const gs_world_t *world, gs_chooser_t *chooser, gs_result_t *result)
{
    run_t *run = gs_alloc(1, sizeof *run);
    uint32_t seconds = world->trace.seconds;
    const char *name = gs_policy_name(gs_chooser_policy(chooser));

    gs_result_begin(result, gs_chooser_policy(chooser));
    run->world = world;
    run->plant = world->plant;
    run->plant.packs = gs_chooser_packs(chooser);
    if (gs_chooser_is_instant(chooser)) {
        run->plant.setup_s = 0;
        run->plant.supply.setup_s = 0;
        run->plant.supply.setup_watts = 0;
    }
    run->pool.came = gs_alloc(seconds, sizeof *run->pool.came);
    gs_mix_begin(&run->mix, world);
    gs_series_begin(&run->series, result, seconds);
    gb_fluid_init(&run->fluid, &run->plant, gs_chooser_first(chooser),
                  gs_first_rate(&world->trace));
    for (uint32_t t = 0; t < seconds; t++) {
        if (t % PROGRESS_STEP == 0 && !world->options->quiet) {
            gs_progress(name, (double)t / seconds);
        }
        step(run, chooser, t);
    }
    gs_mix_end(&run->mix, &run->waits);
    gs_series_end(&run->series);
    fill_in(run, result);
    free(run->pool.came);
    free(run);
}

bool gs_run(const gs_world_t *world, gs_chooser_t *chooser, gs_result_t *result,
            gs_error_t *error)
{
    if (world->options->discrete) {
        return gs_discrete_run(world, chooser, result, error);
    }
    gs_fluid_run(world, chooser, result);
    return true;
}
