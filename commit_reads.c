/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_reads.c - reads that need what their client has written before.
 *
 * A client that wrote has the commit token EPOCH.SEQ, in the field Green-Commit-Token
 * or in a cookie.  Its reads go only to replicas that have everything up to SEQ, also
 * when a sticky route points to another one: that route is hidden from
 * mod_proxy_balancer, and shown again before anything is sent.  When no replica has it
 * yet, the read waits for a moment; then it is refused, or (GreenCommitStale mark)
 * answered by the one that lags least, and marked so.
 *
 *   before the waiting room    the token is read, a route to a laggard hidden
 *   after it                   waits for a replica; none: 503, or the least laggard
 *   in the finder              cookie and query are shown; laggards are avoided
 *   before it is sent          the URL is shown
 *
 * Replicas that lag far behind, or are set aside, have a closed gate: no read of
 * anybody goes there.  Reads without a token cost one look at their header fields.
 *
 * Children only; cursors are read from the segment.  No lock, no I/O; memory of
 * r->pool.
 */
#include "load_private.h"

#include "http_protocol.h"
#include "http_request.h"
#include "apr_lib.h"
#include "apr_time.h"

#define WAIT_MOST_US  (2 * GB_US_PER_S)
#define POLL_US       (5 * GB_US_PER_MS)
#define RETRY_LEAST_S 1
#define RETRY_MOST_S  60
#define TOKEN_FIELD   "Green-Commit-Token"
#define RECORD_KEY    "greenbalance-read"

typedef enum wants_e {
    WANTS_SEQ = 0, /* what was written, or nothing */
    WANTS_NEWEST   /* the least lagging one will do, for there is none better */
} wants_e;

/* A read with a token; r->pool. */
struct mgb_read_t {
    const mgb_balancer_t *b; /* NULL: the request went elsewhere since */
    uint64_t epoch, seq;
    wants_e wants;
    const char *cookie; /* as it came, while it is hidden; NULL: it is shown */
    char *args;         /* likewise: the query */
};

/* ------------------------------------------------------------------ who has what */

static mgb_log_shared_t *log_of(const mgb_context_t *ctx, const mgb_balancer_t *b)
{
    return &ctx->shared->balancers[b->index].log;
}

static bool is_of_this_log(const mgb_context_t *ctx, const mgb_read_t *read)
{
    return __atomic_load_n(&log_of(ctx, read->b)->epoch, __ATOMIC_ACQUIRE) ==
           read->epoch;
}

/* A token of what nobody has written yet: it would hold a thread for as long as a read
 * may wait. */
static bool is_forged(const mgb_context_t *ctx, const mgb_read_t *read)
{
    return read->seq > __atomic_load_n(&log_of(ctx, read->b)->head, __ATOMIC_ACQUIRE);
}

/* The replica at a position; false: what stands there is none, or takes no reads. */
static bool replica_at(const mgb_context_t *ctx, const mgb_balancer_t *b,
                       uint32_t position, uint64_t *cursor)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    uint32_t slot = __atomic_load_n(&gb_pick_order(table)[position], __ATOMIC_RELAXED);
    const mgb_replica_shared_t *replica;

    if (slot >= ctx->shared->header->members_room) {
        return false;
    }
    replica = &ctx->shared->members[slot].replica;
    *cursor = __atomic_load_n(&replica->cursor, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&replica->is_replica, __ATOMIC_ACQUIRE) != 0;
}

static uint32_t positions_of(const mgb_context_t *ctx, const mgb_balancer_t *b)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    uint32_t used = __atomic_load_n(&table->used, __ATOMIC_ACQUIRE);

    return used < table->size ? used : table->size;
}

/* The largest cursor of those that take requests. */
static uint64_t newest(const mgb_context_t *ctx, const mgb_balancer_t *b)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, b->index);
    uint64_t most = 0, cursor;

    for (uint32_t i = 0; i < positions_of(ctx, b); i++) {
        if (replica_at(ctx, b, i, &cursor) && gb_pick_gate(table, i) == GB_GATE_OPEN &&
            cursor > most) {
            most = cursor;
        }
    }
    return most;
}

static bool has_it(const mgb_context_t *ctx, const mgb_read_t *read, uint32_t position,
                   uint64_t least)
{
    uint64_t cursor;

    return replica_at(ctx, read->b, position, &cursor) && cursor >= least &&
           (read->wants == WANTS_NEWEST || is_of_this_log(ctx, read));
}

static uint64_t least_of(const mgb_context_t *ctx, const mgb_read_t *read)
{
    return read->wants == WANTS_NEWEST ? newest(ctx, read->b) : read->seq;
}

bool mgb_reads_allows(const mgb_context_t *ctx, const mgb_read_t *read,
                      uint32_t position)
{
    return !read || has_it(ctx, read, position, least_of(ctx, read));
}

uint32_t mgb_reads_avoid(const mgb_context_t *ctx, const mgb_read_t *read,
                         uint32_t *avoid, uint32_t room)
{
    uint32_t count = 0;
    uint64_t least;

    if (!read) {
        return 0;
    }
    least = least_of(ctx, read);
    for (uint32_t i = 0; i < positions_of(ctx, read->b); i++) {
        if (has_it(ctx, read, i, least)) {
            continue;
        }
        if (count == room) {
            return UINT32_MAX;
        }
        avoid[count++] = i;
    }
    return count;
}

/* Is there a replica that has it and takes requests? */
static bool any_has_it(const mgb_context_t *ctx, const mgb_read_t *read)
{
    gb_pick_table_t *table = MGB_TABLE(ctx->shared, read->b->index);

    for (uint32_t i = 0; i < positions_of(ctx, read->b); i++) {
        if (gb_pick_gate(table, i) == GB_GATE_OPEN && has_it(ctx, read, i, read->seq)) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ the token */

/* The value of a cookie of exactly that name; NULL: there is none. */
static const char *cookie_find(const char *cookies, const char *name,
                               apr_size_t *length)
{
    const apr_size_t name_length = strlen(name);

    while (cookies && *cookies) {
        cookies += strspn(cookies, "; \t");
        if (strncmp(cookies, name, name_length) == 0 && cookies[name_length] == '=') {
            cookies += name_length + 1;
            *length = strcspn(cookies, "; \t");
            return cookies;
        }
        cookies += strcspn(cookies, ";");
    }
    return NULL;
}

/* OK: there is a token; DECLINED: there is none; else the status of the answer. */
static int token_read(request_rec *r, const mgb_balancer_t *b, uint64_t *epoch,
                      uint64_t *seq)
{
    const bool tls = strcmp(ap_http_scheme(r), "https") == 0;
    const char *text = apr_table_get(r->headers_in, TOKEN_FIELD), *value;
    apr_size_t length = 0;

    if (text) {
        if (gb_commit_read_token(text, strlen(text), epoch, seq)) {
            return OK;
        }
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      GBLOGNO(1680) "%s: the field " TOKEN_FIELD
                                    " is no token, as a write was answered with: 400",
                      b->conf->name);
        return HTTP_BAD_REQUEST;
    }
    text = apr_table_get(r->headers_in, "Cookie");
    if (!text) {
        return DECLINED;
    }
    value = cookie_find(text, mgb_commit_cookie_name(r->pool, b->key, tls), &length);
    /* Whatever else stands there did not come from us. */
    return value && gb_commit_read_token(value, length, epoch, seq) ? OK : DECLINED;
}

/* ------------------------------------------------------------------ hiding a route */

static void show_route(request_rec *r, mgb_read_t *read)
{
    if (read->cookie) {
        apr_table_setn(r->headers_in, "Cookie", read->cookie);
        read->cookie = NULL;
    }
    if (read->args) {
        r->args = read->args;
        read->args = NULL;
    }
}

/* mod_proxy_balancer has made its URL by now; these are made in r->pool, too. */
static void show_url(request_rec *r, char *url)
{
    mgb_session_show(url);
    mgb_session_show(r->filename);
    mgb_session_show(r->path_info);
}

/* May the sticky route be followed?  Only to a server that has what is asked for. */
static bool route_is_good(request_rec *r, mgb_context_t *ctx, const mgb_read_t *read,
                          const proxy_balancer *balancer, const char *url)
{
    /* httpd puts the query behind it later. */
    const char *whole = r->args && !strchr(url, '?')
                            ? apr_pstrcat(r->pool, url, "?", r->args, NULL)
                            : url;
    const proxy_worker *worker = mgb_session_worker(r, balancer, whole);
    uint32_t slot = worker ? mgb_members_known(ctx, worker) : GB_NO_INDEX, position;
    gb_pick_table_t *table;

    return slot != GB_NO_INDEX && PROXY_WORKER_IS_USABLE(worker) &&
           mgb_load_position(ctx->shared, slot, &table, &position) &&
           gb_pick_gate(table, position) != GB_GATE_CLOSED &&
           has_it(ctx, read, position, read->seq);
}

static void hide_route(request_rec *r, mgb_read_t *read, const proxy_balancer *balancer,
                       char **url)
{
    const char *cookie = apr_table_get(r->headers_in, "Cookie");

    *url = (char *)mgb_session_hide_path(r->pool, balancer, *url);
    if (r->args && !read->args) {
        read->args = r->args;
        r->args = (char *)mgb_session_hide_path(r->pool, balancer, r->args);
    }
    if (cookie && !read->cookie) {
        read->cookie = cookie;
        apr_table_setn(r->headers_in, "Cookie",
                       mgb_session_hide_cookie(r->pool, balancer, cookie));
    }
}

/* ------------------------------------------------------------------ the hooks */

static mgb_read_t *record_of(const request_rec *r)
{
    void *read = NULL;

    return apr_pool_userdata_get(&read, RECORD_KEY, r->pool) == APR_SUCCESS ? read
                                                                            : NULL;
}

mgb_read_t *mgb_reads_of(const request_rec *r, const mgb_balancer_t *b)
{
    mgb_read_t *read = b->conf->commit.terms.on ? record_of(r) : NULL;

    return read && read->b == b ? read : NULL;
}

void mgb_reads_found(request_rec *r, const mgb_balancer_t *b)
{
    mgb_read_t *read = mgb_reads_of(r, b);

    if (read) {
        show_route(r, read);
    }
}

static const mgb_balancer_t *balancer_of(request_rec *r, mgb_context_t *ctx,
                                         proxy_balancer **balancer,
                                         proxy_server_conf *conf, const char *url)
{
    const mgb_balancer_t *b;

    if (!ctx) {
        return NULL;
    }
    if (!*balancer &&
        strncasecmp(url, BALANCER_PREFIX, sizeof BALANCER_PREFIX - 1) != 0) {
        return NULL;
    }
    if (!*balancer) {
        *balancer = ap_proxy_get_balancer(r->pool, conf, url, 0);
    }
    b = *balancer ? mgb_members_balancer(ctx, *balancer) : NULL;
    return b && b->index != GB_NO_INDEX && b->conf->commit.terms.on ? b : NULL;
}

/* Sooner known than which balancer a request goes to. */
static bool may_have_token(const request_rec *r)
{
    const char *cookies = apr_table_get(r->headers_in, "Cookie");

    return (cookies && strstr(cookies, MGB_COOKIE_PREFIX)) ||
           apr_table_get(r->headers_in, TOKEN_FIELD);
}

/* Before the waiting room, and again after an attempt that failed. */
static int reads_begin(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                       proxy_server_conf *conf, char **url)
{
    mgb_context_t *ctx = mgb_context;
    proxy_balancer *pb = *balancer;
    mgb_read_t *read = record_of(r);
    const mgb_balancer_t *b;
    uint64_t epoch, seq;
    int status;

    if (!read && !may_have_token(r)) {
        return DECLINED;
    }
    b = balancer_of(r, ctx, &pb, conf, *url);
    if (read && read->b != b) { /* of what was tried before this */
        read->b = NULL;
        read = NULL;
    }
    if (!b) {
        return DECLINED;
    }
    if (!read) {
        status = token_read(r, b, &epoch, &seq);
        if (status != OK) {
            return status;
        }
        read = apr_pcalloc(r->pool, sizeof(*read));
        read->b = b;
        read->epoch = epoch;
        read->seq = seq;
        apr_pool_userdata_setn(read, RECORD_KEY, NULL, r->pool);
    }
    if (*pb->s->sticky && !route_is_good(r, ctx, read, pb, *url)) {
        hide_route(r, read, pb, url);
    }
    return DECLINED;
}

/* For how long it is worth to wait: as long as a request may be held, a moment at most.
 */
static int64_t patience_of(const mgb_read_t *read)
{
    int64_t hold_us = read->b->conf->hold.timeout_us;

    return hold_us > 0 && hold_us < WAIT_MOST_US ? hold_us : WAIT_MOST_US;
}

static bool wait_for_it(request_rec *r, const mgb_context_t *ctx,
                        const mgb_read_t *read)
{
    const int64_t until_us = mgb_now_us() + patience_of(read);
    bool found;

    if (any_has_it(ctx, read)) {
        return true;
    }
    if (!is_of_this_log(ctx, read) || is_forged(ctx, read) || !mgb_hold_enter(r)) {
        return false;
    }
    __atomic_fetch_add(&log_of(ctx, read->b)->reads_waited, 1, __ATOMIC_RELAXED);
    while (!(found = any_has_it(ctx, read)) && mgb_now_us() < until_us &&
           !r->connection->aborted) {
        apr_sleep(POLL_US);
    }
    mgb_hold_leave(r);
    return found;
}

/* When to come again: as soon as the first of them may have caught up. */
static uint32_t retry_s(const mgb_context_t *ctx, const mgb_balancer_t *b)
{
    int64_t least_us = RETRY_MOST_S * GB_US_PER_S;

    for (uint32_t i = 0; i < ctx->shared->header->members_top; i++) {
        const mgb_member_t *member = &ctx->shared->members[i];
        int64_t catch_up_us;

        if (member->balancer != b->index ||
            !__atomic_load_n(&member->replica.is_replica, __ATOMIC_ACQUIRE) ||
            __atomic_load_n(&member->replica.aside, __ATOMIC_RELAXED) ||
            __atomic_load_n(&member->replica.park, __ATOMIC_RELAXED)) {
            continue;
        }
        catch_up_us = __atomic_load_n(&member->replica.catch_up_us, __ATOMIC_RELAXED);
        least_us = catch_up_us < least_us ? catch_up_us : least_us;
    }
    return least_us > GB_US_PER_S ? (uint32_t)((least_us - 1) / GB_US_PER_S + 1)
                                  : RETRY_LEAST_S;
}

void mgb_reads_refused(mgb_context_t *ctx, const mgb_balancer_t *b, request_rec *r)
{
    if (mgb_reads_of(r, b)) {
        __atomic_fetch_add(&log_of(ctx, b)->reads_refused, 1, __ATOMIC_RELAXED);
        apr_table_setn(r->err_headers_out, "Retry-After",
                       apr_psprintf(r->pool, "%u", retry_s(ctx, b)));
        apr_table_setn(r->err_headers_out, "Green-Commit", "state=incomplete");
    }
}

/* After the waiting room: somebody serves, but has anyone of them what is asked for? */
static int reads_decide(proxy_worker **worker, proxy_balancer **balancer,
                        request_rec *r, proxy_server_conf *conf, char **url)
{
    mgb_context_t *ctx = mgb_context;
    mgb_read_t *read = record_of(r);
    const mgb_balancer_t *b = read ? read->b : NULL;

    if (!b || read->wants == WANTS_NEWEST || wait_for_it(r, ctx, read)) {
        return DECLINED;
    }
    if (b->conf->commit.stale_mark) {
        read->wants = WANTS_NEWEST;
        __atomic_fetch_add(&log_of(ctx, b)->reads_stale, 1, __ATOMIC_RELAXED);
        apr_table_setn(r->err_headers_out, "Green-Commit", "state=stale");
        return DECLINED;
    }
    ap_log_rerror(
        APLOG_MARK, APLOG_DEBUG, 0, r,
        GBLOGNO(1681) "%s: no server that is awake has entry %" APR_UINT64_T_FMT
                      ".%" APR_UINT64_T_FMT ", which was asked for: 503",
        b->conf->name, read->epoch, read->seq);
    show_route(r, read);
    show_url(r, *url);
    mgb_reads_refused(ctx, b, r);
    *worker = NULL; /* of an attempt before: it has no part in this answer */
    *balancer = NULL;
    return HTTP_SERVICE_UNAVAILABLE;
}

/* The request is sent now, as it came. */
static int reads_scheme_handler(request_rec *r, proxy_worker *worker,
                                proxy_server_conf *conf, char *url,
                                const char *proxyhost, apr_port_t proxyport)
{
    mgb_read_t *read = record_of(r);

    if (read) {
        show_route(r, read);
        show_url(r, url);
    }
    return DECLINED;
}

/* ------------------------------------------------------------------ forged fields */

/* Is it one of ours?  To a CGI or WSGI application '_' is the same as '-'. */
static bool is_ours(const char *name)
{
    static const char prefix[] = "green-commit";
    size_t i = 0;

    while (prefix[i] && (apr_tolower(name[i]) == prefix[i] ||
                         (prefix[i] == '-' && name[i] == '_'))) {
        i++;
    }
    return !prefix[i];
}

/* An application takes them for the proxy's word: who has written, and which copy it
 * is.  Writes are sent without what came; here they are taken out of reads.  What the
 * configuration sets (RequestHeader) comes later. */
static int reads_post_read_request(request_rec *r)
{
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);

    for (int i = 0; i < fields->nelts; i++) {
        const char *name = APR_ARRAY_IDX(fields, i, apr_table_entry_t).key;

        if (name && is_ours(name) && strcasecmp(name, TOKEN_FIELD) != 0) {
            apr_table_unset(r->headers_in, name);
            i = -1; /* what was behind it has moved */
        }
    }
    return DECLINED;
}

static void reads_child_init(apr_pool_t *pchild, server_rec *s)
{
    mgb_session_prepare();
}

void mgb_reads_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(reads_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(reads_post_read_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    proxy_hook_pre_request(reads_begin, NULL, NULL, APR_HOOK_REALLY_FIRST - 1);
    proxy_hook_pre_request(reads_decide, NULL, NULL, APR_HOOK_REALLY_FIRST + 1);
    proxy_hook_scheme_handler(reads_scheme_handler, NULL, NULL,
                              APR_HOOK_REALLY_FIRST - 1);
}
