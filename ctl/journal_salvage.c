/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_salvage.c - entries of a damaged journal, and of those that are lost the
 * marks.
 */
#include "journal_salvage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER 1000 /* entries in a commit */
#define TOLD     20   /* lost entries that are named */

/* The rows of one entry. */
typedef struct group_t {
    const mgb_find_t *brief, *request, *answer, *gone;
} group_t;

bool mgb_salvage_fail(mgb_salvage_t *work, const char *text)
{
    snprintf(work->repair->error, sizeof(work->repair->error), "%s", text);
    return false;
}

bool mgb_salvage_unread(mgb_salvage_t *work)
{
    return mgb_salvage_fail(work,
                            "a row opened once and not again: does the disk fail?");
}

/* ---------------------------------------------------------------- writing */

bool mgb_salvage_flush(mgb_salvage_t *work)
{
    if (work->waiting) {
        work->waiting = 0;
        if (mgb_store_commit(&work->made) != SQLITE_OK ||
            mgb_store_checkpoint(&work->made) != SQLITE_OK) {
            return mgb_salvage_fail(work, "the new file cannot be written");
        }
    }
    return true;
}

/* Puts what was sealed. */
bool mgb_salvage_put(mgb_salvage_t *work, mgb_table_e table, int64_t key, bool sealed)
{
    if (!sealed) {
        return mgb_salvage_fail(work, "a row cannot be sealed");
    }
    if ((!work->waiting && mgb_store_begin(&work->made) != SQLITE_OK) ||
        mgb_store_put(&work->made, table, key, work->to.sealed.at,
                      work->to.sealed.bytes) != SQLITE_DONE) {
        return mgb_salvage_fail(work, "the new file cannot be written");
    }
    work->waiting++;
    return work->waiting < TOGETHER || mgb_salvage_flush(work);
}

static void tell_lost(mgb_salvage_t *work, const mgb_salvage_log_t *log, uint64_t seq)
{
    if (++work->told <= TOLD) {
        fprintf(work->repair->out, "lost: entry %" PRIu64 " of %s\n", seq, log->name);
    }
    else if (work->told == TOLD + 1) {
        fprintf(work->repair->out, "lost: and more\n");
    }
}

/* A brief is written, and what it means for the log. */
static bool put_brief(mgb_salvage_t *work, mgb_salvage_log_t *log, uint64_t seq,
                      const gb_record_brief_t *brief, bool matters)
{
    int64_t key = gb_record_key(log->number, seq);

    log->written = seq;
    if (brief->state != GB_ENTRY_OPEN && log->decided == seq - 1) {
        log->decided = seq;
    }
    log->unanswered += brief->lost_answer && !brief->lost_request;
    if (brief->lost_request) {
        log->lost++;
        tell_lost(work, log, seq);
    }
    if (matters) {
        log->last_lost = seq;
    }
    return mgb_salvage_put(work, MGB_TABLE_BRIEF, key,
                           mgb_rows_shut_brief(&work->to, key, brief));
}

/* In the place of entries of which nothing was found. */
static bool put_lost(mgb_salvage_t *work, mgb_salvage_log_t *log, uint64_t upto)
{
    gb_record_brief_t brief;

    memset(&brief, 0, sizeof(brief));
    brief.state = GB_ENTRY_FAILED;
    brief.lost_request = brief.lost_answer = true;
    while (log->written < upto) {
        if (!put_brief(work, log, log->written + 1, &brief, true)) {
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------- entries */

static bool copy_request(mgb_salvage_t *work, const mgb_find_t *find,
                         gb_record_brief_t *brief, bool made)
{
    gb_record_request_t request;

    if (!mgb_scrape_open(&work->scrape, &work->from, find) ||
        !gb_record_read_request(work->from.plain.at, work->from.plain.bytes,
                                &request)) {
        return mgb_salvage_unread(work);
    }
    if (made) { /* the brief is lost: the request says it all again */
        memcpy(brief->digest, request.digest, sizeof(brief->digest));
        brief->at_us = request.at_us;
        brief->nonce = request.nonce;
        brief->request_bytes = (uint32_t)request.body.bytes;
        brief->repeatable = gb_commit_is_repeatable(request.method.at);
        brief->deletes = strcmp(request.method.at, "DELETE") == 0;
        if (!mgb_rows_name(&work->to, gb_record_key_log(find->key),
                           request.principal.at, request.id.at, brief->name)) {
            return mgb_salvage_fail(work, "there is no memory");
        }
    }
    return mgb_salvage_put(work, MGB_TABLE_REQUEST, find->key,
                           mgb_rows_shut_request(&work->to, find->key, &request));
}

static bool copy_answer(mgb_salvage_t *work, const mgb_find_t *find,
                        gb_record_brief_t *brief)
{
    gb_record_answer_t answer;

    if (!mgb_scrape_open(&work->scrape, &work->from, find) ||
        !gb_record_read_answer(work->from.plain.at, work->from.plain.bytes, &answer)) {
        return mgb_salvage_unread(work);
    }
    if (brief->state == GB_ENTRY_OPEN) {
        brief->state = answer.state;
        brief->status = answer.status;
        brief->answer_digest = answer.digest;
        brief->answer_bytes = (uint32_t)answer.body.bytes;
    }
    return mgb_salvage_put(work, MGB_TABLE_ANSWER, find->key,
                           mgb_rows_shut_answer(&work->to, find->key, &answer));
}

/* What is known of an entry, in the new file. */
static bool copy_entry(mgb_salvage_t *work, mgb_salvage_log_t *log, uint64_t seq,
                       const group_t *group)
{
    gb_record_brief_t brief;
    bool matters = false, settled = seq <= log->settled;

    memset(&brief, 0, sizeof(brief));
    if (group->brief &&
        (!mgb_scrape_open(&work->scrape, &work->from, group->brief) ||
         !gb_record_read_brief(work->from.plain.at, work->from.plain.bytes, &brief))) {
        return mgb_salvage_unread(work);
    }
    if (group->request && !copy_request(work, group->request, &brief, !group->brief)) {
        return false;
    }
    if (group->answer && !copy_answer(work, group->answer, &brief)) {
        return false;
    }
    if (!group->request) {
        matters = brief.state == GB_ENTRY_OPEN || brief.state == GB_ENTRY_ACCEPTED;
        brief.lost_request = true;
    }
    if (brief.state == GB_ENTRY_OPEN && (settled || !group->request)) {
        brief.state = GB_ENTRY_FAILED; /* it had a verdict, which nobody knows */
        brief.lost_request = brief.lost_answer = matters = true;
    }
    if (brief.state != GB_ENTRY_OPEN && !group->answer) {
        brief.lost_answer = true;
    }
    return put_brief(work, log, seq, &brief, matters);
}

static bool copy_gone(mgb_salvage_t *work, const mgb_find_t *find)
{
    uint8_t name[GB_RECORD_NAME_BYTES];

    if (!mgb_scrape_open(&work->scrape, &work->from, find) ||
        work->from.plain.bytes != sizeof(name)) {
        return mgb_salvage_unread(work);
    }
    memcpy(name, work->from.plain.at, sizeof(name));
    return mgb_salvage_put(work, MGB_TABLE_GONE, find->key,
                           mgb_rows_shut_gone(&work->to, find->key, name));
}

/* ---------------------------------------------------------------- logs */

static mgb_salvage_log_t *log_add(mgb_salvage_t *work, uint32_t number,
                                  const char *name)
{
    mgb_salvage_log_t *grown =
        realloc(work->logs, (work->log_count + 1) * sizeof(*grown));

    if (!grown) {
        return NULL;
    }
    work->logs = grown;
    grown += work->log_count;
    memset(grown, 0, sizeof(*grown));
    grown->number = number;
    grown->name = strdup(name);
    if (!grown->name) {
        return NULL;
    }
    work->log_count++;
    return grown;
}

mgb_salvage_log_t *mgb_salvage_log(mgb_salvage_t *work, uint32_t number)
{
    for (size_t i = 0; i < work->log_count; i++) {
        if (work->logs[i].number == number) {
            return &work->logs[i];
        }
    }
    return NULL;
}

bool mgb_salvage_logs(mgb_salvage_t *work)
{
    for (size_t i = 0; i < work->scrape.count; i++) {
        const mgb_find_t *find = &work->scrape.finds[i];
        gb_record_log_t record;
        mgb_salvage_log_t *log;

        if (find->kind != GB_RECORD_LOG) {
            continue;
        }
        if (!mgb_scrape_open(&work->scrape, &work->from, find) ||
            !gb_record_read_log(work->from.plain.at, work->from.plain.bytes, &record)) {
            return mgb_salvage_unread(work);
        }
        log = log_add(work, gb_record_state_log(find->key), record.name.at);
        if (!log) {
            return mgb_salvage_fail(work, "there is no memory");
        }
        log->head = record.head;
        log->settled = record.settled;
        log->trimmed = log->written = log->decided = record.trimmed;
    }
    return true;
}

/* The log of an entry whose log's own row is lost: it gets a name that no balancer has,
 * and begins where its entries do. */
static mgb_salvage_log_t *log_made(mgb_salvage_t *work, const mgb_find_t *find)
{
    char name[64];
    mgb_salvage_log_t *log;

    snprintf(name, sizeof(name), "lost log %u", gb_record_key_log(find->key));
    log = log_add(work, gb_record_key_log(find->key), name);
    if (log) {
        log->trimmed = log->written = log->decided = gb_record_key_seq(find->key) - 1;
        fprintf(work->repair->out,
                "lost: the name of a log; its entries are kept as \"%s\"\n", name);
    }
    return log;
}

static size_t group_at(const mgb_salvage_t *work, size_t i, group_t *group)
{
    const mgb_find_t *finds = work->scrape.finds;
    size_t end = i;

    memset(group, 0, sizeof(*group));
    for (; end < work->scrape.count && finds[end].key == finds[i].key; end++) {
        switch (finds[end].kind) {
        case GB_RECORD_BRIEF:
            group->brief = &finds[end];
            break;
        case GB_RECORD_REQUEST:
            group->request = &finds[end];
            break;
        case GB_RECORD_ANSWER:
            group->answer = &finds[end];
            break;
        case GB_RECORD_GONE:
            group->gone = &finds[end];
            break;
        default:
            break;
        }
    }
    return end;
}

static bool copy_group(mgb_salvage_t *work, const mgb_find_t *find,
                       const group_t *group)
{
    uint64_t seq = gb_record_key_seq(find->key);
    mgb_salvage_log_t *log = mgb_salvage_log(work, gb_record_key_log(find->key));

    if (!log) {
        log = log_made(work, find);
    }
    if (!log) {
        return mgb_salvage_fail(work, "there is no memory");
    }
    if (seq <= log->trimmed) { /* deleted; its rows lie in pages that are free */
        return !group->gone || copy_gone(work, group->gone);
    }
    if (!group->brief && !group->request && !group->answer) {
        return true; /* a deletion that was not committed */
    }
    return put_lost(work, log, seq - 1) && copy_entry(work, log, seq, group);
}

bool mgb_salvage_entries(mgb_salvage_t *work)
{
    for (size_t i = 0; i < work->scrape.count;) {
        const mgb_find_t *find = &work->scrape.finds[i];
        group_t group;

        i = group_at(work, i, &group);
        if ((group.brief || group.request || group.answer || group.gone) &&
            !copy_group(work, find, &group)) {
            return false;
        }
    }
    for (size_t i = 0; i < work->log_count; i++) {
        if (!put_lost(work, &work->logs[i], work->logs[i].head)) {
            return false;
        }
    }
    return true;
}
