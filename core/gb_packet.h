/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_packet.h - the magic packet that wakes a network card.
 *
 * Six bytes 0xff, then the card's hardware address sixteen times; a card that is set to
 * SecureOn wants its six-byte password behind that.  Pure functions, any thread.
 */
#ifndef GB_PACKET_H
#define GB_PACKET_H

#include "gb_types.h"

#define GB_PACKET_BYTES        102
#define GB_PACKET_SECURE_BYTES 108
#define GB_MAC_TEXT_BYTES      18 /* "52:54:00:12:34:56" and the end */

/* Writes the packet for `mac` and returns its length in bytes; `password` is NULL for a
 * card without SecureOn. */
size_t gb_packet_build(unsigned char packet[GB_PACKET_SECURE_BYTES],
                       const unsigned char mac[6], const unsigned char password[6]);

/* Writes a hardware address with colons, in lower case. */
void gb_packet_write_mac(const unsigned char mac[6], char text[GB_MAC_TEXT_BYTES]);

/* Reads a SecureOn password: six pairs of hex digits between ':' or between '-'.  Any
 * bytes are allowed, unlike in a hardware address.  Accepts the whole text or nothing,
 * and writes only when it returns true. */
bool gb_packet_read_password(const char *text, unsigned char password[6]);

#endif /* GB_PACKET_H */
