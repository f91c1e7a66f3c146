/* SPDX-License-Identifier: Apache-2.0
 *
 * failing_sync.c - a layer over libc (LD_PRELOAD) with which fsync() and fdatasync()
 * fail while the file named by GREEN_FAILING_SYNC exists, as they do on a disk that is
 * dying.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sync_by(long number, int fd)
{
    const char *name = getenv("GREEN_FAILING_SYNC");

    if (name && access(name, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, fd);
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}
