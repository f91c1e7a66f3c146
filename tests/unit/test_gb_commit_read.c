/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_commit_read.c - Green-Commit-Policy, Prefer, Idempotency-Key and tokens, as
 * they should come and as they should not.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_commit.h"

#include "tests/unit/dice.h"

Suite *gb_commit_read_suite(void);

#define S  GB_US_PER_S
#define MS GB_US_PER_MS

/* A copy without a NUL behind it, so that a sanitizer sees who reads too far. */
static char *bare(const char *text, size_t bytes)
{
    char *copy = malloc(bytes ? bytes : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, bytes);
    return copy;
}

/* ------------------------------------------------------------ Green-Commit-Policy */

static bool policy(const char *text, gb_commit_wish_t *wish)
{
    char *copy = bare(text, strlen(text));
    bool good = gb_commit_read_policy(copy, strlen(text), wish);

    free(copy);
    return good;
}

START_TEST(policies_are_read)
{
    static const struct {
        const char *text;
        uint32_t quorum;
        int64_t wait_us;
    } cases[] = {
        {"quorum=3, wait=800", 3, 800 * MS},
        {"quorum=all", GB_COMMIT_ALL, -1},
        {"wait=0", 0, 0},
        {"", 0, -1},
        {"  ", 0, -1},
        {" quorum=2\t,\twait=5 ", 2, 5 * MS},
        {"quorum=2,quorum=3", 3, -1}, /* the last one counts (RFC 9651, 3.2) */
        {"quorum=99999999999", GB_COMMIT_ALL - 1, -1},
        {"quorum=4294967295", GB_COMMIT_ALL - 1, -1},
        {"wait=999999999999999", 0, INT64_C(999999999999999) * MS},
        {"quorum=1;a;b=\"x;,\";c=?0, wait=7;q=0.5", 1, 7 * MS},
        {"x, *y=(1 2;a \"b\" (), quorum=2", 0, -2},
        {"x, *y=(1 2;a \"b\" ), quorum=2", 2, -1},
        {"x=(  ), y=:aGk=:, z=@-5, t=%\"f%c3\", u=-1.125, quorum=2", 2, -1},
        {"v=Ab/c:d, w=\"a\\\"b\\\\\", wait=3", 0, 3 * MS},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gb_commit_wish_t wish = {7, 7, true};
        bool good = policy(cases[i].text, &wish);

        ck_assert_msg(good == (cases[i].wait_us != -2), "%s", cases[i].text);
        ck_assert_msg(wish.quorum == cases[i].quorum, "%s", cases[i].text);
        ck_assert_msg(!good || wish.wait_us == cases[i].wait_us, "%s", cases[i].text);
        ck_assert(!wish.async);
    }
}
END_TEST

START_TEST(malformed_policies_are_refused_as_a_whole)
{
    static const char *const texts[] = {"quorum",
                                        "quorum=0",
                                        "quorum=-1",
                                        "quorum=two",
                                        "quorum=ALL",
                                        "quorum=\"all\"",
                                        "quorum=2.5",
                                        "quorum=(2)",
                                        "quorum=",
                                        "quorum =2",
                                        "quorum= 2",
                                        "quorum=2,",
                                        ",quorum=2",
                                        "quorum=2 wait=3",
                                        "quorum=2;",
                                        "quorum=2;A",
                                        "Quorum=2",
                                        "quorum=2, wait",
                                        "wait=-1",
                                        "wait=1.0",
                                        "wait=1s",
                                        "wait=1000000000000000",
                                        "wait=?1",
                                        "wait=@5",
                                        "quorum=2, x=\"",
                                        "quorum=2, x=\"a",
                                        "quorum=2, x=\"\\a\"",
                                        "quorum=2, x=\"\x7f\"",
                                        "quorum=2, x=\"\xc3\xa4\"",
                                        "quorum=2, x=:a",
                                        "quorum=2, x=:-:",
                                        "quorum=2, x=?2",
                                        "quorum=2, x=?",
                                        "quorum=2, x=@1.5",
                                        "quorum=2, x=@",
                                        "quorum=2, x=-",
                                        "quorum=2, x=1.",
                                        "quorum=2, x=1.2345",
                                        "quorum=2, x=1234567890123.1",
                                        "quorum=2, x=%\"%C3\"",
                                        "quorum=2, x=%\"%c\"",
                                        "quorum=2, x=%\"%",
                                        "quorum=2, x=%a",
                                        "quorum=2, x=(1",
                                        "quorum=2, x=(1(2))",
                                        "quorum=2, x=(1,2)",
                                        "quorum=2, x=(\"a\"\"b\")",
                                        "quorum=2, x=[",
                                        "quorum=2\n",
                                        "\tquorum=2"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        gb_commit_wish_t wish = {7, 7, true};

        ck_assert_msg(!policy(texts[i], &wish), "%s", texts[i]);
        ck_assert_uint_eq(wish.quorum, 0);
        ck_assert_int_eq(wish.wait_us, -1);
        ck_assert(!wish.async);
    }
}
END_TEST

START_TEST(a_nul_within_a_policy_is_no_end)
{
    gb_commit_wish_t wish;

    ck_assert(!gb_commit_read_policy("quorum=2\0, wait=1", 17, &wish));
    ck_assert(!gb_commit_read_policy("quorum=2\0", 9, &wish));
    ck_assert(!gb_commit_read_policy("\0", 1, &wish));
}
END_TEST

/* ------------------------------------------------------------ Prefer */

START_TEST(preferences_are_read_and_the_rest_is_passed_over)
{
    static const struct {
        const char *text;
        bool async;
        int64_t wait_us;
    } cases[] = {
        {"respond-async, wait=1", true, 1 * S},
        {"wait=10", false, 10 * S},
        {"Respond-Async", true, -1},
        {"respond-async=\"\"", true, -1},
        {"respond-async=yes", false, -1},
        {"wait=\"5\"", false, 5 * S},
        {"wait = 5 ; x=y, respond-async; a=\"b,wait=9\"", true, 5 * S},
        {"wait=5, wait=9", false, 5 * S},
        {"wait", false, -1},
        {"wait=", false, -1},
        {"wait=-1", false, -1},
        {"wait=1.5", false, -1},
        {"wait=5 6", false, -1},
        {"wait=99999999999999999999999", false, INT32_MAX * S},
        {"return=minimal, foo; bar, wait=0", false, 0},
        {"x=\"respond-async, wait=3", false, -1},
        {"", false, -1},
        {",;=,", false, -1},
        {"\x80wait=3, wait=4", false, 4 * S},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *copy = bare(cases[i].text, strlen(cases[i].text));
        gb_commit_wish_t wish = {7, 7, true};

        gb_commit_read_prefer(copy, strlen(cases[i].text), &wish);
        ck_assert_msg(wish.async == cases[i].async, "%s", cases[i].text);
        ck_assert_msg(wish.wait_us == cases[i].wait_us, "%s", cases[i].text);
        ck_assert_uint_eq(wish.quorum, 0);
        free(copy);
    }
}
END_TEST

/* ------------------------------------------------------------ Idempotency-Key */

static bool key(const char *text, char *id)
{
    char *copy = bare(text, strlen(text));
    bool good = gb_commit_read_key(copy, strlen(text), id);

    free(copy);
    return good;
}

START_TEST(keys_are_read)
{
    static const struct {
        const char *text, *id;
    } cases[] = {
        {"\"5f0c\"", "5f0c"},
        {"  \"a\\\"b\\\\c\"  ", "a\"b\\c"},
        {"Az*", "Az*"},
        {"5f0c0b1e-7f1f-4f0e-9a51-7f6f7a1f0b11",
         "5f0c0b1e-7f1f-4f0e-9a51-7f6f7a1f0b11"},
        {"-x/y:z", "-x/y:z"},
        {"\"k\";a;b=\"c\"", "k"},
        {"\"!#$%&'()*+,-./:;<=>?@[]^_`{|}~\"", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char id[GB_COMMIT_ID_BYTES];

        ck_assert_msg(key(cases[i].text, id), "%s", cases[i].text);
        ck_assert_str_eq(id, cases[i].id);
    }
}
END_TEST

START_TEST(malformed_keys_are_refused)
{
    static const char *const texts[] = {
        "",       "\"\"",   " ",       "\"a b\"",  "a b",  "\"a",
        "a\"",    "\"a\"b", "\"\\a\"", "\"a\\\"",  "\x80", "\"\xc3\"",
        "(a)",    "\"a\";", "a, b",    "\"a\", b", "{a}",  "a\n",
        "\"\t\"", "?1;",    ":aGk=;",  "\"a\"x=1"};
    char id[GB_COMMIT_ID_BYTES] = "before";

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(!key(texts[i], id), "%s", texts[i]);
        ck_assert_str_eq(id, "before");
    }
    ck_assert(!gb_commit_read_key("a\0b", 3, id));
    ck_assert(!gb_commit_read_key("\"a\0b\"", 5, id));
}
END_TEST

START_TEST(longest_key_is_read_and_one_more_is_refused)
{
    char text[2 * GB_COMMIT_ID_BYTES + 2], id[GB_COMMIT_ID_BYTES];

    memset(text, 'x', sizeof(text));
    ck_assert(gb_commit_read_key(text, 128, id));
    ck_assert_uint_eq(strlen(id), 128);
    ck_assert(!gb_commit_read_key(text, 129, id));
    text[0] = '"';
    for (size_t i = 1; i <= 256; i++) {
        text[i] = '\\';
    }
    text[257] = '"';
    ck_assert(gb_commit_read_key(text, 258, id)); /* 128 backslashes */
    ck_assert_uint_eq(strlen(id), 128);
}
END_TEST

START_TEST(a_key_that_was_printed_is_read_again)
{
    uint64_t dice = dice_seed("a_key_that_was_printed_is_read_again");

    for (int i = 0; i < 20000; i++) {
        gb_commit_mark_t mark = {.state = GB_COMMIT_OPEN, .nines = -1};
        char field[GB_COMMIT_FIELD_BYTES], id[GB_COMMIT_ID_BYTES];
        size_t bytes = 1 + dice_roll(&dice) % 128;

        for (size_t c = 0; c < bytes; c++) {
            mark.id[c] = (char)('!' + dice_roll(&dice) % ('~' - '!' + 1));
        }
        gb_commit_print(field, sizeof(field), &mark);
        ck_assert(memcmp(field, "id=", 3) == 0);
        ck_assert(gb_commit_read_key(
            field + 3, (size_t)(strstr(field, "\", state=") - field) - 2, id));
        ck_assert_str_eq(id, mark.id);
    }
}
END_TEST

/* ------------------------------------------------------------ tokens */

START_TEST(tokens_go_there_and_back)
{
    static const uint64_t numbers[] = {
        0, 1, 9, 10, 1042, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};

    for (size_t e = 0; e < 8; e++) {
        for (size_t s = 0; s < 8; s++) {
            char text[GB_COMMIT_TOKEN_BYTES];
            uint64_t epoch = 7, seq = 7;
            size_t bytes =
                gb_commit_print_token(text, sizeof(text), numbers[e], numbers[s]);

            ck_assert_uint_eq(bytes, strlen(text));
            ck_assert_uint_gt(bytes, 2);
            ck_assert(gb_commit_read_token(text, bytes, &epoch, &seq));
            ck_assert_uint_eq(epoch, numbers[e]);
            ck_assert_uint_eq(seq, numbers[s]);
            ck_assert_uint_eq(gb_commit_print_token(text, bytes, epoch, seq), 0);
            ck_assert_str_eq(text, "");
            ck_assert_uint_eq(gb_commit_print_token(text, 0, epoch, seq), 0);
        }
    }
}
END_TEST

START_TEST(malformed_tokens_are_refused)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "1",
                                        "1.",
                                        ".1",
                                        "1.2.",
                                        "1.2.3",
                                        "01.2",
                                        "1.02",
                                        "1.-2",
                                        "+1.2",
                                        " 1.2",
                                        "1.2 ",
                                        "1,2",
                                        "0x1.2",
                                        "18446744073709551616.1",
                                        "1.18446744073709551616",
                                        "1.99999999999999999999999999"};
    uint64_t epoch = 7, seq = 8;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *copy = bare(texts[i], strlen(texts[i]));

        ck_assert_msg(!gb_commit_read_token(copy, strlen(texts[i]), &epoch, &seq), "%s",
                      texts[i]);
        free(copy);
    }
    ck_assert(!gb_commit_read_token("1.2\0", 4, &epoch, &seq));
    ck_assert_uint_eq(epoch, 7);
    ck_assert_uint_eq(seq, 8);
}
END_TEST

Suite *gb_commit_read_suite(void)
{
    Suite *suite = suite_create("gb_commit_read");
    TCase *tests = tcase_create("fields");

    tcase_add_test(tests, policies_are_read);
    tcase_add_test(tests, malformed_policies_are_refused_as_a_whole);
    tcase_add_test(tests, a_nul_within_a_policy_is_no_end);
    tcase_add_test(tests, preferences_are_read_and_the_rest_is_passed_over);
    tcase_add_test(tests, keys_are_read);
    tcase_add_test(tests, malformed_keys_are_refused);
    tcase_add_test(tests, longest_key_is_read_and_one_more_is_refused);
    tcase_add_test(tests, a_key_that_was_printed_is_read_again);
    tcase_add_test(tests, tokens_go_there_and_back);
    tcase_add_test(tests, malformed_tokens_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
