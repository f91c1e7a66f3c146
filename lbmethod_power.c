/* SPDX-License-Identifier: Apache-2.0
 *
 * lbmethod_power.c - the method `bypower`: fill servers in order, so that few are
 * needed.
 *
 * Members stand in the pick table of their balancer in the order of their lbset, then
 * of their watts per request.  A request goes to the first one that is open, healthy
 * and has room within its capacity; when all are full, to the least loaded for its
 * capacity.  With GreenBalance off or observe it always goes to the least loaded for
 * its capacity.  Three servers of capacity 2, five requests that stay: A A B B C; stock
 * bybusyness: A B C A B.
 *
 * Which members serve at all (lbset, spare, standby, drain) is decided by a sweep over
 * the workers' status four times a second, by one process for all; what the sweep does
 * not know yet is found out at the choice, from the worker's own status.
 *
 * Members for which the segment has no room ("strangers") are in no table.  In a
 * balancer that packs they get a request when every member of the table is full and
 * they are less busy, else the balancer is balanced as stock httpd does.
 *
 * httpd calls the finder under the balancer's thread mutex; other processes choose at
 * the same time.  Nothing here waits, allocates or does I/O.
 */
#include "load_private.h"

#include "ap_provider.h"

#define SWEEP_EVERY_US    (250 * GB_US_PER_MS)
#define TRIES_MAX         16
#define STRANGER_CAPACITY 16

static APR_OPTIONAL_FN_TYPE(proxy_balancer_get_best_worker) * get_best_worker;
static APR_OPTIONAL_FN_TYPE(ap_proxy_retry_worker) * retry_worker;

/* What this process knows of a balancer; [index in ctx->balancers].  The arrays of the
 * sweep stand here, for on the stacks of all threads they would take more memory. */
typedef struct seen_t {
    int workers;       /* how many were looked at */
    int strangers;     /* those of them without a place in the table */
    uint32_t sweeping; /* 1: some thread sweeps; inherited balancers differ in mutex */
    uint8_t *use, *asleep;
} seen_t;

static seen_t *seen;

/* ------------------------------------------------------------------ stock's way */

typedef struct stock_t {
    mgb_context_t *ctx;
    bool strangers_only;
} stock_t;

/* Where a worker stands in its table, or GB_NO_INDEX. */
static uint32_t place_of(const mgb_context_t *ctx, const proxy_worker *worker)
{
    uint32_t slot = mgb_members_known(ctx, worker);
    gb_pick_table_t *table;
    uint32_t place;

    return slot != GB_NO_INDEX && mgb_load_position(ctx->shared, slot, &table, &place)
               ? place
               : GB_NO_INDEX;
}

static bool is_open(const mgb_context_t *ctx, const proxy_worker *worker,
                    uint32_t place)
{
    const mgb_shared_t *sh = ctx->shared;
    uint32_t balancer = sh->members[mgb_members_known(ctx, worker)].balancer;

    return gb_pick_gate(MGB_TABLE(sh, balancer), place) == GB_GATE_OPEN;
}

/* Of equally busy ones the one that was chosen less often. */
static int is_less_busy(proxy_worker *current, proxy_worker *best, void *baton)
{
    const stock_t *stock = baton;

    if (stock->ctx) {
        uint32_t place = place_of(stock->ctx, current);

        if (place != GB_NO_INDEX &&
            (stock->strangers_only || !is_open(stock->ctx, current, place))) {
            return 0;
        }
    }
    return !best || current->s->busy < best->s->busy ||
           (current->s->busy == best->s->busy &&
            current->s->elected < best->s->elected);
}

static proxy_worker *find_stock(mgb_context_t *ctx, proxy_balancer *balancer,
                                request_rec *r, bool strangers_only)
{
    stock_t stock = {ctx, strangers_only};

    return get_best_worker ? get_best_worker(balancer, r, is_less_busy, &stock) : NULL;
}

/* ------------------------------------------------------------------ the sweep */

/* Is the machine off, or on its way down or up, because we want it so?  Then no spare
 * has to stand in for it. */
static bool asleep_on_purpose(const mgb_shared_t *sh, const mgb_member_t *member)
{
    uint32_t machine = member->machine;
    uint32_t state;

    if (machine >= sh->header->machines_room) {
        return false;
    }
    state = __atomic_load_n(&sh->machines[machine].m.state, __ATOMIC_RELAXED);
    return state == GB_ST_DRAINING || state == GB_ST_STOPPING ||
           state == GB_ST_ASLEEP || state == GB_ST_WAKING;
}

/* What httpd and the administrator say of the member at a position. */
static void look(mgb_context_t *ctx, gb_pick_table_t *table, seen_t *known, uint32_t i,
                 server_rec *s)
{
    uint32_t slot = __atomic_load_n(&gb_pick_order(table)[i], __ATOMIC_RELAXED);
    proxy_worker *worker = mgb_members_worker(ctx, slot);
    uint8_t *lbset = &gb_pick_lbsets(table)[i];
    int wanted;

    if (!worker) {
        known->use[i] = 0; /* this process has not met it yet */
        known->asleep[i] = 1;
        return;
    }
    if (PROXY_WORKER_IS_ERROR(worker) && retry_worker) {
        retry_worker("BALANCER", worker, s);
    }
    known->use[i] = mgb_members_use(worker);
    known->asleep[i] = asleep_on_purpose(ctx->shared, &ctx->shared->members[slot]);
    wanted = worker->s->lbset;
    wanted = wanted < 0 ? 0 : wanted > UINT8_MAX ? UINT8_MAX : wanted;
    if (__atomic_load_n(lbset, __ATOMIC_RELAXED) != wanted) {
        __atomic_store_n(lbset, (uint8_t)wanted, __ATOMIC_RELAXED);
    }
}

static void sweep(mgb_context_t *ctx, gb_pick_table_t *table, seen_t *known,
                  server_rec *s)
{
    uint32_t used;

    if (__atomic_exchange_n(&known->sweeping, 1, __ATOMIC_ACQUIRE)) {
        return; /* it is being done */
    }
    used = __atomic_load_n(&table->used, __ATOMIC_ACQUIRE);
    if (used > table->size) {
        used = table->size;
    }
    for (uint32_t i = 0; i < used; i++) {
        look(ctx, table, known, i, s);
    }
    /* A member that another process has just appended waits for the next sweep. */
    memset(known->use + used, 0, table->size - used);
    memset(known->asleep + used, 1, table->size - used);
    gb_pick_sweep(table, known->use, known->asleep);
    __atomic_store_n(&known->sweeping, 0, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ the choice */

/* Gives workers that were added in balancer-manager a slot and a place. */
static void meet_workers(mgb_context_t *ctx, const mgb_balancer_t *b,
                         proxy_balancer *balancer, seen_t *known)
{
    int strangers = 0;
    int workers = balancer->workers->nelts;

    for (int i = 0; i < workers; i++) {
        proxy_worker *worker = APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);

        (void)mgb_members_slot(ctx, b, worker);
        strangers += place_of(ctx, worker) == GB_NO_INDEX;
    }
    __atomic_store_n(&known->strangers, strangers, __ATOMIC_RELAXED);
    __atomic_store_n(&known->workers, workers, __ATOMIC_RELAXED);
}

/* A stranger that is less busy than the least loaded of the full members. */
static proxy_worker *find_stranger(mgb_context_t *ctx, proxy_balancer *balancer,
                                   request_rec *r, const gb_pick_record_t *full)
{
    proxy_worker *worker = find_stock(ctx, balancer, r, true);

    return worker && worker->s->busy * full->capacity <
                         (apr_size_t)full->in_flight * STRANGER_CAPACITY
               ? worker
               : NULL;
}

/* Two processes that met a new worker at once gave it two places; it is counted in one
 * of them. */
static uint32_t place_of_slot(const mgb_context_t *ctx, uint32_t slot)
{
    return __atomic_load_n(&ctx->shared->members[slot].position, __ATOMIC_ACQUIRE);
}

static proxy_worker *elect(mgb_context_t *ctx, const mgb_balancer_t *b,
                           proxy_balancer *balancer, request_rec *r, bool strangers)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    uint32_t tried[TRIES_MAX + GB_COMMIT_REPLICAS];
    uint32_t from =
        b->conf->commit.terms.on
            ? mgb_reads_avoid(ctx, mgb_reads_of(r, b), tried, GB_COMMIT_REPLICAS)
            : 0;

    for (uint32_t i = from; from != UINT32_MAX && i < from + TRIES_MAX; i++) {
        uint32_t position = gb_pick_find(table, tried, i);
        proxy_worker *worker;
        uint32_t slot;

        if (position == GB_NO_INDEX) {
            break;
        }
        tried[i] = position;
        slot = __atomic_load_n(&gb_pick_order(table)[position], __ATOMIC_RELAXED);
        worker = mgb_members_worker(ctx, slot);
        if (!worker) {
            continue; /* another process has met it first */
        }
        if (place_of_slot(ctx, slot) != position || !PROXY_WORKER_IS_USABLE(worker) ||
            PROXY_WORKER_IS_DRAINING(worker)) {
            gb_pick_bar(table, position);
            continue;
        }
        if (strangers) {
            gb_pick_record_t record = gb_pick_read(table, position);
            proxy_worker *stranger = record.in_flight < record.capacity
                                         ? NULL
                                         : find_stranger(ctx, balancer, r, &record);

            if (stranger) {
                return stranger;
            }
        }
        if (mgb_meter_enter(r, ctx, slot, false)) {
            return worker;
        }
    }
    return NULL;
}

/* With every member in error httpd tries all of them (forcerecovery); those whose gate
 * is closed are not in error, and must not stand in the way of that. */
static bool recover(mgb_context_t *ctx, const proxy_balancer *balancer)
{
    bool any = false;

    if (!balancer->s->forcerecovery) {
        return false;
    }
    for (int i = 0; i < balancer->workers->nelts; i++) {
        proxy_worker *worker = APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);
        uint32_t place = place_of(ctx, worker);

        if (place == GB_NO_INDEX || !is_open(ctx, worker, place) ||
            !PROXY_WORKER_IS_ERROR(worker)) {
            continue;
        }
        any = true;
        worker->s->retries = 0;
        ap_proxy_set_wstatus(PROXY_WORKER_IN_ERROR_FLAG, 0, worker);
    }
    return any;
}

/* What the waiting room has counted in for this request already. */
static proxy_worker *find_claimed(mgb_context_t *ctx, const mgb_balancer_t *b,
                                  request_rec *r)
{
    uint32_t slot = mgb_meter_claimed(r);
    proxy_worker *worker = slot != GB_NO_INDEX ? mgb_members_worker(ctx, slot) : NULL;
    gb_pick_table_t *table;
    uint32_t position;
    bool usable;

    if (slot == GB_NO_INDEX) {
        return NULL;
    }
    usable = worker && PROXY_WORKER_IS_USABLE(worker) &&
             mgb_load_position(ctx->shared, slot, &table, &position) &&
             mgb_reads_allows(ctx, mgb_reads_of(r, b), position);
    mgb_meter_use_claim(r, ctx, usable);
    return usable ? worker : NULL;
}

/* Brings the table up to date when gates or workers have changed, or it has been long.
 */
static void refresh(mgb_context_t *ctx, mgb_balancer_t *b, proxy_balancer *balancer,
                    seen_t *known, server_rec *server)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    bool swept = false;

    if (__atomic_load_n(&ctx->gates_seen, __ATOMIC_RELAXED) !=
        __atomic_load_n(&ctx->shared->header->gates_serial, __ATOMIC_ACQUIRE)) {
        mgb_members_mirror(ctx);
        swept = true;
    }
    if (gb_pick_sweep_due(table, SWEEP_EVERY_US, mgb_now_us()) || swept) {
        swept = true;
    }
    if (balancer->workers->nelts != known->workers || (swept && known->strangers)) {
        meet_workers(ctx, b, balancer, known);
        swept = true;
    }
    if (swept) {
        sweep(ctx, table, known, server);
    }
}

/* By the table; when it offers nobody, by a closer look.  NULL: there is nobody.  A
 * replica is never chosen by stock httpd's ways, which know nothing of what it has. */
static proxy_worker *choose(mgb_context_t *ctx, mgb_balancer_t *b,
                            proxy_balancer *balancer, seen_t *known, request_rec *r)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    bool replicas = b->conf->commit.terms.on;
    bool strangers = known->strangers != 0 && !replicas;
    proxy_worker *worker = find_claimed(ctx, b, r);

    if (!worker) {
        worker = elect(ctx, b, balancer, r, strangers);
    }
    if (!worker) {
        /* What the table says may be old: look at every worker, try those in error. */
        sweep(ctx, table, known, r->server);
        worker = elect(ctx, b, balancer, r, strangers);
    }
    if (!worker && recover(ctx, balancer)) {
        sweep(ctx, table, known, r->server);
        worker = elect(ctx, b, balancer, r, strangers);
    }
    return worker || replicas ? worker : find_stock(ctx, balancer, r, false);
}

static proxy_worker *find_power(proxy_balancer *balancer, request_rec *r)
{
    mgb_context_t *ctx = mgb_context;
    mgb_balancer_t *b = ctx ? mgb_members_balancer(ctx, balancer) : NULL;
    gb_pick_table_t *table;
    proxy_worker *worker;
    seen_t *known;

    if (!b || b->index == GB_NO_INDEX || !seen) {
        return find_stock(NULL, balancer, r, false);
    }
    if (b->conf->commit.terms.on) {
        mgb_reads_found(r, b);
    }
    table = MGB_TABLE(ctx->shared, b->index);
    known = &seen[b - (mgb_balancer_t *)ctx->balancers->elts];
    refresh(ctx, b, balancer, known, r->server);
    /* Nobody knows how far a replica without a place is. */
    if (known->strangers && !table->packing && !b->conf->commit.terms.on) {
        return find_stock(ctx, balancer, r, false);
    }
    worker = choose(ctx, b, balancer, known, r);
    if (!worker) {
        mgb_hold_unserved(ctx, b, r);
        mgb_reads_refused(ctx, b, r);
    }
    else if (!apr_is_empty_table(r->err_headers_out)) {
        apr_table_unset(r->err_headers_out, "Retry-After"); /* of a try before */
    }
    return worker;
}

/* Sticky routes bypass the finder; what they load is counted by the scheme handler.
 * Without this function httpd would go through all workers under the mutex. */
static apr_status_t sticky_elected(proxy_balancer *balancer, proxy_worker *elected,
                                   server_rec *s)
{
    return APR_SUCCESS;
}

static apr_status_t reset(proxy_balancer *balancer, server_rec *s)
{
    for (int i = 0; i < balancer->workers->nelts; i++) {
        APR_ARRAY_IDX(balancer->workers, i, proxy_worker *)->s->lbstatus = 0;
    }
    return APR_SUCCESS;
}

static apr_status_t age(proxy_balancer *balancer, server_rec *s)
{
    return APR_SUCCESS;
}

static const proxy_balancer_method bypower = {MGB_LBMETHOD, find_power, NULL,
                                              reset,        age,        sticky_elected};

static void fetch_functions(void)
{
    get_best_worker = APR_RETRIEVE_OPTIONAL_FN(proxy_balancer_get_best_worker);
    retry_worker = APR_RETRIEVE_OPTIONAL_FN(ap_proxy_retry_worker);
}

void mgb_lbmethod_look(mgb_context_t *ctx, uint32_t index, server_rec *s, bool now)
{
    const mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, index, mgb_balancer_t);
    gb_pick_table_t *table;

    if (!seen || b->index == GB_NO_INDEX) {
        return;
    }
    table = MGB_TABLE(ctx->shared, b->index);
    if (gb_pick_sweep_due(table, SWEEP_EVERY_US, mgb_now_us()) || now) {
        sweep(ctx, table, &seen[index], s);
    }
}

bool mgb_lbmethod_is_ours(const proxy_balancer *balancer)
{
    return balancer->lbmethod && balancer->lbmethod->finder == find_power;
}

static void power_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (mgb_context) {
        mgb_lbmethod_prepare(pchild, mgb_context);
    }
}

void mgb_lbmethod_prepare(apr_pool_t *pchild, const mgb_context_t *ctx)
{
    apr_size_t room;
    int count;

    if (!ctx->shared || !ctx->balancers->nelts) {
        return;
    }
    count = ctx->balancers->nelts;
    room = ctx->shared->header->members_room;
    seen = apr_pcalloc(pchild, (apr_size_t)count * sizeof(*seen));
    for (int i = 0; i < count; i++) {
        seen[i].use = apr_palloc(pchild, room);
        seen[i].asleep = apr_palloc(pchild, room);
    }
}

void mgb_lbmethod_register(apr_pool_t *p)
{
    ap_register_provider(p, PROXY_LBMETHOD, bypower.name, "0", &bypower);
    ap_hook_optional_fn_retrieve(fetch_functions, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(power_child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
