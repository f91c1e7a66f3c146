/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_replica.h - what a replica of a log does next, and what its answers mean.
 *
 * Pure functions over one replica and one entry; the journal thread carries out what
 * they say and keeps what they return.  docs/commit-design.md has the protocol; every
 * pair of state and event is tested (tests/unit/test_gb_replica.c), and the model in
 * tests/model checks the same rules.
 */
#ifndef GB_REPLICA_H
#define GB_REPLICA_H

#include "gb_commit.h"

/* A replica; the journal thread's own.  What is durable stands in the journal. */
typedef struct gb_replica_t {
    uint64_t cursor;     /* durable, lags: all accepted entries up to it are applied */
    uint64_t sent;       /* durable, leads: the latest entry that was about to be sent
                            and must not be forgotten: one that it was to answer, or
                            that must not be repeated; 0: none */
    uint64_t in_flight;  /* the entry that is being sent; 0: none */
    int64_t retry_at_us; /* not before; 0: at once */
    uint32_t tries;      /* of the entry after the cursor, in a row, in vain */
    uint32_t wrong;      /* of these, answers of 5xx to an entry that has a verdict */
    bool aside;          /* durable */
    bool in_doubt;       /* the entry after the cursor may have been applied: a send
                            ended so, or sent > cursor when it came from the journal */
    bool can_take;       /* awake, and not parked */
    bool answers;        /* it is sent as the answerer */
} gb_replica_t;

/* An entry as far as the order of things is concerned. */
typedef struct gb_entry_t {
    uint64_t seq;
    gb_verdict_state_e state;
    bool repeatable;         /* by its method, or by the level */
    bool deletes;            /* DELETE: repeated, it may say 404 or 410 */
    int status;              /* of the answer that decided; 0: OPEN */
    uint64_t digest;         /* of its Green-Commit-Digest; 0: none */
    uint32_t rolled_back;    /* OPEN: answers of 5xx so far, */
    int rolled_back_status;  /* the latest of them, and whose */
    uint32_t rolled_back_by; /* replica; GB_NO_INDEX: none */
    uint32_t lost;           /* OPEN: replicas that were set aside for it */
} gb_entry_t;

typedef enum gb_step_e {
    GB_STEP_NONE, /* nothing to do for it now */
    GB_STEP_SKIP, /* the entry is nothing to it: the cursor moves on */
    GB_STEP_MARK, /* commit `sent` first, then ask again */
    GB_STEP_SEND, /* send it the entry */
    GB_STEP_ASIDE /* it is not known whether it has the entry */
} gb_step_e;

/* The next step of a replica, whose next entry (cursor + 1) is `entry`; NULL: it is at
 * the head.  `is_answerer`: this replica may answer it, if it is OPEN.  Who is in doubt
 * about an entry that must not be repeated, or that FAILED elsewhere, goes ASIDE; about
 * a rejected one it is asked: it has to reject it, too. */
gb_step_e gb_replica_next(const gb_replica_t *replica, const gb_entry_t *entry,
                          bool is_answerer, int64_t now_us);

/* How a transfer ended. */
typedef enum gb_transfer_e {
    GB_SENT_ANSWERED, /* a whole response */
    GB_SENT_NOTHING,  /* no byte of it can have arrived: refused, unreachable */
    GB_SENT_DOUBTFUL  /* it may have arrived: reset, time-out, broken answer */
} gb_transfer_e;

typedef struct gb_answer_t {
    gb_transfer_e how;
    int status;      /* of ANSWERED */
    uint64_t digest; /* of its Green-Commit-Digest; 0: none */
    bool repeated;   /* it, or what the verdict came from, may have been a second
                        sending to a replica that does not know it for one (L0) */
} gb_answer_t;

/* What follows from an answer; a set of bits. */
#define GB_DO_VERDICT (1u << 0) /* entry->state and status are decided: commit them */
#define GB_DO_CURSOR  (1u << 1) /* the replica has it, or needs it not: cursor = seq */
#define GB_DO_CONFIRM (1u << 2) /* one more copy of an accepted entry */
#define GB_DO_ASIDE   (1u << 3) /* set it aside */
#define GB_DO_RETRY   (1u << 4) /* again, after retry_at_us */
#define GB_DO_OTHER   (1u << 5) /* ask another one for the verdict, if there is one */

/* Takes in the answer of a replica about an entry.  Changes the replica's tries, wrong,
 * retry_at_us, in_doubt and sent (0: the mark is not needed any more), ends in_flight,
 * and changes the entry's state, status, digest and rolled_back fields; cursor and
 * aside are the caller's, who commits them.  `index` is the replica's number, `others`
 * how many others could answer now. */
uint32_t gb_replica_answered(gb_replica_t *replica, gb_entry_t *entry, uint32_t index,
                             uint32_t others, const gb_answer_t *answer,
                             int64_t now_us);

#define GB_REPLICA_RETRY_FIRST_US (50 * GB_US_PER_MS)
#define GB_REPLICA_RETRY_MOST_US  (5 * GB_US_PER_S)
#define GB_REPLICA_WRONG_MOST     3 /* rolled back by a follower so often: aside */
#define GB_REPLICA_ROLLED_MOST    8 /* 5xx of whatever kind to an OPEN entry: FAILED */
#define GB_REPLICA_LOST_MOST      2 /* set aside for an OPEN entry: FAILED */

/* May it have been applied there?  It is under way, or its outcome is not known. */
bool gb_replica_may_have(const gb_replica_t *replica, const gb_entry_t *entry);

typedef enum gb_give_up_e {
    GB_GIVE_UP_DONE = 0,
    GB_GIVE_UP_DECIDED,    /* it has a verdict */
    GB_GIVE_UP_NOBODY_LEFT /* all would be aside */
} gb_give_up_e;

/* The operator gives up an entry that no replica answers.  DONE: entry->state and
 * status are decided (FAILED), and those in *aside, bits of replicas, are to be set
 * aside, since they may have it: commit both at once.  Nobody's pause goes on that was
 * for it.  Who has refused it by 429 or 503, or was never sent it, has not.  Else
 * nothing was changed.  `gone`: bits of those that are no members any more.  `even_so`:
 * though nobody is left who is not aside. */
gb_give_up_e gb_replica_given_up(gb_replica_t *replicas, uint32_t count, uint64_t gone,
                                 gb_entry_t *entry, bool even_so, uint64_t *aside);

/* Which replica is to answer the entry after `log_settled` (the latest with a verdict):
 * `before` if it still can, else the first that can; GB_NO_INDEX: none. */
uint32_t gb_replica_answerer(const gb_replica_t *replicas, uint32_t count,
                             uint64_t log_settled, uint32_t before, int64_t now_us);

/* May it take reads?  `reads` as it was; `lag` entries behind the last settled one, the
 * oldest of them settled `age_us` ago. */
#define GB_REPLICA_LAG_MOST    64
#define GB_REPLICA_LAG_MOST_US GB_US_PER_S
bool gb_replica_reads(bool reads, const gb_replica_t *replica, uint64_t lag,
                      int64_t age_us);

/* How long a replica that wakes needs to catch up: lag entries at `entry_s` seconds
 * each while `rate` more come a second (L s / (1 - rate s)); GB_NEVER_US when it never
 * would. */
int64_t gb_replica_catch_up_us(uint64_t lag, double entry_s, double rate);

#endif /* GB_REPLICA_H */
