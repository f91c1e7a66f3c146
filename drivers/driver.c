/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - finds a driver, and brings results that are known at once into the loop.
 */
#include "driver.h"

#include <stdarg.h>
#include <stdio.h>

/* A result on its way to the next turn of the loop. */
typedef struct reply_t {
    apr_pool_t *pool; /* its own */
    mgb_done_fn *fn;
    void *baton;
    mgb_done_t done;
} reply_t;

const mgb_driver_t *mgb_driver_of(mgb_way_e way)
{
    switch (way) {
    case MGB_WAY_WOL:
        return &mgb_driver_wol;
    case MGB_WAY_IPMI:
        return &mgb_driver_ipmi;
    case MGB_WAY_REDFISH:
        return &mgb_driver_redfish;
    case MGB_WAY_AGENT:
        return &mgb_driver_agent;
    default:
        return &mgb_driver_exec;
    }
}

static void deliver(void *baton, int64_t now_us)
{
    reply_t *reply = baton;
    mgb_done_fn *fn = reply->fn;
    void *to = reply->baton;
    mgb_done_t done = reply->done;

    apr_pool_destroy(reply->pool);
    fn(to, &done);
}

apr_status_t mgb_driver_finish(const mgb_job_t *job, const mgb_done_t *done)
{
    apr_pool_t *pool;
    reply_t *reply;
    apr_status_t rv = apr_pool_create(&pool, job->keeper->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    reply = apr_palloc(pool, sizeof(*reply));
    reply->pool = pool;
    reply->fn = job->done;
    reply->baton = job->baton;
    reply->done = *done;
    if (!mgb_loop_timer(job->keeper->loop, mgb_now_us(), deliver, reply)) {
        apr_pool_destroy(pool);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

apr_status_t mgb_driver_say(const mgb_job_t *job, gb_ladder_result_e result,
                            const char *format, ...)
{
    mgb_done_t done = {.result = result};
    va_list args;

    va_start(args, format);
    vsnprintf(done.detail, sizeof done.detail, format, args);
    va_end(args);
    return mgb_driver_finish(job, &done);
}
