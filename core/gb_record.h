/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_record.h - what stands in a journal's rows, within their seals.
 *
 * A row is a kind, a key and bytes; the bytes are what these functions write and read.
 * All numbers are little endian; a text is its length in 4 bytes, itself, and a NUL
 * that does not count, so that what was opened can be used where it lies.  Pure; any
 * thread. docs/commit-journal.md has the format.
 */
#ifndef GB_RECORD_H
#define GB_RECORD_H

#include "gb_commit.h"
#include "gb_wire.h"

#define GB_RECORD_VERSION    1u
#define GB_RECORD_NAME_BYTES 16 /* of what an entry's id is known by */
/* A key is a log's number and a seq; together a positive 64-bit number. */
#define GB_RECORD_LOG_BITS 16
#define GB_RECORD_SEQ_BITS 47
#define GB_RECORD_SEQ_MOST ((UINT64_C(1) << GB_RECORD_SEQ_BITS) - 1)
#define GB_RECORD_LOG_MOST ((UINT32_C(1) << GB_RECORD_LOG_BITS) - 1)

typedef enum gb_record_kind_e {
    GB_RECORD_HEAD = 1, /* key 0: the journal itself */
    GB_RECORD_LOG,      /* key: its number << 16 */
    GB_RECORD_REPLICA,  /* key: the log's, and the replica's number, from 1 */
    GB_RECORD_BRIEF,    /* key: gb_record_key(): of an entry, what order needs */
    GB_RECORD_REQUEST,  /* likewise: what is sent */
    GB_RECORD_ANSWER,   /* likewise: what was answered */
    GB_RECORD_GONE,     /* likewise: what is remembered of a deleted entry */
    GB_RECORD_WITNESS   /* key 0, beside the file: what was committed last */
} gb_record_kind_e;

/* Key of an entry, and of a log or its replica; parts of them. */
int64_t gb_record_key(uint32_t log, uint64_t seq);
uint32_t gb_record_key_log(int64_t key);
uint64_t gb_record_key_seq(int64_t key);
int64_t gb_record_state_key(uint32_t log, uint32_t replica);
uint32_t gb_record_state_log(int64_t key);
uint32_t gb_record_state_replica(int64_t key);

/* HEAD and WITNESS. */
typedef struct gb_record_head_t {
    uint64_t epoch;  /* when the journal was made: seconds since 1970 */
    uint64_t serial; /* of the latest commit; 1, 2, ... */
} gb_record_head_t;

typedef struct gb_record_log_t {
    uint64_t serial; /* of the commit that wrote this */
    uint64_t head, settled;
    uint64_t trimmed;    /* entries up to this one are deleted */
    gb_span_text_t name; /* of the balancer */
} gb_record_log_t;

typedef struct gb_record_replica_t {
    uint64_t serial;
    uint64_t cursor, sent;
    bool aside;
    bool forgotten; /* the row is free */
    gb_span_text_t name, why;
} gb_record_replica_t;

typedef struct gb_record_brief_t {
    uint8_t name[GB_RECORD_NAME_BYTES];
    uint8_t digest[32];
    int64_t at_us;
    uint64_t nonce, answer_digest;
    uint32_t request_bytes, answer_bytes; /* of the bodies */
    uint32_t status;
    gb_verdict_state_e state;
    bool repeatable, deletes;       /* by the method */
    bool lost_request, lost_answer; /* a repair did not find them */
} gb_record_brief_t;

/* Request and answer say again what the brief says: a repair makes it from them. */
typedef struct gb_record_request_t {
    uint8_t digest[32];
    int64_t at_us;
    uint64_t nonce;
    gb_span_text_t id, principal, method, target, headers, body;
} gb_record_request_t;

typedef struct gb_record_answer_t {
    gb_verdict_state_e state; /* as in the brief */
    uint32_t status;
    uint64_t digest;
    gb_span_text_t by, headers, body;
} gb_record_answer_t;

#define GB_RECORD_HEAD_BYTES  17u
#define GB_RECORD_BRIEF_BYTES 85u

/* Bytes that a record takes; those without a function are constant. */
size_t gb_record_log_bytes(const gb_record_log_t *record);
size_t gb_record_replica_bytes(const gb_record_replica_t *record);
size_t gb_record_request_bytes(const gb_record_request_t *record);
size_t gb_record_answer_bytes(const gb_record_answer_t *record);

/* Write to `to`, which has that much room. */
void gb_record_write_head(const gb_record_head_t *record, uint8_t *to);
void gb_record_write_log(const gb_record_log_t *record, uint8_t *to);
void gb_record_write_replica(const gb_record_replica_t *record, uint8_t *to);
void gb_record_write_brief(const gb_record_brief_t *record, uint8_t *to);
void gb_record_write_request(const gb_record_request_t *record, uint8_t *to);
void gb_record_write_answer(const gb_record_answer_t *record, uint8_t *to);

/* Read; spans point into `at`.  False: it is no such record, and `record` is zeroed. */
bool gb_record_read_head(const uint8_t *at, size_t bytes, gb_record_head_t *record);
bool gb_record_read_log(const uint8_t *at, size_t bytes, gb_record_log_t *record);
bool gb_record_read_replica(const uint8_t *at, size_t bytes,
                            gb_record_replica_t *record);
bool gb_record_read_brief(const uint8_t *at, size_t bytes, gb_record_brief_t *record);
bool gb_record_read_request(const uint8_t *at, size_t bytes,
                            gb_record_request_t *record);
bool gb_record_read_answer(const uint8_t *at, size_t bytes, gb_record_answer_t *record);

#endif /* GB_RECORD_H */
