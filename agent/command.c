/* SPDX-License-Identifier: Apache-2.0
 *
 * command.c - runs a command of the administrator, for a bounded time.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_EVERY_MS 20

static _Noreturn void become(const char *command, int output_fd)
{
    int null_fd = open("/dev/null", O_RDONLY);

    ga_signals_default();
    (void)setpgid(0, 0);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(output_fd, STDOUT_FILENO) < 0) {
        _exit(127);
    }
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Adds what can be read now to the first line, which is over when it is full; false at
 * the end of the output. */
static bool listen_to(int fd, ga_run_t *run, size_t *length, bool *is_line_over)
{
    char more[256];
    ssize_t n = read(fd, more, sizeof more);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    for (ssize_t i = 0; i < n && !*is_line_over; i++) {
        *is_line_over = more[i] == '\n' || *length + 1 == sizeof run->line;
        if (!*is_line_over) {
            run->line[(*length)++] = more[i] >= ' ' && more[i] <= '~' ? more[i] : '?';
        }
    }
    return n > 0;
}

/* Waits for the end of the command, or ends it. */
static int watch(pid_t pid, int fd, int64_t until_us, ga_run_t *run)
{
    struct pollfd output = {.fd = fd, .events = POLLIN};
    bool is_line_over = false;
    size_t length = 0;
    int status;

    for (;;) {
        pid_t ended;

        if (poll(&output, 1, LOOK_EVERY_MS) > 0 &&
            !listen_to(output.fd, run, &length, &is_line_over)) {
            output.fd = -1; /* all has been read: only its end is waited for */
        }
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            /* What it has left in the background may go on writing for ever. */
            while (output.fd >= 0 && !is_line_over && poll(&output, 1, 0) > 0 &&
                   listen_to(output.fd, run, &length, &is_line_over)) {
            }
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        if (ended < 0 || ga_now_us() >= until_us) {
            (void)kill(-pid, SIGKILL);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return -1;
        }
    }
}

void ga_command_run(const char *command, int64_t most_us, ga_run_t *run)
{
    int ends[2];
    pid_t pid;

    memset(run, 0, sizeof(*run));
    run->status = -1;
    if (pipe2(ends, O_CLOEXEC)) {
        return;
    }
    pid = fork();
    if (pid == 0) {
        become(command, ends[1]);
    }
    close(ends[1]);
    if (pid > 0) {
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
        run->status = watch(pid, ends[0], ga_now_us() + most_us, run);
    }
    close(ends[0]);
}
