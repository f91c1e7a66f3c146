/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_fleet_turn.c - whose turn it is to be woken, and whose to be let to sleep.
 *
 * Watts come first: the thriftiest is woken first and sleeps last.  Among equals those
 * that boot quickly are woken and are let to sleep, since they are back soonest; then
 * those that have most cycles left today and fewest in all, so that wear is spread; and
 * of what is still equal the first in the balancer's order is woken and the last
 * sleeps. docs/policy.md, "Which servers".
 */
#include "gb_fleet_private.h"

#define WEIGHED_FOR_US (60 * GB_US_PER_S) /* today's cycles grow fewer alone */
#define SLOWNESS_MOST  8
#define QUICK_US       (10 * GB_US_PER_S) /* who boots within it is as quick as any */
#define BOOT_MOST_US   (7 * 86400 * GB_US_PER_S) /* what was written may be anything */

/* Boot times within half of each other are the same: they are measured ones. */
#define SLOWER(us) ((us) + (us) / 2)

void gb_fleet_turn_begin(gb_line_t *line, const gb_span_t *span, bool sleeps,
                         bool hurries)
{
    line->from = span->from;
    line->count = 0;
    line->sleeps = sleeps;
    line->hurries = hurries;
    line->is_ready = false;
}

static void weigh(const gb_tick_t *t, gb_door_t *door)
{
    const gb_machine_t *machine = &t->fleet->machines[door->machine];
    const gb_rules_t *rules = &t->fleet->rules[door->machine];
    gb_turn_t *turn = &door->turn;
    int64_t boot_us, now_us = t->now_us;
    uint32_t cycles, most;

    if (turn->weighed_at_us != 0 && turn->entered_at_us == machine->entered_at_us &&
        turn->boots == machine->boot.count && turn->weighed_at_us <= now_us &&
        now_us - turn->weighed_at_us < WEIGHED_FOR_US) {
        return;
    }
    cycles = gb_state_cycles_today(machine, now_us);
    most =
        rules->cycles_per_day < GB_CYCLES_KEPT ? rules->cycles_per_day : GB_CYCLES_KEPT;
    turn->weighed_at_us = now_us;
    turn->entered_at_us = machine->entered_at_us;
    turn->boots = machine->boot.count;
    turn->cycles_left = cycles < most ? most - cycles : 0;
    turn->sleeps = machine->sleeps;
    boot_us = gb_fleet_ready_us(t->fleet, door->machine, 500);
    turn->boot_us = boot_us < 0 ? 0 : boot_us > BOOT_MOST_US ? BOOT_MOST_US : boot_us;
}

bool gb_fleet_turn_waits(const gb_tick_t *t, const gb_door_t *door)
{
    const gb_machine_t *machine = &t->fleet->machines[door->machine];

    return machine->state == GB_ST_ON && machine->wish == GB_WISH_AUTO &&
           t->now_us - machine->entered_at_us <
               t->fleet->rules[door->machine].awake_dwell_us &&
           door->turn.cycles_left != 0;
}

/* An equal one goes in its place only if that is sooner by half of the dwell: servers
 * that came at about the same time go by their order. */
static bool dwells_on(const gb_tick_t *t, const gb_door_t *door)
{
    int64_t awake_us = t->now_us - t->fleet->machines[door->machine].entered_at_us;

    return gb_fleet_turn_waits(t, door) &&
           awake_us < t->fleet->rules[door->machine].awake_dwell_us / 2;
}

void gb_fleet_turn_add(gb_tick_t *t, gb_line_t *line, gb_door_t *door)
{
    gb_fleet_t *fleet = t->fleet;

    weigh(t, door);
    if (line->sleeps && door->turn.cycles_left == 0) {
        return;
    }
    door->turn.dwells = line->sleeps && dwells_on(t, door);
    fleet->doors[line->from + line->count++].line = (uint32_t)(door - fleet->doors);
}

/* -1, 0, 1 as a sorts before, with or after b. */
static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int compare_count(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* By what makes servers unlike each other; negative: a is woken before b. */
static int compare_kind(const gb_line_t *line, const gb_door_t *a, const gb_door_t *b)
{
    int lbset = compare_count(a->lbset, b->lbset);
    int watts = compare(a->watts_per_capacity, b->watts_per_capacity);
    int slow = compare_count(a->turn.slowness, b->turn.slowness);

    if (lbset != 0) {
        return lbset;
    }
    if (line->hurries && slow != 0) {
        return slow;
    }
    if (watts != 0) {
        return watts;
    }
    /* The quick ones are both woken and let to sleep first. */
    return line->sleeps ? -slow : slow;
}

/* Does the turn of a come before that of b?  Ranks last: no two are the same. */
static bool goes_before(const gb_line_t *line, const gb_door_t *a, const gb_door_t *b)
{
    int kind = compare_kind(line, a, b);
    int wear = compare_count(b->turn.cycles_left, a->turn.cycles_left);

    if (kind != 0) {
        return line->sleeps ? kind > 0 : kind < 0;
    }
    if (a->turn.dwells != b->turn.dwells) {
        return b->turn.dwells;
    }
    if (wear == 0) {
        wear = compare_count(a->turn.sleeps, b->turn.sleeps);
    }
    if (wear != 0) {
        return wear < 0;
    }
    if (a->rank != b->rank) {
        return line->sleeps ? a->rank > b->rank : a->rank < b->rank;
    }
    return line->sleeps ? a > b : a < b;
}

static gb_door_t *at(const gb_tick_t *t, const gb_line_t *line, uint32_t i)
{
    return &t->fleet->doors[t->fleet->doors[line->from + i].line];
}

/* Moves what stands at `root` down to its place; the first in turn is at 0. */
static void sift(gb_tick_t *t, const gb_line_t *line, uint32_t root)
{
    gb_door_t *doors = t->fleet->doors;
    uint32_t moved = doors[line->from + root].line;

    for (;;) {
        uint32_t child = 2 * root + 1;

        if (child + 1 < line->count &&
            goes_before(line, at(t, line, child + 1), at(t, line, child))) {
            child++;
        }
        if (child >= line->count ||
            !goes_before(line, at(t, line, child), &doors[moved])) {
            break;
        }
        doors[line->from + root].line = doors[line->from + child].line;
        root = child;
    }
    doors[line->from + root].line = moved;
}

/* How much slower it boots than the quickest of the line. */
static uint32_t slowness_of(int64_t boot_us, int64_t quickest_us)
{
    uint32_t slowness = 0;

    while (slowness < SLOWNESS_MOST && boot_us > SLOWER(quickest_us)) {
        boot_us = boot_us / 3 * 2;
        slowness++;
    }
    return slowness;
}

static void make_ready(gb_tick_t *t, gb_line_t *line)
{
    int64_t quickest_us = GB_NEVER_US;
    uint32_t i;

    for (i = 0; i < line->count; i++) {
        int64_t boot_us = at(t, line, i)->turn.boot_us;

        quickest_us = boot_us < quickest_us ? boot_us : quickest_us;
    }
    quickest_us = quickest_us > QUICK_US ? quickest_us : QUICK_US;
    for (i = 0; i < line->count; i++) {
        gb_turn_t *turn = &at(t, line, i)->turn;

        turn->slowness = slowness_of(turn->boot_us, quickest_us);
    }
    for (i = line->count / 2; i-- > 0;) {
        sift(t, line, i);
    }
    line->is_ready = true;
}

gb_door_t *gb_fleet_turn_next(gb_tick_t *t, gb_line_t *line)
{
    gb_door_t *next;

    if (!line->is_ready) {
        make_ready(t, line);
    }
    if (line->count == 0) {
        return NULL;
    }
    next = at(t, line, 0);
    line->count--;
    t->fleet->doors[line->from].line = t->fleet->doors[line->from + line->count].line;
    if (line->count != 0) {
        sift(t, line, 0);
    }
    return next;
}
