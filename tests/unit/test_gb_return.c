/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_return.c - slow start.
 */
#include <check.h>

#include "core/gb_return.h"

Suite *gb_return_suite(void);

#define S GB_US_PER_S

START_TEST(share_grows_from_a_tenth_to_the_whole)
{
    static const uint32_t wanted[] = {2, 5, 8, 11, 14, 17, 20, 20};

    for (int i = 0; i < 8; i++) {
        ck_assert_uint_eq(gb_return_capacity(20, 7 * S, 30 * S, (7 + 5 * i) * S),
                          wanted[i]);
    }
    ck_assert_uint_eq(gb_return_capacity(20, 7 * S, 30 * S, 37 * S - 1), 19);
}
END_TEST

START_TEST(who_has_not_been_away_has_its_whole_capacity)
{
    ck_assert_uint_eq(gb_return_capacity(20, 0, 30 * S, S), 20);
    ck_assert_uint_eq(gb_return_capacity(20, 5 * S, 0, 5 * S), 20);
    ck_assert_uint_eq(gb_return_capacity(20, 5 * S, -1, 5 * S), 20);
    ck_assert(!gb_return_ramps(0, 30 * S, S));
    ck_assert(!gb_return_ramps(5 * S, 0, 5 * S));
    ck_assert(gb_return_ramps(5 * S, 30 * S, 35 * S - 1));
    ck_assert(!gb_return_ramps(5 * S, 30 * S, 35 * S));
}
END_TEST

START_TEST(small_capacities_begin_with_one)
{
    for (uint32_t capacity = 1; capacity < 20; capacity++) {
        ck_assert_uint_eq(gb_return_capacity(capacity, S, 30 * S, S), 1);
    }
    ck_assert_uint_eq(gb_return_capacity(0, S, 30 * S, S), 0);
}
END_TEST

START_TEST(share_never_shrinks_and_stays_within_its_bounds)
{
    static const uint32_t capacities[] = {1, 2, 9, 10, 11, 16, 100, 65535, UINT32_MAX};
    static const int64_t ramps_us[] = {1, 2, 999, 30 * S, 3600 * S, GB_NEVER_US};

    for (int c = 0; c < 9; c++) {
        for (int r = 0; r < 6; r++) {
            uint32_t before = 0;

            for (int64_t t = 0; t < 100; t++) {
                int64_t step_us = ramps_us[r] / 90 + 1;
                uint32_t now =
                    gb_return_capacity(capacities[c], S, ramps_us[r], S + t * step_us);

                ck_assert_uint_ge(now, before);
                ck_assert_uint_ge(now, 1);
                ck_assert_uint_le(now, capacities[c]);
                before = now;
                if (step_us > (GB_NEVER_US - S) / 100) {
                    break; /* beyond the end of time */
                }
            }
        }
    }
    ck_assert_uint_eq(gb_return_capacity(50, 100 * S, 30 * S, -S), 5);
}
END_TEST

Suite *gb_return_suite(void)
{
    Suite *suite = suite_create("gb_return");
    TCase *tests = tcase_create("slow start");

    tcase_add_test(tests, share_grows_from_a_tenth_to_the_whole);
    tcase_add_test(tests, who_has_not_been_away_has_its_whole_capacity);
    tcase_add_test(tests, small_capacities_begin_with_one);
    tcase_add_test(tests, share_never_shrinks_and_stays_within_its_bounds);
    suite_add_tcase(suite, tests);
    return suite;
}
