/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated machine: it has power or not, boots, runs its server, shuts down. One
 * process a machine, which is there with the power off too: it takes the orders of the
 * BMC, the network card, the power driver and the room one after the other, so that an
 * order that comes twice cannot boot twice, and writes down every one.
 *
 *   machine --socket web1.sock --orders orders.log ... -- host --listen ...
 *
 * Its watts are modelled: off, booting (the curve's peak), up (the server meters its
 * own load), up without a server (idle). */
#include "clock.h"
#include "fault.h"
#include "link.h"
#include "meter.h"
#include "number.h"
#include "wire.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often a machine held up by a fault looks whether the fault has healed. */
#define FAULT_CHECK_US 50000

typedef enum { OFF, BOOTING, UP, UP_NO_SERVICE, STOPPING } phase_t;

static const char *const PHASE_NAMES[] = {[OFF] = "off",
                                          [BOOTING] = "booting",
                                          [UP] = "up",
                                          [UP_NO_SERVICE] = "no-service",
                                          [STOPPING] = "stopping"};

typedef struct {
    const char *socket;
    const char *orders;
    const char *faults;
    const char *watts_file;
    const char *netns; /* NULL: no link of its own */
    const char *interface;
    const char *address;
    int64_t boot_us;
    int64_t shutdown_us;
    double off_watts;
    curve_t curve;
    bool starts_on;
    char **server; /* argv */
    phase_t phase;
    int64_t deadline_at_us; /* 0: the phase has none */
    pid_t service;          /* 0: not running */
    int held_fd;            /* an order whose answer is late; -1: none */
    int64_t held_until_us;
    char held_reply[WIRE_MESSAGE_BYTES];
    sigset_t signals; /* that the signalfd takes */
} machine_t;

static const struct option OPTIONS[] = {{"socket", required_argument, NULL, 's'},
                                        {"orders", required_argument, NULL, 'o'},
                                        {"faults", required_argument, NULL, 'f'},
                                        {"watts-file", required_argument, NULL, 'W'},
                                        {"watts", required_argument, NULL, 'w'},
                                        {"off-watts", required_argument, NULL, 'O'},
                                        {"boot-ms", required_argument, NULL, 'b'},
                                        {"shutdown-ms", required_argument, NULL, 'd'},
                                        {"netns", required_argument, NULL, 'n'},
                                        {"interface", required_argument, NULL, 'i'},
                                        {"address", required_argument, NULL, 'a'},
                                        {"on", no_argument, NULL, '1'},
                                        {NULL, 0, NULL, 0}};

static _Noreturn void usage(void)
{
    fputs("usage: machine --socket PATH --orders FILE --faults FOLDER\n"
          "  --watts-file FILE [--watts CURVE] [--off-watts N] [--boot-ms N]\n"
          "  [--shutdown-ms N] [--on] [--netns NAME --interface IF --address A/P]\n"
          "  -- SERVER [ARGUMENT]...\n",
          stderr);
    exit(2);
}

static int64_t option_us(const char *option)
{
    return (int64_t)number_option_long(option, optarg, 0, 86400000) * 1000;
}

static void parse_option(machine_t *m, int option)
{
    switch (option) {
    case 's':
        m->socket = optarg;
        break;
    case 'o':
        m->orders = optarg;
        break;
    case 'f':
        m->faults = optarg;
        break;
    case 'W':
        m->watts_file = optarg;
        break;
    case 'w':
        if (!curve_parse(&m->curve, optarg)) {
            usage();
        }
        break;
    case 'O':
        m->off_watts = number_option_double("off-watts", optarg, 0, 10000);
        break;
    case 'b':
        m->boot_us = option_us("boot-ms");
        break;
    case 'd':
        m->shutdown_us = option_us("shutdown-ms");
        break;
    case 'n':
        m->netns = optarg;
        break;
    case 'i':
        m->interface = optarg;
        break;
    case 'a':
        m->address = optarg;
        break;
    case '1':
        m->starts_on = true;
        break;
    default:
        usage();
    }
}

static void parse_options(machine_t *m, int count, char **words)
{
    int option;

    memset(m, 0, sizeof *m);
    m->held_fd = -1;
    m->off_watts = 5;
    curve_parse(&m->curve, "100:200");
    while ((option = getopt_long(count, words, "+", OPTIONS, NULL)) != -1) {
        parse_option(m, option);
    }
    m->server = words + optind;
    if (!m->socket || !m->orders || !m->faults || !m->watts_file || !*m->server ||
        (m->netns && (!m->interface || !m->address))) {
        usage();
    }
}

/* The record is reopened each time: the meter also belongs to the server. */
static void draw(const machine_t *m, double watts)
{
    int64_t now_us = clock_now_us();
    meter_t meter;

    meter_open(&meter, m->watts_file, now_us);
    meter_draw(&meter, watts, now_us);
    meter_publish(&meter, watts);
}

static void enter(machine_t *m, phase_t phase, int64_t stay_us)
{
    printf("%.3f [%s] --> [%s]\n", clock_wall_s(), PHASE_NAMES[m->phase],
           PHASE_NAMES[phase]);
    m->phase = phase;
    m->deadline_at_us = stay_us < 0 ? 0 : clock_now_us() + stay_us;
}

static void record(const machine_t *m, const char *via, const char *order)
{
    char line[128];
    int fd = open(m->orders, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int length = snprintf(line, sizeof line,
                          "{\"t\": %.6f, \"via\": \"%.16s\", \"order\": \"%s\"}\n",
                          clock_wall_s(), via, order);

    if (fd < 0 || write(fd, line, (size_t)length) != length) {
        perror(m->orders);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void become_server(const machine_t *m, pid_t parent)
{
    sigprocmask(SIG_UNBLOCK, &m->signals, NULL);
    /* Whatever ends the machine takes the power from its server. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    execv(m->server[0], m->server);
    perror(m->server[0]);
    _exit(127);
}

static void end_service(machine_t *m, int with_signal)
{
    if (m->service) {
        kill(m->service, with_signal);
        waitpid(m->service, NULL, 0);
        m->service = 0;
    }
}

static bool service_is_kept_down(const machine_t *m)
{
    return fault_is_on(m->faults, "boot_no_service") || fault_is_on(m->faults, "dies");
}

static void come_up(machine_t *m)
{
    pid_t parent = getpid();

    if (service_is_kept_down(m)) {
        if (m->phase != UP_NO_SERVICE) {
            draw(m, m->curve.watts[0]);
        }
        enter(m, UP_NO_SERVICE, FAULT_CHECK_US);
        return;
    }
    draw(m, m->curve.watts[0]);
    m->service = fork();
    if (m->service == 0) {
        become_server(m, parent);
    }
    if (m->service < 0) {
        perror("fork");
        m->service = 0;
        enter(m, UP_NO_SERVICE, FAULT_CHECK_US);
        return;
    }
    enter(m, UP, -1);
}

static void boot(machine_t *m)
{
    double slow_s = fault_value(m->faults, "boot_slow", 0);

    /* A boot starts a crashed server afresh. */
    fault_heal(m->faults, "dies");
    draw(m, m->curve.watts[METER_POINTS - 1]);
    enter(m, BOOTING, m->boot_us + (int64_t)(slow_s * 1e6));
}

/* Loss of power is silent: without an address the kernel cannot tell the clients that
 * their connections are gone. So the link goes first. */
static void cut_power(machine_t *m)
{
    if (m->netns) {
        link_silence(m->interface);
    }
    end_service(m, SIGKILL);
    draw(m, m->off_watts);
    enter(m, OFF, -1);
}

/* The operating system hears the power button: it ends its server at once, and is
 * still on until it has shut down. */
static void shut_down(machine_t *m)
{
    bool stuck = m->phase == BOOTING && fault_is_on(m->faults, "boot_fails");

    if (m->phase == OFF || m->phase == STOPPING || stuck) {
        return;
    }
    end_service(m, SIGTERM);
    draw(m, m->curve.watts[0]);
    enter(m, STOPPING, m->shutdown_us);
}

static void finish_boot(machine_t *m)
{
    if (fault_is_on(m->faults, "boot_fails")) {
        m->deadline_at_us = clock_now_us() + FAULT_CHECK_US;
        return;
    }
    if (m->netns && !link_address(m->interface, m->address)) {
        perror(m->interface);
    }
    come_up(m);
}

static void pass_deadline(machine_t *m)
{
    switch (m->phase) {
    case BOOTING:
        finish_boot(m);
        break;
    case UP_NO_SERVICE:
        if (service_is_kept_down(m)) {
            m->deadline_at_us = clock_now_us() + FAULT_CHECK_US;
        }
        else {
            come_up(m);
        }
        break;
    case STOPPING:
        if (fault_is_on(m->faults, "hangs_in_shutdown")) {
            m->deadline_at_us = clock_now_us() + FAULT_CHECK_US;
        }
        else {
            cut_power(m);
        }
        break;
    case OFF:
    case UP:
        m->deadline_at_us = 0;
        break;
    }
}

/* The server ended although nobody ended it: a crash, and it stays down. */
static void notice_crash(machine_t *m)
{
    if (m->service && waitpid(m->service, NULL, WNOHANG) == m->service) {
        m->service = 0;
        fault_set(m->faults, "dies");
        draw(m, m->curve.watts[0]);
        enter(m, UP_NO_SERVICE, FAULT_CHECK_US);
    }
}

static void power_on(machine_t *m, const char *via)
{
    record(m, via, "on");
    if (m->phase == OFF) {
        boot(m);
    }
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void switch_power(machine_t *m, const char *order)
{
    if (is(order, "soft")) {
        shut_down(m);
    }
    else if (is(order, "on")) {
        if (m->phase == OFF) {
            boot(m);
        }
    }
    else if (m->phase != OFF) {
        cut_power(m);
        if (is(order, "reset")) {
            boot(m);
        }
    }
}

/* The orders that a remote hand gives; ignores_order takes them and does nothing,
 * ignores_soft those to shut down. */
static bool obey_order(machine_t *m, const char *via, const char *name,
                       const char *value)
{
    const char *order;

    if (is(name, "power")) {
        order = is(value, "1") ? "on" : "off";
    }
    else if (is(name, "reset") || is(name, "shutdown")) {
        order = is(name, "reset") ? "reset" : "soft";
    }
    else {
        return is(name, "boot") || is(name, "identify");
    }
    record(m, via, order);
    if (!is(via, "rig") &&
        (fault_is_on(m->faults, "ignores_order") ||
         (is(order, "soft") && fault_is_on(m->faults, "ignores_soft")))) {
        return true;
    }
    switch_power(m, order);
    return true;
}

/* What happens to a machine without an order: rig only. */
static bool suffer(machine_t *m, const char *name)
{
    if (is(name, "crash")) {
        fault_set(m->faults, "dies");
        if (m->service) {
            end_service(m, SIGKILL);
            draw(m, m->curve.watts[0]);
            enter(m, UP_NO_SERVICE, FAULT_CHECK_US);
        }
    }
    else if (is(name, "mains")) {
        if (m->phase != OFF) {
            cut_power(m);
        }
    }
    else if (is(name, "button")) {
        if (m->phase == OFF) {
            power_on(m, "rig");
        }
        else {
            record(m, "rig", "soft");
            shut_down(m);
        }
    }
    else {
        return false;
    }
    return true;
}

/* The same number that the BMC reports. */
static long shown_watts(const machine_t *m)
{
    long watts = 0;
    FILE *file = fopen(m->watts_file, "re");

    if (file) {
        if (fscanf(file, "%ld", &watts) != 1) {
            watts = 0;
        }
        fclose(file);
    }
    return watts;
}

static bool tell(const machine_t *m, const char *name, char *reply, size_t size)
{
    size_t length = strlen(reply);

    reply += length;
    size -= length;
    if (is(name, "power")) {
        snprintf(reply, size, "power:%d\n", m->phase != OFF);
    }
    else if (is(name, "boot")) {
        snprintf(reply, size, "boot:default\n");
    }
    else if (is(name, "phase")) {
        snprintf(reply, size, "phase:%s\n", PHASE_NAMES[m->phase]);
    }
    else if (is(name, "watts")) {
        snprintf(reply, size, "watts:%ld\n", shown_watts(m));
    }
    else {
        return false;
    }
    return true;
}

/* One line: VIA get NAME... | VIA set NAME VALUE... | wol packet. */
static bool obey(machine_t *m, char *line, char *reply, size_t size)
{
    char *via = strsep(&line, " ");
    char *verb = strsep(&line, " ");
    char *name;
    char *value;

    if (!verb) {
        return false;
    }
    if (is(verb, "packet")) {
        record(m, via, "packet");
        if (m->phase == OFF) {
            power_on(m, via);
        }
        return true;
    }
    while ((name = strsep(&line, " "))) {
        if (is(verb, "get")) {
            if (!tell(m, name, reply, size)) {
                return false;
            }
            continue;
        }
        value = strsep(&line, " ");
        if (!is(verb, "set") || !value ||
            (!obey_order(m, via, name, value) && !suffer(m, name))) {
            return false;
        }
    }
    return true;
}

/* The BMC is deaf until it has the answer to its order: it is carried out, and whoever
 * ordered it does not hear so.  Happens to one order. */
static bool is_held(machine_t *m, const char *line)
{
    double hang_s = fault_value(m->faults, "order_hangs", 0);

    if (hang_s <= 0 || m->held_fd >= 0 || strncmp(line, "ipmi set ", 9) != 0) {
        return false;
    }
    fault_heal(m->faults, "order_hangs");
    m->held_until_us = clock_now_us() + (int64_t)(hang_s * 1e6);
    return true;
}

static void take_order(machine_t *m, int listener)
{
    char line[WIRE_MESSAGE_BYTES];
    char reply[WIRE_MESSAGE_BYTES] = "";
    int fd = wire_take(listener, line, sizeof line);
    bool held;
    bool good;

    if (fd < 0) {
        return;
    }
    held = is_held(m, line);
    good = obey(m, line, reply, sizeof reply - 1);
    if (held && good) {
        m->held_fd = fd;
        memcpy(m->held_reply, reply, sizeof reply);
    }
    else {
        wire_answer(fd, good ? 0 : 1, reply);
    }
}

static void answer_held(machine_t *m)
{
    if (m->held_fd >= 0 && clock_now_us() >= m->held_until_us) {
        wire_answer(m->held_fd, 0, m->held_reply);
        m->held_fd = -1;
    }
}

/* True when the machine is to end. */
static bool take_signal(machine_t *m, int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return false;
    }
    if (info.ssi_signo == SIGCHLD) {
        notice_crash(m);
        return false;
    }
    return true;
}

static int wait_ms(const machine_t *m)
{
    int64_t until_us = m->deadline_at_us ? m->deadline_at_us : INT64_MAX;
    int64_t wait_us;

    if (m->held_fd >= 0 && m->held_until_us < until_us) {
        until_us = m->held_until_us;
    }
    if (until_us == INT64_MAX) {
        return -1;
    }
    wait_us = until_us - clock_now_us();
    return wait_us > 0 ? (int)((wait_us + 999) / 1000) : 0;
}

static void run(machine_t *m, int listener, int signals)
{
    struct pollfd watched[] = {{.fd = signals, .events = POLLIN},
                               {.fd = listener, .events = POLLIN}};

    for (;;) {
        if (poll(watched, 2, wait_ms(m)) < 0) {
            continue;
        }
        if ((watched[0].revents & POLLIN) && take_signal(m, signals)) {
            return;
        }
        if (watched[1].revents & POLLIN) {
            take_order(m, listener);
        }
        answer_held(m);
        if (m->deadline_at_us && clock_now_us() >= m->deadline_at_us) {
            pass_deadline(m);
        }
    }
}

int main(int count, char **words)
{
    machine_t machine;
    int listener;
    int signals;

    parse_options(&machine, count, words);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (machine.netns && !link_enter(machine.netns)) {
        perror(machine.netns);
        return 1;
    }
    sigemptyset(&machine.signals);
    sigaddset(&machine.signals, SIGCHLD);
    sigaddset(&machine.signals, SIGTERM);
    sigaddset(&machine.signals, SIGINT);
    sigprocmask(SIG_BLOCK, &machine.signals, NULL);
    signals = signalfd(-1, &machine.signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (machine.starts_on) {
        finish_boot(&machine);
    }
    else {
        cut_power(&machine);
    }
    /* Last: once the socket is there, the machine is ready. */
    listener = wire_listen(machine.socket);
    if (listener < 0 || signals < 0) {
        perror(machine.socket);
        end_service(&machine, SIGKILL);
        return 1;
    }
    run(&machine, listener, signals);
    cut_power(&machine);
    unlink(machine.socket);
    return 0;
}
