/* SPDX-License-Identifier: Apache-2.0
 *
 * hold.c - requests that wait for a server, or for room on one.
 *
 * A request that finds no server awake, or (GreenQueue) none with room, takes a place
 * in the waiting room and sleeps until it is told that a server has counted it in, that
 * nothing will wake, or until its time is over.  While others wait, nobody overtakes
 * them.  The thread sleeps on its place's word in shared memory: who serves
 * (waiting.c) wakes it, wherever it is.  Nothing of the request's body has been read by
 * then; it stays with the connection.
 *
 *   nobody awake, and nobody can be woken    503 at once
 *   nobody awake, a browser's page load      the waiting page, 503
 *   nobody awake, must not wake anything     503 at once
 *   no place, or half of the threads wait    503 at once, and it counts as wanted
 *   else                                     waits
 *
 * A request whose attempt has failed comes here again, too.  When no other server is
 * awake, but one could be, it waits for that, or for the probe that says that the one
 * which failed is well.
 *
 * Never more than half of a child's threads wait, nor more than half of the threads on
 * which mod_http2 runs its streams: what needs no server is answered all the same.
 *
 * Children only.  Without anybody asleep or waiting, a request costs two loads.
 */
#include "load_private.h"
#include "futex.h"
#include "hold_page.h"
#include "core/gb_parse.h"
#include "core/gb_visit.h"

#include "ap_mpm.h"
#include "http_connection.h"
#include "http_request.h"
#include "apr_portable.h"
#include "util_cfgtree.h"

#include <limits.h>
#include <poll.h>

#define LOOK_EVERY_US      GB_US_PER_S /* is the client still there? */
#define RETRY_UNKNOWN_US   (60 * GB_US_PER_S)
#define TIMEOUT_UNKNOWN_US (60 * GB_US_PER_S)
#define PLACES_MOST        65536u
#define BALANCERS_FEW      8

/* How many threads of this process may wait, and how many do. */
static struct {
    uint32_t threads_most, streams_most;
    uint32_t threads, streams;
} here;

static int stream_workers; /* of mod_http2, for a child; 0: it is not used */

/* A request that waits. */
typedef struct wait_t {
    request_rec *r;
    mgb_context_t *ctx;
    const mgb_balancer_t *b;
    mgb_balancer_shared_t *shared;
    proxy_balancer *pb;
    proxy_server_conf *conf;
    bool ours; /* the balancer's method is ours: a claim is used by it */
    int64_t arrived_us, deadline_us;
    int64_t late_at_us; /* who waits still, then, is late; 0: nobody is */
    bool late;          /* then the client was still there */
} wait_t;

typedef enum end_e {
    END_SERVED,
    END_REFUSED,
    END_TIMED_OUT,
    END_ABORTED,
    END_FULL
} end_e;

/* ----------------------------------------------------------------- what the MPM has */

static int directive_number(const char *name, int otherwise)
{
    int number = otherwise;

    for (const ap_directive_t *line = ap_conftree; line; line = line->next) {
        uint32_t given;

        if (strcasecmp(line->directive, name) == 0 &&
            gb_parse_count(line->args, 1, INT_MAX, &given)) {
            number = (int)given;
        }
    }
    return number;
}

/* As mod_http2 counts the threads of a child on which its streams run. */
static int stream_workers_of(int threads)
{
    int least = directive_number("H2MinWorkers", threads);
    int most = directive_number("H2MaxWorkers", 0);

    if (!ap_find_linked_module("mod_http2.c")) {
        return 0;
    }
    least = least > 0 ? least : threads;
    most = most > 0 ? most : least * 3 / 2;
    return most > least ? most : least;
}

static int mpm_number(int query)
{
    int number = 0;

    return ap_mpm_query(query, &number) == APR_SUCCESS && number > 0 ? number : 0;
}

uint32_t mgb_hold_places_room(void)
{
    uint64_t room = (uint64_t)mpm_number(AP_MPMQ_HARD_LIMIT_DAEMONS) *
                    (uint64_t)mpm_number(AP_MPMQ_HARD_LIMIT_THREADS);

    return room < 64 ? 64 : room > PLACES_MOST ? PLACES_MOST : (uint32_t)room;
}

static bool is_threaded(void)
{
    return mpm_number(AP_MPMQ_IS_THREADED) != 0 && mpm_number(AP_MPMQ_MAX_THREADS) > 1;
}

static void settle_one(mgb_context_t *ctx, mgb_balancer_t *b, uint32_t can)
{
    const mgb_hold_conf_t *conf = &b->conf->hold;

    b->hold_max = conf->max < can ? conf->max : can;
    if (b->index != GB_NO_INDEX) {
        ctx->shared->balancers[b->index].late_us =
            conf->queue == MGB_QUEUE_LATE_LAST ? conf->late_us : 0;
    }
    if (b->conf->mode != GB_MODE_ON || b->hold_max == conf->max) {
        return;
    }
    if (!can) {
        ap_log_error(
            APLOG_MARK,
            b->conf->min_awake == 0 || conf->queue != MGB_QUEUE_OFF ? APLOG_WARNING
                                                                    : APLOG_INFO,
            0, ctx->server,
            GBLOGNO(1001) "%s: this MPM has no threads on which requests could "
                          "wait: who finds no server awake gets the waiting "
                          "page or a 503; use mpm_event",
            b->conf->name);
        return;
    }
    ap_log_error(APLOG_MARK,
                 conf->max == MGB_HOLD_MAX_DEFAULT ? APLOG_INFO : APLOG_WARNING, 0,
                 ctx->server,
                 GBLOGNO(1002) "%s: GreenHold max=%u is lowered to %u, half of the "
                               "threads that MaxRequestWorkers allows: raise that, or "
                               "lower max=",
                 b->conf->name, conf->max, can);
}

void mgb_hold_settle(mgb_context_t *ctx)
{
    uint32_t threads = (uint32_t)mpm_number(AP_MPMQ_MAX_THREADS);
    uint32_t can = (uint32_t)mpm_number(AP_MPMQ_MAX_DAEMONS) * (threads / 2);

    stream_workers = stream_workers_of((int)threads);
    if (!is_threaded()) {
        can = 0;
    }
    can = can < ctx->shared->queue->room ? can : ctx->shared->queue->room;
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        settle_one(ctx, &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t), can);
    }
}

static void hold_child_init(apr_pool_t *p, server_rec *s)
{
    memset(&here, 0, sizeof here);
    if (is_threaded()) {
        here.threads_most = (uint32_t)mpm_number(AP_MPMQ_MAX_THREADS) / 2;
        here.streams_most = (uint32_t)stream_workers / 2;
    }
}

/* ------------------------------------------------------------------ waiting */

/* One more thread of this process that waits; false when that would be too many. */
static bool thread_enter(const request_rec *r)
{
    uint32_t *count = r->connection->master ? &here.streams : &here.threads;
    uint32_t most = r->connection->master ? here.streams_most : here.threads_most;

    if (__atomic_add_fetch(count, 1, __ATOMIC_RELAXED) <= most) {
        return true;
    }
    __atomic_fetch_sub(count, 1, __ATOMIC_RELAXED);
    return false;
}

static void thread_leave(const request_rec *r)
{
    __atomic_fetch_sub(r->connection->master ? &here.streams : &here.threads, 1,
                       __ATOMIC_RELAXED);
}

bool mgb_hold_enter(const request_rec *r)
{
    /* Without threads the process waits, as it does for any server. */
    return here.threads_most == 0 || thread_enter(r);
}

void mgb_hold_leave(const request_rec *r)
{
    if (here.threads_most != 0) {
        thread_leave(r);
    }
}

/* Has the client closed its side?  What it sent before that may still be unread. */
static bool is_gone(const request_rec *r)
{
    conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    apr_socket_t *socket = ap_get_conn_socket(c);
    struct pollfd fd = {.events = POLLRDHUP};
    apr_os_sock_t native;

    if (r->connection->aborted || c->aborted) {
        return true;
    }
    if (!socket || apr_os_sock_get(&native, socket) != APR_SUCCESS) {
        return false;
    }
    fd.fd = native;
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* How long to sleep until the next look.  One is at the very moment at which the
 * request becomes late: a client that has gone by then was not. */
static int64_t sleep_of(const wait_t *w, int64_t now_us)
{
    int64_t sleep_us = w->deadline_us - now_us;

    sleep_us = sleep_us < LOOK_EVERY_US ? sleep_us : LOOK_EVERY_US;
    if (w->late_at_us > now_us && w->late_at_us - now_us < sleep_us) {
        sleep_us = w->late_at_us - now_us;
    }
    return sleep_us;
}

/* Waits on a place until something is said; returns the word that stood there at the
 * end. */
static uint32_t wait_on(wait_t *w, gb_place_t *place, uint32_t word, end_e *end)
{
    uint32_t said;

    while (__atomic_load_n(&place->word, __ATOMIC_SEQ_CST) == word) {
        int64_t now_us = mgb_now_us();

        if (now_us >= w->deadline_us) {
            *end = END_TIMED_OUT;
            break;
        }
        if (is_gone(w->r)) {
            *end = END_ABORTED;
            break;
        }
        w->late = w->late || (w->late_at_us && now_us >= w->late_at_us);
        mgb_futex_wait(&place->word, word, sleep_of(w, now_us));
    }
    /* It may have been granted at this very moment. */
    said = gb_queue_leave(place, &w->shared->room);
    if (gb_place_kind(said) == GB_PLACE_GRANTED) {
        *end = *end == END_ABORTED ? END_ABORTED : END_SERVED;
    }
    else if (gb_place_kind(said) == GB_PLACE_REFUSED) {
        *end = END_REFUSED;
    }
    return said;
}

/* The worker of a slot.  Of one that was added in balancer-manager a process learns by
 * its next request that gets as far as mod_proxy_balancer; here all of them may wait.
 */
static const proxy_worker *worker_of(const wait_t *w, uint32_t slot)
{
    const proxy_worker *worker = mgb_members_worker(w->ctx, slot);

    if (!worker && PROXY_THREAD_LOCK(w->pb) == APR_SUCCESS) {
        (void)ap_proxy_sync_balancer(w->pb, w->r->server, w->conf);
        for (int i = 0; i < w->pb->workers->nelts; i++) {
            (void)mgb_members_slot(w->ctx, w->b,
                                   APR_ARRAY_IDX(w->pb->workers, i, proxy_worker *));
        }
        (void)PROXY_THREAD_UNLOCK(w->pb);
        worker = mgb_members_worker(w->ctx, slot);
    }
    return worker;
}

/* Room was counted in for this request.  False: the server takes nothing any more.  One
 * that lacks what this client has written takes others: its method looks for another
 * one, whose turn it was as well. */
static bool take_up(const wait_t *w, uint32_t position)
{
    gb_pick_table_t *table = MGB_TABLE(w->ctx->shared, w->b->index);
    uint32_t slot = __atomic_load_n(&gb_pick_order(table)[position], __ATOMIC_RELAXED);
    const proxy_worker *worker = worker_of(w, slot);

    /* A child of before a graceful restart has the workers' status to itself. */
    mgb_members_mirror(w->ctx);
    if (!worker || !PROXY_WORKER_IS_USABLE(worker) ||
        PROXY_WORKER_IS_DRAINING(worker)) {
        gb_pick_bar(table, position); /* until the next look at it */
        gb_pick_leave(table, position);
        return false;
    }
    if (!w->ours || !mgb_reads_allows(w->ctx, mgb_reads_of(w->r, w->b), position)) {
        gb_pick_leave(table, position); /* its method counts by itself */
        return true;
    }
    return mgb_meter_claim(w->r, w->ctx, slot, position);
}

static void give_back(const wait_t *w, uint32_t position)
{
    gb_pick_leave(MGB_TABLE(w->ctx->shared, w->b->index), position);
    mgb_waiting_serve(w->ctx->shared, w->b->index);
}

static end_e wait_for_room(wait_t *w)
{
    mgb_shared_t *sh = w->ctx->shared;
    gb_waiter_t waiter = {.balancer = w->b->index,
                          .process = w->ctx->process,
                          .generation = w->ctx->generation,
                          .arrived_us = w->arrived_us};

    /* Who had a place and comes back is not turned away for those who came later. */
    for (uint32_t most = w->b->hold_max;; most = UINT32_MAX) {
        uint32_t word, at = gb_queue_join(sh->queue, sh->places, &w->shared->room,
                                          &waiter, most, &word);
        end_e end = END_SERVED;

        if (at == GB_NO_INDEX) {
            return END_FULL;
        }
        mgb_waiting_serve(sh, w->b->index);
        word = wait_on(w, &sh->places[at], word, &end);
        if (gb_place_kind(word) != GB_PLACE_GRANTED) {
            return end;
        }
        if (end == END_ABORTED) {
            give_back(w, gb_place_position(word));
            return end;
        }
        if (take_up(w, gb_place_position(word))) {
            return END_SERVED;
        }
    }
}

/* ------------------------------------------------------------------ answers */

static mgb_outlook_t outlook_of(const mgb_balancer_shared_t *shared)
{
    const gb_pool_t *pool = &shared->pool;
    int64_t now_us = mgb_now_us();
    mgb_outlook_t outlook = {.usual_us = pool->usual_boot_us,
                             .retry_us = RETRY_UNKNOWN_US,
                             .hopeless = pool->hopeless};

    if (pool->ready_at_us != GB_NEVER_US && pool->ready_at_us > now_us) {
        outlook.ready_us = pool->ready_at_us - now_us;
    }
    if (pool->late_at_us != GB_NEVER_US) {
        outlook.retry_us = pool->late_at_us - now_us;
    }
    if (outlook.retry_us < GB_US_PER_S) {
        outlook.retry_us = GB_US_PER_S;
    }
    return outlook;
}

static int answer(const wait_t *w, mgb_visit_e visit, uint64_t *counter)
{
    mgb_outlook_t outlook = outlook_of(w->shared);

    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    return mgb_page_answer(w->r, &w->b->conf->hold, visit, &outlook);
}

void mgb_hold_unserved(mgb_context_t *ctx, const mgb_balancer_t *b, request_rec *r)
{
    mgb_outlook_t outlook = outlook_of(&ctx->shared->balancers[b->index]);

    if (b->conf->mode == GB_MODE_ON) {
        apr_table_setn(r->err_headers_out, "Retry-After",
                       apr_psprintf(r->pool, "%u", gb_visit_seconds(outlook.retry_us)));
    }
}

static int64_t timeout_of(const wait_t *w)
{
    int64_t boot_us = w->shared->pool.slow_boot_us;

    if (w->b->conf->hold.timeout_us > 0) {
        return w->b->conf->hold.timeout_us;
    }
    boot_us = boot_us > 0 ? boot_us : w->shared->pool.ahead_us;
    return boot_us > 0 ? boot_us + boot_us / 2 : TIMEOUT_UNKNOWN_US;
}

static int ended(const wait_t *w, end_e end)
{
    mgb_waits_t *waits = &w->shared->waits;
    int64_t waited_us = mgb_now_us() - w->arrived_us;

    ap_log_rerror(APLOG_MARK, APLOG_TRACE1, 0, w->r,
                  "waited %" APR_INT64_T_FMT " ms: %d", waited_us / GB_US_PER_MS,
                  (int)end);
    /* Who was told to come again is late; who went away, if that was late. */
    if (end != END_SERVED && (end != END_ABORTED || w->late)) {
        __atomic_fetch_add(&waits->late, 1, __ATOMIC_RELAXED);
    }
    switch (end) {
    case END_SERVED:
        __atomic_fetch_add(&waits->served, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&waits->waited_sum_us, (uint64_t)waited_us,
                           __ATOMIC_RELAXED);
        __atomic_fetch_add(&waits->waited[gb_meter_bucket(waited_us)], 1,
                           __ATOMIC_RELAXED);
        return DECLINED;
    case END_REFUSED:
        return answer(w, MGB_VISIT_REFUSE, &waits->refused);
    case END_TIMED_OUT:
        return answer(w, MGB_VISIT_REFUSE, &waits->timed_out);
    case END_FULL:
        return answer(w, MGB_VISIT_REFUSE, &waits->turned_away);
    case END_ABORTED:
        break;
    }
    __atomic_fetch_add(&waits->aborted, 1, __ATOMIC_RELAXED);
    w->r->connection->aborted = 1;
    return HTTP_SERVICE_UNAVAILABLE; /* nobody reads it */
}

/* Nobody is awake.  DECLINED: it may wait. */
static int nobody_awake(const wait_t *w)
{
    const gb_pool_t *pool = &w->shared->pool;
    mgb_visit_e visit = mgb_page_classify(w->r, &w->b->conf->hold);
    mgb_waits_t *waits = &w->shared->waits;

    if (visit == MGB_VISIT_IGNORE) {
        return answer(w, visit, &waits->ignored);
    }
    if (visit == MGB_VISIT_PAGE && pool->tally.draining + pool->tally.awake == 0) {
        __atomic_fetch_add(&waits->late, 1, __ATOMIC_RELAXED);
        return answer(w, visit, &waits->pages); /* one that drains is back at once */
    }
    if (visit == MGB_VISIT_REFUSE) {
        __atomic_fetch_add(&waits->asked_again, 1, __ATOMIC_RELAXED);
        return answer(w, visit, &waits->pages); /* the page, which asks once more */
    }
    if (pool->hopeless) {
        __atomic_fetch_add(&waits->late, 1, __ATOMIC_RELAXED);
        return answer(w, MGB_VISIT_REFUSE, &waits->refused);
    }
    return DECLINED;
}

/* ------------------------------------------------------------------ the hook */

static proxy_balancer *balancer_of(const proxy_server_conf *conf, const char *url)
{
    apr_size_t length;

    if (strncasecmp(url, BALANCER_PREFIX, sizeof BALANCER_PREFIX - 1) != 0) {
        return NULL;
    }
    length =
        strcspn(url + sizeof BALANCER_PREFIX - 1, "/") + sizeof BALANCER_PREFIX - 1;
    for (int i = 0; i < conf->balancers->nelts; i++) {
        proxy_balancer *balancer = &APR_ARRAY_IDX(conf->balancers, i, proxy_balancer);

        if (strncasecmp(balancer->s->name, url, length) == 0 &&
            !balancer->s->name[length]) {
            return balancer;
        }
    }
    return NULL;
}

static uint32_t index_of(const wait_t *w)
{
    return (uint32_t)(w->b - (const mgb_balancer_t *)w->ctx->balancers->elts);
}

/* GreenQueue: room is counted in before the choice.  False: the request has to wait. */
static bool takes_room(const wait_t *w)
{
    gb_pick_table_t *table = MGB_TABLE(w->ctx->shared, w->b->index);
    uint32_t avoid[GB_COMMIT_REPLICAS], position, count;

    mgb_lbmethod_look(w->ctx, index_of(w), w->r->server, false);
    count =
        mgb_reads_avoid(w->ctx, mgb_reads_of(w->r, w->b), avoid, GB_COMMIT_REPLICAS);
    if (count == UINT32_MAX) {
        return false;
    }
    position = gb_pick_take(table, avoid, count);
    if (position != GB_NO_INDEX) {
        return take_up(w, position);
    }
    /* Nobody serves as far as the table knows: httpd's own ways of recovery decide. */
    return gb_pick_find(table, NULL, 0) == GB_NO_INDEX;
}

static int wait_or_go(wait_t *w, bool shut)
{
    int status = shut ? nobody_awake(w) : DECLINED;
    int64_t goal_us = __atomic_load_n(&w->shared->late_after_us, __ATOMIC_RELAXED);
    end_e end;

    if (status != DECLINED) {
        return status;
    }
    w->arrived_us = mgb_now_us();
    mgb_meter_came(w->r, w->arrived_us);
    w->deadline_us = w->arrived_us + timeout_of(w);
    w->late_at_us = goal_us > 0 ? w->arrived_us + goal_us : 0;
    if (!w->b->hold_max || w->ctx->process == GB_NO_INDEX || !thread_enter(w->r)) {
        return ended(w, END_FULL);
    }
    /* What the table says may be of a time when nobody asked. */
    mgb_lbmethod_look(w->ctx, index_of(w), w->r->server, shut);
    end = wait_for_room(w);
    thread_leave(w->r);
    return ended(w, end);
}

/* After an attempt that failed: does nobody else serve, and is it worth to wait? */
static bool nobody_left(const wait_t *w)
{
    const gb_pool_t *pool = &w->shared->pool;

    if (w->b->conf->mode != GB_MODE_ON || !w->b->hold_max ||
        pool->ready_at_us == GB_NEVER_US) {
        return false;
    }
    mgb_lbmethod_look(w->ctx, index_of(w), w->r->server, true);
    return gb_pick_find(MGB_TABLE(w->ctx->shared, w->b->index), NULL, 0) == GB_NO_INDEX;
}

static int hold_again(wait_t *w, proxy_worker **worker, proxy_balancer **balancer)
{
    int status;

    if (!nobody_left(w)) {
        return DECLINED;
    }
    mgb_meter_failed(w->r);
    status = wait_or_go(w, true);
    if (status != DECLINED) {
        *worker = NULL; /* of the attempt before: it has no part in this answer */
        *balancer = NULL;
    }
    return status;
}

/* Does any balancer let requests wait?  Where there are few, this is sooner known than
 * which one a request goes to. */
static bool anybody_waits(const mgb_context_t *ctx)
{
    if (ctx->balancers->nelts > BALANCERS_FEW) {
        return true;
    }
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t);
        const gb_room_t *room;

        if (b->index == GB_NO_INDEX) {
            continue;
        }
        room = &ctx->shared->balancers[b->index].room;
        if (__atomic_load_n(&room->shut, __ATOMIC_SEQ_CST) ||
            __atomic_load_n(&room->waiting, __ATOMIC_SEQ_CST) ||
            b->conf->hold.queue != MGB_QUEUE_OFF) {
            return true;
        }
    }
    return false;
}

static int hold_or_go(mgb_context_t *ctx, proxy_worker **worker,
                      proxy_balancer **balancer, request_rec *r,
                      proxy_server_conf *conf, const char *url)
{
    proxy_balancer *pb = *balancer ? *balancer : balancer_of(conf, url);
    wait_t w = {.r = r, .ctx = ctx, .pb = pb, .conf = conf};
    bool shut, waiting, queues;

    w.b = pb ? mgb_members_balancer(ctx, pb) : NULL;
    if (!w.b || w.b->index == GB_NO_INDEX) {
        return DECLINED;
    }
    w.shared = &ctx->shared->balancers[w.b->index];
    w.ours = mgb_lbmethod_is_ours(pb);
    if (*balancer) {
        return hold_again(&w, worker, balancer);
    }
    shut = __atomic_load_n(&w.shared->room.shut, __ATOMIC_SEQ_CST);
    waiting = __atomic_load_n(&w.shared->room.waiting, __ATOMIC_SEQ_CST) != 0;
    queues = w.b->conf->hold.queue != MGB_QUEUE_OFF && w.b->conf->mode == GB_MODE_ON;
    if (!shut && !waiting && !queues) {
        return DECLINED;
    }
    /* Where nothing is managed it is as with stock httpd, but for what was put to sleep
     * before and is being woken now. */
    if (w.b->conf->mode != GB_MODE_ON && !w.shared->pool.tally.coming) {
        return DECLINED;
    }
    if (mgb_session_is_served(r, ctx, pb, url)) {
        return DECLINED; /* its session's server takes it, full or draining */
    }
    if (!shut && !waiting && takes_room(&w)) {
        return DECLINED;
    }
    return wait_or_go(&w, shut);
}

/* Apart, so that a request costs one look where nothing of ours is used. */
static int hold_pre_request(proxy_worker **worker, proxy_balancer **balancer,
                            request_rec *r, proxy_server_conf *conf, char **url)
{
    return mgb_context && (*balancer || anybody_waits(mgb_context))
               ? hold_or_go(mgb_context, worker, balancer, r, conf, *url)
               : DECLINED;
}

void mgb_hold_register_hooks(apr_pool_t *p)
{
    proxy_hook_pre_request(hold_pre_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(hold_child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
