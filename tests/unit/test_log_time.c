/* SPDX-License-Identifier: Apache-2.0
 *
 * test_log_time.c - times of an access log, against libc's calendar.
 */
#include "sim/log_time.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Reads `text` by `format`; INT64_MIN when it does not fit as a whole. */
static int64_t read_us(const char *format, const char *text, gs_log_day_t *day)
{
    gs_log_time_t time;
    gs_log_moment_t moment = {0};
    gs_log_day_t own = {0};
    gs_error_t error;
    const char *end = text + strlen(text), *missing;
    int64_t at_us;

    ck_assert_msg(gs_log_time_compile(&time, format, &error), "%s", error.text);
    ck_assert_msg(gs_log_time_suffices(time.tells, &missing), "%s: %s", format,
                  missing);
    if (gs_log_time_read(&time, day ? day : &own, text, end, &moment) != end ||
        !gs_log_moment_at(&moment, &at_us)) {
        return INT64_MIN;
    }
    return at_us;
}

static const struct {
    const char *format, *text;
    int64_t at_us;
} good[] = {
    {"", "[22/Nov/2026:08:30:20 +0000]", INT64_C(1795336220000000)},
    {"begin", "[22/Nov/2026:08:30:20 +0000]", INT64_C(1795336220000000)},
    {"end", "[22/Nov/2026:08:30:20 +0000]", INT64_C(1795336220000000)},
    {"", "[22/Nov/2026:09:30:20 +0100]", INT64_C(1795336220000000)},
    {"", "[22/Nov/2026:00:30:20 -0800]", INT64_C(1795336220000000)},
    {"", "[22/Nov/2026:14:15:20 +0545]", INT64_C(1795336220000000)},
    {"", "[31/Dec/2025:23:59:60 +0000]", INT64_C(1767225600000000)},
    {"", "[29/Feb/2024:00:00:00 +0000]", INT64_C(1709164800000000)},
    {"%d/%b/%Y %T", "22/Nov/2026 08:30:20", INT64_C(1795336220000000)},
    {"begin:%F %T %z", "2026-11-22 09:30:20 +0100", INT64_C(1795336220000000)},
    {"%c", "Sun Nov 22 08:30:20 2026", INT64_C(1795336220000000)},
    {"%D %r", "11/22/26 08:30:20 AM", INT64_C(1795336220000000)},
    {"%D %r", "11/22/26 12:30:20 AM", INT64_C(1795307420000000)},
    {"%D %r", "11/22/26 12:30:20 PM", INT64_C(1795350620000000)},
    {"%A, %e. %B %Y %k:%M:%S %Z", "Sunday, 22. November 2026  8:30:20 CET",
     INT64_C(1795336220000000)},
    {"%y%j%H%M%S", "26326083020", INT64_C(1795336220000000)},
    {"%s", "1795336220", INT64_C(1795336220000000)},
    {"sec", "1795336220", INT64_C(1795336220000000)},
    {"msec", "1795336220123", INT64_C(1795336220123000)},
    {"end:usec", "1795336220123456", INT64_C(1795336220123456)},
    {"%%%t%F%n%T", "%\t2026-11-22\n08:30:20", INT64_C(1795336220000000)},
};

START_TEST(time_is_read)
{
    ck_assert_msg(read_us(good[_i].format, good[_i].text, NULL) == good[_i].at_us,
                  "%s by %s: %lld", good[_i].text, good[_i].format,
                  (long long)read_us(good[_i].format, good[_i].text, NULL));
}
END_TEST

static const struct {
    const char *format, *text;
} bad[] = {
    {"", ""},
    {"", "["},
    {"", "[22/Nov/2026:08:30:20 +0000"},
    {"", "22/Nov/2026:08:30:20 +0000]"},
    {"", "[22/Nov/2026:24:30:20 +0000]"},
    {"", "[22/Nov/2026:08:60:20 +0000]"},
    {"", "[22/Nov/2026:08:30:61 +0000]"},
    {"", "[32/Nov/2026:08:30:20 +0000]"},
    {"", "[31/Nov/2026:08:30:20 +0000]"},
    {"", "[29/Feb/2026:08:30:20 +0000]"},
    {"", "[00/Nov/2026:08:30:20 +0000]"},
    {"", "[22/Nix/2026:08:30:20 +0000]"},
    {"", "[22/Nov/1969:08:30:20 +0000]"},
    {"", "[01/Jan/1970:00:30:00 +0100]"},
    {"", "[22/Nov/2026:08:30:20 +1960]"},
    {"", "[22/Nov/2026:08:30:20 0000]"},
    {"", "[22/Nov/2026:0x:30:20 +0000]"},
    {"", "[22/Nov/2026 08:30:20 +0000]"},
    {"%y%j%H%M%S", "26366083020"},
    {"%D %r", "11/22/26 13:30:20 AM"},
    {"%D %r", "11/22/26 08:30:20 XM"},
    {"sec", ""},
    {"sec", "-5"},
    {"sec", "99999999999"},
    {"usec", "99999999999999999999"},
};

/* Also once the day is known, where another way is taken. */
START_TEST(what_is_no_time_is_refused)
{
    gs_log_day_t day = {0};

    ck_assert(read_us("", "[22/Nov/2026:08:30:20 +0000]", &day) > 0);
    ck_assert(day.is_known);
    ck_assert_msg(read_us(bad[_i].format, bad[_i].text, &day) == INT64_MIN, "%s",
                  bad[_i].text);
    ck_assert_msg(read_us(bad[_i].format, bad[_i].text, NULL) == INT64_MIN, "%s",
                  bad[_i].text);
}
END_TEST

START_TEST(conversion_that_is_not_known_is_named)
{
    gs_log_time_t time;
    gs_error_t error;
    static const char *const formats[] = {"%Q", "%G-%V", "%", "end:%E", "%F %Oy"};
    char many[200] = "";

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        ck_assert_msg(!gs_log_time_compile(&time, formats[i], &error), "%s",
                      formats[i]);
    }
    ck_assert(!gs_log_time_compile(&time, "%F %Q", &error));
    ck_assert_msg(strstr(error.text, "%Q") != NULL, "%s", error.text);
    memset(many, '-', sizeof many - 1);
    ck_assert(!gs_log_time_compile(&time, many, &error));
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    static const struct {
        const char *format, *missing;
    } cases[] = {{"%T", "the year"},          {"%Y %T", "the day"},
                 {"%Y-%m %T", "the day"},     {"%F", "the hour"},
                 {"%F %I:%M:%S", "the hour"}, {"%F %H", "the minute"},
                 {"%F %R", "the second"}};
    gs_log_time_t time;
    gs_error_t error;
    const char *missing;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(gs_log_time_compile(&time, cases[i].format, &error));
        ck_assert(!gs_log_time_suffices(time.tells, &missing));
        ck_assert_str_eq(missing, cases[i].missing);
    }
}
END_TEST

/* Days in any order through one cache give what libc's calendar gives. */
START_TEST(any_second_is_what_the_calendar_says)
{
    const char *given = getenv("GB_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    gs_log_day_t day = {0};
    char text[64];

    printf("test_log_time: GB_SEED=%u\n", seed);
    srand(seed);
    for (int i = 0; i < 20000; i++) {
        time_t at =
            (time_t)(rand() % 60000) * 86400 / (i % 3 ? 1 : 7000) + rand() % 86400;
        int zone_minutes = rand() % 3 ? 60 : rand() % (24 * 60) - 12 * 60;
        time_t local = at + zone_minutes * 60;
        struct tm tm;
        size_t length;

        if (local < 0) {
            continue;
        }
        ck_assert_ptr_nonnull(gmtime_r(&local, &tm));
        length = strftime(text, sizeof text, "[%d/%b/%Y:%H:%M:%S ", &tm);
        snprintf(text + length, sizeof text - length, "%c%02d%02d]",
                 zone_minutes < 0 ? '-' : '+', abs(zone_minutes) / 60,
                 abs(zone_minutes) % 60);
        ck_assert_msg(read_us("", text, &day) == (int64_t)at * 1000000, "%s", text);
    }
}
END_TEST

Suite *log_time_suite(void);
Suite *log_time_suite(void)
{
    Suite *suite = suite_create("log_time");
    TCase *tcase = tcase_create("log_time");

    tcase_add_loop_test(tcase, time_is_read, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tcase, what_is_no_time_is_refused, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, conversion_that_is_not_known_is_named);
    tcase_add_test(tcase, what_is_missing_is_named);
    tcase_add_test(tcase, any_second_is_what_the_calendar_says);
    suite_add_tcase(suite, tcase);
    return suite;
}
