/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_wire.h - frames between httpd's children and the keeper's journal thread.
 *
 * A frame is: "GBC1", uint32 type, uint32 bytes of what follows (little endian); then
 * fields: uint16 tag, uint32 bytes, the bytes.  A tag comes once at most; who reads
 * passes over tags that it does not know.  Both ends are of one version of the module,
 * but what is read is treated as hostile.  Pure; any thread.
 */
#ifndef GB_WIRE_H
#define GB_WIRE_H

#include "gb_commit.h"

#define GB_WIRE_HEAD_BYTES 12u
#define GB_WIRE_MOST_BYTES (80u * 1024 * 1024) /* of a frame */

typedef enum gb_wire_type_e {
    GB_WIRE_SUBMIT = 1, /* child: a write */
    GB_WIRE_ASK = 2,    /* child: how far is it, by its id */
    GB_WIRE_REPLY = 3   /* keeper, to either */
} gb_wire_type_e;

typedef enum gb_wire_tag_e {
    GB_TAG_LOG = 1,   /* text: key of the balancer in the segment */
    GB_TAG_ID,        /* text: the Idempotency-Key, or what was made in its place */
    GB_TAG_NONCE,     /* 8 bytes: the same for the same HTTP request alone */
    GB_TAG_PRINCIPAL, /* text: the authenticated user; empty: nobody */
    GB_TAG_METHOD,
    GB_TAG_TARGET,  /* path and query, as for the backend */
    GB_TAG_HEADERS, /* "Name: value\r\n" lines */
    GB_TAG_BODY,
    GB_TAG_WAIT,      /* 8 bytes, us: as wished by the client; absent: not said */
    GB_TAG_ASYNC,     /* 1 byte: 1: respond-async */
    GB_TAG_RESULT,    /* ASK: 1 byte: 1: with the answer itself */
    GB_TAG_SAYS,      /* REPLY: 1 byte: gb_wire_says_e */
    GB_TAG_FIELD,     /* REPLY: text: the Green-Commit field */
    GB_TAG_TOKEN,     /* REPLY: text */
    GB_TAG_STATUS,    /* REPLY: 4 bytes: status of the answerer's response */
    GB_TAG_RETRY,     /* REPLY: 4 bytes: seconds for Retry-After */
    GB_TAG_SERVED_BY, /* REPLY: text: URL of the answerer */
    GB_TAG_COUNT
} gb_wire_tag_e;

/* What the keeper says to a SUBMIT or an ASK. */
typedef enum gb_wire_says_e {
    GB_SAYS_DONE =
        1,           /* met, rejected or failed: STATUS, HEADERS, BODY are the answer */
    GB_SAYS_LATE,    /* stored, and not met in time */
    GB_SAYS_BUSY,    /* the key is in use by a request that has not ended: 409 */
    GB_SAYS_OTHER,   /* the key was used with another payload: 422 */
    GB_SAYS_FULL,    /* nothing was stored: journal full, or it cannot be written */
    GB_SAYS_TOO_BIG, /* nothing was stored: 413 */
    GB_SAYS_NOBODY,  /* ASK: no such id for this principal: 404 */
    GB_SAYS_EXPIRED  /* ASK: it was, and is not kept any more: 410 */
} gb_wire_says_e;

typedef struct gb_span_text_t {
    const char *at; /* NULL: absent */
    size_t bytes;
} gb_span_text_t;

/* A text of C, which has to stay; NULL as an empty one. */
gb_span_text_t gb_wire_span(const char *text);

/* A frame's fields, as pointers into it. */
typedef struct gb_wire_t {
    gb_wire_type_e type;
    gb_span_text_t field[GB_TAG_COUNT]; /* by tag */
} gb_wire_t;

/* Reads a head of GB_WIRE_HEAD_BYTES.  False: it is none, or promises too much. */
bool gb_wire_read_head(const char *head, gb_wire_type_e *type, size_t *bytes);
/* Reads what follows a head.  False: malformed. */
bool gb_wire_read(gb_wire_type_e type, const char *at, size_t bytes, gb_wire_t *wire);
/* Whole numbers of a field; false when it is absent or of another length. */
bool gb_wire_number(const gb_wire_t *wire, gb_wire_tag_e tag, size_t bytes,
                    uint64_t *value);

/* Sets a field to a whole number, in `room` of that many bytes. */
void gb_wire_set_number(gb_wire_t *wire, gb_wire_tag_e tag, char *room, size_t bytes,
                        uint64_t value);

/* Bytes of a frame with these fields, its head included; 0: too many. */
size_t gb_wire_bytes(const gb_wire_t *wire);
/* Writes it to `to`, which has that much room. */
void gb_wire_write(const gb_wire_t *wire, char *to);

/* Is it a text of at most so many bytes, all from `least` on and none of them a control
 * character?  False for one that is absent.  A keeper takes no other method, target or
 * principal, whatever httpd was told to take (HttpProtocolOptions Unsafe). */
#define GB_WIRE_METHOD_MOST    32u
#define GB_WIRE_TARGET_MOST    65536u
#define GB_WIRE_PRINCIPAL_MOST 512u
bool gb_wire_is_text(gb_span_text_t text, char least, size_t most);

/* The next of "Name: value\r\n" lines; goes on behind it.  False: there is none, or it
 * is malformed (*bytes tells: 0 when all were read). */
bool gb_wire_header(const char **at, size_t *bytes, gb_span_text_t *name,
                    gb_span_text_t *value);

/* A field Green-Commit (gb_commit_print) as a JSON object, ended by NUL.  Returns its
 * length; 0: it is none, or there is no room. */
size_t gb_wire_json(char *to, size_t room, const char *field, size_t bytes);

/* An id as a part of a path that needs no escapes: itself where it can be, else "~" and
 * hex digits.  Returns its length; 0: too long or empty.  And back: ids of
 * GB_COMMIT_ID_BYTES; false when it is none. */
#define GB_WIRE_PATH_BYTES (2 * GB_COMMIT_ID_BYTES)
size_t gb_wire_path_of_id(char *to, size_t room, const char *id);
bool gb_wire_id_of_path(const char *text, size_t bytes, char *id);

#endif /* GB_WIRE_H */
