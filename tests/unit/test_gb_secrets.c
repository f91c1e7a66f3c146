/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_secrets.c - lines of the secrets file.
 */
#include "core/gb_secrets.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const char *read_text(const char *text, gb_secret_t *secret)
{
    return gb_secrets_read_line(text, strlen(text), secret);
}

START_TEST(empty_lines_and_comments_are_nothing)
{
    static const char *const lines[] = {"", "   ", "\t", "# ipmi a b c", "  #", "\r"};
    gb_secret_t secret;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        ck_assert_ptr_null(read_text(lines[i], &secret));
        ck_assert_uint_eq(secret.kind, GB_SECRET_NONE);
    }
}
END_TEST

static const struct {
    const char *line, *bmc, *user, *password;
} good[] = {
    {"ipmi 10.0.0.1 admin secret", "10.0.0.1:623", "admin", "secret"},
    {"  ipmi\t10.0.0.1:6230  admin   secret \r", "10.0.0.1:6230", "admin", "secret"},
    {"ipmi BMC-1.Example.org a b", "bmc-1.example.org:623", "a", "b"},
    {"ipmi [2001:DB8:0::1]:7 a b", "[2001:db8::1]:7", "a", "b"},
    {"ipmi [::1] a b", "[::1]:623", "a", "b"},
    {"ipmi h a #b", "h:623", "a", "#b"},
    {"ipmi h a b\"c\\", "h:623", "a", "b\"c\\"},
    {"ipmi h \"a b\" \"c \\\"d\\\\ \"", "h:623", "a b", "c \"d\\ "},
    {"ipmi h 1234567890123456 12345678901234567890", "h:623", "1234567890123456",
     "12345678901234567890"},
};

START_TEST(ipmi_line_is_read)
{
    gb_secret_t secret;

    ck_assert_ptr_null(read_text(good[_i].line, &secret));
    ck_assert_uint_eq(secret.kind, GB_SECRET_IPMI);
    ck_assert_str_eq(secret.bmc, good[_i].bmc);
    ck_assert_str_eq(secret.user, good[_i].user);
    ck_assert_str_eq(secret.password, good[_i].password);
}
END_TEST

START_TEST(redfish_line_is_read)
{
    gb_secret_t secret;

    ck_assert_ptr_null(
        read_text("redfish HTTPS://BMC:443/redfish/v1/ \"a user\" p\"w", &secret));
    ck_assert_uint_eq(secret.kind, GB_SECRET_REDFISH);
    ck_assert_str_eq(secret.url, "https://bmc/redfish/v1");
    ck_assert_str_eq(secret.user, "a user");
    ck_assert_str_eq(secret.password, "p\"w");
}
END_TEST

START_TEST(agent_line_is_read)
{
    gb_secret_t secret;

    ck_assert_ptr_null(read_text("agent http://Web1/app 0123456789abcdef", &secret));
    ck_assert_uint_eq(secret.kind, GB_SECRET_AGENT);
    ck_assert_str_eq(secret.server, "http://web1:80");
    ck_assert_str_eq(secret.password, "0123456789abcdef");
}
END_TEST

START_TEST(longest_words_fit_and_longer_ones_are_refused)
{
    char user[GB_SECRET_USER_MOST + 2], password[GB_SECRET_PASSWORD_MOST + 2];
    char line[GB_SECRET_LINE_MOST];
    gb_secret_t secret;

    for (size_t i = 0; i < 4; i++) {
        const size_t users = GB_SECRET_USER_MOST + (i & 1);
        const size_t passwords = GB_SECRET_PASSWORD_MOST + (i >> 1);

        memset(user, 'u', sizeof user);
        memset(password, 'p', sizeof password);
        user[users] = password[passwords] = '\0';
        snprintf(line, sizeof line, "redfish https://h %s %s", user, password);
        ck_assert_int_eq(read_text(line, &secret) == NULL, i == 0);
        ck_assert(i > 0 || strcmp(secret.user, user) == 0);
        ck_assert(i > 0 || strcmp(secret.password, password) == 0);
        snprintf(line, sizeof line, "agent http://h %s", password);
        ck_assert_int_eq(read_text(line, &secret) == NULL, i < 2);
    }
}
END_TEST

START_TEST(secureon_line_is_read)
{
    static const unsigned char mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    static const unsigned char password[6] = {0, 1, 2, 3, 4, 0xff};
    gb_secret_t secret;

    ck_assert_ptr_null(
        read_text("secureon 52-54-00-12-34-56 00:01:02:03:04:ff", &secret));
    ck_assert_uint_eq(secret.kind, GB_SECRET_SECUREON);
    ck_assert_int_eq(memcmp(secret.mac, mac, 6), 0);
    ck_assert_int_eq(memcmp(secret.secureon, password, 6), 0);
}
END_TEST

/* Each has a part "hunter2" that no message may repeat, and what it has to speak of. */
static const struct {
    const char *line, *about;
} bad[] = {
    {"redfish https://hunter2/ a", "redfish URL"},
    {"redfish https://h a b hunter2", "redfish URL"},
    {"redfish h a hunter2", "second word"},
    {"redfish https://a:hunter2@h a b", "second word"},
    {"redfish https://h \"\" hunter2", "user name"},
    {"redfish https://hunter2 a \"\"", "password"},
    {"agent http://h", "agent SERVER-URL"},
    {"agent http://h 0123456789abcdef hunter2", "agent SERVER-URL"},
    {"agent hunter2 0123456789abcdef", "second word"},
    {"agent http://h hunter2hunter2x", "16 to 128"},
    {"Agent http://h hunter2hunter2hunter2", "unknown kind"},
    {"IPMI h a hunter2", "unknown kind"},
    {"hunter2", "unknown kind"},
    {"\"ipmi\"h a hunter2", "quoted"},
    {"ipmi h hunter2", "ipmi HOST"},
    {"ipmi h a b hunter2", "ipmi HOST"},
    {"ipmi h a b c d e f hunter2", "ipmi HOST"},
    {"ipmi h:0 a hunter2", "second word"},
    {"ipmi h:65536 a hunter2", "second word"},
    {"ipmi 1.2.3 a hunter2", "second word"},
    {"ipmi ::1 a hunter2", "second word"},
    {"ipmi -h a hunter2", "second word"},
    {"ipmi h,i a hunter2", "second word"},
    {"ipmi h[1-9] a hunter2", "second word"},
    {"ipmi h 12345678901234567 hunter2", "user name"},
    {"ipmi h \"\" hunter2", "user name"},
    {"ipmi h a hunter2hunter2hunter2", "password"},
    {"ipmi hunter2 a \"\"", "password"},
    {"ipmi h a \"hunter2", "quoted"},
    {"ipmi h a \"b\"hunter2", "quoted"},
    {"ipmi h a \"hunter2\\\"", "quoted"},
    {"ipmi h a hunter2\x01", "printable"},
    {"ipmi h a hunter2\xc3\xa4", "printable"},
    {"secureon 52:54:00:12:34:56 hunter2", "SecureOn"},
    {"secureon hunter2 00:01:02:03:04:ff", "hardware address"},
    {"secureon 52:54:00:12:34:56 00:01:02:03:04:ff hunter2", "secureon MAC"},
};

START_TEST(faulty_line_is_refused_without_being_quoted)
{
    gb_secret_t secret, zero;
    const char *error = read_text(bad[_i].line, &secret);

    memset(&zero, 0, sizeof zero);
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, bad[_i].about) != NULL, "%s: %s", bad[_i].line, error);
    ck_assert_ptr_null(strstr(error, "hunter2"));
    ck_assert_int_eq(memcmp(&secret, &zero, sizeof zero), 0);
}
END_TEST

START_TEST(line_with_a_nul_is_refused)
{
    static const char line[] = "ipmi h a b\0c";
    gb_secret_t secret;

    ck_assert_ptr_nonnull(gb_secrets_read_line(line, sizeof line - 1, &secret));
}
END_TEST

START_TEST(line_of_the_greatest_length_fits_and_a_longer_one_is_refused)
{
    char line[GB_SECRET_LINE_MOST + 1];
    gb_secret_t secret;

    memset(line, ' ', sizeof line);
    memcpy(line, "ipmi h a b", 10);
    ck_assert_ptr_null(gb_secrets_read_line(line, GB_SECRET_LINE_MOST, &secret));
    ck_assert_ptr_nonnull(gb_secrets_read_line(line, sizeof line, &secret));
    memset(line, 'x', sizeof line);
    ck_assert_ptr_nonnull(gb_secrets_read_line(line, GB_SECRET_LINE_MOST, &secret));
}
END_TEST

Suite *gb_secrets_suite(void);

Suite *gb_secrets_suite(void)
{
    Suite *suite = suite_create("gb_secrets");
    TCase *tcase = tcase_create("line");

    tcase_add_test(tcase, empty_lines_and_comments_are_nothing);
    tcase_add_loop_test(tcase, ipmi_line_is_read, 0,
                        (int)(sizeof good / sizeof good[0]));
    tcase_add_test(tcase, redfish_line_is_read);
    tcase_add_test(tcase, agent_line_is_read);
    tcase_add_test(tcase, longest_words_fit_and_longer_ones_are_refused);
    tcase_add_test(tcase, secureon_line_is_read);
    tcase_add_loop_test(tcase, faulty_line_is_refused_without_being_quoted, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, line_with_a_nul_is_refused);
    tcase_add_test(tcase, line_of_the_greatest_length_fits_and_a_longer_one_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
