/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_energy.c - power curves and the account of energy.
 */
#include "core/gb_energy.h"

#include <check.h>
#include <math.h>

#define NEAR 1e-9

START_TEST(straight_line_from_idle_to_peak)
{
    gb_curve_t curve = {0};

    gb_curve_linear(&curve, 100, 200);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 0), 100, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 500), 150, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 1000), 200, NEAR);
}
END_TEST

START_TEST(assumed_curve_says_that_it_is_assumed)
{
    gb_curve_t curve = {0};

    gb_curve_assume(&curve);
    ck_assert_uint_eq(curve.assumed, 1);
    ck_assert_uint_eq(curve.assumed_off, 1);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 0), 100, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 1000), 200, NEAR);
    ck_assert_double_eq_tol(curve.off_watts, 5, NEAR);
}
END_TEST

START_TEST(load_between_points_is_interpolated)
{
    gb_curve_t curve = {{50, 90, 100, 110, 120, 130, 140, 150, 160, 170, 300}, 5, 0, 0};

    ck_assert_double_eq_tol(gb_curve_watts(&curve, 50), 70, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 975), 170 + 130 * 0.75, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 999), 170 + 130 * 0.99, 1e-6);
}
END_TEST

START_TEST(load_above_full_is_clamped)
{
    gb_curve_t curve = {0};

    gb_curve_linear(&curve, 100, 200);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 1001), 200, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, UINT32_MAX), 200, NEAR);
}
END_TEST

START_TEST(trapezoid_between_samples)
{
    gb_joules_t account = {0};

    gb_joules_add(&account, 100, 10 * GB_US_PER_S, 5 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 0, NEAR);
    gb_joules_add(&account, 200, 10 * GB_US_PER_S, 7 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 300, NEAR);
    gb_joules_add(&account, 200, 10 * GB_US_PER_S, 8 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 500, NEAR);
}
END_TEST

START_TEST(gap_is_not_filled_in)
{
    gb_joules_t account = {0};

    gb_joules_add(&account, 100, GB_US_PER_S, 1);
    gb_joules_add(&account, 100, GB_US_PER_S, 1 + 2 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 0, NEAR);
    gb_joules_add(&account, 100, GB_US_PER_S, 1 + 3 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 100, NEAR);
}
END_TEST

START_TEST(energy_never_decreases)
{
    static const double odd[] = {-5, (double)NAN, (double)INFINITY, 1e300};
    gb_joules_t account = {0};
    size_t i;

    gb_joules_add(&account, 10, GB_US_PER_S, GB_US_PER_S);
    gb_joules_add(&account, 10, GB_US_PER_S, 2 * GB_US_PER_S);
    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        gb_joules_add(&account, odd[i], GB_US_PER_S, 2 * GB_US_PER_S + 1);
        ck_assert_double_eq_tol(account.joules, 10, NEAR);
    }
    gb_joules_add(&account, 10, GB_US_PER_S, GB_US_PER_S); /* an instant of the past */
    gb_joules_add(&account, 10, GB_US_PER_S, 2 * GB_US_PER_S);
    ck_assert_double_eq_tol(account.joules, 10, NEAR);
    ck_assert_int_eq(account.at_us, 2 * GB_US_PER_S);
}
END_TEST

START_TEST(order_of_filling_goes_by_peak_watts_per_request)
{
    gb_curve_t curve = {0};

    gb_curve_linear(&curve, 100, 200);
    ck_assert_double_eq_tol(gb_curve_watts_per_request(&curve, 16), 12.5, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts_per_request(&curve, 0), 200, NEAR);
}
END_TEST

Suite *gb_energy_suite(void);
Suite *gb_energy_suite(void)
{
    Suite *suite = suite_create("gb_energy");
    TCase *tcase = tcase_create("watts and joules");

    tcase_add_test(tcase, straight_line_from_idle_to_peak);
    tcase_add_test(tcase, assumed_curve_says_that_it_is_assumed);
    tcase_add_test(tcase, load_between_points_is_interpolated);
    tcase_add_test(tcase, load_above_full_is_clamped);
    tcase_add_test(tcase, trapezoid_between_samples);
    tcase_add_test(tcase, gap_is_not_filled_in);
    tcase_add_test(tcase, energy_never_decreases);
    tcase_add_test(tcase, order_of_filling_goes_by_peak_watts_per_request);
    suite_add_tcase(suite, tcase);
    return suite;
}
