/* SPDX-License-Identifier: Apache-2.0
 *
 * boxes.h - the servers of the discrete simulation, as they really are: what they
 * serve, whether their power is on, what they draw.
 *
 * A server has cores, each of which serves one request at a time; who comes beyond that
 * waits in the server's own line, first come, first served (M/M/c, as Erlang's C has
 * it). Its power goes OFF -> BOOTING -> UP -> SHUTTING -> OFF; a boot may end in OFF.
 * The balancer's view of that is watch.h's.
 *
 * Energy is integrated exactly from event to event.
 */
#ifndef GS_BOXES_H
#define GS_BOXES_H

#include "departures.h"
#include "requests.h"

typedef enum gs_power_e { GS_OFF = 0, GS_BOOTING, GS_UP, GS_SHUTTING } gs_power_e;

typedef struct gs_box_t {
    uint32_t cores, busy;
    uint32_t capacity; /* the balancer fills it up to so many */
    gs_line_t line;
    double watts;  /* that it draws now */
    double joules; /* up to drawn_at_ns */
    int64_t drawn_at_ns;
    double *watts_busy; /* [cores + 1]: while so many cores are busy */
    double service_ns;  /* mean */
    int64_t limit_ns;   /* who has waited for longer is late */
    gs_power_e power;
    bool boot_fails;
    int64_t ends_ns;    /* when the boot or the shutdown ends; else INT64_MAX */
    int64_t settled_ns; /* when the last one has ended */
    const gs_server_t *server;
} gs_box_t;

typedef struct gs_boxes_t {
    uint32_t count, cores;
    gs_box_t *box;
    double *watts; /* what watts_busy points to */
    gs_requests_t requests;
    gs_departures_t departures;
    uint32_t in_line; /* requests that wait in servers' own lines */
    uint32_t crowded; /* servers that have more than their capacity */
    uint64_t
        wronged; /* sent to a server that was not up, or there when it was stopped */
    gs_random_t services, boots;
    bool is_constant; /* each request takes the mean */
} gs_boxes_t;

/* The fleet's servers, the first `up` of them on; `late_s` as in gs_fleet_t. */
void gs_boxes_open(gs_boxes_t *boxes, const gs_fleet_t *fleet, uint32_t up,
                   uint64_t seed, bool is_constant);
void gs_boxes_close(gs_boxes_t *boxes);

/* How a request's service begins, if it does. */
typedef struct gs_begun_t {
    bool begun;
    uint32_t request;
    int64_t waited_ns;
} gs_begun_t;

/* A request comes to a server: a core serves it, or it joins the server's line. */
gs_begun_t gs_boxes_enter(gs_boxes_t *boxes, uint32_t server, uint32_t request,
                          int64_t now_ns);
/* The earliest departure: the request's end; the first of the line is served next.  The
 * caller ends the request. */
gs_departure_t gs_boxes_leave(gs_boxes_t *boxes, gs_begun_t *next);

/* Orders; one that is as wanted already stays so.  A boot takes `setup_s`, and fails
 * after `fails_after_s` if that is not negative. */
void gs_boxes_start(gs_boxes_t *boxes, uint32_t server, double setup_s,
                    double fails_after_s, int64_t now_ns);
void gs_boxes_stop(gs_boxes_t *boxes, uint32_t server, int64_t now_ns);

/* Ends boots and shutdowns that are over, and accounts for energy up to now. */
void gs_box_advance(gs_box_t *box, int64_t now_ns);

/* Of all, up to now. */
double gs_boxes_joules(gs_boxes_t *boxes, int64_t now_ns);

#endif /* GS_BOXES_H */
