/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_outlier.c - the passive check.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_outlier.h"

Suite *gb_outlier_suite(void);

#define S  GB_US_PER_S
#define MS GB_US_PER_MS

static const gb_outlier_rules_t rules = {5, 10 * S, 30 * S};

START_TEST(errors_count_within_the_window_only)
{
    gb_outlier_t outlier = {0};

    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 100, true, 1000 * S), 0);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 102, true, 1001 * S), 2);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 104, true, 1005 * S), 4);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 104, true, 1010 * S), 4);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 105, true, 1011 * S), 3);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 105, true, 1016 * S), 1);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 105, true, 1030 * S), 0);
}
END_TEST

START_TEST(errors_out_of_service_are_passed_over)
{
    gb_outlier_t outlier = {0};

    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 7, true, S), 0);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 90, false, 2 * S), 0);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 91, true, 3 * S), 1);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 3, true, 4 * S), 1); /* anew */
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 4, true, 5 * S), 2);
}
END_TEST

START_TEST(never_more_than_half)
{
    static const struct {
        uint32_t serving, ejected;
        bool allowed;
    } rows[] = {{0, 0, false}, {1, 0, false}, {2, 0, true},  {2, 1, false},
                {3, 0, true},  {3, 1, false}, {4, 1, true},  {4, 2, false},
                {5, 2, false}, {9, 3, true},  {9, 4, false}, {1, 9, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(gb_outlier_allowed(rows[i].serving, rows[i].ejected) ==
                          rows[i].allowed,
                      "row %zu", i);
    }
}
END_TEST

START_TEST(ejections_double_and_a_calm_time_ends_the_row)
{
    gb_outlier_t outlier = {0};
    int64_t now_us = 100 * S;

    for (int64_t lasts_us = 30 * S; lasts_us < 8000 * S; lasts_us *= 2) {
        int64_t wanted_us = lasts_us < 3600 * S ? lasts_us : 3600 * S;

        ck_assert_int_eq(gb_outlier_eject(&outlier, &rules, now_us), wanted_us);
        ck_assert(outlier.ejected);
        ck_assert(!gb_outlier_pass(&outlier, &rules, now_us + wanted_us - 1));
        now_us += wanted_us;
        ck_assert(gb_outlier_pass(&outlier, &rules, now_us));
        ck_assert(!outlier.ejected);
        now_us += 299 * S; /* not calm enough */
        ck_assert(!gb_outlier_pass(&outlier, &rules, now_us));
    }
    ck_assert(!gb_outlier_pass(&outlier, &rules, now_us + S));
    ck_assert_uint_eq(outlier.ejections, 0);
    ck_assert_int_eq(gb_outlier_eject(&outlier, &rules, now_us + S), 30 * S);
}
END_TEST

START_TEST(a_pardon_ends_it_and_the_row_goes_on)
{
    gb_outlier_t outlier = {0};

    gb_outlier_eject(&outlier, &rules, 100 * S);
    gb_outlier_pardon(&outlier, 110 * S);
    ck_assert(!outlier.ejected);
    ck_assert(!gb_outlier_pass(&outlier, &rules, 131 * S));
    ck_assert_int_eq(gb_outlier_eject(&outlier, &rules, 140 * S), 60 * S);
}
END_TEST

START_TEST(an_ejection_begins_with_an_empty_window)
{
    gb_outlier_t outlier = {0};

    gb_outlier_look(&outlier, &rules, 0, true, 100 * S);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 9, true, 101 * S), 9);
    gb_outlier_eject(&outlier, &rules, 101 * S);
    ck_assert_uint_eq(gb_outlier_look(&outlier, &rules, 9, true, 101 * S), 0);
}
END_TEST

#define MEMBERS 7

/* The exact count over a sliding window, to compare with. */
typedef struct truth_t {
    int64_t at_us[4096];
    uint32_t count;
} truth_t;

static uint32_t truth_within(const truth_t *truth, int64_t from_us)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < truth->count; i++) {
        sum += truth->at_us[i] > from_us;
    }
    return sum;
}

/* Any errors at any time: the window never counts more than the exact one does, and
 * never less than the exact one of fifteen sixteenths; never more than half are out,
 * and nobody is out for more than an hour. */
START_TEST(random_errors_keep_the_bounds)
{
    static truth_t truth[MEMBERS];
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)clock();
    gb_outlier_t outliers[MEMBERS];
    uint64_t counters[MEMBERS] = {0};
    int64_t now_us = 50 * S;
    uint32_t out = 0;

    printf("gb_outlier: seed %u\n", seed);
    srand(seed);
    memset(outliers, 0, sizeof(outliers));
    memset(truth, 0, sizeof(truth));
    for (int m = 0; m < MEMBERS; m++) {
        gb_outlier_look(&outliers[m], &rules, 0, true, now_us);
    }
    for (int step = 0; step < 20000; step++) {
        now_us += rand() % 20 ? 100 * MS : rand() % (20 * S);
        for (int m = 0; m < MEMBERS; m++) {
            bool fails = rand() % 40 == 0 && truth[m].count < 4096;
            uint32_t errors;

            if (fails) {
                counters[m]++;
                truth[m].at_us[truth[m].count++] = now_us;
            }
            out -= gb_outlier_pass(&outliers[m], &rules, now_us);
            errors = gb_outlier_look(&outliers[m], &rules, counters[m], true, now_us);
            ck_assert_uint_le(errors, truth_within(&truth[m], now_us - 10 * S));
            ck_assert_uint_ge(errors,
                              truth_within(&truth[m], now_us - 10 * S / 16 * 15));
            if (!outliers[m].ejected && errors >= rules.errors &&
                gb_outlier_allowed(MEMBERS, out)) {
                int64_t lasts_us = gb_outlier_eject(&outliers[m], &rules, now_us);

                ck_assert_int_ge(lasts_us, rules.eject_us);
                ck_assert_int_le(lasts_us, GB_OUTLIER_LONGEST_US);
                truth[m].count = 0; /* it begins anew */
                out++;
            }
            ck_assert_uint_le(out, MEMBERS / 2);
        }
    }
}
END_TEST

Suite *gb_outlier_suite(void)
{
    Suite *suite = suite_create("gb_outlier");
    TCase *tests = tcase_create("passive check");

    tcase_add_test(tests, errors_count_within_the_window_only);
    tcase_add_test(tests, errors_out_of_service_are_passed_over);
    tcase_add_test(tests, never_more_than_half);
    tcase_add_test(tests, ejections_double_and_a_calm_time_ends_the_row);
    tcase_add_test(tests, a_pardon_ends_it_and_the_row_goes_on);
    tcase_add_test(tests, an_ejection_begins_with_an_empty_window);
    tcase_add_test(tests, random_errors_keep_the_bounds);
    suite_add_tcase(suite, tests);
    return suite;
}
