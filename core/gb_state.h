/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_state.h - the life of a machine: (state, event, now) -> (state, actions).
 *
 *   UNKNOWN -> ON -> DRAINING -> STOPPING -> ASLEEP -> WAKING -> ON, FAILED from any.
 *
 * docs/states.md draws the table.  gb_state_apply() alone changes `state` and
 * `entered_at_us` while a machine is watched (a start takes them from the checkpoint);
 * `deadline_at_us` is written by it, and by the two that keep an order back and let it
 * go.  gb_state.c has the table, gb_state_ask.c the questions.
 */
#ifndef GB_STATE_H
#define GB_STATE_H

#include "gb_types.h"
#include "gb_boot.h"

/* What the machine is able to do and what stands in its way; set by the caller. */
#define GB_MF_CAN_WAKE   (1u << 0) /* it has a wake ladder */
#define GB_MF_CAN_SLEEP  (1u << 1) /* it has a sleep ladder */
#define GB_MF_HAS_BMC    (1u << 2) /* something can say whether it is powered */
#define GB_MF_ADMIN_HELD (1u << 3) /* a member of it has D, S or N: no power order */
#define GB_MF_MANAGED    (1u << 4) /* a balancer with GreenBalance on has it */
#define GB_MF_OBSERVED   (1u << 5) /* observe mode: decide and show, order nothing */
/* Remembered by the functions below alone: */
#define GB_MF_WAKE_ASKED (1u << 6)  /* a wake was wanted during STOPPING */
#define GB_MF_ON_ASKED   (1u << 7)  /* SWITCHED_OFF was answered: ordered, or told */
#define GB_MF_FROM_OFF   (1u << 10) /* at wake_at_us it was proved off */
#define GB_MF_ORDER_HELD (1u << 11) /* WAKING: its order on is kept back */

/* The bits that a caller keeps when it resolves the others anew from a configuration.
 * Losing them (as a checkpoint does) costs one repeated order or message, no more. */
#define GB_MF_REMEMBERED                                                               \
    (GB_MF_WAKE_ASKED | GB_MF_ON_ASKED | GB_MF_FROM_OFF | GB_MF_ORDER_HELD)

/* Durations that rule a machine, resolved from the directives of its balancers. */
typedef struct gb_rules_t {
    int64_t drain_timeout_us; /* GreenDrain: DRAINING -> ON */
    int64_t stop_timeout_us;  /* STOPPING -> WAKING */
    int64_t wake_timeout_us;  /* GreenWake: per rung */
    int64_t wake_retry_us;    /* GreenWake: between repeats within a rung */
    int64_t awake_dwell_us;   /* GreenDwell awake= */
    int64_t asleep_dwell_us;  /* GreenDwell asleep= */
    uint32_t cycles_per_day;  /* GreenDwell cycles= */
    uint32_t packets;         /* GreenWake packets= */
} gb_rules_t;

#define GB_CYCLES_KEPT 64 /* instants of the latest sleeps; the most for cycles= */

/* One machine.  Lives in the shared segment; only the keeper writes it, pages read
 * it without a lock (a torn read shows one field a tick early, nothing worse). */
typedef struct gb_machine_t {
    uint32_t state;                   /* gb_state_e */
    uint32_t wish;                    /* gb_wish_e */
    uint32_t flags;                   /* GB_MF_* */
    uint32_t rungs_wake, rungs_sleep; /* lengths of the ladders */
    uint32_t verdict;                 /* gb_verdict_e: the latest */
    uint32_t proof;                   /* gb_proof_e: the latest */
    uint32_t failures_in_row;         /* wakes that failed since it was last ON */
    int64_t entered_at_us;
    int64_t deadline_at_us; /* GB_NEVER_US: none */
    int64_t wake_at_us;     /* WAKING and then ON: when its wake order was given;
                             * 0: none of ours was, or it was called off, or it is
                             * kept back (GB_MF_ORDER_HELD) */
    int64_t retry_at_us;    /* FAILED: when to try again; else GB_NEVER_US */
    uint64_t wakes, sleeps; /* counted when they came true */
    uint64_t failures;      /* wakes that failed */
    uint32_t cycle_next;    /* where the next sleep is noted */
    uint32_t vain_in_row;   /* orders off in vain since one came true */
    int64_t
        cycle_at_us[GB_CYCLES_KEPT]; /* instants of the latest sleep orders; 0: none */
    gb_boot_t boot;
    char last_error[GB_REASON_BYTES]; /* why it is or was FAILED; printable ASCII, no
                                       * secret; emptied when it becomes ON */
} gb_machine_t;

#define GB_FAILED_BACKOFF_FIRST_US (600 * GB_US_PER_S)
#define GB_VAIN_BACKOFF_FIRST_US   (60 * GB_US_PER_S)
#define GB_FAILED_BACKOFF_MOST_US  (6 * 3600 * GB_US_PER_S)

/* Puts a machine into UNKNOWN with nothing learned; `first_guess_us` is `boot=`. */
void gb_state_init(gb_machine_t *machine, int64_t first_guess_us, int64_t now_us);

/* Applies one event.  Changes the machine in place and returns GB_ACT_* bits.  A pair
 * that the table does not list changes nothing and returns GB_ACT_BUG.  No power order
 * comes out for a machine that is ADMIN_HELD or that lacks the ladder; GB_MF_OBSERVED
 * turns orders off as well, and no state that needs one is entered.
 * CANCEL may come together with an order: it ends the ladder that ran, before the order
 * starts the other one.  With LEARN_BOOT wake_at_us is still set: now - wake_at_us.
 * `why` (may be NULL, copied) is kept as last_error when the event leads to FAILED.
 * One event at a time: look at the new state before the next one is sent.
 * Caller: keeper's watchdog thread or a simulator; no lock. */
uint32_t gb_state_apply(gb_machine_t *machine, gb_event_e event,
                        const gb_rules_t *rules, int64_t now_us, const char *why);

/* The order on that came out for a machine that is WAKING now is not given (a pause):
 * until it is let go the machine has no deadline, and it has not been ordered.  Then
 * its time begins, the boot time that is learned and the deadline, and it has to be
 * ordered if release says so; false also when no order was kept back.  Caller as
 * above. */
void gb_state_hold_order(gb_machine_t *machine);
bool gb_state_release_order(gb_machine_t *machine, const gb_rules_t *rules,
                            int64_t now_us);

/* Is the pair (state, event) in the table? */
bool gb_state_listed(gb_state_e state, gb_event_e event);

/* May a new request be sent to it?  ON always; UNKNOWN until a probe fails.  (Panic
 * opens more than this; it is the fleet's.)  Any process, no lock, as the next one. */
bool gb_state_takes_new(const gb_machine_t *machine);

/* May a request of a sticky session be sent to it?  As above, and DRAINING. */
bool gb_state_takes_sticky(const gb_machine_t *machine);

/* May the policy put it to sleep now?  ON, both ladders, managed, not held by the
 * administrator, not KEEP_ON, dwell awake over, cycles of the day not used up.  Says
 * nothing of GB_MF_OBSERVED, so that observing can show what would be decided. */
bool gb_state_may_sleep(const gb_machine_t *machine, const gb_rules_t *rules,
                        int64_t now_us);

/* May the policy wake it now?  ASLEEP with the dwell over, or FAILED with the back-off
 * over; a wake ladder, not held by the administrator, not KEEP_OFF.  Observing as
 * above. */
bool gb_state_may_wake(const gb_machine_t *machine, const gb_rules_t *rules,
                       int64_t now_us);

/* Sleep orders noted within the 24 h before now; at most GB_CYCLES_KEPT are known. */
uint32_t gb_state_cycles_today(const gb_machine_t *machine, int64_t now_us);

#endif /* GB_STATE_H */
