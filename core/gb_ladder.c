/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_ladder.c - one run over the rungs of a ladder.
 *
 * A rung's first step is its order.  Every later step asks first, where the rung is
 * able to ask (`unknown`), and repeats the order only when the answer is "not yet";
 * so an order is repeated blindly only by those that cannot be asked, as magic
 * packets.  When a rung's time is over the next one begins, and when none is left the
 * ladder is exhausted.  Only the machine's own health or proof of being off ends a run
 * well: that is the state machine's decision, carried out by gb_ladder_stop().
 *
 * The power cut, where it is allowed, is one rung more, behind the last one: it is
 * given once and then only asked about.
 */
#include "gb_ladder.h"

#include <string.h>

/* A status that is as wanted is looked at again, but less often. */
#define CONTENT_RETRIES 3

static int64_t content_wait_us(int64_t retry_us)
{
    return retry_us > GB_NEVER_US / CONTENT_RETRIES ? GB_NEVER_US
                                                    : CONTENT_RETRIES * retry_us;
}

static void begin_rung(gb_ladder_t *ladder, uint32_t rung, int64_t timeout_us,
                       int64_t now_us)
{
    ladder->rung = rung;
    ladder->earned = ladder->earned || ladder->taken;
    ladder->taken = 0;
    ladder->unknown = 0;
    ladder->deaf = 0;
    ladder->next_at_us = now_us;
    ladder->rung_ends_at_us = gb_after_us(now_us, timeout_us);
}

void gb_ladder_start(gb_ladder_t *ladder, gb_ladder_goal_e goal, uint32_t rungs,
                     int64_t timeout_us, int64_t now_us)
{
    if (goal == GB_GOAL_NONE) {
        gb_ladder_stop(ladder);
        return;
    }
    if (ladder->goal == (uint32_t)goal) {
        return;
    }
    gb_ladder_stop(ladder);
    ladder->goal = (uint32_t)goal;
    ladder->rungs = rungs;
    ladder->orders = 0;
    begin_rung(ladder, 0, timeout_us, now_us);
}

void gb_ladder_stop(gb_ladder_t *ladder)
{
    uint32_t in_flight = ladder->in_flight;
    uint32_t asking = ladder->asking;

    memset(ladder, 0, sizeof(*ladder));
    ladder->in_flight = in_flight;
    ladder->asking = asking;
    ladder->stale = in_flight != 0;
}

void gb_ladder_recover(gb_ladder_t *ladder, int64_t now_us)
{
    if (!ladder->in_flight) {
        return;
    }
    /* A question that got lost leaves as unknown what it was to find out. */
    if (!ladder->stale) {
        ladder->unknown = 1;
    }
    ladder->in_flight = 0;
    ladder->asking = 0;
    ladder->stale = 0;
    if (ladder->goal != GB_GOAL_NONE) {
        ladder->next_at_us = now_us;
    }
}

/* Every rung was tried: the cut, questions about it, or the end. */
static gb_ladder_step_e behind_the_last(gb_ladder_t *ladder, bool can_ask, bool may_cut,
                                        int64_t now_us)
{
    if (ladder->cut ? now_us >= ladder->rung_ends_at_us
                    : !(may_cut && ladder->earned && ladder->goal == GB_GOAL_OFF)) {
        gb_ladder_stop(ladder);
        return GB_LADDER_EXHAUSTED;
    }
    if (!ladder->cut) {
        ladder->cut = 1;
        ladder->in_flight = 1;
        ladder->orders++;
        return GB_LADDER_CUT;
    }
    if (now_us < ladder->next_at_us || !can_ask || ladder->deaf) {
        return GB_LADDER_WAIT;
    }
    ladder->in_flight = 1;
    ladder->asking = 1;
    return GB_LADDER_ASK;
}

gb_ladder_step_e gb_ladder_next(gb_ladder_t *ladder, bool can_ask, bool may_cut,
                                int64_t timeout_us, int64_t now_us)
{
    if (ladder->goal == GB_GOAL_NONE || ladder->in_flight) {
        return GB_LADDER_WAIT;
    }
    if (ladder->rung < ladder->rungs && now_us >= ladder->rung_ends_at_us) {
        begin_rung(ladder, ladder->rung + 1, timeout_us, now_us);
    }
    if (ladder->rung >= ladder->rungs) {
        return behind_the_last(ladder, can_ask, may_cut, now_us);
    }
    if (now_us < ladder->next_at_us) {
        return GB_LADDER_WAIT;
    }
    ladder->in_flight = 1;
    ladder->asking = ladder->unknown && can_ask && !ladder->deaf;
    if (ladder->asking) {
        return GB_LADDER_ASK;
    }
    ladder->orders++;
    return GB_LADDER_ORDER;
}

static void order_done(gb_ladder_t *ladder, gb_ladder_result_e result, int64_t retry_us,
                       int64_t now_us)
{
    if (result == GB_LADDER_REFUSED) {
        ladder->rung_ends_at_us = now_us;
        ladder->taken = 0; /* it had not all its time to shut down */
        return;
    }
    ladder->taken = ladder->taken || result == GB_LADDER_OK;
    ladder->unknown = 1;
    ladder->next_at_us = gb_after_us(now_us, retry_us);
}

static void question_done(gb_ladder_t *ladder, gb_ladder_result_e result,
                          int64_t retry_us, int64_t now_us)
{
    switch (result) {
    case GB_LADDER_OK:
        ladder->next_at_us = gb_after_us(now_us, content_wait_us(retry_us));
        break;
    case GB_LADDER_NOT_YET:
        ladder->unknown = 0;
        ladder->next_at_us = ladder->cut ? gb_after_us(now_us, retry_us) : now_us;
        break;
    case GB_LADDER_REFUSED:
        /* The order may have been taken all the same: a machine that boots is not
         * given up because its status cannot be read. */
        ladder->deaf = 1;
        ladder->next_at_us = gb_after_us(now_us, retry_us);
        break;
    case GB_LADDER_LOST:
    default:
        ladder->next_at_us = gb_after_us(now_us, retry_us);
        break;
    }
}

void gb_ladder_done(gb_ladder_t *ladder, gb_ladder_result_e result, int64_t retry_us,
                    int64_t now_us)
{
    bool asked = ladder->asking != 0;

    if (!ladder->in_flight) {
        return;
    }
    ladder->in_flight = 0;
    ladder->asking = 0;
    if (ladder->stale) {
        ladder->stale = 0;
        /* The time that the new run waited for it is not taken from its first rung. */
        if (ladder->goal != GB_GOAL_NONE && now_us > ladder->next_at_us) {
            ladder->rung_ends_at_us =
                gb_after_us(ladder->rung_ends_at_us, now_us - ladder->next_at_us);
            ladder->next_at_us = now_us;
        }
        return;
    }
    if (asked) {
        question_done(ladder, result, retry_us, now_us);
    }
    else {
        order_done(ladder, result, retry_us, now_us);
    }
}
