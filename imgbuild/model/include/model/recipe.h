/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recipes of a cluster: what the user wrote, checked, and what follows from it.
 *
 *     recipes/cluster.yaml            struct ib_cluster
 *     recipes/bases/NAME.yaml         struct ib_base
 *     recipes/roles/NAME.yaml         struct ib_role
 *     recipes/nodes/NAME.yaml         struct ib_recipe_node
 *     firmware/NAME.yaml              struct ib_hardware
 *
 * These five hold one file each, as written. Two more hold what a build wants to know, with
 * everything merged and every ${…} value put in:
 *
 *     struct ib_root_spec             a role on a base: what the shared root is made of
 *     struct ib_node_spec             a node: what its identity, UKI and disk are made of
 *
 * All structs belong to the recipe, are read-only and live as long as it does. What is absent from
 * a file is NULL, 0, {0} or an empty list, or the default that the field's documentation names.
 *
 * Every value remembers the place that it came from: ib_recipe_origin takes the *address* of a
 * field (&node->address), or for an item of a string list the string itself.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "model/diag.h"
#include "model/net.h"

struct json_t; /* jansson's json_t */

/* A list of structs inside a recipe struct. */
#define IB_LIST_OF(type) \
    struct {             \
        type *items;     \
        size_t count;    \
    }

enum ib_architecture { IB_ARCH_X86_64, IB_ARCH_AARCH64 };
enum ib_family { IB_FAMILY_DEBIAN, IB_FAMILY_FEDORA };
enum ib_base_kind { IB_BASE_DEBIAN_SUITE, IB_BASE_DISK_IMAGE, IB_BASE_OCI, IB_BASE_TAR };
enum ib_k3s_mode { IB_K3S_NONE, IB_K3S_SERVER, IB_K3S_AGENT };
enum ib_password { IB_PASSWORD_LOCKED, IB_PASSWORD_EMPTY };
enum ib_disk_type { IB_DISK_ANY, IB_DISK_NVME, IB_DISK_SSD, IB_DISK_HDD };

/* Names as written in recipes ("x86_64", "debian", "disk-image", "server", "nvme"). */
const char *ib_architecture_name(enum ib_architecture architecture);
const char *ib_family_name(enum ib_family family);
const char *ib_base_kind_name(enum ib_base_kind kind);
const char *ib_k3s_mode_name(enum ib_k3s_mode mode);
const char *ib_disk_type_name(enum ib_disk_type type);

/* Names that differ between families: in YAML a plain list (all), or {all, debian, fedora}. */
struct ib_by_family {
    struct ib_strv all, debian, fedora;
};

struct ib_pair {
    char *key, *value;
};
struct ib_pairs {
    struct ib_pair *items; /* in the order of the file; merged ones sorted by key */
    size_t count;
};

/* One file put into the root (role) or the identity (node, hardware). */
struct ib_file {
    char *path;          /* absolute, normalized */
    char *content;       /* either this … */
    char *source;        /* … or this: a path below the project directory, never outside it */
    uint32_t mode;       /* permission bits; default 0644 */
    char *owner, *group; /* name or number; default "root" */
    bool is_template;    /* ${…} values are put in; in a spec's `content` they already are */
};

/* Changes owner and mode of what overlays bring. Later rules win. */
struct ib_rule {
    char *path; /* absolute; fnmatch(3) pattern with FNM_PATHNAME, "**" at the end is any depth */
    uint32_t mode;       /* IB_MODE_KEEP where not given */
    char *owner, *group; /* NULL: keep */
    bool is_template;    /* put ${…} values into the matching regular files */
};
#define IB_MODE_KEEP UINT32_MAX

struct ib_user {
    char *name;
    int64_t uid; /* always given, so that the tree does not depend on the package manager */
    int64_t gid; /* -1: the same as uid, in a group of the user's name */
    char *comment;
    char *home;            /* default /home/NAME */
    char *shell;           /* default /bin/bash */
    struct ib_strv groups; /* supplementary */
    struct ib_strv authorized_keys;
    enum ib_password password;
};
struct ib_group {
    char *name;
    int64_t gid;
};

/* Partitions made on first boot. */
struct ib_storage {
    uint64_t var_min_size, var_max_size; /* bytes; max 0: all that is left */
    bool ceph;                           /* a raw partition for Ceph */
    uint64_t ceph_size;                  /* bytes; 0: all that is left */
};

/* Which disk: every given condition must hold, and exactly one disk must match. */
struct ib_disk_rule {
    enum ib_disk_type type;
    char *by_id;                 /* name or fnmatch pattern below /dev/disk/by-id */
    char *model;                 /* fnmatch pattern */
    char *serial;                /* exact */
    char *transport;             /* exact: "nvme", "sata", "usb", … (io/disk.h) */
    uint64_t min_size, max_size; /* bytes; 0: no bound */
};
struct ib_data_disks {
    struct ib_disk_rule match;
    int64_t count; /* how many disks must match */
};

struct ib_k3s {
    enum ib_k3s_mode mode;
    struct json_t *config; /* an object, or NULL; merged by key, later wins, "key+" appends */
};

/* Something downloaded that is neither a package nor a base. */
struct ib_payload {
    char *name; /* its key in cluster.yaml, and in the lock */
    char *version;
    struct ib_strv urls; /* ${version} already put in (percent-encoded) */
    char *checksums; /* URL of a sha256sum(1) file that lists the last part of the URL, or NULL */
    char *path;      /* where it is put in the root; absolute, not below /var */
    uint32_t mode;   /* default 0644 */
    char *link;      /* below /var: symbolic link made at boot that points to path, or NULL */
};

struct ib_cluster {
    char *name;
    char *domain;
    char *timezone; /* default UTC */
    char *locale;   /* default C.UTF-8 */
    char *keymap;   /* NULL: the base's own */
    char *base;     /* the default base */
    struct {
        struct ib_ipv4_network subnet;
        uint32_t gateway;
        struct ib_ipv4_list dns;
        uint32_t vip;
        struct ib_ipv4_range load_balancer_pool;
    } network;
    struct {
        struct ib_strv authorized_keys; /* for root, on every node */
    } ssh;
    struct {
        char *repository, *revision;
        struct ib_strv paths;
    } gitops;
    struct {
        uint64_t esp_size, slot_size; /* bytes; slot: the root partition of one slot */
        int64_t compression_level;    /* zstd, of the root and of the artifact */
    } image;
    IB_LIST_OF(struct ib_payload) payloads;
    struct {
        struct json_t *config;
    } k3s;
    struct ib_strv overlays, kernel_arguments;
    struct ib_strv persist; /* absolute paths outside /var; one that ends in '/' is a directory */
    struct ib_storage storage;
};

/* A dnf repository for the packages of a fedora base, in place of those that the image itself has.
 */
struct ib_repository {
    char *name;
    char *url;      /* baseurl … */
    char *metalink; /* … or metalink; $releasever and $basearch as dnf knows them */
    char *key;      /* path below the project directory, or NULL */
};

struct ib_base {
    char *name; /* of the file */
    char *description;
    enum ib_base_kind kind;
    enum ib_family family;
    enum ib_architecture architecture;
    char *version; /* of a release image ("44-1.7"); the lock pins the bytes */
    /* debian-suite */
    char *suite;
    struct ib_strv mirrors, components;
    char *snapshot; /* "20261101T000000Z", or NULL */
    /* disk-image, oci, tar */
    struct ib_strv urls;
    char *checksums;           /* URL of a (signed) checksum file, or NULL */
    char *signing_key;         /* path below the project directory; of a suite: the keyring */
    char *signing_fingerprint; /* 40 hexadecimal digits, upper case; not of a suite */
    /* packages */
    IB_LIST_OF(struct ib_repository) repositories;
    struct ib_strv packages, remove_packages;
    struct {
        struct ib_strv enable, disable, mask;
    } services;
    struct {
        char *kernel;        /* fnmatch pattern; default /usr/lib/modules/KVER/vmlinuz */
        char *stub;          /* the UKI's */
        char *boot_loader;   /* systemd-boot */
        char *file_contexts; /* SELinux; NULL: no labels */
    } paths;
};

struct ib_hardware {
    char *name; /* of the file */
    char *description;
    struct ib_strv kernel_arguments;
    struct ib_strv drivers;       /* kernel modules for the initrd */
    struct ib_strv consoles;      /* kernel's console= values, the last is /dev/console */
    struct ib_by_family firmware; /* packages, installed in each root that runs on this hardware */
    struct {
        char *name;             /* networkd's Name= in [Match], beside the MAC address */
        struct ib_strv drivers; /* networkd's Driver= */
    } interface;
    struct ib_strv overlays; /* laid over the identity: only below /etc */
};

struct ib_role {
    char *name; /* of the file */
    char *description;
    struct ib_by_family packages, remove_packages;
    struct {
        struct ib_by_family enable, disable, mask;
    } services;
    struct ib_pairs sysctls;
    struct ib_strv modules; /* loaded at boot */
    IB_LIST_OF(struct ib_user) users;
    IB_LIST_OF(struct ib_group) groups;
    IB_LIST_OF(struct ib_file) files;
    struct ib_strv overlays; /* names of directories below overlays/ */
    IB_LIST_OF(struct ib_rule) rules;
    struct ib_k3s k3s;
    struct ib_strv payloads; /* names from cluster.yaml */
    struct ib_strv kernel_arguments, persist;
    struct ib_storage storage;
};

struct ib_recipe_node {
    char *name; /* of the file: the host name */
    char *role, *hardware;
    char *base; /* NULL: the cluster's */
    struct ib_mac mac;
    uint32_t address;
    struct ib_disk_rule install_disk;
    IB_LIST_OF(struct ib_data_disks) data_disks;
    bool founder; /* may start the cluster when no other control node answers */
    struct {
        struct json_t *config;
    } k3s;
    struct ib_pairs labels;
    struct ib_strv taints;            /* KEY=VALUE:EFFECT */
    IB_LIST_OF(struct ib_file) files; /* of the identity: below /etc */
    struct ib_strv overlays;          /* the same */
    struct ib_strv kernel_arguments, persist;
    struct ib_storage storage;
};

/* What a root is made of. One for each pair of role and base that a node uses. */
struct ib_root_spec {
    char *name; /* the role's; "ROLE.BASE" where the base is not the cluster's default */
    const struct ib_role *role;
    const struct ib_base *base;
    /* The base's, the role's for its family, and the firmware of its nodes' hardware; sorted. */
    struct ib_strv packages;
    struct ib_strv remove_packages;
    struct ib_strv enable, disable, mask; /* unit names with their suffix; sorted */
    struct ib_pairs sysctls;
    struct ib_strv modules;
    IB_LIST_OF(struct ib_user) users;
    IB_LIST_OF(struct ib_group) groups;
    IB_LIST_OF(struct ib_file) files;
    struct ib_strv overlays; /* the cluster's, then the role's: names below overlays/ */
    IB_LIST_OF(struct ib_rule) rules;
    IB_LIST_OF(struct ib_payload) payloads;
    enum ib_k3s_mode k3s_mode;
    struct ib_strv persist; /* the cluster's and the role's: mount points must exist in the root */
    char *timezone, *locale, *keymap;
    int64_t compression_level; /* zstd */
};

/* What a node's identity, UKI and disk are made of. */
struct ib_node_spec {
    const struct ib_recipe_node *node;
    const struct ib_hardware *hardware;
    const struct ib_root_spec *root;
    char *name;     /* "odin" */
    char *hostname; /* "odin.example.org" */
    struct ib_mac mac;
    uint32_t address;
    struct ib_ipv4_network subnet;
    uint32_t gateway;
    struct ib_ipv4_list dns;
    char *interface_name;             /* networkd's Name=, or NULL */
    struct ib_strv interface_drivers; /* networkd's Driver= */
    struct ib_strv authorized_keys;   /* root's */
    struct ib_strv kernel_arguments;  /* consoles, then cluster, hardware, role, node */
    struct ib_strv drivers;           /* of the initrd; sorted */
    struct ib_strv overlays;          /* hardware, then node: laid over the identity */
    IB_LIST_OF(struct ib_file) files; /* of the identity, values put in */
    struct ib_strv persist;           /* cluster, role, node; sorted */
    struct ib_storage storage;        /* node over role over cluster */
    struct ib_disk_rule install_disk;
    IB_LIST_OF(struct ib_data_disks) data_disks;
    enum ib_k3s_mode k3s_mode;
    bool founder;
    /*
     * /etc/rancher/k3s/config.yaml: cluster, role, node, labels and taints merged, values put in;
     * "server" is set on every node but the founder, for which the agent decides at boot. NULL
     * where the mode is none.
     */
    struct json_t *k3s_config;
    uint64_t esp_size, slot_size; /* bytes */
};

struct ib_recipe_private;

/* Lists are sorted by name. */
struct ib_recipe {
    struct ib_cluster cluster;
    IB_LIST_OF(struct ib_base) bases;
    IB_LIST_OF(struct ib_hardware) hardware;
    IB_LIST_OF(struct ib_role) roles;
    IB_LIST_OF(struct ib_recipe_node) nodes;
    IB_LIST_OF(struct ib_root_spec) root_specs;
    IB_LIST_OF(struct ib_node_spec) node_specs;
    struct ib_recipe_private *priv;
};

/* The bytes of one recipe file, under its path below the project directory. */
struct ib_recipe_file {
    char *path; /* "recipes/nodes/odin.yaml": says what kind of recipe it is */
    unsigned char *data;
    size_t size;
};

/* Everything that a recipe is read from. ib_recipe_load makes it from a directory. */
struct ib_recipe_source {
    IB_LIST_OF(struct ib_recipe_file) files;
    struct ib_strv overlays; /* names that exist below overlays/ */
    struct ib_strv paths;    /* other files that recipes may name: keys, sources of files */
    bool check_paths;        /* overlays and paths are complete: complain about missing ones */
    const char *base; /* every node is built on it, whatever the recipes name; NULL: as they say */
};

void ib_recipe_source_clear(struct ib_recipe_source *source);

/*
 * Parses, checks and resolves. All mistakes of all files go to `diags` (sorted); NULL when there is
 * any. No I/O. The source is not needed afterwards.
 */
struct ib_recipe *ib_recipe_parse(const struct ib_recipe_source *source,
                                  struct ib_diags *diags) _must_check_;
/*
 * The same from a project directory (the one that holds recipes/, firmware/ and overlays/). `base`
 * as in the source. NULL with *err for a directory that cannot be read, a base that is not there
 * (IB_E_NOT_FOUND), or mistakes in recipes (IB_E_INVALID), which are all in `diags`.
 */
struct ib_recipe *ib_recipe_load(const char *project_dir, const char *base, struct ib_diags *diags,
                                 struct ib_error **err) _must_check_;
/* Reads the files only. The caller clears *ret, also after a failure. */
int ib_recipe_source_read(const char *project_dir, struct ib_recipe_source *ret,
                          struct ib_error **err) _must_check_;

struct ib_recipe *ib_recipe_free(struct ib_recipe *recipe); /* returns NULL */
void ib_recipe_freep(struct ib_recipe **recipe);

/* By name; NULL when there is none. */
const struct ib_base *ib_recipe_base(const struct ib_recipe *recipe, const char *name);
const struct ib_role *ib_recipe_role(const struct ib_recipe *recipe, const char *name);
const struct ib_hardware *ib_recipe_hardware(const struct ib_recipe *recipe, const char *name);
const struct ib_payload *ib_recipe_payload(const struct ib_recipe *recipe, const char *name);
const struct ib_node_spec *ib_recipe_node_spec(const struct ib_recipe *recipe, const char *name);
const struct ib_root_spec *ib_recipe_root_spec(const struct ib_recipe *recipe, const char *name);
/* The same, with an error that names the nearest node when there is none. */
const struct ib_node_spec *ib_recipe_need_node(const struct ib_recipe *recipe, const char *name,
                                               struct ib_error **err) _must_check_;

/* Where a value came from: see the head of this file. {0} for a default. */
struct ib_origin ib_recipe_origin(const struct ib_recipe *recipe, const void *value);

/*
 * The values that ${…} may name. A node's: ${node.name}, ${node.address}, …; a root's are the same
 * without the node's, since nodes share it. ib_values_markdown lists them all.
 */
struct ib_values; /* borrowed from the recipe */
const struct ib_values *ib_node_values(const struct ib_recipe *recipe,
                                       const struct ib_node_spec *node);
const struct ib_values *ib_root_values(const struct ib_recipe *recipe,
                                       const struct ib_root_spec *root);

/* A markdown table of all names and their meaning. The caller frees. */
char *ib_values_markdown(void);

/*
 * Appends `text` to *ret with every ${name} replaced; "$${" gives "${". Unknown names and an
 * unclosed "${" are reported with their line in `file`, where text begins on line `first_line`.
 * Returns 0, or -1 when something was reported.
 */
int ib_recipe_expand(const struct ib_values *values, const char *text, size_t size,
                     const char *file, uint32_t first_line, struct ib_buf *ret,
                     struct ib_diags *diags) _must_check_;

/* Canonical JSON (sorted keys, no origins) of all that decides a root, or a node without its root:
 * for cache keys. The caller frees. */
char *ib_root_spec_canonical(const struct ib_root_spec *root);
char *ib_node_spec_canonical(const struct ib_node_spec *node);
