/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_outlier.h - the passive check: a server whose requests go wrong is taken out for a
 * time, though its health check may pass.
 *
 * Errors are counted in sixteenths of the window, so that "within 10 s" means at most
 * 10 s and at least 9.4.  Each time in a row that a server is taken out lasts twice as
 * long as the one before, at most an hour; a calm time ends the row.
 */
#ifndef GB_OUTLIER_H
#define GB_OUTLIER_H

#include "gb_types.h"

#define GB_OUTLIER_SLOTS      16
#define GB_OUTLIER_CALM       10 /* times the first ejection: then the row has ended */
#define GB_OUTLIER_LONGEST_US (3600 * GB_US_PER_S)

typedef struct gb_outlier_rules_t { /* GreenOutlier; errors 0: no passive check */
    uint32_t errors;
    int64_t within_us, eject_us;
} gb_outlier_rules_t;

/* What is remembered of one member.  Zeroed: nothing.  The caller's, without a lock. */
typedef struct gb_outlier_t {
    uint32_t errors[GB_OUTLIER_SLOTS]; /* in each sixteenth of the window */
    int64_t slot;                      /* number of the latest sixteenth */
    uint64_t seen;                     /* the counter at the latest look */
    bool looked;                       /* `seen` is known */
    bool ejected;
    uint32_t ejections; /* in a row */
    int64_t until_us;   /* end of the latest ejection */
} gb_outlier_t;

/* Takes the member's counter of errors as it stands now; one that went down begins
 * anew.  Errors of a time when it is not in service (`serves` false) are passed over.
 * Returns how many fell within the window. */
uint32_t gb_outlier_look(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                         uint64_t counter, bool serves, int64_t now_us);

/* May one more be taken out of `serving` members, of which `ejected` are out already?
 * Never more than half of them, rounded down.  Pure. */
bool gb_outlier_allowed(uint32_t serving, uint32_t ejected);

/* Takes it out from now on; its window begins anew.  Returns for how long. */
int64_t gb_outlier_eject(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                         int64_t now_us);

/* Lets time pass: true at the look at which an ejection has ended.  A calm time of
 * GB_OUTLIER_CALM times `eject_us` after it ends the row. */
bool gb_outlier_pass(gb_outlier_t *outlier, const gb_outlier_rules_t *rules,
                     int64_t now_us);

/* Ends an ejection before its time; the row goes on. */
void gb_outlier_pardon(gb_outlier_t *outlier, int64_t now_us);

#endif /* GB_OUTLIER_H */
