/* SPDX-License-Identifier: Apache-2.0
 *
 * optimum.c - what who knows the whole load would need: a dynamic program over the
 * number of servers on, for servers that are all alike (mixed.c has the others).
 *
 * V_t(x) = f_t(x) + min over y of [V_{t-1}(y) + beta (x - y)+], where f_t is the energy
 * of a slot and beta what a set-up draws; as all is known, a set-up only has to be
 * begun earlier.  Optimum: in every slot so many are on that at most GB_TAIL_GOAL are
 * late. Bound: late requests have a price instead; for each price, the least of energy
 * + price x late, less price x the late requests that are allowed, is a lower bound of
 * the energy of whatever policy (Lagrange); the highest of them counts.
 */
#include "greensim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_S      10u
#define CELLS_MOST  ((size_t)1 << 27) /* slots x servers that are remembered */
#define PRICE_LEAST 1e-2              /* joules for a late request */
#define PRICE_MOST  1e7
#define PRICE_ANY   1e12 /* at which nobody looks at the joules any more */
#define PRICE_TRIES 30
#define PRICE_NEAR  1e-3 /* of its logarithm */
#define DAY_S       86400.0

typedef struct program_t {
    const gs_world_t *world;
    uint32_t servers, least; /* on, always */
    gb_plant_t spread; /* the same servers, the load spread over those that are on */
    double start_joules;
    double price; /* of a late request; negative: none, all slots are kept in time */
    double *cost, *late;    /* [servers + 1] of the slot */
    double *value, *next;   /* V */
    double *sum, *next_sum; /* late requests on the best way to x */
    double *above, *below;  /* least V when one comes from y >= x, from y < x */
    uint32_t *from_above, *from_below;
} program_t;

static void program_open(program_t *p, const gs_world_t *world)
{
    size_t room = (size_t)world->fleet.count + 2;

    *p = (program_t){.world = world, .servers = world->fleet.count};
    p->spread = world->plant;
    p->spread.packs = false;
    p->least = world->plant.min_on > 1 ? world->plant.min_on : 1;
    p->start_joules = world->plant.supply.setup_watts * world->plant.setup_s;
    p->cost = gs_alloc(room, sizeof *p->cost);
    p->late = gs_alloc(room, sizeof *p->late);
    p->value = gs_alloc(room, sizeof *p->value);
    p->next = gs_alloc(room, sizeof *p->next);
    p->sum = gs_alloc(room, sizeof *p->sum);
    p->next_sum = gs_alloc(room, sizeof *p->next_sum);
    p->above = gs_alloc(room, sizeof *p->above);
    p->below = gs_alloc(room, sizeof *p->below);
    p->from_above = gs_alloc(room, sizeof *p->from_above);
    p->from_below = gs_alloc(room, sizeof *p->from_below);
}

static void program_close(program_t *p)
{
    free(p->cost);
    free(p->late);
    free(p->value);
    free(p->next);
    free(p->sum);
    free(p->next_sum);
    free(p->above);
    free(p->below);
    free(p->from_above);
    free(p->from_below);
}

/* ---------------------------------------------------------------- a slot */

/* The share that is late with x servers in a slot that begins without a line. */
static double late_share(const program_t *p, uint32_t x, double rate, double slot_s)
{
    const gb_supply_t *supply = &p->world->plant.supply;
    double full_rate = supply->upto[x].slots / supply->service_s;
    double in_time = (supply->late_s - supply->service_s) * full_rate;

    if (rate < full_rate) {
        return gb_tail_late(supply->tail, x, rate);
    }
    if (supply->late_last) { /* the excess, once the line is as long as is in time */
        return fmax(0, (rate - full_rate) * slot_s - in_time) / (rate * slot_s);
    }
    return rate > full_rate ? fmax(0, 1 - in_time / ((rate - full_rate) * slot_s)) : 0;
}

uint32_t gs_least_on(const gs_world_t *world, double rate)
{
    uint32_t least = world->plant.min_on > 1 ? world->plant.min_on : 1;
    uint32_t need = gb_tail_need(world->plant.supply.tail, rate) + world->plant.spare;

    need = need < world->fleet.count ? need : world->fleet.count;
    return need > least ? need : least;
}

/* Energy and late requests of the slot for all x: beyond what is used, each more idles.
 * A run notices a load that grows some seconds later (`lagging`), when it is spared
 * the late requests of those. */
static void weigh_slot(program_t *p, double rate, double lagging, double slot_s)
{
    const gb_plant_t *plant = &p->world->plant;
    const gb_supply_t *supply = &plant->supply;
    uint32_t used = gb_supply_for_rate(supply, rate, 1.0), all, none, from;
    double idle_watts = supply->upto[1].idle_watts;
    double used_watts = gb_fluid_watts(plant, used, rate);

    gb_tail_span(supply->tail, rate, &all, &none);
    from = p->price < 0 ? gs_least_on(p->world, rate) : p->least;
    for (uint32_t x = 1; x <= p->servers; x++) {
        double watts = used_watts + idle_watts * ((double)x - used), late;

        if (x < from) {
            p->cost[x] = INFINITY;
            continue;
        }
        if (x < used) {
            watts = gb_fluid_watts(
                plant, x, fmin(rate, supply->upto[x].slots / supply->service_s));
        }
        if (p->price >= 0) { /* with a curve that bends upward the thriftier way */
            double rate_most = supply->upto[x].slots / supply->service_s;

            watts = fmin(watts, gb_fluid_watts(&p->spread, x, fmin(rate, rate_most)));
        }
        late = x >= none ? 0 : late_share(p, x, rate, slot_s);
        if (lagging < rate) {
            late = fmin(late, late_share(p, x, lagging, slot_s));
        }
        p->late[x] = late * rate * slot_s;
        p->cost[x] = watts * slot_s + fmax(p->price, 0) * p->late[x];
    }
}

/* Where one comes from: down for nothing, up for a set-up each. */
static void find_ways(program_t *p)
{
    double best = INFINITY;
    uint32_t from = p->servers;

    for (uint32_t x = p->servers; x >= 1; x--) {
        if (p->value[x] <= best) {
            best = p->value[x];
            from = x;
        }
        p->above[x] = best;
        p->from_above[x] = from;
    }
    best = INFINITY;
    for (uint32_t x = 1; x <= p->servers; x++) {
        p->below[x] = best;
        p->from_below[x] = from;
        if (p->value[x] < best) {
            best = p->value[x];
            from = x;
        }
        best += p->start_joules;
        p->below[x] = x == 1 ? INFINITY : p->below[x];
    }
}

/* One slot on; `came_from` may be NULL. */
static void advance(program_t *p, uint16_t *came_from)
{
    double *swap;

    find_ways(p);
    for (uint32_t x = 1; x <= p->servers; x++) {
        bool is_down = p->above[x] <= p->below[x];
        uint32_t from = is_down ? p->from_above[x] : p->from_below[x];

        p->next[x] = (is_down ? p->above[x] : p->below[x]) + p->cost[x];
        p->next_sum[x] = p->sum[from] + p->late[x];
        if (came_from) {
            came_from[x - 1] = (uint16_t)from;
        }
    }
    swap = p->value, p->value = p->next, p->next = swap;
    swap = p->sum, p->sum = p->next_sum, p->next_sum = swap;
}

static void begin(program_t *p, double price)
{
    p->price = price;
    memset(p->value, 0, (p->servers + 2) * sizeof *p->value);
    memset(p->sum, 0, (p->servers + 2) * sizeof *p->sum);
    memset(p->late, 0, (p->servers + 2) * sizeof *p->late);
}

static uint32_t cheapest(const program_t *p)
{
    uint32_t x = 1;

    for (uint32_t y = 2; y <= p->servers; y++) {
        x = p->value[y] < p->value[x] ? y : x;
    }
    return x;
}

/* ---------------------------------------------------------------- the slots */

/* As long as is asked for, unless it would take more memory than `cells_most`. */
void gs_slots_make(gs_slots_t *slots, const gs_trace_t *trace, uint32_t step_s,
                   size_t cells_each, size_t cells_most)
{
    while (trace->seconds / step_s * cells_each > cells_most) {
        step_s *= 2;
    }
    slots->step_s = step_s;
    slots->count = (trace->seconds + step_s - 1) / step_s;
    slots->seconds = trace->seconds;
    slots->rate = gs_alloc(slots->count, sizeof *slots->rate);
    for (uint32_t t = 0; t < trace->seconds; t++) {
        slots->rate[t / step_s] += trace->arrived[t];
    }
    for (uint32_t i = 0; i < slots->count; i++) {
        slots->rate[i] /= gs_slot_s(slots, i);
    }
}

double gs_slot_s(const gs_slots_t *slots, uint32_t i)
{
    uint32_t from = i * slots->step_s;

    return slots->seconds - from < slots->step_s ? slots->seconds - from
                                                 : slots->step_s;
}

/* ---------------------------------------------------------------- the optimum */

/* Follows the way back: how many are on in each slot.  Free it. */
static uint32_t *find_way(const program_t *p, const gs_slots_t *slots,
                          const uint16_t *came_from)
{
    uint32_t *on = gs_alloc(slots->count, sizeof *on);
    uint32_t x = cheapest(p);

    for (uint32_t i = slots->count; i-- > 0;) {
        on[i] = x;
        x = came_from[(size_t)i * p->servers + x - 1];
    }
    return on;
}

/* Notes what the way is like. */
static void describe(const program_t *p, const gs_slots_t *slots, const uint32_t *on,
                     gs_result_t *result)
{
    const gs_world_t *world = p->world;
    gs_waits_t *waits = gs_alloc(1, sizeof *waits);
    gs_series_t series;
    gs_mix_t mix;
    double starts = 0;

    gs_mix_begin(&mix, world);
    gs_series_begin(&series, result, world->trace.seconds);
    for (uint32_t i = 0; i < slots->count; i++) {
        double rate = slots->rate[i], slot_s = gs_slot_s(slots, i);
        double late = late_share(p, on[i], rate, slot_s) * rate;
        double watts = gb_fluid_watts(&world->plant, on[i], rate);

        starts += i && on[i] > on[i - 1] ? on[i] - on[i - 1] : 0;
        gs_mix_add(&mix, on[i], rate, rate * slot_s);
        result->late += late * slot_s;
        result->mean_on += on[i] * slot_s / world->trace.seconds;
        result->peak_on = fmax(result->peak_on, on[i]);
        for (uint32_t s = 0; s < (uint32_t)slot_s; s++) {
            gs_series_add(&series, rate, on[i], 0, watts, late);
        }
    }
    gs_series_end(&series);
    gs_mix_end(&mix, waits);
    result->p99_ms = 1000 * gs_waits_quantile_s(waits, 0.99);
    result->cycles_per_server_day =
        starts * DAY_S / world->trace.seconds / world->fleet.count;
    free(waits);
}

uint32_t *gs_optimum_plan(const gs_world_t *world, uint32_t *step_s, uint32_t *count,
                          gs_result_t *result)
{
    gs_slots_t slots;
    program_t p;
    uint16_t *came_from;
    uint32_t *on;

    gs_result_begin(result, GS_OPTIMUM);
    gs_slots_make(&slots, &world->trace, *step_s ? *step_s : SLOT_S, world->fleet.count,
                  CELLS_MOST);
    came_from = gs_alloc((size_t)slots.count * world->fleet.count, sizeof *came_from);
    program_open(&p, world);
    begin(&p, -1);
    for (uint32_t i = 0; i < slots.count; i++) {
        weigh_slot(&p, slots.rate[i], slots.rate[i], gs_slot_s(&slots, i));
        advance(&p, &came_from[(size_t)i * p.servers]);
    }
    result->joules = p.value[cheapest(&p)];
    result->requests = world->trace.requests;
    on = find_way(&p, &slots, came_from);
    describe(&p, &slots, on, result);
    snprintf(result->note, sizeof result->note, "dynamic program, slots of %u s",
             slots.step_s);
    *step_s = slots.step_s;
    *count = slots.count;
    program_close(&p);
    free(came_from);
    free(slots.rate);
    return on;
}

void gs_optimum_run(const gs_world_t *world, uint32_t step_s, gs_result_t *result)
{
    uint32_t count;

    free(gs_optimum_plan(world, &step_s, &count, result));
}

/* ---------------------------------------------------------------- the bound */

/* The rates as the fluid sees them, a mean over some ten seconds; of each slot the
 * mean. Free it. */
static double *lagging_rates(const gs_world_t *world, const gs_slots_t *slots)
{
    double *rates = gs_alloc(slots->count, sizeof *rates);
    double smooth = gs_first_rate(&world->trace);

    for (uint32_t t = 0; t < slots->seconds; t++) {
        smooth += GB_FLUID_SMOOTHING * (world->trace.arrived[t] - smooth);
        rates[t / slots->step_s] += smooth / gs_slot_s(slots, t / slots->step_s);
    }
    return rates;
}

/* Least of energy + price x late; and how many are late then. */
static double dual(program_t *p, const gs_slots_t *slots, const double *lagging,
                   double price, double *late)
{
    uint32_t x;

    begin(p, price);
    for (uint32_t i = 0; i < slots->count; i++) {
        weigh_slot(p, slots->rate[i], lagging[i], gs_slot_s(slots, i));
        advance(p, NULL);
    }
    x = cheapest(p);
    *late = p->sum[x];
    return p->value[x];
}

void gs_bound_run(const gs_world_t *world, double late_most, uint32_t step_s,
                  gs_result_t *result)
{
    double allowed = late_most * world->trace.requests;
    double low = log(PRICE_LEAST), high = log(PRICE_MOST), late;
    double *lagging;
    gs_slots_t slots;
    program_t p;

    gs_result_begin(result, GS_BOUND);
    gs_slots_make(&slots, &world->trace, step_s ? step_s : SLOT_S, 1, CELLS_MOST);
    lagging = lagging_rates(world, &slots);
    program_open(&p, world);
    result->joules = dual(&p, &slots, lagging, 0, &late);
    for (int i = 0; i < PRICE_TRIES && high - low > PRICE_NEAR; i++) {
        double middle = (low + high) / 2;
        double bound =
            dual(&p, &slots, lagging, exp(middle), &late) - exp(middle) * allowed;

        if (!world->options->quiet) {
            gs_progress("bound", (double)i / PRICE_TRIES);
        }
        result->joules = fmax(result->joules, bound);
        *(late > allowed ? &low : &high) = middle;
    }
    result->requests = world->trace.requests;
    result->late = allowed;
    snprintf(result->note, sizeof result->note,
             "lower bound for any policy with at most %g%% late", 100 * late_most);
    (void)dual(&p, &slots, lagging, PRICE_ANY, &late);
    if (late > allowed) { /* at any price: the bound grows with the price */
        result->joules = 0;
        snprintf(result->note, sizeof result->note,
                 "no policy has at most %g%% late: all servers together are too few",
                 100 * late_most);
    }
    program_close(&p);
    free(lagging);
    free(slots.rate);
}
