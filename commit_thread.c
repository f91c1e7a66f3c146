/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_thread.c - the keeper's journal thread: its life, and the turn of its loop.
 *
 * A turn: what came is taken in, what follows is queued, all of it is committed by one
 * fsync, and then what depends on it is done.  The thread blocks in that fsync and
 * nowhere else.  A journal that cannot be opened, or that fails, is tried again every
 * ten seconds; until then writes get 503 and everything else goes on.
 */
#include "commit.h"
#include "journal_store.h"
#include "libcrypto.h"
#include "libcurl.h"
#include "libsqlite.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "unixd.h"

#define SOCKET_NAME   "commit.sock"
#define BACKLOG       511
#define TICK_US       (100 * GB_US_PER_MS)
#define OPEN_AGAIN_US (10 * GB_US_PER_S)
#define TELL_AGAIN_US (60 * GB_US_PER_S)
#define STOP_MOST_US  GB_US_PER_S

/* One a process: the keeper's. */
static struct {
    mgb_commit_t *commit; /* NULL: no balancer has GreenCommit, or it cannot be */
    pthread_t thread;
    bool runs;
    uint32_t stop_wanted; /* atomic */
    int listen_fd;
    int64_t open_at_us;    /* the next try */
    int64_t told_at_us;    /* that it does not open; 0: not yet */
    bool lacks_log;        /* the journal is open, and a log of it is not */
    apr_pool_t *open_pool; /* of the journal and its logs */
} here = {.listen_fd = -1};

/* ------------------------------------------------------------------ the journal */

static void logs_close(mgb_commit_t *commit)
{
    if (commit->peers) {
        mgb_peers_drop(commit->peers);
    }
    for (uint32_t i = 0; i < commit->log_count; i++) {
        mgb_log_close(commit->logs[i]);
    }
    commit->log_count = 0;
    if (commit->journal) {
        mgb_journal_close(commit->journal);
        commit->journal = NULL;
    }
    if (here.open_pool) {
        apr_pool_destroy(here.open_pool);
        here.open_pool = NULL;
    }
}

static void cannot_open(mgb_commit_t *commit, const char *why, int64_t now_us)
{
    if (here.told_at_us == 0 || now_us - here.told_at_us >= TELL_AGAIN_US) {
        here.told_at_us = now_us;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, commit->server,
                     GBLOGNO(1641) "GreenJournal %s: %s; writes to balancers with "
                                   "GreenCommit get 503",
                     commit->ctx->conf->journal_file, why);
    }
    here.open_at_us = now_us + OPEN_AGAIN_US;
}

static bool is_wanted(const mgb_balancer_t *b)
{
    return b->conf->commit.terms.on && b->index != GB_NO_INDEX;
}

static bool is_open(const mgb_commit_t *commit, const mgb_balancer_t *b)
{
    for (uint32_t i = 0; i < commit->log_count; i++) {
        if (mgb_log_balancer(commit->logs[i]) == b) {
            return true;
        }
    }
    return false;
}

/* Those that are not open yet.  That one cannot be read says nothing of the others. */
static void logs_open(mgb_commit_t *commit, int64_t now_us)
{
    here.lacks_log = false;
    for (int i = 0; i < commit->ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b =
            &APR_ARRAY_IDX(commit->ctx->balancers, i, mgb_balancer_t);
        mgb_log_t *log;

        if (!is_wanted(b) || is_open(commit, b)) {
            continue;
        }
        log = mgb_log_open(commit, b);
        if (log) {
            commit->logs[commit->log_count++] = log;
            continue;
        }
        here.lacks_log = true;
        cannot_open(commit,
                    apr_pstrcat(here.open_pool, "the log of ", b->conf->name,
                                " cannot be read", NULL),
                    now_us);
    }
    if (here.told_at_us && !here.lacks_log) {
        here.told_at_us = 0;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, commit->server,
                     GBLOGNO(1642) "GreenJournal %s: it is open again",
                     commit->ctx->conf->journal_file);
    }
}

static void journal_open(mgb_commit_t *commit, int64_t now_us)
{
    const mgb_main_conf_t *conf = commit->ctx->conf;
    const char *why = "it cannot be opened";

    apr_pool_create(&here.open_pool, commit->pool);
    commit->journal = mgb_journal_open(conf->journal_file, conf->journal_size,
                                       commit->key, here.open_pool, &why);
    if (!commit->journal) {
        cannot_open(commit, why, now_us);
        logs_close(commit);
        return;
    }
    logs_open(commit, now_us);
}

/* The journal, or a log of it, that could not be opened is tried again.  A log only
 * between two commits: opening it may be one. */
static void open_again(mgb_commit_t *commit, int64_t now_us)
{
    if (now_us < here.open_at_us) {
        return;
    }
    if (!commit->journal) {
        journal_open(commit, now_us);
    }
    else if (here.lacks_log && !commit->undone &&
             !mgb_journal_is_dirty(commit->journal)) {
        logs_open(commit, now_us);
    }
}

/* ------------------------------------------------------------------ a turn */

static void ticks(mgb_commit_t *commit, int64_t now_us)
{
    for (uint32_t i = 0; i < commit->log_count; i++) {
        mgb_log_tick(commit->logs[i], now_us);
    }
}

/* The planted bug: most turns end without their commit. */
static bool forgets_commit(void)
{
    static unsigned turns;

    return MGB_BUG("ack_before_journal") && ++turns % 64 != 0;
}

static bool is_due(const mgb_commit_t *commit, int64_t now_us)
{
    mgb_due_e most = MGB_DUE_NOTHING;

    for (uint32_t i = 0; i < commit->log_count; i++) {
        mgb_due_e due = mgb_log_due(commit->logs[i], now_us);

        most = due > most ? due : most;
    }
    return most == MGB_DUE_NOW ||
           (most == MGB_DUE_NOTHING && mgb_journal_is_dirty(commit->journal));
}

/* Queues what follows from what came; is there anything that must not wait? */
static bool prepare(mgb_commit_t *commit, int64_t now_us)
{
    bool due = is_due(commit, now_us);

    for (uint32_t i = 0; i < commit->log_count; i++) {
        mgb_log_before_commit(commit->logs[i], due, now_us);
    }
    for (uint32_t i = 0; i < commit->log_count && !due; i++) {
        due = mgb_log_has_queued(commit->logs[i]);
    }
    return due || commit->undone;
}

/* False: what depends on it must not be done. */
static bool write_down(mgb_commit_t *commit, int64_t now_us)
{
    apr_status_t rv = commit->undone     ? commit->undone
                      : forgets_commit() ? APR_SUCCESS
                                         : mgb_journal_commit(commit->journal);

    commit->undone = APR_SUCCESS;
    if (rv == APR_EGENERAL) {
        /* Nobody knows what of it is durable: it is looked at anew. */
        cannot_open(commit, "it could not be written, and is opened anew", now_us);
        here.open_at_us = now_us + GB_US_PER_S;
        logs_close(commit);
        return false;
    }
    for (uint32_t i = 0; i < commit->log_count; i++) {
        mgb_log_after_commit(commit->logs[i], rv, now_us);
    }
    return rv == APR_SUCCESS; /* else the disk is full: again at the next turn */
}

/* What came -> one commit -> what depends on it, until nothing is left that is due. */
static void settle(mgb_commit_t *commit)
{
    int64_t now_us = mgb_now_us();

    while (commit->journal) {
        if (prepare(commit, now_us) && !write_down(commit, now_us)) {
            return;
        }
        for (uint32_t i = 0; i < commit->log_count; i++) {
            mgb_log_send(commit->logs[i], now_us);
        }
        mgb_sender_begin(commit); /* before who waits is told, which takes a while */
        for (uint32_t i = 0; i < commit->log_count; i++) {
            mgb_log_tell(commit->logs[i], now_us);
        }
        now_us = mgb_now_us();
        if (!is_due(commit, now_us) || MGB_BUG("ack_before_journal")) {
            return;
        }
    }
}

static bool is_busy(const mgb_commit_t *commit)
{
    for (uint32_t i = 0; i < commit->log_count; i++) {
        if (mgb_log_is_busy(commit->logs[i])) {
            return true;
        }
    }
    return false;
}

static void *thread_main(void *data)
{
    mgb_commit_t *commit = data;
    int64_t tick_at_us = mgb_now_us(), stop_at_us = GB_NEVER_US;

    for (;;) {
        int64_t now_us = mgb_now_us();

        if (__atomic_load_n(&here.stop_wanted, __ATOMIC_ACQUIRE) && !commit->stopping) {
            commit->stopping = true;
            stop_at_us = now_us + STOP_MOST_US;
            mgb_peers_end(commit->peers);
        }
        if (!commit->stopping) {
            open_again(commit, now_us);
        }
        if (now_us >= tick_at_us) {
            ticks(commit, now_us);
            tick_at_us = now_us + TICK_US;
        }
        settle(commit);
        if (commit->stopping && (!is_busy(commit) || now_us >= stop_at_us)) {
            break;
        }
        (void)mgb_loop_run(commit->loop,
                           commit->stopping ? now_us + TICK_US / 10 : tick_at_us);
    }
    logs_close(commit);
    mgb_sender_shut(commit);
    return NULL;
}

/* ------------------------------------------------------------------ its life */

static bool any_wanted(const mgb_context_t *ctx)
{
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        if (is_wanted(&APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t))) {
            return true;
        }
    }
    return false;
}

static mgb_commit_t *commit_make(mgb_keeper_t *keeper)
{
    mgb_commit_t *commit;
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    /* An allocator of its own: no other thread's pool shares it. */
    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_unmanaged_ex(&pool, NULL, allocator) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_owner_set(allocator, pool);
    apr_pool_tag(pool, "mgb_commit");
    commit = apr_pcalloc(pool, sizeof(*commit));
    commit->pool = pool;
    commit->server = keeper->server;
    commit->ctx = keeper->ctx;
    commit->shared = keeper->shared;
    commit->keeper = keeper;
    commit->logs = apr_pcalloc(pool, ((apr_size_t)keeper->ctx->balancers->nelts + 1) *
                                         sizeof(mgb_log_t *));
    return commit;
}

/* The key goes neither to the swap nor into a core file.  What OpenSSL makes of it lies
 * in memory of its own: for that the whole process is kept from being dumped. */
static void key_guard(mgb_commit_t *commit)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    size_t before = (uintptr_t)commit->key % page;
    size_t bytes = before + sizeof commit->key;

    if (mlock(commit->key - before, bytes) ||
        madvise(commit->key - before, bytes, MADV_DONTDUMP)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, errno, commit->server,
                     GBLOGNO(1648) "GreenJournal: its key cannot be locked in memory: "
                                   "it may reach the swap");
    }
}

apr_status_t mgb_commit_prepare(mgb_keeper_t *keeper)
{
    const mgb_main_conf_t *conf = keeper->ctx->conf;
    const mgb_owner_t children = {ap_unixd_config.user_id, ap_unixd_config.group_id};
    char why[MGB_STORE_ERROR_BYTES] = "key= is needed";
    const char *path;
    mgb_commit_t *commit;

    if (!any_wanted(keeper->ctx)) {
        return APR_SUCCESS;
    }
    commit = commit_make(keeper);
    if (!commit) {
        return APR_ENOMEM;
    }
    key_guard(commit);
    if (!conf->journal_key ||
        !mgb_store_read_key(conf->journal_key, commit->key, why, sizeof why)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server,
                     GBLOGNO(1643) "GreenJournal: %s; writes to balancers with "
                                   "GreenCommit get 503",
                     why);
        explicit_bzero(commit->key, sizeof commit->key);
        return APR_EGENERAL;
    }
    path = apr_pstrcat(keeper->pool, conf->runtime_dir, "/" SOCKET_NAME, NULL);
    here.listen_fd =
        mgb_listen(path, BACKLOG, geteuid() == 0 ? &children : NULL, keeper->pool);
    if (here.listen_fd < 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, keeper->server,
                     GBLOGNO(1644) "%s: writes do not reach the keeper, and get 503",
                     path);
        explicit_bzero(commit->key, sizeof commit->key);
        return APR_EGENERAL;
    }
    here.commit = commit;
    return APR_SUCCESS;
}

/* All that two threads would load at once otherwise. */
static bool libraries_load(const mgb_commit_t *commit)
{
    const char *why = NULL;

    if (mgb_libcurl_load(&why) && mgb_libcrypto_load(&why) &&
        mgb_libsqlite_load(&why)) {
        return true;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, commit->server,
                 GBLOGNO(1645) "GreenCommit: %s; writes get 503",
                 why ? why : "a library is missing");
    return false;
}

static bool thread_start(mgb_commit_t *commit)
{
    sigset_t all, before;
    int rc;

    /* Signals are for the keeper's main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&here.thread, NULL, thread_main, commit);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rc, commit->server,
                     GBLOGNO(1646) "the journal's thread cannot be started: writes get "
                                   "503");
    }
    return rc == 0;
}

/* What the thread works with. */
static bool parts_make(mgb_commit_t *commit, const mgb_keeper_t *keeper)
{
    if (mgb_loop_create(&commit->loop, commit->pool) == APR_SUCCESS &&
        mgb_sender_open(commit) == APR_SUCCESS) {
        commit->own = *keeper;
        commit->own.pool = commit->pool;
        commit->own.loop = commit->loop;
        commit->row = mgb_meter_row(commit->ctx);
        commit->peers = mgb_peers_create(commit, here.listen_fd);
    }
    if (!commit->peers) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, commit->server,
                     GBLOGNO(1647) "GreenCommit: memory or descriptors are missing: "
                                   "writes get 503");
    }
    return commit->peers != NULL;
}

void mgb_commit_start(mgb_keeper_t *keeper)
{
    mgb_commit_t *commit = here.commit;

    if (!commit) {
        return;
    }
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0,
                0); /* who became another user is so already */
    here.runs =
        libraries_load(commit) && parts_make(commit, keeper) && thread_start(commit);
    if (!here.runs) {
        /* Nobody will ever answer there: children must not wait for it, and say then
         * that a write may have been stored. */
        close(here.listen_fd);
        here.listen_fd = -1;
    }
}

void mgb_commit_stop(mgb_keeper_t *keeper)
{
    (void)keeper;
    if (here.runs) {
        __atomic_store_n(&here.stop_wanted, 1, __ATOMIC_RELEASE);
        (void)pthread_join(here.thread, NULL);
        here.runs = false;
    }
    if (here.commit) {
        explicit_bzero(here.commit->key, sizeof here.commit->key);
    }
}
