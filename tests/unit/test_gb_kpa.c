/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_kpa.c - two windows, panic, and no scaling down in it.
 */
#include "core/gb_kpa.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define SEC    GB_US_PER_S
#define TARGET 42.0 /* 70 % of what a server carries */

static servers_t servers;
static gb_kpa_t memory;
static gb_demand_t demand;
static gb_choice_t choice;
static double target;

static void ask(void)
{
    choice = gb_kpa_decide(&memory, target, &servers.supply, &demand);
}

static void setup(void)
{
    memset(&memory, 0, sizeof memory);
    memset(&demand, 0, sizeof demand);
    demand.now_us = 1000 * SEC;
    target = 0.7;
    servers_make(&servers, 40, 10, 2);
    ask();
}

static void see(double rate)
{
    demand.now_us += SEC;
    demand.arrived = rate;
    ask();
}

static void see_for(double rate, int seconds)
{
    while (seconds-- > 0) {
        see(rate);
    }
}

START_TEST(a_constant_load_is_carried_at_the_target)
{
    see_for(3 * TARGET, 60);
    ck_assert_uint_eq(choice.up, 3);
    ck_assert_uint_eq(choice.keep, 3);
    see_for(3.1 * TARGET, 60);
    ck_assert_uint_eq(choice.up, 4);
}
END_TEST

START_TEST(the_target_can_be_given)
{
    target = 1.0;
    see_for(180, 60);
    ck_assert_uint_eq(choice.up, 3);
    target = 0.5;
    see_for(180, 2);
    ck_assert_uint_eq(choice.up, 6);
}
END_TEST

START_TEST(no_target_is_the_usual_one)
{
    target = (double)NAN;
    see_for(3 * TARGET, 60);
    ck_assert_uint_eq(choice.up, 3);
    target = 0;
    see_for(3 * TARGET, 60);
    ck_assert_uint_eq(choice.up, 3);
}
END_TEST

START_TEST(it_ticks_every_two_seconds)
{
    see_for(3 * TARGET, 60);
    see(3.9 * TARGET);
    ck_assert_uint_eq(choice.up, 3);
    see(3.9 * TARGET);
    ck_assert_uint_eq(choice.up, 4); /* mean of a minute: 3.03 */
}
END_TEST

START_TEST(the_mean_is_that_of_a_minute)
{
    see_for(3 * TARGET, 120);
    see_for(2 * TARGET, 58);
    ck_assert_uint_eq(choice.up, 3); /* 2 s of three are still in it */
    see_for(2 * TARGET, 2);
    ck_assert_uint_eq(choice.up, 2);
}
END_TEST

START_TEST(other_intervals_of_asking_make_no_difference)
{
    int i;

    for (i = 0; i < 40; i++) {
        demand.now_us += 3 * SEC;
        demand.arrived = 3 * 3 * TARGET;
        ask();
    }
    ck_assert_uint_eq(choice.up, 3);
    for (i = 0; i < 600; i++) {
        demand.now_us += SEC / 10;
        demand.arrived = 2.5 * TARGET / 10;
        ask();
    }
    ck_assert_uint_eq(choice.up, 3);
    ck_assert_double_eq_tol(memory.rate[0], 2.5 * TARGET, 1e-6);
    for (i = 0; i < 30; i++) {
        ck_assert_double_eq_tol(memory.rate[i], 2.5 * TARGET, 1e-6);
    }
}
END_TEST

START_TEST(no_more_than_half_goes_in_a_tick)
{
    servers_make(&servers, 40, 10, 17);
    see_for(0, 60);
    ck_assert_uint_eq(choice.up, 8);
    ck_assert_uint_eq(choice.keep, 8);
    servers.supply.on = 8;
    see_for(0, 2);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(twice_of_what_is_there_is_a_panic)
{
    see_for(2 * TARGET, 60);
    see_for(6 * TARGET, 2); /* the six seconds: 2, 2, 6 -> 3.3, four servers */
    ck_assert_uint_eq(choice.up, 4);
    ck_assert_uint_eq(choice.keep, 40); /* nobody goes */
    see_for(6 * TARGET, 4);
    ck_assert_uint_eq(choice.up, 6);
}
END_TEST

START_TEST(less_than_twice_is_none)
{
    servers.supply.on = 3;
    see_for(3 * TARGET, 60);
    see_for(4.9 * TARGET, 6);
    ck_assert_uint_eq(choice.up, 4);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(in_panic_it_only_grows_and_for_a_minute)
{
    see_for(2 * TARGET, 60);
    see_for(10 * TARGET, 6);
    ck_assert_uint_eq(choice.up, 10);
    servers.supply.on = 10; /* they have come */
    see_for(1 * TARGET, 58);
    ck_assert_uint_eq(choice.up, 10);
    ck_assert_uint_eq(choice.keep, 40);
    see_for(1 * TARGET, 2); /* a minute since the latest tick above twice */
    ck_assert_uint_eq(choice.up, 5);
    ck_assert_uint_eq(choice.keep, 5);
}
END_TEST

START_TEST(a_panic_goes_on_while_too_few_are_there)
{
    see_for(2 * TARGET, 60);
    see_for(10 * TARGET, 200);
    ck_assert_uint_eq(choice.up, 10);
    ck_assert_uint_eq(choice.keep, 40);
}
END_TEST

START_TEST(a_long_silence_of_the_caller_counts_as_its_mean)
{
    see_for(2 * TARGET, 60);
    demand.now_us += 3600 * SEC;
    demand.arrived = 3600 * 3 * TARGET;
    ask();
    ck_assert_uint_eq(choice.up, 3);
}
END_TEST

START_TEST(servers_of_several_sizes_count_by_slots)
{
    uint32_t k;

    for (k = 2; k <= 40; k++) {
        servers.upto[k].slots = 8 + 16.0 * (k - 1);
    }
    see_for(5 * TARGET, 60);
    ck_assert_uint_eq(choice.up, 3); /* one, and two of twice its size */
}
END_TEST

START_TEST(a_memory_of_no_numbers_is_forgotten)
{
    see_for(3 * TARGET, 60);
    memory.rate[11] = -1;
    see(9 * TARGET);
    ck_assert_double_eq_tol(memory.rate[11], 0, 1e-12);
    ck_assert_uint_eq(memory.used, 0);
    memory.next = 77;
    see(9 * TARGET);
    ck_assert_uint_lt(memory.next, GB_KPA_TICKS);
}
END_TEST

Suite *gb_kpa_suite(void);

Suite *gb_kpa_suite(void)
{
    Suite *suite = suite_create("gb_kpa");
    TCase *tcase = tcase_create("kpa");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_constant_load_is_carried_at_the_target);
    tcase_add_test(tcase, the_target_can_be_given);
    tcase_add_test(tcase, no_target_is_the_usual_one);
    tcase_add_test(tcase, it_ticks_every_two_seconds);
    tcase_add_test(tcase, the_mean_is_that_of_a_minute);
    tcase_add_test(tcase, other_intervals_of_asking_make_no_difference);
    tcase_add_test(tcase, no_more_than_half_goes_in_a_tick);
    tcase_add_test(tcase, twice_of_what_is_there_is_a_panic);
    tcase_add_test(tcase, less_than_twice_is_none);
    tcase_add_test(tcase, in_panic_it_only_grows_and_for_a_minute);
    tcase_add_test(tcase, a_panic_goes_on_while_too_few_are_there);
    tcase_add_test(tcase, a_long_silence_of_the_caller_counts_as_its_mean);
    tcase_add_test(tcase, servers_of_several_sizes_count_by_slots);
    tcase_add_test(tcase, a_memory_of_no_numbers_is_forgotten);
    suite_add_tcase(suite, tcase);
    return suite;
}
