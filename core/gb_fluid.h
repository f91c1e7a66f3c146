/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fluid.h - a balancer's servers as a fluid: what a policy would do and cost.
 *
 * Requests are a quantity that flows in at a rate; the servers that are on take what
 * they can, the rest waits in one line; how many are late follows from Erlang's C below
 * saturation and from the length of the line above it.  Steps of one second.  greensim's
 * fluid mode and the twins of `GreenBalance observe` both run it, so they agree.
 *
 * Servers are filled in order, each up to the rate it carries within the goal; the energy
 * is that of their curves.  The first `on` of the order are on.
 */
#ifndef GB_FLUID_H
#define GB_FLUID_H

#include "gb_decide.h"
#include "gb_energy.h"

/* What does not change from step to step. */
typedef struct gb_plant_t {
    gb_supply_t supply;        /* `on`, `coming`, `capacity_on` are the fluid's to fill in */
    const gb_curve_t *curves;  /* [servers], in the order */
    double setup_s;            /* how long a set-up really takes */
    uint32_t min_on;           /* GreenAwake min=, at least 1 */
    uint32_t spare;            /* GreenAwake spare= */
    bool packs;                /* false: the load is spread over all that are on */
} gb_plant_t;

#define GB_FLUID_BATCHES 512 /* set-ups that were begun at the same time are one */

typedef struct gb_batch_t {
    double ready_at_s;
    uint32_t count;
} gb_batch_t;

typedef struct gb_fluid_t {
    double now_s;      /* since the start */
    uint32_t on, coming;
    double backlog;    /* requests that wait */
    double smooth;     /* rate, mean over some ten seconds */
    uint32_t first_batch, batches;
    gb_batch_t batch[GB_FLUID_BATCHES];
    /* accounts: */
    double joules, requests, late, on_s, coming_s;
    uint64_t starts;
    uint32_t peak_on;
    /* of the latest step: */
    double watts, late_now, arrived_now;
} gb_fluid_t;

/* Begins with `on` servers on (at least min_on) and a rate as if it had been so. */
void gb_fluid_init(gb_fluid_t *fluid, const gb_plant_t *plant, uint32_t on, double rate);

/* One second in which `arrived` requests come: servers whose set-up is over are on,
 * requests are served, energy and lateness are counted. */
void gb_fluid_step(gb_fluid_t *fluid, const gb_plant_t *plant, double arrived);

/* Carries out a choice: starts what is missing, stops what is above keep. min and spare
 * are kept.  Servers in set-up are never called back. */
void gb_fluid_order(gb_fluid_t *fluid, const gb_plant_t *plant, gb_choice_t choice);

/* The demand and supply that a policy sees after the latest step; `day_s` as in
 * gb_demand_t. */
gb_demand_t gb_fluid_demand(const gb_fluid_t *fluid, const gb_plant_t *plant,
                            int64_t day_s);
gb_supply_t gb_fluid_supply(const gb_fluid_t *fluid, const gb_plant_t *plant);

/* Watts of `on` servers that serve at `rate`; of the rest switched off. */
double gb_fluid_watts(const gb_plant_t *plant, uint32_t on, double rate);

#endif /* GB_FLUID_H */
