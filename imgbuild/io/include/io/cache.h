/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content-addressed cache: files by their SHA-256, and outputs of stages by the hash of all
 * their inputs.
 *
 *     blobs/sha256/HEX            fetched files, verified before they get this name, read-only
 *     blobs/partial/HEX           downloads that were interrupted
 *     stages/NAME/KEY/…           a stage's output files, plus inputs.json (what the key
 *                                 was made of)
 *     tmp/                        work in progress; rubbish once no process has the cache open
 *
 * Entries are made in tmp/ and renamed into place when complete: a killed build leaves rubbish in
 * tmp/ and nothing else. Several imgbuild processes may share one cache: an entry that another
 * process is building is waited for (flock), and released by the kernel if that process dies.
 */
#pragma once

#include "base/hash.h"
#include "base/progress.h"

struct ib_cache;

/* dir NULL: $IMGBUILD_CACHE, else $XDG_CACHE_HOME/imgbuild, else ~/.cache/imgbuild. */
struct ib_cache *ib_cache_open(const char *dir, struct ib_error **err) _must_check_;
struct ib_cache *ib_cache_free(struct ib_cache *cache); /* returns NULL */
void ib_cache_freep(struct ib_cache **cache);
const char *ib_cache_dir(const struct ib_cache *cache); /* absolute; borrowed */
/* A fresh directory under tmp/; the caller removes it (ib_temp_dirp). */
char *ib_cache_temp_dir(struct ib_cache *cache, const char *prefix,
                        struct ib_error **err) _must_check_;

/* The blob's path, whether it exists or not; the caller frees. */
char *ib_cache_blob_path(const struct ib_cache *cache, const struct ib_sha256 *hash);
char *ib_cache_partial_path(const struct ib_cache *cache, const struct ib_sha256 *hash);
bool ib_cache_has_blob(const struct ib_cache *cache, const struct ib_sha256 *hash);
/* Renames a finished, verified file from inside the cache (partial or temporary) to its blob name.
 */
int ib_cache_adopt_blob(struct ib_cache *cache, const char *path, const struct ib_sha256 *hash,
                        struct ib_error **err) _must_check_;

/*
 * A key being made: named inputs, in the order in which they are added. The same list is written
 * beside the output as inputs.json, so that `imgbuild explain` can tell what changed.
 */
struct ib_key;
struct ib_key *
ib_key_new(const char *stage); /* the tool's stage format version goes in by itself */
struct ib_key *ib_key_free(struct ib_key *key);
void ib_key_freep(struct ib_key **key);
void ib_key_add(struct ib_key *key, const char *name, const char *value);
void ib_key_add_hash(struct ib_key *key, const char *name, const struct ib_sha256 *hash);
void ib_key_add_u64(struct ib_key *key, const char *name, uint64_t value);
void ib_key_add_strv(struct ib_key *key, const char *name, const char *const *items, size_t count);
const char *ib_key_stage(const struct ib_key *key);
/* The SHA-256 of everything added so far. */
void ib_key_hash(const struct ib_key *key, struct ib_sha256 *ret);
size_t ib_key_input_count(const struct ib_key *key);
const char *ib_key_input_name(const struct ib_key *key, size_t index);
const char *ib_key_input_value(const struct ib_key *key, size_t index);

/* One stage output, found or to be made. */
struct ib_cache_entry;

/*
 * Finds the entry of `key`, or begins it: then ib_cache_entry_hit is false, files are made in
 * ib_cache_entry_dir (a temporary place) and ib_cache_entry_commit gives it its name. Freeing
 * without a commit throws the work away. Waits while another process makes the same entry.
 */
struct ib_cache_entry *ib_cache_entry_get(struct ib_cache *cache, const struct ib_key *key,
                                          struct ib_progress *progress,
                                          struct ib_error **err) _must_check_;
bool ib_cache_entry_hit(const struct ib_cache_entry *entry);
const char *ib_cache_entry_dir(const struct ib_cache_entry *entry);
/* dir + "/" + name; the caller frees. */
char *ib_cache_entry_path(const struct ib_cache_entry *entry, const char *name);
int ib_cache_entry_commit(struct ib_cache_entry *entry, struct ib_error **err) _must_check_;
struct ib_cache_entry *ib_cache_entry_free(struct ib_cache_entry *entry); /* returns NULL */
void ib_cache_entry_freep(struct ib_cache_entry **entry);
/* Only looks: true when a complete entry of this key exists. Never waits. */
bool ib_cache_entry_exists(const struct ib_cache *cache, const struct ib_key *key);

struct ib_cache_clean {
    bool all;   /* every stage too */
    bool blobs; /* and every downloaded file */
    /* Of rubbish in tmp/, while another process has the cache open: it may not be rubbish yet. */
    uint64_t min_age_s;
    /* Removes one thing from tmp/, where files may belong to ids that only a sandbox has. NULL:
     * ib_remove_tree. */
    int (*remove)(const char *path, struct ib_error **err);
};

/* What `imgbuild clean` does: drops the rubbish in tmp/ and what else is asked for, and counts the
 * bytes that it freed. IB_E_REFUSED: stages or blobs, while another process has the cache open. */
int ib_cache_clean(struct ib_cache *cache, const struct ib_cache_clean *options,
                   uint64_t *ret_freed_bytes, struct ib_error **err) _must_check_;
