/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_beat.c - heartbeats, answers, and the window that believes each once.
 */
#include "core/gb_beat.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const uint8_t some_mac[GB_BEAT_MAC_BYTES] = {0xab, 0xcd, 1, 2, 3};

static gb_beat_t full_beat(void)
{
    gb_beat_t beat = {.server = "http://10.0.0.11:8080",
                      .session = UINT64_C(0x8f0c6a5be1d21f43),
                      .seq = 17,
                      .nonce = {0, 0x11, 0x22, 0xff},
                      .load_permille = 250,
                      .work = 3,
                      .veto = true,
                      .reason = "a backup runs: 40 % done",
                      .has_watts = true,
                      .milliwatts = 85300,
                      .going = true};

    return beat;
}

static gb_answer_t full_answer(void)
{
    gb_answer_t answer = {.server = "http://10.0.0.11:8080",
                          .session = 1,
                          .seq = UINT64_MAX,
                          .nonce = {9},
                          .believed = true,
                          .order = GB_BEAT_ORDER_OFF,
                          .next_ms = 15000};

    return answer;
}

static size_t sealed_beat(const gb_beat_t *beat, char text[GB_BEAT_BYTES])
{
    size_t bytes = gb_beat_write(beat, text, GB_BEAT_BYTES);

    return bytes ? gb_beat_seal(text, GB_BEAT_BYTES, bytes, some_mac) : 0;
}

static size_t sealed_answer(const gb_answer_t *answer, char text[GB_BEAT_BYTES])
{
    size_t bytes = gb_beat_write_answer(answer, text, GB_BEAT_BYTES);

    return bytes ? gb_beat_seal(text, GB_BEAT_BYTES, bytes, some_mac) : 0;
}

static const char *read_text(const char *text, size_t bytes)
{
    uint8_t mac[GB_BEAT_MAC_BYTES];
    size_t signed_bytes;
    gb_beat_t beat;

    return gb_beat_read(&beat, &signed_bytes, mac, text, bytes);
}

/* ---------------------------------------------------------------- texts */

START_TEST(a_heartbeat_has_this_text)
{
    gb_beat_t beat = full_beat();
    char text[GB_BEAT_BYTES];

    ck_assert_uint_ne(gb_beat_write(&beat, text, sizeof text), 0);
    ck_assert_str_eq(text, "green-beat 1\nserver=http://10.0.0.11:8080\n"
                           "session=8f0c6a5be1d21f43\nseq=17\n"
                           "nonce=001122ff000000000000000000000000\n"
                           "load=250\nwork=3\nveto=1\n"
                           "reason=a backup runs: 40 % done\nwatts=85300\ngoing=1\n");
}
END_TEST

START_TEST(every_field_of_a_heartbeat_is_read_back)
{
    gb_beat_t beat = full_beat(), again;
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char text[GB_BEAT_BYTES];
    size_t bytes = sealed_beat(&beat, text), signed_bytes;

    ck_assert_ptr_null(gb_beat_read(&again, &signed_bytes, mac, text, bytes));
    ck_assert_str_eq(again.server, beat.server);
    ck_assert(again.session == beat.session && again.seq == beat.seq);
    ck_assert_mem_eq(again.nonce, beat.nonce, sizeof again.nonce);
    ck_assert_uint_eq(again.load_permille, beat.load_permille);
    ck_assert_uint_eq(again.work, beat.work);
    ck_assert(again.veto && again.going && again.has_watts);
    ck_assert_str_eq(again.reason, beat.reason);
    ck_assert_uint_eq(again.milliwatts, beat.milliwatts);
    ck_assert_mem_eq(mac, some_mac, sizeof mac);
    ck_assert_mem_eq(text + signed_bytes, "mac=", 4);
}
END_TEST

START_TEST(every_field_of_an_answer_is_read_back)
{
    gb_answer_t answer = full_answer(), again;
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char text[GB_BEAT_BYTES];
    size_t bytes = sealed_answer(&answer, text), signed_bytes;

    ck_assert_ptr_null(gb_beat_read_answer(&again, &signed_bytes, mac, text, bytes));
    ck_assert_str_eq(again.server, answer.server);
    ck_assert(again.session == answer.session && again.seq == answer.seq);
    ck_assert_mem_eq(again.nonce, answer.nonce, sizeof again.nonce);
    ck_assert(again.believed && again.order == GB_BEAT_ORDER_OFF);
    ck_assert_uint_eq(again.next_ms, answer.next_ms);
}
END_TEST

START_TEST(without_watts_or_veto)
{
    gb_beat_t beat = full_beat(), again;
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char text[GB_BEAT_BYTES];
    size_t signed_bytes;

    beat.has_watts = beat.veto = beat.going = false;
    beat.milliwatts = 0;
    beat.reason[0] = '\0';
    ck_assert_ptr_null(
        gb_beat_read(&again, &signed_bytes, mac, text, sealed_beat(&beat, text)));
    ck_assert(!again.has_watts && !again.veto && !again.going);
    ck_assert_str_eq(again.reason, "");
}
END_TEST

/* A byte that is changed makes another beat (whose MAC is another), or none. */
START_TEST(no_changed_byte_goes_unseen)
{
    gb_beat_t beat = full_beat();
    char text[GB_BEAT_BYTES], again_text[GB_BEAT_BYTES];
    size_t bytes = sealed_beat(&beat, text);

    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t mac[GB_BEAT_MAC_BYTES];
            size_t signed_bytes, written;
            gb_beat_t again;

            text[i] = (char)(text[i] ^ (1 << bit));
            if (!gb_beat_read(&again, &signed_bytes, mac, text, bytes)) {
                written = gb_beat_write(&again, again_text, sizeof again_text);
                ck_assert_uint_eq(written, signed_bytes);
                ck_assert_mem_eq(again_text, text, written);
                ck_assert(i < signed_bytes || memcmp(mac, some_mac, sizeof mac) != 0);
            }
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    }
}
END_TEST

START_TEST(what_is_cut_or_prolonged_is_refused)
{
    gb_beat_t beat = full_beat();
    gb_answer_t answer = full_answer();
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char text[GB_BEAT_BYTES];
    size_t bytes = sealed_beat(&beat, text), signed_bytes;

    for (size_t cut = 0; cut < bytes; cut++) {
        ck_assert_ptr_nonnull(read_text(text, cut));
    }
    ck_assert_ptr_nonnull(read_text(text, bytes + 1)); /* with the NUL */
    ck_assert_ptr_null(read_text(text, bytes));
    bytes = sealed_answer(&answer, text);
    for (size_t cut = 0; cut < bytes; cut++) {
        ck_assert_ptr_nonnull(
            gb_beat_read_answer(&answer, &signed_bytes, mac, text, cut));
    }
}
END_TEST

START_TEST(one_is_not_taken_for_the_other)
{
    gb_beat_t beat = full_beat();
    gb_answer_t answer = full_answer();
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char text[GB_BEAT_BYTES];
    size_t signed_bytes, bytes = sealed_answer(&answer, text);

    ck_assert_ptr_nonnull(read_text(text, bytes));
    bytes = sealed_beat(&beat, text);
    ck_assert_ptr_nonnull(
        gb_beat_read_answer(&answer, &signed_bytes, mac, text, bytes));
}
END_TEST

#define HEAD  "green-beat 1\nserver=http://a\nsession=0000000000000001\nseq=1\n"
#define NONCE "nonce=00000000000000000000000000000000\n"
#define MAC   "mac=0000000000000000000000000000000000000000000000000000000000000000\n"
#define REST  "load=0\nwork=0\nveto=0\nreason=\nwatts=none\ngoing=0\n"

START_TEST(this_is_the_smallest_heartbeat)
{
    ck_assert_ptr_null(read_text(HEAD NONCE REST MAC, strlen(HEAD NONCE REST MAC)));
}
END_TEST

static const char *const bad_texts[] = {
    "",
    "\n",
    MAC,
    "green-beat 2\nserver=http://a\nsession=0000000000000001\nseq=1\n" NONCE REST MAC,
    "green-beat 1\r\nserver=http://a\nsession=0000000000000001\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=\nsession=0000000000000001\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a b\nsession=0000000000000001\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://\x01\nsession=0000000000000001\nseq=1\n" NONCE REST
        MAC,
    "green-beat 1\nserver=http://\xc3\xa4\nsession=0000000000000001\nseq=1\n" NONCE REST
        MAC,
    "green-beat 1\nsession=0000000000000001\nserver=http://a\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000000\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=000000000000000A\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=1\nseq=1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000001\nseq=0\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000001\nseq=01\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000001\nseq=-1\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000001\nseq=\n" NONCE REST MAC,
    "green-beat 1\nserver=http://a\nsession=0000000000000001\n"
    "seq=18446744073709551616\n" NONCE REST MAC,
    HEAD NONCE NONCE REST MAC,
    HEAD REST MAC,
    HEAD NONCE REST "x=1\n" MAC,
    HEAD NONCE REST MAC MAC,
    HEAD NONCE REST MAC " ",
    HEAD NONCE REST,
    HEAD "nonce=0000000000000000000000000000000g\n" REST MAC,
    HEAD NONCE "load=1000001\nwork=0\nveto=0\nreason=\nwatts=none\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=4294967296\nveto=0\nreason=\nwatts=none\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=2\nreason=\nwatts=none\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=0\nreason=why\nwatts=none\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=1\nreason=\x1b[2J\nwatts=none\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=0\nreason=\nwatts=100000001\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=0\nreason=\nwatts=\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=0\nreason=\nwatts=1.5\ngoing=0\n" MAC,
    HEAD NONCE "load=0\nwork=0\nveto=0\nreason=\nwatts=none\ngoing=yes\n" MAC,
};

START_TEST(a_bad_text_is_refused)
{
    ck_assert_ptr_nonnull(read_text(bad_texts[_i], strlen(bad_texts[_i])));
}
END_TEST

START_TEST(what_could_not_be_read_is_not_written)
{
    char text[GB_BEAT_BYTES];
    gb_beat_t beat = full_beat();
    gb_answer_t answer = full_answer();

    snprintf(beat.reason, sizeof beat.reason, "x\nwatts=none");
    ck_assert_uint_eq(gb_beat_write(&beat, text, sizeof text), 0);
    beat = full_beat();
    beat.veto = false; /* and a reason */
    ck_assert_uint_eq(gb_beat_write(&beat, text, sizeof text), 0);
    beat = full_beat();
    beat.session = 0;
    ck_assert_uint_eq(gb_beat_write(&beat, text, sizeof text), 0);
    beat = full_beat();
    ck_assert_uint_eq(gb_beat_write(&beat, text, 100), 0);
    answer.believed = false; /* and an order */
    ck_assert_uint_eq(gb_beat_write_answer(&answer, text, sizeof text), 0);
    answer.order = GB_BEAT_ORDER_NONE;
    ck_assert_uint_ne(gb_beat_write_answer(&answer, text, sizeof text), 0);
    answer.next_ms = 99;
    ck_assert_uint_eq(gb_beat_write_answer(&answer, text, sizeof text), 0);
    answer = full_answer();
    answer.next_ms = GB_BEAT_NEXT_MOST_MS + 1;
    ck_assert_uint_eq(gb_beat_write_answer(&answer, text, sizeof text), 0);
    ck_assert_uint_eq(gb_beat_seal(text, 69, 0, some_mac), 0);
    ck_assert_uint_eq(gb_beat_seal(text, 70, 0, some_mac), 69);
}
END_TEST

/* The longest of everything still fits. */
START_TEST(the_longest_heartbeat_fits)
{
    gb_beat_t beat = full_beat();
    char text[GB_BEAT_BYTES];

    memset(beat.server, 'a', sizeof beat.server - 1);
    memset(beat.reason, 'b', sizeof beat.reason - 1);
    beat.seq = UINT64_MAX;
    beat.load_permille = GB_BEAT_LOAD_MOST;
    beat.work = UINT32_MAX;
    beat.milliwatts = GB_BEAT_MILLIWATTS_MOST;
    ck_assert_uint_ne(sealed_beat(&beat, text), 0);
    ck_assert_ptr_null(read_text(text, strlen(text)));
}
END_TEST

/* ---------------------------------------------------------------- the window */

static gb_beat_window_t window;

static void renew(uint8_t value)
{
    uint8_t nonce[GB_BEAT_NONCE_BYTES] = {value, 1};

    gb_beat_window_renew(&window, nonce);
}

/* A beat with the nonce that has this value; 0: one that has none yet. */
static gb_beat_verdict_e judge(uint64_t session, uint64_t seq, uint8_t value)
{
    gb_beat_t beat = {.session = session, .seq = seq, .nonce = {value, value != 0}};

    return gb_beat_window_judge(&window, &beat, NULL);
}

static void fresh_window(void)
{
    memset(&window, 0, sizeof window);
    renew(1);
}

START_TEST(the_first_beat_of_a_session_is_challenged)
{
    ck_assert_int_eq(judge(7, 1, 0), GB_BEAT_CHALLENGED);
    ck_assert_uint_eq(window.session, 0);
    ck_assert_int_eq(judge(7, 2, 1), GB_BEAT_BELIEVED);
    ck_assert_uint_eq(window.session, 7);
    ck_assert_uint_eq(window.seq, 2);
}
END_TEST

START_TEST(a_window_without_a_nonce_believes_nobody)
{
    memset(&window, 0, sizeof window);
    ck_assert_int_eq(judge(7, 1, 0), GB_BEAT_CHALLENGED);
    ck_assert_int_eq(judge(7, 2, 1), GB_BEAT_CHALLENGED);
}
END_TEST

START_TEST(each_beat_is_believed_once)
{
    ck_assert_int_eq(judge(7, 5, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(7, 5, 1), GB_BEAT_REPLAYED);
    ck_assert_int_eq(judge(7, 4, 1), GB_BEAT_REPLAYED);
    ck_assert_int_eq(judge(7, 6, 1), GB_BEAT_BELIEVED);
}
END_TEST

START_TEST(an_earlier_beat_that_comes_later_is_refused)
{
    ck_assert_int_eq(judge(7, 1, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(7, 3, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(7, 2, 1), GB_BEAT_REPLAYED);
}
END_TEST

START_TEST(an_answer_may_get_lost)
{
    ck_assert_int_eq(judge(7, 1, 1), GB_BEAT_BELIEVED);
    renew(2); /* and the agent does not hear of it */
    ck_assert_int_eq(judge(7, 2, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(7, 3, 1), GB_BEAT_BELIEVED);
    renew(3);
    ck_assert_int_eq(judge(7, 4, 1), GB_BEAT_CHALLENGED);
    ck_assert_int_eq(judge(7, 5, 3), GB_BEAT_BELIEVED);
}
END_TEST

START_TEST(it_is_said_whether_the_latest_nonce_was_used)
{
    gb_beat_t beat = {.session = 7, .seq = 1, .nonce = {1, 1}};
    bool is_fresh = false;

    ck_assert_int_eq(gb_beat_window_judge(&window, &beat, &is_fresh), GB_BEAT_BELIEVED);
    ck_assert(is_fresh);
    renew(2);
    beat.seq = 2;
    ck_assert_int_eq(gb_beat_window_judge(&window, &beat, &is_fresh), GB_BEAT_BELIEVED);
    ck_assert(!is_fresh);
}
END_TEST

START_TEST(a_new_session_needs_the_latest_nonce)
{
    ck_assert_int_eq(judge(7, 1, 1), GB_BEAT_BELIEVED);
    renew(2);
    ck_assert_int_eq(judge(8, 1, 1), GB_BEAT_CHALLENGED);
    ck_assert_uint_eq(window.session, 7);
    ck_assert_int_eq(judge(8, 2, 2), GB_BEAT_BELIEVED);
    ck_assert_uint_eq(window.session, 8);
}
END_TEST

START_TEST(an_old_session_does_not_come_back)
{
    ck_assert_int_eq(judge(7, 1, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(8, 1, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(7, 9, 1), GB_BEAT_REPLACED);
    ck_assert_uint_eq(window.session, 8);
    /* Long forgotten, it lacks the nonce. */
    for (uint64_t session = 9; session < 9 + GB_BEAT_RETIRED; session++) {
        renew((uint8_t)session);
        ck_assert_int_eq(judge(session, 1, (uint8_t)session), GB_BEAT_BELIEVED);
    }
    ck_assert_int_eq(judge(7, 9, 1), GB_BEAT_CHALLENGED);
}
END_TEST

/* Of two agents with one URL and key the one that started last is heard. */
START_TEST(of_two_agents_the_later_is_heard)
{
    uint64_t seq[2] = {1, 1};

    ck_assert_int_eq(judge(7, seq[0]++, 1), GB_BEAT_BELIEVED);
    ck_assert_int_eq(judge(8, seq[1]++, 1), GB_BEAT_BELIEVED);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(judge(7, seq[0]++, 1), GB_BEAT_REPLACED);
        ck_assert_int_eq(judge(8, seq[1]++, 1), GB_BEAT_BELIEVED);
    }
}
END_TEST

/* A keeper that takes over knows session and number, and has given out no nonce. */
START_TEST(a_new_keeper_asks_first)
{
    memset(&window, 0, sizeof window);
    window.session = 7;
    window.seq = 40;
    renew(9);
    ck_assert_int_eq(judge(7, 40, 1), GB_BEAT_REPLAYED);
    ck_assert_int_eq(judge(7, 41, 1), GB_BEAT_CHALLENGED);
    ck_assert_int_eq(judge(7, 42, 9), GB_BEAT_BELIEVED);
}
END_TEST

Suite *gb_beat_suite(void);

Suite *gb_beat_suite(void)
{
    Suite *suite = suite_create("gb_beat");
    TCase *tcase = tcase_create("texts");

    tcase_add_test(tcase, a_heartbeat_has_this_text);
    tcase_add_test(tcase, every_field_of_a_heartbeat_is_read_back);
    tcase_add_test(tcase, every_field_of_an_answer_is_read_back);
    tcase_add_test(tcase, without_watts_or_veto);
    tcase_add_test(tcase, no_changed_byte_goes_unseen);
    tcase_add_test(tcase, what_is_cut_or_prolonged_is_refused);
    tcase_add_test(tcase, one_is_not_taken_for_the_other);
    tcase_add_test(tcase, this_is_the_smallest_heartbeat);
    tcase_add_loop_test(tcase, a_bad_text_is_refused, 0,
                        (int)(sizeof bad_texts / sizeof bad_texts[0]));
    tcase_add_test(tcase, what_could_not_be_read_is_not_written);
    tcase_add_test(tcase, the_longest_heartbeat_fits);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("window");
    tcase_add_checked_fixture(tcase, fresh_window, NULL);
    tcase_add_test(tcase, the_first_beat_of_a_session_is_challenged);
    tcase_add_test(tcase, a_window_without_a_nonce_believes_nobody);
    tcase_add_test(tcase, each_beat_is_believed_once);
    tcase_add_test(tcase, an_earlier_beat_that_comes_later_is_refused);
    tcase_add_test(tcase, an_answer_may_get_lost);
    tcase_add_test(tcase, it_is_said_whether_the_latest_nonce_was_used);
    tcase_add_test(tcase, a_new_session_needs_the_latest_nonce);
    tcase_add_test(tcase, an_old_session_does_not_come_back);
    tcase_add_test(tcase, of_two_agents_the_later_is_heard);
    tcase_add_test(tcase, a_new_keeper_asks_first);
    suite_add_tcase(suite, tcase);
    return suite;
}
