/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree in which every node and every key knows its line and column.
 *
 * Built on libyaml's events. What makes YAML surprising or dangerous is refused with a diagnostic:
 * anchors and aliases, tags, several documents, repeated keys, keys that are not plain words,
 * nesting deeper than 32, more than 100,000 nodes or 1000 keys in a mapping, files above 1 MiB,
 * text that is not UTF-8. Scalars are kept as their text; ib_yaml_scalar_type tells what a plain
 * one means in YAML 1.2's core schema (section 10.3), where "yes", "on" and "0777" are no booleans
 * or octal numbers.
 */
#pragma once

#include "model/diag.h"

#define IB_YAML_MAX_SIZE (UINT64_C(1) << 20)
#define IB_YAML_MAX_DEPTH 32

enum ib_yaml_kind { IB_YAML_SCALAR, IB_YAML_SEQUENCE, IB_YAML_MAPPING };

enum ib_yaml_type { IB_YAML_NULL, IB_YAML_BOOL, IB_YAML_INT, IB_YAML_FLOAT, IB_YAML_STRING };

struct ib_yaml_node {
    enum ib_yaml_kind kind;
    struct ib_origin at;
    char *text;    /* scalars: NUL-terminated, holds no NUL of its own */
    bool is_plain; /* scalars: written without quotes and not as a block */
    bool is_block; /* scalars: written as "|" or ">": the text begins on the line after `at` */
    struct ib_yaml_pair *pairs;  /* mappings, in the order of the file */
    struct ib_yaml_node **items; /* sequences */
    size_t count;                /* of pairs or items */
};

struct ib_yaml_pair {
    struct ib_yaml_node *key; /* a scalar */
    struct ib_yaml_node *value;
};

/*
 * Parses one document. NULL when what was reported leaves nothing to go on with; after smaller
 * mistakes (a repeated key) the rest is returned all the same, so that its mistakes are found too.
 * An empty document is an empty mapping.
 * `file` must outlive the tree and everything that copies its origins.
 */
struct ib_yaml_node *ib_yaml_parse(const char *file, const void *data, size_t size,
                                   struct ib_diags *diags) _must_check_;
struct ib_yaml_node *ib_yaml_free(struct ib_yaml_node *node); /* with all below; returns NULL */
void ib_yaml_freep(struct ib_yaml_node **node);

/* The value of a mapping's key, or NULL. */
struct ib_yaml_node *ib_yaml_get(const struct ib_yaml_node *mapping, const char *key);

/* What a scalar means; quoted and block ones are strings. */
enum ib_yaml_type ib_yaml_scalar_type(const struct ib_yaml_node *scalar);
bool ib_yaml_bool(const struct ib_yaml_node *scalar); /* of type BOOL */
/* Of type INT (decimal, 0o…, 0x…); false when it does not fit. */
bool ib_yaml_int(const struct ib_yaml_node *scalar, int64_t *ret) _must_check_;

/* "a mapping", "a list", "a string", "a number", … for messages; static. */
const char *ib_yaml_describe(const struct ib_yaml_node *node);
