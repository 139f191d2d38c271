/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures and keys in minisign's formats (https://jedisct1.github.io/minisign/, "Signature
 * format", "Public key format", "Secret key format"): Ed25519 over the BLAKE2b-512 of a message.
 * The minisign program verifies what this signs, and signs what this verifies.
 *
 * A signature's *trusted comment* is covered by a second ("global") signature and is as good as the
 * message; untrusted comments are thrown away when read. Text may come from anywhere: every line is
 * checked, and errors name file and line.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

enum {
    IB_MINISIGN_ID_SIZE = 8,
    IB_MINISIGN_ID_TEXT_SIZE = 17, /* 16 hexadecimal digits, as minisign prints them, and a NUL */
    IB_MINISIGN_KEY_SIZE = 32,
    IB_MINISIGN_SIGNATURE_SIZE = 64,
    IB_MINISIGN_COMMENT_MAX = 8192,
    IB_MINISIGN_TEXT_MAX = 16 * 1024, /* of any of the files */
};

struct ib_minisign_public {
    uint8_t id[IB_MINISIGN_ID_SIZE]; /* tells keys apart; proves nothing */
    uint8_t key[IB_MINISIGN_KEY_SIZE];
};

/* Clear it with ib_minisign_secret_clear, which wipes it. */
struct ib_minisign_secret {
    struct ib_minisign_public public;
    uint8_t seed[IB_MINISIGN_KEY_SIZE];
};

struct ib_minisign_signature {
    bool prehashed; /* "ED"; else the old "Ed", over the message itself */
    uint8_t id[IB_MINISIGN_ID_SIZE];
    uint8_t signature[IB_MINISIGN_SIGNATURE_SIZE];
    uint8_t global[IB_MINISIGN_SIGNATURE_SIZE];
    char *trusted_comment; /* to be believed only after ib_minisign_verify */
};

char *ib_minisign_id_text(const uint8_t id[static IB_MINISIGN_ID_SIZE],
                          char buf[static IB_MINISIGN_ID_TEXT_SIZE]); /* returns buf */

/* Parsing; `name` is the file's, for messages. IB_E_INVALID with file, line, cause and cure. */
int ib_minisign_public_parse(const void *text, size_t size, const char *name,
                             struct ib_minisign_public *ret, struct ib_error **err) _must_check_;
int ib_minisign_signature_parse(const void *text, size_t size, const char *name,
                                struct ib_minisign_signature *ret,
                                struct ib_error **err) _must_check_;
void ib_minisign_signature_clear(struct ib_minisign_signature *signature);

/* Appends a public key's file. */
void ib_minisign_public_print(const struct ib_minisign_public *key, struct ib_buf *ret);

/*
 * Checks message and trusted comment. IB_E_VERIFY when the signature is another key's or does not
 * fit. `name` is the message's. An old "Ed" signature of a message of 64 bytes is refused: it could
 * be a prehashed signature of something else, relabelled.
 */
int ib_minisign_verify(const struct ib_minisign_public *key,
                       const struct ib_minisign_signature *signature, const void *message,
                       size_t size, const char *name, struct ib_error **err) _must_check_;

/*
 * Appends a signature's file (prehashed). The same key, message and comment give the same bytes.
 * trusted_comment: one line of at most IB_MINISIGN_COMMENT_MAX bytes.
 */
void ib_minisign_sign(const struct ib_minisign_secret *key, const void *message, size_t size,
                      const char *trusted_comment, struct ib_buf *ret);

/* A new key pair from the system's randomness. */
int ib_minisign_secret_generate(struct ib_minisign_secret *ret, struct ib_error **err) _must_check_;
void ib_minisign_secret_clear(struct ib_minisign_secret *key);

/* Returns the passphrase of the key file `name`, which the caller wipes and frees, or NULL and an
 * error. */
typedef char *(*ib_passphrase_fn)(const char *name, void *userdata, struct ib_error **err);

/*
 * Parses a secret key's file; `ask` is called once if it is encrypted (scrypt; needs as much memory
 * as its maker chose, at most 1 GiB). IB_E_VERIFY when the passphrase is wrong.
 */
int ib_minisign_secret_parse(const void *text, size_t size, const char *name, ib_passphrase_fn ask,
                             void *userdata, struct ib_minisign_secret *ret,
                             struct ib_error **err) _must_check_;
/* Reads and parses the file. */
int ib_minisign_secret_load(const char *path, ib_passphrase_fn ask, void *userdata,
                            struct ib_minisign_secret *ret, struct ib_error **err) _must_check_;
/* Appends a secret key's file, encrypted as minisign does it (1 GiB of memory, some seconds) unless
 * the passphrase is NULL. The caller wipes the buffer. */
int ib_minisign_secret_print(const struct ib_minisign_secret *key, const char *passphrase,
                             struct ib_buf *ret, struct ib_error **err) _must_check_;
