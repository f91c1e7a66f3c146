/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_decide.c - the names of the policies, their defaults, and who is asked.
 *
 * Whatever a policy answers, and whatever its memory was, the answer leaves this file
 * within its bounds.
 */
#include "gb_decide.h"

#include <string.h>

#define MOST_REQUESTS 1e12 /* that come at once or are in the system */
#define MOST_SETUP_S  (7 * 86400.0)
#define HOLD_LEAST_US GB_US_PER_S

static const char *const names[GB_POLICY_COUNT] = {
    [GB_POLICY_THRESHOLD] = "threshold",
    [GB_POLICY_AUTOSCALE] = "autoscale",
    [GB_POLICY_LCP] = "lcp",
    [GB_POLICY_KPA] = "kpa",
    [GB_POLICY_NEWS] = "news",
};

const char *gb_policy_name(gb_policy_e policy)
{
    return (uint32_t)policy < GB_POLICY_COUNT ? names[policy] : "invalid";
}

gb_policy_e gb_policy_find(const char *name)
{
    int i;

    for (i = 0; i < GB_POLICY_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (gb_policy_e)i;
        }
    }
    return GB_POLICY_COUNT;
}

void gb_policy_defaults(gb_policy_conf_t *conf, gb_policy_e policy)
{
    memset(conf, 0, sizeof *conf);
    conf->policy = policy;
    conf->threshold.wake_permille = 800;
    conf->threshold.sleep_permille = 500;
    conf->hold_us = 300 * GB_US_PER_S;
    conf->budget = 0.005;
    conf->wait_s = 0.0;
    conf->target = 0.7;
}

/* -------------------------------------------------------------- threshold */

static uint32_t servers_for(const gb_supply_t *supply, uint64_t capacity)
{
    return gb_supply_for_load(supply, (double)capacity);
}

/* As gb_fleet_pool.c lets them go, one after the other: the last one may leave while
 * down_capacity is there with it, and stay_capacity without it. */
static uint32_t kept(const gb_supply_t *supply, const gb_need_t *need)
{
    uint32_t down = servers_for(supply, need->down_capacity);
    uint32_t stay = servers_for(supply, need->stay_capacity);

    if (supply->upto[supply->servers].capacity < (double)need->down_capacity) {
        return supply->servers;
    }
    return down - 1 > stay ? down - 1 : stay;
}

static gb_choice_t threshold_decide(gb_policy_t *memory, const gb_policy_conf_t *conf,
                                    const gb_supply_t *supply,
                                    const gb_demand_t *demand)
{
    double in_flight = gb_within(demand->in_system, 0.0, GB_POLICY_LOAD_MOST);
    int64_t hold_us = conf->hold_us > HOLD_LEAST_US ? conf->hold_us : HOLD_LEAST_US;
    gb_need_t need = gb_policy_threshold(
        memory, &conf->threshold, (uint32_t)(in_flight + 0.5),
        (int64_t)(supply->setup_s * (double)GB_US_PER_S), hold_us, demand->now_us);
    gb_choice_t choice = {servers_for(supply, need.up_capacity), kept(supply, &need)};

    return choice;
}

/* -------------------------------------------------------------- the face */

/* Numbers that policies may count with. */
static gb_demand_t sound_demand(const gb_demand_t *demand)
{
    gb_demand_t sound = *demand;

    sound.now_us = demand->now_us > 0 ? demand->now_us : 0;
    sound.day_s = demand->day_s % 86400;
    sound.day_s += sound.day_s < 0 ? 86400 : 0;
    sound.arrived = gb_within(demand->arrived, 0.0, MOST_REQUESTS);
    sound.late = gb_within(demand->late, 0.0, MOST_REQUESTS);
    sound.in_system = gb_within(demand->in_system, 0.0, MOST_REQUESTS);
    sound.backlog = gb_within(demand->backlog, 0.0, sound.in_system);
    return sound;
}

static gb_supply_t sound_supply(const gb_supply_t *supply)
{
    gb_supply_t sound = *supply;

    sound.servers = supply->servers < GB_MEMBERS_MAX ? supply->servers : GB_MEMBERS_MAX;
    sound.on = supply->on < sound.servers ? supply->on : sound.servers;
    sound.coming = supply->coming < sound.servers - sound.on ? supply->coming
                                                             : sound.servers - sound.on;
    sound.setup_s = gb_within(supply->setup_s, 0.0, MOST_SETUP_S);
    return sound;
}

static gb_choice_t ask(gb_decider_t *decider, gb_policy_e policy,
                       const gb_policy_conf_t *conf, const gb_supply_t *supply,
                       const gb_demand_t *demand)
{
    switch (policy) {
    case GB_POLICY_AUTOSCALE:
        return gb_autoscale_decide(&decider->as.autoscale, conf->wait_s, supply,
                                   demand);
    case GB_POLICY_LCP:
        return gb_lcp_decide(&decider->as.lcp, supply, demand);
    case GB_POLICY_KPA:
        return gb_kpa_decide(&decider->as.kpa, conf->target, supply, demand);
    case GB_POLICY_NEWS:
        return gb_news_decide(&decider->as.news, conf->budget, supply, demand);
    case GB_POLICY_THRESHOLD:
    case GB_POLICY_COUNT:
        break;
    }
    return threshold_decide(&decider->as.threshold, conf, supply, demand);
}

gb_choice_t gb_decide(gb_decider_t *decider, const gb_policy_conf_t *conf,
                      const gb_supply_t *supply, const gb_demand_t *demand)
{
    gb_policy_e policy =
        (uint32_t)conf->policy < GB_POLICY_COUNT ? conf->policy : GB_POLICY_THRESHOLD;
    gb_demand_t asked = sound_demand(demand);
    gb_supply_t there = sound_supply(supply);

    if (decider->policy != 1 + (uint32_t)policy) {
        memset(decider, 0, sizeof *decider);
        decider->policy = 1 + (uint32_t)policy;
    }
    if (there.servers == 0) {
        decider->choice.up = decider->choice.keep = 1;
    }
    else {
        decider->choice =
            gb_choice_within(ask(decider, policy, conf, &there, &asked), there.servers);
    }
    return decider->choice;
}
