/* SPDX-License-Identifier: Apache-2.0
 *
 * hindsight.c - AutoScale, its two parameters chosen when all was over.
 */
#include "greensim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A server counts as so much of what it carries alone: as published, where it was
 * measured so, and less.  Servers that share a line carry more, those of one core six
 * times as much, and who chooses afterwards knows that, too: 1 here is all of that, and
 * 0.5 is half of the way (geometrically). */
static const double shared[] = {1.0, 0.5};
static const double alone[] = {1.0, 0.9333, 0.8667, 0.8};
/* It idles for so many break-even times before it goes off (0: as published). */
static const double waits[] = {0, 1.0 / 3, 1, 2, 4};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define RATES       (COUNT(alone) + COUNT(shared))
#define SETTINGS    (RATES * COUNT(waits))

typedef struct tuning_t {
    double rate_factor, wait_s;
} tuning_t;

/* What one of all servers carries when they share a line, over what it carries alone.
 */
static double gain_of_sharing(const gs_world_t *world)
{
    const gb_supply_t *supply = &world->plant.supply;
    const gb_tail_row_t *all = &world->tail.rows[supply->servers];

    return fmax(all->goal_rate / (all->slots * supply->rate_per_slot), 1);
}

static tuning_t setting(const gs_world_t *world, size_t i)
{
    size_t rate = i / COUNT(waits);

    return (tuning_t){rate < COUNT(alone)
                          ? alone[rate]
                          : pow(gain_of_sharing(world), shared[rate - COUNT(alone)]),
                      waits[i % COUNT(waits)] * gs_break_even_s(world)};
}

static gs_chooser_t *open_tuned(const gs_world_t *world, const tuning_t *tuning)
{
    gb_policy_conf_t conf = world->options->conf;
    gs_chooser_t *chooser;

    conf.wait_s = tuning->wait_s;
    chooser = gs_chooser_open(world, GS_HINDSIGHT, &conf);
    gs_chooser_tune(chooser, tuning->rate_factor);
    return chooser;
}

/* Cheaper with few enough late, or fewer late where none has few enough. */
static bool is_better(const gs_result_t *a, const gs_result_t *b, double late_most)
{
    double most = late_most * a->requests;

    if (a->late <= most || b->late <= most) {
        return a->late <= most && (b->late > most || a->joules < b->joules);
    }
    return a->late < b->late;
}

static tuning_t tune(const gs_world_t *world, double late_most, bool *is_in_time)
{
    gs_result_t best = {0};
    tuning_t chosen = {1, 0};

    for (size_t i = 0; i < SETTINGS; i++) {
        tuning_t tuning = setting(world, i);
        gs_chooser_t *chooser = open_tuned(world, &tuning);
        gs_result_t result;

        gs_fluid_run(world, chooser, &result);
        gs_chooser_close(chooser);
        gs_result_free(&result);
        if (i == 0 || is_better(&result, &best, late_most)) {
            best = result;
            chosen = tuning;
        }
    }
    *is_in_time = best.late <= late_most * best.requests;
    return chosen;
}

static void describe(const gs_world_t *world, const tuning_t *tuning, bool is_in_time,
                     double late_most, gs_result_t *result)
{
    double rate = world->fleet.rate / world->fleet.count * tuning->rate_factor;
    char wait[48] = "as published";

    if (tuning->wait_s > 0) {
        snprintf(wait, sizeof wait, "%.0f s", tuning->wait_s);
    }
    snprintf(
        result->note, sizeof result->note,
        "AutoScale with %.1f requests/s a server and t_wait %s: of %zu settings %s "
        "%g%% late%s",
        rate, wait, SETTINGS,
        is_in_time ? "the cheapest with at most"
                   : "the one with the fewest late; none has at most",
        100 * late_most, world->options->discrete ? ", in the fluid" : "");
}

bool gs_hindsight_run(const gs_world_t *world, double late_most, gs_result_t *result,
                      gs_error_t *error)
{
    bool is_in_time;
    tuning_t tuning = tune(world, late_most, &is_in_time);
    gs_chooser_t *chooser = open_tuned(world, &tuning);
    bool good = gs_run(world, chooser, result, error);

    gs_chooser_close(chooser);
    describe(world, &tuning, is_in_time, late_most, result);
    return good;
}
