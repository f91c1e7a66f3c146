/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_page.c - rows in loose pages of an SQLite file.
 */
#include "gb_page.h"

#include <string.h>

#define LEAF_OF_TABLE  0x0d
#define HEAD_BYTES     8u
#define CELLS_MOST     (GB_PAGE_BYTES / 4) /* a cell has 2 bytes, its pointer 2 more */
#define ROW_BYTES_MOST ((uint64_t)256 * 1024 * 1024)
/* Of a payload as much is local as leaves at least four cells to a page: X, M and K of
 * the format's description, with no bytes reserved. */
#define LOCAL_MOST  (GB_PAGE_BYTES - 35)
#define LOCAL_LEAST ((GB_PAGE_BYTES - 12) * 32 / 255 - 23)

uint32_t gb_page_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A number of 1 to 9 bytes; its length, or 0 when it goes beyond `end`. */
static size_t varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < 9 && at + i < end; i++) {
        if (i == 8) {
            *value = *value << 8 | at[i];
            return 9;
        }
        *value = *value << 7 | (at[i] & 0x7f);
        if (!(at[i] & 0x80)) {
            return i + 1;
        }
    }
    return 0;
}

uint32_t gb_page_cells(const uint8_t page[GB_PAGE_BYTES], size_t at)
{
    uint32_t count = (uint32_t)page[at + 3] << 8 | page[at + 4];

    return page[at] == LEAF_OF_TABLE && count <= CELLS_MOST ? count : 0;
}

static size_t local_of(uint64_t payload)
{
    uint64_t k;

    if (payload <= LOCAL_MOST) {
        return (size_t)payload;
    }
    k = LOCAL_LEAST + (payload - LOCAL_LEAST) % GB_PAGE_CHAIN_BYTES;
    return (size_t)(k <= LOCAL_MOST ? k : LOCAL_LEAST);
}

/* The record's header: its length, NULL in the place of the key, a blob. */
static size_t record_head(const uint8_t *at, const uint8_t *end, uint64_t *blob)
{
    uint64_t bytes, type;
    size_t first = varint(at, end, &bytes), last;

    if (!first || at + first >= end || at[first] != 0) {
        return 0;
    }
    last = varint(at + first + 1, end, &type);
    if (!last || bytes != first + 1 + last || type < 12 || type % 2) {
        return 0;
    }
    *blob = (type - 12) / 2;
    return (size_t)bytes;
}

bool gb_page_cell(const uint8_t page[GB_PAGE_BYTES], size_t at, uint32_t i,
                  gb_page_cell_t *cell)
{
    const uint8_t *end = page + GB_PAGE_BYTES, *here;
    const size_t pointer = at + HEAD_BYTES + 2 * (size_t)i;
    uint64_t payload, key, blob;
    size_t offset, head, local, step;

    memset(cell, 0, sizeof(*cell));
    if (i >= gb_page_cells(page, at) || pointer + 2 > GB_PAGE_BYTES) {
        return false;
    }
    offset = (size_t)page[pointer] << 8 | page[pointer + 1];
    if (offset >= GB_PAGE_BYTES) {
        return false;
    }
    here = page + offset;
    step = varint(here, end, &payload);
    if (!step || payload > ROW_BYTES_MOST) {
        return false;
    }
    here += step;
    step = varint(here, end, &key);
    if (!step) {
        return false;
    }
    here += step;
    local = local_of(payload);
    if (local + (local < payload ? 4 : 0) > (size_t)(end - here)) {
        return false;
    }
    head = record_head(here, here + local, &blob);
    if (!head || head > local || blob != payload - head) {
        return false;
    }
    cell->key = (int64_t)key;
    cell->row_bytes = (size_t)blob;
    cell->local = here + head;
    cell->local_bytes = local - head;
    cell->overflow = local < payload ? gb_page_u32(here + local) : 0;
    return true;
}
