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
#include "gb_fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the tick notes of a machine (gb_sense_t.bits). */
#define NOTE_PANIC   (1u << 0) /* a balancer in panic has a door to it */
#define NOTE_VETO    (1u << 1) /* a balancer that is not ON has a door to it */
#define NOTE_FRESH   (1u << 2) /* its state was entered after a balancer's last tick */
#define NOTE_FELL    (1u << 3) /* failed by health in this tick, having been ON */
#define NOTE_CHECKED (1u << 4) /* has been looked at for sleeping */

#define HOLD_LEAST_US   GB_US_PER_S
#define NEXT_IN_LINE    8 /* boot times of so many are looked at */
#define UNMANAGED_WAKES 8 /* together, when a configuration gives machines up */

typedef struct tick_t {
    gb_fleet_t *fleet;
    int64_t now_us;
    gb_action_t *actions;
    uint32_t room, used;
} tick_t;

/* -------------------------------------------------------------- words for people */

static void say(char *reason, const char *why)
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
           !(sense->bits & NOTE_PANIC) &&
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
    if (fleet->paused) {
        acts &= ~(uint32_t)GB_ACT_ORDER_ON;
    }
    action->machine = m;
    action->acts = acts;
    action->from = before.state;
    action->to = machine->state;
    action->event = event;
    say(action->reason, why ? why : event_reason(event));
    return acts != GB_ACT_NONE || before.state != machine->state;
}

/* Returns whether the machine's state has changed. */
static bool apply(tick_t *t, uint32_t m, gb_event_e event, const char *why)
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

/* -------------------------------------------------------------- doors */

/* The pool of a door; GB_NO_INDEX where there is none, or no such machine. */
static uint32_t pool_of(const gb_fleet_t *fleet, uint32_t d)
{
    return fleet->doors[d].machine < fleet->machine_count &&
                   fleet->doors[d].balancer < fleet->pool_count
               ? fleet->doors[d].balancer
               : GB_NO_INDEX;
}

/* Does door a come before door b?  Those without a balancer come last. */
static bool door_before(const gb_fleet_t *fleet, uint32_t a, uint32_t b)
{
    uint32_t x = pool_of(fleet, a);
    uint32_t y = pool_of(fleet, b);

    if (x != y) {
        return x < y;
    }
    if (fleet->doors[a].rank != fleet->doors[b].rank) {
        return fleet->doors[a].rank < fleet->doors[b].rank;
    }
    return a < b;
}

static void sift(gb_fleet_t *fleet, uint32_t root, uint32_t end)
{
    gb_door_t *doors = fleet->doors;

    for (;;) {
        uint32_t child = 2 * root + 1;
        uint32_t moved = doors[root].order;

        if (child >= end) {
            return;
        }
        if (child + 1 < end &&
            door_before(fleet, doors[child].order, doors[child + 1].order)) {
            child++;
        }
        if (!door_before(fleet, moved, doors[child].order)) {
            return;
        }
        doors[root].order = doors[child].order;
        doors[child].order = moved;
        root = child;
    }
}

/* Puts doors in the order of balancer and rank: a heapsort, since libc's may allocate,
 * and none at all where the caller has done it. */
static void doors_sort(gb_fleet_t *fleet)
{
    gb_door_t *doors = fleet->doors;
    uint32_t n = fleet->door_count;
    bool sorted = true;
    uint32_t i;

    for (i = 0; i < n; i++) {
        doors[i].order = i;
        sorted = sorted && (i == 0 || door_before(fleet, i - 1, i));
    }
    if (sorted) {
        return;
    }
    for (i = n / 2; i-- > 0;) {
        sift(fleet, i, n);
    }
    for (i = n; i-- > 1;) {
        uint32_t last = doors[0].order;

        doors[0].order = doors[i].order;
        doors[i].order = last;
        sift(fleet, 0, i);
    }
}

/* Joins doors to their machines and sums up what is in flight. */
static void doors_join(gb_fleet_t *fleet, int64_t now_us)
{
    uint32_t i;

    for (i = 0; i < fleet->machine_count; i++) {
        fleet->senses[i].bits = 0;
        fleet->senses[i].first_door = 0;
        fleet->senses[i].pool_mark = 0;
        fleet->senses[i].in_flight = 0;
    }
    for (i = 0; i < fleet->door_count; i++) {
        gb_door_t *door = &fleet->doors[i];
        gb_sense_t *sense;

        door->leads = false;
        door->next = 0;
        if (door->machine >= fleet->machine_count) {
            continue;
        }
        sense = &fleet->senses[door->machine];
        sense->in_flight += door->in_flight;
        door->next = sense->first_door;
        sense->first_door = i + 1;
        if (door->balancer < fleet->pool_count) {
            const gb_pool_t *pool = &fleet->pools[door->balancer];

            sense->bits |= pool->panic ? NOTE_PANIC : 0;
            sense->bits |= pool->mode != GB_MODE_ON ? NOTE_VETO : 0;
            if (fleet->machines[door->machine].entered_at_us > pool->ticked_at_us ||
                pool->ticked_at_us > now_us) {
                sense->bits |= NOTE_FRESH;
            }
        }
    }
}

/* What the door gives its balancer while its machine is awake. */
static uint32_t door_capacity(const gb_door_t *door)
{
    return door->counted && door->verdict != GB_VERDICT_BAD ? door->capacity : 0;
}

/* -------------------------------------------------------------- what was sensed */

static void sense_admin(tick_t *t, uint32_t m)
{
    gb_machine_t *machine = &t->fleet->machines[m];

    if (!t->fleet->senses[m].admin_held) {
        machine->flags &= ~GB_MF_ADMIN_HELD;
    }
    else if (!(machine->flags & GB_MF_ADMIN_HELD)) {
        machine->flags |= GB_MF_ADMIN_HELD;
        apply(t, m, GB_EV_ADMIN_TOOK, NULL);
    }
}

/* What the probes say, in the states where it means something. */
static void sense_probes(tick_t *t, uint32_t m)
{
    const gb_sense_t *sense = &t->fleet->senses[m];
    uint32_t state = t->fleet->machines[m].state;
    bool good = sense->verdict == GB_VERDICT_GOOD;
    bool bad = sense->verdict == GB_VERDICT_BAD;
    bool off = sense->proof == GB_PROOF_OFF;

    if (state == GB_ST_ON || state == GB_ST_DRAINING) {
        if (sense->unpowered) {
            apply(t, m, GB_EV_FOUND_UNPOWERED, NULL);
        }
        else if (bad) {
            apply(t, m, GB_EV_PROBE_FAILED, NULL);
        }
    }
    else if (state == GB_ST_UNKNOWN || state == GB_ST_FAILED) {
        if (good) {
            apply(t, m, GB_EV_PROBE_PASSED, NULL);
        }
        else if (off) {
            apply(t, m, GB_EV_PROVED_OFF, NULL);
        }
        else if (bad && state == GB_ST_UNKNOWN) {
            apply(t, m, GB_EV_PROBE_FAILED, NULL);
        }
    }
    else if (state == GB_ST_WAKING && good) {
        apply(t, m, GB_EV_PROBE_PASSED, NULL);
    }
    else if (state == GB_ST_STOPPING && off) {
        apply(t, m, GB_EV_PROVED_OFF, NULL);
    }
    else if (state == GB_ST_ASLEEP && sense->proof == GB_PROOF_ANSWERS) {
        apply(t, m, GB_EV_ANSWERED, NULL);
    }
}

/* A configuration gave the machine up: what sleeps is woken, a few at a time, and what
 * is on its way down is called back. */
static void sense_unmanaged(tick_t *t, uint32_t m, uint32_t *waking)
{
    const gb_machine_t *machine = &t->fleet->machines[m];
    uint32_t state = machine->state;

    if (state == GB_ST_DRAINING || state == GB_ST_STOPPING) {
        apply(t, m, GB_EV_SWITCHED_OFF, NULL);
    }
    else if ((state == GB_ST_ASLEEP ||
              (state == GB_ST_FAILED && machine->proof == GB_PROOF_OFF)) &&
             *waking < UNMANAGED_WAKES && !t->fleet->paused) {
        *waking += apply(t, m, GB_EV_SWITCHED_OFF, NULL);
    }
}

static void sense_machine(tick_t *t, uint32_t m)
{
    gb_machine_t *machine = &t->fleet->machines[m];
    const gb_sense_t *sense = &t->fleet->senses[m];

    machine->verdict = sense->verdict;
    machine->proof = sense->proof;
    sense_admin(t, m);
    sense_probes(t, m);
    if (sense->exhausted) {
        apply(t, m, GB_EV_LADDER_EXHAUSTED, sense->why);
    }
    if (t->now_us >= machine->deadline_at_us && machine->state != GB_ST_DRAINING) {
        apply(t, m, GB_EV_DEADLINE_PASSED, NULL);
    }
}

/* Orders on that a pause kept back are given now; ladders that run go on as they are.
 */
static void resume(tick_t *t)
{
    gb_fleet_t *fleet = t->fleet;
    bool resumed = false;
    uint32_t i;

    for (i = 0; i < fleet->pool_count; i++) {
        resumed = resumed || (fleet->pools[i].was_paused && !fleet->paused);
    }
    for (i = 0; resumed && i < fleet->machine_count && t->used < t->room; i++) {
        const gb_machine_t *machine = &fleet->machines[i];
        gb_action_t *action = &t->actions[t->used];

        if (machine->state != GB_ST_WAKING || machine->wake_at_us == 0 ||
            !(machine->flags & GB_MF_CAN_WAKE) ||
            (machine->flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED))) {
            continue;
        }
        action->machine = i;
        action->acts = GB_ACT_ORDER_ON;
        action->from = action->to = GB_ST_WAKING;
        action->event = GB_EV_WAKE_WANTED;
        say(action->reason, "the pause is over: it goes on waking");
        t->used++;
    }
    for (i = 0; i < fleet->pool_count && t->used < t->room; i++) {
        fleet->pools[i].was_paused = fleet->paused;
    }
}

/* -------------------------------------------------------------- one balancer */

/* The doors of pool p are those at [*from, *to) of the order. */
typedef struct span_t {
    uint32_t pool, from, to;
} span_t;

static gb_door_t *door_at(const gb_fleet_t *fleet, uint32_t place)
{
    return &fleet->doors[fleet->doors[place].order];
}

static bool is_coming(const gb_machine_t *machine)
{
    return machine->state == GB_ST_WAKING ||
           (machine->state == GB_ST_STOPPING && (machine->flags & GB_MF_WAKE_ASKED));
}

static bool is_failing(const gb_machine_t *machine, bool doors_bad)
{
    return machine->state == GB_ST_FAILED ? machine->proof != GB_PROOF_OFF
                                          : doors_bad && gb_state_takes_sticky(machine);
}

static void tally_machine(gb_tally_t *tally, const gb_machine_t *machine,
                          const gb_sense_t *sense, int64_t now_us)
{
    uint32_t state = machine->state;

    tally->machines++;
    tally->fell += (sense->bits & NOTE_FELL) != 0;
    tally->due += state == GB_ST_FAILED && now_us >= machine->retry_at_us;
    tally->wished += state == GB_ST_ASLEEP && machine->wish == GB_WISH_KEEP_ON;
    tally->kept_off += state == GB_ST_ON && machine->wish == GB_WISH_KEEP_OFF;
    if (is_failing(machine, sense->capacity == 0)) {
        tally->failing++;
    }
    else if (gb_state_takes_new(machine)) {
        tally->awake++;
    }
    else if (state == GB_ST_DRAINING) {
        tally->draining++;
    }
    else if (is_coming(machine)) {
        tally->coming++;
    }
    else {
        tally->down++;
    }
}

/* Sums up the doors of a pool; leaves in senses what each machine gives to it. */
static void tally_doors(gb_fleet_t *fleet, const span_t *span)
{
    gb_tally_t *tally = &fleet->pools[span->pool].tally;
    uint32_t i;

    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = door_at(fleet, i);
        gb_sense_t *sense = &fleet->senses[door->machine];
        const gb_machine_t *machine = &fleet->machines[door->machine];
        uint32_t capacity = door_capacity(door);

        tally->in_flight += door->in_flight;
        door->leads = door->counted && sense->pool_mark != span->pool + 1;
        if (door->leads) {
            sense->pool_mark = span->pool + 1;
            sense->capacity = 0;
        }
        if (door->counted) {
            sense->capacity += capacity;
            tally->capacity += capacity;
        }
        if (gb_state_takes_new(machine)) {
            tally->capacity_awake += capacity;
        }
        else if (is_coming(machine)) {
            tally->capacity_coming += capacity;
        }
    }
}

static void tally_pool(tick_t *t, const span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    gb_tally_t *tally = &pool->tally;
    uint32_t i;

    memset(tally, 0, sizeof *tally);
    tally_doors(fleet, span);
    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = door_at(fleet, i);

        if (door->leads) {
            door->gives = fleet->senses[door->machine].capacity;
            tally_machine(tally, &fleet->machines[door->machine],
                          &fleet->senses[door->machine], t->now_us);
        }
    }
    if (tally->machines != 0) {
        tally->spare_capacity = tally->capacity * pool->spare / tally->machines;
    }
}

/* -------------------------------------------------------------- panic */

/* Machines that failed within the past seconds, having been ON. */
static uint32_t fell_lately(gb_pool_t *pool, int64_t now_us)
{
    int64_t second = now_us / GB_US_PER_S;
    uint32_t sum = 0;
    uint32_t i;

    if (pool->fell_second > second || second - pool->fell_second >= GB_PANIC_SLOTS) {
        memset(pool->fell, 0, sizeof pool->fell);
        pool->fell_second = second;
    }
    while (pool->fell_second < second) {
        pool->fell_second++;
        pool->fell[pool->fell_second % GB_PANIC_SLOTS] = 0;
    }
    pool->fell[second % GB_PANIC_SLOTS] += pool->tally.fell;
    for (i = 0; i < GB_PANIC_SLOTS; i++) {
        sum += pool->fell[i];
    }
    return sum;
}

/* Nobody serves.  Where `min=0` lets everything sleep that alone is no alarm, only when
 * nothing is left that could be woken. */
static bool nobody_serves(const gb_pool_t *pool)
{
    const gb_tally_t *tally = &pool->tally;

    if (tally->machines == 0 || tally->awake + tally->draining != 0) {
        return false;
    }
    return pool->min_awake != 0 ||
           (tally->failing != 0 && tally->down + tally->coming == 0);
}

static void panic_tell(tick_t *t, const span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    uint32_t i;

    for (i = span->from; i < span->to && t->used < t->room; i++) {
        const gb_door_t *door = door_at(t->fleet, i);
        gb_action_t *action = &t->actions[t->used];

        if (door->leads) {
            action->machine = door->machine;
            action->acts = GB_ACT_TELL;
            action->from = action->to = t->fleet->machines[door->machine].state;
            action->event = GB_EV_PROBE_FAILED;
            say(action->reason, pool->reason);
            t->used++;
            pool->panic_told = 1;
            return;
        }
    }
}

static void panic_update(tick_t *t, const span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    const gb_tally_t *tally = &pool->tally;
    uint32_t serving = tally->awake + tally->draining;
    uint32_t fell = fell_lately(pool, t->now_us);
    bool nobody = nobody_serves(pool);
    uint32_t i;

    if (pool->panic && !nobody && (tally->failing == 0 || serving > tally->failing)) {
        pool->panic = false;
        pool->panic_told = 0;
        memset(pool->fell, 0, sizeof pool->fell);
    }
    else if (nobody || (serving + fell >= 2 && fell > serving)) {
        pool->panic = true;
    }
    if (!pool->panic) {
        return;
    }
    snprintf(
        pool->reason, sizeof pool->reason,
        "panic: %u of %u servers serve and %u fail: requests go to whatever may be "
        "reachable, nothing is switched off",
        serving, tally->machines, tally->failing);
    if (!pool->panic_told) {
        panic_tell(t, span);
    }
    for (i = span->from; i < span->to; i++) {
        t->fleet->senses[door_at(t->fleet, i)->machine].bits |= NOTE_PANIC;
    }
}

bool gb_fleet_panic_routes(const gb_fleet_t *fleet, uint32_t door)
{
    const gb_machine_t *machine;

    if (door >= fleet->door_count || pool_of(fleet, door) == GB_NO_INDEX ||
        !fleet->pools[fleet->doors[door].balancer].panic) {
        return false;
    }
    machine = &fleet->machines[fleet->doors[door].machine];
    return gb_state_takes_sticky(machine) ||
           (machine->state == GB_ST_FAILED && machine->proof != GB_PROOF_OFF);
}

/* -------------------------------------------------------------- the need */

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The boot time to look ahead: the longest p95 of those who would be woken next. */
static int64_t boot_ahead(const gb_fleet_t *fleet, const span_t *span)
{
    int64_t ahead_us = 0;
    uint32_t seen = 0;
    uint32_t last = GB_NO_INDEX;
    uint32_t i;

    for (i = span->from; i < span->to && seen < NEXT_IN_LINE; i++) {
        const gb_door_t *door = door_at(fleet, i);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (!door->leads || !(machine->flags & GB_MF_CAN_WAKE)) {
            continue;
        }
        last = door->machine;
        if (!gb_state_takes_sticky(machine)) {
            int64_t took_us = gb_boot_quantile(&machine->boot, 950);

            ahead_us = took_us > ahead_us ? took_us : ahead_us;
            seen++;
        }
    }
    if (seen == 0 && last != GB_NO_INDEX) {
        return gb_boot_quantile(&fleet->machines[last].boot, 950);
    }
    return seen ? ahead_us : fleet->pools[span->pool].ahead_us;
}

static void need_update(tick_t *t, const span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    uint64_t in_flight = pool->tally.in_flight;
    int64_t hold_us = pool->rules.awake_dwell_us;

    pool->ahead_us = boot_ahead(t->fleet, span);
    pool->need = gb_policy_threshold(
        &pool->memory, &pool->threshold,
        in_flight > UINT32_MAX ? UINT32_MAX : (uint32_t)in_flight, pool->ahead_us,
        hold_us > HOLD_LEAST_US ? hold_us : HOLD_LEAST_US, t->now_us);
    pool->need.up_capacity = plus(pool->need.up_capacity, pool->tally.spare_capacity);
    pool->need.down_capacity =
        plus(pool->need.down_capacity, pool->tally.spare_capacity);
    pool->need.stay_capacity =
        plus(pool->need.stay_capacity, pool->tally.spare_capacity);
}

/* Why that many servers, with figures; `tail` and `name` say what is done about it. */
static void explain(gb_pool_t *pool, const char *tail, const char *name)
{
    const gb_need_t *need = &pool->need;
    uint32_t wake = pool->threshold.wake_permille;
    char spare[32] = "";

    if (pool->spare != 0) {
        snprintf(spare, sizeof spare, " with %u spare", pool->spare);
    }
    snprintf(pool->reason, sizeof pool->reason,
             "load %" PRIu64 " (ahead %" PRIu64 ") needs %" PRIu64
             " of capacity at %u %%%s; %" PRIu64 " awake%s%s",
             (need->load_milli + 500) / 1000, (need->ahead_milli + 500) / 1000,
             need->up_capacity, (wake + 5) / 10, spare, pool->tally.capacity_awake,
             tail, name);
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

/* Takes back what drains, while it is wanted: that costs nothing and helps at once. The
 * operator's sleeps only for the floor, in panic, and during a pause. */
static void take_back(tick_t *t, const span_t *span, bool operators_too)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    for (i = span->from; i < span->to && pool->tally.draining != 0; i++) {
        const gb_door_t *door = door_at(fleet, i);
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
        if (apply(t, door->machine, GB_EV_WAKE_WANTED, why)) {
            pool->tally.draining--;
            pool->tally.awake++;
            pool->tally.capacity_awake += door->gives;
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

    return pool->tally.coming < most ? most - pool->tally.coming : 0;
}

/* Notes that a machine of the pool has been told to wake. */
static void now_coming(const gb_fleet_t *fleet, gb_pool_t *pool, const gb_door_t *door)
{
    if (is_coming(&fleet->machines[door->machine])) {
        pool->tally.coming++;
        pool->tally.capacity_coming += door->gives;
    }
}

/* Returns whether any was told to wake; the pool's reason then names the last one. */
static bool wake_more(tick_t *t, const span_t *span, wakeable_e kind)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    char number[32];
    bool any = false;
    uint32_t i;

    for (i = span->from; i < span->to; i++) {
        const gb_door_t *door = door_at(fleet, i);
        bool urgent =
            pool->panic || pool->tally.awake + pool->tally.coming < pool->min_awake;

        if (!lacks_servers(pool) || wakes_left(pool) == 0 || t->used == t->room) {
            break;
        }
        if (door->leads && is_wakeable(fleet, door->machine, kind, urgent, t->now_us)) {
            if (!pool->panic) {
                explain(pool, ": waking ",
                        name_of(fleet, door->machine, number, sizeof number));
            }
            apply(t, door->machine, GB_EV_WAKE_WANTED, pool->reason);
            now_coming(fleet, pool, door);
            any = true;
        }
    }
    return any;
}

/* Wakes that the load does not ask for: those the operator wants on, and another try of
 * failed ones.  In panic those that may be reachable are left as they are: taking them
 * out to boot them could take down what still serves. */
static void wake_others(tick_t *t, const span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    if (pool->tally.due + pool->tally.wished == 0) {
        return;
    }
    for (i = span->from; i < span->to && wakes_left(pool) != 0; i++) {
        const gb_door_t *door = door_at(fleet, i);
        uint32_t m = door->machine;
        const gb_machine_t *machine = &fleet->machines[m];

        if (!door->leads || !(machine->flags & GB_MF_MANAGED)) {
            continue;
        }
        if (machine->state == GB_ST_ASLEEP && machine->wish == GB_WISH_KEEP_ON &&
            gb_state_may_wake(machine, &fleet->rules[m], t->now_us)) {
            apply(t, m, GB_EV_WAKE_WANTED, "the operator wants it awake");
            now_coming(fleet, pool, door);
        }
        else if (machine->state == GB_ST_FAILED && t->now_us >= machine->retry_at_us &&
                 (!(fleet->senses[m].bits & NOTE_PANIC) ||
                  machine->proof == GB_PROOF_OFF)) {
            apply(t, m, GB_EV_RETRY_DUE, NULL);
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

/* Does the door's balancer allow that the machine behind it goes? */
static bool pool_spares(const gb_pool_t *pool, const gb_door_t *door, bool operators)
{
    const gb_tally_t *tally = &pool->tally;

    if (pool->panic || (door->gives != 0 && tally->awake <= pool->min_awake)) {
        return false;
    }
    return operators ||
           (pool->mode != GB_MODE_OFF &&
            tally->capacity_awake >= pool->need.down_capacity &&
            tally->capacity_awake >= plus(pool->need.stay_capacity, door->gives));
}

static void pool_loses(gb_pool_t *pool, const gb_door_t *door)
{
    pool->tally.awake -= door->gives != 0;
    pool->tally.capacity_awake -= door->gives;
}

/* How many servers the load calls for: as it is now, plus those still to be woken, or
 * less those that could go if nothing but the load counted. */
static uint32_t servers_wanted(const gb_fleet_t *fleet, const span_t *span)
{
    gb_pool_t pool_then = fleet->pools[span->pool];
    gb_tally_t *tally = &pool_then.tally;
    uint32_t i;

    if (lacks_servers(&pool_then)) {
        for (i = span->from; i < span->to && lacks_servers(&pool_then); i++) {
            const gb_door_t *door = door_at(fleet, i);
            const gb_machine_t *machine = &fleet->machines[door->machine];

            if (door->leads && !gb_state_takes_new(machine) && !is_coming(machine)) {
                tally->coming++;
                tally->capacity_coming += door->gives;
            }
        }
        return tally->awake + tally->coming;
    }
    for (i = span->to; i > span->from; i--) {
        const gb_door_t *door = door_at(fleet, i - 1);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (door->leads && is_sleepable(machine) &&
            pool_spares(&pool_then, door, machine->wish == GB_WISH_KEEP_OFF)) {
            pool_loses(&pool_then, door);
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
        tail = "; observing: would keep servers awake: ";
        snprintf(count, sizeof count, "%u", pool->wanted_servers);
    }
    else if (lacks_servers(pool)) {
        tail = fleet->paused           ? "; power orders are paused"
               : wakes_left(pool) == 0 ? "; no more may wake at once"
                                       : "; no more can be woken";
    }
    else if (tally->coming != 0) {
        tail = "; waking already: ";
        snprintf(count, sizeof count, "%u", tally->coming);
    }
    explain(pool, tail, count);
}

static void decide(tick_t *t, const span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    bool woken = false;

    tally_pool(t, span);
    need_update(t, span);
    panic_update(t, span);
    if (pool->mode == GB_MODE_ON) {
        if (!pool->panic) {
            explain(pool, ": taking back what drains", "");
        }
        take_back(t, span, false);
        take_back(t, span, true);
        if (!fleet->paused) {
            woken = wake_more(t, span, WAKEABLE_ASLEEP);
            woken = wake_more(t, span, WAKEABLE_STOPPING) || woken;
            woken = wake_more(t, span, WAKEABLE_FAILED) || woken;
            wake_others(t, span);
        }
    }
    pool->capacity_awake = pool->tally.capacity_awake > UINT32_MAX
                               ? UINT32_MAX
                               : (uint32_t)pool->tally.capacity_awake;
    pool->wanted_servers = servers_wanted(fleet, span);
    if (!woken && !pool->panic) {
        explain_rest(fleet, pool);
    }
}

/* Lets a machine go to sleep if every balancer with a door to it agrees. */
static void let_sleep(tick_t *t, uint32_t m, gb_pool_t *pool)
{
    gb_fleet_t *fleet = t->fleet;
    const gb_machine_t *machine = &fleet->machines[m];
    bool operators = machine->wish == GB_WISH_KEEP_OFF;
    char number[32];
    uint32_t d;

    if ((fleet->senses[m].bits & NOTE_VETO) && !operators) {
        return;
    }
    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d];

        if (door->leads &&
            !pool_spares(&fleet->pools[door->balancer], door, operators)) {
            return;
        }
    }
    if (!gb_state_may_sleep(machine, &fleet->rules[m], t->now_us)) {
        return;
    }
    if (operators) {
        say(pool->reason, "the operator wants it asleep");
    }
    else {
        snprintf(pool->reason, sizeof pool->reason,
                 "load at most %" PRIu64 " in the past %" PRId64 " s needs %" PRIu64
                 " of capacity at %u %%; %" PRIu64 " awake: letting %s sleep",
                 (pool->need.held_milli + 500) / 1000,
                 pool->rules.awake_dwell_us / GB_US_PER_S, pool->need.down_capacity,
                 (pool->threshold.sleep_permille + 5) / 10, pool->tally.capacity_awake,
                 name_of(fleet, m, number, sizeof number));
    }
    if (!apply(t, m, GB_EV_SLEEP_WANTED, pool->reason)) {
        return;
    }
    for (d = fleet->senses[m].first_door; d != 0; d = fleet->doors[d - 1].next) {
        const gb_door_t *door = &fleet->doors[d - 1];

        if (door->leads) {
            pool_loses(&fleet->pools[door->balancer], door);
        }
    }
}

/* From the last place in the order to the first. */
static void let_servers_sleep(tick_t *t, const span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t i;

    if (pool->mode != GB_MODE_ON || pool->panic || fleet->paused) {
        return;
    }
    for (i = span->to; i > span->from && t->used < t->room; i--) {
        const gb_door_t *door = door_at(fleet, i - 1);
        gb_sense_t *sense = &fleet->senses[door->machine];

        if (pool->tally.kept_off == 0 &&
            (pool->tally.awake <= pool->min_awake ||
             pool->tally.capacity_awake < pool->need.down_capacity)) {
            return;
        }
        if (door->leads && !(sense->bits & NOTE_CHECKED) && !sense->objects &&
            is_sleepable(&fleet->machines[door->machine])) {
            sense->bits |= NOTE_CHECKED;
            let_sleep(t, door->machine, pool);
        }
    }
}

/* -------------------------------------------------------------- on the way down */

static bool has_drained(const tick_t *t, uint32_t m)
{
    const gb_sense_t *sense = &t->fleet->senses[m];

    /* Its gate was closed after the tick in which it began to drain: what is counted
     * since then is all there is. */
    return sense->in_flight == 0 && !sense->objects &&
           !(sense->bits & (NOTE_FRESH | NOTE_PANIC)) && !t->fleet->paused &&
           t->fleet->machines[m].entered_at_us < t->now_us;
}

static void finish_machine(tick_t *t, uint32_t m)
{
    const gb_machine_t *machine = &t->fleet->machines[m];
    const gb_sense_t *sense = &t->fleet->senses[m];

    if (machine->state == GB_ST_DRAINING) {
        if ((machine->flags & GB_MF_OBSERVED) ||
            ((sense->bits & NOTE_VETO) && machine->wish != GB_WISH_KEEP_OFF)) {
            apply(t, m, GB_EV_WAKE_WANTED,
                  "a balancer of it does not let servers sleep");
        }
        else if (has_drained(t, m)) {
            apply(t, m, GB_EV_DRAINED, NULL);
        }
        else if (t->now_us >= machine->deadline_at_us) {
            apply(t, m, GB_EV_DEADLINE_PASSED, "work is still in flight: it goes on");
        }
    }
    else if (machine->state == GB_ST_ASLEEP && sense->proof == GB_PROOF_POWERED) {
        apply(t, m, GB_EV_FOUND_POWERED, NULL);
    }
}

/* -------------------------------------------------------------- the tick */

/* Calls `visit` for every balancer with its doors. */
static void each_pool(tick_t *t, void (*visit)(tick_t *t, const span_t *span))
{
    const gb_fleet_t *fleet = t->fleet;
    span_t span = {0, 0, 0};

    for (span.pool = 0; span.pool < fleet->pool_count; span.pool++) {
        span.from = span.to;
        while (span.to < fleet->door_count &&
               pool_of(fleet, fleet->doors[span.to].order) == span.pool) {
            span.to++;
        }
        visit(t, &span);
    }
}

uint32_t gb_fleet_tick(gb_fleet_t *fleet, int64_t now_us, gb_action_t *actions,
                       uint32_t room)
{
    tick_t t = {fleet, now_us, actions, room, 0};
    uint32_t waking = 0;
    uint32_t i;

    doors_sort(fleet);
    doors_join(fleet, now_us);
    resume(&t);
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
    each_pool(&t, decide);
    each_pool(&t, let_servers_sleep);
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
        if (!pool_spares(&fleet->pools[door->balancer], door, true)) {
            return "fewer than min= of GreenAwake would stay awake: wake another "
                   "server "
                   "first";
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

        if (door->leads && served && !serves) {
            pool_loses(&fleet->pools[door->balancer], door);
        }
    }
}

gb_action_t gb_fleet_event(gb_fleet_t *fleet, uint32_t machine, gb_event_e event,
                           int64_t now_us, const char *why)
{
    gb_action_t action;
    const char *refused;
    bool served;

    memset(&action, 0, sizeof action);
    action.machine = machine;
    action.event = event;
    if (machine >= fleet->machine_count) {
        action.acts = GB_ACT_REFUSED;
        say(action.reason, "there is no such machine");
        return action;
    }
    action.from = action.to = fleet->machines[machine].state;
    refused = event == GB_EV_OPERATOR_SLEEP ? sleep_refused(fleet, machine) : NULL;
    if (refused) {
        action.acts = GB_ACT_REFUSED;
        say(action.reason, refused);
        return action;
    }
    served = gb_state_takes_new(&fleet->machines[machine]);
    act(fleet, machine, event, now_us, why, &action);
    recount(fleet, machine, served);
    return action;
}
