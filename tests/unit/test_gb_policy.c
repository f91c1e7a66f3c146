/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_policy.c - the load's past, the look ahead, and what capacity they ask for.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_policy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_US (100 * GB_US_PER_MS)
#define SEC     GB_US_PER_S

static const gb_threshold_t usual = {800, 500};

static gb_policy_t policy;
static gb_need_t need;
static int64_t now_us;
static int64_t ahead_us, hold_us;

static void setup(void)
{
    gb_policy_init(&policy);
    now_us = 1000 * SEC;
    ahead_us = 60 * SEC;
    hold_us = 120 * SEC;
}

static void see(uint32_t in_flight)
{
    now_us += TICK_US;
    need = gb_policy_threshold(&policy, &usual, in_flight, ahead_us, hold_us, now_us);
}

static void see_for(uint32_t in_flight, int64_t span_us)
{
    int64_t until_us = now_us + span_us;

    while (now_us < until_us) {
        see(in_flight);
    }
}

/* ------------------------------------------------------------ the load itself */

START_TEST(first_sample_is_the_load)
{
    see(37);
    ck_assert_uint_eq(need.load_milli, 37000);
    ck_assert_uint_eq(need.ahead_milli, 37000);
    ck_assert_uint_eq(need.up_capacity, 47); /* 37 / 0.8 = 46.25 */
}
END_TEST

START_TEST(constant_load_is_exact)
{
    see(3);
    see_for(52, 400 * SEC);
    ck_assert_uint_eq(need.load_milli, 52000);
    ck_assert_uint_eq(need.ahead_milli, 52000);
    ck_assert_uint_eq(need.held_milli, 52000);
    ck_assert_uint_eq(need.up_capacity, 65);
    ck_assert_uint_eq(need.down_capacity, 104);
    ck_assert_uint_eq(need.stay_capacity, 80); /* 52 / 0.65 */
}
END_TEST

START_TEST(no_load_needs_nothing)
{
    see_for(0, 200 * SEC);
    ck_assert_uint_eq(need.up_capacity, 0);
    ck_assert_uint_eq(need.down_capacity, 0);
    ck_assert_uint_eq(need.stay_capacity, 0);
}
END_TEST

START_TEST(a_step_is_seen_within_seconds)
{
    see_for(10, 60 * SEC);
    see_for(100, 1 * SEC);
    ck_assert_uint_gt(need.load_milli, 60000); /* 1 - 1/e of the step, about */
    see_for(100, 4 * SEC);
    ck_assert_uint_gt(need.load_milli, 97000);
}
END_TEST

START_TEST(a_single_spike_moves_the_load_little)
{
    see_for(10, 60 * SEC);
    see(60);
    ck_assert_uint_lt(need.load_milli, 15000);
}
END_TEST

/* ------------------------------------------------------------ looking ahead */

START_TEST(a_ramp_is_followed_one_boot_time_ahead)
{
    uint32_t i;

    see_for(100, 60 * SEC);
    for (i = 0; i < 1200; i++) {
        see(100 + i / 10); /* one more each second, for two minutes */
    }
    /* 219 now; 60 s later 279 */
    ck_assert_uint_gt(need.ahead_milli, 270000);
    ck_assert_uint_lt(need.ahead_milli, 285000);
}
END_TEST

START_TEST(a_falling_load_is_not_followed)
{
    uint32_t i;

    see_for(300, 60 * SEC);
    for (i = 0; i < 1200; i++) {
        see(300 - i / 10);
    }
    ck_assert_uint_eq(need.ahead_milli, need.load_milli);
    ck_assert_uint_ge(need.held_milli, 290000); /* of two minutes ago */
}
END_TEST

START_TEST(the_look_ahead_is_at_most_twice_the_load)
{
    uint32_t i;

    ahead_us = 600 * SEC;
    for (i = 0; i < 1200; i++) {
        see(i);
        ck_assert_uint_le(need.ahead_milli, 2 * need.load_milli);
    }
    ck_assert_uint_gt(need.ahead_milli, need.load_milli + need.load_milli / 2);
}
END_TEST

START_TEST(it_looks_no_further_ahead_than_it_has_looked_back)
{
    uint32_t i;

    ahead_us = 600 * SEC;
    for (i = 0; i < 1000; i++) {
        see(1000 + i); /* 10 more each second, seen for 100 s of 600 */
    }
    ck_assert_uint_gt(need.ahead_milli, 2800000); /* 2000 + 100 s * 10/s, about */
    ck_assert_uint_lt(need.ahead_milli, 3100000);
}
END_TEST

START_TEST(noise_is_no_growth)
{
    uint64_t most = 0;
    uint64_t sum = 0;
    uint32_t random = 12345;
    uint32_t i;

    for (i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        see(80 + (random >> 16) % 41); /* 80 to 120, each tick anew */
        if (i > 1200) {
            most = need.ahead_milli > most ? need.ahead_milli : most;
            sum += need.ahead_milli;
        }
    }
    ck_assert_uint_lt(most, 125000);
    ck_assert_uint_lt(sum / (20000 - 1201), 104000);
}
END_TEST

START_TEST(a_short_boot_needs_four_bins_of_past)
{
    uint32_t i;

    ahead_us = 2 * SEC;
    hold_us = 300 * SEC; /* bins of 8 s, longer than the boot */
    for (i = 0; i < 3000; i++) {
        see(100 + i / 10);
    }
    ck_assert_uint_ge(need.ahead_milli, need.load_milli + 1500);
    ck_assert_uint_le(need.ahead_milli, need.load_milli + 2500);
}
END_TEST

/* ------------------------------------------------------------ letting sleep */

START_TEST(nobody_sleeps_before_the_hold_was_seen)
{
    see_for(4, hold_us - SEC);
    ck_assert_uint_eq(need.down_capacity, GB_POLICY_NEVER);
    ck_assert_uint_eq(need.stay_capacity, GB_POLICY_NEVER);
    see_for(4, 10 * SEC);
    ck_assert_uint_eq(need.down_capacity, 8);
    ck_assert_uint_eq(need.stay_capacity, 7); /* 4 / 0.65 = 6.2 */
}
END_TEST

START_TEST(a_burst_is_held_against_sleeping_and_then_forgotten)
{
    see_for(10, 300 * SEC);
    ck_assert_uint_eq(need.down_capacity, 20);
    see_for(90, 10 * SEC);
    see_for(10, hold_us - 30 * SEC);
    ck_assert_uint_ge(need.down_capacity, 100);
    see_for(10, 60 * SEC);
    ck_assert_uint_le(need.down_capacity, 21);
}
END_TEST

START_TEST(the_past_survives_another_boot_time)
{
    see_for(10, 300 * SEC);
    see_for(90, 20 * SEC);
    see_for(10, 20 * SEC);
    ahead_us = 400 * SEC; /* learned: bins become longer */
    see(10);
    ck_assert_uint_ge(need.held_milli, 80000);
    ahead_us = 10 * SEC;
    hold_us = 60 * SEC; /* and shorter */
    see(10);
    ck_assert_uint_ge(need.held_milli, 80000);
    ck_assert_uint_ne(need.down_capacity, GB_POLICY_NEVER);
}
END_TEST

START_TEST(a_short_gap_counts_as_the_higher_side_of_it)
{
    see_for(10, 300 * SEC);
    now_us += 20 * SEC;
    see(50);
    ck_assert_uint_ge(need.held_milli, 50000);
    ck_assert_uint_ne(need.down_capacity, GB_POLICY_NEVER);
}
END_TEST

START_TEST(a_long_gap_is_a_new_start)
{
    see_for(10, 300 * SEC);
    now_us += 3600 * SEC;
    see(7);
    ck_assert_uint_eq(need.load_milli, 7000);
    ck_assert_uint_eq(need.down_capacity, GB_POLICY_NEVER);
}
END_TEST

START_TEST(a_clock_that_runs_back_is_a_new_start)
{
    see_for(10, 300 * SEC);
    now_us = 5 * SEC; /* another boot */
    see(7);
    ck_assert_uint_eq(need.load_milli, 7000);
    ck_assert_uint_eq(need.down_capacity, GB_POLICY_NEVER);
    see_for(7, hold_us + 10 * SEC);
    ck_assert_uint_eq(need.down_capacity, 14);
}
END_TEST

START_TEST(ticks_longer_than_a_bin_work)
{
    int i;

    for (i = 0; i < 40; i++) {
        now_us += 20 * SEC;
        need = gb_policy_threshold(&policy, &usual, 30, ahead_us, hold_us, now_us);
    }
    ck_assert_uint_eq(need.load_milli, 30000);
    ck_assert_uint_eq(need.down_capacity, 60);
}
END_TEST

/* ------------------------------------------------------------ hostile inputs */

START_TEST(absurd_thresholds_are_bounded)
{
    static const gb_threshold_t zero = {0, 0};
    static const gb_threshold_t crossed = {500, 900};

    see_for(10, 200 * SEC);
    need = gb_policy_threshold(&policy, &zero, 10, ahead_us, hold_us, now_us);
    ck_assert_uint_eq(need.up_capacity, 10000);
    need = gb_policy_threshold(&policy, &crossed, 10, ahead_us, hold_us, now_us);
    ck_assert_uint_eq(need.up_capacity, 20);
    ck_assert_uint_eq(need.down_capacity, 23); /* 10 / 0.438 */
    ck_assert_uint_ge(need.stay_capacity, need.up_capacity);
}
END_TEST

START_TEST(absurd_loads_and_times_are_bounded)
{
    ahead_us = INT64_MAX;
    hold_us = INT64_MAX;
    see(UINT32_MAX);
    ck_assert_uint_eq(need.load_milli, GB_POLICY_LOAD_MOST * UINT64_C(1000));
    see_for(UINT32_MAX, 10 * SEC);
    ck_assert_uint_le(need.ahead_milli, 2 * GB_POLICY_LOAD_MOST * UINT64_C(1000));
    ahead_us = INT64_MIN;
    hold_us = -1;
    see(1);
    ck_assert_uint_le(need.ahead_milli, 2 * need.load_milli);
    now_us = INT64_MAX - TICK_US;
    see(1);
    ck_assert_uint_eq(need.load_milli, 1000);
}
END_TEST

/* A segment of another layout, or a torn one. */
START_TEST(garbage_is_forgotten_and_never_read_beyond)
{
    uint32_t random = 99;
    int round;

    for (round = 0; round < 20000; round++) {
        unsigned char *bytes = (unsigned char *)&policy;
        size_t i;

        if (round % 2 == 0) {
            for (i = 0; i < sizeof policy; i++) {
                random = random * 1664525u + 1013904223u;
                bytes[i] = (unsigned char)(random >> 24);
            }
        }
        else { /* sound but for one field's worth of bytes */
            setup();
            see_for(10, 40 * SEC);
            random = random * 1664525u + 1013904223u;
            i = (random >> 8) % (offsetof(gb_policy_t, mean_milli) / 4) * 4;
            memset(bytes + i, (int)(random >> 24), 4);
        }
        now_us = 5000 * SEC;
        see(9);
        ck_assert_uint_le(need.load_milli, GB_POLICY_LOAD_MOST * UINT64_C(1000));
        ck_assert_uint_le(need.ahead_milli, 2 * need.load_milli);
        ck_assert_uint_ge(need.held_milli, need.ahead_milli);
        ck_assert_uint_lt(policy.bin_next, GB_POLICY_BINS);
    }
}
END_TEST

/* Over random loads, boot times, holds and gaps. */
START_TEST(what_may_sleep_is_never_missed_at_once)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    uint64_t random = seed;
    int step;

    printf("what_may_sleep_is_never_missed_at_once: GB_SEED=%llu\n",
           (unsigned long long)seed);
#define DRAW(n)                                                                        \
    ((random = random * UINT64_C(6364136223846793005) + 1, random >> 33) % (n))
    for (step = 0; step < 300000; step++) {
        gb_threshold_t threshold = {(uint32_t)DRAW(1000) + 1, 0};
        uint32_t most = 1u << DRAW(14);

        threshold.sleep_permille = (uint32_t)DRAW(threshold.wake_permille) + 1;
        if (DRAW(5000) == 0) {
            ahead_us = (int64_t)DRAW(1000) * SEC;
            hold_us = (int64_t)DRAW(1000) * SEC;
        }
        now_us += DRAW(2000) ? TICK_US : (int64_t)DRAW(600) * SEC;
        need = gb_policy_threshold(&policy, &threshold, (uint32_t)DRAW(most), ahead_us,
                                   hold_us, now_us);
        ck_assert_msg(need.stay_capacity >= need.up_capacity &&
                          need.down_capacity >= need.stay_capacity &&
                          need.held_milli >= need.ahead_milli &&
                          need.ahead_milli >= need.load_milli &&
                          need.ahead_milli <= 2 * need.load_milli &&
                          need.up_capacity * threshold.wake_permille >=
                              need.ahead_milli,
                      "step %d", step);
    }
}
END_TEST

Suite *gb_policy_suite(void);

Suite *gb_policy_suite(void)
{
    Suite *suite = suite_create("gb_policy");
    TCase *tcase = tcase_create("threshold");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, first_sample_is_the_load);
    tcase_add_test(tcase, constant_load_is_exact);
    tcase_add_test(tcase, no_load_needs_nothing);
    tcase_add_test(tcase, a_step_is_seen_within_seconds);
    tcase_add_test(tcase, a_single_spike_moves_the_load_little);
    tcase_add_test(tcase, a_ramp_is_followed_one_boot_time_ahead);
    tcase_add_test(tcase, a_falling_load_is_not_followed);
    tcase_add_test(tcase, the_look_ahead_is_at_most_twice_the_load);
    tcase_add_test(tcase, it_looks_no_further_ahead_than_it_has_looked_back);
    tcase_add_test(tcase, noise_is_no_growth);
    tcase_add_test(tcase, a_short_boot_needs_four_bins_of_past);
    tcase_add_test(tcase, nobody_sleeps_before_the_hold_was_seen);
    tcase_add_test(tcase, a_burst_is_held_against_sleeping_and_then_forgotten);
    tcase_add_test(tcase, the_past_survives_another_boot_time);
    tcase_add_test(tcase, a_short_gap_counts_as_the_higher_side_of_it);
    tcase_add_test(tcase, a_long_gap_is_a_new_start);
    tcase_add_test(tcase, a_clock_that_runs_back_is_a_new_start);
    tcase_add_test(tcase, ticks_longer_than_a_bin_work);
    tcase_add_test(tcase, absurd_thresholds_are_bounded);
    tcase_add_test(tcase, absurd_loads_and_times_are_bounded);
    tcase_add_test(tcase, garbage_is_forgotten_and_never_read_beyond);
    tcase_add_test(tcase, what_may_sleep_is_never_missed_at_once);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
