/* SPDX-License-Identifier: Apache-2.0
 *
 * redfish_transfer.c - one request to a Redfish service and its answer, by libcurl on
 * the keeper's loop.
 *
 * A service over TLS is verified, certificate and name, against GreenBmcCA or the
 * system's certificates; nothing switches that off.  (One whose redfish= says http://
 * is not: the configuration's check warns of it at every start.)  Redirects are not
 * followed here (the core follows those that stay within the service), proxies of the
 * environment are not used, and an answer that is larger than GB_REDFISH_BODY_MOST is
 * given up.
 */
#include "redfish_private.h"

#include "multi.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_MS     5000L
#define HEAD_MOST      ((size_t)32 * 1024)
#define LOCATION_BYTES 1024
#define RETRY_MOST_S   3600
#define SERVICE_LINES  4L  /* connections to one service at the same time */
#define KEPT_LINES     64L /* idle connections, over all services */

struct mgb_redfish_transfer_t {
    apr_pool_t *pool; /* its own */
    mgb_redfish_web_t *web;
    mgb_redfish_transfer_t *next, **link; /* in web->running */
    mgb_redfish_reply_fn *fn;
    void *baton;
    CURL *easy;
    struct curl_slist *headers;
    char *posted; /* copy of the body; wiped */
    size_t posted_bytes;
    char *body;
    size_t bytes, room, head_bytes;
    bool too_large, no_memory, unwatched;
    long retry_after_s;
    char etag[GB_REDFISH_TAG_BYTES], location[LOCATION_BYTES];
    char token[MGB_REDFISH_TOKEN_BYTES];
    char error[CURL_ERROR_SIZE];
};

struct mgb_redfish_web_t {
    mgb_keeper_t *keeper;
    mgb_multi_t multi;
    mgb_redfish_transfer_t *running;
    const char *ca_file, *ca_path; /* GreenBmcCA; both NULL: the system's */
};

/* ------------------------------------------------------------------ the end */

/* Frees all of a transfer, and what is secret in it. */
static void transfer_free(mgb_redfish_transfer_t *transfer)
{
    *transfer->link = transfer->next;
    if (transfer->next) {
        transfer->next->link = transfer->link;
    }
    (void)curl_multi_remove_handle(transfer->web->multi.curl, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    for (struct curl_slist *line = transfer->headers; line; line = line->next) {
        explicit_bzero(line->data, strlen(line->data));
    }
    curl_slist_free_all(transfer->headers);
    if (transfer->posted) {
        explicit_bzero(transfer->posted, transfer->posted_bytes);
    }
    explicit_bzero(transfer->token, sizeof transfer->token);
    free(transfer->body);
    apr_pool_destroy(transfer->pool);
}

void mgb_redfish_cancel(mgb_redfish_transfer_t *transfer)
{
    transfer_free(transfer);
}

/* libcurl's words, without those that every one of them begins with. */
static const char *untrusted(const mgb_redfish_transfer_t *transfer)
{
    static const char usual[] = "SSL certificate problem: ";
    const char *error = transfer->error;

    error += strncmp(error, usual, sizeof usual - 1) == 0 ? sizeof usual - 1 : 0;
    return apr_pstrcat(transfer->pool, "not trusted (see GreenBmcCA)",
                       *error ? ": " : "", error, NULL);
}

static const char *why_not(const mgb_redfish_transfer_t *transfer, CURLcode code,
                           gb_redfish_fault_e *fault)
{
    *fault = GB_REDFISH_LOST;
    if (transfer->too_large) {
        *fault = GB_REDFISH_WRONG;
        return "its answer is larger than 256 KiB";
    }
    if (code == CURLE_OUT_OF_MEMORY && !transfer->no_memory) {
        /* Also libcurl's word, before 8.6, for a header line of over 100 KB. */
        return "its answer has a line that is too long, or no memory is left here";
    }
    if (transfer->no_memory || transfer->unwatched) {
        return "no memory or no descriptor is left here";
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return "no answer in time";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "its name does not resolve";
    case CURLE_COULDNT_CONNECT:
        return "no connection (is the controller on, and its port right?)";
    case CURLE_PEER_FAILED_VERIFICATION:
        *fault = GB_REDFISH_WRONG;
        return untrusted(transfer);
    case CURLE_SSL_CACERT_BADFILE:
        *fault = GB_REDFISH_WRONG;
        return "GreenBmcCA holds no certificate that the keeper's user can read";
    case CURLE_UNSUPPORTED_PROTOCOL:
        *fault = GB_REDFISH_WRONG;
        return "libcurl cannot speak that protocol here";
    default:
        return transfer->error[0] ? transfer->error : curl_easy_strerror(code);
    }
}

static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static void transfer_done(void *ended, CURLcode code)
{
    mgb_redfish_transfer_t *transfer = ended;
    mgb_redfish_reply_t reply;
    long status = 0;

    memset(&reply, 0, sizeof reply);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status > 0) {
        reply.answer.status = (uint32_t)status;
        reply.answer.body = transfer->body;
        reply.answer.bytes = transfer->bytes;
        reply.answer.etag = text_or_null(transfer->etag);
        reply.answer.location = text_or_null(transfer->location);
        reply.answer.retry_after_us = transfer->retry_after_s * GB_US_PER_S;
        reply.token = text_or_null(transfer->token);
    }
    else {
        reply.answer.why = why_not(transfer, code, &reply.answer.fault);
    }
    transfer->fn(transfer->baton, &reply);
    transfer_free(transfer);
}

static void transfer_unwatched(void *transfer)
{
    ((mgb_redfish_transfer_t *)transfer)->unwatched = true;
}

/* ----------------------------------------------------------------- curl's callbacks */

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    mgb_redfish_transfer_t *transfer = baton;
    size_t bytes = size * count, room = transfer->room ? transfer->room : 4096;
    char *grown;

    if (transfer->bytes + bytes > GB_REDFISH_BODY_MOST) {
        transfer->too_large = true;
        return 0;
    }
    while (room < transfer->bytes + bytes) {
        room *= 2;
    }
    if (room > transfer->room) {
        grown = realloc(transfer->body, room);
        if (!grown) {
            transfer->no_memory = true;
            return 0;
        }
        transfer->body = grown;
        transfer->room = room;
    }
    memcpy(transfer->body + transfer->bytes, data, bytes);
    transfer->bytes += bytes;
    return bytes;
}

/* Copies the value of a header line when it has that name, and is not too long. */
static void take_value(const char *line, size_t length, const char *name, char *to,
                       size_t room)
{
    size_t named = strlen(name);

    if (length <= named || line[named] != ':' || strncasecmp(line, name, named) != 0) {
        return;
    }
    line += named + 1;
    length -= named + 1;
    while (length && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    while (length && (unsigned char)line[length - 1] <= ' ') {
        length--;
    }
    if (length >= room) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        if (line[i] < ' ' || line[i] > '~') {
            return; /* some of them are sent back in header lines of ours */
        }
    }
    memcpy(to, line, length);
    to[length] = '\0';
}

static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    mgb_redfish_transfer_t *transfer = baton;
    size_t bytes = size * count;
    char seconds[8] = "";

    transfer->head_bytes += bytes;
    if (transfer->head_bytes > HEAD_MOST) {
        transfer->too_large = true;
        return 0;
    }
    if (bytes > 5 && memcmp(data, "HTTP/", 5) == 0) {
        transfer->etag[0] = transfer->location[0] = transfer->token[0] = '\0';
        transfer->retry_after_s = 0;
    }
    take_value(data, bytes, "ETag", transfer->etag, sizeof transfer->etag);
    take_value(data, bytes, "Location", transfer->location, sizeof transfer->location);
    take_value(data, bytes, "X-Auth-Token", transfer->token, sizeof transfer->token);
    take_value(data, bytes, "Retry-After", seconds, sizeof seconds);
    if (seconds[0] && strspn(seconds, "0123456789") == strlen(seconds)) {
        transfer->retry_after_s = strtol(seconds, NULL, 10);
        if (transfer->retry_after_s > RETRY_MOST_S) {
            transfer->retry_after_s = RETRY_MOST_S;
        }
    }
    return bytes;
}

/* Drivers run commands: no descriptor of ours may leak into them. */
static curl_socket_t open_socket(void *baton, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    (void)baton;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

/* ------------------------------------------------------------------ the web */

static apr_status_t web_cleanup(void *data)
{
    mgb_redfish_web_t *web = data;

    while (web->running) {
        transfer_free(web->running);
    }
    mgb_multi_destroy(&web->multi);
    return APR_SUCCESS;
}

/* GreenBmcCA is a file or a directory as `openssl rehash` makes it. */
static void web_trust(mgb_redfish_web_t *web)
{
    const char *ca = web->keeper->ctx && web->keeper->ctx->conf
                         ? web->keeper->ctx->conf->bmc_ca
                         : NULL;
    struct stat info;

    if (ca && stat(ca, &info) == 0 && S_ISDIR(info.st_mode)) {
        web->ca_path = ca;
    }
    else {
        web->ca_file = ca;
    }
}

static mgb_redfish_web_t *web_make(mgb_keeper_t *keeper, const char **why)
{
    static const mgb_multi_calls_t calls = {.done = transfer_done,
                                            .unwatched = transfer_unwatched};
    mgb_redfish_web_t *web;

    if (!mgb_libcurl_load(why)) {
        return NULL; /* before the pool is asked: it may be tried again for ever */
    }
    web = apr_pcalloc(keeper->pool, sizeof(*web));
    web->keeper = keeper;
    if (!mgb_multi_create(&web->multi, keeper->loop, &calls)) {
        *why = "libcurl has no memory";
        return NULL;
    }
    web_trust(web);
    curl_multi_setopt(web->multi.curl, CURLMOPT_MAX_HOST_CONNECTIONS, SERVICE_LINES);
    curl_multi_setopt(web->multi.curl, CURLMOPT_MAXCONNECTS, KEPT_LINES);
    apr_pool_pre_cleanup_register(keeper->pool, web, web_cleanup);
    return web;
}

mgb_redfish_web_t *mgb_redfish_web(mgb_keeper_t *keeper, const char **why)
{
    static const char key[] = "mgb_redfish_web";
    void *found = NULL;

    apr_pool_userdata_get(&found, key, keeper->pool);
    if (!found) {
        found = web_make(keeper, why);
        if (found) {
            apr_pool_userdata_setn(found, key, NULL, keeper->pool);
        }
    }
    return found;
}

/* ------------------------------------------------------------------ requests */

static bool add_header(mgb_redfish_transfer_t *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);

    transfer->headers = longer ? longer : transfer->headers;
    return longer != NULL;
}

static bool add_headers(mgb_redfish_transfer_t *transfer,
                        const mgb_redfish_request_t *request)
{
    char line[MGB_REDFISH_TOKEN_BYTES + 32];
    bool good = add_header(transfer, "Accept: application/json") &&
                add_header(transfer, "OData-Version: 4.0") &&
                add_header(transfer, "Expect:");

    if (request->body) {
        good = good && add_header(transfer, "Content-Type: application/json");
    }
    if (request->if_match && request->if_match[0]) {
        snprintf(line, sizeof line, "If-Match: %s", request->if_match);
        good = good && add_header(transfer, line);
    }
    if (request->token) {
        snprintf(line, sizeof line, "X-Auth-Token: %s", request->token);
        good = good && add_header(transfer, line);
        explicit_bzero(line, sizeof line);
    }
    return good;
}

/* What is the same for every request. */
static void set_up(mgb_redfish_transfer_t *transfer)
{
    CURL *easy = transfer->easy;

    mgb_multi_set_up(easy, transfer);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
}

static void aim(mgb_redfish_transfer_t *transfer, const mgb_redfish_request_t *request)
{
    const mgb_redfish_web_t *web = transfer->web;
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(request->timeout_us / GB_US_PER_MS));
    curl_easy_setopt(easy, CURLOPT_URL,
                     apr_pstrcat(transfer->pool, request->origin, request->path, NULL));
    if (web->ca_file || web->ca_path) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, web->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, web->ca_path);
    }
    if (request->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password);
    }
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)transfer->posted_bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->posted);
        /* On a connection that was kept, and is closed meanwhile, curl would send the
         * order a second time without knowing what became of the first. */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
    else if (strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static mgb_redfish_transfer_t *transfer_make(mgb_redfish_web_t *web,
                                             const mgb_redfish_request_t *request)
{
    mgb_redfish_transfer_t *transfer;
    apr_pool_t *pool;

    if (apr_pool_create(&pool, web->keeper->pool) != APR_SUCCESS) {
        return NULL;
    }
    transfer = apr_pcalloc(pool, sizeof(*transfer));
    transfer->pool = pool;
    transfer->web = web;
    transfer->easy = curl_easy_init();
    if (!transfer->easy) {
        apr_pool_destroy(pool);
        return NULL;
    }
    transfer->next = web->running;
    transfer->link = &web->running;
    if (transfer->next) {
        transfer->next->link = &transfer->next;
    }
    web->running = transfer;
    if (request->body) {
        transfer->posted = apr_pstrdup(pool, request->body);
        transfer->posted_bytes = strlen(request->body);
    }
    return transfer;
}

mgb_redfish_transfer_t *mgb_redfish_send(mgb_redfish_web_t *web,
                                         const mgb_redfish_request_t *request,
                                         mgb_redfish_reply_fn *fn, void *baton)
{
    mgb_redfish_transfer_t *transfer = transfer_make(web, request);

    if (!transfer) {
        return NULL;
    }
    transfer->fn = fn;
    transfer->baton = baton;
    if (!add_headers(transfer, request)) {
        transfer_free(transfer);
        return NULL;
    }
    set_up(transfer);
    aim(transfer, request);
    if (curl_multi_add_handle(web->multi.curl, transfer->easy) != CURLM_OK) {
        transfer_free(transfer);
        return NULL;
    }
    return transfer;
}
