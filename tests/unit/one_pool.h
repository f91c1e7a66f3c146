/* SPDX-License-Identifier: Apache-2.0
 *
 * one_pool.h - a balancer with a machine behind each member, for tests of the fleet's
 * tick.  Who includes it has defined MOST, how many machines there may be.
 */
#ifndef TEST_ONE_POOL_H
#define TEST_ONE_POOL_H

#include "core/gb_fleet.h"

#include <string.h>

#define TICK_US (100 * GB_US_PER_MS)
#define SEC     GB_US_PER_S
#define ROOM    64

static gb_machine_t machines[MOST];
static gb_sense_t senses[MOST];
static gb_rules_t rules[MOST];
static gb_door_t doors[MOST];
static gb_pool_t pool;
static gb_fleet_t fleet;
static gb_action_t actions[ROOM];
static uint32_t used;
static int64_t now_us;

/* Machine m has been in that state for ten minutes, and its sensors agree. */
static inline void put(uint32_t m, gb_state_e state)
{
    machines[m].state = state;
    machines[m].entered_at_us = now_us - 600 * SEC;
    senses[m].verdict = state == GB_ST_ON ? GB_VERDICT_GOOD : GB_VERDICT_NONE;
    senses[m].proof = state == GB_ST_ASLEEP ? GB_PROOF_OFF : GB_PROOF_NONE;
}

/* `count` equal machines, the first `on` of them on, the rest asleep: min=1, no load,
 * thresholds of 80 % and 50 %; boots that take `boot_us`. */
static inline void one_pool_setup(uint32_t count, uint32_t on, uint32_t capacity,
                                  int64_t boot_us, int64_t begin_us)
{
    memset(&pool, 0, sizeof pool);
    memset(senses, 0, sizeof senses);
    memset(doors, 0, sizeof doors);
    now_us = begin_us;
    pool.mode = GB_MODE_ON;
    pool.min_awake = 1;
    pool.wakes_at_once = 8;
    pool.rules = (gb_rules_t){.drain_timeout_us = 600 * SEC,
                              .stop_timeout_us = 120 * SEC,
                              .wake_timeout_us = 300 * SEC,
                              .wake_retry_us = 10 * SEC,
                              .awake_dwell_us = 10 * SEC,
                              .asleep_dwell_us = 5 * SEC,
                              .cycles_per_day = 24,
                              .packets = 3};
    pool.threshold = (gb_threshold_t){.wake_permille = 800, .sleep_permille = 500};
    fleet = (gb_fleet_t){.machines = machines,
                         .senses = senses,
                         .rules = rules,
                         .machine_count = count,
                         .doors = doors,
                         .door_count = count,
                         .pools = &pool,
                         .pool_count = 1};
    for (uint32_t i = 0; i < count; i++) {
        gb_state_init(&machines[i], boot_us, now_us);
        machines[i].rungs_wake = machines[i].rungs_sleep = 1;
        machines[i].flags = GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED;
        rules[i] = pool.rules;
        put(i, i < on ? GB_ST_ON : GB_ST_ASLEEP);
        doors[i].machine = i;
        doors[i].capacity = capacity;
        doors[i].rank = i;
        doors[i].counted = true;
    }
}

#endif /* TEST_ONE_POOL_H */
