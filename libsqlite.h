/* SPDX-License-Identifier: Apache-2.0
 *
 * libsqlite.h - SQLite, loaded when it is first needed: by the keeper where GreenCommit
 * is on, and by greenctl for a journal.
 *
 * As with libcurl: linked to the module it would cost every child of httpd its memory.
 * Include this instead of sqlite3.h: its names then stand for the functions that were
 * loaded.
 */
#ifndef MGB_LIBSQLITE_H
#define MGB_LIBSQLITE_H

#include <sqlite3.h>
#include <stdbool.h>

#define MGB_LIBSQLITE_FUNCTIONS(each)                                                  \
    each(bind_blob64) each(bind_int64) each(changes) each(close_v2) each(column_blob)  \
        each(column_bytes) each(column_int64) each(column_text) each(column_type)      \
            each(db_config) each(errmsg) each(errstr) each(exec)                       \
                each(extended_errcode) each(file_control) each(finalize)               \
                    each(get_autocommit) each(libversion_number) each(open_v2)         \
                        each(prepare_v2) each(reset) each(step)                        \
                            each(wal_checkpoint_v2) each(wal_hook)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): it declares */
#define MGB_LIBSQLITE_POINTER(name) __typeof__(sqlite3_##name) *name;
typedef struct mgb_libsqlite_t {
    MGB_LIBSQLITE_FUNCTIONS(MGB_LIBSQLITE_POINTER)
} mgb_libsqlite_t;
#undef MGB_LIBSQLITE_POINTER

/* Valid after mgb_libsqlite_load() has said true. */
extern mgb_libsqlite_t mgb_libsqlite;

/* Loads SQLite, once a process; later calls answer at once.  False: `why` (a literal,
 * or text that lives until the next call) says what is missing.  One thread at a time.
 */
bool mgb_libsqlite_load(const char **why);

#define sqlite3_bind_blob64       mgb_libsqlite.bind_blob64
#define sqlite3_bind_int64        mgb_libsqlite.bind_int64
#define sqlite3_changes           mgb_libsqlite.changes
#define sqlite3_close_v2          mgb_libsqlite.close_v2
#define sqlite3_column_blob       mgb_libsqlite.column_blob
#define sqlite3_column_bytes      mgb_libsqlite.column_bytes
#define sqlite3_column_int64      mgb_libsqlite.column_int64
#define sqlite3_column_text       mgb_libsqlite.column_text
#define sqlite3_column_type       mgb_libsqlite.column_type
#define sqlite3_db_config         mgb_libsqlite.db_config
#define sqlite3_errmsg            mgb_libsqlite.errmsg
#define sqlite3_errstr            mgb_libsqlite.errstr
#define sqlite3_exec              mgb_libsqlite.exec
#define sqlite3_extended_errcode  mgb_libsqlite.extended_errcode
#define sqlite3_file_control      mgb_libsqlite.file_control
#define sqlite3_finalize          mgb_libsqlite.finalize
#define sqlite3_get_autocommit    mgb_libsqlite.get_autocommit
#define sqlite3_libversion_number mgb_libsqlite.libversion_number
#define sqlite3_open_v2           mgb_libsqlite.open_v2
#define sqlite3_prepare_v2        mgb_libsqlite.prepare_v2
#define sqlite3_reset             mgb_libsqlite.reset
#define sqlite3_step              mgb_libsqlite.step
#define sqlite3_wal_checkpoint_v2 mgb_libsqlite.wal_checkpoint_v2
#define sqlite3_wal_hook          mgb_libsqlite.wal_hook

#endif /* MGB_LIBSQLITE_H */
