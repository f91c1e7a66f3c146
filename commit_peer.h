/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_peer.h - a child's connection to the journal thread: between commit_peer.c,
 * which moves the bytes, and commit_submit.c, which answers the questions.
 *
 * The journal thread alone.
 */
#ifndef MGB_COMMIT_PEER_H
#define MGB_COMMIT_PEER_H

#include "commit.h"

typedef enum mgb_peer_state_e {
    MGB_PEER_NONE = 0, /* the place is free */
    MGB_PEER_IDLE,
    MGB_PEER_READS,  /* a frame, so far as it has come */
    MGB_PEER_PAUSED, /* until there is memory for the rest of it */
    MGB_PEER_WAITS,  /* for the log */
    MGB_PEER_REPLIES
} mgb_peer_state_e;

typedef struct mgb_peer_t {
    mgb_waiter_t waiter; /* first: who is told of the one is told of the other */
    mgb_peers_t *peers;
    mgb_commit_t *commit;
    apr_pool_t *pool; /* cleared with each answer */
    int fd;
    pid_t pid;
    uid_t uid;
    mgb_peer_state_e state;
    uint64_t since; /* IDLE, PAUSED: the smaller the longer */
    uint64_t timer;
    /* what it asks */
    char head[GB_WIRE_HEAD_BYTES];
    gb_wire_type_e type;
    char *frame; /* malloc; NULL: its head is not whole yet */
    size_t frame_bytes, have;
    bool holds; /* its bytes are counted */
    /* what it waits for */
    mgb_log_t *log;
    bool waiting;   /* the log has its waiter */
    uint64_t again; /* a timer, after which it waits once more; 0: none */
    uint64_t seq;
    bool wants_answer; /* the stored answer, too */
    int64_t until_us;  /* ASK: so long it waits */
    /* what it gets */
    char *reply;
    size_t reply_bytes, reply_sent;
} mgb_peer_t;

/* commit_peer.c.  end: closes it, takes its waiter back; refuse: the same, and says why
 * in the log.  reply: sends it, with SAYS; the peer may be gone when it returns, as
 * after the others. */
void mgb_peer_end(mgb_peer_t *peer);
void mgb_peer_refuse(mgb_peer_t *peer, const char *why);
void mgb_peer_reply(mgb_peer_t *peer, gb_wire_t *reply, gb_wire_says_e says);

/* commit_submit.c.  A frame is whole: it is answered, now or later.  forget: it waits
 * for nothing any more. */
void mgb_peer_submit(mgb_peer_t *peer, const gb_wire_t *wire);
void mgb_peer_ask(mgb_peer_t *peer, const gb_wire_t *wire);
void mgb_peer_forget(mgb_peer_t *peer);

#endif /* MGB_COMMIT_PEER_H */
