/* SPDX-License-Identifier: Apache-2.0
 *
 * commit.h - replicated writes in the keeper: the journal thread and its parts.
 *
 * All of it runs in the journal thread, from its loop, without locks, but for
 * mgb_commit_prepare, _start and _stop, which are the keeper's main thread's.  The
 * watchdog and this thread meet in the segment alone.  docs/commit-design.md.
 */
#ifndef MGB_COMMIT_H
#define MGB_COMMIT_H

#include "keeper.h"
#include "libcrypto.h"

#include "core/gb_replica.h"
#include "core/gb_wire.h"

typedef struct mgb_journal_t mgb_journal_t; /* journal.c */
typedef struct mgb_log_t mgb_log_t;         /* distribute.c */
typedef struct mgb_peers_t mgb_peers_t;     /* commit_peer.c */

/* The journal thread. */
typedef struct mgb_commit_t {
    apr_pool_t *pool; /* the thread's life; no other thread allocates from it */
    server_rec *server;
    mgb_context_t *ctx;
    mgb_shared_t *shared;
    const mgb_keeper_t *keeper; /* hints of members; read only */
    mgb_loop_t *loop;           /* its own */
    mgb_journal_t *journal;     /* NULL: it cannot be used; `why_closed` says why */
    const char *why_closed;
    mgb_log_t **logs; /* [log_count] */
    uint32_t log_count;
    mgb_peers_t *peers;
    struct mgb_senders_t *senders;   /* send.c */
    uint8_t key[MGB_SEAL_KEY_BYTES]; /* of the journal; wiped at the end */
    mgb_keeper_t own;                /* for spawn.c: the thread's pool and loop */
    apr_status_t
        undone;    /* a write of this turn has failed, and with it all that was not
                      committed: until the turn ends nothing more is written */
    bool stopping; /* finish what is in flight, begin nothing */
    uint32_t row;  /* of its process, for counting; GB_NO_INDEX: none */
} mgb_commit_t;

/* ------------------------------------------------------- commit_thread.c */

/* Before privileges are dropped: makes the socket, reads the key (conf->journal_key, a
 * file of 32 bytes).  Nothing and APR_SUCCESS when no balancer has GreenCommit. */
apr_status_t mgb_commit_prepare(mgb_keeper_t *keeper);
/* After it: opens the journal, starts the thread.  Whatever fails, the keeper goes on:
 * writes get 503, and the log says why. */
void mgb_commit_start(mgb_keeper_t *keeper);
/* Ends the thread: what is in flight has a second to end; the journal is closed. */
void mgb_commit_stop(mgb_keeper_t *keeper);

/* ------------------------------------------------------- journal.c, journal_*.c */

/* An entry as it is stored.  Texts and bodies live in the pool that was given. */
typedef struct mgb_entry_t {
    uint64_t seq;
    const char *id, *principal;
    uint64_t nonce;
    uint8_t digest[32];                    /* SHA-256 of method, target and body */
    apr_time_t at;                         /* wall clock: when the intent was stored */
    const char *method, *target, *headers; /* "Name: value\r\n" lines */
    const char *body;
    apr_size_t body_bytes;
    gb_verdict_state_e state;
    int status; /* of the answer, once decided */
    uint64_t answer_digest;
    const char *answered_by;    /* name of the replica */
    const char *answer_headers; /* as above; what is for us (MGB_POLICY_LINE) first */
    const char *answer_body;
    apr_size_t answer_bytes;
} mgb_entry_t;

/* What the answerer asks for, as it is kept with its answer; clients do not get it. */
#define MGB_POLICY_LINE "Green-Commit-Policy: "

typedef struct mgb_replica_row_t { /* a replica as it is stored */
    const char *name;              /* worker->s->name_ex */
    uint64_t cursor, sent;
    bool aside;
    const char *why; /* of aside */
} mgb_replica_row_t;

/* Opens the file, or makes it; `key` has 32 bytes.  NULL: `error` (in `p`) says what is
 * wrong and what to do: tmpfs, another's file, a wrong key, damage (with the command
 * that repairs it), a newer version.  Blocks: up to 5 s while another process has it,
 * and for as long as it takes to look at all entries (some 2 us each). */
mgb_journal_t *mgb_journal_open(const char *path, apr_off_t size, const uint8_t key[32],
                                apr_pool_t *p, const char **error);
void mgb_journal_close(mgb_journal_t *journal);
uint64_t mgb_journal_epoch(const mgb_journal_t *journal);

/* The log of a balancer: its number in the file, made when it is new (which commits),
 * with its latest entry and the latest such that it and all before have a verdict. */
apr_status_t mgb_journal_log(mgb_journal_t *journal, const char *key, uint32_t *log,
                             uint64_t *head, uint64_t *settled);
/* Its replicas: mgb_replica_row_t.  In `p`. */
apr_array_header_t *mgb_journal_replicas(mgb_journal_t *journal, uint32_t log,
                                         apr_pool_t *p);

/* Writes, which are durable when mgb_journal_commit() has said APR_SUCCESS and not
 * before.  Reads see them at once.  Changing nothing and undoing nothing: APR_ENOSPC:
 * append only, the journal is 90 % full; APR_EINVAL: a call that makes no sense (a
 * second verdict); APR_NOTFOUND.  Any other failure undoes the whole of what was not
 * committed yet (EIO: the disk is full), and is logged: the caller queues again what it
 * still wants.  When an fsync has failed, nobody knows what of the commit is durable:
 * from then on everything says APR_EGENERAL until the journal is closed and opened
 * again. */
apr_status_t
mgb_journal_append(mgb_journal_t *journal, uint32_t log,
                   mgb_entry_t *entry); /* sets seq; `at` is the caller's */
apr_status_t mgb_journal_verdict(mgb_journal_t *journal, uint32_t log,
                                 const mgb_entry_t *entry); /* state and the answer */
apr_status_t mgb_journal_replica(mgb_journal_t *journal, uint32_t log,
                                 const mgb_replica_row_t *row); /* insert or replace */
apr_status_t mgb_journal_forget(mgb_journal_t *journal, uint32_t log, const char *name);
/* Deletes up to `most` settled entries of up to `upto` that are older than `before`,
 * the oldest first; ids of them are EXPIRED from then on, for as long as they are
 * remembered (the latest 100,000 of a log). */
apr_status_t mgb_journal_trim(mgb_journal_t *journal, uint32_t log, uint64_t upto,
                              apr_time_t before, uint32_t most, uint32_t *trimmed);
/* Group commit: one fsync for all since the last one.  Blocks.  APR_SUCCESS also when
 * there was nothing. */
apr_status_t mgb_journal_commit(mgb_journal_t *journal);
bool mgb_journal_is_dirty(const mgb_journal_t *journal);

/* Reads; APR_NOTFOUND: there is none; APR_EGONE (MGB_EXPIRED): there was one;
 * APR_EGENERAL: it is damaged, and the log says which; APR_INCOMPLETE (get): a repair
 * has not found the request, or, with_answer, the answer.  In `p`. */
#define MGB_EXPIRED APR_FROM_OS_ERROR(ESTALE)
apr_status_t mgb_journal_get(mgb_journal_t *journal, uint32_t log, uint64_t seq,
                             bool with_answer, apr_pool_t *p, mgb_entry_t *entry);
/* What the order of things needs of an entry, unopened: cheap. */
apr_status_t mgb_journal_peek(mgb_journal_t *journal, uint32_t log, uint64_t seq,
                              gb_entry_t *entry, apr_time_t *at);
/* By id; its seq. */
apr_status_t mgb_journal_find(mgb_journal_t *journal, uint32_t log, const char *id,
                              const char *principal, uint64_t *seq);
/* Bytes in use, and of 1000 parts how many are full. */
void mgb_journal_space(mgb_journal_t *journal, apr_off_t *bytes, uint32_t *permille);
/* Are its files still where they were?  If not, appends say APR_ENOSPC until they are.
 * Two calls of the system: now and then. */
void mgb_journal_look(mgb_journal_t *journal);
/* As it was found last. */
bool mgb_journal_is_away(const mgb_journal_t *journal);

/* ------------------------------------------------------- distribute.c */

/* The log of a balancer, opened.  NULL: the journal cannot be used for it. */
mgb_log_t *mgb_log_open(mgb_commit_t *commit, const mgb_balancer_t *b);
void mgb_log_close(mgb_log_t *log);
const mgb_balancer_t *mgb_log_balancer(const mgb_log_t *log);

/* Who waits for an entry. `done` is called once, from the loop, never from within
 * mgb_log_submit; the waiter may be taken back before. */
typedef struct mgb_waiter_t {
    struct mgb_waiter_t *next; /* the log's */
    uint64_t seq;
    int64_t deadline_us;
    void (*done)(struct mgb_waiter_t *waiter, gb_wire_says_e says);
} mgb_waiter_t;

/* A new write: queued for the journal; `waiter` hears of it when it is met, rejected or
 * failed (DONE), when its deadline has passed (LATE), or when it could not be stored
 * (FULL).  Its seq and terms are set.  APR_ENOSPC, or another error: nothing was
 * stored, and the waiter hears nothing. */
apr_status_t mgb_log_submit(mgb_log_t *log, mgb_entry_t *entry,
                            const gb_commit_wish_t *wish, mgb_waiter_t *waiter);
/* Waits for an entry that is there already. */
void mgb_log_wait(mgb_log_t *log, uint64_t seq, const gb_commit_wish_t *wish,
                  mgb_waiter_t *waiter);
void mgb_log_leave(mgb_log_t *log, mgb_waiter_t *waiter);
/* How far an entry is. */
void mgb_log_mark(mgb_log_t *log, const mgb_entry_t *entry, gb_commit_mark_t *mark);
/* Its number in the journal. */
uint32_t mgb_log_number(const mgb_log_t *log);

/* How urgent a commit is, by this log.  WAITS: entries that stand in line are not
 * durable yet, and go along with the verdict that they wait for; for some milliseconds
 * at most, and only as long as nobody wants to hear of them sooner. */
typedef enum mgb_due_e { MGB_DUE_NOTHING = 0, MGB_DUE_WAITS, MGB_DUE_NOW } mgb_due_e;
mgb_due_e mgb_log_due(const mgb_log_t *log, int64_t now_us);

/* Each turn of the loop: before the commit (queues what follows from what came; `due`:
 * it is certain that there is one), after it, if there was one; then sends, then tells
 * who waits. */
void mgb_log_before_commit(mgb_log_t *log, bool due, int64_t now_us);
void mgb_log_after_commit(mgb_log_t *log, apr_status_t committed, int64_t now_us);
void mgb_log_send(mgb_log_t *log, int64_t now_us);
void mgb_log_tell(mgb_log_t *log, int64_t now_us);
/* Has before_commit queued anything? */
bool mgb_log_has_queued(const mgb_log_t *log);
/* Ten times a second: machines' states, parking, eligibility, the segment, trimming. */
void mgb_log_tick(mgb_log_t *log, int64_t now_us);
/* Is anything in flight at a replica? */
bool mgb_log_is_busy(const mgb_log_t *log);

/* ------------------------------------------------------- send.c */

/* What a transfer brings back; lives until `done` returns. */
typedef struct mgb_sent_t {
    gb_answer_t answer;
    const char *headers; /* "Name: value\r\n" lines, hop-by-hop ones left out */
    const char *body;
    apr_size_t body_bytes;
    const char *policy; /* Green-Commit-Policy, or NULL */
    const char *error;  /* why there is no answer, or NULL */
} mgb_sent_t;

/* Connections to one replica; one write in flight. */
typedef struct mgb_sender_t mgb_sender_t;
typedef void mgb_sent_fn(void *baton, const mgb_sent_t *sent);

apr_status_t mgb_sender_open(mgb_commit_t *commit); /* the multi handle; once */
void mgb_sender_shut(mgb_commit_t *commit);
/* `url`: of the member, http or https. */
mgb_sender_t *mgb_sender_create(mgb_commit_t *commit, const mgb_balancer_t *b,
                                const char *url, apr_pool_t *p);
/* Sends an entry, which is copied: its headers, and Idempotency-Key, Green-Commit-Time,
 * -Seed, -Role, -Seq and -Principal.  `done` comes once, from the loop.  Any status but
 * APR_SUCCESS: nothing was sent, and done() does not come. */
apr_status_t mgb_sender_send(mgb_sender_t *sender, const mgb_entry_t *entry,
                             uint64_t epoch, bool answers, mgb_sent_fn *done,
                             void *baton);
/* What was sent leaves now, and not when the loop comes to it; `done` may come. */
void mgb_sender_begin(mgb_commit_t *commit);
/* Ends what is in flight without a word, and its connections. */
void mgb_sender_drop(mgb_sender_t *sender);

/* ------------------------------------------------------- resync.c */

/* Runs GreenResync's command, an hour at most; `done` once, from the loop; the handle
 * is gone then.  Never a shell.  NULL: it could not be begun. */
typedef struct mgb_resync_t mgb_resync_t;
typedef void mgb_resync_fn(void *baton, bool ok, const char *why);
mgb_resync_t *mgb_resync_start(mgb_commit_t *commit, const char *const *argv,
                               const char *target, const char *source, uint64_t seq,
                               mgb_resync_fn *done, void *baton);
/* `done` will not come: the log is about to be closed. */
void mgb_resync_stop(mgb_resync_t *resync);

/* ------------------------------------------------------- commit_peer.c */

/* Children's connections on `listen_fd`: SUBMIT and ASK, their waiters, REPLY.  They
 * live in commit->pool; listen_fd is theirs.  Without a journal, or a log of the
 * balancer, every question is answered by FULL. */
mgb_peers_t *mgb_peers_create(mgb_commit_t *commit, int listen_fd);
/* Ends every connection, with its waiters, and goes on listening: the logs are about to
 * be closed, and children come again. */
void mgb_peers_drop(mgb_peers_t *peers);
/* Takes no more, answers nobody: children come again to the next keeper. */
void mgb_peers_end(mgb_peers_t *peers);

/* Failpoints, in builds with TEST_CLOCK alone: MGB_FAIL("after_intent") kills the
 * keeper there when the file named by GREEN_FAIL says so; nothing otherwise. */
#ifdef MGB_TEST_CLOCK
void mgb_fail_point(const char *name);
bool mgb_fail_bug(const char *name);
#define MGB_FAIL(name) mgb_fail_point(name)
/* Is this bug planted, for tests/crash to find? */
#define MGB_BUG(name) mgb_fail_bug(name)
#else
#define MGB_FAIL(name) ((void)0)
#define MGB_BUG(name)  false
#endif

#endif /* MGB_COMMIT_H */
