/* SPDX-License-Identifier: Apache-2.0
 *
 * discrete.h - greensim's discrete mode: every request by itself, through the module's
 * own choice of a server, its waiting room and its states of machines.
 *
 * docs/greensim-discrete.md says what is exact and what is approximated.
 */
#ifndef GS_DISCRETE_H
#define GS_DISCRETE_H

#include "responses.h"

typedef enum gs_queue_e {
    GS_QUEUE_OFF = 0, /* every server full: on to the least loaded */
    GS_QUEUE_FIFO,    /* requests wait in the balancer */
    GS_QUEUE_LATE_LAST
} gs_queue_e;

typedef enum gs_service_e {
    GS_SERVICE_EXPONENTIAL = 0,
    GS_SERVICE_CONSTANT
} gs_service_e;

/* What the world does not say. */
typedef struct gs_discrete_conf_t {
    gs_queue_e queue;
    gs_service_e service;
    bool
        late_by_response;   /* a response beyond late_s is late; else a wait beyond
                               late_s - service_s, as Erlang's C and the policies count */
    bool every_tick;        /* ticks also while nothing can change: the same, slower */
    uint32_t min_on, spare; /* GreenAwake */
    double slow_start_s;    /* GreenSlowStart */
    double awake_dwell_s, asleep_dwell_s; /* GreenDwell */
    uint32_t cycles_per_day;              /* 0: as many as are wanted */
    uint32_t wakes_at_once;               /* GreenWake atonce=; 0: all */
    double drain_timeout_s;               /* GreenDrain */
} gs_discrete_conf_t;

/* As published policies are judged: no dwell, no limit of cycles, no slow start. */
void gs_discrete_defaults(gs_discrete_conf_t *conf, const gs_options_t *options);

/* Who decides, asked once a second of simulated time, or `asks` times. */
typedef gb_choice_t gs_choose_fn(void *baton, const gb_supply_t *supply,
                                 const gb_demand_t *demand);
typedef struct gs_decides_t {
    gs_policy_e policy; /* for the result */
    gs_choose_fn *choose;
    void *baton;
    uint32_t first; /* so many are on when the run begins */
    bool packs;
    bool is_instant;
    uint32_t asks; /* a divisor of 10, the ticks of a second; 0: 1 */
    const gb_policy_conf_t
        *threshold; /* the module's own threshold decides at each tick,
                       with these settings; `choose` is not asked */
} gs_decides_t;

/* What a run has counted, beyond a gs_result_t. */
typedef struct gs_discrete_counts_t {
    uint64_t arrived, served, left; /* left: not served a day after the trace's end */
    uint64_t late, late_responses;  /* by wait, and by response */
    uint64_t slow; /* of the late responses: those whose server took too long alone */
    uint64_t starts, failures; /* set-ups; of which failed */
    uint64_t waited;           /* had to wait in the balancer */
    uint64_t wronged; /* sent to a server that was off, or cut off by a shutdown: 0 */
    double wait_sum_s, response_sum_s;
} gs_discrete_counts_t;

/* One run over the world's trace.  `counts` may be NULL.  Fails when the trace has
 * nothing in it. */
bool gs_discrete_run_with(const gs_world_t *world, const gs_discrete_conf_t *conf,
                          const gs_decides_t *decides, gs_result_t *result,
                          gs_discrete_counts_t *counts, gs_error_t *error);

/* A run that follows a given number of servers: `on[i]` are on from i * step_s on. They
 * are ordered one set-up earlier, and let go when they are not wanted within the next
 * set-up. */
bool gs_discrete_follow(const gs_world_t *world, const gs_discrete_conf_t *conf,
                        const uint32_t *on, uint32_t count, uint32_t step_s,
                        gs_result_t *result, gs_error_t *error);

#endif /* GS_DISCRETE_H */
