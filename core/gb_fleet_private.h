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

/* Counts the pool's machines and their capacity, as they are at this moment. */
void gb_fleet_tally_pool(gb_tick_t *t, const gb_span_t *span);

/* Begins or ends the pool's panic, after it was tallied. */
void gb_fleet_tally_panic(gb_tick_t *t, const gb_span_t *span);

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

/* Takes the machine behind its leading door off the pool's tally. */
void gb_fleet_pool_loses(gb_pool_t *pool, const gb_door_t *door);

#endif /* GB_FLEET_PRIVATE_H */
