/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_read.c - reads of the journal.
 */
#include "journal_private.h"

apr_status_t mgb_journal_damage(mgb_journal_t *journal, mgb_table_e table, int64_t key,
                                int rc)
{
    if (journal->damage_told < MGB_JOURNAL_DAMAGE_LOG) {
        journal->damage_told++;
        ap_log_perror(
            APLOG_MARK, APLOG_ERR, 0, journal->pool,
            GBLOGNO(1501) "%s: damaged: %s of entry %" APR_UINT64_T_FMT
                          " in log %u %s%s; stop httpd, then: greenctl journal repair "
                          "%s --key KEYFILE%s",
            journal->store.path, mgb_table_names[table], gb_record_key_seq(key),
            gb_record_key_log(key),
            rc == SQLITE_DONE  ? "is missing"
            : rc == SQLITE_ROW ? "is not what was written"
                               : "cannot be read: ",
            rc == SQLITE_DONE || rc == SQLITE_ROW ? "" : sqlite3_errstr(rc),
            journal->store.path,
            journal->damage_told == MGB_JOURNAL_DAMAGE_LOG ? " (more of it is not told)"
                                                           : "");
    }
    return APR_EGENERAL;
}

/* Opens a row of an entry into rows.plain.  APR_NOTFOUND: it is not there. */
static apr_status_t open_row(mgb_journal_t *journal, mgb_table_e table,
                             gb_record_kind_e kind, int64_t key)
{
    mgb_row_t row;
    int rc = mgb_store_get(&journal->store, table, key, &row);
    bool opened =
        rc == SQLITE_ROW && mgb_rows_open(&journal->rows, kind, key, row.at, row.bytes);

    mgb_store_done(&journal->store, table);
    if (rc == SQLITE_DONE) {
        return APR_NOTFOUND;
    }
    return opened ? APR_SUCCESS : mgb_journal_damage(journal, table, key, rc);
}

apr_status_t mgb_journal_brief(mgb_journal_t *journal, int64_t key,
                               gb_record_brief_t *brief)
{
    apr_status_t rv = open_row(journal, MGB_TABLE_BRIEF, GB_RECORD_BRIEF, key);

    if (rv == APR_SUCCESS && !gb_record_read_brief(journal->rows.plain.at,
                                                   journal->rows.plain.bytes, brief)) {
        rv = mgb_journal_damage(journal, MGB_TABLE_BRIEF, key, SQLITE_ROW);
    }
    return rv;
}

/* Opens a row that has to be there; its contents in memory of `p`, which the spans of a
 * record then point into. */
static apr_status_t open_kept(mgb_journal_t *journal, mgb_table_e table,
                              gb_record_kind_e kind, int64_t key, apr_pool_t *p,
                              const uint8_t **at, size_t *bytes)
{
    apr_status_t rv = open_row(journal, table, kind, key);

    *at = NULL;
    *bytes = 0;
    if (rv == APR_NOTFOUND) {
        return mgb_journal_damage(journal, table, key, SQLITE_DONE);
    }
    if (rv == APR_SUCCESS) {
        *bytes = journal->rows.plain.bytes;
        *at = apr_pmemdup(p, journal->rows.plain.at, *bytes);
    }
    return rv;
}

static apr_status_t read_request(mgb_journal_t *journal, int64_t key, apr_pool_t *p,
                                 mgb_entry_t *entry)
{
    gb_record_request_t request;
    const uint8_t *at;
    size_t bytes;
    apr_status_t rv =
        open_kept(journal, MGB_TABLE_REQUEST, GB_RECORD_REQUEST, key, p, &at, &bytes);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!gb_record_read_request(at, bytes, &request)) {
        return mgb_journal_damage(journal, MGB_TABLE_REQUEST, key, SQLITE_ROW);
    }
    entry->id = request.id.at;
    entry->principal = request.principal.at;
    entry->method = request.method.at;
    entry->target = request.target.at;
    entry->headers = request.headers.at;
    entry->body = request.body.at;
    entry->body_bytes = request.body.bytes;
    return APR_SUCCESS;
}

static apr_status_t read_answer(mgb_journal_t *journal, int64_t key, apr_pool_t *p,
                                mgb_entry_t *entry)
{
    gb_record_answer_t answer;
    const uint8_t *at;
    size_t bytes;
    apr_status_t rv =
        open_kept(journal, MGB_TABLE_ANSWER, GB_RECORD_ANSWER, key, p, &at, &bytes);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!gb_record_read_answer(at, bytes, &answer) || answer.state != entry->state ||
        (int)answer.status != entry->status) {
        return mgb_journal_damage(journal, MGB_TABLE_ANSWER, key, SQLITE_ROW);
    }
    entry->answered_by = answer.by.at;
    entry->answer_headers = answer.headers.at;
    entry->answer_body = answer.body.at;
    entry->answer_bytes = answer.body.bytes;
    return APR_SUCCESS;
}

/* Is a seq one of the log, and if there is no entry of it any more, was there one? */
static apr_status_t missing(mgb_journal_t *journal, uint32_t log, uint64_t seq)
{
    const mgb_journal_log_t *found = mgb_journal_log_of(journal, log);

    if (!found || !seq || seq > found->head) {
        return APR_NOTFOUND;
    }
    if (seq <= found->trimmed) {
        return MGB_EXPIRED;
    }
    return mgb_journal_damage(journal, MGB_TABLE_BRIEF, gb_record_key(log, seq),
                              SQLITE_DONE);
}

apr_status_t mgb_journal_get(mgb_journal_t *journal, uint32_t log, uint64_t seq,
                             bool with_answer, apr_pool_t *p, mgb_entry_t *entry)
{
    int64_t key = gb_record_key(log, seq);
    gb_record_brief_t brief;
    apr_status_t rv;

    memset(entry, 0, sizeof(*entry));
    if (!seq || seq > GB_RECORD_SEQ_MOST) {
        return APR_NOTFOUND;
    }
    rv = mgb_journal_brief(journal, key, &brief);
    if (rv != APR_SUCCESS) {
        return rv == APR_NOTFOUND ? missing(journal, log, seq) : rv;
    }
    entry->seq = seq;
    entry->nonce = brief.nonce;
    memcpy(entry->digest, brief.digest, sizeof(entry->digest));
    entry->at = brief.at_us;
    entry->state = brief.state;
    entry->status = (int)brief.status;
    entry->answer_digest = brief.answer_digest;
    entry->id = entry->principal = entry->method = entry->target = "";
    entry->headers = entry->body = "";
    if (brief.lost_request) {
        return APR_INCOMPLETE;
    }
    rv = read_request(journal, key, p, entry);
    if (rv != APR_SUCCESS || !with_answer || entry->state == GB_ENTRY_OPEN) {
        return rv;
    }
    return brief.lost_answer ? APR_INCOMPLETE : read_answer(journal, key, p, entry);
}

apr_status_t mgb_journal_peek(mgb_journal_t *journal, uint32_t log, uint64_t seq,
                              gb_entry_t *entry, apr_time_t *at)
{
    gb_record_brief_t brief;
    apr_status_t rv;

    memset(entry, 0, sizeof(*entry));
    *at = 0;
    if (!seq || seq > GB_RECORD_SEQ_MOST) {
        return APR_NOTFOUND;
    }
    rv = mgb_journal_brief(journal, gb_record_key(log, seq), &brief);
    if (rv != APR_SUCCESS) {
        return rv == APR_NOTFOUND ? missing(journal, log, seq) : rv;
    }
    entry->seq = seq;
    entry->state = brief.state;
    entry->repeatable = brief.repeatable;
    entry->deletes = brief.deletes;
    entry->status = (int)brief.status;
    entry->digest = brief.answer_digest;
    entry->rolled_back_by = GB_NO_INDEX;
    *at = brief.at_us;
    return APR_SUCCESS;
}

/* Is the id of a deleted entry still remembered? */
static apr_status_t look_at_gone(mgb_journal_t *journal, int64_t key,
                                 const uint8_t name[GB_RECORD_NAME_BYTES])
{
    apr_status_t rv = open_row(journal, MGB_TABLE_GONE, GB_RECORD_GONE, key);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    return journal->rows.plain.bytes == GB_RECORD_NAME_BYTES &&
                   memcmp(journal->rows.plain.at, name, GB_RECORD_NAME_BYTES) == 0
               ? MGB_EXPIRED
               : APR_NOTFOUND;
}

static apr_status_t look_at(mgb_journal_t *journal, int64_t key,
                            const uint8_t name[GB_RECORD_NAME_BYTES])
{
    gb_record_brief_t brief;
    apr_status_t rv = mgb_journal_brief(journal, key, &brief);

    if (rv == APR_SUCCESS) {
        return memcmp(brief.name, name, GB_RECORD_NAME_BYTES) == 0 ? APR_SUCCESS
                                                                   : APR_NOTFOUND;
    }
    return rv == APR_NOTFOUND ? look_at_gone(journal, key, name) : rv;
}

apr_status_t mgb_journal_find(mgb_journal_t *journal, uint32_t log, const char *id,
                              const char *principal, uint64_t *seq)
{
    uint8_t name[GB_RECORD_NAME_BYTES];
    size_t at = 0;
    int64_t key;

    *seq = 0;
    if (!mgb_rows_name(&journal->rows, log, principal ? principal : "", id, name)) {
        return APR_ENOMEM;
    }
    while ((key = mgb_index_next(&journal->index, mgb_index_hash(name), &at)) != 0) {
        apr_status_t rv =
            gb_record_key_log(key) == log ? look_at(journal, key, name) : APR_NOTFOUND;

        if (rv != APR_NOTFOUND) {
            *seq = gb_record_key_seq(key);
            return rv;
        }
    }
    return APR_NOTFOUND;
}

void mgb_journal_space(mgb_journal_t *journal, apr_off_t *bytes, uint32_t *permille)
{
    int64_t used = journal->used_bytes + journal->pending_bytes;
    int64_t parts = journal->size > 0 ? used / (journal->size / 1000 + 1) : 0;

    *bytes = used;
    *permille = parts > 1000 ? 1000 : (uint32_t)parts;
}

void mgb_journal_look(mgb_journal_t *journal)
{
    bool away = !mgb_store_is_there(&journal->store);

    if (away == journal->away) {
        return;
    }
    journal->away = away;
    if (away) {
        ap_log_perror(APLOG_MARK, APLOG_ERR, 0, journal->pool,
                      GBLOGNO(1507) "%s: it or its -wal was removed or replaced: new "
                                    "writes get 503, what it has goes on to the "
                                    "servers; bring the file back, or restart httpd "
                                    "when no server lags any more",
                      journal->store.path);
    }
    else {
        ap_log_perror(APLOG_MARK, APLOG_NOTICE, 0, journal->pool,
                      GBLOGNO(1508) "%s: it is there again", journal->store.path);
    }
}

bool mgb_journal_is_away(const mgb_journal_t *journal)
{
    return journal->away;
}

uint64_t mgb_journal_epoch(const mgb_journal_t *journal)
{
    return journal->epoch;
}

bool mgb_journal_is_dirty(const mgb_journal_t *journal)
{
    return journal->writing;
}

apr_array_header_t *mgb_journal_replicas(mgb_journal_t *journal, uint32_t log,
                                         apr_pool_t *p)
{
    const mgb_journal_log_t *found = mgb_journal_log_of(journal, log);
    apr_array_header_t *rows = apr_array_make(p, 4, sizeof(mgb_replica_row_t));

    for (int i = 0; found && i < found->replicas->nelts; i++) {
        const mgb_journal_replica_t *replica =
            &APR_ARRAY_IDX(found->replicas, i, mgb_journal_replica_t);
        mgb_replica_row_t *row;

        if (replica->forgotten) {
            continue;
        }
        row = apr_array_push(rows);
        row->name = apr_pstrdup(p, replica->name);
        row->cursor = replica->cursor;
        row->sent = replica->sent;
        row->aside = replica->aside;
        row->why = apr_pstrdup(p, replica->why);
    }
    return rows;
}
