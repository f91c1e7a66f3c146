/* SPDX-License-Identifier: Apache-2.0
 *
 * watchdog.c - the keeper's tick: what was sensed -> core -> what is done.
 *
 * The keeper's working copies of machines and balancers are the truth while it lives;
 * after each tick they are copied into the segment, before any order goes out, so that
 * a keeper that takes over knows of every order that can have been given.
 *
 * Nothing is ordered off with work in flight.  A child counts a request in first and
 * looks at the gate after that; the keeper closes the gate first and looks at the
 * counts after that, a tick later.  With both sequentially consistent, one of them sees
 * the other, whichever came first.
 */
#include "watchdog.h"
#include "agents.h"

#include <stdlib.h>

#define CHECKPOINT_EVERY_US (10 * GB_US_PER_S) /* learned times, energy */
#define ENERGY_GAP_US       (10 * GB_US_PER_S) /* the account leaves longer gaps open */
#define ACTIONS_A_TICK      64

mgb_watchdog_t mgb_dog;

apr_status_t mgb_watchdog_create(mgb_keeper_t *keeper)
{
    memset(&mgb_dog, 0, sizeof(mgb_dog));
    mgb_fleet_create(keeper);
    mgb_comeback_create(keeper);
    mgb_replicas_create(keeper);
    mgb_demand_create(keeper);
    mgb_twins_create(keeper);
    mgb_dog.second_at_us = mgb_now_us() + GB_US_PER_S;
    mgb_dog.checkpoint_at_us = mgb_now_us() + CHECKPOINT_EVERY_US;
    return APR_SUCCESS;
}

static void pause_read(const mgb_keeper_t *keeper)
{
    mgb_dog.fleet.paused =
        __atomic_load_n(&keeper->shared->header->paused, __ATOMIC_ACQUIRE);
}

/* An order that the predecessor was about to give, or gave without a trace: the ladder
 * asks before it orders where it can, and every order is idempotent. */
static void ladder_resume(mgb_keeper_t *keeper, uint32_t i, int64_t now_us)
{
    gb_machine_t *machine = &mgb_dog.fleet.machines[i];
    const mgb_machine_t *shared = &keeper->shared->machines[keeper->rigs[i].slot];

    if (shared->ladder.goal != GB_GOAL_NONE || (machine->flags & GB_MF_ADMIN_HELD)) {
        return;
    }
    if (mgb_dog.fleet.paused) {
        gb_state_hold_order(machine);
    }
    if (machine->state == GB_ST_WAKING && machine->wake_at_us &&
        (machine->flags & GB_MF_CAN_WAKE)) {
        mgb_waker_start(keeper, i, GB_GOAL_ON, now_us);
    }
    else if (machine->state == GB_ST_STOPPING && (machine->flags & GB_MF_CAN_SLEEP)) {
        mgb_dog.off_pending[i] = true;
    }
}

void mgb_watchdog_resume(mgb_keeper_t *keeper, int64_t now_us)
{
    pause_read(keeper);
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        ladder_resume(keeper, i, now_us);
    }
}

/* ------------------------------------------------------------------ sensing */

static void doors_sense(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_door_t *door = &keeper->doors[i];
        const mgb_member_t *member = &keeper->shared->members[door->slot];
        unsigned int status = door->worker->s->status;

        mgb_dog.fleet.doors[i].in_flight =
            mgb_shared_in_flight(keeper->shared, door->slot);
        mgb_dog.fleet.doors[i].capacity = member->capacity;
        mgb_dog.fleet.doors[i].rank = member->position;
        mgb_dog.fleet.doors[i].lbset = (uint32_t)door->worker->s->lbset;
        mgb_dog.fleet.doors[i].verdict = (gb_verdict_e)member->health.verdict;
        mgb_dog.fleet.doors[i].silent = member->silent != 0;
        /* One that was added at run time may be gone with the next restart: it serves,
         * but no other sleeps on the strength of it.  For one that is taken out a
         * replacement is woken. */
        mgb_dog.fleet.doors[i].counted =
            !keeper->rigs[door->rig].added && !member->ejected &&
            !(status &
              (MGB_ADMIN_BITS | PROXY_WORKER_HOT_STANDBY | PROXY_WORKER_HOT_SPARE));
        if (status & MGB_ADMIN_BITS) {
            mgb_dog.fleet.senses[door->rig].admin_held = true;
        }
    }
}

/* A machine is well when one of its doors is, and ill when all of them are. */
static void verdicts_sense(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        gb_sense_t *sense = &mgb_dog.fleet.senses[keeper->doors[i].rig];
        gb_verdict_e verdict =
            keeper->shared->members[keeper->doors[i].slot].health.verdict;

        if (verdict == GB_VERDICT_GOOD || sense->verdict == GB_VERDICT_GOOD) {
            sense->verdict = GB_VERDICT_GOOD;
        }
        else if (verdict == GB_VERDICT_NONE) {
            sense->verdict = GB_VERDICT_NONE;
        }
    }
}

/* Doors that the latest configuration took away: children of before may still have work
 * in flight through them, and its end is waited for. */
static void removed_doors_sense(mgb_keeper_t *keeper)
{
    const mgb_shared_t *sh = keeper->shared;

    for (uint32_t i = 0; i < sh->header->members_top; i++) {
        const mgb_member_t *member = &sh->members[i];
        uint32_t rig;

        if (member->used != MGB_SLOT_GONE || member->machine == GB_NO_INDEX ||
            mgb_shared_in_flight(sh, i) == 0) {
            continue;
        }
        rig = mgb_fleet_rig(keeper, member->machine);
        if (rig != GB_NO_INDEX) {
            mgb_dog.fleet.senses[rig].objects = true;
        }
    }
}

static void machines_sense(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        gb_sense_t *sense = &mgb_dog.fleet.senses[i];

        memset(sense, 0, sizeof(*sense));
        /* Bad unless a door says otherwise; nothing is known of one without doors. */
        sense->verdict =
            mgb_dog.first_door[i] == GB_NO_INDEX ? GB_VERDICT_NONE : GB_VERDICT_BAD;
        sense->proof = mgb_proofs_of(keeper, i);
        sense->unpowered = mgb_proofs_unpowered(keeper, i);
        sense->exhausted = keeper->rigs[i].exhausted;
        sense->why = keeper->rigs[i].why[0] ? keeper->rigs[i].why : NULL;
        keeper->rigs[i].exhausted = false;
    }
    mgb_comeback_sense(keeper, now_us);
    doors_sense(keeper);
    removed_doors_sense(keeper);
    mgb_comeback_sessions(keeper, now_us);
    mgb_replicas_sense(keeper, now_us);
    verdicts_sense(keeper);
    mgb_agents_sense(keeper);
    mgb_dog.sensed = true;
}

/* ------------------------------------------------------------------ publishing */

/* While it drains: sessions stay with it, or go on to another one. */
static uint8_t gate_draining(const mgb_door_t *door)
{
    return door->balancer->conf->mode == GB_MODE_ON &&
                   door->balancer->conf->comeback.sticky_move
               ? GB_GATE_CLOSED
               : GB_GATE_STICKY;
}

static uint8_t gate_of(const mgb_keeper_t *keeper, uint32_t i, uint8_t now)
{
    const mgb_door_t *door = &keeper->doors[i];
    const gb_machine_t *machine = &mgb_dog.fleet.machines[door->rig];
    const mgb_member_t *member = &keeper->shared->members[door->slot];
    const gb_health_t *health = &member->health;

    if (!mgb_replicas_may_read(keeper, i, mgb_now_us())) {
        return GB_GATE_CLOSED; /* observed, in panic, or of a session: all the same */
    }
    switch ((gb_state_e)machine->state) {
    case GB_ST_STOPPING:
    case GB_ST_ASLEEP:
    case GB_ST_WAKING:
        return GB_GATE_CLOSED;
    case GB_ST_DRAINING:
        return gate_draining(door);
    case GB_ST_FAILED:
        if (door->balancer->conf->mode == GB_MODE_ON &&
            !gb_fleet_panic_routes(&mgb_dog.fleet, i)) {
            return GB_GATE_CLOSED;
        }
        return GB_GATE_OPEN;
    case GB_ST_UNKNOWN:
    case GB_ST_ON:
    case GB_ST_COUNT:
        break;
    }
    if (door->balancer->conf->mode != GB_MODE_ON) {
        return GB_GATE_OPEN; /* what we do not manage is routed as stock does */
    }
    if (health->verdict == GB_VERDICT_NONE && !member->ejected) {
        return now; /* closed until it has proved itself, open until it has failed */
    }
    if ((health->verdict == GB_VERDICT_BAD || member->ejected) &&
        !gb_fleet_panic_routes(&mgb_dog.fleet, i)) {
        return GB_GATE_CLOSED;
    }
    return GB_GATE_OPEN;
}

static void gates_decide(const mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_member_t *member = &keeper->shared->members[keeper->doors[i].slot];
        gb_pick_table_t *table = MGB_TABLE(keeper->shared, member->balancer);

        mgb_dog.gates[i] =
            member->position == GB_NO_INDEX
                ? GB_GATE_OPEN
                : gate_of(keeper, i, gb_pick_gate(table, member->position));
    }
}

/* Requests are told to wait before the last gate closes on them. */
static void gates_publish(mgb_keeper_t *keeper)
{
    bool changed = false;

    gates_decide(keeper);
    mgb_waiting_shut(keeper);
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_member_t *member = &keeper->shared->members[keeper->doors[i].slot];
        gb_pick_table_t *table = MGB_TABLE(keeper->shared, member->balancer);
        uint8_t wanted = mgb_dog.gates[i];

        if (member->position == GB_NO_INDEX) {
            continue;
        }
        if (gb_pick_gate(table, member->position) != wanted) {
            if (wanted == GB_GATE_CLOSED) {
                mgb_backends_drop(keeper->shared, keeper->doors[i].slot);
            }
            gb_pick_set_gate(table, member->position, wanted);
            changed = true;
        }
    }
    if (changed) {
        mgb_backends_tell(keeper->shared);
        mgb_members_mirror(keeper->ctx);
    }
}

static void states_publish(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        keeper->shared->machines[keeper->rigs[i].slot].m = mgb_dog.fleet.machines[i];
    }
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        keeper->shared->balancers[mgb_dog.pool_slots[i]].pool = mgb_dog.fleet.pools[i];
    }
}

/* ------------------------------------------------------------------ acting */

static uint32_t rig_in_flight(const mgb_keeper_t *keeper, uint32_t rig)
{
    uint32_t sum = 0;

    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        sum += mgb_shared_in_flight(keeper->shared, keeper->doors[i].slot);
    }
    return sum;
}

/* A panic is a balancer's: no member is named. */
static void panic_tell(mgb_keeper_t *keeper, const gb_action_t *action)
{
    uint32_t slot = mgb_dog.pool_slots[action->pool];

    mgb_shared_note(keeper->shared, GB_NO_INDEX, GB_NO_INDEX, slot, GB_ST_COUNT,
                    GB_ST_COUNT, action->reason);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server, GBLOGNO(0407) "%s: %s",
                 keeper->shared->balancers[slot].name, action->reason);
}

static void action_tell(mgb_keeper_t *keeper, const gb_action_t *action)
{
    const mgb_machine_t *machine =
        &keeper->shared->machines[keeper->rigs[action->machine].slot];
    uint32_t door = mgb_dog.first_door[action->machine];
    uint32_t member = door == GB_NO_INDEX ? GB_NO_INDEX : keeper->doors[door].slot;

    if (action->acts & GB_ACT_PANIC) {
        panic_tell(keeper, action);
        return;
    }
    if (action->from != action->to || (action->acts & GB_ACT_TELL)) {
        mgb_shared_note(keeper->shared, keeper->rigs[action->machine].slot, member,
                        member == GB_NO_INDEX
                            ? GB_NO_INDEX
                            : keeper->shared->members[member].balancer,
                        action->from, action->to, action->reason);
    }
    if (action->from != action->to) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, keeper->server,
                     GBLOGNO(0401) "%s (%s, %u in flight): -> %s: %s", machine->name,
                     gb_state_name(action->from),
                     rig_in_flight(keeper, action->machine), gb_state_name(action->to),
                     action->reason);
    }
    else if (action->acts & GB_ACT_TELL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     GBLOGNO(0402) "%s (%s): %s: %s", machine->name,
                     gb_state_name(action->to), gb_event_name(action->event),
                     action->reason);
    }
    if (action->acts & GB_ACT_BUG) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server,
                     GBLOGNO(0403) "%s (%s): the event \"%s\" is not expected in this "
                                   "state; nothing was changed; please report it",
                     machine->name, gb_state_name(action->to),
                     gb_event_name(action->event));
    }
}

/* httpd's own error mark, set when a request met a closed gate, ends with the wake. */
static void errors_clear(mgb_keeper_t *keeper, uint32_t rig)
{
    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        proxy_worker *worker = keeper->doors[i].worker;

        if (worker->s->status & PROXY_WORKER_IN_ERROR) {
            ap_proxy_set_wstatus(PROXY_WORKER_IN_ERROR_FLAG, 0, worker);
        }
    }
}

/* What an earlier configuration had put to sleep is awake: it is managed, or not, as
 * the configuration of now says. */
static void owed_settle(mgb_keeper_t *keeper, uint32_t rig)
{
    mgb_machine_t *machine = &keeper->shared->machines[keeper->rigs[rig].slot];

    if (machine->owed) {
        machine->owed = 0;
        mgb_fleet_resolve(keeper, rig);
    }
}

static void action_do(mgb_keeper_t *keeper, const gb_action_t *action, int64_t now_us)
{
    uint32_t rig = action->machine;

    action_tell(keeper, action);
    if (action->from != action->to) {
        mgb_dog.changed = true;
        mgb_dog.off_pending[rig] = false;
    }
    if (action->acts & GB_ACT_LEARN_BOOT) {
        gb_machine_t *machine = &mgb_dog.fleet.machines[rig];

        gb_boot_learn(&machine->boot, now_us - machine->wake_at_us);
        machine->wake_at_us = 0;
        /* At once, so that this tick's checkpoint has it. */
        keeper->shared->machines[keeper->rigs[rig].slot].m = *machine;
    }
    if (action->acts & GB_ACT_CANCEL) {
        mgb_waker_stop(keeper, rig);
    }
    if (action->acts & GB_ACT_ORDER_OFF) {
        mgb_dog.off_pending[rig] =
            true; /* not before the next tick has seen the counts */
    }
    if (action->acts & GB_ACT_ORDER_ON) {
        mgb_waker_start(keeper, rig, GB_GOAL_ON, now_us);
    }
    if (action->to == GB_ST_ON && action->from != GB_ST_ON) {
        errors_clear(keeper, rig);
        owed_settle(keeper, rig);
    }
}

/* Not so when a predecessor was killed between publishing a state and its gates. */
static bool gates_are_closed(const mgb_keeper_t *keeper, uint32_t rig)
{
    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        const mgb_member_t *member = &keeper->shared->members[keeper->doors[i].slot];

        if (member->position != GB_NO_INDEX &&
            gb_pick_gate(MGB_TABLE(keeper->shared, member->balancer),
                         member->position) != GB_GATE_CLOSED) {
            return false;
        }
    }
    return true;
}

/* Nothing is in flight: every connection that was ever made to it is back in its
 * child's pool, and is not to be used again. */
static void connections_drop(mgb_keeper_t *keeper, uint32_t rig)
{
    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        mgb_backends_drop(keeper->shared, keeper->doors[i].slot);
    }
    mgb_backends_tell(keeper->shared);
}

/* Orders off whose gates have been closed since the last tick.  A request that slipped
 * in before the gate closed is waited for; the deadline of STOPPING bounds that. */
static void off_orders_give(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        if (!mgb_dog.off_pending[i]) {
            continue;
        }
        if (mgb_dog.fleet.machines[i].state != GB_ST_STOPPING) {
            mgb_dog.off_pending[i] = false;
        }
        else if ((mgb_dog.fleet.machines[i].flags & (GB_MF_MANAGED | GB_MF_OBSERVED)) !=
                 GB_MF_MANAGED) {
            /* A configuration came between: as if the order had been tried in vain. */
            mgb_dog.off_pending[i] = false;
            keeper->rigs[i].exhausted = true;
            apr_cpystrn(keeper->rigs[i].why, "no balancer manages it any more",
                        sizeof(keeper->rigs[i].why));
        }
        else if (gates_are_closed(keeper, i) && !mgb_dog.fleet.paused &&
                 !mgb_dog.fleet.senses[i].admin_held &&
                 !mgb_dog.fleet.senses[i].objects && rig_in_flight(keeper, i) == 0) {
            mgb_dog.off_pending[i] = false;
            connections_drop(keeper, i);
            mgb_waker_start(keeper, i, GB_GOAL_OFF, now_us);
        }
    }
}

/* The parent binds another configuration: settings, places and gates in the segment are
 * its own now, and what this keeper would write over them is of the one before. */
static bool is_superseded(const mgb_keeper_t *keeper)
{
    return __atomic_load_n(&keeper->shared->header->generation, __ATOMIC_ACQUIRE) !=
           keeper->ctx->generation;
}

/* As it is now: a tick may not have seen it yet. */
static bool is_admin_held(const mgb_keeper_t *keeper, uint32_t rig)
{
    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        if (keeper->doors[i].worker->s->status & MGB_ADMIN_BITS) {
            return true;
        }
    }
    return false;
}

bool mgb_watchdog_may_cut(const mgb_keeper_t *keeper, uint32_t rig)
{
    const gb_machine_t *machine = &mgb_dog.fleet.machines[rig];
    const uint32_t against = GB_MF_ADMIN_HELD | GB_MF_OBSERVED | GB_MF_WAKE_ASKED;
    bool paused =
        __atomic_load_n(&keeper->shared->header->paused, __ATOMIC_ACQUIRE) != 0;

    return mgb_dog.sensed && keeper->rigs[rig].hard_off &&
           machine->state == GB_ST_STOPPING &&
           (machine->flags & (GB_MF_MANAGED | against)) == GB_MF_MANAGED && !paused &&
           machine->wish != GB_WISH_KEEP_ON && !mgb_dog.fleet.senses[rig].objects &&
           !mgb_dog.fleet.senses[rig].lingers && !is_superseded(keeper) &&
           !is_admin_held(keeper, rig) && gates_are_closed(keeper, rig) &&
           rig_in_flight(keeper, rig) == 0;
}

const char *mgb_watchdog_command(mgb_keeper_t *keeper, uint32_t member,
                                 gb_event_e event)
{
    uint32_t rig = mgb_fleet_rig(keeper, keeper->shared->members[member].machine);
    int64_t now_us = mgb_now_us();
    gb_action_t action;

    if (is_superseded(keeper)) {
        return "httpd takes over another configuration: try again";
    }
    if (rig == GB_NO_INDEX) {
        return "it was added at run time and has no machine: it is never powered";
    }
    if (event != GB_EV_OPERATOR_AUTO && is_admin_held(keeper, rig)) {
        return "a member of it is disabled, stopped or drained in balancer-manager: "
               "take that back first";
    }
    pause_read(keeper); /* a pause of a moment ago, which no tick has seen, holds */
    action =
        gb_fleet_event(&mgb_dog.fleet, rig, event, now_us, "the operator's command");
    states_publish(keeper);
    mgb_replicas_publish(keeper);
    gates_publish(keeper);
    action_do(keeper, &action, now_us);
    if (action.acts & GB_ACT_REFUSED) {
        return apr_pstrdup(keeper->ptick, action.reason);
    }
    return NULL;
}

/* ------------------------------------------------------------------ once a second */

static uint32_t load_permille(uint32_t rig)
{
    uint64_t in_flight = 0, capacity = 0;

    for (uint32_t i = mgb_dog.first_door[rig]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        const gb_door_t *door = &mgb_dog.fleet.doors[i];

        in_flight += door->in_flight;
        /* Doors of one machine share its capacity. */
        capacity = door->capacity > capacity ? door->capacity : capacity;
    }
    if (!capacity || in_flight >= capacity) {
        return in_flight ? 1000 : 0;
    }
    return (uint32_t)(in_flight * 1000 / capacity);
}

static void energy_account(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        mgb_machine_t *machine = &keeper->shared->machines[keeper->rigs[i].slot];
        gb_reading_t reading = {machine->measured_watts, machine->measured_at_us};
        uint32_t door = mgb_dog.first_door[i];
        const gb_curve_t *curve;
        gb_draw_t draw;

        if (door == GB_NO_INDEX) {
            continue;
        }
        curve = keeper->rigs[i].hints
                    ? &keeper->rigs[i].hints->curve
                    : &keeper->shared->members[keeper->doors[door].slot].curve;
        draw = gb_energy_draw(curve, &reading, mgb_watts_since_us(keeper, i),
                              machine->m.state, load_permille(i), now_us);
        machine->watts = draw.watts;
        machine->watts_source = draw.source;
        gb_joules_add(&machine->energy, draw.watts, ENERGY_GAP_US, now_us);
        gb_joules_add(&machine->energy_always_on, draw.watts_always_on, ENERGY_GAP_US,
                      now_us);
    }
}

/* httpd changes a worker's status without atomics: a bit U that was lost, or that came
 * back when another process wrote the status at the same time, would stay so. */
static void mirror_again(mgb_keeper_t *keeper)
{
    uint32_t serial =
        __atomic_load_n(&keeper->shared->header->gates_serial, __ATOMIC_ACQUIRE);

    __atomic_store_n(&keeper->ctx->gates_seen, serial - 1, __ATOMIC_RELAXED);
    mgb_members_mirror(keeper->ctx);
}

/* Members that the administrator has added in balancer-manager. */
static void members_sync(mgb_keeper_t *keeper)
{
    for (int i = 0; i < keeper->ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b =
            &APR_ARRAY_IDX(keeper->ctx->balancers, i, mgb_balancer_t);
        int known = b->balancer->workers->nelts;

        if (b->index == GB_NO_INDEX) {
            continue;
        }
        (void)ap_proxy_sync_balancer(b->balancer, b->server, b->proxy_conf);
        for (int k = known; k < b->balancer->workers->nelts; k++) {
            proxy_worker *worker =
                APR_ARRAY_IDX(b->balancer->workers, k, proxy_worker *);

            mgb_fleet_door_add(keeper, b, worker);
            if (keeper->door_count) {
                mgb_fleet_resolve(keeper, keeper->doors[keeper->door_count - 1].rig);
            }
            ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                         GBLOGNO(0405) "%s: %s was added: it is balanced and never "
                                       "powered off",
                         b->conf->name, worker->s->name_ex);
        }
    }
}

static void checkpoint_keep(mgb_keeper_t *keeper, int64_t now_us)
{
    const char *dir = keeper->ctx->conf->state_dir;
    int error = mgb_checkpoint_error();

    if (error != mgb_dog.checkpoint_error) {
        ap_log_error(APLOG_MARK, error ? APLOG_ERR : APLOG_NOTICE, error,
                     keeper->server, GBLOGNO(0406) "%s: the checkpoint %s", dir,
                     error ? "cannot be written: states and learned times would not "
                             "survive a stop of httpd"
                           : "is written again");
        mgb_dog.checkpoint_error = error;
    }
    if (!mgb_dog.changed && now_us < mgb_dog.checkpoint_at_us) {
        return;
    }
    if (mgb_checkpoint_save_later(keeper->shared, dir) == APR_SUCCESS) {
        mgb_dog.changed = false;
        mgb_dog.checkpoint_at_us = now_us + CHECKPOINT_EVERY_US;
    }
}

/* ------------------------------------------------------------------ the tick */

void mgb_watchdog_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    gb_action_t actions[ACTIONS_A_TICK];
    uint32_t count;

    if (is_superseded(keeper)) {
        return;
    }
    mgb_meter_repair(keeper->shared);
    mgb_waker_tick(keeper, now_us);
    pause_read(keeper);
    machines_sense(keeper, now_us);
    mgb_waiting_sense(keeper, now_us);
    mgb_demand_sense(keeper, now_us);
    off_orders_give(keeper, now_us);
    count = gb_fleet_tick(&mgb_dog.fleet, now_us, actions, ACTIONS_A_TICK);
    for (uint32_t i = 0; i < count; i++) {
        mgb_comeback_note(keeper, &actions[i], now_us);
    }
    states_publish(keeper);
    mgb_replicas_publish(keeper);
    mgb_comeback_capacities(keeper, now_us);
    gates_publish(keeper);
    for (uint32_t i = 0; i < count; i++) {
        action_do(keeper, &actions[i], now_us);
    }
    mgb_waiting_publish(keeper, now_us);
    mgb_checks_tick(keeper, now_us);
    mgb_proofs_tick(keeper, now_us);
    if (now_us >= mgb_dog.second_at_us) {
        mgb_dog.second_at_us = now_us + GB_US_PER_S;
        members_sync(keeper);
        mirror_again(keeper);
        mgb_watts_tick(keeper, now_us);
        mgb_agents_tick(keeper, now_us);
        energy_account(keeper, now_us);
        mgb_meter_second(keeper->shared, now_us, mgb_wall_us());
    }
    checkpoint_keep(keeper, now_us);
}
