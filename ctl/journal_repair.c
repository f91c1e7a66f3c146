/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_repair.c - makes a new journal of what opens of a damaged one.
 */
#include "journal_salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------------- replicas */

static bool is_trusted(const mgb_salvage_t *work, const char *name)
{
    for (size_t i = 0; i < work->repair->trusted_count; i++) {
        if (strcmp(work->repair->trusted[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Sets it aside, when it may have what the log does not, or lack what the log lost. */
static void judge(const mgb_salvage_t *work, const mgb_salvage_log_t *log,
                  gb_record_replica_t *replica)
{
    if (is_trusted(work, replica->name.at)) {
        replica->cursor = log->decided;
        replica->sent = 0;
        replica->aside = false;
        replica->why = gb_wire_span("");
        return;
    }
    if (!replica->aside && !work->tail_known) {
        replica->aside = true;
        replica->why = gb_wire_span(
            "the journal was repaired, and its latest commits are missing");
    }
    else if (!replica->aside && replica->cursor < log->last_lost) {
        replica->aside = true;
        replica->why = gb_wire_span("the journal was repaired, and has lost an entry "
                                    "that it has not confirmed");
    }
    if (replica->cursor > log->decided) {
        replica->cursor = log->decided;
    }
}

static bool copy_replica(mgb_salvage_t *work, const mgb_find_t *find, uint32_t number)
{
    uint32_t log_number = gb_record_state_log(find->key);
    const mgb_salvage_log_t *log = mgb_salvage_log(work, log_number);
    gb_record_replica_t replica;
    uint64_t before;

    if (!mgb_scrape_open(&work->scrape, &work->from, find) ||
        !gb_record_read_replica(work->from.plain.at, work->from.plain.bytes,
                                &replica)) {
        return mgb_salvage_unread(work);
    }
    before = replica.cursor;
    replica.serial = 1;
    judge(work, log, &replica);
    if (!replica.forgotten) {
        fprintf(work->repair->out,
                "replica: %s of %s: had %" PRIu64 " of %" PRIu64 "%s%s\n",
                replica.name.at, log->name, before, log->written,
                replica.aside ? "; set aside: " : "",
                replica.aside ? replica.why.at : "");
    }
    return mgb_salvage_put(
        work, MGB_TABLE_STATE, gb_record_state_key(log_number, number),
        mgb_rows_shut_replica(&work->to, log_number, number, &replica));
}

static bool copy_logs(mgb_salvage_t *work)
{
    for (size_t i = 0; i < work->log_count; i++) {
        const mgb_salvage_log_t *log = &work->logs[i];
        gb_record_log_t record = {1, log->written, log->decided, log->trimmed,
                                  gb_wire_span(log->name)};
        uint32_t number = 0;

        if (!mgb_salvage_put(work, MGB_TABLE_STATE, gb_record_state_key(log->number, 0),
                             mgb_rows_shut_log(&work->to, log->number, &record))) {
            return false;
        }
        for (size_t k = 0; k < work->scrape.count; k++) {
            const mgb_find_t *find = &work->scrape.finds[k];

            if (find->kind == GB_RECORD_REPLICA &&
                gb_record_state_log(find->key) == log->number &&
                !copy_replica(work, find, ++number)) {
                return false;
            }
        }
        if (*log->name) { /* else it was dropped */
            fprintf(work->repair->out,
                    "log: %s: entries %" PRIu64 " to %" PRIu64 ", %" PRIu64
                    " lost, %" PRIu64 " without their answer\n",
                    log->name, log->trimmed + 1, log->written, log->lost,
                    log->unanswered);
        }
    }
    return true;
}

/* ---------------------------------------------------------------- the files */

static bool witness_of(mgb_salvage_t *work, gb_record_head_t *seen)
{
    uint8_t witness[MGB_WITNESS_MOST];
    size_t bytes = mgb_store_witness(&work->old, witness);

    return bytes && mgb_rows_open(&work->from, GB_RECORD_WITNESS, 0, witness, bytes) &&
           gb_record_read_head(work->from.plain.at, work->from.plain.bytes, seen);
}

/* The epoch, and whether the newest commit is there. */
static bool read_head(mgb_salvage_t *work)
{
    gb_record_head_t seen;
    bool known = witness_of(work, &seen);
    bool found = mgb_scrape_head(&work->scrape, &work->from, &work->head);

    if (!found && !known) {
        return mgb_salvage_fail(work, "nothing in it opens: is the key the right one?");
    }
    if (!found) {
        work->head = seen;
        work->head.serial = 0;
        work->from.epoch = seen.epoch;
    }
    known = known && seen.epoch == work->head.epoch;
    work->tail_known = found && known && work->head.serial >= seen.serial;
    if (!work->tail_known) {
        fprintf(work->repair->out,
                known ? "lost: the latest commits (%" PRIu64 ", by the lock file)\n"
                      : "lost: perhaps the latest commits; the lock file cannot tell\n",
                known ? seen.serial - work->head.serial : 0);
    }
    return mgb_scrape_all(&work->scrape, &work->from) ||
           mgb_salvage_fail(work, "there is no memory");
}

static void remove_made(const mgb_salvage_t *work)
{
    static const char *const suffixes[] = {".repair", ".repair-wal", ".repair-lock"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (mgb_store_name(&work->old, suffixes[i], name)) {
            (void)unlink(name);
        }
    }
}

static bool begin_made(mgb_salvage_t *work)
{
    gb_record_head_t head = {(uint64_t)time(NULL), 0};
    off_t size = (off_t)work->scrape.file_bytes;
    char path[PATH_MAX];

    if (head.epoch <= work->head.epoch) {
        head.epoch = work->head.epoch + 1;
    }
    work->to.epoch = head.epoch;
    remove_made(work);
    size = size < MGB_STORE_STEP ? MGB_STORE_STEP : size - size % MGB_STORE_STEP;
    if (!mgb_store_name(&work->old, ".repair", path) ||
        !mgb_rows_shut_head(&work->to, GB_RECORD_HEAD, &head)) {
        return mgb_salvage_fail(work, "the new file cannot be made");
    }
    return (mgb_store_lock(&work->made, path, work->old.owner, 0) &&
            mgb_store_create(&work->made, size, work->to.sealed.at,
                             work->to.sealed.bytes) &&
            mgb_store_open(&work->made)) ||
           mgb_salvage_fail(work, work->made.error);
}

static bool end_made(mgb_salvage_t *work)
{
    gb_record_head_t head = {work->to.epoch, 1};

    return mgb_salvage_put(work, MGB_TABLE_STATE, 0,
                           mgb_rows_shut_head(&work->to, GB_RECORD_HEAD, &head)) &&
           mgb_salvage_flush(work);
}

/* A step of putting the new file in its place, and back again. */
typedef struct step_t {
    char from[64], to[64]; /* suffixes */
    bool may_lack;         /* there need not be such a file */
} step_t;

static bool move(mgb_salvage_t *work, const char *from, const char *to, bool may_lack)
{
    char old[PATH_MAX], new[PATH_MAX];

    if (!mgb_store_name(&work->old, from, old) ||
        !mgb_store_name(&work->old, to, new) ||
        (rename(old, new) && !(may_lack && errno == ENOENT))) {
        snprintf(work->repair->error, sizeof(work->repair->error),
                 "%s%s cannot be renamed: %s", work->old.path, from, strerror(errno));
        return false;
    }
    return true;
}

/* All of them or none, unless the disk wants neither. */
static bool move_all(mgb_salvage_t *work, const step_t *steps, size_t count)
{
    char why[MGB_STORE_ERROR_BYTES];

    for (size_t i = 0; i < count; i++) {
        if (move(work, steps[i].from, steps[i].to, steps[i].may_lack)) {
            continue;
        }
        memcpy(why, work->repair->error, sizeof(why));
        while (i-- > 0) {
            (void)move(work, steps[i].to, steps[i].from, steps[i].may_lack);
        }
        return mgb_salvage_fail(work, why);
    }
    return true;
}

/* The new file in the place of the old one.  In between there is no FILE, so that no
 * keeper takes a half of each. */
static bool put_in_place(mgb_salvage_t *work)
{
    gb_record_head_t head = {work->to.epoch, 1};
    step_t steps[] = {{"", ".damaged-", false},
                      {"-wal", "-wal.damaged-", true},
                      {".repair-wal", "-wal", false},
                      {".repair", "", false}};
    char stamp[32];
    time_t now = time(NULL);
    struct tm local;

    if (!localtime_r(&now, &local) ||
        !strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &local)) {
        return mgb_salvage_fail(work, "the time of day cannot be told");
    }
    for (int i = 0; i < 2; i++) {
        size_t used = strlen(steps[i].to);

        snprintf(steps[i].to + used, sizeof(steps[i].to) - used, "%s", stamp);
    }
    if (!move_all(work, steps, sizeof(steps) / sizeof(steps[0]))) {
        remove_made(work);
        return false;
    }
    if (mgb_rows_shut_head(&work->to, GB_RECORD_WITNESS, &head)) {
        mgb_store_set_witness(&work->old, work->to.sealed.at, work->to.sealed.bytes);
    }
    remove_made(work);
    fprintf(work->repair->out,
            "made: %s, of epoch %" PRIu64 "; the old one is %s.damaged-%s\n",
            work->old.path, head.epoch, work->old.path, stamp);
    return mgb_store_sync_dir(&work->old) ||
           mgb_salvage_fail(work, "the new file is in its place, but its directory "
                                  "cannot be synced: a power cut may undo that");
}

static bool is_all_trusted_known(mgb_salvage_t *work)
{
    for (size_t i = 0; i < work->repair->trusted_count; i++) {
        bool known = false;

        for (size_t k = 0; k < work->scrape.count && !known; k++) {
            gb_record_replica_t replica;

            known =
                work->scrape.finds[k].kind == GB_RECORD_REPLICA &&
                mgb_scrape_open(&work->scrape, &work->from, &work->scrape.finds[k]) &&
                gb_record_read_replica(work->from.plain.at, work->from.plain.bytes,
                                       &replica) &&
                !replica.forgotten &&
                strcmp(replica.name.at, work->repair->trusted[i]) == 0;
        }
        if (!known) {
            snprintf(work->repair->error, sizeof(work->repair->error),
                     "--trust %s: there is no such replica in it",
                     work->repair->trusted[i]);
            return false;
        }
    }
    return true;
}

static bool repair_all(mgb_salvage_t *work)
{
    return mgb_scrape_begin(&work->scrape, &work->old)
               ? read_head(work) && is_all_trusted_known(work) &&
                     mgb_salvage_logs(work) && begin_made(work) &&
                     mgb_salvage_entries(work) && copy_logs(work) && end_made(work)
               : mgb_salvage_fail(work, work->old.error);
}

static void end_work(mgb_salvage_t *work)
{
    mgb_scrape_end(&work->scrape);
    for (size_t i = 0; i < work->log_count; i++) {
        free(work->logs[i].name);
    }
    free(work->logs);
    mgb_rows_end(&work->from);
    mgb_rows_end(&work->to);
}

bool mgb_repair_seals(mgb_repair_t *repair, mgb_rows_t *rows)
{
    if (!mgb_rows_begin(rows, repair->key)) {
        snprintf(repair->error, sizeof(repair->error), "OpenSSL does not seal");
        return false;
    }
    return true;
}

uid_t mgb_repair_owner(const char *path)
{
    struct stat info;

    return geteuid() == 0 && lstat(path, &info) == 0 ? info.st_uid : geteuid();
}

bool mgb_journal_repair(mgb_repair_t *repair)
{
    mgb_salvage_t work;
    bool done;

    memset(&work, 0, sizeof(work));
    work.repair = repair;
    work.made.lock_fd = work.made.room_fd = -1;
    if (!mgb_store_lock(&work.old, repair->path, mgb_repair_owner(repair->path), 0)) {
        return mgb_salvage_fail(&work, work.old.error);
    }
    done = mgb_repair_seals(repair, &work.from) && mgb_repair_seals(repair, &work.to) &&
           repair_all(&work);
    if (work.made.lock_fd >= 0) {
        mgb_store_close(&work.made);
        mgb_store_unlock(&work.made);
    }
    if (done) {
        done = put_in_place(&work);
    }
    else {
        remove_made(&work);
    }
    end_work(&work);
    mgb_store_unlock(&work.old);
    return done;
}
