/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_packet.c - magic packets; see gb_packet.h.
 */
#include "gb_packet.h"

#include "gb_ascii.h"

#include <string.h>

#define SYNC_BYTES 6
#define MAC_BYTES  6
#define MAC_TIMES  16

size_t gb_packet_build(unsigned char packet[GB_PACKET_SECURE_BYTES],
                       const unsigned char mac[6], const unsigned char password[6])
{
    memset(packet, 0xff, SYNC_BYTES);
    for (size_t i = 0; i < MAC_TIMES; i++) {
        memcpy(packet + SYNC_BYTES + i * MAC_BYTES, mac, MAC_BYTES);
    }
    if (!password) {
        return GB_PACKET_BYTES;
    }
    memcpy(packet + GB_PACKET_BYTES, password, 6);
    return GB_PACKET_SECURE_BYTES;
}

void gb_packet_write_mac(const unsigned char mac[6], char text[GB_MAC_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < MAC_BYTES; i++) {
        text[3 * i] = digits[mac[i] >> 4];
        text[3 * i + 1] = digits[mac[i] & 15];
        text[3 * i + 2] = ':';
    }
    text[GB_MAC_TEXT_BYTES - 1] = '\0';
}

bool gb_packet_read_password(const char *text, unsigned char password[6])
{
    unsigned char bytes[6];

    if (!text || strlen(text) != GB_MAC_TEXT_BYTES - 1 ||
        (text[2] != ':' && text[2] != '-')) {
        return false;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        int high = gb_ascii_hex(text[3 * i]), low = gb_ascii_hex(text[3 * i + 1]);

        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != text[2])) {
            return false;
        }
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    memcpy(password, bytes, sizeof bytes);
    return true;
}
