/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 framing, as much as the simulated server and the load generator share:
 * where a head ends, what a header says, where a body ends. */
#ifndef RIG_HTTP1_H
#define RIG_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the head with its empty line, or 0 when it is not complete yet. */
size_t http1_head_length(const char *data, size_t length);

/* Copies the value of the first header of that name; false when there is none or it
 * does not fit. The name is matched without regard to case. */
bool http1_header(const char *head, size_t length, const char *name, char *value,
                  size_t size);

/* Is the token in a comma-separated header value? Case does not matter. */
bool http1_list_has(const char *value, const char *token);

typedef enum {
    HTTP1_NO_BODY,
    HTTP1_LENGTH,
    HTTP1_CHUNKED,
    HTTP1_UNTIL_CLOSE
} http1_framing_t;

typedef enum { HTTP1_MORE, HTTP1_DONE, HTTP1_BAD } http1_progress_t;

typedef struct {
    http1_framing_t framing;
    int step;          /* of the chunked coding */
    uint64_t left;     /* bytes left of the body or of the chunk */
    uint64_t received; /* bytes of content so far */
} http1_body_t;

/* Reads the framing from a message's head; fallback is what a message has that says
 * nothing (none for requests, until close for responses). False: malformed. */
bool http1_body_begin(http1_body_t *body, const char *head, size_t length,
                      http1_framing_t fallback);

/* Consumes body bytes; *used says how many belonged to this body. */
http1_progress_t http1_body_feed(http1_body_t *body, const char *data, size_t length,
                                 size_t *used);

#endif
