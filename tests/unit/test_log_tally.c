/* SPDX-License-Identifier: Apache-2.0
 *
 * test_log_tally.c - requests counted by their second, in any order.
 */
#include "sim/log_tally.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_S INT64_C(1795332620)

static gs_log_tally_t *tally;

static void setup(void)
{
    tally = calloc(1, sizeof *tally);
    ck_assert_ptr_nonnull(tally);
}

static void teardown(void)
{
    gs_log_tally_free(tally);
    free(tally);
}

static bool add(int64_t at_s, int64_t took_us)
{
    return gs_log_tally_add(tally, at_s * 1000000 + 999999, 3600, took_us);
}

START_TEST(order_makes_no_difference)
{
    static const int64_t at_s[] = {5, 0, 7205, 5, 3, 3600, 5};
    gs_trace_t trace = {0};
    gs_error_t error;

    for (size_t i = 0; i < sizeof at_s / sizeof at_s[0]; i++) {
        ck_assert(add(BEGIN_S + at_s[i], -1));
    }
    ck_assert_msg(gs_log_tally_trace(tally, &trace, &error), "%s", error.text);
    ck_assert_uint_eq(trace.seconds, 7206);
    ck_assert(trace.is_counted && fabs(trace.requests - 7) < 0.5);
    for (uint32_t i = 0; i < trace.seconds; i++) {
        uint32_t count = i == 5 ? 3 : i == 0 || i == 3 || i == 3600 || i == 7205;

        ck_assert_uint_eq(trace.arrived[i], count);
        ck_assert(fabs((double)trace.rate[i] - count) < 1e-6);
    }
    ck_assert_int_eq(trace.log.first_at_s, BEGIN_S);
    ck_assert_int_eq(trace.log.gap_s, 3604);
    ck_assert_uint_eq(trace.log.timed, 0);
    ck_assert_int_eq(trace.start_day_s, (BEGIN_S + 3600) % 86400);
    free(trace.rate);
    free(trace.arrived);
}
END_TEST

START_TEST(count_above_16_bits_is_kept)
{
    gs_trace_t trace = {0};
    gs_error_t error;

    for (uint32_t i = 0; i < 70000; i++) {
        ck_assert(add(BEGIN_S, -1));
    }
    ck_assert(add(BEGIN_S + 1, -1));
    ck_assert_msg(gs_log_tally_trace(tally, &trace, &error), "%s", error.text);
    ck_assert_uint_eq(trace.arrived[0], 70000);
    ck_assert_uint_eq(trace.arrived[1], 1);
    free(trace.rate);
    free(trace.arrived);
}
END_TEST

START_TEST(span_is_limited_either_way)
{
    const int64_t most_s = GS_LOG_DAYS_MOST * INT64_C(86400);
    gs_trace_t trace = {0};
    gs_error_t error;

    ck_assert(add(BEGIN_S, -1));
    ck_assert(!add(BEGIN_S + most_s, -1));
    ck_assert(!add(BEGIN_S - most_s, -1));
    ck_assert(!add(0, -1));
    ck_assert(add(BEGIN_S - most_s + 1, -1));
    ck_assert(!add(BEGIN_S + 1, -1));
    ck_assert_msg(gs_log_tally_trace(tally, &trace, &error), "%s", error.text);
    ck_assert_uint_eq(trace.seconds, (uint32_t)most_s);
    ck_assert_uint_eq(trace.arrived[0], 1);
    ck_assert_uint_eq(trace.arrived[most_s - 1], 1);
    free(trace.rate);
    free(trace.arrived);
}
END_TEST

START_TEST(nothing_is_no_trace)
{
    gs_trace_t trace = {0};
    gs_error_t error;

    ck_assert(!gs_log_tally_trace(tally, &trace, &error));
    ck_assert_ptr_null(trace.rate);
}
END_TEST

/* Quantiles against the sorted values, over ten orders of magnitude. */
START_TEST(quantiles_are_right_to_two_percent)
{
    enum { MANY = 5000 };
    double most_wrong = 0, value = 1;
    int64_t took_us[MANY];

    for (int i = 0; i < MANY; i++) {
        took_us[i] = (int64_t)value; /* ascending */
        ck_assert(add(BEGIN_S, took_us[i]));
        value *= 1.0046;
    }
    ck_assert(add(BEGIN_S, -1));
    for (int i = 1; i <= MANY; i++) {
        double said = gs_log_tally_took_s(tally, (double)i / MANY) * 1e6;
        double wrong = fabs(said - (double)took_us[i - 1]) / (double)took_us[i - 1];

        most_wrong = fmax(most_wrong, wrong);
    }
    ck_assert_msg(most_wrong < 0.02, "%g", most_wrong);
    ck_assert_uint_eq(tally->timed, MANY);
    ck_assert(add(BEGIN_S, INT64_MAX));
    ck_assert(gs_log_tally_took_s(tally, 1) > 1e6);
}
END_TEST

Suite *log_tally_suite(void);
Suite *log_tally_suite(void)
{
    Suite *suite = suite_create("log_tally");
    TCase *tcase = tcase_create("log_tally");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, order_makes_no_difference);
    tcase_add_test(tcase, count_above_16_bits_is_kept);
    tcase_add_test(tcase, span_is_limited_either_way);
    tcase_add_test(tcase, nothing_is_no_trace);
    tcase_add_test(tcase, quantiles_are_right_to_two_percent);
    suite_add_tcase(suite, tcase);
    return suite;
}
