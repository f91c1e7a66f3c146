/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_command.c - greenctl's requests, and how members are named.
 */
#include "core/gb_command.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static gb_command_t command;

static const char *parse(const char *line)
{
    return gb_command_parse(&command, line, strlen(line));
}

START_TEST(every_verb_is_read)
{
    for (int verb = 0; verb < GB_VERB_COUNT; verb++) {
        char line[64];

        snprintf(line, sizeof(line), "%s%s%s", gb_command_name((gb_verb_e)verb),
                 gb_command_needs_member((gb_verb_e)verb) ? "\tmember=w" : "",
                 verb == GB_VERB_GIVE_UP ? "\tbalancer=b\tseq=1" : "");
        ck_assert_ptr_null(parse(line));
        ck_assert_int_eq(command.verb, verb);
        ck_assert_int_eq(gb_command_verb(gb_command_name((gb_verb_e)verb)), verb);
    }
}
END_TEST

START_TEST(options_come_in_any_order)
{
    ck_assert_ptr_null(parse("wake\tbalancer=balancer://app\tmember=http://w1:80/a=b"));
    ck_assert_int_eq(command.verb, GB_VERB_WAKE);
    ck_assert_str_eq(command.balancer, "balancer://app");
    ck_assert_str_eq(command.member, "http://w1:80/a=b");
    ck_assert_ptr_null(parse("status\tas=json"));
    ck_assert(command.as_json);
    ck_assert_ptr_null(parse("status"));
    ck_assert(!command.as_json);
    ck_assert_str_eq(command.member, "");
    ck_assert(!command.has_seq);
    ck_assert_ptr_null(parse("accept\tseq=100000000000000000\tmember=w"));
    ck_assert(command.has_seq && command.seq == UINT64_C(100000000000000000));
    ck_assert_ptr_null(parse("give-up\tseq=7\tbalancer=app"));
    ck_assert_int_eq(command.verb, GB_VERB_GIVE_UP);
    ck_assert(command.has_seq && command.seq == 7 && !command.even_so);
    ck_assert_str_eq(command.balancer, "app");
    ck_assert_ptr_null(parse("give-up\teven=so\tbalancer=app\tseq=7"));
    ck_assert(command.even_so);
    ck_assert_ptr_null(parse("accept\tmember=w\tseq=0"));
    ck_assert(command.has_seq && command.seq == 0);
}
END_TEST

static const char *const bad_lines[] = {
    "",
    " ",
    "\t",
    "statu",
    "STATUS",
    "status ",
    "status\t",
    "status\tas=yaml",
    "status\tas=json\tas=json",
    "status\tas=",
    "status\tmember=w",
    "status\tbalancer=b",
    "events\tas=json",
    "pause\tmember=w",
    "resume\tx",
    "wake",
    "wake\tmember=w\tseq=1",
    "accept",
    "accept\tseq=1",
    "accept\tmember=w\teven=so",
    "give-up",
    "give-up\tseq=1",
    "give-up\tbalancer=b",
    "give-up\tbalancer=\tseq=1",
    "give-up\tbalancer=b\tseq=x",
    "give-up\tbalancer=b\tseq=1\tseq=2",
    "give-up\tbalancer=b\tseq=1\tmember=w",
    "give-up\tbalancer=b\tseq=1\teven=",
    "give-up\tbalancer=b\tseq=1\teven=SO",
    "give-up\tbalancer=b\tseq=1\teven=so\teven=so",
    "give-up\tbalancer=b\tseq=1\tas=json",
    "accept\tmember=w\tseq=",
    "accept\tmember=w\tseq=01",
    "accept\tmember=w\tseq=-1",
    "accept\tmember=w\tseq=1x",
    "accept\tmember=w\tseq=1\tseq=1",
    "accept\tmember=w\tseq=1000000000000000000",
    "wake\tmember=",
    "wake\tmember",
    "wake\tmember=a\tmember=b",
    "wake\tmember=a\tbalancer=b\tbalancer=c",
    "wake\tbalancer=b",
    "wake\tmember=a\t",
    "wake\t\tmember=a",
    "wake\tmember=a\x01",
    "wake\tmember=a\x7f",
    "wake\tmember=a\nsleep",
    "wake\tMEMBER=a",
    "wake member=a",
    "averyveryverylongwordthatisnocommand",
};

START_TEST(bad_requests_are_refused)
{
    ck_assert_msg(parse(bad_lines[_i]) != NULL, "taken: %s", bad_lines[_i]);
}
END_TEST

START_TEST(a_nul_is_no_end)
{
    const char line[] = "wake\tmember=a\0b";

    ck_assert_ptr_nonnull(gb_command_parse(&command, line, sizeof(line) - 1));
    ck_assert_ptr_nonnull(gb_command_parse(&command, "status\0", 7));
    ck_assert_ptr_nonnull(gb_command_parse(&command, NULL, 0));
}
END_TEST

START_TEST(names_as_long_as_they_may_be)
{
    char line[GB_COMMAND_BYTES];
    size_t head;

    memset(line, 'm', sizeof(line));
    head = (size_t)snprintf(line, sizeof(line), "wake\tmember=");
    line[head] = 'm';
    ck_assert_ptr_null(gb_command_parse(&command, line, head + GB_NAME_BYTES - 1));
    ck_assert_uint_eq(strlen(command.member), GB_NAME_BYTES - 1);
    ck_assert_ptr_nonnull(gb_command_parse(&command, line, head + GB_NAME_BYTES));
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    char line[GB_COMMAND_BYTES + 1];
    gb_command_t wanted;
    size_t bytes;

    memset(&wanted, 0, sizeof(wanted));
    wanted.verb = GB_VERB_SLEEP;
    memset(wanted.member, 'm', sizeof(wanted.member) - 1);
    memset(wanted.balancer, 'b', sizeof(wanted.balancer) - 1);
    bytes = gb_command_write(&wanted, line, sizeof(line));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_le(bytes, GB_COMMAND_BYTES);
    ck_assert_int_eq(line[bytes - 1], '\n');
    ck_assert_ptr_null(gb_command_parse(&command, line, bytes - 1));
    ck_assert_mem_eq(&command, &wanted, sizeof(wanted));
    ck_assert_uint_eq(gb_command_write(&wanted, line, bytes), 0);
    ck_assert_uint_eq(gb_command_write(&wanted, line, bytes + 1), bytes);
    wanted.verb = GB_VERB_ACCEPT;
    wanted.has_seq = true;
    wanted.seq = UINT64_C(999999999999999999);
    bytes = gb_command_write(&wanted, line, sizeof(line));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_ptr_null(gb_command_parse(&command, line, bytes - 1));
    ck_assert_mem_eq(&command, &wanted, sizeof(wanted));
    wanted = (gb_command_t){.verb = GB_VERB_GIVE_UP, .has_seq = true, .seq = 8};
    ck_assert_uint_eq(gb_command_write(&wanted, line, sizeof(line)), 0);
    memcpy(wanted.balancer, "app", 4);
    wanted.even_so = true;
    bytes = gb_command_write(&wanted, line, sizeof(line));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_ptr_null(gb_command_parse(&command, line, bytes - 1));
    ck_assert(command.even_so && command.has_seq && command.seq == 8);
    ck_assert_str_eq(command.balancer, "app");
}
END_TEST

START_TEST(what_would_be_read_otherwise_is_not_written)
{
    static const char *const names[] = {"a\tbalancer=evil", "a\nsleep", "\t",
                                        "a\x1b[2J", ""};
    char line[GB_COMMAND_BYTES + 1];

    memset(&command, 0, sizeof(command));
    command.verb = GB_VERB_WAKE;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(command.member, sizeof(command.member), "%s", names[i]);
        ck_assert_uint_eq(gb_command_write(&command, line, sizeof(line)), 0);
    }
    command.verb = GB_VERB_COUNT;
    ck_assert_uint_eq(gb_command_write(&command, line, sizeof(line)), 0);
}
END_TEST

static const struct {
    const char *wanted, *url, *machine;
    gb_match_e match;
} names[] = {
    {"http://w1:8080", "http://w1:8080", "m1", GB_MATCH_URL},
    {"http://w1:8080/", "http://w1:8080", "m1", GB_MATCH_URL},
    {"http://w1:8080/app", "http://w1:8080/app/", NULL, GB_MATCH_URL},
    {"http://w1:80", "http://w1", NULL, GB_MATCH_URL},
    {"http://w1:80/", "http://w1", NULL, GB_MATCH_URL},
    {"http://w1", "http://w1:80", NULL, GB_MATCH_URL},
    {"https://w1:443/app/", "https://w1/app", NULL, GB_MATCH_URL},
    {"ajp://w1:8009", "ajp://w1", NULL, GB_MATCH_URL},
    {"http://[::1]:80", "http://[::1]", NULL, GB_MATCH_URL},
    {"http://w1:443", "http://w1", NULL, GB_MATCH_NONE},
    {"https://w1:80", "https://w1", NULL, GB_MATCH_NONE},
    {"http://w1:8080", "http://w1", NULL, GB_MATCH_NONE},
    {"http://w1:180", "http://w1:1", NULL, GB_MATCH_NONE},
    {"http://:80", "http://w1", NULL, GB_MATCH_NONE},
    {"http://", "http://w1", NULL, GB_MATCH_NONE},
    {"http://w1/a", "http://w1/b", NULL, GB_MATCH_NONE},
    {"http://w1/a", "http://w1", NULL, GB_MATCH_NONE},
    {"fcgi://w1:80", "fcgi://w1", NULL, GB_MATCH_NONE},
    {"w1:80", "http://w1", NULL, GB_MATCH_HOST},
    {"W1:443", "https://w1/app", NULL, GB_MATCH_HOST},
    {"[::1]:80", "http://[::1]", NULL, GB_MATCH_HOST},
    {"w1:443", "http://w1", NULL, GB_MATCH_NONE},
    {"w1:80:80", "http://w1", NULL, GB_MATCH_NONE},
    {"w1:80", "http://w1:81", NULL, GB_MATCH_NONE},
    {":80", "http://w1", NULL, GB_MATCH_NONE},
    {"m1", "http://w1:8080", "m1", GB_MATCH_MACHINE},
    {"w1", "http://w1:8080", "w1", GB_MATCH_MACHINE},
    {"w1", "http://w1:8080", "m1", GB_MATCH_HOST},
    {"W1", "http://w1:8080", NULL, GB_MATCH_HOST},
    {"w1:8080", "http://w1:8080", NULL, GB_MATCH_HOST},
    {"w1", "http://w1/app", NULL, GB_MATCH_HOST},
    {"w1", "http://w1", NULL, GB_MATCH_HOST},
    {"::1", "http://[::1]:80/", NULL, GB_MATCH_HOST},
    {"[::1]", "http://[::1]:80/", NULL, GB_MATCH_HOST},
    {"[::1]:80", "http://[::1]:80/", NULL, GB_MATCH_HOST},
    {"[::1]:8", "http://[::1]:80/", NULL, GB_MATCH_NONE},
    {"::", "http://[::1]:80/", NULL, GB_MATCH_NONE},
    {"w", "http://w1:8080", NULL, GB_MATCH_NONE},
    {"w11", "http://w1:8080", NULL, GB_MATCH_NONE},
    {"w1:80", "http://w1:8080", NULL, GB_MATCH_NONE},
    {"w1:", "http://w1:8080", NULL, GB_MATCH_NONE},
    {"", "http://w1:8080", "", GB_MATCH_NONE},
    {"/", "http://w1:8080", "m1", GB_MATCH_NONE},
    {"http", "http://w1:8080", NULL, GB_MATCH_NONE},
    {"M1", "http://w1:8080", "m1", GB_MATCH_NONE},
    {"w1", "http://[w1", NULL, GB_MATCH_NONE},
    {"x", "", NULL, GB_MATCH_NONE},
    {"", "", NULL, GB_MATCH_NONE},
};

START_TEST(a_member_is_named_by_url_machine_or_host)
{
    ck_assert_int_eq(
        gb_command_match(names[_i].wanted, names[_i].url, names[_i].machine),
        names[_i].match);
}
END_TEST

START_TEST(a_balancer_is_named_with_or_without_its_scheme)
{
    ck_assert(gb_command_match_balancer("balancer://app", "balancer://app", "p1!app"));
    ck_assert(gb_command_match_balancer("app", "balancer://app", "p1!app"));
    ck_assert(gb_command_match_balancer("p1!app", "balancer://app", "p1!app"));
    ck_assert(!gb_command_match_balancer("ap", "balancer://app", "p1!app"));
    ck_assert(!gb_command_match_balancer("", "balancer://app", "p1!app"));
    ck_assert(!gb_command_match_balancer("app2", "balancer://app", "p1!app"));
}
END_TEST

Suite *gb_command_suite(void)
{
    Suite *suite = suite_create("gb_command");
    TCase *tcase = tcase_create("requests");

    tcase_add_test(tcase, every_verb_is_read);
    tcase_add_test(tcase, options_come_in_any_order);
    tcase_add_loop_test(tcase, bad_requests_are_refused, 0,
                        (int)(sizeof(bad_lines) / sizeof(bad_lines[0])));
    tcase_add_test(tcase, a_nul_is_no_end);
    tcase_add_test(tcase, names_as_long_as_they_may_be);
    tcase_add_test(tcase, what_is_written_is_read_back);
    tcase_add_test(tcase, what_would_be_read_otherwise_is_not_written);
    tcase_add_loop_test(tcase, a_member_is_named_by_url_machine_or_host, 0,
                        (int)(sizeof(names) / sizeof(names[0])));
    tcase_add_test(tcase, a_balancer_is_named_with_or_without_its_scheme);
    suite_add_tcase(suite, tcase);
    return suite;
}
