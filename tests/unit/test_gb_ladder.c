/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_ladder.c - when which rung of a ladder is tried.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_ladder.h"

Suite *gb_ladder_suite(void);

#define S       GB_US_PER_S
#define RETRY   (10 * S)
#define TIMEOUT (300 * S)
#define T0      (1000 * S)

static gb_ladder_t started(uint32_t rungs)
{
    gb_ladder_t ladder;

    memset(&ladder, 0, sizeof(ladder));
    gb_ladder_start(&ladder, GB_GOAL_ON, rungs, TIMEOUT, T0);
    return ladder;
}

static gb_ladder_step_e next(gb_ladder_t *ladder, bool can_ask, int64_t now_us)
{
    return gb_ladder_next(ladder, can_ask, false, TIMEOUT, now_us);
}

static void done(gb_ladder_t *ladder, gb_ladder_result_e result, int64_t now_us)
{
    gb_ladder_done(ladder, result, RETRY, now_us);
}

/* Nothing up to the microsecond before `at_us`, and then `step`. */
#define EXPECT_AT(ladder, can_ask, step, at_us)                                        \
    do {                                                                               \
        ck_assert_int_eq(next((ladder), (can_ask), INT64_C(-1) + (at_us)),             \
                         GB_LADDER_WAIT);                                              \
        ck_assert_int_eq(next((ladder), (can_ask), (at_us)), (step));                  \
    } while (0)

START_TEST(a_ladder_that_does_not_run_waits)
{
    gb_ladder_t ladder, zero;

    memset(&ladder, 0, sizeof(ladder));
    zero = ladder;
    ck_assert_int_eq(next(&ladder, true, T0), GB_LADDER_WAIT);
    done(&ladder, GB_LADDER_REFUSED, T0);
    gb_ladder_recover(&ladder, T0);
    gb_ladder_stop(&ladder);
    ck_assert(!memcmp(&ladder, &zero, sizeof(zero)));
    gb_ladder_start(&ladder, GB_GOAL_NONE, 2, TIMEOUT, T0);
    ck_assert(!memcmp(&ladder, &zero, sizeof(zero)));
}
END_TEST

START_TEST(a_magic_packet_is_repeated_until_the_rung_s_time_is_over)
{
    gb_ladder_t ladder = started(1);
    int64_t now_us = T0;
    uint32_t orders = 0;

    ck_assert_int_eq(next(&ladder, false, now_us), GB_LADDER_ORDER);
    for (;;) {
        gb_ladder_step_e step;

        orders++;
        done(&ladder, GB_LADDER_OK, now_us);
        now_us += RETRY;
        if (now_us == T0 + TIMEOUT) {
            break;
        }
        ck_assert_int_eq(next(&ladder, false, now_us - 1), GB_LADDER_WAIT);
        step = next(&ladder, false, now_us);
        ck_assert_int_eq(step, GB_LADDER_ORDER);
    }
    ck_assert_uint_eq(ladder.orders, orders);
    ck_assert_uint_eq(orders, TIMEOUT / RETRY);
    EXPECT_AT(&ladder, false, GB_LADDER_EXHAUSTED, T0 + TIMEOUT);
    ck_assert_uint_eq(ladder.goal, GB_GOAL_NONE);
    ck_assert_int_eq(next(&ladder, false, T0 + 2 * TIMEOUT), GB_LADDER_WAIT);
}
END_TEST

START_TEST(an_order_taken_is_asked_about_and_repeated_only_when_not_carried_out)
{
    gb_ladder_t ladder = started(1);

    ck_assert_int_eq(next(&ladder, true, T0), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_OK, T0 + S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + S + RETRY);
    done(&ladder, GB_LADDER_NOT_YET, T0 + 12 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 12 * S), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_OK, T0 + 13 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 23 * S);
    /* As wanted: it may boot in peace, and is looked at less often. */
    done(&ladder, GB_LADDER_OK, T0 + 24 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 24 * S + 3 * RETRY);
    done(&ladder, GB_LADDER_OK, T0 + 55 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 55 * S + 3 * RETRY);
    done(&ladder, GB_LADDER_NOT_YET, T0 + 86 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 86 * S), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.orders, 3);
}
END_TEST

START_TEST(an_order_whose_reply_is_lost_is_never_repeated_blindly)
{
    gb_ladder_t ladder = started(1);

    ck_assert_int_eq(next(&ladder, true, T0), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_LOST, T0 + 5 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 15 * S);
    done(&ladder, GB_LADDER_LOST, T0 + 20 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 30 * S);
    done(&ladder, GB_LADDER_OK, T0 + 31 * S);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + 61 * S);
    ck_assert_uint_eq(ladder.orders, 1);
}
END_TEST

START_TEST(a_lost_order_is_repeated_where_nothing_can_be_asked)
{
    gb_ladder_t ladder = started(1);

    ck_assert_int_eq(next(&ladder, false, T0), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_LOST, T0 + 5 * S);
    EXPECT_AT(&ladder, false, GB_LADDER_ORDER, T0 + 15 * S);
    ck_assert_uint_eq(ladder.asking, 0);
}
END_TEST

START_TEST(an_order_cannot_be_not_yet)
{
    gb_ladder_t ladder = started(1);

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_NOT_YET, T0);
    EXPECT_AT(&ladder, true, GB_LADDER_ASK, T0 + RETRY);
}
END_TEST

START_TEST(a_refused_order_leads_to_the_next_rung_at_once)
{
    gb_ladder_t ladder = started(3);

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_REFUSED, T0 + S);
    ck_assert_int_eq(next(&ladder, true, T0 + S), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.rung, 1);
    ck_assert_int_eq(ladder.rung_ends_at_us, T0 + S + TIMEOUT);
    done(&ladder, GB_LADDER_REFUSED, T0 + 2 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 2 * S), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.rung, 2);
    done(&ladder, GB_LADDER_REFUSED, T0 + 3 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 3 * S), GB_LADDER_EXHAUSTED);
    ck_assert_int_eq(next(&ladder, true, T0 + 3 * S), GB_LADDER_WAIT);
}
END_TEST

START_TEST(a_refused_question_does_not_give_up_a_machine_that_boots)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next(&ladder, true, T0 + RETRY), GB_LADDER_ASK);
    done(&ladder, GB_LADDER_REFUSED, T0 + RETRY);
    ck_assert_uint_eq(ladder.rung, 0);
    EXPECT_AT(&ladder, true, GB_LADDER_ORDER, T0 + 2 * RETRY);
    done(&ladder, GB_LADDER_OK, T0 + 2 * RETRY);
    EXPECT_AT(&ladder, true, GB_LADDER_ORDER, T0 + 3 * RETRY);
    done(&ladder, GB_LADDER_REFUSED, T0 + 3 * RETRY);
    /* The next rung may be able to tell. */
    ck_assert_int_eq(next(&ladder, true, T0 + 3 * RETRY), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_OK, T0 + 3 * RETRY);
    ck_assert_int_eq(next(&ladder, true, T0 + 4 * RETRY), GB_LADDER_ASK);
}
END_TEST

START_TEST(the_next_rung_waits_for_what_is_in_flight)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    ck_assert_int_eq(next(&ladder, true, T0 + TIMEOUT + 5 * S), GB_LADDER_WAIT);
    ck_assert_uint_eq(ladder.rung, 0);
    done(&ladder, GB_LADDER_OK, T0 + TIMEOUT + 6 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + TIMEOUT + 6 * S), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.rung, 1);
    ck_assert_int_eq(ladder.rung_ends_at_us, T0 + 2 * TIMEOUT + 6 * S);
}
END_TEST

START_TEST(a_keeper_that_slept_does_not_skip_rungs)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next(&ladder, true, T0 + 100 * TIMEOUT), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.rung, 1);
}
END_TEST

START_TEST(a_ladder_without_rungs_is_exhausted_at_once)
{
    gb_ladder_t ladder = started(0);

    ck_assert_int_eq(next(&ladder, true, T0), GB_LADDER_EXHAUSTED);
    ck_assert_int_eq(next(&ladder, true, T0), GB_LADDER_WAIT);
}
END_TEST

START_TEST(starting_again_with_the_same_goal_changes_nothing)
{
    gb_ladder_t ladder = started(2), before;

    next(&ladder, true, T0);
    before = ladder;
    gb_ladder_start(&ladder, GB_GOAL_ON, 2, TIMEOUT, T0 + 50 * S);
    ck_assert(!memcmp(&ladder, &before, sizeof(ladder)));
}
END_TEST

START_TEST(a_new_goal_waits_for_the_old_order_and_drops_its_result)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    gb_ladder_start(&ladder, GB_GOAL_OFF, 1, 5 * S, T0 + S);
    ck_assert_int_eq(next(&ladder, true, T0 + S), GB_LADDER_WAIT);
    /* Refused was the other order: this one's first rung is not given up for it, nor
     * is the time of the wait taken from it. */
    done(&ladder, GB_LADDER_REFUSED, T0 + 11 * S);
    ck_assert_int_eq(ladder.rung_ends_at_us, T0 + 16 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 11 * S), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.goal, GB_GOAL_OFF);
    ck_assert_uint_eq(ladder.rung, 0);
    ck_assert_uint_eq(ladder.orders, 1);
    done(&ladder, GB_LADDER_OK, T0 + 11 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 16 * S), GB_LADDER_EXHAUSTED);
}
END_TEST

START_TEST(a_stopped_run_s_result_changes_nothing)
{
    gb_ladder_t ladder = started(2), zero;

    memset(&zero, 0, sizeof(zero));
    next(&ladder, true, T0);
    gb_ladder_stop(&ladder);
    ck_assert_int_eq(next(&ladder, true, T0 + TIMEOUT), GB_LADDER_WAIT);
    done(&ladder, GB_LADDER_OK, T0 + TIMEOUT);
    ck_assert(!memcmp(&ladder, &zero, sizeof(zero)));
}
END_TEST

START_TEST(a_new_keeper_asks_what_became_of_the_old_one_s_order)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    gb_ladder_recover(&ladder, T0 + S);
    ck_assert_uint_eq(ladder.in_flight, 0);
    ck_assert_int_eq(next(&ladder, true, T0 + S), GB_LADDER_ASK);
    gb_ladder_recover(&ladder, T0 + 2 * S); /* and that one's question */
    ck_assert_int_eq(next(&ladder, true, T0 + 2 * S), GB_LADDER_ASK);
    done(&ladder, GB_LADDER_NOT_YET, T0 + 3 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 3 * S), GB_LADDER_ORDER);
}
END_TEST

START_TEST(a_new_keeper_keeps_waiting_where_nothing_was_in_flight)
{
    gb_ladder_t ladder = started(2), before;

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    before = ladder;
    gb_ladder_recover(&ladder, T0 + S);
    ck_assert(!memcmp(&ladder, &before, sizeof(ladder)));
}
END_TEST

START_TEST(a_new_keeper_forgets_the_order_of_a_run_that_was_ended)
{
    gb_ladder_t ladder = started(2);

    next(&ladder, true, T0);
    gb_ladder_start(&ladder, GB_GOAL_OFF, 1, TIMEOUT, T0 + S);
    gb_ladder_recover(&ladder, T0 + 2 * S);
    ck_assert_int_eq(next(&ladder, true, T0 + 2 * S), GB_LADDER_ORDER);
}
END_TEST

static gb_ladder_t going_down(uint32_t rungs)
{
    gb_ladder_t ladder;

    memset(&ladder, 0, sizeof(ladder));
    gb_ladder_start(&ladder, GB_GOAL_OFF, rungs, TIMEOUT, T0);
    return ladder;
}

static gb_ladder_step_e next_or_cut(gb_ladder_t *ladder, bool can_ask, int64_t now_us)
{
    return gb_ladder_next(ladder, can_ask, true, TIMEOUT, now_us);
}

START_TEST(power_is_cut_once_after_a_soft_order_had_all_its_time)
{
    gb_ladder_t ladder = going_down(1);
    int64_t cut_us = T0 + TIMEOUT;

    ck_assert_int_eq(next_or_cut(&ladder, true, T0), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + RETRY), GB_LADDER_ASK);
    done(&ladder, GB_LADDER_LOST, cut_us - 1);
    ck_assert_int_eq(next_or_cut(&ladder, true, cut_us - 1), GB_LADDER_WAIT);
    ck_assert_int_eq(next_or_cut(&ladder, true, cut_us), GB_LADDER_CUT);
    ck_assert_uint_eq(ladder.rung, ladder.rungs);
    done(&ladder, GB_LADDER_LOST, cut_us);
    /* Whatever comes back: it is asked about and never given again. */
    for (int i = 1; i <= 3; i++) {
        static const gb_ladder_result_e results[] = {GB_LADDER_LOST, GB_LADDER_NOT_YET,
                                                     GB_LADDER_NOT_YET, GB_LADDER_OK};

        ck_assert_int_eq(next_or_cut(&ladder, true, cut_us + i * RETRY - 1),
                         GB_LADDER_WAIT);
        ck_assert_int_eq(next_or_cut(&ladder, true, cut_us + i * RETRY), GB_LADDER_ASK);
        done(&ladder, results[i], cut_us + i * RETRY);
    }
    ck_assert_int_eq(next_or_cut(&ladder, true, cut_us + TIMEOUT), GB_LADDER_EXHAUSTED);
    ck_assert_int_eq(next_or_cut(&ladder, true, cut_us + TIMEOUT), GB_LADDER_WAIT);
}
END_TEST

START_TEST(power_is_not_cut_where_it_is_not_allowed)
{
    gb_ladder_t ladder = going_down(1);

    next(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next(&ladder, true, T0 + TIMEOUT), GB_LADDER_EXHAUSTED);
    ladder = started(1); /* on its way up */
    next_or_cut(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT), GB_LADDER_EXHAUSTED);
    ladder = going_down(0); /* no way at all */
    ck_assert_int_eq(next_or_cut(&ladder, true, T0), GB_LADDER_EXHAUSTED);
}
END_TEST

START_TEST(power_is_not_cut_where_nobody_took_a_soft_order)
{
    static const gb_ladder_result_e results[] = {GB_LADDER_LOST, GB_LADDER_REFUSED};

    for (int i = 0; i < 2; i++) {
        gb_ladder_t ladder = going_down(2);
        int64_t now_us = T0;

        for (int rung = 0; rung < 2; rung++) {
            ck_assert_int_eq(next_or_cut(&ladder, false, now_us), GB_LADDER_ORDER);
            done(&ladder, results[i], now_us);
            now_us += results[i] == GB_LADDER_LOST ? TIMEOUT : 0;
        }
        ck_assert_int_eq(next_or_cut(&ladder, false, now_us), GB_LADDER_EXHAUSTED);
    }
}
END_TEST

START_TEST(a_soft_order_that_is_refused_later_had_not_all_its_time)
{
    gb_ladder_t ladder = going_down(1);

    next_or_cut(&ladder, false, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next_or_cut(&ladder, false, T0 + RETRY), GB_LADDER_ORDER);
    done(&ladder, GB_LADDER_REFUSED, T0 + RETRY);
    ck_assert_int_eq(next_or_cut(&ladder, false, T0 + RETRY), GB_LADDER_EXHAUSTED);
}
END_TEST

START_TEST(a_cut_comes_after_the_last_rung_though_that_refused)
{
    gb_ladder_t ladder = going_down(2);

    next_or_cut(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT), GB_LADDER_ORDER);
    ck_assert_uint_eq(ladder.rung, 1);
    done(&ladder, GB_LADDER_REFUSED, T0 + TIMEOUT);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT), GB_LADDER_CUT);
    done(&ladder, GB_LADDER_REFUSED, T0 + TIMEOUT);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT), GB_LADDER_EXHAUSTED);
}
END_TEST

START_TEST(a_new_keeper_never_cuts_again)
{
    gb_ladder_t ladder = going_down(1);

    next_or_cut(&ladder, true, T0);
    done(&ladder, GB_LADDER_OK, T0);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT), GB_LADDER_CUT);
    gb_ladder_recover(&ladder, T0 + TIMEOUT + S);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + TIMEOUT + S), GB_LADDER_ASK);
    done(&ladder, GB_LADDER_REFUSED, T0 + TIMEOUT + 2 * S);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + 2 * TIMEOUT - 1), GB_LADDER_WAIT);
    ck_assert_int_eq(next_or_cut(&ladder, true, T0 + 2 * TIMEOUT), GB_LADDER_EXHAUSTED);
}
END_TEST

START_TEST(endless_times_do_not_overflow)
{
    gb_ladder_t ladder;

    memset(&ladder, 0, sizeof(ladder));
    gb_ladder_start(&ladder, GB_GOAL_ON, 1, INT64_MAX, T0);
    ck_assert_int_eq(gb_ladder_next(&ladder, true, false, INT64_MAX, T0),
                     GB_LADDER_ORDER);
    gb_ladder_done(&ladder, GB_LADDER_LOST, RETRY, T0);
    ck_assert_int_eq(gb_ladder_next(&ladder, true, false, INT64_MAX, T0 + RETRY),
                     GB_LADDER_ASK);
    gb_ladder_done(&ladder, GB_LADDER_OK, INT64_MAX / 2, T0 + RETRY);
    ck_assert_int_eq(ladder.next_at_us, GB_NEVER_US);
    ck_assert_int_eq(gb_ladder_next(&ladder, true, false, INT64_MAX, INT64_MAX / 2),
                     GB_LADDER_WAIT);
}
END_TEST

/* ------------------------------------------------------------------- random steps */

typedef struct world_t {
    uint64_t random;
    gb_ladder_t ladder;
    uint32_t in_flight; /* what the caller has really given and not yet reported */
    bool asked;         /* that is a question */
    bool may_repeat;    /* an order is no blind repetition: first of a rung, not yet */
    uint32_t rung, goal;
    bool taken;    /* in this run: some soft order was */
    uint32_t cuts; /* in this run */
    uint64_t orders, questions, exhausted, all_cuts;
} world_t;

static uint64_t dice(world_t *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

/* The last step, once, of a ladder down that was tried softly. */
static void world_cut(world_t *w, bool may_cut)
{
    ck_assert_msg(may_cut, "cut, and not allowed");
    ck_assert_uint_eq(w->ladder.goal, GB_GOAL_OFF);
    ck_assert_uint_eq(w->ladder.rung, w->ladder.rungs);
    ck_assert_msg(w->taken, "cut, and nobody had taken a soft order");
    ck_assert_uint_eq(w->cuts, 0);
    w->cuts++;
    w->all_cuts++;
}

static void world_next(world_t *w, int64_t now_us)
{
    gb_ladder_t *ladder = &w->ladder;
    uint32_t goal = ladder->goal;
    bool may_cut = dice(w) % 4 != 0;
    gb_ladder_step_e step = gb_ladder_next(ladder, true, may_cut, TIMEOUT, now_us);

    if (step == GB_LADDER_EXHAUSTED) {
        ck_assert_uint_ne(goal, GB_GOAL_NONE);
        ck_assert_uint_eq(ladder->goal, GB_GOAL_NONE);
        ck_assert_uint_eq(w->in_flight, 0);
        w->exhausted++;
        w->taken = false;
        w->cuts = 0;
        return;
    }
    if (step == GB_LADDER_WAIT) {
        return;
    }
    ck_assert_uint_ne(goal, GB_GOAL_NONE);
    ck_assert_msg(w->in_flight == 0, "two in flight");
    w->in_flight++;
    w->asked = step == GB_LADDER_ASK;
    if (step == GB_LADDER_CUT) {
        world_cut(w, may_cut);
        return;
    }
    if (w->cuts) {
        ck_assert_msg(w->asked, "an order after the cut");
    }
    else {
        ck_assert_uint_lt(ladder->rung, ladder->rungs);
    }
    if (w->asked) {
        w->questions++;
        return;
    }
    if (ladder->rung != w->rung || ladder->goal != w->goal) {
        w->may_repeat = true;
    }
    ck_assert_msg(w->may_repeat || ladder->deaf, "an order was repeated blindly");
    w->may_repeat = false;
    w->rung = ladder->rung;
    w->goal = ladder->goal;
    w->orders++;
}

static void world_done(world_t *w, int64_t now_us)
{
    gb_ladder_result_e result = (gb_ladder_result_e)(dice(w) % 4);

    /* A question is refused rarely, so that runs with questions last. */
    if (w->asked && result == GB_LADDER_REFUSED && dice(w) % 8) {
        result = GB_LADDER_LOST;
    }
    if (w->in_flight) {
        w->in_flight--;
        if (w->asked && result == GB_LADDER_NOT_YET && !w->ladder.stale) {
            w->may_repeat = true;
        }
        if (!w->asked && result == GB_LADDER_OK && !w->ladder.stale && !w->cuts) {
            w->taken = true;
        }
        gb_ladder_done(&w->ladder, result, RETRY, now_us);
    }
}

static void world_start(world_t *w, gb_ladder_goal_e goal, int64_t now_us)
{
    if (w->ladder.goal != (uint32_t)goal) {
        w->may_repeat = true; /* a new run's first order is no repetition */
        w->taken = false;
        w->cuts = 0;
    }
    gb_ladder_start(&w->ladder, goal, (uint32_t)(dice(w) % GB_RUNGS_MAX) + 1, TIMEOUT,
                    now_us);
}

START_TEST(never_two_in_flight_and_no_blind_repetition)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    world_t w = {.random = seed | 1};
    int64_t now_us = T0;

    printf("test_gb_ladder: GB_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int i = 0; i < 100000; i++) {
        uint64_t roll = dice(&w);

        now_us += (int64_t)(dice(&w) % (20 * (uint64_t)S));
        switch (roll % 64) {
        case 0:
            world_start(&w, GB_GOAL_ON, now_us);
            break;
        case 1:
            world_start(&w, GB_GOAL_OFF, now_us);
            break;
        case 2:
            if (roll % 5 == 0) {
                gb_ladder_stop(&w.ladder);
                w.may_repeat = true;
                w.taken = false;
                w.cuts = 0;
            }
            break;
        case 3: /* the keeper is killed, and its work with it */
            gb_ladder_recover(&w.ladder, now_us);
            w.in_flight = 0;
            break;
        default:
            if (roll % 2) {
                world_done(&w, now_us);
            }
            else {
                world_next(&w, now_us);
            }
        }
        ck_assert_uint_eq(w.ladder.in_flight, w.in_flight);
    }
    ck_assert_uint_gt(w.orders, 1000);
    ck_assert_uint_gt(w.questions, 1000);
    ck_assert_uint_gt(w.exhausted, 50);
    ck_assert_uint_gt(w.all_cuts, 5);
}
END_TEST

/* Whatever the results are: a run comes to its end within its rungs' times, each
 * longer by at most one operation. */
START_TEST(every_run_ends)
{
    for (int result = 0; result < 4; result++) {
        for (int can_ask = 0; can_ask < 2; can_ask++) {
            gb_ladder_t ladder = started(GB_RUNGS_MAX);
            int64_t end_us = T0 + GB_RUNGS_MAX * (TIMEOUT + 20 * S) + S;
            int64_t now_us = T0;
            bool ended = false;

            for (; now_us < end_us && !ended; now_us += S) {
                gb_ladder_step_e step = next(&ladder, can_ask != 0, now_us);

                ended = step == GB_LADDER_EXHAUSTED;
                if (step == GB_LADDER_ORDER || step == GB_LADDER_ASK) {
                    now_us += 19 * S;
                    done(&ladder, (gb_ladder_result_e)result, now_us);
                }
            }
            ck_assert_msg(ended, "result %d, can_ask %d", result, can_ask);
        }
    }
}
END_TEST

Suite *gb_ladder_suite(void)
{
    Suite *suite = suite_create("gb_ladder");
    TCase *tc = tcase_create("steps");

    tcase_add_test(tc, a_ladder_that_does_not_run_waits);
    tcase_add_test(tc, a_magic_packet_is_repeated_until_the_rung_s_time_is_over);
    tcase_add_test(
        tc, an_order_taken_is_asked_about_and_repeated_only_when_not_carried_out);
    tcase_add_test(tc, an_order_whose_reply_is_lost_is_never_repeated_blindly);
    tcase_add_test(tc, a_lost_order_is_repeated_where_nothing_can_be_asked);
    tcase_add_test(tc, an_order_cannot_be_not_yet);
    tcase_add_test(tc, a_refused_order_leads_to_the_next_rung_at_once);
    tcase_add_test(tc, a_refused_question_does_not_give_up_a_machine_that_boots);
    tcase_add_test(tc, the_next_rung_waits_for_what_is_in_flight);
    tcase_add_test(tc, a_keeper_that_slept_does_not_skip_rungs);
    tcase_add_test(tc, a_ladder_without_rungs_is_exhausted_at_once);
    tcase_add_test(tc, endless_times_do_not_overflow);
    suite_add_tcase(suite, tc);

    tc = tcase_create("power cuts");
    tcase_add_test(tc, power_is_cut_once_after_a_soft_order_had_all_its_time);
    tcase_add_test(tc, power_is_not_cut_where_it_is_not_allowed);
    tcase_add_test(tc, power_is_not_cut_where_nobody_took_a_soft_order);
    tcase_add_test(tc, a_soft_order_that_is_refused_later_had_not_all_its_time);
    tcase_add_test(tc, a_cut_comes_after_the_last_rung_though_that_refused);
    tcase_add_test(tc, a_new_keeper_never_cuts_again);
    suite_add_tcase(suite, tc);

    tc = tcase_create("runs");
    tcase_add_test(tc, starting_again_with_the_same_goal_changes_nothing);
    tcase_add_test(tc, a_new_goal_waits_for_the_old_order_and_drops_its_result);
    tcase_add_test(tc, a_stopped_run_s_result_changes_nothing);
    tcase_add_test(tc, a_new_keeper_asks_what_became_of_the_old_one_s_order);
    tcase_add_test(tc, a_new_keeper_keeps_waiting_where_nothing_was_in_flight);
    tcase_add_test(tc, a_new_keeper_forgets_the_order_of_a_run_that_was_ended);
    tcase_add_test(tc, every_run_ends);
    suite_add_tcase(suite, tc);

    tc = tcase_create("random");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, never_two_in_flight_and_no_blind_repetition);
    suite_add_tcase(suite, tc);
    return suite;
}
