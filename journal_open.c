/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_open.c - opens a journal, and looks whether it is whole.
 *
 * What is looked at: the files are ours and on a disk; SQLite's header, its tables; the
 * rows of the head, of logs and of replicas open; every log has all its entries, one
 * after the other, and their briefs open; and nothing is missing that was said to be
 * durable, as far as the witness knows.  What was asked and answered, the bulk of the
 * file, is looked at when it is read.  docs/commit-journal.md.
 */
#include "journal_private.h"

#include <time.h>
#include <unistd.h>

static bool damaged(mgb_journal_t *journal, const char *what, int64_t key, int rc)
{
    mgb_store_t *store = &journal->store;

    if (rc == SQLITE_ROW || rc == SQLITE_DONE || rc == SQLITE_OK) {
        mgb_store_fail(store, "%s is damaged: %s (key %lld); " MGB_STORE_REPAIR,
                       store->path, what, (long long)key, store->path);
    }
    else {
        mgb_store_fail(store, "%s is damaged: %s: %s; " MGB_STORE_REPAIR, store->path,
                       what, sqlite3_errstr(rc), store->path);
    }
    return false;
}

/* ---------------------------------------------------------------- logs, replicas */

static bool load_head(mgb_journal_t *journal, const mgb_row_t *row)
{
    gb_record_head_t head;

    if (!mgb_rows_open(&journal->rows, GB_RECORD_HEAD, 0, row->at, row->bytes) ||
        !gb_record_read_head(journal->rows.plain.at, journal->rows.plain.bytes,
                             &head)) {
        return false;
    }
    journal->epoch = journal->rows.epoch = head.epoch;
    journal->serial = head.serial;
    return true;
}

static bool load_log(mgb_journal_t *journal, const mgb_row_t *row)
{
    gb_record_log_t record;
    mgb_journal_log_t *log;

    if (!mgb_rows_open(&journal->rows, GB_RECORD_LOG, row->key, row->at, row->bytes) ||
        !gb_record_read_log(journal->rows.plain.at, journal->rows.plain.bytes,
                            &record) ||
        record.serial > journal->serial) {
        return false;
    }
    log = apr_array_push(journal->logs);
    log->number = gb_record_state_log(row->key);
    log->name = apr_pstrdup(journal->state_pool, record.name.at);
    log->head = record.head;
    log->settled = record.settled;
    log->trimmed = record.trimmed;
    log->replicas =
        apr_array_make(journal->state_pool, 8, sizeof(mgb_journal_replica_t));
    return true;
}

static bool load_replica(mgb_journal_t *journal, const mgb_row_t *row)
{
    uint32_t number = gb_record_state_replica(row->key);
    mgb_journal_log_t *log = mgb_journal_log_of(journal, gb_record_state_log(row->key));
    gb_record_replica_t record;
    mgb_journal_replica_t *replica;

    if (!log || number != (uint32_t)log->replicas->nelts + 1 ||
        !mgb_rows_open(&journal->rows, GB_RECORD_REPLICA, row->key, row->at,
                       row->bytes) ||
        !gb_record_read_replica(journal->rows.plain.at, journal->rows.plain.bytes,
                                &record) ||
        record.serial > journal->serial) {
        return false;
    }
    replica = apr_array_push(log->replicas);
    replica->number = number;
    replica->cursor = record.cursor;
    replica->sent = record.sent;
    replica->aside = record.aside;
    replica->forgotten = record.forgotten;
    replica->name = apr_pstrdup(journal->state_pool, record.name.at);
    replica->why = apr_pstrdup(journal->state_pool, record.why.at);
    return true;
}

static bool load_row(mgb_journal_t *journal, const mgb_row_t *row)
{
    return row->key == 0                            ? load_head(journal, row)
           : gb_record_state_replica(row->key) == 0 ? load_log(journal, row)
                                                    : load_replica(journal, row);
}

/* Verdicts that came before an earlier entry's. */
static bool count_ahead(mgb_journal_t *journal, mgb_journal_log_t *log)
{
    for (uint64_t seq = log->settled + 1; seq <= log->head; seq++) {
        int64_t key = gb_record_key(log->number, seq);
        gb_record_brief_t brief;

        apr_status_t rv = mgb_journal_brief(journal, key, &brief);

        if (rv != APR_SUCCESS) {
            return damaged(journal,
                           rv == APR_NOTFOUND ? "an entry is missing"
                                              : "an entry does not open",
                           key, SQLITE_OK);
        }
        log->ahead += brief.state != GB_ENTRY_OPEN;
    }
    return true;
}

bool mgb_journal_load_state(mgb_journal_t *journal)
{
    mgb_row_t row = {0, NULL, 0};
    int rc = mgb_store_from(&journal->store, MGB_TABLE_STATE, 0, INT64_MAX), rows = 0;
    bool good = rc == SQLITE_OK;

    apr_pool_clear(journal->state_pool);
    journal->logs = apr_array_make(journal->state_pool, 8, sizeof(mgb_journal_log_t));
    while (good && (rc = mgb_store_next(&journal->store, MGB_TABLE_STATE, &row)) ==
                       SQLITE_ROW) {
        good = (rows++ == 0) == (row.key == 0) && load_row(journal, &row);
    }
    mgb_store_done(&journal->store, MGB_TABLE_STATE);
    if (rows == 1 && !good) {
        mgb_store_fail(&journal->store,
                       "%s was sealed with another key, or its head is damaged: if the "
                       "key file is the right one, " MGB_STORE_REPAIR,
                       journal->store.path, journal->store.path);
        return false;
    }
    if (!good || rc != SQLITE_DONE || !rows) {
        return damaged(journal, "the state of its logs", row.key, rc);
    }
    for (int i = 0; i < journal->logs->nelts && good; i++) {
        good =
            count_ahead(journal, &APR_ARRAY_IDX(journal->logs, i, mgb_journal_log_t));
    }
    return good;
}

mgb_journal_log_t *mgb_journal_log_of(mgb_journal_t *journal, uint32_t number)
{
    for (int i = 0; i < journal->logs->nelts; i++) {
        mgb_journal_log_t *log = &APR_ARRAY_IDX(journal->logs, i, mgb_journal_log_t);

        if (log->number == number) {
            return log;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- entries */

static bool check_brief(mgb_journal_t *journal, const mgb_row_t *row,
                        const mgb_journal_log_t *log)
{
    gb_record_brief_t brief;

    if (!mgb_rows_open(&journal->rows, GB_RECORD_BRIEF, row->key, row->at,
                       row->bytes) ||
        !gb_record_read_brief(journal->rows.plain.at, journal->rows.plain.bytes,
                              &brief)) {
        return damaged(journal, "an entry does not open", row->key, SQLITE_ROW);
    }
    if (gb_record_key_seq(row->key) <= log->settled && brief.state == GB_ENTRY_OPEN) {
        return damaged(journal, "a verdict is missing", row->key, SQLITE_ROW);
    }
    if (!mgb_index_add(&journal->index, mgb_index_hash(brief.name), row->key)) {
        mgb_store_fail(&journal->store, "%s: there is no memory for its ids",
                       journal->store.path);
        return false;
    }
    return true;
}

/* All entries of a log are there, from the first that is kept to the head. */
static bool check_entries(mgb_journal_t *journal, const mgb_journal_log_t *log)
{
    int64_t from = gb_record_key(log->number, 0);
    int64_t upto = gb_record_key(log->number, GB_RECORD_SEQ_MOST);
    uint64_t seq = log->trimmed;
    mgb_row_t row;
    int rc = mgb_store_from(&journal->store, MGB_TABLE_BRIEF, from, upto);
    bool good = rc == SQLITE_OK;

    while (good && (rc = mgb_store_next(&journal->store, MGB_TABLE_BRIEF, &row)) ==
                       SQLITE_ROW) {
        seq++;
        good = gb_record_key_seq(row.key) == seq
                   ? check_brief(journal, &row, log)
                   : damaged(journal, "an entry is missing",
                             gb_record_key(log->number, seq), SQLITE_ROW);
    }
    mgb_store_done(&journal->store, MGB_TABLE_BRIEF);
    if (!good) {
        return false;
    }
    return (rc == SQLITE_DONE && seq == log->head) ||
           damaged(journal, "entries are missing", gb_record_key(log->number, seq + 1),
                   rc);
}

static bool load_gone(mgb_journal_t *journal)
{
    mgb_row_t row = {0, NULL, 0};
    int rc = mgb_store_from(&journal->store, MGB_TABLE_GONE, 0, INT64_MAX);
    bool good = rc == SQLITE_OK;

    while (good &&
           (rc = mgb_store_next(&journal->store, MGB_TABLE_GONE, &row)) == SQLITE_ROW) {
        good =
            mgb_rows_open(&journal->rows, GB_RECORD_GONE, row.key, row.at, row.bytes) &&
            journal->rows.plain.bytes == GB_RECORD_NAME_BYTES &&
            mgb_index_add(&journal->index, mgb_index_hash(journal->rows.plain.at),
                          row.key);
    }
    mgb_store_done(&journal->store, MGB_TABLE_GONE);
    return (good && rc == SQLITE_DONE) ||
           damaged(journal, "an id of a deleted entry", row.key, rc);
}

/* ---------------------------------------------------------------- opening */

static bool open_witness(mgb_journal_t *journal, gb_record_head_t *head)
{
    uint8_t witness[MGB_WITNESS_MOST];
    size_t bytes = mgb_store_witness(&journal->store, witness);

    return bytes &&
           mgb_rows_open(&journal->rows, GB_RECORD_WITNESS, 0, witness, bytes) &&
           gb_record_read_head(journal->rows.plain.at, journal->rows.plain.bytes, head);
}

/* What the witness says, if it is one of this journal. */
static bool read_witness(mgb_journal_t *journal, gb_record_head_t *head)
{
    return open_witness(journal, head) && head->epoch == journal->epoch;
}

static bool check_witness(mgb_journal_t *journal)
{
    mgb_store_t *store = &journal->store;
    gb_record_head_t seen;
    bool known = read_witness(journal, &seen);

    if (known && seen.serial > journal->serial) {
        mgb_store_fail(store,
                       "%s is damaged: its %llu latest commits are missing, by what "
                       "stands in %s-lock; " MGB_STORE_REPAIR,
                       store->path, (unsigned long long)(seen.serial - journal->serial),
                       store->path, store->path);
        return false;
    }
    if (store->wal_missing && !known) {
        mgb_store_fail(
            store,
            "%s-wal is missing, and what it held may be lost: bring it back, "
            "or " MGB_STORE_REPAIR,
            store->path, store->path);
        return false;
    }
    return true;
}

/* A new epoch: later than that of the journal which was here before, if its lock file
 * is still there, whatever the clock says. */
static bool make_file(mgb_journal_t *journal)
{
    gb_record_head_t head = {(uint64_t)time(NULL), 0}, seen;

    if (open_witness(journal, &seen) && head.epoch <= seen.epoch) {
        head.epoch = seen.epoch + 1;
    }
    if (!mgb_rows_shut_head(&journal->rows, GB_RECORD_HEAD, &head)) {
        mgb_store_fail(&journal->store, "%s: its head cannot be sealed",
                       journal->store.path);
        return false;
    }
    return mgb_store_create(&journal->store, journal->size, journal->rows.sealed.at,
                            journal->rows.sealed.bytes);
}

static bool check_all(mgb_journal_t *journal)
{
    bool good = mgb_journal_load_state(journal) && check_witness(journal);

    for (int i = 0; i < journal->logs->nelts && good; i++) {
        good =
            check_entries(journal, &APR_ARRAY_IDX(journal->logs, i, mgb_journal_log_t));
    }
    return good && load_gone(journal);
}

/* What is left of a crash is moved to the file, so that a new WAL begins: frames of a
 * commit that was cut off must not lie behind those of later ones. */
static bool settle_wal(mgb_journal_t *journal)
{
    int rc = mgb_store_checkpoint(&journal->store);

    if (rc != SQLITE_OK) {
        mgb_store_fail(&journal->store, "%s: its WAL cannot be moved to the file: %s",
                       journal->store.path, sqlite3_errstr(rc));
        return false;
    }
    journal->used_bytes = mgb_store_used(&journal->store);
    journal->whole = journal->used_bytes >= 0;
    return journal->whole || damaged(journal, "its size", 0, SQLITE_CORRUPT);
}

static void take_room(mgb_journal_t *journal)
{
    if (!mgb_store_take_room(&journal->store, "", journal->size)) {
        ap_log_perror(APLOG_MARK, APLOG_WARNING, 0, journal->pool,
                      GBLOGNO(1506) "%s; writes may be refused before the journal is "
                                    "full",
                      journal->store.error);
    }
}

static bool open_file(mgb_journal_t *journal)
{
    int there = mgb_store_exists(&journal->store);

    if (there < 0 || (there == 0 && !make_file(journal))) {
        return false;
    }
    journal->store.error[0] = '\0';
    if (!mgb_store_open(&journal->store) || !check_all(journal)) {
        return false;
    }
    take_room(journal);
    if (!settle_wal(journal)) {
        return false;
    }
    mgb_store_note(&journal->store);
    return true;
}

static apr_status_t journal_cleanup(void *data)
{
    mgb_journal_t *journal = data;

    if (journal->whole && !journal->broken) {
        mgb_store_rollback(&journal->store);
        (void)mgb_store_checkpoint(&journal->store);
    }
    mgb_store_close(&journal->store);
    mgb_store_unlock(&journal->store);
    mgb_index_free(&journal->index);
    mgb_rows_end(&journal->rows);
    return APR_SUCCESS;
}

mgb_journal_t *mgb_journal_open(const char *path, apr_off_t size, const uint8_t key[32],
                                apr_pool_t *p, const char **error)
{
    const char *why = "";
    mgb_journal_t *journal;
    apr_pool_t *pool;

    if (!mgb_libsqlite_load(&why) || !mgb_libcrypto_load(&why)) {
        *error = apr_psprintf(p, "%s (Debian: libsqlite3-0, libssl3)", why);
        return NULL;
    }
    apr_pool_create(&pool, p);
    apr_pool_tag(pool, "gb_journal");
    journal = apr_pcalloc(pool, sizeof(*journal));
    journal->pool = pool;
    apr_pool_create(&journal->state_pool, pool);
    /* A whole number of the steps in which SQLite lets a file grow. */
    journal->size =
        size < MGB_STORE_STEP ? MGB_STORE_STEP : size - size % MGB_STORE_STEP;
    journal->added = apr_array_make(pool, 64, sizeof(mgb_index_change_t));
    journal->ended = apr_array_make(pool, 64, sizeof(mgb_index_change_t));
    if (!mgb_rows_begin(&journal->rows, key)) {
        *error = "OpenSSL does not seal";
        apr_pool_destroy(pool);
        return NULL;
    }
    journal->store.lock_fd = journal->store.room_fd = -1;
    apr_pool_cleanup_register(pool, journal, journal_cleanup, apr_pool_cleanup_null);
    if (!mgb_store_lock(&journal->store, path, geteuid(), MGB_JOURNAL_WAIT_MS) ||
        !open_file(journal)) {
        *error = apr_pstrdup(p, journal->store.error);
        apr_pool_destroy(pool);
        return NULL;
    }
    return journal;
}

void mgb_journal_close(mgb_journal_t *journal)
{
    apr_pool_destroy(journal->pool); /* what is not committed is undone */
}

static mgb_journal_log_t *make_log(mgb_journal_t *journal, const char *name)
{
    mgb_journal_log_t *log;
    uint32_t number = 1;

    if (journal->logs->nelts) {
        number +=
            APR_ARRAY_IDX(journal->logs, journal->logs->nelts - 1, mgb_journal_log_t)
                .number;
    }
    log = apr_array_push(journal->logs);
    memset(log, 0, sizeof(*log));
    log->number = number;
    log->name = apr_pstrdup(journal->state_pool, name);
    log->replicas =
        apr_array_make(journal->state_pool, 8, sizeof(mgb_journal_replica_t));
    log->changed = true;
    return log;
}

apr_status_t mgb_journal_log(mgb_journal_t *journal, const char *key, uint32_t *log,
                             uint64_t *head, uint64_t *settled)
{
    mgb_journal_log_t *found = NULL;
    apr_status_t rv;

    for (int i = 0; i < journal->logs->nelts && !found; i++) {
        mgb_journal_log_t *each = &APR_ARRAY_IDX(journal->logs, i, mgb_journal_log_t);

        found = strcmp(each->name, key) == 0 ? each : NULL;
    }
    if (!found) {
        if (journal->logs->nelts >= MGB_JOURNAL_LOGS_MOST) {
            return APR_EINVAL;
        }
        rv = mgb_journal_begin(journal);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        found = make_log(journal, key);
        rv = mgb_journal_commit(journal);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    *log = found->number;
    *head = found->head;
    *settled = found->settled;
    return APR_SUCCESS;
}
