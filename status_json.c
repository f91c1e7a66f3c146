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

static void json_boot(gb_json_t *json, const mgb_member_report_t *member)
{
    gb_json_key(json, "boot_s");
    gb_json_open_object(json);
    gb_json_member_number(json, "first_guess", seconds_of(member->boot_guess_us), 3);
    gb_json_member_number(json, "p50", seconds_of(member->boot_p50_us), 3);
    gb_json_member_number(json, "p95", seconds_of(member->boot_p95_us), 3);
    gb_json_member_unsigned(json, "count", member->boot_count);
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
    gb_json_member_number(json, "beat_s", member->beat_s, 1);
    gb_json_member_bool(json, "veto", member->veto);
    gb_json_member_string(json, "reason", member->veto_reason);
    gb_json_member_number(json, "load", member->agent_load, 3);
    gb_json_member_unsigned(json, "work", member->agent_work);
    gb_json_close_object(json);
}

static void json_session(gb_json_t *json, const mgb_member_report_t *member)
{
    if (member->session_s >= 0) {
        gb_json_member_number(json, "session_s", member->session_s, 3);
        return;
    }
    gb_json_key(json, "session_s");
    gb_json_null(json);
}

static void json_member(gb_json_t *json, const mgb_member_report_t *member)
{
    gb_json_open_object(json);
    gb_json_member_string(json, "url", member->url);
    gb_json_member_string(json, "machine", member->machine);
    gb_json_member_string(json, "state", gb_state_name(member->state));
    gb_json_member_string(json, "wish", gb_wish_name(member->wish));
    gb_json_member_number(json, "since_s", member->since_s, 3);
    gb_json_member_string(json, "health", mgb_report_health(member->health));
    gb_json_member_string(json, "reverse_health", mgb_report_proof(member->proof));
    gb_json_member_unsigned(json, "in_flight", member->in_flight);
    gb_json_member_unsigned(json, "capacity", member->capacity);
    gb_json_member_unsigned(json, "capacity_in_force", member->capacity_in_force);
    gb_json_member_number(json, "ejected_s", member->ejected_s, 3);
    json_session(json, member);
    gb_json_member_unsigned(json, "requests", member->requests);
    gb_json_member_unsigned(json, "errors", member->errors);
    gb_json_member_number(json, "watts", member->power.watts, 1);
    gb_json_member_string(json, "watts_source",
                          mgb_report_source(member->power.source));
    gb_json_member_string(json, "watts_by", member->measured_by);
    gb_json_member_number(json, "joules", member->power.joules, 1);
    gb_json_member_number(json, "joules_always_on", member->power.joules_always_on, 1);
    json_boot(json, member);
    gb_json_member_unsigned(json, "wakes", member->wakes);
    gb_json_member_unsigned(json, "sleeps", member->sleeps);
    gb_json_member_unsigned(json, "failures", member->failures);
    gb_json_member_string(json, "last_error", member->last_error);
    gb_json_member_string(json, "probe_error", member->probe_error);
    json_agent(json, member);
    mgb_json_replica(json, &member->replica);
    gb_json_close_object(json);
}

static void json_energy(gb_json_t *json, const mgb_power_report_t *power)
{
    gb_json_key(json, "energy");
    gb_json_open_object(json);
    gb_json_member_number(json, "watts", power->watts, 1);
    gb_json_member_number(json, "joules", power->joules, 1);
    gb_json_member_number(json, "joules_always_on", power->joules_always_on, 1);
    gb_json_member_string(json, "source", mgb_report_source(power->source));
    gb_json_close_object(json);
}

static void json_waits(gb_json_t *json, const mgb_waits_t *waits)
{
    gb_json_key(json, "waits");
    gb_json_open_object(json);
    gb_json_member_unsigned(json, "served", waits->served);
    gb_json_member_unsigned(json, "refused", waits->refused);
    gb_json_member_unsigned(json, "timed_out", waits->timed_out);
    gb_json_member_unsigned(json, "aborted", waits->aborted);
    gb_json_member_unsigned(json, "pages", waits->pages);
    gb_json_member_unsigned(json, "turned_away", waits->turned_away);
    gb_json_member_unsigned(json, "ignored", waits->ignored);
    gb_json_member_number(json, "p50_s",
                          (double)gb_meter_quantile_us(waits->waited, 500) / 1e6, 3);
    gb_json_member_number(json, "p99_s",
                          (double)gb_meter_quantile_us(waits->waited, 990) / 1e6, 3);
    gb_json_close_object(json);
}

static void json_policies(gb_json_t *json, const mgb_balancer_report_t *balancer)
{
    gb_json_key(json, "policies");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < balancer->policy_count; i++) {
        const mgb_policy_report_t *policy = &balancer->policies[i];

        gb_json_open_object(json);
        gb_json_member_string(json, "policy", policy->policy);
        gb_json_member_bool(json, "in_force", policy->in_force);
        gb_json_member_unsigned(json, "would_be_on", policy->would_be_on);
        gb_json_member_unsigned(json, "would_be_coming", policy->would_be_coming);
        gb_json_member_number(json, "joules", policy->joules, 1);
        gb_json_member_number(json, "joules_always_on", policy->joules_always_on, 1);
        gb_json_member_number(json, "saved_percent", policy->saved_percent, 3);
        gb_json_member_number(json, "late_percent", policy->late_percent, 4);
        gb_json_member_number(json, "since_s", policy->since_s, 0);
        gb_json_close_object(json);
    }
    gb_json_close_array(json);
}

static void json_expected(gb_json_t *json, const gb_news_view_t *expected)
{
    gb_json_key(json, "expected");
    if (!expected->known) {
        gb_json_null(json);
        return;
    }
    gb_json_open_object(json);
    gb_json_member_number(json, "mean_per_s", expected->mean_rate, 3);
    gb_json_member_number(json, "high_per_s", expected->high_rate, 3);
    gb_json_member_number(json, "late_percent", 100 * expected->late_share, 4);
    gb_json_member_number(json, "lateness_price", expected->theta, 4);
    gb_json_close_object(json);
}

static void json_balancer(gb_json_t *json, const mgb_balancer_report_t *balancer)
{
    gb_json_open_object(json);
    gb_json_member_string(json, "name", balancer->name);
    gb_json_member_string(json, "label", balancer->label);
    gb_json_member_string(json, "mode", balancer->mode);
    gb_json_member_string(json, "policy", balancer->policy);
    gb_json_member_bool(json, "panic", balancer->panic);
    gb_json_key(json, "load");
    gb_json_open_object(json);
    gb_json_member_unsigned(json, "in_flight", balancer->in_flight);
    gb_json_member_unsigned(json, "arrivals_per_s", balancer->arrivals_per_s);
    gb_json_member_unsigned(json, "held", balancer->held);
    gb_json_member_number(json, "p50_ms", balancer->p50_us / 1000.0, 3);
    gb_json_member_number(json, "p99_ms", balancer->p99_us / 1000.0, 3);
    gb_json_member_unsigned(json, "arrived", balancer->arrived);
    gb_json_member_unsigned(json, "late", balancer->late);
    gb_json_close_object(json);
    json_waits(json, &balancer->waits);
    gb_json_member_unsigned(json, "capacity_awake", balancer->capacity_awake);
    gb_json_member_unsigned(json, "wanted_awake", balancer->wanted_awake);
    gb_json_member_unsigned(json, "min_awake", balancer->min_awake);
    gb_json_member_string(json, "reason", balancer->reason);
    json_energy(json, &balancer->power);
    json_policies(json, balancer);
    mgb_json_log(json, &balancer->commit);
    gb_json_member_number(json, "learned_s", balancer->learned_s, 0);
    json_expected(json, &balancer->expected);
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
    gb_json_member_number(json, "at", seconds_of(event->at), 3);
    gb_json_member_string(json, "balancer", event->balancer);
    gb_json_member_string(json, "member", event->member);
    gb_json_member_string(json, "machine", event->machine);
    gb_json_member_string(json, "from", event->from);
    gb_json_member_string(json, "to", event->to);
    gb_json_member_string(json, "reason", event->reason);
    gb_json_close_object(json);
}

static void json_keeper(gb_json_t *json, const mgb_report_t *report)
{
    gb_json_key(json, "keeper");
    gb_json_open_object(json);
    gb_json_member_unsigned(json, "pid", report->keeper_pid);
    gb_json_member_number(json, "up_s", report->keeper_up_s, 3);
    gb_json_member_bool(json, "stale", report->stale);
    gb_json_member_bool(json, "paused", report->paused);
    gb_json_close_object(json);
}

static void json_report(gb_json_t *json, const void *data)
{
    const mgb_report_t *report = data;

    gb_json_open_object(json);
    gb_json_member_string(json, "version", MGB_VERSION);
    gb_json_member_number(json, "now", seconds_of(report->wall), 6);
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
    gb_json_member_string(json, "name", member->url);
    gb_json_member_string(json, "machine", member->machine);
    gb_json_member_unsigned(json, "capacity", member->capacity);
    gb_json_key(json, "watts");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < 11; i++) {
        gb_json_number(json, curve->watts[i], 3);
    }
    gb_json_close_array(json);
    gb_json_member_number(json, "off_watts", curve->off_watts, 3);
    gb_json_key(json, "boot_s");
    gb_json_open_object(json);
    gb_json_member_number(json, "p50", seconds_of(member->boot_p50_us), 3);
    gb_json_member_number(json, "p95", seconds_of(member->boot_p95_us), 3);
    gb_json_member_unsigned(json, "count", member->boot_count);
    gb_json_close_object(json);
    gb_json_member_string(json, "watts_source", curve->assumed ? "assumed" : "curve");
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
