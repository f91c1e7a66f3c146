/* SPDX-License-Identifier: Apache-2.0
 *
 * The magic packet, as a network card looks for it. */
#include "magic.h"

#include <stdio.h>
#include <string.h>

#define SYNC_BYTES  6
#define REPETITIONS 16
#define MAGIC_BYTES (SYNC_BYTES + REPETITIONS * MAGIC_ADDRESS_BYTES)

bool magic_parse_address(const char *text, uint8_t address[MAGIC_ADDRESS_BYTES])
{
    unsigned int part[MAGIC_ADDRESS_BYTES];
    char separator[5];
    int used = 0;

    if (sscanf(text, "%2x%1[:-]%2x%1[:-]%2x%1[:-]%2x%1[:-]%2x%1[:-]%2x%n", &part[0],
               separator, &part[1], separator, &part[2], separator, &part[3], separator,
               &part[4], separator, &part[5], &used) != 11 ||
        text[used]) {
        return false;
    }
    for (int i = 0; i < MAGIC_ADDRESS_BYTES; i++) {
        address[i] = (uint8_t)part[i];
    }
    return true;
}

static bool password_follows(const magic_t *magic, const uint8_t *after, size_t length)
{
    return length >= MAGIC_ADDRESS_BYTES &&
           memcmp(after, magic->password, MAGIC_ADDRESS_BYTES) == 0;
}

magic_match_t magic_match(const magic_t *magic, const uint8_t *payload, size_t length)
{
    uint8_t pattern[MAGIC_BYTES];
    const uint8_t *found;
    const uint8_t *after;

    memset(pattern, 0xff, SYNC_BYTES);
    for (size_t at = SYNC_BYTES; at < MAGIC_BYTES; at += MAGIC_ADDRESS_BYTES) {
        memcpy(pattern + at, magic->address, MAGIC_ADDRESS_BYTES);
    }
    found = memmem(payload, length, pattern, MAGIC_BYTES);
    if (!found) {
        return MAGIC_NONE;
    }
    after = found + MAGIC_BYTES;
    if (magic->has_password &&
        !password_follows(magic, after, length - (size_t)(after - payload))) {
        return MAGIC_WRONG_PASSWORD;
    }
    return MAGIC_WAKE;
}
