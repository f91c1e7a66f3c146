/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fluid.h - a balancer's servers as a fluid: what a policy would do and cost.
 *
 * Requests are a quantity that flows in at a rate; the servers that are on take what
 * they can, the rest waits in one line; how many are late follows from Erlang's C below
 * saturation and from the length of the line above it.  Steps of one second. greensim's
 * fluid mode and the twins of `GreenBalance observe` both run it, so they agree.
 *
 * Servers are filled in order, each up to the rate it carries within the goal; the
 * energy is that of their curves.  The first `on` of the order are on.
 *
 * Pure, no allocation, one thread at a time.  A fluid may lie in shared memory: one
 * that makes no sense begins anew with all servers on.  docs/policy.md says what it
 * leaves out.
 */
#ifndef GB_FLUID_H
#define GB_FLUID_H

#include "gb_decide.h"
#include "gb_energy.h"

/* What does not change from step to step. */
typedef struct gb_plant_t {
    gb_supply_t supply; /* `on`, `coming`, `capacity_on` are the fluid's to fill in */
    const gb_curve_t *curves; /* [servers], in the order */
    double setup_s;           /* how long a set-up really takes */
    uint32_t min_on;          /* GreenAwake min=, at least 1 */
    uint32_t spare;           /* GreenAwake spare= */
    bool packs;               /* false: the load is spread over all that are on */
    bool alike;               /* gb_fluid_settle(): the servers are all the same */
} gb_plant_t;

/* Looks once whether all servers have the same curve and slots; then a step costs the
 * same however many there are.  To be called when supply and curves are filled in or
 * have changed; without it a step is linear in servers, and its result the same. */
void gb_fluid_settle(gb_plant_t *plant);

#define GB_FLUID_SMOOTHING                                                             \
    0.1                      /* weight of the latest second in the rate that is used */
#define GB_FLUID_BATCHES 512 /* set-ups that are ready at the same time are one */

typedef struct gb_batch_t {
    double ready_at_s;
    uint32_t count;
} gb_batch_t;

typedef struct gb_fluid_t {
    double now_s; /* since the start */
    uint32_t on, coming;
    double backlog; /* requests that wait */
    double smooth;  /* rate, mean over some ten seconds */
    uint32_t first_batch, batches;
    gb_batch_t batch[GB_FLUID_BATCHES];
    /* accounts: */
    double joules, requests, late, on_s, coming_s;
    uint64_t starts;
    uint32_t peak_on;
    /* of the latest step: */
    double watts, late_now, arrived_now, served_now;
} gb_fluid_t;

/* Begins with `on` servers on (at least min_on) and a rate as if it had been so. */
void gb_fluid_init(gb_fluid_t *fluid, const gb_plant_t *plant, uint32_t on,
                   double rate);

/* One second in which `arrived` requests come: servers whose set-up is over are on,
 * requests are served, energy and lateness are counted.
 *
 * Late, first come first served: below saturation by Erlang's C at the smoothed rate;
 * while requests wait in line, those of the second whose wait (from the line's length
 * at its begin to that at its end) passes late_s - service_s.  With late_last: what
 * comes above capacity, else by Erlang's C. */
void gb_fluid_step(gb_fluid_t *fluid, const gb_plant_t *plant, double arrived);

/* Carries out a choice: starts what is missing, stops what is above keep.  At least min
 * are kept on; spare servers are added to both numbers.  Servers in set-up are never
 * called back.  Set-ups of more than 8 minutes are rounded up to 1/500 of their length.
 */
void gb_fluid_order(gb_fluid_t *fluid, const gb_plant_t *plant, gb_choice_t choice);

/* The demand and supply that a policy sees after the latest step; `day_s` as in
 * gb_demand_t.  In the system is what is being served (rate x service time, Little
 * 1961), what waits in line, and below saturation the mean number that wait for a slot
 * (Erlang's C): a server of 8 slots that is used at 90 % has 13 requests, not 7. */
gb_demand_t gb_fluid_demand(const gb_fluid_t *fluid, const gb_plant_t *plant,
                            int64_t day_s);
gb_supply_t gb_fluid_supply(const gb_fluid_t *fluid, const gb_plant_t *plant);

/* Watts of `on` servers that serve at `rate`; of the rest switched off. */
double gb_fluid_watts(const gb_plant_t *plant, uint32_t on, double rate);

#endif /* GB_FLUID_H */
