/* SPDX-License-Identifier: Apache-2.0 */
#include "image/bmap.h"

#include <inttypes.h>
#include <string.h>

/* BmapFileChecksum is the file's own SHA-256, made while zeros stand in its place. */
static const char ZERO_HASH[] = "0000000000000000000000000000000000000000000000000000000000000000";

void ib_bmap_print(const struct ib_manifest *manifest, struct ib_buf *ret)
{
    char hex[IB_SHA256_HEX_SIZE];
    struct ib_sha256 hash;
    size_t start = ret->size;
    uint64_t mapped = 0;

    for (size_t i = 0; i < manifest->frame_count; i++)
        mapped += manifest->frames[i].zero ? 0 : manifest->frames[i].raw_size;
    ib_buf_printf(ret,
                  "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n"
                  "    <ImageSize> %" PRIu64 " </ImageSize>\n    <BlockSize> 1 </BlockSize>\n"
                  "    <BlocksCount> %" PRIu64 " </BlocksCount>\n"
                  "    <MappedBlocksCount> %" PRIu64 " </MappedBlocksCount>\n"
                  "    <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> ",
                  manifest->disk_size_bytes, manifest->disk_size_bytes, mapped);
    size_t checksum_at = ret->size;
    ib_buf_printf(ret, "%s </BmapFileChecksum>\n    <BlockMap>\n", ZERO_HASH);
    for (size_t i = 0; i < manifest->frame_count; i++) {
        const struct ib_manifest_frame *f = &manifest->frames[i];
        if (!f->zero)
            ib_buf_printf(ret, "        <Range chksum=\"%s\">%" PRIu64 "-%" PRIu64 "</Range>\n",
                          ib_sha256_hex(&f->sha256, hex), f->raw_offset,
                          f->raw_offset + f->raw_size - 1);
    }
    ib_buf_append_str(ret, "    </BlockMap>\n</bmap>\n");
    ib_sha256(ret->data + start, ret->size - start, &hash);
    memcpy(ret->data + checksum_at, ib_sha256_hex(&hash, hex), IB_SHA256_HEX_SIZE - 1);
}
