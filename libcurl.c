/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl.c - loads libcurl; see libcurl.h.
 */
#include "libcurl.h"
#include "library.h"

#include <dlfcn.h>

/* The soname of the interface that curl/curl.h declares; the same since 2006. */
#define SONAME "libcurl.so.4"

mgb_libcurl_t mgb_libcurl;

#define NAME(function) {"curl_" #function, offsetof(mgb_libcurl_t, function)},
static const mgb_symbol_t names[] = {MGB_LIBCURL_FUNCTIONS(NAME)};

bool mgb_libcurl_load(const char **why)
{
    static bool loaded;
    void *library;

    if (loaded) {
        return true;
    }
    library = mgb_library_open(SONAME, names, sizeof(names) / sizeof(names[0]),
                               &mgb_libcurl, why);
    if (!library) {
        return false;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        *why = "libcurl does not start";
        dlclose(library);
        return false;
    }
    loaded = true; /* and stays until the process ends */
    return true;
}
