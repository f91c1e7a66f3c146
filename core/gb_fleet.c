/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet.c - one tick: what was sensed becomes events, the load becomes a need, the
 * need becomes wakes and sleeps.
 *
 * The order within a tick is the safe one: first what has happened to machines, then,
 * balancer by balancer, panic, taking back what drains, and waking; only when every
 * balancer is known, sleeping; and at the end those that have drained.  A machine that
 * any balancer takes back or objects about never goes on its way down in that tick.
 */
#include "gb_fleet_private.h"

#include <stdio.h>
#include <string.h>

#define UNMANAGED_WAKES 8 /* together, when a configuration gives machines up */

/* -------------------------------------------------------------- words for people */

void gb_fleet_say(char *reason, const char *why)
{
    snprintf(reason, GB_REASON_BYTES, "%s", why);
}

static const char *event_reason(gb_event_e event)
{
    static const char *const reasons[GB_EV_COUNT] = {
        [GB_EV_PROBE_PASSED] = "its health check passes",
        [GB_EV_PROBE_FAILED] = "its health check fails",
        [GB_EV_PROVED_OFF] = "it is proved off",
        [GB_EV_ANSWERED] = "it should be asleep, and its service answers",
        [GB_EV_FOUND_POWERED] = "it should be asleep, and its controller says it is on",
        [GB_EV_FOUND_UNPOWERED] = "it should be on, and its controller says it is off",
        [GB_EV_WAKE_WANTED] = "its capacity is wanted",
        [GB_EV_SLEEP_WANTED] = "its capacity is not needed",
        [GB_EV_OPERATOR_WAKE] = "the operator wants it awake",
        [GB_EV_OPERATOR_SLEEP] = "the operator wants it asleep",
        [GB_EV_OPERATOR_AUTO] = "the operator leaves it to the policy",
        [GB_EV_DRAINED] = "nothing is in flight any more",
        [GB_EV_LADDER_EXHAUSTED] = "every way of its ladder was tried in vain",
        [GB_EV_DEADLINE_PASSED] = "its time in this state is over",
        [GB_EV_RETRY_DUE] = "it is time to try again",
        [GB_EV_ADMIN_TOOK] = "the administrator took it in balancer-manager",
        [GB_EV_SWITCHED_OFF] = "no balancer manages it any more",
    };

    return (unsigned)event < GB_EV_COUNT && reasons[event] ? reasons[event] : "";
}

/* -------------------------------------------------------------- applying an event */

/* May this machine be ordered off at this moment? */
static bool may_order_off(const gb_fleet_t *fleet, uint32_t m)
{
    const gb_sense_t *sense = &fleet->senses[m];

    return !fleet->paused && sense->in_flight == 0 && !sense->objects &&
           !sense->lingers && !(sense->bits & NOTE_PANIC) &&
           !(fleet->machines[m].flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED));
}

/* Applies the event to the machine and fills in the action.  An order off that must not
 * be given takes the whole event back: the level that led to it stands and is sensed
 * again.  An order on during a pause is left out: the state is told as it is. */
static bool act(gb_fleet_t *fleet, uint32_t m, gb_event_e event, int64_t now_us,
                const char *why, gb_action_t *action)
{
    gb_machine_t *machine = &fleet->machines[m];
    gb_machine_t before = *machine;
    uint32_t acts = gb_state_apply(machine, event, &fleet->rules[m], now_us, why);

    if ((acts & GB_ACT_ORDER_OFF) && !may_order_off(fleet, m)) {
        *machine = before;
        return false;
    }
    if (fleet->paused && (acts & GB_ACT_ORDER_ON)) {
        acts &= ~(uint32_t)GB_ACT_ORDER_ON;
        gb_state_hold_order(machine);
    }
    action->machine = m;
    action->acts = acts;
    action->from = before.state;
    action->to = machine->state;
    action->event = event;
    if (!why) {
        why = event == GB_EV_PROVED_OFF && machine->state == GB_ST_WAKING
                  ? "it is proved off, and its capacity is wanted again"
                  : event_reason(event);
    }
    gb_fleet_say(action->reason, why);
    return acts != GB_ACT_NONE || before.state != machine->state;
}

bool gb_fleet_apply(gb_tick_t *t, uint32_t m, gb_event_e event, const char *why)
{
    gb_fleet_t *fleet = t->fleet;
    uint32_t from = fleet->machines[m].state;

    if (t->used == t->room || !gb_state_listed((gb_state_e)from, event)) {
        return false;
    }
    if (act(fleet, m, event, t->now_us, why, &t->actions[t->used])) {
        t->used++;
    }
    if (event == GB_EV_PROBE_FAILED && from != GB_ST_UNKNOWN &&
        fleet->machines[m].state == GB_ST_FAILED && from != GB_ST_FAILED) {
        fleet->senses[m].bits |= NOTE_FELL;
    }
    return fleet->machines[m].state != from;
}

/* -------------------------------------------------------------- what was sensed */

static void sense_admin(gb_tick_t *t, uint32_t m)
{
    gb_machine_t *machine = &t->fleet->machines[m];

    if (!t->fleet->senses[m].admin_held) {
        machine->flags &= ~GB_MF_ADMIN_HELD;
    }
    else if (!(machine->flags & GB_MF_ADMIN_HELD) && t->used < t->room) {
        machine->flags |= GB_MF_ADMIN_HELD;
        gb_fleet_apply(t, m, GB_EV_ADMIN_TOOK, NULL);
    }
}

/* What the probes say, in the states where it means something. */
static void sense_probes(gb_tick_t *t, uint32_t m)
{
    const gb_sense_t *sense = &t->fleet->senses[m];
    uint32_t state = t->fleet->machines[m].state;
    bool good = sense->verdict == GB_VERDICT_GOOD;
    bool bad = sense->verdict == GB_VERDICT_BAD;
    bool off = sense->proof == GB_PROOF_OFF;
    bool failed_to_wake = t->fleet->machines[m].failures_in_row != 0; /* that it is off
                                                                         is no news */

    if (state == GB_ST_ON || state == GB_ST_DRAINING) {
        if (sense->unpowered) {
            gb_fleet_apply(t, m, GB_EV_FOUND_UNPOWERED, NULL);
        }
        else if (bad) {
            gb_fleet_apply(t, m, GB_EV_PROBE_FAILED, NULL);
        }
    }
    else if (state == GB_ST_UNKNOWN || state == GB_ST_FAILED) {
        if (good) {
            gb_fleet_apply(t, m, GB_EV_PROBE_PASSED, NULL);
        }
        else if (off && (state == GB_ST_UNKNOWN || !failed_to_wake)) {
            gb_fleet_apply(t, m, GB_EV_PROVED_OFF, NULL);
        }
        else if (bad && state == GB_ST_UNKNOWN) {
            gb_fleet_apply(t, m, GB_EV_PROBE_FAILED, NULL);
        }
    }
    else if (state == GB_ST_WAKING && good) {
        gb_fleet_apply(t, m, GB_EV_PROBE_PASSED, NULL);
    }
    else if (state == GB_ST_STOPPING && off) {
        gb_fleet_apply(t, m, GB_EV_PROVED_OFF, NULL);
    }
    else if (state == GB_ST_ASLEEP && sense->proof == GB_PROOF_ANSWERS) {
        gb_fleet_apply(t, m, GB_EV_ANSWERED, NULL);
    }
    else if (state == GB_ST_ASLEEP && sense->proof == GB_PROOF_POWERED) {
        gb_fleet_apply(t, m, GB_EV_FOUND_POWERED, NULL);
    }
}

/* A configuration gave the machine up: what sleeps is woken, a few at a time, and what
 * is on its way down is called back. */
static void sense_unmanaged(gb_tick_t *t, uint32_t m, uint32_t *waking)
{
    const gb_machine_t *machine = &t->fleet->machines[m];
    uint32_t state = machine->state;

    if (state == GB_ST_DRAINING || state == GB_ST_STOPPING) {
        gb_fleet_apply(t, m, GB_EV_SWITCHED_OFF, NULL);
    }
    else if ((state == GB_ST_ASLEEP ||
              (state == GB_ST_FAILED && machine->proof == GB_PROOF_OFF)) &&
             *waking < UNMANAGED_WAKES && !t->fleet->paused) {
        *waking += gb_fleet_apply(t, m, GB_EV_SWITCHED_OFF, NULL);
    }
}

static void sense_machine(gb_tick_t *t, uint32_t m)
{
    gb_machine_t *machine = &t->fleet->machines[m];
    const gb_sense_t *sense = &t->fleet->senses[m];

    machine->verdict = sense->verdict;
    machine->proof = sense->proof;
    sense_admin(t, m);
    sense_probes(t, m);
    if (sense->exhausted) {
        gb_fleet_apply(t, m, GB_EV_LADDER_EXHAUSTED, sense->why);
    }
    if (t->now_us >= machine->deadline_at_us && machine->state != GB_ST_DRAINING) {
        gb_fleet_apply(t, m, GB_EV_DEADLINE_PASSED, NULL);
    }
}

/* Orders on that a pause kept back are given now. */
static void resume(gb_tick_t *t)
{
    gb_fleet_t *fleet = t->fleet;
    uint32_t i;

    for (i = 0; !fleet->paused && i < fleet->machine_count && t->used < t->room; i++) {
        gb_action_t *action = &t->actions[t->used];

        if (!gb_state_release_order(&fleet->machines[i], &fleet->rules[i], t->now_us)) {
            continue;
        }
        action->machine = i;
        action->acts = GB_ACT_ORDER_ON;
        action->from = action->to = GB_ST_WAKING;
        action->event = GB_EV_WAKE_WANTED;
        gb_fleet_say(action->reason, "the pause is over: it goes on waking");
        t->used++;
    }
}

/* -------------------------------------------------------------- on the way down */

static bool has_drained(const gb_tick_t *t, uint32_t m)
{
    const gb_sense_t *sense = &t->fleet->senses[m];

    /* Its gate was closed after the tick in which it began to drain: what is counted
     * since then is all there is. */
    return sense->in_flight == 0 && !sense->objects && !sense->lingers &&
           !(sense->bits & (NOTE_FRESH | NOTE_PANIC)) && !t->fleet->paused &&
           t->fleet->machines[m].entered_at_us < t->now_us;
}

static void finish_machine(gb_tick_t *t, uint32_t m)
{
    const gb_machine_t *machine = &t->fleet->machines[m];
    const gb_sense_t *sense = &t->fleet->senses[m];

    if (machine->state != GB_ST_DRAINING) {
        return;
    }
    if ((machine->flags & GB_MF_OBSERVED) ||
        ((sense->bits & NOTE_VETO) && machine->wish != GB_WISH_KEEP_OFF)) {
        gb_fleet_apply(t, m, GB_EV_WAKE_WANTED,
                       "a balancer of it does not let servers sleep");
    }
    else if (has_drained(t, m)) {
        gb_fleet_apply(t, m, GB_EV_DRAINED, NULL);
    }
    else if (t->now_us >= machine->deadline_at_us) {
        gb_fleet_apply(t, m, GB_EV_DEADLINE_PASSED,
                       sense->in_flight == 0 && sense->objection
                           ? sense->objection
                           : "work is still in flight: it goes on");
    }
}

/* -------------------------------------------------------------- the tick */

/* Calls `visit` for every balancer with its doors. */
static void each_pool(gb_tick_t *t, void (*visit)(gb_tick_t *t, const gb_span_t *span))
{
    const gb_fleet_t *fleet = t->fleet;
    gb_span_t span = {0, 0, 0};

    for (span.pool = 0; span.pool < fleet->pool_count; span.pool++) {
        span.from = span.to;
        while (span.to < fleet->door_count &&
               gb_fleet_pool_of(fleet, fleet->doors[span.to].order) == span.pool) {
            span.to++;
        }
        visit(t, &span);
    }
}

uint32_t gb_fleet_tick(gb_fleet_t *fleet, int64_t now_us, gb_action_t *actions,
                       uint32_t room)
{
    gb_tick_t t = {fleet, now_us, actions, room, 0};
    uint32_t waking = 0;
    uint32_t i;

    gb_fleet_tally_sort(fleet);
    gb_fleet_tally_join(fleet, now_us);
    for (i = 0; i < fleet->machine_count; i++) {
        sense_machine(&t, i);
        waking += !(fleet->machines[i].flags & GB_MF_MANAGED) &&
                  fleet->machines[i].state == GB_ST_WAKING;
    }
    for (i = 0; i < fleet->machine_count; i++) {
        if (!(fleet->machines[i].flags & GB_MF_MANAGED)) {
            sense_unmanaged(&t, i, &waking);
        }
    }
    resume(&t);
    each_pool(&t, gb_fleet_pool_decide);
    each_pool(&t, gb_fleet_pool_sleep_kept_off);
    each_pool(&t, gb_fleet_pool_sleep);
    for (i = 0; i < fleet->machine_count; i++) {
        finish_machine(&t, i);
    }
    for (i = 0; i < fleet->pool_count; i++) {
        fleet->pools[i].ticked_at_us = now_us;
    }
    return t.used;
}

/* -------------------------------------------------------------- commands */

/* Why the operator's sleep cannot be: NULL, or what to do about it. */
static const char *sleep_refused(const gb_fleet_t *fleet, uint32_t m)
{
    const uint32_t needed = GB_MF_CAN_SLEEP | GB_MF_CAN_WAKE;
    const gb_machine_t *machine = &fleet->machines[m];
    uint32_t d;

    if ((machine->flags & needed) != needed) {
        return "it has no wake= and sleep= ladder: it is never powered off";
    }
    if (!(machine->flags & GB_MF_MANAGED)) {
        return "no balancer with GreenBalance on manages it";
    }
    if (machine->state != GB_ST_ON) {
        return NULL; /* a wish; the floor is looked at when it comes to sleeping */
    }
    if (fleet->senses[m].first_door == 0) {
        return "nothing is known of it yet: try again";
    }
    if (fleet->paused) {
        return "power orders are paused: resume them first";
    }
    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d - 1];

        if (!door->leads) {
            continue;
        }
        if (fleet->pools[door->balancer].panic) {
            return "its balancer is in panic: nothing is switched off";
        }
        if (door->lags) {
            return "it catches up with what was written while it was away: wait for "
                   "that";
        }
        if (!gb_fleet_pool_spares(&fleet->pools[door->balancer], door, true)) {
            return "fewer than min= of GreenAwake, or than the quorum of GreenCommit, "
                   "would stay awake: wake another server first";
        }
    }
    return NULL;
}

/* Keeps the counts right for further commands before the next tick. */
static void recount(gb_fleet_t *fleet, uint32_t m, bool served)
{
    bool serves = gb_state_takes_new(&fleet->machines[m]);
    uint32_t d;

    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d - 1];

        if (door->leads && !door->lags && served && !serves) {
            gb_fleet_pool_loses(&fleet->pools[door->balancer], door);
        }
    }
}

gb_action_t gb_fleet_event(gb_fleet_t *fleet, uint32_t machine, gb_event_e event,
                           int64_t now_us, const char *why)
{
    gb_action_t action;
    const char *refused;
    uint32_t untold;
    bool served;

    memset(&action, 0, sizeof action);
    action.machine = machine;
    action.event = event;
    if (machine >= fleet->machine_count) {
        action.acts = GB_ACT_REFUSED;
        gb_fleet_say(action.reason, "there is no such machine");
        return action;
    }
    action.from = action.to = fleet->machines[machine].state;
    refused = event == GB_EV_OPERATOR_SLEEP ? sleep_refused(fleet, machine) : NULL;
    if (refused) {
        action.acts = GB_ACT_REFUSED;
        gb_fleet_say(action.reason, refused);
        return action;
    }
    served = gb_state_takes_new(&fleet->machines[machine]);
    /* Held by the administrator, but the tick had no room to tell of it yet. */
    untold = fleet->senses[machine].admin_held
                 ? GB_MF_ADMIN_HELD & ~fleet->machines[machine].flags
                 : 0;
    fleet->machines[machine].flags |= untold;
    act(fleet, machine, event, now_us, why, &action);
    fleet->machines[machine].flags &= ~untold;
    recount(fleet, machine, served);
    return action;
}
