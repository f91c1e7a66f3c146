/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_sim_model.c - hostile models of fleets (libFuzzer's entry point).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/greensim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const gs_server_t *server)
{
    if (!server->name[0] || !memchr(server->name, 0, sizeof server->name) ||
        server->capacity < 1 || !(server->setup_s >= 0) ||
        !(server->setup_p95_s >= server->setup_s) || !(server->curve.off_watts >= 0)) {
        abort();
    }
    for (int i = 0; i < 11; i++) {
        if (!(server->curve.watts[i] >= 0 && server->curve.watts[i] <= 100000)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gs_server_t *servers;
    uint32_t count = 0;
    gs_error_t error = {""};

    if (gs_model_parse("fuzz", (const char *)data, size, &servers, &count, &error)) {
        if (count < 1 || count > GS_SERVERS_MOST) {
            abort();
        }
        for (uint32_t i = 0; i < count; i++) {
            check(&servers[i]);
        }
    }
    else if (!error.text[0] || servers) {
        abort();
    }
    free(servers);
    return 0;
}
