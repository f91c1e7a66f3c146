/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_reply.c - where HTTP/1 responses end, and what is none.
 */
#include <check.h>
#include <string.h>

#include "core/gb_reply.h"

Suite *gb_reply_suite(void);

static gb_reply_t reply;

static gb_reply_e take(const char *text)
{
    return gb_reply_take(&reply, (const unsigned char *)text, strlen(text));
}

/* In one piece, and byte by byte, which has to end at the same byte. */
static void is_whole(const char *text, uint32_t status)
{
    size_t length = strlen(text);

    gb_reply_init(&reply);
    ck_assert_msg(take(text) == GB_REPLY_WHOLE, "not whole: %s (%s)", text,
                  reply.why ? reply.why : "more");
    ck_assert_uint_eq(reply.status, status);
    gb_reply_init(&reply);
    for (size_t i = 0; i < length; i++) {
        gb_reply_e found = gb_reply_take(&reply, (const unsigned char *)text + i, 1);

        ck_assert_msg(found == (i + 1 == length ? GB_REPLY_WHOLE : GB_REPLY_MORE),
                      "byte %zu of %s: %d", i, text, (int)found);
    }
    ck_assert_uint_eq(reply.status, status);
}

static void is_bad(const char *text)
{
    gb_reply_init(&reply);
    ck_assert_msg(take(text) == GB_REPLY_BAD, "not bad: %s", text);
    ck_assert_ptr_nonnull(reply.why);
}

static void wants_more(const char *text)
{
    gb_reply_init(&reply);
    ck_assert_msg(take(text) == GB_REPLY_MORE, "does not want more: %s", text);
}

START_TEST(ends_by_content_length)
{
    is_whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", 200);
    is_whole("HTTP/1.0 503 No\r\nX: y\r\ncontent-LENGTH:0\r\n\r\n", 503);
    is_whole("HTTP/1.1 200\r\nContent-Length: 2 \r\nContent-Length: 2\r\n\r\nab", 200);
}
END_TEST

START_TEST(ends_by_chunks)
{
    is_whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
             200);
    is_whole("HTTP/1.1 404 No\r\nContent-Length: 900\r\n"
             "Transfer-Encoding: gzip, Chunked \r\n\r\n0\r\n\r\n",
             404);
}
END_TEST

START_TEST(ends_by_close)
{
    wants_more("HTTP/1.1 200 OK\r\n\r\nanything at all");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_WHOLE);
    ck_assert_uint_eq(reply.status, 200);
    wants_more("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_WHOLE);
}
END_TEST

START_TEST(some_statuses_have_no_body)
{
    is_whole("HTTP/1.1 204 No Content\r\n\r\n", 204);
    is_whole("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 304);
    is_whole("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101);
}
END_TEST

START_TEST(interim_responses_are_passed_over)
{
    is_whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
             200);
    wants_more("HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
}
END_TEST

START_TEST(bare_line_feeds_will_do)
{
    is_whole("HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200);
}
END_TEST

START_TEST(what_is_not_http_is_known_at_once)
{
    is_bad("S");
    is_bad("SSH-2.0-OpenSSH_9");
    is_bad("HTTP/2");
    is_bad("\r\nHTTP/1.1 200 OK\r\n");
    is_bad("\x16\x03\x01");
}
END_TEST

START_TEST(malformed_status_lines_are_bad)
{
    is_bad("HTTP/1. 200 OK\r\n");
    is_bad("HTTP/1.1  200 OK\r\n");
    is_bad("HTTP/1.1 20 OK\r\n");
    is_bad("HTTP/1.1 2000 OK\r\n");
    is_bad("HTTP/1.1 020 OK\r\n");
    is_bad("HTTP/1.1 -20 OK\r\n");
    is_bad("HTTP/1.1\r\n");
}
END_TEST

START_TEST(malformed_headers_are_bad)
{
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: \r\n");
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n");
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n");
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n");
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n");
    is_bad("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n");
    is_bad("HTTP/1.1 200 OK\r\nX: \x01\r\n");
    is_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    is_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n");
    is_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n");
}
END_TEST

START_TEST(close_in_the_middle_is_bad)
{
    wants_more("HTTP/1.1 200 OK\r\nContent-Le");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
    wants_more("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
    wants_more("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
    gb_reply_init(&reply);
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
    ck_assert_ptr_nonnull(reply.why);
}
END_TEST

START_TEST(header_is_bounded)
{
    size_t taken = 0;

    wants_more("HTTP/1.1 200 OK\r\nX: ");
    while (take("0123456789") == GB_REPLY_MORE) {
        taken += 10;
        ck_assert_uint_le(taken, GB_REPLY_HEAD_MOST);
    }
    ck_assert_uint_gt(taken, GB_REPLY_HEAD_MOST - 100);
    ck_assert_str_eq(reply.why, "header of the answer is over 32 KiB");
    wants_more("HTTP/1.1 200 OK\r\n");
    for (taken = 0; take("A: b\r\n") == GB_REPLY_MORE; taken += 6) {
        ck_assert_uint_le(taken, GB_REPLY_HEAD_MOST);
    }
    ck_assert_int_eq(take(""), GB_REPLY_BAD);
}
END_TEST

/* More body than is wanted: enough is known by then, the status counts. */
START_TEST(body_is_bounded_and_judged_by_its_status)
{
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        size_t taken = 0;
        gb_reply_e found = GB_REPLY_MORE;

        wants_more(heads[i]);
        for (; found == GB_REPLY_MORE; taken += 10) {
            ck_assert_uint_le(taken, GB_REPLY_BODY_MOST + 20);
            found = take("0123456789");
        }
        ck_assert_int_eq(found, GB_REPLY_WHOLE);
        ck_assert_uint_eq(reply.status, 200);
        ck_assert_uint_gt(taken, GB_REPLY_BODY_MOST - 20);
    }
}
END_TEST

START_TEST(endless_chunk_lines_are_bounded)
{
    size_t taken = 0;

    wants_more("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    while (take("0123456789") == GB_REPLY_MORE) {
        taken += 10;
        ck_assert_uint_le(taken, GB_REPLY_BODY_MOST);
    }
    wants_more("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (taken = 0; take("1\r\nx\r\n") == GB_REPLY_MORE; taken += 6) {
        ck_assert_uint_le(taken, GB_REPLY_BODY_MOST);
    }
    ck_assert_int_eq(take(""), GB_REPLY_WHOLE);
}
END_TEST

START_TEST(verdicts_are_final)
{
    is_bad("nonsense");
    ck_assert_int_eq(take("HTTP/1.1 200 OK\r\n\r\n"), GB_REPLY_BAD);
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_BAD);
    is_whole("HTTP/1.1 204 No\r\n\r\n", 204);
    ck_assert_int_eq(take("more"), GB_REPLY_WHOLE);
    ck_assert_int_eq(gb_reply_close(&reply), GB_REPLY_WHOLE);
}
END_TEST

Suite *gb_reply_suite(void)
{
    Suite *suite = suite_create("gb_reply");
    TCase *ends = tcase_create("ends");
    TCase *hostile = tcase_create("hostile");

    tcase_add_test(ends, ends_by_content_length);
    tcase_add_test(ends, ends_by_chunks);
    tcase_add_test(ends, ends_by_close);
    tcase_add_test(ends, some_statuses_have_no_body);
    tcase_add_test(ends, interim_responses_are_passed_over);
    tcase_add_test(ends, bare_line_feeds_will_do);
    suite_add_tcase(suite, ends);
    tcase_add_test(hostile, what_is_not_http_is_known_at_once);
    tcase_add_test(hostile, malformed_status_lines_are_bad);
    tcase_add_test(hostile, malformed_headers_are_bad);
    tcase_add_test(hostile, close_in_the_middle_is_bad);
    tcase_add_test(hostile, header_is_bounded);
    tcase_add_test(hostile, body_is_bounded_and_judged_by_its_status);
    tcase_add_test(hostile, endless_chunk_lines_are_bounded);
    tcase_add_test(hostile, verdicts_are_final);
    suite_add_tcase(suite, hostile);
    return suite;
}
