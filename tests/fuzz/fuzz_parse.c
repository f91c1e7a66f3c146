/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_parse.c - every reader of gb_parse.c with any input: no crash, no value out of
 * its range, nothing written on refusal, and canonical forms that are read back
 * unchanged.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -I. \
 *       tests/fuzz/fuzz_parse.c core/gb_parse.c -o fuzz_parse
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void try_numbers(const char *text)
{
    uint32_t count = 0xdeadbeef, from = 0, to = 0;
    int64_t us = -7;
    double value = -7;
    bool on = false;

    require(gb_parse_duration(text, &us) ? us >= 0 : us == -7);
    us = -7;
    require(gb_parse_size(text, &us) ? us >= 0 : us == -7);
    require(gb_parse_count(text, 3, 4096, &count) ? count >= 3 && count <= 4096
                                                  : count == 0xdeadbeef);
    require(!gb_parse_percent(text, &count) || count <= 1000);
    require(!gb_parse_per_day(text, &count) || count >= 1);
    require(!gb_parse_statuses(text, &from, &to) ||
            (from >= 100 && from <= to && to <= 599));
    require(gb_parse_decimal(text, 12.5, &value) ? value >= 0 && value <= 12.5
                                                 : value == -7);
    require(!gb_parse_switch(text, &on) || strlen(text) <= 3);
}

static void try_watts(const char *text)
{
    double watts[11];

    if (gb_parse_watts(text, watts)) {
        for (size_t i = 0; i < 11; i++) {
            require(watts[i] >= 0 && watts[i] <= GB_WATTS_MOST);
        }
    }
}

static void try_address(const char *text)
{
    char once[GB_ADDRESS_BYTES], twice[GB_ADDRESS_BYTES];
    gb_address_t address, again;

    if (!gb_parse_address(text, GB_PORT_WOL, &address)) {
        return;
    }
    require(address.port != 0 &&
            memchr(address.host, '\0', sizeof address.host) != NULL);
    gb_parse_write_address(&address, once);
    require(gb_parse_address(once, 1, &again));
    gb_parse_write_address(&again, twice);
    require(strcmp(once, twice) == 0);
}

static void try_urls(const char *text)
{
    char url[GB_URL_BYTES] = "-", again[GB_URL_BYTES];
    char origin[GB_ORIGIN_BYTES] = "-", origin_again[GB_ORIGIN_BYTES];

    if (gb_parse_url(text, url)) {
        require(strlen(url) < sizeof url && gb_parse_url(url, again));
        require(strcmp(url, again) == 0 && url[strlen(url) - 1] != '/');
        require(gb_parse_origin(url, origin));
    }
    else {
        require(strcmp(url, "-") == 0);
    }
    if (gb_parse_origin(text, origin)) {
        require(gb_parse_origin(origin, origin_again));
        require(strcmp(origin, origin_again) == 0);
    }
    else {
        require(strcmp(origin, "-") == 0);
    }
    require(!gb_parse_printable(text, 2, 9) ||
            (strlen(text) >= 2 && strlen(text) <= 9));
}

static void try_words(const char *text)
{
    unsigned char mac[6] = {1};

    require(gb_parse_mac(text, mac) ? (mac[0] & 1) == 0 : mac[0] == 1);
    require(!gb_parse_name(text) || strlen(text) <= GB_WORD_MOST);
    require(!gb_parse_iface(text) || strlen(text) <= 15);
    require(!gb_parse_path(text) || (text[0] == '/' && strlen(text) <= GB_PATH_MOST));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (!text) {
        return 0;
    }
    if (size) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    try_numbers(text);
    try_watts(text);
    try_address(text);
    try_urls(text);
    try_words(text);
    free(text);
    return 0;
}
