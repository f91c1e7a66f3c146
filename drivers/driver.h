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

#include "../keeper.h"

#define MGB_DRIVER_MOST_US (20 * GB_US_PER_S)

typedef enum mgb_op_e { MGB_OP_ON, MGB_OP_OFF, MGB_OP_STATUS, MGB_OP_WATTS } mgb_op_e;

typedef struct mgb_done_t {
    gb_ladder_result_e result;    /* LOST: unknown whether it was carried out */
    bool powered;                 /* STATUS with OK */
    double watts;                 /* WATTS with OK */
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
    bool hard; /* OFF: cut the power, to drivers that can_cut only (GreenHardOff) */
    mgb_done_fn *done;
    void *baton;
} mgb_job_t;

typedef struct mgb_driver_t {
    const char *name;
    bool can_status; /* it can say whether a machine is powered */
    bool can_cut;    /* it knows job->hard */
    /* Any status but APR_SUCCESS: nothing was started and done() will not be called. */
    apr_status_t (*start)(const mgb_job_t *job);
    /* Called once a loop turn after all starts of a tick: to send many in one call. */
    void (*flush)(mgb_keeper_t *keeper);
} mgb_driver_t;

extern const mgb_driver_t mgb_driver_wol, mgb_driver_ipmi, mgb_driver_redfish,
    mgb_driver_agent, mgb_driver_exec;

/* driver.c.  The driver of a way; never NULL. */
const mgb_driver_t *mgb_driver_of(mgb_way_e way);

/* Calls job->done() with this result in the next turn of the loop, for what a driver
 * knows at once; both are copied.  Keeper; APR_ENOMEM: done() will not be called. */
apr_status_t mgb_driver_finish(const mgb_job_t *job, const mgb_done_t *done);

/* The same with a result and words for people, as printf. */
apr_status_t mgb_driver_say(const mgb_job_t *job, gb_ladder_result_e result,
                            const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* wol.c: opens the sockets that the machines' packets leave by and resolves wolto=
 * names; may block, so it is called before the loop runs and before privileges are
 * dropped.  What fails is logged and told again when a packet is to be sent. */
apr_status_t mgb_wol_create(mgb_keeper_t *keeper);

/* redfish.c: the keeper ends: ends what is under way without calling done(), and gives
 * the services their sessions back, for 1.5 s at most.  Runs the loop. */
void mgb_redfish_end(mgb_keeper_t *keeper);

/* wake.c: asks a machine's management controller or power driver whether it is powered,
 * by the first way that can tell, of its sleep ladder, then of its wake ladder.  False:
 * there is none, and done() will not be called; else done() is called once, from the
 * loop.  `rig` is an index into keeper->rigs.  Keeper. */
bool mgb_waker_ask(mgb_keeper_t *keeper, uint32_t rig, mgb_done_fn *done, void *baton);

#endif /* MGB_DRIVER_H */
