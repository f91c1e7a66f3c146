/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fluid.c - a balancer's servers as a fluid, second by second.
 */
#include "gb_fluid.h"

#include <math.h>
#include <string.h>

#define STEP_S         1.0
#define ARRIVED_MOST   1e9 /* in a second */
#define ACCOUNT_MOST   1e18
#define SETUP_MOST_S   (7 * 86400.0)
#define READY_INSTANTS (GB_FLUID_BATCHES - 12) /* that are pending at the same time */

/* -------------------------------------------------------------- the servers */

/* Requests/s that the first k serve at most, and within the goal. */
static double saturation(const gb_plant_t *plant, uint32_t k)
{
    return plant->supply.upto[k].slots / plant->supply.service_s;
}

static double goal(const gb_plant_t *plant, uint32_t k)
{
    return plant->supply.upto[k].slots * plant->supply.rate_per_slot;
}

static double slots_of(const gb_supply_t *supply, uint32_t k)
{
    return supply->upto[k].slots - supply->upto[k - 1].slots;
}

static bool same_curve(const gb_curve_t *one, const gb_curve_t *other)
{
    int i;

    for (i = 0; i < 11; i++) {
        if (one->watts[i] != other->watts[i]) {
            return false;
        }
    }
    return one->off_watts == other->off_watts;
}

void gb_fluid_settle(gb_plant_t *plant)
{
    const gb_supply_t *supply = &plant->supply;
    double slots = slots_of(supply, 1);
    uint32_t k;

    plant->alike = true;
    for (k = 2; k <= supply->servers && plant->alike; k++) {
        plant->alike = same_curve(&plant->curves[0], &plant->curves[k - 1]) &&
                       fabs(slots_of(supply, k) - slots) <= 1e-9 * slots;
    }
}

/* -------------------------------------------------------------- watts */

static double share(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

/* The first `on` at a rate, when all are the same. */
static double alike_watts(const gb_plant_t *plant, uint32_t on, double rate)
{
    const gb_curve_t *curve = &plant->curves[0];
    double full = floor(share(rate, goal(plant, 1)));
    double rest;

    if (!plant->packs || full >= on) {
        return on * gb_curve_watts_at(curve, share(rate, saturation(plant, on)));
    }
    rest = rate - full * goal(plant, 1);
    return full *
               gb_curve_watts_at(curve, share(goal(plant, 1), saturation(plant, 1))) +
           gb_curve_watts_at(curve, share(rest, saturation(plant, 1))) +
           (on - full - 1) * gb_curve_watts_at(curve, 0.0);
}

static double mixed_watts(const gb_plant_t *plant, uint32_t on, double rate)
{
    bool spreads = !plant->packs || rate >= goal(plant, on);
    double even = share(rate, saturation(plant, on));
    double watts = 0.0;
    double left = rate;
    uint32_t k;

    for (k = 1; k <= on; k++) {
        double slots = slots_of(&plant->supply, k);
        double part = fmin(left, slots * plant->supply.rate_per_slot);

        left -= part;
        watts += gb_curve_watts_at(
            &plant->curves[k - 1],
            spreads ? even : share(part, slots / plant->supply.service_s));
    }
    return watts;
}

static double off_watts(const gb_plant_t *plant, uint32_t on)
{
    uint32_t servers = plant->supply.servers;
    double watts = 0.0;
    uint32_t k;

    if (plant->alike) {
        return (servers - on) * plant->curves[0].off_watts;
    }
    for (k = on; k < servers; k++) {
        watts += plant->curves[k].off_watts;
    }
    return watts;
}

double gb_fluid_watts(const gb_plant_t *plant, uint32_t on, double rate)
{
    rate = gb_within(rate, 0.0, ARRIVED_MOST);
    on = on < plant->supply.servers ? on : plant->supply.servers;
    if (on == 0) {
        return off_watts(plant, 0);
    }
    return (plant->alike ? alike_watts(plant, on, rate)
                         : mixed_watts(plant, on, rate)) +
           off_watts(plant, on);
}

/* -------------------------------------------------------------- beginning */

static uint32_t least_on(const gb_plant_t *plant)
{
    uint32_t least = plant->min_on > 1 ? plant->min_on : 1;

    return least < plant->supply.servers ? least : plant->supply.servers;
}

void gb_fluid_init(gb_fluid_t *fluid, const gb_plant_t *plant, uint32_t on, double rate)
{
    memset(fluid, 0, sizeof *fluid);
    fluid->on = on > least_on(plant) ? on : least_on(plant);
    if (fluid->on > plant->supply.servers) {
        fluid->on = plant->supply.servers;
    }
    fluid->peak_on = fluid->on;
    fluid->smooth = gb_within(rate, 0.0, ARRIVED_MOST);
    fluid->served_now = fmin(fluid->smooth, saturation(plant, fluid->on));
    fluid->watts = gb_fluid_watts(plant, fluid->on, fluid->served_now);
}

static bool is_amount(double value)
{
    return value >= 0.0 && value <= ACCOUNT_MOST;
}

/* There may be other servers than at the step before; and a memory that was damaged is
 * forgotten, but for nothing that would make it unbounded. */
static void mend(gb_fluid_t *fluid, const gb_plant_t *plant)
{
    uint32_t servers = plant->supply.servers;

    if (!is_amount(fluid->now_s) || !is_amount(fluid->backlog) ||
        !is_amount(fluid->smooth) || !is_amount(fluid->joules) ||
        !is_amount(fluid->requests) || !is_amount(fluid->late) ||
        !is_amount(fluid->on_s) || !is_amount(fluid->coming_s) ||
        !is_amount(fluid->served_now) || !is_amount(fluid->arrived_now) ||
        !is_amount(fluid->late_now) || fluid->first_batch >= GB_FLUID_BATCHES ||
        fluid->batches > GB_FLUID_BATCHES) {
        gb_fluid_init(fluid, plant, servers, 0.0);
    }
    if (fluid->on < 1 || fluid->on > servers) {
        fluid->on = servers;
    }
    if (fluid->coming > servers - fluid->on) {
        fluid->coming = servers - fluid->on;
    }
}

/* -------------------------------------------------------------- set-ups */

static gb_batch_t *latest_batch(gb_fluid_t *fluid)
{
    return &fluid->batch[(fluid->first_batch + fluid->batches - 1) % GB_FLUID_BATCHES];
}

/* So many are ready at an instant from now on. */
static void set_up(gb_fluid_t *fluid, const gb_plant_t *plant, uint32_t count)
{
    double setup_s = gb_within(plant->setup_s, 0.0, SETUP_MOST_S);
    double grain_s = fmax(STEP_S, ceil(setup_s / READY_INSTANTS));
    double ready_at_s = ceil((fluid->now_s + setup_s) / grain_s) * grain_s;
    gb_batch_t *latest = latest_batch(fluid);

    fluid->coming += count;
    fluid->starts += count;
    if (fluid->batches != 0 &&
        (latest->ready_at_s >= ready_at_s || fluid->batches == GB_FLUID_BATCHES)) {
        latest->count += count; /* also when set-ups have become shorter meanwhile */
        return;
    }
    fluid->batches++;
    latest = latest_batch(fluid);
    latest->ready_at_s = ready_at_s;
    latest->count = count;
}

/* Those whose set-up is over serve from this step on. */
static void come_on(gb_fluid_t *fluid)
{
    while (fluid->batches != 0) {
        const gb_batch_t *batch = &fluid->batch[fluid->first_batch];
        double left_s = batch->ready_at_s - fluid->now_s;
        uint32_t count = batch->count < fluid->coming ? batch->count : fluid->coming;

        if (left_s > 0.0 && left_s <= 2 * SETUP_MOST_S) {
            return;
        }
        fluid->on += count;
        fluid->coming -= count;
        fluid->first_batch = (fluid->first_batch + 1) % GB_FLUID_BATCHES;
        fluid->batches--;
    }
    fluid->coming = 0;
}

/* -------------------------------------------------------------- a second */

static double tail_late(const gb_fluid_t *fluid, const gb_plant_t *plant)
{
    const gb_tail_t *tail = plant->supply.tail;
    uint32_t k = fluid->on < tail->servers ? fluid->on : tail->servers;

    return gb_within(gb_tail_late(tail, k, fluid->smooth), 0.0, 1.0);
}

/* The share of a second during which the wait, which goes evenly from one length to
 * another, is longer than the limit. */
static double share_above(double from_s, double to_s, double limit_s)
{
    if (from_s > limit_s && to_s > limit_s) {
        return 1.0;
    }
    if (from_s <= limit_s && to_s <= limit_s) {
        return 0.0;
    }
    return (fmax(from_s, to_s) - limit_s) / fabs(to_s - from_s);
}

/* How many of a second's arrivals are late; the line grew or shrank to `backlog`. */
static double late_of(const gb_fluid_t *fluid, const gb_plant_t *plant, double arrived,
                      double backlog)
{
    const gb_supply_t *supply = &plant->supply;
    double capacity = saturation(plant, fluid->on);

    if (fluid->backlog <= 0.0 && arrived <= capacity) {
        return arrived * tail_late(fluid, plant);
    }
    if (!supply->late_last) {
        return arrived * share_above(share(fluid->backlog, capacity),
                                     share(backlog, capacity),
                                     supply->late_s - supply->service_s);
    }
    if (arrived > capacity) {
        return arrived - capacity;
    }
    /* What is late already waits until the others are served: it delays nobody. */
    return fluid->smooth < capacity ? arrived * tail_late(fluid, plant) : 0.0;
}

static void account(gb_fluid_t *fluid)
{
    fluid->joules += fluid->watts * STEP_S;
    fluid->requests += fluid->arrived_now;
    fluid->late += fluid->late_now;
    fluid->on_s += fluid->on * STEP_S;
    fluid->coming_s += fluid->coming * STEP_S;
    fluid->peak_on = fluid->on > fluid->peak_on ? fluid->on : fluid->peak_on;
}

void gb_fluid_step(gb_fluid_t *fluid, const gb_plant_t *plant, double arrived)
{
    double capacity, backlog;

    mend(fluid, plant);
    come_on(fluid);
    arrived = gb_within(arrived, 0.0, ARRIVED_MOST);
    fluid->smooth += GB_FLUID_SMOOTHING * (arrived - fluid->smooth);
    capacity = saturation(plant, fluid->on);
    backlog = fmax(0.0, fluid->backlog + arrived - capacity * STEP_S);
    fluid->late_now = late_of(fluid, plant, arrived, backlog);
    fluid->arrived_now = arrived;
    fluid->served_now = fluid->backlog + arrived - backlog;
    fluid->backlog = backlog;
    fluid->watts = gb_fluid_watts(plant, fluid->on, fluid->served_now / STEP_S) +
                   fluid->coming * plant->supply.setup_watts;
    account(fluid);
    fluid->now_s += STEP_S;
}

/* -------------------------------------------------------------- a policy's part */

static uint32_t with_spare(const gb_plant_t *plant, uint32_t wanted, uint32_t least)
{
    uint32_t servers = plant->supply.servers;

    wanted = wanted < servers ? wanted : servers;
    wanted = plant->spare < servers - wanted ? wanted + plant->spare : servers;
    return wanted > least ? wanted : least;
}

void gb_fluid_order(gb_fluid_t *fluid, const gb_plant_t *plant, gb_choice_t choice)
{
    uint32_t up, keep;

    mend(fluid, plant);
    up = with_spare(plant, choice.up, least_on(plant));
    keep = with_spare(plant, choice.keep, up);
    if (up > fluid->on + fluid->coming) {
        set_up(fluid, plant, up - fluid->on - fluid->coming);
    }
    if (fluid->on > keep) {
        fluid->on = keep;
    }
}

/* The mean number that wait for a slot although there is no line to speak of: Erlang's
 * C * load / (slots - load).  At most one a slot: more take longer to gather than a
 * rate stays the same. */
static double erlang_line(const gb_fluid_t *fluid, const gb_plant_t *plant)
{
    const gb_supply_t *supply = &plant->supply;
    double slots = supply->upto[fluid->on].slots;
    double load = fluid->smooth * supply->service_s;

    if (fluid->backlog > 0.0 || load >= slots) {
        return 0.0;
    }
    return fmin(slots, gb_erlang_late(slots, fluid->smooth, supply->service_s, 0.0) *
                           load / (slots - load));
}

gb_demand_t gb_fluid_demand(const gb_fluid_t *fluid, const gb_plant_t *plant,
                            int64_t day_s)
{
    gb_demand_t demand = {
        .now_us = (int64_t)(gb_within(fluid->now_s, 0.0, 1e12) * GB_US_PER_S),
        .day_s = day_s,
        .arrived = fluid->arrived_now,
        .late = fluid->late_now,
        .in_system = fluid->served_now / STEP_S * plant->supply.service_s +
                     fluid->backlog + erlang_line(fluid, plant),
        .backlog = fluid->backlog,
    };

    return demand;
}

gb_supply_t gb_fluid_supply(const gb_fluid_t *fluid, const gb_plant_t *plant)
{
    gb_supply_t supply = plant->supply;

    supply.on = fluid->on < supply.servers ? fluid->on : supply.servers;
    supply.coming = fluid->coming;
    supply.capacity_on = supply.upto[supply.on].capacity;
    return supply;
}
