/* SPDX-License-Identifier: Apache-2.0
 *
 * multi.h - libcurl's transfers on the keeper's loop: a multi handle whose descriptors
 * and time-outs the loop watches.
 *
 * All of it is the keeper's, in its one thread, from its loop; nothing blocks and no
 * lock is taken.  mgb_libcurl_load() has to have said true before.
 */
#ifndef MGB_MULTI_H
#define MGB_MULTI_H

#include "keeper.h"

#include "libcurl.h"

#define MGB_MULTI_AGENT "mod_greenbalance/" MGB_VERSION

/* `transfer` is what mgb_multi_set_up() was given. */
typedef struct mgb_multi_calls_t {
    /* It has ended.  From the loop; may free the transfer and begin others. */
    void (*done)(void *transfer, CURLcode code);
    /* The loop has no room for its descriptor: it will time out, by our own fault. */
    void (*unwatched)(void *transfer);
} mgb_multi_calls_t;

/* Lives in its owner's memory; zeroed before it is created. */
typedef struct mgb_multi_t {
    CURLM *curl; /* NULL: not created */
    /* its own: */
    mgb_loop_t *loop;
    const mgb_multi_calls_t *calls;
    uint64_t timer;      /* 0: none is set */
    int64_t timer_at_us; /* when it fires */
    int64_t curl_at_us;  /* when libcurl wants to be called; GB_NEVER_US: need not be */
} mgb_multi_t;

/* Makes the handle; `calls` has to live as long.  False: there is no memory. */
bool mgb_multi_create(mgb_multi_t *multi, mgb_loop_t *loop,
                      const mgb_multi_calls_t *calls);

/* What was added is begun now, not when the loop comes to it.  May call done(). */
void mgb_multi_begin(mgb_multi_t *multi);

/* Ends it; its transfers have been removed before.  May be called twice. */
void mgb_multi_destroy(mgb_multi_t *multi);

/* Options that every transfer of the keeper has: http and https only, no proxy of the
 * environment, no redirect, no signal, no waiting for a resolver that hangs. */
void mgb_multi_set_up(CURL *easy, void *transfer);

#endif /* MGB_MULTI_H */
