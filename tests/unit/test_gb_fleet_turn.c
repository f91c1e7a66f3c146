/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_turn.c - whose turn it is: watts, boot times, dwell, cycles and wear in
 * fleets of unlike and of equal machines.
 */
#define MOST 12
#include "one_pool.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOUR (3600 * SEC)

/* `count` equal machines of capacity 10, the first `on` of them on, the rest asleep. */
static void setup(uint32_t count, uint32_t on)
{
    one_pool_setup(count, on, 10, 30 * SEC, 1000 * HOUR);
}

static void tick(void)
{
    now_us += TICK_US;
    used = gb_fleet_tick(&fleet, now_us, actions, ROOM);
}

/* The first machine that comes into the state within so long; GB_NO_INDEX: none does.
 */
static uint32_t first_to(gb_state_e state, int64_t within_us)
{
    int64_t until_us = now_us + within_us;

    while (now_us < until_us) {
        tick();
        for (uint32_t i = 0; i < used; i++) {
            if (actions[i].to == (uint32_t)state &&
                actions[i].from != (uint32_t)state) {
                return actions[i].machine;
            }
        }
    }
    return GB_NO_INDEX;
}

/* All of them, in their order; returns how many. */
static uint32_t all_to(gb_state_e state, int64_t within_us, uint32_t order[MOST])
{
    int64_t until_us = now_us + within_us;
    uint32_t count = 0;

    while (now_us < until_us) {
        tick();
        for (uint32_t i = 0; i < used && count < MOST; i++) {
            if (actions[i].to == (uint32_t)state &&
                actions[i].from != (uint32_t)state) {
                order[count++] = actions[i].machine;
            }
        }
    }
    return count;
}

static void load(uint32_t in_flight)
{
    for (uint32_t i = 0; i < fleet.door_count; i++) {
        doors[i].in_flight = 0;
    }
    for (uint32_t i = 0; i < fleet.door_count; i++) {
        if (gb_state_takes_new(&machines[doors[i].machine])) {
            doors[i].in_flight = in_flight;
            return;
        }
    }
}

static void watts(uint32_t m, double idle, double peak)
{
    gb_curve_t curve = {.off_watts = 5};

    gb_curve_linear(&curve, idle, peak);
    gb_fleet_door_watts(&doors[m], &curve);
}

/* So many sleeps today. */
static void wear(uint32_t m, uint32_t today, uint64_t in_all)
{
    for (uint32_t i = 0; i < today; i++) {
        machines[m].cycle_at_us[i] = now_us - HOUR - (int64_t)i;
    }
    machines[m].cycle_next = today;
    machines[m].sleeps = in_all;
}

static void booted_in(uint32_t m, int64_t took_us)
{
    for (int i = 0; i < 10; i++) {
        gb_boot_learn(&machines[m].boot, took_us);
    }
}

/* ------------------------------------------------------------ waking */

START_TEST(equals_are_woken_by_their_place)
{
    uint32_t order[MOST];

    setup(4, 1);
    load(28);
    ck_assert_uint_eq(all_to(GB_ST_WAKING, SEC, order), 3);
    ck_assert_uint_eq(order[0], 1);
    ck_assert_uint_eq(order[1], 2);
    ck_assert_uint_eq(order[2], 3);
}
END_TEST

START_TEST(the_thriftiest_is_woken_first_wherever_it_stands)
{
    uint32_t order[MOST];

    setup(4, 1);
    watts(0, 100, 200);
    watts(1, 100, 220);
    watts(2, 100, 180);
    watts(3, 50, 100);
    load(28);
    ck_assert_uint_eq(all_to(GB_ST_WAKING, SEC, order), 3);
    ck_assert_uint_eq(order[0], 3);
    ck_assert_uint_eq(order[1], 2);
    ck_assert_uint_eq(order[2], 1);
}
END_TEST

START_TEST(a_lower_lbset_comes_before_watts)
{
    setup(3, 1);
    watts(0, 100, 200);
    watts(1, 100, 220);
    watts(2, 50, 100);
    doors[2].lbset = 1;
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 1);
    setup(3, 3);
    doors[1].lbset = 1; /* and sleeps first */
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 60 * SEC), 1);
}
END_TEST

START_TEST(of_equal_watts_the_quick_one_is_woken)
{
    setup(3, 1);
    booted_in(1, 90 * SEC);
    booted_in(2, 20 * SEC);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 2);
}
END_TEST

START_TEST(boot_times_that_are_nearly_the_same_are_the_same)
{
    setup(3, 1);
    booted_in(1, 28 * SEC);
    booted_in(2, 20 * SEC);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 1);
}
END_TEST

/* A few seconds are as good as one. */
START_TEST(boot_times_of_some_seconds_are_the_same)
{
    setup(3, 1);
    booted_in(1, 14 * SEC);
    booted_in(2, SEC);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 1);
    setup(3, 1);
    booted_in(1, 17 * SEC);
    booted_in(2, SEC);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 2);
}
END_TEST

START_TEST(the_quickest_comes_first_when_somebody_waits)
{
    setup(3, 1);
    watts(0, 100, 200);
    watts(1, 50, 100);
    watts(2, 100, 220);
    booted_in(1, 90 * SEC);
    booted_in(2, 20 * SEC);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 1); /* the thrifty one */
    put(1, GB_ST_ASLEEP);
    pool.waiting = 5;
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 2);
}
END_TEST

START_TEST(the_quickest_comes_first_in_panic)
{
    setup(3, 1);
    booted_in(1, 90 * SEC);
    booted_in(2, 20 * SEC);
    watts(1, 50, 100);
    watts(2, 100, 200);
    senses[0].verdict = GB_VERDICT_BAD; /* nobody is left */
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 2);
    ck_assert(pool.panic);
}
END_TEST

START_TEST(the_one_with_most_cycles_left_is_woken)
{
    setup(4, 1);
    wear(1, 3, 3);
    wear(2, 1, 900);
    wear(3, 1, 899);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 3);
    setup(3, 1);
    wear(1, 3, 3); /* of 24 */
    wear(2, 4, 4); /* of 30: more left */
    rules[2].cycles_per_day = 30;
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, SEC), 2);
}
END_TEST

/* Cycles of yesterday are no cycles of today, also while it sleeps on. */
START_TEST(cycles_grow_old)
{
    setup(3, 1);
    wear(1, 3, 3);
    wear(2, 1, 9);
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, 10 * SEC), 2);
    setup(3, 1);
    wear(1, 3, 3);
    wear(2, 1, 9);
    tick();
    now_us += 24 * HOUR;
    load(12);
    ck_assert_uint_eq(first_to(GB_ST_WAKING, 10 * SEC), 1); /* fewer in all */
}
END_TEST

/* ------------------------------------------------------------ sleeping */

START_TEST(the_most_wasteful_sleeps_first_wherever_it_stands)
{
    uint32_t order[MOST];

    setup(4, 4);
    watts(0, 100, 200);
    watts(1, 100, 220);
    watts(2, 50, 100);
    watts(3, 100, 180);
    load(1);
    ck_assert_uint_eq(all_to(GB_ST_DRAINING, 60 * SEC, order), 3);
    ck_assert_uint_eq(order[0], 1);
    ck_assert_uint_eq(order[1], 0);
    ck_assert_uint_eq(order[2], 3);
}
END_TEST

/* What sleeps is back soonest then. */
START_TEST(of_equal_watts_the_quick_one_sleeps)
{
    setup(3, 3);
    booted_in(0, 90 * SEC);
    booted_in(1, 20 * SEC);
    booted_in(2, 90 * SEC);
    load(8);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 60 * SEC), 1);
}
END_TEST

START_TEST(the_one_with_fewest_cycles_sleeps)
{
    setup(3, 3);
    wear(0, 2, 2);
    wear(1, 1, 1);
    wear(2, 2, 2);
    load(8);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 60 * SEC), 1);
    setup(3, 3);
    wear(2, 24, 24); /* used up: it stays, whatever it draws */
    watts(0, 50, 100);
    watts(1, 50, 100);
    watts(2, 100, 200);
    load(8);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 60 * SEC), 1);
}
END_TEST

START_TEST(among_equals_one_that_may_go_goes_before_one_that_may_not_yet)
{
    setup(2, 2);
    tick();
    now_us += 60 * SEC;
    machines[1].entered_at_us = now_us + 15 * SEC;
    rules[1].awake_dwell_us = 3600 * SEC;
    load(1);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 120 * SEC), 0);
}
END_TEST

START_TEST(equals_that_came_together_go_by_their_order)
{
    setup(2, 2);
    tick();
    machines[1].entered_at_us = machines[0].entered_at_us + GB_US_PER_S;
    load(1);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 120 * SEC), 1);
}
END_TEST

START_TEST(a_wasteful_one_that_may_not_go_yet_is_waited_for)
{
    setup(2, 2);
    watts(0, 50, 100);
    watts(1, 100, 200);
    rules[1].awake_dwell_us = 3600 * SEC;
    load(1);
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 600 * SEC), GB_NO_INDEX);
    rules[1].awake_dwell_us = 60 * SEC;
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 600 * SEC), 1);
}
END_TEST

/* One that the load does not let go is not waited for. */
START_TEST(one_that_is_too_large_to_go_keeps_nobody_awake)
{
    setup(3, 3);
    watts(0, 50, 100);
    watts(1, 50, 100);
    doors[2].capacity = 40;
    watts(2, 1000, 2000);
    rules[2].awake_dwell_us = HOUR;
    load(15); /* held 15: 30 down, 24 have to stay: 60 - 40 does not do */
    ck_assert_uint_eq(first_to(GB_ST_DRAINING, 120 * SEC), 1);
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
}
END_TEST

/* ------------------------------------------------------------ wear */

/* Hosts that obey at once: what stops is off with the next tick, what wakes is on after
 * its boot time. */
static void obey(int64_t boot_us)
{
    for (uint32_t m = 0; m < fleet.machine_count; m++) {
        const gb_machine_t *machine = &machines[m];
        bool booted = machine->state == GB_ST_WAKING &&
                      now_us - machine->entered_at_us >= boot_us;

        senses[m].verdict =
            machine->state == GB_ST_ON || booted ? GB_VERDICT_GOOD : GB_VERDICT_NONE;
        senses[m].proof =
            machine->state == GB_ST_STOPPING || machine->state == GB_ST_ASLEEP
                ? GB_PROOF_OFF
                : GB_PROOF_NONE;
    }
}

static void live(int64_t span_us, uint32_t in_flight)
{
    int64_t until_us = now_us + span_us;

    while (now_us < until_us) {
        load(in_flight);
        obey(2 * SEC);
        now_us += SEC - TICK_US;
        tick();
    }
}

static uint64_t sleeps_in_all(uint64_t *least, uint64_t *most)
{
    uint64_t sum = 0;

    *least = UINT64_MAX;
    *most = 0;
    for (uint32_t m = 0; m < fleet.machine_count; m++) {
        uint64_t sleeps = machines[m].sleeps;

        *least = sleeps < *least ? sleeps : *least;
        *most = sleeps > *most ? sleeps : *most;
        sum += sleeps;
    }
    return sum;
}

static uint64_t dice;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 11) % below);
}

static void seed_dice(const char *test)
{
    const char *given = getenv("GB_SEED");

    dice = given ? strtoull(given, NULL, 0) : ((uint64_t)time(NULL) * 2654435761u) | 1;
    dice = dice ? dice : 1;
    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)dice);
    fflush(stdout);
}

/* A load that comes and goes between two servers and any number of them: after a
 * thousand cycles nobody has made more than two more than any other. */
START_TEST(wear_is_spread_over_equals)
{
    uint64_t least, most;

    seed_dice("wear_is_spread_over_equals");
    setup(8, 8);
    for (uint32_t m = 0; m < 8; m++) {
        rules[m].cycles_per_day = GB_CYCLES_KEPT;
    }
    while (sleeps_in_all(&least, &most) < 1000) {
        live(60 * SEC, 10 + roll(50));
        live(60 * SEC, 1 + roll(9));
        now_us += (int64_t)roll(30) * 60 * SEC;
    }
    ck_assert_msg(most - least <= 2, "from %llu to %llu", (unsigned long long)least,
                  (unsigned long long)most);
}
END_TEST

/* With few cycles a day nobody is worn out while others have some left. */
START_TEST(cycles_of_a_day_are_used_evenly)
{
    uint64_t least, most;

    setup(4, 4);
    for (uint32_t m = 0; m < 4; m++) {
        rules[m].cycles_per_day = 3;
    }
    for (int i = 0; i < 60; i++) {
        live(60 * SEC, 30);
        live(60 * SEC, 1);
    }
    ck_assert_uint_eq(sleeps_in_all(&least, &most), 12);
    ck_assert_uint_eq(least, 3);
    ck_assert_uint_eq(most, 3);
}
END_TEST

/* Of two sorts the thrifty ones carry what they can; wear is spread within each. */
START_TEST(wear_never_beats_watts)
{
    setup(6, 6);
    for (uint32_t m = 0; m < 6; m++) {
        watts(m, m % 2 ? 100 : 50, m % 2 ? 200 : 100);
        rules[m].cycles_per_day = GB_CYCLES_KEPT;
    }
    for (int i = 0; i < 40; i++) {
        live(60 * SEC, 36);
        for (uint32_t m = 0; m < 6; m += 2) {
            ck_assert_uint_eq(machines[m].state, GB_ST_ON);
        }
        live(60 * SEC, 16);
        for (uint32_t m = 0; m < 6; m += 2) {
            ck_assert_uint_eq(machines[m].state, GB_ST_ON);
        }
        now_us += 1800 * SEC;
    }
    ck_assert_uint_eq(machines[0].sleeps + machines[2].sleeps + machines[4].sleeps, 0);
    ck_assert_uint_ge(machines[1].sleeps, 10);
    ck_assert_uint_le(machines[1].sleeps, machines[3].sleeps + 2);
    ck_assert_uint_le(machines[3].sleeps, machines[5].sleeps + 2);
    ck_assert_uint_le(machines[5].sleeps, machines[1].sleeps + 2);
}
END_TEST

START_TEST(the_same_past_gives_the_same_choice)
{
    uint32_t order[2][MOST];

    for (int run = 0; run < 2; run++) {
        setup(8, 3);
        for (uint32_t m = 0; m < 8; m++) {
            wear(m, m % 3, m % 3);
            booted_in(m, (20 + (int64_t)(m * 7) % 5) * SEC);
            watts(m, 100, 200 + m / 3);
        }
        memset(order[run], 0, sizeof order[run]);
        load(50);
        ck_assert_uint_eq(all_to(GB_ST_WAKING, 3 * SEC, order[run]), 4);
    }
    ck_assert_mem_eq(order[0], order[1], sizeof order[0]);
}
END_TEST

Suite *gb_fleet_turn_suite(void);
Suite *gb_fleet_turn_suite(void)
{
    Suite *suite = suite_create("gb_fleet_turn");
    TCase *wakes = tcase_create("wakes"), *sleeps = tcase_create("sleeps");
    TCase *worn = tcase_create("wear");

    tcase_add_test(wakes, equals_are_woken_by_their_place);
    tcase_add_test(wakes, the_thriftiest_is_woken_first_wherever_it_stands);
    tcase_add_test(wakes, a_lower_lbset_comes_before_watts);
    tcase_add_test(wakes, of_equal_watts_the_quick_one_is_woken);
    tcase_add_test(wakes, boot_times_that_are_nearly_the_same_are_the_same);
    tcase_add_test(wakes, boot_times_of_some_seconds_are_the_same);
    tcase_add_test(wakes, the_quickest_comes_first_when_somebody_waits);
    tcase_add_test(wakes, the_quickest_comes_first_in_panic);
    tcase_add_test(wakes, the_one_with_most_cycles_left_is_woken);
    tcase_add_test(wakes, cycles_grow_old);
    tcase_add_test(sleeps, the_most_wasteful_sleeps_first_wherever_it_stands);
    tcase_add_test(sleeps, of_equal_watts_the_quick_one_sleeps);
    tcase_add_test(sleeps, the_one_with_fewest_cycles_sleeps);
    tcase_add_test(sleeps,
                   among_equals_one_that_may_go_goes_before_one_that_may_not_yet);
    tcase_add_test(sleeps, equals_that_came_together_go_by_their_order);
    tcase_add_test(sleeps, a_wasteful_one_that_may_not_go_yet_is_waited_for);
    tcase_add_test(sleeps, one_that_is_too_large_to_go_keeps_nobody_awake);
    tcase_add_test(worn, wear_is_spread_over_equals);
    tcase_add_test(worn, cycles_of_a_day_are_used_evenly);
    tcase_add_test(worn, wear_never_beats_watts);
    tcase_add_test(worn, the_same_past_gives_the_same_choice);
    suite_add_tcase(suite, wakes);
    suite_add_tcase(suite, sleeps);
    suite_add_tcase(suite, worn);
    return suite;
}
