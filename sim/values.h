/* SPDX-License-Identifier: Apache-2.0
 *
 * values.h - the values of options, read strictly.
 *
 * Each function reads the text `value` of `--option` and fills in its last argument.
 * What is not allowed is said on standard error, with what is; then the function
 * returns false and the last argument is not to be used.  One thread.
 */
#ifndef GREENSIM_VALUES_H
#define GREENSIM_VALUES_H

#include "greensim.h"

/* "greensim: --OPTION VALUE: ALLOWED"; false. */
bool gs_value_wrong(const char *option, const char *value, const char *allowed);

/* A duration, as "500ms" or "7d". */
bool gs_value_seconds(const char *option, const char *value, double least_s,
                      double most_s, double *seconds);
/* A whole number. */
bool gs_value_count(const char *option, const char *value, uint32_t least,
                    uint32_t most, uint32_t *count);
/* A number from 0 on, with a point and up to 6 digits. */
bool gs_value_decimal(const char *option, const char *value, double most,
                      double *number);
/* "0.5%" as 0.005. */
bool gs_value_share(const char *option, const char *value, double most_percent,
                    double *share);
bool gs_value_seed(const char *option, const char *value, uint64_t *seed);
/* "peak=N", in servers. */
bool gs_value_peak(const char *option, const char *value, double *servers);
/* "HH:MM" as the second of the day. */
bool gs_value_start(const char *option, const char *value, double *second);
/* "wake=P%,sleep=P%", sleep below wake. */
bool gs_value_threshold(const char *option, const char *value,
                        gb_threshold_t *threshold);
bool gs_value_shape(const char *option, const char *value, gs_shape_e *shape);
/* One of two words: is it `yes`? */
bool gs_value_word(const char *option, const char *value, const char *no,
                   const char *yes, bool *is_yes);
/* 11 watts with commas between, or IDLE:PEAK; into `curve` and `has_curve`. */
bool gs_value_curve(const char *option, const char *value, gs_options_t *options);
/* policies.c: names with commas between, or "all"; adds them to `wanted`, which is by
 * gs_policy_e. */
bool gs_value_policies(const char *option, const char *value, bool *wanted);

#endif /* GREENSIM_VALUES_H */
