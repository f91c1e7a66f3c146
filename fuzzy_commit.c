/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzzy_commit.c - writes to balancers with GreenCommit: taken before mod_proxy sees
 * them, and given to the keeper, which stores them and sends them to every server.
 *
 * Everything before the handler has been done by then: authentication, access control,
 * rewriting, and the target is as mod_proxy has made it.  The body comes through the
 * input filters, so mod_reqtimeout and mod_security judge it; LimitRequestBody, which
 * they pass over for a proxy, is looked at here.
 *
 * What is taken is never handed on to mod_proxy: a write that goes by another way than
 * the log breaks its order.  What cannot be taken is refused.
 */
#include "commit_child.h"

#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "util_script.h"

#include <sys/random.h>

#define READ_BYTES         65536
#define BODY_FIRST_BYTES   4096u
#define RETRY_NO_KEEPER_S  5u
#define LOG_EVERY_US       (60 * GB_US_PER_S)
#define FULL_PAUSE_US      (200 * GB_US_PER_MS)
#define RANDOM_BYTES       24 /* 128 bits of an id, 64 of the nonce */
#define RANDOM_BYTES_OF_ID 16
#define HOOKS_KEY          "greenbalance-commit-hooks"

/* A write on its way. */
typedef struct write_t {
    request_rec *r;
    const mgb_balancer_t *b;
    const mgb_commit_conf_t *conf;
    const char *target; /* path and query, as for a member */
    char id[GB_COMMIT_ID_BYTES];
    uint64_t nonce;
    gb_commit_wish_t wish;
    gb_commit_terms_t terms; /* need is not known here */
    char *body;
    apr_size_t body_bytes, body_room;
    apr_off_t body_most;
    const char *headers;
} write_t;

static bool is_web_socket(request_rec *r)
{
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");

    return upgrade && ap_find_token(r->pool, upgrade, "websocket");
}

/* ------------------------------------------------------------------ the key */

/* The request's own number, and the id of a write whose client gives none. */
static bool numbers_make(write_t *w)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[RANDOM_BYTES];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return false;
    }
    memcpy(&w->nonce, random + RANDOM_BYTES_OF_ID, sizeof(w->nonce));
    for (size_t i = 0; i < RANDOM_BYTES_OF_ID; i++) {
        w->id[2 * i] = digits[random[i] >> 4];
        w->id[2 * i + 1] = digits[random[i] & 15];
    }
    w->id[2 * RANDOM_BYTES_OF_ID] = '\0';
    return true;
}

static bool key_take(write_t *w)
{
    const char *key = apr_table_get(w->r->headers_in, "Idempotency-Key");

    return !key || gb_commit_read_key(key, strlen(key), w->id);
}

/* ------------------------------------------------------------------ the body */

/* False: more than GreenCommitBody allows. */
static bool body_add(write_t *w, const char *data, apr_size_t bytes)
{
    apr_size_t most = (apr_size_t)w->body_most;

    if (bytes > most - w->body_bytes) {
        return false;
    }
    if (bytes > w->body_room - w->body_bytes) {
        apr_size_t room = w->body_room ? w->body_room : BODY_FIRST_BYTES;
        char *grown;

        while (room < w->body_bytes + bytes) {
            room *= 2;
        }
        room = room < most ? room : most;
        grown = apr_palloc(w->r->pool, room);
        if (w->body_bytes) {
            memcpy(grown, w->body, w->body_bytes);
        }
        w->body = grown;
        w->body_room = room;
    }
    if (bytes) {
        memcpy(w->body + w->body_bytes, data, bytes);
        w->body_bytes += bytes;
    }
    return true;
}

/* httpd's own filter does not look at LimitRequestBody for a proxy. */
static apr_off_t body_limit(const write_t *w)
{
    apr_off_t limit = ap_get_limit_req_body(w->r);

    return limit > 0 && limit < w->conf->body_most ? limit : w->conf->body_most;
}

static int body_too_big(const write_t *w)
{
    return mgb_commit_problem(w->r, HTTP_REQUEST_ENTITY_TOO_LARGE, 0,
                              apr_psprintf(w->r->pool,
                                           "The body may have %" APR_OFF_T_FMT
                                           " bytes (%s). Nothing was stored.",
                                           body_limit(w),
                                           body_limit(w) < w->conf->body_most
                                               ? "LimitRequestBody"
                                               : "GreenCommitBody"));
}

/* OK, at the end of the body `*ends`; else what the handler is to return. */
static int brigade_take(write_t *w, apr_bucket_brigade *brigade, bool *ends)
{
    for (apr_bucket *bucket = APR_BRIGADE_FIRST(brigade);
         bucket != APR_BRIGADE_SENTINEL(brigade); bucket = APR_BUCKET_NEXT(bucket)) {
        const char *data;
        apr_size_t bytes;

        if (APR_BUCKET_IS_EOS(bucket)) {
            *ends = true;
            return OK;
        }
        if (APR_BUCKET_IS_METADATA(bucket)) {
            continue;
        }
        if (apr_bucket_read(bucket, &data, &bytes, APR_BLOCK_READ) != APR_SUCCESS) {
            return HTTP_BAD_REQUEST;
        }
        if (!body_add(w, data, bytes)) {
            return body_too_big(w);
        }
    }
    return OK;
}

static int body_take(write_t *w)
{
    request_rec *r = w->r;
    apr_bucket_brigade *brigade =
        apr_brigade_create(r->pool, r->connection->bucket_alloc);
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t promised;
    bool ends = false;
    int rc = OK;

    w->body_most = body_limit(w);
    /* Said before it is sent: with Expect: 100-continue it never is. */
    if (length && ap_parse_strict_length(&promised, length)) {
        if (promised > w->body_most) {
            return body_too_big(w);
        }
        w->body_room = (apr_size_t)promised;
        w->body = apr_palloc(r->pool, w->body_room + 1);
    }
    while (!ends && rc == OK) {
        apr_status_t rv = ap_get_brigade(r->input_filters, brigade, AP_MODE_READBYTES,
                                         APR_BLOCK_READ, READ_BYTES);

        if (rv != APR_SUCCESS) {
            return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        }
        rc = brigade_take(w, brigade, &ends);
        (void)apr_brigade_cleanup(brigade);
    }
    return rc;
}

/* ------------------------------------------------------------------ the headers */

/* Whatever the configuration says: who asks is known by now, connections end here, and
 * some of these we write ourselves. */
static bool is_never_sent(const char *name)
{
    static const char *const never[] = {
        "authorization", "connection",        "content-length", "cookie", "expect",
        "host",          "idempotency-key",   "keep-alive",     "prefer", "te",
        "trailer",       "transfer-encoding", "upgrade",        NULL};

    for (int i = 0; never[i]; i++) {
        if (strcasecmp(name, never[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "proxy-", 6) == 0 ||
           strncasecmp(name, "green-commit", 12) == 0 ||
           strncasecmp(name, "x-forwarded-", 12) == 0;
}

static void header_add(apr_array_header_t *lines, const char *name, const char *value)
{
    const char *line = apr_pstrcat(lines->pool, name, ": ", value, "\r\n", NULL);
    const char *at = line;
    size_t bytes = strlen(line);
    gb_span_text_t is_name, is_value;

    /* With "HttpProtocolOptions Unsafe" anything may stand in it. */
    if (gb_wire_header(&at, &bytes, &is_name, &is_value) && bytes == 0) {
        APR_ARRAY_PUSH(lines, const char *) = line;
    }
}

/* As mod_proxy_http adds them, and the scheme, unless somebody before us has said it.
 */
static void forwarded_add(const write_t *w, apr_array_header_t *lines)
{
    request_rec *r = w->r;
    const char *before = apr_table_get(r->headers_in, "X-Forwarded-For");
    const char *host = apr_table_get(r->headers_in, "Host");
    const char *hosts = apr_table_get(r->headers_in, "X-Forwarded-Host");
    const char *servers = apr_table_get(r->headers_in, "X-Forwarded-Server");
    const char *scheme = apr_table_get(r->headers_in, "X-Forwarded-Proto");

    header_add(lines, "X-Forwarded-For",
               before ? apr_pstrcat(r->pool, before, ", ", r->useragent_ip, NULL)
                      : r->useragent_ip);
    if (host) {
        header_add(lines, "X-Forwarded-Host",
                   hosts ? apr_pstrcat(r->pool, hosts, ", ", host, NULL) : host);
    }
    header_add(
        lines, "X-Forwarded-Server",
        servers ? apr_pstrcat(r->pool, servers, ", ", r->server->server_hostname, NULL)
                : r->server->server_hostname);
    header_add(lines, "X-Forwarded-Proto", scheme ? scheme : ap_http_scheme(r));
}

static void headers_take(write_t *w)
{
    request_rec *r = w->r;
    proxy_dir_conf *dir = ap_get_module_config(r->per_dir_config, &proxy_module);
    const apr_array_header_t *names = w->conf->headers;
    apr_array_header_t *lines = apr_array_make(r->pool, 16, sizeof(const char *));

    for (int i = 0; names && i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        const char *value = apr_table_get(r->headers_in, name);

        if (value && !is_never_sent(name)) {
            header_add(lines, name, value);
        }
    }
    if (dir->preserve_host && apr_table_get(r->headers_in, "Host")) {
        header_add(lines, "Host", apr_table_get(r->headers_in, "Host"));
    }
    if (dir->add_forwarded_headers) {
        forwarded_add(w, lines);
    }
    w->headers = apr_array_pstrcat(r->pool, lines, 0);
}

/* ------------------------------------------------------------------ asking */

static mgb_talk_e submit(write_t *w, gb_wire_t *reply, bool *again)
{
    request_rec *r = w->r;
    int64_t span_us = w->terms.wait_us > w->conf->terms.wait_most_us
                          ? w->terms.wait_us
                          : w->conf->terms.wait_most_us; /* as an application may say */
    gb_wire_t frame = {.type = GB_WIRE_SUBMIT};
    char nonce[8], wait[8];

    frame.field[GB_TAG_LOG] = gb_wire_span(w->b->key);
    frame.field[GB_TAG_ID] = gb_wire_span(w->id);
    gb_wire_set_number(&frame, GB_TAG_NONCE, nonce, sizeof nonce, w->nonce);
    frame.field[GB_TAG_PRINCIPAL] = gb_wire_span(mgb_commit_principal(r));
    frame.field[GB_TAG_METHOD] = gb_wire_span(r->method);
    frame.field[GB_TAG_TARGET] = gb_wire_span(w->target);
    frame.field[GB_TAG_HEADERS] = gb_wire_span(w->headers);
    frame.field[GB_TAG_BODY] =
        (gb_span_text_t){w->body_bytes ? w->body : "", w->body_bytes};
    if (w->wish.wait_us >= 0) {
        gb_wire_set_number(&frame, GB_TAG_WAIT, wait, sizeof wait,
                           (uint64_t)w->wish.wait_us);
    }
    if (w->wish.async) {
        frame.field[GB_TAG_ASYNC] = (gb_span_text_t){"\1", 1};
    }
    return mgb_commit_talk(r, &frame, span_us + MGB_TALK_AWAY_US, reply, again);
}

/* ------------------------------------------------------------------ answers */

/* One line a minute and child, however many writes fail. */
static void log_no_keeper(const write_t *w, const char *what)
{
    static int64_t logged_at_us;
    static uint32_t since;
    int64_t now_us = mgb_now_us(),
            before_us = __atomic_load_n(&logged_at_us, __ATOMIC_RELAXED);
    uint32_t count = __atomic_add_fetch(&since, 1, __ATOMIC_RELAXED);

    if ((before_us && now_us - before_us < LOG_EVERY_US) ||
        !__atomic_compare_exchange_n(&logged_at_us, &before_us, now_us, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return;
    }
    __atomic_store_n(&since, 0, __ATOMIC_RELAXED);
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, w->r,
                  GBLOGNO(1651) "%s: the keeper %s; writes are refused until it is "
                                "there again; of this child since the last such "
                                "message: %u",
                  w->b->conf->name, what, count);
}

static int answer_unknown(const write_t *w)
{
    request_rec *r = w->r;
    gb_commit_mark_t mark = {.state = GB_COMMIT_UNKNOWN, .nines = -1.0};
    char *field = apr_palloc(r->pool, GB_COMMIT_FIELD_BYTES);

    apr_cpystrn(mark.id, w->id, sizeof(mark.id));
    if (gb_commit_print(field, GB_COMMIT_FIELD_BYTES, &mark)) {
        apr_table_setn(r->err_headers_out, "Green-Commit", field);
    }
    log_no_keeper(w, "did not answer to a write that it may have stored");
    apr_table_setn(r->err_headers_out, "Location", mgb_commit_place(r, w->id));
    return mgb_commit_problem(
        r, HTTP_GATEWAY_TIME_OUT, RETRY_NO_KEEPER_S,
        apr_psprintf(r->pool,
                     "It is not known whether the write was stored. Ask at %s, or send "
                     "it again with Idempotency-Key: \"%s\": it is not done twice.",
                     mgb_commit_place(r, w->id), mgb_commit_escape(r->pool, w->id)));
}

static uint32_t retry_of(const gb_wire_t *reply, uint32_t otherwise)
{
    uint64_t seconds;

    return gb_wire_number(reply, GB_TAG_RETRY, 4, &seconds) && seconds > 0
               ? (uint32_t)seconds
               : otherwise;
}

/* RFC 7240: what was done as the client prefers. */
static void say_preferences(const write_t *w, bool late)
{
    apr_table_t *out = w->r->err_headers_out;

    if (late && w->wish.async) {
        apr_table_mergen(out, "Preference-Applied", "respond-async");
    }
    if (w->wish.wait_us >= 0 && w->terms.wait_us == w->wish.wait_us) {
        apr_table_mergen(
            out, "Preference-Applied",
            apr_psprintf(w->r->pool, "wait=%d", (int)(w->wish.wait_us / GB_US_PER_S)));
    }
}

static int answer_late(const write_t *w, const gb_wire_t *reply)
{
    say_preferences(w, true);
    return mgb_commit_pending(w->r, w->terms.late_status, w->id, reply);
}

static int answer_busy(const write_t *w, const gb_wire_t *reply)
{
    apr_table_setn(w->r->err_headers_out, "Location", mgb_commit_place(w->r, w->id));
    return mgb_commit_problem(
        w->r, HTTP_CONFLICT, retry_of(reply, 1),
        apr_psprintf(
            w->r->pool,
            "A write with this Idempotency-Key is under way. Ask for it at %s, "
            "or repeat it later.",
            mgb_commit_place(w->r, w->id)));
}

static int answer_reply(const write_t *w, const gb_wire_t *reply, bool again)
{
    uint64_t says = 0;

    (void)gb_wire_number(reply, GB_TAG_SAYS, 1, &says);
    mgb_commit_headers(w->r, w->b, reply);
    switch (says) {
    case GB_SAYS_DONE:
        say_preferences(w, false);
        return mgb_commit_response(w->r, reply, false);
    case GB_SAYS_LATE:
        return answer_late(w, reply);
    case GB_SAYS_BUSY:
        return answer_busy(w, reply);
    case GB_SAYS_OTHER:
        return mgb_commit_problem(
            w->r, HTTP_UNPROCESSABLE_ENTITY, 0,
            "This Idempotency-Key was used for another write. Nothing was stored: send "
            "it with a key of its own.");
    case GB_SAYS_EXPIRED:
        return mgb_commit_problem(
            w->r, HTTP_GONE, 0,
            "A write with this Idempotency-Key was done; its answer is not kept any "
            "more. Nothing was stored: a new write needs a new key.");
    case GB_SAYS_TOO_BIG:
        return body_too_big(w);
    case GB_SAYS_FULL:
        if (!again) {
            return mgb_commit_problem(
                w->r, HTTP_SERVICE_UNAVAILABLE, retry_of(reply, RETRY_NO_KEEPER_S),
                "The write cannot be stored now, and was not: send it again later.");
        }
        break; /* the first time it may have been stored */
    default:
        break;
    }
    return answer_unknown(w);
}

/* A keeper that has just come may have to open its journal: who was sent before waits
 * for that, since it may have been stored. */
static mgb_talk_e submit_until(write_t *w, gb_wire_t *reply, bool *again)
{
    int64_t until_us = mgb_now_us() + MGB_TALK_AWAY_US;
    bool before = false;
    mgb_talk_e how;
    uint64_t says;

    for (;;) {
        how = submit(w, reply, again);
        before = before || *again;
        *again = before;
        if (how != MGB_TALK_ANSWERED || !before || mgb_now_us() >= until_us ||
            !gb_wire_number(reply, GB_TAG_SAYS, 1, &says) || says != GB_SAYS_FULL) {
            return how;
        }
        apr_sleep(FULL_PAUSE_US);
    }
}

static int write_submit(write_t *w)
{
    request_rec *r = w->r;
    gb_wire_t reply;
    bool again = false;

    switch (submit_until(w, &reply, &again)) {
    case MGB_TALK_ANSWERED:
        return answer_reply(w, &reply, again);
    case MGB_TALK_UNKNOWN:
        return answer_unknown(w);
    case MGB_TALK_GONE:
        r->connection->aborted = 1;
        return HTTP_SERVICE_UNAVAILABLE; /* nobody reads it */
    case MGB_TALK_NOBODY:
        break;
    }
    log_no_keeper(w, "takes no write");
    return mgb_commit_problem(
        r, HTTP_SERVICE_UNAVAILABLE, RETRY_NO_KEEPER_S,
        "The write cannot be stored now, and was not: send it again later.");
}

/* ------------------------------------------------------------------ the handler */

static int write_take(write_t *w)
{
    request_rec *r = w->r;
    const char *prefer = apr_table_get(r->headers_in, "Prefer");
    int rc = mgb_commit_target(r, &w->target);

    if (rc != OK) {
        return rc;
    }
    if (!mgb_commit_principal(r)) {
        return mgb_commit_problem(r, HTTP_BAD_REQUEST, 0,
                                  "The name of the user is too long, or has characters "
                                  "that names do not have. Nothing was stored.");
    }
    if (!gb_wire_is_text(gb_wire_span(r->method), '!', GB_WIRE_METHOD_MOST)) {
        return HTTP_NOT_IMPLEMENTED;
    }
    if (!numbers_make(w)) {
        return mgb_commit_problem(r, HTTP_SERVICE_UNAVAILABLE, RETRY_NO_KEEPER_S,
                                  "The write cannot be given a number now. Nothing was "
                                  "stored: send it again later.");
    }
    if (!key_take(w)) {
        return mgb_commit_problem(
            r, HTTP_BAD_REQUEST, 0,
            "Idempotency-Key has to be one string in quotes, or one token, of 1 to 128 "
            "visible characters of ASCII. Nothing was stored.");
    }
    w->wish.wait_us = -1;
    if (prefer) {
        gb_commit_read_prefer(prefer, strlen(prefer), &w->wish);
    }
    w->terms = gb_commit_terms(&w->conf->terms, &w->wish, true, GB_COMMIT_REPLICAS);
    rc = body_take(w);
    if (rc != OK) {
        return rc;
    }
    headers_take(w); /* after the body: an input filter may have changed its coding */
    return write_submit(w);
}

static int commit_handler(request_rec *r)
{
    bool safe;
    write_t w;

    if (!mgb_context) {
        return DECLINED;
    }
    safe = gb_commit_is_safe(r->method);
    if (mgb_commit_is_question(r)) {
        return mgb_commit_answer_question(r);
    }
    if (safe && !is_web_socket(r)) {
        return DECLINED;
    }
    memset(&w, 0, sizeof w);
    w.r = r;
    w.b = mgb_commit_balancer(r);
    if (!w.b) {
        return DECLINED;
    }
    w.conf = &w.b->conf->commit;
    if (r->method_number == M_CONNECT) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (is_web_socket(r)) {
        return mgb_commit_problem(
            r, HTTP_NOT_IMPLEMENTED, 0,
            "What is written on a WebSocket cannot be given to all servers: send "
            "requests instead.");
    }
    return write_take(&w);
}

void mgb_commit_need_hooks(apr_pool_t *pconf)
{
    static const char *const before[] = {"mod_proxy.c", NULL};
    const char *const registering = apr_hook_debug_current;
    void *done = NULL;

    if (apr_pool_userdata_get(&done, HOOKS_KEY, pconf) == APR_SUCCESS && done) {
        return;
    }
    apr_pool_userdata_setn(HOOKS_KEY, HOOKS_KEY, NULL, pconf);
    /* By this name others are put before and after; it is that of the last module now.
     */
    apr_hook_debug_current = greenbalance_module.name;
    ap_hook_handler(commit_handler, NULL, before, APR_HOOK_REALLY_FIRST);
    mgb_reads_register_hooks(pconf);
    mgb_talk_register_hooks(pconf);
    mgb_questions_register_hooks(pconf);
    mgb_past_register_hooks(pconf);
    apr_hook_debug_current = registering;
}
