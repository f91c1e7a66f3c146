/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire to a machine's front panel. One connection carries one order and its
 * answer; SOCK_SEQPACKET keeps each whole. The answer starts with '0' or '1'. */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WIRE_TIMEOUT_S 30 /* longer than any order is held up */
#define WIRE_BACKLOG   128

static int set_address(struct sockaddr_un *address, const char *path)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address->sun_path, path, strlen(path) + 1);
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static void limit_waiting(int fd)
{
    struct timeval limit = {.tv_sec = WIRE_TIMEOUT_S};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

int wire_ask(const char *path, const char *order, char *reply, size_t size)
{
    struct sockaddr_un address;
    char answer[WIRE_MESSAGE_BYTES];
    int fd = set_address(&address, path);
    ssize_t length = -1;

    if (fd < 0) {
        return -1;
    }
    limit_waiting(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, order, strlen(order), MSG_NOSIGNAL) >= 0) {
        length = recv(fd, answer, sizeof answer - 1, 0);
    }
    close(fd);
    if (length < 1) {
        errno = length ? errno : ECONNRESET;
        return -1;
    }
    answer[length] = '\0';
    snprintf(reply, size, "%s", answer + 1);
    return answer[0] == '0' ? 0 : 1;
}

int wire_listen(const char *path)
{
    struct sockaddr_un address;
    int fd = set_address(&address, path);

    if (fd < 0) {
        return -1;
    }
    unlink(path);
    /* Anybody may order: a power driver is run by the proxy's own user. The rooms are
     * throw-away machines; who may reach the socket is decided by its folder. */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || chmod(path, 0666) ||
        listen(fd, WIRE_BACKLOG)) {
        close(fd);
        return -1;
    }
    return fd;
}

int wire_take(int listener, char *order, size_t size)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t length;

    if (fd < 0) {
        return -1;
    }
    limit_waiting(fd);
    length = recv(fd, order, size - 1, 0);
    if (length < 1) {
        close(fd);
        return -1;
    }
    order[length] = '\0';
    return fd;
}

void wire_answer(int fd, int status, const char *text)
{
    char answer[WIRE_MESSAGE_BYTES];

    snprintf(answer, sizeof answer, "%d%s", status ? 1 : 0, text);
    send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    close(fd);
}
