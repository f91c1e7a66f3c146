/* SPDX-License-Identifier: Apache-2.0
 *
 * What a simulated server can do at once: places for requests served at full speed, a
 * queue for those that must wait, and the watts that the busy places draw. */
#ifndef RIG_SERVICE_H
#define RIG_SERVICE_H

#include "meter.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum { JOB_IDLE, JOB_BUSY, JOB_WAITS, JOB_REFUSED } job_state_t;

/* Lives inside the request's owner. */
typedef struct job {
    struct job *next;
    struct job *previous;
    job_state_t state;
} job_t;

typedef struct {
    int capacity;
    int queue_max;
    int busy;
    int queued;
    int max_in_flight; /* most that were busy and queued together */
    uint64_t served;
    uint64_t refused;
    uint64_t abandoned; /* the client went away first */
    job_t queue;        /* head of the ring, oldest first */
    bool metered;
    int unpublished; /* windows to publish soon, because the load has changed */
    double *watts;   /* by busy places, 0..capacity */
    meter_t meter;
    int64_t published_at_us;
    double published_joules;
} service_t;

/* False: no memory. */
bool service_open(service_t *service, int capacity, int queue_max);

/* Meters the service by the power curve into path (see meter.h). */
bool service_meter(service_t *service, const char *path, const curve_t *curve,
                   int64_t now_us);

/* Gives the job a place, a place in the queue, or refuses it. */
job_state_t service_admit(service_t *service, job_t *job, int64_t now_us);

/* Ends a busy or waiting job. Returns a job that got the free place, or NULL. */
job_t *service_release(service_t *service, job_t *job, bool served, int64_t now_us);

/* Writes the meter when that is due; returns when it is next due. */
int64_t service_publish(service_t *service, int64_t now_us);

#endif
