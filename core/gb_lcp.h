/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_lcp.h - lazy capacity provisioning: Lin, Wierman, Andrew, Thereska, "Dynamic
 * right-sizing for power-proportional data centers", INFOCOM 2011.  Without forecast.
 */
#ifndef GB_LCP_H
#define GB_LCP_H

#include "gb_supply.h"

typedef struct gb_lcp_t {
    int64_t ticked_at_us;
    double arrived;
    uint32_t servers;                /* what `work` was made for */
    uint32_t chosen;                 /* x_t */
    double work[GB_MEMBERS_MAX + 1]; /* W(x), less its minimum; joules */
} gb_lcp_t;

gb_choice_t gb_lcp_decide(gb_lcp_t *memory, const gb_supply_t *supply,
                          const gb_demand_t *demand);

#endif /* GB_LCP_H */
