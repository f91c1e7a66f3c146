/* SPDX-License-Identifier: Apache-2.0
 *
 * status_page.c - the report for people: the page, and the section within mod_status.
 *
 * The page is one file without script or outside assets; it loads itself anew every 5
 * seconds.  On a narrow screen each table row becomes a card, its columns named by
 * data-label.  All that comes from the report is escaped where it is put in.
 */
#include "status.h"

#include <inttypes.h>

#define REFRESH_S 5

static const char page_style[] =
    ":root{color-scheme:light dark;--ink:#1b1f23;--soft:#57606a;--paper:#fff;"
    "--card:#f6f8fa;--line:#d0d7de;--on:#1a7f37;--change:#9a6700;--off:#57606a;"
    "--bad:#b3261e;--load:#0969da}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b1;"
    "--paper:#0d1117;--card:#161b22;--line:#30363d;--on:#3fb950;--change:#d29922;"
    "--off:#9da7b1;--bad:#ff7b72;--load:#58a6ff}}"
    "body{margin:0 auto;max-width:80rem;padding:1rem;font:16px/1.45 system-ui,"
    "sans-serif;color:var(--ink);background:var(--paper)}"
    "h1{font-size:1.4rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .3rem}"
    "p{margin:.3rem 0}a{color:var(--load)}.soft{color:var(--soft)}"
    ".warn{border-left:.3rem solid var(--bad);background:var(--card);padding:.5rem "
    ".8rem;margin:.8rem 0}"
    "dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:.6rem 0}"
    "dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.1rem}"
    "table{border-collapse:collapse;width:100%;font-size:.92rem}"
    "caption{text-align:left;color:var(--soft);padding:.3rem 0}"
    "th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:anywhere}"
    "thead th{color:var(--soft);font-weight:600;overflow-wrap:normal}"
    "tbody th{font-weight:600;min-width:13rem}td "
    "small{overflow-wrap:break-word}small{color:var(--soft);display:block}"
    ".n{font-variant-numeric:tabular-nums}.st{font-weight:600;white-space:nowrap}"
    ".on{color:var(--on)}.draining,.stopping,.waking{color:var(--change)}"
    ".asleep,.unknown{color:var(--off)}.failed,.bad{color:var(--bad)}"
    "details{margin:.8rem 0}summary{cursor:pointer;color:var(--load)}"
    "details table{max-width:50rem}"
    "svg{width:100%;max-width:30rem;height:auto;display:block;background:var(--card)}"
    ".s{stroke:var(--on);stroke-width:3}.l{stroke:var(--load);stroke-width:1.2}.ks{"
    "color:var(--on)}.kl{color:var(--load)}.day{max-width:45rem}.g{stroke:var(--line)}"
    ".w{stroke:var(--change);stroke-dasharray:4 2}.kw{color:var(--change)}"
    "@media(max-width:44rem){thead{position:absolute;left:-999rem}"
    "table,tbody,tr,th,td,caption{display:block}tr{border:1px solid var(--line);"
    "border-radius:.4rem;margin:.6rem 0;padding:.3rem .6rem;background:var(--card)}"
    "th,td{border:0;padding:.15rem 0}td::before{content:attr(data-label) \": \";"
    "color:var(--soft)}td:empty{display:none}"
    "td small{display:inline;padding-left:.5rem}tbody th{min-width:0}}";

static const char *html(apr_pool_t *p, const char *text)
{
    return ap_escape_html(p, text);
}

/* 47 s, 12 min, 3 h 20 min, 5 d 4 h: as exact as a glance needs it. */
static const char *duration(apr_pool_t *p, double seconds)
{
    int64_t whole = (int64_t)seconds;

    if (whole < 100) {
        return apr_psprintf(p, "%d s", (int)whole);
    }
    if (whole < 3600) {
        return apr_psprintf(p, "%d min", (int)(whole / 60));
    }
    if (whole < 86400) {
        return apr_psprintf(p, "%d h %d min", (int)(whole / 3600),
                            (int)(whole % 3600 / 60));
    }
    return apr_psprintf(p, "%" PRId64 " d %d h", whole / 86400,
                        (int)(whole % 86400 / 3600));
}

static const char *energy(apr_pool_t *p, double joules)
{
    double watt_hours = joules / 3600;

    return watt_hours < 1000 ? apr_psprintf(p, "%.1f Wh", watt_hours)
                             : apr_psprintf(p, "%.2f kWh", watt_hours / 1000);
}

static const char *source_note(uint32_t source)
{
    switch ((gb_watts_e)source) {
    case GB_WATTS_MEASURED:
        return "Watts are measured.";
    case GB_WATTS_CURVE:
        return "Watts are not measured for every server: where they are not, they are "
               "modelled from the server's power curve and its load.";
    default:
        return "Watts are not measured: at least one server's are modelled from its "
               "load and an assumed power curve (no watts= was given).";
    }
}

static const char *wish_note(gb_wish_e wish)
{
    switch (wish) {
    case GB_WISH_KEEP_ON:
        return "kept on by the operator";
    case GB_WISH_KEEP_OFF:
        return "kept off by the operator";
    default:
        return "";
    }
}

/* ---------------------------------------------------------------- a balancer */

/* A machine of its own is called by its member's URL: not said twice. */
static const char *machine_note(apr_pool_t *p, const mgb_member_report_t *member)
{
    if (!member->machine) {
        return "no machine: never powered";
    }
    return strcmp(member->machine, member->url) ? html(p, member->machine) : "";
}

static const char *state_note(apr_pool_t *p, const mgb_member_report_t *member)
{
    return apr_psprintf(p, "<small%s>%s</small>",
                        member->ejected_s > 0 ? " class=\"bad\"" : "",
                        html(p, mgb_report_note(p, member)));
}

/* The latest heartbeat of green-agent. */
static const char *agent_note(apr_pool_t *p, const mgb_member_report_t *member)
{
    if (!member->has_agent) {
        return "";
    }
    return apr_psprintf(p, "<small>agent %s ago: load %.0f %%, work %u</small>",
                        duration(p, member->beat_s), 100 * member->agent_load,
                        member->agent_work);
}

static void add_errors(apr_array_header_t *text, const mgb_member_report_t *member)
{
    mgb_report_add(text, "<td data-label=\"Last error\">");
    if (*member->last_error) {
        mgb_report_add(text, "%s", html(text->pool, member->last_error));
    }
    if (*member->probe_error) {
        mgb_report_add(text, "<small>probe: %s</small>",
                       html(text->pool, member->probe_error));
    }
    mgb_report_add(text, "</td></tr>\n");
}

static void add_member(apr_array_header_t *text, const mgb_member_report_t *member)
{
    apr_pool_t *p = text->pool;
    const char *state = gb_state_name(member->state);

    mgb_report_add(text,
                   "<tr><th scope=\"row\">%s<small>%s</small></th>"
                   "<td data-label=\"State\"><span class=\"st %s\">%s</span> for %s"
                   "<small>%s</small>%s</td>"
                   "<td data-label=\"Health\"><span class=\"%s\">%s</span>"
                   "<small>proof of off: %s</small>%s</td>",
                   html(p, member->url), machine_note(p, member), state, state,
                   duration(p, member->since_s), wish_note(member->wish),
                   state_note(p, member), mgb_report_health(member->health),
                   mgb_report_health(member->health), mgb_report_proof(member->proof),
                   agent_note(p, member));
    mgb_report_add(
        text,
        "<td class=\"n\" data-label=\"In flight\">%u of %u</td>"
        "<td class=\"n\" data-label=\"Requests\">%" PRIu64 "<small>%" PRIu64
        " errors</small></td>"
        "<td class=\"n\" data-label=\"Watts\">%.1f<small>%s%s%s, %s</small></td>",
        member->in_flight, member->capacity, member->requests, member->errors,
        member->power.watts, mgb_report_source(member->power.source),
        member->measured_by ? " by " : "",
        member->measured_by ? html(p, member->measured_by) : "",
        energy(p, member->power.joules));
    mgb_report_add(text,
                   "<td class=\"n\" data-label=\"Boot p50 / p95\">%.1f / %.1f s"
                   "<small>%u measured</small></td>"
                   "<td class=\"n\" data-label=\"Wakes / sleeps / failures\">%" PRIu64
                   " / %" PRIu64 " / %" PRIu64 "</td>",
                   (double)member->boot_p50_us / 1e6, (double)member->boot_p95_us / 1e6,
                   member->boot_count, member->wakes, member->sleeps, member->failures);
    add_errors(text, member);
}

/* How waiting has ended so far, where it was not with an answer of a server. */
static const char *waits_note(apr_pool_t *p, const mgb_waits_t *waits)
{
    const struct {
        uint64_t count;
        const char *what;
    } ends[] = {{waits->turned_away, "turned away"},
                {waits->refused, "refused"},
                {waits->timed_out, "timed out"},
                {waits->aborted, "gave up"}};
    const char *text = "";

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (ends[i].count) {
            text = apr_psprintf(p, "%s%s%" PRIu64 " %s", text, *text ? ", " : "",
                                ends[i].count, ends[i].what);
        }
    }
    return text;
}

static bool is_observed(const mgb_balancer_report_t *balancer)
{
    return strcmp(balancer->mode, "observe") == 0;
}

static void add_facts(apr_array_header_t *text, const mgb_balancer_report_t *balancer)
{
    apr_pool_t *p = text->pool;
    const mgb_power_report_t *power = &balancer->power;
    double saved = power->joules_always_on - power->joules;

    mgb_report_add(text,
                   "<dl><div><dt>Servers on</dt><dd>%u of %u, %u %s<small>at least "
                   "%u</small></dd></div>"
                   "<div><dt>In flight</dt><dd>%u of %u awake</dd></div>"
                   "<div><dt>Waiting</dt><dd>%u<small>%s</small></dd></div>"
                   "<div><dt>Arrivals</dt><dd>%u/s</dd></div>"
                   "<div><dt>Latency p50, p99</dt><dd>%.1f, %.1f ms</dd></div>",
                   balancer->servers_on, balancer->servers, balancer->wanted_awake,
                   is_observed(balancer) ? "would do now" : "wanted",
                   balancer->min_awake, balancer->in_flight, balancer->capacity_awake,
                   balancer->held, waits_note(p, &balancer->waits),
                   balancer->arrivals_per_s, balancer->p50_us / 1000.0,
                   balancer->p99_us / 1000.0);
    mgb_report_add(
        text,
        "<div><dt>Power</dt><dd>%.1f W <small>%s</small></dd></div>"
        "<div><dt>Energy</dt><dd>%s, always on %s</dd></div>"
        "<div><dt>Saved</dt><dd>%s (%.0f %%)</dd></div></dl>\n",
        power->watts, mgb_report_source(power->source), energy(p, power->joules),
        energy(p, power->joules_always_on), energy(p, saved),
        power->joules_always_on > 0 ? 100 * saved / power->joules_always_on : 0);
}

static const char *policy_note(apr_pool_t *p, const mgb_balancer_report_t *balancer,
                               const mgb_policy_report_t *policy)
{
    const gb_news_view_t *expected = &balancer->expected;
    const char *note = policy->in_force ? "configured" : "";

    if (!expected->known ||
        strcmp(policy->policy, gb_policy_name(GB_POLICY_NEWS)) != 0) {
        return note;
    }
    return apr_psprintf(
        p, "%s%sexpects %.1f/s a boot from now, seldom more than %.1f/s", note,
        *note ? "; " : "", expected->mean_rate, expected->high_rate);
}

/* What every policy would have done with what came: on a model of the servers, so that
 * all of them, and always on, are counted alike. */
static void add_policies(apr_array_header_t *text,
                         const mgb_balancer_report_t *balancer)
{
    apr_pool_t *p = text->pool;

    if (!balancer->policy_count) {
        return;
    }
    mgb_report_add(
        text,
        "<details%s><summary>What each policy would do</summary><table>"
        "<caption>With the requests that came in the past %s, on a model of "
        "these servers by their power curves and boot times, which has its own "
        "always on. Would be on: had it switched them all that time; how many are "
        "wanted, or would do, above is for the servers that are really on now. Late: "
        "not served within GreenQueue late=.</caption><thead>"
        "<tr><th scope=\"col\">Policy</th><th scope=\"col\">Would be on</th>"
        "<th scope=\"col\">Energy</th><th scope=\"col\">Always on</th>"
        "<th scope=\"col\">Saved</th><th scope=\"col\">Late</th></tr></thead>"
        "<tbody>\n",
        is_observed(balancer) ? " open" : "",
        duration(p, balancer->policies[0].since_s));
    for (uint32_t i = 0; i < balancer->policy_count; i++) {
        const mgb_policy_report_t *policy = &balancer->policies[i];

        mgb_report_add(
            text,
            "<tr><th scope=\"row\">%s<small>%s</small></th>"
            "<td class=\"n\" data-label=\"Would be on\">%u<small>%s</small></td>"
            "<td class=\"n\" data-label=\"Energy\">%s</td>"
            "<td class=\"n\" data-label=\"Always on\">%s</td>"
            "<td class=\"n\" data-label=\"Saved\">%.1f %%</td>"
            "<td class=\"n\" data-label=\"Late\">%.2f %%</td></tr>\n",
            policy->policy, policy_note(p, balancer, policy), policy->would_be_on,
            policy->would_be_coming
                ? apr_psprintf(p, "%u coming", policy->would_be_coming)
                : "",
            energy(p, policy->joules), energy(p, policy->joules_always_on),
            policy->saved_percent, policy->late_percent);
    }
    mgb_report_add(text, "</tbody></table></details>\n");
}

static void add_balancer(apr_array_header_t *text, const mgb_report_t *report,
                         const mgb_shared_t *sh, const mgb_balancer_report_t *balancer)
{
    apr_pool_t *p = text->pool;

    mgb_report_add(text,
                   "<section><h2>%s</h2><p class=\"soft\">GreenBalance %s, policy %s. "
                   "%s</p>\n",
                   html(p, balancer->label), balancer->mode, balancer->policy,
                   html(p, balancer->reason));
    if (balancer->panic) {
        mgb_report_add(text,
                       "<p class=\"warn\" role=\"alert\">Panic: no server serves, or "
                       "most have just failed their health checks. Requests go to "
                       "whatever may be reachable, and nothing is switched off. If "
                       "servers are up, check GreenHealth uri= and the network.</p>\n");
    }
    add_facts(text, balancer);
    if (sh) {
        mgb_history_hour(text, report, sh, balancer);
        mgb_history_day(text, report, sh, balancer);
    }
    add_policies(text, balancer);
    mgb_page_commit(text, balancer);
    mgb_report_add(text,
                   "<table><caption>Members, in the order in which they are filled. "
                   "%s</caption><thead><tr>",
                   source_note(balancer->power.source));
    mgb_report_add(text,
                   "<th scope=\"col\">Member, machine</th><th scope=\"col\">State</th>"
                   "<th scope=\"col\">Health</th><th scope=\"col\">In flight</th>"
                   "<th scope=\"col\">Requests</th><th scope=\"col\">Watts</th>"
                   "<th scope=\"col\">Boot p50 / p95</th><th scope=\"col\">Wakes / "
                   "sleeps / failures</th><th scope=\"col\">Last error</th></tr>"
                   "</thead><tbody>\n");
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        add_member(text, &balancer->members[i]);
    }
    mgb_report_add(text, "</tbody></table></section>\n");
}

/* ---------------------------------------------------------------- the page */

static const char *clock_time(apr_pool_t *p, apr_time_t at)
{
    apr_time_exp_t local;

    if (apr_time_exp_lt(&local, at) != APR_SUCCESS) {
        return "?";
    }
    return apr_psprintf(p, "%04d-%02d-%02d %02d:%02d:%02d", local.tm_year + 1900,
                        local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min,
                        local.tm_sec);
}

static const char *event_subject(apr_pool_t *p, const mgb_event_report_t *event)
{
    const char *subject = event->member ? event->member : event->machine;

    return html(p, subject ? subject : event->balancer ? event->balancer : "");
}

static void add_events(apr_array_header_t *text, const mgb_report_t *report)
{
    apr_pool_t *p = text->pool;

    mgb_report_add(text, "<section><h2>Events</h2>\n");
    if (!report->event_count) {
        mgb_report_add(text, "<p class=\"soft\">None yet.</p>");
    }
    else {
        mgb_report_add(text,
                       "<table><caption>The latest %u, newest last.</caption>"
                       "<thead><tr><th scope=\"col\">Time</th><th scope=\"col\">About"
                       "</th><th scope=\"col\">Change</th><th scope=\"col\">Reason"
                       "</th></tr></thead><tbody>\n",
                       report->event_count);
    }
    for (uint32_t i = 0; i < report->event_count; i++) {
        const mgb_event_report_t *event = &report->events[i];

        mgb_report_add(text,
                       "<tr><td class=\"n\" data-label=\"Time\">%s</td>"
                       "<td data-label=\"About\">%s</td><td data-label=\"Change\">",
                       clock_time(p, event->at), event_subject(p, event));
        if (event->to && strcmp(event->from, event->to)) {
            mgb_report_add(text, "%s \xe2\x86\x92 <span class=\"st %s\">%s</span>",
                           event->from, event->to, event->to);
        }
        mgb_report_add(text, "</td><td data-label=\"Reason\">%s</td></tr>\n",
                       html(p, event->reason));
    }
    mgb_report_add(text, "%s</section>\n",
                   report->event_count ? "</tbody></table>" : "");
}

static void add_warnings(apr_array_header_t *text, const mgb_report_t *report)
{
    if (!report->managed) {
        mgb_report_add(text, "<p class=\"warn\">Nothing is managed: no balancer has "
                             "GreenBalance on or observe.</p>\n");
    }
    else if (!report->keeper_pid) {
        mgb_report_add(
            text, "<p class=\"warn\" role=\"alert\">The keeper process is not running: "
                  "no server is woken or put to sleep, and what is shown here is what "
                  "it knew last. Requests go on to the servers that were awake. See "
                  "the error log.</p>\n");
    }
    else if (report->stale) {
        mgb_report_add(text,
                       "<p class=\"warn\" role=\"alert\">The keeper process (pid %u) "
                       "does not move on: what is shown here is old.</p>\n",
                       report->keeper_pid);
    }
    if (report->paused) {
        mgb_report_add(text,
                       "<p class=\"warn\">Paused by the operator: no power order is "
                       "given until greenctl resume.</p>\n");
    }
}

const char *mgb_render_page(apr_pool_t *p, const mgb_report_t *report,
                            const mgb_shared_t *sh, const char *base)
{
    apr_array_header_t *text = apr_array_make(p, 256, sizeof(const char *));
    const char *href = html(p, ap_os_escape_path(p, base, 1));

    mgb_report_add(text,
                   "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width,"
                   "initial-scale=1\"><meta http-equiv=\"refresh\" content=\"%d\">"
                   "<title>GreenBalance</title><style>%s</style></head><body>\n",
                   REFRESH_S, page_style);
    mgb_report_add(
        text,
        "<header><h1>GreenBalance</h1><p class=\"soft\">%s, mod_greenbalance %s. "
        "The page renews itself every %d seconds. <a href=\"%s/status.json\">"
        "JSON</a>, <a href=\"%s/history.json\">the past day</a>, <a "
        "href=\"%s/metrics\">metrics</a></p></header>\n<main>\n",
        clock_time(p, report->wall), MGB_VERSION, REFRESH_S, href, href, href);
    add_warnings(text, report);
    if (report->balancer_count > 1) {
        mgb_report_add(
            text,
            "<p>The whole fleet, each machine counted once: %.1f W (%s), %s, "
            "always on %s.</p>\n",
            report->power.watts, mgb_report_source(report->power.source),
            energy(p, report->power.joules), energy(p, report->power.joules_always_on));
    }
    if (!report->balancer_count) {
        mgb_report_add(text,
                       "<p>No balancer is measured: set GreenBalance on or observe in "
                       "a &lt;Proxy \"balancer://...\"&gt;.</p>\n");
    }
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        add_balancer(text, report, sh, &report->balancers[i]);
    }
    add_events(text, report);
    mgb_report_add(text, "</main></body></html>\n");
    return apr_array_pstrcat(p, text, 0);
}

/* ---------------------------------------------------------------- mod_status */

static void section_brief(apr_array_header_t *text, const mgb_report_t *report)
{
    mgb_report_add(text,
                   "GreenBalanceKeeperUp: %d\nGreenBalancePaused: %d\n"
                   "GreenBalanceWatts: %.1f\nGreenBalanceWattsSource: %s\n"
                   "GreenBalanceJoules: %.1f\nGreenBalanceJoulesAlwaysOn: %.1f\n",
                   !report->stale, report->paused, report->power.watts,
                   mgb_report_source(report->power.source), report->power.joules,
                   report->power.joules_always_on);
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *balancer = &report->balancers[i];

        mgb_report_add(
            text,
            "GreenBalance[%u]Name: %s\nGreenBalance[%u]ServersOn: %u\n"
            "GreenBalance[%u]Servers: %u\nGreenBalance[%u]ServersWanted: %u\n"
            "GreenBalance[%u]InFlight: %u\nGreenBalance[%u]Watts: %.1f\n"
            "GreenBalance[%u]WattsSource: %s\n",
            i, balancer->label, i, balancer->servers_on, i, balancer->servers, i,
            balancer->wanted_awake, i, balancer->in_flight, i, balancer->power.watts, i,
            mgb_report_source(balancer->power.source));
    }
}

const char *mgb_render_section(apr_pool_t *p, const mgb_report_t *report, bool brief)
{
    apr_array_header_t *text = apr_array_make(p, 32, sizeof(const char *));

    if (brief) {
        section_brief(text, report);
        return apr_array_pstrcat(p, text, 0);
    }
    mgb_report_add(
        text,
        "<hr />\n<h2>GreenBalance</h2>\n<p>Keeper: %s%s. %.1f W, %s of %s "
        "always on. %s</p>\n<table border=\"0\"><tr><th>Balancer</th>"
        "<th>Member</th><th>State</th><th>In flight</th><th>Capacity</th>"
        "<th>Watts</th></tr>\n",
        report->stale ? "not running" : "running", report->paused ? ", paused" : "",
        report->power.watts, energy(p, report->power.joules),
        energy(p, report->power.joules_always_on), source_note(report->power.source));
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *balancer = &report->balancers[i];

        for (uint32_t j = 0; j < balancer->member_count; j++) {
            const mgb_member_report_t *member = &balancer->members[j];

            mgb_report_add(text,
                           "<tr><td>%s</td><td>%s</td><td>%s</td><td>%u</td><td>%u</td>"
                           "<td>%.1f (%s)</td></tr>\n",
                           html(p, balancer->label), html(p, member->url),
                           gb_state_name(member->state), member->in_flight,
                           member->capacity, member->power.watts,
                           mgb_report_source(member->power.source));
        }
    }
    mgb_report_add(text, "</table>\n");
    return apr_array_pstrcat(p, text, 0);
}
