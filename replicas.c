/* SPDX-License-Identifier: Apache-2.0
 *
 * replicas.c - what the keeper's watchdog makes of a balancer's replicas: who takes
 * reads, whom the quorum needs awake, who may sleep with which writes still to come.
 *
 * The journal thread says in the segment how far each replica is
 * (mgb_replica_shared_t); the watchdog answers there with `park`, and by gates, floors
 * and objections.  All of it runs in the watchdog's thread, within a tick.
 *
 * What is known of a replica, and what follows from it:
 *
 *   reads      as any other server
 *   behind     awake, but no requests until it has caught up: counts as one that comes,
 *              for as long as another one would need to boot; then one is woken for it
 *   aside      awake, and of no use: no requests, one is woken for it
 *   unknown    nobody has opened its log yet: as behind; nobody can: reads go on
 */
#include "watchdog.h"

#define OPENS_WITHIN_US (5 * GB_US_PER_S) /* the journal, after the keeper's start */
#define BEHIND_LEAST_US (30 * GB_US_PER_S)

typedef enum replica_e {
    REPLICA_NONE = 0, /* none, or nobody can tell */
    REPLICA_READS,
    REPLICA_BEHIND,
    REPLICA_ASIDE
} replica_e;

static int64_t *behind_since_us; /* [member slot]; 0: it is not */
static bool *told;               /* [member slot]: that the operator keeps it off */

void mgb_replicas_create(mgb_keeper_t *keeper)
{
    apr_size_t room = keeper->shared->header->members_room;

    behind_since_us = apr_pcalloc(keeper->pool, room * sizeof(*behind_since_us));
    told = apr_pcalloc(keeper->pool, room * sizeof(*told));
}

static bool is_replicated(const mgb_keeper_t *keeper, uint32_t door)
{
    return keeper->doors[door].balancer->conf->commit.terms.on;
}

static mgb_replica_shared_t *replica_of(const mgb_keeper_t *keeper, uint32_t door)
{
    return &keeper->shared->members[keeper->doors[door].slot].replica;
}

/* Does the journal thread serve the door's log? */
static bool is_live(const mgb_keeper_t *keeper, uint32_t door)
{
    const mgb_member_t *member = &keeper->shared->members[keeper->doors[door].slot];

    return __atomic_load_n(&keeper->shared->balancers[member->balancer].log.live,
                           __ATOMIC_ACQUIRE) != 0;
}

static replica_e status_of(const mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    const mgb_replica_shared_t *replica = replica_of(keeper, door);
    int64_t since_us = keeper->shared->header->keeper_started_at_us;

    if (!is_replicated(keeper, door)) {
        return REPLICA_NONE;
    }
    if (!__atomic_load_n(&replica->is_replica, __ATOMIC_ACQUIRE)) {
        if (is_live(keeper, door)) {
            return REPLICA_ASIDE; /* added at run time: nobody knows what it has */
        }
        return now_us - since_us < OPENS_WITHIN_US ? REPLICA_BEHIND : REPLICA_NONE;
    }
    if (__atomic_load_n(&replica->aside, __ATOMIC_ACQUIRE)) {
        return REPLICA_ASIDE;
    }
    return __atomic_load_n(&replica->reads, __ATOMIC_ACQUIRE) ? REPLICA_READS
                                                              : REPLICA_BEHIND;
}

bool mgb_replicas_may_read(const mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    const replica_e status = status_of(keeper, door, now_us);

    return status == REPLICA_NONE || status == REPLICA_READS;
}

uint32_t mgb_replicas_floor(const mgb_shared_t *sh, const mgb_balancer_t *b)
{
    const gb_commit_conf_t *terms = &b->conf->commit.terms;
    uint32_t members = (uint32_t)b->balancer->workers->nelts;
    uint32_t need =
        __atomic_load_n(&sh->balancers[b->index].log.need, __ATOMIC_RELAXED);

    if (!terms->on) {
        return 0;
    }
    need = need ? need : terms->quorum;
    return need < members ? need : members;
}

/* ------------------------------------------------------------------ sensing */

/* It counts as coming for as long as another one would need to boot. */
static void behind_sense(const mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    const uint32_t rig = keeper->doors[door].rig;
    int64_t *since_us = &behind_since_us[keeper->doors[door].slot];
    int64_t most_us = gb_boot_quantile(&mgb_dog.fleet.machines[rig].boot, 950);

    most_us = most_us > BEHIND_LEAST_US ? most_us : BEHIND_LEAST_US;
    *since_us = *since_us ? *since_us : now_us;
    mgb_dog.fleet.doors[door].catches_up = true;
    if (now_us - *since_us > most_us) {
        mgb_dog.fleet.doors[door].counted = false;
    }
}

/* Something wants it awake; the operator, who wants it off, is told. */
static void wanted_sense(const mgb_keeper_t *keeper, uint32_t door)
{
    const mgb_replica_shared_t *replica = replica_of(keeper, door);
    const mgb_member_t *member = &keeper->shared->members[keeper->doors[door].slot];
    const gb_machine_t *machine = &mgb_dog.fleet.machines[keeper->doors[door].rig];
    gb_sense_t *sense = &mgb_dog.fleet.senses[keeper->doors[door].rig];
    const bool is_aside = __atomic_load_n(&replica->aside, __ATOMIC_ACQUIRE) != 0;
    bool *was_told = &told[keeper->doors[door].slot];
    uint64_t lag = __atomic_load_n(&replica->lag_entries, __ATOMIC_RELAXED);

    if (!__atomic_load_n(&replica->wants_awake, __ATOMIC_ACQUIRE)) {
        *was_told = false;
        return;
    }
    sense->wanted = true;
    sense->wanted_why =
        is_aside ? "it was set aside, and GreenResync is to bring it back"
                 : apr_psprintf(keeper->ptick,
                                "%" APR_UINT64_T_FMT
                                " writes have waited for it for too long, or fill the "
                                "journal",
                                lag);
    if (machine->wish != GB_WISH_KEEP_OFF) {
        *was_told = false;
    }
    else if (!*was_told && !is_aside && !gb_state_takes_sticky(machine)) {
        *was_told = true;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     GBLOGNO(0408) "%s (%s): %" APR_UINT64_T_FMT
                                   " writes wait for it and fill the journal, and the "
                                   "operator keeps it off: let it wake by greenctl "
                                   "auto",
                     member->name, gb_state_name((gb_state_e)machine->state), lag);
    }
}

/* Until it has parked, with every write done that it is to do, it is not off yet. */
static void drain_sense(const mgb_keeper_t *keeper, uint32_t door)
{
    const mgb_replica_shared_t *replica = replica_of(keeper, door);
    gb_sense_t *sense = &mgb_dog.fleet.senses[keeper->doors[door].rig];
    const uint32_t state = mgb_dog.fleet.machines[keeper->doors[door].rig].state;
    const bool is_aside = __atomic_load_n(&replica->aside, __ATOMIC_ACQUIRE) != 0;
    uint64_t lag = __atomic_load_n(&replica->lag_entries, __ATOMIC_RELAXED);

    if (!is_live(keeper, door)) {
        sense->objects = true;
        sense->objection = "its journal is not served: nobody knows what it lacks";
        return;
    }
    if (state != GB_ST_DRAINING && state != GB_ST_STOPPING) {
        return;
    }
    /* One that is set aside gets no writes; only its way back is waited for. */
    if (is_aside ? !__atomic_load_n(&replica->in_flight, __ATOMIC_ACQUIRE) &&
                       !__atomic_load_n(&replica->resyncing, __ATOMIC_ACQUIRE)
                 : __atomic_load_n(&replica->parked, __ATOMIC_SEQ_CST) &&
                       __atomic_load_n(&replica->park, __ATOMIC_RELAXED)) {
        return;
    }
    sense->objects = true;
    if (!sense->objection) {
        sense->objection =
            is_aside ? "its data are being brought back"
                     : apr_psprintf(keeper->ptick,
                                    "%" APR_UINT64_T_FMT " writes wait for it", lag);
    }
}

void mgb_replicas_sense(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        gb_sense_t *sense = &mgb_dog.fleet.senses[keeper->doors[i].rig];
        const gb_machine_t *machine = &mgb_dog.fleet.machines[keeper->doors[i].rig];
        replica_e status = status_of(keeper, i, now_us);
        int64_t catch_up_us;

        mgb_dog.fleet.doors[i].catches_up = false;
        if (status != REPLICA_BEHIND || !gb_state_takes_sticky(machine)) {
            behind_since_us[keeper->doors[i].slot] = 0;
        }
        if (!is_replicated(keeper, i)) {
            continue;
        }
        if (gb_state_takes_sticky(machine) && status == REPLICA_BEHIND) {
            behind_sense(keeper, i, now_us);
        }
        else if (gb_state_takes_sticky(machine) && status == REPLICA_ASIDE) {
            mgb_dog.fleet.doors[i].counted = false;
        }
        catch_up_us =
            __atomic_load_n(&replica_of(keeper, i)->catch_up_us, __ATOMIC_RELAXED);
        sense->catch_up_us =
            catch_up_us > sense->catch_up_us ? catch_up_us : sense->catch_up_us;
        wanted_sense(keeper, i);
        drain_sense(keeper, i);
    }
}

/* ------------------------------------------------------------------ publishing */

void mgb_replicas_publish(mgb_keeper_t *keeper)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const uint32_t state = mgb_dog.fleet.machines[keeper->doors[i].rig].state;
        const uint32_t park =
            state == GB_ST_DRAINING || state == GB_ST_STOPPING || state == GB_ST_ASLEEP;

        if (is_replicated(keeper, i)) {
            __atomic_store_n(&replica_of(keeper, i)->park, park, __ATOMIC_SEQ_CST);
        }
    }
}
