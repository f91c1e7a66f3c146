/* SPDX-License-Identifier: Apache-2.0
 *
 * departures.c - the heap of requests that are being served.
 */
#include "departures.h"

#include <stdlib.h>

#define CHILDREN 4u

void gs_departures_open(gs_departures_t *departures, uint32_t room)
{
    departures->count = 0;
    departures->room = room;
    departures->heap = gs_alloc(room, sizeof *departures->heap);
}

void gs_departures_close(gs_departures_t *departures)
{
    free(departures->heap);
    departures->heap = NULL;
    departures->count = departures->room = 0;
}

static bool is_before(const gs_departure_t *a, const gs_departure_t *b)
{
    if (a->at_ns != b->at_ns) {
        return a->at_ns < b->at_ns;
    }
    return a->server != b->server ? a->server < b->server : a->request < b->request;
}

void gs_departures_add(gs_departures_t *departures, gs_departure_t departure)
{
    gs_departure_t *heap = departures->heap;
    uint32_t at = departures->count++;

    while (at > 0) {
        uint32_t parent = (at - 1) / CHILDREN;

        if (!is_before(&departure, &heap[parent])) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = departure;
}

/* Puts one in at the top and lets it sink. */
static void sink(gs_departures_t *departures, gs_departure_t departure)
{
    gs_departure_t *heap = departures->heap;
    uint32_t count = departures->count;
    uint32_t at = 0;

    for (;;) {
        uint32_t child = CHILDREN * at + 1;
        uint32_t end = child + CHILDREN < count ? child + CHILDREN : count;
        uint32_t first = child;

        if (child >= count) {
            break;
        }
        for (child++; child < end; child++) {
            first = is_before(&heap[child], &heap[first]) ? child : first;
        }
        if (!is_before(&heap[first], &departure)) {
            break;
        }
        heap[at] = heap[first];
        at = first;
    }
    heap[at] = departure;
}

gs_departure_t gs_departures_take(gs_departures_t *departures)
{
    gs_departure_t top = departures->heap[0];

    departures->count--;
    if (departures->count > 0) {
        sink(departures, departures->heap[departures->count]);
    }
    return top;
}

void gs_departures_replace(gs_departures_t *departures, gs_departure_t departure)
{
    sink(departures, departure);
}
