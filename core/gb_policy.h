/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_policy.h - how many servers' capacity a balancer needs, from its load.
 *
 * `threshold`: wake when the load passes `wake` permille of the capacity awake, let a
 * server sleep when it has stayed under `sleep` permille.  The load is the number of
 * requests in flight; it is looked at where it will be one boot time from now, by the
 * slope over the past boot time, so that servers wake ahead of it.  docs/policy.md
 * works it out with figures.
 */
#ifndef GB_POLICY_H
#define GB_POLICY_H

#include "gb_types.h"

typedef struct gb_threshold_t {
    uint32_t wake_permille;  /* GreenThreshold wake= */
    uint32_t sleep_permille; /* GreenThreshold sleep= */
} gb_threshold_t;

#define GB_POLICY_BINS      128 /* the past: one bin is bin_us of load */
#define GB_POLICY_BIN_US    (250 * GB_US_PER_MS) /* the shortest bin: 32 s in all */
#define GB_POLICY_SHORT_US  GB_US_PER_S          /* time constant of the short mean */
#define GB_POLICY_NEVER     UINT64_MAX           /* a capacity that is never reached */
#define GB_POLICY_LOAD_MOST 4000000u /* more in flight counts as this many */

/* Remembered between ticks; kept in the shared segment, bounded.  Zeroed is as good as
 * gb_policy_init(); contents that make no sense (another layout, another boot's clock)
 * are found and forgotten. */
typedef struct gb_policy_t {
    int64_t bin_started_at_us; /* of the open bin */
    int64_t bin_us;            /* GB_POLICY_BIN_US * 2^n; 0: nothing sampled yet */
    int64_t sampled_at_us;     /* the latest sample */
    uint64_t load_micro;       /* short mean of the load, 1/1,000,000 requests */
    uint32_t bin_next, bin_count;
    uint64_t now_sum;                    /* sum of samples in the open bin */
    uint32_t now_samples;                /* how many */
    uint32_t now_last;                   /* the latest one */
    uint32_t mean_milli[GB_POLICY_BINS]; /* mean load of the bin, in 1/1000 requests */
} gb_policy_t;

typedef struct gb_need_t {
    uint64_t load_milli;    /* short mean of requests in flight, 1/1000 */
    uint64_t ahead_milli;   /* where it will be one boot time from now, at least load */
    uint64_t held_milli;    /* the highest of the past hold_us, at least ahead */
    uint64_t up_capacity;   /* capacity below which servers have to be woken */
    uint64_t down_capacity; /* capacity from which on a server may go to sleep, ... */
    uint64_t stay_capacity; /* ... if this much stays awake without it */
} gb_need_t;

/* The sum of two capacities; never beyond GB_POLICY_NEVER.  Pure. */
static inline uint64_t gb_policy_sum(uint64_t a, uint64_t b)
{
    return a > GB_POLICY_NEVER - b ? GB_POLICY_NEVER : a + b;
}

/* Forgets everything. */
void gb_policy_init(gb_policy_t *policy);

/* Notes a sample of the load and says what is needed.  `ahead_us` is the boot time to
 * look ahead (the fleet's learned p95), `hold_us` how long the load has to stay low
 * before a server may go; both may change from call to call, the past is kept.
 *
 * up_capacity is the least at which `ahead` is within `wake`.  down_capacity is the
 * least at which `held` is within `sleep`, stay_capacity the least at which it is
 * within the middle of the two; both are GB_POLICY_NEVER until hold_us has been seen.
 * As stay_capacity >= up_capacity, what has just been let to sleep is not missed at
 * once.
 *
 * Never fails; a clock that runs back is taken as a new start.  Cost:
 * linear in GB_POLICY_BINS.  Caller: keeper's watchdog or a simulator; no lock. */
gb_need_t gb_policy_threshold(gb_policy_t *policy, const gb_threshold_t *threshold,
                              uint32_t in_flight, int64_t ahead_us, int64_t hold_us,
                              int64_t now_us);

/* How much load the requests that wait for a server stand for, in requests in flight.
 * They are to be served within a quarter of the time that they wait for a boot, and at
 * least a second: `waiting` requests of `service_us` each (not positive: unknown, one
 * second) need waiting * service / that time at once.  At least 1 when any waits, never
 * more than wait.  Pure.
 *   200 waiting, 100 ms each, boot 4 s: 20;  6,000, 100 ms, 60 s: 40;  1, 100 ms: 1 */
uint32_t gb_policy_waiting(uint32_t waiting, int64_t service_us, int64_t boot_us);

/* Adds that load to a need: what wakes servers, and what keeps them from sleeping. */
void gb_policy_add(gb_need_t *need, const gb_threshold_t *threshold, uint32_t load);

#endif /* GB_POLICY_H */
