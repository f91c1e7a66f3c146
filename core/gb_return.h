/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_return.h - slow start: how much of its capacity a server gets that has come back.
 *
 * Its caches are cold and its processes few.  So the share that it gets grows in a
 * straight line from a tenth to the whole over the time of GreenSlowStart.
 */
#ifndef GB_RETURN_H
#define GB_RETURN_H

#include "gb_types.h"

/* The capacity in force `now_us`, of one whose whole capacity is `capacity` and that
 * came back at `returned_at_us` (0: it has not been away; one in the future counts as
 * now).  `ramp_us` is how long the growth takes; 0 or less: none.  Never more than
 * `capacity`; at least 1, unless that is 0.  Never less at a later instant.  Pure. */
uint32_t gb_return_capacity(uint32_t capacity, int64_t returned_at_us, int64_t ramp_us,
                            int64_t now_us);

/* Does the growth still go on?  Pure. */
bool gb_return_ramps(int64_t returned_at_us, int64_t ramp_us, int64_t now_us);

#endif /* GB_RETURN_H */
