/* SPDX-License-Identifier: Apache-2.0
 *
 * failing_rename.c - a layer over libc (LD_PRELOAD) with which one call of rename()
 * fails: that of the number in GREEN_FAILING_RENAME, from 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int rename(const char *from, const char *to)
{
    static int calls;
    const char *number = getenv("GREEN_FAILING_RENAME");

    if (number && ++calls == strtol(number, NULL, 10)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
