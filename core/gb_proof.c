/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_proof.c - proof about machines that should be off.
 */
#include "gb_proof.h"

#include <string.h>

void gb_proof_reset(gb_proof_t *proof)
{
    memset(proof, 0, sizeof(*proof));
}

void gb_proof_note_service(gb_proof_t *proof, gb_heard_e heard, int64_t now_us)
{
    if (heard == GB_HEARD_NOTHING) {
        return;
    }
    if (heard != GB_HEARD_SILENT) {
        proof->silent_in_row = 0;
    }
    if (heard != GB_HEARD_WRONG) {
        proof->wrong_in_row = 0;
    }
    if (heard == GB_HEARD_SILENT) {
        proof->silent_in_row++;
    }
    else {
        proof->alive_at_us = now_us;
    }
    if (heard == GB_HEARD_WRONG) {
        proof->wrong_in_row++;
    }
    proof->heard = heard;
    proof->heard_at_us = now_us;
    proof->rounds++;
}

void gb_proof_note_power(gb_proof_t *proof, gb_power_e power, int64_t now_us)
{
    proof->off_in_row = power == GB_POWER_OFF ? proof->off_in_row + 1 : 0;
    proof->power = power;
    proof->power_at_us = now_us;
}

static bool fresh(int64_t at_us, const gb_proof_rules_t *rules, int64_t now_us)
{
    return now_us - at_us <= rules->fresh_us;
}

/* The BMC's word, as far as it can be joined with the latest row of answers: "off" from
 * before a service last spoke was not said of the machine as it is now. */
static gb_power_e power_now(const gb_proof_t *proof, const gb_proof_rules_t *rules,
                            int64_t now_us)
{
    if (proof->power == GB_POWER_UNKNOWN || !fresh(proof->power_at_us, rules, now_us)) {
        return GB_POWER_UNKNOWN;
    }
    if (proof->power == GB_POWER_OFF && proof->power_at_us <= proof->alive_at_us) {
        return GB_POWER_UNKNOWN;
    }
    return (gb_power_e)proof->power;
}

gb_proof_e gb_proof_of(const gb_proof_t *proof, const gb_proof_rules_t *rules,
                       int64_t now_us)
{
    uint32_t fall = rules->fall > 0 ? rules->fall : 1;
    gb_power_e power = power_now(proof, rules, now_us);

    if (proof->heard == GB_HEARD_NOTHING || !fresh(proof->heard_at_us, rules, now_us)) {
        return GB_PROOF_NONE;
    }
    if (proof->heard == GB_HEARD_GOOD) {
        return GB_PROOF_ANSWERS;
    }
    if (proof->wrong_in_row >= fall) {
        return !rules->has_bmc || power == GB_POWER_ON ? GB_PROOF_POWERED
                                                       : GB_PROOF_NONE;
    }
    if (proof->silent_in_row < fall) {
        return GB_PROOF_NONE;
    }
    if (!rules->has_bmc || power == GB_POWER_OFF) {
        return GB_PROOF_OFF;
    }
    return power == GB_POWER_ON ? GB_PROOF_POWERED : GB_PROOF_NONE;
}

bool gb_proof_unpowered(const gb_proof_t *proof, const gb_proof_rules_t *rules,
                        int64_t now_us)
{
    return rules->has_bmc && proof->off_in_row >= GB_PROOF_OFF_IN_ROW &&
           fresh(proof->power_at_us, rules, now_us);
}

gb_quest_e gb_proof_quest(gb_state_e state, gb_verdict_e verdict)
{
    switch (state) {
    case GB_ST_STOPPING:
        return GB_QUEST_STOPPING;
    case GB_ST_ASLEEP:
        return GB_QUEST_ASLEEP;
    case GB_ST_FAILED:
        return GB_QUEST_FAILED;
    case GB_ST_UNKNOWN:
        return verdict == GB_VERDICT_BAD ? GB_QUEST_UNKNOWN : GB_QUEST_NONE;
    case GB_ST_ON:
        return verdict == GB_VERDICT_BAD ? GB_QUEST_DOWN : GB_QUEST_NONE;
    default:
        return GB_QUEST_NONE;
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

gb_proof_pace_t gb_proof_pace(gb_quest_e quest, const gb_proof_t *proof, uint32_t fall,
                              int64_t interval_us)
{
    gb_proof_pace_t pace = {GB_NEVER_US, GB_NEVER_US};

    switch (quest) {
    case GB_QUEST_NONE:
        break;
    case GB_QUEST_STOPPING:
        pace.service_us = GB_PROOF_STOPPING_US;
        /* While the service answers well the machine is on: no need to bother its BMC.
         */
        if (proof->heard == GB_HEARD_SILENT || proof->heard == GB_HEARD_WRONG) {
            pace.power_us = GB_PROOF_STOPPING_US;
        }
        break;
    case GB_QUEST_DOWN:
        /* The first "off" is checked quickly, the rest is routine. */
        pace.power_us = proof->off_in_row == 1 ? least(GB_PROOF_QUICK_US, interval_us)
                                               : interval_us;
        break;
    default:
        pace.service_us =
            proof->rounds < fall ? least(GB_PROOF_QUICK_US, interval_us) : interval_us;
        pace.power_us = interval_us;
        break;
    }
    return pace;
}

int64_t gb_proof_fresh_us(gb_quest_e quest, int64_t interval_us, int64_t answer_us)
{
    int64_t pace_us = quest == GB_QUEST_STOPPING ? GB_PROOF_STOPPING_US : interval_us;

    return 3 * pace_us + answer_us;
}
