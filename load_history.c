/* SPDX-License-Identifier: Apache-2.0
 *
 * load_history.c - the keeper's notes about the load: repair of counts, and the past.
 *
 * Every tick the rows of the processes are added up: dead processes' rows are taken
 * back, and a pick table's count that has drifted from its rows is put right.  Every
 * second what the members' counters have gained goes into the rings of the segment: one
 * entry a second and a minute for a balancer, one a minute for a member.  Memory is
 * fixed by the size of the segment.  Keeper only, one thread.
 */
#include "load_private.h"

#include <stdlib.h>

#define DRIFT_TICKS 10  /* drift of one sign for so long is no request in between */
#define STUCK_TICKS 100 /* who was emptying a row has been killed meanwhile */

/* --------------------------------------------------------------- the keeper's notes */

/* Counters of a member as they were, to tell what was added since. */
typedef struct member_then_t {
    uint64_t arrivals;
    uint64_t outcomes[GB_OUT_COUNT];
    uint32_t latency[GB_LATENCY_BUCKETS];
    uint32_t minute_latency[GB_LATENCY_BUCKETS]; /* added within the minute */
    uint32_t minute_arrivals, minute_errors;
    uint64_t minute_flight; /* sum of the ticks' samples */
    uint32_t name_hash;     /* 0: nothing is known of it */
    int32_t drift_least;    /* the smallest seen in a row of one sign */
    uint32_t drift_ticks;
} member_then_t;

#define WINDOW_S 10

typedef struct balancer_then_t {
    uint32_t window[WINDOW_S][GB_LATENCY_BUCKETS]; /* by second */
    uint32_t minute_latency[GB_LATENCY_BUCKETS];
    uint64_t second_flight, minute_flight; /* sums of the ticks' samples */
    uint64_t minute_watts;
    gb_past_t minute; /* sums so far */
    uint32_t seconds; /* in it */
    /* of the second that is being closed: */
    uint64_t arrivals, completions, errors;
    double watts;
    uint32_t servers_on;
} balancer_then_t;

/* Private to the keeper; its size is fixed by the segment's. */
typedef struct history_t {
    member_then_t *members;
    balancer_then_t *balancers;
    uint32_t *machine_seen; /* [machine]: balancer + 1 that has counted it */
    uint32_t *rows;         /* indices of the rows in use */
    uint32_t *stuck_ticks;  /* [process] */
    uint32_t second_ticks, minute_ticks;
    uint32_t second; /* index into the windows */
    int64_t second_at_us;
    apr_time_t minute_no; /* since the epoch; 0: none begun */
} history_t;

/* Lives as long as the keeper process; NULL without memory.  calloc leaves what is
 * never written out of the memory in use. */
static history_t *history_of(const mgb_shared_t *sh)
{
    static history_t *history;
    const mgb_header_t *h = sh->header;
    history_t *made;

    if (history) {
        return history;
    }
    made = calloc(1, sizeof(*made));
    if (!made) {
        return NULL;
    }
    made->members = calloc(h->members_room, sizeof(member_then_t));
    made->balancers = calloc(h->balancers_room, sizeof(balancer_then_t));
    made->machine_seen = calloc(h->machines_room, sizeof(uint32_t));
    made->rows = calloc(h->processes_room, sizeof(uint32_t));
    made->stuck_ticks = calloc(h->processes_room, sizeof(uint32_t));
    if (made->members && made->balancers && made->machine_seen && made->rows &&
        made->stuck_ticks) {
        history = made;
        return history;
    }
    free(made->members);
    free(made->balancers);
    free(made->machine_seen);
    free(made->rows);
    free(made->stuck_ticks);
    free(made);
    return NULL;
}

static bool is_live(const mgb_member_t *member, const mgb_header_t *header)
{
    return __atomic_load_n(&member->used, __ATOMIC_ACQUIRE) == MGB_SLOT_LIVE &&
           member->balancer < header->balancers_room;
}

/* Gives back the dead's rows; fills history->rows with those in use. */
static uint32_t rows_in_use(mgb_shared_t *sh, history_t *history)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sh->header->processes_room; i++) {
        uint32_t pid = __atomic_load_n(&sh->processes[i].pid, __ATOMIC_SEQ_CST);

        if (pid == MGB_PID_GIVING_BACK) {
            history->stuck_ticks[i]++;
        }
        else {
            history->stuck_ticks[i] = 0;
        }
        if (mgb_load_is_dead(pid) || history->stuck_ticks[i] > STUCK_TICKS) {
            mgb_meter_reclaim(sh, i);
        }
        else if (pid) {
            history->rows[count++] = i;
        }
    }
    return count;
}

static uint32_t rows_sum(const mgb_shared_t *sh, const history_t *history,
                         uint32_t rows, uint32_t slot)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < rows; i++) {
        sum += __atomic_load_n(&MGB_ROW(sh, history->rows[i], slot)->in_flight,
                               __ATOMIC_SEQ_CST);
    }
    return sum;
}

/* Requests between their two counts make drift of both signs for an instant; what keeps
 * its sign over many ticks is real, by at least the least that was seen. */
static void drift_note(mgb_shared_t *sh, uint32_t slot, member_then_t *then,
                       gb_pick_table_t *table, uint32_t position, int32_t drift)
{
    if (drift == 0 || (then->drift_ticks && (drift > 0) != (then->drift_least > 0))) {
        then->drift_ticks = 0;
    }
    if (drift == 0) {
        return;
    }
    if (then->drift_ticks == 0 || abs(drift) < abs(then->drift_least)) {
        then->drift_least = drift;
    }
    if (++then->drift_ticks < DRIFT_TICKS) {
        return;
    }
    gb_pick_correct(table, position, -(int64_t)then->drift_least);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, mgb_context ? mgb_context->server : NULL,
                 GBLOGNO(0804) "%s: its count of requests was off by %d, put right",
                 sh->members[slot].name, then->drift_least);
    then->drift_ticks = 0;
}

void mgb_meter_repair(mgb_shared_t *sh)
{
    history_t *history = history_of(sh);
    uint32_t rows;

    if (!history) {
        return;
    }
    rows = rows_in_use(sh, history);
    for (uint32_t slot = 0; slot < sh->header->members_top; slot++) {
        const mgb_member_t *member = &sh->members[slot];
        gb_pick_table_t *table;
        uint32_t position, in_rows, in_table = 0;
        bool placed;

        if (!is_live(member, sh->header)) {
            continue;
        }
        placed = mgb_load_position(sh, slot, &table, &position);
        if (placed) {
            in_table = gb_pick_read(table, position).in_flight;
        }
        in_rows = rows_sum(sh, history, rows, slot); /* as close to it as can be */
        if (placed) {
            drift_note(sh, slot, &history->members[slot], table, position,
                       (int32_t)(in_table - in_rows));
        }
        history->members[slot].minute_flight += in_rows;
        history->balancers[member->balancer].second_flight += in_rows;
    }
    history->second_ticks++;
    history->minute_ticks++;
}

/* ------------------------------------------------------------------ the history */

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    }
    return hash ? hash : 1;
}

/* The slot has a member that is new to us: what its counters say is the past of nobody
 * here.  The rings forget who had the slot before. */
static void member_begin(mgb_shared_t *sh, uint32_t slot, member_then_t *then,
                         uint32_t name_hash)
{
    const gb_cell_t *cell = &sh->cells[slot];

    if (then->name_hash) {
        for (uint32_t i = 0; i < GB_PAST_MINUTES; i++) {
            sh->member_minutes[i * sh->header->members_room + slot].at_s = 0;
        }
    }
    memset(then, 0, sizeof(*then));
    then->name_hash = name_hash;
    then->arrivals = cell->arrivals;
    memcpy(then->outcomes, cell->outcomes, sizeof(then->outcomes));
    memcpy(then->latency, cell->latency, sizeof(then->latency));
}

/* Adds to `into` what the histogram has gained; counters wrap, differences do not. */
static void latency_gain(member_then_t *then, const gb_cell_t *cell,
                         balancer_then_t *into, uint32_t second)
{
    for (uint32_t i = 0; i < GB_LATENCY_BUCKETS; i++) {
        uint32_t now = __atomic_load_n(&cell->latency[i], __ATOMIC_RELAXED);
        uint32_t gain = now - then->latency[i];

        then->latency[i] = now;
        then->minute_latency[i] += gain;
        into->minute_latency[i] += gain;
        into->window[second][i] += gain;
    }
}

/* What one member has done since the last second. */
static void member_second(history_t *history, const mgb_shared_t *sh, uint32_t slot,
                          balancer_then_t *into)
{
    member_then_t *then = &history->members[slot];
    const gb_cell_t *cell = &sh->cells[slot];
    uint64_t gain[GB_OUT_COUNT], all = 0, arrivals;

    for (int i = 0; i < GB_OUT_COUNT; i++) {
        uint64_t now = __atomic_load_n(&cell->outcomes[i], __ATOMIC_RELAXED);

        gain[i] = now - then->outcomes[i];
        then->outcomes[i] = now;
        all += gain[i];
    }
    arrivals = __atomic_load_n(&cell->arrivals, __ATOMIC_RELAXED) - then->arrivals;
    then->arrivals += arrivals;
    then->minute_arrivals += (uint32_t)arrivals;
    then->minute_errors += (uint32_t)(gain[GB_OUT_SERVER] + gain[GB_OUT_GATEWAY]);
    /* A request that failed over has arrived once at the balancer. */
    into->arrivals += arrivals;
    into->arrivals -=
        gain[GB_OUT_FAILOVER] < into->arrivals ? gain[GB_OUT_FAILOVER] : into->arrivals;
    into->completions += all - gain[GB_OUT_FAILOVER];
    into->errors += gain[GB_OUT_SERVER] + gain[GB_OUT_GATEWAY];
    if (all) {
        latency_gain(then, cell, into, history->second);
    }
}

/* A machine counts once in a balancer, also with several doors to it. */
static void member_power(history_t *history, const mgb_shared_t *sh,
                         const mgb_member_t *member, balancer_then_t *into)
{
    const mgb_machine_t *machine;

    if (member->machine >= sh->header->machines_room) {
        into->servers_on++; /* never powered off */
        return;
    }
    if (history->machine_seen[member->machine] == member->balancer + 1) {
        return;
    }
    history->machine_seen[member->machine] = member->balancer + 1;
    machine = &sh->machines[member->machine];
    into->watts += machine->watts;
    into->servers_on += machine->m.state == GB_ST_ON;
}

static uint16_t small(double value)
{
    return value >= UINT16_MAX ? UINT16_MAX : value > 0 ? (uint16_t)(value + 0.5) : 0;
}

static uint32_t mean_milli(uint64_t sum, uint32_t samples)
{
    return samples ? (uint32_t)(sum * 1000 / samples) : 0;
}

static void balancer_second(history_t *history, mgb_shared_t *sh, uint32_t b,
                            double past_s, uint32_t at_s)
{
    balancer_then_t *then = &history->balancers[b];
    mgb_balancer_shared_t *shown = &sh->balancers[b];
    uint32_t recent[GB_LATENCY_BUCKETS] = {0};
    gb_past_t past = {0};

    for (uint32_t s = 0; s < WINDOW_S; s++) {
        for (uint32_t i = 0; i < GB_LATENCY_BUCKETS; i++) {
            recent[i] += then->window[s][i];
        }
    }
    past.arrivals = (uint32_t)then->arrivals;
    past.completions = (uint32_t)then->completions;
    past.errors = (uint32_t)then->errors;
    past.in_flight_milli = mean_milli(then->second_flight, history->second_ticks);
    past.p50_us = (uint32_t)gb_meter_quantile_us(recent, 500);
    past.p99_us = (uint32_t)gb_meter_quantile_us(recent, 990);
    past.servers_on = small(then->servers_on);
    past.watts = then->watts > 0 ? (uint32_t)(then->watts + 0.5) : 0;
    past.at_s = at_s;
    sh->seconds[(size_t)b * GB_PAST_SECONDS + shown->past_second % GB_PAST_SECONDS] =
        past;
    shown->past_second = (shown->past_second + 1) % GB_PAST_SECONDS;
    shown->arrivals_per_s = (uint32_t)((double)past.arrivals / past_s + 0.5);
    shown->p50_us = past.p50_us;
    shown->p99_us = past.p99_us;

    then->minute.arrivals += past.arrivals;
    then->minute.completions += past.completions;
    then->minute.errors += past.errors;
    then->minute.servers_on = past.servers_on;
    then->minute_watts += past.watts;
    then->minute_flight += then->second_flight;
    then->seconds++;
}

static void balancer_minute(history_t *history, mgb_shared_t *sh, uint32_t b,
                            uint32_t at_s)
{
    balancer_then_t *then = &history->balancers[b];
    mgb_balancer_shared_t *shown = &sh->balancers[b];
    gb_past_t past = then->minute;

    past.in_flight_milli = mean_milli(then->minute_flight, history->minute_ticks);
    past.p50_us = (uint32_t)gb_meter_quantile_us(then->minute_latency, 500);
    past.p99_us = (uint32_t)gb_meter_quantile_us(then->minute_latency, 990);
    past.watts = then->seconds ? (uint32_t)(then->minute_watts / then->seconds) : 0;
    past.at_s = at_s;
    sh->minutes[(size_t)b * GB_PAST_MINUTES + shown->past_minute % GB_PAST_MINUTES] =
        past;
    shown->past_minute = (shown->past_minute + 1) % GB_PAST_MINUTES;
    memset(&then->minute, 0, sizeof(then->minute));
    memset(then->minute_latency, 0, sizeof(then->minute_latency));
    then->minute_watts = 0;
    then->minute_flight = 0;
    then->seconds = 0;
}

/* A member's minute stands at the minute's number modulo GB_PAST_MINUTES. */
static void member_minute(history_t *history, mgb_shared_t *sh, uint32_t slot,
                          uint32_t at_s)
{
    member_then_t *then = &history->members[slot];
    const mgb_member_t *member = &sh->members[slot];
    uint32_t i = (uint32_t)(history->minute_no % GB_PAST_MINUTES);
    gb_member_past_t past = {0};

    past.at_s = at_s;
    past.arrivals = then->minute_arrivals;
    past.errors = small(then->minute_errors);
    past.in_flight_tenths =
        small((double)mean_milli(then->minute_flight, history->minute_ticks) / 100);
    past.p99_ms = small((double)gb_meter_quantile_us(then->minute_latency, 990) / 1000);
    if (member->machine < sh->header->machines_room) {
        past.watts = small(sh->machines[member->machine].watts);
    }
    sh->member_minutes[(size_t)i * sh->header->members_room + slot] = past;
    memset(then->minute_latency, 0, sizeof(then->minute_latency));
    then->minute_arrivals = 0;
    then->minute_errors = 0;
    then->minute_flight = 0;
}

static void minute_close(history_t *history, mgb_shared_t *sh)
{
    uint32_t at_s = (uint32_t)(history->minute_no * 60);

    for (uint32_t b = 0; b < sh->header->balancers_room; b++) {
        if (sh->balancers[b].used == MGB_SLOT_LIVE) {
            balancer_minute(history, sh, b, at_s);
        }
    }
    for (uint32_t slot = 0; slot < sh->header->members_top; slot++) {
        if (is_live(&sh->members[slot], sh->header)) {
            member_minute(history, sh, slot, at_s);
        }
    }
    history->minute_ticks = 0;
}

static void second_open(history_t *history, const mgb_shared_t *sh)
{
    history->second = (history->second + 1) % WINDOW_S;
    for (uint32_t b = 0; b < sh->header->balancers_room; b++) {
        balancer_then_t *then = &history->balancers[b];

        if (sh->balancers[b].used == MGB_SLOT_FREE) {
            continue; /* nothing was ever noted: its memory stays out of use */
        }
        memset(then->window[history->second], 0, sizeof(then->window[0]));
        then->arrivals = then->completions = then->errors = 0;
        then->watts = 0;
        then->servers_on = 0;
    }
}

void mgb_meter_second(mgb_shared_t *sh, int64_t now_us, apr_time_t wall)
{
    history_t *history = history_of(sh);
    apr_time_t minute_no = apr_time_sec(wall) / 60;
    double past_s;

    if (!history) {
        return;
    }
    past_s = (double)(now_us - history->second_at_us) / 1e6;
    memset(history->machine_seen, 0, sh->header->machines_room * sizeof(uint32_t));
    second_open(history, sh);
    for (uint32_t slot = 0; slot < sh->header->members_top; slot++) {
        const mgb_member_t *member = &sh->members[slot];
        balancer_then_t *into;
        uint32_t name_hash;

        if (!is_live(member, sh->header)) {
            continue;
        }
        into = &history->balancers[member->balancer];
        name_hash = hash_name(member->name);
        if (history->members[slot].name_hash != name_hash) {
            member_begin(sh, slot, &history->members[slot], name_hash);
        }
        member_second(history, sh, slot, into);
        member_power(history, sh, member, into);
    }
    for (uint32_t b = 0; b < sh->header->balancers_room; b++) {
        if (sh->balancers[b].used == MGB_SLOT_LIVE) {
            balancer_second(history, sh, b, past_s > 0.5 ? past_s : 1.0,
                            (uint32_t)apr_time_sec(wall));
            history->balancers[b].second_flight = 0;
        }
    }
    history->second_ticks = 0;
    history->second_at_us = now_us;
    if (history->minute_no != minute_no) {
        if (history->minute_no) {
            minute_close(history, sh);
        }
        history->minute_no = minute_no;
    }
}
