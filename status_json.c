/* SPDX-License-Identifier: Apache-2.0
 *
 * status_json.c - the report as JSON, and the fleet as greensim reads it.
 *
 * The names and types in status.json are an interface (docs/status.md): add to them,
 * rename nothing.
 */
#include "status.h"

#include "core/gb_json.h"

static double seconds_of(int64_t duration_us)
{
    return (double)duration_us / (double)GB_US_PER_S;
}

static void json_text(gb_json_t *json, const char *name, const char *text)
{
    gb_json_key(json, name);
    gb_json_string(json, text);
}

static void json_count(gb_json_t *json, const char *name, uint64_t count)
{
    gb_json_key(json, name);
    gb_json_unsigned(json, count);
}

static void json_number(gb_json_t *json, const char *name, double value,
                        uint32_t decimals)
{
    gb_json_key(json, name);
    gb_json_number(json, value, decimals);
}

static void json_bool(gb_json_t *json, const char *name, bool value)
{
    gb_json_key(json, name);
    gb_json_bool(json, value);
}

static void json_boot(gb_json_t *json, const mgb_member_report_t *member)
{
    gb_json_key(json, "boot_s");
    gb_json_open_object(json);
    json_number(json, "first_guess", seconds_of(member->boot_guess_us), 3);
    json_number(json, "p50", seconds_of(member->boot_p50_us), 3);
    json_number(json, "p95", seconds_of(member->boot_p95_us), 3);
    json_count(json, "count", member->boot_count);
    gb_json_close_object(json);
}

static void json_agent(gb_json_t *json, const mgb_member_report_t *member)
{
    gb_json_key(json, "agent");
    if (!member->has_agent) {
        gb_json_null(json);
        return;
    }
    gb_json_open_object(json);
    json_number(json, "beat_s", member->beat_s, 1);
    json_bool(json, "veto", member->veto);
    json_text(json, "reason", member->veto_reason);
    json_number(json, "load", member->agent_load, 3);
    json_count(json, "work", member->agent_work);
    gb_json_close_object(json);
}

static void json_session(gb_json_t *json, const mgb_member_report_t *member)
{
    if (member->session_s >= 0) {
        json_number(json, "session_s", member->session_s, 3);
        return;
    }
    gb_json_key(json, "session_s");
    gb_json_null(json);
}

static void json_member(gb_json_t *json, const mgb_member_report_t *member)
{
    gb_json_open_object(json);
    json_text(json, "url", member->url);
    json_text(json, "machine", member->machine);
    json_text(json, "state", gb_state_name(member->state));
    json_text(json, "wish", gb_wish_name(member->wish));
    json_number(json, "since_s", member->since_s, 3);
    json_text(json, "health", mgb_report_health(member->health));
    json_text(json, "reverse_health", mgb_report_proof(member->proof));
    json_count(json, "in_flight", member->in_flight);
    json_count(json, "capacity", member->capacity);
    json_count(json, "capacity_in_force", member->capacity_in_force);
    json_number(json, "ejected_s", member->ejected_s, 3);
    json_session(json, member);
    json_count(json, "requests", member->requests);
    json_count(json, "errors", member->errors);
    json_number(json, "watts", member->power.watts, 1);
    json_text(json, "watts_source", mgb_report_source(member->power.source));
    json_text(json, "watts_by", member->measured_by);
    json_number(json, "joules", member->power.joules, 1);
    json_number(json, "joules_always_on", member->power.joules_always_on, 1);
    json_boot(json, member);
    json_count(json, "wakes", member->wakes);
    json_count(json, "sleeps", member->sleeps);
    json_count(json, "failures", member->failures);
    json_text(json, "last_error", member->last_error);
    json_text(json, "probe_error", member->probe_error);
    json_agent(json, member);
    gb_json_close_object(json);
}

static void json_energy(gb_json_t *json, const mgb_power_report_t *power)
{
    gb_json_key(json, "energy");
    gb_json_open_object(json);
    json_number(json, "watts", power->watts, 1);
    json_number(json, "joules", power->joules, 1);
    json_number(json, "joules_always_on", power->joules_always_on, 1);
    json_text(json, "source", mgb_report_source(power->source));
    gb_json_close_object(json);
}

static void json_waits(gb_json_t *json, const mgb_waits_t *waits)
{
    gb_json_key(json, "waits");
    gb_json_open_object(json);
    json_count(json, "served", waits->served);
    json_count(json, "refused", waits->refused);
    json_count(json, "timed_out", waits->timed_out);
    json_count(json, "aborted", waits->aborted);
    json_count(json, "pages", waits->pages);
    json_count(json, "turned_away", waits->turned_away);
    json_count(json, "ignored", waits->ignored);
    json_number(json, "p50_s", (double)gb_meter_quantile_us(waits->waited, 500) / 1e6,
                3);
    json_number(json, "p99_s", (double)gb_meter_quantile_us(waits->waited, 990) / 1e6,
                3);
    gb_json_close_object(json);
}

static void json_policies(gb_json_t *json, const mgb_balancer_report_t *balancer)
{
    gb_json_key(json, "policies");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < balancer->policy_count; i++) {
        const mgb_policy_report_t *policy = &balancer->policies[i];

        gb_json_open_object(json);
        json_text(json, "policy", policy->policy);
        json_bool(json, "in_force", policy->in_force);
        json_count(json, "would_be_on", policy->would_be_on);
        json_count(json, "would_be_coming", policy->would_be_coming);
        json_number(json, "joules", policy->joules, 1);
        json_number(json, "joules_always_on", policy->joules_always_on, 1);
        json_number(json, "saved_percent", policy->saved_percent, 3);
        json_number(json, "late_percent", policy->late_percent, 4);
        json_number(json, "since_s", policy->since_s, 0);
        gb_json_close_object(json);
    }
    gb_json_close_array(json);
}

static void json_balancer(gb_json_t *json, const mgb_balancer_report_t *balancer)
{
    gb_json_open_object(json);
    json_text(json, "name", balancer->name);
    json_text(json, "label", balancer->label);
    json_text(json, "mode", balancer->mode);
    json_text(json, "policy", balancer->policy);
    json_bool(json, "panic", balancer->panic);
    gb_json_key(json, "load");
    gb_json_open_object(json);
    json_count(json, "in_flight", balancer->in_flight);
    json_count(json, "arrivals_per_s", balancer->arrivals_per_s);
    json_count(json, "held", balancer->held);
    json_number(json, "p50_ms", balancer->p50_us / 1000.0, 3);
    json_number(json, "p99_ms", balancer->p99_us / 1000.0, 3);
    json_count(json, "arrived", balancer->arrived);
    json_count(json, "late", balancer->late);
    gb_json_close_object(json);
    json_waits(json, &balancer->waits);
    json_count(json, "capacity_awake", balancer->capacity_awake);
    json_count(json, "wanted_awake", balancer->wanted_awake);
    json_count(json, "min_awake", balancer->min_awake);
    json_text(json, "reason", balancer->reason);
    json_energy(json, &balancer->power);
    json_policies(json, balancer);
    json_number(json, "learned_s", balancer->learned_s, 0);
    gb_json_key(json, "members");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        json_member(json, &balancer->members[i]);
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

static void json_event(gb_json_t *json, const mgb_event_report_t *event)
{
    gb_json_open_object(json);
    json_number(json, "at", seconds_of(event->at), 3);
    json_text(json, "balancer", event->balancer);
    json_text(json, "member", event->member);
    json_text(json, "machine", event->machine);
    json_text(json, "from", event->from);
    json_text(json, "to", event->to);
    json_text(json, "reason", event->reason);
    gb_json_close_object(json);
}

static void json_keeper(gb_json_t *json, const mgb_report_t *report)
{
    gb_json_key(json, "keeper");
    gb_json_open_object(json);
    json_count(json, "pid", report->keeper_pid);
    json_number(json, "up_s", report->keeper_up_s, 3);
    json_bool(json, "stale", report->stale);
    json_bool(json, "paused", report->paused);
    gb_json_close_object(json);
}

static void json_report(gb_json_t *json, const void *data)
{
    const mgb_report_t *report = data;

    gb_json_open_object(json);
    json_text(json, "version", MGB_VERSION);
    json_number(json, "now", seconds_of(report->wall), 6);
    json_keeper(json, report);
    gb_json_key(json, "token");
    gb_json_null(json); /* no commands over HTTP */
    json_energy(json, &report->power);
    gb_json_key(json, "balancers");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        json_balancer(json, &report->balancers[i]);
    }
    gb_json_close_array(json);
    gb_json_key(json, "events");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < report->event_count; i++) {
        json_event(json, &report->events[i]);
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

const char *mgb_render_json_of(apr_pool_t *p,
                               void (*write)(gb_json_t *json, const void *data),
                               const void *data)
{
    gb_json_t json;
    size_t room;
    char *out;

    gb_json_start(&json, NULL, 0);
    write(&json, data);
    room = json.bytes + 2; /* a line end and a NUL */
    out = apr_palloc(p, room);
    gb_json_start(&json, out, room);
    write(&json, data);
    if (!gb_json_finish(&json)) {
        return "{}\n"; /* cannot be: the calls above are balanced and the room fits */
    }
    memcpy(out + json.bytes, "\n", 2);
    return out;
}

const char *mgb_render_json(apr_pool_t *p, const mgb_report_t *report)
{
    return mgb_render_json_of(p, json_report, report);
}

/* ---------------------------------------------------------------- the model */

static void json_server(gb_json_t *json, const mgb_member_report_t *member)
{
    const gb_curve_t *curve = &member->curve;

    gb_json_open_object(json);
    json_text(json, "name", member->url);
    json_text(json, "machine", member->machine);
    json_count(json, "capacity", member->capacity);
    gb_json_key(json, "watts");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < 11; i++) {
        gb_json_number(json, curve->watts[i], 3);
    }
    gb_json_close_array(json);
    json_number(json, "off_watts", curve->off_watts, 3);
    gb_json_key(json, "boot_s");
    gb_json_open_object(json);
    json_number(json, "p50", seconds_of(member->boot_p50_us), 3);
    json_number(json, "p95", seconds_of(member->boot_p95_us), 3);
    json_count(json, "count", member->boot_count);
    gb_json_close_object(json);
    json_text(json, "watts_source", curve->assumed ? "assumed" : "curve");
    gb_json_close_object(json);
}

/* Each machine once, by its first door.  What has no machine is never powered and tells
 * a simulator nothing. */
static void json_model(gb_json_t *json, const void *data)
{
    const mgb_report_t *report = data;

    gb_json_open_object(json);
    gb_json_key(json, "servers");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *balancer = &report->balancers[i];

        for (uint32_t j = 0; j < balancer->member_count; j++) {
            if (balancer->members[j].first_of_fleet) {
                json_server(json, &balancer->members[j]);
            }
        }
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

const char *mgb_status_model(apr_pool_t *p, const mgb_shared_t *sh)
{
    return mgb_render_json_of(p, json_model, mgb_report_take(p, sh));
}
