/* SPDX-License-Identifier: Apache-2.0
 *
 * A load generator that watches a server from outside and records every request.
 *
 *   load --to 127.0.0.1:8080 --rate 100 --duration 30 --csv requests.csv
 *   load --to 127.0.0.1:8080 --points "0 20, 30 400, 60 20"
 *   load --to 127.0.0.1:8080 --connections 8 --duration 10
 *
 * Open loop (Poisson arrivals that follow a rate profile, whatever the server does) or
 * closed loop (so many connections, each with the next request when the last is done).
 * In open loop a latency runs from the planned arrival, so a late generator cannot
 * flatter the server. A request is NEVER sent again: what a client would see is what
 * is recorded. */
#include "await.h"
#include "clock.h"
#include "http1.h"
#include "load_options.h"
#include "tally.h"
#include "target.h"
#include "timers.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_AT_ONCE      256
#define HEAD_BYTES          8192
#define BODY_BYTES          65536
#define BODY_EXPECTED_BYTES 256
#define SECOND_US           1000000
/* A closed loop that cannot connect must not spin. */
#define PAUSE_AFTER_FAILURE_US 20000

typedef enum { CONNECTING, SENDING, HEAD, BODY, IDLE, PAUSING } phase_t;

typedef struct connection {
    rig_timer_t timer;       /* must stand first: pass_timer() relies on it */
    struct connection *next; /* in the list of idle ones */
    struct connection *previous;
    phase_t phase;
    int fd; /* -1 while a closed loop pauses */
    uint32_t interest;
    int64_t start_us; /* of the request, on the run's clock */
    size_t sent;
    char head[HEAD_BYTES];
    size_t head_length;
    http1_body_t body;
    bool keep_alive;
    int status;
    size_t server;
    bool later;                         /* 503 with Retry-After */
    char expected[BODY_EXPECTED_BYTES]; /* how the body has to begin; "": anyhow */
    size_t matched;                     /* bytes of it */
    bool wrong;
} connection_t;

typedef struct {
    load_options_t options;
    tally_t tally;
    timers_t timers;
    target_t target;
    int epoll_fd;
    int64_t began_us;
    int64_t end_us;          /* no request starts after this */
    int64_t next_arrival_us; /* open loop; INT64_MAX: none */
    double next_arrival_s;
    int64_t live_us;
    size_t open;       /* requests not ended, and pauses */
    connection_t idle; /* head of the ring, last used first */
} load_t;

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* --- connections ---------------------------------------------------------- */

static void begin_request(load_t *load, connection_t *c, int64_t start_us);

static void listen_for(load_t *load, connection_t *c, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = c};

    if (c->interest != interest) {
        c->interest = interest;
        epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    }
}

static void close_connection(connection_t *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

static void leave_idle(connection_t *c)
{
    c->previous->next = c->next;
    c->next->previous = c->previous;
}

static void make_idle(load_t *load, connection_t *c)
{
    c->phase = IDLE;
    c->next = load->idle.next;
    c->previous = &load->idle;
    c->next->previous = c;
    load->idle.next = c;
    listen_for(load, c, EPOLLIN);
}

/* Anything readable on an idle connection means that the server has closed it. */
static bool is_stale(const connection_t *c)
{
    char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK);
}

static connection_t *take_idle(load_t *load)
{
    while (load->idle.next != &load->idle) {
        connection_t *c = load->idle.next;

        leave_idle(c);
        if (!is_stale(c)) {
            return c;
        }
        close_connection(c);
        free(c);
    }
    return NULL;
}

static connection_t *new_connection(void)
{
    connection_t *c = calloc(1, sizeof *c);

    if (!c) {
        perror("load");
        exit(1);
    }
    c->fd = -1;
    return c;
}

static bool open_connection(load_t *load, connection_t *c)
{
    const struct addrinfo *address = load->target.address;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    int yes = 1;

    c->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS) {
        return false;
    }
    c->interest = event.events;
    c->phase = CONNECTING;
    return epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

/* --- one request ---------------------------------------------------------- */

static void record(load_t *load, const connection_t *c, outcome_t outcome)
{
    int64_t now_us = clock_now_us();

    tally_end(&load->tally, (double)(c->start_us - load->began_us) / 1e6,
              now_us - c->start_us, c->status, c->server, outcome, c->later);
}

static bool closed_loop_goes_on(const load_t *load)
{
    return load->options.connections > 0 && !interrupted &&
           clock_now_us() < load->end_us;
}

static void pause_connection(load_t *load, connection_t *c, int64_t pause_us)
{
    c->phase = PAUSING;
    if (c->fd >= 0) {
        listen_for(load, c, 0);
    }
    load->open++;
    timers_arm(&load->timers, &c->timer, clock_now_us() + pause_us);
}

/* The request has ended: the connection waits, goes on or is freed. */
static void finish(load_t *load, connection_t *c, outcome_t outcome)
{
    int64_t pause_us = (int64_t)(load->options.think_ms * 1000);

    timers_cancel(&load->timers, &c->timer);
    record(load, c, outcome);
    load->open--;
    if (outcome != OUTCOME_NONE || !c->keep_alive || load->options.new_connections) {
        close_connection(c);
    }
    if (closed_loop_goes_on(load)) {
        if (outcome != OUTCOME_NONE && pause_us < PAUSE_AFTER_FAILURE_US) {
            pause_us = PAUSE_AFTER_FAILURE_US;
        }
        pause_connection(load, c, pause_us);
    }
    else if (c->fd >= 0) {
        make_idle(load, c);
    }
    else {
        free(c);
    }
}

static void send_request(load_t *load, connection_t *c)
{
    ssize_t wrote = 0;

    c->phase = SENDING;
    while (c->sent < load->target.request_length) {
        wrote = send(c->fd, load->target.request + c->sent,
                     load->target.request_length - c->sent, MSG_NOSIGNAL);
        if (wrote < 0) {
            break;
        }
        c->sent += (size_t)wrote;
    }
    if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        /* The server may answer before it has the whole body. */
        listen_for(load, c, EPOLLOUT | EPOLLIN);
        return;
    }
    if (wrote < 0) {
        finish(load, c, OUTCOME_RESET);
        return;
    }
    c->phase = HEAD;
    listen_for(load, c, EPOLLIN);
}

static void begin_request(load_t *load, connection_t *c, int64_t start_us)
{
    int64_t timeout_us = (int64_t)(load->options.timeout_ms * 1000);

    c->start_us = start_us;
    c->sent = 0;
    c->head_length = 0;
    c->status = 0;
    c->server = 0;
    c->later = false;
    c->keep_alive = false;
    load->open++;
    tally_start(&load->tally);
    timers_arm(&load->timers, &c->timer, start_us + timeout_us);
    if (c->fd >= 0) {
        send_request(load, c);
    }
    else if (!open_connection(load, c)) {
        finish(load, c, OUTCOME_CONNECT);
    }
}

static void finish_connecting(load_t *load, connection_t *c)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error) {
        finish(load, c, OUTCOME_CONNECT);
        return;
    }
    send_request(load, c);
}

/* What --expect says, with the name of the server that says it has answered. */
static void expect_body(const load_t *load, connection_t *c, const char *server)
{
    const char *text = load->options.expect;
    const char *place = text ? strstr(text, "{server}") : NULL;

    c->expected[0] = '\0';
    c->matched = 0;
    c->wrong = false;
    if (!text || c->status != 200) {
        return;
    }
    if (place) {
        snprintf(c->expected, sizeof c->expected, "%.*s%s%s", (int)(place - text), text,
                 server, place + strlen("{server}"));
    }
    else {
        snprintf(c->expected, sizeof c->expected, "%s", text);
    }
}

/* Bytes of the body, as they come; of a chunked one the framing is taken for them. */
static void check_body(connection_t *c, const char *data, size_t length)
{
    size_t left = strlen(c->expected + c->matched);
    size_t count = length < left ? length : left;

    if (memcmp(data, c->expected + c->matched, count) != 0) {
        c->wrong = true;
    }
    c->matched += count;
}

/* Reads status, server and framing from a complete head; false: not HTTP. */
static bool parse_head(load_t *load, connection_t *c, size_t head_length)
{
    char value[128] = "";
    int minor;

    if (sscanf(c->head, "HTTP/1.%1d %3d", &minor, &c->status) != 2 || c->status < 100) {
        c->status = 0;
        return false;
    }
    c->keep_alive = minor > 0;
    if (http1_header(c->head, head_length, "Connection", value, sizeof value)) {
        c->keep_alive = minor > 0 ? !http1_list_has(value, "close")
                                  : http1_list_has(value, "keep-alive");
    }
    if (!http1_header(c->head, head_length, "X-Served-By", value, sizeof value)) {
        value[0] = '\0';
    }
    c->server = tally_server(&load->tally, value);
    expect_body(load, c, value);
    c->later = c->status == 503 &&
               http1_header(c->head, head_length, "Retry-After", value, sizeof value);
    if (!http1_body_begin(&c->body, c->head, head_length, HTTP1_UNTIL_CLOSE)) {
        return false;
    }
    if (load->target.head_only || c->status == 204 || c->status == 304) {
        c->body.framing = HTTP1_NO_BODY;
    }
    if (c->body.framing == HTTP1_UNTIL_CLOSE) {
        c->keep_alive = false;
    }
    return true;
}

/* A response that is whole: is it the one that was expected? */
static outcome_t complete(const connection_t *c)
{
    return c->wrong || c->expected[c->matched] ? OUTCOME_WRONG : OUTCOME_NONE;
}

/* Body bytes; returns true when the request has ended. */
static bool take_body(load_t *load, connection_t *c, const char *data, size_t length)
{
    size_t used;
    http1_progress_t progress = http1_body_feed(&c->body, data, length, &used);

    check_body(c, data, used);
    if (progress == HTTP1_MORE) {
        return false;
    }
    /* Bytes after the response belong to nothing that was asked for, and a response
     * that is complete before the request is leaves the connection unusable. */
    if (used != length || c->sent < load->target.request_length) {
        c->keep_alive = false;
    }
    finish(load, c, progress == HTTP1_DONE ? complete(c) : OUTCOME_BAD);
    return true;
}

/* Works through what is in c->head; returns true when the request has ended. */
static bool take_head(load_t *load, connection_t *c)
{
    size_t head_length;

    while ((head_length = http1_head_length(c->head, c->head_length))) {
        if (!parse_head(load, c, head_length)) {
            finish(load, c, OUTCOME_BAD);
            return true;
        }
        if (c->status >= 200) {
            c->phase = BODY;
            return take_body(load, c, c->head + head_length,
                             c->head_length - head_length);
        }
        /* An interim response: the real one follows. */
        c->head_length -= head_length;
        memmove(c->head, c->head + head_length, c->head_length + 1);
        c->status = 0;
    }
    if (c->head_length == sizeof c->head - 1) {
        finish(load, c, OUTCOME_BAD);
        return true;
    }
    return false;
}

static void end_of_stream(load_t *load, connection_t *c, ssize_t got)
{
    if (got == 0 && c->phase == BODY && c->body.framing == HTTP1_UNTIL_CLOSE) {
        finish(load, c, complete(c));
    }
    else if (got == 0 && (c->phase == BODY || c->head_length)) {
        finish(load, c, OUTCOME_SHORT);
    }
    else {
        finish(load, c, OUTCOME_RESET);
    }
}

static void receive(load_t *load, connection_t *c)
{
    static char body[BODY_BYTES];

    for (;;) {
        bool in_body = c->phase == BODY;
        char *place = in_body ? body : c->head + c->head_length;
        size_t size = in_body ? sizeof body : sizeof c->head - 1 - c->head_length;
        ssize_t got = recv(c->fd, place, size, 0);

        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            end_of_stream(load, c, got);
            return;
        }
        if (in_body) {
            if (take_body(load, c, body, (size_t)got)) {
                return;
            }
            continue;
        }
        c->head_length += (size_t)got;
        c->head[c->head_length] = '\0';
        if (take_head(load, c)) {
            return;
        }
    }
}

static void handle_event(load_t *load, connection_t *c, uint32_t events)
{
    switch (c->phase) {
    case CONNECTING:
        finish_connecting(load, c);
        break;
    case SENDING:
        if (events & EPOLLIN) {
            receive(load, c);
        }
        else {
            send_request(load, c);
        }
        break;
    case HEAD:
    case BODY:
        receive(load, c);
        break;
    case IDLE:
        leave_idle(c);
        close_connection(c);
        free(c);
        break;
    case PAUSING:
        close_connection(c);
        break;
    }
}

static void pass_timer(load_t *load, rig_timer_t *timer)
{
    connection_t *c = (connection_t *)timer;

    if (c->phase != PAUSING) {
        finish(load, c, OUTCOME_TIMEOUT);
        return;
    }
    load->open--;
    if (c->fd >= 0 && is_stale(c)) {
        close_connection(c);
    }
    if (closed_loop_goes_on(load)) {
        begin_request(load, c, clock_now_us());
    }
    else {
        close_connection(c);
        free(c);
    }
}

/* --- the run -------------------------------------------------------------- */

static void plan_arrival(load_t *load)
{
    load->next_arrival_s = profile_next_arrival(
        &load->options.profile, &load->options.dice, load->next_arrival_s);
    load->next_arrival_us =
        load->next_arrival_s < 0
            ? INT64_MAX
            : load->began_us + (int64_t)(load->next_arrival_s * 1e6);
}

static void start_arrivals(load_t *load)
{
    while (load->next_arrival_us <= clock_now_us() && !interrupted) {
        connection_t *c = load->options.new_connections ? NULL : take_idle(load);

        begin_request(load, c ? c : new_connection(), load->next_arrival_us);
        plan_arrival(load);
    }
}

static void tell_live(load_t *load)
{
    int64_t now_us = clock_now_us();

    if (now_us >= load->live_us) {
        int64_t elapsed_us = now_us - (load->live_us - SECOND_US);

        tally_live(&load->tally, (double)(now_us - load->began_us) / 1e6,
                   (double)elapsed_us / 1e6);
        load->live_us = now_us + SECOND_US;
    }
}

static bool goes_on(const load_t *load)
{
    return load->open || (!interrupted && load->next_arrival_us != INT64_MAX);
}

static int64_t earliest_us(const load_t *load)
{
    int64_t until_us = load->live_us;
    int64_t timer_us = timers_next_us(&load->timers);

    if (load->next_arrival_us < until_us && !interrupted) {
        until_us = load->next_arrival_us;
    }
    return timer_us < until_us ? timer_us : until_us;
}

static void run(load_t *load)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    while (goes_on(load)) {
        int count =
            await_events(load->epoll_fd, events, EVENTS_AT_ONCE, earliest_us(load));
        rig_timer_t *timer;

        for (int i = 0; i < count; i++) {
            handle_event(load, events[i].data.ptr, events[i].events);
        }
        while ((timer = timers_due(&load->timers, clock_now_us()))) {
            pass_timer(load, timer);
        }
        start_arrivals(load);
        tell_live(load);
    }
}

static void begin_run(load_t *load)
{
    const load_options_t *o = &load->options;

    load->idle.next = load->idle.previous = &load->idle;
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->tally.started_at_s = clock_wall_s();
    tally_server(&load->tally, "");
    load->began_us = clock_now_us();
    load->live_us = load->began_us + SECOND_US;
    load->next_arrival_us = INT64_MAX;
    if (!o->connections) {
        plan_arrival(load);
        return;
    }
    load->end_us = load->began_us + (int64_t)(o->duration_s * 1e6);
    for (long i = 0; i < o->connections; i++) {
        begin_request(load, new_connection(), clock_now_us());
    }
}

/* --- the start --------------------------------------------------------- */

static void prepare_process(void)
{
    struct rlimit limit;
    struct sigaction action = {.sa_handler = interrupt};

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    /* An interrupted run ends what it has begun, and reports. */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int main(int count, char **words)
{
    static load_t load;
    double duration_s;

    load_options_parse(&load.options, count, words);
    load.tally.csv = load.options.csv;
    load.tally.live = load.options.live;
    prepare_process();
    target_open(&load.target, &load.options);
    begin_run(&load);
    run(&load);
    duration_s = (double)(clock_now_us() - load.began_us) / 1e6;
    if (load.tally.csv) {
        /* A disk that was full for a while leaves a hole, whatever fclose says. */
        bool hole = ferror(load.tally.csv) != 0;

        if (fclose(load.tally.csv) || hole) {
            fprintf(stderr, "load: --csv: not all of it could be written\n");
            return 1;
        }
    }
    tally_summary(&load.tally, stdout, duration_s);
    return 0;
}
