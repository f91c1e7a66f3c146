/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_lateness.h - how many of those that were late are so because they had to wait.
 *
 * Service times scatter: some responses are late by what their server alone needs, and
 * no number of servers changes that.  A policy that is to keep a share of late requests
 * is told the others only; else it would buy servers for nothing.
 *
 * While no server has more requests than it is there for, the time that a response took
 * on its server is service, and what is late by that time alone is taken off, one by
 * one; what waited in the balancer stays.  On a server that has more, waiting and
 * service are not told apart: there no more is taken off than the share that the other
 * times have taught, and no more than was late on its server alone.
 */
#ifndef GB_LATENESS_H
#define GB_LATENESS_H

#include "gb_types.h"

/* What is remembered.  Zeroed: nothing is learned, so nothing is late by service. */
typedef struct gb_lateness_t {
    double answered, slow; /* responses, and those late by service alone, of the times
                              without a crowd; they fade within half an hour */
    double calm_s;         /* since there was one */
    double due;            /* late by service, by that share, and not seen yet */
} gb_lateness_t;

/* What was seen since the last look. */
typedef struct gb_answers_t {
    double passed_s;
    double late_s;   /* a response that takes longer is late */
    double answered; /* responses that ended, */
    double late;     /* late with all their waiting; also who was never served */
    double slow;     /* of the late ones: those whose server took longer than late_s */
    bool crowded;    /* a server had more at a time than its capacity */
} gb_answers_t;

/* Late because of waiting, 0..late.  What is negative or no number counts as 0, and a
 * memory that makes no sense is begun anew.  Costs nothing to speak of; one thread at a
 * time for each memory. */
double gb_lateness_waited(gb_lateness_t *memory, const gb_answers_t *seen);

/* The share of responses that is late by service alone, as far as is known; 0..1. */
double gb_lateness_share(const gb_lateness_t *memory);

#endif /* GB_LATENESS_H */
