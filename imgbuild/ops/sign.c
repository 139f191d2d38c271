/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/sign.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "beside.h"
#include "image/artifact.h"
#include "sums.h"

char *ib_beside(const char *artifact, const char *suffix)
{
    static const char extension[] = ".img.zst";
    size_t size = strlen(artifact);

    if (ib_endswith(artifact, extension))
        size -= sizeof(extension) - 1;
    return ib_asprintf("%.*s%s", (int)size, artifact, suffix);
}

static int write_new(const char *path, unsigned mode, const struct ib_buf *text,
                     struct ib_error **err)
{
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(path, mode, err);

    if (!file)
        return -1;
    if (ib_write_full(ib_atomic_fd(file), text->data, text->size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return ib_atomic_commit_new(file, err);
}

int ib_keygen_check(const char *base, struct ib_error **err)
{
    static const char *const suffixes[] = {".key", ".pub"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(suffixes); i++) {
        _cleanup_(ib_freep) char *path = ib_asprintf("%s%s", base, suffixes[i]);
        if (!ib_path_exists(path))
            continue;
        ib_failf(err, IB_E_REFUSED, "'%s' exists, and a key is never replaced", path);
        return ib_hint(err, "choose another name: imgbuild keygen NAME");
    }
    return 0;
}

int ib_keygen(const char *base, const char *passphrase, struct ib_minisign_public *ret,
              struct ib_error **err)
{
    _cleanup_(ib_freep) char *key_path = ib_asprintf("%s.key", base);
    _cleanup_(ib_freep) char *public_path = ib_asprintf("%s.pub", base);
    _cleanup_(ib_minisign_secret_clear) struct ib_minisign_secret key = {0};
    _cleanup_(ib_buf_clear) struct ib_buf secret_text = {0}, public_text = {0};

    if (ib_keygen_check(base, err) < 0 || ib_minisign_secret_generate(&key, err) < 0 ||
        ib_minisign_secret_print(&key, passphrase, &secret_text, err) < 0)
        return -1;
    ib_minisign_public_print(&key.public, &public_text);
    int r = write_new(key_path, 0600, &secret_text, err);
    explicit_bzero(secret_text.data, secret_text.size);
    if (r < 0)
        return -1;
    if (write_new(public_path, 0644, &public_text, err) < 0) {
        unlink(key_path); /* made just now: half a pair is of no use */
        return -1;
    }
    *ret = key.public;
    return 0;
}

void ib_signed_clear(struct ib_signed *result)
{
    free(result->signature);
    *result = (struct ib_signed){0};
}

/* The manifest beside the artifact is what the signature beside it will be read with. */
static int check_json(const char *path, const struct ib_artifact *a, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf beside = {0};
    size_t size;
    const char *json = ib_artifact_json(a, &size);

    if (!ib_path_exists(path))
        return 0;
    if (ib_read_file(path, IB_MANIFEST_MAX_SIZE, &beside, err) < 0)
        return -1;
    if (beside.size == size && memcmp(beside.data, json, size) == 0)
        return 0;
    ib_failf(err, IB_E_VERIFY, "'%s' is not the manifest that is in the artifact", path);
    return ib_hint(err, "remove it, or build the artifact again");
}

static int sign_sums(const char *path, const struct ib_minisign_secret *key, struct ib_signed *ret,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(path);
    _cleanup_(ib_freep) char *sums_path = ib_path_join(dir, "SHA256SUMS");
    const char *name = ib_path_base(path);

    if (!ib_path_exists(sums_path))
        return 0;
    _cleanup_(ib_sums_closep) struct ib_sums *sums = ib_sums_open(dir, err);
    if (!sums)
        return -1;
    if (!ib_sums_has(sums, name))
        return 0;
    ib_sums_set(sums, name, &ret->sha256);
    ret->sums = true;
    return ib_sums_save(sums, key, err);
}

static int sign_all(const char *path, const struct ib_minisign_secret *key,
                    struct ib_progress *progress, struct ib_signed *ret, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open(path, err);
    _cleanup_(ib_freep) char *json_path = ib_beside(path, ".json");
    _cleanup_(ib_buf_clear) struct ib_buf signature = {0};
    struct ib_artifact_result result;
    size_t size;

    if (!a || check_json(json_path, a, err) < 0 ||
        ib_artifact_sign(path, key, progress, &result, &ret->changed, err) < 0)
        return -1;
    ret->signature = ib_asprintf("%s.minisig", json_path);
    ret->size_bytes = result.size_bytes;
    ret->sha256 = result.sha256;
    const char *json = ib_artifact_json(a, &size);
    ib_artifact_sign_manifest(ib_artifact_manifest(a), json, size, key, &signature);
    if (ib_atomic_write(ret->signature, 0644, signature.data, signature.size, err) < 0)
        return -1;
    return sign_sums(path, key, ret, err);
}

int ib_sign_artifact(const char *path, const struct ib_minisign_secret *key,
                     struct ib_progress *progress, struct ib_signed *ret, struct ib_error **err)
{
    if (sign_all(path, key, progress, ret, err) < 0)
        return ib_wrap(err, path, "sign");
    return 0;
}
