/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_redfish_private.h - what gb_redfish.c (a run's way) and gb_redfish_read.c (what
 * answers say) share.
 */
#ifndef GB_REDFISH_PRIVATE_H
#define GB_REDFISH_PRIVATE_H

#include "gb_redfish.h"

typedef enum gb_redfish_task_e {
    GB_REDFISH_TASK_NONE = 0, /* the answer is about no task */
    GB_REDFISH_TASK_RUNS,
    GB_REDFISH_TASK_ENDED,
    GB_REDFISH_TASK_FAILED
} gb_redfish_task_e;

/* The body as JSON; nothing when there is none, or it is no object. */
gb_value_t gb_redfish_object(const gb_redfish_answer_t *answer);

/* What a service says of an error, or "": printable and cut. */
void gb_redfish_message(const gb_redfish_answer_t *answer,
                        char text[GB_REDFISH_TEXT_BYTES]);

/* Where {"@odata.id": ...} leads; false: nowhere on this service. */
bool gb_redfish_link(const char *origin, gb_value_t object,
                     char path[GB_REDFISH_PATH_BYTES]);

/* Is it a PowerState in which the machine draws power?  False: it says nothing. */
bool gb_redfish_power(gb_value_t system, char state[16], bool *powered);

/* The reset type to order; NULL: none of those allowed does it.  `allowed`: an array,
 * or nothing (all are tried); `state`: PowerState.  Literals. */
const char *gb_redfish_choose(gb_redfish_op_e op, gb_value_t allowed,
                              const char *state);

/* The allowed reset types of an ActionInfo. */
gb_value_t gb_redfish_allowed(gb_value_t action_info);

/* Writes the texts of an array, or the links of members, as a list for people. */
void gb_redfish_list(gb_value_t array, char *to, size_t room);

/* How a task is doing, by an answer that may be about one. */
gb_redfish_task_e gb_redfish_task(const gb_redfish_answer_t *answer);
/* Where the task of a 202 is asked about; false: it does not say. */
bool gb_redfish_monitor(const char *origin, const gb_redfish_answer_t *answer,
                        char path[GB_REDFISH_PATH_BYTES]);

/* A reading in watts; false: there is none, null for one. */
bool gb_redfish_reading(gb_value_t value, double *watts);

#endif /* GB_REDFISH_PRIVATE_H */
