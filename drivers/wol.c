/* SPDX-License-Identifier: Apache-2.0
 *
 * wol.c - wakes a server by magic packets over UDP.
 *
 * A magic packet has no answer: OK means that at least one copy was sent, and the
 * health check alone tells whether it woke anything.  The copies are sent 100 ms apart,
 * so that one that meets a busy switch is followed by one that does not.
 *
 * Names in wolto= are resolved once, by mgb_wol_create(), which runs before the loop:
 * later a slow name server would hold the keeper.  Sockets that are bound to a network
 * interface are opened there too, while the keeper is still root; Linux before 5.7
 * asks for that.
 */
#include "driver.h"

#include "core/gb_packet.h"
#include "core/gb_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define WOL_SPACE_US     (100 * GB_US_PER_MS)
#define WOL_PACKETS_MOST 100                /* within MGB_DRIVER_MOST_US */
#define WOL_RESOLVE_US   (10 * GB_US_PER_S) /* for all names together */

/* A socket, by interface and address family. */
typedef struct exit_t {
    int fd; /* -1: not open */
} exit_t;

typedef struct target_t {
    struct sockaddr_storage address;
    socklen_t length; /* 0: the name did not resolve */
} target_t;

typedef struct wol_t {
    apr_pool_t *pool;
    apr_hash_t *exits;   /* "4eth0", "6" -> exit_t* */
    apr_hash_t *targets; /* "HOST PORT" -> target_t* */
} wol_t;

/* One job: some copies of one packet. */
typedef struct volley_t {
    apr_pool_t *pool; /* its own */
    mgb_job_t job;
    const target_t *target;
    exit_t *exit;
    size_t length;
    uint32_t left, sent;
    int error; /* errno of the last copy that failed */
    unsigned char packet[GB_PACKET_SECURE_BYTES];
} volley_t;

/* ------------------------------------------------------------------ sockets */

static apr_status_t wol_cleanup(void *data)
{
    wol_t *wol = data;

    for (apr_hash_index_t *i = apr_hash_first(wol->pool, wol->exits); i;
         i = apr_hash_next(i)) {
        exit_t *found = apr_hash_this_val(i);

        if (found->fd >= 0) {
            close(found->fd);
            found->fd = -1;
        }
    }
    return APR_SUCCESS;
}

static wol_t *wol_of(mgb_keeper_t *keeper)
{
    static const char key[] = "mgb_wol";
    void *found = NULL;
    wol_t *wol;

    apr_pool_userdata_get(&found, key, keeper->pool);
    if (found) {
        return found;
    }
    wol = apr_pcalloc(keeper->pool, sizeof(*wol));
    wol->pool = keeper->pool;
    wol->exits = apr_hash_make(keeper->pool);
    wol->targets = apr_hash_make(keeper->pool);
    apr_pool_userdata_setn(wol, key, NULL, keeper->pool);
    apr_pool_cleanup_register(keeper->pool, wol, wol_cleanup, apr_pool_cleanup_null);
    return wol;
}

/* -1: errno. */
static int open_exit(int family, const char *iface)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, error;

    if (fd < 0) {
        return -1;
    }
    if ((family != AF_INET ||
         setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0) &&
        (!iface || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, iface,
                              (socklen_t)strlen(iface)) == 0)) {
        return fd;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The socket for this family and interface; its fd is -1, with errno set, when it could
 * not be opened.  Tried again at each call: an interface may come up later. */
static exit_t *exit_of(wol_t *wol, int family, const char *iface)
{
    char name[IFNAMSIZ + 2];
    exit_t *found;

    apr_snprintf(name, sizeof name, "%c%s", family == AF_INET ? '4' : '6',
                 iface ? iface : "");
    found = apr_hash_get(wol->exits, name, APR_HASH_KEY_STRING);
    if (!found) {
        found = apr_palloc(wol->pool, sizeof(*found));
        found->fd = -1;
        apr_hash_set(wol->exits, apr_pstrdup(wol->pool, name), APR_HASH_KEY_STRING,
                     found);
    }
    if (found->fd < 0) {
        found->fd = open_exit(family, iface);
    }
    return found;
}

/* ------------------------------------------------------------------ addresses */

static bool resolve(const char *host, apr_port_t port, bool numeric, target_t *target)
{
    struct addrinfo want = {.ai_family = AF_UNSPEC,
                            .ai_socktype = SOCK_DGRAM,
                            .ai_flags = AI_NUMERICSERV |
                                        (numeric ? AI_NUMERICHOST : AI_ADDRCONFIG)};
    struct addrinfo *found = NULL;
    char service[8];

    apr_snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &want, &found) != 0) {
        return false;
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->length = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static target_t *target_of(wol_t *wol, const mgb_hints_t *hints)
{
    char name[GB_ADDRESS_BYTES];
    target_t *target;

    apr_snprintf(name, sizeof name, "%s %u", hints->wol_host,
                 (unsigned)hints->wol_port);
    target = apr_hash_get(wol->targets, name, APR_HASH_KEY_STRING);
    if (!target) {
        target = apr_pcalloc(wol->pool, sizeof(*target));
        apr_hash_set(wol->targets, apr_pstrdup(wol->pool, name), APR_HASH_KEY_STRING,
                     target);
    }
    return target;
}

static bool wakes_by_wol(const mgb_hints_t *hints)
{
    if (hints) {
        for (uint32_t i = 0; i < hints->wake_count; i++) {
            if (hints->wake[i].way == MGB_WAY_WOL) {
                return true;
            }
        }
    }
    return false;
}

static void prepare(mgb_keeper_t *keeper, wol_t *wol, const mgb_rig_t *rig,
                    int64_t resolve_until_us)
{
    const mgb_hints_t *hints = rig->hints;
    const char *name = keeper->shared->machines[rig->slot].name;
    target_t *target = target_of(wol, hints);

    if (!target->length && !resolve(hints->wol_host, hints->wol_port, true, target) &&
        (mgb_now_us() > resolve_until_us ||
         !resolve(hints->wol_host, hints->wol_port, false, target))) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, keeper->server,
            GBLOGNO(0721) "%s: wolto=%s does not resolve to an address: it "
                          "cannot be woken by wol before httpd's next restart; "
                          "a numeric address needs no name server",
            name, hints->wol_host);
        return;
    }
    if (exit_of(wol, target->address.ss_family, hints->wol_iface)->fd < 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, errno, keeper->server,
                     GBLOGNO(0722) "%s: no socket for magic packets%s%s; it is tried "
                                   "again when one is to be sent",
                     name, hints->wol_iface ? " by interface " : "",
                     hints->wol_iface ? hints->wol_iface : "");
    }
}

apr_status_t mgb_wol_create(mgb_keeper_t *keeper)
{
    wol_t *wol = wol_of(keeper);
    int64_t until_us = mgb_now_us() + WOL_RESOLVE_US;

    for (uint32_t i = 0; i < keeper->rig_count; i++) {
        if (wakes_by_wol(keeper->rigs[i].hints)) {
            prepare(keeper, wol, &keeper->rigs[i], until_us);
        }
    }
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ sending */

static const char *advice(int error)
{
    switch (error) {
    case ENETUNREACH:
        return "; wolif= names the interface, or wolto= the network's broadcast "
               "address";
    case ENODEV:
        return "; wolif= names no interface of this machine";
    default:
        return "";
    }
}

static void tell(volley_t *volley)
{
    const mgb_hints_t *hints = volley->job.hints;
    mgb_done_fn *fn = volley->job.done;
    void *baton = volley->job.baton;
    bool is_v6 = volley->target->address.ss_family == AF_INET6;
    char mac[GB_MAC_TEXT_BYTES], where[120], error[100];
    mgb_done_t done = {.result = GB_LADDER_OK};

    gb_packet_write_mac(hints->mac, mac);
    apr_snprintf(where, sizeof where, is_v6 ? "[%.64s]:%u%s%s" : "%.64s:%u%s%s",
                 hints->wol_host, (unsigned)hints->wol_port,
                 hints->wol_iface ? " by " : "",
                 hints->wol_iface ? hints->wol_iface : "");
    if (volley->sent) {
        apr_snprintf(done.detail, sizeof done.detail, "%u magic packet%s for %s to %s",
                     volley->sent, volley->sent == 1 ? "" : "s", mac, where);
    }
    else {
        done.result = GB_LADDER_LOST; /* a network that is down comes back */
        apr_snprintf(
            done.detail, sizeof done.detail, "no magic packet sent to %s: %s%s", where,
            apr_strerror(volley->error, error, sizeof error), advice(volley->error));
    }
    explicit_bzero(volley->packet, sizeof volley->packet);
    apr_pool_destroy(volley->pool);
    fn(baton, &done);
}

static ssize_t send_one(const volley_t *volley)
{
    return sendto(volley->exit->fd, volley->packet, volley->length, MSG_NOSIGNAL,
                  (const struct sockaddr *)&volley->target->address,
                  volley->target->length);
}

/* Sends one copy.  An interface that was taken away and made again has another number:
 * the socket is then opened anew, once. */
static void send_copy(volley_t *volley)
{
    wol_t *wol = wol_of(volley->job.keeper);
    ssize_t n = -1;

    for (int tries = 0; tries < 2 && n < 0; tries++) {
        volley->exit = exit_of(wol, volley->target->address.ss_family,
                               volley->job.hints->wol_iface);
        if (volley->exit->fd < 0) {
            volley->error = errno;
            return;
        }
        n = send_one(volley);
        if (n < 0) {
            volley->error = errno;
            if (errno != ENODEV && errno != ENXIO) {
                return;
            }
            close(volley->exit->fd);
            volley->exit->fd = -1;
        }
    }
    volley->sent += n >= 0;
}

static void on_turn(void *baton, int64_t now_us)
{
    volley_t *volley = baton;

    send_copy(volley);
    if (--volley->left && mgb_loop_timer(volley->job.keeper->loop,
                                         now_us + WOL_SPACE_US, on_turn, volley)) {
        return;
    }
    tell(volley);
}

static uint32_t copies(const mgb_job_t *job)
{
    uint32_t wanted = job->rules ? job->rules->packets : 1;

    if (wanted < 1) {
        return 1;
    }
    return wanted > WOL_PACKETS_MOST ? WOL_PACKETS_MOST : wanted;
}

static apr_status_t wol_start(const mgb_job_t *job)
{
    wol_t *wol = wol_of(job->keeper);
    const mgb_hints_t *hints = job->hints;
    const target_t *target;
    unsigned char password[6];
    apr_pool_t *pool;
    volley_t *volley;
    apr_status_t rv;

    if (job->op != MGB_OP_ON) {
        return mgb_driver_say(job, GB_LADDER_REFUSED, "wol can only power on");
    }
    if (!hints->has_mac) {
        return mgb_driver_say(job, GB_LADDER_REFUSED, "there is no mac=");
    }
    target = target_of(wol, hints);
    if (!target->length) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "wolto=%s did not resolve when httpd was started",
                              hints->wol_host);
    }
    rv = apr_pool_create(&pool, job->keeper->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    volley = apr_pcalloc(pool, sizeof(*volley));
    volley->pool = pool;
    volley->job = *job;
    volley->target = target;
    volley->left = copies(job);
    if (mgb_secrets_secureon(job->keeper->secrets, hints->mac, password)) {
        volley->length = gb_packet_build(volley->packet, hints->mac, password);
        explicit_bzero(password, sizeof password);
    }
    else {
        volley->length = gb_packet_build(volley->packet, hints->mac, NULL);
    }
    if (!mgb_loop_timer(job->keeper->loop, mgb_now_us(), on_turn, volley)) {
        apr_pool_destroy(pool);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

const mgb_driver_t mgb_driver_wol = {.name = "wol", .start = wol_start, .flush = NULL};
