/* SPDX-License-Identifier: Apache-2.0
 *
 * page_harness.c - an httpd module in the place of mod_greenbalance, around hold_page.c
 * alone: every proxied request finds no server, until a file says that one is there.
 *
 *   PageOutlook USUAL_MS READY_MS RETRY_MS      what is known of the wait
 *   PageDir DIR                                 DIR/awake: servers are there;
 *                                               DIR/hopeless: nothing can be woken
 *   PageConf on|off|PATH                        as GreenHold page=
 *   PageIgnore EXPR                             as GreenWakeIgnore
 *
 * The header X-Visit tells the class of a request; those to be held are refused.
 */
#define MGB_MODULE_FILE
#include "../../hold_page.h"

#include <unistd.h>

mgb_context_t *mgb_context;

static mgb_pool_conf_t conf;
static mgb_outlook_t outlook;
static const char *dir;

static const char *set_outlook(cmd_parms *cmd, void *dummy, const char *usual_ms,
                               const char *ready_ms, const char *retry_ms)
{
    outlook.usual_us = apr_atoi64(usual_ms) * GB_US_PER_MS;
    outlook.ready_us = apr_atoi64(ready_ms) * GB_US_PER_MS;
    outlook.retry_us = apr_atoi64(retry_ms) * GB_US_PER_MS;
    return NULL;
}

static const char *set_dir(cmd_parms *cmd, void *dummy, const char *path)
{
    dir = apr_pstrdup(cmd->pool, path);
    return NULL;
}

static const char *set_page(cmd_parms *cmd, void *dummy, const char *page)
{
    conf.hold.page = strcmp(page, "off") != 0;
    conf.hold.page_file = page[0] == '/' ? apr_pstrdup(cmd->pool, page) : NULL;
    return NULL;
}

static const char *set_ignore(cmd_parms *cmd, void *dummy, const char *text)
{
    const char *error = NULL;

    conf.hold.ignore = ap_expr_parse_cmd(cmd, text, 0, &error, NULL);
    return error;
}

static const command_rec commands[] = {
    AP_INIT_TAKE3("PageOutlook", set_outlook, NULL, RSRC_CONF, ""),
    AP_INIT_TAKE1("PageDir", set_dir, NULL, RSRC_CONF, ""),
    AP_INIT_TAKE1("PageConf", set_page, NULL, RSRC_CONF, ""),
    AP_INIT_TAKE1("PageIgnore", set_ignore, NULL, RSRC_CONF, ""),
    {NULL},
};

static bool is_there(request_rec *r, const char *name)
{
    return dir && access(apr_pstrcat(r->pool, dir, "/", name, NULL), F_OK) == 0;
}

static int pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                       proxy_server_conf *proxy, char **url)
{
    static const char *const names[] = {"hold", "page", "refuse", "ignore"};
    mgb_outlook_t now = outlook;
    mgb_visit_e visit;

    if (is_there(r, "awake")) {
        return DECLINED;
    }
    now.hopeless = is_there(r, "hopeless");
    visit = mgb_page_classify(r, &conf.hold);
    apr_table_setn(r->err_headers_out, "X-Visit", names[visit]);
    return mgb_page_answer(r, &conf.hold, visit, &now);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    mgb_context = apr_pcalloc(pconf, sizeof(*mgb_context));
    mgb_context->balancers = apr_array_make(pconf, 1, sizeof(mgb_balancer_t));
    APR_ARRAY_PUSH(mgb_context->balancers, mgb_balancer_t) =
        (mgb_balancer_t){.conf = &conf};
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    conf.hold.page = true;
    proxy_hook_pre_request(pre_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    mgb_page_register_hooks(p);
}

AP_DECLARE_MODULE(greenbalance) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks, 0,
};
