/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_commit.c - every reader of gb_commit_read.c with any input: no byte behind it is
 * looked at, nothing is wished on refusal, what is read is within its bounds, leads to
 * terms that are possible, and is printed so that it is read back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_commit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const gb_commit_conf_t conf = {.on = true,
                                      .quorum = 2,
                                      .wait_us = 300 * GB_US_PER_MS,
                                      .late_status = 202,
                                      .quorum_least = 2,
                                      .quorum_most = 4,
                                      .wait_least_us = 1,
                                      .wait_most_us = 2 * GB_US_PER_S};

static void try_terms(const gb_commit_wish_t *wish)
{
    gb_commit_terms_t application = gb_commit_terms(&conf, wish, false, 5);
    gb_commit_terms_t client = gb_commit_terms(&conf, wish, true, 5);

    require(application.need >= 2 && application.need <= 4 && client.need == 2);
    require(application.wait_us >= 1 && application.wait_us <= conf.wait_most_us);
    require(client.wait_us >= 0 && client.wait_us <= conf.wait_most_us);
}

static void try_policy(const char *text, size_t bytes)
{
    gb_commit_wish_t wish = {7, 7, true};

    if (!gb_commit_read_policy(text, bytes, &wish)) {
        require(wish.quorum == 0 && wish.wait_us == -1);
    }
    require(!wish.async && wish.wait_us >= -1);
    require(!memchr(text, '\0', bytes) || wish.quorum == 0);
    try_terms(&wish);
}

static void try_prefer(const char *text, size_t bytes)
{
    gb_commit_wish_t wish = {7, 7, true};

    gb_commit_read_prefer(text, bytes, &wish);
    require(wish.quorum == 0 && wish.wait_us >= -1);
    require(wish.wait_us <= INT32_MAX * GB_US_PER_S);
    try_terms(&wish);
}

static void try_key(const char *text, size_t bytes)
{
    gb_commit_mark_t mark = {.state = GB_COMMIT_OPEN, .nines = -1};
    char field[GB_COMMIT_FIELD_BYTES], again[GB_COMMIT_ID_BYTES], *end;

    if (!gb_commit_read_key(text, bytes, mark.id)) {
        require(mark.id[0] == '\0');
        return;
    }
    require(strlen(mark.id) >= 1 && strlen(mark.id) < sizeof(mark.id));
    for (const char *at = mark.id; *at; at++) {
        require(*at > ' ' && *at <= '~');
    }
    require(gb_commit_print(field, sizeof(field), &mark) > 0);
    end = strstr(field, "\", state=open");
    require(end && gb_commit_read_key(field + 3, (size_t)(end - field) - 2, again));
    require(strcmp(again, mark.id) == 0);
}

static void try_token(const char *text, size_t bytes)
{
    char again[GB_COMMIT_TOKEN_BYTES];
    uint64_t epoch = 7, seq = 7;

    if (!gb_commit_read_token(text, bytes, &epoch, &seq)) {
        require(epoch == 7 && seq == 7);
        return;
    }
    require(gb_commit_print_token(again, sizeof(again), epoch, seq) == bytes);
    require(memcmp(again, text, bytes) == 0);
}

/* Not of text: numbers as they come from configurations and clocks. */
static void try_nines(const uint8_t *data, size_t size)
{
    gb_commit_copy_t copies[GB_COMMIT_REPLICAS];
    size_t count = size / sizeof(copies[0]);
    double nines;

    count = count < GB_COMMIT_REPLICAS ? count : GB_COMMIT_REPLICAS;
    if (count > 0) {
        memcpy(copies, data, count * sizeof(copies[0]));
    }
    nines = gb_commit_nines(copies, count, count ? copies[0].mttf_us / 2 : 0);
    require(nines <= GB_COMMIT_NINES_MOST && (nines >= 0 || count == 0 || nines == -1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* no NUL behind it */

    if (!text) {
        return 0;
    }
    if (size) {
        memcpy(text, data, size);
    }
    try_policy(text, size);
    try_prefer(text, size);
    try_key(text, size);
    try_token(text, size);
    try_nines(data, size);
    free(text);
    return 0;
}
