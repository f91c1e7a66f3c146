/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_pick.c - the choice of a member: compact records under a two-level bitmap.
 *
 * Worked example, three members of capacity 2, all open and eligible, packing:
 *
 *   request   counts   bits (member 0 on the left)   chosen
 *   1st       0 0 0    1 1 1                          0
 *   2nd       1 0 0    1 1 1                          0, now full: bit cleared
 *   3rd       2 0 0    0 1 1                          1
 *   one ends  1 1 0    1 1 1                          (0 has room: bit set again)
 *   4th       1 1 0    1 1 1                          0
 *
 * Order of memory: a count and a gate are changed by sequentially consistent
 * operations, and so are the bits.  Whoever clears a bit reads the record again
 * afterwards; whoever gives room changes the record first and looks at the bit
 * afterwards.  One of the two sees the other, so that no bit stays wrong but for a
 * process killed in between, and the sweep puts that right.
 */
#include "gb_pick.h"

#define WORD_BITS 64u

static uint32_t words_of(uint32_t size)
{
    return (size + WORD_BITS - 1) / WORD_BITS;
}

size_t gb_pick_bytes(uint32_t size)
{
    size_t bytes = sizeof(gb_pick_table_t);

    if (size > GB_MEMBERS_MAX) {
        size = GB_MEMBERS_MAX;
    }
    bytes += words_of(size) * sizeof(uint64_t);
    bytes += size * (sizeof(gb_pick_record_t) + sizeof(uint16_t) + sizeof(uint8_t));
    return (bytes + 63) / 64 * 64;
}

void gb_pick_init(gb_pick_table_t *table, uint32_t size)
{
    table->size = size > GB_MEMBERS_MAX ? GB_MEMBERS_MAX : size;
    table->packing = 1;
}

gb_pick_record_t *gb_pick_records(gb_pick_table_t *table)
{
    return (gb_pick_record_t *)(void *)(table->words + words_of(table->size));
}

uint16_t *gb_pick_order(gb_pick_table_t *table)
{
    return (uint16_t *)(void *)(gb_pick_records(table) + table->size);
}

uint8_t *gb_pick_lbsets(gb_pick_table_t *table)
{
    return (uint8_t *)(void *)(gb_pick_order(table) + table->size);
}

/* Positions in use; never more than there is room for, whatever the memory says. */
static uint32_t used_of(const gb_pick_table_t *table)
{
    uint32_t used = __atomic_load_n(&table->used, __ATOMIC_ACQUIRE);

    return used < table->size ? used : table->size;
}

static gb_pick_record_t read_record(const gb_pick_record_t *record)
{
    gb_pick_record_t copy;

    __atomic_load(record, &copy, __ATOMIC_SEQ_CST);
    return copy;
}

static bool serves(const gb_pick_record_t *record)
{
    return record->eligible && record->gate == GB_GATE_OPEN;
}

static bool has_room(const gb_pick_record_t *record)
{
    return serves(record) && record->in_flight < record->capacity;
}

static void set_bit(gb_pick_table_t *table, uint32_t position)
{
    uint32_t w = position / WORD_BITS;
    uint64_t bit = UINT64_C(1) << (position % WORD_BITS);
    uint64_t top_bit = UINT64_C(1) << w;

    if (!(__atomic_load_n(&table->words[w], __ATOMIC_SEQ_CST) & bit)) {
        __atomic_fetch_or(&table->words[w], bit, __ATOMIC_SEQ_CST);
    }
    if (!(__atomic_load_n(&table->top, __ATOMIC_SEQ_CST) & top_bit)) {
        __atomic_fetch_or(&table->top, top_bit, __ATOMIC_SEQ_CST);
    }
}

static void clear_bit(gb_pick_table_t *table, uint32_t position)
{
    uint32_t w = position / WORD_BITS;
    uint64_t bit = UINT64_C(1) << (position % WORD_BITS);
    gb_pick_record_t record;

    if (__atomic_load_n(&table->words[w], __ATOMIC_SEQ_CST) & bit) {
        __atomic_fetch_and(&table->words[w], ~bit, __ATOMIC_SEQ_CST);
    }
    record = read_record(gb_pick_records(table) + position);
    if (has_room(&record)) {
        set_bit(table, position); /* room was given in the meantime */
    }
}

static void clear_top(gb_pick_table_t *table, uint32_t w)
{
    uint64_t top_bit = UINT64_C(1) << w;

    __atomic_fetch_and(&table->top, ~top_bit, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&table->words[w], __ATOMIC_SEQ_CST)) {
        __atomic_fetch_or(&table->top, top_bit, __ATOMIC_SEQ_CST);
    }
}

static void repair_bit(gb_pick_table_t *table, uint32_t position)
{
    gb_pick_record_t record = read_record(gb_pick_records(table) + position);

    if (has_room(&record)) {
        set_bit(table, position);
    }
    else {
        clear_bit(table, position);
    }
}

static uint16_t bring_into_range(uint32_t capacity)
{
    return capacity < 1 ? 1 : capacity > UINT16_MAX ? UINT16_MAX : (uint16_t)capacity;
}

uint32_t gb_pick_append(gb_pick_table_t *table, uint16_t slot, uint32_t capacity,
                        uint8_t lbset)
{
    uint32_t position = __atomic_load_n(&table->used, __ATOMIC_SEQ_CST);
    gb_pick_record_t *record;

    do {
        if (position >= table->size) {
            return GB_NO_INDEX;
        }
    } while (!__atomic_compare_exchange_n(&table->used, &position, position + 1, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    /* Until the gate is open, last, nobody picks the half-written position. */
    record = gb_pick_records(table) + position;
    __atomic_store_n(&gb_pick_order(table)[position], slot, __ATOMIC_RELAXED);
    __atomic_store_n(&gb_pick_lbsets(table)[position], lbset, __ATOMIC_RELAXED);
    __atomic_store_n(&record->in_flight, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&record->eligible, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&record->capacity, bring_into_range(capacity), __ATOMIC_RELAXED);
    __atomic_store_n(&record->gate, GB_GATE_OPEN, __ATOMIC_SEQ_CST);
    return position;
}

gb_pick_record_t gb_pick_read(gb_pick_table_t *table, uint32_t position)
{
    return read_record(gb_pick_records(table) + position);
}

static bool avoided(uint32_t position, const uint32_t *avoid, uint32_t avoid_count)
{
    uint32_t i;

    for (i = 0; i < avoid_count; i++) {
        if (avoid[i] == position) {
            return true;
        }
    }
    return false;
}

/* The first position with room, or GB_NO_INDEX. */
static uint32_t find_first(gb_pick_table_t *table, const uint32_t *avoid,
                           uint32_t avoid_count)
{
    const gb_pick_record_t *records = gb_pick_records(table);
    uint32_t used = used_of(table);
    uint64_t top = __atomic_load_n(&table->top, __ATOMIC_SEQ_CST);

    for (; top; top &= top - 1) {
        uint32_t w = (uint32_t)__builtin_ctzll(top);
        uint64_t word;

        if (w >= words_of(used)) {
            break;
        }
        word = __atomic_load_n(&table->words[w], __ATOMIC_SEQ_CST);
        if (!word) {
            clear_top(table, w);
        }
        for (; word; word &= word - 1) {
            uint32_t position = w * WORD_BITS + (uint32_t)__builtin_ctzll(word);
            gb_pick_record_t record;

            if (position >= used) {
                break;
            }
            record = read_record(&records[position]);
            if (!has_room(&record)) {
                clear_bit(table, position);
            }
            else if (!avoided(position, avoid, avoid_count)) {
                return position;
            }
        }
    }
    return GB_NO_INDEX;
}

/* The least loaded for its capacity from `start` on, round; a / b < c / d is compared
 * as a * d < c * b, so that nothing is divided or rounded. */
static uint32_t find_least(gb_pick_table_t *table, uint32_t start,
                           const uint32_t *avoid, uint32_t avoid_count)
{
    const gb_pick_record_t *records = gb_pick_records(table);
    uint32_t used = used_of(table);
    uint32_t best = GB_NO_INDEX;
    uint64_t best_flight = 0;
    uint64_t best_capacity = 1;
    uint32_t i;

    for (i = 0; i < used; i++) {
        uint32_t position = start + i < used ? start + i : start + i - used;
        gb_pick_record_t record = read_record(&records[position]);
        uint64_t capacity = record.capacity ? record.capacity : 1;

        if (!serves(&record) || avoided(position, avoid, avoid_count)) {
            continue;
        }
        if (best == GB_NO_INDEX ||
            record.in_flight * best_capacity < best_flight * capacity) {
            best = position;
            best_flight = record.in_flight;
            best_capacity = capacity;
        }
    }
    return best;
}

uint32_t gb_pick_find(gb_pick_table_t *table, const uint32_t *avoid,
                      uint32_t avoid_count)
{
    uint32_t used = used_of(table);
    uint32_t position;

    if (!__atomic_load_n(&table->packing, __ATOMIC_RELAXED)) {
        uint32_t turn = __atomic_fetch_add(&table->turn, 1, __ATOMIC_RELAXED);

        return find_least(table, used ? turn % used : 0, avoid, avoid_count);
    }
    position = find_first(table, avoid, avoid_count);
    return position != GB_NO_INDEX ? position
                                   : find_least(table, 0, avoid, avoid_count);
}

/* Counts one in if there is still room. */
static bool take_at(gb_pick_table_t *table, uint32_t position)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;
    gb_pick_record_t now = read_record(record);
    uint32_t count = now.in_flight;

    while (count < now.capacity) {
        if (__atomic_compare_exchange_n(&record->in_flight, &count, count + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            if (count + 1 >= now.capacity) {
                clear_bit(table, position);
            }
            return true;
        }
    }
    clear_bit(table, position);
    return false;
}

uint32_t gb_pick_take(gb_pick_table_t *table, const uint32_t *avoid,
                      uint32_t avoid_count)
{
    uint32_t position;

    do {
        position = find_first(table, avoid, avoid_count);
    } while (position != GB_NO_INDEX && !take_at(table, position));
    return position;
}

uint32_t gb_pick_enter(gb_pick_table_t *table, uint32_t position)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;
    uint32_t now = __atomic_add_fetch(&record->in_flight, 1, __ATOMIC_SEQ_CST);

    if (now >= __atomic_load_n(&record->capacity, __ATOMIC_RELAXED)) {
        clear_bit(table, position);
    }
    return now;
}

void gb_pick_leave(gb_pick_table_t *table, uint32_t position)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;
    gb_pick_record_t now;

    if (__atomic_fetch_sub(&record->in_flight, 1, __ATOMIC_SEQ_CST) == 0) {
        /* A process was killed between its two counts; drift is taken out later. */
        __atomic_fetch_add(&record->in_flight, 1, __ATOMIC_SEQ_CST);
    }
    now = read_record(record);
    if (has_room(&now)) {
        set_bit(table, position);
    }
}

void gb_pick_correct(gb_pick_table_t *table, uint32_t position, int64_t by)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;
    uint32_t old = __atomic_load_n(&record->in_flight, __ATOMIC_SEQ_CST);
    int64_t wanted;

    do {
        wanted = (int64_t)old + by;
        if (wanted < 0) {
            wanted = 0;
        }
        if (wanted > INT32_MAX) {
            wanted = INT32_MAX;
        }
    } while (!__atomic_compare_exchange_n(&record->in_flight, &old, (uint32_t)wanted,
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    repair_bit(table, position);
}

uint8_t gb_pick_gate(gb_pick_table_t *table, uint32_t position)
{
    return __atomic_load_n(&gb_pick_records(table)[position].gate, __ATOMIC_SEQ_CST);
}

void gb_pick_bar(gb_pick_table_t *table, uint32_t position)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;

    __atomic_store_n(&record->eligible, 0, __ATOMIC_SEQ_CST);
    repair_bit(table, position);
}

void gb_pick_set_gate(gb_pick_table_t *table, uint32_t position, uint8_t gate)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;

    __atomic_store_n(&record->gate, gate, __ATOMIC_SEQ_CST);
    repair_bit(table, position);
}

void gb_pick_set_capacity(gb_pick_table_t *table, uint32_t position, uint32_t capacity)
{
    gb_pick_record_t *record = gb_pick_records(table) + position;

    __atomic_store_n(&record->capacity, bring_into_range(capacity), __ATOMIC_SEQ_CST);
    repair_bit(table, position);
}

bool gb_pick_sweep_due(gb_pick_table_t *table, int64_t every_us, int64_t now_us)
{
    int64_t swept_at_us = __atomic_load_n(&table->swept_at_us, __ATOMIC_RELAXED);

    /* A time of the future (damage) counts as none. */
    if (swept_at_us <= now_us && now_us - swept_at_us < every_us && swept_at_us) {
        return false;
    }
    return __atomic_compare_exchange_n(&table->swept_at_us, &swept_at_us, now_us, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* What one lbset has to offer. */
typedef struct offer_t {
    uint32_t plain, spares, standbys;
    uint32_t missing; /* plain members that a spare may stand in for */
} offer_t;

static offer_t offer_of(gb_pick_table_t *table, const uint8_t *use,
                        const uint8_t *asleep, uint8_t lbset)
{
    const uint8_t *lbsets = gb_pick_lbsets(table);
    uint32_t used = used_of(table);
    offer_t offer = {0, 0, 0, 0};
    uint32_t i;

    for (i = 0; i < used; i++) {
        bool able = (use[i] & GB_USE_USABLE) && !(use[i] & GB_USE_DRAIN) &&
                    gb_pick_gate(table, i) == GB_GATE_OPEN;

        if (__atomic_load_n(&lbsets[i], __ATOMIC_RELAXED) != lbset) {
            continue;
        }
        if (use[i] & GB_USE_SPARE) {
            offer.spares += able;
        }
        else if (use[i] & GB_USE_STANDBY) {
            offer.standbys += able;
        }
        else if (able) {
            offer.plain++;
        }
        else if (!asleep[i]) {
            offer.missing++;
        }
    }
    return offer;
}

/* The lowest lbset not below `from` that has a member; 256: none. */
static uint32_t next_lbset(gb_pick_table_t *table, uint32_t from)
{
    const uint8_t *lbsets = gb_pick_lbsets(table);
    uint32_t used = used_of(table);
    uint32_t lowest = UINT8_MAX + 1;
    uint32_t i;

    for (i = 0; i < used && lowest > from; i++) {
        uint32_t lbset = __atomic_load_n(&lbsets[i], __ATOMIC_RELAXED);

        if (lbset >= from && lbset < lowest) {
            lowest = lbset;
        }
    }
    return lowest;
}

/* Makes the members of `lbset` that serve eligible, and no other (256: none at all). */
static void mark_eligible(gb_pick_table_t *table, const uint8_t *use, uint32_t lbset,
                          const offer_t *offer)
{
    gb_pick_record_t *records = gb_pick_records(table);
    const uint8_t *lbsets = gb_pick_lbsets(table);
    uint32_t used = used_of(table);
    uint32_t spares = offer->missing < offer->spares ? offer->missing : offer->spares;
    bool standbys = offer->plain == 0 && spares == 0;
    uint32_t i;

    for (i = 0; i < used; i++) {
        bool able = (use[i] & GB_USE_USABLE) && !(use[i] & GB_USE_DRAIN) &&
                    gb_pick_gate(table, i) == GB_GATE_OPEN &&
                    __atomic_load_n(&lbsets[i], __ATOMIC_RELAXED) == lbset;
        uint8_t eligible = able;

        if (able && (use[i] & GB_USE_SPARE)) {
            eligible = spares > 0;
            spares -= eligible;
        }
        else if (able && (use[i] & GB_USE_STANDBY)) {
            eligible = standbys;
        }
        if (__atomic_load_n(&records[i].eligible, __ATOMIC_RELAXED) != eligible) {
            __atomic_store_n(&records[i].eligible, eligible, __ATOMIC_SEQ_CST);
        }
        repair_bit(table, i);
    }
}

void gb_pick_sweep(gb_pick_table_t *table, const uint8_t *use, const uint8_t *asleep)
{
    offer_t offer = {0, 0, 0, 0};
    uint32_t lbset = next_lbset(table, 0);

    while (lbset <= UINT8_MAX) {
        offer = offer_of(table, use, asleep, (uint8_t)lbset);
        if (offer.plain || offer.standbys || (offer.spares && offer.missing)) {
            break;
        }
        lbset = next_lbset(table, lbset + 1);
    }
    mark_eligible(table, use, lbset, &offer);
}
