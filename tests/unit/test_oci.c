/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "os/base_file.h"
#include "os/oci.h"

#define OCI "application/vnd.oci.image."

static const char *text_of(const struct ib_error *err)
{
    return err ? ib_error_text(err) : "";
}

static bool says(const struct ib_error *err, const char *expected)
{
    _cleanup_(ib_freep) char *text = ib_error_text(err);

    if (!strstr(text, expected))
        fprintf(stderr, "%s\n", text);
    return strstr(text, expected) != NULL;
}

static void run(const char *const *argv)
{
    struct ib_error *err = NULL;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", text_of(err));
}

/* Images made by hand */

static void write_file(const char *dir, const char *name, const void *data, size_t size)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, data, size, NULL), 0);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    write_file(dir, name, text, strlen(text));
}

/* Stores a blob; hex receives its digest. */
static void put_blob(const char *dir, const void *data, size_t size, char hex[IB_SHA256_HEX_SIZE])
{
    struct ib_sha256 hash;

    ib_sha256(data, size, &hash);
    _cleanup_(ib_freep) char *name = ib_asprintf("blobs/sha256/%s", ib_sha256_hex(&hash, hex));
    write_file(dir, name, data, size);
}

/* "path=content" entries as a tar, compressed by `program` where not NULL. */
static struct ib_buf make_layer(const char *program, const char *const *entries)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf out = {0};
    _cleanup_(ib_closep) int fd = memfd_create("layer", MFD_CLOEXEC);

    for (; *entries; entries++) {
        const char *equals = strchr(*entries, '=');
        char *path = ib_strndup(*entries, (size_t)(equals - *entries));
        cr_assert(ib_tree_add_file(tree, path, 0644, equals + 1, strlen(equals + 1), IB_LAYER_BASE,
                                   NULL));
        free(path);
    }
    cr_assert_eq(ib_tree_save(tree, fd, NULL, NULL, NULL), 0);
    ib_tree_free(tree);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    const char *const argv[] = {program ? program : "cat", program ? "-c" : NULL, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .stdin_fd = fd, .out = &out}, NULL), 0);
    return out;
}

struct image {
    char *dir;
    struct ib_buf layers; /* descriptors, as JSON */
    struct ib_buf diff_ids;
    struct ib_buf manifests;
};

static struct image image_new(void)
{
    return (struct image){.dir = ib_make_temp_dir("/tmp", "ib-test", NULL)};
}

static void image_clear(struct image *image)
{
    ib_temp_dirp(&image->dir);
    ib_buf_clear(&image->layers);
    ib_buf_clear(&image->diff_ids);
    ib_buf_clear(&image->manifests);
}

static void add_layer(struct image *image, const char *program, const char *type,
                      const char *const *entries)
{
    struct ib_buf blob = make_layer(program, entries);
    char hex[IB_SHA256_HEX_SIZE];

    put_blob(image->dir, blob.data, blob.size, hex);
    ib_buf_printf(&image->layers, "%s{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%zu}",
                  image->layers.size ? "," : "", type, hex, blob.size);
    ib_buf_printf(&image->diff_ids, "%s\"sha256:%s\"", image->diff_ids.size ? "," : "", hex);
    ib_buf_clear(&blob);
}

static void put_json(struct image *image, const char *json, char **ret_descriptor, const char *type,
                     const char *more)
{
    char hex[IB_SHA256_HEX_SIZE];

    put_blob(image->dir, json, strlen(json), hex);
    *ret_descriptor = ib_asprintf("{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%zu%s}",
                                  type, hex, strlen(json), more);
}

static void add_to_index(struct image *image, char *descriptor)
{
    ib_buf_printf(&image->manifests, "%s%s", image->manifests.size ? "," : "", descriptor);
    free(descriptor);
}

/* Ends the image of one architecture; `more` goes into its descriptor in the index. */
static void add_manifest(struct image *image, const char *architecture, const char *more)
{
    char *config, *manifest;
    struct ib_buf json = {0};

    ib_buf_printf(&json,
                  "{\"architecture\":\"%s\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                  "\"diff_ids\":[%s]}}",
                  architecture, image->diff_ids.size ? (char *)image->diff_ids.data : "");
    put_json(image, (char *)json.data, &config, OCI "config.v1+json", "");
    ib_buf_clear(&json);
    ib_buf_printf(&json, "{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}", config,
                  image->layers.size ? (char *)image->layers.data : "");
    put_json(image, (char *)json.data, &manifest, OCI "manifest.v1+json", more);
    add_to_index(image, manifest);
    free(config);
    ib_buf_clear(&json);
    ib_buf_clear(&image->layers);
    ib_buf_clear(&image->diff_ids);
}

static char *index_json(const struct image *image)
{
    return ib_asprintf("{\"schemaVersion\":2,\"manifests\":[%s]}",
                       image->manifests.size ? (char *)image->manifests.data : "");
}

static void finish(struct image *image)
{
    _cleanup_(ib_freep) char *index = index_json(image);

    write_text(image->dir, "index.json", index);
    write_text(image->dir, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
}

static int import(struct ib_tree *tree, const char *path, const char *architecture,
                  struct ib_error **err)
{
    _cleanup_(ib_closep) int spool = memfd_create("spool", MFD_CLOEXEC);

    return ib_oci_import(tree, path, architecture, spool, NULL, NULL, err);
}

static void assert_content(const struct ib_tree *tree, const char *path, const char *expected)
{
    struct ib_buf content = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_tree_read_file(tree, path, IB_MIB, &content, &err), 0, "%s", text_of(err));
    cr_assert_str_eq((const char *)content.data, expected);
    ib_buf_clear(&content);
}

static const char *const lower[] = {"etc/a=lower", "etc/gone=x", "opaque/old=x", "usr/kept=k",
                                    NULL};
static const char *const upper[] = {"etc/a=upper",
                                    "etc/.wh.gone=", "opaque/.wh..wh..opq=", "opaque/new=n", NULL};
static const char *const third[] = {"etc/b=third", NULL};

static void add_three_layers(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    add_layer(image, "gzip", OCI "layer.v1.tar+gzip", upper);
    add_layer(image, "zstd", OCI "layer.v1.tar+zstd", third);
}

static void check_three_layers(const char *path, const char *architecture)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    cr_assert_eq(import(tree, path, architecture, &err), 0, "%s", text_of(err));
    assert_content(tree, "etc/a", "upper");
    assert_content(tree, "etc/b", "third");
    assert_content(tree, "usr/kept", "k");
    assert_content(tree, "opaque/new", "n");
    cr_assert_null(ib_tree_find(tree, "etc/gone"));
    cr_assert_null(ib_tree_find(tree, "opaque/old"));
    cr_assert_null(ib_tree_find(tree, "etc/.wh.gone"));
    ib_tree_free(tree);
}

Test(oci, layers_in_order_with_whiteouts)
{
    _cleanup_(image_clear) struct image image = image_new();

    add_three_layers(&image);
    add_manifest(&image, "amd64", "");
    finish(&image);
    check_three_layers(image.dir, "amd64");
    check_three_layers(image.dir, "x86_64");
}

Test(oci, layout_in_an_archive)
{
    static const char *const flags[] = {"-cf", "-cJf", "-czf"};
    _cleanup_(image_clear) struct image image = image_new();
    char *out = ib_make_temp_dir("/tmp", "ib-test", NULL), *tar = ib_path_join(out, "a.oci.tar");

    add_three_layers(&image);
    add_manifest(&image, "arm64", "");
    finish(&image);
    for (size_t i = 0; i < IB_ARRAY_SIZE(flags); i++) {
        run((const char *const[]){"tar", flags[i], tar, "-C", image.dir, ".", NULL});
        check_three_layers(tar, "aarch64");
    }
    free(tar);
    ib_temp_dirp(&out);
}

#define PLATFORM(arch) ",\"platform\":{\"architecture\":\"" arch "\",\"os\":\"linux\"}"

Test(oci, the_architecture_is_found_in_nested_indexes)
{
    static const char *const arm[] = {"etc/arch=arm64", NULL}, *const amd[] = {"etc/arch=amd64",
                                                                               NULL};
    _cleanup_(image_clear) struct image image = image_new();
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;
    char *descriptor;

    add_layer(&image, NULL, OCI "layer.v1.tar", arm);
    add_manifest(&image, "arm64", PLATFORM("arm64"));
    add_layer(&image, NULL, OCI "layer.v1.tar", amd);
    add_manifest(&image, "amd64", PLATFORM("amd64"));
    add_manifest(&image, "unknown", PLATFORM("unknown")); /* as build attestations look */
    char *inner = index_json(&image);
    ib_buf_clear(&image.manifests);
    put_json(&image, inner, &descriptor, OCI "index.v1+json", "");
    add_to_index(&image, ib_strdup(descriptor)); /* twice the same is once */
    add_to_index(&image, descriptor);
    finish(&image);
    cr_assert_eq(import(tree, image.dir, "amd64", &err), 0, "%s", text_of(err));
    assert_content(tree, "etc/arch", "amd64");
    cr_assert_eq(import(tree, image.dir, "aarch64", &err), 0, "%s", text_of(err));
    assert_content(tree, "etc/arch", "arm64");
    cr_assert_eq(import(tree, image.dir, "s390x", &err), -1);
    cr_assert(says(err, "no image for s390x, only for amd64, arm64, unknown"));
    ib_error_free(err);
    ib_tree_free(tree);
    free(inner);
}

/* Refused */

static void damage_blobs(struct image *image, bool cut)
{
    char *script = ib_asprintf("cd '%s/blobs/sha256' && for f in *; do %s; done", image->dir,
                               cut ? "head -c -1 $f > x; mv x $f"
                                   : "printf X | dd of=$f bs=1 "
                                     "seek=40 conv=notrunc");
    run((const char *const[]){"sh", "-c", script, NULL});
    free(script);
}

static void make_flipped_manifest(struct image *image)
{
    add_three_layers(image);
    add_manifest(image, "amd64", PLATFORM("amd64"));
    finish(image);
    damage_blobs(image, false);
}

static void make_flipped_layer(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    damage_blobs(image, false);
    add_manifest(image, "amd64", PLATFORM("amd64"));
    finish(image);
}

static void make_short_layer(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    damage_blobs(image, true);
    add_manifest(image, "amd64", PLATFORM("amd64"));
    finish(image);
}

static void make_missing_layer(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    char *blobs = ib_path_join(image->dir, "blobs");
    cr_assert_eq(ib_remove_tree(blobs, NULL), 0);
    free(blobs);
    add_manifest(image, "amd64", PLATFORM("amd64"));
    finish(image);
}

static void make_two_images(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    add_manifest(image, "amd64",
                 ",\"annotations\":{\""
                 "org.opencontainers.image.ref.name\":\"v1\"}");
    add_layer(image, NULL, OCI "layer.v1.tar", upper);
    add_manifest(image, "amd64",
                 ",\"annotations\":{\""
                 "org.opencontainers.image.ref.name\":\"v2\"}");
    finish(image);
}

static void make_no_image(struct image *image)
{
    finish(image);
}

static void make_encrypted(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar+encrypted", lower);
    add_manifest(image, "amd64", "");
    finish(image);
}

static void make_hostile_layer(struct image *image)
{
    static const char *const entries[] = {"a=x", NULL};
    struct ib_buf layer = make_layer(NULL, entries);
    char hex[IB_SHA256_HEX_SIZE];

    layer.size -= 1500; /* no end, and cut inside the entry */
    put_blob(image->dir, layer.data, layer.size, hex);
    ib_buf_printf(&image->layers,
                  "{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"sha256:%s\",\"size\":%zu}",
                  hex, layer.size);
    ib_buf_printf(&image->diff_ids, "\"sha256:%s\"", hex);
    add_manifest(image, "amd64", "");
    finish(image);
    ib_buf_clear(&layer);
}

static void make_lying_index(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    add_manifest(image, "arm64", PLATFORM("amd64"));
    finish(image);
}

static void make_layer_count(struct image *image)
{
    add_layer(image, NULL, OCI "layer.v1.tar", lower);
    ib_buf_printf(&image->diff_ids, ",\"sha256:%064d\"", 0);
    add_manifest(image, "amd64", "");
    finish(image);
}

static void make_ambiguous(struct image *image)
{
    finish(image);
    write_text(image->dir, "index.json", "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}");
}

static void make_bad_json(struct image *image)
{
    finish(image);
    write_text(image->dir, "index.json", "{\"schemaVersion\":2,\n\"manifests\":[,]}");
}

static void make_sha512(struct image *image)
{
    finish(image);
    write_text(image->dir, "index.json",
               "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "manifest.v1+json\","
               "\"digest\":\"sha512:00\",\"size\":5}]}");
}

static void make_escaping_digest(struct image *image)
{
    finish(image);
    write_text(image->dir, "index.json",
               "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "manifest.v1+json\","
               "\"digest\":\"sha256:../../etc/passwd\",\"size\":5}]}");
}

static void make_deep_indexes(struct image *image)
{
    char *descriptor;

    for (unsigned i = 0; i < 6; i++) {
        _cleanup_(ib_freep) char *index = index_json(image);
        ib_buf_clear(&image->manifests);
        put_json(image, index, &descriptor, OCI "index.v1+json", "");
        add_to_index(image, descriptor);
    }
    finish(image);
}

static void make_new_layout(struct image *image)
{
    finish(image);
    write_text(image->dir, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
}

static void make_nothing(struct image *image)
{
    write_text(image->dir, "etc/passwd", "x");
}

static const struct {
    const char *name;
    void (*make)(struct image *image);
    enum ib_error_code code;
    const char *says;
} refused[] = {
    {"flipped manifest", make_flipped_manifest, IB_E_VERIFY, "does not have the SHA-256"},
    {"flipped layer", make_flipped_layer, IB_E_VERIFY, "does not have the SHA-256"},
    {"short layer", make_short_layer, IB_E_VERIFY, "bytes, but the image states"},
    {"missing layer", make_missing_layer, IB_E_INVALID, "holds no file 'blobs/sha256/"},
    {"two images", make_two_images, IB_E_INVALID, "2 images for amd64: v1, v2"},
    {"no image", make_no_image, IB_E_INVALID, "no image for amd64, nor for any other"},
    {"encrypted", make_encrypted, IB_E_UNSUPPORTED, "layer 1 is '" OCI "layer.v1.tar+encrypted'"},
    {"hostile layer", make_hostile_layer, IB_E_INVALID, "Truncated"},
    {"lying index", make_lying_index, IB_E_INVALID, "index says amd64, but its config linux/arm64"},
    {"layer count", make_layer_count, IB_E_INVALID, "lists 1 layers, its config 2"},
    {"ambiguous", make_ambiguous, IB_E_INVALID, "an index and a manifest at once"},
    {"bad JSON", make_bad_json, IB_E_INVALID, "index.json:2:14:"},
    {"SHA-512", make_sha512, IB_E_INVALID, "'sha512:00' is not a SHA-256 digest"},
    {"escaping digest", make_escaping_digest, IB_E_INVALID, "is not a SHA-256 digest"},
    {"deep indexes", make_deep_indexes, IB_E_INVALID, "more than 4 levels"},
    {"new layout", make_new_layout, IB_E_INVALID, "version 2.0.0"},
    {"nothing", make_nothing, IB_E_INVALID, "neither an OCI image layout nor"},
};

Test(oci, bad_images_are_refused_with_cause)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(refused); i++) {
        _cleanup_(image_clear) struct image image = image_new();
        struct ib_tree *tree = ib_tree_new();
        struct ib_error *err = NULL;

        refused[i].make(&image);
        cr_assert_eq(import(tree, image.dir, "amd64", &err), -1, "%s was accepted",
                     refused[i].name);
        cr_assert(says(err, refused[i].says), "%s", refused[i].name);
        cr_assert(strstr(ib_error_line(err, 0), image.dir));
        cr_assert_eq(ib_error_code(err), refused[i].code, "%s", refused[i].name);
        ib_error_free(err);
        ib_tree_free(tree);
    }
}

/* docker save, and other programs' images */

static void write_docker(const char *dir, const struct ib_buf *layer, bool right)
{
    struct ib_sha256 hash;
    char hex[IB_SHA256_HEX_SIZE];
    struct ib_buf json = {0};

    ib_sha256(layer->data, layer->size, &hash);
    hash.bytes[0] ^= !right;
    ib_buf_printf(&json,
                  "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":["
                  "\"sha256:%s\"]}}",
                  ib_sha256_hex(&hash, hex));
    ib_sha256(json.data, json.size, &hash);
    _cleanup_(ib_freep) char *config = ib_asprintf("%s.json", ib_sha256_hex(&hash, hex));
    _cleanup_(ib_freep) char *manifest =
        ib_asprintf("[{\"Config\":\"%s\",\"RepoTags\":null,\"Layers\":[\"1/layer.tar\"]}]", config);
    write_file(dir, "1/layer.tar", layer->data, layer->size);
    write_file(dir, config, json.data, json.size);
    write_text(dir, "manifest.json", manifest);
    ib_buf_clear(&json);
}

Test(oci, docker_save)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_buf layer = make_layer(NULL, lower);
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    write_docker(dir, &layer, true);
    cr_assert_eq(import(tree, dir, "amd64", &err), 0, "%s", text_of(err));
    assert_content(tree, "etc/a", "lower");
    cr_assert_eq(import(tree, dir, "arm64", &err), -1);
    cr_assert(says(err, "only for amd64"));
    ib_error_clear(&err);
    write_docker(dir, &layer, false);
    cr_assert_eq(import(tree, dir, "amd64", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    write_text(dir, "manifest.json", "[]");
    cr_assert_eq(import(tree, dir, "amd64", &err), -1);
    cr_assert(says(err, "lists 0 images"));
    ib_error_free(err);
    ib_tree_free(tree);
    ib_buf_clear(&layer);
    ib_temp_dirp(&dir);
}

Test(oci, images_that_skopeo_writes)
{
    static const char *const forms[] = {"oci:%s/layout:latest", "oci-archive:%s/a.tar",
                                        "docker-archive:%s/d.tar:some/name:tag"};
    static const char *const names[] = {"layout", "a.tar", "d.tar"};
    _cleanup_(ib_freep) char *skopeo = ib_find_program("skopeo");
    struct ib_buf out = {0};

    if (!skopeo)
        cr_skip_test("skopeo is not installed");
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_buf layer = make_layer(NULL, lower);
    write_file(dir, "root.tar", layer.data, layer.size);
    char *source = ib_asprintf("tarball:%s/root.tar", dir);
    cr_assert_eq(
        ib_run(&(struct ib_run){.argv = (const char *const[]){"uname", "-m", NULL}, .out = &out},
               NULL),
        0);
    out.data[strcspn((char *)out.data, "\n")] = 0;
    for (size_t i = 0; i < IB_ARRAY_SIZE(forms); i++) {
        struct ib_tree *tree = ib_tree_new();
        struct ib_error *err = NULL;
        char *to = ib_asprintf(forms[i], dir), *path = ib_path_join(dir, names[i]);
        run((const char *const[]){"skopeo", "--insecure-policy", "copy", "-q", source, to, NULL});
        cr_assert_eq(import(tree, path, (char *)out.data, &err), 0, "%s", text_of(err));
        assert_content(tree, "usr/kept", "k");
        ib_tree_free(tree);
        free(to), free(path);
    }
    free(source);
    ib_buf_clear(&layer), ib_buf_clear(&out);
    ib_temp_dirp(&dir);
}

Test(oci, a_plain_tar_root)
{
    _cleanup_(image_clear) struct image image = image_new();
    _cleanup_(ib_closep) int spool = memfd_create("spool", MFD_CLOEXEC);
    struct ib_buf layer = make_layer("xz", lower), empty = {0};
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    write_file(image.dir, "root.tar.xz", layer.data, layer.size);
    char *root = ib_path_join(image.dir, "root.tar.xz");
    cr_assert_eq(ib_tar_import(tree, root, spool, NULL, NULL, &err), 0, "%s", text_of(err));
    assert_content(tree, "etc/a", "lower");
    ib_tree_free(tree);

    tree = ib_tree_new();
    finish(&image);
    run((const char *const[]){"tar", "-cf", root, "-C", image.dir, "oci-layout", "index.json",
                              NULL});
    cr_assert_eq(ib_tar_import(tree, root, spool, NULL, NULL, &err), -1);
    cr_assert(says(err, "an OCI archive"));
    ib_error_clear(&err);
    ib_tree_free(tree);

    tree = ib_tree_new();
    ib_buf_append_zeros(&empty, 10240);
    write_file(image.dir, "root.tar.xz", empty.data, empty.size);
    cr_assert_eq(ib_tar_import(tree, root, spool, NULL, NULL, &err), -1);
    cr_assert(says(err, "holds no files"));
    ib_error_free(err);
    ib_tree_free(tree);
    ib_buf_clear(&layer), ib_buf_clear(&empty);
    free(root);
}

/* As for packages: licences stay, documentation and other languages go, whatever they came in. */
static void check_excluded(enum ib_base_kind kind, const char *path)
{
    static const char *const gone[] = {"usr/share/doc/a/README", "usr/share/man/man1",
                                       "usr/share/locale/nb"};
    static const char *const kept[] = {"etc/a", "usr/share/doc/a/COPYING", "usr/share/locale/en/a"};
    const struct ib_base base = {.kind = kind, .architecture = IB_ARCH_X86_64};
    _cleanup_(ib_closep) int spool = memfd_create("spool", MFD_CLOEXEC);
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    int r = ib_base_file_import(&base, path, NULL, tree, spool, NULL, NULL, &err);
    cr_assert_eq(r, 0, "%s", text_of(err));
    for (size_t i = 0; i < IB_ARRAY_SIZE(gone); i++)
        cr_assert_null(ib_tree_find(tree, gone[i]), "%s", gone[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(kept); i++)
        cr_assert(ib_tree_find(tree, kept[i]), "%s", kept[i]);
    ib_tree_free(tree);
}

Test(oci, bases_leave_out_what_packages_leave_out)
{
    static const char *const entries[] = {"etc/a=a",
                                          "usr/share/doc/a/README=r",
                                          "usr/share/doc/a/COPYING=c",
                                          "usr/share/man/man1/a.1=m",
                                          "usr/share/locale/nb/a=n",
                                          "usr/share/locale/en/a=e",
                                          NULL};
    _cleanup_(image_clear) struct image image = image_new();
    _cleanup_(ib_buf_clear) struct ib_buf layer = make_layer(NULL, entries);
    _cleanup_(ib_freep) char *root = ib_path_join(image.dir, "root.tar");

    add_layer(&image, NULL, OCI "layer.v1.tar", entries);
    add_manifest(&image, "amd64", "");
    finish(&image);
    check_excluded(IB_BASE_OCI, image.dir);
    write_file(image.dir, "root.tar", layer.data, layer.size);
    check_excluded(IB_BASE_TAR, root);
}
