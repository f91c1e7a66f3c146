/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_checkpoint.c - a checkpoint file may hold anything.
 */
#include "core/gb_checkpoint.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksum would keep the fuzzer out: it is made right before a second look. */
static void seal(uint8_t *bytes, size_t size)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i + 8 < size; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    for (unsigned i = 0; i < 8; i++) {
        bytes[size - 8 + i] = (uint8_t)(sum >> (8 * i));
    }
}

static void look(const uint8_t *bytes, size_t size)
{
    uint32_t count = 0;
    bool paused;

    if (gb_checkpoint_check(bytes, size, &count, &paused) != GB_CHECKPOINT_OK) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        gb_saved_t saved;
        gb_machine_t machine;

        gb_checkpoint_read(bytes, i, INT64_MAX / 2, INT64_C(1) << 50, &saved);
        gb_state_init(&machine, GB_US_PER_S, INT64_C(1) << 50);
        gb_checkpoint_claim(&saved, &machine, INT64_C(1) << 50);
        if (machine.state >= GB_ST_COUNT || machine.state == GB_ST_ON) {
            __builtin_trap();
        }
    }
    count = gb_checkpoint_news_count(bytes, size);
    for (uint32_t i = 0; i < count && i < 4; i++) {
        char key[GB_CHECKPOINT_KEY_BYTES];
        static gb_news_t news;

        if (gb_checkpoint_read_news(bytes, size, i, key, &news) &&
            (!key[0] || !gb_news_sane(&news.learned))) {
            __builtin_trap();
        }
        if (!memchr(key, 0, sizeof key)) {
            __builtin_trap();
        }
    }
}

/* A file of one record in which nothing but its contents can be wrong. */
static void look_into(const uint8_t *data, size_t size, uint8_t version, size_t wanted)
{
    static uint8_t file[8192];

    if (wanted > sizeof(file)) {
        __builtin_trap();
    }
    memset(file, 0, sizeof(file));
    memcpy(file, "GBCP\0\0\0\0\1\0\0", 12);
    file[4] = version;
    if (size > wanted - 12) {
        size = wanted - 12;
    }
    memcpy(file + 12, data, size);
    seal(file, wanted);
    look(file, wanted);
}

/* No machine, and one block in which nothing but its contents can be wrong. */
static void look_into_block(const uint8_t *data, size_t size)
{
    static uint8_t file[16384];
    size_t machines = gb_checkpoint_bytes(0), block = gb_checkpoint_news_bytes();

    if (machines + block > sizeof(file)) {
        __builtin_trap();
    }
    (void)gb_checkpoint_write(file, 0, false, 1, 1, NULL, NULL);
    memset(file + machines, 0, block);
    memcpy(file + machines, data, size < block ? size : block);
    seal(file + machines, block);
    look(file, machines + block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t wanted = gb_checkpoint_bytes(1);

    look(data, size);
    look_into(data, size, 3, wanted);
    look_into(data, size, 2, wanted);
    /* Version 1 had no histogram of boot times. */
    look_into(data, size, 1, wanted - 8 - 4 * GB_BOOT_BUCKETS);
    look_into_block(data, size);
    return 0;
}
