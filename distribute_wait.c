/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_wait.c - who waits for a write, on which terms, and what is said of it.
 *
 * A write is met when its verdict is durable and as many replicas as its terms ask for
 * have it; with GreenCommitDecide, when the application says so.
 */
#include "distribute_private.h"

#include "core/gb_meter.h"

#define ASK_AGAIN_US    GB_US_PER_S          /* after a failure */
#define WINDOW_LEAST_US GB_US_PER_S          /* of nines: until everybody has it, */
#define WINDOW_SLEEP_US (3600 * GB_US_PER_S) /* or was woken for it */

/* ------------------------------------------------------------------ terms */

/* False: it asks for nothing that we know. */
static bool policy_read(const mgb_log_t *log, uint64_t seq, const char *text,
                        size_t bytes, mgb_policy_t *policy)
{
    gb_commit_wish_t wish;
    gb_commit_terms_t terms;

    *policy = (mgb_policy_t){.seq = seq, .wait_us = -1};
    if (!gb_commit_read_policy(text, bytes, &wish)) {
        return false;
    }
    terms = gb_commit_terms(&log->conf->terms, &wish, false,
                            mgb_replicas_members_count(log));
    policy->need = terms.need;
    policy->wait_us = wish.wait_us >= 0 ? terms.wait_us : -1;
    return true;
}

/* After a start of the keeper it stands in the journal alone, with the answer. */
static void policy_load(mgb_log_t *log, uint64_t seq, mgb_policy_t *policy)
{
    mgb_entry_t entry;
    const char *text;

    *policy = (mgb_policy_t){.seq = seq, .wait_us = -1};
    if (mgb_journal_get(log->commit->journal, log->number, seq, true, log->pturn,
                        &entry) != APR_SUCCESS ||
        !entry.answer_headers ||
        strncmp(entry.answer_headers, MGB_POLICY_LINE, strlen(MGB_POLICY_LINE)) != 0) {
        return;
    }
    text = entry.answer_headers + strlen(MGB_POLICY_LINE);
    (void)policy_read(log, seq, text, strcspn(text, "\r\n"), policy);
}

/* NULL: it has no answer yet. */
static const mgb_policy_t *policy_of(mgb_log_t *log, uint64_t seq)
{
    mgb_item_t *item = mgb_log_item(log, seq);
    mgb_policy_t *policy = item ? &item->policy : &log->old;

    if (policy->seq == seq) {
        return policy;
    }
    if (seq > log->settled) {
        return NULL;
    }
    policy_load(log, seq, policy);
    return policy;
}

static uint32_t need_of(mgb_log_t *log, uint64_t seq)
{
    const mgb_policy_t *policy = policy_of(log, seq);

    if (policy && policy->need) {
        return policy->need;
    }
    return gb_commit_terms(&log->conf->terms, NULL, false,
                           mgb_replicas_members_count(log))
        .need;
}

/* The application's word on the write that it has just answered. */
const char *mgb_waiters_policy(mgb_log_t *log, uint64_t seq, const char *policy,
                               apr_pool_t *p)
{
    mgb_item_t *item = mgb_log_item(log, seq);
    mgb_policy_t read = {.seq = seq, .wait_us = -1};
    bool says = policy && policy_read(log, seq, policy, strlen(policy), &read);

    if (item) {
        item->policy = read;
    }
    for (mgb_waiter_t *w = log->waiters; w && item && read.wait_us >= 0; w = w->next) {
        if (w->seq == seq) {
            w->deadline_us = item->came_at_us + read.wait_us;
        }
    }
    return says ? apr_pstrcat(p, MGB_POLICY_LINE, policy, "\r\n", NULL) : "";
}

static bool is_met(mgb_log_t *log, uint64_t seq)
{
    const mgb_item_t *item = mgb_log_item(log, seq);

    if (log->conf->decide && item) {
        return item->complete;
    }
    return mgb_replicas_copies(log, seq) >= need_of(log, seq);
}

/* ------------------------------------------------------------------ waiting */

void mgb_log_wait(mgb_log_t *log, uint64_t seq, const gb_commit_wish_t *wish,
                  mgb_waiter_t *waiter)
{
    gb_commit_terms_t terms =
        gb_commit_terms(&log->conf->terms, wish, true, mgb_replicas_members_count(log));
    const mgb_policy_t *policy =
        wish->wait_us < 0 && !wish->async ? policy_of(log, seq) : NULL;

    waiter->seq = seq;
    waiter->deadline_us =
        mgb_now_us() +
        (policy && policy->wait_us >= 0 ? policy->wait_us : terms.wait_us);
    waiter->next = log->waiters;
    log->waiters = waiter;
    mgb_log_wake(log, mgb_now_us()); /* it may be done already */
}

static bool leave(mgb_waiter_t **list, const mgb_waiter_t *waiter)
{
    while (*list && *list != waiter) {
        list = &(*list)->next;
    }
    if (!*list) {
        return false;
    }
    *list = waiter->next;
    return true;
}

void mgb_log_leave(mgb_log_t *log, mgb_waiter_t *waiter)
{
    (void)(leave(&log->waiters, waiter) || leave(&log->told_done, waiter) ||
           leave(&log->told_late, waiter) || leave(&log->told_full, waiter));
}

/* Whom to tell: a waiter may leave, and others come, while one is told. */
static void tell(mgb_waiter_t **list, gb_wire_says_e says)
{
    while (*list) {
        mgb_waiter_t *waiter = *list;

        *list = waiter->next;
        waiter->next = NULL;
        waiter->done(waiter, says);
    }
}

static void tell_all(mgb_log_t *log)
{
    tell(&log->told_done, GB_SAYS_DONE);
    tell(&log->told_late, GB_SAYS_LATE);
    tell(&log->told_full, GB_SAYS_FULL);
}

static bool is_done(mgb_log_t *log, uint64_t seq)
{
    const gb_entry_t *entry;

    if (seq > log->settled) {
        return false;
    }
    entry = mgb_log_entry(log, seq, NULL);
    /* What is not there any more has a verdict; who asks is told that it is gone. */
    return !entry || entry->state == GB_ENTRY_REJECTED ||
           entry->state == GB_ENTRY_FAILED || is_met(log, seq);
}

static void count(mgb_log_t *log, uint64_t seq, bool done, int64_t now_us)
{
    mgb_item_t *item = mgb_log_item(log, seq);
    int64_t waited_us;

    if (!item || item->counted) {
        return;
    }
    item->counted = true;
    if (!done) {
        mgb_log_count(&log->shared->late);
        return;
    }
    if (item->e.state != GB_ENTRY_ACCEPTED) {
        return;
    }
    waited_us = now_us > item->came_at_us ? now_us - item->came_at_us : 0;
    mgb_log_count(&log->shared->met);
    __atomic_fetch_add(&log->shared->waited_sum_us, (uint64_t)waited_us,
                       __ATOMIC_RELAXED);
    __atomic_fetch_add(&log->shared->waited[gb_meter_bucket(waited_us)], 1,
                       __ATOMIC_RELAXED);
}

void mgb_waiters_tell(mgb_log_t *log, int64_t now_us)
{
    mgb_waiter_t **at = &log->waiters;

    while (*at) {
        mgb_waiter_t *waiter = *at;
        bool done = is_done(log, waiter->seq);

        if (!done &&
            (now_us < waiter->deadline_us || waiter->seq > log->durable_head)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        count(log, waiter->seq, done, now_us);
        waiter->next = done ? log->told_done : log->told_late;
        *(done ? &log->told_done : &log->told_late) = waiter;
    }
    tell_all(log);
}

void mgb_waiters_lost(mgb_log_t *log)
{
    mgb_waiter_t **at = &log->waiters;

    while (*at) {
        mgb_waiter_t *waiter = *at;

        if (waiter->seq <= log->durable_head) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = log->told_full;
        log->told_full = waiter;
    }
    tell_all(log);
}

int64_t mgb_waiters_due_us(const mgb_log_t *log)
{
    int64_t due_us = GB_NEVER_US;

    for (const mgb_waiter_t *w = log->waiters; w; w = w->next) {
        due_us = w->deadline_us < due_us ? w->deadline_us : due_us;
    }
    return due_us;
}

void mgb_waiters_load(mgb_log_t *log)
{
    uint64_t answered = log->settled + (log->decided ? 1 : 0);
    uint64_t asked = answered + (log->answering ? 1 : 0), behind = 0;
    uint64_t open = log->durable_head > answered ? log->durable_head - answered : 0;
    uint64_t line = log->durable_head > asked ? log->durable_head - asked : 0;

    for (const mgb_waiter_t *w = log->waiters; w && line; w = w->next) {
        behind += w->seq > asked;
    }
    behind = behind < line ? behind : line; /* several may wait for one */
    __atomic_store_n(&log->shared->open, open, __ATOMIC_RELAXED);
    __atomic_store_n(&log->shared->behind,
                     behind < UINT32_MAX ? (uint32_t)behind : UINT32_MAX,
                     __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ the indicator */

/* Equal names, equal numbers; without a name a domain of its own. */
static uint32_t domain_of(const mgb_log_t *log, uint32_t index)
{
    const mgb_hints_t *own, *other;
    const proxy_worker *worker =
        mgb_members_worker(log->commit->ctx, log->replicas[index].slot);

    own = worker ? mgb_config_hints(worker) : NULL;
    if (!own || !own->domain) {
        return GB_NO_INDEX;
    }
    for (uint32_t i = 0; i < index; i++) {
        worker = log->replicas[i].gone
                     ? NULL
                     : mgb_members_worker(log->commit->ctx, log->replicas[i].slot);
        other = worker ? mgb_config_hints(worker) : NULL;
        if (other && other->domain && !strcmp(other->domain, own->domain)) {
            return i;
        }
    }
    return index;
}

/* How long until everybody has it, as far as can be told. */
static int64_t window_of(const mgb_log_t *log, uint64_t seq)
{
    int64_t window_us = WINDOW_LEAST_US;

    for (uint32_t i = 0; i < log->count; i++) {
        const mgb_replica_t *r = &log->replicas[i];
        const gb_replica_t *order = &log->order[i];
        int64_t own_us = WINDOW_SLEEP_US;

        if (r->gone || (order->cursor >= seq && !order->aside)) {
            continue;
        }
        if (order->can_take && !order->aside && seq > order->cursor) {
            own_us = gb_replica_catch_up_us(seq - order->cursor, r->entry_s, log->rate);
        }
        window_us = own_us > window_us ? own_us : window_us;
    }
    return window_us < WINDOW_SLEEP_US ? window_us : WINDOW_SLEEP_US;
}

static double nines_of(const mgb_log_t *log, uint64_t seq)
{
    gb_commit_copy_t copies[GB_COMMIT_REPLICAS];
    size_t count_of = 0;

    for (uint32_t i = 0; i < log->count; i++) {
        const proxy_worker *worker;
        const mgb_hints_t *hints;

        if (log->replicas[i].gone || log->order[i].aside ||
            log->order[i].cursor < seq) {
            continue;
        }
        worker = mgb_members_worker(log->commit->ctx, log->replicas[i].slot);
        hints = worker ? mgb_config_hints(worker) : NULL;
        copies[count_of++] = (gb_commit_copy_t){.mttf_us = hints ? hints->mttf_us : 0,
                                                .domain = domain_of(log, i)};
    }
    return gb_commit_nines(copies, count_of, window_of(log, seq));
}

static gb_commit_state_e state_of(mgb_log_t *log, const mgb_entry_t *entry,
                                  const gb_commit_mark_t *mark)
{
    if (entry->state == GB_ENTRY_REJECTED) {
        return GB_COMMIT_REJECTED;
    }
    if (entry->state == GB_ENTRY_FAILED) {
        return GB_COMMIT_FAILED;
    }
    if (entry->state != GB_ENTRY_ACCEPTED || entry->seq > log->settled) {
        return GB_COMMIT_OPEN;
    }
    if (!is_met(log, entry->seq)) {
        return GB_COMMIT_SPREADING;
    }
    return mark->copies >= mark->of ? GB_COMMIT_EVERYWHERE : GB_COMMIT_MET;
}

void mgb_log_mark(mgb_log_t *log, const mgb_entry_t *entry, gb_commit_mark_t *mark)
{
    memset(mark, 0, sizeof *mark);
    apr_cpystrn(mark->id, entry->id, sizeof mark->id);
    mark->epoch = mgb_journal_epoch(log->commit->journal);
    mark->seq = entry->seq;
    mark->need = need_of(log, entry->seq);
    mark->of = mgb_replicas_members_count(log);
    mark->same = true;
    mark->nines = -1;
    for (uint32_t i = 0; i < log->count; i++) {
        const mgb_replica_t *r = &log->replicas[i];

        if (r->gone) {
            continue;
        }
        mark->asleep += !r->awake;
        mark->aside += log->order[i].aside;
        mark->same &= !(log->order[i].aside && r->differed &&
                        log->order[i].cursor + 1 == entry->seq);
    }
    if (entry->state == GB_ENTRY_ACCEPTED && entry->seq <= log->settled) {
        mark->copies = mgb_replicas_copies(log, entry->seq);
        mark->nines = nines_of(log, entry->seq);
    }
    mark->state = state_of(log, entry, mark);
}

/* ------------------------------------------------------------------ GreenCommitDecide
 */

static void on_asked(void *baton, const mgb_sent_t *sent)
{
    mgb_replica_t *r = baton;
    mgb_log_t *log = r->log;
    mgb_item_t *item = mgb_log_item(log, log->asked);
    bool answered = sent->answer.how == GB_SENT_ANSWERED;

    log->asked = 0;
    mgb_loop_break(log->commit->loop);
    if (!item) {
        return;
    }
    if (answered && (sent->answer.status == 200 || sent->answer.status == 202)) {
        item->complete |= sent->answer.status == 200;
        item->asked_copies = log->asked_copies;
        return;
    }
    log->ask_at_us = mgb_now_us() + ASK_AGAIN_US;
    if (mgb_replica_may_tell(r, mgb_now_us())) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, log->commit->server,
            GBLOGNO(1554) "%s: GreenCommitDecide %s at %s: %s; it has to answer "
                          "200 (complete) or 202 (wait), and is asked again",
            log->b->conf->name, log->conf->decide, r->name,
            answered ? apr_psprintf(log->pturn, "status %d", sent->answer.status)
                     : sent->error);
    }
}

/* The answerer, if it is there; else whoever has the entry. */
static mgb_replica_t *whom_to_ask(mgb_log_t *log, uint64_t seq)
{
    for (uint32_t k = 0; k <= log->count; k++) {
        uint32_t i = k == 0 ? log->answerer : k - 1;

        if (i < log->count && log->order[i].can_take && !log->order[i].aside &&
            log->order[i].cursor >= seq) {
            return &log->replicas[i];
        }
    }
    return NULL;
}

static void ask(mgb_log_t *log, uint64_t seq, uint32_t copies)
{
    mgb_replica_t *r = whom_to_ask(log, seq);
    char field[GB_COMMIT_FIELD_BYTES];
    gb_commit_mark_t mark;
    mgb_entry_t entry, question;

    if (!r || mgb_journal_get(log->commit->journal, log->number, seq, false, log->pturn,
                              &entry) != APR_SUCCESS) {
        return;
    }
    mgb_log_mark(log, &entry, &mark);
    (void)gb_commit_print(field, sizeof field, &mark);
    question = (mgb_entry_t){.seq = seq,
                             .id = "",
                             .at = entry.at,
                             .method = "GET",
                             .target = log->conf->decide,
                             .body = ""};
    memcpy(question.digest, entry.digest, sizeof question.digest);
    question.headers = apr_psprintf(log->pturn, "Green-Commit: %s\r\n", field);
    if (!r->asker) {
        r->asker = mgb_sender_create(log->commit, log->b, r->name, log->pool);
    }
    if (mgb_sender_send(r->asker, &question, mark.epoch, true, on_asked, r) ==
        APR_SUCCESS) {
        log->asked = seq;
        log->asked_copies = copies;
    }
}

/* One question at a time, about what somebody waits for, when more have it. */
void mgb_waiters_ask(mgb_log_t *log, int64_t now_us)
{
    if (!log->conf->decide || log->asked || log->commit->stopping) {
        return;
    }
    for (const mgb_waiter_t *w = log->waiters; w && !log->asked; w = w->next) {
        const mgb_item_t *item = mgb_log_item(log, w->seq);
        uint32_t copies;

        if (!item || w->seq > log->settled || item->e.state != GB_ENTRY_ACCEPTED ||
            item->complete) {
            continue;
        }
        if (now_us < log->ask_at_us) {
            mgb_log_wake(log, log->ask_at_us);
            return;
        }
        copies = mgb_replicas_copies(log, w->seq);
        if (copies > item->asked_copies) {
            ask(log, w->seq, copies);
        }
    }
}
