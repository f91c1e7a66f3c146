/* SPDX-License-Identifier: Apache-2.0
 *
 * values.c - reads the values of options.
 */
#include "values.h"
#include "../core/gb_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool gs_value_wrong(const char *option, const char *value, const char *allowed)
{
    fprintf(stderr, "greensim: --%s %s: %s\n", option, value, allowed);
    return false;
}

bool gs_value_seconds(const char *option, const char *value, double least_s,
                      double most_s, double *seconds)
{
    char allowed[160];
    int64_t us;

    if (gb_parse_duration(value, &us) && (double)us >= least_s * GB_US_PER_S &&
        (double)us <= most_s * GB_US_PER_S) {
        *seconds = (double)us / GB_US_PER_S;
        return true;
    }
    snprintf(allowed, sizeof allowed,
             "a duration from %gs to %gs is allowed, as 500ms, 260s, 15m, 2h or 7d",
             least_s, most_s);
    return gs_value_wrong(option, value, allowed);
}

bool gs_value_count(const char *option, const char *value, uint32_t least,
                    uint32_t most, uint32_t *count)
{
    char allowed[80];

    if (gb_parse_count(value, least, most, count)) {
        return true;
    }
    snprintf(allowed, sizeof allowed, "a whole number from %u to %u is allowed", least,
             most);
    return gs_value_wrong(option, value, allowed);
}

bool gs_value_decimal(const char *option, const char *value, double most,
                      double *number)
{
    char allowed[96];

    if (gb_parse_decimal(value, most, number)) {
        return true;
    }
    snprintf(allowed, sizeof allowed,
             "a number from 0 to %.0f is allowed, with a point and up to 6 digits",
             most);
    return gs_value_wrong(option, value, allowed);
}

bool gs_value_share(const char *option, const char *value, double most_percent,
                    double *share)
{
    char number[32], allowed[80];
    size_t bytes = strlen(value);
    double percent;

    if (bytes >= 2 && bytes < sizeof number && value[bytes - 1] == '%') {
        memcpy(number, value, bytes - 1);
        number[bytes - 1] = '\0';
        if (gb_parse_decimal(number, most_percent, &percent)) {
            *share = percent / 100;
            return true;
        }
    }
    snprintf(allowed, sizeof allowed, "a percentage up to %g%% is allowed, as 0.5%%",
             most_percent);
    return gs_value_wrong(option, value, allowed);
}

bool gs_value_seed(const char *option, const char *value, uint64_t *seed)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno) {
        return gs_value_wrong(
            option, value, "a whole number from 0 to 18446744073709551615 is allowed");
    }
    *seed = number;
    return true;
}

bool gs_value_peak(const char *option, const char *value, double *servers)
{
    if (strncmp(value, "peak=", 5) == 0 &&
        gb_parse_decimal(value + 5, GS_SERVERS_MOST, servers) && *servers > 0) {
        return true;
    }
    return gs_value_wrong(option, value,
                          "peak=N is allowed, N servers above 0 up to 1000");
}

bool gs_value_start(const char *option, const char *value, double *second)
{
    unsigned hour = 0, minute = 0;
    int end = 0;

    if (strlen(value) == 5 && sscanf(value, "%2u:%2u%n", &hour, &minute, &end) == 2 &&
        end == 5 && hour < 24 && minute < 60 && strspn(value, "0123456789:") == 5) {
        *second = hour * 3600.0 + minute * 60.0;
        return true;
    }
    return gs_value_wrong(option, value, "HH:MM is allowed, from 00:00 to 23:59");
}

/* wake=P%,sleep=P% */
static bool split_threshold(const char *value, gb_threshold_t *threshold)
{
    const char *comma = strchr(value, ',');
    char wake[16] = "";

    if (strncmp(value, "wake=", 5) != 0 || !comma || comma - value >= 16 ||
        strncmp(comma, ",sleep=", 7) != 0) {
        return false;
    }
    memcpy(wake, value + 5, (size_t)(comma - value) - 5);
    return gb_parse_percent(wake, &threshold->wake_permille) &&
           gb_parse_percent(comma + 7, &threshold->sleep_permille) &&
           threshold->sleep_permille >= 1 &&
           threshold->sleep_permille < threshold->wake_permille;
}

bool gs_value_threshold(const char *option, const char *value,
                        gb_threshold_t *threshold)
{
    gb_threshold_t read;

    if (split_threshold(value, &read)) {
        *threshold = read;
        return true;
    }
    return gs_value_wrong(
        option, value,
        "wake=P%,sleep=P% is allowed, sleep below wake, as wake=80%,sleep=50%");
}

/* ---------------------------------------------------------------- words */

bool gs_value_shape(const char *option, const char *value, gs_shape_e *shape)
{
    for (gs_shape_e s = GS_SHAPE_DAY; s <= GS_SHAPE_WALK; s++) {
        if (strcmp(gs_shape_name(s), value) == 0) {
            *shape = s;
            return true;
        }
    }
    return gs_value_wrong(option, value, "day, week, flash, bursts or walk is allowed");
}

/* One of two words: is it the second? */
bool gs_value_word(const char *option, const char *value, const char *no,
                   const char *yes, bool *is_yes)
{
    char allowed[80];

    *is_yes = strcmp(value, yes) == 0;
    if (*is_yes || strcmp(value, no) == 0) {
        return true;
    }
    snprintf(allowed, sizeof allowed, "%s or %s is allowed", no, yes);
    return gs_value_wrong(option, value, allowed);
}

bool gs_value_curve(const char *option, const char *value, gs_options_t *options)
{
    options->has_curve = gb_parse_watts(value, options->curve);
    if (options->has_curve && options->curve[0] > options->curve[10]) {
        return gs_value_wrong(option, value,
                              "it begins with the watts of an idle server, which "
                              "are not more than those of a busy one");
    }
    return options->has_curve ||
           gs_value_wrong(
               option, value,
               "11 watts with commas between, at 0, 10 ... 100 % load, or IDLE:PEAK is "
               "allowed, each up to 100000");
}
