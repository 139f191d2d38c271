/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>

#include "base/file.h"
#include "image/artifact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    static uint8_t bytes[70000];

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return 0;
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open_fd(fd, "fuzz", NULL);
    if (!a)
        return 0;
    size_t json_size, signature_size;
    const char *json = ib_artifact_json(a, &json_size);
    const char *signature = ib_artifact_signature(a, &signature_size);
    struct ib_minisign_signature s = {0};
    if (signature_size > 0 &&
        ib_minisign_signature_parse(signature, signature_size, "fuzz", &s, NULL) == 0) {
        struct ib_minisign_public key = {{0}, {1}};
        memcpy(key.id, s.id, sizeof(key.id));
        if (ib_minisign_verify(&key, &s, json, json_size, "fuzz", NULL) < 0)
            signature_size = 0; /* whatever the answer */
        ib_minisign_signature_clear(&s);
    }
    uint64_t disk = ib_artifact_manifest(a)->disk_size_bytes;
    for (uint64_t at = 0; at < disk && at < 4 * IB_MIB; at += IB_MIB)
        if (ib_artifact_read(a, bytes, (size_t)IB_MIN(sizeof(bytes), disk - at), at, NULL) < 0)
            break;
    if (disk <= 4 * IB_MIB) {
        _cleanup_(ib_closep) int out = memfd_create("out", MFD_CLOEXEC);
        if (ib_artifact_unpack(a, 0, 0, out, NULL, NULL, NULL) < 0)
            return 0;
    }
    return 0;
}
