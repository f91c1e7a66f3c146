/* SPDX-License-Identifier: Apache-2.0
 *
 * test_sim_optimum.c - the dynamic and the linear programs against trying everything.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "sim/greensim.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOT_S     10u
#define SLOTS      5u
#define SERVERS    3u
#define WAYS       243u /* SERVERS ^ SLOTS */
#define LATE_SHARE 0.05

static gs_world_t world;
static gs_options_t options;
static gs_random_t numbers;

static void seed_numbers(void)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

    printf("GB_SEED=%llu\n", (unsigned long long)seed);
    gs_random_seed(&numbers, seed, 0);
}

static double between(double least, double most)
{
    return least + (most - least) * gs_random_unit(&numbers);
}

static void set_options(void)
{
    options = (gs_options_t){
        .shape = GS_SHAPE_DAY,
        .length_s = SLOTS * SLOT_S,
        .scale_peak = -1,
        .start_day_s = -1,
        .servers = SERVERS,
        .service_s = -1,
        .rate = 60,
        .late_after_s = -1,
        .setup_s = between(0, 60),
        .setup_p95_s = -1,
        .setup_watts = 200,
        .off_watts = 3,
        .min_on = 1,
        .late_share = LATE_SHARE,
        .late_last = gs_random_unit(&numbers) < 0.5,
        .quiet = true,
    };
}

/* Another load than the shape's: of each slot another rate. */
static void set_load(double most_rate)
{
    world.trace.requests = 0;
    for (uint32_t t = 0; t < world.trace.seconds; t++) {
        static double rate;

        rate = t % SLOT_S == 0 ? between(0, most_rate) : rate;
        world.trace.arrived[t] = (uint32_t)rate;
        world.trace.requests += world.trace.arrived[t];
    }
}

static void make_world(double most_rate)
{
    gs_error_t error;

    ck_assert_msg(gs_world_make(&world, &options, &error), "%s", error.text);
    set_load(most_rate);
}

static double rate_of(uint32_t slot)
{
    return world.trace.arrived[(size_t)slot * SLOT_S];
}

/* One of all the ways to go through the slots, and what it is like. */
typedef struct way_t {
    uint32_t on[SLOTS];
    double joules, late;
    double late_seen; /* by the rate as the fluid sees it, where that is lower */
    bool is_in_time;  /* in each slot */
} way_t;

/* Mean over the slot of the rate that lags behind. */
static double lagging_of(uint32_t slot)
{
    double smooth = gs_first_rate(&world.trace), sum = 0;

    for (uint32_t t = 0; t < (slot + 1) * SLOT_S; t++) {
        smooth += 0.1 * (world.trace.arrived[t] - smooth);
        sum += t >= slot * SLOT_S ? smooth : 0;
    }
    return sum / SLOT_S;
}

static double late_in_slot(uint32_t on, double rate)
{
    const gb_supply_t *supply = &world.plant.supply;
    double full = supply->upto[on].slots / supply->service_s;
    double line = (supply->late_s - supply->service_s) * full;
    double excess = (rate - full) * SLOT_S;

    if (rate < full) {
        return rate * SLOT_S * gb_tail_late(supply->tail, on, rate);
    }
    if (excess <= line) {
        return 0;
    }
    return supply->late_last ? excess - line : rate * SLOT_S * (1 - line / excess);
}

/* A load that grows is noticed some seconds later, and those late in them with it. */
static double late_seen_in_slot(uint32_t on, double rate, double lagging)
{
    double share = rate > 0 ? late_in_slot(on, rate) / rate : 0;

    if (lagging < rate) {
        share = fmin(share, lagging > 0 ? late_in_slot(on, lagging) / lagging : 0);
    }
    return rate * share;
}

static void weigh_way(way_t *way, uint32_t number)
{
    *way = (way_t){.is_in_time = true};
    for (uint32_t i = 0; i < SLOTS; i++, number /= SERVERS) {
        double rate = rate_of(i), lagging = lagging_of(i);

        way->on[i] = 1 + number % SERVERS;
        way->joules += SLOT_S * gb_fluid_watts(&world.plant, way->on[i],
                                               fmin(rate, way->on[i] * 8 / 0.12));
        way->late += late_in_slot(way->on[i], rate);
        way->late_seen += late_seen_in_slot(way->on[i], rate, lagging);
        way->is_in_time = way->is_in_time &&
                          way->on[i] >= gb_tail_need(world.plant.supply.tail, rate);
        if (i && way->on[i] > way->on[i - 1]) {
            way->joules +=
                (way->on[i] - way->on[i - 1]) * (200 - 3) * world.plant.setup_s;
        }
    }
}

START_TEST(optimum_is_the_best_of_all_ways)
{
    seed_numbers();
    for (int round = 0; round < 200; round++) {
        double best = INFINITY;
        gs_result_t result;
        way_t way;

        set_options();
        make_world(190);
        for (uint32_t i = 0; i < WAYS; i++) {
            weigh_way(&way, i);
            best = way.is_in_time ? fmin(best, way.joules) : best;
        }
        gs_optimum_run(&world, SLOT_S, &result);
        ck_assert_double_eq_tol(result.joules, best, 1e-9 * best);
        gs_result_free(&result);
        gs_world_free(&world);
    }
}
END_TEST

/* max over prices of min over ways, by trying. */
static double dual_of(const way_t *ways, double allowed)
{
    double bound = -INFINITY;

    for (double log_price = -5; log_price < 16; log_price += 0.01) {
        double price = exp(log_price), least = INFINITY;

        for (uint32_t i = 0; i < WAYS; i++) {
            least = fmin(least, ways[i].joules + price * (ways[i].late_seen - allowed));
        }
        bound = fmax(bound, least);
    }
    return bound;
}

START_TEST(bound_is_below_all_ways_and_as_high_as_it_can_be)
{
    static way_t ways[WAYS];

    seed_numbers();
    for (int round = 0; round < 50; round++) {
        double allowed, least = INFINITY;
        gs_result_t result;

        set_options();
        make_world(250);
        allowed = LATE_SHARE * world.trace.requests;
        gs_bound_run(&world, LATE_SHARE, SLOT_S, &result);
        for (uint32_t i = 0; i < WAYS; i++) {
            weigh_way(&ways[i], i);
            least = fmin(least, ways[i].late_seen);
            if (ways[i].late <= allowed) {
                ck_assert_double_le(result.joules, ways[i].joules * (1 + 1e-9));
            }
        }
        /* Above what can be served no price is high enough: there is no bound. */
        if (least > allowed) {
            ck_assert_double_eq(result.joules, 0);
        }
        else {
            ck_assert_double_ge(result.joules, dual_of(ways, allowed) * (1 - 0.005));
        }
        gs_world_free(&world);
    }
}
END_TEST

START_TEST(optimum_of_constant_load_never_starts)
{
    gs_result_t result;

    gs_random_seed(&numbers, 1, 0);
    set_options();
    make_world(0);
    for (uint32_t t = 0; t < world.trace.seconds; t++) {
        world.trace.arrived[t] = 100;
    }
    world.trace.requests = 100.0 * world.trace.seconds;
    gs_optimum_run(&world, 0, &result);
    ck_assert_double_eq_tol(result.cycles_per_server_day, 0, 1e-12);
    ck_assert_double_eq_tol(result.mean_on, 2, 1e-9);
    ck_assert_double_eq_tol(result.joules,
                            world.trace.seconds * gb_fluid_watts(&world.plant, 2, 100),
                            1e-6);
    ck_assert_uint_le(result.points, GS_POINTS);
    gs_result_free(&result);
    gs_world_free(&world);
}
END_TEST

/* ---------------------------------------------------------------- mixed servers */

#define EACH 2u /* servers of each of two types */
#define BOTH 9u /* (EACH + 1) ^ 2 */

static char model_path[] = "/tmp/greensim-test-XXXXXX";

/* Two small and two large ones, with straight curves. */
static void make_mixed_world(void)
{
    static const char *const kinds[] = {
        "\"capacity\": 8, \"watts\": [140,146,152,158,164,170,176,182,188,194,200]",
        "\"capacity\": 4, \"watts\": [40,46,52,58,64,70,76,82,88,94,100]",
    };
    int fd;
    FILE *file;

    memcpy(model_path + strlen(model_path) - 6, "XXXXXX", 6);
    fd = mkstemp(model_path);
    ck_assert_int_ge(fd, 0);
    file = fdopen(fd, "w");
    fputs("{\"servers\": [", file);
    for (uint32_t i = 0; i < 2 * EACH; i++) {
        fprintf(file,
                "%s{\"name\": \"s%u\", %s, \"off_watts\": 3, \"boot_s\": {\"p50\": 20, "
                "\"p95\": 20, \"count\": 9}}",
                i ? "," : "", i, kinds[i % 2]);
    }
    fputs("]}", file);
    fclose(file);
    set_options();
    options.servers = 0;
    options.model_file = model_path;
    options.rate = -1;
    options.setup_s = -1;
    make_world(130);
    unlink(model_path);
}

/* Watts with so many of each on, the cheapest filled first: both have 60 W of slope. */
static double mixed_watts(uint32_t large, uint32_t small, double rate)
{
    double full_large = 8 / 0.12, full_small = 4 / 0.12;
    double in_large = fmin(rate, large * full_large);
    double in_small = fmin(rate - in_large, small * full_small);

    return large * 140 + small * 40 + (2 * EACH - large - small) * 3 +
           60 * (in_large / full_large + in_small / full_small);
}

static bool mixed_serves(uint32_t large, uint32_t small, double rate)
{
    return large + small > 0 &&
           gb_erlang_late(8 * large + 4 * small, rate, 0.12, 0.38) <= GB_TAIL_GOAL;
}

/* Dynamic program over pairs, all of them tried at each step. */
static double best_mixed(void)
{
    double value[BOTH] = {0}, next[BOTH];

    for (uint32_t t = 0; t < SLOTS; t++) {
        for (uint32_t to = 0; to < BOTH; to++) {
            uint32_t large = to / (EACH + 1), small = to % (EACH + 1);

            next[to] = INFINITY;
            for (uint32_t from = 0; from < BOTH; from++) {
                double more_large = (double)large - from / (EACH + 1);
                double more_small = (double)small - from % (EACH + 1);
                double starts = fmax(more_large, 0) + fmax(more_small, 0);

                next[to] = fmin(next[to], value[from] + starts * 197 * 20);
            }
            next[to] += mixed_serves(large, small, rate_of(t))
                            ? SLOT_S * mixed_watts(large, small, rate_of(t))
                            : INFINITY;
        }
        memcpy(value, next, sizeof value);
    }
    for (uint32_t i = 1; i < BOTH; i++) {
        value[0] = fmin(value[0], value[i]);
    }
    return value[0];
}

START_TEST(linear_program_is_close_below_all_plans)
{
    double sum_linear = 0, sum_best = 0;

    seed_numbers();
    for (int round = 0; round < 30; round++) {
        gs_error_t error;
        gs_result_t result;
        double best;

        make_mixed_world();
        ck_assert_uint_eq(world.fleet.types, 2);
        best = best_mixed();
        ck_assert_msg(gs_mixed_run(&world, GS_OPTIMUM, 0, SLOT_S, &result, &error),
                      "%s", error.text);
        ck_assert_double_le(result.joules, best * (1 + 1e-6));
        sum_linear += result.joules;
        sum_best += best;
        gs_result_free(&result);
        ck_assert(gs_mixed_run(&world, GS_BOUND, LATE_SHARE, SLOT_S, &result, &error));
        ck_assert_double_le(result.joules, best * (1 + 1e-6));
        gs_world_free(&world);
    }
    ck_assert_double_ge(sum_linear, 0.6 * sum_best);
}
END_TEST

#define PATHS       59049u /* BOTH ^ SLOTS */
#define SETUP_SLOTS 2u     /* 20 s */
#define CHEAP_WATTS 10.0   /* of a set-up: going off for less than it would pay */

/* Are those of one type that are started off for as long as their set-up takes? */
static bool has_time(const uint32_t on[SLOTS])
{
    for (uint32_t t = 0; t < SLOTS; t++) {
        uint32_t there = on[t];

        for (uint32_t s = t + 1; s <= t + SETUP_SLOTS && s < SLOTS; s++) {
            there += on[s] > on[s - 1] ? on[s] - on[s - 1] : 0;
        }
        if (there > EACH) {
            return false;
        }
    }
    return true;
}

/* The best of all ways, of those that can be gone, and of all that could be if a set-up
 * took no time. */
static void best_paths(double *timely, double *any)
{
    *timely = *any = INFINITY;
    for (uint32_t path = 0; path < PATHS; path++) {
        uint32_t large[SLOTS], small[SLOTS], rest = path;
        double joules = 0;

        for (uint32_t t = 0; t < SLOTS; t++, rest /= BOTH) {
            large[t] = rest % BOTH / (EACH + 1);
            small[t] = rest % (EACH + 1);
            joules += mixed_serves(large[t], small[t], rate_of(t))
                          ? SLOT_S * mixed_watts(large[t], small[t], rate_of(t))
                          : INFINITY;
            if (t > 0) {
                joules += (CHEAP_WATTS - 3) * 20 *
                          (fmax((double)large[t] - large[t - 1], 0) +
                           fmax((double)small[t] - small[t - 1], 0));
            }
        }
        *any = fmin(*any, joules);
        if (joules < *timely && has_time(large) && has_time(small)) {
            *timely = joules;
        }
    }
}

START_TEST(who_is_in_setup_is_not_on)
{
    bool matters = false;

    seed_numbers();
    for (int round = 0; round < 6; round++) {
        double timely, any;
        gs_error_t error;
        gs_result_t result;

        make_mixed_world();
        options.setup_watts = CHEAP_WATTS;
        for (uint32_t i = 0; i < world.fleet.count; i++) {
            world.fleet.servers[i].setup_watts = CHEAP_WATTS;
        }
        /* By turns all that they carry and nothing; then whatever comes. */
        for (uint32_t t = 0; round == 0 && t < world.trace.seconds; t++) {
            world.trace.arrived[t] = t / SLOT_S % 2 ? 0 : 180;
        }
        best_paths(&timely, &any);
        ck_assert(isfinite(timely));
        ck_assert_msg(gs_mixed_run(&world, GS_OPTIMUM, 0, SLOT_S, &result, &error),
                      "%s", error.text);
        ck_assert_double_le(result.joules, timely * (1 + 1e-6));
        matters = matters || result.joules > any * 1.01;
        gs_result_free(&result);
        gs_world_free(&world);
    }
    ck_assert_msg(matters, "servers are on while they are in set-up");
}
END_TEST

Suite *sim_optimum_suite(void)
{
    Suite *suite = suite_create("sim_optimum");
    TCase *tcase = tcase_create("optimum");

    tcase_add_test(tcase, optimum_is_the_best_of_all_ways);
    tcase_add_test(tcase, bound_is_below_all_ways_and_as_high_as_it_can_be);
    tcase_add_test(tcase, optimum_of_constant_load_never_starts);
    tcase_add_test(tcase, linear_program_is_close_below_all_plans);
    tcase_add_test(tcase, who_is_in_setup_is_not_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
