/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_page.h - rows in loose pages of an SQLite file, for the repair of a journal.
 *
 * Reads leaf pages of tables "(key INTEGER PRIMARY KEY, row BLOB)" as the file format
 * has them (https://www.sqlite.org/fileformat2.html, sections 1.6 and 2), without what
 * leads to them.  Pages may be anything: nothing is read beyond them.  Pure.
 */
#ifndef GB_PAGE_H
#define GB_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GB_PAGE_BYTES       4096u
#define GB_PAGE_CHAIN_BYTES (GB_PAGE_BYTES - 4u) /* of a row in an overflow page */
#define GB_PAGE_FIRST_AT    100u /* page 1 begins with the file's header */

typedef struct gb_page_cell_t {
    int64_t key;
    size_t row_bytes;     /* of the row, all of it */
    const uint8_t *local; /* its beginning, in the page */
    size_t local_bytes;
    uint32_t overflow; /* page number of the rest; 0: there is none */
} gb_page_cell_t;

/* Rows in a page; 0: it is no leaf of a table.  `at`: 0, or GB_PAGE_FIRST_AT. */
uint32_t gb_page_cells(const uint8_t page[GB_PAGE_BYTES], size_t at);
/* Row `i` of them.  False: it is none of such a table. */
bool gb_page_cell(const uint8_t page[GB_PAGE_BYTES], size_t at, uint32_t i,
                  gb_page_cell_t *cell);

/* Big-endian numbers, as SQLite's headers have them. */
uint32_t gb_page_u32(const uint8_t *at);

#endif /* GB_PAGE_H */
