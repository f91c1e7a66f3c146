/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_pick.h - which member of a balancer gets the next request.
 *
 * A table holds one compact record a member, in the order in which members are to be
 * filled (lbset first, then fewest watts per request), and a two-level bitmap of those
 * that are eligible and have room.  Packing is "find the first bit" (measured: 11 ns at
 * any size; a scan of 1,000 records 478 ns).  A bit is a hint, the record is the truth:
 * a wrongly set bit is found out at the pick, a wrongly cleared one is set again by the
 * next release or sweep.  So no lock is needed; all shared fields are accessed with
 * __atomic builtins.
 */
#ifndef GB_PICK_H
#define GB_PICK_H

#include "gb_types.h"

/* Written by the keeper: what the machine's state and health allow. */
#define GB_GATE_CLOSED 0u
#define GB_GATE_OPEN   1u /* new requests and sticky ones */
#define GB_GATE_STICKY 2u /* draining: only requests of sticky sessions */

/* What a sweep was told of a member, from the worker's status as httpd has it. */
#define GB_USE_USABLE  (1u << 0) /* none of D, S, E, U, C; initialised */
#define GB_USE_DRAIN   (1u << 1) /* N */
#define GB_USE_STANDBY (1u << 2) /* H */
#define GB_USE_SPARE   (1u << 3) /* R */

typedef struct gb_pick_record_t {
    _Alignas(8) uint32_t in_flight; /* over all processes; a hint: the rows are exact */
    uint16_t capacity;              /* in force now: 1..65535 */
    uint8_t gate;                   /* GB_GATE_*; the keeper's */
    uint8_t eligible;               /* 1: in the set that now serves; the sweep's */
} gb_pick_record_t;
_Static_assert(sizeof(gb_pick_record_t) == 8, "a record is read in one piece");

/* A table lies in shared memory: this header, then words[word_count], then
 * records[size], order[size] (position -> member slot), lbset[size]. */
typedef struct gb_pick_table_t {
    uint32_t size;       /* room for positions, at most GB_MEMBERS_MAX */
    uint32_t used;       /* positions in use */
    uint32_t packing;    /* 1: fill in order; 0: least loaded (GreenBalance off) */
    uint32_t turn;       /* not packing: where the search for the least loaded begins */
    int64_t swept_at_us; /* who moves it on does the sweep */
    uint64_t top;        /* bit w: words[w] may have a bit set */
    uint64_t words[];
} gb_pick_table_t;

/* Bytes of a table with room for `size` members; a multiple of 64. */
size_t gb_pick_bytes(uint32_t size);

/* Makes an empty table in zeroed memory of gb_pick_bytes(size). */
void gb_pick_init(gb_pick_table_t *table, uint32_t size);

gb_pick_record_t *gb_pick_records(gb_pick_table_t *table);
uint16_t *gb_pick_order(gb_pick_table_t *table);
uint8_t *gb_pick_lbsets(gb_pick_table_t *table);

/* Puts a member at the end of the order, its gate open; it serves from the next sweep
 * on.  `slot` is the member's index, `capacity` is brought into 1..65535.  Returns the
 * position, or GB_NO_INDEX when the table is full.  Any process, lock-free; the caller
 * sees to it that a slot is appended once. */
uint32_t gb_pick_append(gb_pick_table_t *table, uint16_t slot, uint32_t capacity,
                        uint8_t lbset);

/* The record at a position, read in one piece; position < table->used. */
gb_pick_record_t gb_pick_read(gb_pick_table_t *table, uint32_t position);

/* Finds the position that gets the next request, or GB_NO_INDEX when none is eligible.
 * Packing: the first with room; when all are full, the least loaded for its capacity.
 * Not packing: the least loaded for its capacity; among equals the turn goes round.
 * Skips positions in `avoid` (may be NULL; `avoid_count` positions that were tried and
 * found unusable).  Any thread of any process; lock-free. */
uint32_t gb_pick_find(gb_pick_table_t *table, const uint32_t *avoid,
                      uint32_t avoid_count);

/* Finds the first position with room and counts a request in there, never beyond the
 * capacity; GB_NO_INDEX when there is no room.  Packing or not.  `avoid` as above.  Any
 * thread of any process; lock-free. */
uint32_t gb_pick_take(gb_pick_table_t *table, const uint32_t *avoid,
                      uint32_t avoid_count);

/* Counts a request in or out at a position.  enter returns the count after it; leave
 * never goes below 0.  Any thread of any process; lock-free. */
uint32_t gb_pick_enter(gb_pick_table_t *table, uint32_t position);
void gb_pick_leave(gb_pick_table_t *table, uint32_t position);

/* Changes the count of a position by `by`, not below 0: gives back what a dead process
 * had in flight, or takes out drift.  Any process; lock-free. */
void gb_pick_correct(gb_pick_table_t *table, uint32_t position, int64_t by);

/* The gate at a position, in one order with every enter and set_gate: whoever counts
 * first and then reads the gate open is seen by a keeper that closes the gate first and
 * then reads the counts. */
uint8_t gb_pick_gate(gb_pick_table_t *table, uint32_t position);

/* Takes a member that was found unusable out of the choice until the next sweep. */
void gb_pick_bar(gb_pick_table_t *table, uint32_t position);

/* Is a sweep due (older than `every_us`), and is the caller the one to do it?
 * At most one caller gets true for each interval. */
bool gb_pick_sweep_due(gb_pick_table_t *table, int64_t every_us, int64_t now_us);

/* Decides which members serve, as stock httpd does: lbsets ascend; in the first set
 * that can serve at all: its usable members, one spare for each that is unusable or
 * draining, else its standbys.  A member whose gate is closed because its machine is
 * asleep on purpose (`asleep[position]`) calls no spare.  Sets eligible and all bits
 * anew.  `use[position]` are GB_USE_* bits. */
void gb_pick_sweep(gb_pick_table_t *table, const uint8_t *use, const uint8_t *asleep);

/* Sets a gate and repairs the position's bit.  Keeper only. */
void gb_pick_set_gate(gb_pick_table_t *table, uint32_t position, uint8_t gate);

/* Sets the capacity in force (brought into 1..65535) and repairs the position's bit.
 * More requests than that may be in flight: they end as they will, and no further one
 * comes until there is room.  Keeper only; lock-free. */
void gb_pick_set_capacity(gb_pick_table_t *table, uint32_t position, uint32_t capacity);

#endif /* GB_PICK_H */
