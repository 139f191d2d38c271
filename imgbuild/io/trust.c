/* SPDX-License-Identifier: Apache-2.0 */
#include "io/trust.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "io/minisign.h"

struct trusted {
    char *path;
    struct ib_minisign_public key;
};

struct ib_trust {
    struct trusted *items;
    size_t count;
};

struct ib_trust *ib_trust_free(struct ib_trust *trust)
{
    if (trust) {
        for (size_t i = 0; i < trust->count; i++)
            free(trust->items[i].path);
        free(trust->items);
        free(trust);
    }
    return NULL;
}

void ib_trust_freep(struct ib_trust **trust)
{
    *trust = ib_trust_free(*trust);
}

size_t ib_trust_count(const struct ib_trust *trust)
{
    return trust ? trust->count : 0;
}

static int add(struct ib_trust *t, const char *path, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct trusted item = {0};

    if (ib_read_file(path, IB_MINISIGN_TEXT_MAX, &text, err) < 0 ||
        ib_minisign_public_parse(text.data, text.size, path, &item.key, err) < 0)
        return ib_wrap(err, path, "use the public key");
    item.path = ib_strdup(path);
    t->items = ib_reallocarray(t->items, t->count + 1, sizeof(*t->items));
    t->items[t->count++] = item;
    return 0;
}

static int add_all(struct ib_trust *t, const struct ib_strv *paths, struct ib_error **err)
{
    for (size_t i = 0; paths && i < paths->count; i++)
        if (add(t, paths->items[i], err) < 0)
            return -1;
    return 0;
}

static int add_project(struct ib_trust *t, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = dir ? ib_path_join(dir, IB_TRUST_PROJECT_KEY) : NULL;

    return path && ib_path_exists(path) ? add(t, path, err) : 0;
}

static int add_system(struct ib_trust *t, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv paths = {0};
    const struct dirent *entry;
    DIR *d = opendir(dir);

    if (!d && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!d)
        return ib_fail(err, IB_E_IO, errno, dir, "read the trusted keys in");
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.' && ib_endswith(entry->d_name, ".pub"))
            ib_strv_take(&paths, ib_path_join(dir, entry->d_name));
    closedir(d);
    ib_strv_sort(&paths);
    return add_all(t, &paths, err);
}

struct ib_trust *ib_trust_load(const struct ib_trust_sources *sources, struct ib_error **err)
{
    _cleanup_(ib_trust_freep) struct ib_trust *t = ib_calloc(1, sizeof(*t));
    _cleanup_(ib_strv_clear) struct ib_strv environment = {0};
    const char *env = getenv("IMGBUILD_KEY");
    int r;

    ib_strv_split(&environment, env ? env : "", ":");
    if (sources->files && sources->files->count)
        r = add_all(t, sources->files, err);
    else if (environment.count)
        r = add_all(t, &environment, err);
    else if ((r = add_project(t, sources->project_dir, err)) == 0)
        r = add_system(t, sources->system_dir ? sources->system_dir : IB_TRUST_SYSTEM_DIR, err);
    return r < 0 ? NULL : ib_steal(&t);
}

static const struct trusted *find(const struct ib_trust *t, const uint8_t *id, size_t from)
{
    for (size_t i = from; i < t->count; i++)
        if (memcmp(t->items[i].key.id, id, IB_MINISIGN_ID_SIZE) == 0)
            return &t->items[i];
    return NULL;
}

/* Several keys may have one id, by malice or by accident: one that fits is enough. */
static int try_keys(const struct ib_trust *t, const struct ib_minisign_signature *s,
                    const void *message, size_t size, const char *name, const struct trusted **ret,
                    struct ib_error **err)
{
    char id[IB_MINISIGN_ID_TEXT_SIZE];
    const struct trusted *key = find(t, s->id, 0);

    if (!key) {
        ib_failf(err, IB_E_VERIFY, "'%s' is signed by the key %s, which is not trusted", name,
                 ib_minisign_id_text(s->id, id));
        return ib_hint(err, "do not use it unless you know that key; then name it with --key");
    }
    for (; key; key = find(t, s->id, (size_t)(key - t->items) + 1)) {
        ib_error_clear(err);
        if (ib_minisign_verify(&key->key, s, message, size, name, err) == 0) {
            *ret = key;
            return 0;
        }
    }
    return ib_hint(err, "do not use it: get it again from where it was built");
}

int ib_trust_verify(const struct ib_trust *trust, const void *message, size_t size,
                    const void *signature, size_t signature_size, const char *name,
                    const char **ret_key, char **ret_comment, struct ib_error **err)
{
    _cleanup_(ib_minisign_signature_clear) struct ib_minisign_signature s = {0};
    _cleanup_(ib_freep) char *signature_name = ib_asprintf("signature of '%s'", name);
    _cleanup_(ib_error_freep) struct ib_error *failure = NULL;
    const struct trusted *key = NULL;

    if (ib_trust_count(trust) == 0) {
        if (ret_key)
            *ret_key = NULL;
        if (ret_comment)
            *ret_comment = NULL;
        return 0;
    }
    if (signature_size == 0) {
        ib_failf(err, IB_E_VERIFY, "'%s' is not signed", name);
        return ib_hint(err, "sign it with 'imgbuild sign', or do not use it");
    }
    if (ib_minisign_signature_parse(signature, signature_size, signature_name, &s, err) < 0)
        return -1;
    if (try_keys(trust, &s, message, size, name, &key, &failure) < 0) {
        if (err)
            *err = ib_steal(&failure);
        return -1;
    }
    if (ret_key)
        *ret_key = key->path;
    if (ret_comment)
        *ret_comment = ib_steal(&s.trusted_comment);
    return 0;
}

int ib_trust_verify_manifest(const struct ib_trust *trust, const void *json, size_t json_size,
                             const void *signature, size_t signature_size, const char *name,
                             struct ib_error **err)
{
    return ib_trust_verify(trust, json, json_size, signature, signature_size, name, NULL, NULL,
                           err);
}
