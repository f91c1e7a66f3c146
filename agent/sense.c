/* SPDX-License-Identifier: Apache-2.0
 *
 * sense.c - how busy the host is, what it draws, and whether something needs it on.
 */
#include "agent.h"

#include "core/gb_parse.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONES_MOST 16 /* RAPL: processor packages */

/* A command whose output is of no use is told of once, until it is again. */
static void tell_use(bool *told, bool is_usable, const char *setting,
                     const ga_run_t *run)
{
    if (!is_usable && !*told) {
        ga_say(4,
               "%s prints no number that can be used, and is left out: \"%s\" (%d%s)",
               setting, run->line, run->status,
               run->status < 0 ? ": killed, or longer than 5 s" : "");
    }
    *told = !is_usable;
}

/* ---------------------------------------------------------------- load */

/* Of all processors, since the last call, from the first line of /proc/stat. */
static uint32_t load_permille(void)
{
    static uint64_t busy_before, all_before;
    uint64_t part[8] = {0}, busy, all = 0, idle;
    FILE *file = fopen("/proc/stat", "re");
    int count = 0;

    if (file) {
        count = fscanf(file,
                       "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64 " %" SCNu64 " %" SCNu64,
                       &part[0], &part[1], &part[2], &part[3], &part[4], &part[5],
                       &part[6], &part[7]);
        (void)fclose(file);
    }
    if (count < 4) {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        all += part[i];
    }
    idle = part[3] + part[4]; /* idle, and waiting for a disk */
    busy = all - idle;
    if (all > all_before && busy >= busy_before) {
        uint64_t permille = (busy - busy_before) * 1000 / (all - all_before);

        busy_before = busy;
        all_before = all;
        return permille < 1000 ? (uint32_t)permille : 1000;
    }
    return 0;
}

/* ---------------------------------------------------------------- watts */

/* A file of sysfs that holds one number. */
static bool read_number(const char *dir, const char *zone, const char *name,
                        uint64_t *number)
{
    char path[GA_WORD_BYTES + 128], text[32] = "", *end;
    FILE *file;

    if (snprintf(path, sizeof path, "%s/%s/%s", dir, zone, name) >= (int)sizeof path) {
        return false;
    }
    file = fopen(path, "re");
    if (!file) {
        return false;
    }
    if (!fgets(text, sizeof text, file)) {
        text[0] = '\0';
    }
    (void)fclose(file);
    errno = 0;
    *number = strtoull(text, &end, 10);
    return end != text && !errno && (*end == '\n' || !*end);
}

/* What a zone has drawn since the last call, in microjoules; its counter begins anew
 * after `range`.  False: the first call, or a counter that makes no sense. */
static bool zone_spent(const char *dir, int zone, uint64_t *spent_uj)
{
    static uint64_t before[ZONES_MOST];
    static bool known[ZONES_MOST];
    char name[32];
    uint64_t now, range = 0;
    bool was_known = known[zone];

    snprintf(name, sizeof name, "intel-rapl:%d", zone);
    known[zone] = read_number(dir, name, "energy_uj", &now);
    if (!known[zone]) {
        return false;
    }
    *spent_uj = now - before[zone];
    if (now < before[zone]) {
        if (!read_number(dir, name, "max_energy_range_uj", &range) ||
            before[zone] > range) {
            was_known = false;
        }
        *spent_uj = range - before[zone] + now;
    }
    before[zone] = now;
    return was_known;
}

/* Watts of the processors over the time since the last call. */
static bool rapl_milliwatts(const ga_config_t *config, uint32_t *milliwatts)
{
    static int64_t before_us;
    int64_t now_us = ga_now_us(), took_us = now_us - before_us;
    uint64_t sum_uj = 0;
    bool any = false;
    double watts;

    for (int zone = 0; zone < ZONES_MOST; zone++) {
        uint64_t spent_uj;

        if (zone_spent(config->rapl_dir, zone, &spent_uj)) {
            sum_uj += spent_uj;
            any = true;
        }
    }
    before_us = now_us;
    if (!any || took_us < 10 * GB_US_PER_MS) {
        return false;
    }
    watts = (double)sum_uj / (double)took_us;
    if (watts > GB_WATTS_MOST) {
        return false;
    }
    *milliwatts = (uint32_t)(watts * 1000 + 0.5);
    if (*milliwatts > GB_BEAT_MILLIWATTS_MOST - config->rapl_base_milliwatts) {
        return false;
    }
    *milliwatts += config->rapl_base_milliwatts;
    return true;
}

static void sense_watts(const ga_config_t *config, gb_beat_t *beat)
{
    static bool told;
    ga_run_t run;
    double watts;

    beat->has_watts = false;
    beat->milliwatts = 0;
    if (config->watts_command[0]) {
        ga_command_run(config->watts_command, GA_COMMAND_US, &run);
        beat->has_watts =
            run.status == 0 && gb_parse_decimal(run.line, GB_WATTS_MOST, &watts);
        beat->milliwatts = beat->has_watts ? (uint32_t)(watts * 1000 + 0.5) : 0;
        tell_use(&told, beat->has_watts, "watts=", &run);
    }
    else if (config->rapl) {
        beat->has_watts = rapl_milliwatts(config, &beat->milliwatts);
        beat->milliwatts = beat->has_watts ? beat->milliwatts : 0;
    }
}

/* ---------------------------------------------------------------- veto */

/* Any file in the directory objects; its name says why.  Names that begin with a dot
 * are files that are still being written. */
static bool veto_by_dir(const char *path, gb_beat_t *beat)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool found = false;

    if (!dir) {
        if (errno == ENOENT) {
            return false;
        }
        snprintf(beat->reason, sizeof beat->reason, "veto-dir: %s", strerror(errno));
        return true;
    }
    while (!found && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            found = true;
            snprintf(beat->reason, sizeof beat->reason, "%.120s", entry->d_name);
        }
    }
    closedir(dir);
    return found;
}

/* Exit status 1 objects, 0 does not.  Anything else is a command that cannot tell: the
 * host stays on. */
static bool veto_by_command(const char *command, gb_beat_t *beat)
{
    ga_run_t run;

    ga_command_run(command, GA_COMMAND_US, &run);
    if (run.status == 0) {
        return false;
    }
    if (run.status == 1) {
        memcpy(beat->reason, run.line, sizeof beat->reason);
    }
    else if (run.status > 0) {
        snprintf(beat->reason, sizeof beat->reason,
                 "the veto command failed with exit status %d", run.status);
    }
    else {
        snprintf(beat->reason, sizeof beat->reason,
                 "the veto command was killed or took too long");
    }
    return true;
}

void ga_sense_veto(const ga_config_t *config, gb_beat_t *beat)
{
    beat->reason[0] = '\0';
    beat->veto =
        (config->veto_dir[0] && veto_by_dir(config->veto_dir, beat)) ||
        (config->veto_command[0] && veto_by_command(config->veto_command, beat));
    for (char *c = beat->reason; *c; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

/* ---------------------------------------------------------------- all of it */

static uint32_t sense_work(const char *command)
{
    static bool told;
    ga_run_t run;
    uint32_t work = 0;
    bool is_usable;

    if (!command[0]) {
        return 0;
    }
    ga_command_run(command, GA_COMMAND_US, &run);
    /* pgrep -c prints 0 with exit status 1: what is printed counts. */
    is_usable = run.status >= 0 && gb_parse_count(run.line, 0, UINT32_MAX, &work);
    tell_use(&told, is_usable, "work=", &run);
    return is_usable ? work : 0;
}

void ga_sense(const ga_config_t *config, gb_beat_t *beat)
{
    beat->load_permille = load_permille();
    beat->work = sense_work(config->work_command);
    sense_watts(config, beat);
    ga_sense_veto(config, beat);
}
