/* SPDX-License-Identifier: Apache-2.0 */
/* The initrd stage: the base's kernel, boot loader and stub, and what its dracut makes of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "build_internal.h"
#include "ops/data.h"
#include "os/initrd.h"

/* What the stage starts from. */
struct input {
    const struct ib_base *base;
    const struct ib_strv *drivers, *programs;
};

/* What a rescue shell is of use with. */
static const char *const rescue_programs[] = {
    "bash", "blockdev", "chmod", "chown",   "chroot", "cp",    "dd",       "df",   "dmesg",
    "du",   "find",     "fsck",  "findmnt", "grep",   "head",  "hexdump",  "ip",   "less",
    "ln",   "ls",       "lsblk", "lspci",   "lsusb",  "mkdir", "more",     "mv",   "nano",
    "ps",   "rm",       "rmdir", "sed",     "sfdisk", "sleep", "smartctl", "sort", "sync",
    "tail", "tar",      "touch", "tr",      "vi",     "wc",    "wipefs",   "zstd",
};

enum { MAX_EFI_SIZE = 64 << 20, MAX_KERNEL_SIZE = 256 << 20 };

/* Everything in our dracut module's directory, the agent among it. */
static int add_module_key(struct ib_key *key, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};
    DIR *d = opendir(dir);

    if (!d)
        return ib_fail(err, IB_E_IO, errno, dir, "open directory");
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            ib_strv_add(&names, e->d_name);
    closedir(d);
    ib_strv_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(dir, names.items[i]);
        _cleanup_(ib_freep) char *name = ib_asprintf("module %s", names.items[i]);
        if (ib_key_add_file(key, name, path, err) < 0)
            return -1;
    }
    return 0;
}

static struct ib_key *make_key(const struct ib_build *b, const struct ib_base *base,
                               const struct ib_strv *drivers, const struct ib_strv *programs,
                               struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *base_key = ib_stage_base_key(b, base, err);
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("initrd");

    if (!base_key)
        return NULL;
    _cleanup_(ib_freep) char *module = ib_data_path(IB_DATA_DRACUT_MODULE, err);
    if (!module)
        return NULL;
    ib_key_add(key, "name", base->name);
    ib_key_add_key(key, "base", base_key);
    ib_key_add_strv(key, "drivers", (const char *const *)drivers->items, drivers->count);
    ib_key_add(key, "kernel", base->paths.kernel);
    ib_key_add(key, "stub", base->paths.stub);
    ib_key_add(key, "boot loader", base->paths.boot_loader);
    if (programs)
        ib_key_add_strv(key, "programs", (const char *const *)programs->items, programs->count);
    return add_module_key(key, module, err) < 0 ? NULL : ib_steal(&key);
}

struct ib_key *ib_stage_initrd_key(const struct ib_build *b, const struct ib_base *base,
                                   const struct ib_strv *drivers, struct ib_error **err)
{
    return make_key(b, base, drivers, NULL, err);
}

static int take_out(const struct ib_tree *tree, const char *path, size_t max_size,
                    const struct ib_cache_entry *entry, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *in = ib_path_normalize(path);
    _cleanup_(ib_freep) char *out = ib_cache_entry_path(entry, name);
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};

    if (!in || ib_tree_read_file(tree, in, max_size, &content, err) < 0)
        return ib_wrap(err, path, "take out of the base");
    return ib_atomic_write(out, 0644, content.data, content.size, err);
}

static int make_initrd(const struct ib_build *b, const struct ib_tree *tree,
                       const struct ib_kernel *kernel, const struct input *input,
                       const struct ib_cache_entry *entry, struct ib_step *step,
                       struct ib_error **err)
{
    _cleanup_(ib_freep) char *module = ib_data_path(IB_DATA_DRACUT_MODULE, err);
    _cleanup_(ib_freep) char *agent = module ? ib_data_path(IB_DATA_AGENT, err) : NULL;
    _cleanup_(ib_freep) char *scratch = ib_path_join(ib_cache_dir(b->project->cache), "tmp");
    _cleanup_(ib_freep) char *out = ib_cache_entry_path(entry, "initrd");

    if (!agent)
        return -1;
    const struct ib_initrd_options initrd = {
        .kernel = kernel,
        .drivers = input->drivers,
        .programs = input->programs,
        .module_dir = module,
        .agent = agent,
        .date_s = b->project->lock->date_s,
        .scratch_dir = scratch,
        .progress = b->project->progress,
        .step = step,
    };
    _cleanup_(ib_sandbox_freep) struct ib_sandbox *sandbox = ib_build_sandbox(b, tree, step, err);
    return sandbox ? ib_initrd_build(sandbox, &initrd, out, err) : -1;
}

static int make_all(const struct ib_build *b, const void *subject,
                    const struct ib_cache_entry *entry, struct ib_step *step, struct ib_error **err)
{
    const struct input *input = subject;
    const struct ib_base *base = input->base;
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *from = ib_stage_base(b, base, step, err);
    _cleanup_(ib_kernel_clear) struct ib_kernel kernel = {0};

    if (!from)
        return -1;
    _cleanup_(ib_freep) char *archive = ib_cache_entry_path(from, "tree.tar");
    _cleanup_(ib_freep) char *uname = ib_cache_entry_path(entry, "uname");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_load(archive, err);
    if (!tree || ib_kernel_find(tree, base->paths.kernel, &kernel, err) < 0 ||
        ib_kernel_check_drivers(&kernel, input->drivers, err) < 0 ||
        take_out(tree, kernel.image, MAX_KERNEL_SIZE, entry, "kernel", err) < 0 ||
        take_out(tree, base->paths.stub, MAX_EFI_SIZE, entry, "stub.efi", err) < 0 ||
        take_out(tree, base->paths.boot_loader, MAX_EFI_SIZE, entry, "boot.efi", err) < 0 ||
        ib_atomic_write(uname, 0644, kernel.version, strlen(kernel.version), err) < 0)
        return -1;
    return make_initrd(b, tree, &kernel, input, entry, step, err);
}

struct ib_cache_entry *ib_stage_initrd(const struct ib_build *b, const struct ib_base *base,
                                       const struct ib_strv *drivers, struct ib_step *parent,
                                       struct ib_error **err)
{
    const struct input input = {base, drivers, NULL};
    const struct ib_stage stage = {base->name, "make the initrd of", make_all, &input};

    return ib_stage_run(b, &stage, ib_stage_initrd_key(b, base, drivers, err), parent, err);
}

struct ib_cache_entry *ib_stage_rescue_initrd(const struct ib_build *b, const struct ib_base *base,
                                              const struct ib_strv *drivers, struct ib_step *parent,
                                              struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv programs = {0};
    const struct input input = {base, drivers, &programs};
    const struct ib_stage stage = {base->name, "make the rescue initrd of", make_all, &input};

    for (size_t i = 0; i < IB_ARRAY_SIZE(rescue_programs); i++)
        ib_strv_add(&programs, rescue_programs[i]);
    return ib_stage_run(b, &stage, make_key(b, base, drivers, &programs, err), parent, err);
}
