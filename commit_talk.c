/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_talk.c - a child's connections to the keeper's commit.sock.
 *
 * A frame, an answer; then the connection is kept for the next request of the child,
 * whichever thread has it.  While a thread waits it also watches its client.
 *
 * A keeper that ends closes its connections and says nothing: who waits connects again,
 * to the next one, and sends the same frame.  The keeper knows it by its id and nonce.
 * As long as no frame was sent as a whole nothing can have been stored: a keeper reads
 * a frame to its end before it looks at it.
 */
#include "commit_child.h"

#include "ap_mpm.h"
#include "http_core.h"
#include "apr_portable.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME    "commit.sock"
#define KEPT_MOST      64 /* connections of a child that nobody uses now */
#define FIRST_BYTES    8192
#define LOOK_EVERY_US  GB_US_PER_S
#define PAUSE_FIRST_US (10 * GB_US_PER_MS)
#define PAUSE_MOST_US  (200 * GB_US_PER_MS)

/* Of this process. */
static struct {
    uint32_t kept[KEPT_MOST]; /* descriptor + 1; 0: the place is empty */
    uint32_t away_most;       /* threads that may wait for a keeper to come */
    uint32_t away;            /* that do */
} here;

typedef enum end_e {
    END_OK,
    END_BROKEN, /* the connection is of no use any more */
    END_OVER,   /* time is up */
    END_GONE    /* the client is */
} end_e;

/* A conversation. */
typedef struct talk_t {
    request_rec *r;
    int client_fd; /* -1: not known */
    int fd;
    const char *frame;
    size_t bytes;
    int64_t until_us;
    uint32_t sent; /* so often, as a whole */
    gb_wire_t *reply;
} talk_t;

/* ------------------------------------------------------------------ connections */

static int kept_take(void)
{
    for (int i = 0; i < KEPT_MOST; i++) {
        if (__atomic_load_n(&here.kept[i], __ATOMIC_RELAXED)) {
            uint32_t found = __atomic_exchange_n(&here.kept[i], 0, __ATOMIC_ACQ_REL);

            if (found) {
                return (int)found - 1;
            }
        }
    }
    return -1;
}

static void kept_give(int fd)
{
    for (int i = 0; i < KEPT_MOST; i++) {
        uint32_t empty = 0;

        if (!__atomic_load_n(&here.kept[i], __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&here.kept[i], &empty, (uint32_t)fd + 1, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return;
        }
    }
    close(fd);
}

static int connect_new(apr_pool_t *p)
{
    const char *path =
        apr_pstrcat(p, mgb_context->conf->runtime_dir, "/" SOCKET_NAME, NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        close(fd); /* none there, or as many as it takes at a time: later */
        fd = -1;
    }
    return fd;
}

/* ------------------------------------------------------------------ waiting */

static int client_of(const request_rec *r)
{
    conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t native;

    return socket && apr_os_sock_get(&native, socket) == APR_SUCCESS ? native : -1;
}

/* Until the connection is ready for `events` (0: it is not looked at), or something
 * ends. */
static end_e wait_for(const talk_t *talk, short events, int64_t until_us)
{
    const conn_rec *c = talk->r->connection;

    for (;;) {
        struct pollfd fds[2] = {{.fd = talk->client_fd, .events = POLLRDHUP},
                                {.fd = events ? talk->fd : -1, .events = events}};
        int64_t left_us = until_us - mgb_now_us();

        if (c->aborted || (c->master && c->master->aborted)) {
            return END_GONE;
        }
        if (left_us <= 0) {
            return END_OVER;
        }
        left_us = left_us < LOOK_EVERY_US ? left_us : LOOK_EVERY_US;
        if (poll(fds, 2, (int)((left_us + 999) / 1000)) <= 0) {
            continue;
        }
        if (fds[1].revents) {
            return END_OK;
        }
        if (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) {
            return END_GONE;
        }
    }
}

/* ------------------------------------------------------------------ one attempt */

static end_e frame_send(talk_t *talk)
{
    size_t done = 0;

    while (done < talk->bytes) {
        ssize_t n = send(talk->fd, talk->frame + done, talk->bytes - done,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            done += (size_t)n;
        }
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            end_e end = wait_for(talk, POLLOUT, talk->until_us);

            if (end != END_OK) {
                return end;
            }
        }
        else if (errno != EINTR) {
            return END_BROKEN;
        }
    }
    talk->sent++;
    return END_OK;
}

/* Some bytes, at least one. */
static end_e some_receive(const talk_t *talk, char *to, size_t room, size_t *got)
{
    for (;;) {
        ssize_t n;
        end_e end = wait_for(talk, POLLIN, talk->until_us);

        if (end != END_OK) {
            return end;
        }
        n = recv(talk->fd, to, room, MSG_DONTWAIT);
        if (n > 0) {
            *got = (size_t)n;
            return END_OK;
        }
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            return END_BROKEN;
        }
    }
}

static end_e rest_receive(const talk_t *talk, char *to, size_t bytes)
{
    while (bytes > 0) {
        size_t got = 0;
        end_e end = some_receive(talk, to, bytes, &got);

        if (end != END_OK) {
            return end;
        }
        to += got;
        bytes -= got;
    }
    return END_OK;
}

static end_e reply_receive(const talk_t *talk)
{
    char first[FIRST_BYTES], *rest;
    size_t have = 0, bytes;
    gb_wire_type_e type;
    end_e end;

    while (have < GB_WIRE_HEAD_BYTES) {
        size_t got = 0;

        end = some_receive(talk, first + have, sizeof(first) - have, &got);
        if (end != END_OK) {
            return end;
        }
        have += got;
    }
    have -= GB_WIRE_HEAD_BYTES;
    if (!gb_wire_read_head(first, &type, &bytes) || type != GB_WIRE_REPLY ||
        have > bytes) {
        return END_BROKEN;
    }
    rest = apr_palloc(talk->r->pool, bytes + 1);
    memcpy(rest, first + GB_WIRE_HEAD_BYTES, have);
    end = rest_receive(talk, rest + have, bytes - have);
    if (end == END_OK && !gb_wire_read(type, rest, bytes, talk->reply)) {
        end = END_BROKEN;
    }
    return end;
}

/* By a connection that was kept, or a new one. */
static end_e attempt(talk_t *talk, bool first)
{
    end_e end;

    talk->fd = first ? kept_take() : -1;
    if (talk->fd < 0) {
        talk->fd = connect_new(talk->r->pool);
    }
    if (talk->fd < 0) {
        return END_BROKEN;
    }
    end = frame_send(talk);
    if (end == END_OK) {
        end = reply_receive(talk);
    }
    if (end == END_OK) {
        kept_give(talk->fd);
    }
    else {
        close(talk->fd);
    }
    return end;
}

/* ------------------------------------------------------------------ all of them */

/* Not more than three quarters of a child's threads wait for a keeper that is not there
 * with a write that was never sent: reads go on.  What was sent waits in any case. */
static bool away_enter(void)
{
    if (__atomic_add_fetch(&here.away, 1, __ATOMIC_RELAXED) <= here.away_most) {
        return true;
    }
    __atomic_fetch_sub(&here.away, 1, __ATOMIC_RELAXED);
    return false;
}

static end_e attempts(talk_t *talk, int64_t unsent_until_us)
{
    int64_t pause_us = PAUSE_FIRST_US;
    end_e end = attempt(talk, true);
    bool unsent;

    if (end == END_BROKEN) {
        end = attempt(talk, false); /* what was kept may have been a dead keeper's */
    }
    unsent = talk->sent == 0;
    if (end != END_BROKEN || (unsent && !away_enter())) {
        return end;
    }
    while (end == END_BROKEN) {
        int64_t now_us = mgb_now_us(),
                until_us = talk->sent ? talk->until_us : unsent_until_us;

        if (now_us >= until_us) {
            end = END_OVER;
            break;
        }
        end = wait_for(talk, 0, now_us + pause_us);
        if (end == END_OVER) {
            end = attempt(talk, false);
        }
        pause_us = pause_us * 2 < PAUSE_MOST_US ? pause_us * 2 : PAUSE_MOST_US;
    }
    if (unsent) {
        __atomic_fetch_sub(&here.away, 1, __ATOMIC_RELAXED);
    }
    return end;
}

mgb_talk_e mgb_commit_talk(request_rec *r, const gb_wire_t *frame, int64_t span_us,
                           gb_wire_t *reply, bool *again)
{
    size_t bytes = gb_wire_bytes(frame);
    int64_t now_us = mgb_now_us();
    talk_t talk = {.r = r,
                   .client_fd = client_of(r),
                   .fd = -1,
                   .bytes = bytes,
                   .until_us = now_us + span_us,
                   .reply = reply};
    char *text;
    end_e end;

    *again = false;
    if (!bytes) {
        return MGB_TALK_NOBODY;
    }
    text = apr_palloc(r->pool, bytes);
    gb_wire_write(frame, text);
    talk.frame = text;
    end = attempts(&talk, now_us + MGB_TALK_AWAY_US);
    *again = talk.sent > 1;
    switch (end) {
    case END_OK:
        return MGB_TALK_ANSWERED;
    case END_GONE:
        return MGB_TALK_GONE;
    default:
        return talk.sent ? MGB_TALK_UNKNOWN : MGB_TALK_NOBODY;
    }
}

static void talk_child_init(apr_pool_t *p, server_rec *s)
{
    int threads = 0;

    memset(&here, 0, sizeof here);
    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 2) {
        threads = 2;
    }
    here.away_most = (uint32_t)(threads - threads / 4);
}

void mgb_talk_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(talk_child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
