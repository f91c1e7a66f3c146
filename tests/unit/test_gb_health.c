/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_health.c - from single answers to a verdict.
 */
#include "core/gb_health.h"

#include <check.h>
#include <string.h>

START_TEST(verdict_is_none_until_enough_answers_agree)
{
    gb_health_t health = {0};

    ck_assert(!gb_health_note(&health, true, 2, 3));
    ck_assert_uint_eq(health.verdict, GB_VERDICT_NONE);
    ck_assert(gb_health_note(&health, true, 2, 3));
    ck_assert_uint_eq(health.verdict, GB_VERDICT_GOOD);
}
END_TEST

START_TEST(verdict_change_is_told_once)
{
    gb_health_t health = {0};

    ck_assert(gb_health_note(&health, false, 1, 1));
    ck_assert(!gb_health_note(&health, false, 1, 1));
    ck_assert(gb_health_note(&health, true, 1, 1));
    ck_assert(!gb_health_note(&health, true, 1, 1));
    ck_assert_uint_eq(health.probes, 4);
}
END_TEST

START_TEST(one_contrary_answer_starts_the_row_anew)
{
    gb_health_t health = {0};

    gb_health_note(&health, true, 1, 3);
    gb_health_note(&health, false, 1, 3);
    gb_health_note(&health, false, 1, 3);
    ck_assert(!gb_health_note(&health, true, 2, 3));
    gb_health_note(&health, false, 1, 3);
    gb_health_note(&health, false, 1, 3);
    ck_assert_uint_eq(health.verdict, GB_VERDICT_GOOD);
    ck_assert(gb_health_note(&health, false, 1, 3));
    ck_assert_uint_eq(health.verdict, GB_VERDICT_BAD);
}
END_TEST

START_TEST(reset_asks_for_all_answers_again)
{
    gb_health_t health = {0};

    gb_health_note(&health, true, 2, 2);
    gb_health_note(&health, true, 2, 2);
    gb_health_reset(&health);
    ck_assert_uint_eq(health.verdict, GB_VERDICT_NONE);
    ck_assert(!gb_health_note(&health, true, 2, 2));
    ck_assert_uint_eq(health.verdict, GB_VERDICT_NONE);
    ck_assert(gb_health_note(&health, true, 2, 2));
}
END_TEST

START_TEST(counters_do_not_wrap)
{
    gb_health_t health = {GB_VERDICT_GOOD, UINT32_MAX, 1, UINT32_MAX};

    ck_assert(!gb_health_note(&health, true, 2, 3));
    ck_assert_uint_eq(health.in_row, UINT32_MAX);
    ck_assert_uint_eq(health.probes, UINT32_MAX);
}
END_TEST

Suite *gb_health_suite(void);
Suite *gb_health_suite(void)
{
    Suite *suite = suite_create("gb_health");
    TCase *tcase = tcase_create("verdicts");

    tcase_add_test(tcase, verdict_is_none_until_enough_answers_agree);
    tcase_add_test(tcase, verdict_change_is_told_once);
    tcase_add_test(tcase, one_contrary_answer_starts_the_row_anew);
    tcase_add_test(tcase, reset_asks_for_all_answers_again);
    tcase_add_test(tcase, counters_do_not_wrap);
    suite_add_tcase(suite, tcase);
    return suite;
}
