/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults are files in a host's faults/ folder, one a kind, holding the value: any
 * process can set or heal one, and it takes effect when it is next looked at. */
#ifndef RIG_FAULT_H
#define RIG_FAULT_H

#include <stdbool.h>

/* folder may be NULL: then nothing is ever wrong. */
bool fault_is_on(const char *folder, const char *kind);

/* The fault's number, or the fallback when the fault is off or has no number. */
double fault_value(const char *folder, const char *kind, double fallback);

/* Sets a fault without a value; heals one. */
void fault_set(const char *folder, const char *kind);
void fault_heal(const char *folder, const char *kind);

#endif
