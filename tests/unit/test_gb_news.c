/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_news.c - the NEWS policy.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_news_private.h"

Suite *gb_news_suite(void);

#define SERVERS   20u
#define SERVICE_S 0.12
#define WAIT_S    0.38
#define CARRIES   60.0 /* requests/s of a server within the goal */
#define BUDGET    0.005
#define DAY_S     86400

static gb_tail_row_t rows[1001];
static gb_upto_t upto[1001];
static double slots[1001];
static gb_tail_t tail;
static gb_supply_t supply;
static gb_demand_t demand;
static gb_news_t memory;
static double line; /* requests that wait */
static int64_t elapsed_s;

static void build(uint32_t servers)
{
    for (uint32_t k = 0; k <= servers; k++) {
        slots[k] = 8.0 * k;
        upto[k] = (gb_upto_t){10.0 * k, 8.0 * k, 140.0 * k};
    }
    tail = (gb_tail_t){.rows = rows, .room = 1000};
    gb_tail_build(&tail, slots, servers, SERVICE_S, WAIT_S);
    supply = (gb_supply_t){.servers = servers,
                           .upto = upto,
                           .tail = &tail,
                           .service_s = SERVICE_S,
                           .late_s = SERVICE_S + WAIT_S,
                           .rate_per_slot = CARRIES / 8,
                           .setup_s = 260,
                           .setup_watts = 200,
                           .on = servers};
    demand = (gb_demand_t){.now_us = GB_US_PER_S};
    line = 0;
    elapsed_s = 0;
}

static void setup(void)
{
    memset(&memory, 0, sizeof(memory));
    build(SERVERS);
}

/* A second in which so many requests come, with what is chosen on at once. */
static gb_choice_t second(double arrived)
{
    double full = slots[supply.on] / SERVICE_S;
    gb_choice_t choice;

    line = line + arrived - full > 0 ? line + arrived - full : 0;
    demand.now_us += GB_US_PER_S;
    demand.day_s = elapsed_s++ % DAY_S;
    demand.arrived = arrived;
    demand.late =
        line > 0 ? arrived : arrived * gb_tail_late(&tail, supply.on, arrived);
    demand.backlog = line;
    choice = gb_news_decide(&memory, BUDGET, &supply, &demand);
    ck_assert(choice.up >= 1 && choice.up <= choice.keep &&
              choice.keep <= supply.servers);
    return choice;
}

static void follow(gb_choice_t choice)
{
    if (supply.on < choice.up) {
        supply.on = choice.up;
    }
    if (supply.on > choice.keep) {
        supply.on = choice.keep;
    }
}

static gb_choice_t run(int64_t seconds, double rate)
{
    gb_choice_t choice = {0};

    while (seconds-- > 0) {
        choice = second(rate);
        follow(choice);
    }
    return choice;
}

START_TEST(in_the_first_minute_nobody_is_let_go)
{
    for (int i = 0; i < 60; i++) {
        ck_assert_uint_eq(second(100).keep, SERVERS);
    }
    ck_assert_uint_lt(run(300, 100).keep, SERVERS);
}
END_TEST

START_TEST(what_is_on_at_first_is_not_asked_to_grow)
{
    supply.on = 3;
    ck_assert_uint_eq(second(0).up, 3);
    supply.on = 0;
    setup();
    supply.on = 0;
    ck_assert_uint_eq(second(0).up, 1);
}
END_TEST

START_TEST(a_steady_load_gets_about_what_it_needs)
{
    gb_choice_t choice = run(7200, 600);
    uint32_t need = gb_tail_need(&tail, 600);

    ck_assert_uint_ge(choice.keep, need);
    ck_assert_uint_le(choice.keep, need + 2);
    ck_assert_uint_ge(choice.up + 1, need);
}
END_TEST

START_TEST(no_load_leaves_one)
{
    gb_choice_t choice = run(2 * DAY_S, 0);

    ck_assert_uint_eq(choice.up, 1);
    ck_assert_uint_eq(choice.keep, 1);
    /* And it is not blind afterwards. */
    ck_assert_uint_ge(run(300, 600).up, gb_tail_need(&tail, 600));
}
END_TEST

/* Hours pass between two calls, with a few seconds of calls after each. */
static gb_choice_t jumps(int count, double arrived_meanwhile, bool unknown)
{
    gb_choice_t choice = {0};

    while (count-- > 0) {
        demand.now_us += 7200 * GB_US_PER_S;
        elapsed_s += 7200;
        demand.unknown = unknown;
        follow(second(arrived_meanwhile));
        demand.unknown = false;
        line = 0;
        choice = run(5, 0);
    }
    return choice;
}

START_TEST(hours_without_anybody_are_known_however_they_passed)
{
    run(30, 0); /* not even the first minute is over */
    ck_assert_uint_eq(supply.on, SERVERS);
    ck_assert_uint_eq(jumps(1, 0, false).keep, 1);
    ck_assert_uint_eq(jumps(5, 0, false).keep, 1);
    ck_assert_uint_eq(supply.on, 1);
}
END_TEST

START_TEST(hours_without_anybody_end_a_load_too)
{
    run(3600, 600);
    ck_assert_uint_ge(supply.on, gb_tail_need(&tail, 600));
    ck_assert_uint_eq(jumps(1, 0, false).keep, 1);
    /* And it is not blind afterwards. */
    ck_assert_uint_ge(run(300, 600).up, gb_tail_need(&tail, 600));
    ck_assert(gb_news_sane(&memory.learned));
}
END_TEST

START_TEST(hours_of_which_nothing_is_known_begin_a_minute_anew)
{
    run(3600, 600);
    supply.on = SERVERS;
    ck_assert_uint_eq(jumps(1, 0, true).keep, SERVERS); /* nobody counted */
    ck_assert_uint_eq(run(50, 0).keep, SERVERS);
    ck_assert_uint_lt(run(3600, 0).keep, SERVERS);

    supply.on = SERVERS;
    ck_assert_uint_eq(jumps(1, 1, false).keep, SERVERS); /* one came, who knows when */
    demand.in_system = 1;
    ck_assert_uint_eq(jumps(1, 0, false).keep, SERVERS); /* one is there */
    demand.in_system = 0;
}
END_TEST

START_TEST(answers_change_each_ten_seconds_only)
{
    gb_choice_t before = {0};
    int changes = 0;

    run(605, 300);
    for (int i = 0; i < 600; i++) {
        gb_choice_t choice = second(i < 300 ? 300 : 900);

        if (i > 0 && (choice.up != before.up || choice.keep != before.keep)) {
            ck_assert_int_eq((int)((elapsed_s + 8) % 10), (int)(changes++ * 0 + 9));
        }
        before = choice;
    }
    ck_assert_int_gt(changes, 0);
}
END_TEST

START_TEST(a_line_calls_for_more_and_keeps_all)
{
    gb_choice_t choice, calm = run(3600, 240);

    choice = run(20, 1000);
    ck_assert_uint_gt(choice.up, calm.up);
    ck_assert_uint_ge(choice.keep, choice.up);
    run(1200, 1000);
    supply.on = 12; /* they will not catch up */
    line = 20000;
    for (int i = 0; i < 10; i++) {
        choice = second(1000);
    }
    ck_assert_uint_gt(choice.up, gb_tail_need(&tail, 1000));
}
END_TEST

START_TEST(chance_waiting_is_no_line)
{
    uint32_t keep;

    run(3600, 240);
    keep = run(600, 240).keep;
    supply.on = keep + 3; /* three that are not needed */
    for (int i = 0; i < 600; i++) {
        gb_choice_t choice = second(240);

        demand.backlog = 3;
        ck_assert_uint_le(choice.keep, keep + 2);
    }
}
END_TEST

/* A load that doubles for an hour each day at noon is expected on the fourth day. */
START_TEST(a_daily_rise_is_learned)
{
    double before = 0, ahead = 0;

    for (int64_t s = 0; s < 4 * DAY_S; s++) {
        int64_t of_day = s % DAY_S;
        double rate = 200 + (of_day >= 43200 && of_day < 46800 ? 500 : 0);

        follow(second(rate));
        if (s == 3 * DAY_S + 43200 - 3600) {
            before = memory.forecast;
        }
        if (s == 3 * DAY_S + 43200 - 60) {
            ahead = memory.forecast;
        }
    }
    ck_assert_double_gt(ahead, before + 0.1);
}
END_TEST

#define RAMP 9 /* the feature */

static double newest_ramp(void)
{
    return (double)memory.ring[(memory.next + GB_NEWS_RING - 1) % GB_NEWS_RING]
        .feature[RAMP];
}

/* The first ramp ever is carried on: 200 requests/s grow by half of one each second. */
START_TEST(a_ramp_is_followed_from_its_first_minutes)
{
    double ahead;

    run(12 * 3600, 200);
    for (int i = 0; i < 120; i++) {
        second(200 + 0.5 * i);
    }
    ahead = exp(memory.forecast) - memory.learned.shift;
    ck_assert_double_ge(ahead, 260 + 0.5 * 0.5 * supply.setup_s);
    ck_assert_double_le(ahead, 260 + 2 * 0.5 * supply.setup_s);
    for (int i = 0; i < 600; i++) { /* and ends */
        second(260);
    }
    ck_assert_double_eq_tol(exp(memory.forecast) - memory.learned.shift, 260, 30);
}
END_TEST

START_TEST(noise_is_no_ramp)
{
    unsigned seed = (unsigned)time(NULL), ramps = 0;

    printf("gb_news seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 8640; i++) {
        double rate = 300 + 60.0 * (rand() / (double)RAND_MAX - 0.5);

        for (int s = 0; s < 10; s++) {
            second(rate);
        }
        ramps += i > 360 && newest_ramp() > 0;
    }
    ck_assert_uint_le(ramps, 8640 / 10);
}
END_TEST

/* The load of a single server, on a fleet of twenty. */
START_TEST(in_doubt_a_server_stays)
{
    uint32_t first = run(120, 50).keep, later = run(1800, 50).keep;

    ck_assert_uint_ge(first, SERVERS / 2);
    ck_assert_uint_le(later, 6);
    ck_assert_uint_le(run(6 * 3600, 50).keep, 2);
}
END_TEST

/* Bursts that are always as high: servers for them, and none for higher ones. */
START_TEST(what_never_came_is_not_prepared_for)
{
    uint32_t need = gb_tail_need(&tail, 800);

    for (int cycle = 0; cycle < 100; cycle++) {
        run(120, 800);
        run(480, 40);
        if (cycle >= 80) {
            ck_assert_uint_ge(memory.choice.keep, need);
            ck_assert_uint_le(memory.choice.keep, need + 2);
        }
    }
    run(120, 1000); /* one that is higher */
    ck_assert_double_ge(memory.learned.record, 999);
    ck_assert_uint_ge(run(10, 1000).keep, gb_tail_need(&tail, 1000));
}
END_TEST

/* Jumps at random: in each pause servers for the next one are there, also in the
 * longest, and hardly any for more than ever came. */
START_TEST(jumps_at_random_are_known_by_the_pairs)
{
    const uint32_t need = gb_tail_need(&tail, 800);
    uint32_t seconds = 0, fewer = 0, more = 0;

    srand(7);
    for (int cycle = 0; cycle < 80; cycle++) {
        run(30 + rand() % 270, 800);
        for (int left = 60 + rand() % 840; left > 0; left--) {
            run(1, 40);
            if (cycle >= 40) {
                seconds++;
                fewer += memory.choice.keep + 1 < need;
                more += memory.choice.keep > need + 1;
            }
        }
    }
    ck_assert_uint_le(100 * fewer, seconds);
    ck_assert_uint_le(100 * more, seconds); /* three in a hundred without them */
    ck_assert_double_gt(memory.learned.trust, 2);
    ck_assert_uint_eq(memory.learned.pairs, GB_NEWS_PAIRS);
}
END_TEST

/* A load that grows and falls slowly is the forecast's. */
START_TEST(a_smooth_day_is_not_left_to_the_pairs)
{
    for (int64_t s = 0; s < 2 * DAY_S; s += 10) {
        run(10, 400 - 300 * cos(2 * M_PI * (double)s / DAY_S));
    }
    ck_assert_double_lt(memory.learned.trust, -2);
}
END_TEST

START_TEST(doubt_leaves_a_distribution)
{
    unsigned seed = (unsigned)time(NULL);

    printf("gb_news seed %u\n", seed);
    srand(seed);
    gb_news_forget(&memory.learned);
    memory.learned.shift = CARRIES;
    for (int i = 0; i < 2000; i++) {
        double full = 1 + rand() % 2000, size = 0.01 + rand() % 100 * 0.02;
        double sum = 0, before = 0, above = 0, doubt, first;
        gb_news_load_t load;

        memory.learned.record = rand() % 2000;
        memory.learned.near_s = rand() % 10000;
        memory.learned.watched_s = rand() % 2 ? 1e9 : rand() % 100000;
        gb_news_spread(&load, &memory.learned, log(CARRIES + rand() % 1200), size);
        for (uint32_t j = 0; j < load.count; j++) {
            before += load.share[j];
        }
        first = load.rate[0];
        doubt = pow(1 + memory.learned.watched_s / 540, -2);
        gb_news_doubt(&load, &memory.learned, 270, full);
        for (uint32_t j = 0; j < load.count; j++) {
            ck_assert(load.share[j] >= 0 && load.rate[j] > 0);
            ck_assert(j == 0 || load.rate[j] >= load.rate[j - 1]);
            sum += load.share[j];
            above += load.rate[j] > 1.1 * memory.learned.record ? load.share[j] : 0;
        }
        if (memory.learned.record > 0 && doubt > 1e-5) { /* what is not listed is 0 */
            before += doubt * (1 - before);
        }
        ck_assert_double_eq_tol(sum, before, 1e-5);
        if (memory.learned.watched_s > 1e8 && memory.learned.record > first) {
            ck_assert_double_le(above, pow(1 + memory.learned.near_s / 270, -2) + 1e-6);
        }
    }
}
END_TEST

START_TEST(the_price_follows_the_measured_late_share)
{
    double price;

    run(3600, 300);
    price = memory.theta;
    for (int i = 0; i < 6 * 3600; i++) {
        second(300);
        memory.late = memory.arrived; /* all of them late */
    }
    ck_assert_double_gt(memory.theta, price);
    ck_assert_double_le(memory.theta, 120.0 / 7 + 1e-9);
    price = memory.theta;
    supply.on = SERVERS;
    for (int i = 0; i < 3 * DAY_S; i++) {
        second(300); /* none of them */
    }
    ck_assert_double_lt(memory.theta, price);
    ck_assert_double_ge(memory.theta, 1.5 / 7 - 1e-9);
}
END_TEST

/* Without a late one the price falls, on the first day faster than on the tenth. */
START_TEST(the_price_moves_faster_at_first)
{
    double start, first, tenth;

    run(600, 300);
    start = memory.learned.price;
    run(6 * 3600, 300);
    first = start - memory.learned.price;
    memory.learned.watched_s = 10.0 * DAY_S;
    start = memory.learned.price = 0;
    run(6 * 3600, 300);
    tenth = start - memory.learned.price;
    ck_assert_double_gt(tenth, 0.5 * 0.6 / 4);
    ck_assert_double_gt(first, 2 * tenth);
    ck_assert_double_lt(first, 4 * tenth);
}
END_TEST

START_TEST(late_last_has_its_own_prices)
{
    supply.late_last = true;
    run(3600, 300);
    ck_assert_double_gt(memory.theta, 15.0 / 7 - 1e-9);
    ck_assert_double_gt(memory.theta, 120.0 / 7);
    for (int i = 0; i < DAY_S; i++) {
        second(300);
        memory.late = memory.arrived; /* all of them late */
    }
    ck_assert_double_eq_tol(memory.theta, 400.0 / 7, 1e-9);
}
END_TEST

START_TEST(long_set_ups_stretch_the_tick)
{
    const double times_s[] = {0,    0.5,   3,   60,  1249,    1300,
                              4000, 86400, 1e9, NAN, INFINITY};

    for (size_t i = 0; i < sizeof(times_s) / sizeof(times_s[0]); i++) {
        setup();
        supply.setup_s = times_s[i];
        run(4000, 300);
        ck_assert_uint_eq(memory.tick_s % 10, 0);
        if (memory.tick_s > 10) {
            ck_assert(times_s[i] / (memory.tick_s - 10) >= GB_NEWS_RING - 3.001);
        }
        ck_assert(!(times_s[i] <= 86400) ||
                  times_s[i] / memory.tick_s + 2 < GB_NEWS_RING);
        ck_assert_uint_lt(run(20, 300).keep, SERVERS);
    }
}
END_TEST

START_TEST(a_gap_or_a_clock_that_runs_back_begins_the_minute_anew)
{
    gb_news_learned_t learned;

    run(DAY_S / 2, 300);
    learned = memory.learned;
    demand.now_us += 3600 * GB_US_PER_S;
    ck_assert_uint_eq(second(300).keep, SERVERS);
    ck_assert_mem_eq(memory.learned.weight, learned.weight, sizeof(learned.weight));
    run(300, 300);
    demand.now_us -= 1000 * GB_US_PER_S;
    ck_assert_uint_eq(second(300).keep, SERVERS);
    ck_assert(memory.learned.seconds > DAY_S / 2.0);
}
END_TEST

START_TEST(counters_gone_mad_do_little)
{
    const double bad[] = {NAN, INFINITY, -INFINITY, -5, 1.8e19, 1e308};
    gb_choice_t choice;

    run(7200, 300);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        demand.now_us += GB_US_PER_S;
        demand.arrived = demand.late = demand.backlog = bad[i];
        choice = gb_news_decide(&memory, BUDGET, &supply, &demand);
        ck_assert(choice.up >= 1 && choice.keep <= SERVERS);
        run(1200, 300);
        ck_assert(gb_news_sane(&memory.learned));
    }
    choice = run(7200, 300);
    ck_assert_uint_le(choice.up, gb_tail_need(&tail, 300) + 2);
}
END_TEST

/* Everything may change from call to call, and the memory may hold anything. */
START_TEST(hostile_calls_are_bounded)
{
    unsigned seed = (unsigned)time(NULL);
    const double odd[] = {0, -1, NAN, INFINITY, 1e300, 1e-300, 1, 100, 0.1};

    printf("gb_news seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20000; i++) {
        gb_choice_t choice;

        supply.on = (uint32_t)rand() % (SERVERS + 1);
        supply.coming = (uint32_t)rand() % (SERVERS + 1 - supply.on);
        supply.setup_s = rand() % 50 ? supply.setup_s : odd[rand() % 9];
        supply.setup_watts = rand() % 50 ? 200 : odd[rand() % 9];
        supply.rate_per_slot = rand() % 50 ? 7.5 : odd[rand() % 9];
        supply.late_last = rand() % 100 ? supply.late_last : !supply.late_last;
        demand.now_us += rand() % 300 ? rand() % (12 * 1000000)
                                      : ((int64_t)rand() << 20) - ((int64_t)1 << 50);
        demand.day_s = rand() % 20 ? demand.day_s + 5 : rand() - rand();
        demand.arrived = rand() % 20 ? rand() % 5000 : odd[rand() % 9];
        demand.late = rand() % 20 ? rand() % 100 : odd[rand() % 9];
        demand.backlog = rand() % 20 ? rand() % 3 : odd[rand() % 9];
        if (rand() % 200 == 0) {
            ((uint8_t *)&memory)[(size_t)rand() % sizeof(memory)] = (uint8_t)rand();
        }
        choice = gb_news_decide(&memory, odd[rand() % 9], &supply, &demand);
        ck_assert_msg(choice.up >= 1 && choice.up <= choice.keep &&
                          choice.keep <= SERVERS,
                      "step %d", i);
        (void)gb_news_view(&memory);
    }
}
END_TEST

START_TEST(memory_full_of_garbage_is_forgotten)
{
    for (int byte = 0; byte < 256; byte += 5) {
        memset(&memory, byte, sizeof(memory));
        ck_assert(!gb_news_view(&memory).known);
        ck_assert_uint_eq(second(100).keep, SERVERS);
        run(200, 100);
        ck_assert(gb_news_sane(&memory.learned));
    }
}
END_TEST

START_TEST(servers_without_a_table_are_all_wanted)
{
    gb_tail_t none = {0};
    gb_choice_t choice;

    supply.tail = &none;
    choice = second(100);
    ck_assert_uint_eq(choice.up, SERVERS);
    supply.tail = NULL;
    ck_assert_uint_eq(second(100).up, SERVERS);
    supply.servers = 0;
    choice = gb_news_decide(&memory, BUDGET, &supply, &demand);
    ck_assert_uint_eq(choice.up, 1);
    ck_assert_uint_eq(choice.keep, 1);
}
END_TEST

START_TEST(the_learned_state_survives_other_servers)
{
    gb_choice_t choice;

    run(DAY_S, 600);
    build(10); /* half of them, each of 8 slots */
    demand.now_us = memory.called_at_us;
    elapsed_s = DAY_S;
    choice = run(60, 300);
    ck_assert_uint_le(choice.keep, 10);
    ck_assert(memory.learned.seconds > DAY_S - 100);
    supply.rate_per_slot = 5; /* another rate a server carries */
    choice = run(600, 300);
    ck_assert_double_eq_tol(memory.learned.shift, 40, 1e-9);
    /* The means are of the same rates as before. */
    ck_assert_double_eq_tol(exp(memory.learned.mean[0]) - 40, 300, 1);
    ck_assert_uint_le(choice.up, gb_tail_need(&tail, 300) + 2);
}
END_TEST

/* The cheapest number by brute force: all sums in full. */
static uint32_t dearest_way(const gb_news_load_t *load, double theta, double weight)
{
    double best = INFINITY, full_all = slots[supply.servers] / SERVICE_S, mean = 0;
    uint32_t cheapest = 1;

    for (uint32_t i = 0; i < load->count; i++) {
        mean += load->share[i] * fmin(load->rate[i], full_all);
    }
    for (uint32_t k = 1; k <= supply.servers; k++) {
        double late = 0, share = 0, full = slots[k] / SERVICE_S, excess, value;

        for (uint32_t i = 0; i < load->count; i++) {
            double part = gb_tail_late(&tail, k, load->rate[i]);

            part = load->rate[i] <= rows[k].none_rate ? 0 : part;
            late += load->share[i] * load->rate[i] * part;
            share += load->rate[i] >= rows[k].all_rate ? load->share[i] : 0;
        }
        excess = fmax(0, late - full * share);
        late = supply.late_last
                   ? excess
                   : late + 2 * mean *
                                fmin(1, excess / fmax(full - mean, 0.05 * full + 1));
        value = weight * upto[k].idle_watts * supply.servers /
                    upto[supply.servers].idle_watts +
                theta / CARRIES * late;
        if (value < best - 1e-9) {
            best = value;
            cheapest = k;
        }
    }
    return cheapest;
}

START_TEST(the_sweep_finds_what_brute_force_finds)
{
    const double both[2] = {1.5, 0.7};
    unsigned seed = (unsigned)time(NULL);

    printf("gb_news seed %u\n", seed);
    srand(seed);
    gb_news_forget(&memory.learned);
    memory.learned.shift = CARRIES;
    for (int i = 0; i < 400; i++) {
        gb_news_price_t price = {0.2 + rand() % 100, 1 / CARRIES, 0};
        gb_news_load_t load;
        uint32_t cheapest[2];

        build(1 + (uint32_t)rand() % 40);
        for (uint32_t k = 1; k <= supply.servers && i % 2; k++) { /* a mixed fleet */
            upto[k].idle_watts = upto[k - 1].idle_watts + rand() % 200 + 1;
        }
        supply.late_last = rand() % 2;
        price.servers = supply.servers;
        gb_news_spread(&load, &memory.learned,
                       log(CARRIES * (1 + rand() % (int)(supply.servers * 3 / 2 + 1))),
                       0.01 + 0.5 * rand() / RAND_MAX);
        gb_news_cheapest(&load, &supply, &price, both, cheapest);
        ck_assert_uint_eq(cheapest[0], dearest_way(&load, price.theta, both[0]));
        ck_assert_uint_eq(cheapest[1], dearest_way(&load, price.theta, both[1]));
    }
}
END_TEST

START_TEST(the_view_tells_the_forecast)
{
    gb_news_view_t view = gb_news_view(&memory);

    ck_assert(!view.known);
    run(6 * 3600, 600);
    view = gb_news_view(&memory);
    ck_assert(view.known);
    ck_assert_double_eq_tol(view.mean_rate, 600, 30);
    ck_assert_double_ge(view.high_rate, view.mean_rate);
    ck_assert_double_le(view.high_rate, 800);
    ck_assert(view.late_share >= 0 && view.late_share < 0.05);
    ck_assert_double_gt(view.theta, 0);
}
END_TEST

START_TEST(what_is_saved_is_loaded)
{
    static uint8_t saved[GB_NEWS_SAVED_BYTES], again[GB_NEWS_SAVED_BYTES];
    gb_news_t other;
    double theta;

    run(DAY_S, 400);
    theta = memory.theta;
    ck_assert_uint_eq(gb_news_save(&memory, saved), GB_NEWS_SAVED_BYTES);
    ck_assert(gb_news_load(&other, saved, sizeof(saved)));
    gb_news_save(&other, again);
    ck_assert_mem_eq(saved, again, sizeof(saved));
    memory = other; /* after a restart of two minutes */
    demand.now_us += 120 * GB_US_PER_S;
    elapsed_s += 120;
    run(300, 400);
    ck_assert_double_eq_tol(memory.theta, theta, 0.05 * theta);
    ck_assert_double_eq_tol(memory.learned.weight[1], other.learned.weight[1], 0.1);
}
END_TEST

START_TEST(damaged_bytes_are_not_loaded)
{
    static uint8_t saved[GB_NEWS_SAVED_BYTES];

    run(3600, 400);
    gb_news_save(&memory, saved);
    ck_assert(!gb_news_load(&memory, saved, sizeof(saved) - 1));
    for (size_t i = 0; i < sizeof(saved); i += 7) {
        saved[i] ^= 0x40;
        ck_assert(!gb_news_load(&memory, saved, sizeof(saved)));
        ck_assert_uint_eq(memory.learned.layout, 0);
        saved[i] ^= 0x40;
    }
    ck_assert(gb_news_load(&memory, saved, sizeof(saved)));
}
END_TEST

START_TEST(nothing_sane_saves_nothing_learned)
{
    static uint8_t saved[GB_NEWS_SAVED_BYTES];

    memset(&memory, 0xff, sizeof(memory));
    gb_news_save(&memory, saved);
    ck_assert(gb_news_load(&memory, saved, sizeof(saved)));
    ck_assert_double_eq(memory.learned.seconds, 0);
}
END_TEST

Suite *gb_news_suite(void)
{
    Suite *suite = suite_create("gb_news");
    TCase *tcase = tcase_create("news");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, in_the_first_minute_nobody_is_let_go);
    tcase_add_test(tcase, what_is_on_at_first_is_not_asked_to_grow);
    tcase_add_test(tcase, a_steady_load_gets_about_what_it_needs);
    tcase_add_test(tcase, no_load_leaves_one);
    tcase_add_test(tcase, hours_without_anybody_are_known_however_they_passed);
    tcase_add_test(tcase, hours_without_anybody_end_a_load_too);
    tcase_add_test(tcase, hours_of_which_nothing_is_known_begin_a_minute_anew);
    tcase_add_test(tcase, answers_change_each_ten_seconds_only);
    tcase_add_test(tcase, a_line_calls_for_more_and_keeps_all);
    tcase_add_test(tcase, chance_waiting_is_no_line);
    tcase_add_test(tcase, a_daily_rise_is_learned);
    tcase_add_test(tcase, a_ramp_is_followed_from_its_first_minutes);
    tcase_add_test(tcase, noise_is_no_ramp);
    tcase_add_test(tcase, in_doubt_a_server_stays);
    tcase_add_test(tcase, what_never_came_is_not_prepared_for);
    tcase_add_test(tcase, jumps_at_random_are_known_by_the_pairs);
    tcase_add_test(tcase, a_smooth_day_is_not_left_to_the_pairs);
    tcase_add_test(tcase, doubt_leaves_a_distribution);
    tcase_add_test(tcase, the_price_follows_the_measured_late_share);
    tcase_add_test(tcase, the_price_moves_faster_at_first);
    tcase_add_test(tcase, late_last_has_its_own_prices);
    tcase_add_test(tcase, long_set_ups_stretch_the_tick);
    tcase_add_test(tcase, a_gap_or_a_clock_that_runs_back_begins_the_minute_anew);
    tcase_add_test(tcase, counters_gone_mad_do_little);
    tcase_add_test(tcase, hostile_calls_are_bounded);
    tcase_add_test(tcase, memory_full_of_garbage_is_forgotten);
    tcase_add_test(tcase, servers_without_a_table_are_all_wanted);
    tcase_add_test(tcase, the_learned_state_survives_other_servers);
    tcase_add_test(tcase, the_sweep_finds_what_brute_force_finds);
    tcase_add_test(tcase, the_view_tells_the_forecast);
    tcase_add_test(tcase, what_is_saved_is_loaded);
    tcase_add_test(tcase, damaged_bytes_are_not_loaded);
    tcase_add_test(tcase, nothing_sane_saves_nothing_learned);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    return suite;
}
