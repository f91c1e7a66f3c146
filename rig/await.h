/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for epoll events until an instant, to the microsecond: epoll_wait() itself
 * counts in milliseconds, too coarse for thousands of arrivals a second. */
#ifndef RIG_AWAIT_H
#define RIG_AWAIT_H

#include <stdint.h>
#include <sys/epoll.h>

/* The number of events, 0 at the instant (monotonic; see clock.h) or a signal. */
int await_events(int epoll_fd, struct epoll_event *events, int most, int64_t until_us);

#endif
