/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.c - commands on the keeper's loop; see spawn.h.
 *
 * vfork(), because the keeper inherits the parent httpd's whole address space and a
 * fork() of it would stall the loop.  The child shares our memory until it execs: it
 * makes system calls only, and every signal is blocked so that no handler runs in it.
 *
 * The end is seen by a pidfd; where the kernel has none, by looking every 20 ms.
 * waitpid() is called for this one pid and with WNOHANG only.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAWN_PATH         "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SPAWN_LOOK_US      (20 * GB_US_PER_MS) /* without a pidfd */
#define SPAWN_LATE_LOOK_US GB_US_PER_S         /* for a process that outlives SIGKILL */
#define SPAWN_READS_MOST   16 /* of 4 KiB in a turn: a flood must not hold the loop */
#define SPAWN_FDS_MOST     65536

typedef struct spawn_t spawn_t;

/* The keeper's commands, in its pool's userdata. */
typedef struct spawner_t {
    mgb_keeper_t *keeper;
    spawn_t *running;      /* a ring would do; a list is enough for 48 */
    spawn_t *first, **end; /* that wait for their turn */
    uint32_t running_count;
} spawner_t;

struct spawn_t {
    apr_pool_t *pool; /* its own; gone when it was reaped */
    spawner_t *spawner;
    spawn_t *next;
    mgb_command_t command;
    char **argv;
    pid_t pid;  /* 0: not started */
    int out_fd; /* -1: at its end */
    int pid_fd; /* -1: none */
    uint64_t timer, look_timer;
    int64_t ends_at_us;
    int error; /* errno of a start that failed */
    bool terminated, killed, told;
    size_t line_length, output_length;
    char line[MGB_SPAWN_LINE_BYTES];
};

static char *const spawn_environment[] = {(char *)"PATH=" SPAWN_PATH, (char *)"LANG=C",
                                          NULL};

static void start_waiting(spawner_t *spawner);
static void finish(spawn_t *spawn, mgb_spawn_end_e end, int code);

/* ------------------------------------------------------------------ the child */

static void close_from(int first)
{
    struct rlimit limit;
    int most = SPAWN_FDS_MOST;

#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0) {
        return;
    }
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < SPAWN_FDS_MOST) {
        most = (int)limit.rlim_cur;
    }
    for (int fd = first; fd < most; fd++) {
        close(fd);
    }
}

typedef struct child_t {
    const char *program;
    char *const *argv;
    pid_t parent;
    int null_fd, out_fd, input_fd; /* all above 9 */
    volatile int error;
} child_t;

/* Between vfork() and exec: system calls only. */
static __attribute__((noreturn, noinline)) void child_run(child_t *child)
{
    struct sigaction by_default;
    sigset_t none;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != child->parent) {
        _exit(127); /* the keeper died before it could be told of */
    }
    memset(&by_default, 0, sizeof by_default);
    by_default.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, &by_default, NULL);
    }
    if (dup2(child->null_fd, 0) < 0 || dup2(child->out_fd, 1) < 0 ||
        dup2(child->out_fd, 2) < 0 ||
        (child->input_fd >= 0 && dup2(child->input_fd, 3) < 0) || chdir("/")) {
        child->error = errno;
        _exit(127);
    }
    close_from(child->input_fd >= 0 ? 4 : 3);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(child->program, child->argv, spawn_environment);
    child->error = errno;
    _exit(127);
}

/* ------------------------------------------------------------------ starting */

/* The path of a command: as it is when it has a '/', else the first in PATH. */
static const char *find_program(apr_pool_t *p, const char *name)
{
    const char *folder = SPAWN_PATH;

    if (strchr(name, '/')) {
        return name;
    }
    while (*folder) {
        size_t length = strcspn(folder, ":");
        const char *path = apr_psprintf(p, "%.*s/%s", (int)length, folder, name);

        if (access(path, X_OK) == 0) {
            return path;
        }
        folder += length + (folder[length] == ':');
    }
    return NULL;
}

/* Moves a descriptor out of the way of 0 to 3; -1: errno. */
static int raise_fd(int fd)
{
    int raised, error;

    if (fd < 0) {
        return -1;
    }
    raised = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    error = errno;
    close(fd);
    errno = error;
    return raised;
}

static int run_child(spawn_t *spawn, const char *program, int null_fd, int out_fd)
{
    child_t child = {.program = program,
                     .argv = spawn->argv,
                     .parent = getpid(),
                     .null_fd = null_fd,
                     .out_fd = out_fd,
                     .input_fd = spawn->command.input_fd};
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): see the top
    if (pid == 0) {
        child_run(&child); // NOLINT(clang-analyzer-unix.Vfork): it never returns
    }
    if (pid < 0) {
        child.error = errno;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid > 0 && child.error) {
        /* It has ended already, without exec: this cannot block. */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    spawn->pid = child.error ? 0 : pid;
    return child.error;
}

static void on_output(void *baton, int fd, uint32_t events);
static void on_pidfd(void *baton, int fd, uint32_t events);
static void on_look(void *baton, int64_t now_us);
static void on_time(void *baton, int64_t now_us);

/* Watches the pipe and the end of a process that runs. */
static void watch_child(spawn_t *spawn)
{
    mgb_loop_t *loop = spawn->spawner->keeper->loop;

#ifdef SYS_pidfd_open
    spawn->pid_fd = (int)syscall(SYS_pidfd_open, spawn->pid, 0);
#endif
    if (spawn->pid_fd >= 0) {
        (void)fcntl(spawn->pid_fd, F_SETFD, FD_CLOEXEC);
        if (mgb_loop_watch(loop, spawn->pid_fd, EPOLLIN, on_pidfd, spawn)) {
            close(spawn->pid_fd);
            spawn->pid_fd = -1;
        }
    }
    if (spawn->pid_fd < 0) {
        spawn->look_timer =
            mgb_loop_timer(loop, mgb_now_us() + SPAWN_LOOK_US, on_look, spawn);
    }
    if (mgb_loop_watch(loop, spawn->out_fd, EPOLLIN, on_output, spawn)) {
        close(spawn->out_fd);
        spawn->out_fd = -1;
    }
}

/* Starts the process.  0, or errno. */
static int launch(spawn_t *spawn)
{
    const char *program = find_program(spawn->pool, spawn->argv[0]);
    int pipes[2] = {-1, -1}, null_fd = -1, error = 0;

    if (!program) {
        return ENOENT;
    }
    if (pipe2(pipes, O_CLOEXEC) == 0) {
        pipes[0] = raise_fd(pipes[0]);
        pipes[1] = raise_fd(pipes[1]);
        null_fd = raise_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    if (pipes[0] < 0 || pipes[1] < 0 || null_fd < 0 ||
        fcntl(pipes[0], F_SETFL, O_NONBLOCK)) {
        error = errno;
    }
    else {
        error = run_child(spawn, program, null_fd, pipes[1]);
    }
    close(pipes[1]);
    close(null_fd);
    if (error) {
        close(pipes[0]);
        return error;
    }
    spawn->out_fd = pipes[0];
    watch_child(spawn);
    return 0;
}

/* ------------------------------------------------------------------ output */

static void end_line(spawn_t *spawn)
{
    if (spawn->line_length && !spawn->told) {
        spawn->command.line(spawn->command.baton, spawn->line, spawn->line_length);
    }
    spawn->line_length = 0;
}

static void take_output(spawn_t *spawn, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (++spawn->output_length > MGB_SPAWN_OUTPUT_BYTES) {
            spawn->output_length = MGB_SPAWN_OUTPUT_BYTES;
            return; /* read on, so that the command does not block, and forget */
        }
        if (data[i] == '\n') {
            end_line(spawn);
        }
        else if (spawn->line_length < sizeof spawn->line) {
            spawn->line[spawn->line_length++] = data[i];
        }
    }
}

/* Reads what is there.  True: there is or may be more. */
static bool drain(spawn_t *spawn)
{
    char data[4096];

    for (int i = 0; i < SPAWN_READS_MOST; i++) {
        ssize_t n = read(spawn->out_fd, data, sizeof data);

        if (n > 0) {
            take_output(spawn, data, (size_t)n);
        }
        else if (n == 0) {
            return false;
        }
        else if (errno != EINTR) {
            return errno == EAGAIN;
        }
    }
    return true;
}

static void close_output(spawn_t *spawn)
{
    if (spawn->out_fd >= 0) {
        mgb_loop_unwatch(spawn->spawner->keeper->loop, spawn->out_fd);
        close(spawn->out_fd);
        spawn->out_fd = -1;
    }
}

static void on_output(void *baton, int fd, uint32_t events)
{
    spawn_t *spawn = baton;

    if (!drain(spawn)) {
        end_line(spawn);
        close_output(spawn); /* its end is told by the pidfd or the timer */
    }
}

/* ------------------------------------------------------------------ the end */

static void unlink_running(spawn_t *spawn)
{
    spawn_t **at = &spawn->spawner->running;

    while (*at && *at != spawn) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = spawn->next;
        spawn->spawner->running_count--;
    }
}

static void tell(spawn_t *spawn, mgb_spawn_end_e end, int code)
{
    if (!spawn->told) {
        spawn->told = true;
        spawn->command.done(spawn->command.baton, end, code);
    }
}

/* Tells the caller and forgets the command; its process is gone or never was. */
static void finish(spawn_t *spawn, mgb_spawn_end_e end, int code)
{
    spawner_t *spawner = spawn->spawner;
    mgb_loop_t *loop = spawner->keeper->loop;

    mgb_loop_cancel(loop, spawn->timer);
    mgb_loop_cancel(loop, spawn->look_timer);
    if (spawn->pid_fd >= 0) {
        mgb_loop_unwatch(loop, spawn->pid_fd);
        close(spawn->pid_fd);
    }
    close_output(spawn);
    if (spawn->command.input_fd >= 0) {
        close(spawn->command.input_fd);
    }
    unlink_running(spawn);
    tell(spawn, end, code);
    apr_pool_destroy(spawn->pool);
    start_waiting(spawner);
}

/* Looks whether the process has ended; true: it has, and `spawn` is gone. */
static bool reap(spawn_t *spawn)
{
    siginfo_t info;
    int status = 0;
    pid_t pid;

    memset(&info, 0, sizeof info);
    if (spawn->terminated &&
        waitid(P_PID, (id_t)spawn->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == spawn->pid) {
        /* While it is not reaped, its process group's number is still ours. */
        kill(-spawn->pid, SIGKILL);
    }
    pid = waitpid(spawn->pid, &status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        return false;
    }
    if (spawn->out_fd >= 0) {
        (void)drain(spawn);
    }
    end_line(spawn);
    if (spawn->terminated) {
        finish(spawn, MGB_SPAWN_TOO_LATE, 0);
    }
    else if (pid > 0 && WIFEXITED(status)) {
        finish(spawn, MGB_SPAWN_EXITED, WEXITSTATUS(status));
    }
    else {
        /* pid < 0: somebody set SIGCHLD to "ignore", so its status is lost. */
        finish(spawn, MGB_SPAWN_KILLED, pid > 0 ? WTERMSIG(status) : 0);
    }
    return true;
}

static void on_pidfd(void *baton, int fd, uint32_t events)
{
    (void)reap(baton);
}

static void on_look(void *baton, int64_t now_us)
{
    spawn_t *spawn = baton;

    spawn->look_timer = 0;
    if (!reap(spawn)) {
        spawn->look_timer =
            mgb_loop_timer(spawn->spawner->keeper->loop,
                           now_us + (spawn->told ? SPAWN_LATE_LOOK_US : SPAWN_LOOK_US),
                           on_look, spawn);
    }
}

static void unlink_waiting(spawn_t *spawn)
{
    spawner_t *spawner = spawn->spawner;
    spawn_t **at = &spawner->first;

    while (*at && *at != spawn) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = spawn->next;
        if (!spawn->next) {
            spawner->end = at;
        }
    }
}

/* The time-out, then the graces after SIGTERM and SIGKILL. */
static void on_time(void *baton, int64_t now_us)
{
    spawn_t *spawn = baton;

    spawn->timer = 0;
    if (!spawn->pid) {
        unlink_waiting(spawn);
        finish(spawn, MGB_SPAWN_NOT_RUN, ETIMEDOUT);
        return;
    }
    if (reap(spawn)) {
        return;
    }
    if (spawn->killed) {
        /* It hangs in the kernel; the pidfd goes on waiting for it. */
        close_output(spawn);
        tell(spawn, MGB_SPAWN_TOO_LATE, 0);
        return;
    }
    kill(-spawn->pid, spawn->terminated ? SIGKILL : SIGTERM);
    spawn->killed = spawn->terminated;
    spawn->terminated = true;
    spawn->timer = mgb_loop_timer(spawn->spawner->keeper->loop,
                                  now_us + MGB_SPAWN_GRACE_US, on_time, spawn);
}

/* ------------------------------------------------------------------ turns */

static apr_status_t spawner_cleanup(void *data)
{
    spawner_t *spawner = data;

    for (spawn_t *spawn = spawner->running; spawn; spawn = spawn->next) {
        kill(-spawn->pid, SIGTERM);
    }
    return APR_SUCCESS;
}

static spawner_t *spawner_of(mgb_keeper_t *keeper)
{
    static const char key[] = "mgb_spawner";
    void *found = NULL;
    spawner_t *spawner;

    apr_pool_userdata_get(&found, key, keeper->pool);
    if (found) {
        return found;
    }
    spawner = apr_pcalloc(keeper->pool, sizeof(*spawner));
    spawner->keeper = keeper;
    spawner->end = &spawner->first;
    apr_pool_userdata_setn(spawner, key, NULL, keeper->pool);
    apr_pool_pre_cleanup_register(keeper->pool, spawner, spawner_cleanup);
    return spawner;
}

/* A command that could not be started is told from the loop, like every other end. */
static void on_failed(void *baton, int64_t now_us)
{
    spawn_t *spawn = baton;

    spawn->timer = 0;
    finish(spawn, MGB_SPAWN_NOT_RUN, spawn->error);
}

static void start_one(spawn_t *spawn)
{
    spawner_t *spawner = spawn->spawner;

    spawn->next = spawner->running;
    spawner->running = spawn;
    spawner->running_count++;
    spawn->error = launch(spawn);
    if (spawn->command.input_fd >= 0) {
        close(spawn->command.input_fd);
        spawn->command.input_fd = -1;
    }
    if (spawn->error) {
        mgb_loop_cancel(spawner->keeper->loop, spawn->timer);
        unlink_running(spawn);
        spawn->timer =
            mgb_loop_timer(spawner->keeper->loop, mgb_now_us(), on_failed, spawn);
    }
}

static void start_waiting(spawner_t *spawner)
{
    while (spawner->first && spawner->running_count < MGB_SPAWN_AT_ONCE) {
        spawn_t *spawn = spawner->first;

        unlink_waiting(spawn);
        start_one(spawn);
    }
}

static char **copy_words(apr_pool_t *p, const char *const *argv)
{
    size_t count = 0;
    char **copy;

    while (argv[count]) {
        count++;
    }
    copy = apr_pcalloc(p, (count + 1) * sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = apr_pstrdup(p, argv[i]);
    }
    return copy;
}

apr_status_t mgb_spawn(mgb_keeper_t *keeper, const mgb_command_t *command)
{
    spawner_t *spawner = spawner_of(keeper);
    apr_pool_t *pool;
    spawn_t *spawn;
    int input_fd = command->input_fd;

    if (input_fd >= 0) {
        input_fd = raise_fd(input_fd);
        if (input_fd < 0) {
            return errno;
        }
    }
    if (apr_pool_create(&pool, keeper->pool) != APR_SUCCESS) {
        close(input_fd);
        return APR_ENOMEM;
    }
    spawn = apr_pcalloc(pool, sizeof(*spawn));
    spawn->pool = pool;
    spawn->spawner = spawner;
    spawn->command = *command;
    spawn->command.input_fd = input_fd;
    spawn->argv = copy_words(pool, command->argv);
    spawn->out_fd = spawn->pid_fd = -1;
    spawn->timer = mgb_loop_timer(keeper->loop, mgb_now_us() + command->timeout_us,
                                  on_time, spawn);
    if (!spawn->timer) {
        close(input_fd);
        apr_pool_destroy(pool);
        return APR_ENOMEM;
    }
    if (command->urgent || spawner->running_count < MGB_SPAWN_AT_ONCE) {
        start_one(spawn);
    }
    else {
        *spawner->end = spawn;
        spawner->end = &spawn->next;
    }
    return APR_SUCCESS;
}

void mgb_spawn_tell(char *to, size_t size, mgb_spawn_end_e end, int code)
{
    char text[120];

    switch (end) {
    case MGB_SPAWN_EXITED:
        snprintf(to, size, "exit status %d", code);
        break;
    case MGB_SPAWN_KILLED:
        snprintf(to, size, "killed by signal %d", code);
        break;
    case MGB_SPAWN_TOO_LATE:
        snprintf(to, size, "did not end in time");
        break;
    default:
        snprintf(to, size, "cannot be run: %s", apr_strerror(code, text, sizeof text));
        break;
    }
}
