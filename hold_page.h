/* SPDX-License-Identifier: Apache-2.0
 *
 * hold_page.h - what a client gets while no server can take its request: told apart
 * here, and answered here when it is not to wait.  Between hold.c and hold_page.c.
 */
#ifndef HOLD_PAGE_H
#define HOLD_PAGE_H

#include "mod_greenbalance.h"

/* What is known of the wait. */
typedef struct mgb_outlook_t {
    int64_t usual_us; /* median boot time, learned or first guess; 0: unknown */
    int64_t ready_us; /* from now until a server is probably ready; 0: unknown */
    int64_t retry_us; /* for Retry-After: from the 95 % quantile */
    bool hopeless; /* nothing can be woken: a failed wake, a pause, everything disabled
                    */
} mgb_outlook_t;

typedef enum mgb_visit_e {
    MGB_VISIT_HOLD,
    MGB_VISIT_PAGE,
    MGB_VISIT_REFUSE, /* 503, wakes */
    MGB_VISIT_IGNORE  /* 503, wakes nothing */
} mgb_visit_e;

/* post_config, after members.c: reads the files of page=PATH, so that children need no
 * right to them and no request does I/O for them. */
void mgb_page_register_hooks(apr_pool_t *p);

/* How a request that finds no server is treated.  Child, any thread; no lock, nothing
 * is kept.  An ap_expr of GreenWakeIgnore that fails counts as false, and is logged
 * once in each child. */
mgb_visit_e mgb_page_classify(request_rec *r, const mgb_hold_conf_t *conf);

/* Answers 503 with Retry-After, Cache-Control: no-store and Vary: the waiting page for
 * PAGE, else a short text, or problem+json for clients that like it better; HOLD (it
 * was held in vain) as REFUSE.  Returns what the pre_request hook of mod_proxy has to
 * return: DONE when the answer is written, or 503 when httpd has to answer, because the
 * administrator has an ErrorDocument for REFUSE or because r is a subrequest.  Child,
 * any thread; memory of r->pool. */
int mgb_page_answer(request_rec *r, const mgb_hold_conf_t *conf, mgb_visit_e visit,
                    const mgb_outlook_t *outlook);

#endif /* HOLD_PAGE_H */
