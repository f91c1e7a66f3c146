/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_bmc.c - hostile output of tools and power drivers (libFuzzer's entry point).
 *
 * Beside "reads nothing beyond the line" (the sanitizer's part): what comes out is
 * printable, and a status is never both or neither.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_bmc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *text, size_t room)
{
    size_t length = strnlen(text, room);

    if (length == room) {
        abort();
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            abort();
        }
    }
}

static void check_line(const char *line, size_t length)
{
    gb_bmc_line_t said;

    if (!gb_bmc_read_line(line, length, &said)) {
        return;
    }
    check_printable(said.host, sizeof said.host);
    check_printable(said.text, sizeof said.text);
    if ((unsigned)said.word >= GB_BMC_WORDS || !said.host[0] ||
        (said.word == GB_BMC_WATTS &&
         (!isfinite(said.watts) || said.watts < 0 || said.watts > GB_WATTS_MOST))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_bmc_driver_t driver;
    bool powered;
    double watts;

    memset(&driver, 0, sizeof driver);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;
        /* A copy of just the line, so that the sanitizer sees its end. */
        char *line = malloc(length ? length : 1);

        if (!line) {
            return 0;
        }
        memcpy(line, data + at, length);
        check_line(line, length);
        gb_bmc_driver_line(&driver, line, length);
        free(line);
        at += length + 1;
    }
    check_printable(driver.last, sizeof driver.last);
    if (gb_bmc_driver_status(&driver, &powered) && (driver.ons > 0) != powered) {
        abort();
    }
    if (gb_bmc_driver_watts(&driver, &watts) &&
        (!isfinite(watts) || watts < 0 || watts > GB_WATTS_MOST)) {
        abort();
    }
    return 0;
}
