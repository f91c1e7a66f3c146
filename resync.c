/* SPDX-License-Identifier: Apache-2.0
 *
 * resync.c - GreenResync's command, which brings a replica's state to that of another.
 *
 *   COMMAND ARG... TARGET-URL SOURCE-URL SEQ
 *
 * Exit status 0: the target holds what the source held while it ran.
 */
#include "commit.h"

#include "drivers/spawn.h"

#define RESYNC_MOST_US (3600 * GB_US_PER_S)

struct mgb_resync_t {
    apr_pool_t *pool;
    mgb_resync_fn *done; /* NULL: nobody wants to know any more */
    void *baton;
    char last[GB_REASON_BYTES]; /* line of its output */
};

static void on_line(void *baton, const char *line, size_t length)
{
    mgb_resync_t *resync = baton;
    size_t kept = length < sizeof resync->last - 1 ? length : sizeof resync->last - 1;

    if (!length) {
        return;
    }
    for (size_t i = 0; i < kept; i++) {
        resync->last[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
    }
    resync->last[kept] = '\0';
}

static void on_done(void *baton, mgb_spawn_end_e end, int code)
{
    mgb_resync_t *resync = baton;
    bool ok = end == MGB_SPAWN_EXITED && code == 0;
    char what[80];

    mgb_spawn_tell(what, sizeof what, end, code);
    if (resync->done) {
        resync->done(resync->baton, ok,
                     ok ? ""
                        : apr_pstrcat(resync->pool, what, *resync->last ? ": " : "",
                                      resync->last, NULL));
    }
    apr_pool_destroy(resync->pool);
}

static const char **words_of(apr_pool_t *p, const char *const *argv, const char *target,
                             const char *source, uint64_t seq)
{
    const char **words;
    int count = 0;

    while (argv[count]) {
        count++;
    }
    words = apr_pcalloc(p, ((apr_size_t)count + 4) * sizeof(*words));
    memcpy(words, argv, (size_t)count * sizeof(*words));
    words[count] = target;
    words[count + 1] = source;
    words[count + 2] = apr_psprintf(p, "%" APR_UINT64_T_FMT, seq);
    return words;
}

mgb_resync_t *mgb_resync_start(mgb_commit_t *commit, const char *const *argv,
                               const char *target, const char *source, uint64_t seq,
                               mgb_resync_fn *done, void *baton)
{
    mgb_command_t command = {.input_fd = -1,
                             .timeout_us = RESYNC_MOST_US,
                             .urgent = true,
                             .line = on_line,
                             .done = on_done};
    mgb_resync_t *resync;
    apr_pool_t *pool;

    if (apr_pool_create(&pool, commit->pool) != APR_SUCCESS) {
        return NULL;
    }
    resync = apr_pcalloc(pool, sizeof(*resync));
    resync->pool = pool;
    resync->done = done;
    resync->baton = baton;
    command.argv = words_of(pool, argv, target, source, seq);
    command.baton = resync;
    if (mgb_spawn(&commit->own, &command) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    return resync;
}

void mgb_resync_stop(mgb_resync_t *resync)
{
    resync->done = NULL; /* the command ends with the keeper, or by itself */
}
