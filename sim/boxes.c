/* SPDX-License-Identifier: Apache-2.0
 *
 * boxes.c - servers that serve, boot, shut down and draw power.
 */
#include "boxes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_SERVICES 0x5e4c
#define STREAM_BOOTS    0xb007
#define NS_PER_S        1e9

static void box_open(gs_box_t *box, const gs_server_t *server, double *watts,
                     double late_s, bool is_up)
{
    double limit_s = late_s - server->service_s;

    memset(box, 0, sizeof *box);
    box->server = server;
    box->cores = server->cores;
    box->capacity = server->capacity;
    box->watts_busy = watts;
    for (uint32_t i = 0; i <= box->cores; i++) {
        watts[i] = gb_curve_watts_at(&server->curve, (double)i / box->cores);
    }
    gs_line_open(&box->line);
    box->service_ns = server->service_s * NS_PER_S;
    box->limit_ns = limit_s > 0 ? (int64_t)llround(limit_s * NS_PER_S) : 0;
    box->power = is_up ? GS_UP : GS_OFF;
    box->watts = is_up ? watts[0] : server->curve.off_watts;
    box->ends_ns = INT64_MAX;
}

void gs_boxes_open(gs_boxes_t *boxes, const gs_fleet_t *fleet, uint32_t up,
                   uint64_t seed, bool is_constant)
{
    double *watts;

    memset(boxes, 0, sizeof *boxes);
    boxes->count = fleet->count;
    boxes->is_constant = is_constant;
    for (uint32_t i = 0; i < fleet->count; i++) {
        boxes->cores += fleet->servers[i].cores;
    }
    boxes->box = gs_alloc(boxes->count, sizeof *boxes->box);
    boxes->watts = watts = gs_alloc(boxes->cores + boxes->count, sizeof *watts);
    for (uint32_t i = 0; i < fleet->count; i++) {
        box_open(&boxes->box[i], &fleet->servers[i], watts, fleet->late_s, i < up);
        watts += fleet->servers[i].cores + 1;
    }
    gs_requests_open(&boxes->requests);
    gs_departures_open(&boxes->departures, boxes->cores);
    gs_random_seed(&boxes->services, seed, STREAM_SERVICES);
    gs_random_seed(&boxes->boots, seed, STREAM_BOOTS);
}

void gs_boxes_close(gs_boxes_t *boxes)
{
    gs_requests_close(&boxes->requests);
    gs_departures_close(&boxes->departures);
    free(boxes->watts);
    free(boxes->box);
    memset(boxes, 0, sizeof *boxes);
}

/* ------------------------------------------------------------------ energy */

static void account(gs_box_t *box, int64_t now_ns)
{
    box->joules += box->watts * ((double)(now_ns - box->drawn_at_ns) / NS_PER_S);
    box->drawn_at_ns = now_ns;
}

void gs_box_advance(gs_box_t *box, int64_t now_ns)
{
    if (box->ends_ns <= now_ns) {
        bool comes_up = box->power == GS_BOOTING && !box->boot_fails;

        account(box, box->ends_ns);
        box->settled_ns = box->ends_ns;
        box->ends_ns = INT64_MAX;
        box->power = comes_up ? GS_UP : GS_OFF;
        box->watts = comes_up ? box->watts_busy[0] : box->server->curve.off_watts;
    }
    account(box, now_ns);
}

double gs_boxes_joules(gs_boxes_t *boxes, int64_t now_ns)
{
    double joules = 0;

    for (uint32_t i = 0; i < boxes->count; i++) {
        gs_box_advance(&boxes->box[i], now_ns);
        joules += boxes->box[i].joules;
    }
    return joules;
}

/* ------------------------------------------------------------------ service */

static int64_t service_draw(gs_boxes_t *boxes, const gs_box_t *box)
{
    double mean_ns = box->service_ns;

    if (!boxes->is_constant) {
        mean_ns *= -log(1.0 - gs_random_unit(&boxes->services));
    }
    return (int64_t)(mean_ns + 0.5);
}

static gs_begun_t begun(const gs_boxes_t *boxes, uint32_t request, int64_t now_ns)
{
    gs_begun_t start = {true, request, now_ns - boxes->requests.at[request].arrived_ns};

    return start;
}

gs_begun_t gs_boxes_enter(gs_boxes_t *boxes, uint32_t server, uint32_t request,
                          int64_t now_ns)
{
    gs_box_t *box = &boxes->box[server];
    gs_departure_t end = {now_ns, server, request};
    gs_begun_t nobody = {false, GS_NOBODY, 0};

    boxes->wronged += box->power != GS_UP;
    boxes->requests.at[request].entered_ns = now_ns;
    boxes->crowded += box->busy + box->line.count == box->capacity;
    if (box->busy == box->cores) {
        gs_line_join(&box->line, &boxes->requests, request);
        boxes->in_line++;
        return nobody;
    }
    account(box, now_ns);
    box->busy++;
    box->watts = box->watts_busy[box->busy];
    end.at_ns += service_draw(boxes, box);
    gs_departures_add(&boxes->departures, end);
    return begun(boxes, request, now_ns);
}

gs_departure_t gs_boxes_leave(gs_boxes_t *boxes, gs_begun_t *next)
{
    gs_departure_t left = boxes->departures.heap[0];
    gs_box_t *box = &boxes->box[left.server];
    gs_departure_t end = {left.at_ns, left.server, GS_NOBODY};

    boxes->crowded -= box->busy + box->line.count == box->capacity + 1;
    end.request = gs_line_take(&box->line, &boxes->requests);
    if (end.request != GS_NOBODY) {
        boxes->in_line--;
        end.at_ns += service_draw(boxes, box);
        gs_departures_replace(&boxes->departures, end);
        *next = begun(boxes, end.request, left.at_ns);
        return left;
    }
    (void)gs_departures_take(&boxes->departures);
    account(box, left.at_ns);
    box->busy--;
    box->watts = box->watts_busy[box->busy];
    next->begun = false;
    return left;
}

/* ------------------------------------------------------------------ power */

void gs_boxes_start(gs_boxes_t *boxes, uint32_t server, double setup_s,
                    double fails_after_s, int64_t now_ns)
{
    gs_box_t *box = &boxes->box[server];
    double takes_s = fails_after_s >= 0 ? fails_after_s : setup_s;

    gs_box_advance(box, now_ns);
    if (box->power != GS_OFF) {
        return; /* on its way down it cannot be called back: the caller asks again */
    }
    box->power = GS_BOOTING;
    box->boot_fails = fails_after_s >= 0;
    box->watts = box->server->setup_watts;
    box->ends_ns = now_ns + (int64_t)llround(takes_s * NS_PER_S);
    gs_box_advance(box, now_ns);
}

void gs_boxes_stop(gs_boxes_t *boxes, uint32_t server, int64_t now_ns)
{
    gs_box_t *box = &boxes->box[server];

    gs_box_advance(box, now_ns);
    if (box->power != GS_UP) {
        return;
    }
    boxes->wronged += box->busy + box->line.count;
    box->power = GS_SHUTTING;
    box->ends_ns = now_ns + (int64_t)llround(box->server->shutdown_s * NS_PER_S);
    gs_box_advance(box, now_ns);
}
