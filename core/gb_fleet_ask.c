/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_ask.c - what a balancer's policy is told, and its answer: the face that
 * gb_decide.h wants, made of doors and machines.
 *
 * A policy is asked twice a second; its answer stands in between as a capacity, so that
 * one that fails meanwhile is missed at once.  It sees the servers that could be on, in
 * the order in which they would be: those that serve, those that come, those that can
 * be taken back, those that can be woken.  docs/policy.md works it out with figures.
 */
#include "gb_fleet_private.h"

#include <math.h>
#include <string.h>

#define ASK_EVERY_US  (500 * GB_US_PER_MS)
#define RATE_MEAN_S   30.0
#define SETUP_LEAST_S 1.0
#define SETUP_MOST_S  (7 * 86400.0)
#define DRIFT         0.05 /* the table of late shares stands for so much more or less */
#define REQUESTS_MOST 1e12

/* The parts of a pool's servers, in the order in which they serve. */
typedef enum part_e {
    PART_ON = 0,
    PART_COMING,
    PART_DRAINING,
    PART_ASLEEP,
    PART_STOPPING,
    PART_NONE /* could not be on */
} part_e;

bool gb_fleet_pool_asks(const gb_pool_t *pool)
{
    return (pool->given || pool->policy.policy != GB_POLICY_THRESHOLD) &&
           pool->decider && pool->upto && pool->slots_upto && pool->decide_room != 0 &&
           pool->tail && pool->tail->rows && pool->tail->room != 0;
}

/* -------------------------------------------------------------- the supply */

static part_e part_of(const gb_fleet_t *fleet, const gb_door_t *door)
{
    const uint32_t needed = GB_MF_CAN_WAKE | GB_MF_MANAGED;
    const gb_machine_t *machine = &fleet->machines[door->machine];

    if (!door->leads || door->gives == 0) {
        return PART_NONE;
    }
    if (gb_fleet_is_coming(machine)) {
        return PART_COMING;
    }
    if (machine->wish == GB_WISH_KEEP_OFF) {
        return PART_NONE;
    }
    if (gb_state_takes_new(machine)) {
        return door->behind ? PART_COMING : PART_ON;
    }
    if ((machine->flags & needed) != needed || (machine->flags & GB_MF_ADMIN_HELD)) {
        return PART_NONE;
    }
    switch ((gb_state_e)machine->state) {
    case GB_ST_DRAINING:
        return PART_DRAINING;
    case GB_ST_ASLEEP:
        return PART_ASLEEP;
    case GB_ST_STOPPING:
        return PART_STOPPING;
    case GB_ST_UNKNOWN:
    case GB_ST_ON:
    case GB_ST_WAKING:
    case GB_ST_FAILED:
    case GB_ST_COUNT:
        break;
    }
    return PART_NONE;
}

/* Counts the servers of each part, and notes at its door what each is. */
static void parts_count(gb_fleet_t *fleet, const gb_span_t *span,
                        uint32_t count[PART_NONE + 1])
{
    memset(count, 0, (PART_NONE + 1) * sizeof count[0]);
    for (uint32_t i = span->from; i < span->to; i++) {
        gb_door_t *door = gb_fleet_door_at(fleet, i);

        door->part = part_of(fleet, door);
        count[door->part]++;
    }
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static double watts_or(double watts, double assumed)
{
    watts = gb_within(watts, 0, GB_READING_MOST_WATTS);
    return watts > 0 ? watts : assumed;
}

/* One server, and what a policy has to know of it. */
static void put(gb_supply_t *supply, gb_upto_t *one, const gb_door_t *door)
{
    one->capacity = one->slots = (double)door->gives;
    one->idle_watts =
        watts_or(door->idle_watts, GB_ASSUMED_IDLE_WATTS - GB_ASSUMED_OFF_WATTS);
    supply->setup_watts +=
        watts_or(door->setup_watts, GB_ASSUMED_PEAK_WATTS - GB_ASSUMED_OFF_WATTS);
}

static void sum_up(gb_upto_t *upto, uint32_t servers)
{
    memset(&upto[0], 0, sizeof upto[0]);
    for (uint32_t k = 1; k <= servers; k++) {
        upto[k].capacity += upto[k - 1].capacity;
        upto[k].slots += upto[k - 1].slots;
        upto[k].idle_watts += upto[k - 1].idle_watts;
    }
}

/* Nobody could be on: the policy is told of one server, so that it has something to
 * count with. */
static void nobody(const gb_pool_t *pool, gb_supply_t *supply)
{
    const gb_tally_t *tally = &pool->tally;
    gb_door_t door = {0};

    door.gives = tally->machines != 0 ? tally->capacity / tally->machines : 0;
    door.gives = door.gives != 0 ? door.gives : 1;
    supply->servers = 1;
    put(supply, &pool->upto[1], &door);
}

static void supply_servers(gb_fleet_t *fleet, const gb_span_t *span,
                           gb_supply_t *supply)
{
    const gb_pool_t *pool = &fleet->pools[span->pool];
    uint32_t room = lesser(pool->decide_room, pool->tail->room);
    uint32_t count[PART_NONE + 1], place[PART_NONE + 1];
    uint32_t all = 0;

    parts_count(fleet, span, count);
    for (uint32_t part = 0; part < PART_NONE; part++) {
        place[part] = all + 1;
        all += count[part];
    }
    for (uint32_t i = span->from; i < span->to; i++) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i);

        if (door->part < PART_NONE && place[door->part] <= room) {
            put(supply, &pool->upto[place[door->part]++], door);
        }
    }
    supply->servers = lesser(all, room);
    supply->on = lesser(count[PART_ON], room);
    supply->coming = lesser(count[PART_COMING], room - supply->on);
    if (supply->servers == 0) {
        nobody(pool, supply);
    }
    supply->setup_watts /= supply->servers;
    supply->upto = pool->upto;
    sum_up(pool->upto, supply->servers);
    supply->capacity_on = pool->upto[supply->on].capacity;
    /* Spare ones come on top of the answer: were they told, a policy that keeps what is
     * there, or half of it, would be given as many again each time. */
    if (supply->on != 0) {
        supply->on -= lesser(pool->spare, supply->on - 1);
    }
}

/* -------------------------------------------------------------- times */

static bool is_near(double is, double was)
{
    return fabs(is - was) <= DRIFT * was;
}

/* The service time is a mean over minutes already: another one over it would keep what
 * the first few requests took for all of them.  A response is late when it takes so
 * long as the administrator says, or several times as long as usual. */
static void supply_times(const gb_pool_t *pool, gb_supply_t *supply)
{
    supply->service_s = gb_supply_service_s(pool->service_us);
    supply->late_s = gb_supply_late_s(pool->late_us, supply->service_s);
    supply->setup_s =
        gb_within((double)pool->ahead_us / 1e6, SETUP_LEAST_S, SETUP_MOST_S);
    supply->late_last = pool->late_last;
}

/* Does the table still say how many are late, near enough? */
static bool tail_fits(const gb_tail_t *tail, const gb_supply_t *supply)
{
    if (tail->servers < supply->servers || tail->servers > tail->room ||
        !is_near(supply->service_s, tail->service_s) ||
        !is_near(supply->late_s - supply->service_s, tail->wait_s)) {
        return false;
    }
    for (uint32_t k = 1; k <= supply->servers; k++) {
        if (!is_near(supply->upto[k].slots, tail->rows[k].slots)) {
            return false;
        }
    }
    return true;
}

/* The table of late shares is made anew only when servers or times have become others:
 * it takes some 7 us a server.  What the policy is told agrees with it: a slot carries
 * what one of a server of mean size does.  `view` has as many rows as there are
 * servers. */
static void supply_tail(gb_pool_t *pool, gb_supply_t *supply, gb_tail_t *view)
{
    gb_asked_t *asked = &pool->asked;
    gb_tail_t *tail = pool->tail;
    double slots = supply->upto[supply->servers].slots / supply->servers;
    bool fits = tail_fits(tail, supply);

    if (!fits) {
        gb_supply_tail(supply, pool->slots_upto, tail);
    }
    if (!fits || !(asked->rate_per_slot > 0) ||
        !is_near(slots, asked->slots_per_server)) {
        asked->rate_per_slot =
            gb_supply_slot_rate(slots, tail->service_s, tail->wait_s);
        asked->slots_per_server = slots;
    }
    *view = *tail;
    view->servers = supply->servers;
    supply->tail = view;
    supply->service_s = tail->service_s;
    supply->late_s = tail->service_s + tail->wait_s;
    supply->rate_per_slot = asked->rate_per_slot;
    asked->rate_per_server = asked->rate_per_slot * slots;
}

/* -------------------------------------------------------------- the demand */

static gb_demand_t demand_of(const gb_pool_t *pool, const gb_supply_t *supply,
                             int64_t now_us)
{
    double in_flight = (double)pool->tally.in_flight;
    double above = in_flight - supply->capacity_on;
    gb_demand_t demand;

    memset(&demand, 0, sizeof demand);
    demand.now_us = now_us;
    demand.day_s = pool->day_s >= 0 ? pool->day_s % 86400 : 0;
    demand.arrived = pool->asked.arrived;
    demand.late = pool->asked.late;
    demand.unknown = pool->asked.unknown;
    demand.in_system = in_flight + pool->waiting;
    demand.backlog = (above > 0 ? above : 0) + pool->waiting;
    return demand;
}

/* -------------------------------------------------------------- asking */

/* Forgets what cannot be: another policy's, another boot's, or garbage. */
static void check(gb_pool_t *pool, int64_t now_us)
{
    const gb_asked_t *asked = &pool->asked;

    if (asked->policy == (uint32_t)pool->policy.policy && asked->at_us > 0 &&
        asked->at_us <= now_us && asked->busy_at_us <= now_us &&
        asked->busy_at_us >= 0 && asked->up_capacity >= 0 &&
        asked->keep_capacity >= asked->up_capacity && isfinite(asked->keep_capacity) &&
        asked->rate >= 0 && isfinite(asked->rate) && asked->arrived >= 0 &&
        asked->late >= 0 && asked->rate_per_slot >= 0 &&
        isfinite(asked->rate_per_slot)) {
        return;
    }
    memset(&pool->asked, 0, sizeof pool->asked);
    pool->asked.policy = (uint32_t)pool->policy.policy;
    pool->asked.busy_at_us = now_us > 0 ? now_us : 0;
}

/* With min=0 one server is none when there was nothing to do for as long as servers
 * stay awake, or when nobody is awake and nobody asks for anything. */
static bool is_idle(const gb_pool_t *pool, bool works, int64_t now_us)
{
    return pool->min_awake == 0 && !works &&
           (now_us - pool->asked.busy_at_us >= gb_fleet_need_hold_us(pool) ||
            pool->tally.awake + pool->tally.coming == 0);
}

static double capacity_of(const gb_asked_t *asked, const gb_upto_t *upto, uint32_t k)
{
    return asked->idle && k <= 1 ? 0 : upto[k].capacity;
}

/* Notes the answer, and what it was given for. */
static void note(gb_pool_t *pool, const gb_supply_t *supply, const gb_demand_t *demand,
                 gb_choice_t choice)
{
    gb_asked_t *asked = &pool->asked;
    double since_s = (double)(demand->now_us - asked->at_us) / 1e6;

    choice = gb_choice_within(choice, supply->servers); /* a given one, too */
    asked->choice = choice;
    asked->up_capacity = capacity_of(asked, supply->upto, choice.up);
    asked->keep_capacity = capacity_of(asked, supply->upto, choice.keep);
    asked->servers = supply->servers;
    asked->on = supply->on;
    asked->coming = supply->coming;
    asked->in_system = demand->in_system;
    asked->service_s = supply->service_s;
    asked->late_s = supply->late_s;
    if (asked->at_us != 0 && since_s > 0) {
        asked->rate += (demand->arrived / since_s - asked->rate) * since_s /
                       (since_s + RATE_MEAN_S);
    }
    asked->arrived = asked->late = 0;
    asked->unknown = false;
    asked->at_us = demand->now_us;
}

/* Adds what came in this tick; is there anything to do? */
static bool take_in(gb_pool_t *pool, int64_t now_us)
{
    gb_asked_t *asked = &pool->asked;
    bool works = pool->arrived > 0 || pool->waiting != 0 || pool->tally.in_flight != 0;

    asked->arrived = gb_within(
        asked->arrived + gb_within(pool->arrived, 0, REQUESTS_MOST), 0, REQUESTS_MOST);
    asked->late = gb_within(asked->late + gb_within(pool->late, 0, REQUESTS_MOST), 0,
                            REQUESTS_MOST);
    asked->unknown = asked->unknown || pool->unknown;
    if (works && now_us > 0) {
        asked->busy_at_us = now_us;
    }
    return works;
}

/* Is it told something else than when it was told last? */
static bool is_given_anew(const gb_pool_t *pool)
{
    return pool->given && (pool->given->up != pool->asked.given.up ||
                           pool->given->keep != pool->asked.given.keep);
}

void gb_fleet_ask(gb_tick_t *t, const gb_span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    gb_asked_t *asked = &pool->asked;
    bool idle;
    gb_supply_t supply;
    gb_demand_t demand;
    gb_tail_t view;

    check(pool, t->now_us);
    idle = is_idle(pool, take_in(pool, t->now_us), t->now_us);
    if (asked->at_us != 0 && t->now_us - asked->at_us < ASK_EVERY_US &&
        asked->idle == idle && !is_given_anew(pool)) {
        return;
    }
    asked->idle = idle;
    memset(&supply, 0, sizeof supply);
    supply_servers(t->fleet, span, &supply);
    if (pool->given) {
        demand = demand_of(pool, &supply, t->now_us);
        note(pool, &supply, &demand, *pool->given);
        asked->given = *pool->given;
        return;
    }
    supply_times(pool, &supply);
    supply_tail(pool, &supply, &view);
    demand = demand_of(pool, &supply, t->now_us);
    note(pool, &supply, &demand,
         gb_decide(pool->decider, &pool->policy, &supply, &demand));
}
