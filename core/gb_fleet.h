/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet.h - one tick of decisions over all machines, members and balancers.
 *
 * The keeper (every 100 ms) and the simulator fill in what they sensed, call
 * gb_fleet_tick() and carry out the actions that come back, in their order.
 */
#ifndef GB_FLEET_H
#define GB_FLEET_H

#include "gb_state.h"
#include "gb_policy.h"

/* A member is a door to a machine, in one balancer. */
typedef struct gb_door_t {
    uint32_t machine;    /* index into machines */
    uint32_t balancer;   /* index into balancers */
    uint32_t capacity;   /* concurrent requests within its latency goal */
    uint32_t in_flight;  /* exact, summed over processes */
    uint32_t rank;       /* place in the balancer's order: 0 is filled first */
    bool counted;        /* usable as the administrator set it: no D, S, N, not standby */
} gb_door_t;

/* What was sensed of a machine since the last tick. */
typedef struct gb_sense_t {
    gb_verdict_e verdict; /* health check, now */
    gb_proof_e proof;     /* reverse health check, now */
    bool unpowered;       /* it should be on, and its BMC says off, twice in a row */
    bool exhausted;       /* its ladder has just been used up */
    bool admin_held;      /* the administrator's bits stand on one of its members */
    bool objects;         /* something keeps it awake: an agent's veto, a journal's lag */
    const char *why;      /* for exhausted: the reason, or NULL */
} gb_sense_t;

typedef enum gb_mode_e { GB_MODE_OFF = 0, GB_MODE_ON, GB_MODE_OBSERVE } gb_mode_e;

/* A balancer's settings and what the policy remembers of it. */
typedef struct gb_pool_t {
    gb_mode_e mode;
    uint32_t min_awake;      /* GreenAwake min= */
    uint32_t spare;          /* GreenAwake spare= */
    uint32_t wakes_at_once;  /* GreenWake atonce= */
    gb_rules_t rules;
    gb_threshold_t threshold;
    gb_policy_t memory;      /* what the policy remembers between ticks */
    /* out, for pages: */
    bool panic;
    uint32_t capacity_awake;
    uint32_t wanted_servers;
    char reason[GB_REASON_BYTES]; /* why that many, one sentence */
} gb_pool_t;

typedef struct gb_action_t {
    uint32_t machine;
    uint32_t acts;       /* GB_ACT_* */
    uint32_t from, to;   /* gb_state_e */
    gb_event_e event;
    char reason[GB_REASON_BYTES];
} gb_action_t;

typedef struct gb_fleet_t {
    gb_machine_t *machines;
    gb_sense_t *senses;
    uint32_t machine_count;
    gb_door_t *doors;
    uint32_t door_count;
    gb_pool_t *pools;
    uint32_t pool_count;
    bool paused;         /* greenctl pause: no power order, everything else goes on */
} gb_fleet_t;

/* One tick.  Writes at most `room` actions and returns how many; what did not fit
 * comes at a later tick (levels, not edges, are sensed).  Every transition is among
 * the actions.  Invariants, over any sequence of inputs (tests/unit/test_gb_fleet.c):
 *  - of a pool's machines that it could have awake, never fewer than min_awake are put
 *    or left in a state that is on its way down;
 *  - no ORDER_OFF for a machine with a door in flight, or held by the administrator,
 *    or in a pool that is in panic, or while paused;
 *  - a machine sleeps only when every managing pool that has a door to it agrees;
 *  - sleep orders within a day never exceed the rule's cycles;
 *  - a machine with no ladder never gets an order;
 *  - DRAINING, STOPPING and WAKING are left at their deadline at the latest.
 * Cost: linear in doors + machines * log(machines). */
uint32_t gb_fleet_tick(gb_fleet_t *fleet, int64_t now_us, gb_action_t *actions,
                       uint32_t room);

/* An operator's command or other fact about one machine, between ticks.
 * Returns the action as gb_fleet_tick() would. */
gb_action_t gb_fleet_event(gb_fleet_t *fleet, uint32_t machine, gb_event_e event,
                           int64_t now_us, const char *why);

#endif /* GB_FLEET_H */
