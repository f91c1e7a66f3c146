/* SPDX-License-Identifier: Apache-2.0
 *
 * status.h - what status.c, its renderings and control.c share: one report.
 *
 * A report is a copy: names and numbers are taken from the shared segment once, texts
 * are made valid UTF-8 without control characters, and every rendering shows the same.
 * It needs no request and takes no lock; it is made in httpd's children for pages, and
 * in the keeper for greenctl.  All of it lives in the pool it was made in.
 */
#ifndef MGB_STATUS_H
#define MGB_STATUS_H

#include "mod_greenbalance.h"

struct gb_json_t;

#define MGB_STATUS_EVENTS_MOST 200

/* Power and energy of a machine, or of several that were added up. */
typedef struct mgb_power_report_t {
    double watts;
    double joules;
    double joules_always_on;
    uint32_t source; /* as mgb_machine_t.watts_source; of several the weakest */
} mgb_power_report_t;

/* A replica of a balancer with GreenCommit. */
typedef struct mgb_replica_report_t {
    bool shown; /* its balancer has GreenCommit; then: */
    bool known; /* the journal thread knows it */
    bool reads, aside, resyncing, wants_awake, parked;
    uint64_t cursor, lag_entries, writes;
    double lag_s, catch_up_s; /* catch_up_s: below 0: never */
    const char *why;          /* of aside; "" */
} mgb_replica_report_t;

/* The log of such a balancer. */
typedef struct mgb_commit_report_t {
    bool on; /* GreenCommit; then: */
    bool live;
    uint32_t need, permille_full;
    uint64_t epoch, head, settled, bytes;
    uint64_t accepted, rejected, failed, met, late, full, repeated, asides, given_up;
    uint64_t stuck_seq; /* the entry that all later ones wait for; 0: none */
    double stuck_s;
    uint64_t waited_sum_us, reads_waited, reads_refused, reads_stale;
    uint32_t waited[GB_LATENCY_BUCKETS];
} mgb_commit_report_t;

typedef struct mgb_member_report_t {
    uint32_t slot;
    uint32_t machine_slot; /* GB_NO_INDEX: it has no machine; then what follows from
                              one is zero, and its state unknown */
    bool first_door;       /* the first one to its machine in this balancer */
    bool first_of_fleet;   /* ... in the whole report */
    const char *url;
    const char *machine; /* NULL: none */
    gb_state_e state;
    gb_wish_e wish;
    gb_verdict_e health;
    gb_proof_e proof;
    double since_s; /* how long it has been in its state */
    uint32_t in_flight, capacity;
    uint32_t capacity_in_force; /* less than `capacity` during slow start */
    double ejected_s;           /* until it is let in again; 0: it is not taken out */
    double session_s; /* it drains, and waits for a session that was used so long ago;
                         below 0: it waits for none */
    gb_curve_t curve;
    uint64_t requests, errors; /* errors: 5xx of the server's own or for its failure */
    mgb_power_report_t power;
    const char *measured_by; /* "ipmi", "agent" ...; NULL: its watts are computed */
    int64_t boot_guess_us, boot_p50_us, boot_p95_us;
    uint32_t boot_count; /* boot times measured in all */
    uint64_t boot_sum_us;
    uint32_t boot_histogram[GB_BOOT_BUCKETS];
    uint64_t wakes, sleeps, failures;
    const char *last_error; /* "" when there is none; likewise: */
    const char *probe_error;
    bool has_agent; /* heartbeats have come; then: */
    double beat_s, agent_load;
    uint32_t agent_work;
    bool veto;
    const char *veto_reason; /* "" without a veto */
    mgb_replica_report_t replica;
} mgb_member_report_t;

/* What a policy would do, by its twin (twins.c), since that began. */
typedef struct mgb_policy_report_t {
    const char *policy;
    bool in_force; /* the balancer goes by it, or would if it were not observed */
    uint32_t would_be_on, would_be_coming;
    double joules, joules_always_on;
    double saved_percent, late_percent;
    double requests, late;
    double since_s;
} mgb_policy_report_t;

typedef struct mgb_balancer_report_t {
    uint32_t index;
    const char *name;
    const char *label; /* the name, or where two have the same name, the key */
    const char *mode, *policy;
    bool panic;
    uint32_t in_flight, arrivals_per_s, p50_us, p99_us;
    uint32_t held;          /* requests that wait for a server, or for room on one */
    mgb_waits_t waits;      /* how waiting has ended so far */
    uint64_t arrived, late; /* requests since httpd was started */
    uint32_t capacity_awake, wanted_awake;
    uint32_t min_awake; /* the floor at this hour */
    mgb_policy_report_t policies[GB_POLICY_COUNT];
    uint32_t policy_count; /* 0: it is not managed */
    mgb_commit_report_t commit;
    double learned_s;             /* how long NEWS has learned of its load */
    gb_news_view_t expected;      /* and what it expects */
    uint32_t servers, servers_on; /* a member without a machine is one, always on */
    const char *reason;
    mgb_power_report_t power; /* each machine counted once */
    uint32_t machine_count;
    mgb_member_report_t *members; /* in the order in which they are filled */
    uint32_t member_count;
} mgb_balancer_report_t;

typedef struct mgb_event_report_t {
    apr_time_t at;
    const char *balancer, *member, *machine; /* NULL: not about one */
    const char *from, *to;                   /* NULL: not about a machine's state */
    const char *reason;
} mgb_event_report_t;

typedef struct mgb_report_t {
    apr_time_t wall;
    uint32_t keeper_pid; /* 0: it is dead */
    double keeper_up_s;
    bool stale; /* nothing has moved on for a while: states may be out of date */
    bool paused;
    bool managed; /* some balancer is in GreenBalance on or observe: a keeper is due */
    mgb_power_report_t power; /* of the fleet: each machine counted once */
    uint32_t machine_count;
    mgb_balancer_report_t *balancers;
    uint32_t balancer_count;
    mgb_event_report_t *events; /* newest last */
    uint32_t event_count;
} mgb_report_t;

/* Takes the report.  `sh` may be NULL: then it is empty.  Any process and thread; reads
 * only. */
mgb_report_t *mgb_report_take(apr_pool_t *p, const mgb_shared_t *sh);

/* What a visitor would wonder about: why a member that is on gets no requests or few,
 * or what a drain waits for.  Plain text, "" where there is nothing; from p. */
const char *mgb_report_note(apr_pool_t *p, const mgb_member_report_t *member);

/* Copies a text out of the segment, where it may be written at this moment: bounded,
 * valid UTF-8, and without what could end a line or steer a terminal. */
const char *mgb_report_text(apr_pool_t *p, const char *text, size_t room);

/* Words for what JSON, page, metrics and greenctl show alike; literals. */
const char *mgb_report_health(gb_verdict_e verdict);
const char *mgb_report_proof(gb_proof_e proof);
const char *mgb_report_source(uint32_t watts_source);

/* Renderings, NUL-terminated, in the pool.  status_json.c: */
const char *mgb_render_json(apr_pool_t *p, const mgb_report_t *report);
/* status_metrics.c: Prometheus' text format */
const char *mgb_render_metrics(apr_pool_t *p, const mgb_report_t *report);
/* status_page.c: the page; `base` is the URL path of the location, without a slash at
 * its end.  `sh` (may be NULL) gives the past hour. */
const char *mgb_render_page(apr_pool_t *p, const mgb_report_t *report,
                            const mgb_shared_t *sh, const char *base);
/* ... and the section within mod_status; `brief` for ?auto. */
const char *mgb_render_section(apr_pool_t *p, const mgb_report_t *report, bool brief);

/* status_commit.c: replicated writes, in the report and in each rendering; nothing
 * where GreenCommit is off. */
void mgb_report_log(mgb_commit_report_t *commit, const mgb_shared_t *sh,
                    uint32_t balancer);
void mgb_report_replica(apr_pool_t *p, mgb_replica_report_t *replica,
                        const mgb_shared_t *sh, uint32_t member, int64_t now_us);
const char *mgb_report_replica_note(apr_pool_t *p, const mgb_member_report_t *member);
void mgb_json_log(struct gb_json_t *json, const mgb_commit_report_t *commit);
void mgb_json_replica(struct gb_json_t *json, const mgb_replica_report_t *replica);
void mgb_metrics_commit(apr_array_header_t *text, const mgb_report_t *report);
void mgb_page_commit(apr_array_header_t *text, const mgb_balancer_report_t *balancer);

/* status_metrics.c: pieces of the text format.  A label's value, escaped; the head of a
 * family; a histogram of buckets as gb_meter.h has them. */
const char *mgb_metrics_escape(apr_pool_t *p, const char *value);
void mgb_metrics_head(apr_array_header_t *text, const char *name, const char *type,
                      const char *help);
void mgb_metrics_histogram(apr_array_header_t *text, const char *name,
                           const char *balancer,
                           const uint32_t buckets[GB_LATENCY_BUCKETS], uint64_t sum_us);

/* status_history.c: the past day by minutes, as JSON: of the balancer that is called
 * `wanted` (name, label), or of all (NULL).  NULL: there is no such balancer. */
const char *mgb_render_history(apr_pool_t *p, const mgb_report_t *report,
                               const mgb_shared_t *sh, const char *wanted);
/* Drawings of a balancer's past hour, and of its past day: nothing before some minutes
 * of it have been noted. */
void mgb_history_hour(apr_array_header_t *text, const mgb_report_t *report,
                      const mgb_shared_t *sh, const mgb_balancer_report_t *balancer);
void mgb_history_day(apr_array_header_t *text, const mgb_report_t *report,
                     const mgb_shared_t *sh, const mgb_balancer_report_t *balancer);

/* status_json.c: writes a JSON document with a line end: once to learn its length, once
 * into memory of that length. */
const char *mgb_render_json_of(apr_pool_t *p,
                               void (*write)(struct gb_json_t *json, const void *data),
                               const void *data);

/* Appends a formatted piece to a text under construction, an array of const char *;
 * apr_array_pstrcat() makes it whole. */
void mgb_report_add(apr_array_header_t *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* MGB_STATUS_H */
