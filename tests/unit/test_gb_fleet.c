/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet.c - one tick of decisions: each rule in a fleet of a few machines.
 * Random fleets are in test_gb_fleet_random.c.
 */
#include "core/gb_fleet.h"

#include <check.h>
#include <string.h>

#define TICK_US (100 * GB_US_PER_MS)
#define SEC     GB_US_PER_S
#define MOST    12
#define ROOM    64

static gb_machine_t machines[MOST];
static gb_sense_t senses[MOST];
static gb_rules_t rules[MOST];
static gb_door_t doors[2 * MOST];
static gb_pool_t pools[2];
static const char *const names[MOST] = {"web0", "web1", "web2",  "web3",
                                        "web4", "web5", "web6",  "web7",
                                        "web8", "web9", "web10", "web11"};
static gb_fleet_t fleet;
static gb_action_t actions[ROOM];
static uint32_t used;
static int64_t now_us;

static const gb_rules_t usual = {.drain_timeout_us = 600 * SEC,
                                 .stop_timeout_us = 120 * SEC,
                                 .wake_timeout_us = 300 * SEC,
                                 .wake_retry_us = 10 * SEC,
                                 .awake_dwell_us = 10 * SEC,
                                 .asleep_dwell_us = 5 * SEC,
                                 .cycles_per_day = 24,
                                 .packets = 3};

static void pool_setup(gb_pool_t *pool)
{
    memset(pool, 0, sizeof *pool);
    pool->mode = GB_MODE_ON;
    pool->min_awake = 1;
    pool->wakes_at_once = 8;
    pool->rules = usual;
    pool->threshold.wake_permille = 800;
    pool->threshold.sleep_permille = 500;
}

static void door_add(uint32_t machine, uint32_t pool)
{
    gb_door_t *door = &doors[fleet.door_count];

    memset(door, 0, sizeof *door);
    door->machine = machine;
    door->balancer = pool;
    door->capacity = 10;
    door->rank = fleet.door_count++;
    door->counted = true;
}

/* `count` machines of capacity 10, all ON and well, in pool 0; no load. */
static void fleet_setup(uint32_t count)
{
    uint32_t i;

    memset(&fleet, 0, sizeof fleet);
    memset(senses, 0, sizeof senses);
    now_us = 1000 * SEC;
    pool_setup(&pools[0]);
    pool_setup(&pools[1]);
    fleet.machines = machines;
    fleet.senses = senses;
    fleet.rules = rules;
    fleet.names = names;
    fleet.doors = doors;
    fleet.pools = pools;
    fleet.pool_count = 1;
    fleet.machine_count = count;
    for (i = 0; i < count; i++) {
        gb_state_init(&machines[i], 30 * SEC, now_us - 3600 * SEC);
        machines[i].state = GB_ST_ON;
        machines[i].rungs_wake = machines[i].rungs_sleep = 1;
        machines[i].flags = GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED;
        rules[i] = usual;
        senses[i].verdict = GB_VERDICT_GOOD;
        door_add(i, 0);
    }
}

static void put(uint32_t m, gb_state_e state)
{
    machines[m].state = state;
    machines[m].entered_at_us = now_us - 600 * SEC;
    machines[m].retry_at_us = state == GB_ST_FAILED ? now_us : GB_NEVER_US;
    senses[m].verdict =
        state == GB_ST_ON || state == GB_ST_DRAINING ? GB_VERDICT_GOOD : GB_VERDICT_BAD;
    senses[m].proof = state == GB_ST_ASLEEP ? GB_PROOF_OFF : GB_PROOF_NONE;
    if (state == GB_ST_DRAINING || state == GB_ST_STOPPING || state == GB_ST_WAKING) {
        machines[m].deadline_at_us = now_us + 600 * SEC;
    }
}

static void tick(void)
{
    now_us += TICK_US;
    used = gb_fleet_tick(&fleet, now_us, actions, ROOM);
}

/* Orders that were given to machine m in the latest tick or in those of a span. */
static uint32_t acts_of(uint32_t m)
{
    uint32_t acts = 0;
    uint32_t i;

    for (i = 0; i < used; i++) {
        acts |= actions[i].machine == m ? actions[i].acts : 0;
    }
    return acts;
}

static uint32_t tick_for(int64_t span_us, uint32_t m)
{
    int64_t until_us = now_us + span_us;
    uint32_t acts = 0;

    while (now_us < until_us) {
        tick();
        acts |= acts_of(m);
    }
    return acts;
}

static void load(uint32_t in_flight)
{
    doors[0].in_flight = in_flight;
}

static uint32_t count_in(gb_state_e state)
{
    uint32_t count = 0;
    uint32_t i;

    for (i = 0; i < fleet.machine_count; i++) {
        count += machines[i].state == state;
    }
    return count;
}

/* ------------------------------------------------------------ how many */

START_TEST(servers_that_are_not_needed_go_to_sleep_from_the_last)
{
    fleet_setup(4);
    load(6); /* of 40; 20 at 50 % hold 10, 10 at 65 % hold 6.5 */
    tick_for(15 * SEC, 0);
    ck_assert_uint_eq(machines[0].state, GB_ST_ON);
    ck_assert_uint_eq(count_in(GB_ST_STOPPING), 3);
    ck_assert_uint_eq(pools[0].capacity_awake, 10);
    ck_assert_uint_eq(pools[0].wanted_servers, 1);
}
END_TEST

START_TEST(what_stays_has_room_below_the_wake_threshold)
{
    fleet_setup(2);
    load(7); /* 35 % of 20, but 70 % of 10: over the middle of 50 % and 80 % */
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 2);
    load(6);
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 1);
}
END_TEST

START_TEST(min_awake_stays_without_any_load)
{
    fleet_setup(5);
    pools[0].min_awake = 3;
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 3);
}
END_TEST

START_TEST(spare_servers_stay_beyond_the_need)
{
    fleet_setup(6);
    pools[0].spare = 2;
    load(6);
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 3);
    load(0);
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 2);
}
END_TEST

START_TEST(load_wakes_the_first_in_the_order)
{
    fleet_setup(4);
    put(1, GB_ST_ASLEEP);
    put(2, GB_ST_ASLEEP);
    put(3, GB_ST_ASLEEP);
    load(12); /* needs 15 */
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    ck_assert_uint_eq(acts_of(1), GB_ACT_ORDER_ON);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 1);
    ck_assert_str_eq(pools[0].reason,
                     "load 12 (ahead 12) needs 15 of capacity at 80 %; "
                     "10 awake: waking web1");
    ck_assert_uint_eq(pools[0].wanted_servers, 2);
    tick();
    ck_assert_uint_eq(used, 0); /* what wakes already counts */
}
END_TEST

START_TEST(never_more_wake_than_may_at_once)
{
    uint32_t i;

    fleet_setup(10);
    pools[0].wakes_at_once = 3;
    for (i = 1; i < 10; i++) {
        put(i, GB_ST_ASLEEP);
    }
    load(500);
    tick_for(10 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 3);
    senses[1].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 3);
}
END_TEST

START_TEST(a_failed_server_is_replaced)
{
    fleet_setup(3);
    put(2, GB_ST_ASLEEP);
    load(12);
    tick();
    ck_assert_uint_eq(used, 0);
    senses[1].verdict = GB_VERDICT_BAD;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_FAILED);
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING);
}
END_TEST

START_TEST(a_short_dwell_asleep_yields_to_the_floor_only)
{
    fleet_setup(3);
    put(1, GB_ST_ASLEEP);
    put(2, GB_ST_ASLEEP);
    machines[1].entered_at_us = now_us; /* dwells 5 s */
    machines[2].entered_at_us = now_us;
    load(12);
    tick();
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 0);
    senses[0].verdict = GB_VERDICT_BAD; /* nobody is left */
    tick();
    ck_assert_uint_ge(count_in(GB_ST_WAKING), 1);
}
END_TEST

START_TEST(sleepers_come_before_failed_ones_that_are_off)
{
    fleet_setup(3);
    put(1, GB_ST_FAILED);
    machines[1].failures_in_row = 1;
    machines[1].retry_at_us = now_us - SEC;
    senses[1].proof = GB_PROOF_OFF;
    put(2, GB_ST_ASLEEP);
    pools[0].wakes_at_once = 1;
    load(12);
    tick();
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING);
    ck_assert_uint_eq(machines[1].state, GB_ST_FAILED);
    load(40);
    pools[0].wakes_at_once = 2;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
}
END_TEST

START_TEST(scale_to_zero_sleeps_and_wakes_without_panic)
{
    fleet_setup(1);
    pools[0].min_awake = 0;
    tick_for(15 * SEC, 0);
    ck_assert_uint_eq(machines[0].state, GB_ST_STOPPING);
    senses[0].verdict = GB_VERDICT_NONE;
    senses[0].proof = GB_PROOF_OFF;
    tick_for(10 * SEC, 0);
    ck_assert_uint_eq(machines[0].state, GB_ST_ASLEEP);
    ck_assert(!pools[0].panic);
    load(1);
    tick();
    ck_assert_uint_eq(machines[0].state, GB_ST_WAKING);
    ck_assert(!pools[0].panic);
}
END_TEST

/* ------------------------------------------------------------ draining */

START_TEST(work_in_flight_is_waited_for)
{
    fleet_setup(2);
    doors[1].in_flight = 1;
    ck_assert_uint_eq(tick_for(60 * SEC, 1) & GB_ACT_ORDER_OFF, 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    doors[1].in_flight = 0;
    tick();
    ck_assert_uint_eq(acts_of(1), GB_ACT_ORDER_OFF);
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(an_order_off_waits_a_tick_for_the_gate)
{
    fleet_setup(2);
    tick_for(10 * SEC, 1);
    while (machines[1].state == GB_ST_ON) {
        tick();
    }
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    ck_assert_uint_eq(acts_of(1) & GB_ACT_ORDER_OFF, 0);
    doors[1].in_flight = 1; /* came through before the gate was closed */
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    doors[1].in_flight = 0;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(a_command_between_ticks_waits_for_the_tick_after_the_next)
{
    fleet_setup(2);
    pools[0].rules.awake_dwell_us = rules[1].awake_dwell_us = 3600 * SEC;
    tick();
    now_us += TICK_US / 2;
    gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_SLEEP, now_us, NULL);
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    tick(); /* after this one the gate is closed */
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(a_drain_that_takes_too_long_is_called_off)
{
    fleet_setup(2);
    doors[1].in_flight = 1;
    while (machines[1].state == GB_ST_ON) {
        tick();
    }
    now_us = machines[1].deadline_at_us - 2 * TICK_US;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(what_drains_is_taken_back_before_anything_is_woken)
{
    fleet_setup(3);
    put(1, GB_ST_DRAINING);
    put(2, GB_ST_ASLEEP);
    doors[1].in_flight = 3;
    load(9);
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    ck_assert_uint_eq(acts_of(1), 0);
    ck_assert_uint_eq(machines[2].state, GB_ST_ASLEEP);
}
END_TEST

START_TEST(what_drains_is_taken_back_for_the_floor)
{
    fleet_setup(2);
    put(1, GB_ST_DRAINING);
    machines[1].wish = GB_WISH_KEEP_OFF; /* even the operator's */
    senses[0].verdict = GB_VERDICT_BAD;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(an_objection_keeps_a_server_from_sleeping)
{
    fleet_setup(2);
    machines[0].wish = GB_WISH_KEEP_ON; /* else it would go in its place */
    senses[1].objects = true;
    tick_for(30 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    put(1, GB_ST_DRAINING);
    ck_assert_uint_eq(tick_for(30 * SEC, 1) & GB_ACT_ORDER_OFF, 0);
    senses[1].objects = false;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(in_flight_of_a_door_that_does_not_count_is_waited_for)
{
    fleet_setup(2);
    door_add(1, GB_NO_INDEX);
    doors[2].in_flight = 1;
    doors[2].counted = false;
    tick_for(30 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
}
END_TEST

/* ------------------------------------------------------------ several balancers */

static void share_setup(void)
{
    fleet_setup(2);
    fleet.pool_count = 2;
    door_add(0, 1);
    door_add(1, 1);
}

START_TEST(a_shared_machine_sleeps_when_all_its_balancers_agree)
{
    share_setup();
    doors[2].in_flight = 9; /* the second balancer has work */
    tick_for(60 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    doors[2].in_flight = 1;
    tick_for(60 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(a_shared_machine_wakes_when_any_balancer_wants_it)
{
    share_setup();
    put(1, GB_ST_ASLEEP);
    doors[2].in_flight = 9;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
}
END_TEST

START_TEST(a_balancer_that_is_off_lets_none_of_its_servers_sleep)
{
    share_setup();
    pools[1].mode = GB_MODE_OFF;
    tick_for(60 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    put(1, GB_ST_DRAINING);
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(a_machine_with_two_doors_gives_both_and_counts_once)
{
    fleet_setup(2);
    door_add(1, 0);
    tick();
    ck_assert_uint_eq(pools[0].tally.machines, 2);
    ck_assert_uint_eq(pools[0].capacity_awake, 30);
    tick_for(15 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_STOPPING);
    ck_assert_uint_eq(pools[0].capacity_awake, 10);
}
END_TEST

START_TEST(the_order_of_doors_does_not_matter)
{
    fleet_setup(4);
    doors[0].rank = 3; /* web3 is first in the order, web0 last */
    doors[1].rank = 2;
    doors[2].rank = 1;
    doors[3].rank = 0;
    tick_for(15 * SEC, 0);
    ck_assert_uint_eq(machines[3].state, GB_ST_ON);
    ck_assert_uint_eq(count_in(GB_ST_ON), 1);
}
END_TEST

START_TEST(a_door_that_fails_alone_gives_no_capacity)
{
    share_setup();
    doors[2].in_flight = 6;
    doors[3].verdict = GB_VERDICT_BAD; /* of web1, in the second balancer */
    tick();
    ck_assert_uint_eq(pools[1].capacity_awake, 10);
    doors[2].verdict = GB_VERDICT_BAD; /* and of web0: a wrong uri= */
    tick();
    ck_assert(pools[1].panic);
    ck_assert(!pools[0].panic);
    ck_assert(gb_fleet_panic_routes(&fleet, 2));
    ck_assert(!gb_fleet_panic_routes(&fleet, 0));
    tick_for(60 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

/* ------------------------------------------------------------ panic */

static void fell(uint32_t from, uint32_t to)
{
    for (; from < to; from++) {
        senses[from].verdict = GB_VERDICT_BAD;
    }
}

START_TEST(half_of_the_servers_failing_at_once_is_panic)
{
    fleet_setup(6);
    load(20);
    tick();
    fell(0, 3); /* half is not over half */
    tick();
    ck_assert(!pools[0].panic);
    fell(3, 4);
    tick();
    ck_assert(pools[0].panic);
    ck_assert_uint_eq(acts_of(0) | acts_of(1) | acts_of(2) | acts_of(3),
                      GB_ACT_TELL | GB_ACT_PANIC);
    ck_assert_uint_eq(actions[used - 1].pool, 0);
    ck_assert(strstr(pools[0].reason, "panic") != NULL);
    ck_assert(gb_fleet_panic_routes(&fleet, 0));
    tick();
    ck_assert_uint_eq(used, 0); /* told once */
}
END_TEST

START_TEST(failures_far_apart_are_no_panic)
{
    uint32_t i;

    fleet_setup(6);
    load(40);
    for (i = 0; i < 5; i++) {
        fell(i, i + 1);
        tick_for(11 * SEC, 0);
        ck_assert(!pools[0].panic);
    }
}
END_TEST

START_TEST(in_panic_nothing_is_switched_off)
{
    fleet_setup(6);
    put(5, GB_ST_DRAINING);
    doors[5].in_flight = 1;
    tick();
    ck_assert_uint_eq(machines[5].state, GB_ST_DRAINING);
    doors[5].in_flight = 0;
    fell(0, 4);
    tick();
    ck_assert(pools[0].panic);
    ck_assert_uint_eq(machines[5].state, GB_ST_ON);
    load(0);
    tick_for(120 * SEC, 4);
    ck_assert_uint_eq(count_in(GB_ST_ON), 2);
}
END_TEST

START_TEST(panic_ends_when_more_than_half_are_well_again)
{
    fleet_setup(4);
    fell(0, 3);
    tick();
    ck_assert(pools[0].panic);
    senses[0].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert(pools[0].panic); /* 2 of 4 */
    senses[1].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert(!pools[0].panic);
    tick();
    ck_assert(!pools[0].panic);
    ck_assert(!gb_fleet_panic_routes(&fleet, 2));
}
END_TEST

START_TEST(a_wrong_health_path_everywhere_takes_nothing_down)
{
    uint32_t i;

    fleet_setup(3);
    load(10);
    for (i = 0; i < 3; i++) {
        put(i, GB_ST_UNKNOWN);
        machines[i].flags |= GB_MF_HAS_BMC;
    }
    tick();
    for (i = 0; i < 3; i++) {
        ck_assert_uint_eq(machines[i].state, GB_ST_FAILED);
        ck_assert(gb_fleet_panic_routes(&fleet, i));
        senses[i].proof = GB_PROOF_POWERED;
    }
    tick_for(7200 * SEC, 0); /* not booted anew either */
    for (i = 0; i < 3; i++) {
        ck_assert_uint_eq(machines[i].state, GB_ST_FAILED);
        ck_assert(gb_fleet_panic_routes(&fleet, i));
    }
}
END_TEST

START_TEST(a_first_start_with_servers_asleep_is_no_panic)
{
    uint32_t i;

    fleet_setup(6);
    load(6);
    for (i = 0; i < 6; i++) {
        put(i, GB_ST_UNKNOWN);
        senses[i].verdict = i < 2 ? GB_VERDICT_GOOD : GB_VERDICT_BAD;
    }
    tick();
    ck_assert(!pools[0].panic);
    ck_assert_uint_eq(count_in(GB_ST_ON), 2);
    for (i = 2; i < 6; i++) {
        senses[i].proof = GB_PROOF_OFF;
    }
    tick();
    ck_assert_uint_eq(count_in(GB_ST_ASLEEP), 4);
}
END_TEST

START_TEST(with_everything_down_what_is_off_is_woken)
{
    uint32_t i;

    fleet_setup(3);
    for (i = 0; i < 3; i++) {
        put(i, GB_ST_FAILED);
    }
    senses[2].proof = GB_PROOF_OFF;
    tick();
    tick();
    ck_assert(pools[0].panic);
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING);
    ck_assert_uint_eq(machines[0].state, GB_ST_FAILED);
    ck_assert(!gb_fleet_panic_routes(&fleet, 2));
}
END_TEST

/* ------------------------------------------------------------ modes and commands */

START_TEST(observing_orders_nothing_and_says_what_it_would_do)
{
    uint32_t i;

    fleet_setup(4);
    pools[0].mode = GB_MODE_OBSERVE;
    for (i = 0; i < 4; i++) {
        machines[i].flags |= GB_MF_OBSERVED;
    }
    load(6);
    tick_for(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ON), 4);
    ck_assert_uint_eq(pools[0].wanted_servers, 1);
    ck_assert(strstr(pools[0].reason, "of those awake there would do: 1") != NULL);
}
END_TEST

START_TEST(a_pause_keeps_orders_back_until_it_ends)
{
    fleet_setup(3);
    put(1, GB_ST_STOPPING);
    put(2, GB_ST_DRAINING);
    doors[2].in_flight = 1;
    machines[1].deadline_at_us = now_us + TICK_US;
    senses[1].proof = GB_PROOF_NONE;
    fleet.paused = true;
    tick();
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    ck_assert_uint_eq(acts_of(1) & GB_ACT_ORDER_ON, 0);
    tick_for(30 * SEC, 2);
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    fleet.paused = false;
    tick();
    ck_assert_uint_eq(acts_of(1), GB_ACT_ORDER_ON);
    tick();
    ck_assert_uint_eq(acts_of(1), 0);
}
END_TEST

START_TEST(what_a_pause_kept_back_is_timed_from_its_order)
{
    fleet_setup(3);
    put(1, GB_ST_ASLEEP);
    put(2, GB_ST_ASLEEP);
    senses[1].proof = senses[2].proof = GB_PROOF_OFF;
    fleet.paused = true;
    tick();
    gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_WAKE, now_us, NULL);
    gb_fleet_event(&fleet, 2, GB_EV_OPERATOR_WAKE, now_us, NULL);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    ck_assert_int_eq(machines[1].wake_at_us, 0);
    /* No order, no failure, however long the pause is. */
    tick_for(3600 * SEC, 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    ck_assert_uint_eq(machines[1].failures, 0);
    senses[2].admin_held = true; /* the administrator's: nobody will order it */
    tick();
    ck_assert_int_ne(machines[2].deadline_at_us, GB_NEVER_US);
    fleet.paused = false;
    tick();
    ck_assert_uint_eq(acts_of(1), GB_ACT_ORDER_ON);
    ck_assert_uint_eq(acts_of(2), 0);
    ck_assert_int_eq(machines[1].wake_at_us, now_us);
    ck_assert_int_ne(machines[1].deadline_at_us, GB_NEVER_US);
    senses[1].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert(acts_of(1) & GB_ACT_LEARN_BOOT);
    ck_assert_int_eq(now_us - machines[1].wake_at_us, TICK_US);
}
END_TEST

START_TEST(a_machine_that_was_given_up_is_woken_a_few_at_a_time)
{
    uint32_t i;

    fleet_setup(12);
    pools[0].mode = GB_MODE_OFF;
    for (i = 0; i < 12; i++) {
        machines[i].flags &= ~GB_MF_MANAGED;
        put(i, i < 2 ? GB_ST_ON : GB_ST_ASLEEP);
    }
    tick_for(SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 8);
    senses[2].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 8);
}
END_TEST

START_TEST(the_operators_sleep_is_refused_at_the_floor)
{
    gb_action_t action;

    fleet_setup(3);
    pools[0].min_awake = 2;
    load(25); /* not for the load's sake: that is the operator's choice */
    tick();
    action = gb_fleet_event(&fleet, 2, GB_EV_OPERATOR_SLEEP, now_us, NULL);
    ck_assert_uint_eq(action.acts & GB_ACT_REFUSED, 0);
    ck_assert_uint_eq(machines[2].state, GB_ST_DRAINING);
    action = gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_SLEEP, now_us, NULL);
    ck_assert_uint_eq(action.acts, GB_ACT_REFUSED);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    ck_assert_uint_eq(machines[1].wish, GB_WISH_AUTO);
    ck_assert(strstr(action.reason, "min=") != NULL);
    tick_for(SEC, 2);
    ck_assert_uint_eq(machines[2].state, GB_ST_STOPPING);
}
END_TEST

START_TEST(commands_before_the_first_tick_are_safe)
{
    gb_action_t action;

    fleet_setup(2);
    action = gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_SLEEP, now_us, NULL);
    ck_assert_uint_eq(action.acts, GB_ACT_REFUSED);
    action = gb_fleet_event(&fleet, 99, GB_EV_OPERATOR_WAKE, now_us, NULL);
    ck_assert_uint_eq(action.acts, GB_ACT_REFUSED);
}
END_TEST

START_TEST(a_server_kept_off_is_not_woken)
{
    fleet_setup(2);
    put(1, GB_ST_ASLEEP);
    machines[1].wish = GB_WISH_KEEP_OFF;
    load(50);
    tick_for(30 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ASLEEP);
    ck_assert(strstr(pools[0].reason, "no more can be woken") != NULL);
    gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_AUTO, now_us, NULL);
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
}
END_TEST

START_TEST(a_server_kept_on_is_woken_and_stays)
{
    gb_action_t action;

    fleet_setup(2);
    put(1, GB_ST_ASLEEP);
    tick();
    action = gb_fleet_event(&fleet, 1, GB_EV_OPERATOR_WAKE, now_us, NULL);
    ck_assert_uint_eq(action.acts, GB_ACT_ORDER_ON);
    ck_assert_uint_eq(action.to, GB_ST_WAKING);
    senses[1].verdict = GB_VERDICT_GOOD;
    tick_for(60 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(the_administrators_bits_take_a_server_out)
{
    fleet_setup(3);
    load(9);
    put(2, GB_ST_ASLEEP);
    doors[1].counted = false;
    senses[1].admin_held = true;
    tick();
    ck_assert(machines[1].flags & GB_MF_ADMIN_HELD);
    ck_assert_uint_eq(pools[0].capacity_awake, 10);
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING); /* in its place */
    load(0);
    ck_assert_uint_eq(tick_for(120 * SEC, 1), 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    senses[1].admin_held = false;
    tick();
    ck_assert(!(machines[1].flags & GB_MF_ADMIN_HELD));
}
END_TEST

START_TEST(what_does_not_fit_comes_later)
{
    uint32_t i;

    fleet_setup(6);
    load(50);
    for (i = 1; i < 6; i++) {
        put(i, GB_ST_ASLEEP);
    }
    for (i = 1; i < 6; i++) {
        now_us += TICK_US;
        ck_assert_uint_eq(gb_fleet_tick(&fleet, now_us, actions, 0), 0);
        ck_assert_uint_eq(count_in(GB_ST_WAKING), i - 1);
        now_us += TICK_US;
        ck_assert_uint_eq(gb_fleet_tick(&fleet, now_us, actions, 1), 1);
        ck_assert_uint_eq(count_in(GB_ST_WAKING), i);
    }
}
END_TEST

START_TEST(a_machine_found_powered_is_adopted)
{
    fleet_setup(2);
    load(1);
    put(1, GB_ST_ASLEEP);
    senses[1].proof = GB_PROOF_POWERED;
    tick();
    ck_assert_uint_eq(acts_of(1), GB_ACT_TELL);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    senses[1].verdict = GB_VERDICT_GOOD;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(a_machine_that_lost_its_power_is_replaced_or_woken)
{
    fleet_setup(2);
    load(12);
    tick();
    senses[1].verdict = GB_VERDICT_BAD;
    senses[1].unpowered = true;
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_ASLEEP);
    senses[1].unpowered = false;
    tick_for(6 * SEC, 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
}
END_TEST

START_TEST(a_used_up_ladder_is_told_with_its_reason)
{
    fleet_setup(2);
    put(1, GB_ST_WAKING);
    machines[1].wake_at_us = now_us;
    senses[1].exhausted = true;
    senses[1].why = "ipmi: the password is refused";
    tick();
    ck_assert_uint_eq(machines[1].state, GB_ST_FAILED);
    ck_assert_str_eq(machines[1].last_error, "ipmi: the password is refused");
    ck_assert_str_eq(actions[0].reason, "ipmi: the password is refused");
    ck_assert_uint_ne(acts_of(1) & GB_ACT_TELL, 0);
    senses[1].exhausted = false;
    ck_assert_uint_eq(tick_for(590 * SEC, 1), 0);
    ck_assert_uint_ne(tick_for(20 * SEC, 1) & GB_ACT_ORDER_ON, 0);
}
END_TEST

START_TEST(no_door_no_pool_no_machine_is_no_crash)
{
    fleet_setup(2);
    doors[0].machine = 77;
    doors[1].balancer = 77;
    tick();
    ck_assert_uint_eq(pools[0].tally.machines, 0);
    ck_assert(!gb_fleet_panic_routes(&fleet, 0));
    ck_assert(!gb_fleet_panic_routes(&fleet, 99));
    fleet.door_count = fleet.machine_count = fleet.pool_count = 0;
    tick();
    ck_assert_uint_eq(used, 0);
}
END_TEST

Suite *gb_fleet_suite(void);

Suite *gb_fleet_suite(void)
{
    Suite *suite = suite_create("gb_fleet");
    TCase *tcase = tcase_create("rules");

    tcase_add_test(tcase, servers_that_are_not_needed_go_to_sleep_from_the_last);
    tcase_add_test(tcase, what_stays_has_room_below_the_wake_threshold);
    tcase_add_test(tcase, min_awake_stays_without_any_load);
    tcase_add_test(tcase, spare_servers_stay_beyond_the_need);
    tcase_add_test(tcase, load_wakes_the_first_in_the_order);
    tcase_add_test(tcase, never_more_wake_than_may_at_once);
    tcase_add_test(tcase, a_failed_server_is_replaced);
    tcase_add_test(tcase, a_short_dwell_asleep_yields_to_the_floor_only);
    tcase_add_test(tcase, sleepers_come_before_failed_ones_that_are_off);
    tcase_add_test(tcase, scale_to_zero_sleeps_and_wakes_without_panic);
    tcase_add_test(tcase, work_in_flight_is_waited_for);
    tcase_add_test(tcase, an_order_off_waits_a_tick_for_the_gate);
    tcase_add_test(tcase, a_command_between_ticks_waits_for_the_tick_after_the_next);
    tcase_add_test(tcase, a_drain_that_takes_too_long_is_called_off);
    tcase_add_test(tcase, what_drains_is_taken_back_before_anything_is_woken);
    tcase_add_test(tcase, what_drains_is_taken_back_for_the_floor);
    tcase_add_test(tcase, an_objection_keeps_a_server_from_sleeping);
    tcase_add_test(tcase, in_flight_of_a_door_that_does_not_count_is_waited_for);
    tcase_add_test(tcase, a_shared_machine_sleeps_when_all_its_balancers_agree);
    tcase_add_test(tcase, a_shared_machine_wakes_when_any_balancer_wants_it);
    tcase_add_test(tcase, a_balancer_that_is_off_lets_none_of_its_servers_sleep);
    tcase_add_test(tcase, a_machine_with_two_doors_gives_both_and_counts_once);
    tcase_add_test(tcase, the_order_of_doors_does_not_matter);
    tcase_add_test(tcase, a_door_that_fails_alone_gives_no_capacity);
    tcase_add_test(tcase, half_of_the_servers_failing_at_once_is_panic);
    tcase_add_test(tcase, failures_far_apart_are_no_panic);
    tcase_add_test(tcase, in_panic_nothing_is_switched_off);
    tcase_add_test(tcase, panic_ends_when_more_than_half_are_well_again);
    tcase_add_test(tcase, a_wrong_health_path_everywhere_takes_nothing_down);
    tcase_add_test(tcase, a_first_start_with_servers_asleep_is_no_panic);
    tcase_add_test(tcase, with_everything_down_what_is_off_is_woken);
    tcase_add_test(tcase, observing_orders_nothing_and_says_what_it_would_do);
    tcase_add_test(tcase, a_pause_keeps_orders_back_until_it_ends);
    tcase_add_test(tcase, what_a_pause_kept_back_is_timed_from_its_order);
    tcase_add_test(tcase, a_machine_that_was_given_up_is_woken_a_few_at_a_time);
    tcase_add_test(tcase, the_operators_sleep_is_refused_at_the_floor);
    tcase_add_test(tcase, commands_before_the_first_tick_are_safe);
    tcase_add_test(tcase, a_server_kept_off_is_not_woken);
    tcase_add_test(tcase, a_server_kept_on_is_woken_and_stays);
    tcase_add_test(tcase, the_administrators_bits_take_a_server_out);
    tcase_add_test(tcase, what_does_not_fit_comes_later);
    tcase_add_test(tcase, a_machine_found_powered_is_adopted);
    tcase_add_test(tcase, a_machine_that_lost_its_power_is_replaced_or_woken);
    tcase_add_test(tcase, a_used_up_ladder_is_told_with_its_reason);
    tcase_add_test(tcase, no_door_no_pool_no_machine_is_no_crash);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
