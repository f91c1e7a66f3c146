/* SPDX-License-Identifier: Apache-2.0
 *
 * A non-blocking byte stream over a connected socket, plain or TLS. */
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

SSL_CTX *stream_server_context(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(context);
        return NULL;
    }
    /* Responses are produced piecewise from moving buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

bool stream_open(stream_t *stream, int fd, SSL_CTX *context)
{
    stream->fd = fd;
    stream->ssl = NULL;
    stream->want = EPOLLIN;
    if (!context) {
        return true;
    }
    stream->ssl = SSL_new(context);
    if (!stream->ssl || SSL_set_fd(stream->ssl, fd) != 1) {
        stream_close(stream);
        return false;
    }
    SSL_set_accept_state(stream->ssl);
    return true;
}

void stream_close(stream_t *stream)
{
    if (stream->ssl) {
        /* One try at close_notify; the peer is not waited for. */
        ERR_clear_error();
        SSL_shutdown(stream->ssl);
        SSL_free(stream->ssl);
        stream->ssl = NULL;
    }
    close(stream->fd);
    stream->fd = -1;
}

static ssize_t tls_result(stream_t *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        stream->want = EPOLLIN;
        return STREAM_BLOCKED;
    case SSL_ERROR_WANT_WRITE:
        stream->want = EPOLLOUT;
        return STREAM_BLOCKED;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_ENDED;
    default:
        return STREAM_FAILED;
    }
}

static ssize_t plain_result(stream_t *stream, ssize_t result, uint32_t want)
{
    if (result >= 0) {
        return result;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        stream->want = want;
        return STREAM_BLOCKED;
    }
    return STREAM_FAILED;
}

static int clamp_int(size_t size)
{
    return size > INT_MAX ? INT_MAX : (int)size;
}

ssize_t stream_read(stream_t *stream, void *data, size_t size)
{
    int result;

    if (!stream->ssl) {
        return plain_result(stream, recv(stream->fd, data, size, 0), EPOLLIN);
    }
    ERR_clear_error();
    result = SSL_read(stream->ssl, data, clamp_int(size));
    return result > 0 ? result : tls_result(stream, result);
}

ssize_t stream_write(stream_t *stream, const void *data, size_t size)
{
    int result;

    if (!stream->ssl) {
        return plain_result(stream, send(stream->fd, data, size, MSG_NOSIGNAL),
                            EPOLLOUT);
    }
    ERR_clear_error();
    result = SSL_write(stream->ssl, data, clamp_int(size));
    return result > 0 ? result : tls_result(stream, result);
}
