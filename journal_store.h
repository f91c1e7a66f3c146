/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_store.h - the journal's files: FILE (SQLite), FILE-wal, FILE-lock; in plain
 * C, for the keeper and greenctl.
 *
 * FILE and FILE-wal are taken in full size when they are made.  FILE-lock is locked
 * while somebody uses the journal, and holds the witness: the sealed serial of the
 * latest commit, written after its fsync and not synced itself.  It is therefore never
 * ahead of what is durable, and a journal that is behind it has lost commits.  One
 * thread.  All functions that say false have told why in store->error.
 */
#ifndef MGB_JOURNAL_STORE_H
#define MGB_JOURNAL_STORE_H

#include "libsqlite.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum mgb_table_e {
    MGB_TABLE_STATE = 0, /* head, logs, replicas */
    MGB_TABLE_BRIEF,
    MGB_TABLE_REQUEST,
    MGB_TABLE_ANSWER,
    MGB_TABLE_GONE,
    MGB_TABLE_COUNT
} mgb_table_e;

extern const char *const mgb_table_names[MGB_TABLE_COUNT];

typedef enum mgb_store_op_e {
    MGB_OP_GET = 0,
    MGB_OP_FROM, /* rows of keys from ?1 to ?2, ascending */
    MGB_OP_PUT,
    MGB_OP_DELETE, /* rows of keys from ?1 to ?2 */
    MGB_OP_COUNT
} mgb_store_op_e;

#define MGB_STORE_STEP (1024 * 1024) /* FILE has a multiple of it */
/* What to do about damage; %s: the file. */
#define MGB_STORE_REPAIR      "stop httpd, then: greenctl journal repair %s --key KEYFILE"
#define MGB_STORE_ERROR_BYTES 1024
#define MGB_WITNESS_MOST      256

typedef struct mgb_store_t {
    char path[PATH_MAX];
    sqlite3 *db;
    sqlite3_stmt *statements[MGB_TABLE_COUNT][MGB_OP_COUNT];
    sqlite3_stmt *pages, *free_pages;
    int lock_fd;
    int room_fd;      /* of FILE, by which room was taken while SQLite had it; -1 */
    uid_t owner;      /* of its files */
    int wal_frames;   /* in the WAL after the latest commit */
    bool wal_missing; /* or shorter than any; when it was opened */
    dev_t device;     /* of FILE and its WAL, as they were opened */
    ino_t inodes[2];  /* 0: not known */
    char error[MGB_STORE_ERROR_BYTES];
} mgb_store_t;

typedef struct mgb_row_t {
    int64_t key;
    const void *at;
    size_t bytes;
} mgb_row_t;

void mgb_store_fail(mgb_store_t *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------- journal_file.c */

/* Looks at the place and takes the lock; waits up to `wait_ms` for another process that
 * has it.  `store` is uninitialised.  Refuses a place in memory (tmpfs), and files that
 * are not `owner`'s alone. */
bool mgb_store_lock(mgb_store_t *store, const char *path, uid_t owner, int wait_ms);
void mgb_store_unlock(mgb_store_t *store);
/* Is FILE there?  -1: it cannot be used, or a WAL is there without it. */
int mgb_store_exists(mgb_store_t *store);
/* The witness as it is stored; 0: there is none. */
size_t mgb_store_witness(mgb_store_t *store, uint8_t witness[MGB_WITNESS_MOST]);
void mgb_store_set_witness(mgb_store_t *store, const void *witness, size_t bytes);
/* Takes room: FILE (with `suffix` while it is made) at least `size`, the WAL what
 * belongs to it.  False: there is not so much; what is there can be used nevertheless.
 */
bool mgb_store_take_room(mgb_store_t *store, const char *suffix, off_t size);
off_t mgb_store_wal_bytes(off_t size);
/* The name of one of its files: suffix "", "-wal", "-lock", ".new". */
bool mgb_store_name(const mgb_store_t *store, const char *suffix, char name[PATH_MAX]);
bool mgb_store_sync_dir(mgb_store_t *store);
/* Notes which files FILE and its WAL are; and later: are they still the same?  What is
 * written to a file that was removed or replaced is gone with the process. */
void mgb_store_note(mgb_store_t *store);
bool mgb_store_is_there(const mgb_store_t *store);
/* Reads a key file: exactly MGB_SEAL_KEY_BYTES, of whoever asks, with mode 0600. False:
 * `error` says why. */
bool mgb_store_read_key(const char *path, uint8_t *key, char *error, size_t room);

/* ------------------------------------------------------- journal_store.c */

/* Makes FILE, with `head` as the row 0 of its state, under another name, and moves it
 * to its place when it is whole. */
bool mgb_store_create(mgb_store_t *store, off_t size, const void *head, size_t bytes);
/* Opens FILE as the only one; looks at its header, version and schema. */
bool mgb_store_open(mgb_store_t *store);
/* Closes FILE; the lock stays. */
void mgb_store_close(mgb_store_t *store);

/* Rows.  Codes are SQLite's: get and next say SQLITE_ROW or SQLITE_DONE; a row's bytes
 * live until mgb_store_done(), which has to come after either. */
int mgb_store_get(mgb_store_t *store, mgb_table_e table, int64_t key, mgb_row_t *row);
int mgb_store_from(mgb_store_t *store, mgb_table_e table, int64_t from, int64_t upto);
int mgb_store_next(mgb_store_t *store, mgb_table_e table, mgb_row_t *row);
void mgb_store_done(mgb_store_t *store, mgb_table_e table);
/* Inserts or replaces; deletes keys `from` to `upto`.  SQLITE_DONE. */
int mgb_store_put(mgb_store_t *store, mgb_table_e table, int64_t key, const void *at,
                  size_t bytes);
int mgb_store_delete(mgb_store_t *store, mgb_table_e table, int64_t from, int64_t upto);

/* SQLITE_OK. */
int mgb_store_begin(mgb_store_t *store);
int mgb_store_commit(mgb_store_t *store);
void mgb_store_rollback(mgb_store_t *store);
/* Moves what is in the WAL to FILE. */
int mgb_store_checkpoint(mgb_store_t *store);
/* Bytes of FILE that hold something; -1: it cannot be read. */
int64_t mgb_store_used(mgb_store_t *store);

#endif /* MGB_JOURNAL_STORE_H */
