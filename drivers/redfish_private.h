/* SPDX-License-Identifier: Apache-2.0
 *
 * redfish_private.h - what the files of the Redfish driver share.
 *
 *   redfish.c           jobs: from mgb_job_t to its result
 *   redfish_session.c   logging in and out of a service
 *   redfish_transfer.c  one request and its answer, by libcurl
 *
 * core/gb_redfish.h decides what is asked for and what answers mean.  All of it is the
 * keeper's, in its one thread, from its loop; nothing blocks and no lock is taken.
 */
#ifndef MGB_REDFISH_PRIVATE_H
#define MGB_REDFISH_PRIVATE_H

#include "driver.h"

#include "core/gb_redfish.h"

/* One request may take so long; a slow controller needs seconds for a system. */
#ifndef MGB_REDFISH_REQUEST_US
#define MGB_REDFISH_REQUEST_US (10 * GB_US_PER_S)
#endif
/* A session that nobody uses is given back: controllers have few. */
#ifndef MGB_REDFISH_IDLE_US
#define MGB_REDFISH_IDLE_US (60 * GB_US_PER_S)
#endif
/* And one that is used all the time is renewed. */
#ifndef MGB_REDFISH_RENEW_US
#define MGB_REDFISH_RENEW_US (3600 * 4 * GB_US_PER_S)
#endif
/* While all sessions are taken, so long without asking for one. */
#ifndef MGB_REDFISH_FULL_US
#define MGB_REDFISH_FULL_US (60 * GB_US_PER_S)
#endif
/* After a refused login questions wait: controllers lock accounts. */
#define MGB_REDFISH_REFUSED_US (300 * GB_US_PER_S)

#define MGB_REDFISH_TOKEN_BYTES 1024

typedef struct mgb_redfish_web_t mgb_redfish_web_t;           /* libcurl on the loop */
typedef struct mgb_redfish_transfer_t mgb_redfish_transfer_t; /* a request in flight */

/* ---------------------------------------------------------------- transfer */

typedef struct mgb_redfish_request_t {
    const char *method; /* "GET", "POST", "DELETE" */
    const char *origin, *path;
    const char *body;     /* of a POST, copied; or NULL */
    const char *token;    /* of a session; or NULL */
    const char *user;     /* with password: basic authentication; or NULL */
    const char *password; /* copied by libcurl */
    const char *if_match; /* or NULL */
    int64_t timeout_us;
} mgb_redfish_request_t;

typedef struct mgb_redfish_reply_t {
    gb_redfish_answer_t answer;
    const char *token; /* X-Auth-Token, or NULL */
} mgb_redfish_reply_t;

/* What the reply points to lives until the function returns. */
typedef void mgb_redfish_reply_fn(void *baton, const mgb_redfish_reply_t *reply);

/* The web of a keeper, made at the first call; NULL: libcurl cannot be used, `why` (as
 * of mgb_libcurl_load) says why. */
mgb_redfish_web_t *mgb_redfish_web(mgb_keeper_t *keeper, const char **why);

/* Sends; `fn` is called once, from the loop, never from within this function.  A POST
 * is sent once at most, whatever the connection does.  NULL: nothing was started, and
 * `fn` will not be called. */
mgb_redfish_transfer_t *mgb_redfish_send(mgb_redfish_web_t *web,
                                         const mgb_redfish_request_t *request,
                                         mgb_redfish_reply_fn *fn, void *baton);

/* Ends a transfer; its `fn` will not be called. */
void mgb_redfish_cancel(mgb_redfish_transfer_t *transfer);

/* ---------------------------------------------------------------- session */

typedef enum mgb_redfish_login_e {
    MGB_REDFISH_OUT = 0, /* no session */
    MGB_REDFISH_LOOKING, /* asking the service's root where sessions are made */
    MGB_REDFISH_MAKING,
    MGB_REDFISH_IN,
    MGB_REDFISH_BASIC, /* the service has none, or for now none that is free: the
                        * password with each request */
    MGB_REDFISH_LEAVING
} mgb_redfish_login_e;

/* Who waits for a login; lives in the waiter's own memory. */
typedef struct mgb_redfish_waiter_t {
    struct mgb_redfish_waiter_t *next;
    bool waits; /* in the list */
    /* `text` NULL: logged in.  Else the login failed with this result. */
    void (*fn)(void *baton, gb_ladder_result_e result, const char *text);
    void *baton;
} mgb_redfish_waiter_t;

/* A service and an account; many machines may be behind it.  keeper->pool. */
typedef struct mgb_redfish_service_t {
    struct mgb_redfish_service_t *next;
    mgb_keeper_t *keeper;
    mgb_redfish_web_t *web;
    const char *origin;
    const char *user, *password; /* in the secrets */
    mgb_redfish_login_e login;
    uint32_t users;  /* operations under way */
    uint32_t serial; /* of the session: counts them */
    uint32_t redirects;
    mgb_redfish_transfer_t *transfer; /* of the login or logout */
    mgb_redfish_waiter_t *waiters;
    char sessions[GB_REDFISH_PATH_BYTES]; /* where they are made; "": not known */
    char session[GB_REDFISH_PATH_BYTES];  /* the one that is open; "": not known */
    char token[MGB_REDFISH_TOKEN_BYTES];
    int64_t made_at_us, used_at_us;
    int64_t full_until_us; /* a session is not asked for before; 0: none was refused */
    bool basic_refused; /* only a session will do: it has refused the password itself */
    uint64_t timer;     /* looks whether it is still used; 0: not set */
    bool ending;        /* the keeper ends: no new session */
} mgb_redfish_service_t;

/* The service of an origin and account; made when it is not known. */
mgb_redfish_service_t *mgb_redfish_service(mgb_redfish_service_t **services,
                                           mgb_keeper_t *keeper, mgb_redfish_web_t *web,
                                           const char *origin, const char *user,
                                           const char *password);

/* An operation begins, ends.  Between the two a session is not given back. */
void mgb_redfish_enter(mgb_redfish_service_t *service);
void mgb_redfish_leave(mgb_redfish_service_t *service);

/* Calls waiter->fn when the service can be asked, at once if it can now. */
void mgb_redfish_login(mgb_redfish_service_t *service, mgb_redfish_waiter_t *waiter);
/* The waiter waits no more; may be called when it does not. */
void mgb_redfish_unwait(mgb_redfish_service_t *service, mgb_redfish_waiter_t *waiter);

/* The service did not accept the session of this serial: the next login makes another.
 */
void mgb_redfish_lost(mgb_redfish_service_t *service, uint32_t serial);

/* The service did not accept the password with a request.  True: it went along only
 * because all sessions are taken, so the account is not to blame; no other request gets
 * it until there has been a session. */
bool mgb_redfish_basic_lost(mgb_redfish_service_t *service);

/* Fills in how a request of ours is authenticated. */
void mgb_redfish_authorize(const mgb_redfish_service_t *service,
                           mgb_redfish_request_t *request);

/* The keeper ends: gives the session back.  True: it is given back, or there is none.
 */
bool mgb_redfish_close(mgb_redfish_service_t *service);

#endif /* MGB_REDFISH_PRIVATE_H */
