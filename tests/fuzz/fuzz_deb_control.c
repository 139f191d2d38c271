/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debfile.h"
#include "os/debrepo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_buf_clear) struct ib_buf paragraph = {0};
    struct ib_deb deb = {0};

    if (ib_deb_control_read_memory("fuzz.deb", data, size, &deb.control, NULL) == 0)
        ib_debrepo_append_paragraph(&deb, &paragraph);
    ib_deb_control_clear(&deb.control);
    return 0;
}
