/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_store.c - the SQLite file under a journal: five tables of keys and rows.
 *
 * What SQLite does with room that was taken (found with 3.40.1, and tested): a file
 * that is longer than its header says is accepted, and every commit then says that it
 * has as many pages as the file, so that no checkpoint truncates it; pages are handed
 * out by the header's count, from the room that is there.  A WAL of zeros is an empty
 * one, and is not shortened while it is in use; with SQLITE_FCNTL_PERSIST_WAL it stays
 * at the close, in its length as long as journal_size_limit is not set.
 */
#include "journal_store.h"
#include "journal_row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FLAGS (SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE)

#ifndef MGB_STORE_CACHE_KB
#define MGB_STORE_CACHE_KB "16384"
#endif

const char *const mgb_table_names[MGB_TABLE_COUNT] = {
    [MGB_TABLE_STATE] = "state",     [MGB_TABLE_BRIEF] = "brief",
    [MGB_TABLE_REQUEST] = "request", [MGB_TABLE_ANSWER] = "answer",
    [MGB_TABLE_GONE] = "gone",
};

static const char *const operations[MGB_OP_COUNT] = {
    [MGB_OP_GET] = "SELECT key, row FROM %s WHERE key = ?1",
    [MGB_OP_FROM] = "SELECT key, row FROM %s WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
    [MGB_OP_PUT] = "REPLACE INTO %s VALUES (?1, ?2)",
    [MGB_OP_DELETE] = "DELETE FROM %s WHERE key BETWEEN ?1 AND ?2",
};

#define TABLE_SQL "CREATE TABLE %s (key INTEGER PRIMARY KEY, row BLOB NOT NULL)"

static bool failed(mgb_store_t *store, const char *what)
{
    int rc = store->db ? sqlite3_extended_errcode(store->db) & 0xff : SQLITE_NOMEM;

    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) {
        mgb_store_fail(store, "%s %s; " MGB_STORE_REPAIR, store->path, what,
                       store->path);
    }
    else if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        mgb_store_fail(store, "%s %s: %s; if it is a journal, " MGB_STORE_REPAIR,
                       store->path, what, sqlite3_errmsg(store->db), store->path);
    }
    else {
        mgb_store_fail(store, "%s %s: %s", store->path, what, sqlite3_errstr(rc));
    }
    return false;
}

static bool run(mgb_store_t *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           failed(store, "cannot be used");
}

/* One whole number; -1 on failure. */
static int64_t ask(mgb_store_t *store, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return value;
}

static bool connect_to(mgb_store_t *store, const char *name)
{
    int rc = sqlite3_open_v2(name, &store->db, OPEN_FLAGS, NULL), persist = 1;

    if (rc != SQLITE_OK) {
        return failed(store, "cannot be opened");
    }
    /* A journal that is refused is closed as it is: its WAL may be what repairs it. */
    (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* A file that was tampered with must not get to run anything. */
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    /* Exclusive: the WAL's index is in our memory, and there is no file of it.  What is
     * deleted was sealed: to overwrite it as well (Debian's default) only costs. */
    return run(store,
               "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON;"
               "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
               "PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY;"
               "PRAGMA mmap_size = 0; PRAGMA cache_size = -" MGB_STORE_CACHE_KB ";");
}

/* ---------------------------------------------------------------- creating */

static bool fill_new(mgb_store_t *store, const void *head, size_t bytes)
{
    char sql[256];
    sqlite3_stmt *insert = NULL;
    bool done;

    snprintf(sql, sizeof(sql),
             "PRAGMA page_size = %d; PRAGMA auto_vacuum = NONE;"
             "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             MGB_JOURNAL_PAGE, MGB_JOURNAL_ID, MGB_JOURNAL_VERSION);
    if (!run(store, sql)) {
        return false;
    }
    for (int i = 0; i < MGB_TABLE_COUNT; i++) {
        snprintf(sql, sizeof(sql), TABLE_SQL, mgb_table_names[i]);
        if (!run(store, sql)) {
            return false;
        }
    }
    done = sqlite3_prepare_v2(store->db, "INSERT INTO state VALUES (0, ?1)", -1,
                              &insert, NULL) == SQLITE_OK &&
           sqlite3_bind_blob64(insert, 1, head, bytes, SQLITE_STATIC) == SQLITE_OK &&
           sqlite3_step(insert) == SQLITE_DONE;
    sqlite3_finalize(insert);
    if (!done) {
        return failed(store, "cannot be made");
    }
    return run(store, "PRAGMA journal_mode = WAL");
}

static void remove_new(const mgb_store_t *store)
{
    static const char *const left[] = {".new", ".new-wal", ".new-journal"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        if (mgb_store_name(store, left[i], name)) {
            (void)unlink(name);
        }
    }
}

/* An empty file of ours; SQLite would make it readable for all. */
static bool make_empty(mgb_store_t *store, const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        mgb_store_fail(store, "%s cannot be made: %s", name, strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

/* The WAL comes first: where FILE is, it is. */
static bool move_into_place(mgb_store_t *store, const char *made, off_t size)
{
    char wal[PATH_MAX];

    if (!mgb_store_take_room(store, ".new", size)) {
        if (mgb_store_name(store, "-wal", wal)) {
            (void)unlink(wal);
        }
        return false;
    }
    if (!mgb_store_sync_dir(store)) {
        return false;
    }
    if (rename(made, store->path)) {
        mgb_store_fail(store, "%s cannot be renamed: %s", made, strerror(errno));
        return false;
    }
    store->wal_missing = false;
    return mgb_store_sync_dir(store);
}

bool mgb_store_create(mgb_store_t *store, off_t size, const void *head, size_t bytes)
{
    char made[PATH_MAX];
    bool done;

    remove_new(store);
    if (!mgb_store_name(store, ".new", made) || !make_empty(store, made)) {
        return false;
    }
    done = connect_to(store, made) && fill_new(store, head, bytes);
    mgb_store_close(store);
    done = done && move_into_place(store, made, size);
    remove_new(store);
    return done;
}

/* ---------------------------------------------------------------- opening */

/* A hook for the number of frames; a commit needs no other answer. */
static int on_commit(void *baton, sqlite3 *db, const char *name, int frames)
{
    mgb_store_t *store = baton;

    store->wal_frames = frames;
    return SQLITE_OK;
}

static bool check_version(mgb_store_t *store)
{
    int64_t id = ask(store, "PRAGMA application_id");
    int64_t version = ask(store, "PRAGMA user_version");

    if (id < 0 || version < 0) {
        return failed(store, "is damaged");
    }
    if (id != MGB_JOURNAL_ID) {
        mgb_store_fail(
            store,
            "%s is no journal of GreenJournal; if it should be one, " MGB_STORE_REPAIR,
            store->path, store->path);
        return false;
    }
    if (version != MGB_JOURNAL_VERSION) {
        mgb_store_fail(store,
                       "%s is of version %lld, this module knows version %d: install "
                       "the newer module again, or let it finish its writes and name a "
                       "new file",
                       store->path, (long long)version, MGB_JOURNAL_VERSION);
        return false;
    }
    return true;
}

/* Are its tables exactly ours, and is there nothing else? */
static bool check_schema(mgb_store_t *store)
{
    sqlite3_stmt *statement = NULL;
    bool good =
        sqlite3_prepare_v2(store->db, "SELECT sql FROM sqlite_schema ORDER BY rowid",
                           -1, &statement, NULL) == SQLITE_OK;

    for (int i = 0; i < MGB_TABLE_COUNT && good; i++) {
        const char *found;
        char sql[256];

        snprintf(sql, sizeof(sql), TABLE_SQL, mgb_table_names[i]);
        good = sqlite3_step(statement) == SQLITE_ROW;
        found = good ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        good = found && strcmp(found, sql) == 0;
    }
    good = good && sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return good || failed(store, "is damaged: its tables are not as they should be");
}

static bool prepare_all(mgb_store_t *store)
{
    char sql[256];

    for (int table = 0; table < MGB_TABLE_COUNT; table++) {
        for (int op = 0; op < MGB_OP_COUNT; op++) {
            const char *before = strstr(operations[op], "%s");

            snprintf(sql, sizeof(sql), "%.*s%s%s", (int)(before - operations[op]),
                     operations[op], mgb_table_names[table], before + 2);
            if (sqlite3_prepare_v2(store->db, sql, -1, &store->statements[table][op],
                                   NULL) != SQLITE_OK) {
                return failed(store, "is damaged");
            }
        }
    }
    return (sqlite3_prepare_v2(store->db, "PRAGMA page_count", -1, &store->pages,
                               NULL) == SQLITE_OK &&
            sqlite3_prepare_v2(store->db, "PRAGMA freelist_count", -1,
                               &store->free_pages, NULL) == SQLITE_OK) ||
           failed(store, "is damaged");
}

bool mgb_store_open(mgb_store_t *store)
{
    int step = MGB_STORE_STEP;

    if (!connect_to(store, store->path) || !check_version(store) ||
        ask(store, "PRAGMA page_size") != MGB_JOURNAL_PAGE || !check_schema(store) ||
        !prepare_all(store)) {
        if (!*store->error) {
            failed(store, "is damaged");
        }
        mgb_store_close(store);
        return false;
    }
    (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_CHUNK_SIZE, &step);
    sqlite3_wal_hook(store->db, on_commit, store);
    return true;
}

void mgb_store_close(mgb_store_t *store)
{
    for (int table = 0; table < MGB_TABLE_COUNT; table++) {
        for (int op = 0; op < MGB_OP_COUNT; op++) {
            sqlite3_finalize(store->statements[table][op]);
            store->statements[table][op] = NULL;
        }
    }
    sqlite3_finalize(store->pages);
    sqlite3_finalize(store->free_pages);
    store->pages = store->free_pages = NULL;
    if (store->db) {
        (void)sqlite3_close_v2(store->db);
    }
    store->db = NULL;
    if (store->room_fd >= 0) {
        close(store->room_fd);
    }
    store->room_fd = -1;
}

/* ---------------------------------------------------------------- rows */

static int step_row(sqlite3_stmt *statement, mgb_row_t *row)
{
    int rc = sqlite3_step(statement);

    if (rc == SQLITE_ROW) {
        row->key = sqlite3_column_int64(statement, 0);
        row->at = sqlite3_column_blob(statement, 1);
        row->bytes = (size_t)sqlite3_column_bytes(statement, 1);
        if (row->bytes && !row->at) {
            return SQLITE_NOMEM;
        }
    }
    return rc;
}

int mgb_store_get(mgb_store_t *store, mgb_table_e table, int64_t key, mgb_row_t *row)
{
    sqlite3_stmt *statement = store->statements[table][MGB_OP_GET];
    int rc = sqlite3_bind_int64(statement, 1, key);

    return rc == SQLITE_OK ? step_row(statement, row) : rc;
}

int mgb_store_from(mgb_store_t *store, mgb_table_e table, int64_t from, int64_t upto)
{
    sqlite3_stmt *statement = store->statements[table][MGB_OP_FROM];
    int rc = sqlite3_bind_int64(statement, 1, from);

    return rc == SQLITE_OK ? sqlite3_bind_int64(statement, 2, upto) : rc;
}

int mgb_store_next(mgb_store_t *store, mgb_table_e table, mgb_row_t *row)
{
    return step_row(store->statements[table][MGB_OP_FROM], row);
}

void mgb_store_done(mgb_store_t *store, mgb_table_e table)
{
    (void)sqlite3_reset(store->statements[table][MGB_OP_GET]);
    (void)sqlite3_reset(store->statements[table][MGB_OP_FROM]);
}

int mgb_store_put(mgb_store_t *store, mgb_table_e table, int64_t key, const void *at,
                  size_t bytes)
{
    sqlite3_stmt *statement = store->statements[table][MGB_OP_PUT];
    int rc = sqlite3_bind_int64(statement, 1, key);

    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_blob64(statement, 2, at, bytes, SQLITE_STATIC);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        (void)sqlite3_reset(statement);
    }
    return rc;
}

int mgb_store_delete(mgb_store_t *store, mgb_table_e table, int64_t from, int64_t upto)
{
    sqlite3_stmt *statement = store->statements[table][MGB_OP_DELETE];
    int rc = sqlite3_bind_int64(statement, 1, from);

    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(statement, 2, upto);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        (void)sqlite3_reset(statement);
    }
    return rc;
}

int mgb_store_begin(mgb_store_t *store)
{
    return sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
}

int mgb_store_commit(mgb_store_t *store)
{
    return sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
}

void mgb_store_rollback(mgb_store_t *store)
{
    if (!sqlite3_get_autocommit(store->db)) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

int mgb_store_checkpoint(mgb_store_t *store)
{
    return sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_FULL, NULL,
                                     NULL);
}

static int64_t number_of(sqlite3_stmt *statement)
{
    int64_t number =
        sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;

    (void)sqlite3_reset(statement);
    return number;
}

int64_t mgb_store_used(mgb_store_t *store)
{
    int64_t pages = number_of(store->pages), idle = number_of(store->free_pages);

    if (pages < 0 || idle < 0) {
        return -1;
    }
    return (pages - idle) * MGB_JOURNAL_PAGE;
}
