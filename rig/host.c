/* SPDX-License-Identifier: Apache-2.0
 *
 * The server process of a simulated machine: real HTTP/1.1 over TCP, TLS or a unix
 * socket, with a limited capacity. One process a host, one thread, epoll.
 *
 *   host --name web1 --listen 127.0.0.1:8081 --capacity 16 --service-ms 20
 *
 * Every path answers 200 and names the host; /health and /_stats take no capacity.
 * SIGTERM ends it at once: that is what loss of power does to a server. */
#include "await.h"
#include "clock.h"
#include "connection.h"
#include "number.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define BACKLOG        4096

typedef struct {
    const char *name;
    const char *listen;
    const char *watts_file;
    const char *faults;
    const char *certificate;
    const char *key;
    long capacity;
    long queue_max;
    long seed;
    double service_ms;
    bool exponential;
    curve_t curve;
} options_t;

static const struct option OPTIONS[] = {{"name", required_argument, NULL, 'n'},
                                        {"listen", required_argument, NULL, 'l'},
                                        {"capacity", required_argument, NULL, 'c'},
                                        {"queue", required_argument, NULL, 'q'},
                                        {"service-ms", required_argument, NULL, 's'},
                                        {"law", required_argument, NULL, 'L'},
                                        {"seed", required_argument, NULL, 'S'},
                                        {"watts", required_argument, NULL, 'w'},
                                        {"watts-file", required_argument, NULL, 'W'},
                                        {"faults", required_argument, NULL, 'f'},
                                        {"certificate", required_argument, NULL, 'C'},
                                        {"key", required_argument, NULL, 'K'},
                                        {NULL, 0, NULL, 0}};

static _Noreturn void usage(void)
{
    fputs("usage: host --listen ADDRESS:PORT|/SOCKET [--name NAME] [--capacity N]\n"
          "  [--queue MAX] [--service-ms MEAN] [--law fixed|exponential] [--seed N]\n"
          "  [--watts IDLE:PEAK|W0,W10,...W100 --watts-file FILE] [--faults FOLDER]\n"
          "  [--certificate PEM --key PEM]\n",
          stderr);
    exit(2);
}

static bool parse_law(const char *word)
{
    if (strcmp(word, "exponential") != 0 && strcmp(word, "fixed") != 0) {
        usage();
    }
    return word[0] == 'e';
}

static void parse_option(options_t *o, int option)
{
    switch (option) {
    case 'n':
        o->name = optarg;
        break;
    case 'l':
        o->listen = optarg;
        break;
    case 'c':
        o->capacity = number_option_long("capacity", optarg, 1, 1000000);
        break;
    case 'q':
        o->queue_max = number_option_long("queue", optarg, 0, 1000000);
        break;
    case 's':
        o->service_ms = number_option_double("service-ms", optarg, 0, 3600e3);
        break;
    case 'L':
        o->exponential = parse_law(optarg);
        break;
    case 'S':
        o->seed = number_option_long("seed", optarg, 0, 1L << 62);
        break;
    case 'w':
        if (!curve_parse(&o->curve, optarg)) {
            usage();
        }
        break;
    case 'W':
        o->watts_file = optarg;
        break;
    case 'f':
        o->faults = optarg;
        break;
    case 'C':
        o->certificate = optarg;
        break;
    case 'K':
        o->key = optarg;
        break;
    default:
        usage();
    }
}

static void parse_options(options_t *o, int count, char **words)
{
    int option;

    memset(o, 0, sizeof *o);
    o->name = "host";
    o->capacity = 16;
    o->queue_max = 1000;
    o->service_ms = 20;
    curve_parse(&o->curve, "100:200");
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        parse_option(o, option);
    }
    if (!o->listen || optind != count || strlen(o->name) > 64 ||
        !o->certificate != !o->key) {
        usage();
    }
}

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    /* The proxy's children run as somebody else. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
        chmod(path, 0666) || listen(fd, BACKLOG)) {
        return -1;
    }
    return fd;
}

static int listen_tcp(const char *text)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address;
    char name[128];
    const char *colon = strrchr(text, ':');
    int yes = 1;
    int fd;

    if (!colon || (size_t)(colon - text) >= sizeof name) {
        usage();
    }
    snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
    if (getaddrinfo(name, colon + 1, &hints, &address)) {
        usage();
    }
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        /* Accepted sockets inherit it. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, BACKLOG)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(address);
    return fd;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void accept_all(host_t *host, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        connection_open(host, fd);
    }
}

static void serve(host_t *host, int listener)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};

    epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int64_t until_us = service_publish(&host->service, clock_now_us());
        rig_timer_t *timer;
        int count;

        if (timers_next_us(&host->timers) < until_us) {
            until_us = timers_next_us(&host->timers);
        }
        count = await_events(host->epoll_fd, events, EVENTS_AT_ONCE, until_us);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                connection_event(events[i].data.ptr, events[i].events);
            }
            else {
                accept_all(host, listener);
            }
        }
        while ((timer = timers_due(&host->timers, clock_now_us()))) {
            connection_timer(timer);
        }
    }
}

static void open_host(host_t *host, const options_t *o)
{
    memset(host, 0, sizeof *host);
    host->name = o->name;
    host->faults = o->faults;
    host->service_ms = o->service_ms;
    host->exponential = o->exponential;
    dice_seed(&host->dice, (uint64_t)o->seed);
    host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (host->epoll_fd < 0 ||
        !service_open(&host->service, (int)o->capacity, (int)o->queue_max)) {
        perror("host");
        exit(1);
    }
    if (o->certificate &&
        !(host->tls = stream_server_context(o->certificate, o->key))) {
        exit(1);
    }
    if (o->watts_file &&
        !service_meter(&host->service, o->watts_file, &o->curve, clock_now_us())) {
        perror(o->watts_file);
        exit(1);
    }
}

int main(int count, char **words)
{
    options_t options;
    host_t host;
    int listener;

    parse_options(&options, count, words);
    /* SIGTERM keeps its default action, which is the wanted one. */
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    listener = options.listen[0] == '/' ? listen_unix(options.listen)
                                        : listen_tcp(options.listen);
    if (listener < 0) {
        perror(options.listen);
        return 1;
    }
    open_host(&host, &options);
    serve(&host, listener);
}
