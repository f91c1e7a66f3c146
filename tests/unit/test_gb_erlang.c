/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_erlang.c - Erlang's C and the table of it.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_erlang.h"

Suite *gb_erlang_suite(void);

#define SERVICE_S 0.12
#define WAIT_S    0.38
#define ROOM      1100

static gb_tail_row_t rows[ROOM + 1];
static double upto[ROOM + 1];
static gb_tail_t tail;

/* A table for servers that have `each` slots. */
static void build(uint32_t servers, double each)
{
    for (uint32_t k = 0; k <= servers; k++) {
        upto[k] = each * k;
    }
    tail = (gb_tail_t){.rows = rows, .room = ROOM};
    gb_tail_build(&tail, upto, servers, SERVICE_S, WAIT_S);
    ck_assert_uint_eq(tail.servers, servers);
}

/* From the definition: a sum of Poisson weights, scaled to stay in range. */
static double brute_force(uint32_t slots, double load, double wait_in_services)
{
    long double term = 1, sum = 1;

    for (uint32_t i = 1; i < slots; i++) {
        term *= (long double)load / i;
        sum += term;
        if (sum > 1e1000L) {
            sum /= 1e1000L;
            term /= 1e1000L;
        }
    }
    term *= (long double)load / slots * slots / (slots - (long double)load);
    return (double)(term / (sum + term) * expl(-(slots - load) * wait_in_services));
}

START_TEST(known_values)
{
    /* One slot: the load itself.  Two, load 1: a third.  Ten, load 8: 0.40918. */
    ck_assert_double_eq_tol(gb_erlang_late(1, 0.7, 1, 0), 0.7, 1e-12);
    ck_assert_double_eq_tol(gb_erlang_late(2, 1, 1, 0), 1.0 / 3, 1e-12);
    ck_assert_double_eq_tol(gb_erlang_late(10, 8, 1, 0), 0.409180, 1e-6);
    ck_assert_double_eq_tol(gb_erlang_late(1, 0.5, 1, 2), 0.5 * exp(-1), 1e-12);
    ck_assert_double_eq_tol(gb_erlang_late(10, 4, 2, 2), 0.409180 * exp(-2), 1e-6);
}
END_TEST

START_TEST(equals_the_definition)
{
    for (uint32_t slots = 1; slots <= GB_ERLANG_EXACT; slots++) {
        for (double part = 0.05; part < 1; part += 0.05) {
            for (double wait = 0; wait < 4; wait += 1.3) {
                double exact = brute_force(slots, part * slots, wait);

                ck_assert_double_eq_tol(gb_erlang_late(slots, part * slots, 1, wait),
                                        exact, 1e-10 * exact);
            }
        }
    }
}
END_TEST

START_TEST(the_limit_is_close_to_the_definition)
{
    for (uint32_t slots = GB_ERLANG_EXACT + 1; slots <= 8000; slots += slots / 3) {
        for (double idle = 0.05; idle < 4;
             idle += 0.25) { /* in square roots of slots */
            double load = slots - idle * sqrt(slots);
            double exact = brute_force(slots, load, 0);

            ck_assert_double_eq_tol(gb_erlang_late(slots, load, 1, 0), exact,
                                    5e-4 * exact);
        }
    }
}
END_TEST

START_TEST(full_slots_make_all_late)
{
    ck_assert_double_eq(gb_erlang_late(8, 8 / SERVICE_S, SERVICE_S, WAIT_S), 1);
    ck_assert_double_eq(gb_erlang_late(8, 1e6, SERVICE_S, WAIT_S), 1);
    ck_assert_double_eq(gb_erlang_late(8, 0, SERVICE_S, 0) < 1e-300, 1);
    ck_assert_double_gt(gb_erlang_late(8, 66.6, SERVICE_S, 0), 0.99);
    ck_assert_double_gt(gb_erlang_late(8000, 66666, SERVICE_S, 0), 0.99);
}
END_TEST

START_TEST(hostile_values_stay_within_bounds)
{
    const double bad[] = {0,         -1,   1e-300,    1e-9,        1,   7.5,
                          64,        1e15, 1e300,     INFINITY,    NAN, -1e300,
                          -INFINITY, 63.9, 64.000001, 4294967296.0};
    const size_t count = sizeof(bad) / sizeof(bad[0]);

    for (size_t i = 0; i < count * count * count * count; i++) {
        double late = gb_erlang_late(bad[i % count], bad[i / count % count],
                                     bad[i / count / count % count],
                                     bad[i / count / count / count]);

        ck_assert_msg(late >= 0 && late <= 1, "case %zu: %g", i, late);
    }
}
END_TEST

START_TEST(parts_of_slots_lie_between)
{
    for (double slots = 0.5; slots < 90; slots += 0.37) {
        double late = gb_erlang_late(slots, 5, 1, 0.3);

        ck_assert_double_le(late, gb_erlang_late(floor(slots), 5, 1, 0.3));
        ck_assert_double_ge(late, gb_erlang_late(ceil(slots), 5, 1, 0.3));
    }
}
END_TEST

START_TEST(marks_are_where_they_should_be)
{
    build(1000, 8);
    for (uint32_t k = 1; k <= 1000; k += k < 20 ? 1 : 61) {
        const gb_tail_row_t *row = &rows[k];

        ck_assert_double_eq_tol(
            gb_erlang_late(upto[k], row->none_rate, SERVICE_S, WAIT_S), GB_TAIL_NONE,
            1e-5 * GB_TAIL_NONE);
        ck_assert_double_eq_tol(
            gb_erlang_late(upto[k], row->goal_rate, SERVICE_S, WAIT_S), GB_TAIL_GOAL,
            1e-5 * GB_TAIL_GOAL);
        ck_assert_double_eq_tol(
            gb_erlang_late(upto[k], row->all_rate, SERVICE_S, WAIT_S), GB_TAIL_ALL,
            1e-5);
    }
}
END_TEST

START_TEST(the_table_is_close_to_the_formula)
{
    const double each[] = {1, 2.5, 8, 64};

    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        build(300, each[i]);
        for (uint32_t k = 1; k <= 300; k += k < 12 ? 1 : 41) {
            for (double part = 0.01; part < 1.05; part += 0.003) {
                double rate = part * upto[k] / SERVICE_S;
                double exact = gb_erlang_late(upto[k], rate, SERVICE_S, WAIT_S);
                double late = gb_tail_late(&tail, k, rate);

                /* Fractions of slots have corners that the points do not see. */
                ck_assert_double_eq_tol(late, exact,
                                        each[i] == 2.5 && k < 12
                                            ? 4e-4 + 0.04 * exact
                                            : 1e-4 + 0.003 * exact);
            }
        }
    }
}
END_TEST

/* The questions that a table answers, asked of the formula itself. */
START_TEST(need_and_span_equal_a_search)
{
    unsigned seed = (unsigned)time(NULL);

    printf("gb_erlang seed %u\n", seed);
    srand(seed);
    build(60, 3);
    for (int i = 0; i < 3000; i++) {
        double rate = 1600.0 * rand() / RAND_MAX;
        uint32_t need = 1, all_k = 0, none_k = 1, found_all, found_none;

        while (need < 60 &&
               gb_erlang_late(upto[need], rate, SERVICE_S, WAIT_S) > GB_TAIL_GOAL) {
            need++;
        }
        while (all_k < 60 &&
               gb_erlang_late(upto[all_k + 1], rate, SERVICE_S, WAIT_S) > GB_TAIL_ALL) {
            all_k++;
        }
        while (none_k <= 60 &&
               gb_erlang_late(upto[none_k], rate, SERVICE_S, WAIT_S) > GB_TAIL_NONE) {
            none_k++;
        }
        gb_tail_span(&tail, rate, &found_all, &found_none);
        ck_assert_uint_eq(gb_tail_need(&tail, rate), need);
        ck_assert_uint_eq(found_all, all_k);
        ck_assert_uint_eq(found_none, none_k);
    }
    ck_assert_uint_eq(gb_tail_need(&tail, 0), 1);
    ck_assert_uint_eq(gb_tail_need(&tail, INFINITY), 60);
    gb_tail_span(&tail, 1e9, &(uint32_t){0}, &(uint32_t){0});
}
END_TEST

START_TEST(more_servers_or_less_load_are_never_worse)
{
    double slots = 0;
    unsigned seed = (unsigned)time(NULL) + 1;

    printf("gb_erlang seed %u\n", seed);
    srand(seed);
    upto[0] = 0;
    for (uint32_t k = 1; k <= 200;
         k++) { /* a mixed fleet, with some that add nothing */
        slots += rand() % 5 == 0 ? 0 : 20.0 * rand() / RAND_MAX;
        upto[k] = slots;
    }
    tail = (gb_tail_t){.rows = rows, .room = ROOM};
    gb_tail_build(&tail, upto, 200, SERVICE_S, WAIT_S);
    for (uint32_t k = 0; k < 200; k++) {
        double before = 0;

        ck_assert_double_le(rows[k].none_rate, rows[k + 1].none_rate);
        ck_assert_double_le(rows[k].goal_rate, rows[k + 1].goal_rate);
        ck_assert_double_le(rows[k].all_rate, rows[k + 1].all_rate);
        for (double rate = 0; rate < slots / SERVICE_S * 1.1;
             rate += slots / SERVICE_S / 777) {
            double late = gb_tail_late(&tail, k, rate);

            ck_assert_double_ge(late, before);
            ck_assert_double_le(late, 1);
            /* The table's own error; beside it, never worse. */
            ck_assert_double_le(gb_tail_late(&tail, k + 1, rate), late * 1.02 + 1e-3);
            before = late;
        }
    }
}
END_TEST

START_TEST(a_hostile_table_is_bounded)
{
    const double bad[] = {0,   NAN, -5,  INFINITY, 3,   2,  1e300, 1e-300,
                          7.5, NAN, 1e9, 12,       NAN, 64, 65,    1e12};
    const double times[] = {0, NAN, -1, INFINITY, 1e-300, 1e300, 0.1};

    for (size_t s = 0; s < 7 * 7; s++) {
        tail = (gb_tail_t){.rows = rows, .room = ROOM};
        gb_tail_build(&tail, bad, 15, times[s % 7], times[s / 7]);
        for (uint32_t k = 0; k <= 15; k++) {
            ck_assert(isfinite(rows[k].none_rate) && isfinite(rows[k].all_rate));
            if (k > 0) {
                ck_assert_double_ge(rows[k].none_rate, rows[k - 1].none_rate);
                ck_assert_double_ge(rows[k].all_rate, rows[k - 1].all_rate);
                ck_assert_double_ge(rows[k].goal_rate, rows[k - 1].goal_rate);
            }
            for (size_t i = 0; i < 16; i++) {
                double late = gb_tail_late(&tail, k, bad[i]);

                ck_assert_msg(late >= 0 && late <= 1, "%zu %u %zu", s, k, i);
            }
        }
        for (size_t i = 0; i < 16; i++) {
            uint32_t need = gb_tail_need(&tail, bad[i]), all_k, none_k;

            gb_tail_span(&tail, bad[i], &all_k, &none_k);
            ck_assert(need >= 1 && need <= 15 && all_k < none_k && none_k <= 16);
        }
    }
}
END_TEST

START_TEST(no_room_means_fewer_rows)
{
    uint32_t all_k, none_k;

    tail = (gb_tail_t){.rows = rows, .room = 3};
    upto[0] = 0;
    for (uint32_t k = 1; k <= 9; k++) {
        upto[k] = 8.0 * k;
    }
    gb_tail_build(&tail, upto, 9, SERVICE_S, WAIT_S);
    ck_assert_uint_eq(tail.servers, 3);
    ck_assert_uint_eq(gb_tail_need(&tail, 1e6), 3);
    ck_assert_double_eq(gb_tail_late(&tail, 9, 150), gb_tail_late(&tail, 3, 150));
    tail = (gb_tail_t){.rows = NULL, .room = 3};
    gb_tail_build(&tail, upto, 9, SERVICE_S, WAIT_S);
    ck_assert_uint_eq(tail.servers, 0);
    ck_assert_uint_eq(gb_tail_need(&tail, 5), 1);
    ck_assert_double_eq(gb_tail_late(&tail, 1, 5), 1);
    gb_tail_span(&tail, 5, &all_k, &none_k);
    ck_assert_uint_eq(all_k, 0);
    ck_assert_uint_eq(none_k, 1);
}
END_TEST

Suite *gb_erlang_suite(void)
{
    Suite *suite = suite_create("gb_erlang");
    TCase *tcase = tcase_create("late");

    tcase_add_test(tcase, known_values);
    tcase_add_test(tcase, equals_the_definition);
    tcase_add_test(tcase, the_limit_is_close_to_the_definition);
    tcase_add_test(tcase, full_slots_make_all_late);
    tcase_add_test(tcase, hostile_values_stay_within_bounds);
    tcase_add_test(tcase, parts_of_slots_lie_between);
    tcase_add_test(tcase, marks_are_where_they_should_be);
    tcase_add_test(tcase, the_table_is_close_to_the_formula);
    tcase_add_test(tcase, need_and_span_equal_a_search);
    tcase_add_test(tcase, more_servers_or_less_load_are_never_worse);
    tcase_add_test(tcase, a_hostile_table_is_bounded);
    tcase_add_test(tcase, no_room_means_fewer_rows);
    suite_add_tcase(suite, tcase);
    return suite;
}
