/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What parses must print to something that parses and prints the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_manifest_freep) struct ib_manifest *m =
        ib_manifest_parse(data, size, "fuzz.json", NULL);
    _cleanup_(ib_buf_clear) struct ib_buf first = {0}, second = {0};

    if (!m)
        return 0;
    ib_manifest_print(m, &first);
    _cleanup_(ib_manifest_freep) struct ib_manifest *again =
        ib_manifest_parse(first.data, first.size, "again.json", NULL);
    if (!again)
        abort();
    ib_manifest_print(again, &second);
    if (first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
        abort();
    return 0;
}
