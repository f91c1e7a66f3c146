/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl.h - libcurl, loaded when it is first needed: by the keeper, and by the child
 * of green-agent that talks to a proxy.
 *
 * Linked to the module, libcurl and its thirty libraries would cost httpd 2.5 MB, twice
 * the memory of everything else of ours, also where no member needs it.  Include this
 * instead of curl/curl.h: its names then stand for the functions that were loaded.
 */
#ifndef MGB_LIBCURL_H
#define MGB_LIBCURL_H

#define CURL_DISABLE_TYPECHECK /* its macros take the names that are defined below */
#include <curl/curl.h>
#include <stdbool.h>

#define MGB_LIBCURL_FUNCTIONS(each)                                                    \
    each(easy_cleanup) each(easy_getinfo) each(easy_init) each(easy_perform)           \
        each(easy_setopt) each(easy_strerror) each(global_init) each(multi_add_handle) \
            each(multi_cleanup) each(multi_info_read) each(multi_init)                 \
                each(multi_remove_handle) each(multi_setopt) each(multi_socket_action) \
                    each(slist_append) each(slist_free_all) each(version_info)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): it declares */
#define MGB_LIBCURL_POINTER(name) __typeof__(curl_##name) *name;
typedef struct mgb_libcurl_t {
    MGB_LIBCURL_FUNCTIONS(MGB_LIBCURL_POINTER)
} mgb_libcurl_t;
#undef MGB_LIBCURL_POINTER

/* Valid after mgb_libcurl_load() has said true.  One thread of a process only. */
extern mgb_libcurl_t mgb_libcurl;

/* Loads and starts libcurl, once a process; later calls answer at once.  False: `why`
 * (a literal, or text that lives until the next call) says what is missing. */
bool mgb_libcurl_load(const char **why);

#undef curl_easy_getinfo
#undef curl_easy_setopt
#undef curl_multi_setopt
#define curl_easy_cleanup        mgb_libcurl.easy_cleanup
#define curl_easy_getinfo        mgb_libcurl.easy_getinfo
#define curl_easy_init           mgb_libcurl.easy_init
#define curl_easy_perform        mgb_libcurl.easy_perform
#define curl_easy_setopt         mgb_libcurl.easy_setopt
#define curl_easy_strerror       mgb_libcurl.easy_strerror
#define curl_global_init         mgb_libcurl.global_init
#define curl_multi_add_handle    mgb_libcurl.multi_add_handle
#define curl_multi_cleanup       mgb_libcurl.multi_cleanup
#define curl_multi_info_read     mgb_libcurl.multi_info_read
#define curl_multi_init          mgb_libcurl.multi_init
#define curl_multi_remove_handle mgb_libcurl.multi_remove_handle
#define curl_multi_setopt        mgb_libcurl.multi_setopt
#define curl_multi_socket_action mgb_libcurl.multi_socket_action
#define curl_slist_append        mgb_libcurl.slist_append
#define curl_slist_free_all      mgb_libcurl.slist_free_all
#define curl_version_info        mgb_libcurl.version_info

#endif /* MGB_LIBCURL_H */
