/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_autoscale.h - AutoScale: Gandhi, Harchol-Balter, Raghunathan, Kozuch, "AutoScale:
 * Dynamic, Robust Capacity Management for Multi-Tier Data Centers", ACM TOCS 30(4), 2012.
 *
 * Up, every 20 s, by the requests in the system, not by their rate; down, when a server
 * has been idle for t_wait, which index packing makes happen to the last of the order.
 */
#ifndef GB_AUTOSCALE_H
#define GB_AUTOSCALE_H

#include "gb_supply.h"

typedef struct gb_autoscale_t {
    int64_t began_at_us, ticked_at_us;
    float busy_at_s[GB_MEMBERS_MAX + 1]; /* [k]: when the k-th of the order had work */
} gb_autoscale_t;

/* `wait_s` is t_wait; 0: 120 s x setup / 260 s, as published. */
gb_choice_t gb_autoscale_decide(gb_autoscale_t *memory, double wait_s,
                                const gb_supply_t *supply, const gb_demand_t *demand);

#endif /* GB_AUTOSCALE_H */
