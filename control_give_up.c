/* SPDX-License-Identifier: Apache-2.0
 *
 * control_give_up.c - greenctl give-up, in the keeper's main thread: the operator says
 * that a write which no replica answers has failed.
 *
 * The journal thread does it (distribute_give_up.c); the two meet in the segment
 * (mgb_word_t).
 */
#include "keeper.h"

#include "core/gb_command.h"

static mgb_log_shared_t *log_of(const mgb_keeper_t *keeper, uint32_t balancer)
{
    return &keeper->shared->balancers[balancer].log;
}

const char *mgb_give_up_ask(const mgb_keeper_t *keeper, uint32_t balancer,
                            const gb_command_t *command)
{
    mgb_log_shared_t *log = log_of(keeper, balancer);

    if (!__atomic_load_n(&log->live, __ATOMIC_ACQUIRE)) {
        return "it has no GreenCommit, or its journal is not served: see the error log";
    }
    if (mgb_word_waits(&log->give_up)) {
        return "an entry is being given up already";
    }
    __atomic_store_n(&log->give_up_seq, command->seq, __ATOMIC_RELAXED);
    __atomic_store_n(&log->give_up_even_so, command->even_so, __ATOMIC_RELAXED);
    __atomic_store_n(&log->give_up_asked_at_us, mgb_now_us(), __ATOMIC_RELAXED);
    mgb_word_ask(&log->give_up);
    return NULL;
}

static const char nobody_left[] =
    "no replica would be left: all are set aside, or may have that entry and would be; "
    "look at them, give it up with --even-so, and take those that are right back by "
    "greenctl accept";

/* Which one it is that all wait for. */
static const char *not_first(const mgb_log_shared_t *log, apr_pool_t *p)
{
    return apr_psprintf(
        p, "that entry waits for another one: the first without a verdict is %" PRIu64,
        __atomic_load_n(&log->settled, __ATOMIC_RELAXED) + 1);
}

bool mgb_give_up_is_done(const mgb_keeper_t *keeper, uint32_t balancer, apr_pool_t *p,
                         const char **error)
{
    static const char *const errors[] = {
        [MGB_GIVE_UP_DONE] = NULL,
        [MGB_GIVE_UP_DECIDED] = "that entry has a verdict: nothing waits for it",
        [MGB_GIVE_UP_NO_SUCH] = "there is no such entry",
        [MGB_GIVE_UP_NOBODY_LEFT] = nobody_left,
        [MGB_GIVE_UP_TOO_LATE] = "it was asked too long ago",
    };
    const mgb_log_shared_t *log = log_of(keeper, balancer);
    uint32_t said;

    if (mgb_word_waits(&log->give_up)) {
        return false;
    }
    said = __atomic_load_n(&log->give_up.said, __ATOMIC_RELAXED);
    if (said == MGB_GIVE_UP_NOT_FIRST) {
        *error = not_first(log, p);
    }
    else {
        *error =
            said < sizeof errors / sizeof errors[0] ? errors[said] : "it was refused";
    }
    return true;
}
