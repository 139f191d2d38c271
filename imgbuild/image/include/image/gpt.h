/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUID partition tables: laid out in memory as the first and last bytes of a disk, and read back
 * from an image.
 *
 * Format: UEFI specification 2.10, chapter 5 (by libfdisk); partition types from UAPI.2
 * "Discoverable Partitions Specification". Sectors are 512 bytes, partitions begin at multiples of
 * 1 MiB. The same input gives the same bytes: every UUID is the caller's.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"

#define IB_GPT_SECTOR_SIZE 512
#define IB_GPT_HEAD_SIZE IB_MIB /* protective MBR, header, entries, gap */
#define IB_GPT_TAIL_SIZE (UINT64_C(33) * IB_GPT_SECTOR_SIZE) /* backup entries and header */
#define IB_GPT_ALIGN IB_MIB
enum { IB_GPT_PARTITIONS_MAX = 128, IB_GPT_LABEL_MAX = 36 /* UTF-16 units */ };

/* Attribute bits of the specification's "Partition Attributes". */
#define IB_GPT_READ_ONLY (UINT64_C(1) << 60)
#define IB_GPT_GROW_FS (UINT64_C(1) << 59)
#define IB_GPT_NO_AUTO (UINT64_C(1) << 63)

/* What a partition is for; the architecture chooses the UUID. */
enum ib_gpt_type {
    IB_GPT_ESP,
    IB_GPT_ROOT,
    IB_GPT_ROOT_VERITY,
    IB_GPT_VAR,
    IB_GPT_LINUX, /* "Linux filesystem data" */
};

/* arch: "x86-64" or "arm64" (systemd's names). False for another one. */
bool ib_gpt_type_uuid(enum ib_gpt_type type, const char *arch, struct ib_uuid *ret);
/* "esp", "root-x86-64", …; the names systemd-repart uses. NULL for a type we do not know. */
const char *ib_gpt_type_name(const struct ib_uuid *type);

struct ib_gpt_partition {
    struct ib_uuid type;
    struct ib_uuid uuid;
    char label[4 * IB_GPT_LABEL_MAX + 1]; /* UTF-8 */
    uint64_t attributes;
    uint64_t size_bytes;   /* a multiple of the sector size */
    uint64_t offset_bytes; /* filled in by ib_gpt_make */
    unsigned number;       /* from 1; filled in by ib_gpt_make */
};

struct ib_gpt {
    struct ib_uuid disk;
    uint64_t disk_size_bytes;            /* 0: as small as it can be, a multiple of 1 MiB */
    struct ib_gpt_partition *partitions; /* owned where ib_gpt_read made it */
    size_t partition_count;
};

/*
 * Fills in the partitions' offsets, in their order, and the disk's size where that is 0, and
 * appends the disk's first IB_GPT_HEAD_SIZE bytes to `head` and its last IB_GPT_TAIL_SIZE to
 * `tail`. Uses a sparse temporary file under temp_dir. IB_E_INVALID: the partitions do not fit the
 * disk, or a label is too long.
 */
int ib_gpt_make(struct ib_gpt *gpt, const char *temp_dir, struct ib_buf *head, struct ib_buf *tail,
                struct ib_error **err) _must_check_;

/*
 * Reads the table of an image file or block device, which may come from anywhere; read-only, never
 * repaired. Partitions by offset. IB_E_INVALID when there is no valid GPT. Free with ib_gpt_clear.
 */
int ib_gpt_read(int fd, const char *name, struct ib_gpt *ret, struct ib_error **err) _must_check_;
void ib_gpt_clear(struct ib_gpt *gpt);

/* Whether these first bytes of an image hold a GPT, and for which sector size: 0 (none), 512, 4096.
 */
unsigned ib_gpt_find(const void *head, size_t size);

#define IB_GPT_FIT_HEAD (34 * IB_GPT_SECTOR_SIZE) /* what ib_gpt_fit may change at the front */

/*
 * Makes an image's table fit a disk: the backup goes to the disk's end, the space up to there
 * becomes usable, and partitions that are kept from the disk's old table are added, under their old
 * numbers where those are free. `head` are the image's first IB_GPT_FIT_HEAD bytes, or NULL for an
 * empty table of the identity `disk`. Appends the new first IB_GPT_FIT_HEAD and last
 * IB_GPT_TAIL_SIZE bytes. IB_E_INVALID: the table is damaged; IB_E_REFUSED: a kept partition
 * overlaps one of the image, or does not lie on the disk.
 */
struct ib_gpt_fit {
    const void *head;
    const char *name;    /* of the image, for messages */
    struct ib_uuid disk; /* used where head is NULL */
    uint64_t disk_size_bytes;
    const struct ib_gpt_partition *kept;
    size_t kept_count;
};
int ib_gpt_fit(const struct ib_gpt_fit *fit, struct ib_buf *ret_head, struct ib_buf *ret_tail,
               struct ib_error **err) _must_check_;
