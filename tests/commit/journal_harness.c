/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_harness.c - drives the journal without httpd, for test_journal.py and the
 * bench.
 *
 *   journal_harness FILE SIZE KEY      (KEY: one byte, of which 32 make the key)
 *
 * Reads commands, a line each, and answers each with a line; the first line that it
 * prints is "open EPOCH" or "refused WHY".  Errors are "error NUMBER".  What an entry
 * says is made from its id alone, so that whoever reads it knows what it has to be.
 *
 *   log NAME                     log NUMBER HEAD SETTLED
 *   append LOG ID BYTES          seq N
 *   verdict LOG SEQ STATUS BYTES ok
 *   replica LOG NAME CURSOR SENT ASIDE WHY    ok
 *   forget LOG NAME              ok
 *   commit                       ok
 *   get LOG SEQ                  entry ID STATE STATUS BYTES ANSWER-BYTES
 *   peek LOG SEQ                 peek STATE STATUS REPEATABLE DELETES AT
 *   find LOG ID                  found SEQ | expired SEQ
 *   at MICROSECONDS              ok; what the next entries say of when they were stored
 *   trim LOG UPTO BEFORE MOST    trimmed N
 *   replicas LOG                 replicas NAME,CURSOR,SENT,ASIDE,WHY ...
 *   space                        space BYTES PERMILLE
 *   verify LOG                   verified HEAD SETTLED FIRST OPEN [lost N]; reads every
 *                                entry, whose id has to end with its seq
 *   verdicts LOG                 verdicts and a letter for each entry: - deleted, o
 * open, a accepted, r rejected, f failed, ? lost load LOG SEED BATCH BYTES COUNT
 * commits batches, and prints "durable HEAD SETTLED" after each; for ever when COUNT is
 * 0 bench LOG SUBMITTERS BYTES SECONDS acked N SECONDS
 */
#include "commit.h"
#include "libcrypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

module AP_MODULE_DECLARE_DATA greenbalance_module;

typedef struct harness_t {
    mgb_journal_t *journal;
    apr_pool_t *pool, *ptick;
    apr_time_t at;
} harness_t;

static harness_t harness;

void ap_log_perror_(const char *file, int line, int index, int level,
                    apr_status_t status, apr_pool_t *p, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "log %d %s\n", level & APLOG_LEVELMASK, text);
}

static void say(const char *format, ...)
{
    char text[8192];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    puts(text);
    fflush(stdout);
}

static void said(apr_status_t rv)
{
    if (rv == APR_SUCCESS) {
        say("ok");
    }
    else {
        say("error %d", rv);
    }
}

/* ---------------------------------------------------------------- what entries say */

static char *text_from(const char *id, const char *what, size_t bytes)
{
    char *text = apr_palloc(harness.ptick, bytes + 1);
    uint64_t state = 0x9e3779b97f4a7c15u;

    for (const char *c = id; *c; c++) {
        state = (state ^ (unsigned char)*c) * 0x100000001b3u;
    }
    for (const char *c = what; *c; c++) {
        state = (state ^ (unsigned char)*c) * 0x100000001b3u;
    }
    for (size_t i = 0; i < bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = (char)(state >> 56);
    }
    text[bytes] = '\0';
    return text;
}

/* An id "METHOD-N". */
static void entry_from(const char *id, size_t bytes, mgb_entry_t *entry)
{
    memset(entry, 0, sizeof(*entry));
    entry->id = id;
    entry->principal = strlen(id) % 2 ? "alice" : "";
    entry->nonce = apr_hash_count(apr_hash_make(harness.ptick)) + strlen(id) * 7919;
    memcpy(entry->digest, text_from(id, "digest", 32), 32);
    entry->at = harness.at ? harness.at : apr_time_now();
    entry->method = apr_pstrmemdup(harness.ptick, id, strcspn(id, "-"));
    entry->target = apr_pstrcat(harness.ptick, "/app/", id, NULL);
    entry->headers = "Content-Type: text/plain\r\n";
    entry->body = text_from(id, "body", bytes);
    entry->body_bytes = bytes;
}

static void answer_from(const char *id, size_t bytes, int status, mgb_entry_t *entry)
{
    entry->state = status < 400   ? GB_ENTRY_ACCEPTED
                   : status < 500 ? GB_ENTRY_REJECTED
                                  : GB_ENTRY_FAILED;
    entry->status = status;
    entry->answer_digest = strlen(id) * 104729;
    entry->answered_by = "http://10.0.0.11";
    entry->answer_headers = "Content-Type: text/html\r\n";
    entry->answer_body = text_from(id, "answer", bytes);
    entry->answer_bytes = bytes;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Does an entry say what its id says that it must? */
static bool is_right(const mgb_entry_t *entry)
{
    mgb_entry_t wanted;

    entry_from(entry->id, entry->body_bytes, &wanted);
    if (!same_text(entry->principal, wanted.principal) ||
        !same_text(entry->method, wanted.method) ||
        !same_text(entry->target, wanted.target) ||
        !same_text(entry->headers, wanted.headers) || entry->nonce != wanted.nonce ||
        memcmp(entry->digest, wanted.digest, 32) != 0 ||
        memcmp(entry->body, wanted.body, wanted.body_bytes) != 0) {
        return false;
    }
    if (entry->state == GB_ENTRY_OPEN) {
        return !entry->answer_body;
    }
    answer_from(entry->id, entry->answer_bytes, entry->status, &wanted);
    return entry->state == wanted.state &&
           entry->answer_digest == wanted.answer_digest &&
           same_text(entry->answered_by, wanted.answered_by) &&
           same_text(entry->answer_headers, wanted.answer_headers) &&
           memcmp(entry->answer_body, wanted.answer_body, wanted.answer_bytes) == 0;
}

/* ---------------------------------------------------------------- commands */

#define WORDS 8
typedef struct words_t {
    char *at[WORDS];
    int count;
} words_t;

static uint64_t number(const words_t *words, int i)
{
    return i < words->count ? strtoull(words->at[i], NULL, 10) : 0;
}

static const char *word(const words_t *words, int i)
{
    return i < words->count ? words->at[i] : "";
}

static void do_log(const words_t *words)
{
    uint64_t head, settled;
    uint32_t log;
    const char *name = *word(words, 2) ? apr_pstrcat(harness.pool, word(words, 1), " ",
                                                     word(words, 2), NULL)
                                       : word(words, 1);
    apr_status_t rv = mgb_journal_log(harness.journal, name, &log, &head, &settled);

    if (rv != APR_SUCCESS) {
        said(rv);
        return;
    }
    say("log %u %" PRIu64 " %" PRIu64, log, head, settled);
}

static void do_append(const words_t *words)
{
    mgb_entry_t entry;
    apr_status_t rv;

    entry_from(word(words, 2), number(words, 3), &entry);
    rv = mgb_journal_append(harness.journal, (uint32_t)number(words, 1), &entry);
    if (rv != APR_SUCCESS) {
        said(rv);
        return;
    }
    say("seq %" PRIu64, entry.seq);
}

static apr_status_t decide(uint32_t log, uint64_t seq, int status, size_t bytes)
{
    mgb_entry_t entry;
    apr_status_t rv =
        mgb_journal_get(harness.journal, log, seq, false, harness.ptick, &entry);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    answer_from(entry.id, bytes, status, &entry);
    return mgb_journal_verdict(harness.journal, log, &entry);
}

static void do_replica(const words_t *words)
{
    mgb_replica_row_t row = {word(words, 2), number(words, 3), number(words, 4),
                             number(words, 5) != 0, word(words, 6)};

    said(mgb_journal_replica(harness.journal, (uint32_t)number(words, 1), &row));
}

static void do_get(const words_t *words)
{
    mgb_entry_t entry;
    apr_status_t rv = mgb_journal_get(harness.journal, (uint32_t)number(words, 1),
                                      number(words, 2), true, harness.ptick, &entry);

    if (rv != APR_SUCCESS) {
        said(rv);
    }
    else if (!is_right(&entry)) {
        say("wrong %s", entry.id);
    }
    else {
        say("entry %s %d %d %lu %lu", entry.id, entry.state, entry.status,
            (unsigned long)entry.body_bytes, (unsigned long)entry.answer_bytes);
    }
}

static void do_peek(const words_t *words)
{
    gb_entry_t entry;
    apr_time_t at;
    apr_status_t rv = mgb_journal_peek(harness.journal, (uint32_t)number(words, 1),
                                       number(words, 2), &entry, &at);

    if (rv != APR_SUCCESS) {
        said(rv);
        return;
    }
    say("peek %d %d %d %d %" PRId64, entry.state, entry.status, entry.repeatable,
        entry.deletes, at);
}

static void do_find(const words_t *words)
{
    const char *id = word(words, 2);
    uint64_t seq;
    apr_status_t rv = mgb_journal_find(harness.journal, (uint32_t)number(words, 1), id,
                                       strlen(id) % 2 ? "alice" : NULL, &seq);

    if (rv == APR_SUCCESS || rv == MGB_EXPIRED) {
        say("%s %" PRIu64, rv == APR_SUCCESS ? "found" : "expired", seq);
    }
    else {
        said(rv);
    }
}

static void do_trim(const words_t *words)
{
    uint32_t trimmed;
    apr_status_t rv = mgb_journal_trim(harness.journal, (uint32_t)number(words, 1),
                                       number(words, 2), (apr_time_t)number(words, 3),
                                       (uint32_t)number(words, 4), &trimmed);

    if (rv != APR_SUCCESS) {
        said(rv);
        return;
    }
    say("trimmed %u", trimmed);
}

static void do_replicas(const words_t *words)
{
    apr_array_header_t *rows = mgb_journal_replicas(
        harness.journal, (uint32_t)number(words, 1), harness.ptick);
    const char *text = "replicas";

    for (int i = 0; i < rows->nelts; i++) {
        const mgb_replica_row_t *row = &APR_ARRAY_IDX(rows, i, mgb_replica_row_t);

        text = apr_psprintf(harness.ptick, "%s %s,%" PRIu64 ",%" PRIu64 ",%d,%s", text,
                            row->name, row->cursor, row->sent, row->aside, row->why);
    }
    say("%s", text);
}

static void do_space(void)
{
    apr_off_t bytes;
    uint32_t permille;

    mgb_journal_space(harness.journal, &bytes, &permille);
    say("space %" APR_OFF_T_FMT " %u", bytes, permille);
}

/* Reads everything of a log: whatever is there has to be right. */
static void do_verify(const words_t *words)
{
    uint32_t log = (uint32_t)number(words, 1);
    uint64_t first = 0, seq = 0, settled = 0, open = 0, lost = 0;

    for (;;) {
        mgb_entry_t entry;
        uint64_t found;
        apr_status_t rv;

        apr_pool_clear(harness.ptick);
        rv =
            mgb_journal_get(harness.journal, log, seq + 1, true, harness.ptick, &entry);
        if (rv == APR_NOTFOUND) {
            break;
        }
        seq++;
        if (rv == MGB_EXPIRED) {
            continue;
        }
        first = first ? first : seq;
        if (rv == APR_INCOMPLETE) {
            lost++;
            settled = open ? settled : seq;
            continue;
        }
        if (rv != APR_SUCCESS) {
            say("error %d %" PRIu64, rv, seq);
            return;
        }
        open += entry.state == GB_ENTRY_OPEN;
        settled = entry.state != GB_ENTRY_OPEN && !open ? seq : settled;
        if (!is_right(&entry) || strtoull(strchr(entry.id, '-') + 1, NULL, 10) != seq ||
            mgb_journal_find(harness.journal, log, entry.id, entry.principal, &found) !=
                APR_SUCCESS ||
            found != seq) {
            say("wrong %" PRIu64 " %s", seq, entry.id);
            return;
        }
    }
    say("verified %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "%s", seq, settled,
        first, open, lost ? apr_psprintf(harness.ptick, " lost %" PRIu64, lost) : "");
}

static char letter_of(apr_status_t rv, const mgb_entry_t *entry)
{
    return rv == MGB_EXPIRED      ? '-'
           : rv == APR_INCOMPLETE ? '?'
           : rv != APR_SUCCESS    ? '!'
                                  : "oarf"[entry->state];
}

static void do_verdicts(const words_t *words)
{
    mgb_entry_t entry;

    fputs("verdicts ", stdout);
    for (uint64_t seq = 1;; seq++) {
        apr_status_t rv = mgb_journal_get(harness.journal, (uint32_t)number(words, 1),
                                          seq, true, harness.ptick, &entry);

        if (rv == APR_NOTFOUND) {
            break;
        }
        putchar(letter_of(rv, &entry));
    }
    say("");
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* A batch: verdicts of some that are open, new entries, a cursor, sometimes a trim. */
static bool load_batch(uint32_t log, uint64_t *random, uint64_t batch, uint64_t bytes,
                       uint64_t *head, uint64_t *settled)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};
    mgb_replica_row_t row = {"http://10.0.0.11", *settled, *settled, false, NULL};
    uint64_t verdicts = next_random(random) % (*head - *settled + 1);
    apr_status_t rv = APR_SUCCESS;
    uint32_t trimmed;

    for (uint64_t i = 0; i < verdicts && rv == APR_SUCCESS; i++) {
        rv = decide(log, ++*settled, next_random(random) % 4 ? 201 : 409,
                    next_random(random) % (bytes + 1));
    }
    for (uint64_t i = next_random(random) % (batch + 1); i > 0 && rv == APR_SUCCESS;
         i--) {
        mgb_entry_t entry;

        entry_from(apr_psprintf(harness.ptick, "%s-%" PRIu64,
                                methods[next_random(random) % 4], *head + 1),
                   next_random(random) % (bytes + 1), &entry);
        rv = mgb_journal_append(harness.journal, log, &entry);
        *head += rv == APR_SUCCESS;
        if (rv == APR_ENOSPC) {
            rv = mgb_journal_trim(harness.journal, log, *settled, INT64_MAX, 200,
                                  &trimmed);
            break;
        }
    }
    return rv == APR_SUCCESS &&
           mgb_journal_replica(harness.journal, log, &row) == APR_SUCCESS;
}

static void do_load(const words_t *words)
{
    uint32_t log = (uint32_t)number(words, 1);
    uint64_t random = number(words, 2), count = number(words, 5);
    uint64_t head = 0, settled = 0;
    mgb_entry_t entry;

    while (mgb_journal_get(harness.journal, log, head + 1, false, harness.ptick,
                           &entry) != APR_NOTFOUND) {
        head++;
        settled += settled + 1 == head && entry.state != GB_ENTRY_OPEN;
        settled = entry.seq ? settled : head;
        apr_pool_clear(harness.ptick);
    }
    for (uint64_t i = 0; i < count || !count; i++) {
        apr_pool_clear(harness.ptick);
        if (!load_batch(log, &random, number(words, 3), number(words, 4), &head,
                        &settled) ||
            mgb_journal_commit(harness.journal) != APR_SUCCESS) {
            say("failed");
            return;
        }
        say("durable %" PRIu64 " %" PRIu64, head, settled);
    }
    say("loaded");
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Each of so many submitters has one write under way: its intent is committed in one
 * group, its verdict in the next, and then it is acknowledged and the next one comes.
 */
static void do_bench(const words_t *words)
{
    uint32_t log = (uint32_t)number(words, 1);
    uint64_t submitters = number(words, 2), bytes = number(words, 3), acked = 0;
    uint64_t serial = (uint64_t)apr_time_now();
    double began = now_s(), seconds = (double)number(words, 4);
    uint32_t trimmed;

    while (now_s() - began < seconds) {
        uint64_t first = 0;

        apr_pool_clear(harness.ptick);
        for (uint64_t i = 0; i < submitters; i++) {
            mgb_entry_t entry;

            entry_from(apr_psprintf(harness.ptick, "POST-%" PRIu64, serial++), bytes,
                       &entry);
            if (mgb_journal_append(harness.journal, log, &entry) != APR_SUCCESS) {
                say("failed");
                return;
            }
            first = first ? first : entry.seq;
        }
        if (mgb_journal_commit(harness.journal) != APR_SUCCESS) {
            say("failed");
            return;
        }
        for (uint64_t i = 0; i < submitters; i++) {
            if (decide(log, first + i, 201, 200) != APR_SUCCESS) {
                say("failed");
                return;
            }
        }
        (void)mgb_journal_trim(harness.journal, log, first, began > 0 ? INT64_MAX : 0,
                               (uint32_t)submitters, &trimmed);
        if (mgb_journal_commit(harness.journal) != APR_SUCCESS) {
            say("failed");
            return;
        }
        acked += submitters;
    }
    say("acked %" PRIu64 " %.6f", acked, now_s() - began);
}

static void do_unseal(const words_t *words)
{
    const char *hex = word(words, 2), *about = word(words, 3);
    size_t bytes = strlen(hex) / 2;
    uint8_t key[MGB_SEAL_KEY_BYTES], *sealed = apr_palloc(harness.ptick, bytes + 1);
    char *plain = apr_pcalloc(harness.ptick, bytes + 1);
    mgb_part_t part = {about, strlen(about)};
    mgb_seal_t *seal;

    memset(key, (int)number(words, 1), sizeof(key));
    for (size_t i = 0; i < bytes; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        sealed[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    seal = mgb_seal_create(key);
    if (seal && mgb_seal_open(seal, part, sealed, bytes, (uint8_t *)plain)) {
        say("unsealed %s", plain);
    }
    else {
        say("no");
    }
    mgb_seal_destroy(seal);
}

static void do_sha256(const words_t *words)
{
    mgb_part_t parts[WORDS];
    uint8_t digest[MGB_SHA256_BYTES];

    for (int i = 1; i < words->count; i++) {
        parts[i - 1].at = words->at[i];
        parts[i - 1].bytes = strlen(words->at[i]);
    }
    (void)mgb_libcrypto_sha256(parts, (size_t)words->count - 1, digest);
    fputs("sha256 ", stdout);
    for (size_t i = 0; i < sizeof(digest); i++) {
        printf("%02x", digest[i]);
    }
    say("");
}

static void run(const words_t *words)
{
    const char *verb = word(words, 0);

    if (strcmp(verb, "log") == 0) {
        do_log(words);
    }
    else if (strcmp(verb, "append") == 0) {
        do_append(words);
    }
    else if (strcmp(verb, "verdict") == 0) {
        said(decide((uint32_t)number(words, 1), number(words, 2), (int)number(words, 3),
                    number(words, 4)));
    }
    else if (strcmp(verb, "replica") == 0) {
        do_replica(words);
    }
    else if (strcmp(verb, "forget") == 0) {
        said(mgb_journal_forget(harness.journal, (uint32_t)number(words, 1),
                                word(words, 2)));
    }
    else if (strcmp(verb, "commit") == 0) {
        said(mgb_journal_commit(harness.journal));
    }
    else if (strcmp(verb, "get") == 0) {
        do_get(words);
    }
    else if (strcmp(verb, "peek") == 0) {
        do_peek(words);
    }
    else if (strcmp(verb, "find") == 0) {
        do_find(words);
    }
    else if (strcmp(verb, "at") == 0) {
        harness.at = (apr_time_t)number(words, 1);
        said(APR_SUCCESS);
    }
    else if (strcmp(verb, "trim") == 0) {
        do_trim(words);
    }
    else if (strcmp(verb, "replicas") == 0) {
        do_replicas(words);
    }
    else if (strcmp(verb, "space") == 0) {
        do_space();
    }
    else if (strcmp(verb, "verify") == 0) {
        do_verify(words);
    }
    else if (strcmp(verb, "verdicts") == 0) {
        do_verdicts(words);
    }
    else if (strcmp(verb, "load") == 0) {
        do_load(words);
    }
    else if (strcmp(verb, "unseal") == 0) {
        do_unseal(words);
    }
    else if (strcmp(verb, "sha256") == 0) {
        do_sha256(words);
    }
    else if (strcmp(verb, "bench") == 0) {
        do_bench(words);
    }
    else {
        say("unknown %s", verb);
    }
}

int main(int argc, char **argv)
{
    const char *error = "usage: journal_harness FILE SIZE KEY";
    uint8_t key[32] = {0};
    char line[4096];

    apr_initialize();
    apr_pool_create(&harness.pool, NULL);
    apr_pool_create(&harness.ptick, harness.pool);
    if (argc == 4) {
        memset(key, (int)strtol(argv[3], NULL, 10), sizeof(key));
        harness.journal = mgb_journal_open(
            argv[1], (apr_off_t)strtoll(argv[2], NULL, 10), key, harness.pool, &error);
    }
    if (!harness.journal) {
        say("refused %s", error);
        return 1;
    }
    say("open %" PRIu64, mgb_journal_epoch(harness.journal));
    while (fgets(line, sizeof line, stdin)) {
        words_t words = {{NULL}, 0};
        char *save = NULL;

        for (char *at = strtok_r(line, " \n", &save); at && words.count < WORDS;
             at = strtok_r(NULL, " \n", &save)) {
            words.at[words.count++] = at;
        }
        run(&words);
        apr_pool_clear(harness.ptick);
    }
    mgb_journal_close(harness.journal);
    apr_pool_destroy(harness.pool);
    apr_terminate();
    return 0;
}
