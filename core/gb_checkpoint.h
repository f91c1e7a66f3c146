/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_checkpoint.h - the record of all machines, and of what was learned about
 * balancers, that survives a stop and a crash.
 *
 * Little-endian, versioned (an older version is read, too), closed by a checksum over
 * everything before it.  Instants are written as ages before the moment of saving, so
 * that a file may be read after a reboot, when the monotonic clock counts from a new
 * beginning.  Every byte of a file is hostile: machines that do not fit exactly are
 * refused as a whole.  Behind them stands a block for each balancer that NEWS has
 * learned about, each with a checksum of its own: one that is damaged is forgotten
 * alone.
 */
#ifndef GB_CHECKPOINT_H
#define GB_CHECKPOINT_H

#include "gb_state.h"
#include "gb_energy.h"
#include "gb_news.h"

#define GB_CHECKPOINT_KEY_BYTES 512

typedef struct gb_saved_t {
    char key[GB_CHECKPOINT_KEY_BYTES]; /* identity of the machine */
    gb_machine_t machine;              /* instants monotonic, at the reader's clock */
    double joules, joules_always_on;
} gb_saved_t;

typedef enum gb_checkpoint_e {
    GB_CHECKPOINT_OK = 0,
    GB_CHECKPOINT_FOREIGN,   /* not a checkpoint, or of another version */
    GB_CHECKPOINT_TRUNCATED, /* shorter than it says */
    GB_CHECKPOINT_DAMAGED    /* checksum or a value is wrong */
} gb_checkpoint_e;

/* Bytes needed for `count` machines. */
size_t gb_checkpoint_bytes(uint32_t count);

/* Writes a checkpoint; `out` has gb_checkpoint_bytes(count).  Returns the bytes
 * written. The records are fetched one by one, so that nothing large has to be held. */
typedef void gb_checkpoint_fetch_fn(void *baton, uint32_t i, gb_saved_t *into);
size_t gb_checkpoint_write(uint8_t *out, uint32_t count, bool paused, int64_t wall_us,
                           int64_t now_us, gb_checkpoint_fetch_fn *fetch, void *baton);

/* Checks a whole file; on OK sets count and paused. */
gb_checkpoint_e gb_checkpoint_check(const uint8_t *in, size_t bytes, uint32_t *count,
                                    bool *paused);

/* Reads record `i` of a file that was checked.  `wall_us` and `now_us` are the reader's
 * clocks: time that passed since the saving is added to the ages (none when the wall
 * clock went back). */
void gb_checkpoint_read(const uint8_t *in, uint32_t i, int64_t wall_us, int64_t now_us,
                        gb_saved_t *into);

/* A block of what NEWS has learned about a balancer (`key`, at most
 * GB_CHECKPOINT_KEY_BYTES - 1 bytes of it), to be written behind the machines, and
 * behind each other.  `out` has gb_checkpoint_news_bytes(); returns that. */
size_t gb_checkpoint_news_bytes(void);
size_t gb_checkpoint_add_news(uint8_t *out, const char *key, const gb_news_t *news);

/* How many blocks a file that was checked has, one that is cut off among them; reads
 * block `i`: false when it is damaged, cut off, or of another version; then `key` is a
 * text, too, the balancer's if need be in part, and nothing was learned. */
uint32_t gb_checkpoint_news_count(const uint8_t *in, size_t bytes);
bool gb_checkpoint_read_news(const uint8_t *in, size_t bytes, uint32_t i,
                             char key[GB_CHECKPOINT_KEY_BYTES], gb_news_t *news);

/* What a claim of a file means for a machine after a start: ON and DRAINING become
 * UNKNOWN (routed as stock does until a probe fails), the others stay and are asked. */
void gb_checkpoint_claim(const gb_saved_t *saved, gb_machine_t *machine,
                         int64_t now_us);

/* "truncated" and so on, for the log. */
const char *gb_checkpoint_name(gb_checkpoint_e result);

#endif /* GB_CHECKPOINT_H */
