/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h - green-agent: what its files offer to each other.
 *
 * A program of one thread that runs on a server and stays small: it needs the C library
 * alone.  OpenSSL and libcurl, which would keep 10 MB resident, are loaded by a child
 * that lives for one exchange with a proxy (beat.c).
 */
#ifndef GREEN_AGENT_H
#define GREEN_AGENT_H

#include "core/gb_beat.h"
#include "core/gb_secrets.h"

#define GA_PROXIES_MOST  8
#define GA_WORD_BYTES    1024
#define GA_COMMAND_US    (5 * GB_US_PER_S)  /* for veto, work, watts */
#define GA_OFF_US        (60 * GB_US_PER_S) /* for the command that switches off */
#define GA_INTERVAL_US   (15 * GB_US_PER_S)
#define GA_INTERVAL_MOST (3600 * GB_US_PER_S)

/* The configuration; "" and 0: not given.  config.c */
typedef struct ga_config_t {
    char server[GB_NAME_BYTES];
    char proxies[GA_PROXIES_MOST][GA_WORD_BYTES];
    uint32_t proxy_count;
    char key[GB_SECRET_PASSWORD_MOST + 1];
    int64_t interval_us;
    bool poweroff; /* off=poweroff; else suspend */
    char suspend_command[GA_WORD_BYTES], poweroff_command[GA_WORD_BYTES];
    char veto_command[GA_WORD_BYTES], veto_dir[GA_WORD_BYTES];
    char work_command[GA_WORD_BYTES], watts_command[GA_WORD_BYTES];
    bool rapl;
    char rapl_dir[GA_WORD_BYTES];
    uint32_t rapl_base_milliwatts; /* of what RAPL does not see */
    char ca_file[GA_WORD_BYTES];
    bool inhibit;
} ga_config_t;

/* Reads the configuration.  False: it has been said on stderr what is wrong. */
bool ga_config_read(ga_config_t *config, const char *file);

/* ---------------------------------------------------------------- main.c */

/* Says something in the journal: `level` 3 error, 4 warning, 6 information. */
void ga_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* CLOCK_MONOTONIC, which stands still while the host is suspended. */
int64_t ga_now_us(void);

/* Has SIGTERM come?  It is blocked but for the waits below. */
bool ga_stop_wanted(void);

/* Waits for so long, or until SIGTERM. */
void ga_wait(int64_t for_us);

/* In a fresh child: signals as a program expects them. */
void ga_signals_default(void);

/* ---------------------------------------------------------------- command.c */

typedef struct ga_run_t {
    int status; /* of its exit; -1: it was killed, took too long or was not run */
    char line[GB_REASON_BYTES]; /* the first line that it printed; printable ASCII */
} ga_run_t;

/* Runs it by /bin/sh and waits for its end; after `most_us` it is killed, with all that
 * it has started in its process group. */
void ga_command_run(const char *command, int64_t most_us, ga_run_t *run);

/* ---------------------------------------------------------------- sense.c */

/* Fills in load, work, watts, veto and its reason.  Watts and load are of the time
 * since the last call; at the first, load is that since the boot, and RAPL says none.
 */
void ga_sense(const ga_config_t *config, gb_beat_t *beat);

/* Veto and reason alone. */
void ga_sense_veto(const ga_config_t *config, gb_beat_t *beat);

/* ---------------------------------------------------------------- beat.c */

typedef struct ga_reply_t {
    bool is_good; /* signed with the key, and to this very heartbeat */
    gb_answer_t answer;
    char why[GB_REASON_BYTES]; /* not good: what went wrong */
} ga_reply_t;

/* Signs the heartbeat, sends it, checks the answer: in a child, within some seconds. */
void ga_exchange(const ga_config_t *config, const char *proxy, const gb_beat_t *beat,
                 ga_reply_t *reply);

/* ---------------------------------------------------------------- power.c */

/* Runs the command that switches the host off or suspends it, and waits until it goes
 * or is back.  False: the command failed. */
bool ga_power_off(const ga_config_t *config);

/* Holds, or gives back, a lock that keeps logind from letting the host sleep. */
void ga_power_inhibit(bool hold);

#endif /* GREEN_AGENT_H */
