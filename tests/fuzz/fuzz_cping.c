/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_cping.c - hostile answers to a CPING (libFuzzer's entry point).
 *
 * Beside "reads nothing beyond the answer" (the sanitizer's part) it holds the checker
 * to its contract: it never takes back GOOD or BAD by looking at fewer bytes, and only
 * one answer of one length is GOOD.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_cping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char good[] = {'A', 'B', 0, 1, 9};
    bool bad = false;

    for (size_t length = 0; length <= size && length <= 64; length++) {
        unsigned char *exact = malloc(length ? length : 1);
        gb_cpong_e found;

        if (!exact) {
            return 0;
        }
        if (length) {
            memcpy(exact, data, length);
        }
        found = gb_cping_check(exact, length);
        free(exact);
        if (bad && found != GB_CPONG_BAD) {
            abort();
        }
        bad = found == GB_CPONG_BAD;
        if ((found == GB_CPONG_GOOD) !=
            (length == sizeof(good) && !memcmp(data, good, sizeof(good)))) {
            abort();
        }
    }
    return 0;
}
