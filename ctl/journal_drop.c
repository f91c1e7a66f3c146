/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_drop.c - gives back the room of a log whose balancer is gone.
 *
 * The log's row stays, without its name and with all of its entries deleted, and so do
 * its replicas' rows, forgotten: a repair, which finds rows wherever they lie, must not
 * bring any of it back.
 */
#include "journal_repair.h"

#include <inttypes.h>
#include <string.h>

typedef struct drop_t {
    mgb_repair_t *repair;
    mgb_store_t store;
    mgb_rows_t rows;
    gb_record_head_t head;
    uint32_t number; /* of the log; 0: not found */
    uint64_t first, last;
} drop_t;

static bool fail(drop_t *drop, const char *why)
{
    snprintf(drop->repair->error, sizeof(drop->repair->error), "%s", why);
    return false;
}

/* A log is called "ID BALANCER"; the balancer alone will do, where it is the only one.
 */
static bool is_called(const char *log, const char *name)
{
    const char *balancer = strchr(log, ' ');

    return strcmp(log, name) == 0 || (balancer && strcmp(balancer + 1, name) == 0);
}

/* The log of that name. */
static bool find_log(drop_t *drop, const char *name)
{
    mgb_row_t row;
    uint32_t found = 0;
    int rc = mgb_store_from(&drop->store, MGB_TABLE_STATE, 1, INT64_MAX);

    while (rc == SQLITE_OK &&
           mgb_store_next(&drop->store, MGB_TABLE_STATE, &row) == SQLITE_ROW) {
        gb_record_log_t log;

        if (gb_record_state_replica(row.key) == 0 &&
            mgb_rows_open(&drop->rows, GB_RECORD_LOG, row.key, row.at, row.bytes) &&
            gb_record_read_log(drop->rows.plain.at, drop->rows.plain.bytes, &log) &&
            is_called(log.name.at, name)) {
            found++;
            drop->number = gb_record_state_log(row.key);
            drop->first = log.trimmed + 1;
            drop->last = log.head;
        }
    }
    mgb_store_done(&drop->store, MGB_TABLE_STATE);
    if (found > 1) {
        return fail(drop, "several logs are of that balancer: name one as check does, "
                          "in quotes");
    }
    return found || fail(drop, "there is no such log in it; check names them");
}

/* Puts what was sealed in the place of a row of the state. */
static bool put(drop_t *drop, int64_t key, bool sealed)
{
    return (sealed &&
            mgb_store_put(&drop->store, MGB_TABLE_STATE, key, drop->rows.sealed.at,
                          drop->rows.sealed.bytes) == SQLITE_DONE) ||
           fail(drop, "it cannot be written");
}

static bool forget_replicas(drop_t *drop)
{
    for (uint32_t number = 1;; number++) {
        int64_t key = gb_record_state_key(drop->number, number);
        gb_record_replica_t replica;
        mgb_row_t row;
        int rc = mgb_store_get(&drop->store, MGB_TABLE_STATE, key, &row);
        bool opened = rc == SQLITE_ROW && mgb_rows_open(&drop->rows, GB_RECORD_REPLICA,
                                                        key, row.at, row.bytes);

        mgb_store_done(&drop->store, MGB_TABLE_STATE);
        if (rc == SQLITE_DONE) {
            return true;
        }
        if (!opened) {
            return fail(drop, "a replica's row does not open: repair it first");
        }
        memset(&replica, 0, sizeof(replica));
        replica.serial = drop->head.serial + 1;
        replica.forgotten = true;
        replica.name = replica.why = gb_wire_span("");
        if (!put(drop, key,
                 mgb_rows_shut_replica(&drop->rows, drop->number, number, &replica))) {
            return false;
        }
    }
}

static bool delete_entries(drop_t *drop)
{
    static const mgb_table_e tables[] = {MGB_TABLE_BRIEF, MGB_TABLE_REQUEST,
                                         MGB_TABLE_ANSWER, MGB_TABLE_GONE};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (mgb_store_delete(&drop->store, tables[i], gb_record_key(drop->number, 0),
                             gb_record_key(drop->number, GB_RECORD_SEQ_MOST)) !=
            SQLITE_DONE) {
            return fail(drop, "it cannot be written");
        }
    }
    return true;
}

static bool write_all(drop_t *drop)
{
    gb_record_log_t log = {drop->head.serial + 1, drop->last, drop->last, drop->last,
                           gb_wire_span("")};
    gb_record_head_t head = {drop->head.epoch, drop->head.serial + 1};

    if (mgb_store_begin(&drop->store) != SQLITE_OK) {
        return fail(drop, "it cannot be written");
    }
    if (!delete_entries(drop) || !forget_replicas(drop) ||
        !put(drop, gb_record_state_key(drop->number, 0),
             mgb_rows_shut_log(&drop->rows, drop->number, &log)) ||
        !put(drop, 0, mgb_rows_shut_head(&drop->rows, GB_RECORD_HEAD, &head))) {
        mgb_store_rollback(&drop->store);
        return false;
    }
    if (mgb_store_commit(&drop->store) != SQLITE_OK) {
        return fail(drop, "it cannot be written");
    }
    if (mgb_rows_shut_head(&drop->rows, GB_RECORD_WITNESS, &head)) {
        mgb_store_set_witness(&drop->store, drop->rows.sealed.at,
                              drop->rows.sealed.bytes);
    }
    (void)mgb_store_checkpoint(&drop->store); /* else the keeper does it */
    return true;
}

static bool drop_log(drop_t *drop, const char *name)
{
    int there = mgb_store_exists(&drop->store);

    if (there <= 0 || !mgb_store_open(&drop->store)) {
        return fail(drop, there ? drop->store.error : "there is no such file");
    }
    if (!mgb_repair_head(drop->repair, &drop->store, &drop->rows, &drop->head) ||
        !find_log(drop, name) || !write_all(drop)) {
        return false;
    }
    fprintf(drop->repair->out, "dropped: %s, with %" PRIu64 " entries\n", name,
            drop->last + 1 - drop->first);
    return true;
}

bool mgb_journal_drop(mgb_repair_t *repair, const char *name)
{
    drop_t drop;
    bool done;

    memset(&drop, 0, sizeof(drop));
    drop.repair = repair;
    if (!*name) {
        return fail(&drop, "a log has a name");
    }
    if (!mgb_store_lock(&drop.store, repair->path, mgb_repair_owner(repair->path), 0)) {
        return fail(&drop, drop.store.error);
    }
    done = mgb_repair_seals(repair, &drop.rows) && drop_log(&drop, name);
    mgb_store_close(&drop.store);
    mgb_store_unlock(&drop.store);
    mgb_rows_end(&drop.rows);
    return done;
}
