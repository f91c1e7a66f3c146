/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_record.c - hostile contents of a journal's rows, and hostile pages of its file
 * (libFuzzer's entry point).
 *
 * A record that is read is written again as the same bytes, its texts are texts of C,
 * and one that is refused leaves nothing behind.  A row of a page lies within the page.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_page.h"
#include "core/gb_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef union record_t {
    gb_record_head_t head;
    gb_record_log_t log;
    gb_record_replica_t replica;
    gb_record_brief_t brief;
    gb_record_request_t request;
    gb_record_answer_t answer;
} record_t;

/* Of the memory that was read, whether NUL ends it. */
static void check_text(gb_span_text_t text)
{
    if (!text.at || strlen(text.at) != text.bytes) {
        abort();
    }
}

static void check_same(const uint8_t *data, size_t size, const uint8_t *again,
                       size_t bytes)
{
    if (bytes != size || memcmp(data, again, size) != 0) {
        abort();
    }
}

static void check_zero(const record_t *record, size_t bytes)
{
    static const record_t zero;

    if (memcmp(record, &zero, bytes) != 0) {
        abort();
    }
}

static void try_state(const uint8_t *data, size_t size, uint8_t *again)
{
    record_t as;

    if (gb_record_read_head(data, size, &as.head)) {
        gb_record_write_head(&as.head, again);
        check_same(data, size, again, GB_RECORD_HEAD_BYTES);
    }
    else {
        check_zero(&as, sizeof(as.head));
    }
    if (gb_record_read_log(data, size, &as.log)) {
        check_text(as.log.name);
        gb_record_write_log(&as.log, again);
        check_same(data, size, again, gb_record_log_bytes(&as.log));
    }
    else {
        check_zero(&as, sizeof(as.log));
    }
    if (gb_record_read_replica(data, size, &as.replica)) {
        check_text(as.replica.name);
        check_text(as.replica.why);
        gb_record_write_replica(&as.replica, again);
        check_same(data, size, again, gb_record_replica_bytes(&as.replica));
    }
    else {
        check_zero(&as, sizeof(as.replica));
    }
}

static void try_entry(const uint8_t *data, size_t size, uint8_t *again)
{
    record_t as;

    if (gb_record_read_brief(data, size, &as.brief)) {
        gb_record_write_brief(&as.brief, again);
        check_same(data, size, again, GB_RECORD_BRIEF_BYTES);
    }
    else {
        check_zero(&as, sizeof(as.brief));
    }
    if (gb_record_read_request(data, size, &as.request)) {
        check_text(as.request.id);
        check_text(as.request.principal);
        check_text(as.request.method);
        check_text(as.request.target);
        check_text(as.request.headers);
        gb_record_write_request(&as.request, again);
        check_same(data, size, again, gb_record_request_bytes(&as.request));
    }
    else {
        check_zero(&as, sizeof(as.request));
    }
    if (gb_record_read_answer(data, size, &as.answer)) {
        check_text(as.answer.by);
        check_text(as.answer.headers);
        gb_record_write_answer(&as.answer, again);
        check_same(data, size, again, gb_record_answer_bytes(&as.answer));
    }
    else {
        check_zero(&as, sizeof(as.answer));
    }
}

static void try_page(const uint8_t *data, size_t size)
{
    uint8_t *page = calloc(1, GB_PAGE_BYTES); /* of its own, so that its end is known */
    size_t at = size && data[0] == 'S' ? GB_PAGE_FIRST_AT : 0;
    uint32_t cells;

    if (!page) {
        return;
    }
    /* Input fills it from both ends: the head, and the cells behind it. */
    memcpy(page, data, size < GB_PAGE_BYTES / 2 ? size : GB_PAGE_BYTES / 2);
    if (size > GB_PAGE_BYTES / 4) {
        size_t rest = size > GB_PAGE_BYTES / 2 ? GB_PAGE_BYTES / 2 : size;

        memcpy(page + GB_PAGE_BYTES - rest, data + size - rest, rest);
    }
    cells = gb_page_cells(page, at);
    for (uint32_t i = 0; i <= cells; i++) {
        gb_page_cell_t cell;

        if (gb_page_cell(page, at, i, &cell) &&
            (i == cells || cell.local < page ||
             cell.local + cell.local_bytes > page + GB_PAGE_BYTES ||
             cell.local_bytes > cell.row_bytes ||
             (cell.local_bytes == cell.row_bytes && cell.overflow))) {
            abort();
        }
    }
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1), *again = malloc(size + 256);

    if (copy && again) {
        if (size) {
            memcpy(copy, data, size);
        }
        try_state(copy, size, again);
        try_entry(copy, size, again);
        try_page(copy, size);
    }
    free(copy);
    free(again);
    return 0;
}
