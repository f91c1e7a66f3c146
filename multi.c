/* SPDX-License-Identifier: Apache-2.0
 *
 * multi.c - libcurl's multi_socket interface on the keeper's loop.
 *
 * curl says which descriptors it waits for and when it wants to be called; both go to
 * the loop.  See multi.h.
 */
#include "multi.h"

#include <sys/epoll.h>

/* The transfer of a handle, or NULL. */
static void *transfer_of(CURL *easy)
{
    void *transfer = NULL;

    return curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer) == CURLE_OK ? transfer
                                                                            : NULL;
}

static void act(mgb_multi_t *multi, curl_socket_t fd, int events)
{
    CURLMsg *message;
    int count;

    (void)curl_multi_socket_action(multi->curl, fd, events, &count);
    while ((message = curl_multi_info_read(multi->curl, &count)) != NULL) {
        CURLcode code = message->data.result; /* the message goes with its handle */
        void *transfer =
            message->msg == CURLMSG_DONE ? transfer_of(message->easy_handle) : NULL;

        if (transfer) {
            multi->calls->done(transfer, code);
        }
    }
}

static void socket_ready(void *baton, int fd, uint32_t epoll_events)
{
    int events = 0;

    events |= epoll_events & EPOLLIN ? CURL_CSELECT_IN : 0;
    events |= epoll_events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    events |= epoll_events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
    act(baton, fd, events);
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *baton,
                         void *socket_baton)
{
    mgb_multi_t *multi = baton;
    uint32_t events = 0;
    void *transfer;

    (void)socket_baton;
    if (what == CURL_POLL_REMOVE) {
        mgb_loop_unwatch(multi->loop, fd);
        return 0;
    }
    events |= what & CURL_POLL_IN ? EPOLLIN : 0u;
    events |= what & CURL_POLL_OUT ? EPOLLOUT : 0u;
    if (mgb_loop_watch(multi->loop, fd, events, socket_ready, multi) != APR_SUCCESS) {
        transfer = transfer_of(easy);
        if (transfer) {
            multi->calls->unwatched(transfer);
        }
    }
    return 0;
}

static void arm(mgb_multi_t *multi);

static void timer_due(void *baton, int64_t now_us)
{
    mgb_multi_t *multi = baton;

    multi->timer = 0;
    if (multi->curl_at_us <= now_us) {
        multi->curl_at_us = GB_NEVER_US;
        act(multi, CURL_SOCKET_TIMEOUT, 0);
    }
    arm(multi);
}

/* curl moves its timer several times a transfer, mostly to later: a loop timer that
 * fires early and is set again is cheaper than one that is cancelled each time. */
static void arm(mgb_multi_t *multi)
{
    if (multi->curl_at_us == GB_NEVER_US ||
        (multi->timer && multi->timer_at_us <= multi->curl_at_us)) {
        return;
    }
    if (multi->timer) {
        mgb_loop_cancel(multi->loop, multi->timer);
    }
    multi->timer_at_us = multi->curl_at_us;
    multi->timer = mgb_loop_timer(multi->loop, multi->timer_at_us, timer_due, multi);
}

static int timer_wanted(CURLM *curl, long timeout_ms, void *baton)
{
    mgb_multi_t *multi = baton;

    (void)curl;
    multi->curl_at_us =
        timeout_ms < 0 ? GB_NEVER_US : mgb_now_us() + timeout_ms * GB_US_PER_MS;
    arm(multi);
    return 0;
}

bool mgb_multi_create(mgb_multi_t *multi, mgb_loop_t *loop,
                      const mgb_multi_calls_t *calls)
{
    multi->loop = loop;
    multi->calls = calls;
    multi->curl_at_us = GB_NEVER_US;
    multi->curl = curl_multi_init();
    if (!multi->curl) {
        return false;
    }
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return true;
}

void mgb_multi_begin(mgb_multi_t *multi)
{
    if (multi->curl_at_us <= mgb_now_us()) {
        multi->curl_at_us = GB_NEVER_US;
        act(multi, CURL_SOCKET_TIMEOUT, 0);
        arm(multi);
    }
}

void mgb_multi_destroy(mgb_multi_t *multi)
{
    if (multi->timer) {
        mgb_loop_cancel(multi->loop, multi->timer);
        multi->timer = 0;
    }
    if (multi->curl) {
        curl_multi_cleanup(multi->curl);
        multi->curl = NULL;
    }
}

void mgb_multi_set_up(CURL *easy, void *transfer)
{
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, MGB_MULTI_AGENT);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A resolver that hangs is left to itself, not waited for. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}
