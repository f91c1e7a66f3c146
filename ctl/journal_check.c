/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_check.c - looks at all of a journal: every row, and SQLite's own structure.
 */
#include "journal_repair.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOLD 20 /* findings that are told one by one */

typedef struct look_t {
    mgb_repair_t *repair;
    mgb_store_t store;
    mgb_rows_t rows;
    gb_record_head_t head;
    gb_record_log_t log; /* the one that is looked at; its name is `name` */
    char *name;
    uint32_t number, replicas; /* of it, so far */
    uint64_t wrong, entries, lost;
} look_t;

__attribute__((format(printf, 2, 3))) static void wrong(look_t *look,
                                                        const char *format, ...)
{
    va_list values;

    if (++look->wrong > TOLD) {
        return;
    }
    fputs("wrong: ", look->repair->out);
    va_start(values, format);
    vfprintf(look->repair->out, format, values);
    va_end(values);
    fputc('\n', look->repair->out);
}

/* Opens a row of an entry; false: it is missing or does not open, and that was told. */
static bool open_entry(look_t *look, mgb_table_e table, gb_record_kind_e kind,
                       int64_t key)
{
    mgb_row_t row;
    int rc = mgb_store_get(&look->store, table, key, &row);
    bool opened =
        rc == SQLITE_ROW && mgb_rows_open(&look->rows, kind, key, row.at, row.bytes);

    mgb_store_done(&look->store, table);
    if (!opened) {
        wrong(look, "the %s of entry %" PRIu64 " in log %u %s", mgb_table_names[table],
              gb_record_key_seq(key), gb_record_key_log(key),
              rc == SQLITE_DONE  ? "is missing"
              : rc == SQLITE_ROW ? "is not what was written"
                                 : "cannot be read");
    }
    return opened;
}

static void check_answer(look_t *look, int64_t key, const gb_record_brief_t *brief)
{
    gb_record_answer_t answer;

    if (open_entry(look, MGB_TABLE_ANSWER, GB_RECORD_ANSWER, key) &&
        (!gb_record_read_answer(look->rows.plain.at, look->rows.plain.bytes, &answer) ||
         answer.state != brief->state || answer.status != brief->status)) {
        wrong(look, "entry %" PRIu64 " in log %u has the answer of another",
              gb_record_key_seq(key), look->number);
    }
}

static void check_entry(look_t *look, uint64_t seq)
{
    int64_t key = gb_record_key(look->number, seq);
    gb_record_request_t request;
    gb_record_brief_t brief;

    if (!open_entry(look, MGB_TABLE_BRIEF, GB_RECORD_BRIEF, key)) {
        return;
    }
    if (!gb_record_read_brief(look->rows.plain.at, look->rows.plain.bytes, &brief) ||
        (seq <= look->log.settled && brief.state == GB_ENTRY_OPEN)) {
        wrong(look, "entry %" PRIu64 " in log %u has no verdict", seq, look->number);
        return;
    }
    look->entries++;
    look->lost += brief.lost_request;
    if (!brief.lost_request &&
        open_entry(look, MGB_TABLE_REQUEST, GB_RECORD_REQUEST, key) &&
        !gb_record_read_request(look->rows.plain.at, look->rows.plain.bytes,
                                &request)) {
        wrong(look, "entry %" PRIu64 " in log %u does not read", seq, look->number);
    }
    if (brief.state != GB_ENTRY_OPEN && !brief.lost_answer) {
        check_answer(look, key, &brief);
    }
}

/* Are there rows of entries that the log does not have?  The keeper takes none. */
static void check_strays(look_t *look, uint64_t from, uint64_t upto)
{
    mgb_row_t row;

    if (mgb_store_from(&look->store, MGB_TABLE_BRIEF, gb_record_key(look->number, from),
                       gb_record_key(look->number, upto)) == SQLITE_OK &&
        mgb_store_next(&look->store, MGB_TABLE_BRIEF, &row) == SQLITE_ROW) {
        wrong(look, "entry %" PRIu64 " is there, and log %u does not have it",
              gb_record_key_seq(row.key), look->number);
    }
    mgb_store_done(&look->store, MGB_TABLE_BRIEF);
}

static void check_log(look_t *look)
{
    look->entries = look->lost = 0;
    for (uint64_t seq = look->log.trimmed + 1; seq <= look->log.head; seq++) {
        check_entry(look, seq);
    }
    fprintf(look->repair->out,
            "log: %s: entries %" PRIu64 " to %" PRIu64 ", the first %" PRIu64
            " with their verdicts, %" PRIu64 " that a repair has lost\n",
            look->name ? look->name : "?", look->log.trimmed + 1, look->log.head,
            look->log.settled, look->lost);
}

static void check_replica(look_t *look, const mgb_row_t *row)
{
    gb_record_replica_t record;

    look->replicas++;
    if (!mgb_rows_open(&look->rows, GB_RECORD_REPLICA, row->key, row->at, row->bytes) ||
        !gb_record_read_replica(look->rows.plain.at, look->rows.plain.bytes, &record) ||
        record.serial > look->head.serial ||
        gb_record_state_log(row->key) != look->number ||
        gb_record_state_replica(row->key) != look->replicas) {
        wrong(look, "replica %u of log %u is not what was written",
              gb_record_state_replica(row->key), gb_record_state_log(row->key));
    }
    else if (!record.forgotten) {
        fprintf(look->repair->out, "replica: %s has %" PRIu64 "%s%s\n", record.name.at,
                record.cursor, record.aside ? "; set aside: " : "",
                record.aside ? record.why.at : "");
    }
}

/* Its name is told; without one it was dropped. */
static void check_log_row(look_t *look, const mgb_row_t *row)
{
    look->number = gb_record_state_log(row->key);
    look->replicas = 0;
    if (!mgb_rows_open(&look->rows, GB_RECORD_LOG, row->key, row->at, row->bytes) ||
        !gb_record_read_log(look->rows.plain.at, look->rows.plain.bytes, &look->log) ||
        look->log.serial > look->head.serial) {
        wrong(look, "the row of log %u is not what was written", look->number);
        return;
    }
    if (look->log.name.bytes) {
        look->name = strdup(look->log.name.at); /* the next row takes its place */
        check_log(look);
        free(look->name);
    }
    check_strays(look, 0, look->log.trimmed);
    check_strays(look, look->log.head + 1, GB_RECORD_SEQ_MOST);
}

static void check_state(look_t *look, const mgb_row_t *row)
{
    if (row->key == 0) {
        return; /* the head, which has been opened */
    }
    if (gb_record_state_replica(row->key)) {
        check_replica(look, row);
    }
    else {
        check_log_row(look, row);
    }
}

/* Calls `check`, which looks into other tables, for every row of a table. */
static void check_rows(look_t *look, mgb_table_e table,
                       void (*check)(look_t *look, const mgb_row_t *row))
{
    mgb_row_t row;
    int rc = mgb_store_from(&look->store, table, 0, INT64_MAX);

    if (rc == SQLITE_OK) {
        while ((rc = mgb_store_next(&look->store, table, &row)) == SQLITE_ROW) {
            check(look, &row);
        }
    }
    mgb_store_done(&look->store, table);
    if (rc != SQLITE_DONE) {
        wrong(look, "table %s cannot be read: %s", mgb_table_names[table],
              sqlite3_errstr(rc));
    }
}

static void check_gone(look_t *look, const mgb_row_t *row)
{
    if (!mgb_rows_open(&look->rows, GB_RECORD_GONE, row->key, row->at, row->bytes) ||
        look->rows.plain.bytes != GB_RECORD_NAME_BYTES) {
        wrong(look,
              "the id of deleted entry %" PRIu64 " in log %u is not what was "
              "written",
              gb_record_key_seq(row->key), gb_record_key_log(row->key));
    }
}

static int on_line(void *baton, int count, char **values, char **names)
{
    look_t *look = baton;

    if (count > 0 && values[0] && strcmp(values[0], "ok") != 0) {
        wrong(look, "SQLite: %s", values[0]);
    }
    return 0;
}

bool mgb_repair_head(mgb_repair_t *repair, mgb_store_t *store, mgb_rows_t *rows,
                     gb_record_head_t *head)
{
    uint8_t witness[MGB_WITNESS_MOST];
    size_t bytes = mgb_store_witness(store, witness);
    gb_record_head_t seen;
    mgb_row_t row;
    bool opened = mgb_store_get(store, MGB_TABLE_STATE, 0, &row) == SQLITE_ROW &&
                  mgb_rows_open(rows, GB_RECORD_HEAD, 0, row.at, row.bytes) &&
                  gb_record_read_head(rows->plain.at, rows->plain.bytes, head);

    mgb_store_done(store, MGB_TABLE_STATE);
    if (!opened) {
        snprintf(repair->error, sizeof(repair->error),
                 "its head does not open: another key, or damage");
        return false;
    }
    rows->epoch = head->epoch;
    if (bytes && mgb_rows_open(rows, GB_RECORD_WITNESS, 0, witness, bytes) &&
        gb_record_read_head(rows->plain.at, rows->plain.bytes, &seen) &&
        seen.epoch == head->epoch && seen.serial > head->serial) {
        snprintf(repair->error, sizeof(repair->error),
                 "%" PRIu64 " commits are missing at the end; greenctl journal repair "
                 "makes a new file of what is there",
                 seen.serial - head->serial);
        return false;
    }
    return true;
}

static bool look_at(look_t *look)
{
    mgb_repair_t *repair = look->repair;
    int there = mgb_store_exists(&look->store);

    if (there <= 0 || !mgb_store_open(&look->store)) {
        snprintf(repair->error, sizeof(repair->error), "%s",
                 there ? look->store.error : "there is no such file");
        return false;
    }
    if (!mgb_repair_head(repair, &look->store, &look->rows, &look->head)) {
        return false;
    }
    fprintf(repair->out, "epoch: %" PRIu64 ", commit %" PRIu64 "\n", look->head.epoch,
            look->head.serial);
    check_rows(look, MGB_TABLE_STATE, check_state);
    check_rows(look, MGB_TABLE_GONE, check_gone);
    if (sqlite3_exec(look->store.db, "PRAGMA integrity_check(20)", on_line, look,
                     NULL) != SQLITE_OK) {
        wrong(look, "SQLite: %s", sqlite3_errmsg(look->store.db));
    }
    if (look->wrong) {
        snprintf(repair->error, sizeof(repair->error),
                 "%" PRIu64
                 " findings; greenctl journal repair makes a new file of what "
                 "is good",
                 look->wrong);
    }
    return !look->wrong;
}

bool mgb_journal_check(mgb_repair_t *repair)
{
    look_t look;
    bool good;

    memset(&look, 0, sizeof(look));
    look.repair = repair;
    if (!mgb_store_lock(&look.store, repair->path, mgb_repair_owner(repair->path), 0)) {
        snprintf(repair->error, sizeof(repair->error), "%s", look.store.error);
        return false;
    }
    good = mgb_repair_seals(repair, &look.rows) && look_at(&look);
    mgb_store_close(&look.store);
    mgb_store_unlock(&look.store);
    mgb_rows_end(&look.rows);
    return good;
}
