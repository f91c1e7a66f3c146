/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_cping.c - the AJP question and its one right answer.
 */
#include <check.h>
#include <string.h>

#include "core/gb_cping.h"

Suite *gb_cping_suite(void);

static const unsigned char good[] = {0x41, 0x42, 0x00, 0x01, 0x09};

START_TEST(packet_is_a_cping)
{
    static const unsigned char expected[] = {0x12, 0x34, 0x00, 0x01, 0x0a};

    ck_assert_int_eq(sizeof(expected), GB_CPING_BYTES);
    ck_assert_mem_eq(gb_cping_packet(), expected, sizeof(expected));
}
END_TEST

START_TEST(whole_cpong_is_good)
{
    ck_assert_int_eq(gb_cping_check(good, sizeof(good)), GB_CPONG_GOOD);
}
END_TEST

START_TEST(every_true_beginning_wants_more)
{
    ck_assert_int_eq(gb_cping_check(NULL, 0), GB_CPONG_MORE);
    for (size_t i = 1; i < sizeof(good); i++) {
        ck_assert_int_eq(gb_cping_check(good, i), GB_CPONG_MORE);
    }
}
END_TEST

START_TEST(any_other_byte_is_bad_at_once)
{
    for (size_t at = 0; at < sizeof(good); at++) {
        for (unsigned value = 0; value < 256; value++) {
            unsigned char answer[sizeof(good)];

            memcpy(answer, good, sizeof(good));
            answer[at] = (unsigned char)value;
            if (value == good[at]) {
                continue;
            }
            ck_assert_int_eq(gb_cping_check(answer, at + 1), GB_CPONG_BAD);
            ck_assert_int_eq(gb_cping_check(answer, sizeof(answer)), GB_CPONG_BAD);
        }
    }
}
END_TEST

START_TEST(bytes_after_the_cpong_are_bad)
{
    unsigned char answer[sizeof(good) + 1] = {0};

    memcpy(answer, good, sizeof(good));
    ck_assert_int_eq(gb_cping_check(answer, sizeof(answer)), GB_CPONG_BAD);
}
END_TEST

START_TEST(its_own_question_is_no_answer)
{
    ck_assert_int_eq(gb_cping_check(gb_cping_packet(), GB_CPING_BYTES), GB_CPONG_BAD);
}
END_TEST

Suite *gb_cping_suite(void)
{
    Suite *suite = suite_create("gb_cping");
    TCase *tcase = tcase_create("packets");

    tcase_add_test(tcase, packet_is_a_cping);
    tcase_add_test(tcase, whole_cpong_is_good);
    tcase_add_test(tcase, every_true_beginning_wants_more);
    tcase_add_test(tcase, any_other_byte_is_bad_at_once);
    tcase_add_test(tcase, bytes_after_the_cpong_are_bad);
    tcase_add_test(tcase, its_own_question_is_no_answer);
    suite_add_tcase(suite, tcase);
    return suite;
}
