/* SPDX-License-Identifier: Apache-2.0
 *
 * config_pool.c - the directives in <Proxy "balancer://...">.
 *
 * One table says of each setting where it is written, what is allowed and what holds
 * when nothing is written; reading, messages, inheriting and looking up go by it.
 */
#include "config_private.h"

#include "core/gb_parse.h"

#define MS  GB_US_PER_MS
#define SEC GB_US_PER_S
#define DAY (24 * 3600 * GB_US_PER_S)

/* ----------------------------------------------------------- settings of a balancer */

typedef enum kind_e {
    KIND_WORD, /* read by a setter of its own */
    KIND_DURATION,
    KIND_COUNT,
    KIND_PERCENT,
    KIND_PER_DAY,
    KIND_SWITCH,
    KIND_STATUSES, /* from * 1000 + to */
    KIND_PATH,
    KIND_HOST,
    KIND_PAGE /* mgb_page_e */
} kind_e;

/* A line for each setting: where it is written, what is allowed, the default. */
static const struct setting_t {
    const char *directive, *key;
    kind_e kind;
    int64_t least, most, otherwise;
} settings[MGB_SET_COUNT] = {
    [MGB_SET_MODE] = {"GreenBalance", "", KIND_WORD, 0, 0, GB_MODE_OFF},
    [MGB_SET_POLICY] = {"GreenPolicy", "", KIND_WORD, 0, 0, MGB_POLICY_DEFAULT},
    [MGB_SET_POLICY_BUDGET] = {"GreenPolicy", "budget", KIND_PERCENT, 1, 200, 5},
    [MGB_SET_POLICY_WAIT] = {"GreenPolicy", "wait", KIND_DURATION, 1 * SEC, DAY, 0},
    [MGB_SET_POLICY_TARGET] = {"GreenPolicy", "target", KIND_PERCENT, 100, 1000, 700},
    [MGB_SET_THRESHOLD_WAKE] = {"GreenThreshold", "wake", KIND_PERCENT, 10, 1000, 800},
    [MGB_SET_THRESHOLD_SLEEP] = {"GreenThreshold", "sleep", KIND_PERCENT, 10, 1000,
                                 500},
    [MGB_SET_AWAKE_MIN] = {"GreenAwake", "min", KIND_COUNT, 0, GB_MEMBERS_MAX, 1},
    [MGB_SET_AWAKE_SPARE] = {"GreenAwake", "spare", KIND_COUNT, 0, GB_MEMBERS_MAX, 0},
    [MGB_SET_DWELL_AWAKE] = {"GreenDwell", "awake", KIND_DURATION, 0, 30 * DAY,
                             300 * SEC},
    [MGB_SET_DWELL_ASLEEP] = {"GreenDwell", "asleep", KIND_DURATION, 0, 30 * DAY,
                              60 * SEC},
    [MGB_SET_DWELL_CYCLES] = {"GreenDwell", "cycles", KIND_PER_DAY, 1, GB_CYCLES_KEPT,
                              24},
    [MGB_SET_HEALTH_URI] = {"GreenHealth", "uri", KIND_PATH, 0, 0, 0},
    [MGB_SET_HEALTH_INTERVAL] = {"GreenHealth", "interval", KIND_DURATION, 100 * MS,
                                 3600 * SEC, 2 * SEC},
    [MGB_SET_HEALTH_TIMEOUT] = {"GreenHealth", "timeout", KIND_DURATION, 10 * MS,
                                300 * SEC, 1 * SEC},
    [MGB_SET_HEALTH_RISE] = {"GreenHealth", "rise", KIND_COUNT, 1, 100, 2},
    [MGB_SET_HEALTH_FALL] = {"GreenHealth", "fall", KIND_COUNT, 1, 100, 3},
    [MGB_SET_HEALTH_EXPECT] = {"GreenHealth", "expect", KIND_STATUSES, 0, 0, 200399},
    [MGB_SET_HEALTH_HOST] = {"GreenHealth", "host", KIND_HOST, 0, 0, 0},
    [MGB_SET_HEALTH_VERIFY] = {"GreenHealth", "verify", KIND_SWITCH, 0, 1, 0},
    [MGB_SET_REVERSE_INTERVAL] = {"GreenReverseHealth", "interval", KIND_DURATION,
                                  100 * MS, DAY, 30 * SEC},
    [MGB_SET_REVERSE_FALL] = {"GreenReverseHealth", "fall", KIND_COUNT, 1, 100, 2},
    [MGB_SET_REVERSE_BEAT] = {"GreenReverseHealth", "beat", KIND_DURATION, 100 * MS,
                              3600 * SEC, 15 * SEC},
    [MGB_SET_WAKE_TIMEOUT] = {"GreenWake", "timeout", KIND_DURATION, 100 * MS, DAY,
                              300 * SEC},
    [MGB_SET_WAKE_RETRY] = {"GreenWake", "retry", KIND_DURATION, 100 * MS, 3600 * SEC,
                            10 * SEC},
    [MGB_SET_WAKE_PACKETS] = {"GreenWake", "packets", KIND_COUNT, 1, 20, 3},
    [MGB_SET_WAKE_ATONCE] = {"GreenWake", "atonce", KIND_COUNT, 1, GB_MEMBERS_MAX, 8},
    [MGB_SET_DRAIN_TIMEOUT] = {"GreenDrain", "timeout", KIND_DURATION, 100 * MS,
                               30 * DAY, 600 * SEC},
    [MGB_SET_HOLD_MAX] = {"GreenHold", "max", KIND_COUNT, 0, 100000,
                          MGB_HOLD_MAX_DEFAULT},
    [MGB_SET_HOLD_TIMEOUT] = {"GreenHold", "timeout", KIND_DURATION, 0, DAY, 0},
    [MGB_SET_HOLD_PAGE] = {"GreenHold", "page", KIND_PAGE, MGB_PAGE_OFF, MGB_PAGE_FILE,
                           MGB_PAGE_ON},
    [MGB_SET_QUEUE] = {"GreenQueue", "", KIND_WORD, 0, 0, MGB_QUEUE_OFF},
    [MGB_SET_QUEUE_LATE] = {"GreenQueue", "late", KIND_DURATION, 1 * MS, 3600 * SEC,
                            500 * MS},
    [MGB_SET_SLOW_START] = {"GreenSlowStart", "", KIND_DURATION, 0, DAY, 30 * SEC},
    [MGB_SET_OUTLIER_ERRORS] = {"GreenOutlier", "errors", KIND_COUNT, 0, 10000, 5},
    [MGB_SET_OUTLIER_WITHIN] = {"GreenOutlier", "within", KIND_DURATION, 100 * MS, DAY,
                                10 * SEC},
    [MGB_SET_OUTLIER_EJECT] = {"GreenOutlier", "eject", KIND_DURATION, 100 * MS, DAY,
                               30 * SEC},
    [MGB_SET_STICKY_MOVE] = {"GreenSticky", "", KIND_WORD, 0, 0, 0},
    [MGB_SET_STICKY_WAIT] = {"GreenSticky", "wait", KIND_DURATION, 100 * MS, 30 * DAY,
                             600 * SEC},
    [MGB_SET_HARD_OFF] = {"GreenHardOff", "", KIND_SWITCH, 0, 1, 0},
    [MGB_SET_WAKE_IGNORE] = {"GreenWakeIgnore", "", KIND_WORD, 0, 0, 0},
};

int64_t mgb_config_value(const mgb_raw_pool_t *raw, mgb_setting_e setting)
{
    return raw && raw->value[setting] != MGB_UNSET ? raw->value[setting]
                                                   : settings[setting].otherwise;
}

static const char *show_duration(apr_pool_t *p, int64_t us)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"d", DAY}, {"h", 3600 * SEC}, {"m", 60 * SEC}, {"s", SEC}};

    for (size_t i = 0; us && i < sizeof units / sizeof units[0]; i++) {
        if (us % units[i].us == 0) {
            return apr_psprintf(p, "%" APR_INT64_T_FMT "%s", us / units[i].us,
                                units[i].name);
        }
    }
    return us ? apr_psprintf(p, "%" APR_INT64_T_FMT "ms", us / MS) : "0";
}

static const char *show_percent(apr_pool_t *p, int64_t permille)
{
    return permille % 10
               ? apr_psprintf(p, "%d.%d%%", (int)(permille / 10), (int)(permille % 10))
               : apr_psprintf(p, "%d%%", (int)(permille / 10));
}

/* What a setting allows, for error messages. */
static const char *show_allowed(apr_pool_t *p, const struct setting_t *setting)
{
    switch (setting->kind) {
    case KIND_DURATION:
        return apr_psprintf(p, "a duration from %s to %s, such as 500ms, 30s, 5m",
                            show_duration(p, setting->least),
                            show_duration(p, setting->most));
    case KIND_COUNT:
        return apr_psprintf(p,
                            "a number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT,
                            setting->least, setting->most);
    case KIND_PERCENT:
        return apr_psprintf(p, "a percentage from %s to %s",
                            show_percent(p, setting->least),
                            show_percent(p, setting->most));
    case KIND_PER_DAY:
        return apr_psprintf(
            p, "N/day with N from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT,
            setting->least, setting->most);
    case KIND_SWITCH:
        return "on or off";
    case KIND_STATUSES:
        return "FROM-TO, two HTTP statuses from 100 to 599, such as 200-399";
    case KIND_PATH:
        return "a path that begins with / and has no space, such as /health";
    case KIND_HOST:
        return "a host's name, with a port if need be";
    case KIND_PAGE:
        return "on, off or the path of a file";
    case KIND_WORD:
        break;
    }
    return "";
}

/* A value of the kinds that are one number. */
static bool read_number(const struct setting_t *setting, const char *text,
                        uint32_t *number)
{
    bool on = false, good;

    switch (setting->kind) {
    case KIND_COUNT:
        return gb_parse_count(text, (uint32_t)setting->least, (uint32_t)setting->most,
                              number);
    case KIND_PERCENT:
        return gb_parse_percent(text, number);
    case KIND_PER_DAY:
        return gb_parse_per_day(text, number);
    case KIND_SWITCH:
        good = gb_parse_switch(text, &on);
        *number = on;
        return good;
    case KIND_DURATION:
    case KIND_STATUSES:
    case KIND_PATH:
    case KIND_HOST:
    case KIND_PAGE:
    case KIND_WORD:
        break;
    }
    return false;
}

static bool read_statuses(const char *text, int64_t *value)
{
    uint32_t from, to;
    bool good = gb_parse_statuses(text, &from, &to);

    *value = good ? from * INT64_C(1000) + to : 0;
    return good;
}

static bool read_page(const char *text, int64_t *value)
{
    bool on;

    if (gb_parse_switch(text, &on)) {
        *value = on ? MGB_PAGE_ON : MGB_PAGE_OFF;
        return true;
    }
    *value = MGB_PAGE_FILE;
    return *text != '\0';
}

/* Reads the value of one key; false when it is not allowed. */
static bool read_value(const struct setting_t *setting, const char *text,
                       int64_t *value)
{
    gb_address_t address;
    uint32_t number = 0;
    bool good;

    *value = 0;
    switch (setting->kind) {
    case KIND_STATUSES:
        return read_statuses(text, value);
    case KIND_PATH:
        return gb_parse_path(text);
    case KIND_HOST:
        return gb_parse_address(text, 1, &address);
    case KIND_PAGE:
        return read_page(text, value);
    case KIND_DURATION:
        good = gb_parse_duration(text, value);
        break;
    default:
        good = read_number(setting, text, &number);
        *value = number;
        break;
    }
    return good && *value >= setting->least && *value <= setting->most;
}

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

static void store(mgb_raw_pool_t *pool, mgb_setting_e setting, const cmd_parms *cmd,
                  int64_t value, const char *text)
{
    pool->value[setting] = value;
    pool->text[setting] = text;
    pool->set_at[setting] = cmd->directive;
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
            store(pool, MGB_SET_MODE, cmd, modes[i].mode, NULL);
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "GreenBalance %s: must be on, off or observe", arg);
}

/* "wake=, sleep=": the keys of a directive. */
static const char *show_keys(apr_pool_t *p, const char *directive)
{
    const char *keys = "";

    for (size_t i = 0; i < MGB_SET_COUNT; i++) {
        if (*settings[i].key && strcasecmp(settings[i].directive, directive) == 0) {
            keys = apr_pstrcat(p, keys, *keys ? ", " : "", settings[i].key, "=", NULL);
        }
    }
    return keys;
}

/* Reads one KEY=VALUE of a directive.  `seen` has a bit for each setting. */
static const char *set_key(cmd_parms *cmd, mgb_raw_pool_t *pool, const char *arg,
                           uint64_t *seen)
{
    const char *directive = cmd->cmd->name, *equals = strchr(arg, '=');
    size_t length = equals ? (size_t)(equals - arg) : 0;
    int64_t value = 0;
    size_t i = 0;

    while (length && i < MGB_SET_COUNT &&
           (strcasecmp(settings[i].directive, directive) != 0 ||
            strlen(settings[i].key) != length ||
            strncasecmp(settings[i].key, arg, length) != 0)) {
        i++;
    }
    if (!length || i == MGB_SET_COUNT) {
        return apr_psprintf(cmd->pool, "%s %s: allowed are %s", directive, arg,
                            show_keys(cmd->pool, directive));
    }
    if (*seen & (UINT64_C(1) << i)) {
        return apr_psprintf(cmd->pool, "%s: %s= is given twice", directive,
                            settings[i].key);
    }
    *seen |= UINT64_C(1) << i;
    if (!read_value(&settings[i], equals + 1, &value)) {
        return apr_psprintf(cmd->pool, "%s %s: must be %s", directive, arg,
                            show_allowed(cmd->pool, &settings[i]));
    }
    store(pool, (mgb_setting_e)i, cmd, value, apr_pstrdup(cmd->pool, equals + 1));
    return NULL;
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
        const struct setting_t *setting = &settings[policy_keys[i].setting];

        if (policy_keys[i].policy == policy) {
            allowed = apr_psprintf(cmd->pool, "allowed is %s=, %s", setting->key,
                                   show_allowed(cmd->pool, setting));
        }
        else if (is_key(arg, setting->key)) {
            owner = apr_psprintf(cmd->pool, "%s= belongs to %s; ", setting->key,
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
            is_key(arg, settings[policy_keys[i].setting].key)) {
            return set_key(cmd, pool, arg, seen);
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
    store(pool, MGB_SET_POLICY, cmd, policy, NULL);
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
                             show_keys(cmd->pool, cmd->cmd->name));
    }
    for (int i = 0; !error && i < argc; i++) {
        error = set_key(cmd, pool, argv[i], &seen);
    }
    return error;
}
_Static_assert(MGB_SET_COUNT <= 64, "mgb_config_set_keys has a bit for each setting");

/* GreenSlowStart, GreenHardOff: a directive with one value. */
const char *mgb_config_set_value(cmd_parms *cmd, void *dummy, const char *arg)
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    int64_t value = 0;
    size_t i = 0;

    if (!pool) {
        return error;
    }
    while (i < MGB_SET_COUNT - 1 &&
           strcasecmp(settings[i].directive, cmd->cmd->name) != 0) {
        i++;
    }
    if (!read_value(&settings[i], arg, &value)) {
        return apr_psprintf(cmd->pool, "%s %s: must be %s", cmd->cmd->name, arg,
                            show_allowed(cmd->pool, &settings[i]));
    }
    store(pool, (mgb_setting_e)i, cmd, value, NULL);
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
    store(pool, MGB_SET_QUEUE, cmd, (int64_t)order, NULL);
    for (int i = 1; !error && i < argc; i++) {
        error = set_key(cmd, pool, argv[i], &seen);
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
    store(pool, MGB_SET_STICKY_MOVE, cmd, move, NULL);
    return move ? NULL : set_key(cmd, pool, arg, &seen);
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
    store(pool, MGB_SET_WAKE_IGNORE, cmd, 1, NULL);
    pool->wake_ignore = expr;
    return NULL;
}
