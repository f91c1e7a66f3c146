/* SPDX-License-Identifier: Apache-2.0
 *
 * The power meter of one simulated machine. Its watts are MODELLED from the machine's
 * state and load by a power curve; nothing here measures electricity.
 *
 * Two files per machine: PATH holds the present watts as a plain integer (what the
 * BMC reports over DCMI), PATH.meter holds "at_us joules watts": the energy up to a
 * monotonic instant and what is drawn since. Whoever knows the machine's state writes
 * them: the server process while it runs, the machine process otherwise, never both. */
#ifndef RIG_METER_H
#define RIG_METER_H

#include <stdbool.h>
#include <stdint.h>

#define METER_POINTS 11

typedef struct {
    double watts[METER_POINTS]; /* at 0, 10 ... 100 % load */
} curve_t;

typedef struct {
    const char *path; /* the caller's; must outlive the meter */
    int64_t at_us;
    double joules; /* up to at_us */
    double watts;  /* drawn since at_us */
} meter_t;

/* "IDLE:PEAK" or 11 comma-separated watts. */
bool curve_parse(curve_t *curve, const char *text);

/* Watts at a load of 0..1, by linear interpolation; load is clamped. */
double curve_watts(const curve_t *curve, double load);

/* Takes over the record that the last writer left; a missing one starts at 0 J. */
void meter_open(meter_t *meter, const char *path, int64_t now_us);

/* Accounts for the time up to now_us, then draws the given watts. */
void meter_draw(meter_t *meter, double watts, int64_t now_us);

/* Publishes both files, each by rename; shown_watts goes into PATH. */
bool meter_publish(const meter_t *meter, double shown_watts);

#endif
