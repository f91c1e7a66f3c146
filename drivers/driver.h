/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h - one interface for every way to switch a server.
 *
 * start() never blocks: it hands the work to a child process or a socket on the
 * keeper's loop and returns; done() is called later, exactly once, from the loop, also
 * after a time-out.  Every operation has its own time-out, at most MGB_DRIVER_MOST_US.
 * A driver keeps nothing between operations that a killed keeper would miss.
 */
#ifndef MGB_DRIVER_H
#define MGB_DRIVER_H

#include "../mod_greenbalance.h"

#define MGB_DRIVER_MOST_US (20 * GB_US_PER_S)

typedef enum mgb_op_e { MGB_OP_ON, MGB_OP_OFF, MGB_OP_STATUS, MGB_OP_WATTS } mgb_op_e;

typedef struct mgb_done_t {
    gb_ladder_result_e result; /* LOST: unknown whether it was carried out */
    bool powered;              /* STATUS with OK */
    double watts;              /* WATTS with OK */
    char detail[GB_REASON_BYTES]; /* for people; printable, no secret */
} mgb_done_t;

typedef void mgb_done_fn(void *baton, const mgb_done_t *done);

typedef struct mgb_job_t {
    mgb_keeper_t *keeper;
    const mgb_rung_t *rung;
    const mgb_hints_t *hints;
    const char *member_url;  /* for exec */
    const gb_rules_t *rules; /* packets */
    mgb_op_e op;
    mgb_done_fn *done;
    void *baton;
} mgb_job_t;

typedef struct mgb_driver_t {
    const char *name;
    bool can_on, can_off, can_status, can_watts;
    /* Any status but APR_SUCCESS: nothing was started and done() will not be called. */
    apr_status_t (*start)(const mgb_job_t *job);
    /* Called once a loop turn after all starts of a tick: to send many in one call. */
    void (*flush)(mgb_keeper_t *keeper);
} mgb_driver_t;

extern const mgb_driver_t mgb_driver_wol, mgb_driver_ipmi, mgb_driver_exec;

const mgb_driver_t *mgb_driver_of(mgb_way_e way);

#endif /* MGB_DRIVER_H */
