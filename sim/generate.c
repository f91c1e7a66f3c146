/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c - five shapes of load, as shares of their peak.
 *
 * Every shape begins at midnight of a Monday and is the same for the same seed.  The
 * caller scales it.
 */
#include "greensim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S        86400u
#define TWO_PI       6.283185307179586
#define RAMP_S       1200.0 /* flash: up in 20 minutes, and down again */
#define FLASH_FACTOR 3.0
#define BURST_LOW    0.05
#define WALK_STEP    0.05 /* deviation of the logarithm, a minute */
#define WALK_LOW     0.05
#define STREAM_SHAPE 1

static const struct {
    const char *name;
    uint32_t length_s;
} shapes[] = {
    [GS_SHAPE_DAY] = {"day", DAY_S},     [GS_SHAPE_WEEK] = {"week", 7 * DAY_S},
    [GS_SHAPE_FLASH] = {"flash", DAY_S}, [GS_SHAPE_BURSTS] = {"bursts", DAY_S},
    [GS_SHAPE_WALK] = {"walk", DAY_S},
};

const char *gs_shape_name(gs_shape_e shape)
{
    return shapes[shape].name;
}

/* From 10 % at midnight to 100 % at noon and back. */
static double day_at(uint32_t t)
{
    return 0.55 - 0.45 * cos(TWO_PI * (t % DAY_S) / DAY_S);
}

static double week_at(uint32_t t)
{
    return day_at(t) * (t / DAY_S % 7 < 5 ? 1.0 : 0.5);
}

/* Two different hours of each day at which a ramp begins. */
static void flash_day(gs_random_t *random, uint32_t from, float *rate, uint32_t seconds)
{
    uint32_t first = (uint32_t)(gs_random_unit(random) * 24);
    uint32_t second = (first + 1 + (uint32_t)(gs_random_unit(random) * 23)) % 24;

    for (uint32_t t = from; t < seconds && t < from + DAY_S; t++) {
        uint32_t hour = (t - from) / 3600;
        double into = (t - from) % 3600;
        double day = day_at(t), height = 0;

        if ((hour == first || hour == second) && into < 2 * RAMP_S) {
            height = 1 - fabs(into - RAMP_S) / RAMP_S;
        }
        rate[t] = (float)(day + (FLASH_FACTOR - day) * height);
    }
}

static void fill_bursts(gs_random_t *random, float *rate, uint32_t seconds)
{
    uint32_t t = 0;

    for (bool on = false; t < seconds; on = !on) {
        double least = on ? 30 : 60, most = on ? 300 : 900;
        uint32_t span = (uint32_t)(least + gs_random_unit(random) * (most - least + 1));

        for (uint32_t end = t + span; t < end && t < seconds; t++) {
            rate[t] = on ? 1.0f : (float)BURST_LOW;
        }
    }
}

/* Reflected at both ends, so that it does not stick there. */
static double walk_step(gs_random_t *random, double at)
{
    double low = log(WALK_LOW);

    at += WALK_STEP * gs_random_normal(random);
    if (at > 0) {
        at = -at;
    }
    if (at < low) {
        at = 2 * low - at;
    }
    return fmin(fmax(at, low), 0);
}

static void fill_walk(gs_random_t *random, float *rate, uint32_t seconds)
{
    double from = log(WALK_LOW) / 2;
    double to = walk_step(random, from);

    for (uint32_t t = 0; t < seconds; t++) {
        if (t && t % 60 == 0) {
            from = to;
            to = walk_step(random, from);
        }
        rate[t] = (float)exp(from + (to - from) * (t % 60) / 60.0);
    }
}

void gs_generate(gs_trace_t *trace, gs_shape_e shape, uint32_t seconds, uint64_t seed)
{
    gs_random_t random;

    *trace = (gs_trace_t){.seconds = seconds ? seconds : shapes[shape].length_s};
    snprintf(trace->name, sizeof trace->name, "%s", shapes[shape].name);
    trace->rate = gs_alloc(trace->seconds, sizeof *trace->rate);
    gs_random_seed(&random, seed, STREAM_SHAPE);
    switch (shape) {
    case GS_SHAPE_BURSTS:
        fill_bursts(&random, trace->rate, trace->seconds);
        break;
    case GS_SHAPE_WALK:
        fill_walk(&random, trace->rate, trace->seconds);
        break;
    case GS_SHAPE_FLASH:
        for (uint32_t t = 0; t < trace->seconds; t += DAY_S) {
            flash_day(&random, t, trace->rate, trace->seconds);
        }
        break;
    case GS_SHAPE_WEEK:
    case GS_SHAPE_DAY:
    case GS_SHAPE_NONE:
        for (uint32_t t = 0; t < trace->seconds; t++) {
            trace->rate[t] = (float)(shape == GS_SHAPE_WEEK ? week_at(t) : day_at(t));
        }
        break;
    }
}
