/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_index.c - which entries may have an id: a hash table in memory.
 *
 * It is not in the file, because names are random: each would dirty a page of its own
 * in every commit.  It is made when the journal is opened, from rows that were opened
 * and are therefore right; an index on the disk that lost an id would let a write be
 * made twice.  A slot has 16 bytes, and at most half of them are used.
 */
#include "journal_private.h"

#define ROOM_FIRST 1024u

uint64_t mgb_index_hash(const uint8_t name[GB_RECORD_NAME_BYTES])
{
    uint64_t hash;

    memcpy(&hash, name, sizeof(hash)); /* an HMAC: as good as random */
    return hash;
}

static void insert(mgb_index_t *index, uint64_t hash, int64_t key)
{
    size_t at = hash & (index->room - 1);

    while (index->slots[at].key) {
        at = (at + 1) & (index->room - 1);
    }
    index->slots[at].hash = hash;
    index->slots[at].key = key;
    index->count++;
}

static bool grow(mgb_index_t *index)
{
    mgb_index_t grown = {NULL, index->room ? index->room * 2 : ROOM_FIRST, 0};

    grown.slots = calloc(grown.room, sizeof(*grown.slots));
    if (!grown.slots) {
        return false;
    }
    for (size_t i = 0; i < index->room; i++) {
        if (index->slots[i].key) {
            insert(&grown, index->slots[i].hash, index->slots[i].key);
        }
    }
    free(index->slots);
    *index = grown;
    return true;
}

bool mgb_index_add(mgb_index_t *index, uint64_t hash, int64_t key)
{
    if (2 * (index->count + 1) > index->room && !grow(index)) {
        return false;
    }
    insert(index, hash, key);
    return true;
}

int64_t mgb_index_next(const mgb_index_t *index, uint64_t hash, size_t *at)
{
    if (!index->room) {
        return 0;
    }
    /* `at` counts the slots that were looked at. */
    for (; *at < index->room; (*at)++) {
        size_t slot = (hash + *at) & (index->room - 1);

        if (!index->slots[slot].key) {
            return 0;
        }
        if (index->slots[slot].hash == hash) {
            (*at)++;
            return index->slots[slot].key;
        }
    }
    return 0;
}

/* Closes the gap: whoever stands behind it, and began before it, moves up (Knuth, The
 * Art of Computer Programming 3, section 6.4, algorithm R). */
static void close_gap(mgb_index_t *index, size_t gap)
{
    size_t mask = index->room - 1, at = gap;

    for (;;) {
        size_t home;

        at = (at + 1) & mask;
        if (!index->slots[at].key) {
            break;
        }
        home = index->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            index->slots[gap] = index->slots[at];
            gap = at;
        }
    }
    index->slots[gap].key = 0;
    index->count--;
}

void mgb_index_remove(mgb_index_t *index, uint64_t hash, int64_t key)
{
    for (size_t i = 0; i < index->room; i++) {
        size_t slot = (hash + i) & (index->room - 1);

        if (!index->slots[slot].key) {
            return;
        }
        if (index->slots[slot].hash == hash && index->slots[slot].key == key) {
            close_gap(index, slot);
            return;
        }
    }
}

void mgb_index_free(mgb_index_t *index)
{
    free(index->slots);
    memset(index, 0, sizeof(*index));
}
