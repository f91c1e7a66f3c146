/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_tally.c - who has which doors, what each balancer has awake, and panic.
 */
#include "gb_fleet_private.h"

#include <stdio.h>
#include <string.h>

#define CATCH_UP_MOST_US (24 * 3600 * GB_US_PER_S)

/* -------------------------------------------------------------- doors */

void gb_fleet_door_watts(gb_door_t *door, const gb_curve_t *curve)
{
    double idle = curve->watts[0] - curve->off_watts;
    double full = curve->watts[10] - curve->off_watts;

    door->watts_per_capacity = gb_curve_watts_per_request(curve, door->capacity);
    door->idle_watts = idle > 0 ? idle : 0;
    door->setup_watts = full > 0 ? full : 0;
}

uint32_t gb_fleet_pool_of(const gb_fleet_t *fleet, uint32_t d)
{
    return fleet->doors[d].machine < fleet->machine_count &&
                   fleet->doors[d].balancer < fleet->pool_count
               ? fleet->doors[d].balancer
               : GB_NO_INDEX;
}

/* Does door a come before door b? */
static bool door_before(const gb_fleet_t *fleet, uint32_t a, uint32_t b)
{
    uint32_t x = gb_fleet_pool_of(fleet, a);
    uint32_t y = gb_fleet_pool_of(fleet, b);

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

/* A heapsort, since libc's may allocate; none at all where the caller has done it. */
void gb_fleet_tally_sort(gb_fleet_t *fleet)
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

void gb_fleet_tally_join(gb_fleet_t *fleet, int64_t now_us)
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

        door->leads = door->behind = false;
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

/* What the door gives its balancer while its machine is awake.  One that boots fails
 * its probes until it is ready: it counts, or each of them would wake the next one. */
static uint32_t door_capacity(const gb_door_t *door, const gb_machine_t *machine)
{
    bool ill = door->verdict == GB_VERDICT_BAD && !gb_fleet_is_coming(machine);

    return door->counted && !ill ? door->capacity : 0;
}

/* -------------------------------------------------------------- one balancer */

gb_door_t *gb_fleet_door_at(const gb_fleet_t *fleet, uint32_t place)
{
    return &fleet->doors[fleet->doors[place].order];
}

bool gb_fleet_is_coming(const gb_machine_t *machine)
{
    return machine->state == GB_ST_WAKING ||
           (machine->state == GB_ST_STOPPING && (machine->flags & GB_MF_WAKE_ASKED));
}

int64_t gb_fleet_ready_us(const gb_fleet_t *fleet, uint32_t m, uint32_t permille)
{
    int64_t boot_us = gb_boot_quantile(&fleet->machines[m].boot, permille);
    int64_t more_us = fleet->senses[m].catch_up_us;

    more_us = more_us < 0 ? 0 : more_us > CATCH_UP_MOST_US ? CATCH_UP_MOST_US : more_us;
    return gb_after_us(boot_us, more_us);
}

bool gb_fleet_is_wanted(const gb_fleet_t *fleet, uint32_t m)
{
    return fleet->senses[m].wanted && fleet->machines[m].wish != GB_WISH_KEEP_OFF;
}

static bool is_failing(const gb_machine_t *machine, bool doors_bad)
{
    return machine->state == GB_ST_FAILED ? machine->proof != GB_PROOF_OFF
                                          : doors_bad && gb_state_takes_sticky(machine);
}

/* Adds a machine, by its leading door. */
static void tally_machine(const gb_fleet_t *fleet, gb_tally_t *tally,
                          const gb_door_t *door, int64_t now_us)
{
    const gb_machine_t *machine = &fleet->machines[door->machine];
    const gb_sense_t *sense = &fleet->senses[door->machine];
    uint32_t state = machine->state;

    tally->machines++;
    tally->fell += (sense->bits & NOTE_FELL) != 0;
    tally->due += state == GB_ST_FAILED && now_us >= machine->retry_at_us;
    tally->wished +=
        state == GB_ST_ASLEEP &&
        (machine->wish == GB_WISH_KEEP_ON || gb_fleet_is_wanted(fleet, door->machine));
    tally->kept_off += state == GB_ST_ON && machine->wish == GB_WISH_KEEP_OFF;
    if (is_failing(machine, sense->capacity == 0)) {
        tally->failing++;
    }
    else if (door->behind) {
        tally->behind++;
        tally->coming++;
    }
    else if (gb_state_takes_new(machine)) {
        tally->awake++;
    }
    else if (state == GB_ST_DRAINING) {
        tally->draining++;
    }
    else if (gb_fleet_is_coming(machine)) {
        tally->coming++;
    }
    else {
        tally->down++;
    }
}

/* Sums up the doors of a pool; leaves in senses what each machine gives to it. */
static void tally_doors(gb_fleet_t *fleet, const gb_span_t *span)
{
    gb_tally_t *tally = &fleet->pools[span->pool].tally;
    uint32_t i;

    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(fleet, i);
        gb_sense_t *sense = &fleet->senses[door->machine];
        const gb_machine_t *machine = &fleet->machines[door->machine];
        uint32_t capacity = door_capacity(door, machine);

        tally->in_flight += door->in_flight;
        door->leads = door->counted && sense->pool_mark != span->pool + 1;
        if (door->leads) {
            sense->pool_mark = span->pool + 1;
            sense->capacity = 0;
            sense->lags = false;
        }
        sense->capacity += capacity;
        sense->lags = sense->lags || (door->counted && door->catches_up);
        tally->capacity += capacity;
    }
}

/* What each machine gives, once all of its doors are known. */
static void tally_capacity(const gb_fleet_t *fleet, gb_tally_t *tally, gb_door_t *door)
{
    const gb_machine_t *machine = &fleet->machines[door->machine];

    door->gives = fleet->senses[door->machine].capacity;
    door->lags = fleet->senses[door->machine].lags;
    door->behind = door->lags && gb_state_takes_new(machine);
    if (gb_state_takes_new(machine) && !door->behind) {
        tally->capacity_awake += door->gives;
    }
    else if (door->behind || gb_fleet_is_coming(machine)) {
        tally->capacity_coming += door->gives;
    }
}

void gb_fleet_tally_pool(gb_tick_t *t, const gb_span_t *span)
{
    gb_fleet_t *fleet = t->fleet;
    gb_pool_t *pool = &fleet->pools[span->pool];
    gb_tally_t *tally = &pool->tally;
    uint32_t i;

    memset(tally, 0, sizeof *tally);
    tally_doors(fleet, span);
    for (i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(fleet, i);

        if (door->leads) {
            tally_capacity(fleet, tally, door);
            tally_machine(fleet, tally, door, t->now_us);
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

/* Nobody serves, nor is about to once it has caught up.  Where `min=0` lets everything
 * sleep that alone is no alarm, only when nothing is left that could be woken. */
static bool nobody_serves(const gb_pool_t *pool)
{
    const gb_tally_t *tally = &pool->tally;

    if (tally->machines == 0 || tally->awake + tally->draining + tally->behind != 0) {
        return false;
    }
    return pool->min_awake != 0 ||
           (tally->failing != 0 && tally->down + tally->coming == 0);
}

static void panic_tell(gb_tick_t *t, const gb_span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    uint32_t i;

    for (i = span->from; i < span->to && t->used < t->room; i++) {
        const gb_door_t *door = gb_fleet_door_at(t->fleet, i);
        gb_action_t *action = &t->actions[t->used];

        if (door->leads) {
            action->machine = door->machine;
            action->acts = GB_ACT_TELL | GB_ACT_PANIC;
            action->pool = span->pool;
            action->from = action->to = t->fleet->machines[door->machine].state;
            action->event = GB_EV_PROBE_FAILED;
            gb_fleet_say(action->reason, pool->reason);
            t->used++;
            pool->panic_told = 1;
            return;
        }
    }
}

void gb_fleet_tally_panic(gb_tick_t *t, const gb_span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    const gb_tally_t *tally = &pool->tally;
    uint32_t serving = tally->awake + tally->draining + tally->behind;
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
        t->fleet->senses[gb_fleet_door_at(t->fleet, i)->machine].bits |= NOTE_PANIC;
    }
}

bool gb_fleet_panic_routes(const gb_fleet_t *fleet, uint32_t door)
{
    const gb_machine_t *machine;

    if (door >= fleet->door_count || gb_fleet_pool_of(fleet, door) == GB_NO_INDEX ||
        !fleet->pools[fleet->doors[door].balancer].panic) {
        return false;
    }
    machine = &fleet->machines[fleet->doors[door].machine];
    if (machine->state == GB_ST_FAILED) {
        /* One whose wake has failed and that says nothing: who waits is told so. */
        return machine->proof != GB_PROOF_OFF &&
               !(machine->failures_in_row != 0 && fleet->doors[door].silent);
    }
    return gb_state_takes_sticky(machine);
}
