/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_reply.c - hostile answers to a health check (libFuzzer's entry point).
 *
 * However an answer is cut into pieces, the verdict, the status and the byte at which
 * it falls are the same; and no answer keeps the reader busy beyond its bounds.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/gb_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gb_reply_t whole, pieces;
    gb_reply_e found = GB_REPLY_MORE, last;
    size_t step = size > 0 ? data[0] % 7 + 1u : 1;

    gb_reply_init(&whole);
    gb_reply_init(&pieces);
    last = gb_reply_take(&whole, data, size);
    for (size_t at = 0; at < size; at += step) {
        size_t length = size - at < step ? size - at : step;
        gb_reply_e next = gb_reply_take(&pieces, data + at, length);

        if (found != GB_REPLY_MORE && next != found) {
            abort(); /* verdicts are final */
        }
        found = next;
    }
    if (found != last || pieces.status != whole.status) {
        abort();
    }
    if ((last == GB_REPLY_BAD) != (whole.why != NULL)) {
        abort();
    }
    if (last == GB_REPLY_WHOLE && (whole.status < 101 || whole.status > 999)) {
        abort();
    }
    if (last == GB_REPLY_MORE &&
        size > 4u * (GB_REPLY_HEAD_MOST + GB_REPLY_BODY_MOST)) {
        abort();
    }
    if (gb_reply_close(&whole) == GB_REPLY_MORE) {
        abort();
    }
    return 0;
}
