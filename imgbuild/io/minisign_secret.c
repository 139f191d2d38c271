/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret keys: making, reading and writing them (io/minisign.h).
 *
 * The base64 line holds: algorithm "Ed", kdf "Sc" (scrypt) or two NULs (not encrypted), checksum
 * "B2", salt, opslimit and memlimit (libsodium's measures, 8 bytes each, little-endian); then,
 * XORed with scrypt's output where encrypted, key id, seed, public key, and the BLAKE2b-256 of
 * algorithm, id, seed and public key.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/file.h"
#include "blake2b.h"
#include "io/minisign.h"
#include "minisign_text.h"

enum { SALT_SIZE = 32, CHECKSUM_SIZE = 32 };

/* libsodium's crypto_pwhash_scryptsalsa208sha256_*LIMIT_SENSITIVE, which minisign uses; more than
 * this memory is not asked of us by a key. */
#define OPSLIMIT UINT64_C(33554432)
#define MEMLIMIT IB_GIB

struct payload { /* what the passphrase hides */
    uint8_t id[IB_MINISIGN_ID_SIZE];
    uint8_t seed[IB_MINISIGN_KEY_SIZE];
    uint8_t public[IB_MINISIGN_KEY_SIZE];
    uint8_t checksum[CHECKSUM_SIZE];
};

struct packed_secret {
    uint8_t algorithm[2], kdf[2], checksum_algorithm[2];
    uint8_t salt[SALT_SIZE];
    uint8_t opslimit[8], memlimit[8];
    struct payload payload;
};
_Static_assert(sizeof(struct payload) == 104 && sizeof(struct packed_secret) == 158, "no padding");

static void cleanse_packed(struct packed_secret *packed)
{
    OPENSSL_cleanse(packed, sizeof(*packed));
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void checksum(const struct payload *p, uint8_t ret[static CHECKSUM_SIZE])
{
    uint8_t data[2 + offsetof(struct payload, checksum)] = {'E', 'd'};

    memcpy(data + 2, p, sizeof(data) - 2);
    ib_blake2b_block(data, sizeof(data), ret, CHECKSUM_SIZE);
    OPENSSL_cleanse(data, sizeof(data));
}

static void derive_public(const uint8_t *seed, uint8_t *ret)
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, IB_MINISIGN_KEY_SIZE);
    size_t n = IB_MINISIGN_KEY_SIZE;

    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, ret, &n) != 1)
        abort(); /* out of memory: any 32 bytes are a seed */
    EVP_PKEY_free(pkey);
}

/* As libsodium's pickparams() chooses scrypt's cost from the two limits; r is always 8. */
static void scrypt_cost(uint64_t opslimit, uint64_t memlimit, uint64_t *ret_n, uint64_t *ret_p)
{
    const uint64_t r = 8;
    unsigned log2 = 1;

    opslimit = IB_MAX(opslimit, UINT64_C(32768));
    bool few_ops = opslimit < memlimit / 32;
    uint64_t max_n = few_ops ? opslimit / (r * 4) : memlimit / (r * 128);
    while (log2 < 63 && UINT64_C(1) << log2 <= max_n / 2)
        log2++;
    *ret_n = UINT64_C(1) << log2;
    *ret_p = few_ops ? 1 : IB_MIN((opslimit / 4) >> log2, UINT64_C(0x3fffffff)) / r;
}

/* XORs the payload with scrypt's output. */
static int crypt_payload(struct packed_secret *s, const char *passphrase, const char *name,
                         struct ib_error **err)
{
    uint64_t opslimit = get_u64(s->opslimit), memlimit = get_u64(s->memlimit), n, p;
    uint8_t stream[sizeof(struct payload)], *payload = (uint8_t *)&s->payload;

    scrypt_cost(opslimit, memlimit, &n, &p);
    if (opslimit > OPSLIMIT || memlimit > MEMLIMIT || p == 0)
        return ib_failf(err, IB_E_INVALID, "'%s' asks for more work or memory than a key should",
                        name);
    if (EVP_PBE_scrypt(passphrase, strlen(passphrase), s->salt, sizeof(s->salt), n, 8, p,
                       MEMLIMIT + 16 * IB_MIB, stream, sizeof(stream)) != 1) {
        ib_failf(err, IB_E_UNSUPPORTED, "there is not enough memory for the passphrase of '%s'",
                 name);
        return ib_hint(err, "it takes %llu MiB", (unsigned long long)(n * 8 * 128 / IB_MIB));
    }
    for (size_t i = 0; i < sizeof(stream); i++)
        payload[i] ^= stream[i];
    OPENSSL_cleanse(stream, sizeof(stream));
    return 0;
}

int ib_minisign_secret_generate(struct ib_minisign_secret *ret, struct ib_error **err)
{
    if (RAND_bytes(ret->public.id, sizeof(ret->public.id)) != 1 ||
        RAND_priv_bytes(ret->seed, sizeof(ret->seed)) != 1)
        return ib_failf(err, IB_E_UNSUPPORTED, "the system gives no random numbers");
    derive_public(ret->seed, ret->public.key);
    return 0;
}

void ib_minisign_secret_clear(struct ib_minisign_secret *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

static int decrypt(struct packed_secret *s, const char *name, ib_passphrase_fn ask, void *userdata,
                   struct ib_error **err)
{
    char *passphrase = ask ? ask(name, userdata, err) : NULL;

    if (!ask)
        return ib_failf(err, IB_E_VERIFY, "'%s' is encrypted", name);
    if (!passphrase)
        return -1;
    int r = crypt_payload(s, passphrase, name, err);
    OPENSSL_cleanse(passphrase, strlen(passphrase));
    free(passphrase);
    return r;
}

static int check_payload(const struct packed_secret *s, const struct minisign_lines *lines,
                         bool encrypted)
{
    static const uint8_t zeros[CHECKSUM_SIZE];
    uint8_t sum[CHECKSUM_SIZE], public[IB_MINISIGN_KEY_SIZE];

    checksum(&s->payload, sum);
    bool same = CRYPTO_memcmp(sum, s->payload.checksum, sizeof(sum)) == 0;
    if (!encrypted) /* minisign 0.11 -W leaves it empty */
        same = same || memcmp(s->payload.checksum, zeros, sizeof(zeros)) == 0;
    if (!same && encrypted) {
        ib_failf(lines->err, IB_E_VERIFY, "the passphrase of '%s' is wrong", lines->name);
        return ib_hint(lines->err, "try it again");
    }
    if (!same)
        return ib_minisign_bad(lines, "its checksum is wrong");
    derive_public(s->payload.seed, public);
    if (memcmp(public, s->payload.public, sizeof(public)) != 0)
        return ib_minisign_bad(lines, "its secret and public halves do not belong together");
    return 0;
}

int ib_minisign_secret_parse(const void *text, size_t size, const char *name, ib_passphrase_fn ask,
                             void *userdata, struct ib_minisign_secret *ret, struct ib_error **err)
{
    _cleanup_(cleanse_packed) struct packed_secret s = {0};
    struct minisign_lines lines = {
        .text = text, .size = size, .name = name, .what = "secret key", .err = err};
    const char *comment;
    size_t comment_size;

    if (ib_minisign_comment(&lines, "untrusted comment: ", &comment, &comment_size) < 0 ||
        ib_minisign_base64(&lines, &s, sizeof(s)) < 0)
        return -1;
    bool encrypted = memcmp(s.kdf, "Sc", 2) == 0;
    if (memcmp(s.algorithm, "Ed", 2) != 0 || memcmp(s.checksum_algorithm, "B2", 2) != 0 ||
        (!encrypted && memcmp(s.kdf, "\0\0", 2) != 0))
        return ib_minisign_bad(&lines, "its algorithms are not Ed25519, scrypt and BLAKE2b");
    if (ib_minisign_end(&lines) < 0 || (encrypted && decrypt(&s, name, ask, userdata, err) < 0) ||
        check_payload(&s, &lines, encrypted) < 0)
        return -1;
    memcpy(ret->public.id, s.payload.id, sizeof(ret->public.id));
    memcpy(ret->public.key, s.payload.public, sizeof(ret->public.key));
    memcpy(ret->seed, s.payload.seed, sizeof(ret->seed));
    return 0;
}

int ib_minisign_secret_load(const char *path, ib_passphrase_fn ask, void *userdata,
                            struct ib_minisign_secret *ret, struct ib_error **err)
{
    struct ib_buf text = {0};
    int r = ib_read_file(path, IB_MINISIGN_TEXT_MAX, &text, err);

    if (r == 0)
        r = ib_minisign_secret_parse(text.data, text.size, path, ask, userdata, ret, err);
    OPENSSL_cleanse(text.data, text.size);
    ib_buf_clear(&text);
    return r < 0 ? ib_wrap(err, path, "use the secret key") : 0;
}

int ib_minisign_secret_print(const struct ib_minisign_secret *key, const char *passphrase,
                             struct ib_buf *ret, struct ib_error **err)
{
    _cleanup_(cleanse_packed) struct packed_secret s = {.algorithm = {'E', 'd'},
                                                        .checksum_algorithm = {'B', '2'}};
    char id[IB_MINISIGN_ID_TEXT_SIZE];

    memcpy(s.payload.id, key->public.id, sizeof(s.payload.id));
    memcpy(s.payload.seed, key->seed, sizeof(s.payload.seed));
    memcpy(s.payload.public, key->public.key, sizeof(s.payload.public));
    checksum(&s.payload, s.payload.checksum);
    if (passphrase) {
        memcpy(s.kdf, "Sc", 2);
        put_u64(s.opslimit, OPSLIMIT);
        put_u64(s.memlimit, MEMLIMIT);
        if (RAND_bytes(s.salt, sizeof(s.salt)) != 1)
            return ib_failf(err, IB_E_UNSUPPORTED, "the system gives no random numbers");
        if (crypt_payload(&s, passphrase, "the new key", err) < 0)
            return -1;
    }
    ib_buf_printf(ret, "untrusted comment: minisign %ssecret key %s\n",
                  passphrase ? "encrypted " : "unencrypted ",
                  ib_minisign_id_text(key->public.id, id));
    ib_minisign_put_base64(ret, &s, sizeof(s));
    return 0;
}
