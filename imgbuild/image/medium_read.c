/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "image/medium.h"

static int not_a_medium(const char *name, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "'%s' is no recovery medium of imgbuild", name);
}

int ib_medium_read(int fd, const char *name, const struct ib_sha256 *id, struct ib_medium *ret,
                   struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf json = {0};
    uint8_t header[48];
    struct ib_sha256 hash;
    uint64_t size;

    if (ib_pread_full(fd, header, sizeof(header), 0) < 0)
        return errno == ENODATA ? not_a_medium(name, err)
                                : ib_fail(err, IB_E_IO, errno, name, "read");
    memcpy(&size, header + 8, sizeof(size));
    size = le64toh(size);
    if (memcmp(header, IB_MEDIUM_MAGIC, 8) != 0 || size == 0 || size > IB_MEDIUM_INDEX_MAX)
        return not_a_medium(name, err);
    if (ib_pread_full(fd, ib_buf_reserve(&json, size), size, IB_MEDIUM_INDEX_OFFSET) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read the index of");
    json.size = size;
    ib_sha256(json.data, json.size, &hash);
    if (memcmp(hash.bytes, header + 16, sizeof(hash.bytes)) != 0 ||
        (id && !ib_sha256_equal(&hash, id))) {
        ib_failf(err, IB_E_VERIFY, "the index of '%s' is not the one it was made with", name);
        return ib_hint(err, "the medium is damaged or was changed: make it again");
    }
    if (ib_medium_parse(json.data, json.size, name, ret, err) < 0)
        return -1;
    uint64_t data = ib_round_up(IB_MEDIUM_INDEX_OFFSET + size, IB_MEDIUM_ALIGN);
    for (size_t i = 0; i < ret->count; i++)
        for (size_t k = 0; k < ret->nodes[i].piece_count; k++)
            if (!ib_add_u64(ret->nodes[i].pieces[k].offset, data,
                            &ret->nodes[i].pieces[k].offset)) {
                ib_medium_clear(ret);
                return not_a_medium(name, err);
            }
    return 0;
}
