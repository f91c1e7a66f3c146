/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_queue.c - places, their words, and who is next.
 *
 * `waiting` is counted up before a word says WAITING, and down after it has ceased to:
 * it is never less than there are, so that nobody is overlooked.
 */
#include "gb_queue.h"

static uint32_t word_of(uint64_t ticket)
{
    return GB_PLACE_WAITING | ((uint32_t)(ticket & 0xffffffu) << 8);
}

static uint32_t top_of(const gb_queue_t *queue)
{
    uint32_t top = __atomic_load_n(&queue->top, __ATOMIC_ACQUIRE);

    return top < queue->room ? top : queue->room;
}

static void raise_top(gb_queue_t *queue, uint32_t top)
{
    uint32_t now = __atomic_load_n(&queue->top, __ATOMIC_RELAXED);

    while (now < top &&
           !__atomic_compare_exchange_n(&queue->top, &now, top, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
}

static bool count_up(gb_room_t *room, uint32_t most)
{
    uint32_t now = __atomic_load_n(&room->waiting, __ATOMIC_SEQ_CST);

    do {
        if (now >= most) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&room->waiting, &now, now + 1, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return true;
}

void gb_queue_uncount(gb_room_t *room)
{
    uint32_t now = __atomic_load_n(&room->waiting, __ATOMIC_SEQ_CST);

    while (now > 0 &&
           !__atomic_compare_exchange_n(&room->waiting, &now, now - 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

uint32_t gb_queue_join(gb_queue_t *queue, gb_place_t *places, gb_room_t *room,
                       const gb_waiter_t *waiter, uint32_t most, uint32_t *word)
{
    if (!count_up(room, most)) {
        return GB_NO_INDEX;
    }
    for (uint32_t i = 0; i < queue->room; i++) {
        gb_place_t *place = &places[i];
        uint32_t is_free = GB_PLACE_FREE;
        uint64_t ticket;

        if (__atomic_load_n(&place->word, __ATOMIC_RELAXED) != GB_PLACE_FREE ||
            !__atomic_compare_exchange_n(&place->word, &is_free, GB_PLACE_TAKEN, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            continue;
        }
        /* With the fence in read_waiting(): who reads one of the new values there sees
         * a word that has changed. */
        __atomic_thread_fence(__ATOMIC_RELEASE);
        ticket = __atomic_add_fetch(&queue->tickets, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&place->ticket, ticket, __ATOMIC_RELAXED);
        __atomic_store_n(&place->arrived_us, waiter->arrived_us, __ATOMIC_RELAXED);
        __atomic_store_n(&place->generation, waiter->generation, __ATOMIC_RELAXED);
        __atomic_store_n(&place->balancer, waiter->balancer, __ATOMIC_RELAXED);
        __atomic_store_n(&place->owner, waiter->process + 1, __ATOMIC_RELAXED);
        raise_top(queue, i + 1);
        *word = word_of(ticket);
        __atomic_store_n(&place->word, *word, __ATOMIC_SEQ_CST);
        return i;
    }
    gb_queue_uncount(room);
    return GB_NO_INDEX;
}

/* A copy that is whole: the word did not change while it was read. */
static bool read_waiting(const gb_place_t *place, uint32_t balancer, gb_place_t *copy)
{
    copy->word = __atomic_load_n(&place->word, __ATOMIC_SEQ_CST);
    if (gb_place_kind(copy->word) != GB_PLACE_WAITING ||
        __atomic_load_n(&place->balancer, __ATOMIC_RELAXED) != balancer) {
        return false;
    }
    copy->arrived_us = __atomic_load_n(&place->arrived_us, __ATOMIC_RELAXED);
    copy->ticket = __atomic_load_n(&place->ticket, __ATOMIC_RELAXED);
    copy->generation = __atomic_load_n(&place->generation, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&place->word, __ATOMIC_SEQ_CST) == copy->word;
}

static bool is_older(const gb_place_t *a, const gb_place_t *b)
{
    return a->arrived_us < b->arrived_us ||
           (a->arrived_us == b->arrived_us && a->ticket < b->ticket);
}

uint32_t gb_queue_next(const gb_queue_t *queue, const gb_place_t *places,
                       const gb_seek_t *seek, uint32_t *word)
{
    int64_t late_us = seek->late_us;
    uint32_t top = top_of(queue), found = GB_NO_INDEX;
    gb_place_t best = {.word = 0};
    bool best_late = true;

    for (uint32_t i = 0; i < top; i++) {
        gb_place_t place;
        bool late;

        if (!read_waiting(&places[i], seek->balancer, &place) ||
            place.generation < seek->generation) {
            continue;
        }
        late = late_us > 0 && seek->now_us - place.arrived_us >= late_us;
        if (found == GB_NO_INDEX || (best_late && !late && late_us > 0) ||
            (late == best_late && is_older(&place, &best))) {
            found = i;
            best = place;
            best_late = late;
        }
    }
    *word = best.word;
    return found;
}

int64_t gb_queue_patience_us(int64_t late_us, int64_t service_us)
{
    int64_t least_us = late_us / 2;
    int64_t left_us = late_us - late_us / 20 - (service_us > 0 ? service_us : 0);

    return left_us > least_us ? left_us : least_us;
}

bool gb_queue_settle(gb_place_t *place, gb_room_t *room, uint32_t word,
                     uint32_t position)
{
    uint32_t settled =
        position == GB_NO_INDEX ? GB_PLACE_REFUSED : GB_PLACE_GRANTED | position << 8;

    if (!__atomic_compare_exchange_n(&place->word, &word, settled, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        return false;
    }
    gb_queue_uncount(room);
    return true;
}

uint32_t gb_queue_leave(gb_place_t *place, gb_room_t *room)
{
    uint32_t word;

    /* Nobody's from here on, so that it is not reclaimed from the next one on it. */
    __atomic_store_n(&place->owner, 0, __ATOMIC_SEQ_CST);
    word = __atomic_exchange_n(&place->word, GB_PLACE_FREE, __ATOMIC_SEQ_CST);
    if (gb_place_kind(word) == GB_PLACE_WAITING) {
        gb_queue_uncount(room);
    }
    return word;
}

uint32_t gb_queue_reclaim(gb_queue_t *queue, gb_place_t *places, uint32_t process,
                          uint32_t from, gb_place_t *held)
{
    uint32_t top = top_of(queue);

    for (uint32_t i = from; i < top; i++) {
        gb_place_t *place = &places[i];
        uint32_t word = __atomic_load_n(&place->word, __ATOMIC_SEQ_CST);

        if (word == GB_PLACE_FREE ||
            __atomic_load_n(&place->owner, __ATOMIC_SEQ_CST) != process + 1) {
            continue;
        }
        held->balancer = __atomic_load_n(&place->balancer, __ATOMIC_RELAXED);
        held->owner = process + 1;
        held->arrived_us = __atomic_load_n(&place->arrived_us, __ATOMIC_RELAXED);
        held->ticket = __atomic_load_n(&place->ticket, __ATOMIC_RELAXED);
        __atomic_store_n(&place->owner, 0, __ATOMIC_SEQ_CST);
        held->word = __atomic_exchange_n(&place->word, GB_PLACE_FREE, __ATOMIC_SEQ_CST);
        return i;
    }
    return GB_NO_INDEX;
}

uint32_t gb_queue_count(const gb_queue_t *queue, const gb_place_t *places,
                        uint32_t balancer)
{
    uint32_t top = top_of(queue), count = 0;
    gb_place_t place;

    for (uint32_t i = 0; i < top; i++) {
        count += read_waiting(&places[i], balancer, &place);
    }
    return count;
}

void gb_queue_serve_ask(gb_room_t *room)
{
    __atomic_store_n(&room->again, 1, __ATOMIC_SEQ_CST);
}

bool gb_queue_serve_begin(gb_room_t *room, uint32_t me)
{
    uint32_t nobody = 0;

    if (!__atomic_load_n(&room->again, __ATOMIC_SEQ_CST) ||
        !__atomic_compare_exchange_n(&room->serving, &nobody, me, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return false;
    }
    __atomic_store_n(&room->again, 0, __ATOMIC_SEQ_CST);
    return true;
}

void gb_queue_serve_end(gb_room_t *room)
{
    __atomic_store_n(&room->serving, 0, __ATOMIC_SEQ_CST);
}
