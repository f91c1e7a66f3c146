/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_ascii.h - characters as ASCII: <ctype.h> looks at the locale.
 *
 * Pure, any thread.
 */
#ifndef GB_ASCII_H
#define GB_ASCII_H

#include <stdbool.h>
#include <string.h>

static inline bool gb_ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char gb_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool gb_ascii_is_letter(char c)
{
    c = gb_ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

/* May it stand in a token, such as the name of a field (RFC 9110, 5.6.2)? */
static inline bool gb_ascii_is_token(char c)
{
    return gb_ascii_is_letter(c) || gb_ascii_is_digit(c) ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* The value of a hex digit in any case, or -1. */
static inline int gb_ascii_hex(char c)
{
    c = gb_ascii_lower(c);
    if (gb_ascii_is_digit(c)) {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif /* GB_ASCII_H */
