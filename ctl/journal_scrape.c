/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_scrape.c - finds every row of a journal that opens.
 */
#include "journal_scrape.h"

#include "../core/gb_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAL_HEAD_BYTES   32u
#define FRAME_HEAD_BYTES 24u
#define FRAME_BYTES      (FRAME_HEAD_BYTES + GB_PAGE_BYTES)
#define ENTRY_KEY_LEAST  (INT64_C(1) << GB_RECORD_SEQ_BITS)

/* ---------------------------------------------------------------- the files */

static bool map(mgb_store_t *store, const char *suffix, const uint8_t **at,
                size_t *bytes)
{
    char name[PATH_MAX];
    struct stat info;
    void *mapped;
    int fd = mgb_store_name(store, suffix, name)
                 ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                 : -1;

    *at = NULL;
    *bytes = 0;
    if (fd < 0 || fstat(fd, &info)) {
        const int error = errno;

        if (fd >= 0) {
            close(fd);
        }
        mgb_store_fail(store, "%s%s cannot be read: %s", store->path, suffix,
                       strerror(error));
        return error == ENOENT;
    }
    if (info.st_size > 0) {
        mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED) {
            mgb_store_fail(store, "%s%s cannot be read: %s", store->path, suffix,
                           strerror(errno));
            close(fd);
            return false;
        }
        *at = mapped;
        *bytes = (size_t)info.st_size;
    }
    close(fd);
    return true;
}

static const uint8_t *frame_at(const mgb_scrape_t *scrape, uint32_t frame)
{
    return scrape->wal + WAL_HEAD_BYTES + (size_t)frame * FRAME_BYTES;
}

static const uint8_t *page_of(const mgb_scrape_t *scrape, uint32_t image)
{
    return image < scrape->pages
               ? scrape->file + (size_t)image * GB_PAGE_BYTES
               : frame_at(scrape, image - scrape->pages) + FRAME_HEAD_BYTES;
}

static uint32_t page_number(const mgb_scrape_t *scrape, uint32_t image)
{
    return image < scrape->pages ? image + 1
                                 : gb_page_u32(frame_at(scrape, image - scrape->pages));
}

/* For each page, its frames, the latest first. */
static bool link_frames(mgb_scrape_t *scrape)
{
    scrape->page_most = scrape->pages + scrape->frames;
    scrape->before = calloc((size_t)scrape->frames + 1, sizeof(*scrape->before));
    scrape->last = calloc((size_t)scrape->page_most + 1, sizeof(*scrape->last));
    if (!scrape->before || !scrape->last) {
        return false;
    }
    for (uint32_t page = 0; page <= scrape->page_most; page++) {
        scrape->last[page] = -1;
    }
    for (uint32_t frame = 0; frame < scrape->frames; frame++) {
        uint32_t page = gb_page_u32(frame_at(scrape, frame));

        if (page && page <= scrape->page_most) {
            scrape->before[frame] = scrape->last[page];
            scrape->last[page] = (int32_t)frame;
        }
    }
    return true;
}

bool mgb_scrape_begin(mgb_scrape_t *scrape, mgb_store_t *store)
{
    memset(scrape, 0, sizeof(*scrape));
    if (!map(store, "", &scrape->file, &scrape->file_bytes) ||
        !map(store, "-wal", &scrape->wal, &scrape->wal_bytes)) {
        return false;
    }
    if (scrape->file_bytes / GB_PAGE_BYTES > INT32_MAX / 4 ||
        scrape->wal_bytes / FRAME_BYTES > INT32_MAX / 4) {
        mgb_store_fail(store, "%s is too large", store->path);
        return false;
    }
    scrape->pages = (uint32_t)(scrape->file_bytes / GB_PAGE_BYTES);
    if (scrape->wal_bytes > WAL_HEAD_BYTES) {
        scrape->frames = (uint32_t)((scrape->wal_bytes - WAL_HEAD_BYTES) / FRAME_BYTES);
    }
    /* The room at its end that was never used. */
    while (scrape->frames && !gb_page_u32(frame_at(scrape, scrape->frames - 1))) {
        scrape->frames--;
    }
    if (!link_frames(scrape)) {
        mgb_store_fail(store, "there is no memory for %s", store->path);
        return false;
    }
    return true;
}

void mgb_scrape_end(mgb_scrape_t *scrape)
{
    if (scrape->file) {
        munmap((void *)scrape->file, scrape->file_bytes);
    }
    if (scrape->wal) {
        munmap((void *)scrape->wal, scrape->wal_bytes);
    }
    free(scrape->before);
    free(scrape->last);
    free(scrape->finds);
    mgb_buffer_free(&scrape->row);
    memset(scrape, 0, sizeof(*scrape));
}

/* ---------------------------------------------------------------- rows */

/* The last frame of the commit that a frame belongs to. */
static int32_t commit_of(const mgb_scrape_t *scrape, uint32_t frame)
{
    while (frame + 1 < scrape->frames && !gb_page_u32(frame_at(scrape, frame) + 4)) {
        frame++;
    }
    return (int32_t)frame;
}

/* A page as of frame `until`; NULL: it is nowhere. */
static const uint8_t *version_of(const mgb_scrape_t *scrape, uint32_t page,
                                 int32_t until)
{
    int32_t frame = page && page <= scrape->page_most ? scrape->last[page] : -1;

    while (frame > until) {
        frame = scrape->before[frame];
    }
    if (frame >= 0) {
        return frame_at(scrape, (uint32_t)frame) + FRAME_HEAD_BYTES;
    }
    return page && page <= scrape->pages
               ? scrape->file + (size_t)(page - 1) * GB_PAGE_BYTES
               : NULL;
}

/* The whole of a row into scrape->row. */
static bool gather(mgb_scrape_t *scrape, const gb_page_cell_t *cell, int32_t until)
{
    uint32_t page = cell->overflow;
    size_t done = cell->local_bytes;

    /* More than there is cannot be asked for. */
    if (cell->row_bytes > scrape->file_bytes + scrape->wal_bytes ||
        !mgb_buffer_room(&scrape->row, cell->row_bytes)) {
        return false;
    }
    memcpy(scrape->row.at, cell->local, done);
    while (done < cell->row_bytes) {
        const uint8_t *at = version_of(scrape, page, until);
        size_t rest = cell->row_bytes - done;
        size_t bytes = rest < GB_PAGE_CHAIN_BYTES ? rest : GB_PAGE_CHAIN_BYTES;

        if (!at) {
            return false;
        }
        memcpy(scrape->row.at + done, at + 4, bytes);
        done += bytes;
        page = gb_page_u32(at);
    }
    return true;
}

static int32_t until_of(const mgb_scrape_t *scrape, uint32_t image, mgb_chain_e chain)
{
    if (chain == MGB_CHAIN_LAST) {
        return INT32_MAX;
    }
    return chain == MGB_CHAIN_FILE || image < scrape->pages
               ? -1
               : commit_of(scrape, image - scrape->pages);
}

static bool read_cell(const mgb_scrape_t *scrape, uint32_t image, uint32_t i,
                      gb_page_cell_t *cell)
{
    return gb_page_cell(page_of(scrape, image),
                        page_number(scrape, image) == 1 ? GB_PAGE_FIRST_AT : 0, i,
                        cell);
}

bool mgb_scrape_open(mgb_scrape_t *scrape, mgb_rows_t *rows, const mgb_find_t *find)
{
    gb_page_cell_t cell;

    return read_cell(scrape, find->image, find->cell, &cell) &&
           gather(scrape, &cell,
                  until_of(scrape, find->image, (mgb_chain_e)find->chain)) &&
           mgb_rows_open(rows, (gb_record_kind_e)find->kind, find->key, scrape->row.at,
                         scrape->row.bytes);
}

/* What an opened row is worth beside others of its key; false: it is no such record. */
static bool rank_of(const mgb_rows_t *rows, gb_record_kind_e kind, uint64_t *rank)
{
    const uint8_t *at = rows->plain.at;
    size_t bytes = rows->plain.bytes;
    union {
        gb_record_head_t head;
        gb_record_log_t log;
        gb_record_replica_t replica;
        gb_record_brief_t brief;
        gb_record_request_t request;
        gb_record_answer_t answer;
    } as;

    *rank = 0;
    switch (kind) {
    case GB_RECORD_HEAD:
        if (!gb_record_read_head(at, bytes, &as.head)) {
            return false;
        }
        *rank = as.head.serial;
        return true;
    case GB_RECORD_LOG:
        if (!gb_record_read_log(at, bytes, &as.log)) {
            return false;
        }
        *rank = as.log.serial;
        return true;
    case GB_RECORD_REPLICA:
        if (!gb_record_read_replica(at, bytes, &as.replica)) {
            return false;
        }
        *rank = as.replica.serial;
        return true;
    case GB_RECORD_BRIEF:
        if (!gb_record_read_brief(at, bytes, &as.brief)) {
            return false;
        }
        *rank = as.brief.state != GB_ENTRY_OPEN;
        return true;
    case GB_RECORD_REQUEST:
        return gb_record_read_request(at, bytes, &as.request);
    case GB_RECORD_ANSWER:
        return gb_record_read_answer(at, bytes, &as.answer);
    case GB_RECORD_GONE:
        return bytes == GB_RECORD_NAME_BYTES;
    default:
        return false;
    }
}

/* Kinds that a row can be of, by its key and length; their number. */
static size_t kinds_of(const gb_page_cell_t *cell, gb_record_kind_e kinds[3])
{
    size_t count = 0;

    if (cell->key < ENTRY_KEY_LEAST) {
        kinds[0] = cell->key == 0                            ? GB_RECORD_HEAD
                   : gb_record_state_replica(cell->key) == 0 ? GB_RECORD_LOG
                                                             : GB_RECORD_REPLICA;
        return 1;
    }
    if (cell->row_bytes == GB_RECORD_NAME_BYTES + MGB_SEAL_BYTES) {
        kinds[count++] = GB_RECORD_GONE;
        return count; /* a request and an answer are longer */
    }
    if (cell->row_bytes == GB_RECORD_BRIEF_BYTES + MGB_SEAL_BYTES) {
        kinds[count++] = GB_RECORD_BRIEF;
    }
    kinds[count++] = GB_RECORD_REQUEST;
    kinds[count++] = GB_RECORD_ANSWER;
    return count;
}

/* Tries a cell: every kind, every way to its rest. */
static bool try_cell(mgb_scrape_t *scrape, mgb_rows_t *rows, const gb_page_cell_t *cell,
                     mgb_find_t *find)
{
    gb_record_kind_e kinds[3];
    size_t count = kinds_of(cell, kinds);
    int32_t tried[MGB_CHAIN_COUNT];

    for (unsigned chain = 0; chain < (cell->overflow ? MGB_CHAIN_COUNT : 1u); chain++) {
        tried[chain] = until_of(scrape, find->image, (mgb_chain_e)chain);
        if ((chain > 0 && tried[chain] == tried[0]) ||
            !gather(scrape, cell, tried[chain])) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (mgb_rows_open(rows, kinds[i], cell->key, scrape->row.at,
                              scrape->row.bytes) &&
                rank_of(rows, kinds[i], &find->rank)) {
                find->key = cell->key;
                find->kind = (uint8_t)kinds[i];
                find->chain = (uint8_t)chain;
                return true;
            }
        }
    }
    return false;
}

static bool keep(mgb_scrape_t *scrape, const mgb_find_t *find)
{
    if (scrape->count == scrape->room) {
        size_t room = scrape->room ? 2 * scrape->room : 4096;
        mgb_find_t *grown = realloc(scrape->finds, room * sizeof(*grown));

        if (!grown) {
            return false;
        }
        scrape->finds = grown;
        scrape->room = room;
    }
    scrape->finds[scrape->count++] = *find;
    return true;
}

/* All rows of a page; `heads`: those with the key 0 alone. */
static bool look_at(mgb_scrape_t *scrape, mgb_rows_t *rows, uint32_t image, bool heads)
{
    size_t at = page_number(scrape, image) == 1 ? GB_PAGE_FIRST_AT : 0;
    uint32_t cells = gb_page_cells(page_of(scrape, image), at);

    for (uint32_t i = 0; i < cells; i++) {
        mgb_find_t find = {0, 0, image, (uint16_t)i, 0, 0};
        gb_page_cell_t cell;

        if (!read_cell(scrape, image, i, &cell) || cell.key < 0 ||
            cell.row_bytes < MGB_SEAL_BYTES || heads != (cell.key == 0)) {
            continue;
        }
        if (!try_cell(scrape, rows, &cell, &find)) {
            scrape->damaged++;
        }
        else if (!keep(scrape, &find)) {
            return false;
        }
    }
    return true;
}

/* By key, kind, and the best first. */
static int compare(const void *one, const void *two)
{
    const mgb_find_t *a = one, *b = two;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return a->rank > b->rank ? -1 : a->rank < b->rank ? 1 : 0;
}

static bool look_at_all(mgb_scrape_t *scrape, mgb_rows_t *rows, bool heads)
{
    size_t kept = 0;

    scrape->count = 0;
    scrape->damaged = 0;
    for (uint32_t image = 0; image < scrape->pages + scrape->frames; image++) {
        if (!look_at(scrape, rows, image, heads)) {
            return false;
        }
    }
    if (scrape->count) {
        qsort(scrape->finds, scrape->count, sizeof(*scrape->finds), compare);
    }
    for (size_t i = 0; i < scrape->count; i++) {
        if (!kept || scrape->finds[i].key != scrape->finds[kept - 1].key ||
            scrape->finds[i].kind != scrape->finds[kept - 1].kind) {
            scrape->finds[kept++] = scrape->finds[i];
        }
    }
    scrape->count = kept;
    return true;
}

bool mgb_scrape_head(mgb_scrape_t *scrape, mgb_rows_t *rows, gb_record_head_t *head)
{
    if (!look_at_all(scrape, rows, true) || !scrape->count ||
        !mgb_scrape_open(scrape, rows, &scrape->finds[0]) ||
        !gb_record_read_head(rows->plain.at, rows->plain.bytes, head)) {
        return false;
    }
    rows->epoch = head->epoch;
    return true;
}

bool mgb_scrape_all(mgb_scrape_t *scrape, mgb_rows_t *rows)
{
    return look_at_all(scrape, rows, false);
}
