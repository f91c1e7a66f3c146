/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_schedule.c - texts of GreenSchedule, tables of zones, and any instant
 * (libFuzzer's entry point).
 *
 * What is accepted holds at some time of the week and not at some other, unless it is
 * the whole of it; the wait never exceeds a week; local times are within their bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
    if (!right) {
        abort();
    }
}

static void check_schedule(const gb_schedule_t *schedule)
{
    uint32_t minutes = 0;

    check(schedule->days > 0 && schedule->days < 128);
    check(schedule->from_s < GB_DAY_S && schedule->to_s <= GB_DAY_S &&
          schedule->from_s != schedule->to_s);
    for (uint32_t m = 0; m < 7 * 1440; m++) {
        gb_local_t at = {m / 1440, m % 1440 * 60};
        uint32_t wait_s = gb_schedule_wait_s(schedule, at);

        check(wait_s <= 7 * GB_DAY_S);
        check((wait_s == 0) == gb_schedule_holds(schedule, at));
        minutes += wait_s == 0;
    }
    check(minutes > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_zone_change_t changes[4];
    gb_zone_t zone = {changes, 0};
    gb_schedule_t schedule;
    int64_t utc_s = 0;
    uint32_t wanted;
    char text[64];

    if (size == 0) {
        return 0;
    }
    wanted = *data++ % 5u;
    size--;
    while (zone.count < wanted && size >= sizeof changes[0]) {
        memcpy(&changes[zone.count++], data, sizeof changes[0]);
        data += sizeof changes[0];
        size -= sizeof changes[0];
        utc_s ^= changes[zone.count - 1].from_s;
    }
    check(gb_zone_local(&zone, utc_s).weekday < 7);
    check(gb_zone_local(&zone, utc_s).second < GB_DAY_S);
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    if (gb_schedule_parse(text, &schedule)) {
        check_schedule(&schedule);
        (void)gb_schedule_due(&schedule, &zone, utc_s, (uint32_t)utc_s);
    }
    return 0;
}
