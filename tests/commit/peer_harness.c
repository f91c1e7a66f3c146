/* SPDX-License-Identifier: Apache-2.0
 *
 * peer_harness.c - the journal thread's connections (commit_peer.c, commit_submit.c)
 * around a log that is kept in memory and does what a write's target says:
 *
 *   /now        accepted and met at the next turn;   /big/BYTES  with an answer so
 * large /after/MS   so much later;                       /never      stays open /reject
 * 409;                                 /spread     accepted, never met /full cannot be
 * stored
 *
 * Ids that begin with "expired" are.  peer_harness SOCKET; it prints "ready", and "left
 * ID" for a waiter that is taken back.  tests/commit/test_commit_peer.py drives it.
 */
#include "../../commit.h"
#include "../../libcrypto.h"

#include "unixd.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ENTRIES_MOST 65536
#define WAIT_US      GB_US_PER_S

module AP_MODULE_DECLARE_DATA greenbalance_module;
unixd_config_rec ap_unixd_config;

typedef struct kept_t {
    mgb_entry_t entry;
    int64_t met_at_us; /* GB_NEVER_US: never */
    mgb_waiter_t *waiters;
} kept_t;

struct mgb_log_t {
    mgb_balancer_t balancer;
    mgb_pool_conf_t conf;
};

static kept_t kept[ENTRIES_MOST];
static uint64_t head;
static struct mgb_log_t the_log;
static mgb_log_t *logs[] = {&the_log};
static mgb_commit_t commit;

/* ------------------------------------------------------------------ httpd's part */

void ap_log_error_(const char *file, int line, int module_index, int level,
                   apr_status_t status, const server_rec *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------ the journal */

apr_status_t mgb_journal_find(mgb_journal_t *journal, uint32_t log, const char *id,
                              const char *principal, uint64_t *seq)
{
    if (strncmp(id, "expired", 7) == 0) {
        return MGB_EXPIRED;
    }
    for (uint64_t i = head; i >= 1; i--) {
        if (!strcmp(kept[i].entry.id, id) &&
            !strcmp(kept[i].entry.principal, principal)) {
            *seq = i;
            return APR_SUCCESS;
        }
    }
    return APR_NOTFOUND;
}

apr_status_t mgb_journal_get(mgb_journal_t *journal, uint32_t log, uint64_t seq,
                             bool with_answer, apr_pool_t *p, mgb_entry_t *entry)
{
    *entry = kept[seq].entry;
    if (!with_answer) {
        entry->answer_body = NULL;
        entry->answer_bytes = 0;
    }
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ the log */

const mgb_balancer_t *mgb_log_balancer(const mgb_log_t *log)
{
    return &log->balancer;
}

uint32_t mgb_log_number(const mgb_log_t *log)
{
    return 1;
}

void mgb_log_mark(mgb_log_t *log, const mgb_entry_t *entry, gb_commit_mark_t *mark)
{
    memset(mark, 0, sizeof(*mark));
    apr_cpystrn(mark->id, entry->id, sizeof(mark->id));
    mark->epoch = 1;
    mark->seq = entry->seq;
    mark->nines = -1;
    mark->state = entry->state == GB_ENTRY_OPEN ? GB_COMMIT_OPEN
                  : entry->state == GB_ENTRY_REJECTED
                      ? GB_COMMIT_REJECTED
                      : (kept[entry->seq].met_at_us == GB_NEVER_US ? GB_COMMIT_SPREADING
                                                                   : GB_COMMIT_MET);
}

static void wait_at(uint64_t seq, const gb_commit_wish_t *wish, mgb_waiter_t *waiter)
{
    waiter->seq = seq;
    waiter->deadline_us = mgb_now_us() + (wish->wait_us >= 0 ? wish->wait_us : WAIT_US);
    waiter->next = kept[seq].waiters;
    kept[seq].waiters = waiter;
}

static void answer_by(kept_t *k, int64_t *after_us)
{
    const char *target = k->entry.target;

    *after_us = 0;
    k->entry.status = 201;
    k->entry.answer_headers = "Content-Type: text/plain\r\n";
    k->entry.answered_by = "http://127.0.0.1:1";
    k->entry.answer_body = "done";
    k->entry.answer_bytes = 4;
    if (!strncmp(target, "/big/", 5)) {
        k->entry.answer_bytes = (apr_size_t)strtol(target + 5, NULL, 10);
        k->entry.answer_body = calloc(1, k->entry.answer_bytes);
    }
    else if (!strncmp(target, "/after/", 7)) {
        *after_us = strtol(target + 7, NULL, 10) * GB_US_PER_MS;
    }
    else if (!strcmp(target, "/never") || !strcmp(target, "/spread")) {
        *after_us = GB_NEVER_US;
    }
}

apr_status_t mgb_log_submit(mgb_log_t *log, mgb_entry_t *entry,
                            const gb_commit_wish_t *wish, mgb_waiter_t *waiter)
{
    int64_t after_us;
    kept_t *k;

    if (!strcmp(entry->target, "/full") || head + 1 >= ENTRIES_MOST) {
        return APR_ENOSPC;
    }
    entry->seq = ++head;
    k = &kept[head];
    k->entry = *entry;
    k->entry.id = strdup(entry->id);
    k->entry.principal = strdup(entry->principal);
    k->entry.target = strdup(entry->target);
    answer_by(k, &after_us);
    k->met_at_us = after_us == GB_NEVER_US ? after_us : mgb_now_us() + after_us;
    if (!strcmp(entry->target, "/spread")) {
        k->entry.state = GB_ENTRY_ACCEPTED;
    }
    wait_at(head, wish, waiter);
    return APR_SUCCESS;
}

void mgb_log_wait(mgb_log_t *log, uint64_t seq, const gb_commit_wish_t *wish,
                  mgb_waiter_t *waiter)
{
    wait_at(seq, wish, waiter);
}

static bool unlink_waiter(kept_t *k, const mgb_waiter_t *waiter)
{
    for (mgb_waiter_t **at = &k->waiters; *at; at = &(*at)->next) {
        if (*at == waiter) {
            *at = waiter->next;
            return true;
        }
    }
    return false;
}

void mgb_log_leave(mgb_log_t *log, mgb_waiter_t *waiter)
{
    if (!unlink_waiter(&kept[waiter->seq], waiter)) {
        abort(); /* it was told, or never waited */
    }
    printf("left %s\n", kept[waiter->seq].entry.id);
    fflush(stdout);
}

/* What is due for one entry. */
static void settle(kept_t *k, int64_t now_us)
{
    bool done;

    if (k->entry.state == GB_ENTRY_OPEN && now_us >= k->met_at_us) {
        k->entry.state =
            strcmp(k->entry.target, "/reject") ? GB_ENTRY_ACCEPTED : GB_ENTRY_REJECTED;
        k->entry.status = k->entry.state == GB_ENTRY_REJECTED ? 409 : 201;
    }
    done = k->entry.state != GB_ENTRY_OPEN && now_us >= k->met_at_us;
    for (mgb_waiter_t *w = k->waiters, *next; w; w = next) {
        next = w->next;
        if (done || now_us >= w->deadline_us) {
            (void)unlink_waiter(k, w);
            w->done(w, done ? GB_SAYS_DONE : GB_SAYS_LATE);
            next = k->waiters; /* it may have changed the list */
        }
    }
}

/* ------------------------------------------------------------------ it runs */

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    return bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 511)
               ? -1
               : fd;
}

static void prepare(void)
{
    const struct passwd *user = getpwnam("www-data");
    const char *why;

    ap_unixd_config.user_id = user ? user->pw_uid : getuid();
    apr_pool_create(&commit.pool, NULL);
    the_log.conf.commit.body_most = 1 << 20;
    the_log.balancer.key = "log";
    the_log.balancer.index = GB_NO_INDEX;
    the_log.balancer.conf = &the_log.conf;
    commit.logs = logs;
    commit.log_count = 1;
    commit.journal = (mgb_journal_t *)&commit; /* is never looked into */
    if (!mgb_libcrypto_load(&why) ||
        mgb_loop_create(&commit.loop, commit.pool) != APR_SUCCESS) {
        exit(2);
    }
}

int main(int argc, char **argv)
{
    int fd;

    apr_initialize();
    prepare();
    fd = argc > 1 ? listen_at(argv[1]) : -1;
    commit.peers = fd >= 0 ? mgb_peers_create(&commit, fd) : NULL;
    if (!commit.peers) {
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    while (getppid() != 1) {
        int64_t now_us = mgb_now_us();

        for (uint64_t i = 1; i <= head; i++) {
            if (kept[i].waiters) {
                settle(&kept[i], now_us);
            }
        }
        (void)mgb_loop_run(commit.loop, mgb_now_us() + 10 * GB_US_PER_MS);
    }
    return 0;
}
