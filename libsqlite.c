/* SPDX-License-Identifier: Apache-2.0
 *
 * libsqlite.c - loads SQLite; see libsqlite.h.
 */
#include "libsqlite.h"
#include "library.h"

#include <dlfcn.h>

#define SONAME "libsqlite3.so.0" /* the same since 2004 */

/* 3.31 is the first that knows everything that the journal asks for (trusted_schema);
 * releases before 3.26 had ways to run code from a file that was tampered with. */
#define VERSION_LEAST 3031000

mgb_libsqlite_t mgb_libsqlite;

#define NAME(function) {"sqlite3_" #function, offsetof(mgb_libsqlite_t, function)},
static const mgb_symbol_t names[] = {MGB_LIBSQLITE_FUNCTIONS(NAME)};

bool mgb_libsqlite_load(const char **why)
{
    static bool loaded;
    void *library;

    if (loaded) {
        return true;
    }
    library = mgb_library_open(SONAME, names, sizeof(names) / sizeof(names[0]),
                               &mgb_libsqlite, why);
    if (!library) {
        return false;
    }
    if (sqlite3_libversion_number() < VERSION_LEAST) {
        *why = "SQLite is older than 3.31";
        dlclose(library);
        return false;
    }
    loaded = true; /* and stays until the process ends */
    return true;
}
