/* SPDX-License-Identifier: Apache-2.0
 *
 * config_member.c - the keys of BalancerMember: wake= sleep= machine= mac= wolto=
 * wolif= ipmi= redfish= capacity= watts= offwatts= boot= domain= mttf=.
 *
 * mod_proxy gives the keys that it does not know to the optional function
 * set_worker_hc_param of mod_proxy_hcheck, which it looks up in its pre_config.  We put
 * a function of ours in its place just before that, take our keys, and pass the others
 * on; after mod_proxy has looked, the original is put back, for mod_proxy_balancer
 * judges by its presence whether health checks exist.
 */
#include "config_private.h"

#include "apr_optional.h"
#include "apr_uri.h"

#include "core/gb_parse.h"

#define UNKNOWN_KEY "unknown Worker parameter" /* mod_proxy's, mod_proxy_hcheck's */

#define BOOT_LEAST_US (100 * GB_US_PER_MS)
#define BOOT_MOST_US  (24 * 3600 * GB_US_PER_S)
#define MTTF_LEAST_US (3600 * GB_US_PER_S)
#define MTTF_MOST_US  (INT64_C(36500) * 24 * 3600 * GB_US_PER_S)

/* What the parent knows while it reads the configuration; made anew by pre_config. */
static apr_hash_t *keys_by_worker;      /* proxy_worker* -> mgb_keys_t* */
static apr_array_header_t *all_members; /* mgb_keys_t* */
static APR_OPTIONAL_FN_TYPE(set_worker_hc_param) * pass_on;

const apr_array_header_t *mgb_config_members(void)
{
    return all_members;
}

mgb_keys_t *mgb_config_keys(const proxy_worker *worker)
{
    return keys_by_worker ? apr_hash_get(keys_by_worker, &worker, sizeof worker) : NULL;
}

const mgb_hints_t *mgb_config_hints(const proxy_worker *worker)
{
    const mgb_keys_t *keys = mgb_config_keys(worker);

    return keys ? &keys->hints : NULL;
}

/* A setter stores one value and returns NULL, or a sentence that says what is allowed.
 */
typedef const char *setter_fn(apr_pool_t *p, mgb_keys_t *keys, const char *value);

#define WAKE_WAYS  "wol, ipmi, redfish and the names of GreenPowerDriver lines"
#define SLEEP_WAYS "agent, ipmi, redfish and the names of GreenPowerDriver lines"

/* The ways that are built in; `refused` says why not, where one goes one way only. */
static const struct {
    const char *name;
    mgb_way_e way;
    const char *wake_refused, *sleep_refused;
} ways[] = {
    {"wol", MGB_WAY_WOL, NULL, "wol can wake a machine only; allowed are " SLEEP_WAYS},
    {"ipmi", MGB_WAY_IPMI, NULL, NULL},
    {"redfish", MGB_WAY_REDFISH, NULL, NULL},
    {"agent", MGB_WAY_AGENT,
     "agent can put a machine to sleep only, for it runs on the machine and sleeps "
     "with it; allowed are " WAKE_WAYS,
     NULL},
};

/* One way of a ladder.  Drivers may be defined further down in the configuration, so
 * their names are looked up by check_config. */
static const char *read_rung(mgb_rung_t *rung, const char *word, bool waking)
{
    rung->name = word;
    rung->exec = NULL;
    rung->way = MGB_WAY_EXEC;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcasecmp(word, ways[i].name) == 0) {
            rung->way = ways[i].way;
            rung->name = ways[i].name;
            return waking ? ways[i].wake_refused : ways[i].sleep_refused;
        }
    }
    if (!gb_parse_name(word)) {
        return waking ? "allowed are " WAKE_WAYS ", separated by commas"
                      : "allowed are " SLEEP_WAYS ", separated by commas";
    }
    return NULL;
}

static const char *read_ladder(apr_pool_t *p, mgb_rung_t *rungs, uint32_t *count,
                               const char *value, bool waking)
{
    uint32_t read = 0;
    bool more = true;

    for (const char *next = value; more; read++) {
        size_t length = strcspn(next, ",");
        const char *word = apr_pstrmemdup(p, next, length);
        const char *error;

        if (read == GB_RUNGS_MAX) {
            return apr_psprintf(p, "a ladder has at most %d ways", GB_RUNGS_MAX);
        }
        error = read_rung(&rungs[read], word, waking);
        if (error) {
            return error;
        }
        for (uint32_t i = 0; i < read; i++) {
            if (strcmp(rungs[i].name, rungs[read].name) == 0) {
                return apr_psprintf(p, "%s is named twice", word);
            }
        }
        more = next[length] == ',';
        next += length + 1;
    }
    *count = read;
    return NULL;
}

static const char *set_wake(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    return read_ladder(p, keys->hints.wake, &keys->hints.wake_count, value, true);
}

static const char *set_sleep(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    return read_ladder(p, keys->hints.sleep, &keys->hints.sleep_count, value, false);
}

static const char *set_name(apr_pool_t *p, const char **name, const char *value)
{
    if (!gb_parse_name(value)) {
        return apr_psprintf(
            p,
            "must be a name of at most %d letters, digits, '.', '_' and "
            "'-' that begins with a letter or digit",
            GB_WORD_MOST);
    }
    *name = apr_pstrdup(p, value);
    return NULL;
}

static const char *set_machine(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    return set_name(p, &keys->hints.machine, value);
}

static const char *set_domain(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    return set_name(p, &keys->hints.domain, value);
}

static const char *set_mac(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    if (!gb_parse_mac(value, keys->hints.mac)) {
        return "must be a network card's address, such as 52:54:00:12:34:56 or "
               "52-54-00-12-34-56 (not zero, not multicast or broadcast)";
    }
    keys->hints.has_mac = true;
    return NULL;
}

static const char *set_wolto(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    gb_address_t address;

    if (!gb_parse_address(value, GB_PORT_WOL, &address)) {
        return "must be HOST or HOST:PORT, such as 10.0.0.255 or [ff02::1]:9";
    }
    keys->hints.wol_host = apr_pstrdup(p, address.host);
    keys->hints.wol_port = address.port;
    return NULL;
}

static const char *set_wolif(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    if (!gb_parse_iface(value)) {
        return "must be the name of a network interface, such as eth0";
    }
    keys->hints.wol_iface = apr_pstrdup(p, value);
    return NULL;
}

static const char *set_ipmi(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    char canonical[GB_ADDRESS_BYTES];
    gb_address_t address;

    if (!gb_parse_address(value, GB_PORT_IPMI, &address)) {
        return "must be HOST or HOST:PORT of a management controller, such as "
               "10.0.1.7, bmc7.example.net:623 or [2001:db8::7]:623";
    }
    gb_parse_write_address(&address, canonical);
    keys->hints.ipmi = apr_pstrdup(p, canonical);
    return NULL;
}

static const char *set_redfish(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    char url[GB_URL_BYTES];

    if (!gb_parse_url(value, url)) {
        return "must be the URL of a computer system or of its Redfish service, such "
               "as https://10.0.1.7 or https://bmc7.example.net/redfish/v1/Systems/1, "
               "without user, query or fragment";
    }
    keys->hints.redfish = apr_pstrdup(p, url);
    return NULL;
}

static const char *set_capacity(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    if (!gb_parse_count(value, 1, UINT16_MAX, &keys->hints.capacity)) {
        return "must be a number of concurrent requests from 1 to 65535";
    }
    return NULL;
}

static const char *set_watts(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    if (!gb_parse_watts(value, keys->hints.curve.watts)) {
        return "must be IDLE:PEAK, such as 60:180, or 11 watts separated by commas, at "
               "0, 10 ... 100 % load; each from 0 to 100000";
    }
    keys->hints.curve.assumed = 0;
    return NULL;
}

static const char *set_offwatts(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    if (!gb_parse_decimal(value, GB_WATTS_MOST, &keys->hints.curve.off_watts)) {
        return "must be watts from 0 to 100000, such as 5 or 2.5";
    }
    keys->hints.curve.assumed_off = 0;
    return NULL;
}

static const char *set_boot(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    int64_t boot_us;

    if (!gb_parse_duration(value, &boot_us) || boot_us < BOOT_LEAST_US ||
        boot_us > BOOT_MOST_US) {
        return "must be a duration from 100ms to 1d, such as 90s or 3m";
    }
    keys->hints.boot_us = boot_us;
    return NULL;
}

static const char *set_mttf(apr_pool_t *p, mgb_keys_t *keys, const char *value)
{
    int64_t mttf_us;

    if (!gb_parse_duration(value, &mttf_us) || mttf_us < MTTF_LEAST_US ||
        mttf_us > MTTF_MOST_US) {
        return "must be a duration from 1h to 36500d, such as 1800d, in which such a "
               "machine fails once on average";
    }
    keys->hints.mttf_us = mttf_us;
    return NULL;
}

static const struct {
    const char *name;
    setter_fn *set;
} member_keys[] = {
    {"wake", set_wake},     {"sleep", set_sleep},       {"machine", set_machine},
    {"mac", set_mac},       {"wolto", set_wolto},       {"wolif", set_wolif},
    {"ipmi", set_ipmi},     {"redfish", set_redfish},   {"capacity", set_capacity},
    {"watts", set_watts},   {"offwatts", set_offwatts}, {"boot", set_boot},
    {"domain", set_domain}, {"mttf", set_mttf},
};

/* httpd keeps the password of a member's URL in the worker's name; ours goes into logs
 * and to drivers. */
static const char *url_without_user(apr_pool_t *p, const char *name)
{
    apr_uri_t uri;

    if (!strchr(name, '@')) {
        return apr_pstrdup(p, name);
    }
    if (apr_uri_parse(p, name, &uri) != APR_SUCCESS) {
        return "a member";
    }
    return apr_uri_unparse(p, &uri, APR_URI_UNP_OMITUSERINFO);
}

static mgb_keys_t *keys_for(apr_pool_t *p, server_rec *s, proxy_worker *worker)
{
    mgb_keys_t *keys = mgb_config_keys(worker);

    if (!keys) {
        keys = apr_pcalloc(p, sizeof *keys);
        keys->hints.worker = worker;
        keys->hints.member_url = url_without_user(p, worker->s->name_ex);
        keys->hints.curve.assumed = 1;
        keys->hints.curve.assumed_off = 1;
        keys->server = s;
        keys->balancer = mgb_config_pool_name(p, worker->balancer->s->name);
        apr_hash_set(keys_by_worker, &keys->hints.worker, sizeof keys->hints.worker,
                     keys);
        APR_ARRAY_PUSH(all_members, mgb_keys_t *) = keys;
    }
    return keys;
}

#define KEY_MOST 15

/* How many letters have to be added, left out, replaced, or swapped with their
 * neighbour, to make one word of the other (optimal string alignment). */
static int misspellings(const char *a, const char *b)
{
    const int length_a = (int)strlen(a), length_b = (int)strlen(b);
    int d[KEY_MOST + 1][KEY_MOST + 1];

    if (length_a > KEY_MOST || length_b > KEY_MOST) {
        return KEY_MOST;
    }
    for (int i = 0; i <= length_a; i++) {
        for (int j = 0; j <= length_b; j++) {
            int least;

            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            least = least <= d[i - 1][j] ? least : d[i - 1][j] + 1;
            least = least <= d[i][j - 1] ? least : d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] < least) {
                least = d[i - 2][j - 2] + 1;
            }
            d[i][j] = least;
        }
    }
    return d[length_a][length_b];
}

/* mod_proxy's own sentence does not say which key it is that nobody knows. */
static const char *name_unknown_key(apr_pool_t *p, const char *key)
{
    const char *nearest = NULL;
    char *lower = apr_pstrdup(p, key);
    int least = strlen(key) > 4 ? 3 : 2; /* one slip in a short word, two in others */

    ap_str_tolower(lower);
    for (size_t i = 0; i < sizeof member_keys / sizeof member_keys[0]; i++) {
        const int wrong = misspellings(lower, member_keys[i].name);

        if (wrong < least) {
            least = wrong;
            nearest = member_keys[i].name;
        }
    }
    return nearest ? apr_psprintf(p, UNKNOWN_KEY " %s=; is %s= meant?", key, nearest)
                   : apr_psprintf(p, UNKNOWN_KEY " %s=", key);
}

/* In place of set_worker_hc_param: parent, while it reads the configuration.  `p` is
 * pconf.  mod_proxy puts the directive's name before what is returned. */
static const char *take_key(apr_pool_t *p, server_rec *s, proxy_worker *worker,
                            const char *key, const char *value, void *baton)
{
    const char *error = UNKNOWN_KEY;

    for (size_t i = 0; worker && i < sizeof member_keys / sizeof member_keys[0]; i++) {
        if (strcasecmp(key, member_keys[i].name) != 0) {
            continue;
        }
        /* Set by mod_proxy just before; only later, when it moves its balancers, may
         * the pointer dangle. */
        if (!worker->balancer) {
            return apr_psprintf(p, "%s= is a key for members of a balancer", key);
        }
        error = member_keys[i].set(p, keys_for(p, s, worker), value);
        return error ? apr_psprintf(p, "%s=%s: %s", member_keys[i].name, value, error)
                     : NULL;
    }
    if (pass_on) {
        error = pass_on(p, s, worker, key, value, baton);
    }
    return error && strcmp(error, UNKNOWN_KEY) == 0 ? name_unknown_key(p, key) : error;
}

void mgb_config_member_default(mgb_hints_t *hints)
{
    if (!hints->wol_host) {
        hints->wol_host = "255.255.255.255";
        hints->wol_port = GB_PORT_WOL;
    }
    if (!hints->capacity) {
        hints->capacity = MGB_CAPACITY_DEFAULT;
    }
    if (hints->curve.assumed) {
        gb_curve_linear(&hints->curve, GB_ASSUMED_IDLE_WATTS, GB_ASSUMED_PEAK_WATTS);
    }
    if (hints->curve.assumed_off) {
        hints->curve.off_watts = GB_ASSUMED_OFF_WATTS < hints->curve.watts[0]
                                     ? GB_ASSUMED_OFF_WATTS
                                     : hints->curve.watts[0];
    }
    if (!hints->boot_us) {
        hints->boot_us = MGB_BOOT_DEFAULT_US;
    }
}

static int take_place(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    keys_by_worker = apr_hash_make(pconf);
    all_members = apr_array_make(pconf, 16, sizeof(mgb_keys_t *));
    pass_on = APR_RETRIEVE_OPTIONAL_FN(set_worker_hc_param);
    apr_dynamic_fn_register("set_worker_hc_param", (apr_opt_fn_t *)take_key);
    return OK;
}

static int give_back(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    apr_dynamic_fn_register("set_worker_hc_param", (apr_opt_fn_t *)pass_on);
    return OK;
}

void mgb_config_member_register_hooks(apr_pool_t *p)
{
    static const char *const proxy[] = {"mod_proxy.c", NULL};
    static const char *const balancer[] = {"mod_proxy_balancer.c", NULL};

    ap_hook_pre_config(take_place, NULL, proxy, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_config(give_back, proxy, balancer, APR_HOOK_MIDDLE);
}
