/* SPDX-License-Identifier: Apache-2.0
 *
 * libcrypto.h - HMAC-SHA-256 by OpenSSL, loaded where it is needed.
 *
 * As with libcurl: linked to the module, OpenSSL would cost every child of httpd its
 * memory, and only the keeper signs; green-agent loads it in the short life of an
 * exchange.  Single-threaded.
 */
#ifndef MGB_LIBCRYPTO_H
#define MGB_LIBCRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MGB_HMAC_BYTES 32

/* Loads OpenSSL's libcrypto, once a process; later calls answer at once.  False: `why`
 * (a literal, or text that lives until the next call) says what is missing. */
bool mgb_libcrypto_load(const char **why);

/* HMAC-SHA-256.  False when the library is not loaded or fails; `mac` is then zeroed.
 */
bool mgb_libcrypto_hmac(const char *key, size_t key_bytes, const char *text,
                        size_t bytes, uint8_t mac[MGB_HMAC_BYTES]);

/* Are they the same?  Takes as long wherever they differ. */
bool mgb_libcrypto_same(const uint8_t a[MGB_HMAC_BYTES],
                        const uint8_t b[MGB_HMAC_BYTES]);

#endif /* MGB_LIBCRYPTO_H */
