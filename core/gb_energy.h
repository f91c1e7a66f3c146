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

/* The same at a load of 0..1 (clamped; no number counts as 0), between permille, too.
 */
double gb_curve_watts_at(const gb_curve_t *curve, double load);

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

/* Where a machine's watts come from; the weaker, the smaller. */
typedef enum gb_watts_e {
    GB_WATTS_ASSUMED = 0, /* a curve that nobody gave */
    GB_WATTS_CURVE,       /* the administrator's curve and the load */
    GB_WATTS_MEASURED
} gb_watts_e;

#define GB_READING_MOST_WATTS 100000.0 /* no one server draws more */
#define GB_WATTS_FRESH_US                                                              \
    (90 * GB_US_PER_S) /* so long a reading stands for the present */

/* May a meter's reading be believed?  Not when it is negative, not finite or above
 * GB_READING_MOST_WATTS; nor, when the machine is known to be up (`is_up`), zero, which
 * is what controllers say whose meter does not work. */
bool gb_watts_plausible(double watts, bool is_up);

/* The latest reading of a machine. */
typedef struct gb_reading_t {
    double watts;
    int64_t at_us; /* when it came; 0: none */
} gb_reading_t;

/* What a machine's power is about: a reading of one phase says nothing about another.
 */
typedef enum gb_phase_e {
    GB_PHASE_UP = 0, /* it serves, or could: also while it shuts down */
    GB_PHASE_OFF,    /* asleep */
    GB_PHASE_BOOTING
} gb_phase_e;

gb_phase_e gb_phase_of(uint32_t state);

/* Does the reading stand for `now_us`?  It is fresh, and not from before `since_us`,
 * when the phase began. */
bool gb_reading_counts(const gb_reading_t *reading, int64_t since_us, int64_t now_us);

typedef struct gb_draw_t {
    double watts;           /* now */
    double watts_always_on; /* what it would draw now, never switched off */
    gb_watts_e source;      /* of `watts` */
} gb_draw_t;

/* What a machine draws in a state, at its load: by a reading that counts, else by its
 * curve.  While it serves, `watts_always_on` is the same; else the curve's value, since
 * nobody can measure what was not done. */
gb_draw_t gb_energy_draw(const gb_curve_t *curve, const gb_reading_t *reading,
                         int64_t since_us, uint32_t state, uint32_t load_permille,
                         int64_t now_us);

/* Watts per concurrent request at full load: what the order of filling goes by. */
double gb_curve_watts_per_request(const gb_curve_t *curve, uint32_t capacity);

#endif /* GB_ENERGY_H */
