/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock: recipes/imgbuild.lock, every remote input of a build with its hash.
 *
 * JSON, written sorted and indented so that a change reads well in a diff:
 *
 *     {
 *       "format": 1,
 *       "date": "2026-11-20T00:00:00Z",
 *       "entries": [{"name": "k3s", "kind": "payload", "version": "v1.36.4+k3s1",
 *                    "urls": ["https://…"], "size": 78991522, "sha256": "…",
 *                    "verified": "sha256sum-file:https://…"}, …],
 *       "package_sets": [{"base": "debian-13", "role": "control", "input": "HEX",
 *                         "packages": [{"name": "systemd", "version": "257.9-1",
 *                                       "architecture": "amd64", "url": "http://…/x.deb",
 *                                       "size": 1, "sha256": "…"}, …]}, …]
 *     }
 *
 * Entries are sorted by kind and name, sets by base and role, packages by name, architecture and
 * version.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "model/diag.h"

#define IB_LOCK_PATH "recipes/imgbuild.lock" /* below the project directory */
#define IB_LOCK_MAX_SIZE (UINT64_C(64) * 1024 * 1024)

enum ib_lock_kind { IB_LOCK_BASE, IB_LOCK_PAYLOAD };
const char *ib_lock_kind_name(enum ib_lock_kind kind); /* "base", "payload" */

/* How the hash was come by, the part before the colon of `verified`. */
enum ib_lock_verified {
    IB_VERIFIED_PINNED, /* "pinned": written down from a place that a person trusts */
    IB_VERIFIED_GPG, /* "gpg:FPR": in a checksum file that this key signed (40 upper-case digits) */
    IB_VERIFIED_SHA256SUM, /* "sha256sum-file:URL": in this checksum file, fetched over TLS */
};

/* One file from outside. */
struct ib_lock_entry {
    char *name; /* of the base or payload in the recipes */
    enum ib_lock_kind kind;
    char *version;
    struct ib_strv urls; /* the same bytes, in the order to try */
    uint64_t size_bytes; /* 0: not known */
    struct ib_sha256 sha256;
    enum ib_lock_verified verified;
    char *verified_by; /* the part behind the colon, or NULL */
};

struct ib_lock_package {
    char *name;
    char *version; /* with epoch, as the package manager writes it */
    char *architecture;
    char *url; /* http(s) or file */
    uint64_t size_bytes;
    struct ib_sha256 sha256;
};

/* Exactly what is installed for a role on a base; for a Debian suite the base's own included. */
struct ib_lock_package_set {
    char *base, *role;
    struct ib_sha256 input; /* of what was asked for (package names, suite, …): tells stale sets */
    struct ib_lock_package *packages;
    size_t package_count;
};

struct ib_lock {
    int64_t date_s; /* seconds since 1970: every time in a root is this one */
    struct ib_lock_entry *entries;
    size_t entry_count;
    struct ib_lock_package_set *sets;
    size_t set_count;
};

struct ib_lock *ib_lock_new(void);                  /* an empty one, date 0 */
struct ib_lock *ib_lock_free(struct ib_lock *lock); /* returns NULL */
void ib_lock_freep(struct ib_lock **lock);

/*
 * Parses and checks everything: unknown or missing keys, types, hashes, URLs, repeats. `file` is
 * for messages. NULL when anything was reported to diags (sorted); each mistake has its line and
 * column. Any order is accepted, and sorted.
 */
struct ib_lock *ib_lock_parse(const char *file, const void *data, size_t size,
                              struct ib_diags *diags) _must_check_;
/* The file's text; sorts the lock first. Parsing it gives the same lock. The caller frees. */
char *ib_lock_format(struct ib_lock *lock);

/* Lookups: NULL when there is none. Borrowed. */
const struct ib_lock_entry *ib_lock_entry(const struct ib_lock *lock, enum ib_lock_kind kind,
                                          const char *name);
const struct ib_lock_package_set *ib_lock_package_set(const struct ib_lock *lock, const char *base,
                                                      const char *role);

/*
 * Changing. Each takes ownership of what the struct points to (the struct itself is copied),
 * replaces what stood under the same name, and returns where it is now (valid until the next
 * change).
 */
struct ib_lock_entry *ib_lock_put_entry(struct ib_lock *lock, struct ib_lock_entry *entry);
struct ib_lock_package_set *ib_lock_put_package_set(struct ib_lock *lock,
                                                    struct ib_lock_package_set *set);
/* False when there was none. */
bool ib_lock_remove_entry(struct ib_lock *lock, enum ib_lock_kind kind, const char *name);
bool ib_lock_remove_package_set(struct ib_lock *lock, const char *base, const char *role);
void ib_lock_entry_clear(struct ib_lock_entry *entry);
void ib_lock_package_clear(struct ib_lock_package *package);
void ib_lock_package_set_clear(struct ib_lock_package_set *set);
