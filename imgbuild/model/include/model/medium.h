/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a recovery medium: which nodes it can install, and of which pieces of its data area
 * each one's artifact is put together. JSON, format 1 (docs/formats.md); strictly parsed: an
 * unknown key, a wrong type or a second node of one name is an error.
 */
#pragma once

#include "base/hash.h"
#include "io/source.h"
#include "model/disk_rule.h"
#include "model/net.h"

#define IB_MEDIUM_FORMAT 1
#define IB_MEDIUM_INDEX_MAX (32 * IB_MIB) /* of the JSON */
enum { IB_MEDIUM_NODES_MAX = 1000 };

struct ib_medium_node {
    char *name, *role, *version;
    char *artifact; /* the name of its file: "odin_2026.11.22.img.zst" */
    struct ib_mac mac;
    struct ib_disk_rule install_disk;
    struct ib_sha256 manifest;      /* of the JSON in the artifact */
    struct ib_source_range *pieces; /* of the data area, in the order of the artifact */
    size_t piece_count;
};

struct ib_medium {
    struct ib_medium_node *nodes; /* in the order given */
    size_t count;
};

/* Appends the JSON. */
void ib_medium_format(const struct ib_medium *medium, struct ib_buf *ret);
/* `name` is for messages. The caller clears. */
int ib_medium_parse(const void *data, size_t size, const char *name, struct ib_medium *ret,
                    struct ib_error **err) _must_check_;
void ib_medium_node_clear(struct ib_medium_node *node);
void ib_medium_clear(struct ib_medium *medium);

/* By name; NULL when there is none. Borrowed. */
const struct ib_medium_node *ib_medium_find(const struct ib_medium *medium, const char *name);
