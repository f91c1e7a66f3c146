/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_policy.h - how many servers' capacity a balancer needs, from its load.
 *
 * `threshold`: wake when the load passes `wake` permille of the capacity awake, let a
 * server sleep when it has stayed under `sleep` permille.  The load is the number of
 * requests in flight; it is looked at where it will be one boot time from now, by the
 * slope over the past boot time, so that servers wake ahead of it.
 */
#ifndef GB_POLICY_H
#define GB_POLICY_H

#include "gb_types.h"

typedef struct gb_threshold_t {
    uint32_t wake_permille;  /* GreenThreshold wake= */
    uint32_t sleep_permille; /* GreenThreshold sleep= */
} gb_threshold_t;

#define GB_POLICY_BINS 128 /* the past: one bin is bin_us of load */

/* Remembered between ticks; kept in the shared segment, bounded. */
typedef struct gb_policy_t {
    int64_t bin_started_at_us;
    int64_t bin_us;
    uint32_t bin_next, bin_count;
    uint64_t now_sum;   /* sum of samples in the open bin */
    uint32_t now_samples;
    uint32_t now_most;
    uint32_t mean_milli[GB_POLICY_BINS]; /* mean load of the bin, in 1/1000 requests */
    uint32_t most[GB_POLICY_BINS];       /* its largest sample */
} gb_policy_t;

typedef struct gb_need_t {
    uint64_t load_milli;      /* short mean of requests in flight, 1/1000 */
    uint64_t ahead_milli;     /* where it will be one boot time from now, at least load */
    uint64_t up_capacity;     /* capacity below which servers have to be woken */
    uint64_t down_capacity;   /* capacity above which a server may go to sleep */
} gb_need_t;

void gb_policy_init(gb_policy_t *policy);

/* Notes a sample of the load and says what is needed.  `ahead_us` is the boot time to
 * look ahead (the fleet's learned p95), `hold_us` how long the load has to stay low. */
gb_need_t gb_policy_threshold(gb_policy_t *policy, const gb_threshold_t *threshold,
                              uint32_t in_flight, int64_t ahead_us, int64_t hold_us,
                              int64_t now_us);

#endif /* GB_POLICY_H */
