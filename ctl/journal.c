/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c - greenctl journal check|repair: works on the file itself, without a
 * keeper.
 */
#include "journal.h"

#include "journal_repair.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#define TRUSTED_MOST 64

enum { JOURNAL_DONE = 0, JOURNAL_REFUSED = 1, JOURNAL_USAGE = 2 };

static const char usage_text[] =
    "usage: greenctl journal check FILE --key KEYFILE\n"
    "       greenctl journal repair FILE --key KEYFILE [--trust REPLICA]...\n"
    "  check    looks at every row of GreenJournal's file, and changes nothing\n"
    "  repair   makes a new file of every entry that opens, and keeps the old one;\n"
    "           replicas that may miss something are set aside, but for those that\n"
    "           are trusted: what they have is taken for right\n"
    "httpd has to be stopped.  FILE and KEYFILE are those of GreenJournal.\n"
    "exit status: 0 whole or repaired, 1 not, 2 wrong usage\n";

typedef struct journal_options_t {
    const char *verb, *file, *key_file;
    const char *trusted[TRUSTED_MOST];
    size_t trusted_count;
} journal_options_t;

static int wrong(const char *what)
{
    fprintf(stderr, "greenctl: %s\nTry greenctl journal --help.\n", what);
    return JOURNAL_USAGE;
}

/* -1: go on; else the exit status. */
static int read_options(journal_options_t *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"key", required_argument, NULL, 'k'},
        {"trust", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case 'k':
            options->key_file = optarg;
            break;
        case 't':
            if (options->trusted_count >= TRUSTED_MOST) {
                return wrong("--trust: too many");
            }
            options->trusted[options->trusted_count++] = optarg;
            break;
        case 'h':
            fputs(usage_text, stdout);
            return JOURNAL_DONE;
        default:
            fputs("Try greenctl journal --help.\n", stderr);
            return JOURNAL_USAGE;
        }
    }
    if (argc - optind != 2) {
        return wrong("journal takes check or repair, and a FILE");
    }
    options->verb = argv[optind];
    options->file = argv[optind + 1];
    if (strcmp(options->verb, "check") != 0 && strcmp(options->verb, "repair") != 0) {
        return wrong("journal takes check or repair, and a FILE");
    }
    if (!options->key_file) {
        return wrong("--key KEYFILE is missing: the one of GreenJournal");
    }
    if (options->trusted_count && strcmp(options->verb, "check") == 0) {
        return wrong("--trust is for repair");
    }
    return -1;
}

static int refused(const journal_options_t *options, const char *why)
{
    fprintf(stderr, "greenctl: journal %s: %s\n", options->file, why);
    return JOURNAL_REFUSED;
}

int journal_main(int argc, char **argv)
{
    journal_options_t options;
    uint8_t key[MGB_SEAL_KEY_BYTES];
    const char *why = "";
    mgb_repair_t repair;
    bool done;
    int rc;

    memset(&options, 0, sizeof(options));
    rc = read_options(&options, argc, argv);
    if (rc >= 0) {
        return rc;
    }
    memset(&repair, 0, sizeof(repair));
    if (!mgb_libsqlite_load(&why) || !mgb_libcrypto_load(&why)) {
        return refused(&options, why);
    }
    if (!mgb_store_read_key(options.key_file, key, repair.error,
                            sizeof(repair.error))) {
        return refused(&options, repair.error);
    }
    /* Nothing is made where there is nothing. */
    if (access(options.file, F_OK)) {
        return refused(&options, strerror(errno));
    }
    repair.path = options.file;
    repair.key = key;
    repair.trusted = options.trusted;
    repair.trusted_count = options.trusted_count;
    repair.out = stdout;
    done = strcmp(options.verb, "check") == 0 ? mgb_journal_check(&repair)
                                              : mgb_journal_repair(&repair);
    explicit_bzero(key, sizeof(key));
    if (fflush(stdout) || ferror(stdout)) {
        return refused(&options, "cannot write to standard output");
    }
    if (!done) {
        return refused(&options, repair.error);
    }
    puts(strcmp(options.verb, "check") == 0 ? "whole" : "repaired");
    return JOURNAL_DONE;
}
