/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSocket frames of at most 125 bytes, sent back to who sent them. */
#include "websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define FIN        0x80u
#define MASKED     0x80u
#define SHORT_MOST 125u

enum { OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_BYTES])
{
    char text[256];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int length =
        snprintf(text, sizeof text, "%.128s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    SHA1((const unsigned char *)text, (size_t)length, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
}

websocket_result_t websocket_frame(const char *data, size_t size, size_t *used,
                                   char reply[WEBSOCKET_REPLY_BYTES], size_t *length)
{
    const unsigned char *byte = (const unsigned char *)data;
    unsigned opcode;
    size_t payload;

    *used = *length = 0;
    if (size < 6) {
        return WEBSOCKET_MORE;
    }
    opcode = byte[0] & 0x0fu;
    payload = byte[1] & 0x7fu;
    if (!(byte[0] & FIN) || !(byte[1] & MASKED) || payload > SHORT_MOST) {
        return WEBSOCKET_BAD;
    }
    if (size < 6 + payload) {
        return WEBSOCKET_MORE;
    }
    *used = 6 + payload;
    if (opcode == OP_PONG) {
        return WEBSOCKET_REPLY; /* of no bytes */
    }
    reply[0] = (char)(FIN | (opcode == OP_PING ? (unsigned)OP_PONG : opcode));
    reply[1] = (char)payload;
    for (size_t i = 0; i < payload; i++) {
        reply[2 + i] = (char)(byte[6 + i] ^ byte[2 + i % 4]);
    }
    *length = 2 + payload;
    return opcode == OP_CLOSE ? WEBSOCKET_LAST : WEBSOCKET_REPLY;
}
