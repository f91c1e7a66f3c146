/* SPDX-License-Identifier: Apache-2.0
 *
 * origin.c - the server behind all members of the benchmark: 1 KB for every request.
 *
 *   origin PORT
 *
 * One thread, epoll, connections that are kept open; every address of this host.  It
 * does as little as possible, so that what is measured is the proxy.  A request is
 * whatever ends in an empty line; requests with a body are not understood.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES 1024
#define FDS_MAX    65536

static char answer[BODY_BYTES + 256];
static size_t answer_bytes;
static unsigned char line_ends[FDS_MAX]; /* of "\r\n\r\n" seen so far, by descriptor */

static void answer_make(void)
{
    int head = snprintf(answer, sizeof(answer),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %d\r\n\r\n",
                        BODY_BYTES);

    memset(answer + head, 'x', BODY_BYTES);
    answer_bytes = (size_t)head + BODY_BYTES;
}

static int listener_open(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    at.sin_port = htons((unsigned short)strtoul(port, NULL, 10));
    at.sin_addr.s_addr = htonl(INADDR_ANY);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096)) {
        perror("origin");
        exit(1);
    }
    return fd;
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        int on = 1;

        if (fd < 0) {
            return;
        }
        if (fd >= FDS_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        line_ends[fd] = 0;
    }
}

/* How many requests end within these bytes. */
static int requests_ended(int fd, const char *bytes, ssize_t count)
{
    int ended = 0;

    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] == (line_ends[fd] % 2 ? '\n' : '\r')) {
            line_ends[fd]++;
        }
        else {
            line_ends[fd] = bytes[i] == '\r';
        }
        if (line_ends[fd] == 4) {
            line_ends[fd] = 0;
            ended++;
        }
    }
    return ended;
}

static void serve(int fd)
{
    char bytes[16384];
    ssize_t count = recv(fd, bytes, sizeof(bytes), 0);
    int ended;

    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        close(fd);
        return;
    }
    for (ended = requests_ended(fd, bytes, count); ended > 0; ended--) {
        if (send(fd, answer, answer_bytes, MSG_NOSIGNAL) != (ssize_t)answer_bytes) {
            close(fd);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    int listener;

    if (argc != 2) {
        fprintf(stderr, "usage: origin PORT\n");
        return 2;
    }
    answer_make();
    listener = listener_open(argv[1]);
    event.data.fd = listener;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
        perror("origin");
        return 1;
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);

        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) {
                accept_all(epoll, listener);
            }
            else {
                serve(events[i].data.fd);
            }
        }
    }
}
