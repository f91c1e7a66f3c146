/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_kpa.c - the rules of Knative's pod autoscaler, for servers.
 */
#include "gb_kpa.h"

#include <string.h>

#define PANIC_FACTOR 2 /* this many times what serves is wanted */
#define SHRINKS_BY   2 /* in a tick to no less than this part of what serves */
#define TARGET_LEAST 0.01
#define TARGET_USUAL 0.7
#define RATE_MOST    1e15

static bool continues(const gb_kpa_t *memory, int64_t now_us)
{
    uint32_t i;

    if (memory->tick_began_at_us <= 0 || memory->tick_began_at_us > now_us ||
        memory->panic_until_us < 0 ||
        memory->panic_until_us > now_us + GB_KPA_PANIC_US ||
        memory->next >= GB_KPA_TICKS || memory->used > GB_KPA_TICKS ||
        !(memory->arrived >= 0.0 && memory->arrived <= RATE_MOST)) {
        return false;
    }
    for (i = 0; i < GB_KPA_TICKS; i++) {
        if (!(memory->rate[i] >= 0.0 && memory->rate[i] <= RATE_MOST)) {
            return false;
        }
    }
    return true;
}

static void begin(gb_kpa_t *memory, const gb_supply_t *supply, int64_t now_us)
{
    memset(memory, 0, sizeof *memory);
    memory->tick_began_at_us = now_us;
    memory->wanted = supply->on + supply->coming;
}

/* Closes the ticks that have ended; what came is spread evenly over them. */
static bool close_ticks(gb_kpa_t *memory, int64_t now_us)
{
    int64_t past_us = now_us - memory->tick_began_at_us;
    int64_t ticks = past_us / GB_KPA_TICK_US;
    double rate;
    int64_t i;

    if (ticks == 0) {
        return false;
    }
    rate = memory->arrived * (double)GB_US_PER_S / (double)past_us;
    for (i = 0; i < ticks && i < GB_KPA_TICKS; i++) {
        memory->rate[memory->next] = rate;
        memory->next = (memory->next + 1) % GB_KPA_TICKS;
        memory->used += memory->used < GB_KPA_TICKS;
    }
    memory->tick_began_at_us += ticks * GB_KPA_TICK_US;
    memory->arrived =
        rate * (double)(now_us - memory->tick_began_at_us) / (double)GB_US_PER_S;
    return true;
}

/* The mean of the latest ticks. */
static double mean_rate(const gb_kpa_t *memory, uint32_t ticks)
{
    double sum = 0.0;
    uint32_t i;

    ticks = ticks < memory->used ? ticks : memory->used;
    for (i = 0; i < ticks; i++) {
        sum += memory->rate[(memory->next + 2 * GB_KPA_TICKS - 1 - i) % GB_KPA_TICKS];
    }
    return ticks ? sum / ticks : 0.0;
}

static uint32_t more(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void decide(gb_kpa_t *memory, double target, const gb_supply_t *supply,
                   int64_t now_us)
{
    uint32_t ready = more(supply->on, 1);
    uint32_t least = ready / SHRINKS_BY;
    uint32_t stable = more(
        gb_supply_for_rate(supply, mean_rate(memory, GB_KPA_TICKS), target), least);
    uint32_t at_once = more(
        gb_supply_for_rate(supply, mean_rate(memory, GB_KPA_SHORT), target), least);

    if (at_once >= PANIC_FACTOR * ready) {
        memory->panic_until_us = now_us + GB_KPA_PANIC_US;
    }
    if (now_us < memory->panic_until_us) {
        memory->panic_most = more(memory->panic_most, more(stable, at_once));
        memory->wanted = memory->panic_most;
    }
    else {
        memory->panic_until_us = 0;
        memory->panic_most = 0;
        memory->wanted = stable;
    }
}

gb_choice_t gb_kpa_decide(gb_kpa_t *memory, double target, const gb_supply_t *supply,
                          const gb_demand_t *demand)
{
    gb_choice_t choice;

    if (!continues(memory, demand->now_us)) {
        begin(memory, supply, demand->now_us);
    }
    else {
        memory->arrived += demand->arrived;
    }
    if (close_ticks(memory, demand->now_us)) {
        target = target > 0.0 ? gb_within(target, TARGET_LEAST, 1.0) : TARGET_USUAL;
        decide(memory, target, supply, demand->now_us);
    }
    choice.up = memory->wanted;
    choice.keep = memory->panic_until_us != 0 ? supply->servers : memory->wanted;
    return choice;
}
