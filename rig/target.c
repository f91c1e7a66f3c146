/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom the load generator asks, and the bytes of each of its requests. */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void resolve(target_t *target, const char *to)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(to, ':');
    char name[256];
    size_t length = colon ? (size_t)(colon - to) : 0;
    int error;

    if (!colon || length >= sizeof name) {
        load_options_usage();
    }
    if (to[0] == '[' && length > 2 && to[length - 1] == ']') {
        snprintf(name, sizeof name, "%.*s", (int)length - 2, to + 1);
    }
    else {
        snprintf(name, sizeof name, "%.*s", (int)length, to);
    }
    error = getaddrinfo(name, colon + 1, &hints, &target->address);
    if (error) {
        fprintf(stderr, "load: %s: %s\n", to, gai_strerror(error));
        exit(1);
    }
}

static void compose(target_t *target, const load_options_t *o)
{
    char length_line[64] = "";
    size_t body = (size_t)o->body_bytes;
    int head;

    if (body) {
        snprintf(length_line, sizeof length_line, "Content-Length: %zu\r\n", body);
    }
    head = asprintf(&target->request, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
                    o->method, o->path, o->host_header,
                    o->new_connections ? "Connection: close\r\n" : "", length_line,
                    o->headers);
    if (head < 0 ||
        !(target->request = realloc(target->request, (size_t)head + body + 1))) {
        perror("load");
        exit(1);
    }
    memset(target->request + head, 'b', body);
    target->request_length = (size_t)head + body;
    target->head_only = strcmp(o->method, "HEAD") == 0;
}

void target_open(target_t *target, const load_options_t *options)
{
    resolve(target, options->to);
    compose(target, options);
}
