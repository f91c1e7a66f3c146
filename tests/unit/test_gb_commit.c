/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_commit.c - statuses, terms, the field, and nines against every combination of
 * failures.
 *
 * Random tests print their seed; GB_SEED=N repeats a run.
 */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/gb_commit.h"

#include "tests/unit/dice.h"

Suite *gb_commit_suite(void);

#define S    GB_US_PER_S
#define MS   GB_US_PER_MS
#define HOUR (INT64_C(3600) * S)
#define YEAR (INT64_C(365) * 24 * HOUR)

/* ------------------------------------------------------------ words */

START_TEST(every_status_means_one_thing)
{
    for (int status = -1; status < 1200; status++) {
        gb_commit_outcome_e outcome = gb_commit_outcome(status);
        gb_commit_outcome_e wanted = status < 200 || status >= 600 ? GB_OUT_UNCLEAR
                                     : status < 400                ? GB_OUT_ACCEPTED
                                     : status < 500                ? GB_OUT_REJECTED
                                                                   : GB_OUT_ROLLED_BACK;

        switch (status) {
        case 408:
        case 425:
        case 429:
        case 503:
            wanted = GB_OUT_RETRY;
            break;
        case 502:
        case 504:
            wanted = GB_OUT_UNCLEAR;
            break;
        default:
            break;
        }
        ck_assert_msg(outcome == wanted, "%d", status);
    }
}
END_TEST

START_TEST(methods_are_told_apart_by_their_exact_names)
{
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE"};
    static const char *const unsafe[] = {"POST", "PATCH", "PUT", "DELETE", "get",
                                         "GETX", "",      "G",   "LOCK"};

    for (size_t i = 0; i < 4; i++) {
        ck_assert(gb_commit_is_safe(safe[i]));
        ck_assert(!gb_commit_is_repeatable(safe[i]));
    }
    for (size_t i = 0; i < 9; i++) {
        ck_assert(!gb_commit_is_safe(unsafe[i]));
        ck_assert(gb_commit_is_repeatable(unsafe[i]) ==
                  (!strcmp(unsafe[i], "PUT") || !strcmp(unsafe[i], "DELETE")));
    }
    ck_assert(!gb_commit_is_safe(NULL) && !gb_commit_is_repeatable(NULL));
}
END_TEST

/* ------------------------------------------------------------ terms */

static const gb_commit_conf_t usual = {.on = true,
                                       .quorum = 2,
                                       .wait_us = 300 * MS,
                                       .late_status = 503,
                                       .quorum_least = 2,
                                       .quorum_most = 4,
                                       .wait_least_us = 100 * MS,
                                       .wait_most_us = 2 * S};

static gb_commit_terms_t asked(uint32_t quorum, int64_t wait_us, bool async,
                               bool is_client, uint32_t members)
{
    gb_commit_wish_t wish = {quorum, wait_us, async};

    return gb_commit_terms(&usual, &wish, is_client, members);
}

START_TEST(without_a_wish_the_terms_are_those_configured)
{
    gb_commit_conf_t all = usual;
    gb_commit_terms_t terms = gb_commit_terms(&usual, NULL, false, 4);

    ck_assert_uint_eq(terms.need, 2);
    ck_assert_int_eq(terms.wait_us, 300 * MS);
    ck_assert_int_eq(terms.late_status, 503);
    ck_assert_uint_eq(gb_commit_terms(&usual, NULL, false, 1).need, 1);
    ck_assert_uint_eq(gb_commit_terms(&usual, NULL, false, 0).need, 1);
    all.quorum = GB_COMMIT_ALL;
    ck_assert_uint_eq(gb_commit_terms(&all, NULL, false, 7).need, 7);
    all.quorum = 0;
    ck_assert_uint_eq(gb_commit_terms(&all, NULL, false, 7).need, 1);
}
END_TEST

START_TEST(application_is_brought_into_the_limits)
{
    ck_assert_uint_eq(asked(3, -1, false, false, 6).need, 3);
    ck_assert_uint_eq(asked(1, -1, false, false, 6).need, 2);
    ck_assert_uint_eq(asked(5, -1, false, false, 6).need, 4);
    ck_assert_uint_eq(asked(GB_COMMIT_ALL, -1, false, false, 6).need, 4);
    ck_assert_uint_eq(asked(GB_COMMIT_ALL, -1, false, false, 3).need, 3);
    ck_assert_uint_eq(asked(0, -1, false, false, 6).need, 2);
    ck_assert_int_eq(asked(0, 800 * MS, false, false, 6).wait_us, 800 * MS);
    ck_assert_int_eq(asked(0, 0, false, false, 6).wait_us, 100 * MS);
    ck_assert_int_eq(asked(0, 9 * S, false, false, 6).wait_us, 2 * S);
    ck_assert_int_eq(asked(0, -1, false, false, 6).wait_us, 300 * MS);
    ck_assert_int_eq(asked(3, -1, true, false, 6).late_status, 503);
}
END_TEST

START_TEST(application_has_no_say_without_limits)
{
    gb_commit_conf_t conf = {
        .quorum = 2, .wait_us = 300 * MS, .late_status = 202}; /* limits: 0 */
    gb_commit_wish_t wish = {5, 9 * S, false};
    gb_commit_terms_t terms = gb_commit_terms(&conf, &wish, false, 6);

    ck_assert_uint_eq(terms.need, 2);
    ck_assert_int_eq(terms.wait_us, 300 * MS);
    ck_assert_int_eq(terms.late_status, 202);
}
END_TEST

START_TEST(client_has_a_say_in_the_wait_alone)
{
    ck_assert_uint_eq(asked(4, 1 * S, false, true, 6).need, 2);
    ck_assert_int_eq(asked(0, 1 * S, false, true, 6).wait_us, 1 * S);
    ck_assert_int_eq(asked(0, 0, false, true, 6).wait_us, 0);
    ck_assert_int_eq(asked(0, 3600 * S, false, true, 6).wait_us, 2 * S);
    ck_assert_int_eq(asked(0, 1 * S, false, true, 6).late_status, 503);
    ck_assert_int_eq(asked(0, -1, true, true, 6).wait_us, 0);
    ck_assert_int_eq(asked(0, 1 * S, true, true, 6).wait_us, 1 * S);
    ck_assert_int_eq(asked(0, -1, true, true, 6).late_status, 202);
}
END_TEST

START_TEST(client_can_wait_as_long_as_is_configured_beyond_the_limits)
{
    gb_commit_conf_t conf = usual;
    gb_commit_wish_t wish = {0, 60 * S, false};

    conf.wait_us = 5 * S;
    ck_assert_int_eq(gb_commit_terms(&conf, &wish, true, 3).wait_us, 5 * S);
    conf.wait_most_us = 0;
    ck_assert_int_eq(gb_commit_terms(&conf, &wish, true, 3).wait_us, 5 * S);
}
END_TEST

static int64_t any_us(uint64_t *dice)
{
    static const int64_t some[] = {INT64_MIN, -1, 0, 1, 300 * MS, 2 * S, GB_NEVER_US};
    uint64_t chosen = dice_roll(dice) % 9;

    return chosen < 7 ? some[chosen] : (int64_t)(dice_roll(dice) % (10 * S));
}

static uint32_t any_quorum(uint64_t *dice)
{
    static const uint32_t some[] = {0, 1, GB_COMMIT_ALL, GB_COMMIT_ALL - 1};
    uint64_t chosen = dice_roll(dice) % 8;

    return chosen < 4 ? some[chosen] : (uint32_t)(dice_roll(dice) % 9);
}

START_TEST(terms_are_possible_whatever_is_configured_and_wished)
{
    uint64_t dice = dice_seed("terms_are_possible_whatever_is_configured_and_wished");

    for (int i = 0; i < 200000; i++) {
        gb_commit_conf_t conf = {.quorum = any_quorum(&dice),
                                 .wait_us = any_us(&dice),
                                 .late_status = (int)(dice_roll(&dice) % 600),
                                 .quorum_least = any_quorum(&dice),
                                 .quorum_most = any_quorum(&dice),
                                 .wait_least_us = any_us(&dice),
                                 .wait_most_us = any_us(&dice)};
        gb_commit_wish_t wish = {any_quorum(&dice), any_us(&dice),
                                 dice_roll(&dice) & 1};
        uint32_t members = (uint32_t)(dice_roll(&dice) % 9);
        bool is_client = dice_roll(&dice) & 1;
        gb_commit_terms_t terms = gb_commit_terms(&conf, &wish, is_client, members);
        gb_commit_terms_t plain = gb_commit_terms(&conf, NULL, is_client, members);

        ck_assert_uint_ge(terms.need, 1);
        ck_assert_uint_le(terms.need, members ? members : 1);
        ck_assert_int_ge(terms.wait_us, 0);
        ck_assert(terms.late_status == 202 || terms.late_status == 503);
        if (is_client) {
            ck_assert_uint_eq(terms.need, plain.need);
            ck_assert(terms.wait_us <= plain.wait_us ||
                      terms.wait_us <= conf.wait_most_us);
        }
        else if (conf.quorum_most >= conf.quorum_least && conf.quorum_most && members &&
                 wish.quorum) {
            ck_assert_uint_le(terms.need, conf.quorum_most);
            ck_assert(terms.need >= conf.quorum_least || terms.need == members);
        }
    }
}
END_TEST

/* ------------------------------------------------------------ the field */

START_TEST(field_says_what_is_known)
{
    gb_commit_mark_t mark = {.id = "5f0c",
                             .epoch = 3,
                             .seq = 1042,
                             .state = GB_COMMIT_MET,
                             .need = 2,
                             .copies = 2,
                             .of = 4,
                             .asleep = 1,
                             .same = true,
                             .nines = 7.49};
    char field[GB_COMMIT_FIELD_BYTES];

    ck_assert_uint_eq(gb_commit_print(field, sizeof(field), &mark), strlen(field));
    ck_assert_str_eq(field, "id=\"5f0c\", epoch=3, seq=1042, state=met, need=2, "
                            "copies=2, of=4, asleep=1, aside=0, same=?1, nines=7.4");
    mark.nines = -1;
    mark.same = false;
    mark.seq = 0;
    mark.state = GB_COMMIT_OPEN;
    mark.copies = 0;
    memcpy(mark.id, "a\"b\\c\x80 ", 8);
    gb_commit_print(field, sizeof(field), &mark);
    ck_assert_str_eq(field, "id=\"a\\\"b\\\\c\", state=open, need=2, copies=0, of=4, "
                            "asleep=1, aside=0, same=?0");
    mark.id[0] = '\0';
    mark.state = GB_COMMIT_UNKNOWN;
    gb_commit_print(field, sizeof(field), &mark);
    ck_assert_str_eq(field, "state=unknown");
}
END_TEST

START_TEST(states_have_names_of_their_own)
{
    for (int a = 0; a <= GB_COMMIT_UNKNOWN; a++) {
        for (int b = 0; b < a; b++) {
            ck_assert_str_ne(gb_commit_state_name((gb_commit_state_e)a),
                             gb_commit_state_name((gb_commit_state_e)b));
        }
    }
    ck_assert_str_eq(gb_commit_state_name((gb_commit_state_e)99), "invalid");
}
END_TEST

START_TEST(nines_are_said_within_their_bounds_and_never_too_high)
{
    static const struct {
        double nines;
        const char *said;
    } cases[] = {{0, "0.0"},     {0.09, "0.0"},     {0.1, "0.1"},    {7, "7.0"},
                 {9.99, "9.9"},  {99.9, "99.9"},    {1e300, "99.9"}, {0.3, "0.3"},
                 {12.3, "12.3"}, {INFINITY, "99.9"}};
    gb_commit_mark_t mark = {.state = GB_COMMIT_MET};
    char field[GB_COMMIT_FIELD_BYTES];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *at;

        mark.nines = cases[i].nines;
        gb_commit_print(field, sizeof(field), &mark);
        at = strstr(field, "nines=");
        ck_assert_ptr_nonnull(at);
        ck_assert_str_eq(at + 6, cases[i].said);
    }
    mark.nines = NAN;
    gb_commit_print(field, sizeof(field), &mark);
    ck_assert_ptr_null(strstr(field, "nines"));
}
END_TEST

START_TEST(longest_field_has_room_and_a_shorter_room_is_left_empty)
{
    gb_commit_mark_t mark = {.epoch = GB_COMMIT_INTEGER_MOST,
                             .seq = GB_COMMIT_INTEGER_MOST,
                             .state = GB_COMMIT_EVERYWHERE,
                             .need = UINT32_MAX,
                             .copies = UINT32_MAX,
                             .of = UINT32_MAX,
                             .asleep = UINT32_MAX,
                             .aside = UINT32_MAX,
                             .nines = 99.9};
    char field[GB_COMMIT_FIELD_BYTES];
    size_t length;

    memset(mark.id, '"', sizeof(mark.id) - 1);
    length = gb_commit_print(field, sizeof(field), &mark);
    ck_assert_uint_gt(length, 400);
    ck_assert_uint_eq(gb_commit_print(field, length + 1, &mark), length);
    for (size_t room = 0; room <= length; room++) {
        memset(field, 'x', sizeof(field));
        ck_assert_uint_eq(gb_commit_print(field, room, &mark), 0);
        ck_assert_int_eq(field[room], 'x');
        ck_assert(room == 0 || field[0] == '\0');
    }
    mark.seq++;
    gb_commit_print(field, sizeof(field), &mark);
    ck_assert_ptr_null(strstr(field, "seq"));
    memset(mark.id, 'x', sizeof(mark.id)); /* no NUL in it */
    ck_assert_uint_gt(gb_commit_print(field, sizeof(field), &mark), 0);
}
END_TEST

/* ------------------------------------------------------------ nines */

static double failure(int64_t mttf_us, int64_t window_us)
{
    return 1 - exp(-(double)window_us / (double)mttf_us);
}

/* Multiplied out, domain by domain.  Domains are numbered 0..count-1 here. */
static double plain_loss(const gb_commit_copy_t *copies, size_t count,
                         int64_t window_us)
{
    double loss = 1;

    for (uint32_t domain = 0; domain < count; domain++) {
        double least = 1;

        for (size_t i = 0; i < count; i++) {
            if (copies[i].domain == domain) {
                least = fmin(least, failure(copies[i].mttf_us, window_us));
            }
        }
        loss *= least;
    }
    return loss;
}

START_TEST(nines_agree_with_what_is_multiplied_out)
{
    uint64_t dice = dice_seed("nines_agree_with_what_is_multiplied_out");

    for (int i = 0; i < 3000; i++) {
        gb_commit_copy_t copies[5], alone[5];
        size_t count = 1 + dice_roll(&dice) % 5;
        int64_t window_us = (int64_t)(dice_roll(&dice) % (uint64_t)(100 * HOUR)) + S;
        double plain, nines;

        for (size_t c = 0; c < count; c++) {
            copies[c].domain = (uint32_t)(dice_roll(&dice) % count);
            copies[c].mttf_us =
                (int64_t)(dice_roll(&dice) % (uint64_t)(1000 * HOUR)) + S;
        }
        plain = plain_loss(copies, count, window_us);
        nines = gb_commit_nines(copies, count, window_us);
        ck_assert_msg(fabs(pow(10, -nines) - plain) <= 1e-9 * plain + 1e-15,
                      "%zu copies, %g instead of %g", count, pow(10, -nines), plain);

        /* One that stands alone in its domain may leave its name out. */
        memcpy(alone, copies, sizeof(alone));
        for (size_t c = 0; c < count; c++) {
            size_t of = 0;

            for (size_t b = 0; b < count; b++) {
                of += copies[b].domain == copies[c].domain;
            }
            alone[c].domain = of == 1 ? GB_NO_INDEX : copies[c].domain;
        }
        ck_assert_double_eq_tol(gb_commit_nines(alone, count, window_us), nines, 1e-9);
    }
}
END_TEST

START_TEST(nines_of_two_machines_can_be_worked_out_by_hand)
{
    gb_commit_copy_t copies[] = {{YEAR, GB_NO_INDEX}, {YEAR, GB_NO_INDEX}};

    /* An hour of 8760: 1.1415e-4 each, squared. */
    ck_assert_double_eq_tol(gb_commit_nines(copies, 2, HOUR), 7.885, 0.001);
    ck_assert_double_eq_tol(gb_commit_nines(copies, 1, HOUR), 3.9425, 0.001);
    copies[0].domain = copies[1].domain = 3; /* one room: they go together */
    ck_assert_double_eq_tol(gb_commit_nines(copies, 2, HOUR), 3.9425, 0.001);
    copies[1].mttf_us = YEAR * 10; /* which is worth what the better one is */
    ck_assert_double_eq_tol(gb_commit_nines(copies, 2, HOUR), 4.9425, 0.001);
    copies[1].domain = 4;
    ck_assert_double_eq_tol(gb_commit_nines(copies, 2, HOUR), 8.885, 0.001);
}
END_TEST

START_TEST(nines_are_left_out_when_somebody_did_not_declare)
{
    gb_commit_copy_t copies[] = {{YEAR, GB_NO_INDEX}, {0, 1}};

    ck_assert_double_lt(gb_commit_nines(copies, 2, HOUR), 0);
    ck_assert_double_lt(gb_commit_nines(copies, 0, HOUR), 0);
    ck_assert_double_gt(gb_commit_nines(copies, 1, HOUR), 0);
    copies[0].mttf_us = -1;
    ck_assert_double_lt(gb_commit_nines(copies, 1, HOUR), 0);
}
END_TEST

START_TEST(nines_are_a_number_in_bounds_whatever_comes)
{
    uint64_t dice = dice_seed("nines_are_a_number_in_bounds_whatever_comes");

    for (int i = 0; i < 20000; i++) {
        gb_commit_copy_t copies[GB_COMMIT_REPLICAS];
        size_t count = 1 + dice_roll(&dice) % GB_COMMIT_REPLICAS;
        double nines, fewer;

        for (size_t c = 0; c < count; c++) {
            copies[c].mttf_us =
                (int64_t)(dice_roll(&dice) >> (1 + dice_roll(&dice) % 62)) + 1;
            copies[c].domain = any_quorum(&dice);
        }
        nines = gb_commit_nines(copies, count, any_us(&dice));
        ck_assert(nines >= 0 && nines <= GB_COMMIT_NINES_MOST);
        nines = gb_commit_nines(copies, count, HOUR);
        fewer = gb_commit_nines(copies, count, 2 * HOUR);
        ck_assert_double_le(fewer, nines + 1e-9);
    }
}
END_TEST

Suite *gb_commit_suite(void)
{
    Suite *suite = suite_create("gb_commit");
    TCase *tests = tcase_create("writes");

    tcase_add_test(tests, every_status_means_one_thing);
    tcase_add_test(tests, methods_are_told_apart_by_their_exact_names);
    tcase_add_test(tests, without_a_wish_the_terms_are_those_configured);
    tcase_add_test(tests, application_is_brought_into_the_limits);
    tcase_add_test(tests, application_has_no_say_without_limits);
    tcase_add_test(tests, client_has_a_say_in_the_wait_alone);
    tcase_add_test(tests, client_can_wait_as_long_as_is_configured_beyond_the_limits);
    tcase_add_test(tests, terms_are_possible_whatever_is_configured_and_wished);
    tcase_add_test(tests, field_says_what_is_known);
    tcase_add_test(tests, states_have_names_of_their_own);
    tcase_add_test(tests, nines_are_said_within_their_bounds_and_never_too_high);
    tcase_add_test(tests, longest_field_has_room_and_a_shorter_room_is_left_empty);
    tcase_add_test(tests, nines_agree_with_what_is_multiplied_out);
    tcase_add_test(tests, nines_of_two_machines_can_be_worked_out_by_hand);
    tcase_add_test(tests, nines_are_left_out_when_somebody_did_not_declare);
    tcase_add_test(tests, nines_are_a_number_in_bounds_whatever_comes);
    suite_add_tcase(suite, tests);
    return suite;
}
