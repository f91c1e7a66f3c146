/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_redfish.c - a hostile Redfish service (libFuzzer's entry point).
 *
 * The input is an operation and the answers to its questions, each "STATUS ETAG\n
 * LOCATION\n BODY\0".  Beside "reads nothing beyond the answer" (the sanitizer's part):
 * every run ends, what is asked for stays on the service and is one line, an order is
 * given once only unless the service asked for its tag, and never a hard one that was
 * not wanted; texts are printable.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_redfish.h"

#define STEPS_MOST 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *text, size_t room)
{
    size_t length = strnlen(text, room);

    if (length == room) {
        abort();
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            abort();
        }
    }
}

/* Takes the next line or answer off the input, as memory of its own. */
static char *cut(const uint8_t **data, size_t *size, char at, size_t *length)
{
    const uint8_t *end = *size ? memchr(*data, at, *size) : NULL;
    char *copy;

    *length = end ? (size_t)(end - *data) : *size;
    copy = malloc(*length + 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, *data, *length);
    copy[*length] = '\0';
    *data += *length + (end != NULL);
    *size -= *length + (end != NULL);
    return copy;
}

static void check_ask(const gb_redfish_run_t *run)
{
    check_line(run->ask.path, sizeof run->ask.path);
    check_line(run->ask.body, sizeof run->ask.body);
    check_line(run->ask.if_match, sizeof run->ask.if_match);
    if (run->ask.path[0] != '/' || run->ask.path[1] == '/' ||
        run->ask.post != (run->ask.body[0] != '\0') ||
        (run->ask.post && run->op != GB_REDFISH_CUT &&
         strstr(run->ask.body, "ForceOff")) ||
        (run->ask.post &&
         (run->op == GB_REDFISH_STATUS || run->op == GB_REDFISH_WATTS))) {
        abort();
    }
}

static gb_redfish_next_e answer_one(gb_redfish_run_t *run, gb_redfish_place_t *place,
                                    const uint8_t **data, size_t *size)
{
    static const uint32_t codes[] = {200, 201, 202, 204, 302, 307, 308, 400,
                                     403, 404, 409, 412, 428, 500, 503, 0};
    size_t etag_bytes, location_bytes, bytes;
    char *etag = cut(data, size, '\n', &etag_bytes);
    char *location = cut(data, size, '\n', &location_bytes);
    char *text = cut(data, size, '\0', &bytes);
    /* Without the NUL, so that the sanitizer sees its end. */
    char *body = malloc(bytes ? bytes : 1);
    char session[GB_REDFISH_PATH_BYTES];
    gb_redfish_answer_t answer = {
        .status = codes[etag_bytes ? (unsigned char)etag[0] % 16 : 0],
        .why = "why",
        .body = bytes ? body : NULL,
        .bytes = bytes,
        .etag = etag_bytes > 1 ? etag + 1 : NULL,
        .location = location_bytes ? location : NULL};
    gb_redfish_next_e next;

    if (!body) {
        abort();
    }
    memcpy(body, text, bytes);
    (void)gb_redfish_sessions(place->origin, &answer, session);
    (void)gb_redfish_session(place->origin, &answer, session);
    next = gb_redfish_take(run, place, &answer);
    free(etag);
    free(location);
    free(text);
    free(body);
    return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_redfish_next_e next = GB_REDFISH_ASK;
    gb_redfish_place_t place;
    gb_redfish_run_t run;
    gb_value_t value;
    int posts = 0, steps = 0;

    if (size && gb_value_read((const char *)data, size, &value)) {
        double number;
        char text[16];

        (void)gb_value_number(value, &number);
        (void)gb_value_text(value, text, sizeof text);
        (void)gb_value_element(value, gb_value_count(value));
    }
    if (size < 1) {
        return 0;
    }
    gb_redfish_place(&place,
                     data[0] & 8 ? "https://bmc" : "https://bmc/redfish/v1/Systems/1");
    gb_redfish_begin(&run, &place, (gb_redfish_op_e)(data[0] % 8 % 5));
    data++;
    size--;
    while (next != GB_REDFISH_DONE) {
        check_ask(&run);
        posts += run.ask.post;
        if (++steps > STEPS_MOST || posts > 12) {
            abort();
        }
        next = answer_one(&run, &place, &data, &size);
    }
    check_line(run.text, sizeof run.text);
    if ((unsigned)run.result > GB_LADDER_REFUSED || !(run.watts >= 0) ||
        run.watts > GB_WATTS_MOST) {
        abort();
    }
    return 0;
}
