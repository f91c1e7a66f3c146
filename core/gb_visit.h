/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_visit.h - what a request that finds no server is, by its header: one that can
 * wait, somebody who looks at a page, or one for which nothing shall be woken.
 *
 * Values come from the network as they are: any bytes, any length, NULL when the field
 * is absent.  Several fields of one name come joined by commas.  What cannot be read is
 * passed over, as RFC 9110 and RFC 7240 ask; nothing is kept.
 */
#ifndef GB_VISIT_H
#define GB_VISIT_H

#include "gb_types.h"

typedef enum gb_visit_e {
    GB_VISIT_HOLD = 0, /* waits for a server */
    GB_VISIT_PAGE,     /* somebody looks at the waiting page, or is to see it now */
    GB_VISIT_REFUSE,   /* does not wait (Prefer: wait=0), and wakes a server */
    GB_VISIT_IGNORE    /* does not wait, wakes nothing (Prefer: respond-async) */
} gb_visit_e;

typedef struct gb_visit_t {
    const char *method;
    const char *accept;     /* Accept */
    const char *prefer;     /* Prefer */
    const char *fetch_mode; /* Sec-Fetch-Mode */
    const char *fetch_dest; /* Sec-Fetch-Dest */
    bool scripted;          /* has X-Requested-With */
    bool partial;           /* has Range or Upgrade */
} gb_visit_t;

/* The class of a request; `page`: is there a waiting page?  A preference comes first; a
 * HEAD with wait=0 is the waiting page's, which tells that it is still looked at.  A
 * page is for a GET that names text/html in Accept (a wildcard does not), and which the
 * browser, where it says so, calls a navigation of a document or a frame.  Where it
 * says nothing, X-Requested-With tells a script; browsers within Android's apps send it
 * with navigations, too, so it counts for nothing else. */
gb_visit_e gb_visit_class(const gb_visit_t *visit, bool page);

/* Does a client like JSON better than text, plain or HTML? */
bool gb_visit_likes_json(const char *accept);

/* Whole seconds for Retry-After: rounded up, at least 1. */
uint32_t gb_visit_seconds(int64_t wait_us);

/* A wait in words for people, "about 40 seconds", as exact as a guess deserves.  The
 * text and its NUL are cut to `room` bytes; 32 always do. */
void gb_visit_words(int64_t wait_us, char *text, size_t room);

#endif /* GB_VISIT_H */
