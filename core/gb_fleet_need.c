/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_need.c - how much capacity a balancer needs awake, by its policy, and why,
 * in words with figures.
 *
 * `threshold` goes by the load (gb_policy.h); every other policy is asked for a number
 * of servers (gb_fleet_ask.c).  What waits and what is to be spare comes on top of
 * either.
 */
#include "gb_fleet_private.h"

#include <inttypes.h>
#include <stdio.h>

#define HOLD_LEAST_US GB_US_PER_S
#define NEXT_IN_LINE  8    /* boot times of so many are looked at */
#define WHOLE_MOST    1e15 /* more capacity than that is endless */

/* -------------------------------------------------------------- the need */

/* The boot time to look ahead: the longest p95 of those who would be woken next, with
 * what each has to catch up with after it. */
static int64_t boot_ahead(const gb_fleet_t *fleet, const gb_span_t *span)
{
    int64_t ahead_us = 0;
    uint32_t seen = 0;
    uint32_t last = GB_NO_INDEX;
    uint32_t i;

    for (i = span->from; i < span->to && seen < NEXT_IN_LINE; i++) {
        const gb_door_t *door = gb_fleet_door_at(fleet, i);
        const gb_machine_t *machine = &fleet->machines[door->machine];

        if (!door->leads || !(machine->flags & GB_MF_CAN_WAKE)) {
            continue;
        }
        last = door->machine;
        if (!gb_state_takes_sticky(machine)) {
            int64_t took_us = gb_fleet_ready_us(fleet, door->machine, 950);

            ahead_us = took_us > ahead_us ? took_us : ahead_us;
            seen++;
        }
    }
    if (seen == 0 && last != GB_NO_INDEX) {
        return gb_boot_quantile(&fleet->machines[last].boot, 950);
    }
    return seen ? ahead_us : fleet->pools[span->pool].ahead_us;
}

int64_t gb_fleet_need_hold_us(const gb_pool_t *pool)
{
    return pool->rules.awake_dwell_us > HOLD_LEAST_US ? pool->rules.awake_dwell_us
                                                      : HOLD_LEAST_US;
}

static uint64_t whole(double capacity)
{
    uint64_t floor;

    if (!(capacity < WHOLE_MOST)) {
        return GB_POLICY_NEVER;
    }
    floor = capacity > 0 ? (uint64_t)capacity : 0;
    return floor + ((double)floor < capacity);
}

/* What a policy's answer and those who wait need.  The policy has been told of them:
 * they are no more than a floor, which holds also in the half second before it is
 * asked. */
static void need_asked(gb_pool_t *pool, uint64_t waiting)
{
    uint64_t up = whole(pool->asked.up_capacity);
    uint64_t keep = whole(pool->asked.keep_capacity);

    pool->need.up_capacity = up > waiting ? up : waiting;
    pool->need.stay_capacity = keep > waiting ? keep : waiting;
    pool->need.down_capacity = pool->need.stay_capacity;
}

void gb_fleet_need_update(gb_tick_t *t, const gb_span_t *span)
{
    gb_pool_t *pool = &t->fleet->pools[span->pool];
    uint64_t in_flight = pool->tally.in_flight;
    uint64_t spare = pool->tally.spare_capacity;
    uint32_t waiting;

    pool->ahead_us = boot_ahead(t->fleet, span);
    waiting = gb_policy_waiting(pool->waiting, pool->service_us, pool->ahead_us);
    /* Its past is kept in any case: pages show the load, and the policy may change. */
    pool->need =
        gb_policy_threshold(&pool->memory, &pool->threshold,
                            in_flight > UINT32_MAX ? UINT32_MAX : (uint32_t)in_flight,
                            pool->ahead_us, gb_fleet_need_hold_us(pool), t->now_us);
    if (gb_fleet_pool_asks(pool)) {
        gb_fleet_ask(t, span);
        need_asked(pool, waiting);
    }
    else {
        gb_policy_add(&pool->need, &pool->threshold, waiting);
    }
    pool->need.up_capacity = gb_policy_sum(pool->need.up_capacity, spare);
    pool->need.down_capacity = gb_policy_sum(pool->need.down_capacity, spare);
    pool->need.stay_capacity = gb_policy_sum(pool->need.stay_capacity, spare);
}

/* -------------------------------------------------------------- words for people */

#define WORDS_BYTES    64
#define SENTENCE_BYTES 512

/* What stands in a reason between the load and the servers. */
static void say_extras(const gb_pool_t *pool, char spare[WORDS_BYTES],
                       char waiting[WORDS_BYTES])
{
    spare[0] = waiting[0] = '\0';
    if (pool->spare != 0) {
        snprintf(spare, WORDS_BYTES, " with %u spare", pool->spare);
    }
    if (pool->waiting != 0) {
        snprintf(waiting, WORDS_BYTES, " and %u waiting", pool->waiting);
    }
}

/* What the policy went by. */
static void say_asked(const gb_pool_t *pool, char words[WORDS_BYTES])
{
    const gb_asked_t *asked = &pool->asked;

    if (pool->given) {
        snprintf(words, WORDS_BYTES, "decided elsewhere:");
        return;
    }
    switch ((gb_policy_e)asked->policy) {
    case GB_POLICY_AUTOSCALE:
        snprintf(words, WORDS_BYTES, "autoscale: %.0f in the system", asked->in_system);
        return;
    case GB_POLICY_LCP:
        snprintf(words, WORDS_BYTES, "lcp: %.1f/s at %.1f a server", asked->rate,
                 asked->rate_per_server);
        return;
    case GB_POLICY_KPA:
        snprintf(words, WORDS_BYTES, "kpa: %.1f/s at %.0f %% of %.1f a server",
                 asked->rate, 100 * pool->policy.target, asked->rate_per_server);
        return;
    case GB_POLICY_NEWS:
        snprintf(words, WORDS_BYTES, "news: %.1f/s at %.1f a server, %.2g %% late",
                 asked->rate, asked->rate_per_server, 100 * pool->policy.budget);
        return;
    case GB_POLICY_THRESHOLD:
    case GB_POLICY_COUNT:
        break;
    }
    words[0] = '\0';
}

/* How many the policy wants. */
static void say_choice(const gb_asked_t *asked, char words[WORDS_BYTES])
{
    uint32_t least = asked->idle && asked->choice.up <= 1 ? 0 : asked->choice.up;
    uint32_t most = asked->idle && asked->choice.keep <= 1 ? 0 : asked->choice.keep;

    if (least == most) {
        snprintf(words, WORDS_BYTES, "%u of %u servers", least, asked->servers);
    }
    else {
        snprintf(words, WORDS_BYTES, "%u to %u of %u servers", least, most,
                 asked->servers);
    }
}

void gb_fleet_need_explain(gb_pool_t *pool, const char *tail, const char *name)
{
    const gb_need_t *need = &pool->need;
    uint32_t wake = pool->threshold.wake_permille;
    char spare[WORDS_BYTES], waiting[WORDS_BYTES];
    char asked[WORDS_BYTES], choice[WORDS_BYTES], sentence[SENTENCE_BYTES];

    say_extras(pool, spare, waiting);
    if (gb_fleet_pool_asks(pool)) {
        say_asked(pool, asked);
        say_choice(&pool->asked, choice);
        snprintf(sentence, sizeof sentence, "%s%s needs %s%s; %u awake%s%s", asked,
                 waiting, choice, spare, pool->tally.awake, tail, name);
    }
    else {
        snprintf(sentence, sizeof sentence,
                 "load %" PRIu64 " (ahead %" PRIu64 ")%s needs %" PRIu64
                 " of capacity at %u %%%s; %" PRIu64 " awake%s%s",
                 (need->load_milli + 500) / 1000, (need->ahead_milli + 500) / 1000,
                 waiting, need->up_capacity, (wake + 5) / 10, spare,
                 pool->tally.capacity_awake, tail, name);
    }
    gb_fleet_say(pool->reason, sentence);
}

void gb_fleet_need_explain_sleep(gb_pool_t *pool, const char *name)
{
    if (gb_fleet_pool_asks(pool)) {
        gb_fleet_need_explain(pool, ": letting sleep ", name);
        return;
    }
    snprintf(pool->reason, sizeof pool->reason,
             "load at most %" PRIu64 " in the past %" PRId64 " s needs %" PRIu64
             " of capacity at %u %%; %" PRIu64 " awake: letting %s sleep",
             (pool->need.held_milli + 500) / 1000,
             gb_fleet_need_hold_us(pool) / GB_US_PER_S, pool->need.down_capacity,
             (pool->threshold.sleep_permille + 5) / 10, pool->tally.capacity_awake,
             name);
}
