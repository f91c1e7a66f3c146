/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_commit.h - words and numbers of replicated writes: what a client, an application
 * and a response field say of them, and when a write counts as complete.
 *
 * Pure; any thread.  Texts come from the network: lengths are given, nothing need end
 * by NUL.  docs/commit.md has the fields, docs/commit-design.md the protocol.
 */
#ifndef GB_COMMIT_H
#define GB_COMMIT_H

#include "gb_types.h"

#define GB_COMMIT_ID_BYTES    129 /* of an Idempotency-Key, with its NUL */
#define GB_COMMIT_FIELD_BYTES 512 /* of a Green-Commit field, with its NUL */
#define GB_COMMIT_TOKEN_BYTES 48
#define GB_COMMIT_NINES_MOST  99.9
/* Of a number in a structured field (RFC 9651): 15 digits. */
#define GB_COMMIT_INTEGER_MOST UINT64_C(999999999999999)
#define GB_COMMIT_REPLICAS     64         /* of one log */
#define GB_COMMIT_ALL          UINT32_MAX /* quorum=all */

typedef enum gb_level_e { GB_LEVEL_L0 = 0, GB_LEVEL_L1 } gb_level_e;

/* What the verdict on an entry is; OPEN until there is one. */
typedef enum gb_verdict_state_e {
    GB_ENTRY_OPEN = 0,
    GB_ENTRY_ACCEPTED,
    GB_ENTRY_REJECTED, /* by the application: 4xx */
    GB_ENTRY_FAILED    /* two replicas said the same 5xx */
} gb_verdict_state_e;

/* What a response's status means for a write. */
typedef enum gb_commit_outcome_e {
    GB_OUT_ACCEPTED,   /* 2xx, 3xx */
    GB_OUT_REJECTED,   /* 4xx */
    GB_OUT_RETRY,      /* 408 425 429 503: not done */
    GB_OUT_UNCLEAR,    /* 502 504, anything below 200 or above 599: done or not */
    GB_OUT_ROLLED_BACK /* any other 5xx */
} gb_commit_outcome_e;

gb_commit_outcome_e gb_commit_outcome(int status);

/* Does a method change nothing (GET HEAD OPTIONS TRACE)?  And may it be repeated at its
 * position without harm (PUT DELETE)? */
bool gb_commit_is_safe(const char *method);
bool gb_commit_is_repeatable(const char *method);

/* GreenCommit and GreenCommitLimits. */
typedef struct gb_commit_conf_t {
    bool on;
    uint32_t quorum; /* GB_COMMIT_ALL: all */
    int64_t wait_us;
    int late_status;                    /* 202 or 503 */
    uint32_t quorum_least, quorum_most; /* what the application may ask for; most 0:
                                           nothing */
    int64_t wait_least_us, wait_most_us;
} gb_commit_conf_t;

/* What somebody asks for; fields that were not said are 0, -1 for times. */
typedef struct gb_commit_wish_t {
    uint32_t quorum;
    int64_t wait_us;
    bool async; /* Prefer: respond-async */
} gb_commit_wish_t;

/* Green-Commit-Policy: "quorum=3, wait=800" (RFC 9651 dictionary; wait in ms,
 * quorum=all).  False: malformed, and nothing is wished.  Unknown members are passed
 * over. */
bool gb_commit_read_policy(const char *text, size_t bytes, gb_commit_wish_t *wish);

/* Prefer: "respond-async, wait=1" (RFC 7240; wait in seconds).  What is malformed or
 * not known is passed over, as the RFC wants. */
void gb_commit_read_prefer(const char *text, size_t bytes, gb_commit_wish_t *wish);

/* Idempotency-Key: an RFC 9651 string or token of 1 to 128 visible ASCII characters,
 * whose parameters are passed over.  A token may begin with any of its characters:
 * many clients send a bare UUID.  `id` has GB_COMMIT_ID_BYTES of room.  False:
 * malformed, and `id` is left alone. */
bool gb_commit_read_key(const char *text, size_t bytes, char *id);

/* The terms of a write: what is configured, changed by wishes within the limits. */
typedef struct gb_commit_terms_t {
    uint32_t need; /* replicas that have to confirm: 1..members */
    int64_t wait_us;
    int late_status;
} gb_commit_terms_t;

/* `wish` may be NULL.  A client's (`is_client`) can shorten the wait to nothing or
 * lengthen it to the longest that is configured or allowed, never change the quorum;
 * `async` without a wait is a wait of 0, and makes a late answer 202.  The
 * application's is brought into the limits.  Without members `need` is 1. */
gb_commit_terms_t gb_commit_terms(const gb_commit_conf_t *conf,
                                  const gb_commit_wish_t *wish, bool is_client,
                                  uint32_t members);

/* A commit token "EPOCH.SEQ", decimal, without needless zeros.  read: false when
 * malformed.  print: its length; 0, and an empty text, when it has no room. */
bool gb_commit_read_token(const char *text, size_t bytes, uint64_t *epoch,
                          uint64_t *seq);
size_t gb_commit_print_token(char *to, size_t room, uint64_t epoch, uint64_t seq);

/* How far a write has got. */
typedef enum gb_commit_state_e {
    GB_COMMIT_OPEN = 0,  /* no verdict yet */
    GB_COMMIT_SPREADING, /* accepted, and fewer than `need` have confirmed */
    GB_COMMIT_MET,
    GB_COMMIT_EVERYWHERE, /* every replica has it */
    GB_COMMIT_REJECTED,
    GB_COMMIT_FAILED,
    GB_COMMIT_UNKNOWN /* nobody can say now whether it was stored */
} gb_commit_state_e;

const char *gb_commit_state_name(gb_commit_state_e state); /* "open", "met", ... */

/* The indicator. */
typedef struct gb_commit_mark_t {
    char id[GB_COMMIT_ID_BYTES];
    uint64_t epoch, seq; /* 0: not known */
    gb_commit_state_e state;
    uint32_t need, copies, of, asleep, aside;
    bool same;    /* no replica has disagreed about it */
    double nines; /* -log10 of the probability of its loss; negative: left out */
} gb_commit_mark_t;

/* As the field Green-Commit (RFC 9651 dictionary; nines rounded down to one digit
 * behind the point, at most 99.9).  An empty id, epoch and seq where seq is 0 or longer
 * than 15 digits, and of UNKNOWN all that nobody can know are left out.  Returns its
 * length; 0, and an empty text, when it has no room, which GB_COMMIT_FIELD_BYTES always
 * are. */
size_t gb_commit_print(char *to, size_t room, const gb_commit_mark_t *mark);

/* One copy of a write, as declared by mttf= and domain=. */
typedef struct gb_commit_copy_t {
    int64_t mttf_us; /* of the machine; 0: not declared */
    uint32_t domain; /* of failure; equal: the same one; GB_NO_INDEX: its own */
} gb_commit_copy_t;

/* -log10 P(loss): P is the product of p = 1 - exp(-W / MTTF), with W (`window_us`) the
 * time until everybody has it (docs/commit.md, "nines").  Copies of one failure domain
 * may all go together, and count as one: the one on the machine that lasts longest.
 * Within 0..GB_COMMIT_NINES_MOST; negative when a copy's mttf is not declared, or there
 * is none. */
double gb_commit_nines(const gb_commit_copy_t *copies, size_t count, int64_t window_us);

#endif /* GB_COMMIT_H */
