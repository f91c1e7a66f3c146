/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_parse.c - strict readers of words; see gb_parse.h.
 *
 * Characters are compared as ASCII by hand: strtod() looks at the locale,
 * and strtol() accepts signs, white space and prefixes that nobody meant to write.
 */
#include "gb_parse.h"

#include "gb_ascii.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool same_word(const char *text, const char *lower)
{
    while (*text && gb_ascii_lower(*text) == *lower) {
        text++;
        lower++;
    }
    return *text == *lower;
}

/* Reads digits up to the first other character, at least one digit and a value of at
 * most `most`.  Returns where it stopped, or NULL. */
static const char *read_digits(const char *text, uint64_t most, uint64_t *value)
{
    uint64_t sum = 0;

    if (!gb_ascii_is_digit(*text)) {
        return NULL;
    }
    for (; gb_ascii_is_digit(*text); text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (sum > (most - digit) / 10 || digit > most) {
            return NULL;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return text;
}

/* Reads a decimal number without sign or exponent up to the first character that does
 * not belong to it; at most `places_most` digits after the point.  The value comes in
 * units of 10^-places_most. */
static const char *read_decimal(const char *text, unsigned places_most, uint64_t most,
                                uint64_t *value)
{
    uint64_t whole, scale = 1;

    for (unsigned i = 0; i < places_most; i++) {
        scale *= 10;
    }
    text = read_digits(text, most / scale, &whole);
    if (!text) {
        return NULL;
    }
    whole *= scale;
    if (*text == '.') {
        uint64_t part = scale;

        text++;
        if (!gb_ascii_is_digit(*text)) {
            return NULL;
        }
        for (; gb_ascii_is_digit(*text); text++) {
            part /= 10;
            if (part == 0) {
                return NULL;
            }
            whole += part * (uint64_t)(*text - '0');
        }
    }
    if (whole > most) {
        return NULL;
    }
    *value = whole;
    return text;
}

bool gb_parse_duration(const char *text, int64_t *duration_us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"ms", 1000},         {"s", 1000000},        {"m", 60000000},
                 {"h", 3600000000ULL}, {"d", 86400000000ULL}, {"", 1000000}};
    uint64_t number;

    text = text ? read_digits(text, INT64_MAX, &number) : NULL;
    if (!text) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (number > (uint64_t)INT64_MAX / units[i].us) {
                return false;
            }
            *duration_us = (int64_t)(number * units[i].us);
            return true;
        }
    }
    return false;
}

bool gb_parse_size(const char *text, int64_t *bytes)
{
    static const char units[] = "kmg";
    const char *unit;
    uint64_t number, factor = 1;

    text = text ? read_digits(text, INT64_MAX, &number) : NULL;
    if (!text) {
        return false;
    }
    if (*text) {
        unit = strchr(units, gb_ascii_lower(*text));
        if (!unit || text[1]) {
            return false;
        }
        factor = UINT64_C(1) << (10 * (unit - units + 1));
    }
    if (number > (uint64_t)INT64_MAX / factor) {
        return false;
    }
    *bytes = (int64_t)(number * factor);
    return true;
}

bool gb_parse_count(const char *text, uint32_t least, uint32_t most, uint32_t *count)
{
    uint64_t number;

    text = text ? read_digits(text, most, &number) : NULL;
    if (!text || *text || number < least) {
        return false;
    }
    *count = (uint32_t)number;
    return true;
}

bool gb_parse_percent(const char *text, uint32_t *permille)
{
    uint64_t tenths;

    text = text ? read_decimal(text, 1, 1000, &tenths) : NULL;
    if (!text || strcmp(text, "%") != 0) {
        return false;
    }
    *permille = (uint32_t)tenths;
    return true;
}

bool gb_parse_per_day(const char *text, uint32_t *count)
{
    uint64_t number;

    text = text ? read_digits(text, UINT32_MAX, &number) : NULL;
    if (!text || !same_word(text, "/day") || number == 0) {
        return false;
    }
    *count = (uint32_t)number;
    return true;
}

bool gb_parse_switch(const char *text, bool *on)
{
    if (!text || !(same_word(text, "on") || same_word(text, "off"))) {
        return false;
    }
    *on = same_word(text, "on");
    return true;
}

bool gb_parse_statuses(const char *text, uint32_t *from, uint32_t *to)
{
    uint64_t first, last;

    text = text ? read_digits(text, 599, &first) : NULL;
    if (!text) {
        return false;
    }
    last = first;
    if (*text == '-') {
        text = read_digits(text + 1, 599, &last);
    }
    if (!text || *text || first < 100 || last < first) {
        return false;
    }
    *from = (uint32_t)first;
    *to = (uint32_t)last;
    return true;
}

bool gb_parse_mac(const char *text, unsigned char mac[6])
{
    unsigned char bytes[6];
    unsigned char any = 0;

    if (!text || strlen(text) != 17) {
        return false;
    }
    for (size_t i = 0; i < 6; i++) {
        int high = gb_ascii_hex(text[3 * i]), low = gb_ascii_hex(text[3 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        if (i < 5 &&
            (text[3 * i + 2] != text[2] || (text[2] != ':' && text[2] != '-'))) {
            return false;
        }
        bytes[i] = (unsigned char)(high * 16 + low);
        any |= bytes[i];
    }
    if (!any || (bytes[0] & 1)) {
        return false;
    }
    memcpy(mac, bytes, sizeof bytes);
    return true;
}

bool gb_parse_iface(const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length == 0 || length > 15 || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0) {
        return false;
    }
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '/' || *text == ':') {
            return false;
        }
    }
    return true;
}

bool gb_parse_name(const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length == 0 || length > GB_WORD_MOST ||
        !(is_letter(*text) || gb_ascii_is_digit(*text))) {
        return false;
    }
    for (; *text; text++) {
        if (!is_letter(*text) && !gb_ascii_is_digit(*text) && !strchr("._-", *text)) {
            return false;
        }
    }
    return true;
}

/* Would a resolver take this label for a number?  Then the host has to be a full
 * dotted address, or "1.2.3" would silently mean 1.2.0.3. */
static bool is_numeric_label(const char *label)
{
    if (label[0] == '0' && gb_ascii_lower(label[1]) == 'x') {
        label += 2;
        while (gb_ascii_hex(*label) >= 0) {
            label++;
        }
        return *label == '\0';
    }
    while (gb_ascii_is_digit(*label)) {
        label++;
    }
    return *label == '\0';
}

/* Labels of 1..63 letters, digits, '-' and '_', no '-' at either end. */
static bool is_host_name(const char *host)
{
    const char *label = host;

    for (;; host++) {
        if (*host == '.' || *host == '\0') {
            if (host == label || host - label > 63 || *label == '-' ||
                host[-1] == '-') {
                return false;
            }
            if (*host == '\0') {
                return true;
            }
            label = host + 1;
        }
        else if (!is_letter(*host) && !gb_ascii_is_digit(*host) && *host != '-' &&
                 *host != '_') {
            return false;
        }
    }
}

static bool is_host(const char *host)
{
    const char *dot = strrchr(host, '.');
    struct in_addr v4;

    if (is_numeric_label(dot ? dot + 1 : host)) {
        return inet_pton(AF_INET, host, &v4) == 1;
    }
    return is_host_name(host);
}

/* Makes the canonical form of the `length` characters at `text`. */
static bool read_host(const char *text, size_t length, bool is_v6,
                      char host[GB_HOST_BYTES])
{
    struct in6_addr v6;

    if (length == 0 || length > 253) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        host[i] = gb_ascii_lower(text[i]);
    }
    host[length] = '\0';
    if (is_v6) {
        return inet_pton(AF_INET6, host, &v6) == 1 &&
               inet_ntop(AF_INET6, &v6, host, GB_HOST_BYTES) != NULL;
    }
    return is_host(host);
}

bool gb_parse_address(const char *text, uint16_t default_port, gb_address_t *address)
{
    gb_address_t read = {.port = default_port};
    const char *end;
    uint32_t port;

    if (!text) {
        return false;
    }
    read.is_v6 = *text == '[';
    if (read.is_v6) {
        text++;
    }
    end = text + strcspn(text, read.is_v6 ? "]" : ":");
    if (!read_host(text, (size_t)(end - text), read.is_v6, read.host)) {
        return false;
    }
    if (read.is_v6) {
        if (*end != ']') {
            return false;
        }
        end++;
    }
    if (*end) {
        if (*end != ':' || !gb_parse_count(end + 1, 1, UINT16_MAX, &port)) {
            return false;
        }
        read.port = (uint16_t)port;
    }
    *address = read;
    return true;
}

void gb_parse_write_address(const gb_address_t *address, char text[GB_ADDRESS_BYTES])
{
    snprintf(text, GB_ADDRESS_BYTES, address->is_v6 ? "[%s]:%u" : "%s:%u",
             address->host, (unsigned)address->port);
}

/* A number of watts up to `end`, the character that must follow it. */
static const char *read_watts(const char *text, char end, double *watts)
{
    uint64_t micro;

    text = read_decimal(text, 6, UINT64_C(1000000) * GB_WATTS_MOST, &micro);
    if (!text || *text != end) {
        return NULL;
    }
    *watts = (double)micro / 1e6;
    return end ? text + 1 : text;
}

bool gb_parse_decimal(const char *text, double most, double *value)
{
    uint64_t micro;

    text = text ? read_decimal(text, 6, UINT64_C(1000000000000000), &micro) : NULL;
    if (!text || *text || (double)micro / 1e6 > most) {
        return false;
    }
    *value = (double)micro / 1e6;
    return true;
}

bool gb_parse_watts(const char *text, double watts[11])
{
    double read[11];

    if (!text) {
        return false;
    }
    if (strchr(text, ':')) {
        double idle, peak;

        text = read_watts(text, ':', &idle);
        if (!text || !read_watts(text, '\0', &peak)) {
            return false;
        }
        for (size_t i = 0; i < 11; i++) {
            read[i] = (idle * (double)(10 - i) + peak * (double)i) / 10;
        }
    }
    else {
        for (size_t i = 0; i < 11; i++) {
            text = read_watts(text, i < 10 ? ',' : '\0', &read[i]);
            if (!text) {
                return false;
            }
        }
    }
    memcpy(watts, read, sizeof read);
    return true;
}

bool gb_parse_path(const char *text)
{
    if (!text || *text != '/' || strlen(text) > GB_PATH_MOST) {
        return false;
    }
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || strchr("#\"<>\\", *text)) {
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------- URLs */

typedef struct scheme_t {
    const char *name;
    uint16_t port;
} scheme_t;

/* The schemes of mod_proxy's workers, with the ports that mod_proxy takes. */
static const scheme_t schemes[] = {
    {"http", 80},   {"https", 443},  {"ajp", 8009}, {"fcgi", 8000},
    {"scgi", 4000}, {"uwsgi", 3031}, {"h2c", 80},   {"h2", 443},
    {"ws", 80},     {"wss", 443},    {"ftp", 21},
};

/* Reads "scheme://" and returns what stands after it, or NULL. */
static const char *read_scheme(const char *text, const scheme_t **scheme)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i].name);
        size_t same = 0;

        while (same < length && gb_ascii_lower(text[same]) == schemes[i].name[same]) {
            same++;
        }
        if (same == length && strncmp(text + same, "://", 3) == 0) {
            *scheme = &schemes[i];
            return text + same + 3;
        }
    }
    return NULL;
}

/* Reads HOST[:PORT] up to the path and returns where that begins, or NULL. */
static const char *read_authority(const char *text, uint16_t default_port,
                                  gb_address_t *address)
{
    const size_t length = strcspn(text, "/");
    char authority[GB_ADDRESS_BYTES];

    if (length >= sizeof authority) {
        return NULL;
    }
    memcpy(authority, text, length);
    authority[length] = '\0';
    return gb_parse_address(authority, default_port, address) ? text + length : NULL;
}

/* A character of a path's segment (RFC 3986, 3.3), but for '%'. */
static bool is_segment_character(char c)
{
    return is_letter(c) || gb_ascii_is_digit(c) ||
           (c && strchr("-._~!$&'()*+,;=:@", c));
}

/* Is it a path of segments that are neither empty nor "." nor ".."?  One slash at the
 * end is allowed. */
static bool is_plain_path(const char *path)
{
    while (*path == '/' && path[1]) {
        const char *segment = ++path;

        while (is_segment_character(*path) ||
               (*path == '%' && gb_ascii_hex(path[1]) >= 0 &&
                gb_ascii_hex(path[2]) >= 0)) {
            path += *path == '%' ? 3 : 1;
        }
        if (path == segment || (path - segment == 1 && segment[0] == '.') ||
            (path - segment == 2 && segment[0] == '.' && segment[1] == '.')) {
            return false;
        }
    }
    return *path == '\0' || (path[0] == '/' && path[1] == '\0');
}

bool gb_parse_url(const char *text, char url[GB_URL_BYTES])
{
    char written[GB_URL_BYTES], host[GB_ADDRESS_BYTES];
    const scheme_t *scheme = NULL;
    gb_address_t address;
    size_t path;
    int length;

    text = text ? read_scheme(text, &scheme) : NULL;
    if (!text ||
        (strcmp(scheme->name, "http") != 0 && strcmp(scheme->name, "https") != 0)) {
        return false;
    }
    text = read_authority(text, scheme->port, &address);
    if (!text || !is_plain_path(text)) {
        return false;
    }
    gb_parse_write_address(&address, host);
    if (address.port == scheme->port) {
        *strrchr(host, ':') = '\0';
    }
    path = strlen(text);
    if (path && text[path - 1] == '/') {
        path--;
    }
    if (path >= sizeof written) {
        return false;
    }
    length = snprintf(written, sizeof written, "%s://%s%.*s", scheme->name, host,
                      (int)path, text);
    if (length < 0 || (size_t)length >= sizeof written) {
        return false;
    }
    memcpy(url, written, (size_t)length + 1);
    return true;
}

bool gb_parse_origin(const char *text, char origin[GB_ORIGIN_BYTES])
{
    const scheme_t *scheme = NULL;
    char host[GB_ADDRESS_BYTES];
    gb_address_t address;

    text = text ? read_scheme(text, &scheme) : NULL;
    text = text ? read_authority(text, scheme->port, &address) : NULL;
    if (!text || (*text && !gb_parse_path(text))) {
        return false;
    }
    gb_parse_write_address(&address, host);
    snprintf(origin, GB_ORIGIN_BYTES, "%s://%s", scheme->name, host);
    return true;
}

bool gb_parse_printable(const char *text, size_t least, size_t most)
{
    size_t length = 0;

    for (; text && text[length]; length++) {
        if (length == most || text[length] < ' ' || text[length] > '~') {
            return false;
        }
    }
    return text && length >= least;
}
