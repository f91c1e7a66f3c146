/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for epoll events until an instant, to the microsecond. */
#include "await.h"

#include "clock.h"

#include <poll.h>

int await_events(int epoll_fd, struct epoll_event *events, int most, int64_t until_us)
{
    int64_t wait_us = until_us - clock_now_us();
    struct pollfd ready = {.fd = epoll_fd, .events = POLLIN};
    struct timespec limit;
    int count;

    if (wait_us > 0) {
        limit.tv_sec = wait_us / 1000000;
        limit.tv_nsec = wait_us % 1000000 * 1000;
        if (ppoll(&ready, 1, &limit, NULL) <= 0) {
            return 0;
        }
    }
    count = epoll_wait(epoll_fd, events, most, 0);
    return count > 0 ? count : 0;
}
