/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c - does a request belong to a sticky session whose server takes it?
 *
 * mod_proxy_balancer finds that out after the waiting room, where nobody can ask it, so
 * it is looked for here in the same places: the path parameter, then the cookie, the
 * route behind the separator.  And a session can be hidden from mod_proxy_balancer, for
 * a request that its server cannot answer yet.  Children.
 */
#include "load_private.h"

/* A piece of a text that is not ended by NUL. */
typedef struct piece_t {
    const char *at;
    apr_size_t length;
} piece_t;

/* The value of NAME=VALUE in the path, after ';' or '?' (with scolonpathdelim). */
static piece_t path_value(const char *url, const char *name, bool semicolon)
{
    apr_size_t length = strlen(name);
    piece_t value = {NULL, 0};

    for (const char *at = strstr(url, name); length && at;
         at = strstr(at + length, name)) {
        if (at > url && at[length] == '=' && strchr("?&;", at[-1]) &&
            (at[-1] != ';' || semicolon)) {
            value.at = at + length + 1;
            value.length = strcspn(value.at, semicolon ? "?&;" : "?&");
            break;
        }
    }
    return value;
}

static piece_t cookie_value(const request_rec *r, const char *name)
{
    const char *cookies = apr_table_get(r->headers_in, "Cookie");
    apr_size_t length = strlen(name);
    piece_t value = {NULL, 0};

    for (const char *at = cookies && length ? strstr(cookies, name) : NULL; at;
         at = strstr(at + length, name)) {
        const char *end = at + length;

        if (at > cookies && !strchr("; ,\t", at[-1])) {
            continue;
        }
        end += strspn(end, " \t");
        if (*end == '=') {
            end++;
            value.at = end + strspn(end, " \t\"");
            value.length = strcspn(value.at, ";,\"");
            break;
        }
    }
    return value;
}

/* What stands behind the separator, or the whole where the balancer has none. */
static piece_t route_in(piece_t value, char separator)
{
    piece_t route = {NULL, 0};

    if (!value.at || !separator) {
        return value.length ? value : route;
    }
    for (apr_size_t i = 0; i < value.length; i++) {
        if (value.at[i] == separator) {
            route.at = value.at + i + 1;
            route.length = value.length - i - 1;
            break;
        }
    }
    return route;
}

/* Does the gate of the route's member let its sessions in, and is it well? */
static bool takes_sessions(mgb_context_t *ctx, const proxy_worker *worker)
{
    uint32_t slot = mgb_members_known(ctx, worker), position;
    gb_pick_table_t *table;

    return slot != GB_NO_INDEX && PROXY_WORKER_IS_USABLE(worker) &&
           mgb_load_position(ctx->shared, slot, &table, &position) &&
           gb_pick_gate(table, position) != GB_GATE_CLOSED;
}

const proxy_worker *mgb_session_worker(const request_rec *r,
                                       const proxy_balancer *balancer, const char *url)
{
    const proxy_balancer_shared *s = balancer->s;
    piece_t value, route;

    if (!*s->sticky) {
        return NULL;
    }
    value = path_value(url, s->sticky_path, s->scolonsep);
    if (!value.at) {
        value = cookie_value(r, s->sticky);
    }
    route = route_in(value, s->sticky_separator);
    for (int i = 0; route.length && i < balancer->workers->nelts; i++) {
        const proxy_worker *worker =
            APR_ARRAY_IDX(balancer->workers, i, const proxy_worker *);

        if (strncmp(worker->s->route, route.at, route.length) == 0 &&
            !worker->s->route[route.length]) {
            return worker;
        }
    }
    return NULL;
}

bool mgb_session_is_served(request_rec *r, mgb_context_t *ctx,
                           const proxy_balancer *balancer, const char *url)
{
    const proxy_worker *worker = mgb_session_worker(r, balancer, url);

    return worker && takes_sessions(ctx, worker);
}

/* ------------------------------------------------------------------ hiding it */

/* In place of '='.  Of letters that mod_proxy does not escape, and known to nobody
 * outside of this process: what a client sends is never taken for it. */
static char hidden[20];

void mgb_session_prepare(void)
{
    unsigned char random[8];

    ap_random_insecure_bytes(random, sizeof random);
    hidden[0] = hidden[17] = '!';
    ap_bin2hex(random, sizeof random, hidden + 1);
    hidden[17] = '!';
    hidden[18] = '\0';
}

/* mod_proxy_balancer takes the name wherever it stands, with blanks between a cookie's
 * name and its sign. */
static const char *hide(apr_pool_t *p, const char *text, const char *name)
{
    const apr_size_t length = strlen(name);
    const char *shown = text;
    char *copy = apr_pstrdup(p, "");

    for (const char *at = text; length && (at = strstr(at, name)) != NULL;) {
        at += length;
        if (at[strspn(at, " \t")] == '=') {
            at += strspn(at, " \t");
            copy =
                apr_pstrcat(p, copy, apr_pstrmemdup(p, shown, (apr_size_t)(at - shown)),
                            hidden, NULL);
            shown = at + 1;
        }
    }
    return shown == text ? text : apr_pstrcat(p, copy, shown, NULL);
}

const char *mgb_session_hide_path(apr_pool_t *p, const proxy_balancer *balancer,
                                  const char *url)
{
    return hide(p, url, balancer->s->sticky_path);
}

const char *mgb_session_hide_cookie(apr_pool_t *p, const proxy_balancer *balancer,
                                    const char *cookies)
{
    return hide(p, cookies, balancer->s->sticky);
}

void mgb_session_show(char *text)
{
    const apr_size_t length = strlen(hidden);

    for (char *at = text; at && length && (at = strstr(at, hidden)) != NULL; at++) {
        *at = '=';
        memmove(at + 1, at + length, strlen(at + length) + 1);
    }
}
