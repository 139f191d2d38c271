/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "io/minisign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *no_passphrase(const char *name, void *userdata _unused_, struct ib_error **err)
{
    ib_failf(err, IB_E_USAGE, "'%s' is encrypted", name); /* scrypt would take all the time */
    return NULL;
}

/* What parses must print to something that parses to the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ib_minisign_public key, again;
    struct ib_minisign_secret secret, secret_again;
    struct ib_minisign_signature signature = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_minisign_public_parse(data, size, "fuzz.pub", &key, NULL) == 0) {
        ib_minisign_public_print(&key, &text);
        if (ib_minisign_public_parse(text.data, text.size, "again.pub", &again, NULL) < 0 ||
            memcmp(&key, &again, sizeof(key)) != 0)
            abort();
        if (ib_minisign_signature_parse(data, size, "fuzz.minisig", &signature, NULL) == 0)
            abort(); /* nothing is both */
    }
    if (ib_minisign_signature_parse(data, size, "fuzz.minisig", &signature, NULL) == 0) {
        const struct ib_minisign_public zero = {0};
        if (ib_minisign_verify(&zero, &signature, "m", 1, "m", NULL) < 0)
            text.size = 0; /* whatever the answer: some signatures fit a key of zeros */
        ib_minisign_signature_clear(&signature);
    }
    if (ib_minisign_secret_parse(data, size, "fuzz.key", no_passphrase, NULL, &secret, NULL) == 0) {
        text.size = 0;
        if (ib_minisign_secret_print(&secret, NULL, &text, NULL) < 0 ||
            ib_minisign_secret_parse(text.data, text.size, "again.key", NULL, NULL, &secret_again,
                                     NULL) < 0 ||
            memcmp(&secret, &secret_again, sizeof(secret)) != 0)
            abort();
    }
    return 0;
}
