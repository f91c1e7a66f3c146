/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_log_format.c - any LogFormat string, and any line read by it: no crash, nothing
 * read beyond the line, and a line that fits tells a possible time.  The first line of
 * the input is the format, the rest the line; a second run reads it by the format
 * combined, with a day in the cache.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void try_line(gs_log_format_t *format, const char *line, size_t bytes)
{
    gs_log_entry_t entry = {0};
    gs_log_miss_t miss = {0};
    char why[200];

    if (gs_log_format_match(format, line, bytes, &entry, &miss)) {
        require(entry.took_us >= -1);
        require(entry.at_us < INT64_C(32503680001) * 1000000);
        require(abs(entry.zone_s) < 19 * 3600);
    }
    else {
        require(miss.at <= bytes && miss.item <= format->count);
        gs_log_miss_text(format, &miss, why, sizeof why);
        require(strlen(why) > 10);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char usual[] =
        "h - - [22/Nov/2026:08:30:20 +0100] \"-\" 200 - \"-\" \"-\"";
    static gs_log_format_t format;
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t bytes = newline ? (size_t)(newline - data) : size;
    size_t rest = newline ? size - bytes - 1 : 0;
    char *text = malloc(bytes + 1), *line = malloc(rest ? rest : 1);
    gs_error_t error;

    if (text && line) {
        if (bytes) {
            memcpy(text, data, bytes);
        }
        text[bytes] = '\0';
        if (rest) {
            memcpy(line, newline + 1, rest);
        }
        if (gs_log_format_read(&format, text, &error)) {
            try_line(&format, line, rest);
            try_line(&format, line, rest);
        }
        require(gs_log_format_read(&format, "combined", &error));
        try_line(&format, usual, sizeof usual - 1);
        try_line(&format, line, rest);
    }
    free(text);
    free(line);
    return 0;
}
