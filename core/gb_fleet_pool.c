/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_pool.c - whom a balancer wakes and whom it lets to sleep, for the capacity
 * that it needs (gb_fleet_need.c), in the order of their turns (gb_fleet_turn.c).
 *
 * What was let to sleep under a load is not missed under the same load (gb_policy.h),
 * so a constant load ends in one adjustment.
 */
#include "gb_fleet_private.h"

#include <stdio.h>

/* -------------------------------------------------------------- the outlook */

/* Is it woken sooner or later, without anybody's doing? */
static bool is_hopeful(const gb_fleet_t *fleet, uint32_t m)
{
    const uint32_t needed = GB_MF_CAN_WAKE | GB_MF_MANAGED;
    const gb_machine_t *machine = &fleet->machines[m];

    return (machine->flags & needed) == needed && !fleet->paused &&
           !(machine->flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED)) &&
           machine->wish != GB_WISH_KEEP_OFF &&
           (machine->state == GB_ST_ASLEEP || machine->state == GB_ST_STOPPING);
}

static int64_t ordered_at(const gb_machine_t *machine, int64_t now_us)
{
    return machine->state == GB_ST_WAKING && machine->wake_at_us > 0
               ? machine->wake_at_us
               : now_us;
}

/* Notes the machine if it is ready sooner than what is known so far.  One that is awake
 * has only to catch up. */
static void expect(const gb_fleet_t *fleet, gb_pool_t *pool, const gb_door_t *door,
                   int64_t now_us)
{
    const gb_machine_t *machine = &fleet->machines[door->machine];
    int64_t from_us = ordered_at(machine, now_us);
    int64_t usual_us = gb_fleet_ready_us(fleet, door->machine, 500);
    int64_t slow_us = gb_fleet_ready_us(fleet, door->machine, 950);
    int64_t ready_us;

    if (door->behind) {
        usual_us -= gb_boot_quantile(&machine->boot, 500);
        slow_us -= gb_boot_quantile(&machine->boot, 950);
    }
    ready_us = gb_after_us(from_us, usual_us);
    /* One that takes longer than usual may be ready at any moment. */
    ready_us = ready_us > now_us ? ready_us : now_us;
    if (ready_us < pool->ready_at_us || pool->ready_at_us == GB_NEVER_US) {
        pool->usual_boot_us = usual_us;
        pool->slow_boot_us = slow_us;
        pool->ready_at_us = ready_us;
        pool->late_at_us = gb_after_us(from_us, slow_us);
    }
}

/* What a request that finds nobody awake may expect: from those that come; when nobody
 * does, from those that could be woken; else the next try of one that has failed. */
static void outlook(gb_tick_t *t, const gb_span_t *span)
{
    const gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    bool coming = pool->tally.coming != 0;
    int64_t retry_at_us = GB_NEVER_US;

    pool->ready_at_us = pool->late_at_us = GB_NEVER_US;
    for (uint32_t i = span->from; i < span->to; i++) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (!door->leads) {
            continue;
        }
        if (coming ? door->behind || gb_fleet_is_coming(machine)
                   : is_hopeful(fleet, door->machine)) {
            expect(fleet, pool, door, t->now_us);
        }
        if (machine->state == GB_ST_FAILED && machine->retry_at_us < retry_at_us) {
            retry_at_us = machine->retry_at_us;
        }
    }
    pool->hopeless = pool->tally.awake + pool->tally.draining == 0 &&
                     pool->ready_at_us == GB_NEVER_US;
    if (pool->ready_at_us == GB_NEVER_US) {
        pool->late_at_us = retry_at_us;
    }
}

static const char *name_of(const gb_fleet_t *fleet, uint32_t m, char *number,
                           size_t bytes)
{
    if (fleet->names && fleet->names[m]) {
        return fleet->names[m];
    }
    snprintf(number, bytes, "server %u", m);
    return number;
}

/* -------------------------------------------------------------- waking */

static bool lacks_servers(const gb_pool_t *pool)
{
    const gb_tally_t *tally = &pool->tally;

    return tally->awake + tally->coming < pool->min_awake ||
           tally->capacity_awake + tally->capacity_coming < pool->need.up_capacity;
}

/* One that drained is on again: it serves, or has to catch up first. */
static void taken_back(gb_pool_t *pool, gb_door_t *door)
{
    gb_tally_t *tally = &pool->tally;

    tally->draining -= door->gives != 0;
    if (door->lags) {
        door->behind = true;
        tally->behind++;
        tally->coming++;
        tally->capacity_coming += door->gives;
        return;
    }
    tally->awake += door->gives != 0;
    tally->capacity_awake += door->gives;
}

/* Takes back what drains, while it is wanted: that costs nothing and helps at once. The
 * operator's sleeps only for the floor, in panic, and during a pause. */
static void take_back(gb_tick_t *t, const gb_span_t *span, bool operators_too)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(fleet, i);
        const gb_machine_t *machine = &fleet->machines[door->machine];
        bool must = fleet->paused || pool->panic || pool->tally.awake < pool->min_awake;
        const char *why = fleet->paused ? "power orders are paused" : pool->reason;

        if (!must &&
            (operators_too || pool->tally.capacity_awake >= pool->need.up_capacity)) {
            return;
        }
        if (!door->leads || machine->state != GB_ST_DRAINING ||
            (machine->wish == GB_WISH_KEEP_OFF) != operators_too) {
            continue;
        }
        if (gb_fleet_apply(t, door->machine, GB_EV_WAKE_WANTED, why)) {
            taken_back(pool, door);
        }
    }
}

/* Those to wake, in the order in which they are asked. */
typedef enum wakeable_e {
    WAKEABLE_ASLEEP = 0,
    WAKEABLE_STOPPING, /* when it is proved off */
    WAKEABLE_FAILED,   /* proved off, its back-off over */
    WAKEABLE_KINDS
} wakeable_e;

static bool is_wakeable(const gb_fleet_t *fleet, uint32_t m, wakeable_e kind,
                        bool urgent, int64_t now_us)
{
    const gb_machine_t *machine = &fleet->machines[m];

    if (!(machine->flags & GB_MF_CAN_WAKE) || machine->wish == GB_WISH_KEEP_OFF ||
        (machine->flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED)) ||
        !(machine->flags & GB_MF_MANAGED)) {
        return false;
    }
    switch (kind) {
    case WAKEABLE_ASLEEP:
        return machine->state == GB_ST_ASLEEP &&
               (urgent || gb_state_may_wake(machine, &fleet->rules[m], now_us));
    case WAKEABLE_STOPPING:
        return machine->state == GB_ST_STOPPING && !(machine->flags & GB_MF_WAKE_ASKED);
    case WAKEABLE_FAILED:
        return machine->state == GB_ST_FAILED && machine->proof == GB_PROOF_OFF &&
               gb_state_may_wake(machine, &fleet->rules[m], now_us);
    case WAKEABLE_KINDS:
        break;
    }
    return false;
}

static uint32_t wakes_left(const gb_pool_t *pool)
{
    uint32_t most = pool->wakes_at_once ? pool->wakes_at_once : 1;
    uint32_t boot = pool->tally.coming - pool->tally.behind;

    return boot < most ? most - boot : 0;
}

/* Notes that a machine of the pool has been told to wake. */
static void now_coming(const gb_fleet_t *fleet, gb_pool_t *pool, const gb_door_t *door)
{
    if (gb_fleet_is_coming(&fleet->machines[door->machine])) {
        pool->tally.coming++;
        pool->tally.capacity_coming += door->gives;
    }
}

/* Fewer than the floor, or somebody waits and nobody comes: then no dwell counts. */
static bool is_short(const gb_pool_t *pool)
{
    uint32_t there = pool->tally.awake + pool->tally.coming;

    return there < pool->min_awake || (there == 0 && pool->waiting != 0);
}

/* All that may be woken now, in their turns; nobody when none is needed. */
static gb_line_t line_to_wake(gb_tick_t *t, const gb_span_t *span, wakeable_e kind)
{
    const gb_pool_t *pool = &t->fleet->pools[span->pool];
    bool urgent = pool->panic || is_short(pool);
    gb_line_t line;
    uint32_t i;

    gb_fleet_turn_begin(&line, span, false, urgent || pool->waiting != 0);
    if (!lacks_servers(pool) || wakes_left(pool) == 0) {
        return line;
    }
    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(t->fleet, i);

        if (door->leads &&
            is_wakeable(t->fleet, door->machine, kind, urgent, t->now_us)) {
            gb_fleet_turn_add(t, &line, door);
        }
    }
    return line;
}

/* Returns whether any was told to wake; the pool's reason then names the last one. */
static bool wake_more(gb_tick_t *t, const gb_span_t *span, wakeable_e kind)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    gb_line_t line = line_to_wake(t, span, kind);
    gb_door_t *door;
    char number[32];
    bool any = false;

    while (lacks_servers(pool) && wakes_left(pool) != 0 && t->used < t->room &&
           (door = gb_fleet_turn_next(t, &line)) != NULL) {
        /* After the first one nothing may be urgent any more. */
        bool urgent = pool->panic || is_short(pool);

        if (!is_wakeable(fleet, door->machine, kind, urgent, t->now_us)) {
            continue;
        }
        if (!pool->panic) {
            gb_fleet_need_explain(pool, ": waking ",
                                  name_of(fleet, door->machine, number, sizeof number));
        }
        gb_fleet_apply(t, door->machine, GB_EV_WAKE_WANTED, pool->reason);
        now_coming(fleet, pool, door);
        any = true;
    }
    return any;
}

/* The operator wants it awake, or something else does, or it has failed and its
 * back-off is over.  In panic those that may be reachable are left as they are: taking
 * them out to boot them could take down what still serves. */
static gb_event_e own_reason(const gb_tick_t *t, uint32_t m)
{
    const gb_fleet_t *fleet = t->fleet;
    const gb_machine_t *machine = &fleet->machines[m];

    if (machine->state == GB_ST_ASLEEP &&
        (machine->wish == GB_WISH_KEEP_ON || gb_fleet_is_wanted(fleet, m)) &&
        gb_state_may_wake(machine, &fleet->rules[m], t->now_us)) {
        return GB_EV_WAKE_WANTED;
    }
    if (machine->state == GB_ST_FAILED && t->now_us >= machine->retry_at_us &&
        (!(fleet->senses[m].bits & NOTE_PANIC) || machine->proof == GB_PROOF_OFF)) {
        return GB_EV_RETRY_DUE;
    }
    return GB_EV_COUNT;
}

static const char *why_own(const gb_fleet_t *fleet, uint32_t m, gb_event_e event)
{
    const gb_sense_t *sense = &fleet->senses[m];

    if (event == GB_EV_RETRY_DUE) {
        return NULL;
    }
    return fleet->machines[m].wish != GB_WISH_KEEP_ON && sense->wanted_why
               ? sense->wanted_why
               : "the operator wants it awake";
}

/* Wakes for a machine's own reason (`event`), whatever the load asks for. */
static void wake_others(gb_tick_t *t, const gb_span_t *span, gb_event_e event)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    for (i = span->from; i < span->to && wakes_left(pool) != 0; i++) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i);

        if (door->leads && (fleet->machines[door->machine].flags & GB_MF_MANAGED) &&
            own_reason(t, door->machine) == event) {
            gb_fleet_apply(t, door->machine, event,
                           why_own(fleet, door->machine, event));
            now_coming(fleet, pool, door);
        }
    }
}

/* -------------------------------------------------------------- sleeping */

/* Could it ever be let to sleep?  What the moment allows comes after that. */
static bool is_sleepable(const gb_machine_t *machine)
{
    const uint32_t needed = GB_MF_CAN_SLEEP | GB_MF_CAN_WAKE | GB_MF_MANAGED;

    return machine->state == GB_ST_ON && (machine->flags & needed) == needed &&
           !(machine->flags & GB_MF_ADMIN_HELD) && machine->wish != GB_WISH_KEEP_ON;
}

bool gb_fleet_pool_spares(const gb_pool_t *pool, const gb_door_t *door, bool operators)
{
    const gb_tally_t *tally = &pool->tally;

    if (pool->panic || door->lags ||
        (door->gives != 0 && tally->awake <= pool->min_awake)) {
        return false;
    }
    return operators || (pool->mode != GB_MODE_OFF &&
                         tally->capacity_awake >= pool->need.down_capacity &&
                         tally->capacity_awake >=
                             gb_policy_sum(pool->need.stay_capacity, door->gives));
}

void gb_fleet_pool_loses(gb_pool_t *pool, const gb_door_t *door)
{
    pool->tally.awake -= door->gives != 0;
    pool->tally.capacity_awake -= door->gives;
}

/* How many servers the load calls for: as it is now, plus those still to be woken, or
 * less those that could go if nothing but the load counted. */
static uint32_t servers_wanted(const gb_fleet_t *fleet, const gb_span_t *span)
{
    gb_pool_t pool_then = fleet->pools[span->pool];
    gb_tally_t *tally = &pool_then.tally;
    uint32_t i;

    if (lacks_servers(&pool_then)) {
        for (i = span->from; i < span->to && lacks_servers(&pool_then); i++) {
            const gb_door_t *door = gb_fleet_door_at(fleet, i);
            const gb_machine_t *machine = &fleet->machines[door->machine];

            if (door->leads && !gb_state_takes_new(machine) &&
                !gb_fleet_is_coming(machine)) {
                tally->coming++;
                tally->capacity_coming += door->gives;
            }
        }
        return tally->awake + tally->coming;
    }
    for (i = span->to; i > span->from; i--) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i - 1);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (door->leads && is_sleepable(machine) &&
            gb_fleet_pool_spares(&pool_then, door, machine->wish == GB_WISH_KEEP_OFF)) {
            gb_fleet_pool_loses(&pool_then, door);
        }
    }
    return tally->awake + tally->coming;
}

/* What is to be said when nothing is to be done. */
static void explain_rest(const gb_fleet_t *fleet, gb_pool_t *pool)
{
    const gb_tally_t *tally = &pool->tally;
    const char *tail = ": enough";
    char count[48] = "";

    if (pool->mode == GB_MODE_OFF) {
        tail = "; GreenBalance is off";
    }
    else if (pool->mode == GB_MODE_OBSERVE) {
        tail = "; observing: of those awake there would do: ";
        snprintf(count, sizeof count, "%u", pool->wanted_servers);
    }
    else if (lacks_servers(pool)) {
        const char *limit = fleet->paused           ? "power orders are paused"
                            : wakes_left(pool) == 0 ? "no more may wake at once"
                                                    : "no more can be woken";

        tail = "; ";
        snprintf(count, sizeof count, "%s", limit);
        if (tally->coming != 0) {
            tail = "; waking already: ";
            snprintf(count, sizeof count, "%u, %s", tally->coming, limit);
        }
    }
    else if (tally->coming != 0) {
        tail = "; waking already: ";
        snprintf(count, sizeof count, "%u", tally->coming);
    }
    gb_fleet_need_explain(pool, tail, count);
}

static void tell_capacity(gb_pool_t *pool)
{
    pool->capacity_awake = pool->tally.capacity_awake > UINT32_MAX
                               ? UINT32_MAX
                               : (uint32_t)pool->tally.capacity_awake;
}

void gb_fleet_pool_decide(gb_tick_t *t, const gb_span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    bool woken = false;

    gb_fleet_tally_pool(t, span);
    gb_fleet_need_update(t, span);
    gb_fleet_tally_panic(t, span);
    if (pool->mode == GB_MODE_ON) {
        if (!pool->panic) {
            gb_fleet_need_explain(pool, ": taking back what drains", "");
        }
        take_back(t, span, false);
        take_back(t, span, true);
        if (!fleet->paused) {
            if (pool->tally.wished != 0) {
                wake_others(t, span, GB_EV_WAKE_WANTED);
            }
            woken = wake_more(t, span, WAKEABLE_ASLEEP);
            woken = wake_more(t, span, WAKEABLE_STOPPING) || woken;
            woken = wake_more(t, span, WAKEABLE_FAILED) || woken;
            if (pool->tally.due != 0) {
                wake_others(t, span, GB_EV_RETRY_DUE);
            }
        }
    }
    tell_capacity(pool);
    pool->wanted_servers = servers_wanted(fleet, span);
    if (!woken && !pool->panic) {
        explain_rest(fleet, pool);
    }
    outlook(t, span);
}

static void explain_sleep(const gb_fleet_t *fleet, uint32_t m, gb_pool_t *pool,
                          bool operators)
{
    char number[32];
    const char *name = name_of(fleet, m, number, sizeof number);

    if (operators) {
        snprintf(pool->reason, sizeof pool->reason, "the operator wants %s asleep",
                 name);
        return;
    }
    gb_fleet_need_explain_sleep(pool, name);
}

/* Lets a machine go to sleep if every balancer with a door to it agrees. */
static void let_sleep(gb_tick_t *t, uint32_t m, gb_pool_t *pool)
{
    gb_fleet_t *fleet = t->fleet;
    const gb_machine_t *machine = &fleet->machines[m];
    bool operators = machine->wish == GB_WISH_KEEP_OFF;
    uint32_t d;

    if ((fleet->senses[m].bits & NOTE_VETO) && !operators) {
        return;
    }
    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d - 1];

        if (door->leads &&
            !gb_fleet_pool_spares(&fleet->pools[door->balancer], door, operators)) {
            return;
        }
    }
    if (!gb_state_may_sleep(machine, &fleet->rules[m], t->now_us)) {
        return;
    }
    explain_sleep(fleet, m, pool, operators);
    if (!gb_fleet_apply(t, m, GB_EV_SLEEP_WANTED, pool->reason)) {
        return;
    }
    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d - 1];

        if (door->leads) {
            gb_fleet_pool_loses(&fleet->pools[door->balancer], door);
        }
    }
}

static bool lets_sleep(const gb_tick_t *t, const gb_pool_t *pool)
{
    return pool->mode == GB_MODE_ON && !pool->panic && !t->fleet->paused &&
           t->used < t->room;
}

void gb_fleet_pool_sleep_kept_off(gb_tick_t *t, const gb_span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    for (i = span->to; i > span->from && pool->tally.kept_off != 0; i--) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i - 1);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (lets_sleep(t, pool) && door->leads && machine->wish == GB_WISH_KEEP_OFF &&
            is_sleepable(machine) && !fleet->senses[door->machine].objects) {
            let_sleep(t, door->machine, pool);
        }
    }
}

/* Those that the pool could do without, in their turns. */
static gb_line_t line_to_sleep(gb_tick_t *t, const gb_span_t *span)
{
    const gb_fleet_t *fleet = t->fleet;
    const gb_pool_t *pool = &fleet->pools[span->pool];
    gb_line_t line;
    uint32_t i;

    gb_fleet_turn_begin(&line, span, true, false);
    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(fleet, i);
        const gb_machine_t *machine = &fleet->machines[door->machine];
        const gb_sense_t *sense = &fleet->senses[door->machine];

        if (pool->tally.awake <= pool->min_awake ||
            pool->tally.capacity_awake < pool->need.down_capacity) {
            break;
        }
        if (door->leads && !sense->objects && !(sense->bits & NOTE_VETO) &&
            !gb_fleet_is_wanted(fleet, door->machine) && is_sleepable(machine) &&
            machine->wish != GB_WISH_KEEP_OFF &&
            gb_fleet_pool_spares(pool, door, false)) {
            gb_fleet_turn_add(t, &line, door);
        }
    }
    return line;
}

void gb_fleet_pool_sleep(gb_tick_t *t, const gb_span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    bool wait = false;
    gb_line_t line;
    gb_door_t *door;

    tell_capacity(pool);
    if (!lets_sleep(t, pool)) {
        return;
    }
    line = line_to_sleep(t, span);
    while (!wait && lets_sleep(t, pool) &&
           (door = gb_fleet_turn_next(t, &line)) != NULL) {
        gb_sense_t *sense = &fleet->senses[door->machine];

        if (!(sense->bits & NOTE_CHECKED)) {
            sense->bits |= NOTE_CHECKED;
            let_sleep(t, door->machine, pool);
        }
        /* Also when another balancer has looked at it in this tick. */
        wait = gb_fleet_turn_waits(t, door);
    }
    tell_capacity(pool);
}
