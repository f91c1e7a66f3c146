/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint.c - the file that carries states, learned times and what policies have
 * learned over a stop and a crash.
 *
 * The keeper takes a copy of all machines in its tick and hands it to a thread that
 * writes it: temporary file, fsync, rename, fsync of the directory.  A disk that hangs
 * therefore holds up nothing but the next checkpoint.  What is read at a start is a
 * claim; the servers and their BMCs are asked before it is acted upon.
 */
#include "mod_greenbalance.h"
#include "core/gb_checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_NAME "checkpoint"
#define FILE_MOST_BYTES (64 * 1024 * 1024)
#define DAMAGED_MOST    16u /* blocks; then the rest is not looked at */

/* One saving at a time; owned by the thread from its start until `busy` is 0 again. */
typedef struct saving_t {
    uint8_t *bytes;
    size_t count;
    char dir[APR_PATH_MAX];
    int busy;
    int error; /* errno of the latest one; 0: it went well */
} saving_t;

static saving_t saving;

typedef struct fetch_t {
    const mgb_shared_t *sh;
    const uint32_t *slots;
} fetch_t;

static void fetch(void *baton, uint32_t i, gb_saved_t *into)
{
    const fetch_t *from = baton;
    const mgb_machine_t *machine = &from->sh->machines[from->slots[i]];

    apr_cpystrn(into->key, machine->key, sizeof(into->key));
    into->machine = machine->m;
    into->joules = machine->energy.joules;
    into->joules_always_on = machine->energy_always_on.joules;
}

const gb_news_t *mgb_checkpoint_learned(const mgb_mind_t *mind)
{
    return gb_mind_learned(&mind->own, &mind->twins[GB_POLICY_NEWS].decider);
}

static bool is_learned(const mgb_shared_t *sh, uint32_t balancer)
{
    return sh->balancers[balancer].used == MGB_SLOT_LIVE &&
           mgb_checkpoint_learned(&sh->minds[balancer]);
}

static size_t encode_news(const mgb_shared_t *sh, uint8_t *out)
{
    size_t count = 0;

    for (uint32_t i = 0; i < sh->header->balancers_room; i++) {
        if (is_learned(sh, i)) {
            count += gb_checkpoint_add_news(out + count, sh->balancers[i].key,
                                            mgb_checkpoint_learned(&sh->minds[i]));
        }
    }
    return count;
}

/* The copy of all machines as file bytes; malloc'ed. */
static uint8_t *encode(const mgb_shared_t *sh, size_t *count)
{
    uint32_t slots[GB_MEMBERS_MAX], machines = 0;
    size_t blocks = 0;
    fetch_t from = {sh, slots};
    uint8_t *bytes;

    for (uint32_t i = 0; i < sh->header->machines_top; i++) {
        if (sh->machines[i].used == MGB_SLOT_LIVE) {
            slots[machines++] = i;
        }
    }
    for (uint32_t i = 0; i < sh->header->balancers_room; i++) {
        blocks += is_learned(sh, i);
    }
    bytes = malloc(gb_checkpoint_bytes(machines) + blocks * gb_checkpoint_news_bytes());
    if (bytes) {
        *count = gb_checkpoint_write(bytes, machines, sh->header->paused != 0,
                                     mgb_wall_us(), mgb_now_us(), fetch, &from);
        *count += encode_news(sh, bytes + *count);
    }
    return bytes;
}

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        }
    }
    return fsync(fd) ? errno : 0;
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

    if (fd < 0) {
        return errno;
    }
    if (fsync(fd)) {
        error = errno;
    }
    close(fd);
    return error;
}

static int store(const char *dir, const uint8_t *bytes, size_t count)
{
    char temporary[APR_PATH_MAX + 32], final[APR_PATH_MAX + 32];
    int fd, error;

    snprintf(temporary, sizeof(temporary), "%s/" CHECKPOINT_NAME ".new", dir);
    snprintf(final, sizeof(final), "%s/" CHECKPOINT_NAME, dir);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    error = write_all(fd, bytes, count);
    if (close(fd) && !error) {
        error = errno;
    }
    if (!error && rename(temporary, final)) {
        error = errno;
    }
    if (error) {
        /* A full disk must not be left fuller; the old checkpoint still stands. */
        (void)unlink(temporary);
        return error;
    }
    return sync_dir(dir);
}

static void *save_thread(void *data)
{
    saving_t *s = data;

    __atomic_store_n(&s->error, store(s->dir, s->bytes, s->count), __ATOMIC_RELAXED);
    free(s->bytes);
    s->bytes = NULL;
    __atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
    return NULL;
}

static int thread_start(saving_t *s)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int error;

    /* Signals are the watchdog thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &attributes, save_thread, s);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

apr_status_t mgb_checkpoint_save_later(const mgb_shared_t *sh, const char *dir)
{
    int error;

    if (__atomic_load_n(&saving.busy, __ATOMIC_ACQUIRE)) {
        return APR_EBUSY;
    }
    apr_cpystrn(saving.dir, dir, sizeof(saving.dir));
    saving.bytes = encode(sh, &saving.count);
    if (!saving.bytes) {
        return APR_ENOMEM;
    }
    __atomic_store_n(&saving.busy, 1, __ATOMIC_RELEASE);
    error = thread_start(&saving);
    if (error) {
        free(saving.bytes);
        saving.bytes = NULL;
        __atomic_store_n(&saving.busy, 0, __ATOMIC_RELEASE);
    }
    return error;
}

int mgb_checkpoint_error(void)
{
    return __atomic_load_n(&saving.error, __ATOMIC_RELAXED);
}

apr_status_t mgb_checkpoint_save(const mgb_shared_t *sh, const char *dir)
{
    uint8_t *bytes;
    size_t count;
    int error;

    for (int i = 0; i < 100 && __atomic_load_n(&saving.busy, __ATOMIC_ACQUIRE); i++) {
        usleep(20 * 1000);
    }
    if (__atomic_load_n(&saving.busy, __ATOMIC_ACQUIRE)) {
        return APR_EBUSY; /* two that write the temporary file would spoil it */
    }
    bytes = encode(sh, &count);
    if (!bytes) {
        return APR_ENOMEM;
    }
    error = store(dir, bytes, count);
    free(bytes);
    return error;
}

/* The whole file, or NULL: missing (errno ENOENT), unreadable, absurdly large. */
static uint8_t *slurp(const char *path, size_t *count, apr_pool_t *p)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    uint8_t *bytes = NULL;
    size_t done = 0;

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MOST_BYTES) {
        bytes = apr_palloc(p, (apr_size_t)st.st_size + 1);
        while (done < (size_t)st.st_size) {
            ssize_t n = read(fd, bytes + done, (size_t)st.st_size - done);

            if (n <= 0) {
                break;
            }
            done += (size_t)n;
        }
    }
    else {
        errno = EINVAL;
    }
    close(fd);
    *count = done;
    return bytes;
}

static void adopt(mgb_shared_t *sh, const gb_saved_t *saved, int64_t now_us)
{
    for (uint32_t i = 0; i < sh->header->machines_top; i++) {
        mgb_machine_t *machine = &sh->machines[i];

        if (machine->used == MGB_SLOT_LIVE && strcmp(machine->key, saved->key) == 0) {
            gb_checkpoint_claim(saved, &machine->m, now_us);
            machine->energy.joules = saved->joules;
            machine->energy_always_on.joules = saved->joules_always_on;
            return;
        }
    }
}

/* What NEWS had learned; the keeper takes it up when it is wanted. */
static void adopt_news(mgb_shared_t *sh, const char *key, const gb_news_t *news)
{
    for (uint32_t i = 0; i < sh->header->balancers_room; i++) {
        if (sh->balancers[i].used == MGB_SLOT_LIVE &&
            strcmp(sh->balancers[i].key, key) == 0) {
            sh->minds[i].own.news = *news;
            sh->minds[i].own.has_news = 1;
        }
    }
}

static uint32_t load_news(mgb_shared_t *sh, const uint8_t *bytes, size_t count,
                          const char *path, server_rec *s, apr_pool_t *p)
{
    uint32_t blocks = gb_checkpoint_news_count(bytes, count), good = 0, first = 0, i;
    char key[GB_CHECKPOINT_KEY_BYTES], first_key[GB_CHECKPOINT_KEY_BYTES];

    for (i = 0; i < blocks && i - good < DAMAGED_MOST; i++) {
        gb_news_t news;

        if (gb_checkpoint_read_news(bytes, count, i, key, &news)) {
            adopt_news(sh, key, &news);
            good++;
        }
        else if (!first) {
            first = i + 1;
            memcpy(first_key, key, sizeof key);
        }
    }
    if (first) { /* once for all: what was appended to a file may be long */
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     GBLOGNO(0214) "%s: what the policy news had learned about a "
                                   "balancer is damaged, and is forgotten: block %u "
                                   "of %u, %s; %u more of those that were looked at",
                     path, first, blocks, ap_escape_logitem(p, first_key),
                     i - good - 1);
    }
    return good;
}

apr_status_t mgb_checkpoint_load(mgb_shared_t *sh, const char *dir, server_rec *s,
                                 apr_pool_t *p)
{
    const char *path = apr_pstrcat(p, dir, "/" CHECKPOINT_NAME, NULL);
    int64_t now_us = mgb_now_us(), wall_us = mgb_wall_us();
    gb_checkpoint_e result;
    uint32_t machines = 0, learned;
    bool paused = false;
    size_t count = 0;
    uint8_t *bytes = slurp(path, &count, p);

    if (!bytes) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return APR_SUCCESS; /* the first start */
        }
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, errno, s,
            GBLOGNO(0211) "%s cannot be read: learned boot times are lost, the "
                          "servers are asked for their states",
            path);
        return APR_SUCCESS;
    }
    result = gb_checkpoint_check(bytes, count, &machines, &paused);
    if (result != GB_CHECKPOINT_OK) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            GBLOGNO(0212) "%s is %s and is ignored: learned boot times are lost, "
                          "the servers are asked for their states",
            path, gb_checkpoint_name(result));
        return APR_SUCCESS;
    }
    for (uint32_t i = 0; i < machines; i++) {
        gb_saved_t saved;

        gb_checkpoint_read(bytes, i, wall_us, now_us, &saved);
        adopt(sh, &saved, now_us);
    }
    sh->header->paused = paused;
    /* Not among the message's arguments: a LogLevel below info would leave it out. */
    learned = load_news(sh, bytes, count, path, s, p);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                 GBLOGNO(0213) "%s: states and boot times of %u machines, and what was "
                               "learned about the load of %u balancers",
                 path, machines, learned);
    return APR_SUCCESS;
}
