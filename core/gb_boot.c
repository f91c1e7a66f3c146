/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_boot.c - learned boot times: a ring of the latest ones and its quantiles, and a
 * histogram of all.
 */
#include "gb_boot.h"

#include <string.h>

/* With fewer measurements than this a high quantile says little about the worst. */
#define FEW_COUNT 5u
/* No boot: what takes longer was put right by a person, or comes from a file that was
 * made up.  It also keeps sums of such times far from overflow. */
#define BOOT_MOST_US (24 * 3600 * GB_US_PER_S)

/* From a suspended machine to one that checks its disks. */
static const uint16_t bounds_s[GB_BOOT_BUCKETS - 1] = {
    1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600};

int64_t gb_boot_bound_us(uint32_t bucket)
{
    return bucket < GB_BOOT_BUCKETS - 1 ? bounds_s[bucket] * GB_US_PER_S : GB_NEVER_US;
}

void gb_boot_init(gb_boot_t *boot, int64_t first_guess_us)
{
    memset(boot, 0, sizeof(*boot));
    boot->first_guess_us = first_guess_us;
}

static bool believable(int64_t took_us)
{
    return took_us > 0 && took_us <= BOOT_MOST_US;
}

void gb_boot_learn(gb_boot_t *boot, int64_t took_us)
{
    uint32_t bucket = 0;

    if (!believable(took_us)) {
        return;
    }
    boot->next %= GB_BOOT_KEPT; /* it may come from a file */
    boot->took_us[boot->next] = took_us;
    boot->next = (boot->next + 1) % GB_BOOT_KEPT;
    if (boot->count < UINT32_MAX) {
        boot->count++;
    }
    while (took_us > gb_boot_bound_us(bucket)) {
        bucket++;
    }
    boot->histogram[bucket]++;
    boot->sum_us += (uint64_t)took_us;
}

/* Copies the measured times in ascending order; returns how many.  A slot that holds
 * what could not be learned is one that a file made up, and is left out. */
static uint32_t sorted(const gb_boot_t *boot, int64_t took_us[GB_BOOT_KEPT])
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < GB_BOOT_KEPT && i < boot->count; i++) {
        uint32_t at = n;

        if (!believable(boot->took_us[i])) {
            continue;
        }
        while (at > 0 && took_us[at - 1] > boot->took_us[i]) {
            took_us[at] = took_us[at - 1];
            at--;
        }
        took_us[at] = boot->took_us[i];
        n++;
    }
    return n;
}

int64_t gb_boot_quantile(const gb_boot_t *boot, uint32_t permille)
{
    int64_t took_us[GB_BOOT_KEPT];
    uint32_t n = sorted(boot, took_us);
    uint32_t rank;

    if (n == 0) {
        return boot->first_guess_us;
    }
    if (n < FEW_COUNT && permille > 500) {
        int64_t worst_us = took_us[n - 1];

        return worst_us > boot->first_guess_us ? worst_us : boot->first_guess_us;
    }
    if (permille > 1000) {
        permille = 1000;
    }
    rank = (permille * n + 999) / 1000; /* nearest rank: the ceiling, from 1 */
    return took_us[rank > 0 ? rank - 1 : 0];
}
