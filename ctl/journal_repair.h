/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_repair.h - `greenctl journal check` and `greenctl journal repair`; in plain
 * C.
 */
#ifndef MGB_JOURNAL_REPAIR_H
#define MGB_JOURNAL_REPAIR_H

#include "../journal_row.h"
#include "../journal_store.h"

#include <stdio.h>

typedef struct mgb_repair_t {
    const char *path;
    const uint8_t *key;         /* MGB_SEAL_KEY_BYTES */
    const char *const *trusted; /* replicas that the operator vouches for */
    size_t trusted_count;
    FILE *out; /* what was found, in lines */
    char error[MGB_STORE_ERROR_BYTES];
} mgb_repair_t;

/* Takes the journal's lock, and looks at all of it as the keeper would, at every row
 * and at SQLite's own structure.  Changes nothing.  True: it is whole; else `error`
 * says why it cannot be looked at, or how much is wrong with it. */
bool mgb_journal_check(mgb_repair_t *repair);

/* Takes the journal's lock, and makes a new file of every row that opens, under a new
 * epoch; the old files are kept beside it as FILE.damaged-TIME.  Entries keep their
 * numbers; those that are lost are marked so, and replicas that may miss one are set
 * aside, but for those that are trusted.  False: `error` says why; nothing was changed,
 * unless it says that the new file is in its place. */
bool mgb_journal_repair(mgb_repair_t *repair);

/* Takes the journal's lock, and deletes the log `name`, of a balancer that is not
 * configured any more: its entries, and what is known of its replicas.  False: nothing
 * was changed. */
bool mgb_journal_drop(mgb_repair_t *repair, const char *name);

/* Opens the head of a journal that is open; its epoch is then that of `rows`.  Fewer
 * commits than the lock file has seen are refused.  False: `error` says why. */
bool mgb_repair_head(mgb_repair_t *repair, mgb_store_t *store, mgb_rows_t *rows,
                     gb_record_head_t *head);

/* What opens and seals rows.  False: `error` says why. */
bool mgb_repair_seals(mgb_repair_t *repair, mgb_rows_t *rows);

/* Who owns the files of the journal: as root whoever owns FILE, else the caller. */
uid_t mgb_repair_owner(const char *path);

#endif /* MGB_JOURNAL_REPAIR_H */
