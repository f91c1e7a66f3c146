/* SPDX-License-Identifier: Apache-2.0
 *
 * redfish.c - switches servers by their management controllers' Redfish services.
 *
 * A job is a run of core/gb_redfish.h, whose questions are put one after the other,
 * with the service's session.  What is learned of a machine and of a service lasts as
 * long as the keeper.  No process is started, and the password goes to the service
 * alone.
 */
#include "redfish_private.h"

#include "core/gb_bmc.h"

#include <stdio.h>

/* However long a service asks to be left alone. */
#define QUIET_MOST_US (60 * GB_US_PER_S)
/* The keeper's end does not wait longer for services to take their sessions back. */
#define END_US (1500 * GB_US_PER_MS)

/* A machine's controller, by its redfish=. */
typedef struct bmc_t {
    const char *name; /* "host[:port]", for messages */
    gb_redfish_place_t place;
    mgb_redfish_service_t *service;
    int64_t quiet_until_us; /* after a refused login, or when it asked for rest */
    gb_ladder_result_e quiet_result;
    char quiet_text[GB_REASON_BYTES];
} bmc_t;

typedef struct task_t {
    apr_pool_t *pool; /* its own */
    struct task_t *next, **link;
    mgb_job_t job;
    bmc_t *bmc;
    gb_redfish_run_t run;
    mgb_redfish_waiter_t waiter;
    mgb_redfish_transfer_t *transfer;
    uint64_t deadline, pause; /* timers */
    uint32_t serial;          /* of the session that was used */
    bool renewed;             /* the session, once */
    bool quoted;              /* the latest answer has the password in it */
    int64_t ends_at_us;
} task_t;

typedef struct redfish_t {
    mgb_keeper_t *keeper;
    mgb_redfish_web_t *web;
    mgb_redfish_service_t *services;
    apr_hash_t *bmcs;
    task_t *tasks;
} redfish_t;

static const char userdata_key[] = "mgb_redfish";

static redfish_t *redfish_existing(const mgb_keeper_t *keeper)
{
    void *found = NULL;

    apr_pool_userdata_get(&found, userdata_key, keeper->pool);
    return found;
}

static redfish_t *redfish_of(mgb_keeper_t *keeper)
{
    redfish_t *redfish = redfish_existing(keeper);

    if (!redfish) {
        redfish = apr_pcalloc(keeper->pool, sizeof(*redfish));
        redfish->keeper = keeper;
        redfish->bmcs = apr_hash_make(keeper->pool);
        apr_pool_userdata_setn(redfish, userdata_key, NULL, keeper->pool);
    }
    return redfish;
}

static bmc_t *bmc_of(redfish_t *redfish, const char *url)
{
    bmc_t *bmc = apr_hash_get(redfish->bmcs, url, APR_HASH_KEY_STRING);

    if (!bmc) {
        bmc = apr_pcalloc(redfish->keeper->pool, sizeof(*bmc));
        gb_redfish_place(&bmc->place, url);
        bmc->name = strstr(bmc->place.origin, "://") + 3;
        apr_hash_set(redfish->bmcs, apr_pstrdup(redfish->keeper->pool, url),
                     APR_HASH_KEY_STRING, bmc);
    }
    return bmc;
}

/* ------------------------------------------------------------------ results */

/* Ends a task without a word; the bmc and the service go on. */
static void task_free(task_t *task)
{
    mgb_loop_t *loop = task->job.keeper->loop;

    *task->link = task->next;
    if (task->next) {
        task->next->link = task->link;
    }
    if (task->transfer) {
        mgb_redfish_cancel(task->transfer);
    }
    if (task->waiter.waits) {
        mgb_redfish_unwait(task->bmc->service, &task->waiter);
    }
    if (task->deadline) {
        mgb_loop_cancel(loop, task->deadline);
    }
    if (task->pause) {
        mgb_loop_cancel(loop, task->pause);
    }
    mgb_redfish_leave(task->bmc->service);
    apr_pool_destroy(task->pool);
}

static void task_done(task_t *task, gb_ladder_result_e result, const char *text)
{
    mgb_done_fn *fn = task->job.done;
    void *baton = task->job.baton;
    mgb_done_t done = {
        .result = result, .powered = task->run.powered, .watts = task->run.watts};
    char safe[GB_REASON_BYTES];

    gb_bmc_printable(safe, sizeof safe, text, strlen(text));
    if (result != GB_LADDER_OK &&
        (task->quoted || strstr(safe, task->bmc->service->password))) {
        /* A service that quotes what it was sent must not bring it into a log; what was
         * cut may end within it. */
        snprintf(safe, sizeof safe, "(its message is not shown)");
    }
    snprintf(done.detail, sizeof done.detail, "%.60s: %.97s", task->bmc->name, safe);
    task_free(task);
    fn(baton, &done);
}

/* Questions are not put for a while: an account may be locked by too many wrong
 * logins, and a busy service said when to come back. */
static void keep_quiet(bmc_t *bmc, int64_t for_us, gb_ladder_result_e result,
                       const char *text)
{
    bmc->quiet_until_us = mgb_now_us() + for_us;
    bmc->quiet_result = result;
    snprintf(bmc->quiet_text, sizeof bmc->quiet_text, "%s", text);
}

/* ------------------------------------------------------------------ steps */

static void put(task_t *task);

static void on_logged_in(void *baton, gb_ladder_result_e result, const char *text)
{
    task_t *task = baton;

    if (!text) {
        put(task);
        return;
    }
    if (result == GB_LADDER_REFUSED) {
        keep_quiet(task->bmc, MGB_REDFISH_REFUSED_US, result, text);
    }
    task_done(task, result, text);
}

static void on_pause_over(void *baton, int64_t now_us)
{
    task_t *task = baton;

    task->pause = 0;
    mgb_redfish_login(task->bmc->service, &task->waiter);
}

static void next(task_t *task, gb_redfish_next_e what)
{
    mgb_loop_t *loop = task->job.keeper->loop;

    switch (what) {
    case GB_REDFISH_ASK:
        mgb_redfish_login(task->bmc->service, &task->waiter);
        return;
    case GB_REDFISH_PAUSE:
        task->pause = mgb_loop_timer(loop, mgb_now_us() + task->run.pause_us,
                                     on_pause_over, task);
        if (task->pause) {
            return;
        }
        gb_redfish_expire(&task->run);
        break;
    case GB_REDFISH_DONE:
    default:
        break;
    }
    task_done(task, task->run.result, task->run.text);
}

/* The service does not know the session: made anew, once.  A second refusal, or one of
 * the password itself, is the account's; unless the password went along only because no
 * session was free, and the service may just not take it that way. */
static void not_authorized(task_t *task)
{
    mgb_redfish_service_t *service = task->bmc->service;
    char text[GB_REASON_BYTES];

    if (!task->renewed && service->login != MGB_REDFISH_BASIC) {
        task->renewed = true;
        mgb_redfish_lost(service, task->serial);
        mgb_redfish_login(service, &task->waiter);
        return;
    }
    if (mgb_redfish_basic_lost(service)) {
        task_done(
            task, GB_LADDER_LOST,
            "no session to be had (has it too many?), and without one it refuses");
        return;
    }
    snprintf(text, sizeof text,
             "the login of %.40s is refused (401): wrong in GreenSecrets, or locked?",
             service->user);
    keep_quiet(task->bmc, MGB_REDFISH_REFUSED_US, GB_LADDER_REFUSED, text);
    task_done(task, GB_LADDER_REFUSED, text);
}

static void on_reply(void *baton, const mgb_redfish_reply_t *reply)
{
    task_t *task = baton;
    const gb_redfish_answer_t *answer = &reply->answer;
    gb_redfish_next_e what;

    task->transfer = NULL;
    task->quoted = answer->body &&
                   memmem(answer->body, answer->bytes, task->bmc->service->password,
                          strlen(task->bmc->service->password)) != NULL;
    if (answer->status == 401) {
        not_authorized(task);
        return;
    }
    what = gb_redfish_take(&task->run, &task->bmc->place, answer);
    if (what == GB_REDFISH_DONE && answer->retry_after_us > 0 &&
        task->run.result == GB_LADDER_LOST) {
        keep_quiet(task->bmc,
                   answer->retry_after_us < QUIET_MOST_US ? answer->retry_after_us
                                                          : QUIET_MOST_US,
                   GB_LADDER_LOST, task->run.text);
    }
    else if (what == GB_REDFISH_DONE && task->run.result == GB_LADDER_OK) {
        task->bmc->quiet_until_us = 0;
    }
    next(task, what);
}

/* Puts the run's question, with the session that there is. */
static void put(task_t *task)
{
    const gb_redfish_ask_t *ask = &task->run.ask;
    mgb_redfish_request_t request = {.method = ask->post ? "POST" : "GET",
                                     .origin = task->bmc->place.origin,
                                     .path = ask->path,
                                     .body = ask->post ? ask->body : NULL,
                                     .if_match = ask->post ? ask->if_match : NULL,
                                     .timeout_us = task->ends_at_us - mgb_now_us()};

    if (request.timeout_us > MGB_REDFISH_REQUEST_US) {
        request.timeout_us = MGB_REDFISH_REQUEST_US;
    }
    if (request.timeout_us < GB_US_PER_MS) {
        request.timeout_us = GB_US_PER_MS; /* 0 would be for ever */
    }
    mgb_redfish_authorize(task->bmc->service, &request);
    task->serial = task->bmc->service->serial;
    task->transfer =
        mgb_redfish_send(task->bmc->service->web, &request, on_reply, task);
    if (!task->transfer) {
        task_done(task, GB_LADDER_LOST, "the question could not be sent");
    }
}

static void on_deadline(void *baton, int64_t now_us)
{
    task_t *task = baton;

    task->deadline = 0;
    gb_redfish_expire(&task->run);
    task_done(task, task->run.result, task->run.text);
}

/* ------------------------------------------------------------------ the driver */

static gb_redfish_op_e op_of(const mgb_job_t *job)
{
    switch (job->op) {
    case MGB_OP_ON:
        return GB_REDFISH_ON;
    case MGB_OP_OFF:
        return job->hard ? GB_REDFISH_CUT : GB_REDFISH_OFF;
    case MGB_OP_WATTS:
        return GB_REDFISH_WATTS;
    case MGB_OP_STATUS:
    default:
        return GB_REDFISH_STATUS;
    }
}

static apr_status_t task_start(redfish_t *redfish, const mgb_job_t *job, bmc_t *bmc)
{
    int64_t now_us = mgb_now_us();
    apr_pool_t *pool;
    task_t *task;
    apr_status_t rv = apr_pool_create(&pool, job->keeper->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    task = apr_pcalloc(pool, sizeof(*task));
    task->pool = pool;
    task->job = *job;
    task->bmc = bmc;
    task->ends_at_us = now_us + MGB_DRIVER_MOST_US;
    task->waiter.fn = on_logged_in;
    task->waiter.baton = task;
    /* All else comes from the loop, so that done() is not called from here. */
    task->pause = mgb_loop_timer(job->keeper->loop, now_us, on_pause_over, task);
    task->deadline =
        mgb_loop_timer(job->keeper->loop, task->ends_at_us, on_deadline, task);
    if (!task->pause || !task->deadline) {
        mgb_loop_cancel(job->keeper->loop, task->pause);
        mgb_loop_cancel(job->keeper->loop, task->deadline);
        apr_pool_destroy(pool);
        return APR_ENOMEM;
    }
    task->next = redfish->tasks;
    task->link = &redfish->tasks;
    if (task->next) {
        task->next->link = &task->next;
    }
    redfish->tasks = task;
    mgb_redfish_enter(bmc->service);
    gb_redfish_begin(&task->run, &bmc->place, op_of(job));
    return APR_SUCCESS;
}

static apr_status_t redfish_start(const mgb_job_t *job)
{
    redfish_t *redfish = redfish_of(job->keeper);
    const char *url = job->hints->redfish, *user, *password, *why = NULL;
    int64_t now_us = mgb_now_us();
    bmc_t *bmc;

    if (!url) {
        return mgb_driver_say(job, GB_LADDER_REFUSED, "there is no redfish=");
    }
    bmc = bmc_of(redfish, url);
    if (!mgb_secrets_redfish(job->keeper->secrets, url, &user, &password)) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "%.90s: GreenSecrets has no redfish line for it",
                              bmc->name);
    }
    redfish->web = mgb_redfish_web(job->keeper, &why);
    if (!redfish->web) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "libcurl cannot be used (is it installed?): %.80s",
                              why ? why : "");
    }
    if (now_us < bmc->quiet_until_us &&
        (job->op == MGB_OP_STATUS || job->op == MGB_OP_WATTS)) {
        return mgb_driver_say(
            job, bmc->quiet_result, "%.60s: %.60s; not asked again for %d s", bmc->name,
            bmc->quiet_text, (int)((bmc->quiet_until_us - now_us) / GB_US_PER_S) + 1);
    }
    bmc->service = mgb_redfish_service(&redfish->services, job->keeper, redfish->web,
                                       bmc->place.origin, user, password);
    return task_start(redfish, job, bmc);
}

static bool close_all(redfish_t *redfish)
{
    bool closed = true;

    for (mgb_redfish_service_t *service = redfish->services; service;
         service = service->next) {
        closed = mgb_redfish_close(service) && closed;
    }
    return closed;
}

void mgb_redfish_end(mgb_keeper_t *keeper)
{
    redfish_t *redfish = redfish_existing(keeper);
    int64_t until_us = mgb_now_us() + END_US;

    if (!redfish) {
        return;
    }
    while (redfish->tasks) {
        task_free(redfish->tasks);
    }
    while (!close_all(redfish)) {
        if (mgb_now_us() >= until_us) {
            ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                         GBLOGNO(1304) "the keeper ends, and some Redfish service has "
                                       "not taken its session back yet");
            return;
        }
        mgb_loop_run(keeper->loop, mgb_now_us() + 10 * GB_US_PER_MS);
    }
}

const mgb_driver_t mgb_driver_redfish = {.name = "redfish",
                                         .can_status = true,
                                         .can_cut = true,
                                         .start = redfish_start,
                                         .flush = NULL};
