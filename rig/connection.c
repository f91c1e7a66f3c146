/* SPDX-License-Identifier: Apache-2.0
 *
 * One client's connection to a simulated server.
 *
 * READ_HEAD -> READ_BODY -> SERVICE or PAUSE -> WRITE -> READ_HEAD ... A connection
 * has one timer: the end of its service or pause, or the next piece of a slow body.
 * With ?events= it goes from WRITE to EVENT and back until all events are sent; with
 * Upgrade: websocket it ends in ECHO. */
#include "connection.h"

#include "clock.h"
#include "fault.h"
#include "request.h"
#include "websocket.h"

#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define INPUT_BYTES      16384
#define FILLER_BYTES     16384
#define TRICKLE_EVERY_US 100000
#define SLOW_BODY_BYTES  65536

typedef enum { READ_HEAD, READ_BODY, SERVICE, PAUSE, WRITE, EVENT, ECHO } phase_t;

struct connection {
    rig_timer_t timer; /* must stand first: connection_timer() relies on it */
    job_t job;
    host_t *host;
    stream_t stream;
    uint64_t number; /* counted from the server's start */
    phase_t phase;
    uint32_t interest;
    request_t request;
    http1_body_t body;
    char input[INPUT_BYTES];
    size_t input_length;
    char head[512]; /* of the response */
    size_t head_length;
    char text[512]; /* the body's beginning; filler follows */
    size_t text_length;
    uint64_t total; /* bytes of the response, head and body */
    uint64_t sent;
    int64_t writing_since_us;
};

static connection_t *connection_of_job(job_t *job)
{
    return (connection_t *)((char *)job - offsetof(connection_t, job));
}

/* A connection that waits for neither direction (0) still hears that its client has
 * gone; one that reads will see the end, and one that writes must not spin on it. */
static void listen_for(connection_t *c, uint32_t interest)
{
    struct epoll_event event = {.events = interest ? interest : EPOLLRDHUP,
                                .data.ptr = c};

    if (c->interest != event.events) {
        c->interest = event.events;
        epoll_ctl(c->host->epoll_fd, EPOLL_CTL_MOD, c->stream.fd, &event);
    }
}

static void start_service(connection_t *c)
{
    host_t *host = c->host;
    double ms = c->request.ms;

    if (ms < 0) {
        ms = host->exponential ? dice_exponential(&host->dice, host->service_ms)
                               : host->service_ms;
    }
    timers_arm(&host->timers, &c->timer, clock_now_us() + (int64_t)(ms * 1000));
}

static void release_job(connection_t *c, bool served)
{
    job_t *next;

    if (c->job.state == JOB_IDLE) {
        return;
    }
    next = service_release(&c->host->service, &c->job, served, clock_now_us());
    if (next) {
        start_service(connection_of_job(next));
    }
}

static void close_connection(connection_t *c)
{
    timers_cancel(&c->host->timers, &c->timer);
    release_job(c, false);
    stream_close(&c->stream);
    free(c);
}

void connection_open(host_t *host, int fd)
{
    connection_t *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    if (!c) {
        close(fd);
        return;
    }
    c->host = host;
    c->number = ++host->accepted;
    c->interest = event.events;
    if (!stream_open(&c->stream, fd, host->tls)) {
        free(c);
        return;
    }
    if (epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        close_connection(c);
    }
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Service Unavailable";
    }
}

/* The fields that every response has; c->head holds `at` bytes. Returns how many. */
static size_t add_common(connection_t *c, size_t at)
{
    const request_t *request = &c->request;
    char cookie[128] = "";

    if (request->session[0]) {
        snprintf(cookie, sizeof cookie, "Set-Cookie: %s=s.%s; Path=/\r\n",
                 request->session, c->host->name);
    }
    return (size_t)snprintf(c->head + at, sizeof c->head - at,
                            "X-Served-By: %s\r\nX-Connection: %ld.%" PRIu64
                            "\r\n%sConnection: %s\r\n\r\n",
                            c->host->name, (long)getpid(), c->number, cookie,
                            request->keep_alive ? "keep-alive" : "close");
}

/* Prepares the response whose body begins with c->text. */
static void respond(connection_t *c, int status)
{
    const request_t *request = &c->request;
    uint64_t body_bytes = c->text_length;
    int length;

    if (request->bytes >= 0) {
        body_bytes = (uint64_t)request->bytes;
    }
    else if (request->slow > 0) {
        body_bytes = SLOW_BODY_BYTES;
    }
    if (c->text_length > body_bytes) {
        c->text_length = (size_t)body_bytes;
    }
    length = snprintf(c->head, sizeof c->head,
                      "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\n"
                      "Content-Length: %" PRIu64 "\r\n",
                      status, reason_of(status), body_bytes);
    c->head_length = (size_t)length + add_common(c, (size_t)length);
    c->total = c->head_length;
    if (strcmp(request->method, "HEAD") != 0) {
        c->total += body_bytes;
    }
    c->sent = 0;
    c->writing_since_us = clock_now_us();
    c->phase = WRITE;
}

static void respond_text(connection_t *c, int status, const char *text)
{
    c->text_length = (size_t)snprintf(c->text, sizeof c->text, "%s\n", text);
    c->request.bytes = -1;
    c->request.slow = 0;
    respond(c, status);
}

/* For a request that cannot be understood: where the next begins is unknown too. */
static void respond_bad(connection_t *c, int status, const char *text)
{
    c->request.keep_alive = false;
    c->input_length = 0;
    respond_text(c, status, text);
}

static void respond_stats(connection_t *c)
{
    const service_t *s = &c->host->service;
    char text[256];

    snprintf(text, sizeof text,
             "{\"served\": %" PRIu64 ", \"in_flight\": %d, \"queued\": %d, "
             "\"max_in_flight\": %d, \"refused\": %" PRIu64 ", \"abandoned\": %" PRIu64
             "}",
             s->served, s->busy + s->queued, s->queued, s->max_in_flight, s->refused,
             s->abandoned);
    respond_text(c, 200, text);
}

static void respond_served(connection_t *c)
{
    int length = snprintf(c->text, sizeof c->text, "served by %s\nbody %" PRIu64 "\n",
                          c->host->name, c->body.received);

    c->text_length = (size_t)length;
    respond(c, 200);
}

/* The next server-sent event as a chunk, or the last chunk. */
static void prepare_event(connection_t *c)
{
    char event[64];
    int length = snprintf(event, sizeof event, "data: %ld left\n\n", c->request.events);

    if (c->request.events == 0) {
        length = snprintf(c->text, sizeof c->text, "0\r\n\r\n");
    }
    else {
        length =
            snprintf(c->text, sizeof c->text, "%x\r\n%s\r\n", (unsigned)length, event);
    }
    c->text_length = (size_t)length;
    c->head_length = 0;
    c->sent = 0;
    c->total = c->text_length;
    c->phase = WRITE;
}

static void respond_events(connection_t *c)
{
    int length = snprintf(c->head, sizeof c->head,
                          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                          "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n");
    size_t head_length = (size_t)length + add_common(c, (size_t)length);

    prepare_event(c);
    c->head_length = head_length;
    c->total += head_length;
}

static void respond_upgrade(connection_t *c)
{
    char accept[WEBSOCKET_ACCEPT_BYTES];
    int length;

    websocket_accept(c->request.websocket, accept);
    length = snprintf(c->head, sizeof c->head,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                      accept);
    c->head_length = (size_t)length;
    c->text_length = 0;
    c->sent = 0;
    c->total = c->head_length;
    c->phase = WRITE;
}

static void respond_health(connection_t *c)
{
    if (fault_is_on(c->host->faults, "unhealthy")) {
        respond_text(c, 503, "unhealthy");
    }
    else {
        respond_text(c, 200, "healthy");
    }
}

/* The kernel closes our connections as it would those of a crashed process. */
static void die_under_load(const host_t *host)
{
    double least;

    if (!fault_is_on(host->faults, "dies_under_load")) {
        return;
    }
    least = fault_value(host->faults, "dies_under_load", 1);
    if (host->service.busy + host->service.queued >= least) {
        raise(SIGKILL);
    }
}

static void drop_input(connection_t *c, size_t used)
{
    c->input_length -= used;
    memmove(c->input, c->input + used, c->input_length);
}

/* The interim answer is so short that a fresh request's socket always takes it. */
static void answer_expectation(connection_t *c, size_t head_length)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char value[32];

    if (c->body.framing != HTTP1_NO_BODY && c->input_length == head_length &&
        http1_header(c->input, head_length, "Expect", value, sizeof value)) {
        stream_write(&c->stream, interim, sizeof interim - 1);
    }
}

static void begin_request(connection_t *c, size_t head_length)
{
    if (!request_parse(&c->request, &c->body, c->input, head_length)) {
        respond_bad(c, 400, "malformed request");
        return;
    }
    answer_expectation(c, head_length);
    drop_input(c, head_length);
    c->phase = READ_BODY;
}

/* The whole request is here. */
static void dispatch(connection_t *c)
{
    host_t *host = c->host;
    int64_t now_us = clock_now_us();
    double delay_ms;

    if (strcmp(c->request.path, "/_stats") == 0) {
        respond_stats(c);
        return;
    }
    if (fault_is_on(host->faults, "not_ready")) {
        respond_text(c, 503, "not ready");
        return;
    }
    if (strcmp(c->request.path, "/health") == 0) {
        delay_ms = fault_value(host->faults, "unhealthy_slow", 0);
        c->phase = PAUSE;
        timers_arm(&host->timers, &c->timer, now_us + (int64_t)(delay_ms * 1000));
        return;
    }
    switch (service_admit(&host->service, &c->job, now_us)) {
    case JOB_BUSY:
        c->phase = SERVICE;
        start_service(c);
        break;
    case JOB_WAITS:
        c->phase = SERVICE;
        break;
    default:
        respond_text(c, 503, "queue is full");
        return;
    }
    die_under_load(host);
}

/* Reads more input. False: nothing for now, or the connection is gone. */
static bool read_more(connection_t *c)
{
    ssize_t got = stream_read(&c->stream, c->input + c->input_length,
                              sizeof c->input - 1 - c->input_length);

    if (got > 0) {
        c->input_length += (size_t)got;
        c->input[c->input_length] = '\0';
        return true;
    }
    if (got == STREAM_BLOCKED) {
        listen_for(c, c->stream.want);
        return false;
    }
    close_connection(c);
    return false;
}

static bool run_read_head(connection_t *c)
{
    size_t head_length = http1_head_length(c->input, c->input_length);

    if (head_length) {
        begin_request(c, head_length);
        return true;
    }
    if (c->input_length == sizeof c->input - 1) {
        respond_bad(c, 431, "head is too long");
        return true;
    }
    return read_more(c);
}

static bool run_read_body(connection_t *c)
{
    size_t used;
    http1_progress_t progress =
        http1_body_feed(&c->body, c->input, c->input_length, &used);

    drop_input(c, used);
    if (progress == HTTP1_MORE) {
        return read_more(c);
    }
    if (progress == HTTP1_BAD) {
        respond_bad(c, 400, "malformed body");
    }
    else {
        dispatch(c);
    }
    return true;
}

/* How far the response may be sent by now. */
static uint64_t allowed_bytes(const connection_t *c)
{
    uint64_t body_bytes = c->total - c->head_length;
    double elapsed_s = (double)(clock_now_us() - c->writing_since_us) / 1e6;

    if (c->request.slow <= 0 || elapsed_s >= c->request.slow) {
        return c->total;
    }
    return c->head_length +
           (uint64_t)((double)body_bytes * elapsed_s / c->request.slow);
}

/* The next stretch of the response in one piece of memory. */
static const char *next_piece(const connection_t *c, uint64_t until, size_t *length)
{
    static char filler[FILLER_BYTES];
    uint64_t text_end = c->head_length + c->text_length;
    const char *piece;
    uint64_t end;

    if (c->sent < c->head_length) {
        piece = c->head + c->sent;
        end = c->head_length;
    }
    else if (c->sent < text_end) {
        piece = c->text + (c->sent - c->head_length);
        end = text_end;
    }
    else {
        if (!filler[0]) {
            memset(filler, '.', sizeof filler);
        }
        piece = filler;
        end = c->sent + sizeof filler;
    }
    *length = (size_t)((end < until ? end : until) - c->sent);
    return piece;
}

static bool finish_response(connection_t *c)
{
    if (c->request.websocket[0]) {
        c->phase = ECHO;
        return true;
    }
    if (c->request.events > 0) {
        c->request.events--;
        c->phase = EVENT;
        timers_arm(&c->host->timers, &c->timer,
                   clock_now_us() + (int64_t)(c->request.every_ms * 1000));
        return true;
    }
    release_job(c, true);
    if (!c->request.keep_alive) {
        close_connection(c);
        return false;
    }
    c->phase = READ_HEAD;
    return true;
}

static bool run_write(connection_t *c)
{
    uint64_t until = allowed_bytes(c);

    while (c->sent < until) {
        size_t length;
        const char *piece = next_piece(c, until, &length);
        ssize_t wrote = stream_write(&c->stream, piece, length);

        if (wrote == STREAM_BLOCKED) {
            listen_for(c, c->stream.want);
            return false;
        }
        if (wrote <= 0) {
            close_connection(c);
            return false;
        }
        c->sent += (uint64_t)wrote;
    }
    if (c->sent == c->total) {
        return finish_response(c);
    }
    listen_for(c, 0);
    timers_arm(&c->host->timers, &c->timer, clock_now_us() + TRICKLE_EVERY_US);
    return false;
}

/* Sends back each frame that has come. False: nothing for now, or it is gone. */
static bool run_echo(connection_t *c)
{
    char reply[WEBSOCKET_REPLY_BYTES];
    size_t used, length;
    websocket_result_t result =
        websocket_frame(c->input, c->input_length, &used, reply, &length);

    if (result == WEBSOCKET_MORE) {
        return read_more(c);
    }
    drop_input(c, used);
    /* So short that the socket of a client that reads always takes it. */
    if (result == WEBSOCKET_BAD ||
        (length && stream_write(&c->stream, reply, length) != (ssize_t)length) ||
        result == WEBSOCKET_LAST) {
        close_connection(c);
        return false;
    }
    return true;
}

/* Goes on until the connection has to wait for something, or is gone. */
static void run(connection_t *c)
{
    bool go_on = true;

    while (go_on) {
        switch (c->phase) {
        case READ_HEAD:
            go_on = run_read_head(c);
            break;
        case READ_BODY:
            go_on = run_read_body(c);
            break;
        case WRITE:
            go_on = run_write(c);
            break;
        case ECHO:
            go_on = run_echo(c);
            break;
        case EVENT:
        case SERVICE:
        case PAUSE:
            listen_for(c, 0);
            go_on = false;
            break;
        }
    }
}

void connection_event(connection_t *c, uint32_t events)
{
    bool waits = c->phase == SERVICE || c->phase == PAUSE || c->timer.place;

    if ((events & (EPOLLERR | EPOLLHUP)) || (waits && (events & EPOLLRDHUP))) {
        close_connection(c);
        return;
    }
    if (!waits) {
        run(c);
    }
}

void connection_timer(rig_timer_t *timer)
{
    connection_t *c = (connection_t *)timer;

    if (c->phase == SERVICE && c->request.websocket[0]) {
        respond_upgrade(c);
    }
    else if (c->phase == SERVICE && c->request.events > 0) {
        respond_events(c);
    }
    else if (c->phase == SERVICE) {
        respond_served(c);
    }
    else if (c->phase == EVENT) {
        prepare_event(c);
    }
    else if (c->phase == PAUSE) {
        respond_health(c);
    }
    run(c);
}
