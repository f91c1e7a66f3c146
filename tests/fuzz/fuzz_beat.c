/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_beat.c - hostile heartbeats and answers (libFuzzer's entry point).
 *
 * What is accepted is what the writer writes, byte for byte: there is one spelling, so
 * that a signature is about one meaning.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_beat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const char *text, size_t bytes, char *again, size_t written,
                 size_t signed_bytes, const uint8_t mac[GB_BEAT_MAC_BYTES])
{
    if (written != signed_bytes ||
        gb_beat_seal(again, GB_BEAT_BYTES, written, mac) != bytes ||
        memcmp(again, text, bytes) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char again[GB_BEAT_BYTES];
    size_t signed_bytes;
    gb_answer_t answer;
    gb_beat_t beat;
    char *text = malloc(size ? size : 1);

    if (!text) {
        return 0;
    }
    if (size) {
        memcpy(text, data, size);
    }
    if (!gb_beat_read(&beat, &signed_bytes, mac, text, size)) {
        gb_beat_window_t window = {.nonce = {1}};

        same(text, size, again, gb_beat_write(&beat, again, sizeof again), signed_bytes,
             mac);
        if (gb_beat_window_judge(&window, &beat, NULL) == GB_BEAT_BELIEVED &&
            gb_beat_window_judge(&window, &beat, NULL) != GB_BEAT_REPLAYED) {
            abort();
        }
    }
    if (!gb_beat_read_answer(&answer, &signed_bytes, mac, text, size)) {
        same(text, size, again, gb_beat_write_answer(&answer, again, sizeof again),
             signed_bytes, mac);
    }
    free(text);
    return 0;
}
