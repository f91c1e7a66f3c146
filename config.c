/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c - the table of directives, and those of the main server.
 *
 * Beside this file, config_pool.c has what stands in <Proxy "balancer://...">,
 * config_setting.c their values, config_schedule.c its schedules, config_commit.c and
 * config_replicas.c what belongs to replicated writes, config_resolve.c what holds for
 * a balancer in the end, config_member.c the keys of BalancerMember, config_machine.c
 * what they say of machines, and config_check.c and config_balancer.c the checks.  A
 * setter reads strictly and stores; what concerns several directives is checked when
 * all is read. All of it runs in the parent, single-threaded; the accessors only read
 * after check_config.
 */
#include "config_private.h"

#include "http_core.h"
#include "unixd.h"

#include "core/gb_parse.h"

#include <pwd.h>
#include <unistd.h>

mgb_server_conf_t *mgb_config_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &greenbalance_module);
}

/* ------------------------------------------------------------- the main server's */

static const char *set_main(cmd_parms *cmd, mgb_main_e which, const char *text)
{
    mgb_server_conf_t *conf = mgb_config_of(cmd->server);

    conf->text[which] = text;
    conf->where[which] = cmd->directive;
    return NULL;
}

static const char *set_path(cmd_parms *cmd, void *dummy, const char *arg)
{
    const mgb_main_e which = (mgb_main_e)(intptr_t)cmd->info;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *path;

    if (error) {
        return error;
    }
    path = which == MGB_MAIN_RUNTIME_DIR ? ap_runtime_dir_relative(cmd->pool, arg)
                                         : ap_server_root_relative(cmd->pool, arg);
    if (!path) {
        return apr_psprintf(cmd->pool, "%s %s: must be a path", cmd->cmd->name, arg);
    }
    return set_main(cmd, which, path);
}

static const char *set_keeper_user(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return error ? error : set_main(cmd, MGB_MAIN_KEEPER_USER, arg);
}

static const char *set_members(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    uint32_t count;

    if (error) {
        return error;
    }
    if (!gb_parse_count(arg, 1, GB_MEMBERS_MAX, &count)) {
        return apr_psprintf(cmd->pool, "GreenMembers %s: must be a number from 1 to %d",
                            arg, GB_MEMBERS_MAX);
    }
    return set_main(cmd, MGB_MAIN_MEMBERS, arg);
}

static bool is_reserved(const char *name)
{
    static const char *const names[] = {"wol", "ipmi", "redfish", "agent"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *set_driver(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    mgb_server_conf_t *conf = mgb_config_of(cmd->server);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    mgb_raw_driver_t *driver;
    const char **words;

    if (error) {
        return error;
    }
    if (argc < 2 || !*argv[1]) {
        return "GreenPowerDriver needs a NAME and a COMMAND";
    }
    if (!gb_parse_name(argv[0]) || is_reserved(argv[0])) {
        return apr_psprintf(
            cmd->pool,
            "GreenPowerDriver %s: a name has at most %d letters, digits, "
            "'.', '_' and '-', and is none of wol, ipmi, redfish, agent",
            argv[0], GB_WORD_MOST);
    }
    driver = apr_hash_get(conf->drivers, argv[0], APR_HASH_KEY_STRING);
    if (driver) {
        return apr_psprintf(cmd->pool,
                            "GreenPowerDriver %s: already defined on line %d of %s",
                            argv[0], driver->where->line_num, driver->where->filename);
    }
    driver = apr_pcalloc(cmd->pool, sizeof *driver);
    words = apr_pcalloc(cmd->pool, (apr_size_t)argc * sizeof *words);
    for (int i = 1; i < argc; i++) {
        words[i - 1] = apr_pstrdup(cmd->pool, argv[i]);
    }
    words[0] = ap_server_root_relative(cmd->pool, words[0]);
    driver->exec.name = apr_pstrdup(cmd->pool, argv[0]);
    driver->exec.argv = words;
    driver->exec.argc = argc - 1;
    driver->where = cmd->directive;
    apr_hash_set(conf->drivers, driver->exec.name, APR_HASH_KEY_STRING, driver);
    return NULL;
}

/* RSRC_CONF and ACCESS_CONF beside PROXY_CONF, so that a directive in the wrong place
 * gets our message, which says where it belongs. */
#define IN_BALANCER (PROXY_CONF | RSRC_CONF | ACCESS_CONF)
#define KEYS(name, help)                                                               \
    AP_INIT_TAKE_ARGV(name, mgb_config_set_keys, NULL, IN_BALANCER, help)
#define PATH(name, which, help)                                                        \
    AP_INIT_TAKE1(name, set_path, (void *)(intptr_t)(which), RSRC_CONF, help)

const command_rec mgb_commands[] = {
    AP_INIT_TAKE1("GreenBalance", mgb_config_set_mode, NULL, IN_BALANCER,
                  "on, off, or observe: measure and decide, but order nothing"),
    AP_INIT_TAKE_ARGV("GreenPolicy", mgb_config_set_policy, NULL, IN_BALANCER,
                      "threshold, autoscale, lcp, kpa or news, and KEY=VALUE: the "
                      "policy that decides how many servers are awake"),
    AP_INIT_TAKE_ARGV("GreenSchedule", mgb_config_set_schedule, NULL, IN_BALANCER,
                      "\"DAYS HH:MM-HH:MM\" min=N [tz=ZONE]: servers that are awake at "
                      "these hours"),
    KEYS("GreenThreshold", "wake=PERCENT sleep=PERCENT of the awake servers' capacity"),
    KEYS("GreenAwake",
         "min=N spare=N: servers that are always awake, and kept beyond need"),
    KEYS("GreenDwell", "awake=DURATION asleep=DURATION cycles=N/day"),
    KEYS("GreenHealth",
         "uri=PATH interval= timeout= rise= fall= expect=FROM-TO host=NAME "
         "verify=on|off"),
    KEYS("GreenReverseHealth",
         "interval=DURATION fall=N beat=DURATION: proof that a server is off"),
    KEYS("GreenWake", "timeout=DURATION retry=DURATION packets=N atonce=N"),
    KEYS("GreenDrain",
         "timeout=DURATION: how long a server may take to finish its work"),
    KEYS("GreenHold",
         "max=N timeout=DURATION page=on|off|PATH: requests that wait for a server"),
    AP_INIT_TAKE_ARGV("GreenQueue", mgb_config_set_queue, NULL, IN_BALANCER,
                      "off, fifo or late-last, late=DURATION: with every server full"),
    AP_INIT_TAKE1("GreenSlowStart", mgb_config_set_value, NULL, IN_BALANCER,
                  "DURATION over which the share of a server that comes back grows"),
    KEYS("GreenOutlier", "errors=N within=DURATION eject=DURATION"),
    AP_INIT_TAKE1("GreenSticky", mgb_config_set_sticky, NULL, IN_BALANCER,
                  "wait=DURATION or move: sessions of a server that is to sleep"),
    AP_INIT_TAKE1("GreenHardOff", mgb_config_set_value, NULL, IN_BALANCER,
                  "on or off: whether a ladder may end in a power cut"),
    AP_INIT_TAKE1("GreenWakeIgnore", mgb_config_set_wake_ignore, NULL, IN_BALANCER,
                  "an expression between double quotes: requests that must not wake a "
                  "server"),
    AP_INIT_TAKE1("GreenReplicas", mgb_config_set_word, NULL, IN_BALANCER,
                  "independent or shared: has each server its own storage?"),
    AP_INIT_TAKE_ARGV("GreenCommit", mgb_config_set_commit, NULL, IN_BALANCER,
                      "off, or quorum=N|all wait=DURATION late=202|503: writes go to "
                      "every server"),
    KEYS("GreenCommitLimits",
         "quorum=MIN-MAX wait=MIN-MAX: what an application may ask for"),
    AP_INIT_TAKE1("GreenCommitDecide", mgb_config_set_value, NULL, IN_BALANCER,
                  "path at which the application is asked whether a write is complete"),
    AP_INIT_TAKE1("GreenCommitBackend", mgb_config_set_word, NULL, IN_BALANCER,
                  "l0 or l1: what the servers promise about repeated writes"),
    AP_INIT_TAKE1("GreenCommitBody", mgb_config_set_value, NULL, IN_BALANCER,
                  "SIZE of the largest body of a write"),
    AP_INIT_TAKE_ARGV("GreenCommitHeaders", mgb_config_set_headers, NULL, IN_BALANCER,
                      "names of the request header fields that servers get"),
    AP_INIT_TAKE1("GreenCommitStale", mgb_config_set_word, NULL, IN_BALANCER,
                  "refuse or mark: a read that no server can answer up to date"),
    AP_INIT_TAKE_ARGV("GreenResync", mgb_config_set_resync, NULL, IN_BALANCER,
                      "COMMAND [ARG...] that brings a set-aside server back"),
    PATH("GreenStateDir", MGB_MAIN_STATE_DIR, "directory of what outlives a stop"),
    PATH("GreenRuntimeDir", MGB_MAIN_RUNTIME_DIR, "directory of sockets and locks"),
    PATH("GreenSecrets", MGB_MAIN_SECRETS,
         "file with the passwords of the controllers"),
    AP_INIT_TAKE1("GreenKeeperUser", set_keeper_user, NULL, RSRC_CONF,
                  "user that the keeper becomes once it has read the secrets"),
    AP_INIT_TAKE_ARGV("GreenPowerDriver", set_driver, NULL, RSRC_CONF,
                      "NAME COMMAND [ARG...]: a way of your own to switch servers"),
    AP_INIT_TAKE1("GreenMembers", set_members, NULL, RSRC_CONF,
                  "room for members in the shared segment"),
    PATH("GreenBmcCA", MGB_MAIN_BMC_CA,
         "certificates that Redfish services are verified against"),
    AP_INIT_TAKE_ARGV("GreenJournal", mgb_config_set_journal, NULL, RSRC_CONF,
                      "FILE size=SIZE key=FILE retain=DURATION: where replicated "
                      "writes are kept"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};

/* ----------------------------------------------------------- create, merge, look up */

void *mgb_config_create_server(apr_pool_t *p, server_rec *s)
{
    mgb_server_conf_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->pools = apr_hash_make(p);
    conf->drivers = apr_hash_make(p);
    conf->warnings = apr_array_make(p, 4, sizeof(const char *));
    return conf;
}

void *mgb_config_merge_server(apr_pool_t *p, void *base, void *over)
{
    const mgb_server_conf_t *below = base, *above = over;
    mgb_server_conf_t *conf = apr_pmemdup(p, below, sizeof *below);

    conf->pools =
        apr_hash_merge(p, above->pools, below->pools, mgb_config_merge_pool, NULL);
    conf->resolved = NULL;
    return conf;
}

/* Whom the keeper becomes; NULL when there is nobody else to become. */
static const char *resolve_keeper_user(apr_pool_t *p, const char *name)
{
    const struct passwd *user;

    if (geteuid() != 0) {
        return NULL;
    }
    if (name) {
        return name;
    }
    if (getpwnam("greenbalance")) {
        return "greenbalance";
    }
    /* `User` may have been written as "#33". */
    user = getpwuid(ap_unixd_config.user_id);
    return apr_pstrdup(p, user ? user->pw_name : ap_unixd_config.user_name);
}

const mgb_main_conf_t *mgb_config_main(server_rec *main_server)
{
    mgb_server_conf_t *conf = mgb_config_of(main_server);
    apr_pool_t *p = main_server->process->pconf;
    mgb_main_conf_t *resolved;

    if (conf->resolved) {
        return conf->resolved;
    }
    resolved = apr_pcalloc(p, sizeof *resolved);
    resolved->state_dir = conf->text[MGB_MAIN_STATE_DIR]
                              ? conf->text[MGB_MAIN_STATE_DIR]
                              : "/var/lib/greenbalance";
    resolved->runtime_dir = conf->text[MGB_MAIN_RUNTIME_DIR]
                                ? conf->text[MGB_MAIN_RUNTIME_DIR]
                                : ap_runtime_dir_relative(p, "greenbalance");
    resolved->bmc_ca = conf->text[MGB_MAIN_BMC_CA];
    resolved->secrets_file = conf->text[MGB_MAIN_SECRETS];
    resolved->keeper_user = resolve_keeper_user(p, conf->text[MGB_MAIN_KEEPER_USER]);
    if (conf->text[MGB_MAIN_MEMBERS]) {
        (void)gb_parse_count(conf->text[MGB_MAIN_MEMBERS], 1, GB_MEMBERS_MAX,
                             &resolved->members_room);
    }
    mgb_config_resolve_journal(p, resolved, conf);
    resolved->zone = mgb_config_local_zone(p);
    resolved->exec_drivers = apr_hash_make(p);
    for (apr_hash_index_t *hi = apr_hash_first(p, conf->drivers); hi;
         hi = apr_hash_next(hi)) {
        mgb_raw_driver_t *driver = apr_hash_this_val(hi);

        apr_hash_set(resolved->exec_drivers, driver->exec.name, APR_HASH_KEY_STRING,
                     &driver->exec);
    }
    conf->resolved = resolved;
    return resolved;
}

void mgb_config_register_hooks(apr_pool_t *p)
{
    mgb_config_member_register_hooks(p);
    ap_hook_check_config(mgb_config_check, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(mgb_config_tell_warnings, NULL, NULL, APR_HOOK_FIRST);
}
