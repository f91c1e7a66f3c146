/* SPDX-License-Identifier: Apache-2.0
 *
 * splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
 * 2014): eight bytes of state, good enough for arrivals and lost packets. */
#include "dice.h"

#include <math.h>

void dice_seed(dice_t *dice, uint64_t seed)
{
    dice->state = seed;
}

double dice_uniform(dice_t *dice)
{
    uint64_t mixed;

    dice->state += 0x9e3779b97f4a7c15u;
    mixed = dice->state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    mixed ^= mixed >> 31;
    return (double)(mixed >> 11) * 0x1p-53;
}

double dice_exponential(dice_t *dice, double mean)
{
    /* 1 - u is never 0, so the logarithm is finite. */
    return -mean * log(1.0 - dice_uniform(dice));
}
