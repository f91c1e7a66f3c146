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
    uint32_t assumed;     /* 1: the administrator gave no curve */
    uint32_t assumed_off; /* 1: nor what it draws when it is off */
} gb_curve_t;

#define GB_ASSUMED_IDLE_WATTS 100.0
#define GB_ASSUMED_PEAK_WATTS 200.0
#define GB_ASSUMED_OFF_WATTS  5.0

/* IDLE:PEAK as a straight line; the other fields stay.  Pure, as all of these. */
void gb_curve_linear(gb_curve_t *curve, double idle_watts, double peak_watts);

/* What a server is taken for of which no watts are known; marked as assumed. */
void gb_curve_assume(gb_curve_t *curve);

/* Watts at `load_permille` (clamped to 0..1000). */
double gb_curve_watts(const gb_curve_t *curve, uint32_t load_permille);

/* Joules, integrated by the trapezoid rule over instants that ascend.  A gap of more
 * than `gap_us` is not filled in: the next sample starts anew. */
typedef struct gb_joules_t {
    int64_t at_us; /* of the latest sample; 0: none */
    double watts;
    double joules;
} gb_joules_t;

/* Adds the latest sample; what is no power (negative, not finite), or not later than
 * the sample before, is left out. */
void gb_joules_add(gb_joules_t *account, double watts, int64_t gap_us, int64_t now_us);

/* Watts per concurrent request at full load: what the order of filling goes by. */
double gb_curve_watts_per_request(const gb_curve_t *curve, uint32_t capacity);

#endif /* GB_ENERGY_H */
