/* SPDX-License-Identifier: Apache-2.0 */
#include "os/cleanup.h"

#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "os/users.h"

enum action {
    EMPTY_DIRECTORY, /* all below it goes, the directory stays */
    EMPTY_TREE,      /* regular files below it go, directories stay (their owners matter) */
    EMPTY_FILE,      /* stays as a file without content */
    REMOVE,
};

/* One row a reason. Paths are fnmatch(3) patterns with FNM_PATHNAME; the order does not matter. */
static const struct {
    const char *pattern;
    enum action action;
    const char *reason;
} table[] = {
    {"boot", EMPTY_DIRECTORY, "kernel and initrd are in the UKI"},
    {"dev", EMPTY_DIRECTORY, "devtmpfs is mounted there"},
    {"proc", EMPTY_DIRECTORY, "proc is mounted there"},
    {"run", EMPTY_DIRECTORY, "a tmpfs is mounted there"},
    {"sys", EMPTY_DIRECTORY, "sysfs is mounted there"},
    {"tmp", EMPTY_DIRECTORY, "a tmpfs is mounted there"},
    {"var/tmp", EMPTY_DIRECTORY, "rubbish of scripts"},
    {"root", EMPTY_DIRECTORY, "lives below /var on the node"},
    {"etc/machine-id", EMPTY_FILE, "each node has its own (machine-id(5), \"Initialization\")"},
    {"var/lib/dbus/machine-id", REMOVE, "a copy of the machine id"},
    {"var/lib/systemd/random-seed", REMOVE, "a seed must not be shared"},
    {"var/lib/systemd/credential.secret", REMOVE, "a key must not be shared"},
    {"etc/ssh/ssh_host_*", REMOVE, "made on the node's first boot"},
    {"etc/hostname", REMOVE, "comes from the identity"},
    {"etc/resolv.conf", REMOVE, "comes from the identity"},
    {"etc/fstab", EMPTY_FILE, "the image's partitions are found by their types"},
    {"etc/.pwd.lock", REMOVE, "left by the shadow tools"},
    {"etc/passwd-", REMOVE, "backup with the time in it"},
    {"etc/group-", REMOVE, "backup"},
    {"etc/shadow-", REMOVE, "backup"},
    {"etc/gshadow-", REMOVE, "backup"},
    {"etc/subuid-", REMOVE, "backup"},
    {"etc/subgid-", REMOVE, "backup"},
    {"etc/apt/apt.conf.d/99mmdebstrap", REMOVE, "of the build"},
    {"etc/dpkg/dpkg.cfg.d/99mmdebstrap", REMOVE, "of the build"},
    {"etc/nvme/hostid", REMOVE, "random, one a machine; nvme-cli does without"},
    {"etc/nvme/hostnqn", REMOVE, "made of the host id"},
    {"etc/ld.so.cache~", REMOVE, "left by ldconfig"},
    {"var/cache", EMPTY_TREE, "caches are made on the node"},
    {"var/log", EMPTY_TREE, "logs of the build"},
    {"var/lib/apt", EMPTY_DIRECTORY, "on /var it would outlive the packages it speaks of"},
    {"var/lib/dpkg", EMPTY_DIRECTORY, "the same; the manifest lists the packages"},
    {"var/lib/dnf", EMPTY_TREE, "history with times in it"},
    {"var/lib/rpm/.rpm.lock", REMOVE, "lock"},
    {"var/lib/rpm/__db.*", REMOVE, "memory maps of the database"},
    {"usr/lib/sysimage/rpm/.rpm.lock", REMOVE, "lock"},
    {"usr/lib/sysimage/libdnf5", EMPTY_TREE, "history with times in it"},
    {"var/lib/systemd/catalog/database", REMOVE, "order depends on readdir; journald does without"},
    {"var/lib/systemd/deb-systemd-helper-enabled", REMOVE, "state of maintainer scripts"},
    {"var/lib/systemd/deb-systemd-user-helper-enabled", REMOVE, "state of maintainer scripts"},
    {"usr/share/info/dir.old", REMOVE, "backup"},
};

struct match {
    const char *pattern;
    struct ib_strv paths;
};

static int collect_match(struct ib_node *node _unused_, const char *path, void *userdata)
{
    struct match *m = userdata;

    if (fnmatch(m->pattern, path, FNM_PATHNAME) == 0)
        ib_strv_add(&m->paths, path);
    return 0;
}

/* The paths of a row: most name one file, which needs no walk. */
static void find_matches(const struct ib_tree *tree, struct match *m)
{
    if (strpbrk(m->pattern, "*?["))
        (void)ib_tree_walk(tree, collect_match, m);
    else if (ib_tree_find(tree, m->pattern))
        ib_strv_add(&m->paths, m->pattern);
}

static void remove_children(struct ib_tree *tree, const char *path)
{
    const struct ib_node *node;

    while ((node = ib_tree_find(tree, path)) && node->child_count > 0) {
        _cleanup_(ib_freep) char *child = ib_node_path(node->children[node->child_count - 1]);
        ib_tree_remove(tree, child);
    }
}

static int collect_files(struct ib_node *node, const char *path, void *userdata)
{
    struct match *m = userdata;
    size_t n = strlen(m->pattern);

    if (strncmp(path, m->pattern, n) == 0 && path[n] == '/' && !S_ISDIR(node->inode->mode))
        ib_strv_add(&m->paths, path);
    return 0;
}

static void remove_files(struct ib_tree *tree, const char *path)
{
    struct match files = {.pattern = path};

    (void)ib_tree_walk(tree, collect_files, &files);
    for (size_t i = 0; i < files.paths.count; i++)
        ib_tree_remove(tree, files.paths.items[i]);
    ib_strv_clear(&files.paths);
}

static int empty_file(struct ib_tree *tree, const char *path, struct ib_error **err)
{
    const struct ib_node *old = ib_tree_find(tree, path);
    uint32_t mode = S_ISREG(old->inode->mode) ? old->inode->mode & 07777 : 0644;
    struct ib_node *node = ib_tree_add_file(tree, path, mode, "", 0, IB_LAYER_OVERLAYS, err);

    return node ? 0 : -1;
}

static int apply_row(struct ib_tree *tree, size_t row, struct ib_error **err)
{
    struct match m = {.pattern = table[row].pattern};
    int r = 0;

    find_matches(tree, &m);
    for (size_t i = 0; i < m.paths.count && r == 0; i++) {
        switch (table[row].action) {
        case EMPTY_DIRECTORY:
            remove_children(tree, m.paths.items[i]);
            break;
        case EMPTY_TREE:
            remove_files(tree, m.paths.items[i]);
            break;
        case EMPTY_FILE:
            r = empty_file(tree, m.paths.items[i], err);
            break;
        case REMOVE:
            ib_tree_remove(tree, m.paths.items[i]);
            break;
        }
    }
    ib_strv_clear(&m.paths);
    return r;
}

/* Byte code holds its source's time; Python works without. */
static int collect_bytecode(struct ib_node *node, const char *path, void *userdata)
{
    if (S_ISDIR(node->inode->mode) && ib_streq(node->name, "__pycache__"))
        ib_strv_add(userdata, path);
    return 0;
}

static void remove_bytecode(struct ib_tree *tree)
{
    _cleanup_(ib_strv_clear) struct ib_strv paths = {0};

    (void)ib_tree_walk(tree, collect_bytecode, &paths);
    for (size_t i = 0; i < paths.count; i++)
        ib_tree_remove(tree, paths.items[i]);
}

static int set_time(struct ib_node *node, const char *path _unused_, void *userdata)
{
    node->inode->mtime_s = *(const int64_t *)userdata;
    return 0;
}

/* Directories that the node mounts something on: a read-only root cannot get them later. */
static int add_mount_points(struct ib_tree *tree, struct ib_error **err)
{
    static const struct {
        const char *path;
        uint32_t mode;
    } points[] = {
        {"boot", 0755}, {"dev", 0755},  {"efi", 0755},  {"home", 0755}, {"mnt", 0755},
        {"opt", 0755},  {"proc", 0555}, {"root", 0700}, {"run", 0755},  {"srv", 0755},
        {"sys", 0555},  {"tmp", 01777}, {"var", 0755},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(points); i++)
        if (!ib_tree_find(tree, points[i].path) &&
            !ib_tree_add_directory(tree, points[i].path, points[i].mode, IB_LAYER_OVERLAYS, err))
            return -1;
    if (!ib_tree_find(tree, "etc/machine-id") &&
        !ib_tree_add_file(tree, "etc/machine-id", 0444, "", 0, IB_LAYER_OVERLAYS, err))
        return -1;
    return 0;
}

/*
 * A machine's iSCSI name must be its own. Debian's iscsid makes one at its start where the file
 * asks for it, Fedora's iscsi-init.service where there is no file.
 */
static int reset_iscsi_name(struct ib_tree *tree, struct ib_error **err)
{
    static const char path[] = "etc/iscsi/initiatorname.iscsi", ask[] = "GenerateName=yes\n";

    if (!ib_tree_find(tree, path))
        return 0;
    if (!ib_tree_find(tree, "usr/lib/open-iscsi/startup-checks.sh")) {
        ib_tree_remove(tree, path);
        return 0;
    }
    return ib_tree_add_file(tree, path, 0600, ask, strlen(ask), IB_LAYER_OVERLAYS, err) ? 0 : -1;
}

int ib_cleanup_tree(struct ib_tree *tree, int64_t mtime_s, struct ib_error **err)
{
    for (size_t row = 0; row < IB_ARRAY_SIZE(table); row++)
        if (apply_row(tree, row, err) < 0)
            return ib_wrap(err, table[row].pattern, "clean up");
    remove_bytecode(tree);
    if (reset_iscsi_name(tree, err) < 0 || ib_users_fix_shadow_dates(tree, err) < 0 ||
        add_mount_points(tree, err) < 0)
        return ib_wrap(err, NULL, "clean up the tree");
    (void)ib_tree_walk(tree, set_time, &mtime_s);
    return 0;
}
