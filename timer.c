/* SPDX-License-Identifier: Apache-2.0
 *
 * timer.c - the clocks, behind one accessor each.
 *
 * Decisions see the monotonic clock alone: somebody who sets the wall clock must not
 * wake or stop a server.  CLOCK_MONOTONIC is the same in every process of a machine, so
 * instants may be compared across parent, children and keeper.
 *
 * A build with MGB_TEST_CLOCK (make TEST_CLOCK=1; never the one that is installed) adds
 * offsets that a test writes into a file: hours pass in a moment, and the wall clock is
 * set without touching the system's.  The file is mapped when the module is loaded, as
 * root and before any thread, and parent, children and keeper see the same page.
 */
#include "mod_greenbalance.h"

#include <time.h>

#ifdef MGB_TEST_CLOCK

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEST_CLOCK_VARIABLE "GREENBALANCE_TEST_CLOCK"

/* The file: host byte order. */
typedef struct test_clock_t {
    int64_t monotonic_us;
    int64_t wall_us;
} test_clock_t;

static const test_clock_t *test_clock; /* NULL: the system's clocks */

__attribute__((constructor)) static void test_clock_map(void)
{
    const char *path = getenv(TEST_CLOCK_VARIABLE);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page;

    if (fd < 0) {
        return;
    }
    page = mmap(NULL, sizeof(test_clock_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) {
        test_clock = page;
    }
}

/* At each restart httpd unloads the module and loads it again. */
__attribute__((destructor)) static void test_clock_unmap(void)
{
    if (test_clock) {
        (void)munmap((void *)(uintptr_t)test_clock, sizeof(test_clock_t));
        test_clock = NULL;
    }
}

static int64_t monotonic_offset_us(void)
{
    return test_clock ? __atomic_load_n(&test_clock->monotonic_us, __ATOMIC_RELAXED)
                      : 0;
}

static int64_t wall_offset_us(void)
{
    return test_clock ? __atomic_load_n(&test_clock->wall_us, __ATOMIC_RELAXED) : 0;
}

#else

static inline int64_t monotonic_offset_us(void)
{
    return 0;
}

static inline int64_t wall_offset_us(void)
{
    return 0;
}

#endif

int64_t mgb_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * GB_US_PER_S + now.tv_nsec / 1000 +
           monotonic_offset_us();
}

apr_time_t mgb_wall_us(void)
{
    return apr_time_now() + wall_offset_us();
}
