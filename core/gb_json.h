/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_json.h - writes JSON into memory of a fixed size.
 *
 * A writer never writes past its room.  When the text does not fit it goes on counting,
 * so that the caller learns how much room a second run needs, as with snprintf().
 * What would not be JSON (a value without a key, a bracket too many) breaks the
 * document: gb_json_finish() then says so, whatever has been written.
 * Any text goes in: bytes that are not UTF-8 come out as U+FFFD.  Numbers are finite,
 * with a point whatever the locale; what is not finite comes out as null.
 */
#ifndef GB_JSON_H
#define GB_JSON_H

#include "gb_types.h"

#define GB_JSON_DEPTH 32 /* brackets open at the same time */

typedef struct gb_json_t {
    char *out;
    size_t room;
    size_t bytes;       /* of the whole text so far, also what did not fit */
    uint32_t depth;     /* open brackets */
    uint32_t is_object; /* bit d: bracket d is { and not [ */
    uint32_t has_items; /* bit d: bracket d needs a comma before its next item */
    bool keyed;         /* a key was written and waits for its value */
    bool ended;         /* the one value of the document is complete */
    bool broken;        /* misuse: this is no JSON */
} gb_json_t;

/* Begins a document.  `out` may be NULL when room is 0: nothing is written, all is
 * counted.  The memory stays the caller's. */
void gb_json_start(gb_json_t *json, char *out, size_t room);

/* Brackets.  As a member of an object they follow a gb_json_key(). */
void gb_json_open_object(gb_json_t *json);
void gb_json_close_object(gb_json_t *json);
void gb_json_open_array(gb_json_t *json);
void gb_json_close_array(gb_json_t *json);

/* The name of the next value; only within an object. */
void gb_json_key(gb_json_t *json, const char *name);

/* Values.  A text of NULL is null; `most_bytes` bounds a text that may lack its NUL. */
void gb_json_string(gb_json_t *json, const char *text);
void gb_json_string_most(gb_json_t *json, const char *text, size_t most_bytes);
void gb_json_unsigned(gb_json_t *json, uint64_t value);
/* Rounded to `decimals` (at most 9) places, trailing zeros left out. */
void gb_json_number(gb_json_t *json, double value, uint32_t decimals);
void gb_json_bool(gb_json_t *json, bool value);
void gb_json_null(gb_json_t *json);

/* A member of an object: key and value. */
void gb_json_member_string(gb_json_t *json, const char *name, const char *text);
void gb_json_member_unsigned(gb_json_t *json, const char *name, uint64_t value);
void gb_json_member_number(gb_json_t *json, const char *name, double value,
                           uint32_t decimals);
void gb_json_member_bool(gb_json_t *json, const char *name, bool value);

/* Ends the text with a NUL.  True when it is one whole JSON value that has fit;
 * `json->bytes` is its length without the NUL, which needs one byte more of room. */
bool gb_json_finish(gb_json_t *json);

/* Bytes of the UTF-8 character at `text`, of which `bytes` may be looked at; 0 when
 * they are none (cut short, overlong, a surrogate, above U+10FFFF, or bytes is 0). */
size_t gb_json_utf8_bytes(const char *text, size_t bytes);

#endif /* GB_JSON_H */
