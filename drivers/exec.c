/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c - switches a server by a command of the administrator (GreenPowerDriver).
 *
 *   COMMAND ARG... on|off|status|watts MEMBER-URL
 *
 * Exit status 0 is success.  What is printed counts for status (on, off) and watts (a
 * number); else its last line only goes into the message.
 */
#include "driver.h"
#include "spawn.h"

#include "core/gb_bmc.h"

#include <errno.h>
#include <stdio.h>

/* The command is told to end early enough to be killed within MGB_DRIVER_MOST_US. */
#define EXEC_TIMEOUT_US (MGB_DRIVER_MOST_US - 2 * MGB_SPAWN_GRACE_US)

static const char *const op_words[] = {[MGB_OP_ON] = "on",
                                       [MGB_OP_OFF] = "off",
                                       [MGB_OP_STATUS] = "status",
                                       [MGB_OP_WATTS] = "watts"};

typedef struct run_t {
    apr_pool_t *pool; /* its own */
    mgb_job_t job;
    gb_bmc_driver_t output;
} run_t;

static void on_line(void *baton, const char *line, size_t length)
{
    run_t *run = baton;

    gb_bmc_driver_line(&run->output, line, length);
}

/* The command ended with success: what does that mean? */
static void judge_success(const run_t *run, mgb_done_t *done)
{
    done->result = GB_LADDER_OK;
    switch (run->job.op) {
    case MGB_OP_STATUS:
        if (!gb_bmc_driver_status(&run->output, &done->powered)) {
            done->result = GB_LADDER_LOST;
            snprintf(done->detail, sizeof done->detail,
                     "status printed neither on nor off, or both: %.80s",
                     run->output.last);
            return;
        }
        snprintf(done->detail, sizeof done->detail, "%s", done->powered ? "on" : "off");
        return;
    case MGB_OP_WATTS:
        if (!gb_bmc_driver_watts(&run->output, &done->watts)) {
            done->result = GB_LADDER_LOST;
            snprintf(done->detail, sizeof done->detail,
                     "watts did not print one number: %.80s", run->output.last);
            return;
        }
        snprintf(done->detail, sizeof done->detail, "%.1f W", done->watts);
        return;
    default:
        snprintf(done->detail, sizeof done->detail, "accepted");
        return;
    }
}

static void judge_failure(const run_t *run, mgb_spawn_end_e end, int code,
                          mgb_done_t *done)
{
    char what[80];
    bool is_missing =
        (end == MGB_SPAWN_NOT_RUN && code != ETIMEDOUT && code != EAGAIN &&
         code != EMFILE && code != ENFILE && code != ENOMEM) ||
        (end == MGB_SPAWN_EXITED && (code == 126 || code == 127));

    mgb_spawn_tell(what, sizeof what, end, code);
    /* Whatever it did before it failed is unknown, unless it never ran. */
    done->result = is_missing ? GB_LADDER_REFUSED : GB_LADDER_LOST;
    snprintf(done->detail, sizeof done->detail, "%s%s%.75s", what,
             run->output.last[0] ? ": " : "", run->output.last);
}

static void on_done(void *baton, mgb_spawn_end_e end, int code)
{
    run_t *run = baton;
    mgb_done_fn *fn = run->job.done;
    void *to = run->job.baton;
    mgb_done_t done = {.result = GB_LADDER_LOST};

    if (end == MGB_SPAWN_EXITED && code == 0) {
        judge_success(run, &done);
    }
    else {
        judge_failure(run, end, code, &done);
    }
    apr_pool_destroy(run->pool);
    fn(to, &done);
}

static apr_status_t exec_start(const mgb_job_t *job)
{
    const mgb_exec_t *exec = job->rung->exec;
    const char **argv;
    mgb_command_t command = {.input_fd = -1,
                             .timeout_us = EXEC_TIMEOUT_US,
                             .urgent = job->op == MGB_OP_ON || job->op == MGB_OP_OFF,
                             .line = on_line,
                             .done = on_done};
    apr_pool_t *pool;
    apr_status_t rv;
    run_t *run;

    if (!exec || exec->argc < 1) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "there is no GreenPowerDriver of this name");
    }
    rv = apr_pool_create(&pool, job->keeper->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    run = apr_pcalloc(pool, sizeof(*run));
    run->pool = pool;
    run->job = *job;
    argv = apr_pcalloc(pool, ((apr_size_t)exec->argc + 3) * sizeof(*argv));
    for (int i = 0; i < exec->argc; i++) {
        argv[i] = exec->argv[i];
    }
    argv[exec->argc] = op_words[job->op];
    argv[exec->argc + 1] = job->member_url;
    command.argv = argv;
    command.baton = run;
    rv = mgb_spawn(job->keeper, &command);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
    }
    return rv;
}

const mgb_driver_t mgb_driver_exec = {
    .name = "exec", .can_status = true, .start = exec_start, .flush = NULL};
