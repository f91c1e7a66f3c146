/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_boot.h - what is known of the time a machine needs from the wake order to its
 * first healthy probe: the latest 32 measured times, in the order they came, and
 * counters of all of them.
 */
#ifndef GB_BOOT_H
#define GB_BOOT_H

#include "gb_types.h"

#define GB_BOOT_KEPT    32
#define GB_BOOT_BUCKETS 16

typedef struct gb_boot_t {
    int64_t first_guess_us;
    uint32_t count; /* measured in all, also those forgotten */
    uint32_t next;  /* where the next one is stored */
    int64_t took_us[GB_BOOT_KEPT];
    uint64_t sum_us; /* of all that the histogram counts */
    uint32_t histogram[GB_BOOT_BUCKETS];
} gb_boot_t;

/* Nothing measured yet; `first_guess_us` is what the administrator wrote. */
void gb_boot_init(gb_boot_t *boot, int64_t first_guess_us);

/* Notes a measured boot time; ignores what is not positive or longer than a day. */
void gb_boot_learn(gb_boot_t *boot, int64_t took_us);

/* The quantile of the measured times, `permille` in 0..1000 (nearest rank); the first
 * guess while there are none.  Below 5 measurements quantiles above the median do not
 * go under the larger of the worst one seen and the first guess. */
int64_t gb_boot_quantile(const gb_boot_t *boot, uint32_t permille);

/* The longest time that a bucket of the histogram counts; GB_NEVER_US for the last one,
 * and for what is no bucket.  Pure. */
int64_t gb_boot_bound_us(uint32_t bucket);

#endif /* GB_BOOT_H */
