/* SPDX-License-Identifier: Apache-2.0
 *
 * fleet.c - the keeper's fleet: balancers, machines and doors as core/gb_fleet.h wants
 * them, made from the configuration and from what the segment knows.
 */
#include "watchdog.h"

static uint32_t pool_index(uint32_t balancer_slot)
{
    for (uint32_t i = 0; i < mgb_dog.fleet.pool_count; i++) {
        if (mgb_dog.pool_slots[i] == balancer_slot) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

uint32_t mgb_fleet_rig(const mgb_keeper_t *keeper, uint32_t machine_slot)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        if (keeper->rigs[i].slot == machine_slot) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

const mgb_balancer_t *mgb_fleet_balancer(const mgb_keeper_t *keeper, uint32_t slot)
{
    const mgb_balancer_t *found = NULL;

    for (int i = 0; i < keeper->ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b =
            &APR_ARRAY_IDX(keeper->ctx->balancers, i, mgb_balancer_t);

        found = b->index == slot ? b : found;
    }
    return found;
}

static void pools_create(mgb_keeper_t *keeper)
{
    const apr_array_header_t *balancers = keeper->ctx->balancers;
    apr_size_t count = (apr_size_t)balancers->nelts;

    mgb_dog.fleet.pools = apr_pcalloc(keeper->pool, (count + 1) * sizeof(gb_pool_t));
    mgb_dog.pool_slots = apr_pcalloc(keeper->pool, (count + 1) * sizeof(uint32_t));
    for (int i = 0; i < balancers->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(balancers, i, mgb_balancer_t);

        if (b->index != GB_NO_INDEX) {
            gb_pool_t *pool = &mgb_dog.fleet.pools[mgb_dog.fleet.pool_count];

            mgb_dog.pool_slots[mgb_dog.fleet.pool_count++] = b->index;
            *pool = keeper->shared->balancers[b->index].pool;
            /* A last tick of the predecessor's may have written its own there. */
            mgb_members_settings(pool, b->conf);
        }
    }
}

static uint32_t rig_add(mgb_keeper_t *keeper, uint32_t machine_slot,
                        const mgb_hints_t *hints, const mgb_pool_conf_t *pool)
{
    uint32_t i = keeper->rig_count;

    if (i >= keeper->rigs_room) {
        return GB_NO_INDEX;
    }
    keeper->rigs[i].slot = machine_slot;
    keeper->rigs[i].hints = hints;
    keeper->rigs[i].pool = pool;
    mgb_dog.names[i] = keeper->shared->machines[machine_slot].name;
    mgb_dog.first_door[i] = GB_NO_INDEX;
    mgb_dog.fleet.machines[i] = keeper->shared->machines[machine_slot].m;
    if (hints) {
        mgb_dog.fleet.machines[i].boot.first_guess_us = hints->boot_us;
    }
    keeper->rig_count++;
    mgb_dog.fleet.machine_count = keeper->rig_count;
    return i;
}

static void rigs_create(mgb_keeper_t *keeper)
{
    const apr_array_header_t *groups = keeper->ctx->groups;
    apr_size_t room = keeper->shared->header->machines_room;
    apr_pool_t *p = keeper->pool;

    keeper->rigs_room = (uint32_t)room;
    keeper->rigs = apr_pcalloc(p, room * sizeof(*keeper->rigs));
    mgb_dog.fleet.machines = apr_pcalloc(p, room * sizeof(*mgb_dog.fleet.machines));
    mgb_dog.fleet.senses = apr_pcalloc(p, room * sizeof(*mgb_dog.fleet.senses));
    mgb_dog.fleet.rules = apr_pcalloc(p, room * sizeof(*mgb_dog.fleet.rules));
    mgb_dog.off_pending = apr_pcalloc(p, room * sizeof(*mgb_dog.off_pending));
    mgb_dog.first_door = apr_pcalloc(p, room * sizeof(*mgb_dog.first_door));
    mgb_dog.names = apr_pcalloc(p, room * sizeof(*mgb_dog.names));
    mgb_dog.fleet.names = mgb_dog.names;
    for (int i = 0; i < groups->nelts; i++) {
        mgb_group_t *group = &APR_ARRAY_IDX(groups, i, mgb_group_t);

        if (group->slot != GB_NO_INDEX) {
            (void)rig_add(keeper, group->slot, group->has_hints ? &group->hints : NULL,
                          group->balancer->conf);
        }
    }
}

/* A member that was added at run time: a machine of its own, without ladders. */
static uint32_t rig_of_added(mgb_keeper_t *keeper, const mgb_balancer_t *b,
                             uint32_t slot)
{
    mgb_member_t *member = &keeper->shared->members[slot];
    const char *key =
        apr_pstrcat(keeper->ptick, "member:", b->key, "|", member->name, NULL);
    uint32_t machine, rig;
    bool is_new;

    machine = mgb_shared_claim_machine(keeper->shared, key, member->name,
                                       MGB_BOOT_DEFAULT_US, &is_new);
    if (machine == GB_NO_INDEX) {
        return GB_NO_INDEX;
    }
    keeper->shared->machines[machine].generation = keeper->ctx->generation;
    member->machine = machine;
    rig = rig_add(keeper, machine, NULL, b->conf);
    if (rig != GB_NO_INDEX) {
        keeper->rigs[rig].added = true;
    }
    return rig;
}

void mgb_fleet_door_add(mgb_keeper_t *keeper, const mgb_balancer_t *b,
                        proxy_worker *worker)
{
    uint32_t slot = mgb_members_slot(keeper->ctx, b, worker), rig;
    gb_door_t *door;

    if (slot == GB_NO_INDEX || keeper->door_count >= mgb_dog.doors_room) {
        return;
    }
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        if (keeper->doors[i].slot == slot) {
            return;
        }
    }
    rig = keeper->shared->members[slot].machine == GB_NO_INDEX
              ? GB_NO_INDEX
              : mgb_fleet_rig(keeper, keeper->shared->members[slot].machine);
    if (rig == GB_NO_INDEX) {
        rig = rig_of_added(keeper, b, slot); /* perhaps by a keeper before this one */
    }
    if (rig == GB_NO_INDEX) {
        return;
    }
    keeper->doors[keeper->door_count].slot = slot;
    keeper->doors[keeper->door_count].rig = rig;
    keeper->doors[keeper->door_count].balancer = b;
    keeper->doors[keeper->door_count].worker = worker;
    door = &mgb_dog.fleet.doors[keeper->door_count++];
    door->machine = rig;
    door->balancer = pool_index(b->index);
    door->capacity = keeper->shared->members[slot].capacity;
    gb_fleet_door_watts(door, &keeper->shared->members[slot].curve);
    mgb_dog.next_door[keeper->door_count - 1] = mgb_dog.first_door[rig];
    mgb_dog.first_door[rig] = keeper->door_count - 1;
    mgb_dog.fleet.door_count = keeper->door_count;
}

static void doors_create(mgb_keeper_t *keeper)
{
    mgb_dog.doors_room = keeper->shared->header->members_room;
    keeper->doors = apr_pcalloc(keeper->pool, mgb_dog.doors_room * sizeof(mgb_door_t));
    mgb_dog.fleet.doors =
        apr_pcalloc(keeper->pool, mgb_dog.doors_room * sizeof(gb_door_t));
    mgb_dog.gates = apr_pcalloc(keeper->pool, mgb_dog.doors_room);
    mgb_dog.next_door =
        apr_pcalloc(keeper->pool, mgb_dog.doors_room * sizeof(uint32_t));
    for (int i = 0; i < keeper->ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b =
            &APR_ARRAY_IDX(keeper->ctx->balancers, i, mgb_balancer_t);

        for (int k = 0; b->index != GB_NO_INDEX && k < b->balancer->workers->nelts;
             k++) {
            mgb_fleet_door_add(keeper, b,
                               APR_ARRAY_IDX(b->balancer->workers, k, proxy_worker *));
        }
    }
}

/* A machine in several balancers obeys the strictest of each rule. */
static void rules_join(gb_rules_t *into, const gb_rules_t *from, bool first)
{
    if (first) {
        *into = *from;
        return;
    }
#define LARGER(field)                                                                  \
    into->field = into->field > from->field ? into->field : from->field
    LARGER(drain_timeout_us);
    LARGER(stop_timeout_us);
    LARGER(wake_timeout_us);
    LARGER(awake_dwell_us);
    LARGER(asleep_dwell_us);
    LARGER(packets);
#undef LARGER
    if (from->wake_retry_us < into->wake_retry_us) {
        into->wake_retry_us = from->wake_retry_us;
    }
    if (from->cycles_per_day < into->cycles_per_day) {
        into->cycles_per_day = from->cycles_per_day;
    }
}

/* What the machine is able to do, from its keys and its balancers' modes. */
void mgb_fleet_resolve(mgb_keeper_t *keeper, uint32_t i)
{
    mgb_rig_t *rig = &keeper->rigs[i];
    gb_machine_t *machine = &mgb_dog.fleet.machines[i];
    uint32_t kept = machine->flags & GB_MF_REMEMBERED;
    bool on = false, observed = false, hard = true, first = true;

    for (uint32_t d = mgb_dog.first_door[i]; d != GB_NO_INDEX;
         d = mgb_dog.next_door[d]) {
        const mgb_pool_conf_t *pool = keeper->doors[d].balancer->conf;

        on = on || pool->mode == GB_MODE_ON;
        observed = observed || pool->mode == GB_MODE_OBSERVE;
        hard = hard && pool->hard_off;
        if (first || pool->mode == GB_MODE_ON) {
            rules_join(&rig->rules, &pool->rules, first);
            rig->pool = pool;
            first = false;
        }
    }
    if (keeper->shared->machines[rig->slot].owed) {
        on = observed = false; /* until it is awake: then nobody switches it any more */
    }
    machine->rungs_wake = rig->hints ? rig->hints->wake_count : 0;
    machine->rungs_sleep = rig->hints ? rig->hints->sleep_count : 0;
    machine->flags = kept | (machine->rungs_wake ? GB_MF_CAN_WAKE : 0) |
                     (machine->rungs_sleep ? GB_MF_CAN_SLEEP : 0) |
                     (keeper->shared->machines[rig->slot].has_bmc ? GB_MF_HAS_BMC : 0) |
                     (on || observed ? GB_MF_MANAGED : 0) |
                     (observed && !on ? GB_MF_OBSERVED : 0);
    /* The configuration's value is for one way off; each further one has its own time.
     */
    if (machine->rungs_sleep > 1 && !first) {
        rig->rules.stop_timeout_us +=
            (int64_t)(machine->rungs_sleep - 1) * rig->rules.wake_timeout_us;
    }
    rig->hard_off = hard && !first && mgb_waker_can_cut(rig);
    if (rig->hard_off) {
        rig->rules.stop_timeout_us += rig->rules.wake_timeout_us;
    }
    mgb_dog.fleet.rules[i] = rig->rules;
}

void mgb_fleet_create(mgb_keeper_t *keeper)
{
    pools_create(keeper);
    rigs_create(keeper);
    doors_create(keeper);
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        mgb_fleet_resolve(keeper, i);
    }
}
