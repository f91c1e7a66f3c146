/* SPDX-License-Identifier: Apache-2.0
 *
 * libcrypto.c - loads what is used of OpenSSL; the seal of the journal.
 */
#include "libcrypto.h"
#include "library.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The functions below are the same in all of these. */
static const char *const sonames[] = {"libcrypto.so.3", "libcrypto.so.1.1"};

#define FUNCTIONS(each)                                                                \
    each(HMAC) each(EVP_sha256) each(EVP_MD_CTX_new) each(EVP_MD_CTX_free)             \
        each(EVP_DigestInit_ex) each(EVP_DigestUpdate) each(EVP_DigestFinal_ex)        \
            each(RAND_bytes) each(EVP_CIPHER_CTX_new) each(EVP_CIPHER_CTX_free)        \
                each(EVP_CIPHER_CTX_ctrl) each(EVP_CIPHER_CTX_set_padding)             \
                    each(EVP_aes_256_ecb) each(EVP_aes_256_gcm)                        \
                        each(EVP_CipherInit_ex) each(EVP_CipherUpdate)                 \
                            each(EVP_CipherFinal_ex)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): it declares */
#define POINTER(name) __typeof__(name) *name;
static struct crypto_t {
    FUNCTIONS(POINTER)
} crypto;

#define NAME(function) {#function, offsetof(struct crypto_t, function)},
static const mgb_symbol_t names[] = {FUNCTIONS(NAME)};

/* Two threads of the keeper may come at once; others only read `loaded`. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

/* It stays open until the process ends. */
static bool load(const char **why)
{
    for (size_t i = 0; i < sizeof(sonames) / sizeof(sonames[0]); i++) {
        if (mgb_library_open(sonames[i], names, sizeof(names) / sizeof(names[0]),
                             &crypto, why)) {
            return true;
        }
    }
    return false;
}

bool mgb_libcrypto_load(const char **why)
{
    bool there;

    pthread_mutex_lock(&loading);
    if (!loaded) {
        __atomic_store_n(&loaded, load(why), __ATOMIC_RELEASE);
    }
    there = loaded;
    pthread_mutex_unlock(&loading);
    return there;
}

static bool is_loaded(void)
{
    return __atomic_load_n(&loaded, __ATOMIC_ACQUIRE);
}

bool mgb_libcrypto_hmac(const char *key, size_t key_bytes, const char *text,
                        size_t bytes, uint8_t mac[MGB_HMAC_BYTES])
{
    unsigned int length = MGB_HMAC_BYTES;

    memset(mac, 0, MGB_HMAC_BYTES);
    return is_loaded() && key_bytes <= INT_MAX &&
           crypto.HMAC(crypto.EVP_sha256(), key, (int)key_bytes,
                       (const unsigned char *)text, bytes, mac, &length) &&
           length == MGB_HMAC_BYTES;
}

bool mgb_libcrypto_sha256(const mgb_part_t *parts, size_t count,
                          uint8_t digest[MGB_SHA256_BYTES])
{
    EVP_MD_CTX *md = is_loaded() ? crypto.EVP_MD_CTX_new() : NULL;
    bool done = md && crypto.EVP_DigestInit_ex(md, crypto.EVP_sha256(), NULL);

    for (size_t i = 0; i < count && done; i++) {
        done = crypto.EVP_DigestUpdate(md, parts[i].at, parts[i].bytes) == 1;
    }
    done = done && crypto.EVP_DigestFinal_ex(md, digest, NULL) == 1;
    if (!done) {
        memset(digest, 0, MGB_SHA256_BYTES);
    }
    if (md) {
        crypto.EVP_MD_CTX_free(md);
    }
    return done;
}

bool mgb_libcrypto_random(void *to, size_t bytes)
{
    return is_loaded() && bytes <= INT_MAX && crypto.RAND_bytes(to, (int)bytes) == 1;
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

/* ---------------------------------------------------------------- the seal */

#define NONCE_BYTES 24u
#define HALF_BYTES  12u /* of the nonce: for the derived key, and for GCM */
#define TAG_BYTES   16u
#define BLOCK_BYTES 16u
/* Nonces are taken from a store: a call for each costs more than the sealing. */
#define STORE_BYTES (NONCE_BYTES * 128u)

struct mgb_seal_t {
    EVP_CIPHER_CTX *block; /* AES-256 under the key, for the derived keys */
    EVP_CIPHER_CTX *gcm;
    uint8_t mask[BLOCK_BYTES]; /* K1 of the specification */
    uint8_t store[STORE_BYTES];
    size_t store_used;
};

static bool encrypt_blocks(mgb_seal_t *seal, const uint8_t *in, size_t bytes,
                           uint8_t *out)
{
    int written = 0;

    return crypto.EVP_CipherUpdate(seal->block, out, &written, in, (int)bytes) == 1 &&
           (size_t)written == bytes;
}

/* K1: the encrypted zero block, doubled in GF(2^128), as in CMAC. */
static bool set_mask(mgb_seal_t *seal)
{
    static const uint8_t zero[BLOCK_BYTES];
    uint8_t l[BLOCK_BYTES];
    uint8_t carry = 0;

    if (!encrypt_blocks(seal, zero, sizeof(zero), l)) {
        return false;
    }
    for (size_t i = BLOCK_BYTES; i-- > 0;) {
        seal->mask[i] = (uint8_t)((uint8_t)(l[i] << 1) | carry);
        carry = l[i] >> 7;
    }
    seal->mask[BLOCK_BYTES - 1] ^= carry ? 0x87 : 0;
    explicit_bzero(l, sizeof(l));
    return true;
}

static bool prepare(mgb_seal_t *seal, const uint8_t *key)
{
    seal->block = crypto.EVP_CIPHER_CTX_new();
    seal->gcm = crypto.EVP_CIPHER_CTX_new();
    seal->store_used = STORE_BYTES;
    return seal->block && seal->gcm &&
           crypto.EVP_CipherInit_ex(seal->block, crypto.EVP_aes_256_ecb(), NULL, key,
                                    NULL, 1) == 1 &&
           crypto.EVP_CIPHER_CTX_set_padding(seal->block, 0) == 1 &&
           crypto.EVP_CipherInit_ex(seal->gcm, crypto.EVP_aes_256_gcm(), NULL, NULL,
                                    NULL, 1) == 1 &&
           set_mask(seal);
}

mgb_seal_t *mgb_seal_create(const uint8_t key[MGB_SEAL_KEY_BYTES])
{
    mgb_seal_t *seal = is_loaded() ? calloc(1, sizeof(*seal)) : NULL;

    if (seal && !prepare(seal, key)) {
        mgb_seal_destroy(seal);
        return NULL;
    }
    return seal;
}

void mgb_seal_destroy(mgb_seal_t *seal)
{
    if (!seal) {
        return;
    }
    if (seal->block) {
        crypto.EVP_CIPHER_CTX_free(seal->block); /* wipes its keys */
    }
    if (seal->gcm) {
        crypto.EVP_CIPHER_CTX_free(seal->gcm);
    }
    explicit_bzero(seal, sizeof(*seal));
    free(seal);
}

/* Begins a text: the key that belongs to the nonce, the nonce, what it is about. */
static bool begin(mgb_seal_t *seal, const uint8_t *nonce, mgb_part_t about, int shuts)
{
    uint8_t m[2 * BLOCK_BYTES] = {0}, key[2 * BLOCK_BYTES];
    int written;
    bool done;

    for (size_t half = 0; half < 2; half++) {
        uint8_t *block = m + half * BLOCK_BYTES;

        block[1] = (uint8_t)(half + 1);
        block[2] = 'X';
        memcpy(block + 4, nonce, HALF_BYTES);
        for (size_t i = 0; i < BLOCK_BYTES; i++) {
            block[i] ^= seal->mask[i];
        }
    }
    done = about.bytes <= INT_MAX && encrypt_blocks(seal, m, sizeof(m), key) &&
           crypto.EVP_CipherInit_ex(seal->gcm, NULL, NULL, key, nonce + HALF_BYTES,
                                    shuts) == 1 &&
           crypto.EVP_CipherUpdate(seal->gcm, NULL, &written, about.at,
                                   (int)about.bytes) == 1;
    explicit_bzero(key, sizeof(key));
    return done;
}

static bool take_nonce(mgb_seal_t *seal, uint8_t *nonce)
{
    if (seal->store_used + NONCE_BYTES > STORE_BYTES) {
        if (!mgb_libcrypto_random(seal->store, STORE_BYTES)) {
            return false;
        }
        seal->store_used = 0;
    }
    memcpy(nonce, seal->store + seal->store_used, NONCE_BYTES);
    seal->store_used += NONCE_BYTES;
    return true;
}

bool mgb_seal_shut(mgb_seal_t *seal, mgb_part_t about, const uint8_t *plain,
                   size_t bytes, uint8_t *sealed)
{
    uint8_t *text = sealed + NONCE_BYTES;
    int written = 0, more = 0;

    return bytes <= INT_MAX - MGB_SEAL_BYTES && take_nonce(seal, sealed) &&
           begin(seal, sealed, about, 1) &&
           crypto.EVP_CipherUpdate(seal->gcm, text, &written, plain, (int)bytes) == 1 &&
           crypto.EVP_CipherFinal_ex(seal->gcm, text + written, &more) == 1 &&
           (size_t)written + (size_t)more == bytes &&
           crypto.EVP_CIPHER_CTX_ctrl(seal->gcm, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
                                      text + bytes) == 1;
}

bool mgb_seal_open(mgb_seal_t *seal, mgb_part_t about, const uint8_t *sealed,
                   size_t bytes, uint8_t *plain)
{
    uint8_t tag[TAG_BYTES];
    size_t inside;
    int written = 0, more = 0;

    if (bytes < MGB_SEAL_BYTES || bytes > INT_MAX) {
        return false;
    }
    inside = bytes - MGB_SEAL_BYTES;
    memcpy(tag, sealed + bytes - TAG_BYTES, TAG_BYTES);
    if (begin(seal, sealed, about, 0) &&
        crypto.EVP_CipherUpdate(seal->gcm, plain, &written, sealed + NONCE_BYTES,
                                (int)inside) == 1 &&
        crypto.EVP_CIPHER_CTX_ctrl(seal->gcm, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) ==
            1 &&
        crypto.EVP_CipherFinal_ex(seal->gcm, plain + written, &more) == 1 &&
        (size_t)written + (size_t)more == inside) {
        return true;
    }
    memset(plain, 0, inside); /* what it says has not been proved */
    return false;
}
