/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_beat.h - heartbeats of green-agent, and the keeper's answers to them.
 *
 * Both are short texts of lines `name=value`, every one present, in one order, in one
 * spelling: what is read and written again is the same text, byte for byte.  The last
 * line carries an HMAC-SHA-256 over all bytes before it.  This file makes no MAC and
 * checks none; it only says which bytes it is about.
 *
 *   green-beat 1                           green-answer 1
 *   server=http://10.0.0.11:8080           server=http://10.0.0.11:8080
 *   session=8f0c6a5be1d21f43               session=8f0c6a5be1d21f43
 *   seq=17                                 seq=17
 *   nonce=00112233445566778899aabbccddeeff nonce=ffeeddccbbaa99887766554433221100
 *   load=250                               believed=1
 *   work=3                                 order=none
 *   veto=0                                 next=15000
 *   reason=                                mac=...
 *   watts=85300
 *   going=0
 *   mac=...
 *
 * The first lines differ, so that neither can be taken for the other.  No clock of
 * either side stands in them: docs/agent.md says why that is enough.  Pure, any thread.
 */
#ifndef GB_BEAT_H
#define GB_BEAT_H

#include "gb_types.h"

#define GB_BEAT_BYTES           1024 /* of the longest text, with a NUL */
#define GB_BEAT_NONCE_BYTES     16
#define GB_BEAT_MAC_BYTES       32
#define GB_BEAT_LOAD_MOST       1000000u   /* permille */
#define GB_BEAT_MILLIWATTS_MOST 100000000u /* 100 kW */
#define GB_BEAT_NEXT_LEAST_MS   100u
#define GB_BEAT_NEXT_MOST_MS    3600000u

typedef struct gb_beat_t {
    char server[GB_NAME_BYTES]; /* as on BalancerMember; printable, no space */
    uint64_t session;           /* random, of this start of the agent; never 0 */
    uint64_t seq;               /* counted up by every beat of the session; from 1 */
    uint8_t nonce[GB_BEAT_NONCE_BYTES]; /* of the latest answer; zeros: none yet */
    uint32_t load_permille;             /* of all processors */
    uint32_t work;                      /* what the host's own counting says */
    bool veto;                          /* it must not be switched off now ... */
    char reason[GB_REASON_BYTES];       /* ... and why; "" without a veto */
    bool has_watts;
    uint32_t milliwatts; /* 0 without */
    bool going;          /* it has an order and carries it out when this is answered */
} gb_beat_t;

typedef enum gb_beat_order_e {
    GB_BEAT_ORDER_NONE = 0,
    GB_BEAT_ORDER_OFF
} gb_beat_order_e;

typedef struct gb_answer_t {
    char server[GB_NAME_BYTES];         /* these three are the beat's */
    uint64_t session, seq;              /* that is answered */
    uint8_t nonce[GB_BEAT_NONCE_BYTES]; /* for the next beat */
    bool believed; /* false: a challenge; the agent beats again at once, with the nonce
                    */
    gb_beat_order_e order;
    uint32_t next_ms; /* until the next beat, at most */
} gb_answer_t;

/* Reads a whole text.  NULL, and `signed_bytes` says how many of its first bytes `mac`
 * is about; or why it is none: a literal, and nothing was filled in that may be used.
 */
const char *gb_beat_read(gb_beat_t *beat, size_t *signed_bytes,
                         uint8_t mac[GB_BEAT_MAC_BYTES], const char *text,
                         size_t bytes);
const char *gb_beat_read_answer(gb_answer_t *answer, size_t *signed_bytes,
                                uint8_t mac[GB_BEAT_MAC_BYTES], const char *text,
                                size_t bytes);

/* Writes the part that is to be signed, with a NUL.  Its length, or 0 when it does not
 * fit or when a field is one that read() would refuse. */
size_t gb_beat_write(const gb_beat_t *beat, char *out, size_t room);
size_t gb_beat_write_answer(const gb_answer_t *answer, char *out, size_t room);

/* Adds the last line to the `bytes` bytes of the signed part at `out`, and a NUL.  The
 * whole length, or 0 when it does not fit. */
size_t gb_beat_seal(char *out, size_t room, size_t bytes,
                    const uint8_t mac[GB_BEAT_MAC_BYTES]);

/* ---------------------------------------------------------------- the window */

#define GB_BEAT_RETIRED 8 /* sessions before the present one that are remembered */

/* What the keeper knows of an agent's beats, to believe each of them once.  Zeroed: no
 * nonce is given out yet, and nothing will be believed. */
typedef struct gb_beat_window_t {
    uint8_t nonce[GB_BEAT_NONCE_BYTES];  /* given out with the latest answers */
    uint8_t former[GB_BEAT_NONCE_BYTES]; /* the one before: its answer may be lost */
    uint64_t session, seq;               /* of the latest beat that was believed */
    uint64_t retired[GB_BEAT_RETIRED];
    uint32_t retired_next;
} gb_beat_window_t;

typedef enum gb_beat_verdict_e {
    GB_BEAT_BELIEVED = 0,
    GB_BEAT_CHALLENGED, /* not believed: it has to come again with the nonce */
    GB_BEAT_REPLAYED,   /* this one or a later one of the session was here before */
    GB_BEAT_REPLACED    /* of a session that another one has followed */
} gb_beat_verdict_e;

/* Gives out a fresh nonce: random, not all zeros. */
void gb_beat_window_renew(gb_beat_window_t *window,
                          const uint8_t nonce[GB_BEAT_NONCE_BYTES]);

/* Judges a beat whose MAC is right.  BELIEVED is noted in the window; `is_fresh` (may
 * be NULL) then says whether it had the latest nonce, so that it is time for another.
 * A beat of the session that is known has the latest nonce or the one before, and a
 * higher number; the first of another session has the latest nonce. */
gb_beat_verdict_e gb_beat_window_judge(gb_beat_window_t *window, const gb_beat_t *beat,
                                       bool *is_fresh);

#endif /* GB_BEAT_H */
