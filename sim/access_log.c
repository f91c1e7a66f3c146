/* SPDX-License-Identifier: Apache-2.0
 *
 * access_log.c - --access-log: httpd's access logs as a trace, in one pass.
 *
 * httpd notes when a request came and writes the line when it is answered, so lines are
 * out of order by the longest request, and files may be named in any order: requests
 * are counted by the second of their arrival wherever that lies (log_tally.c).  Files
 * are read through zlib, which passes on what is not compressed.
 */
#include "log_format.h"
#include "log_tally.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define LINE_MOST    (128u << 10) /* bytes of a line */
#define BUFFER_BYTES (4 * LINE_MOST)
#define REPORTED     5     /* lines that do not fit and are shown */
#define EARLY_LINES  10000 /* after so many it is clear whether the format is right */
#define FORMATS_MOST 4

typedef struct reader_t {
    const gs_options_t *options;
    gs_log_format_t formats[FORMATS_MOST];
    uint32_t format_count, current; /* the latest that fitted is tried first */
    gs_log_tally_t tally;
    gs_error_t *error;
    uint64_t lines, unfit;
    char first_unfit[300];
    double all_bytes, done_bytes; /* of files of which the size is known */
    /* the file: */
    const char *name;
    uint64_t line; /* number of the latest */
    gzFile file;
    double file_bytes;
    bool is_too_long; /* within a line that is left out */
    char buffer[BUFFER_BYTES];
} reader_t;

/* ------------------------------------------------------------------------- messages */

static void say(const reader_t *reader, const char *what)
{
    gs_progress(NULL, 0);
    fprintf(stderr, "greensim: %s:%llu: %s\n", reader->name,
            (unsigned long long)reader->line, what);
}

static void date_text(int64_t at_s, char *text, size_t bytes)
{
    time_t at = (time_t)at_s;
    struct tm tm;

    if (!gmtime_r(&at, &tm) || strftime(text, bytes, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        snprintf(text, bytes, "?");
    }
}

static bool fail_span(reader_t *reader, int64_t at_us)
{
    char first[32], last[32], at[32];

    date_text(reader->tally.first_s, first, sizeof first);
    date_text(reader->tally.last_s, last, sizeof last);
    date_text(at_us / 1000000, at, sizeof at);
    return gs_fail(
        reader->error,
        "%s:%llu: a request of %s, where the others are from %s to %s (UTC): "
        "at most %d days are read; give fewer files, or take lines of a clock "
        "that was not set out of them",
        reader->name, (unsigned long long)reader->line, at, first, last,
        GS_LOG_DAYS_MOST);
}

static bool fail_format(reader_t *reader)
{
    const char *help =
        "Say how lines are written: --log-format 'STRING', the string of "
        "LogFormat that this CustomLog names in httpd's configuration, as "
        "'%h %l %u %t \"%r\" %>s %O %D'.";

    return gs_fail(
        reader->error, "%llu of %llu lines do not fit the format %s. First: %s. %s",
        (unsigned long long)reader->unfit, (unsigned long long)reader->lines,
        reader->options->log_format ? "given" : "common, combined or vhost_combined",
        reader->first_unfit, help);
}

/* ---------------------------------------------------------------------------- lines */

/* Shows the first few that do not fit, as text that no terminal acts on. */
static void note_unfit(reader_t *reader, const char *line, size_t bytes,
                       const char *reason)
{
    char text[300], excerpt[64];
    size_t length = bytes < sizeof excerpt - 1 ? bytes : sizeof excerpt - 1;

    reader->unfit++;
    if (reader->unfit > REPORTED) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        excerpt[i] = (char)(line[i] >= ' ' && line[i] <= '~' ? line[i] : '?');
    }
    excerpt[length] = '\0';
    snprintf(text, sizeof text, "%s; the line: %s%s", reason, excerpt,
             length < bytes ? "..." : "");
    if (reader->unfit == 1) {
        snprintf(reader->first_unfit, sizeof reader->first_unfit, "%.60s:%llu: %s",
                 reader->name, (unsigned long long)reader->line, reason);
    }
    say(reader, text);
}

/* Tries the formats, the latest that fitted first. */
static bool match_line(reader_t *reader, const char *line, size_t bytes,
                       gs_log_entry_t *entry, gs_log_miss_t *miss)
{
    gs_log_miss_t other;

    if (gs_log_format_match(&reader->formats[reader->current], line, bytes, entry,
                            miss)) {
        return true;
    }
    for (uint32_t i = 0; i < reader->format_count; i++) {
        if (i != reader->current &&
            gs_log_format_match(&reader->formats[i], line, bytes, entry, &other)) {
            reader->current = i;
            return true;
        }
    }
    return false;
}

static bool take_line(reader_t *reader, const char *line, size_t bytes)
{
    gs_log_entry_t entry;
    gs_log_miss_t miss;
    char reason[200];

    reader->line++;
    if (bytes > 0 && line[bytes - 1] == '\r') {
        bytes--;
    }
    if (bytes == 0) {
        return true;
    }
    reader->lines++;
    if (match_line(reader, line, bytes, &entry, &miss)) {
        return gs_log_tally_add(&reader->tally, entry.at_us, entry.zone_s,
                                entry.took_us) ||
               fail_span(reader, entry.at_us);
    }
    gs_log_miss_text(&reader->formats[reader->current], &miss, reason, sizeof reason);
    note_unfit(reader, line, bytes, reason);
    return reader->lines != EARLY_LINES || reader->unfit * 2 <= reader->lines ||
           fail_format(reader);
}

static bool drop_long_line(reader_t *reader, const char *line)
{
    char reason[80];

    reader->line++;
    reader->lines++;
    reader->is_too_long = true;
    snprintf(reason, sizeof reason, "longer than %u bytes", LINE_MOST);
    note_unfit(reader, line, LINE_MOST, reason);
    return true;
}

/* Takes the whole lines out of the buffer; returns how many bytes they were, or
 * BUFFER_BYTES + 1 on failure. */
static size_t take_lines(reader_t *reader, size_t bytes)
{
    char *at = reader->buffer, *end = reader->buffer + bytes, *newline;

    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (reader->is_too_long) {
            reader->is_too_long = false;
        }
        else if ((size_t)(newline - at) > LINE_MOST) {
            drop_long_line(reader, at);
            reader->is_too_long = false;
        }
        else if (!take_line(reader, at, (size_t)(newline - at))) {
            return BUFFER_BYTES + 1;
        }
        at = newline + 1;
    }
    if ((size_t)(end - at) > LINE_MOST) {
        if (!reader->is_too_long) {
            drop_long_line(reader, at);
        }
        at = end;
    }
    return (size_t)(at - reader->buffer);
}

/* ---------------------------------------------------------------------------- files */

static bool fail_file(reader_t *reader, const char *why)
{
    return gs_fail(reader->error, "%s: %s", reader->name, why);
}

/* Other compressions begin with these bytes. */
static bool check_magic(reader_t *reader, size_t bytes)
{
    static const struct {
        const char *magic, *program;
    } others[] = {{"\xfd"
                   "7zXZ",
                   "xz"},
                  {"BZh", "bzip2"},
                  {"\x28\xb5\x2f\xfd", "zstd"}};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        size_t length = strlen(others[i].magic);

        if (bytes >= length && memcmp(reader->buffer, others[i].magic, length) == 0) {
            return gs_fail(reader->error,
                           "%s is compressed by %s: only gz is read; use %s -dc FILE | "
                           "greensim --access-log - ...",
                           reader->name, others[i].program, others[i].program);
        }
    }
    return true;
}

static void show_progress(const reader_t *reader)
{
    double done = reader->done_bytes;

    if (reader->all_bytes > 0 && !reader->options->quiet) {
        done += reader->file_bytes > 0 ? (double)gzoffset(reader->file) : 0;
        gs_progress("reading", done < reader->all_bytes ? done / reader->all_bytes : 1);
    }
}

static bool read_all(reader_t *reader)
{
    size_t held = 0;
    uint32_t turn = 0;

    reader->line = 0;
    reader->is_too_long = false;
    for (;;) {
        int got = gzread(reader->file, reader->buffer + held,
                         (unsigned)(BUFFER_BYTES - held));
        size_t taken;
        int code;

        if (got < 0) {
            const char *why = gzerror(reader->file, &code);

            return fail_file(reader, code == Z_ERRNO ? strerror(errno) : why);
        }
        if (got == 0) {
            break;
        }
        if (turn == 0 && !check_magic(reader, (size_t)got)) {
            return false;
        }
        if (turn++ % 32 == 0) {
            show_progress(reader);
        }
        held += (size_t)got;
        taken = take_lines(reader, held);
        if (taken > BUFFER_BYTES) {
            return false;
        }
        held -= taken;
        memmove(reader->buffer, reader->buffer + taken, held);
    }
    return held == 0 || reader->is_too_long || take_line(reader, reader->buffer, held);
}

static bool open_file(reader_t *reader, const char *name)
{
    struct stat about;
    int fd;

    reader->name = strcmp(name, "-") == 0 ? "standard input" : name;
    fd = reader->name == name ? open(name, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (fd < 0 || fstat(fd, &about) != 0) {
        fail_file(reader, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    if (S_ISDIR(about.st_mode)) {
        close(fd);
        return fail_file(reader, "is a directory: name the files in it");
    }
    reader->file_bytes = S_ISREG(about.st_mode) ? (double)about.st_size : 0;
    reader->file = gzdopen(fd, "rb");
    if (!reader->file) {
        close(fd);
        return fail_file(reader, "no memory");
    }
    gzbuffer(reader->file, 128u << 10);
    return true;
}

static bool read_file(reader_t *reader, const char *name)
{
    bool done;

    if (!open_file(reader, name)) {
        return false;
    }
    done = read_all(reader);
    if (gzclose(reader->file) == Z_BUF_ERROR && done) {
        done =
            fail_file(reader, "the compressed data end too early: it was cut off, or "
                              "is being written");
    }
    reader->done_bytes += reader->file_bytes;
    return done;
}

/* A glob and a name may well give the same file twice; its requests came once. */
static bool check_names(reader_t *reader, char *const *names, uint32_t count)
{
    struct stat *about = gs_alloc(count, sizeof *about);
    bool good = true;

    for (uint32_t i = 0; i < count && good; i++) {
        bool is_stdin = strcmp(names[i], "-") == 0;

        reader->name = names[i];
        if ((is_stdin ? fstat(STDIN_FILENO, &about[i]) : stat(names[i], &about[i])) !=
            0) {
            good = fail_file(reader, strerror(errno));
        }
        else if (S_ISREG(about[i].st_mode)) {
            reader->all_bytes += (double)about[i].st_size;
        }
        for (uint32_t j = 0; j < i && good; j++) {
            if (about[i].st_dev == about[j].st_dev &&
                about[i].st_ino == about[j].st_ino &&
                (S_ISREG(about[i].st_mode) || is_stdin)) {
                good =
                    gs_fail(reader->error, "--access-log: %s and %s are the same file",
                            names[j], names[i]);
            }
        }
    }
    free(about);
    return good;
}

/* ---------------------------------------------------------------------------- whole */

static bool set_formats(reader_t *reader)
{
    static const char *const usual[] = {"combined", "common", "vhost_combined",
                                        "combinedio"};

    if (reader->options->log_format) {
        reader->format_count = 1;
        return gs_log_format_read(&reader->formats[0], reader->options->log_format,
                                  reader->error);
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (!gs_log_format_read(&reader->formats[i], usual[i], reader->error)) {
            return false;
        }
    }
    reader->format_count = FORMATS_MOST;
    return true;
}

/* Most requests take less than a second: of whole ones no mean can be made. */
static void warn_of_unit(gs_log_facts_t *log)
{
    if (log->service_unit_s >= 1) {
        fprintf(stderr, "greensim: %%T tells whole seconds, too coarse for a service "
                        "time: %%D or %%{ms}T would tell it\n");
        log->timed = 0;
        log->service_s = log->service_p50_s = 0;
        log->service_p95_s = log->service_p99_s = 0;
    }
}

static bool finish(reader_t *reader, gs_trace_t *trace)
{
    const gs_log_format_t *format = &reader->formats[0];

    if (reader->unfit * 2 > reader->lines) {
        return fail_format(reader);
    }
    if (reader->unfit > 0) {
        fprintf(stderr, "greensim: %llu of %llu lines do not fit and are left out\n",
                (unsigned long long)reader->unfit, (unsigned long long)reader->lines);
    }
    if (!gs_log_tally_trace(&reader->tally, trace, reader->error)) {
        gs_error_t why = *reader->error;

        return gs_fail(reader->error, "%.200s: %.300s", trace->name, why.text);
    }
    trace->log.lines = reader->lines;
    trace->log.unfit = reader->unfit;
    if (trace->log.timed > 0) {
        trace->log.service_unit_s =
            (double)format->items[format->took_item].unit_us / 1e6;
        warn_of_unit(&trace->log);
    }
    return true;
}

static void set_name(gs_trace_t *trace, char *const *names, uint32_t count)
{
    const char *slash = strrchr(names[0], '/');
    const char *name = slash && slash[1] ? slash + 1 : names[0];

    if (strcmp(name, "-") == 0) {
        name = "standard input";
    }
    if (count > 1) {
        snprintf(trace->name, sizeof trace->name, "%.90s and %u more", name, count - 1);
    }
    else {
        snprintf(trace->name, sizeof trace->name, "%.120s", name);
    }
}

bool gs_log_read(gs_trace_t *trace, const gs_options_t *options, gs_error_t *error)
{
    reader_t *reader = gs_alloc(1, sizeof *reader);
    bool good;

    reader->options = options;
    reader->error = error;
    set_name(trace, options->logs, options->log_count);
    good =
        set_formats(reader) && check_names(reader, options->logs, options->log_count);
    for (uint32_t i = 0; i < options->log_count && good; i++) {
        good = read_file(reader, options->logs[i]);
    }
    gs_progress(NULL, 0);
    good = good && finish(reader, trace);
    gs_log_tally_free(&reader->tally);
    free(reader);
    return good;
}
