/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_state.c - the life of a machine.
 *
 * The tables below are written from docs/states.md, not from the code.  One word a
 * pair: the state it leads to (u o d s a w f, or '.' for the same), then the actions:
 * + order on, x order off, c cancel, l learn boot, t tell.  "-" is a pair that is not
 * listed.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_state.h"

Suite *gb_state_suite(void);

#define S   GB_US_PER_S
#define NOW (1000000 * S)

#define READY (GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED | GB_MF_HAS_BMC)

static const gb_rules_t rules = {
    .drain_timeout_us = 600 * S,
    .stop_timeout_us = 200 * S,
    .wake_timeout_us = 300 * S,
    .wake_retry_us = 10 * S,
    .awake_dwell_us = 300 * S,
    .asleep_dwell_us = 60 * S,
    .cycles_per_day = 24,
    .packets = 3,
};

static const char letters[GB_ST_COUNT + 1] = "uodsawf";

/* A machine that has been in `state` for longer than every dwell, and came there in the
 * ordinary way. */
static gb_machine_t machine_in(gb_state_e state, uint32_t flags)
{
    gb_machine_t m;

    gb_state_init(&m, 120 * S, NOW - 5000 * S);
    m.state = state;
    m.flags = flags;
    m.rungs_wake = flags & GB_MF_CAN_WAKE ? 2 : 0;
    m.rungs_sleep = flags & GB_MF_CAN_SLEEP ? 1 : 0;
    m.deadline_at_us =
        state == GB_ST_DRAINING || state == GB_ST_STOPPING || state == GB_ST_WAKING
            ? NOW
            : GB_NEVER_US;
    if (state == GB_ST_WAKING) {
        m.wake_at_us = NOW - 100 * S;
        m.flags |= GB_MF_FROM_OFF;
    }
    if (state == GB_ST_FAILED) {
        m.retry_at_us = NOW;
        m.proof = GB_PROOF_OFF;
    }
    return m;
}

static uint32_t apply(gb_machine_t *m, gb_event_e event, int64_t now_us)
{
    return gb_state_apply(m, event, &rules, now_us, NULL);
}

static int64_t deadline_due(const gb_machine_t *m, int64_t at_us)
{
    switch (m->state) {
    case GB_ST_DRAINING:
        return at_us + 600 * S;
    case GB_ST_STOPPING:
        return at_us + 200 * S;
    case GB_ST_WAKING:
        return at_us + (m->rungs_wake ? m->rungs_wake * 300 * S + 30 * S : 300 * S);
    default:
        return GB_NEVER_US;
    }
}

/* --------------------------------------------------------- every pair, as a table */

/* Columns, in the order of gb_event_e: probe passed, failed; proved off, answered,
 * found powered, unpowered; wake, sleep wanted; operator wake, sleep, auto; drained,
 * ladder exhausted, deadline passed, retry due; administrator took, switched off. */
typedef struct variant_t {
    const char *name;
    uint32_t flags;
    const char *rows[GB_ST_COUNT];
} variant_t;

#define UNKNOWN_READY "o f a . . a  . . . . .  - - - -  . ."
#define WAKING_ALL    "ocl . . . . .  . . . . .  - fct fct -  .c ."

static const variant_t variants[] = {
    {"ready",
     READY,
     {
         [GB_ST_UNKNOWN] = UNKNOWN_READY,
         [GB_ST_ON] = ". ft - - - at  . d . d .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - at  o . o . .  sx - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - w+ct w+ct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  w+ . w+ . .  - . - -  . w+",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . a . . a  w+ . w+ . .  - . - w+  . w+",
     }},
    {"held by the administrator",
     READY | GB_MF_ADMIN_HELD,
     {
         [GB_ST_UNKNOWN] = UNKNOWN_READY,
         [GB_ST_ON] = ". ft - - - at  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - at  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - wct wct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  . . . . .  - . - -  . .t",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . a . . a  . . . . .  - . - .  . .",
     }},
    {"observed",
     READY | GB_MF_OBSERVED,
     {
         [GB_ST_UNKNOWN] = UNKNOWN_READY,
         [GB_ST_ON] = ". ft - - - at  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - at  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - wct wct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  . . . . .  - . - -  . .t",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . a . . a  . . . . .  - . - .  . .",
     }},
    {"without ladders",
     GB_MF_MANAGED,
     {
         [GB_ST_UNKNOWN] = "o f f . . f  . . . . .  - - - -  . .",
         [GB_ST_ON] = ". ft - - - ft  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - ft  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - wct wct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  . . . . .  - . - -  . .t",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . . . . .  . . . . .  - . - .  . .",
     }},
    {"with a wake ladder only",
     GB_MF_MANAGED | GB_MF_CAN_WAKE,
     {
         [GB_ST_UNKNOWN] = UNKNOWN_READY,
         [GB_ST_ON] = ". ft - - - at  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - at  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - w+ct w+ct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  w+ . w+ . .  - . - -  . w+",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . a . . a  w+ . w+ . .  - . - w+  . w+",
     }},
    {"with a sleep ladder only",
     GB_MF_MANAGED | GB_MF_CAN_SLEEP,
     {
         [GB_ST_UNKNOWN] = "o f f . . f  . . . . .  - - - -  . .",
         [GB_ST_ON] = ". ft - - - ft  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - ft  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - wct wct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  . . . . .  - . - -  . .t",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . . . . .  . . . . .  - . - .  . .",
     }},
    {"not managed (any more)",
     READY & ~GB_MF_MANAGED,
     {
         [GB_ST_UNKNOWN] = UNKNOWN_READY,
         [GB_ST_ON] = ". ft - - - at  . . . . .  - . - -  . .",
         [GB_ST_DRAINING] = ". ft - - - at  o . o . .  o - o -  o o",
         [GB_ST_STOPPING] = ". . ac . . .  . . . . .  - w+ct w+ct -  .c .",
         [GB_ST_ASLEEP] = ". . . wt wt .  w+ . w+ . .  - . - -  . w+",
         [GB_ST_WAKING] = WAKING_ALL,
         [GB_ST_FAILED] = "o . a . . a  w+ . w+ . .  - . - w+  . w+",
     }},
};

#define VARIANTS ((int)(sizeof(variants) / sizeof(variants[0])))

/* Copies the word of (row, event) to `word`; fails the test when the row is short. */
static void word_of(const char *row, int event, char word[8])
{
    for (int i = 0;; i++) {
        size_t length;

        row += strspn(row, " ");
        length = strcspn(row, " ");
        ck_assert_msg(length > 0 && length < 8, "row is short");
        if (i == event) {
            memcpy(word, row, length);
            word[length] = '\0';
            ck_assert_msg(event != GB_EV_COUNT - 1 || row[length] == '\0',
                          "row is long");
            return;
        }
        row += length;
    }
}

static uint32_t acts_of(const char *word)
{
    static const struct {
        char letter;
        uint32_t act;
    } acts[] = {{'+', GB_ACT_ORDER_ON},
                {'x', GB_ACT_ORDER_OFF},
                {'c', GB_ACT_CANCEL},
                {'l', GB_ACT_LEARN_BOOT},
                {'t', GB_ACT_TELL}};
    uint32_t sum = 0;

    for (const char *p = word + 1; *p; p++) {
        for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
            sum |= acts[i].letter == *p ? acts[i].act : 0;
        }
    }
    return sum;
}

static void check_pair(const variant_t *v, gb_state_e from, gb_event_e event)
{
    gb_machine_t m = machine_in(from, v->flags), before = m;
    gb_state_e to = from;
    uint32_t acts = apply(&m, event, NOW);
    char word[8], what[160];

    word_of(v->rows[from], (int)event, word);
    snprintf(what, sizeof(what), "%s: %s, %s: expected \"%s\", is %s with %#x", v->name,
             gb_state_name(from), gb_event_name(event), word,
             gb_state_name((gb_state_e)m.state), acts);
    ck_assert_msg(gb_state_listed(from, event) == (word[0] != '-'), "%s", what);
    if (word[0] == '-') {
        ck_assert_msg(acts == GB_ACT_BUG && !memcmp(&m, &before, sizeof(m)), "%s",
                      what);
        return;
    }
    if (word[0] != '.') {
        to = (gb_state_e)(strchr(letters, word[0]) - letters);
        ck_assert_msg(to != from, "%s", what);
    }
    ck_assert_msg(m.state == (uint32_t)to && acts == acts_of(word), "%s", what);
    if (to == from) {
        ck_assert_msg(m.entered_at_us == before.entered_at_us &&
                          m.deadline_at_us == before.deadline_at_us,
                      "%s: its instants moved", what);
    }
    else {
        ck_assert_msg(m.entered_at_us == NOW, "%s: entered_at_us", what);
        ck_assert_msg(m.deadline_at_us == deadline_due(&m, NOW), "%s: deadline", what);
    }
}

START_TEST(every_pair_does_what_the_table_says)
{
    for (int s = 0; s < GB_ST_COUNT; s++) {
        for (int e = 0; e < GB_EV_COUNT; e++) {
            check_pair(&variants[_i], (gb_state_e)s, (gb_event_e)e);
        }
    }
}
END_TEST

START_TEST(wishes_follow_the_operator_in_every_state)
{
    for (uint32_t s = 0; s < GB_ST_COUNT; s++) {
        for (int v = 0; v < VARIANTS; v++) {
            gb_machine_t m = machine_in((gb_state_e)s, variants[v].flags);

            apply(&m, GB_EV_OPERATOR_SLEEP, NOW);
            ck_assert_uint_eq(m.wish, GB_WISH_KEEP_OFF);
            apply(&m, GB_EV_OPERATOR_WAKE, NOW);
            ck_assert_uint_eq(m.wish, GB_WISH_KEEP_ON);
            apply(&m, GB_EV_OPERATOR_AUTO, NOW);
            ck_assert_uint_eq(m.wish, GB_WISH_AUTO);
        }
    }
}
END_TEST

START_TEST(numbers_that_are_no_state_or_event_are_refused)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY), before;

    ck_assert_uint_eq(apply(&m, GB_EV_COUNT, NOW), GB_ACT_BUG);
    ck_assert_uint_eq(apply(&m, (gb_event_e)-1, NOW), GB_ACT_BUG);
    m.state = GB_ST_COUNT;
    before = m;
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW), GB_ACT_BUG);
    m.state = UINT32_MAX;
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW), GB_ACT_BUG);
    m.state = before.state;
    ck_assert(!memcmp(&m, &before, sizeof(m)));
    ck_assert(!gb_state_listed(GB_ST_COUNT, GB_EV_PROBE_PASSED));
    ck_assert(!gb_state_listed(GB_ST_ON, GB_EV_COUNT));
    ck_assert(!gb_state_takes_new(&m) && !gb_state_takes_sticky(&m));
}
END_TEST

START_TEST(a_new_machine_is_unknown_and_has_no_instants_due)
{
    gb_machine_t m;

    memset(&m, 0xff, sizeof(m));
    gb_state_init(&m, 120 * S, NOW);
    ck_assert_uint_eq(m.state, GB_ST_UNKNOWN);
    ck_assert_int_eq(m.entered_at_us, NOW);
    ck_assert_int_eq(m.deadline_at_us, GB_NEVER_US);
    ck_assert_int_eq(m.retry_at_us, GB_NEVER_US);
    ck_assert_int_eq(m.wake_at_us, 0);
    ck_assert_uint_eq(m.flags | m.wish | m.failures_in_row, 0);
    ck_assert_uint_eq(gb_state_cycles_today(&m, NOW), 0);
    ck_assert_int_eq(gb_boot_quantile(&m.boot, 950), 120 * S);
    ck_assert_str_eq(m.last_error, "");
}
END_TEST

START_TEST(names_are_those_of_the_pages)
{
    ck_assert_str_eq(gb_state_name(GB_ST_UNKNOWN), "unknown");
    ck_assert_str_eq(gb_state_name(GB_ST_ON), "on");
    ck_assert_str_eq(gb_state_name(GB_ST_DRAINING), "draining");
    ck_assert_str_eq(gb_state_name(GB_ST_STOPPING), "stopping");
    ck_assert_str_eq(gb_state_name(GB_ST_ASLEEP), "asleep");
    ck_assert_str_eq(gb_state_name(GB_ST_WAKING), "waking");
    ck_assert_str_eq(gb_state_name(GB_ST_FAILED), "failed");
    ck_assert_str_eq(gb_wish_name(GB_WISH_AUTO), "auto");
    ck_assert_str_eq(gb_wish_name(GB_WISH_KEEP_ON), "keep_on");
    ck_assert_str_eq(gb_wish_name(GB_WISH_KEEP_OFF), "keep_off");
    for (int e = 0; e < GB_EV_COUNT; e++) {
        ck_assert(gb_event_name((gb_event_e)e) != NULL);
        for (int other = 0; other < e; other++) {
            ck_assert_str_ne(gb_event_name((gb_event_e)e),
                             gb_event_name((gb_event_e)other));
        }
    }
    ck_assert_str_eq(gb_state_name((gb_state_e)-1), "invalid");
    ck_assert_str_eq(gb_wish_name(GB_WISH_COUNT), "invalid");
    ck_assert_str_eq(gb_event_name(GB_EV_COUNT), "invalid");
}
END_TEST

/* ------------------------------------------------------------------ going to sleep */

START_TEST(traffic_goes_to_on_and_unknown_and_sticky_also_to_draining)
{
    for (uint32_t s = 0; s < GB_ST_COUNT; s++) {
        gb_machine_t m = machine_in((gb_state_e)s, READY);
        bool takes = s == GB_ST_ON || s == GB_ST_UNKNOWN;

        ck_assert_int_eq(gb_state_takes_new(&m), takes);
        ck_assert_int_eq(gb_state_takes_sticky(&m), takes || s == GB_ST_DRAINING);
    }
}
END_TEST

START_TEST(may_sleep_needs_everything_at_once)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    const uint32_t needed[] = {GB_MF_CAN_SLEEP, GB_MF_CAN_WAKE, GB_MF_MANAGED};

    ck_assert(gb_state_may_sleep(&m, &rules, NOW));
    for (size_t i = 0; i < 3; i++) {
        m.flags = READY & ~needed[i];
        ck_assert(!gb_state_may_sleep(&m, &rules, NOW));
    }
    m.flags = READY | GB_MF_ADMIN_HELD;
    ck_assert(!gb_state_may_sleep(&m, &rules, NOW));
    m.flags = READY | GB_MF_OBSERVED; /* shows what it would decide */
    ck_assert(gb_state_may_sleep(&m, &rules, NOW));
    m.flags = READY;
    m.wish = GB_WISH_KEEP_ON;
    ck_assert(!gb_state_may_sleep(&m, &rules, NOW));
    m.wish = GB_WISH_KEEP_OFF;
    ck_assert(gb_state_may_sleep(&m, &rules, NOW));
    m.entered_at_us = NOW - 300 * S + 1;
    ck_assert(!gb_state_may_sleep(&m, &rules, NOW));
    m.entered_at_us = NOW - 300 * S;
    ck_assert(gb_state_may_sleep(&m, &rules, NOW));
    for (uint32_t s = 0; s < GB_ST_COUNT; s++) {
        m.state = s;
        ck_assert_int_eq(gb_state_may_sleep(&m, &rules, NOW), s == GB_ST_ON);
    }
}
END_TEST

START_TEST(may_wake_needs_a_ladder_and_its_time)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    ck_assert(gb_state_may_wake(&m, &rules, NOW));
    m.flags = READY & ~GB_MF_CAN_WAKE;
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
    m.flags = READY | GB_MF_ADMIN_HELD;
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
    m.flags = READY;
    m.wish = GB_WISH_KEEP_OFF;
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
    m.wish = GB_WISH_KEEP_ON;
    ck_assert(gb_state_may_wake(&m, &rules, NOW));
    m.entered_at_us = NOW - 60 * S + 1;
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
    m.entered_at_us = NOW - 60 * S;
    ck_assert(gb_state_may_wake(&m, &rules, NOW));
    m = machine_in(GB_ST_FAILED, READY);
    ck_assert(gb_state_may_wake(&m, &rules, NOW));
    m.retry_at_us = NOW + 1;
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
    m = machine_in(GB_ST_ON, READY);
    ck_assert(!gb_state_may_wake(&m, &rules, NOW));
}
END_TEST

START_TEST(dwell_and_cycles_bind_the_policy_and_not_the_operator)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);

    m.entered_at_us = NOW - 1;
    ck_assert_uint_eq(apply(&m, GB_EV_SLEEP_WANTED, NOW), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    for (int i = 0; i < 24; i++) {
        m.cycle_at_us[i] = NOW - 3600 * S;
    }
    apply(&m, GB_EV_OPERATOR_SLEEP, NOW);
    ck_assert_uint_eq(m.state, GB_ST_DRAINING);
    ck_assert_uint_eq(apply(&m, GB_EV_DRAINED, NOW), GB_ACT_ORDER_OFF);
}
END_TEST

START_TEST(orders_off_in_vain_double_the_dwell)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    int64_t now_us = NOW + 1000 * S, waited_us = 0;

    for (int vain = 1; vain <= 12; vain++) {
        apply(&m, GB_EV_OPERATOR_SLEEP, now_us);
        apply(&m, GB_EV_OPERATOR_AUTO, now_us);
        apply(&m, GB_EV_DRAINED, now_us);
        ck_assert_uint_eq(m.state, GB_ST_STOPPING);
        apply(&m, GB_EV_LADDER_EXHAUSTED, now_us);
        apply(&m, GB_EV_PROBE_PASSED, now_us);
        ck_assert_uint_eq(m.state, GB_ST_ON);
        m.cycle_next = 0; /* the day's cycles are another rule */
        memset(m.cycle_at_us, 0, sizeof(m.cycle_at_us));
        for (waited_us = 0; !gb_state_may_sleep(&m, &rules, now_us + waited_us);) {
            waited_us += S;
        }
        now_us += waited_us;
        ck_assert_int_eq(waited_us, vain <= 3    ? rules.awake_dwell_us
                                    : vain >= 10 ? 6 * 3600 * S
                                                 : (60 * S) << (vain - 1));
    }
    apply(&m, GB_EV_SLEEP_WANTED, now_us);
    apply(&m, GB_EV_DRAINED, now_us);
    apply(&m, GB_EV_PROVED_OFF, now_us);
    ck_assert_uint_eq(m.vain_in_row, 0);
}
END_TEST

START_TEST(cycles_count_within_a_rolling_day)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    int64_t now_us = NOW;

    for (uint32_t n = 0; n < 24; n++) {
        ck_assert_uint_eq(gb_state_cycles_today(&m, now_us), n);
        ck_assert(gb_state_may_sleep(&m, &rules, now_us));
        apply(&m, GB_EV_SLEEP_WANTED, now_us);
        apply(&m, GB_EV_DRAINED, now_us);
        apply(&m, GB_EV_PROVED_OFF, now_us);
        apply(&m, GB_EV_WAKE_WANTED, now_us);
        apply(&m, GB_EV_PROBE_PASSED, now_us + 60 * S);
        ck_assert_uint_eq(m.state, GB_ST_ON);
        now_us += 600 * S;
    }
    ck_assert(!gb_state_may_sleep(&m, &rules, now_us));
    apply(&m, GB_EV_SLEEP_WANTED, now_us);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    /* The first of them is forgotten exactly a day after it. */
    ck_assert_uint_eq(gb_state_cycles_today(&m, NOW + 24 * 3600 * S - 1), 24);
    ck_assert_uint_eq(gb_state_cycles_today(&m, NOW + 24 * 3600 * S), 23);
    ck_assert(gb_state_may_sleep(&m, &rules, NOW + 24 * 3600 * S));
    ck_assert_uint_eq(m.sleeps, 24);
    ck_assert_uint_eq(m.wakes, 24);
}
END_TEST

START_TEST(more_cycles_than_are_kept_are_never_allowed)
{
    gb_rules_t many = rules;
    gb_machine_t m = machine_in(GB_ST_ON, READY);

    many.cycles_per_day = 1000;
    for (int i = 0; i < GB_CYCLES_KEPT; i++) {
        m.cycle_at_us[i] = NOW - i * S - 1;
    }
    ck_assert(!gb_state_may_sleep(&m, &many, NOW));
    m.cycle_at_us[5] = 0;
    ck_assert(gb_state_may_sleep(&m, &many, NOW));
    many.cycles_per_day = 0;
    memset(m.cycle_at_us, 0, sizeof(m.cycle_at_us));
    ck_assert(!gb_state_may_sleep(&m, &many, NOW));
}
END_TEST

START_TEST(a_sleep_order_is_noted_also_at_instant_zero)
{
    gb_machine_t m = machine_in(GB_ST_DRAINING, READY);

    m.cycle_next = GB_CYCLES_KEPT + 3; /* as a damaged file might say */
    apply(&m, GB_EV_DRAINED, 0);
    ck_assert_uint_eq(gb_state_cycles_today(&m, 0), 1);
    ck_assert_uint_lt(m.cycle_next, GB_CYCLES_KEPT);
    apply(&m, GB_EV_PROVED_OFF, 0);
    apply(&m, GB_EV_WAKE_WANTED, 0);
    ck_assert_int_ne(m.wake_at_us, 0);
}
END_TEST

START_TEST(a_drain_that_takes_too_long_goes_back_and_dwells_again)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    int64_t now_us = NOW + 600 * S;

    apply(&m, GB_EV_SLEEP_WANTED, NOW);
    ck_assert_int_eq(m.deadline_at_us, now_us);
    ck_assert_uint_eq(apply(&m, GB_EV_DEADLINE_PASSED, now_us), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    ck_assert(!gb_state_may_sleep(&m, &rules, now_us));
    ck_assert(gb_state_may_sleep(&m, &rules, now_us + 300 * S));
    ck_assert_uint_eq(gb_state_cycles_today(&m, now_us), 0);
}
END_TEST

START_TEST(keep_on_given_by_other_means_stops_a_drain)
{
    gb_machine_t m = machine_in(GB_ST_DRAINING, READY);

    m.wish = GB_WISH_KEEP_ON;
    ck_assert_uint_eq(apply(&m, GB_EV_DRAINED, NOW), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_ON);
}
END_TEST

START_TEST(a_wake_wanted_while_stopping_waits_for_proof)
{
    const gb_event_e wants[] = {GB_EV_WAKE_WANTED, GB_EV_OPERATOR_WAKE};

    for (size_t i = 0; i < 2; i++) {
        gb_machine_t m = machine_in(GB_ST_STOPPING, READY);

        ck_assert_uint_eq(apply(&m, wants[i], NOW), GB_ACT_NONE);
        ck_assert_uint_eq(m.state, GB_ST_STOPPING);
        ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW), GB_ACT_NONE);
        ck_assert_uint_eq(m.state, GB_ST_STOPPING);
        ck_assert_uint_eq(apply(&m, GB_EV_PROVED_OFF, NOW + S),
                          GB_ACT_CANCEL | GB_ACT_ORDER_ON);
        ck_assert_uint_eq(m.state, GB_ST_WAKING);
        ck_assert_uint_eq(m.sleeps, 1);
        ck_assert_int_eq(m.wake_at_us, NOW + S);
        ck_assert_uint_eq(m.flags & GB_MF_WAKE_ASKED, 0);
        ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + 2 * S),
                          GB_ACT_CANCEL | GB_ACT_LEARN_BOOT);
    }
}
END_TEST

START_TEST(a_wake_asked_for_is_dropped_when_no_order_may_come)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY);

    apply(&m, GB_EV_WAKE_WANTED, NOW);
    m.flags |= GB_MF_ADMIN_HELD;
    ck_assert_uint_eq(apply(&m, GB_EV_PROVED_OFF, NOW), GB_ACT_CANCEL);
    ck_assert_uint_eq(m.state, GB_ST_ASLEEP);
    ck_assert_uint_eq(m.flags & GB_MF_WAKE_ASKED, 0);
}
END_TEST

START_TEST(the_operator_s_sleep_takes_back_a_wake_asked_for)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY);

    apply(&m, GB_EV_WAKE_WANTED, NOW);
    apply(&m, GB_EV_OPERATOR_SLEEP, NOW);
    apply(&m, GB_EV_WAKE_WANTED, NOW);
    ck_assert_uint_eq(apply(&m, GB_EV_PROVED_OFF, NOW), GB_ACT_CANCEL);
    ck_assert_uint_eq(m.state, GB_ST_ASLEEP);
}
END_TEST

START_TEST(a_stop_in_vain_gets_no_traffic_until_probes_pass_and_teaches_no_boot_time)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY);

    apply(&m, GB_EV_DEADLINE_PASSED, NOW);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
    ck_assert(!gb_state_takes_sticky(&m));
    ck_assert_uint_eq(m.sleeps, 0);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S), GB_ACT_CANCEL);
    ck_assert_uint_eq(m.state, GB_ST_ON);
}
END_TEST

START_TEST(a_stop_in_vain_without_an_order_is_no_wake_of_ours)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY | GB_MF_ADMIN_HELD);

    apply(&m, GB_EV_DEADLINE_PASSED, NOW);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
    ck_assert_int_eq(m.wake_at_us, 0);
    apply(&m, GB_EV_DEADLINE_PASSED, NOW + 630 * S);
    ck_assert_uint_eq(m.failures, 0);
}
END_TEST

/* ------------------------------------------------------------------------- waking */

START_TEST(a_wake_that_comes_true_is_learned_and_counted)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    ck_assert_uint_eq(apply(&m, GB_EV_WAKE_WANTED, NOW), GB_ACT_ORDER_ON);
    ck_assert_int_eq(m.deadline_at_us, NOW + 630 * S);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + 90 * S),
                      GB_ACT_CANCEL | GB_ACT_LEARN_BOOT);
    ck_assert_int_eq(m.wake_at_us, NOW); /* the caller subtracts it */
    ck_assert_uint_eq(m.wakes, 1);
    apply(&m, GB_EV_OPERATOR_SLEEP, NOW + 100 * S);
    ck_assert_int_eq(m.wake_at_us, 0);
}
END_TEST

START_TEST(a_machine_that_came_by_itself_teaches_no_boot_time)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    ck_assert_uint_eq(apply(&m, GB_EV_ANSWERED, NOW), GB_ACT_TELL);
    ck_assert_int_eq(m.wake_at_us, 0);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S), GB_ACT_CANCEL);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    ck_assert_uint_eq(m.wakes, 1);
}
END_TEST

START_TEST(an_adopted_machine_that_never_gets_well_has_not_failed_a_wake)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    apply(&m, GB_EV_ANSWERED, NOW);
    apply(&m, GB_EV_DEADLINE_PASSED, NOW + 630 * S);
    ck_assert_uint_eq(m.state, GB_ST_FAILED);
    ck_assert_uint_eq(m.failures, 0);
    ck_assert_uint_eq(m.failures_in_row, 0);
    ck_assert_uint_eq(apply(&m, GB_EV_PROVED_OFF, NOW + 700 * S), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_ASLEEP);
}
END_TEST

START_TEST(what_the_administrator_took_has_not_failed_a_wake)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    apply(&m, GB_EV_WAKE_WANTED, NOW);
    m.flags |= GB_MF_ADMIN_HELD;
    ck_assert_uint_eq(apply(&m, GB_EV_ADMIN_TOOK, NOW + S), GB_ACT_CANCEL);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
    apply(&m, GB_EV_DEADLINE_PASSED, NOW + 630 * S);
    ck_assert_uint_eq(m.state, GB_ST_FAILED);
    ck_assert_uint_eq(m.failures, 0);
}
END_TEST

START_TEST(the_other_ladder_s_end_does_not_fail_a_wake_that_has_just_begun)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY);

    apply(&m, GB_EV_WAKE_WANTED, NOW - S);
    apply(&m, GB_EV_PROVED_OFF, NOW);
    ck_assert_uint_eq(apply(&m, GB_EV_LADDER_EXHAUSTED, NOW), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
    apply(&m, GB_EV_LADDER_EXHAUSTED, NOW + 1);
    ck_assert_uint_eq(m.state, GB_ST_FAILED);
}
END_TEST

START_TEST(a_wake_without_rungs_has_a_deadline_as_well)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, GB_MF_MANAGED);

    apply(&m, GB_EV_ANSWERED, NOW);
    ck_assert_int_eq(m.deadline_at_us, NOW + 300 * S);
}
END_TEST

START_TEST(deadlines_do_not_overflow)
{
    gb_rules_t endless = rules;
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    endless.wake_timeout_us = INT64_MAX / 2;
    m.rungs_wake = UINT32_MAX;
    gb_state_apply(&m, GB_EV_WAKE_WANTED, &endless, NOW, NULL);
    ck_assert_int_eq(m.deadline_at_us, GB_NEVER_US);
    endless.asleep_dwell_us = endless.awake_dwell_us = INT64_MAX;
    m = machine_in(GB_ST_ASLEEP, READY);
    ck_assert(!gb_state_may_wake(&m, &endless, NOW));
    m = machine_in(GB_ST_ON, READY);
    ck_assert(!gb_state_may_sleep(&m, &endless, NOW));
}
END_TEST

/* ----------------------------------------------------------------- FAILED and back */

START_TEST(the_back_off_doubles_from_ten_minutes_to_six_hours)
{
    const int64_t minutes[] = {10, 20, 40, 80, 160, 320, 360, 360, 360};
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);
    int64_t now_us = NOW;

    apply(&m, GB_EV_WAKE_WANTED, now_us);
    for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++) {
        now_us += 600 * S;
        ck_assert_uint_eq(apply(&m, GB_EV_LADDER_EXHAUSTED, now_us),
                          GB_ACT_CANCEL | GB_ACT_TELL);
        ck_assert_uint_eq(m.state, GB_ST_FAILED);
        ck_assert_uint_eq(m.failures, i + 1);
        ck_assert_uint_eq(m.failures_in_row, i + 1);
        ck_assert_int_eq(m.retry_at_us, now_us + minutes[i] * 60 * S);
        /* It cannot evade the back-off by being off, as it is bound to be. */
        ck_assert_uint_eq(apply(&m, GB_EV_PROVED_OFF, now_us + S), GB_ACT_NONE);
        ck_assert_uint_eq(m.state, GB_ST_FAILED);
        ck_assert(!gb_state_may_wake(&m, &rules, m.retry_at_us - 1));
        ck_assert(gb_state_may_wake(&m, &rules, m.retry_at_us));
        now_us = m.retry_at_us;
        ck_assert_uint_eq(apply(&m, GB_EV_RETRY_DUE, now_us), GB_ACT_ORDER_ON);
        ck_assert_int_eq(m.retry_at_us, GB_NEVER_US);
    }
    m.failures_in_row = UINT32_MAX;
    apply(&m, GB_EV_DEADLINE_PASSED, now_us);
    ck_assert_uint_eq(m.failures_in_row, UINT32_MAX);
    ck_assert_int_eq(m.retry_at_us, now_us + 360 * 60 * S);
    apply(&m, GB_EV_PROBE_PASSED, now_us);
    ck_assert_uint_eq(m.failures_in_row, 0);
    ck_assert_int_eq(m.retry_at_us, GB_NEVER_US);
}
END_TEST

START_TEST(a_retry_that_cannot_be_comes_again_in_ten_minutes)
{
    gb_machine_t m = machine_in(GB_ST_FAILED, READY | GB_MF_ADMIN_HELD);

    ck_assert_uint_eq(apply(&m, GB_EV_RETRY_DUE, NOW), GB_ACT_NONE);
    ck_assert_int_eq(m.retry_at_us, NOW + 600 * S);
    m = machine_in(GB_ST_FAILED, READY);
    m.wish = GB_WISH_KEEP_OFF;
    ck_assert_uint_eq(apply(&m, GB_EV_RETRY_DUE, NOW), GB_ACT_NONE);
    ck_assert_int_eq(m.retry_at_us, NOW + 600 * S);
    ck_assert_uint_eq(apply(&m, GB_EV_WAKE_WANTED, NOW), GB_ACT_NONE);
}
END_TEST

START_TEST(a_retry_of_a_machine_not_proved_off_teaches_no_boot_time)
{
    gb_machine_t m = machine_in(GB_ST_FAILED, READY);

    m.proof = GB_PROOF_POWERED;
    apply(&m, GB_EV_RETRY_DUE, NOW);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S), GB_ACT_CANCEL);
    m = machine_in(GB_ST_FAILED, READY);
    apply(&m, GB_EV_RETRY_DUE, NOW);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S),
                      GB_ACT_CANCEL | GB_ACT_LEARN_BOOT);
}
END_TEST

START_TEST(the_error_says_why_and_goes_when_it_is_on_again)
{
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    char lengthy[GB_REASON_BYTES * 2];

    gb_state_apply(&m, GB_EV_PROBE_FAILED, &rules, NOW, "HTTP 500");
    ck_assert_str_eq(m.last_error, "HTTP 500");
    gb_state_apply(&m, GB_EV_RETRY_DUE, &rules, NOW, "not kept");
    ck_assert_str_eq(m.last_error, "HTTP 500");
    gb_state_apply(&m, GB_EV_LADDER_EXHAUSTED, &rules, NOW + 1, "a\x1b[2J\xff\n");
    ck_assert_str_eq(m.last_error, "a?[2J??");
    gb_state_apply(&m, GB_EV_OPERATOR_WAKE, &rules, NOW, NULL);
    memset(lengthy, 'x', sizeof(lengthy));
    lengthy[sizeof(lengthy) - 1] = '\0';
    gb_state_apply(&m, GB_EV_DEADLINE_PASSED, &rules, NOW, lengthy);
    ck_assert_uint_eq(strlen(m.last_error), GB_REASON_BYTES - 1);
    gb_state_apply(&m, GB_EV_OPERATOR_WAKE, &rules, NOW, NULL);
    gb_state_apply(&m, GB_EV_DEADLINE_PASSED, &rules, NOW, "");
    ck_assert_str_ne(m.last_error, "");
    gb_state_apply(&m, GB_EV_PROBE_PASSED, &rules, NOW, NULL);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    ck_assert_str_eq(m.last_error, "");
}
END_TEST

/* ------------------------------------------ found as it should not be, switched off */

START_TEST(found_powered_is_welcome_and_never_ordered_off_at_once)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    ck_assert_uint_eq(apply(&m, GB_EV_FOUND_POWERED, NOW), GB_ACT_TELL);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
    ck_assert_int_eq(m.wake_at_us,
                     0); /* nothing is learned of a boot we did not order */
    apply(&m, GB_EV_PROBE_PASSED, NOW + 5 * S);
    ck_assert_uint_eq(m.state, GB_ST_ON);
    apply(&m, GB_EV_SLEEP_WANTED, NOW + 6 * S);
    ck_assert_uint_eq(m.state, GB_ST_ON); /* the dwell comes first */
}
END_TEST

START_TEST(found_powered_without_a_service_fails_and_stays_on)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    apply(&m, GB_EV_FOUND_POWERED, NOW);
    ck_assert_uint_eq(apply(&m, GB_EV_DEADLINE_PASSED, m.deadline_at_us) &
                          (GB_ACT_ORDER_OFF | GB_ACT_ORDER_ON),
                      0);
    ck_assert_uint_eq(m.state, GB_ST_FAILED);
    ck_assert_uint_eq(m.failures, 0); /* no wake of ours has failed */
}
END_TEST

START_TEST(a_policy_s_wake_respects_keep_off)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    m.wish = GB_WISH_KEEP_OFF;
    ck_assert_uint_eq(apply(&m, GB_EV_WAKE_WANTED, NOW), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_ASLEEP);
    ck_assert_uint_eq(apply(&m, GB_EV_OPERATOR_WAKE, NOW), GB_ACT_ORDER_ON);
}
END_TEST

START_TEST(only_a_wake_from_proved_off_teaches_a_boot_time_when_switching_off)
{
    const gb_state_e from[] = {GB_ST_ASLEEP, GB_ST_FAILED};

    for (int i = 0; i < 2; i++) {
        gb_machine_t m = machine_in(from[i], READY);

        apply(&m, GB_EV_SWITCHED_OFF, NOW);
        ck_assert_uint_eq(m.state, GB_ST_WAKING);
        ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S),
                          GB_ACT_CANCEL | GB_ACT_LEARN_BOOT);
    }
}
END_TEST

/* An order off that was given cannot be recalled: probes that still pass would give
 * requests to a machine that is about to be gone. */
START_TEST(switching_off_waits_for_the_proof_of_a_machine_that_stops)
{
    gb_machine_t m = machine_in(GB_ST_STOPPING, READY & ~GB_MF_MANAGED);

    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_NONE);
    ck_assert_uint_eq(apply(&m, GB_EV_PROBE_PASSED, NOW + S), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_STOPPING);
    apply(&m, GB_EV_PROVED_OFF, NOW + 2 * S);
    ck_assert_uint_eq(m.state, GB_ST_ASLEEP);
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW + 3 * S), GB_ACT_ORDER_ON);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
}
END_TEST

START_TEST(switching_off_wakes_against_any_wish_and_only_once_from_failed)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY);

    m.wish = GB_WISH_KEEP_OFF;
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_ORDER_ON);
    m = machine_in(GB_ST_FAILED, READY);
    m.failures_in_row = 4;
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_ORDER_ON);
    apply(&m, GB_EV_LADDER_EXHAUSTED, NOW + S);
    m.proof = GB_PROOF_OFF;
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW + 2 * S), GB_ACT_NONE);
    ck_assert_uint_eq(m.state, GB_ST_FAILED);
    m = machine_in(GB_ST_FAILED, READY);
    m.proof = GB_PROOF_ANSWERS;
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_NONE);
}
END_TEST

START_TEST(what_cannot_be_woken_when_switching_off_is_told_once)
{
    gb_machine_t m = machine_in(GB_ST_ASLEEP, READY | GB_MF_ADMIN_HELD);

    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_TELL);
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_NONE);
    m.flags &= ~GB_MF_ADMIN_HELD;
    ck_assert_uint_eq(apply(&m, GB_EV_SWITCHED_OFF, NOW), GB_ACT_ORDER_ON);
}
END_TEST

/* ------------------------------------------------------------------- random walks */

static uint64_t seed_of_run(void)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

    printf("test_gb_state: GB_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed | 1;
}

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What holds after every event, whatever came before. */
static void check_step(const gb_machine_t *before, const gb_machine_t *m, uint32_t acts,
                       int64_t now_us)
{
    bool moved = before->state != m->state;

    if (acts & (GB_ACT_ORDER_ON | GB_ACT_ORDER_OFF)) {
        ck_assert(!(m->flags & (GB_MF_ADMIN_HELD | GB_MF_OBSERVED)));
        ck_assert(m->flags & GB_MF_CAN_WAKE);
        ck_assert(moved);
    }
    if (acts & GB_ACT_ORDER_ON) {
        ck_assert_uint_eq(m->state, GB_ST_WAKING);
        ck_assert_int_ne(m->wake_at_us, 0);
        ck_assert(!(acts & GB_ACT_ORDER_OFF));
    }
    ck_assert_int_eq((acts & GB_ACT_ORDER_OFF) != 0,
                     moved && m->state == GB_ST_STOPPING);
    if (acts & GB_ACT_ORDER_OFF) {
        ck_assert(m->flags & GB_MF_CAN_SLEEP);
        ck_assert_uint_ge(gb_state_cycles_today(m, now_us), 1);
    }
    if (acts & GB_ACT_LEARN_BOOT) {
        ck_assert(m->state == GB_ST_ON && m->wake_at_us > 0 && m->wake_at_us <= now_us);
    }
    if (moved) {
        ck_assert_int_eq(m->entered_at_us, now_us);
        ck_assert_int_eq(m->deadline_at_us, deadline_due(m, now_us));
    }
    if (m->state == GB_ST_FAILED) {
        ck_assert_str_ne(m->last_error, "");
        ck_assert_int_ne(m->retry_at_us, GB_NEVER_US);
    }
    if (m->state == GB_ST_ON) {
        ck_assert_str_eq(m->last_error, "");
        ck_assert_uint_eq(m->failures_in_row, 0);
    }
    if (acts & GB_ACT_BUG) {
        ck_assert(!memcmp(before, m, sizeof(*m)));
    }
}

START_TEST(no_walk_breaks_the_invariants)
{
    uint64_t random = seed_of_run();
    gb_machine_t m = machine_in(GB_ST_UNKNOWN, READY);
    int64_t now_us = NOW;

    for (int i = 0; i < 100000; i++) {
        uint64_t roll = dice(&random);
        gb_event_e event = (gb_event_e)((roll >> 8) % GB_EV_COUNT);
        gb_machine_t before;
        uint32_t acts;

        if (roll % 7 == 0) {
            const uint32_t flips[] = {GB_MF_CAN_WAKE, GB_MF_CAN_SLEEP, GB_MF_ADMIN_HELD,
                                      GB_MF_MANAGED, GB_MF_OBSERVED};

            m.flags ^= flips[(roll >> 16) % 5];
            m.rungs_wake = m.flags & GB_MF_CAN_WAKE ? 2 : 0;
        }
        m.proof = (uint32_t)((roll >> 24) % 4);
        now_us += (int64_t)((roll >> 32) % 2000) * S;
        before = m;
        acts = apply(&m, event, now_us);
        check_step(&before, &m, acts, now_us);
    }
}
END_TEST

/* However often it is found powered, answers, or is wanted asleep: the policy's orders
 * off in any 24 hours stay within the cycles. */
START_TEST(orders_off_within_a_day_stay_within_the_cycles)
{
    uint64_t random = seed_of_run();
    gb_machine_t m = machine_in(GB_ST_ON, READY);
    int64_t given_at_us[GB_CYCLES_KEPT] = {0}, now_us = NOW;
    uint64_t given = 0;

    for (int i = 0; i < 200000; i++) {
        uint64_t roll = dice(&random);
        gb_event_e event = (gb_event_e)((roll >> 8) % GB_EV_COUNT);

        now_us += (int64_t)((roll >> 32) % 300) * S;
        if (event == GB_EV_OPERATOR_SLEEP) {
            continue; /* the one who may override them */
        }
        if (apply(&m, event, now_us) & GB_ACT_ORDER_OFF) {
            int64_t *slot = &given_at_us[given++ % 24];

            ck_assert(*slot == 0 || now_us - *slot >= 24 * 3600 * S);
            *slot = now_us;
            if (roll & 3) { /* else every second one would be in vain */
                apply(&m, GB_EV_PROVED_OFF, now_us);
            }
        }
    }
    ck_assert_uint_gt(given, 100);
}
END_TEST

Suite *gb_state_suite(void)
{
    Suite *suite = suite_create("gb_state");
    TCase *tc = tcase_create("table");

    tcase_add_loop_test(tc, every_pair_does_what_the_table_says, 0, VARIANTS);
    tcase_add_test(tc, wishes_follow_the_operator_in_every_state);
    tcase_add_test(tc, numbers_that_are_no_state_or_event_are_refused);
    tcase_add_test(tc, a_new_machine_is_unknown_and_has_no_instants_due);
    tcase_add_test(tc, names_are_those_of_the_pages);
    suite_add_tcase(suite, tc);

    tc = tcase_create("sleep");
    tcase_add_test(tc, traffic_goes_to_on_and_unknown_and_sticky_also_to_draining);
    tcase_add_test(tc, may_sleep_needs_everything_at_once);
    tcase_add_test(tc, may_wake_needs_a_ladder_and_its_time);
    tcase_add_test(tc, dwell_and_cycles_bind_the_policy_and_not_the_operator);
    tcase_add_test(tc, orders_off_in_vain_double_the_dwell);
    tcase_add_test(tc, cycles_count_within_a_rolling_day);
    tcase_add_test(tc, more_cycles_than_are_kept_are_never_allowed);
    tcase_add_test(tc, a_sleep_order_is_noted_also_at_instant_zero);
    tcase_add_test(tc, a_drain_that_takes_too_long_goes_back_and_dwells_again);
    tcase_add_test(tc, keep_on_given_by_other_means_stops_a_drain);
    tcase_add_test(tc, a_wake_wanted_while_stopping_waits_for_proof);
    tcase_add_test(tc, a_wake_asked_for_is_dropped_when_no_order_may_come);
    tcase_add_test(tc, the_operator_s_sleep_takes_back_a_wake_asked_for);
    tcase_add_test(
        tc, a_stop_in_vain_gets_no_traffic_until_probes_pass_and_teaches_no_boot_time);
    tcase_add_test(tc, a_stop_in_vain_without_an_order_is_no_wake_of_ours);
    suite_add_tcase(suite, tc);

    tc = tcase_create("wake");
    tcase_add_test(tc, a_wake_that_comes_true_is_learned_and_counted);
    tcase_add_test(tc, a_machine_that_came_by_itself_teaches_no_boot_time);
    tcase_add_test(tc, an_adopted_machine_that_never_gets_well_has_not_failed_a_wake);
    tcase_add_test(tc, what_the_administrator_took_has_not_failed_a_wake);
    tcase_add_test(tc, the_other_ladder_s_end_does_not_fail_a_wake_that_has_just_begun);
    tcase_add_test(tc, a_wake_without_rungs_has_a_deadline_as_well);
    tcase_add_test(tc, deadlines_do_not_overflow);
    suite_add_tcase(suite, tc);

    tc = tcase_create("failed");
    tcase_add_test(tc, the_back_off_doubles_from_ten_minutes_to_six_hours);
    tcase_add_test(tc, a_retry_that_cannot_be_comes_again_in_ten_minutes);
    tcase_add_test(tc, a_retry_of_a_machine_not_proved_off_teaches_no_boot_time);
    tcase_add_test(tc, the_error_says_why_and_goes_when_it_is_on_again);
    suite_add_tcase(suite, tc);

    tc = tcase_create("put right");
    tcase_add_test(tc, found_powered_is_welcome_and_never_ordered_off_at_once);
    tcase_add_test(tc, found_powered_without_a_service_fails_and_stays_on);
    tcase_add_test(tc, a_policy_s_wake_respects_keep_off);
    tcase_add_test(tc,
                   only_a_wake_from_proved_off_teaches_a_boot_time_when_switching_off);
    tcase_add_test(tc, switching_off_waits_for_the_proof_of_a_machine_that_stops);
    tcase_add_test(tc, switching_off_wakes_against_any_wish_and_only_once_from_failed);
    tcase_add_test(tc, what_cannot_be_woken_when_switching_off_is_told_once);
    suite_add_tcase(suite, tc);

    tc = tcase_create("walks");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, no_walk_breaks_the_invariants);
    tcase_add_test(tc, orders_off_within_a_day_stay_within_the_cycles);
    suite_add_tcase(suite, tc);
    return suite;
}
