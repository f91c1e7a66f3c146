/* SPDX-License-Identifier: Apache-2.0
 *
 * control.c - the keeper's side of greenctl's socket.
 *
 * One request a connection (core/gb_command.h).  Everything runs in callbacks of the
 * keeper's loop on descriptors that never block; a peer has 2 s to send its line and
 * 10 s to take the reply, and there are at most MGB_PEERS at a time, so that the worst
 * one costs the keeper some memory and nothing else.
 *
 * Who may speak is decided by the kernel's word (SO_PEERCRED), before a peer takes a
 * place: root, or whoever started httpd - the listening socket remembers who made it,
 * also after the keeper has become somebody else.
 */
#include "keeper.h"
#include "status.h"

#include "core/gb_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MGB_PEERS          8
#define BACKLOG            16
#define REQUEST_TIMEOUT_US (2 * GB_US_PER_S)
#define REPLY_TIMEOUT_US   (10 * GB_US_PER_S)
#define JOURNAL_MOST_US    (5 * GB_US_PER_S)   /* the journal's thread has so long, */
#define JOURNAL_LOOK_US    (50 * GB_US_PER_MS) /* and is looked at so often */
#define ACCEPT_PAUSE_US    (1 * GB_US_PER_S) /* out of descriptors: not again at once */
#define REFUSED_LOG_US     (60 * GB_US_PER_S) /* refused peers are logged so often */
#define STUCK_S            1 /* an entry without a verdict is told of */
#define ACCEPT_LOG_US      (600 * GB_US_PER_S) /* and that none can be taken */

typedef struct mgb_peer_t {
    struct mgb_control_t *control;
    apr_pool_t *pool; /* of this connection; NULL: the place is free */
    int fd;
    pid_t pid;
    uid_t uid;
    uint64_t timer;
    char request[GB_COMMAND_BYTES];
    size_t request_bytes;
    const char *reply; /* NULL: the request is not complete yet, or: */
    uint32_t accepts;  /* member that is being accepted; GB_NO_INDEX: none; or */
    uint32_t gives_up; /* balancer, one of whose entries is given up; likewise */
    int64_t waits_until_us;
    const char *done; /* what is said of either when it is durable */
    size_t reply_bytes, sent_bytes;
} mgb_peer_t;

struct mgb_control_t {
    mgb_keeper_t *keeper;
    int listen_fd;
    uid_t starter; /* who started httpd */
    mgb_peer_t peers[MGB_PEERS];
    int64_t refused_logged_at_us; /* 0: not yet */
    uint32_t refused_count;       /* since then */
    int64_t accept_logged_at_us;  /* that no connection could be taken; 0: not yet */
};

/* ---------------------------------------------------------------- the socket */

int mgb_control_listen(const char *path, apr_pool_t *p)
{
    return mgb_listen(path, BACKLOG, NULL, p);
}

/* ---------------------------------------------------------------- replies */

static const char *remark(apr_pool_t *p, const mgb_member_report_t *m)
{
    const char *note = mgb_report_note(p, m);
    const char *error = *m->last_error ? m->last_error : m->probe_error;

    if (*m->last_error && *m->probe_error) {
        error = apr_pstrcat(p, m->last_error, ": ", m->probe_error, NULL);
    }
    return *note && *error ? apr_pstrcat(p, note, "; ", error, NULL)
           : *note         ? note
                           : error;
}

/* How replicated writes go; empty without them. */
static const char *writes_of(apr_pool_t *p, const mgb_commit_report_t *commit)
{
    if (!commit->on) {
        return "";
    }
    if (!commit->live) {
        return "replicated writes: NOBODY SERVES THE JOURNAL, writes get 503; httpd's "
               "error log says why";
    }
    return apr_psprintf(p,
                        "replicated writes: %" PRIu64 " in the log, %u servers have to "
                        "have each; journal %.1f %% full%s%s",
                        commit->head, commit->need, commit->permille_full / 10.0,
                        commit->permille_full >= 900 ? ", new writes get 503" : "",
                        commit->stuck_seq && commit->stuck_s >= STUCK_S
                            ? apr_psprintf(p,
                                           "; ENTRY %" PRIu64
                                           " has no answer for %.0f s, and all later "
                                           "writes wait for it",
                                           commit->stuck_seq, commit->stuck_s)
                            : "");
}

static void add_status_table(apr_array_header_t *text, const mgb_report_t *report)
{
    mgb_report_add(text, "keeper\t%u\t%.0f\t%s\n", report->keeper_pid,
                   report->keeper_up_s, report->paused ? "paused" : "running");
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *b = &report->balancers[i];

        mgb_report_add(
            text,
            "balancer\t%s\t%s\t%s\t%s\t%u\t%u\t%u\t%u\t%u\t%u\t%.1f\t%s\t%s\t%s\n",
            b->label, b->mode, b->policy, b->panic ? "panic" : "calm", b->in_flight,
            b->arrivals_per_s, b->capacity_awake, b->servers_on, b->servers,
            b->wanted_awake, b->power.watts, mgb_report_source(b->power.source),
            b->reason, writes_of(text->pool, &b->commit));
        for (uint32_t j = 0; j < b->member_count; j++) {
            const mgb_member_report_t *m = &b->members[j];

            mgb_report_add(
                text,
                "member\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\t%u\t%u\t%.1f\t%s\t%.1f"
                "\t%.1f\t%u\t%s\n",
                m->url, m->machine ? m->machine : "-", gb_state_name(m->state),
                gb_wish_name(m->wish), m->since_s, mgb_report_health(m->health),
                mgb_report_proof(m->proof), m->in_flight, m->capacity, m->power.watts,
                mgb_report_source(m->power.source), (double)m->boot_p50_us / 1e6,
                (double)m->boot_p95_us / 1e6, m->boot_count, remark(text->pool, m));
        }
    }
}

static void add_events_table(apr_array_header_t *text, const mgb_report_t *report)
{
    for (uint32_t i = 0; i < report->event_count; i++) {
        const mgb_event_report_t *e = &report->events[i];

        mgb_report_add(text, "event\t%" PRId64 "\t%s\t%s\t%s\t%s\t%s\t%s\n",
                       (int64_t)apr_time_sec(e->at), e->balancer ? e->balancer : "-",
                       e->member ? e->member : "-", e->machine ? e->machine : "-",
                       e->from ? e->from : "-", e->to ? e->to : "-", e->reason);
    }
}

/* ---------------------------------------------------------------- commands */

/* The members that a command may mean. */
typedef struct found_t {
    gb_match_e match;
    const mgb_member_report_t *member; /* the first of them */
    const mgb_balancer_report_t *balancer;
    const mgb_member_report_t *other; /* another one, or NULL */
    const mgb_balancer_report_t *other_balancer;
    bool one_machine, one_balancer;
    bool balancer_known;
} found_t;

static void note_match(found_t *found, gb_match_e match,
                       const mgb_balancer_report_t *balancer,
                       const mgb_member_report_t *member)
{
    if (match == GB_MATCH_NONE || match < found->match) {
        return;
    }
    if (match > found->match) {
        found->match = match;
        found->member = member;
        found->balancer = balancer;
        found->other = NULL;
        found->one_machine = found->one_balancer = true;
        return;
    }
    if (!found->other || found->other_balancer == found->balancer) {
        found->other = member;
        found->other_balancer = balancer;
    }
    if (member->machine_slot != found->member->machine_slot ||
        member->machine_slot == GB_NO_INDEX) {
        found->one_machine = false;
    }
    if (balancer != found->balancer) {
        found->one_balancer = false;
    }
}

static void find_matches(found_t *found, const mgb_report_t *report,
                         const gb_command_t *command)
{
    memset(found, 0, sizeof(*found));
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *b = &report->balancers[i];

        if (command->balancer[0] &&
            !gb_command_match_balancer(command->balancer, b->name, b->label)) {
            continue;
        }
        found->balancer_known = true;
        for (uint32_t j = 0; j < b->member_count; j++) {
            const mgb_member_report_t *m = &b->members[j];

            note_match(found, gb_command_match(command->member, m->url, m->machine), b,
                       m);
        }
    }
}

/* The member that is meant, or why it is not clear.  A machine's name means that one
 * machine, through whichever balancer; a member's must be of one balancer. */
static const char *find_member(apr_pool_t *p, const mgb_report_t *report,
                               const gb_command_t *command, found_t *found)
{
    find_matches(found, report, command);
    if (!found->balancer_known) {
        return apr_psprintf(p, "no balancer %s: see greenctl status",
                            command->balancer);
    }
    if (!found->member) {
        return apr_psprintf(p, "no member or machine %s: see greenctl status",
                            command->member);
    }
    if (found->other) {
        bool same = found->one_machine &&
                    (found->one_balancer || found->match == GB_MATCH_MACHINE);

        if (!same && !found->one_balancer) {
            return apr_psprintf(p,
                                "%s is in several balancers (%s, %s): add --balancer "
                                "NAME",
                                command->member, found->balancer->label,
                                found->other_balancer->label);
        }
        if (!same) {
            return apr_psprintf(p, "%s may be %s or %s: give the whole URL",
                                command->member, found->member->url, found->other->url);
        }
    }
    return NULL;
}

static const char *switch_member(const mgb_peer_t *peer, const mgb_report_t *report,
                                 const gb_command_t *command, apr_array_header_t *text)
{
    static const gb_event_e events[GB_VERB_COUNT] = {
        [GB_VERB_WAKE] = GB_EV_OPERATOR_WAKE,
        [GB_VERB_SLEEP] = GB_EV_OPERATOR_SLEEP,
        [GB_VERB_AUTO] = GB_EV_OPERATOR_AUTO,
    };
    mgb_keeper_t *keeper = peer->control->keeper;
    const char *verb = gb_command_name(command->verb), *error;
    const mgb_machine_t *machine;
    found_t found;

    error = find_member(peer->pool, report, command, &found);
    if (error) {
        return error;
    }
    if (found.member->machine_slot == GB_NO_INDEX) {
        return apr_psprintf(peer->pool,
                            "%s has no machine: it is never powered on or off",
                            found.member->url);
    }
    machine = &keeper->shared->machines[found.member->machine_slot];
    error = mgb_watchdog_command(keeper, found.member->slot, events[command->verb]);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                 GBLOGNO(0351) "%s (%s): operator (uid %d, pid %d) asks %s: %s",
                 found.member->machine, gb_state_name(machine->m.state), (int)peer->uid,
                 (int)peer->pid, verb, error ? error : "done");
    if (!error) {
        mgb_report_add(text, "%s: %s, wish %s; was %s, is %s\n", found.member->machine,
                       verb, gb_wish_name(machine->m.wish),
                       gb_state_name(found.member->state),
                       gb_state_name(machine->m.state));
    }
    return error;
}

/* The journal thread is asked; its answer is waited for (on_journal). */
static const char *accept_member(mgb_peer_t *peer, const mgb_report_t *report,
                                 const gb_command_t *command)
{
    mgb_keeper_t *keeper = peer->control->keeper;
    const char *error;
    found_t found;

    error = find_member(peer->pool, report, command, &found);
    if (!error && found.other) {
        error = apr_psprintf(peer->pool,
                             "%s is more than one member: give the whole URL, and "
                             "--balancer NAME",
                             command->member);
    }
    if (!error) {
        error = mgb_accept_ask(keeper, found.member->slot, command);
    }
    if (!error) {
        peer->accepts = found.member->slot;
        peer->done =
            apr_psprintf(peer->pool, "%s is taken back as it is\n", found.member->url);
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     GBLOGNO(0355) "%s: operator (uid %d, pid %d) asks accept",
                     found.member->url, (int)peer->uid, (int)peer->pid);
    }
    return error;
}

/* The one balancer of that name, or why it is not clear. */
static const char *find_balancer(apr_pool_t *p, const mgb_report_t *report,
                                 const gb_command_t *command,
                                 const mgb_balancer_report_t **found)
{
    *found = NULL;
    for (uint32_t i = 0; i < report->balancer_count; i++) {
        const mgb_balancer_report_t *b = &report->balancers[i];

        if (!gb_command_match_balancer(command->balancer, b->name, b->label)) {
            continue;
        }
        if (*found) {
            return apr_psprintf(p, "%s may be %s or %s: give that label",
                                command->balancer, (*found)->label, b->label);
        }
        *found = b;
    }
    return *found ? NULL
                  : apr_psprintf(p, "no balancer %s: see greenctl status",
                                 command->balancer);
}

/* Likewise. */
static const char *give_up(mgb_peer_t *peer, const mgb_report_t *report,
                           const gb_command_t *command)
{
    mgb_keeper_t *keeper = peer->control->keeper;
    const mgb_balancer_report_t *b;
    const char *error = find_balancer(peer->pool, report, command, &b);

    if (!error) {
        error = mgb_give_up_ask(keeper, b->index, command);
    }
    if (!error) {
        peer->gives_up = b->index;
        peer->done = apr_psprintf(peer->pool,
                                  "%s: entry %" PRIu64 " is given up: it has failed\n",
                                  b->label, command->seq);
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, keeper->server,
                     GBLOGNO(0356) "%s: operator (uid %d, pid %d) gives entry %" PRIu64
                                   " up%s",
                     b->label, (int)peer->uid, (int)peer->pid, command->seq,
                     command->even_so ? ", even so" : "");
    }
    return error;
}

static void set_paused(const mgb_peer_t *peer, bool paused, apr_array_header_t *text)
{
    mgb_keeper_t *keeper = peer->control->keeper;
    uint32_t was = keeper->shared->header->paused;

    __atomic_store_n(&keeper->shared->header->paused, paused, __ATOMIC_RELAXED);
    if (!was == !paused) {
        mgb_report_add(text, "nothing to do: %s\n", paused ? "paused" : "not paused");
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, keeper->server,
                 GBLOGNO(0352) "operator (uid %d, pid %d): %s", (int)peer->uid,
                 (int)peer->pid,
                 paused ? "paused: no power order is given until greenctl resume"
                        : "resumed: power orders are given again");
    mgb_report_add(text, paused ? "paused: no power order is given until resume\n"
                                : "resumed: power orders are given again\n");
}

/* Carries out a command: NULL, or why it was refused. */
static const char *carry_out(mgb_peer_t *peer, const gb_command_t *command,
                             apr_array_header_t *text)
{
    mgb_shared_t *sh = peer->control->keeper->shared;
    const mgb_report_t *report;

    switch (command->verb) {
    case GB_VERB_MODEL:
        APR_ARRAY_PUSH(text, const char *) = mgb_status_model(peer->pool, sh);
        return NULL;
    case GB_VERB_PAUSE:
    case GB_VERB_RESUME:
        set_paused(peer, command->verb == GB_VERB_PAUSE, text);
        return NULL;
    default:
        break;
    }
    report = mgb_report_take(peer->pool, sh);
    switch (command->verb) {
    case GB_VERB_STATUS:
        if (command->as_json) {
            APR_ARRAY_PUSH(text, const char *) = mgb_render_json(peer->pool, report);
        }
        else {
            add_status_table(text, report);
        }
        return NULL;
    case GB_VERB_EVENTS:
        add_events_table(text, report);
        return NULL;
    case GB_VERB_ACCEPT:
        return accept_member(peer, report, command);
    case GB_VERB_GIVE_UP:
        return give_up(peer, report, command);
    default:
        return switch_member(peer, report, command, text);
    }
}

/* ---------------------------------------------------------------- a peer */

static void peer_end(mgb_peer_t *peer)
{
    mgb_loop_t *loop = peer->control->keeper->loop;
    apr_pool_t *pool = peer->pool;

    mgb_loop_cancel(loop, peer->timer);
    mgb_loop_unwatch(loop, peer->fd);
    close(peer->fd);
    peer->pool = NULL;
    apr_pool_destroy(pool);
}

static void on_timeout(void *baton, int64_t now_us)
{
    peer_end(baton);
}

static void send_reply(mgb_peer_t *peer)
{
    while (peer->sent_bytes < peer->reply_bytes) {
        ssize_t n =
            send(peer->fd, peer->reply + peer->sent_bytes,
                 peer->reply_bytes - peer->sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n <= 0) {
            break; /* the peer is gone */
        }
        peer->sent_bytes += (size_t)n;
    }
    peer_end(peer);
}

static void on_peer(void *baton, int fd, uint32_t epoll_events);

/* From here on the peer is waited for to take the reply. */
static void reply_with(mgb_peer_t *peer, const char *error, apr_array_header_t *text)
{
    mgb_loop_t *loop = peer->control->keeper->loop;

    if (error) {
        peer->reply = apr_psprintf(peer->pool, "NO %s\n", error);
    }
    else {
        const char *body = apr_array_pstrcat(peer->pool, text, 0);

        peer->reply =
            apr_psprintf(peer->pool, "OK %" APR_SIZE_T_FMT "\n%s", strlen(body), body);
    }
    peer->reply_bytes = strlen(peer->reply);
    mgb_loop_cancel(loop, peer->timer);
    peer->timer =
        mgb_loop_timer(loop, mgb_now_us() + REPLY_TIMEOUT_US, on_timeout, peer);
    if (!peer->timer ||
        mgb_loop_watch(loop, peer->fd, EPOLLOUT, on_peer, peer) != APR_SUCCESS) {
        peer_end(peer);
        return;
    }
    send_reply(peer);
}

/* Is the journal thread asked? */
static bool is_asking(const mgb_peer_t *peer)
{
    return peer->accepts != GB_NO_INDEX || peer->gives_up != GB_NO_INDEX;
}

static bool has_answered(const mgb_peer_t *peer, const char **error)
{
    const mgb_keeper_t *keeper = peer->control->keeper;

    return peer->accepts != GB_NO_INDEX
               ? mgb_accept_is_done(keeper, peer->accepts, error)
               : mgb_give_up_is_done(keeper, peer->gives_up, peer->pool, error);
}

/* The journal thread has answered, or is waited for on. */
static void on_journal(void *baton, int64_t now_us)
{
    mgb_peer_t *peer = baton;
    apr_array_header_t *text = apr_array_make(peer->pool, 1, sizeof(const char *));
    const char *error = "the journal does not answer: see the error log";

    mgb_loop_cancel(peer->control->keeper->loop, peer->timer);
    if (!has_answered(peer, &error) && now_us < peer->waits_until_us) {
        peer->timer = mgb_loop_timer(peer->control->keeper->loop,
                                     now_us + JOURNAL_LOOK_US, on_journal, peer);
        return;
    }
    APR_ARRAY_PUSH(text, const char *) = peer->done;
    reply_with(peer, error, text);
}

static void handle_request(mgb_peer_t *peer, const char *line_end)
{
    apr_array_header_t *text = apr_array_make(peer->pool, 64, sizeof(const char *));
    size_t bytes = (size_t)(line_end - peer->request);
    gb_command_t command;
    const char *error = gb_command_parse(&command, peer->request, bytes);

    if (bytes + 1 != peer->request_bytes) {
        error = "one request a connection";
    }
    if (!error) {
        error = carry_out(peer, &command, text);
    }
    if (!error && is_asking(peer)) {
        peer->waits_until_us = mgb_now_us() + JOURNAL_MOST_US;
        on_journal(peer, mgb_now_us());
        return;
    }
    reply_with(peer, error, text);
}

static void read_request(mgb_peer_t *peer)
{
    for (;;) {
        size_t room = sizeof(peer->request) - peer->request_bytes;
        ssize_t n =
            recv(peer->fd, peer->request + peer->request_bytes, room, MSG_DONTWAIT);
        const char *line_end;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n <= 0) {
            peer_end(peer); /* it hung up before its line was whole */
            return;
        }
        if (is_asking(peer)) {
            peer_end(peer); /* one request a connection */
            return;
        }
        peer->request_bytes += (size_t)n;
        line_end = memchr(peer->request, '\n', peer->request_bytes);
        if (line_end) {
            handle_request(peer, line_end);
            return;
        }
        if (peer->request_bytes == sizeof(peer->request)) {
            reply_with(peer, "the request is too long", NULL);
            return;
        }
    }
}

static void on_peer(void *baton, int fd, uint32_t epoll_events)
{
    mgb_peer_t *peer = baton;

    if (peer->reply) {
        send_reply(peer);
    }
    else {
        read_request(peer);
    }
}

/* ---------------------------------------------------------------- new peers */

static void turn_away(int fd, const char *reply)
{
    /* What does not fit is lost: nobody is waited for. */
    (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static bool may_speak(struct mgb_control_t *control, int fd, struct ucred *who)
{
    socklen_t size = sizeof(*who);
    int64_t now_us = mgb_now_us();

    if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size) && size == sizeof(*who) &&
        (who->uid == 0 || who->uid == control->starter)) {
        return true;
    }
    control->refused_count++;
    if (!control->refused_logged_at_us ||
        now_us - control->refused_logged_at_us >= REFUSED_LOG_US) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, control->keeper->server,
            GBLOGNO(0353) "control socket: uid %d (pid %d) refused, only root and "
                          "uid %d may give commands; refused since the last "
                          "such message: %u",
            (int)who->uid, (int)who->pid, (int)control->starter,
            control->refused_count);
        control->refused_logged_at_us = now_us;
        control->refused_count = 0;
    }
    return false;
}

static void peer_begin(struct mgb_control_t *control, int fd, const struct ucred *who)
{
    mgb_loop_t *loop = control->keeper->loop;
    mgb_peer_t *peer = NULL;

    for (int i = 0; i < MGB_PEERS && !peer; i++) {
        peer = control->peers[i].pool ? NULL : &control->peers[i];
    }
    if (!peer) {
        turn_away(fd, "NO too many connections at a time: try again\n");
        return;
    }
    memset(peer, 0, sizeof(*peer));
    peer->control = control;
    peer->fd = fd;
    peer->uid = who->uid;
    peer->pid = who->pid;
    peer->accepts = peer->gives_up = GB_NO_INDEX;
    peer->timer =
        mgb_loop_timer(loop, mgb_now_us() + REQUEST_TIMEOUT_US, on_timeout, peer);
    if (!peer->timer) {
        close(fd);
        return;
    }
    apr_pool_create(&peer->pool, control->keeper->pool);
    apr_pool_tag(peer->pool, "mgb_control_peer");
    if (mgb_loop_watch(loop, fd, EPOLLIN, on_peer, peer) != APR_SUCCESS) {
        peer_end(peer);
    }
}

static void on_listen(void *baton, int fd, uint32_t epoll_events);

static void listen_again(void *baton, int64_t now_us)
{
    struct mgb_control_t *control = baton;

    (void)mgb_loop_watch(control->keeper->loop, control->listen_fd, EPOLLIN, on_listen,
                         control);
}

/* Out of descriptors, say: the socket would be reported again at once, so it is left
 * alone for a while. */
static void accept_failed(struct mgb_control_t *control, int error)
{
    mgb_loop_t *loop = control->keeper->loop;
    int64_t now_us = mgb_now_us();

    if (!control->accept_logged_at_us ||
        now_us - control->accept_logged_at_us >= ACCEPT_LOG_US) {
        control->accept_logged_at_us = now_us;
        ap_log_error(APLOG_MARK, APLOG_WARNING, error, control->keeper->server,
                     GBLOGNO(0354) "control socket: greenctl's connection cannot be "
                                   "taken; it is tried again every second");
    }
    if (mgb_loop_timer(loop, now_us + ACCEPT_PAUSE_US, listen_again, control)) {
        mgb_loop_unwatch(loop, control->listen_fd);
    }
}

static void on_listen(void *baton, int fd, uint32_t epoll_events)
{
    struct mgb_control_t *control = baton;

    for (int i = 0; i < BACKLOG; i++) {
        struct ucred who = {0, (uid_t)-1, (gid_t)-1};
        int peer_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (peer_fd >= 0 && may_speak(control, peer_fd, &who)) {
            peer_begin(control, peer_fd, &who);
        }
        else if (peer_fd >= 0) {
            turn_away(peer_fd, "NO only root and the user that started httpd may give "
                               "commands\n");
        }
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        else if (errno != EINTR && errno != ECONNABORTED) {
            accept_failed(control, errno);
            return;
        }
    }
}

apr_status_t mgb_control_create(mgb_keeper_t *keeper, int listen_fd)
{
    struct mgb_control_t *control = apr_pcalloc(keeper->pool, sizeof(*control));
    struct ucred starter;
    socklen_t size = sizeof(starter);
    apr_status_t rv;

    /* Of a listening socket these are the credentials of who called listen(). */
    if (getsockopt(listen_fd, SOL_SOCKET, SO_PEERCRED, &starter, &size)) {
        rv = errno;
        close(listen_fd);
        errno = rv;
        return rv;
    }
    control->keeper = keeper;
    control->listen_fd = listen_fd;
    control->starter = starter.uid;
    rv = mgb_loop_watch(keeper->loop, listen_fd, EPOLLIN, on_listen, control);
    if (rv != APR_SUCCESS) {
        close(listen_fd);
        errno = rv;
        return rv;
    }
    keeper->control = control;
    return APR_SUCCESS;
}
