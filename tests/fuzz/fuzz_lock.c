/* SPDX-License-Identifier: Apache-2.0 */
/* A lock from anywhere: what is accepted must come back the same from its own text. */
#include <stdlib.h>
#include <string.h>

#include "model/lock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_lock *lock = ib_lock_parse("lock", data, size, diags);

    if (lock) {
        char *text = ib_lock_format(lock);
        struct ib_lock *again = ib_lock_parse("again", text, strlen(text), diags);
        char *twice = again ? ib_lock_format(again) : NULL;
        if (!twice || strcmp(text, twice) != 0)
            abort();
        free(text);
        free(twice);
        ib_lock_free(again);
        ib_lock_free(lock);
    }
    ib_diags_free(diags);
    return 0;
}
