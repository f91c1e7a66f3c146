/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_news_alike.c - what came after loads like this one.
 */
#include <check.h>
#include <math.h>

#include "core/gb_news_private.h"

Suite *gb_news_alike_suite(void);

#define CARRIES 60.0 /* requests/s of a server within the goal */

static gb_news_learned_t known;

START_TEST(pairs_are_a_sample_of_the_past_days)
{
    gb_news_learned_t *learned = &known;
    uint32_t late = 0, early = 0, left = 0;

    gb_news_forget(learned);
    for (int i = 0; i < 10000; i++) {
        gb_news_alike_note(learned, 1, (float)i, 10);
    }
    for (uint32_t i = 0; i < GB_NEWS_PAIRS; i++) {
        late += learned->pair[i].then >= 5000;
        early += learned->pair[i].then < 2500;
    }
    /* 256 and 128 are expected, of deviations 11 and 10. */
    ck_assert(late > 256 - 55 && late < 256 + 55);
    ck_assert(early > 128 - 50 && early < 128 + 50);
    for (int i = 0; i < 100000; i++) { /* more than eleven days on */
        gb_news_alike_note(learned, 1, 1e6f, 10);
    }
    for (uint32_t i = 0; i < GB_NEWS_PAIRS; i++) {
        left += learned->pair[i].then < 1e6f;
    }
    ck_assert_uint_le(left, 3); /* 1.6 are expected, of a deviation of 1.3 */
}
END_TEST

/* Of three in four that stay and one that jumps, whatever the load is elsewhere. */
START_TEST(loads_alike_are_told_from_others)
{
    gb_news_learned_t *learned = &known;
    gb_news_alike_t found;
    double low = 0, high = 0, mean = 0;

    gb_news_forget(learned);
    learned->shift = CARRIES;
    gb_news_alike_find(&found, learned, 1);
    ck_assert_uint_eq(found.count, 0);
    for (int i = 0; i < 400; i++) {
        gb_news_alike_note(learned, i % 2 ? 4.5f : 7.0f,
                           (float)log(CARRIES + (i % 8 == 1 ? 800
                                                 : i % 2    ? 40
                                                            : 2000)),
                           10);
    }
    gb_news_alike_find(&found, learned, 4.5);
    for (uint32_t i = 0; i < found.count; i++) {
        ck_assert(i == 0 || found.rate[i] > found.rate[i - 1]);
        low += fabs(found.rate[i] - 40) < 1 ? found.share[i] : 0;
        high += fabs(found.rate[i] - 800) < 1 ? found.share[i] : 0;
        mean += found.rate[i] * found.share[i];
    }
    ck_assert_double_eq_tol(low, 0.75, 1e-6);
    ck_assert_double_eq_tol(high, 0.25, 1e-6);
    ck_assert_double_eq_tol(mean, 230, 1);
    gb_news_alike_find(&found, learned, 12); /* where nothing was */
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(who_knew_better_is_trusted)
{
    gb_news_learned_t *learned = &known;
    gb_news_alike_t found;
    gb_news_load_t load = {.count = 1, .rate = {100}, .share = {1}};
    double sum = 0;

    gb_news_forget(learned);
    learned->shift = CARRIES;
    for (int i = 0; i < 100; i++) {
        gb_news_alike_note(learned, 5, 6, 10);
    }
    for (int i = 0; i < 50; i++) { /* the forecast thought it impossible */
        gb_news_alike_judge(learned, 5, 6, 0, 1, 10);
        ck_assert_double_le(learned->trust, GB_NEWS_TRUST_MOST);
    }
    ck_assert_double_gt(learned->trust, 5);
    gb_news_alike_find(&found, learned, 5);
    gb_news_alike_mix(&load, &found);
    for (uint32_t i = 0; i < load.count; i++) {
        sum += load.share[i];
    }
    ck_assert_uint_eq(load.count, 2);
    ck_assert_double_eq_tol(sum, 1, 1e-9);
    ck_assert_double_eq_tol(load.share[1], 0.993, 0.001); /* of exp(6) - 60 */
    for (int i = 0; i < 50; i++) {
        gb_news_alike_judge(learned, 5, 9, 1, 1, 10);
        gb_news_alike_judge(learned, 5, 9, NAN, 0, 1e9);
        ck_assert_double_ge(learned->trust, -GB_NEWS_TRUST_MOST);
    }
    for (int i = 0; i < 50; i++) {
        gb_news_alike_judge(learned, 5, 9, 1, 1, 10);
    }
    ck_assert_double_lt(learned->trust, -5);
    gb_news_alike_find(&found, learned, 5);
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

Suite *gb_news_alike_suite(void)
{
    Suite *suite = suite_create("gb_news_alike");
    TCase *tcase = tcase_create("alike");

    tcase_add_test(tcase, pairs_are_a_sample_of_the_past_days);
    tcase_add_test(tcase, loads_alike_are_told_from_others);
    tcase_add_test(tcase, who_knew_better_is_trusted);
    suite_add_tcase(suite, tcase);
    return suite;
}
