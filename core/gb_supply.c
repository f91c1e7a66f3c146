/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_supply.c - how many servers of an order suffice, and what one of them carries.
 */
#include "gb_supply.h"

#include <string.h>

#define USED_MOST  0.9  /* of a slot's time, however late a response may be */
#define USED_LEAST 0.05 /* and however soon it has to come */

#define SERVICE_UNKNOWN_S 0.1
#define SERVICE_LEAST_S   1e-4
#define SERVICE_MOST_S    86400.0
#define LATE_UNKNOWN_S    0.5
#define LATE_UNKNOWN      4.0 /* times the service time, if that is longer */
#define LATE_MOST_S       (7 * 86400.0)

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

double gb_supply_service_s(int64_t service_us)
{
    return gb_within(service_us > 0 ? (double)service_us / GB_US_PER_S
                                    : SERVICE_UNKNOWN_S,
                     SERVICE_LEAST_S, SERVICE_MOST_S);
}

double gb_supply_late_s(int64_t late_us, double service_s)
{
    double usual_s = LATE_UNKNOWN * service_s;

    usual_s = usual_s > LATE_UNKNOWN_S ? usual_s : LATE_UNKNOWN_S;
    return gb_within(late_us > 0 ? (double)late_us / GB_US_PER_S : usual_s,
                     GB_LATE_LEAST * service_s, LATE_MOST_S);
}

void gb_supply_tail(const gb_supply_t *supply, double *slots_upto, gb_tail_t *tail)
{
    for (uint32_t k = 0; k <= supply->servers; k++) {
        slots_upto[k] = supply->upto[k].slots;
    }
    gb_tail_build(tail, slots_upto, supply->servers, supply->service_s,
                  supply->late_s - supply->service_s);
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
