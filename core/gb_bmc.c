/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_bmc.c - the words of FreeIPMI's tools and of power drivers; see gb_bmc.h.
 */
#include "gb_bmc.h"

#include "gb_ascii.h"

#include <string.h>

typedef struct phrase_t {
    const char *text;
    gb_bmc_word_e word;
} phrase_t;

/* As FreeIPMI 1.6 prints them, compared as a whole and without regard to case. */
static const phrase_t phrases[] = {
    {"ok", GB_BMC_ACCEPTED},
    {"on", GB_BMC_IS_ON},
    {"off", GB_BMC_IS_OFF},
    {"username invalid", GB_BMC_BAD_USER},
    {"password invalid", GB_BMC_BAD_PASSWORD},
    {"password length invalid", GB_BMC_BAD_PASSWORD},
    {"k_g invalid", GB_BMC_BAD_PASSWORD},
    {"privilege level insufficient", GB_BMC_NO_RIGHT},
    {"privilege level cannot be obtained for this user", GB_BMC_NO_RIGHT},
    {"authentication type unavailable for attempted privilege level", GB_BMC_NO_RIGHT},
    {"cipher suite id unavailable", GB_BMC_NO_SUITE},
    {"ipmi 2.0 unavailable", GB_BMC_NOT_ABLE},
    {"operation invalid", GB_BMC_NOT_ABLE},
    {"command invalid or unsupported", GB_BMC_NOT_ABLE},
    {"bmc error", GB_BMC_FAULT},
    {"internal ipmi error", GB_BMC_FAULT},
    {"bmc busy", GB_BMC_BUSY},
    {"out of resources", GB_BMC_BUSY},
    {"connection timeout", GB_BMC_SILENT},
    {"session timeout", GB_BMC_SILENT},
    {"password verification timeout", GB_BMC_SILENT},
    {"not discovered", GB_BMC_SILENT},
    {"bad connection", GB_BMC_SILENT},
    {"invalid hostname", GB_BMC_NO_HOST},
    {"unconfigured hostname", GB_BMC_NO_HOST},
    {"hostname invalid", GB_BMC_NO_HOST},
};

static bool same(const char *text, size_t length, const char *wanted)
{
    size_t i = 0;

    while (i < length && wanted[i] && gb_ascii_lower(text[i]) == wanted[i]) {
        i++;
    }
    return i == length && !wanted[i];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes white space off both ends. */
static void trim(const char **text, size_t *length)
{
    while (*length && is_blank(**text)) {
        ++*text;
        --*length;
    }
    while (*length && is_blank((*text)[*length - 1])) {
        --*length;
    }
}

void gb_bmc_printable(char *to, size_t size, const char *from, size_t length)
{
    size_t i;

    if (size == 0) {
        return;
    }
    for (i = 0; i < length && i + 1 < size; i++) {
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    }
    to[i] = '\0';
}

/* The offset of the first ": ", or `length`. */
static size_t find_colon(const char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++) {
        if (text[i] == ':' && text[i + 1] == ' ') {
            return i;
        }
    }
    return length;
}

static bool is_host_text(const char *text, size_t length)
{
    if (length == 0 || length >= GB_ADDRESS_BYTES) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = gb_ascii_lower(text[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr(".:-_[]", c))) {
            return false;
        }
    }
    return true;
}

/* ipmi-dcmi puts its own or a library function's name before the words. */
static void skip_program(const char **text, size_t *length)
{
    size_t colon = find_colon(*text, *length);

    if (colon == *length) {
        return;
    }
    for (size_t i = 0; i < colon; i++) {
        char c = gb_ascii_lower((*text)[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' &&
            c != '-') {
            return;
        }
    }
    *text += colon + 1;
    *length -= colon + 1;
    trim(text, length);
}

/* "Current Power : 120 Watts" */
static bool read_current_power(const char *text, size_t length, double *watts)
{
    static const char label[] = "current power";
    char number[16];
    size_t digits = 0;

    if (length < sizeof label - 1 || !same(text, sizeof label - 1, label)) {
        return false;
    }
    text += sizeof label - 1;
    length -= sizeof label - 1;
    trim(&text, &length);
    if (length == 0 || *text != ':') {
        return false;
    }
    text++;
    length--;
    trim(&text, &length);
    while (digits < length && digits + 1 < sizeof number && !is_blank(text[digits])) {
        number[digits] = text[digits];
        digits++;
    }
    number[digits] = '\0';
    text += digits;
    length -= digits;
    trim(&text, &length);
    return same(text, length, "watts") &&
           gb_parse_decimal(number, GB_WATTS_MOST, watts);
}

static gb_bmc_word_e word_of(const char *text, size_t length, double *watts)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (same(text, length, phrases[i].text)) {
            return phrases[i].word;
        }
    }
    return read_current_power(text, length, watts) ? GB_BMC_WATTS : GB_BMC_OTHER;
}

bool gb_bmc_read_line(const char *line, size_t length, gb_bmc_line_t *said)
{
    size_t host;

    trim(&line, &length);
    host = find_colon(line, length);
    if (host == length || !is_host_text(line, host)) {
        return false;
    }
    memcpy(said->host, line, host);
    said->host[host] = '\0';
    line += host + 1;
    length -= host + 1;
    trim(&line, &length);
    skip_program(&line, &length);
    said->watts = 0;
    said->word = word_of(line, length, &said->watts);
    gb_bmc_printable(said->text, sizeof said->text, line, length);
    return true;
}

gb_ladder_result_e gb_bmc_order_result(gb_bmc_word_e word)
{
    switch (word) {
    case GB_BMC_ACCEPTED:
        return GB_LADDER_OK;
    case GB_BMC_BAD_USER:
    case GB_BMC_BAD_PASSWORD:
    case GB_BMC_NO_RIGHT:
    case GB_BMC_NO_SUITE:
        return GB_LADDER_REFUSED;
    default:
        return GB_LADDER_LOST;
    }
}

gb_ladder_result_e gb_bmc_status_result(gb_bmc_word_e word)
{
    if (word == GB_BMC_IS_ON || word == GB_BMC_IS_OFF) {
        return GB_LADDER_OK;
    }
    /* "ok" is no answer to a question. */
    return word == GB_BMC_ACCEPTED ? GB_LADDER_LOST : gb_bmc_order_result(word);
}

gb_ladder_result_e gb_bmc_watts_result(gb_bmc_word_e word)
{
    if (word == GB_BMC_WATTS) {
        return GB_LADDER_OK;
    }
    if (word == GB_BMC_NOT_ABLE) {
        return GB_LADDER_REFUSED; /* no DCMI: it will not learn it */
    }
    return word == GB_BMC_ACCEPTED ? GB_LADDER_LOST : gb_bmc_order_result(word);
}

bool gb_bmc_blames_suite(gb_bmc_word_e word)
{
    return word == GB_BMC_NO_SUITE || word == GB_BMC_FAULT ||
           word == GB_BMC_BAD_PASSWORD;
}

void gb_bmc_driver_line(gb_bmc_driver_t *driver, const char *line, size_t length)
{
    char number[24];
    double watts;

    trim(&line, &length);
    if (length == 0) {
        return;
    }
    gb_bmc_printable(driver->last, sizeof driver->last, line, length);
    if (same(line, length, "on")) {
        driver->ons += driver->ons < UINT32_MAX;
    }
    else if (same(line, length, "off")) {
        driver->offs += driver->offs < UINT32_MAX;
    }
    else if (length < sizeof number) {
        memcpy(number, line, length);
        number[length] = '\0';
        if (strlen(number) == length &&
            gb_parse_decimal(number, GB_WATTS_MOST, &watts)) {
            driver->numbers += driver->numbers < UINT32_MAX;
            driver->watts = watts;
        }
    }
}

bool gb_bmc_driver_status(const gb_bmc_driver_t *driver, bool *powered)
{
    if ((driver->ons > 0) == (driver->offs > 0)) {
        return false;
    }
    *powered = driver->ons > 0;
    return true;
}

bool gb_bmc_driver_watts(const gb_bmc_driver_t *driver, double *watts)
{
    if (driver->numbers != 1) {
        return false;
    }
    *watts = driver->watts;
    return true;
}
