/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_json.c - what is written is JSON, fits, and survives any text and number.
 */
#include "core/gb_json.h"

#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gb_json_t json;
static char out[512];

static void start(void)
{
    memset(out, 'x', sizeof(out));
    gb_json_start(&json, out, sizeof(out));
}

static void expect(const char *text)
{
    ck_assert(gb_json_finish(&json));
    ck_assert_str_eq(out, text);
    ck_assert_uint_eq(json.bytes, strlen(text));
}

static void expect_broken(void)
{
    ck_assert(!gb_json_finish(&json));
}

START_TEST(nested_values_get_their_commas)
{
    start();
    gb_json_open_object(&json);
    gb_json_key(&json, "a");
    gb_json_open_array(&json);
    gb_json_unsigned(&json, 1);
    gb_json_null(&json);
    gb_json_open_object(&json);
    gb_json_close_object(&json);
    gb_json_open_array(&json);
    gb_json_close_array(&json);
    gb_json_close_array(&json);
    gb_json_key(&json, "b");
    gb_json_bool(&json, true);
    gb_json_key(&json, "c");
    gb_json_string(&json, NULL);
    gb_json_close_object(&json);
    expect("{\"a\":[1,null,{},[]],\"b\":true,\"c\":null}");
}
END_TEST

START_TEST(text_is_escaped)
{
    start();
    gb_json_string(&json, "a\"b\\c\b\f\n\r\t\x01\x1f\x7f</script>&");
    expect("\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f"
           "\\u003c/script\\u003e\\u0026\"");
}
END_TEST

START_TEST(keys_are_escaped_too)
{
    start();
    gb_json_open_object(&json);
    gb_json_key(&json, "a\"\xff");
    gb_json_unsigned(&json, UINT64_MAX);
    gb_json_close_object(&json);
    expect("{\"a\\\"\\ufffd\":18446744073709551615}");
}
END_TEST

START_TEST(good_utf8_stays)
{
    const char *text = "\xc2\x80 \xc3\xa9 \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 "
                       "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf";
    char wanted[128];

    start();
    gb_json_string(&json, text);
    snprintf(wanted, sizeof(wanted), "\"%s\"", text);
    expect(wanted);
}
END_TEST

/* Each row: bytes that are no UTF-8, and how many replacement characters they give. */
static const struct {
    const char *text;
    int replaced;
} bad_utf8[] = {
    {"\x80", 1},             /* a continuation alone */
    {"\xc0\xaf", 2},         /* overlong slash */
    {"\xc1\xbf", 2},         /* overlong */
    {"\xe0\x9f\xbf", 3},     /* overlong */
    {"\xf0\x8f\xbf\xbf", 4}, /* overlong */
    {"\xed\xa0\x80", 3},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4}, /* above U+10FFFF */
    {"\xf5\x80\x80\x80", 4}, /* likewise */
    {"\xfe", 1},
    {"\xff", 1},
    {"\xe2\x82", 2},     /* cut short */
    {"\xf0\x9f\x98", 3}, /* cut short */
    {"\xc3", 1},         /* cut short */
};

START_TEST(bad_utf8_is_replaced)
{
    char text[16], wanted[64];

    start();
    snprintf(text, sizeof(text), "%sz", bad_utf8[_i].text);
    gb_json_string(&json, text);
    snprintf(wanted, sizeof(wanted), "\"%.*sz\"", 6 * bad_utf8[_i].replaced,
             "\\ufffd\\ufffd\\ufffd\\ufffd");
    expect(wanted);
}
END_TEST

/* What goes in is random, what comes out is ASCII escapes and valid UTF-8. */
START_TEST(any_bytes_give_valid_output)
{
    unsigned seed = 20240611;
    char text[24], big[256];

    for (int run = 0; run < 20000; run++) {
        size_t bytes = (size_t)rand_r(&seed) % sizeof(text), at = 1;

        for (size_t i = 0; i < bytes; i++) {
            int kind = rand_r(&seed) % 3;

            text[i] = (char)(kind == 0   ? rand_r(&seed) % 256
                             : kind == 1 ? 0x80 + rand_r(&seed) % 64
                                         : 0xc0 + rand_r(&seed) % 64);
        }
        gb_json_start(&json, big, sizeof(big));
        gb_json_string_most(&json, text, bytes);
        ck_assert(gb_json_finish(&json));
        while (at < json.bytes) {
            size_t length = gb_json_utf8_bytes(big + at, json.bytes - at);

            ck_assert_msg(length && (unsigned char)big[at] >= 0x20,
                          "seed 20240611, run %d", run);
            at += length;
        }
    }
}
END_TEST

START_TEST(text_without_a_nul_is_bounded)
{
    const char text[3] = {'a', 'b', 'c'};

    start();
    gb_json_string_most(&json, text, sizeof(text));
    expect("\"abc\"");
    start();
    gb_json_string_most(&json, "ab\0cd", 5);
    expect("\"ab\"");
}
END_TEST

static const struct {
    double value;
    uint32_t decimals;
    const char *text;
} numbers[] = {
    {0, 3, "0"},
    {-0.0, 3, "0"},
    {-0.0001, 3, "0"},
    {1, 0, "1"},
    {100, 0, "100"},
    {100, 2, "100"},
    {1.5, 3, "1.5"},
    {-2.125, 3, "-2.125"},
    {1.0 / 3, 3, "0.333"},
    {0.9996, 3, "1"},
    {1718000000.123457, 6, "1718000000.123457"},
    {3, 99, "3"},
    {1e14, 1, "100000000000000"},
    {1e300, 3, "1.0000000000000001e+300"},
    {-1e300, 3, "-1.0000000000000001e+300"},
    {NAN, 3, "null"},
    {INFINITY, 3, "null"},
    {-INFINITY, 3, "null"},
};

START_TEST(numbers_are_rounded_and_finite)
{
    start();
    gb_json_number(&json, numbers[_i].value, numbers[_i].decimals);
    expect(numbers[_i].text);
}
END_TEST

START_TEST(a_locale_with_a_comma_changes_nothing)
{
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                          "ps_AF.UTF-8", "de_DE"};

    /* Where none of them is installed this runs under the C locale. */
    for (size_t i = 0; i < sizeof(locales) / sizeof(locales[0]); i++) {
        (void)setlocale(LC_NUMERIC, locales[i]);
        start();
        gb_json_open_array(&json);
        gb_json_number(&json, 1.5, 3);
        gb_json_number(&json, 1e300, 3);
        gb_json_close_array(&json);
        expect("[1.5,1.0000000000000001e+300]");
        (void)setlocale(LC_NUMERIC, "C");
    }
}
END_TEST

static void write_sample(void)
{
    gb_json_open_object(&json);
    gb_json_key(&json, "k");
    gb_json_string(&json, "\xc3\xa9\n");
    gb_json_key(&json, "n");
    gb_json_number(&json, 12.5, 1);
    gb_json_close_object(&json);
}

/* With every room from none to enough: never a byte beyond it, always the whole length,
 * always a NUL, and true only when it has fit. */
START_TEST(never_writes_past_its_room)
{
    const char *whole = "{\"k\":\"\xc3\xa9\\n\",\"n\":12.5}";
    size_t length = strlen(whole);

    for (size_t room = 0; room <= length + 2; room++) {
        memset(out, 'x', sizeof(out));
        gb_json_start(&json, room ? out : NULL, room);
        write_sample();
        ck_assert_int_eq(gb_json_finish(&json), room > length);
        ck_assert_uint_eq(json.bytes, length);
        ck_assert_int_eq(out[room], 'x');
        if (room) {
            size_t kept = room - 1 < length ? room - 1 : length;

            ck_assert_int_eq(out[kept], '\0');
            ck_assert_int_eq(strncmp(out, whole, kept), 0);
        }
    }
}
END_TEST

START_TEST(a_value_without_a_key_is_told)
{
    start();
    gb_json_open_object(&json);
    gb_json_unsigned(&json, 1);
    gb_json_close_object(&json);
    expect_broken();
}
END_TEST

START_TEST(a_key_without_a_value_is_told)
{
    start();
    gb_json_open_object(&json);
    gb_json_key(&json, "a");
    gb_json_close_object(&json);
    expect_broken();
    start();
    gb_json_open_object(&json);
    gb_json_key(&json, "a");
    gb_json_key(&json, "b");
    gb_json_null(&json);
    gb_json_close_object(&json);
    expect_broken();
}
END_TEST

START_TEST(a_key_in_an_array_is_told)
{
    start();
    gb_json_open_array(&json);
    gb_json_key(&json, "a");
    gb_json_null(&json);
    gb_json_close_array(&json);
    expect_broken();
}
END_TEST

START_TEST(brackets_that_do_not_match_are_told)
{
    start();
    gb_json_open_object(&json);
    gb_json_close_array(&json);
    expect_broken();
    start();
    gb_json_close_object(&json);
    expect_broken();
    start();
    gb_json_open_array(&json);
    expect_broken();
    start();
    expect_broken(); /* nothing at all */
}
END_TEST

START_TEST(a_second_document_is_told)
{
    start();
    gb_json_null(&json);
    gb_json_null(&json);
    expect_broken();
    start();
    gb_json_open_array(&json);
    gb_json_close_array(&json);
    gb_json_open_array(&json);
    gb_json_close_array(&json);
    expect_broken();
}
END_TEST

START_TEST(as_deep_as_promised_and_no_deeper)
{
    start();
    for (int i = 0; i < GB_JSON_DEPTH; i++) {
        gb_json_open_array(&json);
    }
    for (int i = 0; i < GB_JSON_DEPTH; i++) {
        gb_json_close_array(&json);
    }
    ck_assert(gb_json_finish(&json));
    start();
    for (int i = 0; i <= GB_JSON_DEPTH; i++) {
        gb_json_open_array(&json);
    }
    for (int i = 0; i <= GB_JSON_DEPTH; i++) {
        gb_json_close_array(&json);
    }
    expect_broken();
}
END_TEST

START_TEST(after_an_object_within_an_array_the_comma_is_the_arrays)
{
    start();
    gb_json_open_array(&json);
    for (int i = 0; i < 2; i++) {
        gb_json_open_object(&json);
        gb_json_key(&json, "a");
        gb_json_open_array(&json);
        gb_json_close_array(&json);
        gb_json_close_object(&json);
    }
    gb_json_close_array(&json);
    expect("[{\"a\":[]},{\"a\":[]}]");
}
END_TEST

Suite *gb_json_suite(void)
{
    Suite *suite = suite_create("gb_json");
    TCase *tcase = tcase_create("writer");

    tcase_add_test(tcase, nested_values_get_their_commas);
    tcase_add_test(tcase, after_an_object_within_an_array_the_comma_is_the_arrays);
    tcase_add_test(tcase, text_is_escaped);
    tcase_add_test(tcase, keys_are_escaped_too);
    tcase_add_test(tcase, good_utf8_stays);
    tcase_add_loop_test(tcase, bad_utf8_is_replaced, 0,
                        (int)(sizeof(bad_utf8) / sizeof(bad_utf8[0])));
    tcase_add_test(tcase, any_bytes_give_valid_output);
    tcase_add_test(tcase, text_without_a_nul_is_bounded);
    tcase_add_loop_test(tcase, numbers_are_rounded_and_finite, 0,
                        (int)(sizeof(numbers) / sizeof(numbers[0])));
    tcase_add_test(tcase, a_locale_with_a_comma_changes_nothing);
    tcase_add_test(tcase, never_writes_past_its_room);
    tcase_add_test(tcase, a_value_without_a_key_is_told);
    tcase_add_test(tcase, a_key_without_a_value_is_told);
    tcase_add_test(tcase, a_key_in_an_array_is_told);
    tcase_add_test(tcase, brackets_that_do_not_match_are_told);
    tcase_add_test(tcase, a_second_document_is_told);
    tcase_add_test(tcase, as_deep_as_promised_and_no_deeper);
    suite_add_tcase(suite, tcase);
    return suite;
}
