/* SPDX-License-Identifier: Apache-2.0
 *
 * status_commit.c - what reports say of replicated writes: a balancer's log and its
 * replicas, as JSON, metrics and on the page.
 *
 * The names are an interface (docs/status.md): add to them, rename nothing.
 */
#include "status.h"

#include "core/gb_json.h"

#include "http_core.h"

#include <inttypes.h>

/* ------------------------------------------------------------------ the report */

static bool is_replicated(uint32_t balancer)
{
    const apr_array_header_t *all = mgb_context ? mgb_context->balancers : NULL;

    for (int i = 0; all && i < all->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(all, i, mgb_balancer_t);

        if (b->index == balancer) {
            return b->conf->commit.terms.on;
        }
    }
    return false;
}

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

void mgb_report_log(mgb_commit_report_t *commit, const mgb_shared_t *sh,
                    uint32_t balancer)
{
    const mgb_log_shared_t *log = &sh->balancers[balancer].log;

    commit->on = is_replicated(balancer);
    if (!commit->on) {
        return;
    }
    commit->live = LOAD(log->live) != 0;
    commit->need = LOAD(log->need);
    commit->epoch = LOAD(log->epoch);
    commit->settled = LOAD(log->settled);
    commit->head = LOAD(log->head);
    commit->bytes = LOAD(log->bytes);
    commit->permille_full = LOAD(log->permille_full);
    commit->accepted = LOAD(log->accepted);
    commit->rejected = LOAD(log->rejected);
    commit->failed = LOAD(log->failed);
    commit->met = LOAD(log->met);
    commit->late = LOAD(log->late);
    commit->full = LOAD(log->full);
    commit->repeated = LOAD(log->repeated);
    commit->asides = LOAD(log->asides);
    commit->given_up = LOAD(log->given_up);
    commit->stuck_seq = LOAD(log->stuck_seq);
    commit->stuck_s = (double)(mgb_now_us() - LOAD(log->stuck_since_us)) / 1e6;
    commit->waited_sum_us = LOAD(log->waited_sum_us);
    for (size_t i = 0; i < GB_LATENCY_BUCKETS; i++) {
        commit->waited[i] = LOAD(log->waited[i]);
    }
    commit->reads_waited = LOAD(log->reads_waited);
    commit->reads_refused = LOAD(log->reads_refused);
    commit->reads_stale = LOAD(log->reads_stale);
}

static double seconds_of(int64_t duration_us)
{
    return duration_us > 0 ? (double)duration_us / (double)GB_US_PER_S : 0;
}

void mgb_report_replica(apr_pool_t *p, mgb_replica_report_t *replica,
                        const mgb_shared_t *sh, uint32_t member, int64_t now_us)
{
    const mgb_replica_shared_t *from = &sh->members[member].replica;
    int64_t since_us, catch_up_us;

    replica->shown = is_replicated(sh->members[member].balancer);
    replica->why = "";
    if (!replica->shown) {
        return;
    }
    replica->known = LOAD(from->is_replica) != 0;
    replica->reads = LOAD(from->reads) != 0;
    replica->aside = LOAD(from->aside) != 0;
    replica->resyncing = LOAD(from->resyncing) != 0;
    replica->wants_awake = LOAD(from->wants_awake) != 0;
    replica->parked = LOAD(from->parked) != 0 && LOAD(from->park) != 0;
    replica->cursor = LOAD(from->cursor);
    replica->lag_entries = LOAD(from->lag_entries);
    replica->writes = LOAD(from->writes);
    since_us = LOAD(from->lag_since_us);
    catch_up_us = LOAD(from->catch_up_us);
    replica->lag_s = since_us > 0 ? seconds_of(now_us - since_us) : 0;
    replica->catch_up_s = catch_up_us == GB_NEVER_US ? -1 : seconds_of(catch_up_us);
    replica->why = mgb_report_text(p, from->why, sizeof(from->why));
}

const char *mgb_report_replica_note(apr_pool_t *p, const mgb_member_report_t *member)
{
    const mgb_replica_report_t *replica = &member->replica;
    const bool awake = member->state == GB_ST_ON || member->state == GB_ST_UNKNOWN;

    if (!replica->shown || (!replica->known && !awake)) {
        return "";
    }
    if (replica->aside) {
        return apr_psprintf(p, "%s%s%s",
                            replica->resyncing ? "set aside, being brought back"
                                               : "set aside",
                            *replica->why ? ": " : "", replica->why);
    }
    if (awake && !replica->reads) {
        return apr_psprintf(p, "catches up: %" PRIu64 " writes behind, %.0f s",
                            replica->lag_entries, replica->lag_s);
    }
    if (member->state == GB_ST_DRAINING && !replica->parked) {
        return apr_psprintf(p, "%" PRIu64 " writes wait for it", replica->lag_entries);
    }
    if (!awake && replica->lag_entries) {
        return apr_psprintf(p, "%" PRIu64 " writes wait for it, the oldest for %.0f s",
                            replica->lag_entries, replica->lag_s);
    }
    return "";
}

/* ------------------------------------------------------------------ JSON */

void mgb_json_log(gb_json_t *json, const mgb_commit_report_t *commit)
{
    gb_json_key(json, "commit");
    if (!commit->on) {
        gb_json_null(json);
        return;
    }
    gb_json_open_object(json);
    gb_json_member_bool(json, "live", commit->live);
    gb_json_member_unsigned(json, "need", commit->need);
    gb_json_member_unsigned(json, "epoch", commit->epoch);
    gb_json_member_unsigned(json, "head", commit->head);
    gb_json_member_unsigned(json, "settled", commit->settled);
    gb_json_member_unsigned(json, "journal_bytes", commit->bytes);
    gb_json_member_unsigned(json, "journal_permille", commit->permille_full);
    gb_json_member_unsigned(json, "accepted", commit->accepted);
    gb_json_member_unsigned(json, "rejected", commit->rejected);
    gb_json_member_unsigned(json, "failed", commit->failed);
    gb_json_member_unsigned(json, "met", commit->met);
    gb_json_member_unsigned(json, "late", commit->late);
    gb_json_member_unsigned(json, "full", commit->full);
    gb_json_member_unsigned(json, "repeated", commit->repeated);
    gb_json_member_unsigned(json, "asides", commit->asides);
    gb_json_member_unsigned(json, "given_up", commit->given_up);
    gb_json_member_number(json, "wait_p50_s",
                          seconds_of(gb_meter_quantile_us(commit->waited, 500)), 4);
    gb_json_member_number(json, "wait_p99_s",
                          seconds_of(gb_meter_quantile_us(commit->waited, 990)), 4);
    gb_json_member_unsigned(json, "reads_waited", commit->reads_waited);
    gb_json_member_unsigned(json, "reads_refused", commit->reads_refused);
    gb_json_member_unsigned(json, "reads_stale", commit->reads_stale);
    gb_json_close_object(json);
}

void mgb_json_replica(gb_json_t *json, const mgb_replica_report_t *replica)
{
    gb_json_key(json, "replica");
    if (!replica->shown) {
        gb_json_null(json);
        return;
    }
    gb_json_open_object(json);
    gb_json_member_bool(json, "known", replica->known);
    gb_json_member_bool(json, "reads", replica->reads);
    gb_json_member_bool(json, "aside", replica->aside);
    gb_json_member_string(json, "why", replica->why);
    gb_json_member_bool(json, "resyncing", replica->resyncing);
    gb_json_member_bool(json, "parked", replica->parked);
    gb_json_member_bool(json, "wants_awake", replica->wants_awake);
    gb_json_member_unsigned(json, "cursor", replica->cursor);
    gb_json_member_unsigned(json, "lag_entries", replica->lag_entries);
    gb_json_member_number(json, "lag_s", replica->lag_s, 3);
    gb_json_key(json, "catch_up_s");
    if (replica->catch_up_s < 0) {
        gb_json_null(json);
    }
    else {
        gb_json_number(json, replica->catch_up_s, 3);
    }
    gb_json_member_unsigned(json, "writes", replica->writes);
    gb_json_close_object(json);
}

/* ------------------------------------------------------------------ metrics */

typedef struct log_number_t {
    const char *name, *type, *help;
    const char *label; /* one more label, or "" */
    apr_size_t at;     /* of a uint64_t in the report; else */
    double (*value)(const mgb_commit_report_t *commit);
} log_number_t;

static double value_live(const mgb_commit_report_t *commit)
{
    return commit->live;
}

static double value_need(const mgb_commit_report_t *commit)
{
    return commit->need;
}

static double value_full(const mgb_commit_report_t *commit)
{
    return commit->permille_full / 1000.0;
}

#define COUNT(field) APR_OFFSETOF(mgb_commit_report_t, field), NULL

static const log_number_t log_numbers[] = {
    {"commit_live", "gauge", "1 while the journal thread serves the balancer's log.",
     "", 0, value_live},
    {"commit_need", "gauge", "Servers that have to confirm a write.", "", 0,
     value_need},
    {"commit_journal_full_ratio", "gauge", "How full the journal is, 0 to 1.", "", 0,
     value_full},
    {"commit_journal_bytes", "gauge", "Bytes of the journal in use.", "", COUNT(bytes)},
    {"commit_epoch", "gauge", "Number of the journal that the log lies in.", "",
     COUNT(epoch)},
    {"commit_head", "gauge", "Number of the latest write of the log.", "", COUNT(head)},
    {"commit_settled", "gauge",
     "The latest write such that it and all before have a verdict.", "",
     COUNT(settled)},
    {"commit_writes_total", "counter", "Writes, by the application's verdict.",
     "result=\"accepted\"", COUNT(accepted)},
    {"commit_writes_total", "counter", NULL, "result=\"rejected\"", COUNT(rejected)},
    {"commit_writes_total", "counter", NULL, "result=\"failed\"", COUNT(failed)},
    {"commit_answers_total", "counter",
     "Answers to clients: complete in time, not yet, not stored since the journal was "
     "full, or one that was given before.",
     "result=\"met\"", COUNT(met)},
    {"commit_answers_total", "counter", NULL, "result=\"late\"", COUNT(late)},
    {"commit_answers_total", "counter", NULL, "result=\"full\"", COUNT(full)},
    {"commit_answers_total", "counter", NULL, "result=\"repeated\"", COUNT(repeated)},
    {"commit_asides_total", "counter", "How often a server was set aside.", "",
     COUNT(asides)},
    {"commit_given_up_total", "counter",
     "Writes that the operator has given up; they are among the failed ones.", "",
     COUNT(given_up)},
    {"commit_reads_total", "counter",
     "Reads whose client had written what no server had yet: that waited for it, that "
     "were refused, that were answered all the same.",
     "result=\"waited\"", COUNT(reads_waited)},
    {"commit_reads_total", "counter", NULL, "result=\"refused\"", COUNT(reads_refused)},
    {"commit_reads_total", "counter", NULL, "result=\"stale\"", COUNT(reads_stale)},
};

static void metric_log(apr_array_header_t *text, const mgb_balancer_report_t *balancer,
                       const log_number_t *number)
{
    const mgb_commit_report_t *commit = &balancer->commit;
    double value = number->value
                       ? number->value(commit)
                       : (double)*(const uint64_t *)((const char *)commit + number->at);

    if (commit->on) {
        mgb_report_add(text, "greenbalance_%s{balancer=\"%s\"%s%s} %.*f\n",
                       number->name, mgb_metrics_escape(text->pool, balancer->label),
                       *number->label ? "," : "", number->label,
                       number->value == value_full ? 3 : 0, value);
    }
}

typedef struct replica_number_t {
    const char *name, *type, *help;
    double (*value)(const mgb_replica_report_t *replica);
} replica_number_t;

static double value_lag(const mgb_replica_report_t *replica)
{
    return (double)replica->lag_entries;
}

static double value_lag_s(const mgb_replica_report_t *replica)
{
    return replica->lag_s;
}

static double value_reads(const mgb_replica_report_t *replica)
{
    return replica->reads;
}

static double value_aside(const mgb_replica_report_t *replica)
{
    return replica->aside;
}

static double value_resyncing(const mgb_replica_report_t *replica)
{
    return replica->resyncing;
}

static double value_parked(const mgb_replica_report_t *replica)
{
    return replica->parked;
}

static double value_cursor(const mgb_replica_report_t *replica)
{
    return (double)replica->cursor;
}

static double value_writes(const mgb_replica_report_t *replica)
{
    return (double)replica->writes;
}

static const replica_number_t replica_numbers[] = {
    {"commit_lag_entries", "gauge", "Writes that the member does not have yet.",
     value_lag},
    {"commit_lag_seconds", "gauge", "Since the oldest of them was stored.",
     value_lag_s},
    {"commit_cursor", "gauge", "The latest write up to which it has every one.",
     value_cursor},
    {"commit_reads", "gauge", "1 while the member may take reads.", value_reads},
    {"commit_aside", "gauge", "1 while the member is set aside.", value_aside},
    {"commit_resyncing", "gauge", "1 while GreenResync runs for the member.",
     value_resyncing},
    {"commit_parked", "gauge",
     "1 while the member has all writes and gets no more, for it is to sleep.",
     value_parked},
    {"commit_confirmed_total", "counter", "Writes that the member has confirmed.",
     value_writes},
};

static void metric_replicas(apr_array_header_t *text,
                            const mgb_balancer_report_t *balancer,
                            const replica_number_t *number)
{
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        const mgb_member_report_t *member = &balancer->members[i];

        if (member->replica.shown) {
            mgb_report_add(
                text, "greenbalance_%s{balancer=\"%s\",member=\"%s\"} %.*f\n",
                number->name, mgb_metrics_escape(text->pool, balancer->label),
                mgb_metrics_escape(text->pool, member->url),
                number->value == value_lag_s ? 3 : 0, number->value(&member->replica));
        }
    }
}

static bool any_replicated(const mgb_report_t *report)
{
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        if (report->balancers[i].commit.on) {
            return true;
        }
    }
    return false;
}

void mgb_metrics_commit(apr_array_header_t *text, const mgb_report_t *report)
{
    if (!any_replicated(report)) {
        return;
    }
    for (size_t i = 0; i < sizeof log_numbers / sizeof log_numbers[0]; i++) {
        if (log_numbers[i].help) {
            mgb_metrics_head(text, log_numbers[i].name, log_numbers[i].type,
                             log_numbers[i].help);
        }
        for (uint32_t j = 0; j < report->balancer_count; j++) {
            metric_log(text, &report->balancers[j], &log_numbers[i]);
        }
    }
    mgb_metrics_head(text, "commit_wait_seconds", "histogram",
                     "From a write's arrival until its quorum had confirmed.");
    for (uint32_t j = 0; j < report->balancer_count; j++) {
        const mgb_balancer_report_t *balancer = &report->balancers[j];

        if (balancer->commit.on) {
            mgb_metrics_histogram(text, "commit_wait_seconds", balancer->label,
                                  balancer->commit.waited,
                                  balancer->commit.waited_sum_us);
        }
    }
    for (size_t i = 0; i < sizeof replica_numbers / sizeof replica_numbers[0]; i++) {
        mgb_metrics_head(text, replica_numbers[i].name, replica_numbers[i].type,
                         replica_numbers[i].help);
        for (uint32_t j = 0; j < report->balancer_count; j++) {
            metric_replicas(text, &report->balancers[j], &replica_numbers[i]);
        }
    }
}

/* ------------------------------------------------------------------ the page */

static const char *bytes_of(apr_pool_t *p, uint64_t bytes)
{
    return bytes < 1024 * 1024
               ? apr_psprintf(p, "%.0f KiB", (double)bytes / 1024)
               : apr_psprintf(p, "%.1f MiB", (double)bytes / (1024 * 1024));
}

/* What the visitor should do something about. */
static void page_warn(apr_array_header_t *text, const mgb_balancer_report_t *balancer)
{
    const mgb_commit_report_t *commit = &balancer->commit;
    uint32_t aside = 0;

    if (!commit->live) {
        mgb_report_add(text, "<p class=\"warn\" role=\"alert\">Nobody serves the "
                             "journal: writes get 503, and no server of this balancer "
                             "is put to sleep. The error log says why.</p>\n");
    }
    else if (commit->permille_full >= 900) {
        mgb_report_add(text,
                       "<p class=\"warn\" role=\"alert\">The journal is full: new "
                       "writes get 503. Servers that lag or are set aside hold what "
                       "cannot be forgotten yet.</p>\n");
    }
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        aside += balancer->members[i].replica.aside;
    }
    if (aside) {
        mgb_report_add(text,
                       "<p class=\"warn\">%u of the servers %s set aside: one whose "
                       "data may differ gets no reads and no writes until GreenResync "
                       "has brought it back.</p>\n",
                       aside, aside == 1 ? "is" : "are");
    }
}

static const char *state_of(const mgb_member_report_t *member)
{
    const mgb_replica_report_t *replica = &member->replica;

    if (!replica->known) {
        return "not known yet";
    }
    if (replica->aside) {
        return replica->resyncing ? "being brought back" : "set aside";
    }
    if (replica->parked) {
        return member->state == GB_ST_ASLEEP ? "asleep" : "about to sleep";
    }
    return replica->reads ? "takes reads" : "catches up";
}

static void page_replica(apr_array_header_t *text, const mgb_member_report_t *member)
{
    const mgb_replica_report_t *replica = &member->replica;
    apr_pool_t *p = text->pool;

    mgb_report_add(
        text,
        "<tr><th scope=\"row\">%s</th><td data-label=\"Replica\"><span class=\"st "
        "%s\">%s</span><small>%s</small></td>"
        "<td class=\"n\" data-label=\"Behind\">%" PRIu64 "<small>%s</small></td>"
        "<td class=\"n\" data-label=\"Has up to\">%" PRIu64 "</td>"
        "<td class=\"n\" data-label=\"Confirmed\">%" PRIu64 "</td></tr>\n",
        ap_escape_html(p, member->url),
        replica->aside    ? "bad"
        : replica->parked ? "asleep"
        : replica->reads  ? "on"
                          : "waking",
        state_of(member), ap_escape_html(p, replica->why), replica->lag_entries,
        replica->lag_entries && !replica->aside
            ? apr_psprintf(p, "%.1f s", replica->lag_s)
            : "",
        replica->cursor, replica->writes);
}

void mgb_page_commit(apr_array_header_t *text, const mgb_balancer_report_t *balancer)
{
    const mgb_commit_report_t *commit = &balancer->commit;
    apr_pool_t *p = text->pool;

    if (!commit->on) {
        return;
    }
    page_warn(text, balancer);
    mgb_report_add(
        text,
        "<details open><summary>Replicated writes</summary><dl><div><dt>Log</dt>"
        "<dd>%" PRIu64 "<small>%" PRIu64 " open</small></dd></div>"
        "<div><dt>Quorum</dt><dd>%u</dd></div>"
        "<div><dt>Quorum wait p50, p99</dt><dd>%.1f, %.1f ms</dd></div>"
        "<div><dt>Complete, not yet</dt><dd>%" PRIu64 ", %" PRIu64 "</dd></div>"
        "<div><dt>Rejected, failed</dt><dd>%" PRIu64 ", %" PRIu64 "</dd></div>"
        "<div><dt>Journal</dt><dd>%s<small>%.1f %% full</small></dd></div>"
        "<div><dt>Reads refused, stale</dt><dd>%" PRIu64 ", %" PRIu64
        "</dd></div></dl>\n",
        commit->head,
        commit->head > commit->settled ? commit->head - commit->settled : 0,
        commit->need, (double)gb_meter_quantile_us(commit->waited, 500) / 1000,
        (double)gb_meter_quantile_us(commit->waited, 990) / 1000, commit->met,
        commit->late, commit->rejected, commit->failed, bytes_of(p, commit->bytes),
        commit->permille_full / 10.0, commit->reads_refused, commit->reads_stale);
    mgb_report_add(text,
                   "<table><caption>Replicas: how far each of them is.</caption><thead>"
                   "<tr><th scope=\"col\">Member</th><th scope=\"col\">Replica</th>"
                   "<th scope=\"col\">Behind</th><th scope=\"col\">Has up to</th>"
                   "<th scope=\"col\">Confirmed</th></tr></thead><tbody>\n");
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        page_replica(text, &balancer->members[i]);
    }
    mgb_report_add(text, "</tbody></table></details>\n");
}
