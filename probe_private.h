/* SPDX-License-Identifier: Apache-2.0
 *
 * probe_private.h - what probe.c, probe_target.c, probe_talk.c and probe_curl.c share.
 *
 *   probe.c         the life of probes and probers; what an error proves
 *   probe_target.c  how a member is to be asked
 *   probe_talk.c    plain sockets: HTTP/1.1, AJP, connecting
 *   probe_curl.c    libcurl: TLS, HTTP/2, and names that have to be resolved
 */
#ifndef MGB_PROBE_PRIVATE_H
#define MGB_PROBE_PRIVATE_H

#include "probe.h"

#include "core/gb_cping.h"
#include "core/gb_reply.h"

#include "multi.h"

#include <sys/socket.h>

typedef enum mgb_talk_e {
    MGB_TALK_HTTP,    /* one request, one response, on a plain socket */
    MGB_TALK_AJP,     /* CPING, CPONG */
    MGB_TALK_CONNECT, /* the connection is the answer */
    MGB_TALK_CURL     /* all of it by libcurl */
} mgb_talk_e;

struct mgb_target_t {
    mgb_talk_e talk;
    const char *fault; /* why it cannot be asked at all, or NULL */
    uint32_t expect_from, expect_to;
    const char *request; /* what is sent when connected; NULL for CONNECT and CURL */
    size_t request_bytes;
    /* An address, or socket_bytes 0: libcurl resolves the name and connects. */
    struct sockaddr_storage socket;
    socklen_t socket_bytes;
    bool named; /* the host has to be resolved */
    /* for libcurl: */
    bool tls, verify;
    long http_version;
    const char *url;
    const char *uds; /* path of a unix socket, or NULL */
    long name_ttl_s; /* how long an address is believed; -1: while the keeper lives */
    int64_t held_until_us;         /* its name is not looked up before */
    struct curl_slist *headers;    /* NULL, or one line "Host: NAME" */
    struct curl_slist *connect_to; /* NULL, or where "host=" is to be found */
    struct curl_slist header_line, connect_line;
};

struct mgb_probe_t {
    mgb_prober_t *prober;
    mgb_target_t *target;
    mgb_answer_fn *fn;
    void *baton;
    mgb_probe_t *next, **link; /* in prober->running, or in one of the idle lists */
    int64_t started_at_us, connect_us, total_us;
    bool ours; /* no descriptor, or the loop did not take it */
    /* plain sockets: */
    int fd;      /* watched; -1: none */
    bool own_fd; /* to be closed here; else it is libcurl's */
    bool connected;
    int connect_error;    /* known at once, told from the loop */
    int64_t connected_us; /* how long it took */
    uint64_t timer;       /* 0: none */
    gb_reply_t reply;
    unsigned char pong[GB_CPONG_BYTES + 1];
    size_t pong_bytes;
    /* libcurl; NULL: a plain socket alone */
    CURL *easy;
    bool in_multi;
    bool unroutable;  /* some address of it has no route from here */
    bool reached;     /* a connection stood before it was closed */
    uint32_t sockets; /* opened for it */
    size_t body_bytes, header_bytes;
    char *error; /* CURL_ERROR_SIZE */
};

struct mgb_prober_t {
    mgb_loop_t *loop;
    server_rec *server;
    apr_pool_t *pool;
    mgb_probe_t *running;
    mgb_probe_t *idle_plain, *idle_curl;
    bool refused_told;           /* that libcurl cannot be used */
    mgb_multi_t multi;           /* its curl is NULL: nobody has needed libcurl yet */
    const char *cafile, *capath; /* libcurl's own */
};

/* probe.c.  Ends a probe and gives its answer; the caller must not touch it after. */
void mgb_probe_answer(mgb_probe_t *probe, mgb_answer_t *answer);
/* Why: "WHAT: DETAIL", made printable; DETAIL may be "". */
void mgb_probe_say(mgb_answer_t *answer, const char *what, const char *detail);
/* "WHAT 250 ms" */
void mgb_probe_say_span(mgb_answer_t *answer, const char *what, int64_t us);
/* The connection failed with this errno (0: unknown): says whether that is the server's
 * silence, our own want, or proves nothing; `detail` when there is no errno. */
void mgb_probe_judge_errno(mgb_answer_t *answer, int error, const char *detail);
/* Compares a status with GreenHealth expect=. */
void mgb_probe_judge_status(const mgb_target_t *target, mgb_answer_t *answer,
                            uint32_t status);

/* probe_talk.c.  Connects by the target's address; false: refused, nothing runs. */
bool mgb_talk_connect(mgb_probe_t *probe, const char **why);
/* Goes on with a socket that libcurl has connected.  May answer before it returns. */
void mgb_talk_adopt(mgb_probe_t *probe, int fd, int64_t connected_us);
/* Takes the socket off the loop, and closes it when it is the probe's own. */
void mgb_talk_release(mgb_probe_t *probe);

/* probe_curl.c */
bool mgb_curl_create(mgb_prober_t *prober);
bool mgb_curl_init(mgb_probe_t *probe); /* once for each probe that uses libcurl */
bool mgb_curl_start(mgb_probe_t *probe);
void mgb_curl_release(mgb_probe_t *probe);

#endif /* MGB_PROBE_PRIVATE_H */
