/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_ladder.h - when to try which rung of a ladder of ways to switch a machine.
 *
 * A ladder that runs has at most one order in flight.  An order whose result is lost
 * is unknown: the next step is to read the status, never to repeat it blindly.
 *
 * A ladder down may end in a hard power cut, where the caller allows it: once, after
 * the last rung, and only when some rung had taken an order to shut down and the
 * machine had all of that rung's time to do so.
 */
#ifndef GB_LADDER_H
#define GB_LADDER_H

#include "gb_types.h"

typedef enum gb_ladder_step_e {
    GB_LADDER_WAIT = 0, /* nothing to do now */
    GB_LADDER_ORDER,    /* give the order of the current rung */
    GB_LADDER_ASK,      /* read the power status by the current rung */
    GB_LADDER_CUT,      /* cut the power, hard: the last step of a ladder down */
    GB_LADDER_EXHAUSTED /* every rung was tried in vain */
} gb_ladder_step_e;

typedef enum gb_ladder_result_e {
    GB_LADDER_OK = 0,  /* the order was accepted, or the status is as wanted */
    GB_LADDER_NOT_YET, /* the status was read: not as wanted */
    GB_LADDER_LOST,    /* no reply: unknown whether it was carried out */
    GB_LADDER_REFUSED  /* an order: this rung cannot do it (password, no such driver);
                        * a question: this rung cannot tell */
} gb_ladder_result_e;

typedef enum gb_ladder_goal_e {
    GB_GOAL_NONE = 0,
    GB_GOAL_ON,
    GB_GOAL_OFF
} gb_ladder_goal_e;

/* Lives in the shared segment beside its machine, so that a new keeper goes on where
 * the old one was killed: an order in flight is then LOST. */
typedef struct gb_ladder_t {
    uint32_t goal;      /* gb_ladder_goal_e; NONE: does not run */
    uint32_t rung;      /* index of the current rung; `rungs`: the cut's */
    uint32_t rungs;     /* how many there are */
    uint32_t in_flight; /* an order or a question has been given, no result yet */
    uint32_t asking;    /* the one in flight is a question */
    uint8_t unknown;    /* the last order's outcome is unknown: ask before repeating */
    uint8_t taken;      /* the current rung has taken an order */
    uint8_t earned;     /* a rung that took one has had all its time, in vain */
    uint8_t cut;        /* the power cut of this run has been given */
    uint32_t orders;    /* orders given in this run, over all rungs */
    uint16_t deaf;      /* the current rung refused a question: it is asked no more */
    uint16_t stale;     /* what is in flight belongs to a run that was ended */
    int64_t rung_ends_at_us; /* then the next rung */
    int64_t next_at_us;      /* no step before this instant */
} gb_ladder_t;

/* Starts a run: `rungs` ways, `timeout_us` for each.  A run with the same goal that is
 * under way goes on unchanged; one with the other goal is replaced.  What is in flight
 * then stays so: the first order of the new run waits for its result, which is dropped.
 * Keeper's watchdog thread or a simulator, as all of these; no lock. */
void gb_ladder_start(gb_ladder_t *ladder, gb_ladder_goal_e goal, uint32_t rungs,
                     int64_t timeout_us, int64_t now_us);

/* Ends the run: its goal was reached, or is wanted no more.  What is in flight cannot
 * be recalled: its result has to be reported all the same, and changes nothing. */
void gb_ladder_stop(gb_ladder_t *ladder);

/* A new keeper took over: what was in flight is lost.  An order becomes unknown, and
 * the next step (at once) is a question where the rung is able to ask. */
void gb_ladder_recover(gb_ladder_t *ladder, int64_t now_us);

/* What is to be done now.  `can_ask`: rung `ladder->rung`, as it stands before the
 * call, is able to read the status.  For ORDER and ASK the caller carries it out by
 * rung `ladder->rung`, as it stands after the call, and reports by gb_ladder_done(),
 * exactly once, whatever happened meanwhile; until then every step is WAIT.  EXHAUSTED
 * comes once; the ladder has then stopped (goal NONE).
 * `may_cut`: at this moment a power cut is allowed.  CUT is carried out and reported
 * like an order, and `ladder->rung` is then `ladder->rungs`; after it `can_ask` is
 * about the way that cut, and there are only questions until that rung's time, too, is
 * over.  Where it is not allowed at the end of the last rung the ladder is exhausted.
 */
gb_ladder_step_e gb_ladder_next(gb_ladder_t *ladder, bool can_ask, bool may_cut,
                                int64_t timeout_us, int64_t now_us);

/* The result of what was in flight; `retry_us` until the next try.
 *   order     OK: after retry ask, or repeat it where the rung cannot ask;
 *             LOST: the same; REFUSED: the next rung at once;
 *   question  OK: nothing is ordered, asked again after 3 * retry; NOT_YET: the order
 *             again at once; LOST: asked again after retry; REFUSED: this rung is asked
 *             no more, its order is repeated as that of one that cannot be asked.
 * A cut is never repeated: REFUSED ends the ladder, and NOT_YET is asked again.
 * NOT_YET of an order counts as LOST.  Nothing in flight: nothing changes. */
void gb_ladder_done(gb_ladder_t *ladder, gb_ladder_result_e result, int64_t retry_us,
                    int64_t now_us);

#endif /* GB_LADDER_H */
