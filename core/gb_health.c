/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_health.c - from single answers to a verdict.
 */
#include "gb_health.h"

void gb_health_reset(gb_health_t *health)
{
    health->verdict = GB_VERDICT_NONE;
    health->in_row = 0;
    health->last_good = 0;
    health->probes = 0;
}

bool gb_health_note(gb_health_t *health, bool good, uint32_t rise, uint32_t fall)
{
    uint32_t verdict = good ? GB_VERDICT_GOOD : GB_VERDICT_BAD;
    uint32_t needed = good ? rise : fall;

    if (health->probes == 0 || (health->last_good != 0) != good) {
        health->in_row = 0;
    }
    health->last_good = good;
    if (health->in_row < UINT32_MAX) {
        health->in_row++;
    }
    if (health->probes < UINT32_MAX) {
        health->probes++;
    }
    if (health->verdict == verdict || health->in_row < needed) {
        return false;
    }
    health->verdict = verdict;
    return true;
}
