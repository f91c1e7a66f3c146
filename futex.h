/* SPDX-License-Identifier: Apache-2.0
 *
 * futex.h - threads that sleep on a word of shared memory, and who wakes them.
 *
 * Never FUTEX_PRIVATE: sleepers and wakers are in different processes.  No memory, no
 * lock; any thread.
 */
#ifndef MGB_FUTEX_H
#define MGB_FUTEX_H

#include "core/gb_types.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleeps while the word says `seen`, for `span_us` at most.  It may return earlier, for
 * a signal too: the caller looks at the word again. */
static inline void mgb_futex_wait(uint32_t *word, uint32_t seen, int64_t span_us)
{
    struct timespec span = {.tv_sec = span_us / GB_US_PER_S,
                            .tv_nsec = span_us % GB_US_PER_S * 1000};

    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &span, NULL, 0);
}

/* Wakes all who sleep on the word; after it was changed. */
static inline void mgb_futex_wake(uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

#endif /* MGB_FUTEX_H */
