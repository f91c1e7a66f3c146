/* SPDX-License-Identifier: Apache-2.0
 *
 * probe_talk.c - probes over plain sockets: connect, send the request, read the answer.
 *
 * The socket is watched edge-triggered from the start, so that a probe needs a single
 * epoll_ctl: the first edge says that it is connected, the next ones that bytes came.
 * A read that fills less than the buffer has taken all there was; the end of the stream
 * is an edge of its own, or stands in the same event (EPOLLRDHUP).
 */
#include "probe_private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TALK_BUFFER 4096

static void talk_answer(mgb_probe_t *probe, gb_heard_e heard, const char *why)
{
    mgb_answer_t answer = {.heard = heard, .connect_us = probe->connected_us};

    mgb_probe_say(&answer, why, "");
    mgb_probe_answer(probe, &answer);
}

static void talk_status(mgb_probe_t *probe)
{
    mgb_answer_t answer = {.connect_us = probe->connected_us};

    mgb_probe_judge_status(probe->target, &answer, probe->reply.status);
    mgb_probe_answer(probe, &answer);
}

static void talk_failed(mgb_probe_t *probe, int error)
{
    mgb_answer_t answer = {.heard = GB_HEARD_NOTHING};

    mgb_probe_judge_errno(&answer, error, "");
    mgb_probe_answer(probe, &answer);
}

/* ------------------------------------------------------------------ time */

static void talk_late(void *baton, int64_t now_us)
{
    mgb_probe_t *probe = baton;
    int64_t ends_at_us = probe->started_at_us + probe->total_us;
    mgb_answer_t answer = {.connect_us = probe->connected_us};

    probe->timer = 0;
    if (probe->connect_error) {
        talk_failed(probe, probe->connect_error);
        return;
    }
    if (probe->connected && now_us < ends_at_us) {
        probe->timer =
            mgb_loop_timer(probe->prober->loop, ends_at_us, talk_late, probe);
        if (probe->timer) {
            return;
        }
    }
    if (probe->connected) {
        answer.heard = GB_HEARD_WRONG;
        mgb_probe_say_span(&answer,
                           probe->target->talk == MGB_TALK_AJP
                               ? "no CPONG within"
                               : "no whole answer within",
                           probe->total_us);
    }
    else {
        answer.heard = GB_HEARD_SILENT;
        mgb_probe_say_span(&answer, "no connection within", probe->connect_us);
    }
    mgb_probe_answer(probe, &answer);
}

/* ------------------------------------------------------------------ what comes */

/* True: the probe has been answered and is gone. */
static bool http_take(mgb_probe_t *probe, const unsigned char *data, size_t length)
{
    gb_reply_e found = length ? gb_reply_take(&probe->reply, data, length)
                              : gb_reply_close(&probe->reply);

    if (found == GB_REPLY_MORE) {
        return false;
    }
    if (found == GB_REPLY_WHOLE) {
        talk_status(probe);
    }
    else {
        talk_answer(probe, GB_HEARD_WRONG, probe->reply.why);
    }
    return true;
}

static bool ajp_take(mgb_probe_t *probe, const unsigned char *data, size_t length)
{
    if (length == 0) {
        talk_answer(probe, GB_HEARD_WRONG, "connection closed before a CPONG");
        return true;
    }
    for (; length > 0 && probe->pong_bytes < sizeof(probe->pong); length--) {
        probe->pong[probe->pong_bytes++] = *data++;
    }
    switch (gb_cping_check(probe->pong, probe->pong_bytes)) {
    case GB_CPONG_GOOD:
        talk_answer(probe, GB_HEARD_GOOD, "");
        return true;
    case GB_CPONG_BAD:
        talk_answer(probe, GB_HEARD_WRONG, "answer to CPING is not an AJP CPONG");
        return true;
    case GB_CPONG_MORE:
        break;
    }
    return false;
}

/* `to_end`: the server has said that no more will come, so there is an end to find. */
static void talk_read(mgb_probe_t *probe, bool to_end)
{
    unsigned char data[TALK_BUFFER];
    ssize_t n;

    do {
        n = recv(probe->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            n = sizeof(data);
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n < 0) {
            talk_answer(probe, GB_HEARD_WRONG,
                        "connection reset before a whole answer");
            return;
        }
        if (probe->target->talk == MGB_TALK_AJP ? ajp_take(probe, data, (size_t)n)
                                                : http_take(probe, data, (size_t)n)) {
            return;
        }
    } while (to_end || n == (ssize_t)sizeof(data));
}

/* ------------------------------------------------------------------ connecting */

static int socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) ? errno : error;
}

/* The first edge: connected, or not; an error of connect() is told by the first send.
 * False: the probe has been answered and is gone. */
static bool talk_begin(mgb_probe_t *probe)
{
    const mgb_target_t *target = probe->target;
    ssize_t sent = 0;
    int error = 0;

    if (target->talk == MGB_TALK_CONNECT) {
        error = socket_error(probe->fd);
    }
    else {
        sent = send(probe->fd, target->request, target->request_bytes,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
        error = sent < 0 ? errno : 0;
    }
    if (error == EPIPE || error == ECONNRESET) { /* somebody took it, and closed it */
        talk_answer(probe, GB_HEARD_WRONG, "connection closed before the question");
        return false;
    }
    if (error) {
        talk_failed(probe, error);
        return false;
    }
    if (!probe->connected) {
        probe->connected = true;
        probe->connected_us = mgb_now_us() - probe->started_at_us;
        if (probe->connected_us < 1) {
            probe->connected_us = 1;
        }
    }
    if (target->talk == MGB_TALK_CONNECT) {
        talk_answer(probe, GB_HEARD_GOOD, "");
        return false;
    }
    if ((size_t)sent != target->request_bytes) { /* 64 KiB fit into a fresh socket */
        probe->ours = true;
        talk_answer(probe, GB_HEARD_NOTHING, "the question was not taken at once");
        return false;
    }
    return true;
}

static void talk_ready(void *baton, int fd, uint32_t epoll_events)
{
    mgb_probe_t *probe = baton;

    (void)fd;
    if (!probe->connected && !talk_begin(probe)) {
        return;
    }
    if (epoll_events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        talk_read(probe, (epoll_events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0);
    }
}

static bool talk_watch(mgb_probe_t *probe)
{
    return mgb_loop_watch(probe->prober->loop, probe->fd,
                          EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, talk_ready,
                          probe) == APR_SUCCESS;
}

static void talk_reset(mgb_probe_t *probe)
{
    gb_reply_init(&probe->reply);
    probe->pong_bytes = 0;
    probe->connected = false;
    probe->connected_us = 0;
    probe->connect_error = 0;
    probe->timer = 0;
}

bool mgb_talk_connect(mgb_probe_t *probe, const char **why)
{
    const mgb_target_t *target = probe->target;
    int64_t late_at_us = probe->started_at_us + probe->connect_us;

    talk_reset(probe);
    probe->own_fd = true;
    /* Drivers run commands: no descriptor of ours may leak into them. */
    probe->fd =
        socket(target->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe->fd < 0) {
        probe->connect_error = errno;
    }
    else if (connect(probe->fd, (const struct sockaddr *)&target->socket,
                     target->socket_bytes) &&
             errno != EINPROGRESS) {
        probe->connect_error = errno;
    }
    else if (!talk_watch(probe)) {
        *why = "the keeper's loop has no room";
        return false;
    }
    if (probe->connect_error) {
        late_at_us = probe->started_at_us; /* told in the next turn of the loop */
    }
    probe->timer = mgb_loop_timer(probe->prober->loop, late_at_us, talk_late, probe);
    *why = "the keeper's loop has no room";
    return probe->timer != 0;
}

void mgb_talk_adopt(mgb_probe_t *probe, int fd, int64_t connected_us)
{
    talk_reset(probe);
    probe->fd = fd;
    probe->own_fd = false;
    probe->connected = true;
    probe->connected_us = connected_us;
    if (!talk_begin(probe)) {
        return;
    }
    probe->timer = mgb_loop_timer(
        probe->prober->loop, probe->started_at_us + probe->total_us, talk_late, probe);
    if (!probe->timer || !talk_watch(probe)) {
        probe->ours = true;
        talk_answer(probe, GB_HEARD_NOTHING, "the keeper's loop has no room");
    }
}

void mgb_talk_release(mgb_probe_t *probe)
{
    if (probe->timer) {
        mgb_loop_cancel(probe->prober->loop, probe->timer);
        probe->timer = 0;
    }
    if (probe->fd >= 0) {
        mgb_loop_unwatch(probe->prober->loop, probe->fd);
        if (probe->own_fd) {
            close(probe->fd);
        }
        probe->fd = -1;
    }
}
