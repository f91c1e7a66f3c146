/* SPDX-License-Identifier: Apache-2.0
 *
 * config_private.h - what the files of the configuration share.
 *
 * Settings are kept as written, MGB_UNSET where nothing was; defaults come in when they
 * are looked up.  Everything lies in pconf, is written while the parent reads the
 * configuration and checks it, and is read-only from then on.
 */
#ifndef MGB_CONFIG_PRIVATE_H
#define MGB_CONFIG_PRIVATE_H

#include "mod_greenbalance.h"
#include "util_cfgtree.h"

#define MGB_UNSET INT64_C(-1)

/* Two numbers in one setting, such as MIN-MAX. */
#define MGB_RANGE(from, to) ((int64_t)((uint64_t)(from) << 32 | (uint32_t)(to)))
#define MGB_FROM(range)     ((uint32_t)((uint64_t)(range) >> 32))
#define MGB_TO(range)       ((uint32_t)(range))

/* The settings of a balancer; config_setting.c has a table with a line for each. */
typedef enum mgb_setting_e {
    MGB_SET_MODE,
    MGB_SET_POLICY, /* gb_policy_e */
    MGB_SET_POLICY_BUDGET,
    MGB_SET_POLICY_WAIT,
    MGB_SET_POLICY_TARGET,
    MGB_SET_THRESHOLD_WAKE,
    MGB_SET_THRESHOLD_SLEEP,
    MGB_SET_AWAKE_MIN,
    MGB_SET_AWAKE_SPARE,
    MGB_SET_DWELL_AWAKE,
    MGB_SET_DWELL_ASLEEP,
    MGB_SET_DWELL_CYCLES,
    MGB_SET_HEALTH_URI,
    MGB_SET_HEALTH_INTERVAL,
    MGB_SET_HEALTH_TIMEOUT,
    MGB_SET_HEALTH_RISE,
    MGB_SET_HEALTH_FALL,
    MGB_SET_HEALTH_EXPECT,
    MGB_SET_HEALTH_HOST,
    MGB_SET_HEALTH_VERIFY,
    MGB_SET_REVERSE_INTERVAL,
    MGB_SET_REVERSE_FALL,
    MGB_SET_REVERSE_BEAT,
    MGB_SET_WAKE_TIMEOUT,
    MGB_SET_WAKE_RETRY,
    MGB_SET_WAKE_PACKETS,
    MGB_SET_WAKE_ATONCE,
    MGB_SET_DRAIN_TIMEOUT,
    MGB_SET_HOLD_MAX,
    MGB_SET_HOLD_TIMEOUT,
    MGB_SET_HOLD_PAGE, /* mgb_page_e */
    MGB_SET_QUEUE,     /* mgb_queue_e */
    MGB_SET_QUEUE_LATE,
    MGB_SET_SLOW_START,
    MGB_SET_OUTLIER_ERRORS,
    MGB_SET_OUTLIER_WITHIN,
    MGB_SET_OUTLIER_EJECT,
    MGB_SET_STICKY_MOVE,
    MGB_SET_STICKY_WAIT,
    MGB_SET_HARD_OFF,
    MGB_SET_WAKE_IGNORE, /* the expression stands in mgb_raw_pool_t */
    MGB_SET_REPLICAS,    /* 1: independent */
    MGB_SET_COMMIT,      /* the quorum; 0: off */
    MGB_SET_COMMIT_WAIT,
    MGB_SET_COMMIT_LATE,
    MGB_SET_LIMIT_QUORUM, /* MGB_RANGE */
    MGB_SET_LIMIT_WAIT,   /* MGB_RANGE, in ms */
    MGB_SET_COMMIT_DECIDE,
    MGB_SET_COMMIT_BACKEND, /* gb_level_e */
    MGB_SET_COMMIT_BODY,
    MGB_SET_COMMIT_HEADERS, /* the names stand in mgb_raw_pool_t */
    MGB_SET_COMMIT_STALE,   /* 1: mark */
    MGB_SET_RESYNC,         /* the command stands in mgb_raw_pool_t */
    MGB_SET_COUNT
} mgb_setting_e;

/* GreenHold page=: with MGB_PAGE_FILE, the text is the path as written. */
typedef enum mgb_page_e { MGB_PAGE_OFF = 0, MGB_PAGE_ON, MGB_PAGE_FILE } mgb_page_e;

/* One <Proxy "balancer://..."> of one server, as written. */
typedef struct mgb_raw_pool_t {
    const char *name;                /* canonical: "balancer://app" */
    const ap_directive_t *where;     /* the latest directive of ours in it */
    int64_t value[MGB_SET_COUNT];    /* MGB_UNSET: not written here */
    const char *text[MGB_SET_COUNT]; /* for words; NULL: not written here */
    const ap_directive_t *set_at[MGB_SET_COUNT];
    ap_expr_info_t *wake_ignore;   /* of MGB_SET_WAKE_IGNORE */
    apr_array_header_t *schedules; /* mgb_raw_schedule_t; NULL: none written here */
    apr_array_header_t *headers;   /* of MGB_SET_COMMIT_HEADERS: const char* */
    const char *const *resync;     /* of MGB_SET_RESYNC, NULL-terminated */
} mgb_raw_pool_t;

/* A GreenSchedule line. */
typedef struct mgb_raw_schedule_t {
    mgb_schedule_t schedule;
    const ap_directive_t *where;
} mgb_raw_schedule_t;

/* A GreenPowerDriver line. */
typedef struct mgb_raw_driver_t {
    mgb_exec_t exec;
    const ap_directive_t *where;
} mgb_raw_driver_t;

typedef enum mgb_main_e {
    MGB_MAIN_STATE_DIR,
    MGB_MAIN_RUNTIME_DIR,
    MGB_MAIN_SECRETS,
    MGB_MAIN_KEEPER_USER,
    MGB_MAIN_MEMBERS,
    MGB_MAIN_BMC_CA,
    MGB_MAIN_JOURNAL,
    MGB_MAIN_JOURNAL_KEY,
    MGB_MAIN_COUNT
} mgb_main_e;

/* Our configuration of one server. */
typedef struct mgb_server_conf_t {
    apr_hash_t *pools; /* name -> mgb_raw_pool_t */
    apr_hash_t
        *drivers; /* name -> mgb_raw_driver_t; main server only, as what follows */
    const char *text[MGB_MAIN_COUNT];
    const ap_directive_t *where[MGB_MAIN_COUNT];
    int64_t journal_size, journal_retain_us; /* 0: not written */
    apr_array_header_t *warnings;    /* const char*: for the log, main server only */
    const mgb_main_conf_t *resolved; /* by mgb_config_main() */
} mgb_server_conf_t;

/* The keys of one member, and where they come from. */
typedef struct mgb_keys_t {
    mgb_hints_t hints;           /* as written until check_config; then the machine's */
    server_rec *server;          /* whose configuration names the member */
    const char *balancer;        /* canonical name */
    const ap_directive_t *where; /* found by config_check.c; NULL: not found */
    struct mgb_keys_t *joined; /* another member of the same machine, nearer the root */
    struct mgb_joined_t *machine; /* of a root: config_machine.c's */
} mgb_keys_t;

/* config.c */
mgb_server_conf_t *mgb_config_of(const server_rec *s);

/* config_setting.c.  Of settings that a setter of its own reads, only what is stored.
 */
/* The value in force: as written for the balancer, else the default; `raw` may be NULL.
 */
int64_t mgb_config_value(const mgb_raw_pool_t *raw, mgb_setting_e setting);
void mgb_config_store(mgb_raw_pool_t *pool, mgb_setting_e setting, const cmd_parms *cmd,
                      int64_t value, const char *text);
/* The (first) setting of a directive; its key; what it allows, for messages. */
mgb_setting_e mgb_config_setting(const char *directive);
const char *mgb_config_key(mgb_setting_e setting);
const char *mgb_config_allowed(apr_pool_t *p, mgb_setting_e setting);
/* Reads a value; false when it is not allowed. */
bool mgb_config_read(mgb_setting_e setting, const char *text, int64_t *value);
/* "wake=, sleep=": the keys of a directive. */
const char *mgb_config_show_keys(apr_pool_t *p, const char *directive);
/* Reads one KEY=VALUE of a directive and stores it; `seen` has a bit for each setting.
 * NULL, or what is wrong. */
const char *mgb_config_set_key(cmd_parms *cmd, mgb_raw_pool_t *pool, const char *arg,
                               uint64_t *seen);

/* config_pool.c: setters of the directives of a balancer. */
const char *mgb_config_set_mode(cmd_parms *cmd, void *dummy, const char *arg);
const char *mgb_config_set_policy(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[]);
const char *mgb_config_set_keys(cmd_parms *cmd, void *dummy, int argc,
                                char *const argv[]);
const char *mgb_config_set_value(cmd_parms *cmd, void *dummy, const char *arg);
const char *mgb_config_set_queue(cmd_parms *cmd, void *dummy, int argc,
                                 char *const argv[]);
const char *mgb_config_set_sticky(cmd_parms *cmd, void *dummy, const char *arg);
const char *mgb_config_set_wake_ignore(cmd_parms *cmd, void *dummy, const char *arg);
/* The settings of the balancer whose section a directive stands in; made when it is the
 * first.  NULL, or what is wrong. */
const char *mgb_config_enclosing_pool(cmd_parms *cmd, mgb_raw_pool_t **pool);
/* "Balancer://App/path" -> "balancer://app"; NULL when it names no balancer. */
const char *mgb_config_pool_name(apr_pool_t *p, const char *text);
/* The balancer that a <Proxy ...> section names, or NULL. */
const char *mgb_config_section_name(apr_pool_t *p, const ap_directive_t *section);

/* config_commit.c: setters of what belongs to replicated writes, and what they come to.
 */
#define MGB_WAIT_MOST_US        (3600 * GB_US_PER_S)
#define MGB_BODY_BYTES_MOST     (64 * 1024 * 1024)
#define MGB_JOURNAL_BYTES_LEAST (4 * 1024 * 1024)
const char *mgb_config_set_word(cmd_parms *cmd, void *dummy, const char *arg);
const char *mgb_config_set_commit(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[]);
const char *mgb_config_set_headers(cmd_parms *cmd, void *dummy, int argc,
                                   char *const argv[]);
const char *mgb_config_set_resync(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[]);
const char *mgb_config_set_journal(cmd_parms *cmd, void *dummy, int argc,
                                   char *const argv[]);
void mgb_config_resolve_commit(apr_pool_t *p, mgb_commit_conf_t *commit,
                               const mgb_raw_pool_t *raw);
void mgb_config_resolve_journal(apr_pool_t *p, mgb_main_conf_t *resolved,
                                const mgb_server_conf_t *conf);

/* config_schedule.c */
const char *mgb_config_set_schedule(cmd_parms *cmd, void *dummy, int argc,
                                    char *const argv[]);
/* The offsets of the zone that this process lives in, from now on for years. */
gb_zone_t mgb_config_local_zone(apr_pool_t *p);
/* What is written of a balancer, as the keeper goes by it. */
void mgb_config_resolve_schedules(apr_pool_t *p, mgb_pool_conf_t *pool,
                                  const mgb_raw_pool_t *raw);

/* config_resolve.c */
/* For apr_hash_merge(): a virtual host's settings over the main server's. */
void *mgb_config_merge_pool(apr_pool_t *p, const void *key, apr_ssize_t length,
                            const void *over, const void *base, const void *baton);
/* What is written for a balancer as server `s` sees it, or NULL. */
const mgb_raw_pool_t *mgb_config_find_pool(apr_pool_t *p, const server_rec *s,
                                           const char *name);
/* GreenHold's page=PATH, relative to ServerRoot; NULL when it names none. */
const char *mgb_config_page_file(apr_pool_t *p, const mgb_raw_pool_t *raw);
/* The next balancer of that name (any name when NULL) that server `s` has, from *i on,
 * or NULL. */
proxy_balancer *mgb_config_next_balancer(const server_rec *s, const char *name, int *i);

/* config_member.c */
void mgb_config_member_register_hooks(apr_pool_t *p);
/* All members with keys of ours, in the order of the configuration: mgb_keys_t*.
 * NULL before pre_config. */
const apr_array_header_t *mgb_config_members(void);
mgb_keys_t *mgb_config_keys(const proxy_worker *worker);
/* Puts the defaults where nothing is set. */
void mgb_config_member_default(mgb_hints_t *hints);

/* What check_config is about, and what it has found so far. */
typedef struct mgb_findings_t {
    apr_pool_t *p; /* temporary */
    server_rec *main_server;
    const mgb_main_conf_t *conf;
    const mgb_server_conf_t *raw;  /* the main server's */
    apr_hash_t *members;           /* config_check.c: member_id() -> mgb_keys_t */
    bool managed;                  /* some balancer is on or observed */
    const mgb_raw_pool_t *commits; /* the first with GreenCommit; NULL: none */
    apr_hash_t *replicas; /* members of balancers with GreenCommit, by their URL */
    uint32_t errors;
} mgb_findings_t;

/* config_machine.c: joins the members, reports what contradicts or lacks, and gives
 * each member the hints of its machine and the defaults. */
void mgb_config_check_machines(mgb_findings_t *found,
                               const apr_array_header_t *members);

/* config_balancer.c: checks what is said of balancers. */
void mgb_config_check_pools(mgb_findings_t *found);
/* Each section of ours with each balancer that it is about, once. */
typedef void mgb_config_each_fn(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                                const proxy_balancer *balancer);
void mgb_config_each(mgb_findings_t *found, mgb_config_each_fn *fn);
/* Can any member of it be put to sleep, as far as its own keys tell?  After
 * mgb_config_check_machines() all are told. */
bool mgb_config_any_sleeps(const proxy_balancer *balancer);

/* config_tls.c: what SSLProxy directives say at `where`, NULL: nowhere; and what writes
 * cannot go by, which is reported. */
void mgb_config_resolve_tls(apr_pool_t *p, mgb_tls_t *tls, const ap_directive_t *where);
void mgb_config_check_tls(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                          const proxy_balancer *balancer);

/* config_replicas.c: what replicated writes need.  After the machines were checked. */
void mgb_config_check_commit(mgb_findings_t *found);

/* config_check.c */
/* Logs an error with its file and line, and counts it. */
void mgb_config_report(mgb_findings_t *found, const ap_directive_t *where,
                       const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for what httpd can start with: a warning, which is not counted.  At a start
 * httpd checks twice, first for the terminal, as in configtest; then, when standard
 * error leads nowhere, the warning is kept for the log. */
void mgb_config_warn(mgb_findings_t *found, const ap_directive_t *where,
                     const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The existing directory above `path`, or itself, when it lies in memory (tmpfs); NULL
 * when it lies on a disk, or cannot be told. */
const char *mgb_config_in_memory(apr_pool_t *p, const char *path);
/* The hook post_config: logs the warnings that were kept, for the log is open now. */
int mgb_config_tell_warnings(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s);
/* The hook check_config. */
int mgb_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                     server_rec *s);

#endif /* MGB_CONFIG_PRIVATE_H */
