/* SPDX-License-Identifier: Apache-2.0
 *
 * demand.c - what the keeper tells the policies of a balancer: what came, what was
 * late, how long a server takes, and how many servers the hour asks for.
 *
 * A request counts as it arrives, once: by the counters of the members, and by those of
 * the waiting room while it waits there or when no server has served it.  Where it
 * waited it goes over from the one to the other, and the sum stays; where it failed
 * over, the member that failed is taken off again.
 *
 * Late is a response that took longer than GreenQueue's late=, with all the time that
 * it waited, and whoever found no server: the waiting page, 503, also after a refused
 * connection.  The waiting page's own questions are no requests, and neither is what
 * must not wake anything.  Policies are told of those alone that are late since they
 * had to wait (core/gb_lateness.h).
 *
 * A write to a balancer with GreenCommit comes when it is stored, once; its service
 * time is all the work that it makes: the answer's time and that of every other replica
 * that is awake.
 *
 * Keeper's one thread; no locks.
 */
#include "watchdog.h"
#include "core/gb_lateness.h"

#include <math.h>

#define ADDED_MOST    64    /* members that may come at run time, and be decided upon */
#define CARRY_S       10    /* a sum that is behind for so long stays so */
#define SERVICE_S     300.0 /* time constant of the mean service time */
#define SERVICE_LEAST 20.0  /* requests that it is made of at least */

/* What a balancer's counters have gained. */
typedef struct gain_t {
    int64_t arrived;
    uint64_t late, slow;
    uint64_t ended; /* well or badly; of these */
    uint64_t answered, latency_sum_us;
    uint64_t follow_us; /* other replicas' time for writes that were answered */
} gain_t;

typedef struct asker_t {
    int64_t behind; /* arrivals counted twice so far, not positive */
    uint32_t behind_s;
    double service_sum_us, service_count; /* of the past minutes; the sum's part that */
    double follow_sum_us;                 /* is other replicas' */
    gb_lateness_t lateness;
    bool crowded; /* since the latest look */
    gb_tail_t tail;
    const mgb_balancer_t *balancer;
} asker_t;

static struct {
    asker_t *askers; /* [pool] */
    gain_t *gains;   /* [pool]; of this look */
    int64_t look_at_us, looked_at_us;
} demand;

/* ------------------------------------------------------------------ creating */

uint32_t mgb_demand_room(const mgb_balancer_t *b)
{
    uint32_t room = (uint32_t)b->balancer->workers->nelts + ADDED_MOST;

    return room < GB_MEMBERS_MAX ? room : GB_MEMBERS_MAX;
}

/* The memory that the policies of a balancer work in. */
static void pool_prepare(mgb_keeper_t *keeper, gb_pool_t *pool, asker_t *asker,
                         uint32_t slot)
{
    uint32_t room = mgb_demand_room(asker->balancer);
    mgb_mind_t *mind = &keeper->shared->minds[slot];

    asker->tail.room = room;
    asker->tail.rows = apr_pcalloc(keeper->pool, (room + 1) * sizeof(gb_tail_row_t));
    gb_mind_turn(&mind->own, pool->policy.policy, &mind->twins[GB_POLICY_NEWS].decider);
    pool->decider = &mind->own.decider;
    pool->tail = &asker->tail;
    pool->upto = apr_pcalloc(keeper->pool, (room + 1) * sizeof(gb_upto_t));
    pool->slots_upto = apr_pcalloc(keeper->pool, (room + 1) * sizeof(double));
    pool->decide_room = room;
    pool->late_last = asker->balancer->conf->mode == GB_MODE_ON &&
                      asker->balancer->conf->hold.queue == MGB_QUEUE_LATE_LAST;
    pool->arrived = pool->late = 0;
    pool->unknown = false;
}

void mgb_demand_create(mgb_keeper_t *keeper)
{
    uint32_t pools = mgb_dog.fleet.pool_count;

    memset(&demand, 0, sizeof(demand));
    demand.askers = apr_pcalloc(keeper->pool, (pools + 1) * sizeof(asker_t));
    demand.gains = apr_pcalloc(keeper->pool, (pools + 1) * sizeof(gain_t));
    for (uint32_t i = 0; i < pools; i++) {
        demand.askers[i].balancer = mgb_fleet_balancer(keeper, mgb_dog.pool_slots[i]);
        pool_prepare(keeper, &mgb_dog.fleet.pools[i], &demand.askers[i],
                     mgb_dog.pool_slots[i]);
    }
}

/* ------------------------------------------------------------------ counting */

static mgb_seen_t door_now(const gb_cell_t *cell)
{
    mgb_seen_t now = {
        .arrivals = __atomic_load_n(&cell->arrivals, __ATOMIC_RELAXED),
        .failovers =
            __atomic_load_n(&cell->outcomes[GB_OUT_FAILOVER], __ATOMIC_RELAXED),
        .late = __atomic_load_n(&cell->late, __ATOMIC_RELAXED),
        .slow = __atomic_load_n(&cell->slow, __ATOMIC_RELAXED),
        .latency_sum_us = __atomic_load_n(&cell->latency_sum_us, __ATOMIC_RELAXED),
        .follow_us = __atomic_load_n(&cell->follow_us, __ATOMIC_RELAXED)};

    for (int i = GB_OUT_OK; i <= GB_OUT_SERVER; i++) {
        now.answered += __atomic_load_n(&cell->outcomes[i], __ATOMIC_RELAXED);
    }
    now.ended = now.answered +
                __atomic_load_n(&cell->outcomes[GB_OUT_GATEWAY], __ATOMIC_RELAXED) +
                __atomic_load_n(&cell->outcomes[GB_OUT_ABORTED], __ATOMIC_RELAXED);
    return now;
}

/* What was seen of a member lies beside it: nothing is left out while one keeper
 * follows another, nor is it counted again. */
static void doors_gain(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        uint32_t slot = keeper->doors[i].slot, pool = mgb_dog.fleet.doors[i].balancer;
        mgb_seen_t now = door_now(&keeper->shared->cells[slot]);
        mgb_seen_t *then = &keeper->shared->members[slot].seen;

        if (pool < mgb_dog.fleet.pool_count) {
            gain_t *gain = &demand.gains[pool];

            gain->arrived += (int64_t)(now.arrivals - then->arrivals) -
                             (int64_t)(now.failovers - then->failovers);
            gain->late += now.late - then->late;
            gain->slow += now.slow - then->slow;
            gain->ended += now.ended - then->ended;
            gain->answered += now.answered - then->answered;
            gain->latency_sum_us += now.latency_sum_us - then->latency_sum_us;
            gain->follow_us += now.follow_us - then->follow_us;
        }
        *then = now;
    }
}

/* Those that wait, writes without an answer too, and those that were never served. */
static uint64_t waiting_room(const mgb_balancer_shared_t *shared)
{
    const mgb_waits_t *waits = &shared->waits;
    uint64_t sum = __atomic_load_n(&shared->room.waiting, __ATOMIC_RELAXED);

    sum += __atomic_load_n(&shared->log.open, __ATOMIC_RELAXED);
    sum += __atomic_load_n(&waits->refused, __ATOMIC_RELAXED);
    sum += __atomic_load_n(&waits->timed_out, __ATOMIC_RELAXED);
    sum += __atomic_load_n(&waits->aborted, __ATOMIC_RELAXED);
    sum += __atomic_load_n(&waits->turned_away, __ATOMIC_RELAXED);
    sum += __atomic_load_n(&waits->pages, __ATOMIC_RELAXED);
    return sum - __atomic_load_n(&waits->asked_again, __ATOMIC_RELAXED);
}

static void waits_gain(mgb_balancer_shared_t *shared, gain_t *gain)
{
    uint64_t sum = waiting_room(shared);
    uint64_t late = __atomic_load_n(&shared->waits.late, __ATOMIC_RELAXED);

    gain->arrived += (int64_t)(sum - shared->waiting_seen);
    gain->late += late - shared->waiting_late_seen;
    shared->waiting_seen = sum;
    shared->waiting_late_seen = late;
}

/* A request that goes over from one counter to another may be seen in both, or in none,
 * at this instant: what was counted too many is taken off what comes.  A waiter whose
 * process was killed is in none for good. */
static uint64_t arrivals_of(asker_t *asker, int64_t gained)
{
    gained += asker->behind;
    asker->behind = gained < 0 ? gained : 0;
    asker->behind_s = gained < 0 ? asker->behind_s + 1 : 0;
    if (asker->behind_s >= CARRY_S) {
        asker->behind = 0;
        asker->behind_s = 0;
    }
    return gained > 0 ? (uint64_t)gained : 0;
}

/* ------------------------------------------------------------------ service times */

/* While nobody has to wait, a response takes as long as its server needs for it. */
static void service_learn(asker_t *asker, const gain_t *gain, const gb_pool_t *pool,
                          uint32_t waiting)
{
    double kept = exp(-1.0 / SERVICE_S);
    bool queues = waiting || pool->tally.in_flight > pool->tally.capacity_awake;

    if (!gain->answered || (queues && asker->service_count >= SERVICE_LEAST)) {
        return;
    }
    if (asker->service_count > SERVICE_LEAST) {
        asker->service_sum_us *= kept;
        asker->follow_sum_us *= kept;
        asker->service_count *= kept;
    }
    asker->service_sum_us += (double)gain->latency_sum_us + (double)gain->follow_us;
    asker->follow_sum_us += (double)gain->follow_us;
    asker->service_count += (double)gain->answered;
}

static int64_t mean_us(const asker_t *asker, double sum_us)
{
    return asker->service_count > 0 ? (int64_t)(sum_us / asker->service_count) : 0;
}

/* Before anything was answered in this keeper's life: what its predecessors' counters
 * say. */
static void service_begin(const mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        uint32_t pool = mgb_dog.fleet.doors[i].balancer;

        if (pool < mgb_dog.fleet.pool_count) {
            const mgb_seen_t *seen =
                &keeper->shared->members[keeper->doors[i].slot].seen;
            asker_t *asker = &demand.askers[pool];

            asker->service_sum_us +=
                (double)seen->latency_sum_us + (double)seen->follow_us;
            asker->follow_sum_us += (double)seen->follow_us;
            asker->service_count += (double)seen->answered;
        }
    }
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        asker_t *asker = &demand.askers[i];

        if (asker->service_count > SERVICE_LEAST) { /* what comes soon outweighs it */
            asker->service_sum_us *= SERVICE_LEAST / asker->service_count;
            asker->follow_sum_us *= SERVICE_LEAST / asker->service_count;
            asker->service_count = SERVICE_LEAST;
        }
    }
}

/* ------------------------------------------------------------------ late by waiting */

/* Looked at each tick: a crowd may be gone a second later. */
static void crowds_note(const mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const gb_door_t *door = &mgb_dog.fleet.doors[i];

        if (door->balancer < mgb_dog.fleet.pool_count &&
            door->in_flight > door->capacity) {
            demand.askers[door->balancer].crowded = true;
        }
    }
}

static double late_by_waiting(asker_t *asker, const gain_t *gain, int64_t goal_us,
                              int64_t passed_us)
{
    gb_answers_t seen = {.passed_s = (double)passed_us / GB_US_PER_S,
                         .late_s = (double)goal_us / GB_US_PER_S,
                         .answered = (double)gain->ended,
                         .late = (double)gain->late,
                         .slow = (double)gain->slow,
                         .crowded = asker->crowded};

    asker->crowded = false;
    return gb_lateness_waited(&asker->lateness, &seen);
}

/* ------------------------------------------------------------------ the floor */

static uint32_t floor_now(const mgb_shared_t *sh, const mgb_balancer_t *b,
                          const gb_pool_t *pool, int64_t utc_s)
{
    const mgb_pool_conf_t *conf = b->conf;
    double boot_s = ceil((double)pool->ahead_us / GB_US_PER_S);
    uint32_t quorum = mgb_replicas_floor(sh, b);
    uint32_t floor = quorum > conf->min_awake ? quorum : conf->min_awake;

    boot_s = gb_within(boot_s, 0, GB_DAY_S);
    for (uint32_t i = 0; i < conf->schedule_count; i++) {
        const mgb_schedule_t *schedule = &conf->schedules[i];
        uint32_t rises_to = gb_schedule_floor(&schedule->when, &schedule->zone, utc_s,
                                              schedule->min_awake, pool->wakes_at_once,
                                              (uint32_t)boot_s);

        floor = rises_to > floor ? rises_to : floor;
    }
    return floor;
}

/* ------------------------------------------------------------------ the look */

static void pool_sense(mgb_keeper_t *keeper, uint32_t i, bool first, int64_t passed_us)
{
    mgb_balancer_shared_t *shared = &keeper->shared->balancers[mgb_dog.pool_slots[i]];
    gb_pool_t *pool = &mgb_dog.fleet.pools[i];
    asker_t *asker = &demand.askers[i];
    gain_t *gain = &demand.gains[i];
    double arrived = 0, late = 0;
    uint64_t came;
    int64_t late_us = asker->balancer->conf->hold.late_us, took_us;

    waits_gain(shared, gain);
    came = arrivals_of(asker, gain->arrived);
    shared->arrived += came;
    shared->late += gain->late;
    /* At first it is of a time that nobody knows: no policy may take it for a rush. */
    if (!first) {
        arrived = (double)came;
        late = late_by_waiting(asker, gain, pool->late_us, passed_us);
        service_learn(asker, gain, pool,
                      __atomic_load_n(&shared->room.waiting, __ATOMIC_RELAXED));
    }
    took_us = mean_us(asker, asker->service_sum_us - asker->follow_sum_us);
    pool->arrived = arrived;
    pool->late = late;
    pool->unknown = first;
    pool->service_us = mean_us(asker, asker->service_sum_us);
    pool->late_us =
        late_us > took_us * GB_LATE_LEAST ? late_us : took_us * GB_LATE_LEAST;
    __atomic_store_n(&shared->late_after_us, pool->late_us, __ATOMIC_RELAXED);
}

static void look(mgb_keeper_t *keeper, bool first, int64_t now_us)
{
    int64_t passed_us = now_us - demand.looked_at_us;

    demand.looked_at_us = now_us;
    memset(demand.gains, 0, mgb_dog.fleet.pool_count * sizeof(*demand.gains));
    doors_gain(keeper);
    if (first) {
        service_begin(keeper);
    }
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        pool_sense(keeper, i, first, passed_us);
    }
}

void mgb_demand_sense(mgb_keeper_t *keeper, int64_t now_us)
{
    int64_t utc_s = apr_time_sec(mgb_wall_us());
    gb_local_t local = gb_zone_local(&keeper->ctx->conf->zone, utc_s);
    bool due = now_us >= demand.look_at_us;

    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        gb_pool_t *pool = &mgb_dog.fleet.pools[i];

        pool->arrived = pool->late = 0;
        pool->unknown = false;
        pool->day_s = local.second;
        pool->min_awake =
            floor_now(keeper->shared, demand.askers[i].balancer, pool, utc_s);
    }
    crowds_note(keeper);
    if (due) {
        look(keeper, demand.look_at_us == 0, now_us);
        demand.look_at_us = now_us + GB_US_PER_S - GB_US_PER_S / 20;
        mgb_twins_step(keeper, now_us);
    }
}
