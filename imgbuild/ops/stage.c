/* SPDX-License-Identifier: Apache-2.0 */
/* The way of every stage through the cache, and what keys are made of. */
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "build_internal.h"
#include "os/host.h"

void ib_key_add_key(struct ib_key *key, const char *name, const struct ib_key *other)
{
    struct ib_sha256 hash;

    ib_key_hash(other, &hash);
    ib_key_add_hash(key, name, &hash);
}

int ib_key_add_file(struct ib_key *key, const char *name, const char *host_path,
                    struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(host_path, err);
    struct ib_sha256 hash;

    if (fd < 0)
        return -1;
    if (ib_sha256_fd(fd, &hash, NULL) < 0)
        return ib_fail(err, IB_E_IO, errno, host_path, "read");
    ib_key_add_hash(key, name, &hash);
    return 0;
}

int ib_key_add_source(struct ib_key *key, const char *project_dir, const char *path,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *host = ib_path_join(project_dir, path);
    _cleanup_(ib_freep) char *name = ib_asprintf("file %s", path);

    return ib_key_add_file(key, name, host, err);
}

bool ib_build_fits_memory(uint64_t content_size_bytes)
{
    uint64_t need;

    if (!ib_mul_u64(content_size_bytes, 2, &need) || !ib_add_u64(need, 2 * IB_GIB, &need))
        return false;
    return need <= ib_host_memory_available() / 2;
}

struct ib_sandbox *ib_build_sandbox(const struct ib_build *b, const struct ib_tree *tree,
                                    struct ib_step *step, struct ib_error **err)
{
    _cleanup_(ib_freep) char *scratch = ib_path_join(ib_cache_dir(b->project->cache), "tmp");
    const struct ib_sandbox_options options = {
        .engine = b->options->sandbox,
        .scratch_dir = scratch,
        .memory = ib_build_fits_memory(ib_tree_content_size(tree)),
        .progress = b->project->progress,
        .step = step,
    };

    return ib_sandbox_open(tree, &options, err);
}

/* "No space left": of which file system? Says so, unless the error names the place already. */
static void name_full_cache(const char *dir, struct ib_error **err)
{
    if (!err || ib_error_code(*err) != IB_E_NO_SPACE)
        return;
    for (size_t i = 0; i < ib_error_depth(*err); i++) {
        const char *line = ib_error_line(*err, i);
        if (strstr(line, dir) && !strstr(line, "/blobs/"))
            return;
    }
    ib_wrap(err, dir, "work in");
}

struct ib_cache_entry *ib_stage_run(const struct ib_build *b, const struct ib_stage *stage,
                                    struct ib_key *owned_key, struct ib_step *parent,
                                    struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *key = owned_key;
    struct ib_progress *progress = b->project->progress;

    if (!key)
        return NULL;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, parent, ib_key_stage(key), stage->subject, 0, IB_UNIT_NONE);
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *entry =
        ib_cache_entry_get(b->project->cache, key, progress, err);
    if (!entry)
        return NULL;
    bool hit = ib_cache_entry_hit(entry);
    if (!hit && (stage->make(b, stage->input, entry, step, err) < 0 ||
                 ib_cache_entry_commit(entry, err) < 0)) {
        name_full_cache(ib_cache_dir(b->project->cache), err);
        ib_wrap(err, stage->subject, stage->what);
        return NULL;
    }
    ib_step_end(ib_steal(&step), hit ? IB_STEP_CACHED : IB_STEP_DONE);
    return ib_steal(&entry);
}
