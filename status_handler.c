/* SPDX-License-Identifier: Apache-2.0
 *
 * status_handler.c - who serves the report.
 *
 * Handler greenbalance-status: below its location it has the page (/), the report as
 * JSON (/status.json, /history.json) and as Prometheus metrics (/metrics).  mod_status
 * has a section of it.  Children only.
 */
#include "status.h"

#include "ap_expr.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_status.h"

#define HANDLER "greenbalance-status"

/* Does this <Location> set our handler, and does the path lie in it?  The path below
 * it, or NULL. */
static const char *below_section(request_rec *r, const core_dir_config *section)
{
    const char *handler = section->handler, *error = NULL;
    size_t length;

    if (section->r || section->d_is_fnmatch || !section->d) {
        return NULL;
    }
    length = strlen(section->d);
    while (length && section->d[length - 1] == '/') {
        length--;
    }
    if (strncmp(r->uri, section->d, length) ||
        (r->uri[length] && r->uri[length] != '/')) {
        return NULL;
    }
    if (section->expr_handler) {
        handler = ap_expr_str_exec(r, section->expr_handler, &error);
    }
    return handler && !error && !strcmp(handler, HANDLER) ? r->uri + length : NULL;
}

/* The path below the location.  path_info alone does not tell: it begins after the
 * first folder that does not exist, so below <Location /a/b> it is "/b/metrics". */
static const char *below_location(request_rec *r)
{
    const core_server_config *core =
        ap_get_core_module_config(r->server->module_config);
    const char *below = NULL, *found;

    for (int i = 0; core->sec_url && i < core->sec_url->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *);

        found = below_section(r, ap_get_core_module_config(section));
        if (found && (!below || found > below)) {
            below = found;
        }
    }
    if (!below) {
        below = r->path_info ? r->path_info : "";
    }
    return below;
}

static void set_headers(request_rec *r)
{
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Referrer-Policy", "no-referrer");
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                   "form-action 'none'; frame-ancestors 'none'");
}

/* The value of `balancer=`, the only argument that there is: HTTP_BAD_REQUEST for any
 * other; *wanted NULL when there is none. */
static int history_wanted(request_rec *r, const char **wanted)
{
    static const char key[] = "balancer=";
    char *value;

    *wanted = NULL;
    if (!r->args || !*r->args) {
        return OK;
    }
    if (strncmp(r->args, key, sizeof(key) - 1) || strchr(r->args, '&')) {
        return HTTP_BAD_REQUEST;
    }
    value = apr_pstrdup(r->pool, r->args + sizeof(key) - 1);
    *wanted = value;
    return ap_unescape_urlencoded(value) == OK ? OK : HTTP_BAD_REQUEST;
}

static int render_history(request_rec *r, const mgb_shared_t *sh, const char **body)
{
    const char *wanted;
    int status = history_wanted(r, &wanted);

    if (status != OK) {
        return status;
    }
    *body = mgb_render_history(r->pool, mgb_report_take(r->pool, sh), sh, wanted);
    return *body ? OK : HTTP_NOT_FOUND;
}

/* The page, or whatever lies below the location; OK, or the status to answer. */
static int render(request_rec *r, const mgb_shared_t *sh, const char *below,
                  const char **body)
{
    const char *type = "application/json";
    int status = OK;

    if (!*below || !strcmp(below, "/")) {
        const char *base =
            apr_pstrndup(r->pool, r->uri, strlen(r->uri) - strlen(below));

        *body = mgb_render_page(r->pool, mgb_report_take(r->pool, sh), sh, base);
        type = "text/html; charset=utf-8";
    }
    else if (!strcmp(below, "/status.json")) {
        *body = mgb_render_json(r->pool, mgb_report_take(r->pool, sh));
    }
    else if (!strcmp(below, "/history.json")) {
        status = render_history(r, sh, body);
    }
    else if (!strcmp(below, "/metrics")) {
        *body = mgb_render_metrics(r->pool, mgb_report_take(r->pool, sh));
        type = "text/plain; version=0.0.4; charset=utf-8";
    }
    else {
        status = HTTP_NOT_FOUND;
    }
    if (status == OK) {
        ap_set_content_type(r, type);
    }
    return status;
}

static int handle(request_rec *r)
{
    const mgb_shared_t *sh = mgb_context ? mgb_context->shared : NULL;
    const char *body;
    int status;

    if (!r->handler || strcmp(r->handler, HANDLER)) {
        return DECLINED;
    }
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
    if (r->method_number != M_GET) { /* HEAD has the number of GET */
        return r->method_number == M_OPTIONS ? DECLINED : HTTP_METHOD_NOT_ALLOWED;
    }
    set_headers(r);
    status = render(r, sh, below_location(r), &body);
    if (status != OK) {
        return status;
    }
    ap_set_content_length(r, (apr_off_t)strlen(body));
    if (!r->header_only) {
        ap_rputs(body, r);
    }
    return OK;
}

/* The section within mod_status's page. */
static int status_section(request_rec *r, int flags)
{
    if (mgb_context && mgb_context->shared) {
        ap_rputs(mgb_render_section(r->pool,
                                    mgb_report_take(r->pool, mgb_context->shared),
                                    (flags & AP_STATUS_SHORT) != 0),
                 r);
    }
    return OK;
}

/* An optional hook: mod_status need not be loaded. */
static int status_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    APR_OPTIONAL_HOOK(ap, status_hook, status_section, NULL, NULL, APR_HOOK_MIDDLE);
    return OK;
}

void mgb_status_register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(status_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
}
