/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_fluid.c - the fluid against sums that can be done by hand.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_fluid.h"

#include "tests/unit/servers.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define SLOTS_S (8 / 0.12) /* requests/s of a server at most: 66.7 */
#define GOAL    60.0       /* within the goal */
#define FULL_W  194.0      /* at 60 of 66.7 requests/s, 140 W + 90 % of 60 W */
#define IDLE_W  140.0
#define NEAR    1e-6

static servers_t servers;
static gb_curve_t curves[GB_MEMBERS_MAX];
static gb_plant_t plant;
static gb_fluid_t fluid;

static void make(uint32_t count)
{
    uint32_t k;

    servers_make(&servers, count, 10, 0);
    for (k = 0; k < count; k++) {
        gb_curve_linear(&curves[k], IDLE_W, 200);
        curves[k].off_watts = 0;
    }
    memset(&plant, 0, sizeof plant);
    plant.supply = servers.supply;
    plant.curves = curves;
    plant.setup_s = 260;
    plant.min_on = 1;
    plant.packs = true;
    gb_fluid_settle(&plant);
}

static void setup(void)
{
    make(20);
    gb_fluid_init(&fluid, &plant, 6, 0);
}

static void steps(double arrived, int count)
{
    while (count-- > 0) {
        gb_fluid_step(&fluid, &plant, arrived);
    }
}

static void order(uint32_t up, uint32_t keep)
{
    gb_choice_t choice = {up, keep};

    gb_fluid_order(&fluid, &plant, choice);
}

/* ------------------------------------------------------------ watts */

START_TEST(servers_are_filled_in_order)
{
    /* 210/s: three at 60, one at 30 (45 %: 167 W), two idle */
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 210),
                            3 * FULL_W + 167 + 2 * IDLE_W, NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 0), 6 * IDLE_W, NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 360), 6 * FULL_W, NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 0, 100), 0, NEAR);
}
END_TEST

START_TEST(more_than_the_goal_is_spread_evenly)
{
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 6 * SLOTS_S), 6 * 200.0, NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 380),
                            6 * (140 + 60 * 380 / (6 * SLOTS_S)), NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 1e9), 6 * 200.0, NEAR);
}
END_TEST

START_TEST(without_packing_the_load_is_spread)
{
    uint32_t k;

    for (k = 0; k < 20; k++) {
        curves[k].watts[5] = 190; /* bent: it makes a difference */
    }
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 4, 2 * SLOTS_S),
                            2 * FULL_W + 152 + IDLE_W, /* one at 20 % */
                            NEAR);
    plant.packs = false;
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 4, 2 * SLOTS_S), 4 * 190, NEAR);
}
END_TEST

START_TEST(the_rest_draws_what_it_draws_off)
{
    uint32_t k;

    for (k = 0; k < 20; k++) {
        curves[k].off_watts = 5;
    }
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 0), 6 * IDLE_W + 14 * 5, NEAR);
    curves[19].off_watts = 9;
    gb_fluid_settle(&plant);
    ck_assert(!plant.alike);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 6, 0), 6 * IDLE_W + 13 * 5 + 9,
                            NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 20, 0), 20 * IDLE_W, NEAR);
}
END_TEST

START_TEST(loads_between_permille_count_exactly)
{
    double watts;

    watts = gb_fluid_watts(&plant, 1, SLOTS_S * 0.12345);
    ck_assert_double_eq_tol(watts, 140 + 60 * 0.12345, 1e-9);
}
END_TEST

START_TEST(servers_that_differ_are_filled_in_their_order)
{
    gb_curve_linear(&curves[0], 50, 100);
    servers.upto[1].slots = 16; /* 120/s within the goal of 133.3 */
    gb_fluid_settle(&plant);
    ck_assert(!plant.alike);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 1, 60), 50 + 50 * 60 / (2 * SLOTS_S),
                            NEAR);
    ck_assert_double_eq_tol(gb_fluid_watts(&plant, 1, 120), 50 + 50 * 0.9, NEAR);
}
END_TEST

START_TEST(alike_or_not_makes_no_difference)
{
    draw_t draw = draw_begin("alike_or_not_makes_no_difference");
    int i, step;

    for (step = 0; step < 3000; step++) {
        uint32_t on = draw_below(&draw, 21);
        double rate = draw_share(&draw) * 1400;
        double quick;

        for (i = 0; i <= 10; i++) {
            curves[0].watts[i] = 50 + draw_share(&draw) * 400;
        }
        curves[0].off_watts = draw_share(&draw) * 10;
        for (i = 1; i < 20; i++) {
            curves[i] = curves[0];
        }
        plant.packs = draw_below(&draw, 2);
        gb_fluid_settle(&plant);
        ck_assert(plant.alike);
        quick = gb_fluid_watts(&plant, on, rate);
        plant.alike = false;
        ck_assert_double_eq_tol(gb_fluid_watts(&plant, on, rate), quick, 1e-6);
    }
}
END_TEST

/* ------------------------------------------------------------ energy and set-ups */

START_TEST(a_constant_load_costs_its_watts)
{
    gb_fluid_init(&fluid, &plant, 6, 210);
    steps(210, 1000);
    ck_assert_double_eq_tol(fluid.watts, 3 * FULL_W + 167 + 2 * IDLE_W, NEAR);
    ck_assert_double_eq_tol(fluid.joules, 1000 * fluid.watts, 1e-3);
    ck_assert_double_eq_tol(fluid.on_s, 6000, NEAR);
    ck_assert_double_eq_tol(fluid.requests, 210000, NEAR);
    ck_assert_double_eq_tol(fluid.now_s, 1000, NEAR);
}
END_TEST

START_TEST(a_set_up_takes_its_time_and_its_energy)
{
    steps(0, 10);
    fluid.joules = 0;
    order(8, 20);
    ck_assert_uint_eq(fluid.coming, 2);
    ck_assert_uint_eq(fluid.starts, 2);
    steps(0, 260);
    ck_assert_uint_eq(fluid.on, 6);
    ck_assert_double_eq_tol(fluid.joules, 260 * (6 * IDLE_W + 2 * 200), 1e-3);
    ck_assert_double_eq_tol(fluid.coming_s, 2 * 260, NEAR);
    steps(0, 1);
    ck_assert_uint_eq(fluid.on, 8);
    ck_assert_uint_eq(fluid.coming, 0);
    ck_assert_uint_eq(fluid.peak_on, 8);
    ck_assert_double_eq_tol(fluid.watts, 8 * IDLE_W, NEAR);
}
END_TEST

/* setup_watts come on top of what is drawn off. */
START_TEST(a_set_up_adds_to_what_is_drawn_off)
{
    uint32_t k;

    for (k = 0; k < 20; k++) {
        curves[k].off_watts = 8;
    }
    plant.supply.setup_watts = 192;
    order(8, 20);
    steps(0, 1);
    ck_assert_double_eq_tol(fluid.watts, 6 * IDLE_W + 2 * 200 + 12 * 8, NEAR);
}
END_TEST

START_TEST(those_ordered_one_after_the_other_come_so)
{
    uint32_t k;

    for (k = 7; k <= 20; k++) {
        order(k, 20);
        steps(0, 3);
    }
    steps(0, 260 - 14 * 3);
    ck_assert_uint_eq(fluid.on, 6);
    for (k = 7; k <= 20; k++) {
        steps(0, 1);
        ck_assert_uint_eq(fluid.on, k);
        steps(0, 2);
        ck_assert_uint_eq(fluid.on, k);
    }
    ck_assert_uint_eq(fluid.starts, 14);
    ck_assert_uint_eq(fluid.batches, 0);
}
END_TEST

START_TEST(without_a_set_up_time_they_serve_in_the_next_second)
{
    plant.setup_s = 0;
    order(20, 20);
    steps(0, 1);
    ck_assert_uint_eq(fluid.on, 20);
    plant.setup_s = 0.5;
    order(5, 5);
    order(20, 20);
    steps(0, 1);
    ck_assert_uint_eq(fluid.on, 5);
    steps(0, 1);
    ck_assert_uint_eq(fluid.on, 20);
}
END_TEST

/* An order each second for an hour: more than there are batches. */
START_TEST(long_set_ups_are_bounded_and_never_early)
{
    uint32_t k;

    make(4000);
    plant.setup_s = 3600;
    gb_fluid_init(&fluid, &plant, 1, 0);
    for (k = 2; k <= 3600; k++) {
        order(k, 4000);
        steps(0, 1);
        ck_assert_uint_eq(fluid.on, 1);
        ck_assert_uint_eq(fluid.on + fluid.coming, k);
        ck_assert_uint_lt(fluid.batches, GB_FLUID_BATCHES);
    }
    for (k = 0; k < 3600; k++) {
        uint32_t due; /* ordered in the seconds up to 3,600 s ago */

        steps(0, 1);
        ck_assert_uint_eq(fluid.on + fluid.coming, 3600);
        due = (uint32_t)(fluid.now_s - 3600);
        ck_assert_uint_le(fluid.on, due + 1);
        ck_assert_uint_ge(fluid.on + 8, due < 3600 ? due : 3600);
    }
    steps(0, 8);
    ck_assert_uint_eq(fluid.on, 3600);
}
END_TEST

START_TEST(set_ups_that_become_shorter_lose_nobody)
{
    order(8, 20);
    plant.setup_s = 10;
    order(12, 20);
    steps(0, 261);
    ck_assert_uint_eq(fluid.on, 12);
    ck_assert_uint_eq(fluid.coming, 0);
}
END_TEST

/* ------------------------------------------------------------ orders */

START_TEST(what_is_above_keep_goes_at_once)
{
    order(2, 4);
    ck_assert_uint_eq(fluid.on, 4);
    order(3, 6);
    ck_assert_uint_eq(fluid.on, 4);
    ck_assert_uint_eq(fluid.coming, 0);
}
END_TEST

START_TEST(who_comes_is_not_called_back)
{
    order(10, 20);
    ck_assert_uint_eq(fluid.coming, 4);
    order(1, 1);
    ck_assert_uint_eq(fluid.on, 1);
    ck_assert_uint_eq(fluid.coming, 4);
    steps(0, 261);
    ck_assert_uint_eq(fluid.on, 5);
}
END_TEST

START_TEST(who_comes_counts_against_what_is_wanted)
{
    order(10, 20);
    order(10, 20);
    order(12, 20);
    ck_assert_uint_eq(fluid.coming, 6);
    ck_assert_uint_eq(fluid.starts, 6);
}
END_TEST

START_TEST(the_floor_is_kept)
{
    plant.min_on = 5;
    order(1, 1);
    ck_assert_uint_eq(fluid.on, 5);
    gb_fluid_init(&fluid, &plant, 2, 0);
    ck_assert_uint_eq(fluid.on, 5);
    plant.min_on = 8;
    order(1, 1);
    ck_assert_uint_eq(fluid.on + fluid.coming, 8);
    plant.min_on = 0;
    order(0, 0);
    ck_assert_uint_eq(fluid.on, 1);
}
END_TEST

START_TEST(spare_servers_are_added_to_the_need)
{
    plant.spare = 2;
    order(3, 4);
    ck_assert_uint_eq(fluid.on, 6);
    order(3, 3);
    ck_assert_uint_eq(fluid.on, 5);
    order(4, 4);
    ck_assert_uint_eq(fluid.coming, 1);
    plant.spare = UINT32_MAX;
    order(4, 4);
    ck_assert_uint_eq(fluid.on + fluid.coming, 20);
}
END_TEST

START_TEST(no_more_than_there_are)
{
    order(1000, UINT32_MAX);
    ck_assert_uint_eq(fluid.on + fluid.coming, 20);
    gb_fluid_init(&fluid, &plant, 1000, 0);
    ck_assert_uint_eq(fluid.on, 20);
}
END_TEST

/* ------------------------------------------------------------ lateness */

START_TEST(below_saturation_erlang_says_how_many_are_late)
{
    double late = gb_erlang_late(16, 128, 0.12, 0.38);

    gb_fluid_init(&fluid, &plant, 2, 128);
    steps(128, 100);
    ck_assert_double_gt(late, 0.1);
    ck_assert_double_eq_tol(fluid.late_now, 128 * late, 128 * 0.01);
    ck_assert_double_eq_tol(fluid.late, 100 * fluid.late_now, NEAR);
    ck_assert_double_eq_tol(fluid.backlog, 0, NEAR);
}
END_TEST

START_TEST(the_rate_is_smoothed_over_ten_seconds)
{
    gb_fluid_init(&fluid, &plant, 6, 0);
    steps(300, 10);
    ck_assert_double_eq_tol(fluid.smooth, 300 * (1 - pow(0.9, 10)), NEAR);
}
END_TEST

/* Half more than two can do, then half of it. */
START_TEST(a_line_makes_late_what_waits_too_long)
{
    double capacity = 2 * SLOTS_S;

    gb_fluid_init(&fluid, &plant, 2, 0);
    steps(1.5 * capacity, 1); /* the wait goes from 0 to 0.5 s, late from 0.38 on */
    ck_assert_double_eq_tol(fluid.backlog, 0.5 * capacity, NEAR);
    ck_assert_double_eq_tol(fluid.late_now, 1.5 * capacity * (0.5 - 0.38) / 0.5, NEAR);
    steps(1.5 * capacity, 1);
    ck_assert_double_eq_tol(fluid.late_now, 1.5 * capacity, NEAR);
    steps(0.5 * capacity, 1); /* from 1 s to 0.5 s */
    ck_assert_double_eq_tol(fluid.late_now, 0.5 * capacity, NEAR);
    steps(0.5 * capacity, 1); /* from 0.5 s to none: late down to 0.38 */
    ck_assert_double_eq_tol(fluid.late_now, 0.5 * capacity * (0.5 - 0.38) / 0.5, NEAR);
    ck_assert_double_eq_tol(fluid.backlog, 0, NEAR);
}
END_TEST

START_TEST(a_short_line_makes_nobody_late)
{
    double capacity = 2 * SLOTS_S;

    gb_fluid_init(&fluid, &plant, 2, 0);
    steps(1.3 * capacity, 1);
    ck_assert_double_eq_tol(fluid.late_now, 0, NEAR);
    ck_assert_double_gt(fluid.backlog, 0);
}
END_TEST

START_TEST(with_the_late_last_only_the_excess_is_late)
{
    double capacity = 2 * SLOTS_S;

    plant.supply.late_last = true;
    gb_fluid_init(&fluid, &plant, 2, 0);
    steps(1.5 * capacity, 10);
    ck_assert_double_eq_tol(fluid.late, 10 * 0.5 * capacity, 1e-4);
    ck_assert_double_eq_tol(fluid.backlog, 10 * 0.5 * capacity, 1e-4);
    steps(0.5 * capacity, 10); /* the line goes, and delays nobody */
    ck_assert_double_eq_tol(fluid.late, 10 * 0.5 * capacity, 0.01 * fluid.late);
    ck_assert_double_eq_tol(fluid.backlog, 0, 1e-4);
}
END_TEST

START_TEST(with_the_late_last_erlang_counts_while_the_line_goes)
{
    plant.supply.late_last = true;
    gb_fluid_init(&fluid, &plant, 2, 115);
    fluid.backlog = 1000;
    steps(115, 1);
    ck_assert_double_eq_tol(fluid.late_now,
                            115 * gb_tail_late(plant.supply.tail, 2, 115), NEAR);
    ck_assert_double_gt(fluid.late_now, 0);
}
END_TEST

START_TEST(served_is_what_came_less_what_waits)
{
    draw_t draw = draw_begin("served_is_what_came_less_what_waits");
    double came = 0, served = 0;
    int step;

    gb_fluid_init(&fluid, &plant, 4, 0);
    for (step = 0; step < 20000; step++) {
        double arrived = draw_share(&draw) * draw_share(&draw) * 2 * 20 * SLOTS_S;

        order(1 + draw_below(&draw, 20), 1 + draw_below(&draw, 20));
        gb_fluid_step(&fluid, &plant, arrived);
        came += arrived;
        served += fluid.served_now;
        ck_assert_double_le(fluid.served_now, fluid.on * SLOTS_S + NEAR);
        ck_assert_double_le(fluid.late_now, arrived + NEAR);
        ck_assert_double_ge(fluid.late_now, 0);
    }
    ck_assert_double_eq_tol(came, served + fluid.backlog, came * 1e-9);
    ck_assert_double_eq_tol(came, fluid.requests, came * 1e-9);
}
END_TEST

/* ------------------------------------------------------------ what a policy sees */

START_TEST(a_policy_sees_littles_law_and_the_line)
{
    gb_demand_t demand;
    gb_supply_t supply;

    gb_fluid_init(&fluid, &plant, 2, 100);
    steps(100, 5);
    demand = gb_fluid_demand(&fluid, &plant, 4711);
    ck_assert_int_eq(demand.now_us, 5 * GB_US_PER_S);
    ck_assert_int_eq(demand.day_s, 4711);
    ck_assert_double_eq_tol(demand.arrived, 100, NEAR);
    /* 12 of 16 slots are used, and 3 C wait for one */
    ck_assert_double_eq_tol(demand.in_system, 12 + 3 * gb_erlang_late(16, 100, 0.12, 0),
                            NEAR);
    ck_assert_double_gt(demand.in_system, 12.1);
    ck_assert_double_eq_tol(demand.backlog, 0, NEAR);
    steps(2 * SLOTS_S + 50, 3);
    demand = gb_fluid_demand(&fluid, &plant, 0);
    ck_assert_double_eq_tol(demand.backlog, 150, NEAR);
    ck_assert_double_eq_tol(demand.in_system, 16 + 150, NEAR);
    ck_assert_double_eq_tol(demand.late, fluid.late_now, NEAR);
    order(5, 20);
    supply = gb_fluid_supply(&fluid, &plant);
    ck_assert_uint_eq(supply.on, 2);
    ck_assert_uint_eq(supply.coming, 3);
    ck_assert_double_eq_tol(supply.capacity_on, 20, NEAR);
    ck_assert_uint_eq(supply.servers, 20);
}
END_TEST

/* M/M/8 at 90 %: Erlang's C is 0.7017, so that 0.7017 * 9 = 6.3 wait. */
START_TEST(a_policy_sees_who_waits_below_saturation)
{
    gb_demand_t demand;

    gb_fluid_init(&fluid, &plant, 1, 60);
    steps(60, 5);
    demand = gb_fluid_demand(&fluid, &plant, 0);
    ck_assert_double_eq_tol(demand.in_system, 7.2 + 6.3, 0.1);
    ck_assert_double_eq_tol(demand.backlog, 0, NEAR);
    gb_fluid_init(&fluid, &plant, 1, 66.6);
    steps(66.6, 5);
    demand = gb_fluid_demand(&fluid, &plant, 0);
    ck_assert_double_le(demand.in_system, 16 + NEAR); /* at most one a slot */
}
END_TEST

/* ------------------------------------------------------------ at random */

static void check_accounts(uint64_t seed, int step)
{
    const double accounts[] = {fluid.joules,      fluid.requests, fluid.late,
                               fluid.on_s,        fluid.coming_s, fluid.watts,
                               fluid.backlog,     fluid.smooth,   fluid.late_now,
                               fluid.arrived_now, fluid.now_s,    fluid.served_now};
    size_t i;

    for (i = 0; i < sizeof accounts / sizeof accounts[0]; i++) {
        ck_assert_msg(isfinite(accounts[i]) && accounts[i] >= 0,
                      "account %zu: %g; seed before %llu, step %d", i, accounts[i],
                      (unsigned long long)seed, step);
    }
    ck_assert_msg(fluid.on >= 1 && fluid.on <= plant.supply.servers &&
                      fluid.on + fluid.coming <= plant.supply.servers &&
                      fluid.batches <= GB_FLUID_BATCHES && fluid.late <= fluid.requests,
                  "seed before %llu, step %d", (unsigned long long)seed, step);
}

/* Every policy, on random servers: the floor and the spare are kept, the accounts are
 * numbers. */
START_TEST(policies_keep_floor_and_spare)
{
    draw_t draw = draw_begin("policies_keep_floor_and_spare");
    static gb_decider_t decider;
    gb_policy_conf_t conf;
    int round, step;

    for (round = 0; round < 40; round++) {
        double rate = 0, joules = 0;

        make(1 + draw_below(&draw, 40));
        plant.min_on = draw_below(&draw, 45);
        plant.spare = draw_below(&draw, 4);
        plant.packs = draw_below(&draw, 4);
        plant.setup_s = draw_share(&draw) * (draw_below(&draw, 4) ? 300 : 3000);
        plant.supply.setup_s = draw_share(&draw) * 300;
        plant.supply.late_last = draw_below(&draw, 2);
        gb_policy_defaults(&conf, (gb_policy_e)(round % GB_POLICY_COUNT));
        gb_fluid_init(&fluid, &plant, draw_below(&draw, 50), 0);
        for (step = 0; step < 3000; step++) {
            uint32_t least = plant.min_on < plant.supply.servers ? plant.min_on
                                                                 : plant.supply.servers;
            uint32_t floor_on = fluid.on < least ? fluid.on : least;
            gb_demand_t demand;
            gb_supply_t supply;
            gb_choice_t choice;

            rate += draw_below(&draw, 60)
                        ? 0
                        : draw_share(&draw) * 800 * (draw_below(&draw, 2) ? 1 : -1);
            rate = rate < 0 ? 0 : rate;
            gb_fluid_step(&fluid, &plant, rate * (0.8 + 0.4 * draw_share(&draw)));
            demand = gb_fluid_demand(&fluid, &plant, step);
            supply = gb_fluid_supply(&fluid, &plant);
            choice = gb_decide(&decider, &conf, &supply, &demand);
            gb_fluid_order(&fluid, &plant, choice);
            check_accounts(draw.state, step);
            ck_assert_uint_ge(fluid.on, floor_on);
            ck_assert_uint_ge(fluid.on + fluid.coming, least);
            ck_assert(fluid.on + fluid.coming >= choice.up + plant.spare ||
                      fluid.on + fluid.coming == plant.supply.servers);
            ck_assert_double_ge(fluid.joules, joules);
            joules = fluid.joules;
        }
    }
}
END_TEST

START_TEST(garbage_in_memory_does_no_harm)
{
    draw_t draw = draw_begin("garbage_in_memory_does_no_harm");
    int step;

    for (step = 0; step < 4000; step++) {
        gb_demand_t demand;

        if (step % 2) {
            draw_bytes(&draw, &fluid, sizeof fluid);
        }
        else { /* a part of it */
            draw_bytes(&draw, (char *)&fluid + draw_below(&draw, sizeof fluid - 16),
                       16);
        }
        gb_fluid_step(&fluid, &plant, draw_share(&draw) * 1000);
        order(draw_below(&draw, 30), draw_below(&draw, 30));
        gb_fluid_step(&fluid, &plant, draw_share(&draw) * 1000);
        demand = gb_fluid_demand(&fluid, &plant, 0);
        check_accounts(draw.state, step);
        ck_assert(isfinite(demand.in_system));
    }
}
END_TEST

START_TEST(arrivals_that_are_no_number_are_none)
{
    steps((double)NAN, 1);
    steps(-5, 1);
    check_accounts(0, 0);
    ck_assert_double_eq_tol(fluid.requests, 0, NEAR);
    steps((double)INFINITY, 3);
    check_accounts(0, 1);
}
END_TEST

START_TEST(fewer_servers_than_before_are_all_there_is)
{
    order(20, 20);
    steps(10, 5);
    make(4);
    steps(10, 1);
    check_accounts(0, 0);
    ck_assert_uint_eq(fluid.on, 4);
    ck_assert_uint_eq(fluid.coming, 0);
    ck_assert_double_eq_tol(fluid.requests, 60, NEAR);
}
END_TEST

Suite *gb_fluid_suite(void);

Suite *gb_fluid_suite(void)
{
    Suite *suite = suite_create("gb_fluid");
    TCase *tcase = tcase_create("fluid");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, servers_are_filled_in_order);
    tcase_add_test(tcase, more_than_the_goal_is_spread_evenly);
    tcase_add_test(tcase, without_packing_the_load_is_spread);
    tcase_add_test(tcase, the_rest_draws_what_it_draws_off);
    tcase_add_test(tcase, loads_between_permille_count_exactly);
    tcase_add_test(tcase, servers_that_differ_are_filled_in_their_order);
    tcase_add_test(tcase, alike_or_not_makes_no_difference);
    tcase_add_test(tcase, a_constant_load_costs_its_watts);
    tcase_add_test(tcase, a_set_up_takes_its_time_and_its_energy);
    tcase_add_test(tcase, a_set_up_adds_to_what_is_drawn_off);
    tcase_add_test(tcase, those_ordered_one_after_the_other_come_so);
    tcase_add_test(tcase, without_a_set_up_time_they_serve_in_the_next_second);
    tcase_add_test(tcase, long_set_ups_are_bounded_and_never_early);
    tcase_add_test(tcase, set_ups_that_become_shorter_lose_nobody);
    tcase_add_test(tcase, what_is_above_keep_goes_at_once);
    tcase_add_test(tcase, who_comes_is_not_called_back);
    tcase_add_test(tcase, who_comes_counts_against_what_is_wanted);
    tcase_add_test(tcase, the_floor_is_kept);
    tcase_add_test(tcase, spare_servers_are_added_to_the_need);
    tcase_add_test(tcase, no_more_than_there_are);
    tcase_add_test(tcase, below_saturation_erlang_says_how_many_are_late);
    tcase_add_test(tcase, the_rate_is_smoothed_over_ten_seconds);
    tcase_add_test(tcase, a_line_makes_late_what_waits_too_long);
    tcase_add_test(tcase, a_short_line_makes_nobody_late);
    tcase_add_test(tcase, with_the_late_last_only_the_excess_is_late);
    tcase_add_test(tcase, with_the_late_last_erlang_counts_while_the_line_goes);
    tcase_add_test(tcase, served_is_what_came_less_what_waits);
    tcase_add_test(tcase, a_policy_sees_littles_law_and_the_line);
    tcase_add_test(tcase, a_policy_sees_who_waits_below_saturation);
    tcase_add_test(tcase, policies_keep_floor_and_spare);
    tcase_add_test(tcase, garbage_in_memory_does_no_harm);
    tcase_add_test(tcase, arrivals_that_are_no_number_are_none);
    tcase_add_test(tcase, fewer_servers_than_before_are_all_there_is);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
