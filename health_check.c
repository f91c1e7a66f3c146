/* SPDX-License-Identifier: Apache-2.0
 *
 * health_check.c - probes of members whose machines should be on.
 *
 * Each member has its own timer on the keeper's loop.  Its probes start on a grid: all
 * instants that leave the member's phase when divided by the interval; the phase comes
 * from its name, so a thousand members are a thousand small starts, not one burst.
 *
 *   ON UNKNOWN DRAINING FAILED   every interval
 *   WAKING                       every 100 ms, until it is ready
 *   STOPPING ASLEEP              not here: reverse_health.c
 *
 * A probe that still runs is never doubled; when it has kept the next one from
 * starting, that starts as soon as it ends.  No probe may take longer than the
 * interval.  So a server that fails is out of rotation within interval x fall +
 * timeout.
 *
 * Keeper only, in its one thread, no locks.  Writes health and probe_error of members,
 * which pages read as they are; every text stays terminated while it is replaced.
 */
#include "probe.h"

#include <sys/resource.h>

#define WAKING_EVERY_US (100 * GB_US_PER_MS)
#define WAKING_MOST_US  (1 * GB_US_PER_S)
/* Time to connect to a machine that wakes: when it once did quickly; when it was never
 * seen; and one probe in so many may take its full time for it. */
#define WAKING_LEAST_US  (100 * GB_US_PER_MS)
#define WAKING_UNSEEN_US (250 * GB_US_PER_MS)
#define WAKING_LONG      16
/* Starts fall together in slots: fewer wake-ups, and still no burst. */
#define SLOT_US       (20 * GB_US_PER_MS)
#define TELL_EVERY_US (60 * GB_US_PER_S)
#define OTHER_FDS     256 /* drivers, sockets, logs */
#define UNTOLD_BYTES  48

typedef struct check_t {
    mgb_keeper_t *keeper;
    uint32_t door; /* index into keeper->doors */
    mgb_target_t *target;
    mgb_probe_t *probe; /* the one in flight, or NULL */
    uint64_t timer;     /* 0: none */
    uint32_t hash;
    uint32_t state; /* gb_state_e of its machine as last seen */
    int64_t entered_at_us;
    int64_t started_at_us;
    int64_t connect_us; /* what connecting took lately; 0: never seen */
    uint32_t tries;     /* probes since it began to wake */
    int64_t told_at_us; /* of its latest warning; 0: never */
    uint32_t untold;    /* changes kept back since */
    int64_t ours_told_at_us;
} check_t;

typedef struct mgb_checks_t {
    mgb_prober_t *prober;
    check_t **checks;
    uint32_t count, room;
} mgb_checks_t;

static mgb_door_t *door_of(const check_t *check)
{
    return &check->keeper->doors[check->door];
}

static mgb_member_t *member_of(const check_t *check)
{
    return &check->keeper->shared->members[door_of(check)->slot];
}

static const mgb_probe_conf_t *conf_of(const check_t *check)
{
    return &door_of(check)->balancer->conf->probe;
}

/* The machine behind a door; NULL for a member that is only shown, never powered: it is
 * probed like one that is on. */
static const gb_machine_t *machine_of(const check_t *check)
{
    const mgb_keeper_t *keeper = check->keeper;
    uint32_t rig = door_of(check)->rig;

    if (rig >= keeper->rig_count || keeper->rigs[rig].slot == GB_NO_INDEX) {
        return NULL;
    }
    return &keeper->shared->machines[keeper->rigs[rig].slot].m;
}

static uint32_t state_of(const check_t *check)
{
    const gb_machine_t *machine = machine_of(check);

    return machine ? machine->state : GB_ST_ON;
}

static int64_t entered_at_us_of(const check_t *check)
{
    const gb_machine_t *machine = machine_of(check);

    return machine ? machine->entered_at_us : 0;
}

static bool probed(uint32_t state)
{
    return state != GB_ST_STOPPING && state != GB_ST_ASLEEP;
}

/* ------------------------------------------------------------------ verdicts */

static void set_error(mgb_member_t *member, const char *why)
{
    if (strncmp(member->probe_error, why, sizeof(member->probe_error))) {
        apr_cpystrn(member->probe_error, why, sizeof(member->probe_error));
    }
}

/* " (3 earlier changes not told)", or nothing. */
static const char *untold_words(const check_t *check, char words[UNTOLD_BYTES])
{
    words[0] = '\0';
    if (check->untold) {
        apr_snprintf(words, UNTOLD_BYTES, " (%u earlier changes not told)",
                     check->untold);
    }
    return words;
}

/* A verdict has changed.  A member that should serve and does not is a warning, at most
 * one a minute; while a machine wakes or has failed, silence is what one expects. */
static void tell(check_t *check, int64_t now_us)
{
    const mgb_member_t *member = member_of(check);
    const char *state = gb_state_name((gb_state_e)check->state);
    server_rec *s = check->keeper->server;
    char untold[UNTOLD_BYTES];

    if (check->state == GB_ST_WAKING || check->state == GB_ST_FAILED) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s, GBLOGNO(0502) "%s (%s): probe %s%s",
                     member->name, state, *member->probe_error ? "failed: " : "passed",
                     member->probe_error);
        return;
    }
    if (check->told_at_us && now_us - check->told_at_us < TELL_EVERY_US) {
        check->untold++;
        return;
    }
    check->told_at_us = now_us;
    if (member->health.verdict == GB_VERDICT_BAD) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     GBLOGNO(0503) "%s (%s): does not pass its health check: %s%s",
                     member->name, state, member->probe_error,
                     untold_words(check, untold));
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                     GBLOGNO(0504) "%s (%s): passes its health check%s", member->name,
                     state, untold_words(check, untold));
    }
    check->untold = 0;
}

static void note(check_t *check, const mgb_answer_t *answer, int64_t now_us)
{
    const mgb_probe_conf_t *conf = conf_of(check);
    mgb_member_t *member = member_of(check);

    if (answer->connect_us > 0) {
        check->connect_us = answer->connect_us;
    }
    set_error(member, answer->why);
    if (answer->ours) {
        if (!check->ours_told_at_us ||
            now_us - check->ours_told_at_us >= TELL_EVERY_US) {
            check->ours_told_at_us = now_us;
            ap_log_error(
                APLOG_MARK, APLOG_WARNING, 0, check->keeper->server,
                GBLOGNO(0505) "%s (%s): was not probed, its health stays as it "
                              "was: %s; raise the limit of open files?",
                member->name, gb_state_name((gb_state_e)check->state), answer->why);
        }
        return;
    }
    member->silent = answer->heard == GB_HEARD_SILENT;
    if (answer->heard == GB_HEARD_GOOD) {
        member->passed_at_us = check->started_at_us;
    }
    if (gb_health_note(&member->health, answer->heard == GB_HEARD_GOOD, conf->rise,
                       conf->fall)) {
        tell(check, now_us);
        if (check->state == GB_ST_WAKING) {
            mgb_loop_break(check->keeper->loop); /* requests may wait for it */
        }
    }
}

/* ------------------------------------------------------------------ timing */

/* The next instant of the grid after now. */
static int64_t grid_after_us(const check_t *check, int64_t now_us)
{
    int64_t every_us = conf_of(check)->interval_us;
    int64_t phase_us, past_us;

    if (check->state == GB_ST_WAKING && every_us > WAKING_EVERY_US) {
        every_us = WAKING_EVERY_US;
    }
    if (every_us < GB_US_PER_MS) {
        every_us = GB_US_PER_MS;
    }
    phase_us = (int64_t)check->hash % every_us;
    if (every_us >= 50 * SLOT_US) {
        phase_us -= phase_us % SLOT_US;
    }
    past_us = (now_us - phase_us) % every_us;
    return now_us + every_us - (past_us < 0 ? past_us + every_us : past_us);
}

/* When the next probe starts, given that the latest has ended: on the grid, or at once
 * when it has kept one from starting. */
static int64_t next_at_us(const check_t *check, int64_t now_us)
{
    if (check->state == GB_ST_WAKING) {
        int64_t at_us = check->started_at_us + WAKING_EVERY_US;

        return at_us > now_us ? at_us : now_us;
    }
    if (check->started_at_us && grid_after_us(check, check->started_at_us) <= now_us) {
        return now_us;
    }
    return grid_after_us(check, now_us);
}

static void check_due(void *baton, int64_t now_us);

static void schedule(check_t *check, int64_t at_us)
{
    mgb_loop_t *loop = check->keeper->loop;

    if (check->timer) {
        mgb_loop_cancel(loop, check->timer);
    }
    check->timer = mgb_loop_timer(loop, at_us, check_due, check);
}

/* How long a probe may take.  A machine that wakes is asked again and again: what does
 * not connect quickly is given up for a new try, because a host that was off when the
 * first packet left never answers that one.  How quickly is known from when it was on;
 * now and then a probe gets its full time, for a way that has become slower. */
static void limits(check_t *check, int64_t *connect_us, int64_t *total_us)
{
    const mgb_probe_conf_t *conf = conf_of(check);
    int64_t quick_us;

    *total_us = conf->timeout_us;
    if (check->state != GB_ST_WAKING) {
        if (*total_us > conf->interval_us) {
            *total_us = conf->interval_us;
        }
        *connect_us = *total_us;
        return;
    }
    if (*total_us > WAKING_MOST_US) {
        *total_us = WAKING_MOST_US;
    }
    quick_us = check->connect_us ? 4 * check->connect_us : WAKING_UNSEEN_US;
    if (quick_us < WAKING_LEAST_US) {
        quick_us = WAKING_LEAST_US;
    }
    *connect_us = ++check->tries % WAKING_LONG == 0 ? *total_us : quick_us;
}

static void answered(void *baton, const mgb_answer_t *answer)
{
    check_t *check = baton;
    int64_t now_us = mgb_now_us();

    check->probe = NULL;
    if (state_of(check) == check->state &&
        entered_at_us_of(check) == check->entered_at_us) {
        note(check, answer, now_us);
    }
    schedule(check, next_at_us(check, now_us));
}

static void start(check_t *check, int64_t now_us)
{
    int64_t connect_us, total_us;
    mgb_answer_t refused;

    limits(check, &connect_us, &total_us);
    check->started_at_us = now_us;
    check->probe = mgb_probe_start(check->keeper->checks->prober, check->target,
                                   connect_us, total_us, answered, check, &refused);
    if (!check->probe) {
        note(check, &refused, now_us);
        schedule(check, grid_after_us(check, now_us));
    }
}

static void check_due(void *baton, int64_t now_us)
{
    check_t *check = baton;

    check->timer = 0;
    if (!check->probe && probed(state_of(check))) {
        start(check, now_us);
    }
}

/* ------------------------------------------------------------------ states */

/* A verdict that was earned in one life does not count in the next.  What passed while
 * it was WAKING, UNKNOWN or FAILED is what made it ON, and stays. */
static bool forgets(uint32_t from, uint32_t to)
{
    return !probed(from) || !probed(to) || to == GB_ST_WAKING || to == GB_ST_FAILED;
}

static void follow(check_t *check, int64_t now_us)
{
    mgb_member_t *member = member_of(check);
    uint32_t from = check->state;

    check->state = state_of(check);
    check->entered_at_us = entered_at_us_of(check);
    if (forgets(from, check->state)) {
        if (check->probe) {
            mgb_probe_cancel(check->probe);
            check->probe = NULL;
        }
        gb_health_reset(&member->health);
        set_error(member, "");
    }
    if (!probed(check->state)) {
        if (check->timer) {
            mgb_loop_cancel(check->keeper->loop, check->timer);
            check->timer = 0;
        }
        return;
    }
    if (check->state == GB_ST_WAKING) {
        check->tries = 0;
        schedule(check, now_us);
    }
    else if (!check->probe) {
        schedule(check, grid_after_us(check, now_us));
    }
}

/* ------------------------------------------------------------------ all members */

static uint32_t hash_of(const char *name, uint32_t salt)
{
    uint32_t hash = 2166136261u ^ salt;

    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash ^ *c) * 16777619u;
    }
    /* FNV leaves names that differ at the end close together: mix once more. */
    hash ^= hash >> 16;
    hash *= 0x85ebca6bu;
    hash ^= hash >> 13;
    return hash * 0xc2b2ae35u;
}

static void add(mgb_keeper_t *keeper, int64_t now_us)
{
    mgb_checks_t *checks = keeper->checks;
    const mgb_door_t *door = &keeper->doors[checks->count];
    check_t *check = apr_pcalloc(keeper->pool, sizeof(*check));

    check->keeper = keeper;
    check->door = checks->count;
    checks->checks[checks->count++] = check;
    check->hash = hash_of(member_of(check)->name, door->slot);
    check->target =
        mgb_target_make(door->worker, &door->balancer->conf->probe, keeper->pool);
    check->state = state_of(check);
    check->entered_at_us = entered_at_us_of(check);
    if (check->state == GB_ST_WAKING) {
        schedule(check, now_us);
    }
    else if (probed(check->state)) {
        schedule(check, grid_after_us(check, now_us));
    }
}

/* Room for all members to hang at the same time, in both kinds of checks. */
static void descriptors_raise(uint32_t members)
{
    struct rlimit limit;
    rlim_t wanted = 2 * (rlim_t)members + OTHER_FDS;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* without: GB0505 tells of it */
    }
}

apr_status_t mgb_checks_create(mgb_keeper_t *keeper)
{
    mgb_checks_t *checks = apr_pcalloc(keeper->pool, sizeof(*checks));
    apr_status_t rv =
        mgb_prober_create(&checks->prober, keeper->loop, keeper->server, keeper->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    checks->room = keeper->shared->header->members_room;
    if (checks->room < keeper->door_count) {
        checks->room = keeper->door_count;
    }
    descriptors_raise(checks->room);
    checks->checks = apr_pcalloc(keeper->pool, checks->room * sizeof(check_t *));
    keeper->checks = checks;
    mgb_checks_tick(keeper, mgb_now_us());
    return APR_SUCCESS;
}

void mgb_checks_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    mgb_checks_t *checks = keeper->checks;

    while (checks->count < keeper->door_count && checks->count < checks->room) {
        add(keeper, now_us);
    }
    for (uint32_t i = 0; i < checks->count; i++) {
        check_t *check = checks->checks[i];

        if (state_of(check) != check->state ||
            entered_at_us_of(check) != check->entered_at_us) {
            follow(check, now_us);
        }
        else if (!check->probe && !check->timer && probed(check->state)) {
            schedule(check, grid_after_us(check, now_us)); /* the loop had no memory */
        }
    }
}

void mgb_checks_destroy(mgb_keeper_t *keeper)
{
    mgb_checks_t *checks = keeper->checks;

    if (!checks) {
        return;
    }
    for (uint32_t i = 0; i < checks->count; i++) {
        if (checks->checks[i]->timer) {
            mgb_loop_cancel(keeper->loop, checks->checks[i]->timer);
        }
    }
    mgb_prober_destroy(checks->prober);
    keeper->checks = NULL;
}
