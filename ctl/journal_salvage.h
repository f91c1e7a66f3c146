/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_salvage.h - carries what was found of a journal into a new one.
 */
#ifndef MGB_JOURNAL_SALVAGE_H
#define MGB_JOURNAL_SALVAGE_H

#include "journal_repair.h"
#include "journal_scrape.h"

typedef struct mgb_salvage_log_t {
    uint32_t number;
    char *name; /* malloc'ed */
    uint64_t head, settled, trimmed;
    uint64_t written;   /* the latest entry in the new file */
    uint64_t decided;   /* up to it all have a verdict there */
    uint64_t lost;      /* entries of which nothing is known */
    uint64_t last_lost; /* the latest that a replica may miss */
    uint64_t unanswered;
} mgb_salvage_log_t;

typedef struct mgb_salvage_t {
    mgb_repair_t *repair;
    mgb_store_t old, made;
    mgb_rows_t from, to;
    mgb_scrape_t scrape;
    gb_record_head_t head; /* the newest that was found */
    bool tail_known;       /* nothing is missing at the end */
    mgb_salvage_log_t *logs;
    size_t log_count;
    uint32_t waiting; /* rows since the latest commit */
    uint64_t told;
} mgb_salvage_t;

/* Says why it cannot go on; false. */
bool mgb_salvage_fail(mgb_salvage_t *work, const char *text);
/* Likewise: a row that was found does not open any more. */
bool mgb_salvage_unread(mgb_salvage_t *work);
/* Puts what was sealed by work->to; commits now and then.  flush commits what waits. */
bool mgb_salvage_put(mgb_salvage_t *work, mgb_table_e table, int64_t key, bool sealed);
bool mgb_salvage_flush(mgb_salvage_t *work);
/* Reads the rows of logs; copies their entries, with marks in the place of lost ones.
 */
bool mgb_salvage_logs(mgb_salvage_t *work);
bool mgb_salvage_entries(mgb_salvage_t *work);
mgb_salvage_log_t *mgb_salvage_log(mgb_salvage_t *work, uint32_t number); /* or NULL */

#endif /* MGB_JOURNAL_SALVAGE_H */
