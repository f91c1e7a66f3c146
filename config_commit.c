/* SPDX-License-Identifier: Apache-2.0
 *
 * config_commit.c - directives of replicated writes: GreenReplicas, GreenCommit and
 * what belongs to it, GreenJournal; and the values that they come to.
 *
 * What they need of other directives is checked by config_replicas.c.  Runs in the
 * parent, single-threaded.
 */
#include "config_private.h"

#include "http_core.h"

#include "core/gb_parse.h"

#define MS               GB_US_PER_MS
#define DAY_US           (24 * 3600 * GB_US_PER_S)
#define HEADERS_MOST     32
#define RETAIN_LEAST_US  (60 * GB_US_PER_S)
#define RETAIN_MOST_US   (366 * DAY_US)
#define SIZE_OTHERWISE   (INT64_C(1) << 30)
#define SIZE_MOST        (INT64_C(1) << 42)
#define RETAIN_OTHERWISE DAY_US

/* ------------------------------------------------------------------ of a balancer */

/* Directives of one word. */
static const struct {
    mgb_setting_e setting;
    const char *word;
    int64_t value;
    const char *refused; /* NULL: allowed */
} words[] = {
    {MGB_SET_REPLICAS, "shared", 0, NULL},
    {MGB_SET_REPLICAS, "independent", 1, NULL},
    {MGB_SET_COMMIT_BACKEND, "l0", GB_LEVEL_L0, NULL},
    {MGB_SET_COMMIT_BACKEND, "l1", GB_LEVEL_L1, NULL},
    {MGB_SET_COMMIT_BACKEND, "l2", 0, "is not built yet"},
    {MGB_SET_COMMIT_STALE, "refuse", 0, NULL},
    {MGB_SET_COMMIT_STALE, "mark", 1, NULL},
};

const char *mgb_config_set_word(cmd_parms *cmd, void *dummy, const char *arg)
{
    const mgb_setting_e setting = mgb_config_setting(cmd->cmd->name);
    const char *allowed = "", *refused = "";
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);

    if (!pool) {
        return error;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const bool is_it = strcasecmp(arg, words[i].word) == 0;

        if (words[i].setting != setting) {
            continue;
        }
        if (words[i].refused) {
            refused =
                is_it ? apr_pstrcat(cmd->pool, words[i].refused, ": ", NULL) : refused;
        }
        else if (is_it) {
            mgb_config_store(pool, setting, cmd, words[i].value, words[i].word);
            return NULL;
        }
        else {
            allowed = apr_pstrcat(cmd->pool, allowed, *allowed ? " or " : "",
                                  words[i].word, NULL);
        }
    }
    return apr_psprintf(cmd->pool, "%s %s: %smust be %s", cmd->cmd->name, arg, refused,
                        allowed);
}

const char *mgb_config_set_commit(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    const bool off = argc == 1 && strcasecmp(argv[0], "off") == 0;
    uint64_t seen = 0;

    if (!pool) {
        return error;
    }
    if (off) {
        mgb_config_store(pool, MGB_SET_COMMIT, cmd, 0, NULL);
        return NULL;
    }
    if (argc < 1 || strncasecmp(argv[0], "quorum=", 7) != 0) {
        return apr_psprintf(
            cmd->pool,
            "GreenCommit%s%s: must be off, or quorum=N or quorum=all, "
            "and then wait=DURATION and late=202 or late=503 if need be",
            argc < 1 ? "" : " ", argc < 1 ? "" : argv[0]);
    }
    for (int i = 0; !error && i < argc; i++) {
        error = strncasecmp(argv[i], "release=", 8) == 0
                    ? apr_psprintf(cmd->pool,
                                   "GreenCommit %s: not built yet, for clients do not "
                                   "hold what they have written; leave it out",
                                   argv[i])
                    : mgb_config_set_key(cmd, pool, argv[i], &seen);
    }
    mgb_commit_need_hooks(cmd->pool);
    return error;
}

/* A field's name, by RFC 9110. */
static bool is_token(const char *text)
{
    return *text && strlen(text) <= GB_WORD_MOST &&
           !text[strspn(text, "!#$%&'*+-.^_`|~"
                              "0123456789abcdefghijklmnopqrstuvwxyz")];
}

/* Why a field (lower case) must not be kept and repeated; NULL: it may. */
static const char *header_refused(const char *name)
{
    static const struct {
        const char *name, *why;
    } refused[] = {
        {"cookie", "is a secret of the client, and must not be kept"},
        {"cookie2", "is a secret of the client, and must not be kept"},
        {"authorization", "is a secret of the client, and must not be kept"},
        {"proxy-authorization", "is a secret of the client, and must not be kept"},
        {"connection", "belongs to one connection"},
        {"keep-alive", "belongs to one connection"},
        {"proxy-connection", "belongs to one connection"},
        {"proxy-authenticate", "belongs to one connection"},
        {"te", "belongs to one connection"},
        {"trailer", "belongs to one connection"},
        {"transfer-encoding", "belongs to one connection"},
        {"upgrade", "belongs to one connection"},
        {"expect", "belongs to one connection"},
        {"content-length", "is written anew for each server"},
        {"host", "is written anew for each server"},
        {"idempotency-key", "is sent in any case"},
    };

    if (strncmp(name, "green-commit", 12) == 0) {
        return "is the module's own";
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcmp(name, refused[i].name) == 0) {
            return refused[i].why;
        }
    }
    return NULL;
}

const char *mgb_config_set_headers(cmd_parms *cmd, void *dummy, int argc,
                                   char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    apr_array_header_t *names;

    if (!pool) {
        return error;
    }
    if (argc < 1 || argc > HEADERS_MOST) {
        return apr_psprintf(cmd->pool, "GreenCommitHeaders: needs from 1 to %d names",
                            HEADERS_MOST);
    }
    names = apr_array_make(cmd->pool, argc, sizeof(const char *));
    for (int i = 0; i < argc; i++) {
        char *name = apr_pstrdup(cmd->pool, argv[i]);
        const char *refused;

        ap_str_tolower(name);
        refused = is_token(name) ? header_refused(name)
                                 : "must be the name of a request header field";
        for (int j = 0; !refused && j < names->nelts; j++) {
            refused = strcmp(APR_ARRAY_IDX(names, j, const char *), name) == 0
                          ? "is named twice"
                          : NULL;
        }
        if (refused) {
            return apr_psprintf(cmd->pool, "GreenCommitHeaders %s: %s", argv[i],
                                refused);
        }
        APR_ARRAY_PUSH(names, const char *) = name;
    }
    mgb_config_store(pool, MGB_SET_COMMIT_HEADERS, cmd, 1, NULL);
    pool->headers = names;
    return NULL;
}

const char *mgb_config_set_resync(cmd_parms *cmd, void *dummy, int argc,
                                  char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    const char **command;

    if (!pool) {
        return error;
    }
    if (argc < 1 || !*argv[0]) {
        return "GreenResync needs a COMMAND";
    }
    command = apr_pcalloc(cmd->pool, ((apr_size_t)argc + 1) * sizeof *command);
    for (int i = 0; i < argc; i++) {
        command[i] = apr_pstrdup(cmd->pool, argv[i]);
    }
    command[0] = ap_server_root_relative(cmd->pool, command[0]);
    if (!command[0]) {
        return apr_psprintf(cmd->pool, "GreenResync %s: must be a path", argv[0]);
    }
    mgb_config_store(pool, MGB_SET_RESYNC, cmd, 1, NULL);
    pool->resync = command;
    return NULL;
}

/* --------------------------------------------------------------- of the main server */

static const char *set_journal_key(cmd_parms *cmd, mgb_server_conf_t *conf,
                                   const char *arg)
{
    const char *value = strchr(arg, '=');

    value = value ? value + 1 : "";
    if (strncasecmp(arg, "key=", 4) == 0) {
        conf->text[MGB_MAIN_JOURNAL_KEY] =
            *value ? ap_server_root_relative(cmd->pool, value) : NULL;
        conf->where[MGB_MAIN_JOURNAL_KEY] = cmd->directive;
        return conf->text[MGB_MAIN_JOURNAL_KEY]
                   ? NULL
                   : apr_psprintf(cmd->pool, "GreenJournal %s: must be a path", arg);
    }
    if (strncasecmp(arg, "size=", 5) == 0) {
        return gb_parse_size(value, &conf->journal_size) &&
                       conf->journal_size >= MGB_JOURNAL_BYTES_LEAST &&
                       conf->journal_size <= SIZE_MOST
                   ? NULL
                   : apr_psprintf(cmd->pool,
                                  "GreenJournal %s: must be a size from 4M to 4096G, "
                                  "such as 512M, 4G",
                                  arg);
    }
    if (strncasecmp(arg, "retain=", 7) == 0) {
        return gb_parse_duration(value, &conf->journal_retain_us) &&
                       conf->journal_retain_us >= RETAIN_LEAST_US &&
                       conf->journal_retain_us <= RETAIN_MOST_US
                   ? NULL
                   : apr_psprintf(cmd->pool,
                                  "GreenJournal %s: must be a duration from 1m to "
                                  "366d, such as 12h, 7d",
                                  arg);
    }
    return apr_psprintf(cmd->pool,
                        "GreenJournal %s: allowed are size=, key=, retain=", arg);
}

/* A later line replaces an earlier one. */
const char *mgb_config_set_journal(cmd_parms *cmd, void *dummy, int argc,
                                   char *const argv[])
{
    mgb_server_conf_t *conf = mgb_config_of(cmd->server);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (error) {
        return error;
    }
    if (argc < 1 || !*argv[0] || strchr(argv[0], '=')) {
        return apr_psprintf(cmd->pool,
                            "GreenJournal%s%s: needs a FILE, and then size=SIZE, "
                            "key=FILE and retain=DURATION if need be",
                            argc < 1 ? "" : " ", argc < 1 ? "" : argv[0]);
    }
    conf->text[MGB_MAIN_JOURNAL] = apr_pstrdup(cmd->pool, argv[0]);
    conf->where[MGB_MAIN_JOURNAL] = cmd->directive;
    conf->text[MGB_MAIN_JOURNAL_KEY] = NULL;
    conf->where[MGB_MAIN_JOURNAL_KEY] = NULL;
    conf->journal_size = conf->journal_retain_us = 0;
    for (int i = 1; !error && i < argc; i++) {
        for (int j = 1; !error && j < i; j++) {
            if (strcspn(argv[i], "=") == strcspn(argv[j], "=") &&
                strncasecmp(argv[i], argv[j], strcspn(argv[i], "=")) == 0) {
                error =
                    apr_psprintf(cmd->pool, "GreenJournal %s: is given twice", argv[i]);
            }
        }
        if (!error) {
            error = set_journal_key(cmd, conf, argv[i]);
        }
    }
    return error;
}

/* ----------------------------------------------------------- from raw to values */

static const apr_array_header_t *default_headers(apr_pool_t *p)
{
    /* A write without its condition, or its part of a range, would be another one. */
    static const char *const names[] = {
        "content-type", "content-encoding", "content-range",      "accept",
        "if-match",     "if-none-match",    "if-unmodified-since"};
    apr_array_header_t *headers = apr_array_make(p, 8, sizeof(const char *));

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        APR_ARRAY_PUSH(headers, const char *) = names[i];
    }
    return headers;
}

static void resolve_terms(gb_commit_conf_t *terms, const mgb_raw_pool_t *raw)
{
    const int64_t quorums = mgb_config_value(raw, MGB_SET_LIMIT_QUORUM);
    const int64_t waits = mgb_config_value(raw, MGB_SET_LIMIT_WAIT);

    terms->quorum = (uint32_t)mgb_config_value(raw, MGB_SET_COMMIT);
    terms->on = terms->quorum != 0;
    terms->wait_us = mgb_config_value(raw, MGB_SET_COMMIT_WAIT);
    terms->late_status = (int)mgb_config_value(raw, MGB_SET_COMMIT_LATE);
    terms->quorum_least = terms->quorum_most = terms->quorum;
    terms->wait_least_us = terms->wait_most_us = terms->wait_us;
    if (quorums != MGB_UNSET) {
        terms->quorum_least = MGB_FROM(quorums);
        terms->quorum_most = MGB_TO(quorums);
    }
    if (waits != MGB_UNSET) {
        terms->wait_least_us = MGB_FROM(waits) * MS;
        terms->wait_most_us = MGB_TO(waits) * MS;
    }
}

void mgb_config_resolve_commit(apr_pool_t *p, mgb_commit_conf_t *commit,
                               const mgb_raw_pool_t *raw)
{
    resolve_terms(&commit->terms, raw);
    commit->level = (gb_level_e)mgb_config_value(raw, MGB_SET_COMMIT_BACKEND);
    commit->body_most = mgb_config_value(raw, MGB_SET_COMMIT_BODY);
    commit->headers = raw && raw->headers ? raw->headers : default_headers(p);
    commit->stale_mark = mgb_config_value(raw, MGB_SET_COMMIT_STALE) != 0;
    commit->decide = raw ? raw->text[MGB_SET_COMMIT_DECIDE] : NULL;
    commit->resync = raw ? raw->resync : NULL;
    mgb_config_resolve_tls(p, &commit->tls, raw ? raw->set_at[MGB_SET_COMMIT] : NULL);
}

void mgb_config_resolve_journal(apr_pool_t *p, mgb_main_conf_t *resolved,
                                const mgb_server_conf_t *conf)
{
    const char *file = conf->text[MGB_MAIN_JOURNAL];

    /* Where the keeper may write, as a rule. */
    file = file ? file : "journal.db";
    resolved->journal_file =
        *file == '/' ? file : apr_pstrcat(p, resolved->state_dir, "/", file, NULL);
    resolved->journal_key = conf->text[MGB_MAIN_JOURNAL_KEY];
    resolved->journal_size = conf->journal_size ? conf->journal_size : SIZE_OTHERWISE;
    resolved->journal_retain_us =
        conf->journal_retain_us ? conf->journal_retain_us : RETAIN_OTHERWISE;
}
