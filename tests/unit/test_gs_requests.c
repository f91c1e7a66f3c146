/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gs_requests.c - the parts of the discrete mode: lines, the waiting room beside
 * the core's, departures in their order, the histogram of response times.
 */
#include "sim/departures.h"
#include "sim/requests.h"
#include "sim/responses.h"

#include "core/gb_queue.h"

#include <check.h>
#include <stdlib.h>

#define SEED 20

static gs_random_t dice;

static uint32_t upto(uint32_t most)
{
    return (uint32_t)(gs_random_unit(&dice) * most);
}

/* ------------------------------------------------------------ lines */

START_TEST(requests_are_used_again)
{
    gs_requests_t requests;
    uint32_t kept[3000];

    gs_requests_open(&requests);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 3000; i++) {
            kept[i] = gs_requests_begin(&requests, i);
        }
        ck_assert_uint_eq(requests.used, 3000);
        for (uint32_t i = 0; i < 3000; i++) {
            ck_assert_int_eq(requests.at[kept[i]].arrived_ns, i);
            gs_requests_end(&requests, kept[i]);
        }
    }
    ck_assert_uint_eq(requests.used, 0);
    ck_assert_uint_eq(requests.room, 4096);
    gs_requests_close(&requests);
}
END_TEST

START_TEST(a_line_is_first_come_first_served)
{
    gs_requests_t requests;
    gs_line_t line;

    gs_requests_open(&requests);
    gs_line_open(&line);
    ck_assert_uint_eq(gs_line_take(&line, &requests), GS_NOBODY);
    for (int64_t i = 0; i < 5; i++) {
        gs_line_join(&line, &requests, gs_requests_begin(&requests, i));
    }
    for (int64_t i = 0; i < 5; i++) {
        ck_assert_int_eq(line.count, 5 - i);
        ck_assert_int_eq(requests.at[gs_line_take(&line, &requests)].arrived_ns, i);
    }
    ck_assert_uint_eq(gs_line_take(&line, &requests), GS_NOBODY);
    gs_line_join(&line, &requests, gs_requests_begin(&requests, 9));
    ck_assert_uint_eq(line.count, 1);
    gs_requests_close(&requests);
}
END_TEST

/* ------------------------------------------------------------ the waiting room */

#define PLACES 64

/* The same requests in the core's waiting room and in ours. */
typedef struct both_t {
    gb_queue_t queue;
    gb_place_t places[PLACES];
    gb_room_t core_room;
    gs_requests_t requests;
    gs_room_t room;
    int64_t now_us, late_us;
} both_t;

static void both_join(both_t *both)
{
    gb_waiter_t waiter = {.arrived_us = both->now_us};
    uint32_t word;

    ck_assert_uint_ne(gb_queue_join(&both->queue, both->places, &both->core_room,
                                    &waiter, PLACES, &word),
                      GB_NO_INDEX);
    gs_room_join(&both->room, &both->requests,
                 gs_requests_begin(&both->requests, both->now_us * 1000));
}

static void both_take(both_t *both)
{
    gb_seek_t seek = {.late_us = both->late_us, .now_us = both->now_us};
    uint32_t word;
    uint32_t place = gb_queue_next(&both->queue, both->places, &seek, &word);
    uint32_t request = gs_room_take(&both->room, &both->requests, both->now_us * 1000);

    if (place == GB_NO_INDEX) {
        ck_assert_uint_eq(request, GS_NOBODY);
        return;
    }
    ck_assert_uint_ne(request, GS_NOBODY);
    ck_assert_int_eq(both->requests.at[request].arrived_ns,
                     both->places[place].arrived_us * 1000);
    (void)gb_queue_leave(&both->places[place], &both->core_room);
    gs_requests_end(&both->requests, request);
}

static void compare_rooms(int64_t late_us)
{
    both_t *both = calloc(1, sizeof *both);

    ck_assert_ptr_nonnull(both);
    both->queue.room = PLACES;
    both->late_us = late_us;
    gs_requests_open(&both->requests);
    gs_room_open(&both->room, late_us * 1000);
    for (int i = 0; i < 20000; i++) {
        both->now_us += 1 + upto(20000);
        if (upto(100) < 51 && gs_room_count(&both->room) < PLACES) {
            both_join(both);
        }
        else {
            both_take(both);
        }
    }
    gs_requests_close(&both->requests);
    free(both);
}

START_TEST(the_waiting_room_serves_in_the_order_of_the_core)
{
    gs_random_seed(&dice, SEED, 1);
    compare_rooms(0);
    compare_rooms(250000);
    compare_rooms(1);
}
END_TEST

/* ------------------------------------------------------------ departures */

static void add(gs_departures_t *departures)
{
    gs_departure_t one = {.at_ns = upto(5000), .server = upto(4), .request = upto(50)};

    gs_departures_add(departures, one);
}

/* All that is there comes out in order. */
static void drain(gs_departures_t *departures)
{
    gs_departure_t last = {.at_ns = -1};

    while (departures->count) {
        gs_departure_t next;

        ck_assert_int_eq(gs_departures_next_ns(departures), departures->heap[0].at_ns);
        next = gs_departures_take(departures);
        ck_assert(next.at_ns > last.at_ns ||
                  (next.at_ns == last.at_ns &&
                   (next.server > last.server ||
                    (next.server == last.server && next.request >= last.request))));
        last = next;
    }
    ck_assert_int_eq(gs_departures_next_ns(departures), INT64_MAX);
}

START_TEST(departures_come_in_the_order_of_their_instants)
{
    gs_departures_t departures;

    gs_random_seed(&dice, SEED, 2);
    gs_departures_open(&departures, 500);
    for (uint32_t count = 1; count <= 500; count += count < 20 ? 1 : 37) {
        for (uint32_t i = 0; i < count; i++) {
            add(&departures);
        }
        for (uint32_t i = 0; i < count; i++) {
            gs_departure_t later = departures.heap[0];

            later.at_ns += upto(5000);
            gs_departures_replace(&departures, later);
        }
        ck_assert_uint_eq(departures.count, count);
        drain(&departures);
    }
    gs_departures_close(&departures);
}
END_TEST

/* ------------------------------------------------------------ response times */

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

START_TEST(quantiles_are_right_to_one_percent)
{
    static const double shares[] = {0.01, 0.5, 0.95, 0.99, 0.999, 1.0};
    gs_responses_t *responses = calloc(1, sizeof *responses);
    int64_t *took_ns = calloc(20000, sizeof *took_ns);

    ck_assert_ptr_nonnull(responses);
    ck_assert_ptr_nonnull(took_ns);
    gs_random_seed(&dice, SEED, 3);
    ck_assert_double_eq(gs_responses_quantile_s(responses, 0.99), -1);
    for (int i = 0; i < 20000; i++) {
        /* from a microsecond to a day, every size alike */
        took_ns[i] = (int64_t)__builtin_exp(7 + gs_random_unit(&dice) * 25);
        gs_responses_add(responses, took_ns[i]);
    }
    qsort(took_ns, 20000, sizeof *took_ns, compare_times);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        int rank = (int)(shares[i] * 20000);
        double exact_s = (double)took_ns[rank - 1] / 1e9;

        ck_assert_double_eq_tol(gs_responses_quantile_s(responses, shares[i]), exact_s,
                                0.01 * exact_s);
    }
    free(took_ns);
    free(responses);
}
END_TEST

START_TEST(times_of_any_size_are_counted)
{
    static const int64_t odd[] = {0, -5, 1, 999, INT64_MAX / 128, 86400000000000000};
    gs_responses_t *responses = calloc(1, sizeof *responses);

    ck_assert_ptr_nonnull(responses);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        gs_responses_add(responses, odd[i]);
    }
    ck_assert_uint_eq(responses->total, sizeof odd / sizeof *odd);
    ck_assert_double_lt(gs_responses_quantile_s(responses, 0.1), 2e-6);
    ck_assert_double_gt(gs_responses_quantile_s(responses, 1), 1e6);
    free(responses);
}
END_TEST

Suite *gs_requests_suite(void)
{
    Suite *suite = suite_create("gs_requests");
    TCase *parts = tcase_create("parts");

    tcase_add_test(parts, requests_are_used_again);
    tcase_add_test(parts, a_line_is_first_come_first_served);
    tcase_add_test(parts, the_waiting_room_serves_in_the_order_of_the_core);
    tcase_add_test(parts, departures_come_in_the_order_of_their_instants);
    tcase_add_test(parts, quantiles_are_right_to_one_percent);
    tcase_add_test(parts, times_of_any_size_are_counted);
    suite_add_tcase(suite, parts);
    return suite;
}
