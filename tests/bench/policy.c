/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.c - what a decision of each policy costs; tests/bench/policy runs it.
 *
 *     policy POLICY SERVERS TICKS
 *
 * The fluid gives it an afternoon of load, second by second.  Only gb_decide() is
 * timed, in processor time of this thread.  Prints the mean of all ticks and the mean
 * of the dearest in a hundred, microseconds.
 */
#include "core/gb_fluid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static gb_curve_t curves[GB_MEMBERS_MAX];
static gb_upto_t upto[GB_MEMBERS_MAX + 1];
static gb_tail_row_t rows[GB_MEMBERS_MAX + 1];
static double slots[GB_MEMBERS_MAX + 1];
static gb_tail_t tail = {.rows = rows, .room = GB_MEMBERS_MAX};

static void make(gb_plant_t *plant, uint32_t servers)
{
    uint32_t k;

    for (k = 0; k <= servers; k++) {
        gb_upto_t first = {8.0 * k, 8.0 * k, 135.0 * k};

        upto[k] = first;
        slots[k] = first.slots;
    }
    for (k = 0; k < servers; k++) {
        gb_curve_linear(&curves[k], 140, 200);
        curves[k].off_watts = 5;
    }
    gb_tail_build(&tail, slots, servers, 0.12, 0.38);
    memset(plant, 0, sizeof *plant);
    plant->supply.servers = servers;
    plant->supply.upto = upto;
    plant->supply.tail = &tail;
    plant->supply.service_s = 0.12;
    plant->supply.late_s = 0.5;
    plant->supply.rate_per_slot = 7.5;
    plant->supply.setup_s = plant->setup_s = 260;
    plant->supply.setup_watts = 195;
    plant->curves = curves;
    plant->min_on = 1;
    plant->packs = true;
    gb_fluid_settle(plant);
}

/* Between a fifth and four fifths of the servers, with noise of the minute. */
static double arrivals(uint32_t servers, int second)
{
    double full = 60.0 * servers;

    return full * (0.5 + 0.3 * sin(second / 7200.0) +
                   0.02 * sin(second / 9.7) * cos(second / 23.1));
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x < y) - (x > y);
}

static void report(double *took_us, int ticks)
{
    double all_us = 0, dear_us = 0;
    int dearest = ticks / 100 > 0 ? ticks / 100 : 1;
    int i;

    qsort(took_us, (size_t)ticks, sizeof *took_us, falling);
    for (i = 0; i < ticks; i++) {
        all_us += took_us[i] / ticks;
        dear_us += i < dearest ? took_us[i] / dearest : 0;
    }
    printf("%.3f %.3f\n", all_us, dear_us);
}

static void run(gb_policy_e policy, uint32_t servers, double *took_us, int ticks)
{
    static gb_decider_t decider;
    static gb_fluid_t fluid;
    gb_plant_t plant;
    gb_policy_conf_t conf;
    int i;

    make(&plant, servers);
    gb_policy_defaults(&conf, policy);
    gb_fluid_init(&fluid, &plant, servers / 2, arrivals(servers, 0));
    for (i = 0; i < ticks; i++) {
        gb_demand_t demand;
        gb_supply_t supply;
        gb_choice_t choice;
        double before_us;

        gb_fluid_step(&fluid, &plant, arrivals(servers, i));
        demand = gb_fluid_demand(&fluid, &plant, i % 86400);
        supply = gb_fluid_supply(&fluid, &plant);
        before_us = now_us();
        choice = gb_decide(&decider, &conf, &supply, &demand);
        took_us[i] = now_us() - before_us;
        gb_fluid_order(&fluid, &plant, choice);
    }
}

int main(int argc, char **argv)
{
    gb_policy_e policy = argc == 4 ? gb_policy_find(argv[1]) : GB_POLICY_COUNT;
    long servers = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    long ticks = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    double *took_us;

    if (policy == GB_POLICY_COUNT || servers < 1 || servers > GB_MEMBERS_MAX ||
        ticks < 1 || ticks > 100000000) {
        fprintf(stderr, "usage: policy POLICY SERVERS(1..%d) TICKS\n", GB_MEMBERS_MAX);
        return 2;
    }
    took_us = calloc((size_t)ticks, sizeof *took_us);
    if (!took_us) {
        fprintf(stderr, "policy: no memory for %ld ticks\n", ticks);
        return 1;
    }
    run(policy, (uint32_t)servers, took_us, (int)ticks);
    report(took_us, (int)ticks);
    free(took_us);
    return 0;
}
