/* SPDX-License-Identifier: Apache-2.0
 *
 * fleet.c - the servers: from a model, a published curve, or numbers; and the world
 * that they and the load make up.
 */
#include "greensim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* AutoScale's testbed, where nothing else is said. */
#define USUAL_SERVERS   20u
#define USUAL_CORES     8u
#define USUAL_SERVICE_S 0.12
#define USUAL_LATE_S    0.5
#define USUAL_SETUP_S   260.0
#define USUAL_PEAK      0.7 /* of the fleet: what a generated load is scaled to */
#define ROOF            0.9 /* of the fleet's rate: no load is scaled above it */

#define Z95        1.6448536269514722 /* 95 % quantile of the normal distribution */
#define SETUP_MOST 5.0                /* set-ups are at most so many times the p95 */

/* ------------------------------------------------------------- where they come from */

static void make_alike(gs_fleet_t *fleet, const gs_options_t *options)
{
    const gs_published_t *kind = options->server ? options->server : gs_published(0);
    gs_server_t like = {.capacity = options->capacity};

    memcpy(like.curve.watts, options->has_curve ? options->curve : kind->watts,
           sizeof like.curve.watts);
    like.curve.off_watts = options->has_curve
                               ? fmin(GB_ASSUMED_OFF_WATTS, options->curve[0])
                               : kind->off_watts;
    like.setup_watts = options->has_curve ? -1 : kind->setup_watts;
    like.setup_s = USUAL_SETUP_S;
    like.setup_p95_s = USUAL_SETUP_S;
    fleet->count = options->servers ? options->servers : USUAL_SERVERS;
    fleet->servers = gs_alloc(fleet->count, sizeof *fleet->servers);
    for (uint32_t i = 0; i < fleet->count; i++) {
        fleet->servers[i] = like;
        snprintf(fleet->servers[i].name, sizeof like.name, "server%u", i + 1);
    }
}

static bool make_setup(gs_server_t *server, const gs_options_t *options,
                       gs_error_t *error)
{
    if (options->setup_s >= 0) {
        server->setup_s = server->setup_p95_s = options->setup_s;
    }
    if (options->setup_p95_s >= 0) {
        server->setup_p95_s = options->setup_p95_s;
    }
    if (server->setup_p95_s < server->setup_s) {
        return gs_fail(
            error, "--setup-p95 %gs: the median (--setup) is %gs; at least that much",
            server->setup_p95_s, server->setup_s);
    }
    if (options->off_watts >= 0) {
        server->curve.off_watts = options->off_watts;
    }
    /* Nothing could be saved, and what is computed as the least would be the most. */
    if (server->curve.off_watts > server->curve.watts[0]) {
        return gs_fail(error,
                       "%s draws %g W switched off and %g W idle; --off-watts W, at "
                       "most as many as idle",
                       server->name, server->curve.off_watts, server->curve.watts[0]);
    }
    if (options->setup_watts >= 0) {
        server->setup_watts = options->setup_watts;
    }
    else if (server->setup_watts < 0) {
        server->setup_watts = server->curve.watts[10];
    }
    server->shutdown_s = options->shutdown_s;
    return true;
}

/* The rate at which GB_TAIL_GOAL of the requests to one such server are late. */
static double rate_within_goal(const gs_server_t *server, double late_s)
{
    double low = 0, high = server->cores / server->service_s;
    double wait_s = late_s - server->service_s;

    for (int i = 0; i < 60; i++) {
        double rate = (low + high) / 2;
        double late = gb_erlang_late(server->cores, rate, server->service_s, wait_s);

        if (late <= GB_TAIL_GOAL) {
            low = rate;
        }
        else {
            high = rate;
        }
    }
    return low;
}

static bool make_rate(gs_server_t *server, const gs_options_t *options, double late_s,
                      gs_error_t *error)
{
    double full;

    server->cores = options->cores     ? options->cores
                    : server->capacity ? server->capacity
                                       : USUAL_CORES;
    if (!server->capacity) {
        server->capacity = server->cores;
    }
    full = server->cores / server->service_s;
    if (late_s <= server->service_s) {
        return gs_fail(
            error,
            "--late-after %gs: a request takes %gs of service (--service-time); "
            "it has to be more than that",
            late_s, server->service_s);
    }
    server->rate = options->rate > 0 ? options->rate : rate_within_goal(server, late_s);
    if (server->rate >= full) {
        return gs_fail(
            error,
            "--rate %g: %u cores that take %gs for a request do %g a second; "
            "it has to be less",
            server->rate, server->cores, server->service_s, full);
    }
    return true;
}

/* ---------------------------------------------------------------- their order */

static int compare_servers(const void *a, const void *b)
{
    const gs_server_t *x = a, *y = b;
    double watts_x = gb_curve_watts_per_request(&x->curve, x->capacity);
    double watts_y = gb_curve_watts_per_request(&y->curve, y->capacity);

    if (watts_x < watts_y || watts_x > watts_y) {
        return watts_x < watts_y ? -1 : 1;
    }
    return (x->setup_s > y->setup_s) - (x->setup_s < y->setup_s);
}

/* How long they take to boot is learned, and never twice the same: it is no type. */
static bool is_alike(const gs_server_t *a, const gs_server_t *b)
{
    double apart = fabs(a->curve.off_watts - b->curve.off_watts);

    for (int i = 0; i < 11; i++) {
        apart += fabs(a->curve.watts[i] - b->curve.watts[i]);
    }
    return !(apart > 0) && a->capacity == b->capacity && a->cores == b->cores;
}

static void find_types(gs_fleet_t *fleet)
{
    fleet->type_of = gs_alloc(fleet->count, sizeof *fleet->type_of);
    for (uint32_t i = 0; i < fleet->count; i++) {
        uint32_t like = 0;

        while (like < i && !is_alike(&fleet->servers[like], &fleet->servers[i])) {
            like++;
        }
        fleet->type_of[i] = like < i ? fleet->type_of[like] : fleet->types++;
    }
}

bool gs_fleet_make(gs_fleet_t *fleet, const gs_options_t *options, double service_s,
                   gs_error_t *error)
{
    if (options->service_s > 0 || !(service_s > 0)) {
        service_s = options->service_s > 0 ? options->service_s : USUAL_SERVICE_S;
    }
    *fleet = (gs_fleet_t){0};
    fleet->late_s =
        options->late_after_s > 0
            ? options->late_after_s
            : fmax(USUAL_LATE_S, service_s * USUAL_LATE_S / USUAL_SERVICE_S);
    fleet->boot_fail_share = options->boot_fail_share;
    if (options->model_file) {
        if (!gs_model_read(options->model_file, &fleet->servers, &fleet->count,
                           error)) {
            return false;
        }
        for (uint32_t i = 0; i < fleet->count; i++) {
            fleet->servers[i].setup_watts = -1;
        }
    }
    else {
        make_alike(fleet, options);
    }
    for (uint32_t i = 0; i < fleet->count; i++) {
        fleet->servers[i].service_s = service_s;
        if (!make_setup(&fleet->servers[i], options, error) ||
            !make_rate(&fleet->servers[i], options, fleet->late_s, error)) {
            gs_fleet_free(fleet);
            return false;
        }
        fleet->rate += fleet->servers[i].rate;
    }
    if (!fleet->servers) {
        return gs_fail(error, "there are no servers");
    }
    qsort(fleet->servers, fleet->count, sizeof *fleet->servers, compare_servers);
    find_types(fleet);
    return true;
}

void gs_fleet_free(gs_fleet_t *fleet)
{
    free(fleet->servers);
    free(fleet->type_of);
    *fleet = (gs_fleet_t){0};
}

uint32_t gs_fleet_assumed(const gs_fleet_t *fleet)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < fleet->count; i++) {
        count += fleet->servers[i].curve.assumed != 0;
    }
    return count;
}

static double setup_deviation(const gs_server_t *server)
{
    return server->setup_s > 0 ? log(server->setup_p95_s / server->setup_s) / Z95 : 0;
}

double gs_setup_draw(const gs_server_t *server, gs_random_t *random)
{
    double deviation = setup_deviation(server);

    if (!(deviation > 0)) {
        return server->setup_p95_s;
    }
    return fmin(server->setup_s * exp(deviation * gs_random_normal(random)),
                SETUP_MOST * server->setup_p95_s);
}

/* ---------------------------------------------------------------- the world */

static bool read_load(gs_trace_t *trace, const gs_options_t *options, gs_error_t *error)
{
    if (options->trace_file) {
        return gs_trace_read(trace, options->trace_file, options->smooth_s, error);
    }
    if (options->log_count) {
        if (!gs_log_read(trace, options, error)) {
            return false;
        }
    }
    else {
        gs_generate(trace, options->shape,
                    options->length_s > 0 ? (uint32_t)options->length_s : 0,
                    options->seed);
    }
    if (options->smooth_s > 0) {
        gs_trace_smooth(trace, options->smooth_s);
    }
    return true;
}

static bool scale_load(gs_world_t *world, gs_error_t *error)
{
    const gs_options_t *options = world->options;
    const gs_fleet_t *fleet = &world->fleet;
    gs_trace_t *trace = &world->trace;
    double servers = options->scale_peak, peak;

    if (options->start_day_s >= 0) {
        trace->start_day_s = (int64_t)options->start_day_s;
    }
    if (options->shape != GS_SHAPE_NONE && servers < 0) {
        servers = USUAL_PEAK * fleet->count;
    }
    if (servers > 0) {
        peak = gs_trace_peak(trace);
        if (!(peak > 0)) {
            return gs_fail(error, "--scale: in %s nothing comes that could be scaled",
                           trace->name);
        }
        gs_trace_scale(trace, servers * fleet->rate / fleet->count / peak,
                       ROOF * fleet->rate);
    }
    gs_trace_draw(trace, options->seed);
    return trace->requests > 0 || gs_fail(error, "%s: no requests come", trace->name);
}

/* One length of set-up and one power for all: the fluid's servers are alike in that. */
static void mean_setup(gs_world_t *world)
{
    const gs_fleet_t *fleet = &world->fleet;
    gb_plant_t *plant = &world->plant;
    double really_s = 0, watts = 0;

    for (uint32_t i = 0; i < fleet->count; i++) {
        const gs_server_t *server = &fleet->servers[i];
        double deviation = setup_deviation(server);

        really_s += server->setup_s * exp(deviation * deviation / 2);
        watts += server->setup_watts - server->curve.off_watts;
        world->setup_s = fmax(world->setup_s, server->setup_p95_s);
    }
    plant->setup_s = really_s / fleet->count;
    plant->supply.setup_s = world->setup_s;
    plant->supply.setup_watts = fmax(watts / fleet->count, 0);
}

static void make_plant(gs_world_t *world)
{
    const gs_fleet_t *fleet = &world->fleet;
    gb_plant_t *plant = &world->plant;
    double *slots_upto = gs_alloc((size_t)fleet->count + 1, sizeof *slots_upto);

    world->upto = gs_alloc((size_t)fleet->count + 1, sizeof *world->upto);
    world->curves = gs_alloc(fleet->count, sizeof *world->curves);
    for (uint32_t i = 0; i < fleet->count; i++) {
        const gs_server_t *server = &fleet->servers[i];
        const gb_upto_t *before = &world->upto[i];

        world->curves[i] = server->curve;
        world->upto[i + 1] = (gb_upto_t){
            .capacity = before->capacity + server->capacity,
            .slots = before->slots + server->cores,
            .idle_watts = before->idle_watts +
                          fmax(server->curve.watts[0] - server->curve.off_watts, 0),
        };
    }
    world->tail.room = fleet->count;
    world->tail.rows = gs_alloc((size_t)fleet->count + 1, sizeof *world->tail.rows);
    plant->supply = (gb_supply_t){
        .servers = fleet->count,
        .upto = world->upto,
        .tail = &world->tail,
        .service_s = fleet->servers[0].service_s,
        .late_s = fleet->late_s,
        .rate_per_slot = fleet->rate / world->upto[fleet->count].slots,
        .late_last = world->options->late_last,
    };
    gb_supply_tail(&plant->supply, slots_upto, &world->tail);
    plant->curves = world->curves;
    plant->min_on = world->options->min_on;
    plant->spare = world->options->spare;
    plant->packs = true;
    mean_setup(world);
    gb_fluid_settle(plant);
    free(slots_upto);
}

bool gs_world_make(gs_world_t *world, const gs_options_t *options, gs_error_t *error)
{
    *world = (gs_world_t){.options = options};
    if (!read_load(&world->trace, options, error) ||
        !gs_fleet_make(&world->fleet, options,
                       world->trace.log.timed ? world->trace.log.service_s : -1,
                       error)) {
        return false;
    }
    if (options->min_on + options->spare > world->fleet.count) {
        return gs_fail(error, "--min %u --spare %u: there are %u servers",
                       options->min_on, options->spare, world->fleet.count);
    }
    if (!scale_load(world, error)) {
        return false;
    }
    make_plant(world);
    return true;
}

void gs_world_free(gs_world_t *world)
{
    gs_trace_free(&world->trace);
    gs_fleet_free(&world->fleet);
    free(world->upto);
    free(world->curves);
    free(world->tail.rows);
    *world = (gs_world_t){0};
}
