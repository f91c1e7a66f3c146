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
    ck_assert_double_eq_tol(gb_curve_watts_at(&curve, 0.05), 70, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts_at(&curve, 0.99905), 170 + 130 * 0.9905,
                            1e-6);
}
END_TEST

START_TEST(load_above_full_is_clamped)
{
    gb_curve_t curve = {0};

    gb_curve_linear(&curve, 100, 200);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, 1001), 200, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts(&curve, UINT32_MAX), 200, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts_at(&curve, 1.5), 200, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts_at(&curve, -1), 100, NEAR);
    ck_assert_double_eq_tol(gb_curve_watts_at(&curve, NAN), 100, NEAR);
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

#define T0 (1000 * GB_US_PER_S)

static gb_draw_t draw_at(uint32_t state, double watts, int64_t read_at_us,
                         int64_t since_us, int64_t now_us)
{
    gb_curve_t curve = {.off_watts = 4};
    gb_reading_t reading = {watts, read_at_us};

    gb_curve_linear(&curve, 100, 200);
    return gb_energy_draw(&curve, &reading, since_us, state, 500, now_us);
}

START_TEST(measured_watts_count_while_they_are_fresh)
{
    gb_draw_t draw = draw_at(GB_ST_ON, 123, T0, T0, T0 + GB_WATTS_FRESH_US);

    ck_assert_int_eq(draw.source, GB_WATTS_MEASURED);
    ck_assert_double_eq_tol(draw.watts, 123, NEAR);
    ck_assert_double_eq_tol(draw.watts_always_on, 123, NEAR);
    draw = draw_at(GB_ST_ON, 123, T0, T0, T0 + GB_WATTS_FRESH_US + 1);
    ck_assert_int_eq(draw.source, GB_WATTS_CURVE);
    ck_assert_double_eq_tol(draw.watts, 150, NEAR);
    draw = draw_at(GB_ST_ON, 123, 0, 0, T0);
    ck_assert_int_eq(draw.source, GB_WATTS_CURVE);
}
END_TEST

START_TEST(a_reading_of_before_the_phase_says_nothing)
{
    gb_draw_t draw = draw_at(GB_ST_ASLEEP, 123, T0, T0 + 1, T0 + 2);

    ck_assert_int_eq(draw.source, GB_WATTS_CURVE);
    ck_assert_double_eq_tol(draw.watts, 4, NEAR);
    ck_assert_double_eq_tol(draw.watts_always_on, 150, NEAR);
    draw = draw_at(GB_ST_ASLEEP, 7, T0 + 1, T0 + 1, T0 + 2);
    ck_assert_int_eq(draw.source, GB_WATTS_MEASURED);
    ck_assert_double_eq_tol(draw.watts, 7, NEAR);
    ck_assert_double_eq_tol(draw.watts_always_on, 150, NEAR);
}
END_TEST

START_TEST(what_was_not_done_is_never_measured)
{
    static const uint32_t states[] = {GB_ST_STOPPING, GB_ST_ASLEEP, GB_ST_WAKING,
                                      GB_ST_FAILED};

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        gb_draw_t draw = draw_at(states[i], 60, T0, T0, T0);

        ck_assert_double_eq_tol(draw.watts, 60, NEAR);
        ck_assert_double_eq_tol(draw.watts_always_on, 150, NEAR);
    }
}
END_TEST

START_TEST(assumptions_are_told_apart_for_on_and_off)
{
    gb_curve_t curve = {.assumed = 0, .assumed_off = 1};
    gb_reading_t none = {0, 0};

    ck_assert_int_eq(gb_energy_draw(&curve, &none, 0, GB_ST_ON, 0, T0).source,
                     GB_WATTS_CURVE);
    ck_assert_int_eq(gb_energy_draw(&curve, &none, 0, GB_ST_ASLEEP, 0, T0).source,
                     GB_WATTS_ASSUMED);
    curve.assumed = 1;
    curve.assumed_off = 0;
    ck_assert_int_eq(gb_energy_draw(&curve, &none, 0, GB_ST_WAKING, 0, T0).source,
                     GB_WATTS_ASSUMED);
    ck_assert_int_eq(gb_energy_draw(&curve, &none, 0, GB_ST_ASLEEP, 0, T0).source,
                     GB_WATTS_CURVE);
}
END_TEST

START_TEST(implausible_readings_are_no_watts)
{
    static const double odd[] = {-0.1, (double)NAN, (double)INFINITY, -(double)INFINITY,
                                 GB_READING_MOST_WATTS + 1};

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        ck_assert(!gb_watts_plausible(odd[i], false));
        ck_assert(!gb_watts_plausible(odd[i], true));
        ck_assert_int_ne(draw_at(GB_ST_ON, odd[i], T0, T0, T0).source,
                         GB_WATTS_MEASURED);
    }
    ck_assert(gb_watts_plausible(0, false));
    ck_assert(!gb_watts_plausible(0, true));
    ck_assert(gb_watts_plausible(GB_READING_MOST_WATTS, true));
}
END_TEST

START_TEST(phases_follow_the_power)
{
    ck_assert_int_eq(gb_phase_of(GB_ST_ASLEEP), GB_PHASE_OFF);
    ck_assert_int_eq(gb_phase_of(GB_ST_WAKING), GB_PHASE_BOOTING);
    ck_assert_int_eq(gb_phase_of(GB_ST_ON), gb_phase_of(GB_ST_DRAINING));
    ck_assert_int_eq(gb_phase_of(GB_ST_STOPPING), GB_PHASE_UP);
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
    tcase_add_test(tcase, measured_watts_count_while_they_are_fresh);
    tcase_add_test(tcase, a_reading_of_before_the_phase_says_nothing);
    tcase_add_test(tcase, what_was_not_done_is_never_measured);
    tcase_add_test(tcase, assumptions_are_told_apart_for_on_and_off);
    tcase_add_test(tcase, implausible_readings_are_no_watts);
    tcase_add_test(tcase, phases_follow_the_power);
    suite_add_tcase(suite, tcase);
    return suite;
}
