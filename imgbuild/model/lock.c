/* SPDX-License-Identifier: Apache-2.0 */
/* The lock in memory: looking up, changing, writing. Reading is in lock_parse.c. */
#include "lock_private.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

static const char *const kind_names[] = {"base", "payload"};

const char *ib_lock_kind_name(enum ib_lock_kind kind)
{
    return kind_names[kind];
}

struct ib_lock *ib_lock_new(void)
{
    return ib_calloc(1, sizeof(struct ib_lock));
}

void ib_lock_entry_clear(struct ib_lock_entry *entry)
{
    free(entry->name);
    free(entry->version);
    free(entry->verified_by);
    ib_strv_clear(&entry->urls);
    *entry = (struct ib_lock_entry){0};
}

void ib_lock_package_clear(struct ib_lock_package *package)
{
    free(package->name);
    free(package->version);
    free(package->architecture);
    free(package->url);
    *package = (struct ib_lock_package){0};
}

void ib_lock_package_set_clear(struct ib_lock_package_set *set)
{
    for (size_t i = 0; i < set->package_count; i++)
        ib_lock_package_clear(&set->packages[i]);
    free(set->packages);
    free(set->base);
    free(set->role);
    *set = (struct ib_lock_package_set){0};
}

struct ib_lock *ib_lock_free(struct ib_lock *lock)
{
    if (!lock)
        return NULL;
    for (size_t i = 0; i < lock->entry_count; i++)
        ib_lock_entry_clear(&lock->entries[i]);
    for (size_t i = 0; i < lock->set_count; i++)
        ib_lock_package_set_clear(&lock->sets[i]);
    free(lock->entries);
    free(lock->sets);
    free(lock);
    return NULL;
}

void ib_lock_freep(struct ib_lock **lock)
{
    ib_lock_free(*lock);
}

/* Looking up */

static size_t find_entry(const struct ib_lock *lock, enum ib_lock_kind kind, const char *name)
{
    size_t i = 0;

    while (i < lock->entry_count &&
           (lock->entries[i].kind != kind || !ib_streq(lock->entries[i].name, name)))
        i++;
    return i;
}

static size_t find_set(const struct ib_lock *lock, const char *base, const char *role)
{
    size_t i = 0;

    while (i < lock->set_count &&
           (!ib_streq(lock->sets[i].base, base) || !ib_streq(lock->sets[i].role, role)))
        i++;
    return i;
}

const struct ib_lock_entry *ib_lock_entry(const struct ib_lock *lock, enum ib_lock_kind kind,
                                          const char *name)
{
    size_t i = find_entry(lock, kind, name);

    return i < lock->entry_count ? &lock->entries[i] : NULL;
}

const struct ib_lock_package_set *ib_lock_package_set(const struct ib_lock *lock, const char *base,
                                                      const char *role)
{
    size_t i = find_set(lock, base, role);

    return i < lock->set_count ? &lock->sets[i] : NULL;
}

/* Changing */

struct ib_lock_entry *ib_lock_put_entry(struct ib_lock *lock, struct ib_lock_entry *entry)
{
    size_t i = find_entry(lock, entry->kind, entry->name);

    if (i < lock->entry_count) {
        ib_lock_entry_clear(&lock->entries[i]);
    } else {
        lock->entries = ib_reallocarray(lock->entries, i + 1, sizeof(*lock->entries));
        lock->entry_count++;
    }
    lock->entries[i] = *entry;
    *entry = (struct ib_lock_entry){0};
    return &lock->entries[i];
}

struct ib_lock_package_set *ib_lock_put_package_set(struct ib_lock *lock,
                                                    struct ib_lock_package_set *set)
{
    size_t i = find_set(lock, set->base, set->role);

    if (i < lock->set_count) {
        ib_lock_package_set_clear(&lock->sets[i]);
    } else {
        lock->sets = ib_reallocarray(lock->sets, i + 1, sizeof(*lock->sets));
        lock->set_count++;
    }
    lock->sets[i] = *set;
    *set = (struct ib_lock_package_set){0};
    return &lock->sets[i];
}

bool ib_lock_remove_entry(struct ib_lock *lock, enum ib_lock_kind kind, const char *name)
{
    size_t i = find_entry(lock, kind, name);

    if (i == lock->entry_count)
        return false;
    ib_lock_entry_clear(&lock->entries[i]);
    lock->entry_count--;
    memmove(&lock->entries[i], &lock->entries[i + 1],
            (lock->entry_count - i) * sizeof(*lock->entries));
    return true;
}

bool ib_lock_remove_package_set(struct ib_lock *lock, const char *base, const char *role)
{
    size_t i = find_set(lock, base, role);

    if (i == lock->set_count)
        return false;
    ib_lock_package_set_clear(&lock->sets[i]);
    lock->set_count--;
    memmove(&lock->sets[i], &lock->sets[i + 1], (lock->set_count - i) * sizeof(*lock->sets));
    return true;
}

/* Sorting */

static int compare_entries(const void *a, const void *b)
{
    const struct ib_lock_entry *x = a, *y = b;

    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind)
                              : strcmp(x->name, y->name);
}

static int compare_sets(const void *a, const void *b)
{
    const struct ib_lock_package_set *x = a, *y = b;
    int r = strcmp(x->base, y->base);

    return r ? r : strcmp(x->role, y->role);
}

static int compare_packages(const void *a, const void *b)
{
    const struct ib_lock_package *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    if (r == 0)
        r = strcmp(x->architecture, y->architecture);
    return r ? r : strcmp(x->version, y->version);
}

void ib_lock_sort(struct ib_lock *lock)
{
    if (lock->entry_count)
        qsort(lock->entries, lock->entry_count, sizeof(*lock->entries), compare_entries);
    if (lock->set_count)
        qsort(lock->sets, lock->set_count, sizeof(*lock->sets), compare_sets);
    for (size_t i = 0; i < lock->set_count; i++)
        if (lock->sets[i].package_count)
            qsort(lock->sets[i].packages, lock->sets[i].package_count,
                  sizeof(*lock->sets[i].packages), compare_packages);
}

/* Writing */

static json_t *checked(json_t *value)
{
    if (!value)
        abort(); /* memory; every text was checked to be UTF-8 by whoever put it in */
    return value;
}

static char *verified_text(const struct ib_lock_entry *entry)
{
    switch (entry->verified) {
    case IB_VERIFIED_GPG:
        return ib_asprintf("gpg:%s", entry->verified_by);
    case IB_VERIFIED_SHA256SUM:
        return ib_asprintf("sha256sum-file:%s", entry->verified_by);
    case IB_VERIFIED_PINNED:
        break;
    }
    return ib_strdup("pinned");
}

static json_t *entry_json(const struct ib_lock_entry *entry)
{
    char hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_freep) char *verified = verified_text(entry);
    json_t *urls = checked(json_array());

    for (size_t i = 0; i < entry->urls.count; i++)
        json_array_append_new(urls, checked(json_string(entry->urls.items[i])));
    return checked(json_pack("{s:s s:s s:s s:o s:I s:s s:s}", "name", entry->name, "kind",
                             ib_lock_kind_name(entry->kind), "version", entry->version, "urls",
                             urls, "size", (json_int_t)entry->size_bytes, "sha256",
                             ib_sha256_hex(&entry->sha256, hex), "verified", verified));
}

static json_t *package_json(const struct ib_lock_package *package)
{
    char hex[IB_SHA256_HEX_SIZE];

    return checked(json_pack("{s:s s:s s:s s:s s:I s:s}", "name", package->name, "version",
                             package->version, "architecture", package->architecture, "url",
                             package->url, "size", (json_int_t)package->size_bytes, "sha256",
                             ib_sha256_hex(&package->sha256, hex)));
}

static json_t *set_json(const struct ib_lock_package_set *set)
{
    char hex[IB_SHA256_HEX_SIZE];
    json_t *packages = checked(json_array());

    for (size_t i = 0; i < set->package_count; i++)
        json_array_append_new(packages, package_json(&set->packages[i]));
    return checked(json_pack("{s:s s:s s:s s:o}", "base", set->base, "role", set->role, "input",
                             ib_sha256_hex(&set->input, hex), "packages", packages));
}

char *ib_lock_date_format(int64_t date_s)
{
    time_t t = (time_t)date_s;
    struct tm tm;
    char buf[64];

    if (!gmtime_r(&t, &tm) || !strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return ib_strdup("1970-01-01T00:00:00Z");
    return ib_strdup(buf);
}

char *ib_lock_format(struct ib_lock *lock)
{
    _cleanup_(ib_freep) char *date = ib_lock_date_format(lock->date_s);
    json_t *entries = checked(json_array()), *sets = checked(json_array());
    struct ib_buf buf = {0};

    ib_lock_sort(lock);
    for (size_t i = 0; i < lock->entry_count; i++)
        json_array_append_new(entries, entry_json(&lock->entries[i]));
    for (size_t i = 0; i < lock->set_count; i++)
        json_array_append_new(sets, set_json(&lock->sets[i]));
    json_t *root = checked(json_pack("{s:i s:s s:o s:o}", "format", 1, "date", date, "entries",
                                     entries, "package_sets", sets));
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (!text)
        abort();
    ib_buf_append_str(&buf, text);
    ib_buf_append_str(&buf, "\n");
    free(text);
    return ib_buf_steal_string(&buf);
}
