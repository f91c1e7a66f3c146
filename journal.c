/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c - writes of the journal, and their group commit.
 *
 * What is written belongs to one transaction of SQLite until mgb_journal_commit().  The
 * rows of logs, and the head with the number of the commit, are written with it;
 * replicas as they come.  When something fails, the whole of the transaction is undone,
 * and what is kept of it in memory is read again from the file.
 */
#include "journal_private.h"

#define FULL_PERMILLE    900 /* for appends; verdicts go on to the end and beyond */
#define ROW_EXTRA        (3 * MGB_SEAL_BYTES + 64)
#define REPLICAS_MOST    65535
#define CHECKPOINT_PARTS 4 /* of the WAL's room, before it is moved to the file */

/* Undoes what is not committed.  `rc`: SQLite's. */
static apr_status_t undo(mgb_journal_t *journal, const char *what, int rc)
{
    bool full = (rc & 0xff) == SQLITE_FULL;

    ap_log_perror(
        APLOG_MARK, APLOG_ERR, 0, journal->pool,
        GBLOGNO(1502) "%s: %s failed: %s; what was not committed yet is undone",
        journal->store.path, what, full ? "the disk is full" : sqlite3_errstr(rc));
    mgb_store_rollback(&journal->store);
    for (int i = 0; i < journal->added->nelts; i++) {
        const mgb_index_change_t *change =
            &APR_ARRAY_IDX(journal->added, i, mgb_index_change_t);

        mgb_index_remove(&journal->index, change->hash, change->key);
    }
    journal->added->nelts = journal->ended->nelts = 0;
    journal->writing = false;
    journal->pending_bytes = 0;
    if (!mgb_journal_load_state(journal)) {
        journal->broken = true;
        ap_log_perror(APLOG_MARK, APLOG_ERR, 0, journal->pool,
                      GBLOGNO(1503) "%s: it takes nothing more: %s",
                      journal->store.path, journal->store.error);
        return APR_EGENERAL;
    }
    return full ? EIO : APR_EGENERAL;
}

/* A transaction is open, or it says why not. */
apr_status_t mgb_journal_begin(mgb_journal_t *journal)
{
    int rc;

    if (journal->broken) {
        return APR_EGENERAL;
    }
    if (journal->writing) {
        return APR_SUCCESS;
    }
    rc = mgb_store_begin(&journal->store);
    if (rc != SQLITE_OK) {
        return undo(journal, "a transaction", rc);
    }
    journal->writing = true;
    return APR_SUCCESS;
}

/* Puts rows.sealed, if it was sealed. */
static apr_status_t put(mgb_journal_t *journal, mgb_table_e table, int64_t key,
                        bool sealed)
{
    int rc = sealed ? mgb_store_put(&journal->store, table, key,
                                    journal->rows.sealed.at, journal->rows.sealed.bytes)
                    : SQLITE_NOMEM;

    journal->pending_bytes += (int64_t)journal->rows.sealed.bytes;
    return rc == SQLITE_DONE ? APR_SUCCESS : undo(journal, "a write", rc);
}

/* ---------------------------------------------------------------- entries */

static gb_record_request_t request_of(const mgb_entry_t *entry)
{
    gb_record_request_t request;

    memcpy(request.digest, entry->digest, sizeof(request.digest));
    request.at_us = entry->at;
    request.nonce = entry->nonce;
    request.id = gb_wire_span(entry->id);
    request.principal = gb_wire_span(entry->principal);
    request.method = gb_wire_span(entry->method);
    request.target = gb_wire_span(entry->target);
    request.headers = gb_wire_span(entry->headers);
    request.body.at = entry->body;
    request.body.bytes = entry->body_bytes;
    return request;
}

static bool has_room(const mgb_journal_t *journal, size_t bytes)
{
    int64_t after = journal->used_bytes + journal->pending_bytes + (int64_t)bytes;

    return after / FULL_PERMILLE < journal->size / 1000;
}

static bool remember(mgb_journal_t *journal, const uint8_t *name, int64_t key)
{
    mgb_index_change_t change = {mgb_index_hash(name), key};

    if (!mgb_index_add(&journal->index, change.hash, key)) {
        return false;
    }
    APR_ARRAY_PUSH(journal->added, mgb_index_change_t) = change;
    return true;
}

static apr_status_t put_entry(mgb_journal_t *journal, int64_t key,
                              const mgb_entry_t *entry,
                              const gb_record_request_t *request)
{
    gb_record_brief_t brief;
    apr_status_t rv;

    memset(&brief, 0, sizeof(brief));
    if (!mgb_rows_name(&journal->rows, gb_record_key_log(key), request->principal.at,
                       request->id.at, brief.name) ||
        !remember(journal, brief.name, key)) {
        return undo(journal, "an entry", SQLITE_NOMEM);
    }
    memcpy(brief.digest, entry->digest, sizeof(brief.digest));
    brief.at_us = entry->at;
    brief.nonce = entry->nonce;
    brief.request_bytes = (uint32_t)request->body.bytes;
    brief.repeatable = gb_commit_is_repeatable(request->method.at);
    brief.deletes = strcmp(request->method.at, "DELETE") == 0;
    rv = put(journal, MGB_TABLE_BRIEF, key,
             mgb_rows_shut_brief(&journal->rows, key, &brief));
    return rv != APR_SUCCESS ? rv
                             : put(journal, MGB_TABLE_REQUEST, key,
                                   mgb_rows_shut_request(&journal->rows, key, request));
}

apr_status_t mgb_journal_append(mgb_journal_t *journal, uint32_t log,
                                mgb_entry_t *entry)
{
    gb_record_request_t request = request_of(entry);
    mgb_journal_log_t *to = mgb_journal_log_of(journal, log);
    apr_status_t rv;

    if (!to || !entry->id || !entry->method ||
        request.body.bytes > GB_WIRE_MOST_BYTES || to->head >= GB_RECORD_SEQ_MOST) {
        return APR_EINVAL;
    }
    if (journal->away) {
        return APR_ENOSPC;
    }
    if (!has_room(journal, gb_record_request_bytes(&request) + GB_RECORD_BRIEF_BYTES +
                               ROW_EXTRA)) {
        return APR_ENOSPC;
    }
    rv = mgb_journal_begin(journal);
    if (rv == APR_SUCCESS) {
        rv = put_entry(journal, gb_record_key(log, to->head + 1), entry, &request);
    }
    if (rv == APR_SUCCESS) {
        entry->seq = ++to->head;
        entry->state = GB_ENTRY_OPEN;
        to->changed = true;
    }
    return rv;
}

/* Entry `seq` has its verdict. */
static void settle(mgb_journal_t *journal, mgb_journal_log_t *log, uint64_t seq)
{
    gb_record_brief_t brief;

    log->changed = true;
    if (seq != log->settled + 1) {
        log->ahead++;
        return;
    }
    log->settled = seq;
    while (log->ahead &&
           mgb_journal_brief(journal, gb_record_key(log->number, log->settled + 1),
                             &brief) == APR_SUCCESS &&
           brief.state != GB_ENTRY_OPEN) {
        log->settled++;
        log->ahead--;
    }
}

static apr_status_t put_verdict(mgb_journal_t *journal, int64_t key,
                                gb_record_brief_t *brief, const mgb_entry_t *entry)
{
    gb_record_answer_t answer;
    apr_status_t rv;

    answer.state = brief->state = entry->state;
    answer.status = brief->status = (uint32_t)entry->status;
    answer.digest = entry->answer_digest;
    answer.by = gb_wire_span(entry->answered_by);
    answer.headers = gb_wire_span(entry->answer_headers);
    answer.body.at = entry->answer_body;
    answer.body.bytes = entry->answer_bytes;
    brief->answer_digest = entry->answer_digest;
    brief->answer_bytes = (uint32_t)entry->answer_bytes;
    rv = put(journal, MGB_TABLE_BRIEF, key,
             mgb_rows_shut_brief(&journal->rows, key, brief));
    return rv != APR_SUCCESS ? rv
                             : put(journal, MGB_TABLE_ANSWER, key,
                                   mgb_rows_shut_answer(&journal->rows, key, &answer));
}

apr_status_t mgb_journal_verdict(mgb_journal_t *journal, uint32_t log,
                                 const mgb_entry_t *entry)
{
    int64_t key = gb_record_key(log, entry->seq);
    mgb_journal_log_t *to = mgb_journal_log_of(journal, log);
    gb_record_brief_t brief;
    apr_status_t rv;

    if (!to || !entry->seq || entry->seq > to->head || entry->state == GB_ENTRY_OPEN ||
        entry->state > GB_ENTRY_FAILED || entry->status < 0 || entry->status > 999 ||
        entry->answer_bytes > GB_WIRE_MOST_BYTES) {
        return APR_EINVAL;
    }
    rv = mgb_journal_begin(journal);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = mgb_journal_brief(journal, key, &brief);
    if (rv != APR_SUCCESS) {
        return rv == APR_NOTFOUND ? rv : APR_EINVAL; /* damaged: told, nothing undone */
    }
    if (brief.state != GB_ENTRY_OPEN) {
        return APR_EINVAL; /* there is one verdict, for ever */
    }
    rv = put_verdict(journal, key, &brief, entry);
    if (rv == APR_SUCCESS) {
        settle(journal, to, entry->seq);
    }
    return rv;
}

/* ---------------------------------------------------------------- replicas */

static mgb_journal_replica_t *replica_of(const mgb_journal_log_t *log, const char *name)
{
    for (int i = 0; i < log->replicas->nelts; i++) {
        mgb_journal_replica_t *replica =
            &APR_ARRAY_IDX(log->replicas, i, mgb_journal_replica_t);

        if (strcmp(replica->name, name) == 0) {
            return replica;
        }
    }
    return NULL;
}

/* A row for a new name: one that was forgotten, or one more. */
static mgb_journal_replica_t *replica_make(mgb_journal_log_t *log)
{
    mgb_journal_replica_t *made;

    for (int i = 0; i < log->replicas->nelts; i++) {
        made = &APR_ARRAY_IDX(log->replicas, i, mgb_journal_replica_t);
        if (made->forgotten) {
            return made;
        }
    }
    if (log->replicas->nelts >= REPLICAS_MOST) {
        return NULL;
    }
    made = apr_array_push(log->replicas); /* zeroed; numbers are 1, 2, ... in order */
    made->number = (uint32_t)log->replicas->nelts;
    made->name = made->why = "";
    return made;
}

/* Cursors change all the time, texts hardly ever: only then they take memory. */
static void set_text(mgb_journal_t *journal, const char **text, const char *value)
{
    if (strcmp(*text, value ? value : "") != 0) {
        *text = apr_pstrdup(journal->state_pool, value ? value : "");
    }
}

static apr_status_t put_replica(mgb_journal_t *journal, uint32_t log,
                                const mgb_journal_replica_t *replica)
{
    gb_record_replica_t record;

    record.serial = journal->serial + 1;
    record.cursor = replica->cursor;
    record.sent = replica->sent;
    record.aside = replica->aside;
    record.forgotten = replica->forgotten;
    record.name = gb_wire_span(replica->name);
    record.why = gb_wire_span(replica->why);
    return put(journal, MGB_TABLE_STATE, gb_record_state_key(log, replica->number),
               mgb_rows_shut_replica(&journal->rows, log, replica->number, &record));
}

apr_status_t mgb_journal_replica(mgb_journal_t *journal, uint32_t log,
                                 const mgb_replica_row_t *row)
{
    mgb_journal_log_t *to = mgb_journal_log_of(journal, log);
    mgb_journal_replica_t *replica;
    apr_status_t rv;

    if (!to || !row->name || !*row->name || row->cursor > GB_RECORD_SEQ_MOST ||
        row->sent > GB_RECORD_SEQ_MOST) {
        return APR_EINVAL;
    }
    rv = mgb_journal_begin(journal);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    replica = replica_of(to, row->name);
    if (!replica) {
        replica = replica_make(to);
    }
    if (!replica) {
        return APR_EINVAL;
    }
    replica->cursor = row->cursor;
    replica->sent = row->sent;
    replica->aside = row->aside;
    replica->forgotten = false;
    set_text(journal, &replica->name, row->name);
    set_text(journal, &replica->why, row->why);
    return put_replica(journal, log, replica);
}

apr_status_t mgb_journal_forget(mgb_journal_t *journal, uint32_t log, const char *name)
{
    mgb_journal_log_t *to = mgb_journal_log_of(journal, log);
    mgb_journal_replica_t *replica = to ? replica_of(to, name) : NULL;
    apr_status_t rv;

    if (!replica || replica->forgotten) {
        return APR_NOTFOUND;
    }
    rv = mgb_journal_begin(journal);
    if (rv == APR_SUCCESS) {
        /* The row stays, and says so: a repair, which looks for rows wherever they may
         * be, must not find the old one again. */
        replica->forgotten = true;
        rv = put_replica(journal, log, replica);
    }
    return rv;
}

/* ---------------------------------------------------------------- deleting */

/* The last entry of `first`..`last` that is old enough.  Entries were stored in their
 * order: when the last one is old, all are, whatever a clock that was set says. */
static apr_status_t last_old(mgb_journal_t *journal, uint32_t log, uint64_t first,
                             uint64_t last, apr_time_t before, uint64_t *found)
{
    gb_record_brief_t brief;
    apr_status_t rv = mgb_journal_brief(journal, gb_record_key(log, last), &brief);

    *found = first - 1;
    if (rv == APR_SUCCESS && brief.at_us < before) {
        *found = last;
        return rv;
    }
    while (rv == APR_SUCCESS && *found < last) {
        rv = mgb_journal_brief(journal, gb_record_key(log, *found + 1), &brief);
        if (rv != APR_SUCCESS || brief.at_us >= before) {
            break;
        }
        (*found)++;
    }
    return rv;
}

/* Names of entries, before anything is changed. */
static apr_status_t read_names(mgb_journal_t *journal, uint32_t log, uint64_t first,
                               uint64_t last, uint8_t *names)
{
    apr_status_t rv = APR_SUCCESS;

    for (uint64_t seq = first; seq <= last && rv == APR_SUCCESS; seq++) {
        gb_record_brief_t brief;

        rv = mgb_journal_brief(journal, gb_record_key(log, seq), &brief);
        if (rv == APR_SUCCESS) {
            memcpy(names, brief.name, GB_RECORD_NAME_BYTES);
            names += GB_RECORD_NAME_BYTES;
        }
    }
    return rv;
}

/* Of a deleted entry its name remains. */
static apr_status_t put_gone(mgb_journal_t *journal, uint32_t log, uint64_t first,
                             uint64_t last, const uint8_t *names)
{
    apr_status_t rv = APR_SUCCESS;

    for (uint64_t seq = first; seq <= last && rv == APR_SUCCESS; seq++) {
        int64_t key = gb_record_key(log, seq);

        rv = put(journal, MGB_TABLE_GONE, key,
                 mgb_rows_shut_gone(&journal->rows, key, names));
        names += GB_RECORD_NAME_BYTES;
    }
    return rv;
}

static apr_status_t delete_rows(mgb_journal_t *journal, mgb_table_e table, int64_t from,
                                int64_t upto)
{
    int rc = mgb_store_delete(&journal->store, table, from, upto);

    return rc == SQLITE_DONE ? APR_SUCCESS : undo(journal, "a deletion", rc);
}

/* Names of entries up to `upto` are not remembered any more. */
static apr_status_t forget_gone(mgb_journal_t *journal, uint32_t log, uint64_t upto)
{
    int64_t from = gb_record_key(log, 0), to = gb_record_key(log, upto);
    mgb_row_t row;
    int rc = mgb_store_from(&journal->store, MGB_TABLE_GONE, from, to);

    while (rc == SQLITE_OK &&
           mgb_store_next(&journal->store, MGB_TABLE_GONE, &row) == SQLITE_ROW) {
        if (mgb_rows_open(&journal->rows, GB_RECORD_GONE, row.key, row.at, row.bytes) &&
            journal->rows.plain.bytes == GB_RECORD_NAME_BYTES) {
            mgb_index_change_t change = {mgb_index_hash(journal->rows.plain.at),
                                         row.key};

            APR_ARRAY_PUSH(journal->ended, mgb_index_change_t) = change;
        }
    }
    mgb_store_done(&journal->store, MGB_TABLE_GONE);
    return delete_rows(journal, MGB_TABLE_GONE, from, to);
}

static apr_status_t delete_entries(mgb_journal_t *journal, uint32_t log, uint64_t first,
                                   uint64_t last, const uint8_t *names)
{
    static const mgb_table_e tables[] = {MGB_TABLE_BRIEF, MGB_TABLE_REQUEST,
                                         MGB_TABLE_ANSWER};
    apr_status_t rv = put_gone(journal, log, first, last, names);

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && rv == APR_SUCCESS;
         i++) {
        rv = delete_rows(journal, tables[i], gb_record_key(log, first),
                         gb_record_key(log, last));
    }
    if (rv == APR_SUCCESS && last > MGB_JOURNAL_GONE_MOST) {
        rv = forget_gone(journal, log, last - MGB_JOURNAL_GONE_MOST);
    }
    return rv;
}

/* Deletes entries up to `upto`. */
static apr_status_t trim_to(mgb_journal_t *journal, mgb_journal_log_t *log,
                            uint64_t upto, uint32_t *trimmed)
{
    uint64_t first = log->trimmed + 1, count = upto - log->trimmed;
    uint8_t *names = calloc((size_t)count + 1, GB_RECORD_NAME_BYTES);
    apr_status_t rv = APR_EINVAL; /* no memory, or damaged: nothing is changed */

    if (names && read_names(journal, log->number, first, upto, names) == APR_SUCCESS) {
        rv = mgb_journal_begin(journal);
        if (rv == APR_SUCCESS) {
            rv = delete_entries(journal, log->number, first, upto, names);
        }
        if (rv == APR_SUCCESS) {
            log->trimmed = upto;
            log->changed = true;
            *trimmed = (uint32_t)count;
        }
    }
    free(names);
    return rv;
}

apr_status_t mgb_journal_trim(mgb_journal_t *journal, uint32_t log, uint64_t upto,
                              apr_time_t before, uint32_t most, uint32_t *trimmed)
{
    mgb_journal_log_t *from = mgb_journal_log_of(journal, log);
    uint64_t first, last, found = 0;
    apr_status_t rv;

    *trimmed = 0;
    if (!from) {
        return APR_EINVAL;
    }
    first = from->trimmed + 1;
    last = upto < from->settled ? upto : from->settled;
    if (most < 1 || last < first) {
        return APR_SUCCESS;
    }
    if (last - first >= most) {
        last = first + most - 1;
    }
    rv = last_old(journal, log, first, last, before, &found);
    if (rv != APR_SUCCESS) {
        return APR_EINVAL; /* damaged: told, nothing undone */
    }
    return found < first ? APR_SUCCESS : trim_to(journal, from, found, trimmed);
}

/* ---------------------------------------------------------------- commit */

static apr_status_t put_logs(mgb_journal_t *journal)
{
    gb_record_head_t head = {journal->epoch, journal->serial + 1};
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < journal->logs->nelts && rv == APR_SUCCESS; i++) {
        mgb_journal_log_t *log = &APR_ARRAY_IDX(journal->logs, i, mgb_journal_log_t);
        gb_record_log_t record = {head.serial, log->head, log->settled, log->trimmed,
                                  gb_wire_span(log->name)};

        if (log->changed) {
            log->changed = false;
            rv = put(journal, MGB_TABLE_STATE, gb_record_state_key(log->number, 0),
                     mgb_rows_shut_log(&journal->rows, log->number, &record));
        }
    }
    return rv != APR_SUCCESS
               ? rv
               : put(journal, MGB_TABLE_STATE, 0,
                     mgb_rows_shut_head(&journal->rows, GB_RECORD_HEAD, &head));
}

/* When the order to write has failed, SQLite has taken back what it can; when the
 * fsync has, nobody knows what the disk has, and what a second one would say is worth
 * nothing. */
static apr_status_t commit_failed(mgb_journal_t *journal, int rc)
{
    if ((rc & 0xff) == SQLITE_FULL) {
        return undo(journal, "a commit", rc);
    }
    journal->broken = true;
    ap_log_perror(APLOG_MARK, APLOG_ERR, 0, journal->pool,
                  GBLOGNO(1504) "%s: a commit failed: %s; nobody knows what the disk "
                                "has of it: nothing more is taken until it is opened "
                                "again",
                  journal->store.path, sqlite3_errstr(rc));
    return APR_EGENERAL;
}

static void witness(mgb_journal_t *journal)
{
    gb_record_head_t head = {journal->epoch, journal->serial};

    if (mgb_rows_shut_head(&journal->rows, GB_RECORD_WITNESS, &head)) {
        mgb_store_set_witness(&journal->store, journal->rows.sealed.at,
                              journal->rows.sealed.bytes);
    }
}

/* The WAL does not grow for ever.  When it cannot be moved, nothing is lost: it stays.
 */
static void checkpoint(mgb_journal_t *journal)
{
    off_t room = mgb_store_wal_bytes(journal->size) / CHECKPOINT_PARTS;
    int rc;

    if ((off_t)journal->store.wal_frames * MGB_JOURNAL_PAGE < room) {
        return;
    }
    rc = mgb_store_checkpoint(&journal->store);
    if (rc == SQLITE_OK) {
        journal->checkpoint_failures = 0;
        journal->store.wal_frames = 0;
    }
    else if (++journal->checkpoint_failures == 1) {
        ap_log_perror(
            APLOG_MARK, APLOG_WARNING, 0, journal->pool,
            GBLOGNO(1505) "%s: what is committed cannot be moved from its WAL "
                          "to the file: %s; nothing is lost, and it is tried "
                          "again",
            journal->store.path, sqlite3_errstr(rc));
    }
}

apr_status_t mgb_journal_commit(mgb_journal_t *journal)
{
    int64_t used;
    apr_status_t rv;
    int rc;

    if (journal->broken) {
        return APR_EGENERAL;
    }
    if (!journal->writing) {
        return APR_SUCCESS;
    }
    rv = put_logs(journal);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rc = mgb_store_commit(&journal->store);
    if (rc != SQLITE_OK) {
        return commit_failed(journal, rc);
    }
    journal->serial++;
    journal->writing = false;
    journal->added->nelts = 0;
    for (int i = 0; i < journal->ended->nelts; i++) {
        const mgb_index_change_t *change =
            &APR_ARRAY_IDX(journal->ended, i, mgb_index_change_t);

        mgb_index_remove(&journal->index, change->hash, change->key);
    }
    journal->ended->nelts = 0;
    witness(journal);
    used = mgb_store_used(&journal->store);
    if (used >= 0) {
        journal->used_bytes = used;
        journal->pending_bytes = 0;
    }
    checkpoint(journal);
    return APR_SUCCESS;
}
