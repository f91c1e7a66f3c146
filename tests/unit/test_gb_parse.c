/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_parse.c - the readers of words accept what is documented and nothing else.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_parse.h"

Suite *gb_parse_suite(void);

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

#define UNTOUCHED 77

START_TEST(duration_takes_each_unit_and_seconds_without_one)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"0", 0},
                {"7", 7000000},
                {"500ms", 500000},
                {"3s", 3000000},
                {"5m", 300000000},
                {"2h", INT64_C(7200000000)},
                {"1d", INT64_C(86400000000)},
                {"007s", 7000000},
                {"9223372036854775ms", INT64_C(9223372036854775000)}};

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t us = UNTOUCHED;

        ck_assert_msg(gb_parse_duration(good[i].text, &us), "%s", good[i].text);
        ck_assert_int_eq(us, good[i].us);
    }
}
END_TEST

START_TEST(duration_refuses_the_rest_and_leaves_the_result_alone)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "s",
                                      "-1s",
                                      "+1s",
                                      "1.5s",
                                      "1 s",
                                      " 1s",
                                      "1s ",
                                      "1S",
                                      "1us",
                                      "1w",
                                      "0x10",
                                      "1e3s",
                                      "1ms5s",
                                      "1m30",
                                      "1,5s",
                                      "ms",
                                      "9223372036854776ms",
                                      "106751992d",
                                      "18446744073709551616s",
                                      "99999999999999999999999"};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t us = UNTOUCHED;

        ck_assert_msg(!gb_parse_duration(bad[i], &us), "%s", bad[i]);
        ck_assert_int_eq(us, UNTOUCHED);
    }
    ck_assert(!gb_parse_duration(NULL, &(int64_t){0}));
}
END_TEST

START_TEST(size_takes_each_unit_and_bytes_without_one)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},
                {"1023", 1023},
                {"64K", 65536},
                {"1m", 1048576},
                {"4G", INT64_C(4294967296)},
                {"8589934591G", INT64_C(8589934591) << 30},
                {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"",
                                      "K",
                                      "1MB",
                                      "1 M",
                                      "-1",
                                      "1.5M",
                                      "+1",
                                      "1T",
                                      "0x10",
                                      "8589934592G",
                                      "9223372036854775808"};
    int64_t bytes = -7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!gb_parse_size(bad[i], &bytes), "%s", bad[i]);
        ck_assert_int_eq(bytes, -7);
    }
    ck_assert(!gb_parse_size(NULL, &bytes));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(gb_parse_size(good[i].text, &bytes), "%s", good[i].text);
        ck_assert_int_eq(bytes, good[i].bytes);
    }
}
END_TEST

START_TEST(count_keeps_its_range)
{
    uint32_t count = UNTOUCHED;

    ck_assert(!gb_parse_count("0", 1, 16, &count));
    ck_assert(!gb_parse_count("17", 1, 16, &count));
    ck_assert(!gb_parse_count("-1", 0, 16, &count));
    ck_assert(!gb_parse_count("4294967297", 1, 16, &count));
    ck_assert(!gb_parse_count("18446744073709551617", 1, 16, &count));
    ck_assert(!gb_parse_count("3x", 1, 16, &count));
    ck_assert(!gb_parse_count("", 0, 16, &count));
    ck_assert(!gb_parse_count(NULL, 0, 16, &count));
    ck_assert(!gb_parse_count("8", 0, 5, &count));
    ck_assert(!gb_parse_count("1", 0, 0, &count));
    ck_assert_uint_eq(count, UNTOUCHED);
    ck_assert(gb_parse_count("1", 1, 16, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert(gb_parse_count("16", 1, 16, &count));
    ck_assert_uint_eq(count, 16);
    ck_assert(gb_parse_count("4294967295", 0, UINT32_MAX, &count));
    ck_assert_uint_eq(count, UINT32_MAX);
}
END_TEST

START_TEST(percent_is_exact_to_a_tenth)
{
    static const char *const bad[] = {"",       "80",   "%",     "101%",   "100.1%",
                                      "80.25%", "-1%",  "80 %",  "80%%",   ".5%",
                                      "5.%",    "1e1%", "0x10%", "80.5.1%"};
    uint32_t permille = UNTOUCHED;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_percent(bad[i], &permille), "%s", bad[i]);
    }
    ck_assert(!gb_parse_percent(NULL, &permille));
    ck_assert_uint_eq(permille, UNTOUCHED);
    ck_assert(gb_parse_percent("80%", &permille));
    ck_assert_uint_eq(permille, 800);
    ck_assert(gb_parse_percent("0.5%", &permille));
    ck_assert_uint_eq(permille, 5);
    ck_assert(gb_parse_percent("100.0%", &permille));
    ck_assert_uint_eq(permille, 1000);
    ck_assert(gb_parse_percent("0%", &permille));
    ck_assert_uint_eq(permille, 0);
}
END_TEST

START_TEST(per_day_and_switch_take_their_words_only)
{
    uint32_t count = UNTOUCHED;
    bool on = false;

    ck_assert(!gb_parse_per_day("24", &count));
    ck_assert(!gb_parse_per_day("0/day", &count));
    ck_assert(!gb_parse_per_day("24/hour", &count));
    ck_assert(!gb_parse_per_day("24/days", &count));
    ck_assert(!gb_parse_per_day("/day", &count));
    ck_assert(!gb_parse_per_day(NULL, &count));
    ck_assert_uint_eq(count, UNTOUCHED);
    ck_assert(gb_parse_per_day("24/day", &count));
    ck_assert_uint_eq(count, 24);

    ck_assert(gb_parse_switch("On", &on));
    ck_assert(on);
    ck_assert(!gb_parse_switch("yes", &on));
    ck_assert(!gb_parse_switch("o", &on));
    ck_assert(!gb_parse_switch("", &on));
    ck_assert(!gb_parse_switch("offf", &on));
    ck_assert(!gb_parse_switch(NULL, &on));
    ck_assert(on);
    ck_assert(gb_parse_switch("OFF", &on));
    ck_assert(!on);
}
END_TEST

START_TEST(statuses_ascend_within_http)
{
    static const char *const bad[] = {"",        "99",      "600",    "200-",
                                      "-399",    "300-200", "2xx",    "200-399-",
                                      "200,301", "200-600", "099-200"};
    uint32_t from = UNTOUCHED, to = UNTOUCHED;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_statuses(bad[i], &from, &to), "%s", bad[i]);
    }
    ck_assert(!gb_parse_statuses(NULL, &from, &to));
    ck_assert_uint_eq(from, UNTOUCHED);
    ck_assert_uint_eq(to, UNTOUCHED);
    ck_assert(gb_parse_statuses("200-399", &from, &to));
    ck_assert_uint_eq(from, 200);
    ck_assert_uint_eq(to, 399);
    ck_assert(gb_parse_statuses("204", &from, &to));
    ck_assert_uint_eq(from, 204);
    ck_assert_uint_eq(to, 204);
}
END_TEST

START_TEST(mac_takes_both_separators_but_no_mixture_nor_group)
{
    static const unsigned char wanted[6] = {0x52, 0x54, 0x00, 0xab, 0xCD, 0xef};
    static const char *const bad[] = {"",
                                      "52:54:00:ab:cd",
                                      "52:54:00:ab:cd:ef:01",
                                      "52:54:00:ab:cd-ef",
                                      "52-54:00:ab:cd:ef",
                                      "525400abcdef",
                                      "52 54 00 ab cd ef",
                                      "52:54:00:ab:cd:eg",
                                      "52:54:00:ab:cd: f",
                                      "5:254:00:ab:cd:ef",
                                      "00:00:00:00:00:00",
                                      "ff:ff:ff:ff:ff:ff",
                                      "01:00:5e:00:00:01"};
    unsigned char mac[6] = {UNTOUCHED};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_mac(bad[i], mac), "%s", bad[i]);
    }
    ck_assert(!gb_parse_mac(NULL, mac));
    ck_assert_uint_eq(mac[0], UNTOUCHED);
    ck_assert(gb_parse_mac("52:54:00:AB:cd:ef", mac));
    ck_assert_mem_eq(mac, wanted, 6);
    memset(mac, 0, sizeof mac);
    ck_assert(gb_parse_mac("52-54-00-ab-CD-EF", mac));
    ck_assert_mem_eq(mac, wanted, 6);
}
END_TEST

START_TEST(addresses_that_mean_the_same_are_written_the_same)
{
    static const struct {
        const char *text, *canonical;
    } good[] = {{"10.0.0.7", "10.0.0.7:623"},
                {"10.0.0.7:623", "10.0.0.7:623"},
                {"BMC7.Example.NET", "bmc7.example.net:623"},
                {"bmc-7:1", "bmc-7:1"},
                {"bmc_7:65535", "bmc_7:65535"},
                {"7up.example", "7up.example:623"},
                {"[2001:DB8:0:0::7]", "[2001:db8::7]:623"},
                {"[2001:db8::7]:623", "[2001:db8::7]:623"},
                {"[::1]:9", "[::1]:9"},
                {"a", "a:623"}};

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char canonical[GB_ADDRESS_BYTES];
        gb_address_t address;

        ck_assert_msg(gb_parse_address(good[i].text, GB_PORT_IPMI, &address), "%s",
                      good[i].text);
        gb_parse_write_address(&address, canonical);
        ck_assert_str_eq(canonical, good[i].canonical);
    }
}
END_TEST

START_TEST(address_refuses_what_only_looks_like_one)
{
    static const char *const bad[] = {
        "",           ":623",   "a:",         "a:0",        "a:65536",
        "a:6x",       "a:-1",   "1.2.3",      "1.2.3.256",  "01.2.3.4",
        "1.2.3.4.5",  "0x7f.1", "2130706433", "0x7f000001", "a..b",
        ".a",         "a.",     "-a",         "a-",         "a-.b",
        "a b",        "a/b",    "user@a",     "::1",        "2001:db8::7",
        "[::1",       "[::1]x", "[::1]:",     "[::1]:0",    "[fe80::1%eth0]",
        "[10.0.0.1]", "[]",     "[a]",        "a\tb",       "a\n",
        "\xc3\xa4",   "a:1:2"};
    char text[300];
    gb_address_t address = {.port = UNTOUCHED};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_address(bad[i], GB_PORT_IPMI, &address), "%s", bad[i]);
    }
    ck_assert(!gb_parse_address(NULL, GB_PORT_IPMI, &address));
    memset(text, 'a', sizeof text);
    text[64] = '\0'; /* a label too long by one */
    ck_assert(!gb_parse_address(text, GB_PORT_IPMI, &address));
    text[63] = '\0';
    ck_assert(gb_parse_address(text, GB_PORT_IPMI, &address));
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = i % 2 ? '.' : 'a';
    }
    text[255] = '\0';
    address.port = UNTOUCHED;
    ck_assert(!gb_parse_address(text, GB_PORT_IPMI, &address));
    ck_assert_uint_eq(address.port, UNTOUCHED);
    text[253] = '\0';
    ck_assert(gb_parse_address(text, GB_PORT_IPMI, &address));
    ck_assert_uint_eq(strlen(address.host), 253);
}
END_TEST

START_TEST(decimal_has_no_sign_exponent_or_special_word)
{
    static const char *const bad[] = {"",    "-1",    "+1",       "1e3",      "nan",
                                      "inf", "0x1p3", "1.",       ".5",       "1,5",
                                      " 1",  "1 ",    "100000.1", "1.0000001"};
    double value = UNTOUCHED;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_decimal(bad[i], 100000, &value), "%s", bad[i]);
    }
    ck_assert(!gb_parse_decimal(NULL, 1, &value));
    ck_assert_double_eq(value, UNTOUCHED);
    ck_assert(gb_parse_decimal("2.5", 100000, &value));
    ck_assert_double_eq(value, 2.5);
    ck_assert(gb_parse_decimal("100000", 100000, &value));
    ck_assert_double_eq(value, 100000);
    ck_assert(gb_parse_decimal("0.000001", 1, &value));
    ck_assert_double_eq_tol(value, 1e-6, 1e-12);
}
END_TEST

START_TEST(watts_are_a_line_or_eleven_points)
{
    static const char *const bad[] = {"",
                                      "100",
                                      "100:",
                                      ":200",
                                      "100:200:300",
                                      "-1:200",
                                      "1:100001",
                                      "1,2,3",
                                      "nan:1",
                                      "1:inf",
                                      "1e2:200",
                                      "100;200",
                                      "1,2,3,4,5,6,7,8,9,10",
                                      "1,2,3,4,5,6,7,8,9,10,11,12",
                                      "1,2,3,4,5,6,7,8,9,10,",
                                      "1,2,3,4,5,,7,8,9,10,11",
                                      "1,2,3,4,5,6,7,8,9,10,11:12"};
    double watts[11] = {UNTOUCHED};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_watts(bad[i], watts), "%s", bad[i]);
    }
    ck_assert(!gb_parse_watts(NULL, watts));
    ck_assert_double_eq(watts[0], UNTOUCHED);
    ck_assert(gb_parse_watts("50:150", watts));
    for (size_t i = 0; i < 11; i++) {
        ck_assert_double_eq_tol(watts[i], 50 + 10.0 * (double)i, 1e-9);
    }
    ck_assert(gb_parse_watts("200:100.5", watts));
    ck_assert_double_eq_tol(watts[10], 100.5, 1e-9);
    ck_assert(gb_parse_watts("0.108:0", watts));
    ck_assert_msg(watts[10] >= 0, "a falling line ends at its peak, not below");
    ck_assert(gb_parse_watts("60,90.5,80,1,2,3,4,5,6,7,100000", watts));
    ck_assert_double_eq(watts[0], 60);
    ck_assert_double_eq(watts[1], 90.5);
    ck_assert_double_eq(watts[10], 100000);
}
END_TEST

START_TEST(names_ifaces_and_paths_hold_no_surprises)
{
    char text[GB_PATH_MOST + 2];

    ck_assert(gb_parse_name("web1.example_a-B"));
    ck_assert(!gb_parse_name(""));
    ck_assert(!gb_parse_name("-a"));
    ck_assert(!gb_parse_name(".a"));
    ck_assert(!gb_parse_name("a b"));
    ck_assert(!gb_parse_name("a/b"));
    ck_assert(!gb_parse_name(NULL));

    ck_assert(gb_parse_iface("br-lan.10"));
    ck_assert(!gb_parse_iface(""));
    ck_assert(!gb_parse_iface(".."));
    ck_assert(!gb_parse_iface("eth0:1"));
    ck_assert(!gb_parse_iface("a/b"));
    ck_assert(!gb_parse_iface("sixteen-letters-"));
    ck_assert(gb_parse_iface("fifteen-letters"));
    ck_assert(!gb_parse_iface(NULL));

    ck_assert(gb_parse_path("/"));
    ck_assert(gb_parse_path("/a/b?c=d&e=%20"));
    ck_assert(!gb_parse_path(""));
    ck_assert(!gb_parse_path("a"));
    ck_assert(!gb_parse_path("/a b"));
    ck_assert(!gb_parse_path("/a#b"));
    ck_assert(!gb_parse_path("/a\r\nHost: b"));
    ck_assert(!gb_parse_path("/\xc3\xa4"));
    ck_assert(!gb_parse_path(NULL));
    memset(text, '/', sizeof text);
    text[GB_PATH_MOST + 1] = '\0';
    ck_assert(!gb_parse_path(text));
    text[GB_PATH_MOST] = '\0';
    ck_assert(gb_parse_path(text));
    memset(text, 'a', sizeof text);
    text[GB_WORD_MOST + 1] = '\0';
    ck_assert(!gb_parse_name(text));
    text[GB_WORD_MOST] = '\0';
    ck_assert(gb_parse_name(text));
}
END_TEST

START_TEST(urls_that_mean_the_same_are_written_the_same)
{
    static const char *const good[][2] = {
        {"https://10.0.0.1", "https://10.0.0.1"},
        {"HTTPS://BMC-7.Example.NET:443/", "https://bmc-7.example.net"},
        {"http://h:80", "http://h"},
        {"http://h:443/", "http://h:443"},
        {"https://h:8443/redfish/v1/Systems/1/", "https://h:8443/redfish/v1/Systems/1"},
        {"https://[2001:DB8:0::1]:443/A", "https://[2001:db8::1]/A"},
        {"https://[::1]:80", "https://[::1]:80"},
        {"https://h/a.b/...;c=(d),e@f:%2F%aF~!$&'*+_-",
         "https://h/a.b/...;c=(d),e@f:%2F%aF~!$&'*+_-"},
    };
    char url[GB_URL_BYTES], again[GB_URL_BYTES];

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        ck_assert_msg(gb_parse_url(good[i][0], url), "%s", good[i][0]);
        ck_assert_str_eq(url, good[i][1]);
        ck_assert(gb_parse_url(url, again));
        ck_assert_str_eq(again, url);
    }
}
END_TEST

START_TEST(url_refuses_what_could_mean_two_things)
{
    static const char *const bad[] = {"",
                                      "h",
                                      "https:",
                                      "https:/h",
                                      "https://",
                                      "https:///",
                                      "https://h:",
                                      "https://h:0",
                                      "https://h:65536",
                                      "ftp://h",
                                      "httpsx://h",
                                      " https://h",
                                      "https://h ",
                                      "https://a@h",
                                      "https://a:b@h",
                                      "https://h?a",
                                      "https://h/a?b",
                                      "https://h/a#b",
                                      "https://h//a",
                                      "https://h/a//",
                                      "https://h/./a",
                                      "https://h/..",
                                      "https://h/a/../b",
                                      "https://h/a b",
                                      "https://h/a%2",
                                      "https://h/a%zz",
                                      "https://h/a\\b",
                                      "https://h/a\"",
                                      "https://h/a\nb",
                                      "https://h/\xc3\xa4",
                                      "https://::1",
                                      "https://1.2.3",
                                      "https://0x7f.1/",
                                      "https://h/[a]"};
    char url[GB_URL_BYTES] = "untouched", text[GB_URL_BYTES + 2];

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_url(bad[i], url), "%s", bad[i]);
    }
    ck_assert(!gb_parse_url(NULL, url));
    memset(text, 'a', sizeof text);
    memcpy(text, "https://h/", 10);
    text[GB_URL_BYTES] = '\0';
    ck_assert(!gb_parse_url(text, url));
    ck_assert_str_eq(url, "untouched");
    text[GB_URL_BYTES - 1] = '\0';
    ck_assert(gb_parse_url(text, url));
    ck_assert_str_eq(url, text);
}
END_TEST

START_TEST(origin_has_its_port_written_out_and_no_path)
{
    static const char *const good[][2] = {
        {"http://10.0.0.1", "http://10.0.0.1:80"},
        {"HTTPS://Web1:8443/app/x?y=z", "https://web1:8443"},
        {"ajp://h/", "ajp://h:8009"},
        {"fcgi://h", "fcgi://h:8000"},
        {"h2c://[::1]", "h2c://[::1]:80"},
        {"h2://h", "h2://h:443"},
        {"wss://h:1", "wss://h:1"},
    };
    static const char *const bad[] = {
        "",           "h:80",       "gopher://h",  "http://",
        "http://h:",  "http://a@h", "http://h/ x", "unix:/a",
        "http://h?a", "h2cc://h",   "http://h\n"};
    char origin[GB_ORIGIN_BYTES], again[GB_ORIGIN_BYTES];

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        ck_assert_msg(gb_parse_origin(good[i][0], origin), "%s", good[i][0]);
        ck_assert_str_eq(origin, good[i][1]);
        ck_assert(gb_parse_origin(origin, again));
        ck_assert_str_eq(again, origin);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(!gb_parse_origin(bad[i], again), "%s", bad[i]);
    }
    ck_assert(!gb_parse_origin(NULL, again));
    ck_assert_str_eq(again, origin);
}
END_TEST

START_TEST(printable_keeps_its_length_and_its_characters)
{
    ck_assert(gb_parse_printable("a b~", 1, 4));
    ck_assert(gb_parse_printable("", 0, 4));
    ck_assert(!gb_parse_printable("", 1, 4));
    ck_assert(!gb_parse_printable("abcde", 1, 4));
    ck_assert(!gb_parse_printable("abc", 4, 8));
    ck_assert(!gb_parse_printable("a\tb", 1, 4));
    ck_assert(!gb_parse_printable("a\x7f", 1, 4));
    ck_assert(!gb_parse_printable("\xc3\xa4", 1, 4));
    ck_assert(!gb_parse_printable(NULL, 0, 4));
}
END_TEST

Suite *gb_parse_suite(void)
{
    Suite *suite = suite_create("gb_parse");
    TCase *words = tcase_create("words");

    tcase_add_test(words, duration_takes_each_unit_and_seconds_without_one);
    tcase_add_test(words, duration_refuses_the_rest_and_leaves_the_result_alone);
    tcase_add_test(words, size_takes_each_unit_and_bytes_without_one);
    tcase_add_test(words, count_keeps_its_range);
    tcase_add_test(words, percent_is_exact_to_a_tenth);
    tcase_add_test(words, per_day_and_switch_take_their_words_only);
    tcase_add_test(words, statuses_ascend_within_http);
    tcase_add_test(words, mac_takes_both_separators_but_no_mixture_nor_group);
    tcase_add_test(words, addresses_that_mean_the_same_are_written_the_same);
    tcase_add_test(words, address_refuses_what_only_looks_like_one);
    tcase_add_test(words, decimal_has_no_sign_exponent_or_special_word);
    tcase_add_test(words, watts_are_a_line_or_eleven_points);
    tcase_add_test(words, names_ifaces_and_paths_hold_no_surprises);
    tcase_add_test(words, urls_that_mean_the_same_are_written_the_same);
    tcase_add_test(words, url_refuses_what_could_mean_two_things);
    tcase_add_test(words, origin_has_its_port_written_out_and_no_path);
    tcase_add_test(words, printable_keeps_its_length_and_its_characters);
    suite_add_tcase(suite, words);
    return suite;
}
