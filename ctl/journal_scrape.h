/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_scrape.h - finds every row of a journal that opens, wherever it lies; in
 * plain C, for greenctl.
 *
 * All pages of FILE and all frames of FILE-wal are looked at one by one, as if nothing
 * led to them: a row that opens was written by this journal.  What was written later
 * counts: it says so itself.  One thread; the journal is locked.
 */
#ifndef MGB_JOURNAL_SCRAPE_H
#define MGB_JOURNAL_SCRAPE_H

#include "../journal_row.h"
#include "../journal_store.h"

/* How a row's rest is looked for in overflow pages. */
typedef enum mgb_chain_e {
    MGB_CHAIN_THEN = 0, /* as of the commit that the row was found in */
    MGB_CHAIN_LAST,     /* the latest of each page */
    MGB_CHAIN_FILE,     /* in FILE alone */
    MGB_CHAIN_COUNT
} mgb_chain_e;

typedef struct mgb_find_t {
    int64_t key;
    uint64_t rank;  /* of those with the same key and kind, the highest is right */
    uint32_t image; /* page of FILE, or frame beyond them */
    uint16_t cell;
    uint8_t kind; /* gb_record_kind_e */
    uint8_t chain;
} mgb_find_t;

typedef struct mgb_scrape_t {
    const uint8_t *file, *wal; /* mapped */
    size_t file_bytes, wal_bytes;
    uint32_t pages, frames, page_most;
    int32_t *before; /* [frames]: the frame before it of the same page, or -1 */
    int32_t *last;   /* [page_most + 1]: the last frame of a page, or -1 */
    mgb_find_t *finds;
    size_t count, room;
    mgb_buffer_t row;
    uint64_t damaged; /* rows that do not open, in pages that look like ours */
} mgb_scrape_t;

/* Maps the files.  False: store->error. */
bool mgb_scrape_begin(mgb_scrape_t *scrape, mgb_store_t *store);
void mgb_scrape_end(mgb_scrape_t *scrape);

/* Looks for the head; its epoch is then that of `rows`.  False: none opens. */
bool mgb_scrape_head(mgb_scrape_t *scrape, mgb_rows_t *rows, gb_record_head_t *head);
/* Finds everything: finds[count], sorted by key and kind, one of each.  False: no
 * memory. */
bool mgb_scrape_all(mgb_scrape_t *scrape, mgb_rows_t *rows);
/* Opens one of them again, into rows->plain. */
bool mgb_scrape_open(mgb_scrape_t *scrape, mgb_rows_t *rows, const mgb_find_t *find);

#endif /* MGB_JOURNAL_SCRAPE_H */
