/* SPDX-License-Identifier: Apache-2.0
 *
 * watchdog.h - what the files of the keeper's tick share: its working copies.
 *
 * All of it belongs to the keeper's one thread.
 */
#ifndef MGB_WATCHDOG_H
#define MGB_WATCHDOG_H

#include "keeper.h"

typedef struct mgb_watchdog_t {
    gb_fleet_t fleet;
    const char **names;   /* [rig]: of the machine, for reasons */
    uint32_t *pool_slots; /* fleet.pools[i] is the balancer of this slot */
    bool *off_pending;    /* [rig]: gate closed, the order waits for its tick */
    uint32_t *first_door; /* [rig]: its first door; GB_NO_INDEX: none */
    uint8_t *gates;       /* [door]: as this tick wants them */
    uint32_t *next_door;  /* [door]: the next one of the same machine */
    int64_t second_at_us; /* the next whole second's work */
    int64_t checkpoint_at_us;
    int checkpoint_error; /* the one that was told of */
    bool sensed;          /* this keeper has sensed its machines once */
    bool changed;         /* a machine changed its state since the last checkpoint */
    uint32_t doors_room;
} mgb_watchdog_t;

extern mgb_watchdog_t mgb_dog;

/* The administrator's. */
#define MGB_ADMIN_BITS                                                                 \
    (PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED | PROXY_WORKER_DRAIN)

/* Makes pools, machines and doors, from keeper->pool.  Once, before the first tick. */
void mgb_fleet_create(mgb_keeper_t *keeper);

/* Takes in a member that was added at run time; does nothing when it is known. */
void mgb_fleet_door_add(mgb_keeper_t *keeper, const mgb_balancer_t *b,
                        proxy_worker *worker);

/* The index of the machine in a slot of the segment, or GB_NO_INDEX. */
uint32_t mgb_fleet_rig(const mgb_keeper_t *keeper, uint32_t machine_slot);

/* The balancer in a slot of the segment; pools are made of such. */
const mgb_balancer_t *mgb_fleet_balancer(const mgb_keeper_t *keeper, uint32_t slot);

/* Works out anew what a machine is able to do and which rules it obeys. */
void mgb_fleet_resolve(mgb_keeper_t *keeper, uint32_t rig);

/* comeback.c: slow start, the passive check, sessions.  Once, after the fleet. */
void mgb_comeback_create(mgb_keeper_t *keeper);

/* Before doors are sensed: takes members out, and lets them in again. */
void mgb_comeback_sense(mgb_keeper_t *keeper, int64_t now_us);

/* After doors are sensed: draining machines linger for their sessions. */
void mgb_comeback_sessions(mgb_keeper_t *keeper, int64_t now_us);

/* Each action, before states are published: a machine that comes back starts slowly. */
void mgb_comeback_note(mgb_keeper_t *keeper, const gb_action_t *action, int64_t now_us);

/* Before gates are published: the capacity in force of each member. */
void mgb_comeback_capacities(mgb_keeper_t *keeper, int64_t now_us);

/* replicas.c: servers with GreenCommit.  create: once, after the fleet.  sense: after
 * doors and sessions are sensed.  publish: after the decisions, with the states. */
void mgb_replicas_create(mgb_keeper_t *keeper);
void mgb_replicas_sense(mgb_keeper_t *keeper, int64_t now_us);
void mgb_replicas_publish(mgb_keeper_t *keeper);
/* Has the door what it needs for reads, as far as replicated writes go? */
bool mgb_replicas_may_read(const mgb_keeper_t *keeper, uint32_t door, int64_t now_us);
/* How many of the balancer's servers its quorum needs awake; 0: GreenCommit is off. */
uint32_t mgb_replicas_floor(const mgb_shared_t *sh, const mgb_balancer_t *b);

/* demand.c: what policies are told.  create: once, after the fleet.  sense: each tick,
 * before the decisions and after what waits; it looks at the counters once a second. */
void mgb_demand_create(mgb_keeper_t *keeper);
/* How many servers of a balancer there is room for in what policies are told: its
 * members, and some that may be added at run time. */
uint32_t mgb_demand_room(const mgb_balancer_t *b);
void mgb_demand_sense(mgb_keeper_t *keeper, int64_t now_us);

/* twins.c: what each policy would do, by what came in the latest second.  create: once,
 * after the fleet. */
void mgb_twins_create(mgb_keeper_t *keeper);
void mgb_twins_step(mgb_keeper_t *keeper, int64_t now_us);

/* waiting.c: before the decisions what waits, after them who is served. */
void mgb_waiting_sense(mgb_keeper_t *keeper, int64_t now_us);
void mgb_waiting_publish(mgb_keeper_t *keeper, int64_t now_us);

/* Before gates are closed: balancers none of whose doors will be open let wait. */
void mgb_waiting_shut(mgb_keeper_t *keeper);

#endif /* MGB_WATCHDOG_H */
