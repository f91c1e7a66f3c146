/* SPDX-License-Identifier: Apache-2.0
 *
 * The network card of a simulated machine, which listens while the machine is off.
 *
 *   nic --socket web1.sock --mac 02:... --netns NAME --interface eth0
 *   nic --socket web1.sock --mac 02:... --udp 127.0.0.1:9001
 *
 * In a network namespace it sees raw frames, as a card does: UDP to any port, or
 * ethertype 0x0842. Where namespaces are not permitted it is a plain UDP socket. What
 * it hears goes to stdout, one JSON line each; what wakes goes to the machine. */
#include "clock.h"
#include "dice.h"
#include "fault.h"
#include "link.h"
#include "magic.h"
#include "number.h"
#include "wire.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES 9216

typedef struct {
    const char *socket; /* of the machine */
    const char *faults;
    const char *netns;
    const char *interface;
    const char *udp;
    long seed;
    magic_t magic;
    dice_t dice;
} nic_t;

static const struct option OPTIONS[] = {{"socket", required_argument, NULL, 's'},
                                        {"faults", required_argument, NULL, 'f'},
                                        {"mac", required_argument, NULL, 'm'},
                                        {"secureon", required_argument, NULL, 'p'},
                                        {"netns", required_argument, NULL, 'n'},
                                        {"interface", required_argument, NULL, 'i'},
                                        {"udp", required_argument, NULL, 'u'},
                                        {"seed", required_argument, NULL, 'S'},
                                        {NULL, 0, NULL, 0}};

static _Noreturn void usage(void)
{
    fputs("usage: nic --socket MACHINE --mac MAC [--secureon PASSWORD] [--seed N]\n"
          "  [--faults FOLDER] --udp ADDRESS:PORT | --netns NAME --interface IF\n",
          stderr);
    exit(2);
}

static void parse_option(nic_t *nic, int option)
{
    switch (option) {
    case 's':
        nic->socket = optarg;
        break;
    case 'f':
        nic->faults = optarg;
        break;
    case 'm':
        if (!magic_parse_address(optarg, nic->magic.address)) {
            usage();
        }
        break;
    case 'p':
        if (!magic_parse_address(optarg, nic->magic.password)) {
            usage();
        }
        nic->magic.has_password = true;
        break;
    case 'n':
        nic->netns = optarg;
        break;
    case 'i':
        nic->interface = optarg;
        break;
    case 'u':
        nic->udp = optarg;
        break;
    case 'S':
        nic->seed = number_option_long("seed", optarg, 0, 1L << 62);
        break;
    default:
        usage();
    }
}

static void parse_options(nic_t *nic, int count, char **words)
{
    int option;

    memset(nic, 0, sizeof *nic);
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        parse_option(nic, option);
    }
    if (!nic->socket || optind != count || !nic->udp == !nic->netns ||
        (nic->netns && !nic->interface)) {
        usage();
    }
    dice_seed(&nic->dice, (uint64_t)nic->seed);
}

static int open_udp(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char name[64];
    const char *colon = strrchr(text, ':');
    long port;
    int fd;

    if (!colon || (size_t)(colon - text) >= sizeof name ||
        !number_parse_long(colon + 1, 1, 65535, &port)) {
        usage();
    }
    snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
    if (inet_pton(AF_INET, name, &address.sin_addr) != 1) {
        usage();
    }
    address.sin_port = htons((uint16_t)port);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* While the machine is up, the web traffic passes here too. It is TCP, which never
 * carries a magic packet, so the kernel drops it before we are woken for it. */
static void ignore_tcp(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
                                 BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, 0),
                                 BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES)};
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int open_frames(const char *netns, const char *interface)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL)};
    int fd;

    if (!link_enter(netns)) {
        return -1;
    }
    address.sll_ifindex = (int)if_nametoindex(interface);
    /* Protocol 0 until bound, or other interfaces' frames would queue up first. */
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    ignore_tcp(fd);
    if (!address.sll_ifindex || bind(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The next payload that a card would take in; *payload is where it starts. */
static ssize_t receive(const nic_t *nic, int fd, uint8_t *frame,
                       const uint8_t **payload)
{
    struct sockaddr_ll from;
    socklen_t from_length = sizeof from;
    ssize_t length;

    if (nic->udp) {
        *payload = frame;
        return recv(fd, frame, FRAME_BYTES, 0);
    }
    *payload = frame + ETH_HLEN;
    for (;;) {
        length =
            recvfrom(fd, frame, FRAME_BYTES, 0, (struct sockaddr *)&from, &from_length);
        if (length < 0) {
            return -1;
        }
        if (length > ETH_HLEN && from.sll_pkttype != PACKET_OUTGOING &&
            from.sll_pkttype != PACKET_OTHERHOST) {
            return length - ETH_HLEN;
        }
    }
}

static void say(const char *verdict)
{
    printf("{\"t\": %.6f, \"verdict\": \"%s\"}\n", clock_wall_s(), verdict);
}

static bool is_lost(nic_t *nic)
{
    double percent = fault_value(nic->faults, "lost_packets", 0);

    return percent > 0 && dice_uniform(&nic->dice) * 100 < percent;
}

static void hear(nic_t *nic, const uint8_t *payload, size_t length)
{
    char reply[WIRE_MESSAGE_BYTES];

    switch (magic_match(&nic->magic, payload, length)) {
    case MAGIC_NONE:
        return;
    case MAGIC_WRONG_PASSWORD:
        say("wrong-password");
        return;
    case MAGIC_WAKE:
        break;
    }
    if (is_lost(nic)) {
        say("lost");
        return;
    }
    say("wake");
    if (wire_ask(nic->socket, "wol packet", reply, sizeof reply)) {
        perror(nic->socket);
    }
}

int main(int count, char **words)
{
    static uint8_t frame[FRAME_BYTES];
    nic_t nic;
    int fd;

    parse_options(&nic, count, words);
    setvbuf(stdout, NULL, _IOLBF, 0);
    fd = nic.udp ? open_udp(nic.udp) : open_frames(nic.netns, nic.interface);
    if (fd < 0) {
        perror("nic");
        return 1;
    }
    puts("{\"verdict\": \"listening\"}");
    for (;;) {
        const uint8_t *payload;
        ssize_t length = receive(&nic, fd, frame, &payload);

        if (length > 0) {
            hear(&nic, payload, (size_t)length);
        }
    }
}
