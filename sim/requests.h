/* SPDX-License-Identifier: Apache-2.0
 *
 * requests.h - requests of the discrete simulation that have come and not ended, and
 * the lines in which they wait.
 *
 * All requests lie in one pool, which grows by doubling and is never given back before
 * the end of a run, so that an event allocates nothing.  A line is a list within it.  A
 * request is in one line at most.
 */
#ifndef GS_REQUESTS_H
#define GS_REQUESTS_H

#include "greensim.h"

#define GS_NOBODY UINT32_MAX

typedef struct gs_request_t {
    int64_t arrived_ns;
    int64_t entered_ns; /* when it came to its server */
    uint32_t next;      /* in its line, or among those that are free */
} gs_request_t;

typedef struct gs_requests_t {
    gs_request_t *at;
    uint32_t room;
    uint32_t used;       /* in the system now */
    uint32_t first_free; /* of a list; GS_NOBODY: all are used */
} gs_requests_t;

/* First come, first served. */
typedef struct gs_line_t {
    uint32_t first, last; /* GS_NOBODY: nobody */
    uint32_t count;
} gs_line_t;

void gs_requests_open(gs_requests_t *requests);
void gs_requests_close(gs_requests_t *requests);

/* One more; its index, which stays until gs_requests_end(). */
uint32_t gs_requests_begin(gs_requests_t *requests, int64_t arrived_ns);
void gs_requests_end(gs_requests_t *requests, uint32_t request);

void gs_line_open(gs_line_t *line);
void gs_line_join(gs_line_t *line, gs_requests_t *requests, uint32_t request);
/* Takes the first one out; GS_NOBODY when there is none. */
uint32_t gs_line_take(gs_line_t *line, const gs_requests_t *requests);

/* The balancer's waiting room, in the order of core/gb_queue.h: with late-last the
 * oldest that has waited for less than its patience, and only when there is none the
 * oldest of all; else the oldest.  The core looks for it among all places, since they
 * are few and shared by processes; here two lines do the same at once. */
typedef struct gs_room_t {
    gs_line_t in_time, late;
    int64_t patience_ns; /* 0: first come, first served */
} gs_room_t;

void gs_room_open(gs_room_t *room, int64_t patience_ns);
void gs_room_join(gs_room_t *room, gs_requests_t *requests, uint32_t request);
/* Takes the next one out; GS_NOBODY when nobody waits. */
uint32_t gs_room_take(gs_room_t *room, gs_requests_t *requests, int64_t now_ns);

static inline uint32_t gs_room_count(const gs_room_t *room)
{
    return room->in_time.count + room->late.count;
}

#endif /* GS_REQUESTS_H */
