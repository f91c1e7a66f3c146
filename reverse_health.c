/* SPDX-License-Identifier: Apache-2.0
 *
 * reverse_health.c - proof about machines that should be off, or should be on and may
 * have lost their power.
 *
 * Two questions: does one of its services answer, and what does its BMC (or power
 * driver) say?  core/gb_proof.h has the table that joins the answers and the pace of
 * the questions; here they are put, and what is heard is noted.
 *
 * A round asks all doors of a machine at once; it is silent when every one of them is.
 * A door that could not be asked for a reason on our side makes a round without a sign
 * of life prove nothing.  At most one question to a BMC is in flight for a machine.
 * Facts belong to one stay in one state: with the state's change they are forgotten,
 * and answers to older questions are dropped.
 *
 * Keeper only, in its one thread, no locks.
 */
#include "probe.h"
#include "drivers/driver.h"

/* A probe of a machine that is to be off takes no longer. */
#define STOPPING_MOST_US (1 * GB_US_PER_S)
#define ROUNDS_A_TICK    64u /* a restart finds a thousand asleep: no burst */
#define ASKS_A_TICK      16u
#define UNSAID_IN_ROW    3u /* a BMC that does not say is told of after so many */
#define TELL_EVERY_US    (600 * GB_US_PER_S)

struct inquiry_t;

typedef struct knock_t { /* a door of the machine */
    struct inquiry_t *inquiry;
    uint32_t door; /* index into keeper->doors */
    mgb_target_t *target;
    mgb_probe_t *probe; /* in flight, or NULL */
    struct knock_t *next;
} knock_t;

typedef enum teller_e { /* can anybody say whether it is powered? */
                        TELLER_UNASKED = 0,
                        TELLER_KNOWN,
                        TELLER_NONE
} teller_e;

typedef struct inquiry_t { /* one a machine */
    mgb_keeper_t *keeper;
    uint32_t rig;
    gb_quest_e quest;
    int64_t entered_at_us; /* with quest: the stay that the facts belong to */
    uint32_t stay;         /* counts them */
    gb_proof_t facts;
    gb_proof_e proof; /* the latest told */
    knock_t *knocks;
    uint32_t waiting;    /* doors that have not answered in this round */
    bool unheard;        /* some door could not be asked in this round */
    gb_heard_e best;     /* in this round */
    int64_t round_at_us; /* when the latest began; 0: none in this stay */
    teller_e teller;
    bool asking; /* a question to the BMC is in flight */
    uint32_t asked_stay;
    int64_t asked_at_us; /* when the latest ended; 0: none in this stay */
    uint32_t unsaid;     /* questions without an answer, in a row */
    int64_t unsaid_told_at_us, contradiction_told_at_us;
} inquiry_t;

typedef struct mgb_proofs_t {
    mgb_prober_t *prober;
    inquiry_t **inquiries;
    uint32_t count, room;
    uint32_t doors;  /* of keeper->doors, so many are known */
    uint32_t cursor; /* where the next tick begins */
} mgb_proofs_t;

static const gb_machine_t *machine_of(const inquiry_t *inquiry)
{
    const mgb_keeper_t *keeper = inquiry->keeper;

    return &keeper->shared->machines[keeper->rigs[inquiry->rig].slot].m;
}

static const char *name_of(const inquiry_t *inquiry)
{
    const mgb_keeper_t *keeper = inquiry->keeper;

    return keeper->shared->machines[keeper->rigs[inquiry->rig].slot].name;
}

static const char *state_of(const inquiry_t *inquiry)
{
    return gb_state_name((gb_state_e)machine_of(inquiry)->state);
}

static const mgb_reverse_conf_t *conf_of(const inquiry_t *inquiry)
{
    return &inquiry->keeper->rigs[inquiry->rig].pool->reverse;
}

static gb_quest_e quest_of(const inquiry_t *inquiry)
{
    const gb_machine_t *machine = machine_of(inquiry);

    return gb_proof_quest((gb_state_e)machine->state, (gb_verdict_e)machine->verdict);
}

/* Do the facts still belong to the stay that the machine is in? */
static bool current(const inquiry_t *inquiry)
{
    return quest_of(inquiry) == inquiry->quest &&
           machine_of(inquiry)->entered_at_us == inquiry->entered_at_us;
}

/* ------------------------------------------------------------------ the proof */

static gb_proof_rules_t rules_of(const inquiry_t *inquiry)
{
    const mgb_reverse_conf_t *conf = conf_of(inquiry);
    gb_proof_rules_t rules;

    rules.fall = conf->fall;
    rules.has_bmc = inquiry->teller != TELLER_NONE;
    rules.fresh_us =
        gb_proof_fresh_us(inquiry->quest, conf->interval_us, MGB_DRIVER_MOST_US);
    return rules;
}

static void tell_proof(inquiry_t *inquiry, int64_t now_us)
{
    static const char *const names[] = {
        [GB_PROOF_NONE] = "nothing is proved",
        [GB_PROOF_OFF] = "it is off",
        [GB_PROOF_ANSWERS] = "its service answers",
        [GB_PROOF_POWERED] = "it is powered and does not serve",
    };
    gb_proof_rules_t rules = rules_of(inquiry);
    gb_proof_e proof = gb_proof_of(&inquiry->facts, &rules, now_us);

    if (proof != inquiry->proof) {
        inquiry->proof = proof;
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, inquiry->keeper->server,
                     GBLOGNO(0601) "%s (%s): reverse health check: %s",
                     name_of(inquiry), state_of(inquiry), names[proof]);
    }
    /* Somebody is there although the BMC says off: both cannot be the same machine. */
    if (inquiry->facts.power == GB_POWER_OFF &&
        inquiry->facts.power_at_us <= inquiry->facts.alive_at_us &&
        inquiry->facts.heard == GB_HEARD_GOOD &&
        (!inquiry->contradiction_told_at_us ||
         now_us - inquiry->contradiction_told_at_us >= TELL_EVERY_US)) {
        inquiry->contradiction_told_at_us = now_us;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, inquiry->keeper->server,
                     GBLOGNO(0602) "%s (%s): its service answers, but its BMC or power "
                                   "driver says that it is off; does the key name "
                                   "another machine's?",
                     name_of(inquiry), state_of(inquiry));
    }
}

/* ------------------------------------------------------------------ services */

static void round_note(inquiry_t *inquiry, gb_heard_e heard, int64_t now_us)
{
    gb_proof_note_service(&inquiry->facts, heard, now_us);
    tell_proof(inquiry, now_us);
}

static void round_take(inquiry_t *inquiry, gb_heard_e heard, int64_t now_us)
{
    if (heard == GB_HEARD_NOTHING) {
        inquiry->unheard = true;
    }
    if (heard == GB_HEARD_GOOD && inquiry->best != GB_HEARD_GOOD) {
        round_note(inquiry, GB_HEARD_GOOD, now_us); /* need not wait for the others */
    }
    if (heard > inquiry->best) {
        inquiry->best = heard;
    }
    if (--inquiry->waiting > 0 || inquiry->best == GB_HEARD_GOOD) {
        return;
    }
    if (inquiry->best == GB_HEARD_SILENT && inquiry->unheard) {
        inquiry->best = GB_HEARD_NOTHING;
    }
    round_note(inquiry, inquiry->best, now_us);
}

static void knock_answered(void *baton, const mgb_answer_t *answer)
{
    knock_t *knock = baton;
    inquiry_t *inquiry = knock->inquiry;

    knock->probe = NULL;
    /* After a change of state the rest of the round is cancelled by the next tick. */
    if (current(inquiry)) {
        round_take(inquiry, answer->heard, mgb_now_us());
    }
    else {
        inquiry->waiting--;
    }
}

static void round_start(inquiry_t *inquiry, int64_t now_us)
{
    mgb_keeper_t *keeper = inquiry->keeper;
    uint32_t refused_count = 0;

    inquiry->round_at_us = now_us;
    inquiry->best = GB_HEARD_NOTHING;
    inquiry->unheard = false;
    inquiry->waiting = 0;
    for (knock_t *knock = inquiry->knocks; knock; knock = knock->next) {
        int64_t most_us = keeper->doors[knock->door].balancer->conf->probe.timeout_us;
        mgb_answer_t refused;

        if (inquiry->quest == GB_QUEST_STOPPING && most_us > STOPPING_MOST_US) {
            most_us = STOPPING_MOST_US;
        }
        knock->probe = mgb_probe_start(keeper->proofs->prober, knock->target, most_us,
                                       most_us, knock_answered, knock, &refused);
        inquiry->waiting++;
        refused_count += !knock->probe;
    }
    while (refused_count-- > 0) {
        round_take(inquiry, GB_HEARD_NOTHING, now_us);
    }
}

static void round_cancel(inquiry_t *inquiry)
{
    for (knock_t *knock = inquiry->knocks; knock; knock = knock->next) {
        if (knock->probe) {
            mgb_probe_cancel(knock->probe);
            knock->probe = NULL;
        }
    }
    inquiry->waiting = 0;
}

/* ------------------------------------------------------------------ BMCs */

static void power_note(inquiry_t *inquiry, gb_power_e power, const char *detail,
                       int64_t now_us)
{
    gb_proof_note_power(&inquiry->facts, power, now_us);
    inquiry->unsaid = power == GB_POWER_UNKNOWN ? inquiry->unsaid + 1 : 0;
    if (inquiry->unsaid >= UNSAID_IN_ROW &&
        (!inquiry->unsaid_told_at_us ||
         now_us - inquiry->unsaid_told_at_us >= TELL_EVERY_US)) {
        inquiry->unsaid_told_at_us = now_us;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, inquiry->keeper->server,
                     GBLOGNO(0603) "%s (%s): whether it is powered is not said (asked "
                                   "%u times): %s; until then it is not taken for off",
                     name_of(inquiry), state_of(inquiry), inquiry->unsaid,
                     *detail ? detail : "no answer");
    }
    tell_proof(inquiry, now_us);
}

static void power_said(void *baton, const mgb_done_t *done)
{
    inquiry_t *inquiry = baton;
    int64_t now_us = mgb_now_us();
    gb_power_e power = GB_POWER_UNKNOWN;

    inquiry->asking = false;
    if (inquiry->asked_stay != inquiry->stay || !current(inquiry)) {
        return;
    }
    inquiry->asked_at_us = now_us;
    if (done->result == GB_LADDER_OK) {
        power = done->powered ? GB_POWER_ON : GB_POWER_OFF;
    }
    power_note(inquiry, power, done->detail, now_us);
}

static void power_ask(inquiry_t *inquiry, int64_t now_us)
{
    inquiry->asked_stay = inquiry->stay;
    inquiry->asked_at_us = now_us;
    inquiry->asking = true; /* before: done() may be on its way when ask returns */
    if (mgb_waker_ask(inquiry->keeper, inquiry->rig, power_said, inquiry)) {
        inquiry->teller = TELLER_KNOWN;
        return;
    }
    inquiry->asking = false;
    if (inquiry->teller == TELLER_KNOWN) {
        power_note(inquiry, GB_POWER_UNKNOWN, "the question could not be put", now_us);
        return;
    }
    inquiry->teller = TELLER_NONE;
    tell_proof(inquiry, now_us);
}

/* ------------------------------------------------------------------ all machines */

static void follow(inquiry_t *inquiry)
{
    round_cancel(inquiry);
    gb_proof_reset(&inquiry->facts);
    inquiry->quest = quest_of(inquiry);
    inquiry->entered_at_us = machine_of(inquiry)->entered_at_us;
    inquiry->stay++;
    inquiry->proof = GB_PROOF_NONE;
    inquiry->round_at_us = 0;
    inquiry->asked_at_us = 0;
    inquiry->unsaid = 0;
}

static bool due(int64_t last_at_us, int64_t pace_us, int64_t now_us)
{
    return pace_us != GB_NEVER_US &&
           (last_at_us == 0 || now_us - last_at_us >= pace_us);
}

static void inquire(inquiry_t *inquiry, uint32_t *rounds, uint32_t *asks,
                    int64_t now_us)
{
    const mgb_reverse_conf_t *conf = conf_of(inquiry);
    gb_proof_pace_t pace =
        gb_proof_pace(inquiry->quest, &inquiry->facts, conf->fall, conf->interval_us);

    if (*asks > 0 && !inquiry->asking &&
        due(inquiry->asked_at_us, pace.power_us, now_us)) {
        --*asks;
        power_ask(inquiry, now_us);
    }
    if (*rounds > 0 && !inquiry->waiting && inquiry->knocks &&
        due(inquiry->round_at_us, pace.service_us, now_us)) {
        --*rounds;
        round_start(inquiry, now_us);
    }
}

/* Machines and doors that have come since the last tick; at first all of them. */
static void grow(mgb_keeper_t *keeper)
{
    mgb_proofs_t *proofs = keeper->proofs;

    while (proofs->count < keeper->rig_count && proofs->count < proofs->room) {
        inquiry_t *inquiry = apr_pcalloc(keeper->pool, sizeof(*inquiry));

        inquiry->keeper = keeper;
        inquiry->rig = proofs->count;
        inquiry->entered_at_us = INT64_MIN; /* no stay: the first tick begins one */
        proofs->inquiries[proofs->count++] = inquiry;
    }
    for (; proofs->doors < keeper->door_count; proofs->doors++) {
        const mgb_door_t *door = &keeper->doors[proofs->doors];
        inquiry_t *inquiry;
        knock_t *knock;

        if (door->rig >= proofs->count) {
            continue; /* a member without a machine: nobody powers it */
        }
        inquiry = proofs->inquiries[door->rig];
        knock = apr_pcalloc(keeper->pool, sizeof(*knock));
        knock->inquiry = inquiry;
        knock->door = proofs->doors;
        knock->target =
            mgb_target_make(door->worker, &door->balancer->conf->probe, keeper->pool);
        knock->next = inquiry->knocks;
        inquiry->knocks = knock;
    }
}

apr_status_t mgb_proofs_create(mgb_keeper_t *keeper)
{
    mgb_proofs_t *proofs = apr_pcalloc(keeper->pool, sizeof(*proofs));
    apr_status_t rv =
        mgb_prober_create(&proofs->prober, keeper->loop, keeper->server, keeper->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    proofs->room = keeper->shared->header->machines_room;
    if (proofs->room < keeper->rig_count) {
        proofs->room = keeper->rig_count;
    }
    proofs->inquiries = apr_pcalloc(keeper->pool, proofs->room * sizeof(inquiry_t *));
    keeper->proofs = proofs;
    grow(keeper);
    return APR_SUCCESS;
}

void mgb_proofs_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    mgb_proofs_t *proofs = keeper->proofs;
    uint32_t rounds = ROUNDS_A_TICK, asks = ASKS_A_TICK;

    grow(keeper);
    for (uint32_t i = 0; i < proofs->count; i++) {
        if (!current(proofs->inquiries[i])) {
            follow(proofs->inquiries[i]);
        }
    }
    /* Each tick begins where the last one ran out of its ration. */
    for (uint32_t n = 0; n < proofs->count && (rounds > 0 || asks > 0); n++) {
        if (proofs->cursor >= proofs->count) {
            proofs->cursor = 0;
        }
        inquire(proofs->inquiries[proofs->cursor++], &rounds, &asks, now_us);
    }
}

static const inquiry_t *find(const mgb_keeper_t *keeper, uint32_t rig)
{
    const mgb_proofs_t *proofs = keeper->proofs;

    if (!proofs || rig >= proofs->count || !current(proofs->inquiries[rig])) {
        return NULL;
    }
    return proofs->inquiries[rig];
}

gb_proof_e mgb_proofs_of(const mgb_keeper_t *keeper, uint32_t rig)
{
    const inquiry_t *inquiry = find(keeper, rig);
    gb_proof_rules_t rules;

    if (!inquiry) {
        return GB_PROOF_NONE;
    }
    rules = rules_of(inquiry);
    return gb_proof_of(&inquiry->facts, &rules, mgb_now_us());
}

bool mgb_proofs_unpowered(const mgb_keeper_t *keeper, uint32_t rig)
{
    const inquiry_t *inquiry = find(keeper, rig);
    gb_proof_rules_t rules;

    if (!inquiry || inquiry->quest != GB_QUEST_DOWN) {
        return false;
    }
    rules = rules_of(inquiry);
    return gb_proof_unpowered(&inquiry->facts, &rules, mgb_now_us());
}
