/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator's command line. */
#ifndef RIG_LOAD_OPTIONS_H
#define RIG_LOAD_OPTIONS_H

#include "dice.h"
#include "profile.h"

#include <stdbool.h>
#include <stdio.h>

#define HEADERS_BYTES 8192

typedef struct {
    const char *to;
    const char *host_header;
    const char *path;
    const char *method;
    const char *expect; /* how the body of a 200 begins; NULL: anyhow */
    char headers[HEADERS_BYTES];
    long body_bytes;
    long connections; /* 0: open loop */
    bool new_connections;
    double rate_rps;
    double duration_s;
    double think_ms;
    double timeout_ms;
    profile_t profile; /* open loop */
    dice_t dice;
    FILE *csv;  /* NULL: none; its header line is written */
    FILE *live; /* NULL: none */
} load_options_t;

/* Fills in the options, or ends the program with the usage. */
void load_options_parse(load_options_t *options, int count, char **words);

/* The usage on stderr, and the end of the program. */
_Noreturn void load_options_usage(void);

#endif
