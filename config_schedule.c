/* SPDX-License-Identifier: Apache-2.0
 *
 * config_schedule.c - GreenSchedule, and the time zones that it goes by.
 *
 * libc knows one zone at a time, that of the variable TZ, which must not be touched
 * while threads run.  So a zone's offsets from UTC are looked up when the configuration
 * is read: the parent is single then.  Each restart looks years ahead anew; who runs
 * longer without one goes on with the last offset.
 */
#include "config_private.h"

#include "core/gb_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ZONE_DIR        "/usr/share/zoneinfo"
#define ZONE_NAME_MOST  64
#define DAY_S           INT64_C(86400)
#define LOOK_BACK_S     (2 * DAY_S)
#define LOOK_AHEAD_S    (10 * 366 * DAY_S)
#define LOOK_STEP_S     (DAY_S / 2) /* no zone changes its offset twice within it */
#define CHANGES_AT_ONCE 32

/* ------------------------------------------------------------------ zones */

/* Of the zone that is in force in this process; 0 when libc cannot tell. */
static int64_t offset_at(int64_t utc_s)
{
    time_t at = (time_t)utc_s;
    struct tm local;

    return localtime_r(&at, &local) ? (int64_t)local.tm_gmtoff : 0;
}

/* The first second of the offset that holds at `to_s` and did not at `from_s`. */
static int64_t change_between(int64_t from_s, int64_t to_s)
{
    const int64_t before_s = offset_at(from_s);

    while (to_s - from_s > 1) {
        int64_t middle_s = from_s + (to_s - from_s) / 2;

        if (offset_at(middle_s) == before_s) {
            from_s = middle_s;
        }
        else {
            to_s = middle_s;
        }
    }
    return to_s;
}

gb_zone_t mgb_config_local_zone(apr_pool_t *p)
{
    apr_array_header_t *changes =
        apr_array_make(p, CHANGES_AT_ONCE, sizeof(gb_zone_change_t));
    int64_t at_s = apr_time_sec(mgb_wall_us()) - LOOK_BACK_S;
    const int64_t end_s = at_s + LOOK_AHEAD_S;
    int64_t offset_s = offset_at(at_s);
    gb_zone_t zone;

    APR_ARRAY_PUSH(changes, gb_zone_change_t) = (gb_zone_change_t){at_s, offset_s};
    for (; at_s < end_s; at_s += LOOK_STEP_S) {
        int64_t next_s = offset_at(at_s + LOOK_STEP_S);

        if (next_s != offset_s) {
            APR_ARRAY_PUSH(changes, gb_zone_change_t) =
                (gb_zone_change_t){change_between(at_s, at_s + LOOK_STEP_S), next_s};
            offset_s = next_s;
        }
    }
    zone.changes = (const gb_zone_change_t *)changes->elts;
    zone.count = (uint32_t)changes->nelts;
    return zone;
}

/* A name as in tz's database; it becomes part of a path. */
static bool is_zone_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length < ZONE_NAME_MOST && apr_isalnum(name[0]) &&
           !strstr(name, "..") &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789_+-./") == length;
}

/* libc takes a zone that it does not know for UTC, silently. */
static bool zone_exists(apr_pool_t *p, const char *name)
{
    const char *dir = getenv("TZDIR");
    const char *path = apr_pstrcat(p, dir ? dir : ZONE_DIR, "/", name, NULL);
    char magic[4];
    struct stat st;
    FILE *file;
    bool exists;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    file = fopen(path, "re");
    exists = file && fread(magic, sizeof magic, 1, file) == 1 &&
             memcmp(magic, "TZif", sizeof magic) == 0;
    if (file) {
        (void)fclose(file);
    }
    return exists;
}

static gb_zone_t zone_of(apr_pool_t *p, const char *name)
{
    const char *before = getenv("TZ");
    gb_zone_t zone;

    before = before ? apr_pstrdup(p, before) : NULL;
    (void)setenv("TZ", apr_pstrcat(p, ":", name, NULL), 1);
    tzset();
    zone = mgb_config_local_zone(p);
    if (before) {
        (void)setenv("TZ", before, 1);
    }
    else {
        (void)unsetenv("TZ");
    }
    tzset();
    return zone;
}

/* ------------------------------------------------------------------ the directive */

static const char *set_zone(cmd_parms *cmd, gb_zone_t *zone, const char *name)
{
    if (strcasecmp(name, "UTC") == 0) { /* needs no file */
        *zone = (gb_zone_t){NULL, 0};
        return NULL;
    }
    if (!is_zone_name(name) || !zone_exists(cmd->pool, name)) {
        return apr_psprintf(cmd->pool,
                            "GreenSchedule tz=%s: must be UTC or a time zone that this "
                            "system knows, such as Europe/Berlin, a file below %s (the "
                            "package tzdata brings them)",
                            name, ZONE_DIR);
    }
    *zone = zone_of(cmd->pool, name);
    return NULL;
}

/* min=N or tz=ZONE. */
static const char *set_schedule_key(cmd_parms *cmd, mgb_schedule_t *schedule,
                                    const char *arg, bool *has_min, bool *has_zone)
{
    const bool is_min = strncasecmp(arg, "min=", 4) == 0;
    bool *seen = is_min ? has_min : has_zone;

    if (!is_min && strncasecmp(arg, "tz=", 3) != 0) {
        return apr_psprintf(cmd->pool, "GreenSchedule %s: allowed are min=, tz=", arg);
    }
    if (*seen) {
        return apr_psprintf(cmd->pool, "GreenSchedule: %s is given twice",
                            is_min ? "min=" : "tz=");
    }
    *seen = true;
    if (!is_min) {
        return set_zone(cmd, &schedule->zone, arg + 3);
    }
    if (!gb_parse_count(arg + 4, 1, GB_MEMBERS_MAX, &schedule->min_awake)) {
        return apr_psprintf(cmd->pool,
                            "GreenSchedule %s: must be a number from 1 to %d", arg,
                            GB_MEMBERS_MAX);
    }
    return NULL;
}

const char *mgb_config_set_schedule(cmd_parms *cmd, void *dummy, int argc,
                                    char *const argv[])
{
    mgb_raw_pool_t *pool = NULL;
    const char *error = mgb_config_enclosing_pool(cmd, &pool);
    mgb_raw_schedule_t raw = {.where = cmd->directive};
    bool has_min = false, has_zone = false;

    if (!pool) {
        return error;
    }
    if (argc < 1 || !gb_schedule_parse(argv[0], &raw.schedule.when)) {
        return apr_psprintf(
            cmd->pool,
            "GreenSchedule \"%s\": must be \"DAYS HH:MM-HH:MM\", such as \"Mon-Fri "
            "08:00-18:00\" or \"Sat,Sun 22:00-06:00\"; days are Mon Tue Wed Thu Fri "
            "Sat Sun or * for all of them, begin and end are different, and 24:00 is "
            "the end of a day: all of it is 00:00-24:00",
            argc < 1 ? "" : argv[0]);
    }
    for (int i = 1; !error && i < argc; i++) {
        error = set_schedule_key(cmd, &raw.schedule, argv[i], &has_min, &has_zone);
    }
    if (!error && !has_min) {
        error = apr_psprintf(cmd->pool,
                             "GreenSchedule \"%s\" needs min=N, how many "
                             "servers are awake at that time",
                             argv[0]);
    }
    if (error) {
        return error;
    }
    if (!has_zone) {
        raw.schedule.zone = mgb_config_local_zone(cmd->pool);
    }
    if (!pool->schedules) {
        pool->schedules = apr_array_make(cmd->pool, 4, sizeof raw);
    }
    APR_ARRAY_PUSH(pool->schedules, mgb_raw_schedule_t) = raw;
    return NULL;
}

void mgb_config_resolve_schedules(apr_pool_t *p, mgb_pool_conf_t *pool,
                                  const mgb_raw_pool_t *raw)
{
    const apr_array_header_t *from = raw ? raw->schedules : NULL;

    pool->schedule_count = from ? (uint32_t)from->nelts : 0;
    pool->schedules =
        apr_pcalloc(p, (pool->schedule_count + 1) * sizeof(mgb_schedule_t));
    for (uint32_t i = 0; i < pool->schedule_count; i++) {
        pool->schedules[i] = APR_ARRAY_IDX(from, i, mgb_raw_schedule_t).schedule;
    }
}
