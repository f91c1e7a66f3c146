/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_news.c - a saved state of NEWS may hold anything, and what was loaded has to
 * decide within its bounds.
 */
#include "core/gb_news.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVERS 5u

/* The checksum would keep the fuzzer out. */
static void seal(uint8_t *bytes)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < GB_NEWS_SAVED_BYTES - 8; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    for (unsigned i = 0; i < 8; i++) {
        bytes[GB_NEWS_SAVED_BYTES - 8 + i] = (uint8_t)(sum >> (8 * i));
    }
}

/* Half a minute of decisions on what was loaded. */
static void decide(gb_news_t *memory)
{
    static gb_tail_row_t rows[SERVERS + 1];
    static gb_upto_t upto[SERVERS + 1];
    static gb_tail_t tail = {.rows = rows, .room = SERVERS};
    gb_supply_t supply = {.servers = SERVERS,
                          .upto = upto,
                          .tail = &tail,
                          .service_s = 0.1,
                          .late_s = 0.5,
                          .rate_per_slot = 9,
                          .setup_s = 5,
                          .setup_watts = 100};
    gb_demand_t demand = {.now_us = GB_US_PER_S, .arrived = 50};

    if (tail.servers == 0) {
        double slots[SERVERS + 1];

        for (uint32_t k = 0; k <= SERVERS; k++) {
            slots[k] = 2.0 * k;
            upto[k] = (gb_upto_t){2.0 * k, 2.0 * k, 50.0 * k};
        }
        gb_tail_build(&tail, slots, SERVERS, 0.1, 0.4);
    }
    for (int i = 0; i < 150; i++) {
        gb_choice_t choice = gb_news_decide(memory, 0.005, &supply, &demand);

        if (choice.up < 1 || choice.up > choice.keep || choice.keep > SERVERS ||
            !(gb_news_view(memory).mean_rate >= 0)) {
            __builtin_trap();
        }
        demand.now_us += GB_US_PER_S;
        demand.day_s++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t saved[GB_NEWS_SAVED_BYTES];
    static gb_news_t memory;

    (void)gb_news_load(&memory, data, size);
    /* Something that may be loaded, with the input written over a part of it. */
    memset(&memory, 0, sizeof(memory));
    gb_news_save(&memory, saved);
    if (size >= 2) {
        size_t at = (size_t)(data[0] | data[1] << 8) % (GB_NEWS_SAVED_BYTES - 8);

        size = size - 2 < GB_NEWS_SAVED_BYTES - 8 - at ? size - 2
                                                       : GB_NEWS_SAVED_BYTES - 8 - at;
        memcpy(saved + at, data + 2, size);
    }
    seal(saved);
    if (gb_news_load(&memory, saved, sizeof(saved))) {
        if (!gb_news_sane(&memory.learned)) {
            __builtin_trap();
        }
        decide(&memory);
    }
    return 0;
}
