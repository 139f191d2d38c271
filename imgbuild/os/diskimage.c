/* SPDX-License-Identifier: Apache-2.0 */
#include "os/diskimage.h"

#include <errno.h>
#include <fcntl.h>
#include <guestfs.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/archive.h"
#include "os/appliance.h"

/* The head of a qcow2 file; QEMU, docs/interop/qcow2.txt, "Header". All numbers are big-endian. */
enum {
    QCOW2_HEADER_SIZE = 104,
    QCOW2_BACKING_OFFSET = 8,
    QCOW2_VERSION = 4,
    QCOW2_CLUSTER_BITS = 20,
    QCOW2_SIZE = 24,
    QCOW2_L1_SIZE = 36, /* entries of 8 bytes */
    QCOW2_L1_OFFSET = 40,
    QCOW2_INCOMPATIBLE_FEATURES = 72,
    QCOW2_EXTERNAL_DATA_BIT = 2,
};

static uint64_t big_endian(const uint8_t *p, size_t size)
{
    uint64_t v = 0;

    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

static int refuse_reference(const char *path, const char *kind, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' is a qcow2 image with a %s file", path, kind);
    return ib_hint(err, "put both into one: qemu-img convert -O qcow2 IMAGE NEW");
}

/* QEMU's own words about a header that cannot be are for its developers. */
static bool is_sound(const uint8_t *head, uint64_t file_size)
{
    uint64_t version = big_endian(head + QCOW2_VERSION, 4);
    uint64_t cluster_bits = big_endian(head + QCOW2_CLUSTER_BITS, 4);
    uint64_t l1_size = 8 * big_endian(head + QCOW2_L1_SIZE, 4);
    uint64_t l1_offset = big_endian(head + QCOW2_L1_OFFSET, 8);

    return version >= 2 && version <= 3 && cluster_bits >= 9 && cluster_bits <= 21 &&
           big_endian(head + QCOW2_SIZE, 8) > 0 && l1_offset <= file_size &&
           l1_size <= file_size - l1_offset;
}

/* "raw" or "qcow2", decided here and told to QEMU: it must never guess. NULL and an error. */
static const char *detect_format(const char *path, struct ib_error **err)
{
    uint8_t head[QCOW2_HEADER_SIZE] = {0};
    struct stat st;
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);

    if (fd < 0)
        return NULL;
    if (ib_pread_full(fd, head, sizeof(head), 0) < 0) {
        ib_failf(err, IB_E_INVALID, "'%s' is too small for a disk image", path);
        return NULL;
    }
    if (memcmp(head, "QFI\xfb", 4) != 0)
        return "raw";
    if (fstat(fd, &st) < 0) {
        ib_fail(err, IB_E_IO, errno, path, "look at");
        return NULL;
    }
    if (!is_sound(head, (uint64_t)st.st_size)) {
        ib_failf(err, IB_E_INVALID, "'%s' is a qcow2 image that is damaged or cut off", path);
        return NULL;
    }
    if (big_endian(head + QCOW2_BACKING_OFFSET, 8) != 0) {
        refuse_reference(path, "backing", err);
        return NULL;
    }
    if (big_endian(head + QCOW2_VERSION, 4) >= 3 &&
        big_endian(head + QCOW2_INCOMPATIBLE_FEATURES, 8) >> QCOW2_EXTERNAL_DATA_BIT & 1) {
        refuse_reference(path, "data", err);
        return NULL;
    }
    return "qcow2";
}

static void free_strings(char ***list)
{
    for (size_t i = 0; *list && (*list)[i]; i++)
        free((*list)[i]);
    free(*list);
}

static int find_root(struct ib_appliance *a, const char *path, char **ret, struct ib_error **err)
{
    _cleanup_(free_strings) char **roots = guestfs_inspect_os(ib_appliance_handle(a));

    if (!roots)
        return ib_appliance_fail(a, path, "look for an operating system in", err);
    if (!roots[0] || roots[1]) {
        ib_failf(err, IB_E_INVALID, "there is %s in the image '%s'",
                 roots[0] ? "more than one operating system" : "no operating system", path);
        return ib_hint(err, "use a distribution's cloud image, or an oci or tar base");
    }
    *ret = ib_strdup(roots[0]);
    return 0;
}

struct mount {
    const char *point, *source;
};

static int compare_mounts(const void *a, const void *b)
{
    return strcmp(((const struct mount *)a)->point, ((const struct mount *)b)->point);
}

/* Mounts everything below the root that its fstab names and the image holds; parents first. */
static int mount_all(struct ib_appliance *a, const char *path, const char *root,
                     struct ib_error **err)
{
    guestfs_h *g = ib_appliance_handle(a);
    _cleanup_(free_strings) char **list = guestfs_inspect_get_mountpoints(g, root);
    size_t count = 0;

    if (!list)
        return ib_appliance_fail(a, path, "read the mount points of", err);
    while (list[count] && list[count + 1])
        count += 2;
    count /= 2;
    _cleanup_(ib_freep) struct mount *mounts = ib_calloc(count, sizeof(*mounts));
    for (size_t i = 0; i < count; i++)
        mounts[i] = (struct mount){list[2 * i], list[2 * i + 1]};
    qsort(mounts, count, sizeof(*mounts), compare_mounts);
    for (size_t i = 0; i < count; i++)
        if (guestfs_mount_ro(g, mounts[i].source, mounts[i].point) < 0)
            return ib_appliance_fail(a, mounts[i].point, "mount the image's", err);
    return 0;
}

/* The other end of the pipe into which the appliance writes its tar. */
struct reader {
    struct ib_tree *tree;
    const char *name;
    int fd, spool_fd;
    struct ib_progress *progress;
    struct ib_step *step;
    struct ib_error *err;
    int result;
};

static void *read_tar(void *userdata)
{
    struct reader *r = userdata;

    r->result = ib_archive_read(r->tree, r->fd, r->name, r->spool_fd, IB_LAYER_BASE, 0, NULL,
                                r->progress, r->step, &r->err);
    close(r->fd); /* a writer that goes on after our failure gets EPIPE */
    return NULL;
}

static int stream_out(struct ib_appliance *a, struct reader *reader, struct ib_error **err)
{
    pthread_t thread;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a pipe");
    _cleanup_(ib_freep) char *out = ib_asprintf("/dev/fd/%d", ends[1]);
    reader->fd = ends[0];
    int r = pthread_create(&thread, NULL, read_tar, reader);
    if (r != 0) {
        close(ends[0]);
        close(ends[1]);
        return ib_fail(err, IB_E_IO, r, NULL, "start a thread");
    }
    int sent =
        guestfs_tar_out_opts(ib_appliance_handle(a), "/", out, GUESTFS_TAR_OUT_OPTS_NUMERICOWNER, 1,
                             GUESTFS_TAR_OUT_OPTS_XATTRS, 1, GUESTFS_TAR_OUT_OPTS_SELINUX, 1,
                             GUESTFS_TAR_OUT_OPTS_ACLS, 1, -1);
    close(ends[1]);
    pthread_join(thread, NULL);
    if (reader->result < 0) {
        *err = ib_steal(&reader->err);
        return -1;
    }
    return sent < 0 ? ib_appliance_fail(a, reader->name, "read the files of", err) : 0;
}

int ib_diskimage_import(const char *path, const char *scratch_dir, struct ib_tree *tree,
                        int spool_fd, struct ib_progress *progress, struct ib_step *parent,
                        struct ib_error **err)
{
    const char *format = detect_format(path, err);
    _cleanup_(ib_freep) char *root = NULL;

    if (!format)
        return ib_wrap(err, path, "import disk image");
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, parent, "import", ib_path_base(path), 0, IB_UNIT_BYTES);
    const struct ib_appliance_drive drive = {.path = path, .format = format};
    const struct ib_appliance_options options = {
        .drives = &drive,
        .drive_count = 1,
        .space_dir = scratch_dir,
        .progress = progress,
        .step = step,
    };
    _cleanup_(ib_appliance_freep) struct ib_appliance *a = ib_appliance_launch(&options, err);
    struct reader reader = {
        .tree = tree,
        .name = path,
        .spool_fd = spool_fd,
        .progress = progress,
        .step = step,
    };
    if (!a || find_root(a, path, &root, err) < 0 || mount_all(a, path, root, err) < 0 ||
        stream_out(a, &reader, err) < 0)
        return ib_wrap(err, path, "import disk image");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
