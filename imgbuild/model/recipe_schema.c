/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may stand in the five kinds of recipes: the one place where a key is added. The texts here
 * are what editors show and what docs/recipes.md says.
 */
#include "model/recipe_schema.h"

#define FIELD(type_, member, key_, kind, flags_, doc_, ...)           \
    {                                                                 \
        .key = (key_), .type = IB_TYPE_##kind, .flags = (flags_),     \
        .offset = offsetof(type_, member), .doc = (doc_), __VA_ARGS__ \
    }
/* A field of the nameless struct OUTER inside type_. */
#define INNER(type_, outer, member, key_, kind, flags_, doc_, ...)                       \
    {                                                                                    \
        .key = (key_), .type = IB_TYPE_##kind, .flags = (flags_),                        \
        .offset = offsetof(type_, outer.member) - offsetof(type_, outer), .doc = (doc_), \
        __VA_ARGS__                                                                      \
    }
#define SCHEMA(variable, title_, size_, doc_, ...)                                \
    const struct ib_schema variable = {.title = (title_),                         \
                                       .doc = (doc_),                             \
                                       .size = (size_),                           \
                                       .fields = variable##_fields,               \
                                       .count = IB_ARRAY_SIZE(variable##_fields), \
                                       __VA_ARGS__}
#define INNER_SIZE(type_, outer) sizeof(((type_ *)NULL)->outer)
#define MAX_ID 60000

static const char *const architectures[] = {"x86_64", "aarch64", NULL};
static const char *const families[] = {"debian", "fedora", NULL};
static const char *const base_kinds[] = {"debian-suite", "disk-image", "oci", "tar", NULL};
static const char *const k3s_modes[] = {"none", "server", "agent", NULL};
static const char *const passwords[] = {"locked", "empty", NULL};
static const char *const disk_types[] = {"any", "nvme", "ssd", "hdd", NULL};

const char *ib_architecture_name(enum ib_architecture architecture)
{
    return architectures[architecture];
}

const char *ib_family_name(enum ib_family family)
{
    return families[family];
}

const char *ib_base_kind_name(enum ib_base_kind kind)
{
    return base_kinds[kind];
}

const char *ib_k3s_mode_name(enum ib_k3s_mode mode)
{
    return k3s_modes[mode];
}

const char *ib_disk_type_name(enum ib_disk_type type)
{
    return disk_types[type];
}

/* Parts that several kinds have */

static const struct ib_field ib_schema_file_fields[] = {
    FIELD(struct ib_file, path, "path", PATH, IB_REQUIRED, "Where the file is put."),
    FIELD(struct ib_file, content, "content", TEXT, 0, "Its content; or `source`."),
    FIELD(struct ib_file, source, "source", PROJECT_PATH, 0,
          "A file of the project that holds its content; or `content`."),
    FIELD(struct ib_file, mode, "mode", MODE, 0, "Permissions.", .preset = "0644"),
    FIELD(struct ib_file, owner, "owner", OWNER, 0, "Owner.", .preset = "root"),
    FIELD(struct ib_file, group, "group", OWNER, 0, "Group.", .preset = "root"),
    FIELD(struct ib_file, is_template, "template", BOOL, 0, "Replace `${…}` values in the content.",
          .preset = "false"),
};
SCHEMA(ib_schema_file, "file", sizeof(struct ib_file), "A file to put into the image.");

static const struct ib_field ib_schema_rule_fields[] = {
    FIELD(struct ib_rule, path, "path", GLOB, IB_REQUIRED,
          "Which files that overlays brought: a path in which `*`, `?` and `[…]` match within one "
          "directory, and `/**` at the end matches all below."),
    FIELD(struct ib_rule, mode, "mode", MODE, 0, "Their permissions."),
    FIELD(struct ib_rule, owner, "owner", OWNER, 0, "Their owner."),
    FIELD(struct ib_rule, group, "group", OWNER, 0, "Their group."),
    FIELD(struct ib_rule, is_template, "template", BOOL, 0, "Replace `${…}` values in them.",
          .preset = "false"),
};
SCHEMA(ib_schema_rule, "rule", sizeof(struct ib_rule), "Owner and mode of what overlays bring.");

static const struct ib_field ib_schema_user_fields[] = {
    FIELD(struct ib_user, name, "name", ACCOUNT, IB_REQUIRED, "Login name."),
    FIELD(struct ib_user, uid, "uid", INT, IB_REQUIRED, "User number.", .min = 1, .max = MAX_ID),
    FIELD(struct ib_user, gid, "gid", INT, 0,
          "Number of its own group; the same as `uid` where absent.", .min = 1, .max = MAX_ID,
          .preset = "-1"),
    FIELD(struct ib_user, comment, "comment", LINE, 0, "Real name or purpose."),
    FIELD(struct ib_user, home, "home", PATH, 0, "Home directory; `/home/NAME` where absent."),
    FIELD(struct ib_user, shell, "shell", PATH, 0, "Login shell.", .preset = "/bin/bash"),
    FIELD(struct ib_user, groups, "groups", ACCOUNT, IB_LIST, "Further groups."),
    FIELD(struct ib_user, authorized_keys, "authorized_keys", SSH_KEY, IB_LIST,
          "SSH keys that may log in."),
    FIELD(struct ib_user, password, "password", ENUM, 0,
          "`locked`: keys only. `empty`: the console lets anybody in; for test clusters.",
          .names = passwords, .preset = "locked"),
};
SCHEMA(ib_schema_user, "user", sizeof(struct ib_user), "A user account.");

static const struct ib_field ib_schema_group_fields[] = {
    FIELD(struct ib_group, name, "name", ACCOUNT, IB_REQUIRED, "Group name."),
    FIELD(struct ib_group, gid, "gid", INT, IB_REQUIRED, "Group number.", .min = 1, .max = MAX_ID),
};
SCHEMA(ib_schema_group, "group", sizeof(struct ib_group), "A group.");

#define VAR_OFFSET offsetof(struct ib_storage, var_min_size)
static const struct ib_field var_schema_fields[] = {
    {.key = "min",
     .type = IB_TYPE_SIZE,
     .offset = 0,
     .doc = "At least this much; the installation stops where it does not fit."},
    {.key = "max",
     .type = IB_TYPE_SIZE,
     .offset = offsetof(struct ib_storage, var_max_size) - VAR_OFFSET,
     .doc = "At most this much; all that is left where absent."},
};
static SCHEMA(var_schema, "var", 2 * sizeof(uint64_t), "The partition for `/var`.");
_Static_assert(offsetof(struct ib_storage, ceph_size) - offsetof(struct ib_storage, ceph) ==
                   offsetof(
                       struct {
                           bool wanted;
                           uint64_t size;
                       },
                       size),
               "IB_TYPE_BOOL_OR_SIZE stores a bool and a size");

static const struct ib_field ib_schema_storage_fields[] = {
    FIELD(struct ib_storage, var_min_size, "var", STRUCT, 0,
          "The partition for `/var`, made on first boot.", .schema = &var_schema),
    FIELD(struct ib_storage, ceph, "ceph", BOOL_OR_SIZE, 0,
          "A raw partition for Ceph on the system disk: of this size, or `true` for what is left."),
};
SCHEMA(ib_schema_storage, "storage", sizeof(struct ib_storage),
       "Partitions besides ESP, root and verity.");

static const struct ib_field ib_schema_disk_rule_fields[] = {
    FIELD(struct ib_disk_rule, type, "type", ENUM, 0, "Kind of disk.", .names = disk_types,
          .preset = "any"),
    FIELD(struct ib_disk_rule, by_id, "by_id", PATTERN, 0, "Its name below `/dev/disk/by-id`."),
    FIELD(struct ib_disk_rule, model, "model", PATTERN, 0, "Its model."),
    FIELD(struct ib_disk_rule, serial, "serial", LINE, 0, "Its serial number, exactly."),
    FIELD(struct ib_disk_rule, transport, "transport", WORD, 0,
          "How it is connected: `nvme`, `sata`, `sas`, `usb`, `mmc`, `virtio`, …"),
    FIELD(struct ib_disk_rule, min_size, "min_size", SIZE, 0, "At least this large."),
    FIELD(struct ib_disk_rule, max_size, "max_size", SIZE, 0, "At most this large."),
};
SCHEMA(ib_schema_disk_rule, "disk rule", sizeof(struct ib_disk_rule),
       "Which disk: all conditions hold. No match or two: stop and report.", .shorthand = "type");

static const struct ib_field ib_schema_data_disks_fields[] = {
    FIELD(struct ib_data_disks, match, "match", STRUCT, IB_REQUIRED, "Which disks.",
          .schema = &ib_schema_disk_rule),
    FIELD(struct ib_data_disks, count, "count", INT, IB_REQUIRED, "How many of them there are.",
          .min = 1, .max = 1000),
};
SCHEMA(ib_schema_data_disks, "data disks", sizeof(struct ib_data_disks),
       "Disks that are never written by an installation.");

/* cluster */

static const struct ib_field network_schema_fields[] = {
    INNER(struct ib_cluster, network, subnet, "subnet", NETWORK, IB_REQUIRED,
          "The wired network of all nodes."),
    INNER(struct ib_cluster, network, gateway, "gateway", IPV4, IB_REQUIRED, "Default route."),
    INNER(struct ib_cluster, network, dns, "dns", IPV4, IB_REQUIRED | IB_LIST, "Name servers."),
    INNER(struct ib_cluster, network, vip, "vip", IPV4, IB_REQUIRED,
          "Virtual address of the control plane, held by kube-vip."),
    INNER(struct ib_cluster, network, load_balancer_pool, "load_balancer_pool", RANGE, 0,
          "Addresses for services of type LoadBalancer; no node may have one of them."),
};
static SCHEMA(network_schema, "network", INNER_SIZE(struct ib_cluster, network), "The network.");

static const struct ib_field ssh_schema_fields[] = {
    INNER(struct ib_cluster, ssh, authorized_keys, "authorized_keys", SSH_KEY, IB_LIST,
          "Keys that may log in as root on every node."),
};
static SCHEMA(ssh_schema, "ssh", INNER_SIZE(struct ib_cluster, ssh), "SSH.");

static const struct ib_field gitops_schema_fields[] = {
    INNER(struct ib_cluster, gitops, repository, "repository", URL, IB_REQUIRED,
          "Git repository that Argo CD deploys from."),
    INNER(struct ib_cluster, gitops, revision, "revision", WORD, 0, "Branch or tag.",
          .preset = "HEAD"),
    INNER(struct ib_cluster, gitops, paths, "paths", PATTERN, IB_LIST,
          "Directories whose children are applications."),
};
static SCHEMA(gitops_schema, "gitops", INNER_SIZE(struct ib_cluster, gitops), "GitOps.");

static const struct ib_field image_schema_fields[] = {
    INNER(struct ib_cluster, image, esp_size, "esp_size", SIZE, 0, "EFI system partition.",
          .preset = "512M"),
    INNER(struct ib_cluster, image, slot_size, "slot_size", SIZE, 0,
          "Root partition of each of the two slots. It cannot change without a reinstallation.",
          .preset = "2G"),
    INNER(struct ib_cluster, image, compression_level, "compression_level", INT, 0,
          "zstd level of root and artifact.", .min = 1, .max = 22, .preset = "15"),
};
static SCHEMA(image_schema, "image", INNER_SIZE(struct ib_cluster, image), "The disk image.");

static const struct ib_field ib_schema_payload_fields[] = {
    FIELD(struct ib_payload, name, "name", NAME, IB_IMPLICIT, "Its key."),
    FIELD(struct ib_payload, version, "version", VERSION, IB_REQUIRED, "The version to lock."),
    FIELD(struct ib_payload, urls, "urls", URL, IB_REQUIRED | IB_LIST,
          "Where it is downloaded from, in the order to try; `${version}` is replaced."),
    FIELD(struct ib_payload, checksums, "checksums", URL, 0,
          "A sha256sum file that lists it; `${version}` is replaced. Without one the hash is "
          "pinned when it is first locked."),
    FIELD(struct ib_payload, path, "path", PATH, IB_REQUIRED, "Where it is put; not below `/var`."),
    FIELD(struct ib_payload, mode, "mode", MODE, 0, "Permissions.", .preset = "0644"),
    FIELD(struct ib_payload, link, "link", PATH, 0,
          "A symbolic link to it below `/var`, made at boot."),
};
SCHEMA(ib_schema_payload, "payload", sizeof(struct ib_payload),
       "A downloaded file that is neither package nor base.");

static const struct ib_field cluster_k3s_schema_fields[] = {
    INNER(struct ib_cluster, k3s, config, "config", ANY, 0,
          "k3s configuration of every node; `${…}` values are replaced."),
};
static SCHEMA(cluster_k3s_schema, "k3s", INNER_SIZE(struct ib_cluster, k3s), "k3s.");

static const struct ib_field ib_schema_cluster_fields[] = {
    FIELD(struct ib_cluster, name, "name", NAME, IB_REQUIRED, "Name of the cluster."),
    FIELD(struct ib_cluster, domain, "domain", DOMAIN, IB_REQUIRED,
          "Domain of the nodes: odin is `odin.DOMAIN`."),
    FIELD(struct ib_cluster, timezone, "timezone", TIMEZONE, 0, "Time zone of all nodes.",
          .preset = "UTC"),
    FIELD(struct ib_cluster, locale, "locale", WORD, 0, "Locale of all nodes.",
          .preset = "C.UTF-8"),
    FIELD(struct ib_cluster, keymap, "keymap", WORD, 0, "Keyboard of the console."),
    FIELD(struct ib_cluster, base, "base", NAME, IB_REQUIRED, "Base of nodes that name none."),
    FIELD(struct ib_cluster, network, "network", STRUCT, IB_REQUIRED, "The network.",
          .schema = &network_schema),
    FIELD(struct ib_cluster, ssh, "ssh", STRUCT, 0, "Remote login.", .schema = &ssh_schema),
    FIELD(struct ib_cluster, gitops, "gitops", STRUCT, 0, "What Argo CD deploys.",
          .schema = &gitops_schema),
    FIELD(struct ib_cluster, image, "image", STRUCT, 0, "Sizes of what is built.",
          .schema = &image_schema),
    FIELD(struct ib_cluster, payloads, "payloads", STRUCT, IB_KEYED,
          "Downloaded files that roles may ask for.", .schema = &ib_schema_payload),
    FIELD(struct ib_cluster, k3s, "k3s", STRUCT, 0, "Kubernetes.", .schema = &cluster_k3s_schema),
    FIELD(struct ib_cluster, overlays, "overlays", NAME, IB_LIST,
          "Directories of `overlays/` laid over every root, before the role's."),
    FIELD(struct ib_cluster, kernel_arguments, "kernel_arguments", KERNEL_ARGUMENT, IB_LIST,
          "Kernel arguments of every node; `${…}` values are replaced."),
    FIELD(struct ib_cluster, persist, "persist", PERSIST, IB_LIST,
          "What outside `/var` survives a reboot: files, or directories with a `/` at the end."),
    FIELD(struct ib_cluster, storage, "storage", STRUCT, 0, "Partitions of every node.",
          .schema = &ib_schema_storage),
};
SCHEMA(ib_schema_cluster, "cluster", sizeof(struct ib_cluster),
       "`recipes/cluster.yaml`: what all nodes share.");

/* base */

static const struct ib_field repository_schema_fields[] = {
    FIELD(struct ib_repository, name, "name", WORD, IB_REQUIRED, "Name of the repository."),
    FIELD(struct ib_repository, url, "url", URL, 0, "Its address; or `metalink`."),
    FIELD(struct ib_repository, metalink, "metalink", URL, 0,
          "Address of a list of mirrors; or `url`."),
    FIELD(struct ib_repository, key, "key", PROJECT_PATH, 0,
          "Public key that signs its packages, a file of the project."),
};
static SCHEMA(repository_schema, "repository", sizeof(struct ib_repository),
              "A package repository.");

static const struct ib_field base_services_schema_fields[] = {
    INNER(struct ib_base, services, enable, "enable", UNIT, IB_LIST, "Units started at boot."),
    INNER(struct ib_base, services, disable, "disable", UNIT, IB_LIST, "Units not started."),
    INNER(struct ib_base, services, mask, "mask", UNIT, IB_LIST, "Units that cannot be started."),
};
static SCHEMA(base_services_schema, "services", INNER_SIZE(struct ib_base, services), "Services.");

static const struct ib_field paths_schema_fields[] = {
    INNER(struct ib_base, paths, kernel, "kernel", GLOB, 0, "The kernel; exactly one file matches.",
          .preset = "/usr/lib/modules/*/vmlinuz"),
    INNER(struct ib_base, paths, stub, "stub", PATH, 0, "systemd's UKI stub.",
          .preset = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"),
    INNER(struct ib_base, paths, boot_loader, "boot_loader", PATH, 0, "systemd-boot.",
          .preset = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"),
    INNER(struct ib_base, paths, file_contexts, "file_contexts", PATH, 0,
          "SELinux labels; without it files get none."),
};
static SCHEMA(paths_schema, "paths", INNER_SIZE(struct ib_base, paths), "Paths.");

static const struct ib_field ib_schema_base_fields[] = {
    FIELD(struct ib_base, name, "name", NAME, IB_IMPLICIT, "Name of the file."),
    FIELD(struct ib_base, description, "description", LINE, 0, "One line for `imgbuild list`."),
    FIELD(struct ib_base, kind, "kind", ENUM, IB_REQUIRED,
          "How it comes: a Debian suite to install, or a disk image, OCI image or tar archive to "
          "unpack.",
          .names = base_kinds),
    FIELD(struct ib_base, family, "family", ENUM, IB_REQUIRED,
          "Which package manager, and which of the package lists by family.", .names = families),
    FIELD(struct ib_base, architecture, "architecture", ENUM, 0, "Processor.",
          .names = architectures, .preset = "x86_64"),
    FIELD(struct ib_base, version, "version", VERSION, 0,
          "Version of a downloaded base; `${version}` in its URLs."),
    FIELD(struct ib_base, suite, "suite", WORD, 0, "Debian suite (`debian-suite`)."),
    FIELD(struct ib_base, mirrors, "mirrors", URL, IB_LIST,
          "Debian mirrors, in the order to try (`debian-suite`)."),
    FIELD(struct ib_base, components, "components", WORD, IB_LIST,
          "Archive areas; `main` where absent (`debian-suite`)."),
    FIELD(struct ib_base, snapshot, "snapshot", SNAPSHOT, 0,
          "Moment of snapshot.debian.org to take instead of the mirrors' present "
          "(`debian-suite`)."),
    FIELD(struct ib_base, urls, "urls", URL, IB_LIST,
          "Where it is downloaded from, in the order to try; `${version}` is replaced."),
    FIELD(struct ib_base, checksums, "checksums", URL, 0,
          "A checksum file that lists it; `${version}` is replaced."),
    FIELD(struct ib_base, signing_key, "signing_key", PROJECT_PATH, 0,
          "Public key that signs the checksum file, a file of the project; of a suite the "
          "keyring of its archive, in place of the host's debian-archive-keyring."),
    FIELD(struct ib_base, signing_fingerprint, "signing_fingerprint", FINGERPRINT, 0,
          "Its fingerprint."),
    FIELD(struct ib_base, repositories, "repositories", STRUCT, IB_LIST,
          "Package repositories in place of the image's own (`fedora`).",
          .schema = &repository_schema),
    FIELD(struct ib_base, packages, "packages", PACKAGE, IB_LIST,
          "Packages that every role needs: init, kernel, dracut."),
    FIELD(struct ib_base, remove_packages, "remove_packages", PACKAGE, IB_LIST,
          "Packages of the image that no role needs."),
    FIELD(struct ib_base, services, "services", STRUCT, 0, "Services of every role.",
          .schema = &base_services_schema),
    FIELD(struct ib_base, paths, "paths", STRUCT, 0, "Where things are in its tree.",
          .schema = &paths_schema),
};
SCHEMA(ib_schema_base, "base", sizeof(struct ib_base),
       "`recipes/bases/NAME.yaml`: the operating system that roles start from.");

/* role */

static const struct ib_field services_schema_fields[] = {
    INNER(struct ib_role, services, enable, "enable", BY_FAMILY, 0, "Units started at boot.",
          .key_type = IB_TYPE_UNIT),
    INNER(struct ib_role, services, disable, "disable", BY_FAMILY, 0, "Units not started.",
          .key_type = IB_TYPE_UNIT),
    INNER(struct ib_role, services, mask, "mask", BY_FAMILY, 0, "Units that cannot be started.",
          .key_type = IB_TYPE_UNIT),
};
static SCHEMA(services_schema, "services", INNER_SIZE(struct ib_role, services), "Services.");

static const struct ib_field k3s_schema_fields[] = {
    FIELD(struct ib_k3s, mode, "mode", ENUM, IB_REQUIRED, "What k3s is on these nodes.",
          .names = k3s_modes),
    FIELD(struct ib_k3s, config, "config", ANY, 0,
          "k3s configuration, over the cluster's: a key replaces, `KEY+` appends to a list. "
          "`${…}` values are replaced."),
};
static SCHEMA(k3s_schema, "k3s", sizeof(struct ib_k3s), "k3s.");

static const struct ib_field ib_schema_role_fields[] = {
    FIELD(struct ib_role, name, "name", NAME, IB_IMPLICIT, "Name of the file."),
    FIELD(struct ib_role, description, "description", LINE, 0, "One line for `imgbuild list`."),
    FIELD(struct ib_role, packages, "packages", BY_FAMILY, 0,
          "Packages to install: a list, or lists `all`, `debian`, `fedora`.",
          .key_type = IB_TYPE_PACKAGE),
    FIELD(struct ib_role, remove_packages, "remove_packages", BY_FAMILY, 0,
          "Packages to remove, with what only they needed.", .key_type = IB_TYPE_PACKAGE),
    FIELD(struct ib_role, services, "services", STRUCT, 0, "systemd units.",
          .schema = &services_schema),
    FIELD(struct ib_role, sysctls, "sysctls", PAIRS, 0, "Kernel settings.",
          .key_type = IB_TYPE_SYSCTL),
    FIELD(struct ib_role, modules, "modules", MODULE, IB_LIST, "Kernel modules loaded at boot."),
    FIELD(struct ib_role, users, "users", STRUCT, IB_LIST, "User accounts.",
          .schema = &ib_schema_user),
    FIELD(struct ib_role, groups, "groups", STRUCT, IB_LIST, "Groups.", .schema = &ib_schema_group),
    FIELD(struct ib_role, files, "files", STRUCT, IB_LIST,
          "Files put into the root. A `${node.…}` value is an error: nodes of a role share it.",
          .schema = &ib_schema_file),
    FIELD(struct ib_role, overlays, "overlays", NAME, IB_LIST,
          "Directories of `overlays/` laid over the root; later ones win."),
    FIELD(struct ib_role, rules, "rules", STRUCT, IB_LIST,
          "Owner and mode of what overlays bring; later ones win.", .schema = &ib_schema_rule),
    FIELD(struct ib_role, k3s, "k3s", STRUCT, 0, "Kubernetes.", .schema = &k3s_schema),
    FIELD(struct ib_role, payloads, "payloads", NAME, IB_LIST,
          "Payloads of cluster.yaml put into the root."),
    FIELD(struct ib_role, kernel_arguments, "kernel_arguments", KERNEL_ARGUMENT, IB_LIST,
          "Kernel arguments, after the hardware's; `${…}` values are replaced."),
    FIELD(struct ib_role, persist, "persist", PERSIST, IB_LIST,
          "More of what outside `/var` survives a reboot."),
    FIELD(struct ib_role, storage, "storage", STRUCT, 0, "Partitions, over the cluster's.",
          .schema = &ib_schema_storage),
};
SCHEMA(ib_schema_role, "role", sizeof(struct ib_role),
       "`recipes/roles/NAME.yaml`: packages, services and files. Nodes of one role share a root.");

/* node */

static const struct ib_field node_k3s_schema_fields[] = {
    INNER(struct ib_recipe_node, k3s, config, "config", ANY, 0,
          "k3s configuration, over the role's; `${…}` values are replaced."),
};
static SCHEMA(node_k3s_schema, "k3s", INNER_SIZE(struct ib_recipe_node, k3s), "k3s.");

static const struct ib_field ib_schema_node_fields[] = {
    FIELD(struct ib_recipe_node, name, "name", NAME, IB_IMPLICIT, "Name of the file."),
    FIELD(struct ib_recipe_node, role, "role", NAME, IB_REQUIRED, "What it is."),
    FIELD(struct ib_recipe_node, hardware, "hardware", NAME, IB_REQUIRED,
          "What it is made of: a file of `firmware/`."),
    FIELD(struct ib_recipe_node, base, "base", NAME, 0, "Its base, where not the cluster's."),
    FIELD(struct ib_recipe_node, mac, "mac", MAC, IB_REQUIRED, "MAC address of its wired port."),
    FIELD(struct ib_recipe_node, address, "address", IPV4, IB_REQUIRED, "Its address."),
    FIELD(struct ib_recipe_node, install_disk, "install_disk", STRUCT, IB_REQUIRED,
          "The disk to install on: `nvme`, `ssd`, or conditions.", .schema = &ib_schema_disk_rule),
    FIELD(struct ib_recipe_node, data_disks, "data_disks", STRUCT, IB_LIST,
          "Disks that hold data and are never installed on.", .schema = &ib_schema_data_disks),
    FIELD(struct ib_recipe_node, founder, "founder", BOOL, 0,
          "Starts the cluster when no other control node answers; one control node is it.",
          .preset = "false"),
    FIELD(struct ib_recipe_node, k3s, "k3s", STRUCT, 0, "Kubernetes.", .schema = &node_k3s_schema),
    FIELD(struct ib_recipe_node, labels, "labels", PAIRS, 0, "Kubernetes labels.",
          .key_type = IB_TYPE_LABEL),
    FIELD(struct ib_recipe_node, taints, "taints", TAINT, IB_LIST, "Kubernetes taints."),
    FIELD(struct ib_recipe_node, files, "files", STRUCT, IB_LIST,
          "Files of this node alone, below `/etc`.", .schema = &ib_schema_file),
    FIELD(struct ib_recipe_node, overlays, "overlays", NAME, IB_LIST,
          "Directories of `overlays/` for this node alone, with files below `/etc`."),
    FIELD(struct ib_recipe_node, kernel_arguments, "kernel_arguments", KERNEL_ARGUMENT, IB_LIST,
          "Kernel arguments, after the role's; `${…}` values are replaced."),
    FIELD(struct ib_recipe_node, persist, "persist", PERSIST, IB_LIST,
          "More of what outside `/var` survives a reboot."),
    FIELD(struct ib_recipe_node, storage, "storage", STRUCT, 0, "Partitions, over the role's.",
          .schema = &ib_schema_storage),
};
SCHEMA(ib_schema_node, "node", sizeof(struct ib_recipe_node),
       "`recipes/nodes/NAME.yaml`: one machine.");

/* hardware */

static const struct ib_field interface_schema_fields[] = {
    INNER(struct ib_hardware, interface, name, "name", PATTERN, 0, "Name of the interface."),
    INNER(struct ib_hardware, interface, drivers, "drivers", MODULE, IB_LIST, "Its driver."),
};
static SCHEMA(interface_schema, "interface", INNER_SIZE(struct ib_hardware, interface),
              "Interface.");

static const struct ib_field ib_schema_hardware_fields[] = {
    FIELD(struct ib_hardware, name, "name", NAME, IB_IMPLICIT, "Name of the file."),
    FIELD(struct ib_hardware, description, "description", LINE, 0, "One line for `imgbuild list`."),
    FIELD(struct ib_hardware, kernel_arguments, "kernel_arguments", KERNEL_ARGUMENT, IB_LIST,
          "Kernel arguments that these machines need."),
    FIELD(struct ib_hardware, drivers, "drivers", MODULE, IB_LIST,
          "Kernel modules of the initrd. Nodes with the same list share one."),
    FIELD(struct ib_hardware, consoles, "consoles", PATTERN, IB_LIST | IB_ORDERED,
          "Consoles of the kernel; the last one is `/dev/console`."),
    FIELD(struct ib_hardware, firmware, "firmware", BY_FAMILY, 0,
          "Firmware packages, installed in each root that runs on these machines.",
          .key_type = IB_TYPE_PACKAGE),
    FIELD(struct ib_hardware, interface, "interface", STRUCT, 0,
          "What the wired interface must match besides the node's MAC address.",
          .schema = &interface_schema),
    FIELD(struct ib_hardware, overlays, "overlays", NAME, IB_LIST,
          "Directories of `overlays/` for these machines, with files below `/etc`."),
};
SCHEMA(ib_schema_hardware, "hardware", sizeof(struct ib_hardware),
       "`firmware/NAME.yaml`: what a kind of machine needs.");

const struct ib_recipe_kind ib_recipe_kinds[IB_RECIPE_KIND_COUNT] = {
    {"cluster", "recipes/cluster.yaml", &ib_schema_cluster},
    {"base", "recipes/bases/", &ib_schema_base},
    {"role", "recipes/roles/", &ib_schema_role},
    {"node", "recipes/nodes/", &ib_schema_node},
    {"hardware", "firmware/", &ib_schema_hardware},
};
