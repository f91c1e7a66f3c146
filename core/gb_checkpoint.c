/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_checkpoint.c - the record of all machines, and of what was learned about
 * balancers.
 */
#include "gb_checkpoint.h"

#include <math.h>
#include <string.h>

#define MAGIC   UINT32_C(0x50434247) /* "GBCP" */
#define VERSION 3u
/* magic, version, count, paused, saved wall clock, bytes of a block's inside, spare */
#define HEAD_BYTES 32u
#define AGE_NEVER  INT64_C(-1)
/* No instant may overflow, whatever a damaged clock or file says: a century. */
#define AGE_MOST_US (INT64_C(100) * 365 * 86400 * GB_US_PER_S)
/* The histogram of boot times, which files of version 1 do not have. */
#define TAIL_BYTES (8u + 4u * GB_BOOT_BUCKETS)
#define RECORD_BYTES                                                                   \
    (GB_CHECKPOINT_KEY_BYTES + GB_REASON_BYTES + 8u * 4u + 8u * 10u +                  \
     8u * GB_CYCLES_KEPT + 8u * GB_BOOT_KEPT + TAIL_BYTES)
#define SUM_BYTES   8u
#define BLOCK_AT    24u /* in the head; files of version 2 have no blocks, and 0 there */
#define INSIDE_MOST (1024u * 1024u)

/* A cursor over a record; the same order of fields writes and reads. */
typedef struct cursor_t {
    uint8_t *out;
    const uint8_t *in;
    int64_t now_us;    /* writing: the saver's clock; reading: the reader's, less */
    int64_t passed_us; /* the time that passed since the saving */
    uint32_t version;
} cursor_t;

static size_t record_bytes(uint32_t version)
{
    return version == 1 ? RECORD_BYTES - TAIL_BYTES : RECORD_BYTES;
}

static size_t file_bytes(uint32_t version, uint32_t count)
{
    return HEAD_BYTES + (size_t)count * record_bytes(version) + SUM_BYTES;
}

size_t gb_checkpoint_bytes(uint32_t count)
{
    return file_bytes(VERSION, count);
}

/* FNV-1a: a cut or a flipped bit is found; it is no protection against a forger, who
 * would have to be the keeper's user already. */
static uint64_t checksum(const uint8_t *bytes, size_t count)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static void put_u64(uint8_t *out, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)in[i] << (8 * i);
    }
    return value;
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
           (uint32_t)in[3] << 24;
}

static void each_u32(cursor_t *c, uint32_t *value)
{
    if (c->out) {
        put_u32(c->out, *value);
        c->out += 4;
    }
    else {
        *value = get_u32(c->in);
        c->in += 4;
    }
}

static void each_u64(cursor_t *c, uint64_t *value)
{
    if (c->out) {
        put_u64(c->out, *value);
        c->out += 8;
    }
    else {
        *value = get_u64(c->in);
        c->in += 8;
    }
}

static void each_duration(cursor_t *c, int64_t *value_us)
{
    uint64_t raw = (uint64_t)*value_us;

    each_u64(c, &raw);
    *value_us = (int64_t)raw;
}

/* An instant of the past; `none` stands for itself. */
static void each_past(cursor_t *c, int64_t *at_us, int64_t none)
{
    int64_t age_us = AGE_NEVER;

    if (c->out && *at_us != none) {
        age_us = *at_us < c->now_us ? c->now_us - *at_us : 0;
    }
    each_duration(c, &age_us);
    if (!c->out) {
        age_us = age_us > AGE_MOST_US ? AGE_MOST_US : age_us;
        *at_us = age_us < 0 ? none : c->now_us - c->passed_us - age_us;
        if (age_us >= 0 && *at_us == none) {
            *at_us = none + 1;
        }
    }
}

/* An instant to come: what is left of it.  Past ones are due at once. */
static void each_future(cursor_t *c, int64_t *at_us)
{
    int64_t left_us = GB_NEVER_US;

    if (c->out && *at_us != GB_NEVER_US) {
        left_us = *at_us > c->now_us ? *at_us - c->now_us : 0;
    }
    each_duration(c, &left_us);
    if (!c->out) {
        if (left_us == GB_NEVER_US) {
            *at_us = GB_NEVER_US;
        }
        else {
            left_us = left_us > AGE_MOST_US ? AGE_MOST_US : left_us;
            left_us = left_us > c->passed_us ? left_us - c->passed_us : 0;
            *at_us = c->now_us + left_us;
        }
    }
}

static void each_bytes(cursor_t *c, char *text, size_t bytes)
{
    if (c->out) {
        /* What stands behind the end of a text is no part of it. */
        const char *end = memchr(text, '\0', bytes);
        size_t length = end ? (size_t)(end - text) : bytes - 1;

        memcpy(c->out, text, length);
        memset(c->out + length, 0, bytes - length);
        c->out += bytes;
    }
    else {
        memcpy(text, c->in, bytes);
        text[bytes - 1] = '\0';
        c->in += bytes;
    }
}

static void each_joules(cursor_t *c, double *joules)
{
    uint64_t raw;

    memcpy(&raw, joules, sizeof(raw));
    each_u64(c, &raw);
    memcpy(joules, &raw, sizeof(raw));
}

static void each_record(cursor_t *c, gb_saved_t *saved)
{
    gb_machine_t *m = &saved->machine;
    uint32_t spare = 0;

    each_bytes(c, saved->key, GB_CHECKPOINT_KEY_BYTES);
    each_bytes(c, m->last_error, GB_REASON_BYTES);
    each_u32(c, &m->state);
    each_u32(c, &m->wish);
    each_u32(c, &m->flags);
    each_u32(c, &m->failures_in_row);
    each_u32(c, &m->cycle_next);
    each_u32(c, &m->boot.count);
    each_u32(c, &m->boot.next);
    each_u32(c, &spare);
    each_past(c, &m->entered_at_us, GB_NEVER_US);
    each_future(c, &m->deadline_at_us);
    each_past(c, &m->wake_at_us, 0);
    each_future(c, &m->retry_at_us);
    each_u64(c, &m->wakes);
    each_u64(c, &m->sleeps);
    each_u64(c, &m->failures);
    each_joules(c, &saved->joules);
    each_joules(c, &saved->joules_always_on);
    each_duration(c, &m->boot.first_guess_us);
    for (unsigned i = 0; i < GB_CYCLES_KEPT; i++) {
        each_past(c, &m->cycle_at_us[i], 0);
    }
    for (unsigned i = 0; i < GB_BOOT_KEPT; i++) {
        each_duration(c, &m->boot.took_us[i]);
    }
    if (c->version == 1) {
        return;
    }
    each_u64(c, &m->boot.sum_us);
    for (unsigned i = 0; i < GB_BOOT_BUCKETS; i++) {
        each_u32(c, &m->boot.histogram[i]);
    }
}

size_t gb_checkpoint_write(uint8_t *out, uint32_t count, bool paused, int64_t wall_us,
                           int64_t now_us, gb_checkpoint_fetch_fn *fetch, void *baton)
{
    size_t bytes = gb_checkpoint_bytes(count);
    cursor_t c = {.out = out + HEAD_BYTES, .now_us = now_us, .version = VERSION};
    gb_saved_t saved;

    memset(out, 0, HEAD_BYTES);
    put_u32(out, MAGIC);
    put_u32(out + 4, VERSION);
    put_u32(out + 8, count);
    put_u32(out + 12, paused);
    put_u64(out + 16, (uint64_t)wall_us);
    put_u32(out + BLOCK_AT, GB_NEWS_SAVED_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        memset(&saved, 0, sizeof(saved));
        fetch(baton, i, &saved);
        each_record(&c, &saved);
    }
    put_u64(out + bytes - SUM_BYTES, checksum(out, bytes - SUM_BYTES));
    return bytes;
}

/* The checksum says what was written; this says that it may be believed. */
static bool record_sane(const gb_saved_t *saved)
{
    const gb_machine_t *m = &saved->machine;

    for (unsigned i = 0; i < GB_BOOT_KEPT; i++) {
        if (m->boot.took_us[i] < 0) {
            return false;
        }
    }
    return saved->key[0] && m->state < GB_ST_COUNT && m->wish < GB_WISH_COUNT &&
           m->cycle_next < GB_CYCLES_KEPT && m->boot.next < GB_BOOT_KEPT &&
           m->boot.first_guess_us >= 0 && isfinite(saved->joules) &&
           isfinite(saved->joules_always_on) && saved->joules >= 0 &&
           saved->joules_always_on >= 0;
}

gb_checkpoint_e gb_checkpoint_check(const uint8_t *in, size_t bytes, uint32_t *count,
                                    bool *paused)
{
    gb_saved_t saved;
    uint32_t records, version;
    size_t machines;

    if (bytes < 12) {
        return GB_CHECKPOINT_TRUNCATED;
    }
    version = get_u32(in + 4);
    if (get_u32(in) != MAGIC || version < 1 || version > VERSION) {
        return GB_CHECKPOINT_FOREIGN;
    }
    records = get_u32(in + 8);
    if (records > GB_MEMBERS_MAX) {
        return GB_CHECKPOINT_DAMAGED;
    }
    machines = file_bytes(version, records);
    if (bytes < machines || (bytes > machines && version < 3)) {
        return bytes < machines ? GB_CHECKPOINT_TRUNCATED : GB_CHECKPOINT_DAMAGED;
    }
    if (get_u64(in + machines - SUM_BYTES) != checksum(in, machines - SUM_BYTES)) {
        return GB_CHECKPOINT_DAMAGED;
    }
    for (uint32_t i = 0; i < records; i++) {
        gb_checkpoint_read(in, i, 0, 0, &saved);
        if (!record_sane(&saved)) {
            return GB_CHECKPOINT_DAMAGED;
        }
    }
    *count = records;
    *paused = get_u32(in + 12) == 1;
    return GB_CHECKPOINT_OK;
}

void gb_checkpoint_read(const uint8_t *in, uint32_t i, int64_t wall_us, int64_t now_us,
                        gb_saved_t *into)
{
    int64_t saved_wall_us = (int64_t)get_u64(in + 16);
    uint32_t version = get_u32(in + 4);
    cursor_t c = {.in = in + HEAD_BYTES + (size_t)i * record_bytes(version),
                  .now_us = now_us,
                  .version = version};

    if (wall_us > saved_wall_us && saved_wall_us > 0) {
        c.passed_us = wall_us - saved_wall_us;
    }
    if (c.passed_us > AGE_MOST_US) {
        c.passed_us = AGE_MOST_US;
    }
    memset(into, 0, sizeof(*into));
    each_record(&c, into);
}

/* ---------------------------------------------------------------- what NEWS learned */

static size_t block_bytes(uint32_t inside)
{
    return GB_CHECKPOINT_KEY_BYTES + (size_t)inside + SUM_BYTES;
}

size_t gb_checkpoint_news_bytes(void)
{
    return block_bytes(GB_NEWS_SAVED_BYTES);
}

size_t gb_checkpoint_add_news(uint8_t *out, const char *key, const gb_news_t *news)
{
    size_t sum_at = block_bytes(GB_NEWS_SAVED_BYTES) - SUM_BYTES;
    bool ended = false;

    for (size_t i = 0; i < GB_CHECKPOINT_KEY_BYTES; i++) {
        ended = ended || !key[i] || i == GB_CHECKPOINT_KEY_BYTES - 1;
        out[i] = ended ? 0 : (uint8_t)key[i];
    }
    (void)gb_news_save(news, out + GB_CHECKPOINT_KEY_BYTES);
    put_u64(out + sum_at, checksum(out, sum_at));
    return sum_at + SUM_BYTES;
}

/* Where the blocks begin, and how long each is; 0: it can have none. */
static size_t blocks_of(const uint8_t *in, size_t *each)
{
    uint32_t version = get_u32(in + 4), inside = get_u32(in + BLOCK_AT);

    *each = block_bytes(inside);
    return version < 3 || inside == 0 || inside > INSIDE_MOST
               ? 0
               : file_bytes(version, get_u32(in + 8));
}

uint32_t gb_checkpoint_news_count(const uint8_t *in, size_t bytes)
{
    size_t each, begin = blocks_of(in, &each);

    return begin ? (uint32_t)((bytes - begin + each - 1) / each) : 0;
}

bool gb_checkpoint_read_news(const uint8_t *in, size_t bytes, uint32_t i,
                             char key[GB_CHECKPOINT_KEY_BYTES], gb_news_t *news)
{
    size_t each, at = blocks_of(in, &each), left;
    size_t inside = each - GB_CHECKPOINT_KEY_BYTES - SUM_BYTES;

    memset(news, 0, sizeof(*news));
    memset(key, 0, GB_CHECKPOINT_KEY_BYTES);
    if (i >= gb_checkpoint_news_count(in, bytes)) {
        return false;
    }
    at += each * i;
    left = bytes - at;
    memcpy(key, in + at,
           left < GB_CHECKPOINT_KEY_BYTES ? left : GB_CHECKPOINT_KEY_BYTES);
    key[GB_CHECKPOINT_KEY_BYTES - 1] = '\0';
    return left >= each && key[0] &&
           get_u64(in + at + each - SUM_BYTES) == checksum(in + at, each - SUM_BYTES) &&
           gb_news_load(news, in + at + GB_CHECKPOINT_KEY_BYTES, inside);
}

void gb_checkpoint_claim(const gb_saved_t *saved, gb_machine_t *machine, int64_t now_us)
{
    gb_machine_t kept = *machine;

    *machine = saved->machine;
    /* What it is able to do comes from the configuration of now. */
    machine->flags = kept.flags;
    machine->rungs_wake = kept.rungs_wake;
    machine->rungs_sleep = kept.rungs_sleep;
    machine->boot.first_guess_us = kept.boot.first_guess_us;
    machine->verdict = GB_VERDICT_NONE;
    machine->proof = GB_PROOF_NONE;
    if (machine->entered_at_us > now_us) {
        machine->entered_at_us = now_us;
    }
    if (machine->state == GB_ST_WAKING && machine->wake_at_us == 0 &&
        machine->deadline_at_us == GB_NEVER_US) {
        gb_state_hold_order(machine); /* as it was: a pause kept its order back */
    }
    if (machine->state == GB_ST_ON || machine->state == GB_ST_DRAINING) {
        machine->state = GB_ST_UNKNOWN;
        machine->deadline_at_us = GB_NEVER_US;
    }
}

const char *gb_checkpoint_name(gb_checkpoint_e result)
{
    static const char *const names[] = {
        [GB_CHECKPOINT_OK] = "complete",
        [GB_CHECKPOINT_FOREIGN] = "not a checkpoint of this version",
        [GB_CHECKPOINT_TRUNCATED] = "truncated",
        [GB_CHECKPOINT_DAMAGED] = "damaged",
    };

    return result <= GB_CHECKPOINT_DAMAGED ? names[result] : "unknown";
}
