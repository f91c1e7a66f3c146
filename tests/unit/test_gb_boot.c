/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_boot.c - learned boot times.
 */
#include <check.h>
#include <string.h>

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

Suite *gb_boot_suite(void)
{
    Suite *suite = suite_create("gb_boot");
    TCase *tc = tcase_create("boot");

    tcase_add_test(tc, without_measurements_the_first_guess_counts);
    tcase_add_test(tc, quantiles_are_nearest_ranks);
    tcase_add_test(tc, few_measurements_do_not_hide_the_first_guess);
    tcase_add_test(tc, what_can_be_no_boot_time_is_ignored);
    tcase_add_test(tc, the_oldest_is_forgotten_first);
    tcase_add_test(tc, a_ring_that_a_file_made_up_does_no_harm);
    tcase_add_test(tc, delays_are_added_up_to_the_end_of_time);
    suite_add_tcase(suite, tc);
    return suite;
}
