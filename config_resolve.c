/* SPDX-License-Identifier: Apache-2.0
 *
 * config_resolve.c - what holds for a balancer: a virtual host's settings over the main
 * server's, and the values that the other files work with.
 *
 * Runs in the parent, from merging on; written to by nobody after check_config.
 */
#include "config_private.h"

void *mgb_config_merge_pool(apr_pool_t *p, const void *key, apr_ssize_t length,
                            const void *over, const void *base, const void *baton)
{
    const mgb_raw_pool_t *above = over, *below = base;
    mgb_raw_pool_t *pool = apr_pmemdup(p, above, sizeof *above);

    for (size_t i = 0; i < MGB_SET_COUNT; i++) {
        if (pool->value[i] == MGB_UNSET) {
            pool->value[i] = below->value[i];
            pool->text[i] = below->text[i];
            pool->set_at[i] = below->set_at[i];
        }
    }
    if (above->value[MGB_SET_WAKE_IGNORE] == MGB_UNSET) {
        pool->wake_ignore = below->wake_ignore;
    }
    /* A virtual host's schedules are a timetable of their own. */
    if (!above->schedules) {
        pool->schedules = below->schedules;
    }
    if (above->value[MGB_SET_COMMIT_HEADERS] == MGB_UNSET) {
        pool->headers = below->headers;
    }
    if (above->value[MGB_SET_RESYNC] == MGB_UNSET) {
        pool->resync = below->resync;
    }
    return pool;
}

const mgb_raw_pool_t *mgb_config_find_pool(apr_pool_t *p, const server_rec *s,
                                           const char *name)
{
    const mgb_server_conf_t *conf = mgb_config_of(s);
    const char *canonical = mgb_config_pool_name(p, name);

    return conf && canonical ? apr_hash_get(conf->pools, canonical, APR_HASH_KEY_STRING)
                             : NULL;
}

proxy_balancer *mgb_config_next_balancer(const server_rec *s, const char *name, int *i)
{
    const proxy_server_conf *conf =
        ap_get_module_config(s->module_config, &proxy_module);

    while (*i < conf->balancers->nelts) {
        proxy_balancer *balancer =
            &APR_ARRAY_IDX(conf->balancers, (*i)++, proxy_balancer);

        if (!name || strcasecmp(balancer->s->name, name) == 0) {
            return balancer;
        }
    }
    return NULL;
}

const char *mgb_config_page_file(apr_pool_t *p, const mgb_raw_pool_t *raw)
{
    return raw && mgb_config_value(raw, MGB_SET_HOLD_PAGE) == MGB_PAGE_FILE
               ? ap_server_root_relative(p, raw->text[MGB_SET_HOLD_PAGE])
               : NULL;
}

/* ----------------------------------------------------------- from raw to values */

static void resolve_rules(gb_rules_t *rules, const mgb_raw_pool_t *raw)
{
    rules->drain_timeout_us = mgb_config_value(raw, MGB_SET_DRAIN_TIMEOUT);
    rules->wake_timeout_us = mgb_config_value(raw, MGB_SET_WAKE_TIMEOUT);
    rules->wake_retry_us = mgb_config_value(raw, MGB_SET_WAKE_RETRY);
    rules->awake_dwell_us = mgb_config_value(raw, MGB_SET_DWELL_AWAKE);
    rules->asleep_dwell_us = mgb_config_value(raw, MGB_SET_DWELL_ASLEEP);
    rules->cycles_per_day = (uint32_t)mgb_config_value(raw, MGB_SET_DWELL_CYCLES);
    rules->packets = (uint32_t)mgb_config_value(raw, MGB_SET_WAKE_PACKETS);
    /* A server that stops has as long as a rung has, and then the time that the proof
     * of its being off takes: a deadline before that would wake every one again. */
    rules->stop_timeout_us =
        rules->wake_timeout_us + mgb_config_value(raw, MGB_SET_REVERSE_INTERVAL) *
                                     (mgb_config_value(raw, MGB_SET_REVERSE_FALL) + 1);
}

static void resolve_probe(mgb_probe_conf_t *probe, const mgb_raw_pool_t *raw)
{
    const int64_t statuses = mgb_config_value(raw, MGB_SET_HEALTH_EXPECT);

    probe->uri =
        raw && raw->text[MGB_SET_HEALTH_URI] ? raw->text[MGB_SET_HEALTH_URI] : "/";
    probe->host = raw ? raw->text[MGB_SET_HEALTH_HOST] : NULL;
    probe->interval_us = mgb_config_value(raw, MGB_SET_HEALTH_INTERVAL);
    probe->timeout_us = mgb_config_value(raw, MGB_SET_HEALTH_TIMEOUT);
    probe->rise = (uint32_t)mgb_config_value(raw, MGB_SET_HEALTH_RISE);
    probe->fall = (uint32_t)mgb_config_value(raw, MGB_SET_HEALTH_FALL);
    probe->expect_from = (uint32_t)(statuses / 1000);
    probe->expect_to = (uint32_t)(statuses % 1000);
    probe->verify = mgb_config_value(raw, MGB_SET_HEALTH_VERIFY) != 0;
}

static void resolve_hold(apr_pool_t *p, mgb_hold_conf_t *hold,
                         const mgb_raw_pool_t *raw)
{
    hold->max = (uint32_t)mgb_config_value(raw, MGB_SET_HOLD_MAX);
    hold->timeout_us = mgb_config_value(raw, MGB_SET_HOLD_TIMEOUT);
    hold->page = mgb_config_value(raw, MGB_SET_HOLD_PAGE) != MGB_PAGE_OFF;
    hold->page_file = mgb_config_page_file(p, raw);
    hold->queue = (mgb_queue_e)mgb_config_value(raw, MGB_SET_QUEUE);
    hold->late_us = mgb_config_value(raw, MGB_SET_QUEUE_LATE);
    hold->ignore = raw ? raw->wake_ignore : NULL;
}

static void resolve_return(mgb_return_conf_t *comeback, const mgb_raw_pool_t *raw)
{
    comeback->slow_start_us = mgb_config_value(raw, MGB_SET_SLOW_START);
    comeback->outlier_errors = (uint32_t)mgb_config_value(raw, MGB_SET_OUTLIER_ERRORS);
    comeback->outlier_within_us = mgb_config_value(raw, MGB_SET_OUTLIER_WITHIN);
    comeback->outlier_eject_us = mgb_config_value(raw, MGB_SET_OUTLIER_EJECT);
    comeback->sticky_move = mgb_config_value(raw, MGB_SET_STICKY_MOVE) != 0;
    comeback->sticky_wait_us = mgb_config_value(raw, MGB_SET_STICKY_WAIT);
}

static void resolve_policy(mgb_pool_conf_t *pool, const mgb_raw_pool_t *raw)
{
    gb_policy_conf_t *policy = &pool->policy;

    pool->threshold.wake_permille =
        (uint32_t)mgb_config_value(raw, MGB_SET_THRESHOLD_WAKE);
    pool->threshold.sleep_permille =
        (uint32_t)mgb_config_value(raw, MGB_SET_THRESHOLD_SLEEP);
    gb_policy_defaults(policy, (gb_policy_e)mgb_config_value(raw, MGB_SET_POLICY));
    policy->threshold = pool->threshold;
    policy->hold_us = pool->rules.awake_dwell_us;
    policy->budget = (double)mgb_config_value(raw, MGB_SET_POLICY_BUDGET) / 1000;
    policy->wait_s = (double)mgb_config_value(raw, MGB_SET_POLICY_WAIT) / GB_US_PER_S;
    policy->target = (double)mgb_config_value(raw, MGB_SET_POLICY_TARGET) / 1000;
}

/* Has the balancer sessions that a draining server waits for?  Then GreenDrain's time
 * begins when the last of them could have ended: sessions get GreenSticky's wait, and
 * the requests that they bring until then get GreenDrain's timeout.  What
 * balancer-manager changes later does not matter. */
static bool waits_for_sessions(const server_rec *s, const mgb_pool_conf_t *pool)
{
    int i = 0;
    const proxy_balancer *balancer = mgb_config_next_balancer(s, pool->name, &i);

    return balancer && balancer->s->sticky[0] && !pool->comeback.sticky_move;
}

const mgb_pool_conf_t *mgb_config_pool(apr_pool_t *p, server_rec *s, const char *name)
{
    const mgb_raw_pool_t *raw = mgb_config_find_pool(p, s, name);
    mgb_pool_conf_t *pool = apr_pcalloc(p, sizeof *pool);

    pool->name = raw ? raw->name : apr_pstrdup(p, name);
    pool->mode = (gb_mode_e)mgb_config_value(raw, MGB_SET_MODE);
    pool->min_awake = (uint32_t)mgb_config_value(raw, MGB_SET_AWAKE_MIN);
    pool->spare = (uint32_t)mgb_config_value(raw, MGB_SET_AWAKE_SPARE);
    pool->wakes_at_once = (uint32_t)mgb_config_value(raw, MGB_SET_WAKE_ATONCE);
    resolve_rules(&pool->rules, raw);
    resolve_policy(pool, raw);
    mgb_config_resolve_schedules(p, pool, raw);
    resolve_probe(&pool->probe, raw);
    pool->reverse.interval_us = mgb_config_value(raw, MGB_SET_REVERSE_INTERVAL);
    pool->reverse.fall = (uint32_t)mgb_config_value(raw, MGB_SET_REVERSE_FALL);
    pool->reverse.beat_us = mgb_config_value(raw, MGB_SET_REVERSE_BEAT);
    resolve_hold(p, &pool->hold, raw);
    resolve_return(&pool->comeback, raw);
    mgb_config_resolve_commit(p, &pool->commit, raw);
    pool->hard_off = mgb_config_value(raw, MGB_SET_HARD_OFF) != 0;
    if (waits_for_sessions(s, pool)) {
        pool->rules.drain_timeout_us =
            gb_after_us(pool->rules.drain_timeout_us, pool->comeback.sticky_wait_us);
    }
    return pool;
}

bool mgb_config_pool_named(server_rec *s, const char *name)
{
    const apr_array_header_t *members = mgb_config_members();
    apr_pool_t *p = s->process->pconf;

    if (mgb_config_find_pool(p, s, name)) {
        return true;
    }
    name = mgb_config_pool_name(p, name);
    for (int i = 0; name && members && i < members->nelts; i++) {
        const mgb_keys_t *keys = APR_ARRAY_IDX(members, i, const mgb_keys_t *);

        /* The main server's balancers are every virtual host's. */
        if ((keys->server == s || !keys->server->is_virtual) && keys->balancer &&
            strcmp(keys->balancer, name) == 0) {
            return true;
        }
    }
    return false;
}
