/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying an artifact, and what all kinds of verifying share. */
#include "ops/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "beside.h"
#include "image/verity.h"
#include "sums.h"
#include "verify_internal.h"

#define SUMS_MAX (16 * IB_MIB)

void ib_verify_report_clear(struct ib_verify_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free(report->items[i].text);
    free(report->items);
    *report = (struct ib_verify_report){0};
}

static void add(const struct ib_verifying *v, const char *name, bool passed, const char *fmt,
                va_list ap)
{
    struct ib_verify_report *r = v->report;
    struct ib_buf text = {0};

    ib_buf_vprintf(&text, fmt, ap);
    r->items = ib_reallocarray(r->items, r->count + 1, sizeof(*r->items));
    r->items[r->count++] = (struct ib_verify_check){
        .name = name, .text = ib_buf_steal_string(&text), .passed = passed};
}

void ib_verify_passed(const struct ib_verifying *v, const char *name, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(v, name, true, fmt, ap);
    va_end(ap);
}

void ib_verify_skipped(const struct ib_verifying *v, const char *name, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(v, name, false, fmt, ap);
    va_end(ap);
}

int ib_verify_signature(const struct ib_verifying *v, const struct ib_artifact *a, const char *name,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *comment = NULL;
    size_t json_size, size;
    const char *json = ib_artifact_json(a, &json_size);
    const char *signature = ib_artifact_signature(a, &size), *key;

    if (ib_trust_verify(v->options->trust, json, json_size, signature, size, name, &key, &comment,
                        err) < 0)
        return -1;
    if (key)
        ib_verify_passed(v, "signature", "by %s: %s", key, comment);
    else
        ib_verify_skipped(v, "signature", "%s, and no key is trusted (--key)",
                          size ? "there is one" : "there is none");
    return 0;
}

static bool root_hash_of(const char *cmdline, struct ib_sha256 *ret)
{
    _cleanup_(ib_strv_clear) struct ib_strv words = {0};

    ib_strv_split(&words, cmdline ? cmdline : "", " \t\n");
    for (size_t i = 0; i < words.count; i++)
        if (ib_startswith(words.items[i], "roothash="))
            return ib_sha256_parse(words.items[i] + strlen("roothash="), ret);
    return false;
}

int ib_verify_ukis(const struct ib_verifying *v, const struct ib_image *image,
                   const struct ib_sha256 *roots, size_t root_count, struct ib_error **err)
{
    size_t fitting = 0;

    for (size_t i = 0; i < image->uki_count; i++) {
        const struct ib_image_uki *u = &image->ukis[i];
        struct ib_sha256 hash;
        bool found = false;
        if (!root_hash_of(u->cmdline, &hash)) {
            ib_verify_skipped(v, "boot image", "%s names no root", u->name);
            continue;
        }
        for (size_t j = 0; j < root_count; j++)
            found = found || ib_sha256_equal(&hash, &roots[j]);
        if (!found) {
            ib_failf(err, IB_E_VERIFY, "boot image '%s' in '%s' names a root that is not there",
                     u->name, v->path);
            return ib_hint(err, "write the image again");
        }
        ib_verify_passed(v, "boot image", "%s starts a root that is there", u->name);
        fitting++;
    }
    if (image->uki_count == 0)
        ib_verify_skipped(v, "boot image", "there is none");
    return 0;
}

static int check_frames(const struct ib_verifying *v, const struct ib_artifact *a, bool hash_file,
                        struct ib_sha256 *ret, struct ib_error **err)
{
    const struct ib_manifest *m = ib_artifact_manifest(a);
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        v->options->progress, NULL, "verify", v->path, m->disk_size_bytes, IB_UNIT_BYTES);
    const struct ib_artifact_walk walk = {
        .ret_file_sha256 = hash_file ? ret : NULL, .progress = v->options->progress, .step = step};
    char raw[16], packed[16];

    if (ib_artifact_walk(a, &walk, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    ib_verify_passed(v, "frames", "%zu, %s packed, %s unpacked", m->frame_count,
                     ib_format_size(ib_artifact_size(a), packed),
                     ib_format_size(m->disk_size_bytes, raw));
    return 0;
}

/* The file's name in a line of SHA256SUMS when it is the artifact or beside it, else NULL. */
static const char *published_name(const char *line, const char *artifact, struct ib_sha256 *ret)
{
    _cleanup_(ib_freep) char *stem = ib_beside(ib_path_base(artifact), ".");
    _cleanup_(ib_freep) char *hex = ib_strndup(line, 64);

    if (strlen(line) <= 66 || !ib_sha256_parse(hex, ret))
        return NULL;
    const char *name = line + 66; /* behind two blanks */
    return !strchr(name, '/') &&
                   (ib_startswith(name, stem) || ib_streq(name, ib_path_base(artifact)))
               ? name
               : NULL;
}

static int check_sum(const char *dir, const char *name, const struct ib_sha256 *expected,
                     const struct ib_sha256 *known, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    struct ib_sha256 hash;

    if (known) {
        hash = *known;
    } else {
        _cleanup_(ib_closep) int fd = ib_open_read(path, err);
        if (fd < 0)
            return -1;
        if (ib_sha256_fd(fd, &hash, NULL) < 0)
            return ib_fail(err, IB_E_IO, errno, path, "read");
    }
    if (ib_sha256_equal(&hash, expected))
        return 0;
    ib_failf(err, IB_E_VERIFY, "'%s' does not have the hash that SHA256SUMS names", path);
    return ib_hint(err, "get it again, or 'imgbuild sign' after a change that you know of");
}

/* Lines of SHA256SUMS about this artifact; *ret_own where one is about the artifact itself. */
static int check_sums(const struct ib_verifying *v, const struct ib_strv *lines,
                      const struct ib_sha256 *own, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(v->path);
    size_t checked = 0;

    for (size_t i = 0; i < lines->count; i++) {
        struct ib_sha256 expected;
        const char *name = published_name(lines->items[i], v->path, &expected);
        if (!name)
            continue;
        bool is_own = ib_streq(name, ib_path_base(v->path));
        if (check_sum(dir, name, &expected, is_own ? own : NULL, err) < 0)
            return -1;
        checked++;
    }
    ib_verify_passed(v, "checksums", "SHA256SUMS: %zu files", checked);
    return 0;
}

/* Reads SHA256SUMS beside the artifact, and its signature where there is one. */
static int read_sums(const struct ib_verifying *v, struct ib_strv *ret, bool *ret_own,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(v->path);
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "SHA256SUMS");
    _cleanup_(ib_freep) char *signature_path = ib_asprintf("%s.minisig", path);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0}, signature = {0};
    struct ib_sha256 hash;

    if (!ib_path_exists(path))
        return 0;
    if (ib_read_file(path, SUMS_MAX, &text, err) < 0)
        return -1;
    if (ib_path_exists(signature_path) &&
        (ib_read_file(signature_path, IB_MINISIGN_TEXT_MAX, &signature, err) < 0 ||
         ib_trust_verify(v->options->trust, text.data, text.size, signature.data, signature.size,
                         path, NULL, NULL, err) < 0))
        return -1;
    ib_buf_append(&text, "", 1);
    ib_strv_split(ret, (const char *)text.data, "\n");
    for (size_t i = 0; i < ret->count; i++) {
        const char *name = published_name(ret->items[i], v->path, &hash);
        *ret_own = *ret_own || (name && ib_streq(name, ib_path_base(v->path)));
    }
    return 0;
}

/* What SHA256SUMS may not list: the manifest and the signature beside the artifact. */
static int check_beside(const struct ib_verifying *v, const struct ib_artifact *a,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *json_path = ib_beside(v->path, ".json");
    _cleanup_(ib_freep) char *signature_path = ib_beside(v->path, ".json.minisig");
    _cleanup_(ib_buf_clear) struct ib_buf json = {0}, signature = {0};
    size_t size;
    const char *own = ib_artifact_json(a, &size);

    if (!ib_path_exists(json_path))
        return 0;
    if (ib_read_file(json_path, IB_MANIFEST_MAX_SIZE, &json, err) < 0)
        return -1;
    if (json.size != size || memcmp(json.data, own, size) != 0)
        return ib_failf(err, IB_E_VERIFY, "'%s' is not the manifest that is in the artifact",
                        json_path);
    if (!ib_path_exists(signature_path))
        return 0;
    if (ib_read_file(signature_path, IB_MINISIGN_TEXT_MAX, &signature, err) < 0)
        return -1;
    return ib_trust_verify(v->options->trust, json.data, json.size, signature.data, signature.size,
                           json_path, NULL, NULL, err);
}

/* Each partition's UUID is the half of its root hash by which systemd will look for it. */
static int check_uuids(const struct ib_verifying *v, const struct ib_manifest *m,
                       struct ib_error **err)
{
    for (size_t i = 0; i < m->partition_count; i++) {
        const struct ib_manifest_partition *p = &m->partitions[i];
        struct ib_uuid root, verity;
        if (!p->has_root_hash)
            continue;
        ib_verity_partition_uuids(&p->root_hash, &root, &verity);
        if (memcmp(&p->uuid, &root, sizeof(root)) != 0 &&
            memcmp(&p->uuid, &verity, sizeof(verity)) != 0)
            return ib_failf(err, IB_E_VERIFY,
                            "partition %u of '%s' would not be found by its root hash", p->number,
                            v->path);
    }
    return 0;
}

static int check_uki_hash(const struct ib_verifying *v, const struct ib_image *image,
                          struct ib_error **err)
{
    const struct ib_manifest *m = ib_image_manifest(image);
    bool found = !m->has_uki;

    for (size_t i = 0; i < image->uki_count; i++)
        found = found || ib_sha256_equal(&image->ukis[i].sha256, &m->uki);
    return found
               ? 0
               : ib_failf(err, IB_E_VERIFY,
                          "the boot image in '%s' is not the one that its manifest names", v->path);
}

/* The parts must fit together: what the firmware will see is what the manifest says. */
static int check_content(const struct ib_verifying *v, struct ib_error **err)
{
    struct ib_error *failure = NULL;
    _cleanup_(ib_image_freep) struct ib_image *image =
        ib_image_open(v->path, v->options->temp_dir, v->options->progress, &failure);
    struct ib_sha256 roots[IB_MANIFEST_PARTITIONS_MAX];
    size_t count = 0;

    if (!image && ib_error_code(failure) == IB_E_UNSUPPORTED) {
        ib_verify_skipped(v, "boot image", "mtools is not installed");
        ib_error_free(failure);
        return 0;
    }
    if (!image) {
        *err = failure;
        return -1;
    }
    const struct ib_manifest *m = ib_image_manifest(image);
    for (size_t i = 0; i < m->partition_count; i++)
        if (m->partitions[i].has_root_hash)
            roots[count++] = m->partitions[i].root_hash;
    if (check_uuids(v, m, err) < 0)
        return -1;
    ib_verify_passed(v, "partitions", "%zu, as the manifest lists them", m->partition_count);
    if (check_uki_hash(v, image, err) < 0)
        return -1;
    return ib_verify_ukis(v, image, roots, count, err);
}

static int verify_artifact(const struct ib_verifying *v, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open(v->path, err);
    _cleanup_(ib_strv_clear) struct ib_strv sums = {0};
    struct ib_sha256 own;
    bool listed = false;

    if (!a)
        return ib_hint(err, "get it again from where it was built");
    if (ib_verify_signature(v, a, v->path, err) < 0 || read_sums(v, &sums, &listed, err) < 0 ||
        check_frames(v, a, listed, &own, err) < 0)
        return -1;
    if (listed && check_sums(v, &sums, &own, err) < 0)
        return -1;
    if (!listed)
        ib_verify_skipped(v, "checksums", "no SHA256SUMS beside it lists it");
    return check_beside(v, a, err) < 0 ? -1 : check_content(v, err);
}

static int verify(const struct ib_verifying *v, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(v->path, err);

    if (fd < 0)
        return -1;
    bool is_artifact = ib_artifact_is_ours_fd(fd);
    v->report->kind = is_artifact ? "artifact" : "disk";
    if (is_artifact && v->options->image) {
        ib_failf(err, IB_E_USAGE, "'%s' is an artifact, not a disk", v->path);
        return ib_hint(err, "--image names the artifact that a disk is compared with");
    }
    if (is_artifact)
        return verify_artifact(v, err);
    return v->options->image ? ib_verify_compare(v, err) : ib_verify_disk(v, err);
}

int ib_verify(const char *path, const struct ib_verify_options *options,
              struct ib_verify_report *ret, struct ib_error **err)
{
    const struct ib_verifying v = {.path = path, .options = options, .report = ret};

    return verify(&v, err) < 0 ? ib_wrap(err, path, "verify") : 0;
}
