/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator's command line. */
#include "load_options.h"

#include "number.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct option OPTIONS[] = {{"to", required_argument, NULL, 't'},
                                        {"host-header", required_argument, NULL, 'H'},
                                        {"path", required_argument, NULL, 'p'},
                                        {"method", required_argument, NULL, 'm'},
                                        {"expect", required_argument, NULL, 'x'},
                                        {"header", required_argument, NULL, 'h'},
                                        {"body-bytes", required_argument, NULL, 'b'},
                                        {"rate", required_argument, NULL, 'r'},
                                        {"duration", required_argument, NULL, 'd'},
                                        {"profile", required_argument, NULL, 'f'},
                                        {"points", required_argument, NULL, 'P'},
                                        {"connections", required_argument, NULL, 'c'},
                                        {"new-connections", no_argument, NULL, 'n'},
                                        {"think-ms", required_argument, NULL, 'k'},
                                        {"timeout-ms", required_argument, NULL, 'T'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"csv", required_argument, NULL, 'C'},
                                        {"live", required_argument, NULL, 'l'},
                                        {NULL, 0, NULL, 0}};

_Noreturn void load_options_usage(void)
{
    fputs("usage: load --to HOST:PORT\n"
          "  open loop:   --rate N --duration S | --profile FILE | --points \"S RATE, "
          "S RATE...\"\n"
          "  closed loop: --connections N --duration S [--think-ms N]\n"
          "  [--path /P] [--method M] [--body-bytes N] [--header 'NAME: VALUE']...\n"
          "  [--host-header NAME] [--new-connections] [--timeout-ms N] [--seed N]\n"
          "  [--csv FILE] [--live FD|FILE] [--expect 'BODY OF {server}']\n",
          stderr);
    exit(2);
}

static void add_header(load_options_t *o, const char *header)
{
    size_t length = strlen(o->headers);

    if (strpbrk(header, "\r\n") || !strchr(header, ':') ||
        strlen(header) + 3 > sizeof o->headers - length) {
        load_options_usage();
    }
    snprintf(o->headers + length, sizeof o->headers - length, "%s\r\n", header);
}

static FILE *open_output(const char *name)
{
    long fd;
    FILE *file = number_parse_long(name, 0, 1000000, &fd) ? fdopen((int)fd, "w")
                                                          : fopen(name, "we");

    if (!file) {
        perror(name);
        exit(1);
    }
    return file;
}

static void parse_profile(load_options_t *o, int option)
{
    bool good = option == 'f' ? profile_read(&o->profile, optarg)
                              : profile_parse(&o->profile, optarg);

    if (!good) {
        fprintf(stderr, "load: no profile of \"seconds rate\" in %s\n", optarg);
        exit(2);
    }
}

static void parse_number(load_options_t *o, int option)
{
    switch (option) {
    case 'b':
        o->body_bytes = number_option_long("body-bytes", optarg, 0, 1L << 30);
        break;
    case 'r':
        o->rate_rps = number_option_double("rate", optarg, 0, 1e6);
        break;
    case 'd':
        o->duration_s = number_option_double("duration", optarg, 0, 1e6);
        break;
    case 'c':
        o->connections = number_option_long("connections", optarg, 1, 100000);
        break;
    case 'k':
        o->think_ms = number_option_double("think-ms", optarg, 0, 3600e3);
        break;
    case 'T':
        o->timeout_ms = number_option_double("timeout-ms", optarg, 1, 3600e3);
        break;
    case 's':
        dice_seed(&o->dice, (uint64_t)number_option_long("seed", optarg, 0, 1L << 62));
        break;
    default:
        load_options_usage();
    }
}

static void parse_option(load_options_t *o, int option)
{
    switch (option) {
    case 't':
        o->to = optarg;
        break;
    case 'H':
        o->host_header = optarg;
        break;
    case 'p':
        o->path = optarg;
        break;
    case 'm':
        o->method = optarg;
        break;
    case 'x':
        o->expect = optarg;
        break;
    case 'h':
        add_header(o, optarg);
        break;
    case 'n':
        o->new_connections = true;
        break;
    case 'f':
    case 'P':
        parse_profile(o, option);
        break;
    case 'C':
        o->csv = open_output(optarg);
        fputs("start_s,latency_us,status,served_by,error,later\n", o->csv);
        break;
    case 'l':
        o->live = open_output(optarg);
        break;
    default:
        parse_number(o, option);
    }
}

void load_options_parse(load_options_t *o, int count, char **words)
{
    int option;

    memset(o, 0, sizeof *o);
    o->path = "/";
    o->method = "GET";
    o->timeout_ms = 10000;
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        parse_option(o, option);
    }
    if (!o->to || optind != count || (o->connections && o->profile.count) ||
        (!o->profile.count && o->duration_s <= 0)) {
        load_options_usage();
    }
    if (!o->connections && !o->profile.count) {
        profile_add(&o->profile, 0, o->rate_rps);
        profile_add(&o->profile, o->duration_s, o->rate_rps);
    }
    if (!o->host_header) {
        o->host_header = o->to;
    }
}
