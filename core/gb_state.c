/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_state.c - the life of a machine, as a table.
 *
 * The table names for every state the events that may come in it, each with the
 * handler that computes the change; an empty place is a pair that is not listed.  A
 * handler sets `next` and `acts` of the change, and may note something in the machine's
 * memory (wish, flags, counters); state, entered_at_us and deadline_at_us are committed
 * by gb_state_apply(), at one place.
 *
 * In doubt every rule leans to ON: a drain that is called off costs energy, a server
 * switched off under load costs requests.
 */
#include "gb_state.h"

#include <string.h>

#define WAKE_MARGIN_US (30 * GB_US_PER_S) /* for the last rung's result and probes */

/* A change as it is being computed. */
typedef struct change_t {
    gb_machine_t *m;
    const gb_rules_t *rules;
    int64_t now_us;
    const char *why;
    gb_state_e next;
    uint32_t acts;
} change_t;

typedef void handler_fn(change_t *c);

static bool has(const gb_machine_t *m, uint32_t flags)
{
    return (m->flags & flags) == flags;
}

static bool orders_allowed(const gb_machine_t *m)
{
    return !(m->flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED));
}

static bool can_order_on(const gb_machine_t *m)
{
    return has(m, GB_MF_CAN_WAKE) && orders_allowed(m);
}

/* Never off what could not be woken again. */
static bool can_order_off(const gb_machine_t *m)
{
    return has(m, GB_MF_CAN_SLEEP | GB_MF_CAN_WAKE | GB_MF_MANAGED) &&
           orders_allowed(m) && m->wish != GB_WISH_KEEP_ON;
}

/* 0 stands for "none" in wake_at_us and cycle_at_us, and a simulator starts at 0. */
static int64_t instant_us(int64_t now_us)
{
    return now_us != 0 ? now_us : 1;
}

static void note_error(gb_machine_t *m, const char *why)
{
    size_t i;

    for (i = 0; i + 1 < sizeof(m->last_error) && why[i]; i++) {
        m->last_error[i] = why[i] >= ' ' && why[i] <= '~' ? why[i] : '?';
    }
    m->last_error[i] = '\0';
}

/* ------------------------------------------------------- steps that handlers share */

static void to_failed(change_t *c, const char *reason)
{
    c->next = GB_ST_FAILED;
    note_error(c->m, c->why && c->why[0] ? c->why : reason);
}

/* WAKING by an order of ours, or none where no order may be given: the caller has
 * checked whether that is what it wants. */
static void to_waking(change_t *c, bool from_off)
{
    c->next = GB_ST_WAKING;
    c->m->wake_at_us = 0;
    c->m->flags &= ~GB_MF_FROM_OFF;
    if (can_order_on(c->m)) {
        c->acts |= GB_ACT_ORDER_ON;
        c->m->wake_at_us = instant_us(c->now_us);
        c->m->flags |= from_off ? GB_MF_FROM_OFF : 0;
    }
}

static void to_stopping(change_t *c)
{
    gb_machine_t *m = c->m;

    c->next = GB_ST_STOPPING;
    c->acts |= GB_ACT_ORDER_OFF;
    m->cycle_next %= GB_CYCLES_KEPT; /* it may come from a file */
    m->cycle_at_us[m->cycle_next] = instant_us(c->now_us);
    m->cycle_next = (m->cycle_next + 1) % GB_CYCLES_KEPT;
}

/* It is off, and not by an order of ours that runs.  What can be woken is adopted as
 * ASLEEP; for the rest somebody has to come. */
static void adopt_off(change_t *c)
{
    if (has(c->m, GB_MF_CAN_WAKE)) {
        c->next = GB_ST_ASLEEP;
    }
    else {
        to_failed(c, "it is off and has no wake= ladder");
    }
}

/* ------------------------------------------------------------------- wishes */

static void wish_on(change_t *c)
{
    c->m->wish = GB_WISH_KEEP_ON;
}

static void wish_off(change_t *c)
{
    c->m->wish = GB_WISH_KEEP_OFF;
}

static void wish_auto(change_t *c)
{
    c->m->wish = GB_WISH_AUTO;
}

/* ------------------------------------------------- UNKNOWN, ON and DRAINING */

static void becomes_on(change_t *c)
{
    c->next = GB_ST_ON;
}

static void unknown_probe_failed(change_t *c)
{
    to_failed(c, "health check failed");
}

static void awake_probe_failed(change_t *c)
{
    to_failed(c, "health check failed");
    c->acts |= GB_ACT_TELL;
}

static void awake_found_unpowered(change_t *c)
{
    adopt_off(c);
    c->acts |= GB_ACT_TELL;
}

static void on_sleep_wanted(change_t *c)
{
    if (gb_state_may_sleep(c->m, c->rules, c->now_us) && orders_allowed(c->m)) {
        c->next = GB_ST_DRAINING;
    }
}

/* The operator overrides dwell and cycles; the floor is the fleet's to keep. */
static void on_operator_sleep(change_t *c)
{
    wish_off(c);
    if (can_order_off(c->m)) {
        c->next = GB_ST_DRAINING;
    }
}

static void draining_drained(change_t *c)
{
    /* The configuration or the administrator may have come between. */
    if (can_order_off(c->m)) {
        to_stopping(c);
    }
    else {
        becomes_on(c);
    }
}

static void draining_operator_wake(change_t *c)
{
    wish_on(c);
    becomes_on(c);
}

/* ----------------------------------------------------------------- STOPPING */

static void stopping_proved_off(change_t *c)
{
    c->acts |= GB_ACT_CANCEL;
    c->m->sleeps++;
    c->m->vain_in_row = 0;
    if (has(c->m, GB_MF_WAKE_ASKED) && can_order_on(c->m)) {
        to_waking(c, true);
    }
    else {
        c->next = GB_ST_ASLEEP;
    }
}

static void stopping_wake_wanted(change_t *c)
{
    if (c->m->wish != GB_WISH_KEEP_OFF) {
        c->m->flags |= GB_MF_WAKE_ASKED;
    }
}

static void stopping_operator_wake(change_t *c)
{
    wish_on(c);
    c->m->flags |= GB_MF_WAKE_ASKED;
}

static void stopping_operator_sleep(change_t *c)
{
    wish_off(c);
    c->m->flags &= ~GB_MF_WAKE_ASKED;
}

/* It is neither off nor known to be well: order it on where that is possible, and let
 * probes decide.  What it takes is no boot time, since it may never have been off. */
static void stopping_in_vain(change_t *c)
{
    if (c->m->vain_in_row < UINT32_MAX) {
        c->m->vain_in_row++;
    }
    c->acts |= GB_ACT_CANCEL | GB_ACT_TELL;
    to_waking(c, false);
}

static void cancel_tries(change_t *c)
{
    c->acts |= GB_ACT_CANCEL;
}

/* ------------------------------------------------------------------- ASLEEP */

static void asleep_wake(change_t *c)
{
    if (can_order_on(c->m) && c->m->wish != GB_WISH_KEEP_OFF) {
        to_waking(c, true);
    }
}

static void asleep_operator_wake(change_t *c)
{
    wish_on(c);
    asleep_wake(c);
}

/* It was proved off, and now it answers, or its BMC says on: somebody switched it on,
 * and may be working at it.  It is welcome: probes make it ON, and when it is not
 * needed the policy puts it to sleep again, after the dwell and within the cycles. */
static void asleep_found_on(change_t *c)
{
    c->next = GB_ST_WAKING;
    c->m->wake_at_us = 0;
    c->acts |= GB_ACT_TELL;
}

/* Nobody will ask for it any more: leave it on, whatever the wish was. */
static void asleep_switched_off(change_t *c)
{
    if (can_order_on(c->m)) {
        to_waking(c, true);
    }
    else if (!has(c->m, GB_MF_ON_ASKED)) {
        c->m->flags |= GB_MF_ON_ASKED;
        c->acts |= GB_ACT_TELL;
    }
}

/* ------------------------------------------------------------------- WAKING */

static void waking_probe_passed(change_t *c)
{
    gb_machine_t *m = c->m;

    c->next = GB_ST_ON;
    c->acts |= GB_ACT_CANCEL;
    m->wakes++;
    if (m->wake_at_us && has(m, GB_MF_FROM_OFF)) {
        c->acts |= GB_ACT_LEARN_BOOT;
    }
}

/* Only a wake that we ordered, and went on ordering, has failed; a machine that was
 * adopted, or taken by the administrator, is no reason for a back-off. */
static void waking_failed(change_t *c, const char *reason)
{
    gb_machine_t *m = c->m;

    if (m->wake_at_us) {
        m->failures++;
        if (m->failures_in_row < UINT32_MAX) {
            m->failures_in_row++;
        }
    }
    c->acts |= GB_ACT_CANCEL | GB_ACT_TELL;
    to_failed(c, reason);
}

static void waking_exhausted(change_t *c)
{
    /* In the instant of its coming here it is the other ladder that was used up. */
    if (c->m->entered_at_us >= c->now_us) {
        return;
    }
    waking_failed(c, "every way of its wake= ladder was tried in vain");
}

static void waking_deadline(change_t *c)
{
    waking_failed(c, "not healthy within the time that its wake= ladder has");
}

static int64_t deadline_us(const change_t *c);

static void waking_admin_took(change_t *c)
{
    c->m->wake_at_us = 0;
    c->acts |= GB_ACT_CANCEL;
    if (has(c->m, GB_MF_ORDER_HELD)) { /* nobody will order it now */
        c->m->flags &= ~GB_MF_ORDER_HELD;
        c->m->deadline_at_us = deadline_us(c);
    }
}

/* ------------------------------------------------------------------- FAILED */

/* Adopted, unless wakes failed: such a machine would otherwise evade its back-off by
 * way of ASLEEP. */
static void failed_is_off(change_t *c)
{
    if (has(c->m, GB_MF_CAN_WAKE) && c->m->failures_in_row == 0) {
        c->next = GB_ST_ASLEEP;
    }
}

static void failed_wake(change_t *c)
{
    if (can_order_on(c->m) && c->m->wish != GB_WISH_KEEP_OFF) {
        to_waking(c, c->m->proof == GB_PROOF_OFF);
    }
}

static void failed_operator_wake(change_t *c)
{
    wish_on(c);
    failed_wake(c);
}

static void failed_retry_due(change_t *c)
{
    failed_wake(c);
    if (c->next == GB_ST_FAILED) {
        /* Not now: look again soon, but not at every tick. */
        c->m->retry_at_us = gb_after_us(c->now_us, GB_FAILED_BACKOFF_FIRST_US);
    }
}

static void failed_switched_off(change_t *c)
{
    if (c->m->proof == GB_PROOF_OFF && !has(c->m, GB_MF_ON_ASKED) &&
        can_order_on(c->m)) {
        c->m->flags |= GB_MF_ON_ASKED;
        to_waking(c, true);
    }
}

/* -------------------------------------------------------------------- table */

/* Happens in practice, and changes nothing. */
static void stays(change_t *c)
{
    (void)c;
}

/* Pairs that are not here cannot happen: a deadline in a state without one, DRAINED
 * outside DRAINING, RETRY_DUE outside FAILED, proof about a machine that is ON. */
static handler_fn *const table[GB_ST_COUNT][GB_EV_COUNT] = {
    [GB_ST_UNKNOWN] =
        {
            [GB_EV_PROBE_PASSED] = becomes_on,
            [GB_EV_PROBE_FAILED] = unknown_probe_failed,
            [GB_EV_PROVED_OFF] = adopt_off,
            [GB_EV_ANSWERED] = stays,
            [GB_EV_FOUND_POWERED] = stays,
            [GB_EV_FOUND_UNPOWERED] = adopt_off,
            [GB_EV_WAKE_WANTED] = stays,
            [GB_EV_SLEEP_WANTED] = stays,
            [GB_EV_OPERATOR_WAKE] = wish_on,
            [GB_EV_OPERATOR_SLEEP] = wish_off,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_ADMIN_TOOK] = stays,
            [GB_EV_SWITCHED_OFF] = stays,
        },
    [GB_ST_ON] =
        {
            [GB_EV_PROBE_PASSED] = stays,
            [GB_EV_PROBE_FAILED] = awake_probe_failed,
            [GB_EV_FOUND_UNPOWERED] = awake_found_unpowered,
            [GB_EV_WAKE_WANTED] = stays,
            [GB_EV_SLEEP_WANTED] = on_sleep_wanted,
            [GB_EV_OPERATOR_WAKE] = wish_on,
            [GB_EV_OPERATOR_SLEEP] = on_operator_sleep,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_LADDER_EXHAUSTED] = stays, /* sensed as it became ON */
            [GB_EV_ADMIN_TOOK] = stays,
            [GB_EV_SWITCHED_OFF] = stays,
        },
    [GB_ST_DRAINING] =
        {
            [GB_EV_PROBE_PASSED] = stays,
            [GB_EV_PROBE_FAILED] = awake_probe_failed,
            [GB_EV_FOUND_UNPOWERED] = awake_found_unpowered,
            [GB_EV_WAKE_WANTED] = becomes_on,
            [GB_EV_SLEEP_WANTED] = stays,
            [GB_EV_OPERATOR_WAKE] = draining_operator_wake,
            [GB_EV_OPERATOR_SLEEP] = wish_off,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_DRAINED] = draining_drained,
            [GB_EV_DEADLINE_PASSED] = becomes_on,
            [GB_EV_ADMIN_TOOK] = becomes_on,
            [GB_EV_SWITCHED_OFF] = becomes_on,
        },
    [GB_ST_STOPPING] =
        {
            [GB_EV_PROBE_PASSED] = stays,
            [GB_EV_PROBE_FAILED] = stays,
            [GB_EV_PROVED_OFF] = stopping_proved_off,
            [GB_EV_ANSWERED] = stays,
            [GB_EV_FOUND_POWERED] = stays,
            [GB_EV_FOUND_UNPOWERED] = stays,
            [GB_EV_WAKE_WANTED] = stopping_wake_wanted,
            [GB_EV_SLEEP_WANTED] = stays,
            [GB_EV_OPERATOR_WAKE] = stopping_operator_wake,
            [GB_EV_OPERATOR_SLEEP] = stopping_operator_sleep,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_LADDER_EXHAUSTED] = stopping_in_vain,
            [GB_EV_DEADLINE_PASSED] = stopping_in_vain,
            [GB_EV_ADMIN_TOOK] = cancel_tries,
            [GB_EV_SWITCHED_OFF] =
                stays, /* an order cannot be recalled: off, then on */
        },
    [GB_ST_ASLEEP] =
        {
            [GB_EV_PROBE_PASSED] = stays, /* a late probe; ANSWERED is the proof */
            [GB_EV_PROBE_FAILED] = stays,
            [GB_EV_PROVED_OFF] = stays,
            [GB_EV_ANSWERED] = asleep_found_on,
            [GB_EV_FOUND_POWERED] = asleep_found_on,
            [GB_EV_FOUND_UNPOWERED] = stays,
            [GB_EV_WAKE_WANTED] = asleep_wake,
            [GB_EV_SLEEP_WANTED] = stays,
            [GB_EV_OPERATOR_WAKE] = asleep_operator_wake,
            [GB_EV_OPERATOR_SLEEP] = wish_off,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_LADDER_EXHAUSTED] = stays, /* sensed as it was proved off */
            [GB_EV_ADMIN_TOOK] = stays,
            [GB_EV_SWITCHED_OFF] = asleep_switched_off,
        },
    [GB_ST_WAKING] =
        {
            [GB_EV_PROBE_PASSED] = waking_probe_passed,
            [GB_EV_PROBE_FAILED] = stays,
            [GB_EV_PROVED_OFF] = stays, /* the ladder repeats its order */
            [GB_EV_ANSWERED] = stays,   /* only probes make it ON */
            [GB_EV_FOUND_POWERED] = stays,
            [GB_EV_FOUND_UNPOWERED] = stays,
            [GB_EV_WAKE_WANTED] = stays,
            [GB_EV_SLEEP_WANTED] = stays, /* a wake is never called off */
            [GB_EV_OPERATOR_WAKE] = wish_on,
            [GB_EV_OPERATOR_SLEEP] = wish_off,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_LADDER_EXHAUSTED] = waking_exhausted,
            [GB_EV_DEADLINE_PASSED] = waking_deadline,
            [GB_EV_ADMIN_TOOK] = waking_admin_took,
            [GB_EV_SWITCHED_OFF] = stays,
        },
    [GB_ST_FAILED] =
        {
            [GB_EV_PROBE_PASSED] = becomes_on,
            [GB_EV_PROBE_FAILED] = stays,
            [GB_EV_PROVED_OFF] = failed_is_off,
            [GB_EV_ANSWERED] = stays,
            [GB_EV_FOUND_POWERED] = stays,
            [GB_EV_FOUND_UNPOWERED] = failed_is_off,
            [GB_EV_WAKE_WANTED] = failed_wake,
            [GB_EV_SLEEP_WANTED] = stays,
            [GB_EV_OPERATOR_WAKE] = failed_operator_wake,
            [GB_EV_OPERATOR_SLEEP] = wish_off,
            [GB_EV_OPERATOR_AUTO] = wish_auto,
            [GB_EV_LADDER_EXHAUSTED] = stays, /* sensed as its deadline passed */
            [GB_EV_RETRY_DUE] = failed_retry_due,
            [GB_EV_ADMIN_TOOK] = stays,
            [GB_EV_SWITCHED_OFF] = failed_switched_off,
        },
};

bool gb_state_listed(gb_state_e state, gb_event_e event)
{
    return (uint32_t)state < GB_ST_COUNT && (uint32_t)event < GB_EV_COUNT &&
           table[state][event];
}

/* ------------------------------------------------------------ applying it */

static int64_t deadline_us(const change_t *c)
{
    const gb_rules_t *rules = c->rules;
    uint32_t rungs = c->m->rungs_wake < GB_RUNGS_MAX ? c->m->rungs_wake : GB_RUNGS_MAX;
    int64_t at_us = c->now_us;

    switch (c->next) {
    case GB_ST_DRAINING:
        return gb_after_us(at_us, rules->drain_timeout_us);
    case GB_ST_STOPPING:
        return gb_after_us(at_us, rules->stop_timeout_us);
    case GB_ST_WAKING:
        at_us = gb_after_us(at_us, rules->wake_timeout_us);
        for (uint32_t i = 1; i < rungs; i++) {
            at_us = gb_after_us(at_us, rules->wake_timeout_us);
        }
        return gb_after_us(at_us, rungs > 0 ? WAKE_MARGIN_US : 0);
    default:
        return GB_NEVER_US;
    }
}

/* What a machine remembers only in, or until, certain states. */
static void forget_on_enter(change_t *c)
{
    gb_machine_t *m = c->m;

    m->flags &= ~(GB_MF_WAKE_ASKED | GB_MF_ORDER_HELD);
    m->retry_at_us = GB_NEVER_US;
    if (c->next == GB_ST_ON) {
        m->flags &= ~GB_MF_REMEMBERED;
        m->failures_in_row = 0;
        m->last_error[0] = '\0';
    }
    else if (c->next != GB_ST_WAKING) {
        m->wake_at_us = 0;
    }
    if (c->next == GB_ST_FAILED) {
        m->retry_at_us = gb_after_us(
            c->now_us, gb_doubled_us(GB_FAILED_BACKOFF_FIRST_US,
                                     m->failures_in_row ? m->failures_in_row - 1 : 0,
                                     GB_FAILED_BACKOFF_MOST_US));
    }
}

uint32_t gb_state_apply(gb_machine_t *machine, gb_event_e event,
                        const gb_rules_t *rules, int64_t now_us, const char *why)
{
    change_t c = {.m = machine, .rules = rules, .now_us = now_us, .why = why};

    if (!gb_state_listed((gb_state_e)machine->state, event)) {
        return GB_ACT_BUG;
    }
    c.next = (gb_state_e)machine->state;
    table[machine->state][event](&c);
    if (c.next != (gb_state_e)machine->state) {
        forget_on_enter(&c);
        machine->deadline_at_us = deadline_us(&c);
        machine->entered_at_us = now_us;
        machine->state = c.next;
    }
    return c.acts;
}

void gb_state_hold_order(gb_machine_t *machine)
{
    if (machine->state == GB_ST_WAKING) {
        machine->flags |= GB_MF_ORDER_HELD;
        machine->wake_at_us = 0;
        machine->deadline_at_us = GB_NEVER_US;
    }
}

bool gb_state_release_order(gb_machine_t *machine, const gb_rules_t *rules,
                            int64_t now_us)
{
    const change_t c = {
        .m = machine, .rules = rules, .now_us = now_us, .next = GB_ST_WAKING};

    if (machine->state != GB_ST_WAKING || !has(machine, GB_MF_ORDER_HELD)) {
        return false;
    }
    machine->flags &= ~GB_MF_ORDER_HELD;
    machine->deadline_at_us = deadline_us(&c);
    machine->wake_at_us = can_order_on(machine) ? instant_us(now_us) : 0;
    return machine->wake_at_us != 0;
}

void gb_state_init(gb_machine_t *machine, int64_t first_guess_us, int64_t now_us)
{
    memset(machine, 0, sizeof(*machine));
    machine->state = GB_ST_UNKNOWN;
    machine->entered_at_us = now_us;
    machine->deadline_at_us = GB_NEVER_US;
    machine->retry_at_us = GB_NEVER_US;
    gb_boot_init(&machine->boot, first_guess_us);
}
