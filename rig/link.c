/* SPDX-License-Identifier: Apache-2.0
 *
 * The network link of a simulated machine in its own network namespace. */
#include "link.h"

#include "number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool link_enter(const char *netns)
{
    char path[PATH_MAX];
    bool entered;
    int fd;

    snprintf(path, sizeof path, "/run/netns/%s", netns);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    entered = setns(fd, CLONE_NEWNET) == 0;
    close(fd);
    return entered;
}

static void set_inet(struct ifreq *request, in_addr_t address)
{
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = address};

    memcpy(&request->ifr_addr, &inet, sizeof inet);
}

static bool set_arp(int fd, struct ifreq *request, bool on)
{
    if (ioctl(fd, SIOCGIFFLAGS, request)) {
        return false;
    }
    if (on) {
        request->ifr_flags = (short)(request->ifr_flags & ~IFF_NOARP);
    }
    else {
        request->ifr_flags = (short)(request->ifr_flags | IFF_NOARP);
    }
    request->ifr_flags = (short)(request->ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, request) == 0;
}

static bool set_address(int fd, struct ifreq *request, in_addr_t address, int prefix)
{
    in_addr_t mask = htonl(prefix ? ~0u << (32 - prefix) : 0);

    set_inet(request, address);
    if (ioctl(fd, SIOCSIFADDR, request)) {
        return false;
    }
    set_inet(request, mask);
    if (ioctl(fd, SIOCSIFNETMASK, request)) {
        return false;
    }
    set_inet(request, address | ~mask);
    return ioctl(fd, SIOCSIFBRDADDR, request) == 0;
}

static int open_request(struct ifreq *request, const char *interface)
{
    memset(request, 0, sizeof *request);
    snprintf(request->ifr_name, sizeof request->ifr_name, "%s", interface);
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static bool parse_address(const char *text, struct in_addr *inet, int *prefix)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    long bits = 0;

    if (!slash || (size_t)(slash - text) >= sizeof address ||
        !number_parse_long(slash + 1, 1, 32, &bits)) {
        return false;
    }
    snprintf(address, sizeof address, "%.*s", (int)(slash - text), text);
    *prefix = (int)bits;
    return inet_pton(AF_INET, address, inet) == 1;
}

bool link_address(const char *interface, const char *address)
{
    struct ifreq request;
    struct in_addr inet;
    int prefix;
    int fd;
    bool done;

    if (!parse_address(address, &inet, &prefix)) {
        return false;
    }
    fd = open_request(&request, interface);
    if (fd < 0) {
        return false;
    }
    done =
        set_arp(fd, &request, true) && set_address(fd, &request, inet.s_addr, prefix);
    close(fd);
    return done;
}

bool link_silence(const char *interface)
{
    struct ifreq request;
    int fd = open_request(&request, interface);
    bool done;

    if (fd < 0) {
        return false;
    }
    set_inet(&request, 0);
    /* Without an address already the kernel says EADDRNOTAVAIL, which is what we
     * want to be true. */
    done = ioctl(fd, SIOCSIFADDR, &request) == 0 || errno == EADDRNOTAVAIL;
    done = set_arp(fd, &request, false) && done;
    close(fd);
    return done;
}
