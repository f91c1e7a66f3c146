/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_schedule.c - hours of the week, by the wall clock of a time zone.
 */
#include "gb_schedule.h"
#include "gb_ascii.h"

#include <string.h>

#define DAYS     7u
#define ALL_DAYS 0x7fu

/* No instant may overflow, whatever a damaged clock says. */
#define UTC_MOST    (INT64_C(1) << 53)
#define OFFSET_MOST (INT64_C(2) * GB_DAY_S)

/* ------------------------------------------------------------------ reading */

/* Takes `word` off the text, in any case. */
static bool take_word(const char **text, const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i < length; i++) {
        if (gb_ascii_lower((*text)[i]) != word[i]) {
            return false;
        }
    }
    *text += length;
    return true;
}

static bool take_day(const char **text, uint32_t *day)
{
    static const char *const names[DAYS] = {"mon", "tue", "wed", "thu",
                                            "fri", "sat", "sun"};

    for (*day = 0; *day < DAYS; ++*day) {
        if (take_word(text, names[*day])) {
            return true;
        }
    }
    return false;
}

static bool take_days(const char **text, uint32_t *days)
{
    *days = 0;
    if (take_word(text, "*") || take_word(text, "daily")) {
        *days = ALL_DAYS;
        return true;
    }
    do {
        uint32_t first, last;

        if (!take_day(text, &first)) {
            return false;
        }
        last = first;
        if (take_word(text, "-") && !take_day(text, &last)) {
            return false;
        }
        *days |= 1u << last;
        for (; first != last; first = (first + 1) % DAYS) {
            *days |= 1u << first;
        }
    } while (take_word(text, ","));
    return true;
}

static bool take_two(const char **text, uint32_t *number)
{
    const char *at = *text;

    if (!gb_ascii_is_digit(at[0]) || !gb_ascii_is_digit(at[1])) {
        return false;
    }
    *number = (uint32_t)(at[0] - '0') * 10 + (uint32_t)(at[1] - '0');
    *text += 2;
    return true;
}

static bool take_time(const char **text, uint32_t *second)
{
    uint32_t hours, minutes;

    if (!take_two(text, &hours) || !take_word(text, ":") || !take_two(text, &minutes)) {
        return false;
    }
    *second = hours * 3600 + minutes * 60;
    return minutes < 60 && *second <= GB_DAY_S;
}

bool gb_schedule_parse(const char *text, gb_schedule_t *schedule)
{
    gb_schedule_t read;

    if (!text || !take_days(&text, &read.days) || (*text != ' ' && *text != '\t')) {
        return false;
    }
    text += strspn(text, " \t");
    if (!take_time(&text, &read.from_s) || !take_word(&text, "-") ||
        !take_time(&text, &read.to_s) || *text || read.from_s == read.to_s ||
        read.from_s == GB_DAY_S) {
        return false;
    }
    *schedule = read;
    return true;
}

/* ------------------------------------------------------------------ looking up */

static bool begins_on(const gb_schedule_t *schedule, uint32_t weekday)
{
    return schedule->days & (1u << weekday % DAYS);
}

bool gb_schedule_holds(const gb_schedule_t *schedule, gb_local_t at)
{
    if (schedule->from_s < schedule->to_s) {
        return begins_on(schedule, at.weekday) && at.second >= schedule->from_s &&
               at.second < schedule->to_s;
    }
    return (begins_on(schedule, at.weekday) && at.second >= schedule->from_s) ||
           (begins_on(schedule, at.weekday + DAYS - 1) && at.second < schedule->to_s);
}

uint32_t gb_schedule_wait_s(const gb_schedule_t *schedule, gb_local_t at)
{
    if (gb_schedule_holds(schedule, at)) {
        return 0;
    }
    for (uint32_t day = 0; day <= DAYS; day++) {
        if (begins_on(schedule, at.weekday + day) &&
            (day > 0 || schedule->from_s > at.second)) {
            return day * GB_DAY_S + schedule->from_s - at.second;
        }
    }
    return UINT32_MAX;
}

gb_local_t gb_zone_local(const gb_zone_t *zone, int64_t utc_s)
{
    uint32_t from = 0, to = zone->count;
    int64_t offset_s, local_s, day;

    utc_s = utc_s > UTC_MOST ? UTC_MOST : utc_s < -UTC_MOST ? -UTC_MOST : utc_s;
    while (to - from > 1) { /* the change in force is within from..to */
        uint32_t middle = from + (to - from) / 2;

        if (zone->changes[middle].from_s <= utc_s) {
            from = middle;
        }
        else {
            to = middle;
        }
    }
    offset_s = zone->count ? zone->changes[from].offset_s : 0;
    offset_s = offset_s > OFFSET_MOST    ? OFFSET_MOST
               : offset_s < -OFFSET_MOST ? -OFFSET_MOST
                                         : offset_s;
    local_s = utc_s + offset_s;
    day = local_s / GB_DAY_S - (local_s % GB_DAY_S < 0);
    /* 1970 began on a Thursday. */
    return (gb_local_t){.weekday = (uint32_t)(((day + 3) % DAYS + DAYS) % DAYS),
                        .second = (uint32_t)(local_s - day * GB_DAY_S)};
}

/* The wait is by the wall clock, which may be put forward meanwhile: then the end of
 * the time ahead is within the schedule, while the wait looks too long. */
bool gb_schedule_due(const gb_schedule_t *schedule, const gb_zone_t *zone,
                     int64_t utc_s, uint32_t ahead_s)
{
    return gb_schedule_wait_s(schedule, gb_zone_local(zone, utc_s)) <= ahead_s ||
           gb_schedule_holds(
               schedule,
               gb_zone_local(zone, utc_s > UTC_MOST ? utc_s : utc_s + ahead_s));
}

static bool is_due_in(const gb_schedule_t *schedule, const gb_zone_t *zone,
                      int64_t utc_s, uint32_t boot_s, uint32_t boots)
{
    uint64_t ahead_s = (uint64_t)boot_s * boots;

    return gb_schedule_due(schedule, zone, utc_s,
                           ahead_s < GB_DAY_S ? (uint32_t)ahead_s : GB_DAY_S);
}

/* The last ones are ordered one boot before, those before them one boot earlier. */
uint32_t gb_schedule_floor(const gb_schedule_t *schedule, const gb_zone_t *zone,
                           int64_t utc_s, uint32_t servers, uint32_t at_once,
                           uint32_t boot_s)
{
    uint32_t each = at_once > 0 ? at_once : 1;
    uint32_t low = 1, high = servers > 0 ? (servers - 1) / each + 1 : 1;

    if (!is_due_in(schedule, zone, utc_s, boot_s, high)) {
        return 0;
    }
    while (low < high) { /* the fewest boots before it that this moment is within */
        uint32_t middle = low + (high - low) / 2;

        if (is_due_in(schedule, zone, utc_s, boot_s, middle)) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return servers - (low - 1) * each;
}
