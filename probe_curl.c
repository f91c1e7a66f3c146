/* SPDX-License-Identifier: Apache-2.0
 *
 * probe_curl.c - probes by libcurl's multi_socket interface.
 *
 * TLS and HTTP/2 members are asked by curl alone; for the others it resolves the name
 * and connects (CONNECT_ONLY), and probe_talk.c goes on.
 */
#include "probe_private.h"

#include <errno.h>
#include <unistd.h>

#define CURL_BUFFER 4096L
/* A name that was not resolved in time is not looked up again before. */
#define NAME_HOLD_US (10 * GB_US_PER_S)

/* ------------------------------------------------------------------ answers */

static int64_t connect_us_of(const mgb_probe_t *probe)
{
    curl_off_t connected_us = 0, named_us = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    (void)curl_easy_getinfo(probe->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
    if (connected_us <= 0) {
        return 0;
    }
    return connected_us > named_us ? connected_us - named_us : 1;
}

static void judge_connect(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    long error = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_OS_ERRNO, &error);
    if (probe->sockets == 0 && probe->unroutable) {
        error = ENETUNREACH;
    }
    mgb_probe_judge_errno(answer, (int)error, probe->error);
}

static void judge_timeout(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    curl_off_t named_us = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_NAMELOOKUP_TIME_T, &named_us);
    if (answer->connect_us > 0 || probe->reached) {
        answer->heard = GB_HEARD_WRONG;
        mgb_probe_say_span(answer, "no whole answer within", probe->total_us);
    }
    else if (named_us == 0 && probe->target->named) {
        /* The look-up goes on in a thread of its own: no more of them for a while. */
        probe->target->held_until_us = mgb_now_us() + NAME_HOLD_US;
        mgb_probe_say_span(answer, "its name was not resolved within",
                           probe->connect_us);
    }
    else {
        answer->heard = GB_HEARD_SILENT;
        mgb_probe_say_span(answer, "no connection within", probe->connect_us);
    }
}

static void judge_status(const mgb_probe_t *probe, mgb_answer_t *answer)
{
    long status = 0, version = 0;

    (void)curl_easy_getinfo(probe->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(probe->easy, CURLINFO_HTTP_VERSION, &version);
    if (probe->target->http_version == CURL_HTTP_VERSION_2TLS &&
        version != CURL_HTTP_VERSION_2_0) {
        answer->heard = GB_HEARD_WRONG;
        mgb_probe_say(answer, "does not speak HTTP/2", "");
        return;
    }
    mgb_probe_judge_status(probe->target, answer, (uint32_t)status);
}

static void judge(const mgb_probe_t *probe, CURLcode code, mgb_answer_t *answer)
{
    const char *detail = *probe->error ? probe->error : curl_easy_strerror(code);

    switch (code) {
    case CURLE_OK:
        judge_status(probe, answer);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
        mgb_probe_say(answer, "its name does not resolve", "");
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
        mgb_probe_say(answer, "libcurl", detail);
        break;
    case CURLE_SSL_CACERT_BADFILE: /* the proxy's own certificates */
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_CERTPROBLEM:
        mgb_probe_say(answer, "TLS set-up of this proxy", detail);
        break;
    case CURLE_WRITE_ERROR: /* our own limits */
        if (probe->body_bytes > GB_REPLY_BODY_MOST) {
            judge_status(probe, answer);
            break;
        }
        answer->heard = GB_HEARD_WRONG;
        mgb_probe_say(answer, "header of the answer is over 32 KiB", "");
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        answer->heard = GB_HEARD_WRONG;
        mgb_probe_say(answer, "TLS", detail);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        answer->heard = GB_HEARD_WRONG;
        mgb_probe_say(answer, "answer is not the HTTP that was asked for", detail);
        break;
    default:
        answer->heard = answer->connect_us > 0 || probe->reached ? GB_HEARD_WRONG
                                                                 : GB_HEARD_NOTHING;
        mgb_probe_say(answer, "no whole answer", detail);
        break;
    }
}

/* ----------------------------------------------------------------- curl's callbacks */

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    mgb_probe_t *probe = baton;

    (void)data;
    probe->body_bytes += size * count;
    return probe->body_bytes > GB_REPLY_BODY_MOST ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    mgb_probe_t *probe = baton;

    (void)data;
    probe->header_bytes += size * count;
    return probe->header_bytes > GB_REPLY_HEAD_MOST ? 0 : size * count;
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

/* libcurl counts a TLS handshake as connecting; the socket knows better. */
static int close_socket(void *baton, curl_socket_t fd)
{
    mgb_probe_t *probe = baton;
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0) {
        probe->reached = true;
    }
    return close(fd);
}

/* Connected, and more curl is not asked for. */
static void talk_on(mgb_probe_t *probe)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    mgb_answer_t answer = {.heard = GB_HEARD_WRONG};

    if (curl_easy_getinfo(probe->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
        fd != CURL_SOCKET_BAD) {
        mgb_talk_adopt(probe, fd, connect_us_of(probe));
        return;
    }
    mgb_probe_say(&answer, "connection closed before the question", "");
    mgb_probe_answer(probe, &answer);
}

static void on_done(void *transfer, CURLcode code)
{
    mgb_probe_t *probe = transfer;
    mgb_answer_t answer = {.heard = GB_HEARD_NOTHING};

    if (code == CURLE_OK && probe->target->talk != MGB_TALK_CURL) {
        talk_on(probe);
        return;
    }
    answer.connect_us = connect_us_of(probe);
    judge(probe, code, &answer);
    mgb_probe_answer(probe, &answer);
}

static void on_unwatched(void *transfer)
{
    mgb_probe_t *probe = transfer;

    probe->ours = true; /* it will time out, and that is not the member's fault */
}

/* ------------------------------------------------------------------ handles */

bool mgb_curl_create(mgb_prober_t *prober)
{
    static const mgb_multi_calls_t calls = {.done = on_done, .unwatched = on_unwatched};
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

    if (version->age >= CURLVERSION_SEVENTH) {
        prober->cafile = version->cainfo;
        prober->capath = version->capath;
    }
    return mgb_multi_create(&prober->multi, prober->loop, &calls);
}

/* Options that are the same for every probe; set once a handle. */
bool mgb_curl_init(mgb_probe_t *probe)
{
    CURL *easy = curl_easy_init();

    if (!easy) {
        return false;
    }
    probe->easy = easy;
    probe->error = apr_pcalloc(probe->prober->pool, CURL_ERROR_SIZE);
    mgb_multi_set_up(easy, probe);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, probe->error);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, CURL_BUFFER);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, probe);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, probe);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, probe);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, probe);
    return true;
}

static void easy_aim(mgb_probe_t *probe, mgb_target_t *target)
{
    const mgb_prober_t *prober = probe->prober;
    CURL *easy = probe->easy;

    curl_easy_setopt(easy, CURLOPT_URL, target->url);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, target->uds);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, target->connect_to);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, target->http_version);
    /* Like httpd, which keeps a member's address unless addressttl= is set.  With a
     * limit curl looks through all the addresses it knows at each probe. */
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, target->name_ttl_s);
    /* A connection that is handed on would be closed at once by FORBID_REUSE. */
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY,
                     target->talk == MGB_TALK_CURL ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE,
                     target->talk == MGB_TALK_CURL ? 1L : 0L);
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

bool mgb_curl_start(mgb_probe_t *probe)
{
    probe->body_bytes = probe->header_bytes = 0;
    probe->unroutable = probe->reached = false;
    probe->sockets = 0;
    probe->error[0] = '\0';
    easy_aim(probe, probe->target);
    probe->in_multi =
        curl_multi_add_handle(probe->prober->multi.curl, probe->easy) == CURLM_OK;
    return probe->in_multi;
}

void mgb_curl_release(mgb_probe_t *probe)
{
    if (probe->in_multi) {
        (void)curl_multi_remove_handle(probe->prober->multi.curl, probe->easy);
        probe->in_multi = false;
    }
}
