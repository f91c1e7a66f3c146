/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_mind.h - what the policies of a balancer remember while one follows another.
 *
 * What NEWS has learned took days.  It is kept when another policy takes over, and it
 * is there again when NEWS comes back.  All of it lies in shared memory, and whoever
 * writes there may be killed at any instruction: each step leaves a whole copy, and the
 * flag that says which one holds is written last.
 */
#ifndef GB_MIND_H
#define GB_MIND_H

#include "gb_decide.h"

typedef struct gb_mind_t {
    gb_decider_t decider; /* of the policy in force */
    gb_news_t news; /* has_news: what NEWS had learned before another policy came */
    uint32_t has_news;
} gb_mind_t;

/* Prepares the decider for a policy, which is to begin anew unless it is the one that
 * the decider served.  What NEWS learned is set aside, or taken up again; when it was
 * never in force, from `twin`, a decider that it had on the side (NULL: none).  The
 * keeper alone, without a lock; killed within it, the next call loses nothing. */
void gb_mind_turn(gb_mind_t *mind, gb_policy_e policy, const gb_decider_t *twin);

/* What NEWS has learned, in force, set aside, or as the twin; NULL: nothing.  Only
 * reads; any process. */
const gb_news_t *gb_mind_learned(const gb_mind_t *mind, const gb_decider_t *twin);

#endif /* GB_MIND_H */
