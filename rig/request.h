/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client asked a simulated server for. */
#ifndef RIG_REQUEST_H
#define RIG_REQUEST_H

#include "http1.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char method[16];
    char path[256];
    bool keep_alive;
    double ms;   /* service time asked for; below 0: the server's own */
    double slow; /* seconds to trickle the body over */
    long bytes;  /* size of the body asked for; below 0: as it comes */
    long events; /* server-sent events that are left; below 0: none were asked for */
    double every_ms;    /* between them */
    char session[32];   /* name of the cookie to set; empty: none */
    char websocket[64]; /* its key; empty: no upgrade */
} request_t;

/* Reads the request line and the headers that matter from a complete head, which a NUL
 * may follow, and the body's framing. False: malformed. */
bool request_parse(request_t *request, http1_body_t *body, const char *head,
                   size_t head_length);

#endif
