/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator's records: a CSV line for each request, a live line each second,
 * a summary at the end. */
#ifndef RIG_TALLY_H
#define RIG_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TALLY_SERVERS    256
#define TALLY_NAME_BYTES 65
#define TALLY_STATUS_END 1000

typedef enum {
    OUTCOME_NONE,
    OUTCOME_CONNECT, /* no connection */
    OUTCOME_TIMEOUT, /* not complete in time */
    OUTCOME_RESET,   /* closed before the first byte of a response, or reset */
    OUTCOME_SHORT,   /* closed within the response */
    OUTCOME_BAD,     /* not HTTP */
    OUTCOME_WRONG,   /* complete, and not the body that was expected */
    OUTCOME_COUNT
} outcome_t;

typedef struct {
    uint32_t *us;
    size_t count;
    size_t room;
} latencies_t;

typedef struct {
    FILE *csv;           /* NULL: none */
    FILE *live;          /* NULL: none */
    double started_at_s; /* wall time */
    uint64_t requests;
    uint64_t ok;
    uint64_t later; /* 503 with Retry-After: refused honestly */
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t by_status[TALLY_STATUS_END];
    char servers[TALLY_SERVERS][TALLY_NAME_BYTES];
    uint64_t served[TALLY_SERVERS];
    size_t server_count;
    latencies_t latencies; /* of complete responses */
    latencies_t recent;    /* the same, since the last live line */
    uint64_t recent_started;
} tally_t;

/* Where a server of that name is counted; "" is for responses that name none. */
size_t tally_server(tally_t *tally, const char *name);

/* A request was started. */
void tally_start(tally_t *tally);

/* A request ended. status is 0 without a response; it is ok when the response is
 * complete and below 400. later: the response said when to come again. */
void tally_end(tally_t *tally, double start_s, int64_t latency_us, int status,
               size_t server, outcome_t outcome, bool later);

/* Writes the live line for the second that ends at t_s and begins the next. */
void tally_live(tally_t *tally, double t_s, double elapsed_s);

void tally_summary(tally_t *tally, FILE *output, double duration_s);

#endif
