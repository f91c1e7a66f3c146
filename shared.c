/* SPDX-License-Identifier: Apache-2.0
 *
 * shared.c - the segment that parent, children and keeper share: layout and slots.
 *
 * It is anonymous and lives in the process pool, so it survives graceful restarts, and
 * draining children of the old generation go on counting in the same cells.  It is
 * sized once, at the start; pages that are never written cost nothing.
 */
#include "mod_greenbalance.h"

#include "apr_shm.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define SEGMENT_KEY "mgb_segment"
#define LINE_BYTES  ((size_t)64) /* of the processors' caches */

/* Hands out parts of the segment, each on cache lines of its own. */
static size_t part(size_t *offset, size_t bytes)
{
    size_t at = *offset;

    *offset = (at + bytes + LINE_BYTES - 1) & ~(LINE_BYTES - 1);
    return at;
}

/* APR keeps a word of its own before what it gives: the next line is the first whole
 * one. */
static char *first_line(void *address)
{
    uintptr_t at = (uintptr_t)address;

    return (char *)address + (((at + LINE_BYTES - 1) & ~(LINE_BYTES - 1)) - at);
}

typedef struct layout_t {
    size_t header, balancers, minds, machines, members, cells, processes, rows, events,
        queue, places, seconds, minutes, member_minutes, tables, total, table_bytes;
} layout_t;

static layout_t layout_of(uint32_t balancers, uint32_t members, uint32_t processes,
                          uint32_t places)
{
    layout_t l;
    size_t at = 0;

    l.table_bytes = gb_pick_bytes(members);
    l.header = part(&at, sizeof(mgb_header_t));
    l.balancers = part(&at, balancers * sizeof(mgb_balancer_shared_t));
    l.minds = part(&at, balancers * sizeof(mgb_mind_t));
    l.machines = part(&at, members * sizeof(mgb_machine_t));
    l.members = part(&at, members * sizeof(mgb_member_t));
    l.cells = part(&at, members * sizeof(gb_cell_t));
    l.processes = part(&at, processes * sizeof(mgb_process_t));
    l.rows = part(&at, (size_t)processes * members * sizeof(gb_row_cell_t));
    l.events = part(&at, MGB_EVENTS * sizeof(mgb_event_t));
    l.queue = part(&at, sizeof(gb_queue_t));
    l.places = part(&at, places * sizeof(gb_place_t));
    l.seconds = part(&at, (size_t)balancers * GB_PAST_SECONDS * sizeof(gb_past_t));
    l.minutes = part(&at, (size_t)balancers * GB_PAST_MINUTES * sizeof(gb_past_t));
    l.member_minutes =
        part(&at, (size_t)members * GB_PAST_MINUTES * sizeof(gb_member_past_t));
    l.tables = part(&at, balancers * l.table_bytes);
    l.total = at;
    return l;
}

static void point(mgb_shared_t *sh, char *base, const layout_t *l)
{
    sh->header = (mgb_header_t *)(base + l->header);
    sh->balancers = (mgb_balancer_shared_t *)(base + l->balancers);
    sh->minds = (mgb_mind_t *)(base + l->minds);
    sh->machines = (mgb_machine_t *)(base + l->machines);
    sh->members = (mgb_member_t *)(base + l->members);
    sh->cells = (gb_cell_t *)(base + l->cells);
    sh->processes = (mgb_process_t *)(base + l->processes);
    sh->rows = (gb_row_cell_t *)(base + l->rows);
    sh->events = (mgb_event_t *)(base + l->events);
    sh->queue = (gb_queue_t *)(base + l->queue);
    sh->places = (gb_place_t *)(base + l->places);
    sh->seconds = (gb_past_t *)(base + l->seconds);
    sh->minutes = (gb_past_t *)(base + l->minutes);
    sh->member_minutes = (gb_member_past_t *)(base + l->member_minutes);
    sh->tables = base + l->tables;
    sh->table_bytes = l->table_bytes;
}

static apr_status_t segment_make(mgb_shared_t **shared, server_rec *s,
                                 uint32_t balancers, uint32_t members,
                                 uint32_t processes, uint32_t places)
{
    layout_t l = layout_of(balancers, members, processes, places);
    apr_pool_t *p = s->process->pool;
    mgb_shared_t *sh = apr_pcalloc(p, sizeof(*sh));
    apr_shm_t *shm;
    /* Anonymous shared memory comes zeroed; writing zeros would make it all resident.
     */
    apr_status_t rv = apr_shm_create(&shm, l.total + LINE_BYTES, NULL, p);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     GBLOGNO(0201) "no shared memory of %" APR_SIZE_T_FMT
                                   " bytes: lower GreenMembers (now %u)",
                     l.total, members);
        return rv;
    }
    point(sh, first_line(apr_shm_baseaddr_get(shm)), &l);
    sh->header->magic = MGB_MAGIC;
    sh->header->layout = MGB_LAYOUT;
    sh->header->size_bytes = l.total;
    sh->header->balancers_room = balancers;
    sh->header->machines_room = members;
    sh->header->members_room = members;
    sh->header->processes_room = processes;
    sh->header->places_room = places;
    sh->queue->room = places;
    for (uint32_t i = 0; i < balancers; i++) {
        gb_pick_init(MGB_TABLE(sh, i), members);
    }
    /* The key is copied: this code may be mapped elsewhere after a restart. */
    apr_pool_userdata_set(sh, SEGMENT_KEY, NULL, p);
    *shared = sh;
    return APR_SUCCESS;
}

static bool layout_fits(const mgb_header_t *header)
{
    return header->magic == MGB_MAGIC && header->layout == MGB_LAYOUT &&
           header->size_bytes == layout_of(header->balancers_room, header->members_room,
                                           header->processes_room, header->places_room)
                                     .total;
}

apr_status_t mgb_shared_attach(mgb_shared_t **shared, server_rec *s, uint32_t balancers,
                               uint32_t members_room, uint32_t processes,
                               uint32_t places)
{
    void *found = NULL;

    apr_pool_userdata_get(&found, SEGMENT_KEY, s->process->pool);
    if (!found) {
        return segment_make(shared, s, balancers, members_room, processes, places);
    }
    *shared = found;
    if (!layout_fits((*shared)->header)) {
        /* The module's file was replaced by another version under a running httpd. */
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     GBLOGNO(0202) "the shared memory is of another version of "
                                   "mod_greenbalance: stop and start httpd");
        return APR_EMISMATCH;
    }
    /* Without GreenMembers the room wanted follows the members, and a full one is told.
     */
    if (mgb_config_main(s)->members_room &&
        (*shared)->header->members_room != members_room) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            GBLOGNO(0203) "GreenMembers: room for %u members stays until httpd "
                          "is stopped and started (wanted: %u)",
            (*shared)->header->members_room, members_room);
    }
    return APR_SUCCESS;
}

mgb_shared_t *mgb_shared_existing(server_rec *s)
{
    void *found = NULL;

    apr_pool_userdata_get(&found, SEGMENT_KEY, s->process->pool);
    return found;
}

/* One claimer at a time, by compare-and-swap of its pid.  It is tried only, never
 * waited for on the request path: who does not get it comes again with the next
 * request.  The lock of a process that was killed is taken over. */
static bool claim_lock(mgb_header_t *header)
{
    uint32_t me = (uint32_t)getpid(), holder = 0;

    for (int tries = 0; tries < 2; tries++) {
        if (__atomic_compare_exchange_n(&header->claim_lock, &holder, me, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return true;
        }
        if (kill((pid_t)holder, 0) == 0 || errno != ESRCH) {
            return false;
        }
    }
    return false;
}

static void claim_unlock(mgb_header_t *header)
{
    __atomic_store_n(&header->claim_lock, 0, __ATOMIC_RELEASE);
}

/* A slot of a member that is gone may be given to another one only when no child is
 * left that still knows it by its old name. */
static bool generation_gone(const mgb_shared_t *sh, uint32_t generation)
{
    for (uint32_t i = 0; i < sh->header->processes_room; i++) {
        const mgb_process_t *process = &sh->processes[i];

        if (__atomic_load_n(&process->pid, __ATOMIC_ACQUIRE) != 0 &&
            process->generation <= generation) {
            return false;
        }
    }
    return true;
}

static bool slot_reusable(const mgb_shared_t *sh, uint32_t used, uint32_t generation)
{
    return used == MGB_SLOT_FREE || used == MGB_SLOT_CLAIMED ||
           (used == MGB_SLOT_GONE && generation_gone(sh, generation));
}

uint32_t mgb_shared_claim_balancer(mgb_shared_t *sh, const char *key, const char *name)
{
    uint32_t free_slot = GB_NO_INDEX;

    if (strlen(key) >= MGB_KEY_BYTES) {
        return GB_NO_INDEX;
    }
    for (uint32_t i = 0; i < sh->header->balancers_room; i++) {
        mgb_balancer_shared_t *b = &sh->balancers[i];

        if ((b->used == MGB_SLOT_LIVE || b->used == MGB_SLOT_GONE) &&
            strcmp(b->key, key) == 0) {
            b->used = MGB_SLOT_LIVE;
            return i;
        }
        if (free_slot == GB_NO_INDEX && slot_reusable(sh, b->used, b->generation)) {
            free_slot = i;
        }
    }
    if (free_slot != GB_NO_INDEX) {
        mgb_balancer_shared_t *b = &sh->balancers[free_slot];

        if (b->used != MGB_SLOT_FREE) { /* else it is zero, and not in use as memory */
            memset(&sh->minds[free_slot], 0, sizeof(mgb_mind_t));
        }
        memset(b, 0, sizeof(*b));
        memset(MGB_TABLE(sh, free_slot), 0, sh->table_bytes);
        gb_pick_init(MGB_TABLE(sh, free_slot), sh->header->members_room);
        apr_cpystrn(b->key, key, sizeof(b->key));
        apr_cpystrn(b->name, name, sizeof(b->name));
        gb_policy_init(&b->pool.memory);
        b->used = MGB_SLOT_LIVE;
    }
    return free_slot;
}

/* Slots that were never used are not even looked at: reading them would make their
 * pages resident.  Called by the one that may claim. */
static uint32_t next_slot(uint32_t *top, uint32_t room)
{
    uint32_t slot = *top;

    if (slot >= room) {
        return GB_NO_INDEX;
    }
    __atomic_store_n(top, slot + 1, __ATOMIC_RELEASE);
    return slot;
}

uint32_t mgb_shared_claim_machine(mgb_shared_t *sh, const char *key, const char *name,
                                  int64_t first_guess_us, bool *is_new)
{
    uint32_t free_slot = GB_NO_INDEX;

    *is_new = false;
    if (strlen(key) >= MGB_KEY_BYTES) {
        return GB_NO_INDEX; /* cut short it could be another machine's */
    }
    for (uint32_t i = 0; i < sh->header->machines_top; i++) {
        mgb_machine_t *m = &sh->machines[i];

        if ((m->used == MGB_SLOT_LIVE || m->used == MGB_SLOT_GONE) &&
            strcmp(m->key, key) == 0) {
            m->used = MGB_SLOT_LIVE;
            m->m.boot.first_guess_us = first_guess_us;
            return i;
        }
        if (free_slot == GB_NO_INDEX && slot_reusable(sh, m->used, m->generation)) {
            free_slot = i;
        }
    }
    if (free_slot == GB_NO_INDEX) {
        free_slot = next_slot(&sh->header->machines_top, sh->header->machines_room);
    }
    if (free_slot != GB_NO_INDEX) {
        mgb_machine_t *m = &sh->machines[free_slot];

        memset(m, 0, sizeof(*m));
        apr_cpystrn(m->key, key, sizeof(m->key));
        apr_cpystrn(m->name, name, sizeof(m->name));
        gb_state_init(&m->m, first_guess_us, mgb_now_us());
        m->used = MGB_SLOT_LIVE;
        *is_new = true;
    }
    return free_slot;
}

static uint32_t member_find(const mgb_shared_t *sh, uint32_t balancer, const char *name,
                            uint32_t *free_slot)
{
    *free_slot = GB_NO_INDEX;
    for (uint32_t i = 0; i < sh->header->members_top; i++) {
        const mgb_member_t *m = &sh->members[i];
        uint32_t used = __atomic_load_n(&m->used, __ATOMIC_ACQUIRE);

        if ((used == MGB_SLOT_LIVE || used == MGB_SLOT_GONE) &&
            m->balancer == balancer && strcmp(m->name, name) == 0) {
            return i;
        }
        if (*free_slot == GB_NO_INDEX && slot_reusable(sh, used, m->generation)) {
            *free_slot = i;
        }
    }
    return GB_NO_INDEX;
}

static void member_make(mgb_shared_t *sh, uint32_t slot, uint32_t balancer,
                        const char *name)
{
    mgb_member_t *m = &sh->members[slot];

    __atomic_store_n(&m->used, MGB_SLOT_CLAIMED, __ATOMIC_RELEASE);
    memset((char *)m + sizeof(m->used), 0, sizeof(*m) - sizeof(m->used));
    memset(&sh->cells[slot], 0, sizeof(sh->cells[slot]));
    m->balancer = balancer;
    m->machine = GB_NO_INDEX;
    m->position = GB_NO_INDEX;
    m->generation = m->since = sh->header->generation;
    apr_cpystrn(m->name, name, sizeof(m->name));
    __atomic_store_n(&m->used, MGB_SLOT_LIVE, __ATOMIC_RELEASE);
}

/* One that vanished keeps its machine while it is gone, for requests in flight through
 * it; when it comes back that slot is another machine's perhaps. */
static void member_revive(mgb_shared_t *sh, uint32_t slot)
{
    mgb_member_t *m = &sh->members[slot];

    if (m->used == MGB_SLOT_GONE) {
        m->machine = GB_NO_INDEX;
        m->generation = m->since = sh->header->generation;
        __atomic_store_n(&m->used, MGB_SLOT_LIVE, __ATOMIC_RELEASE);
    }
}

uint32_t mgb_shared_claim_member(mgb_shared_t *sh, uint32_t balancer, const char *name,
                                 bool *is_new)
{
    uint32_t slot, free_slot;

    *is_new = false;
    if (strlen(name) >= GB_NAME_BYTES || !claim_lock(sh->header)) {
        return GB_NO_INDEX;
    }
    slot = member_find(sh, balancer, name, &free_slot);
    if (slot == GB_NO_INDEX && free_slot == GB_NO_INDEX) {
        free_slot = next_slot(&sh->header->members_top, sh->header->members_room);
    }
    if (slot == GB_NO_INDEX && free_slot != GB_NO_INDEX) {
        slot = free_slot;
        member_make(sh, slot, balancer, name);
        *is_new = true;
    }
    else if (slot != GB_NO_INDEX) {
        member_revive(sh, slot);
    }
    claim_unlock(sh->header);
    return slot;
}

uint32_t mgb_shared_in_flight(const mgb_shared_t *sh, uint32_t member)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < sh->header->processes_room; i++) {
        if (__atomic_load_n(&sh->processes[i].pid, __ATOMIC_SEQ_CST)) {
            sum +=
                __atomic_load_n(&MGB_ROW(sh, i, member)->in_flight, __ATOMIC_SEQ_CST);
        }
    }
    return sum;
}

void mgb_shared_note(mgb_shared_t *sh, uint32_t machine, uint32_t member,
                     uint32_t balancer, uint32_t from, uint32_t to, const char *reason)
{
    uint64_t next = sh->header->events_next;
    mgb_event_t *event = &sh->events[next % MGB_EVENTS];

    event->at = mgb_wall_us();
    event->machine = machine;
    event->member = member;
    event->balancer = balancer;
    event->from = from;
    event->to = to;
    apr_cpystrn(event->reason, reason ? reason : "", sizeof(event->reason));
    /* Readers take what stands before events_next only. */
    __atomic_store_n(&sh->header->events_next, next + 1, __ATOMIC_RELEASE);
}
