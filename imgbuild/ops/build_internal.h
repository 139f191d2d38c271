/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages of a build, each in its stage_NAME.c: a function that makes the key of its output from
 * all that goes in (asking the stages before it for *their* keys only), and one that returns the
 * output's cache entry, made where it was missing (ib_stage_run).
 */
#pragma once

#include "ops/build.h"
#include "ops/compose.h"

/* What all stages of one run share. */
struct ib_build {
    struct ib_project *project;
    const struct ib_build_options *options;
    struct ib_diags *diags;
    int64_t epoch_s;
    char *version;
    char *out_dir;
};

/* Fills in what follows from project and options; ib_build_close frees it. */
int ib_build_open(struct ib_build *b, struct ib_error **err) _must_check_;
void ib_build_close(struct ib_build *b);
/* What a place for artifacts that cannot be written needs. Returns -1. */
int ib_out_hint(const struct ib_build *b, struct ib_error **err);

/* What a stage says about itself. */
struct ib_stage {
    const char *subject; /* whose output it is */
    const char *what;    /* "build base": for errors, before the subject */
    /* Fills a new entry's directory; the step is the stage's own. */
    int (*make)(const struct ib_build *b, const void *input, const struct ib_cache_entry *entry,
                struct ib_step *step, struct ib_error **err);
    const void *input;
};

/*
 * The output under the key (taken; NULL: its maker failed, *err says how), found in the cache or
 * made and put there, as a step named like the key's stage.
 */
struct ib_cache_entry *ib_stage_run(const struct ib_build *b, const struct ib_stage *stage,
                                    struct ib_key *owned_key, struct ib_step *parent,
                                    struct ib_error **err) _must_check_;

/* Adds another key's hash as an input. */
void ib_key_add_key(struct ib_key *key, const char *name, const struct ib_key *other);
/* Adds the content of a host file. */
int ib_key_add_file(struct ib_key *key, const char *name, const char *host_path,
                    struct ib_error **err) _must_check_;
/* The same for a file that a recipe names. */
int ib_key_add_source(struct ib_key *key, const char *project_dir, const char *path,
                      struct ib_error **err) _must_check_;
/* True where a sandbox of so much content may live in memory. */
bool ib_build_fits_memory(uint64_t content_size_bytes);
/* A sandbox as the build's options want it, its files in memory where they fit, else in the cache.
 */
struct ib_sandbox *ib_build_sandbox(const struct ib_build *b, const struct ib_tree *tree,
                                    struct ib_step *step, struct ib_error **err) _must_check_;

/* base: a bootable tree of the base's packages. Files: tree.tar */
struct ib_key *ib_stage_base_key(const struct ib_build *b, const struct ib_base *base,
                                 struct ib_error **err) _must_check_;
struct ib_cache_entry *ib_stage_base(const struct ib_build *b, const struct ib_base *base,
                                     struct ib_step *step, struct ib_error **err) _must_check_;

/* initrd: from the base's kernel and dracut. Files: initrd, kernel, stub.efi, boot.efi, uname */
struct ib_key *ib_stage_initrd_key(const struct ib_build *b, const struct ib_base *base,
                                   const struct ib_strv *drivers,
                                   struct ib_error **err) _must_check_;
/* The same for an installer, with the programs of a rescue shell in it. */
struct ib_cache_entry *ib_stage_rescue_initrd(const struct ib_build *b, const struct ib_base *base,
                                              const struct ib_strv *drivers, struct ib_step *step,
                                              struct ib_error **err) _must_check_;
struct ib_cache_entry *ib_stage_initrd(const struct ib_build *b, const struct ib_base *base,
                                       const struct ib_strv *drivers, struct ib_step *step,
                                       struct ib_error **err) _must_check_;

/* packages: the base with a role's packages. Files: tree.tar, packages.json */
struct ib_key *ib_stage_packages_key(const struct ib_build *b, const struct ib_root_spec *root,
                                     struct ib_error **err) _must_check_;
struct ib_cache_entry *ib_stage_packages(const struct ib_build *b, const struct ib_root_spec *root,
                                         struct ib_step *step, struct ib_error **err) _must_check_;

/* root: the read-only file system. Files: root.squashfs, root.verity, their frames, root.json */
struct ib_key *ib_stage_root_key(const struct ib_build *b, const struct ib_root_spec *root,
                                 struct ib_error **err) _must_check_;
struct ib_cache_entry *ib_stage_root(const struct ib_build *b, const struct ib_root_spec *root,
                                     struct ib_step *step, struct ib_error **err) _must_check_;

/* What root.json says. */
struct ib_root_info {
    struct ib_sha256 root_hash;
    uint64_t root_size_bytes, verity_size_bytes;
    char *os_release; /* text */
};
int ib_root_info_read(const struct ib_cache_entry *entry, struct ib_root_info *ret,
                      struct ib_error **err) _must_check_;
void ib_root_info_clear(struct ib_root_info *info);

/* node: the artifact in out_dir. The cache entry holds what was made, node.json. */
struct ib_key *ib_stage_node_key(const struct ib_build *b, const struct ib_node_spec *node,
                                 struct ib_error **err) _must_check_;
/* *ret: the stages before this one need not be made. */
int ib_stage_node_inputs_cached(const struct ib_build *b, const struct ib_node_spec *node,
                                bool *ret, struct ib_error **err) _must_check_;
int ib_stage_node(const struct ib_build *b, const struct ib_node_spec *node, struct ib_step *step,
                  struct ib_built *ret, struct ib_error **err) _must_check_;
