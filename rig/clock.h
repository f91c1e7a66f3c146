/* SPDX-License-Identifier: Apache-2.0
 *
 * Monotonic time in microseconds: the only clock that the machine room measures
 * intervals with. CLOCK_MONOTONIC is the same in every network namespace and in
 * Python's time.monotonic(). */
#ifndef RIG_CLOCK_H
#define RIG_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Wall time in seconds, for records that people and tests read. */
static inline double clock_wall_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
