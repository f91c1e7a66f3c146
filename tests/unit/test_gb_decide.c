/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_decide.c - one face for all policies: names, bounds, and beginning anew.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_decide.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define SEC GB_US_PER_S

static servers_t servers;
static gb_policy_conf_t conf;
static gb_decider_t decider;
static gb_demand_t demand;
static gb_choice_t choice;

static void setup(void)
{
    memset(&decider, 0, sizeof decider);
    memset(&demand, 0, sizeof demand);
    demand.now_us = 1000 * SEC;
    servers_make(&servers, 8, 16, 1);
    servers.supply.setup_s = 120;
    gb_policy_defaults(&conf, GB_POLICY_THRESHOLD);
}

static void see(double in_system)
{
    demand.now_us += SEC;
    demand.in_system = in_system;
    demand.arrived = in_system / 0.12;
    choice = gb_decide(&decider, &conf, &servers.supply, &demand);
}

static void see_for(double in_system, int seconds)
{
    while (seconds-- > 0) {
        see(in_system);
    }
}

/* ------------------------------------------------------------ names */

START_TEST(every_policy_is_found_by_its_name)
{
    int i;

    for (i = 0; i < GB_POLICY_COUNT; i++) {
        ck_assert_int_eq(gb_policy_find(gb_policy_name((gb_policy_e)i)), i);
    }
    ck_assert_str_eq(gb_policy_name(GB_POLICY_THRESHOLD), "threshold");
    ck_assert_str_eq(gb_policy_name(GB_POLICY_NEWS), "news");
}
END_TEST

START_TEST(other_names_are_none)
{
    ck_assert_int_eq(gb_policy_find(""), GB_POLICY_COUNT);
    ck_assert_int_eq(gb_policy_find("News"), GB_POLICY_COUNT);
    ck_assert_int_eq(gb_policy_find("new"), GB_POLICY_COUNT);
    ck_assert_int_eq(gb_policy_find("newsy"), GB_POLICY_COUNT);
    ck_assert_str_eq(gb_policy_name(GB_POLICY_COUNT), "invalid");
    ck_assert_str_eq(gb_policy_name((gb_policy_e)-1), "invalid");
}
END_TEST

START_TEST(defaults_are_those_of_the_manual)
{
    ck_assert_uint_eq(conf.threshold.wake_permille, 800);
    ck_assert_uint_eq(conf.threshold.sleep_permille, 500);
    ck_assert_int_eq(conf.hold_us, 300 * SEC);
    ck_assert_double_eq_tol(conf.budget, 0.005, 1e-12);
    ck_assert_double_eq_tol(conf.target, 0.7, 1e-12);
    ck_assert_double_eq_tol(conf.wait_s, 0, 1e-12);
}
END_TEST

/* ------------------------------------------------------------ threshold */

/* The manual's table for eight servers of capacity 16. */
START_TEST(threshold_wakes_and_keeps_as_the_manual_says)
{
    static const struct {
        double load;
        uint32_t up, keep;
    } rows[] = {{0, 1, 1},  {8, 1, 1},  {12, 1, 2}, {13, 2, 2},
                {37, 3, 4}, {52, 5, 6}, {100, 8, 8}};
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup();
        see_for(rows[i].load, 600);
        ck_assert_msg(choice.up == rows[i].up && choice.keep == rows[i].keep,
                      "load %g: %u %u", rows[i].load, choice.up, choice.keep);
    }
}
END_TEST

START_TEST(threshold_lets_nobody_go_before_it_has_seen_the_hold)
{
    see_for(8, 299);
    ck_assert_uint_eq(choice.keep, 8);
    see_for(8, 10);
    ck_assert_uint_eq(choice.keep, 1);
}
END_TEST

START_TEST(threshold_holds_the_highest_of_the_time_given)
{
    conf.hold_us = 60 * SEC;
    see_for(8, 100);
    see_for(52, 20);
    see_for(8, 50);
    ck_assert_uint_ge(choice.keep, 6);
    see_for(8, 60);
    ck_assert_uint_eq(choice.keep, 1);
}
END_TEST

START_TEST(threshold_counts_what_waits_as_in_flight)
{
    demand.backlog = 40;
    see_for(52, 600);
    ck_assert_uint_eq(choice.up, 5);
}
END_TEST

START_TEST(threshold_on_servers_of_several_sizes)
{
    uint32_t k;

    for (k = 1; k <= 8; k++) {
        servers.upto[k].capacity = k * (k + 1) / 2 * 8.0; /* 8, 24, 48, 80, 120 ... */
    }
    see_for(52, 600);
    /* up 65; down 104, stay 80: the fifth may go, the fourth has to stay */
    ck_assert_uint_eq(choice.up, 4);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

/* ------------------------------------------------------------ the face */

START_TEST(another_policy_begins_anew)
{
    see_for(8, 600);
    ck_assert_uint_eq(choice.keep, 1);
    conf.policy = GB_POLICY_KPA;
    see_for(8, 10);
    conf.policy = GB_POLICY_THRESHOLD;
    see(8);
    ck_assert_uint_eq(choice.keep, 8); /* the hold has not been seen */
}
END_TEST

START_TEST(a_policy_that_is_none_is_threshold)
{
    conf.policy = GB_POLICY_COUNT;
    see_for(37, 600);
    ck_assert_uint_eq(choice.up, 3);
    ck_assert_uint_eq(choice.keep, 4);
}
END_TEST

START_TEST(no_servers_at_all_are_answered_with_one)
{
    int i;

    for (i = 0; i < GB_POLICY_COUNT; i++) {
        conf.policy = (gb_policy_e)i;
        servers.supply.servers = servers.supply.on = 0;
        see(100);
        ck_assert_uint_eq(choice.up, 1);
        ck_assert_uint_eq(choice.keep, 1);
    }
}
END_TEST

/* Each is asked itself: their memories are as different as they are. */
START_TEST(every_policy_answers_for_itself)
{
    conf.policy = GB_POLICY_AUTOSCALE;
    see_for(37, 30);
    ck_assert_int_eq(decider.as.autoscale.asked_at_us, demand.now_us);
    conf.policy = GB_POLICY_LCP;
    see_for(37, 30);
    ck_assert_uint_eq(decider.as.lcp.servers, 8);
    conf.policy = GB_POLICY_KPA;
    see_for(37, 30);
    ck_assert_double_eq_tol(decider.as.kpa.rate[0], 37 / 0.12, 1e-6);
    conf.policy = GB_POLICY_NEWS;
    see_for(37, 30);
    ck_assert_int_eq(decider.as.news.ticked_at_us, demand.now_us - 9 * SEC);
}
END_TEST

START_TEST(the_latest_choice_is_remembered)
{
    see_for(37, 600);
    ck_assert_uint_eq(decider.choice.up, choice.up);
    ck_assert_uint_eq(decider.choice.keep, choice.keep);
}
END_TEST

/* ------------------------------------------------------------ at random */

static double wild(draw_t *draw)
{
    static const double some[] = {-1, 0, 1e-300, 1, 1e9, 1e300, -1e300};

    switch (draw_below(draw, 10)) {
    case 0:
        return (double)NAN;
    case 1:
        return draw_below(draw, 2) ? (double)INFINITY : -(double)INFINITY;
    case 2:
        return some[draw_below(draw, 7)];
    default:
        return draw_share(draw) * 3000;
    }
}

static void check_choice(const char *what, long long seed, int step)
{
    ck_assert_msg(choice.up >= 1 && choice.up <= choice.keep &&
                      choice.keep <= servers.supply.servers,
                  "%s %s, seed before %lld, step %d: %u %u of %u", what,
                  gb_policy_name(conf.policy), seed, step, choice.up, choice.keep,
                  servers.supply.servers);
}

/* Random servers: now and then others, of other sizes. */
static void draw_servers(draw_t *draw)
{
    uint32_t count = 1 + draw_below(draw, draw_below(draw, 5) ? 30 : 400);
    uint32_t k;

    servers_make(&servers, count, 10, 0);
    for (k = 1; k <= count; k++) {
        servers.upto[k].capacity = servers.upto[k - 1].capacity + draw_below(draw, 20);
        servers.upto[k].slots = servers.upto[k - 1].slots + 1 + draw_below(draw, 16);
        servers.upto[k].idle_watts =
            servers.upto[k - 1].idle_watts + draw_share(draw) * 200;
    }
    servers.supply.setup_s = draw_share(draw) * 600;
    servers.supply.late_last = draw_below(draw, 2);
    servers_tail(&servers);
}

static void draw_demand(draw_t *draw)
{
    servers.supply.on = draw_below(draw, servers.supply.servers + 1);
    servers.supply.coming = draw_below(draw, servers.supply.servers + 1);
    servers.supply.capacity_on = servers.upto[servers.supply.on].capacity;
    demand.now_us += draw_below(draw, 100) ? (int64_t)draw_below(draw, 3000) * 1000
                                           : (int64_t)draw_below(draw, 9000) * SEC;
    if (draw_below(draw, 3000) == 0) {
        demand.now_us = draw_below(draw, 2) ? draw_below(draw, 1000) : INT64_MAX / 2;
    }
    demand.day_s = (int64_t)draw_below(draw, 200000) - 50000;
    demand.arrived = wild(draw);
    demand.late = wild(draw);
    demand.in_system = wild(draw);
    demand.backlog = wild(draw);
}

START_TEST(any_demand_is_answered_within_the_bounds)
{
    draw_t draw = draw_begin("any_demand_is_answered_within_the_bounds");
    int step;

    for (step = 0; step < 60000; step++) {
        if (step % 1000 == 0) {
            draw_servers(&draw);
        }
        if (draw_below(&draw, 200) == 0) {
            conf.policy = (gb_policy_e)draw_below(&draw, GB_POLICY_COUNT);
            conf.budget = wild(&draw);
            conf.wait_s = wild(&draw);
            conf.target = wild(&draw);
            conf.hold_us = (int64_t)draw_below(&draw, 1000) * SEC;
        }
        draw_demand(&draw);
        choice = gb_decide(&decider, &conf, &servers.supply, &demand);
        check_choice("random", (long long)draw.state, step);
    }
}
END_TEST

/* What is in shared memory may be anything: sane at first sight or not at all. */
START_TEST(garbage_in_memory_does_no_harm)
{
    draw_t draw = draw_begin("garbage_in_memory_does_no_harm");
    int round, step;

    for (round = 0; round < 200; round++) {
        if (round % 20 == 0) {
            draw_servers(&draw);
        }
        conf.policy = (gb_policy_e)(round % GB_POLICY_COUNT);
        demand.now_us = (int64_t)draw_below(&draw, 1u << 31) * 1000;
        for (step = 0; step < 20; step++) {
            if (step % 10 == 0) {
                draw_bytes(&draw, &decider, sizeof decider);
                decider.policy = 1 + (uint32_t)conf.policy;
            }
            else if (step % 10 == 5) { /* a little of it */
                size_t at = draw_below(&draw, (uint32_t)sizeof decider - 64);

                draw_bytes(&draw, (char *)&decider + at, 64);
                decider.policy = 1 + (uint32_t)conf.policy;
            }
            demand.now_us += SEC;
            demand.arrived = draw_share(&draw) * 3000;
            demand.in_system = demand.arrived * 0.12;
            demand.backlog = demand.late = 0;
            choice = gb_decide(&decider, &conf, &servers.supply, &demand);
            check_choice("garbage", (long long)draw.state, step);
        }
    }
}
END_TEST

Suite *gb_decide_suite(void);

Suite *gb_decide_suite(void)
{
    Suite *suite = suite_create("gb_decide");
    TCase *tcase = tcase_create("decide");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, every_policy_is_found_by_its_name);
    tcase_add_test(tcase, other_names_are_none);
    tcase_add_test(tcase, defaults_are_those_of_the_manual);
    tcase_add_test(tcase, threshold_wakes_and_keeps_as_the_manual_says);
    tcase_add_test(tcase, threshold_lets_nobody_go_before_it_has_seen_the_hold);
    tcase_add_test(tcase, threshold_holds_the_highest_of_the_time_given);
    tcase_add_test(tcase, threshold_counts_what_waits_as_in_flight);
    tcase_add_test(tcase, threshold_on_servers_of_several_sizes);
    tcase_add_test(tcase, another_policy_begins_anew);
    tcase_add_test(tcase, a_policy_that_is_none_is_threshold);
    tcase_add_test(tcase, no_servers_at_all_are_answered_with_one);
    tcase_add_test(tcase, every_policy_answers_for_itself);
    tcase_add_test(tcase, the_latest_choice_is_remembered);
    tcase_add_test(tcase, any_demand_is_answered_within_the_bounds);
    tcase_add_test(tcase, garbage_in_memory_does_no_harm);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
