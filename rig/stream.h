/* SPDX-License-Identifier: Apache-2.0
 *
 * A non-blocking byte stream over a connected socket, plain or TLS. */
#ifndef RIG_STREAM_H
#define RIG_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Results of reading and writing besides a positive count. */
#define STREAM_ENDED   0
#define STREAM_FAILED  (-1)
#define STREAM_BLOCKED (-2)

typedef struct {
    int fd;
    SSL *ssl;      /* NULL: plain */
    uint32_t want; /* EPOLLIN or EPOLLOUT: what a blocked call waits for */
} stream_t;

/* Server context from PEM files; NULL after a message on stderr. */
SSL_CTX *stream_server_context(const char *certificate, const char *key);

/* Takes over the descriptor; context NULL means plain. False: nothing was opened and
 * the descriptor is closed. */
bool stream_open(stream_t *stream, int fd, SSL_CTX *context);
void stream_close(stream_t *stream);

ssize_t stream_read(stream_t *stream, void *data, size_t size);
ssize_t stream_write(stream_t *stream, const void *data, size_t size);

#endif
