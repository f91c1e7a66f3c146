/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_secrets.c - one line of the secrets file; see gb_secrets.h.
 *
 * Every copy of a word that this file makes on its stack is wiped before it returns.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "gb_secrets.h"
#include "gb_packet.h"

#include <string.h>

#define WORDS_MOST 5 /* one more than any line has: to see that there are too many */

typedef struct words_t {
    char text[GB_SECRET_LINE_MOST + WORDS_MOST];
    const char *word[WORDS_MOST];
    size_t count;
} words_t;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Copies the quoted word that begins at line[at]; returns where it ends, or 0 for a
 * quote that is not closed or not followed by white space. */
static size_t read_quoted(const char *line, size_t length, size_t at, char **to)
{
    for (at++; at < length && line[at] != '"'; at++) {
        if (line[at] == '\\' && at + 1 < length &&
            (line[at + 1] == '"' || line[at + 1] == '\\')) {
            at++;
        }
        *(*to)++ = line[at];
    }
    if (at == length || (at + 1 < length && !is_blank(line[at + 1]))) {
        return 0;
    }
    return at + 1;
}

static const char *split(const char *line, size_t length, words_t *words)
{
    char *to = words->text;
    size_t at = 0;

    for (;;) {
        while (at < length && is_blank(line[at])) {
            at++;
        }
        if (at == length || words->count == WORDS_MOST) {
            return NULL;
        }
        words->word[words->count++] = to;
        if (line[at] == '"') {
            at = read_quoted(line, length, at, &to);
            if (at == 0) {
                return "a quoted word ends with \" and then white space";
            }
        }
        else {
            while (at < length && !is_blank(line[at])) {
                *to++ = line[at++];
            }
        }
        *to++ = '\0';
    }
}

static bool is_printable(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((line[i] < ' ' && !is_blank(line[i])) || line[i] > '~') {
            return false;
        }
    }
    return true;
}

static const char *read_ipmi(const words_t *words, gb_secret_t *secret)
{
    gb_address_t address;

    if (words->count != 4) {
        return "it has to be: ipmi HOST[:PORT] USER PASSWORD";
    }
    if (!gb_parse_address(words->word[1], GB_PORT_IPMI, &address)) {
        return "the second word has to be HOST, HOST:PORT or [IPv6]:PORT";
    }
    if (!gb_parse_printable(words->word[2], 1, GB_SECRET_IPMI_USER_MOST)) {
        return "an IPMI user name has 1 to 16 characters";
    }
    if (!gb_parse_printable(words->word[3], 1, GB_SECRET_IPMI_PASSWORD_MOST)) {
        return "an IPMI password has 1 to 20 characters";
    }
    secret->kind = GB_SECRET_IPMI;
    gb_parse_write_address(&address, secret->bmc);
    memcpy(secret->user, words->word[2], strlen(words->word[2]));
    memcpy(secret->password, words->word[3], strlen(words->word[3]));
    return NULL;
}

static const char *read_redfish(const words_t *words, gb_secret_t *secret)
{
    if (words->count != 4) {
        return "it has to be: redfish URL USER PASSWORD";
    }
    if (!gb_parse_url(words->word[1], secret->url)) {
        return "the second word has to be a URL like https://10.0.1.11, without user, "
               "query or fragment";
    }
    if (!gb_parse_printable(words->word[2], 1, GB_SECRET_USER_MOST)) {
        return "a Redfish user name has 1 to 64 characters";
    }
    if (!gb_parse_printable(words->word[3], 1, GB_SECRET_PASSWORD_MOST)) {
        return "a Redfish password has 1 to 128 characters";
    }
    secret->kind = GB_SECRET_REDFISH;
    memcpy(secret->user, words->word[2], strlen(words->word[2]));
    memcpy(secret->password, words->word[3], strlen(words->word[3]));
    return NULL;
}

static const char *read_agent(const words_t *words, gb_secret_t *secret)
{
    if (words->count != 3) {
        return "it has to be: agent SERVER-URL KEY";
    }
    if (!gb_parse_origin(words->word[1], secret->server)) {
        return "the second word has to be a server's URL as on its BalancerMember, "
               "like http://10.0.0.11:8080";
    }
    if (!gb_parse_printable(words->word[2], GB_SECRET_KEY_LEAST,
                            GB_SECRET_PASSWORD_MOST)) {
        return "an agent's key has 16 to 128 characters";
    }
    secret->kind = GB_SECRET_AGENT;
    memcpy(secret->password, words->word[2], strlen(words->word[2]));
    return NULL;
}

static const char *read_secureon(const words_t *words, gb_secret_t *secret)
{
    if (words->count != 3) {
        return "it has to be: secureon MAC PASSWORD";
    }
    if (!gb_parse_mac(words->word[1], secret->mac)) {
        return "the second word has to be a hardware address like 52:54:00:12:34:56";
    }
    if (!gb_packet_read_password(words->word[2], secret->secureon)) {
        return "a SecureOn password is six pairs of hex digits like 01:23:45:67:89:ab";
    }
    secret->kind = GB_SECRET_SECUREON;
    return NULL;
}

static const char *read_words(const words_t *words, gb_secret_t *secret)
{
    if (words->count == 0) {
        return NULL;
    }
    if (strcmp(words->word[0], "ipmi") == 0) {
        return read_ipmi(words, secret);
    }
    if (strcmp(words->word[0], "secureon") == 0) {
        return read_secureon(words, secret);
    }
    if (strcmp(words->word[0], "redfish") == 0) {
        return read_redfish(words, secret);
    }
    if (strcmp(words->word[0], "agent") == 0) {
        return read_agent(words, secret);
    }
    return "unknown kind of secret: a line begins with ipmi, redfish, secureon or "
           "agent";
}

const char *gb_secrets_read_line(const char *line, size_t length, gb_secret_t *secret)
{
    words_t words;
    const char *error;
    size_t first = 0;

    memset(secret, 0, sizeof(*secret));
    while (first < length && is_blank(line[first])) {
        first++;
    }
    if (first == length || line[first] == '#') {
        return NULL;
    }
    if (length > GB_SECRET_LINE_MOST) {
        return "the line is too long";
    }
    if (!is_printable(line, length)) {
        return "there is a character that is not printable ASCII";
    }
    words.count = 0;
    error = split(line, length, &words);
    if (!error) {
        error = read_words(&words, secret);
    }
    if (error) {
        explicit_bzero(secret, sizeof(*secret));
    }
    explicit_bzero(&words, sizeof words);
    return error;
}
