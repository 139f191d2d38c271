/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys and signatures; secret keys are in minisign_secret.c. */
#include "io/minisign.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "minisign_text.h"

enum { HASH_SIZE = 64 };

static const char untrusted_prefix[] = "untrusted comment: ";
static const char trusted_prefix[] = "trusted comment: ";

/* The base64 lines' content, byte by byte as in the format. */
struct packed_public {
    uint8_t algorithm[2]; /* "Ed" */
    uint8_t id[IB_MINISIGN_ID_SIZE];
    uint8_t key[IB_MINISIGN_KEY_SIZE];
};

struct packed_signature {
    uint8_t algorithm[2]; /* "ED" or "Ed" */
    uint8_t id[IB_MINISIGN_ID_SIZE];
    uint8_t signature[IB_MINISIGN_SIGNATURE_SIZE];
};
_Static_assert(sizeof(struct packed_public) == 42 && sizeof(struct packed_signature) == 74,
               "no padding");

char *ib_minisign_id_text(const uint8_t id[static IB_MINISIGN_ID_SIZE],
                          char buf[static IB_MINISIGN_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";

    for (int i = 0; i < IB_MINISIGN_ID_SIZE; i++) { /* a number, lowest byte first */
        uint8_t byte = id[IB_MINISIGN_ID_SIZE - 1 - i];
        buf[2 * i] = digits[byte >> 4];
        buf[2 * i + 1] = digits[byte & 15];
    }
    buf[2 * IB_MINISIGN_ID_SIZE] = 0;
    return buf;
}

int ib_minisign_public_parse(const void *text, size_t size, const char *name,
                             struct ib_minisign_public *ret, struct ib_error **err)
{
    struct minisign_lines lines = {
        .text = text, .size = size, .name = name, .what = "public key", .err = err};
    struct packed_public packed;
    const char *comment;
    size_t comment_size;

    if (ib_minisign_comment(&lines, untrusted_prefix, &comment, &comment_size) < 0 ||
        ib_minisign_base64(&lines, &packed, sizeof(packed)) < 0)
        return -1;
    if (memcmp(packed.algorithm, "Ed", 2) != 0)
        return ib_minisign_bad(&lines, "its algorithm is not Ed25519");
    if (ib_minisign_end(&lines) < 0)
        return -1;
    memcpy(ret->id, packed.id, sizeof(ret->id));
    memcpy(ret->key, packed.key, sizeof(ret->key));
    return 0;
}

void ib_minisign_public_print(const struct ib_minisign_public *key, struct ib_buf *ret)
{
    struct packed_public packed = {.algorithm = {'E', 'd'}};
    char id[IB_MINISIGN_ID_TEXT_SIZE];

    memcpy(packed.id, key->id, sizeof(packed.id));
    memcpy(packed.key, key->key, sizeof(packed.key));
    ib_buf_printf(ret, "%sminisign public key %s\n", untrusted_prefix,
                  ib_minisign_id_text(key->id, id));
    ib_minisign_put_base64(ret, &packed, sizeof(packed));
}

int ib_minisign_signature_parse(const void *text, size_t size, const char *name,
                                struct ib_minisign_signature *ret, struct ib_error **err)
{
    struct minisign_lines lines = {
        .text = text, .size = size, .name = name, .what = "signature", .err = err};
    struct packed_signature packed;
    const char *comment;
    size_t comment_size;

    if (ib_minisign_comment(&lines, untrusted_prefix, &comment, &comment_size) < 0 ||
        ib_minisign_base64(&lines, &packed, sizeof(packed)) < 0)
        return -1;
    bool prehashed = memcmp(packed.algorithm, "ED", 2) == 0;
    if (!prehashed && memcmp(packed.algorithm, "Ed", 2) != 0)
        return ib_minisign_bad(&lines, "its algorithm is not Ed25519");
    if (ib_minisign_comment(&lines, trusted_prefix, &comment, &comment_size) < 0 ||
        ib_minisign_base64(&lines, ret->global, sizeof(ret->global)) < 0 ||
        ib_minisign_end(&lines) < 0)
        return -1;
    ret->prehashed = prehashed;
    memcpy(ret->id, packed.id, sizeof(ret->id));
    memcpy(ret->signature, packed.signature, sizeof(ret->signature));
    ret->trusted_comment = ib_strndup(comment, comment_size);
    return 0;
}

void ib_minisign_signature_clear(struct ib_minisign_signature *signature)
{
    free(signature->trusted_comment);
    *signature = (struct ib_minisign_signature){0};
}

static void hash(const void *message, size_t size, uint8_t ret[static HASH_SIZE])
{
    unsigned n = 0;

    if (EVP_Digest(message, size, ret, &n, EVP_blake2b512(), NULL) != 1 || n != HASH_SIZE)
        abort(); /* out of memory */
}

static bool fits(const struct ib_minisign_public *key, const uint8_t *signature,
                 const void *message, size_t size)
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->key, sizeof(key->key));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!ctx)
        abort();
    bool ok = pkey && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, signature, IB_MINISIGN_SIGNATURE_SIZE, message, size) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

/* What the global signature covers: the first signature, then the comment. */
static void global_message(const uint8_t *signature, const char *comment, struct ib_buf *ret)
{
    ib_buf_append(ret, signature, IB_MINISIGN_SIGNATURE_SIZE);
    ib_buf_append_str(ret, comment);
}

int ib_minisign_verify(const struct ib_minisign_public *key,
                       const struct ib_minisign_signature *signature, const void *message,
                       size_t size, const char *name, struct ib_error **err)
{
    const struct ib_minisign_signature *s = signature;
    _cleanup_(ib_buf_clear) struct ib_buf global = {0};
    char ours[IB_MINISIGN_ID_TEXT_SIZE], theirs[IB_MINISIGN_ID_TEXT_SIZE];
    uint8_t digest[HASH_SIZE];

    if (memcmp(key->id, s->id, sizeof(key->id)) != 0)
        return ib_failf(err, IB_E_VERIFY, "'%s' is signed by the key %s, not by %s", name,
                        ib_minisign_id_text(s->id, theirs), ib_minisign_id_text(key->id, ours));
    if (!s->prehashed && size == HASH_SIZE)
        return ib_failf(err, IB_E_VERIFY,
                        "the signature of '%s' has the old form, which is not safe for 64 bytes",
                        name);
    if (s->prehashed)
        hash(message, size, digest);
    if (!fits(key, s->signature, s->prehashed ? digest : message,
              s->prehashed ? sizeof(digest) : size))
        return ib_failf(err, IB_E_VERIFY, "the signature of '%s' does not fit it", name);
    global_message(s->signature, s->trusted_comment, &global);
    if (!fits(key, s->global, global.data, global.size))
        return ib_failf(err, IB_E_VERIFY,
                        "the trusted comment in the signature of '%s' was changed", name);
    return 0;
}

static void sign(const struct ib_minisign_secret *key, const void *message, size_t size,
                 uint8_t ret[static IB_MINISIGN_SIGNATURE_SIZE])
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed, sizeof(key->seed));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = IB_MINISIGN_SIGNATURE_SIZE;

    if (!pkey || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) != 1 ||
        EVP_DigestSign(ctx, ret, &n, message, size) != 1 || n != IB_MINISIGN_SIGNATURE_SIZE)
        abort(); /* out of memory: any seed can sign */
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

void ib_minisign_sign(const struct ib_minisign_secret *key, const void *message, size_t size,
                      const char *trusted_comment, struct ib_buf *ret)
{
    struct packed_signature packed = {.algorithm = {'E', 'D'}};
    uint8_t digest[HASH_SIZE], global_signature[IB_MINISIGN_SIGNATURE_SIZE];
    _cleanup_(ib_buf_clear) struct ib_buf global = {0};
    char id[IB_MINISIGN_ID_TEXT_SIZE];

    assert(!strpbrk(trusted_comment, "\r\n") && strlen(trusted_comment) <= IB_MINISIGN_COMMENT_MAX);
    memcpy(packed.id, key->public.id, sizeof(packed.id));
    hash(message, size, digest);
    sign(key, digest, sizeof(digest), packed.signature);
    global_message(packed.signature, trusted_comment, &global);
    sign(key, global.data, global.size, global_signature);
    ib_buf_printf(ret, "%ssignature from minisign secret key %s\n", untrusted_prefix,
                  ib_minisign_id_text(key->public.id, id));
    ib_minisign_put_base64(ret, &packed, sizeof(packed));
    ib_buf_printf(ret, "%s%s\n", trusted_prefix, trusted_comment);
    ib_minisign_put_base64(ret, global_signature, sizeof(global_signature));
}
