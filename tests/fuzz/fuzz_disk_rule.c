/* SPDX-License-Identifier: Apache-2.0 */
/* Disk rules of the command line: what is taken is printed as the same rule, and matching any disk
 * ends. */
#include <string.h>

#include "model/disk_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/dev/nvme0n1", model[] = "Samsung SSD 980 PRO 1TB", serial[] = "S5GX",
                transport[] = "nvme", id[] = "nvme-Samsung_SSD_980_PRO_1TB_S5GX";
    static char *ids[] = {id};
    static const struct ib_disk disk = {.path = path,
                                        .model = model,
                                        .serial = serial,
                                        .transport = transport,
                                        .by_id = {ids, 1, 1},
                                        .size_bytes = UINT64_C(1000204886016)};
    _cleanup_(ib_freep) char *text = ib_strndup((const char *)data, size);
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0}, again = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (!text || ib_disk_rule_parse(text, &rule, &err) < 0)
        return 0;
    _cleanup_(ib_freep) char *printed = ib_disk_rule_text(&rule);
    if (ib_disk_rule_parse(printed, &again, NULL) < 0)
        __builtin_trap();
    _cleanup_(ib_freep) char *printed_again = ib_disk_rule_text(&again);
    if (strcmp(printed, printed_again) != 0)
        __builtin_trap();
    free(ib_disk_rule_mismatch(&rule, &disk));
    return 0;
}
