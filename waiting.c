/* SPDX-License-Identifier: Apache-2.0
 *
 * waiting.c - who serves the waiting room, and what the keeper makes of it.
 *
 * Room on a server is given to who waits longest by whoever notices it: the child in
 * which a request has ended, a child whose request begins to wait, and the keeper at
 * each of its ticks, when a server has become ready or more of its capacity is in
 * force.  One at a time does so for a balancer; what others notice meanwhile it looks
 * at before it stops.  Who serves counts the request in at the server's place in the
 * pick table, and only then tells it: no server gets more than its capacity, and nobody
 * overtakes.
 *
 * The keeper tells the policy what waits.  A request that was answered by the waiting
 * page, or turned away, will come again: it counts as waiting for a while.
 *
 * Requests wait in children (hold.c).  No locks.
 */
#include "watchdog.h"
#include "load_private.h"
#include "futex.h"

#include <unistd.h>

#define PAGE_COUNTS_S   30 /* the page asks again within this time */
#define TURNED_COUNTS_S 2  /* a flood of those says little about a need that lasts */
#define STRANGE_MOST    16u
#define STUCK_TICKS     20 /* counted, but nobody waits: who counted was killed */
#define BURST_US        GB_US_PER_S /* one burst is told of as a whole */
#define TELL_EVERY_US   (600 * GB_US_PER_S)

/* ------------------------------------------------------------------ any process */

/* Since which configuration there has been the member at a position: children of an
 * older one do not know it. */
static uint32_t known_since(const mgb_shared_t *sh, gb_pick_table_t *table,
                            uint32_t position)
{
    uint32_t slot = __atomic_load_n(&gb_pick_order(table)[position], __ATOMIC_RELAXED);

    return __atomic_load_n(&sh->members[slot].since, __ATOMIC_RELAXED);
}

static void serve_some(mgb_shared_t *sh, uint32_t balancer)
{
    mgb_balancer_shared_t *shared = &sh->balancers[balancer];
    gb_pick_table_t *table = MGB_TABLE(sh, balancer);
    gb_seek_t seek = {.balancer = balancer,
                      .late_us =
                          __atomic_load_n(&shared->patience_us, __ATOMIC_RELAXED)};
    uint32_t strange[STRANGE_MOST], stranges = 0; /* known to nobody who waits */
    uint32_t place, word;

    for (;; seek.generation = 0) {
        uint32_t position;

        seek.now_us = mgb_now_us();
        place = gb_queue_next(sh->queue, sh->places, &seek, &word);
        if (place == GB_NO_INDEX) {
            return;
        }
        position = gb_pick_take(table, strange, stranges);
        if (position == GB_NO_INDEX) {
            return;
        }
        seek.generation = known_since(sh, table, position);
        if (__atomic_load_n(&sh->places[place].generation, __ATOMIC_RELAXED) <
            seek.generation) {
            place = gb_queue_next(sh->queue, sh->places, &seek, &word);
        }
        if (place == GB_NO_INDEX) {
            gb_pick_leave(table, position);
            strange[stranges++] = position;
            if (stranges == STRANGE_MOST) {
                return;
            }
            continue;
        }
        if (gb_queue_settle(&sh->places[place], &shared->room, word, position)) {
            mgb_futex_wake(&sh->places[place].word);
        }
        else {
            gb_pick_leave(table, position); /* it has gone */
        }
    }
}

void mgb_waiting_serve(mgb_shared_t *sh, uint32_t balancer)
{
    gb_room_t *room = &sh->balancers[balancer].room;

    gb_queue_serve_ask(room);
    while (gb_queue_serve_begin(room, (uint32_t)getpid())) {
        serve_some(sh, balancer);
        gb_queue_serve_end(room);
    }
}

void mgb_waiting_refuse(mgb_shared_t *sh, uint32_t balancer)
{
    gb_room_t *room = &sh->balancers[balancer].room;
    gb_seek_t seek = {.balancer = balancer};
    uint32_t place, word;

    while ((place = gb_queue_next(sh->queue, sh->places, &seek, &word)) !=
           GB_NO_INDEX) {
        if (gb_queue_settle(&sh->places[place], room, word, GB_NO_INDEX)) {
            mgb_futex_wake(&sh->places[place].word);
        }
    }
}

void mgb_waiting_forsake(mgb_shared_t *sh, uint32_t balancer)
{
    mgb_balancer_shared_t *shared = &sh->balancers[balancer];

    shared->pool.hopeless = true;
    if (__atomic_load_n(&shared->room.shut, __ATOMIC_SEQ_CST)) {
        mgb_waiting_refuse(sh, balancer);
    }
}

void mgb_waiting_unmanaged(mgb_context_t *ctx)
{
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);

        if (b->index != GB_NO_INDEX) {
            __atomic_store_n(&ctx->shared->balancers[b->index].room.shut, 0,
                             __ATOMIC_SEQ_CST);
            mgb_waiting_serve(ctx->shared, b->index);
        }
    }
}

void mgb_waiting_reclaim(mgb_shared_t *sh, uint32_t process)
{
    gb_place_t held;
    uint32_t place = 0;

    while ((place = gb_queue_reclaim(sh->queue, sh->places, process, place, &held)) !=
           GB_NO_INDEX) {
        uint32_t position = gb_place_position(held.word);

        if (held.balancer >= sh->header->balancers_room) {
            continue;
        }
        if (gb_place_kind(held.word) == GB_PLACE_GRANTED) {
            gb_pick_table_t *table = MGB_TABLE(sh, held.balancer);

            if (position < table->size) {
                gb_pick_leave(table, position);
            }
        }
        else if (gb_place_kind(held.word) != GB_PLACE_REFUSED) {
            gb_queue_uncount(&sh->balancers[held.balancer].room);
        }
    }
}

/* ------------------------------------------------------------------ keeper: demand */

/* What the keeper remembers of a balancer; [pool]. */
typedef struct demand_t {
    uint64_t pages, turned_away; /* as counted at the latest tick */
    uint32_t pages_in[PAGE_COUNTS_S], turned_in[TURNED_COUNTS_S]; /* by second */
    int64_t second;       /* that was last written */
    uint64_t told;        /* of turned_away; what came since has not been told */
    int64_t crowd_at_us;  /* the first of those; 0: there is none */
    int64_t told_at_us;   /* 0: never */
    uint32_t stuck_ticks; /* counted as waiting, and nobody is there */
    uint32_t index;       /* in ctx->balancers */
} demand_t;

static demand_t *demands;

static void demands_create(mgb_keeper_t *keeper)
{
    const apr_array_header_t *balancers = keeper->ctx->balancers;

    demands =
        apr_pcalloc(keeper->pool, (mgb_dog.fleet.pool_count + 1) * sizeof(*demands));
    mgb_lbmethod_prepare(keeper->pool, keeper->ctx);
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        const mgb_balancer_shared_t *shared =
            &keeper->shared->balancers[mgb_dog.pool_slots[i]];

        demands[i].pages = __atomic_load_n(&shared->waits.pages, __ATOMIC_RELAXED);
        demands[i].turned_away =
            __atomic_load_n(&shared->waits.turned_away, __ATOMIC_RELAXED);
        demands[i].told = demands[i].turned_away;
        for (int k = 0; k < balancers->nelts; k++) {
            if (APR_ARRAY_IDX(balancers, k, mgb_balancer_t).index ==
                mgb_dog.pool_slots[i]) {
                demands[i].index = (uint32_t)k;
            }
        }
    }
}

/* Adds what a counter has gained to its ring of seconds and sums the ring up. */
static uint32_t gained(uint32_t *ring, uint32_t seconds, uint64_t *then, uint64_t now,
                       int64_t second)
{
    uint32_t sum = 0;

    ring[second % seconds] += (uint32_t)(now - *then);
    *then = now;
    for (uint32_t i = 0; i < seconds; i++) {
        sum += ring[i];
    }
    return sum;
}

static uint32_t will_come_again(demand_t *demand, const mgb_waits_t *waits,
                                int64_t now_us)
{
    int64_t second = now_us / GB_US_PER_S;

    if (second - demand->second > PAGE_COUNTS_S || second < demand->second) {
        demand->second = second - PAGE_COUNTS_S;
    }
    while (demand->second < second) {
        demand->second++;
        demand->pages_in[demand->second % PAGE_COUNTS_S] = 0;
        demand->turned_in[demand->second % TURNED_COUNTS_S] = 0;
    }
    return gained(demand->pages_in, PAGE_COUNTS_S, &demand->pages,
                  __atomic_load_n(&waits->pages, __ATOMIC_RELAXED), second) +
           gained(demand->turned_in, TURNED_COUNTS_S, &demand->turned_away,
                  __atomic_load_n(&waits->turned_away, __ATOMIC_RELAXED), second);
}

/* Servers could wake, and yet requests are turned away: all places are taken, or the
 * threads of a process that may wait.  The visitors see a 503, so a person should know.
 */
static void crowd_tell(mgb_keeper_t *keeper, demand_t *demand, const gb_pool_t *pool,
                       int64_t now_us)
{
    const mgb_balancer_t *b =
        &APR_ARRAY_IDX(keeper->ctx->balancers, demand->index, mgb_balancer_t);

    if (demand->turned_away == demand->told || pool->hopeless || !b->hold_max) {
        demand->told = demand->turned_away;
        demand->crowd_at_us = 0;
        return;
    }
    demand->crowd_at_us = demand->crowd_at_us ? demand->crowd_at_us : now_us;
    if (now_us - demand->crowd_at_us < BURST_US ||
        (demand->told_at_us && now_us - demand->told_at_us < TELL_EVERY_US)) {
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                 GBLOGNO(1003) "%s: %" APR_UINT64_T_FMT
                               " requests were answered 503 since no more could wait: "
                               "GreenHold max= is %u, and half of the threads of a "
                               "process may wait (ThreadsPerChild); see holding.md",
                 b->conf->name, demand->turned_away - demand->told, b->hold_max);
    demand->told = demand->turned_away;
    demand->told_at_us = now_us;
    demand->crowd_at_us = 0;
}

void mgb_waiting_sense(mgb_keeper_t *keeper, int64_t now_us)
{
    if (!demands) {
        demands_create(keeper);
    }
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        mgb_balancer_shared_t *shared =
            &keeper->shared->balancers[mgb_dog.pool_slots[i]];
        gb_pool_t *pool = &mgb_dog.fleet.pools[i];
        uint32_t waiting = __atomic_load_n(&shared->room.waiting, __ATOMIC_SEQ_CST);
        uint64_t all = (uint64_t)waiting +
                       will_come_again(&demands[i], &shared->waits, now_us) +
                       __atomic_load_n(&shared->log.behind, __ATOMIC_RELAXED);

        pool->waiting = all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
        crowd_tell(keeper, &demands[i], pool, now_us);
    }
}

/* ------------------------------------------------------------------ keeper: serving */

/* Does no door of the balancer take requests, with the gates as this tick has them? */
static bool is_shut(const mgb_keeper_t *keeper, uint32_t balancer)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_door_t *door = &keeper->doors[i];

        if (keeper->shared->members[door->slot].balancer == balancer &&
            !(door->worker->s->status & MGB_ADMIN_BITS) &&
            mgb_dog.gates[i] == GB_GATE_OPEN) {
            return false;
        }
    }
    return true;
}

void mgb_waiting_shut(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        uint32_t slot = mgb_dog.pool_slots[i];

        if (is_shut(keeper, slot)) {
            __atomic_store_n(&keeper->shared->balancers[slot].room.shut, 1,
                             __ATOMIC_SEQ_CST);
        }
    }
}

/* Nothing will wake, and who is awake cannot be reached either. */
static bool is_in_vain(const mgb_keeper_t *keeper, const gb_pool_t *pool, uint32_t slot)
{
    return pool->hopeless &&
           gb_pick_find(MGB_TABLE(keeper->shared, slot), NULL, 0) == GB_NO_INDEX;
}

/* A process that was killed while it served, or before its place said that it waits. */
static void repair(mgb_keeper_t *keeper, demand_t *demand, gb_room_t *room,
                   uint32_t balancer)
{
    uint32_t serving = __atomic_load_n(&room->serving, __ATOMIC_SEQ_CST);
    uint32_t waiting = __atomic_load_n(&room->waiting, __ATOMIC_SEQ_CST);

    if (mgb_load_is_dead(serving)) {
        (void)__atomic_compare_exchange_n(&room->serving, &serving, 0, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (!waiting ||
        gb_queue_count(keeper->shared->queue, keeper->shared->places, balancer)) {
        demand->stuck_ticks = 0;
    }
    else if (++demand->stuck_ticks >= STUCK_TICKS) {
        (void)__atomic_compare_exchange_n(&room->waiting, &waiting, 0, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
}

/* A request that is served when it is just not late yet comes late all the same: its
 * service takes time, too. */
static void patience_set(mgb_balancer_shared_t *shared)
{
    int64_t patience_us =
        shared->late_us ? gb_queue_patience_us(shared->late_us, shared->p99_us) : 0;

    __atomic_store_n(&shared->patience_us, patience_us, __ATOMIC_RELAXED);
}

void mgb_waiting_publish(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        uint32_t slot = mgb_dog.pool_slots[i];
        mgb_balancer_shared_t *shared = &keeper->shared->balancers[slot];
        const gb_pool_t *pool = &mgb_dog.fleet.pools[i];
        uint32_t shut = is_shut(keeper, slot);
        bool opens = shared->room.shut && !shut;

        patience_set(shared);

        if (shared->room.shut != shut) {
            if (opens) {
                mgb_lbmethod_look(keeper->ctx, demands[i].index, keeper->server, true);
            }
            __atomic_store_n(&shared->room.shut, shut, __ATOMIC_SEQ_CST);
        }
        if (__atomic_load_n(&shared->room.waiting, __ATOMIC_SEQ_CST)) {
            repair(keeper, &demands[i], &shared->room, slot);
            mgb_lbmethod_look(keeper->ctx, demands[i].index, keeper->server, true);
            mgb_waiting_serve(keeper->shared, slot);
            if (is_in_vain(keeper, pool, slot)) {
                mgb_waiting_refuse(keeper->shared, slot);
            }
        }
    }
}
