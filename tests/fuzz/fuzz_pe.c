/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "image/uki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a file whose headers are read, then its sections. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    _cleanup_(ib_buf_clear) struct ib_buf section = {0};
    struct ib_pe pe;

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return 0;
    if (ib_pe_read(fd, "fuzz.efi", &pe, NULL) < 0)
        return 0;
    (void)ib_uki_is(&pe);
    for (size_t i = 0; i < pe.section_count; i++)
        if (ib_uki_read_section(fd, &pe, pe.sections[i].name, "fuzz.efi", IB_MIB, &section, NULL) <
            0)
            continue;

    /* and as a stub that gets sections */
    _cleanup_(ib_closep) int out = memfd_create("fuzz", MFD_CLOEXEC);
    const struct ib_uki uki = {.stub = {.data = data, .size = size},
                               .kernel = {.data = data, .size = size},
                               .cmdline = "quiet",
                               .os_release = "ID=x\n"};
    if (ib_uki_write(&uki, out, NULL, NULL) == 0 && ib_pe_read(out, "made.efi", &pe, NULL) < 0)
        abort(); /* what we make must be readable */
    return 0;
}
