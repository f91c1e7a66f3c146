/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_schedule.c - hours of the week, and the wall clock of a zone.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include "core/gb_schedule.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *gb_schedule_suite(void);

enum { MON, TUE, WED, THU, FRI, SAT, SUN };

#define AT(day, hours, minutes)                                                        \
    ((gb_local_t){.weekday = (day), .second = (hours)*3600u + (minutes)*60u})

/* Europe/Berlin in 2026: summer time from 29 March, 01:00 UTC, to 25 October. */
#define SPRING INT64_C(1774746000)
#define AUTUMN INT64_C(1792890000)
static const gb_zone_change_t berlin_changes[] = {
    {SPRING - 154 * 86400, 3600}, {SPRING, 7200}, {AUTUMN, 3600}};
static const gb_zone_t berlin = {berlin_changes, 3};
static const gb_zone_t utc = {NULL, 0};

static gb_schedule_t schedule_of(const char *text)
{
    gb_schedule_t schedule = {0};

    ck_assert_msg(gb_schedule_parse(text, &schedule), "%s", text);
    return schedule;
}

START_TEST(texts_are_read)
{
    static const struct {
        const char *text;
        uint32_t days, from_s, to_s;
    } good[] = {
        {"Mon-Fri 08:00-18:00", 0x1f, 28800, 64800},
        {"Mon 00:00-24:00", 0x01, 0, 86400},
        {"mon,WED,Fri 07:30-07:31", 0x15, 27000, 27060},
        {"Sat-Mon \t 22:00-06:00", 0x61, 79200, 21600},
        {"Sun-Sat 23:59-00:00", 0x7f, 86340, 0},
        {"Mon-Tue,Thu-Thu,Sun 01:00-02:00", 0x4b, 3600, 7200},
        {"* 12:00-13:00", 0x7f, 43200, 46800},
        {"Daily 12:00-13:00", 0x7f, 43200, 46800},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        gb_schedule_t read = schedule_of(good[i].text);

        ck_assert_msg(read.days == good[i].days && read.from_s == good[i].from_s &&
                          read.to_s == good[i].to_s,
                      "%s: days %x, %u to %u", good[i].text, read.days, read.from_s,
                      read.to_s);
    }
}
END_TEST

START_TEST(other_texts_are_refused_and_write_nothing)
{
    static const char *const bad[] = {
        "",
        "Mon",
        "Mon ",
        "08:00-18:00",
        "Mon-Fri08:00-18:00",
        " Mon 08:00-18:00",
        "Mon 08:00-18:00 ",
        "Mon 8:00-18:00",
        "Mon 08:00",
        "Mon 08:00-",
        "Mon 08:00 - 18:00",
        "Mon 08:60-18:00",
        "Mon 24:00-08:00",
        "Mon 08:00-24:01",
        "Mon 08:00-25:00",
        "Mon 08:00-08:00",
        "Mon 00:00-00:00",
        "Montag 08:00-18:00",
        "Mon- 08:00-18:00",
        "Mon,, 08:00-18:00",
        "Mon, 08:00-18:00",
        "Mon-*  08:00-18:00",
        "*,Mon 08:00-18:00",
        "Mon-Wed-Fri 08:00-18:00",
        "Mo 08:00-18:00",
        "Mon 08:00-18:00x",
        "Mon 08:00-18:00:00",
        "Mon +8:00-18:00",
        "Mon -1:00-18:00",
        "Mon 08.00-18.00",
        "Mon\n08:00-18:00",
    };
    gb_schedule_t before, schedule;

    memset(&schedule, 0x5a, sizeof schedule);
    before = schedule;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!gb_schedule_parse(bad[i], &schedule), "%s", bad[i]);
        ck_assert_int_eq(memcmp(&schedule, &before, sizeof schedule), 0);
    }
    ck_assert(!gb_schedule_parse(NULL, &schedule));
}
END_TEST

START_TEST(begin_counts_and_end_does_not)
{
    gb_schedule_t office = schedule_of("Mon-Fri 08:00-18:00");

    ck_assert(!gb_schedule_holds(&office, AT(MON, 7, 59)));
    ck_assert(gb_schedule_holds(&office, AT(MON, 8, 0)));
    ck_assert(gb_schedule_holds(&office, AT(FRI, 17, 59)));
    ck_assert(!gb_schedule_holds(&office, AT(FRI, 18, 0)));
    ck_assert(!gb_schedule_holds(&office, AT(SAT, 12, 0)));
}
END_TEST

START_TEST(what_crosses_midnight_belongs_to_its_first_day)
{
    gb_schedule_t night = schedule_of("Fri,Sun 22:00-06:00");

    ck_assert(!gb_schedule_holds(&night, AT(FRI, 5, 0)));
    ck_assert(gb_schedule_holds(&night, AT(FRI, 22, 0)));
    ck_assert(gb_schedule_holds(&night, AT(SAT, 5, 59)));
    ck_assert(!gb_schedule_holds(&night, AT(SAT, 6, 0)));
    ck_assert(!gb_schedule_holds(&night, AT(SAT, 22, 0)));
    ck_assert(gb_schedule_holds(&night, AT(MON, 0, 0)));
    ck_assert(!gb_schedule_holds(&night, AT(MON, 22, 0)));
}
END_TEST

START_TEST(wait_is_until_the_next_begin)
{
    gb_schedule_t office = schedule_of("Mon-Fri 08:00-18:00");
    gb_schedule_t monday = schedule_of("Mon 08:00-09:00");
    gb_schedule_t never = {0, 0, 60};

    ck_assert_uint_eq(gb_schedule_wait_s(&office, AT(MON, 7, 59)), 60);
    ck_assert_uint_eq(gb_schedule_wait_s(&office, AT(MON, 8, 0)), 0);
    ck_assert_uint_eq(gb_schedule_wait_s(&office, AT(THU, 18, 0)), 14 * 3600);
    ck_assert_uint_eq(gb_schedule_wait_s(&office, AT(FRI, 18, 0)), 62 * 3600);
    ck_assert_uint_eq(gb_schedule_wait_s(&monday, AT(MON, 9, 0)), 7 * 86400 - 3600);
    ck_assert_uint_eq(gb_schedule_wait_s(&never, AT(MON, 9, 0)), UINT32_MAX);
}
END_TEST

static void seed_rand(void)
{
    const char *given = getenv("GB_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

    printf("test_gb_schedule: GB_SEED=%u\n", seed);
    srand(seed);
}

/* Minute by minute of a week, the schedules that are told apart by a look at every
 * minute; the wait is what one has to count. */
START_TEST(wait_and_hold_agree_over_random_weeks)
{
    seed_rand();
    for (int round = 0; round < 200; round++) {
        gb_schedule_t s = {.days = (uint32_t)rand() % 127 + 1,
                           .from_s = (uint32_t)(rand() % 1440) * 60,
                           .to_s = (uint32_t)(rand() % 1441) * 60};
        uint32_t at = (uint32_t)(rand() % (7 * 1440)), minutes = 0;
        gb_local_t start = {at / 1440, at % 1440 * 60};

        if (s.from_s == s.to_s) {
            continue;
        }
        while (!gb_schedule_holds(
            &s, (gb_local_t){(at + minutes) / 1440 % 7, (at + minutes) % 1440 * 60})) {
            minutes++;
            ck_assert_uint_le(minutes, 7 * 1440);
        }
        /* A span that ends at midnight and begins before it has no part after it. */
        ck_assert_uint_eq(gb_schedule_wait_s(&s, start), minutes * 60);
    }
}
END_TEST

START_TEST(local_time_follows_the_changes)
{
    gb_local_t at = gb_zone_local(&utc, 0);

    ck_assert(at.weekday == THU && at.second == 0);
    at = gb_zone_local(&utc, -1);
    ck_assert(at.weekday == WED && at.second == 86399);
    at = gb_zone_local(&berlin, SPRING - 1);
    ck_assert(at.weekday == SUN && at.second == 2 * 3600 - 1);
    at = gb_zone_local(&berlin, SPRING);
    ck_assert(at.weekday == SUN && at.second == 3 * 3600);
    at = gb_zone_local(&berlin, AUTUMN - 1);
    ck_assert(at.weekday == SUN && at.second == 3 * 3600 - 1);
    at = gb_zone_local(&berlin, AUTUMN);
    ck_assert(at.weekday == SUN && at.second == 2 * 3600);
    at = gb_zone_local(&berlin, 0); /* long before the table */
    ck_assert(at.weekday == THU && at.second == 3600);
}
END_TEST

START_TEST(any_instant_has_a_local_time)
{
    static const gb_zone_change_t wild[] = {{INT64_MIN, INT64_MAX}, {5, INT64_MIN}};
    static const int64_t instants[] = {INT64_MIN, -1, 0, 4, 5, INT64_MAX};
    const gb_zone_t zones[] = {{wild, 2}, berlin, utc};
    gb_schedule_t office = schedule_of("* 08:00-18:00");

    for (int z = 0; z < 3; z++) {
        for (int i = 0; i < 6; i++) {
            gb_local_t at = gb_zone_local(&zones[z], instants[i]);

            ck_assert_uint_lt(at.weekday, 7);
            ck_assert_uint_lt(at.second, 86400);
            (void)gb_schedule_due(&office, &zones[z], instants[i], UINT32_MAX);
        }
    }
}
END_TEST

START_TEST(due_is_ahead_of_the_begin)
{
    gb_schedule_t office = schedule_of("Mon-Fri 08:00-18:00");
    int64_t monday = SPRING + 86400 + 4 * 3600; /* 07:00 in Berlin */

    ck_assert(!gb_schedule_due(&office, &berlin, monday, 3599));
    ck_assert(gb_schedule_due(&office, &berlin, monday, 3600));
    ck_assert(gb_schedule_due(&office, &berlin, monday + 3600, 0));
    ck_assert(gb_schedule_due(&office, &berlin, monday + 11 * 3600 - 1, 600));
    ck_assert(!gb_schedule_due(&office, &berlin, monday + 11 * 3600, 600));
    /* Shorter than the time ahead: neither now nor then, and yet between. */
    office = schedule_of("Mon 07:10-07:11");
    ck_assert(gb_schedule_due(&office, &berlin, monday, 3600));
}
END_TEST

/* At 01:59 of the night in which clocks go from 02:00 to 03:00, three o'clock is a
 * minute ahead. */
START_TEST(due_knows_of_summer_time)
{
    gb_schedule_t early = schedule_of("Sun 03:00-05:00");

    ck_assert(gb_schedule_due(&early, &berlin, SPRING - 60, 120));
    ck_assert(!gb_schedule_due(&early, &utc, SPRING - 60, 120));
    /* What begins in the hour that is left out begins when clocks have moved on. */
    early = schedule_of("Sun 02:30-05:00");
    ck_assert(!gb_schedule_due(&early, &berlin, SPRING - 1, 0));
    ck_assert(gb_schedule_due(&early, &berlin, SPRING, 0));
}
END_TEST

START_TEST(a_floor_rises_by_what_boots_at_a_time)
{
    gb_schedule_t office = schedule_of("Mon 08:00-18:00");
    const int64_t eight = INT64_C(345600) + 8 * 3600; /* Monday, 5 January 1970 */

    /* Seven, two at a time, of 100 s: four batches. */
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 401, 7, 2, 100), 0);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 400, 7, 2, 100), 1);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 301, 7, 2, 100), 1);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 300, 7, 2, 100), 3);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 100, 7, 2, 100), 7);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight, 7, 2, 100), 7);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight + 36000, 7, 2, 100), 0);
    /* All at once; no boot to wait for; at_once not said. */
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 101, 7, 9, 100), 0);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 100, 7, 9, 100), 7);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 1, 7, 2, 0), 0);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 200, 2, 0, 100), 1);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight, 0, 0, 0), 0);
    /* What takes more than a day is not begun sooner. */
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 86401, 4096, 1, 86400),
                      0);
    ck_assert_uint_eq(gb_schedule_floor(&office, &utc, eight - 86400, 4096, 1, 86400),
                      4096);
    ck_assert_uint_ge(
        gb_schedule_floor(&office, &utc, eight, UINT32_MAX, 1, UINT32_MAX), 1);
}
END_TEST

/* Who orders what the floor asks for, so many at a time, has all awake at the hour; and
 * nobody whom it asked for is let go before. */
START_TEST(a_floor_is_reached_in_time_and_never_falls_before)
{
    gb_schedule_t office = schedule_of("Mon 08:00-18:00");
    const int64_t eight = INT64_C(345600) + 8 * 3600;

    seed_rand();
    for (int round = 0; round < 200; round++) {
        uint32_t servers = 1 + (uint32_t)rand() % 40, each = 1 + (uint32_t)rand() % 6;
        uint32_t boot_s = 1 + (uint32_t)rand() % 300, before = 0, awake = 0, coming = 0;
        int64_t ready_s = 0;

        for (int64_t now_s = eight - 13000; now_s <= eight; now_s++) {
            uint32_t floor =
                gb_schedule_floor(&office, &utc, now_s, servers, each, boot_s);

            ck_assert_uint_ge(floor, before);
            before = floor;
            if (coming && now_s >= ready_s) {
                awake += coming;
                coming = 0;
            }
            if (!coming && floor > awake) {
                coming = floor - awake < each ? floor - awake : each;
                ready_s = now_s + boot_s;
            }
        }
        ck_assert_msg(awake == servers, "%u of %u, %u at a time, %u s", awake, servers,
                      each, boot_s);
    }
}
END_TEST

Suite *gb_schedule_suite(void)
{
    Suite *suite = suite_create("gb_schedule");
    TCase *tests = tcase_create("gb_schedule");

    tcase_add_test(tests, texts_are_read);
    tcase_add_test(tests, other_texts_are_refused_and_write_nothing);
    tcase_add_test(tests, begin_counts_and_end_does_not);
    tcase_add_test(tests, what_crosses_midnight_belongs_to_its_first_day);
    tcase_add_test(tests, wait_is_until_the_next_begin);
    tcase_add_test(tests, wait_and_hold_agree_over_random_weeks);
    tcase_add_test(tests, local_time_follows_the_changes);
    tcase_add_test(tests, any_instant_has_a_local_time);
    tcase_add_test(tests, due_is_ahead_of_the_begin);
    tcase_add_test(tests, due_knows_of_summer_time);
    tcase_add_test(tests, a_floor_rises_by_what_boots_at_a_time);
    tcase_add_test(tests, a_floor_is_reached_in_time_and_never_falls_before);
    suite_add_tcase(suite, tests);
    return suite;
}
