/* SPDX-License-Identifier: Apache-2.0
 *
 * chooser.c - policies that a run can ask: the core's, and those that they are compared
 * with.
 */
#include "greensim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TICK_S        20 /* AutoScale's pace, and of what it is compared with */
#define ORACLE_TICK_S 10
#define ORACLE_MORE_S 20.0 /* beyond one set-up */
#define PAST_S        600  /* ring of what came, a second each */
#define AVERAGE_S     60   /* window of moving-average */
#define LINE_S        40   /* window of straight-line */

struct gs_chooser_t {
    const gs_world_t *world;
    gs_policy_e policy;
    gb_policy_conf_t conf;
    double rate_factor; /* hindsight: of the rate that a server carries */
    uint32_t seconds;   /* asked so often */
    gb_choice_t choice; /* the latest */
    float past[PAST_S];
    uint32_t *wanted; /* oracle: ring of wanted servers, hold_ticks long */
    uint32_t hold_ticks;
    gb_supply_t tuned; /* hindsight: the supply with another rate */
    gb_decider_t decider;
    int64_t phase_us; /* AutoScale: how old its 20 s are at the first choice */
};

static bool is_core(gs_policy_e policy)
{
    return policy < (gs_policy_e)GB_POLICY_COUNT || policy == GS_HINDSIGHT;
}

double gs_break_even_s(const gs_world_t *world)
{
    const gb_supply_t *supply = &world->plant.supply;
    double idle_watts = supply->upto[supply->servers].idle_watts / supply->servers;

    return idle_watts > 0 ? supply->setup_watts * supply->setup_s / idle_watts
                          : supply->setup_s;
}

gs_chooser_t *gs_chooser_open(const gs_world_t *world, gs_policy_e policy,
                              const gb_policy_conf_t *conf)
{
    gs_chooser_t *chooser = gs_alloc(1, sizeof *chooser);

    chooser->world = world;
    chooser->policy = policy;
    chooser->conf = conf ? *conf : world->options->conf;
    chooser->conf.policy = policy < (gs_policy_e)GB_POLICY_COUNT ? (gb_policy_e)policy
                                                                 : GB_POLICY_AUTOSCALE;
    chooser->rate_factor = 1;
    if (policy == GS_ORACLE) {
        chooser->hold_ticks =
            1 + (uint32_t)fmin(gs_break_even_s(world) / ORACLE_TICK_S, 100000);
        chooser->wanted = gs_alloc(chooser->hold_ticks, sizeof *chooser->wanted);
    }
    return chooser;
}

void gs_chooser_tune(gs_chooser_t *chooser, double rate_factor)
{
    chooser->rate_factor = rate_factor;
}

void gs_chooser_phase(gs_chooser_t *chooser, int64_t phase_us)
{
    chooser->phase_us = phase_us;
}

gs_policy_e gs_chooser_policy(const gs_chooser_t *chooser)
{
    return chooser->policy;
}

/* As on the day on which the module is installed: nobody has switched anything off. */
uint32_t gs_chooser_first(const gs_chooser_t *chooser)
{
    return chooser->world->plant.supply.servers;
}

double gs_first_rate(const gs_trace_t *trace)
{
    uint32_t seconds = trace->seconds < 60 ? trace->seconds : 60;
    double sum = 0;

    for (uint32_t t = 0; t < seconds; t++) {
        sum += trace->arrived[t];
    }
    return sum / seconds;
}

bool gs_chooser_packs(const gs_chooser_t *chooser)
{
    return chooser->policy != GS_ALWAYS_ON;
}

bool gs_chooser_is_instant(const gs_chooser_t *chooser)
{
    return chooser->policy == GS_OPT_REACTIVE;
}

uint32_t gs_chooser_asks(const gs_chooser_t *chooser)
{
    return is_core(chooser->policy) ? 2 : 1;
}

/* ---------------------------------------------------------------- by the past */

/* Mean of the latest `window` seconds. */
static double mean_past(const gs_chooser_t *chooser, uint32_t window)
{
    uint32_t known = chooser->seconds < window ? chooser->seconds : window;
    double sum = 0;

    for (uint32_t i = 0; i < known; i++) {
        sum += chooser->past[(chooser->seconds - 1 - i) % PAST_S];
    }
    return known ? sum / known : 0;
}

/* Least squares through the window, carried on for `ahead_s`. */
static double line_past(const gs_chooser_t *chooser, uint32_t window, double ahead_s)
{
    uint32_t known = chooser->seconds < window ? chooser->seconds : window;
    double mean = mean_past(chooser, window), middle = (known - 1.0) / 2;
    double covariance = 0, variance = 0;

    for (uint32_t i = 0; i < known; i++) {
        double x = middle - i; /* i seconds ago */

        covariance += x * (chooser->past[(chooser->seconds - 1 - i) % PAST_S] - mean);
        variance += x * x;
    }
    return variance > 0 ? fmax(mean + covariance / variance * (middle + ahead_s), 0)
                        : mean;
}

static void choose_by_past(gs_chooser_t *chooser, const gb_supply_t *supply)
{
    double rate;
    uint32_t k;

    if (chooser->seconds % TICK_S) {
        return;
    }
    switch (chooser->policy) {
    case GS_MOVING_AVERAGE:
        rate = mean_past(chooser, AVERAGE_S);
        break;
    case GS_STRAIGHT_LINE:
        rate = line_past(chooser, LINE_S, supply->setup_s);
        break;
    default:
        rate = mean_past(chooser, TICK_S);
        break;
    }
    k = gb_supply_for_rate(supply, rate, 1.0);
    chooser->choice = (gb_choice_t){k, k};
}

/* AutoScale--: as many as the rate needs are started, who was idle for t_wait goes. */
static void choose_by_rate_and_idleness(gs_chooser_t *chooser,
                                        const gb_supply_t *supply,
                                        const gb_demand_t *demand)
{
    gb_choice_t idle = gb_autoscale_decide(&chooser->decider.as.autoscale,
                                           chooser->conf.wait_s, supply, demand);

    choose_by_past(chooser, supply);
    chooser->choice.keep =
        idle.keep > chooser->choice.up ? idle.keep : chooser->choice.up;
}

/* ---------------------------------------------------------------- by the future */

/* The highest mean of ten seconds within one set-up and a little from now. */
static double highest_ahead(const gs_chooser_t *chooser, double ahead_s)
{
    const gs_trace_t *trace = &chooser->world->trace;
    uint32_t from = chooser->seconds;
    double highest = 0;

    for (uint32_t i = 0; i <= (uint32_t)(ahead_s / ORACLE_TICK_S); i++) {
        uint32_t at = from + i * ORACLE_TICK_S;
        double sum = 0;

        if (at + ORACLE_TICK_S > trace->seconds) {
            break;
        }
        for (uint32_t t = at; t < at + ORACLE_TICK_S; t++) {
            sum += trace->arrived[t];
        }
        highest = fmax(highest, sum / ORACLE_TICK_S);
    }
    return highest;
}

/* What is wanted at once is on in time; what is not wanted any more is kept for as long
 * as a new set-up would cost: at most twice the cost of who knows all. */
static void choose_by_future(gs_chooser_t *chooser, const gb_supply_t *supply)
{
    uint32_t tick = chooser->seconds / ORACLE_TICK_S;
    double rate;
    uint32_t k, keep;

    if (chooser->seconds % ORACLE_TICK_S) {
        return;
    }
    rate = fmax(highest_ahead(chooser, supply->setup_s + ORACLE_MORE_S),
                mean_past(chooser, ORACLE_TICK_S));
    k = gb_tail_need(supply->tail, rate);
    chooser->wanted[tick % chooser->hold_ticks] = k;
    keep = k;
    for (uint32_t i = 0; i < chooser->hold_ticks; i++) {
        keep = chooser->wanted[i] > keep ? chooser->wanted[i] : keep;
    }
    chooser->choice = (gb_choice_t){k, keep};
}

/* ---------------------------------------------------------------- one face */

/* The policy's clock is 20 s fast, so that what began before the run has an instant. */
static gb_choice_t choose_in_phase(gs_chooser_t *chooser, const gb_supply_t *supply,
                                   const gb_demand_t *demand)
{
    gb_demand_t its = *demand;
    gb_choice_t choice;

    its.now_us += GB_AUTOSCALE_TICK_US;
    choice = gb_decide(&chooser->decider, &chooser->conf, supply, &its);
    if (chooser->seconds == 1) {
        chooser->decider.as.autoscale.ticked_at_us -= chooser->phase_us;
    }
    return choice;
}

static gb_choice_t choose_core(gs_chooser_t *chooser, const gb_supply_t *supply,
                               const gb_demand_t *demand)
{
    if (chooser->policy == GS_HINDSIGHT) {
        chooser->tuned = *supply;
        chooser->tuned.rate_per_slot *= chooser->rate_factor;
        supply = &chooser->tuned;
    }
    else if (chooser->policy == (gs_policy_e)GB_POLICY_AUTOSCALE) {
        return choose_in_phase(chooser, supply, demand);
    }
    return gb_decide(&chooser->decider, &chooser->conf, supply, demand);
}

gb_choice_t gs_chooser_choose(gs_chooser_t *chooser, const gb_supply_t *supply,
                              const gb_demand_t *demand)
{
    chooser->past[chooser->seconds % PAST_S] = (float)demand->arrived;
    chooser->seconds++;
    if (is_core(chooser->policy)) {
        return choose_core(chooser, supply, demand);
    }
    if (!chooser->choice.up) {
        chooser->choice = (gb_choice_t){1, supply->servers};
    }
    if (chooser->policy == GS_ALWAYS_ON) {
        chooser->choice = (gb_choice_t){supply->servers, supply->servers};
    }
    else if (chooser->policy == GS_ORACLE) {
        choose_by_future(chooser, supply);
    }
    else if (chooser->policy == GS_AUTOSCALE_RATE) {
        choose_by_rate_and_idleness(chooser, supply, demand);
    }
    else {
        choose_by_past(chooser, supply);
    }
    return chooser->choice;
}

void gs_chooser_close(gs_chooser_t *chooser)
{
    free(chooser->wanted);
    free(chooser);
}
