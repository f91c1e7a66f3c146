/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.h - runs a command on the keeper's loop, without blocking it.
 *
 * The command gets a process group of its own, /dev/null as its input, one pipe for
 * output and error output, no other descriptor (but `input_fd` as number 3), default
 * signals, "/" as its folder, and an environment of PATH and LANG=C alone.  When the
 * keeper dies, the command gets SIGTERM.  A process that the command leaves behind in
 * the background is not touched after a normal end, and is not waited for.
 */
#ifndef MGB_SPAWN_H
#define MGB_SPAWN_H

#include "../keeper.h"

#define MGB_SPAWN_LINE_BYTES   1024         /* a longer line is cut */
#define MGB_SPAWN_OUTPUT_BYTES (256 * 1024) /* what comes after is not looked at */
#define MGB_SPAWN_AT_ONCE      48           /* what is not urgent waits for others */
/* From SIGTERM to SIGKILL, and from SIGKILL to giving up. */
#define MGB_SPAWN_GRACE_US (1 * GB_US_PER_S)
/* What a command takes at most, seen from the caller. */
#define MGB_SPAWN_MOST_US(timeout_us) ((timeout_us) + 2 * MGB_SPAWN_GRACE_US)

typedef enum mgb_spawn_end_e {
    MGB_SPAWN_EXITED,   /* code: exit status */
    MGB_SPAWN_KILLED,   /* code: signal, not from us */
    MGB_SPAWN_TOO_LATE, /* the time-out passed; it was ended */
    MGB_SPAWN_NOT_RUN   /* code: errno; nothing was started */
} mgb_spawn_end_e;

/* One line without its end; `line` is valid during the call, and has no NUL behind it.
 */
typedef void mgb_spawn_line_fn(void *baton, const char *line, size_t length);
typedef void mgb_spawn_done_fn(void *baton, mgb_spawn_end_e end, int code);

typedef struct mgb_command_t {
    const char *const
        *argv;    /* NULL-terminated; [0] is looked for in PATH if it has no '/' */
    int input_fd; /* given to the command as descriptor 3; -1: none */
    int64_t timeout_us; /* from now on, also while it waits for its turn */
    bool urgent;        /* does not wait for its turn: power orders */
    mgb_spawn_line_fn *line;
    mgb_spawn_done_fn *done; /* exactly once, from the loop, after all lines */
    void *baton;
} mgb_command_t;

/* Starts the command, now or when it is its turn.  argv is copied; input_fd is taken
 * over (closed in every case).  Keeper.  Any status but APR_SUCCESS: nothing was
 * started and done() will not be called; that the command does not exist is told by
 * done(). */
apr_status_t mgb_spawn(mgb_keeper_t *keeper, const mgb_command_t *command);

/* For messages: "exit status 1", "killed by signal 9", "did not end in time", "cannot
 * be run: No such file or directory". */
void mgb_spawn_tell(char *to, size_t size, mgb_spawn_end_e end, int code);

#endif /* MGB_SPAWN_H */
