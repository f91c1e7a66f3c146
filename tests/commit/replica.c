/* SPDX-License-Identifier: Apache-2.0
 *
 * replica.c - a fast replica for tests and benches: what backend.py --level l1 does, of
 * the same file, without its ways to misbehave.
 *
 *   replica --port P --dir DIR [--name NAME] [--level l0|l1] [--no-sync]
 *
 *   POST /append, /even, /odd; PUT, DELETE and GET /item/NAME; GET /list, /keys,
 * /count, /write/N (the Nth that was applied, from 1), /health: see backend.py
 *
 * One process, epoll, HTTP/1.1 with kept connections.  A turn takes in what came on all
 * of them, appends the records to DIR/writes, one line of JSON each, syncs once, and
 * only then answers, reads too.  At l1 a key that is on record gets its answer again,
 * and a write whose Green-Commit-Seq is not above the latest one gets 412, since it was
 * given up long ago.  A write that cannot be made durable ends the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#define HEAD_MOST   (64 * 1024)
#define BODY_MOST   (16 * 1024 * 1024)
#define READ_BYTES  (64 * 1024)
#define EVENTS      256
#define DIGEST_TEXT (2 * SHA256_DIGEST_LENGTH + 1)

/* ------------------------------------------------------------------ text */

typedef struct text_t {
    char *at; /* always ends with '\0'; NULL: empty */
    size_t bytes, room;
} text_t;

static void die(const char *what)
{
    fprintf(stderr, "replica: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void text_room(text_t *text, size_t more)
{
    size_t room = text->room ? text->room : 256;

    while (room < text->bytes + more + 1) {
        room *= 2;
    }
    if (room != text->room) {
        text->at = realloc(text->at, room);
        if (!text->at) {
            die("memory");
        }
        text->room = room;
    }
}

static void text_add(text_t *text, const char *at, size_t bytes)
{
    text_room(text, bytes);
    memcpy(text->at + text->bytes, at, bytes);
    text->bytes += bytes;
    text->at[text->bytes] = '\0';
}

static void text_say(text_t *text, const char *line)
{
    text_add(text, line, strlen(line));
}

__attribute__((format(printf, 2, 3))) static void text_print(text_t *text,
                                                             const char *format, ...)
{
    char line[1024];
    va_list list;
    int bytes;

    va_start(list, format);
    bytes = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    text_add(text, line, bytes < (int)sizeof line ? (size_t)bytes : sizeof line - 1);
}

/* Bytes are Latin-1 to backend.py, which hashes and sends their UTF-8. */
static void text_utf8(text_t *text, const char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)at[i];
        char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};

        text_add(text, c < 0x80 ? &at[i] : two, c < 0x80 ? 1 : 2);
    }
}

/* A string as Python's json.dumps() has it. */
static void text_quote(text_t *text, const char *at, size_t bytes)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";

    text_say(text, "\"");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)at[i];
        const char *known = c ? strchr(from, c) : NULL;

        if (known) {
            text_print(text, "\\%c", to[known - from]);
        }
        else if (c < 0x20 || c >= 0x7f) {
            text_print(text, "\\u%04x", c);
        }
        else {
            text_add(text, &at[i], 1);
        }
    }
    text_say(text, "\"");
}

/* ------------------------------------------------------------------ records */

/* A write with its answer; what it points to belongs to somebody else. */
typedef struct record_t {
    const char *method, *target, *body, *key, *role, *seq;
    size_t body_bytes;
    int status;
    const char *answer;
    bool applied;
    char hash[DIGEST_TEXT];
} record_t;

static void or_null(text_t *line, const char *value)
{
    if (value) {
        text_quote(line, value, strlen(value));
    }
    else {
        text_say(line, "null");
    }
}

static void record_print(text_t *line, const record_t *r)
{
    text_say(line, "{\"method\": ");
    or_null(line, r->method);
    text_say(line, ", \"target\": ");
    or_null(line, r->target);
    text_say(line, ", \"body\": ");
    text_quote(line, r->body, r->body_bytes);
    text_say(line, ", \"key\": ");
    or_null(line, r->key);
    text_say(line, ", \"role\": ");
    or_null(line, r->role);
    text_say(line, ", \"seq\": ");
    or_null(line, r->seq);
    text_print(line, ", \"status\": %d, \"answer\": ", r->status);
    or_null(line, r->answer);
    text_print(line, ", \"applied\": %s, \"hash\": \"%s\"}\n",
               r->applied ? "true" : "false", r->hash);
}

/* Reads a string, or null, in place; what follows it, or NULL. */
static char *string_read(char *at, const char **value, size_t *bytes)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    char *into = at;

    *value = NULL;
    *bytes = 0;
    if (!strncmp(at, "null", 4)) {
        return at + 4;
    }
    if (*at++ != '"') {
        return NULL;
    }
    for (*value = into; *at && *at != '"'; at++) {
        const char *known;

        if (*at != '\\') {
            *into++ = *at;
        }
        else if (*++at == 'u') {
            char digits[5] = {at[1], at[2], at[3], at[4], 0}, *end;
            unsigned long c = strtoul(digits, &end, 16);

            if (*end || strlen(digits) != 4 || c > 0xff) {
                return NULL;
            }
            *into++ = (char)c;
            at += 4;
        }
        else {
            known = *at ? strchr(from, *at) : NULL;
            *into++ = known ? to[known - from] : *at;
        }
    }
    if (*at != '"') {
        return NULL;
    }
    *bytes = (size_t)(into - *value);
    *into = '\0';
    return at + 1;
}

static char *skip(char *at, const char *text)
{
    size_t bytes = strlen(text);

    return at && !strncmp(at, text, bytes) ? at + bytes : NULL;
}

/* A line that record_print() or backend.py has written; it is changed. */
static bool record_read(char *line, record_t *r)
{
    static const char *const names[] = {
        "{\"method\": ", ", \"target\": ", ", \"body\": ",   ", \"key\": ",
        ", \"role\": ",  ", \"seq\": ",    ", \"status\": ", ", \"applied\": "};
    const char **values[] = {&r->method, &r->target, &r->body,
                             &r->key,    &r->role,   &r->seq};
    const char *hash;
    size_t bytes;
    char *at = line;

    for (int i = 0; i < 6 && at; i++) {
        at = skip(at, names[i]);
        at = at ? string_read(at, values[i], i == 2 ? &r->body_bytes : &bytes) : NULL;
    }
    at = skip(at, names[6]);
    r->status = at ? (int)strtol(at, &at, 10) : 0;
    at = skip(at, ", \"answer\": ");
    at = at ? string_read(at, &r->answer, &bytes) : NULL;
    at = skip(at, names[7]);
    r->applied = at && *at == 't';
    at = skip(at, r->applied ? "true, \"hash\": " : "false, \"hash\": ");
    at = at ? string_read(at, &hash, &bytes) : NULL;
    if (!at || !hash || bytes != DIGEST_TEXT - 1 || !r->method || !r->target ||
        !r->body || !r->answer) {
        return false;
    }
    memcpy(r->hash, hash, sizeof r->hash);
    return true;
}

/* ------------------------------------------------------------------ the store */

/* Something by its name. */
typedef struct known_t {
    char *name; /* first: by_name() */
    int status; /* of an answer */
    char *text; /* an answer, or an item's body; NULL: deleted */
    size_t bytes;
} known_t;

typedef struct applied_t {
    char *line, *key;
    size_t bytes; /* of the line, without its end */
} applied_t;

static struct {
    const char *name;
    bool l1, sync;
    int fd;
    applied_t *writes;
    size_t count, room, posts;
    void *answers, *items; /* trees of known_t */
    uint64_t epoch, seq;   /* the latest that was taken up */
    char hash[DIGEST_TEXT];
    text_t log; /* of this turn: not written yet */
} store;

static char *copy(const char *at, size_t bytes)
{
    char *made = malloc(bytes + 1);

    if (!made) {
        die("memory");
    }
    memcpy(made, at, bytes);
    made[bytes] = '\0';
    return made;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const known_t *)a)->name, ((const known_t *)b)->name);
}

static known_t *find(void *const *tree, const char *name)
{
    known_t wanted = {.name = (char *)(uintptr_t)name};
    void *found = tfind(&wanted, tree, by_name);

    return found ? *(known_t **)found : NULL;
}

static void set(void **tree, const char *name, int status, const char *text,
                size_t bytes)
{
    known_t *known = find(tree, name);

    if (!known) {
        known = calloc(1, sizeof *known);
        if (!known) {
            die("memory");
        }
        known->name = copy(name, strlen(name));
        if (!tsearch(known, tree, by_name)) {
            die("memory");
        }
    }
    free(known->text);
    known->status = status;
    known->text = text ? copy(text, bytes) : NULL;
    known->bytes = bytes;
}

static bool seq_read(const char *text, uint64_t *epoch, uint64_t *seq)
{
    return text && sscanf(text, "%" SCNu64 ".%" SCNu64, epoch, seq) == 2;
}

static bool is_late(const char *text)
{
    uint64_t epoch, seq;

    return seq_read(text, &epoch, &seq) &&
           (epoch < store.epoch || (epoch == store.epoch && seq <= store.seq));
}

/* Takes in a record; `line` is as it stands in the file. */
static void take(const record_t *r, const char *line, size_t bytes)
{
    uint64_t epoch, seq;

    if (store.l1 && r->key && *r->key) {
        set(&store.answers, r->key, r->status, r->answer, strlen(r->answer));
    }
    if (seq_read(r->seq, &epoch, &seq)) {
        store.epoch = epoch;
        store.seq = seq;
    }
    if (!r->applied) {
        return;
    }
    if (store.count == store.room) {
        store.room = store.room ? 2 * store.room : 1024;
        store.writes = realloc(store.writes, store.room * sizeof *store.writes);
        if (!store.writes) {
            die("memory");
        }
    }
    store.writes[store.count++] =
        (applied_t){.line = copy(line, bytes),
                    .bytes = bytes,
                    .key = copy(r->key ? r->key : "", strlen(r->key ? r->key : ""))};
    store.posts += !strcmp(r->method, "POST");
    memcpy(store.hash, r->hash, sizeof store.hash);
    if (!strncmp(r->target, "/item/", 6)) {
        set(&store.items, r->target, 0, strcmp(r->method, "DELETE") ? r->body : NULL,
            r->body_bytes);
    }
}

static void hash_of(text_t *all, char hash[DIGEST_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)(all->at ? all->at : ""), all->bytes, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    }
}

/* What its own file has; a line that a crash has torn was never answered. */
static void store_open(const char *directory)
{
    text_t path = {0}, nothing = {0};
    char *line = NULL;
    size_t room = 0;
    off_t kept = 0;
    ssize_t bytes;
    FILE *file;

    (void)mkdir(directory, 0755);
    text_print(&path, "%s/writes", directory);
    store.fd = open(path.at, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    file = store.fd < 0 ? NULL : fdopen(dup(store.fd), "r");
    if (!file) {
        die(path.at);
    }
    hash_of(&nothing, store.hash);
    while ((bytes = getline(&line, &room, file)) > 0 && line[bytes - 1] == '\n') {
        char *kept_line = copy(line, (size_t)bytes - 1);
        record_t r = {0};

        if (!record_read(line, &r)) {
            fprintf(stderr, "replica: %s: no record at byte %lld\n", path.at,
                    (long long)kept);
            exit(1);
        }
        take(&r, kept_line, (size_t)bytes - 1);
        free(kept_line);
        kept += bytes;
    }
    if (ferror(file) || ftruncate(store.fd, kept) ||
        lseek(store.fd, kept, SEEK_SET) != kept) {
        die(path.at);
    }
    (void)fclose(file);
    free(line);
    free(path.at);
}

/* Everything of this turn becomes durable. */
static void store_commit(void)
{
    const char *at = store.log.at;
    size_t left = store.log.bytes;

    while (left) {
        ssize_t bytes = write(store.fd, at, left);

        if (bytes < 0 && errno != EINTR) {
            die("writes");
        }
        at += bytes > 0 ? bytes : 0;
        left -= bytes > 0 ? (size_t)bytes : 0;
    }
    if (store.log.bytes && store.sync && fdatasync(store.fd)) {
        die("writes: sync");
    }
    store.log.bytes = 0;
}

/* ------------------------------------------------------------------ requests */

typedef struct connection_t {
    int fd;
    bool waits_for_room, is_continued, ends;
    text_t in, out;
    size_t out_sent;
    struct connection_t *next; /* with something to answer in this turn */
    bool queued;
} connection_t;

typedef struct request_t {
    char *method, *target, *key, *role, *seq;
    const char *body;
    size_t body_bytes;
    bool expects, chunked, closes;
} request_t;

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 404:
        return "Not Found";
    default:
        return "Status";
    }
}

static void answer(connection_t *c, int status, const char *body, size_t bytes)
{
    text_print(&c->out, "HTTP/1.1 %d %s\r\n", status, reason(status));
    if (status != 204) {
        text_print(&c->out, "Content-Length: %zu\r\nContent-Type: application/json\r\n",
                   bytes);
    }
    text_print(&c->out, "X-Replica: %s\r\n\r\n", store.name);
    if (status != 204) {
        text_add(&c->out, body, bytes);
    }
}

static int decide(const request_t *r, bool *applied)
{
    bool is_post = !strcmp(r->method, "POST");
    const known_t *item = find(&store.items, r->target);
    bool there = item && item->text;

    *applied = true;
    if (is_post && !strcmp(r->target, "/append")) {
        return 201;
    }
    if (is_post && (!strcmp(r->target, "/even") || !strcmp(r->target, "/odd"))) {
        *applied = store.posts % 2 == (r->target[1] == 'e' ? 0 : 1);
        return *applied ? 201 : 409;
    }
    if (!strncmp(r->target, "/item/", 6) && !strcmp(r->method, "PUT")) {
        return there ? 200 : 201;
    }
    if (!strncmp(r->target, "/item/", 6) && !strcmp(r->method, "DELETE")) {
        *applied = there;
        return there ? 204 : 404;
    }
    *applied = false;
    return 405;
}

static void write_new(connection_t *c, const request_t *r)
{
    static text_t hashed, said;
    record_t record = {.method = r->method,
                       .target = r->target,
                       .body = r->body,
                       .body_bytes = r->body_bytes,
                       .key = r->key ? r->key : "",
                       .role = r->role,
                       .seq = r->seq};
    size_t from = store.log.bytes;

    record.status = decide(r, &record.applied);
    hashed.bytes = said.bytes = 0;
    text_say(&hashed, store.hash);
    text_utf8(&hashed, r->method, strlen(r->method));
    text_utf8(&hashed, r->target, strlen(r->target));
    text_utf8(&hashed, r->body, r->body_bytes);
    hash_of(&hashed, record.hash);
    text_say(&said, "");
    if (record.status != 204) {
        text_print(&said, "{\"n\": %zu, \"hash\": \"%s\"}",
                   store.count + record.applied, record.hash);
    }
    record.answer = said.at;
    if (record.applied || store.l1) {
        record_print(&store.log, &record);
        take(&record, store.log.at + from, store.log.bytes - from - 1);
    }
    answer(c, record.status, said.at, said.bytes);
}

static void serve_write(connection_t *c, const request_t *r)
{
    const known_t *before = store.l1 && r->key ? find(&store.answers, r->key) : NULL;

    if (before) {
        answer(c, before->status, before->text, before->bytes);
    }
    else if (store.l1 && is_late(r->seq)) {
        answer(c, 412, "it was given up\n", 16);
    }
    else {
        write_new(c, r);
    }
}

static void list(text_t *into, bool keys)
{
    text_say(into, "[");
    for (size_t i = 0; i < store.count; i++) {
        text_say(into, i ? ", " : "");
        if (keys) {
            text_quote(into, store.writes[i].key, strlen(store.writes[i].key));
        }
        else {
            text_add(into, store.writes[i].line, store.writes[i].bytes);
        }
    }
    text_say(into, "]");
}

static void serve_read(connection_t *c, const request_t *r)
{
    static text_t said;
    const known_t *item;
    int status = 200;

    said.bytes = 0;
    r->target[strcspn(r->target, "?")] = '\0';
    item = find(&store.items, r->target);
    if (!strcmp(r->target, "/health")) {
        text_say(&said, "fine\n");
    }
    else if (!strcmp(r->target, "/list") || !strcmp(r->target, "/keys")) {
        list(&said, r->target[1] == 'k');
    }
    else if (!strcmp(r->target, "/count")) {
        text_print(&said, "{\"n\": %zu, \"hash\": \"%s\", \"replica\": \"%s\"}",
                   store.count, store.hash, store.name);
    }
    else if (!strncmp(r->target, "/write/", 7) &&
             strtoull(r->target + 7, NULL, 10) - 1 < store.count) {
        const applied_t *one = &store.writes[strtoull(r->target + 7, NULL, 10) - 1];

        text_add(&said, one->line, one->bytes);
    }
    else if (item && item->text) {
        text_utf8(&said, item->text, item->bytes);
    }
    else {
        text_say(&said, "nothing here\n");
        status = 404;
    }
    answer(c, status, said.at, said.bytes);
}

/* ------------------------------------------------------------------ HTTP */

static char *unquoted(char *value)
{
    size_t bytes = strlen(value);

    while (bytes && value[bytes - 1] == '"') {
        value[--bytes] = '\0';
    }
    return value + strspn(value, "\"");
}

static void header(request_t *r, char *line)
{
    char *value = strchr(line, ':');

    if (!value) {
        return;
    }
    *value++ = '\0';
    value += strspn(value, " \t");
    if (!strcasecmp(line, "Content-Length")) {
        r->body_bytes = strtoul(value, NULL, 10);
    }
    else if (!strcasecmp(line, "Idempotency-Key")) {
        r->key = unquoted(value);
    }
    else if (!strcasecmp(line, "Green-Commit-Role")) {
        r->role = value;
    }
    else if (!strcasecmp(line, "Green-Commit-Seq")) {
        r->seq = value;
    }
    else if (!strcasecmp(line, "Transfer-Encoding")) {
        r->chunked = true;
    }
    else if (!strcasecmp(line, "Expect")) {
        r->expects = true;
    }
    else if (!strcasecmp(line, "Connection")) {
        r->closes = strcasestr(value, "close") != NULL;
    }
}

/* Splits a head, in place. */
static bool head_read(char *head, request_t *r)
{
    char *state, *line = strtok_r(head, "\r\n", &state), *words;

    r->method = line ? strtok_r(line, " ", &words) : NULL;
    r->target = r->method ? strtok_r(NULL, " ", &words) : NULL;
    if (!r->target || *r->target != '/') {
        return false;
    }
    while ((line = strtok_r(NULL, "\r\n", &state)) != NULL) {
        header(r, line);
    }
    return r->body_bytes <= BODY_MOST;
}

/* Serves the request that begins at `at`; its length, or 0: not all of it is there. */
static size_t serve_one(connection_t *c, size_t at)
{
    static text_t head;
    const char *begin = c->in.at + at;
    const char *end = memmem(begin, c->in.bytes - at, "\r\n\r\n", 4);
    size_t bytes = end ? (size_t)(end - begin) + 4 : 0;
    request_t r = {0};

    if (!end) {
        c->ends |= c->in.bytes - at > HEAD_MOST;
        return 0;
    }
    head.bytes = 0;
    text_add(&head, begin, bytes - 4);
    if (!head_read(head.at, &r) || r.chunked) {
        answer(c, r.chunked ? 411 : 400, "", 0);
        c->ends = true;
        return 0;
    }
    if (c->in.bytes - at - bytes < r.body_bytes) {
        if (r.expects && !c->is_continued) {
            text_say(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
            c->is_continued = true;
        }
        return 0;
    }
    c->is_continued = false;
    r.body = begin + bytes;
    if (!strcmp(r.method, "GET")) {
        serve_read(c, &r);
    }
    else {
        serve_write(c, &r);
    }
    c->ends |= r.closes;
    return bytes + r.body_bytes;
}

/* ------------------------------------------------------------------ connections */

static int poll_fd;
static connection_t *queue; /* who gets an answer at this turn's end */

static void watch(int how, int fd, uint32_t events, connection_t *c)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(poll_fd, how, fd, &event)) {
        die("epoll_ctl");
    }
}

static void enqueue(connection_t *c)
{
    if (!c->queued) {
        c->queued = true;
        c->next = queue;
        queue = c;
    }
}

static void on_accept(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    connection_t *c = fd < 0 ? NULL : calloc(1, sizeof *c);

    if (!c) {
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

static void on_readable(connection_t *c)
{
    size_t at = 0, bytes;
    ssize_t came;

    text_room(&c->in, READ_BYTES);
    came = recv(c->fd, c->in.at + c->in.bytes, READ_BYTES, 0);
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    enqueue(c);
    if (came <= 0) {
        c->ends = true;
        return;
    }
    c->in.bytes += (size_t)came;
    while (!c->ends && at < c->in.bytes && (bytes = serve_one(c, at)) > 0) {
        at += bytes;
    }
    memmove(c->in.at, c->in.at + at, c->in.bytes - at);
    c->in.bytes -= at;
}

static void flush(connection_t *c)
{
    bool waits;
    ssize_t sent = 1;

    while (c->out_sent < c->out.bytes && sent > 0) {
        sent = send(c->fd, c->out.at + c->out_sent, c->out.bytes - c->out_sent,
                    MSG_NOSIGNAL);
        c->out_sent += sent > 0 ? (size_t)sent : 0;
    }
    waits = c->out_sent < c->out.bytes;
    if (!waits) {
        c->out.bytes = c->out_sent = 0;
    }
    if ((c->ends && !waits) || (sent < 0 && errno != EAGAIN && errno != EINTR)) {
        (void)close(c->fd);
        free(c->in.at);
        free(c->out.at);
        free(c);
        return;
    }
    if (waits != c->waits_for_room) { /* what it asks for next can wait as well */
        c->waits_for_room = waits;
        watch(EPOLL_CTL_MOD, c->fd, waits ? EPOLLOUT : EPOLLIN, c);
    }
}

static void serve(int listen_fd)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            connection_t *c = events[i].data.ptr;

            if (!c) {
                on_accept(listen_fd);
            }
            else if (c->waits_for_room) {
                enqueue(c);
            }
            else {
                on_readable(c);
            }
        }
        store_commit();
        while (queue) {
            connection_t *c = queue;

            queue = c->next;
            c->queued = false;
            flush(c);
        }
    }
}

/* ------------------------------------------------------------------ main */

static int listen_on(unsigned long port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) {
        die("listen");
    }
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"dir", required_argument, NULL, 'd'},
        {"name", required_argument, NULL, 'n'}, {"level", required_argument, NULL, 'l'},
        {"no-sync", no_argument, NULL, 's'},    {NULL, 0, NULL, 0}};
    const char *directory = NULL, *port = NULL;
    int option, listen_fd;

    store.l1 = store.sync = true;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            port = optarg;
            break;
        case 'd':
            directory = optarg;
            break;
        case 'n':
            store.name = optarg;
            break;
        case 'l':
            store.l1 = strcmp(optarg, "l0") != 0;
            break;
        case 's':
            store.sync = false;
            break;
        default:
            return 2;
        }
    }
    if (!port || !directory) {
        fprintf(stderr, "usage: replica --port P --dir DIR [--name NAME] "
                        "[--level l0|l1] [--no-sync]\n");
        return 2;
    }
    store.name = store.name ? store.name : port;
    store_open(directory);
    listen_fd = listen_on(strtoul(port, NULL, 10));
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listen_fd, EPOLLIN, NULL);
    puts("ready");
    (void)fflush(stdout);
    serve(listen_fd);
}
