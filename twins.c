/* SPDX-License-Identifier: Apache-2.0
 *
 * twins.c - what each policy would do with what really comes.
 *
 * For each managed balancer every policy runs beside the real decision, on a fluid twin
 * of its servers (core/gb_fluid.h): the same arrivals, curves, capacities, learned boot
 * times and floors, and servers that neither fail nor are held by anybody.  Pages show
 * what it would have on, and what it would have drawn so far.
 *
 * Twins lie in the segment and go on when a keeper takes over; the core finds out what
 * one that was killed left half written.  Their tables are each keeper's own.  One
 * thread; no locks.
 */
#include "watchdog.h"

#include <math.h>
#include <stdlib.h>

#define GAP_S         30  /* longer gaps are left open */
#define DRIFT         0.1 /* of the service time, until tables are made anew, */
#define MAKE_EVERY_US (10 * GB_US_PER_S) /* which takes 9 us a server */

typedef struct yard_t {
    gb_plant_t plant;
    gb_upto_t *upto;    /* [room + 1] */
    gb_curve_t *curves; /* [room] */
    double *slots_upto; /* [room + 1] */
    uint32_t *doors;    /* [room]: in their order */
    gb_tail_t tail;
    uint32_t room;
    uint32_t awake;      /* servers; a keeper's first tick has no tally yet */
    uint32_t door_count; /* of the keeper, when it was made */
    uint32_t capacities; /* and their sum */
    int64_t made_at_us;
    const mgb_balancer_t *balancer;
    int64_t stepped_at_us; /* 0: not yet */
} yard_t;

static yard_t *yards; /* [pool] */

/* ------------------------------------------------------------------ creating */

static void yard_create(mgb_keeper_t *keeper, yard_t *yard, const mgb_balancer_t *b)
{
    uint32_t room = mgb_demand_room(b);
    apr_pool_t *p = keeper->pool;

    yard->balancer = b;
    yard->room = room;
    yard->upto = apr_pcalloc(p, (room + 1) * sizeof(gb_upto_t));
    yard->curves = apr_pcalloc(p, room * sizeof(gb_curve_t));
    yard->slots_upto = apr_pcalloc(p, (room + 1) * sizeof(double));
    yard->doors = apr_pcalloc(p, room * sizeof(uint32_t));
    yard->tail.room = room;
    yard->tail.rows = apr_pcalloc(p, (room + 1) * sizeof(gb_tail_row_t));
}

void mgb_twins_create(mgb_keeper_t *keeper)
{
    yards = apr_pcalloc(keeper->pool, (mgb_dog.fleet.pool_count + 1) * sizeof(yard_t));
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        const mgb_balancer_t *b = mgb_fleet_balancer(keeper, mgb_dog.pool_slots[i]);

        if (b->conf->mode != GB_MODE_OFF) {
            yard_create(keeper, &yards[i], b);
        }
    }
}

/* ------------------------------------------------------------------ the plant */

static bool is_first_of_machine(const mgb_keeper_t *keeper, uint32_t door)
{
    const gb_door_t *doors = mgb_dog.fleet.doors;

    for (uint32_t d = mgb_dog.first_door[keeper->doors[door].rig]; d != GB_NO_INDEX;
         d = mgb_dog.next_door[d]) {
        if (d < door && doors[d].balancer == doors[door].balancer) {
            return false;
        }
    }
    return true;
}

static int by_rank(const void *a, const void *b)
{
    const gb_door_t *one = &mgb_dog.fleet.doors[*(const uint32_t *)a];
    const gb_door_t *two = &mgb_dog.fleet.doors[*(const uint32_t *)b];

    if (one->lbset != two->lbset) {
        return one->lbset < two->lbset ? -1 : 1;
    }
    return one->rank < two->rank ? -1 : one->rank > two->rank;
}

static uint32_t doors_of(const mgb_keeper_t *keeper, uint32_t pool, yard_t *yard)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < keeper->door_count && count < yard->room; i++) {
        if (mgb_dog.fleet.doors[i].balancer == pool && is_first_of_machine(keeper, i)) {
            yard->doors[count++] = i;
        }
    }
    qsort(yard->doors, count, sizeof(uint32_t), by_rank);
    return count;
}

/* Capacities, curves and set-ups of the servers. */
static void servers_fill(mgb_keeper_t *keeper, yard_t *yard, uint32_t count)
{
    double setup_s = 0, slow_s = 0, setup_watts = 0;

    yard->awake = 0;
    for (uint32_t k = 0; k < count; k++) {
        const mgb_door_t *door = &keeper->doors[yard->doors[k]];
        const gb_machine_t *machine = &mgb_dog.fleet.machines[door->rig];
        const gb_boot_t *boot = &machine->boot;
        const gb_curve_t *curve = &keeper->shared->members[door->slot].curve;
        double capacity = mgb_dog.fleet.doors[yard->doors[k]].capacity;
        double slow = (double)gb_boot_quantile(boot, 950) / GB_US_PER_S;

        yard->awake += machine->state == GB_ST_ON || machine->state == GB_ST_UNKNOWN;
        yard->curves[k] = *curve;
        yard->upto[k + 1] = yard->upto[k];
        yard->upto[k + 1].capacity += capacity;
        yard->upto[k + 1].slots += capacity;
        yard->upto[k + 1].idle_watts += fmax(curve->watts[0] - curve->off_watts, 0);
        setup_s += (double)gb_boot_quantile(boot, 500) / GB_US_PER_S / count;
        setup_watts += fmax(curve->watts[10] - curve->off_watts, 0) / count;
        slow_s = fmax(slow_s, slow);
    }
    yard->plant.setup_s = setup_s;
    yard->plant.supply.setup_s = slow_s;
    yard->plant.supply.setup_watts = setup_watts;
}

static void plant_make(mgb_keeper_t *keeper, yard_t *yard, uint32_t pool,
                       double service_s, double late_s)
{
    uint32_t count = doors_of(keeper, pool, yard);
    gb_supply_t *supply = &yard->plant.supply;

    servers_fill(keeper, yard, count);
    supply->servers = count;
    if (!count) {
        return;
    }
    supply->upto = yard->upto;
    supply->tail = &yard->tail;
    supply->service_s = service_s;
    supply->late_s = late_s;
    gb_supply_tail(supply, yard->slots_upto, &yard->tail);
    supply->rate_per_slot = gb_supply_slot_rate(yard->upto[count].slots / count,
                                                service_s, late_s - service_s);
    supply->late_last = yard->balancer->conf->hold.queue == MGB_QUEUE_LATE_LAST;
    yard->plant.curves = yard->curves;
    yard->plant.packs = mgb_lbmethod_is_ours(yard->balancer->balancer);
    gb_fluid_settle(&yard->plant);
}

static uint32_t capacities_of(uint32_t pool, uint32_t door_count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < door_count; i++) {
        if (mgb_dog.fleet.doors[i].balancer == pool) {
            sum += mgb_dog.fleet.doors[i].capacity;
        }
    }
    return sum;
}

static bool has_drifted(double is, double was)
{
    return fabs(is - was) > DRIFT * was;
}

/* Tables are made anew when something has changed that they depend on. */
static void plant_keep(mgb_keeper_t *keeper, yard_t *yard, uint32_t i, int64_t now_us)
{
    const gb_pool_t *pool = &mgb_dog.fleet.pools[i];
    const gb_supply_t *supply = &yard->plant.supply;
    double service_s = gb_supply_service_s(pool->service_us);
    double late_s = gb_supply_late_s(pool->late_us, service_s);
    uint32_t capacities = capacities_of(i, keeper->door_count);

    if (yard->door_count != keeper->door_count || yard->capacities != capacities ||
        (now_us - yard->made_at_us >= MAKE_EVERY_US &&
         (has_drifted(service_s, supply->service_s) ||
          has_drifted(late_s, supply->late_s)))) {
        yard->door_count = keeper->door_count;
        yard->capacities = capacities;
        yard->made_at_us = now_us;
        plant_make(keeper, yard, i, service_s, late_s);
    }
    yard->plant.min_on = pool->min_awake > 0 ? pool->min_awake : 1;
    yard->plant.spare = pool->spare;
}

/* ------------------------------------------------------------------ the twins */

static void twin_begin(const yard_t *yard, mgb_twin_t *twin, double arrived)
{
    uint32_t servers = yard->plant.supply.servers, on = yard->awake;

    memset(&twin->decider, 0, sizeof(twin->decider));
    twin->joules_always_on = 0;
    gb_fluid_init(&twin->fluid, &yard->plant, on < servers ? on : servers, arrived);
}

static void twin_step(const yard_t *yard, mgb_twin_t *twin, gb_policy_e policy,
                      const gb_pool_t *pool, double arrived)
{
    const gb_plant_t *plant = &yard->plant;
    gb_policy_conf_t conf = pool->policy;
    double before_s = twin->fluid.now_s;
    gb_demand_t demand;
    gb_supply_t supply;

    if (!(before_s > 0)) {
        twin_begin(yard, twin, arrived);
    }
    gb_fluid_step(&twin->fluid, plant, arrived);
    if (twin->fluid.now_s <= before_s) { /* what was there made no sense */
        twin->joules_always_on = 0;
    }
    demand = gb_fluid_demand(&twin->fluid, plant, pool->day_s);
    supply = gb_fluid_supply(&twin->fluid, plant);
    conf.policy = policy;
    gb_fluid_order(&twin->fluid, plant,
                   gb_decide(&twin->decider, &conf, &supply, &demand));
    twin->joules_always_on += gb_fluid_watts(plant, plant->supply.servers, arrived);
}

static void yard_step(mgb_keeper_t *keeper, yard_t *yard, uint32_t i, int64_t now_us)
{
    const gb_pool_t *pool = &mgb_dog.fleet.pools[i];
    mgb_mind_t *mind = &keeper->shared->minds[mgb_dog.pool_slots[i]];
    int64_t passed_us = now_us - yard->stepped_at_us, steps;

    steps = (passed_us + GB_US_PER_S / 2) / GB_US_PER_S;
    if (yard->stepped_at_us == 0 || passed_us < 0 || steps > GAP_S) {
        steps = 1;
        yard->stepped_at_us = now_us - GB_US_PER_S;
    }
    yard->stepped_at_us += steps * GB_US_PER_S;
    plant_keep(keeper, yard, i, now_us);
    for (int64_t k = 0; yard->plant.supply.servers && k < steps; k++) {
        for (int policy = 0; policy < GB_POLICY_COUNT; policy++) {
            twin_step(yard, &mind->twins[policy], (gb_policy_e)policy, pool,
                      pool->arrived / (double)steps);
        }
    }
}

void mgb_twins_step(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        if (yards[i].balancer) {
            yard_step(keeper, &yards[i], i, now_us);
        }
    }
}
