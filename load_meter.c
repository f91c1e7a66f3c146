/* SPDX-License-Identifier: Apache-2.0
 *
 * load_meter.c - requests in flight, their outcomes and latencies.
 *
 * Each process counts in a row of its own, so that what a killed child had in flight is
 * known to the request: its row is taken back as a whole.  The sum of the rows is the
 * truth; the count in a pick table is a hint for the choice, kept beside it:
 *
 *   enter: row + 1, table + 1, look at the gate (closed: take both back)
 *   leave: table - 1, row - 1
 *
 * Count and gate are sequentially consistent.  The keeper closes a gate first and reads
 * the rows afterwards: either it sees the request, or the request sees the closed gate.
 * A process that is killed between the two counts leaves drift in the table alone;
 * mgb_meter_repair takes that out.
 *
 * Writes to balancers with GreenCommit never pass a child's hooks: the keeper sends
 * them, and counts them in a row of its own.
 *
 * Children: hooks.  Parent: child_status.  Keeper: writes.  No locks.
 */
#include "load_private.h"

#include "ap_mpm.h"
#include "http_request.h"

#include <unistd.h>

/* What a request is counted at.  r->pool, one a request. */
typedef struct flight_t {
    request_rec *r;
    uint32_t slot; /* GB_NO_INDEX: nowhere */
    bool elected;  /* by our method; the scheme handler has not seen it yet */
    bool no_cache; /* r->no_cache was set before the attempt */
    bool claimed;  /* counted by the waiting room; the method has not used it yet */
    int64_t came_at_us; /* before it waited, and before any failed attempt; 0: unset */
    int64_t entered_at_us; /* the server that it is counted at */
} flight_t;

/* ------------------------------------------------------------------ counting */

static void row_out(mgb_shared_t *sh, uint32_t row, uint32_t slot)
{
    uint32_t balancer = sh->members[slot].balancer;
    gb_pick_table_t *table;
    uint32_t position;

    if (mgb_load_position(sh, slot, &table, &position)) {
        gb_pick_leave(table, position);
    }
    __atomic_fetch_sub(&MGB_ROW(sh, row, slot)->in_flight, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sh->balancers[balancer].room.waiting, __ATOMIC_SEQ_CST)) {
        mgb_waiting_serve(sh, balancer);
    }
}

static void count_out(mgb_context_t *ctx, uint32_t slot)
{
    row_out(ctx->shared, ctx->process, slot);
}

/* May a request go to a member without a place in the table?  One that a configuration
 * has just taken away, or is about to move, has no gate: its machine's state stands in.
 */
static bool placeless_open(const mgb_shared_t *sh, uint32_t slot)
{
    uint32_t machine = __atomic_load_n(&sh->members[slot].machine, __ATOMIC_RELAXED);
    uint32_t state;

    if (machine >= sh->header->machines_room) {
        return true; /* nobody ever switches it off */
    }
    state = __atomic_load_n(&sh->machines[machine].m.state, __ATOMIC_SEQ_CST);
    return state != GB_ST_STOPPING && state != GB_ST_ASLEEP && state != GB_ST_WAKING;
}

/* +1; false when the gate is closed to it, and nothing is counted then. */
static bool count_in(mgb_context_t *ctx, uint32_t slot, bool sticky)
{
    mgb_shared_t *sh = ctx->shared;
    gb_pick_table_t *table;
    uint32_t position;
    uint8_t gate;

    __atomic_fetch_add(&MGB_ROW(sh, ctx->process, slot)->in_flight, 1,
                       __ATOMIC_SEQ_CST);
    if (!mgb_load_position(sh, slot, &table, &position)) {
        if (placeless_open(sh, slot)) {
            return true;
        }
        count_out(ctx, slot);
        return false;
    }
    gb_pick_enter(table, position);
    gate = gb_pick_gate(table, position);
    if (gate == GB_GATE_OPEN || (sticky && gate == GB_GATE_STICKY)) {
        return true;
    }
    count_out(ctx, slot);
    return false;
}

/* Late by the whole of the response, waiting and failed attempts included; slow by the
 * server's part of it alone.  Who was told to come again since no server took it is
 * late, too, however soon that was. */
static void late_count(mgb_context_t *ctx, const flight_t *flight, uint32_t slot,
                       gb_outcome_e outcome, int64_t now_us)
{
    gb_cell_t *cell = &ctx->shared->cells[slot];
    const mgb_balancer_shared_t *balancer =
        &ctx->shared->balancers[ctx->shared->members[slot].balancer];
    int64_t goal_us = __atomic_load_n(&balancer->late_after_us, __ATOMIC_RELAXED);
    bool unserved =
        outcome == GB_OUT_GATEWAY && flight->r->status == HTTP_SERVICE_UNAVAILABLE;

    if (unserved || (goal_us > 0 && now_us - flight->came_at_us > goal_us)) {
        if (!unserved && now_us - flight->entered_at_us > goal_us) {
            __atomic_fetch_add(&cell->slow, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&cell->late, 1, __ATOMIC_RELAXED);
    }
}

static void finish(flight_t *flight, gb_outcome_e outcome)
{
    mgb_context_t *ctx = mgb_context;
    uint32_t slot = flight->slot;
    int64_t now_us;

    if (slot == GB_NO_INDEX) {
        return;
    }
    flight->slot = GB_NO_INDEX;
    if (flight->claimed) { /* nothing was sent to it */
        flight->claimed = false;
        count_out(ctx, slot);
        return;
    }
    now_us = mgb_now_us();
    gb_meter_count(&ctx->shared->cells[slot], outcome, now_us - flight->entered_at_us);
    if (outcome != GB_OUT_FAILOVER && outcome != GB_OUT_TUNNEL) {
        late_count(ctx, flight, slot, outcome, now_us);
    }
    count_out(ctx, slot);
}

/* By the class of a status that the backend sent, or that was made of what it did. */
static gb_outcome_e outcome_of_class(int status)
{
    return status < 400 ? GB_OUT_OK : status < 500 ? GB_OUT_CLIENT : GB_OUT_SERVER;
}

/* The backup: the request ended without post_request. */
static apr_status_t flight_cleanup(void *data)
{
    flight_t *flight = data;
    int status = flight->r->status;

    if (flight->slot != GB_NO_INDEX) {
        finish(flight, flight->r->connection->aborted ? GB_OUT_ABORTED
                       : status >= 500                ? GB_OUT_GATEWAY
                                                      : outcome_of_class(status));
    }
    return APR_SUCCESS;
}

static flight_t *flight_of(request_rec *r)
{
    return ap_get_module_config(r->request_config, &greenbalance_module);
}

static flight_t *flight_make(request_rec *r)
{
    flight_t *flight = flight_of(r);

    if (!flight) {
        flight = apr_pcalloc(r->pool, sizeof(*flight));
        flight->r = r;
        flight->slot = GB_NO_INDEX;
        ap_set_module_config(r->request_config, &greenbalance_module, flight);
        apr_pool_cleanup_register(r->pool, flight, flight_cleanup,
                                  apr_pool_cleanup_null);
    }
    return flight;
}

void mgb_meter_came(request_rec *r, int64_t at_us)
{
    flight_t *flight = flight_make(r);

    if (!flight->came_at_us) {
        flight->came_at_us = at_us;
    }
}

/* The request goes to the server that it is counted at. */
static void arrive(mgb_context_t *ctx, flight_t *flight)
{
    flight->no_cache = flight->r->no_cache != 0;
    flight->entered_at_us = mgb_now_us();
    if (!flight->came_at_us) {
        flight->came_at_us = flight->entered_at_us;
    }
    __atomic_fetch_add(&ctx->shared->cells[flight->slot].arrivals, 1, __ATOMIC_RELAXED);
}

bool mgb_meter_claim(request_rec *r, mgb_context_t *ctx, uint32_t slot,
                     uint32_t position)
{
    mgb_shared_t *sh = ctx->shared;
    gb_pick_table_t *table = MGB_TABLE(sh, sh->members[slot].balancer);
    flight_t *flight;

    if (ctx->process == GB_NO_INDEX) {
        gb_pick_leave(table, position);
        return false;
    }
    flight = flight_make(r);
    finish(flight, GB_OUT_FAILOVER);
    __atomic_fetch_add(&MGB_ROW(sh, ctx->process, slot)->in_flight, 1,
                       __ATOMIC_SEQ_CST);
    flight->slot = slot;
    flight->claimed = true;
    if (gb_pick_gate(table, position) != GB_GATE_OPEN) {
        finish(flight, GB_OUT_FAILOVER);
        return false;
    }
    return true;
}

uint32_t mgb_meter_claimed(request_rec *r)
{
    const flight_t *flight = flight_of(r);

    return flight && flight->claimed ? flight->slot : GB_NO_INDEX;
}

void mgb_meter_use_claim(request_rec *r, mgb_context_t *ctx, bool use)
{
    flight_t *flight = flight_of(r);

    if (!flight || !flight->claimed) {
        return;
    }
    if (!use) {
        finish(flight, GB_OUT_FAILOVER);
        return;
    }
    flight->claimed = false;
    flight->elected = true;
    arrive(ctx, flight);
}

void mgb_meter_failed(request_rec *r)
{
    flight_t *flight = flight_of(r);

    if (flight) {
        finish(flight, GB_OUT_FAILOVER);
    }
}

bool mgb_meter_enter(request_rec *r, mgb_context_t *ctx, uint32_t slot, bool sticky)
{
    flight_t *flight;

    if (ctx->process == GB_NO_INDEX) {
        return true;
    }
    flight = flight_make(r);
    /* A second choice: the member of the first one has failed. */
    finish(flight, GB_OUT_FAILOVER);
    if (!count_in(ctx, slot, sticky)) {
        return false;
    }
    flight->slot = slot;
    flight->elected = !sticky;
    arrive(ctx, flight);
    return true;
}

/* ---------------------------------------------------------------- hooks of children */

/* Each attempt on a backend comes through here.  What our method elected is counted
 * already; sticky routes and other methods' choices are counted now.  A closed gate
 * answers as an unreachable backend would: mod_proxy marks the worker with E and
 * chooses again; the keeper clears E when the machine wakes. */
static int meter_scheme_handler(request_rec *r, proxy_worker *worker,
                                proxy_server_conf *conf, char *url,
                                const char *proxyhost, apr_port_t proxyport)
{
    mgb_context_t *ctx = mgb_context;
    flight_t *flight;
    uint32_t slot;

    if (!ctx || ctx->process == GB_NO_INDEX) {
        return DECLINED;
    }
    flight = flight_of(r);
    if (flight && flight->slot != GB_NO_INDEX) {
        if (flight->elected && mgb_members_worker(ctx, flight->slot) == worker) {
            flight->elected = false;
            return DECLINED;
        }
        finish(flight, GB_OUT_FAILOVER);
    }
    slot = mgb_members_known(ctx, worker);
    if (slot == GB_NO_INDEX) {
        return DECLINED;
    }
    mgb_members_mirror(ctx);
    if (!mgb_meter_enter(r, ctx, slot, true)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_DEBUG, 0, r,
            GBLOGNO(0801) "%s: takes no request now, another member is chosen",
            worker->s->name_ex);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return DECLINED;
}

static bool is_tunnel(const proxy_worker *worker, const request_rec *r)
{
    return r->status_line ? strncmp(r->status_line, "101", 3) == 0
                          : strncmp(worker->s->scheme, "ws", 2) == 0;
}

/* The number at the beginning of "200 OK"; 0: there is none. */
static int answered_with(const char *status_line)
{
    int status = 0;

    for (int i = 0; status_line && i < 3; i++) {
        if (!apr_isdigit(status_line[i])) {
            return 0;
        }
        status = status * 10 + (status_line[i] - '0');
    }
    return status;
}

/* mod_proxy forbids to cache an answer that the backend broke off, or did not go on
 * with in time; no other trace of it is left by now.  It words its own 502 so. */
static bool is_proxys_error(const flight_t *flight, const request_rec *r)
{
    return (r->no_cache && !flight->no_cache) ||
           (r->status >= 500 && apr_table_get(r->notes, "error-notes"));
}

/* While post_request runs, r->status is an error that the scheme handler returned, else
 * the backend's own, which stands in r->status_line, too. */
static gb_outcome_e outcome_of(const proxy_worker *worker, const request_rec *r,
                               const flight_t *flight)
{
    int answered = answered_with(r->status_line);

    if (r->status < 400 && is_tunnel(worker, r)) {
        return GB_OUT_TUNNEL;
    }
    if (r->connection->aborted) {
        return GB_OUT_ABORTED;
    }
    if (is_proxys_error(flight, r) || r->status == DONE) {
        return GB_OUT_GATEWAY;
    }
    if (r->status == OK) {
        return outcome_of_class(answered);
    }
    if (r->status == answered || r->status < 500) {
        return outcome_of_class(r->status); /* ProxyErrorOverride, or a bad request */
    }
    return GB_OUT_GATEWAY;
}

/* Is there a cookie of this name among those that the answer sets? */
static bool sets_cookie(const apr_table_t *headers, const char *name)
{
    const apr_array_header_t *all = apr_table_elts(headers);
    size_t length = strlen(name);

    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *header = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (header->key && ap_cstr_casecmp(header->key, "Set-Cookie") == 0 &&
            strncmp(header->val, name, length) == 0 && header->val[length] == '=') {
            return true;
        }
    }
    return false;
}

/* A sticky session of the member is in use: the request names the member's route, or
 * the answer sets the cookie that will. */
static bool is_session(const proxy_balancer *balancer, const proxy_worker *worker,
                       const request_rec *r)
{
    const char *route = apr_table_get(r->subprocess_env, "BALANCER_SESSION_ROUTE");

    return (route && strcmp(route, worker->s->route) == 0) ||
           sets_cookie(r->headers_out, balancer->s->sticky) ||
           sets_cookie(r->err_headers_out, balancer->s->sticky);
}

static int meter_post_request(proxy_worker *worker, proxy_balancer *balancer,
                              request_rec *r, proxy_server_conf *conf)
{
    flight_t *flight = mgb_context ? flight_of(r) : NULL;

    if (flight && flight->slot != GB_NO_INDEX && balancer && balancer->s->sticky[0] &&
        is_session(balancer, worker, r)) {
        __atomic_store_n(&mgb_context->shared->cells[flight->slot].session_at_us,
                         mgb_now_us(), __ATOMIC_RELAXED);
    }
    if (flight && r->status != SUSPENDED) {
        finish(flight, outcome_of(worker, r, flight));
    }
    return DECLINED;
}

/* A row that no other process uses; the last one is for those that find none. */
static uint32_t row_free(mgb_shared_t *sh, uint32_t pid)
{
    for (uint32_t i = 0; i + 1 < sh->header->processes_room; i++) {
        uint32_t nobody = 0;

        if (__atomic_compare_exchange_n(&sh->processes[i].pid, &nobody, pid, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

/* A child that finds no free row shares the last one: what it leaves there when it is
 * killed stays, which keeps servers on, not off. */
static uint32_t row_claim(mgb_shared_t *sh, uint32_t pid, server_rec *s)
{
    uint32_t last = sh->header->processes_room - 1, row = row_free(sh, pid);

    if (row != GB_NO_INDEX) {
        return row;
    }
    __atomic_store_n(&sh->processes[last].pid, MGB_PID_SEVERAL, __ATOMIC_SEQ_CST);
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, s,
        GBLOGNO(0802) "child %u: all %u rows for counting are taken by children "
                      "that are still ending; should it be killed, servers with "
                      "requests of its stay on until httpd is stopped",
        pid, last);
    return last;
}

static void meter_child_init(apr_pool_t *p, server_rec *s)
{
    mgb_context_t *ctx = mgb_context;

    if (!ctx || !ctx->shared || !ctx->shared->header->processes_room) {
        return;
    }
    ctx->process = row_claim(ctx->shared, (uint32_t)getpid(), s);
    __atomic_store_n(&ctx->shared->processes[ctx->process].generation, ctx->generation,
                     __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------- the keeper's writes
 */

uint32_t mgb_meter_row(const mgb_context_t *ctx)
{
    uint32_t row = row_free(ctx->shared, (uint32_t)getpid());

    if (row != GB_NO_INDEX) {
        __atomic_store_n(&ctx->shared->processes[row].generation, ctx->generation,
                         __ATOMIC_RELEASE);
    }
    return row;
}

/* No gate is asked: who may get a write is the log's to say (parked), and its machine
 * is not switched off before that. */
void mgb_meter_send(mgb_shared_t *sh, uint32_t row, uint32_t slot)
{
    gb_pick_table_t *table;
    uint32_t position;

    if (row == GB_NO_INDEX) {
        return;
    }
    __atomic_fetch_add(&MGB_ROW(sh, row, slot)->in_flight, 1, __ATOMIC_SEQ_CST);
    if (mgb_load_position(sh, slot, &table, &position)) {
        gb_pick_enter(table, position);
    }
}

void mgb_meter_sent(mgb_shared_t *sh, uint32_t row, uint32_t slot)
{
    if (row != GB_NO_INDEX) {
        row_out(sh, row, slot);
    }
}

/* Late by what the server needs alone: no further server makes a write quicker. */
void mgb_meter_answered(mgb_shared_t *sh, uint32_t slot, gb_outcome_e outcome,
                        int64_t took_us)
{
    gb_cell_t *cell = &sh->cells[slot];
    int64_t goal_us = __atomic_load_n(
        &sh->balancers[sh->members[slot].balancer].late_after_us, __ATOMIC_RELAXED);

    __atomic_fetch_add(&cell->arrivals, 1, __ATOMIC_RELAXED);
    if (outcome <= GB_OUT_SERVER && goal_us > 0 && took_us > goal_us) {
        __atomic_fetch_add(&cell->slow, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&cell->late, 1, __ATOMIC_RELAXED);
    }
    gb_meter_count(cell, outcome, took_us);
}

void mgb_meter_followed(mgb_shared_t *sh, uint32_t slot, int64_t took_us)
{
    if (took_us > 0) {
        __atomic_fetch_add(&sh->cells[slot].follow_us, (uint64_t)took_us,
                           __ATOMIC_RELAXED);
    }
}

/* ---------------------------------------------------------------- the dead's counts */

/* Each count is exchanged for 0, so two that do this at once give nothing back twice.
 */
static uint32_t row_empty(mgb_shared_t *sh, uint32_t process)
{
    uint32_t given_back = 0;

    for (uint32_t slot = 0; slot < sh->header->members_top; slot++) {
        gb_row_cell_t *cell = MGB_ROW(sh, process, slot);
        gb_pick_table_t *table;
        uint32_t position, count;

        if (!__atomic_load_n(&sh->members[slot].used, __ATOMIC_ACQUIRE)) {
            continue; /* reading a row's page would make it resident */
        }
        count = __atomic_exchange_n(&cell->in_flight, 0, __ATOMIC_SEQ_CST);
        if (count && mgb_load_position(sh, slot, &table, &position)) {
            gb_pick_correct(table, position, -(int64_t)count);
        }
        given_back += count;
    }
    return given_back;
}

void mgb_meter_reclaim(mgb_shared_t *sh, uint32_t process)
{
    mgb_process_t *row = &sh->processes[process];
    uint32_t pid = __atomic_load_n(&row->pid, __ATOMIC_SEQ_CST);
    uint32_t given_back;

    if (pid == 0 || pid == MGB_PID_SEVERAL) {
        return;
    }
    if (pid != MGB_PID_GIVING_BACK &&
        !__atomic_compare_exchange_n(&row->pid, &pid, MGB_PID_GIVING_BACK, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        return; /* another one was quicker */
    }
    given_back = row_empty(sh, process);
    mgb_waiting_reclaim(sh, process);
    __atomic_store_n(&row->pid, 0, __ATOMIC_SEQ_CST);
    if (given_back && mgb_context) {
        ap_log_error(
            APLOG_MARK, APLOG_INFO, 0, mgb_context->server,
            GBLOGNO(0803) "child %u ended with %u requests in flight: they are "
                          "no longer counted",
            pid, given_back);
    }
}

/* LOST_SLOT is told of children that go on for a while; only EXITED is the end. */
static void meter_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                               mpm_child_status state)
{
    mgb_shared_t *sh = mgb_context ? mgb_context->shared : NULL;

    if (!sh || (state != MPM_CHILD_EXITED &&
                (state != MPM_CHILD_LOST_SLOT || !mgb_load_is_dead((uint32_t)pid)))) {
        return;
    }
    for (uint32_t i = 0; i < sh->header->processes_room; i++) {
        if (__atomic_load_n(&sh->processes[i].pid, __ATOMIC_SEQ_CST) == (uint32_t)pid) {
            mgb_meter_reclaim(sh, i);
        }
    }
}

void mgb_meter_register_hooks(apr_pool_t *p)
{
    proxy_hook_scheme_handler(meter_scheme_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_post_request(meter_post_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(meter_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(meter_child_status, NULL, NULL, APR_HOOK_MIDDLE);
}
