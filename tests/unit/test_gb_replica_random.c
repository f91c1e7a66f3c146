/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_replica_random.c - random schedules of a small model: a keeper that follows
 * gb_replica.h, a journal that forgets what was not committed, three replicas that
 * execute a list.
 *
 * The applications are deterministic: whether one accepts an entry follows from the
 * entry and from how many it has.  Everything else is hostile: the keeper dies before,
 * between and after commits, replicas sleep, answer 503, 500 and 502, die before or
 * after they did it, and at L1 what was sent may arrive much later.  The operator gives
 * entries up, also while they are under way.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/gb_replica.h"

Suite *gb_replica_random_suite(void);

#define REPLICAS 3
#define WRITES   24
#define STEPS    100
#define S        GB_US_PER_S

typedef enum kind_e { APPEND, WHEN_EVEN, NEVER, PUT, KINDS } kind_e;

/* ------------------------------------------------------------------ a replica */

typedef struct app_t {
    uint64_t has[WRITES * 2 + 1]; /* entries in the order of their application */
    uint32_t count;
    uint32_t times[WRITES + 1]; /* how often each was applied */
    int answer[WRITES + 1];     /* L1: what it remembers; 0: nothing */
    uint64_t late;              /* L1: sent, and not arrived yet; 0: none */
} app_t;

/* ------------------------------------------------------------------ the keeper */

typedef struct journal_t {
    uint64_t head, settled;
    gb_verdict_state_e state[WRITES + 1];
    int status[WRITES + 1];
    gb_replica_t rows[REPLICAS]; /* of these cursor, sent, aside are kept */
} journal_t;

typedef struct world_t {
    gb_level_e level;
    kind_e kind[WRITES + 1];
    bool unwell[WRITES + 1]; /* everybody answers 500 to it */
    journal_t durable, now;  /* what is committed, and what is not yet */
    gb_entry_t open;         /* settled + 1, in memory */
    uint64_t repeats_upto;   /* entries that an earlier keeper may have sent */
    bool second[WRITES + 1]; /* the verdict came from a second sending */
    uint32_t answerer;
    app_t apps[REPLICAS];
    int64_t now_us;
    bool calm;
    uint32_t asides, kills, retries, failed, given_up;
} world_t;

static int chance(const world_t *w, int of)
{
    return !w->calm && rand() % of == 0;
}

static bool is_repeatable(const world_t *w, uint64_t seq)
{
    return w->level == GB_LEVEL_L1 || w->kind[seq] == PUT;
}

static gb_entry_t entry_of(const world_t *w, uint64_t seq)
{
    gb_entry_t entry = {.seq = seq,
                        .state = w->now.state[seq],
                        .repeatable = is_repeatable(w, seq),
                        .status = w->now.status[seq],
                        .rolled_back_by = GB_NO_INDEX};

    return seq == w->open.seq ? w->open : entry;
}

/* ------------------------------------------------------------------ execution */

/* What the application does with an entry, and answers. */
static int execute(world_t *w, app_t *app, uint64_t seq)
{
    bool fits = w->kind[seq] == APPEND || w->kind[seq] == PUT ||
                (w->kind[seq] == WHEN_EVEN && app->count % 2 == 0);
    int status;

    if (w->level == GB_LEVEL_L1 && app->answer[seq]) {
        return app->answer[seq];
    }
    if (w->kind[seq] == PUT && app->times[seq]) {
        return 204; /* it is there already; nothing changes */
    }
    status = fits ? 201 : 409;
    if (fits) {
        app->has[app->count++] = seq;
        app->times[seq]++;
    }
    app->answer[seq] = status;
    return status;
}

static gb_answer_t transfer(world_t *w, app_t *app, uint64_t seq)
{
    gb_answer_t answer = {.how = GB_SENT_ANSWERED};

    if (chance(w, 8)) {
        answer.how = GB_SENT_NOTHING;
        return answer;
    }
    if (chance(w, 5) || (w->unwell[seq] && !w->calm)) {
        static const int refusals[] = {503, 429, 500, 507, 502};

        answer.status = w->unwell[seq] ? 500 : refusals[rand() % 5];
        if (answer.status == 502 && rand() % 2) {
            (void)execute(w, app, seq);
        }
        return answer;
    }
    if (chance(w, 8)) {
        answer.how = GB_SENT_DOUBTFUL;
        if (rand() % 2) {
            (void)execute(w, app, seq);
        }
        else if (w->level == GB_LEVEL_L1) {
            app->late = seq;
        }
        return answer;
    }
    answer.status = execute(w, app, seq);
    if (chance(w, 8)) {
        answer.how = GB_SENT_DOUBTFUL;
    }
    return answer;
}

/* ------------------------------------------------------------------ the protocol */

/* A keeper that starts knows what was committed. */
static void keeper_start(world_t *w)
{
    w->now = w->durable;
    memset(&w->open, 0, sizeof w->open);
    w->repeats_upto = w->now.head;
    w->answerer = GB_NO_INDEX;
    for (uint32_t i = 0; i < REPLICAS; i++) {
        gb_replica_t *r = &w->now.rows[i];

        *r = (gb_replica_t){.cursor = r->cursor,
                            .sent = r->sent,
                            .aside = r->aside,
                            .in_doubt = r->sent > r->cursor,
                            .can_take = true};
        if (r->in_doubt && r->cursor == w->now.settled) {
            w->answerer = i;
        }
    }
}

static void put_aside(world_t *w, gb_replica_t *r)
{
    r->aside = true;
    w->asides++;
}

static void skip(world_t *w)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        gb_replica_t *r = &w->now.rows[i];
        gb_step_e step = GB_STEP_SKIP;

        while (step == GB_STEP_SKIP && r->cursor < w->now.head) {
            gb_entry_t entry = entry_of(w, r->cursor + 1);

            step = gb_replica_next(r, &entry, false, w->now_us);
            if (step == GB_STEP_SKIP) {
                r->cursor++;
            }
            else if (step == GB_STEP_ASIDE) {
                put_aside(w, r);
            }
        }
    }
}

/* The first half of a turn: what will be committed. */
static void queue(world_t *w)
{
    skip(w);
    if (w->now.settled < w->now.head && w->open.seq != w->now.settled + 1) {
        w->open.seq = 0;
        w->open = entry_of(w, w->now.settled + 1);
    }
    w->answerer = gb_replica_answerer(w->now.rows, REPLICAS, w->now.settled,
                                      w->answerer, w->now_us);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        gb_replica_t *r = &w->now.rows[i];
        gb_entry_t entry;

        if (r->cursor < w->now.head) {
            entry = entry_of(w, r->cursor + 1);
            if (gb_replica_next(r, &entry, i == w->answerer, w->now_us) ==
                GB_STEP_MARK) {
                r->sent = entry.seq;
            }
        }
    }
}

static void take(world_t *w, uint32_t i, gb_entry_t *entry, const gb_answer_t *answer)
{
    gb_replica_t *r = &w->now.rows[i];
    uint32_t others = 0, does;

    for (uint32_t k = 0; k < REPLICAS; k++) {
        others += k != i && gb_replica_answerer(&w->now.rows[k], 1, w->now.settled, 0,
                                                w->now_us) == 0;
    }
    does = gb_replica_answered(r, entry, i, others, answer, w->now_us);
    if (does & GB_DO_VERDICT) {
        w->now.state[entry->seq] = entry->state;
        w->now.status[entry->seq] = entry->status;
        w->second[entry->seq] = answer->repeated;
        w->now.settled = entry->seq;
        w->open.seq = 0;
        w->failed += entry->state == GB_ENTRY_FAILED;
    }
    else if (entry->state == GB_ENTRY_OPEN) {
        w->open = *entry;
    }
    if (does & GB_DO_CURSOR) {
        r->cursor = entry->seq;
    }
    if (does & GB_DO_ASIDE) {
        put_aside(w, r);
    }
    w->retries += !!(does & GB_DO_RETRY);
}

/* The operator's word about the open entry, if there is one that is durable. */
static void give_up(world_t *w)
{
    uint64_t aside;

    if (!w->open.seq || w->open.seq != w->now.settled + 1 ||
        w->open.seq > w->durable.head || w->now.settled != w->durable.settled ||
        gb_replica_given_up(w->now.rows, REPLICAS, 0, &w->open, rand() % 8 == 0,
                            &aside) != GB_GIVE_UP_DONE) {
        return;
    }
    w->now.state[w->open.seq] = w->open.state;
    w->now.status[w->open.seq] = w->open.status;
    w->second[w->open.seq] = false;
    w->now.settled = w->open.seq;
    w->open.seq = 0;
    w->given_up++;
    for (uint32_t i = 0; i < REPLICAS; i++) {
        if (aside >> i & 1) {
            put_aside(w, &w->now.rows[i]);
        }
    }
}

/* The second half: sends, and what comes back before the next turn. */
static bool send_all(world_t *w)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        gb_replica_t *r = &w->now.rows[i];
        gb_entry_t entry;
        gb_answer_t answer;

        if (r->cursor >= w->now.head || r->cursor > w->durable.settled) {
            continue;
        }
        entry = entry_of(w, r->cursor + 1);
        /* Only what this turn committed may be sent on. */
        if (entry.seq <= w->now.settled && entry.seq > w->durable.settled) {
            continue;
        }
        if (gb_replica_next(r, &entry, i == w->answerer, w->now_us) != GB_STEP_SEND) {
            continue;
        }
        answer = (gb_answer_t){.repeated = w->level == GB_LEVEL_L0 &&
                                           (r->in_doubt || r->tries ||
                                            entry.seq <= w->repeats_upto ||
                                            w->second[entry.seq])};
        r->in_flight = entry.seq;
        {
            bool repeated = answer.repeated;

            answer = transfer(w, &w->apps[i], entry.seq);
            answer.repeated = repeated;
        }
        if (chance(w, 40)) {
            return false; /* killed with the answer in its hands */
        }
        if (chance(w, 60)) {
            give_up(w); /* before the answer was looked at */
        }
        if (r->aside) {
            r->in_flight = 0;
            continue;
        }
        take(w, i, &entry, &answer);
    }
    return true;
}

/* ------------------------------------------------------------------ what must hold */

/* Looked at so often that check's own bookkeeping would be most of the work. */
#define MUST(fact, when, i)                                                            \
    do {                                                                               \
        if (!(fact)) {                                                                 \
            ck_abort_msg("%s: replica %u: not %s", when, i, #fact);                    \
        }                                                                              \
    } while (0)

/* The accepted entries up to the durable verdicts, in order. */
static uint32_t log_of(const world_t *w, uint64_t *accepted)
{
    uint32_t count = 0;

    for (uint64_t seq = 1; seq <= w->durable.settled; seq++) {
        if (w->durable.state[seq] == GB_ENTRY_ACCEPTED) {
            accepted[count++] = seq;
        }
    }
    return count;
}

static void check_replica(const world_t *w, uint32_t i, const char *when)
{
    const app_t *app = &w->apps[i];
    const gb_replica_t *r = &w->durable.rows[i];
    uint64_t accepted[WRITES];
    uint32_t count = log_of(w, accepted), needed = 0;

    for (uint64_t seq = 1; seq <= WRITES; seq++) {
        /* At most once, also where it was set aside. */
        MUST(app->times[seq] <= 1, when, i);
    }
    if (r->aside || w->now.rows[i].aside) {
        return;
    }
    for (uint32_t k = 0; k < app->count && k < count; k++) {
        MUST(app->has[k] == accepted[k], when, i);
    }
    while (needed < count && accepted[needed] <= r->cursor) {
        needed++;
    }
    MUST(app->count >= needed, when, i);
    if (app->count > count) { /* the one that has no durable verdict yet */
        MUST(app->count == count + 1, when, i);
        MUST(app->has[count] == w->durable.settled + 1, when, i);
        MUST(r->sent == w->durable.settled + 1, when, i);
    }
}

static void check_all(const world_t *w, const char *when)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        check_replica(w, i, when);
    }
}

/* ------------------------------------------------------------------ schedules */

static void disturb(world_t *w)
{
    w->now_us += rand() % (2 * S);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        app_t *app = &w->apps[i];

        if (w->calm) {
            w->now.rows[i].can_take = true;
        }
        else if (chance(w, 20)) {
            w->now.rows[i].can_take = !w->now.rows[i].can_take;
        }
        if (app->late && (w->calm || chance(w, 10))) {
            (void)execute(w, app, app->late);
            app->late = 0;
        }
    }
    if (w->now.head < WRITES && rand() % 3 == 0) {
        w->kind[++w->now.head] = (kind_e)(rand() % KINDS);
        w->unwell[w->now.head] = chance(w, 10);
    }
}

/* false: the keeper was killed. */
static bool turn(world_t *w)
{
    disturb(w);
    if (chance(w, 60)) {
        give_up(w);
    }
    queue(w);
    if (chance(w, 60)) {
        return false;
    }
    w->durable = w->now;
    if (chance(w, 60)) {
        return false;
    }
    return send_all(w);
}

static void run(world_t *w, int steps, const char *when)
{
    for (int step = 0; step < steps; step++) {
        if (!turn(w)) {
            w->kills++;
            keeper_start(w);
        }
        check_all(w, when);
    }
}

/* What is left in calm: everything has a verdict, and who was not set aside has all. */
static void check_end(const world_t *w, const char *when)
{
    uint64_t accepted[WRITES];
    uint32_t count = log_of(w, accepted), in_service = 0;

    for (uint32_t i = 0; i < REPLICAS; i++) {
        in_service += !w->durable.rows[i].aside;
    }
    if (!in_service) {
        return; /* L0 has doubts about all of them */
    }
    ck_assert_uint_eq(w->durable.head, WRITES);
    ck_assert_uint_eq(w->durable.settled, WRITES);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        if (!w->durable.rows[i].aside) {
            const gb_replica_t *r = &w->durable.rows[i];

            ck_assert_msg(r->cursor == WRITES,
                          "%s: replica %u stays at %llu, doubt %d, tries %u, wrong %u",
                          when, i, (unsigned long long)r->cursor, r->in_doubt, r->tries,
                          r->wrong);
            ck_assert_uint_eq(w->apps[i].count, count);
        }
    }
}

static void schedules(gb_level_e level, int count)
{
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)clock();
    const char *given = getenv("GB_SEED");
    uint32_t asides = 0, kills = 0, retries = 0, failed = 0, given_up = 0;

    if (given) {
        seed = (unsigned)strtoul(given, NULL, 10);
    }
    printf("gb_replica, level %d: seed %u\n", (int)level, seed);
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        static world_t w;
        char when[64];

        srand(seed + (unsigned)i);
        snprintf(when, sizeof when, "GB_SEED=%u", seed + (unsigned)i);
        memset(&w, 0, sizeof w);
        w.level = level;
        keeper_start(&w);
        run(&w, STEPS, when);
        w.calm = true;
        run(&w, 300, when);
        check_end(&w, when);
        asides += w.asides;
        kills += w.kills;
        retries += w.retries;
        failed += w.failed;
        given_up += w.given_up;
    }
    /* The schedules were as hostile as they are meant to be. */
    ck_assert_uint_gt(kills, (uint32_t)count);
    ck_assert_uint_gt(retries, (uint32_t)count);
    ck_assert_uint_gt(asides, (uint32_t)count / 20);
    ck_assert_uint_gt(failed, (uint32_t)count / 20);
    ck_assert_uint_gt(given_up, (uint32_t)count / 20);
    printf("gb_replica: %d schedules, %u kills, %u retries, %u set aside, %u failures, "
           "%u given up\n",
           count, kills, retries, asides, failed, given_up);
}

START_TEST(replicas_hold_a_prefix_at_l0)
{
    schedules(GB_LEVEL_L0, 1000);
}
END_TEST

START_TEST(replicas_hold_a_prefix_at_l1)
{
    schedules(GB_LEVEL_L1, 1000);
}
END_TEST

Suite *gb_replica_random_suite(void)
{
    Suite *suite = suite_create("gb_replica_random");
    TCase *tests = tcase_create("random schedules");

    tcase_add_test(tests, replicas_hold_a_prefix_at_l0);
    tcase_add_test(tests, replicas_hold_a_prefix_at_l1);
    suite_add_tcase(suite, tests);
    return suite;
}
