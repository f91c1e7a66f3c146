/* SPDX-License-Identifier: Apache-2.0
 *
 * timer.c - the clocks, behind one accessor each.
 *
 * Decisions see the monotonic clock alone: somebody who sets the wall clock must not
 * wake or stop a server.  CLOCK_MONOTONIC is the same in every process of a machine, so
 * instants may be compared across parent, children and keeper.
 */
#include "mod_greenbalance.h"

#include <time.h>

int64_t mgb_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * GB_US_PER_S + now.tv_nsec / 1000;
}

apr_time_t mgb_wall_us(void)
{
    return apr_time_now();
}
