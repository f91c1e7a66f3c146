/* SPDX-License-Identifier: Apache-2.0
 *
 * libcrypto.h - OpenSSL's HMAC-SHA-256, SHA-256, random bytes and AES-256-GCM, loaded
 * where they are needed.
 *
 * As with libcurl: linked to the module, OpenSSL would cost every child of httpd its
 * memory, and only the keeper signs and seals; green-agent loads it in the short life
 * of an exchange.  Any thread, once mgb_libcrypto_load() has said true; a seal belongs
 * to one thread at a time.
 */
#ifndef MGB_LIBCRYPTO_H
#define MGB_LIBCRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MGB_HMAC_BYTES     32
#define MGB_SHA256_BYTES   32
#define MGB_SEAL_KEY_BYTES 32
#define MGB_SEAL_BYTES     40 /* what sealing adds: 24 of nonce, 16 of tag */

/* Loads OpenSSL's libcrypto, once a process; later calls answer at once.  False: `why`
 * (a literal, or text that lives until the next call) says what is missing. */
bool mgb_libcrypto_load(const char **why);

/* HMAC-SHA-256.  False when the library is not loaded or fails; `mac` is then zeroed.
 */
bool mgb_libcrypto_hmac(const char *key, size_t key_bytes, const char *text,
                        size_t bytes, uint8_t mac[MGB_HMAC_BYTES]);

/* SHA-256 of parts, one after the other.  False as above; `digest` is then zeroed. */
typedef struct mgb_part_t {
    const void *at;
    size_t bytes;
} mgb_part_t;
bool mgb_libcrypto_sha256(const mgb_part_t *parts, size_t count,
                          uint8_t digest[MGB_SHA256_BYTES]);

/* Bytes that nobody can guess.  False: there are none, and nothing may go on that needs
 * them. */
bool mgb_libcrypto_random(void *to, size_t bytes);

/* Are they the same?  Takes as long wherever they differ. */
bool mgb_libcrypto_same(const uint8_t a[MGB_HMAC_BYTES],
                        const uint8_t b[MGB_HMAC_BYTES]);

/* Sealing: XAES-256-GCM (https://c2sp.org/XAES-256-GCM), which is AES-256-GCM under a
 * key that is derived anew for each text from 96 random bits, with a nonce of 96 more.
 * Under one key, plain GCM with random nonces is sound for 2^32 texts (NIST SP
 * 800-38D), which a busy journal seals in days; this one for 2^80. */
typedef struct mgb_seal_t mgb_seal_t;

/* NULL: the library is not loaded, or there is no memory.  malloc'ed; destroy wipes it
 * and takes NULL. */
mgb_seal_t *mgb_seal_create(const uint8_t key[MGB_SEAL_KEY_BYTES]);
void mgb_seal_destroy(mgb_seal_t *seal);

/* Seals `bytes` of `plain`, bound to `about`, into `sealed`, which has MGB_SEAL_BYTES
 * more room.  The two must not overlap. */
bool mgb_seal_shut(mgb_seal_t *seal, mgb_part_t about, const uint8_t *plain,
                   size_t bytes, uint8_t *sealed);
/* Opens `bytes` of `sealed`; `plain` has room for MGB_SEAL_BYTES less.  False: another
 * key, another `about`, or not one bit is as it was; `plain` is then zeroed. */
bool mgb_seal_open(mgb_seal_t *seal, mgb_part_t about, const uint8_t *sealed,
                   size_t bytes, uint8_t *plain);

#endif /* MGB_LIBCRYPTO_H */
