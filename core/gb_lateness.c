/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_lateness.c - late by waiting, or by service alone.
 */
#include "gb_lateness.h"
#include "gb_supply.h"

#include <math.h>
#include <string.h>

#define FADES_S     1800.0 /* time constant of the share */
#define FEW         100.0 /* responses: a share of fewer is chance, and taken for less */
#define DUE_MOST    10.0  /* what did not come is not waited for without end */
#define COUNT_MOST  1e12
#define CALM_MOST_S 1e9

static bool is_sane(const gb_lateness_t *memory)
{
    return memory->answered >= 0 && memory->answered <= COUNT_MOST &&
           memory->slow >= 0 && memory->slow <= memory->answered &&
           memory->calm_s >= 0 && memory->calm_s <= CALM_MOST_S && memory->due >= 0 &&
           memory->due <= DUE_MOST;
}

double gb_lateness_share(const gb_lateness_t *memory)
{
    return is_sane(memory) ? memory->slow / (memory->answered + FEW) : 0;
}

static void learn(gb_lateness_t *memory, double passed_s, double answered, double slow)
{
    double kept = exp(-passed_s / FADES_S);

    memory->answered = gb_within(memory->answered * kept + answered, 0, COUNT_MOST);
    memory->slow = gb_within(memory->slow * kept + slow, 0, memory->answered);
}

/* Of `slow` as many as the share says.  The parts of one that are left over are kept:
 * else a share of less than one at a look would take off nothing. */
static double taken_off(gb_lateness_t *memory, double answered, double slow)
{
    double due = memory->due + gb_lateness_share(memory) * answered;
    double off = slow < due ? slow : due;

    memory->due = gb_within(due - off, 0, DUE_MOST);
    return off;
}

double gb_lateness_waited(gb_lateness_t *memory, const gb_answers_t *seen)
{
    double passed_s = gb_within(seen->passed_s, 0, CALM_MOST_S);
    double late = gb_within(seen->late, 0, COUNT_MOST);
    double slow = gb_within(seen->slow, 0, late);
    double answered = gb_within(seen->answered, 0, COUNT_MOST);
    double late_s = gb_within(seen->late_s, 0, CALM_MOST_S);

    if (!is_sane(memory)) {
        memset(memory, 0, sizeof *memory);
    }
    /* Who is late now came `late_s` ago at the latest: so long it has to be calm. */
    memory->calm_s =
        seen->crowded ? 0 : gb_within(memory->calm_s + passed_s, 0, CALM_MOST_S);
    if (seen->crowded || memory->calm_s - passed_s < late_s) {
        return late - taken_off(memory, answered, slow);
    }
    learn(memory, passed_s, answered, slow);
    memory->due = 0;
    return late - slow;
}
