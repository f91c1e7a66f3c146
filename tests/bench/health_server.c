/* SPDX-License-Identifier: Apache-2.0
 *
 * health_server.c - stands for all servers of the health bench: one listening socket on
 * every loopback address, a short 200 for each request.  Prints its port.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

static void take(int epoll_fd, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void serve(int fd)
{
    char request[4096];
    ssize_t n = read(fd, request, sizeof(request));

    if (n <= 0 ||
        write(fd, answer, sizeof(answer) - 1) != (ssize_t)sizeof(answer) - 1) {
        close(fd);
    }
}

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    struct epoll_event events[EVENTS], first = {.events = EPOLLIN};

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    first.data.fd = listener;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &length) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &first)) {
        perror("health_server");
        return 1;
    }
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take(epoll_fd, listener);
            }
            else {
                serve(events[i].data.fd);
            }
        }
    }
}
