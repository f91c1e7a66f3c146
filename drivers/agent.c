/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c - switches a server off through green-agent, which runs on it.
 *
 * Nothing is sent: the order waits for the server's next heartbeat and goes out in the
 * signed answer to it (agents.c).  OK means that the agent has said that it goes; that
 * it is off is for the reverse health check to prove.
 */
#include "driver.h"

#include "agents.h"

static apr_status_t agent_start(const mgb_job_t *job)
{
    if (job->op != MGB_OP_OFF) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "an agent can switch its server off, and nothing else");
    }
    return mgb_agents_order(job);
}

const mgb_driver_t mgb_driver_agent = {
    .name = "agent", .can_status = false, .start = agent_start, .flush = NULL};
