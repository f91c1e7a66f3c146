/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h - one question to one member, for health_check.c and reverse_health.c.
 *
 * All of it runs in the keeper's one thread, from its loop; nothing here blocks and no
 * lock is taken.  A probe always uses a connection of its own.
 */
#ifndef MGB_PROBE_H
#define MGB_PROBE_H

#include "keeper.h"
#include "core/gb_proof.h"

typedef struct mgb_prober_t mgb_prober_t; /* a libcurl multi handle on the loop */
typedef struct mgb_target_t mgb_target_t; /* where and how a member is asked */
typedef struct mgb_probe_t mgb_probe_t;   /* a question in flight */

typedef struct mgb_answer_t {
    gb_heard_e heard;
    bool ours; /* descriptors or memory ran out here: says nothing of the member */
    int64_t connect_us; /* how long connecting took; 0: it did not come to that */
    char why[GB_REASON_BYTES]; /* why it is not GOOD; printable; "" when GOOD */
} mgb_answer_t;

typedef void mgb_answer_fn(void *baton, const mgb_answer_t *answer);

/* Makes a prober; it is destroyed with `p`. */
apr_status_t mgb_prober_create(mgb_prober_t **prober, mgb_loop_t *loop, server_rec *s,
                               apr_pool_t *p);

/* Ends all probes without calling back, and frees libcurl's memory.  Not from within an
 * answer function.  May be called twice. */
void mgb_prober_destroy(mgb_prober_t *prober);

/* Works out how `worker` is to be asked: http https h2 h2c by a GET, ajp by a CPING,
 * any other scheme by connecting.  Everything is copied or built in `p`, but conf,
 * which has to live as long.  Never NULL: what cannot be asked is refused by each
 * start. */
mgb_target_t *mgb_target_make(const proxy_worker *worker, const mgb_probe_conf_t *conf,
                              apr_pool_t *p);

/* Asks.  The connection has to stand within `connect_us` and the whole answer to be
 * there within `total_us` (both from now).  `fn` is called once, from the loop, never
 * from within this function.  NULL: nothing was started, `refused` says why, and `fn`
 * will not be called. */
mgb_probe_t *mgb_probe_start(mgb_prober_t *prober, mgb_target_t *target,
                             int64_t connect_us, int64_t total_us, mgb_answer_fn *fn,
                             void *baton, mgb_answer_t *refused);

/* Ends a probe that has not answered yet; its `fn` will not be called. */
void mgb_probe_cancel(mgb_probe_t *probe);

#endif /* MGB_PROBE_H */
