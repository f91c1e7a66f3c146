/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_autoscale.c - AutoScale's two rules, as published in 2012.
 */
#include "gb_autoscale.h"

#include <string.h>

#define WAIT_S       120.0 /* the published t_wait, ... */
#define WAIT_AT_S    260.0 /* ... for this set-up time */
#define WAIT_MOST_S  (30 * 86400.0)
#define FULL_N       10.0 /* requests at a full server, p */
#define FULL_LOAD    7.0  /* what the paper measured for it, ... */
#define CROWDED_N    32.0 /* ... and for many more */
#define CROWDED_LOAD 14.0

double gb_autoscale_load(double requests)
{
    double n = gb_within(requests, 0.0, 1e12) * FULL_N;

    if (n <= FULL_N) {
        return n / FULL_N;
    }
    return (FULL_LOAD +
            (n - FULL_N) * (CROWDED_LOAD - FULL_LOAD) / (CROWDED_N - FULL_N)) /
           FULL_LOAD;
}

/* Could this memory be that of a call before now?  The first of the order has work
 * whenever a later one has, so that the instants descend. */
static bool continues(const gb_autoscale_t *memory, const gb_supply_t *supply,
                      int64_t now_us)
{
    uint32_t k;

    if (memory->asked_at_us <= 0 || memory->asked_at_us > now_us ||
        memory->ticked_at_us < 0 || memory->ticked_at_us > memory->asked_at_us ||
        memory->on > GB_MEMBERS_MAX || memory->wanted > GB_MEMBERS_MAX) {
        return false;
    }
    for (k = 1; k <= memory->on && k <= supply->servers; k++) {
        if (memory->busy_at_us[k] < 0 || memory->busy_at_us[k] > memory->asked_at_us) {
            return false;
        }
    }
    return true;
}

/* How many servers of the order are filled by so many requests.  A server is full when
 * as many are in flight as at the rate that it carries within the goal (Little's law):
 * the paper's p, found by measurement there. */
static uint32_t filled_by(const gb_supply_t *supply, double in_system)
{
    return gb_supply_for_rate(supply, in_system / supply->service_s, 1.0);
}

/* Requests in flight at the servers that are on when each is full. */
static double full_on(const gb_supply_t *supply)
{
    const gb_upto_t *first = &supply->upto[supply->on];
    double slots = first->slots;

    /* Not always the first of the order are on: as many slots as their capacity has. */
    if (supply->capacity_on > 0.0 && first->capacity > 0.0) {
        slots *= supply->capacity_on / first->capacity;
    }
    return slots * supply->rate_per_slot * supply->service_s;
}

/* Index packing: the first of the order have work, each as much as fills it.  Those
 * that have come since the last call begin their wait now. */
static void note_busy(gb_autoscale_t *memory, const gb_supply_t *supply,
                      const gb_demand_t *demand)
{
    uint32_t busy = demand->in_system > 0.0 ? filled_by(supply, demand->in_system) : 0;
    uint32_t k;

    for (k = 1; k <= supply->on; k++) {
        if (k <= busy || k > memory->on) {
            memory->busy_at_us[k] = demand->now_us;
        }
    }
    memory->on = supply->on;
}

/* k_req = k * rho(n) / rho_ref, n = n_sys / k; servers may differ, so k is counted in
 * requests that fill them. */
static uint32_t required(const gb_supply_t *supply, const gb_demand_t *demand)
{
    double there = full_on(supply);

    if (!(there > 0.0)) {
        return filled_by(supply, demand->in_system);
    }
    return filled_by(supply, there * gb_autoscale_load(demand->in_system / there));
}

/* Those of the end of the order that have been idle for t_wait go. */
static uint32_t not_idle(const gb_autoscale_t *memory, double wait_s, int64_t now_us)
{
    int64_t wait_us = (int64_t)(wait_s * (double)GB_US_PER_S);
    uint32_t k = memory->on;

    while (k > 1 && now_us - memory->busy_at_us[k] >= wait_us) {
        k--;
    }
    return k;
}

gb_choice_t gb_autoscale_decide(gb_autoscale_t *memory, double wait_s,
                                const gb_supply_t *supply, const gb_demand_t *demand)
{
    gb_choice_t choice;
    bool begins = !continues(memory, supply, demand->now_us);

    if (begins) {
        memset(memory, 0, sizeof *memory);
    }
    if (begins || demand->now_us - memory->ticked_at_us >= GB_AUTOSCALE_TICK_US) {
        memory->ticked_at_us = demand->now_us;
        memory->wanted = required(supply, demand);
    }
    note_busy(memory, supply, demand);
    memory->asked_at_us = demand->now_us;
    if (!(wait_s > 0.0)) {
        wait_s = WAIT_S * supply->setup_s / WAIT_AT_S;
    }
    choice.up = memory->wanted;
    choice.keep = not_idle(memory, gb_within(wait_s, 0.0, WAIT_MOST_S), demand->now_us);
    return choice;
}
