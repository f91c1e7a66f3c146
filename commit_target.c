/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_target.c - what a request means: whose balancer, which target, which user; as
 * mod_proxy has it by then, and as the keeper takes it.
 */
#include "commit_child.h"

#include "http_request.h"

#define PROXY_PREFIX    "proxy:"
#define BALANCER_SCHEME "balancer://"

/* The URL that mod_proxy will take, or NULL; of one that a SetHandler names, without
 * the path that is to come behind it. */
static const char *balancer_url(const request_rec *r)
{
    const char *url = NULL;

    if (r->proxyreq != PROXYREQ_NONE) {
        url = r->filename;
    }
    else if (r->handler) {
        url = r->handler;
    }
    if (!url || strncasecmp(url, PROXY_PREFIX, strlen(PROXY_PREFIX)) != 0) {
        return NULL;
    }
    url += strlen(PROXY_PREFIX);
    return strncasecmp(url, BALANCER_SCHEME, strlen(BALANCER_SCHEME)) ? NULL : url;
}

const mgb_balancer_t *mgb_commit_balancer(request_rec *r)
{
    proxy_server_conf *conf =
        ap_get_module_config(r->server->module_config, &proxy_module);
    const char *url = balancer_url(r);
    proxy_balancer *balancer =
        url ? ap_proxy_get_balancer(r->pool, conf, url, 1) : NULL;
    const mgb_balancer_t *b =
        balancer ? mgb_members_balancer(mgb_context, balancer) : NULL;

    return b && b->conf->commit.terms.on ? b : NULL;
}

const char *mgb_commit_principal(const request_rec *r)
{
    const char *user = r->user ? r->user : "";

    return gb_wire_is_text(gb_wire_span(user), ' ', GB_WIRE_PRINCIPAL_MOST) ? user
                                                                            : NULL;
}

/* Until 2.4.61 mod_proxy_balancer made the URL canonical itself, before the handler;
 * since then the chosen member's scheme does, after it. */
static bool balancer_makes_canonical(void)
{
    ap_version_t version;

    ap_get_server_revision(&version);
    return version.major == 2 && version.minor == 4 && version.patch < 62;
}

/* Path and query as mod_proxy_http would send them, of a path that is not canonical. */
static int path_make_canonical(request_rec *r, const char **path)
{
    static const char origin[] = "http://localhost";
    char *before = r->filename;
    int rc = proxy_run_canon_handler(r, apr_pstrcat(r->pool, origin, *path, NULL));

    if (rc == OK && strlen(r->filename) > strlen(PROXY_PREFIX) + strlen(origin)) {
        *path = r->filename + strlen(PROXY_PREFIX) + strlen(origin);
    }
    r->filename = before;
    if (rc == DECLINED) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      GBLOGNO(1652) "writes need mod_proxy_http, which knows how their "
                                    "targets are spelled: load it");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return rc;
}

int mgb_commit_target(request_rec *r, const char **target)
{
    int rc = OK;

    if (r->proxyreq == PROXYREQ_NONE) { /* SetHandler */
        r->proxyreq = PROXYREQ_REVERSE;
        r->filename = apr_pstrcat(r->pool, r->handler, r->filename, NULL);
        if (balancer_makes_canonical()) {
            rc = proxy_run_canon_handler(r, r->filename + strlen(PROXY_PREFIX));
        }
    }
    *target = strchr(r->filename + strlen(PROXY_PREFIX BALANCER_SCHEME), '/');
    *target = *target ? *target : "/";
    if (rc == OK && !balancer_makes_canonical()) {
        rc = path_make_canonical(r, target);
    }
    if (rc == OK && !gb_wire_is_text(gb_wire_span(*target), '!', GB_WIRE_TARGET_MOST)) {
        rc = strlen(*target) > GB_WIRE_TARGET_MOST ? HTTP_REQUEST_URI_TOO_LARGE
                                                   : HTTP_BAD_REQUEST;
    }
    return rc == DECLINED ? HTTP_BAD_REQUEST : rc;
}
