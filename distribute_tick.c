/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_tick.c - what a log does ten times a second: who is awake, who may sleep,
 * who takes reads, GreenResync, and the segment's fields.
 */
#include "distribute_private.h"

#define OLD_US          (3600 * GB_US_PER_S) /* what waits for a sleeper so long wakes it */
#define STUCK_US        (60 * GB_US_PER_S) /* an open entry is told of, and told of again */
#define RATE_US         GB_US_PER_S
#define RATE_WEIGHT     0.2
#define RESYNC_FIRST_US (10 * GB_US_PER_S)
#define RESYNC_MOST_US  (600 * GB_US_PER_S)

static mgb_replica_shared_t *shared_of(const mgb_log_t *log, uint32_t i)
{
    return &log->commit->shared->members[log->replicas[i].slot].replica;
}

/* ------------------------------------------------------------------ machines */

/* Can its machine take a write now?  One that fails is tried: sends have their own
 * back-off; one that is off, or boots, need not be. */
static bool is_awake(const mgb_log_t *log, uint32_t slot)
{
    const mgb_shared_t *sh = log->commit->shared;
    const mgb_member_t *member = &sh->members[slot];
    const proxy_worker *worker = mgb_members_worker(log->commit->ctx, slot);
    uint32_t machine = __atomic_load_n(&member->machine, __ATOMIC_RELAXED);

    if (worker &&
        (worker->s->status & (PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED))) {
        return false; /* the administrator's word */
    }
    if (machine == GB_NO_INDEX) {
        return true;
    }
    switch (__atomic_load_n(&sh->machines[machine].m.state, __ATOMIC_RELAXED)) {
    case GB_ST_STOPPING:
    case GB_ST_ASLEEP:
        return false;
    case GB_ST_WAKING:
        return __atomic_load_n(&member->health.last_good, __ATOMIC_RELAXED) != 0;
    default:
        return true;
    }
}

static bool is_idle(const mgb_log_t *log, uint32_t i)
{
    const gb_replica_t *order = &log->order[i];

    return !order->in_flight && !order->in_doubt && !log->replicas[i].mark;
}

/* It has all that has a verdict, and nothing is under way: from here on it gets nothing
 * more, until the park is taken back.  A replica that is aside gets nothing anyhow. */
static void park(mgb_log_t *log, uint32_t i)
{
    mgb_replica_t *r = &log->replicas[i];
    gb_replica_t *order = &log->order[i];
    mgb_replica_shared_t *to = shared_of(log, i);
    bool wanted = __atomic_load_n(&to->park, __ATOMIC_SEQ_CST) != 0;
    bool parked = __atomic_load_n(&to->parked, __ATOMIC_RELAXED) != 0;

    if (parked && !wanted) {
        /* Said first, and then looked at again: a park that is set meanwhile finds that
         * it is not parked, or is seen here before anything is sent. */
        __atomic_store_n(&to->parked, 0, __ATOMIC_SEQ_CST);
        parked = __atomic_load_n(&to->park, __ATOMIC_SEQ_CST) != 0;
    }
    else if (wanted && !parked) {
        parked = order->aside ? log->resync_target != i && !r->frozen && is_idle(log, i)
                              : order->cursor >= log->settled + log->decided &&
                                    is_idle(log, i) && !r->frozen;
    }
    order->can_take = r->awake && !parked && !r->frozen;
    __atomic_store_n(&to->parked, parked, __ATOMIC_SEQ_CST);
}

void mgb_upkeep_park(mgb_log_t *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        if (!log->replicas[i].gone) {
            park(log, i);
        }
    }
}

/* ------------------------------------------------------------------ reads */

/* How far it is behind what it has to have for reads. At L0 what an earlier keeper has
 * sent may be sent again, over what came after it: the whole of that comes first. */
static uint64_t behind(const mgb_log_t *log, const gb_replica_t *order)
{
    uint64_t upto = log->conf->level == GB_LEVEL_L0 && log->repeat_upto > log->settled
                        ? log->repeat_upto
                        : log->settled;

    return upto > order->cursor ? upto - order->cursor : 0;
}

static void reads(mgb_log_t *log, uint32_t i, int64_t now_us)
{
    mgb_replica_t *r = &log->replicas[i];
    const gb_replica_t *order = &log->order[i];
    uint64_t lag = behind(log, order);
    const mgb_item_t *item = mgb_log_item(log, order->cursor + 1);
    bool before = r->reads;

    r->reads =
        gb_replica_reads(before, order, lag,
                         item && item->settled_at_us ? now_us - item->settled_at_us
                                                     : (lag ? GB_NEVER_US : 0)) ||
        MGB_BUG("lagging_read");
    if (before && !r->reads && !order->aside && r->awake && !r->behind_told) {
        r->behind_told = true;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                     GBLOGNO(1555) "%s: %s is %" APR_UINT64_T_FMT
                                   " entries behind and takes no reads",
                     log->b->conf->name, r->name, lag);
    }
    else if (!before && r->reads && r->behind_told) {
        r->behind_told = false;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                     GBLOGNO(1556) "%s: %s has caught up and takes reads",
                     log->b->conf->name, r->name);
    }
}

/* ------------------------------------------------------------------ the segment */

/* Is a sleeper to be woken, since what waits for it is old or fills the journal, or so
 * that it can be brought back?  Where that has failed, not for every try. */
static bool wants_awake(const mgb_log_t *log, uint32_t i, int64_t since_us,
                        uint32_t permille, int64_t now_us)
{
    const mgb_replica_t *r = &log->replicas[i];

    if (r->awake) {
        return false;
    }
    if (log->order[i].aside) {
        return log->conf->resync && log->resync_target != i &&
               now_us >= r->resync_at_us + (r->resync_wait_us ? OLD_US : 0);
    }
    return since_us && (now_us - since_us > OLD_US ||
                        (permille >= MGB_FULL_PERMILLE && !log->trim_due));
}

static void publish_replica(mgb_log_t *log, uint32_t i, uint32_t permille,
                            int64_t now_us)
{
    mgb_replica_t *r = &log->replicas[i];
    const gb_replica_t *order = &log->order[i];
    mgb_replica_shared_t *to = shared_of(log, i);
    uint64_t lag =
        log->durable_head > order->cursor ? log->durable_head - order->cursor : 0;
    int64_t since_us = 0;
    gb_entry_t entry;
    apr_time_t at;

    if (lag && !order->aside &&
        mgb_journal_peek(log->commit->journal, log->number, order->cursor + 1, &entry,
                         &at) == APR_SUCCESS) {
        since_us = now_us - (mgb_wall_us() - at);
        since_us = since_us > 0 ? since_us : 1;
    }
    reads(log, i, now_us);
    apr_cpystrn(to->why, order->aside ? r->why : "", sizeof to->why);
    /* The cursor and the lag in entries are told of each turn. */
    __atomic_store_n(&to->lag_since_us, since_us, __ATOMIC_RELAXED);
    __atomic_store_n(&to->catch_up_us,
                     gb_replica_catch_up_us(lag, r->entry_s, log->rate),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&to->in_flight, order->in_flight != 0, __ATOMIC_RELAXED);
    __atomic_store_n(&to->resyncing, log->resync && log->resync_target == i,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&to->wants_awake, wants_awake(log, i, since_us, permille, now_us),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&to->aside, order->aside, __ATOMIC_RELAXED);
    __atomic_store_n(&to->reads, r->reads, __ATOMIC_RELEASE);
    __atomic_store_n(&to->is_replica, 1, __ATOMIC_RELEASE);
}

static void rate(mgb_log_t *log, int64_t now_us)
{
    uint64_t accepted = log->shared->accepted;
    double span_s = (double)(now_us - log->rate_at_us) / 1e6;

    if (now_us - log->rate_at_us < RATE_US) {
        return;
    }
    if (log->rate_at_us) {
        log->rate += RATE_WEIGHT *
                     ((double)(accepted - log->accepted_seen) / span_s - log->rate);
    }
    log->accepted_seen = accepted;
    log->rate_at_us = now_us;
    log->trim_due = true; /* once a second is often enough for that, too */
    mgb_journal_look(log->commit->journal);
}

/* ------------------------------------------------------------------ GreenResync */

static void resync_over(mgb_log_t *log)
{
    if (log->resync_source != GB_NO_INDEX) {
        log->replicas[log->resync_source].frozen = false;
    }
    log->resync = NULL;
    log->resync_source = log->resync_target = GB_NO_INDEX;
}

static void on_resynced(void *baton, bool ok, const char *why)
{
    mgb_replica_t *r = baton;
    mgb_log_t *log = r->log;
    gb_replica_t *order = &log->order[r->index];
    uint64_t seq = log->resync_seq;

    resync_over(log);
    if (ok && !r->gone) {
        gb_replica_t fresh = {.cursor = seq};

        *order = fresh;
        r->differed = false;
        r->next.seq = 0;
        r->resync_wait_us = 0;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                     GBLOGNO(1557) "%s: %s was brought back: it has everything up to "
                                   "entry %" APR_UINT64_T_FMT,
                     log->b->conf->name, r->name, seq);
    }
    else {
        r->resync_wait_us = r->resync_wait_us ? r->resync_wait_us * 2 : RESYNC_FIRST_US;
        if (r->resync_wait_us > RESYNC_MOST_US) {
            r->resync_wait_us = RESYNC_MOST_US;
        }
        r->resync_at_us = mgb_now_us() + r->resync_wait_us;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, log->commit->server,
                     GBLOGNO(1558) "%s: GreenResync for %s failed: %s; again in %d s",
                     log->b->conf->name, r->name, why,
                     (int)(r->resync_wait_us / GB_US_PER_S));
    }
    mgb_loop_break(log->commit->loop);
}

/* Whose state is copied: who has the most, and rather not the answerer, which would
 * keep all writes waiting. */
static uint32_t source_of(const mgb_log_t *log)
{
    uint32_t best = GB_NO_INDEX;

    for (uint32_t i = 0; i < log->count; i++) {
        const gb_replica_t *order = &log->order[i];
        bool better;

        if (order->aside || order->in_doubt || !order->can_take ||
            log->replicas[i].gone) {
            continue;
        }
        better = best == GB_NO_INDEX || best == log->answerer ||
                 (i != log->answerer && order->cursor > log->order[best].cursor);
        best = better ? i : best;
    }
    return best;
}

static uint32_t target_of(const mgb_log_t *log, int64_t now_us)
{
    for (uint32_t i = 0; i < log->count; i++) {
        if (log->order[i].aside && !log->order[i].in_flight && log->replicas[i].awake &&
            !log->replicas[i].gone && now_us >= log->replicas[i].resync_at_us &&
            !__atomic_load_n(&shared_of(log, i)->park, __ATOMIC_RELAXED)) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

/* The source is frozen first; the command starts when nothing is under way there. */
static void resync(mgb_log_t *log, int64_t now_us)
{
    mgb_replica_t *target, *source;

    if (!log->conf->resync || log->resync || log->commit->stopping) {
        return;
    }
    if (log->resync_source == GB_NO_INDEX) {
        log->resync_target = target_of(log, now_us);
        log->resync_source =
            log->resync_target == GB_NO_INDEX ? GB_NO_INDEX : source_of(log);
        if (log->resync_source == GB_NO_INDEX) {
            log->resync_target = GB_NO_INDEX;
            return;
        }
        log->replicas[log->resync_source].frozen = true;
        log->order[log->resync_source].can_take = false;
    }
    source = &log->replicas[log->resync_source];
    target = &log->replicas[log->resync_target];
    if (log->order[source->index].aside || log->order[source->index].in_doubt ||
        source->gone || target->gone || !source->awake) {
        resync_over(log); /* another one, at the next tick */
        return;
    }
    if (!is_idle(log, source->index)) {
        return;
    }
    log->resync_seq = log->order[source->index].cursor;
    log->resync = mgb_resync_start(log->commit, log->conf->resync, target->name,
                                   source->name, log->resync_seq, on_resynced, target);
    if (!log->resync) {
        on_resynced(target, false, "it could not be started");
    }
}

void mgb_upkeep_end(mgb_log_t *log)
{
    if (log->resync) {
        mgb_resync_stop(log->resync);
        log->resync = NULL;
    }
}

/* ------------------------------------------------------------------ the tick */

/* One write that no server answers keeps all others waiting, for as long as it takes:
 * whoever runs the site has to know which one it is. */
static void tell_stuck(mgb_log_t *log, int64_t now_us)
{
    mgb_entry_t entry;

    if (log->open.seq != log->stuck_seq) {
        log->stuck_seq = log->open.seq;
        log->stuck_at_us = log->stuck_since_us = now_us;
    }
    __atomic_store_n(&log->shared->stuck_since_us, log->stuck_since_us,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->stuck_seq, log->stuck_seq, __ATOMIC_RELAXED);
    if (!log->stuck_seq || now_us - log->stuck_at_us < STUCK_US ||
        mgb_journal_get(log->commit->journal, log->number, log->stuck_seq, false,
                        log->pturn, &entry) != APR_SUCCESS) {
        return;
    }
    log->stuck_at_us = now_us;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, log->commit->server,
                 GBLOGNO(1569) "%s: no server has answered entry %" APR_UINT64_T_FMT
                               " (%s %s) for %d s, and all later writes wait for it: "
                               "see what the servers say of Green-Commit-Seq: "
                               "%" APR_UINT64_T_FMT ".%" APR_UINT64_T_FMT
                               "; a 4xx answer to that ends it, or greenctl give-up",
                 log->b->conf->name, entry.seq, entry.method,
                 ap_escape_logitem(log->pturn, entry.target),
                 (int)((now_us - log->stuck_since_us) / GB_US_PER_S),
                 mgb_journal_epoch(log->commit->journal), entry.seq);
}

void mgb_log_tick(mgb_log_t *log, int64_t now_us)
{
    uint32_t permille = 0;
    apr_off_t bytes = 0;

    mgb_replicas_members(log);
    for (uint32_t i = 0; i < log->count; i++) {
        mgb_replica_t *r = &log->replicas[i];

        r->awake = !r->gone && is_awake(log, r->slot);
        if (!r->gone) {
            mgb_accept_step(log, i);
        }
    }
    mgb_give_up_step(log, now_us);
    mgb_upkeep_park(log);
    resync(log, now_us);
    rate(log, now_us);
    tell_stuck(log, now_us);
    mgb_journal_space(log->commit->journal, &bytes, &permille);
    for (uint32_t i = 0; i < log->count; i++) {
        if (!log->replicas[i].gone) {
            publish_replica(log, i, permille, now_us);
        }
    }
    __atomic_store_n(&log->shared->bytes, (uint64_t)bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->permille_full, permille, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->head, log->durable_head, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->settled, log->settled, __ATOMIC_RELAXED);
    __atomic_store_n(
        &log->shared->need,
        gb_commit_terms(&log->conf->terms, NULL, false, mgb_replicas_members_count(log))
            .need,
        __ATOMIC_RELEASE);
}
