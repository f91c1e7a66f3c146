/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_replica.c - the replicas of a log: what each gets next, what its answers
 * mean, its row in the journal.
 *
 * core/gb_replica.c decides; here it is carried out.  See distribute_private.h for the
 * two halves of a turn.
 */
#include "distribute_private.h"

#include <stdio.h>

#define ROWS_LAG_MOST 256 /* a cursor may run ahead of its row by so many entries, */
#define ROWS_PAUSE_US (200 * GB_US_PER_MS) /* or for so long */
#define RETRY_TELL_US (60 * GB_US_PER_S)
#define ENTRY_WEIGHT  0.1

/* ------------------------------------------------------------------ aside */

void mgb_replica_aside(mgb_log_t *log, uint32_t index, const char *why)
{
    mgb_replica_t *replica = &log->replicas[index];

    if (log->order[index].aside) {
        return;
    }
    log->order[index].aside = true;
    replica->reads = false;
    replica->resync_at_us = 0;
    replica->resync_wait_us = 0;
    apr_cpystrn(replica->why, why, sizeof replica->why);
    mgb_log_count(&log->shared->asides);
    if (!replica->gone) { /* no read goes there from now on */
        mgb_replica_shared_t *to = &log->commit->shared->members[replica->slot].replica;

        apr_cpystrn(to->why, why, sizeof to->why);
        __atomic_store_n(&to->reads, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&to->aside, 1, __ATOMIC_RELEASE);
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, log->commit->server,
                 GBLOGNO(1552) "%s: %s is set aside at entry %" APR_UINT64_T_FMT
                               ": %s; it gets no reads and no writes until it is "
                               "brought back%s",
                 log->b->conf->name, replica->name, log->order[index].cursor + 1,
                 replica->why, log->conf->resync ? "" : " (GreenResync)");
}

/* ------------------------------------------------------------------ first half */

/* The next entry of a replica. */
static gb_entry_t *next_of(mgb_log_t *log, uint32_t i)
{
    return mgb_log_entry(log, log->order[i].cursor + 1, &log->replicas[i]);
}

/* Moves on over what is nothing to it. */
static void advance(mgb_log_t *log, uint32_t i, int64_t now_us)
{
    gb_replica_t *order = &log->order[i];

    while (!order->aside && !order->in_flight && order->cursor < log->head) {
        const gb_entry_t *entry = next_of(log, i);
        gb_step_e step = gb_replica_next(order, entry, false, now_us);

        if (!entry) {
            if (order->cursor < log->settled) {
                mgb_replica_aside(log, i,
                                  "the entries that it lacks are not kept any more");
            }
            return;
        }
        if (step == GB_STEP_ASIDE) {
            mgb_replica_aside(log, i,
                              order->in_doubt && entry->state == GB_ENTRY_FAILED
                                  ? "nobody knows whether it has an entry that failed"
                                  : "nobody knows whether it has an entry that must "
                                    "not be sent twice");
        }
        if (step != GB_STEP_SKIP) {
            return;
        }
        order->cursor++;
    }
}

/* Who is to answer the entry after `settled`; one that is to sleep only if need be. */
static uint32_t answerer_of(mgb_log_t *log, uint64_t settled, int64_t now_us)
{
    gb_replica_t stay[GB_COMMIT_REPLICAS];
    uint32_t found;

    memcpy(stay, log->order, log->count * sizeof stay[0]);
    for (uint32_t i = 0; i < log->count; i++) {
        uint32_t slot = log->replicas[i].slot;

        if (!log->replicas[i].gone &&
            __atomic_load_n(&log->commit->shared->members[slot].replica.park,
                            __ATOMIC_RELAXED)) {
            stay[i].can_take = false;
        }
    }
    found = gb_replica_answerer(stay, log->count, settled, log->answerer, now_us);
    return found != GB_NO_INDEX ? found
                                : gb_replica_answerer(log->order, log->count, settled,
                                                      log->answerer, now_us);
}

void mgb_replicas_plan(mgb_log_t *log, int64_t now_us)
{
    uint64_t settled = log->settled + (log->decided ? 1 : 0);

    for (uint32_t i = 0; i < log->count; i++) {
        log->replicas[i].mark = 0;
        advance(log, i, now_us);
    }
    if (log->commit->stopping) {
        return;
    }
    if (!log->answering) {
        uint32_t found = answerer_of(log, settled, now_us);

        log->answerer = found != GB_NO_INDEX ? found : log->answerer;
    }
    for (uint32_t i = 0; i < log->count; i++) {
        const gb_entry_t *entry =
            log->order[i].cursor < log->head ? next_of(log, i) : NULL;

        if (entry && gb_replica_next(&log->order[i], entry,
                                     i == log->answerer && !log->answering,
                                     now_us) == GB_STEP_MARK) {
            log->replicas[i].mark = entry->seq;
        }
    }
}

/* Must the row be written in this turn?  What tells of doubt or of its end must; a
 * cursor that runs ahead goes along, or waits a little. */
static bool row_is_due(const mgb_log_t *log, uint32_t i, bool others, int64_t now_us)
{
    const mgb_replica_t *r = &log->replicas[i];
    const gb_replica_t *order = &log->order[i];
    bool marked = r->saved_sent > r->saved_cursor;

    if (!r->is_saved || r->mark || order->aside != r->saved_aside) {
        return true;
    }
    if (marked && (order->cursor >= r->saved_sent || order->sent == 0)) {
        return true;
    }
    return order->cursor != r->saved_cursor &&
           (others || log->commit->stopping ||
            order->cursor - r->saved_cursor >= ROWS_LAG_MOST ||
            order->cursor < r->saved_cursor ||
            now_us - log->rows_at_us >= ROWS_PAUSE_US);
}

static void row_write(mgb_log_t *log, uint32_t i)
{
    mgb_replica_t *r = &log->replicas[i];
    const gb_replica_t *order = &log->order[i];
    mgb_replica_row_t row = {.name = r->name,
                             .cursor = order->cursor,
                             .sent = r->mark ? r->mark : order->sent,
                             .aside = order->aside,
                             .why = order->aside ? r->why : ""};

    if (row.aside != r->saved_aside) {
        MGB_FAIL("before_aside");
    }
    if (r->mark) {
        MGB_FAIL("before_mark");
    }
    MGB_FAIL("before_cursor");
    r->written = mgb_log_wrote(
        log, mgb_journal_replica(log->commit->journal, log->number, &row));
    r->row_cursor = row.cursor;
    r->row_sent = row.sent;
    r->row_aside = row.aside;
}

void mgb_replicas_write(mgb_log_t *log, bool due, int64_t now_us)
{
    bool others = due;

    for (uint32_t i = 0; i < log->count && !others; i++) {
        others = row_is_due(log, i, false, now_us);
    }
    for (uint32_t i = 0; i < log->count && !log->commit->undone; i++) {
        if (row_is_due(log, i, others, now_us)) {
            row_write(log, i);
        }
    }
    if (others) {
        log->rows_at_us = now_us;
        log->queued = true;
    }
}

/* ------------------------------------------------------------------ second half */

void mgb_replicas_written(mgb_log_t *log, bool durable)
{
    for (uint32_t i = 0; i < log->count; i++) {
        mgb_replica_t *r = &log->replicas[i];

        if (r->written && durable) {
            if (r->row_aside != r->saved_aside) {
                MGB_FAIL("after_aside");
            }
            MGB_FAIL("after_cursor");
            r->saved_cursor = r->row_cursor;
            r->saved_sent = r->row_sent;
            r->saved_aside = r->row_aside;
            r->is_saved = true;
            if (r->mark) {
                MGB_FAIL("after_mark");
                log->order[i].sent = r->mark;
            }
        }
        r->written = false;
        r->mark = 0;
    }
}

static uint32_t others_of(const mgb_log_t *log, uint32_t index, int64_t now_us)
{
    uint32_t others = 0;

    for (uint32_t i = 0; i < log->count; i++) {
        others += i != index &&
                  gb_replica_answerer(&log->order[i], 1, log->settled, 0, now_us) == 0;
    }
    return others;
}

/* Keeps the answer that has decided `open` until it is durable. */
static void verdict_keep(mgb_log_t *log, const mgb_replica_t *r, const mgb_sent_t *sent)
{
    mgb_entry_t *verdict = &log->verdict;
    mgb_item_t *item = mgb_log_item(log, log->open.seq);

    memset(verdict, 0, sizeof *verdict);
    verdict->seq = log->open.seq;
    verdict->state = log->open.state;
    verdict->status = log->open.status;
    verdict->answer_digest = log->open.digest;
    verdict->answered_by = r->name;
    verdict->answer_headers =
        apr_pstrcat(log->panswer,
                    mgb_waiters_policy(log, log->open.seq, sent->policy, log->panswer),
                    sent->headers ? sent->headers : "", NULL);
    verdict->answer_bytes = sent->body_bytes;
    verdict->answer_body = apr_pmemdup(log->panswer, sent->body_bytes ? sent->body : "",
                                       sent->body_bytes ? sent->body_bytes : 1);
    log->decided = true;
    if (item) {
        item->second = sent->answer.repeated;
    }
}

bool mgb_replica_may_tell(mgb_replica_t *replica, int64_t now_us)
{
    if (replica->retry_told_at_us &&
        now_us - replica->retry_told_at_us < RETRY_TELL_US) {
        return false;
    }
    replica->retry_told_at_us = now_us;
    return true;
}

static void tell_retry(mgb_log_t *log, mgb_replica_t *r, const mgb_sent_t *sent,
                       uint64_t seq, int64_t now_us)
{
    char status[16];

    if (!mgb_replica_may_tell(r, now_us)) {
        return;
    }
    snprintf(status, sizeof status, "%d", sent->answer.status);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, log->commit->server,
                 GBLOGNO(1553) "%s: %s: entry %" APR_UINT64_T_FMT
                               " will be sent again: %s",
                 log->b->conf->name, r->name, seq, sent->error ? sent->error : status);
}

static void tell_aside(mgb_log_t *log, mgb_replica_t *r, const gb_entry_t *entry,
                       const mgb_sent_t *sent)
{
    const char *why;

    if (sent->answer.how != GB_SENT_ANSWERED) {
        why = apr_psprintf(log->pturn, "nobody knows whether it has a write: %s",
                           sent->error ? sent->error : "no answer");
    }
    else if (entry->state == GB_ENTRY_OPEN || entry->status == 0 ||
             gb_commit_outcome(sent->answer.status) == GB_OUT_UNCLEAR) {
        why = apr_psprintf(log->pturn, "nobody knows whether it has a write: status %d",
                           sent->answer.status);
    }
    else {
        r->differed = true;
        why = apr_psprintf(log->pturn, "it answered %d%s, where the answer was %d",
                           sent->answer.status,
                           sent->answer.status == entry->status ? " (another digest)"
                                                                : "",
                           entry->status);
    }
    mgb_replica_aside(log, r->index, why);
}

static void learn(mgb_replica_t *r, int64_t now_us)
{
    double took_s = (double)(now_us - r->sent_at_us) / 1e6;

    r->entry_s += (r->entry_s > 0 ? ENTRY_WEIGHT : 1) * (took_s - r->entry_s);
}

/* ------------------------------------------------------------------ load */

static void count_sent(mgb_log_t *log, mgb_replica_t *r)
{
    if (!r->gone) {
        r->counted_at = r->slot;
        mgb_meter_send(log->commit->shared, log->commit->row, r->slot);
    }
}

void mgb_replica_uncount(mgb_replica_t *replica)
{
    const mgb_commit_t *commit = replica->log->commit;

    if (replica->counted_at != GB_NO_INDEX) {
        mgb_meter_sent(commit->shared, commit->row, replica->counted_at);
        replica->counted_at = GB_NO_INDEX;
    }
}

/* A request counts once: by the answer that decides it.  What others need for it is
 * work, and no request; so is what one catches up with, which ends by itself. */
static void count_answer(const mgb_log_t *log, const mgb_replica_t *r, bool answers,
                         bool decides, const mgb_sent_t *sent, int64_t now_us)
{
    int64_t took_us = now_us - r->sent_at_us;
    int status = sent->answer.status;

    if (r->gone) {
        return;
    }
    if (sent->answer.how != GB_SENT_ANSWERED) {
        mgb_meter_answered(log->commit->shared, r->slot, GB_OUT_FAILOVER, 0);
    }
    else if (answers && decides) {
        mgb_meter_answered(log->commit->shared, r->slot,
                           status < 400   ? GB_OUT_OK
                           : status < 500 ? GB_OUT_CLIENT
                                          : GB_OUT_SERVER,
                           took_us);
    }
    else if (!answers && r->reads) {
        mgb_meter_followed(log->commit->shared, r->slot, took_us);
    }
}

static void on_sent(void *baton, const mgb_sent_t *sent)
{
    mgb_replica_t *r = baton;
    mgb_log_t *log = r->log;
    gb_replica_t *order = &log->order[r->index];
    uint64_t seq = order->in_flight;
    gb_entry_t *found = mgb_log_entry(log, seq, r), entry;
    const mgb_item_t *item = mgb_log_item(log, seq);
    int64_t now_us = mgb_now_us();
    mgb_sent_t judged = *sent;
    uint32_t does;

    MGB_FAIL("before_receive");
    mgb_replica_uncount(r);
    mgb_loop_break(log->commit->loop);
    log->answering &= !order->answers;
    if (!found || order->aside) { /* the journal has lost it, or it was set aside */
        order->in_flight = 0;
        return;
    }
    entry = *found;
    judged.answer.repeated = log->conf->level == GB_LEVEL_L0 &&
                             (sent->answer.repeated || order->in_doubt ||
                              (entry.state != GB_ENTRY_OPEN &&
                               (seq <= log->repeat_upto || !item || item->second)));
    does =
        gb_replica_answered(order, &entry, r->index, others_of(log, r->index, now_us),
                            &judged.answer, now_us);
    if (MGB_BUG("cursor_before_apply") && !order->answers && (does & GB_DO_RETRY)) {
        does = GB_DO_CURSOR; /* as if it had moved when the entry was sent */
    }
    count_answer(log, r, order->answers, (does & GB_DO_VERDICT) != 0, sent, now_us);
    if (found->state == GB_ENTRY_OPEN) {
        log->open = entry;
    }
    if (does & GB_DO_VERDICT) {
        verdict_keep(log, r, &judged);
    }
    if (does & GB_DO_CURSOR) {
        order->cursor = seq;
        learn(r, now_us);
    }
    if ((does & GB_DO_CONFIRM) && !r->gone) {
        mgb_log_count(&log->commit->shared->members[r->slot].replica.writes);
    }
    if (does & GB_DO_ASIDE) {
        tell_aside(log, r, does & GB_DO_VERDICT ? &log->open : &entry, &judged);
    }
    if (does & GB_DO_RETRY) {
        tell_retry(log, r, &judged, seq, now_us);
    }
    MGB_FAIL("after_receive");
}

#ifdef MGB_TEST_CLOCK
/* The planted bug: of two entries that have a verdict the second goes first. */
static uint64_t swapped(mgb_log_t *log, uint32_t i, uint64_t seq)
{
    static uint64_t second[GB_COMMIT_REPLICAS];

    if (second[i] == seq) {
        second[i] = 0;
        return seq - 1;
    }
    if (MGB_BUG("unordered_handover") && seq < log->settled && !log->order[i].answers) {
        second[i] = seq + 1;
        return seq + 1;
    }
    return seq;
}
#else
#define swapped(log, i, seq) (seq)
#endif

static void send_one(mgb_log_t *log, uint32_t i, const gb_entry_t *entry,
                     int64_t now_us)
{
    gb_replica_t *order = &log->order[i];
    mgb_replica_t *r = &log->replicas[i];
    mgb_entry_t stored;
    apr_status_t rv;

    order->answers = entry->state == GB_ENTRY_OPEN;
    rv = mgb_journal_get(log->commit->journal, log->number, swapped(log, i, entry->seq),
                         false, log->pturn, &stored);
    if (rv != APR_SUCCESS) {
        mgb_replica_aside(log, i, "an entry that it lacks cannot be read any more");
        return;
    }
    MGB_FAIL("before_send");
    r->sent_at_us = now_us;
    rv = mgb_sender_send(r->sender, &stored, mgb_journal_epoch(log->commit->journal),
                         order->answers, on_sent, r);
    if (rv != APR_SUCCESS) {
        order->retry_at_us =
            now_us + GB_REPLICA_RETRY_MOST_US; /* no memory, most likely */
        return;
    }
    order->in_flight = entry->seq;
    count_sent(log, r);
    log->answering |= order->answers;
    MGB_FAIL("after_send");
}

/* Reads that need a write look at this. */
static void publish_cursors(const mgb_log_t *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        uint64_t cursor = log->order[i].cursor, head = log->durable_head;
        mgb_replica_shared_t *to;

        if (MGB_BUG("lagging_read")) {
            cursor = head;
        }
        if (!log->replicas[i].gone) {
            to = &log->commit->shared->members[log->replicas[i].slot].replica;
            __atomic_store_n(&to->lag_entries, head > cursor ? head - cursor : 0,
                             __ATOMIC_RELAXED);
            __atomic_store_n(&to->cursor, cursor, __ATOMIC_RELEASE);
        }
    }
}

void mgb_replicas_send(mgb_log_t *log, int64_t now_us)
{
    publish_cursors(log);
    for (uint32_t i = 0; i < log->count && !log->commit->stopping; i++) {
        const gb_entry_t *entry =
            log->order[i].cursor < log->durable_head ? next_of(log, i) : NULL;
        gb_step_e step = gb_replica_next(&log->order[i], entry,
                                         i == log->answerer && !log->answering, now_us);

        if (entry && step == GB_STEP_SEND) {
            send_one(log, i, entry, now_us);
        }
        else if (step != GB_STEP_NONE) {
            mgb_log_wake(log, now_us); /* something is to be written first */
        }
        else if (entry && log->order[i].can_take && !log->order[i].in_flight &&
                 now_us < log->order[i].retry_at_us) {
            mgb_log_wake(log, log->order[i].retry_at_us);
        }
    }
}
