/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_replica.c - every pair of an entry's state and what a replica says of it.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/gb_replica.h"

Suite *gb_replica_suite(void);

#define S   GB_US_PER_S
#define MS  GB_US_PER_MS
#define NOW (1000 * S)

/* ------------------------------------------------------------------ the next step */

/* What to do with the entry after the cursor, by its state and by whether doubt stands
 * about it; of a replica that can take it.  In each cell: repeatable, then not. */
typedef struct step_row_t {
    gb_verdict_state_e state;
    bool in_doubt, is_answerer, is_marked;
    gb_step_e repeatable, once;
} step_row_t;

static const step_row_t step_rows[] = {
    {GB_ENTRY_OPEN, false, false, false, GB_STEP_NONE, GB_STEP_NONE},
    {GB_ENTRY_OPEN, false, false, true, GB_STEP_NONE, GB_STEP_NONE},
    {GB_ENTRY_OPEN, false, true, false, GB_STEP_MARK, GB_STEP_MARK},
    {GB_ENTRY_OPEN, false, true, true, GB_STEP_SEND, GB_STEP_SEND},
    {GB_ENTRY_OPEN, true, false, false, GB_STEP_NONE, GB_STEP_ASIDE},
    {GB_ENTRY_OPEN, true, false, true, GB_STEP_NONE, GB_STEP_ASIDE},
    {GB_ENTRY_OPEN, true, true, false, GB_STEP_MARK, GB_STEP_ASIDE},
    {GB_ENTRY_OPEN, true, true, true, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_ACCEPTED, false, false, false, GB_STEP_SEND, GB_STEP_MARK},
    {GB_ENTRY_ACCEPTED, false, false, true, GB_STEP_SEND, GB_STEP_SEND},
    {GB_ENTRY_ACCEPTED, false, true, false, GB_STEP_SEND, GB_STEP_MARK},
    {GB_ENTRY_ACCEPTED, false, true, true, GB_STEP_SEND, GB_STEP_SEND},
    {GB_ENTRY_ACCEPTED, true, false, false, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_ACCEPTED, true, false, true, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_ACCEPTED, true, true, false, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_ACCEPTED, true, true, true, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_REJECTED, false, false, false, GB_STEP_SKIP, GB_STEP_SKIP},
    {GB_ENTRY_REJECTED, false, true, true, GB_STEP_SKIP, GB_STEP_SKIP},
    {GB_ENTRY_REJECTED, true, false, false, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_REJECTED, true, true, true, GB_STEP_SEND, GB_STEP_ASIDE},
    {GB_ENTRY_FAILED, false, false, false, GB_STEP_SKIP, GB_STEP_SKIP},
    {GB_ENTRY_FAILED, false, true, true, GB_STEP_SKIP, GB_STEP_SKIP},
    {GB_ENTRY_FAILED, true, false, false, GB_STEP_ASIDE, GB_STEP_ASIDE},
    {GB_ENTRY_FAILED, true, true, true, GB_STEP_ASIDE, GB_STEP_ASIDE},
};

static gb_replica_t replica_of(const step_row_t *row)
{
    return (gb_replica_t){.cursor = 6,
                          .sent = row->is_marked ? 7 : 0,
                          .in_doubt = row->in_doubt,
                          .can_take = true};
}

START_TEST(each_step)
{
    const step_row_t *row = &step_rows[_i];
    gb_replica_t r = replica_of(row);
    gb_entry_t entry = {.seq = 7, .state = row->state, .repeatable = true};

    ck_assert_int_eq(gb_replica_next(&r, &entry, row->is_answerer, NOW),
                     row->repeatable);
    entry.repeatable = false;
    ck_assert_int_eq(gb_replica_next(&r, &entry, row->is_answerer, NOW), row->once);
}
END_TEST

/* What stops it: being aside, another one in flight, another entry than the next. */
START_TEST(each_step_that_is_stopped)
{
    const step_row_t *row = &step_rows[_i];
    gb_entry_t entry = {.seq = 7, .state = row->state}, other = entry;
    gb_replica_t r = replica_of(row);

    other.seq = 8;
    ck_assert_int_eq(gb_replica_next(&r, &other, row->is_answerer, NOW), GB_STEP_NONE);
    ck_assert_int_eq(gb_replica_next(&r, NULL, row->is_answerer, NOW), GB_STEP_NONE);
    r.in_flight = 7;
    ck_assert_int_eq(gb_replica_next(&r, &entry, row->is_answerer, NOW), GB_STEP_NONE);
    r.in_flight = 0;
    r.aside = true;
    ck_assert_int_eq(gb_replica_next(&r, &entry, row->is_answerer, NOW), GB_STEP_NONE);
}
END_TEST

/* One that sleeps, or has to wait, is sent nothing; what needs no sending goes on. */
START_TEST(each_step_of_one_that_cannot_take)
{
    const step_row_t *row = &step_rows[_i];
    gb_replica_t sleeps = replica_of(row), waits = sleeps;
    gb_entry_t entry = {.seq = 7, .state = row->state, .repeatable = true};

    sleeps.can_take = false;
    waits.retry_at_us = NOW + 1;
    for (int i = 0; i < 2; i++) {
        gb_step_e could = entry.repeatable ? row->repeatable : row->once;
        gb_step_e does =
            could == GB_STEP_SEND || could == GB_STEP_MARK ? GB_STEP_NONE : could;

        ck_assert_int_eq(gb_replica_next(&sleeps, &entry, row->is_answerer, NOW), does);
        ck_assert_int_eq(gb_replica_next(&waits, &entry, row->is_answerer, NOW), does);
        ck_assert_int_eq(gb_replica_next(&waits, &entry, row->is_answerer, NOW + 1),
                         could);
        entry.repeatable = false;
    }
}
END_TEST

/* ------------------------------------------------------------------ answers */

#define V GB_DO_VERDICT
#define C GB_DO_CURSOR
#define K GB_DO_CONFIRM
#define A GB_DO_ASIDE
#define R GB_DO_RETRY
#define O GB_DO_OTHER

/* What a replica may say.  The accepted entries of the table were answered by 201, the
 * rejected by 409, the failed by 500. */
enum {
    NOTHING,
    DOUBTFUL,
    S200,
    S201,
    S303,
    S404,
    S409,
    S429,
    S502,
    S504,
    S500,
    S507,
    S100,
    EVENTS
};

static const gb_answer_t events[EVENTS] = {
    [NOTHING] = {.how = GB_SENT_NOTHING},
    [DOUBTFUL] = {.how = GB_SENT_DOUBTFUL},
    [S200] = {.status = 200},
    [S201] = {.status = 201},
    [S303] = {.status = 303},
    [S404] = {.status = 404},
    [S409] = {.status = 409},
    [S429] = {.status = 429},
    [S502] = {.status = 502},
    [S504] = {.status = 504},
    [S500] = {.status = 500},
    [S507] = {.status = 507},
    [S100] = {.status = 100},
};

typedef struct answer_row_t {
    const char *what;
    gb_verdict_state_e state;
    bool repeatable, in_doubt, repeated, deletes;
    uint32_t others;
    uint32_t does[EVENTS];
    uint32_t doubts; /* bit of each event after which the replica is in doubt */
} answer_row_t;

#define BIT(event) (1u << (event))
#define UNCLEAR    (BIT(DOUBTFUL) | BIT(S502) | BIT(S504) | BIT(S100))
#define ALL        (BIT(EVENTS) - 1)
#define GOOD       (BIT(S200) | BIT(S201) | BIT(S303))

static const answer_row_t answer_rows[] = {
    {"open, L1",
     GB_ENTRY_OPEN,
     true,
     false,
     false,
     false,
     1,
     {R | O, R | O, V | C | K, V | C | K, V | C | K, V | C, V | C, R | O, R | O, R | O,
      R | O, R | O, R | O},
     UNCLEAR},
    {"open, L1, in doubt",
     GB_ENTRY_OPEN,
     true,
     true,
     false,
     false,
     1,
     {R | O, R | O, V | C | K, V | C | K, V | C | K, V | C, V | C, R | O, R | O, R | O,
      R | O, R | O, R | O},
     UNCLEAR | BIT(NOTHING) | BIT(S429) | BIT(S500) | BIT(S507)},
    {"open, L0 PUT, second sending",
     GB_ENTRY_OPEN,
     true,
     true,
     true,
     false,
     1,
     {R | O, R | O, V | C | K, V | C | K, V | C | K, A | O, A | O, R | O, R | O, R | O,
      R | O, R | O, R | O},
     ALL & ~GOOD},
    {"open, L0 PUT, second sending, nobody else",
     GB_ENTRY_OPEN,
     true,
     true,
     true,
     false,
     0,
     {R | O, R | O, V | C | K, V | C | K, V | C | K, V | A, V | A, R | O, R | O, R | O,
      R | O, R | O, R | O},
     ALL & ~GOOD},
    {"open, L0 DELETE, second sending",
     GB_ENTRY_OPEN,
     true,
     true,
     true,
     true,
     1,
     {R | O, R | O, V | C | K, V | C | K, V | C | K, V | C | K, A | O, R | O, R | O,
      R | O, R | O, R | O, R | O},
     ALL & ~GOOD & ~BIT(S404)},
    {"open, L0 POST",
     GB_ENTRY_OPEN,
     false,
     false,
     false,
     false,
     1,
     {R | O, A | O, V | C | K, V | C | K, V | C | K, V | C, V | C, R | O, A | O, A | O,
      R | O, R | O, A | O},
     UNCLEAR},
    {"accepted, L1",
     GB_ENTRY_ACCEPTED,
     true,
     false,
     false,
     false,
     1,
     {R, R, A, C | K, A, A, A, R, R, R, R, R, R},
     UNCLEAR},
    {"accepted, L1, in doubt",
     GB_ENTRY_ACCEPTED,
     true,
     true,
     false,
     false,
     1,
     {R, R, A, C | K, A, A, A, R, R, R, R, R, R},
     UNCLEAR | BIT(NOTHING) | BIT(S429) | BIT(S200) | BIT(S303) | BIT(S404) |
         BIT(S409) | BIT(S500) | BIT(S507)},
    {"accepted, L0 PUT, second sending",
     GB_ENTRY_ACCEPTED,
     true,
     true,
     true,
     false,
     1,
     {R, R, C | K, C | K, A, A, A, R, R, R, R, R, R},
     ALL & ~(BIT(S200) | BIT(S201))},
    {"accepted, L0 DELETE, second sending",
     GB_ENTRY_ACCEPTED,
     true,
     true,
     true,
     true,
     1,
     {R, R, C | K, C | K, A, C | K, A, R, R, R, R, R, R},
     ALL & ~(BIT(S200) | BIT(S201) | BIT(S404))},
    {"accepted, L0 DELETE, first sending",
     GB_ENTRY_ACCEPTED,
     true,
     false,
     false,
     true,
     1,
     {R, R, A, C | K, A, A, A, R, R, R, R, R, R},
     UNCLEAR},
    {"accepted, L0 POST",
     GB_ENTRY_ACCEPTED,
     false,
     false,
     false,
     false,
     1,
     {R, A, A, C | K, A, A, A, R, A, A, R, R, A},
     UNCLEAR},
    {"rejected, in doubt",
     GB_ENTRY_REJECTED,
     true,
     true,
     true,
     false,
     1,
     {R, R, A, A, A, A, C, R, R, R, R, R, R},
     ALL & ~BIT(S409)},
    {"failed, in doubt",
     GB_ENTRY_FAILED,
     true,
     true,
     true,
     false,
     1,
     {R, A, A, A, A, A, A, A, A, A, A, A, A},
     ALL},
};

static const int status_of[] = {[GB_ENTRY_OPEN] = 0,
                                [GB_ENTRY_ACCEPTED] = 201,
                                [GB_ENTRY_REJECTED] = 409,
                                [GB_ENTRY_FAILED] = 500};

START_TEST(each_answer)
{
    const answer_row_t *row = &answer_rows[_i];

    for (int e = 0; e < EVENTS; e++) {
        gb_replica_t r = {.cursor = 6,
                          .sent = 7,
                          .in_doubt = row->in_doubt,
                          .can_take = true,
                          .in_flight = 7};
        gb_entry_t entry = {.seq = 7,
                            .state = row->state,
                            .repeatable = row->repeatable,
                            .deletes = row->deletes,
                            .status = status_of[row->state],
                            .rolled_back_by = GB_NO_INDEX};
        gb_answer_t answer = events[e];
        uint32_t does;

        answer.repeated = row->repeated;
        does = gb_replica_answered(&r, &entry, 0, row->others, &answer, NOW);
        ck_assert_msg(does == row->does[e], "%s, event %d: %x, not %x", row->what, e,
                      does, row->does[e]);
        ck_assert_msg(r.in_doubt == !!(row->doubts & BIT(e)), "%s, event %d: doubt %d",
                      row->what, e, r.in_doubt);
        ck_assert_uint_eq(r.in_flight, 0);
        ck_assert_uint_eq(r.cursor, 6);
        ck_assert_int_eq(r.retry_at_us, does & GB_DO_RETRY ? NOW + 50 * MS : 0);
        ck_assert_uint_eq(r.sent, does & GB_DO_RETRY && !r.in_doubt ? 0 : 7);
        ck_assert_int_eq(entry.state != row->state, !!(does & GB_DO_VERDICT));
        if (does & GB_DO_VERDICT) {
            ck_assert_int_eq(entry.status, answer.status);
            ck_assert_int_eq(entry.state, does & GB_DO_CONFIRM ? GB_ENTRY_ACCEPTED
                                                               : GB_ENTRY_REJECTED);
        }
    }
}
END_TEST

START_TEST(digests_have_to_agree_where_both_send_one)
{
    static const struct {
        uint64_t verdict, answer;
        uint32_t does;
    } rows[] = {{0, 0, C | K}, {5, 0, C | K}, {0, 5, C | K}, {5, 5, C | K}, {5, 6, A}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        gb_replica_t r = {.cursor = 6, .in_flight = 7};
        gb_entry_t entry = {.seq = 7,
                            .state = GB_ENTRY_ACCEPTED,
                            .repeatable = true,
                            .status = 201,
                            .digest = rows[i].verdict};
        gb_answer_t answer = {.status = 201, .digest = rows[i].answer};

        ck_assert_uint_eq(gb_replica_answered(&r, &entry, 0, 1, &answer, NOW),
                          rows[i].does);
    }
}
END_TEST

static uint32_t says(gb_replica_t *r, gb_entry_t *entry, uint32_t index,
                     uint32_t others, int status)
{
    gb_answer_t answer = {.status = status};

    r->in_flight = entry->seq;
    return gb_replica_answered(r, entry, index, others, &answer, NOW);
}

START_TEST(the_same_5xx_of_two_replicas_fails_an_entry)
{
    gb_replica_t a = {.cursor = 6}, b = a;
    gb_entry_t entry = {.seq = 7, .repeatable = true, .rolled_back_by = GB_NO_INDEX};

    ck_assert_uint_eq(says(&a, &entry, 0, 1, 500), R | O);
    ck_assert_uint_eq(says(&a, &entry, 0, 1, 500), R | O); /* it said so already */
    ck_assert_uint_eq(says(&b, &entry, 1, 1, 501), R | O); /* something else */
    ck_assert_uint_eq(says(&a, &entry, 0, 1, 501), V | C);
    ck_assert_int_eq(entry.state, GB_ENTRY_FAILED);
    ck_assert_int_eq(entry.status, 501);
}
END_TEST

START_TEST(alone_a_replica_fails_it_by_saying_it_twice)
{
    gb_replica_t a = {.cursor = 6};
    gb_entry_t entry = {.seq = 7, .repeatable = true, .rolled_back_by = GB_NO_INDEX};

    ck_assert_uint_eq(says(&a, &entry, 0, 0, 500), R | O);
    ck_assert_uint_eq(says(&a, &entry, 0, 0, 500), V | C);
}
END_TEST

START_TEST(the_log_does_not_stand_still_over_different_5xx)
{
    gb_replica_t r[2] = {{.cursor = 6}, {.cursor = 6}};
    gb_entry_t entry = {.seq = 7, .repeatable = true, .rolled_back_by = GB_NO_INDEX};
    uint32_t i = 0;

    while (i < 100 && entry.state == GB_ENTRY_OPEN) {
        (void)says(&r[i % 2], &entry, i % 2, 1, i % 2 ? 500 : 507);
        i++;
    }
    ck_assert_uint_eq(i, GB_REPLICA_ROLLED_MOST);
    ck_assert_int_eq(entry.state, GB_ENTRY_FAILED);
}
END_TEST

START_TEST(a_write_that_has_cost_two_replicas_costs_no_third)
{
    static const gb_answer_t reset = {.how = GB_SENT_DOUBTFUL};
    gb_replica_t r[2] = {{.cursor = 6, .sent = 7}, {.cursor = 6, .sent = 7}};
    gb_replica_t third = {.cursor = 6, .can_take = true};
    gb_entry_t entry = {.seq = 7, .rolled_back_by = GB_NO_INDEX};

    ck_assert_uint_eq(gb_replica_answered(&r[0], &entry, 0, 2, &reset, NOW), A | O);
    ck_assert_int_eq(entry.state, GB_ENTRY_OPEN);
    ck_assert_uint_eq(says(&r[1], &entry, 1, 1, 504), V | A);
    ck_assert_int_eq(entry.state, GB_ENTRY_FAILED);
    ck_assert_int_eq(entry.status, 504);
    ck_assert_int_eq(gb_replica_next(&third, &entry, false, NOW), GB_STEP_SKIP);
    entry = (gb_entry_t){.seq = 7, .lost = 1};
    r[1] = (gb_replica_t){.cursor = 6};
    ck_assert_uint_eq(gb_replica_answered(&r[1], &entry, 1, 1, &reset, NOW), V | A);
    ck_assert_int_eq(entry.status, 502); /* it has said nothing that a client knows */
    entry = (gb_entry_t){.seq = 7, .lost = 1, .state = GB_ENTRY_ACCEPTED};
    ck_assert_uint_eq(gb_replica_answered(&r[1], &entry, 1, 1, &reset, NOW), A);
    ck_assert_int_eq(entry.state, GB_ENTRY_ACCEPTED);
}
END_TEST

START_TEST(a_follower_that_cannot_is_set_aside_at_the_third_5xx)
{
    gb_replica_t r = {.cursor = 6};
    gb_entry_t entry = {
        .seq = 7, .state = GB_ENTRY_ACCEPTED, .repeatable = true, .status = 201};

    ck_assert_uint_eq(says(&r, &entry, 0, 1, 500), R);
    ck_assert_uint_eq(says(&r, &entry, 0, 1, 503), R); /* only asks for time */
    ck_assert_uint_eq(says(&r, &entry, 0, 1, 507), R);
    ck_assert_uint_eq(says(&r, &entry, 0, 1, 500), A);
    r = (gb_replica_t){.cursor = 6};
    ck_assert_uint_eq(says(&r, &entry, 0, 1, 500), R);
    ck_assert_uint_eq(says(&r, &entry, 0, 1, 201), C | K);
    ck_assert_uint_eq(r.wrong, 0);
    ck_assert_uint_eq(r.tries, 0);
}
END_TEST

START_TEST(the_pause_doubles_up_to_five_seconds)
{
    gb_replica_t r = {.cursor = 6};
    gb_entry_t entry = {.seq = 7, .state = GB_ENTRY_ACCEPTED};
    gb_answer_t nothing = {.how = GB_SENT_NOTHING};
    int64_t expected_us = 50 * MS;

    for (int i = 0; i < 50; i++) {
        (void)gb_replica_answered(&r, &entry, 0, 1, &nothing, NOW);
        ck_assert_int_eq(r.retry_at_us, NOW + expected_us);
        expected_us = expected_us * 2 < 5 * S ? expected_us * 2 : 5 * S;
    }
    r.tries = UINT32_MAX;
    (void)gb_replica_answered(&r, &entry, 0, 1, &nothing, INT64_MAX - 1);
    ck_assert_uint_eq(r.tries, UINT32_MAX);
    ck_assert_int_eq(r.retry_at_us, INT64_MAX);
}
END_TEST

/* ------------------------------------------------------------------ who, how far */

START_TEST(the_answerer_stays_as_long_as_it_can)
{
    gb_replica_t r[4] = {{.cursor = 6, .can_take = true, .aside = true},
                         {.cursor = 5, .can_take = true},
                         {.cursor = 6, .can_take = true},
                         {.cursor = 6, .can_take = true}};

    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, GB_NO_INDEX, NOW), 2);
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 3, NOW), 3);
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 0, NOW), 2);
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 1, NOW), 2);
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 99, NOW), 2);
    r[3].retry_at_us = NOW + 1;
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 3, NOW), 2);
    r[2].can_take = false;
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 3, NOW), GB_NO_INDEX);
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 3, NOW + 1), 3);
    r[3].in_flight = 7;
    ck_assert_uint_eq(gb_replica_answerer(r, 4, 6, 3, NOW + 1), GB_NO_INDEX);
    ck_assert_uint_eq(gb_replica_answerer(r, 0, 6, 0, NOW + 1), GB_NO_INDEX);
}
END_TEST

/* One of two replicas when the open entry 7 is given up: may it have that, and can it
 * stand in for all others? */
typedef struct give_up_row_t {
    gb_replica_t replica;
    bool gone, may_have, is_left;
} give_up_row_t;

static const give_up_row_t give_up_rows[] = {
    {{.cursor = 6}, false, false, true},                               /* never sent */
    {{.cursor = 6, .tries = 4, .can_take = true}, false, false, true}, /* refused */
    {{.cursor = 6, .sent = 7}, false, false, true},                    /* marked */
    {{.cursor = 6, .sent = 7, .in_flight = 7}, false, true, false},    /* under way */
    {{.cursor = 6, .sent = 7, .in_doubt = true}, false, true, false},  /* in doubt */
    {{.cursor = 6, .in_flight = 7, .in_doubt = true}, false, true, 0}, /* both */
    {{.cursor = 4, .in_flight = 5}, false, false, true},   /* it lags, and */
    {{.cursor = 4, .in_doubt = true}, false, false, true}, /* has 5, or not */
    {{.cursor = 5, .sent = 6, .in_doubt = true},
     false,
     false,
     true},                                              /* has 6, or not */
    {{.cursor = 6, .aside = true}, false, false, false}, /* aside */
    {{.cursor = 6, .aside = true, .in_doubt = true},
     false,
     false,
     0},                                                             /* aside for it */
    {{.cursor = 6, .aside = true, .in_flight = 7}, false, false, 0}, /* likewise */
    {{.cursor = 6}, true, false, false},                             /* no member */
    {{.cursor = 6, .in_doubt = true}, true, true, false},            /* likewise */
};

static void give_up_with(const gb_replica_t *replicas, uint64_t gone, uint64_t aside,
                         bool is_left)
{
    for (int even_so = 0; even_so < 2; even_so++) {
        gb_entry_t entry = {.seq = 7, .repeatable = true, .digest = 5}, was = entry;
        uint64_t lost = 99;
        gb_replica_t both[] = {replicas[0], replicas[1]};
        gb_give_up_e said = gb_replica_given_up(both, 2, gone, &entry, even_so, &lost);

        ck_assert_int_eq(said,
                         is_left || even_so ? GB_GIVE_UP_DONE : GB_GIVE_UP_NOBODY_LEFT);
        if (said == GB_GIVE_UP_DONE) {
            ck_assert_uint_eq(lost, aside);
            ck_assert_int_eq(entry.state, GB_ENTRY_FAILED);
            ck_assert_int_eq(entry.status, 502);
            ck_assert_uint_eq(entry.digest, 0);
        }
        else {
            ck_assert_uint_eq(lost, 0);
            ck_assert_mem_eq(&entry, &was, sizeof was);
        }
    }
}

START_TEST(who_may_have_what_is_given_up_is_set_aside)
{
    const give_up_row_t *first = &give_up_rows[_i];
    size_t count = sizeof give_up_rows / sizeof give_up_rows[0];

    for (size_t k = 0; k < count; k++) {
        const give_up_row_t *second = &give_up_rows[k];
        gb_replica_t replicas[] = {first->replica, second->replica};

        give_up_with(replicas, (first->gone ? 1u : 0) | (second->gone ? 2u : 0),
                     (first->may_have ? 1u : 0) | (second->may_have ? 2u : 0),
                     first->is_left || second->is_left);
        /* Nobody who stays has doubts left about it, so that all of them skip it. */
        for (int i = 0; i < 2; i++) {
            gb_entry_t failed = {.seq = 7, .state = GB_ENTRY_FAILED};
            bool stays = !(i ? second : first)->may_have && !replicas[i].aside;

            if (stays && replicas[i].cursor == 6) {
                ck_assert_int_eq(gb_replica_next(&replicas[i], &failed, false, NOW),
                                 GB_STEP_SKIP);
            }
        }
    }
}
END_TEST

START_TEST(who_waited_to_send_it_again_waits_no_more)
{
    gb_entry_t entry = {.seq = 7};
    gb_replica_t r[] = {
        {.cursor = 6, .tries = 9, .wrong = 1, .retry_at_us = NOW, .can_take = true},
        {.cursor = 5, .tries = 9, .wrong = 2, .retry_at_us = NOW}};
    uint64_t aside;

    ck_assert_int_eq(gb_replica_given_up(r, 2, 0, &entry, false, &aside),
                     GB_GIVE_UP_DONE);
    ck_assert(r[0].tries == 0 && r[0].wrong == 0 && r[0].retry_at_us == 0);
    ck_assert(r[1].tries == 9 && r[1].wrong == 2 && r[1].retry_at_us == NOW);
    ck_assert(r[0].cursor == 6 && r[0].can_take);
}
END_TEST

START_TEST(what_has_a_verdict_is_not_given_up)
{
    gb_replica_t replicas[GB_COMMIT_REPLICAS] = {{.cursor = 6}};
    uint64_t aside = 99;

    for (gb_verdict_state_e state = GB_ENTRY_OPEN; state <= GB_ENTRY_FAILED; state++) {
        gb_entry_t entry = {.seq = 7, .state = state, .status = 201};
        gb_give_up_e said = gb_replica_given_up(replicas, 1, 0, &entry, true, &aside);

        ck_assert_int_eq(said,
                         state == GB_ENTRY_OPEN ? GB_GIVE_UP_DONE : GB_GIVE_UP_DECIDED);
        ck_assert_int_eq(entry.status, state == GB_ENTRY_OPEN ? 502 : 201);
        ck_assert_uint_eq(aside, 0);
    }
    /* As many as there can be, and none at all. */
    for (uint32_t i = 0; i < GB_COMMIT_REPLICAS; i++) {
        replicas[i] = (gb_replica_t){.cursor = 6, .in_flight = i ? 7 : 0};
    }
    give_up_with(replicas, 0, 2, true);
    {
        gb_entry_t entry = {.seq = 7};

        ck_assert_int_eq(
            gb_replica_given_up(replicas, GB_COMMIT_REPLICAS, 0, &entry, false, &aside),
            GB_GIVE_UP_DONE);
        ck_assert_uint_eq(aside, UINT64_MAX - 1);
        entry = (gb_entry_t){.seq = 7};
        ck_assert_int_eq(gb_replica_given_up(replicas, 0, 0, &entry, false, &aside),
                         GB_GIVE_UP_NOBODY_LEFT);
        ck_assert(!gb_replica_may_have(&(gb_replica_t){0}, &(gb_entry_t){0}));
    }
}
END_TEST

START_TEST(reads_are_lost_behind_and_won_at_the_head)
{
    static const struct {
        bool before, aside;
        uint64_t lag;
        int64_t age_us;
        bool reads;
    } rows[] = {{false, false, 0, 0, true},      {false, false, 1, 0, false},
                {true, false, 64, S, true},      {true, false, 65, 0, false},
                {true, false, 1, S + 1, false},  {true, true, 0, 0, false},
                {false, true, 0, 0, false},      {true, false, 0, 9 * S, true},
                {true, false, UINT64_MAX, 0, 0}, {false, false, 64, 0, false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        gb_replica_t r = {.aside = rows[i].aside};

        ck_assert_msg(gb_replica_reads(rows[i].before, &r, rows[i].lag,
                                       rows[i].age_us) == rows[i].reads,
                      "row %zu", i);
    }
}
END_TEST

START_TEST(catching_up_takes_longer_the_more_comes)
{
    ck_assert_int_eq(gb_replica_catch_up_us(0, 1, 1), 0);
    ck_assert_int_eq(gb_replica_catch_up_us(100, 0.01, 0), S);
    ck_assert_int_eq(gb_replica_catch_up_us(100, 0.01, 50), 2 * S);
    ck_assert_int_eq(gb_replica_catch_up_us(100, 0.01, 100), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(100, 0.01, 1e300), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(UINT64_MAX, 1e9, 0), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(1, (double)NAN, 0), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(1, 1, (double)INFINITY), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(1, -1, 0), GB_NEVER_US);
    ck_assert_int_eq(gb_replica_catch_up_us(100, 0.01, -7), S);
}
END_TEST

#define LENGTH(rows) ((int)(sizeof(rows) / sizeof((rows)[0])))

Suite *gb_replica_suite(void)
{
    Suite *suite = suite_create("gb_replica");
    TCase *tests = tcase_create("one replica and one entry");

    tcase_add_loop_test(tests, each_step, 0, LENGTH(step_rows));
    tcase_add_loop_test(tests, each_step_that_is_stopped, 0, LENGTH(step_rows));
    tcase_add_loop_test(tests, each_step_of_one_that_cannot_take, 0, LENGTH(step_rows));
    tcase_add_loop_test(tests, each_answer, 0, LENGTH(answer_rows));
    tcase_add_test(tests, digests_have_to_agree_where_both_send_one);
    tcase_add_test(tests, the_same_5xx_of_two_replicas_fails_an_entry);
    tcase_add_test(tests, alone_a_replica_fails_it_by_saying_it_twice);
    tcase_add_test(tests, the_log_does_not_stand_still_over_different_5xx);
    tcase_add_test(tests, a_write_that_has_cost_two_replicas_costs_no_third);
    tcase_add_test(tests, a_follower_that_cannot_is_set_aside_at_the_third_5xx);
    tcase_add_test(tests, the_pause_doubles_up_to_five_seconds);
    tcase_add_test(tests, the_answerer_stays_as_long_as_it_can);
    tcase_add_loop_test(tests, who_may_have_what_is_given_up_is_set_aside, 0,
                        LENGTH(give_up_rows));
    tcase_add_test(tests, who_waited_to_send_it_again_waits_no_more);
    tcase_add_test(tests, what_has_a_verdict_is_not_given_up);
    tcase_add_test(tests, reads_are_lost_behind_and_won_at_the_head);
    tcase_add_test(tests, catching_up_takes_longer_the_more_comes);
    suite_add_tcase(suite, tests);
    return suite;
}
