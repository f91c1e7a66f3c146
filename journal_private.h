/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_private.h - what the files of the journal share.
 *
 * journal_open.c opens and checks, journal.c writes, journal_read.c reads,
 * journal_index.c finds ids; below them journal_store.c and journal_file.c (the files)
 * and journal_row.c (the seals).
 */
#ifndef MGB_JOURNAL_PRIVATE_H
#define MGB_JOURNAL_PRIVATE_H

#include "commit.h"
#include "journal_row.h"
#include "journal_store.h"

/* Ids of deleted entries that are remembered, of each log. */
#ifndef MGB_JOURNAL_GONE_MOST
#define MGB_JOURNAL_GONE_MOST 100000u
#endif
#define MGB_JOURNAL_LOGS_MOST  4096
#define MGB_JOURNAL_WAIT_MS    5000 /* for the keeper before us to end */
#define MGB_JOURNAL_DAMAGE_LOG 8    /* reports of damage, until the journal is closed */

/* An id is looked for by its name's first 8 bytes; whether it is the one, and whether
 * it still is, its row says. */
typedef struct mgb_index_t {
    struct mgb_index_slot_t {
        uint64_t hash;
        int64_t key; /* 0: free */
    } * slots;
    size_t room, count; /* room: a power of 2, or 0 */
} mgb_index_t;

bool mgb_index_add(mgb_index_t *index, uint64_t hash, int64_t key);
void mgb_index_remove(mgb_index_t *index, uint64_t hash, int64_t key);
/* The next key of a hash; `at` is 0 first, and not to be changed.  0: no more. */
int64_t mgb_index_next(const mgb_index_t *index, uint64_t hash, size_t *at);
void mgb_index_free(mgb_index_t *index);
uint64_t mgb_index_hash(const uint8_t name[GB_RECORD_NAME_BYTES]);

/* Changes of the index that wait for a commit, or are undone with it. */
typedef struct mgb_index_change_t {
    uint64_t hash;
    int64_t key;
} mgb_index_change_t;

typedef struct mgb_journal_replica_t {
    uint32_t number; /* in the file */
    uint64_t cursor, sent;
    bool aside, forgotten;
    const char *name, *why;
} mgb_journal_replica_t;

typedef struct mgb_journal_log_t {
    uint32_t number;
    const char *name;
    uint64_t head, settled, trimmed;
    uint32_t ahead;               /* verdicts beyond the first entry without one */
    bool changed;                 /* since the last commit */
    apr_array_header_t *replicas; /* mgb_journal_replica_t */
} mgb_journal_log_t;

struct mgb_journal_t {
    apr_pool_t *pool;
    apr_pool_t *state_pool; /* of logs; cleared when they are read again */
    mgb_store_t store;
    mgb_rows_t rows;
    mgb_index_t index;
    apr_array_header_t *logs; /* mgb_journal_log_t; numbers ascend */
    apr_array_header_t
        *added; /* mgb_index_change_t: undone with what is not committed */
    apr_array_header_t *ended; /* likewise: leave the index with the commit */
    uint64_t epoch, serial;    /* serial: of the latest commit */
    apr_off_t size;
    int64_t used_bytes;    /* at the latest commit */
    int64_t pending_bytes; /* appended since */
    bool writing;          /* a transaction is open */
    bool whole;            /* it was looked at, and can be used */
    bool broken;           /* an fsync failed: nobody knows what is on the disk */
    bool away;             /* its files were removed or replaced: nothing is appended */
    uint32_t damage_told, checkpoint_failures;
};

/* journal.c: a transaction is open. */
apr_status_t mgb_journal_begin(mgb_journal_t *journal);

/* journal_open.c: reads logs and replicas (again, after what was not committed was
 * undone).  False: damaged, and store.error says so. */
bool mgb_journal_load_state(mgb_journal_t *journal);
mgb_journal_log_t *mgb_journal_log_of(mgb_journal_t *journal, uint32_t number);

/* journal_read.c: an entry's brief.  APR_NOTFOUND, APR_EGENERAL. */
apr_status_t mgb_journal_brief(mgb_journal_t *journal, int64_t key,
                               gb_record_brief_t *brief);
/* Tells of a row that does not open, or cannot be read; APR_EGENERAL. */
apr_status_t mgb_journal_damage(mgb_journal_t *journal, mgb_table_e table, int64_t key,
                                int rc);

#endif /* MGB_JOURNAL_PRIVATE_H */
