/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real Debian tree from the packages that the repository's lock names: bootstrap, packages in the
 * sandbox, initrd; twice, in memory and on disk, with the same result. Fetches what the cache lacks
 * ($IMGBUILD_CACHE, else build/test-cache) and is skipped where that does not work.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/fetch.h"
#include "os/cleanup.h"
#include "os/debian.h"
#include "os/exclude.h"
#include "os/initrd.h"
#include "os/packages.h"

#define BASE "debian-13"
#define ROLE "control"

static struct ib_cache *cache;
static struct ib_lock *lock;
static const struct ib_lock_package_set *set;
static struct ib_strv paths; /* of the set's packages, in its order */
static char *dir;

static void check(int r, const struct ib_error *err, const char *what)
{
    if (r < 0) {
        _cleanup_(ib_freep) char *text = ib_error_text(err);
        cr_assert(false, "%s: %s", what, text);
    }
}

static bool fetch_packages(struct ib_error **err)
{
    struct ib_fetch_request *requests = ib_calloc(set->package_count, sizeof(*requests));

    for (size_t i = 0; i < set->package_count; i++)
        requests[i] = (struct ib_fetch_request){
            .name = set->packages[i].name,
            .urls = (const char *const *)&set->packages[i].url,
            .url_count = 1,
            .has_sha256 = true,
            .sha256 = set->packages[i].sha256,
            .size_bytes = set->packages[i].size_bytes,
        };
    int r = ib_fetch(requests, set->package_count, &(struct ib_fetch_options){.cache = cache}, err);
    for (size_t i = 0; i < set->package_count; i++)
        ib_fetch_request_clear(&requests[i]);
    free(requests);
    return r == 0;
}

static void set_up(void)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_freep) char *mmdebstrap = ib_find_program("mmdebstrap");
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    struct ib_error *err = NULL;
    const char *file = IB_SOURCE_DIR "/" IB_LOCK_PATH;

    if (!mmdebstrap)
        cr_skip_test("mmdebstrap is not installed");
    if (ib_sandbox_probe(IB_SANDBOX_NAMESPACE, NULL) < 0)
        cr_skip_test("no namespaces on this machine");
    check(ib_read_file(file, IB_LOCK_MAX_SIZE, &text, &err), err, "read the lock");
    lock = ib_lock_parse(file, text.data, text.size, diags);
    cr_assert(lock);
    set = ib_lock_package_set(lock, BASE, ROLE);
    cr_assert(set, "the lock has no packages for " BASE);
    cache =
        ib_cache_open(getenv("IMGBUILD_CACHE") ? NULL : IB_SOURCE_DIR "/build/test-cache", &err);
    check(cache ? 0 : -1, err, "open the cache");
    if (!fetch_packages(&err)) {
        if (ib_error_code(err) == IB_E_NETWORK || ib_error_code(err) == IB_E_NOT_FOUND)
            cr_skip_test("the packages cannot be fetched");
        check(-1, err, "fetch");
    }
    for (size_t i = 0; i < set->package_count; i++)
        ib_strv_take(&paths, ib_cache_blob_path(cache, &set->packages[i].sha256));
    dir = ib_cache_temp_dir(cache, "test-debian", &err);
    check(dir ? 0 : -1, err, "make a directory");
}

static void tear_down(void)
{
    ib_temp_dirp(&dir);
    ib_strv_clear(&paths);
    ib_lock_freep(&lock);
    ib_cache_freep(&cache);
}

TestSuite(debian, .init = set_up, .fini = tear_down, .timeout = 1500);

static struct ib_tree *bootstrap(bool memory)
{
    _cleanup_(ib_debset_clear) struct ib_debset debs = {0};
    _cleanup_(ib_deb_list_clear) struct ib_deb_list list = {0};
    _cleanup_(ib_freep) struct ib_deb_file *files = ib_calloc(set->package_count, sizeof(*files));
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;
    const struct ib_debian_options options = {
        .architecture = "amd64", .scratch_dir = dir, .memory = memory};

    for (size_t i = 0; i < set->package_count; i++)
        files[i] = (struct ib_deb_file){paths.items[i], set->packages[i].size_bytes,
                                        set->packages[i].sha256};
    check(ib_debset_read(files, set->package_count, NULL, &debs, &err), err, "read");
    check(ib_debian_bootstrap_list(&debs, &list, &err), err, "choose");
    cr_assert(list.count > 50 && list.count < set->package_count);
    _cleanup_(ib_closep) int spool = ib_temp_file(dir, &err);
    check(spool, err, "spool");
    check(ib_debian_bootstrap(&list, &options, tree, spool, &err), err, "bootstrap");
    return tree;
}

static struct ib_sandbox *open_sandbox(const struct ib_tree *tree, bool memory)
{
    struct ib_error *err = NULL;
    struct ib_sandbox *sandbox =
        ib_sandbox_open(tree,
                        &(struct ib_sandbox_options){
                            .engine = IB_SANDBOX_NAMESPACE, .scratch_dir = dir, .memory = memory},
                        &err);

    check(sandbox ? 0 : -1, err, "open the sandbox");
    return sandbox;
}

static void install(struct ib_sandbox *sandbox)
{
    _cleanup_(ib_freep) struct ib_package_file *files =
        ib_calloc(set->package_count, sizeof(*files));
    struct ib_package_list list = {0};
    struct ib_error *err = NULL;

    for (size_t i = 0; i < set->package_count; i++)
        files[i] = (struct ib_package_file){&set->packages[i], paths.items[i]};
    struct ib_package_job job = {.install = files,
                                 .install_count = set->package_count,
                                 .date_s = lock->date_s,
                                 .scratch_dir = dir};
    for (int i = 0; i < 2; i++) /* the second time there is nothing to do */
        check(ib_packages_apply(sandbox, IB_FAMILY_DEBIAN, &job, &err), err, "install");
    check(ib_packages_query(sandbox, IB_FAMILY_DEBIAN, &list, &err), err, "query");
    cr_assert_eq(list.count, set->package_count);
    for (size_t i = 0; i < set->package_count; i++)
        cr_assert(ib_package_list_find(&list, set->packages[i].name, NULL));
    ib_package_list_clear(&list);
}

static struct ib_tree *export_tree(struct ib_sandbox *sandbox, const char *name)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct ib_error *err = NULL;

    check(ib_sandbox_export(sandbox, fd, &err), err, "export");
    struct ib_tree *tree = ib_tree_load(path, &err);
    check(tree ? 0 : -1, err, "load");
    return tree;
}

static void make_initrd(struct ib_sandbox *sandbox, const struct ib_tree *tree, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "initrd");
    _cleanup_(ib_strv_clear) struct ib_strv drivers = {0};
    struct ib_kernel kernel = {0};
    struct ib_error *err = NULL;

    ib_strv_split(&drivers, "nvme virtio_blk e1000e", " ");
    check(ib_kernel_find(tree, "/boot/vmlinuz-*", &kernel, &err), err, "find the kernel");
    const struct ib_initrd_options options = {
        .kernel = &kernel,
        .drivers = &drivers,
        .module_dir = IB_SOURCE_DIR "/imgbuild/agent/dracut/90imgbuild",
        .agent = "/bin/true", /* any program: dracut adds what it needs */
        .date_s = lock->date_s,
        .scratch_dir = dir,
    };
    check(ib_initrd_build(sandbox, &options, path, &err), err, "make the initrd");
    check(ib_read_file(path, IB_GIB, ret, &err), err, "read the initrd");
    ib_kernel_clear(&kernel);
}

/* What scripts of packages left behind, or should have. */
static void check_tree(const struct ib_tree *tree)
{
    static const char *const there[] = {"usr/lib/systemd/systemd", "usr/sbin/sshd",
                                        "usr/share/doc/bash/copyright",
                                        "usr/lib/systemd/boot/efi/linuxx64.efi.stub", "etc/shadow"};
    static const char *const not_there[] = {".imgbuild",
                                            "usr/sbin/policy-rc.d",
                                            "etc/ssh/ssh_host_ed25519_key",
                                            "usr/share/man/man1/bash.1.gz",
                                            "etc/apt/sources.list",
                                            "etc/resolv.conf",
                                            "etc/hostname",
                                            "usr/lib/dracut/modules.d/90imgbuild"};
    const struct ib_node *boot = ib_tree_find(tree, "boot");

    for (size_t i = 0; i < IB_ARRAY_SIZE(there); i++)
        cr_assert(ib_tree_find(tree, there[i]), "%s", there[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(not_there); i++)
        if (!ib_streq(not_there[i], "etc/resolv.conf")) /* systemd-resolved makes it a link */
            cr_assert_null(ib_tree_find(tree, not_there[i]), "%s", not_there[i]);
    for (size_t i = 0; i < boot->child_count; i++)
        cr_assert_not(ib_startswith(boot->children[i]->name, "init"), "a hook made an initrd");
}

/* depmod ran in the background while packages were configured: now it would find nothing new. */
static void check_depmod(struct ib_sandbox *sandbox, const struct ib_tree *tree)
{
    static const char *const index[] = {"modules.dep", "modules.alias", "modules.symbols.bin"};
    struct ib_kernel kernel = {0};
    struct ib_error *err = NULL;

    check(ib_kernel_find(tree, "/boot/vmlinuz-*", &kernel, &err), err, "find the kernel");
    const char *const argv[] = {"/usr/sbin/depmod", kernel.version, NULL};
    check(ib_sandbox_run(sandbox, argv, NULL, NULL, &err), err, "depmod");
    for (size_t i = 0; i < IB_ARRAY_SIZE(index); i++) {
        _cleanup_(ib_freep) char *path =
            ib_asprintf("/usr/lib/modules/%s/%s", kernel.version, index[i]);
        _cleanup_(ib_freep) char *copy = ib_path_join(dir, "index");
        _cleanup_(ib_buf_clear) struct ib_buf before = {0};
        _cleanup_(ib_buf_clear) struct ib_buf after = {0};
        check(ib_tree_read_file(tree, path + 1, IB_GIB, &before, &err), err, "read");
        check(ib_sandbox_copy_out(sandbox, path, copy, &err), err, "copy out");
        check(ib_read_file(copy, IB_GIB, &after, &err), err, "read");
        cr_assert(before.size == after.size && !memcmp(before.data, after.data, after.size), "%s",
                  path);
    }
    ib_kernel_clear(&kernel);
}

struct result {
    struct ib_sha256 tree;
    struct ib_buf initrd;
};

static void build(bool memory, struct result *ret)
{
    struct ib_tree *base = bootstrap(memory);
    struct ib_sandbox *sandbox = open_sandbox(base, memory);
    struct ib_error *err = NULL;

    install(sandbox);
    struct ib_tree *tree = export_tree(sandbox, "tree.tar");
    check_tree(tree);
    make_initrd(sandbox, tree, &ret->initrd);
    cr_assert(ret->initrd.size > 4 * IB_MIB && ret->initrd.size < 64 * IB_MIB);
    struct ib_tree *after = export_tree(sandbox, "after.tar");
    cr_assert_eq(ib_tree_entry_count(tree), ib_tree_entry_count(after), "dracut left traces");
    check_depmod(sandbox, tree);
    sandbox = ib_sandbox_free(sandbox);

    ib_exclude_apply(tree, ib_exclude_default());
    check(ib_cleanup_tree(tree, lock->date_s, &err), err, "clean up");
    _cleanup_(ib_closep) int fd = ib_temp_file(dir, &err);
    check(ib_tree_save(tree, fd, NULL, &ret->tree, &err), err, "save");
    ib_tree_free(after);
    ib_tree_free(tree);
    ib_tree_free(base);
}

Test(debian, two_builds_give_the_same_bytes)
{
    struct result in_memory = {0}, on_disk = {0};
    mode_t old = umask(0077);

    build(true, &in_memory);
    umask(old);
    build(false, &on_disk);
    cr_assert(ib_sha256_equal(&in_memory.tree, &on_disk.tree), "the trees differ");
    cr_assert_eq(in_memory.initrd.size, on_disk.initrd.size);
    cr_assert_eq(memcmp(in_memory.initrd.data, on_disk.initrd.data, on_disk.initrd.size), 0);
    ib_buf_clear(&in_memory.initrd);
    ib_buf_clear(&on_disk.initrd);
}

Test(debian, failures_name_the_package_and_leave_nothing)
{
    _cleanup_(ib_freep) struct ib_package_file *files =
        ib_calloc(set->package_count, sizeof(*files));
    struct ib_tree *base = bootstrap(true);
    struct ib_sandbox *sandbox = open_sandbox(base, true);
    struct ib_error *err = NULL;
    size_t count = 0;

    for (size_t i = 0; i < set->package_count; i++) /* openssh-server without openssh-client */
        if (!ib_streq(set->packages[i].name, "openssh-client"))
            files[count++] = (struct ib_package_file){&set->packages[i], paths.items[i]};
    const struct ib_package_job job = {
        .install = files, .install_count = count, .scratch_dir = dir};
    cr_assert_eq(ib_packages_apply(sandbox, IB_FAMILY_DEBIAN, &job, &err), -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), IB_E_CHILD);
    cr_assert(strstr(text, "openssh-client"), "%s", text);
    ib_error_free(err);
    ib_sandbox_free(sandbox);
    ib_tree_free(base);
}
