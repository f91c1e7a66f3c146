/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_redfish.h - one question or order to a Redfish service: what to ask for next, and
 * what the answers mean.
 *
 * A run is one operation on one machine.  It says what to ask for (gb_redfish_begin),
 * takes the answer (gb_redfish_take) and says what is next, until it is done.  Who asks
 * - logging in, TLS, time-outs - is the caller's part.  What was learned of a machine
 * stays in its place, so that a status costs one question later on.
 *
 * Facts that shape this file (DSP0266 and what services do):
 *  - an order that was accepted is answered by 204, by 200, or by 202 and a task; some
 *    services keep the task running until the machine is off;
 *  - "already in that state" has no code of its own (409 mostly, 400 by some): the
 *    status is read again and decides;
 *  - what a service allows stands in the action itself, in a resource that it names, or
 *    nowhere.
 *
 * All input is hostile.  Pure, any thread.
 */
#ifndef GB_REDFISH_H
#define GB_REDFISH_H

#include "gb_ladder.h"
#include "gb_parse.h"
#include "gb_value.h"

#define GB_REDFISH_BODY_MOST  ((size_t)256 * 1024) /* of an answer that is read */
#define GB_REDFISH_PATH_BYTES 512
#define GB_REDFISH_TAG_BYTES  128
#define GB_REDFISH_TEXT_BYTES 96 /* of a service's message, cut */

#define GB_REDFISH_ROOT     "/redfish/v1/"
#define GB_REDFISH_SESSIONS "/redfish/v1/SessionService/Sessions"

typedef enum gb_redfish_op_e {
    GB_REDFISH_STATUS = 0,
    GB_REDFISH_WATTS,
    GB_REDFISH_ON,
    GB_REDFISH_OFF, /* soft */
    GB_REDFISH_CUT  /* the power, at once */
} gb_redfish_op_e;

typedef enum gb_redfish_next_e {
    GB_REDFISH_ASK = 0, /* put run->ask */
    GB_REDFISH_PAUSE,   /* put run->ask, but not before run->pause_us */
    GB_REDFISH_DONE     /* run->result, powered, watts, text */
} gb_redfish_next_e;

typedef enum gb_redfish_fault_e {                      /* why no answer came */
                                  GB_REDFISH_LOST = 0, /* may be better soon */
                                  GB_REDFISH_WRONG     /* a person has to act */
} gb_redfish_fault_e;

/* An answer as it came; the pointers are the caller's. */
typedef struct gb_redfish_answer_t {
    uint32_t status; /* 0: none; then `fault` and `why` */
    gb_redfish_fault_e fault;
    const char *why;
    const char *body; /* NULL: none */
    size_t bytes;
    const char *etag, *location; /* header lines' values, or NULL */
    int64_t retry_after_us;      /* 0: not said */
} gb_redfish_answer_t;

/* What is known of a machine; all of it may be lost and is learned again.  Zeroed at
 * first, but for the origin and the entry. */
typedef struct gb_redfish_place_t {
    char origin[GB_URL_BYTES]; /* "https://host[:port]" */
    char entry[GB_URL_BYTES];  /* path of redfish=; "": the service's root */
    char system[GB_REDFISH_PATH_BYTES];
    char metrics[GB_REDFISH_PATH_BYTES]; /* EnvironmentMetrics */
    char power[GB_REDFISH_PATH_BYTES];
} gb_redfish_place_t;

/* What is to be asked for. */
typedef struct gb_redfish_ask_t {
    bool post;
    char path[GB_REDFISH_PATH_BYTES];
    char body[64];                       /* of a POST; JSON */
    char if_match[GB_REDFISH_TAG_BYTES]; /* "": no such header line */
} gb_redfish_ask_t;

typedef struct gb_redfish_run_t {
    gb_redfish_op_e op;
    uint32_t phase; /* its own */
    gb_redfish_ask_t ask;
    int64_t pause_us;
    gb_ladder_result_e result;
    bool powered;
    double watts;
    char text[GB_REASON_BYTES]; /* for people; printable */
    /* its own: */
    bool forgot;      /* what was known of the place led nowhere: learned again */
    bool matched;     /* a tag was asked for, or did not match, once */
    uint32_t refused; /* status of an order that the machine's state shall explain */
    uint32_t polls, redirects;
    uint32_t detours; /* resources that were another kind than they should be */
    char reset[20];   /* the reset type that was ordered */
    char target[GB_REDFISH_PATH_BYTES];
    char state[16];
    char said[GB_REDFISH_TEXT_BYTES];
} gb_redfish_run_t;

/* Takes a URL as gb_parse_url() writes it apart; zeroes the rest of `place`. */
void gb_redfish_place(gb_redfish_place_t *place, const char *url);

/* Begins a run; run->ask is then to be put. */
void gb_redfish_begin(gb_redfish_run_t *run, const gb_redfish_place_t *place,
                      gb_redfish_op_e op);

/* Takes the answer to run->ask.  A 401 is for the caller, who logs in again once; one
 * that comes here is a refusal. */
gb_redfish_next_e gb_redfish_take(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                  const gb_redfish_answer_t *answer);

/* The time for the whole run is over: fills in the result.  An order whose task still
 * runs was accepted. */
void gb_redfish_expire(gb_redfish_run_t *run);

/* ------------------------------------------------- for the caller's own questions */

/* The path that a service refers to: a path, or a URL of the same origin; without a
 * fragment.  False: it leads elsewhere, is too long, or has characters of no URL. */
bool gb_redfish_resolve(const char *origin, const char *reference,
                        char path[GB_REDFISH_PATH_BYTES]);

typedef enum gb_redfish_root_e {
    GB_REDFISH_ROOT_NONE = 0, /* it is no root of a Redfish service */
    GB_REDFISH_ROOT_BASIC,    /* no sessions: each question carries the password */
    GB_REDFISH_ROOT_SESSIONS
} gb_redfish_root_e;

/* Where sessions are made, by the service's root. */
gb_redfish_root_e gb_redfish_sessions(const char *origin,
                                      const gb_redfish_answer_t *root,
                                      char path[GB_REDFISH_PATH_BYTES]);

/* The body that makes a session.  Returns its length; 0: it does not fit. */
size_t gb_redfish_login(char *to, size_t room, const char *user, const char *password);

/* The path of a session that was made: Location, or what its body says. */
bool gb_redfish_session(const char *origin, const gb_redfish_answer_t *made,
                        char path[GB_REDFISH_PATH_BYTES]);

#endif /* GB_REDFISH_H */
