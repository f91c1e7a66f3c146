/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_row.h - rows of a journal, sealed; in plain C, for the keeper and greenctl.
 *
 * Every row is sealed for itself, bound to its kind, its key and the journal's epoch: a
 * row that opens is one that this journal wrote in this place, whole.  One thread.
 */
#ifndef MGB_JOURNAL_ROW_H
#define MGB_JOURNAL_ROW_H

#include "libcrypto.h"

#include "core/gb_record.h"

/* PRAGMA application_id: "GBJ1" */
#define MGB_JOURNAL_ID      0x47424a31
#define MGB_JOURNAL_VERSION 1 /* PRAGMA user_version */
#define MGB_JOURNAL_PAGE    4096

/* Memory that grows; malloc'ed, and wiped, since what was opened lies in it. */
typedef struct mgb_buffer_t {
    uint8_t *at;
    size_t bytes, room;
} mgb_buffer_t;

bool mgb_buffer_room(mgb_buffer_t *buffer, size_t bytes); /* and bytes is set */
void mgb_buffer_free(mgb_buffer_t *buffer);

/* What seals and opens rows. */
typedef struct mgb_rows_t {
    mgb_seal_t *seal;
    uint8_t name_key[MGB_HMAC_BYTES];
    uint64_t epoch;
    mgb_buffer_t plain;  /* a record, to be shut or opened */
    mgb_buffer_t sealed; /* a row that was shut */
} mgb_rows_t;

/* `key` has MGB_SEAL_KEY_BYTES; libcrypto is loaded.  False: no memory, or OpenSSL
 * fails.  end wipes all of it. */
bool mgb_rows_begin(mgb_rows_t *rows, const uint8_t *key);
void mgb_rows_end(mgb_rows_t *rows);

/* Seals rows->plain into rows->sealed.  False: no memory or no random bytes. */
bool mgb_rows_shut(mgb_rows_t *rows, gb_record_kind_e kind, int64_t key);
/* Opens a row into rows->plain.  False: it is not what was written there. */
bool mgb_rows_open(mgb_rows_t *rows, gb_record_kind_e kind, int64_t key,
                   const void *row, size_t bytes);

/* By what the id of an entry is known: HMAC of its log, principal and id. */
bool mgb_rows_name(mgb_rows_t *rows, uint32_t log, const char *principal,
                   const char *id, uint8_t name[GB_RECORD_NAME_BYTES]);

/* A record into rows->plain and shut into rows->sealed. */
bool mgb_rows_shut_head(mgb_rows_t *rows, gb_record_kind_e kind,
                        const gb_record_head_t *record);
bool mgb_rows_shut_log(mgb_rows_t *rows, uint32_t log, const gb_record_log_t *record);
bool mgb_rows_shut_replica(mgb_rows_t *rows, uint32_t log, uint32_t replica,
                           const gb_record_replica_t *record);
bool mgb_rows_shut_brief(mgb_rows_t *rows, int64_t key,
                         const gb_record_brief_t *record);
bool mgb_rows_shut_request(mgb_rows_t *rows, int64_t key,
                           const gb_record_request_t *record);
bool mgb_rows_shut_answer(mgb_rows_t *rows, int64_t key,
                          const gb_record_answer_t *record);
bool mgb_rows_shut_gone(mgb_rows_t *rows, int64_t key,
                        const uint8_t name[GB_RECORD_NAME_BYTES]);

#endif /* MGB_JOURNAL_ROW_H */
