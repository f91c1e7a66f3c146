/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_reply.h - reads an HTTP/1 response as far as a health check needs it: the status,
 * and where it ends.
 *
 * Bytes come in pieces as the network gives them; nothing is kept but the beginning of
 * the line that is being read.  Every byte is hostile, and everything is bounded.
 */
#ifndef GB_REPLY_H
#define GB_REPLY_H

#include "gb_types.h"

#define GB_REPLY_HEAD_MOST 32768u /* bytes of all lines before the body */
#define GB_REPLY_BODY_MOST 65536u /* more is not read: the status has been told */
#define GB_REPLY_LINE      96     /* so much of a line is looked at */

typedef enum gb_reply_e {
    GB_REPLY_MORE = 0, /* right so far, not at its end */
    GB_REPLY_WHOLE,    /* at its end, or enough of the body has come */
    GB_REPLY_BAD       /* not HTTP/1, or over the limits; gb_reply_t.why says what */
} gb_reply_e;

typedef struct gb_reply_t {
    uint32_t status; /* 100..999 once the status line has come, else 0 */
    const char *why; /* a literal when BAD, else NULL */
    uint32_t state;  /* private from here on */
    uint32_t head_bytes, body_bytes;
    uint32_t framing;
    uint32_t line_bytes; /* of the current line, all; the first are in `line` */
    uint64_t left_bytes; /* of the body or of the chunk */
    char line[GB_REPLY_LINE];
} gb_reply_t;

/* Before the first byte. */
void gb_reply_init(gb_reply_t *reply);

/* Takes the next `length` bytes (any number).  After WHOLE or BAD the same is returned
 * again, whatever comes.  Interim responses (1xx) are passed over. */
gb_reply_e gb_reply_take(gb_reply_t *reply, const unsigned char *data, size_t length);

/* The server has closed the connection: WHOLE when that ends the response, else BAD. */
gb_reply_e gb_reply_close(gb_reply_t *reply);

#endif /* GB_REPLY_H */
