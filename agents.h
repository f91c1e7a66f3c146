/* SPDX-License-Identifier: Apache-2.0
 *
 * agents.h - what agents.c offers to the other parts of the keeper.
 *
 * All of it is the keeper's, in its one thread, without locks.
 */
#ifndef MGB_AGENTS_H
#define MGB_AGENTS_H

#include "drivers/driver.h"

/* Takes heartbeats from now on.  Agents are known by the lines `agent` in GreenSecrets;
 * their keys stay there.  Any status but APR_SUCCESS: the keeper cannot work. */
apr_status_t mgb_agents_create(mgb_keeper_t *keeper);

/* Adds to what is sensed of the machines (mgb_dog.fleet.senses): the vetoes.  A veto
 * that comes while a machine is being switched off ends its ladder. */
void mgb_agents_sense(mgb_keeper_t *keeper);

/* Once a second: says which agents have fallen silent. */
void mgb_agents_tick(mgb_keeper_t *keeper, int64_t now_us);

/* Keeps an order to switch off until the agent's next heartbeat; as a driver's start():
 * done() is called once, from the loop, within MGB_DRIVER_MOST_US. */
apr_status_t mgb_agents_order(const mgb_job_t *job);

#endif /* MGB_AGENTS_H */
