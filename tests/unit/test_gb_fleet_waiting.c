/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_waiting.c - requests that wait: whom they wake, and what they may
 * expect.
 */
#define MOST 12
#include "one_pool.h"

#include <check.h>

/* `count` machines of capacity 16, all ASLEEP for `slept_us`; min=0, boot 40 s. */
static void all_asleep(uint32_t count, int64_t slept_us)
{
    one_pool_setup(count, 0, 16, 40 * SEC, 100000 * SEC);
    pool.min_awake = 0;
    pool.rules.asleep_dwell_us = 60 * SEC;
    for (uint32_t i = 0; i < count; i++) {
        machines[i].entered_at_us = now_us - slept_us;
        rules[i] = pool.rules;
        senses[i].verdict = GB_VERDICT_BAD;
    }
}

/* Orders on in one tick. */
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

START_TEST(nobody_waits_and_nobody_is_woken)
{
    all_asleep(3, 3600 * SEC);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(tick(), 0);
    }
    ck_assert(!pool.hopeless);
    ck_assert(!pool.panic);
}
END_TEST

START_TEST(one_that_waits_wakes_one_server_at_once)
{
    all_asleep(3, 3600 * SEC);
    tick();
    pool.waiting = 1;
    ck_assert_uint_eq(tick(), 1);
    for (int i = 0; i < 300; i++) {
        doors[0].verdict = i < 2 ? GB_VERDICT_NONE : GB_VERDICT_BAD; /* it boots */
        ck_assert_uint_eq(tick(), 0);
    }
    ck_assert_uint_eq(machines[0].state, GB_ST_WAKING);
    ck_assert_ptr_nonnull(strstr(pool.reason, "1 waiting"));
}
END_TEST

/* Ten thousand at once: one order a machine, however long they wait. */
START_TEST(a_burst_makes_one_order_a_machine)
{
    uint32_t orders = 0;

    all_asleep(5, 3600 * SEC);
    pool.waiting = 10000;
    pool.service_us = 100 * GB_US_PER_MS;
    for (int i = 0; i < 300; i++) {
        orders += tick();
    }
    ck_assert_uint_eq(orders, 5);
}
END_TEST

/* 200 of 100 ms each, boot 40 s: 2 at once suffice to serve them in 10 s. */
START_TEST(short_requests_wake_few_servers)
{
    uint32_t orders = 0;

    all_asleep(12, 3600 * SEC);
    pool.waiting = 200;
    pool.service_us = 100 * GB_US_PER_MS;
    for (int i = 0; i < 100; i++) {
        orders += tick();
    }
    ck_assert_uint_eq(orders, 1);
}
END_TEST

/* 60 of 20 s each have to be served side by side: 60 / 0.8 = 75 of capacity. */
START_TEST(long_requests_wake_a_place_for_each)
{
    uint32_t orders = 0;

    all_asleep(12, 3600 * SEC);
    pool.waiting = 60;
    pool.service_us = 20 * SEC;
    for (int i = 0; i < 100; i++) {
        orders += tick();
    }
    ck_assert_uint_eq(orders, 5);
}
END_TEST

START_TEST(with_nobody_awake_the_dwell_does_not_count)
{
    all_asleep(2, 1 * SEC);
    pool.waiting = 1;
    ck_assert_uint_eq(tick(), 1);
    pool.waiting = 10000; /* more of them wait for the second one's dwell */
    ck_assert_uint_eq(tick(), 0);
}
END_TEST

START_TEST(what_waits_keeps_servers_from_sleeping)
{
    all_asleep(2, 3600 * SEC);
    for (uint32_t i = 0; i < 2; i++) {
        machines[i].state = GB_ST_ON;
        senses[i].verdict = GB_VERDICT_GOOD;
        senses[i].proof = GB_PROOF_NONE;
    }
    pool.waiting = 40;
    pool.service_us = 20 * SEC;
    for (int i = 0; i < 600; i++) {
        tick();
        ck_assert_uint_eq(machines[0].state, GB_ST_ON);
        ck_assert_uint_eq(machines[1].state, GB_ST_ON);
    }
    pool.waiting = 0;
    for (int i = 0; i < 600; i++) {
        tick();
    }
    ck_assert_uint_ne(machines[1].state, GB_ST_ON);
}
END_TEST

START_TEST(the_outlook_is_the_boot_time_that_was_learned)
{
    all_asleep(1, 3600 * SEC);
    tick();
    ck_assert_int_eq(pool.usual_boot_us, 40 * SEC); /* boot= */
    for (int i = 0; i < 20; i++) {
        gb_boot_learn(&machines[0].boot, (i < 18 ? 20 : 60) * SEC);
    }
    tick();
    ck_assert_int_eq(pool.usual_boot_us, 20 * SEC);
    ck_assert_int_eq(pool.slow_boot_us, 60 * SEC);
    ck_assert_int_eq(pool.ready_at_us, now_us + 20 * SEC);
    pool.waiting = 1;
    tick();
    ck_assert_int_eq(pool.ready_at_us, now_us + 20 * SEC);
    for (int i = 0; i < 50; i++) {
        tick();
    }
    ck_assert_int_eq(pool.ready_at_us, now_us + 15 * SEC);
    ck_assert_int_eq(pool.late_at_us, now_us + 55 * SEC);
    for (int i = 0; i < 200; i++) {
        tick();
    }
    ck_assert_int_eq(pool.ready_at_us, now_us); /* any moment now */
}
END_TEST

START_TEST(the_outlook_is_of_the_one_that_is_ready_first)
{
    all_asleep(2, 3600 * SEC);
    machines[0].boot.first_guess_us = 90 * SEC;
    machines[1].boot.first_guess_us = 30 * SEC;
    machines[0].state = machines[1].state = GB_ST_WAKING;
    machines[0].deadline_at_us = machines[1].deadline_at_us = now_us + 600 * SEC;
    machines[0].wake_at_us = now_us - 80 * SEC;
    machines[1].wake_at_us = now_us;
    tick();
    ck_assert_int_eq(pool.ready_at_us, machines[0].wake_at_us + 90 * SEC);
    ck_assert_int_eq(pool.usual_boot_us, 90 * SEC);
}
END_TEST

START_TEST(nothing_that_could_be_woken_is_hopeless)
{
    all_asleep(1, 3600 * SEC);
    fleet.paused = true;
    tick();
    ck_assert(pool.hopeless);
    ck_assert_int_eq(pool.ready_at_us, GB_NEVER_US);
    fleet.paused = false;
    tick();
    ck_assert(!pool.hopeless);
    senses[0].admin_held = true;
    tick();
    ck_assert(pool.hopeless);
    senses[0].admin_held = false;
    machines[0].wish = GB_WISH_KEEP_OFF;
    tick();
    ck_assert(pool.hopeless);
    machines[0].wish = GB_WISH_AUTO;
    machines[0].flags &= ~GB_MF_CAN_WAKE;
    tick();
    ck_assert(pool.hopeless);
}
END_TEST

START_TEST(a_failed_wake_is_hopeless_until_it_is_tried_again)
{
    all_asleep(1, 3600 * SEC);
    pool.waiting = 1;
    tick();
    ck_assert_uint_eq(machines[0].state, GB_ST_WAKING);
    ck_assert(!pool.hopeless);
    senses[0].exhausted = true;
    senses[0].why = "no such password";
    tick();
    senses[0].exhausted = false;
    ck_assert_uint_eq(machines[0].state, GB_ST_FAILED);
    tick();
    ck_assert(pool.hopeless);
    ck_assert_int_eq(pool.late_at_us, machines[0].retry_at_us);
    now_us = machines[0].retry_at_us;
    tick();
    ck_assert_uint_eq(machines[0].state, GB_ST_WAKING);
    ck_assert(!pool.hopeless);
}
END_TEST

START_TEST(a_failed_wake_with_another_server_is_no_end_of_hope)
{
    all_asleep(2, 3600 * SEC);
    pool.waiting = 1;
    tick();
    senses[0].exhausted = true;
    tick();
    senses[0].exhausted = false;
    tick();
    ck_assert_uint_eq(machines[0].state, GB_ST_FAILED);
    ck_assert_uint_eq(machines[1].state, GB_ST_WAKING);
    ck_assert(!pool.hopeless);
}
END_TEST

START_TEST(one_that_serves_is_no_matter_of_hope)
{
    all_asleep(1, 3600 * SEC);
    machines[0].state = GB_ST_ON;
    senses[0].verdict = GB_VERDICT_GOOD;
    senses[0].proof = GB_PROOF_NONE;
    tick();
    ck_assert(!pool.hopeless);
}
END_TEST

/* Panic routes to what may be reachable: one whose wake has failed only if somebody
 * answers there, so that requests are told instead of being sent nowhere. */
START_TEST(panic_sends_nothing_where_a_wake_failed_in_silence)
{
    all_asleep(1, 3600 * SEC);
    pool.waiting = 1;
    tick();
    senses[0].exhausted = true;
    senses[0].proof = GB_PROOF_NONE;
    doors[0].silent = true;
    tick();
    senses[0].exhausted = false;
    tick();
    ck_assert(pool.panic);
    ck_assert(pool.hopeless);
    ck_assert(!gb_fleet_panic_routes(&fleet, 0));
    doors[0].silent = false;
    ck_assert(gb_fleet_panic_routes(&fleet, 0));
    senses[0].proof = GB_PROOF_OFF;
    tick();
    ck_assert(!gb_fleet_panic_routes(&fleet, 0));
}
END_TEST

/* waiting, service, boot, load: the examples of gb_policy.h and the borders. */
START_TEST(what_waits_counts_by_its_service_time)
{
    static const struct {
        uint32_t waiting;
        int64_t service_us, boot_us;
        uint32_t load;
    } rows[] = {
        {0, 100000, 40 * SEC, 0},      {200, 100000, 4 * SEC, 20},
        {6000, 100000, 60 * SEC, 40},  {1, 100000, 4 * SEC, 1},
        {50, 30 * SEC, 4 * SEC, 50},   {50, 1 * SEC, 1 * SEC, 50},
        {200, 0, 120 * SEC, 7},        {200, -5, 120 * SEC, 7},
        {200, 100000, -1, 20},         {UINT32_MAX, INT64_MAX, 0, UINT32_MAX},
        {UINT32_MAX, 1, INT64_MAX, 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_uint_eq(
            gb_policy_waiting(rows[i].waiting, rows[i].service_us, rows[i].boot_us),
            rows[i].load);
    }
}
END_TEST

Suite *gb_fleet_waiting_suite(void);
Suite *gb_fleet_waiting_suite(void)
{
    Suite *suite = suite_create("gb_fleet_waiting");
    TCase *wakes = tcase_create("wakes"), *outlook = tcase_create("outlook");

    tcase_add_test(wakes, nobody_waits_and_nobody_is_woken);
    tcase_add_test(wakes, one_that_waits_wakes_one_server_at_once);
    tcase_add_test(wakes, a_burst_makes_one_order_a_machine);
    tcase_add_test(wakes, short_requests_wake_few_servers);
    tcase_add_test(wakes, long_requests_wake_a_place_for_each);
    tcase_add_test(wakes, with_nobody_awake_the_dwell_does_not_count);
    tcase_add_test(wakes, what_waits_keeps_servers_from_sleeping);
    tcase_add_test(wakes, what_waits_counts_by_its_service_time);
    tcase_add_test(outlook, the_outlook_is_the_boot_time_that_was_learned);
    tcase_add_test(outlook, the_outlook_is_of_the_one_that_is_ready_first);
    tcase_add_test(outlook, nothing_that_could_be_woken_is_hopeless);
    tcase_add_test(outlook, a_failed_wake_is_hopeless_until_it_is_tried_again);
    tcase_add_test(outlook, a_failed_wake_with_another_server_is_no_end_of_hope);
    tcase_add_test(outlook, panic_sends_nothing_where_a_wake_failed_in_silence);
    tcase_add_test(outlook, one_that_serves_is_no_matter_of_hope);
    suite_add_tcase(suite, wakes);
    suite_add_tcase(suite, outlook);
    return suite;
}
