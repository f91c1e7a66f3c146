/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_value.c - JSON that others wrote.
 */
#include "core/gb_value.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool read_text(const char *text, gb_value_t *value)
{
    return gb_value_read(text, strlen(text), value);
}

static gb_value_t value_of(const char *text)
{
    gb_value_t value;

    ck_assert_msg(read_text(text, &value), "%s", text);
    return value;
}

static const char *const good[] = {
    "{}",
    "[]",
    " null ",
    "true",
    "\"\"",
    "0",
    "-0.5e-3",
    "1E+2",
    "[1, 2 ,3]",
    "{\"a\":{\"b\":[{},[]]}}",
    "\t\r\n{ \"a\" : 1 , \"b\" : [ ] }\n",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
};

START_TEST(json_is_accepted)
{
    (void)value_of(good[_i]);
}
END_TEST

static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "[1}",
    "{\"a\":1]",
    "nul",
    "nulll",
    "True",
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "-",
    "NaN",
    "\"",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "1 2",
    "{}{}",
    "// no\n1",
};

START_TEST(what_is_no_json_is_refused)
{
    gb_value_t value;

    ck_assert_msg(!read_text(bad[_i], &value), "%s", bad[_i]);
    ck_assert_int_eq(gb_value_kind(value), GB_VALUE_NOTHING);
}
END_TEST

START_TEST(every_cut_of_a_document_is_refused)
{
    static const char text[] = "{\"a\": [1, \"\\u00e9\", {\"b\": null}], \"c\": -1.5}";
    size_t length = sizeof text - 1;
    gb_value_t value;

    for (size_t cut = 0; cut < length; cut++) {
        char *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees its end */

        memcpy(copy, text, cut);
        ck_assert(!gb_value_read(copy, cut, &value));
        free(copy);
    }
    ck_assert(gb_value_read(text, length, &value));
}
END_TEST

START_TEST(depth_is_bounded)
{
    char text[2 * GB_VALUE_DEPTH + 3];
    gb_value_t value;

    memset(text, '[', GB_VALUE_DEPTH);
    memset(text + GB_VALUE_DEPTH, ']', GB_VALUE_DEPTH);
    ck_assert(gb_value_read(text, (size_t)2 * GB_VALUE_DEPTH, &value));
    memset(text, '[', GB_VALUE_DEPTH + 1);
    memset(text + GB_VALUE_DEPTH + 1, ']', GB_VALUE_DEPTH + 1);
    ck_assert(!gb_value_read(text, (size_t)2 * GB_VALUE_DEPTH + 2, &value));
}
END_TEST

START_TEST(members_and_elements_are_found)
{
    gb_value_t value = value_of("{\"ab\": 1, \"a\": [true, \"x\", {}], \"a\": 3, "
                                "\"o\": {\"a\": \"in\"}, \"\": null}");
    gb_value_t array = gb_value_member(value, "a");

    ck_assert_int_eq(gb_value_kind(array), GB_VALUE_ARRAY);
    ck_assert_uint_eq(gb_value_count(array), 3);
    ck_assert_int_eq(gb_value_kind(gb_value_element(array, 0)), GB_VALUE_BOOL);
    ck_assert(gb_value_says(gb_value_element(array, 1), "x"));
    ck_assert_int_eq(gb_value_kind(gb_value_element(array, 2)), GB_VALUE_OBJECT);
    ck_assert_int_eq(gb_value_kind(gb_value_element(array, 3)), GB_VALUE_NOTHING);
    ck_assert(gb_value_says(gb_value_next(gb_value_element(array, 0)), "x"));
    ck_assert_ptr_null(gb_value_next(gb_value_element(array, 2)).at);
    ck_assert_ptr_null(gb_value_next(gb_value_element(array, 3)).at);
    ck_assert(gb_value_says(gb_value_within(value, "o", "a"), "in"));
    ck_assert_int_eq(gb_value_kind(gb_value_member(value, "")), GB_VALUE_NULL);
    ck_assert_int_eq(gb_value_kind(gb_value_member(value, "abc")), GB_VALUE_NOTHING);
    ck_assert_int_eq(gb_value_kind(gb_value_within(value, "x", "y")), GB_VALUE_NOTHING);
    ck_assert_int_eq(gb_value_kind(gb_value_member(array, "a")), GB_VALUE_NOTHING);
    ck_assert_uint_eq(gb_value_count(value), 0);
    ck_assert_uint_eq(gb_value_count(value_of("[]")), 0);
}
END_TEST

static const struct {
    const char *json, *text; /* NULL: refused */
} texts[] = {
    {"\"\"", ""},
    {"\"On\"", "On"},
    {"\"a\\u0041\\n\\\\\\\"\\/\"", "aA\n\\\"/"},
    {"\"\\u00e9\\u20ac\"", "\xc3\xa9\xe2\x82\xac"},
    {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
    {"\"1234567\"", "1234567"},
    {"\"12345678\"", NULL},
    {"\"\\u0000\"", NULL},
    {"\"\\ud83d\"", NULL},
    {"\"\\ud83dx\"", NULL},
    {"\"\\ud83d\\u0041\"", NULL},
    {"\"\\ude00\"", NULL},
    {"1", NULL},
    {"null", NULL},
};

START_TEST(text_is_copied_whole_or_not_at_all)
{
    char text[8];
    bool read = gb_value_text(value_of(texts[_i].json), text, sizeof text);

    ck_assert_int_eq(read, texts[_i].text != NULL);
    ck_assert_str_eq(text, read ? texts[_i].text : "");
}
END_TEST

static const struct {
    const char *json;
    double number;
} numbers[] = {
    {"0", 0},         {"-0", 0},        {"42", 42},           {"-1.5", -1.5},
    {"1e3", 1000},    {"2.5E-1", 0.25}, {"123.456", 123.456}, {"1e-400", 0},
    {"1e308", 1e308}, {"0e400", 0},
};

START_TEST(number_is_read)
{
    double number = -7;

    ck_assert(gb_value_number(value_of(numbers[_i].json), &number));
    ck_assert_double_le(fabs(number - numbers[_i].number),
                        1e-12 * fabs(numbers[_i].number));
}
END_TEST

START_TEST(number_that_no_double_holds_is_refused)
{
    static const char *const texts_of[] = {"1e309", "-1e400", "1e401", "null", "\"1\""};
    double number;

    for (size_t i = 0; i < sizeof texts_of / sizeof texts_of[0]; i++) {
        ck_assert(!gb_value_number(value_of(texts_of[i]), &number));
    }
}
END_TEST

Suite *gb_value_suite(void);

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *gb_value_suite(void)
{
    Suite *suite = suite_create("gb_value");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, json_is_accepted, 0, COUNT(good));
    tcase_add_loop_test(all, what_is_no_json_is_refused, 0, COUNT(bad));
    tcase_add_test(all, every_cut_of_a_document_is_refused);
    tcase_add_test(all, depth_is_bounded);
    tcase_add_test(all, members_and_elements_are_found);
    tcase_add_loop_test(all, text_is_copied_whole_or_not_at_all, 0, COUNT(texts));
    tcase_add_loop_test(all, number_is_read, 0, COUNT(numbers));
    tcase_add_test(all, number_that_no_double_holds_is_refused);
    suite_add_tcase(suite, all);
    return suite;
}
