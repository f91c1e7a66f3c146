/* SPDX-License-Identifier: Apache-2.0
 *
 * Places, queue and watts of a simulated server. */
#include "service.h"

#include <stdlib.h>
#include <string.h>

/* The meter is written once a second, and soon after a change of the load, but not
 * for each of thousands of changes a second. */
#define PUBLISH_IDLE_US   1000000
#define PUBLISH_CHANGE_US 100000

bool service_open(service_t *service, int capacity, int queue_max)
{
    memset(service, 0, sizeof *service);
    service->capacity = capacity;
    service->queue_max = queue_max;
    service->queue.next = service->queue.previous = &service->queue;
    service->watts = calloc((size_t)capacity + 1, sizeof *service->watts);
    return service->watts != NULL;
}

bool service_meter(service_t *service, const char *path, const curve_t *curve,
                   int64_t now_us)
{
    for (int busy = 0; busy <= service->capacity; busy++) {
        service->watts[busy] = curve_watts(curve, (double)busy / service->capacity);
    }
    meter_open(&service->meter, path, now_us);
    meter_draw(&service->meter, service->watts[0], now_us);
    service->metered = true;
    service->published_at_us = now_us;
    service->published_joules = service->meter.joules;
    return meter_publish(&service->meter, service->watts[0]);
}

static void change_busy(service_t *service, int by, int64_t now_us)
{
    service->busy += by;
    if (service->metered) {
        meter_draw(&service->meter, service->watts[service->busy], now_us);
        /* The window that the change ends, and the first one after it: the mean of the
         * former alone would hide the change for a second. */
        service->unpublished = 2;
    }
}

static void enqueue(service_t *service, job_t *job)
{
    job->previous = service->queue.previous;
    job->next = &service->queue;
    job->previous->next = job;
    service->queue.previous = job;
    service->queued++;
}

static void dequeue(service_t *service, job_t *job)
{
    job->previous->next = job->next;
    job->next->previous = job->previous;
    service->queued--;
}

job_state_t service_admit(service_t *service, job_t *job, int64_t now_us)
{
    if (service->busy < service->capacity) {
        job->state = JOB_BUSY;
        change_busy(service, 1, now_us);
    }
    else if (service->queued < service->queue_max) {
        job->state = JOB_WAITS;
        enqueue(service, job);
    }
    else {
        service->refused++;
        return JOB_REFUSED;
    }
    if (service->busy + service->queued > service->max_in_flight) {
        service->max_in_flight = service->busy + service->queued;
    }
    return job->state;
}

job_t *service_release(service_t *service, job_t *job, bool served, int64_t now_us)
{
    job_state_t state = job->state;
    job_t *next;

    job->state = JOB_IDLE;
    if (served) {
        service->served++;
    }
    else {
        service->abandoned++;
    }
    if (state == JOB_WAITS) {
        dequeue(service, job);
        return NULL;
    }
    change_busy(service, -1, now_us);
    if (!service->queued) {
        return NULL;
    }
    next = service->queue.next;
    dequeue(service, next);
    next->state = JOB_BUSY;
    change_busy(service, 1, now_us);
    return next;
}

int64_t service_publish(service_t *service, int64_t now_us)
{
    int64_t every_us = service->unpublished ? PUBLISH_CHANGE_US : PUBLISH_IDLE_US;
    int64_t elapsed_us = now_us - service->published_at_us;
    double joules;

    if (!service->metered) {
        return now_us + PUBLISH_IDLE_US;
    }
    if (elapsed_us < every_us) {
        return service->published_at_us + every_us;
    }
    meter_draw(&service->meter, service->meter.watts, now_us);
    joules = service->meter.joules - service->published_joules;
    /* What is shown is the mean since the last time, as a real meter's is. */
    meter_publish(&service->meter, joules * 1e6 / (double)elapsed_us);
    service->published_at_us = now_us;
    service->published_joules = service->meter.joules;
    if (service->unpublished) {
        service->unpublished--;
    }
    return now_us + (service->unpublished ? PUBLISH_CHANGE_US : PUBLISH_IDLE_US);
}
