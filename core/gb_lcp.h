/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_lcp.h - lazy capacity provisioning: Lin, Wierman, Andrew, Thereska, "Dynamic
 * right-sizing for power-proportional data centers", INFOCOM 2011.  Without forecast.
 *
 * Each slot it works out where the cheapest schedule so far would end, once if stopping
 * a server were paid for and once if starting it were, and moves only when it would be
 * outside of these two.  Never costs more than three times the optimum of the slots.
 */
#ifndef GB_LCP_H
#define GB_LCP_H

#include "gb_supply.h"

#define GB_LCP_SLOT_US (10 * GB_US_PER_S)

typedef struct gb_lcp_t {
    int64_t slot_began_at_us;        /* 0: nothing known yet */
    double arrived;                  /* in the slot */
    uint32_t servers;                /* what `work` was made for */
    uint32_t chosen;                 /* x_t */
    double work[GB_MEMBERS_MAX + 1]; /* W(x), less its minimum; joules */
} gb_lcp_t;

/* Asks for x_t and lets all above go.  Forgets when the number of servers changes. Call
 * through gb_decide(), which keeps the answer's and the demand's bounds. */
gb_choice_t gb_lcp_decide(gb_lcp_t *memory, const gb_supply_t *supply,
                          const gb_demand_t *demand);

#endif /* GB_LCP_H */
