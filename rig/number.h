/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict numbers from a command line: the whole word must be the number. */
#ifndef RIG_NUMBER_H
#define RIG_NUMBER_H

#include <stdbool.h>

/* True and *value set when the word is a whole number within min..max. */
bool number_parse_long(const char *word, long min, long max, long *value);

/* The same for a finite decimal number. */
bool number_parse_double(const char *word, double min, double max, double *value);

/* The number, or the end of the program with a message naming the option. */
long number_option_long(const char *option, const char *word, long min, long max);
double number_option_double(const char *option, const char *word, double min,
                            double max);

#endif
