/* SPDX-License-Identifier: Apache-2.0
 *
 * control_accept.c - greenctl accept, in the keeper's main thread: the operator says
 * that what a replica that was set aside holds is right.
 *
 * The journal thread does it (distribute_accept.c); the two meet in the segment
 * (mgb_word_t).
 */
#include "keeper.h"

#include "core/gb_command.h"

static mgb_replica_shared_t *replica_of(const mgb_keeper_t *keeper, uint32_t slot)
{
    return &keeper->shared->members[slot].replica;
}

const char *mgb_accept_ask(const mgb_keeper_t *keeper, uint32_t slot,
                           const gb_command_t *command)
{
    const mgb_member_t *member = &keeper->shared->members[slot];
    mgb_replica_shared_t *replica = replica_of(keeper, slot);
    const mgb_log_shared_t *log = &keeper->shared->balancers[member->balancer].log;

    if (!__atomic_load_n(&log->live, __ATOMIC_ACQUIRE) ||
        !__atomic_load_n(&replica->is_replica, __ATOMIC_ACQUIRE)) {
        return "it is no replica of a balancer with GreenCommit, or its journal is not "
               "served: see the error log";
    }
    if (mgb_word_waits(&replica->accept)) {
        return "it is being accepted already";
    }
    __atomic_store_n(&replica->accept_upto,
                     command->has_seq ? command->seq : MGB_ACCEPT_SETTLED,
                     __ATOMIC_RELAXED);
    mgb_word_ask(&replica->accept);
    return NULL;
}

bool mgb_accept_is_done(const mgb_keeper_t *keeper, uint32_t slot, const char **error)
{
    static const char *const errors[] = {
        [MGB_ACCEPT_TAKEN] = NULL,
        [MGB_ACCEPT_NOT_ASIDE] = "it is not set aside",
        [MGB_ACCEPT_IN_FLIGHT] = "a write is under way there: again when it has ended",
        [MGB_ACCEPT_RESYNCING] =
            "GreenResync runs for it: it comes back by that, or ask again after it",
        [MGB_ACCEPT_TOO_FAR] =
            "that entry has no verdict yet: --seq has to be an earlier one",
        [MGB_ACCEPT_TRIMMED] = "entries after that one are not kept any more",
        [MGB_ACCEPT_AGAIN] =
            "it was set aside again, or the journal was opened anew: see the error log",
    };
    const mgb_replica_shared_t *replica = replica_of(keeper, slot);
    uint32_t said;

    if (mgb_word_waits(&replica->accept)) {
        return false;
    }
    said = __atomic_load_n(&replica->accept.said, __ATOMIC_RELAXED);
    *error = said < sizeof errors / sizeof errors[0] ? errors[said] : "it was refused";
    return true;
}
