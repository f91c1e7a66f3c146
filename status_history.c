/* SPDX-License-Identifier: Apache-2.0
 *
 * status_history.c - the past: the day as JSON, the hour and the day as drawings.
 *
 * All are of the rings that the keeper fills once a second and once a minute
 * (load_history.c), and are read without a lock: one that is being written shows half
 * of it, once.  They begin with httpd; a graceful restart keeps them.
 */
#include "status.h"

#include "core/gb_command.h"
#include "core/gb_json.h"

#include <inttypes.h>

#define MINUTE_S 60
#define DAY_S    (GB_PAST_MINUTES * MINUTE_S)

/* ---------------------------------------------------------------- JSON */

typedef struct history_t {
    const mgb_report_t *report;
    const mgb_shared_t *sh;
    const char *wanted; /* balancer, or NULL: all */
} history_t;

static const gb_past_t *minutes_of(const mgb_shared_t *sh, uint32_t balancer)
{
    return &sh->minutes[(size_t)balancer * GB_PAST_MINUTES];
}

static bool is_wanted(const history_t *history, const mgb_balancer_report_t *balancer)
{
    return !history->wanted ||
           gb_command_match_balancer(history->wanted, balancer->name, balancer->label);
}

static void json_minute(gb_json_t *json, const gb_past_t *past)
{
    gb_json_open_array(json);
    gb_json_unsigned(json, past->at_s);
    gb_json_unsigned(json, past->arrivals);
    gb_json_unsigned(json, past->errors);
    gb_json_number(json, past->in_flight_milli / 1000.0, 3);
    gb_json_number(json, past->p50_us / 1000.0, 3);
    gb_json_number(json, past->p99_us / 1000.0, 3);
    gb_json_unsigned(json, past->servers_on);
    gb_json_unsigned(json, past->watts);
    gb_json_close_array(json);
}

/* Oldest first: the ring's next place is where its oldest minute stands. */
static void json_minutes(gb_json_t *json, const history_t *history, uint32_t balancer)
{
    const gb_past_t *ring = minutes_of(history->sh, balancer);
    uint32_t next = history->sh->balancers[balancer].past_minute;
    int64_t now_s = apr_time_sec(history->report->wall);

    gb_json_key(json, "minutes");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < GB_PAST_MINUTES; i++) {
        const gb_past_t past = ring[(next + i) % GB_PAST_MINUTES];

        if (past.at_s && past.at_s > now_s - DAY_S && past.at_s <= now_s) {
            json_minute(json, &past);
        }
    }
    gb_json_close_array(json);
}

static void json_history(gb_json_t *json, const void *data)
{
    static const char *const columns[] = {"at",         "arrivals", "errors",
                                          "in_flight",  "p50_ms",   "p99_ms",
                                          "servers_on", "watts"};
    const history_t *history = data;

    gb_json_open_object(json);
    gb_json_member_number(json, "now",
                          (double)history->report->wall / (double)GB_US_PER_S, 6);
    gb_json_key(json, "columns");
    gb_json_open_array(json);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        gb_json_string(json, columns[i]);
    }
    gb_json_close_array(json);
    gb_json_key(json, "balancers");
    gb_json_open_array(json);
    for (uint32_t i = 0; i < history->report->balancer_count; i++) {
        const mgb_balancer_report_t *balancer = &history->report->balancers[i];

        if (is_wanted(history, balancer)) {
            gb_json_open_object(json);
            gb_json_member_string(json, "name", balancer->name);
            gb_json_member_string(json, "label", balancer->label);
            json_minutes(json, history, balancer->index);
            gb_json_close_object(json);
        }
    }
    gb_json_close_array(json);
    gb_json_close_object(json);
}

const char *mgb_render_history(apr_pool_t *p, const mgb_report_t *report,
                               const mgb_shared_t *sh, const char *wanted)
{
    history_t history = {report, sh, wanted};
    bool known = !wanted;

    for (uint32_t i = 0; !known && i < report->balancer_count; i++) {
        known = is_wanted(&history, &report->balancers[i]);
    }
    return known ? mgb_render_json_of(p, json_history, &history) : NULL;
}

/* ---------------------------------------------------------------- the drawings */

#define STEPS_MOST  144
#define LEAST_COUNT 5 /* minutes: before that there is nothing to see of a day */

/* The measures of a drawing. */
typedef struct frame_t {
    uint32_t entries; /* of the ring */
    int64_t span_s;
    uint32_t steps;
    int width, height, margin;
} frame_t;

static const frame_t hour = {GB_PAST_SECONDS, GB_PAST_SECONDS, 120, 480, 60, 3};
static const frame_t day = {GB_PAST_MINUTES, DAY_S, STEPS_MOST, 720, 120, 4};

typedef enum line_e { LINE_LOAD, LINE_SERVERS, LINE_WATTS, LINES } line_e;

typedef struct chart_t {
    const frame_t *frame;
    uint32_t noted[STEPS_MOST]; /* entries within the step; 0: a gap */
    double values[LINES][STEPS_MOST];
    double most[LINES];
    uint32_t count;
} chart_t;

static int64_t step_s(const frame_t *frame)
{
    return frame->span_s / frame->steps;
}

static void chart_take(chart_t *chart, const frame_t *frame, const gb_past_t *ring,
                       int64_t now_s)
{
    memset(chart, 0, sizeof(*chart));
    chart->frame = frame;
    for (uint32_t i = 0; i < frame->entries; i++) {
        int64_t age_s = now_s - ring[i].at_s;
        uint32_t step;

        if (!ring[i].at_s || age_s < 0 || age_s >= frame->span_s) {
            continue;
        }
        step = frame->steps - 1 - (uint32_t)(age_s / step_s(frame));
        chart->count++;
        chart->noted[step]++;
        chart->values[LINE_LOAD][step] += ring[i].in_flight_milli / 1000.0;
        chart->values[LINE_SERVERS][step] += ring[i].servers_on;
        chart->values[LINE_WATTS][step] += ring[i].watts;
    }
    for (int line = 0; line < LINES; line++) {
        for (uint32_t i = 0; i < frame->steps; i++) {
            double *value = &chart->values[line][i];

            *value /= chart->noted[i] ? chart->noted[i] : 1;
            chart->most[line] = *value > chart->most[line] ? *value : chart->most[line];
        }
    }
}

/* One line; a gap in the past is a gap in the line. */
static void chart_line(apr_array_header_t *text, const chart_t *chart, line_e line,
                       const char *kind)
{
    const frame_t *frame = chart->frame;
    const double width = (double)frame->width / frame->steps;
    const double room = frame->height - 2 * frame->margin;
    const double most = chart->most[line] > 0 ? chart->most[line] : 1;
    bool open = false;

    mgb_report_add(text, "<path class=\"%s\" fill=\"none\" d=\"", kind);
    for (uint32_t i = 0; i < frame->steps; i++) {
        if (chart->noted[i]) {
            mgb_report_add(text, "%c%.0f %.1fH%.0f", open ? 'L' : 'M', i * width,
                           frame->height - frame->margin -
                               chart->values[line][i] / most * room,
                           (i + 1) * width);
        }
        open = chart->noted[i] != 0;
    }
    mgb_report_add(text, "\"/>");
}

void mgb_history_hour(apr_array_header_t *text, const mgb_report_t *report,
                      const mgb_shared_t *sh, const mgb_balancer_report_t *balancer)
{
    chart_t chart;

    chart_take(&chart, &hour, &sh->seconds[(size_t)balancer->index * GB_PAST_SECONDS],
               apr_time_sec(report->wall));
    mgb_report_add(
        text,
        "<figure style=\"margin:.6rem 0\"><svg role=\"img\" "
        "viewBox=\"0 0 %d %d\" aria-label=\"The past hour: at most %.0f servers "
        "on, at most %.1f requests in flight\">",
        hour.width, hour.height, chart.most[LINE_SERVERS], chart.most[LINE_LOAD]);
    chart_line(text, &chart, LINE_LOAD, "l");
    chart_line(text, &chart, LINE_SERVERS, "s");
    mgb_report_add(
        text,
        "</svg><figcaption class=\"soft\">The past hour, means of %d s: "
        "<span class=\"ks\">servers on</span> (thick, at most %.1f), <span "
        "class=\"kl\">requests in flight</span> (thin, at most %.1f), each drawn to "
        "its own largest.</figcaption></figure>\n",
        (int)step_s(&hour), chart.most[LINE_SERVERS], chart.most[LINE_LOAD]);
}

void mgb_history_day(apr_array_header_t *text, const mgb_report_t *report,
                     const mgb_shared_t *sh, const mgb_balancer_report_t *balancer)
{
    chart_t chart;

    chart_take(&chart, &day, minutes_of(sh, balancer->index),
               apr_time_sec(report->wall));
    if (chart.count < LEAST_COUNT) {
        return;
    }
    mgb_report_add(text,
                   "<figure style=\"margin:.6rem 0\"><svg class=\"day\" role=\"img\" "
                   "viewBox=\"0 0 %d %d\" aria-label=\"The past day: at most %.1f "
                   "servers on, %.1f requests in flight, %.0f watts\">"
                   "<path class=\"g\" d=\"M%d 0V%dM%d 0V%dM%d 0V%d\"/>",
                   day.width, day.height, chart.most[LINE_SERVERS],
                   chart.most[LINE_LOAD], chart.most[LINE_WATTS], day.width / 4,
                   day.height, day.width / 2, day.height, day.width / 4 * 3,
                   day.height);
    chart_line(text, &chart, LINE_WATTS, "w");
    chart_line(text, &chart, LINE_LOAD, "l");
    chart_line(text, &chart, LINE_SERVERS, "s");
    mgb_report_add(
        text,
        "</svg><figcaption class=\"soft\">The past day, means of %d min, a line every "
        "6 h: <span class=\"ks\">servers on</span> (thick, at most %.1f), <span "
        "class=\"kl\">requests in flight</span> (thin, at most %.1f), <span "
        "class=\"kw\">watts</span> (dashed, at most %.0f), each drawn to its own "
        "largest.</figcaption></figure>\n",
        (int)(step_s(&day) / MINUTE_S), chart.most[LINE_SERVERS], chart.most[LINE_LOAD],
        chart.most[LINE_WATTS]);
}
