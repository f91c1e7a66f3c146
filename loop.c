/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c - the keeper's event loop: epoll for descriptors, a heap for timers.
 *
 * One thread.  A callback may add or remove any watch or timer, its own too: an event
 * that epoll has already reported for a watch that is gone, or whose descriptor number
 * was given to a new watch, is recognised by the watch's serial and dropped.
 */
#include "keeper.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOOP_EVENTS_MOST 256

/* The longest wait for a descriptor: a timer that is due later is looked at again. */
#ifdef MGB_TEST_CLOCK
#define WAIT_MOST_US (50 * GB_US_PER_MS) /* a test may set the clock in it */
#else
#define WAIT_MOST_US GB_US_PER_S
#endif

typedef struct watch_t {
    mgb_io_fn *fn; /* NULL: no watch on this descriptor */
    void *baton;
    uint32_t serial;
} watch_t;

typedef struct alarm_t {
    int64_t at_us;
    uint64_t id; /* ascending, so ties fire in the order of their setting */
    mgb_timer_fn *fn;
    void *baton;
} alarm_t;

struct mgb_loop_t {
    int epoll_fd;
    watch_t *watches; /* by descriptor */
    int watches_room;
    uint32_t next_serial;
    alarm_t *alarms; /* a binary heap, the earliest first */
    size_t alarm_count, alarms_room;
    uint64_t next_id;
    bool broken; /* the run is to return */
};

static apr_status_t loop_cleanup(void *data)
{
    mgb_loop_t *loop = data;

    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
    loop->epoll_fd = -1;
    free(loop->watches);
    free(loop->alarms);
    loop->watches = NULL;
    loop->alarms = NULL;
    loop->alarm_count = 0;
    loop->watches_room = 0;
    return APR_SUCCESS;
}

apr_status_t mgb_loop_create(mgb_loop_t **loop, apr_pool_t *p)
{
    mgb_loop_t *made = apr_pcalloc(p, sizeof(*made));

    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (made->epoll_fd < 0) {
        return errno;
    }
    made->next_id = 1;
    apr_pool_cleanup_register(p, made, loop_cleanup, apr_pool_cleanup_null);
    *loop = made;
    return APR_SUCCESS;
}

static apr_status_t watches_grow(mgb_loop_t *loop, int fd)
{
    int room = loop->watches_room ? loop->watches_room : 64;
    watch_t *grown;

    while (room <= fd) {
        room *= 2;
    }
    if (room == loop->watches_room) {
        return APR_SUCCESS;
    }
    grown = realloc(loop->watches, (size_t)room * sizeof(*grown));
    if (!grown) {
        return APR_ENOMEM;
    }
    memset(grown + loop->watches_room, 0,
           (size_t)(room - loop->watches_room) * sizeof(*grown));
    loop->watches = grown;
    loop->watches_room = room;
    return APR_SUCCESS;
}

apr_status_t mgb_loop_watch(mgb_loop_t *loop, int fd, uint32_t epoll_events,
                            mgb_io_fn *fn, void *baton)
{
    struct epoll_event wanted;
    watch_t *watch;
    apr_status_t rv;
    int known;

    if (fd < 0) {
        return APR_EBADF;
    }
    rv = watches_grow(loop, fd);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    watch = &loop->watches[fd];
    known = watch->fn != NULL;
    if (!known) {
        watch->serial = ++loop->next_serial;
    }
    wanted.events = epoll_events;
    wanted.data.u64 = ((uint64_t)watch->serial << 32) | (uint32_t)fd;
    if (epoll_ctl(loop->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &wanted)) {
        /* A descriptor that was closed without unwatch and whose number came back. */
        if (!known || errno != ENOENT ||
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &wanted)) {
            return errno;
        }
    }
    watch->fn = fn;
    watch->baton = baton;
    return APR_SUCCESS;
}

void mgb_loop_unwatch(mgb_loop_t *loop, int fd)
{
    if (fd < 0 || fd >= loop->watches_room || !loop->watches[fd].fn) {
        return;
    }
    loop->watches[fd].fn = NULL;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static bool alarm_before(const alarm_t *a, const alarm_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->id < b->id);
}

static void alarm_swap(alarm_t *a, alarm_t *b)
{
    alarm_t kept = *a;

    *a = *b;
    *b = kept;
}

static void alarm_rise(mgb_loop_t *loop, size_t i)
{
    while (i > 0 && alarm_before(&loop->alarms[i], &loop->alarms[(i - 1) / 2])) {
        alarm_swap(&loop->alarms[i], &loop->alarms[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void alarm_sink(mgb_loop_t *loop, size_t i)
{
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;

        if (left < loop->alarm_count &&
            alarm_before(&loop->alarms[left], &loop->alarms[least])) {
            least = left;
        }
        if (right < loop->alarm_count &&
            alarm_before(&loop->alarms[right], &loop->alarms[least])) {
            least = right;
        }
        if (least == i) {
            return;
        }
        alarm_swap(&loop->alarms[i], &loop->alarms[least]);
        i = least;
    }
}

static void alarm_remove(mgb_loop_t *loop, size_t i)
{
    loop->alarms[i] = loop->alarms[--loop->alarm_count];
    if (i < loop->alarm_count) {
        alarm_sink(loop, i);
        alarm_rise(loop, i);
    }
}

uint64_t mgb_loop_timer(mgb_loop_t *loop, int64_t at_us, mgb_timer_fn *fn, void *baton)
{
    alarm_t *alarm;

    if (loop->alarm_count == loop->alarms_room) {
        size_t room = loop->alarms_room ? loop->alarms_room * 2 : 64;
        alarm_t *grown = realloc(loop->alarms, room * sizeof(*grown));

        if (!grown) {
            return 0; /* id 0 is never given to a timer that will fire */
        }
        loop->alarms = grown;
        loop->alarms_room = room;
    }
    alarm = &loop->alarms[loop->alarm_count++];
    alarm->at_us = at_us;
    alarm->id = loop->next_id++;
    alarm->fn = fn;
    alarm->baton = baton;
    alarm_rise(loop, loop->alarm_count - 1);
    return loop->next_id - 1;
}

void mgb_loop_cancel(mgb_loop_t *loop, uint64_t id)
{
    for (size_t i = 0; i < loop->alarm_count; i++) {
        if (loop->alarms[i].id == id) {
            alarm_remove(loop, i);
            return;
        }
    }
}

/* Fires the timers that were due when it was entered: one that sets itself again for
 * the same instant waits for the next turn, so descriptors are not starved. */
static void fire_due(mgb_loop_t *loop, int64_t now_us)
{
    uint64_t newer = loop->next_id;

    while (loop->alarm_count && loop->alarms[0].at_us <= now_us &&
           loop->alarms[0].id < newer) {
        alarm_t due = loop->alarms[0];

        alarm_remove(loop, 0);
        due.fn(due.baton, now_us);
    }
}

static int wait_ms(const mgb_loop_t *loop, int64_t until_us, int64_t now_us)
{
    int64_t next_us = until_us;

    if (loop->alarm_count && loop->alarms[0].at_us < next_us) {
        next_us = loop->alarms[0].at_us;
    }
    if (next_us <= now_us) {
        return 0;
    }
    if (next_us - now_us > WAIT_MOST_US) {
        return (int)(WAIT_MOST_US / GB_US_PER_MS);
    }
    return (int)((next_us - now_us + GB_US_PER_MS - 1) / GB_US_PER_MS);
}

static void dispatch(mgb_loop_t *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    uint32_t serial = (uint32_t)(event->data.u64 >> 32);

    if (fd < loop->watches_room && loop->watches[fd].fn &&
        loop->watches[fd].serial == serial) {
        loop->watches[fd].fn(loop->watches[fd].baton, fd, event->events);
    }
}

bool mgb_loop_run(mgb_loop_t *loop, int64_t until_us)
{
    struct epoll_event events[LOOP_EVENTS_MOST];
    int64_t now_us = mgb_now_us();

    loop->broken = false;
    do {
        int n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MOST,
                           wait_ms(loop, until_us, now_us));

        if (n < 0 && errno == EINTR) {
            return false; /* a signal: the caller looks at its flags */
        }
        for (int i = 0; i < n; i++) {
            dispatch(loop, &events[i]);
        }
        now_us = mgb_now_us();
        fire_due(loop, now_us);
    } while (now_us < until_us && !loop->broken);
    return loop->broken;
}

void mgb_loop_break(mgb_loop_t *loop)
{
    loop->broken = true;
}
