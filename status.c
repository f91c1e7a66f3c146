/* SPDX-License-Identifier: Apache-2.0
 *
 * status.c - the report: what the segment tells at one moment.
 *
 * Nothing here changes anything, and nothing waits for the keeper: while that is dead
 * the segment still tells what it knew last, marked as stale.
 */
#include "status.h"

#include "core/gb_json.h"

#include <errno.h>
#include <math.h>
#include <signal.h>

/* The keeper beats each tick.  Without a beat for this long what it wrote is old ... */
#define STALE_US (2 * GB_US_PER_S)
/* ... and for this long it counts as dead, though its pid may be there (a zombie under
 * `httpd -X`, or another process by now). */
#define DEAD_US (10 * GB_US_PER_S)

void mgb_report_add(apr_array_header_t *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    APR_ARRAY_PUSH(text, const char *) = apr_pvsprintf(text->pool, format, args);
    va_end(args);
}

const char *mgb_report_health(gb_verdict_e verdict)
{
    switch (verdict) {
    case GB_VERDICT_GOOD:
        return "good";
    case GB_VERDICT_BAD:
        return "bad";
    default:
        return "none";
    }
}

const char *mgb_report_proof(gb_proof_e proof)
{
    switch (proof) {
    case GB_PROOF_OFF:
        return "off";
    case GB_PROOF_ANSWERS:
        return "answers";
    case GB_PROOF_POWERED:
        return "powered";
    default:
        return "none";
    }
}

const char *mgb_report_source(uint32_t watts_source)
{
    static const char *const names[] = {[GB_WATTS_ASSUMED] = "assumed",
                                        [GB_WATTS_CURVE] = "curve",
                                        [GB_WATTS_MEASURED] = "measured"};

    return names[watts_source <= GB_WATTS_MEASURED ? watts_source : GB_WATTS_ASSUMED];
}

static const char *mode_name(gb_mode_e mode)
{
    switch (mode) {
    case GB_MODE_ON:
        return "on";
    case GB_MODE_OBSERVE:
        return "observe";
    default:
        return "off";
    }
}

const char *mgb_report_text(apr_pool_t *p, const char *text, size_t room)
{
    size_t bytes = 0, at = 0, length;
    char *copy, *end;

    while (bytes < room && text[bytes]) {
        bytes++;
    }
    copy = end = apr_palloc(p, 3 * bytes + 1);
    while (at < bytes) {
        length = gb_json_utf8_bytes(text + at, bytes - at);
        if (!length) {
            memcpy(end, "\xef\xbf\xbd", 3); /* U+FFFD */
            end += 3;
            at++;
            continue;
        }
        memcpy(end, text + at, length);
        if ((unsigned char)*end < 0x20 || *end == 0x7f) {
            *end = ' ';
        }
        else if ((unsigned char)end[0] == 0xc2 && (unsigned char)end[1] < 0xa0) {
            memcpy(end, "  ", 2); /* U+0080..U+009F steer terminals, too */
        }
        end += length;
        at += length;
    }
    *end = '\0';
    return copy;
}

static double finite_or_zero(double value)
{
    return isfinite(value) ? value : 0;
}

static double seconds_between(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? (double)(to_us - from_us) / (double)GB_US_PER_S : 0;
}

/* Adds a machine to a sum of `count` machines. */
static void power_add(mgb_power_report_t *sum, uint32_t *count,
                      const mgb_power_report_t *one)
{
    sum->watts += one->watts;
    sum->joules += one->joules;
    sum->joules_always_on += one->joules_always_on;
    if (!*count || one->source < sum->source) {
        sum->source = one->source;
    }
    ++*count;
}

static void take_boot(mgb_member_report_t *member, const gb_boot_t *boot)
{
    member->boot_guess_us = boot->first_guess_us;
    member->boot_p50_us = gb_boot_quantile(boot, 500);
    member->boot_p95_us = gb_boot_quantile(boot, 950);
    member->boot_count = boot->count;
    member->boot_sum_us = boot->sum_us;
    memcpy(member->boot_histogram, boot->histogram, sizeof(boot->histogram));
}

static void take_agent(apr_pool_t *p, mgb_member_report_t *member,
                       const mgb_beat_t *beat, int64_t now_us)
{
    member->has_agent = beat->at_us != 0;
    member->beat_s = seconds_between(beat->at_us, now_us);
    member->agent_load = beat->load_permille / 1000.0;
    member->agent_work = beat->work;
    member->veto = beat->veto != 0;
    member->veto_reason = mgb_report_text(p, beat->reason, sizeof(beat->reason));
}

static void take_machine(apr_pool_t *p, mgb_member_report_t *member,
                         const mgb_machine_t *machine, int64_t now_us)
{
    const gb_machine_t *m = &machine->m;

    member->machine = mgb_report_text(p, machine->name, sizeof(machine->name));
    member->state = m->state;
    member->wish = m->wish;
    member->proof = m->proof;
    member->since_s = seconds_between(m->entered_at_us, now_us);
    member->power.watts = finite_or_zero(machine->watts);
    member->power.joules = finite_or_zero(machine->energy.joules);
    member->power.joules_always_on = finite_or_zero(machine->energy_always_on.joules);
    member->power.source = machine->watts_source;
    if (machine->watts_source == GB_WATTS_MEASURED) {
        member->measured_by =
            mgb_report_text(p, machine->measured_by, sizeof(machine->measured_by));
    }
    take_boot(member, &m->boot);
    member->wakes = m->wakes;
    member->sleeps = m->sleeps;
    member->failures = m->failures;
    member->last_error = mgb_report_text(p, m->last_error, sizeof(m->last_error));
    take_agent(p, member, &machine->beat, now_us);
}

static uint32_t capacity_in_force(const mgb_shared_t *sh, const mgb_member_t *member)
{
    gb_pick_table_t *table = MGB_TABLE(sh, member->balancer);
    uint32_t position = __atomic_load_n(&member->position, __ATOMIC_ACQUIRE);

    return position < table->size ? gb_pick_read(table, position).capacity
                                  : member->capacity;
}

static const mgb_return_conf_t *comeback_of(uint32_t balancer)
{
    const apr_array_header_t *all = mgb_context ? mgb_context->balancers : NULL;

    for (int i = 0; all && i < all->nelts; i++) {
        const mgb_balancer_t *b = &APR_ARRAY_IDX(all, i, mgb_balancer_t);

        if (b->index == balancer) {
            return &b->conf->comeback;
        }
    }
    return NULL;
}

/* As comeback.c judges it. */
static void take_session(mgb_member_report_t *member, const mgb_shared_t *sh,
                         int64_t now_us)
{
    const mgb_return_conf_t *conf = comeback_of(sh->members[member->slot].balancer);
    int64_t used_at_us =
        __atomic_load_n(&sh->cells[member->slot].session_at_us, __ATOMIC_RELAXED);

    if (member->state == GB_ST_DRAINING && conf && !conf->sticky_move && used_at_us &&
        now_us - used_at_us < conf->sticky_wait_us) {
        member->session_s = seconds_between(used_at_us, now_us);
    }
}

static void take_member(apr_pool_t *p, mgb_member_report_t *member,
                        const mgb_shared_t *sh, int64_t now_us)
{
    const mgb_member_t *from = &sh->members[member->slot];
    const gb_cell_t *cell = &sh->cells[member->slot];

    member->url = mgb_report_text(p, from->name, sizeof(from->name));
    member->capacity = from->capacity;
    member->capacity_in_force = capacity_in_force(sh, from);
    if (__atomic_load_n(&from->ejected, __ATOMIC_ACQUIRE)) {
        member->ejected_s = seconds_between(now_us, from->ejected_until_us);
    }
    member->curve = from->curve;
    member->health = from->health.verdict;
    member->probe_error =
        mgb_report_text(p, from->probe_error, sizeof(from->probe_error));
    member->in_flight = mgb_shared_in_flight(sh, member->slot);
    member->requests = __atomic_load_n(&cell->arrivals, __ATOMIC_RELAXED);
    member->errors = __atomic_load_n(&cell->outcomes[GB_OUT_SERVER], __ATOMIC_RELAXED) +
                     __atomic_load_n(&cell->outcomes[GB_OUT_GATEWAY], __ATOMIC_RELAXED);
    member->session_s = -1;
    member->state = GB_ST_UNKNOWN;
    member->last_error = "";
    member->machine_slot = GB_NO_INDEX;
    if (from->machine < sh->header->machines_room) {
        member->machine_slot = from->machine;
        take_machine(p, member, &sh->machines[from->machine], now_us);
    }
    take_session(member, sh, now_us);
    mgb_report_replica(p, &member->replica, sh, member->slot, now_us);
}

/* Members stand in the order in which requests fill them. */
static int by_position(const void *a, const void *b, void *members)
{
    const mgb_member_t *all = members;
    uint32_t slot_a = ((const mgb_member_report_t *)a)->slot;
    uint32_t slot_b = ((const mgb_member_report_t *)b)->slot;

    if (all[slot_a].position != all[slot_b].position) {
        return all[slot_a].position < all[slot_b].position ? -1 : 1;
    }
    return slot_a < slot_b ? -1 : slot_a > slot_b;
}

static bool member_shown(const mgb_shared_t *sh, uint32_t slot)
{
    return __atomic_load_n(&sh->members[slot].used, __ATOMIC_ACQUIRE) == MGB_SLOT_LIVE;
}

/* Its members.  `seen[machine]` holds the number of the balancer that last counted the
 * machine, from 1 up, so that each balancer and the fleet count it once. */
static void take_members(apr_pool_t *p, mgb_report_t *report,
                         mgb_balancer_report_t *balancer, const mgb_shared_t *sh,
                         uint32_t *seen, int64_t now_us)
{
    uint32_t room = sh->header->members_top, count = 0, number;

    for (uint32_t i = 0; i < room; i++) {
        count += member_shown(sh, i) && sh->members[i].balancer == balancer->index;
    }
    balancer->members = apr_pcalloc(p, (count + 1) * sizeof(*balancer->members));
    for (uint32_t i = 0; i < room && balancer->member_count < count; i++) {
        if (member_shown(sh, i) && sh->members[i].balancer == balancer->index) {
            balancer->members[balancer->member_count++].slot = i;
        }
    }
    qsort_r(balancer->members, balancer->member_count, sizeof(*balancer->members),
            by_position, sh->members);
    number = balancer->index + 1;
    for (uint32_t i = 0; i < balancer->member_count; i++) {
        mgb_member_report_t *member = &balancer->members[i];

        take_member(p, member, sh, now_us);
        balancer->in_flight += member->in_flight;
        if (member->machine_slot == GB_NO_INDEX) {
            balancer->servers++;
            balancer->servers_on++;
            continue;
        }
        if (seen[member->machine_slot] == number) {
            continue;
        }
        member->first_door = true;
        balancer->servers++;
        balancer->servers_on += member->state == GB_ST_ON;
        if (!seen[member->machine_slot]) {
            member->first_of_fleet = true;
            power_add(&report->power, &report->machine_count, &member->power);
        }
        power_add(&balancer->power, &balancer->machine_count, &member->power);
        seen[member->machine_slot] = number;
    }
}

static double percent_of(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

/* The twins of a managed balancer, once they have begun. */
static void take_policies(mgb_balancer_report_t *balancer, const mgb_shared_t *sh)
{
    const gb_pool_t *pool = &sh->balancers[balancer->index].pool;
    const mgb_mind_t *mind = &sh->minds[balancer->index];

    for (int i = 0; pool->mode != GB_MODE_OFF && i < GB_POLICY_COUNT; i++) {
        const mgb_twin_t *twin = &mind->twins[i];
        mgb_policy_report_t *report = &balancer->policies[balancer->policy_count];

        if (!(twin->fluid.now_s > 0)) {
            continue;
        }
        balancer->policy_count++;
        report->policy = gb_policy_name((gb_policy_e)i);
        report->in_force = pool->policy.policy == (gb_policy_e)i;
        report->would_be_on = twin->fluid.on;
        report->would_be_coming = twin->fluid.coming;
        report->joules = finite_or_zero(twin->fluid.joules);
        report->joules_always_on = finite_or_zero(twin->joules_always_on);
        report->requests = finite_or_zero(twin->fluid.requests);
        report->late = finite_or_zero(twin->fluid.late);
        report->saved_percent = percent_of(report->joules_always_on - report->joules,
                                           report->joules_always_on);
        report->late_percent = percent_of(report->late, report->requests);
        report->since_s = finite_or_zero(twin->fluid.now_s);
    }
}

/* What `news` expects, deciding or as a twin.  Of a copy: the keeper may be writing,
 * and what is looked at must be what was checked. */
static gb_news_view_t expected_by_news(apr_pool_t *p, const mgb_mind_t *mind)
{
    const uint32_t news = 1 + GB_POLICY_NEWS;
    const gb_decider_t *decider = mind->own.decider.policy == news
                                      ? &mind->own.decider
                                      : &mind->twins[GB_POLICY_NEWS].decider;

    return decider->policy == news
               ? gb_news_view(apr_pmemdup(p, &decider->as.news, sizeof(gb_news_t)))
               : (gb_news_view_t){0};
}

static void take_balancer(apr_pool_t *p, mgb_report_t *report, const mgb_shared_t *sh,
                          uint32_t index, uint32_t *seen, int64_t now_us)
{
    const mgb_balancer_shared_t *from = &sh->balancers[index];
    mgb_balancer_report_t *balancer = &report->balancers[report->balancer_count++];
    const gb_news_t *learned;

    balancer->index = index;
    balancer->name = mgb_report_text(p, from->name, sizeof(from->name));
    balancer->label = balancer->name;
    balancer->mode = mode_name(from->pool.mode);
    report->managed |= from->pool.mode != GB_MODE_OFF;
    balancer->policy = gb_policy_name(from->pool.policy.policy);
    balancer->min_awake = from->pool.min_awake;
    balancer->arrived = from->arrived;
    balancer->late = from->late;
    take_policies(balancer, sh);
    learned = mgb_checkpoint_learned(&sh->minds[index]);
    balancer->learned_s = learned ? finite_or_zero(learned->learned.seconds) : 0;
    balancer->expected = expected_by_news(p, &sh->minds[index]);
    balancer->panic = from->pool.panic;
    balancer->arrivals_per_s = from->arrivals_per_s;
    balancer->p50_us = from->p50_us;
    balancer->p99_us = from->p99_us;
    balancer->held = __atomic_load_n(&from->room.waiting, __ATOMIC_RELAXED);
    balancer->waits = from->waits;
    balancer->capacity_awake = from->pool.capacity_awake;
    balancer->wanted_awake = from->pool.wanted_servers;
    balancer->reason = mgb_report_text(p, from->pool.reason, sizeof(from->pool.reason));
    mgb_report_log(&balancer->commit, sh, index);
    take_members(p, report, balancer, sh, seen, now_us);
}

/* Virtual hosts may have balancers of the same name; then the keys tell them apart. */
static void label_balancers(apr_pool_t *p, mgb_report_t *report, const mgb_shared_t *sh)
{
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        mgb_balancer_report_t *one = &report->balancers[i];
        const mgb_balancer_shared_t *from = &sh->balancers[one->index];

        for (uint32_t j = 0; j < report->balancer_count; j++) {
            if (j != i && !strcmp(one->name, report->balancers[j].name)) {
                one->label = mgb_report_text(p, from->key, sizeof(from->key));
                break;
            }
        }
    }
}

static void take_balancers(apr_pool_t *p, mgb_report_t *report, const mgb_shared_t *sh,
                           int64_t now_us)
{
    uint32_t room = sh->header->balancers_room;
    uint32_t *seen = apr_pcalloc(p, (sh->header->machines_room + 1) * sizeof(*seen));

    report->balancers = apr_pcalloc(p, (room + 1) * sizeof(*report->balancers));
    for (uint32_t i = 0; i < room; i++) {
        if (sh->balancers[i].used == MGB_SLOT_LIVE) {
            take_balancer(p, report, sh, i, seen, now_us);
        }
    }
    label_balancers(p, report, sh);
}

/* The member that an event is about: its own, or the only door to its machine. */
static const mgb_member_report_t *event_door(const mgb_report_t *report,
                                             const mgb_event_t *event,
                                             const mgb_balancer_report_t **balancer)
{
    const mgb_member_report_t *found = NULL;

    if (event->member == GB_NO_INDEX && event->machine == GB_NO_INDEX) {
        return NULL;
    }
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        for (uint32_t j = 0; j < report->balancers[i].member_count; j++) {
            const mgb_member_report_t *member = &report->balancers[i].members[j];

            if (event->member != GB_NO_INDEX ? member->slot != event->member
                                             : member->machine_slot != event->machine) {
                continue;
            }
            if (found) {
                return NULL; /* several doors: the machine alone is named */
            }
            found = member;
            *balancer = &report->balancers[i];
        }
    }
    return found;
}

static void take_event(apr_pool_t *p, mgb_report_t *report, const mgb_shared_t *sh,
                       const mgb_event_t *from)
{
    mgb_event_report_t *event = &report->events[report->event_count++];
    const mgb_balancer_report_t *balancer = NULL;
    const mgb_member_report_t *door = event_door(report, from, &balancer);

    event->at = from->at;
    event->reason = mgb_report_text(p, from->reason, sizeof(from->reason));
    if (door) {
        event->member = door->url;
        event->balancer = balancer->label;
    }
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        if (report->balancers[i].index == from->balancer) {
            event->balancer = report->balancers[i].label;
        }
    }
    if (from->machine < sh->header->machines_room) {
        const mgb_machine_t *machine = &sh->machines[from->machine];

        event->machine = mgb_report_text(p, machine->name, sizeof(machine->name));
        event->from = gb_state_name(from->from);
        event->to = gb_state_name(from->to);
    }
}

static void take_events(apr_pool_t *p, mgb_report_t *report, const mgb_shared_t *sh)
{
    uint64_t next = __atomic_load_n(&sh->header->events_next, __ATOMIC_ACQUIRE);
    uint64_t first = next > MGB_STATUS_EVENTS_MOST ? next - MGB_STATUS_EVENTS_MOST : 0;

    report->events = apr_pcalloc(p, MGB_STATUS_EVENTS_MOST * sizeof(*report->events));
    for (uint64_t i = first; i < next; i++) {
        take_event(p, report, sh, &sh->events[i % MGB_EVENTS]);
    }
}

static void take_keeper(mgb_report_t *report, const mgb_header_t *header,
                        int64_t now_us)
{
    int64_t silent_us = now_us - header->keeper_beat_at_us;
    uint32_t pid = __atomic_load_n(&header->keeper_pid, __ATOMIC_RELAXED);
    bool dead = !pid || pid > INT32_MAX || silent_us > DEAD_US;

    /* Another user's process answers EPERM: it is there. */
    if (!dead && kill((pid_t)pid, 0) && errno == ESRCH) {
        dead = true;
    }
    report->stale = dead || silent_us > STALE_US;
    report->paused = header->paused != 0;
    if (!dead) {
        report->keeper_pid = pid;
        report->keeper_up_s = seconds_between(header->keeper_started_at_us, now_us);
    }
}

const char *mgb_report_note(apr_pool_t *p, const mgb_member_report_t *member)
{
    const char *replica = mgb_report_replica_note(p, member);

    if (*replica) {
        return replica;
    }
    if (member->ejected_s > 0) {
        return apr_psprintf(p, "taken out: requests to it failed; %.0f s left",
                            member->ejected_s);
    }
    if (member->veto) {
        return apr_psprintf(p, "its agent objects to sleep%s%s",
                            *member->veto_reason ? ": " : "", member->veto_reason);
    }
    if (member->state == GB_ST_DRAINING && member->in_flight == 0 &&
        member->session_s >= 0) {
        return apr_psprintf(p, "a session of it was used %.0f s ago",
                            member->session_s);
    }
    if (member->state == GB_ST_ON && member->capacity_in_force < member->capacity) {
        return apr_psprintf(p, "slow start: %u of %u", member->capacity_in_force,
                            member->capacity);
    }
    return "";
}

mgb_report_t *mgb_report_take(apr_pool_t *p, const mgb_shared_t *sh)
{
    mgb_report_t *report = apr_pcalloc(p, sizeof(*report));
    int64_t now_us = mgb_now_us();

    report->wall = mgb_wall_us();
    report->stale = true;
    if (sh && sh->header) {
        take_keeper(report, sh->header, now_us);
        take_balancers(p, report, sh, now_us);
        take_events(p, report, sh);
    }
    return report;
}
