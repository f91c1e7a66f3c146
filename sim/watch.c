/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.c - senses, tick, gates and orders, as the keeper has them (watchdog.c), over
 * simulated servers.
 */
#include "watch.h"

#include "../core/gb_proof.h"
#include "../core/gb_return.h"

#include <stdlib.h>
#include <string.h>

/* The simulation begins a day after the clock did.  Who is on has just come, as on the
 * day on which the module is installed: GreenDwell holds for him; who is off has been
 * so. */
#define ORIGIN_US     (24 * 3600 * GB_US_PER_S)
#define FALL          2                   /* GreenReverseHealth fall= */
#define WAKE_LEAST_US (300 * GB_US_PER_S) /* GreenWake timeout= */
#define STOP_LEAST_US (300 * GB_US_PER_S)
#define NS_PER_US     INT64_C(1000)
#define FLAGS         (GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_HAS_BMC | GB_MF_MANAGED)

static int64_t us_of(double seconds)
{
    return (int64_t)(seconds * (double)GB_US_PER_S);
}

static int64_t clock_us(int64_t now_ns)
{
    return ORIGIN_US + now_ns / NS_PER_US;
}

/* ------------------------------------------------------------------ opening */

static int64_t at_least_us(int64_t least_us, double seconds)
{
    int64_t wanted_us = us_of(seconds);

    return wanted_us > least_us ? wanted_us : least_us;
}

static gb_rules_t rules_of(const gs_discrete_conf_t *conf, const gs_server_t *server)
{
    gb_rules_t rules = {
        .drain_timeout_us = us_of(conf->drain_timeout_s),
        .stop_timeout_us = at_least_us(STOP_LEAST_US, 2 * server->shutdown_s),
        .wake_timeout_us = at_least_us(WAKE_LEAST_US, 2 * server->setup_p95_s),
        .wake_retry_us = 10 * GB_US_PER_S,
        .awake_dwell_us = us_of(conf->awake_dwell_s),
        .asleep_dwell_us = us_of(conf->asleep_dwell_s),
        .cycles_per_day = conf->cycles_per_day ? conf->cycles_per_day : GB_CYCLES_KEPT,
        .packets = 3,
    };

    return rules;
}

static void machine_open(gs_watch_t *watch, uint32_t i, const gs_server_t *server,
                         bool is_on)
{
    gb_fleet_t *fleet = &watch->fleet;
    gb_machine_t *machine = &fleet->machines[i];
    gb_door_t *door = &fleet->doors[i];

    gb_state_init(machine, us_of(server->setup_p95_s), 1);
    machine->state = is_on ? GB_ST_ON : GB_ST_ASLEEP;
    machine->entered_at_us = is_on ? ORIGIN_US : 0;
    machine->retry_at_us = machine->deadline_at_us = GB_NEVER_US;
    machine->flags = FLAGS;
    machine->rungs_wake = machine->rungs_sleep = 1;
    fleet->rules[i] = rules_of(watch->conf, server);
    memset(door, 0, sizeof *door);
    door->machine = door->rank = i;
    door->capacity = server->capacity;
    door->counted = true;
    gb_fleet_door_watts(door, &server->curve);
    door->setup_watts = server->setup_watts - server->curve.off_watts;
    watch->use[i] = GB_USE_USABLE;
    (void)gb_pick_append(watch->table, (uint16_t)i, server->capacity, 0);
}

static void pool_open(gs_watch_t *watch, const gs_fleet_t *fleet)
{
    gb_pool_t *pool = &watch->pool;
    const gs_discrete_conf_t *conf = watch->conf;

    pool->mode = GB_MODE_ON;
    pool->min_awake = conf->min_on;
    pool->spare = conf->spare;
    pool->wakes_at_once = conf->wakes_at_once ? conf->wakes_at_once : fleet->count;
    pool->rules = rules_of(conf, &fleet->servers[0]);
    pool->threshold.wake_permille = 800;
    pool->threshold.sleep_permille = 500;
    pool->service_us = us_of(fleet->servers[0].service_s);
    pool->given = &watch->choice;
    pool->decider = &watch->decider;
    pool->tail = &watch->tail;
    pool->tail->rows = gs_alloc(fleet->count + 1, sizeof *pool->tail->rows);
    pool->tail->room = pool->decide_room = fleet->count;
    pool->upto = watch->upto = gs_alloc(fleet->count + 1, sizeof *watch->upto);
    pool->slots_upto = gs_alloc(fleet->count + 1, sizeof *pool->slots_upto);
    watch->choice.up = watch->choice.keep = watch->on;
}

void gs_watch_open(gs_watch_t *watch, gs_boxes_t *boxes, const gs_fleet_t *fleet,
                   const gs_discrete_conf_t *conf, uint32_t on, bool packs)
{
    uint32_t n = fleet->count;

    memset(watch, 0, sizeof *watch);
    watch->conf = conf;
    watch->boxes = boxes;
    watch->boot_fail_share = fleet->boot_fail_share;
    watch->fleet.machines = gs_alloc(n, sizeof *watch->fleet.machines);
    watch->fleet.senses = gs_alloc(n, sizeof *watch->fleet.senses);
    watch->fleet.rules = gs_alloc(n, sizeof *watch->fleet.rules);
    watch->fleet.doors = gs_alloc(n, sizeof *watch->fleet.doors);
    watch->fleet.machine_count = watch->fleet.door_count = n;
    watch->fleet.pools = &watch->pool;
    watch->fleet.pool_count = 1;
    watch->actions = gs_alloc(n + 1, sizeof *watch->actions);
    watch->rigs = gs_alloc(n, sizeof *watch->rigs);
    watch->use = gs_alloc(n, 1);
    watch->asleep = gs_alloc(n, 1);
    watch->table = gs_alloc(gb_pick_bytes(n) / 64, 64);
    gb_pick_init(watch->table, n);
    watch->table->packing = packs;
    for (uint32_t i = 0; i < n; i++) {
        machine_open(watch, i, &fleet->servers[i], i < on);
    }
    watch->on = on;
    pool_open(watch, fleet);
    gs_watch_tick(watch, 0, 0);
}

void gs_watch_close(gs_watch_t *watch)
{
    free(watch->fleet.machines);
    free(watch->fleet.senses);
    free(watch->fleet.rules);
    free(watch->fleet.doors);
    free(watch->tail.rows);
    free(watch->upto);
    free(watch->pool.slots_upto);
    free(watch->actions);
    free(watch->rigs);
    free(watch->use);
    free(watch->asleep);
    free(watch->table);
    memset(watch, 0, sizeof *watch);
}

void gs_watch_use_threshold(gs_watch_t *watch, const gb_policy_conf_t *conf)
{
    gb_pool_t *pool = &watch->pool;

    watch->by_itself = true;
    watch->at_rest = false;
    pool->given = NULL;
    pool->policy.policy = GB_POLICY_THRESHOLD;
    pool->threshold = conf->threshold;
    /* The pool's dwell is how long the load has to stay low; a machine's own is how
     * long that one has to stay on. */
    if (conf->hold_us > pool->rules.awake_dwell_us) {
        pool->rules.awake_dwell_us = conf->hold_us;
    }
}

void gs_watch_choose(gs_watch_t *watch, gb_choice_t choice)
{
    watch->at_rest = watch->at_rest && watch->choice.up == choice.up &&
                     watch->choice.keep == choice.keep;
    watch->choice = choice;
}

/* ------------------------------------------------------------------ sensing */

/* When it is proved off: it is asked every half second from the order on, and has to be
 * silent FALL times in a row. */
static int64_t proved_off_ns(const gb_machine_t *machine, int64_t off_at_ns)
{
    const int64_t pace_ns = GB_PROOF_STOPPING_US * NS_PER_US;
    int64_t from_ns = (machine->entered_at_us - ORIGIN_US) * NS_PER_US;
    int64_t questions = (off_at_ns - from_ns + pace_ns - 1) / pace_ns;

    return from_ns + (questions + FALL - 1) * pace_ns;
}

static gb_proof_e proof_of(const gs_watch_t *watch, uint32_t i, int64_t now_ns)
{
    const gb_machine_t *machine = &watch->fleet.machines[i];
    const gs_box_t *box = &watch->boxes->box[i];

    if (box->power != GS_OFF) {
        return GB_PROOF_NONE;
    }
    if (machine->state == GB_ST_STOPPING) {
        return now_ns >= proved_off_ns(machine, box->settled_ns) ? GB_PROOF_OFF
                                                                 : GB_PROOF_NONE;
    }
    return GB_PROOF_OFF;
}

/* The probes that a server has to pass first are within its set-up, which ends with its
 * first request: so the module learns it, and so it is asked for. */
static gb_verdict_e verdict_of(const gs_watch_t *watch, uint32_t i)
{
    const gs_box_t *box = &watch->boxes->box[i];

    switch ((gb_state_e)watch->fleet.machines[i].state) {
    case GB_ST_STOPPING:
    case GB_ST_ASLEEP:
        return GB_VERDICT_NONE;
    default:
        return box->power == GS_UP ? GB_VERDICT_GOOD : GB_VERDICT_BAD;
    }
}

static void sense(gs_watch_t *watch, uint32_t i, int64_t now_ns)
{
    const gb_machine_t *machine = &watch->fleet.machines[i];
    gb_sense_t *sensed = &watch->fleet.senses[i];
    gb_door_t *door = &watch->fleet.doors[i];

    if (watch->boxes->box[i].ends_ns <= now_ns) {
        gs_box_advance(&watch->boxes->box[i], now_ns);
    }
    memset(sensed, 0, sizeof *sensed);
    sensed->verdict = verdict_of(watch, i);
    sensed->proof = proof_of(watch, i, now_ns);
    sensed->exhausted =
        machine->state == GB_ST_WAKING && sensed->verdict != GB_VERDICT_GOOD &&
        machine->wake_at_us != 0 &&
        clock_us(now_ns) >=
            gb_after_us(machine->wake_at_us, watch->fleet.rules[i].wake_timeout_us);
    door->in_flight = gb_pick_read(watch->table, i).in_flight;
    door->verdict = sensed->verdict;
}

/* ------------------------------------------------------------------ acting */

static void start(gs_watch_t *watch, uint32_t i, int64_t now_ns)
{
    gs_boxes_t *boxes = watch->boxes;
    gs_box_t *box = &boxes->box[i];
    bool fails = gs_random_unit(&boxes->boots) < watch->boot_fail_share;
    double setup_s = gs_setup_draw(box->server, &boxes->boots);
    double timeout_s =
        (double)watch->fleet.rules[i].wake_timeout_us / (double)GB_US_PER_S;

    /* Slower than the ladder waits for: as good as failed. */
    fails = fails || setup_s > timeout_s;
    gs_boxes_start(boxes, i, watch->is_instant ? 0 : setup_s, fails ? timeout_s : -1,
                   now_ns);
    watch->failures += fails;
    watch->starts++;
}

/* A server on its way down is started when it is off. */
static void order_on_give(gs_watch_t *watch, uint32_t i, int64_t now_ns)
{
    if (watch->rigs[i].on_pending && watch->boxes->box[i].power == GS_OFF) {
        watch->rigs[i].on_pending = false;
        start(watch, i, now_ns);
    }
}

/* Not before a tick has seen the gate closed and nothing in flight. */
static void order_off_give(gs_watch_t *watch, uint32_t i, int64_t now_ns)
{
    if (watch->rigs[i].off_pending && watch->fleet.doors[i].in_flight == 0) {
        watch->rigs[i].off_pending = false;
        gs_boxes_stop(watch->boxes, i, now_ns);
    }
}

static void act(gs_watch_t *watch, const gb_action_t *action, int64_t now_us)
{
    gb_machine_t *machine = &watch->fleet.machines[action->machine];
    gs_rig_t *rig = &watch->rigs[action->machine];

    if (action->from != action->to) {
        rig->on_pending = rig->off_pending = false;
    }
    if (action->acts & GB_ACT_LEARN_BOOT) {
        gb_boot_learn(&machine->boot, now_us - machine->wake_at_us);
        machine->wake_at_us = 0;
    }
    if (action->acts & GB_ACT_ORDER_OFF) {
        rig->off_pending = true;
        if (watch->conf->cycles_per_day == 0) {
            memset(machine->cycle_at_us, 0, sizeof machine->cycle_at_us);
        }
    }
    if (action->acts & GB_ACT_ORDER_ON) {
        rig->on_pending = true;
    }
    if (action->to == GB_ST_ON &&
        (action->from == GB_ST_WAKING || action->from == GB_ST_FAILED)) {
        rig->returned_at_us = now_us;
    }
}

/* ------------------------------------------------------------------ gates */

static uint8_t gate_of(const gs_watch_t *watch, uint32_t i)
{
    switch ((gb_state_e)watch->fleet.machines[i].state) {
    case GB_ST_STOPPING:
    case GB_ST_ASLEEP:
    case GB_ST_WAKING:
        return GB_GATE_CLOSED;
    case GB_ST_DRAINING:
        return GB_GATE_STICKY;
    case GB_ST_FAILED:
        return gb_fleet_panic_routes(&watch->fleet, i) ? GB_GATE_OPEN : GB_GATE_CLOSED;
    default:
        return watch->fleet.senses[i].verdict == GB_VERDICT_GOOD ? GB_GATE_OPEN
                                                                 : GB_GATE_CLOSED;
    }
}

static void gates_publish(gs_watch_t *watch, int64_t now_us)
{
    int64_t ramp_us = us_of(watch->conf->slow_start_s);
    bool changed = watch->table->swept_at_us == 0;

    for (uint32_t i = 0; i < watch->fleet.machine_count; i++) {
        uint8_t gate = gate_of(watch, i);
        uint32_t state = watch->fleet.machines[i].state;
        uint32_t capacity =
            gb_return_capacity(watch->fleet.doors[i].capacity,
                               watch->rigs[i].returned_at_us, ramp_us, now_us);

        watch->asleep[i] = state == GB_ST_DRAINING || state == GB_ST_STOPPING ||
                           state == GB_ST_ASLEEP || state == GB_ST_WAKING;
        if (gb_pick_read(watch->table, i).capacity != capacity) {
            gb_pick_set_capacity(watch->table, i, capacity);
        }
        if (gb_pick_gate(watch->table, i) != gate) {
            gb_pick_set_gate(watch->table, i, gate);
            changed = true;
        }
    }
    if (changed) {
        watch->table->swept_at_us = now_us;
        gb_pick_sweep(watch->table, watch->use, watch->asleep);
    }
}

/* ------------------------------------------------------------------ the tick */

static bool is_coming(const gb_machine_t *machine)
{
    return machine->state == GB_ST_WAKING ||
           (machine->state == GB_ST_STOPPING && (machine->flags & GB_MF_WAKE_ASKED));
}

/* Counts, and finds out whether any tick could change something before the choice does:
 * nobody on the way up or down, nobody missing or too many. */
static void count(gs_watch_t *watch, int64_t now_us)
{
    uint32_t settled = 0;
    bool ramps = false;

    watch->on = watch->coming = watch->serving = 0;
    watch->capacity_on = 0;
    for (uint32_t i = 0; i < watch->fleet.machine_count; i++) {
        const gb_machine_t *machine = &watch->fleet.machines[i];

        if (gb_state_takes_new(machine)) {
            watch->on++;
            watch->capacity_on += watch->fleet.doors[i].capacity;
        }
        watch->serving += gb_state_takes_sticky(machine);
        watch->coming += is_coming(machine);
        settled += machine->state == GB_ST_ON || machine->state == GB_ST_ASLEEP;
        ramps = ramps || gb_return_ramps(watch->rigs[i].returned_at_us,
                                         us_of(watch->conf->slow_start_s), now_us);
    }
    watch->at_rest = !watch->by_itself && settled == watch->fleet.machine_count &&
                     !ramps && watch->on >= 1 && watch->on >= watch->choice.up &&
                     watch->on <= watch->choice.keep;
}

void gs_watch_tick(gs_watch_t *watch, uint32_t waiting, int64_t now_ns)
{
    int64_t now_us = clock_us(now_ns);
    uint32_t n = watch->fleet.machine_count;
    uint32_t acts;

    for (uint32_t i = 0; i < n; i++) {
        sense(watch, i, now_ns);
        order_on_give(watch, i, now_ns);
        order_off_give(watch, i, now_ns);
    }
    /* The policy has been told of those who wait; they are a reason of their own only
     * when nobody is there. */
    watch->pool.waiting = watch->on + watch->coming && !watch->by_itself ? 0 : waiting;
    acts = gb_fleet_tick(&watch->fleet, now_us, watch->actions, n + 1);
    gates_publish(watch, now_us);
    for (uint32_t i = 0; i < acts; i++) {
        act(watch, &watch->actions[i], now_us);
        order_on_give(watch, watch->actions[i].machine, now_ns);
    }
    count(watch, now_us);
}
