/* SPDX-License-Identifier: Apache-2.0
 *
 * One client's connection to a simulated server, from accept to close. */
#ifndef RIG_CONNECTION_H
#define RIG_CONNECTION_H

#include "dice.h"
#include "service.h"
#include "stream.h"
#include "timers.h"

/* What all connections of a server share. */
typedef struct {
    const char *name;
    const char *faults; /* folder of fault files, or NULL */
    SSL_CTX *tls;       /* NULL: plain HTTP */
    double service_ms;  /* mean */
    bool exponential;   /* service times; otherwise all are the same */
    int epoll_fd;
    uint64_t accepted; /* connections */
    dice_t dice;
    timers_t timers;
    service_t service;
} host_t;

typedef struct connection connection_t;

/* Takes over an accepted non-blocking descriptor. */
void connection_open(host_t *host, int fd);

/* An epoll event or a due timer. Either may end and free the connection. */
void connection_event(connection_t *connection, uint32_t events);
void connection_timer(rig_timer_t *timer);

#endif
