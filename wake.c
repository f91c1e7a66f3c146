/* SPDX-License-Identifier: Apache-2.0
 *
 * wake.c - runs the power ladders.
 *
 * The ladder of a machine stands in the shared segment, so that a new keeper goes on
 * where its predecessor was killed; core/gb_ladder.c decides what is next.  This file
 * hands orders and questions to the driver of the ladder's rung and reports what comes
 * back, exactly once for each: a result that belongs to a run which was ended meanwhile
 * is recognised by the ladder and changes nothing.  One order is in flight a machine.
 */
#include "keeper.h"

#include "drivers/driver.h"

#define WAKER_TELL_AGAIN_US (600 * GB_US_PER_S) /* the same failure, in the log */

/* What the waker remembers of a machine; all of it may be lost with the keeper. */
typedef struct run_t {
    struct mgb_waker_t *waker;
    uint32_t rig;
    uint32_t told_goal; /* of the last order that was logged as NOTICE, */
    uint32_t told_rung; /* and its rung; repeats are INFO */
    uint32_t repeats;   /* of the failure below that were not logged */
    int64_t told_at_us; /* when it was logged; 0: never */
    char told[GB_REASON_BYTES];
    const mgb_rung_t *rung; /* of the job in flight */
    gb_ladder_goal_e goal;
    bool asking;
    bool cutting; /* the order is a power cut */
} run_t;

struct mgb_waker_t {
    mgb_keeper_t *keeper;
    run_t *runs; /* [rigs_room] */
};

/* ------------------------------------------------------------------ look-ups */

static mgb_machine_t *machine_of(const mgb_keeper_t *keeper, uint32_t rig)
{
    return &keeper->shared->machines[keeper->rigs[rig].slot];
}

static uint32_t rungs_of(const mgb_rig_t *rig, gb_ladder_goal_e goal)
{
    if (!rig->hints || goal == GB_GOAL_NONE) {
        return 0;
    }
    return goal == GB_GOAL_ON ? rig->hints->wake_count : rig->hints->sleep_count;
}

/* The way by which the power is cut: the first of the sleep ladder that can. */
static const mgb_rung_t *cut_rung(const mgb_rig_t *rig)
{
    for (uint32_t i = 0; i < rungs_of(rig, GB_GOAL_OFF); i++) {
        if (mgb_driver_of(rig->hints->sleep[i].way)->can_cut) {
            return &rig->hints->sleep[i];
        }
    }
    return NULL;
}

bool mgb_waker_can_cut(const mgb_rig_t *rig)
{
    return cut_rung(rig) != NULL;
}

/* Behind a sleep ladder's last rung stands the power cut's. */
static const mgb_rung_t *rung_at(const mgb_rig_t *rig, gb_ladder_goal_e goal,
                                 uint32_t index)
{
    if (index >= rungs_of(rig, goal)) {
        return goal == GB_GOAL_OFF ? cut_rung(rig) : NULL;
    }
    return goal == GB_GOAL_ON ? &rig->hints->wake[index] : &rig->hints->sleep[index];
}

static const char *goal_words(gb_ladder_goal_e goal)
{
    return goal == GB_GOAL_ON ? "power on" : "power off";
}

static const char *state_of(const mgb_machine_t *machine)
{
    return gb_state_name((gb_state_e)machine->m.state);
}

/* ------------------------------------------------------------------ telling */

/* Logs an order that was carried out: the first by each rung of a run as NOTICE. */
static void tell_order(mgb_keeper_t *keeper, run_t *run, const mgb_done_t *done)
{
    const mgb_machine_t *machine = machine_of(keeper, run->rig);
    bool repeated = run->told_goal == (uint32_t)run->goal &&
                    run->told_rung == machine->ladder.rung &&
                    machine->ladder.orders > 1;

    run->told_goal = (uint32_t)run->goal;
    run->told_rung = machine->ladder.rung;
    ap_log_error(APLOG_MARK, repeated ? APLOG_INFO : APLOG_NOTICE, 0, keeper->server,
                 GBLOGNO(0701) "%s (%s): %s by %s%s: %s", machine->name,
                 state_of(machine), run->cutting ? "power cut" : goal_words(run->goal),
                 run->rung->name, repeated ? ", once more" : "", done->detail);
}

/* Logs a failure; one that repeats itself word by word every ten minutes only. */
static void tell_failure(mgb_keeper_t *keeper, run_t *run, const mgb_done_t *done)
{
    const mgb_machine_t *machine = machine_of(keeper, run->rig);
    int64_t now_us = mgb_now_us();

    if (run->told_at_us && now_us - run->told_at_us < WAKER_TELL_AGAIN_US &&
        strcmp(run->told, done->detail) == 0) {
        run->repeats++;
        return;
    }
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, keeper->server,
        GBLOGNO(0702) "%s (%s): %s by %s %s: %s%s", machine->name, state_of(machine),
        run->asking ? "reading the power status" : goal_words(run->goal),
        run->rung->name, done->result == GB_LADDER_REFUSED ? "is refused" : "failed",
        done->detail,
        run->repeats
            ? apr_psprintf(keeper->ptick, " (%u like the one before)", run->repeats)
            : "");
    run->repeats = 0;
    run->told_at_us = now_us;
    apr_cpystrn(run->told, done->detail, sizeof run->told);
}

static void tell(mgb_keeper_t *keeper, run_t *run, const mgb_done_t *done)
{
    mgb_rig_t *rig = &keeper->rigs[run->rig];

    if (done->result == GB_LADDER_LOST || done->result == GB_LADDER_REFUSED) {
        apr_snprintf(rig->why, sizeof rig->why, "%s: %.120s", run->rung->name,
                     done->detail);
        tell_failure(keeper, run, done);
    }
    else if (!run->asking) {
        tell_order(keeper, run, done);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, keeper->server,
                     GBLOGNO(0703) "%s (%s): power status by %s: %s",
                     machine_of(keeper, run->rig)->name,
                     state_of(machine_of(keeper, run->rig)), run->rung->name,
                     done->detail);
    }
}

/* ------------------------------------------------------------------ jobs */

static void on_done(void *baton, const mgb_done_t *done)
{
    run_t *run = baton;
    mgb_keeper_t *keeper = run->waker->keeper;
    mgb_machine_t *machine = machine_of(keeper, run->rig);
    mgb_done_t seen = *done;

    if (run->asking && seen.result == GB_LADDER_OK &&
        seen.powered != (run->goal == GB_GOAL_ON)) {
        seen.result = GB_LADDER_NOT_YET;
    }
    if (machine->ladder.stale) {
        ap_log_error(
            APLOG_MARK, APLOG_INFO, 0, keeper->server,
            GBLOGNO(0704) "%s (%s): %s by %s ended when it was wanted no more: "
                          "%s",
            machine->name, state_of(machine), goal_words(run->goal), run->rung->name,
            seen.detail);
    }
    else {
        tell(keeper, run, &seen);
    }
    gb_ladder_done(&machine->ladder, seen.result,
                   keeper->rigs[run->rig].rules.wake_retry_us, mgb_now_us());
}

static mgb_job_t job_make(mgb_keeper_t *keeper, uint32_t rig, const mgb_rung_t *rung,
                          mgb_op_e op, mgb_done_fn *done, void *baton)
{
    mgb_job_t job = {.keeper = keeper,
                     .rung = rung,
                     .hints = keeper->rigs[rig].hints,
                     .member_url = keeper->rigs[rig].hints->member_url,
                     .rules = &keeper->rigs[rig].rules,
                     .op = op,
                     .done = done,
                     .baton = baton};

    return job;
}

/* Gives the ladder's step to the driver of its rung. */
static void carry_out(mgb_keeper_t *keeper, run_t *run, gb_ladder_step_e step)
{
    mgb_machine_t *machine = machine_of(keeper, run->rig);
    mgb_rig_t *rig = &keeper->rigs[run->rig];
    mgb_done_t failed = {.result = GB_LADDER_LOST};
    apr_status_t rv;
    mgb_job_t job;
    mgb_op_e op;

    run->goal = (gb_ladder_goal_e)machine->ladder.goal;
    run->rung = rung_at(rig, run->goal, machine->ladder.rung);
    run->asking = step == GB_LADDER_ASK;
    run->cutting = step == GB_LADDER_CUT;
    op = run->goal == GB_GOAL_ON ? MGB_OP_ON : MGB_OP_OFF;
    job = job_make(keeper, run->rig, run->rung, run->asking ? MGB_OP_STATUS : op,
                   on_done, run);
    job.hard = run->cutting;
    if (run->cutting) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     GBLOGNO(1411) "%s (%s): it was asked to shut down and did not: "
                                   "its power is cut by %s (GreenHardOff)",
                     machine->name, state_of(machine), run->rung->name);
    }
    rv = mgb_driver_of(run->rung->way)->start(&job);
    if (rv != APR_SUCCESS) {
        apr_strerror(rv, failed.detail, sizeof failed.detail);
        on_done(run, &failed);
    }
}

/* ------------------------------------------------------------------ the ladder */

static void exhausted(mgb_keeper_t *keeper, uint32_t rig_index, gb_ladder_goal_e goal)
{
    mgb_machine_t *machine = machine_of(keeper, rig_index);
    mgb_rig_t *rig = &keeper->rigs[rig_index];
    char last[GB_REASON_BYTES];

    apr_cpystrn(last, rig->why, sizeof last);
    rig->exhausted = true;
    apr_snprintf(rig->why, sizeof rig->why, "every way to %s was tried in vain%s%.115s",
                 goal_words(goal), last[0] ? "; " : "", last);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                 GBLOGNO(0705) "%s (%s): %s", machine->name, state_of(machine),
                 rig->why);
}

static void step_one(mgb_keeper_t *keeper, uint32_t rig_index, int64_t now_us)
{
    mgb_rig_t *rig = &keeper->rigs[rig_index];
    mgb_machine_t *machine = machine_of(keeper, rig_index);
    gb_ladder_goal_e goal = (gb_ladder_goal_e)machine->ladder.goal;
    const mgb_rung_t *rung = rung_at(rig, goal, machine->ladder.rung);
    gb_ladder_step_e step;

    if (goal == GB_GOAL_NONE) {
        return;
    }
    step =
        gb_ladder_next(&machine->ladder, rung && mgb_driver_of(rung->way)->can_status,
                       goal == GB_GOAL_OFF && mgb_watchdog_may_cut(keeper, rig_index),
                       rig->rules.wake_timeout_us, now_us);
    if (step == GB_LADDER_EXHAUSTED) {
        exhausted(keeper, rig_index, goal);
    }
    else if (step != GB_LADDER_WAIT) {
        carry_out(keeper, &keeper->waker->runs[rig_index], step);
    }
}

void mgb_waker_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        step_one(keeper, i, now_us);
    }
    mgb_driver_ipmi.flush(keeper);
}

void mgb_waker_start(mgb_keeper_t *keeper, uint32_t rig, gb_ladder_goal_e goal,
                     int64_t now_us)
{
    mgb_machine_t *machine = machine_of(keeper, rig);

    if (machine->ladder.goal != (uint32_t)goal) {
        keeper->rigs[rig].why[0] = '\0';
        keeper->rigs[rig].exhausted = false;
    }
    gb_ladder_start(&machine->ladder, goal, rungs_of(&keeper->rigs[rig], goal),
                    keeper->rigs[rig].rules.wake_timeout_us, now_us);
}

void mgb_waker_stop(mgb_keeper_t *keeper, uint32_t rig)
{
    gb_ladder_stop(&machine_of(keeper, rig)->ladder);
}

/* The goal that a ladder may have in a state. */
static gb_ladder_goal_e goal_in(uint32_t state)
{
    return state == GB_ST_STOPPING ? GB_GOAL_OFF
           : state == GB_ST_WAKING ? GB_GOAL_ON
                                   : GB_GOAL_NONE;
}

/* Takes over what a predecessor left.  Where the configuration gave the machine another
 * ladder meanwhile, the run begins at its first rung; a run that the predecessor had
 * not ended yet when it was killed, having left its state, ends. */
static void resume(mgb_keeper_t *keeper, uint32_t rig, int64_t now_us)
{
    gb_ladder_t *ladder = &machine_of(keeper, rig)->ladder;
    gb_ladder_goal_e goal = (gb_ladder_goal_e)ladder->goal;
    uint32_t rungs = rungs_of(&keeper->rigs[rig], goal);

    gb_ladder_recover(ladder, now_us);
    if (goal != goal_in(machine_of(keeper, rig)->m.state)) {
        gb_ladder_stop(ladder);
        return;
    }
    if (ladder->cut && rungs == ladder->rungs && cut_rung(&keeper->rigs[rig])) {
        return; /* never given again: only asked about */
    }
    if (goal != GB_GOAL_NONE && (rungs != ladder->rungs || ladder->rung >= rungs)) {
        gb_ladder_stop(ladder);
        if (rungs) {
            mgb_waker_start(keeper, rig, goal, now_us);
        }
    }
}

apr_status_t mgb_waker_create(mgb_keeper_t *keeper)
{
    struct mgb_waker_t *waker = apr_pcalloc(keeper->pool, sizeof(*waker));
    int64_t now_us = mgb_now_us();

    waker->keeper = keeper;
    waker->runs =
        apr_pcalloc(keeper->pool, ((apr_size_t)keeper->rigs_room + 1) * sizeof(run_t));
    keeper->waker = waker;
    for (uint32_t i = 0; i < keeper->rigs_room; i++) {
        waker->runs[i].waker = waker;
        waker->runs[i].rig = i;
    }
    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        resume(keeper, i, now_us);
    }
    return mgb_wol_create(keeper);
}

/* ------------------------------------------------------------------ questions */

static const mgb_rung_t *status_rung(const mgb_rig_t *rig)
{
    static const gb_ladder_goal_e goals[] = {GB_GOAL_OFF, GB_GOAL_ON};

    for (size_t g = 0; g < sizeof goals / sizeof goals[0]; g++) {
        for (uint32_t i = 0; i < rungs_of(rig, goals[g]); i++) {
            const mgb_rung_t *rung = rung_at(rig, goals[g], i);

            if (mgb_driver_of(rung->way)->can_status) {
                return rung;
            }
        }
    }
    return NULL;
}

bool mgb_waker_ask(mgb_keeper_t *keeper, uint32_t rig, mgb_done_fn *done, void *baton)
{
    const mgb_rung_t *rung = status_rung(&keeper->rigs[rig]);
    mgb_job_t job;

    if (!rung) {
        return false;
    }
    job = job_make(keeper, rig, rung, MGB_OP_STATUS, done, baton);
    return mgb_driver_of(rung->way)->start(&job) == APR_SUCCESS;
}
