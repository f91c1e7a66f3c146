/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_packet.c - magic packets.
 */
#include "core/gb_packet.h"

#include <check.h>
#include <string.h>

static const unsigned char mac[6] = {0x52, 0x54, 0x00, 0x12, 0xab, 0xff};

START_TEST(packet_is_six_ff_and_sixteen_times_the_address)
{
    unsigned char packet[GB_PACKET_SECURE_BYTES];

    memset(packet, 0x11, sizeof packet);
    ck_assert_uint_eq(gb_packet_build(packet, mac, NULL), 102);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(packet[i], 0xff);
    }
    for (size_t i = 6; i < 102; i++) {
        ck_assert_uint_eq(packet[i], mac[i % 6]);
    }
    ck_assert_uint_eq(packet[102], 0x11);
}
END_TEST

START_TEST(secureon_password_follows_the_addresses)
{
    static const unsigned char password[6] = {0, 1, 2, 3, 4, 5};
    unsigned char packet[GB_PACKET_SECURE_BYTES];

    ck_assert_uint_eq(gb_packet_build(packet, mac, password), 108);
    ck_assert_int_eq(memcmp(packet + 96, mac, 6), 0);
    ck_assert_int_eq(memcmp(packet + 102, password, 6), 0);
}
END_TEST

START_TEST(address_is_written_with_colons_in_lower_case)
{
    char text[GB_MAC_TEXT_BYTES];

    gb_packet_write_mac(mac, text);
    ck_assert_str_eq(text, "52:54:00:12:ab:ff");
}
END_TEST

START_TEST(password_of_any_six_bytes_is_read)
{
    static const unsigned char zero[6] = {0};
    static const unsigned char some[6] = {0xff, 0x01, 0xAB, 0xcd, 0xef, 0x90};
    unsigned char read[6];

    ck_assert(gb_packet_read_password("00:00:00:00:00:00", read));
    ck_assert_int_eq(memcmp(read, zero, 6), 0);
    ck_assert(gb_packet_read_password("ff-01-AB-cd-EF-90", read));
    ck_assert_int_eq(memcmp(read, some, 6), 0);
}
END_TEST

static const char *const not_passwords[] = {"",
                                            "00:00:00:00:00",
                                            "00:00:00:00:00:0",
                                            "00:00:00:00:00:000",
                                            "00:00:00:00:00:0g",
                                            "00:00-00:00:00:00",
                                            "00.00.00.00.00.00",
                                            "000000000000",
                                            " 0:00:00:00:00:00",
                                            "00:00:00:00:00:00 "};

START_TEST(what_is_not_six_pairs_is_refused_and_writes_nothing)
{
    unsigned char read[6] = {7, 7, 7, 7, 7, 7};

    ck_assert(!gb_packet_read_password(not_passwords[_i], read));
    ck_assert_uint_eq(read[0], 7);
    ck_assert(!gb_packet_read_password(NULL, read));
}
END_TEST

Suite *gb_packet_suite(void);

Suite *gb_packet_suite(void)
{
    Suite *suite = suite_create("gb_packet");
    TCase *tcase = tcase_create("packet");

    tcase_add_test(tcase, packet_is_six_ff_and_sixteen_times_the_address);
    tcase_add_test(tcase, secureon_password_follows_the_addresses);
    tcase_add_test(tcase, address_is_written_with_colons_in_lower_case);
    tcase_add_test(tcase, password_of_any_six_bytes_is_read);
    tcase_add_loop_test(tcase, what_is_not_six_pairs_is_refused_and_writes_nothing, 0,
                        (int)(sizeof not_passwords / sizeof not_passwords[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}
