/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fleet_ask.c - what policies other than threshold are told, and what the fleet
 * makes of their answers.
 */
#define MOST 1000
#include "one_pool.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#define SERVICE 0.12

static gb_decider_t decider;
static gb_tail_t tail;
static gb_tail_row_t rows[MOST + 1];
static gb_upto_t upto[MOST + 1];
static double slots[MOST + 1];

/* `count` equal machines of 8 slots, 120 ms a request; the first `on` of them on, the
 * rest asleep. */
static void setup(gb_policy_e policy, uint32_t count, uint32_t on)
{
    one_pool_setup(count, on, 8, 60 * SEC, 1000 * SEC);
    memset(&decider, 0, sizeof decider);
    memset(&tail, 0, sizeof tail);
    pool.wakes_at_once = 64;
    gb_policy_defaults(&pool.policy, policy);
    pool.threshold = pool.policy.threshold;
    pool.decider = &decider;
    pool.tail = &tail;
    pool.upto = upto;
    pool.slots_upto = slots;
    pool.decide_room = tail.room = MOST;
    tail.rows = rows;
    pool.service_us = (int64_t)(SERVICE * 1e6);
    pool.late_us = 500 * GB_US_PER_MS;
    for (uint32_t i = 0; i < count; i++) {
        doors[i].idle_watts = 140;
        doors[i].setup_watts = 200;
    }
}

/* Hosts that obey at once, and boot in 60 s. */
static void obey(void)
{
    for (uint32_t m = 0; m < fleet.machine_count; m++) {
        const gb_machine_t *machine = &machines[m];
        bool booted = machine->state == GB_ST_WAKING &&
                      now_us - machine->entered_at_us >= 60 * SEC;
        bool off = machine->state == GB_ST_STOPPING || machine->state == GB_ST_ASLEEP;

        senses[m].verdict =
            machine->state == GB_ST_ON || booted ? GB_VERDICT_GOOD : GB_VERDICT_NONE;
        senses[m].proof = off ? GB_PROOF_OFF : GB_PROOF_NONE;
    }
}

static void tick(void)
{
    now_us += TICK_US;
    used = gb_fleet_tick(&fleet, now_us, actions, ROOM);
}

static uint32_t count_in(gb_state_e state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < fleet.machine_count; i++) {
        count += machines[i].state == (uint32_t)state;
    }
    return count;
}

/* So many requests/s, each of which takes 120 ms; the first servers are filled, and
 * what is too much stands in line at the first. */
static void come(double rate)
{
    double left = rate * SERVICE;

    pool.arrived = rate * (double)TICK_US / 1e6;
    for (uint32_t i = 0; i < fleet.door_count; i++) {
        bool serves = gb_state_takes_new(&machines[doors[i].machine]);
        double share = serves ? fmin(left, 8) : 0;

        doors[i].in_flight = (uint32_t)(share + 0.5);
        left -= share;
    }
    if (left >= 1 && fleet.door_count != 0) {
        doors[0].in_flight += (uint32_t)left;
    }
}

static void live(int64_t span_us, double rate)
{
    int64_t until_us = now_us + span_us;

    while (now_us < until_us) {
        come(rate);
        obey();
        tick();
    }
}

/* ------------------------------------------------------------ every policy */

/* A server carries 56 requests/s.  Ten minutes of 5 servers' worth, an hour of next to
 * nothing: what is needed is there, and what is not sleeps. */
START_TEST(every_policy_wakes_and_lets_sleep)
{
    setup((gb_policy_e)_i, 20, 2);
    live(600 * SEC, 300);
    ck_assert_uint_ge(count_in(GB_ST_ON), 5);
    ck_assert_uint_le(count_in(GB_ST_ON), 14);
    ck_assert_uint_eq(count_in(GB_ST_ON) + count_in(GB_ST_WAKING),
                      pool.tally.awake + pool.tally.coming);
    live(3600 * SEC, 6);
    ck_assert_uint_ge(count_in(GB_ST_ON), 1);
    ck_assert_uint_le(count_in(GB_ST_ON), 3);
}
END_TEST

/* What is told is what is there. */
START_TEST(every_policy_is_told_the_servers_and_the_rates)
{
    setup((gb_policy_e)_i, 20, 6);
    pool.min_awake = 6; /* they stay */
    live(300 * SEC, 200);
    ck_assert_uint_eq(pool.asked.policy, (uint32_t)_i);
    ck_assert_uint_eq(pool.asked.servers, 20);
    ck_assert_double_eq_tol(pool.asked.rate, 200, 2);
    ck_assert_double_eq_tol(pool.asked.in_system, 24, 1);
    ck_assert_double_eq_tol(pool.asked.rate_per_server, 56.1, 0.1);
    ck_assert_double_eq_tol(pool.asked.service_s, 0.12, 1e-9);
    ck_assert_double_eq_tol(pool.asked.late_s, 0.5, 1e-9);
    ck_assert_double_eq_tol(pool.asked.up_capacity, 8.0 * pool.asked.choice.up, 1e-9);
    ck_assert_double_eq_tol(pool.asked.keep_capacity, 8.0 * pool.asked.choice.keep,
                            1e-9);
}
END_TEST

START_TEST(every_policy_says_why)
{
    setup((gb_policy_e)_i, 20, 2);
    live(60 * SEC, 600);
    ck_assert_ptr_nonnull(strstr(pool.reason, gb_policy_name((gb_policy_e)_i)));
    ck_assert_ptr_nonnull(strstr(pool.reason, " needs "));
    ck_assert_ptr_nonnull(strstr(pool.reason, " of 20 servers"));
    ck_assert_ptr_nonnull(strstr(pool.reason, "; 2 awake"));
    pool.waiting = 7;
    pool.spare = 3;
    tick();
    ck_assert_ptr_nonnull(strstr(pool.reason, " and 7 waiting"));
    ck_assert_ptr_nonnull(strstr(pool.reason, " with 3 spare"));
}
END_TEST

START_TEST(every_policy_keeps_min_and_spare)
{
    setup((gb_policy_e)_i, 20, 20);
    pool.min_awake = 4;
    live(1800 * SEC, 6);
    ck_assert_uint_eq(count_in(GB_ST_ON), 4);
    setup((gb_policy_e)_i, 20, 20);
    pool.spare = 4;
    live(1800 * SEC, 6);
    ck_assert_uint_eq(count_in(GB_ST_ON), 5);
}
END_TEST

/* With min=0 everything sleeps when nothing comes, wakes when something does, and
 * nothing is woken because the keeper has just begun. */
START_TEST(every_policy_scales_to_zero)
{
    setup((gb_policy_e)_i, 3, 3);
    pool.min_awake = 0;
    live(900 * SEC, 20);
    ck_assert_uint_ge(count_in(GB_ST_ON), 1);
    live(900 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ASLEEP), 3);
    ck_assert(!pool.panic);
    ck_assert_ptr_nonnull(strstr(pool.reason, " needs 0 of 3 servers"));
    pool.waiting = 1;
    tick();
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 1);
    setup((gb_policy_e)_i, 3, 0);
    pool.min_awake = 0;
    live(60 * SEC, 0);
    ck_assert_uint_eq(count_in(GB_ST_ASLEEP), 3);
}
END_TEST

/* Nothing to count with: no server, no service time, nobody who could be woken. */
START_TEST(every_policy_lives_without_servers)
{
    setup((gb_policy_e)_i, 0, 0);
    for (int i = 0; i < 30; i++) {
        tick();
    }
    ck_assert_uint_eq(pool.asked.servers, 1);
    setup((gb_policy_e)_i, 3, 0);
    pool.service_us = 0;
    pool.late_us = 0;
    for (uint32_t m = 0; m < 3; m++) {
        machines[m].wish = GB_WISH_KEEP_OFF;
    }
    live(30 * SEC, 100);
    ck_assert_uint_eq(pool.asked.servers, 1);
    ck_assert_double_eq_tol(pool.asked.service_s, 0.1, 1e-9);
    ck_assert_double_eq_tol(pool.asked.late_s, 0.5, 1e-9);
    ck_assert_uint_eq(count_in(GB_ST_ASLEEP), 3);
}
END_TEST

/* ---------------------------------------------------------- what is asked, and when */

/* The answer stands as a capacity: one that fails is missed in the same tick. */
START_TEST(one_that_fails_between_two_answers_is_replaced_at_once)
{
    setup(GB_POLICY_KPA, 20, 5);
    live(120 * SEC, 190); /* 190 / (56.1 x 70 %) = 4.8 */
    ck_assert_uint_eq(count_in(GB_ST_ON), 5);
    tick();
    while (pool.asked.at_us != now_us) {
        tick();
    }
    senses[2].verdict = GB_VERDICT_BAD;
    tick();
    ck_assert_int_lt(pool.asked.at_us, now_us);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 1);
}
END_TEST

START_TEST(failed_and_kept_off_ones_are_no_supply)
{
    setup(GB_POLICY_KPA, 10, 4);
    put(4, GB_ST_FAILED);
    machines[4].retry_at_us = GB_NEVER_US;
    machines[5].wish = GB_WISH_KEEP_OFF;
    machines[6].flags &= ~GB_MF_CAN_WAKE;
    put(7, GB_ST_WAKING);
    machines[7].deadline_at_us = now_us + 600 * SEC;
    tick();
    ck_assert_uint_eq(pool.asked.servers, 7);
    ck_assert_uint_eq(pool.asked.on, 4);
    ck_assert_uint_eq(pool.asked.coming, 1);
}
END_TEST

/* Of unlike sizes: `up` servers are those that would be on. */
START_TEST(a_number_of_servers_is_their_capacity)
{
    gb_choice_t wanted = {3, 3};

    setup(GB_POLICY_KPA, 6, 2);
    doors[0].capacity = 4;
    doors[1].capacity = 16;
    doors[2].capacity = 32;
    pool.given = &wanted;
    tick();
    ck_assert_double_eq_tol(pool.asked.up_capacity, 52, 1e-9);
    ck_assert_uint_eq(machines[2].state, GB_ST_WAKING);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 1);
}
END_TEST

/* They have been told to the policy: they are a floor under its answer, no addition. */
START_TEST(those_who_wait_are_a_floor)
{
    gb_choice_t wanted = {2, 2};

    setup(GB_POLICY_KPA, 10, 2);
    pool.given = &wanted;
    pool.waiting = 1000; /* 120 ms each, 60 s to boot: 8 at once, one server */
    tick();
    ck_assert_uint_eq(pool.need.up_capacity, 16);
    pool.waiting = 5000;
    tick();
    ck_assert_uint_eq(pool.need.up_capacity, 40);
    ck_assert_uint_eq(count_in(GB_ST_WAKING), 3);
}
END_TEST

START_TEST(all_that_came_is_told_once)
{
    double sum = 0;
    uint32_t asked = 0;

    setup(GB_POLICY_KPA, 4, 4);
    pool.min_awake = 4;
    pool.arrived = 3;
    for (int i = 0; i < 100; i++) {
        double before = pool.asked.arrived;

        tick();
        if (pool.asked.at_us == now_us) {
            sum += before + pool.arrived;
            asked++;
        }
    }
    ck_assert_double_eq_tol(sum + pool.asked.arrived, 300, 1e-9);
    ck_assert_uint_ge(asked, 19);
    ck_assert_uint_le(asked, 21);
}
END_TEST

/* The table is made when times or servers have moved by 5 %, and not before. */
START_TEST(the_table_is_made_when_it_does_not_fit_any_more)
{
    const float mark = 0.125F; /* a share that is left alone when it is not made anew */

    setup(GB_POLICY_KPA, 20, 5);
    pool.min_awake = 5;
    live(10 * SEC, 100);
    ck_assert_uint_eq(tail.servers, 20);
    rows[7].share[3] = mark;
    machines[19].wish = GB_WISH_KEEP_OFF; /* one less: the first rows are the same */
    live(30 * SEC, 100);
    ck_assert_uint_eq(pool.asked.servers, 19);
    ck_assert_float_eq(rows[7].share[3], mark);
    pool.late_us = 490 * GB_US_PER_MS;
    live(30 * SEC, 100);
    ck_assert_float_eq(rows[7].share[3], mark);
    pool.late_us = 400 * GB_US_PER_MS;
    live(10 * SEC, 100);
    ck_assert_float_ne(rows[7].share[3], mark);
    ck_assert_double_eq_tol(tail.wait_s, 0.28, 1e-9);
    rows[7].share[3] = mark;
    doors[1].capacity = 9; /* 17 of 16 in the second row: more than 5 % */
    live(10 * SEC, 100);
    ck_assert_float_ne(rows[7].share[3], mark);
}
END_TEST

/* What the first few requests took says little, and does not linger. */
START_TEST(the_service_time_is_the_one_that_is_measured)
{
    setup(GB_POLICY_KPA, 4, 4);
    pool.service_us = 20 * GB_US_PER_MS;
    live(1 * SEC, 100);
    ck_assert_double_eq_tol(pool.asked.service_s, 0.02, 1e-9);
    pool.service_us = 120 * GB_US_PER_MS;
    live(1 * SEC, 100);
    ck_assert_double_eq_tol(pool.asked.service_s, 0.12, 1e-9);
}
END_TEST

/* A goal that no server can meet is brought to one that some can. */
START_TEST(late_is_later_than_the_service_time)
{
    setup(GB_POLICY_NEWS, 4, 4);
    pool.late_us = 10 * GB_US_PER_MS;
    live(10 * SEC, 10);
    ck_assert_double_eq_tol(pool.asked.late_s, 0.24, 1e-9);
    setup(GB_POLICY_NEWS, 4, 4);
    pool.late_us = 0;
    pool.service_us = 2 * SEC;
    live(10 * SEC, 1);
    ck_assert_double_eq_tol(pool.asked.late_s, 8, 1e-9);
}
END_TEST

/* Without a decider, and with threshold, everything is as if the rest were not there.
 */
START_TEST(threshold_goes_by_itself)
{
    static gb_machine_t first[MOST];

    for (int run = 0; run < 3; run++) {
        setup(run == 1 ? GB_POLICY_NEWS : GB_POLICY_THRESHOLD, 10, 5);
        pool.decider = run == 0 ? &decider : NULL;
        live(300 * SEC, 400);
        live(300 * SEC, 50);
        ck_assert(!gb_fleet_pool_asks(&pool));
        ck_assert_int_eq(pool.asked.at_us, 0);
        ck_assert_uint_eq(decider.policy, 0);
        if (run == 0) {
            memcpy(first, machines, sizeof first);
        }
        ck_assert_mem_eq(first, machines, sizeof first);
    }
}
END_TEST

/* ------------------------------------------------------------ what it costs */

/* Microseconds of processor time that a tick takes, with a thousand machines and a load
 * that calls for some 500 of them and moves all the time. */
static double cost_us(gb_policy_e policy)
{
    const int ticks = 3000;
    clock_t spent = 0;

    setup(policy, MOST, MOST / 2);
    for (uint32_t m = 0; m < MOST; m++) {
        machines[m].sleeps = m % 7; /* nothing is in order */
    }
    for (int i = -300; i < ticks; i++) {
        clock_t began;

        come(30000 + 3000 * sin(i / 200.0));
        obey();
        now_us += TICK_US;
        began = clock();
        gb_fleet_tick(&fleet, now_us, actions, ROOM);
        spent += i < 0 ? 0 : clock() - began;
    }
    return (double)spent * 1e6 / CLOCKS_PER_SEC / ticks;
}

START_TEST(a_tick_of_a_thousand_machines_is_cheap)
{
    double us = cost_us((gb_policy_e)_i);

    printf("%s: %.1f us a tick at %d machines\n", gb_policy_name((gb_policy_e)_i), us,
           MOST);
    ck_assert_double_lt(us, 5000); /* it needs a hundred; sanitizers take more */
}
END_TEST

Suite *gb_fleet_ask_suite(void);
Suite *gb_fleet_ask_suite(void)
{
    Suite *suite = suite_create("gb_fleet_ask");
    TCase *every = tcase_create("every policy"), *asks = tcase_create("asks");
    TCase *cost = tcase_create("cost");
    const int first = GB_POLICY_AUTOSCALE, end = GB_POLICY_COUNT;

    tcase_add_loop_test(every, every_policy_wakes_and_lets_sleep, first, end);
    tcase_add_loop_test(every, every_policy_is_told_the_servers_and_the_rates, first,
                        end);
    tcase_add_loop_test(every, every_policy_says_why, first, end);
    tcase_add_loop_test(every, every_policy_keeps_min_and_spare, first, end);
    tcase_add_loop_test(every, every_policy_scales_to_zero, first, end);
    tcase_add_loop_test(every, every_policy_lives_without_servers, first, end);
    tcase_add_test(asks, one_that_fails_between_two_answers_is_replaced_at_once);
    tcase_add_test(asks, failed_and_kept_off_ones_are_no_supply);
    tcase_add_test(asks, a_number_of_servers_is_their_capacity);
    tcase_add_test(asks, those_who_wait_are_a_floor);
    tcase_add_test(asks, all_that_came_is_told_once);
    tcase_add_test(asks, the_table_is_made_when_it_does_not_fit_any_more);
    tcase_add_test(asks, the_service_time_is_the_one_that_is_measured);
    tcase_add_test(asks, late_is_later_than_the_service_time);
    tcase_add_test(asks, threshold_goes_by_itself);
    tcase_add_loop_test(cost, a_tick_of_a_thousand_machines_is_cheap, 0, end);
    suite_add_tcase(suite, every);
    suite_add_tcase(suite, asks);
    suite_add_tcase(suite, cost);
    return suite;
}
