/* SPDX-License-Identifier: Apache-2.0
 *
 * mailbox.c - letters from httpd's children to the keeper, and its replies.
 *
 * A slot's state word holds its phase and a serial number that grows with each claim,
 * so that a compare-and-swap on it fails for everybody who speaks of an earlier letter.
 *
 *   FREE -> WRITING (child) -> POSTED -> TAKEN (keeper) -> ANSWERED or REFUSED -> FREE
 *
 * A child that has waited long enough frees its slot from any phase.  A slot whose
 * child was killed is claimed by another one after STALE_US.  Children may be hostile:
 * the keeper copies a letter before it looks at it, and believes no length.
 */
#include "mailbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BOX_KEY "mgb_mailbox"

#define STALE_US (10 * GB_US_PER_S)
/* The keeper's last sign of life is older: it hangs or is being replaced. */
#define AWAY_US (2 * GB_US_PER_S)

enum { FREE = 0, WRITING, POSTED, TAKEN, ANSWERED, REFUSED };
#define PHASE_BITS     3u
#define PHASE(word)    ((word) & ((1u << PHASE_BITS) - 1))
#define IN(word, next) (((word) >> PHASE_BITS << PHASE_BITS) | (uint32_t)(next))
#define AFTER(word)    ((((word) >> PHASE_BITS) + 1) << PHASE_BITS)

typedef struct slot_t {
    uint32_t word;
    uint32_t bytes;
    int64_t claimed_at_us;
    char text[MGB_MAIL_BYTES];
} slot_t;

/* In the process pool: the same over restarts. */
typedef struct box_t {
    slot_t *slots; /* shared by all processes */
    int event_fd;
} box_t;

static box_t *box; /* NULL: none was made */

static struct {
    mgb_mail_fn *fn;
    void *baton;
} reader;

/* ---------------------------------------------------------------- the box */

apr_status_t mgb_mailbox_attach(server_rec *s)
{
    void *found = NULL;
    box_t *made;

    apr_pool_userdata_get(&found, BOX_KEY, s->process->pool);
    if (found) {
        box = found;
        return APR_SUCCESS;
    }
    made = apr_pcalloc(s->process->pool, sizeof(*made));
    made->slots = mmap(NULL, MGB_MAIL_ROOM * sizeof(slot_t), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made->slots == MAP_FAILED) {
        return errno;
    }
    made->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->event_fd < 0) {
        apr_status_t rv = errno;

        munmap(made->slots, MGB_MAIL_ROOM * sizeof(slot_t));
        return rv;
    }
    apr_pool_userdata_set(made, BOX_KEY, NULL, s->process->pool);
    box = made;
    return APR_SUCCESS;
}

int mgb_mailbox_fd(void)
{
    return box ? box->event_fd : -1;
}

static bool step(slot_t *slot, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&slot->word, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static uint32_t look(const slot_t *slot)
{
    return __atomic_load_n(&slot->word, __ATOMIC_ACQUIRE);
}

/* ---------------------------------------------------------------- a child's side */

static bool keeper_lives(const mgb_shared_t *sh)
{
    int64_t beat_at_us =
        __atomic_load_n(&sh->header->keeper_beat_at_us, __ATOMIC_RELAXED);

    return __atomic_load_n(&sh->header->keeper_pid, __ATOMIC_ACQUIRE) != 0 &&
           mgb_now_us() - beat_at_us < AWAY_US;
}

/* A free slot, or one whose child is long gone.  Its word is in `word`. */
static slot_t *claim(uint32_t *word)
{
    int64_t now_us = mgb_now_us();

    for (uint32_t i = 0; i < MGB_MAIL_ROOM; i++) {
        slot_t *slot = &box->slots[i];
        uint32_t was = look(slot);

        if (PHASE(was) != FREE &&
            now_us - __atomic_load_n(&slot->claimed_at_us, __ATOMIC_RELAXED) <
                STALE_US) {
            continue;
        }
        *word = AFTER(was) | WRITING;
        /* First: with the time of its last owner a claimed slot would look stale.  If
         * somebody else was quicker, it is theirs, and as new as this says. */
        __atomic_store_n(&slot->claimed_at_us, now_us, __ATOMIC_RELAXED);
        if (step(slot, was, *word)) {
            return slot;
        }
    }
    return NULL;
}

/* Sleeps until the word is another one, or until `until_us`; may return early. */
static void sleep_on(slot_t *slot, uint32_t word, int64_t until_us)
{
    int64_t left_us = until_us - mgb_now_us();
    struct timespec left = {.tv_sec = left_us / GB_US_PER_S,
                            .tv_nsec = left_us % GB_US_PER_S * 1000};

    if (left_us > 0) {
        (void)syscall(SYS_futex, &slot->word, FUTEX_WAIT, word, &left, NULL, 0);
    }
}

/* Waits for the keeper; the phase in which the letter is then. */
static uint32_t wait_for(slot_t *slot, uint32_t posted)
{
    int64_t until_us = mgb_now_us() + MGB_MAIL_WAIT_US;
    uint32_t word = look(slot);

    while (word == posted || word == IN(posted, TAKEN)) {
        if (mgb_now_us() >= until_us) {
            /* Taken back; the keeper may have answered at this very moment. */
            if (step(slot, word, IN(word, FREE))) {
                return FREE;
            }
        }
        else {
            sleep_on(slot, word, until_us);
        }
        word = look(slot);
    }
    return IN(word, 0) == IN(posted, 0) ? PHASE(word) : FREE;
}

mgb_mail_e mgb_mailbox_ask(const mgb_shared_t *sh, const char *letter, size_t bytes,
                           char *reply, size_t *reply_bytes)
{
    const uint64_t one = 1;
    mgb_mail_e result = MGB_MAIL_AWAY;
    uint32_t word, phase;
    slot_t *slot;

    *reply_bytes = 0;
    if (!box || !keeper_lives(sh)) {
        return MGB_MAIL_AWAY;
    }
    slot = bytes <= MGB_MAIL_BYTES ? claim(&word) : NULL;
    if (!slot) {
        return MGB_MAIL_FULL;
    }
    memcpy(slot->text, letter, bytes);
    slot->bytes = (uint32_t)bytes;
    if (!step(slot, word, IN(word, POSTED))) {
        return MGB_MAIL_AWAY; /* this thread stood still until others gave it up */
    }
    word = IN(word, POSTED);
    (void)!write(box->event_fd, &one, sizeof one);
    phase = wait_for(slot, word);
    if (phase == ANSWERED) {
        size_t length = slot->bytes;

        *reply_bytes = length <= MGB_MAIL_BYTES ? length : 0;
        memcpy(reply, slot->text, *reply_bytes);
        result = MGB_MAIL_ANSWERED;
    }
    else if (phase == REFUSED) {
        result = MGB_MAIL_REFUSED;
    }
    if (phase != FREE) {
        (void)step(slot, IN(word, phase), IN(word, FREE));
    }
    return result;
}

/* ---------------------------------------------------------------- the keeper's side */

static void read_one(slot_t *slot, uint32_t posted)
{
    char letter[MGB_MAIL_BYTES], reply[MGB_MAIL_BYTES];
    size_t bytes, length;
    uint32_t taken = IN(posted, TAKEN);

    if (!step(slot, posted, taken)) {
        return; /* its child has given up */
    }
    bytes = __atomic_load_n(&slot->bytes, __ATOMIC_RELAXED);
    if (bytes > sizeof letter) {
        bytes = 0;
    }
    memcpy(letter, slot->text, bytes);
    length = bytes ? reader.fn(reader.baton, letter, bytes, reply, sizeof reply) : 0;
    if (look(slot) == taken) {
        memcpy(slot->text, reply, length);
        slot->bytes = (uint32_t)length;
    }
    if (step(slot, taken, IN(taken, length ? ANSWERED : REFUSED))) {
        (void)syscall(SYS_futex, &slot->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

static void on_mail(void *baton, int fd, uint32_t epoll_events)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof count);
    for (uint32_t i = 0; i < MGB_MAIL_ROOM; i++) {
        uint32_t word = look(&box->slots[i]);

        if (PHASE(word) == POSTED) {
            read_one(&box->slots[i], word);
        }
    }
}

apr_status_t mgb_mailbox_open(mgb_keeper_t *keeper, mgb_mail_fn *fn, void *baton)
{
    const uint64_t one = 1;

    if (!box) {
        return APR_ENOTIMPL;
    }
    reader.fn = fn;
    reader.baton = baton;
    /* What was posted to a predecessor that did not come to read it. */
    (void)!write(box->event_fd, &one, sizeof one);
    return mgb_loop_watch(keeper->loop, box->event_fd, EPOLLIN, on_mail, NULL);
}
