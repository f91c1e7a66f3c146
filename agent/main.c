/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - green-agent: tells the proxies how its host is, and lets it sleep when one
 * of them orders that and nothing on the host objects.
 *
 *   green-agent [--config FILE]
 *
 * One heartbeat to each proxy, then a wait.  An order is obeyed in two steps, and the
 * second one is what proves that the proxy can still be reached: docs/agent.md.
 */
#include "agent.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_FILE  "/etc/green-agent.conf"
#define ROUNDS_MUTE  2 /* without an answer before it is said that none is reachable */
#define SLICE_US     (20 * GB_US_PER_S) /* systemd's watchdog is fed so often */
#define RETRY_US     (5 * GB_US_PER_S)  /* the pace while no proxy answers, at most */
#define STATUS_USAGE 2
#define ALIVE        "WATCHDOG=1" /* for systemd */

typedef struct proxy_t {
    const char *url;
    uint8_t nonce[GB_BEAT_NONCE_BYTES];
    bool failure_told, heard;
} proxy_t;

typedef struct agent_t {
    ga_config_t config;
    proxy_t proxies[GA_PROXIES_MOST];
    gb_beat_t beat; /* of the latest round; without a proxy's nonce */
    uint32_t mute_rounds;
    bool veto_told;
} agent_t;

static volatile sig_atomic_t stop_wanted;
static sigset_t signals_before;

/* ---------------------------------------------------------------- the process */

void ga_say(int level, const char *format, ...)
{
    va_list args;

    if (getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "<%d>", level);
    }
    else {
        fputs("green-agent: ", stderr);
    }
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int64_t ga_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * GB_US_PER_S + now.tv_nsec / 1000;
}

bool ga_stop_wanted(void)
{
    return stop_wanted;
}

void ga_wait(int64_t for_us)
{
    struct timespec left = {.tv_sec = for_us / GB_US_PER_S,
                            .tv_nsec = for_us % GB_US_PER_S * 1000};

    if (for_us > 0 && !stop_wanted) {
        (void)ppoll(NULL, 0, &left, &signals_before);
    }
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_wanted = 1;
}

void ga_signals_default(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigprocmask(SIG_SETMASK, &signals_before, NULL);
}

static void signals_own(void)
{
    struct sigaction action;
    sigset_t blocked;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_stop;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = SIG_DFL; /* ignored, the status of a child would be lost */
    (void)sigaction(SIGCHLD, &action, NULL);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &blocked, &signals_before);
    (void)sigdelset(&signals_before, SIGTERM);
    (void)sigdelset(&signals_before, SIGINT);
}

/* systemd's readiness and watchdog; does nothing elsewhere. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd;

    if (!path || !*path || strlen(path) >= sizeof to.sun_path) {
        return;
    }
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)!sendto(
            fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
        close(fd);
    }
}

/* ---------------------------------------------------------------- heartbeats */

static void tell(proxy_t *proxy, const ga_reply_t *reply)
{
    if (!reply->is_good && !proxy->failure_told) {
        ga_say(4, "%s: %s", proxy->url, reply->why);
    }
    else if (reply->is_good && reply->answer.believed && !proxy->heard) {
        ga_say(6, "%s believes the heartbeats of this host", proxy->url);
        proxy->heard = true;
    }
    else if (reply->is_good && proxy->failure_told) {
        ga_say(6, "%s answers again", proxy->url);
    }
    proxy->failure_told = !reply->is_good;
}

/* Sends one heartbeat; a challenge is answered at once, by one that goes nowhere. */
static bool send_beat(agent_t *agent, proxy_t *proxy, bool going, ga_reply_t *reply)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        gb_beat_t beat = agent->beat;

        beat.seq = ++agent->beat.seq;
        beat.going = going && attempt == 0;
        memcpy(beat.nonce, proxy->nonce, sizeof beat.nonce);
        ga_exchange(&agent->config, proxy->url, &beat, reply);
        if (!reply->is_good) {
            break;
        }
        memcpy(proxy->nonce, reply->answer.nonce, sizeof proxy->nonce);
        if (reply->answer.believed) {
            /* What answers the second heartbeat is no leave to go. */
            if (going && attempt > 0) {
                reply->answer.order = GB_BEAT_ORDER_NONE;
            }
            break;
        }
    }
    tell(proxy, reply);
    return reply->is_good && reply->answer.believed;
}

/* The veto is told when it comes and when it goes. */
static void tell_veto(agent_t *agent)
{
    if (agent->beat.veto != agent->veto_told) {
        ga_say(6,
               agent->beat.veto ? "this host must not sleep: %s"
                                : "this host may sleep%s",
               agent->beat.reason);
        agent->veto_told = agent->beat.veto;
    }
}

/* The proxy has an order: is there anything against it, and can the proxy still be
 * reached?  It has to repeat the order in its answer to the heartbeat that says that
 * the host goes. */
static void obey(agent_t *agent, proxy_t *proxy)
{
    ga_reply_t reply;

    ga_sense_veto(&agent->config, &agent->beat);
    tell_veto(agent);
    if (agent->beat.veto) {
        (void)send_beat(agent, proxy, false, &reply);
        return;
    }
    if (!send_beat(agent, proxy, true, &reply)) {
        ga_say(4, "ordered off, but %s cannot be reached any more: this host stays on",
               proxy->url);
        return;
    }
    if (reply.answer.order != GB_BEAT_ORDER_OFF) {
        ga_say(6, "the order was taken back: this host stays on");
        return;
    }
    notify(ALIVE);
    (void)ga_power_off(&agent->config);
}

/* Does any proxy answer?  If none does, none could wake this host. */
static void watch_proxies(agent_t *agent, bool heard)
{
    if (heard) {
        if (agent->mute_rounds >= ROUNDS_MUTE) {
            ga_say(6, "a proxy is reachable again: this host may sleep");
            ga_power_inhibit(false);
        }
        agent->mute_rounds = 0;
        return;
    }
    if (agent->mute_rounds < ROUNDS_MUTE && ++agent->mute_rounds == ROUNDS_MUTE) {
        ga_say(4, "no proxy is reachable: this host is kept from sleeping");
    }
    if (agent->mute_rounds >= ROUNDS_MUTE && agent->config.inhibit) {
        ga_power_inhibit(true);
    }
}

/* One heartbeat to each proxy; returns how long to wait for the next round. */
static int64_t round_do(agent_t *agent)
{
    int64_t next_us = agent->config.interval_us;
    bool heard = false;

    ga_sense(&agent->config, &agent->beat);
    tell_veto(agent);
    for (uint32_t i = 0; i < agent->config.proxy_count && !stop_wanted; i++) {
        proxy_t *proxy = &agent->proxies[i];
        ga_reply_t reply;

        notify(ALIVE); /* a round over eight proxies that hang takes minutes */
        if (!send_beat(agent, proxy, false, &reply)) {
            continue;
        }
        heard = true;
        if (reply.answer.next_ms * GB_US_PER_MS < next_us) {
            next_us = reply.answer.next_ms * GB_US_PER_MS;
        }
        if (reply.answer.order == GB_BEAT_ORDER_OFF) {
            obey(agent, proxy);
            next_us = 0;
        }
    }
    watch_proxies(agent, heard);
    return !heard && next_us > RETRY_US ? RETRY_US : next_us;
}

/* A tenth less at random, so that a thousand hosts do not beat together. */
static void rest(int64_t for_us)
{
    int64_t until_us = ga_now_us() + for_us - for_us / 1000 * (random() % 100);

    do {
        int64_t left_us = until_us - ga_now_us();

        notify(ALIVE);
        ga_wait(left_us < SLICE_US ? left_us : SLICE_US);
    } while (!stop_wanted && ga_now_us() < until_us);
}

/* ---------------------------------------------------------------- the start */

/* Random, so that no heartbeat of an earlier start is one of this. */
static bool session_begin(agent_t *agent)
{
    uint64_t session = 0;

    while (session == 0) {
        if (getrandom(&session, sizeof session, 0) != (ssize_t)sizeof session) {
            ga_say(3, "no random numbers: %s", strerror(errno));
            return false;
        }
    }
    agent->beat.session = session;
    srandom((unsigned)session);
    memcpy(agent->beat.server, agent->config.server, sizeof agent->beat.server);
    for (uint32_t i = 0; i < agent->config.proxy_count; i++) {
        agent->proxies[i].url = agent->config.proxies[i];
    }
    return true;
}

static const char *config_of(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    const char *file = CONFIG_FILE;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 'v':
            puts("green-agent " GB_VERSION);
            exit(0);
        default:
            fprintf(option == 'h' ? stdout : stderr,
                    "usage: green-agent [--config FILE]\n"
                    "Tells the proxies how this host is, and lets it sleep on their "
                    "order.\n"
                    "  --config FILE   default " CONFIG_FILE "\n");
            exit(option == 'h' ? 0 : STATUS_USAGE);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "green-agent: it takes no such argument: %s\n", argv[optind]);
        exit(STATUS_USAGE);
    }
    return file;
}

int main(int argc, char **argv)
{
    const struct rlimit no_cores = {0, 0};
    static agent_t agent;

    (void)setrlimit(RLIMIT_CORE, &no_cores); /* the key is in memory */
    if (!ga_config_read(&agent.config, config_of(argc, argv)) ||
        !session_begin(&agent)) {
        return 1;
    }
    signals_own();
    notify("READY=1");
    ga_say(6, "watches over %s for %u %s", agent.config.server,
           agent.config.proxy_count,
           agent.config.proxy_count == 1 ? "proxy" : "proxies");
    while (!stop_wanted) {
        rest(round_do(&agent));
    }
    ga_power_inhibit(false);
    explicit_bzero(&agent, sizeof agent);
    return 0;
}
