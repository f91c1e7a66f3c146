/* SPDX-License-Identifier: Apache-2.0
 *
 * servers.h - servers for the tests of policies, and numbers to draw.
 *
 * As in AutoScale's experiments: 8 slots of 120 ms (66.7 requests/s at most, 60 within
 * the goal), 140 W idle and 200 W in use, a set-up of 260 s at 200 W; late above 500
 * ms.
 */
#ifndef TEST_SERVERS_H
#define TEST_SERVERS_H

#include "core/gb_decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct servers_t {
    gb_supply_t supply;
    gb_tail_t tail;
    gb_upto_t upto[GB_MEMBERS_MAX + 1];
    gb_tail_row_t rows[GB_MEMBERS_MAX + 1];
    double slots[GB_MEMBERS_MAX + 1];
} servers_t;

/* The table of the servers' slots, after these have been changed. */
static inline void servers_tail(servers_t *servers)
{
    uint32_t k;

    for (k = 0; k <= servers->supply.servers; k++) {
        servers->slots[k] = servers->upto[k].slots;
    }
    servers->tail.rows = servers->rows;
    servers->tail.room = GB_MEMBERS_MAX;
    gb_tail_build(&servers->tail, servers->slots, servers->supply.servers,
                  servers->supply.service_s,
                  servers->supply.late_s - servers->supply.service_s);
}

/* `count` servers of that capacity each, `on` of which serve. */
static inline void servers_make(servers_t *servers, uint32_t count, double capacity,
                                uint32_t on)
{
    gb_supply_t supply = {
        .servers = count,
        .upto = servers->upto,
        .tail = &servers->tail,
        .service_s = 0.12,
        .late_s = 0.5,
        .rate_per_slot = 7.5,
        .setup_s = 260,
        .setup_watts = 200,
        .on = on,
        .capacity_on = capacity * on,
    };
    uint32_t k;

    for (k = 0; k <= count; k++) {
        gb_upto_t upto = {capacity * k, 8.0 * k, 140.0 * k};

        servers->upto[k] = upto;
    }
    servers->supply = supply;
    servers_tail(servers);
}

/* -------------------------------------------------------------- drawing */

typedef struct draw_t {
    uint64_t state;
} draw_t;

/* GB_SEED, or another one each time; printed. */
static inline draw_t draw_begin(const char *test)
{
    const char *given = getenv("GB_SEED");
    draw_t draw = {given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)};

    printf("%s: GB_SEED=%llu\n", test, (unsigned long long)draw.state);
    return draw;
}

/* 0 .. below - 1 */
static inline uint32_t draw_below(draw_t *draw, uint32_t below)
{
    draw->state =
        draw->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(draw->state >> 33) % below;
}

/* 0 .. 1 */
static inline double draw_share(draw_t *draw)
{
    return draw_below(draw, 1u << 30) / (double)(1u << 30);
}

static inline void draw_bytes(draw_t *draw, void *memory, size_t bytes)
{
    size_t i;

    for (i = 0; i < bytes; i++) {
        ((unsigned char *)memory)[i] = (unsigned char)draw_below(draw, 256);
    }
}

#endif /* TEST_SERVERS_H */
