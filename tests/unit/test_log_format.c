/* SPDX-License-Identifier: Apache-2.0
 *
 * test_log_format.c - LogFormat strings as in httpd.conf, and lines as httpd writes
 * them.
 */
#include "sim/log_format.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define AT    "[22/Nov/2026:08:30:20 +0100]"
#define AT_US INT64_C(1795332620000000)

static gs_log_format_t format;

static bool compiles(const char *text, gs_error_t *error)
{
    return gs_log_format_read(&format, text, error);
}

static bool fits(const char *line, gs_log_entry_t *entry, gs_log_miss_t *miss)
{
    return gs_log_format_match(&format, line, strlen(line), entry, miss);
}

static const struct {
    const char *format, *line;
    int64_t took_us;
} good[] = {
    {"common", "10.0.0.1 - - " AT " \"GET / HTTP/1.1\" 200 17", -1},
    {"common", "::1 - - " AT " \"GET / HTTP/1.1\" 304 -", -1},
    {"common", "h - John Smith " AT " \"-\" 408 -", -1},
    {"common", "h - a [b " AT " \"GET /\\\" \\\\\" 200 1", -1},
    {"combined", "h - - " AT " \"GET /a b HTTP/1.1\" 200 17 \"-\" \"x\"", -1},
    {"combined", "h - - " AT " \"\" 400 0 \"\" \"\"", -1},
    {"combined", "h - - " AT " \"GET /\" 200 17 \"-\" \"a \\\"quoted\\\" name\\\\\"",
     -1},
    {"vhost_combined", "www.example.org:443 h - - " AT " \"GET /\" 200 5 \"-\" \"-\"",
     -1},
    {"combinedio", "h - - " AT " \"GET /\" 200 17 \"-\" \"-\" 400 9000", -1},
    {"%t %D", AT " 1500", 1500},
    {"%t %T", AT " 2", 2000000},
    {"%t %{s}T", AT " 2", 2000000},
    {"%t %{ms}T", AT " 25", 25000},
    {"%t %{us}T", AT " 25", 25},
    {"%t %D", AT " -12", -1},
    {"%t %T/%D", AT " 2/1999999", 1999999},
    {"%t %{ms}T %{us}T %T", AT " 25 24999 0", 24999},
    {"%t %<D", AT " 7", 7},
    {"%t %200,304D", AT " -", -1},
    {"%t %!200,304,302{Referer}i %D", AT " - 8", 8},
    {"%t \"%!200,304{User-agent}i\" %>s %D", AT " \"-\" 200 8", 8},
    {"%h %l %u %t \\\"%r\\\" %>s %b %D", "h - - " AT " \"GET /\" 200 - 9", 9},
    {"\"%h %t \\\"%r\\\" %D\"", "h " AT " \"GET /\" 9", 9},
    {"LogFormat \"%h %t \\\"%r\\\" %D\" timed", "h " AT " \"GET /\" 9", 9},
    {"logformat\t\"%t %D\"", AT " 9", 9},
    {"%t %U %D", AT " /a b 3 c 9", 9},
    {"%t %{X-Trace}i %{cookie}C %D", AT " a b c 9", 9},
    {"%t\\t%D", AT "\t9", 9},
    {"%t 100%% %D", AT " 100% 9", 9},
    {"%%%t%%%D", "%" AT "%9", 9},
    {"time=%t took=%D", "time=" AT " took=9", 9},
    {"%t %{UNIT}n %^FB %{Foo}^ti %D", AT " - 12 x 9", 9},
    {"%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t %D", "22/Nov/2026 08:30:20.000 +0100 9", 9},
    {"%{sec}t %D", "1795332620 9", 9},
    {"{\"at\":%{sec}t,\"took\":%D,\"ua\":\"%{User-Agent}i\"}",
     "{\"at\":1795332620,\"took\":9,\"ua\":\"a\\\"}\"}", 9},
    {"%{end:sec}t %D", "1795332621 1000000", 1000000},
    {"%{end:usec}t %D", "1795332620000009 9", 9},
};

START_TEST(line_fits_its_format)
{
    gs_error_t error;
    gs_log_entry_t entry;
    gs_log_miss_t miss;
    char why[300] = "";
    bool done;

    ck_assert_msg(compiles(good[_i].format, &error), "%s: %s", good[_i].format,
                  error.text);
    done = fits(good[_i].line, &entry, &miss);
    if (!done) {
        gs_log_miss_text(&format, &miss, why, sizeof why);
    }
    ck_assert_msg(done, "%s | %s: %s", good[_i].format, good[_i].line, why);
    ck_assert_msg(entry.at_us == AT_US, "%s: %lld", good[_i].line,
                  (long long)entry.at_us);
    ck_assert_int_eq(entry.took_us, good[_i].took_us);
}
END_TEST

static const struct {
    const char *format, *line, *why;
} bad[] = {
    {"common", "", "expected %h from character 1 on, and then ' '"},
    {"common", "h - - " AT " \"GET / HTTP/1.1\" 200",
     "expected ' ' after %>s at character 56"},
    {"common", "h - - " AT " \"GET / HTTP/1.1\" 200 17 \"-\"",
     "expected its end at character 59"},
    {"common", "h - - 2026-11-22 \"GET / HTTP/1.1\" 200 17",
     "expected a time like [22/Nov/2026:08:30:20 +0100] for %t at character"},
    {"common", "h - - " AT " \"GET / HTTP/1.1\" x 17",
     "expected a number for %>s at character 53"},
    {"common", "h - - [31/Nov/2026:08:30:20 +0100] \"GET /\" 200 17",
     "there is no such day since 1970"},
    {"combined", "h - - " AT " \"GET /\" 200 17 \"-\" \"x\\\"",
     "expected %{User-Agent}i from character"},
    {"%t %D", AT " 1.5", "expected its end at character 31"},
    {"at %t %D", AT " 15", "expected \"at \" at its beginning"},
    {"%{%F %T}t", "2026-11-22T08:30:20",
     "expected a time of that form for %{%F %T}t at character 1"},
};

START_TEST(line_that_does_not_fit_says_where)
{
    gs_error_t error;
    gs_log_entry_t entry;
    gs_log_miss_t miss;
    char why[300];

    ck_assert_msg(compiles(bad[_i].format, &error), "%s", error.text);
    ck_assert_msg(!fits(bad[_i].line, &entry, &miss), "%s", bad[_i].line);
    gs_log_miss_text(&format, &miss, why, sizeof why);
    ck_assert_msg(strncmp(why, bad[_i].why, strlen(bad[_i].why)) == 0, "%s: %s",
                  bad[_i].line, why);
}
END_TEST

static const struct {
    const char *format, *why;
} refused[] = {
    {"", "has no directive"},
    {"comon", "common, combined, vhost_combined, combinedio"},
    {"%h %D", "%t"},
    {"%h %{%F}t", "the hour"},
    {"%200t %D", "%t"},
    {"%h %t %", "no letter"},
    {"%h %t %{x", "no letter"},
    {"%h %t %(", "no letter"},
    {"%h%u %t", "between %h"},
    {"%D%t", "between %D"},
    {"%t %{min}T", "s, ms or us"},
    {"%{%Q}t", "%Q"},
    {"LogFormat %h", "quotation"},
    {"LogFormat \"%h", "quotation"},
};

START_TEST(format_of_no_use_is_refused)
{
    gs_error_t error;

    ck_assert_msg(!compiles(refused[_i].format, &error), "%s", refused[_i].format);
    ck_assert_msg(strstr(error.text, refused[_i].why) != NULL, "%s: %s",
                  refused[_i].format, error.text);
}
END_TEST

START_TEST(format_without_bounds_is_refused)
{
    static char text[20000];
    gs_error_t error;

    memset(text, 'x', sizeof text - 1);
    memcpy(text, "%t", 2);
    ck_assert(!compiles(text, &error));
    for (size_t i = 0; i < 100; i++) {
        memcpy(text + 3 * i, "%h ", 4);
    }
    ck_assert(!compiles(text, &error));
    for (size_t i = 0; i < 20; i++) {
        memcpy(text + 3 * i, "%t ", 4);
    }
    ck_assert(!compiles(text, &error));
}
END_TEST

/* What could be cut in many ways must not take for ever. */
START_TEST(ambiguous_line_comes_to_an_end)
{
    static char line[100000];
    gs_error_t error;
    gs_log_entry_t entry;
    gs_log_miss_t miss;

    ck_assert(compiles("%a %f %U %q %u %i %o %n %t", &error));
    memset(line, ' ', sizeof line - 1);
    for (int i = 0; i < 100; i++) {
        ck_assert(!fits(line, &entry, &miss));
    }
}
END_TEST

/* Nothing behind the end of a line is looked at: it is in memory of just its size. */
START_TEST(line_is_not_read_beyond_its_end)
{
    static const char whole[] = "h - - " AT " \"GET / HTTP/1.1\" 200 17 \"-\" \"x\"";
    gs_error_t error;
    gs_log_entry_t entry;
    gs_log_miss_t miss;

    ck_assert(compiles("combined", &error));
    for (size_t bytes = 0; bytes <= sizeof whole - 1; bytes++) {
        char *line = malloc(bytes ? bytes : 1);

        ck_assert_ptr_nonnull(line);
        memcpy(line, whole, bytes);
        ck_assert_int_eq(gs_log_format_match(&format, line, bytes, &entry, &miss),
                         bytes == sizeof whole - 1);
        free(line);
    }
}
END_TEST

Suite *log_format_suite(void);
Suite *log_format_suite(void)
{
    Suite *suite = suite_create("log_format");
    TCase *tcase = tcase_create("log_format");

    tcase_add_loop_test(tcase, line_fits_its_format, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tcase, line_that_does_not_fit_says_where, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(tcase, format_of_no_use_is_refused, 0,
                        sizeof refused / sizeof refused[0]);
    tcase_add_test(tcase, format_without_bounds_is_refused);
    tcase_add_test(tcase, ambiguous_line_comes_to_an_end);
    tcase_add_test(tcase, line_is_not_read_beyond_its_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
