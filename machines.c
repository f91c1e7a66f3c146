/* SPDX-License-Identifier: Apache-2.0
 *
 * machines.c - which members are one machine, and what is known of it.
 *
 * Members that share machine=, ipmi=, redfish= or mac= are one machine: one state, one
 * ladder, counted once.  A member with none of these is a machine of its own.  Runs in
 * the parent, in post_config.
 */
#include "mod_greenbalance.h"

#define IDENTITIES_MOST 4 /* of one member: machine=, ipmi=, redfish=, mac= */

/* Members that share one of these are one machine: a union over identities. */
typedef struct joining_t {
    apr_pool_t *p;
    apr_hash_t *identities;      /* "ipmi:host:623" -> group, stored as index + 1 */
    apr_array_header_t *parents; /* uint32_t: union-find over groups */
    uint32_t *by_root;           /* [root]: index into ctx->groups + 1; 0: none yet */
} joining_t;

static uint32_t group_root(joining_t *j, uint32_t group)
{
    uint32_t *parents = (uint32_t *)j->parents->elts;

    while (parents[group] != group) {
        parents[group] = parents[parents[group]];
        group = parents[group];
    }
    return group;
}

static uint32_t group_identity(joining_t *j, uint32_t group, const char *identity)
{
    uintptr_t found =
        (uintptr_t)apr_hash_get(j->identities, identity, APR_HASH_KEY_STRING);

    if (found) {
        uint32_t other = group_root(j, (uint32_t)(found - 1));

        ((uint32_t *)j->parents->elts)[group_root(j, group)] = other;
        return other;
    }
    apr_hash_set(j->identities, identity, APR_HASH_KEY_STRING,
                 (void *)((uintptr_t)group + 1)); // NOLINT(performance-no-int-to-ptr)
    return group;
}

/* The identities of a member, the best name first; at least one. */
static int identities_of(apr_pool_t *p, const mgb_balancer_t *b,
                         const proxy_worker *worker, const mgb_hints_t *hints,
                         const char *out[IDENTITIES_MOST])
{
    int n = 0;

    if (hints && hints->machine) {
        out[n++] = apr_pstrcat(p, "name:", hints->machine, NULL);
    }
    if (hints && hints->ipmi) {
        out[n++] = apr_pstrcat(p, "ipmi:", hints->ipmi, NULL);
    }
    if (hints && hints->redfish) {
        out[n++] = apr_pstrcat(p, "redfish:", hints->redfish, NULL);
    }
    if (hints && hints->has_mac) {
        out[n++] = apr_pstrcat(p, "mac:", mgb_config_mac(p, hints->mac), NULL);
    }
    if (n == 0) {
        out[n++] = apr_pstrcat(p, "member:", b->key, "|", worker->s->name_ex, NULL);
    }
    return n;
}

static uint32_t group_of(joining_t *j, const mgb_balancer_t *b,
                         const proxy_worker *worker, const mgb_hints_t *hints)
{
    const char *identities[IDENTITIES_MOST];
    int n = identities_of(j->p, b, worker, hints, identities);
    uint32_t group = (uint32_t)j->parents->nelts;

    APR_ARRAY_PUSH(j->parents, uint32_t) = group;
    for (int i = 0; i < n; i++) {
        (void)group_identity(j, group, identities[i]);
    }
    return group;
}

/* The part of a machine's name that a person would call it by. */
static const char *machine_name(const mgb_hints_t *hints, const proxy_worker *worker)
{
    return hints && hints->machine ? hints->machine : worker->s->name_ex;
}

/* ------------------------------------------------------------------ ways to wake */

/* A command that is too long to be kept is left out: its rung is then missing. */
static bool exec_save(char *into, size_t room, const mgb_exec_t *exec)
{
    size_t at = 0;

    for (int i = 0; exec && i < exec->argc; i++) {
        size_t length = strlen(exec->argv[i]) + 1;

        if (at + length + 1 > room) {
            return false;
        }
        memcpy(into + at, exec->argv[i], length);
        at += length;
    }
    into[at] = '\0';
    return true;
}

static const mgb_exec_t *exec_restore(apr_pool_t *p, const char *name,
                                      const char *words)
{
    apr_array_header_t *argv = apr_array_make(p, 8, sizeof(const char *));
    mgb_exec_t *exec = apr_pcalloc(p, sizeof(*exec));

    for (const char *word = words; *word; word += strlen(word) + 1) {
        APR_ARRAY_PUSH(argv, const char *) = apr_pstrdup(p, word);
    }
    exec->name = name;
    exec->argc = argv->nelts;
    APR_ARRAY_PUSH(argv, const char *) = NULL;
    exec->argv = (const char *const *)argv->elts;
    return exec;
}

static void ways_save(mgb_ways_t *ways, const mgb_hints_t *hints)
{
    memset(ways, 0, sizeof(*ways));
    for (uint32_t i = 0; i < hints->wake_count; i++) {
        const mgb_rung_t *rung = &hints->wake[i];
        uint32_t n = ways->count;

        if (exec_save(ways->exec[n], sizeof(ways->exec[n]), rung->exec)) {
            ways->way[n] = rung->way;
            apr_cpystrn(ways->name[n], rung->name, sizeof(ways->name[n]));
            ways->count++;
        }
    }
    ways->has_mac = hints->has_mac;
    memcpy(ways->mac, hints->mac, sizeof(ways->mac));
    ways->wol_port = hints->wol_port;
    apr_cpystrn(ways->wol_host, hints->wol_host ? hints->wol_host : "",
                sizeof(ways->wol_host));
    apr_cpystrn(ways->wol_iface, hints->wol_iface ? hints->wol_iface : "",
                sizeof(ways->wol_iface));
    apr_cpystrn(ways->ipmi, hints->ipmi ? hints->ipmi : "", sizeof(ways->ipmi));
    apr_cpystrn(ways->redfish, hints->redfish ? hints->redfish : "",
                sizeof(ways->redfish));
}

static void ways_restore(apr_pool_t *p, mgb_hints_t *hints, const mgb_ways_t *ways)
{
    hints->wake_count = ways->count;
    for (uint32_t i = 0; i < ways->count; i++) {
        mgb_rung_t *rung = &hints->wake[i];

        rung->way = (mgb_way_e)ways->way[i];
        rung->name = apr_pstrdup(p, ways->name[i]);
        rung->exec = rung->way == MGB_WAY_EXEC
                         ? exec_restore(p, rung->name, ways->exec[i])
                         : NULL;
    }
    hints->has_mac = ways->has_mac != 0;
    memcpy(hints->mac, ways->mac, sizeof(hints->mac));
    hints->wol_host = apr_pstrdup(p, ways->wol_host);
    hints->wol_port = ways->wol_port;
    hints->wol_iface = ways->wol_iface[0] ? apr_pstrdup(p, ways->wol_iface) : NULL;
    hints->ipmi = ways->ipmi[0] ? apr_pstrdup(p, ways->ipmi) : hints->ipmi;
    hints->redfish = ways->redfish[0] ? apr_pstrdup(p, ways->redfish) : hints->redfish;
}

static bool sleeps(const mgb_machine_t *machine)
{
    return machine->m.state == GB_ST_ASLEEP || machine->m.state == GB_ST_STOPPING ||
           machine->m.state == GB_ST_WAKING;
}

/* ------------------------------------------------------------------ slots */

/* Its wake= is gone while the machine sleeps: it keeps its slot and its old ways until
 * it has been woken.  Returns whether that is so. */
static bool group_owed(mgb_context_t *ctx, mgb_group_t *group)
{
    mgb_machine_t *machine;

    if (group->before == GB_NO_INDEX || (group->has_hints && group->hints.wake_count)) {
        return false;
    }
    machine = &ctx->shared->machines[group->before];
    if (machine->used != MGB_SLOT_LIVE || !sleeps(machine) || !machine->ways.count) {
        return false;
    }
    if (!group->has_hints) {
        gb_curve_assume(&group->hints.curve);
        group->hints.boot_us = machine->m.boot.first_guess_us;
        group->hints.capacity = MGB_CAPACITY_DEFAULT;
        group->hints.worker = group->worker;
        group->hints.member_url = group->worker->s->name_ex;
        group->has_hints = true;
    }
    ways_restore(ctx->pool, &group->hints, &machine->ways);
    group->hints.sleep_count = 0; /* it could not be woken a second time */
    group->slot = group->before;
    machine->generation = ctx->generation;
    machine->owed = 1;
    ap_log_error(
        APLOG_MARK, APLOG_NOTICE, 0, ctx->server,
        GBLOGNO(0014) "%s (%s): its wake= is gone from the configuration: it is "
                      "woken once more and then left on",
        machine->name, gb_state_name(machine->m.state));
    return true;
}

static void group_claim(mgb_context_t *ctx, mgb_group_t *group, const mgb_balancer_t *b,
                        const proxy_worker *worker, apr_pool_t *ptemp)
{
    const char *identities[IDENTITIES_MOST];
    const mgb_hints_t *hints = group->has_hints ? &group->hints : NULL;
    int64_t boot_us = hints ? hints->boot_us : MGB_BOOT_DEFAULT_US;
    mgb_machine_t *machine;
    bool is_new;

    if (group_owed(ctx, group)) {
        return;
    }
    (void)identities_of(ptemp, b, worker, hints, identities);
    group->slot = mgb_shared_claim_machine(
        ctx->shared, identities[0], machine_name(hints, worker), boot_us, &is_new);
    if (group->slot == GB_NO_INDEX) {
        mgb_members_tell_full(ctx, b, worker->s->name_ex);
        return;
    }
    machine = &ctx->shared->machines[group->slot];
    machine->generation = ctx->generation;
    machine->has_bmc = hints && (hints->ipmi || hints->redfish);
    if (hints && hints->wake_count) {
        ways_save(&machine->ways, hints);
    }
    apr_cpystrn(machine->name, machine_name(hints, worker), sizeof(machine->name));
}

/* Every (balancer, worker) that is bound, in the order of the configuration; the index
 * counts them, and is the number of the group that group_of() gave it. */
typedef void each_fn(mgb_context_t *ctx, mgb_balancer_t *b, proxy_worker *worker,
                     uint32_t i, void *baton);

static void each_member(mgb_context_t *ctx, each_fn *fn, void *baton)
{
    uint32_t i = 0;

    for (int k = 0; k < ctx->balancers->nelts; k++) {
        mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, k, mgb_balancer_t);

        for (int w = 0; w < b->balancer->workers->nelts; w++) {
            fn(ctx, b, APR_ARRAY_IDX(b->balancer->workers, w, proxy_worker *), i++,
               baton);
        }
    }
}

static void join_one(mgb_context_t *ctx, mgb_balancer_t *b, proxy_worker *worker,
                     uint32_t i, void *baton)
{
    (void)group_of(baton, b, worker, mgb_config_hints(worker));
}

/* The group that a member's number belongs to; made when it is met first. */
static mgb_group_t *group_get(mgb_context_t *ctx, joining_t *join, uint32_t i,
                              mgb_balancer_t *b, proxy_worker *worker)
{
    uint32_t root = group_root(join, i);
    mgb_group_t *group;

    if (join->by_root[root]) {
        return &APR_ARRAY_IDX(ctx->groups, (int)join->by_root[root] - 1, mgb_group_t);
    }
    group = apr_array_push(ctx->groups);
    memset(group, 0, sizeof(*group));
    group->slot = GB_NO_INDEX;
    group->before = GB_NO_INDEX;
    group->balancer = b;
    group->worker = worker;
    join->by_root[root] = (uint32_t)ctx->groups->nelts;
    return group;
}

static void describe_one(mgb_context_t *ctx, mgb_balancer_t *b, proxy_worker *worker,
                         uint32_t i, void *baton)
{
    const mgb_hints_t *hints = mgb_config_hints(worker);
    mgb_group_t *group = group_get(ctx, baton, i, b, worker);
    uint32_t slot = mgb_members_known(ctx, worker);

    if (slot != GB_NO_INDEX && ctx->shared->members[slot].machine != GB_NO_INDEX) {
        group->before = ctx->shared->members[slot].machine;
    }
    if (hints && !group->has_hints) {
        group->has_hints = true;
        group->hints = *hints;
    }
}

static void assign_one(mgb_context_t *ctx, mgb_balancer_t *b, proxy_worker *worker,
                       uint32_t i, void *baton)
{
    uint32_t slot = mgb_members_known(ctx, worker);

    if (slot != GB_NO_INDEX) {
        ctx->shared->members[slot].machine = group_get(ctx, baton, i, b, worker)->slot;
    }
}

void mgb_machines_bind(mgb_context_t *ctx, apr_pool_t *ptemp)
{
    joining_t join = {ptemp, apr_hash_make(ptemp),
                      apr_array_make(ptemp, 64, sizeof(uint32_t)), NULL};

    each_member(ctx, join_one, &join);
    join.by_root =
        apr_pcalloc(ptemp, ((apr_size_t)join.parents->nelts + 1) * sizeof(uint32_t));
    ctx->groups =
        apr_array_make(ctx->pool, join.parents->nelts + 1, sizeof(mgb_group_t));
    each_member(ctx, describe_one, &join);
    for (int i = 0; i < ctx->groups->nelts; i++) {
        mgb_group_t *group = &APR_ARRAY_IDX(ctx->groups, i, mgb_group_t);

        group_claim(ctx, group, group->balancer, group->worker, ptemp);
    }
    each_member(ctx, assign_one, &join);
}

void mgb_machines_owe(mgb_context_t *ctx)
{
    for (int i = 0; i < ctx->groups->nelts; i++) {
        const mgb_group_t *group = &APR_ARRAY_IDX(ctx->groups, i, mgb_group_t);

        if (group->slot != GB_NO_INDEX && group->balancer->was_on &&
            group->balancer->conf->mode == GB_MODE_OBSERVE &&
            sleeps(&ctx->shared->machines[group->slot])) {
            ctx->shared->machines[group->slot].owed = 1;
        }
    }
}
