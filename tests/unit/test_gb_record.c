/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_record.c - rows of the journal, as records and as what lies in pages.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_page.h"
#include "core/gb_record.h"

#define ROOM 4096

Suite *gb_record_suite(void);

static uint8_t bytes[ROOM];

static gb_record_request_t a_request(void)
{
    gb_record_request_t request;

    memset(&request, 0, sizeof(request));
    memset(request.digest, 7, sizeof(request.digest));
    request.at_us = INT64_C(1700000000000000);
    request.nonce = UINT64_MAX;
    request.id = gb_wire_span("5f0c");
    request.principal = gb_wire_span(NULL);
    request.method = gb_wire_span("POST");
    request.target = gb_wire_span("/app/orders?x=1");
    request.headers = gb_wire_span("Content-Type: text/plain\r\n");
    request.body.at = "a\0b";
    request.body.bytes = 3;
    return request;
}

static gb_record_brief_t a_brief(void)
{
    gb_record_brief_t brief;

    memset(&brief, 0, sizeof(brief));
    memset(brief.name, 1, sizeof(brief.name));
    memset(brief.digest, 2, sizeof(brief.digest));
    brief.at_us = -5;
    brief.nonce = 3;
    brief.answer_digest = 4;
    brief.request_bytes = UINT32_MAX;
    brief.answer_bytes = 6;
    brief.status = 599;
    brief.state = GB_ENTRY_FAILED;
    brief.deletes = brief.lost_answer = true;
    return brief;
}

START_TEST(keys_of_entries_keep_log_and_seq_and_are_positive)
{
    static const uint32_t logs[] = {1, 2, 1000, GB_RECORD_LOG_MOST};
    static const uint64_t seqs[] = {0, 1, 77, GB_RECORD_SEQ_MOST};

    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++) {
            int64_t key = gb_record_key(logs[i], seqs[k]);

            ck_assert_int_gt(key, 0);
            ck_assert_uint_eq(gb_record_key_log(key), logs[i]);
            ck_assert_uint_eq(gb_record_key_seq(key), seqs[k]);
            /* Those of the state lie before all of them. */
            ck_assert_int_lt(gb_record_state_key(GB_RECORD_LOG_MOST, 65535),
                             gb_record_key(1, 0));
        }
    }
    ck_assert_uint_eq(gb_record_state_log(gb_record_state_key(9, 65535)), 9);
    ck_assert_uint_eq(gb_record_state_replica(gb_record_state_key(9, 65535)), 65535);
}
END_TEST

START_TEST(a_request_comes_back_as_texts_of_c)
{
    gb_record_request_t request = a_request(), again;
    size_t size = gb_record_request_bytes(&request);

    gb_record_write_request(&request, bytes);
    ck_assert(gb_record_read_request(bytes, size, &again));
    ck_assert_str_eq(again.id.at, "5f0c");
    ck_assert_str_eq(again.principal.at, "");
    ck_assert_str_eq(again.method.at, "POST");
    ck_assert_str_eq(again.target.at, "/app/orders?x=1");
    ck_assert_str_eq(again.headers.at, "Content-Type: text/plain\r\n");
    ck_assert_uint_eq(again.body.bytes, 3);
    ck_assert_mem_eq(again.body.at, "a\0b", 4); /* and a NUL behind it */
    ck_assert_mem_eq(again.digest, request.digest, 32);
    ck_assert_int_eq(again.at_us, request.at_us);
    ck_assert_uint_eq(again.nonce, request.nonce);
}
END_TEST

START_TEST(a_brief_comes_back)
{
    gb_record_brief_t brief = a_brief(), again;

    gb_record_write_brief(&brief, bytes);
    ck_assert(gb_record_read_brief(bytes, GB_RECORD_BRIEF_BYTES, &again));
    ck_assert_mem_eq(again.name, brief.name, sizeof(brief.name));
    ck_assert_int_eq(again.at_us, -5);
    ck_assert_uint_eq(again.request_bytes, UINT32_MAX);
    ck_assert_uint_eq(again.status, 599);
    ck_assert_int_eq(again.state, GB_ENTRY_FAILED);
    ck_assert(!again.repeatable && again.deletes);
    ck_assert(!again.lost_request && again.lost_answer);
}
END_TEST

START_TEST(a_state_comes_back)
{
    gb_record_head_t head = {1700000000, 9}, head_again;
    gb_record_log_t log = {1, 30, 20, 10, gb_wire_span("balancer://app")}, log_again;
    gb_record_replica_t replica = {2,
                                   7,
                                   8,
                                   true,
                                   false,
                                   gb_wire_span("http://r1"),
                                   gb_wire_span("why")},
                        replica_again;
    size_t size;

    gb_record_write_head(&head, bytes);
    ck_assert(gb_record_read_head(bytes, GB_RECORD_HEAD_BYTES, &head_again));
    ck_assert_uint_eq(head_again.epoch, 1700000000);
    ck_assert_uint_eq(head_again.serial, 9);
    size = gb_record_log_bytes(&log);
    gb_record_write_log(&log, bytes);
    ck_assert(gb_record_read_log(bytes, size, &log_again));
    ck_assert_str_eq(log_again.name.at, "balancer://app");
    ck_assert_uint_eq(log_again.trimmed, 10);
    size = gb_record_replica_bytes(&replica);
    gb_record_write_replica(&replica, bytes);
    ck_assert(gb_record_read_replica(bytes, size, &replica_again));
    ck_assert_str_eq(replica_again.why.at, "why");
    ck_assert(replica_again.aside && !replica_again.forgotten);
    ck_assert_uint_eq(replica_again.sent, 8);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    gb_record_log_t log = {1, 30, 31, 10, gb_wire_span("app")};
    gb_record_brief_t brief = a_brief();

    gb_record_write_log(&log, bytes); /* more settled than there is */
    ck_assert(!gb_record_read_log(bytes, gb_record_log_bytes(&log), &log));
    log = (gb_record_log_t){1, 30, 9, 10, gb_wire_span("app")}; /* trimmed too much */
    gb_record_write_log(&log, bytes);
    ck_assert(!gb_record_read_log(bytes, gb_record_log_bytes(&log), &log));
    gb_record_write_brief(&brief, bytes);
    bytes[0] = 2; /* a version of tomorrow */
    ck_assert(!gb_record_read_brief(bytes, GB_RECORD_BRIEF_BYTES, &brief));
    bytes[0] = 1;
    bytes[GB_RECORD_BRIEF_BYTES - 2] = 4; /* a verdict that there is not */
    ck_assert(!gb_record_read_brief(bytes, GB_RECORD_BRIEF_BYTES, &brief));
    bytes[GB_RECORD_BRIEF_BYTES - 2] = 1;
    bytes[GB_RECORD_BRIEF_BYTES - 1] = 16; /* a bit that means nothing */
    ck_assert(!gb_record_read_brief(bytes, GB_RECORD_BRIEF_BYTES, &brief));
    ck_assert_uint_eq(brief.nonce, 0);
}
END_TEST

START_TEST(a_request_that_was_cut_is_refused_wherever)
{
    gb_record_request_t request = a_request(), again;
    size_t size = gb_record_request_bytes(&request);

    gb_record_write_request(&request, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut ? cut : 1); /* so that reading on is noticed */

        memcpy(part, bytes, cut);
        ck_assert(!gb_record_read_request(part, cut, &again));
        ck_assert_ptr_null(again.id.at);
        free(part);
    }
    ck_assert(!gb_record_read_request(bytes, size + 1, &again));
}
END_TEST

START_TEST(a_text_with_a_nul_in_it_is_refused)
{
    gb_record_request_t request = a_request(), again;
    size_t size = gb_record_request_bytes(&request);

    request.target.at = "/app\0orders?x=1";
    gb_record_write_request(&request, bytes);
    ck_assert(!gb_record_read_request(bytes, size, &again));
}
END_TEST

/* ---------------------------------------------------------------- pages */

static uint8_t page[GB_PAGE_BYTES];

/* A leaf with one row of `row` bytes, as SQLite writes it. */
static void make_page(size_t at, size_t row, size_t local)
{
    size_t offset = 2000, type = 2 * row + 12, head = type < 128 ? 3 : 4;
    size_t payload = head + row;
    uint8_t *to = page + offset;

    memset(page, 0, sizeof(page));
    page[at] = 0x0d;
    page[at + 4] = 1;
    page[at + 8] = (uint8_t)(offset >> 8);
    page[at + 9] = (uint8_t)offset;
    if (payload >= 128) {
        *to++ = (uint8_t)(0x80 | payload >> 7);
    }
    *to++ = (uint8_t)(payload & 0x7f);
    *to++ = 42;
    *to++ = (uint8_t)head;
    *to++ = 0;
    if (type >= 128) {
        *to++ = (uint8_t)(0x80 | type >> 7);
    }
    *to++ = (uint8_t)(type & 0x7f);
    for (size_t i = 0; i < local; i++) {
        *to++ = (uint8_t)i;
    }
    if (local < row) {
        to[2] = 1;
        to[3] = 7;
    }
}

START_TEST(rows_are_found_in_a_leaf)
{
    gb_page_cell_t cell;

    make_page(0, 100, 100);
    ck_assert_uint_eq(gb_page_cells(page, 0), 1);
    ck_assert(gb_page_cell(page, 0, 0, &cell));
    ck_assert_int_eq(cell.key, 42);
    ck_assert_uint_eq(cell.row_bytes, 100);
    ck_assert_uint_eq(cell.local_bytes, 100);
    ck_assert_uint_eq(cell.overflow, 0);
    ck_assert_uint_eq(cell.local[99], 99);
    ck_assert(!gb_page_cell(page, 0, 1, &cell));
    make_page(GB_PAGE_FIRST_AT, 20, 20);
    ck_assert_uint_eq(gb_page_cells(page, GB_PAGE_FIRST_AT), 1);
    ck_assert(gb_page_cell(page, GB_PAGE_FIRST_AT, 0, &cell));
    ck_assert_uint_eq(gb_page_cells(page, 0), 0);
}
END_TEST

START_TEST(a_long_row_goes_on_in_another_page)
{
    gb_page_cell_t cell;
    /* 8,000 bytes and 4 of header: 489 + (8004 - 489) % 4092 = 3912 are local. */
    make_page(0, 8000, 0);
    page[2000] = 0x80 | 8004 >> 7;
    page[2001] = 8004 & 0x7f;
    ck_assert(!gb_page_cell(page, 0, 0, &cell)); /* it does not fit from 2000 on */
    make_page(0, 8000, 0);
    memmove(page + 100, page + 2000, 16);
    page[8] = 0;
    page[9] = 100;
    page[100] = 0x80 | 8005 >> 7;
    page[101] = 8005 & 0x7f;
    page[103] = 5;
    page[105] = 0x80 | 1; /* 16012, in three bytes: 0 1111101 0001100 */
    page[105] = 0x80 | (16012 >> 14);
    page[106] = 0x80 | (16012 >> 7 & 0x7f);
    page[107] = 16012 & 0x7f;
    page[103 + 3913 + 2] = 1;
    page[103 + 3913 + 3] = 7;
    ck_assert(gb_page_cell(page, 0, 0, &cell));
    ck_assert_uint_eq(cell.row_bytes, 8000);
    ck_assert_uint_eq(cell.local_bytes, 3913 - 5);
    ck_assert_uint_eq(cell.overflow, 256 + 7);
}
END_TEST

START_TEST(random_pages_give_rows_within_them)
{
    unsigned seed = (unsigned)time(NULL);

    printf("random_pages_give_rows_within_them: seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        uint32_t cells;

        make_page(0, (size_t)(rand() % 1500), 10);
        for (int change = rand() % 20; change > 0; change--) {
            page[rand() % 2 ? rand() % 20 : 1990 + rand() % 40] = (uint8_t)rand();
        }
        cells = gb_page_cells(page, 0);
        for (uint32_t i = 0; i < cells; i++) {
            gb_page_cell_t cell;

            if (gb_page_cell(page, 0, i, &cell)) {
                ck_assert(cell.local >= page);
                ck_assert(cell.local + cell.local_bytes <= page + sizeof(page));
                ck_assert_uint_le(cell.local_bytes, cell.row_bytes);
            }
        }
    }
}
END_TEST

Suite *gb_record_suite(void)
{
    Suite *suite = suite_create("gb_record");
    TCase *records = tcase_create("records"), *pages = tcase_create("pages");

    tcase_add_test(records, keys_of_entries_keep_log_and_seq_and_are_positive);
    tcase_add_test(records, a_request_comes_back_as_texts_of_c);
    tcase_add_test(records, a_brief_comes_back);
    tcase_add_test(records, a_state_comes_back);
    tcase_add_test(records, what_cannot_be_is_refused);
    tcase_add_test(records, a_request_that_was_cut_is_refused_wherever);
    tcase_add_test(records, a_text_with_a_nul_in_it_is_refused);
    suite_add_tcase(suite, records);
    tcase_add_test(pages, rows_are_found_in_a_leaf);
    tcase_add_test(pages, a_long_row_goes_on_in_another_page);
    tcase_add_test(pages, random_pages_give_rows_within_them);
    suite_add_tcase(suite, pages);
    return suite;
}
