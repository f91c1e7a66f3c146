/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.c - connections that a child keeps open to members, and their end when the
 * member goes.
 *
 * A server that was switched off has forgotten its connections; one that was suspended
 * wakes with them, perhaps after the network has.  A request sent into such a
 * connection is lost.  So the keeper counts up a member's epoch when its gate closes,
 * and again in the instant before the order off, when nothing is in flight any more.
 * What a child has in its pool of that member is of an older epoch then, and is closed:
 *
 *  - by a thread of the child, which sleeps until the keeper has changed gates;
 *  - at the latest by the next request to the member, before it takes a connection.
 *
 * Closing means to take everything out of mod_proxy's resource list of the worker and
 * to have it destroyed there; what is open of HTTP, TLS, HTTP/2, AJP or FastCGI ends
 * with it.  A connection that is in use is not in the list.  It can be of an older
 * epoch only while its request is in flight, which keeps the server from being switched
 * off.
 *
 * The request path compares two numbers.  The mutex is taken by those requests alone
 * that find them different, which is once after each sleep.
 */
#include "load_private.h"
#include "futex.h"

#include "ap_mpm.h"
#include "apr_thread_mutex.h"
#include "apr_thread_proc.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define AGAIN_US      (500 * GB_US_PER_MS)
#define ANYHOW_US     (60 * GB_US_PER_S) /* should a wake be missed */
#define JOIN_EVERY_US 1000

/* This child's. */
typedef struct backends_t {
    mgb_context_t *ctx;
    apr_thread_mutex_t *mutex; /* NULL: the child has one thread */
    uint32_t *epochs;          /* [member slot]: the connections are not older */
    apr_thread_t *thread;
    uint32_t stop, stopped;
} backends_t;

static backends_t *backends;

/* ------------------------------------------------------------------ the keeper's */

void mgb_backends_drop(mgb_shared_t *sh, uint32_t slot)
{
    __atomic_fetch_add(&sh->members[slot].conns_epoch, 1, __ATOMIC_SEQ_CST);
}

void mgb_backends_tell(mgb_shared_t *sh)
{
    __atomic_fetch_add(&sh->header->gates_serial, 1, __ATOMIC_SEQ_CST);
    mgb_futex_wake(&sh->header->gates_serial);
}

/* ------------------------------------------------------------------ closing */

/* Takes out all that the list can give, new ones too, for they cannot be told from
 * old ones; so nobody gets an old one meanwhile.  Destroying it gives the room back. */
static void list_empty(apr_reslist_t *list, int most)
{
    void **taken = most > 0 ? calloc((size_t)most, sizeof(*taken)) : NULL;
    int count = 0;

    while (taken && count < most &&
           apr_reslist_acquired_count(list) < (apr_uint32_t)most &&
           apr_reslist_acquire(list, &taken[count]) == APR_SUCCESS) {
        count++;
    }
    while (count > 0) {
        (void)apr_reslist_invalidate(list, taken[--count]);
    }
    free(taken);
}

static void worker_empty(proxy_worker *worker)
{
    proxy_conn_pool *cp = worker->cp;

    if (!cp) {
        return; /* not initialised: nothing was ever connected */
    }
    if (cp->res && worker->s->hmax > 0) {
        list_empty(cp->res, worker->s->hmax);
    }
    else if (cp->conn) {
        apr_pool_t *pool = cp->conn->pool;

        cp->conn = NULL; /* mod_proxy makes another one; the record is in its pool */
        apr_pool_destroy(pool);
    }
}

static uint32_t epoch_now(const mgb_context_t *ctx, uint32_t slot)
{
    return __atomic_load_n(&ctx->shared->members[slot].conns_epoch, __ATOMIC_SEQ_CST);
}

static bool is_current(uint32_t slot)
{
    return __atomic_load_n(&backends->epochs[slot], __ATOMIC_ACQUIRE) ==
           epoch_now(backends->ctx, slot);
}

static void member_empty(uint32_t slot, proxy_worker *worker)
{
    if (backends->mutex) {
        apr_thread_mutex_lock(backends->mutex);
    }
    if (!is_current(slot)) {
        uint32_t epoch = epoch_now(backends->ctx, slot);

        worker_empty(worker);
        __atomic_store_n(&backends->epochs[slot], epoch, __ATOMIC_RELEASE);
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, backends->ctx->server,
                     GBLOGNO(1101) "%s: connections of this child to it are closed",
                     worker->s->name_ex);
    }
    if (backends->mutex) {
        apr_thread_mutex_unlock(backends->mutex);
    }
}

/* ------------------------------------------------------------------ at the latest */

/* After the request was counted in: from here on the member cannot be ordered off. */
static int backends_scheme_handler(request_rec *r, proxy_worker *worker,
                                   proxy_server_conf *conf, char *url,
                                   const char *proxyhost, apr_port_t proxyport)
{
    uint32_t slot;

    if (!backends) {
        return DECLINED;
    }
    slot = mgb_members_known(backends->ctx, worker);
    if (slot != GB_NO_INDEX && !is_current(slot)) {
        member_empty(slot, worker);
    }
    return DECLINED;
}

/* ------------------------------------------------------------------ in time */

/* While the gate is closed and no request of this child is on its way, nobody takes a
 * connection from the list, so that taking all does not have to wait. */
static bool is_quiet(mgb_context_t *ctx, uint32_t slot)
{
    return __atomic_load_n(&MGB_ROW(ctx->shared, ctx->process, slot)->in_flight,
                           __ATOMIC_SEQ_CST) == 0;
}

static bool is_closed(mgb_shared_t *sh, uint32_t slot)
{
    gb_pick_table_t *table;
    uint32_t position;

    return mgb_load_position(sh, slot, &table, &position) &&
           gb_pick_gate(table, position) == GB_GATE_CLOSED;
}

/* Returns whether there is something left to do soon. */
static bool closed_empty(mgb_context_t *ctx)
{
    uint32_t top = __atomic_load_n(&ctx->shared->header->members_top, __ATOMIC_ACQUIRE);
    bool left = false;

    for (uint32_t slot = 0; slot < top; slot++) {
        proxy_worker *worker = mgb_members_worker(ctx, slot);

        if (!worker || is_current(slot) || !is_closed(ctx->shared, slot)) {
            continue;
        }
        if (is_quiet(ctx, slot)) {
            member_empty(slot, worker);
        }
        else {
            left = true;
        }
    }
    return left;
}

static void *APR_THREAD_FUNC backends_run(apr_thread_t *thread, void *data)
{
    backends_t *b = data;
    uint32_t *serial = &b->ctx->shared->header->gates_serial;

    while (!__atomic_load_n(&b->stop, __ATOMIC_SEQ_CST)) {
        uint32_t seen = __atomic_load_n(serial, __ATOMIC_SEQ_CST);
        bool left = closed_empty(b->ctx);

        mgb_futex_wait(serial, seen, left ? AGAIN_US : ANYHOW_US);
    }
    __atomic_store_n(&b->stopped, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Before the pools of the workers go.  The thread may have looked at `stop` just before
 * it was set, and go to sleep after the first wake: hence the repetition. */
static apr_status_t backends_stop(void *data)
{
    backends_t *b = data;
    apr_status_t ignored;

    __atomic_store_n(&b->stop, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&b->stopped, __ATOMIC_SEQ_CST)) {
        mgb_futex_wake(&b->ctx->shared->header->gates_serial);
        usleep(JOIN_EVERY_US);
    }
    (void)apr_thread_join(&ignored, b->thread);
    return APR_SUCCESS;
}

/* The MPM's signals are not this thread's. */
static apr_status_t thread_start(backends_t *b, apr_pool_t *p)
{
    sigset_t all, before;
    apr_status_t rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = apr_thread_create(&b->thread, NULL, backends_run, b, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

static void backends_child_init(apr_pool_t *p, server_rec *s)
{
    mgb_context_t *ctx = mgb_context;
    int threaded = 0;
    backends_t *b;

    if (!ctx || !ctx->shared || ctx->process == GB_NO_INDEX) {
        return;
    }
    b = apr_pcalloc(p, sizeof(*b));
    b->ctx = ctx;
    b->epochs = apr_pcalloc(p, ctx->shared->header->members_room * sizeof(*b->epochs));
    for (uint32_t i = 0; i < ctx->shared->header->members_top; i++) {
        b->epochs[i] = epoch_now(ctx, i);
    }
    backends = b;
    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    if (!threaded) {
        return; /* its one thread closes what is old when it comes to it */
    }
    if (apr_thread_mutex_create(&b->mutex, APR_THREAD_MUTEX_DEFAULT, p) !=
            APR_SUCCESS ||
        thread_start(b, p) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     GBLOGNO(1102) "child %" APR_PID_T_FMT
                                   ": no thread to close connections to servers that "
                                   "go to sleep: the next request to such a server "
                                   "closes them",
                     getpid());
        return;
    }
    apr_pool_pre_cleanup_register(p, b, backends_stop);
}

void mgb_backends_register_hooks(apr_pool_t *p)
{
    /* After load_meter.c has counted the request, before any handler connects. */
    proxy_hook_scheme_handler(backends_scheme_handler, NULL, NULL,
                              APR_HOOK_REALLY_FIRST + 1);
    /* It needs the row that load_meter.c claims in its own. */
    ap_hook_child_init(backends_child_init, NULL, NULL, APR_HOOK_LAST);
}
