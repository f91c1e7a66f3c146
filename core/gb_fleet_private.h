/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_private.h - what the files of the fleet's tick offer to each other; nobody
 * else includes it.  All of it is pure, runs within gb_fleet_tick() and takes no lock.
 */
#ifndef GB_FLEET_PRIVATE_H
#define GB_FLEET_PRIVATE_H

#include "gb_fleet.h"

/* What the tick notes of a machine (gb_sense_t.bits). */
#define NOTE_PANIC   (1u << 0) /* a balancer in panic has a door to it */
#define NOTE_VETO    (1u << 1) /* a balancer that is not ON has a door to it */
#define NOTE_FRESH   (1u << 2) /* its state was entered after a balancer's last tick */
#define NOTE_FELL    (1u << 3) /* failed by health in this tick, having been ON */
#define NOTE_CHECKED (1u << 4) /* has been looked at for sleeping */

/* A tick as it goes on. */
typedef struct gb_tick_t {
    gb_fleet_t *fleet;
    int64_t now_us;
    gb_action_t *actions;
    uint32_t room, used;
} gb_tick_t;

/* The doors of a pool: those at places from <= place < to of the order. */
typedef struct gb_span_t {
    uint32_t pool, from, to;
} gb_span_t;

/* gb_fleet.c */

/* Copies a sentence into an action or a pool, cut to its room. */
void gb_fleet_say(char *reason, const char *why);

/* Applies an event to machine m, if it is listed in its state and there is room for the
 * action that tells of it; `why` NULL: what the event says of itself.  Returns whether
 * the state has changed. */
bool gb_fleet_apply(gb_tick_t *t, uint32_t m, gb_event_e event, const char *why);

/* gb_fleet_tally.c */

/* The pool of a door; GB_NO_INDEX where there is none, or no such machine. */
uint32_t gb_fleet_pool_of(const gb_fleet_t *fleet, uint32_t d);

/* The door at a place of the order. */
gb_door_t *gb_fleet_door_at(const gb_fleet_t *fleet, uint32_t place);

/* Puts doors in the order of balancer and rank, those without a balancer last. */
void gb_fleet_tally_sort(gb_fleet_t *fleet);

/* Joins doors to their machines and sums up what is in flight; fills the tick's own
 * fields of senses. */
void gb_fleet_tally_join(gb_fleet_t *fleet, int64_t now_us);

/* Is it WAKING, or STOPPING with a wake asked for? */
bool gb_fleet_is_coming(const gb_machine_t *machine);

/* What a machine needs from its wake order until it takes requests, by that quantile of
 * its boots. */
int64_t gb_fleet_ready_us(const gb_fleet_t *fleet, uint32_t m, uint32_t permille);

/* Does something else than the load want it awake, which the operator allows? */
bool gb_fleet_is_wanted(const gb_fleet_t *fleet, uint32_t m);

/* Counts the pool's machines and their capacity, as they are at this moment. */
void gb_fleet_tally_pool(gb_tick_t *t, const gb_span_t *span);

/* Begins or ends the pool's panic, after it was tallied. */
void gb_fleet_tally_panic(gb_tick_t *t, const gb_span_t *span);

/* gb_fleet_need.c */

/* How long the load has to stay low: the shortest stay awake. */
int64_t gb_fleet_need_hold_us(const gb_pool_t *pool);

/* What the pool needs now, by its policy; after it was tallied. */
void gb_fleet_need_update(gb_tick_t *t, const gb_span_t *span);

/* Why that many, with figures, as the pool's reason; `tail` and `name` say what is done
 * about it. */
void gb_fleet_need_explain(gb_pool_t *pool, const char *tail, const char *name);

/* Why the server of that name may sleep, likewise. */
void gb_fleet_need_explain_sleep(gb_pool_t *pool, const char *name);

/* gb_fleet_ask.c */

/* Adds what came in this tick to what its policy will be told, and asks it when it is
 * time.  Leaves the answer in pool->asked. */
void gb_fleet_ask(gb_tick_t *t, const gb_span_t *span);

/* gb_fleet_turn.c */

/* Machines of a pool in the order in which their turn comes; a heap in its doors. */
typedef struct gb_line_t {
    uint32_t from, count;
    bool sleeps;   /* to be let to sleep; else to be woken */
    bool hurries;  /* somebody waits: the quickest first, then the thrifty ones */
    bool is_ready; /* no more are added: it is in order */
} gb_line_t;

void gb_fleet_turn_begin(gb_line_t *line, const gb_span_t *span, bool sleeps,
                         bool hurries);

/* Adds the machine behind a leading door of the pool; for sleep only one that has
 * cycles left today. */
void gb_fleet_turn_add(gb_tick_t *t, gb_line_t *line, gb_door_t *door);

/* Takes the next one out of the line; NULL: nobody is left.  Cost: linear the first
 * time, logarithmic after that. */
gb_door_t *gb_fleet_turn_next(gb_tick_t *t, gb_line_t *line);

/* Is its turn over before it has come, since it has to stay awake for longer?  Then
 * those after it, which do more for their watts, wait for it. */
bool gb_fleet_turn_waits(const gb_tick_t *t, const gb_door_t *door);

/* gb_fleet_pool.c */

/* The pool's need; takes back and wakes what is wanted. */
void gb_fleet_pool_decide(gb_tick_t *t, const gb_span_t *span);

/* After every pool has decided: lets those sleep that the operator wants off, as far as
 * the floors allow, and after that, from the last in the order, those that the load
 * does not need. */
void gb_fleet_pool_sleep_kept_off(gb_tick_t *t, const gb_span_t *span);
void gb_fleet_pool_sleep(gb_tick_t *t, const gb_span_t *span);

/* Does the pool allow that the machine behind its leading door goes?  `operators`: the
 * operator wants it, so only the floor and panic count. */
bool gb_fleet_pool_spares(const gb_pool_t *pool, const gb_door_t *door, bool operators);

/* Takes the machine behind its leading door, which is awake there, off the pool's
 * tally. */
void gb_fleet_pool_loses(gb_pool_t *pool, const gb_door_t *door);

#endif /* GB_FLEET_PRIVATE_H */
