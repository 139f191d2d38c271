/* SPDX-License-Identifier: Apache-2.0 */
/* Strict parsing of manifests, which may come from anywhere (model/manifest.h). */
#include <jansson.h>
#include <string.h>

#include "model/manifest.h"

enum { TEXT_MAX = 65536, LIST_MAX = IB_MANIFEST_PACKAGES_MAX };
#define DISK_SIZE_MAX (UINT64_C(1) << 56)

struct parser {
    const char *name;
    struct ib_manifest *m;
    struct ib_error **err;
};

static int bad(const struct parser *p, const char *key, const char *why)
{
    return ib_failf(p->err, IB_E_INVALID, "manifest '%s': \"%s\" %s", p->name, key, why);
}

static void json_freep(json_t **value)
{
    json_decref(*value);
}

/* Every key must be one of `known` ('?' in front: may be missing). */
static int check_keys(const struct parser *p, json_t *object, const char *what,
                      const char *const *known)
{
    const char *key;
    json_t *value;
    size_t found = 0;

    if (!json_is_object(object))
        return bad(p, what, "is not an object");
    for (size_t i = 0; known[i]; i++) {
        bool optional = known[i][0] == '?';
        bool there = json_object_get(object, known[i] + optional) != NULL;
        if (!optional && !there)
            return bad(p, known[i], "is missing");
        found += there;
    }
    if (found == json_object_size(object))
        return 0;
    json_object_foreach (object, key, value) {
        bool is_known = false;
        for (size_t i = 0; known[i]; i++)
            is_known = is_known || ib_streq(key, known[i] + (known[i][0] == '?'));
        if (!is_known)
            return bad(p, key, "is not a key of this format");
    }
    return bad(p, what, "has the wrong keys");
}

static int get_text(const struct parser *p, json_t *object, const char *key, char **ret)
{
    json_t *value = json_object_get(object, key);

    if (!value)
        return 0;
    if (!json_is_string(value) || json_string_length(value) > TEXT_MAX)
        return bad(p, key, "is not a text of at most 64 KiB");
    if (strlen(json_string_value(value)) != json_string_length(value))
        return bad(p, key, "has a NUL in it");
    *ret = ib_strdup(json_string_value(value));
    return 0;
}

static int get_number(const struct parser *p, json_t *object, const char *key, uint64_t max,
                      uint64_t *ret)
{
    json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return bad(p, key, "is not a number in its range");
    *ret = (uint64_t)json_integer_value(value);
    return 0;
}

static int get_hash(const struct parser *p, json_t *object, const char *key, struct ib_sha256 *ret)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (!text || !ib_sha256_parse(text, ret))
        return bad(p, key, "is not a SHA-256");
    return 0;
}

static int get_uuid(const struct parser *p, json_t *object, const char *key, struct ib_uuid *ret)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (!text || !ib_uuid_parse(text, ret))
        return bad(p, key, "is not a UUID");
    return 0;
}

static int get_attributes(const struct parser *p, json_t *object, uint64_t *ret)
{
    const char *text = json_string_value(json_object_get(object, "attributes"));
    uint8_t bytes[8];

    if (!text || !ib_startswith(text, "0x") || !ib_unhex(text + 2, bytes, sizeof(bytes)))
        return bad(p, "attributes", "is not a hexadecimal number of 16 digits");
    *ret = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        *ret = *ret << 8 | bytes[i];
    return 0;
}

static json_t *get_list(const struct parser *p, json_t *object, const char *key, size_t max)
{
    json_t *value = json_object_get(object, key);

    if (json_is_array(value) && json_array_size(value) <= max)
        return value;
    bad(p, key, "is not a list, or too long a one");
    return NULL;
}

static int parse_partition(const struct parser *p, json_t *object)
{
    static const char *const keys[] = {"number",  "label",      "?type",  "type_uuid",
                                       "uuid",    "attributes", "offset", "size",
                                       "content", "?root_hash", NULL};
    uint64_t number = 0;

    if (check_keys(p, object, "partitions", keys) < 0)
        return -1;
    struct ib_manifest_partition *part = ib_manifest_add_partition(p->m);
    if (get_number(p, object, "number", IB_MANIFEST_PARTITIONS_MAX, &number) < 0 ||
        get_text(p, object, "label", &part->label) < 0 ||
        get_text(p, object, "type", &part->type_name) < 0 ||
        get_uuid(p, object, "type_uuid", &part->type) < 0 ||
        get_uuid(p, object, "uuid", &part->uuid) < 0 ||
        get_attributes(p, object, &part->attributes) < 0 ||
        get_number(p, object, "offset", DISK_SIZE_MAX, &part->offset_bytes) < 0 ||
        get_number(p, object, "size", DISK_SIZE_MAX, &part->size_bytes) < 0 ||
        get_hash(p, object, "content", &part->content) < 0)
        return -1;
    part->number = (unsigned)number;
    part->has_root_hash = json_object_get(object, "root_hash") != NULL;
    return part->has_root_hash ? get_hash(p, object, "root_hash", &part->root_hash) : 0;
}

static int parse_partitions(const struct parser *p, json_t *root)
{
    json_t *list = get_list(p, root, "partitions", IB_MANIFEST_PARTITIONS_MAX), *item;
    uint64_t end = 0;
    size_t i;

    if (!list)
        return -1;
    json_array_foreach (list, i, item) {
        if (parse_partition(p, item) < 0)
            return -1;
        const struct ib_manifest_partition *part = &p->m->partitions[i];
        if (part->number == 0 || part->size_bytes == 0 || part->offset_bytes < end ||
            part->offset_bytes % p->m->sector_size || part->size_bytes % p->m->sector_size)
            return bad(p, "partitions", "overlap, are empty or are not aligned to sectors");
        end = part->offset_bytes + part->size_bytes;
        if (end > p->m->disk_size_bytes)
            return bad(p, "partitions", "reach beyond the disk");
    }
    return 0;
}

static int parse_sources(const struct parser *p, json_t *root)
{
    static const char *const keys[] = {"name", "url", "sha256", NULL};
    json_t *list = get_list(p, root, "sources", LIST_MAX), *item;
    size_t i;

    if (!list)
        return -1;
    json_array_foreach (list, i, item) {
        _cleanup_(ib_freep) char *name = NULL, *url = NULL;
        struct ib_sha256 hash;
        if (check_keys(p, item, "sources", keys) < 0 || get_text(p, item, "name", &name) < 0 ||
            get_text(p, item, "url", &url) < 0 || get_hash(p, item, "sha256", &hash) < 0)
            return -1;
        ib_manifest_add_source(p->m, name, url, &hash);
    }
    return 0;
}

/* The text of a list's member, or NULL. Borrowed. */
static const char *text_at(json_t *list, size_t index)
{
    json_t *value = json_array_get(list, index);
    const char *text = json_string_value(value);

    return text && strlen(text) == json_string_length(value) && strlen(text) <= TEXT_MAX ? text
                                                                                         : NULL;
}

static int parse_packages(const struct parser *p, json_t *root)
{
    json_t *list = get_list(p, root, "packages", LIST_MAX), *item;
    size_t i;

    if (!list)
        return -1;
    json_array_foreach (list, i, item) {
        const char *name = text_at(item, 0), *version = text_at(item, 1), *arch = text_at(item, 2);
        if (json_array_size(item) != 3 || !name || !version || !arch)
            return bad(p, "packages", "are not all [name, version, architecture]");
        ib_manifest_add_package(p->m, name, version, arch);
    }
    return 0;
}

static int parse_without(const struct parser *p, json_t *root)
{
    json_t *list = get_list(p, root, "without", LIST_MAX);

    if (!list)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!text_at(list, i))
            return bad(p, "without", "is not a list of names");
        ib_strv_add(&p->m->without, text_at(list, i));
    }
    return 0;
}

static bool parse_frame(json_t *item, struct ib_manifest_frame *ret)
{
    size_t count = json_array_size(item);
    json_t *raw = json_array_get(item, 0), *size = json_array_get(item, 1);
    const char *hash = text_at(item, 2);

    if ((count != 3 && count != 4) || !json_is_integer(raw) || !json_is_integer(size) || !hash)
        return false;
    json_int_t raw_size = json_integer_value(raw), frame_size = json_integer_value(size);
    if (raw_size <= 0 || raw_size > (json_int_t)IB_MANIFEST_FRAME_RAW_MAX)
        return false;
    /* zstd never adds more than this (ZSTD_compressBound, rounded up) */
    if (frame_size <= 0 || frame_size > raw_size + raw_size / 128 + 4096)
        return false;
    if (count == 4 && !ib_streq(text_at(item, 3), "zero"))
        return false;
    *ret = (struct ib_manifest_frame){
        .raw_size = (uint32_t)raw_size, .size = (uint32_t)frame_size, .zero = count == 4};
    return ib_sha256_parse(hash, &ret->sha256);
}

static int parse_frames(const struct parser *p, json_t *root)
{
    json_t *list = get_list(p, root, "frames", IB_MANIFEST_FRAMES_MAX), *item;
    uint64_t total = 0;
    size_t i;

    if (!list)
        return -1;
    size_t count = json_array_size(list);
    _cleanup_(ib_freep) struct ib_manifest_frame *frames = ib_calloc(count, sizeof(*frames));
    json_array_foreach (list, i, item) {
        if (!parse_frame(item, &frames[i]))
            return bad(p, "frames", "are not all [raw size, size, sha256] with sane sizes");
        total += frames[i].raw_size;
    }
    if (count == 0 || total != p->m->disk_size_bytes)
        return bad(p, "frames", "do not add up to the disk's size");
    ib_manifest_set_frames(p->m, ib_steal(&frames), count);
    return 0;
}

static int parse_root(const struct parser *p, json_t *root)
{
    static const char *const keys[] = {
        "format",    "tool",         "node",        "role",       "version",
        "base",      "architecture", "kernel",      "cmdline",    "?uki_sha256",
        "disk_uuid", "disk_size",    "sector_size", "partitions", "sources",
        "packages",  "without",      "frames",      NULL};
    struct ib_manifest *m = p->m;
    json_int_t format = json_integer_value(json_object_get(root, "format"));
    uint64_t sector = 0;

    if (json_is_object(root) && format > IB_MANIFEST_FORMAT) {
        bad(p, "format", "is newer than this imgbuild understands");
        return ib_hint(p->err, "use a newer imgbuild");
    }
    if (check_keys(p, root, "manifest", keys) < 0)
        return -1;
    if (format != IB_MANIFEST_FORMAT)
        return bad(p, "format", "is not 1");
    if (get_text(p, root, "tool", &m->tool) < 0 || get_text(p, root, "node", &m->node) < 0 ||
        get_text(p, root, "role", &m->role) < 0 || get_text(p, root, "version", &m->version) < 0 ||
        get_text(p, root, "base", &m->base) < 0 ||
        get_text(p, root, "architecture", &m->architecture) < 0 ||
        get_text(p, root, "kernel", &m->kernel) < 0 ||
        get_text(p, root, "cmdline", &m->cmdline) < 0 ||
        get_uuid(p, root, "disk_uuid", &m->disk) < 0 ||
        get_number(p, root, "disk_size", DISK_SIZE_MAX, &m->disk_size_bytes) < 0 ||
        get_number(p, root, "sector_size", 4096, &sector) < 0)
        return -1;
    if (sector != 512 && sector != 4096)
        return bad(p, "sector_size", "is neither 512 nor 4096");
    m->sector_size = (uint32_t)sector;
    m->has_uki = json_object_get(root, "uki_sha256") != NULL;
    if (m->has_uki && get_hash(p, root, "uki_sha256", &m->uki) < 0)
        return -1;
    return parse_partitions(p, root) < 0 || parse_sources(p, root) < 0 ||
                   parse_packages(p, root) < 0 || parse_without(p, root) < 0
               ? -1
               : parse_frames(p, root);
}

struct ib_manifest *ib_manifest_parse(const void *data, size_t size, const char *name,
                                      struct ib_error **err)
{
    _cleanup_(ib_manifest_freep) struct ib_manifest *m = ib_manifest_new();
    json_error_t error;

    if (size > IB_MANIFEST_MAX_SIZE) {
        char max[16];
        ib_failf(err, IB_E_INVALID, "manifest '%s' is larger than %s", name,
                 ib_format_size(IB_MANIFEST_MAX_SIZE, max));
        return NULL;
    }
    _cleanup_(json_freep) json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        ib_failf(err, IB_E_INVALID, "manifest '%s' is not JSON: line %d: %s", name, error.line,
                 error.text);
        return NULL;
    }
    const struct parser p = {.name = name, .m = m, .err = err};
    return parse_root(&p, root) < 0 ? NULL : ib_steal(&m);
}
