/* SPDX-License-Identifier: Apache-2.0 */
#include "sums.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"

enum { MAX_SIZE = 16 << 20, NAME_OFFSET = 66 }; /* 64 digits and two blanks */

struct ib_sums {
    char *dir, *path;
    int lock_fd; /* the directory itself */
    struct ib_strv lines;
};

static const char *name_of(const char *line)
{
    return strlen(line) > NAME_OFFSET ? line + NAME_OFFSET : "";
}

static int read_lines(const char *path, struct ib_strv *ret, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_path_exists(path))
        return 0;
    if (ib_read_file(path, MAX_SIZE, &text, err) < 0)
        return -1;
    ib_strv_split(ret, text.data ? (const char *)text.data : "", "\n");
    return 0;
}

struct ib_sums *ib_sums_open(const char *dir, struct ib_error **err)
{
    _cleanup_(ib_sums_closep) struct ib_sums *sums = ib_calloc(1, sizeof(*sums));

    sums->dir = ib_strdup(dir);
    sums->path = ib_path_join(dir, "SHA256SUMS");
    sums->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sums->lock_fd < 0 || flock(sums->lock_fd, LOCK_EX) < 0) {
        ib_fail(err, IB_E_IO, errno, dir, "lock");
        return NULL;
    }
    return read_lines(sums->path, &sums->lines, err) < 0 ? NULL : ib_steal(&sums);
}

struct ib_sums *ib_sums_close(struct ib_sums *sums)
{
    if (sums) {
        ib_closep(&sums->lock_fd);
        ib_strv_clear(&sums->lines);
        free(sums->path);
        free(sums->dir);
        free(sums);
    }
    return NULL;
}

void ib_sums_closep(struct ib_sums **sums)
{
    *sums = ib_sums_close(*sums);
}

bool ib_sums_has(const struct ib_sums *sums, const char *name)
{
    for (size_t i = 0; i < sums->lines.count; i++)
        if (ib_streq(name_of(sums->lines.items[i]), name))
            return true;
    return false;
}

bool ib_sums_has_hash(const struct ib_sums *sums, const char *name, const struct ib_sha256 *hash)
{
    char hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_freep) char *line = ib_asprintf("%s  %s", ib_sha256_hex(hash, hex), name);

    return ib_strv_contains(&sums->lines, line);
}

void ib_sums_set(struct ib_sums *sums, const char *name, const struct ib_sha256 *hash)
{
    char hex[IB_SHA256_HEX_SIZE];
    char *line = ib_asprintf("%s  %s", ib_sha256_hex(hash, hex), name);

    for (size_t i = 0; i < sums->lines.count; i++) {
        if (ib_streq(name_of(sums->lines.items[i]), name)) {
            free(sums->lines.items[i]);
            sums->lines.items[i] = line;
            return;
        }
    }
    ib_strv_take(&sums->lines, line);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(name_of(*(char *const *)a), name_of(*(char *const *)b));
}

/* The old signature goes first: at no moment does one stand beside what it does not fit. */
static int save(const struct ib_sums *sums, const struct ib_buf *text,
                const struct ib_minisign_secret *key, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s.minisig", sums->path);
    _cleanup_(ib_buf_clear) struct ib_buf old = {0}, signature = {0};

    bool same = ib_path_exists(sums->path) && ib_read_file(sums->path, MAX_SIZE, &old, NULL) == 0 &&
                old.size == text->size && memcmp(old.data, text->data, old.size) == 0;
    if (!same && unlink(path) < 0 && errno != ENOENT)
        return ib_fail(err, IB_E_IO, errno, path, "remove");
    if (!same && ib_atomic_write(sums->path, 0644, text->data, text->size, err) < 0)
        return -1;
    if (!key)
        return 0;
    ib_minisign_sign(key, text->data, text->size, "imgbuild SHA256SUMS", &signature);
    return ib_atomic_write(path, 0644, signature.data, signature.size, err);
}

int ib_sums_save(struct ib_sums *sums, const struct ib_minisign_secret *key, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (sums->lines.count)
        qsort(sums->lines.items, sums->lines.count, sizeof(char *), compare_names);
    for (size_t i = 0; i < sums->lines.count; i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(sums->dir, name_of(sums->lines.items[i]));
        if (*name_of(sums->lines.items[i]) && ib_path_exists(path))
            ib_buf_printf(&text, "%s\n", sums->lines.items[i]);
    }
    ib_buf_append_str(&text, "");
    return save(sums, &text, key, err);
}

bool ib_sums_match(const char *dir, const char *name, const struct ib_sha256 *hash)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "SHA256SUMS");
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    char hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_freep) char *line = ib_asprintf("%s  %s", ib_sha256_hex(hash, hex), name);

    return read_lines(path, &lines, NULL) == 0 && ib_strv_contains(&lines, line);
}
