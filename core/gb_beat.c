/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_beat.c - heartbeats and answers: strict reader, writer, replay window.
 */
#include "gb_beat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEAT_TITLE   "green-beat 1\n"
#define ANSWER_TITLE "green-answer 1\n"
#define MAC_NAME     "mac="
#define NONE         "none"

static const char *const order_names[] = {
    [GB_BEAT_ORDER_NONE] = NONE, [GB_BEAT_ORDER_OFF] = "off"};

/* ---------------------------------------------------------------- reading */

typedef struct cursor_t {
    const char *text;
    size_t bytes, at;
    const char *value; /* of the latest line */
    size_t length;
} cursor_t;

static bool take_literal(cursor_t *c, const char *literal)
{
    size_t length = strlen(literal);

    if (c->bytes - c->at < length || memcmp(c->text + c->at, literal, length) != 0) {
        return false;
    }
    c->at += length;
    return true;
}

/* The next line has to be NAME=VALUE: leaves the value in the cursor. */
static bool take_value(cursor_t *c, const char *name)
{
    const char *end;

    if (!take_literal(c, name) || !take_literal(c, "=")) {
        return false;
    }
    end = memchr(c->text + c->at, '\n', c->bytes - c->at);
    if (!end) {
        return false;
    }
    c->value = c->text + c->at;
    c->length = (size_t)(end - c->value);
    c->at += c->length + 1;
    return true;
}

static bool is_word(const cursor_t *c, const char *word)
{
    return c->length == strlen(word) && memcmp(c->value, word, c->length) == 0;
}

/* Printable ASCII, from `least` to '~'. */
static bool take_text(cursor_t *c, const char *name, char least, char *out, size_t room)
{
    if (!take_value(c, name) || c->length >= room) {
        return false;
    }
    for (size_t i = 0; i < c->length; i++) {
        if (c->value[i] < least || c->value[i] > '~') {
            return false;
        }
    }
    memcpy(out, c->value, c->length);
    out[c->length] = '\0';
    return true;
}

/* Decimal digits without a leading zero, at most `most`. */
static bool read_number(const cursor_t *c, uint64_t most, uint64_t *number)
{
    uint64_t sum = 0;

    if (c->length == 0 || (c->length > 1 && c->value[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < c->length; i++) {
        unsigned digit = (unsigned)(c->value[i] - '0');

        if (digit > 9 || digit > most || sum > (most - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

static bool take_number(cursor_t *c, const char *name, uint64_t most, uint64_t *number)
{
    return take_value(c, name) && read_number(c, most, number);
}

static bool take_number32(cursor_t *c, const char *name, uint32_t most,
                          uint32_t *number)
{
    uint64_t wide;

    if (!take_number(c, name, most, &wide)) {
        return false;
    }
    *number = (uint32_t)wide;
    return true;
}

static bool take_bool(cursor_t *c, const char *name, bool *is)
{
    uint64_t number;

    if (!take_number(c, name, 1, &number)) {
        return false;
    }
    *is = number != 0;
    return true;
}

static int nibble_of(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool take_hex(cursor_t *c, const char *name, uint8_t *out, size_t bytes)
{
    if (!take_value(c, name) || c->length != 2 * bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        int high = nibble_of(c->value[2 * i]), low = nibble_of(c->value[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static bool take_session(cursor_t *c, uint64_t *session)
{
    uint8_t bytes[8];

    if (!take_hex(c, "session", bytes, sizeof bytes)) {
        return false;
    }
    *session = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        *session = *session << 8 | bytes[i];
    }
    return *session != 0;
}

/* Whose it is: the same lines in both texts. */
static const char *read_head(cursor_t *c, char server[GB_NAME_BYTES], uint64_t *session,
                             uint64_t *seq, uint8_t nonce[GB_BEAT_NONCE_BYTES])
{
    if (!take_text(c, "server", '!', server, GB_NAME_BYTES) || !server[0]) {
        return "server= has to be the URL of a BalancerMember";
    }
    if (!take_session(c, session)) {
        return "session= has to be 16 hex digits, not all 0";
    }
    if (!take_number(c, "seq", UINT64_MAX, seq) || *seq == 0) {
        return "seq= has to be a number from 1 up";
    }
    if (!take_hex(c, "nonce", nonce, GB_BEAT_NONCE_BYTES)) {
        return "nonce= has to be 32 hex digits";
    }
    return NULL;
}

static bool take_watts(cursor_t *c, gb_beat_t *beat)
{
    uint64_t number = 0;

    if (!take_value(c, "watts")) {
        return false;
    }
    beat->has_watts = !is_word(c, NONE);
    if (beat->has_watts && !read_number(c, GB_BEAT_MILLIWATTS_MOST, &number)) {
        return false;
    }
    beat->milliwatts = (uint32_t)number;
    return true;
}

static const char *read_beat(cursor_t *c, gb_beat_t *beat)
{
    const char *error;

    if (!take_literal(c, BEAT_TITLE)) {
        return "no heartbeat of this version";
    }
    error = read_head(c, beat->server, &beat->session, &beat->seq, beat->nonce);
    if (error) {
        return error;
    }
    if (!take_number32(c, "load", GB_BEAT_LOAD_MOST, &beat->load_permille)) {
        return "load= has to be 0 to 1000000 permille";
    }
    if (!take_number32(c, "work", UINT32_MAX, &beat->work)) {
        return "work= has to be a number of 32 bits";
    }
    if (!take_bool(c, "veto", &beat->veto)) {
        return "veto= has to be 0 or 1";
    }
    if (!take_text(c, "reason", ' ', beat->reason, sizeof beat->reason) ||
        (!beat->veto && beat->reason[0])) {
        return "reason= has to be short printable text, and empty without a veto";
    }
    if (!take_watts(c, beat)) {
        return "watts= has to be milliwatts, or none";
    }
    return take_bool(c, "going", &beat->going) ? NULL : "going= has to be 0 or 1";
}

static bool take_order(cursor_t *c, gb_beat_order_e *order)
{
    if (!take_value(c, "order")) {
        return false;
    }
    *order = is_word(c, order_names[GB_BEAT_ORDER_OFF]) ? GB_BEAT_ORDER_OFF
                                                        : GB_BEAT_ORDER_NONE;
    return is_word(c, order_names[*order]);
}

static const char *read_answer(cursor_t *c, gb_answer_t *answer)
{
    const char *error;

    if (!take_literal(c, ANSWER_TITLE)) {
        return "no answer to a heartbeat of this version";
    }
    error = read_head(c, answer->server, &answer->session, &answer->seq, answer->nonce);
    if (error) {
        return error;
    }
    if (!take_bool(c, "believed", &answer->believed)) {
        return "believed= has to be 0 or 1";
    }
    if (!take_order(c, &answer->order) || (answer->order && !answer->believed)) {
        return "order= has to be none or off, and off only when believed";
    }
    if (!take_number32(c, "next", GB_BEAT_NEXT_MOST_MS, &answer->next_ms) ||
        answer->next_ms < GB_BEAT_NEXT_LEAST_MS) {
        return "next= has to be 100 to 3600000 milliseconds";
    }
    return NULL;
}

static const char *read_mac(cursor_t *c, size_t *signed_bytes,
                            uint8_t mac[GB_BEAT_MAC_BYTES])
{
    *signed_bytes = c->at;
    if (!take_hex(c, "mac", mac, GB_BEAT_MAC_BYTES)) {
        return "mac= has to be 64 hex digits";
    }
    return c->at == c->bytes ? NULL : "there is something behind the last line";
}

const char *gb_beat_read(gb_beat_t *beat, size_t *signed_bytes,
                         uint8_t mac[GB_BEAT_MAC_BYTES], const char *text, size_t bytes)
{
    cursor_t c = {.text = text, .bytes = bytes};
    const char *error;

    memset(beat, 0, sizeof(*beat));
    if (bytes >= GB_BEAT_BYTES) {
        return "too long for a heartbeat";
    }
    error = read_beat(&c, beat);
    return error ? error : read_mac(&c, signed_bytes, mac);
}

const char *gb_beat_read_answer(gb_answer_t *answer, size_t *signed_bytes,
                                uint8_t mac[GB_BEAT_MAC_BYTES], const char *text,
                                size_t bytes)
{
    cursor_t c = {.text = text, .bytes = bytes};
    const char *error;

    memset(answer, 0, sizeof(*answer));
    if (bytes >= GB_BEAT_BYTES) {
        return "too long for an answer";
    }
    error = read_answer(&c, answer);
    return error ? error : read_mac(&c, signed_bytes, mac);
}

/* ---------------------------------------------------------------- writing */

static void write_hex(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

size_t gb_beat_write(const gb_beat_t *beat, char *out, size_t room)
{
    char nonce[2 * GB_BEAT_NONCE_BYTES + 1], watts[16] = NONE;
    gb_beat_t again;
    cursor_t c = {.text = out};
    int length;

    write_hex(nonce, beat->nonce, sizeof beat->nonce);
    if (beat->has_watts) {
        snprintf(watts, sizeof watts, "%" PRIu32, beat->milliwatts);
    }
    length =
        snprintf(out, room,
                 BEAT_TITLE "server=%s\nsession=%016" PRIx64 "\nseq=%" PRIu64
                            "\nnonce=%s\nload=%" PRIu32 "\nwork=%" PRIu32
                            "\nveto=%d\nreason=%s\nwatts=%s\ngoing=%d\n",
                 beat->server, beat->session, beat->seq, nonce, beat->load_permille,
                 beat->work, beat->veto, beat->reason, watts, beat->going);
    if (length <= 0 || (size_t)length >= room) {
        return 0;
    }
    /* A line end within a text would read as another field: what is read back tells. */
    c.bytes = (size_t)length;
    memset(&again, 0, sizeof again);
    return read_beat(&c, &again) || c.at != c.bytes ? 0 : c.bytes;
}

size_t gb_beat_write_answer(const gb_answer_t *answer, char *out, size_t room)
{
    char nonce[2 * GB_BEAT_NONCE_BYTES + 1];
    gb_answer_t again;
    cursor_t c = {.text = out};
    int length;

    write_hex(nonce, answer->nonce, sizeof answer->nonce);
    length =
        snprintf(out, room,
                 ANSWER_TITLE "server=%s\nsession=%016" PRIx64 "\nseq=%" PRIu64
                              "\nnonce=%s\nbelieved=%d\norder=%s\nnext=%" PRIu32 "\n",
                 answer->server, answer->session, answer->seq, nonce, answer->believed,
                 order_names[answer->order == GB_BEAT_ORDER_OFF], answer->next_ms);
    if (length <= 0 || (size_t)length >= room) {
        return 0;
    }
    c.bytes = (size_t)length;
    memset(&again, 0, sizeof again);
    return read_answer(&c, &again) || c.at != c.bytes ? 0 : c.bytes;
}

size_t gb_beat_seal(char *out, size_t room, size_t bytes,
                    const uint8_t mac[GB_BEAT_MAC_BYTES])
{
    const size_t name = sizeof MAC_NAME - 1, digits = 2 * (size_t)GB_BEAT_MAC_BYTES;

    if (room < bytes || room - bytes < name + digits + 2) {
        return 0;
    }
    memcpy(out + bytes, MAC_NAME, name);
    write_hex(out + bytes + name, mac, GB_BEAT_MAC_BYTES);
    memcpy(out + bytes + name + digits, "\n", 2);
    return bytes + name + digits + 1;
}

/* ---------------------------------------------------------------- the window */

/* All zeros is what an agent says that has no nonce, and equals none. */
static bool same_nonce(const uint8_t *a, const uint8_t *b)
{
    static const uint8_t zeros[GB_BEAT_NONCE_BYTES];

    return memcmp(a, b, GB_BEAT_NONCE_BYTES) == 0 &&
           memcmp(a, zeros, GB_BEAT_NONCE_BYTES) != 0;
}

void gb_beat_window_renew(gb_beat_window_t *window,
                          const uint8_t nonce[GB_BEAT_NONCE_BYTES])
{
    memcpy(window->former, window->nonce, sizeof window->former);
    memcpy(window->nonce, nonce, sizeof window->nonce);
}

static bool is_retired(const gb_beat_window_t *window, uint64_t session)
{
    for (uint32_t i = 0; i < GB_BEAT_RETIRED; i++) {
        if (window->retired[i] == session) {
            return true;
        }
    }
    return false;
}

static void begin_session(gb_beat_window_t *window, uint64_t session)
{
    if (window->session) {
        window->retired[window->retired_next++ % GB_BEAT_RETIRED] = window->session;
    }
    window->session = session;
}

gb_beat_verdict_e gb_beat_window_judge(gb_beat_window_t *window, const gb_beat_t *beat,
                                       bool *is_fresh)
{
    bool latest = same_nonce(beat->nonce, window->nonce);

    if (is_fresh) {
        *is_fresh = latest;
    }
    if (is_retired(window, beat->session)) {
        return GB_BEAT_REPLACED;
    }
    if (beat->session == window->session) {
        if (beat->seq <= window->seq) {
            return GB_BEAT_REPLAYED;
        }
        if (!latest && !same_nonce(beat->nonce, window->former)) {
            return GB_BEAT_CHALLENGED;
        }
    }
    else if (!latest) {
        return GB_BEAT_CHALLENGED;
    }
    else {
        begin_session(window, beat->session);
    }
    window->seq = beat->seq;
    return GB_BEAT_BELIEVED;
}
