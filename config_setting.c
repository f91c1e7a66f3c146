/* SPDX-License-Identifier: Apache-2.0
 *
 * config_setting.c - what can be set for a balancer.
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
    KIND_PAGE,    /* mgb_page_e */
    KIND_SIZE,    /* bytes */
    KIND_QUORUM,  /* a number, or all: GB_COMMIT_ALL */
    KIND_LATE,    /* 202 or 503 */
    KIND_QUORUMS, /* two of them: MGB_FROM, MGB_TO */
    KIND_WAITS    /* two durations, in ms */
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
    [MGB_SET_REPLICAS] = {"GreenReplicas", "", KIND_WORD, 0, 0, 0},
    [MGB_SET_COMMIT] = {"GreenCommit", "quorum", KIND_QUORUM, 1, GB_COMMIT_REPLICAS, 0},
    [MGB_SET_COMMIT_WAIT] = {"GreenCommit", "wait", KIND_DURATION, 0, MGB_WAIT_MOST_US,
                             300 * MS},
    [MGB_SET_COMMIT_LATE] = {"GreenCommit", "late", KIND_LATE, 202, 503, 202},
    [MGB_SET_LIMIT_QUORUM] = {"GreenCommitLimits", "quorum", KIND_QUORUMS, 1,
                              GB_COMMIT_REPLICAS, MGB_UNSET},
    [MGB_SET_LIMIT_WAIT] = {"GreenCommitLimits", "wait", KIND_WAITS, 0,
                            MGB_WAIT_MOST_US, MGB_UNSET},
    [MGB_SET_COMMIT_DECIDE] = {"GreenCommitDecide", "", KIND_PATH, 0, 0, 0},
    [MGB_SET_COMMIT_BACKEND] = {"GreenCommitBackend", "", KIND_WORD, 0, 0, GB_LEVEL_L0},
    [MGB_SET_COMMIT_BODY] = {"GreenCommitBody", "", KIND_SIZE, 1024,
                             MGB_BODY_BYTES_MOST, 1024 * 1024},
    [MGB_SET_COMMIT_HEADERS] = {"GreenCommitHeaders", "", KIND_WORD, 0, 0, 0},
    [MGB_SET_COMMIT_STALE] = {"GreenCommitStale", "", KIND_WORD, 0, 0, 0},
    [MGB_SET_RESYNC] = {"GreenResync", "", KIND_WORD, 0, 0, 0},
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

static const char *show_size(apr_pool_t *p, int64_t bytes)
{
    static const char *const units[] = {"", "K", "M", "G"};
    size_t unit = 0;

    while (unit < 3 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT "%s", bytes, units[unit]);
}

const char *mgb_config_allowed(apr_pool_t *p, mgb_setting_e which)
{
    const struct setting_t *setting = &settings[which];

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
    case KIND_SIZE:
        return apr_psprintf(p, "a size from %s to %s, such as 64K, 1M",
                            show_size(p, setting->least), show_size(p, setting->most));
    case KIND_QUORUM:
        return apr_psprintf(p, "a number of servers from 1 to %d, or all",
                            GB_COMMIT_REPLICAS);
    case KIND_LATE:
        return "202 or 503";
    case KIND_QUORUMS:
        return apr_psprintf(p,
                            "MIN-MAX, two numbers of servers from 1 to %d, or all, "
                            "such as 1-3 or 2-all",
                            GB_COMMIT_REPLICAS);
    case KIND_WAITS:
        return apr_psprintf(
            p, "MIN-MAX, two durations from 0 to %s, such as 0-2s or 100ms-1m",
            show_duration(p, setting->most));
    case KIND_WORD:
        break;
    }
    return "";
}

static bool read_quorum(const char *text, uint32_t *quorum)
{
    if (strcasecmp(text, "all") == 0) {
        *quorum = GB_COMMIT_ALL;
        return true;
    }
    return gb_parse_count(text, 1, GB_COMMIT_REPLICAS, quorum);
}

/* "MIN-MAX", the first not above the second. */
static bool read_range(const struct setting_t *setting, const char *text,
                       int64_t *value)
{
    const char *dash = strchr(text, '-');
    char from[32];
    uint32_t least, most;
    int64_t least_us, most_us;

    if (!dash || (size_t)(dash - text) >= sizeof from) {
        return false;
    }
    memcpy(from, text, (size_t)(dash - text));
    from[dash - text] = '\0';
    if (setting->kind == KIND_QUORUMS) {
        if (!read_quorum(from, &least) || !read_quorum(dash + 1, &most)) {
            return false;
        }
    }
    else {
        if (!gb_parse_duration(from, &least_us) ||
            !gb_parse_duration(dash + 1, &most_us) || least_us > setting->most ||
            most_us > setting->most) {
            return false;
        }
        least = (uint32_t)(least_us / MS);
        most = (uint32_t)(most_us / MS);
    }
    *value = MGB_RANGE(least, most);
    return least <= most;
}

/* Of the kinds that are one number. */
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
    case KIND_SIZE:
    case KIND_QUORUM:
    case KIND_LATE:
    case KIND_QUORUMS:
    case KIND_WAITS:
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
    case KIND_QUORUM:
        good = read_quorum(text, &number);
        *value = number;
        return good;
    case KIND_LATE:
        *value = *text == '2' ? 202 : 503;
        return strcmp(text, "202") == 0 || strcmp(text, "503") == 0;
    case KIND_QUORUMS:
    case KIND_WAITS:
        return read_range(setting, text, value);
    case KIND_DURATION:
        good = gb_parse_duration(text, value);
        break;
    case KIND_SIZE:
        good = gb_parse_size(text, value);
        break;
    default:
        good = read_number(setting, text, &number);
        *value = number;
        break;
    }
    return good && *value >= setting->least && *value <= setting->most;
}

mgb_setting_e mgb_config_setting(const char *directive)
{
    size_t i = 0;

    while (i < MGB_SET_COUNT - 1 && strcasecmp(settings[i].directive, directive) != 0) {
        i++;
    }
    return (mgb_setting_e)i;
}

const char *mgb_config_key(mgb_setting_e setting)
{
    return settings[setting].key;
}

bool mgb_config_read(mgb_setting_e setting, const char *text, int64_t *value)
{
    return read_value(&settings[setting], text, value);
}

void mgb_config_store(mgb_raw_pool_t *pool, mgb_setting_e setting, const cmd_parms *cmd,
                      int64_t value, const char *text)
{
    pool->value[setting] = value;
    pool->text[setting] = text;
    pool->set_at[setting] = cmd->directive;
}

/* "wake=, sleep=": the keys of a directive. */
const char *mgb_config_show_keys(apr_pool_t *p, const char *directive)
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
const char *mgb_config_set_key(cmd_parms *cmd, mgb_raw_pool_t *pool, const char *arg,
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
                            mgb_config_show_keys(cmd->pool, directive));
    }
    if (*seen & (UINT64_C(1) << i)) {
        return apr_psprintf(cmd->pool, "%s: %s= is given twice", directive,
                            settings[i].key);
    }
    *seen |= UINT64_C(1) << i;
    if (!read_value(&settings[i], equals + 1, &value)) {
        return apr_psprintf(cmd->pool, "%s %s: must be %s", directive, arg,
                            mgb_config_allowed(cmd->pool, (mgb_setting_e)i));
    }
    mgb_config_store(pool, (mgb_setting_e)i, cmd, value,
                     apr_pstrdup(cmd->pool, equals + 1));
    return NULL;
}
_Static_assert(MGB_SET_COUNT <= 64, "mgb_config_set_key has a bit for each setting");
