/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c - green-agent's configuration: lines NAME=VALUE.
 *
 * The key is in it, so it has to belong to the user that runs the agent, and nobody
 * else may read it.  Messages name lines and never show the key.
 */
#include "agent.h"

#include "core/gb_parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST   (64 * 1024)
#define WATTS_WORDS "watts= has to be a command, rapl or none"

typedef struct reading_t {
    ga_config_t *config;
    bool has_watts, has_key;
} reading_t;

/* ---------------------------------------------------------------- files */

/* Wipes and frees what a file with a key in it said: `bytes` of it, since those who
 * read it have cut it into pieces. */
static void forget(char *text, size_t bytes)
{
    explicit_bzero(text, bytes);
    free(text);
}

/* The text of a private file, malloc'ed, NUL-terminated; NULL: it has been said why. */
static char *read_private(const char *file, size_t *bytes)
{
    int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    char *text = NULL;
    ssize_t length = -1;

    if (fd < 0 || fstat(fd, &info)) {
        ga_say(3, "%s cannot be read: %s", file, strerror(errno));
    }
    else if (!S_ISREG(info.st_mode) || info.st_size > FILE_MOST) {
        ga_say(3, "%s is no regular file of at most 64 KiB", file);
    }
    else if (info.st_uid != geteuid() || (info.st_mode & 077)) {
        ga_say(3,
               "%s belongs to user %lu and has mode %04o; it has to belong to user "
               "%lu, and nobody else may read it (chown, chmod 600)",
               file, (unsigned long)info.st_uid, (unsigned)(info.st_mode & 07777),
               (unsigned long)geteuid());
    }
    else {
        text = calloc(1, (size_t)info.st_size + 1);
        if (text) {
            length = read(fd, text, (size_t)info.st_size);
        }
        else {
            ga_say(3, "%s cannot be read: there is no memory", file);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    *bytes = length > 0 ? (size_t)length : 0;
    if (text && (length < 0 || strlen(text) != *bytes)) {
        ga_say(3, "%s cannot be read, or is not text", file);
        forget(text, *bytes);
        return NULL;
    }
    return text;
}

/* Cuts white space off both ends, in place. */
static char *trim(char *text)
{
    char *end;

    while (*text == ' ' || *text == '\t') {
        text++;
    }
    end = text + strlen(text);
    while (end > text && strchr(" \t\r\n", end[-1])) {
        *--end = '\0';
    }
    return text;
}

/* ---------------------------------------------------------------- values */

/* Printable ASCII without a space. */
static bool is_word(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static const char *set_word(char *out, size_t room, const char *value)
{
    if (!*value || strlen(value) >= room) {
        return "the value is empty or too long";
    }
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static bool is_http(const char *url)
{
    return (strncmp(url, "http://", 7) == 0 && url[7]) ||
           (strncmp(url, "https://", 8) == 0 && url[8]);
}

static const char *set_server(reading_t *r, const char *value)
{
    char origin[GB_ORIGIN_BYTES];

    if (!gb_parse_origin(value, origin)) { /* the proxy compares them as origins */
        return "server= has to be the URL on the server's BalancerMember, like "
               "http://10.0.0.11:8080";
    }
    return set_word(r->config->server, sizeof r->config->server, value);
}

static const char *set_proxy(reading_t *r, const char *value)
{
    ga_config_t *config = r->config;

    if (!is_http(value) || !is_word(value)) {
        return "proxy= has to be an http or https URL, like "
               "https://proxy.example/green-beat";
    }
    if (config->proxy_count == GA_PROXIES_MOST) {
        return "there are more than 8 proxies";
    }
    return set_word(config->proxies[config->proxy_count++], GA_WORD_BYTES, value);
}

static const char *set_key(reading_t *r, const char *value)
{
    if (r->has_key) {
        return "the key is given twice";
    }
    if (!gb_parse_printable(value, GB_SECRET_KEY_LEAST, GB_SECRET_PASSWORD_MOST)) {
        return "the key has to have 16 to 128 printable characters";
    }
    r->has_key = true;
    return set_word(r->config->key, sizeof r->config->key, value);
}

static const char *set_key_file(reading_t *r, const char *value)
{
    size_t bytes;
    char *text = read_private(value, &bytes);
    const char *error;

    if (!text) {
        return "the key cannot be read";
    }
    error = set_key(r, trim(text));
    forget(text, bytes);
    return error;
}

static const char *set_interval(reading_t *r, const char *value)
{
    if (!gb_parse_duration(value, &r->config->interval_us) ||
        r->config->interval_us < 100 * GB_US_PER_MS ||
        r->config->interval_us > GA_INTERVAL_MOST) {
        return "interval= has to be 100ms to 1h, like 15s";
    }
    return NULL;
}

static const char *set_off(reading_t *r, const char *value)
{
    r->config->poweroff = strcmp(value, "poweroff") == 0;
    return r->config->poweroff || strcmp(value, "suspend") == 0
               ? NULL
               : "off= has to be suspend or poweroff";
}

static const char *set_watts(reading_t *r, const char *value)
{
    r->has_watts = true;
    r->config->rapl = strcmp(value, "rapl") == 0;
    if (!*value) {
        return WATTS_WORDS;
    }
    if (r->config->rapl || strcmp(value, "none") == 0) {
        return NULL;
    }
    return set_word(r->config->watts_command, GA_WORD_BYTES, value);
}

static const char *set_rapl_base(reading_t *r, const char *value)
{
    double watts;

    if (!gb_parse_decimal(value, GB_WATTS_MOST, &watts)) {
        return "rapl-base= has to be watts, like 35.5";
    }
    r->config->rapl_base_milliwatts = (uint32_t)(watts * 1000 + 0.5);
    return NULL;
}

static const char *set_inhibit(reading_t *r, const char *value)
{
    return gb_parse_switch(value, &r->config->inhibit) ? NULL
                                                       : "inhibit= has to be on or off";
}

#define SET_WORD(name)                                                                 \
    static const char *set_##name(reading_t *r, const char *value)                     \
    {                                                                                  \
        return set_word(r->config->name, sizeof r->config->name, value);               \
    }
SET_WORD(suspend_command)
SET_WORD(poweroff_command)
SET_WORD(veto_command)
SET_WORD(veto_dir)
SET_WORD(work_command)
SET_WORD(rapl_dir)
SET_WORD(ca_file)

/* ---------------------------------------------------------------- lines */

static const struct {
    const char *name;
    const char *(*set)(reading_t *r, const char *value);
} settings[] = {
    {"server", set_server},
    {"proxy", set_proxy},
    {"key", set_key},
    {"key-file", set_key_file},
    {"interval", set_interval},
    {"off", set_off},
    {"suspend", set_suspend_command},
    {"poweroff", set_poweroff_command},
    {"veto", set_veto_command},
    {"veto-dir", set_veto_dir},
    {"work", set_work_command},
    {"watts", set_watts},
    {"rapl-dir", set_rapl_dir},
    {"rapl-base", set_rapl_base},
    {"ca", set_ca_file},
    {"inhibit", set_inhibit},
};

/* NULL, or what is wrong with the line. */
static const char *read_line(reading_t *r, char *line)
{
    char *value = strchr(line, '=');

    line = trim(line);
    if (!*line || *line == '#') {
        return NULL;
    }
    if (!value) {
        return "it has to be NAME=VALUE";
    }
    *value++ = '\0';
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strcmp(settings[i].name, trim(line)) == 0) {
            return settings[i].set(r, trim(value));
        }
    }
    return "there is no setting of this name";
}

static bool read_lines(reading_t *r, char *text, const char *file)
{
    int number = 1;

    for (char *line = text; line; number++) {
        char *end = strchr(line, '\n');
        const char *error;

        if (end) {
            *end = '\0';
        }
        error = read_line(r, line);
        if (error) {
            ga_say(3, "%s, line %d: %s", file, number, error);
            return false;
        }
        line = end ? end + 1 : NULL;
    }
    return true;
}

static void set_defaults(ga_config_t *config)
{
    memset(config, 0, sizeof(*config));
    config->interval_us = GA_INTERVAL_US;
    config->inhibit = true;
    (void)set_word(config->suspend_command, GA_WORD_BYTES, "systemctl suspend");
    (void)set_word(config->poweroff_command, GA_WORD_BYTES, "systemctl poweroff");
    (void)set_word(config->rapl_dir, GA_WORD_BYTES, "/sys/class/powercap");
}

bool ga_config_read(ga_config_t *config, const char *file)
{
    reading_t reading = {.config = config};
    size_t bytes;
    char *text = read_private(file, &bytes);
    const char *missing = NULL;
    bool is_read;

    set_defaults(config);
    if (!text) {
        return false;
    }
    is_read = read_lines(&reading, text, file);
    forget(text, bytes);
    if (!is_read) {
        return false;
    }
    config->rapl = config->rapl || !reading.has_watts;
    if (!config->server[0]) {
        missing = "server=URL, as on its BalancerMember";
    }
    else if (!config->proxy_count) {
        missing = "proxy=URL, where the proxy takes heartbeats";
    }
    else if (!reading.has_key) {
        missing = "key=KEY or key-file=FILE, as in the proxy's GreenSecrets";
    }
    if (missing) {
        ga_say(3, "%s lacks %s", file, missing);
    }
    return !missing;
}
