/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_command.h - what greenctl says to the keeper, and how a member is named.
 *
 * A request is one line that ends in LF: a verb, then options `name=value`, parted by
 * single TABs, in any order, each at most once:
 *
 *   status [as=json]                events                 model
 *   wake member=M [balancer=B]      sleep ...              auto ...
 *   accept member=M [balancer=B] [seq=N]
 *   give-up balancer=B seq=N [even=so]
 *   pause                           resume
 *
 * The reply is "OK N" LF and N bytes, or "NO reason" LF; then the keeper hangs up.
 * Both ends use this file, so they cannot differ.
 */
#ifndef GB_COMMAND_H
#define GB_COMMAND_H

#include "gb_types.h"

#define GB_COMMAND_BYTES  1024 /* the longest request, with its LF */
#define GB_COMMAND_DIGITS 18   /* of an entry's number */

typedef enum gb_verb_e {
    GB_VERB_STATUS = 0,
    GB_VERB_EVENTS,
    GB_VERB_MODEL,
    GB_VERB_WAKE,
    GB_VERB_SLEEP,
    GB_VERB_AUTO,
    GB_VERB_ACCEPT,
    GB_VERB_GIVE_UP,
    GB_VERB_PAUSE,
    GB_VERB_RESUME,
    GB_VERB_COUNT
} gb_verb_e;

typedef struct gb_command_t {
    gb_verb_e verb;
    bool as_json;                 /* status only: JSON instead of a table */
    char member[GB_NAME_BYTES];   /* "": none */
    char balancer[GB_NAME_BYTES]; /* "": none */
    bool has_seq;                 /* accept, and always give-up */
    uint64_t seq;
    bool even_so; /* give-up only: though all replicas are set aside then */
} gb_command_t;

/* The word for a verb; a literal. */
const char *gb_command_name(gb_verb_e verb);

/* Finds a verb by its word; GB_VERB_COUNT when there is none. */
gb_verb_e gb_command_verb(const char *word);

/* Does the verb name a member? */
bool gb_command_needs_member(gb_verb_e verb);

/* Reads an entry's number: 1 to GB_COMMAND_DIGITS digits, no needless zeros. */
bool gb_command_number(const char *text, size_t bytes, uint64_t *number);

/* Reads a request of `bytes` bytes without its LF.  NULL, or why it is none, a literal;
 * then *command is undefined. */
const char *gb_command_parse(gb_command_t *command, const char *line, size_t bytes);

/* Writes a request with its LF and a NUL.  Its length without the NUL, or 0 when it
 * does not fit or when parse() would refuse it. */
size_t gb_command_write(const gb_command_t *command, char *out, size_t room);

/* How well `wanted` names a member; the better, the higher. */
typedef enum gb_match_e {
    GB_MATCH_NONE = 0,
    GB_MATCH_HOST,    /* its host, or host:port, in whatever case */
    GB_MATCH_MACHINE, /* the name of its machine */
    GB_MATCH_URL      /* its URL; a slash at the end makes no difference, nor, here and
                       * above, the port that its scheme has anyway */
} gb_match_e;

/* `machine` may be NULL. */
gb_match_e gb_command_match(const char *wanted, const char *url, const char *machine);

/* Does `wanted` name this balancer: "balancer://app", "app", or its label? */
bool gb_command_match_balancer(const char *wanted, const char *name, const char *label);

#endif /* GB_COMMAND_H */
