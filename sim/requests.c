/* SPDX-License-Identifier: Apache-2.0
 *
 * requests.c - the pool of requests, and lines of them.
 */
#include "requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 1024u

void gs_requests_open(gs_requests_t *requests)
{
    memset(requests, 0, sizeof *requests);
    requests->first_free = GS_NOBODY;
}

void gs_requests_close(gs_requests_t *requests)
{
    free(requests->at);
    gs_requests_open(requests);
}

/* Twice as many as before. */
static void grow(gs_requests_t *requests)
{
    uint32_t room = requests->room ? 2 * requests->room : ROOM_FIRST;
    gs_request_t *at;

    if (room <= requests->room) {
        fputs("greensim: more than 2^31 requests wait: the servers cannot carry this "
              "load\n",
              stderr);
        exit(EXIT_FAILURE);
    }
    at = gs_alloc(room, sizeof *at);
    if (requests->room) {
        memcpy(at, requests->at, requests->room * sizeof *at);
    }
    free(requests->at);
    requests->at = at;
    for (uint32_t i = room; i-- > requests->room;) {
        at[i].next = requests->first_free;
        requests->first_free = i;
    }
    requests->room = room;
}

uint32_t gs_requests_begin(gs_requests_t *requests, int64_t arrived_ns)
{
    uint32_t request;

    if (requests->first_free == GS_NOBODY) {
        grow(requests);
    }
    request = requests->first_free;
    requests->first_free = requests->at[request].next;
    requests->at[request].arrived_ns = arrived_ns;
    requests->at[request].next = GS_NOBODY;
    requests->used++;
    return request;
}

void gs_requests_end(gs_requests_t *requests, uint32_t request)
{
    requests->at[request].next = requests->first_free;
    requests->first_free = request;
    requests->used--;
}

void gs_line_open(gs_line_t *line)
{
    line->first = line->last = GS_NOBODY;
    line->count = 0;
}

void gs_line_join(gs_line_t *line, gs_requests_t *requests, uint32_t request)
{
    requests->at[request].next = GS_NOBODY;
    if (line->last == GS_NOBODY) {
        line->first = request;
    }
    else {
        requests->at[line->last].next = request;
    }
    line->last = request;
    line->count++;
}

uint32_t gs_line_take(gs_line_t *line, const gs_requests_t *requests)
{
    uint32_t request = line->first;

    if (request == GS_NOBODY) {
        return GS_NOBODY;
    }
    line->first = requests->at[request].next;
    if (line->first == GS_NOBODY) {
        line->last = GS_NOBODY;
    }
    line->count--;
    return request;
}

void gs_room_open(gs_room_t *room, int64_t patience_ns)
{
    gs_line_open(&room->in_time);
    gs_line_open(&room->late);
    room->patience_ns = patience_ns;
}

void gs_room_join(gs_room_t *room, gs_requests_t *requests, uint32_t request)
{
    gs_line_join(&room->in_time, requests, request);
}

uint32_t gs_room_take(gs_room_t *room, gs_requests_t *requests, int64_t now_ns)
{
    gs_line_t *in_time = &room->in_time;

    /* They come in the order of their arrival, so both lines stay in it. */
    while (room->patience_ns > 0 && in_time->first != GS_NOBODY &&
           now_ns - requests->at[in_time->first].arrived_ns >= room->patience_ns) {
        gs_line_join(&room->late, requests, gs_line_take(in_time, requests));
    }
    return gs_line_take(in_time->first != GS_NOBODY ? in_time : &room->late, requests);
}
