/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults are files in a host's faults/ folder. */
#include "fault.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static bool fault_path(const char *folder, const char *kind, char *path, size_t size)
{
    int length;

    if (!folder) {
        return false;
    }
    length = snprintf(path, size, "%s/%s", folder, kind);
    return length > 0 && (size_t)length < size;
}

bool fault_is_on(const char *folder, const char *kind)
{
    char path[PATH_MAX];

    return fault_path(folder, kind, path, sizeof path) && access(path, F_OK) == 0;
}

double fault_value(const char *folder, const char *kind, double fallback)
{
    char path[PATH_MAX];
    double value = fallback;
    FILE *file;

    if (!fault_path(folder, kind, path, sizeof path)) {
        return fallback;
    }
    file = fopen(path, "re");
    if (!file) {
        return fallback;
    }
    if (fscanf(file, "%lf", &value) != 1) {
        value = fallback;
    }
    fclose(file);
    return value;
}

void fault_set(const char *folder, const char *kind)
{
    char path[PATH_MAX];
    int fd;

    if (fault_path(folder, kind, path, sizeof path)) {
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0) {
            close(fd);
        }
    }
}

void fault_heal(const char *folder, const char *kind)
{
    char path[PATH_MAX];

    if (fault_path(folder, kind, path, sizeof path)) {
        unlink(path);
    }
}
