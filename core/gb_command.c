/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_command.c - what greenctl says to the keeper, and how a member is named.
 */
#include "gb_command.h"

#include "gb_ascii.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "balancer://"

static const char *const verb_names[GB_VERB_COUNT] = {
    [GB_VERB_STATUS] = "status", [GB_VERB_EVENTS] = "events",
    [GB_VERB_MODEL] = "model",   [GB_VERB_WAKE] = "wake",
    [GB_VERB_SLEEP] = "sleep",   [GB_VERB_AUTO] = "auto",
    [GB_VERB_ACCEPT] = "accept", [GB_VERB_GIVE_UP] = "give-up",
    [GB_VERB_PAUSE] = "pause",   [GB_VERB_RESUME] = "resume",
};

const char *gb_command_name(gb_verb_e verb)
{
    return (uint32_t)verb < GB_VERB_COUNT ? verb_names[verb] : "?";
}

gb_verb_e gb_command_verb(const char *word)
{
    for (int verb = 0; verb < GB_VERB_COUNT; verb++) {
        if (strcmp(verb_names[verb], word) == 0) {
            return (gb_verb_e)verb;
        }
    }
    return GB_VERB_COUNT;
}

bool gb_command_needs_member(gb_verb_e verb)
{
    return verb == GB_VERB_WAKE || verb == GB_VERB_SLEEP || verb == GB_VERB_AUTO ||
           verb == GB_VERB_ACCEPT;
}

/* A part of the line between TABs. */
typedef struct field_t {
    const char *text;
    size_t bytes;
} field_t;

static bool next_field(field_t *rest, field_t *field)
{
    const char *tab;

    if (!rest->text) {
        return false;
    }
    tab = memchr(rest->text, '\t', rest->bytes);
    field->text = rest->text;
    field->bytes = tab ? (size_t)(tab - rest->text) : rest->bytes;
    rest->bytes -= field->bytes + (tab ? 1 : 0);
    rest->text = tab ? tab + 1 : NULL;
    return true;
}

/* Is the field `name=...`?  Then `field` becomes what follows. */
static bool take_name(field_t *field, const char *name)
{
    size_t length = strlen(name);

    if (field->bytes <= length || memcmp(field->text, name, length) != 0 ||
        field->text[length] != '=') {
        return false;
    }
    field->text += length + 1;
    field->bytes -= length + 1;
    return true;
}

static const char *set_name(char out[GB_NAME_BYTES], const field_t *field)
{
    if (out[0]) {
        return "an option is given twice";
    }
    if (!field->bytes) {
        return "a name is empty";
    }
    if (field->bytes >= GB_NAME_BYTES) {
        return "a name is too long";
    }
    memcpy(out, field->text, field->bytes);
    out[field->bytes] = '\0';
    return NULL;
}

bool gb_command_number(const char *text, size_t bytes, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t)(text[i] - '0');
    }
    return bytes > 0 && bytes <= GB_COMMAND_DIGITS && (bytes == 1 || text[0] != '0');
}

static const char *set_option(gb_command_t *command, field_t *field)
{
    if (take_name(field, "seq")) {
        if ((command->verb != GB_VERB_ACCEPT && command->verb != GB_VERB_GIVE_UP) ||
            command->has_seq ||
            !gb_command_number(field->text, field->bytes, &command->seq)) {
            return "seq=N, the number of an entry, is for accept and give-up, once";
        }
        command->has_seq = true;
        return NULL;
    }
    if (take_name(field, "member")) {
        return gb_command_needs_member(command->verb) ? set_name(command->member, field)
                                                      : "this command takes no member";
    }
    if (take_name(field, "balancer")) {
        return gb_command_needs_member(command->verb) ||
                       command->verb == GB_VERB_GIVE_UP
                   ? set_name(command->balancer, field)
                   : "this command takes no balancer";
    }
    if (take_name(field, "even")) {
        if (command->verb != GB_VERB_GIVE_UP || command->even_so || field->bytes != 2 ||
            memcmp(field->text, "so", 2) != 0) {
            return "even=so is for give-up, once";
        }
        command->even_so = true;
        return NULL;
    }
    if (take_name(field, "as")) {
        if (command->verb != GB_VERB_STATUS || command->as_json || field->bytes != 4 ||
            memcmp(field->text, "json", 4) != 0) {
            return "as=json is for status, once";
        }
        command->as_json = true;
        return NULL;
    }
    return "unknown option";
}

const char *gb_command_parse(gb_command_t *command, const char *line, size_t bytes)
{
    field_t rest = {line, bytes}, field;
    char word[16];
    const char *error;

    memset(command, 0, sizeof(*command));
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)line[i];

        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return "a control character in the request";
        }
    }
    if (!next_field(&rest, &field) || !field.bytes || field.bytes >= sizeof(word)) {
        return "unknown command";
    }
    memcpy(word, field.text, field.bytes);
    word[field.bytes] = '\0';
    command->verb = gb_command_verb(word);
    if (command->verb == GB_VERB_COUNT) {
        return "unknown command";
    }
    while (next_field(&rest, &field)) {
        error = set_option(command, &field);
        if (error) {
            return error;
        }
    }
    if (gb_command_needs_member(command->verb) && !command->member[0]) {
        return "this command needs a member";
    }
    if (command->verb == GB_VERB_GIVE_UP &&
        (!command->balancer[0] || !command->has_seq)) {
        return "this command needs a balancer and the number of an entry";
    }
    return NULL;
}

size_t gb_command_write(const gb_command_t *command, char *out, size_t room)
{
    gb_command_t read_back;
    char seq[32] = "";
    int bytes;

    if (command->has_seq) {
        snprintf(seq, sizeof(seq), "\tseq=%" PRIu64, command->seq);
    }
    bytes = snprintf(out, room, "%s%s%s%s%s%s%s%s\n", gb_command_name(command->verb),
                     command->as_json ? "\tas=json" : "",
                     command->member[0] ? "\tmember=" : "", command->member,
                     command->balancer[0] ? "\tbalancer=" : "", command->balancer, seq,
                     command->even_so ? "\teven=so" : "");

    /* A TAB in a name would be read as another option: what is read back tells. */
    if (bytes <= 0 || (size_t)bytes >= room || bytes > GB_COMMAND_BYTES ||
        gb_command_parse(&read_back, out, (size_t)bytes - 1) ||
        strcmp(read_back.member, command->member) != 0 ||
        strcmp(read_back.balancer, command->balancer) != 0) {
        return 0;
    }
    return (size_t)bytes;
}

/* Does `text` begin with the `bytes` bytes at `part`, in whatever case? */
static bool same_bytes(const char *text, const char *part, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!text[i] || gb_ascii_lower(text[i]) != gb_ascii_lower(part[i])) {
            return false;
        }
    }
    return true;
}

/* ... and is that all? */
static bool same_host(const char *text, const char *part, size_t bytes)
{
    return same_bytes(text, part, bytes) && text[bytes] == '\0';
}

/* ":80" for "http": what httpd leaves out of a member's name; "" where none is. */
static const char *default_port(const char *scheme, size_t bytes)
{
    static const struct {
        const char *scheme, *port;
    } defaults[] = {{"http", ":80"}, {"https", ":443"}, {"ws", ":80"},
                    {"wss", ":443"}, {"h2c", ":80"},    {"h2", ":443"},
                    {"ajp", ":8009"}};

    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (strlen(defaults[i].scheme) == bytes &&
            memcmp(defaults[i].scheme, scheme, bytes) == 0) {
            return defaults[i].port;
        }
    }
    return "";
}

/* Bytes of HOST[:PORT] without the port, where that is the one that goes without
 * saying. */
static size_t without_port(const char *host, size_t bytes, const char *port)
{
    size_t length = strlen(port);

    return length && bytes > length && memcmp(host + bytes - length, port, length) == 0
               ? bytes - length
               : bytes;
}

/* Is `wanted` the host, or the host and port, of the URL?  A v6 address has colons of
 * its own: it is named with its brackets or without. */
static bool is_host_of(const char *wanted, const char *url)
{
    const char *host = strstr(url, "://"), *port;
    size_t all, name;

    if (!host || !*wanted) {
        return false;
    }
    port = default_port(url, (size_t)(host - url));
    host += 3;
    all = strcspn(host, "/?#");
    if (host[0] == '[') {
        const char *end = memchr(host, ']', all);

        if (!end) {
            return false;
        }
        name = (size_t)(end - host) + 1;
        if (same_host(wanted, host + 1, name - 2)) {
            return true;
        }
    }
    else {
        const char *colon = memchr(host, ':', all);

        name = colon ? (size_t)(colon - host) : all;
    }
    if (same_host(wanted, host, all) || same_host(wanted, host, name)) {
        return true;
    }
    /* The port that goes without saying, said. */
    all = strlen(wanted);
    return name == strcspn(host, "/?#") && without_port(wanted, all, port) == name &&
           all > name && same_bytes(wanted, host, name);
}

static size_t without_slash(const char *text)
{
    size_t bytes = strlen(text);

    return bytes && text[bytes - 1] == '/' ? bytes - 1 : bytes;
}

/* The same URL, but for a slash at the end and a port that goes without saying. */
static bool is_url(const char *wanted, const char *url)
{
    const char *host = strstr(url, "://"), *port;
    size_t scheme, mine, its;

    if (!host) {
        return *url && strcmp(wanted, url) == 0;
    }
    scheme = (size_t)(host - url) + 3;
    if (strncmp(wanted, url, scheme) != 0) {
        return false;
    }
    port = default_port(url, scheme - 3);
    wanted += scheme;
    url += scheme;
    mine = strcspn(wanted, "/?#");
    its = strcspn(url, "/?#");
    if (without_port(wanted, mine, port) != without_port(url, its, port) ||
        memcmp(wanted, url, without_port(url, its, port)) != 0) {
        return false;
    }
    wanted += mine;
    url += its;
    return without_slash(wanted) == without_slash(url) &&
           memcmp(wanted, url, without_slash(url)) == 0;
}

gb_match_e gb_command_match(const char *wanted, const char *url, const char *machine)
{
    if (is_url(wanted, url)) {
        return GB_MATCH_URL;
    }
    if (machine && *wanted && strcmp(wanted, machine) == 0) {
        return GB_MATCH_MACHINE;
    }
    return is_host_of(wanted, url) ? GB_MATCH_HOST : GB_MATCH_NONE;
}

bool gb_command_match_balancer(const char *wanted, const char *name, const char *label)
{
    size_t scheme = strlen(SCHEME);

    return strcmp(wanted, name) == 0 || strcmp(wanted, label) == 0 ||
           (strncmp(name, SCHEME, scheme) == 0 && strcmp(wanted, name + scheme) == 0);
}
