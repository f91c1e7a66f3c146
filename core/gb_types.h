/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_types.h - the words that every part of the core shares.
 *
 * The core is pure C11 over libc: no clock, no lock, no log, no allocation, no
 * I/O.  Instants come in as `now_us` (monotonic microseconds), decisions go out as
 * values.  Everything that lives in shared memory is made of fixed-width fields.
 */
#ifndef GB_TYPES_H
#define GB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GB_US_PER_MS INT64_C(1000)
#define GB_US_PER_S  INT64_C(1000000)
#define GB_NEVER_US  INT64_MAX /* an instant that does not come */
#define GB_NO_INDEX  UINT32_MAX

#define GB_MEMBERS_MAX  4096 /* room of the two-level bitmap: 64 words of 64 bits */
#define GB_RUNGS_MAX    4    /* ways to switch a machine, in one ladder */
#define GB_NAME_BYTES   384  /* as PROXY_WORKER_EXT_NAME_SIZE */
#define GB_REASON_BYTES 160

#define GB_VERSION "0.1.0" /* of all programs of the project */

/* A zeroed slot is UNKNOWN, never ON. */
typedef enum gb_state_e {
    GB_ST_UNKNOWN = 0,
    GB_ST_ON,
    GB_ST_DRAINING,
    GB_ST_STOPPING,
    GB_ST_ASLEEP,
    GB_ST_WAKING,
    GB_ST_FAILED,
    GB_ST_COUNT
} gb_state_e;

/* What the operator asked for; stands beside the state, never in it. */
typedef enum gb_wish_e {
    GB_WISH_AUTO = 0,
    GB_WISH_KEEP_ON,
    GB_WISH_KEEP_OFF,
    GB_WISH_COUNT
} gb_wish_e;

/* What the health check says of a machine that should be on. */
typedef enum gb_verdict_e {
    GB_VERDICT_NONE = 0, /* nothing known yet */
    GB_VERDICT_GOOD,     /* `rise` good answers in a row */
    GB_VERDICT_BAD       /* `fall` bad answers in a row */
} gb_verdict_e;

/* What the reverse health check says of a machine that should be off. */
typedef enum gb_proof_e {
    GB_PROOF_NONE = 0, /* nothing proved yet, or it contradicts itself */
    GB_PROOF_OFF,      /* does not answer, and the BMC, where known, says off */
    GB_PROOF_ANSWERS,  /* its service answers */
    GB_PROOF_POWERED   /* does not answer, but the BMC says on */
} gb_proof_e;

/* Facts that change a machine's state; each is something that has happened. */
typedef enum gb_event_e {
    GB_EV_PROBE_PASSED = 0, /* the health verdict became GOOD */
    GB_EV_PROBE_FAILED,     /* the health verdict became BAD */
    GB_EV_PROVED_OFF,       /* reverse health check: it is off */
    GB_EV_ANSWERED,         /* should be off, and its service answers */
    GB_EV_FOUND_POWERED,    /* should be off, silent, but the BMC says on */
    GB_EV_FOUND_UNPOWERED,  /* should be on, and the BMC says off */
    GB_EV_WAKE_WANTED,      /* the policy wants its capacity */
    GB_EV_SLEEP_WANTED,     /* the policy can do without it */
    GB_EV_OPERATOR_WAKE,    /* greenctl wake */
    GB_EV_OPERATOR_SLEEP,   /* greenctl sleep */
    GB_EV_OPERATOR_AUTO,    /* greenctl auto */
    GB_EV_DRAINED,          /* nothing in flight any more */
    GB_EV_LADDER_EXHAUSTED, /* every rung of the ladder was tried in vain */
    GB_EV_DEADLINE_PASSED,  /* the state's deadline */
    GB_EV_RETRY_DUE,        /* FAILED: the back-off is over */
    GB_EV_ADMIN_TOOK,       /* the administrator set D, S or N on it */
    GB_EV_SWITCHED_OFF,     /* GreenBalance off, or its keys were removed */
    GB_EV_COUNT
} gb_event_e;

/* What the caller has to do after an event; a set of bits. */
typedef enum gb_action_e {
    GB_ACT_NONE = 0,
    GB_ACT_ORDER_ON = 1u << 0,   /* start the wake ladder */
    GB_ACT_ORDER_OFF = 1u << 1,  /* start the sleep ladder */
    GB_ACT_CANCEL = 1u << 2,     /* no more tries of the ladder that runs */
    GB_ACT_LEARN_BOOT = 1u << 3, /* now - wake_at_us is a boot time */
    GB_ACT_TELL = 1u << 4,       /* something the operator has to know */
    GB_ACT_BUG = 1u << 5,        /* the pair is not in the table: nothing changed */
    /* 1u << 6 is GB_ACT_REFUSED, gb_fleet.h */
    GB_ACT_PANIC = 1u << 7 /* what is to be told is about a balancer */
} gb_action_e;

/* The instant `delay_us` (not negative) after `at_us`; GB_NEVER_US when that is beyond
 * the end of time.  Pure. */
static inline int64_t gb_after_us(int64_t at_us, int64_t delay_us)
{
    return at_us > 0 && delay_us > GB_NEVER_US - at_us ? GB_NEVER_US : at_us + delay_us;
}

/* `first_us` (positive) doubled `times` times, at most `most_us`.  Pure. */
static inline int64_t gb_doubled_us(int64_t first_us, uint32_t times, int64_t most_us)
{
    while (times-- > 0 && first_us < most_us) {
        first_us = first_us > most_us / 2 ? most_us : first_us * 2;
    }
    return first_us < most_us ? first_us : most_us;
}

/* Names as users see them ("draining", "keep_on", "probe passed"); never NULL;
 * "invalid" for a number that is none.  Thread-safe: they return literals. */
const char *gb_state_name(gb_state_e state);
const char *gb_wish_name(gb_wish_e wish);
const char *gb_event_name(gb_event_e event);

#endif /* GB_TYPES_H */
