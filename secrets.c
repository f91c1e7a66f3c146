/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets.c - reads the file that GreenSecrets names, and keeps what is in it.
 *
 * Everything lives in one private mapping of the keeper that is locked into memory
 * where that is permitted, left out of core dumps and of forked processes, and wiped
 * with the pool.  Nothing of a line's content reaches a message: errors name the line's
 * number.
 */
#include "keeper.h"

#include "core/gb_secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRETS_FILE_MOST (1024 * 1024)

struct mgb_secrets_t {
    gb_secret_t *all; /* in the mapping */
    size_t count, mapped_bytes;
    /* -> gb_secret_t*; the keys are in the mapping */
    apr_hash_t *by_bmc;    /* "HOST:PORT" */
    apr_hash_t *by_url;    /* "https://HOST/PATH" */
    apr_hash_t *by_server; /* "http://HOST:PORT" */
    apr_hash_t *by_mac;
};

/* Memory that is not swapped, dumped or inherited, as far as the system permits. */
static void *map_private(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    (void)mlock(memory, bytes);
    (void)madvise(memory, bytes, MADV_DONTDUMP);
#ifdef MADV_WIPEONFORK
    (void)madvise(memory, bytes, MADV_WIPEONFORK);
#endif
    return memory;
}

static void unmap_private(void *memory, size_t bytes)
{
    if (memory && bytes) {
        explicit_bzero(memory, bytes);
        munmap(memory, bytes);
    }
}

static apr_status_t secrets_cleanup(void *data)
{
    mgb_secrets_t *secrets = data;

    unmap_private(secrets->all, secrets->mapped_bytes);
    secrets->all = NULL;
    secrets->count = secrets->mapped_bytes = 0;
    return APR_SUCCESS;
}

/* Is the open file one that others could neither read nor have put there? */
static apr_status_t check_owner(int fd, struct stat *info, const char **error,
                                apr_pool_t *p)
{
    if (fstat(fd, info)) {
        *error = "cannot be examined";
        return errno;
    }
    if (!S_ISREG(info->st_mode)) {
        *error = "is not a regular file";
        return APR_EINVAL;
    }
    if (info->st_uid != geteuid()) {
        *error = apr_psprintf(p,
                              "belongs to user %lu; it has to belong to user %lu, who "
                              "starts httpd (chown)",
                              (unsigned long)info->st_uid, (unsigned long)geteuid());
        return APR_EACCES;
    }
    if (info->st_mode & (S_IRWXG | S_IRWXO | S_IXUSR | S_ISUID | S_ISGID)) {
        *error = apr_psprintf(p, "has mode %04o; it has to have mode 0600 (chmod 600)",
                              (unsigned)(info->st_mode & 07777));
        return APR_EACCES;
    }
    if (info->st_size > SECRETS_FILE_MOST) {
        *error = "is larger than 1 MiB";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* Reads the file to its end into memory of `room` bytes; -1: errno. */
static ssize_t read_all(int fd, char *text, size_t room)
{
    size_t length = 0;

    while (length < room) {
        ssize_t n = read(fd, text + length, room - length);

        if (n == 0) {
            return (ssize_t)length;
        }
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        length += n > 0 ? (size_t)n : 0;
    }
    errno = EFBIG; /* it has grown since it was examined */
    return -1;
}

static const char *keep(mgb_secrets_t *secrets, gb_secret_t *secret)
{
    apr_hash_t *table = secrets->by_bmc;
    const void *key = secret->bmc; /* as url and server do, it begins the union */
    apr_ssize_t length = APR_HASH_KEY_STRING;

    if (secret->kind == GB_SECRET_SECUREON) {
        table = secrets->by_mac;
        key = secret->mac;
        length = sizeof secret->mac;
    }
    else if (secret->kind == GB_SECRET_REDFISH) {
        table = secrets->by_url;
    }
    else if (secret->kind == GB_SECRET_AGENT) {
        table = secrets->by_server;
    }
    if (apr_hash_get(table, key, length)) {
        return "there is an earlier line for the same machine";
    }
    apr_hash_set(table, key, length, secret);
    secrets->count++;
    return NULL;
}

static const char *read_lines(mgb_secrets_t *secrets, const char *text, size_t length,
                              apr_pool_t *p)
{
    size_t line = 1;

    for (size_t at = 0; at < length; line++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t of_line = end ? (size_t)(end - text) - at : length - at;
        gb_secret_t *secret = &secrets->all[secrets->count];
        const char *error = gb_secrets_read_line(text + at, of_line, secret);

        if (!error && secret->kind != GB_SECRET_NONE) {
            error = keep(secrets, secret);
        }
        if (error) {
            return apr_psprintf(p, "line %" APR_SIZE_T_FMT ": %s", line, error);
        }
        at += of_line + 1;
    }
    return NULL;
}

static size_t count_lines(const char *text, size_t length)
{
    size_t lines = 1;

    for (size_t i = 0; i < length; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* Turns the file's text into secrets. */
static apr_status_t take_text(mgb_secrets_t *secrets, const char *text, size_t length,
                              apr_pool_t *p, const char **error)
{
    /* One more than there are lines: the reader fills a slot before it is kept. */
    secrets->mapped_bytes = (count_lines(text, length) + 1) * sizeof(gb_secret_t);
    secrets->all = map_private(secrets->mapped_bytes);
    if (!secrets->all) {
        secrets->mapped_bytes = 0;
        *error = "cannot be kept: there is no memory";
        return APR_ENOMEM;
    }
    *error = read_lines(secrets, text, length, p);
    return *error ? APR_EINVAL : APR_SUCCESS;
}

static apr_status_t read_file(mgb_secrets_t *secrets, int fd, apr_pool_t *p,
                              const char **error)
{
    struct stat info;
    size_t room;
    ssize_t length;
    char *text;
    apr_status_t rv = check_owner(fd, &info, error, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    room = (size_t)info.st_size + 1;
    text = map_private(room);
    if (!text) {
        *error = "cannot be read: there is no memory";
        return APR_ENOMEM;
    }
    length = read_all(fd, text, room);
    if (length < 0) {
        rv = errno;
        *error = "cannot be read";
    }
    else {
        rv = take_text(secrets, text, (size_t)length, p, error);
    }
    unmap_private(text, room);
    return rv;
}

apr_status_t mgb_secrets_read(mgb_secrets_t **secrets, const char *file, apr_pool_t *p,
                              const char **error)
{
    mgb_secrets_t *made = apr_pcalloc(p, sizeof(*made));
    apr_status_t rv;
    int fd;

    *error = NULL;
    *secrets = NULL;
    /* Not a symbolic link: whoever may replace the link's target must not choose.  Not
     * waiting: the name may be a FIFO's. */
    fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        rv = errno;
        *error = rv == ELOOP ? "is a symbolic link; name the file itself"
                             : "cannot be opened";
        return rv;
    }
    made->by_bmc = apr_hash_make(p);
    made->by_url = apr_hash_make(p);
    made->by_server = apr_hash_make(p);
    made->by_mac = apr_hash_make(p);
    apr_pool_cleanup_register(p, made, secrets_cleanup, apr_pool_cleanup_null);
    rv = read_file(made, fd, p, error);
    close(fd);
    if (rv != APR_SUCCESS) {
        apr_pool_cleanup_run(p, made, secrets_cleanup);
        return rv;
    }
    *secrets = made;
    return APR_SUCCESS;
}

bool mgb_secrets_ipmi(const mgb_secrets_t *secrets, const char *bmc, const char **user,
                      const char **password)
{
    const gb_secret_t *secret =
        secrets ? apr_hash_get(secrets->by_bmc, bmc, APR_HASH_KEY_STRING) : NULL;

    if (!secret) {
        return false;
    }
    *user = secret->user;
    *password = secret->password;
    return true;
}

/* The lines are few and their URLs short: what is asked for is shortened segment by
 * segment until one is found. */
bool mgb_secrets_redfish(const mgb_secrets_t *secrets, const char *url,
                         const char **user, const char **password)
{
    const gb_secret_t *secret = NULL;
    const char *path = url ? strstr(url, "://") : NULL;
    size_t length;

    if (!secrets || !path) {
        return false;
    }
    path += 3 + strcspn(path + 3, "/"); /* the authority is never shortened */
    length = strlen(url);
    while (!(secret = apr_hash_get(secrets->by_url, url, (apr_ssize_t)length)) &&
           url + length > path) {
        do {
            length--;
        } while (url[length] != '/');
    }
    if (!secret) {
        return false;
    }
    *user = secret->user;
    *password = secret->password;
    return true;
}

bool mgb_secrets_agent(const mgb_secrets_t *secrets, const char *member_url,
                       const char **key)
{
    char server[GB_ORIGIN_BYTES];
    const gb_secret_t *secret;

    if (!secrets || !gb_parse_origin(member_url, server)) {
        return false;
    }
    secret = apr_hash_get(secrets->by_server, server, APR_HASH_KEY_STRING);
    if (!secret) {
        return false;
    }
    *key = secret->password;
    return true;
}

bool mgb_secrets_secureon(const mgb_secrets_t *secrets, const unsigned char mac[6],
                          unsigned char password[6])
{
    const gb_secret_t *secret = secrets ? apr_hash_get(secrets->by_mac, mac, 6) : NULL;

    if (!secret) {
        return false;
    }
    memcpy(password, secret->secureon, sizeof secret->secureon);
    return true;
}
