/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_energy.c - power curves and the account of energy.
 */
#include "gb_energy.h"

#define STEPS         10
#define STEP_PERMILLE 100

void gb_curve_linear(gb_curve_t *curve, double idle_watts, double peak_watts)
{
    int i;

    for (i = 0; i <= STEPS; i++) {
        curve->watts[i] = idle_watts + (peak_watts - idle_watts) * i / STEPS;
    }
}

void gb_curve_assume(gb_curve_t *curve)
{
    gb_curve_linear(curve, GB_ASSUMED_IDLE_WATTS, GB_ASSUMED_PEAK_WATTS);
    curve->off_watts = GB_ASSUMED_OFF_WATTS;
    curve->assumed = 1;
    curve->assumed_off = 1;
}

double gb_curve_watts(const gb_curve_t *curve, uint32_t load_permille)
{
    uint32_t step = load_permille / STEP_PERMILLE;
    double part = (double)(load_permille % STEP_PERMILLE) / STEP_PERMILLE;

    if (step >= STEPS) {
        return curve->watts[STEPS];
    }
    return curve->watts[step] + (curve->watts[step + 1] - curve->watts[step]) * part;
}

/* A meter's reading that is no power: NaN, infinite or negative. */
static bool is_power(double watts)
{
    return watts >= 0.0 && watts <= 1e9;
}

void gb_joules_add(gb_joules_t *account, double watts, int64_t gap_us, int64_t now_us)
{
    int64_t past_us = now_us - account->at_us;

    if (!is_power(watts) || (account->at_us != 0 && past_us <= 0)) {
        return;
    }
    if (account->at_us != 0 && past_us <= gap_us) {
        account->joules += (account->watts + watts) / 2 * ((double)past_us / 1e6);
    }
    account->at_us = now_us;
    account->watts = watts;
}

double gb_curve_watts_per_request(const gb_curve_t *curve, uint32_t capacity)
{
    return curve->watts[STEPS] / (capacity ? capacity : 1);
}
