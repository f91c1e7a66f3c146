/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_visit.c - what requests are by their header fields, hostile ones included.
 */
#include <check.h>
#include <string.h>

#include "core/gb_visit.h"

Suite *gb_visit_suite(void);

#define CHROME                                                                         \
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"     \
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"

static gb_visit_e class_of(const char *method, const char *accept, const char *mode,
                           const char *dest)
{
    gb_visit_t visit = {
        .method = method, .accept = accept, .fetch_mode = mode, .fetch_dest = dest};

    return gb_visit_class(&visit, true);
}

static gb_visit_e by_accept(const char *accept)
{
    return class_of("GET", accept, NULL, NULL);
}

static gb_visit_e by_prefer(const char *prefer)
{
    gb_visit_t visit = {.method = "GET", .accept = CHROME, .prefer = prefer};

    return gb_visit_class(&visit, true);
}

START_TEST(page_load_of_a_browser_gets_the_page)
{
    ck_assert_int_eq(class_of("GET", CHROME, "navigate", "document"), GB_VISIT_PAGE);
    ck_assert_int_eq(class_of("GET", CHROME, "navigate", "iframe"), GB_VISIT_PAGE);
    ck_assert_int_eq(class_of("GET", CHROME, " Navigate ", "frame"), GB_VISIT_PAGE);
    ck_assert_int_eq(class_of("GET", CHROME, "navigate", NULL), GB_VISIT_PAGE);
    ck_assert_int_eq(class_of("GET", CHROME, NULL, NULL), GB_VISIT_PAGE);
}
END_TEST

START_TEST(everything_else_is_held)
{
    gb_visit_t visit = {.method = "GET", .accept = CHROME, .partial = true};

    ck_assert_int_eq(class_of("HEAD", CHROME, "navigate", "document"), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("POST", CHROME, "navigate", "document"), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("get", CHROME, NULL, NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of(NULL, CHROME, NULL, NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "cors", "empty"), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "no-cors", "image"), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "navigate", "object"), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "navigate, cors", NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "navigate cors", NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, "", NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(class_of("GET", CHROME, NULL, "script"), GB_VISIT_HOLD);
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_HOLD);
    visit.fetch_mode = "navigate";
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_HOLD);
    visit.partial = false;
    ck_assert_int_eq(gb_visit_class(&visit, false), GB_VISIT_HOLD);
    visit.scripted = true;
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_PAGE);
    visit.fetch_mode = NULL;
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_HOLD);
}
END_TEST

START_TEST(html_has_to_be_named)
{
    ck_assert_int_eq(by_accept("text/html"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept("TEXT/HTML;charset=utf-8 ; q=0.001"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept(",, ,text/html"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept("a/b;x=\"y,;z\\\"\",text/html;q=1.000"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept("text/html;q=0,text/html;q=0.5"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept(NULL), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept(""), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("*/*"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/*"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/html;q=0"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/html;Q=0.000"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/html-x"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("x/text/html"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("application/json"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/html,text/event-stream"), GB_VISIT_HOLD);
    ck_assert_int_eq(by_accept("text/html,text/event-stream;q=0"), GB_VISIT_PAGE);
}
END_TEST

START_TEST(what_cannot_be_read_says_nothing)
{
    static const char *const hostile[] = {
        "text/html;q=2",     "text/html;q=0.1234", "text/html;q=",
        "text/html;q",       "text/html;q=-1",     "text/html;q=1.001",
        "text/html;q=1e3",   "text/html;q=.5",     "text html",
        "text/html=1",       "text/html;q=\"1",    "a=\"b\\\",text/html",
        "\"text/html",       "\"text/html\"",      "x;y=\",text/html,",
        "text/html;q=0.5 x", "=text/html",         "text/\x80html",
        "a;\"b,text/html",   ";text/html",
    };

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        ck_assert_msg(by_accept(hostile[i]) == GB_VISIT_HOLD, "%s", hostile[i]);
    }
    /* and the next element is read all the same */
    ck_assert_int_eq(by_accept("te xt/\x01,text/html"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_accept("\"a,b\",text/html"), GB_VISIT_PAGE);
}
END_TEST

START_TEST(respond_async_wakes_nothing)
{
    static const char *const ignored[] = {
        "respond-async",
        "Respond-Async",
        "wait=10, respond-async",
        "respond-async, wait=0",
        "wait=0,respond-async",
        "respond-async;a=b",
        "a;b=\"c,d\",respond-async",
        "respond-async=\"\"",
        "respond-async=",
        "x=y z, respond-async",
        " \trespond-async\t ",
    };
    static const char *const not_ignored[] = {
        "",
        "respond-asynchron",
        "x-respond-async",
        "respond-async=no",
        "a;respond-async",
        "a=respond-async",
        "a=\"x,respond-async\"",
        "a=\"x,respond-async",
        "respond-async x",
        "respond async",
        "return=minimal",
    };

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        ck_assert_msg(by_prefer(ignored[i]) == GB_VISIT_IGNORE, "%s", ignored[i]);
    }
    for (size_t i = 0; i < sizeof(not_ignored) / sizeof(not_ignored[0]); i++) {
        ck_assert_msg(by_prefer(not_ignored[i]) == GB_VISIT_PAGE, "%s", not_ignored[i]);
    }
}
END_TEST

START_TEST(wait_0_is_not_held)
{
    ck_assert_int_eq(by_prefer("wait=0"), GB_VISIT_REFUSE);
    ck_assert_int_eq(by_prefer("return=minimal, Wait = \"00\"; x"), GB_VISIT_REFUSE);
    ck_assert_int_eq(by_prefer("wait=0, wait=9"), GB_VISIT_REFUSE);
    ck_assert_int_eq(by_prefer("wait=9, wait=0"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_prefer("wait=01"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_prefer("wait=-0"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_prefer("wait="), GB_VISIT_PAGE);
    ck_assert_int_eq(by_prefer("wait"), GB_VISIT_PAGE);
    ck_assert_int_eq(by_prefer("wait=\"0"), GB_VISIT_PAGE);
}
END_TEST

START_TEST(waiting_page_tells_that_it_is_looked_at)
{
    gb_visit_t visit = {.method = "HEAD", .prefer = "wait=0"};

    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_PAGE);
    ck_assert_int_eq(gb_visit_class(&visit, false), GB_VISIT_REFUSE);
    visit.prefer = "wait=0, respond-async";
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_IGNORE);
    visit.prefer = "wait=1";
    ck_assert_int_eq(gb_visit_class(&visit, true), GB_VISIT_HOLD);
}
END_TEST

START_TEST(json_is_for_those_who_like_it_better)
{
    static const char *const json[] = {
        "application/json",
        "application/problem+json",
        "application/vnd.api+json",
        "application/*",
        "application/json, */*;q=0.5",
        "application/json, text/javascript, */*; q=0.01",
        "text/plain;q=0.2, application/json;q=0.3",
        "*/*, text/plain;q=0.1, text/html;q=0.1",
    };
    static const char *const text[] = {
        NULL,
        "",
        "*/*",
        CHROME,
        "application/json, text/plain, */*",
        "text/html, application/json",
        "application/json;q=0",
        "image/png",
        "application/json;q=0.3, text/*;q=0.4",
        "application/jsonp",
        "+json",
    };

    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        ck_assert_msg(gb_visit_likes_json(json[i]), "%s", json[i]);
    }
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
        ck_assert_msg(!gb_visit_likes_json(text[i]), "%s", text[i] ? text[i] : "NULL");
    }
}
END_TEST

START_TEST(long_fields_are_read_once)
{
    static char field[2 * 1024 * 1024];
    static const char *const pieces[] = {"a;",  "a,", "\"",  "a=\"\\",
                                         ";=,", " ",  "q=0;"};

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size_t bytes = strlen(pieces[i]), at = 0;

        for (; at + bytes < sizeof(field); at += bytes) {
            memcpy(field + at, pieces[i], bytes);
        }
        field[at] = '\0';
        (void)by_accept(field);
        (void)by_prefer(field);
        (void)gb_visit_likes_json(field);
        ck_assert_int_eq(class_of("GET", CHROME, field, field), GB_VISIT_HOLD);
    }
}
END_TEST

START_TEST(seconds_are_rounded_up)
{
    ck_assert_uint_eq(gb_visit_seconds(INT64_MIN), 1);
    ck_assert_uint_eq(gb_visit_seconds(0), 1);
    ck_assert_uint_eq(gb_visit_seconds(1), 1);
    ck_assert_uint_eq(gb_visit_seconds(GB_US_PER_S), 1);
    ck_assert_uint_eq(gb_visit_seconds(GB_US_PER_S + 1), 2);
    ck_assert_uint_eq(gb_visit_seconds(40 * GB_US_PER_S), 40);
    ck_assert_uint_eq(gb_visit_seconds(INT64_MAX), INT32_MAX);
}
END_TEST

START_TEST(words_are_as_exact_as_a_guess)
{
    static const struct {
        int64_t seconds;
        const char *words;
    } rows[] = {
        {-5, "a few seconds"},    {7, "a few seconds"},       {8, "about 10 seconds"},
        {38, "about 40 seconds"}, {57, "about 55 seconds"},   {58, "about a minute"},
        {89, "about a minute"},   {90, "about 2 minutes"},    {149, "about 2 minutes"},
        {150, "about 3 minutes"}, {3569, "about 59 minutes"}, {3570, "about an hour"},
        {5400, "about 2 hours"},  {86400, "about 24 hours"},
    };
    char text[32];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gb_visit_words(rows[i].seconds * GB_US_PER_S, text, sizeof(text));
        ck_assert_str_eq(text, rows[i].words);
    }
    gb_visit_words(INT64_MAX, text, sizeof(text));
    ck_assert_str_eq(text, "about 596523 hours");
    gb_visit_words(GB_US_PER_S, text, 6);
    ck_assert_str_eq(text, "a few");
}
END_TEST

Suite *gb_visit_suite(void)
{
    Suite *suite = suite_create("gb_visit");
    TCase *tc = tcase_create("visit");

    tcase_add_test(tc, page_load_of_a_browser_gets_the_page);
    tcase_add_test(tc, everything_else_is_held);
    tcase_add_test(tc, html_has_to_be_named);
    tcase_add_test(tc, what_cannot_be_read_says_nothing);
    tcase_add_test(tc, respond_async_wakes_nothing);
    tcase_add_test(tc, wait_0_is_not_held);
    tcase_add_test(tc, waiting_page_tells_that_it_is_looked_at);
    tcase_add_test(tc, json_is_for_those_who_like_it_better);
    tcase_add_test(tc, long_fields_are_read_once);
    tcase_add_test(tc, seconds_are_rounded_up);
    tcase_add_test(tc, words_are_as_exact_as_a_guess);
    suite_add_tcase(suite, tc);
    return suite;
}
