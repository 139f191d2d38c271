/* SPDX-License-Identifier: Apache-2.0 */
#include "os/kernel.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define MODULES_DIR "usr/lib/modules"

enum { MAX_INDEX_SIZE = 16 << 20, MAX_MICROCODE_SIZE = 64 << 20 };

/* "kernel/fs/ext4/ext4.ko.xz" is the driver "ext4". */
static void add_driver(struct ib_strv *drivers, const char *path)
{
    const char *base = ib_path_base(path);
    char *name = ib_strndup(base, strcspn(base, "."));

    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_'; /* modprobe(8): the two are the same in names */
    ib_strv_take(drivers, name);
}

/* modules.dep has "PATH: NEEDED…" lines, modules.builtin only paths (depmod(8)). */
static int read_drivers(const struct ib_tree *tree, const char *version, const char *file,
                        struct ib_strv *drivers, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf(MODULES_DIR "/%s/%s", version, file);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    if (ib_tree_read_file(tree, path, MAX_INDEX_SIZE, &text, err) < 0)
        return ib_wrap(err, version, "list the drivers of kernel");
    ib_strv_split(&lines, text.size ? (const char *)text.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) {
        lines.items[i][strcspn(lines.items[i], ":")] = 0;
        add_driver(drivers, lines.items[i]);
    }
    return 0;
}

/* The pattern's path for a version, below the root, or NULL where no such file is. */
static char *image_of(const struct ib_tree *tree, const char *pattern, const char *version)
{
    size_t before = strcspn(pattern, "*");
    _cleanup_(ib_freep) char *absolute =
        pattern[before]
            ? ib_asprintf("%.*s%s%s", (int)before, pattern, version, pattern + before + 1)
            : ib_strdup(pattern);
    _cleanup_(ib_freep) char *path = ib_path_normalize(absolute);
    const struct ib_node *node = path ? ib_tree_resolve(tree, path) : NULL;

    return node && S_ISREG(node->inode->mode) ? ib_node_path(node) : NULL;
}

static int two_kernels(const char *first, const char *second, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "the tree holds two kernels, %s and %s", first, second);
    return ib_hint(err, "remove the package of one of them (remove_packages)");
}

static int choose_kernel(const struct ib_tree *tree, const char *pattern, struct ib_kernel *kernel,
                         struct ib_error **err)
{
    const struct ib_node *dir = ib_tree_find(tree, MODULES_DIR);

    for (size_t i = 0; dir && i < dir->child_count; i++) {
        const char *version = dir->children[i]->name;
        _cleanup_(ib_freep) char *image = image_of(tree, pattern, version);
        if (!image)
            continue;
        if (kernel->version)
            return two_kernels(kernel->version, version, err);
        kernel->version = ib_strdup(version);
        kernel->image = ib_steal(&image);
    }
    if (!kernel->version) {
        ib_failf(err, IB_E_NOT_FOUND, "the tree has no kernel at '%s'", pattern);
        return ib_hint(err, "add a kernel to the packages, or set paths.kernel of the base");
    }
    return 0;
}

int ib_kernel_find(const struct ib_tree *tree, const char *pattern, struct ib_kernel *ret,
                   struct ib_error **err)
{
    _cleanup_(ib_kernel_clear) struct ib_kernel kernel = {0};

    if (choose_kernel(tree, pattern, &kernel, err) < 0 ||
        read_drivers(tree, kernel.version, "modules.dep", &kernel.drivers, err) < 0 ||
        read_drivers(tree, kernel.version, "modules.builtin", &kernel.drivers, err) < 0)
        return -1;
    ib_strv_sort_unique(&kernel.drivers);
    *ret = kernel;
    kernel = (struct ib_kernel){0};
    return 0;
}

void ib_kernel_clear(struct ib_kernel *kernel)
{
    free(kernel->version);
    free(kernel->image);
    ib_strv_clear(&kernel->drivers);
    *kernel = (struct ib_kernel){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool ib_kernel_has_driver(const struct ib_kernel *kernel, const char *name)
{
    _cleanup_(ib_strv_clear) struct ib_strv wanted = {0};

    if (!kernel->drivers.count)
        return false;
    add_driver(&wanted, name);
    return bsearch(&wanted.items[0], kernel->drivers.items, kernel->drivers.count, sizeof(char *),
                   compare_names) != NULL;
}

int ib_kernel_check_drivers(const struct ib_kernel *kernel, const struct ib_strv *drivers,
                            struct ib_error **err)
{
    for (size_t i = 0; i < drivers->count; i++) {
        const char *name = drivers->items[i];
        if (ib_kernel_has_driver(kernel, name))
            continue;
        const char *near =
            ib_nearest(name, (const char *const *)kernel->drivers.items, kernel->drivers.count);
        ib_failf(err, IB_E_NOT_FOUND, "the kernel %s has no driver '%s'", kernel->version, name);
        return near ? ib_hint(err, "did you mean '%s'?", near)
                    : ib_hint(err, "correct the drivers of the hardware profile (firmware/)");
    }
    return 0;
}

/* One blob of all the vendor's files, by name: the kernel looks for its processor's part. */
static int add_microcode(const struct ib_tree *tree, const char *dir_path, const char *suffix,
                         const char *target, struct ib_tree *early, struct ib_error **err)
{
    const struct ib_node *dir = ib_tree_resolve(tree, dir_path);
    _cleanup_(ib_buf_clear) struct ib_buf blob = {0};

    for (size_t i = 0; dir && i < dir->child_count; i++) {
        const struct ib_inode *inode = dir->children[i]->inode;
        if (!S_ISREG(inode->mode) || !ib_endswith(dir->children[i]->name, suffix))
            continue;
        if (inode->size > MAX_MICROCODE_SIZE - blob.size)
            return ib_failf(err, IB_E_INVALID, "the microcode in '%s' is larger than %d bytes",
                            dir_path, MAX_MICROCODE_SIZE);
        if (ib_inode_read(inode, ib_buf_reserve(&blob, inode->size), inode->size, 0, err) < 0)
            return ib_wrap(err, dir_path, "read the microcode in");
        blob.size += inode->size;
    }
    if (blob.size &&
        !ib_tree_add_file(early, target, 0644, blob.data, blob.size, IB_LAYER_BASE, err))
        return -1;
    return 0;
}

struct ib_tree *ib_kernel_microcode(const struct ib_tree *tree, struct ib_error **err)
{
    _cleanup_(ib_tree_freep) struct ib_tree *early = ib_tree_new();

    if (add_microcode(tree, "usr/lib/firmware/amd-ucode", ".bin",
                      "kernel/x86/microcode/AuthenticAMD.bin", early, err) < 0 ||
        add_microcode(tree, "usr/lib/firmware/intel-ucode", "",
                      "kernel/x86/microcode/GenuineIntel.bin", early, err) < 0)
        return NULL;
    return ib_steal(&early);
}
