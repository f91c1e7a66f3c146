/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_redfish.c - the way of one operation through a Redfish service; see gb_redfish.h.
 *
 *   [ROOT -> SYSTEMS ->] SYSTEM -> status known
 *                        SYSTEM [-> ACTION] -> RESET [-> TASK] -> accepted
 *                        SYSTEM -> CHASSIS -> METRICS or POWER -> watts known
 *
 * What stands in brackets is left out where it is known or not needed.
 */
#include "gb_redfish_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REDIRECTS_MOST 3u
#define DETOURS_MOST   2u /* a service's root, then its systems, where one was named */
#define POLLS_MOST     40u
#define POLL_LEAST_US  (250 * GB_US_PER_MS)
#define POLL_MOST_US   (4 * GB_US_PER_S)

typedef enum phase_e {
    PHASE_ROOT = 0,
    PHASE_SYSTEMS, /* the collection */
    PHASE_SYSTEM,
    PHASE_ACTION,  /* @Redfish.ActionInfo */
    PHASE_RESET,   /* the order */
    PHASE_RECHECK, /* the order was refused: is there anything left to do? */
    PHASE_TASK,
    PHASE_CHASSIS,
    PHASE_METRICS, /* EnvironmentMetrics */
    PHASE_POWER,
    PHASE_COUNT
} phase_e;

static gb_redfish_next_e ask(gb_redfish_run_t *run, phase_e phase, const char *path)
{
    char copy[GB_REDFISH_PATH_BYTES];

    snprintf(copy, sizeof copy, "%s", path); /* it may be run->ask.path itself */
    memset(&run->ask, 0, sizeof run->ask);
    memcpy(run->ask.path, copy, sizeof copy);
    run->phase = (uint32_t)phase;
    run->redirects = 0;
    return GB_REDFISH_ASK;
}

static gb_redfish_next_e done(gb_redfish_run_t *run, gb_ladder_result_e result,
                              const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static gb_redfish_next_e done(gb_redfish_run_t *run, gb_ladder_result_e result,
                              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(run->text, sizeof run->text, format, args);
    va_end(args);
    run->result = result;
    return GB_REDFISH_DONE;
}

static bool is_order(const gb_redfish_run_t *run)
{
    return run->op == GB_REDFISH_ON || run->op == GB_REDFISH_OFF ||
           run->op == GB_REDFISH_CUT;
}

/* ------------------------------------------------------------------ the beginning */

void gb_redfish_place(gb_redfish_place_t *place, const char *url)
{
    const char *host = strstr(url, "://");
    size_t length = host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/") : 0;
    const char *path = url + length;

    memset(place, 0, sizeof *place);
    snprintf(place->origin, sizeof place->origin, "%.*s", (int)length, url);
    if (strcmp(path, "/redfish") != 0 && strcmp(path, "/redfish/v1") != 0) {
        snprintf(place->entry, sizeof place->entry, "%s", path);
    }
}

static gb_redfish_next_e enter(gb_redfish_run_t *run, const gb_redfish_place_t *place)
{
    if (run->op == GB_REDFISH_WATTS && place->metrics[0]) {
        return ask(run, PHASE_METRICS, place->metrics);
    }
    if (run->op == GB_REDFISH_WATTS && place->power[0]) {
        return ask(run, PHASE_POWER, place->power);
    }
    if (place->system[0]) {
        return ask(run, PHASE_SYSTEM, place->system);
    }
    return place->entry[0] ? ask(run, PHASE_SYSTEM, place->entry)
                           : ask(run, PHASE_ROOT, GB_REDFISH_ROOT);
}

void gb_redfish_begin(gb_redfish_run_t *run, const gb_redfish_place_t *place,
                      gb_redfish_op_e op)
{
    memset(run, 0, sizeof *run);
    run->op = op;
    run->forgot = !place->system[0] && !place->metrics[0] && !place->power[0];
    (void)enter(run, place);
}

/* What was known led nowhere: the service has renamed things.  Once a run. */
static gb_redfish_next_e forget(gb_redfish_run_t *run, gb_redfish_place_t *place)
{
    run->forgot = true;
    place->system[0] = place->metrics[0] = place->power[0] = '\0';
    return enter(run, place);
}

/* ------------------------------------------------------------------ finding it */

static gb_redfish_next_e take_root(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                   gb_value_t root)
{
    char path[GB_REDFISH_PATH_BYTES];

    if (gb_redfish_link(place->origin, gb_value_member(root, "Systems"), path)) {
        return ask(run, PHASE_SYSTEMS, path);
    }
    return done(run, GB_LADDER_REFUSED,
                "it has no Systems: is it a Redfish service, and the URL right?");
}

static gb_redfish_next_e take_systems(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                      gb_value_t systems)
{
    gb_value_t members = gb_value_member(systems, "Members");
    uint32_t count = gb_value_count(members);
    char path[GB_REDFISH_PATH_BYTES], names[GB_REDFISH_TEXT_BYTES];

    if (count == 1 &&
        gb_redfish_link(place->origin, gb_value_element(members, 0), path)) {
        return ask(run, PHASE_SYSTEM, path);
    }
    if (count < 2) {
        return done(run, GB_LADDER_REFUSED, "the service has no system%s",
                    count ? " of its own" : "");
    }
    gb_redfish_list(members, names, sizeof names);
    return done(run, GB_LADDER_REFUSED, "%u systems: redfish= has to name one: %s",
                count, names);
}

/* ------------------------------------------------------------------ the order */

static gb_redfish_next_e order(gb_redfish_run_t *run, gb_value_t allowed)
{
    const char *type = gb_redfish_choose(run->op, allowed, run->state);
    char names[GB_REDFISH_TEXT_BYTES], tag[GB_REDFISH_TAG_BYTES];

    if (!type) {
        gb_redfish_list(allowed, names, sizeof names);
        return done(run, GB_LADDER_REFUSED, "it has no %s (it is %s, and allows %s)",
                    run->op == GB_REDFISH_ON    ? "way on"
                    : run->op == GB_REDFISH_OFF ? "soft way off"
                                                : "ForceOff",
                    run->state, names);
    }
    memcpy(tag, run->ask.if_match, sizeof tag);
    (void)ask(run, PHASE_RESET, run->target);
    memcpy(run->ask.if_match, tag, sizeof tag);
    run->ask.post = true;
    snprintf(run->reset, sizeof run->reset, "%s", type);
    snprintf(run->ask.body, sizeof run->ask.body, "{\"ResetType\": \"%s\"}", type);
    return GB_REDFISH_ASK;
}

/* The tag of the state that the order is based on. */
static void read_tag(gb_redfish_run_t *run, const gb_redfish_answer_t *answer,
                     gb_value_t system, char tag[GB_REDFISH_TAG_BYTES])
{
    tag[0] = '\0';
    if (answer->etag && strlen(answer->etag) < GB_REDFISH_TAG_BYTES) {
        snprintf(tag, GB_REDFISH_TAG_BYTES, "%s", answer->etag);
    }
    else if (!answer->etag) {
        (void)gb_value_text(gb_value_member(system, "@odata.etag"), tag,
                            GB_REDFISH_TAG_BYTES);
    }
    for (const char *c = tag; *c; c++) {
        if (*c < ' ' || *c > '~') {
            tag[0] = '\0'; /* it would not stay one header line */
        }
    }
    if (run->matched && tag[0] == 'W' && tag[1] == '/') {
        memmove(tag, tag + 2, strlen(tag + 2) + 1); /* a weak tag never matches */
    }
    if (run->matched && !tag[0]) {
        snprintf(tag, GB_REDFISH_TAG_BYTES, "*");
    }
}

static gb_redfish_next_e prepare(gb_redfish_run_t *run, const gb_redfish_place_t *place,
                                 const gb_redfish_answer_t *answer, gb_value_t system)
{
    gb_value_t action = gb_value_within(system, "Actions", "#ComputerSystem.Reset");
    gb_value_t allowed = gb_value_member(action, "ResetType@Redfish.AllowableValues");
    char reference[GB_REDFISH_PATH_BYTES], path[GB_REDFISH_PATH_BYTES];
    char tag[GB_REDFISH_TAG_BYTES];

    if (!gb_value_text(gb_value_member(action, "target"), reference,
                       sizeof reference) ||
        !gb_redfish_resolve(place->origin, reference, run->target)) {
        return done(run, GB_LADDER_REFUSED, "the system offers no reset action");
    }
    read_tag(run, answer, system, tag);
    if (gb_value_kind(allowed) != GB_VALUE_ARRAY &&
        gb_value_text(gb_value_member(action, "@Redfish.ActionInfo"), reference,
                      sizeof reference) &&
        gb_redfish_resolve(place->origin, reference, path)) {
        (void)ask(run, PHASE_ACTION, path);
        memcpy(run->ask.if_match, tag, sizeof tag); /* kept there for the order */
        return GB_REDFISH_ASK;
    }
    memcpy(run->ask.if_match, tag, sizeof tag);
    return order(run, allowed);
}

/* Is nothing left to be done?  Going down counts as on for a status, and as done for an
 * order off. */
static bool is_there(const gb_redfish_run_t *run)
{
    if (run->op == GB_REDFISH_ON) {
        return run->powered;
    }
    return !run->powered ||
           (run->op == GB_REDFISH_OFF && strcmp(run->state, "PoweringOff") == 0);
}

static gb_redfish_next_e already(gb_redfish_run_t *run)
{
    return done(run, GB_LADDER_OK,
                strcmp(run->state, "PoweringOff") == 0  ? "is shutting down already"
                : strcmp(run->state, "PoweringOn") == 0 ? "is powering on already"
                : run->powered                          ? "was on already"
                                                        : "was off already");
}

/* redfish= was the collection, or a service at another path; a service could lead us
 * round in a circle with these. */
static gb_redfish_next_e take_detour(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                     gb_value_t object, bool is_collection)
{
    if (run->detours++ >= DETOURS_MOST) {
        return done(run, GB_LADDER_REFUSED, "its links lead to no system");
    }
    return is_collection ? take_systems(run, place, object)
                         : take_root(run, place, object);
}

static gb_redfish_next_e take_system(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                     const gb_redfish_answer_t *answer,
                                     gb_value_t system)
{
    bool is_collection =
        gb_value_kind(gb_value_member(system, "Members")) == GB_VALUE_ARRAY;
    char path[GB_REDFISH_PATH_BYTES];

    if (is_collection ||
        gb_value_kind(gb_value_member(system, "Systems")) == GB_VALUE_OBJECT) {
        return take_detour(run, place, system, is_collection);
    }
    if (!gb_redfish_power(system, run->state, &run->powered)) {
        return done(run, GB_LADDER_LOST, "it does not say its PowerState");
    }
    snprintf(place->system, sizeof place->system, "%s", run->ask.path);
    if (run->op == GB_REDFISH_STATUS) {
        return done(run, GB_LADDER_OK, "%s", run->powered ? "on" : "off");
    }
    if (run->op == GB_REDFISH_WATTS) {
        gb_value_t chassis = gb_value_within(system, "Links", "Chassis");

        return gb_redfish_link(place->origin, gb_value_element(chassis, 0), path)
                   ? ask(run, PHASE_CHASSIS, path)
                   : done(run, GB_LADDER_REFUSED,
                          "the system names no chassis to measure");
    }
    return is_there(run) ? already(run) : prepare(run, place, answer, system);
}

/* The order was refused: perhaps because there was nothing to do. */
static gb_redfish_next_e take_recheck(gb_redfish_run_t *run, gb_value_t system)
{
    if (gb_redfish_power(system, run->state, &run->powered) && is_there(run)) {
        return already(run);
    }
    return done(run, run->refused == 409 ? GB_LADDER_LOST : GB_LADDER_REFUSED,
                "%s is answered by %u%s%s", run->reset, run->refused,
                run->said[0] ? ": " : "", run->said);
}

/* ------------------------------------------------------------------ tasks */

static gb_redfish_next_e poll(gb_redfish_run_t *run, int64_t retry_after_us)
{
    int64_t pause_us = POLL_LEAST_US << (run->polls < 2 ? run->polls : 2);

    if (retry_after_us > 0) {
        pause_us = retry_after_us > POLL_MOST_US ? POLL_MOST_US : retry_after_us;
    }
    if (++run->polls > POLLS_MOST) {
        gb_redfish_expire(run);
        return GB_REDFISH_DONE;
    }
    run->pause_us = pause_us;
    return GB_REDFISH_PAUSE;
}

static gb_redfish_next_e accepted(gb_redfish_run_t *run)
{
    return done(run, GB_LADDER_OK, "%s is accepted", run->reset);
}

static gb_redfish_next_e task_failed(gb_redfish_run_t *run,
                                     const gb_redfish_answer_t *answer)
{
    gb_value_t message =
        gb_value_element(gb_value_member(gb_redfish_object(answer), "Messages"), 0);
    char text[GB_REDFISH_TEXT_BYTES];

    gb_redfish_message(answer, text);
    if (!text[0]) {
        gb_value_t texts = gb_value_member(message, "Message");

        (void)gb_value_text(texts, text, sizeof text);
        for (char *c = text; *c; c++) {
            *c = *c < ' ' || *c > '~' ? '?' : *c;
        }
    }
    return done(run, GB_LADDER_LOST, "the task of %s failed%s%s", run->reset,
                text[0] ? ": " : "", text);
}

static gb_redfish_next_e take_reset(gb_redfish_run_t *run,
                                    const gb_redfish_place_t *place,
                                    const gb_redfish_answer_t *answer)
{
    char path[GB_REDFISH_PATH_BYTES];

    switch (gb_redfish_task(answer)) {
    case GB_REDFISH_TASK_RUNS:
        if (!gb_redfish_monitor(place->origin, answer, path)) {
            return accepted(run);
        }
        (void)ask(run, PHASE_TASK, path);
        return poll(run, answer->retry_after_us);
    case GB_REDFISH_TASK_FAILED:
        return task_failed(run, answer);
    case GB_REDFISH_TASK_ENDED:
    case GB_REDFISH_TASK_NONE:
    default:
        return accepted(run);
    }
}

static gb_redfish_next_e take_task(gb_redfish_run_t *run,
                                   const gb_redfish_answer_t *answer)
{
    switch (gb_redfish_task(answer)) {
    case GB_REDFISH_TASK_RUNS:
        return poll(run, answer->retry_after_us);
    case GB_REDFISH_TASK_FAILED:
        return task_failed(run, answer);
    case GB_REDFISH_TASK_ENDED:
    case GB_REDFISH_TASK_NONE:
    default:
        return done(run, GB_LADDER_OK, "%s is accepted, its task is done", run->reset);
    }
}

/* ------------------------------------------------------------------ watts */

static gb_redfish_next_e measured(gb_redfish_run_t *run, double watts)
{
    run->watts = watts;
    return done(run, GB_LADDER_OK, "%.1f W", watts);
}

static gb_redfish_next_e take_chassis(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                      gb_value_t chassis)
{
    bool has_metrics = gb_redfish_link(
        place->origin, gb_value_member(chassis, "EnvironmentMetrics"), place->metrics);
    bool has_power =
        gb_redfish_link(place->origin, gb_value_member(chassis, "Power"), place->power);

    if (has_metrics) {
        return ask(run, PHASE_METRICS, place->metrics);
    }
    return has_power ? ask(run, PHASE_POWER, place->power)
                     : done(run, GB_LADDER_REFUSED, "the chassis measures no power");
}

static gb_redfish_next_e no_metrics(gb_redfish_run_t *run,
                                    const gb_redfish_place_t *place)
{
    return place->power[0] ? ask(run, PHASE_POWER, place->power)
                           : done(run, GB_LADDER_LOST, "no reading");
}

static gb_redfish_next_e
take_metrics(gb_redfish_run_t *run, const gb_redfish_place_t *place, gb_value_t metrics)
{
    double watts;

    return gb_redfish_reading(gb_value_within(metrics, "PowerWatts", "Reading"), &watts)
               ? measured(run, watts)
               : no_metrics(run, place);
}

static gb_redfish_next_e take_power(gb_redfish_run_t *run, gb_value_t power)
{
    gb_value_t control = gb_value_element(gb_value_member(power, "PowerControl"), 0);
    double watts;

    return gb_redfish_reading(gb_value_member(control, "PowerConsumedWatts"), &watts)
               ? measured(run, watts)
               : done(run, GB_LADDER_LOST, "no reading");
}

/* ------------------------------------------------------------------ errors */

static gb_redfish_next_e tell(gb_redfish_run_t *run, gb_ladder_result_e result,
                              const char *what, uint32_t status, const char *said)
{
    return done(run, result, "%s (%u%s%s)", what, status, said[0] ? ": " : "", said);
}

/* The order met a condition: once more with the present tag. */
static gb_redfish_next_e rematch(gb_redfish_run_t *run, const gb_redfish_place_t *place,
                                 uint32_t status, const char *said)
{
    if (run->matched) {
        return tell(run, GB_LADDER_LOST, "its ETag changes all the time", status, said);
    }
    run->matched = true;
    return ask(run, PHASE_SYSTEM, place->system);
}

/* No such thing there. */
static gb_redfish_next_e take_missing(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                      uint32_t status, const char *said)
{
    switch ((phase_e)run->phase) {
    case PHASE_TASK:
        return accepted(run); /* services forget tasks that have ended */
    case PHASE_ACTION:
        return order(run, (gb_value_t){NULL, NULL});
    case PHASE_METRICS:
        if (place->power[0]) {
            return no_metrics(run, place);
        }
        break;
    default:
        break;
    }
    if (!run->forgot && run->phase != PHASE_RESET) {
        return forget(run, place);
    }
    return tell(run, GB_LADDER_REFUSED,
                run->phase == PHASE_RESET ? "it does not take the order"
                                          : "it has no such resource",
                status, said);
}

static gb_redfish_next_e take_refusal(gb_redfish_run_t *run,
                                      const gb_redfish_place_t *place, uint32_t status,
                                      const char *said)
{
    if (run->phase == PHASE_RESET && (status == 400 || status == 409)) {
        run->refused = status;
        snprintf(run->said, sizeof run->said, "%s", said);
        return ask(run, PHASE_RECHECK, place->system);
    }
    return tell(run, status == 409 ? GB_LADDER_LOST : GB_LADDER_REFUSED, "it refuses",
                status, said);
}

static gb_redfish_next_e take_error(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                    const gb_redfish_answer_t *answer)
{
    char said[GB_REDFISH_TEXT_BYTES];

    gb_redfish_message(answer, said);
    switch (answer->status) {
    case 401:
        return tell(run, GB_LADDER_REFUSED, "the login is refused", 401, said);
    case 403:
        return tell(run, GB_LADDER_REFUSED, "the account may not do this", 403, said);
    case 404:
    case 405:
    case 410:
    case 501:
        return take_missing(run, place, answer->status, said);
    case 412:
    case 428:
        if (run->phase == PHASE_RESET) {
            return rematch(run, place, answer->status, said);
        }
        break;
    case 500: /* of a task: its order's own status; what became of it is asked next */
        return run->phase == PHASE_TASK
                   ? task_failed(run, answer)
                   : tell(run, GB_LADDER_LOST, "it is busy", answer->status, said);
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return run->phase == PHASE_TASK
                   ? poll(run, answer->retry_after_us)
                   : tell(run, GB_LADDER_LOST, "it is busy", answer->status, said);
    default:
        break;
    }
    return run->phase == PHASE_TASK ? task_failed(run, answer)
                                    : take_refusal(run, place, answer->status, said);
}

static gb_redfish_next_e take_redirect(gb_redfish_run_t *run,
                                       const gb_redfish_place_t *place,
                                       const gb_redfish_answer_t *answer)
{
    /* 301 to 303 turn a POST into a GET: that would be another order, or none. */
    bool kept = !run->ask.post || answer->status == 307 || answer->status == 308;

    if (kept && run->redirects++ < REDIRECTS_MOST && answer->location &&
        gb_redfish_resolve(place->origin, answer->location, run->ask.path)) {
        return GB_REDFISH_ASK;
    }
    return done(run, GB_LADDER_REFUSED,
                "it redirects (%u), and not within the service: put the right URL "
                "into redfish=",
                answer->status);
}

/* ------------------------------------------------------------------ answers */

static gb_redfish_next_e take_object(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                     const gb_redfish_answer_t *answer)
{
    gb_value_t object = gb_redfish_object(answer);

    if (gb_value_kind(object) != GB_VALUE_OBJECT) {
        return run->phase == PHASE_ACTION
                   ? order(run, object)
                   : done(run, GB_LADDER_LOST, "its answer is no JSON object");
    }
    switch ((phase_e)run->phase) {
    case PHASE_ROOT:
        return take_root(run, place, object);
    case PHASE_SYSTEMS:
        return take_systems(run, place, object);
    case PHASE_ACTION:
        return order(run, gb_redfish_allowed(object));
    case PHASE_RECHECK:
        return take_recheck(run, object);
    case PHASE_CHASSIS:
        return take_chassis(run, place, object);
    case PHASE_METRICS:
        return take_metrics(run, place, object);
    case PHASE_POWER:
        return take_power(run, object);
    default:
        return take_system(run, place, answer, object);
    }
}

gb_redfish_next_e gb_redfish_take(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                  const gb_redfish_answer_t *answer)
{
    if (answer->status == 0) {
        /* The order of a task was accepted, whatever happens to the line now. */
        return run->phase == PHASE_TASK
                   ? poll(run, 0)
                   : done(run,
                          answer->fault == GB_REDFISH_WRONG ? GB_LADDER_REFUSED
                                                            : GB_LADDER_LOST,
                          "%s", answer->why);
    }
    if (answer->status >= 400) {
        return take_error(run, place, answer);
    }
    if (answer->status >= 300) {
        return take_redirect(run, place, answer);
    }
    if (run->phase == PHASE_RESET) {
        return take_reset(run, place, answer);
    }
    return run->phase == PHASE_TASK ? take_task(run, answer)
                                    : take_object(run, place, answer);
}

void gb_redfish_expire(gb_redfish_run_t *run)
{
    if (run->phase == PHASE_TASK && is_order(run)) {
        (void)done(run, GB_LADDER_OK, "%s is accepted, its task still runs",
                   run->reset);
        return;
    }
    (void)done(run, GB_LADDER_LOST, "no answer in time");
}
