/* SPDX-License-Identifier: Apache-2.0
 *
 * greenctl.c - the operator's command line: asks the keeper over its unix socket.
 *
 * One request, one reply (core/gb_command.h).  Tables come as lines of TAB-separated
 * fields and are laid out here; JSON is printed as it comes.
 */
#include "../core/gb_command.h"
#include "journal.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef GREENCTL_SOCKET
#define GREENCTL_SOCKET "/var/run/apache2/greenbalance/control.sock"
#endif
#define TIMEOUT_S        10
#define REPLY_MOST_BYTES (64u << 20)
#define WATCH_EVERY_S    1

/* Exit statuses, in docs/greenctl.md. */
enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

typedef struct options_t {
    const char *socket;
    gb_command_t command;
    bool watch;
} options_t;

/* A reply: malloc'ed, NUL-terminated. */
typedef struct reply_t {
    char *text;
    size_t bytes;
    char *body; /* within text, after "OK N" */
} reply_t;

static const char usage_text[] =
    "usage: greenctl [--socket PATH] COMMAND\n"
    "  status [--json]   the servers, their states, load and power\n"
    "  watch             the same, anew every second\n"
    "  wake MEMBER       switch a server on and keep it on\n"
    "  sleep MEMBER      let a server finish its work, switch it off, keep it off\n"
    "  auto MEMBER       leave it to the policy again\n"
    "  accept MEMBER     take back a replica that is set aside, as it is\n"
    "  give-up BALANCER SEQ  end a write that no server answers: it has failed\n"
    "  pause             give no power order until resume; requests go on\n"
    "  resume            give power orders again\n"
    "  events            what happened lately, newest last\n"
    "  model             the fleet (curves, capacities, boot times), JSON\n"
    "  journal ...       check or repair the file of GreenJournal; see journal --help\n"
    "MEMBER is a URL, a host or host:port, or a machine's name.\n"
    "  --balancer NAME   which one, where a member is in several\n"
    "  --seq N           accept: it has the entries up to this one, not all\n"
    "  --even-so         give-up: though all servers are set aside then\n"
    "  --socket PATH     the keeper's socket; also GREENCTL_SOCKET in the "
    "environment;\n"
    "                    default " GREENCTL_SOCKET "\n"
    "exit status: 0 done, 1 refused, 2 wrong usage, 3 the keeper cannot be reached\n";

/* ---------------------------------------------------------------- the command line */

static int wrong(const char *what, const char *word)
{
    fprintf(stderr, "greenctl: %s%s%s\nTry greenctl --help.\n", what, *word ? ": " : "",
            word);
    return EXIT_USAGE;
}

static bool copy_name(char out[GB_NAME_BYTES], const char *name)
{
    size_t bytes = strlen(name);

    if (!bytes || bytes >= GB_NAME_BYTES) {
        return false;
    }
    memcpy(out, name, bytes + 1);
    return true;
}

static int read_give_up(gb_command_t *command, char **words, int count)
{
    if (count != 3) {
        return wrong("this command takes a BALANCER and a SEQ", words[0]);
    }
    if (command->balancer[0]) {
        return wrong("--balancer is not for give-up, which names one itself", "");
    }
    if (command->has_seq) {
        return wrong("--seq is not for give-up, which names one itself", "");
    }
    if (!copy_name(command->balancer, words[1])) {
        return wrong("BALANCER is empty or too long", "");
    }
    command->has_seq = gb_command_number(words[2], strlen(words[2]), &command->seq);
    return command->has_seq ? EXIT_DONE
                            : wrong("SEQ is the number of an entry", words[2]);
}

/* The words that are no options: COMMAND [MEMBER]. */
static int read_words(options_t *options, char **words, int count)
{
    gb_command_t *command = &options->command;

    if (!count) {
        return wrong("no command is given", "");
    }
    if (strcmp(words[0], "watch") == 0) {
        options->watch = true;
        command->verb = GB_VERB_STATUS;
    }
    else {
        command->verb = gb_command_verb(words[0]);
    }
    if (command->verb == GB_VERB_COUNT) {
        return wrong("unknown command", words[0]);
    }
    if (command->verb == GB_VERB_GIVE_UP) {
        return read_give_up(command, words, count);
    }
    if (count != (gb_command_needs_member(command->verb) ? 2 : 1)) {
        return gb_command_needs_member(command->verb)
                   ? wrong("this command takes one MEMBER", words[0])
                   : wrong("this command takes nothing after it", words[0]);
    }
    if (count == 2 && !copy_name(command->member, words[1])) {
        return wrong("MEMBER is empty or too long", "");
    }
    return EXIT_DONE;
}

static int check_options(const options_t *options)
{
    char line[GB_COMMAND_BYTES + 1];

    if (options->command.as_json &&
        (options->command.verb != GB_VERB_STATUS || options->watch)) {
        return wrong("--json is for status", "");
    }
    if (options->command.even_so && options->command.verb != GB_VERB_GIVE_UP) {
        return wrong("--even-so is for give-up", "");
    }
    if (options->command.balancer[0] && !options->command.member[0] &&
        options->command.verb != GB_VERB_GIVE_UP) {
        return wrong("--balancer is for wake, sleep, auto and accept", "");
    }
    if (options->command.has_seq && options->command.verb != GB_VERB_ACCEPT &&
        options->command.verb != GB_VERB_GIVE_UP) {
        return wrong("--seq is for accept", "");
    }
    if (!gb_command_write(&options->command, line, sizeof(line))) {
        return wrong("a name has a control character in it, or is too long", "");
    }
    return EXIT_DONE;
}

/* -1: go on; else the exit status. */
static int read_options(options_t *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"socket", required_argument, NULL, 's'},
        {"balancer", required_argument, NULL, 'b'},
        {"seq", required_argument, NULL, 'n'},
        {"even-so", no_argument, NULL, 'e'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int option, rc;

    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->socket = optarg;
            break;
        case 'b':
            if (!copy_name(options->command.balancer, optarg)) {
                return wrong("--balancer: the name is empty or too long", "");
            }
            break;
        case 'n':
            options->command.has_seq =
                gb_command_number(optarg, strlen(optarg), &options->command.seq);
            if (!options->command.has_seq) {
                return wrong("--seq takes the number of an entry", optarg);
            }
            break;
        case 'e':
            options->command.even_so = true;
            break;
        case 'j':
            options->command.as_json = true;
            break;
        case 'h':
            fputs(usage_text, stdout);
            return EXIT_DONE;
        case 'v':
            puts("greenctl " GB_VERSION);
            return EXIT_DONE;
        default:
            fputs("Try greenctl --help.\n", stderr); /* getopt has said what is wrong */
            return EXIT_USAGE;
        }
    }
    rc = read_words(options, argv + optind, argc - optind);
    if (rc == EXIT_DONE) {
        rc = check_options(options);
    }
    return rc == EXIT_DONE ? -1 : rc;
}

/* ---------------------------------------------------------------- the keeper */

static int unreachable(const options_t *options, int error)
{
    const char *hint = "is httpd running, with GreenBalance on? See its error log";

    if (error == EACCES || error == EPERM) {
        hint = "only root, or the user that started httpd, may use it";
    }
    else if (error == ENOENT) {
        hint = "is httpd running, and does --socket name GreenRuntimeDir/control.sock?";
    }
    fprintf(stderr, "greenctl: the keeper cannot be reached at %s: %s (%s)\n",
            options->socket, strerror(error), hint);
    return EXIT_UNREACHABLE;
}

/* A connected socket, or -1: errno. */
static int connect_to(const char *path)
{
    const struct timeval timeout = {TIMEOUT_S, 0};
    struct sockaddr_un address;
    int fd, error;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Reads until the keeper hangs up.  0, or an errno. */
static int receive_all(int fd, reply_t *reply)
{
    size_t room = 0;

    for (;;) {
        ssize_t n;

        if (reply->bytes + 1 >= room) {
            char *grown;

            room = room ? room * 2 : 16384;
            grown = room <= REPLY_MOST_BYTES ? realloc(reply->text, room) : NULL;
            if (!grown) {
                return ENOMEM;
            }
            reply->text = grown;
        }
        n = recv(fd, reply->text + reply->bytes, room - reply->bytes - 1, 0);
        if (n > 0) {
            reply->bytes += (size_t)n;
        }
        else if (n < 0 && errno == EINTR) {
            continue;
        }
        else if (n < 0 && (errno != ECONNRESET || !reply->bytes)) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? ETIMEDOUT : errno;
        }
        else {
            reply->text[reply->bytes] = '\0';
            return 0;
        }
    }
}

/* Looks at the reply's first line: the body is set, or a refusal is told. */
static int read_reply(const options_t *options, reply_t *reply)
{
    char *line_end = reply->text ? strchr(reply->text, '\n') : NULL, *end;
    unsigned long long bytes;

    if (line_end && strncmp(reply->text, "NO ", 3) == 0) {
        *line_end = '\0';
        fprintf(stderr, "greenctl: refused: %s\n", reply->text + 3);
        return EXIT_REFUSED;
    }
    if (line_end && strncmp(reply->text, "OK ", 3) == 0) {
        bytes = strtoull(reply->text + 3, &end, 10);
        reply->body = line_end + 1;
        if (end == line_end &&
            bytes == reply->bytes - (size_t)(reply->body - reply->text)) {
            return EXIT_DONE;
        }
    }
    fprintf(stderr, "greenctl: the reply at %s is cut short or not a keeper's\n",
            options->socket);
    return EXIT_UNREACHABLE;
}

/* One request and its reply; what went wrong has been told. */
static int ask(const options_t *options, reply_t *reply)
{
    char line[GB_COMMAND_BYTES + 1];
    size_t bytes = gb_command_write(&options->command, line, sizeof(line)), sent = 0;
    int fd = connect_to(options->socket), error;

    if (fd < 0) {
        return unreachable(options, errno == EAGAIN ? ETIMEDOUT : errno);
    }
    while (sent < bytes) {
        ssize_t n = send(fd, line + sent, bytes - sent, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            break; /* a keeper that turns us away has said why */
        }
        sent += n > 0 ? (size_t)n : 0;
    }
    error = receive_all(fd, reply);
    close(fd);
    return error ? unreachable(options, error) : read_reply(options, reply);
}

/* ---------------------------------------------------------------- tables */

#define FIELDS_MOST 16
#define COLUMNS     11

/* Splits a line at its TABs, in place; what a terminal would obey is made visible. */
static size_t split(char *line, char *fields[FIELDS_MOST])
{
    size_t count = 1;

    fields[0] = line;
    for (; *line; line++) {
        if (*line == '\t' && count < FIELDS_MOST) {
            *line = '\0';
            fields[count++] = line + 1;
        }
        else if ((unsigned char)*line < 0x20 || *line == 0x7f) {
            *line = '?';
        }
    }
    for (size_t i = count; i < FIELDS_MOST; i++) {
        fields[i] = line; /* "" */
    }
    return count;
}

static const char *duration(double seconds, char out[24])
{
    int64_t whole = (int64_t)seconds;

    if (whole < 100) {
        snprintf(out, 24, "%ds", (int)whole);
    }
    else if (whole < 3600) {
        snprintf(out, 24, "%dm%02ds", (int)(whole / 60), (int)(whole % 60));
    }
    else if (whole < 86400) {
        snprintf(out, 24, "%dh%02dm", (int)(whole / 3600), (int)(whole % 3600 / 60));
    }
    else {
        snprintf(out, 24, "%" PRId64 "d%02dh", whole / 86400,
                 (int)(whole % 86400 / 3600));
    }
    return out;
}

/* One row of the table, as text; long enough for any field that the keeper sends. */
typedef struct row_t {
    char cells[COLUMNS][GB_NAME_BYTES];
} row_t;

static const char *const headings[COLUMNS] = {
    "MEMBER", "MACHINE",   "STATE", "WISH",         "SINCE",  "HEALTH",
    "PROOF",  "IN FLIGHT", "WATTS", "BOOT p50/p95", "REMARK",
};

static void set_cell(row_t *row, int column, const char *text)
{
    snprintf(row->cells[column], sizeof(row->cells[column]), "%s", text);
}

/* Fields of a member's line: 1 url, 2 machine, 3 state, 4 wish, 5 since, 6 health,
 * 7 proof, 8 in flight, 9 capacity, 10 watts, 11 source, 12 p50, 13 p95, 14 count,
 * 15 remark: what is unusual, the last error. */
static void fill_row(row_t *row, char *fields[FIELDS_MOST])
{
    char since[24];

    for (int i = 0; i < 4; i++) {
        set_cell(row, i, fields[i + 1]);
    }
    if (strcmp(fields[1], fields[2]) == 0) {
        set_cell(row, 1,
                 "(own)"); /* a machine of its own, called by its member's URL */
    }
    set_cell(row, 4, duration(strtod(fields[5], NULL), since));
    set_cell(row, 5, fields[6]);
    set_cell(row, 6, fields[7]);
    snprintf(row->cells[7], GB_NAME_BYTES, "%.20s/%.20s", fields[8], fields[9]);
    snprintf(row->cells[8], GB_NAME_BYTES, "%.20s %.20s", fields[10], fields[11]);
    snprintf(row->cells[9], GB_NAME_BYTES, "%.20s/%.20s s (%.20s)", fields[12],
             fields[13], fields[14]);
    set_cell(row, 10, fields[15]);
}

/* Characters, not bytes, of UTF-8. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void print_rows(const row_t *rows, size_t count)
{
    int widths[COLUMNS];

    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = width_of(headings[c]);
        for (size_t i = 0; i < count; i++) {
            int width = width_of(rows[i].cells[c]);

            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t i = 0; i <= count; i++) {
        printf(" ");
        for (int c = 0; c < COLUMNS; c++) {
            const char *cell = i ? rows[i - 1].cells[c] : headings[c];
            bool last = c == COLUMNS - 1;

            printf(" %s%*s", cell, last ? 0 : widths[c] - width_of(cell) + 1, "");
        }
        printf("\n");
    }
}

/* Fields: 1 label, 2 mode, 3 policy, 4 panic, 5 in flight, 6 arrivals, 7 capacity
 * awake, 8 servers on, 9 servers, 10 wanted, 11 watts, 12 source, 13 reason, 14
 * replicated writes. */
static void print_balancer(char *fields[FIELDS_MOST])
{
    printf("\n%s: GreenBalance %s, policy %s%s\n", fields[1], fields[2], fields[3],
           strcmp(fields[4], "panic") == 0
               ? " - PANIC: too few servers serve, nothing is switched off"
               : "");
    printf("  %s of %s servers on, %s %s; %s in flight of %s, %s/s; %s W (%s)\n",
           fields[8], fields[9], fields[10],
           strcmp(fields[2], "observe") == 0 ? "would do" : "wanted", fields[5],
           fields[7], fields[6], fields[11], fields[12]);
    for (int i = 13; i <= 14; i++) {
        if (*fields[i]) {
            printf("  %s\n", fields[i]);
        }
    }
}

static void print_keeper(char *fields[FIELDS_MOST])
{
    char up[24];

    printf("keeper: pid %s, up %s%s\n", fields[1],
           duration(strtod(fields[2], NULL), up),
           strcmp(fields[3], "paused") == 0
               ? ", PAUSED: no power order is given until greenctl resume"
               : "");
}

/* Returns false when there is no memory for the rows. */
static bool print_status(char *body)
{
    char *fields[FIELDS_MOST], *line, *save = NULL;
    size_t count = 0, room = 0;
    row_t *rows = NULL;

    for (line = strtok_r(body, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        split(line, fields);
        if (strcmp(fields[0], "member") == 0) {
            if (count == room) {
                row_t *grown =
                    realloc(rows, (room = room ? 2 * room : 64) * sizeof(*rows));

                if (!grown) {
                    free(rows);
                    return false;
                }
                rows = grown;
            }
            fill_row(&rows[count++], fields);
            continue;
        }
        if (count) {
            print_rows(rows, count);
            count = 0;
        }
        if (strcmp(fields[0], "keeper") == 0) {
            print_keeper(fields);
        }
        else if (strcmp(fields[0], "balancer") == 0) {
            print_balancer(fields);
        }
    }
    if (count) {
        print_rows(rows, count);
    }
    free(rows);
    return true;
}

/* Fields: 1 time, 2 balancer, 3 member, 4 machine, 5 from, 6 to, 7 reason. */
static void print_events(char *body)
{
    char *fields[FIELDS_MOST], *line, *save = NULL;

    for (line = strtok_r(body, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        time_t at;
        struct tm local;
        char when[32];

        split(line, fields);
        at = (time_t)strtoll(fields[1], NULL, 10);
        if (!localtime_r(&at, &local) ||
            !strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local)) {
            snprintf(when, sizeof(when), "%s", "?");
        }
        printf("%s  %s", when,
               strcmp(fields[3], "-") != 0   ? fields[3]
               : strcmp(fields[4], "-") != 0 ? fields[4]
                                             : fields[2]);
        if (strcmp(fields[5], fields[6]) != 0) {
            printf("  %s -> %s", fields[5], fields[6]);
        }
        printf("  %s\n", fields[7]);
    }
}

/* ---------------------------------------------------------------- what is done */

static int print_reply(const options_t *options, reply_t *reply)
{
    bool printed = true;

    if (options->command.verb == GB_VERB_STATUS && !options->command.as_json) {
        printed = print_status(reply->body);
    }
    else if (options->command.verb == GB_VERB_EVENTS) {
        print_events(reply->body);
    }
    else {
        fputs(reply->body, stdout);
    }
    if (fflush(stdout) || ferror(stdout) || !printed) {
        fprintf(stderr, "greenctl: cannot write: %s\n", strerror(errno));
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

static int run_once(const options_t *options)
{
    reply_t reply = {NULL, 0, NULL};
    int rc = ask(options, &reply);

    if (rc == EXIT_DONE) {
        rc = print_reply(options, &reply);
    }
    free(reply.text);
    return rc;
}

/* A keeper that is away for a while (a restart) is waited for, but for the first time.
 */
static int run_watch(const options_t *options)
{
    bool seen = false;

    for (;;) {
        int rc;

        if (isatty(STDOUT_FILENO)) {
            fputs("\033[H\033[2J", stdout);
        }
        rc = run_once(options);
        if (rc == EXIT_REFUSED || (rc != EXIT_DONE && !seen)) {
            return rc;
        }
        seen = true;
        putchar('\n');
        sleep(WATCH_EVERY_S);
    }
}

int main(int argc, char **argv)
{
    options_t options;
    const char *from_environment = getenv("GREENCTL_SOCKET");
    int rc;

    if (argc > 1 && strcmp(argv[1], "journal") == 0) {
        return journal_main(argc - 1, argv + 1);
    }
    memset(&options, 0, sizeof(options));
    options.socket =
        from_environment && *from_environment ? from_environment : GREENCTL_SOCKET;
    rc = read_options(&options, argc, argv);
    if (rc >= 0) {
        return rc;
    }
    return options.watch ? run_watch(&options) : run_once(&options);
}
