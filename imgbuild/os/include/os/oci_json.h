/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON documents of container images: bytes in, checked structs out.
 *
 * OCI image format specification 1.1: image-layout.md, image-index.md, manifest.md, config.md,
 * descriptor.md; and the older twins of these documents that Docker writes (image manifest version
 * 2, schema 2, and the manifest.json of `docker save`). Only what a root file system needs is read.
 *
 * Each parser takes the document's name for messages, fills *ret (to be cleared by the caller, also
 * when it was not filled: start with {0}) and fails with IB_E_INVALID.
 */
#pragma once

#include "base/buffer.h"
#include "base/hash.h"

enum ib_oci_kind {
    IB_OCI_OTHER,
    IB_OCI_INDEX,
    IB_OCI_MANIFEST,
    IB_OCI_CONFIG,
    IB_OCI_LAYER, /* a tar, plain or compressed */
};

/* One content-addressed thing that a document points at. */
struct ib_oci_descriptor {
    char *media_type;
    struct ib_sha256 digest;
    uint64_t size_bytes;
    char *architecture, *os; /* of its platform; NULL where it has none */
    char *ref_name;          /* org.opencontainers.image.ref.name, or NULL */
};

struct ib_oci_index {
    struct ib_oci_descriptor *manifests;
    size_t count;
};

struct ib_oci_manifest {
    struct ib_oci_descriptor config;
    struct ib_oci_descriptor *layers; /* lowest first */
    size_t layer_count;
};

struct ib_oci_config {
    char *architecture, *os;
    struct ib_sha256 *diff_ids; /* of the uncompressed layers, lowest first */
    size_t diff_id_count;
};

/* One image of `docker save`: names inside the archive. */
struct ib_docker_image {
    char *config;
    struct ib_strv layers; /* lowest first */
};

/* By the descriptor's media type, the OCI one or Docker's. */
enum ib_oci_kind ib_oci_kind(const struct ib_oci_descriptor *descriptor);

int ib_oci_parse_index(const char *name, const void *data, size_t size, struct ib_oci_index *ret,
                       struct ib_error **err) _must_check_;
int ib_oci_parse_manifest(const char *name, const void *data, size_t size,
                          struct ib_oci_manifest *ret, struct ib_error **err) _must_check_;
int ib_oci_parse_config(const char *name, const void *data, size_t size, struct ib_oci_config *ret,
                        struct ib_error **err) _must_check_;
/* manifest.json of `docker save`; it must hold exactly one image. */
int ib_docker_parse_manifest(const char *name, const void *data, size_t size,
                             struct ib_docker_image *ret, struct ib_error **err) _must_check_;
/* The file oci-layout: is it a version of the layout that we know? */
int ib_oci_parse_layout(const char *name, const void *data, size_t size,
                        struct ib_error **err) _must_check_;

void ib_oci_index_clear(struct ib_oci_index *index);
void ib_oci_manifest_clear(struct ib_oci_manifest *manifest);
void ib_oci_config_clear(struct ib_oci_config *config);
void ib_docker_image_clear(struct ib_docker_image *image);
