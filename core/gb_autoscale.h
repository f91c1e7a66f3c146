/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_autoscale.h - AutoScale: Gandhi, Harchol-Balter, Raghunathan, Kozuch, "AutoScale:
 * Dynamic, Robust Capacity Management for Multi-Tier Data Centers", ACM TOCS 30(4),
 * 2012.
 *
 * Up, every 20 s, by the requests in the system, not by their rate; down, when a server
 * has been idle for t_wait, which index packing makes happen to the last of the order.
 *
 * The paper's p (10 requests at a server that is full, as measured there) is what is in
 * flight here at the rate that a server carries within the goal: slots * rate_per_slot
 * * service_s.
 */
#ifndef GB_AUTOSCALE_H
#define GB_AUTOSCALE_H

#include "gb_supply.h"

#define GB_AUTOSCALE_TICK_US (20 * GB_US_PER_S)

typedef struct gb_autoscale_t {
    int64_t asked_at_us;                    /* the latest call; 0: none yet */
    int64_t ticked_at_us;                   /* when `wanted` was worked out */
    uint32_t on;                            /* how many served at the latest call */
    uint32_t wanted;                        /* k_req */
    int64_t busy_at_us[GB_MEMBERS_MAX + 1]; /* [k]: when the k-th of the order had work,
                                               or came */
} gb_autoscale_t;

/* The load (as a multiple of what is carried within the goal) that so many requests at
 * a server stand for, in multiples of p: the measured curve of the paper, by which 10
 * requests are a load of 7 and 32 one of 14, over 7; straight on from there.  Not
 * negative.  Pure.  Examples: 0.5 is 0.5, 1 is 1, 2.1 is 1.5, 3.2 is 2, 5.4 is 3. */
double gb_autoscale_load(double requests);

/* `wait_s` is t_wait; 0: 120 s x setup / 260 s, as published.  Call through
 * gb_decide(), which keeps the answer's and the demand's bounds. */
gb_choice_t gb_autoscale_decide(gb_autoscale_t *memory, double wait_s,
                                const gb_supply_t *supply, const gb_demand_t *demand);

#endif /* GB_AUTOSCALE_H */
