/* SPDX-License-Identifier: Apache-2.0
 *
 * How many requests a second arrive at which time. */
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX 1048576

bool profile_add(profile_t *profile, double at_s, double rate_rps)
{
    profile_point_t *points;

    if (at_s < 0 || rate_rps < 0 ||
        (profile->count && at_s < profile->points[profile->count - 1].at_s)) {
        return false;
    }
    points = realloc(profile->points, (profile->count + 1) * sizeof *points);
    if (!points) {
        return false;
    }
    points[profile->count].at_s = at_s;
    points[profile->count].rate_rps = rate_rps;
    profile->points = points;
    profile->count++;
    if (rate_rps > profile->highest_rps) {
        profile->highest_rps = rate_rps;
    }
    return true;
}

bool profile_parse(profile_t *profile, char *text)
{
    char *line;

    while ((line = strsep(&text, "\n,"))) {
        double at_s;
        double rate_rps;
        char more;

        line[strcspn(line, "#")] = '\0';
        if (line[strspn(line, " \t\r")] == '\0') {
            continue;
        }
        if (sscanf(line, "%lf %lf %c", &at_s, &rate_rps, &more) != 2 ||
            !profile_add(profile, at_s, rate_rps)) {
            return false;
        }
    }
    return profile->count > 0;
}

bool profile_read(profile_t *profile, const char *path)
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t length;
    bool good;

    if (!file) {
        return false;
    }
    text = malloc(FILE_BYTES_MAX);
    length = text ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    fclose(file);
    if (!text || length == FILE_BYTES_MAX) {
        free(text);
        return false;
    }
    text[length] = '\0';
    good = profile_parse(profile, text);
    free(text);
    return good;
}

double profile_end_s(const profile_t *profile)
{
    return profile->points[profile->count - 1].at_s;
}

double profile_rate(const profile_t *profile, double at_s)
{
    const profile_point_t *points = profile->points;

    if (at_s <= points[0].at_s) {
        return points[0].rate_rps;
    }
    for (size_t i = 1; i < profile->count; i++) {
        double span_s = points[i].at_s - points[i - 1].at_s;

        if (at_s < points[i].at_s) {
            return points[i - 1].rate_rps +
                   (points[i].rate_rps - points[i - 1].rate_rps) *
                       (at_s - points[i - 1].at_s) / span_s;
        }
    }
    return points[profile->count - 1].rate_rps;
}

/* Thinning (Lewis and Shedler, 1979): arrivals at the highest rate, each kept with the
 * probability that the rate of its instant has of the highest. */
double profile_next_arrival(const profile_t *profile, dice_t *dice, double after_s)
{
    double end_s = profile_end_s(profile);

    if (profile->highest_rps <= 0) {
        return -1;
    }
    for (;;) {
        after_s += dice_exponential(dice, 1 / profile->highest_rps);
        if (after_s >= end_s) {
            return -1;
        }
        if (dice_uniform(dice) * profile->highest_rps <
            profile_rate(profile, after_s)) {
            return after_s;
        }
    }
}
