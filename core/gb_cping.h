/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_cping.h - the one question that every AJP server answers.
 *
 * A proxy may send a CPING on a fresh AJP/1.3 connection; the server's whole answer is
 * a CPONG of five bytes.  It proves that the connector reads and writes, not that an
 * application behind it is well.
 */
#ifndef GB_CPING_H
#define GB_CPING_H

#include "gb_types.h"

#define GB_CPING_BYTES 5
#define GB_CPONG_BYTES 5

typedef enum gb_cpong_e {
    GB_CPONG_MORE = 0, /* right so far, not yet whole */
    GB_CPONG_GOOD,     /* a CPONG and nothing else */
    GB_CPONG_BAD       /* something else; more bytes cannot mend it */
} gb_cpong_e;

/* The packet to send: GB_CPING_BYTES bytes, a constant.  Any thread. */
const unsigned char *gb_cping_packet(void);

/* Judges the first `length` bytes that the server sent.  Never reads beyond them; any
 * content and length may be given, `answer` may be NULL when `length` is 0.  Bytes
 * after the CPONG are BAD: nothing was asked that they could answer.  Any thread. */
gb_cpong_e gb_cping_check(const unsigned char *answer, size_t length);

#endif /* GB_CPING_H */
