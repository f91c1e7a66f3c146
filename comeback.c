/* SPDX-License-Identifier: Apache-2.0
 *
 * comeback.c - the keeper's care for servers that come back, that misbehave, and whose
 * sessions have not ended.
 *
 * Slow start: a door whose machine became ON from WAKING or FAILED, or whose ejection
 * has ended, gets a capacity in force in the pick table that grows (core/gb_return.h).
 * The fleet goes on reckoning with the whole capacity, or slow start would wake others.
 *
 * The passive check: errors that the proxy had with a member, though its health check
 * passes, take it out for a time (core/gb_outlier.h).
 *
 * httpd's own mark E ends with a probe that passes.
 *
 * Sessions: a draining machine lingers until its sticky sessions have been silent for
 * the time of GreenSticky wait=.
 *
 * What lasts (ejections, the beginning of a slow start) stands in the segment, so that
 * the next keeper goes on with it; windows of errors begin anew.  All of it runs in the
 * keeper's one thread, within a tick.
 */
#include "watchdog.h"

#include "core/gb_outlier.h"
#include "core/gb_return.h"

static gb_outlier_t *outliers;   /* [member slot] */
static int64_t *errors_since_us; /* [member slot]: httpd's mark E; 0: it is not set */

static void outlier_save(mgb_member_t *member, const gb_outlier_t *outlier)
{
    member->ejected_until_us = outlier->until_us;
    member->ejections = outlier->ejections;
    __atomic_store_n(&member->ejected, outlier->ejected, __ATOMIC_RELEASE);
}

void mgb_comeback_create(mgb_keeper_t *keeper)
{
    outliers = apr_pcalloc(keeper->pool,
                           keeper->shared->header->members_room * sizeof(*outliers));
    errors_since_us = apr_pcalloc(keeper->pool, keeper->shared->header->members_room *
                                                    sizeof(*errors_since_us));
    for (uint32_t i = 0; i < keeper->shared->header->members_top; i++) {
        const mgb_member_t *member = &keeper->shared->members[i];

        outliers[i].ejected = member->ejected != 0;
        outliers[i].ejections = member->ejections;
        outliers[i].until_us = member->ejected_until_us;
    }
}

static mgb_member_t *member_of(const mgb_keeper_t *keeper, uint32_t door)
{
    return &keeper->shared->members[keeper->doors[door].slot];
}

static const mgb_return_conf_t *conf_of(const mgb_keeper_t *keeper, uint32_t door)
{
    return &keeper->doors[door].balancer->conf->comeback;
}

static bool is_managed(const mgb_keeper_t *keeper, uint32_t door)
{
    return keeper->doors[door].balancer->conf->mode == GB_MODE_ON;
}

/* ------------------------------------------------------------------ passive check */

static gb_outlier_rules_t rules_of(const mgb_keeper_t *keeper, uint32_t door)
{
    const mgb_return_conf_t *conf = conf_of(keeper, door);
    gb_outlier_rules_t rules = {conf->outlier_errors, conf->outlier_within_us,
                                conf->outlier_eject_us};

    return rules;
}

/* Is it ours to judge: managed, with a machine that is known to be on, and not the
 * administrator's?  Of an unknown one the health check is about to say more. */
static bool is_judged(const mgb_keeper_t *keeper, uint32_t door)
{
    uint32_t status = keeper->doors[door].worker->s->status;

    return is_managed(keeper, door) && conf_of(keeper, door)->outlier_errors != 0 &&
           mgb_dog.fleet.machines[keeper->doors[door].rig].state == GB_ST_ON &&
           !(status & MGB_ADMIN_BITS);
}

/* Would it get requests, but for an ejection? */
static bool serves(const mgb_keeper_t *keeper, uint32_t door)
{
    return is_judged(keeper, door) &&
           member_of(keeper, door)->health.verdict != GB_VERDICT_BAD;
}

/* What the backend did to the proxy: failed for good, or so that another member was
 * tried.  Its own 5xx is not counted: it is alive, and every other one may say so. */
static uint64_t errors_of(const mgb_keeper_t *keeper, uint32_t door)
{
    const gb_cell_t *cell = &keeper->shared->cells[keeper->doors[door].slot];

    return __atomic_load_n(&cell->outcomes[GB_OUT_GATEWAY], __ATOMIC_RELAXED) +
           __atomic_load_n(&cell->outcomes[GB_OUT_FAILOVER], __ATOMIC_RELAXED);
}

static void note(mgb_keeper_t *keeper, uint32_t door, const char *reason)
{
    const mgb_door_t *d = &keeper->doors[door];
    uint32_t state = mgb_dog.fleet.machines[d->rig].state;

    mgb_shared_note(keeper->shared, keeper->rigs[d->rig].slot, d->slot,
                    member_of(keeper, door)->balancer, state, state, reason);
}

static void eject(mgb_keeper_t *keeper, uint32_t door, uint32_t errors, int64_t now_us)
{
    gb_outlier_t *outlier = &outliers[keeper->doors[door].slot];
    gb_outlier_rules_t rules = rules_of(keeper, door);
    int64_t lasts_us = gb_outlier_eject(outlier, &rules, now_us);
    const char *reason = apr_psprintf(
        keeper->ptick, "%u requests failed at it within %.0f s: out for %.0f s", errors,
        (double)rules.within_us / 1e6, (double)lasts_us / 1e6);

    outlier_save(member_of(keeper, door), outlier);
    note(keeper, door, reason);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                 GBLOGNO(1103) "%s (%s): %s (GreenOutlier): look at its service",
                 member_of(keeper, door)->name,
                 gb_state_name(mgb_dog.fleet.machines[keeper->doors[door].rig].state),
                 reason);
}

/* It opens again, with slow start; httpd's own error mark has been served with it. */
static void readmit(mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    proxy_worker *worker = keeper->doors[door].worker;

    member_of(keeper, door)->returned_at_us = now_us;
    if (worker->s->status & PROXY_WORKER_IN_ERROR) {
        ap_proxy_set_wstatus(PROXY_WORKER_IN_ERROR_FLAG, 0, worker);
    }
    note(keeper, door, "its time out is over: it gets requests again");
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                 GBLOGNO(1104) "%s (%s): its time out is over: it gets requests again",
                 member_of(keeper, door)->name,
                 gb_state_name(mgb_dog.fleet.machines[keeper->doors[door].rig].state));
}

/* Ends what is over, and looks at the errors of one door; returns those in its window.
 */
static uint32_t door_look(mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    gb_outlier_t *outlier = &outliers[keeper->doors[door].slot];
    gb_outlier_rules_t rules = rules_of(keeper, door);
    uint32_t errors;

    if (!is_judged(keeper, door)) {
        /* Off, failed, or the administrator's: when it is back, it is as good as new.
         */
        gb_outlier_pardon(outlier, now_us);
    }
    else if (gb_outlier_pass(outlier, &rules, now_us)) {
        readmit(keeper, door, now_us);
    }
    errors = gb_outlier_look(outlier, &rules, errors_of(keeper, door),
                             serves(keeper, door) && !outlier->ejected, now_us);
    outlier_save(member_of(keeper, door), outlier);
    return errors;
}

/* How many doors of a balancer would serve, and how many of them are out. */
static void count_pool(const mgb_keeper_t *keeper, const mgb_balancer_t *b,
                       uint32_t *serving, uint32_t *out)
{
    *serving = *out = 0;
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        if (keeper->doors[i].balancer == b && serves(keeper, i)) {
            ++*serving;
            *out += outliers[keeper->doors[i].slot].ejected;
        }
    }
}

/* A door that has reached the number waits until half of the others are in again. */
static void door_judge(mgb_keeper_t *keeper, uint32_t door, uint32_t errors,
                       int64_t now_us)
{
    uint32_t serving, out;

    count_pool(keeper, keeper->doors[door].balancer, &serving, &out);
    if (gb_outlier_allowed(serving, out)) {
        eject(keeper, door, errors, now_us);
    }
}

/* httpd leaves a member that it could not reach alone for retry= (60 s) when another
 * one is there, and takes one that sleeps for that.  So a probe that began after the
 * mark was seen, and has passed, ends it. */
static void error_look(mgb_keeper_t *keeper, uint32_t door, int64_t now_us)
{
    proxy_worker *worker = keeper->doors[door].worker;
    int64_t *since_us = &errors_since_us[keeper->doors[door].slot];
    const mgb_member_t *member = member_of(keeper, door);

    if (!(worker->s->status & PROXY_WORKER_IN_ERROR)) {
        *since_us = 0;
    }
    else if (*since_us == 0) {
        *since_us = now_us;
    }
    else if (is_managed(keeper, door) && member->passed_at_us > *since_us &&
             member->health.verdict == GB_VERDICT_GOOD) {
        *since_us = 0;
        ap_proxy_set_wstatus(PROXY_WORKER_IN_ERROR_FLAG, 0, worker);
        ap_log_error(
            APLOG_MARK, APLOG_INFO, 0, keeper->server,
            GBLOGNO(1105) "%s (%s): httpd could not reach it; it passes its "
                          "health check: it gets requests again",
            member->name,
            gb_state_name(mgb_dog.fleet.machines[keeper->doors[door].rig].state));
    }
}

void mgb_comeback_sense(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        error_look(keeper, i, now_us);
    }
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        uint32_t errors = door_look(keeper, i, now_us);
        uint32_t most = conf_of(keeper, i)->outlier_errors;

        if (most && errors >= most && serves(keeper, i) &&
            !outliers[keeper->doors[i].slot].ejected) {
            door_judge(keeper, i, errors, now_us);
        }
    }
}

/* ------------------------------------------------------------------ sessions */

void mgb_comeback_sessions(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_return_conf_t *conf = conf_of(keeper, i);
        gb_sense_t *sense = &mgb_dog.fleet.senses[keeper->doors[i].rig];
        int64_t used_at_us, ago_us;

        if (!is_managed(keeper, i) || conf->sticky_move ||
            mgb_dog.fleet.machines[keeper->doors[i].rig].state != GB_ST_DRAINING) {
            continue;
        }
        used_at_us =
            __atomic_load_n(&keeper->shared->cells[keeper->doors[i].slot].session_at_us,
                            __ATOMIC_RELAXED);
        ago_us = used_at_us < now_us ? now_us - used_at_us : 0;
        if (used_at_us == 0 || ago_us >= conf->sticky_wait_us) {
            continue;
        }
        sense->lingers = true;
        if (!sense->objection) {
            sense->objection =
                apr_psprintf(keeper->ptick, "a session of it was used %.0f s ago",
                             (double)ago_us / 1e6);
        }
    }
}

/* ------------------------------------------------------------------ slow start */

void mgb_comeback_note(mgb_keeper_t *keeper, const gb_action_t *action, int64_t now_us)
{
    if (action->to != GB_ST_ON ||
        (action->from != GB_ST_WAKING && action->from != GB_ST_FAILED)) {
        return;
    }
    for (uint32_t i = mgb_dog.first_door[action->machine]; i != GB_NO_INDEX;
         i = mgb_dog.next_door[i]) {
        member_of(keeper, i)->returned_at_us = now_us;
    }
}

void mgb_comeback_capacities(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        const mgb_member_t *member = member_of(keeper, i);
        gb_pick_table_t *table = MGB_TABLE(keeper->shared, member->balancer);
        int64_t ramp_us = is_managed(keeper, i) ? conf_of(keeper, i)->slow_start_us : 0;
        uint32_t wanted;

        if (member->position == GB_NO_INDEX) {
            continue;
        }
        wanted = gb_return_capacity(member->capacity, member->returned_at_us, ramp_us,
                                    now_us);
        if (gb_pick_records(table)[member->position].capacity != wanted) {
            gb_pick_set_capacity(table, member->position, wanted);
        }
    }
}
