/* SPDX-License-Identifier: Apache-2.0
 *
 * mixed.c - the least energy of servers of several types: linear programs, which GLPK
 * solves.
 *
 * For each type i and slot t: x servers on, u of them started, y requests/s served.
 *   x <= n;  u_t >= x_t - x_{t-1};  y <= cap x;  sum y >= rate
 *   x_t + u_{t+1} + ... + u_{t+L} <= n    who starts is in set-up L slots before
 *   sum cores x >= the cores with which GB_TAIL_GOAL are late       (optimum)
 *   sum y >= rate - l;  sum l <= share of all requests              (bound)
 * Numbers are not whole, and of a slot that is longer than 10 s the means count: what
 * comes out is below what any plan can reach, never above.
 */
#include "greensim.h"

#include <glpk.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINE_S          10u
#define COLUMNS_MOST    12000u /* x, u and y of all types and slots: some ten seconds */
#define SIMPLEX_MOST_MS 120000
#define DAY_S           86400.0

typedef struct type_t {
    double count, cores, full_rate; /* full_rate: one server's at most */
    double idle_watts, off_watts;
    double watt_seconds; /* joules of a request, above idling */
    double start_joules;
    uint32_t setup_slots;
} type_t;

typedef struct linear_t {
    const gs_world_t *world;
    bool has_price; /* the bound: late requests are allowed */
    type_t *types;
    uint32_t type_count;
    gs_slots_t slots;
    double *need;     /* [slots] cores, mean of the slot's finer ones */
    double full_rate; /* of all together; what comes beyond it is served by no plan */
    glp_prob *problem;
    double *solution; /* [columns + 1] */
    int rows;
    int *index; /* of the row that is made: [entries + 1] */
    double *value;
    int entries;
} linear_t;

/* ---------------------------------------------------------------- types and slots */

static void make_types(linear_t *lp)
{
    const gs_fleet_t *fleet = &lp->world->fleet;

    lp->type_count = fleet->types;
    lp->types = gs_alloc(fleet->types, sizeof *lp->types);
    for (uint32_t i = 0; i < fleet->count; i++) {
        const gs_server_t *server = &fleet->servers[i];
        type_t *type = &lp->types[fleet->type_of[i]];
        double setup_s = server->setup_s;

        type->full_rate = server->cores / server->service_s;
        lp->full_rate += type->full_rate;
        type->cores = server->cores;
        type->idle_watts = server->curve.watts[0] - server->curve.off_watts;
        type->off_watts = server->curve.off_watts;
        type->watt_seconds =
            gs_joules_per_request(server->curve.watts, server->rate, type->full_rate);
        type->start_joules +=
            fmax(server->setup_watts - server->curve.off_watts, 0) * setup_s;
        type->setup_slots += (uint32_t)(setup_s / lp->slots.step_s);
        type->count++;
    }
    for (uint32_t i = 0; i < lp->type_count; i++) {
        lp->types[i].start_joules /= lp->types[i].count;
        lp->types[i].setup_slots /= (uint32_t)lp->types[i].count;
    }
}

/* The slope of the straight line from idling that is nowhere above the curve, up to
 * what a server may serve. */
double gs_joules_per_request(const double watts[11], double rate, double full_rate)
{
    double least = INFINITY;

    for (int i = 1; i <= 10; i++) {
        double at = i / 10.0 * full_rate;

        least = fmin(least, (watts[i] - watts[0]) / at);
    }
    return rate > 0 ? fmax(least, 0) : 0;
}

/* The fewest cores with which GB_TAIL_GOAL are late. */
static double cores_for(const gs_world_t *world, double rate)
{
    const gb_supply_t *supply = &world->plant.supply;
    double low = 0, high = supply->upto[supply->servers].slots;

    while (high - low > 1) {
        double middle = floor((low + high) / 2);
        double late = gb_erlang_late(middle, rate, supply->service_s,
                                     supply->late_s - supply->service_s);

        if (late <= GB_TAIL_GOAL) {
            high = middle;
        }
        else {
            low = middle;
        }
    }
    return high;
}

static void make_slots(linear_t *lp, uint32_t step_s)
{
    gs_slots_t fine;
    uint32_t each;

    gs_slots_make(&lp->slots, &lp->world->trace, step_s ? step_s : FINE_S,
                  3 * (size_t)lp->world->fleet.types, COLUMNS_MOST);
    gs_slots_make(&fine, &lp->world->trace,
                  lp->slots.step_s < FINE_S ? lp->slots.step_s : FINE_S, 1, SIZE_MAX);
    each = lp->slots.step_s / fine.step_s;
    lp->need = gs_alloc(lp->slots.count, sizeof *lp->need);
    for (uint32_t i = 0; i < fine.count; i++) {
        double share = gs_slot_s(&fine, i) / gs_slot_s(&lp->slots, i / each);

        lp->need[i / each] += share * cores_for(lp->world, fine.rate[i]);
    }
    free(fine.rate);
}

/* ---------------------------------------------------------------- the program */

/* Columns: x, u, y of slot t and type i, then l of each slot. */
static int column(const linear_t *lp, uint32_t t, uint32_t i, uint32_t which)
{
    return (int)(3 * (t * lp->type_count + i) + which + 1);
}

static int late_column(const linear_t *lp, uint32_t t)
{
    return (int)(3 * lp->slots.count * lp->type_count + t + 1);
}

static void add(linear_t *lp, int at, double value)
{
    lp->entries++;
    lp->index[lp->entries] = at;
    lp->value[lp->entries] = value;
}

/* Ends the row that add() has filled: at least, or at most, `limit`. */
static void end_row(linear_t *lp, int kind, double limit)
{
    glp_add_rows(lp->problem, 1);
    lp->rows++;
    glp_set_row_bnds(lp->problem, lp->rows, kind, limit, limit);
    glp_set_mat_row(lp->problem, lp->rows, lp->entries, lp->index, lp->value);
    lp->entries = 0;
}

static void add_columns(linear_t *lp)
{
    int count = (int)(lp->slots.count * (3 * lp->type_count + lp->has_price));

    glp_add_cols(lp->problem, count);
    for (uint32_t t = 0; t < lp->slots.count; t++) {
        double slot_s = gs_slot_s(&lp->slots, t);

        for (uint32_t i = 0; i < lp->type_count; i++) {
            const type_t *type = &lp->types[i];
            const double costs[3] = {type->idle_watts * slot_s, type->start_joules,
                                     type->watt_seconds * slot_s};

            for (uint32_t which = 0; which < 3; which++) {
                int at = column(lp, t, i, which);

                glp_set_col_bnds(lp->problem, at, which == 0 ? GLP_DB : GLP_LO, 0,
                                 type->count);
                glp_set_obj_coef(lp->problem, at, costs[which]);
            }
        }
        if (lp->has_price) {
            glp_set_col_bnds(lp->problem, late_column(lp, t), GLP_DB, 0,
                             fmax(lp->slots.rate[t], 1e-9));
        }
    }
}

/* Of one type: what is served by those on, who starts, who is in set-up meanwhile. */
static void add_type_rows(linear_t *lp, uint32_t t, uint32_t i)
{
    const type_t *type = &lp->types[i];

    add(lp, column(lp, t, i, 2), 1);
    add(lp, column(lp, t, i, 0), -type->full_rate);
    end_row(lp, GLP_UP, 0);
    if (t > 0) {
        add(lp, column(lp, t, i, 1), 1);
        add(lp, column(lp, t, i, 0), -1);
        add(lp, column(lp, t - 1, i, 0), 1);
        end_row(lp, GLP_LO, 0);
    }
    if (t + 1 < lp->slots.count && type->setup_slots > 0) {
        add(lp, column(lp, t, i, 0), 1);
        for (uint32_t s = t + 1; s <= t + type->setup_slots && s < lp->slots.count;
             s++) {
            add(lp, column(lp, s, i, 1), 1);
        }
        end_row(lp, GLP_UP, type->count);
    }
}

/* Of all types together. */
static void add_slot_rows(linear_t *lp, uint32_t t)
{
    const gb_plant_t *plant = &lp->world->plant;

    for (uint32_t i = 0; i < lp->type_count; i++) {
        add(lp, column(lp, t, i, 2), 1);
    }
    if (lp->has_price) {
        add(lp, late_column(lp, t), 1);
    }
    end_row(lp, GLP_LO, fmin(lp->slots.rate[t], lp->full_rate));
    for (uint32_t i = 0; i < lp->type_count; i++) {
        add(lp, column(lp, t, i, 0), 1);
    }
    end_row(lp, GLP_LO, plant->min_on > 1 ? plant->min_on : 1);
    if (!lp->has_price) {
        for (uint32_t i = 0; i < lp->type_count; i++) {
            add(lp, column(lp, t, i, 0), lp->types[i].cores);
        }
        end_row(lp, GLP_LO, lp->need[t]);
    }
}

static void make_problem(linear_t *lp, double late_most)
{
    uint32_t longest = lp->slots.count + 3 * lp->type_count + 3;

    lp->index = gs_alloc((size_t)longest + 1, sizeof *lp->index);
    lp->value = gs_alloc((size_t)longest + 1, sizeof *lp->value);
    lp->problem = glp_create_prob();
    glp_set_obj_dir(lp->problem, GLP_MIN);
    add_columns(lp);
    for (uint32_t t = 0; t < lp->slots.count; t++) {
        for (uint32_t i = 0; i < lp->type_count; i++) {
            add_type_rows(lp, t, i);
        }
        add_slot_rows(lp, t);
    }
    if (lp->has_price) {
        for (uint32_t t = 0; t < lp->slots.count; t++) {
            add(lp, late_column(lp, t), gs_slot_s(&lp->slots, t));
        }
        end_row(lp, GLP_UP, late_most * lp->world->trace.requests);
    }
}

static void keep_solution(linear_t *lp, double get(glp_prob *, int))
{
    int count = glp_get_num_cols(lp->problem);

    lp->solution = gs_alloc((size_t)count + 1, sizeof *lp->solution);
    for (int i = 1; i <= count; i++) {
        lp->solution[i] = get(lp->problem, i);
    }
}

/* The interior point method goes through a band like this one in some dozens of steps,
 * where the simplex method takes thousands; but now and then it does not converge. */
static bool solve(linear_t *lp, double *joules, gs_error_t *error)
{
    glp_iptcp interior;
    glp_smcp simplex;

    glp_init_iptcp(&interior);
    interior.msg_lev = GLP_MSG_OFF;
    interior.ord_alg = GLP_ORD_AMD;
    if (glp_interior(lp->problem, &interior) == 0 &&
        glp_ipt_status(lp->problem) == GLP_OPT) {
        *joules = glp_ipt_obj_val(lp->problem);
        keep_solution(lp, glp_ipt_col_prim);
        return true;
    }
    glp_init_smcp(&simplex);
    simplex.msg_lev = GLP_MSG_OFF;
    simplex.presolve = GLP_ON;
    simplex.tm_lim = SIMPLEX_MOST_MS;
    if (glp_simplex(lp->problem, &simplex) == 0 &&
        glp_get_status(lp->problem) == GLP_OPT) {
        *joules = glp_get_obj_val(lp->problem);
        keep_solution(lp, glp_get_col_prim);
        return true;
    }
    return gs_fail(error,
                   "optimum of servers of different types: the linear program has no "
                   "solution; do all servers together carry the load?");
}

static double solved(const linear_t *lp, uint32_t t, uint32_t i, uint32_t which)
{
    return lp->solution[column(lp, t, i, which)];
}

/* ---------------------------------------------------------------- the result */

static double on_in(const linear_t *lp, uint32_t t)
{
    double on = 0;

    for (uint32_t i = 0; i < lp->type_count; i++) {
        on += solved(lp, t, i, 0);
    }
    return on;
}

static double watts_in(const linear_t *lp, uint32_t t)
{
    double watts = 0;

    for (uint32_t i = 0; i < lp->type_count; i++) {
        const type_t *type = &lp->types[i];

        watts += type->idle_watts * solved(lp, t, i, 0) +
                 type->watt_seconds * solved(lp, t, i, 2) +
                 type->off_watts * type->count;
    }
    return watts;
}

static void describe(const linear_t *lp, gs_result_t *result)
{
    double seconds = lp->world->trace.seconds, starts = 0;
    gs_series_t series;

    gs_series_begin(&series, result, lp->world->trace.seconds);
    for (uint32_t t = 0; t < lp->slots.count; t++) {
        double on = on_in(lp, t), watts = watts_in(lp, t);

        for (uint32_t s = 0; s < (uint32_t)gs_slot_s(&lp->slots, t); s++) {
            gs_series_add(&series, lp->slots.rate[t], on, 0, watts, 0);
        }
        for (uint32_t i = 0; t > 0 && i < lp->type_count; i++) {
            starts += fmax(solved(lp, t, i, 0) - solved(lp, t - 1, i, 0), 0);
        }
        result->mean_on += on * gs_slot_s(&lp->slots, t) / seconds;
        result->peak_on = fmax(result->peak_on, on);
    }
    gs_series_end(&series);
    result->cycles_per_server_day = starts * DAY_S / seconds / lp->world->fleet.count;
}

static void linear_close(linear_t *lp)
{
    glp_delete_prob(lp->problem);
    free(lp->types);
    free(lp->slots.rate);
    free(lp->need);
    free(lp->index);
    free(lp->value);
    free(lp->solution);
}

bool gs_mixed_run(const gs_world_t *world, gs_policy_e which, double late_most,
                  uint32_t step_s, gs_result_t *result, gs_error_t *error)
{
    linear_t lp = {.world = world, .has_price = which == GS_BOUND};
    double joules = 0;
    bool good;

    gs_result_begin(result, which);
    make_slots(&lp, step_s);
    make_types(&lp);
    make_problem(&lp, late_most);
    good = solve(&lp, &joules, error);
    if (good) {
        for (uint32_t i = 0; i < lp.type_count; i++) {
            joules += lp.types[i].off_watts * lp.types[i].count * world->trace.seconds;
        }
        result->joules = joules;
        result->requests = world->trace.requests;
        result->late = lp.has_price ? late_most * world->trace.requests : -1;
        snprintf(result->note, sizeof result->note,
                 "linear program (%u types, slots of %u s): no plan is below it",
                 lp.type_count, lp.slots.step_s);
        if (!lp.has_price) {
            describe(&lp, result);
        }
    }
    linear_close(&lp);
    return good;
}
