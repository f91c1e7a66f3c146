/* SPDX-License-Identifier: Apache-2.0
 *
 * load_private.h - what the files that count, choose and let wait share: whose a row
 * is, and where a member stands.
 */
#ifndef MGB_LOAD_PRIVATE_H
#define MGB_LOAD_PRIVATE_H

#include "mod_greenbalance.h"

#include <errno.h>
#include <signal.h>

/* mgb_process_t.pid beside real ones and 0, a free row: the row is being emptied; it is
 * the last row, of all processes that found none free. */
#define MGB_PID_GIVING_BACK UINT32_MAX
#define MGB_PID_SEVERAL     (UINT32_MAX - 1)

/* The table and the position of a member, false when it has none now.  A removed
 * member's position may have become another one's: the order tells. */
static inline bool mgb_load_position(mgb_shared_t *sh, uint32_t slot,
                                     gb_pick_table_t **table, uint32_t *position)
{
    const mgb_member_t *member = &sh->members[slot];
    uint32_t at = __atomic_load_n(&member->position, __ATOMIC_ACQUIRE);

    *table = MGB_TABLE(sh, member->balancer);
    *position = at;
    return at < (*table)->size &&
           __atomic_load_n(&gb_pick_order(*table)[at], __ATOMIC_RELAXED) == slot;
}

/* Has the process of a row ended?  The keeper may not signal it: that is alive, too. */
static inline bool mgb_load_is_dead(uint32_t pid)
{
    return pid != 0 && pid < MGB_PID_SEVERAL && kill((pid_t)pid, 0) != 0 &&
           errno == ESRCH;
}

#endif /* MGB_LOAD_PRIVATE_H */
