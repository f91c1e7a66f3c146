/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper.c - the helper process that watches and switches the servers.
 *
 * The parent forks it at each (re)start, after everything is bound.  The old keeper
 * goes on until the new one exists, then gets SIGTERM; the new one waits for the lock
 * that the old one holds, so two never act at once, and the gap is what a checkpoint
 * takes.  When it dies the parent hears of it at once (other_child) and forks another;
 * in a crash loop the new one sleeps before it does anything, ever longer.
 *
 * It ends with httpd: by the pre-cleanup of the process pool at a proper stop, by
 * PR_SET_PDEATHSIG when the parent is killed.  PDEATHSIG is cleared by setuid, so it is
 * set after that, and then the parent is looked at once more.
 */
#include "keeper.h"
#include "agents.h"
#include "commit.h"
#include "mailbox.h"

#include "drivers/driver.h"

#include "ap_listen.h"
#include "ap_mpm.h"
#include "http_main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDLE_KEY      "mgb_keeper"
#define LOCK_NAME       "keeper.lock"
#define SOCKET_NAME     "control.sock"
#define LOCK_POLL_US    (10 * 1000)
#define STABLE_US       (60 * GB_US_PER_S) /* who lived that long did not crash at start */
#define BACKOFF_MOST_US (60 * GB_US_PER_S)
#define STOP_WAIT_MS    3000
#define OLD_KEEPERS     8 /* restarts that follow each other faster than a keeper ends */

/* In the process pool: what the parent remembers over restarts. */
typedef struct handle_t {
    pid_t pid; /* the keeper that acts or waits for the lock; 0: none */
    pid_t old_pids[OLD_KEEPERS]; /* predecessors, told to end; 0: gone */
    int64_t started_at_us;
    int64_t delay_us; /* the next start waits that long */
} handle_t;

static volatile sig_atomic_t stop_wanted;

static handle_t *handle_of(server_rec *s)
{
    void *found = NULL;

    apr_pool_userdata_get(&found, HANDLE_KEY, s->process->pool);
    if (!found) {
        found = apr_pcalloc(s->process->pool, sizeof(handle_t));
        /* The key is copied: this code may be mapped elsewhere after a restart. */
        apr_pool_userdata_set(found, HANDLE_KEY, NULL, s->process->pool);
    }
    return found;
}

/* ------------------------------------------------------------------ in the keeper */

static void on_stop(int signal_number)
{
    stop_wanted = 1;
}

static void signals_own(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_stop; /* no SA_RESTART: epoll_wait must come back */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool fd_is_log(server_rec *main_server, int fd)
{
    for (server_rec *s = main_server; s; s = s->next) {
        apr_os_file_t log_fd;

        if (s->error_log && apr_os_file_get(&log_fd, s->error_log) == APR_SUCCESS &&
            log_fd == fd) {
            return true;
        }
    }
    return fd <= STDERR_FILENO;
}

/* Listening sockets above all: a keeper that holds them would keep the port busy. */
static void descriptors_close(server_rec *s)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (!dir) {
        ap_close_listeners();
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && !*end && fd != dirfd(dir) &&
            fd != mgb_mailbox_fd() && !fd_is_log(s, (int)fd)) {
            close((int)fd);
        }
    }
    closedir(dir);
}

/* Waits for the predecessor's end.  It is asked for again and again rather than waited
 * for in the kernel, so that the end of the parent is noticed. */
static bool lock_take(const mgb_keeper_t *keeper, pid_t parent)
{
    const char *path =
        apr_pstrcat(keeper->pool, keeper->ctx->conf->runtime_dir, "/" LOCK_NAME, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, keeper->server,
                     GBLOGNO(0301) "%s cannot be opened: no server will be switched",
                     path);
        return false;
    }
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (stop_wanted || getppid() != parent) {
            return false;
        }
        usleep(LOCK_POLL_US);
    }
    return true; /* it stays open: the lock ends with this process */
}

static bool privileges_drop(const mgb_keeper_t *keeper)
{
    const char *user = keeper->ctx->conf->keeper_user;
    const struct passwd *pw;

    if (geteuid() != 0 || !user) {
        return true; /* started by an ordinary user: nobody else to become */
    }
    pw = getpwnam(user);
    if (!pw) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, keeper->server,
            GBLOGNO(0302) "GreenKeeperUser %s does not exist: no server will be "
                          "switched",
            user);
        return false;
    }
    if (initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid) ||
        (pw->pw_uid != 0 && setuid(0) == 0)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, keeper->server,
                     GBLOGNO(0303) "the keeper cannot become %s: no server will be "
                                   "switched",
                     user);
        return false;
    }
    return true;
}

static bool parts_create(mgb_keeper_t *keeper)
{
    return mgb_watchdog_create(keeper) == APR_SUCCESS &&
           mgb_waker_create(keeper) == APR_SUCCESS &&
           mgb_watts_create(keeper) == APR_SUCCESS &&
           mgb_checks_create(keeper) == APR_SUCCESS &&
           mgb_proofs_create(keeper) == APR_SUCCESS &&
           mgb_agents_create(keeper) == APR_SUCCESS;
}

/* All that needs the privileges that are dropped at its end. */
static bool keeper_setup(mgb_keeper_t *keeper, pid_t parent)
{
    const mgb_main_conf_t *conf = keeper->ctx->conf;
    const char *socket =
        apr_pstrcat(keeper->pool, conf->runtime_dir, "/" SOCKET_NAME, NULL);
    const char *error = NULL;
    int listen_fd;

    if (conf->secrets_file && mgb_secrets_read(&keeper->secrets, conf->secrets_file,
                                               keeper->pool, &error) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server,
                     GBLOGNO(0304) "GreenSecrets %s: %s; what needs a password fails",
                     conf->secrets_file, error ? error : "it cannot be read");
    }
    if (!lock_take(keeper, parent)) {
        return false;
    }
    if (mgb_loop_create(&keeper->loop, keeper->pool) != APR_SUCCESS ||
        !parts_create(keeper)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, keeper->server,
            GBLOGNO(0305) "the keeper cannot start: no server will be switched");
        return false;
    }
    listen_fd = mgb_control_listen(socket, keeper->pool);
    if (listen_fd < 0 || mgb_control_create(keeper, listen_fd) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, keeper->server,
                     GBLOGNO(0306) "%s: greenctl will not reach the keeper", socket);
    }
    (void)mgb_commit_prepare(keeper); /* it says what fails; servers are switched */
    if (!privileges_drop(keeper)) {
        return false;
    }
    mgb_commit_start(keeper);
    return true;
}

static void keeper_run(mgb_keeper_t *keeper, pid_t parent)
{
    mgb_header_t *header = keeper->shared->header;
    int64_t next_us = mgb_now_us();
    bool early = false;
    apr_status_t rv;

    if (header->keeper_beat_at_us) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     GBLOGNO(0310) "keeper %d watches after %.3f s", (int)getpid(),
                     (double)(next_us - header->keeper_beat_at_us) / GB_US_PER_S);
    }
    header->keeper_started_at_us = next_us;
    __atomic_store_n(&header->keeper_pid, (uint32_t)getpid(), __ATOMIC_RELEASE);
    mgb_watchdog_resume(keeper, next_us);
    while (!stop_wanted && getppid() == parent) {
        int64_t now_us = mgb_now_us();

        if (now_us >= next_us || early) {
            header->keeper_beat_at_us = now_us;
            mgb_watchdog_tick(keeper, now_us);
            apr_pool_clear(keeper->ptick);
            /* A tick that was missed (suspended machine) is not made up for. */
            next_us = now_us + MGB_TICK_US;
        }
        /* Something that is waited for was seen: its tick does not wait. */
        early = mgb_loop_run(keeper->loop, next_us);
    }
    mgb_commit_stop(keeper);
    rv = mgb_checkpoint_save(keeper->shared, keeper->ctx->conf->state_dir);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, keeper->server,
                     GBLOGNO(0311) "%s: the last checkpoint was not written: a next "
                                   "start may know states and times of before",
                     keeper->ctx->conf->state_dir);
    }
    mgb_redfish_end(keeper);
    if (header->keeper_pid == (uint32_t)getpid()) {
        __atomic_store_n(&header->keeper_pid, 0, __ATOMIC_RELEASE);
    }
}

static void keeper_main(mgb_context_t *ctx, pid_t parent, int64_t delay_us)
{
    mgb_keeper_t *keeper;
    apr_pool_t *pool;

    (void)setsid(); /* signals for httpd's process group are not for the keeper */
    signals_own();
    descriptors_close(ctx->server);
    (void)prctl(PR_SET_NAME, "greenkeeper", 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    for (int64_t until_us = mgb_now_us() + delay_us;
         mgb_now_us() < until_us && !stop_wanted && getppid() == parent;) {
        usleep(LOCK_POLL_US);
    }
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
    apr_pool_tag(pool, "mgb_keeper");
    keeper = apr_pcalloc(pool, sizeof(*keeper));
    keeper->pool = pool;
    apr_pool_create(&keeper->ptick, pool);
    keeper->server = ctx->server;
    keeper->ctx = ctx;
    keeper->shared = ctx->shared;
    if (!stop_wanted && getppid() == parent && keeper_setup(keeper, parent)) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        keeper_run(keeper, parent);
    }
}

/* ------------------------------------------------------------------ in the parent */

static void keeper_gone(int reason, void *data, apr_wait_t status);

static apr_status_t keeper_fork(mgb_context_t *ctx, handle_t *handle)
{
    apr_proc_t *proc = apr_pcalloc(ctx->pool, sizeof(*proc));
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) {
        apr_status_t rv = errno;

        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, ctx->server,
            GBLOGNO(0307) "the keeper cannot be forked: no server will be switched");
        return rv;
    }
    if (pid == 0) {
        keeper_main(ctx, parent, handle->delay_us);
        _exit(0); /* the pools' cleanups are the parent's */
    }
    handle->pid = pid;
    handle->started_at_us = mgb_now_us();
    proc->pid = pid;
    apr_proc_other_child_register(proc, keeper_gone, ctx, NULL, ctx->pool);
    return APR_SUCCESS;
}

static bool httpd_stops(void)
{
    int state = AP_MPMQ_STOPPING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS ||
           state == AP_MPMQ_STOPPING;
}

/* The keeper has ended.  Runs in the parent's main loop. */
static void keeper_gone(int reason, void *data, apr_wait_t status)
{
    mgb_context_t *ctx = data;
    handle_t *handle = handle_of(ctx->server);

    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return; /* RESTART, UNREGISTER, RUNNING: it lives on until the new one exists */
    }
    /* APR leaves a record without a process in its list, and trips over it when the
     * next other child ends, be it anybody's. */
    apr_proc_other_child_unregister(ctx);
    ctx->shared->header->keeper_pid = 0;
    if (httpd_stops()) {
        handle->pid = 0;
        return;
    }
    if (mgb_now_us() - handle->started_at_us > STABLE_US) {
        handle->delay_us = 0;
    }
    ap_log_error(
        APLOG_MARK, APLOG_ERR, 0, ctx->server,
        GBLOGNO(0308) "the keeper (pid %d) ended with status %d: another one "
                      "starts in %d ms; requests go on to the servers that are on",
        (int)handle->pid, (int)status, (int)(handle->delay_us / GB_US_PER_MS));
    handle->pid = 0;
    (void)keeper_fork(ctx, handle);
    handle->delay_us = handle->delay_us ? handle->delay_us * 2 : GB_US_PER_S;
    if (handle->delay_us > BACKOFF_MOST_US) {
        handle->delay_us = BACKOFF_MOST_US;
    }
}

/* A predecessor has ended, as it was told to. */
static void old_keeper_gone(int reason, void *data, apr_wait_t status)
{
    pid_t *pid = data;

    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        apr_proc_other_child_unregister(pid);
        *pid = 0;
    }
}

/* The MPM must not wonder about a child that it does not know: those that are still
 * about to end are registered anew with each configuration. */
static void old_keepers_register(handle_t *handle, apr_pool_t *pconf)
{
    for (int i = 0; i < OLD_KEEPERS; i++) {
        apr_proc_t *proc;

        if (handle->old_pids[i] <= 0) {
            continue;
        }
        if (waitpid(handle->old_pids[i], NULL, WNOHANG) != 0) {
            handle->old_pids[i] = 0;
            continue;
        }
        proc = apr_pcalloc(pconf, sizeof(*proc));
        proc->pid = handle->old_pids[i];
        apr_proc_other_child_register(proc, old_keeper_gone, &handle->old_pids[i], NULL,
                                      pconf);
    }
}

static void old_keeper_end(handle_t *handle, pid_t pid, apr_pool_t *pconf)
{
    int i = 0;

    while (i < OLD_KEEPERS - 1 && handle->old_pids[i] > 0) {
        i++;
    }
    handle->old_pids[i] = pid;
    kill(pid, SIGTERM);
    old_keepers_register(handle, pconf);
}

/* A proper stop: the keeper writes its checkpoint first.  A pre-cleanup, because the
 * module's code is gone when the process pool's ordinary cleanups run. */
static apr_status_t at_exit(void *data)
{
    handle_t *handle = data;

    if (handle->pid <= 0 || getpid() == handle->pid) {
        return APR_SUCCESS;
    }
    if (kill(handle->pid, SIGTERM)) {
        return APR_SUCCESS; /* -X as another user by now: PDEATHSIG ends it */
    }
    for (int waited_ms = 0; waited_ms < STOP_WAIT_MS; waited_ms += 10) {
        if (waitpid(handle->pid, NULL, WNOHANG) != 0) {
            handle->pid = 0;
            return APR_SUCCESS;
        }
        usleep(10 * 1000);
    }
    kill(handle->pid, SIGKILL);
    (void)waitpid(handle->pid, NULL, 0);
    handle->pid = 0;
    return APR_SUCCESS;
}

typedef struct exit_t {
    apr_pool_t *process_pool;
    handle_t *handle;
} exit_t;

/* The module is about to be unloaded: its function must not be called any more. */
static apr_status_t at_unload(void *data)
{
    const exit_t *exiting = data;

    apr_pool_cleanup_kill(exiting->process_pool, exiting->handle, at_exit);
    return APR_SUCCESS;
}

static void exit_prepare(server_rec *s, handle_t *handle, apr_pool_t *pconf)
{
    exit_t *exiting = apr_pcalloc(pconf, sizeof(*exiting));

    exiting->process_pool = s->process->pool;
    exiting->handle = handle;
    apr_pool_pre_cleanup_register(s->process->pool, handle, at_exit);
    apr_pool_cleanup_register(pconf, exiting, at_unload, apr_pool_cleanup_null);
}

apr_status_t mgb_keeper_start(mgb_context_t *ctx)
{
    handle_t *handle = handle_of(ctx->server);
    pid_t old_pid = handle->pid;
    apr_status_t rv;

    if (ap_exists_config_define("ONE_PROCESS") || ap_exists_config_define("DEBUG")) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, ctx->server,
            GBLOGNO(0309) "-X: the keeper runs as a child of this one process and "
                          "is not started again when it dies");
    }
    handle->delay_us = 0;
    rv = keeper_fork(ctx, handle);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (old_pid > 0) {
        old_keeper_end(handle, old_pid, ctx->pool);
    }
    else {
        old_keepers_register(handle, ctx->pool);
    }
    exit_prepare(ctx->server, handle, ctx->pool);
    return APR_SUCCESS;
}

void mgb_keeper_stop(server_rec *s)
{
    void *found = NULL;
    handle_t *handle;

    apr_pool_userdata_get(&found, HANDLE_KEY, s->process->pool);
    handle = found;
    if (handle && handle->pid > 0) {
        pid_t old_pid = handle->pid;

        handle->pid = 0;
        old_keeper_end(handle, old_pid, s->process->pconf);
    }
}
