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

double gb_curve_watts_at(const gb_curve_t *curve, double load)
{
    double permille = load > 0.0 ? (load < 1.0 ? load : 1.0) * 1000.0 : 0.0;
    uint32_t whole = (uint32_t)permille;
    double low = gb_curve_watts(curve, whole);

    return low + (gb_curve_watts(curve, whole + 1) - low) * (permille - whole);
}

/* What is NaN, infinite or negative is no power. */
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

bool gb_watts_plausible(double watts, bool is_up)
{
    return watts >= 0.0 && watts <= GB_READING_MOST_WATTS && !(is_up && watts == 0.0);
}

gb_phase_e gb_phase_of(uint32_t state)
{
    return state == GB_ST_ASLEEP   ? GB_PHASE_OFF
           : state == GB_ST_WAKING ? GB_PHASE_BOOTING
                                   : GB_PHASE_UP;
}

bool gb_reading_counts(const gb_reading_t *reading, int64_t since_us, int64_t now_us)
{
    return reading->at_us != 0 && reading->at_us >= since_us &&
           now_us - reading->at_us <= GB_WATTS_FRESH_US &&
           gb_watts_plausible(reading->watts, false);
}

static bool serves(uint32_t state)
{
    return state == GB_ST_UNKNOWN || state == GB_ST_ON || state == GB_ST_DRAINING;
}

gb_draw_t gb_energy_draw(const gb_curve_t *curve, const gb_reading_t *reading,
                         int64_t since_us, uint32_t state, uint32_t load_permille,
                         int64_t now_us)
{
    double on_watts = gb_curve_watts(curve, load_permille);
    bool is_off = state == GB_ST_ASLEEP;
    gb_draw_t draw = {is_off ? curve->off_watts : on_watts, on_watts, GB_WATTS_CURVE};

    if (is_off ? curve->assumed_off : curve->assumed) {
        draw.source = GB_WATTS_ASSUMED;
    }
    if (gb_reading_counts(reading, since_us, now_us)) {
        draw.watts = reading->watts;
        draw.source = GB_WATTS_MEASURED;
        if (serves(state)) {
            draw.watts_always_on = reading->watts;
        }
    }
    return draw;
}
