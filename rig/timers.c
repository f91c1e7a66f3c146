/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap of timers that live inside their owners. */
#include "timers.h"

#include <stdio.h>
#include <stdlib.h>

static void put(timers_t *timers, size_t place, rig_timer_t *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void sift_up(timers_t *timers, size_t place)
{
    rig_timer_t *timer = timers->heap[place];

    while (place > 1 && timers->heap[place / 2]->at_us > timer->at_us) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    put(timers, place, timer);
}

static void sift_down(timers_t *timers, size_t place)
{
    rig_timer_t *timer = timers->heap[place];

    for (;;) {
        size_t child = place * 2;

        if (child > timers->count) {
            break;
        }
        if (child < timers->count &&
            timers->heap[child + 1]->at_us < timers->heap[child]->at_us) {
            child++;
        }
        if (timers->heap[child]->at_us >= timer->at_us) {
            break;
        }
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

static void grow(timers_t *timers)
{
    size_t room = timers->room ? timers->room * 2 : 64;
    rig_timer_t **heap = realloc(timers->heap, (room + 1) * sizeof *heap);

    if (!heap) {
        perror("timers");
        exit(1);
    }
    timers->heap = heap;
    timers->room = room;
}

void timers_arm(timers_t *timers, rig_timer_t *timer, int64_t at_us)
{
    timers_cancel(timers, timer);
    if (timers->count == timers->room) {
        grow(timers);
    }
    timer->at_us = at_us;
    timers->count++;
    put(timers, timers->count, timer);
    sift_up(timers, timers->count);
}

void timers_cancel(timers_t *timers, rig_timer_t *timer)
{
    size_t place = timer->place;
    rig_timer_t *last;

    if (!place) {
        return;
    }
    timer->place = 0;
    last = timers->heap[timers->count--];
    if (last == timer) {
        return;
    }
    put(timers, place, last);
    sift_up(timers, place);
    sift_down(timers, last->place);
}

rig_timer_t *timers_due(timers_t *timers, int64_t now_us)
{
    rig_timer_t *first;

    if (!timers->count || timers->heap[1]->at_us > now_us) {
        return NULL;
    }
    first = timers->heap[1];
    timers_cancel(timers, first);
    return first;
}

int64_t timers_next_us(const timers_t *timers)
{
    return timers->count ? timers->heap[1]->at_us : INT64_MAX;
}
