/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the node stage share: making the parts, and putting them together. */
#pragma once

#include "build_internal.h"
#include "image/frames.h"
#include "image/gpt.h"

enum { IB_NODE_ESP, IB_NODE_ROOT, IB_NODE_VERITY, IB_NODE_PARTITIONS };

/* Everything made on the way to one artifact; dir holds the files. */
struct ib_node_work {
    struct ib_cache_entry *root, *initrd;
    struct ib_root_info info;
    struct ib_buf identity; /* cpio */
    char *os_release, *cmdline;
    char *dir, *uki, *esp;
    struct ib_sha256 uki_hash;
    struct ib_gpt gpt;
    struct ib_gpt_partition partitions[IB_NODE_PARTITIONS];
    struct ib_buf head, tail; /* of the disk */
    struct ib_frames esp_frames;
    int esp_frames_fd; /* of those that are in no store */
    struct ib_frame_store *esp_reference;
};

void ib_node_work_clear(struct ib_node_work *work);

/* Writes the artifact and what is beside it to out_dir, and notes in `entry` what it wrote. */
int ib_publish(const struct ib_build *b, const struct ib_node_spec *node, struct ib_node_work *work,
               const struct ib_cache_entry *entry, struct ib_built *ret,
               struct ib_error **err) _must_check_;
/* What the entry notes; false where a file that it names is not in out_dir any more. */
bool ib_published_read(const struct ib_build *b, const struct ib_node_spec *node,
                       const struct ib_cache_entry *entry, struct ib_built *ret);
