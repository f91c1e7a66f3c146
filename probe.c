/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c - the life of a probe, and what its errors prove.
 *
 * A probe is a small record, taken from a list of idle ones and put back; those that
 * have used libcurl keep its handle with all constant options.  Connections are never
 * used again: only a fresh one proves that the server still accepts any.  A member that
 * hangs is one descriptor that nobody touches until its time is over.
 */
#include "probe_private.h"

#include "apr_network_io.h"

#include <errno.h>

/* ------------------------------------------------------------------ answers */

/* What a server or a library wrote goes into pages and logs: printable ASCII only. */
void mgb_probe_say(mgb_answer_t *answer, const char *what, const char *detail)
{
    apr_snprintf(answer->why, sizeof(answer->why), "%s%s%s", what, *detail ? ": " : "",
                 detail);
    for (char *c = answer->why; *c; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

void mgb_probe_say_span(mgb_answer_t *answer, const char *what, int64_t us)
{
    int64_t ms = us / GB_US_PER_MS;
    bool seconds = ms >= 1000 && ms % 1000 == 0;

    apr_snprintf(answer->why, sizeof(answer->why), "%s %" APR_INT64_T_FMT " %s", what,
                 seconds ? ms / 1000 : ms, seconds ? "s" : "ms");
}

void mgb_probe_judge_errno(mgb_answer_t *answer, int error, const char *detail)
{
    char text[96];

    if (error) {
        apr_strerror(error, text, sizeof(text));
        detail = text;
    }
    mgb_probe_say(answer, "no connection", detail);
    switch (error) {
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
    case EAGAIN: /* a unix socket whose queue is full: somebody has it open */
        answer->heard = GB_HEARD_WRONG;
        break;
    default:
        answer->heard = GB_HEARD_SILENT;
    }
}

void mgb_probe_judge_status(const mgb_target_t *target, mgb_answer_t *answer,
                            uint32_t status)
{
    if (status >= target->expect_from && status <= target->expect_to) {
        answer->heard = GB_HEARD_GOOD;
        answer->why[0] = '\0';
        return;
    }
    answer->heard = GB_HEARD_WRONG;
    apr_snprintf(answer->why, sizeof(answer->why), "HTTP status %u, expected %u-%u",
                 status, target->expect_from, target->expect_to);
}

/* ------------------------------------------------------------------ probes */

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

/* The socket goes off the loop before libcurl, whose it may be, closes it. */
static void probe_release(mgb_probe_t *probe)
{
    mgb_prober_t *prober = probe->prober;

    mgb_talk_release(probe);
    if (probe->easy) {
        mgb_curl_release(probe);
    }
    probe_unlink(probe);
    probe_link(probe->easy ? &prober->idle_curl : &prober->idle_plain, probe);
}

void mgb_probe_answer(mgb_probe_t *probe, mgb_answer_t *answer)
{
    mgb_answer_fn *fn = probe->fn;
    void *baton = probe->baton;

    if (probe->ours && answer->heard != GB_HEARD_GOOD) {
        answer->ours = true;
    }
    if (answer->ours) {
        answer->heard = GB_HEARD_NOTHING;
    }
    probe_release(probe); /* first: fn may start the next one */
    fn(baton, answer);
}

void mgb_probe_cancel(mgb_probe_t *probe)
{
    probe_release(probe);
}

static mgb_probe_t *probe_take(mgb_prober_t *prober, bool curl)
{
    mgb_probe_t **idle = curl ? &prober->idle_curl : &prober->idle_plain;
    mgb_probe_t *probe = *idle;

    if (probe) {
        probe_unlink(probe);
    }
    else {
        probe = apr_pcalloc(prober->pool, sizeof(*probe));
        probe->prober = prober;
        probe->fd = -1;
        if (curl && !mgb_curl_init(probe)) {
            return NULL;
        }
    }
    probe_link(&prober->running, probe);
    return probe;
}

static mgb_probe_t *refuse(mgb_answer_t *refused, bool ours, const char *why)
{
    memset(refused, 0, sizeof(*refused));
    refused->ours = ours;
    mgb_probe_say(refused, why, "");
    return NULL;
}

/* libcurl comes in with the first probe that cannot do without. */
static bool curl_begin(mgb_prober_t *prober, const char **why)
{
    if (mgb_libcurl_load(why) && mgb_curl_create(prober)) {
        return true;
    }
    if (!prober->refused_told) {
        prober->refused_told = true;
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, prober->server,
            GBLOGNO(0501) "libcurl cannot be used, and members over TLS, HTTP/2 "
                          "or by a name not be probed: %s; is it installed?",
            *why);
    }
    return false;
}

mgb_probe_t *mgb_probe_start(mgb_prober_t *prober, mgb_target_t *target,
                             int64_t connect_us, int64_t total_us, mgb_answer_fn *fn,
                             void *baton, mgb_answer_t *refused)
{
    const char *why = "libcurl does not take another probe";
    int64_t now_us = mgb_now_us();
    bool curl = !target->socket_bytes || target->talk == MGB_TALK_CURL;
    mgb_probe_t *probe;

    if (target->fault) {
        return refuse(refused, false, target->fault);
    }
    if (now_us < target->held_until_us) {
        return refuse(refused, false,
                      "its name was not resolved in time; it is looked up again soon");
    }
    if (curl && !prober->multi.curl && !curl_begin(prober, &why)) {
        return refuse(refused, true, why);
    }
    probe = probe_take(prober, curl);
    if (!probe) {
        return refuse(refused, true, "no memory for a probe");
    }
    probe->target = target;
    probe->fn = fn;
    probe->baton = baton;
    probe->started_at_us = now_us;
    probe->total_us = total_us;
    probe->connect_us = connect_us < total_us ? connect_us : total_us;
    probe->ours = false;
    if (curl ? !mgb_curl_start(probe) : !mgb_talk_connect(probe, &why)) {
        probe_release(probe);
        return refuse(refused, true, why);
    }
    return probe;
}

/* ------------------------------------------------------------------ probers */

static apr_status_t prober_cleanup(void *data)
{
    mgb_prober_destroy(data);
    return APR_SUCCESS;
}

apr_status_t mgb_prober_create(mgb_prober_t **prober, mgb_loop_t *loop, server_rec *s,
                               apr_pool_t *p)
{
    mgb_prober_t *made = apr_pcalloc(p, sizeof(*made));

    made->loop = loop;
    made->server = s;
    made->pool = p;
    apr_pool_cleanup_register(p, made, prober_cleanup, apr_pool_cleanup_null);
    *prober = made;
    return APR_SUCCESS;
}

void mgb_prober_destroy(mgb_prober_t *prober)
{
    while (prober->running) {
        probe_release(prober->running);
    }
    while (prober->idle_curl) {
        mgb_probe_t *probe = prober->idle_curl;

        probe_unlink(probe);
        curl_easy_cleanup(probe->easy);
    }
    mgb_multi_destroy(&prober->multi);
}
