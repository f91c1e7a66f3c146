/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_mind.c - one policy follows another, and nothing that was learned is lost.
 */
#include "gb_mind.h"

#include <stddef.h>
#include <string.h>

#define NEWS (1 + (uint32_t)GB_POLICY_NEWS)

/* Says whose memory is in the decider, after all that was written before. */
static void belong(gb_decider_t *decider, uint32_t policy)
{
    __atomic_store_n(&decider->policy, policy, __ATOMIC_SEQ_CST);
}

/* Nobody's, and empty. */
static void clear(gb_decider_t *decider)
{
    belong(decider, 0);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memset(&decider->choice, 0, sizeof(*decider) - offsetof(gb_decider_t, choice));
}

const gb_news_t *gb_mind_learned(const gb_mind_t *mind, const gb_decider_t *twin)
{
    if (mind->decider.policy == NEWS) {
        return &mind->decider.as.news;
    }
    if (mind->has_news) {
        return &mind->news;
    }
    return twin && twin->policy == NEWS ? &twin->as.news : NULL;
}

void gb_mind_turn(gb_mind_t *mind, gb_policy_e policy, const gb_decider_t *twin)
{
    const gb_news_t *learned = gb_mind_learned(mind, twin);

    if (mind->decider.policy == 1 + (uint32_t)policy) {
        return;
    }
    if (mind->decider.policy == NEWS) {
        mind->news = mind->decider.as.news;
        __atomic_store_n(&mind->has_news, 1, __ATOMIC_SEQ_CST);
        clear(&mind->decider);
        return;
    }
    clear(&mind->decider);
    if (policy == GB_POLICY_NEWS && learned) {
        mind->decider.as.news = *learned;
        belong(&mind->decider, NEWS);
    }
}
