/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_submit.c - what children ask of the log: a write to take in (SUBMIT), how far
 * one is (ASK).
 *
 * A SUBMIT is looked for by id and principal first:
 *
 *   not there                     it is a new write
 *   other method, target, body    OTHER
 *   the same, its nonce as well   the request came again: it waits for the entry
 *   the same, without a verdict   BUSY
 *   the same, with one            the stored answer, or what it still waits for
 *
 * The journal thread.  A waiter that the log has told, or that was taken back, is asked
 * about no more; whoever answers a peer must not touch it after that.
 */
#include "commit_peer.h"

#include "libcrypto.h"

#define RETRY_FULL_S 5u
#define AGAIN_US     (50 * GB_US_PER_MS) /* between looks of one who waits longer */

_Static_assert(sizeof(((mgb_entry_t *)0)->digest) == MGB_SHA256_BYTES, "a digest");

/* ------------------------------------------------------------------ reading it */

static bool is_id(const gb_span_text_t *field)
{
    if (!gb_wire_is_text(*field, '!', GB_COMMIT_ID_BYTES - 1) || field->bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < field->bytes; i++) {
        if (field->at[i] < 0) {
            return false;
        }
    }
    return true;
}

static bool is_headers(const gb_span_text_t *field)
{
    const char *at = field->at;
    size_t bytes = field->bytes;
    gb_span_text_t name, value;

    while (at && bytes > 0 && gb_wire_header(&at, &bytes, &name, &value)) {
    }
    return at && bytes == 0;
}

static const char *text_of(mgb_peer_t *peer, const gb_span_text_t *field)
{
    return apr_pstrmemdup(peer->pool, field->at, field->bytes);
}

/* What tells two writes apart. */
static bool digest_make(mgb_entry_t *entry)
{
    const mgb_part_t parts[] = {{entry->method, strlen(entry->method)},
                                {" ", 1},
                                {entry->target, strlen(entry->target)},
                                {" ", 1},
                                {entry->body, entry->body_bytes}};

    return mgb_libcrypto_sha256(parts, sizeof(parts) / sizeof(parts[0]), entry->digest);
}

/* NULL, or what is wrong with it. */
static const char *entry_read(mgb_peer_t *peer, const gb_wire_t *wire,
                              mgb_entry_t *entry)
{
    const gb_span_text_t *field = wire->field;

    memset(entry, 0, sizeof(*entry));
    if (!is_id(&field[GB_TAG_ID]) ||
        !gb_wire_is_text(field[GB_TAG_PRINCIPAL], ' ', GB_WIRE_PRINCIPAL_MOST) ||
        !gb_wire_number(wire, GB_TAG_NONCE, 8, &entry->nonce)) {
        return "a write of nobody";
    }
    if (!gb_wire_is_text(field[GB_TAG_METHOD], '!', GB_WIRE_METHOD_MOST) ||
        !gb_wire_is_text(field[GB_TAG_TARGET], '!', GB_WIRE_TARGET_MOST) ||
        field[GB_TAG_METHOD].bytes == 0 || field[GB_TAG_TARGET].bytes == 0 ||
        field[GB_TAG_TARGET].at[0] != '/') {
        return "a write to nothing";
    }
    if (!is_headers(&field[GB_TAG_HEADERS]) || !field[GB_TAG_BODY].at) {
        return "a write without headers or body";
    }
    entry->id = text_of(peer, &field[GB_TAG_ID]);
    entry->principal = text_of(peer, &field[GB_TAG_PRINCIPAL]);
    entry->method = text_of(peer, &field[GB_TAG_METHOD]);
    entry->target = text_of(peer, &field[GB_TAG_TARGET]);
    entry->headers = text_of(peer, &field[GB_TAG_HEADERS]);
    entry->body = field[GB_TAG_BODY].at;
    entry->body_bytes = field[GB_TAG_BODY].bytes;
    entry->at = mgb_wall_us();
    if (gb_commit_is_safe(entry->method)) {
        return "a read as a write";
    }
    return digest_make(entry) ? NULL : "a write without a digest";
}

/* As the client wishes; limits are the log's to keep. */
static gb_commit_wish_t wish_read(const gb_wire_t *wire)
{
    gb_commit_wish_t wish = {.wait_us = -1};
    uint64_t value;

    if (gb_wire_number(wire, GB_TAG_WAIT, 8, &value) && value <= INT64_MAX) {
        wish.wait_us = (int64_t)value;
    }
    wish.async = gb_wire_number(wire, GB_TAG_ASYNC, 1, &value) && value == 1;
    return wish;
}

static mgb_log_t *log_of(const mgb_commit_t *commit, const gb_span_text_t *key)
{
    for (uint32_t i = 0; commit->journal && key->at && i < commit->log_count; i++) {
        mgb_log_t *log = commit->logs[i];

        if (log && strlen(mgb_log_balancer(log)->key) == key->bytes &&
            memcmp(mgb_log_balancer(log)->key, key->at, key->bytes) == 0) {
            return log;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ answering */

static void reply_plain(mgb_peer_t *peer, gb_wire_says_e says)
{
    gb_wire_t reply = {0};
    char retry[4];

    if (says == GB_SAYS_FULL) {
        gb_wire_set_number(&reply, GB_TAG_RETRY, retry, sizeof retry, RETRY_FULL_S);
    }
    mgb_peer_reply(peer, &reply, says);
}

static void add_text(gb_wire_t *reply, gb_wire_tag_e tag, const char *text)
{
    if (text && *text) {
        reply->field[tag] = gb_wire_span(text);
    }
}

static bool is_done(gb_commit_state_e state)
{
    return state == GB_COMMIT_MET || state == GB_COMMIT_EVERYWHERE ||
           state == GB_COMMIT_REJECTED || state == GB_COMMIT_FAILED;
}

/* For clients: without what the answerer has said to us. */
static const char *headers_of(const mgb_entry_t *entry)
{
    const char *end =
        entry->answer_headers && strncmp(entry->answer_headers, MGB_POLICY_LINE,
                                         strlen(MGB_POLICY_LINE)) == 0
            ? strchr(entry->answer_headers, '\n')
            : NULL;

    return end ? end + 1 : entry->answer_headers;
}

/* With the indicator, and of a write that is done its answer. */
static void reply_state(mgb_peer_t *peer, const mgb_entry_t *entry, gb_wire_says_e says)
{
    char field[GB_COMMIT_FIELD_BYTES], token[GB_COMMIT_TOKEN_BYTES], status[4];
    gb_wire_t reply = {0};
    gb_commit_mark_t mark;

    mgb_log_mark(peer->log, entry, &mark);
    if (gb_commit_print(field, sizeof field, &mark)) {
        add_text(&reply, GB_TAG_FIELD, field);
    }
    if ((mark.state == GB_COMMIT_MET || mark.state == GB_COMMIT_EVERYWHERE) &&
        gb_commit_print_token(token, sizeof token, mark.epoch, mark.seq)) {
        add_text(&reply, GB_TAG_TOKEN, token);
    }
    if (says == GB_SAYS_DONE && peer->wants_answer) {
        gb_wire_set_number(&reply, GB_TAG_STATUS, status, sizeof status,
                           (uint64_t)entry->status);
        add_text(&reply, GB_TAG_HEADERS, headers_of(entry));
        add_text(&reply, GB_TAG_SERVED_BY, entry->answered_by);
        if (entry->answer_body) {
            reply.field[GB_TAG_BODY] =
                (gb_span_text_t){entry->answer_body, entry->answer_bytes};
        }
    }
    mgb_peer_reply(peer, &reply, says);
}

/* Reads the peer's entry.  False: the peer is gone; its child comes again, in vain, and
 * says at last that it does not know. */
static bool entry_get(mgb_peer_t *peer, bool with_answer, mgb_entry_t *entry)
{
    apr_status_t rv = mgb_journal_get(peer->commit->journal, mgb_log_number(peer->log),
                                      peer->seq, with_answer, peer->pool, entry);

    if (rv == APR_SUCCESS) {
        return true;
    }
    if (rv == MGB_EXPIRED) {
        reply_plain(peer, GB_SAYS_EXPIRED);
    }
    else {
        mgb_peer_end(peer);
    }
    return false;
}

static void on_told(mgb_waiter_t *waiter, gb_wire_says_e says);

static void wait_begin(mgb_peer_t *peer, const gb_commit_wish_t *wish)
{
    memset(&peer->waiter, 0, sizeof(peer->waiter));
    peer->waiter.done = on_told;
    peer->waiting = true;
    mgb_log_wait(peer->log, peer->seq, wish,
                 &peer->waiter); /* it may be told at once */
}

static void on_again(void *baton, int64_t now_us)
{
    mgb_peer_t *peer = baton;
    gb_commit_wish_t wish = {.wait_us = peer->until_us - now_us};

    peer->again = 0;
    wish.wait_us = wish.wait_us > 0 ? wish.wait_us : 0;
    wait_begin(peer, &wish);
}

/* The log has something to say to it. */
static void on_told(mgb_waiter_t *waiter, gb_wire_says_e says)
{
    mgb_peer_t *peer = (mgb_peer_t *)waiter;
    int64_t now_us = mgb_now_us();
    mgb_entry_t entry;

    peer->waiting = false;
    if (waiter->seq) {
        peer->seq = waiter->seq;
    }
    if (says == GB_SAYS_LATE && now_us + AGAIN_US < peer->until_us) {
        peer->again =
            mgb_loop_timer(peer->commit->loop, now_us + AGAIN_US, on_again, peer);
        if (peer->again) {
            return;
        }
    }
    if (says != GB_SAYS_DONE && says != GB_SAYS_LATE) {
        reply_plain(peer, says);
        return;
    }
    if (entry_get(peer, says == GB_SAYS_DONE && peer->wants_answer, &entry)) {
        reply_state(peer, &entry, says);
    }
}

void mgb_peer_forget(mgb_peer_t *peer)
{
    if (peer->waiting) {
        peer->waiting = false;
        mgb_log_leave(peer->log, &peer->waiter);
    }
    if (peer->again) {
        mgb_loop_cancel(peer->commit->loop, peer->again);
        peer->again = 0;
    }
}

/* ------------------------------------------------------------------ SUBMIT */

static void submit_new(mgb_peer_t *peer, mgb_entry_t *entry,
                       const gb_commit_wish_t *wish)
{
    apr_status_t rv;

    if (entry->body_bytes >
        (uint64_t)mgb_log_balancer(peer->log)->conf->commit.body_most) {
        reply_plain(peer, GB_SAYS_TOO_BIG);
        return;
    }
    memset(&peer->waiter, 0, sizeof(peer->waiter));
    peer->waiter.done = on_told;
    peer->waiting = true;
    rv = mgb_log_submit(peer->log, entry, wish, &peer->waiter);
    if (rv != APR_SUCCESS) {
        peer->waiting = false;
        reply_plain(peer, GB_SAYS_FULL);
        return;
    }
    peer->seq = entry->seq;
    mgb_loop_break(peer->commit->loop); /* when all of this turn is read: the commit */
}

static void count_repeated(const mgb_peer_t *peer)
{
    const mgb_balancer_t *b = mgb_log_balancer(peer->log);

    if (b->index != GB_NO_INDEX) {
        __atomic_fetch_add(&peer->commit->shared->balancers[b->index].log.repeated, 1,
                           __ATOMIC_RELAXED);
    }
}

/* Its id is known: entry peer->seq. */
static void submit_known(mgb_peer_t *peer, const mgb_entry_t *entry,
                         const gb_commit_wish_t *wish)
{
    gb_commit_mark_t mark;
    mgb_entry_t there;

    if (!entry_get(peer, false, &there)) {
        return;
    }
    if (!mgb_libcrypto_same(there.digest, entry->digest)) {
        reply_plain(peer, GB_SAYS_OTHER);
        return;
    }
    if (there.nonce != entry->nonce) {
        if (there.state == GB_ENTRY_OPEN) {
            reply_state(peer, &there, GB_SAYS_BUSY);
            return;
        }
        count_repeated(peer);
    }
    mgb_log_mark(peer->log, &there, &mark);
    if (!is_done(mark.state)) {
        wait_begin(peer, wish);
    }
    else if (entry_get(peer, true, &there)) {
        reply_state(peer, &there, GB_SAYS_DONE);
    }
}

void mgb_peer_submit(mgb_peer_t *peer, const gb_wire_t *wire)
{
    gb_commit_wish_t wish = wish_read(wire);
    mgb_entry_t entry;
    const char *wrong = entry_read(peer, wire, &entry);

    peer->until_us = 0;
    peer->seq = 0;
    peer->wants_answer = true;
    if (wrong) {
        mgb_peer_refuse(peer, wrong);
        return;
    }
    peer->log = log_of(peer->commit, &wire->field[GB_TAG_LOG]);
    if (!peer->log) {
        reply_plain(peer, GB_SAYS_FULL);
        return;
    }
    switch (mgb_journal_find(peer->commit->journal, mgb_log_number(peer->log), entry.id,
                             entry.principal, &peer->seq)) {
    case APR_SUCCESS:
        submit_known(peer, &entry, &wish);
        break;
    case APR_NOTFOUND:
        submit_new(peer, &entry, &wish);
        break;
    case MGB_EXPIRED:
        reply_plain(peer, GB_SAYS_EXPIRED);
        break;
    default:
        reply_plain(peer, GB_SAYS_FULL);
        break;
    }
}

/* ------------------------------------------------------------------ ASK */

/* The entry is there: peer->seq. */
static void ask_known(mgb_peer_t *peer, int64_t wait_us)
{
    const gb_commit_wish_t wish = {.wait_us = wait_us};
    gb_commit_mark_t mark;
    mgb_entry_t entry;

    if (!entry_get(peer, false, &entry)) {
        return;
    }
    mgb_log_mark(peer->log, &entry, &mark);
    if (!is_done(mark.state) && wait_us > 0) {
        wait_begin(peer, &wish);
        return;
    }
    if (is_done(mark.state) && peer->wants_answer && !entry_get(peer, true, &entry)) {
        return;
    }
    reply_state(peer, &entry, is_done(mark.state) ? GB_SAYS_DONE : GB_SAYS_LATE);
}

void mgb_peer_ask(mgb_peer_t *peer, const gb_wire_t *wire)
{
    const gb_span_text_t *field = wire->field;
    int64_t wait_us = wish_read(wire).wait_us;
    uint64_t result;

    if (!is_id(&field[GB_TAG_ID]) ||
        !gb_wire_is_text(field[GB_TAG_PRINCIPAL], ' ', GB_WIRE_PRINCIPAL_MOST)) {
        mgb_peer_refuse(peer, "a question about nothing");
        return;
    }
    wait_us = wait_us < GB_US_PER_S * 60 ? wait_us : GB_US_PER_S * 60;
    peer->until_us = mgb_now_us() + (wait_us > 0 ? wait_us : 0);
    peer->wants_answer = gb_wire_number(wire, GB_TAG_RESULT, 1, &result) && result == 1;
    peer->log = log_of(peer->commit, &field[GB_TAG_LOG]);
    if (!peer->log) {
        reply_plain(peer, GB_SAYS_FULL);
        return;
    }
    switch (mgb_journal_find(peer->commit->journal, mgb_log_number(peer->log),
                             text_of(peer, &field[GB_TAG_ID]),
                             text_of(peer, &field[GB_TAG_PRINCIPAL]), &peer->seq)) {
    case APR_SUCCESS:
        ask_known(peer, wait_us);
        break;
    case APR_NOTFOUND:
        reply_plain(peer, GB_SAYS_NOBODY);
        break;
    case MGB_EXPIRED:
        reply_plain(peer, GB_SAYS_EXPIRED);
        break;
    default:
        reply_plain(peer, GB_SAYS_FULL);
        break;
    }
}
