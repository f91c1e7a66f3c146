/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_decide.h - one face for all policies: how many servers to have on, and how many at
 * most to let go.
 *
 * A policy sees the demand (what came, what is there, what was late) and the supply
 * (the servers in the order in which they are woken, and how many of them are on or
 * coming), and answers with two numbers.  Who goes and who comes, floors, dwell, cycles
 * and failures are the fleet's matter (gb_fleet.h) or the simulator's; both ask through
 * this file, so that what the one shows is true of the other.
 *
 * A policy may be asked as often as one likes, not more seldom than every second; it
 * keeps its own pace (10 s, 20 s ...) by now_us and repeats its answer in between.
 * Pure; no allocation; for one thread at a time.
 */
#ifndef GB_DECIDE_H
#define GB_DECIDE_H

#include "gb_autoscale.h"
#include "gb_kpa.h"
#include "gb_lcp.h"
#include "gb_news.h"
#include "gb_policy.h"

typedef enum gb_policy_e {
    GB_POLICY_THRESHOLD = 0,
    GB_POLICY_AUTOSCALE,
    GB_POLICY_LCP,
    GB_POLICY_KPA,
    GB_POLICY_NEWS,
    GB_POLICY_COUNT
} gb_policy_e;

/* "threshold" and so on, "invalid" for a number that is none; gb_policy_find:
 * GB_POLICY_COUNT when there is none of that name.  Literals; any thread. */
const char *gb_policy_name(gb_policy_e policy);
gb_policy_e gb_policy_find(const char *name);

/* Settings of all policies; gb_policy_defaults() fills in what needs no tuning. */
typedef struct gb_policy_conf_t {
    gb_policy_e policy;
    gb_threshold_t threshold; /* threshold: GreenThreshold */
    int64_t hold_us;          /* threshold: how long the load has to stay low */
    double budget;            /* news: share of requests that may be late, 0.005 */
    double wait_s;            /* autoscale: an idle server goes off after so long;
                                 0: 120 s x setup / 260 s, as published */
    double target;            /* kpa: share of what a server carries, 0.7 */
} gb_policy_conf_t;

/* Fills in all of it: 80 % and 50 %, 5 minutes, 0.5 %, t_wait as published, 70 %. */
void gb_policy_defaults(gb_policy_conf_t *conf, gb_policy_e policy);

typedef struct gb_decider_t {
    uint32_t policy;    /* 1 + whose memory is in use; 0: none yet */
    gb_choice_t choice; /* the latest answer */
    union {
        gb_policy_t threshold;
        gb_autoscale_t autoscale;
        gb_lcp_t lcp;
        gb_kpa_t kpa;
        gb_news_t news;
    } as;
} gb_decider_t;

/* The policy's answer.  A decider that is zeroed, or that served another policy, begins
 * anew; so does one whose memory makes no sense.  Always within
 * 1 <= up <= keep <= servers.  What is not finite in demand and settings counts as
 * nothing asked for, and as the default.  `threshold` takes all that is in the system
 * for requests in flight.  Never fails; linear in servers at most. */
gb_choice_t gb_decide(gb_decider_t *decider, const gb_policy_conf_t *conf,
                      const gb_supply_t *supply, const gb_demand_t *demand);

#endif /* GB_DECIDE_H */
