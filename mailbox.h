/* SPDX-License-Identifier: Apache-2.0
 *
 * mailbox.h - letters from httpd's children to the keeper, and its replies.
 *
 * A mapping and an event descriptor that the parent makes once and everybody inherits;
 * no name in the file system, so nobody else can reach it.  It outlives keepers: what
 * is posted while there is none is taken back by who posted it.  A child waits for its
 * letter's reply, in its own thread alone and for MGB_MAIL_WAIT_US at most; the keeper
 * never waits, and looks at a fixed number of letters of a fixed size.
 */
#ifndef MGB_MAILBOX_H
#define MGB_MAILBOX_H

#include "keeper.h"

#define MGB_MAIL_BYTES   1024 /* of the longest letter or reply */
#define MGB_MAIL_ROOM    32   /* letters under way at once, over all children */
#define MGB_MAIL_WAIT_US (2 * GB_US_PER_S)

typedef enum mgb_mail_e {
    MGB_MAIL_ANSWERED = 0,
    MGB_MAIL_REFUSED, /* the keeper has looked at it, and does not answer */
    MGB_MAIL_AWAY,    /* there is no keeper, or it did not answer in time */
    MGB_MAIL_FULL     /* too many at once, or too long */
} mgb_mail_e;

/* Parent, post_config: makes the box, or finds the one of before this restart. */
apr_status_t mgb_mailbox_attach(server_rec *s);

/* The descriptor that the keeper has to keep open; -1: there is none. */
int mgb_mailbox_fd(void);

/* A child's: posts the letter and waits.  `reply` has MGB_MAIL_BYTES of room. */
mgb_mail_e mgb_mailbox_ask(const mgb_shared_t *sh, const char *letter, size_t bytes,
                           char *reply, size_t *reply_bytes);

/* The keeper's: reads a letter, writes a reply of at most `room` bytes and returns its
 * length; 0 refuses.  The letter is the function's own copy. */
typedef size_t mgb_mail_fn(void *baton, const char *letter, size_t bytes, char *reply,
                           size_t room);

/* The keeper's: `fn` gets the letters from now on, in the loop's thread. */
apr_status_t mgb_mailbox_open(mgb_keeper_t *keeper, mgb_mail_fn *fn, void *baton);

#endif /* MGB_MAILBOX_H */
