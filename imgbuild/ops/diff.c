/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/diff.h"

#include <inttypes.h>
#include <string.h>

#include "diff_internal.h"

static const char *const section_names[IB_DIFF_SECTIONS] = {
    "image", "partitions", "packages", "sources", "uki", "identity", "root",
};

void ib_diff_clear(struct ib_diff *diff)
{
    for (size_t s = 0; s < IB_DIFF_SECTIONS; s++) {
        struct ib_diff_section *section = &diff->sections[s];
        for (size_t i = 0; i < section->count; i++) {
            struct ib_diff_item *item = &section->items[i];
            free(item->name), free(item->from), free(item->to), free(item->what);
        }
        free(section->items);
    }
    *diff = (struct ib_diff){0};
}

bool ib_diff_is_empty(const struct ib_diff *diff)
{
    for (size_t s = 0; s < IB_DIFF_SECTIONS; s++)
        if (diff->sections[s].count > 0)
            return false;
    return true;
}

const char *ib_diff_kind_name(enum ib_diff_kind kind)
{
    static const char *const names[] = {"added", "removed", "changed"};

    return names[kind];
}

struct ib_diff_item *ib_diff_add(struct ib_diff_section *section, const char *name,
                                 const char *from, const char *to)
{
    if (section->count == section->capacity) {
        section->capacity = section->capacity ? 2 * section->capacity : 16;
        section->items =
            ib_reallocarray(section->items, section->capacity, sizeof(*section->items));
    }
    struct ib_diff_item *item = &section->items[section->count++];
    *item = (struct ib_diff_item){
        .kind = !from ? IB_DIFF_ADDED
                : !to ? IB_DIFF_REMOVED
                      : IB_DIFF_CHANGED,
        .name = ib_strdup(name),
        .from = ib_strdup(from),
        .to = ib_strdup(to),
    };
    return item;
}

int ib_diff_merge(const struct diff_merge *merge, struct ib_error **err)
{
    size_t i = 0, j = 0;

    while (i < merge->a_count || j < merge->b_count) {
        int order = i == merge->a_count ? 1
                    : j == merge->b_count
                        ? -1
                        : strcmp(merge->name(merge->a, i), merge->name(merge->b, j));
        size_t x = order <= 0 ? i++ : SIZE_MAX, y = order >= 0 ? j++ : SIZE_MAX;
        if (merge->fn(merge, x, y, err) < 0)
            return -1;
    }
    return 0;
}

/* A value that both have or lack. */
static void compare_text(struct ib_diff_section *s, const char *name, const char *from,
                         const char *to)
{
    if (from && !*from)
        from = NULL;
    if (to && !*to)
        to = NULL;
    if (ib_streq(from, to))
        s->same += from != NULL;
    else
        ib_diff_add(s, name, from, to);
}

static void compare_size(struct ib_diff_section *s, const char *name, uint64_t from, uint64_t to)
{
    char a[16], b[16], delta[16];

    if (from == to) {
        s->same++;
        return;
    }
    struct ib_diff_item *item =
        ib_diff_add(s, name, ib_format_size(from, a), ib_format_size(to, b));
    item->what = ib_asprintf("%s%s", to > from ? "+" : "-",
                             ib_format_size(to > from ? to - from : from - to, delta));
}

static void compare_images(const struct ib_image *a, const struct ib_image *b,
                           struct ib_diff_section *s)
{
    const struct ib_manifest *m = ib_image_manifest(a), *n = ib_image_manifest(b);
    struct ib_image_sizes x, y;

    if (m && n) {
        _cleanup_(ib_freep) char *without_m = ib_strv_join(&m->without, " ");
        _cleanup_(ib_freep) char *without_n = ib_strv_join(&n->without, " ");
        compare_text(s, "node", m->node, n->node);
        compare_text(s, "role", m->role, n->role);
        compare_text(s, "version", m->version, n->version);
        compare_text(s, "base", m->base, n->base);
        compare_text(s, "architecture", m->architecture, n->architecture);
        compare_text(s, "kernel", m->kernel, n->kernel);
        compare_text(s, "made by", m->tool, n->tool);
        compare_text(s, "left out", without_m, without_n);
    }
    ib_image_get_sizes(a, &x);
    ib_image_get_sizes(b, &y);
    compare_size(s, "size of the file", x.packed, y.packed);
    compare_size(s, "size of the disk", x.disk, y.disk);
}

static char *describe_partition(const struct ib_gpt_partition *p)
{
    char size[16], uuid[IB_UUID_TEXT_SIZE];
    const char *type = ib_gpt_type_name(&p->type);

    return ib_asprintf("%s '%s' %s at %" PRIu64 " MiB, %s", type ? type : "unknown type", p->label,
                       ib_format_size(p->size_bytes, size), p->offset_bytes / IB_MIB,
                       ib_uuid_format(&p->uuid, uuid));
}

/* 1: same content, 0: not, -1: not known without reading (a raw disk). */
static int same_content(const struct ib_image *a, const struct ib_image *b, size_t index)
{
    const struct ib_manifest *m = ib_image_manifest(a), *n = ib_image_manifest(b);

    if (!m || !n || index >= m->partition_count || index >= n->partition_count)
        return -1;
    return ib_sha256_equal(&m->partitions[index].content, &n->partitions[index].content);
}

static void compare_partition(const struct ib_image *a, const struct ib_image *b, size_t i,
                              struct ib_diff_section *s)
{
    const struct ib_gpt_partition *x = i < a->gpt.partition_count ? &a->gpt.partitions[i] : NULL;
    const struct ib_gpt_partition *y = i < b->gpt.partition_count ? &b->gpt.partitions[i] : NULL;
    _cleanup_(ib_freep) char *from = x ? describe_partition(x) : NULL;
    _cleanup_(ib_freep) char *to = y ? describe_partition(y) : NULL;
    _cleanup_(ib_freep) char *name = ib_asprintf("%zu", i + 1);
    bool same_entry = x && y && ib_streq(from, to) && x->attributes == y->attributes;
    int content = same_content(a, b, i);

    if (same_entry && content != 0) {
        s->same++;
        return;
    }
    struct ib_diff_item *item = ib_diff_add(s, name, from, to);
    if (x && y)
        item->what = ib_strdup(same_entry ? "content" : content == 0 ? "entry, content" : "entry");
}

static void compare_partitions(const struct ib_image *a, const struct ib_image *b,
                               struct ib_diff_section *s)
{
    size_t count = IB_MAX(a->gpt.partition_count, b->gpt.partition_count);

    for (size_t i = 0; i < count; i++)
        compare_partition(a, b, i, s);
}

/* Packages and sources as sorted pairs of texts. */
struct pair {
    char *name, *value;
};

struct pairs {
    struct pair *items;
    size_t count;
};

static void pairs_clear(struct pairs *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : strcmp(x->value, y->value);
}

static const char *pair_name(const void *list, size_t index)
{
    return ((const struct pairs *)list)->items[index].name;
}

static int diff_pair(const struct diff_merge *merge, size_t i, size_t j,
                     struct ib_error **err _unused_)
{
    const struct pairs *a = merge->a, *b = merge->b;
    const char *name = i == SIZE_MAX ? b->items[j].name : a->items[i].name;

    compare_text(merge->userdata, name, i == SIZE_MAX ? NULL : a->items[i].value,
                 j == SIZE_MAX ? NULL : b->items[j].value);
    return 0;
}

static int merge_pairs(struct pairs *a, struct pairs *b, struct ib_diff_section *s,
                       struct ib_error **err)
{
    const struct diff_merge merge = {.a_count = a->count,
                                     .b_count = b->count,
                                     .name = pair_name,
                                     .a = a,
                                     .b = b,
                                     .fn = diff_pair,
                                     .userdata = s};

    if (a->count > 1)
        qsort(a->items, a->count, sizeof(*a->items), compare_pairs);
    if (b->count > 1)
        qsort(b->items, b->count, sizeof(*b->items), compare_pairs);
    return ib_diff_merge(&merge, err);
}

static void take_packages(const struct ib_manifest *m, struct pairs *ret)
{
    ret->items = ib_calloc(m->package_count, sizeof(*ret->items));
    ret->count = m->package_count;
    for (size_t i = 0; i < m->package_count; i++) {
        ret->items[i].name = ib_asprintf("%s:%s", m->packages[i].name, m->packages[i].arch);
        ret->items[i].value = ib_strdup(m->packages[i].version);
    }
}

static void take_sources(const struct ib_manifest *m, struct pairs *ret)
{
    char hex[IB_SHA256_HEX_SIZE];

    ret->items = ib_calloc(m->source_count, sizeof(*ret->items));
    ret->count = m->source_count;
    for (size_t i = 0; i < m->source_count; i++) {
        ret->items[i].name = ib_strdup(m->sources[i].name);
        ret->items[i].value = ib_asprintf("%s sha256 %s", m->sources[i].url,
                                          ib_sha256_hex(&m->sources[i].sha256, hex));
    }
}

static int compare_lists(const struct ib_image *a, const struct ib_image *b, struct ib_diff *ret,
                         struct ib_error **err)
{
    const struct ib_manifest *m = ib_image_manifest(a), *n = ib_image_manifest(b);
    _cleanup_(pairs_clear) struct pairs packages_a = {0}, packages_b = {0};
    _cleanup_(pairs_clear) struct pairs sources_a = {0}, sources_b = {0};

    if (!m || !n) /* a raw disk does not say: its root's files do */
        return 0;
    take_packages(m, &packages_a);
    take_packages(n, &packages_b);
    take_sources(m, &sources_a);
    take_sources(n, &sources_b);
    if (merge_pairs(&packages_a, &packages_b, &ret->sections[IB_DIFF_PACKAGES], err) < 0)
        return -1;
    return merge_pairs(&sources_a, &sources_b, &ret->sections[IB_DIFF_SOURCES], err);
}

static void compare_uki_sections(const struct ib_image_uki *x, const struct ib_image_uki *y,
                                 struct ib_diff_section *s)
{
    static const char *const names[] = {".linux", ".initrd"};

    compare_text(s, "name", x ? x->name : NULL, y ? y->name : NULL);
    compare_text(s, "command line", x ? x->cmdline : NULL, y ? y->cmdline : NULL);
    compare_text(s, "os-release", x ? x->os_release : NULL, y ? y->os_release : NULL);
    compare_text(s, "kernel", x ? x->uname : NULL, y ? y->uname : NULL);
    compare_text(s, "signed", x ? (x->is_signed ? "yes" : "no") : NULL,
                 y ? (y->is_signed ? "yes" : "no") : NULL);
    for (size_t i = 0; x && y && i < IB_ARRAY_SIZE(names); i++) {
        const struct ib_pe_section *p = ib_pe_find(&x->pe, names[i]);
        const struct ib_pe_section *q = ib_pe_find(&y->pe, names[i]);
        compare_size(s, names[i], p ? p->virtual_size : 0, q ? q->virtual_size : 0);
    }
}

static int compare_ukis(const struct ib_image *a, const struct ib_image *b, struct ib_diff *ret,
                        struct ib_error **err)
{
    struct ib_diff_section *s = &ret->sections[IB_DIFF_UKI];
    size_t count = IB_MAX(a->uki_count, b->uki_count);

    for (size_t i = 0; i < count; i++) { /* ours have one; names differ by node and version */
        const struct ib_image_uki *x = i < a->uki_count ? &a->ukis[i] : NULL;
        const struct ib_image_uki *y = i < b->uki_count ? &b->ukis[i] : NULL;
        if (x && y && ib_sha256_equal(&x->sha256, &y->sha256) && ib_streq(x->name, y->name)) {
            s->identical = true;
            ret->sections[IB_DIFF_IDENTITY].identical = true;
            continue;
        }
        compare_uki_sections(x, y, s);
        if (ib_diff_trees(x ? x->identity : NULL, y ? y->identity : NULL,
                          &ret->sections[IB_DIFF_IDENTITY], err) < 0)
            return -1;
    }
    return 0;
}

static const struct ib_gpt_partition *find_root(const struct ib_image *image)
{
    const struct ib_gpt_partition *p = ib_image_partition(image, "root-x86-64");

    return p ? p : ib_image_partition(image, "root-arm64");
}

static bool same_root(const struct ib_image *a, const struct ib_gpt_partition *p,
                      const struct ib_image *b, const struct ib_gpt_partition *q)
{
    const struct ib_manifest *m = ib_image_manifest(a), *n = ib_image_manifest(b);
    size_t i = (size_t)(p - a->gpt.partitions), j = (size_t)(q - b->gpt.partitions);

    /* the manifest's list is the table's (ib_image_open) */
    return m && n && ib_sha256_equal(&m->partitions[i].content, &n->partitions[j].content);
}

static int open_root(const struct ib_image *image, const struct ib_gpt_partition *p,
                     const char *temp_dir, struct ib_progress *progress, struct diff_root *ret,
                     struct ib_error **err)
{
    ret->fd = -1;
    if (!p)
        return 0;
    ret->name = image->path;
    ret->size = p->size_bytes;
    ret->fd = ib_image_open_partition(image, p, temp_dir, progress, &ret->offset, err);
    return ret->fd < 0 ? -1 : 0;
}

static int compare_roots(const struct ib_image *a, const struct ib_image *b, const char *temp_dir,
                         struct ib_progress *progress, struct ib_diff_section *s,
                         struct ib_error **err)
{
    const struct ib_gpt_partition *p = find_root(a), *q = find_root(b);
    struct diff_root x = {.fd = -1}, y = {.fd = -1};

    if (p && q && same_root(a, p, b, q)) {
        s->identical = true;
        return 0;
    }
    if (!p && !q)
        return 0;
    int r = open_root(a, p, temp_dir, progress, &x, err);
    if (r == 0)
        r = open_root(b, q, temp_dir, progress, &y, err);
    if (r == 0)
        r = ib_diff_roots(p ? &x : NULL, q ? &y : NULL, progress, s, err);
    ib_closep(&x.fd);
    ib_closep(&y.fd);
    return r;
}

static int by_hash(const void *a, const void *b)
{
    const struct ib_manifest_frame *x = *(const struct ib_manifest_frame *const *)a;
    const struct ib_manifest_frame *y = *(const struct ib_manifest_frame *const *)b;

    return memcmp(x->sha256.bytes, y->sha256.bytes, IB_SHA256_SIZE);
}

/* What of b's content no frame of a holds. */
static void count_new(const struct ib_manifest *m, const struct ib_manifest *n, struct ib_diff *ret)
{
    _cleanup_(ib_freep) const struct ib_manifest_frame **known =
        ib_calloc(m->frame_count, sizeof(const struct ib_manifest_frame *));

    for (size_t i = 0; i < m->frame_count; i++)
        known[i] = &m->frames[i];
    qsort(known, m->frame_count, sizeof(const struct ib_manifest_frame *), by_hash);
    for (size_t i = 0; i < n->frame_count; i++) {
        const struct ib_manifest_frame *f = &n->frames[i];
        if (f->zero ||
            bsearch(&f, known, m->frame_count, sizeof(const struct ib_manifest_frame *), by_hash))
            continue;
        ret->new_raw_bytes += f->raw_size;
        ret->new_size_bytes += f->size;
    }
    ret->have_frames = true;
}

int ib_diff_run(const struct ib_image *a, const struct ib_image *b, const char *temp_dir,
                struct ib_progress *progress, struct ib_diff *ret, struct ib_error **err)
{
    _cleanup_(ib_diff_clear) struct ib_diff diff = {0};

    for (size_t s = 0; s < IB_DIFF_SECTIONS; s++)
        diff.sections[s].name = section_names[s];
    compare_images(a, b, &diff.sections[IB_DIFF_IMAGE]);
    compare_partitions(a, b, &diff.sections[IB_DIFF_PARTITIONS]);
    if (compare_lists(a, b, &diff, err) < 0 || compare_ukis(a, b, &diff, err) < 0 ||
        compare_roots(a, b, temp_dir, progress, &diff.sections[IB_DIFF_ROOT], err) < 0)
        return ib_wrap(err, NULL, "compare the images");
    if (ib_image_manifest(a) && ib_image_manifest(b))
        count_new(ib_image_manifest(a), ib_image_manifest(b), &diff);
    *ret = diff;
    diff = (struct ib_diff){0};
    return 0;
}
