/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_return.c - the straight line from a tenth of the capacity to the whole.
 *
 * Worked example, capacity 20, 30 s:
 *
 *   after    0 s   5 s   10 s   15 s   20 s   25 s   30 s
 *   in force   2     5      8     11     14     17     20
 */
#include "gb_return.h"

#define FIRST_SHARE 10 /* a tenth */

bool gb_return_ramps(int64_t returned_at_us, int64_t ramp_us, int64_t now_us)
{
    return returned_at_us != 0 && ramp_us > 0 &&
           now_us < gb_after_us(returned_at_us, ramp_us);
}

uint32_t gb_return_capacity(uint32_t capacity, int64_t returned_at_us, int64_t ramp_us,
                            int64_t now_us)
{
    uint32_t first = capacity / FIRST_SHARE > 0 ? capacity / FIRST_SHARE : 1;
    double done;

    if (capacity <= 1 || !gb_return_ramps(returned_at_us, ramp_us, now_us)) {
        return capacity;
    }
    if (now_us <= returned_at_us) {
        return first;
    }
    done = (double)(now_us - returned_at_us) / (double)ramp_us;
    return first + (uint32_t)((double)(capacity - first) * done);
}
