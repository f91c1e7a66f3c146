/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute.c - a balancer's log: from a write that came to its verdict, turn by turn.
 *
 * Its replicas are in distribute_replica.c, who waits for a write in distribute_wait.c,
 * what is done ten times a second in distribute_tick.c.  docs/commit-design.md has the
 * protocol.
 */
#include "distribute_private.h"

#define FAILED_AGAIN_US (100 * GB_US_PER_MS)
#define APPEND_WAIT_US  (20 * GB_US_PER_MS)
#define TRIM_MOST       200 /* entries a turn */
#define TELL_FULL_US    (60 * GB_US_PER_S)

void mgb_log_count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ turns */

static void on_timer(void *baton, int64_t now_us)
{
    mgb_log_t *log = baton;

    (void)now_us;
    log->timer = 0;
    mgb_loop_break(log->commit->loop);
}

void mgb_log_wake(mgb_log_t *log, int64_t at_us)
{
    if (at_us == GB_NEVER_US || (log->timer && log->timer_at_us <= at_us)) {
        return;
    }
    if (log->timer) {
        mgb_loop_cancel(log->commit->loop, log->timer);
    }
    log->timer_at_us = at_us;
    log->timer = mgb_loop_timer(log->commit->loop, at_us, on_timer, log);
}

/* A failure has undone everything that any log has queued in this turn.  Nothing more
 * is written then, lest a part of a turn become durable. */
bool mgb_log_wrote(mgb_log_t *log, apr_status_t rv)
{
    if (rv == APR_SUCCESS) {
        return true;
    }
    if (rv != APR_ENOSPC && rv != APR_EINVAL && rv != APR_NOTFOUND &&
        !log->commit->undone) {
        log->commit->undone = rv;
    }
    return false;
}

/* ------------------------------------------------------------------ entries */

mgb_item_t *mgb_log_item(mgb_log_t *log, uint64_t seq)
{
    mgb_item_t *item = &log->items[seq % MGB_ITEMS];

    return seq && item->e.seq == seq ? item : NULL;
}

static mgb_item_t *item_make(mgb_log_t *log, uint64_t seq)
{
    mgb_item_t *item = &log->items[seq % MGB_ITEMS];

    memset(item, 0, sizeof *item);
    item->e.seq = seq;
    return item;
}

/* At L1 a replica knows what it has done: anything may be repeated. */
static bool repeats_all(const mgb_log_t *log)
{
    return log->conf->level != GB_LEVEL_L0 || MGB_BUG("double_send");
}

static bool entry_read(mgb_log_t *log, uint64_t seq, gb_entry_t *entry, apr_time_t *at)
{
    if (mgb_journal_peek(log->commit->journal, log->number, seq, entry, at) !=
        APR_SUCCESS) {
        return false;
    }
    entry->repeatable |= repeats_all(log);
    return true;
}

gb_entry_t *mgb_log_entry(mgb_log_t *log, uint64_t seq, mgb_replica_t *replica)
{
    static gb_entry_t other; /* the journal has one thread */
    mgb_item_t *item = mgb_log_item(log, seq);
    gb_entry_t *into = replica ? &replica->next : &other;
    apr_time_t at;

    if (!seq || seq > log->head) {
        return NULL;
    }
    if (seq == log->open.seq) {
        return &log->open;
    }
    if (item) {
        return &item->e;
    }
    if (replica && replica->next.seq == seq) {
        return &replica->next;
    }
    if (seq + MGB_ITEMS > log->head) {
        item = item_make(log, seq);
        into = &item->e;
    }
    if (!entry_read(log, seq, into, &at)) {
        memset(into, 0, sizeof *into);
        return NULL;
    }
    if (item) {
        item->came_at_us = mgb_now_us() - (mgb_wall_us() - at);
    }
    return into;
}

/* Looks at the entry that wants a verdict next. */
static void open_look(mgb_log_t *log, uint64_t settled)
{
    const gb_entry_t *entry;

    if (log->open.seq == settled + 1 || settled >= log->head) {
        return;
    }
    memset(&log->open, 0, sizeof log->open);
    entry = mgb_log_entry(log, settled + 1, NULL);
    if (entry) {
        log->open = *entry;
    }
}

/* ------------------------------------------------------------------ new writes */

/* Whom the journal waits for. */
static void tell_full(mgb_log_t *log, int64_t now_us)
{
    uint32_t last = 0;

    if (log->full_told_at_us && now_us - log->full_told_at_us < TELL_FULL_US) {
        return;
    }
    log->full_told_at_us = now_us;
    for (uint32_t i = 1; i < log->count; i++) {
        if (log->order[i].cursor < log->order[last].cursor) {
            last = i;
        }
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, log->commit->server,
                 GBLOGNO(1578) "%s: the journal is full, and new writes get 503 until "
                               "there is room: %s lacks most, %" APR_UINT64_T_FMT
                               " writes%s; wake it, or make GreenJournal size= larger",
                 log->b->conf->name, log->count ? log->replicas[last].name : "nobody",
                 log->count ? log->durable_head - log->order[last].cursor : 0,
                 log->count && log->order[last].aside ? " (it is set aside)" : "");
}

/* An fsync for each write that joins the line would keep the line waiting. */
static void append_wait(mgb_log_t *log, int64_t deadline_us)
{
    int64_t due_us = mgb_now_us() + APPEND_WAIT_US;

    due_us = deadline_us < due_us ? deadline_us : due_us;
    log->append_due_us = due_us < log->append_due_us ? due_us : log->append_due_us;
}

mgb_due_e mgb_log_due(const mgb_log_t *log, int64_t now_us)
{
    if (log->decided) {
        return MGB_DUE_NOW;
    }
    if (log->head == log->durable_head) {
        return MGB_DUE_NOTHING;
    }
    return log->answering && now_us < log->append_due_us && !log->commit->stopping
               ? MGB_DUE_WAITS
               : MGB_DUE_NOW;
}

apr_status_t mgb_log_submit(mgb_log_t *log, mgb_entry_t *entry,
                            const gb_commit_wish_t *wish, mgb_waiter_t *waiter)
{
    mgb_item_t *item;
    apr_status_t rv = log->commit->undone;

    if (!rv && log->commit->stopping) {
        rv = APR_EGENERAL;
    }
    if (!rv) {
        MGB_FAIL("before_intent");
        entry->at = mgb_wall_us();
        rv = mgb_journal_append(log->commit->journal, log->number, entry);
    }
    if (!mgb_log_wrote(log, rv)) {
        if (rv == APR_ENOSPC && !mgb_journal_is_away(log->commit->journal)) {
            tell_full(log, mgb_now_us());
        }
        mgb_log_count(&log->shared->full);
        mgb_log_wake(log, mgb_now_us());
        return rv;
    }
    if (log->head == log->durable_head) {
        log->append_due_us = GB_NEVER_US;
    }
    log->head = entry->seq;
    item = item_make(log, entry->seq);
    item->e.repeatable = repeats_all(log) || gb_commit_is_repeatable(entry->method);
    item->e.deletes = strcmp(entry->method, "DELETE") == 0;
    item->e.rolled_back_by = GB_NO_INDEX;
    item->came_at_us = mgb_now_us();
    mgb_log_wait(log, entry->seq, wish, waiter);
    append_wait(log, waiter->deadline_us);
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ first half */

static void verdict_queue(mgb_log_t *log)
{
    if (!log->decided || log->commit->undone) {
        return;
    }
    MGB_FAIL("before_verdict");
    /* A verdict that the journal does not take must be told to nobody: something is
     * wrong with the file, which shows when it is opened anew. */
    if (!mgb_log_wrote(log, mgb_journal_verdict(log->commit->journal, log->number,
                                                &log->verdict)) &&
        !log->commit->undone) {
        log->commit->undone = APR_EGENERAL;
    }
}

/* Below here everybody has every entry, and nobody will ask for it. */
static uint64_t trim_upto(const mgb_log_t *log)
{
    uint64_t upto = log->settled;

    for (uint32_t i = 0; i < log->count; i++) {
        uint64_t cursor = log->replicas[i].saved_cursor;

        cursor = log->order[i].cursor < cursor ? log->order[i].cursor : cursor;

        if (log->order[i].aside) {
            /* A resync that runs will put it there. */
            if (log->resync_target != i) {
                continue;
            }
            cursor = log->resync_seq;
        }
        if (!log->replicas[i].gone && cursor < upto) {
            upto = cursor;
        }
    }
    return upto;
}

static void trim(mgb_log_t *log)
{
    const mgb_main_conf_t *conf = log->commit->ctx->conf;
    apr_time_t before = mgb_wall_us() - conf->journal_retain_us;
    uint64_t upto = trim_upto(log);
    uint32_t trimmed = 0, permille;
    apr_off_t bytes;

    if (!log->trim_due || log->commit->undone) {
        return;
    }
    if (!upto) { /* somebody has nothing yet: wants_awake() must not wait for it */
        log->trim_due = false;
        return;
    }
    mgb_journal_space(log->commit->journal, &bytes, &permille);
    if (permille >= MGB_FULL_PERMILLE) {
        before = mgb_wall_us(); /* room goes before memory */
    }
    if (mgb_log_wrote(log, mgb_journal_trim(log->commit->journal, log->number, upto,
                                            before, TRIM_MOST, &trimmed))) {
        log->trim_due = trimmed == TRIM_MOST;
        log->queued |= trimmed != 0;
    }
}

void mgb_log_before_commit(mgb_log_t *log, bool due, int64_t now_us)
{
    log->queued = log->decided;
    verdict_queue(log);
    open_look(log, log->settled);
    mgb_upkeep_park(log);
    mgb_replicas_plan(log, now_us);
    mgb_replicas_write(log, due, now_us);
    trim(log);
}

bool mgb_log_has_queued(const mgb_log_t *log)
{
    return log->queued;
}

/* ------------------------------------------------------------------ second half */

static void verdict_done(mgb_log_t *log, int64_t now_us)
{
    mgb_item_t *item = mgb_log_item(log, log->open.seq);

    if (!log->decided) {
        return;
    }
    MGB_FAIL("after_verdict");
    if (item) {
        item->e = log->open;
        item->settled_at_us = now_us;
    }
    mgb_log_count(log->open.state == GB_ENTRY_ACCEPTED   ? &log->shared->accepted
                  : log->open.state == GB_ENTRY_REJECTED ? &log->shared->rejected
                                                         : &log->shared->failed);
    log->settled = log->open.seq;
    log->decided = false;
    memset(&log->verdict, 0, sizeof log->verdict);
    apr_pool_clear(log->panswer);
    memset(&log->open, 0, sizeof log->open);
    open_look(log, log->settled);
}

/* All of the turn is undone: what was appended was never there. */
static void turn_lost(mgb_log_t *log, int64_t now_us)
{
    mgb_replicas_written(log, false);
    for (uint64_t seq = log->durable_head + 1; seq <= log->head; seq++) {
        mgb_item_t *item = mgb_log_item(log, seq);

        if (item) {
            memset(item, 0, sizeof *item);
        }
        mgb_log_count(&log->shared->full);
    }
    if (log->open.seq > log->durable_head) {
        memset(&log->open, 0, sizeof log->open);
    }
    log->head = log->durable_head;
    mgb_waiters_lost(log);
    mgb_log_wake(log, now_us + FAILED_AGAIN_US);
}

void mgb_log_after_commit(mgb_log_t *log, apr_status_t committed, int64_t now_us)
{
    if (committed != APR_SUCCESS) {
        turn_lost(log, now_us);
        apr_pool_clear(log->pturn);
        return;
    }
    if (log->head > log->durable_head) {
        MGB_FAIL("after_intent");
    }
    log->durable_head = log->head;
    mgb_replicas_written(log, true);
    verdict_done(log, now_us);
}

void mgb_log_send(mgb_log_t *log, int64_t now_us)
{
    mgb_replicas_send(log, now_us);
}

void mgb_log_tell(mgb_log_t *log, int64_t now_us)
{
    /* Before anybody has a token: reads take none that is beyond it. */
    __atomic_store_n(&log->shared->head, log->durable_head, __ATOMIC_RELEASE);
    mgb_waiters_tell(log, now_us);
    mgb_waiters_load(log);
    mgb_waiters_ask(log, now_us);
    mgb_log_wake(log, mgb_waiters_due_us(log));
    if (log->head > log->durable_head) {
        mgb_log_wake(log, log->append_due_us);
    }
    __atomic_store_n(&log->shared->settled, log->settled, __ATOMIC_RELEASE);
    apr_pool_clear(log->pturn);
}

/* ------------------------------------------------------------------ life */

mgb_log_t *mgb_log_open(mgb_commit_t *commit, const mgb_balancer_t *b)
{
    apr_pool_t *pool;
    mgb_log_t *log;

    if (apr_pool_create(&pool, commit->pool) != APR_SUCCESS) {
        return NULL;
    }
    log = apr_pcalloc(pool, sizeof(*log));
    log->commit = commit;
    log->pool = pool;
    apr_pool_create(&log->pturn, pool);
    apr_pool_create(&log->panswer, pool);
    log->b = b;
    log->conf = &b->conf->commit;
    log->shared = &commit->shared->balancers[b->index].log;
    log->items = apr_pcalloc(pool, MGB_ITEMS * sizeof(*log->items));
    log->answerer = log->resync_target = log->resync_source = GB_NO_INDEX;
    if (mgb_journal_log(commit->journal, b->key, &log->number, &log->head,
                        &log->settled) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    log->durable_head = log->repeat_upto = log->head;
    mgb_replicas_load(log);
    __atomic_store_n(&log->shared->epoch, mgb_journal_epoch(commit->journal),
                     __ATOMIC_RELAXED);
    mgb_log_tick(log, mgb_now_us());
    __atomic_store_n(&log->shared->live, 1, __ATOMIC_RELEASE);
    return log;
}

void mgb_log_close(mgb_log_t *log)
{
    __atomic_store_n(&log->shared->live, 0, __ATOMIC_RELEASE);
    if (log->timer) {
        mgb_loop_cancel(log->commit->loop, log->timer);
    }
    mgb_upkeep_end(log);
    __atomic_store_n(&log->shared->stuck_seq, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->open, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->behind, 0, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < log->count; i++) {
        mgb_replica_uncount(&log->replicas[i]);
        mgb_sender_drop(log->replicas[i].sender);
        if (log->replicas[i].asker) {
            mgb_sender_drop(log->replicas[i].asker);
        }
    }
    apr_pool_destroy(log->pool);
}

const mgb_balancer_t *mgb_log_balancer(const mgb_log_t *log)
{
    return log->b;
}

uint32_t mgb_log_number(const mgb_log_t *log)
{
    return log->number;
}

bool mgb_log_is_busy(const mgb_log_t *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        if (log->order[i].in_flight) {
            return true;
        }
    }
    return log->decided;
}
