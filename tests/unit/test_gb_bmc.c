/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_bmc.c - the words of FreeIPMI's tools and of power drivers.
 */
#include "core/gb_bmc.h"

#include <check.h>
#include <string.h>

static bool read_text(const char *line, gb_bmc_line_t *said)
{
    return gb_bmc_read_line(line, strlen(line), said);
}

/* As FreeIPMI 1.6.10 printed them. */
static const struct {
    const char *line, *host;
    gb_bmc_word_e word;
} lines[] = {
    {"127.0.0.1: off", "127.0.0.1", GB_BMC_IS_OFF},
    {"127.0.0.1: on", "127.0.0.1", GB_BMC_IS_ON},
    {"127.0.0.1: ok", "127.0.0.1", GB_BMC_ACCEPTED},
    {"::1: off", "::1", GB_BMC_IS_OFF},
    {"bmc-1.example.org: on\r", "bmc-1.example.org", GB_BMC_IS_ON},
    {"127.0.0.1: BMC error", "127.0.0.1", GB_BMC_FAULT},
    {"127.0.0.1: BMC busy", "127.0.0.1", GB_BMC_BUSY},
    {"127.0.0.1: connection timeout", "127.0.0.1", GB_BMC_SILENT},
    {"127.0.0.1: session timeout", "127.0.0.1", GB_BMC_SILENT},
    {"127.0.0.1: password verification timeout", "127.0.0.1", GB_BMC_SILENT},
    {"127.0.0.1: password invalid", "127.0.0.1", GB_BMC_BAD_PASSWORD},
    {"127.0.0.1: username invalid", "127.0.0.1", GB_BMC_BAD_USER},
    {"127.0.0.1: cipher suite id unavailable", "127.0.0.1", GB_BMC_NO_SUITE},
    {"127.0.0.1: privilege level cannot be obtained for this user", "127.0.0.1",
     GB_BMC_NO_RIGHT},
    {"nosuch.invalid: invalid hostname", "nosuch.invalid", GB_BMC_NO_HOST},
    {"127.0.0.1:9102: ipmi-dcmi: connection timeout", "127.0.0.1:9102", GB_BMC_SILENT},
    {"[::1]:623: ipmi-dcmi: password invalid", "[::1]:623", GB_BMC_BAD_PASSWORD},
    {"127.0.0.1:9101: ipmi_ctx_open_outofband_2_0: internal IPMI error",
     "127.0.0.1:9101", GB_BMC_FAULT},
    {"127.0.0.1:9101: ipmi_cmd_dcmi_get_power_reading: privilege level insufficient",
     "127.0.0.1:9101", GB_BMC_NO_RIGHT},
    {"h: something else", "h", GB_BMC_OTHER},
    {"h: on fire", "h", GB_BMC_OTHER},
    {"h: o", "h", GB_BMC_OTHER},
};

START_TEST(line_of_a_tool_is_understood)
{
    gb_bmc_line_t said;

    ck_assert(read_text(lines[_i].line, &said));
    ck_assert_str_eq(said.host, lines[_i].host);
    ck_assert_int_eq(said.word, lines[_i].word);
}
END_TEST

static const char *const not_lines[] = {
    "",
    "on",
    ": on",
    "h:on",
    "Config File Error: invalid value for username",
    "a b: on",
    "h;reboot: on",
    "ipmipower: ",
    "h: ",
};

START_TEST(line_without_a_host_is_refused)
{
    gb_bmc_line_t said;

    ck_assert(!read_text(not_lines[_i], &said));
}
END_TEST

START_TEST(host_longer_than_any_address_is_refused)
{
    char line[GB_ADDRESS_BYTES + 8];
    gb_bmc_line_t said;

    memset(line, 'h', sizeof line);
    memcpy(line + GB_ADDRESS_BYTES, ": on", 5);
    ck_assert(!read_text(line, &said));
    memcpy(line + GB_ADDRESS_BYTES - 1, ": on", 5);
    ck_assert(read_text(line, &said));
    ck_assert_uint_eq(strlen(said.host), GB_ADDRESS_BYTES - 1);
}
END_TEST

START_TEST(watts_are_read_from_the_line_of_current_power)
{
    gb_bmc_line_t said;

    ck_assert(read_text(
        "127.0.0.1:9101: Current Power                        : 120 Watts", &said));
    ck_assert_int_eq(said.word, GB_BMC_WATTS);
    ck_assert(said.watts > 119.9 && said.watts < 120.1);
    ck_assert(read_text("h: Average Power over sampling duration : 9 watts", &said));
    ck_assert_int_eq(said.word, GB_BMC_OTHER);
    ck_assert(read_text("h: Current Power : -3 Watts", &said));
    ck_assert_int_eq(said.word, GB_BMC_OTHER);
    ck_assert(read_text("h: Current Power : 1e9 Watts", &said));
    ck_assert_int_eq(said.word, GB_BMC_OTHER);
    ck_assert(read_text("h: Current Power : 12", &said));
    ck_assert_int_eq(said.word, GB_BMC_OTHER);
    ck_assert(read_text("h: Current Power", &said));
    ck_assert_int_eq(said.word, GB_BMC_OTHER);
}
END_TEST

START_TEST(text_is_printable_and_bounded)
{
    static const char line[] = "h: a\x1b[31m\0\xff";
    char longer[1000];
    gb_bmc_line_t said;

    ck_assert(gb_bmc_read_line(line, sizeof line - 1, &said));
    ck_assert_str_eq(said.text, "a?[31m??");
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "h: ", 3);
    ck_assert(gb_bmc_read_line(longer, sizeof longer, &said));
    ck_assert_uint_eq(strlen(said.text), GB_REASON_BYTES - 1);
}
END_TEST

START_TEST(order_that_may_have_been_carried_out_is_lost_not_refused)
{
    static const gb_bmc_word_e refusals[] = {GB_BMC_BAD_USER, GB_BMC_BAD_PASSWORD,
                                             GB_BMC_NO_RIGHT, GB_BMC_NO_SUITE};

    for (int word = 0; word < GB_BMC_WORDS; word++) {
        gb_ladder_result_e expected =
            word == GB_BMC_ACCEPTED ? GB_LADDER_OK : GB_LADDER_LOST;

        for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
            if ((int)refusals[i] == word) {
                expected = GB_LADDER_REFUSED;
            }
        }
        ck_assert_int_eq(gb_bmc_order_result((gb_bmc_word_e)word), expected);
    }
}
END_TEST

START_TEST(question_is_answered_by_its_own_words_only)
{
    ck_assert_int_eq(gb_bmc_status_result(GB_BMC_IS_ON), GB_LADDER_OK);
    ck_assert_int_eq(gb_bmc_status_result(GB_BMC_IS_OFF), GB_LADDER_OK);
    ck_assert_int_eq(gb_bmc_status_result(GB_BMC_ACCEPTED), GB_LADDER_LOST);
    ck_assert_int_eq(gb_bmc_status_result(GB_BMC_WATTS), GB_LADDER_LOST);
    ck_assert_int_eq(gb_bmc_status_result(GB_BMC_BAD_USER), GB_LADDER_REFUSED);
    ck_assert_int_eq(gb_bmc_watts_result(GB_BMC_WATTS), GB_LADDER_OK);
    ck_assert_int_eq(gb_bmc_watts_result(GB_BMC_IS_ON), GB_LADDER_LOST);
    ck_assert_int_eq(gb_bmc_watts_result(GB_BMC_NOT_ABLE), GB_LADDER_REFUSED);
    ck_assert_int_eq(gb_bmc_watts_result(GB_BMC_ACCEPTED), GB_LADDER_LOST);
}
END_TEST

START_TEST(another_suite_is_tried_for_what_a_wrong_one_causes)
{
    ck_assert(gb_bmc_blames_suite(GB_BMC_FAULT));
    ck_assert(gb_bmc_blames_suite(GB_BMC_NO_SUITE));
    ck_assert(gb_bmc_blames_suite(GB_BMC_BAD_PASSWORD));
    ck_assert(!gb_bmc_blames_suite(GB_BMC_BAD_USER));
    ck_assert(!gb_bmc_blames_suite(GB_BMC_SILENT));
    ck_assert(!gb_bmc_blames_suite(GB_BMC_BUSY));
}
END_TEST

static void feed(gb_bmc_driver_t *driver, const char *line)
{
    gb_bmc_driver_line(driver, line, strlen(line));
}

START_TEST(driver_status_is_a_line_of_one_word)
{
    gb_bmc_driver_t driver = {0};
    bool powered = false;

    ck_assert(!gb_bmc_driver_status(&driver, &powered));
    feed(&driver, "warning: the switch is on fire");
    ck_assert(!gb_bmc_driver_status(&driver, &powered));
    feed(&driver, "  ON \r");
    ck_assert(gb_bmc_driver_status(&driver, &powered));
    ck_assert(powered);
    feed(&driver, "");
    ck_assert_str_eq(driver.last, "ON");
    feed(&driver, "off");
    ck_assert(!gb_bmc_driver_status(&driver, &powered));
}
END_TEST

START_TEST(driver_status_off_is_read)
{
    gb_bmc_driver_t driver = {0};
    bool powered = true;

    feed(&driver, "off");
    feed(&driver, "off");
    ck_assert(gb_bmc_driver_status(&driver, &powered));
    ck_assert(!powered);
}
END_TEST

START_TEST(driver_watts_are_one_number)
{
    gb_bmc_driver_t driver = {0};
    double watts = -1;

    feed(&driver, "-5");
    feed(&driver, "0x10");
    feed(&driver, "nan");
    feed(&driver, "100001");
    ck_assert(!gb_bmc_driver_watts(&driver, &watts));
    feed(&driver, "120.5");
    ck_assert(gb_bmc_driver_watts(&driver, &watts));
    ck_assert(watts > 120.4 && watts < 120.6);
    feed(&driver, "7");
    ck_assert(!gb_bmc_driver_watts(&driver, &watts));
}
END_TEST

START_TEST(number_with_a_nul_in_it_is_no_number)
{
    gb_bmc_driver_t driver = {0};
    double watts;

    gb_bmc_driver_line(&driver,
                       "12\0"
                       "34",
                       5);
    ck_assert(!gb_bmc_driver_watts(&driver, &watts));
}
END_TEST

Suite *gb_bmc_suite(void);

Suite *gb_bmc_suite(void)
{
    Suite *suite = suite_create("gb_bmc");
    TCase *tool = tcase_create("tool");
    TCase *driver = tcase_create("driver");

    tcase_add_loop_test(tool, line_of_a_tool_is_understood, 0,
                        (int)(sizeof lines / sizeof lines[0]));
    tcase_add_loop_test(tool, line_without_a_host_is_refused, 0,
                        (int)(sizeof not_lines / sizeof not_lines[0]));
    tcase_add_test(tool, host_longer_than_any_address_is_refused);
    tcase_add_test(tool, watts_are_read_from_the_line_of_current_power);
    tcase_add_test(tool, text_is_printable_and_bounded);
    tcase_add_test(tool, order_that_may_have_been_carried_out_is_lost_not_refused);
    tcase_add_test(tool, question_is_answered_by_its_own_words_only);
    tcase_add_test(tool, another_suite_is_tried_for_what_a_wrong_one_causes);
    suite_add_tcase(suite, tool);
    tcase_add_test(driver, driver_status_is_a_line_of_one_word);
    tcase_add_test(driver, driver_status_off_is_read);
    tcase_add_test(driver, driver_watts_are_one_number);
    tcase_add_test(driver, number_with_a_nul_in_it_is_no_number);
    suite_add_tcase(suite, driver);
    return suite;
}
