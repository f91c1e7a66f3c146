/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_kpa.h - the Knative pod autoscaler's rules: means over 60 s and 6 s, panic at twice
 * what is there, no scaling down in it.
 */
#ifndef GB_KPA_H
#define GB_KPA_H

#include "gb_supply.h"

#define GB_KPA_SECONDS 60

typedef struct gb_kpa_t {
    int64_t ticked_at_us, panic_until_us;
    uint32_t panic_most;
    uint32_t next, used;
    float rate[GB_KPA_SECONDS];
} gb_kpa_t;

/* `target`: share of the rate that a server carries (0.7). */
gb_choice_t gb_kpa_decide(gb_kpa_t *memory, double target, const gb_supply_t *supply,
                          const gb_demand_t *demand);

#endif /* GB_KPA_H */
