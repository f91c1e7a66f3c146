/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_past.c - writes that would go past the log: to a server that is a replica, by
 * another ProxyPass, a RewriteRule or another balancer.
 *
 * The replica would have what no other one gets, and nobody would know.  So they are
 * refused, when mod_proxy has chosen where a request goes and before it is sent.  Reads
 * go on.  What belongs to a replica is all that its member's URL stands before.
 *
 * Children only; no lock, no I/O; memory of r->pool.
 */
#include "commit_child.h"

#include "core/gb_commit.h"

#include "apr_uri.h"
#include "http_protocol.h"

#define LOG_EVERY_US (60 * GB_US_PER_S)

/* A member of a balancer with GreenCommit, as it is written. */
typedef struct place_t {
    const char *host, *path; /* path: without a slash at its end */
    apr_port_t port;
    const char *balancer;
} place_t;

static apr_array_header_t *places; /* place_t, of this process; NULL: there are none */

static bool place_read(apr_pool_t *p, const char *url, place_t *place)
{
    apr_uri_t uri;
    apr_size_t length;
    char *path;

    if (apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.hostname || !uri.scheme) {
        return false;
    }
    path = apr_pstrdup(p, uri.path ? uri.path : "");
    for (length = strlen(path); length && path[length - 1] == '/'; length--) {
        path[length - 1] = '\0';
    }
    place->host = uri.hostname;
    place->port = uri.port_str ? uri.port : apr_uri_port_of_scheme(uri.scheme);
    place->path = path;
    return true;
}

static bool is_below(const place_t *asked, const place_t *place)
{
    apr_size_t length = strlen(place->path);

    return asked->port == place->port && strcasecmp(asked->host, place->host) == 0 &&
           strncmp(asked->path, place->path, length) == 0 &&
           (asked->path[length] == '/' || !asked->path[length]);
}

/* One line a minute and child. */
static void log_past(request_rec *r, const place_t *place)
{
    static int64_t logged_at_us;
    int64_t now_us = mgb_now_us(),
            before_us = __atomic_load_n(&logged_at_us, __ATOMIC_RELAXED);

    if ((before_us && now_us - before_us < LOG_EVERY_US) ||
        !__atomic_compare_exchange_n(&logged_at_us, &before_us, now_us, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return;
    }
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, r,
        GBLOGNO(1653) "a write would have gone to http://%s:%u%s past the log "
                      "of %s, and was refused: no other server would get it; "
                      "send it by that balancer, or, where another application "
                      "is meant, give the BalancerMember its path",
        place->host, (unsigned)place->port, place->path, place->balancer);
}

static int past_scheme_handler(request_rec *r, proxy_worker *worker,
                               proxy_server_conf *conf, char *url,
                               const char *proxyhost, apr_port_t proxyport)
{
    place_t asked;

    if (!places || gb_commit_is_safe(r->method) || r->method_number == M_CONNECT ||
        !place_read(r->pool, url, &asked)) {
        return DECLINED;
    }
    for (int i = 0; i < places->nelts; i++) {
        const place_t *place = &APR_ARRAY_IDX(places, i, place_t);

        if (is_below(&asked, place)) {
            log_past(r, place);
            return HTTP_FORBIDDEN;
        }
    }
    return DECLINED;
}

static void past_child_init(apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *all = mgb_context ? mgb_context->balancers : NULL;

    places = NULL;
    for (int i = 0; all && i < all->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(all, i, mgb_balancer_t);

        for (int j = 0; b->conf->commit.terms.on && j < b->balancer->workers->nelts;
             j++) {
            const proxy_worker *worker =
                APR_ARRAY_IDX(b->balancer->workers, j, proxy_worker *);
            place_t place;

            if (place_read(p, worker->s->name_ex, &place)) {
                place.balancer = b->conf->name;
                places = places ? places : apr_array_make(p, 8, sizeof(place_t));
                APR_ARRAY_PUSH(places, place_t) = place;
            }
        }
    }
}

void mgb_past_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(past_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before the request is counted for a member. */
    proxy_hook_scheme_handler(past_scheme_handler, NULL, NULL,
                              APR_HOOK_REALLY_FIRST - 1);
}
