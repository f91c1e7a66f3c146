/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_row.c - seals and opens rows of a journal.
 */
#include "journal_row.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST  4096u
#define ABOUT_BYTES 20u

bool mgb_buffer_room(mgb_buffer_t *buffer, size_t bytes)
{
    size_t room = buffer->room ? buffer->room : ROOM_LEAST;
    uint8_t *grown;

    buffer->bytes = bytes;
    if (bytes <= buffer->room) {
        return true;
    }
    while (room < bytes) {
        room *= 2;
    }
    grown = malloc(room);
    if (!grown) {
        buffer->bytes = 0;
        return false;
    }
    mgb_buffer_free(buffer);
    buffer->at = grown;
    buffer->room = room;
    buffer->bytes = bytes;
    return true;
}

void mgb_buffer_free(mgb_buffer_t *buffer)
{
    if (buffer->at) {
        explicit_bzero(buffer->at, buffer->room);
        free(buffer->at);
    }
    memset(buffer, 0, sizeof(*buffer));
}

/* A key of its own for each use of the one that was given. */
static bool derive(const uint8_t *key, const char *use, uint8_t out[MGB_HMAC_BYTES])
{
    return mgb_libcrypto_hmac((const char *)key, MGB_SEAL_KEY_BYTES, use, strlen(use),
                              out);
}

bool mgb_rows_begin(mgb_rows_t *rows, const uint8_t *key)
{
    uint8_t seal_key[MGB_HMAC_BYTES];

    memset(rows, 0, sizeof(*rows));
    if (derive(key, "greenbalance journal rows", seal_key) &&
        derive(key, "greenbalance journal names", rows->name_key)) {
        rows->seal = mgb_seal_create(seal_key);
    }
    explicit_bzero(seal_key, sizeof(seal_key));
    return rows->seal != NULL;
}

void mgb_rows_end(mgb_rows_t *rows)
{
    mgb_seal_destroy(rows->seal);
    mgb_buffer_free(&rows->plain);
    mgb_buffer_free(&rows->sealed);
    explicit_bzero(rows, sizeof(*rows));
}

/* The head and the witness tell the epoch: they cannot be bound to it. */
static mgb_part_t about(const mgb_rows_t *rows, gb_record_kind_e kind, int64_t key,
                        uint8_t to[ABOUT_BYTES])
{
    mgb_part_t part = {to, ABOUT_BYTES};
    uint64_t epoch =
        kind == GB_RECORD_HEAD || kind == GB_RECORD_WITNESS ? 0 : rows->epoch;

    to[0] = 'G';
    to[1] = 'B';
    to[2] = 'J';
    to[3] = (uint8_t)kind;
    for (unsigned i = 0; i < 8; i++) {
        to[4 + i] = (uint8_t)((uint64_t)key >> (8 * i));
        to[12 + i] = (uint8_t)(epoch >> (8 * i));
    }
    return part;
}

bool mgb_rows_shut(mgb_rows_t *rows, gb_record_kind_e kind, int64_t key)
{
    uint8_t bound[ABOUT_BYTES];

    return mgb_buffer_room(&rows->sealed, rows->plain.bytes + MGB_SEAL_BYTES) &&
           mgb_seal_shut(rows->seal, about(rows, kind, key, bound), rows->plain.at,
                         rows->plain.bytes, rows->sealed.at);
}

bool mgb_rows_open(mgb_rows_t *rows, gb_record_kind_e kind, int64_t key,
                   const void *row, size_t bytes)
{
    uint8_t bound[ABOUT_BYTES];

    return row && bytes >= MGB_SEAL_BYTES &&
           mgb_buffer_room(&rows->plain, bytes - MGB_SEAL_BYTES) &&
           mgb_seal_open(rows->seal, about(rows, kind, key, bound), row, bytes,
                         rows->plain.at);
}

bool mgb_rows_name(mgb_rows_t *rows, uint32_t log, const char *principal,
                   const char *id, uint8_t name[GB_RECORD_NAME_BYTES])
{
    size_t whose = strlen(principal) + 1, which = strlen(id);
    uint8_t mac[MGB_HMAC_BYTES];
    bool done;

    /* The NUL between them keeps ("a", "bc") and ("ab", "c") apart. */
    if (!mgb_buffer_room(&rows->plain, 4 + whose + which)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        rows->plain.at[i] = (uint8_t)(log >> (8 * i));
    }
    memcpy(rows->plain.at + 4, principal, whose);
    memcpy(rows->plain.at + 4 + whose, id, which);
    done = mgb_libcrypto_hmac((const char *)rows->name_key, sizeof(rows->name_key),
                              (const char *)rows->plain.at, rows->plain.bytes, mac);
    if (done) {
        memcpy(name, mac, GB_RECORD_NAME_BYTES);
    }
    return done;
}

/* ---------------------------------------------------------------- records */

bool mgb_rows_shut_head(mgb_rows_t *rows, gb_record_kind_e kind,
                        const gb_record_head_t *record)
{
    if (!mgb_buffer_room(&rows->plain, GB_RECORD_HEAD_BYTES)) {
        return false;
    }
    gb_record_write_head(record, rows->plain.at);
    return mgb_rows_shut(rows, kind, 0);
}

bool mgb_rows_shut_log(mgb_rows_t *rows, uint32_t log, const gb_record_log_t *record)
{
    if (!mgb_buffer_room(&rows->plain, gb_record_log_bytes(record))) {
        return false;
    }
    gb_record_write_log(record, rows->plain.at);
    return mgb_rows_shut(rows, GB_RECORD_LOG, gb_record_state_key(log, 0));
}

bool mgb_rows_shut_replica(mgb_rows_t *rows, uint32_t log, uint32_t replica,
                           const gb_record_replica_t *record)
{
    if (!mgb_buffer_room(&rows->plain, gb_record_replica_bytes(record))) {
        return false;
    }
    gb_record_write_replica(record, rows->plain.at);
    return mgb_rows_shut(rows, GB_RECORD_REPLICA, gb_record_state_key(log, replica));
}

bool mgb_rows_shut_brief(mgb_rows_t *rows, int64_t key, const gb_record_brief_t *record)
{
    if (!mgb_buffer_room(&rows->plain, GB_RECORD_BRIEF_BYTES)) {
        return false;
    }
    gb_record_write_brief(record, rows->plain.at);
    return mgb_rows_shut(rows, GB_RECORD_BRIEF, key);
}

bool mgb_rows_shut_request(mgb_rows_t *rows, int64_t key,
                           const gb_record_request_t *record)
{
    if (!mgb_buffer_room(&rows->plain, gb_record_request_bytes(record))) {
        return false;
    }
    gb_record_write_request(record, rows->plain.at);
    return mgb_rows_shut(rows, GB_RECORD_REQUEST, key);
}

bool mgb_rows_shut_answer(mgb_rows_t *rows, int64_t key,
                          const gb_record_answer_t *record)
{
    if (!mgb_buffer_room(&rows->plain, gb_record_answer_bytes(record))) {
        return false;
    }
    gb_record_write_answer(record, rows->plain.at);
    return mgb_rows_shut(rows, GB_RECORD_ANSWER, key);
}

bool mgb_rows_shut_gone(mgb_rows_t *rows, int64_t key,
                        const uint8_t name[GB_RECORD_NAME_BYTES])
{
    if (!mgb_buffer_room(&rows->plain, GB_RECORD_NAME_BYTES)) {
        return false;
    }
    memcpy(rows->plain.at, name, GB_RECORD_NAME_BYTES);
    return mgb_rows_shut(rows, GB_RECORD_GONE, key);
}
