/* SPDX-License-Identifier: Apache-2.0
 *
 * power.c - lets the host go to sleep, or keeps it from it.
 */
#include "agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A suspend or shutdown that was ordered begins within this time. */
#define GOING_US (30 * GB_US_PER_S)
#define LOOK_US  (500 * GB_US_PER_MS)

#define LOCK_END_US  (2 * GB_US_PER_S)
#define LOCK_LOOK_MS 20

/* How long the host has been suspended, in all. */
static int64_t suspended_us(void)
{
    struct timespec with;

    (void)clock_gettime(CLOCK_BOOTTIME, &with);
    return (int64_t)with.tv_sec * GB_US_PER_S + with.tv_nsec / 1000 - ga_now_us();
}

bool ga_power_off(const ga_config_t *config)
{
    const char *command =
        config->poweroff ? config->poweroff_command : config->suspend_command;
    int64_t before_us = suspended_us(), until_us;
    ga_run_t run;

    ga_say(6, "ordered off by the proxy: %s", command);
    ga_command_run(command, GA_OFF_US, &run);
    if (run.status != 0) {
        ga_say(3, "%s failed (%d)%s%s: this host stays on", command, run.status,
               run.line[0] ? ": " : "", run.line);
        return false;
    }
    /* Silent until it is off, or back: a heartbeat would say that it did not go. */
    until_us = ga_now_us() + GOING_US;
    while (!ga_stop_wanted() && ga_now_us() < until_us) {
        if (suspended_us() - before_us > GB_US_PER_S) {
            ga_say(6, "back from suspension");
            return true;
        }
        ga_wait(LOOK_US);
    }
    if (!ga_stop_wanted()) {
        ga_say(4, "%s has done nothing for 30 s", command);
    }
    return true;
}

/* ---------------------------------------------------------------- the lock */

static struct {
    pid_t pid; /* systemd-inhibit; 0: none */
    int fd;    /* when it is closed, also by our death, the lock ends */
    bool failure_told;
} lock;

static void lock_take(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC)) {
        return;
    }
    lock.pid = fork();
    if (lock.pid == 0) {
        ga_signals_default();
        if (dup2(ends[0], STDIN_FILENO) < 0) {
            _exit(127);
        }
        execlp("systemd-inhibit", "systemd-inhibit", "--what=sleep:idle",
               "--mode=block", "--who=green-agent",
               "--why=no proxy is reachable that could wake this host", "cat",
               (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    lock.fd = ends[1];
    if (lock.pid < 0) {
        close(lock.fd);
        lock.pid = 0;
    }
}

/* It ends by itself when its input does; one that does not is ended. */
static void lock_end(void)
{
    int64_t until_us = ga_now_us() + LOCK_END_US;
    pid_t ended = 0;

    if (lock.pid == 0) {
        return;
    }
    close(lock.fd);
    while (ended == 0 && ga_now_us() < until_us) {
        (void)poll(NULL, 0, LOCK_LOOK_MS);
        ended = waitpid(lock.pid, NULL, WNOHANG);
    }
    if (ended == 0) {
        (void)kill(lock.pid, SIGKILL);
        (void)waitpid(lock.pid, NULL, 0);
    }
    lock.pid = 0;
}

void ga_power_inhibit(bool hold)
{
    int status;

    if (lock.pid > 0 && waitpid(lock.pid, &status, WNOHANG) == lock.pid) {
        close(lock.fd);
        lock.pid = 0;
        if (!lock.failure_told) {
            lock.failure_told = true;
            ga_say(4, "systemd-inhibit does not work here: orders of a proxy are "
                      "refused, but nothing keeps others from letting this host "
                      "sleep");
        }
    }
    if (hold && lock.pid == 0 && !lock.failure_told) {
        lock_take();
    }
    else if (!hold) {
        lock_end();
        lock.failure_told = false;
    }
}
