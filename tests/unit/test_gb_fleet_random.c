/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_random.c - the fleet's invariants over random fleets with hosts that
 * really boot and stop, lose orders, fall ill, lose their power, and with operators,
 * administrators and configurations that come between.
 *
 * The checker knows machines, doors and actions only; it counts for itself and uses
 * nothing of what the tick notes.  Each policy runs so long, and all of them mixed,
 * with inputs and memories that are garbage now and then.  GB_SEED=N repeats a run,
 * GB_STEPS=N sets its length.
 */
#include "core/gb_fleet.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEC             GB_US_PER_S
#define MS              GB_US_PER_MS
#define TICK_US         (100 * MS)
#define MACHINES        10
#define POOLS           3
#define DOORS           24
#define ROOM            64
#define OFFS_KEPT       512
#define WORLD_STEPS     2500
#define STEPS_USUAL     1000000
#define MIXED           GB_POLICY_COUNT /* each balancer another policy */
#define AWAKE_BITS      (1u << GB_ST_ON | 1u << GB_ST_UNKNOWN)
#define SERVING_BITS    (AWAKE_BITS | 1u << GB_ST_DRAINING)
#define IN(state, bits) ((1u << (state)) & (bits))

typedef enum order_e { ORDER_NONE = 0, ORDER_ON, ORDER_OFF } order_e;

/* A host as it really is. */
typedef struct host_t {
    bool powered, up, ill, deaf, has_bmc;
    int64_t boot_us, halt_us;
    int64_t up_at_us, down_at_us; /* GB_NEVER_US: it is on no way */
    int64_t changed_at_us;        /* began or ceased to serve */
    order_e order;                /* its ladder runs */
    int64_t try_at_us, ends_at_us;
    bool by_operator; /* it drains by the operator's command */
    int64_t off_at_us[OFFS_KEPT];
    uint32_t offs;
} host_t;

static gb_machine_t machines[MACHINES];
static gb_sense_t senses[MACHINES];
static gb_rules_t rules[MACHINES];
static gb_door_t doors[DOORS];
static gb_pool_t pools[POOLS];
static gb_fleet_t fleet;
static gb_action_t actions[ROOM];
static host_t hosts[MACHINES];
static uint32_t load_of[POOLS];
static int64_t fell_at_us[POOLS][OFFS_KEPT];
static uint32_t falls[POOLS];
static bool was_panic[POOLS];
static gb_machine_t before[MACHINES];
static int64_t now_us, last_tick_us;
static uint32_t used, room, step;
static bool wild; /* faults, people and odd ticks; else everything obeys */
static int policy_of_world;
static gb_decider_t deciders[POOLS];
static gb_tail_t tails[POOLS];
static gb_tail_row_t tail_rows[POOLS][DOORS + 1];
static gb_upto_t uptos[POOLS][DOORS + 1];
static double slots[POOLS][DOORS + 1];

static uint64_t dice;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 11) % below);
}

static bool once_in(uint32_t times)
{
    return wild && roll(times) == 0;
}

static int64_t between(int64_t least_us, int64_t most_us)
{
    return least_us + (int64_t)roll((uint32_t)((most_us - least_us) / MS) + 1) * MS;
}

static uint64_t seed_dice(const char *test)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed =
        given ? strtoull(given, NULL, 0) : ((uint64_t)time(NULL) * 2654435761u) | 1;

    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)seed);
    fflush(stdout);
    return seed ? seed : 1;
}

#define CHECK(cond, ...)                                                               \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            tell();                                                                    \
            ck_abort_msg(#cond " - " __VA_ARGS__);                                     \
        }                                                                              \
    } while (0)

static void tell(void)
{
    uint32_t i;

    fprintf(stderr, "step %u, now %lld us, room %u\n", step, (long long)now_us, room);
    for (i = 0; i < fleet.machine_count; i++) {
        fprintf(stderr,
                "  machine %u: %s -> %s, wish %u, flags %x, verdict %d, proof %d\n", i,
                gb_state_name((gb_state_e)before[i].state),
                gb_state_name((gb_state_e)machines[i].state), machines[i].wish,
                machines[i].flags, senses[i].verdict, senses[i].proof);
    }
    for (i = 0; i < fleet.door_count; i++) {
        fprintf(stderr, "  door %u: machine %u pool %u capacity %u in flight %u%s%s\n",
                i, doors[i].machine, doors[i].balancer, doors[i].capacity,
                doors[i].in_flight, doors[i].counted ? "" : ", does not count",
                doors[i].verdict == GB_VERDICT_BAD ? ", bad" : "");
    }
    for (i = 0; i < fleet.pool_count; i++) {
        fprintf(stderr, "  pool %u: mode %d min %u spare %u panic %d: %s\n", i,
                pools[i].mode, pools[i].min_awake, pools[i].spare, pools[i].panic,
                pools[i].reason);
    }
    for (i = 0; i < used; i++) {
        fprintf(stderr, "  action: machine %u %s -> %s acts %x by %s: %s\n",
                actions[i].machine, gb_state_name((gb_state_e)actions[i].from),
                gb_state_name((gb_state_e)actions[i].to), actions[i].acts,
                gb_event_name(actions[i].event), actions[i].reason);
    }
}

/* ------------------------------------------------------------ making a world */

static void flags_resolve(uint32_t m)
{
    bool on = false, observed = false;
    uint32_t d;

    for (d = 0; d < fleet.door_count; d++) {
        if (doors[d].machine == m && doors[d].balancer < fleet.pool_count) {
            on = on || pools[doors[d].balancer].mode == GB_MODE_ON;
            observed = observed || pools[doors[d].balancer].mode == GB_MODE_OBSERVE;
        }
    }
    machines[m].flags &= ~(GB_MF_MANAGED | GB_MF_OBSERVED);
    machines[m].flags |= on || observed ? GB_MF_MANAGED : 0;
    machines[m].flags |= observed && !on ? GB_MF_OBSERVED : 0;
}

static void rules_make(gb_rules_t *r)
{
    r->drain_timeout_us = between(SEC, 30 * SEC);
    r->stop_timeout_us = between(wild ? 2 * SEC : 10 * SEC, 30 * SEC);
    r->wake_timeout_us = between(wild ? 2 * SEC : 15 * SEC, 40 * SEC);
    r->wake_retry_us = between(500 * MS, 5 * SEC);
    r->awake_dwell_us = between(0, 20 * SEC);
    r->asleep_dwell_us = between(0, 8 * SEC);
    r->cycles_per_day = wild ? 1 + roll(24) : 64;
    r->packets = 3;
}

static void host_make(uint32_t m)
{
    host_t *host = &hosts[m];
    gb_machine_t *machine = &machines[m];

    memset(host, 0, sizeof *host);
    host->boot_us = between(500 * MS, 10 * SEC);
    host->halt_us = between(300 * MS, 5 * SEC);
    host->has_bmc = roll(2);
    host->powered = host->up = wild ? roll(4) != 0 : roll(2);
    host->up_at_us = host->down_at_us = GB_NEVER_US;
    host->changed_at_us = now_us;
    rules_make(&rules[m]);
    gb_state_init(machine, host->boot_us, now_us);
    machine->rungs_wake = machine->rungs_sleep = 1 + roll(2);
    if (!wild || roll(8)) {
        machine->flags = GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP;
    }
    machine->flags |= host->has_bmc ? GB_MF_HAS_BMC : 0;
}

/* What a policy needs; sometimes with less room than there are servers. */
static void policy_make(uint32_t p)
{
    gb_pool_t *pool = &pools[p];
    int policy =
        policy_of_world == MIXED ? (int)roll(GB_POLICY_COUNT) : policy_of_world;

    gb_policy_defaults(&pool->policy, (gb_policy_e)policy);
    memset(&tails[p], 0, sizeof tails[p]);
    memset(&deciders[p], 0, sizeof deciders[p]);
    tails[p].rows = tail_rows[p];
    tails[p].room = pool->decide_room = once_in(4) ? 1 + roll(MACHINES) : DOORS;
    pool->tail = &tails[p];
    pool->decider = &deciders[p];
    pool->upto = uptos[p];
    pool->slots_upto = slots[p];
    pool->service_us = (int64_t)roll(2000) * MS;
    pool->late_us = roll(2) ? 0 : (int64_t)roll(5000) * MS;
    pool->late_last = roll(2);
    pool->day_s = roll(86400);
}

static void pool_make(uint32_t p)
{
    gb_pool_t *pool = &pools[p];

    memset(pool, 0, sizeof *pool);
    pool->mode = wild && roll(6) == 0 ? (gb_mode_e)roll(3) : GB_MODE_ON;
    pool->min_awake = roll(4);
    pool->spare = roll(3) ? 0 : roll(3);
    pool->wakes_at_once = roll(5);
    rules_make(&pool->rules);
    pool->threshold.wake_permille = 500 + roll(500);
    pool->threshold.sleep_permille = 100 + roll(pool->threshold.wake_permille - 99);
    falls[p] = 0;
    was_panic[p] = false;
    load_of[p] = 0;
    policy_make(p);
}

static void door_make(uint32_t m, uint32_t p, uint32_t capacity)
{
    gb_door_t *door = &doors[fleet.door_count++];

    memset(door, 0, sizeof *door);
    door->machine = m;
    door->balancer = p;
    door->capacity = capacity;
    door->rank = roll(100);
    door->lbset = wild && roll(3) == 0 ? roll(3) : 0;
    if (wild && roll(2)) {
        door->watts_per_capacity = roll(4);
        door->idle_watts = roll(200);
        door->setup_watts = roll(300);
    }
    door->counted = true;
}

static void world_make(uint32_t machine_count, uint32_t pool_count, uint32_t capacity)
{
    uint32_t i;

    memset(&fleet, 0, sizeof fleet);
    memset(senses, 0, sizeof senses);
    fleet.machines = machines;
    fleet.senses = senses;
    fleet.rules = rules;
    fleet.doors = doors;
    fleet.pools = pools;
    fleet.machine_count = machine_count;
    fleet.pool_count = pool_count;
    last_tick_us = now_us;
    used = 0;
    for (i = 0; i < pool_count; i++) {
        pool_make(i);
    }
    for (i = 0; i < machine_count; i++) {
        host_make(i);
        door_make(i, roll(pool_count), capacity ? capacity : 1 + roll(20));
    }
    while (pool_count > 1 && fleet.door_count < DOORS && roll(5)) {
        door_make(roll(machine_count),
                  wild && roll(20) == 0 ? GB_NO_INDEX : roll(pool_count),
                  capacity ? capacity : 1 + roll(20));
    }
    for (i = 0; i < machine_count; i++) {
        flags_resolve(i);
    }
}

/* ------------------------------------------------------------ hosts and senses */

static bool serves(const host_t *host)
{
    return host->up && !host->ill;
}

static void host_run(uint32_t m)
{
    host_t *host = &hosts[m];
    bool served = serves(host);

    senses[m].exhausted = false;
    if (host->order != ORDER_NONE && now_us >= host->ends_at_us) {
        host->order = ORDER_NONE;
        senses[m].exhausted = true;
        senses[m].why = roll(2) ? "no answer" : NULL;
    }
    if (host->order != ORDER_NONE && now_us >= host->try_at_us) {
        host->try_at_us = now_us + rules[m].wake_retry_us;
        if (!host->deaf && !once_in(3)) {
            if (host->order == ORDER_ON && !host->powered) {
                host->powered = true;
                host->up_at_us = now_us + host->boot_us;
            }
            else if (host->order == ORDER_OFF && host->powered &&
                     host->down_at_us == GB_NEVER_US) {
                host->down_at_us = now_us + host->halt_us;
            }
        }
    }
    if (now_us >= host->up_at_us) {
        host->up = true;
        host->up_at_us = GB_NEVER_US;
    }
    if (now_us >= host->down_at_us || once_in(20000)) {
        host->powered = host->up = false;
        host->up_at_us = host->down_at_us = GB_NEVER_US;
    }
    if (once_in(host->ill ? 200 : 4000)) {
        host->ill = !host->ill;
    }
    if (once_in(host->deaf ? 500 : 5000)) {
        host->deaf = !host->deaf;
    }
    if (once_in(20000) && !host->powered) {
        host->powered = host->up = true; /* somebody pressed its button */
    }
    if (serves(host) != served) {
        host->changed_at_us = now_us;
    }
}

static gb_proof_e proof_of(uint32_t m, int64_t stay_us)
{
    const host_t *host = &hosts[m];
    uint32_t asked = 1u << GB_ST_UNKNOWN | 1u << GB_ST_STOPPING | 1u << GB_ST_ASLEEP |
                     1u << GB_ST_FAILED;

    if (!IN(machines[m].state, asked) || stay_us < 500 * MS || once_in(10)) {
        return GB_PROOF_NONE;
    }
    if (serves(host)) {
        return GB_PROOF_ANSWERS;
    }
    return host->powered && host->has_bmc ? GB_PROOF_POWERED : GB_PROOF_OFF;
}

static void sense(uint32_t m)
{
    const host_t *host = &hosts[m];
    gb_sense_t *s = &senses[m];
    int64_t stay_us = now_us - machines[m].entered_at_us;
    int64_t since_us = now_us - host->changed_at_us;

    if (since_us > stay_us) {
        since_us = stay_us;
    }
    s->verdict =
        since_us < 300 * MS
            ? (IN(machines[m].state, SERVING_BITS) ? s->verdict : GB_VERDICT_NONE)
        : serves(host) ? GB_VERDICT_GOOD
                       : GB_VERDICT_BAD;
    if (once_in(3000)) {
        s->verdict = (gb_verdict_e)roll(3);
    }
    s->proof = proof_of(m, stay_us);
    s->unpowered = host->has_bmc && !host->powered && stay_us > 400 * MS &&
                   IN(machines[m].state, 1u << GB_ST_ON | 1u << GB_ST_DRAINING);
    if (once_in(s->objects ? 50 : 1000)) {
        s->objects = !s->objects;
    }
    if (once_in(s->wanted ? 100 : 2000)) {
        s->wanted = !s->wanted;
        s->wanted_why = s->wanted && roll(2) ? "7 writes wait for it" : NULL;
    }
    if (once_in(1000)) {
        static const int64_t odd_us[] = {0, -1, INT64_MIN, GB_NEVER_US, 7 * SEC};

        s->catch_up_us = odd_us[roll(5)];
    }
    if (once_in(s->admin_held ? 200 : 3000)) {
        s->admin_held = !s->admin_held;
    }
}

/* Requests go where the gates of the latest tick let them. */
static void doors_run(void)
{
    uint32_t left[POOLS];
    uint32_t d;

    memcpy(left, load_of, sizeof left);
    for (d = 0; d < fleet.door_count; d++) {
        if (once_in(doors[d].catches_up ? 30 : 1000)) {
            doors[d].catches_up = !doors[d].catches_up;
        }
    }
    for (d = 0; d < fleet.door_count && !wild; d++) { /* what is not done goes on */
        gb_door_t *door = &doors[d];

        if (door->balancer < fleet.pool_count &&
            !IN(machines[door->machine].state, AWAKE_BITS)) {
            door->in_flight /= 2;
            if (door->in_flight > left[door->balancer]) {
                door->in_flight = left[door->balancer];
            }
            left[door->balancer] -= door->in_flight;
        }
    }
    for (d = 0; d < fleet.door_count; d++) {
        gb_door_t *door = &doors[d];
        uint32_t state = machines[door->machine].state;

        door->counted = !senses[door->machine].admin_held;
        if (once_in(door->verdict == GB_VERDICT_BAD ? 100 : 8000)) {
            door->verdict = door->verdict ? GB_VERDICT_NONE : GB_VERDICT_BAD;
        }
        if (door->balancer < fleet.pool_count && IN(state, AWAKE_BITS)) {
            uint32_t share = roll(door->capacity + 1);

            if (!wild) { /* the first ones are filled */
                share = door->capacity;
            }
            door->in_flight =
                share < left[door->balancer] ? share : left[door->balancer];
            left[door->balancer] -= door->in_flight;
        }
        else if (state == GB_ST_DRAINING && once_in(30)) {
            door->in_flight++; /* a sticky one, or one that just slipped in */
        }
        else if (wild && roll(6) == 0) {
            door->in_flight /= 2;
        }
    }
    for (d = 0; d < fleet.door_count && !wild; d++) { /* the rest waits somewhere */
        if (doors[d].balancer < fleet.pool_count) {
            doors[d].in_flight += left[doors[d].balancer];
            left[doors[d].balancer] = 0;
        }
    }
}

/* Bytes that mean nothing. */
static void scribble(void *at, size_t bytes)
{
    uint8_t *byte = at;

    for (size_t i = 0; i < bytes; i++) {
        byte[i] = (uint8_t)roll(256);
    }
}

static double odd_figure(void)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, -1, 1e300, 1e-300, 0, 1e9};

    return odd[roll(sizeof odd / sizeof odd[0])];
}

/* What came since the latest tick, and sometimes what cannot be. */
static void demand_run(uint32_t p)
{
    gb_pool_t *pool = &pools[p];

    pool->arrived = load_of[p] * roll(100) / 50.0;
    pool->late = roll(4) ? 0 : pool->arrived / (1 + roll(9));
    pool->waiting = once_in(8) ? roll(2000) : 0;
    pool->day_s = once_in(1000) ? (int64_t)dice : (pool->day_s + 1) % 86400;
    if (once_in(500)) {
        pool->arrived = odd_figure();
        pool->late = odd_figure();
    }
    if (once_in(500)) {
        pool->service_us = roll(2) ? (int64_t)dice : (int64_t)roll(3000) * MS;
        pool->late_us = roll(2) ? -(int64_t)(dice >> 1) : (int64_t)roll(3000) * MS;
    }
    if (once_in(5000)) {
        scribble(&deciders[p], sizeof deciders[p]);
        deciders[p].policy = roll(2) ? 1 + (uint32_t)pool->policy.policy : roll(9);
    }
    if (once_in(5000)) {
        scribble(&pool->asked, sizeof pool->asked);
        pool->asked.policy = (uint32_t)pool->policy.policy;
        pool->asked.idle = roll(2);
    }
    if (once_in(2000) && policy_of_world == MIXED) {
        pool->policy.policy = (gb_policy_e)roll(GB_POLICY_COUNT);
    }
}

/* ----------------------------------------------------------- counting for ourselves */

static bool has_door(uint32_t m, uint32_t p)
{
    uint32_t d;

    for (d = 0; d < fleet.door_count; d++) {
        if (doors[d].machine == m && doors[d].balancer == p) {
            return true;
        }
    }
    return false;
}

static uint32_t capacity_of(uint32_t m, uint32_t p)
{
    uint32_t sum = 0;
    uint32_t d;

    for (d = 0; d < fleet.door_count; d++) {
        if (doors[d].machine == m && doors[d].balancer == p && doors[d].counted &&
            doors[d].verdict != GB_VERDICT_BAD) {
            sum += doors[d].capacity;
        }
    }
    return sum;
}

static bool counts(uint32_t m, uint32_t p)
{
    uint32_t d;

    for (d = 0; d < fleet.door_count; d++) {
        if (doors[d].machine == m && doors[d].balancer == p && doors[d].counted) {
            return true;
        }
    }
    return false;
}

/* Machines in one of `states` that give the pool anything. */
/* Awake, and yet it does not serve: a door of it catches up. */
static bool is_behind(uint32_t m, uint32_t p)
{
    uint32_t d;

    for (d = 0; d < fleet.door_count && IN(machines[m].state, AWAKE_BITS); d++) {
        if (doors[d].machine == m && doors[d].balancer == p && doors[d].counted &&
            doors[d].catches_up) {
            return true;
        }
    }
    return false;
}

/* Is it in one of those states?  Of AWAKE_BITS alone, one that is behind is not. */
static bool is_in(uint32_t m, uint32_t p, uint32_t states)
{
    return IN(machines[m].state, states) && (states != AWAKE_BITS || !is_behind(m, p));
}

static uint32_t count_in(uint32_t p, uint32_t states)
{
    uint32_t count = 0;
    uint32_t m;

    for (m = 0; m < fleet.machine_count; m++) {
        count += is_in(m, p, states) && capacity_of(m, p) != 0;
    }
    return count;
}

static uint64_t capacity_in(uint32_t p, uint32_t states)
{
    uint64_t sum = 0;
    uint32_t m;

    for (m = 0; m < fleet.machine_count; m++) {
        sum += is_in(m, p, states) ? capacity_of(m, p) : 0;
    }
    return sum;
}

/* The least capacity of the servers that are to be spare. */
static uint64_t spare_of(uint32_t p)
{
    uint32_t count = 0;

    for (uint32_t m = 0; m < fleet.machine_count; m++) {
        count += counts(m, p);
    }
    return count ? capacity_in(p, UINT32_MAX) * pools[p].spare / count : 0;
}

static uint32_t work_of(uint32_t m)
{
    uint32_t sum = 0;
    uint32_t d;

    for (d = 0; d < fleet.door_count; d++) {
        sum += doors[d].machine == m ? doors[d].in_flight : 0;
    }
    return sum;
}

/* ------------------------------------------------------------ the checker */

static const uint8_t legal[GB_ST_COUNT] = {
    [GB_ST_UNKNOWN] = 1u << GB_ST_ON | 1u << GB_ST_FAILED | 1u << GB_ST_ASLEEP,
    [GB_ST_ON] = 1u << GB_ST_DRAINING | 1u << GB_ST_FAILED | 1u << GB_ST_ASLEEP,
    [GB_ST_DRAINING] =
        1u << GB_ST_ON | 1u << GB_ST_STOPPING | 1u << GB_ST_FAILED | 1u << GB_ST_ASLEEP,
    [GB_ST_STOPPING] = 1u << GB_ST_ASLEEP | 1u << GB_ST_WAKING,
    [GB_ST_ASLEEP] = 1u << GB_ST_WAKING,
    [GB_ST_WAKING] = 1u << GB_ST_ON | 1u << GB_ST_FAILED,
    [GB_ST_FAILED] = 1u << GB_ST_ON | 1u << GB_ST_ASLEEP | 1u << GB_ST_WAKING,
};

static void check_order_off(const gb_action_t *action)
{
    uint32_t m = action->machine;
    host_t *host = &hosts[m];
    uint32_t today = 1;
    uint32_t p, i;

    CHECK(work_of(m) == 0, "with work in flight");
    CHECK(!fleet.paused, "while paused");
    CHECK(!senses[m].admin_held, "held by the administrator");
    CHECK(!senses[m].objects, "although something objects");
    CHECK((machines[m].flags & GB_MF_CAN_WAKE) && (machines[m].flags & GB_MF_CAN_SLEEP),
          "no ladder");
    CHECK((machines[m].flags & GB_MF_MANAGED) && !(machines[m].flags & GB_MF_OBSERVED),
          "not ours to switch off");
    CHECK(action->to == GB_ST_STOPPING && machines[m].wish != GB_WISH_KEEP_ON, "wish");
    CHECK(before[m].state == action->from && before[m].entered_at_us <= last_tick_us,
          "its gate may still have been open");
    for (p = 0; p < fleet.pool_count; p++) {
        CHECK(!has_door(m, p) || !pools[p].panic, "in panic");
        CHECK(!has_door(m, p) || pools[p].mode == GB_MODE_ON ||
                  machines[m].wish == GB_WISH_KEEP_OFF,
              "a balancer that is not on");
    }
    for (i = host->offs > OFFS_KEPT ? host->offs - OFFS_KEPT : 0; i < host->offs; i++) {
        today += host->off_at_us[i % OFFS_KEPT] > now_us - 86400 * SEC;
    }
    CHECK(host->by_operator || today <= rules[m].cycles_per_day, "cycles a day");
    host->off_at_us[host->offs++ % OFFS_KEPT] = now_us;
}

/* Before the states change: what an action orders must be allowed. */
static void check_action(const gb_action_t *action)
{
    uint32_t m = action->machine;

    CHECK(!(action->acts & GB_ACT_BUG), "an event that is not listed");
    CHECK(action->from == action->to || IN(action->to, legal[action->from]), "edge");
    CHECK(action->reason[0] && memchr(action->reason, 0, GB_REASON_BYTES), "reason");
    CHECK((action->to == GB_ST_STOPPING && action->from != GB_ST_STOPPING) ==
              !!(action->acts & GB_ACT_ORDER_OFF),
          "STOPPING goes with its order");
    if (action->acts & GB_ACT_ORDER_OFF) {
        check_order_off(action);
    }
    if (action->acts & GB_ACT_ORDER_ON) {
        CHECK(!fleet.paused && !senses[m].admin_held, "order on");
        CHECK(machines[m].flags & GB_MF_CAN_WAKE, "order on without a ladder");
        CHECK(!(machines[m].flags & GB_MF_OBSERVED), "order on while observing");
    }
    if (action->event == GB_EV_WAKE_WANTED && action->from == GB_ST_ASLEEP) {
        CHECK(machines[m].wish != GB_WISH_KEEP_OFF, "the operator wants it off");
    }
}

/* As is_behind(), of before the tick. */
static bool was_behind(uint32_t m, uint32_t p)
{
    for (uint32_t d = 0; d < fleet.door_count; d++) {
        if (doors[d].machine == m && doors[d].balancer == p && doors[d].counted &&
            doors[d].catches_up) {
            return true;
        }
    }
    return false;
}

/* A machine has been told to drain: every balancer must be able to do without it.
 * `commanded`: by the operator just now, who needs no dwell. */
static void check_let_sleep(uint32_t m, bool operators, bool commanded)
{
    uint32_t p;

    CHECK(commanded || now_us - before[m].entered_at_us >= rules[m].awake_dwell_us,
          "dwell");
    for (p = 0; p < fleet.pool_count; p++) {
        const gb_pool_t *pool = &pools[p];

        if (!has_door(m, p)) {
            continue;
        }
        CHECK(!pool->panic, "in panic");
        CHECK(!counts(m, p) || !was_behind(m, p), "it was behind");
        CHECK(operators || !senses[m].wanted, "it is wanted");
        CHECK(!capacity_of(m, p) || count_in(p, AWAKE_BITS) >= pool->min_awake,
              "floor");
        if (!operators) {
            uint64_t stays = capacity_in(p, AWAKE_BITS);

            CHECK(pool->mode == GB_MODE_ON, "a balancer that is not on");
            CHECK(pool->policy.policy != GB_POLICY_THRESHOLD ||
                      stays * pool->threshold.wake_permille >= pool->need.load_milli,
                  "too little stays for the load");
            CHECK(stays >= spare_of(p), "spare");
            CHECK(stays >= pool->need.up_capacity, "it would be woken again");
        }
    }
}

/* Has a drain ended without sleep?  That comes after the figures for pages. */
static bool called_off(void)
{
    uint32_t i;

    for (i = 0; i < used; i++) {
        if (actions[i].from == GB_ST_DRAINING && actions[i].to == GB_ST_ON) {
            return true;
        }
    }
    return false;
}

static void check_wakes(uint32_t p)
{
    const uint32_t awake = AWAKE_BITS | 1u << GB_ST_WAKING;
    uint64_t capacity = capacity_in(p, awake);
    uint32_t count = count_in(p, awake);
    bool any = false, shared = false;
    uint32_t i, q;

    for (i = 0; i < used; i++) {
        uint32_t m = actions[i].machine;

        if (actions[i].to == GB_ST_WAKING && actions[i].from != GB_ST_WAKING &&
            counts(m, p) &&
            (actions[i].event == GB_EV_RETRY_DUE ||
             actions[i].event == GB_EV_WAKE_WANTED)) {
            any = any || (actions[i].event == GB_EV_WAKE_WANTED &&
                          machines[m].wish == GB_WISH_AUTO && !senses[m].wanted);
            capacity -= capacity_of(m, p);
            count -= capacity_of(m, p) != 0;
            for (q = 0; q < fleet.pool_count; q++) {
                shared = shared || (q != p && has_door(m, q));
            }
        }
    }
    if (!any || shared || called_off()) {
        return;
    }
    CHECK(capacity < pools[p].need.up_capacity || count < pools[p].min_awake,
          "woken without need");
    if (fleet.pool_count == 1) {
        uint32_t waking = 0;
        uint32_t most = pools[p].wakes_at_once ? pools[p].wakes_at_once : 1;

        for (i = 0; i < fleet.machine_count; i++) {
            waking += machines[i].state == GB_ST_WAKING && counts(i, p);
        }
        CHECK(waking <= most, "more than may at once");
    }
}

static void check_panic(uint32_t p)
{
    const gb_pool_t *pool = &pools[p];
    uint32_t serving = count_in(p, SERVING_BITS);
    uint32_t some = 0, lately = 0, at_most = 0;
    uint32_t i;

    for (i = 0; i < used; i++) { /* they still served when panic was looked at */
        serving += actions[i].event == GB_EV_DRAINED &&
                   capacity_of(actions[i].machine, p) != 0;
    }
    for (i = 0; i < fleet.machine_count; i++) {
        some += counts(i, p);
    }
    if (was_panic[p] && !pool->panic) {
        falls[p] = 0; /* those are made up for */
    }
    for (i = falls[p] > OFFS_KEPT ? falls[p] - OFFS_KEPT : 0; i < falls[p]; i++) {
        lately += fell_at_us[p][i % OFFS_KEPT] > now_us - 9 * SEC;
        at_most += fell_at_us[p][i % OFFS_KEPT] > now_us - 10 * SEC;
    }
    if (some && !serving && pool->min_awake) {
        CHECK(pool->panic, "nobody serves");
    }
    if (lately > serving && lately + serving >= 2) {
        CHECK(pool->panic, "over half have failed");
    }
    if (pool->panic && !was_panic[p]) {
        CHECK((!serving && some) || at_most > serving, "no reason for panic");
    }
    was_panic[p] = pool->panic;
    for (i = 0; i < fleet.door_count; i++) {
        const gb_machine_t *machine = &machines[doors[i].machine];

        if (doors[i].balancer == p && machine->state == GB_ST_FAILED) {
            CHECK(gb_fleet_panic_routes(&fleet, i) ==
                      (pool->panic && machine->proof != GB_PROOF_OFF),
                  "routes in panic");
        }
    }
}

/* What a policy was told and said. */
static void check_asked(uint32_t p)
{
    const gb_pool_t *pool = &pools[p];
    const gb_asked_t *asked = &pool->asked;
    double all = 0;

    if (pool->policy.policy == GB_POLICY_THRESHOLD) {
        return;
    }
    for (uint32_t d = 0; d < fleet.door_count; d++) {
        all += doors[d].balancer == p ? doors[d].capacity : 0;
    }
    CHECK(asked->servers >= 1, "an empty supply");
    CHECK(asked->on + asked->coming <= asked->servers, "more than there are");
    CHECK(asked->choice.up >= 1 && asked->choice.up <= asked->choice.keep &&
              asked->choice.keep <= asked->servers,
          "a choice out of bounds");
    CHECK(asked->up_capacity >= 0 && asked->up_capacity <= asked->keep_capacity &&
              asked->keep_capacity <= all + 1,
          "a capacity that nobody has");
    CHECK(isfinite(asked->rate) && asked->rate >= 0, "rate");
    CHECK(asked->service_s > 0 && asked->late_s > asked->service_s &&
              isfinite(asked->late_s),
          "times");
    CHECK(asked->rate_per_server > 0 && isfinite(asked->rate_per_server),
          "rate of a server");
}

/* What holds after every tick; `ample`: there was room for every action. */
static void check_pool(uint32_t p, bool ample)
{
    const gb_pool_t *pool = &pools[p];
    uint32_t draining = count_in(p, 1u << GB_ST_DRAINING);

    CHECK(pool->reason[0] && memchr(pool->reason, 0, GB_REASON_BYTES), "reason");
    CHECK(pool->wanted_servers <= fleet.machine_count, "wanted");
    if (fleet.pool_count == 1 && !called_off()) {
        CHECK(pool->capacity_awake == capacity_in(p, AWAKE_BITS), "capacity awake");
    }
    if (ample && pool->mode == GB_MODE_ON) {
        CHECK(!draining || count_in(p, AWAKE_BITS) >= pool->min_awake, "floor");
        CHECK(!draining || !pool->panic, "drains in panic");
        CHECK(!draining || !fleet.paused, "drains while paused");
    }
    check_wakes(p);
    check_panic(p);
    check_asked(p);
}

static void check_machine(uint32_t m, bool ample)
{
    const gb_machine_t *machine = &machines[m];
    const uint32_t timed =
        1u << GB_ST_DRAINING | 1u << GB_ST_STOPPING | 1u << GB_ST_WAKING;
    const uint32_t closed =
        1u << GB_ST_STOPPING | 1u << GB_ST_ASLEEP | 1u << GB_ST_WAKING;

    if (IN(machine->state, closed)) {
        CHECK(!gb_state_takes_new(machine) && !gb_state_takes_sticky(machine), "gate");
    }
    if (ample && IN(machine->state, timed)) {
        CHECK(now_us < machine->deadline_at_us, "beyond its deadline");
    }
    if (ample && machine->state == GB_ST_DRAINING) {
        CHECK(!senses[m].admin_held, "drains, held by the administrator");
        CHECK((machine->flags & GB_MF_MANAGED) && !(machine->flags & GB_MF_OBSERVED),
              "drains, and must not");
    }
    CHECK(!(machine->flags & GB_MF_ADMIN_HELD) || senses[m].admin_held, "flag");
    CHECK(!ample || !senses[m].admin_held || (machine->flags & GB_MF_ADMIN_HELD),
          "flag");
}

/* Carries an action out in the world, and notes it for the checker. */
static void action_do(const gb_action_t *action)
{
    uint32_t m = action->machine;
    host_t *host = &hosts[m];
    uint32_t p;

    if ((action->acts & GB_ACT_CANCEL) || action->from != action->to) {
        host->order = ORDER_NONE;
    }
    if (action->acts & (GB_ACT_ORDER_ON | GB_ACT_ORDER_OFF)) {
        host->order = action->acts & GB_ACT_ORDER_ON ? ORDER_ON : ORDER_OFF;
        host->try_at_us = now_us;
        host->ends_at_us = now_us + rules[m].wake_timeout_us * 2;
    }
    if (action->acts & GB_ACT_LEARN_BOOT) {
        gb_boot_learn(&machines[m].boot, now_us - machines[m].wake_at_us);
    }
    if (action->to == GB_ST_DRAINING && action->from == GB_ST_ON) {
        host->by_operator = action->event == GB_EV_OPERATOR_SLEEP;
    }
    else if (action->to != GB_ST_STOPPING && action->to != GB_ST_DRAINING) {
        host->by_operator = false;
    }
    for (p = 0; p < fleet.pool_count; p++) {
        if (action->event == GB_EV_PROBE_FAILED && counts(m, p) &&
            action->to == GB_ST_FAILED && IN(action->from, SERVING_BITS) &&
            action->from != GB_ST_UNKNOWN) {
            fell_at_us[p][falls[p]++ % OFFS_KEPT] = now_us;
        }
    }
}

static void tick_and_check(void)
{
    uint32_t state[MACHINES];
    bool ample;
    uint32_t i;

    memcpy(before, machines, sizeof before);
    used = gb_fleet_tick(&fleet, now_us, actions, room);
    CHECK(used <= room, "room");
    ample = used < room;
    for (i = 0; i < fleet.machine_count; i++) {
        state[i] = before[i].state;
    }
    for (i = 0; i < used; i++) {
        CHECK(state[actions[i].machine] == actions[i].from, "a change was not told");
        check_action(&actions[i]);
        state[actions[i].machine] = actions[i].to;
    }
    for (i = 0; i < fleet.machine_count; i++) {
        CHECK(state[i] == machines[i].state, "a change was not told");
        check_machine(i, ample);
    }
    for (i = 0; i < used; i++) {
        if (actions[i].to == GB_ST_DRAINING && actions[i].from == GB_ST_ON) {
            check_let_sleep(actions[i].machine,
                            machines[actions[i].machine].wish == GB_WISH_KEEP_OFF,
                            false);
        }
        action_do(&actions[i]);
    }
    for (i = 0; i < fleet.pool_count; i++) {
        check_pool(i, ample);
    }
    last_tick_us = now_us;
}

/* ------------------------------------------------------------ people */

static void operator_comes(void)
{
    static const gb_event_e commands[] = {GB_EV_OPERATOR_WAKE, GB_EV_OPERATOR_SLEEP,
                                          GB_EV_OPERATOR_SLEEP, GB_EV_OPERATOR_AUTO,
                                          GB_EV_OPERATOR_AUTO};
    uint32_t m = roll(fleet.machine_count);
    gb_action_t action;

    memcpy(before, machines, sizeof before);
    used = 0;
    action = gb_fleet_event(&fleet, m, commands[roll(5)], now_us,
                            roll(2) ? "a command" : NULL);
    CHECK(action.from == before[m].state && action.to == machines[m].state, "told");
    if (action.acts & GB_ACT_REFUSED) {
        CHECK(!memcmp(&before[m], &machines[m], sizeof before[m]) && action.reason[0],
              "refused, and changed all the same");
        return;
    }
    check_action(&action);
    if (action.to == GB_ST_DRAINING && action.from == GB_ST_ON) {
        check_let_sleep(m, true, true);
    }
    action_do(&action);
}

static void people_come(void)
{
    uint32_t i;

    if (once_in(100)) {
        operator_comes();
    }
    if (once_in(fleet.paused ? 100 : 1500)) {
        fleet.paused = !fleet.paused;
    }
    if (once_in(800)) {
        pools[roll(fleet.pool_count)].mode = roll(2) ? GB_MODE_ON : (gb_mode_e)roll(3);
        for (i = 0; i < fleet.machine_count; i++) {
            flags_resolve(i);
        }
    }
    if (once_in(5000)) {
        i = roll(fleet.machine_count);
        machines[i].flags ^= roll(2) ? GB_MF_CAN_SLEEP : GB_MF_CAN_WAKE;
    }
    if (once_in(200)) {
        i = roll(fleet.pool_count);
        load_of[i] = roll(3) ? roll(80) : 0;
    }
}

static void world_step(void)
{
    uint32_t i;

    now_us += TICK_US / 2;
    if (once_in(100)) { /* between two ticks */
        operator_comes();
    }
    now_us += TICK_US / 2;
    if (once_in(40)) {
        now_us += between(0, 20 * SEC);
    }
    else if (once_in(1000)) {
        now_us += between(0, 2000 * SEC) * 10;
    }
    room = once_in(20) ? roll(4) : ROOM;
    people_come();
    for (i = 0; i < fleet.machine_count; i++) {
        host_run(i);
        sense(i);
    }
    doors_run();
    for (i = 0; i < fleet.pool_count; i++) {
        demand_run(i);
    }
    tick_and_check();
    step++;
}

/* ------------------------------------------------------------ the tests */

START_TEST(invariants_hold_over_random_fleets)
{
    const char *given = getenv("GB_STEPS");
    uint64_t steps = given ? strtoull(given, NULL, 0) : STEPS_USUAL;
    uint64_t done = 0;
    uint64_t states[GB_ST_COUNT] = {0};
    uint32_t i;

    dice = seed_dice("invariants_hold_over_random_fleets");
    policy_of_world = _i;
    steps = _i == MIXED && !given ? steps / 4 : steps;
    wild = true;
    for (step = 0; done < steps; done++, step++) {
        if (done % WORLD_STEPS == 0) {
            now_us = (int64_t)roll(1000) * SEC;
            world_make(1 + roll(MACHINES), 1 + roll(POOLS), 0);
        }
        world_step();
        step--;
        for (i = 0; i < fleet.machine_count; i++) {
            states[machines[i].state]++;
        }
    }
    for (i = 0; i < GB_ST_COUNT; i++) { /* the world has been everywhere */
        ck_assert_msg(states[i] > done / 500, "%s", gb_state_name((gb_state_e)i));
    }
}
END_TEST

static void obey_for(int64_t span_us)
{
    int64_t until_us = now_us + span_us;

    while (now_us < until_us) {
        world_step();
    }
}

static uint64_t lacking(uint32_t p)
{
    uint64_t needed = load_of[p] * UINT64_C(1000) / pools[p].threshold.wake_permille;
    uint64_t awake = capacity_in(p, AWAKE_BITS);

    return awake < needed ? needed - awake : 0;
}

/* With hosts that obey: what the load needs wakes, and what it does not need sleeps. */
START_TEST(what_is_needed_wakes_and_the_rest_sleeps)
{
    uint32_t world, p;

    dice = seed_dice("what_is_needed_wakes_and_the_rest_sleeps");
    policy_of_world = GB_POLICY_THRESHOLD;
    wild = false;
    for (world = 0; world < 60; world++) {
        now_us = 1000 * SEC;
        step = 0;
        world_make(1 + roll(MACHINES), 1 + roll(POOLS), 1 + roll(20));
        for (p = 0; p < fleet.pool_count; p++) {
            load_of[p] = roll(150);
        }
        obey_for(200 * SEC);
        for (p = 0; p < fleet.pool_count; p++) {
            uint32_t all = count_in(p, UINT32_MAX);
            uint32_t min = pools[p].min_awake < all ? pools[p].min_awake : all;

            CHECK(!lacking(p) || count_in(p, AWAKE_BITS) == all, "capacity is lacking");
            CHECK(count_in(p, AWAKE_BITS) >= min, "the floor is lacking");
            load_of[p] = 0;
        }
        obey_for(200 * SEC);
        for (p = 0; p < fleet.pool_count && fleet.pool_count == 1; p++) {
            uint32_t all = count_in(p, UINT32_MAX);
            uint32_t stay = pools[p].min_awake > pools[p].spare ? pools[p].min_awake
                                                                : pools[p].spare;

            CHECK(count_in(p, AWAKE_BITS) == (stay < all ? stay : all),
                  "awake in vain");
        }
    }
}
END_TEST

/* Any fleet, any thresholds, any level: no server is switched twice for it. */
START_TEST(a_constant_load_ends_in_one_adjustment)
{
    uint32_t world, i;

    dice = seed_dice("a_constant_load_ends_in_one_adjustment");
    policy_of_world = GB_POLICY_THRESHOLD;
    wild = false;
    for (world = 0; world < 80; world++) {
        uint32_t sleeps[MACHINES] = {0}, wakes[MACHINES] = {0};
        int64_t end_us;

        now_us = 1000 * SEC;
        step = 0;
        world_make(1 + roll(MACHINES), 1 + roll(POOLS), 0);
        for (i = 0; i < fleet.pool_count; i++) {
            load_of[i] = roll(120);
        }
        obey_for(60 * SEC); /* who is on and who is off is found out */
        end_us = now_us + 400 * SEC;
        while (now_us < end_us) {
            world_step();
            for (i = 0; i < used; i++) {
                sleeps[actions[i].machine] += actions[i].to == GB_ST_DRAINING;
                wakes[actions[i].machine] += actions[i].to == GB_ST_WAKING;
                CHECK(now_us < end_us - 200 * SEC, "no rest under a constant load");
            }
        }
        for (i = 0; i < fleet.machine_count; i++) {
            CHECK(sleeps[i] + wakes[i] <= 1, "switched twice under a constant load");
        }
    }
}
END_TEST

Suite *gb_fleet_random_suite(void);

Suite *gb_fleet_random_suite(void)
{
    Suite *suite = suite_create("gb_fleet_random");
    TCase *tcase = tcase_create("random");

    tcase_add_loop_test(tcase, invariants_hold_over_random_fleets, 0, MIXED + 1);
    tcase_add_test(tcase, what_is_needed_wakes_and_the_rest_sleeps);
    tcase_add_test(tcase, a_constant_load_ends_in_one_adjustment);
    tcase_set_timeout(tcase, 600);
    suite_add_tcase(suite, tcase);
    return suite;
}
