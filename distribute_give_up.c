/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_give_up.c - the operator gives up an entry that no replica answers, and
 * for which all later ones wait: it has failed.
 *
 * Who may have it is set aside in the same commit.  The word comes through the segment
 * (control_give_up.c), which outlives the keeper: what one did not live to do the next
 * one does, if it is not old.
 */
#include "distribute_private.h"

#define WORD_MOST_US (60 * GB_US_PER_S) /* older ones are not obeyed any more */

static const char answer_headers[] = "Content-Type: text/plain\r\n";
static const char answer_body[] = "No server has answered this write, and the site's "
                                  "operator has given it up: it has "
                                  "failed.\n";

/* What its client is told; a verdict like any other from here on. */
static void verdict_make(mgb_log_t *log)
{
    mgb_item_t *item = mgb_log_item(log, log->open.seq);

    (void)mgb_waiters_policy(log, log->open.seq, NULL, log->panswer);
    log->verdict = (mgb_entry_t){.seq = log->open.seq,
                                 .state = log->open.state,
                                 .status = log->open.status,
                                 .answered_by = "",
                                 .answer_headers = answer_headers,
                                 .answer_body = answer_body,
                                 .answer_bytes = sizeof answer_body - 1};
    log->decided = true;
    if (item) {
        item->second = false;
    }
}

/* What is under way at one that is set aside keeps nobody waiting. */
static void lose(mgb_log_t *log, uint32_t i, uint64_t seq)
{
    gb_replica_t *order = &log->order[i];

    if (order->in_flight == seq && order->answers) {
        order->answers = false;
        log->answering = false;
    }
    mgb_replica_aside(log, i,
                      apr_psprintf(log->pturn,
                                   "entry %" APR_UINT64_T_FMT
                                   " was given up by the operator, and nobody knows "
                                   "whether it has that",
                                   seq));
}

static mgb_give_up_e give_up(mgb_log_t *log, uint64_t seq, bool even_so)
{
    uint64_t gone = 0, aside = 0;

    for (uint32_t i = 0; i < log->count; i++) {
        gone |= log->replicas[i].gone ? UINT64_C(1) << i : 0;
    }
    switch (gb_replica_given_up(log->order, log->count, gone, &log->open, even_so,
                                &aside)) {
    case GB_GIVE_UP_DONE:
        break;
    case GB_GIVE_UP_NOBODY_LEFT:
        return MGB_GIVE_UP_NOBODY_LEFT;
    default:
        return MGB_GIVE_UP_DECIDED;
    }
    verdict_make(log);
    for (uint32_t i = 0; i < log->count; i++) {
        if (aside & UINT64_C(1) << i) {
            lose(log, i, seq);
        }
    }
    return MGB_GIVE_UP_DONE;
}

/* The verdict is durable. */
static void given_up(mgb_log_t *log)
{
    mgb_log_count(&log->shared->given_up);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                 GBLOGNO(1571) "%s: entry %" APR_UINT64_T_FMT
                               " was given up, on the operator's word: it has failed",
                 log->b->conf->name, log->giving_up);
    log->giving_up = 0;
    mgb_word_answer(&log->shared->give_up, MGB_GIVE_UP_DONE);
}

/* Why it cannot be that entry; DONE: it can. */
static mgb_give_up_e judge(const mgb_log_t *log, uint64_t seq)
{
    if (seq <= log->settled) {
        return seq ? MGB_GIVE_UP_DECIDED : MGB_GIVE_UP_NO_SUCH;
    }
    if (seq > log->durable_head) {
        return MGB_GIVE_UP_NO_SUCH;
    }
    return seq == log->settled + 1 ? MGB_GIVE_UP_DONE : MGB_GIVE_UP_NOT_FIRST;
}

void mgb_give_up_step(mgb_log_t *log, int64_t now_us)
{
    mgb_log_shared_t *shared = log->shared;
    uint64_t seq;
    mgb_give_up_e said;

    if (log->commit->stopping || !mgb_word_waits(&shared->give_up)) {
        return;
    }
    if (log->giving_up) { /* told when it is durable */
        if (log->settled >= log->giving_up) {
            given_up(log);
        }
        return;
    }
    seq = __atomic_load_n(&shared->give_up_seq, __ATOMIC_RELAXED);
    if (now_us - __atomic_load_n(&shared->give_up_asked_at_us, __ATOMIC_RELAXED) >
        WORD_MOST_US) {
        mgb_word_answer(&shared->give_up, MGB_GIVE_UP_TOO_LATE);
        return;
    }
    said = judge(log, seq);
    if (said == MGB_GIVE_UP_DONE && log->open.seq != seq) {
        return; /* the log was just opened: at the next tick */
    }
    if (said == MGB_GIVE_UP_DONE) {
        said = give_up(
            log, seq, __atomic_load_n(&shared->give_up_even_so, __ATOMIC_RELAXED) != 0);
    }
    if (said != MGB_GIVE_UP_DONE) {
        mgb_word_answer(&shared->give_up, said);
        return;
    }
    log->giving_up = seq;
    mgb_log_wake(log, now_us);
}
