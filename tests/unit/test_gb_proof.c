/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_proof.c - what single facts prove about a machine that should be off.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/gb_proof.h"

Suite *gb_proof_suite(void);

#define S GB_US_PER_S

static const gb_proof_rules_t alone = {.fall = 2, .has_bmc = false, .fresh_us = 90 * S};
static const gb_proof_rules_t with_bmc = {
    .fall = 2, .has_bmc = true, .fresh_us = 90 * S};

static gb_proof_t nothing(void)
{
    gb_proof_t proof;

    gb_proof_reset(&proof);
    return proof;
}

static gb_proof_t silent(int times)
{
    gb_proof_t proof = nothing();

    for (int i = 0; i < times; i++) {
        gb_proof_note_service(&proof, GB_HEARD_SILENT, (i + 1) * S);
    }
    return proof;
}

START_TEST(without_facts_nothing_is_proved)
{
    gb_proof_t proof = nothing();

    ck_assert_int_eq(gb_proof_of(&proof, &alone, S), GB_PROOF_NONE);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, S), GB_PROOF_NONE);
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, S));
}
END_TEST

START_TEST(silence_has_to_last_for_fall_rounds)
{
    gb_proof_t proof = silent(1);

    ck_assert_int_eq(gb_proof_of(&proof, &alone, 3 * S), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 3 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 3 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(a_fall_of_zero_still_needs_one_silence)
{
    gb_proof_rules_t rules = {.fall = 0, .has_bmc = false, .fresh_us = 90 * S};
    gb_proof_t proof = nothing();

    ck_assert_int_eq(gb_proof_of(&proof, &rules, S), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, S);
    ck_assert_int_eq(gb_proof_of(&proof, &rules, S), GB_PROOF_OFF);
}
END_TEST

START_TEST(a_known_bmc_has_to_say_off_too)
{
    gb_proof_t proof = silent(2);

    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 3 * S), GB_PROOF_NONE);
    gb_proof_note_power(&proof, GB_POWER_UNKNOWN, 3 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 3 * S), GB_PROOF_NONE);
    gb_proof_note_power(&proof, GB_POWER_ON, 4 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 4 * S), GB_PROOF_POWERED);
    gb_proof_note_power(&proof, GB_POWER_OFF, 5 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 5 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(bmc_that_falls_silent_takes_its_word_back)
{
    gb_proof_t proof = silent(2);

    gb_proof_note_power(&proof, GB_POWER_OFF, 3 * S);
    gb_proof_note_power(&proof, GB_POWER_UNKNOWN, 4 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 4 * S), GB_PROOF_NONE);
}
END_TEST

START_TEST(bmc_alone_proves_nothing)
{
    gb_proof_t proof = nothing();

    gb_proof_note_power(&proof, GB_POWER_OFF, S);
    gb_proof_note_power(&proof, GB_POWER_OFF, 2 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 2 * S), GB_PROOF_NONE);
}
END_TEST

START_TEST(one_good_answer_outweighs_everything)
{
    gb_proof_t proof = silent(5);

    gb_proof_note_power(&proof, GB_POWER_OFF, 6 * S);
    gb_proof_note_service(&proof, GB_HEARD_GOOD, 7 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 7 * S), GB_PROOF_ANSWERS);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 7 * S), GB_PROOF_ANSWERS);
}
END_TEST

START_TEST(off_from_before_a_sign_of_life_does_not_count)
{
    gb_proof_t proof = nothing();

    gb_proof_note_power(&proof, GB_POWER_OFF, S);
    gb_proof_note_service(&proof, GB_HEARD_GOOD, 2 * S);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 3 * S);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 4 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 4 * S), GB_PROOF_NONE);
    gb_proof_note_power(&proof, GB_POWER_OFF, 5 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 5 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(off_said_while_a_probe_waits_in_vain_counts)
{
    gb_proof_t proof = nothing();

    gb_proof_note_power(&proof, GB_POWER_OFF, S / 10);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, S);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 2 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 2 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(wrong_answers_mean_powered_and_never_off)
{
    gb_proof_t proof = nothing();

    gb_proof_note_service(&proof, GB_HEARD_WRONG, S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, S), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_WRONG, 2 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 2 * S), GB_PROOF_POWERED);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 2 * S), GB_PROOF_NONE);
    gb_proof_note_power(&proof, GB_POWER_OFF, 3 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 3 * S), GB_PROOF_NONE);
    gb_proof_note_power(&proof, GB_POWER_ON, 4 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 4 * S), GB_PROOF_POWERED);
}
END_TEST

START_TEST(wrong_answer_breaks_the_row_of_silence)
{
    gb_proof_t proof = silent(1);

    gb_proof_note_service(&proof, GB_HEARD_WRONG, 2 * S);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 3 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 3 * S), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 4 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 4 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(fault_of_ours_is_no_fact)
{
    gb_proof_t proof = silent(1);

    for (int i = 2; i < 9; i++) {
        gb_proof_note_service(&proof, GB_HEARD_NOTHING, i * S);
    }
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 9 * S), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 9 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 9 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(stale_facts_prove_nothing)
{
    gb_proof_t proof = silent(2);

    gb_proof_note_power(&proof, GB_POWER_OFF, 2 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 92 * S), GB_PROOF_OFF);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 92 * S + 1), GB_PROOF_NONE);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 93 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 93 * S), GB_PROOF_NONE);
    ck_assert_int_eq(gb_proof_of(&proof, &alone, 93 * S), GB_PROOF_OFF);
}
END_TEST

START_TEST(reset_makes_old_proof_void)
{
    gb_proof_t proof = silent(4);

    gb_proof_note_power(&proof, GB_POWER_OFF, 4 * S);
    gb_proof_note_power(&proof, GB_POWER_OFF, 5 * S);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 5 * S), GB_PROOF_OFF);
    gb_proof_reset(&proof);
    ck_assert_int_eq(gb_proof_of(&proof, &with_bmc, 5 * S), GB_PROOF_NONE);
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, 5 * S));
}
END_TEST

START_TEST(unpowered_needs_off_twice_in_a_row)
{
    gb_proof_t proof = nothing();

    gb_proof_note_power(&proof, GB_POWER_OFF, S);
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, S));
    gb_proof_note_power(&proof, GB_POWER_ON, 2 * S);
    gb_proof_note_power(&proof, GB_POWER_OFF, 3 * S);
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, 3 * S));
    gb_proof_note_power(&proof, GB_POWER_UNKNOWN, 4 * S);
    gb_proof_note_power(&proof, GB_POWER_OFF, 5 * S);
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, 5 * S));
    gb_proof_note_power(&proof, GB_POWER_OFF, 6 * S);
    ck_assert(gb_proof_unpowered(&proof, &with_bmc, 6 * S));
    ck_assert(!gb_proof_unpowered(&proof, &alone, 6 * S));
    ck_assert(!gb_proof_unpowered(&proof, &with_bmc, 96 * S + 1));
}
END_TEST

START_TEST(questions_follow_the_state)
{
    static const gb_quest_e good[GB_ST_COUNT] = {
        [GB_ST_STOPPING] = GB_QUEST_STOPPING,
        [GB_ST_ASLEEP] = GB_QUEST_ASLEEP,
        [GB_ST_FAILED] = GB_QUEST_FAILED,
    };
    static const gb_quest_e bad[GB_ST_COUNT] = {
        [GB_ST_UNKNOWN] = GB_QUEST_UNKNOWN,   [GB_ST_ON] = GB_QUEST_DOWN,
        [GB_ST_STOPPING] = GB_QUEST_STOPPING, [GB_ST_ASLEEP] = GB_QUEST_ASLEEP,
        [GB_ST_FAILED] = GB_QUEST_FAILED,
    };

    for (int state = 0; state < GB_ST_COUNT; state++) {
        gb_state_e st = (gb_state_e)state;

        ck_assert_int_eq(gb_proof_quest(st, GB_VERDICT_NONE), good[state]);
        ck_assert_int_eq(gb_proof_quest(st, GB_VERDICT_GOOD), good[state]);
        ck_assert_int_eq(gb_proof_quest(st, GB_VERDICT_BAD), bad[state]);
    }
    ck_assert_int_eq(gb_proof_quest((gb_state_e)99, GB_VERDICT_BAD), GB_QUEST_NONE);
}
END_TEST

START_TEST(stopping_machine_is_asked_twice_a_second)
{
    gb_proof_t proof = nothing();
    gb_proof_pace_t pace = gb_proof_pace(GB_QUEST_STOPPING, &proof, 2, 30 * S);

    ck_assert_int_eq(pace.service_us, S / 2);
    ck_assert_int_eq(pace.power_us, GB_NEVER_US);
    gb_proof_note_service(&proof, GB_HEARD_GOOD, S);
    pace = gb_proof_pace(GB_QUEST_STOPPING, &proof, 2, 30 * S);
    ck_assert_int_eq(pace.power_us, GB_NEVER_US);
    gb_proof_note_service(&proof, GB_HEARD_SILENT, 2 * S);
    pace = gb_proof_pace(GB_QUEST_STOPPING, &proof, 2, 30 * S);
    ck_assert_int_eq(pace.power_us, S / 2);
    gb_proof_note_service(&proof, GB_HEARD_WRONG, 3 * S);
    pace = gb_proof_pace(GB_QUEST_STOPPING, &proof, 2, 30 * S);
    ck_assert_int_eq(pace.power_us, S / 2);
}
END_TEST

START_TEST(first_rounds_are_quick_and_then_at_the_interval)
{
    static const gb_quest_e quests[] = {GB_QUEST_ASLEEP, GB_QUEST_FAILED,
                                        GB_QUEST_UNKNOWN};

    for (size_t i = 0; i < sizeof(quests) / sizeof(quests[0]); i++) {
        gb_proof_t proof = nothing();

        for (int round = 0; round < 5; round++) {
            gb_proof_pace_t pace = gb_proof_pace(quests[i], &proof, 2, 30 * S);

            ck_assert_int_eq(pace.service_us, round < 2 ? S : 30 * S);
            ck_assert_int_eq(pace.power_us, 30 * S);
            pace = gb_proof_pace(quests[i], &proof, 2, S / 4);
            ck_assert_int_eq(pace.service_us, S / 4);
            gb_proof_note_service(&proof, GB_HEARD_SILENT, round * S);
        }
    }
}
END_TEST

START_TEST(machine_that_is_down_only_has_its_bmc_asked)
{
    gb_proof_t proof = nothing();
    gb_proof_pace_t pace = gb_proof_pace(GB_QUEST_DOWN, &proof, 2, 30 * S);

    ck_assert_int_eq(pace.service_us, GB_NEVER_US);
    ck_assert_int_eq(pace.power_us, 30 * S);
    gb_proof_note_power(&proof, GB_POWER_OFF, S);
    ck_assert_int_eq(gb_proof_pace(GB_QUEST_DOWN, &proof, 2, 30 * S).power_us, S);
    gb_proof_note_power(&proof, GB_POWER_OFF, 2 * S);
    ck_assert_int_eq(gb_proof_pace(GB_QUEST_DOWN, &proof, 2, 30 * S).power_us, 30 * S);
    pace = gb_proof_pace(GB_QUEST_NONE, &proof, 2, 30 * S);
    ck_assert_int_eq(pace.service_us, GB_NEVER_US);
    ck_assert_int_eq(pace.power_us, GB_NEVER_US);
}
END_TEST

START_TEST(facts_outlive_two_lost_questions)
{
    ck_assert_int_ge(gb_proof_fresh_us(GB_QUEST_ASLEEP, 30 * S, 20 * S), 110 * S);
    ck_assert_int_ge(gb_proof_fresh_us(GB_QUEST_STOPPING, 30 * S, 20 * S), 21 * S);
    ck_assert_int_lt(gb_proof_fresh_us(GB_QUEST_STOPPING, 30 * S, 20 * S), 30 * S);
}
END_TEST

/* Whatever happens in whatever order: OFF only when the latest `fall` services were
 * silent, and, with a BMC, its latest word is "off"; ANSWERS only after a good answer.
 */
START_TEST(off_is_never_said_too_early)
{
    unsigned seed = (unsigned)time(NULL);

    printf("gb_proof random run: seed %u\n", seed);
    srand(seed);
    for (int run = 0; run < 2000; run++) {
        gb_proof_t proof = nothing();
        int row = 0, last = GB_HEARD_NOTHING, power = GB_POWER_UNKNOWN;

        for (int step = 0; step < 30; step++) {
            gb_proof_e found;

            if (rand() % 2) {
                int heard = rand() % 4;

                gb_proof_note_service(&proof, (gb_heard_e)heard, (step + 1) * S);
                if (heard != GB_HEARD_NOTHING) {
                    row = heard == GB_HEARD_SILENT ? row + 1 : 0;
                    last = heard;
                }
            }
            else {
                power = rand() % 3;
                gb_proof_note_power(&proof, (gb_power_e)power, (step + 1) * S);
            }
            found = gb_proof_of(&proof, &with_bmc, (step + 1) * S);
            if (found == GB_PROOF_OFF) {
                ck_assert_int_ge(row, 2);
                ck_assert_int_eq(power, GB_POWER_OFF);
            }
            ck_assert_int_eq(found == GB_PROOF_ANSWERS, last == GB_HEARD_GOOD);
            found = gb_proof_of(&proof, &alone, (step + 1) * S);
            ck_assert_int_eq(found == GB_PROOF_OFF, row >= 2);
        }
    }
}
END_TEST

Suite *gb_proof_suite(void)
{
    Suite *suite = suite_create("gb_proof");
    TCase *facts = tcase_create("facts");
    TCase *pace = tcase_create("pace");

    tcase_add_test(facts, without_facts_nothing_is_proved);
    tcase_add_test(facts, silence_has_to_last_for_fall_rounds);
    tcase_add_test(facts, a_fall_of_zero_still_needs_one_silence);
    tcase_add_test(facts, a_known_bmc_has_to_say_off_too);
    tcase_add_test(facts, bmc_that_falls_silent_takes_its_word_back);
    tcase_add_test(facts, bmc_alone_proves_nothing);
    tcase_add_test(facts, one_good_answer_outweighs_everything);
    tcase_add_test(facts, off_from_before_a_sign_of_life_does_not_count);
    tcase_add_test(facts, off_said_while_a_probe_waits_in_vain_counts);
    tcase_add_test(facts, wrong_answers_mean_powered_and_never_off);
    tcase_add_test(facts, wrong_answer_breaks_the_row_of_silence);
    tcase_add_test(facts, fault_of_ours_is_no_fact);
    tcase_add_test(facts, stale_facts_prove_nothing);
    tcase_add_test(facts, reset_makes_old_proof_void);
    tcase_add_test(facts, unpowered_needs_off_twice_in_a_row);
    tcase_add_test(facts, off_is_never_said_too_early);
    suite_add_tcase(suite, facts);
    tcase_add_test(pace, questions_follow_the_state);
    tcase_add_test(pace, stopping_machine_is_asked_twice_a_second);
    tcase_add_test(pace, first_rounds_are_quick_and_then_at_the_interval);
    tcase_add_test(pace, machine_that_is_down_only_has_its_bmc_asked);
    tcase_add_test(pace, facts_outlive_two_lost_questions);
    suite_add_tcase(suite, pace);
    return suite;
}
