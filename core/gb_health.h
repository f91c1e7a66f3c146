/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_health.h - rise and fall: from single answers to a verdict.
 */
#ifndef GB_HEALTH_H
#define GB_HEALTH_H

#include "gb_types.h"

typedef struct gb_health_t {
    uint32_t verdict; /* gb_verdict_e */
    uint32_t in_row;  /* equal answers in a row */
    uint32_t last_good;
    uint32_t probes;
} gb_health_t;

/* Forgets everything: the next verdict needs `rise` or `fall` answers again. */
void gb_health_reset(gb_health_t *health);

/* Notes one answer; returns true when the verdict changed. */
bool gb_health_note(gb_health_t *health, bool good, uint32_t rise, uint32_t fall);

#endif /* GB_HEALTH_H */
