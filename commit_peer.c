/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_peer.c - children's connections to the journal thread.
 *
 * A connection has one question at a time: a frame, an answer, and then the next.
 * Everything runs in callbacks of the thread's loop on descriptors that never block.
 * Who sends half a frame or does not take its answer has ten seconds; large frames wait
 * for memory in their order; there are at most as many connections as descriptors
 * allow, and those that nobody has used for longest make room for new ones.
 *
 * Who may speak is decided by the kernel's word (SO_PEERCRED): root, httpd's User, and
 * whoever started httpd.  What they send is checked all the same: they face the
 * network.
 */
#include "commit_peer.h"

#include "unixd.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MOST       4096u
#define FDS_OF_OTHERS    256u
#define ACCEPTS_A_TURN   64
#define FIRST_BYTES      65536u
#define HELD_MOST_BYTES  (256u * 1024 * 1024)
#define FRAME_TIMEOUT_US (10 * GB_US_PER_S)
#define ACCEPT_PAUSE_US  GB_US_PER_S
#define LOG_EVERY_US     (60 * GB_US_PER_S)
#define POOL_KEEPS_BYTES (1024u * 1024)

struct mgb_peers_t {
    mgb_commit_t *commit;
    apr_pool_t *pool; /* its allocator gives memory back */
    int listen_fd;
    bool listening;
    uid_t starter, user;
    mgb_peer_t *peers;
    uint32_t room, top, count; /* top: places from here on were never used */
    uint32_t paused_count;
    uint64_t turn;     /* counts up: what has waited for longest */
    size_t held_bytes; /* promised to frames larger than FIRST_BYTES */
    int64_t logged_at_us[2];
    uint32_t log_count[2];
    char first[FIRST_BYTES];
};

/* One line a minute; the number of times is left in *count. */
static bool may_log(mgb_peers_t *peers, int which, uint32_t *count)
{
    int64_t now_us = mgb_now_us();

    peers->log_count[which]++;
    if (peers->logged_at_us[which] &&
        now_us - peers->logged_at_us[which] < LOG_EVERY_US) {
        return false;
    }
    *count = peers->log_count[which];
    peers->logged_at_us[which] = now_us;
    peers->log_count[which] = 0;
    return true;
}

/* ------------------------------------------------------------------ life of a peer */

static void on_peer(void *baton, int fd, uint32_t epoll_events);
static void on_listen(void *baton, int fd, uint32_t epoll_events);

static void on_timeout(void *baton, int64_t now_us)
{
    mgb_peer_t *peer = baton;

    peer->timer = 0;
    mgb_peer_end(peer);
}

static void timer_set(mgb_peer_t *peer)
{
    mgb_loop_t *loop = peer->peers->commit->loop;

    if (!peer->timer) {
        peer->timer =
            mgb_loop_timer(loop, mgb_now_us() + FRAME_TIMEOUT_US, on_timeout, peer);
    }
}

static void timer_end(mgb_peer_t *peer)
{
    if (peer->timer) {
        mgb_loop_cancel(peer->peers->commit->loop, peer->timer);
        peer->timer = 0;
    }
}

/* Those that wait for memory go on, the oldest first, as far as it goes. */
static void paused_resume(mgb_peers_t *peers)
{
    while (peers->paused_count > 0) {
        mgb_peer_t *oldest = NULL;

        for (uint32_t i = 0; i < peers->top; i++) {
            mgb_peer_t *peer = &peers->peers[i];

            if (peer->state == MGB_PEER_PAUSED &&
                (!oldest || peer->since < oldest->since)) {
                oldest = peer;
            }
        }
        if (!oldest || (peers->held_bytes > 0 &&
                        peers->held_bytes + oldest->frame_bytes > HELD_MOST_BYTES)) {
            return;
        }
        peers->paused_count--;
        peers->held_bytes += oldest->frame_bytes;
        oldest->holds = true;
        oldest->state = MGB_PEER_READS;
        timer_set(oldest);
        if (mgb_loop_watch(peers->commit->loop, oldest->fd, EPOLLIN, on_peer, oldest) !=
            APR_SUCCESS) {
            mgb_peer_end(oldest);
            return; /* which has come here by itself */
        }
    }
}

/* The frame is not needed any more. */
static void frame_end(mgb_peer_t *peer)
{
    mgb_peers_t *peers = peer->peers;

    free(peer->frame);
    peer->frame = NULL;
    peer->have = 0;
    if (peer->holds) {
        peer->holds = false;
        peers->held_bytes -= peer->frame_bytes;
        paused_resume(peers);
    }
}

void mgb_peer_end(mgb_peer_t *peer)
{
    mgb_peers_t *peers = peer->peers;
    mgb_loop_t *loop;

    if (peer->state == MGB_PEER_NONE) {
        return;
    }
    loop = peers->commit->loop;
    mgb_peer_forget(peer);
    timer_end(peer);
    peers->paused_count -= peer->state == MGB_PEER_PAUSED;
    peer->state = MGB_PEER_NONE;
    mgb_loop_unwatch(loop, peer->fd);
    close(peer->fd);
    apr_pool_destroy(peer->pool);
    peer->pool = NULL;
    peers->count--;
    frame_end(peer);
    if (!peers->listening && peers->listen_fd >= 0 &&
        mgb_loop_watch(loop, peers->listen_fd, EPOLLIN, on_listen, peers) ==
            APR_SUCCESS) {
        peers->listening = true;
    }
}

void mgb_peer_refuse(mgb_peer_t *peer, const char *why)
{
    uint32_t count;

    if (may_log(peer->peers, 0, &count)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, peer->peers->commit->server,
                     GBLOGNO(1701) "commit socket: pid %d, uid %d sent what no child "
                                   "sends (%s): its connection was closed; since the "
                                   "last such message: %u",
                     (int)peer->pid, (int)peer->uid, why, count);
    }
    mgb_peer_end(peer);
}

/* ------------------------------------------------------------------ answers */

static void reply_send(mgb_peer_t *peer)
{
    while (peer->reply_sent < peer->reply_bytes) {
        ssize_t n =
            send(peer->fd, peer->reply + peer->reply_sent,
                 peer->reply_bytes - peer->reply_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            peer->reply_sent += (size_t)n;
        }
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            timer_set(peer);
            if (mgb_loop_watch(peer->peers->commit->loop, peer->fd, EPOLLOUT, on_peer,
                               peer) != APR_SUCCESS) {
                mgb_peer_end(peer);
            }
            return;
        }
        else if (errno != EINTR) {
            mgb_peer_end(peer);
            return;
        }
    }
    MGB_FAIL("after_reply");
    if (peer->timer) { /* it was watched for room to write */
        timer_end(peer);
        if (mgb_loop_watch(peer->peers->commit->loop, peer->fd, EPOLLIN, on_peer,
                           peer) != APR_SUCCESS) {
            mgb_peer_end(peer);
            return;
        }
    }
    peer->reply = NULL;
    peer->state = MGB_PEER_IDLE;
    peer->since = ++peer->peers->turn;
    apr_pool_clear(peer->pool);
}

void mgb_peer_reply(mgb_peer_t *peer, gb_wire_t *reply, gb_wire_says_e says)
{
    char said = (char)says;

    mgb_peer_forget(peer);
    timer_end(peer);
    reply->type = GB_WIRE_REPLY;
    reply->field[GB_TAG_SAYS] = (gb_span_text_t){&said, 1};
    peer->reply_bytes = gb_wire_bytes(reply);
    if (!peer->reply_bytes) {
        mgb_peer_end(peer);
        return;
    }
    peer->reply = apr_palloc(peer->pool, peer->reply_bytes);
    peer->reply_sent = 0;
    gb_wire_write(reply, peer->reply);
    peer->state = MGB_PEER_REPLIES;
    frame_end(peer);
    MGB_FAIL("before_reply");
    reply_send(peer);
}

/* ------------------------------------------------------------------ questions */

/* Its frame is whole. */
static void frame_take(mgb_peer_t *peer)
{
    gb_wire_t wire;

    timer_end(peer);
    peer->state = MGB_PEER_WAITS;
    if (!gb_wire_read(peer->type, peer->frame, peer->frame_bytes, &wire)) {
        mgb_peer_refuse(peer, "a frame that is none");
        return;
    }
    switch (peer->type) {
    case GB_WIRE_SUBMIT:
        mgb_peer_submit(peer, &wire);
        break;
    case GB_WIRE_ASK:
        mgb_peer_ask(peer, &wire);
        break;
    default:
        mgb_peer_refuse(peer, "an answer");
        break;
    }
}

/* Its head is: makes room for the rest, or has it wait for that. */
static bool frame_begin(mgb_peer_t *peer)
{
    mgb_peers_t *peers = peer->peers;
    size_t bytes;

    if (!gb_wire_read_head(peer->head, &peer->type, &bytes)) {
        mgb_peer_refuse(peer, "a head that is none");
        return false;
    }
    peer->frame_bytes = bytes;
    peer->frame = malloc(bytes ? bytes : 1);
    if (!peer->frame) {
        mgb_peer_end(peer);
        return false;
    }
    if (bytes <= FIRST_BYTES) {
        return true;
    }
    if (peers->held_bytes == 0 || peers->held_bytes + bytes <= HELD_MOST_BYTES) {
        peers->held_bytes += bytes;
        peer->holds = true;
        return true;
    }
    peer->state = MGB_PEER_PAUSED;
    peer->since = ++peers->turn;
    peers->paused_count++;
    timer_end(peer);
    mgb_loop_unwatch(peers->commit->loop, peer->fd);
    return true;
}

/* Takes in what came first, in peers->first.  False: the peer is gone. */
static bool first_take(mgb_peer_t *peer, const char *at, size_t bytes)
{
    size_t head = GB_WIRE_HEAD_BYTES - peer->have;

    head = head < bytes ? head : bytes;
    memcpy(peer->head + peer->have, at, head);
    peer->have += head;
    if (peer->have < GB_WIRE_HEAD_BYTES) {
        return true;
    }
    if (!frame_begin(peer)) {
        return false;
    }
    peer->have = bytes - head; /* from here on: of the frame */
    if (peer->have > peer->frame_bytes) {
        mgb_peer_refuse(peer, "more than a frame");
        return false;
    }
    if (peer->have > 0) {
        memcpy(peer->frame, at + head, peer->have);
    }
    return true;
}

/* Some bytes into `to`; false: none now, or the peer is gone. */
static bool some_receive(mgb_peer_t *peer, char *to, size_t room, size_t *got)
{
    ssize_t n;

    do {
        n = recv(peer->fd, to, room, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *got = (size_t)n;
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
        mgb_peer_end(peer);
    }
    return false;
}

static void read_some(mgb_peer_t *peer)
{
    mgb_peers_t *peers = peer->peers;
    size_t got = 0;

    if (!peer->frame) {
        if (!some_receive(peer, peers->first, sizeof(peers->first), &got)) {
            return;
        }
        peer->state = MGB_PEER_READS;
        if (!first_take(peer, peers->first, got)) {
            return;
        }
    }
    while (peer->frame && peer->state == MGB_PEER_READS &&
           peer->have < peer->frame_bytes) {
        if (!some_receive(peer, peer->frame + peer->have,
                          peer->frame_bytes - peer->have, &got)) {
            break;
        }
        peer->have += got;
    }
    if (peer->state != MGB_PEER_READS) {
        return; /* gone, or it waits for memory */
    }
    if (peer->frame && peer->have == peer->frame_bytes) {
        frame_take(peer);
        return;
    }
    timer_set(peer);
}

/* Nothing is to come while it waits but its end. */
static void read_end(mgb_peer_t *peer)
{
    size_t got = 0;
    char byte;

    if (some_receive(peer, &byte, 1, &got)) {
        mgb_peer_refuse(peer, "two frames at a time");
    }
}

static void on_peer(void *baton, int fd, uint32_t epoll_events)
{
    mgb_peer_t *peer = baton;

    switch (peer->state) {
    case MGB_PEER_IDLE:
    case MGB_PEER_READS:
        read_some(peer);
        break;
    case MGB_PEER_WAITS:
        read_end(peer);
        break;
    case MGB_PEER_REPLIES:
        reply_send(peer);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ new peers */

static bool may_speak(mgb_peers_t *peers, int fd, struct ucred *who)
{
    socklen_t size = sizeof(*who);
    uint32_t count;

    if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size) && size == sizeof(*who) &&
        (who->uid == 0 || who->uid == peers->starter || who->uid == peers->user)) {
        return true;
    }
    if (may_log(peers, 1, &count)) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, peers->commit->server,
            GBLOGNO(1702) "commit socket: uid %d (pid %d) refused, only httpd's "
                          "children may write; since the last such message: "
                          "%u",
            (int)who->uid, (int)who->pid, count);
    }
    return false;
}

/* A place for a peer, which may be that of one which is to go; NULL: all are in use. */
static mgb_peer_t *place_find(mgb_peers_t *peers)
{
    mgb_peer_t *idle = NULL;

    for (uint32_t i = 0; i < peers->top; i++) {
        mgb_peer_t *peer = &peers->peers[i];

        if (peer->state == MGB_PEER_NONE) {
            return peer;
        }
        if (peer->state == MGB_PEER_IDLE && (!idle || peer->since < idle->since)) {
            idle = peer;
        }
    }
    return peers->top < peers->room ? &peers->peers[peers->top] : idle;
}

static void peer_begin(mgb_peers_t *peers, mgb_peer_t *peer, int fd,
                       const struct ucred *who)
{
    mgb_peer_end(peer); /* if there is one */
    if (peer == &peers->peers[peers->top]) {
        peers->top++;
    }
    memset(peer, 0, sizeof(*peer));
    peer->peers = peers;
    peer->commit = peers->commit;
    peer->fd = fd;
    peer->pid = who->pid;
    peer->uid = who->uid;
    peer->state = MGB_PEER_IDLE;
    peer->since = ++peers->turn;
    peers->count++;
    apr_pool_create(&peer->pool, peers->pool);
    apr_pool_tag(peer->pool, "mgb_commit_peer");
    if (mgb_loop_watch(peers->commit->loop, fd, EPOLLIN, on_peer, peer) !=
        APR_SUCCESS) {
        mgb_peer_end(peer);
    }
}

static void listen_again(void *baton, int64_t now_us)
{
    mgb_peers_t *peers = baton;

    if (peers->listen_fd >= 0 && !peers->listening &&
        mgb_loop_watch(peers->commit->loop, peers->listen_fd, EPOLLIN, on_listen,
                       peers) == APR_SUCCESS) {
        peers->listening = true;
    }
}

/* Out of descriptors, say: the children wait in the socket's queue meanwhile. */
static void listen_pause(mgb_peers_t *peers)
{
    mgb_loop_unwatch(peers->commit->loop, peers->listen_fd);
    peers->listening = false;
    (void)mgb_loop_timer(peers->commit->loop, mgb_now_us() + ACCEPT_PAUSE_US,
                         listen_again, peers);
}

static void on_listen(void *baton, int fd, uint32_t epoll_events)
{
    mgb_peers_t *peers = baton;

    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct ucred who = {0, (uid_t)-1, (gid_t)-1};
        mgb_peer_t *place = place_find(peers);
        int peer_fd;

        if (!place) {
            listen_pause(peers);
            return;
        }
        peer_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer_fd >= 0 && may_speak(peers, peer_fd, &who)) {
            peer_begin(peers, place, peer_fd, &who);
        }
        else if (peer_fd >= 0) {
            close(peer_fd);
        }
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        else if (errno != EINTR && errno != ECONNABORTED) {
            listen_pause(peers);
            return;
        }
    }
}

/* ------------------------------------------------------------------ all of them */

/* Who made the listening socket: whoever started httpd. */
static uid_t starter_of(int listen_fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    return getsockopt(listen_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) ? 0 : who.uid;
}

static uint32_t peers_room(void)
{
    struct rlimit limit;
    uint64_t room = PEERS_MOST;

    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY) {
        room = limit.rlim_cur > 2 * FDS_OF_OTHERS ? limit.rlim_cur - FDS_OF_OTHERS : 64;
    }
    return room < PEERS_MOST ? (uint32_t)room : PEERS_MOST;
}

mgb_peers_t *mgb_peers_create(mgb_commit_t *commit, int listen_fd)
{
    mgb_peers_t *peers = apr_pcalloc(commit->pool, sizeof(*peers));
    apr_allocator_t *allocator;

    if (apr_allocator_create(&allocator) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_max_free_set(allocator, POOL_KEEPS_BYTES);
    if (apr_pool_create_ex(&peers->pool, commit->pool, NULL, allocator) !=
        APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, peers->pool);
    apr_pool_tag(peers->pool, "mgb_commit_peers");
    peers->commit = commit;
    peers->listen_fd = listen_fd;
    peers->starter = starter_of(listen_fd);
    peers->user = peers->starter == 0 ? ap_unixd_config.user_id : peers->starter;
    peers->room = peers_room();
    peers->peers = apr_pcalloc(peers->pool, peers->room * sizeof(*peers->peers));
    if (mgb_loop_watch(commit->loop, listen_fd, EPOLLIN, on_listen, peers) !=
        APR_SUCCESS) {
        apr_pool_destroy(peers->pool);
        return NULL;
    }
    peers->listening = true;
    return peers;
}

void mgb_peers_drop(mgb_peers_t *peers)
{
    for (uint32_t i = 0; i < peers->top; i++) {
        mgb_peer_end(&peers->peers[i]);
    }
}

void mgb_peers_end(mgb_peers_t *peers)
{
    if (peers->listen_fd >= 0) {
        mgb_loop_unwatch(peers->commit->loop, peers->listen_fd);
        close(peers->listen_fd);
        peers->listen_fd = -1;
        peers->listening = false;
    }
    mgb_peers_drop(peers);
}
