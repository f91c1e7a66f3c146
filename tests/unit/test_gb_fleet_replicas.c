/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_replicas.c - servers that have to catch up before they take requests,
 * and those that something else than the load wants awake.
 */
#define MOST 8
#include "one_pool.h"

#include <check.h>

static uint32_t tick(void)
{
    uint32_t orders = 0;

    now_us += TICK_US;
    used = gb_fleet_tick(&fleet, now_us, actions, ROOM);
    for (uint32_t i = 0; i < used; i++) {
        orders += (actions[i].acts & GB_ACT_ORDER_ON) != 0;
    }
    return orders;
}

static uint32_t ticks(uint32_t count)
{
    uint32_t orders = 0;

    while (count--) {
        orders += tick();
    }
    return orders;
}

/* What the tick said of machine m, or NULL. */
static const gb_action_t *said_of(uint32_t m)
{
    for (uint32_t i = 0; i < used; i++) {
        if (actions[i].machine == m) {
            return &actions[i];
        }
    }
    return NULL;
}

static void wakes_up(uint32_t m)
{
    senses[m].verdict = GB_VERDICT_GOOD;
    senses[m].proof = GB_PROOF_NONE;
    doors[m].catches_up = true;
    tick();
    ck_assert_uint_eq(machines[m].state, GB_ST_ON);
}

START_TEST(one_that_catches_up_is_coming_and_wakes_no_other)
{
    one_pool_setup(4, 1, 16, 40 * SEC, 100000 * SEC);
    doors[0].in_flight = 15;
    ck_assert_uint_eq(ticks(20), 1);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    wakes_up(1);
    ck_assert_uint_eq(ticks(600), 0);
    ck_assert_uint_eq(pool.tally.awake, 1);
    ck_assert_uint_eq(pool.tally.coming, 1);
    ck_assert_uint_eq(pool.tally.behind, 1);
    ck_assert_uint_eq(pool.capacity_awake, 16);
    doors[1].catches_up = false;
    ck_assert_uint_eq(ticks(10), 0);
    ck_assert_uint_eq(pool.tally.awake, 2);
    ck_assert_uint_eq(pool.capacity_awake, 32);
}
END_TEST

START_TEST(nobody_sleeps_on_the_strength_of_one_that_catches_up)
{
    one_pool_setup(2, 2, 16, 40 * SEC, 100000 * SEC);
    doors[1].catches_up = true;
    ticks(600);
    ck_assert_uint_eq(machines[0].state, GB_ST_ON);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    doors[1].catches_up = false;
    ticks(600);
    ck_assert_uint_ne(machines[1].state, GB_ST_ON);
}
END_TEST

/* A large one drains and lags; it is taken back, and nobody goes before it serves. */
START_TEST(one_that_is_taken_back_has_to_catch_up_first)
{
    one_pool_setup(3, 3, 16, 40 * SEC, 100000 * SEC);
    put(2, GB_ST_DRAINING);
    senses[2].verdict = GB_VERDICT_GOOD;
    doors[2].capacity = 64;
    doors[2].catches_up = true;
    doors[0].in_flight = 16;
    doors[1].in_flight = 10;
    doors[2].in_flight = 1;
    ck_assert_uint_eq(tick(), 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    ck_assert_uint_eq(pool.tally.behind, 1);
    ck_assert_uint_eq(pool.tally.draining, 0);
    ck_assert_uint_eq(pool.capacity_awake, 32);
    ticks(600);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    doors[2].catches_up = false;
    ck_assert_uint_eq(ticks(10), 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_DRAINING);
}
END_TEST

START_TEST(all_that_catch_up_are_no_panic)
{
    one_pool_setup(3, 3, 16, 40 * SEC, 100000 * SEC);
    for (uint32_t i = 0; i < 3; i++) {
        doors[i].catches_up = true;
        senses[i].catch_up_us = (3 + i) * SEC;
    }
    ticks(5);
    ck_assert(!pool.panic);
    ck_assert(!pool.hopeless);
    /* The first of them takes requests in 3 s. */
    ck_assert_int_eq(pool.ready_at_us, now_us + 3 * SEC);
    ck_assert_int_eq(pool.usual_boot_us, 3 * SEC);
}
END_TEST

START_TEST(the_operator_cannot_put_it_to_sleep_before)
{
    gb_action_t action;

    one_pool_setup(3, 3, 16, 40 * SEC, 100000 * SEC);
    doors[2].catches_up = true;
    tick();
    action = gb_fleet_event(&fleet, 2, GB_EV_OPERATOR_SLEEP, now_us, "he says so");
    ck_assert_uint_eq(action.acts, GB_ACT_REFUSED);
    ck_assert_ptr_nonnull(strstr(action.reason, "catches up"));
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    ck_assert_uint_eq(pool.tally.awake, 2);
}
END_TEST

/* Nor when he has just taken it back himself, before the next tick. */
START_TEST(the_operator_cannot_change_his_mind_twice)
{
    gb_action_t action;

    one_pool_setup(3, 3, 16, 40 * SEC, 100000 * SEC);
    put(2, GB_ST_DRAINING);
    machines[2].wish = GB_WISH_KEEP_OFF;
    senses[2].verdict = GB_VERDICT_GOOD;
    doors[2].catches_up = true;
    doors[2].in_flight = 1;
    tick();
    ck_assert_uint_eq(machines[2].state, GB_ST_DRAINING);
    action = gb_fleet_event(&fleet, 2, GB_EV_OPERATOR_WAKE, now_us, "he says so");
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
    action = gb_fleet_event(&fleet, 2, GB_EV_OPERATOR_SLEEP, now_us, "no, he does not");
    ck_assert_uint_eq(action.acts, GB_ACT_REFUSED);
    ck_assert_ptr_nonnull(strstr(action.reason, "catches up"));
    ck_assert_uint_eq(machines[2].state, GB_ST_ON);
}
END_TEST

START_TEST(what_is_to_catch_up_counts_with_the_boot)
{
    one_pool_setup(2, 1, 16, 40 * SEC, 100000 * SEC);
    tick();
    ck_assert_int_eq(pool.ahead_us, 40 * SEC);
    senses[1].catch_up_us = 25 * SEC;
    tick();
    ck_assert_int_eq(pool.ahead_us, 65 * SEC);
}
END_TEST

START_TEST(who_waits_is_told_of_both)
{
    one_pool_setup(1, 0, 16, 40 * SEC, 100000 * SEC);
    pool.min_awake = 0;
    pool.waiting = 1;
    senses[0].catch_up_us = 20 * SEC;
    ck_assert_uint_eq(ticks(1), 1);
    tick();
    ck_assert_int_eq(pool.ready_at_us, machines[0].wake_at_us + 60 * SEC);
    ck_assert_int_eq(pool.usual_boot_us, 60 * SEC);
}
END_TEST

/* Of two that boot alike, the one with little to catch up with is woken first. */
START_TEST(who_has_less_to_catch_up_with_goes_first)
{
    one_pool_setup(3, 1, 16, 40 * SEC, 100000 * SEC);
    senses[1].catch_up_us = 600 * SEC;
    pool.min_awake = 2;
    ck_assert_uint_eq(ticks(5), 1);
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING);
}
END_TEST

START_TEST(one_that_never_catches_up_is_no_overflow)
{
    one_pool_setup(1, 0, 16, 40 * SEC, 100000 * SEC);
    pool.min_awake = 0;
    senses[0].catch_up_us = GB_NEVER_US;
    tick();
    ck_assert(!pool.hopeless);
    ck_assert_int_lt(pool.ahead_us, 2 * 86400 * SEC);
}
END_TEST

START_TEST(one_that_is_wanted_is_woken_and_stays)
{
    one_pool_setup(2, 1, 16, 40 * SEC, 100000 * SEC);
    ck_assert_uint_eq(ticks(20), 0);
    senses[1].wanted = true;
    senses[1].wanted_why = "512 writes wait for it";
    ck_assert_uint_eq(tick(), 1);
    ck_assert_str_eq(said_of(1)->reason, "512 writes wait for it");
    ck_assert_uint_eq(machines[1].wish, GB_WISH_AUTO);
    wakes_up(1);
    ticks(600);
    doors[1].catches_up = false;
    ticks(600);
    ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    senses[1].wanted = false;
    ticks(3);
    ck_assert(machines[0].state != GB_ST_ON || machines[1].state != GB_ST_ON);
}
END_TEST

START_TEST(the_operators_keep_off_wins)
{
    one_pool_setup(2, 1, 16, 40 * SEC, 100000 * SEC);
    machines[1].wish = GB_WISH_KEEP_OFF;
    senses[1].wanted = true;
    ck_assert_uint_eq(ticks(600), 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_ASLEEP);
    machines[1].wish = GB_WISH_AUTO;
    ck_assert_uint_eq(tick(), 1);
}
END_TEST

START_TEST(wanted_ones_wake_a_few_at_a_time)
{
    one_pool_setup(6, 1, 16, 40 * SEC, 100000 * SEC);
    pool.wakes_at_once = 2;
    for (uint32_t i = 1; i < 6; i++) {
        senses[i].wanted = true;
    }
    ck_assert_uint_eq(ticks(20), 2);
}
END_TEST

START_TEST(a_pause_holds_for_them_too)
{
    one_pool_setup(2, 1, 16, 40 * SEC, 100000 * SEC);
    fleet.paused = true;
    senses[1].wanted = true;
    ck_assert_uint_eq(ticks(20), 0);
    ck_assert_uint_eq(machines[1].state, GB_ST_ASLEEP);
    fleet.paused = false;
}
END_TEST

/* Two doors of one machine, one of which catches up: it gives nothing yet. */
START_TEST(a_machine_waits_for_all_of_its_doors)
{
    one_pool_setup(2, 2, 16, 40 * SEC, 100000 * SEC);
    fleet.door_count = 3;
    doors[2] = doors[1];
    doors[2].rank = 2;
    doors[2].catches_up = true;
    tick();
    ck_assert_uint_eq(pool.tally.awake, 1);
    ck_assert_uint_eq(pool.capacity_awake, 16);
    ck_assert_uint_eq(pool.tally.capacity_coming, 32);
    doors[2].catches_up = false;
    tick();
    ck_assert_uint_eq(pool.capacity_awake, 48);
}
END_TEST

Suite *gb_fleet_replicas_suite(void);
Suite *gb_fleet_replicas_suite(void)
{
    Suite *suite = suite_create("gb_fleet_replicas");
    TCase *behind = tcase_create("behind"), *wanted = tcase_create("wanted");

    tcase_add_test(behind, one_that_catches_up_is_coming_and_wakes_no_other);
    tcase_add_test(behind, nobody_sleeps_on_the_strength_of_one_that_catches_up);
    tcase_add_test(behind, one_that_is_taken_back_has_to_catch_up_first);
    tcase_add_test(behind, all_that_catch_up_are_no_panic);
    tcase_add_test(behind, the_operator_cannot_put_it_to_sleep_before);
    tcase_add_test(behind, the_operator_cannot_change_his_mind_twice);
    tcase_add_test(behind, what_is_to_catch_up_counts_with_the_boot);
    tcase_add_test(behind, who_waits_is_told_of_both);
    tcase_add_test(behind, who_has_less_to_catch_up_with_goes_first);
    tcase_add_test(behind, one_that_never_catches_up_is_no_overflow);
    tcase_add_test(behind, a_machine_waits_for_all_of_its_doors);
    suite_add_tcase(suite, behind);
    tcase_add_test(wanted, one_that_is_wanted_is_woken_and_stays);
    tcase_add_test(wanted, the_operators_keep_off_wins);
    tcase_add_test(wanted, wanted_ones_wake_a_few_at_a_time);
    tcase_add_test(wanted, a_pause_holds_for_them_too);
    suite_add_tcase(suite, wanted);
    return suite;
}
