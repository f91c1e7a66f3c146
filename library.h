/* SPDX-License-Identifier: Apache-2.0
 *
 * library.h - takes functions out of a shared library when they are first needed.
 *
 * What libcurl.c, libcrypto.c and libsqlite.c have in common: linked to the module,
 * their libraries would cost every child of httpd its memory.
 */
#ifndef MGB_LIBRARY_H
#define MGB_LIBRARY_H

#include <stddef.h>

/* A function, and where in the caller's table its address goes. */
typedef struct mgb_symbol_t {
    const char *name;
    size_t offset;
} mgb_symbol_t;

/* Opens `soname` and fills `table`.  A handle for dlclose(), for those who find that
 * the library does not do; NULL: `why` (text that lives until the next dlopen() of the
 * thread) says what is missing, and nothing stays open.  Any thread; the table is the
 * caller's to guard. */
void *mgb_library_open(const char *soname, const mgb_symbol_t *symbols, size_t count,
                       void *table, const char **why);

#endif /* MGB_LIBRARY_H */
