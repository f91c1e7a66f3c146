/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_queue.c - the waiting room.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_queue.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLACES 64
#define MOST   1000
#define MS     GB_US_PER_MS

static gb_queue_t queue;
static gb_place_t places[PLACES];
static gb_room_t rooms[4];

static void empty(void)
{
    memset(&queue, 0, sizeof queue);
    memset(places, 0, sizeof places);
    memset(rooms, 0, sizeof rooms);
    queue.room = PLACES;
}

static uint32_t join(uint32_t balancer, uint32_t process, int64_t arrived_us)
{
    uint32_t word = 0;
    gb_waiter_t waiter = {balancer, process, 1, arrived_us};
    uint32_t at = gb_queue_join(&queue, places, &rooms[balancer], &waiter, MOST, &word);

    if (at != GB_NO_INDEX) {
        ck_assert_uint_eq(gb_place_kind(word), GB_PLACE_WAITING);
        ck_assert_uint_eq(places[at].word, word);
    }
    return at;
}

static uint32_t serve(uint32_t balancer, int64_t late_us, int64_t now_us)
{
    uint32_t word;
    gb_seek_t seek = {balancer, 0, late_us, now_us};
    uint32_t at = gb_queue_next(&queue, places, &seek, &word);

    if (at != GB_NO_INDEX) {
        ck_assert(gb_queue_settle(&places[at], &rooms[balancer], word, 7));
    }
    return at;
}

START_TEST(oldest_is_served_first)
{
    uint32_t c, a, b;

    empty();
    c = join(0, 0, 30 * MS);
    a = join(0, 1, 10 * MS);
    b = join(0, 2, 20 * MS);
    ck_assert_uint_eq(rooms[0].waiting, 3);
    ck_assert_uint_eq(serve(0, 0, 40 * MS), a);
    ck_assert_uint_eq(serve(0, 0, 40 * MS), b);
    ck_assert_uint_eq(serve(0, 0, 40 * MS), c);
    ck_assert_uint_eq(serve(0, 0, 40 * MS), GB_NO_INDEX);
    ck_assert_uint_eq(rooms[0].waiting, 0);
}
END_TEST

START_TEST(same_instant_goes_by_ticket)
{
    uint32_t first, second;

    empty();
    first = join(0, 0, 5);
    second = join(0, 0, 5);
    ck_assert_uint_eq(serve(0, 0, 6), first);
    ck_assert_uint_eq(serve(0, 0, 6), second);
}
END_TEST

/* The example of gb_queue.h. */
START_TEST(late_ones_come_after_all_others)
{
    uint32_t a, b, c, d;
    int64_t late_us = 500 * MS, now_us = 10000 * MS;

    empty();
    a = join(0, 0, 8000 * MS);
    b = join(0, 0, 9400 * MS);
    c = join(0, 0, 9600 * MS);
    d = join(0, 0, 9900 * MS);
    ck_assert_uint_eq(serve(0, late_us, now_us), c);
    ck_assert_uint_eq(serve(0, late_us, now_us), d);
    ck_assert_uint_eq(serve(0, late_us, now_us), a);
    ck_assert_uint_eq(serve(0, late_us, now_us), b);
}
END_TEST

START_TEST(balancers_do_not_mix)
{
    uint32_t a, b;

    empty();
    a = join(1, 0, 1);
    b = join(2, 0, 2);
    ck_assert_uint_eq(serve(0, 0, 3), GB_NO_INDEX);
    ck_assert_uint_eq(serve(2, 0, 3), b);
    ck_assert_uint_eq(serve(1, 0, 3), a);
    ck_assert_uint_eq(gb_queue_count(&queue, places, 1), 0);
}
END_TEST

/* Children of before a graceful restart do not know a member that it added. */
START_TEST(those_of_an_older_configuration_are_passed_over)
{
    gb_waiter_t older = {0, 0, 4, 10}, newer = {0, 1, 5, 20};
    gb_seek_t seek = {0, 5, 0, 30};
    uint32_t word, first, second;

    empty();
    first = gb_queue_join(&queue, places, &rooms[0], &older, MOST, &word);
    ck_assert_uint_eq(gb_queue_next(&queue, places, &seek, &word), GB_NO_INDEX);
    second = gb_queue_join(&queue, places, &rooms[0], &newer, MOST, &word);
    ck_assert_uint_eq(gb_queue_next(&queue, places, &seek, &word), second);
    seek.generation = 4;
    ck_assert_uint_eq(gb_queue_next(&queue, places, &seek, &word), first);
}
END_TEST

START_TEST(patience_leaves_time_for_the_service)
{
    ck_assert_int_eq(gb_queue_patience_us(500000, 50000), 425000);
    ck_assert_int_eq(gb_queue_patience_us(500000, 0), 475000);
    ck_assert_int_eq(gb_queue_patience_us(500000, -1), 475000);
    ck_assert_int_eq(gb_queue_patience_us(500000, 300000), 250000);
    ck_assert_int_eq(gb_queue_patience_us(1000, INT64_MAX), 500);
}
END_TEST

START_TEST(no_more_than_the_most_wait)
{
    const gb_waiter_t waiter = {0, 0, 1, 1};
    uint32_t word;

    empty();
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_ne(gb_queue_join(&queue, places, &rooms[0], &waiter, 3, &word),
                          GB_NO_INDEX);
    }
    ck_assert_uint_eq(gb_queue_join(&queue, places, &rooms[0], &waiter, 3, &word),
                      GB_NO_INDEX);
    ck_assert_uint_eq(rooms[0].waiting, 3);
    ck_assert_uint_eq(gb_queue_join(&queue, places, &rooms[0], &waiter, 0, &word),
                      GB_NO_INDEX);
}
END_TEST

START_TEST(full_room_turns_away_and_counts_nothing)
{
    empty();
    for (uint32_t i = 0; i < PLACES; i++) {
        ck_assert_uint_eq(join(0, 0, 1), i);
    }
    ck_assert_uint_eq(join(0, 0, 1), GB_NO_INDEX);
    ck_assert_uint_eq(rooms[0].waiting, PLACES);
    (void)gb_queue_leave(&places[17], &rooms[0]);
    ck_assert_uint_eq(join(0, 0, 1), 17);
}
END_TEST

START_TEST(grant_tells_the_position_once)
{
    uint32_t at, word, left;

    empty();
    at = join(0, 0, 1);
    word = places[at].word;
    ck_assert(gb_queue_settle(&places[at], &rooms[0], word, 4095));
    ck_assert(!gb_queue_settle(&places[at], &rooms[0], word, 3));
    left = gb_queue_leave(&places[at], &rooms[0]);
    ck_assert_uint_eq(gb_place_kind(left), GB_PLACE_GRANTED);
    ck_assert_uint_eq(gb_place_position(left), 4095);
    ck_assert_uint_eq(rooms[0].waiting, 0);
}
END_TEST

START_TEST(refused_waits_no_more)
{
    uint32_t at;

    empty();
    at = join(0, 0, 1);
    ck_assert(gb_queue_settle(&places[at], &rooms[0], places[at].word, GB_NO_INDEX));
    ck_assert_uint_eq(gb_place_kind(places[at].word), GB_PLACE_REFUSED);
    ck_assert_uint_eq(serve(0, 0, 2), GB_NO_INDEX);
}
END_TEST

/* Who serves chose a place whose waiter leaves, and another one takes it. */
START_TEST(grant_never_reaches_the_next_on_the_place)
{
    const gb_seek_t seek = {0, 0, 0, 2};
    uint32_t at, word;

    empty();
    join(0, 0, 1);
    at = gb_queue_next(&queue, places, &seek, &word);
    (void)gb_queue_leave(&places[at], &rooms[0]);
    ck_assert_uint_eq(join(1, 0, 1), at);
    ck_assert(!gb_queue_settle(&places[at], &rooms[0], word, 5));
    ck_assert_uint_eq(gb_place_kind(places[at].word), GB_PLACE_WAITING);
    ck_assert_uint_eq(rooms[1].waiting, 1);
}
END_TEST

START_TEST(dead_process_leaves_no_place_behind)
{
    gb_place_t held;
    uint32_t a, b, from = 0, waiting = 0, granted = 0;

    empty();
    a = join(0, 5, 1);
    b = join(1, 5, 2);
    (void)join(0, 6, 3);
    ck_assert(gb_queue_settle(&places[b], &rooms[1], places[b].word, 9));
    while ((from = gb_queue_reclaim(&queue, places, 5, from, &held)) != GB_NO_INDEX) {
        if (gb_place_kind(held.word) == GB_PLACE_WAITING) {
            gb_queue_uncount(&rooms[held.balancer]);
            ck_assert_uint_eq(from, a);
            waiting++;
        }
        else {
            ck_assert_uint_eq(gb_place_position(held.word), 9);
            ck_assert_uint_eq(held.balancer, 1);
            granted++;
        }
    }
    ck_assert_uint_eq(waiting, 1);
    ck_assert_uint_eq(granted, 1);
    ck_assert_uint_eq(rooms[0].waiting, 1); /* the living one's */
    ck_assert_uint_eq(gb_queue_count(&queue, places, 0), 1);
    ck_assert_uint_eq(gb_queue_reclaim(&queue, places, 5, 0, &held), GB_NO_INDEX);
}
END_TEST

/* Row 0 is a process like any other: zeroed places belong to nobody. */
START_TEST(place_that_is_being_filled_is_not_reclaimed_from_another)
{
    gb_place_t held;
    uint32_t at;

    empty();
    at = join(0, 0, 1);
    (void)gb_queue_leave(&places[at], &rooms[0]);
    places[at].word = GB_PLACE_TAKEN;
    queue.top = 1;
    ck_assert_uint_eq(gb_queue_reclaim(&queue, places, 0, 0, &held), GB_NO_INDEX);
}
END_TEST

START_TEST(one_serves_and_looks_again_for_the_others)
{
    empty();
    ck_assert(!gb_queue_serve_begin(&rooms[0], 11)); /* nobody asked */
    gb_queue_serve_ask(&rooms[0]);
    ck_assert(gb_queue_serve_begin(&rooms[0], 11));
    gb_queue_serve_ask(&rooms[0]);
    ck_assert(!gb_queue_serve_begin(&rooms[0], 12));
    gb_queue_serve_end(&rooms[0]);
    ck_assert(gb_queue_serve_begin(&rooms[0], 11)); /* for the other one */
    gb_queue_serve_end(&rooms[0]);
    ck_assert(!gb_queue_serve_begin(&rooms[0], 11));
}
END_TEST

START_TEST(count_never_falls_below_zero)
{
    empty();
    gb_queue_uncount(&rooms[0]);
    ck_assert_uint_eq(rooms[0].waiting, 0);
}
END_TEST

/* -------------------------------------------------------------- random histories */

static uint64_t roll(uint64_t *dice, uint64_t below)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return *dice % below;
}

static uint64_t seed(const char *test)
{
    const char *given = getenv("GB_SEED");
    uint64_t dice =
        (given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u) | 1;

    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)dice);
    return dice;
}

/* What a plain search over all places says. */
static uint32_t plain_next(uint32_t balancer, int64_t late_us, int64_t now_us)
{
    uint32_t best = GB_NO_INDEX;

    for (int late = 0; late < 2 && best == GB_NO_INDEX; late++) {
        for (uint32_t i = 0; i < PLACES; i++) {
            const gb_place_t *p = &places[i];
            bool is_late = late_us && now_us - p->arrived_us >= late_us;

            if (gb_place_kind(p->word) == GB_PLACE_WAITING && p->balancer == balancer &&
                is_late == (late == 1) &&
                (best == GB_NO_INDEX || p->arrived_us < places[best].arrived_us ||
                 (p->arrived_us == places[best].arrived_us &&
                  p->ticket < places[best].ticket))) {
                best = i;
            }
        }
    }
    return best;
}

START_TEST(random_histories_agree_with_a_plain_search)
{
    uint64_t dice = seed("random_histories_agree_with_a_plain_search");
    int64_t now_us = 1000 * MS;

    empty();
    for (int step = 0; step < 200000; step++) {
        uint32_t b = (uint32_t)roll(&dice, 3), at;
        int64_t late_us = roll(&dice, 2) ? 0 : 50 * MS;

        now_us += (int64_t)roll(&dice, 3 * MS);
        switch (roll(&dice, 4)) {
        case 0:
        case 1:
            (void)join(b, (uint32_t)roll(&dice, 4), now_us - (int64_t)roll(&dice, MS));
            break;
        case 2:
            at = plain_next(b, late_us, now_us);
            ck_assert_uint_eq(serve(b, late_us, now_us), at);
            if (at != GB_NO_INDEX) {
                (void)gb_queue_leave(&places[at], &rooms[b]);
            }
            break;
        default:
            at = (uint32_t)roll(&dice, PLACES);
            if (gb_place_kind(places[at].word) == GB_PLACE_WAITING) {
                (void)gb_queue_leave(&places[at], &rooms[places[at].balancer]);
            }
        }
        for (b = 0; b < 3; b++) {
            ck_assert_uint_eq(rooms[b].waiting, gb_queue_count(&queue, places, b));
        }
    }
}
END_TEST

/* -------------------------------------------------------------- threads */

static uint32_t granted_in_all, given_up;

static void *wait_often(void *arg)
{
    uint64_t dice = (uint64_t)(uintptr_t)arg | 1;

    for (int i = 0; i < 20000; i++) {
        uint32_t word, left;
        gb_waiter_t waiter = {0, 0, 1, i};
        uint32_t at = gb_queue_join(&queue, places, &rooms[0], &waiter, MOST, &word);
        uint64_t patience = roll(&dice, 200);

        if (at == GB_NO_INDEX) {
            continue;
        }
        while (patience-- > 0 &&
               __atomic_load_n(&places[at].word, __ATOMIC_SEQ_CST) == word) {
            sched_yield();
        }
        left = gb_queue_leave(&places[at], &rooms[0]);
        if (gb_place_kind(left) == GB_PLACE_GRANTED) {
            __atomic_fetch_add(&granted_in_all, 1, __ATOMIC_RELAXED);
        }
        else {
            ck_assert_uint_eq(left, word);
            __atomic_fetch_add(&given_up, 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static uint32_t settled;

static void *serve_often(void *stop)
{
    while (!__atomic_load_n((uint32_t *)stop, __ATOMIC_ACQUIRE)) {
        gb_queue_serve_ask(&rooms[0]);
        while (gb_queue_serve_begin(&rooms[0], 1)) {
            uint32_t word;
            gb_seek_t seek = {0, 0, 0, 0};
            uint32_t at = gb_queue_next(&queue, places, &seek, &word);

            if (at != GB_NO_INDEX && gb_queue_settle(&places[at], &rooms[0], word, 1)) {
                settled++; /* only one serves at a time */
            }
            gb_queue_serve_end(&rooms[0]);
        }
        sched_yield();
    }
    return NULL;
}

START_TEST(every_grant_reaches_one_waiter_under_contention)
{
    pthread_t waiters[4], servers[2];
    uint32_t stop = 0;

    empty();
    granted_in_all = given_up = settled = 0;
    for (uintptr_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&servers[i], NULL, serve_often, &stop), 0);
    }
    for (uintptr_t i = 0; i < 4; i++) {
        ck_assert_int_eq(
            pthread_create(&waiters[i], NULL, wait_often, (void *)(i * 77 + 3)), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(waiters[i], NULL);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        pthread_join(servers[i], NULL);
    }
    ck_assert_uint_eq(granted_in_all, settled);
    ck_assert_uint_gt(granted_in_all, 0);
    ck_assert_uint_eq(granted_in_all + given_up, 80000);
    ck_assert_uint_eq(rooms[0].waiting, 0);
    ck_assert_uint_eq(gb_queue_count(&queue, places, 0), 0);
}
END_TEST

Suite *gb_queue_suite(void);
Suite *gb_queue_suite(void)
{
    Suite *suite = suite_create("gb_queue");
    TCase *order = tcase_create("order"), *room = tcase_create("room"),
          *all = tcase_create("all");

    tcase_add_test(order, oldest_is_served_first);
    tcase_add_test(order, same_instant_goes_by_ticket);
    tcase_add_test(order, late_ones_come_after_all_others);
    tcase_add_test(order, balancers_do_not_mix);
    tcase_add_test(room, patience_leaves_time_for_the_service);
    tcase_add_test(room, no_more_than_the_most_wait);
    tcase_add_test(room, those_of_an_older_configuration_are_passed_over);
    tcase_add_test(room, full_room_turns_away_and_counts_nothing);
    tcase_add_test(room, grant_tells_the_position_once);
    tcase_add_test(room, refused_waits_no_more);
    tcase_add_test(room, grant_never_reaches_the_next_on_the_place);
    tcase_add_test(room, dead_process_leaves_no_place_behind);
    tcase_add_test(room, place_that_is_being_filled_is_not_reclaimed_from_another);
    tcase_add_test(room, one_serves_and_looks_again_for_the_others);
    tcase_add_test(room, count_never_falls_below_zero);
    tcase_add_test(all, random_histories_agree_with_a_plain_search);
    tcase_add_test(all, every_grant_reaches_one_waiter_under_contention);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, room);
    suite_add_tcase(suite, all);
    return suite;
}
