/* SPDX-License-Identifier: Apache-2.0
 *
 * The power meter of one simulated machine: a model, not a measurement. */
#include "meter.h"

#include "number.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATTS_MAX 100000.0

static bool parse_idle_peak(curve_t *curve, char *text, char *colon)
{
    double idle;
    double peak;

    *colon = '\0';
    if (!number_parse_double(text, 0, WATTS_MAX, &idle) ||
        !number_parse_double(colon + 1, idle, WATTS_MAX, &peak)) {
        return false;
    }
    for (int i = 0; i < METER_POINTS; i++) {
        curve->watts[i] = idle + (peak - idle) * i / (METER_POINTS - 1);
    }
    return true;
}

bool curve_parse(curve_t *curve, const char *text)
{
    char copy[256];
    char *rest = copy;
    char *colon;
    char *word;
    int count = 0;

    if (strlen(text) >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    colon = strchr(copy, ':');
    if (colon) {
        return parse_idle_peak(curve, copy, colon);
    }
    while ((word = strsep(&rest, ","))) {
        if (count == METER_POINTS ||
            !number_parse_double(word, 0, WATTS_MAX, &curve->watts[count])) {
            return false;
        }
        count++;
    }
    return count == METER_POINTS;
}

double curve_watts(const curve_t *curve, double load)
{
    double place;
    int below;

    if (load <= 0) {
        return curve->watts[0];
    }
    if (load >= 1) {
        return curve->watts[METER_POINTS - 1];
    }
    place = load * (METER_POINTS - 1);
    below = (int)place;
    return curve->watts[below] +
           (curve->watts[below + 1] - curve->watts[below]) * (place - below);
}

static bool replace_file(const char *path, const char *text)
{
    char temporary[PATH_MAX];
    FILE *file;
    bool written;

    if (snprintf(temporary, sizeof temporary, "%s.new", path) >=
        (int)sizeof temporary) {
        return false;
    }
    file = fopen(temporary, "we");
    if (!file) {
        return false;
    }
    written = fputs(text, file) >= 0;
    written = fclose(file) == 0 && written;
    return written && rename(temporary, path) == 0;
}

static bool record_path(const char *path, char *record, size_t size)
{
    return snprintf(record, size, "%s.meter", path) < (int)size;
}

void meter_open(meter_t *meter, const char *path, int64_t now_us)
{
    char record[PATH_MAX];
    FILE *file;

    meter->path = path;
    meter->at_us = now_us;
    meter->joules = 0;
    meter->watts = 0;
    file = record_path(path, record, sizeof record) ? fopen(record, "re") : NULL;
    if (!file) {
        return;
    }
    if (fscanf(file, "%" SCNd64 " %lf %lf", &meter->at_us, &meter->joules,
               &meter->watts) != 3) {
        meter->at_us = now_us;
        meter->joules = 0;
        meter->watts = 0;
    }
    fclose(file);
}

void meter_draw(meter_t *meter, double watts, int64_t now_us)
{
    if (now_us > meter->at_us) {
        meter->joules += meter->watts * (double)(now_us - meter->at_us) / 1e6;
        meter->at_us = now_us;
    }
    meter->watts = watts;
}

bool meter_publish(const meter_t *meter, double shown_watts)
{
    char record[PATH_MAX];
    char text[128];

    if (!record_path(meter->path, record, sizeof record)) {
        return false;
    }
    snprintf(text, sizeof text, "%" PRId64 " %.6f %.3f\n", meter->at_us, meter->joules,
             meter->watts);
    if (!replace_file(record, text)) {
        return false;
    }
    snprintf(text, sizeof text, "%.0f\n", shown_watts);
    return replace_file(meter->path, text);
}
