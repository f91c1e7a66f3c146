/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_lcp.c - lazy capacity provisioning by its work function.
 *
 * W_t(x) is what the cheapest schedule costs that has x servers on in slot t:
 *     W_t(x) = f_t(x) + min over y of [W_{t-1}(y) + beta * (x - y)+]
 * with f_t the idle energy of x servers in a slot (the load's own energy is the same
 * wherever it is served, and left out) and beta the energy of a set-up.
 */
#include "gb_lcp.h"

#include <string.h>

#define TOO_FEW_J   1e15 /* stands for the infinite cost of what does not suffice */
#define WORK_MOST_J (2 * TOO_FEW_J)
#define SLOT_MOST_S 60.0 /* nobody asked for longer: it counts as this long */
#define TIE         1e-9 /* less than this share of all set-ups is rounding */

/* The energy of a set-up, joules. */
static double beta_of(const gb_supply_t *supply)
{
    return supply->setup_watts * supply->setup_s;
}

static bool continues(const gb_lcp_t *memory, const gb_supply_t *supply, int64_t now_us)
{
    uint32_t x;

    if (memory->slot_began_at_us <= 0 || memory->slot_began_at_us > now_us ||
        memory->servers != supply->servers || memory->chosen < 1 ||
        memory->chosen > supply->servers ||
        !(memory->arrived >= 0.0 && memory->arrived <= 1e15)) {
        return false;
    }
    for (x = 1; x <= supply->servers; x++) {
        if (!(memory->work[x] >= 0.0 && memory->work[x] <= WORK_MOST_J)) {
            return false;
        }
    }
    return true;
}

/* What is on or comes has been paid for; more is paid for by set-ups. */
static void begin(gb_lcp_t *memory, const gb_supply_t *supply, int64_t now_us)
{
    uint32_t there = supply->on + supply->coming;
    double beta = beta_of(supply);
    uint32_t x;

    memset(memory, 0, sizeof *memory);
    memory->slot_began_at_us = now_us;
    memory->servers = supply->servers;
    memory->chosen = there > 1 ? there : 1;
    for (x = 1; x <= supply->servers; x++) {
        memory->work[x] = x > there ? (double)(x - there) * beta : 0.0;
    }
}

/* One slot further: W of the slot that has ended, at `least` servers or more. */
static void work_on(gb_lcp_t *memory, const gb_supply_t *supply, uint32_t least,
                    double slot_s)
{
    double beta = beta_of(supply);
    double *work = memory->work;
    uint32_t servers = supply->servers;
    double lowest = TOO_FEW_J;
    uint32_t x;

    for (x = 2; x <= servers; x++) { /* reached from below: a set-up each */
        work[x] = work[x - 1] + beta < work[x] ? work[x - 1] + beta : work[x];
    }
    for (x = servers - 1; x >= 1; x--) { /* from above: stopping costs nothing */
        work[x] = work[x + 1] < work[x] ? work[x + 1] : work[x];
    }
    for (x = least; x <= servers; x++) {
        work[x] += supply->upto[x].idle_watts * slot_s;
        lowest = work[x] < lowest ? work[x] : lowest;
    }
    for (x = 1; x <= servers; x++) {
        work[x] = x < least ? TOO_FEW_J : work[x] - lowest;
    }
}

/* x_t: as before, unless that is below x_L or above x_U. */
static uint32_t lazily(const gb_lcp_t *memory, const gb_supply_t *supply)
{
    double beta = beta_of(supply);
    double tie = TIE * (1.0 + beta * supply->servers);
    double lowest = WORK_MOST_J;
    double paid_lowest = WORK_MOST_J;
    uint32_t least = 1; /* x_L, the smallest of the cheapest */
    uint32_t most = 1;  /* x_U, the largest when the set-ups are not counted */
    uint32_t x;

    for (x = 1; x <= supply->servers; x++) {
        double paid = memory->work[x] - beta * x;

        if (memory->work[x] < lowest - tie) {
            lowest = memory->work[x];
            least = x;
        }
        if (paid <= paid_lowest + tie) {
            paid_lowest = paid;
            most = x;
        }
    }
    return memory->chosen < least  ? least
           : memory->chosen > most ? most
                                   : memory->chosen;
}

gb_choice_t gb_lcp_decide(gb_lcp_t *memory, const gb_supply_t *supply,
                          const gb_demand_t *demand)
{
    gb_choice_t choice;
    int64_t past_us;

    if (!continues(memory, supply, demand->now_us)) {
        begin(memory, supply, demand->now_us);
    }
    else {
        memory->arrived += demand->arrived;
    }
    past_us = demand->now_us - memory->slot_began_at_us;
    if (past_us >= GB_LCP_SLOT_US) {
        double slot_s = (double)past_us / (double)GB_US_PER_S;

        work_on(memory, supply,
                gb_supply_for_rate(supply, memory->arrived / slot_s, 1.0),
                gb_within(slot_s, 0.0, SLOT_MOST_S));
        memory->chosen = lazily(memory, supply);
        memory->slot_began_at_us = demand->now_us;
        memory->arrived = 0.0;
    }
    choice.up = choice.keep = memory->chosen;
    return choice;
}
