/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_wire.c - frames of children and keeper, and the texts that go with them.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_wire.h"

Suite *gb_wire_suite(void);

static gb_span_text_t text(const char *words)
{
    return (gb_span_text_t){words, strlen(words)};
}

static char *written(const gb_wire_t *wire, size_t *bytes)
{
    char *frame;

    *bytes = gb_wire_bytes(wire);
    ck_assert_uint_ge(*bytes, GB_WIRE_HEAD_BYTES);
    frame = malloc(*bytes);
    ck_assert_ptr_nonnull(frame);
    gb_wire_write(wire, frame);
    return frame;
}

/* As a reader does it. */
static bool read_frame(const char *frame, size_t bytes, gb_wire_t *wire)
{
    gb_wire_type_e type;
    size_t follow;

    return bytes >= GB_WIRE_HEAD_BYTES && gb_wire_read_head(frame, &type, &follow) &&
           follow == bytes - GB_WIRE_HEAD_BYTES &&
           gb_wire_read(type, frame + GB_WIRE_HEAD_BYTES, follow, wire);
}

START_TEST(what_is_written_is_read)
{
    char nonce[8];
    gb_wire_t wire = {.type = GB_WIRE_SUBMIT}, again;
    size_t bytes;
    uint64_t value;
    char *frame;

    wire.field[GB_TAG_LOG] = text("conf-1 balancer://app");
    wire.field[GB_TAG_ID] = text("5f0c");
    wire.field[GB_TAG_PRINCIPAL] = text("");
    wire.field[GB_TAG_BODY] = (gb_span_text_t){"a\0b", 3};
    gb_wire_set_number(&wire, GB_TAG_NONCE, nonce, 8, UINT64_C(0x1122334455667788));
    frame = written(&wire, &bytes);
    ck_assert(read_frame(frame, bytes, &again));
    ck_assert_int_eq(again.type, GB_WIRE_SUBMIT);
    for (int tag = 0; tag < GB_TAG_COUNT; tag++) {
        ck_assert_uint_eq(again.field[tag].bytes, wire.field[tag].bytes);
        ck_assert(!again.field[tag].at == !wire.field[tag].at);
        if (wire.field[tag].bytes) {
            ck_assert_mem_eq(again.field[tag].at, wire.field[tag].at,
                             wire.field[tag].bytes);
        }
    }
    ck_assert(gb_wire_number(&again, GB_TAG_NONCE, 8, &value));
    ck_assert_uint_eq(value, UINT64_C(0x1122334455667788));
    ck_assert(!gb_wire_number(&again, GB_TAG_NONCE, 4, &value));
    ck_assert(!gb_wire_number(&again, GB_TAG_WAIT, 8, &value));
    ck_assert(!gb_wire_number(&again, GB_TAG_COUNT, 8, &value));
    ck_assert(!gb_wire_number(&again, GB_TAG_NONCE, 9, &value));
    free(frame);
}
END_TEST

START_TEST(bytes_are_little_endian)
{
    static const char expected[] = "GBC1\x02\0\0\0\x0a\0\0\0\x02\0\x04\0\0\0key!";
    gb_wire_t wire = {.type = GB_WIRE_ASK};
    size_t bytes;
    char *frame;

    wire.field[GB_TAG_ID] = text("key!");
    frame = written(&wire, &bytes);
    ck_assert_uint_eq(bytes, sizeof(expected) - 1);
    ck_assert_mem_eq(frame, expected, bytes);
    free(frame);
}
END_TEST

START_TEST(heads_that_are_none_are_refused)
{
    gb_wire_type_e type;
    size_t bytes;

    ck_assert(gb_wire_read_head("GBC1\1\0\0\0\0\0\0\0", &type, &bytes));
    ck_assert_int_eq(type, GB_WIRE_SUBMIT);
    ck_assert_uint_eq(bytes, 0);
    ck_assert(!gb_wire_read_head("GBC2\1\0\0\0\0\0\0\0", &type, &bytes));
    ck_assert(!gb_wire_read_head("GBC1\0\0\0\0\0\0\0\0", &type, &bytes));
    ck_assert(!gb_wire_read_head("GBC1\4\0\0\0\0\0\0\0", &type, &bytes));
    ck_assert(!gb_wire_read_head("GBC1\1\1\0\0\0\0\0\0", &type, &bytes));
    /* 80 MiB with the head, and one more. */
    ck_assert(gb_wire_read_head("GBC1\1\0\0\0\xf4\xff\xff\x04", &type, &bytes));
    ck_assert_uint_eq(bytes + GB_WIRE_HEAD_BYTES, GB_WIRE_MOST_BYTES);
    ck_assert(!gb_wire_read_head("GBC1\1\0\0\0\xf5\xff\xff\x04", &type, &bytes));
}
END_TEST

START_TEST(fields_that_are_malformed_are_refused)
{
    gb_wire_t wire;

    ck_assert(gb_wire_read(GB_WIRE_ASK, "", 0, &wire));
    ck_assert(!gb_wire_read(GB_WIRE_ASK, "\1\0\0\0\0", 5, &wire));    /* cut off */
    ck_assert(!gb_wire_read(GB_WIRE_ASK, "\1\0\2\0\0\0a", 7, &wire)); /* too long */
    ck_assert(!gb_wire_read(GB_WIRE_ASK, "\0\0\1\0\0\0a", 7, &wire)); /* tag 0 */
    ck_assert(!gb_wire_read(GB_WIRE_ASK, "\1\0\0\0\0\0\1\0\0\0\0\0", 12, &wire));
    /* One that is not known is passed over, and may come twice. */
    ck_assert(gb_wire_read(
        GB_WIRE_ASK, "\xff\xff\1\0\0\0x\xff\xff\0\0\0\0\2\0\1\0\0\0k", 20, &wire));
    ck_assert_mem_eq(wire.field[GB_TAG_ID].at, "k", 1);
    ck_assert_ptr_null(wire.field[GB_TAG_LOG].at);
}
END_TEST

START_TEST(a_frame_has_a_most)
{
    gb_wire_t wire = {.type = GB_WIRE_SUBMIT};

    wire.field[GB_TAG_BODY] = (gb_span_text_t){"", GB_WIRE_MOST_BYTES};
    ck_assert_uint_eq(gb_wire_bytes(&wire), 0);
    wire.field[GB_TAG_BODY].bytes = SIZE_MAX;
    ck_assert_uint_eq(gb_wire_bytes(&wire), 0);
    wire.field[GB_TAG_BODY].bytes = GB_WIRE_MOST_BYTES - GB_WIRE_HEAD_BYTES - 6;
    ck_assert_uint_eq(gb_wire_bytes(&wire), GB_WIRE_MOST_BYTES);
    wire.field[GB_TAG_ID] = text("");
    ck_assert_uint_eq(gb_wire_bytes(&wire), 0);
}
END_TEST

START_TEST(any_change_of_a_frame_is_read_within_its_bounds)
{
    unsigned seed = (unsigned)time(NULL);

    printf("gb_wire: seed %u\n", seed);
    srand(seed);
    for (int turn = 0; turn < 20000; turn++) {
        gb_wire_t wire = {.type = GB_WIRE_REPLY}, again;
        size_t bytes, cut;
        char *frame, *copy;

        wire.field[1 + rand() % (GB_TAG_COUNT - 1)] = text("some words of a field");
        wire.field[1 + rand() % (GB_TAG_COUNT - 1)] = text("");
        frame = written(&wire, &bytes);
        frame[(size_t)rand() % bytes] ^= (char)(1 << rand() % 8);
        cut = (size_t)rand() % (bytes + 1);
        copy = malloc(cut ? cut : 1); /* so that a sanitizer sees one byte too many */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, frame, cut);
        if (read_frame(copy, cut, &again)) {
            for (int tag = 0; tag < GB_TAG_COUNT; tag++) {
                ck_assert(!again.field[tag].at ||
                          (again.field[tag].at >= copy &&
                           again.field[tag].at + again.field[tag].bytes <= copy + cut));
            }
        }
        free(copy);
        free(frame);
    }
}
END_TEST

START_TEST(header_lines_come_one_after_the_other)
{
    const char *at = "Content-Type: text/plain\r\nX-Empty:\r\nSet-Cookie:a=1; b\tc\r\n";
    size_t bytes = strlen(at);
    gb_span_text_t name, value;

    ck_assert(gb_wire_header(&at, &bytes, &name, &value));
    ck_assert_uint_eq(name.bytes, 12);
    ck_assert_mem_eq(value.at, "text/plain", value.bytes);
    ck_assert_uint_eq(value.bytes, 10);
    ck_assert(gb_wire_header(&at, &bytes, &name, &value));
    ck_assert_mem_eq(name.at, "X-Empty", name.bytes);
    ck_assert_uint_eq(value.bytes, 0);
    ck_assert(gb_wire_header(&at, &bytes, &name, &value));
    ck_assert_mem_eq(value.at, "a=1; b\tc", value.bytes);
    ck_assert_uint_eq(bytes, 0);
    ck_assert(!gb_wire_header(&at, &bytes, &name, &value));
}
END_TEST

static bool is_header(const char *line)
{
    const char *at = line;
    size_t bytes = strlen(line);
    gb_span_text_t name, value;

    return gb_wire_header(&at, &bytes, &name, &value);
}

START_TEST(lines_that_could_split_a_response_are_refused)
{
    ck_assert(is_header("A: b\r\n"));
    ck_assert(!is_header("A: b"));
    ck_assert(!is_header("A: b\n"));
    ck_assert(!is_header("\n"));
    ck_assert(!is_header("\r\n"));
    ck_assert(!is_header("A b\r\n"));
    ck_assert(!is_header(": b\r\n"));
    ck_assert(!is_header("A : b\r\n"));
    ck_assert(!is_header(" A: b\r\n"));
    ck_assert(!is_header("A: b\rc\r\n"));
    ck_assert(!is_header("A: b\x01\r\n"));
    ck_assert(!is_header("A: b\x7f\r\n"));
    ck_assert(!is_header("A\x80: b\r\n"));
    ck_assert(is_header("A: \xc3\xa4\r\n"));
}
END_TEST

static const char *json_of(const char *field)
{
    static char json[512];

    memset(json, 0, sizeof json);
    return gb_wire_json(json, sizeof json, field, strlen(field)) ? json : NULL;
}

START_TEST(texts_of_requests_have_no_control_characters)
{
    ck_assert(gb_wire_is_text(text("/a?b"), '!', 4));
    ck_assert(!gb_wire_is_text(text("/a?bc"), '!', 4));
    ck_assert(gb_wire_is_text(text(""), '!', 4));
    ck_assert(!gb_wire_is_text((gb_span_text_t){NULL, 0}, '!', 4));
    ck_assert(!gb_wire_is_text(text("a b"), '!', 4));
    ck_assert(gb_wire_is_text(text("a b"), ' ', 4));
    ck_assert(gb_wire_is_text(text("\xc3\xa9"), '!', 4));
    ck_assert(!gb_wire_is_text(text("a\x7f"), ' ', 4));
    ck_assert(!gb_wire_is_text(text("a\n"), ' ', 4));
    ck_assert(!gb_wire_is_text((gb_span_text_t){"a\0b", 3}, ' ', 4));
    ck_assert_uint_eq(gb_wire_span("four").bytes, 4);
    ck_assert_str_eq(gb_wire_span(NULL).at, "");
}
END_TEST

START_TEST(the_indicator_becomes_json)
{
    ck_assert_str_eq(json_of("id=\"5f0c\", epoch=3, seq=1042, state=met, need=2, "
                             "same=?1, client=?0, nines=7.4"),
                     "{\"id\":\"5f0c\",\"epoch\":3,\"seq\":1042,\"state\":\"met\","
                     "\"need\":2,\"same\":true,\"client\":false,\"nines\":7.4}");
    ck_assert_str_eq(json_of("id=\"a\\\"b\\\\\""), "{\"id\":\"a\\\"b\\\\\"}");
    ck_assert_str_eq(json_of(""), "{}");
}
END_TEST

START_TEST(what_is_no_indicator_becomes_nothing)
{
    static const char *const wrong[] = {
        "id",      "id=",    "id=\"a",      "id=\"\\n\"", "a=1,",    "a=1, ",
        "a=1;b=2", "a=?2",   "a=?",         "a=007",      "a=1.",    "a=1.x",
        "a=-",     "a=:Zg:", "id=\"\x01\"", "a=(1 2)",    "a=1 b=2", "a=A",
    };
    char json[512];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        /* "-" alone begins a word of a kind: it is quoted, and harmless. */
        if (strcmp(wrong[i], "a=-") == 0) {
            ck_assert_str_eq(json_of(wrong[i]), "{\"a\":\"-\"}");
            continue;
        }
        ck_assert_msg(!json_of(wrong[i]), "%s", wrong[i]);
    }
    for (size_t room = 0; room <= strlen("{\"a\":1}"); room++) {
        ck_assert_uint_eq(gb_wire_json(json, room, "a=1", 3), 0);
    }
    ck_assert_uint_eq(gb_wire_json(json, 8, "a=1", 3), 7);
}
END_TEST

static const char *path_of(const char *id)
{
    static char path[GB_WIRE_PATH_BYTES];

    return gb_wire_path_of_id(path, sizeof path, id) ? path : NULL;
}

START_TEST(ids_go_into_paths_and_come_back)
{
    char most[GB_COMMIT_ID_BYTES], back[GB_COMMIT_ID_BYTES];

    ck_assert_str_eq(path_of("550e8400-e29b-41d4"), "550e8400-e29b-41d4");
    ck_assert_str_eq(path_of("A.b_c"), "A.b_c");
    ck_assert_str_eq(path_of("a/b"), "~612f62");
    ck_assert_str_eq(path_of(".."), "~2e2e");
    ck_assert_str_eq(path_of("~x"), "~7e78");
    ck_assert_ptr_null(path_of(""));
    memset(most, '%', sizeof most - 1);
    most[sizeof most - 1] = '\0';
    ck_assert_ptr_nonnull(path_of(most));
    ck_assert(gb_wire_id_of_path(path_of(most), strlen(path_of(most)), back));
    ck_assert_str_eq(back, most);
    ck_assert(gb_wire_id_of_path("a'b", 3, back)); /* as somebody may write it */
    ck_assert_str_eq(back, "a'b");
}
END_TEST

START_TEST(paths_that_are_no_ids_are_refused)
{
    char id[GB_COMMIT_ID_BYTES], most[2 * GB_COMMIT_ID_BYTES + 2];

    ck_assert(!gb_wire_id_of_path("", 0, id));
    ck_assert(!gb_wire_id_of_path("~", 1, id));
    ck_assert(!gb_wire_id_of_path("~6", 2, id));
    ck_assert(!gb_wire_id_of_path("~6g", 3, id));
    ck_assert(!gb_wire_id_of_path("~00", 3, id));
    ck_assert(!gb_wire_id_of_path("~20", 3, id));
    ck_assert(!gb_wire_id_of_path("~ff", 3, id));
    ck_assert(!gb_wire_id_of_path("a b", 3, id));
    ck_assert(!gb_wire_id_of_path("a\xc3", 2, id));
    memset(most, '6', sizeof most);
    ck_assert(gb_wire_id_of_path(most, GB_COMMIT_ID_BYTES - 1, id));
    ck_assert(!gb_wire_id_of_path(most, GB_COMMIT_ID_BYTES, id));
    most[0] = '~';
    ck_assert(gb_wire_id_of_path(most, 2 * (GB_COMMIT_ID_BYTES - 1) + 1, id));
    ck_assert(!gb_wire_id_of_path(most, 2 * GB_COMMIT_ID_BYTES + 1, id));
}
END_TEST

Suite *gb_wire_suite(void)
{
    Suite *suite = suite_create("gb_wire");
    TCase *frames = tcase_create("frames"), *texts = tcase_create("texts");

    tcase_add_test(frames, what_is_written_is_read);
    tcase_add_test(frames, bytes_are_little_endian);
    tcase_add_test(frames, heads_that_are_none_are_refused);
    tcase_add_test(frames, fields_that_are_malformed_are_refused);
    tcase_add_test(frames, a_frame_has_a_most);
    tcase_add_test(frames, any_change_of_a_frame_is_read_within_its_bounds);
    tcase_add_test(texts, header_lines_come_one_after_the_other);
    tcase_add_test(texts, lines_that_could_split_a_response_are_refused);
    tcase_add_test(texts, texts_of_requests_have_no_control_characters);
    tcase_add_test(texts, the_indicator_becomes_json);
    tcase_add_test(texts, what_is_no_indicator_becomes_nothing);
    tcase_add_test(texts, ids_go_into_paths_and_come_back);
    tcase_add_test(texts, paths_that_are_no_ids_are_refused);
    suite_add_tcase(suite, frames);
    suite_add_tcase(suite, texts);
    return suite;
}
