/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_supply.c - how many servers of an order suffice.
 */
#include "gb_supply.h"

/* What adds up to just enough is enough, however the sum was rounded. */
#define NEARLY (1.0 - 1e-9)

double gb_within(double value, double low, double high)
{
    if (!(value > low)) { /* also what is not a number */
        return low;
    }
    return value < high ? value : high;
}

uint32_t gb_supply_for_load(const gb_supply_t *supply, double in_flight)
{
    uint32_t low = 1;
    uint32_t high = supply->servers;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (supply->upto[middle].capacity >= in_flight * NEARLY) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return high;
}

uint32_t gb_supply_for_rate(const gb_supply_t *supply, double rate_per_s, double share)
{
    double per_slot = supply->rate_per_slot * share;
    uint32_t low = 1;
    uint32_t high = supply->servers;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (supply->upto[middle].slots * per_slot >= rate_per_s * NEARLY) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return high;
}
