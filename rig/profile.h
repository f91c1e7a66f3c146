/* SPDX-License-Identifier: Apache-2.0
 *
 * How many requests a second arrive at which time: straight lines between points. */
#ifndef RIG_PROFILE_H
#define RIG_PROFILE_H

#include "dice.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    double at_s;
    double rate_rps;
} profile_point_t;

typedef struct {
    profile_point_t *points;
    size_t count;
    double highest_rps;
} profile_t;

/* Adds a point; times must not go back. False: they do, or a negative rate. */
bool profile_add(profile_t *profile, double at_s, double rate_rps);

/* Adds the points of a text, "seconds rate" each, on lines or between commas; # starts
 * a comment that ends with its line. */
bool profile_parse(profile_t *profile, char *text);

/* The same from a file. */
bool profile_read(profile_t *profile, const char *path);

/* When the profile ends, and the rate at an instant of it. */
double profile_end_s(const profile_t *profile);
double profile_rate(const profile_t *profile, double at_s);

/* The Poisson arrival after the given one, or below 0 when the profile ends first. */
double profile_next_arrival(const profile_t *profile, dice_t *dice, double after_s);

#endif
