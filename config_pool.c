/* SPDX-License-Identifier: Apache-2.0
 *
 * config_pool.c - the directives in <Proxy "balancer://...">.
 *
 * What each allows, and its default, stands in the table of config_setting.c.
 */
#include "config_private.h"

/* ------------------------------------------------------------------- sections */

const char *mgb_config_pool_name(apr_pool_t *p, const char *text)
{
    const size_t prefix = sizeof BALANCER_PREFIX - 1;
    char *name;

    if (!text || strncasecmp(text, BALANCER_PREFIX, prefix) != 0) {
        return NULL;
    }
    /* mod_proxy, too, drops a path and goes by lower case. */
    name = apr_pstrmemdup(p, text, prefix + strcspn(text + prefix, "/"));
    ap_str_tolower(name);
    return name[prefix] && !strpbrk(name + prefix, "*?[") ? name : NULL;
}

const char *mgb_config_section_name(apr_pool_t *p, const ap_directive_t *section)
{
    const char *end = strrchr(section->args, '>');
    const char *args =
        apr_pstrmemdup(p, section->args,
                       end ? (apr_size_t)(end - section->args) : strlen(section->args));

    return mgb_config_pool_name(p, ap_getword_conf(p, &args));
}

/* The <Proxy> that a directive stands in, NULL outside of one.  Tests such as
 * <IfModule> may stand between; what restricts to some requests (<Limit>, <If>) may
 * not. */
static const ap_directive_t *enclosing_section(const ap_directive_t *line)
{
    const ap_directive_t *section = line->parent;

    while (section && strncasecmp(section->directive, "<If", 3) == 0 &&
           section->directive[3] != '\0') {
        section = section->parent;
    }
    return section && strcasecmp(section->directive, "<Proxy") == 0 ? section : NULL;
}

const char *mgb_config_enclosing_pool(cmd_parms *cmd, mgb_raw_pool_t **pool)
{
    mgb_server_conf_t *conf = mgb_config_of(cmd->server);
    const ap_directive_t *section = enclosing_section(cmd->directive);
    const char *name = section ? mgb_config_section_name(cmd->pool, section) : NULL;

    if (!name) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name,
                           " belongs into a section <Proxy \"balancer://NAME\"> that "
                           "names one balancer",
                           NULL);
    }
    *pool = apr_hash_get(conf->pools, name, APR_HASH_KEY_STRING);
    if (!*pool) {
        *pool = apr_pcalloc(cmd->pool, sizeof **pool);
        (*pool)->name = name;
        for (size_t i = 0; i < MGB_SET_COUNT; i++) {
            (*pool)->value[i] = MGB_UNSET;
        }
        apr_hash_set(conf->pools, name, APR_HASH_KEY_STRING, *pool);
    }
    (*pool)->where = cmd->directive;
    return NULL;
}

const char *mgb_config_set_mode(cmd_parms *cmd, void *dummy, const char *arg)
{
    static const struct {
        const char *name;
        gb_mode_e mode;
    } modes[] = {
        {"off", GB_MODE_OFF}, {"on", GB_MODE_ON}, {"observe", GB_MODE_OBSERVE}};
    mgb_raw_pool_t *pool;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);

    if (error) {
        return error;
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcasecmp(arg, modes[i].name) == 0) {
            mgb_config_store(pool, MGB_SET_MODE, cmd, modes[i].mode, NULL);
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "GreenBalance %s: must be on, off or observe", arg);
}

/* Which policy a key of GreenPolicy belongs to; each has one at most. */
static const struct {
    gb_policy_e policy;
    mgb_setting_e setting;
} policy_keys[] = {{GB_POLICY_NEWS, MGB_SET_POLICY_BUDGET},
                   {GB_POLICY_AUTOSCALE, MGB_SET_POLICY_WAIT},
                   {GB_POLICY_KPA, MGB_SET_POLICY_TARGET}};

static bool is_key(const char *arg, const char *key)
{
    size_t length = strlen(key);

    return strncasecmp(arg, key, length) == 0 && arg[length] == '=';
}

/* What may follow the name of a policy, and whose key it is that was written. */
static const char *wrong_policy_key(cmd_parms *cmd, gb_policy_e policy, const char *arg)
{
    const char *name = gb_policy_name(policy), *allowed = "it takes no key here";
    const char *owner = "";

    for (size_t i = 0; i < sizeof policy_keys / sizeof policy_keys[0]; i++) {
        const mgb_setting_e setting = policy_keys[i].setting;

        if (policy_keys[i].policy == policy) {
            allowed =
                apr_psprintf(cmd->pool, "allowed is %s=, %s", mgb_config_key(setting),
                             mgb_config_allowed(cmd->pool, setting));
        }
        else if (is_key(arg, mgb_config_key(setting))) {
            owner =
                apr_psprintf(cmd->pool, "%s= belongs to %s; ", mgb_config_key(setting),
                             gb_policy_name(policy_keys[i].policy));
        }
    }
    if (policy == GB_POLICY_THRESHOLD) {
        allowed = "its percentages are set by GreenThreshold";
    }
    return apr_psprintf(cmd->pool, "GreenPolicy %s %s: %s%s: %s", name, arg, owner,
                        name, allowed);
}

static const char *set_policy_key(cmd_parms *cmd, mgb_raw_pool_t *pool,
                                  gb_policy_e policy, const char *arg, uint64_t *seen)
{
    for (size_t i = 0; i < sizeof policy_keys / sizeof policy_keys[0]; i++) {
        if (policy_keys[i].policy == policy &&
            is_key(arg, mgb_config_key(policy_keys[i].setting))) {
            return mgb_config_set_key(cmd, pool, arg, seen);
        }
    }
    return wrong_policy_key(cmd, policy, arg);
}

const char *mgb_config_set_policy(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool), *names = "";
    gb_policy_e policy = GB_POLICY_COUNT;
    uint64_t seen = 0;

    if (!pool) {
        return error;
    }
    for (int i = 0; i < GB_POLICY_COUNT; i++) {
        const char *name = gb_policy_name((gb_policy_e)i);

        names = apr_pstrcat(cmd->pool, names, i == 0 ? "" : ", ", name, NULL);
        if (argc > 0 && strcasecmp(argv[0], name) == 0) {
            policy = (gb_policy_e)i;
        }
    }
    if (policy == GB_POLICY_COUNT) {
        return apr_psprintf(cmd->pool, "GreenPolicy%s%s: must be one of %s",
                            argc < 1 ? "" : " ", argc < 1 ? "" : argv[0], names);
    }
    mgb_config_store(pool, MGB_SET_POLICY, cmd, policy, NULL);
    for (int i = 1; !error && i < argc; i++) {
        error = set_policy_key(cmd, pool, policy, argv[i], &seen);
    }
    return error;
}

const char *mgb_config_set_keys(cmd_parms *cmd, void *dummy, int argc,
                                char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    uint64_t seen = 0;

    if (!pool) {
        return error;
    }
    if (argc < 1) {
        error = apr_psprintf(cmd->pool, "%s needs at least one of %s", cmd->cmd->name,
                             mgb_config_show_keys(cmd->pool, cmd->cmd->name));
    }
    for (int i = 0; !error && i < argc; i++) {
        error = mgb_config_set_key(cmd, pool, argv[i], &seen);
    }
    return error;
}

/* GreenSlowStart, GreenHardOff and others: a directive with one value. */
const char *mgb_config_set_value(cmd_parms *cmd, void *dummy, const char *arg)
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    const mgb_setting_e setting = mgb_config_setting(cmd->cmd->name);
    int64_t value = 0;

    if (!pool) {
        return error;
    }
    if (!mgb_config_read(setting, arg, &value)) {
        return apr_psprintf(cmd->pool, "%s %s: must be %s", cmd->cmd->name, arg,
                            mgb_config_allowed(cmd->pool, setting));
    }
    mgb_config_store(pool, setting, cmd, value, apr_pstrdup(cmd->pool, arg));
    return NULL;
}

const char *mgb_config_set_queue(cmd_parms *cmd, void *dummy, int argc,
                                 char *const argv[])
{
    static const char *const orders[] = {[MGB_QUEUE_OFF] = "off",
                                         [MGB_QUEUE_FIFO] = "fifo",
                                         [MGB_QUEUE_LATE_LAST] = "late-last"};
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    uint64_t seen = 0;
    size_t order = 0;

    if (!pool) {
        return error;
    }
    while (argc > 0 && order < sizeof orders / sizeof orders[0] &&
           strcasecmp(argv[0], orders[order]) != 0) {
        order++;
    }
    if (argc < 1 || order == sizeof orders / sizeof orders[0]) {
        return apr_psprintf(cmd->pool,
                            "GreenQueue%s%s: must be off, fifo or late-last, and then "
                            "late=DURATION if need be",
                            argc < 1 ? "" : " ", argc < 1 ? "" : argv[0]);
    }
    mgb_config_store(pool, MGB_SET_QUEUE, cmd, (int64_t)order, NULL);
    for (int i = 1; !error && i < argc; i++) {
        error = mgb_config_set_key(cmd, pool, argv[i], &seen);
    }
    return error;
}

const char *mgb_config_set_sticky(cmd_parms *cmd, void *dummy, const char *arg)
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    const bool move = strcasecmp(arg, "move") == 0;
    uint64_t seen = 0;

    if (!pool) {
        return error;
    }
    if (!move && strncasecmp(arg, "wait=", 5) != 0) {
        return apr_psprintf(cmd->pool, "GreenSticky %s: must be move or wait=DURATION",
                            arg);
    }
    mgb_config_store(pool, MGB_SET_STICKY_MOVE, cmd, move, NULL);
    return move ? NULL : mgb_config_set_key(cmd, pool, arg, &seen);
}

const char *mgb_config_set_wake_ignore(cmd_parms *cmd, void *dummy, const char *arg)
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool), *wrong = NULL;
    ap_expr_info_t *expr;

    if (!pool) {
        return error;
    }
    /* It decides whether a server is woken, not what a response contains: a Vary that
     * speaks of it would only spoil caches. */
    expr = ap_expr_parse_cmd(cmd, arg, AP_EXPR_FLAG_DONT_VARY, &wrong, NULL);
    if (wrong) {
        return apr_psprintf(cmd->pool, "GreenWakeIgnore \"%s\": %s", arg, wrong);
    }
    mgb_config_store(pool, MGB_SET_WAKE_IGNORE, cmd, 1, NULL);
    pool->wake_ignore = expr;
    return NULL;
}
