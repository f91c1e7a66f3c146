/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_autoscale.c - AutoScale's two rules, with the paper's figures.
 */
#include "core/gb_autoscale.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define SEC GB_US_PER_S

static servers_t servers;
static gb_autoscale_t memory;
static gb_demand_t demand;
static gb_choice_t choice;
static double wait_s;

/* Servers in which as many requests are in flight at the goal's rate as they have
 * capacity: the paper's p. */
static void full_at_capacity(void)
{
    uint32_t k;

    for (k = 0; k <= servers.supply.servers; k++) {
        servers.upto[k].slots =
            servers.upto[k].capacity /
            (servers.supply.rate_per_slot * servers.supply.service_s);
    }
}

static void setup(void)
{
    memset(&memory, 0, sizeof memory);
    memset(&demand, 0, sizeof demand);
    demand.now_us = 1000 * SEC;
    wait_s = 0;
    servers_make(&servers, 20, 10, 4);
    full_at_capacity();
}

static void now_on(uint32_t on)
{
    servers.supply.on = on;
    servers.supply.capacity_on = servers.upto[on].capacity;
}

/* A second later, so many requests are in the system. */
static void see(double in_system)
{
    demand.now_us += SEC;
    demand.in_system = in_system;
    choice = gb_autoscale_decide(&memory, wait_s, &servers.supply, &demand);
}

static void see_for(double in_system, uint32_t seconds)
{
    while (seconds-- > 0) {
        see(in_system);
    }
}

/* ------------------------------------------------------------ the measured curve */

START_TEST(the_curve_passes_through_the_published_points)
{
    /* rho / rho_ref of n = 5, 10, 32 requests at a server with p = 10 */
    ck_assert_double_eq_tol(gb_autoscale_load(0.5), 0.5, 1e-12);
    ck_assert_double_eq_tol(gb_autoscale_load(1), 1, 1e-12);
    ck_assert_double_eq_tol(gb_autoscale_load(3.2), 2, 1e-12);
    ck_assert_double_eq_tol(gb_autoscale_load(2.1), 1.5, 1e-12);
    ck_assert_double_eq_tol(gb_autoscale_load(5.4), 3, 1e-12); /* straight on */
    ck_assert_double_eq_tol(gb_autoscale_load(0), 0, 1e-12);
}
END_TEST

START_TEST(the_curve_of_nonsense_is_a_number)
{
    ck_assert_double_eq_tol(gb_autoscale_load(-1), 0, 1e-12);
    ck_assert_double_eq_tol(gb_autoscale_load((double)NAN), 0, 1e-12);
    ck_assert(isfinite(gb_autoscale_load((double)INFINITY)));
}
END_TEST

/* ------------------------------------------------------------ up */

static void check_up(double in_system, uint32_t wanted)
{
    setup();
    see(in_system);
    ck_assert_msg(choice.up == wanted, "%g in the system of 4: %u, not %u", in_system,
                  choice.up, wanted);
}

START_TEST(up_is_by_requests_at_a_server)
{
    check_up(0, 1);
    check_up(5, 1);
    check_up(20, 2);   /* 5 each: half the load */
    check_up(40, 4);   /* 10 each: just full */
    check_up(41, 5);   /* 10.25 each: rho 7.08, 4 * 1.011 */
    check_up(64, 6);   /* 16 each: rho 8.91, 4 * 1.27 */
    check_up(128, 8);  /* 32 each: rho 14, 4 * 2 */
    check_up(216, 12); /* 54 each: rho 21, 4 * 3 */
    check_up(1e6, 20);
}
END_TEST

START_TEST(up_is_worked_out_every_20_seconds)
{
    see(40);
    ck_assert_uint_eq(choice.up, 4);
    see_for(128, 19);
    ck_assert_uint_eq(choice.up, 4);
    see(128);
    ck_assert_uint_eq(choice.up, 8);
    see_for(40, 19);
    ck_assert_uint_eq(choice.up, 8);
    see(40);
    ck_assert_uint_eq(choice.up, 4);
}
END_TEST

START_TEST(with_nobody_on_each_is_filled)
{
    now_on(0);
    see(25);
    ck_assert_uint_eq(choice.up, 3);
    ck_assert_uint_eq(choice.keep, 0); /* gb_decide() brings it up */
}
END_TEST

START_TEST(servers_of_several_sizes_count_by_capacity)
{
    uint32_t k;

    for (k = 3; k <= 20; k++) {
        servers.upto[k].capacity = 20 + 40.0 * (k - 2); /* 10, 10, 40, 40 ... */
    }
    full_at_capacity();
    now_on(2);
    see(64); /* 20 there, 3.2 times as much in the system: twice the load, 40 */
    ck_assert_uint_eq(choice.up, 3);
    demand.now_us += 20 * SEC;
    now_on(3);
    see(192); /* 60 there, 3.2 times as much: 120 */
    ck_assert_uint_eq(choice.up, 5);
}
END_TEST

/* ------------------------------------------------------------ down */

START_TEST(the_last_goes_when_it_was_idle_for_the_published_time)
{
    now_on(6);
    see_for(35, 120);
    ck_assert_uint_eq(choice.keep, 6); /* 119 s since the first look */
    see(35);
    ck_assert_uint_eq(choice.keep, 4); /* four are filled: 10, 10, 10, 5 */
    see_for(35, 500);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(the_wait_is_in_proportion_to_the_set_up)
{
    servers.supply.setup_s = 65; /* 30 s */
    now_on(6);
    see_for(35, 30);
    ck_assert_uint_eq(choice.keep, 6);
    see(35);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(the_wait_can_be_given)
{
    wait_s = 371;
    now_on(6);
    see_for(35, 371);
    ck_assert_uint_eq(choice.keep, 6);
    see(35);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(work_begins_the_wait_anew)
{
    now_on(6);
    see_for(35, 100);
    see(45); /* the fifth has something to do, the sixth has not */
    see_for(35, 20);
    ck_assert_uint_eq(choice.keep, 5);
    see_for(35, 99);
    ck_assert_uint_eq(choice.keep, 5);
    see(35);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(who_has_just_come_waits_as_long_as_others)
{
    see_for(35, 300);
    now_on(6);
    see(35);
    ck_assert_uint_eq(choice.keep, 6);
    see_for(35, 119);
    ck_assert_uint_eq(choice.keep, 6);
    see(35);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(one_stays_without_any_load)
{
    see_for(0, 1000);
    ck_assert_uint_eq(choice.keep, 1);
    ck_assert_uint_eq(choice.up, 1);
}
END_TEST

/* ------------------------------------------------------------ its memory */

START_TEST(a_clock_that_runs_back_is_a_new_start)
{
    now_on(6);
    see_for(35, 110);
    demand.now_us = 50 * SEC;
    see_for(35, 120);
    ck_assert_uint_eq(choice.keep, 6);
    see(35);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(an_instant_yet_to_come_is_forgotten)
{
    now_on(6);
    see_for(35, 121);
    ck_assert_uint_eq(choice.keep, 4);
    memory.busy_at_us[5] = demand.now_us + 1000 * SEC;
    see(35);
    ck_assert_uint_eq(choice.keep, 6); /* begun anew */
}
END_TEST

Suite *gb_autoscale_suite(void);

Suite *gb_autoscale_suite(void)
{
    Suite *suite = suite_create("gb_autoscale");
    TCase *tcase = tcase_create("autoscale");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, the_curve_passes_through_the_published_points);
    tcase_add_test(tcase, the_curve_of_nonsense_is_a_number);
    tcase_add_test(tcase, up_is_by_requests_at_a_server);
    tcase_add_test(tcase, up_is_worked_out_every_20_seconds);
    tcase_add_test(tcase, with_nobody_on_each_is_filled);
    tcase_add_test(tcase, servers_of_several_sizes_count_by_capacity);
    tcase_add_test(tcase, the_last_goes_when_it_was_idle_for_the_published_time);
    tcase_add_test(tcase, the_wait_is_in_proportion_to_the_set_up);
    tcase_add_test(tcase, the_wait_can_be_given);
    tcase_add_test(tcase, work_begins_the_wait_anew);
    tcase_add_test(tcase, who_has_just_come_waits_as_long_as_others);
    tcase_add_test(tcase, one_stays_without_any_load);
    tcase_add_test(tcase, a_clock_that_runs_back_is_a_new_start);
    tcase_add_test(tcase, an_instant_yet_to_come_is_forgotten);
    suite_add_tcase(suite, tcase);
    return suite;
}
