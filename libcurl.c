/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl.c - loads libcurl; see libcurl.h.
 */
#include "libcurl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The soname of the interface that curl/curl.h declares; the same since 2006. */
#define SONAME "libcurl.so.4"

mgb_libcurl_t mgb_libcurl;

typedef struct name_t {
    const char *name;
    size_t offset;
} name_t;

#define NAME(function) {"curl_" #function, offsetof(mgb_libcurl_t, function)},
static const name_t names[] = {MGB_LIBCURL_FUNCTIONS(NAME)};

bool mgb_libcurl_load(const char **why)
{
    static bool loaded;
    void *library;

    if (loaded) {
        return true;
    }
    library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *why = dlerror();
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        void *function = dlsym(library, names[i].name);

        if (!function) {
            *why = dlerror();
            dlclose(library);
            return false;
        }
        memcpy((char *)&mgb_libcurl + names[i].offset, &function, sizeof(function));
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        *why = "libcurl does not start";
        dlclose(library);
        return false;
    }
    loaded = true; /* and stays until the process ends */
    return true;
}
