/* SPDX-License-Identifier: Apache-2.0
 *
 * A small seeded random source, so that a run can be repeated. */
#ifndef RIG_DICE_H
#define RIG_DICE_H

#include <stdint.h>

typedef struct {
    uint64_t state;
} dice_t;

void dice_seed(dice_t *dice, uint64_t seed);

/* Uniform in [0, 1). */
double dice_uniform(dice_t *dice);

/* Exponential with the given mean. */
double dice_exponential(dice_t *dice, double mean);

#endif
