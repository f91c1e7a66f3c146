/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_parse.h - strict readers of the words that people write: directives, keys of
 * members, lines of the secrets file, arguments of programs.
 *
 * Every function takes a NUL-terminated word (NULL is refused), accepts it as a whole
 * or not at all, and writes its result only when it returns true.  None looks at the
 * locale, allocates, or keeps anything; all are safe in any thread or process.
 */
#ifndef GB_PARSE_H
#define GB_PARSE_H

#include "gb_types.h"

#define GB_HOST_BYTES    256 /* 253 characters at most, and the end */
#define GB_ADDRESS_BYTES 272 /* "[HOST]:PORT" and the end */
#define GB_WORD_MOST     63  /* characters of a name */
#define GB_PATH_MOST     1024
#define GB_URL_BYTES     500 /* a URL and the end */
#define GB_ORIGIN_BYTES  (GB_ADDRESS_BYTES + GB_SCHEME_MOST + 3)
#define GB_SCHEME_MOST   16
#define GB_WATTS_MOST    100000

#define GB_PORT_IPMI 623
#define GB_PORT_WOL  9

/* HOST and port as written once and for all: what compares equal is equal. */
typedef struct gb_address_t {
    char host[GB_HOST_BYTES]; /* lower case, no brackets, IPv6 in its shortest form */
    uint16_t port;            /* 1..65535 */
    bool is_v6;
} gb_address_t;

/* Digits with an optional unit: ms s m h d; without one, seconds.  0 is accepted, what
 * does not fit int64_t microseconds is not. */
bool gb_parse_duration(const char *text, int64_t *duration_us);

/* Digits with an optional K, M or G (1024 times as much each); without one, bytes. */
bool gb_parse_size(const char *text, int64_t *bytes);

/* Digits, within least..most. */
bool gb_parse_count(const char *text, uint32_t least, uint32_t most, uint32_t *count);

/* "80%" or "0.5%", 0 to 100 %, in thousandths. */
bool gb_parse_percent(const char *text, uint32_t *permille);

/* "24/day", at least 1. */
bool gb_parse_per_day(const char *text, uint32_t *count);

/* "on" or "off", in any case. */
bool gb_parse_switch(const char *text, bool *on);

/* "200-399" or "200": HTTP status codes, 100..599, ascending. */
bool gb_parse_statuses(const char *text, uint32_t *from, uint32_t *to);

/* Six pairs of hex digits between ':' or between '-'.  Zero and group addresses
 * (multicast, broadcast) are refused: no network card has one. */
bool gb_parse_mac(const char *text, unsigned char mac[6]);

/* A network interface's name: 1 to 15 characters, no '/', ':' nor white space. */
bool gb_parse_iface(const char *text);

/* A name that we compare only: letters, digits, '.', '_', '-', at most GB_WORD_MOST,
 * beginning with a letter or digit. */
bool gb_parse_name(const char *text);

/* HOST, HOST:PORT, [v6] or [v6]:PORT.  A host is a name or a dotted IPv4 address; what
 * only looks like an address ("1.2.3", "0x7f.1") is refused, and so is a v6 zone. */
bool gb_parse_address(const char *text, uint16_t default_port, gb_address_t *address);

/* Writes "host:port" or "[v6]:port": the form in which addresses are compared. */
void gb_parse_write_address(const gb_address_t *address, char text[GB_ADDRESS_BYTES]);

/* A decimal number without sign or exponent, 0..most; at most 6 digits after the point.
 */
bool gb_parse_decimal(const char *text, double most, double *value);

/* "IDLE:PEAK", a straight line, or 11 comma-separated watts at 0, 10 ... 100 % load;
 * each 0..GB_WATTS_MOST, in any order. */
bool gb_parse_watts(const char *text, double watts[11]);

/* A URL's path with an optional query: begins with '/', printable ASCII without space,
 * '#', '"', '<', '>' or '\', at most GB_PATH_MOST characters. */
bool gb_parse_path(const char *text);

/* The URL of a Redfish service or of something in it, in the form in which they are
 * compared: scheme (http or https) and host in lower case, no default port, no slash at
 * the end.  User, query, fragment, empty and dot segments are refused, and so is what
 * would be longer than GB_URL_BYTES - 1. */
bool gb_parse_url(const char *text, char url[GB_URL_BYTES]);

/* A server's URL, as on BalancerMember: "scheme://host:port" of it, the port written
 * out even if it is the scheme's own; a path after it is left out.  The scheme is one
 * that mod_proxy knows. */
bool gb_parse_origin(const char *text, char origin[GB_ORIGIN_BYTES]);

/* A secret word: `least`..`most` printable ASCII characters, spaces among them. */
bool gb_parse_printable(const char *text, size_t least, size_t most);

#endif /* GB_PARSE_H */
