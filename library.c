/* SPDX-License-Identifier: Apache-2.0
 *
 * library.c - takes functions out of a shared library; see library.h.
 */
#include "library.h"

#include <dlfcn.h>
#include <string.h>

void *mgb_library_open(const char *soname, const mgb_symbol_t *symbols, size_t count,
                       void *table, const char **why)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        *why = dlerror();
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, symbols[i].name);

        if (!function) {
            *why = dlerror();
            dlclose(library);
            return NULL;
        }
        memcpy((char *)table + symbols[i].offset, &function, sizeof(function));
    }
    return library;
}
