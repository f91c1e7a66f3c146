/* SPDX-License-Identifier: Apache-2.0
 *
 * unsynced.c - what a disk would hold after a power cut: a layer over libc (LD_PRELOAD)
 * that keeps beside each watched file a copy of what was synced.
 *
 * kill -9 alone does not test fsync: the kernel keeps what a dead process had written.
 * Files below GREEN_UNSYNCED_DIR whose names begin with GREEN_UNSYNCED_NAME have a
 * shadow FILE.synced, to which fsync and fdatasync copy the ranges that were written
 * since the sync before.  After killing everything the harness puts the shadows in the
 * files' places: whatever was not synced never happened.  Lengths and names count as
 * durable at once.  One process at a time writes such a file; any thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST  4096
#define RANGES_MOST 65536
#define SUFFIX      ".synced"

typedef struct range_t {
    off_t from;
    size_t bytes;
} range_t;

typedef struct watched_t {
    bool is;
    char path[PATH_MAX];
    range_t *ranges;
    size_t count;
    bool all; /* too many ranges: the whole file */
} watched_t;

static watched_t files[FILES_MOST]; /* by descriptor */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_close)(int), (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void find_real(void)
{
    real_pwrite =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate64");
    real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
}

static bool is_watched(const char *path)
{
    const char *dir = getenv("GREEN_UNSYNCED_DIR"),
               *name = getenv("GREEN_UNSYNCED_NAME");
    size_t length = dir ? strlen(dir) : 0, end = strlen(path);

    if (!dir || !name || strncmp(path, dir, length) != 0 || path[length] != '/' ||
        strncmp(path + length + 1, name, strlen(name)) != 0) {
        return false;
    }
    /* SQLite's -shm is memory, not data. */
    return !(end > 4 && !strcmp(path + end - 4, "-shm")) &&
           !(end > sizeof SUFFIX && !strcmp(path + end - (sizeof SUFFIX - 1), SUFFIX));
}

/* A descriptor that was seen the first time: by its path. */
static watched_t *watched_of(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    if (fd < 0 || fd >= FILES_MOST) {
        return NULL;
    }
    if (files[fd].path[0]) {
        return files[fd].is ? &files[fd] : NULL;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0) {
        return NULL;
    }
    path[length] = '\0';
    memcpy(files[fd].path, path, (size_t)length + 1);
    files[fd].is = is_watched(path);
    /* A sync is of the file: also of what a process that was killed had written to it.
     */
    files[fd].all = true;
    return files[fd].is ? &files[fd] : NULL;
}

static void note(int fd, off_t from, size_t bytes)
{
    watched_t *file;

    pthread_mutex_lock(&lock);
    file = watched_of(fd);
    if (file && !file->all) {
        if (!file->ranges) {
            file->ranges = malloc(RANGES_MOST * sizeof *file->ranges);
        }
        if (!file->ranges || file->count == RANGES_MOST) {
            file->all = true;
        }
        else {
            file->ranges[file->count++] = (range_t){from, bytes};
        }
    }
    pthread_mutex_unlock(&lock);
}

static void copy_range(int from, int to, off_t at, size_t bytes)
{
    char buffer[65536];

    while (bytes) {
        ssize_t got =
            pread(from, buffer, bytes < sizeof buffer ? bytes : sizeof buffer, at);

        if (got <= 0 || real_pwrite(to, buffer, (size_t)got, at) != got) {
            return;
        }
        at += got;
        bytes -= (size_t)got;
    }
}

/* Every descriptor of the file: a sync through one is a sync of all. */
static void copy_written(int fd, int shadow, const char *path, off_t size)
{
    bool all = false;

    for (int other = 0; other < FILES_MOST; other++) {
        all |= files[other].all && strcmp(files[other].path, path) == 0;
    }
    if (all) {
        copy_range(fd, shadow, 0, (size_t)size);
    }
    for (int other = 0; other < FILES_MOST; other++) {
        watched_t *file = &files[other];

        if (strcmp(file->path, path) != 0) {
            continue;
        }
        for (size_t i = 0; !all && i < file->count; i++) {
            copy_range(fd, shadow, file->ranges[i].from, file->ranges[i].bytes);
        }
        file->count = 0;
        file->all = false;
    }
}

static void synced(int fd)
{
    char path[PATH_MAX + sizeof SUFFIX];
    struct stat there;
    watched_t *file;
    int shadow;

    pthread_mutex_lock(&lock);
    file = watched_of(fd);
    if (file && !fstat(fd, &there)) {
        (void)snprintf(path, sizeof path, "%s" SUFFIX, file->path);
        shadow = open(path, O_RDWR | O_CLOEXEC);
        if (shadow < 0) {
            shadow = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            file->all = true; /* what was there before the first sync, too */
        }
        if (shadow >= 0) {
            (void)real_ftruncate(shadow, there.st_size);
            copy_written(fd, shadow, file->path, there.st_size);
            real_close(shadow);
        }
    }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at)
{
    ssize_t written = real_pwrite(fd, data, bytes, at);

    if (written > 0) {
        note(fd, at, (size_t)written);
    }
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    return pwrite64(fd, data, bytes, at);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    off_t at = fd > STDERR_FILENO ? lseek(fd, 0, SEEK_CUR) : -1;
    ssize_t written = real_write(fd, data, bytes);

    if (written > 0 && at >= 0) {
        note(fd, at, (size_t)written);
    }
    return written;
}

int fsync(int fd)
{
    int rc = real_fsync(fd);

    if (!rc) {
        synced(fd);
    }
    return rc;
}

int fdatasync(int fd)
{
    int rc = real_fdatasync(fd);

    if (!rc) {
        synced(fd);
    }
    return rc;
}

int close(int fd)
{
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FILES_MOST) {
        free(files[fd].ranges);
        memset(&files[fd], 0, sizeof files[fd]);
    }
    pthread_mutex_unlock(&lock);
    return real_close(fd);
}

/* The shadow goes with its file, and open descriptors of it too. */
int rename(const char *from, const char *to)
{
    char old[PATH_MAX + sizeof SUFFIX], new[PATH_MAX + sizeof SUFFIX];
    int rc = real_rename(from, to);

    if (!rc && is_watched(to)) {
        pthread_mutex_lock(&lock);
        (void)snprintf(old, sizeof old, "%s" SUFFIX, from);
        (void)snprintf(new, sizeof new, "%s" SUFFIX, to);
        (void)real_rename(old, new);
        for (int fd = 0; fd < FILES_MOST; fd++) {
            if (strcmp(files[fd].path, from) == 0) {
                (void)snprintf(files[fd].path, sizeof files[fd].path, "%s", to);
                files[fd].is = true;
            }
        }
        pthread_mutex_unlock(&lock);
    }
    return rc;
}
