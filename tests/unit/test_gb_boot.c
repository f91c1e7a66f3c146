/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_boot.c - learned boot times.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_boot.h"

Suite *gb_boot_suite(void);

#define S GB_US_PER_S

static gb_boot_t learned(int64_t guess_us, const int64_t *took_us, int count)
{
    gb_boot_t boot;

    gb_boot_init(&boot, guess_us);
    for (int i = 0; i < count; i++) {
        gb_boot_learn(&boot, took_us[i]);
    }
    return boot;
}

START_TEST(without_measurements_the_first_guess_counts)
{
    gb_boot_t boot;

    memset(&boot, 0xff, sizeof(boot));
    gb_boot_init(&boot, 120 * S);
    for (uint32_t permille = 0; permille <= 1000; permille += 100) {
        ck_assert_int_eq(gb_boot_quantile(&boot, permille), 120 * S);
    }
}
END_TEST

START_TEST(quantiles_are_nearest_ranks)
{
    const int64_t took_us[] = {50 * S, 10 * S, 40 * S, 20 * S, 30 * S};
    gb_boot_t boot = learned(120 * S, took_us, 5);

    ck_assert_int_eq(gb_boot_quantile(&boot, 0), 10 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 200), 10 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 201), 20 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 30 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 800), 40 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 801), 50 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 1000), 50 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, UINT32_MAX), 50 * S);
}
END_TEST

START_TEST(few_measurements_do_not_hide_the_first_guess)
{
    const int64_t took_us[] = {10 * S, 200 * S, 20 * S, 30 * S};
    gb_boot_t boot = learned(120 * S, took_us, 1);

    ck_assert_int_eq(gb_boot_quantile(&boot, 950), 120 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 501), 120 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 10 * S);
    boot = learned(120 * S, took_us, 4);
    ck_assert_int_eq(gb_boot_quantile(&boot, 501), 200 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 20 * S);
    gb_boot_learn(&boot, 40 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 600), 30 * S);
}
END_TEST

START_TEST(what_can_be_no_boot_time_is_ignored)
{
    const int64_t took_us[] = {0, -1, INT64_MIN, 86400 * S + 1, INT64_MAX};
    gb_boot_t boot = learned(120 * S, took_us, 5);

    ck_assert_uint_eq(boot.count, 0);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 120 * S);
    gb_boot_learn(&boot, 86400 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 86400 * S);
}
END_TEST

/* A file system check among ordinary boots. */
START_TEST(one_outlier_spoils_neither_the_median_nor_a_full_ring_s_p95)
{
    gb_boot_t boot;

    gb_boot_init(&boot, 120 * S);
    for (int i = 0; i < GB_BOOT_KEPT; i++) {
        gb_boot_learn(&boot, i == 17 ? 2400 * S : (60 + i % 10) * S);
        ck_assert_int_le(gb_boot_quantile(&boot, 500), 69 * S);
    }
    ck_assert_int_le(gb_boot_quantile(&boot, 950), 69 * S); /* the second worst */
    ck_assert_int_eq(gb_boot_quantile(&boot, 1000), 2400 * S);
    gb_boot_learn(&boot, 2400 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 950), 2400 * S); /* two are none */
    ck_assert_int_le(gb_boot_quantile(&boot, 500), 69 * S);
}
END_TEST

static uint64_t dice;

static int64_t delayed_boot_us(void) /* 5 s, and a random delay of 0-120 s */
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return 5 * S + (int64_t)(dice % (uint64_t)(120 * S));
}

/* How many of the next 1,000 boots take no longer than was expected before each. */
static uint32_t covered_permille(gb_boot_t *boot, bool learn)
{
    uint32_t covered = 0;

    for (int i = 0; i < 1000; i++) {
        int64_t took_us = delayed_boot_us();

        covered += took_us <= gb_boot_quantile(boot, 950);
        if (learn) {
            gb_boot_learn(boot, took_us);
        }
    }
    return covered;
}

START_TEST(a_random_delay_is_learned_within_twenty_boots)
{
    const char *given = getenv("GB_SEED");
    uint64_t at_twenty = 0;
    enum { WORLDS = 50 };

    dice = (given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL)) * 2 + 1;
    printf("test_gb_boot: GB_SEED=%llu\n", (unsigned long long)(dice / 2));
    fflush(stdout);
    for (int i = 0; i < 100; i++) {
        (void)delayed_boot_us(); /* small seeds need some turns */
    }
    for (int world = 0; world < WORLDS; world++) {
        gb_boot_t boot;

        gb_boot_init(&boot, 30 * S); /* far too short a guess */
        for (int i = 0; i < 20; i++) {
            gb_boot_learn(&boot, delayed_boot_us());
        }
        at_twenty += covered_permille(&boot, false);
        ck_assert_uint_ge(covered_permille(&boot, true), 900);
    }
    /* What twenty have shown covers 19 of 21, taken over many machines. */
    ck_assert_uint_ge(at_twenty / WORLDS, 860);
}
END_TEST

START_TEST(the_oldest_is_forgotten_first)
{
    gb_boot_t boot;

    gb_boot_init(&boot, 120 * S);
    gb_boot_learn(&boot, 1000 * S);
    for (int i = 1; i < GB_BOOT_KEPT; i++) {
        gb_boot_learn(&boot, 10 * S);
        ck_assert_int_eq(gb_boot_quantile(&boot, 1000), 1000 * S);
    }
    gb_boot_learn(&boot, 11 * S);
    ck_assert_int_eq(gb_boot_quantile(&boot, 1000), 11 * S);
    ck_assert_uint_eq(boot.count, GB_BOOT_KEPT + 1);
}
END_TEST

START_TEST(every_time_is_counted_in_the_bucket_that_bounds_it)
{
    const int64_t took_us[] = {
        1,       S,           S + 1,     89 * S,        90 * S,
        600 * S, 600 * S + 1, 86400 * S, 86400 * S + 1, 0}; /* the last two are none */
    gb_boot_t boot = learned(120 * S, took_us, 10);
    int64_t below_us = 0;
    uint64_t sum_us = 0;

    for (uint32_t i = 0; i < GB_BOOT_BUCKETS; i++) {
        int64_t bound_us = gb_boot_bound_us(i);
        uint32_t expected = 0;

        ck_assert_int_gt(bound_us, below_us);
        for (int k = 0; k < 8; k++) {
            expected += took_us[k] > below_us && took_us[k] <= bound_us;
        }
        ck_assert_uint_eq(boot.histogram[i], expected);
        below_us = bound_us;
    }
    for (int k = 0; k < 8; k++) {
        sum_us += (uint64_t)took_us[k];
    }
    ck_assert_uint_eq(boot.sum_us, sum_us);
    ck_assert_int_eq(below_us, GB_NEVER_US);
    ck_assert_int_eq(gb_boot_bound_us(UINT32_MAX), GB_NEVER_US);
}
END_TEST

START_TEST(the_histogram_forgets_nothing)
{
    gb_boot_t boot;

    gb_boot_init(&boot, 120 * S);
    for (uint32_t i = 1; i <= 3 * GB_BOOT_KEPT; i++) {
        gb_boot_learn(&boot, 7 * S);
        ck_assert_uint_eq(boot.histogram[4], i); /* up to 10 s */
    }
    ck_assert_uint_eq(boot.sum_us, 3 * GB_BOOT_KEPT * 7 * (uint64_t)S);
}
END_TEST

START_TEST(a_ring_that_a_file_made_up_does_no_harm)
{
    gb_boot_t boot;

    memset(&boot, 0, sizeof(boot));
    boot.first_guess_us = 120 * S;
    boot.count = UINT32_MAX;
    boot.next = UINT32_MAX;
    boot.took_us[3] = INT64_MAX;
    ck_assert_int_eq(gb_boot_quantile(&boot, 950), 120 * S);
    gb_boot_learn(&boot, 10 * S);
    ck_assert_uint_eq(boot.count, UINT32_MAX);
    ck_assert_uint_lt(boot.next, GB_BOOT_KEPT);
    ck_assert_int_eq(gb_boot_quantile(&boot, 500), 10 * S);
}
END_TEST

START_TEST(delays_are_added_up_to_the_end_of_time)
{
    ck_assert_int_eq(gb_after_us(5, 7), 12);
    ck_assert_int_eq(gb_after_us(-5, 7), 2);
    ck_assert_int_eq(gb_after_us(-5, INT64_MAX), INT64_MAX - 5);
    ck_assert_int_eq(gb_after_us(INT64_MAX - 7, 7), GB_NEVER_US);
    ck_assert_int_eq(gb_after_us(INT64_MAX - 7, 8), GB_NEVER_US);
    ck_assert_int_eq(gb_after_us(GB_NEVER_US, GB_NEVER_US), GB_NEVER_US);
}
END_TEST

START_TEST(doubling_ends_at_the_most)
{
    ck_assert_int_eq(gb_doubled_us(10, 0, 60), 10);
    ck_assert_int_eq(gb_doubled_us(10, 1, 60), 20);
    ck_assert_int_eq(gb_doubled_us(10, 2, 60), 40);
    ck_assert_int_eq(gb_doubled_us(10, 3, 60), 60);
    ck_assert_int_eq(gb_doubled_us(10, UINT32_MAX, 60), 60);
    ck_assert_int_eq(gb_doubled_us(100, 0, 60), 60);
    ck_assert_int_eq(gb_doubled_us(1, UINT32_MAX, INT64_MAX), INT64_MAX);
    ck_assert_int_eq(gb_doubled_us(INT64_MAX / 2 + 1, 1, INT64_MAX), INT64_MAX);
}
END_TEST

Suite *gb_boot_suite(void)
{
    Suite *suite = suite_create("gb_boot");
    TCase *tc = tcase_create("boot");

    tcase_add_test(tc, without_measurements_the_first_guess_counts);
    tcase_add_test(tc, quantiles_are_nearest_ranks);
    tcase_add_test(tc, few_measurements_do_not_hide_the_first_guess);
    tcase_add_test(tc, what_can_be_no_boot_time_is_ignored);
    tcase_add_test(tc, one_outlier_spoils_neither_the_median_nor_a_full_ring_s_p95);
    tcase_add_test(tc, a_random_delay_is_learned_within_twenty_boots);
    tcase_add_test(tc, the_oldest_is_forgotten_first);
    tcase_add_test(tc, every_time_is_counted_in_the_bucket_that_bounds_it);
    tcase_add_test(tc, the_histogram_forgets_nothing);
    tcase_add_test(tc, a_ring_that_a_file_made_up_does_no_harm);
    tcase_add_test(tc, doubling_ends_at_the_most);
    tcase_add_test(tc, delays_are_added_up_to_the_end_of_time);
    suite_add_tcase(suite, tc);
    return suite;
}
