/* SPDX-License-Identifier: Apache-2.0
 *
 * config_balancer.c - checks of what is said of balancers, when all is read.
 *
 * A section's own settings are checked once; what depends on mod_proxy's settings, for
 * each balancer that the section is about.  Runs in the parent, in check_config.
 */
#include "config_private.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static bool balancer_exists(const mgb_findings_t *found, const char *name)
{
    for (const server_rec *s = found->main_server; s; s = s->next) {
        int i = 0;

        if (mgb_config_next_balancer(s, name, &i)) {
            return true;
        }
    }
    return false;
}

/* It is read in the parent, as whoever starts httpd. */
static void check_page(mgb_findings_t *found, const mgb_raw_pool_t *pool)
{
    const ap_directive_t *where = pool->set_at[MGB_SET_HOLD_PAGE];
    const char *file = mgb_config_page_file(found->p, pool);
    struct stat st;

    if (mgb_config_value(pool, MGB_SET_HOLD_PAGE) != MGB_PAGE_FILE) {
        return;
    }
    if (!file || stat(file, &st) != 0 || access(file, R_OK) != 0) {
        const int error = file ? errno : EINVAL;

        mgb_config_report(found, where,
                          GBLOGNO(0120) "%s: GreenHold page=%s: %s: %s; name a file "
                                        "that can be read, or say page=on or page=off",
                          pool->name, pool->text[MGB_SET_HOLD_PAGE], file ? file : "",
                          strerror(error));
    }
    else if (!S_ISREG(st.st_mode)) {
        mgb_config_report(
            found, where,
            GBLOGNO(0121) "%s: GreenHold page=%s: %s is no regular file; name a file, "
                          "or say page=on or page=off",
            pool->name, pool->text[MGB_SET_HOLD_PAGE], file);
    }
    else if (st.st_size > MGB_PAGE_BYTES_MOST) {
        mgb_config_report(
            found, where,
            GBLOGNO(0122) "%s: GreenHold page=%s: %s has %" APR_INT64_T_FMT " bytes; "
                          "at most %d are allowed: make it smaller, for it is kept in "
                          "memory and sent whole",
            pool->name, pool->text[MGB_SET_HOLD_PAGE], file, (apr_int64_t)st.st_size,
            MGB_PAGE_BYTES_MOST);
    }
}

/* ------------------------------------------------------------ who sends it requests */

/* What says of a balancer how it is, and sends it nothing. */
static bool only_describes(const char *directive)
{
    static const char *const words[] = {"<Proxy", "BalancerMember", "ProxySet",
                                        "ProxyPassReverse"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncasecmp(directive, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Whole, not as the beginning of another one's name; or one that is made up for each
 * request, which may be any. */
static bool names_balancer(const char *text, const char *name)
{
    const size_t scheme = strlen("balancer://"), length = strlen(name);

    for (const char *at = text; (at = ap_strcasestr(at, "balancer://")) != NULL;
         at += scheme) {
        if (at[scheme] == '%' || at[scheme] == '$' ||
            (strncasecmp(at, name, length) == 0 && !apr_isalnum(at[length]) &&
             !strchr("-_.", at[length] ? at[length] : ' '))) {
            return true;
        }
    }
    return false;
}

/* ProxyPass, a RewriteRule, SetHandler, or whatever else; a map of rewriting may bring
 * it as well. */
static bool is_sent_to(const ap_directive_t *line, const char *name)
{
    for (; line; line = line->next) {
        if (strcasecmp(line->directive, "RewriteMap") == 0 ||
            (!only_describes(line->directive) && line->args &&
             names_balancer(line->args, name)) ||
            is_sent_to(line->first_child, name)) {
            return true;
        }
    }
    return false;
}

static void check_use(mgb_findings_t *found, const mgb_raw_pool_t *pool)
{
    if (mgb_config_value(pool, MGB_SET_MODE) != GB_MODE_OFF &&
        balancer_exists(found, pool->name) && !is_sent_to(ap_conftree, pool->name)) {
        mgb_config_warn(
            found, pool->set_at[MGB_SET_MODE],
            GBLOGNO(0137) "%s: GreenBalance manages it, and nothing in this "
                          "configuration sends it requests: a ProxyPass to "
                          "%s/ is missing, or names another",
            pool->name, pool->name);
    }
}

static void check_pool(mgb_findings_t *found, const mgb_raw_pool_t *pool)
{
    const ap_directive_t *set_at = pool->set_at[MGB_SET_THRESHOLD_SLEEP];
    const int64_t wake = mgb_config_value(pool, MGB_SET_THRESHOLD_WAKE);
    const int64_t sleep = mgb_config_value(pool, MGB_SET_THRESHOLD_SLEEP);

    if (!balancer_exists(found, pool->name)) {
        mgb_config_report(found, pool->where,
                          GBLOGNO(0106) "%s: no balancer of this name has a member",
                          pool->name);
    }
    if (sleep >= wake) {
        mgb_config_report(
            found, set_at ? set_at : pool->set_at[MGB_SET_THRESHOLD_WAKE],
            GBLOGNO(0107) "%s: GreenThreshold sleep=%g%% must be less than "
                          "wake=%g%%",
            pool->name, (double)sleep / 10, (double)wake / 10);
    }
    check_page(found, pool);
    check_use(found, pool);
    if (mgb_config_value(pool, MGB_SET_MODE) != GB_MODE_OFF) {
        found->managed = true;
    }
}

bool mgb_config_any_sleeps(const proxy_balancer *balancer)
{
    for (int i = 0; i < balancer->workers->nelts; i++) {
        const mgb_hints_t *hints =
            mgb_config_hints(APR_ARRAY_IDX(balancer->workers, i, proxy_worker *));

        if (hints && hints->sleep_count) {
            return true;
        }
    }
    return false;
}

/* A floor that cannot be held is no error: members may be added while httpd runs. */
static void check_floor(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                        const proxy_balancer *balancer)
{
    const int64_t least = mgb_config_value(pool, MGB_SET_AWAKE_MIN);

    if (least > balancer->workers->nelts && pool->set_at[MGB_SET_AWAKE_MIN]) {
        mgb_config_warn(
            found, pool->set_at[MGB_SET_AWAKE_MIN],
            GBLOGNO(0136) "%s: GreenAwake min=%d is more than the %d members "
                          "that there are: all of them will be awake",
            pool->name, (int)least, balancer->workers->nelts);
    }
}

static void check_schedules(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                            const proxy_balancer *balancer)
{
    for (int i = 0; pool->schedules && i < pool->schedules->nelts; i++) {
        const mgb_raw_schedule_t *raw =
            &APR_ARRAY_IDX(pool->schedules, i, mgb_raw_schedule_t);

        if (raw->schedule.min_awake > (uint32_t)balancer->workers->nelts) {
            mgb_config_warn(found, raw->where,
                            GBLOGNO(0135) "%s: GreenSchedule min=%u is more than the "
                                          "%d members that there are: all of them will "
                                          "be awake",
                            pool->name, raw->schedule.min_awake,
                            balancer->workers->nelts);
        }
    }
}

/* What does not go together with mod_proxy's own settings of the balancer. */
static void check_balancer(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                           const proxy_balancer *balancer)
{
    if (mgb_config_value(pool, MGB_SET_STICKY_MOVE) && balancer->s->sticky_force) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_STICKY_MOVE],
            GBLOGNO(0123) "%s: GreenSticky move does not go with nofailover=On, which "
                          "refuses the sessions that are to move: say GreenSticky "
                          "wait=DURATION, or nofailover=Off",
            pool->name);
    }
    else if (mgb_config_value(pool, MGB_SET_MODE) == GB_MODE_ON &&
             balancer->s->sticky_force && *balancer->s->sticky &&
             mgb_config_any_sleeps(balancer)) {
        mgb_config_warn(
            found, pool->set_at[MGB_SET_MODE],
            GBLOGNO(0134) "%s: with nofailover=On whoever comes back with a session "
                          "of a server that sleeps gets 503 until the load wakes it: "
                          "nofailover=Off lets another server begin a new session",
            pool->name);
    }
    if (mgb_config_value(pool, MGB_SET_QUEUE) != MGB_QUEUE_OFF &&
        strcmp(balancer->s->lbpname, MGB_LBMETHOD) != 0) {
        mgb_config_report(
            found, pool->set_at[MGB_SET_QUEUE],
            GBLOGNO(0124) "%s: GreenQueue needs the method that knows the servers' "
                          "capacity, and the balancer's is %s: add \"ProxySet "
                          "lbmethod=bypower\", or say GreenQueue off",
            pool->name, balancer->s->lbpname);
    }
    check_floor(found, pool, balancer);
    check_schedules(found, pool, balancer);
}

/* A section may be about balancers of several servers, and a virtual host has the main
 * server's balancers as well: each pair once. */
void mgb_config_each(mgb_findings_t *found, mgb_config_each_fn *fn)
{
    apr_hash_t *seen = apr_hash_make(found->p);

    for (const server_rec *s = found->main_server; s; s = s->next) {
        const proxy_balancer *balancer;
        int i = 0;

        while ((balancer = mgb_config_next_balancer(s, NULL, &i))) {
            const mgb_raw_pool_t *pool =
                mgb_config_find_pool(found->p, s, balancer->s->name);
            const char *pair = apr_psprintf(found->p, "%pp %pp", (const void *)pool,
                                            (const void *)balancer->s);

            if (pool && !apr_hash_get(seen, pair, APR_HASH_KEY_STRING)) {
                apr_hash_set(seen, pair, APR_HASH_KEY_STRING, pool);
                fn(found, pool, balancer);
            }
        }
    }
}

/* Each section once: a virtual host without one of its own has the main server's. */
void mgb_config_check_pools(mgb_findings_t *found)
{
    for (const server_rec *s = found->main_server; s; s = s->next) {
        for (apr_hash_index_t *hi = apr_hash_first(found->p, mgb_config_of(s)->pools);
             hi; hi = apr_hash_next(hi)) {
            const mgb_raw_pool_t *pool = apr_hash_this_val(hi);

            if (s == found->main_server || apr_hash_get(found->raw->pools, pool->name,
                                                        APR_HASH_KEY_STRING) != pool) {
                check_pool(found, pool);
            }
        }
    }
    mgb_config_each(found, check_balancer);
}
