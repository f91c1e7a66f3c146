/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_part.h - the parts of header fields that are lists: elements parted by commas, in
 * an element parts parted by semicolons, in a part NAME or NAME=VALUE, the value a word
 * or a quoted string (Accept, RFC 9110; Prefer, RFC 7240).
 *
 * Pure, any thread.  Any bytes and any length may come; what cannot be read is marked
 * as broken, and the next part is found all the same.
 */
#ifndef GB_PART_H
#define GB_PART_H

#include "gb_types.h"

/* NAME or NAME=VALUE within the text; not ended by NUL. */
typedef struct gb_part_t {
    const char *name, *value; /* value: NULL when there is none */
    size_t name_bytes, value_bytes;
    bool broken; /* something else stands in it: it says nothing */
    char ends;   /* ';' ',', or NUL at the text's end */
} gb_part_t;

/* Reads the part at `at` and what ends it.  Returns where the next begins, at last
 * `end`, which is the text's. */
const char *gb_part_read(gb_part_t *part, const char *at, const char *end);

/* Is the text this word (lower case, ended by NUL), whatever its case? */
bool gb_part_is(const char *text, size_t bytes, const char *word);

#endif /* GB_PART_H */
