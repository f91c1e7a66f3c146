/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_replica.c - the order of writes at one replica; see gb_replica.h.
 *
 * What a replica has is a prefix of the log, and nobody may ever be wrong about it: a
 * send whose outcome is not known leaves the replica in doubt about that one entry, and
 * doubt ends by an answer alone, or by setting the replica aside.
 */
#include "gb_replica.h"

#include <math.h>

/* ------------------------------------------------------------------ the next step */

/* Doubt that no answer could end: the entry must not be sent again, or whatever the
 * replica did with it, everybody else has agreed that it failed. */
static bool is_lost(const gb_replica_t *replica, const gb_entry_t *entry)
{
    return replica->in_doubt && (!entry->repeatable || entry->state == GB_ENTRY_FAILED);
}

gb_step_e gb_replica_next(const gb_replica_t *replica, const gb_entry_t *entry,
                          bool is_answerer, int64_t now_us)
{
    if (!entry || replica->aside || replica->in_flight ||
        entry->seq != replica->cursor + 1) {
        return GB_STEP_NONE;
    }
    if (is_lost(replica, entry)) {
        return GB_STEP_ASIDE;
    }
    if ((entry->state == GB_ENTRY_REJECTED || entry->state == GB_ENTRY_FAILED) &&
        !replica->in_doubt) {
        return GB_STEP_SKIP;
    }
    if ((entry->state == GB_ENTRY_OPEN && !is_answerer) || !replica->can_take ||
        now_us < replica->retry_at_us) {
        return GB_STEP_NONE;
    }
    if ((entry->state == GB_ENTRY_OPEN || !entry->repeatable) &&
        replica->sent != entry->seq) {
        return GB_STEP_MARK;
    }
    return GB_STEP_SEND;
}

/* ------------------------------------------------------------------ answers */

static uint32_t again(gb_replica_t *replica, const gb_entry_t *entry, int64_t now_us)
{
    int64_t wait_us = GB_REPLICA_RETRY_FIRST_US;

    for (uint32_t i = 0; i < replica->tries && wait_us < GB_REPLICA_RETRY_MOST_US;
         i++) {
        wait_us *= 2;
    }
    if (wait_us > GB_REPLICA_RETRY_MOST_US) {
        wait_us = GB_REPLICA_RETRY_MOST_US;
    }
    replica->tries += replica->tries < UINT32_MAX;
    replica->retry_at_us = now_us > INT64_MAX - wait_us ? INT64_MAX : now_us + wait_us;
    return GB_DO_RETRY | (entry->state == GB_ENTRY_OPEN ? GB_DO_OTHER : 0);
}

static uint32_t set_aside(const gb_entry_t *entry)
{
    return GB_DO_ASIDE | (entry->state == GB_ENTRY_OPEN ? GB_DO_OTHER : 0);
}

/* This time it did not do it; what an earlier time did is as unknown as before. */
static uint32_t not_done(gb_replica_t *replica, const gb_entry_t *entry, int64_t now_us)
{
    if (!replica->in_doubt) {
        replica->sent = 0;
    }
    return again(replica, entry, now_us);
}

/* The replica has done with the entry, and it is known what. */
static uint32_t settled(gb_replica_t *replica, uint32_t what)
{
    replica->tries = replica->wrong = 0;
    replica->retry_at_us = 0;
    replica->in_doubt = false;
    return what | GB_DO_CURSOR;
}

static uint32_t decide(gb_entry_t *entry, gb_verdict_state_e state,
                       const gb_answer_t *answer)
{
    entry->state = state;
    entry->status = answer->status;
    entry->digest = answer->digest;
    return GB_DO_VERDICT;
}

/* What a client is told of a write that ended without an answer. */
#define STATUS_LOST 502

/* The outcome is not known.  A write that must not be repeated sets the replica aside;
 * two of them are enough, for then the write itself may be what brings servers down,
 * and the others are needed: it has failed, and they never see it. */
static uint32_t doubtful(gb_replica_t *replica, gb_entry_t *entry,
                         const gb_answer_t *answer, int64_t now_us)
{
    gb_answer_t none = {.status = STATUS_LOST};

    replica->in_doubt = true;
    if (entry->repeatable) {
        return again(replica, entry, now_us);
    }
    if (entry->state != GB_ENTRY_OPEN || ++entry->lost < GB_REPLICA_LOST_MOST) {
        return set_aside(entry);
    }
    if (answer->how == GB_SENT_ANSWERED && answer->status >= 500 &&
        answer->status <= 599) {
        none.status = answer->status;
    }
    return decide(entry, GB_ENTRY_FAILED, &none) | GB_DO_ASIDE;
}

static bool is_missing(int status)
{
    return status == 404 || status == 410;
}

/* A second DELETE says that there is nothing: that is what it wants. */
static bool is_deleted(const gb_entry_t *entry, const gb_answer_t *answer)
{
    return answer->repeated && entry->deletes && is_missing(answer->status);
}

/* 5xx to an entry that has no verdict: nothing was done, as far as an application can
 * promise that.  Two replicas that say the same settle it; so does one that says it
 * twice when there is nobody else, and, lest the log stand still, any eight of them.
 * It ends no doubt: what was sent before may still arrive. */
static uint32_t rolled_back(gb_replica_t *replica, gb_entry_t *entry, uint32_t index,
                            uint32_t others, const gb_answer_t *answer, int64_t now_us)
{
    bool said_before = entry->rolled_back &&
                       entry->rolled_back_status == answer->status &&
                       (entry->rolled_back_by != index || others == 0);
    uint32_t what;

    entry->rolled_back += entry->rolled_back < UINT32_MAX;
    entry->rolled_back_status = answer->status;
    entry->rolled_back_by = index;
    if (!said_before && entry->rolled_back < GB_REPLICA_ROLLED_MOST) {
        return not_done(replica, entry, now_us);
    }
    what = decide(entry, GB_ENTRY_FAILED, answer);
    return replica->in_doubt ? what | GB_DO_ASIDE : settled(replica, what);
}

/* 4xx to an entry that has no verdict.  Where the first sending may have been applied,
 * and the second be rejected for that very reason, somebody else should say; if there
 * is nobody, the client must not wait for ever, and the replica is not trusted. */
static uint32_t rejected(gb_replica_t *replica, gb_entry_t *entry, uint32_t others,
                         const gb_answer_t *answer)
{
    if (!answer->repeated) {
        return settled(replica, decide(entry, GB_ENTRY_REJECTED, answer));
    }
    if (others > 0) {
        return GB_DO_ASIDE | GB_DO_OTHER;
    }
    return decide(entry, GB_ENTRY_REJECTED, answer) | GB_DO_ASIDE;
}

static uint32_t answered_open(gb_replica_t *replica, gb_entry_t *entry, uint32_t index,
                              uint32_t others, const gb_answer_t *answer,
                              int64_t now_us)
{
    switch (gb_commit_outcome(answer->status)) {
    case GB_OUT_ACCEPTED:
        return settled(replica,
                       decide(entry, GB_ENTRY_ACCEPTED, answer) | GB_DO_CONFIRM);
    case GB_OUT_REJECTED:
        if (is_deleted(entry, answer)) {
            return settled(replica,
                           decide(entry, GB_ENTRY_ACCEPTED, answer) | GB_DO_CONFIRM);
        }
        return rejected(replica, entry, others, answer);
    case GB_OUT_ROLLED_BACK:
        return rolled_back(replica, entry, index, others, answer, now_us);
    case GB_OUT_RETRY:
        return not_done(replica, entry, now_us);
    default:
        return doubtful(replica, entry, answer, now_us);
    }
}

/* Does the replica say of an accepted entry what the verdict says?  Second sendings at
 * L0 may say another 2xx (201 once, then 204), and a second DELETE that there is
 * nothing, or nothing any more where the verdict itself came from a second one. */
static bool agrees(const gb_entry_t *entry, const gb_answer_t *answer)
{
    bool fits = answer->status >= 200 && answer->status <= 299;

    if (answer->status == entry->status) {
        return !answer->digest || !entry->digest || answer->digest == entry->digest;
    }
    if (!answer->repeated) {
        return false;
    }
    if (entry->deletes) {
        return (fits || is_missing(answer->status)) &&
               (is_missing(entry->status) ||
                (entry->status >= 200 && entry->status <= 299));
    }
    return fits && entry->status >= 200 && entry->status <= 299;
}

static uint32_t answered_settled(gb_replica_t *replica, gb_entry_t *entry,
                                 const gb_answer_t *answer, int64_t now_us)
{
    bool is_accepted = entry->state == GB_ENTRY_ACCEPTED;
    bool is_same =
        is_accepted ? agrees(entry, answer) : answer->status == entry->status;

    if (is_same) {
        return settled(replica, is_accepted ? GB_DO_CONFIRM : 0);
    }
    switch (gb_commit_outcome(answer->status)) {
    case GB_OUT_RETRY:
        return not_done(replica, entry, now_us);
    case GB_OUT_UNCLEAR:
        return doubtful(replica, entry, answer, now_us);
    case GB_OUT_ROLLED_BACK:
        if (++replica->wrong >= GB_REPLICA_WRONG_MOST) {
            return GB_DO_ASIDE;
        }
        return not_done(replica, entry, now_us);
    default:
        return GB_DO_ASIDE;
    }
}

uint32_t gb_replica_answered(gb_replica_t *replica, gb_entry_t *entry, uint32_t index,
                             uint32_t others, const gb_answer_t *answer, int64_t now_us)
{
    replica->in_flight = 0;
    if (answer->how == GB_SENT_NOTHING) {
        return not_done(replica, entry, now_us);
    }
    if (entry->state == GB_ENTRY_FAILED) {
        return GB_DO_ASIDE; /* it should never have been sent */
    }
    if (answer->how != GB_SENT_ANSWERED) {
        return doubtful(replica, entry, answer, now_us);
    }
    if (entry->state == GB_ENTRY_OPEN) {
        return answered_open(replica, entry, index, others, answer, now_us);
    }
    return answered_settled(replica, entry, answer, now_us);
}

/* ------------------------------------------------------------------ given up */

bool gb_replica_may_have(const gb_replica_t *replica, const gb_entry_t *entry)
{
    return entry->seq && (replica->in_flight == entry->seq ||
                          (replica->in_doubt && replica->cursor + 1 == entry->seq));
}

gb_give_up_e gb_replica_given_up(gb_replica_t *replicas, uint32_t count, uint64_t gone,
                                 gb_entry_t *entry, bool even_so, uint64_t *aside)
{
    uint32_t left = 0;
    uint64_t lost = 0;

    *aside = 0;
    if (entry->state != GB_ENTRY_OPEN) {
        return GB_GIVE_UP_DECIDED;
    }
    for (uint32_t i = 0; i < count && i < GB_COMMIT_REPLICAS; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (replicas[i].aside) {
            continue;
        }
        if (gb_replica_may_have(&replicas[i], entry)) {
            lost |= bit;
        }
        else if (!(gone & bit)) {
            left++;
        }
    }
    if (!left && !even_so) {
        return GB_GIVE_UP_NOBODY_LEFT;
    }
    entry->state = GB_ENTRY_FAILED;
    entry->status = STATUS_LOST;
    entry->digest = 0;
    *aside = lost;
    for (uint32_t i = 0; i < count; i++) {
        if (replicas[i].cursor + 1 == entry->seq) { /* the pause was about this one */
            replicas[i].tries = replicas[i].wrong = 0;
            replicas[i].retry_at_us = 0;
        }
    }
    return GB_GIVE_UP_DONE;
}

/* ------------------------------------------------------------------ who, how far */

static bool can_answer(const gb_replica_t *replica, uint64_t log_settled,
                       int64_t now_us)
{
    return !replica->aside && replica->can_take && !replica->in_flight &&
           replica->cursor == log_settled && now_us >= replica->retry_at_us;
}

uint32_t gb_replica_answerer(const gb_replica_t *replicas, uint32_t count,
                             uint64_t log_settled, uint32_t before, int64_t now_us)
{
    if (before < count && can_answer(&replicas[before], log_settled, now_us)) {
        return before;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (can_answer(&replicas[i], log_settled, now_us)) {
            return i;
        }
    }
    return GB_NO_INDEX;
}

bool gb_replica_reads(bool reads, const gb_replica_t *replica, uint64_t lag,
                      int64_t age_us)
{
    if (replica->aside) {
        return false;
    }
    if (lag == 0) {
        return true;
    }
    return reads && lag <= GB_REPLICA_LAG_MOST && age_us <= GB_REPLICA_LAG_MOST_US;
}

int64_t gb_replica_catch_up_us(uint64_t lag, double entry_s, double rate)
{
    double left, catch_up_us;

    if (lag == 0) {
        return 0;
    }
    if (!isfinite(entry_s) || entry_s < 0 || !isfinite(rate)) {
        return GB_NEVER_US;
    }
    left = 1 - fmax(rate, 0) * entry_s;
    if (!(left > 0)) {
        return GB_NEVER_US;
    }
    catch_up_us = (double)lag * entry_s / left * 1e6;
    return catch_up_us < 9e18 ? (int64_t)catch_up_us : GB_NEVER_US;
}
