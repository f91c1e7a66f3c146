/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_lateness.c - late by waiting, and late by service alone.
 *
 * The random test prints its seed; GB_SEED=N repeats a run.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_lateness.h"

Suite *gb_lateness_suite(void);

#define LATE_S 0.5

static gb_lateness_t memory;
static uint64_t dice;

static void setup(void)
{
    memset(&memory, 0, sizeof(memory));
}

static double look(double answered, double late, double slow, bool crowded)
{
    gb_answers_t seen = {.passed_s = 1,
                         .late_s = LATE_S,
                         .answered = answered,
                         .late = late,
                         .slow = slow,
                         .crowded = crowded};

    return gb_lateness_waited(&memory, &seen);
}

static double unit(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (double)(dice >> 11) / 9007199254740992.0;
}

static uint64_t seed_dice(const char *test)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)seed);
    dice = seed * 2654435761u + 1;
    return seed;
}

/* How many of `count` are slow when each is so with a probability. */
static double draw(uint32_t count, double share)
{
    uint32_t slow = 0;

    for (uint32_t i = 0; i < count; i++) {
        slow += unit() < share;
    }
    return slow;
}

START_TEST(who_waited_stays_late_and_who_was_long_on_the_server_does_not)
{
    look(100, 0, 0, false);
    ck_assert_double_eq(look(100, 5, 5, false), 0);
    ck_assert_double_eq(look(100, 5, 2, false), 3);
    ck_assert_double_eq(look(100, 5, 0, false), 5);
    ck_assert_double_eq(look(0, 7, 0, false), 7); /* never served */
}
END_TEST

START_TEST(in_a_crowd_nothing_is_taken_off_before_something_is_learned)
{
    ck_assert_double_eq(look(100, 9, 9, true), 9);
    ck_assert_double_eq(look(100, 9, 9, true), 9);
    ck_assert_double_eq(gb_lateness_share(&memory), 0);
}
END_TEST

START_TEST(in_a_crowd_the_share_of_other_times_is_taken_off)
{
    double told = 0;

    for (int i = 0; i < 3600; i++) {
        look(100, i % 2, i % 2, false);
    }
    ck_assert_double_eq_tol(gb_lateness_share(&memory), 0.005, 0.0001);
    for (int i = 0; i < 1000; i++) {
        told += look(100, 40, 40, true);
    }
    /* Half of one a second, of forty. */
    ck_assert_double_eq_tol(told / 1000, 39.5, 0.02);
    /* The crowd taught nothing. */
    ck_assert_double_eq_tol(gb_lateness_share(&memory), 0.005, 0.0001);
}
END_TEST

START_TEST(no_more_is_taken_off_than_was_late_on_the_server)
{
    for (int i = 0; i < 3600; i++) {
        look(10, 5, 5, false);
    }
    ck_assert_double_eq_tol(gb_lateness_share(&memory), 0.5, 0.01);
    for (int i = 0; i < 100; i++) { /* it has become quick: all is waiting */
        ck_assert_double_eq(look(100, 30, 0, true), 30);
    }
    /* What did not come is not made up for without end. */
    ck_assert_double_ge(look(0, 1000, 1000, true), 990);
}
END_TEST

START_TEST(after_a_crowd_it_has_to_be_calm_for_as_long_as_late_is)
{
    gb_answers_t seen = {.passed_s = 1, .late_s = 3, .answered = 10};

    seen.crowded = true;
    gb_lateness_waited(&memory, &seen);
    seen.crowded = false;
    seen.late = seen.slow = 4;
    for (int i = 0; i < 3; i++) { /* they came while it was crowded */
        ck_assert_double_eq(gb_lateness_waited(&memory, &seen), 4);
        ck_assert_double_eq(memory.answered, 0);
    }
    ck_assert_double_eq(gb_lateness_waited(&memory, &seen), 0);
    ck_assert_double_eq(memory.answered, 10);
}
END_TEST

START_TEST(the_share_follows_the_service_within_the_hour)
{
    for (int i = 0; i < 7200; i++) {
        look(50, 1, 1, false);
    }
    ck_assert_double_eq_tol(gb_lateness_share(&memory), 0.02, 0.0002);
    for (int i = 0; i < 3600; i++) {
        look(50, 0, 0, false);
    }
    ck_assert_double_lt(gb_lateness_share(&memory), 0.02 * 0.14);
}
END_TEST

START_TEST(few_responses_say_little)
{
    look(0, 0, 0, false);
    look(2, 1, 1, false);
    ck_assert_double_lt(gb_lateness_share(&memory), 0.01);
}
END_TEST

/* Exponential service of a fifth of late: e^-5 are late by it, 0.67 %. */
START_TEST(what_scatters_alone_is_not_late_by_waiting)
{
    const double share = exp(-5);
    double told = 0, real = 0, came = 0;

    seed_dice("what_scatters_alone_is_not_late_by_waiting");
    for (int i = 0; i < 40000; i++) {
        bool crowded = i >= 4000 && i % 600 < 300;
        double slow = draw(70, share);
        double waited = crowded && i % 10 == 0 ? 5 : 0; /* 5 of them in the crowd */

        told += look(70, slow + waited, slow + waited * crowded, crowded);
        real += waited;
        came += 70;
    }
    printf("told %.3f %%, of which really waited %.3f %%\n", 100 * told / came,
           100 * real / came);
    /* Without any of this 0.67 % more would be told. */
    ck_assert_double_ge(told, 0.9 * real);
    ck_assert_double_le((told - real) / came, 0.0006);
}
END_TEST

START_TEST(garbage_is_told_within_its_bounds)
{
    static const double odd[] = {0,   1,    -1,       1e300,     -1e300,
                                 0.5, 1e12, INFINITY, -INFINITY, NAN};
    const uint32_t count = sizeof(odd) / sizeof(odd[0]);

    seed_dice("garbage_is_told_within_its_bounds");
    for (int i = 0; i < 200000; i++) {
        gb_answers_t seen;
        double told;
        double *all[] = {&seen.passed_s, &seen.late_s, &seen.answered, &seen.late,
                         &seen.slow};

        for (uint32_t k = 0; k < 5; k++) {
            *all[k] = odd[(uint32_t)(unit() * count) % count];
        }
        seen.crowded = unit() < 0.5;
        if (unit() < 0.1) {
            memory.answered = odd[(uint32_t)(unit() * count) % count];
            memory.slow = odd[(uint32_t)(unit() * count) % count];
            memory.calm_s = odd[(uint32_t)(unit() * count) % count];
            memory.due = odd[(uint32_t)(unit() * count) % count];
        }
        told = gb_lateness_waited(&memory, &seen);
        ck_assert(told >= 0 && told <= 1e12 &&
                  (!(seen.late >= 0) || told <= seen.late));
        ck_assert(gb_lateness_share(&memory) >= 0 && gb_lateness_share(&memory) <= 1);
        ck_assert(isfinite(memory.answered) && isfinite(memory.slow) &&
                  isfinite(memory.calm_s) && isfinite(memory.due));
    }
}
END_TEST

Suite *gb_lateness_suite(void)
{
    Suite *suite = suite_create("gb_lateness");
    TCase *tcase = tcase_create("lateness");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase,
                   who_waited_stays_late_and_who_was_long_on_the_server_does_not);
    tcase_add_test(tcase, in_a_crowd_nothing_is_taken_off_before_something_is_learned);
    tcase_add_test(tcase, in_a_crowd_the_share_of_other_times_is_taken_off);
    tcase_add_test(tcase, no_more_is_taken_off_than_was_late_on_the_server);
    tcase_add_test(tcase, after_a_crowd_it_has_to_be_calm_for_as_long_as_late_is);
    tcase_add_test(tcase, the_share_follows_the_service_within_the_hour);
    tcase_add_test(tcase, few_responses_say_little);
    tcase_add_test(tcase, what_scatters_alone_is_not_late_by_waiting);
    tcase_add_test(tcase, garbage_is_told_within_its_bounds);
    suite_add_tcase(suite, tcase);
    return suite;
}
