/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_child.h - replicated writes on the side of httpd's children: what
 * fuzzy_commit.c, commit_talk.c and commit_page.c offer to each other.
 *
 * Any thread of a child; no lock, memory of r->pool.  The thread of the request waits
 * until the keeper has answered.
 */
#ifndef MGB_COMMIT_CHILD_H
#define MGB_COMMIT_CHILD_H

#include "mod_greenbalance.h"

#include "core/gb_wire.h"

#define MGB_COMMIT_PATH "/.well-known/green-commit/"

/* ------------------------------------------------------- commit_talk.c */

typedef enum mgb_talk_e {
    MGB_TALK_ANSWERED,
    MGB_TALK_NOBODY,  /* no keeper took the frame: nothing was stored */
    MGB_TALK_UNKNOWN, /* it was sent, and nobody said what became of it */
    MGB_TALK_GONE     /* the client has gone away */
} mgb_talk_e;

/* How long a keeper may be away, beyond what the answer takes. */
#define MGB_TALK_AWAY_US (10 * GB_US_PER_S)

/* Sends a frame to the keeper and waits for its REPLY, for up to `span_us`; comes again
 * with the same frame when the keeper ends meanwhile.  `again`: it was sent more than
 * once, so an earlier one may have been stored.  The fields of `reply` live in r->pool.
 */
mgb_talk_e mgb_commit_talk(request_rec *r, const gb_wire_t *frame, int64_t span_us,
                           gb_wire_t *reply, bool *again);
void mgb_talk_register_hooks(apr_pool_t *p);

/* ------------------------------------------------------- commit_target.c */

/* The balancer with GreenCommit that mod_proxy is to give the request to, or NULL. */
const mgb_balancer_t *mgb_commit_balancer(request_rec *r);
/* Path and query as mod_proxy_http would send them to a member without a path of its
 * own.  OK, or the status to answer with. */
int mgb_commit_target(request_rec *r, const char **target);
/* Who writes or asks, "" for nobody; NULL: a name that the keeper does not take. */
const char *mgb_commit_principal(const request_rec *r);

/* ------------------------------------------------------- commit_page.c */

/* A text of the reply as a string in r->pool: visible ASCII and blanks, else "". */
const char *mgb_commit_text(request_rec *r, const gb_wire_t *reply, gb_wire_tag_e tag);

/* Quotes and backslashes with a backslash before them, as strings of RFC 9651 and of
 * JSON have them.  The text has no control characters. */
const char *mgb_commit_escape(apr_pool_t *p, const char *text);

/* All that answer return what the handler has to return: DONE, or a status for which
 * httpd has an answer.  This one answers with an error of ours: plain text, or
 * problem+json for those who like it better.  retry_s 0: no Retry-After. */
int mgb_commit_problem(request_rec *r, int status, uint32_t retry_s,
                       const char *detail);
/* Where the state of a write can be asked for: path of the site. */
const char *mgb_commit_place(request_rec *r, const char *id);
/* Sets the fields Green-Commit and Green-Commit-Token, and the cookie, as far as the
 * reply has them. */
void mgb_commit_headers(request_rec *r, const mgb_balancer_t *b,
                        const gb_wire_t *reply);
/* The answerer's own response (DONE).  `stored`: it is asked for by GET, and may not be
 * kept by anybody else. */
int mgb_commit_response(request_rec *r, const gb_wire_t *reply, bool stored);
/* 202 or 503 (`status`): stored, and not there yet.  A page for browsers, which goes on
 * by itself to the result. */
int mgb_commit_pending(request_rec *r, int status, const char *id,
                       const gb_wire_t *reply);
/* The state as JSON, with status 200. */
int mgb_commit_state(request_rec *r, const gb_wire_t *reply);

/* ------------------------------------------------------- commit_ask.c */

/* Is it a question about a write, in a virtual host that has any?  Then it is not for
 * mod_proxy. */
bool mgb_commit_is_question(const request_rec *r);
/* Answers it. */
int mgb_commit_answer_question(request_rec *r);
void mgb_questions_register_hooks(apr_pool_t *p);

/* ------------------------------------------------------- commit_past.c */

void mgb_past_register_hooks(apr_pool_t *p);

#endif /* MGB_COMMIT_CHILD_H */
