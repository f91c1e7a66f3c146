/* SPDX-License-Identifier: Apache-2.0
 *
 * responses.c - a histogram of response times with logarithmic buckets.
 */
#include "responses.h"

#include <math.h>

#define UNIT_NS 1000u /* the least that is told from nothing */

/* The doubling by the highest bit, the step in it by the six bits below. */
static uint32_t bucket_of(int64_t took_ns)
{
    uint64_t units = took_ns > 0 ? (uint64_t)took_ns * GS_RESPONSES_STEPS / UNIT_NS : 0;
    uint32_t doubling, bucket;

    if (units < GS_RESPONSES_STEPS) {
        return 0;
    }
    doubling = 63u - (uint32_t)__builtin_clzll(units) - 6u;
    bucket = doubling * GS_RESPONSES_STEPS +
             (uint32_t)((units >> doubling) - GS_RESPONSES_STEPS);
    return bucket < GS_RESPONSES_BUCKETS ? bucket : GS_RESPONSES_BUCKETS - 1;
}

void gs_responses_add(gs_responses_t *responses, int64_t took_ns)
{
    responses->count[bucket_of(took_ns)]++;
    responses->total++;
    responses->sum_s += (double)took_ns / 1e9;
}

double gs_responses_quantile_s(const gs_responses_t *responses, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)responses->total);
    uint64_t seen = 0;

    if (responses->total == 0) {
        return -1;
    }
    for (uint32_t i = 0; i < GS_RESPONSES_BUCKETS; i++) {
        seen += responses->count[i];
        if (seen >= rank && seen > 0) {
            double step = (double)(i % GS_RESPONSES_STEPS) + 0.5;

            return ldexp(1.0 + step / GS_RESPONSES_STEPS,
                         (int)(i / GS_RESPONSES_STEPS)) *
                   UNIT_NS / 1e9;
        }
    }
    return -1;
}
