/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_forecast.c - learns what the load will be one set-up time ahead, and how far
 * off the forecast may be.
 *
 * All in logarithms of the rate: what grows by half grows by half at any level.  The
 * forecast is the shortest mean plus a weighted sum of features (differences of means,
 * the day's profile, a ramp that goes on), the weights are found by recursive least
 * squares that forget in two days.  The size of its error is a product of powers of
 * signs (recent errors, errors at this level of the load, in this hour, noise), whose
 * weights follow the gradient of the likelihood.  Errors in units of this size fill a
 * histogram that forgets in a week.
 */
#include "gb_news_private.h"

#include <math.h>

#define STEP_S      10.0 /* the tick for which the rates of learning were chosen */
#define MINUTE_S    60.0
#define HOUR_S      3600.0
#define DAY_S       86400.0
#define BIN_S       (DAY_S / GB_NEWS_DAY)
#define CONSTANT    0.1   /* the feature that never changes */
#define RAMP        9     /* the feature that begins with a weight, of 1, */
#define RAMP_MOST_S 600.0 /* carried on no longer: minutes say little of hours */
#define RAMP_SPREAD                                                                    \
    0.1                  /* and is slower to give it up than one without is to get it  \
                          */
#define PROFILE_MOST 0.5 /* the profile is believed so far */
#define PROFILE_NEW  0.4 /* weight of today in it */
#define FALL_MOST    1.5 /* the forecast leaves the mean by no more, downwards, */
#define RISE_MOST    2.5 /* and upwards */
#define LOG_SIZE_LOW (-5.0)
#define LOG_SIZE_TOP 0.5
#define SQUARE_FAINT 1e-5 /* added to mean squares under a logarithm */
#define SURPRISE     5.0  /* sizes of error that the weights learn from at most */
#define SPREAD_MOST  10.0 /* a weight that learns nothing new stays so open */
#define BOUND        1e3  /* of what is learned without bounds of its own */

static const double mean_s[GB_NEWS_MEANS] = {20, 60, 180, 540, 1620, 4860};

/* The weight of a value that stands for passed_s in a mean over so long. */
static double part(double passed_s, double over_s)
{
    return passed_s < over_s ? passed_s / over_s : 1.0;
}

static double half_log(double square)
{
    return 0.5 * log(square + SQUARE_FAINT);
}

void gb_news_forget(gb_news_learned_t *learned)
{
    static const double scale[GB_NEWS_SCALES] = {0, 0.3, 0.3, 0.2, 0.2};
    const gb_news_learned_t none = {.layout = GB_NEWS_LAYOUT, .shift = 1};

    *learned = none;
    for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
        learned->spread[i][i] = 1;
    }
    learned->weight[RAMP] = 1; /* what rises goes on to, until the contrary is seen */
    learned->spread[RAMP][RAMP] = RAMP_SPREAD;
    for (uint32_t i = 0; i < GB_NEWS_SCALES; i++) {
        learned->scale[i] = scale[i];
    }
    /* Student's t with four degrees of freedom, worth an hour of errors. */
    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++) {
        double z = GB_NEWS_ERROR_LOW + GB_NEWS_ERROR_STEP * (i + 0.5);

        learned->error[i] = 360 * pow(1 + z * z / 3, -2.5);
    }
    learned->fast_error = learned->slow_error = 0.01;
    learned->fast_noise = learned->slow_noise = 0.003;
    for (uint32_t i = 0; i < GB_NEWS_LEVELS; i++) {
        learned->level_error[i] = 0.01;
    }
    for (uint32_t i = 0; i < GB_NEWS_HOURS; i++) {
        learned->hour_error[i] = 0.01;
    }
}

static double reshifted(double load, double from, double to)
{
    double rate = exp(load) - from;

    return log((rate > 0 ? rate : 0) + to);
}

void gb_news_reshift(gb_news_learned_t *learned, double shift)
{
    for (uint32_t i = 0; i < GB_NEWS_MEANS; i++) {
        learned->mean[i] = reshifted(learned->mean[i], learned->shift, shift);
    }
    for (uint32_t i = 0; i < GB_NEWS_DAY; i++) {
        if (learned->seen[i]) {
            learned->profile[i] = reshifted(learned->profile[i], learned->shift, shift);
        }
    }
    for (uint32_t i = 0; i < learned->pairs; i++) {
        gb_news_pair_t *pair = &learned->pair[i];

        pair->now = (float)reshifted((double)pair->now, learned->shift, shift);
        pair->then = (float)reshifted((double)pair->then, learned->shift, shift);
    }
    learned->shift = shift;
}

static void move_means(gb_news_t *memory, double load, double passed_s,
                       double begun_rate)
{
    gb_news_learned_t *learned = &memory->learned;

    for (uint32_t i = 0; i < GB_NEWS_MEANS; i++) {
        double *mean = &learned->mean[i];

        if (begun_rate < 0) {
            *mean += (1 - exp(-passed_s / mean_s[i])) * (load - *mean);
            continue;
        }
        *mean = log(begun_rate + learned->shift);
        if (memory->before_s >= 0) { /* the long ones still know of the time before */
            *mean += exp(-memory->before_s / mean_s[i]) * (memory->before[i] - *mean);
        }
    }
}

static uint32_t bin_of_day(double day_s)
{
    uint32_t bin = (uint32_t)(day_s / BIN_S);

    return bin < GB_NEWS_DAY ? bin : GB_NEWS_DAY - 1;
}

/* Adds the tick to the bin of the profile that is open; closes it when it is over. */
static void move_profile(gb_news_t *memory, double load, uint32_t day_s)
{
    gb_news_learned_t *learned = &memory->learned;
    uint32_t before = bin_of_day(learned->day_s);

    if (before != bin_of_day(day_s) && memory->profile_count > 0) {
        double today = memory->profile_sum / memory->profile_count;
        double weight = learned->seen[before] ? PROFILE_NEW : 1.0;

        learned->profile[before] += weight * (today - learned->profile[before]);
        learned->seen[before] = 1;
        memory->profile_sum = memory->profile_count = 0;
    }
    memory->profile_sum += load;
    memory->profile_count += 1;
    learned->day_s = day_s;
}

/* The profile between the centres of its bins; false where it is not known. */
static bool profile_at(const gb_news_learned_t *learned, double day_s, double *load)
{
    uint32_t bin = bin_of_day(day_s);
    double beyond = day_s / BIN_S - bin - 0.5; /* the centre */
    uint32_t other = (bin + (beyond >= 0 ? 1 : GB_NEWS_DAY - 1)) % GB_NEWS_DAY;

    if (!learned->seen[bin] || !learned->seen[other]) {
        return false;
    }
    *load = learned->profile[bin] +
            fabs(beyond) * (learned->profile[other] - learned->profile[bin]);
    return true;
}

/* How much the load will have risen after a set-up when it goes on as it does now.  Of
 * two means, the shorter is ahead by the slope times the difference of their lengths;
 * what noise alone makes is taken off (a standard deviation of one tick, half of which
 * the mean of 20 s has; twice that where the slope is of a minute only), so it is
 * nothing in most ticks.  Weights cannot learn that: a small difference is noise and
 * will be gone, a large one is a ramp and will not. */
static double ramp(const gb_news_learned_t *learned, double setup_s)
{
    const double *mean = learned->mean;
    double noise = sqrt(learned->slow_noise);
    double of_minute = (mean[0] - mean[1] - 2 * noise) / (mean_s[1] - mean_s[0]);
    double longer = (mean[0] - mean[2] - noise) / (mean_s[2] - mean_s[0]);
    double slope = of_minute > longer ? of_minute : longer;

    return slope > 0 ? slope * (gb_news_clean(setup_s, RAMP_MOST_S) + mean_s[0]) : 0;
}

static void find_features(const gb_news_learned_t *learned, double load, double setup_s,
                          float *feature)
{
    double value[GB_NEWS_FEATURES] = {CONSTANT, load - learned->mean[0]};
    double now, then;

    for (uint32_t i = 0; i + 1 < GB_NEWS_MEANS; i++) {
        value[2 + i] = learned->mean[i] - learned->mean[i + 1];
    }
    if (profile_at(learned, learned->day_s, &now) &&
        profile_at(learned, fmod(learned->day_s + setup_s, DAY_S), &then)) {
        value[7] = gb_news_clip(then - now, -PROFILE_MOST, PROFILE_MOST);
        value[8] = gb_news_clip(now - learned->mean[1], -PROFILE_MOST, PROFILE_MOST);
    }
    value[RAMP] = ramp(learned, setup_s);
    for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
        feature[i] = (float)gb_news_clip(value[i], -1, 1);
    }
}

static double product(const double *weight, const float *value, uint32_t count)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += weight[i] * (double)value[i];
    }
    return sum;
}

/* One step of recursive least squares with forgetting. */
static void learn_weights(gb_news_learned_t *learned, const float *feature,
                          double error, double passed_s)
{
    double memory = 1 - part(passed_s, 2 * DAY_S);
    double gain[GB_NEWS_FEATURES], divisor = memory;
    bool wide = false;

    for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
        gain[i] = product(learned->spread[i], feature, GB_NEWS_FEATURES);
        divisor += gain[i] * (double)feature[i];
    }
    if (!(divisor > 0.5 * memory)) { /* rounding has made it no variance any more */
        divisor = memory;
        for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
            gain[i] = (double)feature[i];
            divisor += gain[i] * gain[i];
            for (uint32_t j = 0; j < GB_NEWS_FEATURES; j++) {
                learned->spread[i][j] = i == j ? 1 : 0;
            }
        }
    }
    for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
        learned->weight[i] =
            gb_news_clip(learned->weight[i] + gain[i] / divisor * error, -BOUND, BOUND);
        for (uint32_t j = 0; j < GB_NEWS_FEATURES; j++) {
            learned->spread[i][j] =
                (learned->spread[i][j] - gain[i] * gain[j] / divisor) / memory;
        }
        wide = wide || learned->spread[i][i] > SPREAD_MOST;
    }
    for (uint32_t i = 0; wide && i < GB_NEWS_FEATURES * GB_NEWS_FEATURES; i++) {
        learned->spread[i / GB_NEWS_FEATURES][i % GB_NEWS_FEATURES] *= 0.9;
    }
}

/* A mean square that learns quickly at first. */
static void learn_square(double *mean, double *count, double square, double weight)
{
    *count = *count < 1e6 ? *count + 1 : 1e6;
    *mean +=
        (weight > 1 / (*count + 30) ? weight : 1 / (*count + 30)) * (square - *mean);
}

/* How far off the forecast of a tick was: the signs' weights, the histogram, the means
 * of squares. */
static void learn_size(gb_news_learned_t *learned, const gb_news_tick_t *tick,
                       double error, double passed_s)
{
    double z = error / (double)tick->size;
    double surplus = (z * z < 16 ? z * z : 16) - 1;
    double square = error * error;
    double rate = 1e-4 * passed_s / STEP_S;
    double forget = 1 - part(passed_s, 7 * DAY_S);
    double bin = (z - GB_NEWS_ERROR_LOW) / GB_NEWS_ERROR_STEP;

    for (uint32_t i = 0; i < GB_NEWS_SCALES; i++) {
        double step =
            i == 0 ? rate * surplus : 0.3 * rate * surplus * (double)tick->sign[i];

        learned->scale[i] = gb_news_clip(learned->scale[i] + step, -BOUND, BOUND);
    }
    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++) {
        learned->error[i] *= forget;
    }
    learned->error[(uint32_t)gb_news_clip(bin, 0, GB_NEWS_ERRORS - 1)] += 1;
    learned->fast_error +=
        part(passed_s, 0.5 * HOUR_S) * (square - learned->fast_error);
    learned->slow_error += part(passed_s, DAY_S) * (square - learned->slow_error);
    learn_square(&learned->level_error[tick->level], &learned->level_count[tick->level],
                 square, part(passed_s, 2 * DAY_S));
    learn_square(&learned->hour_error[tick->hour], &learned->hour_count[tick->hour],
                 square, part(passed_s, 4 * HOUR_S));
}

static bool tick_is_sane(const gb_news_tick_t *tick)
{
    bool sane = tick->level < GB_NEWS_LEVELS && tick->hour < GB_NEWS_HOURS &&
                fabsf(tick->load) < 100 && fabsf(tick->mean) < 100 &&
                fabsf(tick->forecast) < 100 && tick->size > 1e-3f && tick->size < 10;

    for (uint32_t i = 0; sane && i < GB_NEWS_FEATURES; i++) {
        sane = fabsf(tick->feature[i]) <= 1;
    }
    for (uint32_t i = 0; sane && i < GB_NEWS_SCALES; i++) {
        sane = fabsf(tick->sign[i]) < 100;
    }
    return sane;
}

/* How probable the forecast of a tick had called an error, per unit of the logarithm.
 */
static double density_of(const gb_news_learned_t *learned, const gb_news_tick_t *tick,
                         double error)
{
    double bin = (error / (double)tick->size - GB_NEWS_ERROR_LOW) / GB_NEWS_ERROR_STEP;
    double sum = 0;

    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++) {
        sum += learned->error[i];
    }
    return learned->error[(uint32_t)gb_news_clip(bin, 0, GB_NEWS_ERRORS - 1)] /
           (sum * GB_NEWS_ERROR_STEP * (double)tick->size);
}

static const gb_news_tick_t *tick_before(const gb_news_t *memory, uint32_t ticks)
{
    return &memory->ring[(memory->next + GB_NEWS_RING - ticks) % GB_NEWS_RING];
}

/* Notes a pair whose truth has been known for as long as a forecast has to wait for its
 * own, or for as long as the ring goes back. */
static void note_pair(gb_news_t *memory, uint32_t ahead, double passed_s)
{
    uint32_t wait = ahead < GB_NEWS_RING - 1 - ahead ? ahead : GB_NEWS_RING - 1 - ahead;
    const gb_news_tick_t *now, *then, *before;

    if (wait < 1 || wait >= GB_NEWS_RING || memory->used < ahead + wait + 1) {
        return;
    }
    now = tick_before(memory, ahead + wait);
    then = tick_before(memory, wait);
    before = tick_before(memory, wait + 1);
    if (tick_is_sane(now) && tick_is_sane(then) && tick_is_sane(before)) {
        gb_news_alike_note(&memory->learned, now->mean,
                           0.5f * (then->load + before->load), passed_s);
    }
}

/* The truth of the forecast of `ahead` ticks ago is known: the mean of two ticks. */
static void judge(gb_news_t *memory, double load, double passed_s, uint32_t ahead)
{
    const gb_news_tick_t *last, *then;
    double truth, error;

    if (ahead < 1 || memory->used < ahead) {
        return;
    }
    last = tick_before(memory, 1);
    then = tick_before(memory, ahead);
    if (!tick_is_sane(last) || !tick_is_sane(then)) {
        memory->used = 0;
        return;
    }
    truth = 0.5 * (load + (double)last->load);
    error = truth - (double)then->mean -
            product(memory->learned.weight, then->feature, GB_NEWS_FEATURES);
    gb_news_alike_judge(
        &memory->learned, (double)then->mean, truth,
        density_of(&memory->learned, then, truth - (double)then->forecast), ahead,
        passed_s);
    note_pair(memory, ahead, passed_s);
    learn_size(&memory->learned, then, truth - (double)then->forecast, passed_s);
    learn_weights(&memory->learned, then->feature,
                  gb_news_clip(error, -SURPRISE * (double)then->size,
                               SURPRISE * (double)then->size),
                  passed_s);
}

static void find_signs(const gb_news_learned_t *learned, const gb_news_tick_t *tick,
                       float *sign)
{
    const double *mean = learned->mean;

    sign[0] = 1;
    sign[1] = (float)half_log(learned->fast_error);
    sign[2] = (float)half_log(learned->slow_error);
    sign[3] = (float)half_log(learned->level_error[tick->level]);
    sign[4] = (float)half_log(learned->hour_error[tick->hour]);
    sign[5] = (float)(log(fabs(mean[0] - mean[2]) + 0.02) + 3);
    sign[6] = (float)(half_log(learned->fast_noise) + 2.5);
    sign[7] = (float)(half_log(learned->slow_noise) + 2.5);
}

static void predict(gb_news_t *memory, gb_news_tick_t *tick)
{
    const gb_news_learned_t *learned = &memory->learned;
    double change = product(learned->weight, tick->feature, GB_NEWS_FEATURES);
    double size;

    tick->mean = (float)learned->mean[0];
    memory->forecast = learned->mean[0] + gb_news_clip(change, -FALL_MOST, RISE_MOST);
    tick->forecast = (float)memory->forecast;
    tick->level = (uint8_t)gb_news_clip(4 * (learned->mean[1] - log(learned->shift)), 0,
                                        GB_NEWS_LEVELS - 1);
    tick->hour = (uint8_t)(learned->day_s / 3600);
    find_signs(learned, tick, tick->sign);
    size = product(learned->scale, tick->sign, GB_NEWS_SCALES);
    memory->size = exp(gb_news_clip(size, LOG_SIZE_LOW, LOG_SIZE_TOP));
    tick->size = (float)memory->size;
}

void gb_news_learn(gb_news_t *memory, double rate, double passed_s, double begun_rate,
                   uint32_t ahead, double setup_s, uint32_t day_s)
{
    gb_news_learned_t *learned = &memory->learned;
    double load = log(rate + learned->shift);
    gb_news_tick_t *tick = &memory->ring[memory->next];
    double noise;

    move_means(memory, load, passed_s, begun_rate);
    move_profile(memory, load, day_s);
    judge(memory, load, passed_s, ahead);
    noise = (load - learned->mean[1]) * (load - learned->mean[1]);
    learned->fast_noise +=
        part(passed_s, 10 * MINUTE_S) * (noise - learned->fast_noise);
    learned->slow_noise += part(passed_s, 2 * HOUR_S) * (noise - learned->slow_noise);
    tick->load = (float)load;
    find_features(learned, load, setup_s, tick->feature);
    predict(memory, tick);
    memory->next = (memory->next + 1) % GB_NEWS_RING;
    memory->used += memory->used < GB_NEWS_RING ? 1 : 0;
}
