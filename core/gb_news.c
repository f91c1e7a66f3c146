/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news.c - NEWS decides: its pace, its price of lateness, its answer.
 */
#include "gb_news_private.h"

#include <math.h>
#include <string.h>

#define TICK_S 10u
/* Nobody asked for longer: the past minutes are unknown, unless nobody came in them. */
#define GAP_MOST_S   60
#define MINUTE_S     60
#define DAY_S        86400.0
#define SETUP_MOST_S DAY_S
#define SMOOTH_KEPT  0.9 /* of the smooth rate, each second */
#define SMOOTH_S     10.0
#define SAMPLE_S     0.2   /* counts over less say little of a rate */
#define RATE_MOST    100.0 /* capacities: more is a counter gone mad */
#define SHIFT_OFF    1.2   /* so far from what a server carries the shift may be */

/* A server more is bought at one and a half of its price, as its set-up is lost if it
 * was in vain; one that is on is kept for less than its price, as it can go later. */
#define UP_WEIGHT   1.5
#define KEEP_WEIGHT 0.7
#define HALF_SIZE   0.7  /* the error of a forecast half as far */
#define HOLD_PART   0.25 /* of the time in which idling costs as much as a set-up */
#define DRAIN_S     60.0 /* a line is to be gone after so long */

/* The price of a late request, in servers; where it begins and how far it may go. */
#define THETA_FIFO      (30.0 / 7)
#define THETA_FIFO_LOW  (1.5 / 7)
#define THETA_FIFO_HIGH (120.0 / 7)
#define THETA_LAST      (150.0 / 7)
#define THETA_LAST_LOW  (15.0 / 7)
#define THETA_LAST_HIGH (400.0 / 7) /* more buys little but energy */
#define PRICE_GAIN      0.6
#define PRICE_HASTE     3.0 /* so much more of it at first: the start is a guess */
#define BUDGET_AIM      0.8 /* of the budget: what is aimed at is met on average only */
#define BURST_MOST      50  /* late requests of a tick count as so many mean ticks */

/* The supply in NEWS's terms. */
typedef struct scene_t {
    const gb_supply_t *supply;
    uint32_t servers;  /* that can be chosen among */
    double per_server; /* requests/s that a mean server carries within the goal */
    double full;       /* requests/s that all serve at most */
    double setup_s;
    uint32_t tick_s;
} scene_t;

static double seconds(int64_t us)
{
    return (double)us / (double)GB_US_PER_S;
}

/* Long set-ups stretch the tick so that the ring holds one. */
static uint32_t fitting_tick(double setup_s)
{
    return TICK_S * (1 + (uint32_t)(setup_s / (TICK_S * (GB_NEWS_RING - 3))));
}

/* False when nothing can be chosen: no server or no table of them. */
static bool look_at(scene_t *scene, const gb_supply_t *supply)
{
    double slots;

    if (supply->servers < 1 || supply->tail == NULL || supply->tail->rows == NULL ||
        supply->tail->servers < 1) {
        return false;
    }
    scene->supply = supply;
    scene->servers = supply->servers < supply->tail->servers ? supply->servers
                                                             : supply->tail->servers;
    slots = gb_news_clean(supply->upto[supply->servers].slots, 1e9);
    if (!(slots > 0) || !(supply->service_s > 0) || !(supply->service_s < 1e6)) {
        return false;
    }
    scene->full = slots / supply->service_s;
    scene->per_server =
        gb_news_clean(supply->rate_per_slot * slots, scene->full) / supply->servers;
    if (!(scene->per_server > 1e-9)) {
        scene->per_server = 1e-9;
    }
    scene->setup_s = gb_news_clean(supply->setup_s, SETUP_MOST_S);
    scene->tick_s = fitting_tick(scene->setup_s);
    return true;
}

/* Requests/s that so many servers serve at most. */
static double capacity(const scene_t *scene, uint32_t count)
{
    return scene->supply->upto[count < scene->servers ? count : scene->servers].slots /
           scene->supply->service_s;
}

/* Without a call for longer something may have been missed. */
static int64_t gap_most_us(const scene_t *scene)
{
    int64_t ticks_s = 3 * (int64_t)scene->tick_s;

    return (ticks_s > GAP_MOST_S ? ticks_s : GAP_MOST_S) * GB_US_PER_S;
}

/* It was counted, and nobody came, and nobody is there. */
static bool is_empty(const gb_demand_t *demand)
{
    return !demand->unknown && !(demand->arrived > 0) && !(demand->late > 0) &&
           !(demand->in_system > 0) && !(demand->backlog > 0);
}

/* Is what is remembered of the past minute possible? */
static bool is_possible(const gb_news_t *memory, const scene_t *scene, int64_t now_us)
{
    int64_t gap_us = gap_most_us(scene);

    return memory->learned.layout == GB_NEWS_LAYOUT && memory->called_at_us != 0 &&
           memory->called_at_us <= now_us && memory->began_at_us <= now_us &&
           memory->ticked_at_us <= memory->called_at_us &&
           memory->sampled_at_us <= memory->called_at_us &&
           memory->sampled_at_us >= memory->ticked_at_us - gap_us &&
           memory->called_at_us - memory->ticked_at_us <= 2 * gap_us &&
           memory->due_at_us - memory->ticked_at_us <= 2 * gap_us &&
           memory->next < GB_NEWS_RING && memory->used <= GB_NEWS_RING &&
           isfinite(memory->smooth_rate) && memory->smooth_rate >= 0 &&
           memory->arrived >= 0 && memory->late >= 0 && memory->fresh >= 0 &&
           memory->begun >= 0 && isfinite(memory->begun) &&
           isfinite(memory->profile_sum) && isfinite(memory->profile_count);
}

/* Does a call now go on with it?  However long a gap was: when nobody came in it the
 * load was 0, and that is known as well as if it had been looked at.  The forecasts of
 * before it are not judged by what comes after it. */
static bool continues(gb_news_t *memory, const scene_t *scene,
                      const gb_demand_t *demand)
{
    if (!is_possible(memory, scene, demand->now_us)) {
        return false;
    }
    if (demand->now_us - memory->called_at_us > gap_most_us(scene)) {
        memory->used = 0;
        return is_empty(demand);
    }
    return true;
}

static uint32_t day_second(const gb_demand_t *demand)
{
    int64_t day_s = demand->day_s % (int64_t)DAY_S;

    return (uint32_t)(day_s < 0 ? day_s + (int64_t)DAY_S : day_s);
}

/* The past minutes are not known: a first minute begins.  What was learned stays; how
 * old its means are the time of the day says, as no clock outlives a restart: on
 * another day at the same hour they are good guesses as well. */
static void begin(gb_news_t *memory, const scene_t *scene, const gb_demand_t *demand)
{
    gb_news_learned_t learned = memory->learned;
    uint32_t there = scene->supply->on + scene->supply->coming;

    memset(memory, 0, sizeof(*memory));
    if (!gb_news_sane(&learned)) {
        gb_news_forget(&learned);
    }
    memory->learned = learned;
    memory->before_s = -1;
    if (learned.seconds > 0) {
        memcpy(memory->before, learned.mean, sizeof(memory->before));
        memory->before_s =
            (double)((day_second(demand) + (uint32_t)DAY_S - learned.day_s) %
                     (uint32_t)DAY_S);
    }
    memory->called_at_us = memory->ticked_at_us = demand->now_us;
    memory->began_at_us = memory->sampled_at_us = demand->now_us;
    memory->tick_s = scene->tick_s;
    memory->due_at_us = gb_after_us(demand->now_us, scene->tick_s * GB_US_PER_S);
    memory->choice.up = there > 0 ? there : 1;
    memory->choice.keep = scene->servers;
}

/* Counts what came since the latest call. */
static void note(gb_news_t *memory, const scene_t *scene, const gb_demand_t *demand)
{
    double since_s = seconds(demand->now_us - memory->called_at_us);
    double most = RATE_MOST * scene->full * (since_s > 1 ? since_s : 1);
    double arrived = gb_news_clean(demand->arrived, most);
    double sampled_s = seconds(demand->now_us - memory->sampled_at_us);
    double begun_s = seconds(demand->now_us - memory->began_at_us);
    double weight;

    memory->called_at_us = demand->now_us;
    memory->arrived += arrived;
    memory->late += gb_news_clean(demand->late, most);
    memory->fresh += arrived;
    memory->begun += begun_s <= 2 * MINUTE_S ? arrived : 0;
    if (sampled_s < SAMPLE_S) {
        return;
    }
    weight = 1 - pow(SMOOTH_KEPT, sampled_s);
    if (begun_s < SMOOTH_S) { /* a plain mean at first */
        weight = sampled_s / begun_s;
    }
    memory->smooth_rate += weight * (memory->fresh / sampled_s - memory->smooth_rate);
    memory->fresh = 0;
    memory->sampled_at_us = demand->now_us;
}

/* Some always wait for a moment; a line says that there are too few servers when it is
 * longer than chance makes it, or long enough to make some late soon. */
static bool line_is_long(const scene_t *scene, const gb_demand_t *demand)
{
    const gb_supply_t *supply = scene->supply;
    double full = capacity(scene, supply->on);
    double chance = 4 * sqrt(full * supply->service_s);
    double soon = 0.25 * full * (supply->late_s - supply->service_s);

    return demand->backlog > (chance < soon ? chance : soon);
}

/* Servers more, so that the line that will be there after a set-up is gone soon. */
static uint32_t extra_for_line(const scene_t *scene, double backlog, double middle_rate)
{
    const gb_supply_t *supply = scene->supply;
    double soon = capacity(scene, supply->on);
    double most = RATE_MOST * scene->full * SETUP_MOST_S, line;

    soon += 0.5 * (capacity(scene, supply->on + supply->coming) - soon);
    line = gb_news_clean(backlog, most) + (middle_rate - soon) * scene->setup_s;
    line = ceil(gb_news_clean(line, most) / (DRAIN_S * scene->full / supply->servers));
    return line < scene->servers ? (uint32_t)line : scene->servers;
}

static uint32_t most_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* What is worth to be kept is the most of the past while. */
static uint32_t held(const gb_news_t *memory, const scene_t *scene)
{
    const gb_supply_t *supply = scene->supply;
    double idle_watts = supply->upto[supply->servers].idle_watts / supply->servers;
    double hold_s = HOLD_PART * supply->setup_watts * scene->setup_s;
    double ticks = hold_s > 0 ? floor(hold_s / (idle_watts * memory->tick_s)) : 0;
    uint32_t keep = 1, count = memory->used;

    if (ticks >= 0 && ticks < count) { /* else idling costs next to nothing */
        count = (uint32_t)ticks;
    }
    for (uint32_t i = 0; i < most_of(count, 1); i++) {
        keep = most_of(
            keep,
            memory->ring[(memory->next + GB_NEWS_RING - 1 - i) % GB_NEWS_RING].keep);
    }
    return keep < scene->servers ? keep : scene->servers;
}

/* The cheapest numbers: to have, and to keep at least. */
static void weigh(const gb_news_t *memory, const scene_t *scene, uint32_t *up,
                  uint32_t *keep)
{
    const double both[2] = {UP_WEIGHT, KEEP_WEIGHT},
                 kept[2] = {KEEP_WEIGHT, KEEP_WEIGHT};
    const gb_news_price_t price = {memory->theta, 1 / scene->per_server,
                                   scene->servers};
    const double span_s = scene->setup_s + scene->tick_s;
    const double full = scene->per_server * scene->servers;
    gb_news_alike_t alike;
    gb_news_load_t load;
    uint32_t far[2], half[2];

    gb_news_alike_find(&alike, &memory->learned, memory->learned.mean[0]);
    gb_news_spread(&load, &memory->learned, memory->forecast, memory->size);
    gb_news_alike_mix(&load, &alike);
    gb_news_doubt(&load, &memory->learned, span_s, full);
    gb_news_cheapest(&load, scene->supply, &price, both, far);
    gb_news_spread(&load, &memory->learned,
                   0.5 * (memory->learned.mean[0] + memory->forecast),
                   HALF_SIZE * memory->size);
    gb_news_alike_mix(&load, &alike);
    gb_news_doubt(&load, &memory->learned, span_s, full);
    gb_news_cheapest(&load, scene->supply, &price, kept, half);
    *up = far[0];
    *keep = most_of(far[1], half[1]);
}

static void choose(gb_news_t *memory, const scene_t *scene, const gb_demand_t *demand,
                   double rate)
{
    bool line = line_is_long(scene, demand);
    double now_rate = line && rate > memory->smooth_rate ? rate : memory->smooth_rate;
    uint32_t least = gb_tail_need(scene->supply->tail, now_rate);
    uint32_t up, keep;

    weigh(memory, scene, &up, &keep);
    if (line) {
        double middle = exp(0.5 * (memory->learned.mean[0] + memory->forecast));

        up = most_of(up, least) +
             extra_for_line(scene, demand->backlog, middle - memory->learned.shift);
        up = up < scene->servers ? up : scene->servers;
        least = most_of(least, scene->supply->on);
    }
    keep = most_of(most_of(keep, least), up);
    memory->ring[(memory->next + GB_NEWS_RING - 1) % GB_NEWS_RING].keep = keep;
    memory->choice.up = up;
    memory->choice.keep = held(memory, scene);
}

static double clipped_price(const scene_t *scene, double price, double *theta)
{
    bool last = scene->supply->late_last;
    double start = last ? THETA_LAST : THETA_FIFO;

    price = gb_news_clip(price, log((last ? THETA_LAST_LOW : THETA_FIFO_LOW) / start),
                         log((last ? THETA_LAST_HIGH : THETA_FIFO_HIGH) / start));
    *theta = start * exp(price);
    return price;
}

/* Dual ascent: the price of lateness rises while more is late than the budget allows.
 */
static void move_price(gb_news_t *memory, const scene_t *scene, double budget,
                       double passed_s)
{
    gb_news_learned_t *learned = &memory->learned;
    double haste = 1 + PRICE_HASTE * exp(-learned->watched_s / DAY_S);
    double weight, mean, late;

    budget = budget > 0 && budget <= 1 ? gb_news_clip(budget, 1e-6, 1) : 0.005;
    learned->seconds = gb_news_clean(learned->seconds + passed_s, DAY_S);
    weight = gb_news_clean(passed_s / learned->seconds, 1);
    learned->arrived_rate +=
        weight * (memory->arrived / passed_s - learned->arrived_rate);
    learned->late_rate += weight * (memory->late / passed_s - learned->late_rate);
    mean = learned->arrived_rate * passed_s;
    late = gb_news_clean(memory->late, BURST_MOST * mean);
    learned->price += haste * PRICE_GAIN *
                      (late / (BUDGET_AIM * budget) - memory->arrived) /
                      (mean > 1 ? mean : 1) * gb_news_clean(passed_s / DAY_S, 1);
    learned->price = clipped_price(scene, learned->price, &memory->theta);
}

/* What was learned with other servers goes on: rates are rates.  Only the shift of the
 * logarithm has to be about what a server carries. */
static void follow_supply(gb_news_t *memory, const scene_t *scene)
{
    double off = scene->per_server / memory->learned.shift;

    if (memory->learned.seconds <= 0 && memory->used == 0) {
        memory->learned.shift = scene->per_server;
    }
    else if (off > SHIFT_OFF || off < 1 / SHIFT_OFF) {
        gb_news_reshift(&memory->learned, scene->per_server);
        memory->used = 0;
        memory->profile_sum = memory->profile_count = 0;
        memory->before_s = -1;
    }
    if (memory->tick_s != scene->tick_s) {
        memory->tick_s = scene->tick_s;
        memory->used = 0;
    }
}

static void tick(gb_news_t *memory, double budget, const scene_t *scene,
                 const gb_demand_t *demand)
{
    int64_t tick_us = scene->tick_s * GB_US_PER_S;
    double passed_s = seconds(demand->now_us - memory->ticked_at_us);
    double begun_s = seconds(demand->now_us - memory->began_at_us);
    double rate = memory->arrived / passed_s;
    double ticks = ceil(scene->setup_s / scene->tick_s) + 1;
    double begun_rate = begun_s <= MINUTE_S ? memory->begun / begun_s : -1;

    if (memory->ticked_at_us == memory->began_at_us) {
        begun_rate = rate; /* the first tick, which may be longer than a minute */
    }
    follow_supply(memory, scene);
    memory->learned.price = clipped_price(scene, memory->learned.price, &memory->theta);
    gb_news_learn(memory, rate, passed_s, begun_rate,
                  ticks < GB_NEWS_RING ? (uint32_t)ticks : GB_NEWS_RING - 1,
                  scene->setup_s, day_second(demand));
    gb_news_watch(&memory->learned, rate < scene->full ? rate : scene->full, passed_s);
    choose(memory, scene, demand, rate);
    if (begun_s < MINUTE_S) {
        memory->choice.keep = scene->servers;
    }
    move_price(memory, scene, budget, passed_s);
    memory->arrived = memory->late = 0;
    memory->ticked_at_us = demand->now_us;
    memory->due_at_us = gb_after_us(memory->due_at_us, tick_us);
    if (memory->due_at_us <= demand->now_us + tick_us / 2) { /* a call was long due */
        memory->due_at_us = gb_after_us(demand->now_us, tick_us);
    }
}

gb_choice_t gb_news_decide(gb_news_t *memory, double budget, const gb_supply_t *supply,
                           const gb_demand_t *demand)
{
    gb_choice_t choice = {supply->servers > 0 ? supply->servers : 1,
                          supply->servers > 0 ? supply->servers : 1};
    scene_t scene;

    if (!look_at(&scene, supply)) {
        return choice; /* nothing is known of the servers: all are to serve */
    }
    if (!continues(memory, &scene, demand)) {
        begin(memory, &scene, demand);
    }
    else {
        note(memory, &scene, demand);
    }
    if (demand->now_us >= memory->due_at_us) {
        if (gb_news_sane(&memory->learned)) {
            tick(memory, budget, &scene, demand);
        }
        else {
            begin(memory, &scene, demand);
        }
    }
    choice.up = most_of(memory->choice.up, 1);
    choice.up = choice.up < scene.servers ? choice.up : scene.servers;
    choice.keep = most_of(memory->choice.keep, choice.up);
    choice.keep = choice.keep < scene.servers ? choice.keep : scene.servers;
    return choice;
}

gb_news_view_t gb_news_view(const gb_news_t *memory)
{
    gb_news_view_t view = {0};
    gb_news_alike_t alike;
    gb_news_load_t load;
    double sum = 0;

    if (!gb_news_sane(&memory->learned) || memory->learned.seconds <= 0 ||
        memory->used == 0 || !(fabs(memory->forecast) < 100) ||
        !(memory->size > 0 && memory->size < 10) || !isfinite(memory->theta)) {
        return view;
    }
    gb_news_spread(&load, &memory->learned, memory->forecast, memory->size);
    gb_news_alike_find(&alike, &memory->learned, memory->learned.mean[0]);
    gb_news_alike_mix(&load, &alike);
    for (uint32_t i = 0; i < load.count; i++) {
        view.mean_rate += load.share[i] * load.rate[i];
    }
    for (uint32_t i = load.count; i > 0 && sum < 0.05; i--) {
        sum += load.share[i - 1];
        view.high_rate = load.rate[i - 1];
    }
    view.known = true;
    view.theta = memory->theta;
    if (memory->learned.arrived_rate > 0) {
        view.late_share =
            gb_news_clean(memory->learned.late_rate / memory->learned.arrived_rate, 1);
    }
    return view;
}
