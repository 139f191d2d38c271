/* SPDX-License-Identifier: Apache-2.0 */
#include "os/base_file.h"

#include <assert.h>

#include "os/diskimage.h"
#include "os/exclude.h"
#include "os/oci.h"

static int import(const struct ib_base *base, const char *path, const char *scratch_dir,
                  struct ib_tree *tree, int spool_fd, struct ib_progress *progress,
                  struct ib_step *step, struct ib_error **err)
{
    if (base->kind == IB_BASE_DISK_IMAGE)
        return ib_diskimage_import(path, scratch_dir, tree, spool_fd, progress, step, err);
    if (base->kind == IB_BASE_OCI)
        return ib_oci_import(tree, path, ib_architecture_name(base->architecture), spool_fd,
                             progress, step, err);
    return ib_tar_import(tree, path, spool_fd, progress, step, err);
}

int ib_base_file_import(const struct ib_base *base, const char *path, const char *scratch_dir,
                        struct ib_tree *tree, int spool_fd, struct ib_progress *progress,
                        struct ib_step *step, struct ib_error **err)
{
    assert(base->kind != IB_BASE_DEBIAN_SUITE);
    if (import(base, path, scratch_dir, tree, spool_fd, progress, step, err) < 0)
        return -1;
    ib_exclude_apply(tree, ib_exclude_default());
    return 0;
}
