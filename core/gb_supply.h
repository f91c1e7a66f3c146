/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_supply.h - what every policy is told and what it answers: demand, supply, choice.
 */
#ifndef GB_SUPPLY_H
#define GB_SUPPLY_H

#include "gb_erlang.h"

/* Times the mean service time: no response is late sooner, for no number of servers
 * helps against that. */
#define GB_LATE_LEAST 2

/* What the first k servers of the order have together. */
typedef struct gb_upto_t {
    double capacity;   /* requests in flight up to which they are filled */
    double slots;      /* requests that they serve at the same time at full speed */
    double idle_watts; /* drawn idle, less what they draw switched off */
} gb_upto_t;

/* Who can serve.  Everything is finite and not negative; servers >= 1. */
typedef struct gb_supply_t {
    uint32_t servers;      /* that could be on */
    const gb_upto_t *upto; /* [servers + 1], [0] all zero, ascending */
    const gb_tail_t *tail; /* of slots, service_s, and late_s - service_s of waiting */
    double service_s;      /* mean time that a request takes in a slot, > 0 */
    double late_s;         /* a response that takes longer is late, > service_s */
    double rate_per_slot;  /* requests/s that a slot carries within the goal, less than
                              1 / service_s; gb_supply_slot_rate() */
    double setup_s;     /* from the order to the first request: learned 95 % quantile */
    double setup_watts; /* drawn meanwhile by a server, less what it draws off */
    bool late_last;     /* the waiting room serves those first who are in time */
    uint32_t on;        /* how many serve */
    uint32_t coming;    /* how many are in set-up */
    double capacity_on; /* of those that serve */
} gb_supply_t;

/* What is asked for. */
typedef struct gb_demand_t {
    int64_t now_us;   /* monotonic */
    int64_t day_s;    /* second of the (local) day, 0..86399 */
    double arrived;   /* requests that came since the last call, also those that wait */
    double late;      /* late since the last call for they had to wait; gb_lateness.h */
    double in_system; /* in service or waiting, now */
    double backlog;   /* of these: wait for a slot, now */
    bool unknown;     /* nobody counted for a part of the time since the last call */
} gb_demand_t;

/* What is wanted: on + coming is at least `up`; no more than on - keep are let go. */
typedef struct gb_choice_t {
    uint32_t up;   /* 1..servers */
    uint32_t keep; /* up..servers */
} gb_choice_t;

/* `value` brought into low..high; what is not a number is `low`.  Pure. */
double gb_within(double value, double low, double high);

/* The choice with 1 <= up <= keep <= servers; servers >= 1.  Pure. */
gb_choice_t gb_choice_within(gb_choice_t choice, uint32_t servers);

/* The fewest servers of the order, 1..servers, that are filled by so many requests in
 * flight; that carry a rate (requests/s) within the goal when each is used up to
 * `share` (above 0) of what it carries.  All of them when they do not suffice.  Pure;
 * cost: logarithmic. */
uint32_t gb_supply_for_load(const gb_supply_t *supply, double in_flight);
uint32_t gb_supply_for_rate(const gb_supply_t *supply, double rate_per_s, double share);

/* The times of a supply as a balancer knows them.  Mean service time in seconds, from
 * microseconds: 0.1 s where nothing was answered yet (0), and within 0.1 ms and a day.
 * When a response is late, in seconds: 500 ms or 4 service times where nobody said it
 * (0), and at least GB_LATE_LEAST service times.  Pure. */
double gb_supply_service_s(int64_t service_us);
double gb_supply_late_s(int64_t late_us, double service_s);

/* The table of late shares for all servers of the supply, from its slots and times,
 * into `tail` with room for as many; `slots_upto` is memory for as many and one.  Some
 * 7 us a server. */
void gb_supply_tail(const gb_supply_t *supply, double *slots_upto, gb_tail_t *tail);

/* The rate (requests/s) that a slot of a server with so many (above 0) carries when the
 * server is alone and no more than GB_TAIL_GOAL wait longer than `wait_s`: at least 5 %
 * and at most 90 % of what it could do without a pause, 1 / service_s.  Pure; costs as
 * much as a row of gb_tail_build(). */
double gb_supply_slot_rate(double slots, double service_s, double wait_s);

#endif /* GB_SUPPLY_H */
