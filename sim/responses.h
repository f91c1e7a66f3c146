/* SPDX-License-Identifier: Apache-2.0
 *
 * responses.h - response times of a discrete run, counted in buckets 1.1 % apart.
 *
 * 64 steps for each doubling, from 1 us on (below it all are 0), so a quantile is off
 * by at most 0.8 % of itself.
 */
#ifndef GS_RESPONSES_H
#define GS_RESPONSES_H

#include "greensim.h"

#define GS_RESPONSES_STEPS     64u
#define GS_RESPONSES_DOUBLINGS 44u /* up to 200 days */
#define GS_RESPONSES_BUCKETS   (GS_RESPONSES_STEPS * GS_RESPONSES_DOUBLINGS)

typedef struct gs_responses_t {
    uint64_t count[GS_RESPONSES_BUCKETS];
    uint64_t total;
    double sum_s;
} gs_responses_t;

void gs_responses_add(gs_responses_t *responses, int64_t took_ns);

/* Nearest rank, the middle of its bucket; -1 when nothing was counted. */
double gs_responses_quantile_s(const gs_responses_t *responses, double share);

#endif /* GS_RESPONSES_H */
