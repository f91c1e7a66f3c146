/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_reply.c - an HTTP/1 response, line by line, then its body by length, in chunks, or
 * up to the end of the connection.
 */
#include "gb_reply.h"

#include "gb_ascii.h"

#include <string.h>

typedef enum state_e {
    AT_STATUS = 0, /* lines: */
    AT_HEADER,
    AT_CHUNK,     /* the line with a chunk's size */
    AT_CHUNK_END, /* the empty line after its data */
    AT_TRAILER,
    IN_BODY, /* bytes: */
    IN_CHUNK,
    AT_END,
    AT_FAULT
} state_e;

typedef enum framing_e { BY_CLOSE = 0, BY_LENGTH, BY_CHUNKS } framing_e;

void gb_reply_init(gb_reply_t *reply)
{
    memset(reply, 0, sizeof(*reply));
}

static void fault(gb_reply_t *reply, const char *why)
{
    reply->state = AT_FAULT;
    reply->why = why;
}

/* "HTTP/1.x NNN", then a space and anything, or nothing. */
static void status_line(gb_reply_t *reply)
{
    const char *l = reply->line;

    if (memcmp(l, "HTTP/1.", 7) || !gb_ascii_is_digit(l[7]) || l[8] != ' ' ||
        l[9] < '1' || !gb_ascii_is_digit(l[9]) || !gb_ascii_is_digit(l[10]) ||
        !gb_ascii_is_digit(l[11]) || (l[12] && l[12] != ' ')) {
        fault(reply, "answer is not HTTP/1");
        return;
    }
    reply->status = (uint32_t)((l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0'));
    reply->framing = BY_CLOSE;
    reply->state = AT_HEADER;
}

/* The value of the header line when it has this name (lower case), else NULL. */
static const char *value_of(const char *line, const char *name)
{
    while (*name) {
        if (gb_ascii_lower(*line++) != *name++) {
            return NULL;
        }
    }
    if (*line++ != ':') {
        return NULL;
    }
    return line + strspn(line, " \t");
}

static void length_header(gb_reply_t *reply, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    uint64_t length = 0;

    if (digits == 0 || digits > 18 || value[digits + strspn(value + digits, " \t")]) {
        fault(reply, "answer has a Content-Length that is not a number");
        return;
    }
    for (size_t i = 0; i < digits; i++) {
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (reply->framing == BY_LENGTH && reply->left_bytes != length) {
        fault(reply, "answer has two values of Content-Length");
        return;
    }
    if (reply->framing == BY_CLOSE) { /* chunks, if told of, outweigh it */
        reply->framing = BY_LENGTH;
        reply->left_bytes = length;
    }
}

/* Chunks come last of all encodings; any other last one ends with the connection. */
static bool chunked(const char *value)
{
    static const char word[] = "chunked";
    size_t length = strlen(value);

    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) {
        length--;
    }
    if (length < sizeof(word) - 1) {
        return false;
    }
    value += length - (sizeof(word) - 1);
    for (size_t i = 0; i < sizeof(word) - 1; i++) {
        if (gb_ascii_lower(value[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

/* The empty line: what follows, and is anything to follow? */
static void head_end(gb_reply_t *reply)
{
    if (reply->status < 200 && reply->status != 101) {
        reply->state = AT_STATUS;
    }
    else if (reply->status < 200 || reply->status == 204 || reply->status == 304) {
        reply->state = AT_END;
    }
    else if (reply->framing == BY_CHUNKS) {
        reply->state = AT_CHUNK;
    }
    else if (reply->framing == BY_LENGTH && reply->left_bytes == 0) {
        reply->state = AT_END;
    }
    else {
        reply->state = IN_BODY;
    }
}

static void header_line(gb_reply_t *reply)
{
    const char *value;

    if (reply->line_bytes == 0) {
        head_end(reply);
    }
    else if ((value = value_of(reply->line, "content-length")) != NULL) {
        length_header(reply, value);
    }
    else if ((value = value_of(reply->line, "transfer-encoding")) != NULL &&
             chunked(value)) {
        reply->framing = BY_CHUNKS;
    }
}

static void chunk_line(gb_reply_t *reply)
{
    uint64_t size = 0;
    int digits = 0;

    for (const char *c = reply->line;; c++, digits++) {
        char l = gb_ascii_lower(*c);
        int value = gb_ascii_is_digit(l)   ? l - '0'
                    : l >= 'a' && l <= 'f' ? l - 'a' + 10
                                           : -1;

        if (value < 0) {
            break;
        }
        if (digits == 8) { /* far beyond what is read of a body */
            size = UINT32_MAX;
            break;
        }
        size = size * 16 + (uint64_t)value;
    }
    if (digits == 0) {
        fault(reply, "answer has a chunk without a size");
        return;
    }
    reply->left_bytes = size;
    reply->state = size ? IN_CHUNK : AT_TRAILER;
}

static void line_end(gb_reply_t *reply)
{
    uint32_t kept =
        reply->line_bytes < GB_REPLY_LINE ? reply->line_bytes : GB_REPLY_LINE - 1;

    if (kept > 0 && kept == reply->line_bytes && reply->line[kept - 1] == '\r') {
        reply->line_bytes = --kept;
    }
    reply->line[kept] = '\0';
    switch ((state_e)reply->state) {
    case AT_STATUS:
        status_line(reply);
        break;
    case AT_HEADER:
        header_line(reply);
        break;
    case AT_CHUNK:
        chunk_line(reply);
        break;
    case AT_CHUNK_END:
        if (reply->line_bytes) {
            fault(reply, "answer has a chunk that is longer than its size");
        }
        else {
            reply->state = AT_CHUNK;
        }
        break;
    case AT_TRAILER:
        if (!reply->line_bytes) {
            reply->state = AT_END;
        }
        break;
    default:
        break;
    }
    reply->line_bytes = 0;
    memset(reply->line, 0, sizeof(reply->line)); /* status_line reads 13 bytes of it */
}

/* Counts a byte of a line; false when there have been too many.  What frames chunks
 * counts as body. */
static bool line_room(gb_reply_t *reply)
{
    if (reply->state == AT_CHUNK || reply->state == AT_CHUNK_END) {
        if (++reply->body_bytes > GB_REPLY_BODY_MOST) {
            reply->state = AT_END;
            return false;
        }
    }
    else if (++reply->head_bytes > GB_REPLY_HEAD_MOST) {
        fault(reply, "header of the answer is over 32 KiB");
        return false;
    }
    return true;
}

static void line_byte(gb_reply_t *reply, unsigned char byte)
{
    if (!line_room(reply)) {
        return;
    }
    if (byte == '\n') {
        line_end(reply);
        return;
    }
    /* Not HTTP is known at once, not at the end of a line that may never come. */
    if (reply->state == AT_STATUS && reply->line_bytes < 7 &&
        byte != (unsigned char)"HTTP/1."[reply->line_bytes]) {
        fault(reply, "answer is not HTTP/1");
        return;
    }
    if (byte < ' ' && byte != '\t' && byte != '\r') {
        fault(reply, "answer has control characters in its header");
        return;
    }
    if (reply->line_bytes < GB_REPLY_LINE - 1) {
        reply->line[reply->line_bytes] = (char)byte;
    }
    reply->line_bytes++;
}

/* Takes bytes of the body or of a chunk; returns how many. */
static size_t body_take(gb_reply_t *reply, size_t length)
{
    bool counted = reply->state == IN_CHUNK || reply->framing == BY_LENGTH;

    if (counted && length > reply->left_bytes) {
        length = (size_t)reply->left_bytes;
    }
    if (length > GB_REPLY_BODY_MOST - reply->body_bytes) {
        reply->state = AT_END;
        return length;
    }
    reply->body_bytes += (uint32_t)length;
    if (counted) {
        reply->left_bytes -= length;
        if (reply->left_bytes == 0) {
            reply->state = reply->state == IN_CHUNK ? AT_CHUNK_END : AT_END;
        }
    }
    return length;
}

static gb_reply_e verdict(const gb_reply_t *reply)
{
    if (reply->state == AT_FAULT) {
        return GB_REPLY_BAD;
    }
    return reply->state == AT_END ? GB_REPLY_WHOLE : GB_REPLY_MORE;
}

gb_reply_e gb_reply_take(gb_reply_t *reply, const unsigned char *data, size_t length)
{
    while (length > 0 && verdict(reply) == GB_REPLY_MORE) {
        size_t taken = 1;

        if (reply->state == IN_BODY || reply->state == IN_CHUNK) {
            taken = body_take(reply, length);
        }
        else {
            line_byte(reply, *data);
        }
        data += taken;
        length -= taken;
    }
    return verdict(reply);
}

gb_reply_e gb_reply_close(gb_reply_t *reply)
{
    if (reply->state == IN_BODY && reply->framing == BY_CLOSE) {
        reply->state = AT_END;
    }
    else if (verdict(reply) == GB_REPLY_MORE) {
        fault(reply, "connection closed before the answer was whole");
    }
    return verdict(reply);
}
