/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_queue.h - the waiting room: requests that wait for a server, or for room on one.
 *
 * A request takes a place and sleeps on the place's word until somebody else changes
 * it.  Places lie in shared memory and belong to all balancers together; they are few
 * (no more than threads that may wait), so the next one to serve is found by a scan.
 *
 *   FREE -> TAKEN -> WAITING -> GRANTED -> FREE     (a server has room for it)
 *                       |-----> REFUSED -> FREE     (nothing will wake)
 *                       '------------------> FREE   (deadline, the client has gone)
 *
 * The waiter makes all steps but those from WAITING to GRANTED or REFUSED, which are
 * made by whoever serves.  A word that says WAITING carries the low bits of the ticket,
 * so that a grant never reaches the next one on the same place.
 *
 * Order of serving, `late` = 500 ms, at the instant 10.0 s (with late-last those that
 * are late first go by how long they may wait, see gb_queue_patience_us()):
 *
 *   arrived    fifo    late-last
 *   8.0 s      1st     3rd (late already: comes after all that are not)
 *   9.4 s      2nd     4th (late, too)
 *   9.6 s      3rd     1st
 *   9.9 s      4th     2nd
 *
 * All of it is lock-free, for any thread of any process; all shared fields are accessed
 * with __atomic builtins.
 */
#ifndef GB_QUEUE_H
#define GB_QUEUE_H

#include "gb_types.h"

/* The low byte of a place's word. */
typedef enum gb_place_e {
    GB_PLACE_FREE = 0,
    GB_PLACE_TAKEN,   /* being filled in */
    GB_PLACE_WAITING, /* above it: the low 24 bits of its ticket */
    GB_PLACE_GRANTED, /* above it: the position in the pick table, counted already */
    GB_PLACE_REFUSED
} gb_place_e;

typedef struct gb_place_t {
    uint32_t word;       /* the waiter sleeps on it */
    uint32_t balancer;   /* index in the segment */
    uint32_t owner;      /* 1 + the row of the waiter's process; 0: nobody */
    uint32_t generation; /* of the configuration that its process has */
    int64_t arrived_us;  /* when the request first came: kept when it waits again */
    uint64_t ticket;     /* orders what arrived at the same instant */
} gb_place_t;
_Static_assert(sizeof(gb_place_t) == 32, "two in a cache line");

/* One a segment. */
typedef struct gb_queue_t {
    uint32_t room; /* how many places there are */
    uint32_t top;  /* places from here on were never used */
    uint64_t tickets;
} gb_queue_t;

/* One a balancer. */
typedef struct gb_room_t {
    uint32_t waiting; /* places of it in WAITING; never less than there are */
    uint32_t shut;    /* 1: the keeper says that no server takes requests */
    uint32_t serving; /* pid of who serves at this moment; 0: nobody */
    uint32_t again;   /* somebody else wants it to be looked at once more */
} gb_room_t;

/* Who wants to wait. */
typedef struct gb_waiter_t {
    uint32_t balancer, process, generation;
    int64_t arrived_us;
} gb_waiter_t;

/* Whom to serve. */
typedef struct gb_seek_t {
    uint32_t balancer;
    uint32_t
        generation;  /* those of an older configuration are passed over; 0: nobody */
    int64_t late_us; /* 0: the oldest first */
    int64_t now_us;
} gb_seek_t;

static inline gb_place_e gb_place_kind(uint32_t word)
{
    return (gb_place_e)(word & 0xffu);
}

/* Of a word that says GRANTED. */
static inline uint32_t gb_place_position(uint32_t word)
{
    return word >> 8;
}

/* Takes a place, if fewer than `most` requests of the balancer wait.  Returns its index
 * and, in `word`, what it waits with; GB_NO_INDEX: no room, nothing is taken. */
uint32_t gb_queue_join(gb_queue_t *queue, gb_place_t *places, gb_room_t *room,
                       const gb_waiter_t *waiter, uint32_t most, uint32_t *word);

/* The place that is served next, or GB_NO_INDEX when nobody waits; `word` is what it
 * waits with.  Without `late_us` (0) the oldest; with it the oldest that has waited for
 * less, and only when there is none the oldest of all. */
uint32_t gb_queue_next(const gb_queue_t *queue, const gb_place_t *places,
                       const gb_seek_t *seek, uint32_t *word);

/* How long a request may wait if its response is to come within `late_us`: what is left
 * by the slowest of the service times, 99 of 100 of which are below `service_us`, and
 * by a twentieth for what httpd takes; never less than half. late 500 ms: service 50
 * ms: 425 ms;  300 ms: 250 ms;  none known (0): 475 ms */
int64_t gb_queue_patience_us(int64_t late_us, int64_t service_us);

/* Tells the waiter that waits with `word`: room was counted for it at `position`
 * (GB_NO_INDEX: it is refused).  False: it no longer waits, and nothing has changed.
 * The caller wakes it. */
bool gb_queue_settle(gb_place_t *place, gb_room_t *room, uint32_t word,
                     uint32_t position);

/* The waiter goes: frees its place and returns the word that stood there, which may say
 * GRANTED since the waiter looked: then that room is its own to give back or use. */
uint32_t gb_queue_leave(gb_place_t *place, gb_room_t *room);

/* Frees the next place from `from` on that a process which died has left.  Returns its
 * index and what it held (a copy, with the word that stood there), or GB_NO_INDEX.  The
 * caller gives back what was granted, and takes a WAITING or TAKEN one off its
 * balancer's count by gb_queue_uncount(). */
uint32_t gb_queue_reclaim(gb_queue_t *queue, gb_place_t *places, uint32_t process,
                          uint32_t from, gb_place_t *held);
void gb_queue_uncount(gb_room_t *room);

/* How many really wait.  A process that was killed between two steps leaves `waiting`
 * too high; the keeper finds that out, and puts it right when nobody waits at all. */
uint32_t gb_queue_count(const gb_queue_t *queue, const gb_place_t *places,
                        uint32_t balancer);

/* May the caller serve?  At most one does at a time; who is turned away has left word,
 * and the one that serves looks once more.  `me` is a pid.
 *   while (gb_queue_serve_begin(room, me)) { ...; gb_queue_serve_end(room); }
 * with gb_queue_serve_ask(room) before it. */
void gb_queue_serve_ask(gb_room_t *room);
bool gb_queue_serve_begin(gb_room_t *room, uint32_t me);
void gb_queue_serve_end(gb_room_t *room);

#endif /* GB_QUEUE_H */
