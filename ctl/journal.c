/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c - greenctl journal check|repair|drop: works on the file itself, without a
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
    "       greenctl journal drop FILE LOG --key KEYFILE\n"
    "  check    looks at every row of GreenJournal's file, and changes nothing\n"
    "  repair   makes a new file of every entry that opens, and keeps the old one;\n"
    "           replicas that may miss something are set aside, but for those that\n"
    "           are trusted: what they have is taken for right\n"
    "  drop     deletes all of a log whose balancer is gone, also what not every\n"
    "           replica has; check says the names\n"
    "httpd has to be stopped.  FILE and KEYFILE are those of GreenJournal.\n"
    "exit status: 0 whole or done, 1 not, 2 wrong usage\n";

typedef struct journal_options_t {
    const char *verb, *file, *key_file;
    const char *log; /* of drop */
    const char *trusted[TRUSTED_MOST];
    size_t trusted_count;
} journal_options_t;

static int wrong(const char *what)
{
    fprintf(stderr, "greenctl: %s\nTry greenctl journal --help.\n", what);
    return JOURNAL_USAGE;
}

/* VERB FILE [LOG].  -1: go on; else the exit status. */
static int read_words(journal_options_t *options, char **words, int count)
{
    options->verb = count > 0 ? words[0] : "";
    options->file = count > 1 ? words[1] : NULL;
    options->log = count > 2 ? words[2] : NULL;
    if (strcmp(options->verb, "drop") == 0) {
        if (count != 3) {
            return wrong("journal drop takes a FILE and a LOG");
        }
    }
    else if (count != 2 || (strcmp(options->verb, "check") != 0 &&
                            strcmp(options->verb, "repair") != 0)) {
        return wrong(
            "journal takes check or repair and a FILE, or drop, a FILE and a LOG");
    }
    if (!options->key_file) {
        return wrong("--key KEYFILE is missing: the one of GreenJournal");
    }
    if (options->trusted_count && strcmp(options->verb, "repair") != 0) {
        return wrong("--trust is for repair");
    }
    return -1;
}

/* Likewise. */
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
    return read_words(options, argv + optind, argc - optind);
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
    /* Nothing is made where there is nothing. */
    if (access(options.file, F_OK)) {
        return refused(&options, strerror(errno));
    }
    if (!mgb_store_read_key(options.key_file, key, repair.error,
                            sizeof(repair.error))) {
        return refused(&options, repair.error);
    }
    repair.path = options.file;
    repair.key = key;
    repair.trusted = options.trusted;
    repair.trusted_count = options.trusted_count;
    repair.out = stdout;
    done = options.log                          ? mgb_journal_drop(&repair, options.log)
           : strcmp(options.verb, "check") == 0 ? mgb_journal_check(&repair)
                                                : mgb_journal_repair(&repair);
    explicit_bzero(key, sizeof(key));
    if (fflush(stdout) || ferror(stdout)) {
        return refused(&options, "cannot write to standard output");
    }
    if (!done) {
        return refused(&options, repair.error);
    }
    if (!options.log) {
        puts(strcmp(options.verb, "check") == 0 ? "whole" : "repaired");
    }
    return JOURNAL_DONE;
}
