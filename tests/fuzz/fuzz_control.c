/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_control.c - any bytes as a request to the keeper, and as names to be matched.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -o fuzz_control \
 *       tests/fuzz/fuzz_control.c core/gb_command.c
 *
 * What is taken must come out the same when it is written and read again.
 */
#include "core/gb_command.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void names(const uint8_t *data, size_t size)
{
    char first[512], second[512];
    size_t half = size / 2;

    if (half >= sizeof(first) || size - half >= sizeof(second)) {
        return;
    }
    memcpy(first, data, half);
    first[half] = '\0';
    memcpy(second, data + half, size - half);
    second[size - half] = '\0';
    (void)gb_command_match(first, second, first);
    (void)gb_command_match_balancer(first, second, second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_command_t command, again;
    char line[GB_COMMAND_BYTES + 1];
    size_t bytes;

    names(data, size);
    if (size >= GB_COMMAND_BYTES ||
        gb_command_parse(&command, (const char *)data, size) != NULL) {
        return 0;
    }
    bytes = gb_command_write(&command, line, sizeof(line));
    if (!bytes || gb_command_parse(&again, line, bytes - 1) != NULL ||
        memcmp(&command, &again, sizeof(again)) != 0) {
        abort();
    }
    return 0;
}
