/* SPDX-License-Identifier: Apache-2.0 */
/* Making and printing manifests; parsing is in manifest_parse.c. */
#include "model/manifest.h"

#include <jansson.h>
#include <string.h>

struct ib_manifest *ib_manifest_new(void)
{
    struct ib_manifest *m = ib_calloc(1, sizeof(*m));

    m->sector_size = 512;
    return m;
}

struct ib_manifest *ib_manifest_free(struct ib_manifest *manifest)
{
    struct ib_manifest *m = manifest;

    if (!m)
        return NULL;
    free(m->tool), free(m->node), free(m->role), free(m->version), free(m->base);
    free(m->architecture), free(m->kernel), free(m->cmdline);
    for (size_t i = 0; i < m->partition_count; i++) {
        free(m->partitions[i].label);
        free(m->partitions[i].type_name);
    }
    for (size_t i = 0; i < m->source_count; i++) {
        free(m->sources[i].name);
        free(m->sources[i].url);
    }
    for (size_t i = 0; i < m->package_count; i++) {
        free(m->packages[i].name);
        free(m->packages[i].version);
        free(m->packages[i].arch);
    }
    free(m->partitions), free(m->sources), free(m->packages), free(m->frames);
    ib_strv_clear(&m->without);
    free(m);
    return NULL;
}

void ib_manifest_freep(struct ib_manifest **manifest)
{
    *manifest = ib_manifest_free(*manifest);
}

struct ib_manifest_partition *ib_manifest_add_partition(struct ib_manifest *manifest)
{
    struct ib_manifest *m = manifest;

    m->partitions = ib_reallocarray(m->partitions, m->partition_count + 1, sizeof(*m->partitions));
    struct ib_manifest_partition *p = &m->partitions[m->partition_count++];
    *p = (struct ib_manifest_partition){.number = (unsigned)m->partition_count};
    return p;
}

/* True when an array of `count` that grows in powers of two is full. */
static bool is_full(size_t count)
{
    return (count & (count - 1)) == 0;
}

void ib_manifest_add_source(struct ib_manifest *manifest, const char *name, const char *url,
                            const struct ib_sha256 *sha256)
{
    struct ib_manifest *m = manifest;

    if (is_full(m->source_count))
        m->sources = ib_reallocarray(m->sources, IB_MAX(2 * m->source_count, (size_t)1),
                                     sizeof(*m->sources));
    m->sources[m->source_count++] = (struct ib_manifest_source){
        .name = ib_strdup(name), .url = ib_strdup(url), .sha256 = *sha256};
}

void ib_manifest_add_package(struct ib_manifest *manifest, const char *name, const char *version,
                             const char *arch)
{
    struct ib_manifest *m = manifest;

    if (is_full(m->package_count))
        m->packages = ib_reallocarray(m->packages, IB_MAX(2 * m->package_count, (size_t)1),
                                      sizeof(*m->packages));
    m->packages[m->package_count++] = (struct ib_manifest_package){
        .name = ib_strdup(name), .version = ib_strdup(version), .arch = ib_strdup(arch)};
}

void ib_manifest_set_frames(struct ib_manifest *manifest, struct ib_manifest_frame *frames,
                            size_t count)
{
    uint64_t at = 0;

    free(manifest->frames);
    manifest->frames = frames;
    manifest->frame_count = count;
    for (size_t i = 0; i < count; i++) {
        frames[i].raw_offset = at;
        at += frames[i].raw_size;
    }
}

static int compare_sources(const void *a, const void *b)
{
    const struct ib_manifest_source *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : strcmp(x->url, y->url);
}

static int compare_packages(const void *a, const void *b)
{
    const struct ib_manifest_package *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    r = r ? r : strcmp(x->arch, y->arch);
    return r ? r : strcmp(x->version, y->version);
}

static int hash_content(const struct ib_manifest *m, struct ib_manifest_partition *p,
                        struct ib_error **err)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
    uint64_t end = p->offset_bytes + p->size_bytes, at = p->offset_bytes;

    for (size_t i = 0; i < m->frame_count; i++) {
        const struct ib_manifest_frame *f = &m->frames[i];
        if (f->raw_offset != at || f->raw_offset >= end)
            continue;
        ib_hasher_update(h, f->sha256.bytes, IB_SHA256_SIZE);
        at += f->raw_size;
    }
    if (at != end)
        return ib_failf(err, IB_E_INTERNAL, "partition '%s' does not consist of whole frames",
                        p->label);
    ib_hasher_final(h, &p->content);
    return 0;
}

int ib_manifest_finish(struct ib_manifest *manifest, struct ib_error **err)
{
    struct ib_manifest *m = manifest;

    if (m->source_count > 1)
        qsort(m->sources, m->source_count, sizeof(*m->sources), compare_sources);
    if (m->package_count > 1)
        qsort(m->packages, m->package_count, sizeof(*m->packages), compare_packages);
    for (size_t i = 0; i < m->partition_count; i++)
        if (hash_content(m, &m->partitions[i], err) < 0)
            return -1;
    return 0;
}

static void set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0) /* takes value */
        abort();                                     /* out of memory */
}

/* JSON is UTF-8: in a text that is not, what is not ASCII becomes '?'. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text ? text : "");

    if (value)
        return value;
    _cleanup_(ib_freep) char *ascii = ib_strdup(text);
    for (char *c = ascii; *c; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    return json_string(ascii);
}

static json_t *hash_value(const struct ib_sha256 *hash)
{
    char hex[IB_SHA256_HEX_SIZE];

    return json_string(ib_sha256_hex(hash, hex));
}

static json_t *uuid_value(const struct ib_uuid *uuid)
{
    char text[IB_UUID_TEXT_SIZE];

    return json_string(ib_uuid_format(uuid, text));
}

static void print_value(struct ib_buf *out, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!text)
        abort(); /* out of memory */
    ib_buf_append_str(out, text);
    free(text);
    json_decref(value);
}

static void print_key(struct ib_buf *out, const char *key, json_t *value)
{
    ib_buf_printf(out, ",\n\"%s\":", key);
    print_value(out, value);
}

/* Adds `value` to the list being printed, on its own line. */
static void print_item(struct ib_buf *out, bool first, json_t *value)
{
    ib_buf_append_str(out, first ? "\n" : ",\n");
    print_value(out, value);
}

static json_t *partition_value(const struct ib_manifest_partition *p)
{
    json_t *o = json_object();
    char attributes[19];

    snprintf(attributes, sizeof(attributes), "0x%016llx", (unsigned long long)p->attributes);
    set(o, "number", json_integer(p->number));
    set(o, "label", text_value(p->label));
    if (p->type_name)
        set(o, "type", text_value(p->type_name));
    set(o, "type_uuid", uuid_value(&p->type));
    set(o, "uuid", uuid_value(&p->uuid));
    set(o, "attributes", json_string(attributes));
    set(o, "offset", json_integer((json_int_t)p->offset_bytes));
    set(o, "size", json_integer((json_int_t)p->size_bytes));
    set(o, "content", hash_value(&p->content));
    if (p->has_root_hash)
        set(o, "root_hash", hash_value(&p->root_hash));
    return o;
}

static json_t *source_value(const struct ib_manifest_source *s)
{
    json_t *o = json_object();

    set(o, "name", text_value(s->name));
    set(o, "url", text_value(s->url));
    set(o, "sha256", hash_value(&s->sha256));
    return o;
}

static void print_lists(const struct ib_manifest *m, struct ib_buf *out)
{
    ib_buf_append_str(out, ",\n\"partitions\":[");
    for (size_t i = 0; i < m->partition_count; i++)
        print_item(out, i == 0, partition_value(&m->partitions[i]));
    ib_buf_append_str(out, "],\n\"sources\":[");
    for (size_t i = 0; i < m->source_count; i++)
        print_item(out, i == 0, source_value(&m->sources[i]));
    ib_buf_append_str(out, "],\n\"packages\":[");
    for (size_t i = 0; i < m->package_count; i++) {
        const struct ib_manifest_package *p = &m->packages[i];
        print_item(
            out, i == 0,
            json_pack("[ooo]", text_value(p->name), text_value(p->version), text_value(p->arch)));
    }
    ib_buf_append_str(out, "],\n\"without\":[");
    for (size_t i = 0; i < m->without.count; i++)
        print_item(out, i == 0, text_value(m->without.items[i]));
}

void ib_manifest_print(const struct ib_manifest *manifest, struct ib_buf *ret)
{
    const struct ib_manifest *m = manifest;
    char hex[IB_SHA256_HEX_SIZE];
    const struct {
        const char *key, *value;
    } texts[] = {
        {"tool", m->tool},       {"node", m->node},       {"role", m->role},
        {"version", m->version}, {"base", m->base},       {"architecture", m->architecture},
        {"kernel", m->kernel},   {"cmdline", m->cmdline},
    };

    ib_buf_printf(ret, "{\"format\":%d", IB_MANIFEST_FORMAT);
    for (size_t i = 0; i < IB_ARRAY_SIZE(texts); i++)
        print_key(ret, texts[i].key, text_value(texts[i].value));
    if (m->has_uki)
        print_key(ret, "uki_sha256", hash_value(&m->uki));
    print_key(ret, "disk_uuid", uuid_value(&m->disk));
    print_key(ret, "disk_size", json_integer((json_int_t)m->disk_size_bytes));
    print_key(ret, "sector_size", json_integer(m->sector_size));
    print_lists(m, ret);
    ib_buf_append_str(ret, "],\n\"frames\":[");
    for (size_t i = 0; i < m->frame_count; i++) { /* many: no JSON value for each */
        const struct ib_manifest_frame *f = &m->frames[i];
        ib_buf_printf(ret, "%s\n[%u,%u,\"%s\"%s]", i ? "," : "", f->raw_size, f->size,
                      ib_sha256_hex(&f->sha256, hex), f->zero ? ",\"zero\"" : "");
    }
    ib_buf_append_str(ret, "]}\n");
}

uint64_t ib_manifest_place_frames(struct ib_manifest *manifest, uint64_t second)
{
    uint64_t at = second;

    for (size_t i = 0; i < manifest->frame_count; i++) {
        struct ib_manifest_frame *f = &manifest->frames[i];
        f->offset = i ? at : 0;
        at += i ? f->size : 0;
    }
    return at;
}

const struct ib_manifest_frame *ib_manifest_frame_at(const struct ib_manifest *manifest,
                                                     uint64_t raw_offset)
{
    size_t low = 0, high = manifest->frame_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ib_manifest_frame *f = &manifest->frames[middle];
        if (raw_offset < f->raw_offset)
            high = middle;
        else if (raw_offset - f->raw_offset >= f->raw_size)
            low = middle + 1;
        else
            return f;
    }
    return NULL;
}
