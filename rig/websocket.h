/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of WebSocket (RFC 6455) as a server needs that sends back what it gets. */
#ifndef RIG_WEBSOCKET_H
#define RIG_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>

#define WEBSOCKET_ACCEPT_BYTES 29  /* 28 characters and NUL */
#define WEBSOCKET_REPLY_BYTES  127 /* head and the longest payload */

/* The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key. */
void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_BYTES]);

typedef enum {
    WEBSOCKET_MORE,  /* the frame is not complete */
    WEBSOCKET_REPLY, /* `reply` is to be sent */
    WEBSOCKET_LAST,  /* likewise, and it is the end */
    WEBSOCKET_BAD    /* fragmented, unmasked or longer than 125 bytes */
} websocket_result_t;

/* Reads one frame of a client; *used says how many bytes it had, *length how many the
 * reply has. A text or binary frame is sent back, a ping answered, a close echoed. */
websocket_result_t websocket_frame(const char *data, size_t size, size_t *used,
                                   char reply[WEBSOCKET_REPLY_BYTES], size_t *length);

#endif
