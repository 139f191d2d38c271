/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity hash trees, through libcryptsetup, on plain files: no root, no loop device.
 *
 * Format: version 1 (super block, salt first), SHA-256, data and hash blocks of 4096 bytes; Linux,
 * Documentation/admin-guide/device-mapper/verity.rst, and cryptsetup's wiki page "DMVerity".
 */
#pragma once

#include "base/hash.h"
#include "base/progress.h"
#include "image/reader.h"

#define IB_VERITY_BLOCK_SIZE 4096

struct ib_verity_params {
    struct ib_sha256 salt; /* derived from the inputs by the caller: nothing here is random */
    struct ib_uuid uuid;   /* in the super block; likewise */
};

/*
 * Writes the hash tree of the file data_path, whose size is a multiple of 4096 bytes and not 0, to
 * the file hash_path, made or emptied first. Its size is a multiple of 4096 bytes too and is a
 * function of the data's size alone. On failure the hash file is worthless.
 */
int ib_verity_format(const char *data_path, const char *hash_path,
                     const struct ib_verity_params *params, struct ib_sha256 *ret_root_hash,
                     struct ib_error **err) _must_check_;

/*
 * Reads all of the data and compares it with the hash tree and the root hash, as the kernel would
 * block by block. IB_E_VERIFY where they do not belong together, IB_E_INVALID where hash_path holds
 * no hash tree.
 */
int ib_verity_check(const char *data_path, const char *hash_path, const struct ib_sha256 *root_hash,
                    struct ib_error **err) _must_check_;

/* Data and hash tree inside an image or disk: the partitions' offsets and sizes in bytes. */
struct ib_verity_place {
    const struct ib_reader *reader;
    uint64_t data_offset, data_size;
    uint64_t hash_offset, hash_size;
};

/* The root hash as the tree's top block gives it, and how much data it covers; nothing else is
 * checked. IB_E_INVALID when there is no tree of this format, or it does not fit. */
int ib_verity_read_root_hash(const struct ib_verity_place *place, struct ib_sha256 *ret,
                             uint64_t *ret_data_size, struct ib_error **err) _must_check_;

/*
 * ib_verity_check for that: reads all of the tree and all of the data that it covers, on all
 * processors. `step` is advanced by bytes of data. IB_E_VERIFY names the byte of the disk.
 */
int ib_verity_check_place(const struct ib_verity_place *place, const struct ib_sha256 *root_hash,
                          struct ib_progress *progress, struct ib_step *step,
                          struct ib_error **err) _must_check_;

/* The size in bytes of the hash file that ib_verity_format makes for so much data. */
uint64_t ib_verity_hash_size(uint64_t data_size_bytes);

/*
 * The partition UUIDs by which systemd finds root and verity partitions from roothash= alone: the
 * first and the last 128 bits of the root hash (UAPI Group, Discoverable Partitions Specification).
 */
void ib_verity_partition_uuids(const struct ib_sha256 *root_hash, struct ib_uuid *ret_root,
                               struct ib_uuid *ret_verity);
