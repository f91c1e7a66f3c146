/* SPDX-License-Identifier: Apache-2.0
 *
 * redfish_session.c - logging in to a Redfish service and out again.
 *
 * A service has few sessions, often less than ten for everybody, and keeps one that
 * nobody ends for half an hour: so there is one for each service and account, however
 * many machines are behind it.  It is made when the first operation needs it, given
 * back when none has needed it for a minute or the keeper ends, and made anew when the
 * service does not know it any more.  A service without sessions gets the password with
 * each request.  So does one whose sessions are all taken, as they are when a keeper
 * was killed again and again: half an hour without orders would be worse.  It is asked
 * for a session again every minute.
 *
 *   OUT -> LOOKING -> MAKING -> IN -> LEAVING -> OUT
 *              \-> BASIC <-/
 *
 * What a service says to the login may quote it, in any spelling: it is not told.
 */
#include "redfish_private.h"

#include <stdio.h>

#define LOGIN_BYTES    1024
#define REDIRECTS_MOST 3u

static void begin(mgb_redfish_service_t *service);

/* ------------------------------------------------------------------ waiters */

/* Everybody who waits learns what came of it.  They may wait anew at once. */
static void tell_waiters(mgb_redfish_service_t *service, gb_ladder_result_e result,
                         const char *text)
{
    mgb_redfish_waiter_t *told = service->waiters, *waiter;

    service->waiters = NULL;
    while ((waiter = told) != NULL) {
        told = waiter->next;
        waiter->waits = false;
        waiter->fn(waiter->baton, result, text);
    }
}

static void on_idle(void *baton, int64_t now_us);

/* Looks again when the session may be unused for long enough. */
static void watch_use(mgb_redfish_service_t *service)
{
    if (!service->users && !service->timer && service->login == MGB_REDFISH_IN) {
        service->timer =
            mgb_loop_timer(service->keeper->loop,
                           service->used_at_us + MGB_REDFISH_IDLE_US, on_idle, service);
    }
}

static void logged_in(mgb_redfish_service_t *service, mgb_redfish_login_e login)
{
    service->login = login;
    service->serial++;
    service->made_at_us = service->used_at_us = mgb_now_us();
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, service->keeper->server,
                 GBLOGNO(1301) "%s: %s as %s", service->origin,
                 login == MGB_REDFISH_IN  ? "a session was made"
                 : service->full_until_us ? "no session is free: basic authentication"
                                          : "it has no sessions: basic authentication",
                 service->user);
    if (service->ending) {
        (void)mgb_redfish_close(service);
        return;
    }
    watch_use(service);
    tell_waiters(service, GB_LADDER_OK, NULL);
}

static void failed(mgb_redfish_service_t *service, gb_ladder_result_e result,
                   const char *text)
{
    char copy[GB_REASON_BYTES];

    service->login = MGB_REDFISH_OUT;
    snprintf(copy, sizeof copy, "%s", text);
    tell_waiters(service, result, copy);
}

static void forget_session(mgb_redfish_service_t *service)
{
    explicit_bzero(service->token, sizeof service->token);
    service->session[0] = '\0';
    service->login = MGB_REDFISH_OUT;
}

/* ------------------------------------------------------------------ logging in */

/* All sessions are taken, or the service is busy; which of the two is told by what it
 * says to the request itself. */
static void go_without(mgb_redfish_service_t *service, unsigned status)
{
    bool is_news = service->full_until_us == 0;

    service->full_until_us = mgb_now_us() + MGB_REDFISH_FULL_US;
    if (is_news) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, service->keeper->server,
                     GBLOGNO(1305) "%s: no session to be had (%u), has it too many? "
                                   "Until one is free it gets the password with each "
                                   "request",
                     service->origin, status);
    }
    logged_in(service, MGB_REDFISH_BASIC);
}

/* What the status of a refused login means. */
static void login_refused(mgb_redfish_service_t *service,
                          const gb_redfish_answer_t *answer)
{
    char text[GB_REASON_BYTES];

    switch (answer->status) {
    case 400:
    case 401:
    case 403:
        snprintf(
            text, sizeof text,
            "the login of %.40s is refused (%u): wrong in GreenSecrets, or locked?",
            service->user, answer->status);
        failed(service, GB_LADDER_REFUSED, text);
        return;
    case 404:
    case 405:
    case 501:
        logged_in(service, MGB_REDFISH_BASIC);
        return;
    default:
        if ((answer->status >= 500 || answer->status == 429) &&
            !service->basic_refused) {
            go_without(service, answer->status);
            return;
        }
        snprintf(text, sizeof text, "no session to be had (%u): has it too many?",
                 answer->status);
        failed(service, answer->status < 400 ? GB_LADDER_REFUSED : GB_LADDER_LOST,
               text);
        return;
    }
}

static void on_login(void *baton, const mgb_redfish_reply_t *reply)
{
    mgb_redfish_service_t *service = baton;
    const gb_redfish_answer_t *answer = &reply->answer;

    service->transfer = NULL;
    if (answer->status == 0) {
        failed(service,
               answer->fault == GB_REDFISH_WRONG ? GB_LADDER_REFUSED : GB_LADDER_LOST,
               answer->why);
    }
    else if (answer->status >= 300) {
        login_refused(service, answer);
    }
    else if (!reply->token) {
        failed(service, GB_LADDER_LOST, "it made a session without a token");
    }
    else {
        apr_cpystrn(service->token, reply->token, sizeof service->token);
        (void)gb_redfish_session(service->origin, answer, service->session);
        service->full_until_us = 0;
        service->basic_refused = false;
        logged_in(service, MGB_REDFISH_IN);
    }
}

static void make_session(mgb_redfish_service_t *service)
{
    char body[LOGIN_BYTES];
    mgb_redfish_request_t request = {.method = "POST",
                                     .origin = service->origin,
                                     .path = service->sessions,
                                     .body = body,
                                     .timeout_us = MGB_REDFISH_REQUEST_US};

    service->login = MGB_REDFISH_MAKING;
    if (gb_redfish_login(body, sizeof body, service->user, service->password)) {
        service->transfer = mgb_redfish_send(service->web, &request, on_login, service);
    }
    explicit_bzero(body, sizeof body);
    if (!service->transfer) {
        failed(service, GB_LADDER_LOST, "the login could not be sent");
    }
}

static void ask_root(mgb_redfish_service_t *service, const char *path);

/* The root has answered, and not with an error. */
static void read_root(mgb_redfish_service_t *service, const gb_redfish_answer_t *answer)
{
    switch (gb_redfish_sessions(service->origin, answer, service->sessions)) {
    case GB_REDFISH_ROOT_SESSIONS:
        make_session(service);
        return;
    case GB_REDFISH_ROOT_BASIC:
        logged_in(service, MGB_REDFISH_BASIC);
        return;
    case GB_REDFISH_ROOT_NONE:
    default:
        failed(service, GB_LADDER_LOST, "its root is no Redfish service's");
        return;
    }
}

static void on_root(void *baton, const mgb_redfish_reply_t *reply)
{
    mgb_redfish_service_t *service = baton;
    const gb_redfish_answer_t *answer = &reply->answer;
    char path[GB_REDFISH_PATH_BYTES];

    service->transfer = NULL;
    if (answer->status == 0) {
        failed(service,
               answer->fault == GB_REDFISH_WRONG ? GB_LADDER_REFUSED : GB_LADDER_LOST,
               answer->why);
    }
    else if (answer->status >= 300 && answer->status < 400 && answer->location &&
             service->redirects++ < REDIRECTS_MOST &&
             gb_redfish_resolve(service->origin, answer->location, path)) {
        ask_root(service, path);
    }
    else if (answer->status == 401 || answer->status == 403) {
        /* It tells nobody anything; it will have them where all have. */
        apr_cpystrn(service->sessions, GB_REDFISH_SESSIONS, sizeof service->sessions);
        make_session(service);
    }
    else if (answer->status >= 500 || answer->status == 429) {
        failed(service, GB_LADDER_LOST, "it is busy");
    }
    else if (answer->status != 200) {
        failed(service, GB_LADDER_REFUSED,
               "there is no Redfish service: is the URL right?");
    }
    else {
        read_root(service, answer);
    }
}

static void ask_root(mgb_redfish_service_t *service, const char *path)
{
    mgb_redfish_request_t request = {.method = "GET",
                                     .origin = service->origin,
                                     .path = path,
                                     .timeout_us = MGB_REDFISH_REQUEST_US};

    service->login = MGB_REDFISH_LOOKING;
    service->transfer = mgb_redfish_send(service->web, &request, on_root, service);
    if (!service->transfer) {
        failed(service, GB_LADDER_LOST, "the service could not be asked");
    }
}

static void begin(mgb_redfish_service_t *service)
{
    if (service->sessions[0]) {
        make_session(service);
        return;
    }
    service->redirects = 0;
    ask_root(service, GB_REDFISH_ROOT);
}

/* ------------------------------------------------------------------ logging out */

static void on_logout(void *baton, const mgb_redfish_reply_t *reply)
{
    mgb_redfish_service_t *service = baton;

    service->transfer = NULL;
    if (reply->answer.status >= 200 && reply->answer.status < 300) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, service->keeper->server,
                     GBLOGNO(1302) "%s: the session was given back", service->origin);
    }
    else { /* it ends by itself, when the service's own time for that is over */
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, service->keeper->server,
                     GBLOGNO(1303) "%s: the session could not be given back (%u)",
                     service->origin, reply->answer.status);
    }
    forget_session(service);
    if (service->waiters && !service->ending) {
        begin(service);
    }
}

static void end_session(mgb_redfish_service_t *service)
{
    mgb_redfish_request_t request = {.method = "DELETE",
                                     .origin = service->origin,
                                     .path = service->session,
                                     .token = service->token,
                                     .timeout_us = MGB_REDFISH_REQUEST_US};

    if (service->session[0]) {
        service->login = MGB_REDFISH_LEAVING;
        service->transfer =
            mgb_redfish_send(service->web, &request, on_logout, service);
    }
    if (!service->transfer) {
        forget_session(service);
    }
}

static void on_idle(void *baton, int64_t now_us)
{
    mgb_redfish_service_t *service = baton;

    service->timer = 0;
    if (!service->users && service->login == MGB_REDFISH_IN &&
        now_us - service->used_at_us >= MGB_REDFISH_IDLE_US) {
        end_session(service);
        return;
    }
    watch_use(service);
}

bool mgb_redfish_close(mgb_redfish_service_t *service)
{
    service->ending = true;
    service->waiters = NULL;
    if (service->login == MGB_REDFISH_IN) {
        end_session(service);
    }
    return !service->transfer;
}

/* ------------------------------------------------------------------ operations */

mgb_redfish_service_t *mgb_redfish_service(mgb_redfish_service_t **services,
                                           mgb_keeper_t *keeper, mgb_redfish_web_t *web,
                                           const char *origin, const char *user,
                                           const char *password)
{
    mgb_redfish_service_t *service;

    for (service = *services; service; service = service->next) {
        if (strcmp(service->origin, origin) == 0 && strcmp(service->user, user) == 0 &&
            strcmp(service->password, password) == 0) {
            return service;
        }
    }
    service = apr_pcalloc(keeper->pool, sizeof(*service));
    service->keeper = keeper;
    service->web = web;
    service->origin = apr_pstrdup(keeper->pool, origin);
    service->user = user;
    service->password = password;
    service->next = *services;
    *services = service;
    return service;
}

void mgb_redfish_enter(mgb_redfish_service_t *service)
{
    service->users++;
}

void mgb_redfish_leave(mgb_redfish_service_t *service)
{
    service->users--;
    service->used_at_us = mgb_now_us();
    watch_use(service);
}

void mgb_redfish_login(mgb_redfish_service_t *service, mgb_redfish_waiter_t *waiter)
{
    bool is_old = service->login == MGB_REDFISH_IN && service->users <= 1 &&
                  mgb_now_us() - service->made_at_us >= MGB_REDFISH_RENEW_US;
    bool is_full = service->login == MGB_REDFISH_BASIC && service->full_until_us;

    if (is_old) {
        end_session(service);
    }
    else if (is_full && mgb_now_us() >= service->full_until_us) {
        service->login = MGB_REDFISH_OUT;
    }
    if (service->login == MGB_REDFISH_IN || service->login == MGB_REDFISH_BASIC) {
        waiter->fn(waiter->baton, GB_LADDER_OK, NULL);
        return;
    }
    waiter->next = service->waiters;
    waiter->waits = true;
    service->waiters = waiter;
    if (service->login == MGB_REDFISH_OUT) {
        begin(service);
    }
}

void mgb_redfish_unwait(mgb_redfish_service_t *service, mgb_redfish_waiter_t *waiter)
{
    for (mgb_redfish_waiter_t **at = &service->waiters; *at; at = &(*at)->next) {
        if (*at == waiter) {
            *at = waiter->next;
            break;
        }
    }
    waiter->waits = false;
}

void mgb_redfish_lost(mgb_redfish_service_t *service, uint32_t serial)
{
    if (serial == service->serial && service->login == MGB_REDFISH_IN) {
        forget_session(service);
    }
}

bool mgb_redfish_basic_lost(mgb_redfish_service_t *service)
{
    if (!service->full_until_us) {
        return false;
    }
    service->basic_refused = true;
    if (service->login == MGB_REDFISH_BASIC) {
        service->login = MGB_REDFISH_OUT;
    }
    return true;
}

void mgb_redfish_authorize(const mgb_redfish_service_t *service,
                           mgb_redfish_request_t *request)
{
    if (service->login == MGB_REDFISH_BASIC) {
        request->user = service->user;
        request->password = service->password;
        return;
    }
    request->token = service->token;
}
