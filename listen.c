/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.c - the keeper's unix sockets.
 */
#include "keeper.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* 0600 from its first moment on. */
static int bind_closed(int fd, const struct sockaddr_un *address)
{
    mode_t mask = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    int error = errno;

    umask(mask);
    errno = error;
    return rc;
}

/* Binds under a name of its own and renames, so that who connects finds the old socket
 * or the new one, never none.  What is there and is no socket stays. */
static int bind_at(int fd, const char *path, int backlog, const mgb_owner_t *owner,
                   apr_pool_t *p)
{
    const char *fresh = apr_psprintf(p, "%s.%d", path, (int)getpid());
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat there;

    if (strlen(fresh) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!lstat(path, &there) && !S_ISSOCK(there.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    memcpy(address.sun_path, fresh, strlen(fresh));
    (void)unlink(fresh);
    if (bind_closed(fd, &address)) {
        return -1;
    }
    if ((owner && chown(fresh, owner->user, owner->group)) || listen(fd, backlog) ||
        rename(fresh, path)) {
        int error = errno;

        (void)unlink(fresh);
        errno = error;
        return -1;
    }
    return 0;
}

int mgb_listen(const char *path, int backlog, const mgb_owner_t *owner, apr_pool_t *p)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind_at(fd, path, backlog, owner, p)) {
        int error = errno;

        close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}
