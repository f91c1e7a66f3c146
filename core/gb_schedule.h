/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_schedule.h - hours of the week, by the wall clock of a time zone.
 *
 * A schedule is days and a span of the day: "Mon-Fri 08:00-18:00".  A span that ends
 * before it begins goes on after midnight and belongs to the day on which it began:
 * "Fri 22:00-06:00" holds until Saturday, six o'clock.  The wall clock counts: in the
 * night in which clocks are put forward, what begins within the hour that is left out
 * begins after it; in the one in which they are put back, an hour holds twice.
 *
 * The core has no time zones: the caller makes a table of the offsets of a zone.
 */
#ifndef GB_SCHEDULE_H
#define GB_SCHEDULE_H

#include "gb_types.h"

#define GB_DAY_S 86400u

typedef struct gb_schedule_t {
    uint32_t days; /* on which it begins; bit 0: Monday ... bit 6: Sunday */
    uint32_t from_s;
    uint32_t to_s; /* of the day, at most GB_DAY_S; less than from_s: of the next day */
} gb_schedule_t;

/* From `from_s` (seconds since 1970, UTC) on, local time is UTC plus `offset_s`. */
typedef struct gb_zone_change_t {
    int64_t from_s;
    int64_t offset_s;
} gb_zone_change_t;

/* Ascending; before the first one its offset holds, too.  None at all: UTC. */
typedef struct gb_zone_t {
    const gb_zone_change_t *changes;
    uint32_t count;
} gb_zone_t;

typedef struct gb_local_t {
    uint32_t weekday; /* 0: Monday ... 6: Sunday */
    uint32_t second;  /* of the day, 0..86399 */
} gb_local_t;

/* Reads "DAYS HH:MM-HH:MM".  DAYS is a list of days and ranges of days, "Mon,Wed-Fri",
 * or "*" or "daily"; a range may go over Sunday.  24:00 is an end, not a begin; a span
 * of no length is refused.  False: it is none, and nothing is written.  All functions
 * are pure. */
bool gb_schedule_parse(const char *text, gb_schedule_t *schedule);

/* Does it hold at that moment of the week? */
bool gb_schedule_holds(const gb_schedule_t *schedule, gb_local_t at);

/* Seconds by the wall clock until it holds; 0: it does.  At most a week; a schedule
 * without days: UINT32_MAX. */
uint32_t gb_schedule_wait_s(const gb_schedule_t *schedule, gb_local_t at);

/* What clocks show at `utc_s`.  Cost: logarithmic in the changes. */
gb_local_t gb_zone_local(const gb_zone_t *zone, int64_t utc_s);

/* Does it hold now, or will it within `ahead_s`? */
bool gb_schedule_due(const gb_schedule_t *schedule, const gb_zone_t *zone,
                     int64_t utc_s, uint32_t ahead_s);

/* How many servers have to be awake or on their way now, so that `servers` are awake
 * when it holds, where `at_once` (0: one) boot at a time for `boot_s`: it rises by
 * steps, and never goes down before the schedule has ended.  No more than a day ahead.
 * 0: none yet.  Cost: logarithmic in the steps, of gb_schedule_due(). */
uint32_t gb_schedule_floor(const gb_schedule_t *schedule, const gb_zone_t *zone,
                           int64_t utc_s, uint32_t servers, uint32_t at_once,
                           uint32_t boot_s);

#endif /* GB_SCHEDULE_H */
