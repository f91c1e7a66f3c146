/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_proof.h - from single facts to a proof about a machine that should be off.
 *
 * Two kinds of facts come in: what one of the machine's services said to a probe, and
 * what its BMC said.  Out comes whether it is proved off, whether its service answers,
 * and whether it is powered without serving.  A fact belongs to one stay in one state:
 * the caller resets at each change, so an old proof never counts for a new stay.
 *
 *   service        no BMC    BMC: off  BMC: on   BMC silent or stale
 *   -------        ------    --------  -------   -------------------
 *   good answer    ANSWERS   ANSWERS   ANSWERS   ANSWERS
 *   wrong x fall   POWERED   NONE      POWERED   NONE
 *   silent x fall  OFF       OFF       POWERED   NONE
 *   otherwise      NONE      NONE      NONE      NONE
 */
#ifndef GB_PROOF_H
#define GB_PROOF_H

#include "gb_types.h"

/* What a probe heard of a service. */
typedef enum gb_heard_e {
    GB_HEARD_NOTHING = 0, /* not asked, or the fault was on our side: proves nothing */
    GB_HEARD_SILENT,      /* connection refused, or none within the time-out */
    GB_HEARD_WRONG,       /* somebody is there, but the answer is not as expected */
    GB_HEARD_GOOD         /* answered as expected */
} gb_heard_e;

typedef enum gb_power_e {
    GB_POWER_UNKNOWN = 0, /* the BMC did not say */
    GB_POWER_ON,
    GB_POWER_OFF
} gb_power_e;

/* The facts of one stay.  All zero is "nothing known". */
typedef struct gb_proof_t {
    uint32_t heard;         /* gb_heard_e: the latest that proves something */
    uint32_t silent_in_row; /* services silent, in a row */
    uint32_t wrong_in_row;
    uint32_t power;      /* gb_power_e: the BMC's latest word */
    uint32_t off_in_row; /* "off" said, in a row */
    uint32_t rounds;     /* services asked in all */
    int64_t heard_at_us;
    int64_t alive_at_us; /* when a service last was not silent; 0: never */
    int64_t power_at_us;
} gb_proof_t;

typedef struct gb_proof_rules_t {
    uint32_t fall;    /* silent so often in a row: it does not answer */
    bool has_bmc;     /* somebody can say whether it is powered */
    int64_t fresh_us; /* an older fact proves nothing any more */
} gb_proof_rules_t;

/* Why a machine is asked; a change of it, or of the stay, makes the facts void. */
typedef enum gb_quest_e {
    GB_QUEST_NONE = 0,
    GB_QUEST_STOPPING, /* is it off yet? */
    GB_QUEST_ASLEEP,   /* is it still off? */
    GB_QUEST_FAILED,   /* what has become of it? */
    GB_QUEST_UNKNOWN,  /* does not serve: is it off? */
    GB_QUEST_DOWN      /* should be on and does not serve: has it lost its power? */
} gb_quest_e;

/* How long until the next question of each kind; GB_NEVER_US: none is wanted. */
typedef struct gb_proof_pace_t {
    int64_t service_us;
    int64_t power_us;
} gb_proof_pace_t;

#define GB_PROOF_STOPPING_US (500 * GB_US_PER_MS)
#define GB_PROOF_QUICK_US    (1 * GB_US_PER_S)
/* "off" so often makes a machine that should be on unpowered. */
#define GB_PROOF_OFF_IN_ROW 2

/* Forgets all facts: at each change of state. */
void gb_proof_reset(gb_proof_t *proof);

/* Notes what one round over the machine's services heard, the best of them.
 * GB_HEARD_NOTHING changes nothing. */
void gb_proof_note_service(gb_proof_t *proof, gb_heard_e heard, int64_t now_us);

/* Notes the BMC's word; GB_POWER_UNKNOWN takes back what it said before. */
void gb_proof_note_power(gb_proof_t *proof, gb_power_e power, int64_t now_us);

/* The proof, by the table above. */
gb_proof_e gb_proof_of(const gb_proof_t *proof, const gb_proof_rules_t *rules,
                       int64_t now_us);

/* Has the BMC said "off" twice in a row, and was that not long ago? */
bool gb_proof_unpowered(const gb_proof_t *proof, const gb_proof_rules_t *rules,
                        int64_t now_us);

/* Which question a state poses; `verdict` is the health check's. */
gb_quest_e gb_proof_quest(gb_state_e state, gb_verdict_e verdict);

/* How long after the last one the next question is due (the first ones: at once).
 * `interval_us` is GreenReverseHealth interval=. */
gb_proof_pace_t gb_proof_pace(gb_quest_e quest, const gb_proof_t *proof, uint32_t fall,
                              int64_t interval_us);

/* How long a fact of this quest stays fresh; `answer_us` is the longest that a question
 * can take. */
int64_t gb_proof_fresh_us(gb_quest_e quest, int64_t interval_us, int64_t answer_us);

#endif /* GB_PROOF_H */
