/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_meter.c - log-linear histograms and counters of requests.
 *
 * A bucket covers 1/8 of the power of two it begins in: bucket 8 * e + s holds the
 * latencies from (8 + s) * 2^e * 8 us up to the next bucket.  What is quicker than 64
 * us is counted in the first bucket, what is slower than 71 minutes in the last.
 */
#include "gb_meter.h"

#define FIRST_US 64
#define STEPS    8u /* for each doubling */

uint32_t gb_meter_bucket(int64_t latency_us)
{
    uint32_t doubling;
    uint32_t bucket;
    uint64_t us;

    if (latency_us < FIRST_US) {
        return 0;
    }
    us = (uint64_t)latency_us;
    doubling = 63u - (uint32_t)__builtin_clzll(us); /* at least 6 */
    bucket = (doubling - 6) * STEPS + (uint32_t)((us >> (doubling - 3)) & (STEPS - 1));
    return bucket < GB_LATENCY_BUCKETS ? bucket : GB_LATENCY_BUCKETS - 1;
}

int64_t gb_meter_bucket_top_us(uint32_t bucket)
{
    if (bucket >= GB_LATENCY_BUCKETS) {
        bucket = GB_LATENCY_BUCKETS - 1;
    }
    return (int64_t)(bucket % STEPS + STEPS + 1) * (FIRST_US / STEPS)
           << (bucket / STEPS);
}

void gb_meter_count(gb_cell_t *cell, gb_outcome_e outcome, int64_t latency_us)
{
    if ((unsigned)outcome >= GB_OUT_COUNT) {
        return;
    }
    __atomic_fetch_add(&cell->outcomes[outcome], 1, __ATOMIC_RELAXED);
    if (outcome > GB_OUT_SERVER) {
        return; /* not an answer of the backend */
    }
    if (latency_us < 0) {
        latency_us = 0;
    }
    __atomic_fetch_add(&cell->latency_sum_us, (uint64_t)latency_us, __ATOMIC_RELAXED);
    __atomic_fetch_add(&cell->latency[gb_meter_bucket(latency_us)], 1,
                       __ATOMIC_RELAXED);
}

int64_t gb_meter_quantile_us(const uint32_t *latency, uint32_t permille)
{
    uint64_t total = 0;
    uint64_t rank;
    uint64_t seen = 0;
    uint32_t i;

    for (i = 0; i < GB_LATENCY_BUCKETS; i++) {
        total += latency[i];
    }
    if (total == 0) {
        return 0;
    }
    if (permille > 1000) {
        permille = 1000;
    }
    rank = (total * permille + 999) / 1000;
    if (rank == 0) {
        rank = 1;
    }
    for (i = 0; seen + latency[i] < rank; i++) {
        seen += latency[i];
    }
    /* The middle of a bucket is at most half its width, 1/16 of it, off. */
    return (gb_meter_bucket_top_us(i) +
            (i ? gb_meter_bucket_top_us(i - 1) : FIRST_US)) /
           2;
}
