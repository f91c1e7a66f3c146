/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_file.c - where the journal's files are, whose they are, and who has them.
 */
#include "journal_store.h"
#include "libcrypto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define WAIT_STEP_MS   20
#define WAL_LEAST      (4 * 1024 * 1024)
#define WAL_MOST       (64 * 1024 * 1024)
#define WAL_PART       8 /* of the journal's size */
#define HEAD_ALL_ZEROS 32

void mgb_store_fail(mgb_store_t *store, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(store->error, sizeof(store->error), format, values);
    va_end(values);
}

bool mgb_store_name(const mgb_store_t *store, const char *suffix, char name[PATH_MAX])
{
    int bytes = snprintf(name, PATH_MAX, "%s%s", store->path, suffix);

    return bytes > 0 && bytes < PATH_MAX;
}

/* The directory of the journal. */
static bool folder_of(const mgb_store_t *store, char folder[PATH_MAX])
{
    const char *slash = strrchr(store->path, '/');

    if (!slash) {
        memcpy(folder, ".", 2);
        return true;
    }
    return snprintf(folder, PATH_MAX, "%.*s",
                    slash == store->path ? 1 : (int)(slash - store->path),
                    store->path) < PATH_MAX;
}

static bool check_place(mgb_store_t *store)
{
    char folder[PATH_MAX];
    struct statfs place;

    if (!folder_of(store, folder) || statfs(folder, &place)) {
        mgb_store_fail(store, "%s: its directory cannot be used: %s", store->path,
                       strerror(errno));
        return false;
    }
    if (place.f_type == TMPFS_MAGIC || place.f_type == RAMFS_MAGIC) {
        mgb_store_fail(store,
                       "%s is in memory (%s): writes that were accepted would be gone "
                       "after a power cut; name a file on a disk in GreenJournal",
                       store->path, place.f_type == TMPFS_MAGIC ? "tmpfs" : "ramfs");
        return false;
    }
    return true;
}

/* Is what lstat() has found a file of ours alone? */
static bool check_ours(mgb_store_t *store, const char *name, const struct stat *info)
{
    if (!S_ISREG(info->st_mode)) {
        mgb_store_fail(store, "%s is %s, not a regular file", name,
                       S_ISLNK(info->st_mode) ? "a symbolic link" : "something else");
        return false;
    }
    if (info->st_uid != store->owner) {
        mgb_store_fail(store,
                       "%s belongs to user %lu; it has to belong to user %lu, who "
                       "keeps the journal (chown)",
                       name, (unsigned long)info->st_uid, (unsigned long)store->owner);
        return false;
    }
    if (info->st_mode & (S_IRWXG | S_IRWXO | S_IXUSR | S_ISUID | S_ISGID)) {
        mgb_store_fail(store, "%s has mode %04o; it has to have mode 0600 (chmod 600)",
                       name, (unsigned)(info->st_mode & 07777));
        return false;
    }
    return true;
}

/* 1: it is there, and ours; 0: it is not there; -1: told. */
static int examine(mgb_store_t *store, const char *suffix, struct stat *info)
{
    char name[PATH_MAX];

    if (!mgb_store_name(store, suffix, name)) {
        mgb_store_fail(store, "%s: the name is too long", store->path);
        return -1;
    }
    if (lstat(name, info)) {
        if (errno == ENOENT) {
            return 0;
        }
        mgb_store_fail(store, "%s cannot be examined: %s", name, strerror(errno));
        return -1;
    }
    return check_ours(store, name, info) ? 1 : -1;
}

static bool open_lock(mgb_store_t *store)
{
    char name[PATH_MAX];
    struct stat info;

    if (examine(store, "-lock", &info) < 0 || !mgb_store_name(store, "-lock", name)) {
        return false;
    }
    store->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd < 0) {
        mgb_store_fail(store, "%s cannot be opened: %s", name, strerror(errno));
        return false;
    }
    if (store->owner != geteuid() && fchown(store->lock_fd, store->owner, (gid_t)-1)) {
        mgb_store_fail(store, "%s cannot be given to its owner: %s", name,
                       strerror(errno));
        mgb_store_unlock(store);
        return false;
    }
    return true;
}

bool mgb_store_lock(mgb_store_t *store, const char *path, uid_t owner, int wait_ms)
{
    memset(store, 0, sizeof(*store));
    store->owner = owner;
    store->lock_fd = store->room_fd = -1;
    if (snprintf(store->path, sizeof(store->path), "%s", path) >=
        (int)sizeof(store->path)) {
        mgb_store_fail(store, "the name of the journal is too long");
        return false;
    }
    if (!check_place(store) || !open_lock(store)) {
        return false;
    }
    while (flock(store->lock_fd, LOCK_EX | LOCK_NB)) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || wait_ms <= 0) {
            mgb_store_fail(store,
                           errno == EWOULDBLOCK
                               ? "%s is in use by another process (a keeper of httpd, "
                                 "or greenctl)"
                               : "%s cannot be locked",
                           store->path);
            mgb_store_unlock(store);
            return false;
        }
        usleep(WAIT_STEP_MS * 1000);
        wait_ms -= WAIT_STEP_MS;
    }
    return true;
}

void mgb_store_unlock(mgb_store_t *store)
{
    if (store->lock_fd >= 0) {
        close(store->lock_fd);
    }
    store->lock_fd = -1;
}

/* A WAL of zeros is what is left of a start that was cut off. */
static bool wal_is_blank(mgb_store_t *store)
{
    char name[PATH_MAX], head[HEAD_ALL_ZEROS];
    ssize_t bytes;
    int fd;

    if (!mgb_store_name(store, "-wal", name)) {
        return false;
    }
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return false;
    }
    bytes = read(fd, head, sizeof(head));
    close(fd);
    for (ssize_t i = 0; i < bytes; i++) {
        if (head[i]) {
            return false;
        }
    }
    return bytes >= 0;
}

int mgb_store_exists(mgb_store_t *store)
{
    struct stat info, wal_info;
    int file = examine(store, "", &info), wal = examine(store, "-wal", &wal_info);

    if (file < 0 || wal < 0) {
        return -1;
    }
    store->wal_missing = !wal || wal_info.st_size < WAL_LEAST;
    if (!file && wal && !wal_is_blank(store)) {
        mgb_store_fail(
            store,
            "%s is missing, but its %s-wal is there: bring the file back, or "
            "move the other one away to begin a new journal",
            store->path, store->path);
        return -1;
    }
    return file;
}

size_t mgb_store_witness(mgb_store_t *store, uint8_t witness[MGB_WITNESS_MOST])
{
    ssize_t bytes = pread(store->lock_fd, witness, MGB_WITNESS_MOST, 0);

    return bytes > 0 ? (size_t)bytes : 0;
}

void mgb_store_set_witness(mgb_store_t *store, const void *witness, size_t bytes)
{
    /* Without it a later loss may go unnoticed; nothing is lost by that. */
    ssize_t written = pwrite(store->lock_fd, witness, bytes, 0);

    (void)written;
}

/* A write-ahead log takes a part of the journal's size, beside it. */
off_t mgb_store_wal_bytes(off_t size)
{
    off_t bytes = size / WAL_PART;

    return bytes < WAL_LEAST ? WAL_LEAST : bytes > WAL_MOST ? WAL_MOST : bytes;
}

/* posix_fallocate() and not ftruncate(): what is taken is there when it is needed.
 * `kept`: where the descriptor stays open. */
static int take(const mgb_store_t *store, const char *name, off_t bytes, int *kept)
{
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), error;

    if (fd < 0) {
        return errno;
    }
    do {
        error = store->owner != geteuid() && fchown(fd, store->owner, (gid_t)-1)
                    ? errno
                    : posix_fallocate(fd, 0, bytes);
    } while (error == EINTR);
    if (!error && fsync(fd)) {
        error = errno;
    }
    if (kept) {
        *kept = fd;
    }
    else {
        close(fd);
    }
    return error;
}

bool mgb_store_take_room(mgb_store_t *store, const char *suffix, off_t size)
{
    const char *const suffixes[] = {suffix, "-wal"};
    char name[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        off_t bytes = i ? mgb_store_wal_bytes(size) : size;
        /* A process loses its locks of a file, SQLite's too, when it closes any
         * descriptor of it (fcntl(2)). */
        int *kept = store->db && !i ? &store->room_fd : NULL;
        int error = mgb_store_name(store, suffixes[i], name)
                        ? take(store, name, bytes, kept)
                        : ENAMETOOLONG;

        if (error) {
            mgb_store_fail(store, "%s: %lld MB cannot be taken: %s", name,
                           (long long)(bytes >> 20), strerror(error));
            return false;
        }
    }
    return true;
}

bool mgb_store_sync_dir(mgb_store_t *store)
{
    char folder[PATH_MAX];
    int fd;
    bool done;

    errno = ENAMETOOLONG;
    fd = folder_of(store, folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                  : -1;
    done = fd >= 0 && fsync(fd) == 0;

    if (!done) {
        mgb_store_fail(store, "the directory of %s cannot be synced: %s", store->path,
                       strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return done;
}

static const char *const file_suffixes[] = {"", "-wal"};

void mgb_store_note(mgb_store_t *store)
{
    for (int i = 0; i < 2; i++) {
        char name[PATH_MAX];
        struct stat info;

        store->inodes[i] = 0;
        if (mgb_store_name(store, file_suffixes[i], name) && !lstat(name, &info)) {
            store->device = info.st_dev;
            store->inodes[i] = info.st_ino;
        }
    }
}

bool mgb_store_is_there(const mgb_store_t *store)
{
    for (int i = 0; i < 2; i++) {
        char name[PATH_MAX];
        struct stat info;

        if (!store->inodes[i] || !mgb_store_name(store, file_suffixes[i], name)) {
            continue;
        }
        if (lstat(name, &info)) {
            if (errno == ENOENT || errno == ENOTDIR) {
                return false;
            }
            continue; /* a directory that nobody may look into says nothing of it */
        }
        if (info.st_ino != store->inodes[i] || info.st_dev != store->device) {
            return false;
        }
    }
    return true;
}

static bool read_key(int fd, uint8_t *key)
{
    uint8_t more;

    return read(fd, key, MGB_SEAL_KEY_BYTES) == MGB_SEAL_KEY_BYTES &&
           read(fd, &more, 1) == 0;
}

bool mgb_store_read_key(const char *path, uint8_t *key, char *error, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;
    const char *why = NULL;

    if (fd < 0 || fstat(fd, &info)) {
        why = strerror(errno);
    }
    else if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
             (info.st_mode & 07777) != 0600) {
        why = "it has to be a file of yours, with mode 0600";
    }
    else if (!read_key(fd, key)) {
        why = "it has to have exactly 32 bytes";
    }
    if (fd >= 0) {
        close(fd);
    }
    if (why) {
        snprintf(error, room, "the key %s cannot be used: %s", path, why);
    }
    return !why;
}
