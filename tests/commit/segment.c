/* SPDX-License-Identifier: Apache-2.0
 *
 * segment.c - tells a test where the fields of the shared segment are: lines
 * "NAME OFFSET BYTES", for segmentkit.py, which writes what the journal thread would.
 */
#define MGB_MODULE_FILE
#include "mod_greenbalance.h"

#include <stdio.h>

#define FIELD(name, type, field)                                                       \
    printf("%s.%s %zu %zu\n", name, #field, offsetof(type, field),                     \
           sizeof(((type *)NULL)->field))
#define SIZE(name, type) printf("%s %zu 0\n", name, sizeof(type))

int main(void)
{
    printf("magic %u 0\n", MGB_MAGIC);
    SIZE("header", mgb_header_t);
    SIZE("balancer", mgb_balancer_shared_t);
    SIZE("mind", mgb_mind_t);
    SIZE("machine", mgb_machine_t);
    SIZE("member", mgb_member_t);
    FIELD("header", mgb_header_t, balancers_room);
    FIELD("header", mgb_header_t, members_room);
    FIELD("header", mgb_header_t, members_top);
    FIELD("member", mgb_member_t, name);
    FIELD("balancer", mgb_balancer_shared_t, key);
    FIELD("balancer", mgb_balancer_shared_t, log.live);
    FIELD("balancer", mgb_balancer_shared_t, log.need);
    FIELD("balancer", mgb_balancer_shared_t, log.epoch);
    FIELD("balancer", mgb_balancer_shared_t, log.head);
    FIELD("balancer", mgb_balancer_shared_t, log.settled);
    FIELD("balancer", mgb_balancer_shared_t, log.bytes);
    FIELD("balancer", mgb_balancer_shared_t, log.permille_full);
    FIELD("balancer", mgb_balancer_shared_t, log.accepted);
    FIELD("balancer", mgb_balancer_shared_t, log.rejected);
    FIELD("balancer", mgb_balancer_shared_t, log.failed);
    FIELD("balancer", mgb_balancer_shared_t, log.met);
    FIELD("balancer", mgb_balancer_shared_t, log.late);
    FIELD("balancer", mgb_balancer_shared_t, log.full);
    FIELD("balancer", mgb_balancer_shared_t, log.repeated);
    FIELD("balancer", mgb_balancer_shared_t, log.asides);
    FIELD("balancer", mgb_balancer_shared_t, log.given_up);
    FIELD("balancer", mgb_balancer_shared_t, log.waited);
    FIELD("member", mgb_member_t, replica.is_replica);
    FIELD("member", mgb_member_t, replica.reads);
    FIELD("member", mgb_member_t, replica.aside);
    FIELD("member", mgb_member_t, replica.resyncing);
    FIELD("member", mgb_member_t, replica.wants_awake);
    FIELD("member", mgb_member_t, replica.park);
    FIELD("member", mgb_member_t, replica.parked);
    FIELD("member", mgb_member_t, replica.in_flight);
    FIELD("member", mgb_member_t, replica.cursor);
    FIELD("member", mgb_member_t, replica.lag_entries);
    FIELD("member", mgb_member_t, replica.lag_since_us);
    FIELD("member", mgb_member_t, replica.catch_up_us);
    FIELD("member", mgb_member_t, replica.writes);
    FIELD("member", mgb_member_t, replica.why);
    return 0;
}
