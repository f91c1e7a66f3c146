/* SPDX-License-Identifier: Apache-2.0
 *
 * libcrypto.c - loads OpenSSL's HMAC-SHA-256.
 */
#include "libcrypto.h"

#include <dlfcn.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* The functions below are the same in all of these. */
static const char *const sonames[] = {"libcrypto.so.3", "libcrypto.so.1.1"};

static struct {
    __typeof__(HMAC) *hmac;
    __typeof__(EVP_sha256) *sha256;
} crypto;

bool mgb_libcrypto_load(const char **why)
{
    void *library = NULL, *hmac, *sha256;

    if (crypto.hmac) {
        return true;
    }
    for (size_t i = 0; i < sizeof(sonames) / sizeof(sonames[0]) && !library; i++) {
        library = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!library) {
        *why = dlerror();
        return false;
    }
    hmac = dlsym(library, "HMAC");
    sha256 = dlsym(library, "EVP_sha256");
    if (!hmac || !sha256) {
        *why = "libcrypto has no HMAC";
        dlclose(library);
        return false;
    }
    memcpy(&crypto.hmac, &hmac, sizeof(hmac));
    memcpy(&crypto.sha256, &sha256, sizeof(sha256));
    return true; /* it stays until the process ends */
}

bool mgb_libcrypto_hmac(const char *key, size_t key_bytes, const char *text,
                        size_t bytes, uint8_t mac[MGB_HMAC_BYTES])
{
    unsigned int length = MGB_HMAC_BYTES;

    memset(mac, 0, MGB_HMAC_BYTES);
    return crypto.hmac && key_bytes <= INT_MAX &&
           crypto.hmac(crypto.sha256(), key, (int)key_bytes,
                       (const unsigned char *)text, bytes, mac, &length) &&
           length == MGB_HMAC_BYTES;
}

bool mgb_libcrypto_same(const uint8_t a[MGB_HMAC_BYTES],
                        const uint8_t b[MGB_HMAC_BYTES])
{
    volatile uint8_t differs = 0; /* volatile: the compiler must not leave early */

    for (size_t i = 0; i < MGB_HMAC_BYTES; i++) {
        differs |= (uint8_t)(a[i] ^ b[i]);
    }
    return differs == 0;
}
