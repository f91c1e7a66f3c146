/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_value.h - reads JSON in place, strictly, without memory of its own.
 *
 * The text is hostile: a management controller, or whoever stands in its place, sends
 * it.  It is one whole value by RFC 8259, with valid UTF-8 and at most GB_VALUE_DEPTH
 * brackets open, or it is refused as a whole.  Nothing is built: a value points into
 * the text, which stays the caller's and has to live as long; each look-up walks
 * through it.  Pure, any thread.
 */
#ifndef GB_VALUE_H
#define GB_VALUE_H

#include "gb_types.h"

#define GB_VALUE_DEPTH 32 /* brackets open at the same time */

typedef enum gb_value_kind_e {
    GB_VALUE_NOTHING = 0, /* a look-up that failed */
    GB_VALUE_NULL,
    GB_VALUE_BOOL,
    GB_VALUE_NUMBER,
    GB_VALUE_TEXT,
    GB_VALUE_ARRAY,
    GB_VALUE_OBJECT
} gb_value_kind_e;

typedef struct gb_value_t {
    const char *at;  /* its first byte; NULL: nothing */
    const char *end; /* of the document */
} gb_value_t;

/* Checks the whole text, which needs no NUL.  False: it is no JSON, or too deep; the
 * value is then nothing. */
bool gb_value_read(const char *text, size_t bytes, gb_value_t *value);

gb_value_kind_e gb_value_kind(gb_value_t value);

/* The member of that name (exact, without regard to escapes in the text's keys: no name
 * that we look for has one), or the element of that index; nothing when there is none,
 * or when the value is no object, no array.  Of members with the same name the first
 * counts. */
gb_value_t gb_value_member(gb_value_t object, const char *name);
gb_value_t gb_value_element(gb_value_t array, uint32_t index);
uint32_t gb_value_count(gb_value_t array);
/* The element after this one; nothing after the last.  A loop that goes from element to
 * element reads a text of any length once; one that counts indices up would read it as
 * often as it has elements. */
gb_value_t gb_value_next(gb_value_t element);

/* The member of a member. */
gb_value_t gb_value_within(gb_value_t object, const char *name, const char *inner);

/* Copies a text as UTF-8 with a NUL.  False, and an empty text, when it is none, does
 * not fit, or has a NUL or half a surrogate pair in it. */
bool gb_value_text(gb_value_t value, char *to, size_t room);
/* Is it a text that says just this (ASCII)? */
bool gb_value_says(gb_value_t value, const char *text);
/* False: it is no number, or none that a double holds. */
bool gb_value_number(gb_value_t value, double *number);

#endif /* GB_VALUE_H */
