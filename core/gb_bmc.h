/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_bmc.h - what FreeIPMI's tools and power drivers print, turned into facts.
 *
 * The tools exit with 1 for every failure (and with 0 for some), so their words are
 * what counts.  Input is hostile: a BMC or a script may print anything.  Pure, any
 * thread.
 */
#ifndef GB_BMC_H
#define GB_BMC_H

#include "gb_ladder.h"
#include "gb_parse.h"

typedef enum gb_bmc_word_e {
    GB_BMC_OTHER = 0, /* something that is not known */
    GB_BMC_ACCEPTED,  /* the order was taken */
    GB_BMC_IS_ON,
    GB_BMC_IS_OFF,
    GB_BMC_WATTS,
    GB_BMC_BAD_USER,
    GB_BMC_BAD_PASSWORD, /* also what some say to a cipher suite they do not have */
    GB_BMC_NO_RIGHT,     /* the user is known, but may not do this */
    GB_BMC_NO_SUITE,     /* it does not know the cipher suite */
    GB_BMC_NOT_ABLE,     /* it does not know the command, or not in this state */
    GB_BMC_FAULT,        /* "BMC error": also an answer to an unknown cipher suite */
    GB_BMC_BUSY,
    GB_BMC_SILENT,  /* a time-out: whatever was ordered may have happened */
    GB_BMC_NO_HOST, /* the name does not resolve */
    GB_BMC_WORDS
} gb_bmc_word_e;

/* One line of a tool: "HOST: words". */
typedef struct gb_bmc_line_t {
    char host[GB_ADDRESS_BYTES]; /* as the tool prints it: ipmipower without the port */
    gb_bmc_word_e word;
    double watts;               /* GB_BMC_WATTS */
    char text[GB_REASON_BYTES]; /* the words, printable, cut when too long */
} gb_bmc_line_t;

/* Reads a line of ipmipower, or of ipmi-dcmi with --always-prefix, without its line
 * end. False: it does not have that form (a usage or configuration error); *said is
 * then undefined. */
bool gb_bmc_read_line(const char *line, size_t length, gb_bmc_line_t *said);

/* What these words mean for an order (on, off) or a question (status, watts).  OK for
 * an order: it was accepted; for a question: it was answered.  Whatever is not clearly
 * a refusal for lasting reasons is LOST. */
gb_ladder_result_e gb_bmc_order_result(gb_bmc_word_e word);
gb_ladder_result_e gb_bmc_status_result(gb_bmc_word_e word);
gb_ladder_result_e gb_bmc_watts_result(gb_bmc_word_e word);

/* May these words be an answer to the wrong cipher suite? */
bool gb_bmc_blames_suite(gb_bmc_word_e word);

/* What a GreenPowerDriver has printed so far; zeroed at the beginning. */
typedef struct gb_bmc_driver_t {
    uint32_t ons, offs, numbers; /* lines that were just that */
    double watts;                /* the last number */
    char last[GB_REASON_BYTES];  /* the last line that was not empty, printable */
} gb_bmc_driver_t;

/* Takes one line of its output or error output. */
void gb_bmc_driver_line(gb_bmc_driver_t *driver, const char *line, size_t length);

/* The answer to `status`: lines that say "on", or lines that say "off", not both;
 * other lines (warnings of the tools it calls) do not matter.  False: no answer. */
bool gb_bmc_driver_status(const gb_bmc_driver_t *driver, bool *powered);

/* The answer to `watts`: exactly one line that is a number.  False: no answer. */
bool gb_bmc_driver_watts(const gb_bmc_driver_t *driver, double *watts);

/* Copies at most size - 1 bytes; what is not printable ASCII becomes '?'. */
void gb_bmc_printable(char *to, size_t size, const char *from, size_t length);

#endif /* GB_BMC_H */
