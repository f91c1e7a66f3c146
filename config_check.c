/* SPDX-License-Identifier: Apache-2.0
 *
 * config_check.c - what concerns several directives, checked when all is read, so that
 * "apachectl configtest" shows it too.
 *
 * Every finding is logged with the file and line that it is about, and all of them are,
 * before httpd is told to stop.  Runs in the parent, in check_config.
 */
#include "config_private.h"

#include "apr_uri.h"
#include "ap_provider.h"
#include "unixd.h"

#include <errno.h>
#include <grp.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *compose(apr_pool_t *p, const ap_directive_t *where,
                           const char *format, va_list args)
{
    const char *text = apr_pvsprintf(p, format, args);

    return where ? apr_psprintf(p, "%s (line %d of %s)", text, where->line_num,
                                where->filename)
                 : text;
}

void mgb_config_report(mgb_findings_t *found, const ap_directive_t *where,
                       const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, found->main_server, "%s",
                 compose(found->p, where, format, args));
    va_end(args);
    found->errors++;
}

void mgb_config_warn(mgb_findings_t *found, const ap_directive_t *where,
                     const char *format, ...)
{
    const char *text;
    va_list args;

    va_start(args, format);
    text = compose(found->main_server->process->pconf, where, format, args);
    va_end(args);
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, found->main_server, "%s", text);
        return;
    }
    APR_ARRAY_PUSH(mgb_config_of(found->main_server)->warnings, const char *) = text;
}

int mgb_config_tell_warnings(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    const apr_array_header_t *warnings = mgb_config_of(s)->warnings;

    for (int i = 0; i < warnings->nelts; i++) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "%s",
                     APR_ARRAY_IDX(warnings, i, const char *));
    }
    return OK;
}

/* ------------------------------------------------------- where members are written */

/* What tells members apart while the configuration is read: server, balancer, URL with
 * scheme and host in lower case and without a default port, as mod_proxy keeps it. */
static const char *member_id(apr_pool_t *p, const server_rec *s, const char *pool,
                             const char *url)
{
    const char *bar = strchr(url, '|'); /* "unix:/path|http://host" */
    apr_uri_t uri;

    url = bar ? bar + 1 : url;
    if (apr_uri_parse(p, url, &uri) == APR_SUCCESS && uri.scheme && uri.hostname) {
        ap_str_tolower(uri.scheme);
        ap_str_tolower(uri.hostname);
        if (uri.port == ap_proxy_port_of_scheme(uri.scheme)) {
            uri.port = 0;
            uri.port_str = NULL;
        }
        url = apr_uri_unparse(p, &uri, APR_URI_UNP_OMITUSERINFO);
    }
    return apr_psprintf(p, "%pp %s %s", s, pool, url);
}

/* A BalancerMember line: [BALANCER] URL KEY=VALUE..., BALANCER outside of <Proxy> only.
 */
static void locate_member(mgb_findings_t *found, const ap_directive_t *line,
                          const server_rec *s, const char *pool)
{
    const char *args = line->args, *url = NULL;
    mgb_keys_t *keys;

    while (*args && !url) {
        const char *word = ap_getword_conf(found->p, &args);

        if (!pool) {
            pool = mgb_config_pool_name(found->p, word);
        }
        else if (!strchr(word, '=')) {
            url = word;
        }
    }
    if (!url || !pool) {
        return;
    }
    keys = apr_hash_get(found->members, member_id(found->p, s, pool, url),
                        APR_HASH_KEY_STRING);
    if (keys && !keys->where) {
        keys->where = line;
    }
}

static const server_rec *find_virtual_host(const mgb_findings_t *found,
                                           const ap_directive_t *line)
{
    const server_rec *s = found->main_server->next;

    while (s && !(s->defn_name && strcmp(s->defn_name, line->filename) == 0 &&
                  s->defn_line_number == (unsigned)line->line_num)) {
        s = s->next;
    }
    return s ? s : found->main_server;
}

/* mod_proxy does not tell a member's line when it reads it: look through the tree. */
static void locate_members(mgb_findings_t *found, const ap_directive_t *line,
                           const server_rec *s, const char *pool)
{
    for (; line; line = line->next) {
        if (strcasecmp(line->directive, "BalancerMember") == 0) {
            locate_member(found, line, s, pool);
        }
        else if (strcasecmp(line->directive, "<VirtualHost") == 0) {
            locate_members(found, line->first_child, find_virtual_host(found, line),
                           NULL);
        }
        else if (strcasecmp(line->directive, "<Proxy") == 0) {
            locate_members(found, line->first_child, s,
                           mgb_config_section_name(found->p, line));
        }
        else {
            locate_members(found, line->first_child, s, pool);
        }
    }
}

static bool has_worker(const proxy_balancer *balancer, const proxy_worker *worker)
{
    for (int i = 0; i < balancer->workers->nelts; i++) {
        if (APR_ARRAY_IDX(balancer->workers, i, const proxy_worker *) == worker) {
            return true;
        }
    }
    return false;
}

/* Of two balancers of one name, mod_proxy uses the main server's in virtual hosts, too,
 * and forgets the other: keys of its members would be without effect. */
static void check_home(mgb_findings_t *found, const mgb_keys_t *keys)
{
    int at = 0;
    const proxy_balancer *balancer =
        mgb_config_next_balancer(keys->server, keys->balancer, &at);

    if (!balancer || !has_worker(balancer, keys->hints.worker)) {
        mgb_config_report(found, keys->where,
                          GBLOGNO(0119) "BalancerMember %s: mod_proxy ignores it, for "
                                        "the main server, too, has a balancer %s: give "
                                        "this virtual host's another name",
                          keys->hints.member_url, keys->balancer);
    }
}

/* With more watts off than idle, sleep would cost energy: two figures mixed up. */
static void check_watts(mgb_findings_t *found, const mgb_keys_t *keys)
{
    const gb_curve_t *curve = &keys->hints.curve;
    double idle = curve->assumed ? GB_ASSUMED_IDLE_WATTS : curve->watts[0];

    if (!curve->assumed_off && curve->off_watts > idle) {
        mgb_config_report(
            found, keys->where,
            GBLOGNO(0159) "BalancerMember %s: offwatts=%g is more than the "
                          "%g watts that it draws idle%s: correct one of "
                          "them",
            keys->hints.member_url, curve->off_watts, idle,
            curve->assumed ? " (watts= is not given)" : "");
    }
}

static void check_members(mgb_findings_t *found)
{
    const apr_array_header_t *members = mgb_config_members();

    for (int i = 0; i < members->nelts; i++) {
        const mgb_keys_t *keys = APR_ARRAY_IDX(members, i, const mgb_keys_t *);

        check_home(found, keys);
        check_watts(found, keys);
    }
}

static void find_members(mgb_findings_t *found)
{
    const apr_array_header_t *members = mgb_config_members();

    found->members = apr_hash_make(found->p);
    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);
        const char *name = keys->hints.worker->s->name_ex;

        apr_hash_set(found->members,
                     member_id(found->p, keys->server, keys->balancer, name),
                     APR_HASH_KEY_STRING, keys);
    }
    locate_members(found, ap_conftree, found->main_server, NULL);
}

/* ------------------------------------------------------------------- balancers */

/* Members that will get a slot in the segment: those of balancers that are ours in any
 * way, each once. */
static uint32_t count_members(const mgb_findings_t *found)
{
    apr_hash_t *seen = apr_hash_make(found->p);

    for (server_rec *s = found->main_server; s; s = s->next) {
        const proxy_balancer *balancer;
        int i = 0;

        while ((balancer = mgb_config_next_balancer(s, NULL, &i))) {
            if (strcmp(balancer->s->lbpname, MGB_LBMETHOD) != 0 &&
                !mgb_config_pool_named(s, balancer->s->name)) {
                continue;
            }
            for (int j = 0; j < balancer->workers->nelts; j++) {
                proxy_worker **worker =
                    &APR_ARRAY_IDX(balancer->workers, j, proxy_worker *);

                apr_hash_set(seen, worker, sizeof *worker, worker);
            }
        }
    }
    return apr_hash_count(seen);
}

static void check_room(mgb_findings_t *found)
{
    const uint32_t room =
        found->conf->members_room ? found->conf->members_room : GB_MEMBERS_MAX;
    const uint32_t count = count_members(found);

    if (count > room) {
        mgb_config_report(
            found, found->raw->where[MGB_MAIN_MEMBERS],
            GBLOGNO(0108) "%u members are configured, and there is room for "
                          "%u: set GreenMembers, at most %u",
            count, room, (unsigned)GB_MEMBERS_MAX);
    }
}

/* -------------------------------------------------------------------- the system */

const char *mgb_config_in_memory(apr_pool_t *p, const char *path)
{
    char *above = apr_pstrdup(p, path);
    struct stat st;
    struct statfs fs;

    while (stat(above, &st) != 0 && errno == ENOENT && strrchr(above, '/') > above) {
        *strrchr(above, '/') = '\0';
    }
    return statfs(above, &fs) == 0 && ((unsigned long)fs.f_type == TMPFS_MAGIC ||
                                       (unsigned long)fs.f_type == RAMFS_MAGIC)
               ? above
               : NULL;
}

/* What outlives a stop must not lie in memory. */
static void check_state_dir(mgb_findings_t *found)
{
    const ap_directive_t *where = found->raw->where[MGB_MAIN_STATE_DIR];
    const char *dir = found->conf->state_dir;
    const char *memory = mgb_config_in_memory(found->p, dir);
    char *path = apr_pstrdup(found->p, dir);
    struct stat st;

    while (stat(path, &st) != 0 && errno == ENOENT && strrchr(path, '/') > path) {
        *strrchr(path, '/') = '\0';
    }
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        mgb_config_report(found, where,
                          GBLOGNO(0109) "GreenStateDir %s: %s is no directory", dir,
                          path);
    }
    else if (memory) {
        mgb_config_report(
            found, where,
            GBLOGNO(0110) "GreenStateDir %s: %s lies in memory (tmpfs) and "
                          "would forget which servers sleep: name a "
                          "directory on a disk",
            dir, memory);
    }
}

/* Owner and mode only; the keeper alone reads it. */
static void check_secrets(mgb_findings_t *found)
{
    const ap_directive_t *where = found->raw->where[MGB_MAIN_SECRETS];
    const char *file = found->conf->secrets_file;
    struct stat st;

    if (stat(file, &st) != 0) {
        const int error = errno;

        mgb_config_report(
            found, where,
            GBLOGNO(0111) "GreenSecrets %s: %s: make it with install -m 600 /dev/null "
                          "FILE, see power.md",
            file, strerror(error));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        mgb_config_report(found, where, GBLOGNO(0112) "GreenSecrets %s: must be a file",
                          file);
        return;
    }
    if (st.st_uid != geteuid()) {
        mgb_config_report(found, where,
                          GBLOGNO(0113) "GreenSecrets %s: belongs to uid %u, and must "
                                        "belong to whoever starts httpd, uid %u",
                          file, (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if ((st.st_mode & 07777) != 0600) {
        mgb_config_report(found, where,
                          GBLOGNO(0114) "GreenSecrets %s: has mode %04o, and must have "
                                        "0600: chmod 600 %s",
                          file, (unsigned)(st.st_mode & 07777), file);
    }
}

/* The processes that face the network must not be able to look into the keeper. */
static void check_keeper_user(mgb_findings_t *found)
{
    const ap_directive_t *where = found->raw->where[MGB_MAIN_KEEPER_USER];
    const char *wanted = found->raw->text[MGB_MAIN_KEEPER_USER];
    const char *name = found->conf->keeper_user;
    const struct passwd *user;

    if (wanted && !getpwnam(wanted)) {
        mgb_config_report(found, where,
                          GBLOGNO(0115) "GreenKeeperUser %s: no such user", wanted);
        return;
    }
    user = name ? getpwnam(name) : NULL;
    if (found->conf->secrets_file && user && user->pw_uid == ap_unixd_config.user_id) {
        mgb_config_report(
            found, where ? where : found->raw->where[MGB_MAIN_SECRETS],
            GBLOGNO(0116) "GreenKeeperUser: with GreenSecrets, the keeper "
                          "must not run as httpd's own User %s: create a "
                          "user greenbalance, or name another one",
            name);
    }
}

/* May this user read it, as far as its mode tells? */
static bool may_read(const struct stat *st, const struct passwd *user)
{
    gid_t groups[64];
    int count = sizeof groups / sizeof groups[0];

    if (user->pw_uid == 0) {
        return true;
    }
    if (st->st_uid == user->pw_uid) {
        return st->st_mode & S_IRUSR;
    }
    if (getgrouplist(user->pw_name, user->pw_gid, groups, &count) >= 0) {
        for (int i = 0; i < count; i++) {
            if (groups[i] == st->st_gid) {
                return st->st_mode & S_IRGRP;
            }
        }
    }
    return st->st_mode & S_IROTH;
}

/* The keeper opens it at each connection, when it has become its own user. */
static void check_bmc_ca(mgb_findings_t *found)
{
    const ap_directive_t *where = found->raw->where[MGB_MAIN_BMC_CA];
    const char *file = found->conf->bmc_ca, *name = found->conf->keeper_user;
    const struct passwd *user = name ? getpwnam(name) : NULL;
    struct stat st;

    if (stat(file, &st) != 0 || access(file, R_OK) != 0) {
        const int error = errno;

        mgb_config_report(found, where,
                          GBLOGNO(0125) "GreenBmcCA %s: %s: name a file of "
                                        "certificates (PEM), or a directory of them",
                          file, strerror(error));
    }
    else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        mgb_config_report(found, where,
                          GBLOGNO(0126) "GreenBmcCA %s: must be a file of certificates "
                                        "(PEM), or a directory of them",
                          file);
    }
    else if (user && !may_read(&st, user)) {
        mgb_config_report(found, where,
                          GBLOGNO(0127) "GreenBmcCA %s: the keeper, who runs as %s, "
                                        "cannot read it: chmod o+r %s",
                          file, name, file);
    }
}

/* A balancer whose lbmethod is not set where it is first named is one of byrequests,
 * and mod_proxy says so at the start only: a ProxyPass in a virtual host,
 * say, to a balancer of the main server. */
static void check_byrequests(mgb_findings_t *found)
{
    if (ap_lookup_provider(PROXY_LBMETHOD, "byrequests", "0")) {
        return;
    }
    for (const server_rec *s = found->main_server; s; s = s->next) {
        const proxy_balancer *balancer;
        int i = 0;

        while ((balancer = mgb_config_next_balancer(s, NULL, &i)) != NULL) {
            if (!balancer->lbmethod) {
                mgb_config_report(
                    found, NULL,
                    GBLOGNO(0128) "mod_lbmethod_byrequests is not loaded: %s has no "
                                  "lbmethod where it is first named, and httpd would "
                                  "not start; load it, as with \"a2enmod "
                                  "lbmethod_byrequests\"",
                    balancer->s->name);
                return;
            }
        }
    }
}

static void check_drivers(mgb_findings_t *found)
{
    for (apr_hash_index_t *hi = apr_hash_first(found->p, found->raw->drivers); hi;
         hi = apr_hash_next(hi)) {
        const mgb_raw_driver_t *driver = apr_hash_this_val(hi);
        const char *command = driver->exec.argv[0];
        struct stat st;

        if (stat(command, &st) != 0 || !S_ISREG(st.st_mode) ||
            access(command, X_OK) != 0) {
            mgb_config_report(
                found, driver->where,
                GBLOGNO(0117) "GreenPowerDriver %s: %s is no file that can "
                              "be executed",
                driver->exec.name, command);
        }
    }
}

/* ------------------------------------------------------------------------ the hook */

static bool is_used(const server_rec *main_server)
{
    const mgb_server_conf_t *conf = mgb_config_of(main_server);

    for (int i = 0; i < MGB_MAIN_COUNT; i++) {
        if (conf->where[i]) {
            return true;
        }
    }
    for (const server_rec *s = main_server; s; s = s->next) {
        const proxy_balancer *balancer;
        int i = 0;

        if (apr_hash_count(mgb_config_of(s)->pools) > 0) {
            return true;
        }
        while ((balancer = mgb_config_next_balancer(s, NULL, &i))) {
            if (strcmp(balancer->s->lbpname, MGB_LBMETHOD) == 0) {
                return true;
            }
        }
    }
    return apr_hash_count(conf->drivers) > 0 || mgb_config_members()->nelts > 0;
}

int mgb_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                     server_rec *s)
{
    mgb_findings_t found = {.p = ptemp, .main_server = s};

    if (!is_used(s)) {
        return OK;
    }
    if (!ap_find_linked_module("mod_proxy_balancer.c")) {
        mgb_config_report(
            &found, NULL,
            GBLOGNO(0118) "mod_proxy_balancer is not loaded: "
                          "mod_greenbalance's directives need it; load it, "
                          "as with \"a2enmod proxy_balancer\"");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    found.raw = mgb_config_of(s);
    found.conf = mgb_config_main(s);
    check_byrequests(&found);
    find_members(&found);
    check_members(&found);
    mgb_config_check_pools(&found);
    mgb_config_check_machines(&found, mgb_config_members());
    mgb_config_check_commit(&found);
    check_room(&found);
    if (found.managed) {
        check_state_dir(&found);
    }
    if (found.conf->secrets_file) {
        check_secrets(&found);
    }
    if (found.conf->bmc_ca) {
        check_bmc_ca(&found);
    }
    check_keeper_user(&found);
    check_drivers(&found);
    return found.errors ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
