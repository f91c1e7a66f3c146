/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_secrets.h - one line of the file that GreenSecrets names.
 *
 *   ipmi HOST[:PORT] USER PASSWORD
 *   redfish URL USER PASSWORD
 *   secureon MAC PASSWORD
 *   agent SERVER-URL KEY
 *
 * Words stand between spaces or tabs; a word with a space in it is written between
 * double quotes, where \" and \\ stand for the character itself.  A line whose first
 * character (after white space) is '#' is a comment.  Pure, any thread.
 */
#ifndef GB_SECRETS_H
#define GB_SECRETS_H

#include "gb_parse.h"

/* Characters of names and passwords: IPMI 2.0 allows no more; Redfish services do. */
#define GB_SECRET_IPMI_USER_MOST     16
#define GB_SECRET_IPMI_PASSWORD_MOST 20
#define GB_SECRET_USER_MOST          64
#define GB_SECRET_PASSWORD_MOST      128
#define GB_SECRET_KEY_LEAST          16
#define GB_SECRET_LINE_MOST          1024

typedef enum gb_secret_kind_e {
    GB_SECRET_NONE = 0, /* an empty line or a comment */
    GB_SECRET_IPMI,
    GB_SECRET_SECUREON,
    GB_SECRET_REDFISH,
    GB_SECRET_AGENT
} gb_secret_kind_e;

typedef struct gb_secret_t {
    uint32_t kind; /* gb_secret_kind_e */
    union {
        char bmc[GB_ADDRESS_BYTES];   /* IPMI: as gb_parse_write_address() writes it */
        char url[GB_URL_BYTES];       /* REDFISH: as gb_parse_url() does */
        char server[GB_ORIGIN_BYTES]; /* AGENT: as gb_parse_origin() does */
    };
    char user[GB_SECRET_USER_MOST + 1];         /* IPMI, REDFISH */
    char password[GB_SECRET_PASSWORD_MOST + 1]; /* and AGENT: the key */
    unsigned char mac[6];
    unsigned char secureon[6];
} gb_secret_t;

/* Reads the line of `length` bytes, which has no line end.  Returns NULL and fills all
 * of `secret`, or returns what is wrong: a literal that quotes nothing of the line, so
 * that it may be logged; `secret` is then zeroed. */
const char *gb_secrets_read_line(const char *line, size_t length, gb_secret_t *secret);

#endif /* GB_SECRETS_H */
