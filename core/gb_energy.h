/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_energy.h - watts of a server by its curve, and the account of energy.
 */
#ifndef GB_ENERGY_H
#define GB_ENERGY_H

#include "gb_types.h"

/* Watts at 0, 10 ... 100 % load, piecewise linear between. */
typedef struct gb_curve_t {
    double watts[11];
    double off_watts;
    uint32_t assumed; /* 1: the administrator gave no curve */
    uint32_t assumed_off;
} gb_curve_t;

/* IDLE:PEAK as a straight line. */
void gb_curve_linear(gb_curve_t *curve, double idle_watts, double peak_watts);

/* Watts at `load_permille` (clamped to 0..1000). */
double gb_curve_watts(const gb_curve_t *curve, uint32_t load_permille);

/* Joules, integrated by the trapezoid rule over instants that ascend.  A gap of more
 * than `gap_us` is not filled in: the next sample starts anew. */
typedef struct gb_joules_t {
    int64_t at_us; /* of the latest sample; 0: none */
    double watts;
    double joules;
} gb_joules_t;

void gb_joules_add(gb_joules_t *account, double watts, int64_t gap_us, int64_t now_us);

/* Watts per concurrent request at full load: what the order of filling goes by. */
double gb_curve_watts_per_request(const gb_curve_t *curve, uint32_t capacity);

#endif /* GB_ENERGY_H */
