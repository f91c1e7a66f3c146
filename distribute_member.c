/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_member.c - which members are replicas of a log: from its rows in the
 * journal and the segment's members, who comes and who goes.
 */
#include "distribute_private.h"

/* ------------------------------------------------------------------ who they are */

uint32_t mgb_replicas_members_count(const mgb_log_t *log)
{
    uint32_t members = 0;

    for (uint32_t i = 0; i < log->count; i++) {
        members += !log->replicas[i].gone;
    }
    return members;
}

uint32_t mgb_replicas_copies(const mgb_log_t *log, uint64_t seq)
{
    uint32_t copies = 0;

    for (uint32_t i = 0; i < log->count; i++) {
        copies += !log->replicas[i].gone && !log->order[i].aside &&
                  log->order[i].cursor >= seq;
    }
    return copies;
}

static mgb_replica_t *replica_named(mgb_log_t *log, const char *name)
{
    for (uint32_t i = 0; i < log->count; i++) {
        if (!strcmp(log->replicas[i].name, name)) {
            return &log->replicas[i];
        }
    }
    return NULL;
}

/* Is it no member any more, and does nothing speak of it by its index? */
static bool is_over(const mgb_log_t *log, uint32_t i)
{
    const mgb_replica_t *replica = &log->replicas[i];

    return replica->gone && !replica->accepting && !replica->written &&
           !log->order[i].in_flight && log->answerer != i &&
           log->open.rolled_back_by != i && log->resync_target != i &&
           log->resync_source != i;
}

/* All places are taken: of those that are members no more the one that lacks most is
 * forgotten.  Should it come back, then as one of which nobody knows what it has. */
static uint32_t place_of_another(mgb_log_t *log)
{
    uint32_t found = GB_NO_INDEX;
    apr_status_t rv;

    for (uint32_t i = 0; i < log->count; i++) {
        const gb_replica_t *order = &log->order[i];

        if (is_over(log, i) &&
            (found == GB_NO_INDEX || order->aside > log->order[found].aside ||
             (order->aside == log->order[found].aside &&
              order->cursor < log->order[found].cursor))) {
            found = i;
        }
    }
    if (found == GB_NO_INDEX) {
        return found;
    }
    rv = mgb_journal_forget(log->commit->journal, log->number,
                            log->replicas[found].name);
    if (rv != APR_NOTFOUND && !mgb_log_wrote(log, rv)) {
        return GB_NO_INDEX;
    }
    mgb_sender_drop(log->replicas[found].sender);
    if (log->replicas[found].asker) {
        mgb_sender_drop(log->replicas[found].asker);
    }
    return found;
}

/* First half of a turn, and at opening.  NULL: there is no place. */
static mgb_replica_t *replica_make(mgb_log_t *log, const char *name)
{
    uint32_t index =
        log->count < GB_COMMIT_REPLICAS ? log->count++ : place_of_another(log);
    mgb_replica_t *replica;

    if (index == GB_NO_INDEX) {
        return NULL;
    }
    replica = &log->replicas[index];
    memset(replica, 0, sizeof *replica);
    replica->log = log;
    replica->index = index;
    replica->slot = replica->counted_at = GB_NO_INDEX;
    replica->name = apr_pstrdup(log->pool, name);
    replica->gone = true;
    memset(&log->order[replica->index], 0, sizeof log->order[0]);
    replica->sender = mgb_sender_create(log->commit, log->b, replica->name, log->pool);
    return replica;
}

void mgb_replicas_load(mgb_log_t *log)
{
    const apr_array_header_t *rows =
        mgb_journal_replicas(log->commit->journal, log->number, log->pturn);

    for (int i = 0; rows && i < rows->nelts; i++) {
        const mgb_replica_row_t *row = &APR_ARRAY_IDX(rows, i, mgb_replica_row_t);
        mgb_replica_t *replica = replica_make(log, row->name);
        gb_replica_t *order = replica ? &log->order[replica->index] : NULL;

        if (!order) {
            break;
        }
        replica->saved_cursor = order->cursor = row->cursor;
        replica->saved_sent = order->sent = row->sent;
        replica->saved_aside = order->aside = row->aside;
        replica->is_saved = true;
        order->in_doubt = row->sent > row->cursor;
        apr_cpystrn(replica->why, row->why ? row->why : "", sizeof replica->why);
        if (order->in_doubt && !order->aside && order->cursor == log->settled) {
            log->answerer = replica->index; /* its answer ends the doubt */
        }
    }
}

/* A member appears: of a log that is not empty nobody knows what it has. */
static void member_join(mgb_log_t *log, mgb_replica_t *replica, uint32_t slot)
{
    gb_replica_t *order = &log->order[replica->index];

    replica->slot = slot;
    replica->gone = replica->accepting = false;
    mgb_accept_forget(&log->commit->shared->members[slot].replica);
    replica->reads = false;
    if (replica->is_saved || order->aside) {
        return;
    }
    order->cursor = log->head; /* of an empty log; else it counts for nothing */
    if (log->head > 0) {
        order->cursor = 0;
        mgb_replica_aside(log, replica->index,
                          "it joined a log that is not empty: what it has is unknown");
    }
}

/* It is no member any more.  Its row stays: should it come back before the entries that
 * it lacks are gone, it catches up. */
static void member_leave(mgb_log_t *log, uint32_t index)
{
    mgb_replica_t *replica = &log->replicas[index];
    mgb_replica_shared_t *to = &log->commit->shared->members[replica->slot].replica;

    __atomic_store_n(&to->reads, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&to->is_replica, 0, __ATOMIC_RELEASE);
    replica->gone = true;
    replica->awake = false;
    log->order[index].can_take = false;
}

static void too_many(mgb_log_t *log)
{
    if (!log->too_many_told) {
        log->too_many_told = true;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, log->commit->server,
                     GBLOGNO(1551) "%s: more than %d members: those beyond get no "
                                   "writes and no reads",
                     log->b->conf->name, GB_COMMIT_REPLICAS);
    }
}

void mgb_replicas_members(mgb_log_t *log)
{
    const mgb_shared_t *sh = log->commit->shared;
    uint32_t top = __atomic_load_n(&sh->header->members_top, __ATOMIC_ACQUIRE);
    bool seen[GB_COMMIT_REPLICAS] = {false};

    for (uint32_t slot = 0; slot < top; slot++) {
        const mgb_member_t *member = &sh->members[slot];
        mgb_replica_t *replica;

        if (__atomic_load_n(&member->used, __ATOMIC_ACQUIRE) != MGB_SLOT_LIVE ||
            member->balancer != log->b->index) {
            continue;
        }
        replica = replica_named(log, member->name);
        replica = replica ? replica : replica_make(log, member->name);
        if (!replica) {
            too_many(log);
            continue;
        }
        seen[replica->index] = true;
        if (replica->gone || replica->slot != slot) {
            member_join(log, replica, slot);
        }
    }
    for (uint32_t i = 0; i < log->count; i++) {
        if (!seen[i] && !log->replicas[i].gone) {
            member_leave(log, i);
        }
    }
}
