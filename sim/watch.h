/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.h - the balancer's side of the discrete simulation: the module's own code over
 * simulated servers.
 *
 * The keeper's tick of watchdog.c, in small: what is sensed of the servers goes into
 * gb_fleet_tick(), its actions become orders, its states become gates of the table from
 * which core/gb_pick.c chooses.  All that decides is the core's.
 */
#ifndef GS_WATCH_H
#define GS_WATCH_H

#include "boxes.h"
#include "discrete.h"

#include "../core/gb_fleet.h"
#include "../core/gb_pick.h"

#define GS_TICK_NS INT64_C(100000000) /* the keeper's tick */

/* What is known of a machine beside its state. */
typedef struct gs_rig_t {
    int64_t returned_at_us; /* began its slow start; 0: never */
    bool on_pending, off_pending;
} gs_rig_t;

typedef struct gs_watch_t {
    const gs_discrete_conf_t *conf;
    gs_boxes_t *boxes;
    gb_fleet_t fleet;
    gb_pool_t pool;
    gb_choice_t choice; /* what pool.given points to; the pool needs the next three */
    gb_decider_t decider;
    gb_tail_t tail;
    gb_upto_t *upto;
    gb_action_t *actions;
    gs_rig_t *rigs;
    gb_pick_table_t *table;
    uint8_t *use, *asleep;
    double boot_fail_share;
    bool by_itself;  /* nothing is given: the module's own policy decides */
    bool is_instant; /* a set-up takes no time and draws idle watts */
    /* by the latest tick: */
    uint32_t on, coming, serving; /* serving: on, or draining */
    double capacity_on;
    uint64_t starts;   /* orders on */
    uint64_t failures; /* boots that failed */
    bool at_rest;      /* until the choice changes no tick would change anything */
} gs_watch_t;

/* `packs`: the first with room gets a request; else the least loaded. */
void gs_watch_open(gs_watch_t *watch, gs_boxes_t *boxes, const gs_fleet_t *fleet,
                   const gs_discrete_conf_t *conf, uint32_t on, bool packs);
void gs_watch_close(gs_watch_t *watch);

/* From now on the module's own `threshold` decides at each tick; it needs every one. */
void gs_watch_use_threshold(gs_watch_t *watch, const gb_policy_conf_t *conf);

/* What the policy wants from the next tick on. */
void gs_watch_choose(gs_watch_t *watch, gb_choice_t choice);

/* One tick.  `waiting`: requests in the waiting room, for which there may be room now.
 */
void gs_watch_tick(gs_watch_t *watch, uint32_t waiting, int64_t now_ns);

#endif /* GS_WATCH_H */
