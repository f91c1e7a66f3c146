/* SPDX-License-Identifier: Apache-2.0
 *
 * random.c - the numbers that a seed stands for.
 */
#include "greensim.h"

#include <math.h>

#define TWO_PI 6.283185307179586
#define SMALL_MEANS                                                                    \
    10.0 /* below it products of uniform numbers, above it rejection                   \
          */

static uint64_t rotated(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* splitmix64, Steele, Lea, Flood 2014. */
static uint64_t split(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void gs_random_seed(gs_random_t *random, uint64_t seed, uint64_t stream)
{
    uint64_t state = seed;
    uint64_t mixed = split(&state) ^ (stream * UINT64_C(0xd1342543de82ef95) + 1);

    for (int i = 0; i < 4; i++) {
        random->s[i] = split(&mixed);
    }
}

uint64_t gs_random_next(gs_random_t *random)
{
    uint64_t *s = random->s;
    uint64_t result = rotated(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return result;
}

double gs_random_unit(gs_random_t *random)
{
    return (double)(gs_random_next(random) >> 11) * 0x1.0p-53;
}

double gs_random_normal(gs_random_t *random)
{
    double u = 1 - gs_random_unit(random);
    double v = gs_random_unit(random);

    return sqrt(-2 * log(u)) * cos(TWO_PI * v);
}

static uint32_t poisson_small(gs_random_t *random, double mean)
{
    double limit = exp(-mean);
    double product = gs_random_unit(random);
    uint32_t count = 0;

    while (product > limit) {
        product *= gs_random_unit(random);
        count++;
    }
    return count;
}

/* Transformed rejection, W. Hoermann, "The transformed rejection method for generating
 * Poisson random variables", Insurance: Mathematics and Economics 12, 1993 (PTRS). */
static uint32_t poisson_large(gs_random_t *random, double mean)
{
    double log_mean = log(mean);
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double v_r = 0.9277 - 3.6224 / (b - 2);

    for (;;) {
        double u = gs_random_unit(random) - 0.5;
        double v = 1 - gs_random_unit(random);
        double us = 0.5 - fabs(u);
        double k = us > 0 ? floor((2 * a / us + b) * u + mean + 0.43) : -1;

        if (k < 0 || k > UINT32_MAX || (us < 0.013 && v > us)) {
            continue;
        }
        if ((us >= 0.07 && v <= v_r) || log(v * inverse_alpha / (a / (us * us) + b)) <=
                                            k * log_mean - mean - lgamma(k + 1)) {
            return (uint32_t)k;
        }
    }
}

uint32_t gs_random_poisson(gs_random_t *random, double mean)
{
    if (!(mean > 0)) {
        return 0;
    }
    return mean < SMALL_MEANS ? poisson_small(random, mean)
                              : poisson_large(random, mean);
}
