/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_pick.c - the choice of a member.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_pick.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint32_t sizes[] = {1,   2,    3,    63,   64,   65,   127,  128,
                                 129, 1000, 2047, 2048, 4032, 4033, 4095, 4096};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint64_t dice;

static uint64_t roll_with(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

static uint64_t roll(uint64_t below)
{
    return roll_with(&dice, below);
}

static void seed_dice(const char *test)
{
    const char *given = getenv("GB_SEED");

    dice = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    dice |= 1;
    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)dice);
}

static uint8_t use[GB_MEMBERS_MAX], asleep[GB_MEMBERS_MAX];

static gb_pick_table_t *make_table(uint32_t size)
{
    size_t bytes = gb_pick_bytes(size);
    gb_pick_table_t *table = aligned_alloc(64, bytes);

    ck_assert_ptr_nonnull(table);
    ck_assert_uint_eq(bytes % 64, 0);
    memset(table, 0, bytes);
    gb_pick_init(table, size);
    ck_assert_uint_eq(table->size, size);
    return table;
}

/* A table of `size` open members of equal capacity, all in one set and serving. */
static gb_pick_table_t *make_serving(uint32_t size, uint32_t capacity)
{
    gb_pick_table_t *table = make_table(size);
    uint32_t i;

    for (i = 0; i < size; i++) {
        ck_assert_uint_eq(gb_pick_append(table, (uint16_t)i, capacity, 0), i);
    }
    memset(use, GB_USE_USABLE, sizeof(use));
    memset(asleep, 0, sizeof(asleep));
    gb_pick_sweep(table, use, asleep);
    return table;
}

/* What find has to answer, told by a plain scan. */
static uint32_t first_by_scan(gb_pick_table_t *table)
{
    uint32_t i;

    for (i = 0; i < table->used; i++) {
        gb_pick_record_t record = gb_pick_read(table, i);

        if (record.eligible && record.gate == GB_GATE_OPEN &&
            record.in_flight < record.capacity) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

static void assert_least_loaded(gb_pick_table_t *table, uint32_t picked)
{
    gb_pick_record_t chosen = gb_pick_read(table, picked);
    uint32_t i;

    ck_assert(chosen.eligible && chosen.gate == GB_GATE_OPEN);
    for (i = 0; i < table->used; i++) {
        gb_pick_record_t record = gb_pick_read(table, i);

        if (record.eligible && record.gate == GB_GATE_OPEN) {
            ck_assert_uint_le((uint64_t)chosen.in_flight * record.capacity,
                              (uint64_t)record.in_flight * chosen.capacity);
        }
    }
}

/* Every bit agrees with its record, in both levels. */
static void assert_bits_exact(gb_pick_table_t *table)
{
    uint32_t i;

    for (i = 0; i < table->used; i++) {
        gb_pick_record_t record = gb_pick_read(table, i);
        bool room = record.eligible && record.gate == GB_GATE_OPEN &&
                    record.in_flight < record.capacity;
        bool bit = (table->words[i / 64] >> (i % 64)) & 1;

        ck_assert_msg(bit == room, "position %u: bit %d, room %d", i, bit, room);
        if (bit) {
            ck_assert((table->top >> (i / 64)) & 1);
        }
    }
}

/* ------------------------------------------------------------------ packing */

START_TEST(members_are_filled_in_order_then_the_least_loaded)
{
    size_t s;

    for (s = 0; s < SIZES; s++) {
        gb_pick_table_t *table = make_serving(sizes[s], 2);
        uint32_t i;

        for (i = 0; i < 2 * sizes[s]; i++) {
            uint32_t position = gb_pick_find(table, NULL, 0);

            ck_assert_uint_eq(position, i / 2);
            ck_assert_uint_eq(gb_pick_enter(table, position), i % 2 + 1);
        }
        assert_bits_exact(table);
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0); /* all alike: the first */
        gb_pick_enter(table, 0);
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0), sizes[s] > 1 ? 1 : 0);
        gb_pick_leave(table, sizes[s] - 1);
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0),
                          sizes[s] > 1 ? sizes[s] - 1 : 0);
        free(table);
    }
}
END_TEST

START_TEST(tried_positions_are_avoided)
{
    gb_pick_table_t *table = make_serving(70, 1);
    uint32_t avoid[70], i;

    for (i = 0; i < 70; i++) {
        avoid[i] = gb_pick_find(table, avoid, i);
        ck_assert_uint_eq(avoid[i], i);
    }
    ck_assert_uint_eq(gb_pick_find(table, avoid, 70), GB_NO_INDEX);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    free(table);
}
END_TEST

START_TEST(barred_member_is_out_until_the_next_sweep)
{
    gb_pick_table_t *table = make_serving(3, 1);

    gb_pick_bar(table, 0);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_enter(table, 0);
    gb_pick_leave(table, 0);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_sweep(table, use, asleep);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    free(table);
}
END_TEST

START_TEST(capacity_in_force_bounds_what_comes_and_what_is_there_stays)
{
    gb_pick_table_t *table = make_serving(2, 10);
    uint32_t i;

    for (i = 0; i < 6; i++) {
        gb_pick_enter(table, gb_pick_find(table, NULL, 0));
    }
    gb_pick_set_capacity(table, 0, 4); /* two more than that are in flight */
    assert_bits_exact(table);
    ck_assert_uint_eq(gb_pick_read(table, 0).in_flight, 6);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_leave(table, 0);
    gb_pick_leave(table, 0);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_leave(table, 0);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    gb_pick_set_capacity(table, 0, 0);
    ck_assert_uint_eq(gb_pick_read(table, 0).capacity, 1);
    gb_pick_set_capacity(table, 0, UINT32_MAX);
    ck_assert_uint_eq(gb_pick_read(table, 0).capacity, UINT16_MAX);
    assert_bits_exact(table);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    free(table);
}
END_TEST

START_TEST(full_members_are_weighed_by_their_capacity)
{
    gb_pick_table_t *table = make_table(3);
    uint32_t i;

    gb_pick_append(table, 0, 3, 0);
    gb_pick_append(table, 1, 100, 0);
    gb_pick_append(table, 2, UINT32_MAX, 0);
    ck_assert_uint_eq(gb_pick_read(table, 2).capacity, UINT16_MAX);
    use[2] = 0;
    use[0] = use[1] = GB_USE_USABLE;
    gb_pick_sweep(table, use, asleep);
    for (i = 0; i < 103; i++) {
        gb_pick_enter(table, gb_pick_find(table, NULL, 0));
    }
    gb_pick_enter(table, 0); /* 4 of 3 */
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_correct(table, 1, 33); /* 133 of 100 is less than 4 of 3 */
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    gb_pick_correct(table, 1, 1);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    free(table);
}
END_TEST

START_TEST(without_packing_the_turn_goes_round_among_equals)
{
    gb_pick_table_t *table = make_serving(5, 4);
    uint32_t chosen[5] = {0}, i;

    table->packing = 0;
    for (i = 0; i < 50; i++) {
        chosen[gb_pick_find(table, NULL, 0)]++;
    }
    for (i = 0; i < 5; i++) {
        ck_assert_uint_eq(chosen[i], 10);
    }
    table->turn = UINT32_MAX;
    ck_assert_uint_lt(gb_pick_find(table, NULL, 0), 5);
    free(table);
}
END_TEST

/* ------------------------------------------------------------------ gates */

START_TEST(closed_and_draining_gates_get_no_new_request)
{
    gb_pick_table_t *table = make_serving(3, 4);

    gb_pick_set_gate(table, 0, GB_GATE_STICKY);
    gb_pick_set_gate(table, 1, GB_GATE_CLOSED);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 2);
    gb_pick_set_gate(table, 2, GB_GATE_CLOSED);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), GB_NO_INDEX);
    gb_pick_set_gate(table, 1, GB_GATE_OPEN);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 1);
    ck_assert_uint_eq(gb_pick_gate(table, 0), GB_GATE_STICKY);
    free(table);
}
END_TEST

START_TEST(appended_member_waits_for_the_sweep)
{
    gb_pick_table_t *table = make_table(2);

    ck_assert_uint_eq(gb_pick_append(table, 7, 0, 0), 0);
    ck_assert_uint_eq(gb_pick_read(table, 0).capacity, 1);
    ck_assert_uint_eq(gb_pick_order(table)[0], 7);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), GB_NO_INDEX);
    use[0] = GB_USE_USABLE;
    gb_pick_sweep(table, use, asleep);
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    ck_assert_uint_eq(gb_pick_append(table, 8, 1, 0), 1);
    ck_assert_uint_eq(gb_pick_append(table, 9, 1, 0), GB_NO_INDEX);
    ck_assert_uint_eq(table->used, 2);
    free(table);
}
END_TEST

START_TEST(counts_never_go_below_zero)
{
    gb_pick_table_t *table = make_serving(1, 2);

    gb_pick_leave(table, 0);
    ck_assert_uint_eq(gb_pick_read(table, 0).in_flight, 0);
    gb_pick_correct(table, 0, -5);
    ck_assert_uint_eq(gb_pick_read(table, 0).in_flight, 0);
    gb_pick_correct(table, 0, 2);
    ck_assert_uint_eq(table->words[0], 0);
    gb_pick_correct(table, 0, INT64_C(1) << 40);
    ck_assert_uint_eq(gb_pick_read(table, 0).in_flight, INT32_MAX);
    gb_pick_correct(table, 0, -(INT64_C(1) << 40));
    ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
    free(table);
}
END_TEST

/* ------------------------------------------------------------------ self-repair */

START_TEST(taking_fills_to_the_capacity_and_not_beyond)
{
    gb_pick_table_t *table = make_serving(2, 2);
    static const uint32_t wanted[] = {0, 0, 1, 1, GB_NO_INDEX, GB_NO_INDEX};

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        ck_assert_uint_eq(gb_pick_take(table, NULL, 0), wanted[i]);
    }
    gb_pick_leave(table, 1);
    ck_assert_uint_eq(gb_pick_take(table, NULL, 0), 1);
    gb_pick_set_gate(table, 0, GB_GATE_CLOSED);
    gb_pick_leave(table, 0);
    ck_assert_uint_eq(gb_pick_take(table, NULL, 0), GB_NO_INDEX);
    free(table);
}
END_TEST

static void *take_often(void *arg)
{
    gb_pick_table_t *table = arg;

    for (int i = 0; i < 50000; i++) {
        uint32_t position = gb_pick_take(table, NULL, 0);

        if (position != GB_NO_INDEX) {
            gb_pick_record_t record = gb_pick_read(table, position);

            ck_assert_uint_le(record.in_flight, record.capacity);
            gb_pick_leave(table, position);
        }
    }
    return NULL;
}

START_TEST(taking_at_once_never_exceeds_the_capacity)
{
    gb_pick_table_t *table = make_serving(3, 1);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_often, table), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(gb_pick_read(table, i).in_flight, 0);
        ck_assert_uint_ne(gb_pick_take(table, NULL, 0),
                          GB_NO_INDEX); /* no bit was lost */
    }
    free(table);
}
END_TEST

START_TEST(wrongly_set_bits_are_found_out)
{
    size_t s;

    for (s = 0; s < SIZES; s++) {
        gb_pick_table_t *table = make_serving(sizes[s], 1);
        uint32_t i;

        for (i = 0; i + 1 < sizes[s]; i++) {
            gb_pick_set_gate(table, i, GB_GATE_CLOSED);
        }
        memset(table->words, 0xff, (sizes[s] + 63) / 64 * sizeof(uint64_t));
        table->top = UINT64_MAX;
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0), sizes[s] - 1);
        assert_bits_exact(table);
        free(table);
    }
}
END_TEST

START_TEST(wrongly_cleared_bits_are_set_by_release_and_sweep)
{
    size_t s;

    for (s = 0; s < SIZES; s++) {
        gb_pick_table_t *table = make_serving(sizes[s], 2);
        uint32_t last = sizes[s] - 1;

        gb_pick_enter(table, last);
        memset(table->words, 0, (sizes[s] + 63) / 64 * sizeof(uint64_t));
        table->top = 0;
        ck_assert_uint_le(gb_pick_find(table, NULL, 0), last); /* still finds one */
        gb_pick_leave(table, last);
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0), last);
        gb_pick_sweep(table, use, asleep);
        assert_bits_exact(table);
        ck_assert_uint_eq(gb_pick_find(table, NULL, 0), 0);
        table->top = 0; /* the second level alone */
        gb_pick_sweep(table, use, asleep);
        assert_bits_exact(table);
        free(table);
    }
}
END_TEST

START_TEST(damaged_header_is_no_way_out_of_the_table)
{
    gb_pick_table_t *table = make_serving(65, 1);

    table->used = UINT32_MAX;
    memset(table->words, 0xff, 2 * sizeof(uint64_t));
    table->top = UINT64_MAX;
    ck_assert_uint_lt(gb_pick_find(table, NULL, 0), 65);
    free(table);
}
END_TEST

/* ----------------------------------------------------------------- random histories */

static void random_step(gb_pick_table_t *table, uint32_t *counts)
{
    uint32_t position = (uint32_t)roll(table->used);
    uint32_t found = gb_pick_find(table, NULL, 0);
    uint32_t first = first_by_scan(table);

    if (first != GB_NO_INDEX) {
        ck_assert_uint_eq(found, first);
    }
    else if (found != GB_NO_INDEX) {
        assert_least_loaded(table, found);
    }
    switch (roll(8)) {
    case 0:
        gb_pick_set_gate(table, position, (uint8_t)roll(3));
        break;
    case 1:
        use[position] = (uint8_t)roll(16);
        asleep[position] = (uint8_t)roll(2);
        if (roll(10) == 0) {
            gb_pick_sweep(table, use, asleep);
        }
        break;
    case 2:
    case 3:
        if (counts[position]) {
            gb_pick_leave(table, position);
            counts[position]--;
        }
        break;
    default:
        if (found != GB_NO_INDEX) {
            gb_pick_enter(table, found);
            counts[found]++;
        }
    }
}

START_TEST(random_histories_agree_with_a_plain_scan)
{
    static uint32_t counts[GB_MEMBERS_MAX];
    size_t s;

    seed_dice("random histories");
    for (s = 0; s < SIZES; s++) {
        gb_pick_table_t *table = make_serving(sizes[s], 2);
        uint32_t i;

        memset(counts, 0, sizeof(counts));
        for (i = 0; i < sizes[s]; i++) {
            gb_pick_lbsets(table)[i] = (uint8_t)(i * 3 / sizes[s]);
            gb_pick_records(table)[i].capacity = (uint16_t)(1 + roll(4));
        }
        gb_pick_sweep(table, use, asleep);
        for (i = 0; i < 3000; i++) {
            random_step(table, counts);
        }
        assert_bits_exact(table);
        for (i = 0; i < sizes[s]; i++) {
            ck_assert_uint_eq(gb_pick_read(table, i).in_flight, counts[i]);
        }
        free(table);
    }
}
END_TEST

START_TEST(without_packing_random_picks_are_least_loaded)
{
    gb_pick_table_t *table = make_serving(100, 1);
    uint32_t i;

    seed_dice("least loaded");
    table->packing = 0;
    for (i = 0; i < 100; i++) {
        gb_pick_records(table)[i].capacity = (uint16_t)(1 + roll(50));
    }
    for (i = 0; i < 5000; i++) {
        uint32_t found = gb_pick_find(table, NULL, 0);

        assert_least_loaded(table, found);
        gb_pick_enter(table, found);
        if (roll(3) == 0) {
            gb_pick_leave(table, (uint32_t)roll(100));
        }
    }
    free(table);
}
END_TEST

/* ------------------------------------------------------------------ who serves */

/* One letter a member: p plain, S spare, H standby; marks after it: ! unusable, ~
 * draining, z asleep on purpose.  A digit begins an lbset.  `wanted`: who serves. */
static void assert_serves(const char *members, const char *wanted)
{
    gb_pick_table_t *table = make_table(64);
    uint8_t lbset = 0;
    uint32_t i, n = 0;
    char got[65];

    memset(use, 0, sizeof(use));
    memset(asleep, 0, sizeof(asleep));
    for (; *members; members++) {
        if (*members == ' ') {
            continue;
        }
        if (*members >= '0' && *members <= '9') {
            lbset = (uint8_t)(*members - '0');
            continue;
        }
        if (*members == '!') {
            use[n - 1] &= (uint8_t)~GB_USE_USABLE;
        }
        else if (*members == '~') {
            use[n - 1] |= GB_USE_DRAIN;
        }
        else if (*members == 'z') {
            asleep[n - 1] = 1;
            gb_pick_set_gate(table, n - 1, GB_GATE_CLOSED);
        }
        else {
            gb_pick_append(table, (uint16_t)n, 1, lbset);
            use[n++] = (uint8_t)(GB_USE_USABLE | (*members == 'S'   ? GB_USE_SPARE
                                                  : *members == 'H' ? GB_USE_STANDBY
                                                                    : 0));
        }
    }
    gb_pick_sweep(table, use, asleep);
    for (i = 0; i < n; i++) {
        got[i] = gb_pick_read(table, i).eligible ? '1' : '0';
    }
    got[n] = '\0';
    ck_assert_str_eq(got, wanted);
    assert_bits_exact(table);
    free(table);
}

START_TEST(sets_spares_and_standbys_serve_as_in_stock_httpd)
{
    assert_serves("p p p", "111");
    assert_serves("p p! p", "101");
    assert_serves("p p~ p", "101");
    assert_serves("p S", "10"); /* nobody is missing */
    assert_serves("p! S", "01");
    assert_serves("p! p S S", "0110"); /* one spare for one missing */
    assert_serves("p! p~ S S", "0011");
    assert_serves("p! S! S", "001"); /* a spare that cannot is passed over */
    assert_serves("p! S~ S", "001");
    assert_serves("p H", "10");
    assert_serves("p! H H", "011"); /* no other is left: all standbys */
    assert_serves("p! S H", "010"); /* the spare is enough */
    assert_serves("p~ H", "01");
    assert_serves("0 p p 1 p", "110");
    assert_serves("0 p! p! 1 p p", "0011");
    assert_serves("0 p! H! 1 p! H", "0001");
    assert_serves("0 p! H 1 p", "010"); /* standbys come before the next set */
    assert_serves("5 p 2 p! 9 p", "100");
    assert_serves("0 p! S 1 p", "010");
    assert_serves("0 S 1 p", "01"); /* a spare alone serves nobody */
    assert_serves("p! H~", "00");
    assert_serves("", "");
}
END_TEST

START_TEST(sleeping_member_calls_no_spare)
{
    assert_serves("pz p S", "010");
    assert_serves("pz p! p S S", "00110");
    assert_serves("p!z p S", "010");
    assert_serves("pz S", "00");
    assert_serves("pz H", "01"); /* but somebody has to serve */
    assert_serves("0 pz pz 1 p", "001");
}
END_TEST

START_TEST(closed_gate_without_sleep_calls_a_spare)
{
    gb_pick_table_t *table = make_serving(3, 1);

    use[2] |= GB_USE_SPARE;
    gb_pick_set_gate(table, 0, GB_GATE_CLOSED); /* it failed */
    gb_pick_sweep(table, use, asleep);
    ck_assert_uint_eq(gb_pick_read(table, 0).eligible, 0);
    ck_assert_uint_eq(gb_pick_read(table, 1).eligible, 1);
    ck_assert_uint_eq(gb_pick_read(table, 2).eligible, 1);
    free(table);
}
END_TEST

START_TEST(sweep_is_due_for_one_caller_an_interval)
{
    gb_pick_table_t *table = make_serving(1, 1);

    ck_assert(gb_pick_sweep_due(table, 250, 1000));
    ck_assert(!gb_pick_sweep_due(table, 250, 1000));
    ck_assert(!gb_pick_sweep_due(table, 250, 1249));
    ck_assert(gb_pick_sweep_due(table, 250, 1250));
    table->swept_at_us = INT64_MAX; /* damage */
    ck_assert(gb_pick_sweep_due(table, 250, 1300));
    ck_assert(!gb_pick_sweep_due(table, 250, 1301));
    free(table);
}
END_TEST

/* ------------------------------------------------------------------ threads */

#define THREADS 4
#define ROUNDS  100000
#define HELD    8

typedef struct worker_t {
    gb_pick_table_t *table;
    uint64_t dice;
    uint64_t entered, left;
    int32_t balance[200];
    uint32_t bad;
} worker_t;

static void *hammer(void *data)
{
    worker_t *w = data;
    uint32_t held[HELD], n = 0, i;

    for (i = 0; i < ROUNDS; i++) {
        uint32_t position = gb_pick_find(w->table, NULL, 0);

        if (position != GB_NO_INDEX && n < HELD) {
            w->bad += position >= w->table->used;
            gb_pick_enter(w->table, position);
            if (gb_pick_gate(w->table, position) != GB_GATE_OPEN) {
                gb_pick_leave(w->table, position); /* closed meanwhile */
            }
            else {
                held[n++] = position;
                w->balance[position]++;
                w->entered++;
            }
        }
        if (n && (n == HELD || roll_with(&w->dice, 2))) {
            uint32_t k = (uint32_t)roll_with(&w->dice, n);

            gb_pick_leave(w->table, held[k]);
            w->balance[held[k]]--;
            w->left++;
            held[k] = held[--n];
        }
    }
    return NULL;
}

static void *turn_gates(void *data)
{
    worker_t *w = data;
    uint8_t all[200], awake[200] = {0};
    uint32_t i;

    memset(all, GB_USE_USABLE, sizeof(all));
    for (i = 0; i < ROUNDS / 4; i++) {
        gb_pick_set_gate(w->table, (uint32_t)roll_with(&w->dice, w->table->used),
                         (uint8_t)roll_with(&w->dice, 3));
        if (i % 64 == 0) {
            gb_pick_sweep(w->table, all, awake);
        }
        if (gb_pick_sweep_due(w->table, 10, i)) {
            w->entered++;
        }
    }
    return NULL;
}

START_TEST(threads_leave_exact_counts_and_bits)
{
    static const uint32_t tables[] = {1, 2, 64, 200};
    size_t t;

    seed_dice("threads");
    for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        gb_pick_table_t *table = make_serving(tables[t], 3);
        worker_t workers[THREADS + 1];
        pthread_t threads[THREADS + 1];
        int64_t total = 0;
        uint32_t i, k;

        memset(workers, 0, sizeof(workers));
        for (i = 0; i <= THREADS; i++) {
            workers[i].table = table;
            workers[i].dice = roll(UINT64_MAX) | 1;
            ck_assert_int_eq(pthread_create(&threads[i], NULL,
                                            i < THREADS ? hammer : turn_gates,
                                            &workers[i]),
                             0);
        }
        for (i = 0; i <= THREADS; i++) {
            pthread_join(threads[i], NULL);
            ck_assert_uint_eq(workers[i].bad, 0);
        }
        for (k = 0; k < tables[t]; k++) {
            int64_t balance = 0;

            for (i = 0; i < THREADS; i++) {
                balance += workers[i].balance[k];
            }
            ck_assert_int_eq(gb_pick_read(table, k).in_flight, balance);
            total += balance;
        }
        for (i = 0; i < THREADS; i++) {
            total -= (int64_t)(workers[i].entered - workers[i].left);
        }
        ck_assert_int_eq(total, 0);
        for (k = 0; k < tables[t]; k++) {
            gb_pick_record_t record = gb_pick_read(table, k);
            bool bit = (table->words[k / 64] >> (k % 64)) & 1;

            /* A bit may be set too much, which is found out; none is missing. */
            ck_assert(bit || !record.eligible || record.gate != GB_GATE_OPEN ||
                      record.in_flight >= record.capacity);
        }
        free(table);
    }
}
END_TEST

/* One thread finds a position full and clears its bit, while another leaves it. */
#define RACES 400000

typedef struct race_t {
    gb_pick_table_t *table;
    uint32_t go, done;
} race_t;

static void spin_until(const uint32_t *what, uint32_t value)
{
    uint32_t spins = 0;

    while (__atomic_load_n(what, __ATOMIC_ACQUIRE) != value) {
        if (++spins % 512 == 0) {
            sched_yield(); /* the other one may have no processor */
        }
    }
}

static void *leave_at_once(void *data)
{
    race_t *race = data;
    uint32_t i, delay;

    for (i = 1; i <= RACES; i++) {
        spin_until(&race->go, i);
        for (delay = 0; delay < i / 2 % 64; delay++) {
            __asm__ volatile("");
        }
        gb_pick_leave(race->table, 0);
        __atomic_store_n(&race->done, i, __ATOMIC_RELEASE);
    }
    return NULL;
}

START_TEST(room_that_is_given_while_a_bit_is_cleared_is_not_lost)
{
    race_t race = {make_serving(1, 1), 0, 0};
    pthread_t thread;
    uint32_t lost = 0, i;

    ck_assert_int_eq(pthread_create(&thread, NULL, leave_at_once, &race), 0);
    for (i = 1; i <= RACES; i++) {
        gb_pick_enter(race.table, 0);
        /* A wrong hint in one of the two levels, for find to clear. */
        race.table->words[0] = i & 1;
        race.table->top = 1;
        __atomic_store_n(&race.go, i, __ATOMIC_RELEASE);
        gb_pick_find(race.table, NULL, 0);
        spin_until(&race.done, i);
        lost += race.table->words[0] != 1 || race.table->top != 1;
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(lost, 0);
    free(race.table);
}
END_TEST

/* The keeper's half of the bargain: it closes the gate, then reads the counts. */
typedef struct bargain_t {
    gb_pick_table_t *table;
    uint32_t stop;
    uint32_t wrong;
} bargain_t;

static uint32_t inside; /* requests that found the gate open after counting */

static void *enter_and_look(void *data)
{
    bargain_t *bargain = data;

    while (!__atomic_load_n(&bargain->stop, __ATOMIC_SEQ_CST)) {
        gb_pick_enter(bargain->table, 0);
        if (gb_pick_gate(bargain->table, 0) == GB_GATE_OPEN) {
            __atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        }
        gb_pick_leave(bargain->table, 0);
    }
    return NULL;
}

START_TEST(closed_gate_with_count_zero_lets_nobody_in)
{
    bargain_t bargain = {make_serving(1, 100), 0, 0};
    pthread_t threads[2];
    uint32_t seen_zero = 0, i;

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, enter_and_look, &bargain),
                         0);
    }
    for (i = 0; i < 20000 && seen_zero < 2000; i++) {
        uint32_t reads = 0;

        gb_pick_set_gate(bargain.table, 0, GB_GATE_CLOSED);
        while (gb_pick_read(bargain.table, 0).in_flight && ++reads < 1000) {
            sched_yield();
        }
        if (reads < 1000) {
            seen_zero++;
            bargain.wrong += __atomic_load_n(&inside, __ATOMIC_SEQ_CST);
        }
        gb_pick_set_gate(bargain.table, 0, GB_GATE_OPEN);
    }
    __atomic_store_n(&bargain.stop, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_uint_gt(seen_zero, 0);
    ck_assert_uint_eq(bargain.wrong, 0);
    ck_assert_uint_eq(gb_pick_read(bargain.table, 0).in_flight, 0);
    free(bargain.table);
}
END_TEST

Suite *gb_pick_suite(void);
Suite *gb_pick_suite(void)
{
    Suite *suite = suite_create("gb_pick");
    TCase *choice = tcase_create("choice");
    TCase *repair = tcase_create("repair");
    TCase *serving = tcase_create("serving");
    TCase *threads = tcase_create("threads");

    tcase_add_test(choice, members_are_filled_in_order_then_the_least_loaded);
    tcase_add_test(choice, tried_positions_are_avoided);
    tcase_add_test(choice, barred_member_is_out_until_the_next_sweep);
    tcase_add_test(choice, full_members_are_weighed_by_their_capacity);
    tcase_add_test(choice, capacity_in_force_bounds_what_comes_and_what_is_there_stays);
    tcase_add_test(choice, without_packing_the_turn_goes_round_among_equals);
    tcase_add_test(choice, closed_and_draining_gates_get_no_new_request);
    tcase_add_test(choice, appended_member_waits_for_the_sweep);
    tcase_add_test(choice, counts_never_go_below_zero);
    tcase_add_test(repair, taking_fills_to_the_capacity_and_not_beyond);
    tcase_add_test(repair, taking_at_once_never_exceeds_the_capacity);
    tcase_add_test(repair, wrongly_set_bits_are_found_out);
    tcase_add_test(repair, wrongly_cleared_bits_are_set_by_release_and_sweep);
    tcase_add_test(repair, damaged_header_is_no_way_out_of_the_table);
    tcase_add_test(repair, random_histories_agree_with_a_plain_scan);
    tcase_add_test(repair, without_packing_random_picks_are_least_loaded);
    tcase_add_test(serving, sets_spares_and_standbys_serve_as_in_stock_httpd);
    tcase_add_test(serving, sleeping_member_calls_no_spare);
    tcase_add_test(serving, closed_gate_without_sleep_calls_a_spare);
    tcase_add_test(serving, sweep_is_due_for_one_caller_an_interval);
    tcase_add_test(threads, threads_leave_exact_counts_and_bits);
    tcase_add_test(threads, room_that_is_given_while_a_bit_is_cleared_is_not_lost);
    tcase_add_test(threads, closed_gate_with_count_zero_lets_nobody_in);
    tcase_set_timeout(repair, 60);
    tcase_set_timeout(threads, 60);
    suite_add_tcase(suite, choice);
    suite_add_tcase(suite, repair);
    suite_add_tcase(suite, serving);
    suite_add_tcase(suite, threads);
    return suite;
}
