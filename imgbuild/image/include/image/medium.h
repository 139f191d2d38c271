/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data area of a recovery medium: the artifacts of several nodes, what they share stored once.
 *
 *     0       magic "IBMEDIA1", size of the JSON (8, little-endian), SHA-256 of the JSON (32)
 *     4096    the index, JSON (model/medium.h)
 *     data    at the next multiple of 1 MiB: runs of artifacts, one after the other
 *
 * The SHA-256 of the index is the medium's *identity*: it names every artifact's manifest by its
 * hash, and so every byte that an installation from it writes.
 */
#pragma once

#include "model/medium.h"

#define IB_MEDIUM_MAGIC "IBMEDIA1"
#define IB_MEDIUM_INDEX_OFFSET 4096
#define IB_MEDIUM_ALIGN IB_MIB

/* --- making one --------------------------------------------------------------------------------
 *
 *     writer = ib_medium_writer_new()
 *     ib_medium_writer_add(writer, &node, path, err)      for each node
 *     ib_medium_writer_finish(writer, &id, &size, err)    what it will be
 *     ib_medium_writer_write(writer, fd, progress, err)
 */
struct ib_medium_writer;

struct ib_medium_writer *ib_medium_writer_new(void);
struct ib_medium_writer *ib_medium_writer_free(struct ib_medium_writer *writer); /* returns NULL */
void ib_medium_writer_freep(struct ib_medium_writer **writer);

/*
 * Adds the artifact at `path` as a node. *node has its name, MAC address and the rule of its disk
 * (taken, {0} afterwards); the rest comes from the manifest, which must be of that name
 * (IB_E_INVALID). Every frame is checked. The file must not change until the medium is written.
 */
int ib_medium_writer_add(struct ib_medium_writer *writer, struct ib_medium_node *node,
                         const char *path, struct ib_progress *progress,
                         struct ib_error **err) _must_check_;

/* After the last node: the identity, and the size of all, a multiple of IB_MEDIUM_ALIGN. */
int ib_medium_writer_finish(struct ib_medium_writer *writer, struct ib_sha256 *ret_id,
                            uint64_t *ret_size, struct ib_error **err) _must_check_;
/* Bytes of all artifacts as files, for what sharing saves. */
uint64_t ib_medium_writer_artifact_bytes(const struct ib_medium_writer *writer);

/* Writes it from the current position of fd, a regular file; the end may be a hole. */
int ib_medium_writer_write(struct ib_medium_writer *writer, int fd, struct ib_progress *progress,
                           struct ib_step *step, struct ib_error **err) _must_check_;

/* --- reading -----------------------------------------------------------------------------------
 */

/*
 * Reads the index of a medium, a partition or a file; `id`, where not NULL, is what its identity
 * must be (IB_E_VERIFY). Each node's pieces then count from the start of fd. The caller clears.
 */
int ib_medium_read(int fd, const char *name, const struct ib_sha256 *id, struct ib_medium *ret,
                   struct ib_error **err) _must_check_;
