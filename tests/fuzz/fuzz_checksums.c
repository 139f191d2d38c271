/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of checksums, armored keys and URLs' file names: what comes from a server as text. */
#include <string.h>

#include "io/fetch.h"
#include "os/checksums.h"
#include "os/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_buf_clear) struct ib_buf packets = {0};
    _cleanup_(ib_freep) char *text = ib_strndup((const char *)data, size);
    struct ib_checksums list = {0};

    if (ib_checksums_parse("fuzz", data, size, &list, NULL) == 0)
        for (size_t i = 0; i < list.count; i++)
            if (!ib_checksums_find(&list, list.items[i].name))
                __builtin_trap();
    ib_checksums_clear(&list);
    if (ib_armor_decode("fuzz", data, size, &packets, NULL) < 0)
        ib_buf_clear(&packets);
    _cleanup_(ib_freep) char *base = ib_url_basename(text);
    if (base && (strchr(base, '/') || !*base))
        __builtin_trap();
    return 0;
}
