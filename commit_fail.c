/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_fail.c - failpoints and planted bugs, in builds for tests alone.
 */
#include "commit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef MGB_TEST_CLOCK

typedef struct fail_t {
    char name[40], action[16];
    long value, left;
} fail_t;

/* A line of GREEN_FAIL's file: NAME:kill|stop[:COUNT] or NAME:delay=MS[:COUNT];
 * bug:NAME plants one of the bugs that tests/crash has to find. */
static fail_t *fails_of(size_t *count)
{
    static fail_t fails[16];
    static size_t found;
    static bool is_read;
    const char *path = getenv("GREEN_FAIL");
    FILE *file = is_read || !path ? NULL : fopen(path, "re");
    char line[96];

    is_read = true;
    while (file && found < 16 && fgets(line, sizeof line, file)) {
        fail_t *fail = &fails[found];

        memset(fail, 0, sizeof *fail);
        fail->left = 1;
        if (sscanf(line, "%39[^:]:%15[^=:\n]=%ld:%ld", fail->name, fail->action,
                   &fail->value, &fail->left) >= 3 ||
            sscanf(line, "%39[^:]:%15[^=:\n]:%ld", fail->name, fail->action,
                   &fail->left) >= 2) {
            found++;
        }
    }
    if (file) {
        (void)fclose(file);
    }
    *count = found;
    return fails;
}

bool mgb_fail_bug(const char *name)
{
    size_t count;
    const fail_t *fails = fails_of(&count);

    for (size_t i = 0; i < count; i++) {
        if (!strcmp(fails[i].name, "bug") && !strncmp(fails[i].action, name, 15)) {
            return true;
        }
    }
    return false;
}

void mgb_fail_point(const char *name)
{
    size_t count;
    fail_t *fails = fails_of(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(fails[i].name, name) != 0 || fails[i].left <= 0 ||
            --fails[i].left > 0) {
            continue;
        }
        if (!strcmp(fails[i].action, "kill")) {
            (void)kill(getpid(), SIGKILL);
        }
        else if (!strcmp(fails[i].action, "stop")) {
            (void)kill(getpid(), SIGSTOP);
        }
        else if (!strcmp(fails[i].action, "delay")) {
            usleep((useconds_t)fails[i].value * 1000);
        }
    }
}
#endif
