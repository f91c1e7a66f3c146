/* SPDX-License-Identifier: Apache-2.0
 *
 * watts.c - asks machines what they draw.
 *
 * A machine's sources are those ways of its ladders that can read watts: its management
 * controller and its power drivers; its agent sends readings by itself.  Each is asked
 * every 30 s, and more often while its power changes.  A source that says that it
 * cannot is left for the next one, and when none is left the machine is asked once an
 * hour; one that does not answer is asked ever less often.  What is due in one second
 * goes out together, which for IPMI is one process.
 *
 * Readings stand in the shared segment; core/gb_energy.h says which of them count.
 * Keeper only, in its one thread, no locks.
 */
#include "drivers/driver.h"

#include <math.h>

#define EVERY_US        (30 * GB_US_PER_S)
#define MOVING_EVERY_US (5 * GB_US_PER_S)  /* while it boots or stops, and ... */
#define SETTLES_US      (15 * GB_US_PER_S) /* ... so long after its power changed */
#define LOST_EVERY_US   (300 * GB_US_PER_S)
#define CANNOT_EVERY_US (3600 * GB_US_PER_S)
#define CANNOT_COUNT    3u /* refusals in a row that are believed */
#define SOURCES_MAX     (2u * GB_RUNGS_MAX)
#define FLIGHT_MOST     64u /* questions at the same time, over all machines, */
#define DRIVERS_MOST    8u  /* of them to commands, each of which is a process */

/* What is remembered of a machine; all of it may be lost with the keeper. */
typedef struct meter_t {
    mgb_keeper_t *keeper;
    uint32_t rig;
    const mgb_rung_t *sources[SOURCES_MAX]; /* in the order in which they are tried */
    uint32_t source_count;
    uint32_t source; /* the one in use */
    uint32_t cannot; /* its refusals in a row */
    uint32_t lost;   /* questions in a row that were not answered */
    gb_phase_e phase;
    int64_t phase_at_us; /* when it began */
    int64_t due_at_us, asked_at_us;
    bool asking;
    bool hourly;          /* every source has said that it cannot */
    bool told_measured;   /* the log's latest word is that it is measured */
    bool told_impossible; /* the log's latest word is a reading that cannot be */
} meter_t;

typedef struct mgb_meters_t {
    meter_t *meters; /* [rigs_room] */
    uint32_t count;
    uint32_t in_flight, drivers_in_flight;
    uint32_t cursor; /* where the next tick begins */
} mgb_meters_t;

static mgb_machine_t *machine_of(const mgb_keeper_t *keeper, uint32_t rig)
{
    return &keeper->shared->machines[keeper->rigs[rig].slot];
}

static const char *state_of(const mgb_machine_t *machine)
{
    return gb_state_name((gb_state_e)machine->m.state);
}

/* ------------------------------------------------------------------ readings */

static const char *way_name(mgb_way_e way)
{
    return way == MGB_WAY_EXEC ? "driver" : way == MGB_WAY_REDFISH ? "redfish" : "ipmi";
}

static void tell_impossible(mgb_keeper_t *keeper, meter_t *meter, double watts,
                            const char *by)
{
    const mgb_machine_t *machine = machine_of(keeper, meter->rig);

    if (!meter->told_impossible) {
        meter->told_impossible = true;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     GBLOGNO(1401) "%s (%s): %s says %s W, which cannot be: such "
                                   "readings are left out",
                     machine->name, state_of(machine), by,
                     isfinite(watts) ? apr_psprintf(keeper->ptick, "%.1f", watts)
                                     : "not a number of");
    }
}

bool mgb_watts_note(mgb_keeper_t *keeper, uint32_t rig, double watts, const char *by,
                    int64_t now_us)
{
    mgb_machine_t *machine = machine_of(keeper, rig);
    meter_t *meter = &keeper->meters->meters[rig];
    gb_reading_t before = {machine->measured_watts, machine->measured_at_us};
    bool is_up = machine->m.state == GB_ST_ON || machine->m.state == GB_ST_DRAINING;

    if (!gb_watts_plausible(watts, is_up)) {
        tell_impossible(keeper, meter, watts, by);
        return false;
    }
    if (!strcmp(by, "agent") && strcmp(machine->measured_by, "agent") &&
        gb_reading_counts(&before, meter->phase_at_us, now_us)) {
        return true;
    }
    meter->told_impossible = false;
    machine->measured_watts = watts;
    machine->measured_at_us = now_us;
    apr_cpystrn(machine->measured_by, by, sizeof(machine->measured_by));
    if (!meter->told_measured) {
        meter->told_measured = true;
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     GBLOGNO(1402) "%s (%s): its watts are measured by %s: %.1f W",
                     machine->name, state_of(machine), by, watts);
    }
    return true;
}

int64_t mgb_watts_since_us(const mgb_keeper_t *keeper, uint32_t rig)
{
    const mgb_meters_t *meters = keeper->meters;

    return meters && rig < meters->count ? meters->meters[rig].phase_at_us
                                         : GB_NEVER_US;
}

/* ------------------------------------------------------------------ answers */

static int64_t pace_us(const meter_t *meter, int64_t now_us)
{
    const mgb_machine_t *machine = machine_of(meter->keeper, meter->rig);
    int64_t every_us = EVERY_US;

    if (meter->hourly) {
        return CANNOT_EVERY_US;
    }
    if (machine->m.state == GB_ST_WAKING || machine->m.state == GB_ST_STOPPING ||
        now_us - meter->phase_at_us < SETTLES_US) {
        every_us = MOVING_EVERY_US;
    }
    return gb_doubled_us(every_us, meter->lost, LOST_EVERY_US);
}

static void refused(meter_t *meter, const char *detail, int64_t now_us)
{
    const mgb_machine_t *machine = machine_of(meter->keeper, meter->rig);

    meter->cannot++;
    if (meter->cannot < CANNOT_COUNT && !meter->hourly) {
        meter->due_at_us = now_us + GB_US_PER_S;
        return;
    }
    meter->cannot = 0;
    if (++meter->source < meter->source_count) {
        meter->due_at_us = now_us;
        return;
    }
    meter->source = 0;
    meter->due_at_us = now_us + CANNOT_EVERY_US;
    if (!meter->hourly) {
        meter->hourly = true;
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, meter->keeper->server,
                     GBLOGNO(1403) "%s (%s): nothing can measure its watts; it is "
                                   "asked again every hour: %s",
                     machine->name, state_of(machine), detail);
    }
}

static void on_done(void *baton, const mgb_done_t *done)
{
    meter_t *meter = baton;
    mgb_meters_t *meters = meter->keeper->meters;
    const mgb_rung_t *source = meter->sources[meter->source];
    int64_t now_us = mgb_now_us();

    meter->asking = false;
    meters->in_flight--;
    meters->drivers_in_flight -= source->way == MGB_WAY_EXEC;
    if (meter->asked_at_us < meter->phase_at_us) {
        meter->due_at_us = now_us; /* it is about a phase that is over */
        return;
    }
    switch (done->result) {
    case GB_LADDER_OK:
        meter->cannot = 0;
        meter->lost = 0;
        meter->hourly = false;
        (void)mgb_watts_note(meter->keeper, meter->rig, done->watts,
                             way_name(source->way), now_us);
        break;
    case GB_LADDER_REFUSED:
        refused(meter, done->detail, now_us);
        return;
    default:
        meter->lost++;
        break;
    }
    meter->due_at_us = now_us + pace_us(meter, now_us);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, meter->keeper->server,
                 GBLOGNO(1404) "%s (%s): watts by %s: %s",
                 machine_of(meter->keeper, meter->rig)->name,
                 state_of(machine_of(meter->keeper, meter->rig)), source->name,
                 done->detail);
}

/* ------------------------------------------------------------------ questions */

static void ask(mgb_keeper_t *keeper, meter_t *meter, int64_t now_us)
{
    const mgb_rig_t *rig = &keeper->rigs[meter->rig];
    const mgb_rung_t *source = meter->sources[meter->source];
    mgb_job_t job = {.keeper = keeper,
                     .rung = source,
                     .hints = rig->hints,
                     .member_url = rig->hints->member_url,
                     .rules = &rig->rules,
                     .op = MGB_OP_WATTS,
                     .done = on_done,
                     .baton = meter};

    meter->asked_at_us = now_us;
    meter->asking = true;
    keeper->meters->in_flight++;
    keeper->meters->drivers_in_flight += source->way == MGB_WAY_EXEC;
    if (mgb_driver_of(source->way)->start(&job) != APR_SUCCESS) {
        meter->asking = false;
        keeper->meters->in_flight--;
        keeper->meters->drivers_in_flight -= source->way == MGB_WAY_EXEC;
        meter->due_at_us = now_us + EVERY_US;
    }
}

static bool is_due(const mgb_keeper_t *keeper, const meter_t *meter, int64_t now_us)
{
    const mgb_machine_t *machine = machine_of(keeper, meter->rig);

    if (!meter->source_count || meter->asking || now_us < meter->due_at_us ||
        !(machine->m.flags & GB_MF_MANAGED)) {
        return false;
    }
    /* Some controllers have room for one session: orders come first. */
    if (machine->ladder.in_flight) {
        return false;
    }
    return meter->sources[meter->source]->way != MGB_WAY_EXEC ||
           keeper->meters->drivers_in_flight < DRIVERS_MOST;
}

/* ------------------------------------------------------------------ all machines */

static bool reads_watts(const mgb_rung_t *rung)
{
    return rung->way == MGB_WAY_IPMI || rung->way == MGB_WAY_REDFISH ||
           rung->way == MGB_WAY_EXEC;
}

static void source_add(meter_t *meter, const mgb_rung_t *rung)
{
    for (uint32_t i = 0; i < meter->source_count; i++) {
        if (!strcmp(meter->sources[i]->name, rung->name)) {
            return;
        }
    }
    if (reads_watts(rung) && meter->source_count < SOURCES_MAX) {
        meter->sources[meter->source_count++] = rung;
    }
}

/* Controllers measure the whole machine at its socket: they come before commands. */
static void sources_find(meter_t *meter, const mgb_hints_t *hints)
{
    for (int command = 0; command < 2; command++) {
        for (uint32_t i = 0; i < hints->sleep_count; i++) {
            if ((hints->sleep[i].way == MGB_WAY_EXEC) == command) {
                source_add(meter, &hints->sleep[i]);
            }
        }
        for (uint32_t i = 0; i < hints->wake_count; i++) {
            if ((hints->wake[i].way == MGB_WAY_EXEC) == command) {
                source_add(meter, &hints->wake[i]);
            }
        }
    }
}

static void grow(mgb_keeper_t *keeper)
{
    mgb_meters_t *meters = keeper->meters;

    for (; meters->count < keeper->rig_count; meters->count++) {
        meter_t *meter = &meters->meters[meters->count];
        const mgb_machine_t *machine = machine_of(keeper, meters->count);

        meter->keeper = keeper;
        meter->rig = meters->count;
        meter->phase = gb_phase_of(machine->m.state);
        meter->phase_at_us = machine->m.entered_at_us;
        if (keeper->rigs[meter->rig].hints) {
            sources_find(meter, keeper->rigs[meter->rig].hints);
        }
    }
}

static void follow(mgb_keeper_t *keeper, meter_t *meter, int64_t now_us)
{
    const mgb_machine_t *machine = machine_of(keeper, meter->rig);
    gb_phase_e phase = gb_phase_of(machine->m.state);

    if (phase != meter->phase) {
        meter->phase = phase;
        meter->phase_at_us = now_us;
        if (!meter->hourly) {
            meter->due_at_us = now_us;
        }
    }
    if (machine->m.state == GB_ST_STOPPING &&
        meter->due_at_us > now_us + MOVING_EVERY_US && !meter->hourly && !meter->lost) {
        meter->due_at_us = now_us + MOVING_EVERY_US;
    }
    if (meter->told_measured && now_us - machine->measured_at_us > GB_WATTS_FRESH_US) {
        meter->told_measured = false;
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     GBLOGNO(1405) "%s (%s): %s has given no reading for %d s: its "
                                   "watts are computed from its curve",
                     machine->name, state_of(machine), machine->measured_by,
                     (int)(GB_WATTS_FRESH_US / GB_US_PER_S));
    }
}

apr_status_t mgb_watts_create(mgb_keeper_t *keeper)
{
    mgb_meters_t *meters = apr_pcalloc(keeper->pool, sizeof(*meters));

    meters->meters = apr_pcalloc(keeper->pool, ((apr_size_t)keeper->rigs_room + 1) *
                                                   sizeof(*meters->meters));
    keeper->meters = meters;
    grow(keeper);
    return APR_SUCCESS;
}

void mgb_watts_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    mgb_meters_t *meters = keeper->meters;

    grow(keeper);
    for (uint32_t i = 0; i < meters->count; i++) {
        follow(keeper, &meters->meters[i], now_us);
    }
    /* Each tick begins where the last one ran out of its ration. */
    for (uint32_t n = 0; n < meters->count && meters->in_flight < FLIGHT_MOST; n++) {
        meter_t *meter;

        if (meters->cursor >= meters->count) {
            meters->cursor = 0;
        }
        meter = &meters->meters[meters->cursor++];
        if (is_due(keeper, meter, now_us)) {
            ask(keeper, meter, now_us);
        }
    }
}
