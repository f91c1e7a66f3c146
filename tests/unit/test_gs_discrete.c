/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gs_discrete.c - the discrete mode of greensim: against Erlang's C, against
 * energy worked out by hand, and with random decisions.
 */
#include "sim/discrete.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_S   0.12
#define CORES       8
#define IDLE_WATTS  140.0
#define PEAK_WATTS  200.0
#define SETUP_WATTS 190.0
#define OFF_WATTS   5.0
#define SEEDS       8

/* ------------------------------------------------------------ a world by hand */

static gs_options_t options;
static gs_world_t world;
static gs_discrete_conf_t conf;
static gs_result_t result;
static gs_discrete_counts_t counts;

/* `servers` alike, for `seconds` without any request. */
static void world_setup(uint32_t servers, uint32_t seconds)
{
    memset(&options, 0, sizeof options);
    memset(&world, 0, sizeof world);
    options.seed = 1;
    options.min_on = 1;
    world.options = &options;
    world.setup_s = 100;
    world.trace.seconds = seconds;
    world.trace.arrived = calloc(seconds, sizeof *world.trace.arrived);
    world.fleet.count = servers;
    world.fleet.late_s = 0.5;
    world.fleet.servers = calloc(servers, sizeof *world.fleet.servers);
    for (uint32_t i = 0; i < servers; i++) {
        gs_server_t *server = &world.fleet.servers[i];

        gb_curve_linear(&server->curve, IDLE_WATTS, PEAK_WATTS);
        server->curve.off_watts = OFF_WATTS;
        server->capacity = server->cores = CORES;
        server->service_s = SERVICE_S;
        server->setup_s = server->setup_p95_s = world.setup_s;
        server->setup_watts = SETUP_WATTS;
        server->shutdown_s = 10;
    }
    world.plant.supply.servers = servers;
    world.plant.supply.service_s = SERVICE_S;
    gs_discrete_defaults(&conf, &options);
}

static void world_free(void)
{
    gs_result_free(&result);
    free(world.trace.arrived);
    free(world.fleet.servers);
}

/* A Poisson number of requests in each second from `from` on. */
static void load(uint32_t from, uint32_t to, double rate)
{
    gs_random_t random;

    gs_random_seed(&random, options.seed, 0x10ad + from);
    for (uint32_t i = from; i < to && i < world.trace.seconds; i++) {
        world.trace.arrived[i] = gs_random_poisson(&random, rate);
        world.trace.requests += world.trace.arrived[i];
    }
}

static void run(const gs_decides_t *decides)
{
    gs_error_t error;

    gs_result_free(&result);
    ck_assert_msg(
        gs_discrete_run_with(&world, &conf, decides, &result, &counts, &error), "%s",
        error.text);
}

static gb_choice_t choose_all(void *baton, const gb_supply_t *supply,
                              const gb_demand_t *demand)
{
    return (gb_choice_t){.up = supply->servers, .keep = supply->servers};
}

static void run_always_on(void)
{
    gs_decides_t decides = {
        .choose = choose_all, .first = world.fleet.count, .packs = true};

    run(&decides);
}

static double late_share(void)
{
    return result.late / result.requests;
}

/* ------------------------------------------------------------ queueing */

/* The share that waits longer than `wait_s`, over several seeds, is Erlang's within
 * four standard errors of their mean. */
static void expect_erlang(uint32_t servers, double rate, double wait_s)
{
    double expected = gb_erlang_late((double)servers * CORES, rate, SERVICE_S, wait_s);
    double sum = 0, squares = 0, mean, error;

    world.fleet.late_s = SERVICE_S + wait_s;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        options.seed = seed;
        load(0, world.trace.seconds, rate);
        run_always_on();
        sum += late_share();
        squares += late_share() * late_share();
    }
    mean = sum / SEEDS;
    error = sqrt(fmax(squares / SEEDS - mean * mean, 0) / (SEEDS - 1));
    ck_assert_msg(fabs(mean - expected) <= 4 * error,
                  "%u servers, %.0f/s: %.5f wait longer than %.2f s; Erlang says %.5f, "
                  "one standard error is %.5f; seeds 1 to %d",
                  servers, rate, mean, wait_s, expected, error, SEEDS);
    ck_assert_msg(error < 0.1 * expected, "too few requests to tell: %.5f of %.5f",
                  error, expected);
}

START_TEST(one_server_with_a_line_of_its_own_waits_as_erlang_says)
{
    world_setup(1, 5000);
    world.fleet.servers[0].capacity = 60000;
    conf.queue = GS_QUEUE_OFF;
    expect_erlang(1, 55, 0.0);
    expect_erlang(1, 55, 0.2);
    world_free();
}
END_TEST

START_TEST(a_waiting_room_makes_one_line_of_all_servers)
{
    world_setup(6, 1500);
    conf.queue = GS_QUEUE_FIFO;
    expect_erlang(6, 370, 0.0);
    expect_erlang(6, 370, 0.05);
    ck_assert_uint_gt(counts.waited, 0);
    world_free();
}
END_TEST

/* With requests of the same length it is half of Erlang's mean wait, nearly (Pollaczek
 * and Khinchin; exact for one core). */
START_TEST(constant_service_halves_the_wait_at_one_core)
{
    double use = 0.8;

    world_setup(1, 40000);
    world.fleet.servers[0].cores = 1;
    world.fleet.servers[0].capacity = 60000;
    conf.queue = GS_QUEUE_OFF;
    conf.service = GS_SERVICE_CONSTANT;
    load(0, 40000, use / SERVICE_S);
    run_always_on();
    ck_assert_double_eq_tol(counts.wait_sum_s / result.requests,
                            SERVICE_S * use / (2 * (1 - use)), 0.01);
    world_free();
}
END_TEST

START_TEST(by_response_and_by_wait_are_the_same_when_service_is_constant)
{
    world_setup(2, 600);
    conf.service = GS_SERVICE_CONSTANT;
    load(0, 600, 135);
    run_always_on();
    ck_assert_uint_gt(counts.late, 0);
    ck_assert_uint_eq(counts.late, counts.late_responses);
    world_free();
}
END_TEST

/* A minute at 6.5 servers' worth while six are on. */
static double late_of_burst(gs_queue_e queue, uint64_t seed)
{
    const double server = CORES / SERVICE_S;

    options.seed = seed;
    conf.queue = queue;
    load(0, 120, 5 * server);
    load(120, 180, 6.5 * server);
    load(180, 600, 5 * server);
    run_always_on();
    return late_share();
}

/* All on, and the sum of what a policy is told. */
static double told_late, told_arrived;

static gb_choice_t choose_all_and_listen(void *baton, const gb_supply_t *supply,
                                         const gb_demand_t *demand)
{
    told_late += demand->late;
    told_arrived += demand->arrived;
    return choose_all(baton, supply, demand);
}

static void run_and_listen(void)
{
    gs_decides_t decides = {.choose = choose_all_and_listen,
                            .first = world.fleet.count,
                            .packs = true,
                            .asks = 2};

    told_late = told_arrived = 0;
    run(&decides);
}

START_TEST(what_is_late_by_service_alone_is_not_told)
{
    static const gs_queue_e queues[] = {GS_QUEUE_OFF, GS_QUEUE_FIFO,
                                        GS_QUEUE_LATE_LAST};

    for (int i = 0; i < 3; i++) {
        world_setup(4, 2000);
        conf.queue = queues[i];
        load(0, 2000, 60); /* of 266 that they carry */
        run_and_listen();
        ck_assert_double_ge(told_arrived, 0.99 * result.requests);
        /* exp(-500/120) of them, 1.5 %, whatever the servers. */
        ck_assert_uint_gt(counts.late_responses, 1000);
        ck_assert_double_le(told_late, 0.001 * told_arrived);
        world_free();
    }
}
END_TEST

START_TEST(what_is_late_by_waiting_is_told)
{
    static const gs_queue_e queues[] = {GS_QUEUE_OFF, GS_QUEUE_FIFO,
                                        GS_QUEUE_LATE_LAST};

    for (int i = 0; i < 3; i++) {
        double by_service;

        world_setup(4, 2000);
        conf.queue = queues[i];
        load(0, 1000, 60);
        load(1000, 1100, 300); /* more than they carry */
        load(1100, 2000, 60);
        run_and_listen();
        by_service = exp(-0.5 / SERVICE_S) * (double)counts.arrived;
        ck_assert_uint_gt(counts.late_responses, 3000);
        printf("queue %d: %.0f late, %.0f by service, %.0f told\n", (int)queues[i],
               (double)counts.late_responses, by_service, told_late);
        ck_assert_double_eq_tol(told_late, (double)counts.late_responses - by_service,
                                0.15 * (double)counts.late_responses);
        world_free();
    }
}
END_TEST

START_TEST(late_last_makes_late_only_what_is_too_much)
{
    double fifo = 0, late_last = 0;

    world_setup(6, 600);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fifo += late_of_burst(GS_QUEUE_FIFO, seed) / SEEDS;
        late_last += late_of_burst(GS_QUEUE_LATE_LAST, seed) / SEEDS;
        ck_assert_uint_eq(counts.served, counts.arrived);
    }
    printf("burst, seeds 1 to %d: fifo %.2f %%, late-last %.2f %% late\n", SEEDS,
           100 * fifo, 100 * late_last);
    ck_assert_msg(fifo > 0.10 && fifo < 0.20, "fifo: %.4f late", fifo);
    ck_assert_msg(late_last > 0.005 && late_last < 0.02, "late-last: %.4f late",
                  late_last);
    world_free();
}
END_TEST

START_TEST(without_a_waiting_room_full_servers_get_more)
{
    world_setup(2, 60);
    conf.queue = GS_QUEUE_OFF;
    load(0, 60, 200);
    run_always_on();
    ck_assert_uint_eq(counts.waited, 0);
    ck_assert_uint_eq(counts.served, counts.arrived);
    conf.queue = GS_QUEUE_FIFO;
    run_always_on();
    ck_assert_uint_gt(counts.waited, 0);
    world_free();
}
END_TEST

/* ------------------------------------------------------------ energy */

/* On a straight curve energy goes by the core-seconds that were worked, whoever worked
 * them. */
START_TEST(constant_load_costs_what_the_curve_says)
{
    world_setup(3, 1000);
    conf.service = GS_SERVICE_CONSTANT;
    load(0, 990, 100); /* all have ended by the end */
    run_always_on();
    ck_assert_double_eq_tol(result.joules,
                            3 * 1000 * IDLE_WATTS + result.requests * SERVICE_S *
                                                        (PEAK_WATTS - IDLE_WATTS) /
                                                        CORES,
                            1e-3);
    world_free();
}
END_TEST

START_TEST(a_bent_curve_is_followed_core_by_core)
{
    gs_server_t *server;

    world_setup(1, 10);
    server = &world.fleet.servers[0];
    server->cores = server->capacity = 3;
    server->service_s = 2;
    for (int i = 0; i <= 10; i++) {
        server->curve.watts[i] = 100 + i * i;
    }
    conf.service = GS_SERVICE_CONSTANT;
    world.trace.arrived[4] = 1;
    run_always_on();
    /* A third of the way: 9 and a third of the way from 9 to 16. */
    ck_assert_double_eq_tol(result.joules, 10 * 100 + 2 * (9 + 7 / 3.0), 1e-3);
    world_free();
}
END_TEST

START_TEST(a_set_up_and_a_shutdown_cost_what_they_draw)
{
    uint32_t on[60];
    gs_error_t error;
    double expected;

    world_setup(2, 600);
    for (uint32_t i = 0; i < 60; i++) {
        on[i] = i >= 20 && i < 40 ? 2 : 1; /* from 200 s to 400 s */
    }
    ck_assert(gs_discrete_follow(&world, &conf, on, 60, 10, &result, &error));
    /* Ordered a second early; let go at 400 s, off 10 s after that. */
    expected = 600 * IDLE_WATTS + 100 * SETUP_WATTS + (1 + 200 + 10) * IDLE_WATTS +
               (600 - 100 - 1 - 200 - 10) * OFF_WATTS;
    ck_assert_double_eq_tol(result.joules, expected, 0.5 * PEAK_WATTS);
    ck_assert_double_eq_tol(result.mean_on, 1 + 200 / 600.0, 2 / 600.0);
    ck_assert_double_eq(result.peak_on, 2);
    ck_assert_double_eq_tol(result.cycles_per_server_day, 0.5 * 86400 / 600.0, 1e-9);
    world_free();
}
END_TEST

/* From the order to the first request, with all probes: to the tick. */
START_TEST(a_set_up_takes_what_it_is_said_to_take)
{
    gs_decides_t decides = {.choose = choose_all, .first = 1, .packs = true};

    world_setup(2, 600);
    /* Ordered by the tick at 1 s, it serves when the second from 100 s to 101 s ends.
     */
    world.fleet.servers[1].setup_s = world.fleet.servers[1].setup_p95_s = 99.9;
    run(&decides);
    ck_assert_double_eq_tol(result.mean_on, 1 + 500 / 600.0, 1e-9);
    world_free();
}
END_TEST

/* ------------------------------------------------------------ servers that come and go
 */

typedef struct dice_t {
    gs_random_t random;
    uint32_t min;
    uint32_t below; /* seconds in which fewer than min were on */
    gb_choice_t choice;
} dice_t;

/* Any choice, for half a minute on average. */
static gb_choice_t choose_at_random(void *baton, const gb_supply_t *supply,
                                    const gb_demand_t *demand)
{
    dice_t *dice = baton;
    gb_choice_t *choice = &dice->choice;

    dice->below += supply->on < dice->min;
    if (choice->up == 0 || gs_random_unit(&dice->random) < 1 / 30.0) {
        choice->up = 1 + (uint32_t)(gs_random_unit(&dice->random) * supply->servers);
        choice->keep = choice->up + (uint32_t)(gs_random_unit(&dice->random) *
                                               (supply->servers - choice->up + 1));
    }
    return *choice;
}

static void run_dice(uint64_t seed, uint32_t min, dice_t *dice)
{
    gs_decides_t decides = {
        .choose = choose_at_random, .baton = dice, .first = min, .packs = true};

    memset(dice, 0, sizeof *dice);
    gs_random_seed(&dice->random, seed, 0xd1ce);
    dice->min = min;
    conf.min_on = min;
    options.seed = seed;
    load(0, world.trace.seconds, 150);
    run(&decides);
}

START_TEST(random_decisions_lose_no_request_and_keep_min)
{
    dice_t dice;

    world_setup(8, 3000);
    world.fleet.boot_fail_share = 0.1;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        conf.queue = (gs_queue_e)(seed % 3);
        run_dice(seed, 1 + (uint32_t)seed % 4, &dice);
        ck_assert_msg(counts.wronged == 0 && dice.below == 0 && counts.left == 0 &&
                          counts.served == counts.arrived &&
                          counts.arrived == (uint64_t)world.trace.requests,
                      "seed %d: %d of %d served, %d wronged, %d s below min", (int)seed,
                      (int)counts.served, (int)counts.arrived, (int)counts.wronged,
                      (int)dice.below);
        ck_assert_uint_gt(counts.starts, 5);
        world.trace.requests = 0;
    }
    world_free();
}
END_TEST

START_TEST(ticks_that_change_nothing_may_be_left_out)
{
    gs_discrete_counts_t before;
    gs_result_t first;
    dice_t dice;

    world_setup(8, 3000);
    world.fleet.boot_fail_share = 0.1;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        conf.every_tick = false;
        run_dice(seed, 1, &dice);
        before = counts;
        first = result;
        conf.every_tick = true;
        result.series = NULL;
        run_dice(seed, 1, &dice);
        ck_assert_mem_eq(&before, &counts, sizeof counts);
        ck_assert_double_eq_tol(first.joules, result.joules, 1e-9 * result.joules);
        ck_assert_double_eq(first.mean_on, result.mean_on);
        ck_assert_double_eq(first.p99_ms, result.p99_ms);
        free(first.series);
    }
    world_free();
}
END_TEST

START_TEST(the_same_seed_is_the_same_run)
{
    gs_discrete_counts_t before;
    double joules;
    dice_t dice;

    world_setup(8, 1000);
    run_dice(7, 1, &dice);
    before = counts;
    joules = result.joules;
    run_dice(7, 1, &dice);
    ck_assert_mem_eq(&before, &counts, sizeof counts);
    ck_assert(joules == result.joules);
    run_dice(8, 1, &dice);
    ck_assert(joules != result.joules);
    world_free();
}
END_TEST

/* 12 are in flight, at times some more: three or four servers of 8 keep that within the
 * middle of 50 and 80 %, and the others go after the two minutes' hold. */
START_TEST(the_modules_own_threshold_decides_by_what_is_in_flight)
{
    gb_policy_conf_t threshold;
    gs_decides_t decides = {.first = 8, .packs = true, .threshold = &threshold};

    world_setup(8, 3600);
    gb_policy_defaults(&threshold, GB_POLICY_THRESHOLD);
    threshold.hold_us = 120 * GB_US_PER_S;
    conf.service = GS_SERVICE_CONSTANT;
    for (uint32_t i = 0; i < 3600; i++) {
        world.trace.arrived[i] = 100; /* 12 in flight */
    }
    run(&decides);
    ck_assert_uint_eq(counts.served, counts.arrived);
    ck_assert_double_gt(result.mean_on, 2);
    ck_assert_double_lt(result.mean_on, 5);
    ck_assert_double_eq((double)result.series[0].on, 8); /* all, at the beginning */
    ck_assert_double_lt(result.peak_on, 5);
    world_free();
}
END_TEST

START_TEST(failed_boots_cost_energy_and_are_made_up_for)
{
    uint32_t on[200];
    gs_error_t error;
    double joules;

    world_setup(10, 2000);
    for (uint32_t i = 0; i < 200; i++) {
        on[i] = i < 50 ? 1 : 6;
    }
    load(0, 2000, 50);
    ck_assert(gs_discrete_follow(&world, &conf, on, 200, 10, &result, &error));
    ck_assert_double_eq(result.peak_on, 6);
    joules = result.joules;
    gs_result_free(&result);
    world.fleet.boot_fail_share = 0.4;
    ck_assert(gs_discrete_follow(&world, &conf, on, 200, 10, &result, &error));
    ck_assert_double_eq(result.peak_on, 6);
    ck_assert_double_gt(result.joules, joules);
    ck_assert_double_gt(result.cycles_per_server_day, 0.5 * 86400 / 2000);
    world_free();
}
END_TEST

START_TEST(what_is_in_flight_is_waited_for)
{
    uint32_t on[40];
    gs_error_t error;

    world_setup(2, 400);
    for (uint32_t i = 0; i < 2; i++) {
        world.fleet.servers[i].cores = world.fleet.servers[i].capacity = 1;
        world.fleet.servers[i].service_s = 120;
    }
    world.fleet.late_s = 200;
    conf.service = GS_SERVICE_CONSTANT;
    for (uint32_t i = 0; i < 40; i++) {
        on[i] = i < 10 ? 2 : 1;
    }
    world.trace.arrived[89] = 2; /* one on each, until about 210 s */
    ck_assert(gs_discrete_follow(&world, &conf, on, 40, 10, &result, &error));
    ck_assert_double_eq_tol(result.mean_on, (400 + 210) / 400.0, 2 / 400.0);
    world_free();
}
END_TEST

START_TEST(slow_start_makes_the_way_back_longer)
{
    uint32_t on[60];
    gs_error_t error;
    double late;

    world_setup(4, 600);
    for (uint32_t i = 0; i < 60; i++) {
        on[i] = i < 20 ? 1 : 4;
    }
    load(0, 200, 50);
    load(200, 600, 220);
    conf.queue = GS_QUEUE_LATE_LAST;
    ck_assert(gs_discrete_follow(&world, &conf, on, 60, 10, &result, &error));
    late = result.late;
    gs_result_free(&result);
    conf.slow_start_s = 60;
    ck_assert(gs_discrete_follow(&world, &conf, on, 60, 10, &result, &error));
    ck_assert_double_gt(result.late, late + 100);
    world_free();
}
END_TEST

START_TEST(the_dwell_keeps_servers_on)
{
    uint32_t on[100];
    gs_error_t error;

    world_setup(2, 1000);
    for (uint32_t i = 0; i < 100; i++) {
        on[i] = i == 60 || i == 61 || i == 80 || i == 81 ? 2 : 1;
    }
    ck_assert(gs_discrete_follow(&world, &conf, on, 100, 10, &result, &error));
    ck_assert_double_eq_tol(result.mean_on, 1 + 40 / 1000.0, 0.003);
    gs_result_free(&result);
    /* At 620 s the first goes, on for long; at 820 s the second, on since 600 s, would,
     * and has to stay until 900 s. */
    conf.awake_dwell_s = 300;
    ck_assert(gs_discrete_follow(&world, &conf, on, 100, 10, &result, &error));
    ck_assert_double_eq_tol(result.mean_on, 1 + 120 / 1000.0, 0.003);
    gs_result_free(&result);
    /* The first came when the run began: it goes at 690 s, is back at 800 s, and then
     * neither may go. */
    conf.awake_dwell_s = 690;
    ck_assert(gs_discrete_follow(&world, &conf, on, 100, 10, &result, &error));
    ck_assert_double_eq_tol(result.mean_on, 1 + (90 + 200) / 1000.0, 0.003);
    world_free();
}
END_TEST

/* The second in which AutoScale sees that the load has grown after the first choice. */
static uint32_t looks_again_at_s(int64_t phase_us)
{
    static servers_t servers;
    gb_demand_t demand = {.now_us = GB_US_PER_S, .in_system = 1};
    gs_chooser_t *chooser =
        gs_chooser_open(&world, (gs_policy_e)GB_POLICY_AUTOSCALE, NULL);
    gb_choice_t choice;
    uint32_t first, second = 1;

    servers_make(&servers, 20, 10, 4);
    gs_chooser_phase(chooser, phase_us);
    choice = gs_chooser_choose(chooser, &servers.supply, &demand);
    first = choice.up;
    demand.in_system = 100;
    while (choice.up == first && second < 100) {
        demand.now_us += GB_US_PER_S;
        choice = gs_chooser_choose(chooser, &servers.supply, &demand);
        second++;
    }
    gs_chooser_close(chooser);
    return second - 1;
}

START_TEST(autoscales_twenty_seconds_may_be_under_way)
{
    world_setup(20, 60);
    ck_assert_uint_eq(looks_again_at_s(0), 20);
    ck_assert_uint_eq(looks_again_at_s(13 * GB_US_PER_S), 7);
    ck_assert_uint_eq(looks_again_at_s(GB_AUTOSCALE_TICK_US - 1), 1);
    world_free();
}
END_TEST

START_TEST(a_schedule_needs_a_step)
{
    gs_error_t error = {""};
    uint32_t on[1] = {1};

    world_setup(1, 10);
    ck_assert(!gs_discrete_follow(&world, &conf, on, 0, 10, &result, &error));
    ck_assert(!gs_discrete_follow(&world, &conf, on, 1, 0, &result, &error));
    ck_assert_str_ne(error.text, "");
    world_free();
}
END_TEST

/* ------------------------------------------------------------ options */

#define WORDS_MOST 24

/* The exit status that the command line leads to; -1: it goes on. */
static int read_options(const char *line)
{
    static char text[400];
    static char *words[WORDS_MOST];
    int count = 0;

    snprintf(text, sizeof text, "greensim --shape day %s", line);
    for (char *at = text; *at && count < WORDS_MOST - 1;) {
        words[count++] = at;
        at += strcspn(at, " ");
        if (*at) {
            *at++ = '\0';
        }
    }
    optind = 0; /* getopt_long begins anew */
    return gs_options_read(count, words, &options);
}

START_TEST(options_become_settings)
{
    ck_assert_int_eq(read_options("--mode discrete"), -1);
    gs_discrete_defaults(&conf, &options);
    ck_assert_int_eq(conf.queue, GS_QUEUE_FIFO);
    ck_assert_int_eq(conf.service, GS_SERVICE_EXPONENTIAL);
    ck_assert_double_eq(conf.awake_dwell_s + conf.asleep_dwell_s + conf.slow_start_s,
                        0);
    ck_assert_uint_eq(conf.cycles_per_day, 0);
    ck_assert_uint_eq(conf.min_on, 1);
    free(options.logs);
    ck_assert_int_eq(read_options("--mode discrete --queue off --service constant "
                                  "--dwell-awake 5m --dwell-asleep 1m --cycles 24 "
                                  "--slow-start 30s --min 2 --spare 3"),
                     -1);
    gs_discrete_defaults(&conf, &options);
    ck_assert_int_eq(conf.queue, GS_QUEUE_OFF);
    ck_assert_int_eq(conf.service, GS_SERVICE_CONSTANT);
    ck_assert_double_eq(conf.awake_dwell_s, 300);
    ck_assert_double_eq(conf.asleep_dwell_s, 60);
    ck_assert_double_eq(conf.slow_start_s, 30);
    ck_assert_uint_eq(conf.cycles_per_day, 24);
    ck_assert_uint_eq(conf.min_on, 2);
    ck_assert_uint_eq(conf.spare, 3);
    free(options.logs);
    ck_assert_int_eq(read_options("--mode discrete --queue late-last"), -1);
    gs_discrete_defaults(&conf, &options);
    ck_assert_int_eq(conf.queue, GS_QUEUE_LATE_LAST);
    free(options.logs);
}
END_TEST

START_TEST(what_the_fluid_does_not_know_is_refused)
{
    static const char *const wrong[] = {"--queue off",
                                        "--service constant",
                                        "--dwell-awake 5m",
                                        "--dwell-asleep 1m",
                                        "--cycles 24",
                                        "--slow-start 30s",
                                        "--shutdown 1s",
                                        "--boot-fails 1%",
                                        "--mode discrete --cycles 65",
                                        "--mode discrete --cycles 0",
                                        "--mode discrete --queue late",
                                        "--mode discrete --service slow",
                                        "--mode discrete --dwell-awake -1s"};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(read_options(wrong[i]) == 2, "%s", wrong[i]);
        free(options.logs);
    }
}
END_TEST

Suite *gs_discrete_suite(void)
{
    Suite *suite = suite_create("gs_discrete");
    TCase *queueing = tcase_create("queueing");
    TCase *energy = tcase_create("energy");
    TCase *power = tcase_create("power");
    TCase *command_line = tcase_create("command_line");

    tcase_add_test(queueing, one_server_with_a_line_of_its_own_waits_as_erlang_says);
    tcase_add_test(queueing, a_waiting_room_makes_one_line_of_all_servers);
    tcase_add_test(queueing, constant_service_halves_the_wait_at_one_core);
    tcase_add_test(queueing,
                   by_response_and_by_wait_are_the_same_when_service_is_constant);
    tcase_add_test(queueing, late_last_makes_late_only_what_is_too_much);
    tcase_add_test(queueing, what_is_late_by_service_alone_is_not_told);
    tcase_add_test(queueing, what_is_late_by_waiting_is_told);
    tcase_add_test(queueing, without_a_waiting_room_full_servers_get_more);
    suite_add_tcase(suite, queueing);
    tcase_add_test(energy, constant_load_costs_what_the_curve_says);
    tcase_add_test(energy, a_bent_curve_is_followed_core_by_core);
    tcase_add_test(energy, a_set_up_and_a_shutdown_cost_what_they_draw);
    tcase_add_test(energy, a_set_up_takes_what_it_is_said_to_take);
    suite_add_tcase(suite, energy);
    tcase_add_test(power, random_decisions_lose_no_request_and_keep_min);
    tcase_add_test(power, ticks_that_change_nothing_may_be_left_out);
    tcase_add_test(power, the_same_seed_is_the_same_run);
    tcase_add_test(power, the_modules_own_threshold_decides_by_what_is_in_flight);
    tcase_add_test(power, failed_boots_cost_energy_and_are_made_up_for);
    tcase_add_test(power, what_is_in_flight_is_waited_for);
    tcase_add_test(power, slow_start_makes_the_way_back_longer);
    tcase_add_test(power, the_dwell_keeps_servers_on);
    tcase_add_test(power, autoscales_twenty_seconds_may_be_under_way);
    tcase_add_test(power, a_schedule_needs_a_step);
    suite_add_tcase(suite, power);
    tcase_add_test(command_line, options_become_settings);
    tcase_add_test(command_line, what_the_fluid_does_not_know_is_refused);
    suite_add_tcase(suite, command_line);
    return suite;
}
