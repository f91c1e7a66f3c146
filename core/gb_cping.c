/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_cping.c - AJP/1.3: a packet is a magic of two bytes (one for each direction), the
 * length of the payload, big-endian, and the payload, here one byte of message type.
 */
#include "gb_cping.h"

/* From the web server: 0x1234, length 1, type 10. */
static const unsigned char cping[GB_CPING_BYTES] = {0x12, 0x34, 0x00, 0x01, 0x0a};

/* From the container: "AB", length 1, type 9. */
static const unsigned char cpong[GB_CPONG_BYTES] = {'A', 'B', 0x00, 0x01, 0x09};

const unsigned char *gb_cping_packet(void)
{
    return cping;
}

gb_cpong_e gb_cping_check(const unsigned char *answer, size_t length)
{
    if (length > GB_CPONG_BYTES) {
        return GB_CPONG_BAD;
    }
    for (size_t i = 0; i < length; i++) {
        if (answer[i] != cpong[i]) {
            return GB_CPONG_BAD;
        }
    }
    return length == GB_CPONG_BYTES ? GB_CPONG_GOOD : GB_CPONG_MORE;
}
