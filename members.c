/* SPDX-License-Identifier: Apache-2.0
 *
 * members.c - who is who: balancers and workers of httpd, members and machines of ours.
 *
 * The parent binds every configured worker to a slot of the segment; children and
 * keeper inherit the result.  Workers that are added later in balancer-manager have no
 * hook: the process that meets one first claims a slot for it.
 */
#include "mod_greenbalance.h"

#include <stdlib.h>
#include <unistd.h>

#define CLAIM_TRIES    100
#define CLAIM_PAUSE_US 1000

/* ----------------------------------------------------------------- pointer -> index */

typedef struct map_cell_t {
    const void *key;
    uint32_t value; /* index + 1; 0: the cell is being filled */
    uint32_t pad;
} map_cell_t;

/* Open addressing; only ever grows fuller, so a look-up needs no lock: an unfinished
 * cell reads as "not known", and its reader asks the segment instead. */
struct mgb_map_t {
    uint32_t mask;
    map_cell_t cells[];
};

static struct mgb_map_t *map_make(apr_pool_t *p, uint32_t keys)
{
    uint32_t room = 64;
    struct mgb_map_t *map;

    while (room < 4 * keys) {
        room *= 2;
    }
    map = apr_pcalloc(p, sizeof(*map) + room * sizeof(map_cell_t));
    map->mask = room - 1;
    return map;
}

static inline uint32_t map_hash(const void *key)
{
    return (uint32_t)(((uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

static inline uint32_t map_get(const struct mgb_map_t *map, const void *key)
{
    for (uint32_t i = map_hash(key) & map->mask;; i = (i + 1) & map->mask) {
        const void *found = __atomic_load_n(&map->cells[i].key, __ATOMIC_ACQUIRE);

        if (found == key) {
            return __atomic_load_n(&map->cells[i].value, __ATOMIC_ACQUIRE) - 1;
        }
        if (!found) {
            return GB_NO_INDEX;
        }
    }
}

/* Any thread of this process.  Half the cells stay empty, so look-ups end. */
static void map_put(struct mgb_map_t *map, const void *key, uint32_t value)
{
    uint32_t i = map_hash(key) & map->mask;

    for (uint32_t tried = 0; tried <= map->mask / 2; tried++, i = (i + 1) & map->mask) {
        const void *found = NULL;

        if (__atomic_compare_exchange_n(&map->cells[i].key, &found, key, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
            found == key) {
            __atomic_store_n(&map->cells[i].value, value + 1, __ATOMIC_RELEASE);
            return;
        }
    }
}

mgb_balancer_t *mgb_members_balancer(const mgb_context_t *ctx, const proxy_balancer *b)
{
    /* Virtual hosts that inherit a balancer have a copy of it with the same members. */
    uint32_t i = map_get(ctx->pools, b->workers);

    return i == GB_NO_INDEX ? NULL : &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);
}

uint32_t mgb_members_known(const mgb_context_t *ctx, const proxy_worker *worker)
{
    return map_get(ctx->members, worker);
}

proxy_worker *mgb_members_worker(const mgb_context_t *ctx, uint32_t slot)
{
    return __atomic_load_n(&ctx->workers[slot], __ATOMIC_ACQUIRE);
}

uint8_t mgb_members_use(const proxy_worker *worker)
{
    unsigned int status = worker->s->status;
    uint8_t use = 0;

    if (PROXY_WORKER_IS_USABLE(worker)) {
        use |= GB_USE_USABLE;
    }
    if (status & PROXY_WORKER_DRAIN) {
        use |= GB_USE_DRAIN;
    }
    if (status & PROXY_WORKER_HOT_STANDBY) {
        use |= GB_USE_STANDBY;
    }
    if (status & PROXY_WORKER_HOT_SPARE) {
        use |= GB_USE_SPARE;
    }
    return use;
}

/* ------------------------------------------------------------------ positions */

/* Does the member stand where it says?  One that vanished and came back with a graceful
 * restart has its position of before, which is another one's now. */
static bool has_place(mgb_shared_t *sh, uint32_t slot)
{
    const mgb_member_t *member = &sh->members[slot];
    gb_pick_table_t *table = MGB_TABLE(sh, member->balancer);
    uint32_t position = __atomic_load_n(&member->position, __ATOMIC_ACQUIRE);

    return position < __atomic_load_n(&table->used, __ATOMIC_ACQUIRE) &&
           position < table->size &&
           __atomic_load_n(&gb_pick_order(table)[position], __ATOMIC_RELAXED) == slot;
}

/* Two processes may do this at once: then one of the two places is nobody's, and the
 * choice passes it over. */
static void place_append(mgb_shared_t *sh, uint32_t slot)
{
    mgb_member_t *member = &sh->members[slot];
    uint32_t position = gb_pick_append(MGB_TABLE(sh, member->balancer), (uint16_t)slot,
                                       member->capacity, (uint8_t)member->lbset);

    if (position != GB_NO_INDEX) {
        __atomic_store_n(&member->position, position, __ATOMIC_RELEASE);
    }
}

static void remember(mgb_context_t *ctx, proxy_worker *worker, uint32_t slot)
{
    __atomic_store_n(&ctx->workers[slot], worker, __ATOMIC_RELEASE);
    map_put(ctx->members, worker, slot);
}

void mgb_members_tell_full(mgb_context_t *ctx, const mgb_balancer_t *b,
                           const char *name)
{
    if (!__atomic_exchange_n(&ctx->shared->header->full_told, 1, __ATOMIC_ACQ_REL)) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, ctx->server,
            GBLOGNO(0011) "%s: no room for %s in the shared memory (GreenMembers "
                          "%u): it is balanced as stock httpd does and never "
                          "powered off; raise GreenMembers, stop and start httpd",
            b->conf->name, name, ctx->shared->header->members_room);
    }
}

static bool is_full(const mgb_shared_t *sh)
{
    return __atomic_load_n(&sh->header->members_top, __ATOMIC_ACQUIRE) >=
           sh->header->members_room;
}

uint32_t mgb_members_slot(mgb_context_t *ctx, const mgb_balancer_t *b,
                          proxy_worker *worker)
{
    mgb_shared_t *sh = ctx->shared;
    uint32_t slot = map_get(ctx->members, worker);
    mgb_member_t *member;
    bool is_new = false;

    if (b->index == GB_NO_INDEX) {
        return slot;
    }
    if (slot == GB_NO_INDEX) {
        slot = mgb_shared_claim_member(sh, b->index, worker->s->name_ex, &is_new);
        if (slot == GB_NO_INDEX) {
            if (is_full(sh)) {
                mgb_members_tell_full(ctx, b, worker->s->name_ex);
            } /* else another process is claiming: the caller comes again */
            return slot;
        }
        remember(ctx, worker, slot);
    }
    member = &sh->members[slot];
    if (is_new || member->capacity == 0) {
        member->capacity = MGB_CAPACITY_DEFAULT;
        member->lbset = (uint32_t)worker->s->lbset;
        gb_curve_assume(&member->curve);
    }
    if (!has_place(sh, slot)) {
        place_append(sh, slot);
    }
    return slot;
}

/* ----------------------------------------------------------------- the worker bit U */

static void mirror_one(mgb_context_t *ctx, proxy_worker *worker)
{
    uint32_t slot = map_get(ctx->members, worker), position;
    const mgb_member_t *member;
    bool closed;

    if (slot == GB_NO_INDEX) {
        return;
    }
    member = &ctx->shared->members[slot];
    position = __atomic_load_n(&member->position, __ATOMIC_ACQUIRE);
    if (position == GB_NO_INDEX) {
        return;
    }
    closed =
        __atomic_load_n(
            &gb_pick_records(MGB_TABLE(ctx->shared, member->balancer))[position].gate,
            __ATOMIC_ACQUIRE) == GB_GATE_CLOSED;
    /* httpd changes the status without atomics: write only where it differs. */
    if (closed != ((worker->s->status & PROXY_WORKER_IN_SHUTDOWN) != 0)) {
        ap_proxy_set_wstatus(PROXY_WORKER_IN_SHUTDOWN_FLAG, closed, worker);
    }
}

void mgb_members_mirror(mgb_context_t *ctx)
{
    uint32_t serial =
        __atomic_load_n(&ctx->shared->header->gates_serial, __ATOMIC_ACQUIRE);

    if (serial == __atomic_load_n(&ctx->gates_seen, __ATOMIC_RELAXED)) {
        return;
    }
    __atomic_store_n(&ctx->gates_seen, serial, __ATOMIC_RELAXED);
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);

        for (int j = 0; b->index != GB_NO_INDEX && j < b->balancer->workers->nelts;
             j++) {
            mirror_one(ctx, APR_ARRAY_IDX(b->balancer->workers, j, proxy_worker *));
        }
    }
}

/* ------------------------------------------------------------------ binding */

static bool is_ours(const mgb_context_t *ctx, server_rec *s,
                    const proxy_balancer *balancer)
{
    if (balancer->lbmethod && strcmp(balancer->lbmethod->name, MGB_LBMETHOD) == 0) {
        return true;
    }
    if (mgb_config_pool_named(s, balancer->s->name)) {
        return true;
    }
    for (int i = 0; i < balancer->workers->nelts; i++) {
        if (mgb_config_hints(APR_ARRAY_IDX(balancer->workers, i, proxy_worker *))) {
            return true;
        }
    }
    return false;
}

static void balancers_of(mgb_context_t *ctx, server_rec *s, apr_hash_t *seen)
{
    proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);

    for (int i = 0; conf && i < conf->balancers->nelts; i++) {
        proxy_balancer *balancer = &APR_ARRAY_IDX(conf->balancers, i, proxy_balancer);
        mgb_balancer_t *b;

        /* The workers' array tells an inherited copy from a balancer of its own. */
        if (apr_hash_get(seen, &balancer->workers, sizeof(void *)) ||
            !is_ours(ctx, s, balancer)) {
            continue;
        }
        apr_hash_set(seen, apr_pmemdup(ctx->pool, &balancer->workers, sizeof(void *)),
                     sizeof(void *), balancer);
        b = apr_array_push(ctx->balancers);
        memset(b, 0, sizeof(*b));
        b->index = GB_NO_INDEX;
        b->key = apr_pstrcat(ctx->pool, conf->id, " ", balancer->s->name, NULL);
        b->conf = mgb_config_pool(ctx->pool, s, balancer->s->name);
        b->server = s;
        b->proxy_conf = conf;
        b->balancer = balancer;
    }
}

int mgb_members_find(mgb_context_t *ctx, int *members)
{
    apr_hash_t *seen = apr_hash_make(ctx->pool);

    ctx->balancers = apr_array_make(ctx->pool, 8, sizeof(mgb_balancer_t));
    *members = 0;
    for (server_rec *s = ctx->server; s; s = s->next) {
        balancers_of(ctx, s, seen);
    }
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        *members +=
            APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t).balancer->workers->nelts;
    }
    return ctx->balancers->nelts;
}

void mgb_members_settings(gb_pool_t *pool, const mgb_pool_conf_t *conf)
{
    pool->mode = conf->mode;
    pool->min_awake = conf->min_awake;
    pool->spare = conf->spare;
    pool->wakes_at_once = conf->wakes_at_once;
    pool->rules = conf->rules;
    pool->threshold = conf->threshold;
    pool->policy = conf->policy;
}

static void balancer_claim(mgb_context_t *ctx, mgb_balancer_t *b, uint32_t i)
{
    mgb_shared_t *sh = ctx->shared;

    b->index = mgb_shared_claim_balancer(sh, b->key, b->balancer->s->name);
    if (b->index == GB_NO_INDEX) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, ctx->server,
            GBLOGNO(0012) "%s: no room for another balancer in the shared memory: "
                          "it is balanced as stock httpd does, and nothing behind "
                          "it is powered off; stop and start httpd",
            b->balancer->s->name);
        return;
    }
    /* Of a balancer that is met first, a checkpoint may tell; it tells of `on` only. */
    b->was_on = sh->balancers[b->index].generation == 0 ||
                sh->balancers[b->index].pool.mode == GB_MODE_ON;
    sh->balancers[b->index].generation = ctx->generation;
    mgb_members_settings(&sh->balancers[b->index].pool, b->conf);
    map_put(ctx->pools, b->balancer->workers, i);
}

static void member_bind(mgb_context_t *ctx, mgb_balancer_t *b, proxy_worker *worker)
{
    const mgb_hints_t *hints = mgb_config_hints(worker);
    mgb_member_t *member;
    bool is_new;
    uint32_t slot;
    int tries = 0;

    /* A child of the old generation may be claiming at this moment; the parent waits.
     */
    do {
        slot =
            mgb_shared_claim_member(ctx->shared, b->index, worker->s->name_ex, &is_new);
    } while (slot == GB_NO_INDEX && !is_full(ctx->shared) && ++tries < CLAIM_TRIES &&
             usleep(CLAIM_PAUSE_US) == 0);
    if (slot == GB_NO_INDEX) {
        mgb_members_tell_full(ctx, b, worker->s->name_ex);
        return;
    }
    member = &ctx->shared->members[slot];
    member->generation = ctx->generation;
    member->lbset = (uint32_t)worker->s->lbset;
    member->capacity = hints ? hints->capacity : MGB_CAPACITY_DEFAULT;
    if (hints) {
        member->curve = hints->curve;
    }
    else {
        gb_curve_assume(&member->curve);
    }
    remember(ctx, worker, slot);
}

/* ------------------------------------------------------------------ the order */

typedef struct rank_t {
    uint32_t slot;
    uint32_t lbset;
    double watts_per_request;
    int written; /* place in the configuration: ties are broken by it */
} rank_t;

static int rank_compare(const void *left, const void *right)
{
    const rank_t *a = left, *b = right;

    if (a->lbset != b->lbset) {
        return a->lbset < b->lbset ? -1 : 1;
    }
    if (a->watts_per_request < b->watts_per_request) {
        return -1;
    }
    if (a->watts_per_request > b->watts_per_request) {
        return 1;
    }
    return a->written - b->written;
}

/* The gate that a machine's state allows, before the keeper has said anything. */
static uint8_t gate_at_start(const mgb_shared_t *sh, const mgb_member_t *member,
                             const mgb_pool_conf_t *conf)
{
    bool managed = conf->mode == GB_MODE_ON;
    const gb_machine_t *m;

    if (conf->commit.terms.on &&
        !__atomic_load_n(&member->replica.reads, __ATOMIC_ACQUIRE)) {
        return GB_GATE_CLOSED; /* until the keeper knows what it has */
    }
    if (managed && member->ejected) {
        return GB_GATE_CLOSED;
    }
    if (member->machine == GB_NO_INDEX) {
        return GB_GATE_OPEN;
    }
    m = &sh->machines[member->machine].m;
    if (m->state == GB_ST_DRAINING) {
        return managed && conf->comeback.sticky_move ? GB_GATE_CLOSED : GB_GATE_STICKY;
    }
    return gb_state_takes_new(m) ? GB_GATE_OPEN : GB_GATE_CLOSED;
}

static void table_fill(mgb_context_t *ctx, const mgb_balancer_t *b, const rank_t *ranks,
                       uint32_t count)
{
    mgb_shared_t *sh = ctx->shared;
    gb_pick_table_t *table = MGB_TABLE(sh, b->index);
    gb_pick_record_t *records = gb_pick_records(table);
    bool any = false;

    for (uint32_t i = 0; i < count; i++) {
        mgb_member_t *member = &sh->members[ranks[i].slot];
        uint8_t gate;

        gb_pick_order(table)[i] = (uint16_t)ranks[i].slot;
        gb_pick_lbsets(table)[i] = (uint8_t)member->lbset;
        records[i].capacity = (uint16_t)member->capacity;
        /* Requests of the old generation's children go on: their counts move along. */
        __atomic_store_n(&records[i].in_flight, mgb_shared_in_flight(sh, ranks[i].slot),
                         __ATOMIC_RELEASE);
        gate = gate_at_start(sh, member, b->conf);
        __atomic_store_n(&member->position, i, __ATOMIC_RELEASE);
        records[i].eligible = 1; /* until the first sweep knows better */
        gb_pick_set_gate(table, i, gate);
        any = any || gate == GB_GATE_OPEN;
    }
    if (b->conf->commit.terms.on && !any) {
        /* Who comes before the keeper's first tick waits for it. */
        __atomic_store_n(&sh->balancers[b->index].room.shut, 1, __ATOMIC_SEQ_CST);
    }
    for (uint32_t i = count; i < table->used; i++) {
        gb_pick_set_gate(table, i, GB_GATE_CLOSED);
    }
    table->packing = b->conf->mode == GB_MODE_ON;
    __atomic_store_n(&table->used, count, __ATOMIC_RELEASE);
    __atomic_store_n(&table->swept_at_us, 0, __ATOMIC_RELEASE);
}

static void balancer_order(mgb_context_t *ctx, mgb_balancer_t *b, apr_pool_t *ptemp)
{
    int workers = b->balancer->workers->nelts;
    rank_t *ranks = apr_pcalloc(ptemp, ((apr_size_t)workers + 1) * sizeof(*ranks));
    uint32_t count = 0;

    for (int i = 0; i < workers; i++) {
        proxy_worker *w = APR_ARRAY_IDX(b->balancer->workers, i, proxy_worker *);
        uint32_t slot = map_get(ctx->members, w);
        const mgb_member_t *member;

        if (slot == GB_NO_INDEX) {
            continue;
        }
        member = &ctx->shared->members[slot];
        ranks[count].slot = slot;
        ranks[count].lbset = member->lbset;
        ranks[count].watts_per_request =
            gb_curve_watts_per_request(&member->curve, member->capacity);
        ranks[count].written = i;
        count++;
    }
    qsort(ranks, count, sizeof(*ranks), rank_compare);
    table_fill(ctx, b, ranks, count);
}

/* ------------------------------------------------------------------ what vanished */

static void machine_vanished(mgb_context_t *ctx, uint32_t i)
{
    mgb_machine_t *machine = &ctx->shared->machines[i];

    machine->used = MGB_SLOT_GONE;
    if (machine->m.state == GB_ST_ASLEEP || machine->m.state == GB_ST_STOPPING) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, ctx->server,
            GBLOGNO(0013) "%s (%s): it is no longer in the configuration and is "
                          "left as it is: switch it on by hand if you need it",
            machine->name, gb_state_name(machine->m.state));
    }
}

static void sweep_vanished(mgb_context_t *ctx)
{
    mgb_shared_t *sh = ctx->shared;

    for (uint32_t i = 0; i < sh->header->balancers_room; i++) {
        if (sh->balancers[i].used == MGB_SLOT_LIVE &&
            sh->balancers[i].generation != ctx->generation) {
            sh->balancers[i].used = MGB_SLOT_GONE;
            mgb_waiting_forsake(sh, i);
        }
    }
    for (uint32_t i = 0; i < sh->header->members_top; i++) {
        if (sh->members[i].used == MGB_SLOT_LIVE &&
            sh->members[i].generation != ctx->generation) {
            sh->members[i].used = MGB_SLOT_GONE;
        }
    }
    for (uint32_t i = 0; i < sh->header->machines_top; i++) {
        if (sh->machines[i].used == MGB_SLOT_LIVE &&
            sh->machines[i].generation != ctx->generation) {
            machine_vanished(ctx, i);
        }
    }
}

apr_status_t mgb_members_bind(mgb_context_t *ctx, apr_pool_t *ptemp)
{
    uint32_t room = ctx->shared->header->members_room;

    ctx->workers = apr_pcalloc(ctx->pool, room * sizeof(*ctx->workers));
    ctx->members = map_make(ctx->pool, room);
    ctx->pools = map_make(ctx->pool, (uint32_t)ctx->balancers->nelts);
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);

        balancer_claim(ctx, b, (uint32_t)i);
        for (int k = 0; b->index != GB_NO_INDEX && k < b->balancer->workers->nelts;
             k++) {
            member_bind(ctx, b, APR_ARRAY_IDX(b->balancer->workers, k, proxy_worker *));
        }
    }
    mgb_machines_bind(ctx, ptemp);
    sweep_vanished(ctx);
    return APR_SUCCESS;
}

void mgb_members_order(mgb_context_t *ctx, apr_pool_t *ptemp)
{
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);

        if (b->index != GB_NO_INDEX) {
            balancer_order(ctx, b, ptemp);
        }
    }
    __atomic_fetch_add(&ctx->shared->header->gates_serial, 1, __ATOMIC_ACQ_REL);
}
