/* SPDX-License-Identifier: Apache-2.0
 *
 * The magic packet: six times FF, then sixteen times the card's address, anywhere in
 * a payload; with SecureOn, six bytes of password after it. */
#ifndef RIG_MAGIC_H
#define RIG_MAGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAGIC_ADDRESS_BYTES 6

typedef struct {
    uint8_t address[MAGIC_ADDRESS_BYTES];
    uint8_t password[MAGIC_ADDRESS_BYTES];
    bool has_password;
} magic_t;

typedef enum { MAGIC_NONE, MAGIC_WAKE, MAGIC_WRONG_PASSWORD } magic_match_t;

/* "52:54:00:12:34:56", also with dashes. */
bool magic_parse_address(const char *text, uint8_t address[MAGIC_ADDRESS_BYTES]);

magic_match_t magic_match(const magic_t *magic, const uint8_t *payload, size_t length);

#endif
