/* SPDX-License-Identifier: Apache-2.0
 *
 * dice.h - numbers for random tests; GB_SEED=N repeats a run.
 */
#ifndef DICE_H
#define DICE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Prints the seed of a test, by its name. */
static inline uint64_t dice_seed(const char *test)
{
    const char *given = getenv("GB_SEED");
    uint64_t value = given ? (uint64_t)strtoull(given, NULL, 10)
                           : (uint64_t)getpid() * UINT64_C(2654435761);

    printf("%s: GB_SEED=%" PRIu64 "\n", test, value | 1);
    fflush(stdout);
    return value | 1;
}

/* The next number; never 0 (xorshift). */
static inline uint64_t dice_roll(uint64_t *dice)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return *dice;
}

#endif /* DICE_H */
