/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c - one question to one member, by libcurl's multi_socket interface.
 *
 * curl says which descriptors it waits for and when it wants to be called; both go to
 * the keeper's loop, so a thousand probes cost a thousand small callbacks and no scan,
 * and a member that hangs is one descriptor that nobody touches until its time is over.
 * Easy handles are kept with their constant options and used again; their connections
 * never are: only a fresh one proves that the server still accepts any.
 *
 * AJP and other schemes that are no HTTP let curl do the resolving and connecting
 * (CONNECT_ONLY) as well; the CPING is then exchanged on curl's socket.
 */
#include "probe.h"

#include "core/gb_cping.h"

#include "apr_network_io.h"

#include <curl/curl.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_BODY_MOST   (64 * 1024) /* more is not read: the status has been told */
#define PROBE_HEADER_MOST (32 * 1024) /* all header lines together */
#define PROBE_BUFFER      4096L
#define PROBE_AGENT       "mod_greenbalance/" MGB_VERSION

typedef enum talk_e {
    TALK_HTTP,
    TALK_AJP,
    TALK_CONNECT /* the connection is the answer */
} talk_e;

struct mgb_target_t {
    talk_e talk;
    bool tls, verify;
    bool named; /* the host has to be resolved: it may have several addresses */
    long http_version;
    const char *url;
    const char *uds;   /* path of a unix socket, or NULL */
    const char *fault; /* why it cannot be asked at all, or NULL */
    uint32_t expect_from, expect_to;
    struct curl_slist *headers;    /* NULL, or one line "Host: NAME" */
    struct curl_slist *connect_to; /* NULL, or where "host=" is to be found */
    struct curl_slist header_line, connect_line;
};

struct mgb_probe_t {
    mgb_prober_t *prober;
    CURL *easy;
    const mgb_target_t *target;
    mgb_answer_fn *fn;
    void *baton;
    mgb_probe_t *next, **link; /* in prober->running or ->idle */
    int64_t connect_us, total_us, ends_at_us;
    size_t body_bytes, header_bytes;
    bool ours;        /* no descriptor, or the loop did not take it */
    bool unroutable;  /* some address of it has no route from here */
    uint32_t sockets; /* opened for it */
    int ajp_fd;       /* -1: no CPING is out */
    uint64_t ajp_timer;
    unsigned char pong[GB_CPONG_BYTES + 1];
    size_t pong_bytes;
    char error[CURL_ERROR_SIZE];
};

struct mgb_prober_t {
    mgb_loop_t *loop;
    server_rec *server;
    apr_pool_t *pool;
    CURLM *multi;
    const char *cafile, *capath; /* the library's own */
    mgb_probe_t *running, *idle;
    uint64_t timer;      /* 0: none is set */
    int64_t timer_at_us; /* when it fires */
    int64_t curl_at_us;  /* when curl wants to be called; GB_NEVER_US: need not be */
};

/* ------------------------------------------------------------------ targets */

/* Is it safe in a URL or a header line as it stands? */
static bool plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c == 0x7f) {
            return false;
        }
    }
    return *text != '\0';
}

static bool numeric(const char *host)
{
    return strchr(host, ':') || strspn(host, "0123456789.") == strlen(host);
}

static const char *bracketed(apr_pool_t *p, const char *host)
{
    return strchr(host, ':') && *host != '[' ? apr_pstrcat(p, "[", host, "]", NULL)
                                             : host;
}

static void target_scheme(mgb_target_t *target, const char *scheme)
{
    target->talk = TALK_CONNECT;
    target->http_version = CURL_HTTP_VERSION_1_1;
    if (!strcmp(scheme, "http")) {
        target->talk = TALK_HTTP;
    }
    else if (!strcmp(scheme, "https")) {
        target->talk = TALK_HTTP;
        target->tls = true;
    }
    else if (!strcmp(scheme, "h2")) {
        target->talk = TALK_HTTP;
        target->tls = true;
        target->http_version = CURL_HTTP_VERSION_2TLS;
    }
    else if (!strcmp(scheme, "h2c")) {
        target->talk = TALK_HTTP;
        target->http_version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    }
    else if (!strcmp(scheme, "ajp")) {
        target->talk = TALK_AJP;
    }
}

/* host=NAME[:PORT]: sent as it is.  With TLS it is also the name that the server is
 * asked for and that its certificate has to bear, so the URL names it, and the
 * connection is led to the member. */
static void target_host(mgb_target_t *target, const char **host, const char *named,
                        apr_port_t port, apr_pool_t *p)
{
    const char *colon = strrchr(named, ':');

    target->header_line.data = apr_pstrcat(p, "Host: ", named, NULL);
    target->headers = &target->header_line;
    if (!target->tls) {
        return;
    }
    target->connect_line.data = apr_psprintf(p, "::%s:%u", *host, port);
    target->connect_to = &target->connect_line;
    if (colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")]) {
        named = apr_pstrmemdup(p, named, (apr_size_t)(colon - named));
    }
    *host = bracketed(p, named);
}

mgb_target_t *mgb_target_make(const proxy_worker *worker, const mgb_probe_conf_t *conf,
                              apr_pool_t *p)
{
    mgb_target_t *target = apr_pcalloc(p, sizeof(*target));
    const proxy_worker_shared *s = worker->s;
    const char *host = s->hostname_ex;
    apr_port_t port = s->port;

    target_scheme(target, s->scheme);
    target->verify = conf->verify;
    target->expect_from = conf->expect_from;
    target->expect_to = conf->expect_to;
    if (*s->uds_path) {
        target->uds = apr_pstrdup(p, s->uds_path);
        host = *host ? host : "localhost";
        port = port ? port : 80;
    }
    if (!plain(host)) {
        target->fault = "the member's URL has no usable host name";
    }
    else if (!port) {
        target->fault = "the member's URL needs a port: the scheme has no usual one";
    }
    else if (!plain(conf->uri) || *conf->uri != '/') {
        target->fault = "GreenHealth uri= needs a path that begins with / and has no "
                        "spaces or control characters";
    }
    else if (conf->host && !plain(conf->host)) {
        target->fault = "GreenHealth host= must not have spaces or control characters";
    }
    if (target->fault) {
        return target;
    }
    target->named = !target->uds && !numeric(host);
    host = bracketed(p, host);
    if (conf->host && target->talk == TALK_HTTP) {
        target_host(target, &host, conf->host, port, p);
    }
    target->url = apr_psprintf(p, "%s://%s:%u%s", target->tls ? "https" : "http", host,
                               port, target->talk == TALK_HTTP ? conf->uri : "/");
    return target;
}

/* ------------------------------------------------------------------ answers */

static const char *span(char *text, size_t room, int64_t us)
{
    int64_t ms = us / GB_US_PER_MS;

    if (ms % 1000 == 0) {
        apr_snprintf(text, room, "%" APR_INT64_T_FMT " s", ms / 1000);
    }
    else {
        apr_snprintf(text, room, "%" APR_INT64_T_FMT " ms", ms);
    }
    return text;
}

/* What curl or a server wrote goes into pages and logs: printable ASCII only. */
static void say(mgb_answer_t *answer, const char *what, const char *detail)
{
    apr_snprintf(answer->why, sizeof(answer->why), "%s%s%s", what, *detail ? ": " : "",
                 detail);
    for (char *c = answer->why; *c; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

/* A connection could not be made: is it the server that is silent, or is it us? */
static void judge_connect(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    char text[96];
    long code = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_OS_ERRNO, &code);
    if (probe->sockets == 0 && probe->unroutable) {
        code = ENETUNREACH;
    }
    apr_strerror((apr_status_t)code, text, sizeof(text));
    say(answer, "no connection", code ? text : probe->error);
    switch (code) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: /* no local port is free */
        answer->ours = true;
        break;
    case ENETUNREACH: /* no route: says nothing of a server that may be well */
    case ENETDOWN:
    case EACCES: /* a unix socket that the keeper's user may not open, a packet filter
                  */
    case EPERM:
    case EAFNOSUPPORT:
    case EINVAL:
        break;
    default:
        answer->heard = GB_HEARD_SILENT;
    }
}

static void judge_timeout(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    curl_off_t named_us = 0;
    char text[32];

    (void)curl_easy_getinfo(probe->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
    if (answer->connect_us > 0) {
        answer->heard = GB_HEARD_WRONG;
        say(answer, "no whole answer within", "");
        span(text, sizeof(text), probe->total_us);
    }
    else if (named_us == 0 && probe->target->named) {
        say(answer, "its name was not resolved within", "");
        span(text, sizeof(text), probe->connect_us);
    }
    else {
        answer->heard = GB_HEARD_SILENT;
        say(answer, "no connection within", "");
        span(text, sizeof(text), probe->connect_us);
    }
    apr_snprintf(answer->why + strlen(answer->why),
                 sizeof(answer->why) - strlen(answer->why), " %s", text);
}

static void judge_status(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    const mgb_target_t *target = probe->target;
    long status = 0, version = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(probe->easy, CURLINFO_HTTP_VERSION, &version);
    if (target->http_version == CURL_HTTP_VERSION_2TLS &&
        version != CURL_HTTP_VERSION_2_0) {
        answer->heard = GB_HEARD_WRONG;
        say(answer, "does not speak HTTP/2", "");
        return;
    }
    if (status >= (long)target->expect_from && status <= (long)target->expect_to) {
        answer->heard = GB_HEARD_GOOD;
        return;
    }
    answer->heard = GB_HEARD_WRONG;
    apr_snprintf(answer->why, sizeof(answer->why), "HTTP status %ld, expected %u-%u",
                 status, target->expect_from, target->expect_to);
}

static void judge(const mgb_probe_t *probe, CURLcode code, mgb_answer_t *answer)
{
    const char *detail = *probe->error ? probe->error : curl_easy_strerror(code);

    switch (code) {
    case CURLE_OK:
        judge_status(probe, answer);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
        say(answer, "its name does not resolve", "");
        break;
    case CURLE_COULDNT_CONNECT:
        judge_connect(probe, answer);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        judge_timeout(probe, answer);
        break;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        answer->ours = true;
        say(answer, "libcurl", detail);
        break;
    case CURLE_SSL_CACERT_BADFILE: /* the proxy's own certificates */
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_CERTPROBLEM:
        say(answer, "TLS set-up of this proxy", detail);
        break;
    case CURLE_WRITE_ERROR: /* our own limits */
        if (probe->body_bytes > PROBE_BODY_MOST) {
            judge_status(probe, answer);
            break;
        }
        answer->heard = GB_HEARD_WRONG;
        say(answer, "header of the answer is over 32 KiB", "");
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        answer->heard = GB_HEARD_WRONG;
        say(answer, "TLS", detail);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        answer->heard = GB_HEARD_WRONG;
        say(answer, "answer is not the HTTP that was asked for", detail);
        break;
    default:
        answer->heard = answer->connect_us > 0 ? GB_HEARD_WRONG : GB_HEARD_NOTHING;
        say(answer, "no whole answer", detail);
        break;
    }
}

/* ------------------------------------------------------------------ lists of probes */

static void probe_link(mgb_probe_t **list, mgb_probe_t *probe)
{
    probe->next = *list;
    probe->link = list;
    if (*list) {
        (*list)->link = &probe->next;
    }
    *list = probe;
}

static void probe_unlink(mgb_probe_t *probe)
{
    *probe->link = probe->next;
    if (probe->next) {
        probe->next->link = probe->link;
    }
}

/* Takes a probe out of curl and off the loop, and keeps it for the next one. */
static void probe_release(mgb_probe_t *probe)
{
    mgb_prober_t *prober = probe->prober;

    if (probe->ajp_fd >= 0) {
        mgb_loop_unwatch(prober->loop, probe->ajp_fd);
        mgb_loop_cancel(prober->loop, probe->ajp_timer);
        probe->ajp_fd = -1;
    }
    (void)curl_multi_remove_handle(prober->multi, probe->easy);
    probe_unlink(probe);
    probe_link(&prober->idle, probe);
}

static void probe_answer(mgb_probe_t *probe, mgb_answer_t *answer)
{
    mgb_answer_fn *fn = probe->fn;
    void *baton = probe->baton;

    if (probe->ours && answer->heard != GB_HEARD_GOOD) {
        answer->ours = true;
        answer->heard = GB_HEARD_NOTHING;
    }
    probe_release(probe); /* first: fn may start the next one */
    fn(baton, answer);
}

/* ------------------------------------------------------------------ AJP */

static void ajp_answer(mgb_probe_t *probe, gb_heard_e heard, const char *why)
{
    mgb_answer_t answer = {.heard = heard, .connect_us = 1};
    curl_off_t connected_us = 0, named_us = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    (void)curl_easy_getinfo(probe->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
    if (connected_us > named_us) {
        answer.connect_us = connected_us - named_us;
    }
    say(&answer, why, "");
    probe_answer(probe, &answer);
}

static void ajp_readable(void *baton, int fd, uint32_t epoll_events)
{
    mgb_probe_t *probe = baton;
    ssize_t n = recv(fd, probe->pong + probe->pong_bytes,
                     sizeof(probe->pong) - probe->pong_bytes, MSG_DONTWAIT);

    (void)epoll_events;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        ajp_answer(probe, GB_HEARD_WRONG, "closed the connection without a CPONG");
        return;
    }
    probe->pong_bytes += (size_t)n;
    switch (gb_cping_check(probe->pong, probe->pong_bytes)) {
    case GB_CPONG_GOOD:
        ajp_answer(probe, GB_HEARD_GOOD, "");
        break;
    case GB_CPONG_BAD:
        ajp_answer(probe, GB_HEARD_WRONG, "answer to CPING is not an AJP CPONG");
        break;
    case GB_CPONG_MORE:
        break;
    }
}

static void ajp_late(void *baton, int64_t now_us)
{
    mgb_probe_t *probe = baton;
    char text[32], why[64];

    (void)now_us;
    apr_snprintf(why, sizeof(why), "no CPONG within %s",
                 span(text, sizeof(text), probe->total_us));
    ajp_answer(probe, GB_HEARD_WRONG, why);
}

/* Connected: five bytes out, five bytes in. */
static void ajp_begin(mgb_probe_t *probe)
{
    mgb_prober_t *prober = probe->prober;
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(probe->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD ||
        send(fd, gb_cping_packet(), GB_CPING_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL) !=
            GB_CPING_BYTES) {
        ajp_answer(probe, GB_HEARD_WRONG, "closed the connection before the CPING");
        return;
    }
    if (mgb_loop_watch(prober->loop, fd, EPOLLIN, ajp_readable, probe) != APR_SUCCESS) {
        probe->ours = true;
        ajp_answer(probe, GB_HEARD_NOTHING, "keeper's loop has no room");
        return;
    }
    probe->ajp_fd = fd;
    probe->pong_bytes = 0;
    probe->ajp_timer = mgb_loop_timer(prober->loop, probe->ends_at_us, ajp_late, probe);
    if (!probe->ajp_timer) {
        probe->ours = true;
        ajp_answer(probe, GB_HEARD_NOTHING, "keeper's loop has no room");
    }
}

/* ------------------------------------------------------------------ curl's callbacks
 */

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    mgb_probe_t *probe = baton;

    (void)data;
    probe->body_bytes += size * count;
    return probe->body_bytes > PROBE_BODY_MOST ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    mgb_probe_t *probe = baton;

    (void)data;
    probe->header_bytes += size * count;
    return probe->header_bytes > PROBE_HEADER_MOST ? 0 : size * count;
}

/* Is there a way to this address at all?  Connecting a datagram socket sends nothing.
 * Asked for names only: they may have an address of a family that this host has no
 * route for, whose error would hide what the others said. */
static bool routable(const struct curl_sockaddr *address)
{
    int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = true;

    if (fd >= 0) {
        found = connect(fd, &address->addr, address->addrlen) == 0 ||
                (errno != ENETUNREACH && errno != EADDRNOTAVAIL);
        close(fd);
    }
    return found;
}

/* Drivers run commands: no descriptor of ours may leak into them. */
static curl_socket_t open_socket(void *baton, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    mgb_probe_t *probe = baton;
    int fd;

    (void)purpose;
    if (probe->target->named && !routable(address)) {
        probe->unroutable = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                address->protocol);
    if (fd < 0) {
        probe->ours = errno != EAFNOSUPPORT;
        return CURL_SOCKET_BAD;
    }
    probe->sockets++;
    return fd;
}

static void prober_drain(mgb_prober_t *prober)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(prober->multi, &left)) != NULL) {
        mgb_answer_t answer = {.heard = GB_HEARD_NOTHING};
        CURLcode code = message->data.result;
        curl_off_t connected_us = 0, named_us = 0;
        mgb_probe_t *probe = NULL;

        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &probe) !=
                CURLE_OK ||
            !probe) {
            continue;
        }
        (void)curl_easy_getinfo(probe->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
        (void)curl_easy_getinfo(probe->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
        if (connected_us > 0) {
            answer.connect_us = connected_us > named_us ? connected_us - named_us : 1;
        }
        if (code == CURLE_OK && probe->target->talk == TALK_AJP) {
            ajp_begin(probe);
            continue;
        }
        if (code == CURLE_OK && probe->target->talk == TALK_CONNECT) {
            answer.heard = GB_HEARD_GOOD;
        }
        else {
            judge(probe, code, &answer);
        }
        probe_answer(probe, &answer);
    }
}

static void prober_act(mgb_prober_t *prober, curl_socket_t fd, int events)
{
    int running;

    (void)curl_multi_socket_action(prober->multi, fd, events, &running);
    prober_drain(prober);
}

static void socket_ready(void *baton, int fd, uint32_t epoll_events)
{
    int events = 0;

    if (epoll_events & EPOLLIN) {
        events |= CURL_CSELECT_IN;
    }
    if (epoll_events & EPOLLOUT) {
        events |= CURL_CSELECT_OUT;
    }
    if (epoll_events & (EPOLLERR | EPOLLHUP)) {
        events |= CURL_CSELECT_ERR;
    }
    prober_act(baton, fd, events);
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *baton,
                         void *socket_baton)
{
    mgb_prober_t *prober = baton;
    mgb_probe_t *probe = NULL;
    uint32_t events = 0;

    (void)socket_baton;
    if (what == CURL_POLL_REMOVE) {
        mgb_loop_unwatch(prober->loop, fd);
        return 0;
    }
    if (what & CURL_POLL_IN) {
        events |= EPOLLIN;
    }
    if (what & CURL_POLL_OUT) {
        events |= EPOLLOUT;
    }
    if (mgb_loop_watch(prober->loop, fd, events, socket_ready, prober) != APR_SUCCESS &&
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &probe) == CURLE_OK && probe) {
        probe->ours = true; /* it will time out, and that is not the member's fault */
    }
    return 0;
}

static void prober_arm(mgb_prober_t *prober);

static void timer_due(void *baton, int64_t now_us)
{
    mgb_prober_t *prober = baton;

    prober->timer = 0;
    if (prober->curl_at_us <= now_us) {
        prober->curl_at_us = GB_NEVER_US;
        prober_act(prober, CURL_SOCKET_TIMEOUT, 0);
    }
    prober_arm(prober);
}

/* curl moves its timer several times a probe, mostly to later: a loop timer that fires
 * early and is set again is cheaper than one that is cancelled each time. */
static void prober_arm(mgb_prober_t *prober)
{
    if (prober->curl_at_us == GB_NEVER_US ||
        (prober->timer && prober->timer_at_us <= prober->curl_at_us)) {
        return;
    }
    if (prober->timer) {
        mgb_loop_cancel(prober->loop, prober->timer);
    }
    prober->timer_at_us = prober->curl_at_us;
    prober->timer =
        mgb_loop_timer(prober->loop, prober->timer_at_us, timer_due, prober);
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *baton)
{
    mgb_prober_t *prober = baton;

    (void)multi;
    prober->curl_at_us =
        timeout_ms < 0 ? GB_NEVER_US : mgb_now_us() + timeout_ms * GB_US_PER_MS;
    prober_arm(prober);
    return 0;
}

/* ------------------------------------------------------------------ prober */

static apr_status_t prober_cleanup(void *data)
{
    mgb_prober_destroy(data);
    return APR_SUCCESS;
}

apr_status_t mgb_prober_create(mgb_prober_t **prober, mgb_loop_t *loop, server_rec *s,
                               apr_pool_t *p)
{
    mgb_prober_t *made = apr_pcalloc(p, sizeof(*made));
    curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

    made->loop = loop;
    made->server = s;
    made->pool = p;
    made->curl_at_us = GB_NEVER_US;
    made->multi = curl_multi_init();
    if (!made->multi) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     GBLOGNO(0501) "libcurl gives no handle: servers cannot be probed; "
                                   "is there enough memory?");
        return APR_EGENERAL;
    }
    if (version->age >= CURLVERSION_SEVENTH) {
        made->cafile = version->cainfo;
        made->capath = version->capath;
    }
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETDATA, made);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERDATA, made);
    curl_multi_setopt(made->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    apr_pool_cleanup_register(p, made, prober_cleanup, apr_pool_cleanup_null);
    *prober = made;
    return APR_SUCCESS;
}

void mgb_prober_destroy(mgb_prober_t *prober)
{
    mgb_probe_t *probe;

    if (!prober->multi) {
        return;
    }
    while (prober->running) {
        probe_release(prober->running);
    }
    while ((probe = prober->idle) != NULL) {
        probe_unlink(probe);
        curl_easy_cleanup(probe->easy);
    }
    if (prober->timer) {
        mgb_loop_cancel(prober->loop, prober->timer);
        prober->timer = 0;
    }
    curl_multi_cleanup(prober->multi);
    prober->multi = NULL;
}

/* Options that are the same for every probe; set once a handle. */
static bool easy_init(mgb_probe_t *probe)
{
    CURL *easy = curl_easy_init();

    if (!easy) {
        return false;
    }
    probe->easy = easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, probe);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, probe->error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, PROBE_AGENT);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, PROBE_BUFFER);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A resolver that hangs is left to itself, not waited for. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, probe);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, probe);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, probe);
    return true;
}

static mgb_probe_t *probe_take(mgb_prober_t *prober)
{
    mgb_probe_t *probe = prober->idle;

    if (probe) {
        probe_unlink(probe);
        return probe;
    }
    probe = apr_pcalloc(prober->pool, sizeof(*probe));
    probe->prober = prober;
    probe->ajp_fd = -1;
    return easy_init(probe) ? probe : NULL;
}

static void easy_aim(mgb_probe_t *probe, const mgb_target_t *target)
{
    const mgb_prober_t *prober = probe->prober;
    CURL *easy = probe->easy;

    curl_easy_setopt(easy, CURLOPT_URL, target->url);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, target->uds);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, target->connect_to);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, target->http_version);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, target->talk == TALK_HTTP ? 0L : 1L);
    if (target->tls) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, target->verify ? 1L : 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, target->verify ? 2L : 0L);
        /* Reading the CA file for nothing costs more than the handshake. */
        curl_easy_setopt(easy, CURLOPT_CAINFO, target->verify ? prober->cafile : NULL);
        curl_easy_setopt(easy, CURLOPT_CAPATH, target->verify ? prober->capath : NULL);
    }
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)((probe->connect_us + GB_US_PER_MS - 1) / GB_US_PER_MS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)((probe->total_us + GB_US_PER_MS - 1) / GB_US_PER_MS));
}

static mgb_probe_t *refuse(mgb_answer_t *refused, bool ours, const char *why)
{
    memset(refused, 0, sizeof(*refused));
    refused->ours = ours;
    say(refused, why, "");
    return NULL;
}

mgb_probe_t *mgb_probe_start(mgb_prober_t *prober, const mgb_target_t *target,
                             int64_t connect_us, int64_t total_us, mgb_answer_fn *fn,
                             void *baton, mgb_answer_t *refused)
{
    mgb_probe_t *probe;

    if (target->fault) {
        return refuse(refused, false, target->fault);
    }
    probe = probe_take(prober);
    if (!probe) {
        return refuse(refused, true, "no memory for a probe");
    }
    probe->target = target;
    probe->fn = fn;
    probe->baton = baton;
    probe->total_us = total_us;
    probe->connect_us = connect_us < total_us ? connect_us : total_us;
    probe->ends_at_us = mgb_now_us() + total_us;
    probe->body_bytes = probe->header_bytes = 0;
    probe->ours = probe->unroutable = false;
    probe->sockets = 0;
    probe->error[0] = '\0';
    probe_link(&prober->running, probe);
    easy_aim(probe, target);
    if (curl_multi_add_handle(prober->multi, probe->easy) != CURLM_OK) {
        probe_release(probe);
        return refuse(refused, true, "libcurl does not take another probe");
    }
    return probe;
}

void mgb_probe_cancel(mgb_probe_t *probe)
{
    probe_release(probe);
}
