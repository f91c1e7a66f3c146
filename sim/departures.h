/* SPDX-License-Identifier: Apache-2.0
 *
 * departures.h - when the requests that are being served will end: a heap with four
 * children a node, the earliest on top.  Ties go by the order of server and request, so
 * that a run is the same with every compiler.
 */
#ifndef GS_DEPARTURES_H
#define GS_DEPARTURES_H

#include "greensim.h"

typedef struct gs_departure_t {
    int64_t at_ns;
    uint32_t server, request;
} gs_departure_t;

typedef struct gs_departures_t {
    uint32_t count, room;
    gs_departure_t *heap;
} gs_departures_t;

/* `room`: the most that are served at once, the cores of all servers. */
void gs_departures_open(gs_departures_t *departures, uint32_t room);
void gs_departures_close(gs_departures_t *departures);

/* Adds one; there has to be room.  Takes the earliest out; there has to be one. */
void gs_departures_add(gs_departures_t *departures, gs_departure_t departure);
gs_departure_t gs_departures_take(gs_departures_t *departures);
/* The earliest is over, and another one begins: both in one step. */
void gs_departures_replace(gs_departures_t *departures, gs_departure_t departure);

static inline int64_t gs_departures_next_ns(const gs_departures_t *departures)
{
    return departures->count ? departures->heap[0].at_ns : INT64_MAX;
}

#endif /* GS_DEPARTURES_H */
