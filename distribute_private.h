/* SPDX-License-Identifier: Apache-2.0
 *
 * distribute_private.h - a balancer's log in the journal thread, for the files
 * distribute*.c.  What each of them offers to the others stands here; the rest of the
 * module sees commit.h.
 *
 * A turn has two halves.  Before the commit everything that follows from what came is
 * queued: verdicts, marks, replicas' rows.  After it what depends on them is done:
 * sends, answers to clients.  Nothing is ever sent in the first half, and nothing but
 * mgb_log_submit() writes outside of it, so that "durable before" holds by where a line
 * stands.
 */
#ifndef MGB_DISTRIBUTE_PRIVATE_H
#define MGB_DISTRIBUTE_PRIVATE_H

#include "commit.h"

#define MGB_ITEMS 4096 /* latest entries that are remembered without the journal */
#define MGB_FULL_PERMILLE                                                              \
    700 /* of the journal: it is trimmed, and sleepers are woken */

/* What the application has asked for with its answer. */
typedef struct mgb_policy_t {
    uint64_t seq;    /* of the entry; 0: not looked at yet */
    uint32_t need;   /* replicas that have to confirm; 0: as configured */
    int64_t wait_us; /* negative: as configured */
} mgb_policy_t;

/* What is remembered of an entry. */
typedef struct mgb_item_t {
    gb_entry_t e; /* e.seq 0: nothing */
    int64_t came_at_us, settled_at_us;
    mgb_policy_t policy;
    uint32_t asked_copies; /* GreenCommitDecide was asked at so many; 0: not yet */
    bool complete;         /* and says that this is enough */
    bool second;           /* L0: the verdict came from a second sending */
    bool counted;          /* in the statistics */
} mgb_item_t;

/* A member as a replica; log->order[index] has what decides. */
typedef struct mgb_replica_t {
    mgb_log_t *log;
    uint32_t index, slot; /* in log->order; in the segment */
    const char *name;
    mgb_sender_t *sender,
        *asker; /* asker: GreenCommitDecide; NULL until it is needed */
    bool gone;  /* not a member any more */
    bool awake;
    bool frozen; /* the source of a resync: it gets nothing */
    bool reads;
    bool differed;    /* set aside since it disagreed about entry cursor + 1 */
    bool behind_told; /* that it takes no reads */
    bool accepting;   /* taken back by the operator, which is not durable yet */
    gb_entry_t next;  /* the entry after the cursor, where it is an old one */
    uint64_t mark;    /* queued in this turn; 0: none */
    bool written;     /* its row, in this turn, as: */
    uint64_t row_cursor, row_sent;
    bool row_aside;
    uint64_t saved_cursor, saved_sent; /* as they are durable */
    bool saved_aside, is_saved;
    int64_t sent_at_us;
    uint32_t counted_at; /* member whose load what is under way is; GB_NO_INDEX: none */
    double entry_s;      /* what one entry takes, smoothed */
    int64_t retry_told_at_us;
    int64_t resync_at_us, resync_wait_us; /* not before; the pause after a failure */
    char why[GB_REASON_BYTES];
} mgb_replica_t;

struct mgb_log_t {
    mgb_commit_t *commit;
    apr_pool_t *pool;    /* its own */
    apr_pool_t *pturn;   /* cleared at each turn's end */
    apr_pool_t *panswer; /* of `verdict`, until it is durable */
    const mgb_balancer_t *b;
    const mgb_commit_conf_t *conf;
    mgb_log_shared_t *shared;
    uint32_t number; /* in the journal */
    uint64_t head;   /* with what was appended since the latest commit, */
    uint64_t durable_head;
    int64_t append_due_us; /* until then that may wait */
    uint64_t settled;      /* the latest with a verdict that is durable */
    uint64_t repeat_upto;  /* an earlier keeper may have sent these already */
    gb_entry_t open;       /* settled + 1; seq 0: not looked at yet */
    uint64_t stuck_seq;    /* `open`, when it was first seen at a tick, */
    int64_t stuck_at_us;   /* then, or when it was last told that all wait for it */
    int64_t stuck_since_us;
    uint64_t giving_up; /* entry given up by the operator, not durable yet; 0: none */
    bool decided;       /* `open` has a verdict, which is not durable: */
    mgb_entry_t verdict;
    uint32_t answerer; /* index; GB_NO_INDEX: none */
    bool answering;    /* `open` is under way at a replica */
    gb_replica_t order[GB_COMMIT_REPLICAS];
    mgb_replica_t replicas[GB_COMMIT_REPLICAS];
    uint32_t count;
    bool too_many_told;
    bool queued;             /* in this turn, beside what was appended */
    int64_t full_told_at_us; /* 0: never */
    mgb_item_t *items;       /* [MGB_ITEMS], by seq */
    mgb_policy_t old;        /* of an entry before these */
    mgb_waiter_t *waiters, *told_done, *told_late, *told_full;
    uint64_t asked;        /* GreenCommitDecide is being asked about it; 0: nothing */
    uint32_t asked_copies; /* at so many copies */
    int64_t ask_at_us;     /* not before, after a failure */
    uint64_t timer;
    int64_t timer_at_us;
    int64_t rows_at_us; /* when rows were last written */
    bool trim_due;
    uint64_t accepted_seen; /* for the rate: */
    double rate;            /* accepted a second, smoothed */
    int64_t rate_at_us;
    mgb_resync_t *resync;                  /* NULL: none runs */
    uint32_t resync_target, resync_source; /* GB_NO_INDEX: none */
    uint64_t resync_seq;
};

/* distribute.c: the entry, or NULL.  `replica` (or NULL): who wants it as its next one.
 * Valid until the next call. */
gb_entry_t *mgb_log_entry(mgb_log_t *log, uint64_t seq, mgb_replica_t *replica);
/* What is remembered of it, or NULL. */
mgb_item_t *mgb_log_item(mgb_log_t *log, uint64_t seq);
/* The loop returns at once, or then, so that there is another turn. */
void mgb_log_wake(mgb_log_t *log, int64_t at_us);
/* Notes what a write to the journal has said; false: it was not done. */
bool mgb_log_wrote(mgb_log_t *log, apr_status_t rv);
void mgb_log_count(uint64_t *counter);

/* distribute_member.c.  load: from the journal's rows and the segment's members, at
 * opening; members: who is new, and who is gone, in the first half of a turn. */
void mgb_replicas_load(mgb_log_t *log);
void mgb_replicas_members(mgb_log_t *log);
/* Replicas that have the entry; members of the log. */
uint32_t mgb_replicas_copies(const mgb_log_t *log, uint64_t seq);
uint32_t mgb_replicas_members_count(const mgb_log_t *log);
/* distribute_replica.c.  First half: skips, doubts, the answerer, marks; then rows
 * (`due`: there will be a commit in any case).  Second half: what was written is
 * durable; sends. */
void mgb_replicas_plan(mgb_log_t *log, int64_t now_us);
void mgb_replicas_write(mgb_log_t *log, bool due, int64_t now_us);
void mgb_replicas_written(mgb_log_t *log, bool durable);
void mgb_replicas_send(mgb_log_t *log, int64_t now_us);
void mgb_replica_aside(mgb_log_t *log, uint32_t index, const char *why);
/* Of troubles with one replica one line a minute: whether this is the one. */
bool mgb_replica_may_tell(mgb_replica_t *replica, int64_t now_us);
/* What was under way there is so no longer. */
void mgb_replica_uncount(mgb_replica_t *replica);

/* distribute_wait.c */
void mgb_waiters_tell(mgb_log_t *log, int64_t now_us);
/* Nothing of what was appended in this turn was stored. */
void mgb_waiters_lost(mgb_log_t *log);
int64_t mgb_waiters_due_us(const mgb_log_t *log);
/* How many entries no replica has answered yet, and who waits for them: load. */
void mgb_waiters_load(mgb_log_t *log);
/* The verdict's Green-Commit-Policy, or NULL.  Returns its line for the journal, or an
 * empty one; in `p`. */
const char *mgb_waiters_policy(mgb_log_t *log, uint64_t seq, const char *policy,
                               apr_pool_t *p);
void mgb_waiters_ask(mgb_log_t *log, int64_t now_us);

/* distribute_accept.c: does what the operator has said of a replica, at each tick.
 * forget: of what was said to an earlier keeper nothing is done. */
void mgb_accept_step(mgb_log_t *log, uint32_t index);
void mgb_accept_forget(mgb_replica_shared_t *to);

/* distribute_give_up.c: does what the operator has said of the open entry, at each
 * tick. */
void mgb_give_up_step(mgb_log_t *log, int64_t now_us);

/* distribute_tick.c: GreenResync's command, before its log is closed. */
void mgb_upkeep_end(mgb_log_t *log);
/* Is it time to stop sending to a replica that is to sleep?  First half. */
void mgb_upkeep_park(mgb_log_t *log);

#endif /* MGB_DISTRIBUTE_PRIVATE_H */
