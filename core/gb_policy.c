/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_policy.c - the past of a balancer's load, and the threshold policy over it.
 *
 * The past is a ring of bins of equal length, each the mean of its samples.  A bin is a
 * quarter of a second times a power of two, so that the ring covers twice the boot time
 * and twice the holding time; when these change, neighbouring bins are merged or bins
 * are split, and nothing is forgotten that the ring has room for.
 */
#include "gb_policy.h"

#include <string.h>

#define DOUBLINGS_MOST     20 /* bins of three days: longer than any boot */
#define SLOPE_BINS         4  /* fewer tell nothing of a slope */
#define SPAN_LEAST_US      (30 * GB_US_PER_S)
#define MARGIN             8 /* sleep= counts as at most 7/8 of wake=: else they would flap */
#define LOOK_MOST_US       (7 * 86400 * GB_US_PER_S) /* of ahead and hold */
#define SERVICE_UNKNOWN_US GB_US_PER_S
#define BOOT_SHARE         4 /* what has waited for a boot is served in this part of it */

void gb_policy_init(gb_policy_t *policy)
{
    memset(policy, 0, sizeof *policy);
}

/* The bin length with which the ring covers both times twice. */
static int64_t fitting_bin(int64_t ahead_us, int64_t hold_us)
{
    int64_t longest_us = ahead_us > hold_us ? ahead_us : hold_us;
    int64_t bin_us = GB_POLICY_BIN_US;
    int doublings;

    if (longest_us < SPAN_LEAST_US / 2) {
        longest_us = SPAN_LEAST_US / 2;
    }
    for (doublings = 0; doublings < DOUBLINGS_MOST; doublings++) {
        if (bin_us * (GB_POLICY_BINS / 2) >= longest_us) {
            break;
        }
        bin_us *= 2;
    }
    return bin_us;
}

/* The mean of the bin that was closed `back` bins ago; 0 is the latest. */
static uint32_t past(const gb_policy_t *policy, uint32_t back)
{
    uint32_t at = policy->bin_next + 2 * GB_POLICY_BINS - 1 - back;

    return policy->mean_milli[at % GB_POLICY_BINS];
}

static void push(gb_policy_t *policy, uint32_t mean_milli)
{
    policy->mean_milli[policy->bin_next] = mean_milli;
    policy->bin_next = (policy->bin_next + 1) % GB_POLICY_BINS;
    if (policy->bin_count < GB_POLICY_BINS) {
        policy->bin_count++;
    }
}

/* Brings the past to another bin length.  The open bin goes on: it becomes a little
 * longer or shorter than its fellows, once. */
static void rebin(gb_policy_t *policy, int64_t bin_us)
{
    uint32_t old[GB_POLICY_BINS];
    uint32_t count = policy->bin_count;
    uint32_t i;

    while (policy->bin_us != bin_us) {
        for (i = 0; i < count; i++) {
            old[i] = past(policy, count - 1 - i); /* oldest first */
        }
        policy->bin_next = policy->bin_count = 0;
        if (policy->bin_us < bin_us) {
            policy->bin_us *= 2;
            for (i = count % 2; i + 1 < count; i += 2) {
                push(policy, (uint32_t)(((uint64_t)old[i] + old[i + 1]) / 2));
            }
        }
        else {
            policy->bin_us /= 2;
            for (i = 0; i < count; i++) {
                push(policy, old[i]);
                push(policy, old[i]);
            }
        }
        count = policy->bin_count;
    }
}

/* Is what is remembered possible, and continued by a sample now? */
static bool continues(const gb_policy_t *policy, int64_t now_us)
{
    int64_t bin_us = policy->bin_us;
    int64_t unit = bin_us / GB_POLICY_BIN_US;

    if (unit < 1 || bin_us % GB_POLICY_BIN_US != 0 || (unit & (unit - 1)) != 0 ||
        unit > (INT64_C(1) << DOUBLINGS_MOST)) {
        return false;
    }
    if (policy->bin_next >= GB_POLICY_BINS || policy->bin_count > GB_POLICY_BINS ||
        policy->now_samples == 0 || policy->now_last > GB_POLICY_LOAD_MOST ||
        policy->load_micro > GB_POLICY_LOAD_MOST * UINT64_C(1000000)) {
        return false;
    }
    if (policy->bin_started_at_us < 0 ||
        policy->bin_started_at_us > policy->sampled_at_us ||
        policy->sampled_at_us - policy->bin_started_at_us >= bin_us ||
        policy->sampled_at_us > now_us) {
        return false; /* a clock that ran back: another boot's past */
    }
    /* Nobody looked for longer than half of the ring: it says nothing any more. */
    return now_us - policy->sampled_at_us <= bin_us * (GB_POLICY_BINS / 2);
}

/* The mean of samples, each at most GB_POLICY_LOAD_MOST. */
static uint32_t to_milli(uint64_t sum, uint32_t samples)
{
    return (uint32_t)(sum / samples * 1000 + sum % samples * 1000 / samples);
}

/* Closes the bins that ended before now.  Of those in which nobody looked the higher of
 * the samples around them is believed: it keeps servers awake. */
static void close_bins(gb_policy_t *policy, uint32_t in_flight, int64_t now_us)
{
    uint32_t unseen = policy->now_last > in_flight ? policy->now_last : in_flight;

    while (now_us - policy->bin_started_at_us >= policy->bin_us) {
        push(policy, policy->now_samples
                         ? to_milli(policy->now_sum, policy->now_samples)
                         : to_milli(unseen, 1));
        policy->now_sum = 0;
        policy->now_samples = 0;
        policy->bin_started_at_us += policy->bin_us;
    }
}

/* The short mean: each sample weighs by the time it stands for. */
static void smooth(gb_policy_t *policy, uint32_t in_flight, int64_t now_us)
{
    int64_t since_us = now_us - policy->sampled_at_us;
    int64_t difference = (int64_t)in_flight * 1000000 - (int64_t)policy->load_micro;
    int64_t weight; /* 1/1,000,000 */

    if (since_us > 60 * GB_US_PER_S) {
        since_us = 60 * GB_US_PER_S;
    }
    weight = since_us * 1000000 / (since_us + GB_POLICY_SHORT_US);
    policy->load_micro =
        (uint64_t)((int64_t)policy->load_micro + difference * weight / 1000000);
}

static void sample(gb_policy_t *policy, uint32_t in_flight, int64_t bin_us,
                   int64_t now_us)
{
    if (!continues(policy, now_us)) {
        gb_policy_init(policy);
        policy->bin_us = bin_us;
        policy->bin_started_at_us = now_us;
        policy->load_micro = (uint64_t)in_flight * 1000000;
    }
    else {
        if (policy->bin_us != bin_us) {
            rebin(policy, bin_us);
        }
        close_bins(policy, in_flight, now_us);
        smooth(policy, in_flight, now_us);
    }
    policy->sampled_at_us = now_us;
    policy->now_last = in_flight;
    policy->now_sum += in_flight;
    policy->now_samples++;
}

/* Square root, rounded down; libm is not linked for one number. */
static uint64_t root(uint64_t of)
{
    uint64_t low = 0;
    uint64_t bit;

    for (bit = UINT64_C(1) << 31; bit != 0; bit >>= 1) {
        if ((low + bit) * (low + bit) <= of) {
            low += bit;
        }
    }
    return low;
}

/* How much the load grows in a bin, 1/1000 requests: the least-squares line through the
 * latest `count` bins, less its standard error, so that noise alone is no growth.  Only
 * upward: a load that falls is not followed before it has fallen. */
static double growth_a_bin(const gb_policy_t *policy, uint32_t count)
{
    double n = (double)count;
    double mean = 0;
    double moment = 0;
    double slope;
    double off = 0; /* mean distance from the line */
    double error;
    uint32_t i;

    for (i = 0; i < count; i++) {
        double x = (n - 1) / 2 - (double)i; /* from the middle, newest first */

        mean += past(policy, i) / n;
        moment += x * past(policy, i);
    }
    slope = 12 * moment / (n * (n * n - 1));
    for (i = 0; i < count; i++) {
        double x = (n - 1) / 2 - (double)i;
        double distance = past(policy, i) - mean - slope * x;

        off += (distance < 0 ? -distance : distance) / n;
    }
    /* Standard deviation = 1.25 * mean deviation; of the slope, * sqrt(12 / n^3). */
    error = 1.25 * off * (double)root(UINT64_C(12000000000000) / count) / 1e6 / n;
    return slope > error ? slope - error : 0;
}

/* The load one boot time from now.  It looks no further ahead than it has looked back,
 * and never beyond twice the load: more than that is not known from a straight line. */
static uint64_t look_ahead(const gb_policy_t *policy, uint64_t load_milli,
                           int64_t ahead_us)
{
    int64_t bins = ahead_us / policy->bin_us + (ahead_us % policy->bin_us != 0);
    uint32_t count;
    int64_t horizon_us;
    double growth;

    count = bins > GB_POLICY_BINS ? GB_POLICY_BINS : (uint32_t)bins;
    if (count < SLOPE_BINS) {
        count = SLOPE_BINS;
    }
    if (count > policy->bin_count) {
        count = policy->bin_count;
    }
    if (count < SLOPE_BINS) {
        return load_milli;
    }
    horizon_us = (int64_t)count * policy->bin_us;
    if (horizon_us > ahead_us) {
        horizon_us = ahead_us;
    }
    growth =
        growth_a_bin(policy, count) * ((double)horizon_us / (double)policy->bin_us);
    if (growth > (double)load_milli) {
        return load_milli * 2;
    }
    return load_milli + (uint64_t)growth;
}

/* The highest load of the past hold_us, at least `least_milli`; GB_POLICY_NEVER while
 * that much has not been seen. */
static uint64_t hold_back(const gb_policy_t *policy, uint64_t least_milli,
                          int64_t hold_us)
{
    int64_t bins = hold_us / policy->bin_us + (hold_us % policy->bin_us != 0);
    uint64_t most = to_milli(policy->now_sum, policy->now_samples);
    uint32_t i;

    if (bins > policy->bin_count) {
        return GB_POLICY_NEVER;
    }
    for (i = 0; i < (uint32_t)bins; i++) {
        if (past(policy, i) > most) {
            most = past(policy, i);
        }
    }
    return most > least_milli ? most : least_milli;
}

static uint64_t capacity_for(uint64_t load_milli, uint64_t permille)
{
    if (load_milli == GB_POLICY_NEVER) {
        return GB_POLICY_NEVER;
    }
    return load_milli / permille + (load_milli % permille != 0);
}

static int64_t bounded(int64_t us)
{
    return us < 0 ? 0 : us > LOOK_MOST_US ? LOOK_MOST_US : us;
}

gb_need_t gb_policy_threshold(gb_policy_t *policy, const gb_threshold_t *threshold,
                              uint32_t in_flight, int64_t ahead_us, int64_t hold_us,
                              int64_t now_us)
{
    uint64_t wake = threshold->wake_permille ? threshold->wake_permille : 1;
    uint64_t low = threshold->sleep_permille ? threshold->sleep_permille : 1;
    gb_need_t need;

    if (low > wake - wake / MARGIN) {
        low = wake - wake / MARGIN;
    }
    if (in_flight > GB_POLICY_LOAD_MOST) {
        in_flight = GB_POLICY_LOAD_MOST;
    }
    ahead_us = bounded(ahead_us);
    hold_us = bounded(hold_us);
    sample(policy, in_flight, fitting_bin(ahead_us, hold_us), now_us);

    need.load_milli = (policy->load_micro + 500) / 1000;
    need.ahead_milli = look_ahead(policy, need.load_milli, ahead_us);
    need.held_milli = hold_back(policy, need.ahead_milli, hold_us);
    need.up_capacity = capacity_for(need.ahead_milli, wake);
    need.down_capacity = capacity_for(need.held_milli, low);
    need.stay_capacity = capacity_for(need.held_milli, (wake + low) / 2);
    return need;
}

uint32_t gb_policy_waiting(uint32_t waiting, int64_t service_us, int64_t boot_us)
{
    uint64_t within_us, load;

    if (waiting == 0) {
        return 0;
    }
    boot_us = bounded(boot_us);
    service_us = service_us > 0 ? bounded(service_us) : SERVICE_UNKNOWN_US;
    within_us = (uint64_t)(boot_us / BOOT_SHARE > GB_US_PER_S ? boot_us / BOOT_SHARE
                                                              : GB_US_PER_S);
    if ((uint64_t)service_us >= within_us) {
        return waiting;
    }
    load = ((uint64_t)waiting * (uint64_t)service_us + within_us - 1) / within_us;
    return load > 0 ? (uint32_t)load : 1;
}

void gb_policy_add(gb_need_t *need, const gb_threshold_t *threshold, uint32_t load)
{
    uint64_t wake = threshold->wake_permille ? threshold->wake_permille : 1;
    uint64_t more = capacity_for((uint64_t)load * 1000, wake);

    need->up_capacity = gb_policy_sum(need->up_capacity, more);
    need->down_capacity = gb_policy_sum(need->down_capacity, more);
    need->stay_capacity = gb_policy_sum(need->stay_capacity, more);
}
