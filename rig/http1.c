/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 framing for the simulated server and the load generator. */
#include "http1.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Steps of the chunked coding (RFC 9112, section 7.1). */
enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_DATA,
    CHUNK_DATA_END,
    TRAILER_START,
    TRAILER_LINE
};

size_t http1_head_length(const char *data, size_t length)
{
    const char *end = memmem(data, length, "\r\n\r\n", 4);

    return end ? (size_t)(end - data) + 4 : 0;
}

static bool copy_value(const char *start, const char *end, char *value, size_t size)
{
    size_t length;

    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    length = (size_t)(end - start);
    if (length >= size) {
        return false;
    }
    memcpy(value, start, length);
    value[length] = '\0';
    return true;
}

bool http1_header(const char *head, size_t length, const char *name, char *value,
                  size_t size)
{
    const char *end = head + length;
    const char *line = memmem(head, length, "\r\n", 2);
    size_t name_length = strlen(name);

    while (line && (line += 2) < end) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);

        if (!stop) {
            break;
        }
        if ((size_t)(stop - line) > name_length && line[name_length] == ':' &&
            strncasecmp(line, name, name_length) == 0) {
            return copy_value(line + name_length + 1, stop, value, size);
        }
        line = stop;
    }
    return false;
}

bool http1_list_has(const char *value, const char *token)
{
    size_t length = strlen(token);

    while (*value) {
        value += strspn(value, " \t,");
        if (strncasecmp(value, token, length) == 0 &&
            strchr(" \t,;", value[length])) { /* also true at the closing NUL */
            return true;
        }
        value += strcspn(value, ",");
    }
    return false;
}

bool http1_body_begin(http1_body_t *body, const char *head, size_t length,
                      http1_framing_t fallback)
{
    char value[64];
    char *end;

    memset(body, 0, sizeof *body);
    body->framing = fallback;
    if (http1_header(head, length, "Transfer-Encoding", value, sizeof value)) {
        if (!http1_list_has(value, "chunked")) {
            return false;
        }
        body->framing = HTTP1_CHUNKED;
        body->step = CHUNK_SIZE;
        return true;
    }
    if (http1_header(head, length, "Content-Length", value, sizeof value)) {
        if (!*value || strspn(value, "0123456789") != strlen(value)) {
            return false;
        }
        body->left = strtoull(value, &end, 10);
        body->framing = body->left ? HTTP1_LENGTH : HTTP1_NO_BODY;
    }
    return true;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One byte of the coding that is not content. */
static http1_progress_t chunk_step(http1_body_t *body, char byte)
{
    switch (body->step) {
    case CHUNK_SIZE:
        if (hex_digit(byte) >= 0) {
            if (body->left >> 56) {
                return HTTP1_BAD;
            }
            body->left = body->left * 16 + (uint64_t)hex_digit(byte);
            return HTTP1_MORE;
        }
        body->step = CHUNK_EXTENSION;
        /* fall through */
    case CHUNK_EXTENSION:
        if (byte == '\n') {
            body->step = body->left ? CHUNK_DATA : TRAILER_START;
        }
        return HTTP1_MORE;
    case CHUNK_DATA_END:
        if (byte == '\n') {
            body->step = CHUNK_SIZE;
            return HTTP1_MORE;
        }
        return byte == '\r' ? HTTP1_MORE : HTTP1_BAD;
    case TRAILER_START:
        if (byte == '\n') {
            return HTTP1_DONE;
        }
        if (byte != '\r') {
            body->step = TRAILER_LINE;
        }
        return HTTP1_MORE;
    default: /* TRAILER_LINE */
        if (byte == '\n') {
            body->step = TRAILER_START;
        }
        return HTTP1_MORE;
    }
}

/* Takes content; true when the body or the chunk is complete. */
static bool take_content(http1_body_t *body, size_t available, size_t *used)
{
    size_t taken = available < body->left ? available : (size_t)body->left;

    *used += taken;
    body->left -= taken;
    body->received += taken;
    return body->left == 0;
}

static http1_progress_t feed_chunked(http1_body_t *body, const char *data,
                                     size_t length, size_t *used)
{
    while (*used < length) {
        http1_progress_t progress;

        if (body->step == CHUNK_DATA) {
            if (take_content(body, length - *used, used)) {
                body->step = CHUNK_DATA_END;
            }
            continue;
        }
        progress = chunk_step(body, data[(*used)++]);
        if (progress != HTTP1_MORE) {
            return progress;
        }
    }
    return HTTP1_MORE;
}

http1_progress_t http1_body_feed(http1_body_t *body, const char *data, size_t length,
                                 size_t *used)
{
    *used = 0;
    switch (body->framing) {
    case HTTP1_NO_BODY:
        return HTTP1_DONE;
    case HTTP1_LENGTH:
        return take_content(body, length, used) ? HTTP1_DONE : HTTP1_MORE;
    case HTTP1_CHUNKED:
        return feed_chunked(body, data, length, used);
    case HTTP1_UNTIL_CLOSE:
        break;
    }
    *used = length;
    body->received += length;
    return HTTP1_MORE;
}
