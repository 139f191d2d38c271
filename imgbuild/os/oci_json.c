/* SPDX-License-Identifier: Apache-2.0 */
#include "os/oci_json.h"

#include <jansson.h>
#include <string.h>

enum { MAX_ITEMS = 1000 }; /* manifests of an index, layers of an image (Docker stops at 127) */

/* A document is an object; what names it ("index.json") goes before every message. */
static json_t *parse(const char *name, const void *data, size_t size, struct ib_error **err)
{
    json_error_t where;
    json_t *json = json_loadb(data ? data : "", size, JSON_REJECT_DUPLICATES, &where);

    if (!json)
        ib_failf(err, IB_E_INVALID, "%s:%d:%d: %s", name, where.line, where.column, where.text);
    return json;
}

static int missing(const char *name, const char *key, const char *what, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "%s: '%s' is missing or is not %s", name, key, what);
}

/* An array of at most MAX_ITEMS, or NULL and an error. */
static json_t *get_array(const char *name, json_t *object, const char *key, struct ib_error **err)
{
    json_t *array = json_object_get(object, key);

    if (!json_is_array(array)) {
        missing(name, key, "a list", err);
        return NULL;
    }
    if (json_array_size(array) > MAX_ITEMS) {
        ib_failf(err, IB_E_INVALID, "%s: '%s' has %zu items, more than the %d allowed", name, key,
                 json_array_size(array), MAX_ITEMS);
        return NULL;
    }
    return array;
}

/* The string, or NULL; NULs inside are not passed on. Borrowed. */
static const char *get_string(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    const char *s = json_string_value(value);

    return s && strlen(s) == json_string_length(value) ? s : NULL;
}

static bool parse_digest(const char *text, struct ib_sha256 *ret)
{
    return text && ib_startswith(text, "sha256:") && ib_sha256_parse(text + strlen("sha256:"), ret);
}

static int check_digest(const char *name, const char *text, struct ib_sha256 *ret,
                        struct ib_error **err)
{
    if (parse_digest(text, ret))
        return 0;
    if (!text)
        return missing(name, "digest", "a string", err);
    return ib_failf(err, IB_E_INVALID, "%s: '%.80s' is not a SHA-256 digest", name, text);
}

/* Descriptors --------------------------------------------------------------------------------- */

static void descriptor_clear(struct ib_oci_descriptor *d)
{
    free(d->media_type);
    free(d->architecture);
    free(d->os);
    free(d->ref_name);
    *d = (struct ib_oci_descriptor){0};
}

static void clear_all(struct ib_oci_descriptor *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        descriptor_clear(&list[i]);
    free(list);
}

static int parse_descriptor(const char *name, json_t *object, struct ib_oci_descriptor *ret,
                            struct ib_error **err)
{
    json_t *size = json_object_get(object, "size");
    json_t *platform = json_object_get(object, "platform");
    const char *media_type = get_string(object, "mediaType");

    if (!media_type)
        return missing(name, "mediaType", "a string", err);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return missing(name, "size", "a number of bytes", err);
    if (check_digest(name, get_string(object, "digest"), &ret->digest, err) < 0)
        return -1;
    ret->media_type = ib_strdup(media_type);
    ret->size_bytes = (uint64_t)json_integer_value(size);
    ret->architecture = ib_strdup(get_string(platform, "architecture"));
    ret->os = ib_strdup(get_string(platform, "os"));
    ret->ref_name = ib_strdup(
        get_string(json_object_get(object, "annotations"), "org.opencontainers.image.ref.name"));
    return 0;
}

static int parse_descriptors(const char *name, json_t *object, const char *key,
                             struct ib_oci_descriptor **ret, size_t *ret_count,
                             struct ib_error **err)
{
    json_t *array = get_array(name, object, key, err);

    if (!array)
        return -1;
    *ret = ib_calloc(json_array_size(array), sizeof(**ret));
    for (size_t i = 0; i < json_array_size(array); i++) {
        (*ret_count)++;
        if (parse_descriptor(name, json_array_get(array, i), &(*ret)[i], err) < 0)
            return -1;
    }
    return 0;
}

enum ib_oci_kind ib_oci_kind(const struct ib_oci_descriptor *descriptor)
{
    static const struct {
        const char *media_type;
        enum ib_oci_kind kind;
    } kinds[] = {
        {"application/vnd.oci.image.index.v1+json", IB_OCI_INDEX},
        {"application/vnd.docker.distribution.manifest.list.v2+json", IB_OCI_INDEX},
        {"application/vnd.oci.image.manifest.v1+json", IB_OCI_MANIFEST},
        {"application/vnd.docker.distribution.manifest.v2+json", IB_OCI_MANIFEST},
        {"application/vnd.oci.image.config.v1+json", IB_OCI_CONFIG},
        {"application/vnd.docker.container.image.v1+json", IB_OCI_CONFIG},
        {"application/vnd.oci.image.layer.v1.tar", IB_OCI_LAYER},
        {"application/vnd.oci.image.layer.v1.tar+gzip", IB_OCI_LAYER},
        {"application/vnd.oci.image.layer.v1.tar+zstd", IB_OCI_LAYER},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar", IB_OCI_LAYER},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", IB_OCI_LAYER},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", IB_OCI_LAYER},
        {"application/vnd.docker.image.rootfs.diff.tar", IB_OCI_LAYER},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", IB_OCI_LAYER},
        {"application/vnd.docker.image.rootfs.diff.tar.zstd", IB_OCI_LAYER},
        {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", IB_OCI_LAYER},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(kinds); i++)
        if (ib_streq(kinds[i].media_type, descriptor->media_type))
            return kinds[i].kind;
    return IB_OCI_OTHER;
}

/* Documents ----------------------------------------------------------------------------------- */

/* One document must not be readable as two (CVE-2021-41190). */
static int check_kind(const char *name, json_t *json, const char *other, struct ib_error **err)
{
    json_t *version = json_object_get(json, "schemaVersion");

    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return missing(name, "schemaVersion", "2", err);
    if (json_object_get(json, other))
        return ib_failf(err, IB_E_INVALID, "%s: it is an index and a manifest at once", name);
    return 0;
}

int ib_oci_parse_index(const char *name, const void *data, size_t size, struct ib_oci_index *ret,
                       struct ib_error **err)
{
    _cleanup_(json_decrefp) json_t *json = parse(name, data, size, err);

    if (!json || check_kind(name, json, "layers", err) < 0)
        return -1;
    return parse_descriptors(name, json, "manifests", &ret->manifests, &ret->count, err);
}

int ib_oci_parse_manifest(const char *name, const void *data, size_t size,
                          struct ib_oci_manifest *ret, struct ib_error **err)
{
    _cleanup_(json_decrefp) json_t *json = parse(name, data, size, err);

    if (!json || check_kind(name, json, "manifests", err) < 0)
        return -1;
    if (parse_descriptor(name, json_object_get(json, "config"), &ret->config, err) < 0)
        return ib_wrap(err, "config", "read the descriptor");
    return parse_descriptors(name, json, "layers", &ret->layers, &ret->layer_count, err);
}

int ib_oci_parse_config(const char *name, const void *data, size_t size, struct ib_oci_config *ret,
                        struct ib_error **err)
{
    _cleanup_(json_decrefp) json_t *json = parse(name, data, size, err);
    json_t *array;

    if (!json)
        return -1;
    array = get_array(name, json_object_get(json, "rootfs"), "diff_ids", err);
    if (!array)
        return -1;
    ret->diff_ids = ib_calloc(json_array_size(array), sizeof(*ret->diff_ids));
    ret->diff_id_count = json_array_size(array);
    for (size_t i = 0; i < ret->diff_id_count; i++)
        if (check_digest(name, json_string_value(json_array_get(array, i)), &ret->diff_ids[i],
                         err) < 0)
            return -1;
    ret->architecture = ib_strdup(get_string(json, "architecture"));
    ret->os = ib_strdup(get_string(json, "os"));
    if (!ret->architecture)
        return missing(name, "architecture", "a string", err);
    return ret->os ? 0 : missing(name, "os", "a string", err);
}

int ib_docker_parse_manifest(const char *name, const void *data, size_t size,
                             struct ib_docker_image *ret, struct ib_error **err)
{
    _cleanup_(json_decrefp) json_t *json = parse(name, data, size, err);
    json_t *image, *layers;

    if (!json)
        return -1;
    if (json_array_size(json) != 1) {
        ib_failf(err, IB_E_INVALID, "%s: it lists %zu images where one is needed", name,
                 json_array_size(json));
        return ib_hint(err, "save one image only: docker save NAME:TAG");
    }
    image = json_array_get(json, 0);
    if (!get_string(image, "Config"))
        return missing(name, "Config", "a name", err);
    ret->config = ib_strdup(get_string(image, "Config"));
    layers = get_array(name, image, "Layers", err);
    if (!layers)
        return -1;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const char *layer = json_string_value(json_array_get(layers, i));
        if (!layer)
            return missing(name, "Layers", "a list of names", err);
        ib_strv_add(&ret->layers, layer);
    }
    return 0;
}

int ib_oci_parse_layout(const char *name, const void *data, size_t size, struct ib_error **err)
{
    _cleanup_(json_decrefp) json_t *json = parse(name, data, size, err);
    const char *version = get_string(json, "imageLayoutVersion");

    if (!json)
        return -1;
    if (!version)
        return missing(name, "imageLayoutVersion", "a string", err);
    if (!ib_startswith(version, "1."))
        return ib_failf(err, IB_E_INVALID, "%s: version %.20s of the layout is not known (1.x is)",
                        name, version);
    return 0;
}

void ib_oci_index_clear(struct ib_oci_index *index)
{
    clear_all(index->manifests, index->count);
    *index = (struct ib_oci_index){0};
}

void ib_oci_manifest_clear(struct ib_oci_manifest *manifest)
{
    descriptor_clear(&manifest->config);
    clear_all(manifest->layers, manifest->layer_count);
    *manifest = (struct ib_oci_manifest){0};
}

void ib_oci_config_clear(struct ib_oci_config *config)
{
    free(config->architecture);
    free(config->os);
    free(config->diff_ids);
    *config = (struct ib_oci_config){0};
}

void ib_docker_image_clear(struct ib_docker_image *image)
{
    free(image->config);
    ib_strv_clear(&image->layers);
    *image = (struct ib_docker_image){0};
}
