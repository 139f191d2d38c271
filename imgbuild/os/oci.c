/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Container images to trees: finds the manifest for the architecture, then lays the layers.
 */
#include "os/oci.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "io/archive.h"
#include "oci_store.h"
#include "os/oci_json.h"

enum {
    MAX_DOCUMENT = 8 * 1024 * 1024,
    MAX_DOCUMENTS = 1000, /* read while looking for the manifest */
    MAX_DEPTH = 4,        /* indexes in indexes */
};

struct import {
    struct ib_oci_store store;
    struct ib_tree *tree;
    const char *architecture; /* OCI's name */
    int spool_fd;
    struct ib_progress *progress;
    struct ib_step *step;
    struct ib_error **err;

    unsigned documents;
    unsigned found;               /* manifests for our architecture */
    struct ib_sha256 digest;      /* of the first of them */
    uint64_t size_bytes;          /* its */
    struct ib_strv found_names;   /* of all of them */
    struct ib_strv architectures; /* of the others, for the message */
};

static const char *oci_architecture(const char *name)
{
    static const struct {
        const char *ours, *oci; /* Go's names */
    } names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "386"}};

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++)
        if (ib_streq(names[i].ours, name))
            return names[i].oci;
    return name;
}

/* Blobs --------------------------------------------------------------------------------------- */

static char *blob_name(const struct ib_sha256 *digest)
{
    char hex[IB_SHA256_HEX_SIZE];

    return ib_asprintf("blobs/sha256/%s", ib_sha256_hex(digest, hex));
}

static int fail_digest(const char *name, struct ib_error **err)
{
    ib_failf(err, IB_E_VERIFY, "'%s' does not have the SHA-256 that the image states for it", name);
    return ib_hint(err, "get the image again: it was changed or damaged");
}

/* Reads a document whole; `digest` may be NULL (only the first document has none above it). */
static int read_document(struct import *im, const char *name, const struct ib_sha256 *digest,
                         struct ib_buf *ret)
{
    _cleanup_(ib_oci_file_close) struct ib_oci_file file = {.fd = -1};
    struct ib_sha256 real;

    if (++im->documents > MAX_DOCUMENTS)
        return ib_failf(im->err, IB_E_INVALID, "it has more than %d documents", MAX_DOCUMENTS);
    if (ib_oci_file_open(&im->store, name, &file, im->err) < 0)
        return -1;
    if (file.size_bytes > MAX_DOCUMENT)
        return ib_failf(im->err, IB_E_INVALID, "'%s' is larger than the %d bytes allowed for it",
                        name, MAX_DOCUMENT);
    ret->size = 0;
    void *data = ib_buf_reserve(ret, (size_t)file.size_bytes);
    if (ib_oci_file_read(&file, data, (size_t)file.size_bytes, im->err) < 0)
        return ib_wrap(im->err, name, "read");
    ret->size = (size_t)file.size_bytes;
    ib_sha256(ret->data, ret->size, &real);
    return !digest || ib_sha256_equal(&real, digest) ? 0 : fail_digest(name, im->err);
}

/* A layer on its way to the archive reader, hashed as it passes. */
struct layer {
    struct ib_oci_file *file;
    struct ib_hasher *hasher;
};

static ssize_t read_layer(void *userdata, void *data, size_t size, struct ib_error **err)
{
    struct layer *layer = userdata;
    ssize_t n = ib_oci_file_read(layer->file, data, size, err);

    if (n > 0)
        ib_hasher_update(layer->hasher, data, (size_t)n);
    return n;
}

/* Hashes what the archive reader left of the layer; true where the whole has this digest. */
static bool check_digest(struct layer *layer, const struct ib_sha256 *digest)
{
    enum { CHUNK = 1 << 17 };
    _cleanup_(ib_freep) unsigned char *chunk = ib_malloc(CHUNK);
    struct ib_sha256 real;
    ssize_t n;

    do
        n = read_layer(layer, chunk, CHUNK, NULL);
    while (n > 0);
    ib_hasher_final(layer->hasher, &real);
    return n == 0 && ib_sha256_equal(&real, digest);
}

static int read_archive(struct import *im, struct layer *layer, const char *name,
                        const struct ib_sha256 *digest, struct ib_step *step)
{
    struct ib_error *error = NULL;
    int r = ib_archive_read_stream(im->tree, read_layer, layer, name, im->spool_fd, IB_LAYER_BASE,
                                   IB_ARCHIVE_WHITEOUTS, NULL, im->progress, step, &error);
    bool damage = r == 0 || ib_error_code(error) == IB_E_INVALID;

    /* A damaged layer is first of all the wrong one, whatever the reader stumbled over. */
    if (damage && !check_digest(layer, digest)) {
        ib_error_free(error);
        return fail_digest(name, im->err);
    }
    if (im->err)
        *im->err = error;
    else
        ib_error_free(error);
    return r;
}

/* size_bytes: as stated, or UINT64_MAX where nothing states it. */
static int lay_layer(struct import *im, const char *name, const struct ib_sha256 *digest,
                     uint64_t size_bytes)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *hasher = ib_hasher_new();
    _cleanup_(ib_oci_file_close) struct ib_oci_file file = {.fd = -1};
    _cleanup_(ib_step_failp) struct ib_step *step = NULL;

    if (ib_oci_file_open(&im->store, name, &file, im->err) < 0)
        return -1;
    if (size_bytes != UINT64_MAX && size_bytes != file.size_bytes) {
        ib_failf(im->err, IB_E_VERIFY, "'%s' has %llu bytes, but the image states %llu", name,
                 (unsigned long long)file.size_bytes, (unsigned long long)size_bytes);
        return ib_hint(im->err, "get the image again: it is incomplete");
    }
    step = ib_step_begin(im->progress, im->step, "unpack", name, file.size_bytes, IB_UNIT_BYTES);
    if (read_archive(im, &(struct layer){&file, hasher}, name, digest, step) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

/* Finding the manifest ------------------------------------------------------------------------ */

static int read_manifest(struct import *im, const struct ib_sha256 *digest,
                         struct ib_oci_manifest *ret)
{
    _cleanup_(ib_freep) char *name = blob_name(digest);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (read_document(im, name, digest, &text) < 0)
        return -1;
    return ib_oci_parse_manifest(name, text.data, text.size, ret, im->err);
}

static int read_config(struct import *im, const struct ib_oci_manifest *manifest,
                       struct ib_oci_config *ret)
{
    _cleanup_(ib_freep) char *name = blob_name(&manifest->config.digest);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (read_document(im, name, &manifest->config.digest, &text) < 0)
        return -1;
    return ib_oci_parse_config(name, text.data, text.size, ret, im->err);
}

static bool fits(struct import *im, const char *architecture, const char *os)
{
    bool linux_os = !os || ib_streq(os, "linux");

    if (ib_streq(architecture, im->architecture) && linux_os)
        return true;
    _cleanup_(ib_freep) char *name =
        linux_os ? ib_strdup(architecture) : ib_asprintf("%s/%s", os, architecture);
    if (!ib_strv_contains(&im->architectures, name))
        ib_strv_add(&im->architectures, name);
    return false;
}

/* A manifest without a platform beside its descriptor: its config tells. 1 fits, 0 not, -1. */
static int manifest_fits(struct import *im, const struct ib_oci_descriptor *d)
{
    _cleanup_(ib_oci_manifest_clear) struct ib_oci_manifest manifest = {0};
    _cleanup_(ib_oci_config_clear) struct ib_oci_config config = {0};

    if (d->architecture)
        return fits(im, d->architecture, d->os);
    if (read_manifest(im, &d->digest, &manifest) < 0)
        return -1;
    if (ib_oci_kind(&manifest.config) != IB_OCI_CONFIG) /* an artifact: a chart, a signature … */
        return 0;
    if (read_config(im, &manifest, &config) < 0)
        return -1;
    return fits(im, config.architecture, config.os);
}

static void add_found(struct import *im, const struct ib_oci_descriptor *d)
{
    char hex[IB_SHA256_HEX_SIZE];

    if (im->found > 0 && ib_sha256_equal(&im->digest, &d->digest)) /* the same under two names */
        return;
    if (im->found++ == 0) {
        im->digest = d->digest;
        im->size_bytes = d->size_bytes;
    }
    if (d->ref_name)
        ib_strv_add(&im->found_names, d->ref_name);
    else
        ib_strv_addf(&im->found_names, "sha256:%.12s", ib_sha256_hex(&d->digest, hex));
}

/* Recursion is bounded by MAX_DEPTH. digest NULL: the outermost index. */
static int search(struct import *im, const char *name, const struct ib_sha256 *digest,
                  unsigned depth)
{
    _cleanup_(ib_oci_index_clear) struct ib_oci_index index = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (depth > MAX_DEPTH)
        return ib_failf(im->err, IB_E_INVALID, "it has indexes in more than %d levels", MAX_DEPTH);
    if (read_document(im, name, digest, &text) < 0 ||
        ib_oci_parse_index(name, text.data, text.size, &index, im->err) < 0)
        return -1;
    for (size_t i = 0; i < index.count; i++) {
        const struct ib_oci_descriptor *d = &index.manifests[i];
        enum ib_oci_kind kind = ib_oci_kind(d);
        if (kind == IB_OCI_INDEX) {
            _cleanup_(ib_freep) char *below = blob_name(&d->digest);
            if (search(im, below, &d->digest, depth + 1) < 0)
                return -1;
        } else if (kind == IB_OCI_MANIFEST) {
            int r = manifest_fits(im, d);
            if (r < 0)
                return -1;
            if (r > 0)
                add_found(im, d);
        }
    }
    return 0;
}

static int check_found(struct import *im)
{
    if (im->found == 1)
        return 0;
    if (im->found > 1) {
        _cleanup_(ib_freep) char *names = ib_strv_join(&im->found_names, ", ");
        ib_failf(im->err, IB_E_INVALID, "it holds %u images for %s: %s", im->found,
                 im->architecture, names);
        return ib_hint(im->err, "copy the one you want: skopeo copy oci:%s:NAME oci:NEW",
                       im->store.path);
    }
    ib_strv_sort(&im->architectures);
    _cleanup_(ib_freep) char *others = ib_strv_join(&im->architectures, ", ");
    return ib_failf(im->err, IB_E_INVALID, "it holds no image for %s, %s%s", im->architecture,
                    *others ? "only for " : "nor for any other architecture", others);
}

/* Importing ----------------------------------------------------------------------------------- */

static int check_config(struct import *im, const struct ib_oci_manifest *manifest)
{
    _cleanup_(ib_oci_config_clear) struct ib_oci_config config = {0};

    if (ib_oci_kind(&manifest->config) != IB_OCI_CONFIG)
        return ib_failf(im->err, IB_E_INVALID, "it is no container image: its config is '%s'",
                        manifest->config.media_type);
    if (read_config(im, manifest, &config) < 0)
        return -1;
    if (!fits(im, config.architecture, config.os))
        return ib_failf(im->err, IB_E_INVALID, "its index says %s, but its config %s/%s",
                        im->architecture, config.os, config.architecture);
    if (config.diff_id_count != manifest->layer_count)
        return ib_failf(im->err, IB_E_INVALID, "its manifest lists %zu layers, its config %zu",
                        manifest->layer_count, config.diff_id_count);
    return 0;
}

static int import_oci(struct import *im)
{
    _cleanup_(ib_oci_manifest_clear) struct ib_oci_manifest manifest = {0};
    _cleanup_(ib_buf_clear) struct ib_buf layout = {0};

    if (read_document(im, "oci-layout", NULL, &layout) < 0 ||
        ib_oci_parse_layout("oci-layout", layout.data, layout.size, im->err) < 0)
        return -1;
    if (search(im, "index.json", NULL, 1) < 0 || check_found(im) < 0 ||
        read_manifest(im, &im->digest, &manifest) < 0 || check_config(im, &manifest) < 0)
        return -1;
    for (size_t i = 0; i < manifest.layer_count; i++) {
        const struct ib_oci_descriptor *d = &manifest.layers[i];
        _cleanup_(ib_freep) char *name = blob_name(&d->digest);
        if (ib_oci_kind(d) != IB_OCI_LAYER)
            return ib_failf(im->err, IB_E_UNSUPPORTED, "layer %zu is '%s', which is not a tar",
                            i + 1, d->media_type);
        if (lay_layer(im, name, &d->digest, d->size_bytes) < 0)
            return -1;
    }
    return 0;
}

/* The config's name is its digest: "HEX.json", since Docker 25 "blobs/sha256/HEX". */
static int config_digest(struct import *im, const char *name, struct ib_sha256 *ret)
{
    _cleanup_(ib_freep) char *hex = ib_strdup(ib_path_base(name));

    if (ib_endswith(hex, ".json"))
        hex[strlen(hex) - strlen(".json")] = 0;
    if (ib_sha256_parse(hex, ret))
        return 0;
    return ib_failf(im->err, IB_E_INVALID, "manifest.json: the name '%s' is not a digest", name);
}

static int import_docker(struct import *im)
{
    _cleanup_(ib_docker_image_clear) struct ib_docker_image image = {0};
    _cleanup_(ib_oci_config_clear) struct ib_oci_config config = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_sha256 digest;

    if (read_document(im, "manifest.json", NULL, &text) < 0 ||
        ib_docker_parse_manifest("manifest.json", text.data, text.size, &image, im->err) < 0 ||
        config_digest(im, image.config, &digest) < 0 ||
        read_document(im, image.config, &digest, &text) < 0 ||
        ib_oci_parse_config(image.config, text.data, text.size, &config, im->err) < 0)
        return -1;
    if (fits(im, config.architecture, config.os))
        im->found = 1;
    if (check_found(im) < 0)
        return -1;
    if (config.diff_id_count != image.layers.count)
        return ib_failf(im->err, IB_E_INVALID, "its manifest lists %zu layers, its config %zu",
                        image.layers.count, config.diff_id_count);
    for (size_t i = 0; i < image.layers.count; i++)
        if (lay_layer(im, image.layers.items[i], &config.diff_ids[i], UINT64_MAX) < 0)
            return -1;
    return 0;
}

static int import_any(struct import *im, const char *path)
{
    if (ib_oci_store_open(&im->store, path, im->spool_fd, im->progress, im->step, im->err) < 0)
        return -1;
    if (ib_oci_store_has(&im->store, "oci-layout"))
        return import_oci(im);
    if (ib_oci_store_has(&im->store, "manifest.json"))
        return import_docker(im);
    ib_failf(im->err, IB_E_INVALID, "it is neither an OCI image layout nor made by `docker save`");
    if (ib_oci_store_has(&im->store, "usr") || ib_oci_store_has(&im->store, "etc"))
        return ib_hint(im->err, "it looks like a plain root: import it as a tar");
    return -1;
}

/* What came out must be a root, or at least something. */
static int check_root(const struct ib_tree *tree, struct ib_error **err)
{
    if (ib_tree_root(tree)->child_count > 0)
        return 0;
    return ib_failf(err, IB_E_INVALID, "it holds no files");
}

int ib_oci_import(struct ib_tree *tree, const char *path, const char *architecture, int spool_fd,
                  struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    struct import im = {.tree = tree,
                        .architecture = oci_architecture(architecture),
                        .spool_fd = spool_fd,
                        .progress = progress,
                        .step = step,
                        .err = err};
    int r = import_any(&im, path);

    if (r == 0)
        r = check_root(tree, err);
    ib_oci_store_clear(&im.store);
    ib_strv_clear(&im.found_names);
    ib_strv_clear(&im.architectures);
    return r < 0 ? ib_wrap(err, path, "import the container image") : 0;
}

static int import_tar(struct ib_tree *tree, const char *path, int spool_fd,
                      struct ib_progress *progress, struct ib_step *parent, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "read");
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        progress, parent, "unpack", ib_path_base(path), (uint64_t)st.st_size, IB_UNIT_BYTES);
    if (ib_archive_read(tree, fd, path, spool_fd, IB_LAYER_BASE, 0, NULL, progress, step, err) < 0)
        return -1;
    if (ib_tree_find(tree, "oci-layout") && ib_tree_find(tree, "index.json")) {
        ib_failf(err, IB_E_INVALID, "it is an OCI archive, not the tar of a root");
        return ib_hint(err, "import it as an OCI image");
    }
    if (check_root(tree, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_tar_import(struct ib_tree *tree, const char *path, int spool_fd,
                  struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    if (import_tar(tree, path, spool_fd, progress, step, err) < 0)
        return ib_wrap(err, path, "import the root");
    return 0;
}
