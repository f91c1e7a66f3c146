/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict numbers from a command line. */
#include "number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool number_parse_long(const char *word, long min, long max, long *value)
{
    char *end;
    long parsed;

    errno = 0;
    parsed = strtol(word, &end, 10);
    if (errno || end == word || *end || parsed < min || parsed > max) {
        return false;
    }
    *value = parsed;
    return true;
}

bool number_parse_double(const char *word, double min, double max, double *value)
{
    char *end;
    double parsed;

    errno = 0;
    parsed = strtod(word, &end);
    if (errno || end == word || *end || !isfinite(parsed) || parsed < min ||
        parsed > max) {
        return false;
    }
    *value = parsed;
    return true;
}

long number_option_long(const char *option, const char *word, long min, long max)
{
    long value;

    if (!number_parse_long(word, min, max, &value)) {
        fprintf(stderr, "--%s=%s: expected a whole number from %ld to %ld\n", option,
                word, min, max);
        exit(2);
    }
    return value;
}

double number_option_double(const char *option, const char *word, double min,
                            double max)
{
    double value;

    if (!number_parse_double(word, min, max, &value)) {
        fprintf(stderr, "--%s=%s: expected a number from %g to %g\n", option, word, min,
                max);
        exit(2);
    }
    return value;
}
