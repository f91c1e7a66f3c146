/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_outlier.c - a window of errors, and ejections that double.
 *
 * Worked example, errors=5 within=10s eject=30s:
 *
 *   0 s     5 errors within 10 s       out until 30 s
 *   40 s    5 errors within 10 s       out for 60 s, until 100 s
 *   102 s   5 errors within 10 s       out for 120 s, until 222 s
 *   522 s   300 s without an ejection  the row has ended: the next one is for 30 s
 */
#include "gb_outlier.h"

#include <string.h>

static void window_forget(gb_outlier_t *outlier)
{
    memset(outlier->errors, 0, sizeof(outlier->errors));
}

/* Moves the window on to the sixteenth that `now_us` lies in. */
static void window_move(gb_outlier_t *outlier, int64_t width_us, int64_t now_us)
{
    int64_t slot = now_us / width_us;
    int64_t steps = slot - outlier->slot;

    if (steps < 0 || steps >= GB_OUTLIER_SLOTS) {
        window_forget(outlier);
    }
    else {
        for (int64_t i = 1; i <= steps; i++) {
            outlier->errors[(outlier->slot + i) % GB_OUTLIER_SLOTS] = 0;
        }
    }
    outlier->slot = slot;
}

uint32_t gb_outlier_look(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                         uint64_t counter, bool serves, int64_t now_us)
{
    int64_t width_us = rules->within_us / GB_OUTLIER_SLOTS;
    uint64_t gain = outlier->looked && counter > outlier->seen && serves
                        ? counter - outlier->seen
                        : 0;
    uint64_t sum = 0;

    window_move(outlier, width_us > 0 ? width_us : 1, now_us);
    outlier->seen = counter;
    outlier->looked = true;
    if (gain) {
        uint32_t *errors = &outlier->errors[outlier->slot % GB_OUTLIER_SLOTS];

        *errors = gain > UINT32_MAX - *errors ? UINT32_MAX : *errors + (uint32_t)gain;
    }
    for (uint32_t i = 0; i < GB_OUTLIER_SLOTS; i++) {
        sum += outlier->errors[i];
    }
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

bool gb_outlier_allowed(uint32_t serving, uint32_t ejected)
{
    return ejected < serving / 2;
}

int64_t gb_outlier_eject(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                         int64_t now_us)
{
    int64_t lasts_us =
        gb_doubled_us(rules->eject_us, outlier->ejections, GB_OUTLIER_LONGEST_US);

    outlier->ejected = true;
    outlier->ejections += outlier->ejections < UINT32_MAX;
    outlier->until_us = gb_after_us(now_us, lasts_us);
    window_forget(outlier);
    return lasts_us;
}

bool gb_outlier_pass(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                     int64_t now_us)
{
    if (outlier->ejected) {
        if (now_us < outlier->until_us) {
            return false;
        }
        outlier->ejected = false;
        return true;
    }
    /* GB_OUTLIER_CALM times eject_us, without a product that could overflow. */
    if (outlier->ejections && now_us > outlier->until_us &&
        (now_us - outlier->until_us) / GB_OUTLIER_CALM >= rules->eject_us) {
        outlier->ejections = 0;
    }
    return false;
}

void gb_outlier_pardon(gb_outlier_t *outlier, int64_t now_us)
{
    if (outlier->ejected) {
        outlier->ejected = false;
        outlier->until_us = now_us;
    }
    window_forget(outlier);
}
