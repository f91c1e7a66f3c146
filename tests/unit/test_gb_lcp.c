/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_lcp.c - lazy capacity provisioning, against all schedules there are.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_lcp.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define SEC    GB_US_PER_S
#define SLOT_S 10
#define RATE   60.0             /* of one server within the goal */
#define BETA   (200.0 * 260)    /* joules of a set-up */
#define IDLE   (140.0 * SLOT_S) /* joules of a server in a slot */
#define NEVER  1e15

static servers_t servers;
static gb_lcp_t memory;
static gb_demand_t demand;
static gb_choice_t choice;

static void setup(void)
{
    memset(&memory, 0, sizeof memory);
    memset(&demand, 0, sizeof demand);
    demand.now_us = 1000 * SEC;
    servers_make(&servers, 20, 10, 1);
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
}

/* A slot in which so many servers' worth of requests comes. */
static void slot(double worth)
{
    int second;

    for (second = 0; second < SLOT_S; second++) {
        demand.now_us += SEC;
        demand.arrived = worth * RATE;
        choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    }
    servers.supply.on = choice.up;
    servers.supply.capacity_on = servers.upto[choice.up].capacity;
}

static void slots(double worth, int count)
{
    while (count-- > 0) {
        slot(worth);
    }
}

/* ------------------------------------------------------------ its rules */

START_TEST(what_is_there_is_kept_at_first)
{
    setup();
    servers.supply.on = 3;
    servers.supply.coming = 2;
    memset(&memory, 0, sizeof memory);
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    ck_assert_uint_eq(choice.up, 5);
    ck_assert_uint_eq(choice.keep, 5);
}
END_TEST

START_TEST(what_a_rate_needs_is_there_after_the_slot)
{
    slot(4.5);
    ck_assert_uint_eq(choice.up, 5);
    slot(5.0);
    ck_assert_uint_eq(choice.up, 5);
    slot(5.1);
    ck_assert_uint_eq(choice.up, 6);
}
END_TEST

START_TEST(a_slot_has_ten_seconds)
{
    int second;

    for (second = 0; second < 9; second++) {
        demand.now_us += SEC;
        demand.arrived = 3 * RATE;
        choice = gb_lcp_decide(&memory, &servers.supply, &demand);
        ck_assert_uint_eq(choice.up, 1);
    }
    demand.now_us += SEC;
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    ck_assert_uint_eq(choice.up, 3);
}
END_TEST

START_TEST(a_longer_slot_counts_by_its_rate)
{
    demand.now_us += 40 * SEC;
    demand.arrived = 40 * 3 * RATE;
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    ck_assert_uint_eq(choice.up, 3);
}
END_TEST

/* Until they have idled away as much as a set-up costs: 52,000 J at 140 W, 371 s. */
START_TEST(a_server_stays_as_long_as_a_set_up_is_dearer)
{
    slots(3, 60);
    slots(1, 37);
    ck_assert_uint_eq(choice.up, 3);
    slots(1, 1);
    ck_assert_uint_eq(choice.up, 1);
}
END_TEST

START_TEST(a_short_gap_costs_nothing)
{
    slots(3, 60);
    slots(1, 30);
    slots(3, 60);
    slots(1, 30); /* the account of the first gap is closed */
    ck_assert_uint_eq(choice.up, 3);
}
END_TEST

START_TEST(the_watts_of_idle_servers_decide)
{
    uint32_t k;

    for (k = 0; k <= 20; k++) {
        servers.upto[k].idle_watts = 52.0 * k; /* 52,000 J: 1,000 s */
    }
    slots(3, 60);
    slots(1, 99);
    ck_assert_uint_eq(choice.up, 3);
    slots(1, 1); /* a hundred slots cost as much as the set-up */
    ck_assert_uint_le(choice.up, 3);
    slots(1, 1);
    ck_assert_uint_eq(choice.up, 1);
}
END_TEST

START_TEST(more_than_all_is_all)
{
    slot(1000);
    ck_assert_uint_eq(choice.up, 20);
    ck_assert_uint_eq(choice.keep, 20);
}
END_TEST

START_TEST(another_number_of_servers_begins_anew)
{
    slots(3, 60);
    slots(1, 30);
    servers_make(&servers, 25, 10, 3);
    demand.arrived = 0;
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    slots(1, 37);
    ck_assert_uint_eq(choice.up, 3); /* not 7 slots later */
    slots(1, 1);
    ck_assert_uint_eq(choice.up, 1);
}
END_TEST

START_TEST(work_that_is_no_number_is_forgotten)
{
    slots(3, 60);
    memory.work[7] = (double)NAN;
    demand.now_us += SEC;
    choice = gb_lcp_decide(&memory, &servers.supply, &demand);
    ck_assert_uint_eq(choice.up, 3);
    ck_assert_double_eq_tol(memory.work[7], 4 * BETA, 1e-6);
}
END_TEST

/* ------------------------------------------------------------ all schedules */

#define SMALL      3            /* servers */
#define LONG       7            /* slots */
#define SMALL_BETA (2.3 * IDLE) /* worth its while within so few slots */

static double schedule_cost(const int *on, const int *need, int count)
{
    double cost = 0;
    int before = 1;
    int t;

    for (t = 0; t < count; t++) {
        if (on[t] < need[t]) {
            return NEVER;
        }
        cost += on[t] * IDLE + (on[t] > before ? (on[t] - before) * SMALL_BETA : 0);
        before = on[t];
    }
    return cost;
}

/* The cheapest schedule of `count` slots that ends with so many; 0: with any. */
static double cheapest(const int *need, int count, int last)
{
    int on[LONG];
    double least = NEVER;
    int number, t, rest;
    int all = 1;

    for (t = 0; t < count; t++) {
        all *= SMALL;
    }
    for (number = 0; number < all; number++) {
        for (t = 0, rest = number; t < count; t++, rest /= SMALL) {
            on[t] = rest % SMALL + 1;
        }
        if (last == 0 || on[count - 1] == last) {
            least = fmin(least, schedule_cost(on, need, count));
        }
    }
    return least;
}

START_TEST(the_work_function_is_that_of_all_schedules)
{
    draw_t draw = draw_begin("the_work_function_is_that_of_all_schedules");
    int round, t, x;

    for (round = 0; round < 40; round++) {
        int need[LONG];

        servers_make(&servers, SMALL, 10, 1);
        servers.supply.setup_watts = SMALL_BETA / servers.supply.setup_s;
        memset(&memory, 0, sizeof memory);
        choice = gb_lcp_decide(&memory, &servers.supply, &demand);
        for (t = 0; t < LONG; t++) {
            need[t] = (int)draw_below(&draw, SMALL) + 1;
            slot(need[t]);
            for (x = need[t]; x <= SMALL; x++) {
                ck_assert_double_eq_tol(
                    memory.work[x], cheapest(need, t + 1, x) - cheapest(need, t + 1, 0),
                    1e-6);
            }
        }
    }
}
END_TEST

/* What the paper proves of it. */
START_TEST(never_more_than_three_times_the_optimum)
{
    draw_t draw = draw_begin("never_more_than_three_times_the_optimum");
    double worst = 0;
    int round, t, x, y;

    for (round = 0; round < 300; round++) {
        double best[21], next[21];
        double cost = 0, optimum = NEVER;
        uint32_t before = 1;
        uint32_t most = 1 + draw_below(&draw, 20);

        setup();
        servers.supply.setup_s = 5 + draw_below(&draw, 500);
        for (x = 1; x <= 20; x++) {
            best[x] = (x - 1) * 200 * servers.supply.setup_s;
        }
        for (t = 0; t < 120; t++) {
            int need = 1 + (int)draw_below(&draw, draw_below(&draw, 4) ? 2u : most);

            slot(need > 20 ? 20 : need);
            cost += choice.up * IDLE;
            cost += choice.up > before
                        ? (choice.up - before) * 200 * servers.supply.setup_s
                        : 0;
            before = choice.up;
            for (x = 1; x <= 20; x++) {
                next[x] = NEVER;
                for (y = 1; y <= 20 && x >= need; y++) {
                    double paid = t == 0 ? best[x]
                                  : x > y
                                      ? best[y] + (x - y) * 200 * servers.supply.setup_s
                                      : best[y];

                    next[x] = fmin(next[x], paid + x * IDLE);
                }
            }
            memcpy(best, next, sizeof best);
        }
        for (x = 1; x <= 20; x++) {
            optimum = fmin(optimum, best[x]);
        }
        ck_assert_double_ge(cost, optimum * 0.999999);
        ck_assert_double_le(cost, optimum * 3.000001);
        worst = fmax(worst, cost / optimum);
    }
    ck_assert_double_gt(worst, 1.05); /* it does not know the future */
}
END_TEST

Suite *gb_lcp_suite(void);

Suite *gb_lcp_suite(void)
{
    Suite *suite = suite_create("gb_lcp");
    TCase *tcase = tcase_create("lcp");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, what_is_there_is_kept_at_first);
    tcase_add_test(tcase, what_a_rate_needs_is_there_after_the_slot);
    tcase_add_test(tcase, a_slot_has_ten_seconds);
    tcase_add_test(tcase, a_longer_slot_counts_by_its_rate);
    tcase_add_test(tcase, a_server_stays_as_long_as_a_set_up_is_dearer);
    tcase_add_test(tcase, a_short_gap_costs_nothing);
    tcase_add_test(tcase, the_watts_of_idle_servers_decide);
    tcase_add_test(tcase, more_than_all_is_all);
    tcase_add_test(tcase, another_number_of_servers_begins_anew);
    tcase_add_test(tcase, work_that_is_no_number_is_forgotten);
    tcase_add_test(tcase, the_work_function_is_that_of_all_schedules);
    tcase_add_test(tcase, never_more_than_three_times_the_optimum);
    suite_add_tcase(suite, tcase);
    return suite;
}
