/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_record.c - writes and reads what stands in a journal's rows.
 */
#include "gb_record.h"

#include <string.h>

#define TEXT_EXTRA 5u /* its length, and the NUL */

/* A walk over a record; the first field that does not fit ends it. */
typedef struct walk_t {
    const uint8_t *at;
    size_t left;
    bool good;
} walk_t;

/* ---------------------------------------------------------------- keys */

int64_t gb_record_key(uint32_t log, uint64_t seq)
{
    return (int64_t)(((uint64_t)(log & GB_RECORD_LOG_MOST) << GB_RECORD_SEQ_BITS) |
                     (seq & GB_RECORD_SEQ_MOST));
}

uint32_t gb_record_key_log(int64_t key)
{
    return (uint32_t)((uint64_t)key >> GB_RECORD_SEQ_BITS) & GB_RECORD_LOG_MOST;
}

uint64_t gb_record_key_seq(int64_t key)
{
    return (uint64_t)key & GB_RECORD_SEQ_MOST;
}

int64_t gb_record_state_key(uint32_t log, uint32_t replica)
{
    return (int64_t)((uint64_t)(log & GB_RECORD_LOG_MOST) << 16 | (replica & 0xffff));
}

uint32_t gb_record_state_log(int64_t key)
{
    return (uint32_t)((uint64_t)key >> 16) & GB_RECORD_LOG_MOST;
}

uint32_t gb_record_state_replica(int64_t key)
{
    return (uint32_t)((uint64_t)key & 0xffff);
}

/* ---------------------------------------------------------------- writing */

static uint8_t *put(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        *to++ = (uint8_t)(value >> (8 * i));
    }
    return to;
}

static uint8_t *put_bytes(uint8_t *to, const void *from, size_t bytes)
{
    if (bytes) {
        memcpy(to, from, bytes);
    }
    return to + bytes;
}

static uint8_t *put_text(uint8_t *to, gb_span_text_t text)
{
    to = put(to, text.bytes, 4);
    to = put_bytes(to, text.at, text.bytes);
    *to++ = '\0';
    return to;
}

static size_t text_bytes(gb_span_text_t text)
{
    return TEXT_EXTRA + text.bytes;
}

size_t gb_record_log_bytes(const gb_record_log_t *record)
{
    return 1 + 4 * 8 + text_bytes(record->name);
}

size_t gb_record_replica_bytes(const gb_record_replica_t *record)
{
    return 1 + 3 * 8 + 2 + text_bytes(record->name) + text_bytes(record->why);
}

size_t gb_record_request_bytes(const gb_record_request_t *record)
{
    return 1 + 32 + 2 * 8 + text_bytes(record->id) + text_bytes(record->principal) +
           text_bytes(record->method) + text_bytes(record->target) +
           text_bytes(record->headers) + text_bytes(record->body);
}

size_t gb_record_answer_bytes(const gb_record_answer_t *record)
{
    return 1 + 1 + 2 + 8 + text_bytes(record->by) + text_bytes(record->headers) +
           text_bytes(record->body);
}

void gb_record_write_head(const gb_record_head_t *record, uint8_t *to)
{
    to = put(to, GB_RECORD_VERSION, 1);
    to = put(to, record->epoch, 8);
    (void)put(to, record->serial, 8);
}

void gb_record_write_log(const gb_record_log_t *record, uint8_t *to)
{
    to = put(to, GB_RECORD_VERSION, 1);
    to = put(to, record->serial, 8);
    to = put(to, record->head, 8);
    to = put(to, record->settled, 8);
    to = put(to, record->trimmed, 8);
    (void)put_text(to, record->name);
}

void gb_record_write_replica(const gb_record_replica_t *record, uint8_t *to)
{
    to = put(to, GB_RECORD_VERSION, 1);
    to = put(to, record->serial, 8);
    to = put(to, record->cursor, 8);
    to = put(to, record->sent, 8);
    to = put(to, record->aside, 1);
    to = put(to, record->forgotten, 1);
    to = put_text(to, record->name);
    (void)put_text(to, record->why);
}

#define BIT_REPEATABLE   1u
#define BIT_DELETES      2u
#define BIT_LOST_REQUEST 4u
#define BIT_LOST_ANSWER  8u
#define BITS_ALL         15u

void gb_record_write_brief(const gb_record_brief_t *record, uint8_t *to)
{
    unsigned bits = (record->repeatable ? BIT_REPEATABLE : 0) |
                    (record->deletes ? BIT_DELETES : 0) |
                    (record->lost_request ? BIT_LOST_REQUEST : 0) |
                    (record->lost_answer ? BIT_LOST_ANSWER : 0);

    to = put(to, GB_RECORD_VERSION, 1);
    to = put_bytes(to, record->name, sizeof(record->name));
    to = put_bytes(to, record->digest, sizeof(record->digest));
    to = put(to, (uint64_t)record->at_us, 8);
    to = put(to, record->nonce, 8);
    to = put(to, record->answer_digest, 8);
    to = put(to, record->request_bytes, 4);
    to = put(to, record->answer_bytes, 4);
    to = put(to, record->status, 2);
    to = put(to, record->state, 1);
    (void)put(to, bits, 1);
}

void gb_record_write_request(const gb_record_request_t *record, uint8_t *to)
{
    to = put(to, GB_RECORD_VERSION, 1);
    to = put_bytes(to, record->digest, sizeof(record->digest));
    to = put(to, (uint64_t)record->at_us, 8);
    to = put(to, record->nonce, 8);
    to = put_text(to, record->id);
    to = put_text(to, record->principal);
    to = put_text(to, record->method);
    to = put_text(to, record->target);
    to = put_text(to, record->headers);
    (void)put_text(to, record->body);
}

void gb_record_write_answer(const gb_record_answer_t *record, uint8_t *to)
{
    to = put(to, GB_RECORD_VERSION, 1);
    to = put(to, record->state, 1);
    to = put(to, record->status, 2);
    to = put(to, record->digest, 8);
    to = put_text(to, record->by);
    to = put_text(to, record->headers);
    (void)put_text(to, record->body);
}

/* ---------------------------------------------------------------- reading */

static const uint8_t *take(walk_t *walk, size_t bytes)
{
    const uint8_t *at = walk->at;

    if (!walk->good || walk->left < bytes) {
        walk->good = false;
        return NULL;
    }
    walk->at += bytes;
    walk->left -= bytes;
    return at;
}

static uint64_t get(walk_t *walk, size_t bytes)
{
    const uint8_t *at = take(walk, bytes);
    uint64_t value = 0;

    for (size_t i = 0; at && i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static bool get_bool(walk_t *walk)
{
    uint64_t value = get(walk, 1);

    walk->good = walk->good && value <= 1;
    return value == 1;
}

static gb_verdict_state_e get_state(walk_t *walk)
{
    uint64_t value = get(walk, 1);

    walk->good = walk->good && value <= GB_ENTRY_FAILED;
    return walk->good ? (gb_verdict_state_e)value : GB_ENTRY_OPEN;
}

/* `is_text`: there may be no NUL in it. */
static gb_span_text_t get_span(walk_t *walk, bool is_text)
{
    gb_span_text_t span = {"", 0};
    size_t bytes = (size_t)get(walk, 4);
    const uint8_t *at = take(walk, bytes), *end = take(walk, 1);

    if (!at || !end || *end != 0 || (is_text && bytes && memchr(at, 0, bytes))) {
        walk->good = false;
        return span;
    }
    span.at = (const char *)at;
    span.bytes = bytes;
    return span;
}

static walk_t begin(const uint8_t *at, size_t bytes)
{
    walk_t walk = {at, bytes, true};

    walk.good = get(&walk, 1) == GB_RECORD_VERSION && walk.good;
    return walk;
}

/* Everything was there, and nothing more. */
static bool ended(const walk_t *walk)
{
    return walk->good && !walk->left;
}

/* What is wrong anywhere is nothing at all. */
static bool kept(bool good, void *record, size_t bytes)
{
    if (!good) {
        memset(record, 0, bytes);
    }
    return good;
}

bool gb_record_read_head(const uint8_t *at, size_t bytes, gb_record_head_t *record)
{
    walk_t walk = begin(at, bytes);

    record->epoch = get(&walk, 8);
    record->serial = get(&walk, 8);
    return kept(ended(&walk), record, sizeof(*record));
}

bool gb_record_read_log(const uint8_t *at, size_t bytes, gb_record_log_t *record)
{
    walk_t walk = begin(at, bytes);

    record->serial = get(&walk, 8);
    record->head = get(&walk, 8);
    record->settled = get(&walk, 8);
    record->trimmed = get(&walk, 8);
    record->name = get_span(&walk, true);
    return kept(ended(&walk) && record->head <= GB_RECORD_SEQ_MOST &&
                    record->settled <= record->head &&
                    record->trimmed <= record->settled,
                record, sizeof(*record));
}

bool gb_record_read_replica(const uint8_t *at, size_t bytes,
                            gb_record_replica_t *record)
{
    walk_t walk = begin(at, bytes);

    record->serial = get(&walk, 8);
    record->cursor = get(&walk, 8);
    record->sent = get(&walk, 8);
    record->aside = get_bool(&walk);
    record->forgotten = get_bool(&walk);
    record->name = get_span(&walk, true);
    record->why = get_span(&walk, true);
    return kept(ended(&walk) && record->cursor <= GB_RECORD_SEQ_MOST &&
                    record->sent <= GB_RECORD_SEQ_MOST,
                record, sizeof(*record));
}

bool gb_record_read_brief(const uint8_t *at, size_t bytes, gb_record_brief_t *record)
{
    walk_t walk = begin(at, bytes);
    const uint8_t *name = take(&walk, sizeof(record->name));
    const uint8_t *digest = take(&walk, sizeof(record->digest));
    unsigned bits;

    memset(record, 0, sizeof(*record));
    if (name && digest) {
        memcpy(record->name, name, sizeof(record->name));
        memcpy(record->digest, digest, sizeof(record->digest));
    }
    record->at_us = (int64_t)get(&walk, 8);
    record->nonce = get(&walk, 8);
    record->answer_digest = get(&walk, 8);
    record->request_bytes = (uint32_t)get(&walk, 4);
    record->answer_bytes = (uint32_t)get(&walk, 4);
    record->status = (uint32_t)get(&walk, 2);
    record->state = get_state(&walk);
    bits = (unsigned)get(&walk, 1);
    record->repeatable = (bits & BIT_REPEATABLE) != 0;
    record->deletes = (bits & BIT_DELETES) != 0;
    record->lost_request = (bits & BIT_LOST_REQUEST) != 0;
    record->lost_answer = (bits & BIT_LOST_ANSWER) != 0;
    return kept(ended(&walk) && bits <= BITS_ALL, record, sizeof(*record));
}

bool gb_record_read_request(const uint8_t *at, size_t bytes,
                            gb_record_request_t *record)
{
    walk_t walk = begin(at, bytes);
    const uint8_t *digest = take(&walk, sizeof(record->digest));

    if (digest) {
        memcpy(record->digest, digest, sizeof(record->digest));
    }
    record->at_us = (int64_t)get(&walk, 8);
    record->nonce = get(&walk, 8);
    record->id = get_span(&walk, true);
    record->principal = get_span(&walk, true);
    record->method = get_span(&walk, true);
    record->target = get_span(&walk, true);
    record->headers = get_span(&walk, true);
    record->body = get_span(&walk, false);
    return kept(ended(&walk), record, sizeof(*record));
}

bool gb_record_read_answer(const uint8_t *at, size_t bytes, gb_record_answer_t *record)
{
    walk_t walk = begin(at, bytes);

    record->state = get_state(&walk);
    record->status = (uint32_t)get(&walk, 2);
    record->digest = get(&walk, 8);
    record->by = get_span(&walk, true);
    record->headers = get_span(&walk, true);
    record->body = get_span(&walk, false);
    return kept(ended(&walk), record, sizeof(*record));
}
