/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap of timers that live inside their owners. */
#ifndef RIG_TIMERS_H
#define RIG_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t at_us;
    size_t place; /* 1-based place in the heap; 0 = not armed */
} rig_timer_t;

typedef struct {
    rig_timer_t **heap; /* heap[0] is unused */
    size_t count;
    size_t room;
} timers_t;

/* Arms the timer, or moves it when it is armed already. Ends the program when memory
 * is used up. */
void timers_arm(timers_t *timers, rig_timer_t *timer, int64_t at_us);

/* Harmless on a timer that is not armed. */
void timers_cancel(timers_t *timers, rig_timer_t *timer);

/* Takes out and returns a timer that is due, or NULL. */
rig_timer_t *timers_due(timers_t *timers, int64_t now_us);

/* When the first timer is due; INT64_MAX without one. */
int64_t timers_next_us(const timers_t *timers);

#endif
