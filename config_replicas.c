/* SPDX-License-Identifier: Apache-2.0
 *
 * config_replicas.c - what replicated writes need of other directives and of the
 * system, when all is read.
 *
 * Each finding says what to do.  Runs in the parent, in check_config, after machines
 * were joined.
 */
#include "config_private.h"
#include "libcrypto.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_BODIES 4 /* a journal has room for so many of the largest writes */

/* ------------------------------------------------------------------ of a balancer */

static void check_replicas(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                           const proxy_balancer *balancer)
{
    const ap_directive_t *where = pool->set_at[MGB_SET_COMMIT];

    if (!mgb_config_value(pool, MGB_SET_REPLICAS)) {
        mgb_config_report(
            found, where,
            GBLOGNO(0155) "%s: GreenCommit sends each write to every server, so that "
                          "servers that share a database would apply it once each, %d "
                          "times in all: say GreenReplicas independent if each has its "
                          "own storage, else GreenCommit off",
            pool->name, balancer->workers->nelts);
    }
    if (mgb_config_value(pool, MGB_SET_MODE) == GB_MODE_OFF) {
        mgb_config_report(
            found, where,
            GBLOGNO(0156) "%s: GreenCommit needs to know which servers are there: say "
                          "GreenBalance on, or observe to power nothing",
            pool->name);
    }
    if (strcmp(balancer->s->lbpname, MGB_LBMETHOD) != 0) {
        mgb_config_report(
            found, where,
            GBLOGNO(0138) "%s: GreenCommit needs the method that sends no read to a "
                          "server that lags, and the balancer's is %s: add \"ProxySet "
                          "lbmethod=bypower\"",
            pool->name, balancer->s->lbpname);
    }
}

/* Whether a worker can be a replica; NULL, or why it cannot. */
static const char *unfit(const proxy_worker *worker)
{
    if (worker->s->uds_path[0] || (strcasecmp(worker->s->scheme, "http") != 0 &&
                                   strcasecmp(worker->s->scheme, "https") != 0)) {
        return "writes are sent by http and https only, over TCP: give it such a URL";
    }
    if (worker->s->status & (PROXY_WORKER_HOT_STANDBY | PROXY_WORKER_HOT_SPARE)) {
        return "a spare or standby (status=+H, +R) cannot be a replica, for it would "
               "miss what it does not serve: leave the status out";
    }
    return NULL;
}

static void check_members(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                          const proxy_balancer *balancer)
{
    if (balancer->workers->nelts > GB_COMMIT_REPLICAS) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_COMMIT],
            GBLOGNO(0139) "%s: GreenCommit serves at most %d members, and it has %d",
            pool->name, GB_COMMIT_REPLICAS, balancer->workers->nelts);
    }
    for (int i = 0; i < balancer->workers->nelts; i++) {
        proxy_worker *worker = APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);
        const mgb_keys_t *keys = mgb_config_keys(worker);
        const char *why = unfit(worker);

        if (why) {
            mgb_config_report(
                found, keys && keys->where ? keys->where : pool->set_at[MGB_SET_COMMIT],
                GBLOGNO(0140) "%s: GreenCommit: BalancerMember %s: %s", pool->name,
                keys ? keys->hints.member_url : ap_proxy_worker_name(found->p, worker),
                why);
        }
    }
}

/* Two logs have two orders: a server would get their writes in any. */
static void check_one_log(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                          const proxy_balancer *balancer)
{
    if (!found->replicas) {
        found->replicas = apr_hash_make(found->p);
    }
    for (int i = 0; i < balancer->workers->nelts; i++) {
        const proxy_worker *worker =
            APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);

        if (apr_hash_get(found->replicas, worker->s->name_ex, APR_HASH_KEY_STRING)) {
            mgb_config_report(
                found, pool->set_at[MGB_SET_COMMIT],
                GBLOGNO(0157) "%s: GreenCommit: BalancerMember %s is a member of two "
                              "balancers with GreenCommit, or its balancer is used by "
                              "a ProxyPass in a virtual host, which makes one of its "
                              "own there: write the <Proxy> section and all of its "
                              "ProxyPass in one place, the main server or one virtual "
                              "host",
                pool->name, worker->s->name_ex);
            return;
        }
        apr_hash_set(found->replicas, worker->s->name_ex, APR_HASH_KEY_STRING, pool);
    }
}

static void check_quorum(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                         const proxy_balancer *balancer)
{
    const ap_directive_t *where = pool->set_at[MGB_SET_COMMIT];
    const uint32_t quorum = (uint32_t)mgb_config_value(pool, MGB_SET_COMMIT);
    const uint32_t members = (uint32_t)balancer->workers->nelts;

    if (quorum != GB_COMMIT_ALL && quorum > members) {
        mgb_config_report(found, where,
                          GBLOGNO(0141) "%s: GreenCommit quorum=%u is more than the %u "
                                        "members that there are: no write would ever "
                                        "be complete",
                          pool->name, quorum, members);
    }
    else if (quorum >= members && mgb_config_value(pool, MGB_SET_MODE) == GB_MODE_ON &&
             mgb_config_any_sleeps(balancer)) {
        mgb_config_warn(found, where,
                        GBLOGNO(0142) "%s: GreenCommit quorum=%s asks for every "
                                      "server, so that none of them will ever sleep: "
                                      "choose a smaller one, or add servers",
                        pool->name, pool->text[MGB_SET_COMMIT]);
    }
}

/* An application that may ask for other terms than the configured ones may ask for
 * those, too. */
static void check_limits(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                         const proxy_balancer *balancer)
{
    const int64_t quorums = mgb_config_value(pool, MGB_SET_LIMIT_QUORUM);
    const int64_t waits = mgb_config_value(pool, MGB_SET_LIMIT_WAIT);
    const uint32_t quorum = (uint32_t)mgb_config_value(pool, MGB_SET_COMMIT);
    const int64_t wait_ms = mgb_config_value(pool, MGB_SET_COMMIT_WAIT) / GB_US_PER_MS;

    if (quorums != MGB_UNSET &&
        (quorum < MGB_FROM(quorums) || quorum > MGB_TO(quorums))) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_LIMIT_QUORUM],
            GBLOGNO(0143) "%s: GreenCommitLimits quorum=%s leaves out GreenCommit's "
                          "own quorum=%s: change one of them",
            pool->name, pool->text[MGB_SET_LIMIT_QUORUM], pool->text[MGB_SET_COMMIT]);
    }
    if (quorums != MGB_UNSET && MGB_TO(quorums) != GB_COMMIT_ALL &&
        MGB_TO(quorums) > (uint32_t)balancer->workers->nelts) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_LIMIT_QUORUM],
            GBLOGNO(0144) "%s: GreenCommitLimits quorum=%s is more than the %d members "
                          "that there are",
            pool->name, pool->text[MGB_SET_LIMIT_QUORUM], balancer->workers->nelts);
    }
    if (waits != MGB_UNSET && (wait_ms < MGB_FROM(waits) || wait_ms > MGB_TO(waits))) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_LIMIT_WAIT],
            GBLOGNO(0145) "%s: GreenCommitLimits wait=%s leaves out GreenCommit's own "
                          "wait, %" APR_INT64_T_FMT "ms",
            pool->name, pool->text[MGB_SET_LIMIT_WAIT], wait_ms);
    }
}

static void check_resync(mgb_findings_t *found, const mgb_raw_pool_t *pool)
{
    struct stat st;

    if (pool->resync && (stat(pool->resync[0], &st) != 0 || !S_ISREG(st.st_mode) ||
                         access(pool->resync[0], X_OK) != 0)) {
        mgb_config_report(found, pool->set_at[MGB_SET_RESYNC],
                          GBLOGNO(0146) "%s: GreenResync: %s is no file that can be "
                                        "executed",
                          pool->name, pool->resync[0]);
    }
}

static void check_balancer(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                           const proxy_balancer *balancer)
{
    check_resync(found, pool);
    if (!mgb_config_value(pool, MGB_SET_COMMIT)) {
        return;
    }
    check_replicas(found, pool, balancer);
    check_members(found, pool, balancer);
    check_one_log(found, pool, balancer);
    check_quorum(found, pool, balancer);
    check_limits(found, pool, balancer);
    mgb_config_check_tls(found, pool, balancer);
    if (!found->commits) {
        found->commits = pool;
    }
    if (mgb_config_value(pool, MGB_SET_COMMIT_BODY) * JOURNAL_BODIES >
        found->conf->journal_size) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_COMMIT_BODY],
            GBLOGNO(0147) "%s: GreenCommitBody %s: the journal, of %" APR_INT64_T_FMT
                          " bytes, must have room for %d such writes: make it larger "
                          "by GreenJournal FILE size=SIZE",
            pool->name, pool->text[MGB_SET_COMMIT_BODY],
            (apr_int64_t)found->conf->journal_size, JOURNAL_BODIES);
    }
}

/* --------------------------------------------------------------------- the journal */

static const char *directory_of(apr_pool_t *p, const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash && slash > file ? apr_pstrmemdup(p, file, (apr_size_t)(slash - file))
                                 : "/";
}

static void check_key(mgb_findings_t *found, const ap_directive_t *where)
{
    const char *file = found->conf->journal_key, *dir;
    struct stat st, journal;

    if (stat(file, &st) != 0) {
        const int error = errno;

        mgb_config_report(
            found, where,
            GBLOGNO(0148) "GreenJournal key=%s: %s: make one by (umask 077; head -c %d "
                          "/dev/urandom > %s), and keep a copy of it",
            file, strerror(error), MGB_SEAL_KEY_BYTES, file);
        return;
    }
    if (!S_ISREG(st.st_mode) || st.st_size != MGB_SEAL_KEY_BYTES) {
        mgb_config_report(
            found, where,
            GBLOGNO(0149) "GreenJournal key=%s: must be a file of %d bytes, as made by "
                          "head -c %d /dev/urandom",
            file, MGB_SEAL_KEY_BYTES, MGB_SEAL_KEY_BYTES);
        return;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 07777) != 0600) {
        mgb_config_report(
            found, where,
            GBLOGNO(0150) "GreenJournal key=%s: belongs to uid %u with mode %04o, and "
                          "must belong to whoever starts httpd, uid %u, with 0600",
            file, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777),
            (unsigned)geteuid());
    }
    dir = directory_of(found->p, found->conf->journal_file);
    if (stat(dir, &journal) == 0 && journal.st_dev == st.st_dev) {
        mgb_config_warn(
            found, where,
            GBLOGNO(0151) "GreenJournal key=%s: it lies on the same file system as the "
                          "journal, %s: whoever gets that disk can read what was "
                          "written; keep the key on another one",
            file, found->conf->journal_file);
    }
}

/* GreenStateDir is made where it is missing; nothing else is. */
static void check_directory(mgb_findings_t *found, const ap_directive_t *where)
{
    const char *dir = directory_of(found->p, found->conf->journal_file);
    struct stat st;

    if (strcmp(dir, found->conf->state_dir) != 0 &&
        (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))) {
        mgb_config_report(
            found, where,
            GBLOGNO(0158) "GreenJournal %s: there is no directory %s: make it, by "
                          "install -d -m 700 -o USER, with the keeper's user "
                          "(GreenKeeperUser)",
            found->conf->journal_file, dir);
    }
}

/* What it holds and some server lacks reaches nobody now. */
static void check_unused(mgb_findings_t *found)
{
    const char *file = found->conf->journal_file;
    struct stat st;

    if (file && stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
        mgb_config_warn(
            found, found->raw->where[MGB_MAIN_JOURNAL],
            GBLOGNO(0160) "GreenJournal %s: it is there, and no balancer has "
                          "GreenCommit any more: servers that lack writes do not get "
                          "them. greenctl journal check says what each has; to "
                          "deliver the rest, put GreenCommit back; else move the file "
                          "away",
            file);
    }
}

static void check_journal(mgb_findings_t *found)
{
    const ap_directive_t *where = found->raw->where[MGB_MAIN_JOURNAL];
    const char *file = found->conf->journal_file;
    const char *memory = mgb_config_in_memory(found->p, file);
    struct stat st;

    if (memory) {
        mgb_config_report(
            found, where,
            GBLOGNO(0152) "GreenJournal %s: %s lies in memory (tmpfs) and would forget "
                          "what clients were told is stored: name a file on a disk",
            file, memory);
    }
    else if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
        mgb_config_report(found, where,
                          GBLOGNO(0153) "GreenJournal %s: must be a regular file",
                          file);
    }
    else {
        check_directory(found, where);
    }
    if (!found->conf->journal_key) {
        mgb_config_report(
            found, where ? where : found->commits->set_at[MGB_SET_COMMIT],
            GBLOGNO(0154) "%s: GreenCommit needs a key that the journal is sealed "
                          "with: say GreenJournal %s key=FILE; such a file is made by "
                          "(umask 077; head -c %d /dev/urandom > FILE), on another "
                          "disk than the journal's",
            found->commits->name, file, MGB_SEAL_KEY_BYTES);
    }
    else {
        check_key(found, where);
    }
}

void mgb_config_check_commit(mgb_findings_t *found)
{
    mgb_config_each(found, check_balancer);
    if (found->commits) {
        check_journal(found);
    }
    else {
        check_unused(found);
    }
}
