/* SPDX-License-Identifier: Apache-2.0 */
#include "image/gpt_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "image/bytes.h"
#include "image/gpt.h"

enum { SECTOR = IB_GPT_SECTOR_SIZE, HEADER_MIN = 92 };
#define ENTRIES_MAX IB_MIB

/* The reflected CRC32 of Ethernet (polynomial 0xedb88320), as UEFI wants it. */
static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

struct table {
    uint64_t alternate;
    uint8_t disk[16];
    uint32_t entries_crc;
};

static int wrong(const char *name, uint64_t lba, const char *why, struct ib_error **err)
{
    ib_failf(err, IB_E_VERIFY, "the partition table in sector %llu of '%s' %s",
             (unsigned long long)lba, name, why);
    return ib_hint(err, "write the image again, or look at the disk with sgdisk --verify");
}

static int check_table(int fd, const char *name, uint64_t lba, struct table *ret,
                       struct ib_error **err)
{
    uint8_t header[SECTOR], copy[SECTOR];

    if (ib_pread_full(fd, header, sizeof(header), lba * SECTOR) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read the partition table of");
    uint32_t size = ib_le32(header + 12);
    if (memcmp(header, "EFI PART", 8) != 0)
        return wrong(name, lba, "is missing", err);
    if (size < HEADER_MIN || size > SECTOR || ib_le64(header + 24) != lba)
        return wrong(name, lba, "has a wrong size or place", err);
    memcpy(copy, header, sizeof(copy));
    ib_put_le32(copy + 16, 0);
    if (crc32_of(copy, size) != ib_le32(header + 16))
        return wrong(name, lba, "has a wrong checksum", err);
    uint64_t entries = (uint64_t)ib_le32(header + 80) * ib_le32(header + 84);
    uint64_t entries_at = ib_le64(header + 72);
    if (entries > ENTRIES_MAX || entries_at > INT64_MAX / SECTOR)
        return wrong(name, lba, "is too large", err);
    _cleanup_(ib_freep) uint8_t *data = ib_malloc(entries + 1);
    if (ib_pread_full(fd, data, entries, entries_at * SECTOR) < 0)
        return errno == ENODATA ? wrong(name, lba, "lists partitions beyond the disk's end", err)
                                : ib_fail(err, IB_E_IO, errno, name, "read the partitions of");
    ret->entries_crc = ib_le32(header + 88);
    if (crc32_of(data, entries) != ret->entries_crc)
        return wrong(name, lba, "lists partitions that do not fit its checksum", err);
    ret->alternate = ib_le64(header + 32);
    memcpy(ret->disk, header + 56, sizeof(ret->disk));
    return 0;
}

int ib_gpt_check(int fd, const char *name, bool *ret_at_end, struct ib_error **err)
{
    struct table first, second;
    off_t size = lseek(fd, 0, SEEK_END);

    if (size < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    uint64_t last = (uint64_t)size / SECTOR;
    if (check_table(fd, name, 1, &first, err) < 0)
        return -1;
    if (first.alternate >= last)
        return wrong(name, 1, "names a backup beyond the disk's end", err);
    if (check_table(fd, name, first.alternate, &second, err) < 0)
        return -1;
    if (second.alternate != 1 || second.entries_crc != first.entries_crc ||
        memcmp(second.disk, first.disk, sizeof(first.disk)) != 0)
        return wrong(name, first.alternate, "is not the same as the first", err);
    if (ret_at_end)
        *ret_at_end = first.alternate == last - 1;
    return 0;
}
