/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet.h - one tick of decisions over all machines, members and balancers.
 *
 * The keeper (every 100 ms) and the simulator fill in what they sensed, call
 * gb_fleet_tick() and carry out the actions that come back, in their order.
 * docs/policy.md says how many servers are awake and which, with worked examples.
 */
#ifndef GB_FLEET_H
#define GB_FLEET_H

#include "gb_state.h"
#include "gb_decide.h"
#include "gb_energy.h"

/* A command was refused and nothing was changed; `reason` says why and what to do.
 * Beside the GB_ACT_* of gb_types.h, which a machine's state gives. */
#define GB_ACT_REFUSED (1u << 6)

/* What machines are compared by, beside watts and rank, when one is to be woken or to
 * be let to sleep.  The tick's own; kept from tick to tick and worked out anew when it
 * may have changed. */
typedef struct gb_turn_t {
    int64_t weighed_at_us; /* 0: not yet */
    int64_t entered_at_us; /* the machine's, then */
    uint32_t boots;        /* boot times that it had learned, then */
    uint32_t cycles_left;  /* of today */
    uint64_t sleeps;       /* in all */
    int64_t boot_us;       /* the usual one: their median, and what comes after it */
    uint32_t slowness;     /* 0: as quick as the quickest of the line, nearly */
    bool dwells;           /* not awake for half of what it has to be */
} gb_turn_t;

/* A member is a door to a machine, in one balancer.  Doors in the order of balancer and
 * rank are the cheapest to hand in; any order is right. */
typedef struct gb_door_t {
    uint32_t machine;   /* index into machines */
    uint32_t balancer;  /* index into pools; GB_NO_INDEX: its requests count, no more */
    uint32_t capacity;  /* concurrent requests within its latency goal */
    uint32_t in_flight; /* exact, summed over processes */
    uint32_t rank;      /* place in the balancer's order: 0 is filled first */
    uint32_t lbset;     /* those of a lower one are woken first and sleep last */
    /* Of its machine, by gb_fleet_door_watts(); all 0: as good as any other. */
    double watts_per_capacity; /* at full load */
    double idle_watts;         /* drawn idle, less what it draws switched off */
    double setup_watts;        /* drawn while it boots, less the same */
    bool counted;    /* usable as the administrator set it: no D, S, N, not standby */
    bool silent;     /* the latest probe reached nobody */
    bool catches_up; /* its machine may be on, and yet it takes no requests until it has
                        what was written meanwhile: as good as one that still boots */
    gb_verdict_e verdict; /* of this door: a BAD one gives no capacity; NONE: as its
                             machine's */
    /* the tick's own: */
    bool leads;     /* the first of its machine that counts in its balancer */
    bool lags;      /* if so: a door of its machine catches up, or has to when awake */
    bool behind;    /* likewise: and the machine is awake */
    uint64_t gives; /* if so: its machine's capacity in its balancer */
    uint32_t next;  /* 1 + another door of its machine; 0: none */
    uint32_t order; /* [place]: the door at that place in the order */
    uint32_t line;  /* [place]: one of those to wake, or to let sleep, in their turn */
    uint32_t part;  /* of the supply that a policy sees */
    gb_turn_t turn;
} gb_door_t;

/* What was sensed of a machine since the last tick. */
typedef struct gb_sense_t {
    gb_verdict_e verdict; /* health check, now: of the present stay in its state */
    gb_proof_e proof;     /* reverse health check, now: likewise */
    bool unpowered;       /* it should be on, and its BMC says off, twice in a row */
    bool exhausted;       /* its ladder has just been used up */
    bool admin_held;      /* the administrator's bits stand on one of its members */
    bool objects; /* something keeps it awake: an agent's veto, a journal's lag */
    bool lingers; /* sessions of it have not ended: it may drain, and is not off yet */
    bool wanted;  /* something else than the load wants it awake (a journal): as by the
                     operator's wish, but it is none, and the operator's KEEP_OFF wins */
    const char *wanted_why; /* with wanted: what for, or NULL */
    int64_t catch_up_us;    /* what it needs beyond its boot until it takes requests */
    const char *objection;  /* with objects or lingers: who and why, or NULL */
    const char *why;        /* for exhausted: the reason, or NULL */
    /* the tick's own: */
    uint32_t bits;
    uint32_t first_door; /* 1 + the index; 0: none */
    uint32_t pool_mark;  /* 1 + the pool that `capacity` is about; 0: none */
    uint64_t capacity;   /* in the pool that is being looked at */
    bool lags;           /* likewise: a door of it catches up, or has to when awake */
    uint64_t in_flight;  /* over all its doors */
} gb_sense_t;

typedef enum gb_mode_e { GB_MODE_OFF = 0, GB_MODE_ON, GB_MODE_OBSERVE } gb_mode_e;

/* A balancer's machines, counted anew at each tick: those with a door that counts. */
typedef struct gb_tally_t {
    uint32_t machines;
    uint32_t awake;    /* ON or UNKNOWN */
    uint32_t draining; /* DRAINING: serves, and can be taken back at once */
    uint32_t coming;   /* WAKING, or STOPPING with a wake asked for, or behind */
    uint32_t behind;   /* of these: awake, and catching up */
    uint32_t failing;  /* not serving, and not known to be off */
    uint32_t down;     /* STOPPING, ASLEEP, or FAILED and proved off */
    uint32_t fell;     /* that failed in this tick, having been ON */
    uint32_t due;      /* FAILED, and its back-off is over */
    uint32_t wished;   /* ASLEEP, and the operator, or something else, wants it on */
    uint32_t kept_off; /* awake, and the operator wants it off */
    uint64_t capacity; /* of all of them */
    uint64_t capacity_awake, capacity_coming;
    uint64_t spare_capacity; /* of GreenAwake spare= servers of mean size */
    uint64_t in_flight;      /* over all doors, counted or not */
} gb_tally_t;

/* What a policy other than `threshold` was last asked, and what it said. */
typedef struct gb_asked_t {
    int64_t at_us;       /* 0: not yet */
    uint32_t policy;     /* gb_policy_e */
    gb_choice_t choice;  /* gb_supply.h */
    gb_choice_t given;   /* as it was when it was asked */
    bool idle;           /* min=0, and nothing to do for long: one server is none */
    bool unknown;        /* the tick's own: not counted for a part of the time since */
    uint32_t servers;    /* that could be on */
    uint32_t on, coming; /* of these */
    double up_capacity, keep_capacity; /* of the first `up` and the first `keep` */
    double in_system;                  /* in flight, or waiting */
    double rate;                       /* requests/s that came, mean of half a minute */
    double service_s, late_s;          /* as the policy was told */
    double rate_per_slot; /* that a slot of a mean server carries within the goal */
    double rate_per_server;
    /* the tick's own: */
    double arrived, late;    /* since at_us */
    double slots_per_server; /* that rate_per_slot was worked out for */
    int64_t busy_at_us;      /* when there was work last */
} gb_asked_t;

#define GB_PANIC_SLOTS 10 /* seconds within which half of the servers fail */

/* A balancer's settings and what the policy remembers of it. */
typedef struct gb_pool_t {
    gb_mode_e mode;
    uint32_t min_awake;     /* GreenAwake min= */
    uint32_t spare;         /* GreenAwake spare= */
    uint32_t wakes_at_once; /* GreenWake atonce= */
    gb_rules_t rules;
    gb_threshold_t threshold;
    uint32_t waiting;   /* in: requests that wait for a server, or will come again */
    int64_t service_us; /* in: time that a server needs for one, mean of some minutes;
                           0: unknown */
    gb_policy_t memory; /* what `threshold` remembers between ticks */
    /* For every other policy.  The pointers are the caller's, set before each tick, and
     * of no use in a copy that another process reads: only the tick follows them. */
    gb_policy_conf_t policy; /* with `threshold` the settings are those above */
    gb_decider_t *decider;   /* what the policy remembers; NULL: `threshold` decides */
    gb_tail_t *tail;         /* late shares; zeroed at first, but for rows and room */
    gb_upto_t *upto;         /* [decide_room + 1] */
    double *slots_upto;      /* [decide_room + 1] */
    uint32_t decide_room;    /* servers, as tail->room; the doors that do not fit are
                                left out */
    const gb_choice_t
        *given;           /* in: decided elsewhere (a simulator's own policy): stands
                             for any policy's answer; NULL: the policy decides */
    double arrived, late; /* in: requests since the previous tick: all that came, and
                             those that were late for they had to wait */
    int64_t day_s;        /* in: second of the local day */
    int64_t late_us;      /* in: a response that takes longer is late; 0: 500 ms */
    bool late_last;       /* in: its waiting room serves those first who are in time */
    bool unknown;         /* in: nobody counted for a part of the time of `arrived` */
    int64_t ticked_at_us; /* the latest tick */
    int64_t ahead_us;     /* boot time that the policy looks ahead */
    int64_t fell_second;  /* number of the second that fell[second % SLOTS] is about */
    uint32_t fell[GB_PANIC_SLOTS]; /* machines that failed, having been ON */
    uint32_t panic_told;
    /* out, for pages: */
    bool panic;
    uint32_t capacity_awake;
    uint32_t wanted_servers;
    char reason[GB_REASON_BYTES]; /* why that many, one sentence */
    /* With nobody awake, what those who wait may expect: */
    bool hopeless;         /* nobody comes, and nobody can be woken */
    int64_t usual_boot_us; /* median boot time of the next one to be ready */
    int64_t slow_boot_us;  /* its 95 % quantile */
    int64_t ready_at_us;   /* when it is probably ready; GB_NEVER_US: nobody comes */
    int64_t late_at_us;    /* and when almost certainly; or the next try after a failure
                            */
    gb_need_t need;
    gb_tally_t tally;
    gb_asked_t asked; /* by a policy other than `threshold` */
} gb_pool_t;

typedef struct gb_action_t {
    uint32_t machine;
    uint32_t acts;     /* GB_ACT_* */
    uint32_t from, to; /* gb_state_e */
    gb_event_e event;
    uint32_t pool; /* with GB_ACT_PANIC: which balancer; else not set */
    char reason[GB_REASON_BYTES];
} gb_action_t;

typedef struct gb_fleet_t {
    gb_machine_t *machines;
    gb_sense_t *senses;
    gb_rules_t *rules;        /* [machine]: joined over its balancers, the strictest */
    const char *const *names; /* [machine], for reasons; NULL: they give numbers */
    uint32_t machine_count;
    gb_door_t *doors;
    uint32_t door_count;
    gb_pool_t *pools;
    uint32_t pool_count;
    bool paused; /* greenctl pause: no power order, everything else goes on */
} gb_fleet_t;

/* Fills in what a door says of watts, from its machine's curve; the capacity is set. */
void gb_fleet_door_watts(gb_door_t *door, const gb_curve_t *curve);

/* Is it any policy but `threshold` that decides? */
bool gb_fleet_pool_asks(const gb_pool_t *pool);

/* One tick.  Writes at most `room` actions and returns how many; what did not fit
 * comes at a later tick (levels, not edges, are sensed).  Every transition is among
 * the actions.  The caller sets the flags of machines (MANAGED, CAN_*, HAS_BMC,
 * OBSERVED); the tick keeps ADMIN_HELD, verdict and proof of a machine in step with
 * what was sensed.  An action with from == to and GB_ACT_ORDER_ON gives an order that
 * a pause had kept back.
 *
 * Invariants, over any sequence of inputs (tests/unit/test_gb_fleet.c):
 *  - of a pool's machines that it could have awake, never fewer than min_awake are put
 *    or left in a state that is on its way down;
 *  - no ORDER_OFF for a machine with a door in flight, or held by the administrator,
 *    or in a pool that is in panic, or while paused;
 *  - a machine sleeps only when every pool that has a door to it agrees; a pool that
 *    is not GreenBalance on does not (the operator's sleep needs the floors only);
 *  - sleep orders within a day never exceed the rule's cycles;
 *  - a machine with no ladder never gets an order;
 *  - one that is behind, or wanted, is not let to sleep by any load;
 *  - DRAINING, STOPPING and WAKING are left at their deadline at the latest.
 * Cost: linear in doors and machines; doors that are not in order are sorted first.
 * Caller: keeper's watchdog or a simulator; no lock, no allocation. */
uint32_t gb_fleet_tick(gb_fleet_t *fleet, int64_t now_us, gb_action_t *actions,
                       uint32_t room);

/* An operator's command or other fact about one machine, between ticks.
 * Returns the action as gb_fleet_tick() would.  A sleep that would leave a balancer
 * with fewer than min_awake servers, or in panic, or of one that is behind, is refused:
 * GB_ACT_REFUSED, nothing changed.  While paused an order is kept back until the pause
 * ends. */
gb_action_t gb_fleet_event(gb_fleet_t *fleet, uint32_t machine, gb_event_e event,
                           int64_t now_us, const char *why);

/* Shall requests go through this door although its machine or itself has failed?  Only
 * in panic, never to a machine that is proved off, nor to one whose wake has failed and
 * where nobody answers.  By the latest tick. */
bool gb_fleet_panic_routes(const gb_fleet_t *fleet, uint32_t door);

#endif /* GB_FLEET_H */
