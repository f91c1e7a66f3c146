/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_state_ask.c - what a machine's state allows at this moment: requests, sleep, a
 * wake.  Nothing here changes anything.
 */
#include "gb_state.h"

#define DAY_US (24 * 3600 * GB_US_PER_S)

static bool has(const gb_machine_t *m, uint32_t flags)
{
    return (m->flags & flags) == flags;
}

static uint32_t cycles_most(const gb_rules_t *rules)
{
    return rules->cycles_per_day < GB_CYCLES_KEPT ? rules->cycles_per_day
                                                  : GB_CYCLES_KEPT;
}

bool gb_state_takes_new(const gb_machine_t *machine)
{
    return machine->state == GB_ST_ON || machine->state == GB_ST_UNKNOWN;
}

bool gb_state_takes_sticky(const gb_machine_t *machine)
{
    return gb_state_takes_new(machine) || machine->state == GB_ST_DRAINING;
}

/* How long it has to be awake before the policy may put it to sleep.  One that cannot
 * be switched off is not taken out of rotation again and again. */
static int64_t dwell_us(const gb_machine_t *machine, const gb_rules_t *rules)
{
    int64_t vain_us;

    if (machine->vain_in_row == 0) {
        return rules->awake_dwell_us;
    }
    vain_us = gb_doubled_us(GB_VAIN_BACKOFF_FIRST_US, machine->vain_in_row - 1,
                            GB_FAILED_BACKOFF_MOST_US);
    return vain_us > rules->awake_dwell_us ? vain_us : rules->awake_dwell_us;
}

bool gb_state_may_sleep(const gb_machine_t *machine, const gb_rules_t *rules,
                        int64_t now_us)
{
    return machine->state == GB_ST_ON &&
           has(machine, GB_MF_CAN_SLEEP | GB_MF_CAN_WAKE | GB_MF_MANAGED) &&
           !has(machine, GB_MF_ADMIN_HELD) && machine->wish != GB_WISH_KEEP_ON &&
           now_us >= gb_after_us(machine->entered_at_us, dwell_us(machine, rules)) &&
           gb_state_cycles_today(machine, now_us) < cycles_most(rules);
}

bool gb_state_may_wake(const gb_machine_t *machine, const gb_rules_t *rules,
                       int64_t now_us)
{
    if (!has(machine, GB_MF_CAN_WAKE) || has(machine, GB_MF_ADMIN_HELD) ||
        machine->wish == GB_WISH_KEEP_OFF) {
        return false;
    }
    if (machine->state == GB_ST_FAILED) {
        return now_us >= machine->retry_at_us;
    }
    return machine->state == GB_ST_ASLEEP &&
           now_us >= gb_after_us(machine->entered_at_us, rules->asleep_dwell_us);
}

uint32_t gb_state_cycles_today(const gb_machine_t *machine, int64_t now_us)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < GB_CYCLES_KEPT; i++) {
        if (machine->cycle_at_us[i] != 0 && machine->cycle_at_us[i] > now_us - DAY_US) {
            count++;
        }
    }
    return count;
}
