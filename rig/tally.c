/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator's records. */
#include "tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const OUTCOME_NAMES[OUTCOME_COUNT] = {
    [OUTCOME_NONE] = "none",       [OUTCOME_CONNECT] = "connect",
    [OUTCOME_TIMEOUT] = "timeout", [OUTCOME_RESET] = "reset",
    [OUTCOME_SHORT] = "short",     [OUTCOME_BAD] = "bad",
    [OUTCOME_WRONG] = "wrong"};

static void note(latencies_t *latencies, int64_t us)
{
    if (latencies->count == latencies->room) {
        size_t room = latencies->room ? latencies->room * 2 : 4096;
        uint32_t *grown = realloc(latencies->us, room * sizeof *grown);

        if (!grown) {
            perror("tally");
            exit(1);
        }
        latencies->us = grown;
        latencies->room = room;
    }
    latencies->us[latencies->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void sort(latencies_t *latencies)
{
    if (latencies->count) {
        qsort(latencies->us, latencies->count, sizeof *latencies->us, compare);
    }
}

/* Of sorted latencies, by the nearest rank; 0 of none. */
static double percentile_ms(const latencies_t *latencies, double part)
{
    size_t rank;

    if (!latencies->count) {
        return 0;
    }
    rank = (size_t)(part * (double)latencies->count);
    if (rank >= latencies->count) {
        rank = latencies->count - 1;
    }
    return latencies->us[rank] / 1e3;
}

size_t tally_server(tally_t *tally, const char *name)
{
    char *place;

    for (size_t i = 0; i < tally->server_count; i++) {
        if (strcmp(tally->servers[i], name) == 0) {
            return i;
        }
    }
    if (tally->server_count == TALLY_SERVERS) {
        return TALLY_SERVERS - 1;
    }
    place = tally->servers[tally->server_count];
    snprintf(place, TALLY_NAME_BYTES, "%s", name);
    /* The name comes from the network and goes into CSV and JSON as it is. */
    for (; *place; place++) {
        if (*place < ' ' || strchr("\",\\", *place)) {
            *place = '_';
        }
    }
    return tally->server_count++;
}

void tally_start(tally_t *tally)
{
    tally->requests++;
    tally->recent_started++;
}

void tally_end(tally_t *tally, double start_s, int64_t latency_us, int status,
               size_t server, outcome_t outcome, bool later)
{
    later = later && outcome == OUTCOME_NONE;
    tally->outcomes[outcome]++;
    tally->later += later;
    if (outcome == OUTCOME_NONE) {
        tally->by_status[status]++;
        tally->served[server]++;
        tally->ok += status < 400;
        note(&tally->latencies, latency_us);
        note(&tally->recent, latency_us);
    }
    if (tally->csv) {
        fprintf(tally->csv, "%.6f,%" PRId64 ",%d,%s,%s,%d\n", start_s, latency_us,
                status, tally->server_count ? tally->servers[server] : "",
                OUTCOME_NAMES[outcome], later);
    }
}

static uint64_t ended(const tally_t *tally)
{
    uint64_t sum = 0;

    for (int i = 0; i < OUTCOME_COUNT; i++) {
        sum += tally->outcomes[i];
    }
    return sum;
}

void tally_live(tally_t *tally, double t_s, double elapsed_s)
{
    uint64_t done = ended(tally);

    if (tally->live) {
        sort(&tally->recent);
        fprintf(tally->live,
                "{\"t\": %.3f, \"rate\": %.1f, \"done\": %" PRIu64
                ", \"failed\": %" PRIu64 ", \"later\": %" PRIu64
                ", \"p99_ms\": %.3f}\n",
                t_s, (double)tally->recent_started / elapsed_s, done, done - tally->ok,
                tally->later, percentile_ms(&tally->recent, 0.99));
        fflush(tally->live);
    }
    tally->recent.count = 0;
    tally->recent_started = 0;
}

static void print_statuses(const tally_t *tally, FILE *output)
{
    const char *comma = "";

    for (int status = 0; status < TALLY_STATUS_END; status++) {
        if (tally->by_status[status]) {
            fprintf(output, "%s\"%d\": %" PRIu64, comma, status,
                    tally->by_status[status]);
            comma = ", ";
        }
    }
}

static void print_servers(const tally_t *tally, FILE *output)
{
    const char *comma = "";

    for (size_t i = 0; i < tally->server_count; i++) {
        if (tally->served[i]) {
            fprintf(output, "%s\"%s\": %" PRIu64, comma, tally->servers[i],
                    tally->served[i]);
            comma = ", ";
        }
    }
}

static void print_errors(const tally_t *tally, FILE *output)
{
    const char *comma = "";

    for (int i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++) {
        if (tally->outcomes[i]) {
            fprintf(output, "%s\"%s\": %" PRIu64, comma, OUTCOME_NAMES[i],
                    tally->outcomes[i]);
            comma = ", ";
        }
    }
}

void tally_summary(tally_t *tally, FILE *output, double duration_s)
{
    uint64_t done = ended(tally);

    sort(&tally->latencies);
    fprintf(output,
            "{\"requests\": %" PRIu64 ", \"ok\": %" PRIu64 ", \"failed\": %" PRIu64
            ", \"later\": %" PRIu64 ", \"by_status\": {",
            done, tally->ok, done - tally->ok, tally->later);
    print_statuses(tally, output);
    fputs("}, \"errors\": {", output);
    print_errors(tally, output);
    fprintf(output,
            "}, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
            "\"duration_s\": %.3f, \"started_at\": %.3f, \"served_by\": {",
            percentile_ms(&tally->latencies, 0.5),
            percentile_ms(&tally->latencies, 0.99), percentile_ms(&tally->latencies, 1),
            duration_s, tally->started_at_s);
    print_servers(tally, output);
    fputs("}}\n", output);
    fflush(output);
}
