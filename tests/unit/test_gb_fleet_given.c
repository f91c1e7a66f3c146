/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_given.c - a choice that was made elsewhere is carried out by the tick,
 * as a policy's own would be.
 */
#include "core/gb_fleet.h"

#include <check.h>
#include <string.h>

#define TICK_US (100 * GB_US_PER_MS)
#define SEC     GB_US_PER_S
#define COUNT   6

static gb_machine_t machines[COUNT];
static gb_sense_t senses[COUNT];
static gb_rules_t rules[COUNT];
static gb_door_t doors[COUNT];
static gb_pool_t pool;
static gb_fleet_t fleet;
static gb_choice_t choice;
static gb_decider_t decider;
static gb_tail_row_t rows[COUNT + 1];
static gb_tail_t tail;
static gb_upto_t upto[COUNT + 1];
static double slots_upto[COUNT + 1];
static int64_t now_us;

/* The first `on` serve, the others sleep; server i has a capacity of 10 + i. */
static void setup(uint32_t on)
{
    now_us = 1000 * SEC;
    memset(&pool, 0, sizeof pool);
    memset(&tail, 0, sizeof tail);
    memset(senses, 0, sizeof senses);
    memset(doors, 0, sizeof doors);
    pool.mode = GB_MODE_ON;
    pool.min_awake = 1;
    pool.wakes_at_once = COUNT;
    pool.threshold = (gb_threshold_t){800, 500};
    pool.decider = &decider;
    tail.rows = rows;
    tail.room = pool.decide_room = COUNT;
    pool.tail = &tail;
    pool.upto = upto;
    pool.slots_upto = slots_upto;
    pool.given = &choice;
    fleet = (gb_fleet_t){.machines = machines,
                         .senses = senses,
                         .rules = rules,
                         .machine_count = COUNT,
                         .doors = doors,
                         .door_count = COUNT,
                         .pools = &pool,
                         .pool_count = 1};
    for (uint32_t i = 0; i < COUNT; i++) {
        rules[i] = (gb_rules_t){.drain_timeout_us = 600 * SEC,
                                .stop_timeout_us = 120 * SEC,
                                .wake_timeout_us = 300 * SEC,
                                .cycles_per_day = 24};
        gb_state_init(&machines[i], 30 * SEC, now_us - 3600 * SEC);
        machines[i].state = i < on ? GB_ST_ON : GB_ST_ASLEEP;
        machines[i].rungs_wake = machines[i].rungs_sleep = 1;
        machines[i].flags = GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED;
        senses[i].verdict = i < on ? GB_VERDICT_GOOD : GB_VERDICT_NONE;
        senses[i].proof = i < on ? GB_PROOF_NONE : GB_PROOF_OFF;
        doors[i].machine = doors[i].rank = i;
        doors[i].capacity = 10 + i;
        doors[i].counted = true;
    }
}

static void give(uint32_t up, uint32_t keep)
{
    gb_action_t actions[2 * COUNT];

    choice = (gb_choice_t){.up = up, .keep = keep};
    for (int i = 0; i < 20; i++) {
        now_us += TICK_US;
        (void)gb_fleet_tick(&fleet, now_us, actions, 2 * COUNT);
    }
}

static uint32_t count_in(gb_state_e state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < COUNT; i++) {
        count += machines[i].state == state;
    }
    return count;
}

START_TEST(what_is_missing_is_woken)
{
    setup(2);
    give(2, 4);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 0);
    give(4, 4);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 2);
    ck_assert_ptr_nonnull(
        strstr(pool.reason, "decided elsewhere: needs 4 of 6 servers"));
    give(1, 2); /* who wakes is not called back */
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 2);
    ck_assert_uint_eq(count_in(GB_ST_ON), 2);
}
END_TEST

START_TEST(what_is_too_much_sleeps)
{
    setup(5);
    give(1, 5);
    ck_assert_uint_eq(count_in(GB_ST_ON), 5);
    give(1, 3);
    ck_assert_uint_eq(count_in(GB_ST_ON), 3);
    ck_assert_uint_eq(count_in(GB_ST_STOPPING), 2);
}
END_TEST

START_TEST(the_floor_and_spare_servers_hold)
{
    setup(6);
    pool.min_awake = 3;
    give(1, 1);
    ck_assert_uint_eq(count_in(GB_ST_ON), 3);
    setup(6);
    pool.spare = 2;
    give(2, 2);
    ck_assert_uint_ge(count_in(GB_ST_ON), 4);
    ck_assert_uint_lt(count_in(GB_ST_ON), 6);
}
END_TEST

START_TEST(a_new_choice_counts_at_once)
{
    gb_action_t actions[2 * COUNT];

    setup(2);
    give(2, 2);
    choice.up = choice.keep = 3;
    now_us += TICK_US;
    ck_assert_uint_eq(gb_fleet_tick(&fleet, now_us, actions, 2 * COUNT), 1);
    ck_assert_uint_eq(actions[0].acts, GB_ACT_ORDER_ON);
}
END_TEST

Suite *gb_fleet_given_suite(void)
{
    Suite *suite = suite_create("gb_fleet_given");
    TCase *given = tcase_create("given");

    tcase_add_test(given, what_is_missing_is_woken);
    tcase_add_test(given, what_is_too_much_sleeps);
    tcase_add_test(given, the_floor_and_spare_servers_hold);
    tcase_add_test(given, a_new_choice_counts_at_once);
    suite_add_tcase(suite, given);
    return suite;
}
