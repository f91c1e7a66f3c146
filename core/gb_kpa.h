/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_kpa.h - the rules of Knative's pod autoscaler: means over 60 s and 6 s, panic at
 * twice what is there, no scaling down in it.
 */
#ifndef GB_KPA_H
#define GB_KPA_H

#include "gb_supply.h"

#define GB_KPA_TICK_US  (2 * GB_US_PER_S)
#define GB_KPA_TICKS    30 /* the stable window, 60 s */
#define GB_KPA_SHORT    3  /* the panic window, 6 s */
#define GB_KPA_PANIC_US (60 * GB_US_PER_S)

typedef struct gb_kpa_t {
    int64_t tick_began_at_us;  /* 0: nothing known yet */
    int64_t panic_until_us;    /* 0: none */
    double arrived;            /* since the tick began */
    uint32_t panic_most;       /* asked for in this panic */
    uint32_t wanted;           /* worked out at the latest tick */
    uint32_t next, used;       /* of the ring */
    double rate[GB_KPA_TICKS]; /* of the past ticks, requests/s */
} gb_kpa_t;

/* `target`: share of the rate that a server carries (0.7).  Call through gb_decide(),
 * which keeps the answer's and the demand's bounds. */
gb_choice_t gb_kpa_decide(gb_kpa_t *memory, double target, const gb_supply_t *supply,
                          const gb_demand_t *demand);

#endif /* GB_KPA_H */
