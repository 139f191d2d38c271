/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/fetch.h"

#include <string.h>
#include <time.h>

#include "ops/lock.h"

const char *ib_need_kind_name(enum ib_need_kind kind)
{
    static const char *const names[] = {"base", "payload", "package"};

    return names[kind];
}

static void need_clear(struct ib_need *need)
{
    free(need->name);
    free(need->base);
    ib_strv_clear(&need->urls);
    ib_error_free(need->error);
}

void ib_needs_clear(struct ib_needs *needs)
{
    for (size_t i = 0; i < needs->count; i++)
        need_clear(&needs->items[i]);
    free(needs->items);
    *needs = (struct ib_needs){0};
}

static struct ib_need *add(struct ib_needs *needs, enum ib_need_kind kind, const char *name,
                           const struct ib_sha256 *sha256, uint64_t size_bytes)
{
    if ((needs->count & (needs->count - 1)) == 0) /* full at each power of two */
        needs->items = ib_reallocarray(needs->items, needs->count ? 2 * needs->count : 1,
                                       sizeof(needs->items[0]));
    struct ib_need *need = &needs->items[needs->count++];
    *need = (struct ib_need){
        .kind = kind, .name = ib_strdup(name), .sha256 = *sha256, .size_bytes = size_bytes};
    return need;
}

/* From the lock. */

static int not_locked(const char *what, const char *name, struct ib_error **err)
{
    ib_failf(err, IB_E_NOT_FOUND, "the lock does not know the %s '%s'", what, name);
    return ib_hint(err, "run 'imgbuild lock %s'", name);
}

static int add_entry(const struct ib_project *project, enum ib_lock_kind kind, const char *name,
                     const char *version, struct ib_needs *ret, struct ib_error **err)
{
    const struct ib_lock_entry *entry = ib_lock_entry(project->lock, kind, name);

    if (!entry)
        return not_locked(ib_lock_kind_name(kind), name, err);
    if (version && !ib_streq(entry->version, version)) {
        ib_failf(err, IB_E_INVALID, "the recipes ask for '%s' in version '%s', the lock pins '%s'",
                 name, version, entry->version);
        return ib_hint(err, "run 'imgbuild lock %s'", name);
    }
    struct ib_need *need = add(ret, kind == IB_LOCK_BASE ? IB_NEED_BASE : IB_NEED_PAYLOAD, name,
                               &entry->sha256, entry->size_bytes);
    ib_strv_append(&need->urls, &entry->urls);
    return 0;
}

/*
 * Mirrors drop a version when a newer one arrives. The recipe's other mirrors may still have it,
 * and snapshot.debian.org keeps everything: a day after the suite's date it had all of that suite.
 */
static void add_package_urls(const struct ib_project *project, const struct ib_base *base,
                             const char *url, struct ib_strv *ret)
{
    const char *rest = NULL;
    char stamp[32];
    struct tm tm;
    time_t day_after = (time_t)project->lock->date_s + 24 * 60 * 60;

    ib_strv_add(ret, url);
    for (size_t i = 0; !rest && i < base->mirrors.count; i++)
        if (ib_startswith(url, base->mirrors.items[i]))
            rest = url + strlen(base->mirrors.items[i]);
    if (!rest)
        return;
    rest += strspn(rest, "/");
    for (size_t i = 0; i < base->mirrors.count; i++) {
        const char *mirror = base->mirrors.items[i];
        if (!ib_startswith(url, mirror))
            ib_strv_addf(ret, "%s%s%s", mirror, ib_endswith(mirror, "/") ? "" : "/", rest);
    }
    if (project->lock->date_s && gmtime_r(&day_after, &tm) &&
        strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm))
        ib_strv_addf(ret, "https://snapshot.debian.org/archive/debian/%s/%s", stamp, rest);
}

/*
 * A suite is nothing but packages; an image has some already, and the lock holds what the base's
 * recipe asks for beyond them. An image that asks for none needs no list.
 */
static int add_packages(const struct ib_project *project, const struct ib_root_spec *root,
                        struct ib_needs *ret, struct ib_error **err)
{
    const char *base = root->base->name;
    const struct ib_lock_package_set *set =
        ib_lock_package_set(project->lock, base, root->role->name);
    struct ib_sha256 input;

    if (!set && root->base->kind != IB_BASE_DEBIAN_SUITE && root->base->packages.count == 0)
        return 0;
    if (!set) {
        ib_failf(err, IB_E_NOT_FOUND, "the lock does not know the packages of role '%s' on '%s'",
                 root->role->name, base);
        return ib_hint(err, "run 'imgbuild lock %s' where its repositories can be reached", base);
    }
    ib_package_set_input(root, &input);
    if (!ib_sha256_equal(&input, &set->input)) {
        ib_failf(err, IB_E_INVALID,
                 "the lock's packages of role '%s' on '%s' were resolved for another list",
                 root->role->name, base);
        return ib_hint(err, "run 'imgbuild lock %s'", base);
    }
    for (size_t i = 0; i < set->package_count; i++) {
        const struct ib_lock_package *p = &set->packages[i];
        struct ib_need *need = add(ret, IB_NEED_PACKAGE, p->name, &p->sha256, p->size_bytes);
        need->base = ib_strdup(base);
        add_package_urls(project, root->base, p->url, &need->urls);
    }
    return 0;
}

/* Sorting. */

static int compare(const void *a, const void *b)
{
    const struct ib_need *x = a, *y = b;
    int r = (int)x->kind - (int)y->kind;

    if (!r)
        r = strcmp(x->base ? x->base : "", y->base ? y->base : "");
    if (!r)
        r = strcmp(x->name, y->name);
    return r ? r : memcmp(x->sha256.bytes, y->sha256.bytes, IB_SHA256_SIZE);
}

static void sort_unique(struct ib_needs *needs)
{
    size_t kept = 0;

    if (needs->count > 1)
        qsort(needs->items, needs->count, sizeof(needs->items[0]), compare);
    for (size_t i = 0; i < needs->count; i++) {
        if (kept && compare(&needs->items[kept - 1], &needs->items[i]) == 0)
            need_clear(&needs->items[i]);
        else
            needs->items[kept++] = needs->items[i];
    }
    /* room to grow is known from count alone: keep it true */
    size_t capacity = 1;
    while (capacity < kept)
        capacity *= 2;
    needs->items = ib_reallocarray(needs->items, capacity, sizeof(needs->items[0]));
    needs->count = kept;
}

int ib_needs_of_root(const struct ib_project *project, const struct ib_root_spec *root,
                     const struct ib_strv *without, struct ib_needs *ret, struct ib_error **err)
{
    const struct ib_base *base = root->base;

    int r = base->kind == IB_BASE_DEBIAN_SUITE
                ? 0
                : add_entry(project, IB_LOCK_BASE, base->name, base->version, ret, err);
    if (r == 0)
        r = add_packages(project, root, ret, err);
    for (size_t i = 0; r == 0 && i < root->payloads.count; i++) {
        const struct ib_payload *payload = &root->payloads.items[i];
        if (without && ib_strv_contains(without, payload->name))
            continue;
        r = add_entry(project, IB_LOCK_PAYLOAD, payload->name, payload->version, ret, err);
    }
    sort_unique(ret);
    return r;
}

int ib_needs_of_nodes(const struct ib_project *project, const struct ib_node_spec *const *nodes,
                      size_t count, const struct ib_strv *without, struct ib_needs *ret,
                      struct ib_error **err)
{
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t k = 0; k < i; k++)
            seen = seen || nodes[k]->root == nodes[i]->root;
        if (!seen && ib_needs_of_root(project, nodes[i]->root, without, ret, err) < 0)
            return ib_wrap(err, nodes[i]->name, "list what is needed for node");
    }
    return 0;
}

/* Fetching. */

int ib_needs_fetch(struct ib_needs *needs, const struct ib_project *project,
                   const struct ib_needs_options *options, struct ib_error **err)
{
    _cleanup_(ib_freep) struct ib_fetch_request *requests =
        ib_calloc(needs->count, sizeof(*requests));

    for (size_t i = 0; i < needs->count; i++)
        requests[i] = (struct ib_fetch_request){
            .name = needs->items[i].name,
            .urls = (const char *const *)needs->items[i].urls.items,
            .url_count = needs->items[i].urls.count,
            .has_sha256 = true,
            .sha256 = needs->items[i].sha256,
            .size_bytes = needs->items[i].size_bytes,
        };
    int r = ib_fetch(
        requests, needs->count,
        &(struct ib_fetch_options){
            .cache = project->cache,
            .mirrors = options->mirrors ? (const char *const *)options->mirrors->items : NULL,
            .mirror_count = options->mirrors ? options->mirrors->count : 0,
            .offline = options->offline,
            .parallel = options->parallel,
            .progress = project->progress,
            .step = options->step,
        },
        err);
    for (size_t i = 0; i < needs->count; i++) {
        needs->items[i].status = requests[i].status;
        ib_error_free(needs->items[i].error);
        needs->items[i].error = ib_steal(&requests[i].error);
    }
    return r;
}
