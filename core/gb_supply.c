/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_supply.c - how many servers of an order suffice, and what one of them carries.
 */
#include "gb_supply.h"

#include <string.h>

#define USED_MOST  0.9  /* of a slot's time, however late a response may be */
#define USED_LEAST 0.05 /* and however soon it has to come */

/* What adds up to just enough is enough, however the sum was rounded. */
#define NEARLY (1.0 - 1e-9)

double gb_within(double value, double low, double high)
{
    if (!(value > low)) { /* also what is not a number */
        return low;
    }
    return value < high ? value : high;
}

gb_choice_t gb_choice_within(gb_choice_t choice, uint32_t servers)
{
    if (choice.up < 1) {
        choice.up = 1;
    }
    if (choice.up > servers) {
        choice.up = servers;
    }
    if (choice.keep < choice.up) {
        choice.keep = choice.up;
    }
    if (choice.keep > servers) {
        choice.keep = servers;
    }
    return choice;
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

double gb_supply_slot_rate(double slots, double service_s, double wait_s)
{
    double alone[2] = {0, slots};
    gb_tail_row_t rows[2];
    gb_tail_t one = {.rows = rows, .room = 1};

    memset(rows, 0, sizeof rows);
    gb_tail_build(&one, alone, 1, service_s, wait_s);
    return gb_within(rows[1].goal_rate / slots, USED_LEAST / service_s,
                     USED_MOST / service_s);
}
