/* SPDX-License-Identifier: Apache-2.0
 *
 * test_sim_trace.c - traces, shapes, and what is drawn from them.
 */
#include "sim/greensim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gs_trace_t trace;
static gs_error_t error;

static bool parse(const char *text, double smooth_s)
{
    gs_trace_free(&trace);
    error.text[0] = '\0';
    return gs_trace_parse(&trace, "dir/load.csv", text, strlen(text), smooth_s, &error);
}

START_TEST(short_bins_are_repeated)
{
    ck_assert(parse("seconds,requests_per_second\n0,1\n2,3\n4,0.5\n", 0));
    ck_assert_str_eq(trace.name, "load.csv");
    ck_assert_uint_eq(trace.seconds, 6);
    ck_assert_float_eq(trace.rate[1], 1);
    ck_assert_float_eq(trace.rate[2], 3);
    ck_assert_float_eq(trace.rate[5], 0.5f);
}
END_TEST

START_TEST(parts_of_seconds_are_averaged)
{
    ck_assert(parse("0,4\n0.5,8\n1.0,1\n1.5,3\n", 0));
    ck_assert_uint_eq(trace.seconds, 2);
    ck_assert_float_eq_tol(trace.rate[0], 6, 1e-5f);
    ck_assert_float_eq_tol(trace.rate[1], 2, 1e-5f);
}
END_TEST

START_TEST(long_bins_are_joined_between_their_centres)
{
    ck_assert(parse("0,10\n60,20\n120,20\n", 0));
    ck_assert_uint_eq(trace.seconds, 180);
    ck_assert_float_eq(trace.rate[0], 10);
    ck_assert_float_eq_tol(trace.rate[60], 15, 0.1f);
    ck_assert_float_eq(trace.rate[179], 20);
}
END_TEST

START_TEST(nothing_comes_in_a_gap)
{
    ck_assert(parse("0,5\n10,5\n20,5\n100,5\n110,5\n", 0));
    ck_assert_uint_eq(trace.seconds, 120);
    ck_assert_float_eq(trace.rate[29], 5);
    ck_assert_float_eq(trace.rate[30], 0);
    ck_assert_float_eq(trace.rate[99], 0);
    ck_assert_float_eq(trace.rate[100], 5);
}
END_TEST

START_TEST(a_trace_may_begin_at_a_date)
{
    ck_assert(parse("1700000000,5\n1700000010,5\n", 0));
    ck_assert_uint_eq(trace.seconds, 20);
    ck_assert_int_eq(trace.start_day_s, 1700000000 % 86400);
}
END_TEST

START_TEST(bins_are_smoothed_by_whole_bins)
{
    ck_assert(parse("0,0\n10,0\n20,9\n30,0\n40,0\n", 30));
    ck_assert_float_eq(trace.rate[5], 0);
    ck_assert_float_eq_tol(trace.rate[15], 3, 1e-5f);
    ck_assert_float_eq_tol(trace.rate[35], 3, 1e-5f);
    ck_assert_float_eq(trace.rate[45], 0);
    ck_assert(!parse("0,0\n10,0\n", 5)); /* less than a bin */
}
END_TEST

static const char *const bad[][2] = {
    {"", "no numbers"},
    {"a,b\n", "no numbers"},
    {"0,1\n", "only one bin"},
    {"a,b\nc,d\n", ":2:"},
    {"0,1\n1,x\n", ":2:"},
    {"0,1\n1\n", ":2:"},
    {"0,1\n1,2,3\n", ":2:"},
    {"0,1\n1,-2\n", ":2:"},
    {"0,1\n1,nan\n", ":2:"},
    {"0,1\n1,inf\n", ":2:"},
    {"0,1\n1,0x10\n", ":2:"},
    {"0,1\n1,1e999\n", ":2:"},
    {"0,1\n# so\n\n0,2\n", ":4:"},
    {"5,1\n4,2\n", "ascend"},
    {"0,1\n1,1e7\n", "at most"},
    {"0,1\n1,1\n40000000,1\n", "days"},
    {"0,1\n0.0000001,1\n", "long"},
};

START_TEST(what_is_no_trace_is_refused_with_its_line)
{
    ck_assert(!parse(bad[_i][0], 0));
    ck_assert_msg(strstr(error.text, bad[_i][1]) != NULL, "%s: %s", bad[_i][0],
                  error.text);
    ck_assert_ptr_null(trace.rate);
}
END_TEST

START_TEST(peak_is_the_minute_that_few_pass)
{
    gs_trace_free(&trace);
    gs_generate(&trace, GS_SHAPE_DAY, 0, 1);
    ck_assert_double_eq_tol(gs_trace_peak(&trace), 1, 1e-3);
    gs_trace_scale(&trace, 500 / gs_trace_peak(&trace), 450);
    ck_assert_double_eq_tol(gs_trace_peak(&trace), 450, 1e-3);
}
END_TEST

START_TEST(the_same_seed_draws_the_same)
{
    gs_trace_t other;
    double sum = 0, squares = 0;

    gs_trace_free(&trace);
    gs_generate(&trace, GS_SHAPE_DAY, 0, 7);
    gs_generate(&other, GS_SHAPE_DAY, 0, 7);
    gs_trace_scale(&trace, 300, 1e6);
    gs_trace_scale(&other, 300, 1e6);
    gs_trace_draw(&trace, 7);
    gs_trace_draw(&other, 7);
    for (uint32_t t = 0; t < trace.seconds; t++) {
        double off = trace.arrived[t] - (double)trace.rate[t];

        ck_assert_uint_eq(trace.arrived[t], other.arrived[t]);
        sum += off;
        squares += off * off / (double)trace.rate[t];
    }
    ck_assert_double_eq_tol(sum / trace.seconds, 0, 0.2);
    ck_assert_double_eq_tol(squares / trace.seconds, 1, 0.03);
    gs_trace_draw(&other, 8);
    ck_assert_int_ne(
        memcmp(trace.arrived, other.arrived, trace.seconds * sizeof *trace.arrived), 0);
    gs_trace_free(&other);
}
END_TEST

START_TEST(counted_requests_stay_as_they_came)
{
    gs_trace_free(&trace);
    gs_generate(&trace, GS_SHAPE_DAY, 600, 1);
    trace.arrived = gs_alloc(600, sizeof *trace.arrived);
    trace.arrived[3] = 42;
    trace.is_counted = true;
    gs_trace_draw(&trace, 1);
    ck_assert_double_eq(trace.requests, 42);
}
END_TEST

START_TEST(numbers_are_those_of_the_published_generator)
{
    /* The first outputs of xoshiro256++ from the state 1, 2, 3, 4. */
    gs_random_t random = {{1, 2, 3, 4}};

    ck_assert_uint_eq(gs_random_next(&random), UINT64_C(41943041));
    ck_assert_uint_eq(gs_random_next(&random), UINT64_C(58720359));
    ck_assert_uint_eq(gs_random_next(&random), UINT64_C(3588806011781223));
}
END_TEST

/* Means and variances of Poisson numbers, below and above the change of method. */
START_TEST(poisson_numbers_have_their_mean_and_variance)
{
    static const double means[] = {0.01, 1, 9.9, 10.1, 100, 1e5};
    const double count = 200000;
    double mean = means[_i], sum = 0, squares = 0;
    gs_random_t random;

    gs_random_seed(&random, 5, 0);
    for (double i = 0; i < count; i++) {
        double off = gs_random_poisson(&random, mean) - mean;

        sum += off;
        squares += off * off;
    }
    ck_assert_double_eq_tol(sum / count, 0, 5 * sqrt(mean / count));
    ck_assert_double_eq_tol(squares / count, mean,
                            6 * sqrt((mean + 2 * mean * mean) / count));
}
END_TEST

Suite *sim_trace_suite(void)
{
    Suite *suite = suite_create("sim_trace");
    TCase *tcase = tcase_create("trace");

    tcase_add_test(tcase, short_bins_are_repeated);
    tcase_add_test(tcase, parts_of_seconds_are_averaged);
    tcase_add_test(tcase, long_bins_are_joined_between_their_centres);
    tcase_add_test(tcase, nothing_comes_in_a_gap);
    tcase_add_test(tcase, a_trace_may_begin_at_a_date);
    tcase_add_test(tcase, bins_are_smoothed_by_whole_bins);
    tcase_add_loop_test(tcase, what_is_no_trace_is_refused_with_its_line, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, peak_is_the_minute_that_few_pass);
    tcase_add_test(tcase, the_same_seed_draws_the_same);
    tcase_add_test(tcase, counted_requests_stay_as_they_came);
    tcase_add_test(tcase, numbers_are_those_of_the_published_generator);
    tcase_add_loop_test(tcase, poisson_numbers_have_their_mean_and_variance, 0, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}
