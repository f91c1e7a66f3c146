/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_meter.c - histograms and counters of requests.
 */
#include "core/gb_meter.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_US 64

static uint64_t dice;

static uint64_t roll(uint64_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

static void seed_dice(const char *test)
{
    const char *given = getenv("GB_SEED");

    dice = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    dice |= 1;
    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)dice);
}

START_TEST(buckets_follow_on_without_gap)
{
    int64_t from_us = FIRST_US;
    uint32_t b;

    for (b = 0; b < GB_LATENCY_BUCKETS; b++) {
        int64_t top_us = gb_meter_bucket_top_us(b);

        ck_assert_int_gt(top_us, from_us);
        ck_assert_uint_eq(gb_meter_bucket(from_us), b);
        ck_assert_uint_eq(gb_meter_bucket(top_us - 1), b);
        ck_assert_int_le((top_us - from_us) * 8, from_us); /* at most 1/8 wide */
        from_us = top_us;
    }
    ck_assert_int_gt(from_us, INT64_C(3600) * 1000000); /* over an hour */
}
END_TEST

START_TEST(latencies_beyond_the_ends_count_in_the_end_buckets)
{
    ck_assert_uint_eq(gb_meter_bucket(INT64_MIN), 0);
    ck_assert_uint_eq(gb_meter_bucket(-1), 0);
    ck_assert_uint_eq(gb_meter_bucket(0), 0);
    ck_assert_uint_eq(gb_meter_bucket(FIRST_US - 1), 0);
    ck_assert_uint_eq(gb_meter_bucket(INT64_MAX), GB_LATENCY_BUCKETS - 1);
    ck_assert_int_eq(gb_meter_bucket_top_us(UINT32_MAX),
                     gb_meter_bucket_top_us(GB_LATENCY_BUCKETS - 1));
}
END_TEST

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(quantiles_are_off_by_a_sixteenth_at_most)
{
    static const uint32_t permilles[] = {0, 1, 250, 500, 900, 990, 999, 1000, 5000};
    static int64_t values[3000];
    int run;

    seed_dice("quantiles");
    for (run = 0; run < 200; run++) {
        gb_cell_t cell;
        size_t count = 1 + roll(3000), i;

        memset(&cell, 0, sizeof(cell));
        for (i = 0; i < count; i++) {
            /* over all magnitudes up to an hour */
            values[i] = FIRST_US + (int64_t)roll(UINT64_C(1) << (1 + roll(31)));
            gb_meter_count(&cell, GB_OUT_OK, values[i]);
        }
        qsort(values, count, sizeof(values[0]), compare);
        for (i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++) {
            uint32_t permille = permilles[i] > 1000 ? 1000 : permilles[i];
            size_t rank = (count * permille + 999) / 1000;
            int64_t exact = values[rank ? rank - 1 : 0];
            int64_t got = gb_meter_quantile_us(cell.latency, permilles[i]);

            ck_assert_int_le(llabs(got - exact) * 16, exact);
        }
    }
}
END_TEST

START_TEST(quantile_of_nothing_is_zero)
{
    uint32_t latency[GB_LATENCY_BUCKETS] = {0};

    ck_assert_int_eq(gb_meter_quantile_us(latency, 500), 0);
}
END_TEST

START_TEST(latency_is_noted_for_answers_of_the_backend_only)
{
    int outcome;

    for (outcome = 0; outcome < GB_OUT_COUNT; outcome++) {
        gb_cell_t cell;
        bool answered = outcome == GB_OUT_OK || outcome == GB_OUT_CLIENT ||
                        outcome == GB_OUT_SERVER;

        memset(&cell, 0, sizeof(cell));
        gb_meter_count(&cell, (gb_outcome_e)outcome, 1000);
        ck_assert_uint_eq(cell.outcomes[outcome], 1);
        ck_assert_uint_eq(cell.latency_sum_us, answered ? 1000 : 0);
        ck_assert_uint_eq(cell.latency[gb_meter_bucket(1000)], answered);
        ck_assert_uint_eq(cell.arrivals, 0);
    }
}
END_TEST

START_TEST(outcome_out_of_range_counts_nowhere)
{
    gb_cell_t cell, zero;

    memset(&cell, 0, sizeof(cell));
    memset(&zero, 0, sizeof(zero));
    gb_meter_count(&cell, GB_OUT_COUNT, 1000);
    ck_assert_mem_eq(&cell, &zero, sizeof(cell));
}
END_TEST

START_TEST(negative_latency_adds_nothing_to_the_sum)
{
    gb_cell_t cell;

    memset(&cell, 0, sizeof(cell));
    gb_meter_count(&cell, GB_OUT_OK, -1000000);
    ck_assert_uint_eq(cell.latency_sum_us, 0);
    ck_assert_uint_eq(cell.latency[0], 1);
}
END_TEST

Suite *gb_meter_suite(void);
Suite *gb_meter_suite(void)
{
    Suite *suite = suite_create("gb_meter");
    TCase *tcase = tcase_create("histograms");

    tcase_add_test(tcase, buckets_follow_on_without_gap);
    tcase_add_test(tcase, latencies_beyond_the_ends_count_in_the_end_buckets);
    tcase_add_test(tcase, quantiles_are_off_by_a_sixteenth_at_most);
    tcase_add_test(tcase, quantile_of_nothing_is_zero);
    tcase_add_test(tcase, latency_is_noted_for_answers_of_the_backend_only);
    tcase_add_test(tcase, outcome_out_of_range_counts_nowhere);
    tcase_add_test(tcase, negative_latency_adds_nothing_to_the_sum);
    suite_add_tcase(suite, tcase);
    return suite;
}
