/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_accept.c - a replica that was set aside is taken back on the operator's
 * word, as it is: with everything up to an entry, and nothing after it.
 *
 * GreenResync does that from another replica; where all are set aside there is none.
 * The word comes through the segment (control_accept.c).
 */
#include "distribute_private.h"

/* Why it cannot be; TAKEN: it can. */
static mgb_accept_e judge(mgb_log_t *log, uint32_t i, uint64_t upto)
{
    const gb_replica_t *order = &log->order[i];
    apr_time_t at;
    gb_entry_t entry;

    if (!order->aside) {
        return MGB_ACCEPT_NOT_ASIDE;
    }
    if (order->in_flight) {
        return MGB_ACCEPT_IN_FLIGHT;
    }
    if (log->resync_target == i) {
        return MGB_ACCEPT_RESYNCING;
    }
    if (upto > log->settled) {
        return MGB_ACCEPT_TOO_FAR;
    }
    if (upto < log->settled && mgb_journal_peek(log->commit->journal, log->number,
                                                upto + 1, &entry, &at) != APR_SUCCESS) {
        return MGB_ACCEPT_TRIMMED;
    }
    return MGB_ACCEPT_TAKEN;
}

static void take(mgb_log_t *log, uint32_t i, uint64_t upto)
{
    mgb_replica_t *r = &log->replicas[i];

    log->order[i] = (gb_replica_t){.cursor = upto};
    r->differed = false;
    r->next.seq = 0;
    r->resync_wait_us = 0;
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                 GBLOGNO(1570) "%s: %s is taken back as it is, on the operator's word: "
                               "it has everything up to entry %" APR_UINT64_T_FMT
                               "; it was set aside since %s",
                 log->b->conf->name, r->name, upto, r->why);
}

void mgb_accept_forget(mgb_replica_shared_t *to)
{
    mgb_word_answer(&to->accept, MGB_ACCEPT_AGAIN);
}

void mgb_accept_step(mgb_log_t *log, uint32_t i)
{
    mgb_replica_t *r = &log->replicas[i];
    mgb_replica_shared_t *to = &log->commit->shared->members[r->slot].replica;
    uint64_t upto;
    mgb_accept_e said;

    if (!mgb_word_waits(&to->accept)) {
        return;
    }
    if (r->accepting) { /* told when it is durable */
        if (log->order[i].aside || !r->saved_aside) {
            r->accepting = false;
            mgb_word_answer(&to->accept,
                            log->order[i].aside ? MGB_ACCEPT_AGAIN : MGB_ACCEPT_TAKEN);
        }
        return;
    }
    upto = __atomic_load_n(&to->accept_upto, __ATOMIC_RELAXED);
    upto = upto == MGB_ACCEPT_SETTLED ? log->settled : upto;
    said = judge(log, i, upto);
    if (said != MGB_ACCEPT_TAKEN) {
        mgb_word_answer(&to->accept, said);
        return;
    }
    take(log, i, upto);
    r->accepting = true;
    mgb_log_wake(log, mgb_now_us());
}
