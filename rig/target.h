/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom the load generator asks, and the bytes of each of its requests. */
#ifndef RIG_TARGET_H
#define RIG_TARGET_H

#include "load_options.h"

#include <netdb.h>

typedef struct {
    struct addrinfo *address;
    char *request; /* the same bytes for each */
    size_t request_length;
    bool head_only;
} target_t;

/* Looks the address up and writes the request, as the options say, or ends the program
 * with the reason. Both live as long as the program. */
void target_open(target_t *target, const load_options_t *options);

#endif
