/* SPDX-License-Identifier: Apache-2.0
 *
 * send.c - writes on their way to a replica: one at a time each, by libcurl on the
 * journal thread's loop.
 *
 * What matters most is whether a write can have arrived.  NOTHING is said only when no
 * byte of the request was sent; everything else without a whole answer is DOUBTFUL.
 * libcurl sends a request again by itself when a kept connection turns out to be
 * closed, so that a write that must not be repeated gets a connection of its own.
 */
#include "commit.h"
#include "multi.h"

#include "core/gb_ascii.h"
#include "core/gb_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT_US (60 * GB_US_PER_S)
#define CONNECT_MOST_US    (5 * GB_US_PER_S)
#define HEADERS_MOST       (64 * 1024)
#define BODY_MOST          (16 * 1024 * 1024)
#define BIG_TELL_US        (60 * GB_US_PER_S)

typedef struct buffer_t {
    char *at;
    size_t bytes, room;
} buffer_t;

struct mgb_senders_t {
    mgb_multi_t multi;
};

struct mgb_sender_t {
    mgb_commit_t *commit;
    const mgb_balancer_t *balancer;
    const char *url; /* no slash at its end */
    int64_t timeout_us;
    CURL *easy; /* NULL: not used yet */
    struct curl_slist *lines;
    buffer_t headers, body;
    bool is_final;  /* the response is: no 1xx */
    bool head_over; /* its header has ended: what follows are trailers */
    bool too_big;
    int64_t big_told_at_us;
    bool in_flight;
    bool used; /* it may keep a connection */
    char error[CURL_ERROR_SIZE];
    mgb_sent_fn *done;
    void *baton;
};

/* ------------------------------------------------------------------ what comes back */

static bool buffer_add(buffer_t *buffer, const char *data, size_t bytes, size_t most)
{
    size_t room = buffer->room ? buffer->room : 4096;
    char *grown;

    if (bytes > most || buffer->bytes > most - bytes) {
        return false;
    }
    while (room < buffer->bytes + bytes + 1) {
        room *= 2;
    }
    if (room != buffer->room) {
        grown = realloc(buffer->at, room);
        if (!grown) {
            return false;
        }
        buffer->at = grown;
        buffer->room = room;
    }
    memcpy(buffer->at + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
    buffer->at[buffer->bytes] = '\0';
    return true;
}

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    mgb_sender_t *sender = baton;

    sender->too_big |= !buffer_add(&sender->body, data, size * count, BODY_MOST);
    return sender->too_big ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    mgb_sender_t *sender = baton;

    if (sender->head_over) { /* mod_proxy hands on no trailers, either */
        return size * count;
    }
    if (size * count > 9 && !strncmp(data, "HTTP/", 5)) {
        sender->headers.bytes = 0; /* of the final response alone, not of a 100 */
        sender->is_final = data[9] != '1';
        return size * count;
    }
    sender->head_over = sender->is_final && (*data == '\r' || *data == '\n');
    sender->too_big |= !buffer_add(&sender->headers, data, size * count, HEADERS_MOST);
    return sender->too_big ? 0 : size * count;
}

/* Is it about this connection, or between the proxy and the replica? */
static bool is_ours(const char *name)
{
    static const char *const left_out[] = {
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection",
        "TE",         "Trailer",    "Transfer-Encoding",  "Upgrade",
        "Date",       "Server",     "Content-Length",     NULL};

    for (int i = 0; left_out[i]; i++) {
        if (!strcasecmp(name, left_out[i])) {
            return true;
        }
    }
    return !strncasecmp(name, "Green-Commit", 12);
}

/* FNV-1a; never 0, which stands for none. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    }
    return hash ? hash : 1;
}

/* Can a client be told of it? */
static bool is_line(const char *line, const char *end)
{
    size_t bytes = (size_t)(end - line);
    gb_span_text_t name, value;

    return gb_wire_header(&line, &bytes, &name, &value) && bytes == 0;
}

/* The lines of a response for the client, and what is for us. */
static void read_headers(mgb_sender_t *sender, apr_pool_t *p, mgb_sent_t *sent)
{
    char *kept = apr_palloc(p, 2 * sender->headers.bytes + 1), *at = kept;
    const char *nominated = "";
    apr_array_header_t *lines = apr_array_make(p, 16, sizeof(const char *));
    char *line, *state = NULL;
    char *all = apr_pstrmemdup(p, sender->headers.at ? sender->headers.at : "",
                               sender->headers.bytes);

    for (line = apr_strtok(all, "\r\n", &state); line;
         line = apr_strtok(NULL, "\r\n", &state)) {
        char *colon = strchr(line, ':');
        char *value;

        if (!colon || colon == line || *line == ' ' || *line == '\t') {
            continue; /* folded or broken: not handed on */
        }
        *colon = '\0';
        for (value = colon + 1; *value == ' ' || *value == '\t'; value++) {
        }
        if (!strcasecmp(line, "Green-Commit-Policy")) {
            sent->policy = value;
        }
        else if (!strcasecmp(line, "Green-Commit-Digest")) {
            sent->answer.digest = hash_of(value);
        }
        else if (!strcasecmp(line, "Connection")) {
            nominated = *nominated ? nominated : value;
        }
        if (!is_ours(line)) {
            APR_ARRAY_PUSH(lines, const char *) = line;
            APR_ARRAY_PUSH(lines, const char *) = value;
        }
    }
    for (int i = 0; i < lines->nelts; i += 2) {
        const char *name = APR_ARRAY_IDX(lines, i, const char *);
        char *from = at;

        if (!ap_find_token(p, nominated, name)) {
            /* A line "a:" of three bytes becomes one of five. */
            at = apr_cpystrn(at, name, 2 * sender->headers.bytes);
            at = apr_cpystrn(at, ": ", 3);
            at = apr_cpystrn(at, APR_ARRAY_IDX(lines, i + 1, const char *),
                             sender->headers.bytes);
            at = apr_cpystrn(at, "\r\n", 3);
            at = is_line(from, at) ? at : from; /* broken: without it, as above */
        }
    }
    *at = '\0';
    sent->headers = kept;
}

/* Can a byte of the request have left? */
static gb_transfer_e how_it_ended(const mgb_sender_t *sender, CURLcode code)
{
    long sent_bytes = 0;

    /* Of an answer that is too large its status stands: the write was done, or not,
     * before that, and it will be as large the next time. */
    if (code == CURLE_OK || (sender->too_big && sender->is_final)) {
        return GB_SENT_ANSWERED;
    }
    if (curl_easy_getinfo(sender->easy, CURLINFO_REQUEST_SIZE, &sent_bytes) ==
            CURLE_OK &&
        sent_bytes > 0) {
        return GB_SENT_DOUBTFUL;
    }
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_OPERATION_TIMEDOUT: /* while it connected */
        return GB_SENT_NOTHING;
    default:
        return GB_SENT_DOUBTFUL;
    }
}

/* What a client gets in place of an answer that is too large to be kept. */
static void read_big(mgb_sender_t *sender, mgb_sent_t *sent)
{
    static const char text[] = "The server's answer to this write was too large to be "
                               "kept; its status is the one that it has given.\n";
    int64_t now_us = mgb_now_us();

    sent->headers = "Content-Type: text/plain; charset=utf-8\r\n";
    sent->body = text;
    sent->body_bytes = sizeof text - 1;
    if (sender->big_told_at_us && now_us - sender->big_told_at_us < BIG_TELL_US) {
        return;
    }
    sender->big_told_at_us = now_us;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, sender->commit->server,
                 GBLOGNO(1630) "%s: %s answered a write (status %d) with more than "
                               "16 MiB, or with a header of more than 64 KiB: nothing "
                               "but the status is kept",
                 sender->balancer->conf->name, sender->url, sent->answer.status);
}

static void on_done(void *transfer, CURLcode code)
{
    mgb_sender_t *sender = transfer;
    mgb_sent_t sent = {.headers = "", .body = ""};
    long status = 0, connects = 0;
    apr_pool_t *p;

    (void)curl_multi_remove_handle(sender->commit->senders->multi.curl, sender->easy);
    sender->in_flight = false;
    apr_pool_create(&p, sender->commit->pool);
    sent.answer.how = how_it_ended(sender, code);
    /* A new connection where one was kept: it may have been sent over both. */
    (void)curl_easy_getinfo(sender->easy, CURLINFO_NUM_CONNECTS, &connects);
    sent.answer.repeated = sender->used && connects > 0;
    sender->used = true;
    if (sent.answer.how == GB_SENT_ANSWERED) {
        (void)curl_easy_getinfo(sender->easy, CURLINFO_RESPONSE_CODE, &status);
        sent.answer.status = (int)status;
        read_headers(sender, p, &sent);
        sent.body = sender->body.at ? sender->body.at : "";
        sent.body_bytes = sender->body.bytes;
        if (sender->too_big) {
            read_big(sender, &sent);
        }
    }
    else {
        sent.error = *sender->error ? sender->error : curl_easy_strerror(code);
    }
    sender->done(sender->baton, &sent);
    apr_pool_destroy(p);
}

static void on_unwatched(void *transfer)
{
    (void)transfer; /* it will time out: DOUBTFUL, as it has to be */
}

/* ------------------------------------------------------------------ what is sent */

/* No descriptor of ours may leak into commands. */
static curl_socket_t open_socket(void *baton, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);

    (void)baton;
    (void)purpose;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static bool line_add(mgb_sender_t *sender, const char *line)
{
    struct curl_slist *grown = curl_slist_append(sender->lines, line);

    if (!grown) {
        return false;
    }
    sender->lines = grown;
    return true;
}

static bool stored_lines(mgb_sender_t *sender, const mgb_entry_t *entry, apr_pool_t *p,
                         bool *typed)
{
    char *state = NULL, *line;

    *typed = false;
    for (line = apr_strtok(apr_pstrdup(p, entry->headers), "\r\n", &state); line;
         line = apr_strtok(NULL, "\r\n", &state)) {
        *typed |= !strncasecmp(line, "Content-Type:", 13);
        if (!line_add(sender, line)) {
            return false;
        }
    }
    return true;
}

/* An RFC 9651 string. */
static const char *quoted(apr_pool_t *p, const char *text)
{
    char *to = apr_palloc(p, 2 * strlen(text) + 3), *at = to;

    *at++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            *at++ = '\\';
        }
        *at++ = *text;
    }
    *at++ = '"';
    *at = '\0';
    return to;
}

/* The same at every replica, so that they need not draw lots of their own. */
static uint64_t seed_of(const mgb_entry_t *entry)
{
    uint64_t seed = hash_of(entry->id);

    for (size_t i = 0; i < sizeof entry->digest; i++) {
        seed = (seed ^ entry->digest[i]) * UINT64_C(1099511628211);
    }
    return seed;
}

static bool own_lines(mgb_sender_t *sender, const mgb_entry_t *entry, uint64_t epoch,
                      bool answers, apr_pool_t *p)
{
    return (!*entry->id || line_add(sender, apr_pstrcat(p, "Idempotency-Key: ",
                                                        quoted(p, entry->id), NULL))) &&
           line_add(sender, apr_psprintf(p, "Green-Commit-Time: %" APR_TIME_T_FMT,
                                         (apr_time_t)apr_time_as_msec(entry->at))) &&
           line_add(sender, apr_psprintf(p, "Green-Commit-Seed: %016" PRIx64,
                                         seed_of(entry))) &&
           line_add(sender, answers ? "Green-Commit-Role: answer"
                                    : "Green-Commit-Role: follow") &&
           line_add(sender, apr_psprintf(p, "Green-Commit-Seq: %" PRIu64 ".%" PRIu64,
                                         epoch, entry->seq)) &&
           (!entry->principal || !*entry->principal ||
            line_add(sender, apr_pstrcat(p, "Green-Commit-Principal: ",
                                         quoted(p, entry->principal), NULL))) &&
           line_add(sender, "Expect:");
}

static void reset(mgb_sender_t *sender)
{
    curl_slist_free_all(sender->lines);
    sender->lines = NULL;
    sender->headers.bytes = sender->body.bytes = 0;
    if (sender->body.at) {
        sender->body.at[0] = '\0';
    }
    sender->is_final = sender->head_over = sender->too_big = false;
    sender->error[0] = '\0';
}

/* As mod_ssl does it for reads; without an authority of its own nobody is trusted. */
static void verify_set(mgb_sender_t *sender)
{
    const mgb_tls_t *tls = &sender->balancer->conf->commit.tls;

    curl_easy_setopt(sender->easy, CURLOPT_SSL_VERIFYPEER, tls->verify ? 1L : 0L);
    curl_easy_setopt(sender->easy, CURLOPT_SSL_VERIFYHOST, tls->check_name ? 2L : 0L);
    curl_easy_setopt(sender->easy, CURLOPT_CAINFO, tls->ca_file);
    curl_easy_setopt(sender->easy, CURLOPT_CAPATH, tls->ca_path);
}

static bool handle_make(mgb_sender_t *sender)
{
    CURL *easy = sender->easy ? sender->easy : curl_easy_init();

    if (!easy || sender->easy) {
        return easy != NULL;
    }
    sender->easy = easy;
    mgb_multi_set_up(easy, sender);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, sender->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, sender);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, sender);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(CONNECT_MOST_US / GB_US_PER_MS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(sender->timeout_us / GB_US_PER_MS));
    verify_set(sender);
    return true;
}

static void request_set(mgb_sender_t *sender, const mgb_entry_t *entry, bool repeatable,
                        apr_pool_t *p)
{
    CURL *easy = sender->easy;
    bool has_body = entry->body_bytes || (strcmp(entry->method, "DELETE") != 0 &&
                                          strcmp(entry->method, "GET") != 0);

    curl_easy_setopt(easy, CURLOPT_URL,
                     apr_pstrcat(p, sender->url, entry->target, NULL));
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)entry->body_bytes);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                         entry->body_bytes ? entry->body : "");
    }
    else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, entry->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, sender->lines);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, repeatable ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, repeatable ? 0L : 1L);
    sender->used &= repeatable;
}

apr_status_t mgb_sender_send(mgb_sender_t *sender, const mgb_entry_t *entry,
                             uint64_t epoch, bool answers, mgb_sent_fn *done,
                             void *baton)
{
    bool repeatable = sender->balancer->conf->commit.level != GB_LEVEL_L0 ||
                      gb_commit_is_repeatable(entry->method);
    apr_status_t rv = APR_ENOMEM;
    bool typed;
    apr_pool_t *p;

    if (sender->in_flight) {
        return APR_EBUSY;
    }
    apr_pool_create(&p, sender->commit->pool);
    reset(sender);
    if (handle_make(sender) && stored_lines(sender, entry, p, &typed) &&
        own_lines(sender, entry, epoch, answers, p) &&
        /* libcurl would say that it is a form. */
        (typed || line_add(sender, "Content-Type:"))) {
        request_set(sender, entry, repeatable, p);
        sender->done = done;
        sender->baton = baton;
        sender->in_flight = curl_multi_add_handle(sender->commit->senders->multi.curl,
                                                  sender->easy) == CURLM_OK;
        rv = sender->in_flight ? APR_SUCCESS : APR_EGENERAL;
    }
    apr_pool_destroy(p);
    return rv;
}

void mgb_sender_begin(mgb_commit_t *commit)
{
    mgb_multi_begin(&commit->senders->multi);
}

void mgb_sender_drop(mgb_sender_t *sender)
{
    if (!sender->easy) {
        return;
    }
    if (sender->in_flight) {
        (void)curl_multi_remove_handle(sender->commit->senders->multi.curl,
                                       sender->easy);
        sender->in_flight = false;
    }
    curl_easy_cleanup(sender->easy);
    sender->easy = NULL;
    sender->used = false;
}

/* ------------------------------------------------------------------ life */

static apr_status_t sender_cleanup(void *data)
{
    mgb_sender_t *sender = data;

    mgb_sender_drop(sender);
    curl_slist_free_all(sender->lines);
    free(sender->headers.at);
    free(sender->body.at);
    memset(&sender->headers, 0, sizeof sender->headers);
    memset(&sender->body, 0, sizeof sender->body);
    sender->lines = NULL;
    return APR_SUCCESS;
}

/* ProxyPass timeout= of the member, as mod_proxy takes it. */
static int64_t timeout_of(const mgb_balancer_t *b, const char *url)
{
    const apr_array_header_t *workers = b->balancer->workers;

    for (int i = 0; i < workers->nelts; i++) {
        const proxy_worker *worker = APR_ARRAY_IDX(workers, i, proxy_worker *);

        if (!strcmp(worker->s->name_ex, url) && worker->s->timeout_set) {
            return worker->s->timeout;
        }
    }
    return b->proxy_conf && b->proxy_conf->timeout_set ? b->server->timeout
                                                       : TIMEOUT_DEFAULT_US;
}

mgb_sender_t *mgb_sender_create(mgb_commit_t *commit, const mgb_balancer_t *b,
                                const char *url, apr_pool_t *p)
{
    mgb_sender_t *sender = apr_pcalloc(p, sizeof(*sender));
    apr_size_t length = strlen(url);

    while (length && url[length - 1] == '/') {
        length--;
    }
    sender->commit = commit;
    sender->balancer = b;
    sender->url = apr_pstrmemdup(p, url, length);
    sender->timeout_us = timeout_of(b, url);
    apr_pool_cleanup_register(p, sender, sender_cleanup, apr_pool_cleanup_null);
    return sender;
}

apr_status_t mgb_sender_open(mgb_commit_t *commit)
{
    static const mgb_multi_calls_t calls = {.done = on_done, .unwatched = on_unwatched};
    struct mgb_senders_t *senders = apr_pcalloc(commit->pool, sizeof(*senders));

    if (!mgb_multi_create(&senders->multi, commit->loop, &calls)) {
        return APR_ENOMEM;
    }
    commit->senders = senders;
    return APR_SUCCESS;
}

void mgb_sender_shut(mgb_commit_t *commit)
{
    if (commit->senders) {
        mgb_multi_destroy(&commit->senders->multi);
    }
}
