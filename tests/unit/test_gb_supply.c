/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_supply.c - how many servers of an order suffice.
 */
#include "core/gb_supply.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

static servers_t servers;

static void setup(void)
{
    servers_make(&servers, 20, 10, 0);
}

START_TEST(a_value_is_brought_within_its_bounds)
{
    ck_assert_double_eq_tol(gb_within(5, 1, 9), 5, 0.0001);
    ck_assert_double_eq_tol(gb_within(-5, 1, 9), 1, 0.0001);
    ck_assert_double_eq_tol(gb_within(50, 1, 9), 9, 0.0001);
    ck_assert_double_eq_tol(gb_within((double)NAN, 1, 9), 1, 0.0001);
    ck_assert_double_eq_tol(gb_within((double)INFINITY, 1, 9), 9, 0.0001);
    ck_assert_double_eq_tol(gb_within(-(double)INFINITY, 1, 9), 1, 0.0001);
}
END_TEST

START_TEST(servers_for_requests_in_flight)
{
    ck_assert_uint_eq(gb_supply_for_load(&servers.supply, 0), 1);
    ck_assert_uint_eq(gb_supply_for_load(&servers.supply, 10), 1);
    ck_assert_uint_eq(gb_supply_for_load(&servers.supply, 10.01), 2);
    ck_assert_uint_eq(gb_supply_for_load(&servers.supply, 200), 20);
    ck_assert_uint_eq(gb_supply_for_load(&servers.supply, 1e9), 20);
}
END_TEST

START_TEST(servers_for_a_rate_within_the_goal)
{
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 0, 1), 1);
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 60, 1), 1);
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 60.1, 1), 2);
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 60, 0.7), 2);
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 84, 0.7), 2);
    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 1200, 0.7), 20);
}
END_TEST

START_TEST(late_is_what_servers_can_help_against)
{
    ck_assert_double_eq_tol(gb_supply_service_s(0), 0.1, 1e-9);
    ck_assert_double_eq_tol(gb_supply_service_s(-5), 0.1, 1e-9);
    ck_assert_double_eq_tol(gb_supply_service_s(250000), 0.25, 1e-9);
    ck_assert_double_eq_tol(gb_supply_service_s(INT64_MAX), 86400, 1e-6);
    ck_assert_double_eq_tol(gb_supply_late_s(0, 0.1), 0.5, 1e-9);
    ck_assert_double_eq_tol(gb_supply_late_s(0, 1), 4, 1e-9);
    ck_assert_double_eq_tol(gb_supply_late_s(700000, 0.1), 0.7, 1e-9);
    ck_assert_double_eq_tol(gb_supply_late_s(700000, 0.4), 0.8, 1e-9);
    ck_assert_double_eq_tol(gb_supply_late_s(1, 86400), 2 * 86400, 1e-6);
    ck_assert_double_eq_tol(gb_supply_late_s(INT64_MAX, 0.1), 7 * 86400, 1e-6);
}
END_TEST

START_TEST(a_supply_has_the_table_of_its_servers)
{
    double slots[21];
    gb_tail_row_t rows[21], own[21];
    gb_tail_t made = {.rows = rows, .room = 20}, expected = {.rows = own, .room = 20};
    const gb_supply_t *supply = &servers.supply;

    memset(rows, 0, sizeof rows);
    memset(own, 0, sizeof own);
    gb_supply_tail(supply, slots, &made);
    for (uint32_t k = 0; k <= 20; k++) {
        ck_assert_double_eq_tol(slots[k], supply->upto[k].slots, 1e-9);
    }
    gb_tail_build(&expected, slots, 20, supply->service_s,
                  supply->late_s - supply->service_s);
    ck_assert_uint_eq(made.servers, 20);
    ck_assert_int_eq(memcmp(rows, own, sizeof rows), 0);
}
END_TEST

/* 3 * 0.7 * 60 is not what 0.7 * 7.5 times 24 slots is, in the last digit. */
START_TEST(rounding_needs_no_server)
{
    uint32_t k;

    ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, 60 * (1 + 1e-12), 1), 1);
    for (k = 1; k <= 20; k++) {
        ck_assert_uint_eq(gb_supply_for_rate(&servers.supply, k * 0.7 * 60, 0.7), k);
        ck_assert_uint_eq(gb_supply_for_load(&servers.supply, k * 10 * 0.1 / 0.1), k);
    }
}
END_TEST

START_TEST(every_number_is_the_least_that_suffices)
{
    draw_t draw = draw_begin("every_number_is_the_least_that_suffices");
    int round;

    for (round = 0; round < 200; round++) {
        uint32_t count = 1 + draw_below(&draw, 300);
        uint32_t k;
        double rate, load;

        servers_make(&servers, count, 10, 0);
        for (k = 1; k <= count; k++) {
            servers.upto[k].capacity =
                servers.upto[k - 1].capacity + draw_below(&draw, 20);
            servers.upto[k].slots = servers.upto[k - 1].slots + draw_below(&draw, 20);
        }
        rate = draw_share(&draw) * servers.upto[count].slots * 7.5;
        load = draw_share(&draw) * servers.upto[count].capacity;
        k = gb_supply_for_rate(&servers.supply, rate, 1);
        ck_assert(servers.upto[k].slots * 7.5 >= rate * (1 - 1e-8));
        ck_assert(k == 1 || servers.upto[k - 1].slots * 7.5 < rate);
        k = gb_supply_for_load(&servers.supply, load);
        ck_assert(servers.upto[k].capacity >= load * (1 - 1e-8));
        ck_assert(k == 1 || servers.upto[k - 1].capacity < load);
    }
}
END_TEST

/* 8 slots of 120 ms, late beyond 500 ms: 56.1 requests/s, of 66.7. */
START_TEST(what_a_slot_carries_keeps_the_goal)
{
    double rate = gb_supply_slot_rate(8, 0.12, 0.38);

    ck_assert_double_le(gb_erlang_late(8, 8 * rate, 0.12, 0.38), GB_TAIL_GOAL * 1.01);
    ck_assert_double_ge(gb_erlang_late(8, 8 * rate * 1.05, 0.12, 0.38), GB_TAIL_GOAL);
    ck_assert_double_gt(8 * rate, 55);
    ck_assert_double_lt(8 * rate, 57);
}
END_TEST

START_TEST(a_slot_is_neither_idle_nor_without_pause)
{
    ck_assert_double_eq_tol(gb_supply_slot_rate(1000, 0.12, 3600), 0.9 / 0.12, 1e-9);
    ck_assert_double_eq_tol(gb_supply_slot_rate(1, 10, 1e-6), 0.05 / 10, 1e-9);
}
END_TEST

Suite *gb_supply_suite(void);

Suite *gb_supply_suite(void)
{
    Suite *suite = suite_create("gb_supply");
    TCase *tcase = tcase_create("supply");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_value_is_brought_within_its_bounds);
    tcase_add_test(tcase, servers_for_requests_in_flight);
    tcase_add_test(tcase, servers_for_a_rate_within_the_goal);
    tcase_add_test(tcase, late_is_what_servers_can_help_against);
    tcase_add_test(tcase, a_supply_has_the_table_of_its_servers);
    tcase_add_test(tcase, rounding_needs_no_server);
    tcase_add_test(tcase, every_number_is_the_least_that_suffices);
    tcase_add_test(tcase, what_a_slot_carries_keeps_the_goal);
    tcase_add_test(tcase, a_slot_is_neither_idle_nor_without_pause);
    suite_add_tcase(suite, tcase);
    return suite;
}
