/* SPDX-License-Identifier: Apache-2.0
 *
 * status_metrics.c - the report as Prometheus metrics.
 *
 * The metrics' names are an interface (docs/status.md): add to them, rename nothing.
 */
#include "status.h"

/* A family of metrics with one sample a member. */
typedef struct family_t {
    const char *name, *type, *help;
    const char *label; /* one more label, `result="ok"`, or "" */
    bool by_machine;   /* only at the first door to a machine in each balancer, so that
                          a sum over members counts no machine twice */
    int decimals;
    double (*value)(const mgb_member_report_t *member);
} family_t;

static double value_in_flight(const mgb_member_report_t *member)
{
    return member->in_flight;
}

static double value_capacity(const mgb_member_report_t *member)
{
    return member->capacity;
}

static double value_requests(const mgb_member_report_t *member)
{
    return (double)member->requests;
}

static double value_errors(const mgb_member_report_t *member)
{
    return (double)member->errors;
}

static double value_wakes(const mgb_member_report_t *member)
{
    return (double)member->wakes;
}

static double value_failures(const mgb_member_report_t *member)
{
    return (double)member->failures;
}

static double value_sleeps(const mgb_member_report_t *member)
{
    return (double)member->sleeps;
}

static double value_in_force(const mgb_member_report_t *member)
{
    return member->capacity_in_force;
}

static double value_ejected(const mgb_member_report_t *member)
{
    return member->ejected_s;
}

static double value_veto(const mgb_member_report_t *member)
{
    return member->veto;
}

static double value_watts(const mgb_member_report_t *member)
{
    return member->power.watts;
}

static double value_joules(const mgb_member_report_t *member)
{
    return member->power.joules;
}

static double value_joules_always_on(const mgb_member_report_t *member)
{
    return member->power.joules_always_on;
}

/* A family that is split over a label stands in neighbouring lines; help NULL: goes on
 * with the family above. */
static const family_t families[] = {
    {"in_flight", "gauge", "Requests in flight at the member.", "", false, 0,
     value_in_flight},
    {"capacity", "gauge",
     "Concurrent requests at which the member still meets its latency goal.", "", false,
     0, value_capacity},
    {"capacity_in_force", "gauge", "What it is given now; less while it starts slowly.",
     "", false, 0, value_in_force},
    {"ejected_seconds", "gauge",
     "Until a member that was taken out is let in again; 0: it is not taken out.", "",
     false, 1, value_ejected},
    {"agent_veto", "gauge", "1 while the machine's agent objects to its sleep.", "",
     true, 0, value_veto},
    {"requests_total", "counter", "Requests sent to the member.", "", false, 0,
     value_requests},
    {"request_errors_total", "counter",
     "Requests answered with 5xx by the member, or by the gateway for it.", "", false,
     0, value_errors},
    {"wakes_total", "counter", "Wakes of the member's machine, by result.",
     "result=\"ok\"", true, 0, value_wakes},
    {"wakes_total", "counter", NULL, "result=\"failed\"", true, 0, value_failures},
    {"sleeps_total", "counter", "Sleeps of the member's machine, proved off.",
     "result=\"ok\"", true, 0, value_sleeps},
    {"watts", "gauge", "Power that the member's machine draws.", "", true, 1,
     value_watts},
    {"energy_joules_total", "counter", "Energy that the member's machine has drawn.",
     "", true, 1, value_joules},
    {"energy_always_on_joules_total", "counter",
     "Energy that it would have drawn if it had never been switched off.", "", true, 1,
     value_joules_always_on},
};

/* A label's value, escaped as the text format wants it. */
const char *mgb_metrics_escape(apr_pool_t *p, const char *value)
{
    char *escaped = apr_palloc(p, 2 * strlen(value) + 1), *end = escaped;

    for (; *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            *end++ = '\\';
        }
        *end++ = *value == '\n' ? 'n' : *value;
    }
    *end = '\0';
    return escaped;
}

/* The beginning of a sample of one member, without the closing brace. */
static const char *labels_of(apr_pool_t *p, const mgb_balancer_report_t *balancer,
                             const mgb_member_report_t *member)
{
    return apr_pstrcat(p, "{balancer=\"", mgb_metrics_escape(p, balancer->label),
                       "\",member=\"", mgb_metrics_escape(p, member->url), "\"", NULL);
}

void mgb_metrics_head(apr_array_header_t *text, const char *name, const char *type,
                      const char *help)
{
    mgb_report_add(text, "# HELP greenbalance_%s %s\n# TYPE greenbalance_%s %s\n", name,
                   help, name, type);
}

typedef void sample_fn(apr_array_header_t *text, const mgb_balancer_report_t *balancer,
                       const mgb_member_report_t *member, const void *data);

static void each_member(apr_array_header_t *text, const mgb_report_t *report,
                        sample_fn *sample, const void *data)
{
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *balancer = &report->balancers[i];

        for (uint32_t j = 0; j < balancer->member_count; j++) {
            sample(text, balancer, &balancer->members[j], data);
        }
    }
}

static void sample_family(apr_array_header_t *text,
                          const mgb_balancer_report_t *balancer,
                          const mgb_member_report_t *member, const void *data)
{
    const family_t *family = data;

    if (family->by_machine && !member->first_door) {
        return;
    }
    mgb_report_add(text, "greenbalance_%s%s%s%s} %.*f\n", family->name,
                   labels_of(text->pool, balancer, member), *family->label ? "," : "",
                   family->label, family->decimals, family->value(member));
}

/* One sample a state, 1 at the one it is in. */
static void sample_state(apr_array_header_t *text,
                         const mgb_balancer_report_t *balancer,
                         const mgb_member_report_t *member, const void *data)
{
    const char *labels = labels_of(text->pool, balancer, member);

    for (int state = 0; state < GB_ST_COUNT; state++) {
        mgb_report_add(text, "greenbalance_server_state%s,state=\"%s\"} %d\n", labels,
                       gb_state_name((gb_state_e)state), (int)member->state == state);
    }
}

static void sample_info(apr_array_header_t *text, const mgb_balancer_report_t *balancer,
                        const mgb_member_report_t *member, const void *data)
{
    if (member->machine) {
        mgb_report_add(text,
                       "greenbalance_member_info%s,machine=\"%s\",watts_source=\"%s\"} "
                       "1\n",
                       labels_of(text->pool, balancer, member),
                       mgb_metrics_escape(text->pool, member->machine),
                       mgb_report_source(member->power.source));
    }
}

/* How long wakes took: counters that only grow, kept by the machine over restarts. */
static void sample_wake(apr_array_header_t *text, const mgb_balancer_report_t *balancer,
                        const mgb_member_report_t *member, const void *data)
{
    const char *labels = labels_of(text->pool, balancer, member);
    uint64_t count = 0;

    if (!member->first_door) {
        return;
    }
    for (uint32_t i = 0; i < GB_BOOT_BUCKETS; i++) {
        int64_t bound_us = gb_boot_bound_us(i);

        count += member->boot_histogram[i];
        mgb_report_add(
            text,
            "greenbalance_wake_seconds_bucket%s,le=\"%s\"} %" APR_UINT64_T_FMT "\n",
            labels,
            bound_us == GB_NEVER_US
                ? "+Inf"
                : apr_psprintf(text->pool, "%g", (double)bound_us / 1e6),
            count);
    }
    mgb_report_add(text,
                   "greenbalance_wake_seconds_sum%s} %.3f\n"
                   "greenbalance_wake_seconds_count%s} %" APR_UINT64_T_FMT "\n",
                   labels, (double)member->boot_sum_us / 1e6, labels, count);
}

static void metrics_members(apr_array_header_t *text, const mgb_report_t *report)
{
    mgb_metrics_head(text, "server_state", "gauge",
                     "State of the member's machine: 1 at one state.");
    each_member(text, report, sample_state, NULL);
    mgb_metrics_head(text, "member_info", "gauge",
                     "Machine behind the member, and where its watts come from.");
    each_member(text, report, sample_info, NULL);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (families[i].help) {
            mgb_metrics_head(text, families[i].name, families[i].type,
                             families[i].help);
        }
        each_member(text, report, sample_family, &families[i]);
    }
    mgb_metrics_head(text, "wake_seconds", "histogram",
                     "From the wake order to the first healthy probe.");
    each_member(text, report, sample_wake, NULL);
}

/* Upper bounds of histograms; buckets of the segment's are finer. */
static const uint32_t bounds_ms[] = {1,    3,    10,    30,    100,    300,
                                     1000, 3000, 10000, 30000, 100000, 300000};

void mgb_metrics_histogram(apr_array_header_t *text, const char *name,
                           const char *balancer,
                           const uint32_t buckets[GB_LATENCY_BUCKETS], uint64_t sum_us)
{
    const char *label = mgb_metrics_escape(text->pool, balancer);
    uint64_t count = 0;
    uint32_t bucket = 0;

    for (size_t i = 0; i < sizeof bounds_ms / sizeof bounds_ms[0]; i++) {
        while (bucket < GB_LATENCY_BUCKETS &&
               gb_meter_bucket_top_us(bucket) <= bounds_ms[i] * GB_US_PER_MS) {
            count += buckets[bucket++];
        }
        mgb_report_add(text,
                       "greenbalance_%s_bucket{balancer=\"%s\",le=\"%g\"} "
                       "%" APR_UINT64_T_FMT "\n",
                       name, label, bounds_ms[i] / 1000.0, count);
    }
    while (bucket < GB_LATENCY_BUCKETS) {
        count += buckets[bucket++];
    }
    mgb_report_add(
        text,
        "greenbalance_%s_bucket{balancer=\"%s\",le=\"+Inf\"} %" APR_UINT64_T_FMT "\n"
        "greenbalance_%s_sum{balancer=\"%s\"} %.3f\n"
        "greenbalance_%s_count{balancer=\"%s\"} %" APR_UINT64_T_FMT "\n",
        name, label, count, name, label, (double)sum_us / 1e6, name, label, count);
}

static void sample_unheld(apr_array_header_t *text,
                          const mgb_balancer_report_t *balancer)
{
    const mgb_waits_t *waits = &balancer->waits;
    const struct {
        const char *result;
        uint64_t count;
    } results[] = {{"refused", waits->refused},         {"timed_out", waits->timed_out},
                   {"aborted", waits->aborted},         {"page", waits->pages},
                   {"turned_away", waits->turned_away}, {"ignored", waits->ignored}};

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        mgb_report_add(text,
                       "greenbalance_unserved_requests_total{balancer=\"%s\",result="
                       "\"%s\"} %" APR_UINT64_T_FMT "\n",
                       mgb_metrics_escape(text->pool, balancer->label),
                       results[i].result, results[i].count);
    }
}

static void metrics_holding(apr_array_header_t *text, const mgb_report_t *report)
{
    mgb_metrics_head(text, "hold_seconds", "histogram",
                     "How long requests waited that were served in the end.");
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        mgb_metrics_histogram(text, "hold_seconds", report->balancers[i].label,
                              report->balancers[i].waits.waited,
                              report->balancers[i].waits.waited_sum_us);
    }
    mgb_metrics_head(text, "unserved_requests_total", "counter",
                     "Requests that found no server: how that ended.");
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        sample_unheld(text, &report->balancers[i]);
    }
}

static double value_held(const mgb_balancer_report_t *balancer)
{
    return balancer->held;
}

static double value_wanted(const mgb_balancer_report_t *balancer)
{
    return balancer->wanted_awake;
}

static double value_capacity_awake(const mgb_balancer_report_t *balancer)
{
    return balancer->capacity_awake;
}

static double value_panic(const mgb_balancer_report_t *balancer)
{
    return balancer->panic;
}

static double value_floor(const mgb_balancer_report_t *balancer)
{
    return balancer->min_awake;
}

static double value_arrived(const mgb_balancer_report_t *balancer)
{
    return (double)balancer->arrived;
}

static double value_late(const mgb_balancer_report_t *balancer)
{
    return (double)balancer->late;
}

static void metrics_balancers(apr_array_header_t *text, const mgb_report_t *report)
{
    static const struct {
        const char *name, *type, *help;
        double (*value)(const mgb_balancer_report_t *balancer);
    } numbers[] = {
        {"held_requests", "gauge",
         "Requests that wait for a server, or for room on one.", value_held},
        {"wanted_servers", "gauge", "Servers that the policy wants awake.",
         value_wanted},
        {"min_servers", "gauge", "Servers that are awake at this hour at least.",
         value_floor},
        {"capacity_awake", "gauge",
         "Concurrent requests that the servers awake have room for.",
         value_capacity_awake},
        {"panic", "gauge", "1 while so many members fail that nothing is ordered off.",
         value_panic},
        {"arrived_requests_total", "counter", "Requests that came, served or not.",
         value_arrived},
        {"late_requests_total", "counter",
         "Requests that were answered too late, or found no server.", value_late},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        mgb_metrics_head(text, numbers[i].name, numbers[i].type, numbers[i].help);
        for (uint32_t j = 0; j < report->balancer_count; j++) {
            mgb_report_add(text, "greenbalance_%s{balancer=\"%s\"} %.0f\n",
                           numbers[i].name,
                           mgb_metrics_escape(text->pool, report->balancers[j].label),
                           numbers[i].value(&report->balancers[j]));
        }
    }
    mgb_metrics_head(text, "policy_info", "gauge", "The balancer's policy.");
    for (uint32_t j = 0; j < report->balancer_count; j++) {
        mgb_report_add(text,
                       "greenbalance_policy_info{balancer=\"%s\",policy=\"%s\"} 1\n",
                       mgb_metrics_escape(text->pool, report->balancers[j].label),
                       report->balancers[j].policy);
    }
}

static double value_twin_on(const mgb_policy_report_t *policy)
{
    return policy->would_be_on;
}

static double value_twin_joules(const mgb_policy_report_t *policy)
{
    return policy->joules;
}

static double value_twin_always_on(const mgb_policy_report_t *policy)
{
    return policy->joules_always_on;
}

static double value_twin_requests(const mgb_policy_report_t *policy)
{
    return policy->requests;
}

static double value_twin_late(const mgb_policy_report_t *policy)
{
    return policy->late;
}

static double value_twin_seconds(const mgb_policy_report_t *policy)
{
    return policy->since_s;
}

/* What each policy would do, by a model of the servers. */
static void metrics_twins(apr_array_header_t *text, const mgb_report_t *report)
{
    static const struct {
        const char *name, *type, *help;
        double (*value)(const mgb_policy_report_t *policy);
    } numbers[] = {
        {"twin_servers", "gauge", "Servers that the policy would have on.",
         value_twin_on},
        {"twin_energy_joules_total", "counter", "Energy that it would have drawn.",
         value_twin_joules},
        {"twin_energy_always_on_joules_total", "counter",
         "Energy of the same servers, never switched off.", value_twin_always_on},
        {"twin_requests_total", "counter", "Requests that the model has had.",
         value_twin_requests},
        {"twin_late_requests_total", "counter",
         "Requests that would have been late, in parts of one.", value_twin_late},
        {"twin_seconds_total", "counter", "How long the model has run.",
         value_twin_seconds},
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        mgb_metrics_head(text, numbers[i].name, numbers[i].type, numbers[i].help);
        for (uint32_t j = 0; j < report->balancer_count; j++) {
            const mgb_balancer_report_t *balancer = &report->balancers[j];

            for (uint32_t k = 0; k < balancer->policy_count; k++) {
                mgb_report_add(
                    text, "greenbalance_%s{balancer=\"%s\",policy=\"%s\"} %.3f\n",
                    numbers[i].name, mgb_metrics_escape(text->pool, balancer->label),
                    balancer->policies[k].policy,
                    numbers[i].value(&balancer->policies[k]));
            }
        }
    }
}

static void metrics_fleet(apr_array_header_t *text, const mgb_report_t *report)
{
    mgb_metrics_head(text, "build_info", "gauge", "Version of mod_greenbalance.");
    mgb_report_add(text, "greenbalance_build_info{version=\"%s\"} 1\n", MGB_VERSION);
    mgb_metrics_head(text, "keeper_up", "gauge",
                     "1 while the keeper process lives and is not stuck.");
    mgb_report_add(text, "greenbalance_keeper_up %d\n", !report->stale);
    mgb_metrics_head(text, "keeper_uptime_seconds", "gauge",
                     "Since the keeper was started.");
    mgb_report_add(text, "greenbalance_keeper_uptime_seconds %.3f\n",
                   report->keeper_up_s);
    mgb_metrics_head(text, "paused", "gauge",
                     "1 while power orders are suspended by the operator.");
    mgb_report_add(text, "greenbalance_paused %d\n", report->paused);
    mgb_metrics_head(text, "fleet_watts", "gauge",
                     "Power of all machines, each counted once.");
    mgb_report_add(text, "greenbalance_fleet_watts %.1f\n", report->power.watts);
    mgb_metrics_head(
        text, "fleet_watts_info", "gauge",
        "The weakest source of the machines' watts: measured, curve or assumed.");
    mgb_report_add(text, "greenbalance_fleet_watts_info{source=\"%s\"} 1\n",
                   mgb_report_source(report->power.source));
    mgb_metrics_head(text, "fleet_energy_joules_total", "counter",
                     "Energy drawn by all machines, each counted once.");
    mgb_report_add(text, "greenbalance_fleet_energy_joules_total %.1f\n",
                   report->power.joules);
    mgb_metrics_head(
        text, "fleet_energy_always_on_joules_total", "counter",
        "Energy they would have drawn if none had ever been switched off.");
    mgb_report_add(text, "greenbalance_fleet_energy_always_on_joules_total %.1f\n",
                   report->power.joules_always_on);
}

const char *mgb_render_metrics(apr_pool_t *p, const mgb_report_t *report)
{
    apr_array_header_t *text = apr_array_make(p, 256, sizeof(const char *));

    metrics_fleet(text, report);
    metrics_balancers(text, report);
    metrics_twins(text, report);
    metrics_holding(text, report);
    mgb_metrics_commit(text, report);
    metrics_members(text, report);
    return apr_array_pstrcat(p, text, 0);
}
